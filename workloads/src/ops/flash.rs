//! Fused attention as FlashAttention runs it: a CTA keeps a tile of queries and walks the keys and
//! values, so that scores never leave the SM.
//!
//! Version 2 multiplies with `mma` from registers, each warp for rows of its own: all of them read
//! all keys and values from shared memory, and their queries again for each tile. Its tiles follow
//! the public source's rule (versions 2.3 to 2.6). Instructions of a turn of its loops were counted
//! in its public source, compiled for `sm_80`, `sm_86` and `sm_90` (12 variants) and disassembled,
//! spilled registers among them. Versions 3 and 4 have a module of their own; heads that are too long
//! for any of them take CUTLASS's memory-efficient kernel. Left out: dropout, sliding windows,
//! variable lengths, and what a compiler's version changes.

use serde::{Deserialize, Serialize};

use super::Attention;
use crate::kernel::{Demand, Direction, Pattern, Shared};
use crate::{Kernel, KernelClass, Launch, Raster, Stage, Stream, Target};

/// Whose fused kernel runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Implementation {
    /// FlashAttention 2, and what multiplies the same way.
    Flash2,
    /// FlashAttention 3, and what multiplies the same way (cuDNN on Hopper).
    Flash3,
    /// FlashAttention 4, and what multiplies the same way (cuDNN on B200-class chips).
    Flash4,
}

/// Instructions of a warp that no loop repeats, and how many of them wait for each other.
struct Once {
    int32: f64,
    control: f64,
    chain: f64,
}

impl Implementation {
    /// The newest version that a target can run, up to the one asked for: 3 needs the products of
    /// Hopper's warp groups, 4 tensor memory.
    pub(super) fn on(target: &Target, asked: Option<Self>) -> Self {
        match (target.compute_capability / 10, asked) {
            (9, None | Some(Self::Flash3 | Self::Flash4)) => Self::Flash3,
            (10, None | Some(Self::Flash4)) => Self::Flash4,
            _ => Self::Flash2,
        }
    }
}

/// Instructions of a masked score: compare, select.
const MASK: f64 = 2.0;
/// Addresses, loop and barriers of a warp in a turn.
pub(super) const TURN: f64 = 44.0;
/// Look-ups in the page table and addresses that follow from them, of a warp in a turn.
const PAGES: f64 = 100.0;
/// Before the loop, of a warp.
const START: Once = Once { int32: 185.0, control: 55.0, chain: 200.0 };
/// After it, besides what grows with the tile.
const END: Once = Once { int32: 150.0, control: 60.0, chain: 100.0 };
/// Registers of a thread besides its scores and sums: fragments, addresses, maxima.
const BESIDE: f64 = 90.0;
/// Registers that a thread can have.
const MOST_REGISTERS: f64 = 255.0;
/// Beyond so many tiles of queries the longest hardly matters.
const MOST_TILES: u64 = 4096;

impl Attention {
    /// Query rows, key columns and warps of FlashAttention 2's forward kernel.
    pub(super) fn flash2_tile(&self, target: &Target) -> (u32, u32, u32) {
        // Compute capabilities between those of data-centre chips have less shared memory.
        let small = target.shared_bytes_per_cta < 128 * 1024;
        match (self.head_dim, self.causal) {
            (..=64, _) => (128, 128, 4),
            (65..=160, true) if small => (64, 64, 4),
            (97..=128, false) if small => (128, 32, 4),
            (65..=128, _) => (128, 64, 4),
            (129..=160, false) if small => (128, 64, 8),
            (129..=160, _) => (128, 32, 4),
            (161..=192, _) if !small => (128, 64, 8),
            // Two small tiles fit where there is most shared memory.
            _ if small || target.shared_bytes_per_cta > 192 * 1024 => (64, 64, 4),
            _ => (128, 64, 8),
        }
    }

