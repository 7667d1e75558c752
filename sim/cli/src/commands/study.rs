//! `lumacycle study FILE.toml`: a question answered by a grid of systems.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use lumacycle_sim::study::{Outcome, Study, StudyError, figure};
use miette::NamedSource;
use serde_json::json;

use super::catalog::{csv, json_out};
use crate::args::{Format, StudyArgs};
use crate::failure::Failure;
use crate::output::{self, short};

pub fn run(args: &StudyArgs) -> Result<(), Failure> {
    let size = match &args.resolution {
        None => None,
        Some(text) => {
            let (width, height, _) = super::inputs::resolution(text)?;
            Some([width, height])
        }
    };
    let mut outcomes = Vec::new();
    for path in &args.files {
        let file = path.display().to_string();
        let text = super::description(path)?;
        let told = |error: StudyError| match error.span.clone() {
            Some(span) => Failure::BadText {
                what: error.what,
                help: error.help,
                span: span.into(),
                source_code: Arc::new(NamedSource::new(&file, text.clone())),
            },
            None => Failure::BadScene { file: file.clone(), what: error.what, help: error.help },
        };
        let study = Study::parse(&text).map_err(told)?;
        let outcome = study.run(size).map_err(told)?;
        if let Some(folder) = &args.out {
            keep(folder, &file, &study, &outcome)?;
        }
        outcomes.push(outcome);
    }
    match args.output.format {
        Format::Json => json_out(&args.output, &json!(outcomes)),
        Format::Csv => {
            let mut bytes = Vec::new();
            for outcome in &outcomes {
                bytes.extend(rows(outcome)?);
            }
            output::write(args.output.output.as_deref(), &bytes)
        }
        Format::Table => {
            let text: String = outcomes.iter().map(told).collect();
            output::write(args.output.output.as_deref(), text.as_bytes())
        }
    }
}

/// Writes page, data and figure of a study into a folder.
fn keep(folder: &Path, file: &str, study: &Study, outcome: &Outcome) -> Result<(), Failure> {
    let mut page = format!("# {}\n\n{}\n", outcome.question, outcome.finding);
    let mut drawn = None;
    if let Some(figure) = &study.figure {
        drawn =
            Some(figure::svg(outcome, figure).map_err(|error| {
                Failure::usage(error.to_string(), "choose another metric for y")
            })?);
        let _ = write!(page, "\n![{}]({}.svg)\n", figure.label, outcome.name);
    }
    let header: Vec<&str> = outcome.axes.iter().chain(&outcome.shown).map(String::as_str).collect();
    let _ = write!(page, "\n| {} |\n|{}\n", header.join(" | "), "---|".repeat(header.len()));
    for cells in cells(outcome) {
        let _ = writeln!(page, "| {} |", cells.join(" | "));
    }
    let _ = write!(
        page,
        "\nMade by `lumacycle study {} --out DIR`; all metrics are in [{1}.csv]({1}.csv).\n",
        file, outcome.name
    );
    let data = rows(outcome)?;
    // Nothing is written before everything is there.
    output::folder(folder)?;
    let at = |extension: &str| folder.join(format!("{}.{extension}", outcome.name));
    output::write(Some(&at("csv")), &data)?;
    if let Some(svg) = drawn {
        output::write(Some(&at("svg")), svg.as_bytes())?;
    }
    output::write(Some(&at("md")), page.as_bytes())
}

fn cells(outcome: &Outcome) -> Vec<Vec<String>> {
    let metric = |row: &lumacycle_sim::study::Row, name: &str| {
        row.metrics.get(name).map_or_else(|| "–".to_owned(), short)
    };
    let row = |row: &lumacycle_sim::study::Row| {
        let settings = row.settings.iter().map(|(_, value)| value.clone());
        settings.chain(outcome.shown.iter().map(|name| metric(row, name))).collect()
    };
    outcome.rows.iter().map(row).collect()
}

fn told(outcome: &Outcome) -> String {
    let header: Vec<&str> = outcome.axes.iter().chain(&outcome.shown).map(String::as_str).collect();
    let mut table = output::table(&header, outcome.axes.len());
    for row in cells(outcome) {
        table.add_row(row);
    }
    format!("{}\n\n{}\n{}\n\n", outcome.question, output::render(&table), outcome.finding)
}

/// All metrics of all systems.
fn rows(outcome: &Outcome) -> Result<Vec<u8>, Failure> {
    let metrics = lumacycle_sim::study::METRICS;
    let header: Vec<&str> =
        outcome.axes.iter().map(String::as_str).chain(metrics.iter().copied()).collect();
    let rows = outcome.rows.iter().map(|row| {
        let settings = row.settings.iter().map(|(_, value)| value.clone());
        let number =
            |name: &&str| row.metrics.get(name).map_or_else(String::new, |v| format!("{v:.6}"));
        settings.chain(metrics.iter().map(number)).collect()
    });
    csv(&header, rows)
}
