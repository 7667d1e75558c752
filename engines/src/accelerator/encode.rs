//! The encoding engines of a processor, from the entries that real samples look up: conflicts on
//! banks here, misses of levels that are larger than their memory in `misses`.
//!
//! A processor takes a slice of each batch; slices of real samples are looked up one by one. Slices
//! longer than 2048 samples count as several (a few more misses where processors are few). Left out:
//! conflicts between slices of different processors, which have memories of their own.

use std::sync::Arc;

use lumacycle_arch::Accelerator;
use lumacycle_workloads::encoding::Grid;
use lumacycle_workloads::samples::{SampleSet, mix};

use super::Queries;
use super::misses::misses;
use super::parts::access_cycles;
use super::relief::MORE;
use super::subgrid::SubgridUse;
use super::tables::{Home, Placed, Placement};
use crate::EngineError;

pub use super::misses::{Misses, Touches};

/// Runs of consecutive samples that are looked up, spread over the frame.
const RUNS: usize = 5;
/// Samples of a slice, at most, and of a run.
const MOST_OF_SLICE: usize = 2048;
/// The same of a batch that is taken by blocks of space: as many as a window holds.
const MOST_OF_BATCH: usize = 1 << 14;
/// Samples of a run whose accesses to banks are counted.
const BANKED: usize = 256;
/// Samples of places that are looked up.
const PLACED: usize = 14_000;
/// Where in the frame they start.
const PLACES_FROM: f64 = 0.25;
/// Samples whose clocks are averaged: as many as a buffer can even out, but no more.
const BLOCK: usize = 64;

/// Keeps what lookups of one frame's samples yield, for design points that share them. What is kept is
/// what would be computed again: results do not depend on whether there is one.
pub trait Memo: std::fmt::Debug + Send + Sync {
    /// Clocks of each sample by a key that says all that they depend on.
    fn banks(&self, key: String, compute: &dyn Fn() -> Vec<f64>) -> Arc<Vec<f64>>;
    /// Misses in the same way.
    fn misses(&self, key: String, compute: &dyn Fn() -> Misses) -> Misses;
    /// Lines that samples ask for, which memories of any size share.
    fn touches(&self, key: String, compute: &dyn Fn() -> Touches) -> Arc<Touches>;
}

/// A level in use.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelUse {
    /// Where it lives.
    pub placed: Placed,
    /// Clocks in which its engine serves a sample.
    pub cycles: f64,
    /// Those of them that banks cost beyond what addresses and interpolation take.
    pub conflict_cycles: f64,
    /// Share of the lines that samples ask for which its memory holds.
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
    /// Clocks of the processor for a sample if memories never make it wait.
    pub ideal_cycles: f64,
    /// The same with banks, for as many samples each as the feature buffer holds.
    pub blocks: Vec<f64>,
    /// The same with a tenth more of the engines themselves, and of the banks.
    pub relieved: (Vec<f64>, Vec<f64>),
    /// Addresses of a sample.
    pub addresses: f64,
    /// Bytes of entries that a sample reads.
    pub entry_bytes: f64,
    /// Those of them that lie in another engine's or processor's memory.
    pub exchanged_bytes: f64,
    /// Lines fetched for a sample, over all levels.
    pub missed_lines: f64,
    /// Those of them that come in whole parts of tables.
    pub loaded_lines: f64,
    /// Levels that are kept by blocks of space.
    pub subgrid: Option<SubgridUse>,
}

