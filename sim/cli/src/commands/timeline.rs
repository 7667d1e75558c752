//! Timelines in the Chrome trace format, which Perfetto opens: recorded next to predicted, streams as
//! tracks, and what the predicted work keeps busy as counters.
//!
//! Times are µs with six decimals, so that no picosecond is lost. A counter changes where a piece starts or ends. SMs,
//! L2 and DRAM count in per cent of what they can do; occupancy is resident warps over the most
//! there could be; power is each kernel's energy over its time, without idle power in gaps. Engines of an
//! accelerator are tracks of their own, with a counter each of how much of its time an engine works.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;

use lumacycle_sim::accelerated::EngineSpans;
use lumacycle_sim::span::Span;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output;

/// A run on one GPU.
pub struct Track {
    /// What it is called.
    pub name: String,
    /// What ran.
    pub spans: Vec<Span>,
    /// What the engines of an accelerator did meanwhile.
    pub engines: Vec<EngineSpans>,
}

/// Writes the timeline of one or more runs; compressed where the name ends in `.gz`.
pub fn write(path: &Path, tracks: &[Track]) -> Result<(), Failure> {
    let internal = |error: &dyn std::fmt::Display| Failure::Internal { what: error.to_string() };
    let value = json!({
        "displayTimeUnit": "ns",
        "otherData": {"version": lumacycle_sim::VERSION},
        "traceEvents": events(tracks),
    });
    let text = serde_json::to_vec(&value).map_err(|error| internal(&error))?;
    if path.extension().is_none_or(|extension| extension != "gz") {
        return output::write(Some(path), &text);
    }
    // No name and no time in the header: the same bytes each time.
    let mut packed = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::default());
    packed.write_all(&text).map_err(|error| internal(&error))?;
    output::write(Some(path), &packed.finish().map_err(|error| internal(&error))?)
}

fn events(tracks: &[Track]) -> Vec<Value> {
    let mut all = Vec::new();
    let mut process = 0;
    for (index, track) in tracks.iter().enumerate() {
        let recorded: Vec<(&Span, (i64, i64))> =
            track.spans.iter().filter_map(|span| Some((span, span.recorded_ps?))).collect();
        // The recording is the same for every GPU: once is enough.
        if index == 0 && !recorded.is_empty() {
            process += 1;
            slices(&mut all, process, "recorded", &recorded, false);
        }
        process += 1;
        let simulated: Vec<(&Span, (i64, i64))> =
            track.spans.iter().map(|span| (span, span.simulated_ps)).collect();
        slices(&mut all, process, &format!("predicted: {}", track.name), &simulated, true);
        counters(&mut all, process, &track.spans);
        engines(&mut all, process, &track.engines);
    }
    all
}

/// Threads of engines come behind those of streams, of which a GPU in a frame has one.
const FIRST_ENGINE: usize = 100;

fn engines(all: &mut Vec<Value>, process: usize, engines: &[EngineSpans]) {
    for (number, engine) in engines.iter().enumerate() {
        let (thread, name) = (FIRST_ENGINE + number, engine.unit.name());
        all.push(json!({"ph": "M", "name": "thread_name", "pid": process, "tid": thread,
            "args": {"name": format!("accelerator: {name}")}}));
        let counter = format!("{name} busy %");
        let count = |at: i64, value: f64| {
            json!({"ph": "C", "name": counter, "pid": process, "tid": 0, "ts": us(at),
                "args": {"value": rounded(value)}})
        };
        let mut counts = Vec::new();
        for (batch, visit) in engine.visits.iter().enumerate() {
            let busy = (visit.busy * 100.0).min(100.0);
            all.push(json!({"ph": "X", "cat": "accelerator", "name": format!("batch {batch}"),
                "pid": process, "tid": thread, "ts": us(visit.start_ps),
                "dur": us(visit.end_ps - visit.start_ps), "args": {"busy %": rounded(busy)}}));
            counts.push(count(visit.start_ps, busy));
            // A batch that follows at once sets the counter itself.
            let next = engine.visits.get(batch + 1);
            if next.is_none_or(|next| next.start_ps > visit.end_ps) {
                counts.push(count(visit.end_ps, 0.0));
            }
        }
        all.append(&mut counts);
    }
}

