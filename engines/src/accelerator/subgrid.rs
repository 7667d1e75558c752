//! Buffers for fine levels by blocks of space, after NeuRex (ISCA 2023): samples of a batch are taken block by
//! block, and of each table only the part that belongs to the block is there, hashed within itself. The next parts are
//! loaded while these are used, as far as there are copies.
//!
//! Ours, as the paper's text was not at hand: the cell of a sample decides its block, so that corners on a border lie in
//! both parts; levels go through the buffers in passes, as many at once as fit; a part is loaded whole. Left out: the
//! order in which samples are sorted and put back, blocks that share a pass, dense levels' corners beyond their block,
//! and what hashing by parts does to image quality.

use std::collections::{BTreeMap, BTreeSet};

use lumacycle_arch::Accelerator;
use lumacycle_workloads::encoding::{Grid, Level};

use super::tables::{Home, Placed, Placement};
use crate::EngineError;

/// First level that is kept by blocks of space; beyond all levels where there is no such buffer.
pub(super) fn first_level(accelerator: &Accelerator) -> usize {
    if accelerator.subgrid.per_axis > 1 {
        accelerator.subgrid.first_level as usize
    } else {
        usize::MAX
    }
}

/// Blocks of space.
fn blocks(accelerator: &Accelerator, grid: &Grid) -> u32 {
    accelerator.subgrid.per_axis.pow(grid.dims.min(3))
}

/// A level that is kept by block. Its entries are those of a part.
pub(super) fn place(accelerator: &Accelerator, grid: &Grid, level: Level, bytes: f64) -> Placed {
    let blocks = blocks(accelerator, grid);
    let entries = if level.hashed { (level.entries / blocks).max(1) } else { level.entries };
    let room = accelerator.subgrid.capacity.bytes() / f64::from(accelerator.subgrid.copies);
    Placed {
        level: Level { entries, ..level },
        bytes,
        room_bytes: room,
        home: Home::Subgrid,
        remote: 0.0,
        load: 1.0,
    }
}

/// The block that a position lies in.
pub fn block_of(per_axis: u32, dims: u32, position: [f32; 3]) -> u32 {
    let along = |d: usize| {
        // Truncation saturates below zero.
        ((position[d] * per_axis as f32) as u32).min(per_axis - 1)
    };
    (0..dims.min(3) as usize).rev().fold(0, |block, d| block * per_axis + along(d))
}

/// Bytes of a block's part of a level.
fn part_bytes(placed: &Placed, blocks: f64) -> f64 {
    libm::ceil(placed.bytes / blocks)
}

/// A stay at a block of space: samples of a batch that lie there, one level group after another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Visit {
    /// Samples.
    pub samples: f64,
    /// Whether its parts have to be loaded.
    pub loads: bool,
}

/// Levels that are in the buffer together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pass {
    /// Bytes of their parts.
    pub bytes: f64,
    /// Clocks of a sample, over all units.
    pub cycles: f64,
}

/// Fine levels in use.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SubgridUse {
    /// Stays, batch after batch.
    pub visits: Vec<Visit>,
    /// Level groups of a stay.
    pub passes: Vec<Pass>,
    /// Share of all blocks that are visited.
    pub touched: f64,
    /// Blocks of space.
    pub blocks: f64,
}

/// Stays of a batch, in the order of blocks.
pub fn visits(per_axis: u32, dims: u32, batch: &[[f32; 3]]) -> Vec<(u32, u32)> {
    let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
    for position in batch {
        *counts.entry(block_of(per_axis, dims, *position)).or_default() += 1;
    }
    counts.into_iter().collect()
}

impl SubgridUse {
    /// Takes batches through the buffers; `cycles` are the clocks of a sample in each level, with all units
    /// at work on it. None where no level is kept by block.
    ///
    /// # Errors
    /// When the part of a level does not fit a copy of the buffer.
    pub fn of(
        accelerator: &Accelerator,
        grid: &Grid,
        placement: &Placement,
        batches: &[&[[f32; 3]]],
        cycles: &[f64],
    ) -> Result<Option<Self>, EngineError> {
        let per_axis = accelerator.subgrid.per_axis;
        let blocks = f64::from(blocks(accelerator, grid));
        let mut passes: Vec<Pass> = Vec::new();
        for (placed, cycles) in placement.levels.iter().zip(cycles) {
            if placed.home != Home::Subgrid {
                continue;
            }
            let bytes = part_bytes(placed, blocks);
            if bytes > placed.room_bytes {
                return Err(EngineError::Accelerator {
                    path: "subgrid.capacity",
                    what: format!(
                        "a block's part of a level needs {bytes} bytes, a copy of the buffer holds {}",
                        placed.room_bytes
                    ),
                    help: "enlarge subgrid.capacity, or take more blocks (subgrid.per_axis)",
                });
            }
            match passes.last_mut() {
                Some(pass) if pass.bytes + bytes <= placed.room_bytes => {
                    pass.bytes += bytes;
                    pass.cycles += cycles;
                }
                _ => passes.push(Pass { bytes, cycles: *cycles }),
            }
        }
        if passes.is_empty() {
            return Ok(None);
        }
        let mut stays = Vec::new();
        let mut seen = BTreeSet::new();
        let mut held = None;
        for batch in batches {
            for (block, samples) in visits(per_axis, grid.dims, batch) {
                // With a single pass, what the last stay used is still there.
                let loads = passes.len() > 1 || held != Some(block);
                stays.push(Visit { samples: f64::from(samples), loads });
                seen.insert(block);
                held = Some(block);
            }
        }
        let touched = seen.len() as f64 / blocks;
        Ok(Some(Self { visits: stays, passes, touched, blocks }))
    }

