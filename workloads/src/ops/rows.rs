//! Work on rows: normalisations, softmax and reductions.
//!
//! A CTA (or a warp, for short rows) owns a row, reads it, reduces it, and writes the result.
//! Rows that do not fit in registers or shared memory are read again; whether the second read
//! hits a cache is for the engine to say. PyTorch's softmax and layer norm have modules of their
//! own. Left out: cluster-wide reductions.

use serde::{Deserialize, Serialize};

use super::{Candidate, Recorded};
use crate::kernel::{Demand, Direction, Pattern};
use crate::{DType, Kernel, KernelClass, Launch, Raster, Stage, Stream, Target};

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
    pub(super) fn written_bytes(&self) -> f64 {
        self.written_dtype.unwrap_or(self.dtype).bytes()
    }

    pub(super) fn elements(&self) -> f64 {
        self.rows as f64 * self.columns as f64
    }

    /// About five operations an element, twice that backward.
    pub fn flops(&self) -> f64 {
        self.elements() * if self.backward { 10.0 } else { 5.0 }
    }

    /// Inputs read once, result written once.
    pub fn compulsory_bytes(&self) -> f64 {
        self.elements() * (self.dtype.bytes() * self.inputs() + self.written_bytes())
    }

    /// The recorded launch; else the one that PyTorch's fixed rules give: a warp per row for
    /// softmax of up to 1024 columns, a CTA of up to 1024 threads per row beyond, four warps
    /// per row for norms of the last dimension, and 512 threads (the most of PyTorch's) for those of channels, whose rows
    /// are long and few.
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
                RowOperation::Softmax => self.softmax_launch(),
                RowOperation::Norm(NormKind::Batch | NormKind::Group) => {
                    let threads = if self.columns < 512 { 128 } else { 512 };
                    Launch::linear(self.rows, threads, 40, 32 * 8)
                }
                RowOperation::Norm(_) => Launch::linear(self.rows, 128, 40, 32 * 8),
            },
        };
        // Rows that vectors of four elements don't divide take PyTorch's older pair of kernels.
        let layer = self.operation == RowOperation::Norm(NormKind::Layer) && !self.backward;
        if layer && self.recorded.is_none() && !self.columns.is_multiple_of(4) {
            return vec![self.in_two_kernels()];
        }
        vec![self.kernel(launch).into()]
    }

    fn kernel(&self, launch: Launch) -> Kernel {
        match self.operation {
            RowOperation::Softmax if self.columns <= 1024 => return self.softmax_by_warp(launch),
            RowOperation::Softmax => return self.softmax_by_cta(launch),
            RowOperation::Norm(NormKind::Layer) if !self.backward => {
                return self.layer_norm(launch);
            }
            RowOperation::Norm(_) => {}
        }
        let ctas = launch.ctas() as f64;
        let warps = launch.warps() as f64;
        let per_cta = self.elements() / ctas;
        let inputs = self.inputs();
        let read = per_cta * self.dtype.bytes() * inputs;
        let written = per_cta * self.written_bytes();
        // Without vectors a thread has one element under way.
        let single = self.vector_bytes < 8.0;
        let at_once = if single { 1.0 } else { 8.0 };
        let threads = launch.threads() as f64;
        let iterations = libm::ceil(per_cta / (threads * at_once)).max(1.0);
        let demand = Demand {
            fp32: per_cta / 32.0 * 3.0 * inputs / iterations,
            int32: per_cta / 32.0 * 2.0 / iterations + warps,
            memory: (read / (32.0 * self.vector_bytes) / iterations).max(warps.min(per_cta / 32.0)),
            ..Demand::default()
        };
        let mut reduce = Stage::once("read and reduce");
        reduce.iterations = iterations;
        reduce.demand = demand;
        reduce.memory_round_trips = 1.0;
        reduce.in_flight = 1.0;
        reduce.streams = vec![Stream::streaming("input", Direction::Read, read / iterations)];
        // A CTA that owns a row reduces over warps through shared memory.
        let per_row =
            self.rows as f64 >= ctas && launch.threads() > 32 && self.rows as f64 <= ctas * 1.5;
        let reductions = f64::from(u8::from(per_row));
        let serial = 4.0;
        let mut combine = Stage::once("combine");
        // Five shuffle steps in a warp, each a trip through the shared-memory crossbar.
        combine.demand.int32 = warps * 10.0;
        combine.demand.shared_wavefronts = warps * 2.0 + serial;
        combine.demand.memory = warps * 12.0;
        combine.dependent_instructions = 20.0;
        combine.shared_round_trips = 5.0 + serial * reductions;
        combine.barriers = 3.0 * reductions;
        let mut write = Stage::once("write");
        write.iterations = iterations;
        write.demand = demand;
        write.memory_round_trips = 1.0;
        write.in_flight = reduce.in_flight;
        write.streams = vec![
            Stream::streaming("output", Direction::Write, written / iterations),
            Self::again(read / iterations, read + written),
        ];
        self.whole(launch, vec![reduce, combine, write])
    }

    /// Tensors of the result's size that are read.
    pub(super) const fn inputs(&self) -> f64 {
        if self.backward { 2.0 } else { 1.0 }
    }

    /// A later pass over bytes that the CTA has read before; the other resident CTAs' results
    /// pass through the caches as well.
    pub(super) const fn again(bytes: f64, distance_bytes: f64) -> Stream {
        Stream {
            label: "input again",
            direction: Direction::Read,
            bytes,
            pattern: Pattern::Repeated { distance_bytes },
        }
    }

    /// A launch that reads everything once from memory and writes the result.
    pub(super) fn whole(&self, launch: Launch, stages: Vec<Stage>) -> Kernel {
        Kernel {
            class: self.class(),
            variant: format!("{} rows, {} threads", self.rows, launch.threads()),
            launch,
            raster: Raster::flat(launch.ctas()),
            tensor: None,
            tensor_from_registers: false,
            stages,
            read_footprint_bytes: self.elements() * self.dtype.bytes() * self.inputs(),
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
                let full = f64::from(target.sm_count) * 4.0;
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
        // A thread waits for its four elements before it asks for the next: the loop has no count
        // known when compiled and is not unrolled (PyTorch's public source).
        read.memory_round_trips = 1.0;
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
