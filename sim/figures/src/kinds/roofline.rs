//! Kernels under the roofs of one or more GPUs: arithmetic intensity against DRAM over rate.
//!
//! Reads the JSON of `kernel` and `replay`, or a table with `gpu`, `kernel`, `flops`, `dram_bytes` and
//! `time_us`. Roofs are peaks as the catalogue has them; a kernel that L2 feeds stands left of where
//! its footprint would put it only as far as it moves DRAM bytes at all.

use super::{Figure, Options, Series, data, numeric};
use crate::canvas::Stroke;
use crate::chart::{Axis, Chart, Entry, Key, MARK};
use crate::scale::Scale;
use crate::theme::dash;
use crate::{FigureError, Table, Theme};

struct Point {
    kernel: String,
    gpu: String,
    /// FLOP per byte.
    intensity: f64,
    /// TFLOP/s.
    rate: f64,
    /// Time it takes in all, in µs: the weight by which labels are dealt.
    weight: f64,
}

fn points(table: &Table, notes: &mut Vec<String>) -> Result<Vec<Point>, FigureError> {
    let gpu = table.need(&["gpu"])?;
    let kernel = table.any(&["kernel", "name", "class", "variant"]);
    let (flops, per_flop) = match table.any(&["flops"]) {
        Some(column) => (column, 1.0),
        None => (table.need(&["gflop", "flops"])?, 1e9),
    };
    let (time, per_us) = match table.any(&["time_us", "predicted_us"]) {
        Some(column) => (column, 1.0),
        None => (table.need(&["time_ns", "time_us", "predicted_us"])?, 1e-3),
    };
    let read = table.need(&["dram_bytes", "dram_read_bytes", "dram_mb"])?;
    let per_byte = if table.header[read] == "dram_mb" { 1e6 } else { 1.0 };
    let written = table.any(&["dram_write_bytes"]).filter(|_| table.header[read] != "dram_bytes");
    let count = table.any(&["count"]);
    let rows = numeric(table, &[flops, time, read], notes)?;
    let value = |row: usize, column: usize| table.number(row, column).unwrap_or(0.0);
    let mut all = Vec::new();
    for row in &rows {
        let bytes = (value(*row, read) + written.map_or(0.0, |c| value(*row, c))) * per_byte;
        let (work, us) = (value(*row, flops) * per_flop, value(*row, time) * per_us);
        if bytes > 0.0 && work > 0.0 && us > 0.0 {
            all.push(Point {
                kernel: kernel.map_or_else(String::new, |c| table.text(*row, c).to_owned()),
                gpu: table.text(*row, gpu).to_owned(),
                intensity: work / bytes,
                rate: work / us / 1e6,
                weight: us * count.map_or(1.0, |c| value(*row, c)),
            });
        }
    }
    if all.len() < rows.len() {
        notes
            .push(format!("{} kernels without arithmetic or DRAM traffic", rows.len() - all.len()));
    }
    if all.is_empty() {
        return Err(FigureError::Empty("no kernel has arithmetic and DRAM traffic".to_owned()));
    }
    Ok(all)
}

