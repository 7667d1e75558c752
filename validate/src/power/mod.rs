//! Measured board power against the model, row by row, and what follows from it: clock curves
//! with their energy-optimal clock, and boards that their power limit slows down.
//!
//! Clocks of a row are inputs, so an error here is the power model's (and, for kernels known by
//! counters, the time model's). Times are compared as well where the model has to predict them.

pub mod case;
mod left_out;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lumacycle_arch::{Catalog, Entry};
use lumacycle_engines::{Engine, GpuEngine};
use rayon::prelude::*;
use serde::Serialize;

use crate::measurements::{self, Row};
use crate::stats::Figures;
use crate::{ValidateError, boards, counters, suite};
use case::{Basis, Case, CounterTable, Predicted};

pub(crate) use left_out::published_pj_per_byte;
pub use left_out::{LeftOut, LeftOutReport, leave_one_out};

/// Name of the suite.
pub const SUITE: &str = "power";

/// Columns that the table needs.
pub const COLUMNS: [&str; 5] = ["gpu", "benchmark", "kernel", "power_w", "core_mhz"];

/// A row with its prediction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PowerRow {
    /// Where the row comes from.
    pub reference: String,
    /// Catalogue entry.
    pub gpu: String,
    /// Source and kind of benchmark.
    pub benchmark: String,
    /// Kernel with its input.
    pub kernel: String,
    /// What the prediction starts from.
    pub basis: Basis,
    /// SM clock, in MHz.
    pub core_mhz: f64,
    /// Memory clock, in MHz; 0 = the usual one.
    pub mem_mhz: f64,
    /// Measured, in watts.
    pub measured_w: f64,
    /// Predicted, in watts.
    pub predicted_w: f64,
    /// Predicted for the measured time, in watts.
    pub at_measured_time_w: f64,
    /// The spec sheet's only figure: the board limit, in watts.
    pub limit_w: f64,
    /// Measured, in us; 0 = not recorded.
    pub measured_us: f64,
    /// Predicted, in us; `None` where the measured time is an input.
    pub predicted_us: Option<f64>,
}

/// Rows of one GPU and benchmark.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PowerGroup {
    /// Catalogue entry.
    pub gpu: String,
    /// Source and kind of benchmark.
    pub benchmark: String,
    /// What its predictions start from.
    pub basis: Basis,
    /// Errors of power.
    #[serde(flatten)]
    pub figures: Figures,
    /// Errors of power when the measured time is taken instead of the predicted one.
    pub at_measured_time: Figures,
    /// Errors of time; no rows where it is not predicted.
    pub time: Figures,
}

/// Clock curves of one GPU: the same kernel at several SM clocks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClockCurves {
    /// Catalogue entry.
    pub gpu: String,
    /// Source and kind of benchmark.
    pub benchmark: String,
    /// Whether times were predicted; else the measured ones were used.
    pub time_predicted: bool,
    /// Curves of at least three clocks.
    pub curves: usize,
    /// Share of them whose predicted energy-optimal clock is the measured one or next to it.
    pub optimum_within_a_step_pct: f64,
    /// Energy at the predicted optimum over that at the measured one, less one, on average.
    pub energy_lost_pct: f64,
    /// Errors of times at other clocks, over those at a kernel's highest clocks: how the model follows
    /// the clocks, whatever its error at one pair of them. No rows where times are measured.
    pub time_shape: Figures,
    /// The same of power.
    pub power_shape: Figures,
}

/// Kernels of a board that cannot hold its clock.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Throttled {
    /// Catalogue entry.
    pub gpu: String,
    /// Board limit, in watts.
    pub limit_w: f64,
    /// Errors of time.
    #[serde(flatten)]
    pub figures: Figures,
    /// Share of rows for which the limit lowers the predicted clock.
    pub slowed_pct: f64,
    /// Mean predicted clock over the usual one.
    pub clock_share: f64,
}

/// Baselines over all rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PowerBaselines {
    /// Every kernel draws the board limit.
    pub board_limit: Figures,
}

/// The outcome of the suite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PowerReport {
    /// Suite name.
    pub suite: String,
    /// Rows compared.
    pub rows_used: usize,
    /// Rows left out, by reason.
    pub rows_left_out: BTreeMap<String, usize>,
    /// Errors of power over all rows.
    pub overall: Figures,
    /// The same with measured times.
    pub at_measured_time: Figures,
    /// By GPU and benchmark.
    pub groups: Vec<PowerGroup>,
    /// Baselines.
    pub baselines: PowerBaselines,
    /// Clock curves.
    pub clocks: Vec<ClockCurves>,
    /// Boards slowed down by their limit: GEMM rows that are marked as not clean for that reason.
    pub throttled: Vec<Throttled>,
    /// Each row used.
    #[serde(skip)]
    pub rows: Vec<PowerRow>,
}

