//! `lumacycle validate power`: board power, clock curves and throttled boards.

use std::path::Path;

use lumacycle_validate::Figures;
use lumacycle_validate::power::{self, LeftOutReport, PowerReport};
use serde_json::json;

use super::catalog::{csv, json_out};
use super::report_validate::{self, FIGURES, Suite};
use super::validate::within;
use crate::args::{Format, ValidateArgs};
use crate::failure::Failure;
use crate::output;

pub fn run(args: &ValidateArgs, data: &Path) -> Result<(), Failure> {
    if args.leave_one_out {
        return leave_one_out(args, data);
    }
    let report = power::run(data, &args.gpus, args.all)?;
    match args.output.format {
        Format::Json => json_out(&args.output, &json!(report))?,
        Format::Csv => {
            let header = [
                "suite",
                "gpu",
                "benchmark",
                "rows",
                "mape_pct",
                "median_ape_pct",
                "p90_ape_pct",
                "bias_pct",
                "correlation",
                "time_mape_pct",
            ];
            let rows = report.groups.iter().map(|group| {
                let f = &group.figures;
                let mut row = vec![
                    report.suite.clone(),
                    group.gpu.clone(),
                    group.benchmark.clone(),
                    f.rows.to_string(),
                ];
                let errors =
                    [f.mape_pct, f.median_ape_pct, f.p90_ape_pct, f.bias_pct, f.correlation];
                row.extend(errors.iter().map(|value| format!("{value:.4}")));
                row.push(time_cell(group, 4));
                row
            });
            output::write(args.output.output.as_deref(), &csv(&header, rows)?)?;
        }
        Format::Table => output::write(args.output.output.as_deref(), text(&report).as_bytes())?,
    }
    if let Some(path) = &args.rows {
        output::write(Some(path), &rows_csv(&report)?)?;
    }
    if let Some(folder) = &args.report {
        report_validate::write(folder, &[suite(&report)?])?;
    }
    within(args, &report.suite, &report.overall)
}

/// Each GPU with the constants of the others.
fn leave_one_out(args: &ValidateArgs, data: &Path) -> Result<(), Failure> {
    let others = [
        ("--gpu", !args.gpus.is_empty()),
        ("--rows", args.rows.is_some()),
        ("--report", args.report.is_some()),
    ];
    if let Some((option, _)) = others.iter().find(|(_, given)| *given) {
        return Err(Failure::usage(
            format!("{option} does not go with --leave-one-out"),
            "it fits all GPUs but one and prints their errors",
        ));
    }
    let report = power::leave_one_out(data, args.all)?;
    match args.output.format {
        Format::Json => json_out(&args.output, &json!(report))?,
        Format::Csv => {
            let header = [
                "suite",
                "gpu",
                "rows",
                "mape_pct",
                "median_ape_pct",
                "p90_ape_pct",
                "bias_pct",
                "calibrated_mape_pct",
                "mean_share_mape_pct",
            ];
            let rows = report.gpus.iter().map(|one| {
                let f = &one.figures;
                let mut row = vec![report.suite.clone(), one.gpu.clone(), f.rows.to_string()];
                let errors = [
                    f.mape_pct,
                    f.median_ape_pct,
                    f.p90_ape_pct,
                    f.bias_pct,
                    one.calibrated.mape_pct,
                    one.mean_share.mape_pct,
                ];
                row.extend(errors.iter().map(|value| format!("{value:.4}")));
                row
            });
            output::write(args.output.output.as_deref(), &csv(&header, rows)?)?;
        }
        Format::Table => {
            let text = left_out_text(&report);
            output::write(args.output.output.as_deref(), text.as_bytes())?;
        }
    }
    within(args, &report.suite, &report.overall)
}

fn left_out_text(report: &LeftOutReport) -> String {
    let header = [
        "GPU left out",
        "rows",
        "MAPE %",
        "median",
        "p90",
        "bias",
        "corr.",
        "calibrated, MAPE %",
        "mean share of the limit, MAPE %",
    ];
    let mut table = output::table(&header, 1);
    for one in &report.gpus {
        let mut row = vec![one.gpu.clone()];
        row.extend(one.figures.cells());
        row.push(format!("{:.1}", one.calibrated.mape_pct));
        row.push(format!("{:.1}", one.mean_share.mape_pct));
        table.add_row(row);
    }
    let mut row = vec!["all".to_owned()];
    row.extend(report.overall.cells());
    row.extend(vec![String::new(); 2]);
    table.add_row(row);
    let mut text =
        "power of each GPU with constants that were fitted on the other GPUs only\n".to_owned();
    text.push_str(&output::render(&table));
    text.push_str(&format!(
        "  mean over GPUs: {:.1} %; the constants of each fit are in --format json\n",
        report.mean_of_gpus_pct
    ));
    text
}

