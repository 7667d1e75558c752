//! `lumacycle study FILE.toml`: a question answered by a grid of systems.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use lumacycle_figures::words::worded;
use lumacycle_figures::{FigureError, Kind, Options, Table, Theme, titled};
use lumacycle_sim::study::{self, Outcome, Study, StudyError};
use miette::NamedSource;
use serde_json::json;

use super::catalog::{csv, json_out};
use crate::args::{Format, StudyArgs};
use crate::failure::Failure;
use crate::output::{self, short};

pub fn run(args: &StudyArgs) -> Result<(), Failure> {
    output::possible(&[args.output.output.as_deref()], args.out.as_deref())?;
    let size = match &args.resolution {
        None => None,
        Some(text) => {
            let (width, height, _) = super::inputs::resolution(text)?;
            Some([width, height])
        }
    };
    // All files are read before any is run.
    let mut studies: Vec<(String, String, Study)> = Vec::new();
    for path in &args.files {
        let file = path.display().to_string();
        let text = super::description(path)?;
        let study = Study::parse(&text).map_err(|error| failed(&file, &text, error))?;
        if let Some((other, ..)) = studies.iter().find(|(_, _, known)| known.name == study.name) {
            return Err(Failure::usage(
                format!("{other} and {file} are both called \"{}\"", study.name),
                "files are named after studies: give each a name of its own",
            ));
        }
        studies.push((file, text, study));
    }
    let mut outcomes = Vec::new();
    for (file, text, study) in &studies {
        let outcome = study.run(size).map_err(|error| failed(file, text, error))?;
        if let Some(folder) = &args.out {
            let how = args.resolution.as_ref().map(|size| format!(" --resolution {size}"));
            keep(folder, &format!("{file}{}", how.unwrap_or_default()), study, &outcome)?;
        }
        outcomes.push(outcome);
    }
    match args.output.format {
        Format::Json => json_out(&args.output, &json!(outcomes)),
        Format::Csv => {
            // Studies have other axes each, so each begins with a header of its own.
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

pub(super) fn failed(file: &str, text: &str, error: StudyError) -> Failure {
    match error.span.clone() {
        Some(span) => Failure::BadText {
            what: error.what,
            help: error.help,
            span: span.into(),
            source_code: Arc::new(NamedSource::new(file, text.to_owned())),
        },
        None => Failure::BadScene { file: file.to_owned(), what: error.what, help: error.help },
    }
}

/// Text that stays in its cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ").replace('<', "&lt;")
}

/// Writes page, data and figure of a study into a folder.
fn keep(folder: &Path, file: &str, study: &Study, outcome: &Outcome) -> Result<(), Failure> {
    let mut page = format!("# {}\n\n{}\n", outcome.question, outcome.finding);
    let mut drawn = None;
    if let Some(figure) = &study.figure {
        drawn = Some(svg(outcome, figure).map_err(|error| {
            let what = format!("the figure of {} cannot be drawn: {error}", outcome.name);
            Failure::usage(what, "choose another metric for y")
        })?);
        let _ = write!(page, "\n![{}]({}.svg)\n", figure.label, outcome.name);
    }
    let header: Vec<&str> = outcome.axes.iter().chain(&outcome.shown).map(String::as_str).collect();
    let names: Vec<String> = header.iter().map(|text| cell(text)).collect();
    let _ = write!(page, "\n| {} |\n|{}\n", names.join(" | "), "---|".repeat(header.len()));
    for cells in cells(outcome) {
        let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
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

/// A step of an axis as a legend has it: a bare number among others says nothing without its key.
fn named(axis: &str, step: &str, several: bool) -> String {
    let key = axis.rsplit('.').next().unwrap_or(axis);
    if several && step.parse::<f64>().is_ok() {
        return format!("{} {step}", worded(key));
    }
    step.to_owned()
}

/// The figure of a study: a curve, or bars, for each combination of its series over the steps of its x.
fn svg(outcome: &Outcome, figure: &study::Figure) -> Result<String, FigureError> {
    let header = ["step", "series", "value"].map(ToOwned::to_owned).to_vec();
    let mut rows = Vec::new();
    for row in outcome.rows.iter().filter(|row| study::matches(row, &figure.at)) {
        let (Some(step), Some(value)) = (row.setting(&figure.x), row.metrics.get(&figure.y)) else {
            continue;
        };
        let several = figure.series.len() > 1;
        let names: Vec<String> = figure
            .series
            .iter()
            .filter_map(|axis| row.setting(axis).map(|step| named(axis, step, several)))
            .collect();
        let names = match &figure.series_label {
            Some(before) => format!("{before} {}", names.join(", ")),
            None => names.join(", "),
        };
        // With the digits of the data beside it, so that the figure can be drawn from them again.
        let value = format!("{value:.6}");
        rows.push((rows.len() + 1, vec![step.to_owned(), names, value]));
    }
    if rows.is_empty() {
        return Err(FigureError::Empty(format!("no system has the metric \"{}\"", figure.y)));
    }
    let some = |text: &str| Some(text.to_owned());
    let options = Options {
        x: some("step"),
        y: some("value"),
        by: some("series"),
        x_title: Some(figure.x_label.clone().unwrap_or_else(|| titled(&figure.x))),
        y_title: some(&figure.label),
        log: figure.log,
        ..Options::default()
    };
    let kind = match figure.kind {
        study::Kind::Bars => Kind::Speedup,
        study::Kind::Lines => Kind::Steps,
    };
    lumacycle_figures::draw(kind, &Table { header, rows }, &options, &Theme::default())
        .map(|figure| figure.svg)
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
    let header: Vec<&str> = ["study"]
        .into_iter()
        .chain(outcome.axes.iter().map(String::as_str))
        .chain(metrics.iter().copied())
        .collect();
    let rows = outcome.rows.iter().map(|row| {
        let settings = row.settings.iter().map(|(_, value)| value.clone());
        let number =
            |name: &&str| row.metrics.get(name).map_or_else(String::new, |v| format!("{v:.6}"));
        let name = std::iter::once(outcome.name.clone());
        name.chain(settings).chain(metrics.iter().map(number)).collect()
    });
    csv(&header, rows)
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn bare_numbers_among_several_series_carry_their_key() {
        assert_eq!(named("accelerator.policy.shared_by", "8", true), "shared by 8");
        assert_eq!(named("accelerator.policy.shared_by", "8", false), "8");
        assert_eq!(named("accelerator.grid_sram.interleave", "fold", true), "fold");
        assert_eq!(named("gpu.l2.capacity", "6 MiB", true), "6 MiB");
    }
}
