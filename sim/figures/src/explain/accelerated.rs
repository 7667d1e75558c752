//! What binds a frame with an accelerator: one beside a GPU, or one that renders by itself.
//!
//! Rows are units with what they do while they do not work. Left out: further frames of a path, as for GPUs.

use serde_json::Value;

use super::{Bound, Row, Told, array, buys, meaning, named, number, percent, words};
use crate::scale::plain;

/// The first frame of each accelerator of a result.
pub(super) fn told(value: &Value) -> Option<Vec<Told>> {
    let firsts = array(value, "accelerated").iter().filter_map(|list| {
        let frame = array(list, "frames").first()?.get("frame")?;
        Some((list, frame))
    });
    firsts
        .map(|(list, frame)| match frame.get("frame") {
            Some(own) => alone(frame, own),
            None => beside(list, frame),
        })
        .collect()
}

/// What to call a unit.
fn unit(name: &str) -> &str {
    match name {
        "encoding" => "encoding engines",
        "mlp" => "MLP engine",
        "input" => "input DMA",
        "output" => "output DMA",
        "tables" => "table DMA",
        "link" => "link to L2",
        "dram" | "memory" => "DRAM",
        "dram rows" => "DRAM rows",
        "decode" => "search and decode",
        "shading" => "MLP",
        other => other,
    }
}

/// Resources that a unit is made of, as the list of resources calls them.
fn made_of(name: &str) -> Vec<&str> {
    match name {
        "memory" => vec!["DRAM bandwidth", "DMA channel"],
        "decode" => vec!["search units", "adder and search trees", "factor SRAM banks"],
        "interpolation" => vec!["interpolation lanes", "pixel SRAM banks"],
        "shading" => vec!["MLP arrays"],
        other => vec![unit(other)],
    }
}

/// What a tenth more of the resource saves that a unit is short of most, where that was asked; with its name, if the
/// unit is made of several.
fn saves(frame: &Value, name: &str) -> String {
    let resources = made_of(name);
    let asked = array(frame, "bounds")
        .iter()
        .map(|row| (words(row, "resource"), number(row, "tenth_more_saves_pct")))
        .filter(|(resource, _)| resources.contains(&resource.as_str()));
    let most = asked.reduce(|most, next| if next.1 > most.1 { next } else { most });
    match most {
        None => String::new(),
        Some((_, pct)) if resources.len() == 1 => percent(pct),
        Some((resource, pct)) => format!("{} ({})", percent(pct), named(&resource)),
    }
}

/// Resources by what they save, most first, with the sentence that says so.
fn resources(frame: &Value, frame_ms: f64) -> (Vec<Bound>, Option<String>) {
    let rows = array(frame, "bounds");
    let name = |row: &Value| {
        let name = named(&words(row, "resource"));
        match row.get("side").and_then(Value::as_str) {
            Some("gpu") => format!("{name} of the GPU"),
            Some("both") => format!("{name} of both"),
            _ => name,
        }
    };
    let bounds = rows.iter().map(|row| {
        let ms = number(row, "bound_ms");
        Bound {
            resource: name(row),
            bound_us: ms * 1e3,
            bound_pct: share(ms, frame_ms),
            needed_us: row.get("needed_ms").and_then(Value::as_f64).map(|ms| ms * 1e3),
            saves: percent(number(row, "tenth_more_saves_pct")),
        }
    });
    let saved: Vec<(String, f64)> =
        rows.iter().map(|row| (name(row), number(row, "tenth_more_saves_pct"))).collect();
    (bounds.collect(), (!rows.is_empty()).then(|| buys(&saved)))
}

fn share(ms: f64, frame_ms: f64) -> f64 {
    ms / frame_ms.max(f64::MIN_POSITIVE) * 100.0
}

