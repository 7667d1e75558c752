//! What ten per cent less and more of each parameter changes, or the ends of its range, the largest effect on
//! top; reads `sensitivities.csv` of an exploration, or the free parameters of `validate rtnerf`.

use super::{Figure, Options, data, numeric, titled};
use crate::canvas::Rect;
use crate::chart::{Axis, Chart, Entry, Key};
use crate::scale::Scale;
use crate::{FigureError, Table, Theme};

/// Parameters shown, at most.
const SHOWN: usize = 20;

pub(super) fn draw(table: &Table, options: &Options, theme: &Theme) -> Result<Figure, FigureError> {
    let parameter = table.need(&["parameter", "name"])?;
    let metric = table.any(&["metric"]);
    let less = table.need(&["minus_10_pct", "low_pct"])?;
    let more = table.need(&["plus_10_pct", "high_pct"])?;
    let steps = if table.any(&["minus_10_pct"]).is_some() {
        ["−10 %", "+10 %"]
    } else {
        ["low end", "high end"]
    };
    let mut notes = Vec::new();
    // At the end of its range a parameter has one neighbour only.
    let either = |row: &usize| [less, more].iter().any(|c| table.number(*row, *c).is_some());
    let mut rows: Vec<usize> = (0..table.rows.len()).filter(either).collect();
    if rows.is_empty() {
        rows = numeric(table, &[less, more], &mut notes)?;
    }
    let left = table.rows.len() - rows.len();
    if left > 0 {
        notes.push(format!("{left} of {} rows left out: no number", table.rows.len()));
    }
    let of = |row: usize| metric.map_or("", |metric| table.text(row, metric));
    // One metric a figure: the one that is asked for, or the file's first.
    let wanted = options.y.clone().unwrap_or_else(|| of(rows[0]).to_owned());
    rows.retain(|row| metric.is_none() || of(*row) == wanted);
    if rows.is_empty() {
        return Err(FigureError::Empty(format!("no row is about the metric \"{wanted}\"")));
    }
    let value = |row: usize, column: usize| table.number(row, column).unwrap_or(0.0);
    let size = |row: usize| f64::max(value(row, less).abs(), value(row, more).abs());
    rows.sort_by(|a, b| {
        size(*b)
            .total_cmp(&size(*a))
            .then_with(|| table.text(*a, parameter).cmp(table.text(*b, parameter)))
    });
    if rows.len() > SHOWN {
        notes.push(format!("the {SHOWN} largest of {} parameters are shown", rows.len()));
        rows.truncate(SHOWN);
    }
    let most = rows.iter().map(|row| size(*row)).fold(0.0, f64::max).max(0.1) * 1.08;
    let names: Vec<String> =
        rows.iter().rev().map(|row| table.text(*row, parameter).to_owned()).collect();
    let legend = [(steps[0], 1), (steps[1], 0)].map(|(name, place)| Entry {
        name: name.to_owned(),
        place,
        key: Key::Box,
    });
    let title = if wanted.is_empty() { "metric".to_owned() } else { titled(&wanted) };
    let mut chart = Chart::new(
        theme,
        0.75 + 0.17 * rows.len() as f64,
        &legend,
        Axis::numbers(format!("change of {} (%)", unitless(&title)), Scale::linear(-most, most)),
        Axis::names("", &names),
    );
    let thick = chart.area.h / rows.len() as f64 * 0.36;
    for (index, row) in rows.iter().rev().enumerate() {
        for (side, (column, place)) in [(less, 1), (more, 0)].into_iter().enumerate() {
            if table.number(*row, column).is_none() {
                continue;
            }
            let (zero, middle) = chart.at(0.0, index as f64);
            let end = chart.at(value(*row, column), index as f64).0;
            let y = middle + (side as f64 - 1.0) * thick;
            let rect = Rect { x: zero.min(end), y, w: (end - zero).abs(), h: thick };
            let colour = chart.colour(&legend[side].name, place);
            chart.canvas.bar(rect, &colour, place);
        }
    }
    let zero = chart.at(0.0, 0.0).0;
    let line = [(zero, chart.area.y), (zero, chart.area.bottom())];
    chart.guide(&line, "");
    let data = data(
        &["parameter", "metric", &table.header[less], &table.header[more]],
        rows.iter().map(|row| {
            vec![
                table.text(*row, parameter).to_owned(),
                of(*row).to_owned(),
                table.text(*row, less).to_owned(),
                table.text(*row, more).to_owned(),
            ]
        }),
    );
    Ok(Figure { svg: chart.canvas.finish("Sensitivities"), data, notes })
}

/// A title without its unit: changes are in per cent.
fn unitless(title: &str) -> &str {
    title.rsplit_once(" (").map_or(title, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_with_one_neighbour_has_one_bar() {
        let drawn = |csv: &[u8]| {
            let table = Table::parse(csv, &[]).unwrap();
            draw(&table, &Options::default(), &Theme::default())
        };
        let both = b"parameter,metric,minus_10_pct,plus_10_pct\na,fps,-2,3\nb,fps,1,4\n";
        let one = b"parameter,metric,minus_10_pct,plus_10_pct\na,fps,-2,3\nb,fps,,4\nc,fps,,\n";
        let edges =
            |figure: &Figure| figure.svg.matches("fill=\"none\" stroke=\"#111111\"").count();
        let both = drawn(both).unwrap();
        let one = drawn(one).unwrap();
        assert_eq!(edges(&both) - edges(&one), 1);
        assert_eq!(one.notes, ["1 of 3 rows left out: no number"]);
        assert_eq!(one.data.lines().count(), 3);
        assert!(drawn(b"parameter,metric,minus_10_pct,plus_10_pct\na,fps,,NaN\n").is_err());
        // Ends of ranges, as validation lists them.
        let ends =
            drawn(b"name,metric,low_pct,high_pct\narrays,fps,-37,20\ntrees,fps,,0.1\n").unwrap();
        assert!(ends.svg.contains("high end") && !ends.svg.contains("10 %"));
    }
}
