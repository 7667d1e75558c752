//! Where the levels of an encoding live: which engine holds which level, how much room it has
//! there, and what happens to a level that needs more.
//!
//! Sixteen levels keep the engines of a processor busy with one sample at a time; fewer levels
//! leave engines free, which hold copies and take further samples (two at a time for eight levels,
//! eight for two). Where there are more levels than engines, an engine takes several by turns and
//! divides its memory among them. Left out: levels split over engines.

use lumacycle_arch::{Accelerator, TablePolicy};
use lumacycle_workloads::encoding::{Grid, Level};

use super::subgrid;
use crate::EngineError;

/// How a level is looked up.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Home {
    /// All of it lies in its memory.
    Resident,
    /// The memory is a cache of it.
    Cached,
    /// A part lies in memory, the rest is fetched each time.
    Subset,
    /// What belongs to a block of space is loaded when its samples come.
    Subgrid,
}

impl Home {
    /// Name as printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resident => "resident",
            Self::Cached => "cached",
            Self::Subset => "subset",
            Self::Subgrid => "subgrid",
        }
    }
}

/// A level and its place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placed {
    /// The level.
    pub level: Level,
    /// Size of its table, in bytes.
    pub bytes: f64,
    /// Room for it, in bytes.
    pub room_bytes: f64,
    /// How it is looked up.
    pub home: Home,
    /// Share of its lookups that go to another engine's memory.
    pub remote: f64,
    /// Samples that ask one of its memories at once.
    pub load: f64,
}

/// All levels, and how many samples a processor encodes at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    /// Levels in order.
    pub levels: Vec<Placed>,
    /// Levels of each engine, by number; copies are not listed.
    pub engines: Vec<Vec<usize>>,
    /// Samples encoded side by side.
    pub samples_at_once: f64,
    /// Bytes of an entry.
    pub entry_bytes: f64,
    /// Copies of each level within a processor.
    pub copies: f64,
}

impl Placement {
    /// Places the levels of `grid`.
    ///
    /// # Errors
    /// When the policy is to refuse levels that do not fit, and one doesn't.
    pub fn of(accelerator: &Accelerator, grid: &Grid) -> Result<Self, EngineError> {
        let policy = &accelerator.policy;
        let samples_at_once = f64::from((accelerator.encoder.units / grid.levels).max(1));
        let pooled = policy.tables == TablePolicy::Pool;
        // Within a pool one copy serves all samples.
        let copies = if pooled { 1.0 } else { samples_at_once };
        let sharing = f64::from(policy.shared_by);
        let entry_bytes = f64::from(grid.features) * f64::from(policy.feature_bits) / 8.0;
        let tables = grid.tables();
        let sizes: Vec<f64> =
            tables.iter().map(|level| f64::from(level.entries) * entry_bytes).collect();
        let one = accelerator.grid_sram.capacity.bytes();
        let engines = deal(&sizes, accelerator.encoder.units as usize);
        let mut rooms = vec![0.0; sizes.len()];
        // Levels that are kept by blocks of space take no room of table memories.
        let fine = subgrid::first_level(accelerator).min(sizes.len());
        let held: Vec<f64> =
            sizes[..fine].iter().copied().chain(vec![0.0; sizes.len() - fine]).collect();
        if pooled {
            rooms = divide(&held, one * f64::from(accelerator.encoder.units) * sharing);
        } else {
            for levels in &engines {
                let own: Vec<f64> = levels.iter().map(|level| held[*level]).collect();
                let divided = divide(&own, one * sharing);
                for (level, room) in levels.iter().zip(divided) {
                    // A level that has the engine to itself has all of its memory.
                    rooms[*level] = if levels.len() == 1 { one * sharing } else { room };
                }
            }
        }
        let mut levels = Vec::with_capacity(tables.len());
        for ((number, level), (&bytes, &room)) in
            tables.into_iter().enumerate().zip(sizes.iter().zip(&rooms))
        {
            if number >= fine {
                levels.push(subgrid::place(accelerator, grid, level, bytes));
                continue;
            }
            let fits = bytes <= room;
            if !fits && policy.tables == TablePolicy::Refuse {
                return Err(EngineError::Accelerator {
                    path: "policy.tables",
                    what: format!(
                        "level {number} needs {:.2} MiB, its memory holds {:.2} MiB",
                        bytes / MIB,
                        room / MIB
                    ),
                    help: "enlarge grid_sram, use 8-bit features, or another policy.tables",
                });
            }
            let home = match policy.tables {
                _ if fits => Home::Resident,
                TablePolicy::Subset => Home::Subset,
                _ => Home::Cached,
            };
            // Entries lie evenly over as many memories as they need, and over all processors
            // that share them; in a pool the samples encoded at once ask the same ones.
            let memories =
                if pooled { libm::ceil(bytes.min(room) / (one * sharing)).max(1.0) } else { 1.0 };
            let asking = if pooled { samples_at_once } else { 1.0 };
            let remote = 1.0 - 1.0 / (sharing * memories.max(asking));
            levels.push(Placed {
                level,
                bytes,
                room_bytes: room,
                home,
                remote,
                load: (asking / memories).max(1.0),
            });
        }
        Ok(Self { levels, engines, samples_at_once, entry_bytes, copies })
    }

    /// Levels of the engine that has most of them.
    pub fn most_levels(&self) -> f64 {
        self.engines.iter().map(Vec::len).max().unwrap_or(1) as f64
    }
}

/// Bytes of a mebibyte.
const MIB: f64 = 1_048_576.0;

