//! How errors are distributed in each class: the share of rows whose error is at most so large.

use super::{Figure, Options, Pairs, Series, data, numeric};
use crate::canvas::Stroke;
use crate::chart::{Axis, Chart, Key};
use crate::scale::Scale;
use crate::theme::dash;
use crate::{FigureError, Table, Theme};

/// Errors beyond this share a place at the right edge.
const MOST_PCT: f64 = 100.0;

pub(super) fn draw(table: &Table, options: &Options, theme: &Theme) -> Result<Figure, FigureError> {
    let Pairs { x, y, by } = Pairs::of(table, options)?;
    let mut notes = Vec::new();
    let mut rows = numeric(table, &[x, y], &mut notes)?;
    let measured = |row: usize| table.number(row, x).unwrap_or(0.0);
    rows.retain(|row| measured(*row) > 0.0);
    if rows.is_empty() {
        return Err(FigureError::Empty("no row has a positive measurement".to_owned()));
    }
    let off = |row: usize| {
        let predicted = table.number(row, y).unwrap_or(0.0);
        libm::fabs(predicted / measured(row) - 1.0) * 100.0
    };
    let series = Series::by(table, by, theme);
    let most = rows.iter().map(|row| off(*row)).fold(0.0, f64::max);
    // The last step stands clear of the edge.
    let end = if most > MOST_PCT { MOST_PCT } else { most.max(1.0) * 1.05 };
    let mut chart = Chart::new(
        theme,
        2.3,
        &series.legend(Key::Line),
        Axis::numbers("absolute error (%)", Scale::linear(0.0, end)),
        Axis::numbers("share of rows (%)", Scale::linear(0.0, 100.0)),
    );
    let mut lines = Vec::new();
    let area = chart.area;
    chart.canvas.clip(area);
    for (index, (name, place)) in series.names.iter().zip(&series.places).enumerate() {
        let mut errors: Vec<f64> =
            rows.iter().filter(|row| series.of[**row] == index).map(|row| off(*row)).collect();
        errors.sort_by(f64::total_cmp);
        let count = errors.len() as f64;
        let mut steps = vec![chart.at(0.0, 0.0)];
        for (rank, error) in errors.iter().enumerate() {
            let share = |done: usize| done as f64 / count * 100.0;
            // Steps closer than a tenth of a point share one.
            let next = chart.at(*error, share(rank + 1));
            let last = steps.last().copied().unwrap_or(next);
            if rank + 1 < errors.len() && libm::hypot(next.0 - last.0, next.1 - last.1) < 0.3 {
                continue;
            }
            steps.push((next.0, last.1));
            steps.push(next);
            lines.push(vec![
                name.clone(),
                format!("{error:.4}"),
                format!("{:.4}", share(rank + 1)),
            ]);
        }
        if let Some(last) = steps.last().copied() {
            steps.push((area.right(), last.1));
        }
        let colour = chart.colour(name, *place);
        let width = theme.line_pt;
        chart.canvas.line(&steps, Stroke { colour: &colour, width, dash: dash(*place) });
    }
    chart.canvas.unclip();
    let beyond = rows.iter().filter(|row| off(**row) > end).count();
    if beyond > 0 {
        notes.push(format!("{beyond} of {} errors lie beyond {end:.0} %", rows.len()));
    }
    let by_name = by.map_or("series", |by| table.header[by].as_str());
    let data = data(&[by_name, "absolute_error_pct", "share_pct"], lines.into_iter());
    Ok(Figure { svg: chart.canvas.finish("Distribution of errors"), data, notes })
}
