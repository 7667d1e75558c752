//! The encoding engines of a processor, from the entries that real samples look up: conflicts on
//! banks, and misses of levels that are larger than their memory.
//!
//! Runs of consecutive samples are taken evenly over the launches of a frame. Within a run the
//! order is real, so that neighbours find each other's entries; runs follow each other in
//! scattered order, as batches of distant rays do on one processor, so that what a memory still
//! holds of earlier batches is a matter of its size. The first half of the runs only warms the
//! memories. Left out: order between batches of neighbouring rays (there are a few more hits in
//! reality), and replacement other than LRU.

use std::collections::BTreeSet;
use std::sync::Arc;

use lumacycle_arch::Accelerator;
use lumacycle_workloads::encoding::Grid;
use lumacycle_workloads::samples::{SampleSet, mix};

use super::parts::access_cycles;
use super::tables::{Home, Placed, Placement};
use crate::memory::cache::{Cache, hash_of, is_sampled};

/// Consecutive samples of a run.
const RUN: usize = 64;
/// Runs whose lookups are simulated for banks.
const BANK_RUNS: usize = 24;
/// Runs whose lookups are simulated for misses.
const MISS_RUNS: usize = 160;
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
    /// Looks the samples of `launches` up (each with the number of samples that it stands for).
    pub fn of(
        accelerator: &Accelerator,
        grid: &Grid,
        placement: &Placement,
        launches: &[(Arc<SampleSet>, f64)],
    ) -> Self {
        let runs = runs(launches, BANK_RUNS.max(MISS_RUNS));
        let corners = grid.corners() as f64;
        let ideal = (corners / accelerator.encoder.addresses_per_clock)
            .max(accelerator.interpolation.interval_cycles);
        let to_processor = placement.levels_by_turns / placement.samples_at_once;
        let mut levels = Vec::with_capacity(placement.levels.len());
        let depth = buffer_depth(accelerator, grid);
        let mut block_cycles: Vec<f64> = Vec::new();
        for placed in &placement.levels {
            let spread = Spread { runs: &runs, every: placement.copies as usize };
            let by_sample = banks(accelerator, grid, placement, placed, spread, ideal);
            let mean = by_sample.iter().sum::<f64>() / by_sample.len().max(1) as f64;
            for (number, block) in by_sample.chunks(depth).enumerate() {
                let cycles = block.iter().sum::<f64>() / block.len() as f64 * to_processor;
                match block_cycles.get_mut(number) {
                    Some(slowest) => *slowest = slowest.max(cycles),
                    None => block_cycles.push(cycles),
                }
            }
            let missed = misses(accelerator, grid, placement, placed, spread);
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
    (accelerator.feature_buffer.capacity.bytes() / sample_bytes).clamp(1.0, RUN as f64) as usize
}

/// Runs of samples, spread over launches by what these stand for.
fn runs(launches: &[(Arc<SampleSet>, f64)], wanted: usize) -> Vec<&[[f32; 3]]> {
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
        let latest = positions.len().saturating_sub(RUN);
        let start = (mix(number as u64) % (latest as u64 + 1)) as usize;
        found.push(&positions[start..(start + RUN).min(positions.len())]);
    }
    // Scattered, but the same each time.
    let mut order: Vec<(u64, usize)> = (0..found.len()).map(|i| (mix(i as u64 + 77), i)).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, index)| found[index]).collect()
}

/// The samples that one engine of a level sees.
#[derive(Clone, Copy)]
struct Spread<'a> {
    runs: &'a [&'a [[f32; 3]]],
    /// Copies of the level: each sees every so many samples.
    every: usize,
}

impl Spread<'_> {
    fn samples(&self, runs: usize) -> impl Iterator<Item = [f32; 3]> {
        let every = self.every.max(1);
        self.runs.iter().take(runs).flat_map(move |run| run.iter().step_by(every).copied())
    }
}

/// Clocks of each sample in the engine of a level.
fn banks(
    accelerator: &Accelerator,
    grid: &Grid,
    placement: &Placement,
    placed: &Placed,
    spread: Spread<'_>,
    ideal: f64,
) -> Vec<f64> {
    let sram = &accelerator.grid_sram;
    let word = sram.word.bytes();
    let corners = grid.corners();
    let mut words = Vec::with_capacity(64);
    let mut cycles = Vec::with_capacity(BANK_RUNS * RUN);
    for position in spread.samples(BANK_RUNS) {
        let entries = grid.entries_of(&placed.level, position);
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
    spread: Spread<'_>,
) -> Misses {
    if placed.home == Home::Resident {
        return Misses { hit: 1.0, lines: 0.0, touched_bytes: placed.bytes };
    }
    let line_bytes = accelerator.policy.line.bytes();
    let corners = grid.corners();
    let mut cache = Cache::new(placed.room_bytes, line_bytes, accelerator.policy.ways, LINE_SAMPLE);
    let resident = (placed.room_bytes / placement.entry_bytes) as u32;
    let (mut lookups, mut missed, mut lines, mut measured) = (0.0, 0.0, 0.0, 0.0);
    let mut halves: [BTreeSet<u64>; 2] = [BTreeSet::new(), BTreeSet::new()];
    let all = spread.samples(MISS_RUNS).count();
    let mut of_sample: Vec<u64> = Vec::with_capacity(8);
    for (number, position) in spread.samples(MISS_RUNS).enumerate() {
        let entries = grid.entries_of(&placed.level, position);
        let warm = number * 2 >= all;
        of_sample.clear();
        for entry in &entries[..corners] {
            let line = (f64::from(*entry) * placement.entry_bytes / line_bytes) as u64;
            let hash = hash_of(line);
            if !is_sampled(hash, LINE_SAMPLE) {
                continue;
            }
            halves[usize::from(warm)].insert(line);
            let hit = match placed.home {
                Home::Subset => *entry < resident,
                _ => cache.access(line, hash, 0),
            };
            if warm {
                lookups += 1.0;
                if !hit {
                    missed += 1.0;
                    of_sample.push(line);
                }
            }
        }
        if warm {
            measured += 1.0;
            of_sample.sort_unstable();
            of_sample.dedup();
            lines += of_sample.len() as f64;
        }
    }
    let sample = LINE_SAMPLE as f64;
    let [first, second] = &halves;
    // Capture and recapture: what two halves share tells how much there is.
    let both = first.intersection(second).count().max(1) as f64;
    let touched = first.len() as f64 * second.len() as f64 / both * sample * line_bytes;
    Misses {
        hit: 1.0 - missed / f64::max(lookups, 1.0),
        lines: lines * sample / f64::max(measured, 1.0),
        touched_bytes: touched.min(placed.bytes),
    }
}
