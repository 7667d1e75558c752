//! `lumacycle replay FILE --gpu …`.

use std::path::Path;

use lumacycle_arch::{Catalog, Entry};
use lumacycle_sim::replay::{ReplayOptions, ReplayResult, Selection, replay_with_spans};
use lumacycle_traces::classify::Known;
use lumacycle_traces::{Recording, source};
use lumacycle_validate::expected;
use regex::Regex;
use serde_json::json;

use super::catalog::{csv, json_out};
use super::tables;
use super::timeline::Track;
use super::trace::read_options;
use crate::args::{Format, ReadArgs, ReplayArgs, SelectArgs};
use crate::failure::Failure;
use crate::output;

pub fn run(args: &ReplayArgs) -> Result<(), Failure> {
    let files = [args.output.output.as_deref(), args.timeline.as_deref()];
    output::possible(&files, args.report.as_deref())?;
    // Everything that can be wrong with the command line is found before a file is read.
    let (gpus, engine) = super::engines(&args.gpu)?;
    let catalog = Catalog::embedded();
    let recorded_gpu =
        args.recorded_gpu.as_ref().map(|name| super::gpu(&catalog, name)).transpose()?;
    let selection = selection(&args.select)?;
    let mut recordings = read(&args.file, &args.read)?;
    selection.apply(&mut recordings)?;
    if recordings.iter().all(|recording| recording.events.is_empty()) {
        output::say(
            "no GPU kernels: the trace is readable, but holds (or the selection leaves) no GPU activity",
        );
    }
    let input_hash = hash(&args.file)?;
    let mut results = Vec::new();
    let mut tracks = Vec::new();
    for recording in &recordings {
        let own = recorded_gpu
            .clone()
            .or_else(|| recording.main_device().and_then(|device| catalog.get(&device.name).ok()));
        for entry in &gpus {
            let every_resource = args.output.format == Format::Json;
            let options = ReplayOptions {
                engine,
                recorded_on: own.as_ref(),
                every_resource,
                launch_floor: args.launch_floor.into(),
            };
            let (mut result, spans) = replay_with_spans(recording, entry, options)?;
            if args.timeline.is_some() {
                let rank = recording.rank.map_or_else(String::new, |rank| format!(", rank {rank}"));
                let name = format!("{}{rank}", entry.gpu.gpu.name);
                tracks.push(Track { name, spans, engines: Vec::new() });
            }
            result.input_hash.clone_from(&input_hash);
            if let Some(own) = &own {
                result.recorded_gpu = Some(own.gpu.gpu.name.clone());
            }
            results.push(result);
        }
    }
    for recording in &recordings {
        talk(recording);
        if recorded_gpu.is_none() {
            tell_unknown_gpu(recording, &catalog);
        }
    }
    for result in &results {
        tell_failures(result);
    }
    if let Some(path) = &args.timeline {
        super::timeline::write(path, &tracks)?;
    }
    if let Some(folder) = &args.report {
        super::report::replayed(folder, &results)?;
    }
    print(args, &gpus, &results)
}

/// Without the GPU that recorded, unknown work cannot be worked out from its duration.
fn tell_unknown_gpu(recording: &Recording, catalog: &Catalog) {
    let timed = recording.events.iter().any(|event| event.duration_ps > 0);
    let device = recording.main_device().map(|device| device.name.as_str());
    let told = match device.filter(|name| catalog.get(name).is_err()) {
        Some(name) if timed => format!("was made on \"{name}\", which the catalogue does not know"),
        None if timed && device.is_none() => "does not say on which GPU it was made".to_owned(),
        _ => return,
    };
    output::say(&format!(
        "{}: the recording {told}: name it with --recorded-gpu, so that errors are stated and work that only shows its duration can be worked out (lumacycle catalog list)",
        recording.name
    ));
}

/// Launches that this GPU cannot run keep their recorded duration, which may be none at all.
fn tell_failures(result: &ReplayResult) {
    let mut reasons: Vec<(&str, u64)> = Vec::new();
    let kept = if result.totals.recorded_sum_ms > 0.0 {
        "keep their recorded duration"
    } else {
        "count as no time"
    };
    for kernel in &result.kernels {
        let Some(failure) = kernel.failure.as_deref() else { continue };
        match reasons.iter_mut().find(|(reason, _)| *reason == failure) {
            Some((_, count)) => *count += kernel.count,
            None => reasons.push((failure, kernel.count)),
        }
    }
    for (reason, count) in reasons {
        output::say(&format!(
            "{}: {count} launches cannot run and {kept}: {reason}",
            result.gpu_name
        ));
    }
}

/// Hash of a file; pipes can be read only once and have none.
fn hash(path: &Path) -> Result<Option<String>, Failure> {
    let failed =
        |error: std::io::Error| Failure::Input { path: path.to_owned(), reason: error.to_string() };
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Ok(None);
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path).map_err(failed)?).map_err(failed)?;
    Ok(Some(hasher.finalize().to_hex().to_string()))
}

/// What the reader left out belongs to the person, not into the data.
fn talk(recording: &Recording) {
    for skipped in &recording.skipped {
        output::say(&format!(
            "{}: not understood: {} × {} (e.g. {})",
            recording.name, skipped.count, skipped.reason, skipped.example
        ));
    }
    if let Some(cut) = &recording.cut {
        output::say(&format!("{}: reading stopped at damage: {cut}", recording.name));
    }
}

