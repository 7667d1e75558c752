//! PyTorch's softmax: rows of up to 1024 columns by a warp each, longer ones by a CTA.
//!
//! Instructions are those of kernels of our own with the same structure (loops, vectors, block
//! reduction), compiled for `sm_80` by NVRTC 12.9 and disassembled. A warp loads its row word by
//! word into registers. A CTA walks its row three times (maximum, sum, result), in vectors of 16
//! bytes of all threads and the rest by single words; where a row does not start on 16 bytes, a
//! pass over single words comes first and the vectors lose a CTA's width. No loop is unrolled by
//! the compiler, so that every step waits for its load. Until PyTorch 2.0 CTAs have up to 512
//! threads, of which the first warp adds up what all have; since then as many as there are columns,
//! up to 1024, that reduce by shuffles, and rows that start on vectors and fit are kept in shared
//! memory.

use super::Rows;
use crate::kernel::{Demand, Direction};
use crate::{Kernel, Launch, Stage, Stream};

/// Instructions of a warp for 32 elements of one pass, in vectors; single words cost
/// [`SINGLE`] more.
struct Pass {
    fp32: f64,
    int32: f64,
    sfu: f64,
    control: f64,
    /// Operands that come from constants or that instructions don't have.
    spared: f64,
    /// Dependent instructions of one step: what an element takes, or a vector of them where the
    /// branches of exact division keep its elements from overlapping.
    chain: f64,
}

const MAXIMUM: Pass =
    Pass { fp32: 0.0, int32: 1.5, sfu: 0.0, control: 0.3, spared: 2.0, chain: 4.0 };
const SUM: Pass = Pass { fp32: 6.5, int32: 2.0, sfu: 1.0, control: 0.3, spared: 11.0, chain: 25.0 };
/// Exponential, and a division with its check for the slow path.
const RESULT: Pass =
    Pass { fp32: 12.0, int32: 4.0, sfu: 3.0, control: 4.0, spared: 20.0, chain: 70.0 };
/// Address and loop of a single word.
const SINGLE: f64 = 4.5;
/// Remainder by a number that is not known beforehand: once a pass, and once more where the row
/// does not start on a vector. Its conversions and reciprocal make it slow.
const REMAINDER: f64 = 28.0;
const REMAINDER_CHAIN: f64 = 50.0;
/// Registers of a thread since PyTorch 2.1, as a profile of an H100 shows (AMD-AGI/TraceLens).
const REGISTERS: u32 = 32;
/// Most threads of a CTA until PyTorch 2.0.
const OLDER_THREADS: u64 = 512;
/// Dependent instructions before the first load.
const START: f64 = 20.0;

/// How a CTA of `threads` walks a row of `columns` elements, on average over the places where
/// rows start.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Walk {
    /// Steps in vectors of `vector` elements.
    vectors: f64,
    /// Steps in single words.
    singles: f64,
    /// Elements that go word by word.
    single_elements: f64,
    /// Share of rows that do not start on a vector.
    shifted: f64,
}

impl Walk {
    fn of(columns: u64, vector: u64, threads: u64) -> Self {
        let step = vector * threads;
        let walk = |shift: u64| {
            let (first, rest) = match shift {
                0 => (0, columns),
                // The vectors start a CTA's width later.
                _ => (1, (columns + shift).saturating_sub(threads)),
            };
            let singles = rest % step;
            let before = columns - rest.min(columns);
            (rest / step, first + singles.div_ceil(threads), singles + before)
        };
        // Rows start at all multiples of the largest common divisor.
        let places = vector / greatest_common_divisor(columns, vector);
        let mut mean = Self {
            vectors: 0.0,
            singles: 0.0,
            single_elements: 0.0,
            shifted: 1.0 - 1.0 / places as f64,
        };
        for place in 0..places {
            let (vectors, singles, elements) = walk(place * (vector / places));
            let share = 1.0 / places as f64;
            mean.vectors += vectors as f64 * share;
            mean.singles += singles as f64 * share;
            mean.single_elements += elements as f64 * share;
        }
        mean
    }

    /// Rows that start on vectors and end on one, walked in vectors to their end.
    fn whole_vectors(columns: u64, vector: u64, threads: u64) -> Self {
        let vectors = columns.div_ceil(vector * threads) as f64;
        Self { vectors, singles: 0.0, single_elements: 0.0, shifted: 0.0 }
    }

