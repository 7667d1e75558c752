//! Launches whose CTAs differ in length by plan, as those of a causal mask: an SM takes the next
//! CTA of the grid when one ends, and at the end some wait for the longest. Played through in
//! dispatch order, with CTAs that have their SM for themselves running faster. Left out: what the
//! difference does to the shared memory system.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use lumacycle_workloads::Kernel;

use super::GpuEngine;
use super::sm;
use super::traffic::Movement;

/// So many sets of CTAs are played through; what their end costs does not grow with more.
const MOST_WAVES: f64 = 12.0;

/// How much longer a launch takes than one whose CTAs all have the average length (1 where they do).
pub fn imbalance(
    engine: &GpuEngine<'_>,
    kernel: &Kernel,
    movement: &Movement,
    per_sm: u32,
    ctas: f64,
) -> f64 {
    let Some(stage) = kernel.stages.iter().position(|stage| !stage.lengths.is_empty()) else {
        return 1.0;
    };
    let lengths = &kernel.stages[stage].lengths;
    let mean = kernel.stages[stage].iterations;
    let latency = sm::read_latency_cycles(engine, movement, 0.0);
    let cycles = |kernel: &Kernel, resident: u32| {
        sm::resident_set(engine, kernel, movement, f64::from(resident), latency).cycles
    };
    let per_sm = per_sm.max(1);
    let pace: Vec<f64> = (1..=per_sm).map(|resident| cycles(kernel, resident)).collect();
    let mut twice = kernel.clone();
    twice.stages[stage].iterations *= 2.0;
    let full = pace[pace.len() - 1];
    // What a CTA does once, in turns.
    let turns_cycles = cycles(&twice, per_sm) - full;
    if turns_cycles <= 0.0 || full <= 0.0 {
        return 1.0;
    }
    let fixed = (full / turns_cycles - 1.0).max(0.0) * mean;
    let sms = f64::from(engine.gpu.sm.count);
    // Whole rows of the grid.
    let row = lengths.len() as f64;
    let most = libm::ceil(MOST_WAVES * f64::from(per_sm) * sms / row) * row;
    let played = ctas.min(most) as usize;
    let share = |index: usize| (fixed + lengths[index % lengths.len()]) / (fixed + mean);
    let machine = Machine { pace, sms: engine.gpu.sm.count };
    let uneven = machine.makespan(played, share);
    let even = machine.makespan(played, |_| 1.0);
    if even <= 0.0 {
        return 1.0;
    }
    1.0 + (uneven / even - 1.0) * played as f64 / ctas
}

/// SMs that share their time among the CTAs that they hold.
struct Machine {
    /// Cycles of a CTA of average length among so many, from one.
    pace: Vec<f64>,
    sms: u32,
}

/// A time, in an order that does not depend on how it was worked out.
#[derive(PartialEq)]
struct Cycles(f64);

impl Eq for Cycles {}

impl PartialOrd for Cycles {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Cycles {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// An SM under way.
#[derive(Default)]
struct Sm {
    /// What its CTAs still have to do, in CTAs of average length.
    left: Vec<f64>,
    /// When that was so.
    since: f64,
}

impl Sm {
    /// When its next CTA ends.
    fn next(&self, pace: &[f64]) -> Option<f64> {
        let least = self.left.iter().copied().reduce(f64::min)?;
        Some(self.since + least * pace[self.left.len() - 1])
    }

    /// Lets it run until its next CTA ends, and takes that off.
    fn advance(&mut self, now: f64, pace: &[f64]) {
        let done = (now - self.since) / pace[self.left.len() - 1];
        self.since = now;
        for left in &mut self.left {
            *left -= done;
        }
        // Of CTAs that end together one is taken at a time.
        let first = (0..self.left.len()).min_by(|a, b| self.left[*a].total_cmp(&self.left[*b]));
        if let Some(first) = first {
            self.left.remove(first);
        }
    }
}

impl Machine {
    /// Cycles until all of so many CTAs are done, each with its share of the average length.
    fn makespan(&self, ctas: usize, share: impl Fn(usize) -> f64) -> f64 {
        let count = self.sms.max(1) as usize;
        let mut sms: Vec<Sm> = (0..count).map(|_| Sm::default()).collect();
        let mut next = 0;
        // One each, then a second, as long as there is room.
        'places: for _ in 0..self.pace.len() {
            for sm in &mut sms {
                if next == ctas {
                    break 'places;
                }
                sm.left.push(share(next));
                next += 1;
            }
        }
        let mut ends: BinaryHeap<Reverse<(Cycles, usize)>> = sms
            .iter()
            .enumerate()
            .filter_map(|(index, sm)| Some(Reverse((Cycles(sm.next(&self.pace)?), index))))
            .collect();
        let mut end = 0.0;
        while let Some(Reverse((Cycles(now), index))) = ends.pop() {
            end = now;
            let sm = &mut sms[index];
            sm.advance(now, &self.pace);
            if next < ctas {
                sm.left.push(share(next));
                next += 1;
            }
            if let Some(then) = sm.next(&self.pace) {
                ends.push(Reverse((Cycles(then.max(now)), index)));
            }
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ctas_take_whole_waves() {
        let machine = Machine { pace: vec![10.0, 15.0], sms: 4 };
        assert!((machine.makespan(8, |_| 1.0) - 15.0).abs() < 1e-9);
        // The ninth has an SM for itself.
        assert!((machine.makespan(9, |_| 1.0) - 25.0).abs() < 1e-9);
        assert!((machine.makespan(0, |_| 1.0)).abs() < 1e-9);
    }

    #[test]
    fn a_long_last_cta_is_waited_for() {
        let machine = Machine { pace: vec![10.0], sms: 2 };
        let ramp = [1.0, 2.0, 3.0];
        // 1 then 3 on one SM, 2 on the other.
        assert!((machine.makespan(3, |index| ramp[index]) - 40.0).abs() < 1e-9);
        // The longest first: 3 on one, 2 then 1 on the other.
        assert!((machine.makespan(3, |index| ramp[2 - index]) - 30.0).abs() < 1e-9);
    }
}
