//! The kinds of figures: which columns each reads, and how it draws them.

mod bars;
mod breakdown;
mod curves;
mod errors;
mod heatmap;
mod pareto;
mod roofline;
mod scatter;
mod steps;
mod tornado;

use std::collections::BTreeMap;

use crate::canvas::Stroke;
use crate::chart::{Chart, Entry, Key, MARK};
use crate::theme::dash;
use crate::words::titled;
use crate::{FigureError, Table, Theme};

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Kernels under the roofs of one or more GPUs.
    Roofline,
    /// Speedups by application and scale, with Amdahl's limit and published values.
    Speedup,
    /// Stacked parts of time, energy or area.
    Breakdown,
    /// Design points with the front and named picks.
    Pareto,
    /// Predicted against measured.
    Scatter,
    /// Distribution of errors by class.
    Errors,
    /// Time, power and energy over the clock.
    Dvfs,
    /// Sensitivities to parameters.
    Tornado,
    /// Hit rate and bank conflicts by level of a grid.
    Levels,
    /// Frame times along a camera path.
    FrameTimes,
    /// A metric over two parameters.
    Heatmap,
    /// A metric over named steps, as studies have them.
    Steps,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Roofline,
        Self::Speedup,
        Self::Breakdown,
        Self::Pareto,
        Self::Scatter,
        Self::Errors,
        Self::Dvfs,
        Self::Tornado,
        Self::Levels,
        Self::FrameTimes,
        Self::Heatmap,
        Self::Steps,
    ];

    /// Arrays of a JSON result whose records are drawn, the wanted ones first.
    pub const fn records(self) -> &'static [&'static str] {
        match self {
            Self::Roofline => &["kernels", "results"],
            Self::Breakdown => &["parts", "classes"],
            Self::Levels => &["levels"],
            Self::Tornado => &["free", "rows"],
            _ => &["frames", "results", "rows"],
        }
    }
}

/// What may be asked of a figure.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// Column along x.
    pub x: Option<String>,
    /// Column along y, or the metric that is stacked or coloured.
    pub y: Option<String>,
    /// Column that tells series apart.
    pub by: Option<String>,
    /// Title of the x axis instead of one made from the column.
    pub x_title: Option<String>,
    /// Title of the y axis (or of what is stacked or coloured).
    pub y_title: Option<String>,
    /// Logarithmic axes where the kind leaves it open.
    pub log: bool,
    /// Labels of points: how many at most.
    pub labels: usize,
    /// Roofs by GPU.
    pub roofs: Vec<Roof>,
}

impl Options {
    fn titled_x(&self, column: &str) -> String {
        self.x_title.clone().unwrap_or_else(|| titled(column))
    }

    fn titled_y(&self, column: &str) -> String {
        self.y_title.clone().unwrap_or_else(|| titled(column))
    }
}

/// The peaks of a GPU.
#[derive(Debug, Clone, PartialEq)]
pub struct Roof {
    /// Name as the rows have it.
    pub gpu: String,
    /// Name as printed.
    pub name: String,
    /// Peaks of the compute pipes with their names, in TFLOP/s.
    pub peaks: Vec<(String, f64)>,
    /// DRAM bandwidth, in GB/s.
    pub bandwidth_gbs: f64,
}

/// A drawn figure with the data behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// The drawing.
    pub svg: String,
    /// What was drawn, as CSV.
    pub data: String,
    /// What a person should know: rows left out and the like.
    pub notes: Vec<String>,
}

/// Draws a figure.
///
/// # Errors
/// When the table lacks what the kind needs.
pub fn draw(
    kind: Kind,
    table: &Table,
    options: &Options,
    theme: &Theme,
) -> Result<Figure, FigureError> {
    match kind {
        Kind::Roofline => roofline::draw(table, options, theme),
        Kind::Speedup => bars::draw(table, options, theme),
        Kind::Breakdown => breakdown::draw(table, options, theme),
        Kind::Pareto => pareto::draw(table, options, theme),
        Kind::Scatter => scatter::draw(table, options, theme),
        Kind::Errors => errors::draw(table, options, theme),
        Kind::Dvfs => curves::dvfs(table, options, theme),
        Kind::Tornado => tornado::draw(table, options, theme),
        Kind::Levels => curves::levels(table, options, theme),
        Kind::FrameTimes => curves::frame_times(table, options, theme),
        Kind::Heatmap => heatmap::draw(table, options, theme),
        Kind::Steps => steps::draw(table, options, theme),
    }
}

