//! A step of a matrix product on CUDA cores: what cuBLAS's `sgemm` kernels do between two barriers.
//!
//! Threads hold a square of results, load fragments of both operands from shared memory for each k,
//! and bring the words of a later step from global memory through registers. Launches recorded in
//! profiles show the structure: registers (see [`Tile`]), two buffers, and padding of operands that
//! are turned. Left out: reuse caches of the register file.

use super::gemm::Gemm;
use super::layout::Layout;
use super::tile::Tile;
use crate::DType;
use crate::kernel::Demand;

/// Wavefronts beyond the first with which the words of a sliced kernel's step are stored to shared
/// memory when an operand lies along k: 32 words of a row meet four to a bank, as rows of the turned
/// tile are padded by 16 bytes (recorded launches: 512 bytes for each turned operand of two buffers
/// of eight rows, 1,024 of 32). Steps of eight words meet none.
const SLICED_MEET: f64 = 3.0;

impl Gemm {
    /// Demand of one step of a tile.
    pub(super) fn simt_step(&self, tile: Tile) -> Demand {
        let (m, n, k) = (f64::from(tile.m), f64::from(tile.n), f64::from(tile.k));
        let warps = f64::from(tile.warps);
        let element = self.dtype.bytes();
        let words = (m + n) * k * element / 128.0;
        let macs = m * n * k / 32.0;
        let mut demand = Demand::default();
        match self.dtype {
            DType::Fp64 => demand.fp64 = macs,
            // Packed pairs.
            DType::Fp16 | DType::Bf16 if self.fp16_accumulate => demand.fp16x2 = macs / 2.0,
            // Four products an instruction (dp4a).
            DType::Int8 => demand.int32 = macs / 4.0,
            _ => demand.fp32 = macs,
        }
        let shared_loads = tile.fragment_vectors() * element / 4.0;
        // A 128-bit shared load takes two wavefronts even when lanes share words.
        demand.shared_wavefronts = words + 2.0 * shared_loads;
        // Operands that lie along k are turned.
        let Layout { a_along_k, b_along_k } = self.layout;
        let turned = |along: bool, side: f64| if along { side } else { 0.0 };
        let rows_turned = turned(a_along_k, m) + turned(b_along_k, n);
        let meeting = if tile.slices() > 1 { SLICED_MEET } else { 0.0 };
        demand.shared_wavefronts += meeting * rows_turned * k * element / 128.0;
        // Loads and stores to shared memory word by word, so that any alignment will do.
        demand.memory = 2.0 * words + shared_loads;
        demand.l1_wavefronts = words;
        // Loop control and pointer updates, spread over an unrolled step.
        demand.int32 += warps * 6.0;
        demand
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tile::Math;

    const SLICED: Tile = Tile { m: 32, n: 64, k: 32, stages: 2, warps: 8, math: Math::Simt };

    #[test]
    fn sliced_kernels_share_a_tile() {
        // Four groups of two warps, each with 32 results a thread.
        assert_eq!(SLICED.slices(), 4);
        assert!((SLICED.outputs() - 32.0).abs() < 1e-9);
        // Steps of dp4a are as deep, but nobody could hold four times the results.
        let bytes = Tile { m: 128, n: 128, ..SLICED };
        assert_eq!(bytes.slices(), 1);
    }

    #[test]
    fn registers_are_those_of_recorded_launches() {
        let of = |m, n, k, warps| Tile { m, n, k, warps, ..SLICED }.registers();
        for (found, recorded) in [
            (of(128, 128, 8, 8), 118_u32),
            (of(128, 64, 8, 4), 122),
            (of(64, 64, 8, 2), 126),
            (of(128, 32, 8, 8), 57),
            (of(32, 64, 32, 8), 82),
            (of(32, 32, 32, 4), 86),
            (of(32, 128, 32, 8), 134),
        ] {
            assert!(found.abs_diff(recorded) <= 8, "{found} for {recorded}");
        }
    }

    #[test]
    fn turning_costs_sliced_kernels_more_than_others() {
        let step = |tile: Tile, layout| {
            let gemm = Gemm { layout, ..Gemm::new(1024, 1024, 1024, DType::Fp32) };
            gemm.simt_step(tile).shared_wavefronts
        };
        let [none, both] = [false, true].map(|along| Layout { a_along_k: along, b_along_k: along });
        assert!(step(SLICED, both) > 1.5 * step(SLICED, none));
        let plain = Tile { m: 128, n: 128, k: 8, ..SLICED };
        assert!((step(plain, both) - step(plain, none)).abs() < 1e-9);
    }
}
