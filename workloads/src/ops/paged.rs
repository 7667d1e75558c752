//! Attention over a paged cache as `FlashAttention` 2 runs it (`flash_attn_with_kvcache`, read in
//! its public source, versions 2.3 to 2.6): the split-KV kernel with tiles of 64 queries by 128
//! keys, its rule for the number of splits, the appending of new keys and values, and the kernel
//! that adds the splits up.
//!
//! The number of splits and the keys of a split follow from the *room* of a sequence in the page
//! table, not from how long it is: splits beyond its end start and return. Every CTA copies those
//! new rows to the cache that it will read itself; CTAs that share a KV head copy the same rows in
//! step, so that few slices of L2 take what all write. Left out: the time of CTAs that return at
//! once, rotary embedding, and sliding windows.

use super::{Attention, Candidate};
use crate::kernel::{Direction, Pattern};
use crate::{Kernel, KernelClass, Launch, Raster, Stage, Stream, Target};

/// Query rows and key columns of the tile.
const TILE: (u32, u32) = (64, 128);
/// Threads of a CTA.
const THREADS: f64 = 128.0;
/// Bytes of a thread's access.
const VECTOR: f64 = 16.0;

/// Splits of the keys, by the library's rule: as few as keep the device nearly as busy (85 %) as
/// the best number does; one where the tiles alone occupy four fifths of the SMs. Numbers that
/// leave blocks per split as they are are skipped.
fn splits(tiles: u64, sms: u64, blocks: u64) -> u64 {
    if tiles * 5 >= sms * 4 {
        return 1;
    }
    let eligible =
        |s: &u64| *s == 1 || blocks.div_ceil(*s) != blocks.div_ceil(s.saturating_sub(1).max(1));
    let efficiency = |s: u64| {
        let waves = (tiles * s) as f64 / sms.max(1) as f64;
        waves / libm::ceil(waves)
    };
    let candidates = 1..=blocks.min(sms).clamp(1, 128);
    let best = candidates.clone().filter(eligible).map(efficiency).fold(0.0, f64::max);
    candidates.into_iter().filter(eligible).find(|s| efficiency(*s) >= 0.85 * best).unwrap_or(1)
}

/// What the CTAs of one call do, on average and at most.
#[derive(Debug, Default, PartialEq)]
struct Share {
    /// CTAs that find keys, of one head and sequence.
    ctas: u64,
    /// Blocks of 128 keys, over these CTAs.
    blocks: u64,
    /// The same of the CTA with most.
    most_blocks: u64,
    /// Blocks with new rows, over these CTAs.
    copied: u64,
    /// The same of the CTA with most.
    most_copied: u64,
}

/// Blocks of the CTAs of a head: tiles of queries times splits of keys.
fn share(call: &Attention, cached: u64, per_split: u64) -> Share {
    let columns = u64::from(TILE.1);
    let mut all = Share::default();
    // Of very many tiles some stand for their neighbours.
    let tiles = call.seq_q.div_ceil(TILE.0.into());
    let step = if call.causal { tiles.div_ceil(4096) } else { tiles }.max(1);
    for tile in (0..tiles).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
        let stands_for = step.min(tiles - tile);
        let seen = if call.causal {
            (cached + (tile + 1) * u64::from(TILE.0)).min(call.seq_kv)
        } else {
            call.seq_kv
        };
        let end = seen.div_ceil(columns).max(1);
        let mut start = 0;
        while start < end {
            let stop = (start + per_split).min(end);
            let copied = stop - start.max(cached / columns).min(stop);
            all.ctas += stands_for;
            all.blocks += (stop - start) * stands_for;
            all.most_blocks = all.most_blocks.max(stop - start);
            all.copied += copied * stands_for;
            all.most_copied = all.most_copied.max(copied);
            start = stop;
        }
    }
    all
}

