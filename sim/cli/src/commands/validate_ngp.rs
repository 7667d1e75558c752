//! `lumacycle validate instant-ngp --data …`: recorded launches beside predictions.

use lumacycle_validate::{Figures, NgpReport};

use super::catalog::{csv, json_out};
use super::report_validate::{self, FIGURES, Suite};
use super::validate::within;
use crate::args::{Format, ValidateArgs};
use crate::failure::Failure;
use crate::output::{self, short};

pub fn run(args: &ValidateArgs, data: &std::path::Path) -> Result<(), Failure> {
    let report = lumacycle_validate::ngp::run(data, &args.gpus)?;
    if let Some(path) = &args.rows {
        output::write(Some(path), &rows_csv(&report)?)?;
    }
    match args.output.format {
        Format::Json => json_out(&args.output, &serde_json::json!(report))?,
        Format::Csv => {
            let header = [
                "gpu",
                "recording",
                "class",
                "rows",
                "mape_pct",
                "median_ape_pct",
                "p90_ape_pct",
                "bias_pct",
                "correlation",
                "measured_ms",
                "predicted_ms",
                "sum_error_pct",
                "roofline_mape_pct",
            ];
            let rows = report.groups.iter().map(|group| {
                let mut row = vec![group.gpu.clone(), group.recording.clone(), group.class.clone()];
                row.extend(cells(&group.figures));
                for value in [
                    group.measured_ms,
                    group.predicted_ms,
                    group.sum_error_pct,
                    group.roofline.mape_pct,
                ] {
                    row.push(format!("{value:.4}"));
                }
                row
            });
            output::write(args.output.output.as_deref(), &csv(&header, rows)?)?;
        }
        Format::Table => {
            output::write(args.output.output.as_deref(), table(&report).as_bytes())?;
        }
    }
    if let Some(folder) = &args.report {
        report_validate::write(folder, &[suite(&report)?])?;
    }
    within(args, report.suite, &report.overall)
}

/// What its page shows.
fn suite(report: &NgpReport) -> Result<Suite<'_>, Failure> {
    let groups = report.groups.iter().map(|group| {
        let mut row = vec![group.gpu.clone(), group.recording.clone(), group.class.clone()];
        row.extend(group.figures.cells());
        row
    });
    Ok(Suite {
        name: report.suite,
        used: report.rows_used,
        left_out: &report.rows_left_out,
        overall: &report.overall,
        beside: vec![("roofline", report.baselines.roofline.mape_pct)],
        errors: ([&["GPU", "recording", "class"], &FIGURES[..]].concat(), groups.collect()),
        rows: rows_csv(report)?,
        measured: ("measured_us", "measured time (µs)"),
        predicted: ("predicted_us", "predicted time (µs)"),
        by: ["class", "class"],
        told: "class",
        assumptions: report.assumptions.clone(),
    })
}

/// Every launch.
fn rows_csv(report: &NgpReport) -> Result<Vec<u8>, Failure> {
    let header = [
        "gpu",
        "recording",
        "class",
        "kernel",
        "role",
        "ctas",
        "registers",
        "start_us",
        "measured_us",
        "predicted_us",
        "roofline_us",
        "error_pct",
    ];
    let rows = report.rows.iter().map(|row| {
        let mut cells = vec![
            row.gpu.clone(),
            row.recording.clone(),
            row.class.to_owned(),
            row.kernel.clone(),
            row.role.clone(),
            row.ctas.to_string(),
            row.registers.to_string(),
        ];
        let error = (row.predicted_us / row.measured_us - 1.0) * 100.0;
        for value in [row.start_us, row.measured_us, row.predicted_us, row.roofline_us, error] {
            cells.push(format!("{value:.3}"));
        }
        cells
    });
    csv(&header, rows)
}

/// Figures as programs read them.
fn cells(f: &Figures) -> Vec<String> {
    let mut cells = vec![f.rows.to_string()];
    for value in [f.mape_pct, f.median_ape_pct, f.p90_ape_pct, f.bias_pct, f.correlation] {
        cells.push(format!("{value:.4}"));
    }
    cells
}

fn table(report: &NgpReport) -> String {
    let header = [
        "kernel",
        "rows",
        "MAPE %",
        "median",
        "p90",
        "bias",
        "corr.",
        "measured ms",
        "predicted ms",
        "error of sum",
        "roofline MAPE %",
    ];
    let left: usize = report.rows_left_out.values().sum();
    let mut text =
        format!("{}: {} launches used, {left} left out\n", report.suite, report.rows_used);
    let mut recordings: Vec<(&str, &str)> =
        report.groups.iter().map(|g| (g.gpu.as_str(), g.recording.as_str())).collect();
    recordings.dedup();
    for (gpu, recording) in recordings {
        text.push_str(&format!("\n{recording} on {gpu}\n"));
        let mut table = output::table(&header, 1);
        let mut groups: Vec<_> =
            report.groups.iter().filter(|g| g.gpu == gpu && g.recording == recording).collect();
        groups.sort_by(|a, b| b.measured_ms.total_cmp(&a.measured_ms));
        for group in groups {
            let mut row = vec![group.class.clone()];
            row.extend(group.figures.cells());
            row.extend([
                short(group.measured_ms),
                short(group.predicted_ms),
                format!("{:+.1} %", group.sum_error_pct),
                format!("{:.1}", group.roofline.mape_pct),
            ]);
            table.add_row(row);
        }
        text.push_str(&output::render(&table));
    }
    if report.rows_used == 0 {
        text.push_str("\nno launch could be compared\n");
    } else {
        text.push_str(&format!(
            "\nall: MAPE {:.1} %, bias {:+.1} %, roofline's MAPE {:.1} %; sum {} ms predicted, {} ms measured ({:+.1} %)\n",
            report.overall.mape_pct,
            report.overall.bias_pct,
            report.baselines.roofline.mape_pct,
            short(report.predicted_ms),
            short(report.measured_ms),
            report.sum_error_pct
        ));
    }
    for (reason, count) in &report.rows_left_out {
        text.push_str(&format!("  left out: {count} × {reason}\n"));
    }
    text.push_str(&format!("  assuming: {}\n", report.assumptions.join("; ")));
    text
}
