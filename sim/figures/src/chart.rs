//! The frame of a figure: axes with their titles, grid, legend, and labels that keep clear of each
//! other.

use crate::canvas::{Anchor, Canvas, Rect, Stroke};
use crate::font::{CAP_HEIGHT, Ruler};
use crate::scale::Scale;
use crate::theme::{POINTS, Theme, dash};
use crate::words::worded;

/// What an axis shows.
#[derive(Debug, Clone)]
pub enum Along {
    /// Numbers.
    Numbers(Scale),
    /// Names, evenly spaced.
    Names(Vec<String>),
}

/// An axis with its title (quantity and unit).
#[derive(Debug, Clone)]
pub struct Axis {
    /// Title.
    pub title: String,
    /// What it shows.
    pub along: Along,
}

impl Axis {
    /// An axis of numbers.
    pub fn numbers(title: impl Into<String>, scale: Scale) -> Self {
        Self { title: title.into(), along: Along::Numbers(scale) }
    }

    /// An axis of names, set as words.
    pub fn names(title: impl Into<String>, names: &[String]) -> Self {
        let names = names.iter().map(|name| worded(name)).collect();
        Self { title: title.into(), along: Along::Names(names) }
    }

    fn place(&self, value: f64) -> f64 {
        match &self.along {
            Along::Numbers(scale) => scale.place(value),
            Along::Names(names) => (value + 0.5) / names.len().max(1) as f64,
        }
    }
}

/// How an entry of the legend is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A line with the dash of its place.
    Line,
    /// A line with its mark.
    LineMark,
    /// A mark alone.
    Mark,
    /// A hatched box.
    Box,
    /// A short thick line across, as published values have.
    Tick,
}

/// An entry of the legend.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Name as the data have it, by which a style knows its colour; it is set as words.
    pub name: String,
    /// Place in the palette.
    pub place: usize,
    /// How it is drawn.
    pub key: Key,
}

/// From one line of text to the next, in sizes of its type.
const LINE_HEIGHT: f64 = 1.35;

/// From the first line of a title to its second.
const TITLE_LINE: f64 = 1.15;

/// Space between parts, in points.
const GAP: f64 = 4.0;
/// Width of a sample in the legend.
const SAMPLE: f64 = 16.0;
/// Names along x are turned where they don't fit, and cut at this length.
const TURNED: f64 = 78.0;
/// Share of the width that names along y may take.
const NAMES: f64 = 0.42;
/// Radius of a mark.
pub const MARK: f64 = 2.2;

/// A figure with its frame drawn.
#[derive(Debug)]
pub struct Chart<'a> {
    /// What is drawn on.
    pub canvas: Canvas,
    /// The style.
    pub theme: &'a Theme,
    /// Measures.
    pub ruler: Ruler,
    /// Where the data go.
    pub area: Rect,
    x: Axis,
    y: Axis,
    labels: Vec<Rect>,
}

impl<'a> Chart<'a> {
    /// Draws legend and axes. `height_in` is what suits the kind.
    pub fn new(theme: &'a Theme, height_in: f64, legend: &[Entry], x: Axis, y: Axis) -> Self {
        Self::with_margin(theme, height_in, legend, x, y, 0.0)
    }

    /// The same with room on the right, in points.
    pub fn with_margin(
        theme: &'a Theme,
        height_in: f64,
        legend: &[Entry],
        x: Axis,
        y: Axis,
        right: f64,
    ) -> Self {
        let ruler = Ruler::default();
        let width = theme.width_in * POINTS;
        let rows = legend_rows(theme, &ruler, legend, width);
        let legend_height = rows.len() as f64 * (theme.font_pt * LINE_HEIGHT);
        let untitled = if x.title.is_empty() { theme.font_pt + GAP } else { 0.0 };
        let base = if theme.height_in > 0.0 {
            theme.height_in * POINTS
        } else {
            height_in * POINTS - untitled
        };
        // A title of y that is longer than the figure takes two lines.
        let title = ruler.width(&y.title, theme.font_pt);
        let lines = if title > base - legend_height - 4.0 * GAP { 2.0 } else { 1.0 };
        let left = GAP
            + theme.font_pt * (1.0 + (lines - 1.0) * TITLE_LINE)
            + GAP
            + tick_width(theme, &ruler, &y, width)
            + 3.0;
        let plot_width = (width - left - right - 2.0 * GAP).max(20.0);
        let titled = if x.title.is_empty() { 0.0 } else { theme.font_pt + GAP };
        let below = names_height(theme, &ruler, &x, plot_width) + titled + GAP;
        let top = legend_height + 2.0 * GAP;
        // Long legends and names make the figure higher rather than the plot smaller.
        let usual = theme.font_pt * LINE_HEIGHT + theme.tick_pt + 4.0;
        let more = (legend_height + names_height(theme, &ruler, &x, plot_width) - usual).max(0.0);
        let height = base + if theme.height_in == 0.0 { more } else { 0.0 };
        let area = Rect { x: left, y: top, w: plot_width, h: (height - top - below).max(20.0) };
        let canvas = Canvas::new(width, height, &theme.ink);
        let mut chart = Self { canvas, theme, ruler, area, x, y, labels: Vec::new() };
        chart.legend(&rows);
        chart.x_axis();
        chart.y_axis();
        // Over the grid, which has lines in the same places.
        let Rect { x, y, .. } = area;
        chart.stroke(&[(x, y), (x, area.bottom()), (area.right(), area.bottom())], false);
        chart
    }

