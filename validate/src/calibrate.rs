//! Finds the few constants of a catalogue layer that no datasheet gives, from measured kernels.
//!
//! All rows of all GPUs that build on the layer are predicted with the same constants; the mean
//! absolute logarithm of predicted over measured is made least (Nelder and Mead), with groups of
//! rows (GPU, suite, source, size) weighted by the square root of their number, so that no sweep
//! drowns the others. How far the constants carry is told by fits that leave out one GPU, or
//! one fifth of the rows by arithmetic intensity. No constant belongs to a row, a shape or a
//! source.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lumacycle_arch::{Catalog, Entry, Gpu};
use lumacycle_engines::{Engine, GpuEngine};
use rayon::prelude::*;
use serde::Serialize;

use crate::ValidateError;
use crate::measurements::{self, Row};
use crate::power::{self, case::Case};
use crate::search;
use crate::stats::{Figures, bucket};
use crate::suite::{self, Measured, SUITES};
use crate::{boards, peaks};

/// A constant that may be fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Constant {
    /// Dotted path in a GPU description.
    pub path: &'static str,
    /// Least and largest value that physics allows.
    range: (f64, f64),
    /// Where the search starts.
    start: f64,
    /// Unit as written in a description.
    unit: &'static str,
}

/// All there are.
pub const CONSTANTS: &[Constant] = &[
    Constant { path: "pipes.achieved_share", range: (0.5, 1.0), start: 0.92, unit: "" },
    Constant { path: "tensor.achieved_share", range: (0.5, 1.0), start: 0.92, unit: "" },
    Constant { path: "tensor.register_fed_share", range: (0.05, 1.0), start: 0.5, unit: "" },
    Constant {
        path: "pipes.register_operands_per_clock",
        range: (6.0, 12.0),
        start: 8.5,
        unit: "",
    },
    Constant { path: "sm.overlap_order", range: (1.0, 16.0), start: 3.0, unit: "" },
    Constant { path: "sm.pipe_order", range: (1.0, 16.0), start: 3.0, unit: "" },
    Constant { path: "tensor.pipe_order", range: (1.0, 16.0), start: 3.0, unit: "" },
    Constant { path: "launch.fetch_bytes_per_clock", range: (0.2, 60.0), start: 3.0, unit: "" },
    Constant { path: "l2.shared_reads", range: (1.0, 8.0), start: 2.0, unit: "" },
    Constant { path: "dram.loaded_latency", range: (1.0, 8.0), start: 2.0, unit: "" },
    Constant { path: "dram.banks_in_step", range: (1.0, 16.0), start: 7.0, unit: "" },
    Constant { path: "launch.kernel", range: (0.3, 8.0), start: 1.5, unit: " us" },
    Constant { path: "power.issue", range: (50.0, 3000.0), start: 700.0, unit: " pJ" },
    Constant { path: "power.tensor_fp16_mac", range: (0.1, 8.0), start: 2.0, unit: " pJ" },
    Constant { path: "power.tensor_multiplier_share", range: (0.02, 0.9), start: 0.3, unit: "" },
    Constant { path: "power.voltage_slope", range: (0.05, 2.5), start: 0.6, unit: "" },
    Constant { path: "power.voltage_floor", range: (0.4, 1.2), start: 0.83, unit: "" },
    Constant { path: "power.voltage_floor_light", range: (0.4, 1.2), start: 0.8, unit: "" },
    Constant { path: "power.sm_clock", range: (50.0, 4000.0), start: 600.0, unit: " pJ" },
    Constant { path: "power.event_scale", range: (0.3, 10.0), start: 2.0, unit: "" },
    Constant { path: "power.l1_byte", range: (0.3, 60.0), start: 4.0, unit: " pJ" },
    Constant { path: "power.limit_delay", range: (0.1, 1000.0), start: 8.0, unit: " ms" },
    Constant { path: "power.constant", range: (1.0, 150.0), start: 15.0, unit: " W" },
    Constant { path: "power.idle_sm_share", range: (0.05, 0.95), start: 0.35, unit: "" },
    Constant { path: "power.constant_operand_share", range: (0.1, 0.95), start: 0.4, unit: "" },
    Constant { path: "power.constant_data_share", range: (0.1, 0.95), start: 0.35, unit: "" },
    Constant { path: "dram.energy_per_byte", range: (5.0, 300.0), start: 50.0, unit: " pJ" },
    Constant { path: "dram.idle_energy_per_byte", range: (2.0, 300.0), start: 50.0, unit: " pJ" },
];

