//! PyTorch's layer norm: one kernel in vectors of four elements, or an older pair.
//!
//! Instructions of the vectorised kernel are those of a kernel of our own with the same structure
//! (Welford's update with a reciprocal per element, shuffles, two levels through shared memory),
//! compiled for `sm_80` by NVRTC 12.9 and disassembled. The reciprocal checks for its slow path,
//! so that elements of a thread follow each other; scale and shift are read element by element.
//! Left out: root mean square norms (no such kernel in PyTorch's library then).

use super::{Candidate, Rows};
use crate::kernel::{Demand, Direction};
use crate::{Kernel, Launch, Raster, Stage, Stream};

/// Welford's update by an element: additions and multiply-adds, the reciprocal's among them.
const UPDATE_FP32: f64 = 8.0;
/// Its check for the slow path: integer instructions, and as many that branch.
const UPDATE_CHECK: f64 = 3.0;
/// Register operands that these two kinds don't read: constants, and sums of two.
const UPDATE_SPARED: f64 = 13.0;
/// Instructions from one element's update to the next one's.
const UPDATE_CHAIN: f64 = 17.0;
/// Adding up the moments of two threads: additions and multiplications; the rest; the chain.
const COMBINE_FP32: f64 = 14.0;
const COMBINE_OTHER: f64 = 14.0;
const COMBINE_CHAIN: f64 = 20.0;
/// Trip counts of two loops, each a division by a number that is not known beforehand; what it
/// takes at a time, conversions and reciprocal among it.
const SET_UP: f64 = 90.0;
const SET_UP_CHAIN: f64 = 120.0;

impl Rows {
    /// Four elements a thread and step, moments first, then the result.
    pub(super) fn layer_norm(&self, launch: Launch) -> Kernel {
        let warps = launch.warps() as f64;
        let per_cta = self.elements() / launch.ctas() as f64;
        let (read, written) = (per_cta * self.dtype.bytes(), per_cta * self.written_bytes());
        let all = per_cta / 32.0;
        let vectors = all / 4.0;
        let steps = libm::ceil(per_cta / (launch.threads() as f64 * 4.0)).max(1.0);
        // Halves are widened on their way in and narrowed on their way out.
        let narrow = f64::from(u8::from(self.dtype.bytes() < 4.0));
        let mut moments = Stage::once("moments");
        moments.iterations = steps;
        moments.memory_round_trips = 1.0;
        moments.demand = Demand {
            fp32: (UPDATE_FP32 * all + vectors) / steps,
            int32: ((UPDATE_CHECK + narrow) * all + 3.0 * vectors) / steps,
            control: (UPDATE_CHECK * all + vectors) / steps,
            sfu: all / steps,
            spared_operands: UPDATE_SPARED * all / steps,
            memory: vectors / steps,
            ..Demand::default()
        };
        moments.dependent_instructions = UPDATE_CHAIN * libm::ceil(all / warps).min(4.0);
        moments.streams = vec![Stream::streaming("input", Direction::Read, read / steps)];
        let mut combine = Stage::once("combine");
        // Five levels of shuffles in each warp, then one warp fewer than before at each level.
        let levels = libm::log2(warps.max(1.0));
        let times = 5.0 * warps + warps - 1.0;
        combine.demand = Demand {
            fp32: COMBINE_FP32 * times,
            int32: COMBINE_OTHER / 2.0 * times + (SET_UP + 15.0 * levels) * warps,
            control: COMBINE_OTHER / 2.0 * times,
            sfu: times,
            memory: 3.0 * times,
            ..Demand::default()
        };
        combine.dependent_instructions = COMBINE_CHAIN * (5.0 + levels) + SET_UP_CHAIN;
        combine.shared_round_trips = 6.0 + levels;
        combine.barriers = 2.0 * levels + 1.0;
        let mut write = Stage::once("write");
        write.iterations = steps;
        write.memory_round_trips = 1.0;
        write.demand = Demand {
            fp32: (3.0 * all + 3.0 * vectors) / steps,
            int32: (3.5 * narrow * all + 3.0 * vectors) / steps,
            control: vectors / steps,
            // The element again, scale and shift of each, the result.
            memory: (1.0 + 8.0 + 1.0) * vectors / steps,
            // Lanes lie a vector apart: a wavefront for every line that they touch.
            l1_wavefronts: (8.0 + 2.0) * self.dtype.bytes() * vectors / steps,
            ..Demand::default()
        };
        write.dependent_instructions = 12.0;
        write.streams = vec![
            Stream::streaming("output", Direction::Write, written / steps),
            Self::again(read / steps, read + written),
        ];
        self.whole(launch, vec![moments, combine, write])
    }

    /// Moments of each row by a CTA of 512 threads, element by element with Welford's update;
    /// then the result by another of 256.
    pub(super) fn in_two_kernels(&self) -> Candidate {
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
        moments.demand.fp32 = UPDATE_FP32 * warps;
        moments.demand.int32 += UPDATE_CHECK * warps;
        moments.demand.control = UPDATE_CHECK * warps;
        moments.demand.sfu = warps;
        moments.dependent_instructions = UPDATE_CHAIN;
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
}
