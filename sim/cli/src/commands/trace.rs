//! `lumacycle trace stats|convert`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use lumacycle_sim::schedule::busy_ps;
use lumacycle_traces::{EventKind, ReadOptions, Recording, own};
use lumacycle_workloads::ops::Operation;
use serde::Serialize;
use serde_json::json;

use super::catalog::{csv, json_out};
use super::replay::{read, selection};
use crate::args::{Format, OutputArgs, ReadArgs, SelectArgs, TraceAction, TraceArgs};
use crate::failure::Failure;
use crate::output::{self, short};

pub fn run(args: TraceArgs) -> Result<(), Failure> {
    match args.action {
        TraceAction::Stats { file, read, output } => stats(&file, &read, &output),
        TraceAction::Convert { file, output, read, select } => {
            convert(&file, &output, &read, &select)
        }
    }
}

#[derive(Serialize)]
struct Stats {
    recording: String,
    rank: Option<i64>,
    gpus: Vec<String>,
    events: usize,
    distinct_launches: usize,
    kernels: u64,
    copies: u64,
    fills: u64,
    streams: usize,
    kernels_with_operator: u64,
    kernels_with_shapes: u64,
    sum_ms: f64,
    busy_ms: f64,
    span_ms: f64,
    classes: BTreeMap<String, (u64, f64)>,
    known_pct: BTreeMap<String, f64>,
    steps_and_ranges: usize,
    /// Warp instructions by pipe, of launches known by their instructions.
    instructions: BTreeMap<&'static str, f64>,
    skipped: Vec<lumacycle_traces::Skipped>,
    notes: Vec<String>,
    cut: Option<String>,
}

fn describe(recording: &Recording) -> Stats {
    let capability = recording.main_device().map_or(0, |device| device.compute_capability);
    let classified: Vec<_> =
        recording.signatures.iter().map(|s| lumacycle_traces::classify(s, capability)).collect();
    let mut stats = Stats {
        recording: recording.name.clone(),
        rank: recording.rank,
        gpus: recording.devices.iter().map(|d| d.name.clone()).collect(),
        events: recording.events.len(),
        distinct_launches: recording.signatures.len(),
        kernels: 0,
        copies: 0,
        fills: 0,
        streams: 0,
        kernels_with_operator: 0,
        kernels_with_shapes: 0,
        sum_ms: 0.0,
        busy_ms: 0.0,
        span_ms: 0.0,
        classes: BTreeMap::new(),
        known_pct: BTreeMap::new(),
        steps_and_ranges: recording.marks.len(),
        instructions: BTreeMap::new(),
        skipped: recording.skipped.clone(),
        notes: recording.notes.clone(),
        cut: recording.cut.clone(),
    };
    stats.gpus.sort();
    stats.gpus.dedup();
    let mut streams: Vec<(i32, u32)> = Vec::new();
    for event in &recording.events {
        let signature = recording.signature(event);
        match signature.kind {
            EventKind::Kernel => stats.kernels += 1,
            EventKind::Memcpy => stats.copies += 1,
            EventKind::Memset => stats.fills += 1,
        }
        if signature.kind == EventKind::Kernel
            && let Some(operator) = &signature.operator
        {
            stats.kernels_with_operator += 1;
            let shaped = operator.shapes.iter().any(|shape| !shape.is_empty());
            stats.kernels_with_shapes += u64::from(shaped);
        }
        if let Some(Operation::Traced(traced)) = &signature.work {
            for (pipe, count) in traced.instructions() {
                *stats.instructions.entry(pipe).or_default() += count;
            }
        }
        let ms = event.duration_ps as f64 / 1e9;
        stats.sum_ms += ms;
        let found = &classified[event.signature as usize];
        let class = stats.classes.entry(found.class.name().to_owned()).or_default();
        *class = (class.0 + 1, class.1 + ms);
        *stats.known_pct.entry(found.known.describe().to_owned()).or_default() += ms;
        streams.push((event.device, event.stream));
    }
    streams.sort_unstable();
    streams.dedup();
    stats.streams = streams.len();
    if stats.sum_ms > 0.0 {
        stats.known_pct.values_mut().for_each(|share| *share *= 100.0 / stats.sum_ms);
    } else {
        // Shares of no recorded time say nothing.
        stats.known_pct.clear();
    }
    let intervals: Vec<_> = recording.events.iter().map(|e| (e.start_ps, e.end_ps())).collect();
    let last = intervals.iter().map(|i| i.1).max().unwrap_or(0);
    stats.span_ms = last as f64 / 1e9;
    stats.busy_ms = busy_ps(intervals) as f64 / 1e9;
    stats
}

