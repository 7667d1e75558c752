//! Fused attention whose products run beside the warps that ask for them.
//!
//! FlashAttention 3 (Hopper; Shah et al. 2024) has a warp group that copies and others that multiply
//! with `wgmma` from shared memory, which reads a tile once for 64 rows. Version 4 (B200-class chips)
//! keeps scores and sums in tensor memory. Left out: their schedulers' choice of the next tile beyond
//! "the longest first", and what version 4 saves by pairs of CTAs.

use super::Attention;
use super::flash::TURN;
use crate::{Kernel, Target};

/// Rows of a warp group's product.
const GROUP_ROWS: u32 = 64;
/// Warps of a warp group.
const GROUP_WARPS: u32 = 4;

impl Attention {
    /// Query rows and key columns of FlashAttention 3's forward kernel.
    fn flash3_tile(&self) -> (u32, u32) {
        match (self.head_dim, self.causal) {
            (..=96, _) => (192, 128),
            (97..=128, false) => (128, 176),
            (97..=128, true) => (128, 128),
            (129..=192, _) => (128, 96),
            _ => (128, 80),
        }
    }

    /// FlashAttention 3's forward kernel.
    pub(super) fn warp_specialised(&self, target: &Target) -> Kernel {
        let (tile_rows, tile_columns) = self.flash3_tile();
        let (rows, columns) = (f64::from(tile_rows), f64::from(tile_columns));
        let (d, bytes) = (self.head_dim as f64, self.dtype.bytes());
        let groups = tile_rows / GROUP_ROWS;
        let outer_tiles = self.seq_q.div_ceil(tile_rows.into());
        // Keys and values twice: one tile is filled while another is read.
        let shared_bytes = (rows + 4.0 * columns) * d * bytes;
        let mut main = self.walk(tile_rows, tile_columns);
        // The longest start first.
        main.lengths.reverse();
        let turns = main.iterations;
        main.demand = self.softmax(rows, columns);
        main.demand.int32 += self.masks(rows, columns, turns);
        main.demand.control = f64::from(groups * GROUP_WARPS) * TURN;
        main.demand.tensor_macs = 2.0 * rows * columns * d;
        // A product of 64 rows, all columns and 16 along the sum is one instruction of four warps.
        main.demand.tensor_instructions =
            f64::from(groups * GROUP_WARPS) * (d / 16.0 + columns / 16.0);
        // Each group reads keys and values once and its queries again; copies write them once.
        let read = (2.0 * columns * f64::from(groups) + rows) * d * bytes;
        main.demand.shared_wavefronts = (read + 2.0 * columns * d * bytes) / 128.0;
        main.in_sequence_warps = groups * GROUP_WARPS;
        main.dependent_instructions = 60.0;
        let warps = (groups + 1) * GROUP_WARPS;
        // All registers of an SM, which the groups share out anew.
        let registers = (65_536 / (warps * 32) / 8 * 8).min(168);
        let launch = self.launched(outer_tiles, warps, registers, shared_bytes, target);
        Kernel {
            variant: format!("warp-specialised {tile_rows}x{tile_columns}"),
            stages: vec![
                self.outer_tile(rows, f64::from(GROUP_WARPS)),
                main,
                self.results(rows, f64::from(warps)),
            ],
            ..self.kernel(outer_tiles, launch, target)
        }
    }

    /// FlashAttention 4's forward kernel (`flash_attn/cute`, read in its public source): two tiles of
    /// 128 queries each, whose scores and sums lie in tensor memory. A warp issues all products,
    /// two groups of warps turn scores into probabilities, each with its next scores under way, so
    /// that products and softmax overlap as instructions do; a share of exponentials is worked out
    /// by multiply-adds.
    pub(super) fn tensor_memory(&self, target: &Target) -> Kernel {
        const ROWS: u32 = 256;
        const COLUMNS: u32 = 128;
        /// Of exponentials, on multiply-add pipes (a tenth to a quarter by its authors, recalled),
        /// and multiply-adds that one takes there.
        const EMULATED: f64 = 0.2;
        const POLYNOMIAL: f64 = 6.0;
        let (rows, columns) = (f64::from(ROWS), f64::from(COLUMNS));
        let (d, bytes) = (self.head_dim as f64, self.dtype.bytes());
        let outer_tiles = self.seq_q.div_ceil(ROWS.into());
        let mut main = self.walk(ROWS, COLUMNS);
        // The longest start first.
        main.lengths.reverse();
        let turns = main.iterations;
        let scores = rows * columns / 32.0;
        main.demand = self.softmax(rows, columns);
        main.demand.sfu -= scores * EMULATED;
        main.demand.fp32 += scores * EMULATED * POLYNOMIAL;
        main.demand.int32 += self.masks(rows, columns, turns);
        // Sums are scaled anew only where a maximum grew by much.
        main.demand.fp32 -= rows * d / 32.0;
        main.demand.control = f64::from(ROWS / GROUP_ROWS * GROUP_WARPS) * TURN;
        main.demand.tensor_macs = 2.0 * rows * columns * d;
        // Both tiles read keys and values once, and the first product its queries.
        let read = (2.0 * columns * 2.0 + rows) * d * bytes;
        main.demand.shared_wavefronts = (read + 2.0 * columns * d * bytes) / 128.0;
        main.dependent_instructions = 60.0;
        let shared_bytes = (rows + 4.0 * columns) * d * bytes;
        let launch = self.launched(outer_tiles, 16, 128, shared_bytes, target);
        Kernel {
            variant: format!("tensor memory {ROWS}x{COLUMNS}"),
            stages: vec![
                self.outer_tile(rows, f64::from(GROUP_WARPS)),
                main,
                self.results(rows, 8.0),
            ],
            ..self.kernel(outer_tiles, launch, target)
        }
    }
}