    /// Demand of one (rows × columns) score tile, without copies and products.
    pub(super) fn softmax(&self, rows: f64, columns: f64) -> Demand {
        let scores = rows * columns / 32.0;
        Demand {
            // Scale and add; once for a tile, sums so far are scaled anew.
            fp32: scores * 2.0 + rows * self.head_dim as f64 / 32.0,
            // Running maximum; two scores to a packed pair.
            int32: scores * 1.5,
            // One exponential a score.
            sfu: scores,
            ..Demand::default()
        }
    }

    /// Demand of one (rows × columns) score tile whose warps read all keys and values themselves.
    pub(super) fn tile_demand(&self, rows: f64, columns: f64, warps: f64, tensor: bool) -> Demand {
        let d = self.head_dim as f64;
        let products = if self.backward { 5.0 } else { 2.0 };
        let macs = products * rows * columns * d;
        let bytes = self.dtype.bytes();
        // Keys and values are read by every warp (each warp owns rows), queries by their own.
        let readers = warps.min(rows / 16.0).max(1.0);
        let fragments = (2.0 * columns * readers + rows) * d * bytes;
        let staged = 2.0 * columns * d * bytes;
        let spills = warps * self.spills(rows, columns, warps);
        let mut demand = self.softmax(rows, columns);
        demand.int32 += warps * TURN;
        demand.memory = (fragments + staged) / 512.0 + spills;
        demand.shared_wavefronts = (fragments + staged) / 128.0;
        demand.l1_wavefronts = spills;
        if tensor {
            demand.tensor_macs = macs;
            demand.tensor_instructions = macs / 2048.0;
        } else {
            demand.fp32 += macs / 32.0;
        }
        demand
    }

    /// Stores and loads of a thread in a turn because its scores and sums don't fit into registers.
    fn spills(&self, rows: f64, columns: f64, warps: f64) -> f64 {
        let held = rows * (columns + self.head_dim as f64) / (warps * 32.0);
        2.0 * (held + BESIDE - MOST_REGISTERS).clamp(0.0, 64.0)
    }

    /// Inner tiles of an outer one whose scores are compared with the diagonal or with the end of
    /// the keys, one by one.
    fn masked_tiles(&self, rows: f64, columns: f64) -> f64 {
        let end = f64::from(u8::from(libm::fmod(self.seq_kv as f64, columns) > 0.0));
        end + if self.causal { libm::ceil(rows / columns) } else { 0.0 }
    }

    /// Instructions that masks add to an average turn of `turns`.
    pub(super) fn masks(&self, rows: f64, columns: f64, turns: f64) -> f64 {
        MASK * self.masked_tiles(rows, columns).min(turns) / turns * (rows * columns / 32.0)
    }

    /// Tiles of keys that each tile of queries sees, in order.
    fn lengths(&self, rows: u32, columns: u32) -> Vec<f64> {
        let hidden = self.seq_kv.saturating_sub(self.seq_q);
        let tiles = self.seq_q.div_ceil(rows.into());
        (1..=tiles)
            .map(|tile| (hidden + tile * u64::from(rows)).min(self.seq_kv))
            .map(|seen| seen.div_ceil(columns.into()).max(1) as f64)
            .collect()
    }

    /// The loop over tiles of keys and values, without what it asks of the SM.
    pub(super) fn walk(&self, rows: u32, columns: u32) -> Stage {
        // Backward walks queries for each tile of keys.
        let inner = if self.backward { self.seq_q } else { self.seq_kv };
        let whole = inner as f64 / f64::from(columns);
        let mut main = Stage::once("main loop");
        let tiles = self.seq_q.div_ceil(rows.into());
        if self.causal && !self.backward && (2..=MOST_TILES).contains(&tiles) {
            main.lengths = self.lengths(rows, columns);
            main.iterations = main.lengths.iter().sum::<f64>() / main.lengths.len() as f64;
        } else {
            main.iterations = libm::ceil(whole * self.visible_share()).max(1.0);
        }
        let columns = f64::from(columns);
        main.in_flight = 2.0;
        main.memory_round_trips = 1.0;
        main.barriers = 2.0;
        main.streams = vec![Stream {
            label: "inner tiles",
            direction: Direction::Read,
            bytes: 2.0 * columns * self.head_dim as f64 * self.dtype.bytes(),
            pattern: Pattern::Tiled {
                footprint_bytes: self.kv_bytes(),
                shared: Shared::Row,
                runs: None,
            },
        }];
        main
    }