/// Deals levels to engines, the largest first, each to one of those with the fewest levels and of
/// them to the one with least to hold.
fn deal(sizes: &[f64], engines: usize) -> Vec<Vec<usize>> {
    let engines = engines.clamp(1, sizes.len().max(1));
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by(|a, b| sizes[*b].total_cmp(&sizes[*a]));
    let mut dealt: Vec<(Vec<usize>, f64)> = vec![(Vec::new(), 0.0); engines];
    for level in order {
        let emptiest =
            dealt.iter_mut().min_by(|a, b| a.0.len().cmp(&b.0.len()).then(a.1.total_cmp(&b.1)));
        if let Some((levels, held)) = emptiest {
            levels.push(level);
            *held += sizes[level];
        }
    }
    dealt.into_iter().map(|(levels, _)| levels).collect()
}

/// Gives small levels what they need and divides what is left over evenly among the others.
fn divide(sizes: &[f64], all: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by(|a, b| sizes[*a].total_cmp(&sizes[*b]));
    let mut rooms = vec![0.0; sizes.len()];
    let mut left = all;
    for (done, index) in order.iter().enumerate() {
        let share = left / (sizes.len() - done) as f64;
        rooms[*index] = sizes[*index].min(share);
        left -= rooms[*index];
    }
    rooms
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumacycle_arch::Catalog;
    use lumacycle_workloads::apps::{Application, EncodingChoice};

    fn grid(app: &str, choice: EncodingChoice, scale: u32) -> Grid {
        Application::shipped(app).unwrap().unwrap().with(choice).grid(scale)
    }

    fn accelerator(policy: TablePolicy) -> Accelerator {
        let mut ngpc = Catalog::embedded().accelerator("ngpc-8").unwrap().accelerator;
        ngpc.policy.tables = policy;
        ngpc
    }

    /// Which levels of the paper's applications exceed 1 MiB: 12, 11 and 10 of 16, and none of the
    /// image's.
    #[test]
    fn levels_that_do_not_fit() {
        let ngpc = accelerator(TablePolicy::Stream);
        let exceeding = |app, choice, scale| {
            let placed = Placement::of(&ngpc, &grid(app, choice, scale)).unwrap();
            placed.levels.iter().filter(|level| level.home != Home::Resident).count()
        };
        assert_eq!(exceeding("nerf", EncodingChoice::Hashgrid, 4), 12);
        assert_eq!(exceeding("nsdf", EncodingChoice::Hashgrid, 1), 11);
        assert_eq!(exceeding("nvr", EncodingChoice::Hashgrid, 1), 10);
        assert_eq!(exceeding("gia", EncodingChoice::Hashgrid, 1), 0);
        assert_eq!(exceeding("nerf", EncodingChoice::Densegrid, 4), 3);
        assert_eq!(exceeding("nerf", EncodingChoice::DensegridLowres, 4), 2);
    }

    #[test]
    fn engines_without_a_level_take_further_samples() {
        let ngpc = accelerator(TablePolicy::Stream);
        let at_once =
            |choice| Placement::of(&ngpc, &grid("nerf", choice, 1)).unwrap().samples_at_once;
        assert_eq!(at_once(EncodingChoice::Hashgrid), 1.0);
        assert_eq!(at_once(EncodingChoice::Densegrid), 2.0);
        assert_eq!(at_once(EncodingChoice::DensegridLowres), 8.0);
    }

    #[test]
    fn eight_bits_make_the_hash_tables_fit_and_refusal_names_the_level() {
        let mut ngpc = accelerator(TablePolicy::Refuse);
        let nerf = grid("nerf", EncodingChoice::Hashgrid, 4);
        let error = Placement::of(&ngpc, &nerf).unwrap_err();
        assert!(error.to_string().contains("level 4 needs 2.00 MiB"), "{error}");
        ngpc.policy.feature_bits = 8;
        let placed = Placement::of(&ngpc, &nerf).unwrap();
        assert!(placed.levels.iter().all(|level| level.home == Home::Resident));
    }

    #[test]
    fn a_pool_holds_what_it_can_and_no_more() {
        let ngpc = accelerator(TablePolicy::Pool);
        for choice in
            [EncodingChoice::Hashgrid, EncodingChoice::Densegrid, EncodingChoice::DensegridLowres]
        {
            let placed = Placement::of(&ngpc, &grid("nerf", choice, 4)).unwrap();
            let used: f64 = placed.levels.iter().map(|l| l.room_bytes.min(l.bytes)).sum();
            assert!(used <= 16.0 * MIB + 1.0, "{used}");
            let all: f64 = placed.levels.iter().map(|level| level.bytes).sum();
            assert!(used > 15.9 * MIB || used == all);
            assert!(placed.levels.iter().all(|level| (0.0..1.0).contains(&level.remote)));
        }
    }
    /// One engine too few costs one pair of levels, not all.
    #[test]
    fn levels_that_outnumber_engines_share_the_last_ones() {
        let mut ngpc = accelerator(TablePolicy::Stream);
        ngpc.encoder.units = 15;
        let placed = Placement::of(&ngpc, &grid("nerf", EncodingChoice::Hashgrid, 4)).unwrap();
        let by_turns = placed.engines.iter().filter(|levels| levels.len() > 1).count();
        assert_eq!((by_turns, placed.most_levels()), (1, 2.0));
        let whole = placed.levels.iter().filter(|level| level.room_bytes == MIB).count();
        assert_eq!(whole, 14);
    }
}
