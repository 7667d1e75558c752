//! Predicted against measured times on logarithmic axes, with the diagonal and a band of 25 % either
//! way, and intervals of predictions as bars where the table has them; reads what `validate --rows`
//! writes.

use super::{Figure, Options, Pairs, Series, data, numeric};
use crate::canvas::Stroke;
use crate::chart::{Axis, Chart, Key, MARK};
use crate::scale::Scale;
use crate::{FigureError, Table, Theme};

/// Bounds of the inner band, as a factor.
const BAND: f64 = 1.25;
/// Half the width of the end of an interval, in points.
const CAP: f64 = 1.6;
/// Points up to which each has a mark of its own.
const MARKS: usize = 400;
/// Parts that the points of a series are drawn in where they are more.
const TURNS: usize = 16;

pub(super) fn draw(table: &Table, options: &Options, theme: &Theme) -> Result<Figure, FigureError> {
    let Pairs { x, y, by } = Pairs::of(table, options)?;
    let mut notes = Vec::new();
    let mut rows = numeric(table, &[x, y], &mut notes)?;
    let value = |row: usize, column: usize| table.number(row, column).unwrap_or(0.0);
    let all = rows.len();
    rows.retain(|row| value(*row, x) > 0.0 && value(*row, y) > 0.0);
    if rows.len() < all {
        notes.push(format!("{} rows left out: no positive time", all - rows.len()));
    }
    if rows.is_empty() {
        return Err(FigureError::Empty("no row has two positive times".to_owned()));
    }
    let series = Series::by(table, by, theme);
    let interval = table.any(&["low_us", "low"]).zip(table.any(&["high_us", "high"]));
    let ends = |row: usize| {
        let (low, high) = interval?;
        let positive = |column| table.number(row, column).filter(|value| *value > 0.0);
        Some((positive(low)?, positive(high)?))
    };
    let both = rows.iter().flat_map(|row| [value(*row, x), value(*row, y)]);
    let scale =
        Scale::log(both.chain(rows.iter().filter_map(|row| ends(*row)).flat_map(|e| [e.0, e.1])));
    let name = |what: &str, column: usize| {
        let timed = table.header[column].ends_with("_us");
        format!("{what}{}", if timed { " time (µs)" } else { "" })
    };
    let mut chart = Chart::new(
        theme,
        f64::min(theme.width_in, 3.6) * 0.86,
        &series.legend(Key::Mark),
        Axis::numbers(options.x_title.clone().unwrap_or_else(|| name("measured", x)), scale),
        Axis::numbers(options.y_title.clone().unwrap_or_else(|| name("predicted", y)), scale),
    );
    let (low, high) = scale.ends();
    let area = chart.area;
    chart.canvas.clip(area);
    let band = [
        chart.at(low, low * BAND),
        chart.at(high, high * BAND),
        chart.at(high, high / BAND),
        chart.at(low, low / BAND),
    ];
    chart.canvas.area(&band, "#bbbbbb", 0.45);
    let diagonal = [chart.at(low, low), chart.at(high, high)];
    chart.guide(&diagonal, "");
    for factor in [2.0, 0.5] {
        let line = [chart.at(low, low * factor), chart.at(high, high * factor)];
        chart.guide(&line, "2 2");
    }
    let marks: Vec<(f64, f64)> =
        rows.iter().map(|row| chart.at(value(*row, x), value(*row, y))).collect();
    chart.note("grey: ±25 %; dashed: ×2 or ÷2", &marks);
    // More than so many intervals hide each other.
    for row in rows.iter().filter(|_| rows.len() <= MARKS) {
        let Some((from, to)) = ends(*row) else { continue };
        let place = series.places[series.of[*row]];
        let colour = chart.colour(&series.names[series.of[*row]], place);
        let [from, to] = [from, to].map(|end| chart.at(value(*row, x), end));
        let stroke = Stroke { colour: &colour, width: 0.6, dash: "" };
        chart.canvas.line(&[from, to], stroke);
        for (x, y) in [from, to] {
            chart.canvas.line(&[(x - CAP, y), (x + CAP, y)], stroke);
        }
    }
    let places: Vec<Vec<(f64, f64)>> = (0..series.names.len())
        .map(|index| {
            let mine = rows.iter().filter(|row| series.of[**row] == index);
            mine.map(|row| chart.at(value(*row, x), value(*row, y))).collect()
        })
        .collect();
    let many = rows.len() > MARKS;
    // Series take turns where points are many, so that the last does not hide all others.
    for turn in 0..if many { TURNS } else { 1 } {
        let named = series.names.iter().zip(&series.places);
        for ((name, place), points) in named.zip(&places) {
            let colour = chart.colour(name, *place);
            if many {
                let part: Vec<_> = points.iter().skip(turn).step_by(TURNS).copied().collect();
                if !part.is_empty() {
                    chart.canvas.dots(&part, 1.5, &colour, 0.5);
                }
            } else {
                for point in points {
                    chart.canvas.mark(*point, *place, MARK * 0.85, &colour);
                }
            }
        }
    }
    chart.canvas.unclip();
    let title = "Predicted against measured";
    let by_name = by.map_or("series", |by| table.header[by].as_str());
    let data = data(
        &[by_name, "measured", "predicted"],
        rows.iter().map(|row| {
            let name = by.map_or("", |by| table.text(*row, by));
            vec![name.to_owned(), table.text(*row, x).to_owned(), table.text(*row, y).to_owned()]
        }),
    );
    Ok(Figure { svg: chart.canvas.finish(title), data, notes })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the note begins, over the width of the sheet.
    fn note_at(rows: &str) -> f64 {
        let csv = format!("suite,measured_us,predicted_us\n{rows}");
        let table = Table::parse(csv.as_bytes(), &[]).unwrap();
        let theme = Theme::default();
        let svg = draw(&table, &Options::default(), &theme).unwrap().svg;
        let text = svg.lines().find(|line| line.contains("grey: ")).unwrap();
        let x = text.split("x=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        x.parse::<f64>().unwrap() / (theme.width_in * crate::theme::POINTS)
    }

    #[test]
    fn the_note_keeps_out_of_the_way_of_points() {
        // Points far below the diagonal at the right end, and far above it at the left one.
        let below = "a,1,1\na,1000,1.1\na,900,1.2\n";
        let above = "a,1000,1000\na,1,900\na,1.1,990\n";
        assert!(note_at(below) < 0.4, "{}", note_at(below));
        assert!(note_at(above) > 0.4, "{}", note_at(above));
    }
}