impl Attention {
    /// New rows against a paged cache. With one new row, the query heads of a KV head are the
    /// rows of a tile.
    pub(super) fn paged_candidates(&self, target: &Target) -> Vec<Candidate> {
        let mut call = self.clone();
        if self.seq_q == 1 {
            call.seq_q = self.heads_q / self.heads_kv.max(1);
            call.heads_q = self.heads_kv;
            call.causal = false;
        }
        let heads = call.batch * call.heads_q;
        let tiles = call.seq_q.div_ceil(TILE.0.into()) * heads;
        let room = self.table_keys.unwrap_or(self.seq_kv).max(self.seq_kv);
        let blocks = room.div_ceil(TILE.1.into());
        let splits = splits(tiles, target.sm_count.into(), blocks);
        let share = share(&call, self.seq_kv.saturating_sub(self.seq_q), blocks.div_ceil(splits));
        let mut kernels = vec![call.paged(splits, &share, self.seq_q, target)];
        if splits > 1 {
            kernels.push(self.combine(splits));
        }
        vec![Candidate { kernels }]
    }

    fn paged(&self, splits: u64, share: &Share, new_rows: u64, target: &Target) -> Kernel {
        let (rows, columns) = TILE;
        let heads = self.batch * self.heads_q;
        let ctas = share.ctas as f64;
        let mut kernel = self.fused(rows, columns, 4, target);
        kernel.variant = format!("paged {rows}x{columns}, {splits} splits");
        for stage in &mut kernel.stages {
            // Sequences, tiles and splits differ in length.
            stage.in_step = false;
            match stage.name {
                "main loop" => {
                    stage.memory_round_trips = 2.0;
                    stage.iterations = share.blocks as f64 / ctas;
                    stage.longest_iterations = share.most_blocks as f64;
                    if splits > 1 {
                        stage.lengths.clear();
                    }
                }
                "epilogue" if splits > 1 => {
                    for stream in &mut stage.streams {
                        stream.bytes *= 4.0 / self.dtype.bytes();
                    }
                }
                _ => {}
            }
        }
        let tiles = self.seq_q.div_ceil(rows.into()).max(1);
        // The CTAs of all query heads of a KV head copy the same rows.
        let sharers = self.heads_q / self.heads_kv.max(1);
        kernel.stages.insert(1, self.append(share, new_rows, sharers));
        // A split of a head is a row of the raster, whose tiles read the same keys.
        kernel.raster.rows = heads.saturating_mul(share.ctas).div_ceil(tiles);
        kernel.useful_share = self.seq_q as f64 / (tiles as f64 * f64::from(rows));
        kernel.launch.grid[0] = u32::try_from(share.ctas).unwrap_or(u32::MAX);
        kernel.launch.grid[1] = u32::try_from(heads).unwrap_or(u32::MAX);
        kernel
    }

    /// Copies new keys and values of a block to the cache, as do all CTAs that will read them.
    fn append(&self, share: &Share, new_rows: u64, sharers: u64) -> Stage {
        let row = self.head_dim as f64 * self.dtype.bytes();
        let rows = (new_rows as f64).min(f64::from(TILE.1));
        let mut append = Stage::once("append");
        append.iterations = share.copied as f64 / share.ctas as f64;
        append.longest_iterations = share.most_copied as f64;
        append.memory_round_trips = 2.0;
        append.barriers = 1.0;
        // Keys and values, in and out.
        append.demand.memory = 4.0 * libm::ceil(rows * row / (32.0 * VECTOR));
        append.demand.int32 = 2.0 * append.demand.memory;
        // CTAs start from the last block that they see, which differs by tile.
        let heads = (self.batch * self.heads_q) as f64 / sharers as f64;
        let lines = heads * share.most_copied as f64 * THREADS * VECTOR / 128.0;
        let pattern = if sharers > 1 { Pattern::Crowded { lines } } else { Pattern::L2Resident };
        append.streams = [Direction::Read, Direction::Write]
            .map(|direction| Stream {
                label: "new keys and values",
                direction,
                bytes: 2.0 * row * rows,
                pattern: pattern.clone(),
            })
            .into();
        append
    }

