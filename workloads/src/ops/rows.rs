//! Work on rows: normalisations, softmax and reductions.
//!
//! A CTA (or a warp, for short rows) owns a row, reads it, reduces it, and writes the result.
//! Rows that do not fit in registers or shared memory are read again; whether the second read
//! hits a cache is for the engine to say. Left out: cluster-wide reductions.

use serde::{Deserialize, Serialize};

use super::{Candidate, Recorded};
use crate::kernel::{Demand, Direction, Pattern};
use crate::{DType, Kernel, KernelClass, Launch, Raster, Stage, Stream, Target};

/// Instructions of Welford's update of mean and variance by an element, and how many of them the
/// next element waits for.
const WELFORD: f64 = 14.0;
const WELFORD_CHAIN: f64 = 2.0;

/// Which normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormKind {
    /// Over the last dimension.
    Layer,
    /// Root mean square, no mean.
    Rms,
    /// Over batch and space, per channel.
    Batch,
    /// Over groups of channels.
    Group,
}

/// What is done with each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowOperation {
    /// A normalisation.
    Norm(NormKind),
    /// Softmax or log-softmax.
    Softmax,
}

/// An operation on `rows` independent rows of `columns` elements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    /// What is done.
    pub operation: RowOperation,
    /// Independent rows (channels, for batch normalisation).
    pub rows: u64,
    /// Elements per row.
    pub columns: u64,
    /// Element type.
    pub dtype: DType,
    /// Element type of the result, where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_dtype: Option<DType>,
    /// Gradient instead of the forward pass.
    #[serde(default)]
    pub backward: bool,
    /// Bytes that one thread moves in one memory instruction (see
    /// [`Streaming::vector_bytes`](super::Streaming)).
    #[serde(default = "super::streaming::full_vector")]
    pub vector_bytes: f64,
    /// The launch, where recorded.
    #[serde(default)]
    pub recorded: Option<Recorded>,
}

impl Rows {
    /// Kind of work.
    pub const fn class(&self) -> KernelClass {
        match self.operation {
            RowOperation::Norm(_) => KernelClass::Norm,
            RowOperation::Softmax => KernelClass::Softmax,
        }
    }

    /// Bytes of an element of the result.
    fn written_bytes(&self) -> f64 {
        self.written_dtype.unwrap_or(self.dtype).bytes()
    }

    fn elements(&self) -> f64 {
        self.rows as f64 * self.columns as f64
    }

    /// About five operations an element, twice that backward.
    pub fn flops(&self) -> f64 {
        self.elements() * if self.backward { 10.0 } else { 5.0 }
    }

    /// Inputs read once, result written once.
    pub fn compulsory_bytes(&self) -> f64 {
        let inputs = if self.backward { 2.0 } else { 1.0 };
        self.elements() * (self.dtype.bytes() * inputs + self.written_bytes())
    }

    /// The recorded launch; else the one that PyTorch's fixed rules give: a warp per row for
    /// softmax of up to 1024 columns, a CTA per row of one 16-byte vector per thread beyond, and
    /// four warps per row for normalisations.
    pub fn lower(&self, target: &Target) -> Vec<Candidate> {
        let launch = match self.recorded {
            Some(recorded) if recorded.launch.shared_bytes <= target.shared_bytes_per_cta => {
                recorded.launch
            }
            _ => match self.operation {
                RowOperation::Softmax if self.columns <= 1024 => {
                    // Short rows share a warp; rows of up to 128 columns go two to a warp.
                    let lanes = self.columns.next_power_of_two().min(32);
                    let per_warp = 32 / lanes * if self.columns <= 128 { 2 } else { 1 };
                    Launch::linear(self.rows.div_ceil(4 * per_warp), 128, 40, 0)
                }
                RowOperation::Softmax => {
                    let vectors = self.columns as f64 * self.dtype.bytes() / 16.0;
                    let threads = (vectors as u32).clamp(32, 512);
                    // The largest power of two not above it.
                    let threads = 1 << threads.ilog2();
                    Launch::linear(self.rows, threads, 40, 32 * 8)
                }
                RowOperation::Norm(_) => Launch::linear(self.rows, 128, 40, 32 * 8),
            },
        };
        // Rows that vectors don't divide take PyTorch's older pair of kernels.
        let vectors = self.columns as f64 * self.dtype.bytes() / 16.0;
        let layer = self.operation == RowOperation::Norm(NormKind::Layer) && !self.backward;
        if layer && self.recorded.is_none() && libm::floor(vectors) < vectors {
            return vec![self.in_two_kernels()];
        }
        vec![self.kernel(launch).into()]
    }

