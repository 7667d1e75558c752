//! Units in a row with room for a few visits between two of them. A unit starts a visit when it is
//! free, the one before has finished it, and the one behind has room: a tandem queue, worked out
//! visit by visit, in clocks.

use lumacycle_arch::SparseAccelerator;
use serde::Serialize;

use super::SparseUnit;

/// Units in a row.
pub(super) const STAGES: usize = SparseUnit::ALL.len();

/// What a unit does during a frame.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct UnitUse {
    /// Which.
    pub unit: SparseUnit,
    /// Working, in percent of the frame.
    pub busy_pct: f64,
    /// Waiting for the unit before.
    pub starved_pct: f64,
    /// Finished, with no room behind.
    pub blocked_pct: f64,
}

/// Units of one core, in `N` frames side by side that differ in how fast units are.
#[derive(Debug, Clone)]
pub(super) struct Pipeline<const N: usize> {
    /// When each unit has passed its last visit on.
    free: [[f64; N]; STAGES],
    busy: [[f64; N]; STAGES],
    blocked: [[f64; N]; STAGES],
    /// When each unit started the visits that may still take up room before it, in a circle; zero before the first.
    started: [Vec<[f64; N]>; STAGES],
    /// Place of the oldest of them, which the next visit takes.
    oldest: usize,
}

impl<const N: usize> Pipeline<N> {
    pub fn new(accelerator: &SparseAccelerator) -> Self {
        Self::with_room(accelerator.policy.cubes_between_stages as usize)
    }

    fn with_room(room: usize) -> Self {
        Self {
            free: [[0.0; N]; STAGES],
            busy: [[0.0; N]; STAGES],
            blocked: [[0.0; N]; STAGES],
            started: std::array::from_fn(|_| vec![[0.0; N]; room.max(1)]),
            oldest: 0,
        }
    }

    /// A visit that takes each unit so many clocks.
    pub fn push(&mut self, clocks: [[f64; N]; STAGES]) {
        let mut arrived = [0.0; N];
        for (stage, clocks) in clocks.iter().enumerate() {
            // It leaves when the unit behind has started the visit that takes up the last room.
            let behind = self.started.get(stage + 1).map_or([0.0; N], |behind| behind[self.oldest]);
            let (free, busy) = (&mut self.free[stage], &mut self.busy[stage]);
            let (started, blocked) =
                (&mut self.started[stage][self.oldest], &mut self.blocked[stage]);
            for lane in 0..N {
                let start = later(free[lane], arrived[lane]);
                let done = start + clocks[lane];
                let left = later(done, behind[lane]);
                started[lane] = start;
                busy[lane] += clocks[lane];
                blocked[lane] += left - done;
                free[lane] = left;
            }
            arrived = *free;
        }
        self.oldest += 1;
        if self.oldest == self.started[0].len() {
            self.oldest = 0;
        }
    }

    /// Clocks until the last visit of a frame has left.
    pub const fn cycles(&self, lane: usize) -> f64 {
        self.free[STAGES - 1][lane]
    }

    /// Mean over cores, of a frame of so many clocks.
    pub fn usage(pipelines: &[&Self], lane: usize, cycles: f64) -> Vec<UnitUse> {
        let all = (cycles * pipelines.len() as f64).max(f64::MIN_POSITIVE);
        let share = |of: &dyn Fn(&Self) -> f64| {
            100.0 * pipelines.iter().map(|pipeline| of(pipeline)).sum::<f64>() / all
        };
        let rows = SparseUnit::ALL.into_iter().enumerate();
        rows.map(|(stage, unit)| {
            let busy_pct = share(&|p| p.busy[stage][lane]);
            let blocked_pct = share(&|p| p.blocked[stage][lane]);
            UnitUse {
                unit,
                busy_pct,
                blocked_pct,
                starved_pct: (100.0 - busy_pct - blocked_pct).max(0.0),
            }
        })
        .collect()
    }
}

/// The later of two times. Unlike `f64::max` it needs no look for what is no number.
#[inline]
fn later(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(room: usize, visits: &[[f64; STAGES]]) -> f64 {
        let mut pipeline = Pipeline::<2>::with_room(room);
        for visit in visits {
            pipeline.push(visit.map(|clocks| [2.0 * clocks, clocks]));
        }
        // Twice the clocks take twice the time, side by side as alone.
        assert_eq!(pipeline.cycles(0), 2.0 * pipeline.cycles(1));
        pipeline.cycles(1)
    }

    #[test]
    fn equal_visits_run_at_the_slowest_units_pace() {
        let visits = vec![[1.0, 2.0, 5.0, 3.0, 1.0]; 100];
        // Fill of the units before, a hundred visits of the slowest, drain.
        assert_eq!(run(4, &visits), 3.0 + 500.0 + 4.0);
    }

    proptest! {
        /// Never faster than any one unit alone, never slower than all one after another; room helps.
        #[test]
        fn bounds(visits in prop::collection::vec(prop::array::uniform5(0.0_f64..50.0), 1..60)) {
            let sums: Vec<f64> =
                (0..STAGES).map(|stage| visits.iter().map(|v| v[stage]).sum()).collect();
            let most = sums.iter().copied().fold(0.0, f64::max);
            let all: f64 = sums.iter().sum();
            let times = [1, 2, 8, 1000].map(|room| run(room, &visits));
            for time in times {
                prop_assert!(time >= most - 1e-9 && time <= all + 1e-9);
            }
            prop_assert!(times.windows(2).all(|w| w[1] <= w[0] + 1e-9));
        }
    }
}
