//! What binds a kernel, a trace or a frame, in plain words and one table, from the JSON of `kernel`, `replay`
//! or `run`.
//!
//! Left out: what a result does not say; values that are missing count as zero.

mod accelerated;

use serde_json::Value;

use crate::scale::plain;

/// One resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// Its name.
    pub resource: String,
    /// Time of the parts that it binds, in µs.
    pub bound_us: f64,
    /// The same as a share of the whole, in percent.
    pub bound_pct: f64,
    /// Time that it alone would need for everything, in µs, where the result says so.
    pub needed_us: Option<f64>,
    /// What a tenth more of it saves of the whole.
    pub saves: String,
}

/// One part: a kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its name.
    pub part: String,
    /// Time, in µs.
    pub time_us: f64,
    /// Share of the whole, in percent.
    pub share_pct: f64,
    /// The resource that binds.
    pub bound_by: String,
    /// What else tells about it: the next longest of what it needs, hit rates, waves.
    pub then: String,
    /// Occupancy, and what limits it.
    pub occupancy: String,
    /// What a tenth more of the binding resource saves of this part.
    pub saves: String,
}

/// What is told of one GPU.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Name of the GPU.
    pub gpu: String,
    /// Whole sentences, the most telling first.
    pub sentences: Vec<String>,
    /// Resources, the one that binds the longest first.
    pub bounds: Vec<Bound>,
    /// Parts, the longest first.
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
        let on_gpus: Option<Vec<Told>> =
            frames.into_iter().map(|frame| rendered(frame, top)).collect();
        on_gpus.zip(accelerated::told(&value)).map(|(mut on_gpus, with)| {
            on_gpus.extend(with);
            on_gpus
        })
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

/// The name of a resource as people write it.
fn named(resource: &str) -> String {
    let name = match resource {
        "dram" => "DRAM",
        "dram rows" => "DRAM rows",
        "l1" => "L1",
        "l2" => "L2",
        "tensor" => "tensor cores",
        "fp32" | "fp32 pipe" => "FP32 pipe",
        "fp64" | "fp64 pipe" => "FP64 pipe",
        "fp16" | "fp16 pipe" => "FP16 pipe",
        "int32" | "int32 pipe" => "INT32 pipe",
        "sfu" | "sfu pipe" => "special functions",
        "issue" => "issue slots",
        "load store" => "load/store",
        "cta launch" | "CTA launch" => "starting blocks",
        other => other,
    };
    name.to_owned()
}

/// What it means to be bound by a resource.
fn meaning(resource: &str) -> &'static str {
    match resource {
        "dram" => "bytes to and from device memory take longer than anything else",
        "dram rows" => {
            "scattered accesses open a new DRAM row each, which costs more than the bytes"
        }
        "l2" => "the L2 cache delivers as much as it can",
        "l1" => "the L1 caches deliver as much as they can",
        "shared memory" => "it delivers as much as it can, bank conflicts included",
        "tensor" => "matrix instructions follow each other as fast as they go",
        "fp32" | "fp64" | "fp16" | "int32" | "sfu" => "this arithmetic pipe does all it can",
        "register file" => "operands come out of the register file no faster",
        "issue" => "every issue slot is taken",
        "load store" => "load and store instructions are issued no faster",
        "latency" => {
            "a chain of dependent steps is not covered by other warps: more residency or parallelism helps"
        }
        "cta launch" => "blocks start no faster than the device can launch them",
        "kernel launch" => "the launch itself takes longer than the work",
        "instruction fetch" => "code is fetched for the first time",
        "encoding engines" => {
            "the levels of its busiest engine take longest, bank conflicts included"
        }
        "mlp engine" => "its arrays take longest to answer the samples",
        "table dma" => "what its tables miss comes no faster",
        "input dma" | "output dma" | "link to l2" => "samples come and answers go no faster",
        "host link" | "peer link" => "the link carries as much as it can",
        _ => "this resource takes longest",
    }
}

/// Occupancy in words, from its share in percent, the blocks on an SM where known, and the limit.
fn occupied(share_pct: f64, blocks: Option<f64>, limit: &str) -> String {
    if limit.is_empty() || limit == "none" {
        return String::new();
    }
    let blocks = match blocks {
        Some(1.0) => ", 1 block an SM".to_owned(),
        Some(blocks) => format!(", {blocks} blocks an SM"),
        None => String::new(),
    };
    format!("{share_pct:.0} % of warps{blocks}, limited by {limit}")
}

fn percent(value: f64) -> String {
    format!("{value:.1} %")
}

/// What a tenth more buys, in a sentence, from names with what they save in percent.
fn buys(list: &[(String, f64)]) -> String {
    let told: Vec<String> = list
        .iter()
        .filter(|(_, saves)| *saves >= 0.05)
        .map(|(name, saves)| format!("{name} {saves:.1} %"))
        .collect();
    if told.is_empty() {
        "A tenth more of any single resource saves less than 0.05 %.".to_owned()
    } else {
        format!(
            "A tenth more of one resource saves: {}; of any other, less than 0.05 %.",
            told.join(", ")
        )
    }
}