/// An accelerator beside a GPU.
fn beside(list: &Value, frame: &Value) -> Option<Told> {
    let frame_ms = frame.get("frame_ms")?.as_f64()?;
    let (gpu_ms, own_ms) = (number(frame, "gpu_ms"), number(frame, "accelerator_ms"));
    let binding = words(frame, "accelerator_bound_by");
    let binding = unit(&binding);
    let (bounds, bought) = resources(frame, frame_ms);
    let mut sentences = vec![
        format!(
            "The frame takes {} ms: the GPU computes for {} ms of them, the accelerator for {} ms; the GPU alone \
             would take {} ms.",
            plain(frame_ms),
            plain(gpu_ms),
            plain(own_ms),
            plain(number(frame, "gpu_alone_ms"))
        ),
        format!("The accelerator is bound by {binding}: {}.", meaning(&binding.to_lowercase())),
    ];
    let of_gpu = |row: &&Value| number(row, "gpu_bound_ms");
    let most = array(frame, "bounds")
        .iter()
        .filter(|row| of_gpu(row) > 0.0)
        .max_by(|a, b| of_gpu(a).total_cmp(&of_gpu(b)));
    sentences.extend(bought);
    let idle = |ms: f64| (100.0 - share(ms, frame_ms)).max(0.0);
    let mut rows = vec![Row {
        part: "kernels that stay on the GPU".to_owned(),
        time_us: gpu_ms * 1e3,
        share_pct: share(gpu_ms, frame_ms),
        bound_by: most.map_or_else(String::new, |row| named(&words(row, "resource"))),
        then: format!("idle {:.0} %", idle(gpu_ms)),
        occupancy: String::new(),
        saves: String::new(),
    }];
    for row in array(frame, "busy") {
        let busy_pct = number(row, "busy_pct");
        if busy_pct <= 0.0 {
            continue;
        }
        let own = words(row, "unit");
        let name = unit(&own);
        let stalled = (share(own_ms, frame_ms) - busy_pct).max(0.0);
        rows.push(Row {
            part: name.to_owned(),
            time_us: busy_pct / 100.0 * frame_ms * 1e3,
            share_pct: busy_pct,
            bound_by: if name == binding { "itself".to_owned() } else { binding.to_owned() },
            then: format!("stalled {stalled:.0} %, idle {:.0} %", idle(own_ms)),
            occupancy: String::new(),
            saves: saves(frame, &own),
        });
    }
    rows[1..].sort_by(|a, b| b.time_us.total_cmp(&a.time_us));
    let gpu = list.get("gpu_name").and_then(Value::as_str).unwrap_or_default();
    let gpu = format!("{gpu} with {}", named(&words(frame, "accelerator_name")));
    Some(Told { gpu, sentences, bounds, rows })
}

