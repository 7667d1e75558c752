//! What binds a kernel, a trace or a frame, in plain words and one table, from the JSON of `kernel`, `replay`
//! or `run`.
//!
//! Left out: what a result does not say; values that are missing count as zero.

use serde_json::Value;

use crate::scale::plain;

/// A row of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Kernel or part of a frame.
    pub part: String,
    /// Time, in µs.
    pub time_us: f64,
    /// Share of the whole, in percent.
    pub share_pct: f64,
    /// The resource that binds.
    pub bound_by: String,
    /// The next longest of what it needs, with its share of the time.
    pub then: String,
    /// Occupancy, and what limits it.
    pub occupancy: String,
    /// What a tenth more of the binding resource saves.
    pub saves: String,
}

/// What is told of one GPU.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Name of the GPU.
    pub gpu: String,
    /// Whole sentences, the most telling first.
    pub sentences: Vec<String>,
    /// The table below them.
    pub rows: Vec<Row>,
}

/// Explains a result, with up to `top` rows for each GPU; the error says why it cannot be.
///
/// # Errors
/// When the bytes are no JSON, or that of another command.
pub fn told(bytes: &[u8], top: usize) -> Result<Vec<Told>, String> {
    let value: Value =
        serde_json::from_slice(bytes).map_err(|error| format!("this is no JSON: {error}"))?;
    let told = if let Some(list) = value.as_array().filter(|list| !list.is_empty()) {
        list.iter().map(|result| replayed(result, top)).collect::<Option<Vec<_>>>()
    } else if value.get("operation").is_some() {
        array(&value, "results").iter().map(one_kernel).collect()
    } else {
        let frames: Vec<&Value> = array(&value, "results").iter().flat_map(frames_of).collect();
        frames.into_iter().map(|frame| rendered(frame, top)).collect()
    };
    told.filter(|told| !told.is_empty())
        .ok_or_else(|| "this is no result of kernel, replay or run".to_owned())
}

fn array<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn number(value: &Value, name: &str) -> f64 {
    value.get(name).and_then(Value::as_f64).unwrap_or(0.0)
}

fn words(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().replace('_', " ")
}

/// Frames of one GPU: the list of a path, or the only one.
fn frames_of(result: &Value) -> Vec<&Value> {
    let list = array(result, "frames");
    if list.is_empty() {
        return vec![result.get("frame").unwrap_or(result)];
    }
    list.iter().filter_map(|item| item.get("frame")).take(1).collect()
}

/// "What it is bound by" in words.
fn meaning(resource: &str) -> &'static str {
    match resource {
        "dram" => "bytes to and from device memory take longer than anything else",
        "dram rows" => {
            "scattered accesses open a new DRAM row each, which costs more than the bytes"
        }
        "l2" => "the L2 cache delivers as much as it can",
        "l1" => "the L1 caches deliver as much as they can",
        "shared memory" => "shared memory delivers as much as it can, bank conflicts included",
        "tensor" => "the tensor cores are busy",
        "fp32" | "fp64" | "fp16" | "int32" | "sfu" => "this arithmetic pipe is busy",
        "register file" => "operands come out of the register file no faster",
        "issue" => "every issue slot is taken",
        "load store" => "load and store instructions are issued no faster",
        "latency" => {
            "a chain of dependent steps is not covered by other warps: more residency or parallelism helps"
        }
        "cta launch" => "blocks start no faster than the device can launch them",
        "kernel launch" => "the launch itself takes longer than the work",
        "instruction fetch" => "code is fetched for the first time",
        "host link" | "peer link" => "the link carries as much as it can",
        _ => "this resource takes longest",
    }
}

fn one_kernel(result: &Value) -> Option<Told> {
    let cost = result.get("cost")?;
    let time_ns = number(cost, "time_ns");
    let mut rows = Vec::new();
    for kernel in array(cost, "kernels") {
        let (own_ns, bound_by) = (number(kernel, "time_ns"), words(kernel, "binding"));
        let mut busy: Vec<(String, f64)> = array(kernel, "busy_ns")
            .iter()
            .filter_map(|pair| {
                Some((pair.get(0)?.as_str()?.replace('_', " "), pair.get(1)?.as_f64()?))
            })
            .collect();
        busy.sort_by(|a, b| b.1.total_cmp(&a.1));
        let then = busy
            .iter()
            .take(3)
            .map(|(name, ns)| format!("{name} {:.0} %", ns / own_ns * 100.0))
            .collect::<Vec<_>>()
            .join(", ");
        let occupancy = kernel.get("occupancy")?;
        rows.push(Row {
            part: words(kernel, "variant"),
            time_us: own_ns / 1e3,
            share_pct: own_ns / time_ns * 100.0,
            bound_by,
            then,
            occupancy: format!(
                "{:.0} %, {} CTAs an SM, limit: {}",
                number(occupancy, "share") * 100.0,
                number(occupancy, "ctas_per_sm"),
                words(occupancy, "limit")
            ),
            saves: String::new(),
        });
    }
    let binding = words(cost, "binding");
    let mut sentences = vec![format!(
        "It takes {} µs and is bound by {binding}: {}.",
        plain(time_ns / 1e3),
        meaning(&binding)
    )];
    let buys: Vec<String> = array(result, "tenth_more")
        .iter()
        .filter_map(|pair| {
            let (name, saves) = (pair.get(0)?.as_str()?, pair.get(1)?.as_f64()?);
            (saves >= 0.05).then(|| format!("{} {saves:.1} %", name.replace('_', " ")))
        })
        .collect();
    sentences.push(if buys.is_empty() {
        "A tenth more of any single resource saves less than 0.05 %.".to_owned()
    } else {
        format!(
            "A tenth more of one resource saves: {}; of any other, less than 0.05 %.",
            buys.join(", ")
        )
    });
    for row in &mut rows {
        row.saves = format!("{:.1} %", number(result, "tenth_more_saves_pct"));
    }
    Some(Told { gpu: words(result, "gpu"), sentences, rows })
}