    /// Moments of each row by a CTA of 512 threads, element by element with Welford's update;
    /// then the result by another of 256.
    fn in_two_kernels(&self) -> Candidate {
        let row_bytes = self.columns as f64 * self.dtype.bytes();
        let read = |threads: f64| {
            let iterations = libm::ceil(self.columns as f64 / threads);
            let mut stage = Stage::once("elements");
            stage.iterations = iterations;
            stage.memory_round_trips = 1.0;
            let warps = libm::ceil(self.columns as f64 / 32.0) / iterations;
            stage.demand.memory = warps;
            stage.demand.int32 = 6.0 * warps;
            stage.streams =
                vec![Stream::streaming("input", Direction::Read, row_bytes / iterations)];
            (stage, warps)
        };
        let whole = |launch: Launch, stages: Vec<Stage>, written: f64| Kernel {
            class: self.class(),
            variant: format!("{} rows, {} threads, scalar", self.rows, launch.threads()),
            launch,
            raster: Raster::flat(launch.ctas()),
            tensor: None,
            tensor_from_registers: false,
            stages,
            read_footprint_bytes: self.elements() * self.dtype.bytes(),
            write_footprint_bytes: written,
            then: Vec::new(),
            useful_share: 1.0,
        };
        let (mut moments, warps) = read(512.0);
        // Mean and variance are carried on with a division each time.
        moments.demand.fp32 = WELFORD * warps;
        moments.demand.sfu = warps;
        moments.dependent_instructions = 14.0;
        let mut combine = Stage::once("combine");
        // Two levels of five shuffle steps, three values and a division each.
        combine.dependent_instructions = 10.0 * 16.0;
        combine.shared_round_trips = 10.0 * 3.0;
        combine.barriers = 2.0;
        combine.demand.memory = 16.0 * 15.0;
        combine.demand.fp32 = 16.0 * 5.0 * 10.0;
        let small = Launch::linear(self.rows, 512, 32, 16 * 16);
        let first = whole(small, vec![moments, combine], self.rows as f64 * 8.0);
        let (mut result, warps) = read(256.0);
        // Mean, deviation, scale and shift come from caches.
        result.demand.memory += 4.0 * warps;
        result.demand.fp32 = 4.0 * warps;
        result.dependent_instructions = 8.0;
        let written = row_bytes / result.iterations;
        result.streams.push(Stream::streaming("output", Direction::Write, written));
        let all = self.elements() * self.dtype.bytes();
        let second = whole(Launch::linear(self.rows, 256, 32, 0), vec![result], all);
        Candidate { kernels: vec![first, second] }
    }

    fn kernel(&self, launch: Launch) -> Kernel {
        let ctas = launch.ctas() as f64;
        let warps = launch.warps() as f64;
        let per_cta = self.elements() / ctas;
        let inputs = if self.backward { 2.0 } else { 1.0 };
        let read = per_cta * self.dtype.bytes() * inputs;
        let written = per_cta * self.written_bytes();
        // A warp keeps a short row in its registers. Softmax by CTA reads its row for the
        // maximum, the sum and the result; normalisations read it for the moments and the result.
        let softmax = self.operation == RowOperation::Softmax;
        let softmax_by_cta = softmax && self.columns > 1024;
        let passes: f64 = match softmax {
            true if softmax_by_cta => 3.0,
            true => 1.0,
            false => 2.0,
        };
        let single = self.vector_bytes < 8.0;
        // Without vectors a thread has one element under way.
        let at_once = if single { 1.0 } else { 8.0 };
        let threads = launch.threads() as f64;
        let iterations = if softmax_by_cta && !single {
            // PyTorch walks a row in whole vectors of all threads, and the rest by single elements.
            let vector = threads * 16.0 / self.dtype.bytes();
            let rest = libm::fmod(self.columns as f64, vector);
            libm::floor(self.columns as f64 / vector) + libm::ceil(rest / threads)
        } else {
            libm::ceil(per_cta / (threads * at_once)).max(1.0)
        };
        // A warp with rows of its own loads word by word, all words at once.
        let word = if softmax && !softmax_by_cta { self.dtype.bytes() } else { self.vector_bytes };
        let exponentials = f64::from(u8::from(softmax));
        let work = |share: f64| Demand {
            fp32: per_cta / 32.0 * 3.0 * inputs * share / iterations,
            sfu: per_cta / 32.0 * exponentials * share / iterations,
            int32: per_cta / 32.0 * 2.0 / iterations + warps,
            memory: (read / (32.0 * word) / iterations).max(warps.min(per_cta / 32.0)),
            ..Demand::default()
        };
        let mut reduce = Stage::once("read and reduce");
        reduce.iterations = iterations;
        reduce.demand = work(1.0);
        let welford = self.operation == RowOperation::Norm(NormKind::Layer) && !self.backward;
        if welford {
            // Mean and variance are carried on element by element, with a division each time.
            reduce.demand.fp32 = WELFORD * per_cta / 32.0 / iterations;
            reduce.demand.sfu = per_cta / 32.0 / iterations;
            reduce.dependent_instructions =
                WELFORD_CHAIN * libm::ceil(per_cta / threads).min(at_once);
        }
        reduce.memory_round_trips = 1.0;
        let in_flight = if single || softmax_by_cta { 1.0 } else { 2.0 };
        reduce.in_flight = in_flight;
        reduce.streams = vec![Stream::streaming("input", Direction::Read, read / iterations)];
        // A CTA that owns a row reduces over warps through shared memory; PyTorch's softmax does
        // so twice (maximum, sum), one lane adding up the 32 warp results in turn.
        let per_row =
            self.rows as f64 >= ctas && launch.threads() > 32 && self.rows as f64 <= ctas * 1.5;
        let reductions = if per_row { 1.0 + exponentials } else { 0.0 };
        let serial = if exponentials > 0.0 { warps.min(32.0) + warps } else { 4.0 };
        let mut combine = Stage::once("combine");
        // Five shuffle steps in a warp, each a trip through the shared-memory crossbar.
        combine.demand.int32 = warps * 10.0;
        combine.demand.shared_wavefronts = warps * (2.0 + serial / warps) * reductions.max(1.0);
        combine.demand.memory = warps * 12.0;
        combine.dependent_instructions = 20.0;
        combine.shared_round_trips = 5.0 * (1.0 + exponentials) + serial * reductions;
        combine.barriers = 3.0 * reductions;
        if welford {
            // A level adds up two of each value, once more with a division.
            let levels = 5.0 + libm::log2(warps.max(1.0));
            combine.dependent_instructions = 16.0 * levels;
            combine.shared_round_trips = 3.0 * levels;
            combine.demand.fp32 = warps * 10.0 * levels;
            combine.demand.memory = warps * 3.0 * levels;
        }
        let mut write = Stage::once("write");
        write.iterations = iterations;
        write.demand = work(1.0);
        write.streams = vec![Stream::streaming("output", Direction::Write, written / iterations)];
        if passes > 1.0 {
            write.memory_round_trips = passes - 1.0;
            write.in_flight = if softmax_by_cta { 1.0 } else { in_flight };
            write.streams.push(Stream {
                label: "input again",
                direction: Direction::Read,
                bytes: read * (passes - 1.0) / iterations,
                // The other resident CTAs' results pass through the caches as well.
                pattern: Pattern::Repeated { distance_bytes: read + written },
            });
        }
        Kernel {
            class: self.class(),
            variant: format!("{} rows, {} threads", self.rows, launch.threads()),
            launch,
            raster: Raster::flat(launch.ctas()),
            tensor: None,
            tensor_from_registers: false,
            stages: vec![reduce, combine, write],
            read_footprint_bytes: self.elements() * self.dtype.bytes() * inputs,
            write_footprint_bytes: self.elements() * self.written_bytes(),
            then: Vec::new(),
            useful_share: 1.0,
        }
    }
}

