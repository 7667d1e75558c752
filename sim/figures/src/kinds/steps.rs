//! Curves over named steps: a metric of systems whose settings stand side by side at equal distances,
//! whatever they measure; reads what `study` and `explore` write, or any table with a setting, a metric and a
//! name for each curve.

use super::bars::names;
use super::{Figure, Options, Series, curve, data, numeric};
use crate::chart::{Axis, Chart, Key};
use crate::scale::Scale;
use crate::{FigureError, Table, Theme};

pub(super) fn draw(table: &Table, options: &Options, theme: &Theme) -> Result<Figure, FigureError> {
    let wanted = |name: &Option<String>, flag: &str| {
        let why = || FigureError::Empty(format!("curves over steps need {flag}"));
        table.need(&[name.as_deref().ok_or_else(why)?])
    };
    let x = wanted(&options.x, "--x COLUMN, the setting along x")?;
    let y = wanted(&options.y, "--y COLUMN, the metric")?;
    let by = options.by.as_deref().map(|by| table.need(&[by])).transpose()?;
    let mut notes = Vec::new();
    let rows = numeric(table, &[y], &mut notes)?;
    let value = |row: usize| table.number(row, y).unwrap_or(0.0);
    let values = rows.iter().map(|row| value(*row));
    if options.log && values.clone().any(|value| value <= 0.0) {
        let what = format!("\"{}\" is not positive everywhere: no logarithm", table.header[y]);
        return Err(FigureError::Empty(what));
    }
    let scale = if options.log { Scale::log(values) } else { Scale::from_zero(values) };
    let steps = names(table, &rows, x);
    let of = |row: usize| by.map_or("", |by| table.text(row, by));
    let series = Series::of(rows.iter().map(|row| of(*row)), theme);
    let mut chart = Chart::new(
        theme,
        2.2,
        &series.legend(Key::LineMark),
        Axis::names(options.titled_x(&table.header[x]), &steps),
        Axis::numbers(options.titled_y(&table.header[y]), scale),
    );
    let step_of = |row: usize| steps.iter().position(|step| step == table.text(row, x));
    for (index, (name, place)) in series.names.iter().zip(&series.places).enumerate() {
        let mine = rows.iter().enumerate().filter(|(order, _)| series.of[*order] == index);
        let mut points: Vec<(f64, f64)> =
            mine.filter_map(|(_, row)| Some((step_of(*row)? as f64, value(*row)))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        curve(&mut chart, &points, name, *place);
    }
    let by_name = by.map_or("series", |by| table.header[by].as_str());
    let data = data(
        &[&table.header[x], by_name, &table.header[y]],
        rows.iter().map(|row| {
            [table.text(*row, x), of(*row), table.text(*row, y)].map(ToOwned::to_owned).to_vec()
        }),
    );
    Ok(Figure { svg: chart.canvas.finish("Over steps"), data, notes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_have_a_mark_for_every_step_that_they_know() {
        let csv = b"size,who,ms\n1 MiB,a,3\n2 MiB,a,2\n1 MiB,b,4\n4 MiB,b,\n";
        let table = Table::parse(csv, &[]).unwrap();
        let some = |text: &str| Some(text.to_owned());
        let options =
            Options { x: some("size"), y: some("ms"), by: some("who"), ..Options::default() };
        let figure = draw(&table, &options, &Theme::default()).unwrap();
        // A step that no curve has a value at takes no place; the key shows each mark once more.
        for (word, count) in [("1 MiB", 1), ("2 MiB", 1), ("4 MiB", 0), ("<circle", 3)] {
            assert_eq!(figure.svg.matches(word).count(), count, "{word}");
        }
        assert_eq!(figure.data, "size,who,ms\n1 MiB,a,3\n2 MiB,a,2\n1 MiB,b,4\n");
        let log = Options { log: true, ..options.clone() };
        assert!(draw(&table, &log, &Theme::default()).is_ok());
        let zero = Table::parse(b"size,who,ms\n1,a,0\n", &[]).unwrap();
        assert!(
            draw(&zero, &log, &Theme::default()).unwrap_err().to_string().contains("logarithm")
        );
        assert!(draw(&table, &Options::default(), &Theme::default()).is_err());
    }
}
