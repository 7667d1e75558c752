//! Curves: power, time or energy over the clock; hit rate and bank conflicts by level of a grid; frame times
//! along a camera path.

use super::{Figure, Options, Series, curve, data, numeric, titled};
use crate::chart::{Axis, Chart, Key, MARK};
use crate::scale::Scale;
use crate::{FigureError, Table, Theme};

struct Plan<'a> {
    x: usize,
    y: usize,
    /// A name for each row.
    names: Vec<String>,
    title: &'a str,
    x_title: String,
    y_title: String,
    from_zero: bool,
    height_in: f64,
}

/// Draws curves; the chart is handed back unfinished, for marks of the kind.
fn lines<'a>(
    table: &Table,
    plan: &Plan<'_>,
    theme: &'a Theme,
) -> Result<(Chart<'a>, Vec<usize>, String, Vec<String>), FigureError> {
    let mut notes = Vec::new();
    let rows = numeric(table, &[plan.x, plan.y], &mut notes)?;
    let value = |row: usize, column: usize| table.number(row, column).unwrap_or(0.0);
    let series = Series::of(rows.iter().map(|row| plan.names[*row].as_str()), theme);
    let ys = rows.iter().map(|row| value(*row, plan.y));
    let y = if plan.from_zero { Scale::from_zero(ys) } else { Scale::around(ys) };
    let mut chart = Chart::new(
        theme,
        plan.height_in,
        &series.legend(Key::LineMark),
        Axis::numbers(&plan.x_title, Scale::around(rows.iter().map(|row| value(*row, plan.x)))),
        Axis::numbers(&plan.y_title, y),
    );
    for (index, (name, place)) in series.names.iter().zip(&series.places).enumerate() {
        let mine = rows.iter().enumerate().filter(|(order, _)| series.of[*order] == index);
        let mut points: Vec<(f64, f64)> =
            mine.map(|(_, row)| (value(*row, plan.x), value(*row, plan.y))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        curve(&mut chart, &points, name, *place);
    }
    let data = data(
        &["series", &table.header[plan.x], &table.header[plan.y]],
        rows.iter().map(|row| {
            vec![
                plan.names[*row].clone(),
                table.text(*row, plan.x).to_owned(),
                table.text(*row, plan.y).to_owned(),
            ]
        }),
    );
    Ok((chart, rows, data, notes))
}

fn joined(table: &Table, columns: &[Option<usize>]) -> Vec<String> {
    // A column that says the same everywhere tells nothing apart.
    let telling: Vec<usize> = columns
        .iter()
        .flatten()
        .copied()
        .filter(|c| (1..table.rows.len()).any(|row| table.text(row, *c) != table.text(0, *c)))
        .collect();
    (0..table.rows.len())
        .map(|row| telling.iter().map(|c| named(table, row, *c)).collect::<Vec<_>>().join(", "))
        .collect()
}

/// A cell as a name: a memory clock says what it is.
fn named(table: &Table, row: usize, column: usize) -> String {
    let text = table.text(row, column);
    match text.parse::<f64>() {
        Ok(mhz) if table.header[column] == "mem_clock_mhz" => format!("memory {mhz:.0} MHz"),
        _ => text.to_owned(),
    }
}

/// Clock sweeps: `--y` chooses power, time or energy.
pub(super) fn dvfs(table: &Table, options: &Options, theme: &Theme) -> Result<Figure, FigureError> {
    let x = table.need(&[options.x.as_deref().unwrap_or("clock_mhz")])?;
    let y = table.need(&[options.y.as_deref().unwrap_or("energy_mj"), "energy_mj", "power_w"])?;
    let names = match &options.by {
        Some(by) => joined(table, &[Some(table.need(&[by])?)]),
        None => joined(table, &["gpu", "kernel", "mem_clock_mhz"].map(|name| table.any(&[name]))),
    };
    let plan = Plan {
        x,
        y,
        names,
        title: "Over the clock",
        x_title: "SM clock (MHz)".to_owned(),
        y_title: options.titled_y(&table.header[y]),
        from_zero: true,
        height_in: 2.2,
    };
    let (mut chart, rows, data, notes) = lines(table, &plan, theme)?;
    let optimal = table.any(&["optimal"]);
    let mut ringed = false;
    let points: Vec<(f64, f64)> = rows
        .iter()
        .filter_map(|row| Some(chart.at(table.number(*row, x)?, table.number(*row, y)?)))
        .collect();
    for row in rows {
        if optimal.is_some_and(|column| matches!(table.text(row, column), "true" | "1" | "yes")) {
            let at = table.number(row, x).zip(table.number(row, y)).map(|(x, y)| chart.at(x, y));
            if let Some((cx, cy)) = at {
                let ring: Vec<(f64, f64)> = (0..=32)
                    .map(|i| f64::from(i) * std::f64::consts::TAU / 32.0)
                    .map(|a| (cx + MARK * 2.0 * libm::cos(a), cy + MARK * 2.0 * libm::sin(a)))
                    .collect();
                chart.guide(&ring, "");
                chart.keep_clear((cx, cy), MARK * 2.0);
                ringed = true;
            }
        }
    }
    if ringed {
        chart.note("ringed: least energy", &points);
    }
    Ok(Figure { svg: chart.canvas.finish(plan.title), data, notes })
}

/// Levels of a grid: `--y` chooses the metric.
pub(super) fn levels(
    table: &Table,
    options: &Options,
    theme: &Theme,
) -> Result<Figure, FigureError> {
    let x = table.need(&[options.x.as_deref().unwrap_or("level")])?;
    let y = table.need(&[options.y.as_deref().unwrap_or("hit_pct"), "hit_pct"])?;
    let mut columns: Vec<Option<usize>> =
        ["gpu", "accelerator", "at"].iter().map(|name| table.any(&[name])).collect();
    if let Some(by) = &options.by {
        columns = vec![Some(table.need(&[by])?)];
    }
    let plan = Plan {
        x,
        y,
        names: joined(table, &columns),
        title: "By level of the grid",
        x_title: "level of the grid (coarse to fine)".to_owned(),
        y_title: match table.header[y].as_str() {
            "hit_pct" => "lookups answered (%)".to_owned(),
            other => titled(other),
        },
        from_zero: true,
        height_in: 2.1,
    };
    let (chart, _, data, notes) = lines(table, &plan, theme)?;
    Ok(Figure { svg: chart.canvas.finish(plan.title), data, notes })
}

/// Frame times along a path.
pub(super) fn frame_times(
    table: &Table,
    options: &Options,
    theme: &Theme,
) -> Result<Figure, FigureError> {
    let x = table.need(&[options.x.as_deref().unwrap_or("at")])?;
    let y = table.need(&[options.y.as_deref().unwrap_or("frame_ms"), "frame_time_ms"])?;
    let columns = match &options.by {
        Some(by) => vec![Some(table.need(&[by])?)],
        None => vec![table.any(&["gpu"]), table.any(&["accelerator"])],
    };
    let mut names = joined(table, &columns);
    for name in &mut names {
        // A frame without an accelerator has an empty cell there.
        if let Some(alone) = name.strip_suffix(", ") {
            *name = alone.to_owned();
        }
        if name.is_empty() {
            "GPU alone".clone_into(name);
        }
    }
    let plan = Plan {
        x,
        y,
        names,
        title: "Frame times along the camera path",
        x_title: "share of the camera path".to_owned(),
        y_title: "frame time (ms)".to_owned(),
        from_zero: true,
        height_in: 2.1,
    };
    let (chart, _, data, notes) = lines(table, &plan, theme)?;
    Ok(Figure { svg: chart.canvas.finish(plan.title), data, notes })
}