    /// Loads of a CTA's own tile, before the loop.
    pub(super) fn outer_tile(&self, rows: f64, warps: f64) -> Stage {
        let mut prologue = Stage::once("load outer tile");
        let tile = rows * self.head_dim as f64 * self.dtype.bytes();
        prologue.demand.int32 = warps * if self.paged { 570.0 } else { START.int32 };
        prologue.demand.control = warps * START.control;
        prologue.demand.memory = tile / 512.0;
        prologue.dependent_instructions = START.chain;
        prologue.memory_round_trips = 2.0;
        prologue.barriers = 1.0;
        // Without a mask all CTAs take as long, so a wave starts and ends together.
        prologue.in_step = !self.causal;
        prologue.streams = vec![Stream::streaming("outer tile", Direction::Read, tile)];
        prologue
    }

    /// Results of a CTA, through shared memory to the result (twice as many backward).
    pub(super) fn results(&self, rows: f64, warps: f64) -> Stage {
        let (d, bytes) = (self.head_dim as f64, self.dtype.bytes());
        let mut epilogue = Stage::once("epilogue");
        let written = if self.backward { 2.0 } else { 1.0 };
        epilogue.in_step = !self.causal;
        let elements = rows * d / 32.0;
        epilogue.demand.fp32 = elements;
        // Packed by two, but written to shared memory one by one.
        epilogue.demand.int32 = elements / 2.0 + warps * END.int32;
        epilogue.demand.control = warps * END.control;
        epilogue.demand.memory = elements + 2.0 * rows * d * bytes / 512.0;
        epilogue.demand.shared_wavefronts = elements + rows * d * bytes / 128.0;
        epilogue.dependent_instructions = END.chain;
        epilogue.shared_round_trips = 2.0;
        epilogue.barriers = 1.0;
        epilogue.streams =
            vec![Stream::streaming("output", Direction::Write, written * rows * d * bytes)];
        epilogue
    }

    /// FlashAttention 2, forward or backward, with a tile of its own.
    pub(super) fn fused(
        &self,
        tile_rows: u32,
        tile_columns: u32,
        warps: u32,
        target: &Target,
    ) -> Kernel {
        let (rows, columns) = (f64::from(tile_rows), f64::from(tile_columns));
        let d = self.head_dim as f64;
        let outer = if self.backward { self.seq_kv } else { self.seq_q };
        let outer_tiles = outer.div_ceil(tile_rows.into());
        let shared_rows = rows + 2.0 * columns * if self.backward { 2.0 } else { 1.0 };
        let shared_bytes = shared_rows * d * self.dtype.bytes();
        let mut main = self.walk(tile_rows, tile_columns);
        let turns = main.iterations;
        main.demand =
            self.tile_demand(rows, columns, f64::from(warps), self.on_tensor_cores(target));
        main.demand.int32 += self.masks(rows, columns, turns);
        if self.paged {
            main.demand.int32 += PAGES * f64::from(warps);
        }
        // Scores, softmax and output product follow each other for one warp.
        main.in_sequence_warps = warps;
        main.shared_round_trips = 2.0;
        main.dependent_tensor = 2.0 * d / 16.0;
        main.dependent_instructions = 60.0;
        let launch = self.launched(outer_tiles, warps, 255, shared_bytes, target);
        Kernel {
            variant: format!("fused {tile_rows}x{tile_columns}"),
            // Shorter inner products than Hopper's warp groups take.
            tensor_from_registers: true,
            stages: vec![
                self.outer_tile(rows, f64::from(warps)),
                main,
                self.results(rows, f64::from(warps)),
            ],
            ..self.kernel(outer_tiles, launch, target)
        }
    }

