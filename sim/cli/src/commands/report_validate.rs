//! Pages about suites: how far predictions lie from what was measured or published, by class, and the rows
//! that are furthest off with what the model thinks decides them.
//!
//! A suite hands over its rows as the CSV that `--rows` or `--format csv` writes, so that a page shows nothing
//! that a program could not read. Left out: rows beyond the first few hundred, which the CSV has.

use std::collections::BTreeMap;
use std::path::Path;

use lumacycle_figures::page::Page;
use lumacycle_figures::{Kind, Options, Table};
use lumacycle_validate::Figures;

use super::report::{drawn, how, save};
use crate::failure::Failure;
use crate::output;

/// Rows that are explained.
const WORST: usize = 40;
/// Rows that are drawn, at most, evenly spread: an SVG of more is slow to open.
const DRAWN: usize = 4000;

/// Columns of errors as [`Figures::cells`] has them.
pub const FIGURES: [&str; 6] = ["rows", "MAPE %", "median", "p90", "bias", "corr."];

/// What a suite has to show.
pub struct Suite<'a> {
    /// Name.
    pub name: &'a str,
    /// Rows compared.
    pub used: usize,
    /// Rows left out, by reason.
    pub left_out: &'a BTreeMap<String, usize>,
    /// Errors of all rows.
    pub overall: &'a Figures,
    /// What simpler models are off by, in percent, with their names.
    pub beside: Vec<(&'a str, f64)>,
    /// Columns of errors by group, and the groups.
    pub errors: (Vec<&'a str>, Vec<Vec<String>>),
    /// Every row, as CSV.
    pub rows: Vec<u8>,
    /// Its columns of measured (or published) and predicted values, with the titles of their axes.
    pub measured: (&'a str, &'a str),
    /// The same for predictions.
    pub predicted: (&'a str, &'a str),
    /// Columns by which points and error curves are told apart.
    pub by: [&'a str; 2],
    /// What the second of these says, in words.
    pub told: &'a str,
    /// What was taken for granted.
    pub assumptions: Vec<String>,
}

/// Writes the page of a suite, or pages of several with one that leads to them.
pub fn write(folder: &Path, suites: &[Suite<'_>]) -> Result<(), Failure> {
    if let [only] = suites {
        return save(folder, "index.html", page(only)?);
    }
    let line = format!("Lumacycle {}.", lumacycle_sim::VERSION);
    let mut index = Page::new("Predicted and measured", &line);
    let header = [&["suite"], &FIGURES[..]].concat();
    index.linked(
        &header,
        suites.iter().map(|suite| {
            let mut cells = vec![suite.name.to_owned()];
            cells.extend(suite.overall.cells());
            (format!("{}.html", suite.name), cells)
        }),
    );
    how(&mut index);
    for suite in suites {
        save(folder, &format!("{}.html", suite.name), page(suite)?)?;
    }
    save(folder, "index.html", index)
}

fn page(suite: &Suite<'_>) -> Result<Page, Failure> {
    let refused = |error: lumacycle_figures::FigureError| Failure::Internal {
        what: format!("{}: {error}", suite.name),
    };
    let line = format!(
        "Lumacycle {}; {} rows used, {} left out. Error = (predicted − measured) / measured.",
        lumacycle_sim::VERSION,
        suite.used,
        suite.left_out.values().sum::<usize>()
    );
    let mut page = Page::new(&format!("{}: predicted and measured", suite.name), &line);
    if suite.overall.rows > 0 {
        page.headline(&headline(suite));
    }
    page.heading("Figures");
    let table = Table::parse(&suite.rows, &[]);
    if let Ok(table) = &table {
        figures(&mut page, suite, table);
    } else {
        page.text("No row could be compared.");
    }
    page.heading("Errors by group");
    page.table(&suite.errors.0, suite.errors.1.iter().cloned());
    if let Ok(table) = &table {
        let columns = Columns::of(table, suite).map_err(refused)?;
        page.heading("Furthest off");
        let (header, rows) = columns.worst(table);
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        page.table(&header, rows.into_iter());
    }
    if !suite.left_out.is_empty() {
        page.heading("Left out");
        page.list(suite.left_out.iter().map(|(reason, count)| format!("{count} × {reason}")));
    }
    if !suite.assumptions.is_empty() {
        page.heading("Assumptions");
        page.list(suite.assumptions.iter().cloned());
    }
    how(&mut page);
    Ok(page)
}

fn headline(suite: &Suite<'_>) -> Vec<(String, String, String)> {
    let all = suite.overall;
    let others: Vec<String> =
        suite.beside.iter().map(|(name, mape)| format!("{name} {mape:.1} %")).collect();
    vec![
        ("mean absolute error".to_owned(), format!("{:.1} %", all.mape_pct), others.join(", ")),
        (
            "median".to_owned(),
            format!("{:.1} %", all.median_ape_pct),
            format!("9 of 10 rows within {:.1} %", all.p90_ape_pct),
        ),
        (
            "bias".to_owned(),
            format!("{:+.1} %", all.bias_pct),
            format!("correlation {:.3}", all.correlation),
        ),
    ]
}

fn figures(page: &mut Page, suite: &Suite<'_>, table: &Table) {
    // Bounds that hold are no values to compare.
    let mut table = table.clone();
    let bounds = table.any(&["meaning"]).is_some() && table.keep("meaning", "").is_ok();
    let every = table.rows.len().div_ceil(DRAWN).max(1);
    let some = Table {
        header: table.header.clone(),
        rows: table.rows.iter().step_by(every).cloned().collect(),
    };
    let options = |by: &str| Options {
        x: Some(suite.measured.0.to_owned()),
        y: Some(suite.predicted.0.to_owned()),
        x_title: Some(suite.measured.1.to_owned()),
        y_title: Some(suite.predicted.1.to_owned()),
        by: Some(by.to_owned()),
        ..Options::default()
    };
    let caption = if every > 1 {
        format!("Predicted against measured, one row in {every}.")
    } else if bounds {
        "Predicted against published values; bounds are left out.".to_owned()
    } else {
        "Predicted against measured.".to_owned()
    };
    drawn(page, Kind::Scatter, &some, &options(suite.by[0]), &caption);
    let caption = format!("Share of rows whose error is at most so large, by {}.", suite.told);
    drawn(page, Kind::Errors, &table, &options(suite.by[1]), &caption);
}

/// Where the values of a row are.
struct Columns {
    measured: usize,
    predicted: usize,
    error_pct: Option<usize>,
    bound_by: Option<usize>,
    waves: Option<usize>,
    occupancy: Option<usize>,
}

impl Columns {
    fn of(table: &Table, suite: &Suite<'_>) -> Result<Self, lumacycle_figures::FigureError> {
        Ok(Self {
            measured: table.need(&[suite.measured.0])?,
            predicted: table.need(&[suite.predicted.0])?,
            error_pct: table.any(&["error_pct"]),
            bound_by: table.any(&["bound_by"]),
            waves: table.any(&["waves"]),
            occupancy: table.any(&["occupancy_pct"]),
        })
    }

    /// Predicted over measured; a suite that scores its rows itself says more (bounds that hold).
    fn ratio(&self, table: &Table, row: usize) -> Option<f64> {
        if let Some(column) = self.error_pct {
            return table.number(row, column).map(|pct| f64::max(1.0 + pct / 100.0, 1e-9));
        }
        let value = |column| table.number(row, column).filter(|value| *value > 0.0);
        Some(value(self.predicted)? / value(self.measured)?)
    }

    /// The rows whose ratio lies furthest from one, with all of their columns.
    fn worst(&self, table: &Table) -> (Vec<String>, Vec<Vec<String>>) {
        let mut rows: Vec<(f64, usize)> = (0..table.rows.len())
            .filter_map(|row| self.ratio(table, row).map(|ratio| (ratio, row)))
            .collect();
        rows.sort_by(|a, b| {
            let off = |ratio: f64| ratio.ln().abs();
            off(b.0).total_cmp(&off(a.0)).then(a.1.cmp(&b.1))
        });
        // What names a row comes first; a column that says the same everywhere says nothing.
        let mut columns: Vec<usize> = (0..table.header.len()).collect();
        // Of what is told in words at the end, and of the error, the numbers need not stand twice.
        let explained = self.bound_by.is_some();
        let told = [self.error_pct, self.bound_by, self.waves, self.occupancy];
        let told = if explained { &told[..] } else { &told[..1] };
        columns.retain(|column| {
            if told.contains(&Some(*column)) {
                return false;
            }
            let first = table.text(0, *column);
            table.rows.len() < 2
                || (1..table.rows.len()).any(|row| table.text(row, *column) != first)
        });
        let named = |name: &str| ["reference", "what", "kernel"].contains(&name);
        columns.sort_by_key(|column| !named(&table.header[*column]));
        let mut header: Vec<String> =
            columns.iter().map(|column| table.header[*column].replace('_', " ")).collect();
        header.push("error".to_owned());
        if explained {
            header.push("what the model sees".to_owned());
        }
        let cells = rows.into_iter().take(WORST).map(|(ratio, row)| {
            let mut cells: Vec<String> =
                columns.iter().map(|column| plain(table.text(row, *column))).collect();
            cells.push(output::percent(Some((ratio - 1.0) * 100.0)));
            if explained {
                cells.push(self.explained(table, row));
            }
            cells
        });
        (header, cells.collect())
    }

    /// What binds a row, how full the GPU is, and how its last wave is.
    fn explained(&self, table: &Table, row: usize) -> String {
        let number = |column: Option<usize>| column.and_then(|c| table.number(row, c));
        let mut text = self.bound_by.map_or_else(String::new, |c| table.text(row, c).to_owned());
        if let Some(waves) = number(self.waves) {
            let rest = waves.fract() * 100.0;
            let full = match waves.floor() {
                1.0 => "one full wave".to_owned(),
                several => format!("{several:.0} full waves"),
            };
            text.push_str(&match waves {
                w if w < 1.0 => format!("; less than a wave: {rest:.0} % of the GPU has work"),
                _ if rest < 1.0 => format!("; {full}"),
                _ => format!("; {full}, then one that is {rest:.0} % full"),
            });
        }
        if let Some(occupancy) = number(self.occupancy) {
            text.push_str(&format!("; {occupancy:.0} % of an SM's warps"));
        }
        text
    }
}

/// Numbers without digits that nobody reads.
fn plain(text: &str) -> String {
    match text.parse::<f64>() {
        Ok(number) if text.contains('.') => output::short(number),
        _ => text.to_owned(),
    }
}
