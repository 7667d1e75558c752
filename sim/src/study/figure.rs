//! The figure of a study: one line (or kind of bars) per combination of its series, over the steps of
//! an axis, as SVG. Steps stand side by side at equal distances, whatever they measure. Text
//! stays text. Left out: other kinds of figures, and other formats than SVG.

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Figure, Kind, Outcome, spec};

/// Pixels; backends count whole ones, so figures are drawn large and scaled down where they are
/// shown.
const WIDTH: u32 = 900;
const LINE_HEIGHT: i32 = 24;
const PLOT_HEIGHT: u32 = 420;
const FONT: i32 = 19;
/// Room above the largest value, as a share of it; on a logarithmic axis a factor on both sides.
const HEADROOM: f64 = 0.06;
const LOG_ROOM: f64 = 1.5;
/// Of the distance between two steps, the share that their bars take, and of a bar's place the share
/// that it fills.
const BARS: f64 = 0.8;
const BAR: f64 = 0.92;
/// Colours that people with any colour vision tell apart (Okabe and Ito 2008), dark enough for
/// white paper.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(0, 0, 0),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(120, 94, 40),
];

/// Why a figure could not be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the figure cannot be drawn: {0}")]
pub struct FigureError(String);

struct Line {
    name: String,
    points: Vec<(usize, f64)>,
}

/// Draws the figure of a study that has been run.
///
/// # Errors
/// When there is nothing to draw.
pub fn svg(outcome: &Outcome, figure: &Figure) -> Result<String, FigureError> {
    let mut steps: Vec<&str> = Vec::new();
    let mut lines: Vec<Line> = Vec::new();
    for row in outcome.rows.iter().filter(|row| spec::matches(row, &figure.at)) {
        let Some(step) = row.setting(&figure.x) else { continue };
        let index = steps.iter().position(|known| *known == step).unwrap_or_else(|| {
            steps.push(step);
            steps.len() - 1
        });
        let Some(y) = row.metrics.get(&figure.y) else { continue };
        let names: Vec<&str> = figure.series.iter().filter_map(|axis| row.setting(axis)).collect();
        let name = names.join(", ");
        match lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push((index, y)),
            None => lines.push(Line { name, points: vec![(index, y)] }),
        }
    }
    let numbers = || lines.iter().flat_map(|line| &line.points).map(|(_, y)| *y);
    let most = numbers().fold(0.0, f64::max);
    let least = numbers().fold(f64::INFINITY, f64::min);
    if steps.is_empty() || numbers().next().is_none() {
        return Err(FigureError("no system has this metric".to_owned()));
    }
    if most <= 0.0 {
        return Err(FigureError("all values are zero".to_owned()));
    }
    if figure.log && least <= 0.0 {
        return Err(FigureError("a logarithmic axis has no room for zero".to_owned()));
    }
    let drawing = Drawing { figure, steps: &steps, lines: &lines };
    let mut text = String::new();
    let drawn = if figure.log {
        drawing.draw(&mut text, (least / LOG_ROOM..most * LOG_ROOM).log_scale())
    } else {
        drawing.draw(&mut text, 0.0..most * (1.0 + HEADROOM))
    };
    drawn.map_err(|error| FigureError(error.to_string()))?;
    Ok(text)
}

/// What is drawn.
struct Drawing<'a> {
    figure: &'a Figure,
    steps: &'a [&'a str],
    lines: &'a [Line],
}