/// A reduction of many inputs to fewer outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reduction {
    /// Elements read.
    pub inputs: f64,
    /// Elements written.
    pub outputs: f64,
    /// Input type.
    pub dtype: DType,
    /// The launch, where recorded.
    #[serde(default)]
    pub recorded: Option<Recorded>,
}

impl Reduction {
    /// Inputs read, outputs written.
    pub fn compulsory_bytes(&self) -> f64 {
        (self.inputs + self.outputs) * self.dtype.bytes()
    }

    /// The launch for a target: recorded where it fits, else CTAs of 512 threads that fill the
    /// device once, each thread with four elements in flight.
    pub fn kernel(&self, target: &Target) -> Kernel {
        let launch = match self.recorded {
            Some(recorded) if recorded.launch.shared_bytes <= target.shared_bytes_per_cta => {
                recorded.launch
            }
            _ => {
                let useful = libm::ceil(self.inputs / (512.0 * 16.0)).max(1.0);
                let full = f64::from(target.sm_count) * 2.0;
                Launch::linear(useful.min(full) as u64, 512, 32, 2048)
            }
        };
        let ctas = launch.ctas() as f64;
        let warps = launch.warps() as f64;
        let per_cta = self.inputs / ctas;
        let iterations = libm::ceil(per_cta / (launch.threads() as f64 * 4.0)).max(1.0);
        let mut read = Stage::once("read and reduce");
        read.iterations = iterations;
        read.demand.fp32 = per_cta / 32.0 / iterations;
        read.demand.int32 = per_cta / 32.0 / iterations + 2.0 * warps;
        let bytes = per_cta * self.dtype.bytes() / iterations;
        read.demand.memory = (bytes / 512.0).max(warps.min(per_cta / 32.0));
        read.memory_round_trips = 1.0;
        read.in_flight = 2.0;
        read.streams = vec![Stream::streaming("input", Direction::Read, bytes)];
        let mut combine = Stage::once("combine");
        combine.demand.memory = warps * 10.0;
        combine.demand.int32 = warps * 10.0;
        combine.demand.shared_wavefronts = warps * 2.0;
        combine.dependent_instructions = 100.0;
        combine.barriers = 3.0;
        let out = self.outputs * self.dtype.bytes() / ctas;
        combine.streams = vec![Stream::streaming("output", Direction::Write, out)];
        Kernel {
            class: KernelClass::Reduction,
            variant: format!("{} x {} threads", launch.ctas(), launch.threads()),
            launch,
            raster: Raster::flat(launch.ctas()),
            tensor: None,
            tensor_from_registers: false,
            stages: vec![read, combine],
            read_footprint_bytes: self.inputs * self.dtype.bytes(),
            write_footprint_bytes: self.outputs * self.dtype.bytes(),
            then: Vec::new(),
            useful_share: 1.0,
        }
    }
}