/// Series that are told apart; what is beyond them shares the last.
const SERIES: usize = 8;

/// Names in the order in which they appear, each with its place in the palette, and the index of
/// each row's name.
pub(crate) struct Series {
    pub names: Vec<String>,
    pub places: Vec<usize>,
    pub of: Vec<usize>,
}

impl Series {
    /// By the text of a column; one nameless series without it.
    pub fn by(table: &Table, column: Option<usize>, theme: &Theme) -> Self {
        let text = |row: usize| column.map_or("", |column| table.text(row, column));
        Self::of((0..table.rows.len()).map(text), theme)
    }

    /// From a name for each row.
    pub fn of<'a>(texts: impl Iterator<Item = &'a str> + Clone, theme: &Theme) -> Self {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut order: Vec<&str> = Vec::new();
        for text in texts.clone() {
            let count = counts.entry(text).or_default();
            if *count == 0 {
                order.push(text);
            }
            *count += 1;
        }
        let mut names: Vec<String> = order.iter().map(|name| (*name).to_owned()).collect();
        if names.len() > SERIES {
            names.truncate(SERIES - 1);
            names.push(format!("{} others", order.len() - (SERIES - 1)));
        }
        let last = names.len().saturating_sub(1);
        let places = theme.places(&names);
        let index = |text: &str| order.iter().position(|name| *name == text).unwrap_or(0).min(last);
        Self { of: texts.map(index).collect(), names, places }
    }

    /// Entries of the legend; none for a single series.
    pub fn legend(&self, key: Key) -> Vec<Entry> {
        if self.names.len() < 2 {
            return Vec::new();
        }
        let each = self.names.iter().zip(&self.places);
        each.map(|(name, place)| Entry { name: name.clone(), place: *place, key }).collect()
    }
}

/// Rows whose cells in these columns are all numbers, with the note on those left out.
pub(crate) fn numeric(
    table: &Table,
    columns: &[usize],
    notes: &mut Vec<String>,
) -> Result<Vec<usize>, FigureError> {
    for column in columns {
        table.has_numbers(*column)?;
    }
    let full = |row: &usize| columns.iter().all(|column| table.number(*row, *column).is_some());
    let rows: Vec<usize> = (0..table.rows.len()).filter(full).collect();
    if rows.is_empty() {
        let names: Vec<&str> = columns.iter().map(|c| table.header[*c].as_str()).collect();
        let what = format!("no row has numbers in all of: {}", names.join(", "));
        return Err(FigureError::Empty(what));
    }
    let left = table.rows.len() - rows.len();
    if left > 0 {
        let first = (0..table.rows.len()).find(|row| !full(row)).map_or(0, |row| table.rows[row].0);
        notes.push(format!(
            "{left} of {} rows left out: a number is missing (first in line {first})",
            table.rows.len()
        ));
    }
    Ok(rows)
}

/// The rows that were drawn, as CSV.
pub(crate) fn data(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Writing to memory cannot fail; a record of another length than the header can, and is a defect
    // that the tests would show.
    let _ = writer.write_record(header);
    for row in rows {
        let _ = writer.write_record(&row);
    }
    writer.into_inner().map_or_else(|_| String::new(), |b| String::from_utf8_lossy(&b).into_owned())
}

/// A curve through points in data coordinates, with marks where they are few.
pub(crate) fn curve(chart: &mut Chart<'_>, points: &[(f64, f64)], name: &str, place: usize) {
    let colour = chart.colour(name, place);
    let drawn: Vec<(f64, f64)> = points.iter().map(|(x, y)| chart.at(*x, *y)).collect();
    let width = chart.theme.line_pt;
    chart.canvas.line(&drawn, Stroke { colour: &colour, width, dash: dash(place) });
    if drawn.len() <= 24 {
        for point in drawn {
            chart.canvas.mark(point, place, MARK, &colour);
        }
    }
}

/// Columns of measured and predicted values, and of what tells their kinds apart.
struct Pairs {
    x: usize,
    y: usize,
    by: Option<usize>,
}

impl Pairs {
    fn of(table: &Table, options: &Options) -> Result<Self, FigureError> {
        let x = options.x.as_deref().unwrap_or("measured_us");
        let y = options.y.as_deref().unwrap_or("predicted_us");
        let by = options.by.as_deref().unwrap_or("suite");
        Ok(Self {
            x: table.need(&[x, "recorded_us", "published"])?,
            y: table.need(&[y, "predicted"])?,
            by: table.any(&[by, "class", "gpu"]),
        })
    }
}