fn stats(file: &Path, read_args: &ReadArgs, args: &OutputArgs) -> Result<(), Failure> {
    let recordings = read(file, read_args)?;
    let all: Vec<Stats> = recordings.iter().map(describe).collect();
    match args.format {
        Format::Json => json_out(args, &json!(all)),
        Format::Csv => {
            let header = ["recording", "class", "events", "recorded_ms"];
            let rows = all.iter().flat_map(|stats| {
                stats.classes.iter().map(|(class, (events, ms))| {
                    vec![
                        stats.recording.clone(),
                        class.clone(),
                        events.to_string(),
                        format!("{ms:.6}"),
                    ]
                })
            });
            let bytes = csv(&header, rows)?;
            output::write(args.output.as_deref(), &bytes)
        }
        Format::Table => {
            let text: String = all.iter().map(text).collect();
            output::write(args.output.as_deref(), text.as_bytes())
        }
    }
}

fn text(stats: &Stats) -> String {
    let gpus = if stats.gpus.is_empty() { "not named".to_owned() } else { stats.gpus.join(", ") };
    let mut text = format!(
        "{}\n  GPU: {gpus}\n  {} events: {} kernels, {} copies, {} fills on {} streams; {} distinct launches\n  {} kernels have an operator, {} of them shapes; {} steps and ranges\n  sum {} ms, busy {} ms, span {} ms\n",
        stats.recording,
        stats.events,
        stats.kernels,
        stats.copies,
        stats.fills,
        stats.streams,
        stats.distinct_launches,
        stats.kernels_with_operator,
        stats.kernels_with_shapes,
        stats.steps_and_ranges,
        short(stats.sum_ms),
        short(stats.busy_ms),
        short(stats.span_ms),
    );
    let mut table = output::table(&["class", "events", "recorded ms", "share"], 1);
    let mut classes: Vec<_> = stats.classes.iter().collect();
    classes.sort_by(|a, b| b.1.1.total_cmp(&a.1.1).then(a.0.cmp(b.0)));
    for (class, (events, ms)) in classes {
        let share = ms / stats.sum_ms.max(f64::MIN_POSITIVE) * 100.0;
        table.add_row(vec![class.clone(), events.to_string(), short(*ms), format!("{share:.1} %")]);
    }
    text.push_str(&output::render(&table));
    for (meaning, share) in &stats.known_pct {
        text.push_str(&format!("  {share:5.1} % of the time: {meaning}\n"));
    }
    if !stats.instructions.is_empty() {
        let mut pipes: Vec<_> = stats.instructions.iter().filter(|(_, n)| **n > 0.0).collect();
        pipes.sort_by(|a, b| b.1.total_cmp(a.1).then(a.0.cmp(b.0)));
        let list: Vec<String> =
            pipes.into_iter().map(|(pipe, count)| format!("{count:.0} {pipe}")).collect();
        text.push_str(&format!("  warp instructions: {}\n", list.join(", ")));
    }
    for note in &stats.notes {
        text.push_str(&format!("  {note}\n"));
    }
    for skipped in &stats.skipped {
        text.push_str(&format!(
            "  not understood: {} × {} (e.g. {})\n",
            skipped.count, skipped.reason, skipped.example
        ));
    }
    if let Some(cut) = &stats.cut {
        text.push_str(&format!("  reading stopped at damage: {cut}\n"));
    }
    text
}

fn convert(
    file: &Path,
    to: &Path,
    read_args: &ReadArgs,
    select: &SelectArgs,
) -> Result<(), Failure> {
    let mut recordings = read(file, read_args)?;
    selection(select)?.apply(&mut recordings)?;
    let several = recordings.len() > 1;
    for (index, recording) in recordings.iter().enumerate() {
        let rank = recording.rank.unwrap_or(index as i64);
        let path = if several { with_rank(to, rank) } else { to.to_owned() };
        let mut plain = Vec::new();
        own::write(recording, &mut plain)
            .map_err(|error| Failure::Internal { what: error.to_string() })?;
        let bytes = compress(&path, plain)?;
        output::write(Some(&path), &bytes)?;
        output::say(&format!(
            "{}: {} events, {} distinct launches",
            path.display(),
            recording.events.len(),
            recording.signatures.len()
        ));
    }
    Ok(())
}

fn with_rank(path: &Path, rank: i64) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (stem, rest) = name.split_once('.').unwrap_or((&name, "jsonl"));
    path.with_file_name(format!("{stem}.rank{rank}.{rest}"))
}

fn compress(path: &Path, plain: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| Failure::Internal { what: error.to_string() };
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(&plain).map_err(failed)?;
            encoder.finish().map_err(failed)
        }
        Some("zst") => zstd::stream::encode_all(plain.as_slice(), 3).map_err(failed),
        _ => Ok(plain),
    }
}

/// Options of the reader.
pub fn read_options(args: &ReadArgs) -> ReadOptions {
    ReadOptions { strict: args.strict, keep_going: args.keep_going }
}
