//! Design points over two metrics, with the front through those that nothing beats and labels at picks
//! along it; reads `results.csv` of an exploration, or any table with two metrics.

use super::{Figure, Options, Series, data, numeric};
use crate::canvas::Stroke;
use crate::chart::{Axis, Chart, Entry, Key, MARK};
use crate::scale::Scale;
use crate::theme::dash;
use crate::{FigureError, Table, Theme};

/// Points up to which each has a mark.
const MARKS: usize = 600;
/// Place in the palette of the front where points have marks of their own.
const FRONT_LINE: usize = 2;
/// What designs are called that miss a limit.
const OUTSIDE: &str = "outside of a limit";
/// Metrics of which more is better.
const MORE: [&str; 6] =
    ["fps", "frames_per_s", "speedup", "as_published_speedup", "frames_per_j", "frames_per_s_mm2"];

pub(super) fn draw(table: &Table, options: &Options, theme: &Theme) -> Result<Figure, FigureError> {
    let first = options.x.as_deref().map_or(vec!["area_mm2", "power_w", "energy_mj"], |x| vec![x]);
    let second = options.y.as_deref().map_or(vec!["frame_time_ms", "frame_ms", "fps"], |y| vec![y]);
    let (x, y) = (table.need(&first)?, table.need(&second)?);
    let by = options.by.as_deref().map(|by| table.need(&[by])).transpose()?;
    let mut notes = Vec::new();
    let rows = numeric(table, &[x, y], &mut notes)?;
    let value = |row: usize, column: usize| table.number(row, column).unwrap_or(0.0);
    let points: Vec<(f64, f64)> = rows.iter().map(|row| (value(*row, x), value(*row, y))).collect();
    let less = |column: usize| !MORE.contains(&table.header[column].as_str());
    // Designs outside of a limit are shown, but are no part of the front.
    let feasible = table.any(&["feasible"]);
    let within: Vec<usize> = (0..rows.len())
        .filter(|index| feasible.is_none_or(|c| table.text(rows[*index], c) != "false"))
        .collect();
    let inside: Vec<(f64, f64)> = within.iter().map(|index| points[*index]).collect();
    let front: Vec<usize> =
        front(&inside, less(x), less(y)).into_iter().map(|index| within[index]).collect();
    let log =
        |pick: fn(&(f64, f64)) -> f64| options.log && points.iter().all(|point| pick(point) > 0.0);
    let scale = |pick: fn(&(f64, f64)) -> f64| {
        let values = points.iter().map(pick);
        if log(pick) { Scale::log(values) } else { Scale::around(values) }
    };
    let series = Series::by(table, by, theme);
    let mut legend = series.legend(Key::Mark);
    // A series of which every design misses a limit has no marks of its own.
    let shown =
        |name: &str| within.iter().any(|at| series.names[series.of[rows[*at]]].as_str() == name);
    legend.retain(|entry| shown(&entry.name));
    // Points of several series keep their own marks, the front is a line through them.
    let several = series.names.len() > 1;
    let (place, key) = if several { (FRONT_LINE, Key::Line) } else { (4, Key::LineMark) };
    legend.push(Entry { name: "Pareto front".to_owned(), place, key });
    let outside = within.len() < rows.len();
    if outside {
        legend.push(Entry { name: OUTSIDE.to_owned(), place: 5, key: Key::Mark });
    }
    let mut chart = Chart::new(
        theme,
        2.5,
        &legend,
        Axis::numbers(options.titled_x(&table.header[x]), scale(|p| p.0)),
        Axis::numbers(options.titled_y(&table.header[y]), scale(|p| p.1)),
    );
    let line: Vec<(f64, f64)> =
        front.iter().map(|index| chart.at(points[*index].0, points[*index].1)).collect();
    let colour = chart.colour("Pareto front", place);
    staircase(&mut chart, &line, less(x), (&colour, place));
    for (index, (name, place)) in series.names.iter().zip(&series.places).enumerate() {
        // One series stands back behind the front.
        let colour = if several { chart.colour(name, *place) } else { "#9a9a9a".to_owned() };
        let mine = within.iter().filter(|at| series.of[rows[**at]] == index);
        let drawn: Vec<(f64, f64)> = mine.map(|at| points[*at]).collect();
        scattered(&mut chart, &drawn, points.len(), *place, &colour);
    }
    if outside {
        let colour = chart.colour(OUTSIDE, 5);
        let mut rest = within.iter().peekable();
        let others = (0..rows.len()).filter(|index| rest.next_if_eq(&index).is_none());
        let drawn: Vec<(f64, f64)> = others.map(|at| points[at]).collect();
        scattered(&mut chart, &drawn, points.len(), 5, &colour);
    }
    for point in &line {
        if !several {
            chart.canvas.mark(*point, place, MARK, &colour);
        }
        chart.keep_clear(*point, MARK);
    }
    let id = table.any(&["point", "name", "accelerator", "system"]).unwrap_or(0);
    let wanted = if options.labels == 0 { 4 } else { options.labels };
    let mut missing = 0;
    for index in picks(front.len(), wanted) {
        let row = rows[front[index]];
        let text = named(table, row, id);
        missing += usize::from(!chart.label(line[index], &text));
    }
    if missing > 0 {
        notes.push(format!(
            "{missing} {} had no room",
            if missing == 1 { "label" } else { "labels" }
        ));
    }
    let data = data(
        &["point", &table.header[x], &table.header[y], "pareto"],
        rows.iter().enumerate().map(|(index, row)| {
            vec![
                table.text(*row, id).to_owned(),
                table.text(*row, x).to_owned(),
                table.text(*row, y).to_owned(),
                front.contains(&index).to_string(),
            ]
        }),
    );
    Ok(Figure { svg: chart.canvas.finish("Design points and their Pareto front"), data, notes })
}

