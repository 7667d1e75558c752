//! A page about a suite that opens offline: error statistics by group beside the baselines,
//! predicted against measured times, and the rows that are furthest off with what the model thinks
//! decides them. Everything is in the page itself; the figure is SVG with real text.

use plotters::prelude::*;

use crate::stats::Figures;
use crate::suite::{Compared, SuiteReport};

/// Rows that are drawn, at most, evenly spread.
const DRAWN: usize = 4000;
/// Rows that are explained.
const WORST: usize = 30;
/// Bounds drawn beside the diagonal.
const BAND: f64 = 1.25;

/// The page.
///
/// # Errors
/// When the figure cannot be drawn.
pub fn page(report: &SuiteReport, version: &str) -> Result<String, String> {
    let figure = scatter(report).map_err(|error| error.to_string())?;
    let mut text = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{0}: predicted and \
         measured</title>\n<style>\nbody {{ font: 15px/1.45 sans-serif; max-width: 68em; margin: 2em auto; \
         padding: 0 1em; }}\ntable {{ border-collapse: collapse; margin: 1em 0; }}\nth, td {{ padding: 0.15em \
         0.7em; text-align: right; border-bottom: 1px solid #ddd; }}\nth {{ border-bottom: 1px solid #444; \
         }}\ntd:first-child, th:first-child {{ text-align: left; }}\nsvg {{ max-width: 100%; height: auto; \
         }}\n</style>\n</head>\n<body>\n<h1>{0}: predicted and measured</h1>\n<p>Lumacycle {version}; {1} rows \
         used, {2} left out. Error = (predicted − measured) / measured.</p>\n",
        escaped(&report.suite),
        report.rows_used,
        report.rows_left_out.values().sum::<usize>()
    );
    text.push_str(&statistics(report));
    text.push_str("<h2>Predicted against measured</h2>\n");
    text.push_str(&figure);
    text.push_str(&format!(
        "<p>Up to {DRAWN} rows, evenly spread; grey lines: equal, and {:.0} % off either way.</p>\n",
        (BAND - 1.0) * 100.0
    ));
    text.push_str(&worst(report));
    if !report.rows_left_out.is_empty() {
        text.push_str("<h2>Left out</h2>\n<ul>\n");
        for (reason, count) in &report.rows_left_out {
            text.push_str(&format!("<li>{count} × {}</li>\n", escaped(reason)));
        }
        text.push_str("</ul>\n");
    }
    text.push_str("</body>\n</html>\n");
    Ok(text)
}

fn row(cells: &[String]) -> String {
    format!("<tr><td>{}</td></tr>\n", cells.join("</td><td>"))
}

fn header(names: &[&str]) -> String {
    format!("<tr><th>{}</th></tr>\n", names.join("</th><th>"))
}

fn statistics(report: &SuiteReport) -> String {
    let mut text = String::from("<h2>Errors</h2>\n<table>\n");
    text.push_str(&header(&SuiteReport::HEADER));
    let line = |names: [&str; 3], ours: &Figures, roofline: f64, wave: Option<f64>| {
        let mut cells: Vec<String> = names.iter().map(|name| escaped(name)).collect();
        cells.extend(ours.cells());
        cells.push(format!("{roofline:.1}"));
        cells.push(wave.map_or_else(String::new, |wave| format!("{wave:.1}")));
        row(&cells)
    };
    let all = &report.baselines;
    text.push_str(&line(
        ["all", "", ""],
        &report.overall,
        all.roofline.mape_pct,
        all.wave.map(|wave| wave.mape_pct),
    ));
    for group in &report.groups {
        text.push_str(&line(
            [&group.gpu, &group.dtype, group.bucket],
            &group.figures,
            group.roofline.mape_pct,
            Some(group.wave.mape_pct),
        ));
    }
    text.push_str("</table>\n");
    text
}

fn worst(report: &SuiteReport) -> String {
    let off = |row: &Compared| libm::fabs(libm::log(row.predicted_us / row.measured_us));
    let mut rows: Vec<&Compared> = report.rows.iter().collect();
    rows.sort_by(|a, b| off(b).total_cmp(&off(a)).then_with(|| a.reference.cmp(&b.reference)));
    let mut text = String::from("<h2>Furthest off</h2>\n<table>\n");
    text.push_str(&header(&[
        "row",
        "GPU",
        "type",
        "measured us",
        "predicted us",
        "error %",
        "bound by",
        "waves",
        "occupancy %",
        "implementation",
    ]));
    for compared in rows.into_iter().take(WORST) {
        text.push_str(&row(&[
            escaped(&compared.reference),
            escaped(&compared.gpu),
            escaped(&compared.dtype),
            format!("{:.1}", compared.measured_us),
            format!("{:.1}", compared.predicted_us),
            format!("{:+.0}", (compared.predicted_us / compared.measured_us - 1.0) * 100.0),
            compared.bound_by.to_owned(),
            format!("{:.2}", compared.waves),
            format!("{:.0}", compared.occupancy_pct),
            escaped(&compared.variant),
        ]));
    }
    text.push_str("</table>\n");
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn scatter(report: &SuiteReport) -> Result<String, Box<dyn std::error::Error>> {
    let every = report.rows.len().div_ceil(DRAWN).max(1);
    let drawn: Vec<(f64, f64)> = report
        .rows
        .iter()
        .step_by(every)
        .map(|row| (row.measured_us, row.predicted_us))
        .filter(|(measured, predicted)| *measured > 0.0 && *predicted > 0.0)
        .collect();
    if drawn.is_empty() {
        return Ok(String::from("<p>No row could be compared.</p>\n"));
    }
    let all = || drawn.iter().flat_map(|(a, b)| [*a, *b]);
    let (low, high) = (all().fold(f64::INFINITY, f64::min) / 1.3, all().fold(0.0, f64::max) * 1.3);
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (900, 640)).into_drawing_area();
        root.fill(&WHITE)?;
        let font = ("sans-serif", 18).into_font();
        let mut chart = ChartBuilder::on(&root)
            .margin(14)
            .x_label_area_size(56)
            .y_label_area_size(86)
            .build_cartesian_2d((low..high).log_scale(), (low..high).log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(RGBColor(230, 230, 230))
            .x_desc("measured, us")
            .y_desc("predicted, us")
            .label_style(font.clone())
            .axis_desc_style(font)
            .draw()?;
        for factor in [1.0, BAND, 1.0 / BAND] {
            // Cut off where they leave the square.
            let (from, to) = (low / f64::min(factor, 1.0), high / f64::max(factor, 1.0));
            let line = [(from, from * factor), (to, to * factor)];
            chart.draw_series(LineSeries::new(line, RGBColor(130, 130, 130).stroke_width(1)))?;
        }
        chart.draw_series(
            drawn.iter().map(|at| Circle::new(*at, 2, RGBColor(0, 114, 178).mix(0.35).filled())),
        )?;
        root.present()?;
    }
    Ok(text)
}
