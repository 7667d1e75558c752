//! The encoding engines of a processor, from the entries that real samples look up: conflicts on
//! banks, and misses of levels that are larger than their memory.
//!
//! Two scales meet in a table memory. A processor takes a slice of each batch: samples that follow
//! each other in the launch and find each other's entries; slices of real samples are looked up one
//! by one. What a memory still holds of earlier slices is a matter of its size and of how much of
//! the table the frame touches, which samples from all over the image tell by how often they
//! meet: an entry that a slice touches first is taken to be there with the share of touched
//! lines that there is room for. Left out: entries that are more popular than others (there are a
//! few more hits in reality), and replacement other than LRU.

use std::sync::Arc;

use lumacycle_arch::Accelerator;
use lumacycle_workloads::encoding::Grid;
use lumacycle_workloads::samples::{SampleSet, mix};

use super::Queries;
use super::parts::access_cycles;
use super::tables::{Home, Placed, Placement};
use crate::memory::cache::{Cache, hash_of, is_sampled};

/// Slices of a frame that are looked up.
const SLICES: usize = 6;
/// Samples of a slice, at most.
const MOST_OF_SLICE: usize = 2048;
/// Of those, samples whose accesses to banks are counted.
const BANKED: usize = 256;
/// Samples from all over the frame that are looked up.
const SPREAD: usize = 16_384;
/// Those of them that follow each other.
const SPREAD_RUN: usize = 16;
/// Samples whose clocks are averaged: as many as a buffer can even out, but no more.
const BLOCK: usize = 64;
/// Of the lines of a cached level, one in so many is simulated.
const LINE_SAMPLE: u64 = 4;

/// A level in use.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelUse {
    /// Where it lives.
    pub placed: Placed,
    /// Clocks in which its engine serves a sample.
    pub cycles: f64,
    /// Those of them that banks cost beyond what addresses and interpolation take.
    pub conflict_cycles: f64,
    /// Share of lookups that its memory answers.
    pub hit: f64,
    /// Lines fetched for a sample.
    pub missed_lines: f64,
    /// Bytes of the level that the frame touches.
    pub touched_bytes: f64,
}

/// An encoding in use.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodingUse {
    /// Levels in order.
    pub levels: Vec<LevelUse>,
    /// Samples encoded side by side.
    pub samples_at_once: f64,
    /// Clocks of the processor for a sample if banks never conflict.
    pub ideal_cycles: f64,
    /// The same with conflicts, for as many samples each as the feature buffer holds.
    pub blocks: Vec<f64>,
    /// Addresses of a sample.
    pub addresses: f64,
    /// Bytes of entries that a sample reads.
    pub entry_bytes: f64,
    /// Those of them that lie in another engine's or processor's memory.
    pub exchanged_bytes: f64,
    /// Lines fetched for a sample, over all levels.
    pub missed_lines: f64,
}

impl EncodingUse {
    /// Looks the samples of a frame up.
    pub fn of(accelerator: &Accelerator, placement: &Placement, queries: &Queries) -> Self {
        let grid = &queries.grid;
        let units = accelerator.accelerator.units as usize;
        let slice = (accelerator.policy.batch as usize / units).clamp(1, MOST_OF_SLICE);
        let slices = runs(&queries.launches, SLICES, slice);
        let spread = runs(&queries.spread, SPREAD / SPREAD_RUN, SPREAD_RUN);
        let corners = grid.corners() as f64;
        let ideal = (corners / accelerator.encoder.addresses_per_clock)
            .max(accelerator.interpolation.interval_cycles);
        let to_processor = placement.levels_by_turns / placement.samples_at_once;
        let mut levels = Vec::with_capacity(placement.levels.len());
        let depth = buffer_depth(accelerator, grid);
        let mut block_cycles: Vec<f64> = Vec::new();
        for placed in &placement.levels {
            let seen = Seen { slices: &slices, spread: &spread, every: placement.copies as usize };
            let by_sample = banks(accelerator, grid, placement, placed, seen, ideal);
            let mean = by_sample.iter().sum::<f64>() / by_sample.len().max(1) as f64;
            for (number, block) in by_sample.chunks(depth).enumerate() {
                let cycles = block.iter().sum::<f64>() / block.len() as f64 * to_processor;
                match block_cycles.get_mut(number) {
                    Some(slowest) => *slowest = slowest.max(cycles),
                    None => block_cycles.push(cycles),
                }
            }
            let missed = misses(accelerator, grid, placement, placed, seen);
            levels.push(LevelUse {
                placed: *placed,
                cycles: mean,
                conflict_cycles: (mean - ideal).max(0.0),
                hit: missed.hit,
                missed_lines: missed.lines,
                touched_bytes: missed.touched_bytes,
            });
        }
        let level_bytes = corners * placement.entry_bytes;
        let remote: f64 = placement.levels.iter().map(|placed| placed.remote).sum();
        Self {
            samples_at_once: placement.samples_at_once,
            ideal_cycles: ideal * to_processor,
            blocks: block_cycles,
            addresses: corners * levels.len() as f64,
            entry_bytes: level_bytes * levels.len() as f64,
            exchanged_bytes: level_bytes * remote,
            missed_lines: levels.iter().map(|level| level.missed_lines).sum(),
            levels,
        }
    }