    /// Where a point lies.
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (
            self.area.x + self.x.place(x) * self.area.w,
            self.area.bottom() - self.y.place(y) * self.area.h,
        )
    }

    /// Colour of a name at a place.
    pub fn colour(&self, name: &str, place: usize) -> String {
        self.theme.colour(name, place).to_owned()
    }

    /// A thin line in ink or grey.
    pub fn guide(&mut self, points: &[(f64, f64)], dash: &str) {
        self.canvas.line(points, Stroke { colour: "#666666", width: 0.7, dash });
    }

    fn stroke(&mut self, points: &[(f64, f64)], grid: bool) {
        let colour = if grid { self.theme.grid.clone() } else { self.theme.ink.clone() };
        let width = if grid { 0.4 } else { 0.6 };
        self.canvas.line(points, Stroke { colour: &colour, width, dash: "" });
    }

    fn x_axis(&mut self) {
        let Rect { x, w, .. } = self.area;
        let (top, bottom) = (self.area.y, self.area.bottom());
        let size = self.theme.tick_pt;
        match self.x.along.clone() {
            Along::Numbers(scale) => {
                let mut free = f64::NEG_INFINITY;
                for value in scale.minor() {
                    let at = x + scale.place(value) * w;
                    self.stroke(&[(at, bottom), (at, bottom + 1.5)], false);
                }
                for (value, label) in scale.ticks((w / 30.0) as usize) {
                    let at = x + scale.place(value) * w;
                    self.stroke(&[(at, top), (at, bottom)], true);
                    self.stroke(&[(at, bottom), (at, bottom + 2.5)], false);
                    let half = self.ruler.width(&label, size) / 2.0;
                    if at - half > free {
                        free = at + half + 2.0;
                        let base = bottom + 3.5 + size * CAP_HEIGHT + 1.0;
                        self.canvas.text((at, base), &label, size, Anchor::Middle, 0.0);
                    }
                }
            }
            Along::Names(names) => {
                let cell = w / names.len().max(1) as f64;
                let turned = turned(self.theme, &self.ruler, &names, cell);
                // More names than lines of text have room are thinned out evenly.
                let every = if turned { (size * 1.15 / cell).ceil().max(1.0) as usize } else { 1 };
                for (index, name) in names.iter().enumerate().step_by(every) {
                    let at = x + (index as f64 + 0.5) * cell;
                    if turned {
                        let text = self.ruler.fitted(name, size, TURNED);
                        let from = (at + size * 0.35, bottom + 4.0);
                        self.canvas.text(from, &text, size, Anchor::End, -90.0);
                    } else {
                        let mut base = bottom + 3.5 + size * CAP_HEIGHT + 1.0;
                        for line in wrapped(&self.ruler, name, size, cell - 3.0) {
                            self.canvas.text((at, base), &line, size, Anchor::Middle, 0.0);
                            base += size * 1.15;
                        }
                    }
                }
            }
        }
        let below = names_height(self.theme, &self.ruler, &self.x, w);
        let base = bottom + below + GAP + self.theme.font_pt * CAP_HEIGHT;
        let title = self.ruler.fitted(&self.x.title, self.theme.font_pt, w + self.area.x - GAP);
        let middle = x + w / 2.0;
        // A long title keeps inside the sheet.
        let half = self.ruler.width(&title, self.theme.font_pt) / 2.0;
        let middle = middle.min(self.theme.width_in * POINTS - half - 2.0).max(half + 2.0);
        self.canvas.text((middle, base), &title, self.theme.font_pt, Anchor::Middle, 0.0);
    }

    fn y_axis(&mut self) {
        let Rect { x, y, w, h } = self.area;
        let size = self.theme.tick_pt;
        let lower = size * CAP_HEIGHT / 2.0;
        match self.y.along.clone() {
            Along::Numbers(scale) => {
                for value in scale.minor() {
                    let at = y + h - scale.place(value) * h;
                    self.stroke(&[(x - 1.5, at), (x, at)], false);
                }
                let mut free = f64::INFINITY;
                for (value, label) in scale.ticks((h / 17.0) as usize) {
                    let at = y + h - scale.place(value) * h;
                    self.stroke(&[(x, at), (x + w, at)], true);
                    self.stroke(&[(x - 2.5, at), (x, at)], false);
                    if at + lower < free {
                        free = at - lower - 1.0;
                        self.canvas.text((x - 4.0, at + lower), &label, size, Anchor::End, 0.0);
                    }
                }
            }
            Along::Names(names) => {
                let most = self.theme.width_in * POINTS * NAMES;
                let cell = h / names.len().max(1) as f64;
                let every = (size * 1.1 / cell).ceil().max(1.0) as usize;
                for (index, name) in names.iter().enumerate().step_by(every) {
                    let at = y + h - (index as f64 + 0.5) * cell;
                    let text = self.ruler.fitted(name, size, most);
                    self.canvas.text((x - 4.0, at + lower), &text, size, Anchor::End, 0.0);
                }
            }
        }
        let font = self.theme.font_pt;
        // Below the plot there is room beside the labels of x, above it stands the legend.
        let below = names_height(self.theme, &self.ruler, &self.x, w) + font;
        let (room, mut base) = (h + below, GAP + font * CAP_HEIGHT);
        for line in halves(&self.ruler, &self.y.title, font, room) {
            let title = self.ruler.fitted(&line, font, room);
            let half = self.ruler.width(&title, font) / 2.0;
            let middle = (y + h / 2.0).max(y + half);
            self.canvas.text((base, middle), &title, font, Anchor::Middle, -90.0);
            base += font * TITLE_LINE;
        }
    }

    fn legend(&mut self, rows: &[Vec<(f64, Entry)>]) {
        let font = self.theme.font_pt;
        for (line, row) in rows.iter().enumerate() {
            let middle = GAP + (line as f64 + 0.5) * font * LINE_HEIGHT;
            for (x, entry) in row {
                let colour = self.colour(&entry.name, entry.place);
                let (from, to) = (*x, *x + SAMPLE - 3.0);
                let center = (f64::midpoint(from, to), middle);
                if matches!(entry.key, Key::Line | Key::LineMark) {
                    let width = self.theme.line_pt;
                    let dash = dash(entry.place);
                    let line = [(from, middle), (to, middle)];
                    self.canvas.line(&line, Stroke { colour: &colour, width, dash });
                }
                match entry.key {
                    Key::Mark | Key::LineMark => {
                        self.canvas.mark(center, entry.place, MARK, &colour);
                    }
                    Key::Box => {
                        let h = font * 0.75;
                        let rect = Rect { x: from, y: middle - h / 2.0, w: to - from, h };
                        self.canvas.bar(rect, &colour, entry.place);
                    }
                    Key::Tick => {
                        let line = [(from, middle), (to, middle)];
                        self.canvas.line(&line, Stroke { colour: "#ffffff", width: 2.6, dash: "" });
                        self.canvas.line(&line, Stroke { colour: "#111111", width: 1.3, dash: "" });
                    }
                    Key::Line => {}
                }
                let most = self.theme.width_in * POINTS - x - SAMPLE - GAP;
                let name = self.ruler.fitted(&worded(&entry.name), font, most);
                let base = middle + font * CAP_HEIGHT / 2.0;
                self.canvas.text((x + SAMPLE, base), &name, font, Anchor::Start, 0.0);
            }
        }
    }

    /// Keeps labels away from a place.
    pub fn keep_clear(&mut self, (x, y): (f64, f64), radius: f64) {
        self.labels.push(Rect { x: x - radius, y: y - radius, w: 2.0 * radius, h: 2.0 * radius });
    }

    /// Keeps labels away from a line.
    pub fn keep_clear_along(&mut self, line: &[(f64, f64)]) {
        for pair in line.windows(2) {
            let ((ax, ay), (bx, by)) = (pair[0], pair[1]);
            let parts = (libm::hypot(bx - ax, by - ay) / 4.0).ceil().clamp(1.0, 400.0);
            for part in 0..=parts as usize {
                let way = part as f64 / parts;
                self.keep_clear((ax + (bx - ax) * way, ay + (by - ay) * way), 1.0);
            }
        }
    }

    /// Writes a label near a point where it covers nothing, with a line to the point where it has to
    /// stand further off. Gives up where there is no room, or the line would cross something.
    pub fn label(&mut self, (x, y): (f64, f64), text: &str) -> bool {
        let size = self.theme.tick_pt;
        let text = self.ruler.fitted(text, size, self.area.w * 0.6);
        let (w, h) = (self.ruler.width(&text, size), size * 0.95);
        for distance in [4.0, 9.0, 15.0, 22.0, 30.0, 40.0, 52.0] {
            for (dx, dy) in [
                (1.0, -0.7),
                (-1.0, -0.7),
                (1.0, 0.7),
                (-1.0, 0.7),
                (0.0, -1.0),
                (0.0, 1.0),
                (1.0, 0.0),
                (-1.0, 0.0),
            ] {
                let (cx, cy) = (x + dx * distance, y + dy * distance);
                let left = match dx {
                    d if d > 0.0 => cx,
                    d if d < 0.0 => cx - w,
                    _ => cx - w / 2.0,
                };
                let leader = [(x + dx * 3.0, y + dy * 3.0), (cx - dx, cy - dy * h / 2.0)];
                let far = distance > 5.0;
                if far && self.crossed(leader) || !self.write((left, cy), &text, Anchor::Start) {
                    continue;
                }
                if far {
                    let stroke = Stroke { colour: "#666666", width: 0.4, dash: "" };
                    self.canvas.line(&leader, stroke);
                    self.keep_clear_along(&leader);
                }
                return true;
            }
        }
        false
    }

    /// Writes a note on the figure as a whole into the corner with the fewest of these points. It is meant to be called
    /// before they are drawn, so that none is hidden where every corner has some.
    pub fn note(&mut self, text: &str, points: &[(f64, f64)]) {
        const OFF: f64 = 3.0;
        let size = self.theme.tick_pt;
        let text = self.ruler.fitted(text, size, self.area.w - 2.0 * OFF);
        let (w, h) = (self.ruler.width(&text, size), size * 0.95);
        let Rect { x, y, .. } = self.area;
        let (right, bottom) = (self.area.right() - w - OFF, self.area.bottom() - h - OFF);
        let corners = [(right, bottom), (x + OFF, y + OFF), (x + OFF, bottom), (right, y + OFF)];
        let within = |&(left, top): &(f64, f64)| {
            let near = |(x, y): &&(f64, f64)| {
                (left - MARK..left + w + MARK).contains(x)
                    && (top - MARK..top + h + MARK).contains(y)
            };
            points.iter().filter(near).count()
        };
        if let Some((left, top)) = corners.into_iter().min_by_key(within) {
            // Set flush with the side that it is at: a viewer without our font may write it wider.
            let anchor = if left == right { Anchor::End } else { Anchor::Start };
            self.write((left, top + h / 2.0), &text, anchor);
        }
    }

    /// Writes the name of a level line (from, to and height on the sheet) above or below it, as far to the right
    /// as there is room.
    pub fn label_along(&mut self, from: f64, to: f64, y: f64, text: &str) -> bool {
        let size = self.theme.tick_pt;
        let w = self.ruler.width(text, size);
        let off = size * 0.95 / 2.0 + 1.4;
        let mut left = to - w - 2.0;
        while left >= from {
            if [y - off, y + off]
                .into_iter()
                .any(|middle| self.write((left, middle), text, Anchor::Start))
            {
                return true;
            }
            left -= 4.0;
        }
        false
    }

    /// Writes a text that begins at `left` with its middle at a height, held at its start or end, if it covers nothing.
    fn write(&mut self, (left, middle): (f64, f64), text: &str, anchor: Anchor) -> bool {
        let size = self.theme.tick_pt;
        let (w, h) = (self.ruler.width(text, size), size * 0.95);
        let rect = Rect { x: left - 1.0, y: middle - h / 2.0, w: w + 2.0, h };
        if !self.area.holds(&rect) || self.labels.iter().any(|r| r.overlaps(&rect)) {
            return false;
        }
        self.canvas.fill(rect, "#ffffff");
        let base = middle + size * CAP_HEIGHT / 2.0;
        let held = if anchor == Anchor::End { left + w } else { left };
        self.canvas.text((held, base), text, size, anchor, 0.0);
        self.labels.push(rect);
        true
    }

    /// Whether a line from a mark crosses what labels keep clear of, the mark itself left out.
    fn crossed(&self, [from, to]: [(f64, f64); 2]) -> bool {
        const STEPS: usize = 24;
        (4..=STEPS).any(|step| {
            let way = step as f64 / STEPS as f64;
            let (x, y) = (from.0 + (to.0 - from.0) * way, from.1 + (to.1 - from.1) * way);
            let dot = Rect { x: x - 0.3, y: y - 0.3, w: 0.6, h: 0.6 };
            self.labels.iter().any(|r| r.overlaps(&dot))
        })
    }
}