/// Cases of a table, with the GPUs they ran on and the rows left out by reason.
pub(crate) struct Cases {
    pub used: Vec<Case>,
    /// By board.
    pub entries: BTreeMap<String, Entry>,
    pub left_out: BTreeMap<String, usize>,
}

/// Reads the cases; `gpus` limits them to some catalogue entries (empty = all).
pub(crate) fn cases(data: &Path, gpus: &[String], unclean: bool) -> Result<Cases, ValidateError> {
    let path = measurements::locate(data, SUITE).ok_or_else(|| ValidateError::Unreadable {
        path: data.to_owned(),
        reason: format!("no {SUITE}.csv or {SUITE}.csv.gz there"),
    })?;
    let rows = measurements::read(&path, &COLUMNS)?;
    let folder = path.parent().unwrap_or(data);
    let counted: Vec<Row> = match measurements::locate(folder, counters::SUITE) {
        Some(path) => measurements::read(&path, &counters::COLUMNS)?,
        None => Vec::new(),
    };
    let catalog = Catalog::embedded();
    let table = CounterTable::of(&counted, &catalog);
    let wanted: Vec<String> =
        gpus.iter().filter_map(|name| catalog.get(name).ok()).map(|entry| entry.id).collect();
    let mut found: BTreeMap<(&str, &str), Option<Entry>> = BTreeMap::new();
    let (mut cases, mut left_out) = (Vec::new(), BTreeMap::new());
    let unheld = unheld(&rows);
    for (index, row) in rows.iter().enumerate() {
        let (name, source) = (row.text("gpu"), row.text("source"));
        let entry = found
            .entry((name, source))
            .or_insert_with(|| boards::board(&catalog, SUITE, board(name), source));
        let case = match entry {
            None => Err(format!("GPU not in the catalogue: {name}")),
            Some(entry) if !wanted.is_empty() && !wanted.contains(&entry.id) => {
                Err("GPU not selected".to_owned())
            }
            Some(_) if row.text("goal_set") == "False" && !unclean => {
                Err("marked as not clean".to_owned())
            }
            Some(_) if unheld.contains(&index) && !unclean => {
                Err("clock not held: more cycles than at a higher clock".to_owned())
            }
            Some(entry) => Case::of(row, (&entry.id, &entry.gpu), &table),
        };
        match case {
            Ok(case) => cases.push(case),
            Err(reason) => *left_out.entry(reason).or_insert(0) += 1,
        }
    }
    let entries = found
        .into_iter()
        .filter_map(|((_, source), entry)| Some((source, entry?)))
        .map(|(source, entry)| (boards::name(&entry.id, source), entry))
        .collect();
    Ok(Cases { used: cases, entries, left_out })
}

/// Rows whose kernel took more cycles than the same one at a higher clock. To a slower SM memory is nearer, so cycles
/// can only fall with the clock: where they grow, the board ran below the clock that it was set to. This
/// looks at measured times only.
fn unheld(rows: &[Row]) -> BTreeSet<usize> {
    /// Repeated measurements of one clock differ by one or two per cent.
    const NOISE: f64 = 1.05;
    let mut sweeps: BTreeMap<[&str; 6], Vec<(f64, f64, usize)>> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        let positive = |column: &str| row.number(column).filter(|value| *value > 0.0);
        if let (Some(clock), Some(time_us)) = (positive("core_mhz"), positive("runtime_us")) {
            let sweep = ["source", "gpu", "benchmark", "kernel", "param", "mem_mhz"];
            let sweep = sweep.map(|column| row.text(column));
            sweeps.entry(sweep).or_default().push((clock, clock * time_us, index));
        }
    }
    let mut unheld = BTreeSet::new();
    for mut sweep in sweeps.into_values() {
        sweep.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut fewest = f64::INFINITY;
        for (_, cycles, index) in sweep {
            if cycles > NOISE * fewest {
                unheld.insert(index);
            }
            fewest = fewest.min(cycles);
        }
    }
    unheld
}

/// The board behind a name that says less: the V100 of NV-DVFS-Benchmark goes up to 1380 MHz, which
/// is where the PCIe board ends.
fn board(name: &str) -> &str {
    if name == "V100" { "v100-pcie-16gb" } else { name }
}