    /// Adds up what the splits of a row left: CTAs of 128 threads take as many rows as make 512
    /// sums, and go through the splits one by one.
    fn combine(&self, splits: u64) -> Kernel {
        let rows = (self.batch * self.heads_q * self.seq_q) as f64;
        let d = self.head_dim as f64;
        let per_cta = if self.head_dim.is_multiple_of(128) {
            4.0
        } else if self.head_dim.is_multiple_of(64) {
            8.0
        } else {
            16.0
        };
        let ctas = libm::ceil(rows / per_cta);
        let sums = per_cta * d / 32.0;
        let mut weights = Stage::once("weights");
        weights.memory_round_trips = 1.0;
        weights.barriers = 1.0;
        weights.shared_round_trips = 2.0;
        weights.dependent_instructions = 40.0;
        weights.demand.int32 = 200.0;
        weights.streams = vec![l2("sums of splits", 4.0 * per_cta * splits as f64)];
        let mut main = Stage::once("splits");
        main.iterations = splits as f64;
        main.memory_round_trips = 1.0;
        main.dependent_instructions = 4.0;
        main.demand.fp32 = sums;
        main.demand.memory = sums / 4.0;
        main.streams = vec![l2("partial results", per_cta * d * 4.0)];
        let mut epilogue = Stage::once("epilogue");
        epilogue.demand.memory = sums / 4.0;
        let bytes = per_cta * d * self.dtype.bytes();
        epilogue.streams = vec![Stream::streaming("output", Direction::Write, bytes)];
        Kernel {
            class: KernelClass::Attention,
            variant: format!("combine {splits} splits"),
            launch: Launch::linear(ctas as u64, 128, 64, 0),
            raster: Raster::flat(ctas as u64),
            tensor: None,
            tensor_from_registers: false,
            stages: vec![weights, main, epilogue],
            read_footprint_bytes: rows * d * 4.0 * splits as f64,
            write_footprint_bytes: rows * d * self.dtype.bytes(),
            then: Vec::new(),
            useful_share: 1.0,
        }
    }
}

/// Partial results were written by the kernel before.
fn l2(label: &'static str, bytes: f64) -> Stream {
    Stream { label, direction: Direction::Read, bytes, pattern: Pattern::L2Resident }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    #[test]
    fn splits_follow_the_library() {
        // 108 SMs, room for 4096 keys: 32 blocks.
        for (tiles, expected) in [(4, 16), (12, 7), (24, 4), (28, 7), (40, 5), (84, 5), (88, 1)] {
            assert_eq!(splits(tiles, 108, 32), expected, "{tiles} tiles");
        }
        assert_eq!(splits(1, 108, 1), 1);
    }

    fn call(seq_q: u64, cached: u64) -> Attention {
        let shape = [1, 32, seq_q, cached + seq_q, 128];
        Attention {
            heads_kv: 4,
            causal: true,
            paged: true,
            table_keys: Some(4096),
            ..Attention::new(shape, DType::Fp16)
        }
    }

    #[test]
    fn causal_tiles_read_and_copy_up_to_their_own_rows() {
        // Tiles see 1024 + 64, 128, 192, 256 keys: 9, 9, 10 and 10 blocks, of which 1 or 2 are new.
        let all = share(&call(256, 1024), 1024, 32);
        let expected = Share { ctas: 4, blocks: 38, most_blocks: 10, copied: 6, most_copied: 2 };
        assert_eq!(all, expected);
        // Split at 7 blocks: the rest is a CTA of its own, which has the new rows.
        let all = share(&call(64, 1024), 1024, 7);
        let expected = Share { ctas: 2, blocks: 9, most_blocks: 7, copied: 1, most_copied: 1 };
        assert_eq!(all, expected);
    }
}