impl Drawing<'_> {
    fn draw<Y>(&self, text: &mut String, y_range: Y) -> Result<(), Box<dyn std::error::Error>>
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: ValueFormatter<f64>,
    {
        let Self { figure, steps, lines } = self;
        let legend = if lines.len() > 1 { lines.len() as u32 * LINE_HEIGHT as u32 + 12 } else { 0 };
        let root = SVGBackend::with_string(text, (WIDTH, PLOT_HEIGHT + legend)).into_drawing_area();
        root.fill(&WHITE)?;
        let (key, plot) = root.split_vertically(legend);
        let font = ("sans-serif", FONT).into_font();
        let last = steps.len() as f64 - 0.5;
        let mut chart = ChartBuilder::on(&plot)
            .margin(12)
            .x_label_area_size(62)
            .y_label_area_size(78)
            .build_cartesian_2d(-0.5..last, y_range)?;
        let label = |x: &f64| {
            let nearest = x.round();
            let on_step = (x - nearest).abs() < 1e-6 && *x > -0.25;
            let step = steps.get(nearest as usize).filter(|_| on_step);
            step.map_or_else(String::new, |step| (*step).to_owned())
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .bold_line_style(RGBColor(225, 225, 225))
            .x_labels(steps.len() * 2 + 1)
            .x_label_formatter(&label)
            .y_labels(6)
            .x_desc(figure.x.clone())
            .y_desc(figure.label.clone())
            .label_style(font.clone())
            .axis_desc_style(font.clone())
            .draw()?;
        for (number, line) in lines.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let points = || line.points.iter().map(|(x, y)| (*x as f64, *y));
            if figure.kind == Kind::Bars {
                let wide = BARS / lines.len() as f64;
                let left = |x: f64| x - BARS / 2.0 + number as f64 * wide;
                chart.draw_series(points().map(|(x, y)| {
                    Rectangle::new([(left(x), 0.0), (left(x) + wide * BAR, y)], colour.filled())
                }))?;
            } else {
                chart.draw_series(LineSeries::new(points(), colour.stroke_width(3)))?;
                // Lines differ by their marks as well, for print without colours.
                match number % 3 {
                    0 => {
                        chart.draw_series(points().map(|at| Circle::new(at, 6, colour.filled())))?
                    }
                    1 => chart.draw_series(
                        points().map(|at| TriangleMarker::new(at, 8, colour.filled())),
                    )?,
                    _ => chart.draw_series(
                        points().map(|at| Cross::new(at, 6, colour.stroke_width(3))),
                    )?,
                };
            }
            if lines.len() > 1 {
                let y = 12 + number as i32 * LINE_HEIGHT + LINE_HEIGHT / 2;
                key.draw(&PathElement::new(vec![(80, y), (116, y)], colour.stroke_width(3)))?;
                match (figure.kind, number % 3) {
                    (Kind::Bars, _) => {
                        key.draw(&Rectangle::new([(80, y - 7), (116, y + 7)], colour.filled()))?;
                    }
                    (_, 0) => key.draw(&Circle::new((98, y), 6, colour.filled()))?,
                    (_, 1) => key.draw(&TriangleMarker::new((98, y), 8, colour.filled()))?,
                    _ => key.draw(&Cross::new((98, y), 6, colour.stroke_width(3)))?,
                }
                let style = font.clone().color(&BLACK).pos(Pos::new(HPos::Left, VPos::Center));
                key.draw(&Text::new(line.name.clone(), (128, y), style))?;
            }
        }
        root.present()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::{Metrics, Row};

    #[test]
    fn lines_marks_and_words_are_there() {
        let row = |x: &str, who: &str, y: f64| Row {
            settings: vec![("size".to_owned(), x.to_owned()), ("who".to_owned(), who.to_owned())],
            metrics: Metrics { frame_ms: Some(y), ..Metrics::default() },
        };
        let outcome = Outcome {
            name: "n".to_owned(),
            question: String::new(),
            finding: String::new(),
            axes: vec!["size".to_owned(), "who".to_owned()],
            shown: vec!["frame_ms".to_owned()],
            rows: vec![row("1 MiB", "a", 3.0), row("2 MiB", "a", 2.0), row("1 MiB", "b", 4.0)],
        };
        let figure = Figure {
            x: "size".to_owned(),
            y: "frame_ms".to_owned(),
            series: vec!["who".to_owned()],
            at: std::collections::BTreeMap::new(),
            label: "frame, ms".to_owned(),
            kind: Kind::Lines,
            log: false,
        };
        let text = svg(&outcome, &figure).unwrap();
        for word in ["1 MiB", "2 MiB", "frame, ms", "\nsize\n"] {
            assert_eq!(text.matches(word).count(), 1, "{word}");
        }
        // Two on the line, one in the key.
        assert_eq!(text.matches("<circle").count(), 3);
        let nothing = Figure { y: "speedup".to_owned(), ..figure };
        assert!(svg(&outcome, &nothing).is_err());
    }
}