/// An accelerator that renders by itself.
fn alone(result: &Value, frame: &Value) -> Option<Told> {
    let frame_ms = frame.get("frame_ms")?.as_f64()?;
    let binding = words(frame, "bound_by");
    let busy = |name: &str| {
        let row = array(frame, "units").iter().find(|row| words(row, "unit") == name);
        row.map_or(0.0, |row| number(row, "busy_pct"))
    };
    let (bounds, bought) = resources(result, frame_ms);
    let mut sentences = vec![format!(
        "The frame takes {} ms; its busiest unit is {}, at work for {:.0} % of them.",
        plain(frame_ms),
        unit(&binding),
        busy(&binding)
    )];
    sentences.extend(bought);
    let rows = array(frame, "units").iter().map(|row| {
        let name = words(row, "unit");
        let part = unit(&name);
        let (starved, blocked) = (number(row, "starved_pct"), number(row, "blocked_pct"));
        let bound_by = if name == binding {
            "itself"
        } else if blocked > starved {
            "what comes behind"
        } else {
            "what comes before"
        };
        Row {
            part: part.to_owned(),
            time_us: number(row, "busy_pct") / 100.0 * frame_ms * 1e3,
            share_pct: number(row, "busy_pct"),
            bound_by: bound_by.to_owned(),
            then: format!("starved {starved:.0} %, blocked {blocked:.0} %"),
            occupancy: String::new(),
            saves: saves(result, &name),
        }
    });
    let rows = rows.collect();
    Some(Told { gpu: words(result, "accelerator_name"), sentences, bounds, rows })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn units_beside_a_gpu_stall_and_idle() {
        let value = json!({"results": [], "accelerated": [{"gpu_name": "A GPU", "frames": [{"at": 0.5, "frame": {
        "accelerator_name": "NGPC", "frame_ms": 10.0, "gpu_ms": 8.0, "accelerator_ms": 4.0, "gpu_alone_ms": 20.0,
        "accelerator_bound_by": "dram_rows",
        "busy": [{"unit": "mlp", "busy_pct": 10.0}, {"unit": "dram", "busy_pct": 30.0}, {"unit": "dram_rows", "busy_pct": 40.0}, {"unit": "link", "busy_pct": 0.0}],
        "bounds": [
            {"side": "both", "resource": "DRAM rows", "bound_ms": 9.0, "gpu_bound_ms": 1.0, "needed_ms": 7.0, "tenth_more_saves_pct": 4.3},
            {"side": "gpu", "resource": "register file", "bound_ms": 3.0, "gpu_bound_ms": 3.0, "needed_ms": 3.0, "tenth_more_saves_pct": 1.4},
            {"side": "both", "resource": "DRAM", "bound_ms": 0.0, "needed_ms": 6.0, "tenth_more_saves_pct": 0.2},
            {"side": "accelerator", "resource": "MLP engine", "bound_ms": 0.0, "needed_ms": 1.0, "tenth_more_saves_pct": 0.0},
        ]}}]}]});
        let told = told(&value).unwrap();
        assert_eq!(told[0].gpu, "A GPU with NGPC");
        let names: Vec<&str> = told[0].bounds.iter().map(|b| b.resource.as_str()).collect();
        assert_eq!(
            names,
            ["DRAM rows of both", "register file of the GPU", "DRAM of both", "MLP engine"]
        );
        assert_eq!(told[0].bounds[0].bound_pct, 90.0);
        assert_eq!(told[0].rows[0].bound_by, "register file");
        let rows: Vec<(&str, &str, &str)> = told[0]
            .rows
            .iter()
            .map(|r| (r.part.as_str(), r.then.as_str(), r.saves.as_str()))
            .collect();
        assert_eq!(
            rows,
            [
                ("kernels that stay on the GPU", "idle 20 %", ""),
                ("DRAM rows", "stalled 0 %, idle 60 %", "4.3 %"),
                ("DRAM", "stalled 10 %, idle 60 %", "0.2 %"),
                ("MLP engine", "stalled 30 %, idle 60 %", "0.0 %"),
            ]
        );
        assert!(
            told[0].sentences[2]
                .contains("DRAM rows of both 4.3 %, register file of the GPU 1.4 %,")
        );
    }

    #[test]
    fn units_in_a_row_starve_and_block() {
        let value = json!({"accelerated": [{"frames": [{"at": 0.5, "frame": {"accelerator_name": "RT", "frame": {
            "frame_ms": 2.0, "bound_by": "shading", "units": [
                {"unit": "geometry", "busy_pct": 10.0, "starved_pct": 0.0, "blocked_pct": 90.0},
                {"unit": "decode", "busy_pct": 20.0, "starved_pct": 0.0, "blocked_pct": 80.0},
                {"unit": "shading", "busy_pct": 95.0, "starved_pct": 5.0, "blocked_pct": 0.0}]},
            "bounds": [
                {"resource": "MLP arrays", "bound_ms": 2.0, "needed_ms": 1.9, "tenth_more_saves_pct": 8.6},
                {"resource": "search units", "bound_ms": 0.0, "needed_ms": 0.2, "tenth_more_saves_pct": 0.2},
                {"resource": "factor SRAM banks", "bound_ms": 0.0, "needed_ms": 0.3, "tenth_more_saves_pct": 0.7}]}}]}]});
        let told = told(&value).unwrap();
        assert_eq!(
            told[0].sentences[0],
            "The frame takes 2 ms; its busiest unit is MLP, at work for 95 % of them."
        );
        assert_eq!(told[0].rows[0].bound_by, "what comes behind");
        assert_eq!(
            (told[0].rows[2].bound_by.as_str(), told[0].rows[2].saves.as_str()),
            ("itself", "8.6 %")
        );
        let decode = &told[0].rows[1];
        assert_eq!(
            (decode.part.as_str(), decode.saves.as_str()),
            ("search and decode", "0.7 % (factor SRAM banks)")
        );
    }
}