    /// Clocks of the processor for a sample, where everything behind the encoding takes `other`
    /// clocks: the buffer between them evens out no more than it holds.
    pub fn cycles_with(&self, other: f64) -> f64 {
        if self.blocks.is_empty() {
            return self.ideal_cycles.max(other);
        }
        let sum: f64 = self.blocks.iter().map(|cycles| cycles.max(other)).sum();
        sum / self.blocks.len() as f64
    }
}

/// Samples that the feature buffer holds.
fn buffer_depth(accelerator: &Accelerator, grid: &Grid) -> usize {
    let sample_bytes = f64::from(grid.outputs()) * 2.0;
    (accelerator.feature_buffer.capacity.bytes() / sample_bytes).clamp(1.0, BLOCK as f64) as usize
}

/// Runs of consecutive samples, spread over launches by what these stand for.
fn runs(launches: &[(Arc<SampleSet>, f64)], wanted: usize, length: usize) -> Vec<&[[f32; 3]]> {
    let windows: Vec<(&[[f32; 3]], f64)> = launches
        .iter()
        .flat_map(|(set, samples)| {
            let share = samples / set.total().max(1.0);
            set.windows.iter().map(move |w| (&w.positions[..], w.stands_for * share))
        })
        .filter(|(positions, weight)| !positions.is_empty() && *weight > 0.0)
        .collect();
    let total: f64 = windows.iter().map(|(_, weight)| weight).sum();
    let mut found = Vec::with_capacity(wanted);
    let (mut window, mut before) = (0, 0.0);
    for number in 0..wanted {
        let at = (number as f64 + 0.5) / wanted as f64 * total;
        while window + 1 < windows.len() && before + windows[window].1 < at {
            before += windows[window].1;
            window += 1;
        }
        let Some((positions, _)) = windows.get(window) else { break };
        let latest = positions.len().saturating_sub(length);
        let start = (mix(number as u64) % (latest as u64 + 1)) as usize;
        found.push(&positions[start..(start + length).min(positions.len())]);
    }
    found
}

/// The samples that one engine of a level sees.
#[derive(Clone, Copy)]
struct Seen<'a> {
    slices: &'a [&'a [[f32; 3]]],
    spread: &'a [&'a [[f32; 3]]],
    /// Copies of the level: each sees every so many samples.
    every: usize,
}

/// Clocks of each sample in the engine of a level.
fn banks(
    accelerator: &Accelerator,
    grid: &Grid,
    placement: &Placement,
    placed: &Placed,
    seen: Seen<'_>,
    ideal: f64,
) -> Vec<f64> {
    let sram = &accelerator.grid_sram;
    let word = sram.word.bytes();
    let corners = grid.corners();
    let mut words = Vec::with_capacity(64);
    let mut cycles = Vec::with_capacity(SLICES * BANKED);
    let positions = seen.slices.iter().flat_map(|slice| slice.iter().take(BANKED));
    for position in positions {
        let entries = grid.entries_of(&placed.level, *position);
        words.clear();
        for entry in &entries[..corners] {
            let first = f64::from(*entry) * placement.entry_bytes;
            let (first, last) =
                ((first / word) as u64, ((first + placement.entry_bytes - 0.5) / word) as u64);
            words.extend(first..=last);
        }
        cycles.push(access_cycles(sram, &mut words).max(ideal));
    }
    cycles
}

