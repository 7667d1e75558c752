//! Units in a row with room for a few visits between two of them. A unit starts a visit when it is
//! free, the one before has finished it, and the one behind has room: a tandem queue, worked out
//! visit by visit, in clocks.

use std::collections::VecDeque;

use lumacycle_arch::SparseAccelerator;
use serde::Serialize;

use super::SparseUnit;

/// Units in a row.
const STAGES: usize = SparseUnit::ALL.len();

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

/// Units of one core.
#[derive(Debug, Clone)]
pub(super) struct Pipeline {
    /// When each unit has passed its last visit on.
    free: [f64; STAGES],
    busy: [f64; STAGES],
    starved: [f64; STAGES],
    blocked: [f64; STAGES],
    /// When each unit started the visits that may still take up room before it.
    started: [VecDeque<f64>; STAGES],
    room: usize,
}

impl Pipeline {
    pub fn new(accelerator: &SparseAccelerator) -> Self {
        Self::with_room(accelerator.policy.cubes_between_stages as usize)
    }

    fn with_room(room: usize) -> Self {
        Self {
            free: [0.0; STAGES],
            busy: [0.0; STAGES],
            starved: [0.0; STAGES],
            blocked: [0.0; STAGES],
            started: std::array::from_fn(|_| VecDeque::new()),
            room: room.max(1),
        }
    }

    /// A visit that takes each unit so many clocks.
    pub fn push(&mut self, clocks: [f64; STAGES]) {
        let mut arrived = 0.0;
        for (stage, clocks) in clocks.into_iter().enumerate() {
            let start = self.free[stage].max(arrived);
            self.starved[stage] += start - self.free[stage];
            let done = start + clocks;
            self.busy[stage] += clocks;
            self.started[stage].push_back(start);
            if self.started[stage].len() > self.room {
                self.started[stage].pop_front();
            }
            // It leaves when the unit behind has started the visit that takes up the last room.
            let behind = self.started.get(stage + 1);
            let room = behind.filter(|b| b.len() == self.room).and_then(VecDeque::front);
            let left = room.map_or(done, |freed| done.max(*freed));
            self.blocked[stage] += left - done;
            self.free[stage] = left;
            arrived = left;
        }
    }

    /// Clocks until the last visit has left.
    pub fn cycles(&self) -> f64 {
        self.free[STAGES - 1]
    }

    /// Mean over cores, of a frame of so many clocks.
    pub fn usage(pipelines: &[&Self], cycles: f64) -> Vec<UnitUse> {
        let all = (cycles * pipelines.len() as f64).max(f64::MIN_POSITIVE);
        let share = |of: &dyn Fn(&Self) -> f64| {
            100.0 * pipelines.iter().map(|pipeline| of(pipeline)).sum::<f64>() / all
        };
        let rows = SparseUnit::ALL.into_iter().enumerate();
        rows.map(|(stage, unit)| {
            let busy_pct = share(&|p| p.busy[stage]);
            let blocked_pct = share(&|p| p.blocked[stage]);
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(room: usize, visits: &[[f64; STAGES]]) -> f64 {
        let mut pipeline = Pipeline::with_room(room);
        for visit in visits {
            pipeline.push(*visit);
        }
        pipeline.cycles()
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
