//! The files of an explored space: results, front, sensitivities and summary, and the table for people.

use std::collections::BTreeSet;
use std::path::Path;

use lumacycle_sim::explore::metrics;
use lumacycle_sim::explore::space::{Goal, Setting, Space};
use lumacycle_sim::explore::store::{Lookup, Record, StoreError};
use lumacycle_sim::explore::summary::{self, Sensitivity, Summary};
use lumacycle_sim::explore::{Row, Run};
use serde_json::json;

use super::explore::failed;
use crate::failure::Failure;
use crate::output::{self, short};

/// Designs of the front in the printed table.
const SHOWN: usize = 12;

/// Settings of a design as they are written, derived ones last.
pub fn settings(space: &Space, design: &[Setting]) -> Vec<String> {
    let own = space.parameters.iter().zip(design).map(|(p, s)| p.label(*s));
    let mut all: Vec<String> = own.collect();
    let derived = space.derived_labels(design).unwrap_or_default();
    all.extend(derived);
    all.resize(space.parameters.len() + space.derived.len(), String::new());
    all
}

fn columns(space: &Space) -> Vec<String> {
    let mut header = vec!["point".to_owned(), "status".to_owned()];
    header.extend(space.parameters.iter().map(|p| p.path.clone()));
    header.extend(space.derived.iter().map(|d| d.path.clone()));
    header.extend(metrics::NAMES.iter().map(|name| (*name).to_owned()));
    header.extend((1..=space.limits.len()).map(|number| format!("limit_{number}")));
    for name in ["feasible", "pareto", "notes", "space", "space_hash", "version"] {
        header.push(name.to_owned());
    }
    header
}

fn cells(space: &Space, row: &Row, record: &Record, on_front: bool) -> Vec<String> {
    let mut cells = vec![row.point.to_string(), row.status.name().to_owned()];
    cells.extend(settings(space, &row.design));
    let number = |value: &f64| if value.is_nan() { String::new() } else { value.to_string() };
    cells.extend(row.metrics.iter().map(number));
    cells.extend(space.limits.iter().map(|limit| summary::holds(limit, row).to_string()));
    cells.push(summary::feasible(space, row).to_string());
    cells.push(on_front.to_string());
    cells.push(record.notes.join("; "));
    cells.push(space.name.clone());
    cells.push(space.hash.clone());
    cells.push(lumacycle_sim::VERSION.to_owned());
    cells
}

/// The files that figures are drawn from.
pub struct Files {
    /// `results.csv`.
    pub results: Vec<u8>,
    /// `sensitivities.csv`.
    pub changes: Vec<u8>,
}

/// Writes all files of a folder; each appears only when it is complete.
pub fn write(
    space: &Space,
    run: &Run<'_>,
    summary: &Summary,
    sensitivities: &[Sensitivity],
    folder: &Path,
) -> Result<Files, Failure> {
    let rows = run.rows();
    let front: BTreeSet<u64> = summary.front.iter().copied().collect();
    let mut records = Lookup::open(run.path()).map_err(|error| failed(&error))?;
    let mut lookup = |row: &Row| -> Result<Record, StoreError> { records.at(row.place) };
    let header = columns(space);
    let internal = |error: &dyn std::fmt::Display| Failure::Internal { what: error.to_string() };
    let mut results = csv::Writer::from_writer(Vec::new());
    results.write_record(&header).map_err(|error| internal(&error))?;
    #[cfg(feature = "parquet")]
    let mut columns = super::columns::Columns::new(space, &header)?;
    for row in &rows {
        let record = lookup(row).map_err(|error| failed(&error))?;
        let cells = cells(space, row, &record, front.contains(&row.point));
        results.write_record(&cells).map_err(|error| internal(&error))?;
        #[cfg(feature = "parquet")]
        columns.add(&cells)?;
    }
    let results = results.into_inner().map_err(|error| internal(&error))?;
    let mut best = csv::Writer::from_writer(Vec::new());
    best.write_record(&header).map_err(|error| internal(&error))?;
    for point in &summary.front {
        let Some(row) = rows.iter().find(|row| row.point == *point) else { continue };
        let record = lookup(row).map_err(|error| failed(&error))?;
        best.write_record(cells(space, row, &record, true)).map_err(|error| internal(&error))?;
    }
    let best = best.into_inner().map_err(|error| internal(&error))?;
    let mut changes = csv::Writer::from_writer(Vec::new());
    let names = ["parameter", "metric", "base", "minus_10_pct", "plus_10_pct"];
    changes.write_record(names).map_err(|error| internal(&error))?;
    for one in sensitivities {
        let number = |value: Option<f64>| value.map_or_else(String::new, |v| format!("{v:.4}"));
        let cells = [
            one.parameter.clone(),
            metrics::NAMES[one.metric].to_owned(),
            one.base.to_string(),
            number(one.minus_10_pct),
            number(one.plus_10_pct),
        ];
        changes.write_record(cells).map_err(|error| internal(&error))?;
    }
    let changes = changes.into_inner().map_err(|error| internal(&error))?;
    let told = serde_json::to_string_pretty(&overview(space, &rows, summary))
        .map_err(|error| internal(&error))?;
    output::folder(folder)?;
    output::write(Some(&folder.join("results.csv")), &results)?;
    #[cfg(feature = "parquet")]
    output::write(Some(&folder.join("results.parquet")), &columns.finish()?)?;
    output::write(Some(&folder.join("pareto.csv")), &best)?;
    output::write(Some(&folder.join("sensitivities.csv")), &changes)?;
    output::write(Some(&folder.join("summary.json")), format!("{told}\n").as_bytes())?;
    Ok(Files { results, changes })
}

