//! Tables of a replay: one GPU in depth, or several next to each other.

use std::fmt::Write as _;

use lumacycle_sim::replay::{KernelRow, ReplayResult, Totals};
use lumacycle_validate::expected;

use crate::output::{self, percent, short};

/// Share of the time that classes with measured rows must make up before an interval is stated.
const LEAST_KNOWN: f64 = 0.8;

/// The first screen: all GPUs next to each other.
pub fn summary(results: &[ReplayResult]) -> String {
    let Some(first) = results.first() else { return String::new() };
    let totals = &first.totals;
    let recorded = totals.recorded_sum_ms > 0.0;
    let origin = match (&first.recorded_gpu, recorded) {
        (Some(name), _) => format!("recorded on {name}"),
        (None, true) => "recorded on a GPU that it does not name (--recorded-gpu)".to_owned(),
        (None, false) => "without recorded times".to_owned(),
    };
    let rank = first.rank.map_or_else(String::new, |rank| format!(" (rank {rank})"));
    let mut text = format!(
        "{}{rank}: {} events, {} distinct launches, {origin}\n",
        first.recording, first.events, first.distinct,
    );
    let header = [
        "GPU",
        "kernels ms",
        "9 of 10 within",
        "busy ms",
        "span ms",
        if recorded { "vs recorded" } else { "vs first" },
        "bound mostly by",
        "10 % more saves",
        "energy mJ",
        "mean W",
    ];
    let mut table = output::table(&header, 1);
    if recorded {
        let mut row = vec![
            "(recorded)".to_owned(),
            short(totals.recorded_sum_ms),
            String::new(),
            short(totals.recorded_busy_ms),
            short(totals.recorded_span_ms),
        ];
        row.resize(header.len(), String::new());
        table.add_row(row);
    }
    for result in results {
        table.add_row(summary_row(result, totals));
    }
    text.push_str(&output::render(&table));
    text.push('\n');
    text
}

fn summary_row(result: &ReplayResult, first: &Totals) -> Vec<String> {
    let t = &result.totals;
    // What could not run takes no time, which is no speed either.
    let faster = |base: f64| {
        if t.predicted_sum_ms > 0.0 {
            format!("{:.2}x", base / t.predicted_sum_ms)
        } else {
            String::new()
        }
    };
    let versus = match (result.on_recorded_gpu, t.error_pct) {
        (true, Some(error)) => format!("error {error:+.1} % on {:.0} %", t.independent_pct),
        (true, None) => "the same".to_owned(),
        (false, _) if first.recorded_sum_ms > 0.0 => faster(first.recorded_sum_ms),
        (false, _) => faster(first.predicted_sum_ms),
    };
    let bound = result.bound_by.first();
    let classes = result.classes.iter().map(|c| (c.class, c.events, c.predicted_ms * 1e3));
    let (expected, known) =
        expected::interval_of_sum(&expected::table(), Some(result.compute_capability), classes);
    // Of what no suite measures nothing is claimed.
    let within = if known < LEAST_KNOWN {
        "not known".to_owned()
    } else {
        format!("{} to {}", short(expected.low_us / 1e3), short(expected.high_us / 1e3))
    };
    vec![
        result.gpu_name.clone(),
        short(t.predicted_sum_ms),
        within,
        short(t.predicted_busy_ms),
        short(t.predicted_span_ms),
        versus,
        mostly(result),
        bound.map_or_else(String::new, |b| format!("{:.1} %", b.tenth_more_saves_pct)),
        short(t.energy_mj),
        format!("{:.0}", t.mean_power_w),
    ]
}

/// What most of the predicted time is bound by, or that most of it is not predicted at all.
fn mostly(result: &ReplayResult) -> String {
    let predicted: f64 = result.bound_by.iter().map(|b| b.predicted_pct).sum();
    match result.bound_by.first() {
        Some(b) if b.predicted_pct >= 100.0 - predicted => {
            format!("{} ({:.0} %)", b.resource, b.predicted_pct)
        }
        Some(_) if predicted < 100.0 => format!("(kept: {:.0} %)", 100.0 - predicted),
        _ => String::new(),
    }
}

/// Classes and kernels with one column per GPU.
pub fn several_gpus(results: &[ReplayResult], top: usize) -> String {
    let Some(first) = results.first() else { return String::new() };
    let recorded = first.totals.recorded_sum_ms > 0.0;
    let mut header = vec!["class".to_owned(), "events".to_owned()];
    if recorded {
        header.push("recorded ms".to_owned());
    }
    for result in results {
        header.push(format!("{} ms", result.gpu));
        if result.on_recorded_gpu {
            header.extend(["error".to_owned(), "roofline's error".to_owned()]);
        }
    }
    let names: Vec<&str> = header.iter().map(String::as_str).collect();
    let mut table = output::table(&names, 1);
    for class in &first.classes {
        let mut row = vec![class.class.to_string(), class.events.to_string()];
        if recorded {
            row.push(short(class.recorded_ms));
        }
        for result in results {
            let same = result.classes.iter().find(|other| other.class == class.class);
            row.push(same.map_or_else(String::new, |c| short(c.predicted_ms)));
            if result.on_recorded_gpu {
                row.push(percent(same.and_then(|c| c.error_pct)));
                row.push(percent(same.and_then(|c| c.roofline_error_pct)));
            }
        }
        table.add_row(row);
    }
    let mut text = output::render(&table) + "\n";
    text.push_str(&several_kernels(results, top, recorded));
    for (result, remark) in results.iter().filter_map(|r| Some((r, r.clock_remark.as_ref()?))) {
        let _ = writeln!(text, "  note on {}: {remark}\n", result.gpu);
    }
    let _ = writeln!(text, "  assuming: {}\n", common_assumptions(results).join("; "));
    text
}