impl EncodingUse {
    /// Looks the samples of a frame up.
    ///
    /// # Errors
    /// When the feature buffer cannot hold a sample.
    pub fn of(
        accelerator: &Accelerator,
        placement: &Placement,
        queries: &Queries,
    ) -> Result<Self, EngineError> {
        let grid = &queries.grid;
        let depth = buffer_depth(accelerator, grid)?;
        let samples = Samples::of(accelerator, queries, placement.copies);
        let corners = grid.corners() as f64;
        let ideal = (corners / accelerator.encoder.addresses_per_clock)
            .max(accelerator.interpolation.interval_cycles);
        let sram = &accelerator.grid_sram;
        // Wide entries need several words, wherever they lie.
        let words = corners * libm::ceil(placement.entry_bytes / sram.word.bytes()).max(1.0);
        let width = words / (f64::from(sram.banks) * f64::from(sram.ports));
        let mut levels = Vec::with_capacity(placement.levels.len());
        // As it is, with faster engines, with faster banks.
        let mut by_level: [Vec<Vec<f64>>; 3] = Default::default();
        for placed in &placement.levels {
            let lookup = || banks(accelerator, grid, placement, placed, &samples);
            let by_sample = match &queries.memo {
                None => Arc::new(lookup()),
                Some(memo) => memo.banks(banks_key(accelerator, placement, placed), &lookup),
            };
            let waited = by_sample.iter().map(|banks| banks.max(ideal)).sum::<f64>();
            let mean = waited / by_sample.len().max(1) as f64;
            for (blocks, (engines, faster)) in
                by_level.iter_mut().zip([(1.0, 1.0), (MORE, 1.0), (1.0, MORE)])
            {
                let clocks = |banks: &f64| (banks / faster).max(ideal / engines);
                let mean = |b: &[f64]| b.iter().map(clocks).sum::<f64>() / b.len() as f64;
                blocks.push(by_sample.chunks(depth).map(mean).collect());
            }
            let lookup = || misses(accelerator, queries, placement, placed, &samples);
            let missed = match &queries.memo {
                Some(memo) if placed.home != Home::Resident => {
                    memo.misses(misses_key(accelerator, placement, placed), &lookup)
                }
                _ => lookup(),
            };
            levels.push(LevelUse {
                placed: *placed,
                cycles: mean,
                conflict_cycles: (mean - ideal.max(width)).max(0.0),
                hit: missed.hit,
                missed_lines: missed.lines,
                touched_bytes: missed.touched_bytes,
            });
        }
        let units = f64::from(accelerator.encoder.units);
        let cycles: Vec<f64> = levels.iter().map(|level| level.cycles / units).collect();
        let batches = samples_of(accelerator, queries, placement.copies, MOST_OF_BATCH);
        let subgrid = SubgridUse::of(accelerator, grid, placement, &batches, &cycles)?;
        let mut loaded_lines = 0.0;
        let by_block = levels.iter_mut().filter(|level| level.placed.home == Home::Subgrid);
        for (level, used) in by_block.zip(std::iter::repeat(subgrid.as_ref()).flatten()) {
            let (loaded, touched) = used.of_level(&level.placed);
            level.missed_lines = loaded / accelerator.policy.line.bytes();
            level.touched_bytes = touched;
            loaded_lines += level.missed_lines;
        }
        // An engine serves its levels by turns, and the slowest engine decides.
        let [blocks, engines, banks] = by_level.map(|by_level| {
            let busiest = |block: usize| {
                let of_engine = |levels: &Vec<usize>| -> f64 {
                    levels.iter().filter_map(|level| by_level[*level].get(block)).sum()
                };
                placement.engines.iter().map(of_engine).fold(0.0, f64::max)
                    / placement.samples_at_once
            };
            (0..by_level.first().map_or(0, Vec::len)).map(busiest).collect::<Vec<f64>>()
        });
        let level_bytes = corners * placement.entry_bytes;
        let remote: f64 = placement.levels.iter().map(|placed| placed.remote).sum();
        Ok(Self {
            ideal_cycles: ideal * placement.most_levels() / placement.samples_at_once,
            blocks,
            relieved: (engines, banks),
            addresses: corners * levels.len() as f64,
            entry_bytes: level_bytes * levels.len() as f64,
            exchanged_bytes: level_bytes * remote,
            missed_lines: levels.iter().map(|level| level.missed_lines).sum(),
            loaded_lines,
            subgrid,
            levels,
        })
    }

    /// Clocks of the processor for a sample, where everything behind the encoding takes `other`
    /// clocks: the buffer between them evens out no more than it holds.
    /// `blocks` are its own, or relieved ones.
    pub fn cycles_with(&self, blocks: &[f64], other: f64) -> f64 {
        if blocks.is_empty() {
            return self.ideal_cycles.max(other);
        }
        let sum: f64 = blocks.iter().map(|cycles| cycles.max(other)).sum();
        sum / blocks.len() as f64
    }
}

/// Samples that the feature buffer holds.
fn buffer_depth(accelerator: &Accelerator, grid: &Grid) -> Result<usize, EngineError> {
    let sample_bytes = f64::from(grid.outputs()) * 2.0;
    let depth = accelerator.feature_buffer.capacity.bytes() / sample_bytes;
    if depth < 1.0 {
        return Err(EngineError::Accelerator {
            path: "feature_buffer.capacity",
            what: format!(
                "the features of a sample need {sample_bytes} bytes, feature_buffer holds {}",
                accelerator.feature_buffer.capacity
            ),
            help: "enlarge feature_buffer",
        });
    }
    Ok(depth.min(BLOCK as f64) as usize)
}

/// Samples that are looked up.
pub(super) struct Samples<'a> {
    /// Runs of consecutive samples.
    pub runs: Vec<&'a [[f32; 3]]>,
    /// Consecutive samples of one engine's slices, one slice after another.
    pub slices: Vec<&'a [[f32; 3]]>,
    /// Runs at places all over the image, in the order in which a processor comes to them.
    pub places: Vec<&'a [[f32; 3]]>,
    /// Samples of the whole frame over those of the places.
    pub frame: f64,
}

impl<'a> Samples<'a> {
    fn of(accelerator: &Accelerator, queries: &'a Queries, copies: f64) -> Self {
        let slices = samples_of(accelerator, queries, copies, MOST_OF_SLICE);
        let whole =
            runs(&queries.launches, MOST_OF_SLICE).into_iter().map(|(run, _)| run).collect();
        let windows = || queries.places.iter().flat_map(|set| &set.windows);
        let all: usize = windows().map(|window| window.positions.len()).sum();
        // A short frame is taken from its start.
        let skipped = (all as f64 * PLACES_FROM).min(all.saturating_sub(PLACED) as f64) as usize;
        let (mut before, mut taken, mut places) = (0, 0, Vec::new());
        for window in windows() {
            before += window.positions.len();
            if before > skipped && taken < PLACED {
                places.push(&window.positions[..]);
                taken += window.positions.len();
            }
        }
        let total: f64 = queries.launches.iter().map(|(_, samples)| samples).sum();
        Self { runs: whole, slices, places, frame: (total / taken.max(1) as f64).max(1.0) }
    }
}

