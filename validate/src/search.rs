//! Finds the values within ranges for which a cost is least: each range is mapped onto the whole line
//! by ratio, each axis is looked along first, since a limit that is never reached has no slope, and
//! then Nelder and Mead go downhill. Their simplex can fold up long before the bottom is reached where
//! there are many axes, so they start again from what they found for as long as that helps, and do the
//! same from the best two of a spread of places, since one start may end in a poor valley.

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

/// Times that the descent starts at most.
const STARTS: usize = 8;

/// Least gain, as a share of the cost, for which it starts again.
const WORTH: f64 = 2e-3;

/// Places of a low-discrepancy sequence that are looked at, by axis, for other valleys than the one the start lies in.
const LOOKED_AT: usize = 24;

/// Valleys that are gone down into, beside that of the start.
const VALLEYS: usize = 2;

/// The values of least cost.
pub(crate) fn least(ranges: &[Range], cost: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let start: Vec<f64> = ranges.iter().map(|range| range.place_of(range.start)).collect();
    let problem = Problem { ranges, cost };
    let mut places: Vec<(f64, Vec<f64>)> = (0..LOOKED_AT * start.len())
        .map(|index| scattered(index, start.len()))
        .map(|line| (problem.at(&line), line))
        .collect();
    places.sort_by(|a, b| a.0.total_cmp(&b.0));
    places.truncate(VALLEYS);
    let starts = std::iter::once(start).chain(places.into_iter().map(|(_, line)| line));
    let found = starts.map(|line| valley(&problem, line));
    let (_, line) = found.reduce(|a, b| if b.0 < a.0 { b } else { a }).unwrap_or_default();
    ranges.iter().zip(&line).map(|(range, x)| range.value_at(*x)).collect()
}

/// A place of the Halton sequence, spread over the shares of the ranges that [`SCAN`] spans.
fn scattered(index: usize, axes: usize) -> Vec<f64> {
    const PRIMES: [usize; 28] = [
        2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89,
        97, 101, 103, 107,
    ];
    let radical_inverse = |prime: usize| {
        let (mut rest, mut digit, mut sum) = (index + 1, 1.0, 0.0);
        while rest > 0 {
            digit /= prime as f64;
            sum += digit * (rest % prime) as f64;
            rest /= prime;
        }
        sum
    };
    PRIMES.iter().cycle().take(axes).map(|prime| 5.0 * radical_inverse(*prime) - 2.5).collect()
}

/// The least cost that is found from a place on, and where.
fn valley<C: Fn(&[f64]) -> f64>(problem: &Problem<'_, C>, mut start: Vec<f64>) -> (f64, Vec<f64>) {
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
    let mut best = (problem.at(&start), start);
    for _ in 0..STARTS {
        let found = downhill(problem, &best.1);
        let better = found.0 < best.0 * (1.0 - WORTH);
        if found.0 < best.0 {
            best = found;
        }
        if !better {
            break;
        }
    }
    best
}

/// One descent from a place: the cost it comes to, and where that is.
fn downhill<C: Fn(&[f64]) -> f64>(problem: &Problem<'_, C>, start: &[f64]) -> (f64, Vec<f64>) {
    let mut simplex = vec![start.to_vec()];
    for axis in 0..start.len() {
        let mut corner = start.to_vec();
        corner[axis] += 0.5;
        simplex.push(corner);
    }
    let steps = 40 * start.len() as u64;
    let solver = NelderMead::new(simplex).with_sd_tolerance(1e-5);
    let solver = solver.unwrap_or_else(|_| NelderMead::new(vec![start.to_vec()]));
    let run = Executor::new(problem, solver).configure(|state| state.max_iters(steps)).run();
    let best = run.ok().and_then(|run| run.state().get_best_param().cloned());
    let line = best.unwrap_or_else(|| start.to_vec());
    (problem.at(&line), line)
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

impl<C: Fn(&[f64]) -> f64> CostFunction for &Problem<'_, C> {
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