    fn steps(&self) -> f64 {
        (self.vectors + self.singles).max(1.0)
    }
}

const fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

impl Rows {
    /// A warp keeps one row, or two short ones, in its registers.
    pub(super) fn softmax_by_warp(&self, launch: Launch) -> Kernel {
        let warps = launch.warps() as f64;
        let per_cta = self.elements() / launch.ctas() as f64;
        let all = per_cta / 32.0;
        let (read, written) = (per_cta * self.dtype.bytes(), per_cta * self.written_bytes());
        let per_lane = libm::ceil(all / warps);
        let inputs = self.inputs();
        let mut load = Stage::once("read and reduce");
        load.memory_round_trips = 1.0;
        load.demand = Demand {
            fp32: 9.0 * all * inputs,
            int32: 4.5 * all * inputs + 30.0 * warps,
            sfu: all,
            spared_operands: 15.0 * all,
            memory: all * inputs,
            ..Demand::default()
        };
        // The sum is carried on from element to element.
        load.dependent_instructions = 30.0 + 2.0 * per_lane;
        load.streams = vec![Stream::streaming("input", Direction::Read, read * inputs)];
        let mut combine = Stage::once("combine");
        // Maximum and sum, five shuffle steps each.
        combine.demand.memory = 10.0 * warps;
        combine.demand.fp32 = 10.0 * warps;
        combine.shared_round_trips = 10.0;
        combine.dependent_instructions = 10.0;
        let mut write = Stage::once("write");
        write.demand = Demand {
            fp32: 5.0 * all,
            int32: 2.5 * all,
            sfu: 2.0 * all,
            control: 4.0 * all,
            spared_operands: 6.0 * all,
            memory: all,
            ..Demand::default()
        };
        // An exact division after another.
        write.dependent_instructions = 17.0 * per_lane;
        write.streams = vec![Stream::streaming("output", Direction::Write, written)];
        self.whole(launch, vec![load, combine, write])
    }

    /// The launch that PyTorch since 2.1 chooses for rows of more than 1024 columns.
    pub(super) fn softmax_launch(&self) -> Launch {
        let threads = (self.columns.min(1024) / 32 * 32).max(32) as u32;
        let row_bytes = self.columns as f64 * self.dtype.bytes();
        let kept = if self.kept_in_shared(threads.into()) { row_bytes as u32 } else { 0 };
        Launch::linear(self.rows, threads, REGISTERS, kept + 32 * 8)
    }

    /// Whether CTAs of so many threads keep their row in shared memory.
    fn kept_in_shared(&self, threads: u64) -> bool {
        /// What a CTA gets without asking for more.
        const ROOM_BYTES: f64 = 48.0 * 1024.0;
        let row_bytes = self.columns as f64 * self.dtype.bytes();
        let aligned = libm::fmod(row_bytes, 16.0) == 0.0;
        threads > OLDER_THREADS && aligned && row_bytes + 1024.0 <= ROOM_BYTES && !self.backward
    }