/// What to fit on.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Folder of measurement tables.
    pub data: &'a Path,
    /// Layer of the catalogue.
    pub layer: &'a str,
    /// Constants by path; empty = all.
    pub constants: &'a [String],
    /// Suites; empty = all.
    pub suites: &'a [String],
    /// GPUs by catalogue name; empty = all of the layer.
    pub gpus: &'a [String],
    /// Rows of each group at most.
    pub rows: usize,
    /// Whether to skip the fits that leave something out.
    pub quick: bool,
}

/// A fitted constant.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fitted {
    /// Dotted path.
    pub path: String,
    /// Value as a description would write it.
    pub value: String,
}

/// Errors of a set of rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Residuals {
    /// Which rows.
    pub rows: String,
    /// With the catalogue as it is.
    pub before: Figures,
    /// With the constants found.
    pub after: Figures,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// Layer.
    pub layer: String,
    /// GPUs that build on it and were asked for.
    pub gpus: Vec<String>,
    /// Constants found.
    pub constants: Vec<Fitted>,
    /// Errors of each group, and of all, on the rows of the fit.
    pub residuals: Vec<Residuals>,
    /// Errors on rows that a fit had not seen: a GPU, or a fifth by arithmetic intensity.
    pub left_out: Vec<Residuals>,
}

struct Sample {
    gpu: String,
    group: String,
    /// What the rows are sorted by to leave out parts of them: operations a byte, or watts.
    order: f64,
    /// Time in us, or power in watts.
    measured: f64,
    work: Work,
}

enum Work {
    Timed(Box<Measured>),
    /// The best of several sizes.
    Peak(Vec<Measured>),
    Powered(Box<Case>),
}

impl Work {
    fn predict(&self, gpu: &Gpu) -> Option<f64> {
        match self {
            Self::Timed(row) => {
                let cost = GpuEngine::new(gpu).with(row.options()).price(&row.operation).ok()?;
                Some(row.host.shows_us(gpu, cost.time_ns / 1e3))
            }
            Self::Peak(sizes) => {
                peaks::best(&GpuEngine::new(gpu), sizes).map(|(time_us, _)| time_us)
            }
            Self::Powered(case) => case.predict(gpu).ok().map(|predicted| predicted.watts),
        }
    }
}

/// Runs a calibration.
///
/// # Errors
/// When a layer, constant or GPU does not exist, the data cannot be read or holds no row of the
/// layer.
pub fn run(request: &Request<'_>) -> Result<Calibration, ValidateError> {
    let catalog = Catalog::embedded();
    if !request.data.is_dir() {
        return Err(ValidateError::Unreadable {
            path: request.data.to_owned(),
            reason: "there is no such folder".to_owned(),
        });
    }
    let unknown = |what: String, help: String| ValidateError::Unknown { what, help };
    let mut wanted: Vec<Constant> = Vec::new();
    for path in request.constants {
        let known = CONSTANTS.iter().find(|constant| constant.path == path);
        if wanted.iter().any(|constant| constant.path == path) {
            continue;
        }
        wanted.push(*known.ok_or_else(|| {
            let all: Vec<&str> = CONSTANTS.iter().map(|constant| constant.path).collect();
            unknown(
                format!("{path} is no constant that can be fitted"),
                format!("there are {}", all.join(", ")),
            )
        })?);
    }
    if wanted.is_empty() {
        wanted = CONSTANTS.to_vec();
    }
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    for id in catalog.built_on(request.layer) {
        if let Ok(entry) = catalog.get(&id) {
            entries.insert(id, entry);
        }
    }
    if entries.is_empty() {
        return Err(unknown(
            format!("no GPU builds on a layer named {}", request.layer),
            format!("layers are {}", catalog.bases().join(", ")),
        ));
    }
    if !request.gpus.is_empty() {
        entries.retain(|id, _| request.gpus.contains(id));
    }
    let gpus: Vec<String> = entries.keys().cloned().collect();
    for variant in boards::variants() {
        if entries.contains_key(variant.gpu) {
            let id = variant.name();
            if let Ok(entry) = catalog.parse(&id, "variant", variant.text) {
                entries.insert(id, entry);
            }
        }
    }
    let samples = samples(request, &catalog, &entries)?;
    if samples.is_empty() {
        return Err(ValidateError::Unreadable {
            path: request.data.to_owned(),
            reason: format!("no clean row of a GPU that builds on {}", request.layer),
        });
    }
    if samples.len() < ROWS_PER_CONSTANT * wanted.len() {
        return Err(ValidateError::Unreadable {
            path: request.data.to_owned(),
            reason: format!(
                "{} clean rows of {} are too few for {} constants; {ROWS_PER_CONSTANT} each are needed",
                samples.len(),
                request.layer,
                wanted.len()
            ),
        });
    }
    let fit = Fit { catalog: &catalog, entries: &entries, constants: &wanted };
    let all: Vec<&Sample> = samples.iter().collect();
    let best = fit.best(&all);
    let constants = wanted.iter().zip(&best).map(|(constant, value)| Fitted {
        path: constant.path.to_owned(),
        value: format!("{}{}", rounded(*value), constant.unit),
    });
    let constants = constants.collect();
    let mut residuals = Vec::new();
    let mut groups: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
    for sample in &samples {
        groups.entry(&sample.group).or_default().push(sample);
    }
    for (name, rows) in &groups {
        residuals.push(fit.residuals(name, rows, &best));
    }
    residuals.push(fit.residuals("all", &all, &best));
    let left_out = if request.quick { Vec::new() } else { fit.left_out(&all) };
    Ok(Calibration { layer: request.layer.to_owned(), gpus, constants, residuals, left_out })
}

