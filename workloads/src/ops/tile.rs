//! CTA tiles of matrix products: their size, who multiplies, and what they need of registers and
//! shared memory.

use serde::{Deserialize, Serialize};

use crate::DType;

/// Which pipes multiply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Math {
    /// fp32/fp64/integer pipes.
    Simt,
    /// Tensor cores fed from registers (`mma`).
    Tensor,
    /// Tensor cores that four warps drive together out of shared memory (`wgmma`).
    WarpGroup,
    /// Tensor cores that one thread drives out of shared memory, accumulating in their own
    /// memory (`tcgen05`).
    TensorMemory,
}

/// A CTA tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tile {
    /// Rows of C.
    pub m: u32,
    /// Columns of C.
    pub n: u32,
    /// Depth of one k step, in elements.
    pub k: u32,
    /// k steps held in shared memory.
    pub stages: u32,
    /// Warps of a CTA.
    pub warps: u32,
    /// Pipes.
    pub math: Math,
}

impl Tile {
    /// Shared memory of the operand stages, in bytes.
    pub fn shared_bytes(&self, dtype: DType) -> u32 {
        let step = f64::from(self.m + self.n) * f64::from(self.k) * dtype.bytes();
        (step * f64::from(self.stages)) as u32
    }

    /// Groups of warps that share a tile and split the depth of each step between them
    /// ("sliced1x4"): kernels without tensor cores whose steps are deeper than the usual eight, as
    /// far as threads have room for the results (64).
    pub(super) fn slices(&self) -> u32 {
        let slices = (self.k / 8).clamp(1, self.warps.max(1));
        let results = self.m * self.n / (self.warps.max(1) * 32) * slices;
        if self.math == Math::Simt && results <= 64 { slices } else { 1 }
    }

    /// Results that a thread of a kernel without tensor cores accumulates.
    pub(super) fn outputs(&self) -> f64 {
        let threads = f64::from(self.warps.max(1)) * 32.0;
        f64::from(self.m) * f64::from(self.n) * f64::from(self.slices()) / threads
    }

    /// Loads of 16 bytes with which the warps of a kernel without tensor cores take the operands of a step
    /// out of shared memory, of words of four bytes. A thread's results are as square as their number allows.
    pub(super) fn fragment_vectors(&self) -> f64 {
        let per_step = 2.0 * libm::sqrt(self.outputs()) / 4.0;
        f64::from(self.warps) * f64::from(self.k) / f64::from(self.slices()) * per_step
    }

    /// Registers per thread: accumulators, operand fragments (double-buffered), words on their way
    /// to shared memory, and addressing. The last is what recorded launches show beyond the others
    /// (118, 122, 126 and 57 for `sgemm_128x128`, `128x64`, `64x64` and `128x32`; 82, 86 and 134 for
    /// the sliced `64x32`, `32x32` and `128x32`).
    pub(super) fn registers(&self) -> u32 {
        let accumulators = self.m * self.n / (self.warps * 32).max(1);
        match self.math {
            Math::Simt => {
                let fragments = 4.0 * libm::sqrt(self.outputs());
                let step = f64::from(self.m + self.n) * f64::from(self.k);
                let staged = step / (f64::from(self.warps.max(1)) * 32.0);
                (self.outputs() + fragments + staged + 14.0).min(255.0) as u32
            }
            Math::Tensor => (accumulators + 90).min(255),
            // Producer warps give most of their registers to the consumers.
            Math::WarpGroup => 168,
            Math::TensorMemory => 128,
        }
    }

    /// Bytes that the warps together read from shared memory in one k step.
    pub(super) fn fragment_bytes(&self, element: f64) -> f64 {
        let (m, n, k) = (f64::from(self.m), f64::from(self.n), f64::from(self.k));
        let rows_read = match self.math {
            Math::Simt | Math::Tensor => {
                let (warp_rows, warp_columns) = self.warp_grid();
                warp_columns * m + warp_rows * n
            }
            // Each group of four warps owns 64 rows and reads all of B.
            Math::WarpGroup => m + libm::ceil(m / 64.0) * n,
            // Pairs of SMs hand each other half of B: an SM reads its own half once.
            Math::TensorMemory => m + n / 2.0,
        };
        rows_read * k * element
    }

    /// Warps along m and n, as square as the tile allows.
    fn warp_grid(&self) -> (f64, f64) {
        let warps = self.warps.max(1);
        let mut best = (1.0, f64::from(warps));
        let mut best_cost = f64::INFINITY;
        for rows in (1..=warps).filter(|rows| warps.is_multiple_of(*rows)) {
            let (rows, columns) = (f64::from(rows), f64::from(warps / rows));
            // Bytes that all warps together read from shared memory per k.
            let cost = columns * f64::from(self.m) + rows * f64::from(self.n);
            if cost < best_cost {
                best_cost = cost;
                best = (rows, columns);
            }
        }
        best
    }
}