/// The same from rows of resources, most first.
fn bought(rows: &[Value]) -> String {
    let mut list: Vec<(String, f64)> = rows
        .iter()
        .map(|row| (named(&words(row, "resource")), number(row, "tenth_more_saves_pct")))
        .collect();
    list.sort_by(|a, b| b.1.total_cmp(&a.1));
    buys(&list)
}

/// Names with numbers, from a list of pairs.
fn pairs(value: &Value, name: &str) -> Vec<(String, f64)> {
    let pair =
        |pair: &Value| Some((pair.get(0)?.as_str()?.replace('_', " "), pair.get(1)?.as_f64()?));
    array(value, name).iter().filter_map(pair).collect()
}

fn one_kernel(result: &Value) -> Option<Told> {
    let cost = result.get("cost")?;
    let time_ns = cost.get("time_ns")?.as_f64()?;
    let whole_ns = time_ns.max(f64::MIN_POSITIVE);
    let more = pairs(result, "tenth_more");
    let saves =
        |resource: &str| more.iter().find(|(name, _)| name == resource).map(|(_, pct)| *pct);
    let mut rows = Vec::new();
    // By resource: time of kernels bound by it, and time that it needs.
    let mut sums: Vec<(String, f64, f64)> = Vec::new();
    let mut add = |name: &str, bound: f64, needed: f64| match sums.iter_mut().find(|s| s.0 == name)
    {
        Some(sum) => (sum.1, sum.2) = (sum.1 + bound, sum.2 + needed),
        None => sums.push((name.to_owned(), bound, needed)),
    };
    for kernel in array(cost, "kernels") {
        let (own_ns, bound_by) = (number(kernel, "time_ns"), words(kernel, "binding"));
        let mut busy = pairs(kernel, "busy_ns");
        busy.sort_by(|a, b| b.1.total_cmp(&a.1));
        add(&bound_by, own_ns, 0.0);
        for (name, ns) in &busy {
            add(name, 0.0, *ns);
        }
        let busy = busy.iter().filter(|(name, _)| *name != bound_by).take(2);
        let then = busy
            .map(|(name, ns)| {
                format!("{} {:.0} %", named(name), ns / own_ns.max(f64::MIN_POSITIVE) * 100.0)
            })
            .collect::<Vec<_>>()
            .join(", ");
        let occupancy = kernel.get("occupancy")?;
        let share_pct = number(occupancy, "share") * 100.0;
        let blocks = occupancy.get("ctas_per_sm").and_then(Value::as_f64);
        rows.push(Row {
            part: words(kernel, "variant"),
            time_us: own_ns / 1e3,
            share_pct: own_ns / whole_ns * 100.0,
            bound_by: named(&bound_by),
            then,
            occupancy: occupied(share_pct, blocks, &words(occupancy, "limit")),
            saves: String::new(),
        });
    }
    let binding = words(cost, "binding");
    let sentences = vec![
        format!(
            "It takes {} µs and is bound by {}: {}.",
            plain(time_ns / 1e3),
            named(&binding),
            meaning(&binding)
        ),
        buys(&more.iter().map(|(name, pct)| (named(name), *pct)).collect::<Vec<_>>()),
    ];
    for row in &mut rows {
        row.saves = percent(number(result, "tenth_more_saves_pct"));
    }
    sums.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.2.total_cmp(&a.2)));
    let bounds = sums.iter().map(|(name, bound_ns, needed_ns)| Bound {
        resource: named(name),
        bound_us: bound_ns / 1e3,
        bound_pct: bound_ns / whole_ns * 100.0,
        needed_us: Some(needed_ns / 1e3),
        saves: saves(name).map_or_else(String::new, percent),
    });
    Some(Told { gpu: words(result, "gpu"), sentences, bounds: bounds.collect(), rows })
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
    let (bound, all) = (array(result, "bound_by"), array(result, "resources"));
    for row in bound.iter().take(3) {
        let name = words(row, "resource");
        sentences.push(format!(
            "{:.0} % of the time is bound by {}: {}.",
            number(row, "predicted_pct"),
            named(&name),
            meaning(&name)
        ));
    }
    // Results of older versions, and of programs that did not ask, name the resources that bind.
    let listed = if all.is_empty() { bound } else { all };
    let bounds = listed.iter().map(|row| Bound {
        resource: named(&words(row, "resource")),
        bound_us: number(row, "predicted_pct") / 100.0 * sum_us,
        bound_pct: number(row, "predicted_pct"),
        needed_us: row.get("needed_pct").and_then(Value::as_f64).map(|pct| pct / 100.0 * sum_us),
        saves: percent(number(row, "tenth_more_saves_pct")),
    });
    if !all.is_empty() {
        sentences.push(bought(all));
    }
    let rows = array(result, "kernels").iter().take(top).map(|kernel| {
        let time_us = number(kernel, "predicted_us") * number(kernel, "count");
        let waves = number(kernel, "waves");
        Row {
            part: kernel.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            time_us,
            share_pct: time_us / sum_us.max(f64::MIN_POSITIVE) * 100.0,
            bound_by: match words(kernel, "bound_by") {
                none if none.is_empty() => "recorded duration kept".to_owned(),
                name => named(&name),
            },
            then: if waves > 0.0 { format!("{} waves", plain(waves)) } else { String::new() },
            occupancy: occupied(
                number(kernel, "occupancy_pct"),
                None,
                &words(kernel, "occupancy_limit"),
            ),
            saves: percent(number(kernel, "tenth_more_saves_pct")),
        }
    });
    let (bounds, rows) = (bounds.collect(), rows.collect());
    Some(Told { gpu: words(result, "gpu_name"), sentences, bounds, rows })
}

