//! Kernels under the roofs of one or more GPUs: arithmetic intensity against DRAM over rate.
//!
//! Reads the JSON of `kernel` and `replay`, or a table with `gpu`, `kernel`, `flops`, `dram_bytes` and
//! `time_us`. Roofs are peaks as the catalogue has them; a kernel that L2 feeds stands left of where
//! its footprint would put it only as far as it moves DRAM bytes at all.

use super::{Figure, Options, Roof, Series, data, numeric};
use crate::canvas::Stroke;
use crate::chart::{Axis, Chart, Entry, Key, MARK};
use crate::scale::Scale;
use crate::theme::dash;
use crate::words::worded;
use crate::{FigureError, Table, Theme};

/// Points up to which each has a mark of its own.
const MARKS: usize = 400;

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
    let (x, y) = scales(&roofs, &points);
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
    let mut peak_names: Vec<([(f64, f64); 2], String)> = Vec::new();
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
            peak_names.push(([line[1], line[2]], pipe.clone()));
        }
    }
    chart.canvas.unclip();
    let mut drawn: Vec<((f64, f64), &Point)> = Vec::new();
    for (index, (gpu, place)) in series.names.iter().zip(&series.places).enumerate() {
        let colour = chart.colour(&name_of(gpu), *place);
        let mine = points.iter().enumerate().filter(|(order, _)| series.of[*order] == index);
        let mine: Vec<((f64, f64), &Point)> =
            mine.map(|(_, point)| (chart.at(point.intensity, point.rate), point)).collect();
        for (at, _) in &mine {
            if points.len() <= MARKS {
                chart.canvas.mark(*at, *place, MARK, &colour);
            }
            chart.keep_clear(*at, MARK);
        }
        if points.len() > MARKS {
            let places: Vec<(f64, f64)> = mine.iter().map(|(at, _)| *at).collect();
            chart.canvas.dots(&places, 1.5, &colour, 0.5);
        }
        drawn.extend(mine);
    }
    let mut nameless = name_roofs(&mut chart, peak_names);
    drawn.sort_by(|a, b| b.1.weight.total_cmp(&a.1.weight).then(a.1.kernel.cmp(&b.1.kernel)));
    let wanted = if options.labels == 0 { 5 } else { options.labels };
    let mut named: Vec<(&str, &str)> = Vec::new();
    for (at, point) in drawn {
        if named.len() >= wanted
            || point.kernel.is_empty()
            || named.contains(&(&point.gpu, &point.kernel))
        {
            continue;
        }
        nameless += usize::from(!chart.label(at, &worded(&short(&point.kernel))));
        named.push((&point.gpu, &point.kernel));
    }
    if nameless > 0 {
        notes.push(format!(
            "{nameless} {} had no room",
            if nameless == 1 { "label" } else { "labels" }
        ));
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

/// Axes on which every roof is seen: its ridge with level line to the right of it, and its name above
/// or below.
fn scales(roofs: &[&Roof], points: &[Point]) -> (Scale, Scale) {
    let all = roofs.iter().flat_map(|roof| {
        roof.peaks.iter().map(|(_, peak)| (peak * 1e3 / roof.bandwidth_gbs, *peak))
    });
    let ridges = all.clone().flat_map(|(ridge, _)| [ridge, ridge * 8.0]);
    let peaks = all.flat_map(|(_, peak)| [peak / 1.3, peak * 1.3]);
    (
        Scale::log(points.iter().map(|p| p.intensity).chain(ridges)),
        Scale::log(points.iter().map(|p| p.rate).chain(peaks)),
    )
}

/// Names roofs by their pipes (a roof goes from the first of its points to the second) and says how many had no room.
fn name_roofs(chart: &mut Chart<'_>, mut roofs: Vec<([(f64, f64); 2], String)>) -> usize {
    // From the top down, each above its line, else below it: the line tells the GPU.
    roofs.sort_by(|a, b| a.0[1].1.total_cmp(&b.0[1].1));
    let nameless = roofs
        .iter()
        .filter(|([ridge, right], name)| !chart.label_along(ridge.0, right.0, right.1, name));
    nameless.count()
}

/// Names of templates that say nothing of what they run; their first argument does.
const WRAPPERS: [&str; 4] = ["Kernel", "Kernel2", "device_kernel", "kernel"];

/// A kernel's name without template arguments, its middle left out beyond 26 letters.
fn short(name: &str) -> String {
    let mut name = name.strip_prefix("void ").unwrap_or(name);
    let last = loop {
        let plain = name.split(['<', '(']).next().unwrap_or(name);
        let last = plain.rsplit("::").next().unwrap_or(plain);
        match name[plain.len()..].strip_prefix('<') {
            Some(inner) if WRAPPERS.contains(&last) => {
                name = inner.split([',', '>']).next().unwrap_or(inner);
            }
            _ => break last,
        }
    };
    let last: Vec<char> = last.chars().collect();
    if last.len() <= 26 {
        return last.into_iter().collect();
    }
    last[..16].iter().chain(&['…']).chain(&last[last.len() - 9..]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Roof;

    #[test]
    fn wrappers_are_named_by_what_they_run() {
        let wrapped = "void cutlass::Kernel<cutlass_80_tensorop_s1688gemm>(cutlass_80::Params)";
        assert_eq!(short(wrapped), "cutlass_80_tenso…s1688gemm");
        assert_eq!(short("void at::native::reduce_kernel<512, 1>(int)"), "reduce_kernel");
        assert_eq!(short("kernel(int)"), "kernel");
    }

    #[test]
    fn roofs_below_every_point_are_drawn_and_named() {
        let csv = "gpu,kernel,flops,time_us,dram_bytes\na,product,137438953472,540,201326592\n"
            .as_bytes();
        let table = Table::parse(csv, &[]).unwrap();
        let peaks = vec![("fp16 tensor".to_owned(), 312.0), ("fp32".to_owned(), 19.5)];
        let roof = Roof { gpu: "a".to_owned(), name: "A".to_owned(), peaks, bandwidth_gbs: 2039.0 };
        let options = Options { roofs: vec![roof], ..Options::default() };
        let figure = draw(&table, &options, &Theme::default()).unwrap();
        assert_eq!(figure.notes, Vec::<String>::new());
        for name in ["fp16 tensor", "fp32"] {
            assert!(figure.svg.contains(&format!(">{name}<")), "{name}");
        }
    }
}