/// What its page shows.
fn suite(report: &PowerReport) -> Result<Suite<'_>, Failure> {
    let groups = report.groups.iter().map(|group| {
        let mut row = vec![group.gpu.clone(), group.benchmark.clone()];
        row.extend(group.figures.cells());
        row
    });
    Ok(Suite {
        name: &report.suite,
        used: report.rows_used,
        left_out: &report.rows_left_out,
        overall: &report.overall,
        beside: vec![("the board limit for every kernel", report.baselines.board_limit.mape_pct)],
        errors: ([&["GPU", "benchmark"], &FIGURES[..]].concat(), groups.collect()),
        rows: rows_csv(report)?,
        measured: ("measured_w", "measured power (W)"),
        predicted: ("predicted_w", "predicted power (W)"),
        by: ["gpu", "benchmark"],
        told: "benchmark",
        assumptions: Vec::new(),
    })
}

fn shape(figures: &Figures) -> String {
    if figures.rows == 0 { String::new() } else { format!("{:.1}", figures.mape_pct) }
}

fn time_cell(group: &power::PowerGroup, digits: usize) -> String {
    if group.time.rows == 0 { String::new() } else { format!("{:.digits$}", group.time.mape_pct) }
}

fn rows_csv(report: &PowerReport) -> Result<Vec<u8>, Failure> {
    let header = [
        "suite",
        "gpu",
        "benchmark",
        "kernel",
        "core_mhz",
        "mem_mhz",
        "measured_w",
        "predicted_w",
        "at_measured_time_w",
        "measured_us",
        "predicted_us",
        "reference",
    ];
    let rows = report.rows.iter().map(|row| {
        vec![
            report.suite.clone(),
            row.gpu.clone(),
            row.benchmark.clone(),
            row.kernel.clone(),
            format!("{}", row.core_mhz),
            format!("{}", row.mem_mhz),
            format!("{:.4}", row.measured_w),
            format!("{:.4}", row.predicted_w),
            format!("{:.4}", row.at_measured_time_w),
            format!("{:.4}", row.measured_us),
            row.predicted_us.map_or_else(String::new, |us| format!("{us:.4}")),
            row.reference.clone(),
        ]
    });
    csv(&header, rows)
}

fn text(report: &PowerReport) -> String {
    let header = [
        "GPU",
        "benchmark",
        "rows",
        "MAPE %",
        "median",
        "p90",
        "bias",
        "corr.",
        "at measured times",
        "time MAPE %",
    ];
    let mut table = output::table(&header, 2);
    for group in &report.groups {
        let mut row = vec![group.gpu.clone(), group.benchmark.clone()];
        row.extend(group.figures.cells());
        row.push(format!("{:.1}", group.at_measured_time.mape_pct));
        row.push(time_cell(group, 1));
        table.add_row(row);
    }
    let mut row = vec!["all".to_owned(), String::new()];
    row.extend(report.overall.cells());
    row.push(format!("{:.1}", report.at_measured_time.mape_pct));
    row.push(String::new());
    table.add_row(row);
    let left: usize = report.rows_left_out.values().sum();
    let mut text = format!("power: {} rows used, {left} left out\n", report.rows_used);
    text.push_str(&output::render(&table));
    for (reason, count) in &report.rows_left_out {
        text.push_str(&format!("  left out: {count} × {reason}\n"));
    }
    let limit = report.baselines.board_limit.mape_pct;
    text.push_str(&format!("  taking the board limit for every kernel: MAPE {limit:.1} %\n\n"));
    let header = [
        "GPU",
        "benchmark",
        "clock curves",
        "best clock within a step",
        "energy lost",
        "times",
        "time over clocks, MAPE %",
        "power over clocks, MAPE %",
    ];
    let mut table = output::table(&header, 2);
    for curves in &report.clocks {
        table.add_row(vec![
            curves.gpu.clone(),
            curves.benchmark.clone(),
            curves.curves.to_string(),
            format!("{:.0} %", curves.optimum_within_a_step_pct),
            format!("{:.1} %", curves.energy_lost_pct),
            if curves.time_predicted { "predicted" } else { "as measured" }.to_owned(),
            shape(&curves.time_shape),
            shape(&curves.power_shape),
        ]);
    }
    text.push_str("energy-optimal SM clock, predicted against measured\n");
    text.push_str(&output::render(&table));
    text.push_str(
        "  over clocks: errors of what changes from a kernel's highest clocks to others\n",
    );
    if !report.throttled.is_empty() {
        let header = ["GPU", "limit", "rows", "MAPE %", "median", "p90", "bias", "corr.", "slowed"];
        let mut table = output::table(&header, 2);
        for board in &report.throttled {
            let mut row = vec![board.gpu.clone(), format!("{:.0} W", board.limit_w)];
            row.extend(board.figures.cells());
            row.push(format!(
                "{:.0} %, mean clock {:.2} of usual",
                board.slowed_pct, board.clock_share
            ));
            table.add_row(row);
        }
        text.push_str("\nGEMM times on boards that their power limit slows down\n");
        text.push_str(&output::render(&table));
    }
    text
}