/// Reads a trace with a progress bar.
pub fn read(file: &Path, args: &ReadArgs) -> Result<Vec<Recording>, Failure> {
    let length = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
    let bar = output::progress(length, "reading");
    let shown = bar.clone();
    let result = source::read_with(
        file,
        read_options(args),
        Box::new(move |bytes| shown.set_position(bytes)),
    );
    bar.finish_and_clear();
    Ok(result?)
}

/// The selection of a command line.
pub fn selection(args: &SelectArgs) -> Result<Selection, Failure> {
    let regex = |name: &str, text: &Option<String>| -> Result<Option<Regex>, Failure> {
        text.as_ref()
            .map(|text| {
                Regex::new(text).map_err(|error| {
                    let message = format!("--{name}: {error}");
                    Failure::usage(message, "see https://docs.rs/regex for the syntax")
                })
            })
            .transpose()
    };
    let steps = args
        .steps
        .as_ref()
        .map(|text| {
            let bad = || {
                let message = format!("--steps: \"{text}\" is no range of steps");
                Failure::usage(message, "write A..B with both ends included, e.g. --steps 5..7")
            };
            let (from, to) = match text.split_once("..") {
                Some((from, to)) => (from, to.trim_start_matches('=')),
                None => (text.as_str(), text.as_str()),
            };
            let from: u64 = from.trim().parse().map_err(|_| bad())?;
            let to: u64 = to.trim().parse().map_err(|_| bad())?;
            if from > to { Err(bad()) } else { Ok((from, to)) }
        })
        .transpose()?;
    Ok(Selection {
        warmup: args.warmup,
        steps,
        range: regex("range", &args.range)?,
        kernel: regex("kernel", &args.kernel)?,
        ranks: args.ranks.clone(),
    })
}

fn print(args: &ReplayArgs, gpus: &[Entry], results: &[ReplayResult]) -> Result<(), Failure> {
    match args.output.format {
        Format::Json => json_out(&args.output, &json!(results)),
        Format::Csv => {
            let bytes = kernels_csv(results)?;
            output::write(args.output.output.as_deref(), &bytes)
        }
        Format::Table => {
            let mut text = String::new();
            let full = results.chunks(gpus.len().max(1)).filter(|group| group[0].events > 0);
            for per_recording in full {
                text.push_str(&tables::summary(per_recording));
                match per_recording {
                    [only] => text.push_str(&tables::one_gpu(only, args.top)),
                    several => text.push_str(&tables::several_gpus(several, args.top)),
                }
            }
            output::write(args.output.output.as_deref(), text.as_bytes())
        }
    }
}

fn kernels_csv(results: &[ReplayResult]) -> Result<Vec<u8>, Failure> {
    let header = [
        "recording",
        "rank",
        "gpu",
        "kernel",
        "operator",
        "class",
        "known",
        "count",
        "recorded_us",
        "predicted_us",
        "low_us",
        "high_us",
        "error_pct",
        "roofline_us",
        "bound_by",
        "tenth_more_saves_pct",
        "variant",
        "ctas",
        "waves",
        "occupancy_pct",
        "occupancy_limit",
        "dram_mb",
        "l2_hit_pct",
        "energy_mj",
        "mean_power_w",
        "note",
    ];
    let number = |value: f64| format!("{value:.6}");
    let maybe = |value: Option<f64>| value.map_or_else(String::new, |v| format!("{v:.4}"));
    let spread = expected::table();
    let rows = results.iter().flat_map(|result| {
        result.kernels.iter().map(|k| {
            // What keeps its recorded duration, or owes its work to it, is no prediction.
            let predicted =
                k.failure.is_none() && !matches!(k.known, Known::Kept | Known::Inferred);
            let interval = {
                let setting = expected::Setting {
                    compute_capability: Some(result.compute_capability),
                    kernel_known: Some(k.known == Known::Kernel),
                };
                expected::interval(&spread, k.class, setting, k.predicted_us)
            };
            let [low, high] = output::ends(interval.filter(|_| predicted));
            vec![
                result.recording.clone(),
                result.rank.map_or_else(String::new, |rank| rank.to_string()),
                result.gpu.clone(),
                k.name.clone(),
                k.operator.clone().unwrap_or_default(),
                k.class.to_string(),
                k.known.describe().to_owned(),
                k.count.to_string(),
                number(k.recorded_us),
                number(k.predicted_us),
                low,
                high,
                maybe(k.error_pct),
                maybe(k.roofline_us),
                k.bound_by.map_or_else(String::new, |r| r.to_string()),
                number(k.tenth_more_saves_pct),
                k.variant.clone(),
                k.ctas.to_string(),
                number(k.waves),
                number(k.occupancy_pct),
                k.occupancy_limit.to_owned(),
                number(k.dram_mb),
                number(k.l2_hit_pct),
                number(k.energy_mj),
                number(mean_power_w(k.energy_mj, k.predicted_us)),
                k.note.clone().unwrap_or_default(),
            ]
        })
    });
    csv(&header, rows)
}

/// Power in watts: 1 mJ / 1 us = 1 kW. Nothing that takes no time.
fn mean_power_w(energy_mj: f64, time_us: f64) -> f64 {
    if time_us > 0.0 { energy_mj / time_us * 1e3 } else { 0.0 }
}
