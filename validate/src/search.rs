//! Finds the values within ranges for which a cost is least: each range is mapped onto the whole line
//! by ratio, each axis is looked along first, since a limit that is never reached has no slope, and
//! then Nelder and Mead go downhill.

use argmin::core::{CostFunction, Executor, State as _};
use argmin::solver::neldermead::NelderMead;

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Range {
    /// Least, above zero.
    pub low: f64,
    /// Largest.
    pub high: f64,
    /// Where the search starts.
    pub start: f64,
}

impl Range {
    /// Maps the range onto the whole line.
    fn place_of(self, value: f64) -> f64 {
        let share = libm::log(value / self.low) / libm::log(self.high / self.low);
        libm::log(share / (1.0 - share))
    }

    fn value_at(self, x: f64) -> f64 {
        self.low * libm::pow(self.high / self.low, 1.0 / (1.0 + libm::exp(-x)))
    }
}

/// Places on the line of a range where the search looks first.
const SCAN: [f64; 9] = [-2.5, -1.6, -1.0, -0.5, 0.0, 0.5, 1.0, 1.6, 2.5];

/// The values of least cost.
pub(crate) fn least(ranges: &[Range], cost: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let mut start: Vec<f64> = ranges.iter().map(|range| range.place_of(range.start)).collect();
    let problem = Problem { ranges, cost };
    for _ in 0..2 {
        for axis in 0..start.len() {
            let tried = SCAN.map(|x| {
                let mut line = start.clone();
                line[axis] = x;
                (problem.at(&line), line)
            });
            let here = (problem.at(&start), start.clone());
            let best = tried.into_iter().fold(here, |a, b| if b.0 < a.0 { b } else { a });
            start = best.1;
        }
    }
    let mut simplex = vec![start.clone()];
    for axis in 0..start.len() {
        let mut corner = start.clone();
        corner[axis] += 0.5;
        simplex.push(corner);
    }
    let steps = 40 * start.len() as u64;
    let solver = NelderMead::new(simplex).with_sd_tolerance(1e-5);
    let solver = solver.unwrap_or_else(|_| NelderMead::new(vec![start.clone()]));
    let run = Executor::new(problem, solver).configure(|state| state.max_iters(steps)).run();
    let best = run.ok().and_then(|run| run.state().get_best_param().cloned());
    let line = best.unwrap_or(start);
    ranges.iter().zip(&line).map(|(range, x)| range.value_at(*x)).collect()
}

/// Mean absolute logarithm of predicted over measured, of rows with weights.
pub(crate) fn mean_log_error(rows: impl Iterator<Item = (f64, f64, f64)>) -> f64 {
    let (mut sum, mut weight) = (0.0, 0.0);
    for (predicted, measured, w) in rows {
        sum += w * libm::log(predicted / measured).abs();
        weight += w;
    }
    sum / weight.max(f64::MIN_POSITIVE)
}

struct Problem<'a, C> {
    ranges: &'a [Range],
    cost: C,
}

impl<C: Fn(&[f64]) -> f64> Problem<'_, C> {
    fn at(&self, line: &[f64]) -> f64 {
        let values: Vec<f64> =
            self.ranges.iter().zip(line).map(|(range, x)| range.value_at(*x)).collect();
        (self.cost)(&values)
    }
}

impl<C: Fn(&[f64]) -> f64> CostFunction for Problem<'_, C> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, line: &Vec<f64>) -> Result<f64, argmin::core::Error> {
        Ok(self.at(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGES: [Range; 2] =
        [Range { low: 0.5, high: 1.0, start: 0.92 }, Range { low: 5.0, high: 300.0, start: 50.0 }];

    #[test]
    fn the_line_covers_the_range() {
        for range in RANGES {
            let there = range.value_at(range.place_of(range.start));
            assert!((there / range.start - 1.0).abs() < 1e-9);
            assert!(range.value_at(-50.0) >= range.low * 0.999);
            assert!(range.value_at(50.0) <= range.high * 1.001);
        }
    }

    #[test]
    fn known_values_are_found() {
        let wanted = [0.7, 120.0];
        let found = least(&RANGES, |values| {
            mean_log_error(values.iter().zip(wanted).map(|(value, wanted)| (*value, wanted, 1.0)))
        });
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((found / wanted - 1.0).abs() < 0.01, "{found} {wanted}");
        }
    }
}