/// Suites of kernels that are described by their counters.
const NOT_FITTED: [&str; 2] = [crate::kernels::SUITE, crate::counters::SUITE];

/// With fewer rows a constant would follow single rows.
const ROWS_PER_CONSTANT: usize = 10;

/// Groups of shapes that are left out in turn.
const PARTS: usize = 5;

fn samples(
    request: &Request<'_>,
    catalog: &Catalog,
    entries: &BTreeMap<String, Entry>,
) -> Result<Vec<Sample>, ValidateError> {
    let mut spelling: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut samples = Vec::new();
    for suite in SUITES.iter().filter(|suite| !NOT_FITTED.contains(suite)) {
        if !request.suites.is_empty() && !request.suites.iter().any(|wanted| wanted == suite) {
            continue;
        }
        let Some(path) = measurements::locate(request.data, suite) else { continue };
        let rows = measurements::read(&path, &["gpu"])?;
        let mut groups: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
        for row in &rows {
            let name = row.text("gpu");
            let id = spelling
                .entry(name.to_owned())
                .or_insert_with(|| peaks::board(catalog, name).map(|entry| entry.id));
            let Some(id) = id.clone().filter(|id| entries.contains_key(id)) else { continue };
            let id = boards::name(&id, row.text("source"));
            if row.text("goal_set") == "False" {
                continue;
            }
            let Some((measured, work)) = work(suite, row, &entries[&id]) else { continue };
            let bytes = measured.operation.compulsory_bytes().max(1.0);
            let group = format!(
                "{id} {suite} {} {} {}",
                measured.dtype.name(),
                row.text("source"),
                bucket(measured.time_us)
            );
            let sample = Sample {
                gpu: id,
                group: group.clone(),
                order: measured.operation.flops() / bytes,
                measured: measured.time_us,
                work,
            };
            groups.entry(group).or_default().push(sample);
        }
        for (_, rows) in groups {
            let every = rows.len().div_ceil(request.rows.max(1)).max(1);
            samples.extend(rows.into_iter().step_by(every));
        }
    }
    if request.suites.iter().any(|wanted| wanted == power::SUITE) {
        samples.extend(powered(request, entries)?);
    }
    Ok(samples)
}

/// A row as work, and the part of it that says what it is.
fn work(suite: &str, row: &Row, entry: &Entry) -> Option<(Measured, Work)> {
    if suite == peaks::SUITE {
        let sizes = peaks::measured(row, entry).ok()?;
        return Some((sizes.get(peaks::REFERENCE)?.clone(), Work::Peak(sizes)));
    }
    let measured = suite::measured(suite, row).ok()?;
    Some((measured.clone(), Work::Timed(Box::new(measured))))
}

/// Rows of measured power, evenly thinned; they are fitted on request only.
fn powered(
    request: &Request<'_>,
    entries: &BTreeMap<String, Entry>,
) -> Result<Vec<Sample>, ValidateError> {
    let ids: Vec<String> = entries.keys().cloned().collect();
    let mut groups: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
    for case in power::cases(request.data, &ids, false)?.used {
        let group = format!("{} {} {}", case.gpu, power::SUITE, case.benchmark);
        groups.entry(group.clone()).or_default().push(Sample {
            gpu: case.board.clone(),
            group,
            order: case.measured_w,
            measured: case.measured_w,
            work: Work::Powered(Box::new(case)),
        });
    }
    let mut samples = Vec::new();
    for (_, rows) in groups {
        let every = rows.len().div_ceil(request.rows.max(1)).max(1);
        samples.extend(rows.into_iter().step_by(every));
    }
    Ok(samples)
}

/// Three significant digits: more would pretend.
fn rounded(value: f64) -> String {
    let digits = (2.0 - value.abs().max(1e-9).log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{value:.digits$}")
}

struct Fit<'a> {
    catalog: &'a Catalog,
    entries: &'a BTreeMap<String, Entry>,
    constants: &'a [Constant],
}

