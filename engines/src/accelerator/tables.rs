//! Where the levels of an encoding live: which engine holds which level, how much room it has
//! there, and what happens to a level that needs more.
//!
//! Sixteen levels keep the engines of a processor busy with one sample at a time; fewer levels
//! leave engines free, which hold copies and take further samples (two at a time for eight levels,
//! eight for two). More levels than engines share one by turns. Left out: levels split unevenly
//! over engines.

use lumacycle_arch::{Accelerator, TablePolicy};
use lumacycle_workloads::encoding::{Grid, Level};

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
}

impl Home {
    /// Name as printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resident => "resident",
            Self::Cached => "cached",
            Self::Subset => "subset",
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
    /// Share of its entries that lie in another engine's memory.
    pub remote: f64,
}

/// All levels, and how many samples a processor encodes at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    /// Levels in order.
    pub levels: Vec<Placed>,
    /// Samples encoded side by side.
    pub samples_at_once: f64,
    /// Levels that an engine takes by turns.
    pub levels_by_turns: f64,
    /// Bytes of an entry.
    pub entry_bytes: f64,
    /// Copies of each level within a processor.
    pub copies: f64,
}

impl Placement {
    /// Places the levels of `grid`; `whole` takes every level as if it fitted.
    ///
    /// # Errors
    /// When the policy is to refuse levels that do not fit, and one doesn't.
    pub fn of(accelerator: &Accelerator, grid: &Grid, whole: bool) -> Result<Self, EngineError> {
        let engines = accelerator.encoder.units;
        let policy = &accelerator.policy;
        let samples_at_once = (engines / grid.levels).max(1);
        let levels_by_turns = grid.levels.div_ceil(engines);
        let pooled = policy.tables == TablePolicy::Pool;
        // Within a pool one copy serves all samples.
        let copies = if pooled { 1 } else { samples_at_once };
        let sharing = f64::from(policy.shared_by);
        let entry_bytes = f64::from(grid.features) * f64::from(policy.feature_bits) / 8.0;
        let tables = grid.tables();
        let sizes: Vec<f64> =
            tables.iter().map(|level| f64::from(level.entries) * entry_bytes).collect();
        let own = accelerator.grid_sram.capacity.bytes() / f64::from(levels_by_turns) * sharing;
        let rooms = if pooled {
            let all = accelerator.grid_sram.capacity.bytes() * f64::from(engines) * sharing;
            pool(&sizes, all)
        } else {
            vec![own; sizes.len()]
        };
        let away = 1.0 - 1.0 / sharing;
        let mut levels = Vec::with_capacity(tables.len());
        for ((number, level), (&bytes, &room)) in
            tables.into_iter().enumerate().zip(sizes.iter().zip(&rooms))
        {
            let fits = whole || bytes <= room;
            if !fits && policy.tables == TablePolicy::Refuse {
                return Err(EngineError::Accelerator {
                    path: "grid_sram.capacity",
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
            let held = bytes.min(room).max(1.0);
            let beyond = if pooled && !whole { (1.0 - own / held).max(0.0) } else { 0.0 };
            let remote = if whole { 0.0 } else { away + (1.0 - away) * beyond };
            levels.push(Placed { level, bytes, room_bytes: room, home, remote });
        }
        Ok(Self {
            levels,
            samples_at_once: f64::from(samples_at_once),
            levels_by_turns: f64::from(levels_by_turns),
            entry_bytes,
            copies: f64::from(copies),
        })
    }
}

/// Bytes of a mebibyte.
const MIB: f64 = 1_048_576.0;

/// Gives small levels what they need and divides what is left over evenly among the others.
fn pool(sizes: &[f64], all: f64) -> Vec<f64> {
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
            let placed = Placement::of(&ngpc, &grid(app, choice, scale), false).unwrap();
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
            |choice| Placement::of(&ngpc, &grid("nerf", choice, 1), false).unwrap().samples_at_once;
        assert_eq!(at_once(EncodingChoice::Hashgrid), 1.0);
        assert_eq!(at_once(EncodingChoice::Densegrid), 2.0);
        assert_eq!(at_once(EncodingChoice::DensegridLowres), 8.0);
    }

    #[test]
    fn eight_bits_make_the_hash_tables_fit_and_refusal_names_the_level() {
        let mut ngpc = accelerator(TablePolicy::Refuse);
        let nerf = grid("nerf", EncodingChoice::Hashgrid, 4);
        let error = Placement::of(&ngpc, &nerf, false).unwrap_err();
        assert!(error.to_string().contains("level 4 needs 2.00 MiB"), "{error}");
        ngpc.policy.feature_bits = 8;
        let placed = Placement::of(&ngpc, &nerf, false).unwrap();
        assert!(placed.levels.iter().all(|level| level.home == Home::Resident));
    }

    #[test]
    fn a_pool_holds_what_it_can_and_no_more() {
        let ngpc = accelerator(TablePolicy::Pool);
        for choice in
            [EncodingChoice::Hashgrid, EncodingChoice::Densegrid, EncodingChoice::DensegridLowres]
        {
            let placed = Placement::of(&ngpc, &grid("nerf", choice, 4), false).unwrap();
            let used: f64 = placed.levels.iter().map(|l| l.room_bytes.min(l.bytes)).sum();
            assert!(used <= 16.0 * MIB + 1.0, "{used}");
            let all: f64 = placed.levels.iter().map(|level| level.bytes).sum();
            assert!(used > 15.9 * MIB || used == all);
            assert!(placed.levels.iter().all(|level| (0.0..1.0).contains(&level.remote)));
        }
    }
}