    /// CUTLASS's memory-efficient kernel, which frameworks fall back to for long heads: tiles of 32
    /// queries by 128 keys, whose sums are too long for registers and stay in memory, 128 columns at
    /// a time. Each of its products fills its pipeline anew.
    pub(super) fn memory_efficient(&self, target: &Target) -> Kernel {
        const ROWS: u32 = 32;
        const COLUMNS: u32 = 128;
        const WARPS: u32 = 4;
        let (rows, columns) = (f64::from(ROWS), f64::from(COLUMNS));
        let (d, bytes) = (self.head_dim as f64, self.dtype.bytes());
        let outer_tiles = self.seq_q.div_ceil(ROWS.into());
        let mut main = self.walk(ROWS, COLUMNS);
        let turns = main.iterations;
        let tensor = self.on_tensor_cores(target);
        main.demand = self.softmax(rows, columns);
        main.demand.int32 += self.masks(rows, columns, turns) + f64::from(WARPS) * PAGES;
        let macs = 2.0 * rows * columns * d;
        if tensor {
            main.demand.tensor_macs = macs;
            main.demand.tensor_instructions = macs / 2048.0;
        } else {
            main.demand.fp32 += macs / 32.0;
        }
        // A warp owns 32 columns of either product and reads all rows for them.
        let warps = f64::from(WARPS);
        let scores = (warps * rows + columns) * d * bytes;
        let values = libm::ceil(d / columns) * (warps * rows + columns) * columns * bytes;
        let staged = 2.0 * columns * d * bytes;
        main.demand.memory = (scores + values + staged) / 512.0 + 2.0 * rows * d * 4.0 / 512.0;
        main.demand.shared_wavefronts = (scores + values + staged) / 128.0;
        main.in_flight = 1.0;
        main.memory_round_trips = 1.0 + libm::ceil(d / columns);
        main.barriers = 2.0 + 2.0 * libm::ceil(d / columns);
        main.in_sequence_warps = WARPS;
        main.streams.extend([Direction::Read, Direction::Write].map(|direction| Stream {
            label: "sums",
            direction,
            bytes: rows * d * 4.0,
            pattern: Pattern::L2Resident,
        }));
        let shared_bytes = (3.0 * (rows + columns) * 32.0 + rows * columns) * bytes;
        let launch = self.launched(outer_tiles, WARPS, 128, shared_bytes, target);
        Kernel {
            variant: format!("memory-efficient {ROWS}x{COLUMNS}"),
            tensor_from_registers: true,
            stages: vec![self.outer_tile(rows, warps), main, self.results(rows, warps)],
            ..self.kernel(outer_tiles, launch, target)
        }
    }

    /// The launch as recorded, or a CTA for each tile and head.
    pub(super) fn launched(
        &self,
        tiles: u64,
        warps: u32,
        registers: u32,
        shared_bytes: f64,
        target: &Target,
    ) -> Launch {
        let heads = self.batch * self.heads_q;
        match self.recorded {
            Some(recorded) if recorded.fits(target) => recorded.launch,
            _ => Launch {
                grid: [
                    u32::try_from(tiles).unwrap_or(u32::MAX),
                    u32::try_from(heads).unwrap_or(u32::MAX),
                    1,
                ],
                block: [warps * 32, 1, 1],
                registers,
                shared_bytes: (shared_bytes as u32).min(target.shared_bytes_per_cta),
            },
        }
    }

