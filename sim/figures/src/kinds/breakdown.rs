//! Stacked parts of time, energy or area, one bar a system; reads CSV and JSON of `run` and `replay`,
//! or any table with a part and a metric.

use super::bars::names;
use super::{Figure, Options, Series, data, numeric};
use crate::canvas::Rect;
use crate::chart::{Axis, Chart, Key};
use crate::scale::Scale;
use crate::{FigureError, Table, Theme};

/// Share of a bar's place that it fills.
const FILLED: f64 = 0.7;

pub(super) fn draw(table: &Table, options: &Options, theme: &Theme) -> Result<Figure, FigureError> {
    let bar = match &options.x {
        Some(name) => Some(table.need(&[name])?),
        None => table.any(&["gpu", "system", "accelerator", "application", "app"]),
    };
    let part = match &options.by {
        Some(name) => table.need(&[name])?,
        None => table.need(&["part", "class", "kernel"])?,
    };
    let y = match &options.y {
        Some(name) => table.need(&[name])?,
        None => table.need(&["time_ms", "predicted_ms", "energy_mj", "area_mm2", "share_pct"])?,
    };
    let mut notes = Vec::new();
    let rows = numeric(table, &[y], &mut notes)?;
    let bars = bar.map_or_else(|| vec![String::new()], |bar| names(table, &rows, bar));
    // The largest parts come first; beyond the palette they share the last.
    let mut sums: Vec<(String, f64)> = Vec::new();
    for row in &rows {
        let (name, value) = (table.text(*row, part), table.number(*row, y).unwrap_or(0.0));
        match sums.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += value,
            None => sums.push((name.to_owned(), value)),
        }
    }
    sums.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let series = Series::of(sums.iter().map(|(name, _)| name.as_str()), theme);
    let index_of = |name: &str| {
        let at = sums.iter().position(|(known, _)| known == name).unwrap_or(0);
        series.of[at]
    };
    let mut cells = vec![vec![0.0_f64; series.names.len()]; bars.len()];
    for row in &rows {
        let at = bar.map_or(0, |bar| {
            bars.iter().position(|name| name == table.text(*row, bar)).unwrap_or(0)
        });
        let value = table.number(*row, y).unwrap_or(0.0);
        if value < 0.0 {
            let what = format!("line {}: {value} cannot be stacked", table.rows[*row].0);
            return Err(FigureError::Empty(what));
        }
        cells[at][index_of(table.text(*row, part))] += value;
    }
    let most = cells.iter().map(|cell| cell.iter().sum::<f64>());
    if !most.clone().any(|sum| sum > 0.0) {
        return Err(FigureError::Empty(format!("\"{}\" is zero everywhere", table.header[y])));
    }
    let mut order = bars.clone();
    order.reverse();
    let height = 0.75 + 0.24 * bars.len().min(24) as f64;
    let mut chart = Chart::new(
        theme,
        height,
        &series.legend(Key::Box),
        Axis::numbers(options.titled_y(&table.header[y]), Scale::from_zero(most)),
        Axis::names("", &order),
    );
    let thick = chart.area.h / bars.len() as f64 * FILLED;
    for (bar, cell) in bars.iter().zip(&cells) {
        let at = order.iter().position(|name| name == bar).unwrap_or(0);
        let mut from = 0.0;
        for (index, value) in cell.iter().enumerate() {
            let (left, middle) = chart.at(from, at as f64);
            from += value;
            let right = chart.at(from, at as f64).0;
            let rect = Rect { x: left, y: middle - thick / 2.0, w: right - left, h: thick };
            if rect.w > 0.02 {
                let colour = chart.colour(&series.names[index], series.places[index]);
                chart.canvas.bar(rect, &colour, series.places[index]);
            }
        }
    }
    let bar_name = bar.map_or("bar", |bar| table.header[bar].as_str());
    let (bars, series) = (&bars, &series);
    let data = data(
        &[bar_name, &table.header[part], &table.header[y]],
        cells.iter().enumerate().flat_map(|(at, cell)| {
            cell.iter().enumerate().map(move |(index, value)| {
                vec![bars[at].clone(), series.names[index].clone(), format!("{value:.6}")]
            })
        }),
    );
    Ok(Figure { svg: chart.canvas.finish("Breakdown"), data, notes })
}