fn goal(goal: Goal) -> &'static str {
    match goal {
        Goal::Minimise => "minimise",
        Goal::Maximise => "maximise",
    }
}

fn overview(space: &Space, rows: &[&Row], summary: &Summary) -> serde_json::Value {
    let point = |point: Option<u64>| {
        let row = rows.iter().find(|row| Some(row.point) == point)?;
        let names = space.parameters.iter().map(|p| p.path.clone());
        let names = names.chain(space.derived.iter().map(|d| d.path.clone()));
        let settings: serde_json::Map<String, serde_json::Value> = names
            .zip(settings(space, &row.design).into_iter().map(serde_json::Value::from))
            .collect();
        let known = metrics::NAMES.iter().zip(&row.metrics).filter(|(_, value)| !value.is_nan());
        let metrics: serde_json::Map<String, serde_json::Value> =
            known.map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        Some(json!({"point": row.point, "parameters": settings, "metrics": metrics}))
    };
    json!({
        "space": space.name,
        "question": space.question,
        "space_hash": space.hash,
        "version": lumacycle_sim::VERSION,
        "method": format!("{:?}", space.method).to_lowercase(),
        "seed": space.seed,
        "points": rows.len(),
        "ok": summary.valid,
        "skipped": summary.skipped,
        "invalid": summary.invalid,
        "feasible": summary.feasible,
        "objectives": space.objectives.iter().map(|o| json!({
            "metric": metrics::NAMES[o.metric], "goal": goal(o.goal)})).collect::<Vec<_>>(),
        "limits": space.limits.iter().map(|limit| json!({"metric": metrics::NAMES[limit.metric],
            "at_most": limit.at_most, "at_least": limit.at_least})).collect::<Vec<_>>(),
        "front": summary.front,
        "knee": point(summary.knee),
        "best": summary.best.iter().map(|best| point(*best)).collect::<Vec<_>>(),
        "best_under_each_limit": summary.best_under.iter().map(|p| point(*p)).collect::<Vec<_>>(),
    })
}

/// The summary for people.
pub fn told(
    space: &Space,
    rows: &[&Row],
    summary: &Summary,
    sensitivities: &[Sensitivity],
) -> String {
    let mut text = format!(
        "{}\n\n{} points: {} ran, {} skipped, {} invalid; {} within all limits\n",
        space.question,
        rows.len(),
        summary.valid,
        summary.skipped,
        summary.invalid,
        summary.feasible
    );
    let mut shown: Vec<usize> = space.objectives.iter().map(|o| o.metric).collect();
    for limit in &space.limits {
        if !shown.contains(&limit.metric) {
            shown.push(limit.metric);
        }
    }
    let first = space.parameters.len() + space.derived.len() + 2;
    let mut header = vec!["", "point"];
    header.extend(space.parameters.iter().map(|p| p.path.as_str()));
    header.extend(space.derived.iter().map(|d| d.path.as_str()));
    header.extend(shown.iter().map(|metric| metrics::NAMES[*metric]));
    let mut table = output::table(&header, first);
    let mut add = |what: String, point: u64| {
        let Some(row) = rows.iter().find(|row| row.point == point) else { return };
        let mut cells = vec![what, point.to_string()];
        cells.extend(settings(space, &row.design));
        cells.extend(shown.iter().map(|metric| short(row.metrics[*metric])));
        table.add_row(cells);
    };
    // Evenly spread where there are too many.
    let step = summary.front.len().div_ceil(SHOWN).max(1);
    for point in summary.front.iter().step_by(step) {
        add("front".to_owned(), *point);
    }
    if let Some(knee) = summary.knee {
        add("knee".to_owned(), knee);
    }
    for (objective, best) in space.objectives.iter().zip(&summary.best) {
        if let Some(best) = best {
            add(format!("best {}", metrics::NAMES[objective.metric]), *best);
        }
    }
    for (limit, best) in space.limits.iter().zip(&summary.best_under) {
        if let Some(best) = best {
            add(format!("best with {} alone", limit.text()), *best);
        }
    }
    if !summary.front.is_empty() {
        text.push_str(&format!("\nPareto front, {} designs\n", summary.front.len()));
    }
    text.push_str(&output::render(&table));
    if !sensitivities.is_empty() {
        let mut table = output::table(&["parameter", "metric", "at", "10 % less", "10 % more"], 2);
        for one in sensitivities {
            table.add_row(vec![
                one.parameter.clone(),
                metrics::NAMES[one.metric].to_owned(),
                short(one.base),
                output::percent(one.minus_10_pct),
                output::percent(one.plus_10_pct),
            ]);
        }
        let around = if summary.knee.is_some() { "the knee" } else { "the base" };
        text.push_str(&format!("\nWhat 10 % of each parameter changes around {around}\n"));
        text.push_str(&output::render(&table));
    }
    text
}