    /// A fused kernel without its stages.
    pub(super) fn kernel(&self, tiles: u64, launch: Launch, target: &Target) -> Kernel {
        let written = if self.backward { 2.0 } else { 1.0 };
        Kernel {
            class: KernelClass::Attention,
            variant: String::new(),
            launch,
            raster: Raster {
                rows: self.batch * self.heads_q,
                columns: tiles,
                batches: 1,
                group: tiles,
            },
            tensor: self.on_tensor_cores(target).then(|| self.tensor_type()),
            tensor_from_registers: false,
            stages: Vec::new(),
            read_footprint_bytes: self.kv_bytes() + self.q_bytes(),
            write_footprint_bytes: self.q_bytes() * written,
            then: Vec::new(),
            useful_share: 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{A100, DType};

    fn target(compute_capability: u32, shared_kib: u32) -> Target {
        Target { compute_capability, shared_bytes_per_cta: shared_kib * 1024, ..A100 }
    }

    fn call(head_dim: u64, causal: bool) -> Attention {
        Attention { causal, ..Attention::new([2, 16, 1024, 1024, head_dim], DType::Fp16) }
    }

    #[test]
    fn tiles_follow_the_library() {
        let (a100, a40, h100) = (target(80, 163), target(86, 99), target(90, 227));
        for (head_dim, causal, expected) in [
            (64, true, [(128, 128, 4); 3]),
            (96, true, [(128, 64, 4), (64, 64, 4), (128, 64, 4)]),
            (128, false, [(128, 64, 4), (128, 32, 4), (128, 64, 4)]),
            (128, true, [(128, 64, 4), (64, 64, 4), (128, 64, 4)]),
            (256, false, [(128, 64, 8), (64, 64, 4), (64, 64, 4)]),
        ] {
            let tiles = [&a100, &a40, &h100].map(|gpu| call(head_dim, causal).flash2_tile(gpu));
            assert_eq!(tiles, expected, "{head_dim} {causal}");
        }
    }

    #[test]
    fn a_target_runs_the_newest_version_it_can() {
        use Implementation::{Flash2, Flash3, Flash4};
        for (capability, asked, expected) in [
            (80, None, Flash2),
            (80, Some(Flash4), Flash2),
            (90, None, Flash3),
            (90, Some(Flash2), Flash2),
            (100, None, Flash4),
            (103, Some(Flash3), Flash2),
            (120, None, Flash2),
        ] {
            assert_eq!(Implementation::on(&target(capability, 227), asked), expected);
        }
    }

    #[test]
    fn tiles_of_queries_see_up_to_the_diagonal() {
        let mut call = call(64, true);
        assert_eq!(call.lengths(256, 128), [2.0, 4.0, 6.0, 8.0]);
        // Keys that were there before all queries.
        call.seq_kv = 1024 + 100;
        assert_eq!(call.lengths(512, 128), [5.0, 9.0]);
        let stage = call.walk(512, 128);
        assert!((stage.iterations - 7.0).abs() < 1e-12);
    }

    #[test]
    fn long_heads_keep_their_sums_in_memory() {
        let kernels = call(512, false).lower(&target(86, 99)).remove(0).kernels;
        assert_eq!(kernels[0].variant, "memory-efficient 32x128");
        let sums: f64 = kernels[0].per_cta(|stage| {
            stage.streams.iter().filter(|s| s.label == "sums").map(|s| s.bytes).sum()
        });
        // 32 rows of 512 in fp32, read and written for each of 8 tiles of keys.
        assert!((sums - 2.0 * 8.0 * 32.0 * 512.0 * 4.0).abs() < 1.0);
    }

    #[test]
    fn spills_are_as_disassembled() {
        // 52 to 70 accesses in a turn where scores and sums are 192 registers, 2 at 160.
        assert!((call(128, true).spills(128.0, 64.0, 4.0) - 54.0).abs() < 1e-9);
        assert!((call(64, true).spills(128.0, 128.0, 4.0) - 54.0).abs() < 1e-9);
        assert!(call(128, true).spills(128.0, 32.0, 4.0) < 1e-9);
    }

    #[test]
    fn warp_groups_read_keys_once_for_64_rows() {
        let h100 = target(90, 227);
        let wavefronts = |kernel: &Kernel| {
            let per_cta = kernel.per_cta(|stage| stage.demand.shared_wavefronts);
            per_cta * kernel.launch.ctas() as f64
        };
        let call = call(128, false);
        let (rows, columns, warps) = call.flash2_tile(&h100);
        let third = wavefronts(&call.warp_specialised(&h100));
        let second = wavefronts(&call.fused(rows, columns, warps, &h100));
        assert!(third < 0.6 * second, "{third} {second}");
    }
}