    /// A CTA walks its row three times and reduces over its warps twice.
    pub(super) fn softmax_by_cta(&self, launch: Launch) -> Kernel {
        let warps = launch.warps() as f64;
        let inputs = self.inputs();
        let per_cta = self.elements() / launch.ctas() as f64;
        let (read, written) =
            (per_cta * self.dtype.bytes() * inputs, per_cta * self.written_bytes());
        let vector = ((16.0 / self.dtype.bytes()) as u64).max(1);
        let kept = self.kept_in_shared(launch.threads());
        let walk = if kept {
            Walk::whole_vectors(self.columns, vector, launch.threads().max(1))
        } else {
            Walk::of(self.columns, vector, launch.threads().max(1))
        };
        let rows = per_cta / self.columns as f64;
        let all = per_cta / 32.0;
        let singles = walk.single_elements * rows / 32.0;
        let steps = walk.steps() * rows.max(1.0);
        let pass = |name: &'static str, pass: &Pass, writes: bool| {
            let mut stage = Stage::once(name);
            stage.iterations = steps;
            // A vector and a word are an instruction each.
            let words = singles + (all - singles).max(0.0) / vector as f64;
            stage.demand = Demand {
                fp32: pass.fp32 * all * inputs / steps,
                int32: (pass.int32 * all + SINGLE * singles) / steps,
                sfu: pass.sfu * all / steps,
                control: (pass.control * all + singles) / steps,
                spared_operands: (pass.spared * all + 1.5 * SINGLE * singles) / steps,
                memory: words * (inputs + f64::from(u8::from(writes))) / steps,
                ..Demand::default()
            };
            stage.memory_round_trips = 1.0;
            stage.dependent_instructions = pass.chain;
            stage
        };
        let mut set_up = Stage::once("set-up");
        set_up.iterations = rows.max(1.0);
        let remainders = 3.0 * (1.0 + walk.shifted);
        set_up.demand.int32 = REMAINDER * remainders * warps;
        set_up.dependent_instructions = START + REMAINDER_CHAIN * remainders;
        let mut maximum = pass("maximum", &MAXIMUM, false);
        maximum.streams = vec![Stream::streaming("input", Direction::Read, read / steps)];
        let mut sum = pass("sum", &SUM, false);
        let mut write = pass("write", &RESULT, true);
        write.streams = vec![Stream::streaming("output", Direction::Write, written / steps)];
        if kept {
            maximum.demand.shared_wavefronts = read / 128.0 / steps;
            for stage in [&mut sum, &mut write] {
                stage.demand.shared_wavefronts = read / 128.0 / steps;
                stage.memory_round_trips = 0.0;
                stage.shared_round_trips = 1.0;
            }
        } else {
            for stage in [&mut sum, &mut write] {
                stage.streams.push(Self::again(read / steps, read + written));
            }
        }
        let mut combine = Stage::once("combine");
        combine.iterations = 2.0 * rows.max(1.0);
        if launch.threads() > OLDER_THREADS {
            // Shuffles in each warp, then in one over what all have.
            combine.demand.memory = 7.0 * warps + 5.0;
            combine.demand.fp32 = 5.0 * warps + 5.0;
            combine.demand.int32 = 10.0 * warps;
            combine.demand.shared_wavefronts = 2.0 * warps;
            combine.dependent_instructions = 15.0;
            combine.shared_round_trips = 12.0;
            combine.barriers = 3.0;
        } else {
            // Lanes of the first warp add up 32 values each, all of them on one bank; then one lane
            // adds up what they have.
            combine.demand.shared_wavefronts = 34.0 * warps;
            combine.demand.memory = warps + 32.0 + warps;
            combine.demand.int32 = 8.0 * warps + 42.0;
            combine.dependent_instructions = 32.0 + warps;
            combine.shared_round_trips = 3.0 + warps / 4.0;
            combine.barriers = 4.0;
        }
        self.whole(launch, vec![set_up, maximum, sum, write, combine])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_rows_go_by_vectors_first() {
        let walk = Walk::of(2048, 4, 256);
        assert_eq!(walk, Walk { vectors: 2.0, singles: 0.0, single_elements: 0.0, shifted: 0.0 });
        let walk = Walk::of(1332, 4, 256);
        assert_eq!(walk, Walk { vectors: 1.0, singles: 2.0, single_elements: 308.0, shifted: 0.0 });
    }

    #[test]
    fn rows_that_start_anywhere_lose_vectors() {
        // 1061 columns: a quarter of the rows start on 16 bytes (one vector step, one of words);
        // the others have 805 to 808 left after the first step, too few for a vector step.
        let walk = Walk::of(1061, 4, 256);
        assert!((walk.vectors - 0.25).abs() < 1e-12, "{walk:?}");
        assert!((walk.singles - (0.25 + 0.75 * 5.0)).abs() < 1e-12, "{walk:?}");
    }

    #[test]
    fn every_element_is_walked() {
        for (columns, vector, threads) in [(1025, 4, 128), (3137, 8, 1024), (4097, 4, 512)] {
            let walk = Walk::of(columns, vector, threads);
            let by_vectors = walk.vectors * (vector * threads) as f64;
            let all = by_vectors + walk.single_elements;
            // Steps over the start of a row read some elements before it.
            assert!((all - columns as f64).abs() <= vector as f64, "{columns}: {all}");
        }
    }
}