/// The most that a tenth more of what binds can save: a pipe that is a tenth faster.
const TENTH: f64 = 1.0 - 1.0 / 1.1;

/// Time by the resource that binds, in ms, where the result has no more than that.
fn by_binding(kernels: &[Value]) -> Vec<(String, f64)> {
    let mut bound: Vec<(String, f64)> = Vec::new();
    for kernel in kernels {
        let (name, ms) = (words(kernel, "bound_by"), number(kernel, "time_ms"));
        match bound.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += ms,
            None => bound.push((name, ms)),
        }
    }
    bound.sort_by(|a, b| b.1.total_cmp(&a.1));
    bound
}

fn rendered(frame: &Value, top: usize) -> Option<Told> {
    let kernels = array(frame, "kernels");
    let all_ms = frame.get("kernels_ms")?.as_f64()?;
    let share = |ms: f64| ms / all_ms.max(f64::MIN_POSITIVE) * 100.0;
    let own = frame.get("bounds");
    let mut bounds: Vec<(String, Bound)> = Vec::new();
    for row in own.map_or(&[][..], |own| array(own, "resources")) {
        let (name, ms) = (words(row, "resource"), number(row, "bound_ms"));
        let bound = Bound {
            resource: named(&name),
            bound_us: ms * 1e3,
            bound_pct: share(ms),
            needed_us: row.get("needed_ms").and_then(Value::as_f64).map(|ms| ms * 1e3),
            saves: percent(number(row, "tenth_more_saves_pct")),
        };
        bounds.push((name, bound));
    }
    if own.is_none() {
        bounds.extend(by_binding(kernels).into_iter().map(|(name, ms)| {
            let bound = Bound {
                resource: named(&name),
                bound_us: ms * 1e3,
                bound_pct: share(ms),
                needed_us: None,
                saves: format!("≤ {}", percent(share(ms) * TENTH)),
            };
            (name, bound)
        }));
    }
    let mut sentences = vec![format!(
        "The frame takes {} ms, {} of them in gaps between kernels and waits of the host.",
        plain(number(frame, "frame_ms")),
        plain(number(frame, "gaps_ms"))
    )];
    for (name, bound) in bounds.iter().filter(|(_, bound)| bound.bound_us > 0.0).take(3) {
        sentences.push(format!(
            "{:.0} % of kernel time is bound by {}: {}.",
            bound.bound_pct,
            bound.resource,
            meaning(name)
        ));
    }
    if let Some(own) = own {
        sentences.push(bought(array(own, "resources")));
    }
    let relieved = own.map_or(&[][..], |own| array(own, "kernels"));
    let rows = kernels.iter().take(top).map(|kernel| {
        let hit = |name: &str, level: &str| {
            kernel.get(name).and_then(Value::as_f64).map(|hit| format!("{level} hits {hit:.0} %"))
        };
        let hits: Vec<String> =
            [hit("l1_hit_pct", "L1"), hit("l2_hit_pct", "L2")].into_iter().flatten().collect();
        let own = relieved.iter().find(|row| row.get("name") == kernel.get("name"));
        Row {
            part: words(kernel, "name"),
            time_us: number(kernel, "time_ms") * 1e3,
            share_pct: number(kernel, "share_pct"),
            bound_by: named(&words(kernel, "bound_by")),
            then: hits.join(", "),
            occupancy: occupied(
                number(kernel, "occupancy_pct"),
                None,
                &words(kernel, "occupancy_limit"),
            ),
            saves: own.map_or_else(
                || format!("≤ {}", percent(TENTH * 100.0)),
                |row| percent(number(row, "tenth_more_saves_pct")),
            ),
        }
    });
    let (bounds, rows) = (bounds.into_iter().map(|(_, bound)| bound).collect(), rows.collect());
    Some(Told { gpu: words(frame, "gpu_name"), sentences, bounds, rows })
}