fn several_kernels(results: &[ReplayResult], top: usize, recorded: bool) -> String {
    let Some(first) = results.first() else { return String::new() };
    let mut header = vec!["kernel".to_owned(), "class".to_owned(), "n".to_owned()];
    if recorded {
        header.push("recorded us".to_owned());
    }
    for result in results {
        header.extend([format!("{} us", result.gpu), "bound by".to_owned()]);
    }
    let names: Vec<&str> = header.iter().map(String::as_str).collect();
    let mut table = output::table(&names, 2);
    let shown = shown(first.kernels.len(), top);
    for kernel in &first.kernels[..shown] {
        let mut row =
            vec![shorten(&kernel.name, 44), kernel.class.to_string(), kernel.count.to_string()];
        if recorded {
            row.push(short(kernel.recorded_us));
        }
        for result in results {
            let same = result.kernels.iter().find(|other| other.launch == kernel.launch);
            row.push(same.map_or_else(String::new, |k| short(k.predicted_us)));
            row.push(same.map_or_else(String::new, bound_by));
        }
        table.add_row(row);
    }
    output::render(&table) + &rest(first.kernels.len(), shown)
}

/// What all GPUs take for granted; clocks differ and stand in front.
fn common_assumptions(results: &[ReplayResult]) -> Vec<String> {
    let clocks: Vec<String> =
        results.iter().map(|r| format!("{} at {:.0} MHz", r.gpu, r.clock_mhz)).collect();
    let rest = results.first().map_or(&[][..], |r| r.assumptions.get(1..).unwrap_or_default());
    std::iter::once(clocks.join(", ")).chain(rest.iter().cloned()).collect()
}

/// One GPU in depth.
pub fn one_gpu(result: &ReplayResult, top: usize) -> String {
    let recorded = result.totals.recorded_sum_ms > 0.0;
    let own = result.on_recorded_gpu;
    let mut header = vec!["class", "events"];
    if recorded {
        header.push("recorded ms");
    }
    header.push("predicted ms");
    if own {
        header.extend(["error", "roofline's error"]);
    }
    header.extend(["energy mJ", "mean W"]);
    let mut table = output::table(&header, 1);
    for class in &result.classes {
        let mut row = vec![class.class.to_string(), class.events.to_string()];
        if recorded {
            row.push(short(class.recorded_ms));
        }
        row.push(short(class.predicted_ms));
        if own {
            row.extend([percent(class.error_pct), percent(class.roofline_error_pct)]);
        }
        row.push(short(class.energy_mj));
        // 1 mJ / 1 ms = 1 W.
        row.push(short(class.energy_mj / class.predicted_ms));
        table.add_row(row);
    }
    let mut text = output::render(&table);
    for row in result.known.iter().filter(|_| recorded) {
        let _ = write!(text, "  {:5.1} % of recorded time: {}", row.recorded_pct, row.meaning);
        match row.error_pct {
            Some(error) => text.push_str(&format!(" (error {error:+.1} %)\n")),
            None => text.push('\n'),
        }
    }
    text.push('\n');
    text.push_str(&kernels(result, top, recorded));
    if let Some(remark) = &result.clock_remark {
        let _ = writeln!(text, "  note: {remark}\n");
    }
    let _ = writeln!(text, "  assuming: {}\n", result.assumptions.join("; "));
    text
}

fn kernels(result: &ReplayResult, top: usize, recorded: bool) -> String {
    let own = result.on_recorded_gpu;
    let mut header = vec!["kernel", "class", "n"];
    if recorded {
        header.push("recorded us");
    }
    header.push("predicted us");
    if own {
        header.push("error");
    }
    header.extend(["bound by", "10 % more saves", "waves", "occupancy", "implementation"]);
    let mut table = output::table(&header, 2);
    let shown = shown(result.kernels.len(), top);
    for kernel in &result.kernels[..shown] {
        let mut row =
            vec![shorten(&kernel.name, 44), kernel.class.to_string(), kernel.count.to_string()];
        if recorded {
            row.push(short(kernel.recorded_us));
        }
        row.push(short(kernel.predicted_us));
        if own {
            row.push(percent(kernel.error_pct));
        }
        row.extend([
            bound_by(kernel),
            format!("{:.1} %", kernel.tenth_more_saves_pct),
            short(kernel.waves),
            format!("{:.0} %", kernel.occupancy_pct),
            kernel.variant.clone(),
        ]);
        table.add_row(row);
    }
    output::render(&table) + &rest(result.kernels.len(), shown)
}

fn shown(all: usize, top: usize) -> usize {
    if top == 0 { all } else { top.min(all) }
}

fn rest(all: usize, shown: usize) -> String {
    if shown < all {
        format!("  {} more distinct launches; --top 0 or --format csv shows all\n", all - shown)
    } else {
        String::new()
    }
}

fn bound_by(kernel: &KernelRow) -> String {
    kernel.bound_by.map_or_else(|| "(kept)".to_owned(), |resource| resource.to_string())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_at_their_telling_part() {
        assert_eq!(shorten("void at::native::reduce_kernel", 40), "reduce_kernel");
        assert_eq!(shorten("abcdefgh", 5), "abcd…");
    }
}
