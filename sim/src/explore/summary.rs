//! What results say: which designs are best at once (the Pareto front), its knee, the best under each
//! limit, and what ten per cent of each parameter buys.
//!
//! The knee is the design of the front that lies nearest to the best of every objective, each counted
//! in the width of the front. Left out: confidence intervals; the model has one answer a design.

use super::bench::{Bench, Job};
use super::space::{Domain, Limit, Setting, Space};
use super::store::{Record, Status};
use super::{Row, cost};

/// What a space's results say.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    /// Points of the front, by the first objective.
    pub front: Vec<u64>,
    /// Its knee.
    pub knee: Option<u64>,
    /// Best of each objective with all limits.
    pub best: Vec<Option<u64>>,
    /// Best of the first objective where only this limit counts.
    pub best_under: Vec<Option<u64>>,
    /// Points that have metrics.
    pub valid: u64,
    /// Points that do not meet a requirement.
    pub skipped: u64,
    /// Points that cannot be built or run.
    pub invalid: u64,
    /// Points that meet all limits.
    pub feasible: u64,
}

/// What a parameter buys.
#[derive(Debug, Clone, PartialEq)]
pub struct Sensitivity {
    /// Path of the parameter.
    pub parameter: String,
    /// Index of the metric.
    pub metric: usize,
    /// The metric at the design in question.
    pub base: f64,
    /// Its change in percent when the parameter goes down by a tenth, if it can.
    pub minus_10_pct: Option<f64>,
    /// The same upwards.
    pub plus_10_pct: Option<f64>,
}

/// Whether a design meets all limits.
pub fn feasible(space: &Space, row: &Row) -> bool {
    row.status == Status::Ok && space.limits.iter().all(|limit| holds(limit, row))
}

/// Whether it meets one.
pub fn holds(limit: &Limit, row: &Row) -> bool {
    limit.holds(row.metrics[limit.metric])
}

impl Summary {
    /// Reads results, which come by point.
    pub fn of(space: &Space, rows: &[&Row]) -> Self {
        let count = |status| rows.iter().filter(|row| row.status == status).count() as u64;
        let within: Vec<&Row> = rows.iter().copied().filter(|row| feasible(space, row)).collect();
        let least = |rows: &mut dyn Iterator<Item = &Row>, objective| {
            let best = rows.map(|row| (cost(row, objective), row.point));
            best.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))).map(|(_, point)| point)
        };
        let front = front(space, &within);
        let first = space.objectives.first().copied();
        Self {
            knee: knee(space, &front),
            front: front.iter().map(|row| row.point).collect(),
            best: space
                .objectives
                .iter()
                .map(|objective| least(&mut within.iter().copied(), *objective))
                .collect(),
            best_under: space
                .limits
                .iter()
                .map(|limit| {
                    let ok = rows.iter().copied().filter(|row| row.status == Status::Ok);
                    first.and_then(|goal| least(&mut ok.filter(|row| holds(limit, row)), goal))
                })
                .collect(),
            valid: count(Status::Ok),
            skipped: count(Status::Skipped),
            invalid: count(Status::Invalid),
            feasible: within.len() as u64,
        }
    }
}

/// Designs that none is better than; of equal ones the first.
fn front<'r>(space: &Space, rows: &[&'r Row]) -> Vec<&'r Row> {
    if space.objectives.is_empty() {
        return Vec::new();
    }
    let costs = |row: &Row| -> Vec<f64> {
        space.objectives.iter().map(|objective| cost(row, *objective)).collect()
    };
    let mut ordered: Vec<(Vec<f64>, &Row)> = rows.iter().map(|row| (costs(row), *row)).collect();
    // Whoever dominates a design comes before it.
    ordered.sort_by(|a, b| {
        let by_cost = a.0.iter().zip(&b.0).map(|(x, y)| x.total_cmp(y));
        by_cost
            .fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
            .then(a.1.point.cmp(&b.1.point))
    });
    let mut front: Vec<(Vec<f64>, &Row)> = Vec::new();
    for (costs, row) in ordered {
        let worse = |known: &(Vec<f64>, &Row)| known.0.iter().zip(&costs).all(|(x, y)| x <= y);
        if !front.iter().any(worse) {
            front.push((costs, row));
        }
    }
    front.into_iter().map(|(_, row)| row).collect()
}