/// Consecutive samples of one processor's slices of batches, of up to `most` each.
fn samples_of<'a>(
    accelerator: &Accelerator,
    queries: &'a Queries,
    copies: f64,
    most: usize,
) -> Vec<&'a [[f32; 3]]> {
    let units = f64::from(accelerator.accelerator.units);
    let batch = f64::from(accelerator.policy.batch);
    let mut slices = Vec::new();
    for (run, launch) in runs(&queries.launches, most) {
        // Each copy of a level takes its own part of the processor's slice.
        let batches = libm::ceil(launch / batch).max(1.0);
        let length = (launch / batches / units / copies) as usize;
        slices.extend(run.chunks(length.clamp(1, most)));
    }
    slices
}

/// Runs of consecutive samples, spread over launches by what these stand for, each with the
/// samples of its launch.
fn runs(launches: &[(Arc<SampleSet>, f64)], most: usize) -> Vec<(&[[f32; 3]], f64)> {
    let windows: Vec<(&[[f32; 3]], f64, f64)> = launches
        .iter()
        .flat_map(|(set, samples)| {
            let share = samples / set.total().max(1.0);
            set.windows.iter().map(move |w| (&w.positions[..], w.stands_for * share, *samples))
        })
        .filter(|(positions, weight, _)| !positions.is_empty() && *weight > 0.0)
        .collect();
    let total: f64 = windows.iter().map(|(_, weight, _)| weight).sum();
    let mut found = Vec::with_capacity(RUNS);
    let (mut window, mut before) = (0, 0.0);
    for number in 0..RUNS {
        let at = (number as f64 + 0.5) / RUNS as f64 * total;
        while window + 1 < windows.len() && before + windows[window].1 < at {
            before += windows[window].1;
            window += 1;
        }
        let Some((positions, _, samples)) = windows.get(window) else { break };
        let latest = positions.len().saturating_sub(most);
        let start = (mix(number as u64) % (latest as u64 + 1)) as usize;
        let end = (start + most).min(positions.len());
        found.push((&positions[start..end], *samples));
    }
    found
}

/// Clocks in which banks serve each sample of a level.
fn banks(
    accelerator: &Accelerator,
    grid: &Grid,
    placement: &Placement,
    placed: &Placed,
    samples: &Samples<'_>,
) -> Vec<f64> {
    let sram = &accelerator.grid_sram;
    let word = sram.word.bytes();
    let corners = grid.corners();
    let mut words = Vec::with_capacity(64);
    let mut cycles = Vec::with_capacity(RUNS * BANKED);
    let all: usize = samples.slices.iter().map(|slice| slice.len()).sum();
    let every = (all / (RUNS * BANKED)).max(1);
    let runs = samples.slices.iter().copied().flatten();
    // Stretches of consecutive samples, evenly spread.
    let chosen = runs.enumerate().filter(|(at, _)| (at / BLOCK).is_multiple_of(every));
    for (_, position) in chosen {
        let entries = grid.entries_of(&placed.level, *position);
        words.clear();
        for entry in &entries[..corners] {
            let first = f64::from(*entry) * placement.entry_bytes;
            let last = first + placement.entry_bytes - 0.5;
            words.extend((first / word) as u64..=(last / word) as u64);
        }
        cycles.push(access_cycles(sram, &mut words) * placed.load);
    }
    cycles
}

/// Which samples are looked up.
fn samples_key(accelerator: &Accelerator, placement: &Placement) -> String {
    let (units, batch) = (accelerator.accelerator.units, accelerator.policy.batch);
    format!("{units} {batch} {} {}", placement.copies, placement.entry_bytes)
}

/// All that [`banks`] depends on beside the frame.
fn banks_key(accelerator: &Accelerator, p: &Placement, placed: &Placed) -> String {
    let sram = &accelerator.grid_sram;
    let (word, load) = (sram.word.bytes(), placed.load);
    let (banks, ports, interleave) = (sram.banks, sram.ports, sram.interleave);
    let samples = samples_key(accelerator, p);
    format!("{:?} {load} {banks} {interleave:?} {ports} {word} {samples}", placed.level)
}

/// All that [`misses`] depends on beside the frame.
fn misses_key(accelerator: &Accelerator, p: &Placement, placed: &Placed) -> String {
    let (line, ways) = (accelerator.policy.line.bytes(), accelerator.policy.ways);
    let Placed { level, bytes, room_bytes, home, .. } = placed;
    let samples = samples_key(accelerator, p);
    format!("{level:?} {bytes} {room_bytes} {home:?} {line} {ways} {samples}")
}

#[cfg(test)]
mod tests;