fn turned(theme: &Theme, ruler: &Ruler, names: &[String], cell: f64) -> bool {
    let size = theme.tick_pt;
    names.iter().any(|name| {
        let lines = wrapped(ruler, name, size, cell - 3.0);
        lines.len() > 3 || lines.iter().any(|line| ruler.width(line, size) > cell - 3.0)
    })
}

/// A title in one line, or broken at the space nearest to its middle where it does not fit.
fn halves(ruler: &Ruler, title: &str, size: f64, most: f64) -> Vec<String> {
    if ruler.width(title, size) > most {
        let middle = title.len() / 2;
        let spaces = title.match_indices(' ').map(|(at, _)| at);
        if let Some(at) = spaces.min_by_key(|at| at.abs_diff(middle)) {
            return vec![title[..at].to_owned(), title[at + 1..].to_owned()];
        }
    }
    vec![title.to_owned()]
}

/// A name broken at spaces into lines that fit, as far as its words do.
fn wrapped(ruler: &Ruler, name: &str, size: f64, most: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in name.split(' ') {
        match lines.last_mut() {
            Some(line) if ruler.width(&format!("{line} {word}"), size) <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Height of tick labels along x.
fn names_height(theme: &Theme, ruler: &Ruler, x: &Axis, width: f64) -> f64 {
    match &x.along {
        Along::Names(names) if turned(theme, ruler, names, width / names.len().max(1) as f64) => {
            let longest = names.iter().map(|n| ruler.width(n, theme.tick_pt)).fold(0.0, f64::max);
            longest.min(TURNED) + 5.0
        }
        Along::Names(names) => {
            let cell = width / names.len().max(1) as f64;
            let lines = names.iter().map(|n| wrapped(ruler, n, theme.tick_pt, cell - 3.0).len());
            theme.tick_pt * (1.15 * lines.max().unwrap_or(1) as f64 - 0.15) + 4.0
        }
        Along::Numbers(_) => theme.tick_pt + 4.0,
    }
}

/// Width of tick labels along y.
fn tick_width(theme: &Theme, ruler: &Ruler, y: &Axis, width: f64) -> f64 {
    let labels: Vec<String> = match &y.along {
        Along::Numbers(scale) => scale.ticks(6).into_iter().map(|tick| tick.1).collect(),
        Along::Names(names) => names.clone(),
    };
    let longest = labels.iter().map(|l| ruler.width(l, theme.tick_pt)).fold(0.0, f64::max);
    longest.min(width * NAMES) + 2.0
}

/// Breaks the legend into rows with the place of each entry.
fn legend_rows(
    theme: &Theme,
    ruler: &Ruler,
    legend: &[Entry],
    width: f64,
) -> Vec<Vec<(f64, Entry)>> {
    let mut rows: Vec<Vec<(f64, Entry)>> = Vec::new();
    let mut x = GAP;
    for entry in legend {
        let most = width - 2.0 * GAP - SAMPLE;
        let needs = SAMPLE + ruler.width(&worded(&entry.name), theme.font_pt).min(most) + 9.0;
        if rows.is_empty() || x + needs - 9.0 > width - GAP {
            rows.push(Vec::new());
            x = GAP;
        }
        if let Some(row) = rows.last_mut() {
            row.push((x, entry.clone()));
        }
        x += needs;
    }
    rows
}
