//! `lumacycle validate rtnerf`: the published figures of RT-NeRF beside the model.

use std::fmt::Write as _;

use lumacycle_validate::RtnerfReport;
use lumacycle_validate::ngpc::Meaning;

use super::catalog::{csv, json_out};
use super::report_validate::{self, FIGURES, Suite};
use super::validate::{ships_with_figures, within};
use crate::args::{Format, ValidateArgs};
use crate::failure::Failure;
use crate::output::{self, percent, short};

pub fn run(args: &ValidateArgs) -> Result<(), Failure> {
    ships_with_figures(args, "rtnerf", "of GPUs of their own")?;
    let report = lumacycle_validate::rtnerf::run()?;
    match args.output.format {
        Format::Json => json_out(&args.output, &serde_json::json!(report))?,
        Format::Csv => output::write(args.output.output.as_deref(), &rows_csv(&report)?)?,
        Format::Table => output::write(args.output.output.as_deref(), table(&report).as_bytes())?,
    }
    if let Some(folder) = &args.report {
        report_validate::write(folder, &[suite(&report)?])?;
    }
    within(args, report.suite, &report.overall)
}

/// What its page shows.
fn suite(report: &RtnerfReport) -> Result<Suite<'_>, Failure> {
    let groups = report.groups.iter().map(|group| {
        let mut row = vec![group.class.clone()];
        row.extend(group.figures.cells());
        row
    });
    Ok(Suite {
        name: report.suite,
        used: report.rows_used,
        left_out: &report.rows_left_out,
        overall: &report.overall,
        beside: Vec::new(),
        errors: ([&["class"], &FIGURES[..]].concat(), groups.collect()),
        rows: rows_csv(report)?,
        measured: ("published", "published (each in its unit)"),
        predicted: ("predicted", "predicted (each in its unit)"),
        by: ["class", "confidence"],
        told: "confidence in the published figure: A from the abstract, A- stated alike by two independent papers, B by one, \
               D derived from others, R recalled and not seen again",
        assumptions: report.assumptions.clone(),
    })
}

/// Every row.
fn rows_csv(report: &RtnerfReport) -> Result<Vec<u8>, Failure> {
    let header = [
        "class",
        "what",
        "published",
        "meaning",
        "predicted",
        "error_pct",
        "confidence",
        "counted",
        "why_not",
    ];
    let number = |value: Option<f64>| value.map_or_else(String::new, |v| format!("{v:.4}"));
    let rows = report.rows.iter().map(|row| {
        vec![
            row.class.clone(),
            row.what.clone(),
            row.published.to_string(),
            row.meaning.words().to_owned(),
            number(row.predicted),
            number(row.error_pct),
            row.confidence.clone(),
            row.counted.to_string(),
            row.why_not.clone().unwrap_or_default(),
        ]
    });
    csv(&header, rows)
}

fn table(report: &RtnerfReport) -> String {
    let mut text = format!("{}: {} published figures\n\n", report.suite, report.rows.len());
    let mut table =
        output::table(&["", "what", "published", "confidence", "model", "error", "remark"], 2);
    for row in &report.rows {
        let error = match (row.meaning, row.error_pct) {
            (Meaning::AtLeast | Meaning::AtMost, Some(0.0)) => "holds".to_owned(),
            (_, error) => percent(error),
        };
        table.add_row([
            row.class.clone(),
            row.what.clone(),
            format!("{} {}", row.meaning.words(), short(row.published)).trim().to_owned(),
            row.confidence.clone(),
            row.predicted.map_or_else(|| "unknown".to_owned(), short),
            error,
            row.why_not.clone().unwrap_or_else(|| "counts".to_owned()),
        ]);
    }
    text.push_str(&output::render(&table));
    text.push_str("\nscene by scene, 800 x 800; objects stand for the published scenes\n");
    let header = [
        "scene",
        "",
        "edge per s",
        "mJ",
        "W",
        "DRAM MB",
        "bound by",
        "shaded M",
        "zeros",
        "cloud per s",
        "cloud W",
    ];
    let gpus: Vec<String> =
        report.scenes.first().map(|s| s.gpu_fps.keys().cloned().collect()).unwrap_or_default();
    let mut columns: Vec<&str> = header.to_vec();
    columns.extend(gpus.iter().map(String::as_str));
    let mut table = output::table(&columns, 2);
    for scene in &report.scenes {
        let mut row = vec![
            scene.scene.clone(),
            if scene.object { "object" } else { "" }.to_owned(),
            short(scene.edge_fps),
            short(scene.edge_mj),
            short(scene.edge_w),
            short(scene.dram_mb),
            scene.bound_by.to_owned(),
            short(scene.shaded_m),
            format!("{:.0} %", scene.sparsity_pct),
            short(scene.cloud_fps),
            short(scene.cloud_w),
        ];
        row.extend(scene.gpu_fps.values().map(|fps| short(*fps)));
        table.add_row(row);
    }
    text.push_str(&output::render(&table));
    text.push_str("\npairs of devices that the published range may stand for, over objects\n");
    let mut table = output::table(&["accelerator", "TensoRF on", "least", "most"], 2);
    for pair in &report.pairings {
        table.add_row([
            pair.accelerator.clone(),
            pair.gpu.clone(),
            short(pair.range[0]),
            short(pair.range[1]),
        ]);
    }
    text.push_str(&output::render(&table));
    let (fps, area, power) = report.base;
    let _ = write!(
        text,
        "\nfree parameters on the digger: {} frames a second, {} mm2, {} W as described\n",
        short(fps),
        short(area),
        short(power)
    );
    let header =
        ["varied", "per s, low", "per s, high", "mm2, low", "mm2, high", "W, low", "W, high"];
    let mut table = output::table(&header, 1);
    for range in &report.free {
        let mut row = vec![range.name.clone()];
        let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), short);
        for ends in [range.fps, range.area_mm2, range.power_w] {
            row.extend(ends.map(number));
        }
        table.add_row(row);
    }
    text.push_str(&output::render(&table));
    let _ = write!(
        text,
        "\nvalues that count (confidence A and B, not used, comparable): {}, MAPE {:.1} %; {} of {} bounds hold\n",
        report.overall.rows, report.overall.mape_pct, report.bounds_held, report.bounds
    );
    for (reason, count) in &report.rows_left_out {
        let _ = writeln!(text, "  listed beside: {count} × {reason}");
    }
    let _ = writeln!(text, "\n  assuming: {}", report.assumptions.join("; "));
    text
}