fn knee(space: &Space, front: &[&Row]) -> Option<u64> {
    let ends: Vec<(f64, f64)> = space
        .objectives
        .iter()
        .map(|objective| {
            let costs = front.iter().map(|row| cost(row, *objective));
            costs.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), c| (a.min(c), b.max(c)))
        })
        .collect();
    let distance = |row: &Row| -> f64 {
        let squares = space.objectives.iter().zip(&ends).map(|(objective, (least, most))| {
            let way = (cost(row, *objective) - least) / (most - least).max(f64::MIN_POSITIVE);
            way * way
        });
        squares.sum()
    };
    let near = front.iter().map(|row| (distance(row), row.point));
    near.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))).map(|(_, point)| point)
}

/// Numbers of a parameter near a tenth less or more, nearest first, with the change that they are.
fn neighbours(space: &Space, number: usize, setting: Setting, sign: f64) -> Vec<(Setting, f64)> {
    let domain = &space.parameters[number].domain;
    match (domain, setting) {
        (Domain::Range { multiple, .. }, Setting::Number(value)) if value != 0.0 => {
            let wanted = value * sign.mul_add(0.1, 1.0);
            let grain = multiple.unwrap_or(0.0);
            let mut near = if grain > 0.0 { (wanted / grain).round() * grain } else { wanted };
            if near == value {
                near += sign * grain;
            }
            vec![(Setting::Number(near), near / value - 1.0)]
        }
        // Of listed numbers, the next one in that direction.
        (Domain::Listed(choices), Setting::Choice(index)) => {
            let number = |at: usize| match super::expression::Value::of(&choices[at].label) {
                super::expression::Value::Number(number) => Some(number),
                _ => None,
            };
            let Some(own) = number(index).filter(|own| *own != 0.0) else { return Vec::new() };
            let mut beyond: Vec<(Setting, f64)> = (0..choices.len())
                .filter_map(|at| Some((Setting::Choice(at), number(at)? / own - 1.0)))
                .filter(|(_, change)| change * sign > 0.0)
                .collect();
            beyond.sort_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
            beyond.truncate(1);
            beyond
        }
        _ => Vec::new(),
    }
}

/// What a tenth less or more of each parameter changes, around one design. Where a parameter cannot
/// change by a tenth (whole numbers, multiples, listed values), its nearest change is brought to
/// a tenth on logarithmic scales; where that cannot be built, nothing is said.
pub fn sensitivities(space: &Space, around: &[Setting]) -> Vec<Sensitivity> {
    let mut jobs = vec![Job { point: 0, design: around.to_vec() }];
    // Parameter, direction and change of each job behind the first.
    let mut what: Vec<(usize, f64, f64)> = Vec::new();
    for number in 0..space.parameters.len() {
        for sign in [-1.0, 1.0] {
            for (setting, change) in neighbours(space, number, around[number], sign) {
                let mut design = around.to_vec();
                design[number] = setting;
                jobs.push(Job { point: jobs.len() as u64, design });
                what.push((number, sign, change));
            }
        }
    }
    let records = std::sync::Mutex::new(Vec::<Record>::with_capacity(jobs.len()));
    let kept: Result<(), std::convert::Infallible> = Bench::new(space).run(jobs, &|record| {
        records.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(record);
        Ok(())
    });
    match kept {
        Ok(()) => {}
        Err(never) => match never {},
    }
    let mut records = records.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    records.sort_by_key(|record| record.point);
    let Some((base, others)) = records.split_first() else { return Vec::new() };
    let mut wanted: Vec<usize> =
        space.objectives.iter().map(|objective| objective.metric).collect();
    wanted.extend(
        space
            .limits
            .iter()
            .map(|limit| limit.metric)
            .filter(|m| !wanted.contains(m))
            .collect::<Vec<_>>(),
    );
    let mut found = Vec::new();
    for (number, parameter) in space.parameters.iter().enumerate() {
        for &metric in &wanted {
            let Some(Some(own)) = base.metrics.get(metric).copied() else { continue };
            let change = |sign: f64| {
                let at = what.iter().position(|(n, s, _)| *n == number && *s == sign)?;
                let other = (*others.get(at)?.metrics.get(metric)?)?;
                let by = 1.0 + what[at].2;
                let tenth = sign.mul_add(0.1, 1.0);
                let ratio = other / own;
                if !(ratio > 0.0 && by > 0.0) {
                    return None;
                }
                let exponent = libm::log(tenth) / libm::log(by);
                Some((libm::pow(ratio, exponent) - 1.0) * 100.0)
            };
            let (minus_10_pct, plus_10_pct) = (change(-1.0), change(1.0));
            if minus_10_pct.is_some() || plus_10_pct.is_some() {
                let parameter = parameter.path.clone();
                found.push(Sensitivity { parameter, metric, base: own, minus_10_pct, plus_10_pct });
            }
        }
    }
    found
}
