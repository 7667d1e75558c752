//! `lumacycle validate ngpc`: the published figures of NGPC beside its emulator.

use std::fmt::Write as _;

use lumacycle_validate::NgpcReport;
use lumacycle_validate::ngpc::Meaning;

use super::catalog::{csv, json_out};
use super::report_validate::{self, FIGURES, Suite};
use super::validate::{ships_with_figures, within};
use crate::args::{Format, ValidateArgs};
use crate::failure::Failure;
use crate::output::{self, short};

pub fn run(args: &ValidateArgs) -> Result<(), Failure> {
    ships_with_figures(args, "ngpc", "all of one GPU")?;
    let report = lumacycle_validate::ngpc::run()?;
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
fn suite(report: &NgpcReport) -> Result<Suite<'_>, Failure> {
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
        beside: vec![("with own frames", report.own_inputs.mape_pct)],
        errors: ([&["GPU", "class"], &FIGURES[..]].concat(), groups.collect()),
        rows: rows_csv(report)?,
        measured: ("published", "published (each in its unit)"),
        predicted: ("predicted", "predicted (each in its unit)"),
        by: ["class", "confidence"],
        told: "confidence in the published figure: A from the abstract, B quoted alike by several or checked by arithmetic, \
               C quoted once, D derived from others, R recalled and not seen again",
        assumptions: report.assumptions.clone(),
    })
}

/// Every row.
fn rows_csv(report: &NgpcReport) -> Result<Vec<u8>, Failure> {
    let header = [
        "class",
        "what",
        "units",
        "published",
        "meaning",
        "predicted",
        "error_pct",
        "own_inputs",
        "confidence",
        "used",
        "derived",
    ];
    let rows = report.rows.iter().map(|row| {
        vec![
            row.class.clone(),
            row.what.clone(),
            row.units.map_or_else(String::new, |units| units.to_string()),
            row.published.to_string(),
            row.meaning.words().to_owned(),
            format!("{:.4}", row.predicted),
            format!("{:.3}", row.error_pct),
            row.own_inputs.map_or_else(String::new, |own| format!("{own:.4}")),
            row.confidence.clone(),
            row.used.to_string(),
            row.derived.to_string(),
        ]
    });
    csv(&header, rows)
}

fn table(report: &NgpcReport) -> String {
    let mut text = format!("{}: {} published figures\n\n", report.suite, report.rows.len());
    let header = [
        "",
        "what",
        "processors",
        "published",
        "confidence",
        "emulator",
        "error",
        "with own frames",
        "remark",
    ];
    let mut table = output::table(&header, 2);
    for row in &report.rows {
        let percent = if row.error_pct.abs() < 0.05 { 0.0 } else { row.error_pct };
        let error = match row.meaning {
            Meaning::Value => format!("{percent:+.1} %"),
            _ if row.error_pct == 0.0 => "holds".to_owned(),
            _ => format!("{percent:+.1} %"),
        };
        let number = |value: f64| {
            if row.class == "plateau" || row.class == "rounds" {
                format!("{value:.0}")
            } else {
                short(value)
            }
        };
        table.add_row([
            row.class.clone(),
            row.what.clone(),
            row.units.map_or_else(String::new, |units| units.to_string()),
            format!("{} {}", row.meaning.words(), number(row.published)).trim().to_owned(),
            row.confidence.clone(),
            number(row.predicted),
            error,
            row.own_inputs.map_or_else(|| "–".to_owned(), number),
            match (row.used, row.derived) {
                (true, _) => "used".to_owned(),
                (_, true) => "no test".to_owned(),
                _ => String::new(),
            },
        ]);
    }
    text.push_str(&output::render(&table));
    let _ = write!(
        text,
        "\nemulator: the paper's arithmetic with its inputs, of which four rest shares and three sample \
         counts are\nreconstructed from the figures marked as used, which therefore test nothing; own \
         frames: the same arithmetic\nwith GPU times and samples of ours\n\n"
    );
    text.push_str(&inputs(report));
    let _ = write!(
        text,
        "\nvalues of confidence A and B: {}, MAPE {:.1} %, median {:.1} %; values that test something, of any \
         confidence: {}, MAPE {:.1} %,\nmedian {:.1} %; {} of {} bounds hold\naverages of the dense encodings by \
         plain proportion to the GPU's time: MAPE {:.1} %, so the emulator adds little to that\naverages with own \
         frames: MAPE {:.1} %, bias {:+.1} %\nthe published figures go together for clocks from {:.2} to {:.2} GHz\n",
        report.overall.rows,
        report.overall.mape_pct,
        report.overall.median_ape_pct,
        report.independent.rows,
        report.independent.mape_pct,
        report.independent.median_ape_pct,
        report.bounds_held,
        report.bounds,
        report.proportion.mape_pct,
        report.own_inputs.mape_pct,
        report.own_inputs.bias_pct,
        report.clock_range_ghz.0,
        report.clock_range_ghz.1
    );
    for (reason, count) in &report.rows_left_out {
        let _ = writeln!(text, "  left out of the first: {count} × {reason}");
    }
    text.push_str("\nwhat does not go together\n");
    for contradiction in &report.contradictions {
        let _ = writeln!(text, "  {}: {}", contradiction.what, contradiction.verdict);
    }
    let _ = writeln!(text, "\n  assuming: {}", report.assumptions.join("; "));
    text
}

/// The emulator's inputs, and frame rates with them.
fn inputs(report: &NgpcReport) -> String {
    let mut text = String::new();
    let header = ["application", "GPU frame ms", "confidence", "rest %", "samples/pixel", "passes"];
    let mut table = output::table(&header, 1);
    for app in &report.reconstructed {
        table.add_row([
            app.application.clone(),
            short(app.frame_ms),
            app.confidence.clone(),
            format!("{:.1}", app.rest_pct),
            format!("{:.2}", app.samples_per_pixel),
            format!("{:.0}", app.passes),
        ]);
    }
    text.push_str(&output::render(&table));
    text.push_str("\nframes a second with the hash grid: emulator (with own frames)\n");
    let header = ["application", "processors", "1920 x 1080", "3840 x 2160", "7680 x 4320"];
    let mut table = output::table(&header, 1);
    for rates in &report.frame_rates {
        let units = if rates.units == 0 { "GPU alone".to_owned() } else { rates.units.to_string() };
        let mut row = vec![rates.application.to_owned(), units];
        let both = rates.emulated.iter().zip(rates.own);
        row.extend(both.map(|(paper, own)| format!("{} ({})", short(*paper), short(own))));
        table.add_row(row);
    }
    text.push_str(&output::render(&table));
    text
}