fn replayed(result: &Value, top: usize) -> Option<Told> {
    let totals = result.get("totals")?;
    let sum_us = number(totals, "predicted_sum_ms") * 1e3;
    let mut sentences = vec![format!(
        "{} launches take {} ms in all; from first to last {} ms.",
        number(result, "events"),
        plain(sum_us / 1e3),
        plain(number(totals, "predicted_span_ms"))
    )];
    let bound = array(result, "bound_by");
    for row in bound.iter().take(3) {
        let name = words(row, "resource");
        sentences.push(format!(
            "{:.0} % of the time is bound by {name}: {}; a tenth more of it saves {:.1} % of the whole.",
            number(row, "predicted_pct"),
            meaning(&name),
            number(row, "tenth_more_saves_pct")
        ));
    }
    let rows = array(result, "kernels").iter().take(top).map(|kernel| {
        let time_us = number(kernel, "predicted_us") * number(kernel, "count");
        Row {
            part: kernel.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            time_us,
            share_pct: time_us / sum_us.max(f64::MIN_POSITIVE) * 100.0,
            bound_by: match words(kernel, "bound_by") {
                none if none.is_empty() => "recorded duration kept".to_owned(),
                name => name,
            },
            then: format!("{} waves", plain(number(kernel, "waves"))),
            occupancy: format!(
                "{:.0} %, limit: {}",
                number(kernel, "occupancy_pct"),
                words(kernel, "occupancy_limit")
            ),
            saves: format!("{:.1} %", number(kernel, "tenth_more_saves_pct")),
        }
    });
    Some(Told { gpu: words(result, "gpu_name"), sentences, rows: rows.collect() })
}

/// The most that a tenth more of what binds can save: a pipe that is a tenth faster.
const TENTH: f64 = 1.0 - 1.0 / 1.1;

fn rendered(frame: &Value, top: usize) -> Option<Told> {
    let kernels = array(frame, "kernels");
    let all_ms = frame.get("kernels_ms")?.as_f64()?;
    let mut bound: Vec<(String, f64)> = Vec::new();
    for kernel in kernels {
        let (name, ms) = (words(kernel, "bound_by"), number(kernel, "time_ms"));
        match bound.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += ms,
            None => bound.push((name, ms)),
        }
    }
    bound.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut sentences = vec![format!(
        "The frame takes {} ms, {} of them in gaps between kernels and waits of the host.",
        plain(number(frame, "frame_ms")),
        plain(number(frame, "gaps_ms"))
    )];
    for (name, ms) in bound.iter().take(3) {
        sentences.push(format!(
            "{:.0} % of kernel time is in kernels bound by {name}: {}; a tenth more of it saves at most {:.1} %.",
            ms / all_ms * 100.0,
            meaning(name),
            ms / all_ms * TENTH * 100.0
        ));
    }
    let rows = kernels.iter().take(top).map(|kernel| {
        let hit = |name: &str, level: &str| {
            kernel.get(name).and_then(Value::as_f64).map(|hit| format!("{level} hits {hit:.0} %"))
        };
        let hits: Vec<String> =
            [hit("l1_hit_pct", "L1"), hit("l2_hit_pct", "L2")].into_iter().flatten().collect();
        Row {
            part: words(kernel, "name"),
            time_us: number(kernel, "time_ms") * 1e3,
            share_pct: number(kernel, "share_pct"),
            bound_by: words(kernel, "bound_by"),
            then: hits.join(", "),
            occupancy: String::new(),
            saves: format!("≤ {:.1} %", number(kernel, "share_pct") * TENTH),
        }
    });
    Some(Told { gpu: words(frame, "gpu_name"), sentences, rows: rows.collect() })
}
