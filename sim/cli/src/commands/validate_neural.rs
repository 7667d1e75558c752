//! `lumacycle validate neural_graphics`: published figures beside predictions.

use lumacycle_validate::NeuralReport;

use super::catalog::{csv, json_out};
use super::report_validate::{self, FIGURES, Suite};
use super::validate::within;
use crate::args::{Format, ValidateArgs};
use crate::failure::Failure;
use crate::output::{self, short};

pub fn run(args: &ValidateArgs) -> Result<(), Failure> {
    if args.data.is_some() || args.rows.is_some() {
        return Err(Failure::usage(
            "neural_graphics compares with figures that ship with the program",
            "leave --data and --rows out; --format csv lists every frame",
        ));
    }
    let report = lumacycle_validate::neural::run(&args.gpus)?;
    match args.output.format {
        Format::Json => json_out(&args.output, &serde_json::json!(report))?,
        Format::Csv => output::write(args.output.output.as_deref(), &rows_csv(&report)?)?,
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
fn suite(report: &NeuralReport) -> Result<Suite<'_>, Failure> {
    let groups = report.groups.iter().map(|group| {
        let mut row = vec![group.gpu.clone(), group.class.clone()];
        row.extend(group.figures.cells());
        row
    });
    Ok(Suite {
        name: report.suite,
        used: report.rows_used,
        left_out: &report.rows_left_out,
        overall: &report.overall,
        beside: vec![("roofline", report.baselines.roofline.mape_pct)],
        errors: ([&["GPU", "class"], &FIGURES[..]].concat(), groups.collect()),
        rows: rows_csv(report)?,
        measured: ("published_ms", "published frame time (ms)"),
        predicted: ("predicted_ms", "predicted frame time (ms)"),
        by: ["gpu", "gpu"],
        told: "GPU",
        assumptions: report.assumptions.clone(),
    })
}

/// Every row.
fn rows_csv(report: &NeuralReport) -> Result<Vec<u8>, Failure> {
    let header = [
        "what",
        "gpu",
        "width",
        "height",
        "published_ms",
        "predicted_ms",
        "roofline_ms",
        "error_pct",
        "queries_per_pixel",
        "confidence",
        "source",
        "assumed",
    ];
    let rows = report.frames.iter().map(|row| {
        let mut cells = vec![row.what.clone(), row.gpu.clone()];
        cells.extend(row.resolution.map(|n| n.to_string()));
        for value in [
            row.published_ms,
            row.predicted_ms,
            row.roofline_ms,
            row.error_pct,
            row.queries_per_pixel,
        ] {
            cells.push(format!("{value:.4}"));
        }
        cells.extend([row.confidence.clone(), row.source.clone(), row.assumed.clone()]);
        cells
    });
    csv(&header, rows)
}

fn table(report: &NeuralReport) -> String {
    let percent = |value: Option<f64>| value.map_or("–".to_owned(), |v| format!("{v:.1}"));
    let mut text = format!("{}: {} published figures\n\n", report.suite, report.rows_used);
    if !report.frames.is_empty() {
        let header =
            ["frame", "published ms", "trust", "ours ms", "error", "queries/pixel", "roofline ms"];
        let mut table = output::table(&header, 1);
        for row in &report.frames {
            let [width, height] = row.resolution;
            table.add_row([
                format!("{}, {width}x{height}", row.what),
                short(row.published_ms),
                row.confidence.clone(),
                short(row.predicted_ms),
                format!("{:+.0} %", row.error_pct),
                format!("{:.1}", row.queries_per_pixel),
                short(row.roofline_ms),
            ]);
        }
        text.push_str(&output::render(&table));
    }
    if !report.shares.is_empty() {
        text.push_str(
            "\nshares of the frame, mean of nerf, nsdf, nvr, gia at 1920x1080, in percent\n",
        );
        let header = [
            "encoding",
            "published both",
            "ours both",
            "published encoding",
            "ours encoding",
            "published MLP",
            "ours MLP",
            "ours both, by application",
        ];
        let mut table = output::table(&header, 1);
        for row in &report.shares {
            let each: Vec<String> =
                row.both_by_application_pct.iter().map(|share| format!("{share:.0}")).collect();
            table.add_row([
                row.encoding.clone(),
                format!("{:.1}", row.published_both_pct),
                format!("{:.1}", row.encoding_pct + row.mlp_pct),
                percent(row.published_encoding_pct),
                format!("{:.1}", row.encoding_pct),
                percent(row.published_mlp_pct),
                format!("{:.1}", row.mlp_pct),
                each.join(" / "),
            ]);
        }
        text.push_str(&output::render(&table));
    }
    if !report.depths.is_empty() {
        text.push_str(
            "\nthroughput of a fused perceptron of width 64, by the depth it may have had\n",
        );
        let header =
            ["hidden layers", "rows", "MAPE %", "median", "p90", "bias", "corr.", "remark"];
        let mut table = output::table(&header, 1);
        for row in &report.depths {
            let mut line = vec![row.hidden_layers.to_string()];
            line.extend(row.figures.cells());
            let remarks =
                [(row.fits_best, "fits best"), (row.configured, "sample configuration, scored")];
            let said: Vec<&str> =
                remarks.iter().filter(|(is, _)| *is).map(|(_, what)| *what).collect();
            line.push(said.join("; "));
            table.add_row(line);
        }
        text.push_str(&output::render(&table));
    }
    if report.rows_used == 0 {
        text.push_str("\nno figure could be compared\n");
    } else {
        text.push_str(&format!(
            "\nall: MAPE {:.1} %, bias {:+.1} %, roofline's MAPE {:.1} %\n",
            report.overall.mape_pct, report.overall.bias_pct, report.baselines.roofline.mape_pct
        ));
    }
    for (reason, count) in &report.rows_left_out {
        text.push_str(&format!("  left out: {count} × {reason}\n"));
    }
    for row in &report.frames {
        text.push_str(&format!("  {}: {}; {}\n", row.what, row.source, row.assumed));
    }
    text.push_str(&format!("  assuming: {}\n", report.assumptions.join("; ")));
    text
}
