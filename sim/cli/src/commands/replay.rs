//! `lumacycle replay FILE --gpu …`.

use std::path::Path;

use lumacycle_arch::{Catalog, Entry};
use lumacycle_sim::replay::{ReplayOptions, ReplayResult, Selection, replay};
use lumacycle_traces::{Recording, source};
use regex::Regex;
use serde_json::json;

use super::catalog::{csv, json_out};
use super::trace::read_options;
use crate::args::{Format, ReadArgs, ReplayArgs, SelectArgs};
use crate::failure::Failure;
use crate::output::{self, percent, short};

pub fn run(args: &ReplayArgs) -> Result<(), Failure> {
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
    let mut results = Vec::new();
    for recording in &recordings {
        let own = recorded_gpu
            .clone()
            .or_else(|| recording.main_device().and_then(|device| catalog.get(&device.name).ok()));
        for entry in &gpus {
            let options = ReplayOptions { engine, recorded_on: own.as_ref() };
            let mut result = replay(recording, entry, options)?;
            if let Some(own) = &own {
                result.recorded_gpu = Some(own.gpu.gpu.name.clone());
            }
            results.push(result);
        }
    }
    for recording in &recordings {
        talk(recording);
    }
    print(args, &gpus, &results)
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
            for per_recording in results.chunks(gpus.len().max(1)) {
                text.push_str(&side_by_side(per_recording));
                for result in per_recording {
                    text.push_str(&one_gpu(result, args.top));
                }
            }
            output::write(args.output.output.as_deref(), text.as_bytes())
        }
    }
}

/// The first screen: all GPUs next to each other.
fn side_by_side(results: &[ReplayResult]) -> String {
    let Some(first) = results.first() else {
        return String::new();
    };
    let recorded_on = first.recorded_gpu.as_deref().unwrap_or("a GPU that the trace does not name");
    let totals = &first.totals;
    let mut text = format!(
        "{}{}: {} events, {} distinct launches, recorded on {recorded_on}\n",
        first.recording,
        first.rank.map_or_else(String::new, |rank| format!(" (rank {rank})")),
        first.events,
        first.distinct,
    );
    let header = [
        "GPU",
        "kernels ms",
        "busy ms",
        "span ms",
        "vs recorded",
        "bound mostly by",
        "10 % more saves",
        "energy mJ",
        "mean W",
    ];
    let mut table = output::table(&header, 1);
    table.add_row(vec![
        "(recorded)".to_owned(),
        short(totals.recorded_sum_ms),
        short(totals.recorded_busy_ms),
        short(totals.recorded_span_ms),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
    ]);
    for result in results {
        let t = &result.totals;
        let versus = match (result.on_recorded_gpu, t.error_pct) {
            (true, Some(error)) => {
                format!("error {error:+.1} % on {:.0} % of it", t.independent_pct)
            }
            (true, None) => "the same".to_owned(),
            (false, _) => {
                format!("{:.2}x", t.recorded_sum_ms / t.predicted_sum_ms.max(f64::MIN_POSITIVE))
            }
        };
        let bound = result.bound_by.first();
        table.add_row(vec![
            result.gpu_name.clone(),
            short(t.predicted_sum_ms),
            short(t.predicted_busy_ms),
            short(t.predicted_span_ms),
            if t.recorded_sum_ms > 0.0 { versus } else { String::new() },
            bound
                .map_or_else(String::new, |b| format!("{} ({:.0} %)", b.resource, b.predicted_pct)),
            bound.map_or_else(String::new, |b| format!("{:.1} %", b.tenth_more_saves_pct)),
            short(t.energy_mj),
            format!("{:.0}", t.mean_power_w),
        ]);
    }
    text.push_str(&format!("{table}\n\n"));
    text
}

fn one_gpu(result: &ReplayResult, top: usize) -> String {
    let mut text = format!("{} at {:.0} MHz\n", result.gpu_name, result.clock_mhz);
    let header = ["class", "events", "recorded ms", "predicted ms", "error", "roofline's error"];
    let mut table = output::table(&header, 1);
    for class in &result.classes {
        table.add_row(vec![
            class.class.to_string(),
            class.events.to_string(),
            short(class.recorded_ms),
            short(class.predicted_ms),
            percent(class.error_pct),
            percent(class.roofline_error_pct),
        ]);
    }
    text.push_str(&format!("{table}\n"));
    for row in &result.known {
        text.push_str(&format!("  {:5.1} % of recorded time: {}", row.recorded_pct, row.meaning));
        match row.error_pct {
            Some(error) => text.push_str(&format!(" (error {error:+.1} %)\n")),
            None => text.push('\n'),
        }
    }
    text.push_str(&kernel_table(result, top));
    text.push_str("  assuming: ");
    text.push_str(&result.assumptions.join("; "));
    text.push_str("\n\n");
    text
}

fn kernel_table(result: &ReplayResult, top: usize) -> String {
    let header = [
        "kernel",
        "class",
        "n",
        "recorded us",
        "predicted us",
        "error",
        "bound by",
        "10 % more saves",
        "waves",
        "occ.",
    ];
    let mut table = output::table(&header, 2);
    let shown = if top == 0 { result.kernels.len() } else { top.min(result.kernels.len()) };
    for kernel in &result.kernels[..shown] {
        table.add_row(vec![
            shorten(&kernel.name, 44),
            kernel.class.to_string(),
            kernel.count.to_string(),
            short(kernel.recorded_us),
            short(kernel.predicted_us),
            percent(kernel.error_pct),
            kernel.bound_by.map_or_else(|| "(kept)".to_owned(), |r| r.to_string()),
            format!("{:.1} %", kernel.tenth_more_saves_pct),
            short(kernel.waves),
            format!("{:.0} %", kernel.occupancy_pct),
        ]);
    }
    let mut text = format!("{table}\n");
    if shown < result.kernels.len() {
        text.push_str(&format!(
            "  {} more distinct launches; --top 0 or --format csv shows all\n",
            result.kernels.len() - shown
        ));
    }
    text
}

/// The telling part of a kernel name: without `void`, namespaces of the framework, arguments.
fn shorten(name: &str, width: usize) -> String {
    let mut name = name.trim_start_matches("void ");
    for prefix in ["at::native::", "(anonymous namespace)::", "cutlass::", "cudnn::"] {
        name = name.trim_start_matches(prefix);
    }
    if name.chars().count() <= width {
        return name.to_owned();
    }
    let kept: String = name.chars().take(width - 1).collect();
    format!("{kept}…")
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
        "note",
    ];
    let number = |value: f64| format!("{value:.6}");
    let maybe = |value: Option<f64>| value.map_or_else(String::new, |v| format!("{v:.4}"));
    let rows = results.iter().flat_map(|result| {
        result.kernels.iter().map(|k| {
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
                k.note.clone().unwrap_or_default(),
            ]
        })
    });
    csv(&header, rows)
}