/// µs from ps.
fn us(ps: i64) -> Value {
    json!(ps as f64 / 1e6)
}

fn slices(
    all: &mut Vec<Value>,
    process: usize,
    name: &str,
    spans: &[(&Span, (i64, i64))],
    priced: bool,
) {
    let meta = |what: &str, thread: usize, args: Value| json!({"ph": "M", "name": what, "pid": process, "tid": thread, "args": args});
    all.push(meta("process_name", 0, json!({"name": name})));
    all.push(meta("process_sort_index", 0, json!({"sort_index": process})));
    let lanes: BTreeSet<(i32, u32)> =
        spans.iter().map(|(span, _)| (span.device, span.stream)).collect();
    let lanes: Vec<(i32, u32)> = lanes.into_iter().collect();
    for (index, (device, stream)) in lanes.iter().enumerate() {
        let name = format!("device {device}, stream {stream}");
        all.push(meta("thread_name", index + 1, json!({"name": name})));
    }
    for (span, (start, end)) in spans {
        let lane = (span.device, span.stream);
        let thread = lanes.iter().position(|known| *known == lane).unwrap_or(0) + 1;
        let mut event = json!({
            "ph": "X", "cat": "kernel", "name": span.name, "pid": process, "tid": thread,
            "ts": us(*start), "dur": us(end - start),
        });
        if priced {
            event["args"] = json!({
                "bound by": span.bound_by.unwrap_or("recorded duration kept"),
                "SM %": rounded(span.shared.sm * 100.0),
                "L2 %": rounded(span.shared.l2 * 100.0),
                "DRAM %": rounded(span.shared.dram * 100.0),
                "occupancy %": rounded(span.occupancy * 100.0),
                "power W": rounded(span.power_w),
            });
            if let Some((from, to)) = span.recorded_ps {
                event["args"]["recorded us"] = us(to - from);
            }
        }
        all.push(event);
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// What a counter shows of a piece, and the most that it can reach on a device.
type Counter = (&'static str, fn(&Span) -> f64, f64);

fn counters(all: &mut Vec<Value>, process: usize, spans: &[Span]) {
    const COUNTERS: [Counter; 6] = [
        ("SM busy %", |span| span.shared.sm * 100.0, 100.0),
        ("SM occupancy %", |span| span.occupancy * 100.0, 100.0),
        ("L2 bandwidth %", |span| span.shared.l2 * 100.0, 100.0),
        ("DRAM bandwidth %", |span| span.shared.dram * 100.0, 100.0),
        ("peer link %", |span| span.shared.peer_link * 100.0, 100.0),
        ("power W", |span| span.power_w, f64::INFINITY),
    ];
    let devices: BTreeSet<i32> = spans.iter().map(|span| span.device).collect();
    for device in &devices {
        // Ends before starts, so that pieces in a row do not add up; sums in order of pieces.
        let mut edges: Vec<(i64, bool, usize)> = Vec::new();
        for (index, span) in spans.iter().enumerate().filter(|(_, s)| s.device == *device) {
            let (start, end) = span.simulated_ps;
            if end > start {
                edges.push((start, true, index));
                edges.push((end, false, index));
            }
        }
        edges.sort_unstable();
        let mut running: BTreeSet<usize> = BTreeSet::new();
        for (at, edge) in edges.iter().enumerate() {
            let (time, starts, index) = *edge;
            if starts {
                running.insert(index);
            } else {
                running.remove(&index);
            }
            if edges.get(at + 1).is_some_and(|next| next.0 == time) {
                continue;
            }
            for (name, of, most) in COUNTERS {
                let sum: f64 = running.iter().map(|index| of(&spans[*index])).sum();
                let name = if devices.len() > 1 {
                    format!("{name}, device {device}")
                } else {
                    name.to_owned()
                };
                all.push(json!({
                    "ph": "C", "name": name, "pid": process, "tid": 0, "ts": us(time),
                    "args": {"value": rounded(sum.min(most))},
                }));
            }
        }
    }
}