/// Runs the suite over a folder of tables, or over a `power` table beside its counters.
///
/// # Errors
/// When the data cannot be read.
pub fn run(data: &Path, gpus: &[String], unclean: bool) -> Result<PowerReport, ValidateError> {
    let Cases { used: cases, entries, mut left_out } = cases(data, gpus, unclean)?;
    let results: Vec<Result<PowerRow, String>> = cases
        .par_iter()
        .map(|case| {
            let gpu = &entries.get(&case.board).ok_or("GPU not in the catalogue")?.gpu;
            let Predicted { watts, at_measured_time_w, time_us } = case.predict(gpu)?;
            Ok(PowerRow {
                reference: case.reference.clone(),
                gpu: case.gpu.clone(),
                benchmark: case.benchmark.clone(),
                kernel: case.kernel.clone(),
                basis: case.basis,
                core_mhz: case.core_mhz,
                mem_mhz: case.mem_mhz,
                measured_w: case.measured_w,
                predicted_w: watts,
                at_measured_time_w,
                limit_w: gpu.power.limit.watts(),
                measured_us: case.measured_us,
                predicted_us: time_us,
            })
        })
        .collect();
    let mut rows = Vec::new();
    for result in results {
        match result {
            Ok(row) => rows.push(row),
            Err(reason) => *left_out.entry(reason).or_insert(0) += 1,
        }
    }
    Ok(PowerReport {
        suite: SUITE.to_owned(),
        rows_used: rows.len(),
        rows_left_out: left_out,
        overall: watts(rows.iter()),
        at_measured_time: at_measured_time(rows.iter()),
        groups: groups(&rows),
        baselines: PowerBaselines {
            board_limit: Figures::of(rows.iter().map(|row| (row.limit_w, row.measured_w))),
        },
        clocks: clocks(&rows),
        throttled: throttled(data, gpus)?,
        rows,
    })
}

fn watts<'a>(rows: impl Iterator<Item = &'a PowerRow>) -> Figures {
    Figures::of(rows.map(|row| (row.predicted_w, row.measured_w)))
}

fn at_measured_time<'a>(rows: impl Iterator<Item = &'a PowerRow>) -> Figures {
    Figures::of(rows.map(|row| (row.at_measured_time_w, row.measured_w)))
}

fn groups(rows: &[PowerRow]) -> Vec<PowerGroup> {
    let mut groups: BTreeMap<(&str, &str, Basis), Vec<&PowerRow>> = BTreeMap::new();
    for row in rows {
        groups.entry((&row.gpu, &row.benchmark, row.basis)).or_default().push(row);
    }
    let groups = groups.into_iter().map(|((gpu, benchmark, basis), rows)| PowerGroup {
        gpu: gpu.to_owned(),
        benchmark: benchmark.to_owned(),
        basis,
        figures: watts(rows.iter().copied()),
        at_measured_time: at_measured_time(rows.iter().copied()),
        time: Figures::of(rows.iter().filter_map(|row| Some((row.predicted_us?, row.measured_us)))),
    });
    groups.collect()
}

/// Steps of a curve: clock, measured energy, predicted energy.
type Curve = Vec<(f64, f64, f64)>;

/// Curves by kernel and memory clock.
type Curves<'a> = BTreeMap<(&'a str, u64), Curve>;

fn clocks(rows: &[PowerRow]) -> Vec<ClockCurves> {
    let mut curves: BTreeMap<(&str, &str, bool), Curves<'_>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.measured_us > 0.0) {
        let time_us = row.predicted_us.unwrap_or(row.measured_us);
        let group = (row.gpu.as_str(), row.benchmark.as_str(), row.predicted_us.is_some());
        let curve = (row.kernel.as_str(), row.mem_mhz as u64);
        curves.entry(group).or_default().entry(curve).or_default().push((
            row.core_mhz,
            row.measured_w * row.measured_us,
            row.predicted_w * time_us,
        ));
    }
    let mut shapes = shapes(rows);
    let mut out = Vec::new();
    for ((gpu, benchmark, time_predicted), curves) in curves {
        let outcomes: Vec<(bool, f64)> = curves.into_values().filter_map(optimum).collect();
        if outcomes.is_empty() {
            continue;
        }
        let n = outcomes.len() as f64;
        let near = outcomes.iter().filter(|(near, _)| *near).count() as f64;
        out.push(ClockCurves {
            gpu: gpu.to_owned(),
            benchmark: benchmark.to_owned(),
            time_predicted,
            curves: outcomes.len(),
            optimum_within_a_step_pct: near / n * 100.0,
            energy_lost_pct: outcomes.iter().map(|(_, lost)| lost).sum::<f64>() / n * 100.0,
            time_shape: shapes.remove(&(gpu, benchmark, true)).unwrap_or_default(),
            power_shape: shapes.remove(&(gpu, benchmark, false)).unwrap_or_default(),
        });
    }
    out
}

/// What is predicted, and what was measured, over the same at a kernel's highest clocks.
type Ratios = (f64, f64);

