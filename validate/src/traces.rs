//! Recorded profiles as a suite: each trace that names its GPU is replayed on it, and the
//! error of the summed kernel time is reported by GPU and kind of work.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lumacycle_arch::Catalog;
use lumacycle_sim::replay::{ReplayOptions, replay};
use lumacycle_traces::{ReadOptions, read};
use serde::Serialize;

use crate::ValidateError;

/// Time of one kind of work over all traces of a GPU.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TraceRow {
    /// Catalogue entry.
    pub gpu: String,
    /// Kind of work, or `all`.
    pub class: String,
    /// Launches.
    pub events: u64,
    /// Recorded time of what was predicted, in ms.
    pub recorded_ms: f64,
    /// Share of all recorded time of this kind that was predicted independently, in percent.
    pub coverage_pct: f64,
    /// Error of the summed time, in percent.
    pub error_pct: f64,
    /// The same without what the recordings' shortest launches show to be added to each, in percent.
    pub unfloored_error_pct: f64,
    /// The roofline's error, in percent; none where it has nothing to say.
    pub roofline_error_pct: Option<f64>,
    /// Mean absolute error of launches, weighted by recorded time, in percent.
    pub weighted_ape_pct: f64,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TraceReport {
    /// `traces`.
    pub suite: &'static str,
    /// Files replayed on their own GPU.
    pub files_used: usize,
    /// Files left out, with the reason.
    pub files_left_out: Vec<(String, String)>,
    /// By GPU and kind.
    pub rows: Vec<TraceRow>,
}

#[derive(Default)]
struct Sum {
    events: u64,
    everything: f64,
    recorded: f64,
    predicted: f64,
    absolute: f64,
    floor: f64,
    roofline: (f64, f64),
}

/// Replays every Kineto or lumacycle trace below a folder on the GPU it names.
///
/// # Errors
/// When the folder cannot be listed.
pub fn run(folder: &Path) -> Result<TraceReport, ValidateError> {
    let mut files = Vec::new();
    list(folder, &mut files, 0)?;
    files.sort();
    let catalog = Catalog::embedded();
    let mut sums: BTreeMap<(String, String), Sum> = BTreeMap::new();
    let mut left_out = Vec::new();
    let mut used = 0;
    for path in files {
        let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
        let recordings = match read(&path, ReadOptions::default()) {
            Ok(recordings) => recordings,
            // Other JSON files live beside traces; they are no failures of reading.
            Err(error) => {
                left_out.push((name, error.to_string()));
                continue;
            }
        };
        let mut any = false;
        let mut reason = "no GPU kernels".to_owned();
        for recording in recordings.iter().filter(|r| !r.events.is_empty()) {
            let Some(device) = recording.main_device() else {
                "the trace names no GPU".clone_into(&mut reason);
                continue;
            };
            let Ok(entry) = catalog.get(&device.name) else {
                reason = format!("GPU not in the catalogue: {}", device.name);
                continue;
            };
            let options = ReplayOptions { recorded_on: Some(&entry), ..ReplayOptions::default() };
            match replay(recording, &entry, options) {
                Ok(result) => {
                    any = true;
                    add(&mut sums, &result);
                }
                Err(error) => reason = error.to_string(),
            }
        }
        if any {
            used += 1;
        } else {
            left_out.push((name, reason));
        }
    }
    let rows = sums
        .into_iter()
        .filter(|(_, sum)| sum.recorded > 0.0)
        .map(|((gpu, class), sum)| TraceRow {
            gpu,
            class,
            events: sum.events,
            recorded_ms: sum.recorded,
            coverage_pct: sum.recorded / sum.everything.max(f64::MIN_POSITIVE) * 100.0,
            error_pct: (sum.predicted / sum.recorded - 1.0) * 100.0,
            unfloored_error_pct: ((sum.predicted - sum.floor) / sum.recorded - 1.0) * 100.0,
            roofline_error_pct: (sum.roofline.0 > 0.0)
                .then(|| (sum.roofline.1 / sum.roofline.0 - 1.0) * 100.0),
            weighted_ape_pct: sum.absolute / sum.recorded * 100.0,
        })
        .collect();
    Ok(TraceReport { suite: "traces", files_used: used, files_left_out: left_out, rows })
}

fn add(sums: &mut BTreeMap<(String, String), Sum>, result: &lumacycle_sim::replay::ReplayResult) {
    for kernel in &result.kernels {
        let count = kernel.count as f64;
        let recorded = kernel.recorded_us * count / 1e3;
        for class in [kernel.class.name(), "all"] {
            let sum = sums.entry((result.gpu.clone(), class.to_owned())).or_default();
            sum.everything += recorded;
            let Some(error) = kernel.error_pct else { continue };
            sum.events += kernel.count;
            sum.recorded += recorded;
            sum.predicted += kernel.predicted_us * count / 1e3;
            sum.floor += kernel.launch_floor_us * count / 1e3;
            sum.absolute += recorded * error.abs() / 100.0;
            if let Some(roofline_us) = kernel.roofline_us {
                sum.roofline.0 += recorded;
                sum.roofline.1 += roofline_us * count / 1e3;
            }
        }
    }
}

fn list(folder: &Path, files: &mut Vec<PathBuf>, depth: usize) -> Result<(), ValidateError> {
    let unreadable = |error: std::io::Error| ValidateError::Unreadable {
        path: folder.to_owned(),
        reason: error.to_string(),
    };
    if folder.is_file() {
        files.push(folder.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let kind = entry.file_type().map_err(unreadable)?;
        let path = entry.path();
        if kind.is_dir() && depth < 16 {
            list(&path, files, depth + 1)?;
        } else if kind.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
            let trace = [".json", ".json.gz", ".json.zst", ".tar.gz", ".jsonl", ".jsonl.gz"];
            if trace.iter().any(|end| name.ends_with(end)) {
                files.push(path);
            }
        }
    }
    Ok(())
}