    /// Samples of all stays.
    pub fn samples(&self) -> f64 {
        self.visits.iter().map(|visit| visit.samples).sum()
    }

    /// How often a part is loaded for a sample.
    pub fn loads(&self) -> f64 {
        let loads = self.visits.iter().filter(|visit| visit.loads).count();
        loads as f64 / self.samples().max(1.0)
    }

    /// Bytes that are loaded for a sample.
    pub fn loaded_bytes(&self) -> f64 {
        self.passes.iter().map(|pass| pass.bytes).sum::<f64>() * self.loads()
    }

    /// Bytes of a level that are loaded for a sample, and that are touched in all.
    pub fn of_level(&self, placed: &Placed) -> (f64, f64) {
        (part_bytes(placed, self.blocks) * self.loads(), placed.bytes * self.touched)
    }

    /// Clocks of a sample that units wait for parts, where a byte takes so many clocks to load.
    pub fn waiting_cycles(&self, clocks_per_byte: f64, copies: u32) -> f64 {
        let mut waiting = 0.0;
        for visit in self.visits.iter().filter(|visit| visit.loads) {
            for pass in &self.passes {
                let load = pass.bytes * clocks_per_byte;
                let work = visit.samples * pass.cycles;
                waiting += if copies > 1 { (load - work).max(0.0) } else { load };
            }
        }
        waiting / self.samples().max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumacycle_arch::Catalog;
    use lumacycle_arch::units::Bytes;
    use lumacycle_workloads::apps::Application;
    use lumacycle_workloads::samples::scattered;
    use proptest::prelude::*;

    fn encoder() -> Accelerator {
        Catalog::embedded().accelerator("neurex-like-64").unwrap().accelerator
    }

    fn used(a: &Accelerator, batches: &[&[[f32; 3]]]) -> Result<Option<SubgridUse>, EngineError> {
        let grid = Application::shipped("nerf").unwrap().unwrap().grid(4);
        let placement = Placement::of(a, &grid)?;
        let cycles = vec![0.25; placement.levels.len()];
        SubgridUse::of(a, &grid, &placement, batches, &cycles)
    }

    /// Sixteen levels of 2^19 entries: parts of 32 KiB, two in each half of the buffer.
    #[test]
    fn parts_and_passes_are_those_of_the_paper() {
        let positions: Vec<[f32; 3]> = (0..100).map(scattered).collect();
        let found = used(&encoder(), &[&positions[..]]).unwrap().unwrap();
        assert_eq!(found.passes.len(), 4);
        assert!(found.passes.iter().all(|pass| pass.bytes == 65_536.0 && pass.cycles == 0.5));
        assert_eq!(found.samples(), 100.0);
    }

    #[test]
    fn hashes_stay_within_their_part() {
        let a = encoder();
        let grid = Application::shipped("nerf").unwrap().unwrap().grid(4);
        let placement = Placement::of(&a, &grid).unwrap();
        let fine = placement.levels.iter().filter(|level| level.home == Home::Subgrid);
        assert_eq!(fine.clone().count(), 8);
        for placed in fine {
            assert_eq!(placed.level.entries, (1 << 19) / 64);
            for i in 0..200 {
                let entries = grid.entries_of(&placed.level, scattered(i));
                assert!(entries.iter().all(|entry| *entry < placed.level.entries));
            }
        }
    }

    #[test]
    fn a_buffer_that_is_too_small_names_the_value() {
        let mut a = encoder();
        a.subgrid.capacity = Bytes::new(32_768.0);
        let error = used(&a, &[&[[0.5; 3]][..]]).unwrap_err();
        assert!(
            matches!(error, EngineError::Accelerator { path: "subgrid.capacity", .. }),
            "{error}"
        );
        a.subgrid.per_axis = 8;
        assert!(used(&a, &[&[[0.5; 3]][..]]).unwrap().is_some());
        a.subgrid.per_axis = 1;
        assert_eq!(used(&a, &[&[[0.5; 3]][..]]).unwrap(), None);
    }

    /// One block's parts, loaded once, stay where all levels fit at once.
    #[test]
    fn a_single_pass_keeps_what_it_has() {
        let mut a = encoder();
        a.subgrid.capacity = Bytes::new(2.0 * 8.0 * 32_768.0);
        let here = [[0.1; 3]; 7];
        let found = used(&a, &[&here[..], &here[..], &here[..]]).unwrap().unwrap();
        assert_eq!(found.passes.len(), 1);
        assert_eq!(found.loaded_bytes(), 8.0 * 32_768.0 / 21.0);
    }

    /// What a buffer does, step by step: samples sorted by block, every part loaded where another lies.
    fn step_by_step(per_axis: u32, batches: &[Vec<[f32; 3]>], passes: usize) -> (u64, u64) {
        let (mut loads, mut samples) = (0, 0);
        let mut there: Option<(u32, usize)> = None;
        for batch in batches {
            let cell = |p: &[f32; 3]| {
                let [x, y, z] = p.map(|c| ((c * per_axis as f32).floor() as u32).min(per_axis - 1));
                x + per_axis * (y + per_axis * z)
            };
            let mut sorted: Vec<u32> = batch.iter().map(cell).collect();
            sorted.sort_unstable();
            let mut rest = &sorted[..];
            while let Some(block) = rest.first() {
                let own = rest.iter().take_while(|other| *other == block).count();
                for pass in 0..passes {
                    if there != Some((*block, pass)) {
                        loads += 1;
                        there = Some((*block, pass));
                    }
                    samples += own as u64;
                }
                rest = &rest[own..];
            }
        }
        (loads, samples / passes as u64)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn loads_are_those_of_a_buffer_step_by_step(
            batches in prop::collection::vec(
                prop::collection::vec(prop::array::uniform3(0.0_f32..1.0), 1..60), 1..6),
            per_axis in 2_u32..6,
            all_at_once in any::<bool>(),
        ) {
            let mut a = encoder();
            a.subgrid.per_axis = per_axis;
            let halves = if all_at_once { 64.0 } else { 1.0 };
            a.subgrid.capacity = Bytes::new(halves * 2.0 * 1_048_576.0 / 2.0);
            let slices: Vec<&[[f32; 3]]> = batches.iter().map(Vec::as_slice).collect();
            let found = used(&a, &slices).unwrap().unwrap();
            let (loads, samples) = step_by_step(per_axis, &batches, found.passes.len());
            prop_assert_eq!(found.samples() as u64, samples);
            let ours = found.visits.iter().filter(|visit| visit.loads).count() * found.passes.len();
            prop_assert_eq!(ours as u64, loads);
            // Bytes are those of the parts that were loaded.
            let each: f64 = found.passes.iter().map(|pass| pass.bytes).sum();
            let bytes = found.loaded_bytes() * found.samples();
            prop_assert!((bytes - each * loads as f64 / found.passes.len() as f64).abs() < 1e-3 * bytes);
        }

        /// Waiting falls with copies and with the rate, and never below what the channel itself needs.
        #[test]
        fn copies_and_bandwidth_never_make_it_slower(
            batch in prop::collection::vec(prop::array::uniform3(0.0_f32..1.0), 1..200),
            rate in 1.0_f64..512.0,
        ) {
            let found = used(&encoder(), &[&batch[..]]).unwrap().unwrap();
            let (one, two) = (found.waiting_cycles(1.0 / rate, 1), found.waiting_cycles(1.0 / rate, 2));
            prop_assert!(two <= one);
            prop_assert!(found.waiting_cycles(0.5 / rate, 2) <= two);
            let work: f64 = found.passes.iter().map(|pass| pass.cycles).sum();
            prop_assert!(two + work >= found.loaded_bytes() / rate * 0.999);
            prop_assert!((one - found.loaded_bytes() / rate).abs() <= 1e-6 * one);
        }

        /// Batches that are joined visit no more blocks than apart.
        #[test]
        fn larger_batches_load_less(
            batch in prop::collection::vec(prop::array::uniform3(0.0_f32..1.0), 2..200), cut in 0.0_f64..1.0
        ) {
            let at = 1 + (cut * (batch.len() - 2) as f64) as usize;
            let joined = used(&encoder(), &[&batch[..]]).unwrap().unwrap();
            let apart = used(&encoder(), &[&batch[..at], &batch[at..]]).unwrap().unwrap();
            prop_assert!(joined.visits.len() <= apart.visits.len());
            prop_assert_eq!(joined.samples(), apart.samples());
        }
    }
}