/// Errors of times (`true`) and of power (`false`) over those of the same kernel at its highest clocks, by GPU and
/// benchmark.
fn shapes(rows: &[PowerRow]) -> BTreeMap<(&str, &str, bool), Figures> {
    let mut kernels: BTreeMap<(&str, &str, &str), Vec<&PowerRow>> = BTreeMap::new();
    for row in rows {
        kernels.entry((&row.gpu, &row.benchmark, &row.kernel)).or_default().push(row);
    }
    let mut pairs: BTreeMap<(&str, &str, bool), Vec<Ratios>> = BTreeMap::new();
    for ((gpu, benchmark, _), rows) in kernels {
        let clocks = |row: &PowerRow| (row.mem_mhz, row.core_mhz);
        let highest = rows.iter().copied().max_by(|a, b| {
            let (a, b) = (clocks(a), clocks(b));
            a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
        });
        let Some(base) = highest else { continue };
        for row in rows.into_iter().filter(|row| clocks(row) != clocks(base)) {
            let power = (row.predicted_w / base.predicted_w, row.measured_w / base.measured_w);
            pairs.entry((gpu, benchmark, false)).or_default().push(power);
            if let (Some(here), Some(there)) = (row.predicted_us, base.predicted_us) {
                let time = (here / there, row.measured_us / base.measured_us);
                pairs.entry((gpu, benchmark, true)).or_default().push(time);
            }
        }
    }
    pairs.into_iter().map(|(key, pairs)| (key, Figures::of(pairs.into_iter()))).collect()
}

/// Whether the predicted best clock is the measured one or next to it, and the share of energy
/// that going by the prediction costs. `None` with fewer than three clocks.
fn optimum(mut curve: Curve) -> Option<(bool, f64)> {
    curve.sort_by(|a, b| a.0.total_cmp(&b.0));
    curve.dedup_by(|a, b| a.0 == b.0);
    if curve.len() < 3 {
        return None;
    }
    let least = |energy: fn(&(f64, f64, f64)) -> f64| {
        (0..curve.len()).min_by(|a, b| energy(&curve[*a]).total_cmp(&energy(&curve[*b])))
    };
    let (measured, predicted) = (least(|point| point.1)?, least(|point| point.2)?);
    let lost = curve[predicted].1 / curve[measured].1 - 1.0;
    Some((measured.abs_diff(predicted) <= 1, lost))
}

/// GEMM rows that are marked as not clean because the board throttled.
fn throttled(data: &Path, gpus: &[String]) -> Result<Vec<Throttled>, ValidateError> {
    const GEMM: &str = "gemm";
    /// Boards so small that sustained work does not run at the usual clock.
    const BOARDS: [&str; 2] = ["t4", "p4"];
    let folder = if data.is_file() { data.parent().unwrap_or(data) } else { data };
    let Some(path) = measurements::locate(folder, GEMM) else { return Ok(Vec::new()) };
    let rows = measurements::read(&path, &["gpu", "goal_set"])?;
    let catalog = Catalog::embedded();
    let mut out = Vec::new();
    for board in BOARDS {
        let Ok(entry) = catalog.get(board) else { continue };
        let wanted = |name: &String| catalog.get(name).is_ok_and(|named| named.id == entry.id);
        if !gpus.is_empty() && !gpus.iter().any(wanted) {
            continue;
        }
        let own: Vec<&Row> = rows
            .iter()
            .filter(|row| row.text("gpu").eq_ignore_ascii_case(board))
            .filter(|row| row.text("goal_set") == "False")
            .collect();
        let priced: Vec<(f64, f64, f64)> = own
            .par_iter()
            .filter_map(|row| {
                let measured = suite::measured(GEMM, row).ok()?;
                let engine = GpuEngine::new(&entry.gpu).with(measured.options());
                let cost = engine.price(&measured.operation).ok()?;
                let clock = cost.kernels.first()?.clock_mhz * 1e6 / entry.gpu.clocks.typical.hz();
                let shown = measured.host.shows_us(&entry.gpu, cost.time_ns / 1e3);
                Some((shown, measured.time_us, clock))
            })
            .collect();
        if priced.is_empty() {
            continue;
        }
        let n = priced.len() as f64;
        let slowed = priced.iter().filter(|(_, _, clock)| *clock < 0.999).count() as f64;
        out.push(Throttled {
            gpu: entry.id.clone(),
            limit_w: entry.gpu.power.limit.watts(),
            figures: Figures::of(priced.iter().map(|(p, m, _)| (*p, *m))),
            slowed_pct: slowed / n * 100.0,
            clock_share: priced.iter().map(|(_, _, clock)| clock).sum::<f64>() / n,
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
