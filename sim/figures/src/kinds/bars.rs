//! Speedups by application and scale as grouped bars, with Amdahl's limit and published values as marks
//! across each bar; reads CSV of `run --accelerator`, `study`, or `application,scale,speedup` with
//! `published` and `amdahl` as optional columns.

use super::{Figure, Options, Series, data, numeric};
use crate::canvas::{Rect, Stroke};
use crate::chart::{Axis, Chart, Entry, Key};
use crate::scale::Scale;
use crate::{FigureError, Table, Theme};

/// Share of a group's place that bars take.
const FILLED: f64 = 0.82;
/// Width of a bar that can still be told from its neighbours, in points.
const THINNEST: f64 = 0.8;

pub(super) fn draw(table: &Table, options: &Options, theme: &Theme) -> Result<Figure, FigureError> {
    let own = |name: &Option<String>, usual: &[&'static str]| -> Vec<String> {
        let usual = usual.iter().map(|name| (*name).to_owned());
        name.iter().cloned().chain(usual.filter(|_| name.is_none())).collect()
    };
    let need =
        |names: Vec<String>| table.need(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let group = need(own(&options.x, &["application", "app", "gpu", "study"]))?;
    let by = need(own(&options.by, &["scale", "accelerator", "system", "units"]))?;
    let y = need(own(&options.y, &["speedup", "frames_per_s", "fps"]))?;
    let published = table.any(&["published", "as_published_speedup"]);
    let amdahl = table.any(&["amdahl", "amdahl_limit"]);
    let mut notes = Vec::new();
    let rows = numeric(table, &[y], &mut notes)?;
    let groups = names(table, &rows, group);
    let series = Series::of(rows.iter().map(|row| table.text(*row, by)), theme);
    let value = |row: usize, column: Option<usize>| column.and_then(|c| table.number(row, c));
    let values = rows
        .iter()
        .flat_map(|row| [value(*row, Some(y)), value(*row, published), value(*row, amdahl)])
        .flatten();
    let positive = values.clone().all(|value| value > 0.0);
    let log = options.log && positive;
    let scale = if log { Scale::log(values.chain([1.0])) } else { Scale::from_zero(values) };
    let mut legend = series.legend(Key::Box);
    let has = |column: Option<usize>| rows.iter().any(|row| value(*row, column).is_some());
    if has(published) {
        if legend.is_empty() {
            let entry = series.names.iter().zip(&series.places).next();
            legend.extend(entry.map(|(_, place)| Entry {
                name: "modelled".to_owned(),
                place: *place,
                key: Key::Box,
            }));
        }
        let own = published.is_some_and(|column| table.header[column] == "published");
        let name = if own { "published" } else { "by the paper's arithmetic" };
        legend.push(Entry { name: name.to_owned(), place: 2, key: Key::Tick });
    }
    if has(amdahl) {
        legend.push(Entry { name: "Amdahl's limit".to_owned(), place: 2, key: Key::Line });
    }
    let mut chart = Chart::new(
        theme,
        2.2,
        &legend,
        Axis::names(options.x_title.clone().unwrap_or_default(), &groups),
        Axis::numbers(options.titled_y(&table.header[y]), scale),
    );
    let width = chart.area.w / groups.len() as f64;
    let bar = width * FILLED / series.names.len() as f64;
    if bar < THINNEST {
        return Err(FigureError::Empty(format!(
            "{} groups of {} bars have no room: choose some of them, or take a wider figure",
            groups.len(),
            series.names.len()
        )));
    }
    let bottom = chart.area.bottom();
    for (order, row) in rows.iter().enumerate() {
        let index = series.of[order];
        let place = series.places[index];
        let at = groups.iter().position(|name| name == table.text(*row, group)).unwrap_or(0);
        let middle = chart.at(at as f64, 0.0).0;
        let left = middle - width * FILLED / 2.0 + index as f64 * bar;
        let top = |chart: &Chart<'_>, value: f64| chart.at(0.0, value).1;
        let y_top = top(&chart, value(*row, Some(y)).unwrap_or(0.0));
        let base = if log { bottom } else { top(&chart, 0.0) };
        let rect = Rect { x: left, y: y_top.min(base), w: bar * 0.94, h: (base - y_top).abs() };
        let colour = chart.colour(&series.names[index], place);
        chart.canvas.bar(rect, &colour, place);
        if let Some(value) = value(*row, published) {
            let y = top(&chart, value);
            let line = [(left, y), (left + bar * 0.94, y)];
            // White below black: seen on any fill.
            chart.canvas.line(&line, Stroke { colour: "#ffffff", width: 2.6, dash: "" });
            chart.canvas.line(&line, Stroke { colour: "#111111", width: 1.3, dash: "" });
        }
        if let Some(value) = value(*row, amdahl) {
            let y = top(&chart, value);
            let ends = (middle - width * FILLED / 2.0, middle + width * FILLED / 2.0);
            let line = [(ends.0, y), (ends.1, y)];
            chart
                .canvas
                .line(&line, Stroke { colour: "#1f1f1f", width: 0.8, dash: crate::theme::dash(2) });
        }
    }
    let cell = |row: usize, column: Option<usize>| {
        column.map_or_else(String::new, |column| table.text(row, column).to_owned())
    };
    let data = data(
        &[&table.header[group], &table.header[by], &table.header[y], "published", "amdahl"],
        rows.iter().map(|row| {
            [Some(group), Some(by), Some(y), published, amdahl].map(|c| cell(*row, c)).to_vec()
        }),
    );
    Ok(Figure { svg: chart.canvas.finish("Speedup"), data, notes })
}

/// Distinct texts of a column, in order.
pub(super) fn names(table: &Table, rows: &[usize], column: usize) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for row in rows {
        let text = table.text(*row, column);
        if !all.iter().any(|known| known == text) {
            all.push(text.to_owned());
        }
    }
    all
}