impl Fit<'_> {
    /// Descriptions with other constants.
    fn gpus(&self, values: &[f64]) -> BTreeMap<&str, Gpu> {
        let mut sections: BTreeMap<&str, toml::Table> = BTreeMap::new();
        for (constant, value) in self.constants.iter().zip(values) {
            let Some((section, key)) = constant.path.split_once('.') else { continue };
            let value = if constant.unit.is_empty() {
                toml::Value::Float(*value)
            } else {
                toml::Value::String(format!("{value}{}", constant.unit))
            };
            sections.entry(section).or_default().insert(key.to_owned(), value);
        }
        let with = |(id, entry): (&'_ String, &Entry)| {
            let variant = boards::variants().iter().find(|variant| variant.name() == *id);
            let mut file = match variant {
                Some(variant) => variant.text.parse::<toml::Table>().unwrap_or_default(),
                None => toml::Table::from_iter([("base".to_owned(), id.as_str().into())]),
            };
            for (section, keys) in &sections {
                let own = file.entry(*section).or_insert_with(|| toml::Table::new().into());
                if let Some(own) = own.as_table_mut() {
                    own.extend(keys.clone());
                }
            }
            let parsed = self.catalog.parse(id, "calibration", &file.to_string());
            parsed.map_or_else(|_| entry.gpu.clone(), |entry| entry.gpu)
        };
        self.entries.iter().map(|(id, entry)| (id.as_str(), with((id, entry)))).collect()
    }

    fn predictions(samples: &[&Sample], gpus: &BTreeMap<&str, Gpu>) -> Vec<Option<f64>> {
        samples
            .par_iter()
            .map(|sample| {
                let gpu = gpus.get(sample.gpu.as_str())?;
                sample.work.predict(gpu)
            })
            .collect()
    }

    fn residuals(&self, name: &str, samples: &[&Sample], values: &[f64]) -> Residuals {
        let figures = |gpus: &BTreeMap<&str, Gpu>| {
            let predicted = Self::predictions(samples, gpus);
            let pairs = predicted.iter().zip(samples);
            Figures::of(pairs.filter_map(|(p, sample)| Some(((*p)?, sample.measured))))
        };
        let before: BTreeMap<&str, Gpu> =
            self.entries.iter().map(|(id, entry)| (id.as_str(), entry.gpu.clone())).collect();
        let after = figures(&self.gpus(values));
        Residuals { rows: name.to_owned(), before: figures(&before), after }
    }

    /// Errors on each GPU, and on each fifth of the rows by arithmetic intensity, with the
    /// constants that fit the others best.
    fn left_out(&self, all: &[&Sample]) -> Vec<Residuals> {
        let mut left_out = Vec::new();
        let gpus: BTreeSet<&str> = all.iter().map(|sample| sample.gpu.as_str()).collect();
        if gpus.len() > 1 {
            for gpu in gpus {
                let (test, train): (Vec<_>, Vec<_>) =
                    all.iter().partition(|sample| sample.gpu == gpu);
                left_out.push(self.residuals(gpu, &test, &self.best(&train)));
            }
        }
        let mut order = all.to_vec();
        order.sort_by(|a, b| a.order.total_cmp(&b.order));
        let part = order.len().div_ceil(PARTS).max(1);
        for (index, test) in order.chunks(part).enumerate() {
            let others = order.iter().enumerate().filter(|(i, _)| i / part != index);
            let train: Vec<&Sample> = others.map(|(_, sample)| *sample).collect();
            let name = format!("by intensity or power, part {} of {PARTS}", index + 1);
            left_out.push(self.residuals(&name, test, &self.best(&train)));
        }
        left_out
    }

    /// The constants that fit rows best.
    fn best(&self, samples: &[&Sample]) -> Vec<f64> {
        let mut counts: BTreeMap<&str, f64> = BTreeMap::new();
        for sample in samples {
            *counts.entry(&sample.group).or_insert(0.0) += 1.0;
        }
        let weights: Vec<f64> =
            samples.iter().map(|sample| 1.0 / libm::sqrt(counts[sample.group.as_str()])).collect();
        let ranges: Vec<search::Range> = self.constants.iter().map(|c| c.searched()).collect();
        search::least(&ranges, |values| {
            let predicted = Fit::predictions(samples, &self.gpus(values));
            let rows = predicted.iter().zip(samples).zip(&weights);
            search::mean_log_error(
                rows.filter_map(|((p, sample), w)| Some(((*p)?, sample.measured, *w))),
            )
        })
    }
}

impl Constant {
    const fn searched(self) -> search::Range {
        search::Range { low: self.range.0, high: self.range.1, start: self.start }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_start_within_their_ranges() {
        for constant in CONSTANTS {
            let (low, high) = constant.range;
            assert!(
                low > 0.0 && low < constant.start && constant.start < high,
                "{}",
                constant.path
            );
        }
    }
}
