//! Recorded launches of instant-ngp as a suite: each launch is priced on the GPU that recorded it
//! and compared with its own duration, by kind of kernel.
//!
//! Sizes come from the recording, addresses from a scene of our own at the same point of the frame
//! or training step. Left out of the comparison: launches that overlap another stream, builds that
//! their author edited, and kernels that are not modelled, each counted with its reason.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lumacycle_arch::{Catalog, Entry};
use lumacycle_engines::gpu::roofline;
use lumacycle_engines::memory::lookups::Lookups;
use lumacycle_engines::{Engine, GpuEngine, Options};
use lumacycle_traces::{ReadOptions, Recording, Signature, read};
use lumacycle_workloads::DType;
use lumacycle_workloads::ops::Operation;
use rayon::prelude::*;
use serde::Serialize;

use crate::ValidateError;
use crate::stats::Figures;
use crate::suite::Baselines;

/// Name of the suite.
pub const SUITE: &str = "instant-ngp";
/// Registers by which builds are known that their author edited (4 to 10 times slower).
const EDITED_GRID: [u32; 1] = [33];
const EDITED_MLP: [u32; 2] = [36, 39];

/// Launches of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NgpGroup {
    /// Catalogue entry.
    pub gpu: String,
    /// Recording.
    pub recording: String,
    /// Kind of kernel.
    pub class: String,
    /// Our errors.
    #[serde(flatten)]
    pub figures: Figures,
    /// A spec-sheet roofline's.
    pub roofline: Figures,
    /// Sum of recorded durations, in ms.
    pub measured_ms: f64,
    /// Sum of predictions, in ms.
    pub predicted_ms: f64,
    /// Error of the sum, in percent.
    pub sum_error_pct: f64,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NgpReport {
    /// `instant-ngp`.
    pub suite: &'static str,
    /// Launches compared.
    pub rows_used: usize,
    /// Launches left out, by reason.
    pub rows_left_out: BTreeMap<String, usize>,
    /// All launches.
    pub overall: Figures,
    /// By recording and kind, and for each recording as a whole (`all`).
    pub groups: Vec<NgpGroup>,
    /// Baselines.
    pub baselines: Baselines,
    /// Sum of recorded durations, in ms.
    pub measured_ms: f64,
    /// Sum of predictions, in ms.
    pub predicted_ms: f64,
    /// Error of the sum, in percent.
    pub sum_error_pct: f64,
    /// What was taken for granted.
    pub assumptions: Vec<String>,
    /// Every launch compared, in recorded order.
    #[serde(skip)]
    pub rows: Vec<NgpRow>,
}

/// One launch that was compared.
#[derive(Debug, Clone, PartialEq)]
pub struct NgpRow {
    /// Catalogue entry.
    pub gpu: String,
    /// Recording.
    pub recording: String,
    /// Kind of kernel.
    pub class: &'static str,
    /// The kernel's name as recorded.
    pub kernel: String,
    /// What it was taken for: a round of the frame, a network, a part of the training step.
    pub role: String,
    /// CTAs.
    pub ctas: u64,
    /// Registers per thread.
    pub registers: u32,
    /// Start within the recording, in us.
    pub start_us: f64,
    /// Recorded duration, in us.
    pub measured_us: f64,
    /// Predicted duration, in us.
    pub predicted_us: f64,
    /// The spec-sheet roofline's, in us.
    pub roofline_us: f64,
}

/// Compares every launch list at a path (a file, a folder of them, or a data folder).
///
/// # Errors
/// When there is no list, one cannot be read, or its GPU is not known.
pub fn run(data: &Path, gpus: &[String]) -> Result<NgpReport, ValidateError> {
    let files = locate(data)?;
    let catalog = Catalog::embedded();
    let mut rows: Vec<NgpRow> = Vec::new();
    let mut left_out: BTreeMap<String, usize> = BTreeMap::new();
    for path in &files {
        let recordings = read(path, ReadOptions::default())
            .map_err(|error| ValidateError::Launches { reason: error.to_string() })?;
        for recording in &recordings {
            let entry = gpu_of(&catalog, recording, gpus, path)?;
            let Some(entry) = entry else {
                *left_out.entry("GPU not selected".to_owned()).or_default() +=
                    recording.events.len();
                continue;
            };
            compare(recording, &entry, &mut rows, &mut left_out);
        }
    }
    Ok(report(rows, left_out))
}

