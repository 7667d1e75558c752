//! A metric over two parameters: lightness for the value (dark is more), the value itself in each cell where it
//! fits; reads any table with three columns.

use super::bars::names;
use super::{Figure, Options, data, numeric, titled};
use crate::canvas::{Anchor, Rect};
use crate::chart::{Axis, Chart};
use crate::font::CAP_HEIGHT;
use crate::scale::alike;
use crate::{FigureError, Table, Theme};

/// Cells along an axis, at most.
const MOST: usize = 60;
/// Width of the key with its labels, in points.
const KEY: f64 = 46.0;

pub(super) fn draw(table: &Table, options: &Options, theme: &Theme) -> Result<Figure, FigureError> {
    let wanted = |name: &Option<String>, flag: &str| {
        let why = || FigureError::Empty(format!("a heat map needs {flag}"));
        table.need(&[name.as_deref().ok_or_else(why)?])
    };
    let x = wanted(&options.x, "--x COLUMN, the parameter along x")?;
    let y = wanted(&options.by, "--by COLUMN, the parameter along y")?;
    let z = wanted(&options.y, "--y COLUMN, the metric that is shown")?;
    let mut notes = Vec::new();
    let rows = numeric(table, &[z], &mut notes)?;
    let (xs, ys) = (sorted(names(table, &rows, x)), sorted(names(table, &rows, y)));
    if xs.len() > MOST || ys.len() > MOST {
        let what = format!("{} x {} cells are more than {MOST} along an axis", xs.len(), ys.len());
        return Err(FigureError::Empty(what));
    }
    // Several rows of one cell (other parameters differ) count with their mean.
    let mut cells = vec![(0.0_f64, 0_u32); xs.len() * ys.len()];
    let mut several = 0;
    for row in &rows {
        let find = |all: &[String], column: usize| {
            all.iter().position(|name| name == table.text(*row, column)).unwrap_or(0)
        };
        let cell = &mut cells[find(&ys, y) * xs.len() + find(&xs, x)];
        cell.0 += table.number(*row, z).unwrap_or(0.0);
        cell.1 += 1;
        several += u32::from(cell.1 == 2);
    }
    if several > 0 {
        notes.push(format!("{several} cells show the mean of several rows"));
    }
    let means: Vec<Option<f64>> =
        cells.iter().map(|(sum, n)| (*n > 0).then(|| sum / f64::from(*n))).collect();
    let low = means.iter().flatten().copied().fold(f64::INFINITY, f64::min);
    let high = means.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    let share = |value: f64| if high > low { (value - low) / (high - low) } else { 0.5 };
    let mut chart = Chart::with_margin(
        theme,
        1.0 + 0.22 * ys.len().clamp(4, 20) as f64,
        &[],
        Axis::names(options.titled_x(&table.header[x]), &xs),
        Axis::names(titled(&table.header[y]), &ys),
        KEY,
    );
    let (w, h) = (chart.area.w / xs.len() as f64, chart.area.h / ys.len() as f64);
    let size = theme.tick_pt;
    // An empty cell has no text.
    let mut written = alike(&means.iter().flatten().copied().collect::<Vec<_>>()).into_iter();
    let texts: Vec<String> =
        means.iter().map(|mean| mean.and_then(|_| written.next()).unwrap_or_default()).collect();
    let fits = texts.iter().all(|text| chart.ruler.width(text, size) < w - 2.0);
    for (index, mean) in means.iter().enumerate() {
        let Some(mean) = mean else { continue };
        let (cx, cy) = chart.at((index % xs.len()) as f64, (index / xs.len()) as f64);
        let rect = Rect { x: cx - w / 2.0, y: cy - h / 2.0, w, h };
        chart.canvas.fill(rect, &shade(share(*mean)));
        if fits && h > size {
            value(&mut chart, (cx, cy), &texts[index], share(*mean) > 0.5);
        }
    }
    let text_of = |end: f64| {
        means.iter().position(|mean| *mean == Some(end)).map_or("", |index| texts[index].as_str())
    };
    key(&mut chart, &options.titled_y(&table.header[z]), text_of(low), text_of(high));
    let (xs, ys, means) = (&xs, &ys, &means);
    let data = data(
        &[&table.header[x], &table.header[y], &table.header[z]],
        (0..means.len()).filter_map(|index| {
            let mean = means[index]?;
            let place = (index % xs.len(), index / xs.len());
            Some(vec![xs[place.0].clone(), ys[place.1].clone(), format!("{mean:.6}")])
        }),
    );
    Ok(Figure { svg: chart.canvas.finish("Over two parameters"), data, notes })
}

/// The value of a cell, white on dark.
fn value(chart: &mut Chart<'_>, (x, y): (f64, f64), text: &str, dark: bool) {
    let size = chart.theme.tick_pt;
    let at = (x, y + size * CAP_HEIGHT / 2.0);
    if dark {
        chart.canvas.light_text(at, text, size);
    } else {
        chart.canvas.text(at, text, size, Anchor::Middle, 0.0);
    }
}

/// The scale beside the map.
fn key(chart: &mut Chart<'_>, title: &str, low: &str, high: &str) {
    const STEPS: usize = 32;
    let area = chart.area;
    let (left, h) = (area.right() + 6.0, area.h / STEPS as f64);
    for step in 0..STEPS {
        let y = area.bottom() - (step + 1) as f64 * h;
        let colour = shade((step as f64 + 0.5) / STEPS as f64);
        // A hair of overlap, so that viewers show no seams.
        chart.canvas.fill(Rect { x: left, y, w: 7.0, h: h + 0.2 }, &colour);
    }
    let size = chart.theme.tick_pt;
    let ends = [(area.bottom(), low), (area.y + size * CAP_HEIGHT, high)];
    for (y, text) in ends {
        chart.canvas.text((left + 9.0, y), text, size, Anchor::Start, 0.0);
    }
    let title = chart.ruler.fitted(title, size, area.h + area.y);
    let middle = area.y + area.h / 2.0;
    chart.canvas.text((left + 9.0 + size, middle), &title, size, Anchor::Middle, -90.0);
}

/// White to dark blue, even in lightness.
fn shade(share: f64) -> String {
    let mix = |from: f64, to: f64| (from + (to - from) * share.clamp(0.0, 1.0)).round() as u8;
    format!("#{:02x}{:02x}{:02x}", mix(240.0, 8.0), mix(246.0, 48.0), mix(250.0, 107.0))
}

/// Numbers by size, also where a unit follows; other names as they come.
fn sorted(mut all: Vec<String>) -> Vec<String> {
    let number = |text: &String| text.split_whitespace().next().and_then(|n| n.parse::<f64>().ok());
    let factor = |text: &str| match text.split_whitespace().nth(1).map(|unit| unit.chars().next()) {
        Some(Some('k' | 'K')) => 1e3,
        Some(Some('M')) => 1e6,
        Some(Some('G')) => 1e9,
        _ => 1.0,
    };
    if all.iter().all(|text| number(text).is_some()) {
        all.sort_by(|a, b| {
            let size = |text: &String| number(text).unwrap_or(0.0) * factor(text);
            size(a).total_cmp(&size(b))
        });
    }
    all
}