pub(super) fn draw(table: &Table, options: &Options, theme: &Theme) -> Result<Figure, FigureError> {
    let mut notes = Vec::new();
    let points = points(table, &mut notes)?;
    let series = Series::of(points.iter().map(|point| point.gpu.as_str()), theme);
    let roofs: Vec<_> = options.roofs.iter().filter(|r| series.names.contains(&r.gpu)).collect();
    let name_of = |gpu: &String| {
        let roof = roofs.iter().find(|roof| roof.gpu == *gpu);
        roof.map_or_else(|| gpu.clone(), |roof| roof.name.clone())
    };
    let legend: Vec<Entry> = series
        .names
        .iter()
        .zip(&series.places)
        .map(|(name, place)| Entry { name: name_of(name), place: *place, key: Key::LineMark })
        .collect();
    let ridges = roofs
        .iter()
        .flat_map(|roof| roof.peaks.iter().map(|(_, peak)| peak * 1e3 / roof.bandwidth_gbs));
    let x = Scale::log(points.iter().map(|p| p.intensity).chain(ridges.map(|r| r * 3.0)));
    let peaks = roofs.iter().flat_map(|roof| roof.peaks.iter().map(|(_, peak)| *peak * 1.3));
    let y = Scale::log(points.iter().map(|p| p.rate).chain(peaks));
    let mut chart = Chart::new(
        theme,
        2.5,
        &legend,
        Axis::numbers("arithmetic intensity (FLOP per DRAM byte)", x),
        Axis::numbers("rate (TFLOP/s)", y),
    );
    let area = chart.area;
    chart.canvas.clip(area);
    let (low, high) = x.ends();
    let mut peak_names: Vec<((f64, f64), String)> = Vec::new();
    for roof in &roofs {
        let index = series.names.iter().position(|name| *name == roof.gpu).unwrap_or(0);
        let place = series.places[index];
        let colour = chart.colour(&roof.name, place);
        for (pipe, peak) in &roof.peaks {
            let slope = roof.bandwidth_gbs / 1e3;
            let ridge = (peak / slope).clamp(low, high);
            let line = [
                chart.at(low, low * slope),
                chart.at(ridge, (ridge * slope).min(*peak)),
                chart.at(high, *peak),
            ];
            chart
                .canvas
                .line(&line, Stroke { colour: &colour, width: theme.line_pt, dash: dash(place) });
            chart.keep_clear_along(&line);
            // Roofs of several GPUs may lie close to each other.
            let name = if roofs.len() > 1 {
                format!("{} {pipe}", brief(&roof.name))
            } else {
                pipe.clone()
            };
            peak_names.push((chart.at(high, *peak), name));
        }
    }
    chart.canvas.unclip();
    let mut drawn: Vec<((f64, f64), &Point)> = Vec::new();
    for point in &points {
        let index = series.names.iter().position(|name| *name == point.gpu);
        let place = series.places[index.unwrap_or(series.names.len() - 1)];
        let colour = chart.colour(&name_of(&point.gpu), place);
        let at = chart.at(point.intensity, point.rate);
        chart.canvas.mark(at, place, MARK, &colour);
        chart.keep_clear(at, MARK);
        drawn.push((at, point));
    }
    for ((right, peak), name) in peak_names {
        let width = chart.ruler.width(&name, theme.tick_pt);
        chart.label((right - width - 6.0, peak - 1.0), &name);
    }
    drawn.sort_by(|a, b| b.1.weight.total_cmp(&a.1.weight).then(a.1.kernel.cmp(&b.1.kernel)));
    let wanted = if options.labels == 0 { 5 } else { options.labels };
    let mut named: Vec<&str> = Vec::new();
    for (at, point) in drawn {
        if named.len() >= wanted
            || point.kernel.is_empty()
            || named.contains(&point.kernel.as_str())
        {
            continue;
        }
        chart.label(at, &short(&point.kernel));
        named.push(&point.kernel);
    }
    let data = data(
        &["gpu", "kernel", "flop_per_dram_byte", "tflop_per_s"],
        points.iter().map(|p| {
            vec![
                p.gpu.clone(),
                p.kernel.clone(),
                format!("{:.6}", p.intensity),
                format!("{:.6}", p.rate),
            ]
        }),
    );
    Ok(Figure { svg: chart.canvas.finish("Roofline"), data, notes })
}

/// A GPU's name up to its number.
fn brief(name: &str) -> String {
    let words: Vec<&str> = name.split(' ').collect();
    let number = |word: &&str| word.chars().any(|c| c.is_ascii_digit());
    let end = words.iter().position(number).map_or(words.len(), |at| at + 1);
    words[..end].join(" ")
}

/// A kernel's name without template arguments, at most 26 letters.
fn short(name: &str) -> String {
    let name = name.strip_prefix("void ").unwrap_or(name);
    let plain = name.split(['<', '(']).next().unwrap_or(name);
    let last = plain.rsplit("::").next().unwrap_or(plain);
    if last.chars().count() <= 26 {
        return last.to_owned();
    }
    last.chars().take(25).chain(['…']).collect()
}