fn locate(data: &Path) -> Result<Vec<PathBuf>, ValidateError> {
    if data.is_file() {
        return Ok(vec![data.to_owned()]);
    }
    let inside = ["traces/instant-ngp_launches", "instant-ngp_launches", ""];
    for folder in inside.map(|name| data.join(name)) {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        let mut files: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                [".csv", ".csv.gz", ".csv.zst"].iter().any(|end| name.ends_with(end))
            })
            .filter(|path| is_launch_list(path))
            .collect();
        files.sort();
        if !files.is_empty() {
            return Ok(files);
        }
    }
    Err(ValidateError::Launches {
        reason: format!("no launch lists (.csv, .csv.gz, .csv.zst) in {}", data.display()),
    })
}

/// Other tables live beside launch lists: only files with the right header count.
fn is_launch_list(path: &Path) -> bool {
    use std::io::Read as _;
    let Ok(file) = std::fs::File::open(path) else { return false };
    let mut head = [0_u8; 512];
    let named = path.extension().is_some_and(|end| end == "gz");
    let n = if named {
        flate2::read::MultiGzDecoder::new(file).read(&mut head)
    } else if path.extension().is_some_and(|end| end == "zst") {
        return true;
    } else {
        std::io::BufReader::new(file).read(&mut head)
    };
    let text = String::from_utf8_lossy(&head[..n.unwrap_or(0)]).into_owned();
    text.contains("start_ns") && text.contains("gridX")
}

/// The GPU of a recording: the one that the file's name starts with, else the only one asked for.
/// `None` where it is not among those asked for.
fn gpu_of(
    catalog: &Catalog,
    recording: &Recording,
    gpus: &[String],
    path: &Path,
) -> Result<Option<Entry>, ValidateError> {
    let wanted: Vec<Entry> = gpus.iter().filter_map(|name| catalog.get(name).ok()).collect();
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let named = recording.main_device().and_then(|device| catalog.get(&device.name).ok());
    let named = named.or_else(|| catalog.at_start_of(&file));
    match (named, wanted.as_slice()) {
        (Some(named), []) => Ok(Some(named)),
        (Some(named), wanted) => Ok(wanted.iter().any(|w| w.id == named.id).then_some(named)),
        (None, [only]) => Ok(Some(only.clone())),
        (None, _) => Err(ValidateError::NoGpu { path: path.to_owned() }),
    }
}

fn compare(
    recording: &Recording,
    entry: &Entry,
    rows: &mut Vec<NgpRow>,
    left_out: &mut BTreeMap<String, usize>,
) {
    let prices = price(recording, entry);
    let overlapped = overlapped(recording);
    for (index, event) in recording.events.iter().enumerate() {
        let signature = recording.signature(event);
        let reason = if edited(signature) {
            Some("an edited build, several times slower".to_owned())
        } else if signature.work.is_none() {
            Some("a kernel that is not modelled".to_owned())
        } else if overlapped[index] {
            Some("overlaps another stream".to_owned())
        } else {
            None
        };
        let priced = prices[event.signature as usize];
        let measured = event.duration_ps as f64 / 1e6;
        match (reason, priced) {
            (None, Some((predicted, roofline))) if measured > 0.0 => rows.push(NgpRow {
                gpu: entry.id.clone(),
                recording: recording.name.clone(),
                class: signature.work.as_ref().map_or("", |work| work.class().name()),
                kernel: signature.name.to_string(),
                role: signature.operator.as_ref().map_or(String::new(), |o| o.name.to_string()),
                ctas: signature.launch.map_or(0, |launch| launch.ctas()),
                registers: signature.launch.map_or(0, |launch| launch.registers),
                start_us: event.start_ps as f64 / 1e6,
                measured_us: measured,
                predicted_us: predicted,
                roofline_us: roofline,
            }),
            (reason, _) => {
                let reason = reason.unwrap_or_else(|| "cannot run on this GPU".to_owned());
                *left_out.entry(reason).or_default() += 1;
            }
        }
    }
}