/// The front as a line: between two of its designs there is nothing, so it goes in steps. Labels keep clear.
fn staircase(
    chart: &mut Chart<'_>,
    line: &[(f64, f64)],
    less_x: bool,
    (colour, place): (&str, usize),
) {
    let mut steps: Vec<(f64, f64)> = Vec::new();
    for point in line {
        if let Some(last) = steps.last().copied() {
            steps.push(if less_x { (point.0, last.1) } else { (last.0, point.1) });
        }
        steps.push(*point);
    }
    let width = chart.theme.line_pt * 0.8;
    chart
        .canvas
        .line(&steps, Stroke { colour, width, dash: if place == 4 { "" } else { dash(place) } });
    chart.keep_clear_along(&steps);
}

/// Points in data coordinates; where there are few in `all`, each has a mark that labels keep clear of.
fn scattered(chart: &mut Chart<'_>, points: &[(f64, f64)], all: usize, place: usize, colour: &str) {
    let drawn: Vec<(f64, f64)> = points.iter().map(|(x, y)| chart.at(*x, *y)).collect();
    if all > MARKS {
        chart.canvas.dots(&drawn, 1.4, colour, 0.6);
        return;
    }
    for point in drawn {
        chart.canvas.mark(point, place, MARK * 0.8, colour);
        chart.keep_clear(point, MARK * 0.8);
    }
}

fn named(table: &Table, row: usize, id: usize) -> String {
    let text = table.text(row, id);
    let number = text.parse::<u64>().is_ok() && table.header[id] == "point";
    if number { format!("#{text}") } else { text.to_owned() }
}

/// Indices of points that no other beats in both, along x.
fn front(points: &[(f64, f64)], less_x: bool, less_y: bool) -> Vec<usize> {
    let good = |index: usize| {
        let (x, y) = points[index];
        (if less_x { x } else { -x }, if less_y { y } else { -y })
    };
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|a, b| {
        let ((ax, ay), (bx, by)) = (good(*a), good(*b));
        ax.total_cmp(&bx).then(ay.total_cmp(&by)).then(a.cmp(b))
    });
    let mut best = f64::INFINITY;
    order.retain(|index| {
        let y = good(*index).1;
        let beats = y < best;
        best = best.min(y);
        beats
    });
    order
}

/// Evenly spread places, ends included.
fn picks(count: usize, wanted: usize) -> Vec<usize> {
    if count <= wanted {
        return (0..count).collect();
    }
    let mut all: Vec<usize> = (0..wanted).map(|i| i * (count - 1) / (wanted - 1).max(1)).collect();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_is_what_nothing_beats() {
        let points = [(1.0, 9.0), (2.0, 5.0), (3.0, 6.0), (4.0, 5.0), (5.0, 1.0)];
        assert_eq!(front(&points, true, true), [0, 1, 4]);
        assert_eq!(front(&points, true, false), [0]);
        assert_eq!(picks(10, 4), [0, 3, 6, 9]);
        assert_eq!(picks(2, 4), [0, 1]);
    }

    /// What misses a limit is drawn, but the front goes past it.
    #[test]
    fn designs_outside_of_a_limit_are_no_part_of_the_front() {
        let csv =
            b"point,area_mm2,frame_ms,feasible\n0,1,9,true\n1,2,1,false\n2,3,5,true\n3,,,false\n";
        let table = Table::parse(csv, &[]).unwrap();
        let figure = draw(&table, &Options::default(), &Theme::default()).unwrap();
        let front = |line: &&str| line.ends_with(",true");
        assert_eq!(
            figure.data.lines().filter(front).collect::<Vec<_>>(),
            ["0,1,9,true", "2,3,5,true"]
        );
        assert_eq!(figure.data.lines().count(), 4);
        assert!(figure.svg.contains(OUTSIDE));
    }
}