struct Misses {
    hit: f64,
    lines: f64,
    touched_bytes: f64,
}

/// Lookups of a level that its memory cannot answer.
fn misses(
    accelerator: &Accelerator,
    grid: &Grid,
    placement: &Placement,
    placed: &Placed,
    seen: Seen<'_>,
) -> Misses {
    if placed.home == Home::Resident {
        return Misses { hit: 1.0, lines: 0.0, touched_bytes: placed.bytes };
    }
    let line_bytes = accelerator.policy.line.bytes();
    let corners = grid.corners();
    let line_of = |entry: u32| (f64::from(entry) * placement.entry_bytes / line_bytes) as u64;
    let mut marks = Marks::new((placed.bytes / line_bytes) as usize + 1);
    for position in seen.spread.iter().copied().flatten() {
        let mut before = u64::MAX;
        for entry in &grid.entries_of(&placed.level, *position)[..corners] {
            let line = line_of(*entry);
            // Corners side by side on one line are one touch.
            if line != before {
                marks.touch(line as usize);
                before = line;
            }
        }
    }
    let touched = (marks.all() * line_bytes).min(placed.bytes);
    let absent = match placed.home {
        Home::Cached => 1.0 - (placed.room_bytes / touched.max(1.0)).min(1.0),
        _ => 1.0,
    };
    let mut cache = Cache::new(placed.room_bytes, line_bytes, accelerator.policy.ways, LINE_SAMPLE);
    let resident = (placed.room_bytes / placement.entry_bytes) as u32;
    let (mut lookups, mut missed, mut lines, mut samples) = (0.0, 0.0, 0.0, 0.0);
    let mut of_sample: Vec<(u64, bool)> = Vec::with_capacity(8);
    for slice in seen.slices {
        cache.clear();
        marks.clear();
        for position in slice.iter().step_by(seen.every.max(1)) {
            of_sample.clear();
            for entry in &grid.entries_of(&placed.level, *position)[..corners] {
                let line = line_of(*entry);
                let hash = hash_of(line);
                if !is_sampled(hash, LINE_SAMPLE) {
                    continue;
                }
                let fresh = marks.touch(line as usize);
                let hit = match placed.home {
                    Home::Subset => *entry < resident,
                    _ => cache.access(line, hash, 0),
                };
                lookups += 1.0;
                if !hit {
                    missed += if fresh { absent } else { 1.0 };
                    of_sample.push((line, fresh));
                }
            }
            samples += 1.0;
            of_sample.sort_unstable();
            of_sample.dedup_by_key(|(line, _)| *line);
            let fetched = of_sample.iter().map(|(_, fresh)| if *fresh { absent } else { 1.0 });
            lines += fetched.sum::<f64>();
        }
    }
    Misses {
        hit: 1.0 - missed / f64::max(lookups, 1.0),
        lines: lines * LINE_SAMPLE as f64 / f64::max(samples, 1.0),
        touched_bytes: touched,
    }
}

/// How often lines have been touched: not at all, once, twice, more.
struct Marks(Vec<u8>);

impl Marks {
    fn new(lines: usize) -> Self {
        Self(vec![0; lines])
    }

    fn clear(&mut self) {
        self.0.fill(0);
    }

    /// Marks a line; true if it is touched for the first time.
    fn touch(&mut self, line: usize) -> bool {
        let Some(times) = self.0.get_mut(line) else { return false };
        let fresh = *times == 0;
        *times = (*times + 1).min(3);
        fresh
    }

    /// Lines that a long sequence would touch: those seen, and a lower bound of those not seen from
    /// how many were seen once and twice (Chao 1984). Held against whole frames it misses up to a
    /// fifth.
    fn all(&self) -> f64 {
        let mut counts = [0.0_f64; 4];
        for times in &self.0 {
            counts[usize::from(*times)] += 1.0;
        }
        let [_, once, twice, more] = counts;
        once + twice + more + once * once / (2.0 * twice.max(1.0))
    }
}