fn edited(signature: &Signature) -> bool {
    let registers = signature.launch.map_or(0, |launch| launch.registers);
    let is = |name: &str| signature.name.contains(name);
    (is("kernel_grid<") && EDITED_GRID.contains(&registers))
        || (is("kernel_mlp_fused<") && EDITED_MLP.contains(&registers))
}

/// Which events run at the same time as one on another stream.
fn overlapped(recording: &Recording) -> Vec<bool> {
    let events = &recording.events;
    let mut overlapped = vec![false; events.len()];
    let mut latest: Option<(usize, i64)> = None;
    for (index, event) in events.iter().enumerate() {
        if let Some((before, end)) = latest
            && end > event.start_ps
            && events[before].stream != event.stream
        {
            overlapped[index] = true;
            overlapped[before] = true;
        }
        if latest.is_none_or(|(_, end)| event.end_ps() > end) {
            latest = Some((index, event.end_ps()));
        }
    }
    overlapped
}

/// Prediction and roofline of each distinct launch, in us.
fn price(recording: &Recording, entry: &Entry) -> Vec<Option<(f64, f64)>> {
    // Each launch is one of many of which the board holds the average power.
    let lookups = Lookups::default();
    let engine = GpuEngine::new(&entry.gpu).with(Options::default().unlimited()).carrying(&lookups);
    let one = |work: &Operation| {
        let roofline = roofline::time_ns(&entry.gpu, work, DType::Fp16) / 1e3;
        engine.price(work).ok().map(|cost| (cost.time_ns / 1e3, roofline))
    };
    recording
        .signatures
        .par_iter()
        .map(|signature| signature.work.as_ref().and_then(&one))
        .collect()
}

fn report(rows: Vec<NgpRow>, rows_left_out: BTreeMap<String, usize>) -> NgpReport {
    let ours = |rows: &[&NgpRow]| Figures::of(rows.iter().map(|r| (r.predicted_us, r.measured_us)));
    let line = |rows: &[&NgpRow]| Figures::of(rows.iter().map(|r| (r.roofline_us, r.measured_us)));
    let sums = |rows: &[&NgpRow]| {
        let measured: f64 = rows.iter().map(|r| r.measured_us).sum::<f64>() / 1e3;
        let predicted: f64 = rows.iter().map(|r| r.predicted_us).sum::<f64>() / 1e3;
        let error = if measured > 0.0 { (predicted / measured - 1.0) * 100.0 } else { 0.0 };
        (measured, predicted, error)
    };
    let mut by_class: BTreeMap<(&str, &str, &str), Vec<&NgpRow>> = BTreeMap::new();
    for row in &rows {
        for class in [row.class, "all"] {
            by_class.entry((&row.gpu, &row.recording, class)).or_default().push(row);
        }
    }
    let all: Vec<&NgpRow> = rows.iter().collect();
    let (measured_ms, predicted_ms, sum_error_pct) = sums(&all);
    let groups = by_class.iter().map(|(&(gpu, recording, class), rows)| {
        let (measured_ms, predicted_ms, sum_error_pct) = sums(rows);
        NgpGroup {
            gpu: gpu.to_owned(),
            recording: recording.to_owned(),
            class: class.to_owned(),
            figures: ours(rows),
            roofline: line(rows),
            measured_ms,
            predicted_ms,
            sum_error_pct,
        }
    });
    NgpReport {
        suite: SUITE,
        rows_used: rows.len(),
        rows_left_out,
        overall: ours(&all),
        baselines: Baselines { roofline: line(&all), wave: None },
        groups: groups.collect(),
        measured_ms,
        predicted_ms,
        sum_error_pct,
        assumptions: vec![
            "sizes from the recording; addresses from the scene room (unbounded) or digger (object) at the same share of the frame's steps".to_owned(),
            "tables from the parameter count that initialisation or optimizer launches show".to_owned(),
        ],
        rows,
    }
}
