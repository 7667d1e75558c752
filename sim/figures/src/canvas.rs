//! Drawing in points, written as SVG.
//!
//! SVG is written here rather than by a plotting library because paper figures need what those
//! lack on their vector outputs: coordinates with fractions, dashes, hatching, clipping and text that is measured in the
//! font that the file ends up with.

use std::fmt::Write as _;

use crate::font;

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// It begins there.
    Start,
    /// Its middle is there.
    Middle,
    /// It ends there.
    End,
}

impl Anchor {
    const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// How a line looks.
#[derive(Debug, Clone, Copy)]
pub struct Stroke<'a> {
    /// Colour.
    pub colour: &'a str,
    /// Width, in points.
    pub width: f64,
    /// Dashes; empty for none.
    pub dash: &'a str,
}

/// A rectangle, in points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rect {
    /// Left.
    pub x: f64,
    /// Top.
    pub y: f64,
    /// Width.
    pub w: f64,
    /// Height.
    pub h: f64,
}

impl Rect {
    /// Right edge.
    pub fn right(&self) -> f64 {
        self.x + self.w
    }

    /// Lower edge.
    pub fn bottom(&self) -> f64 {
        self.y + self.h
    }

    /// Whether two overlap.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.x < other.right()
            && other.x < self.right()
            && self.y < other.bottom()
            && other.y < self.bottom()
    }

    /// Whether the other lies inside.
    pub fn holds(&self, other: &Self) -> bool {
        other.x >= self.x
            && other.y >= self.y
            && other.right() <= self.right()
            && other.bottom() <= self.bottom()
    }
}

/// An SVG in the making.
#[derive(Debug)]
pub struct Canvas {
    width: f64,
    height: f64,
    ink: String,
    definitions: String,
    body: String,
    clips: usize,
}

impl Canvas {
    /// An empty white sheet.
    pub fn new(width: f64, height: f64, ink: &str) -> Self {
        Self {
            width,
            height,
            ink: ink.to_owned(),
            definitions: String::new(),
            body: String::new(),
            clips: 0,
        }
    }

    /// A line through points.
    pub fn line(&mut self, points: &[(f64, f64)], stroke: Stroke<'_>) {
        let mut path = String::new();
        for (index, (x, y)) in points.iter().enumerate() {
            let letter = if index == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{} {}", number(*x), number(*y));
        }
        let _ = write!(
            self.body,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-linejoin=\"round\"",
            stroke.colour,
            number(stroke.width)
        );
        if !stroke.dash.is_empty() {
            let _ = write!(self.body, " stroke-dasharray=\"{}\"", stroke.dash);
        }
        self.body.push_str("/>\n");
    }

    /// A filled area, with an opacity.
    pub fn area(&mut self, points: &[(f64, f64)], colour: &str, opacity: f64) {
        let list: Vec<String> =
            points.iter().map(|(x, y)| format!("{},{}", number(*x), number(*y))).collect();
        let _ = writeln!(
            self.body,
            "<polygon points=\"{}\" fill=\"{colour}\" fill-opacity=\"{}\"/>",
            list.join(" "),
            number(opacity)
        );
    }

    /// A bar: filled, hatched by its place, with a thin edge. Hatching is drawn line by line: as an SVG pattern
    /// it reaches the PDF in an order that changes from run to run.
    pub fn bar(&mut self, rect: Rect, colour: &str, place: usize) {
        self.fill(rect, colour);
        let mut path = String::new();
        for ((x1, y1), (x2, y2)) in hatching(rect, place) {
            let ends = [x1, y1, x2, y2].map(number);
            let _ = write!(path, "M{} {}L{} {}", ends[0], ends[1], ends[2], ends[3]);
        }
        if !path.is_empty() {
            let dark = crate::theme::luminance(colour).is_some_and(|l| l < 0.2);
            let over = if dark { "#cccccc" } else { "#333333" };
            let _ = writeln!(
                self.body,
                "<path d=\"{path}\" fill=\"none\" stroke=\"{over}\" stroke-width=\"0.4\"/>"
            );
        }
        let (x, y) = (number(rect.x), number(rect.y));
        let _ = writeln!(
            self.body,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"{}\" \
             stroke-width=\"0.4\"/>",
            number(rect.w.max(0.0)),
            number(rect.h.max(0.0)),
            self.ink
        );
    }

    /// A rectangle without edge.
    pub fn fill(&mut self, rect: Rect, colour: &str) {
        let _ = writeln!(
            self.body,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{colour}\"/>",
            number(rect.x),
            number(rect.y),
            number(rect.w.max(0.0)),
            number(rect.h.max(0.0))
        );
    }

    /// A mark whose shape belongs to a place; white edge so that crowded marks stay apart.
    pub fn mark(&mut self, (x, y): (f64, f64), place: usize, radius: f64, colour: &str) {
        let at =
            |dx: f64, dy: f64| format!("{} {}", number(x + dx * radius), number(y + dy * radius));
        let shape = match place % 6 {
            0 => format!(
                "<circle cx=\"{}\" cy=\"{}\" r=\"{}\"",
                number(x),
                number(y),
                number(radius)
            ),
            1 => format!("<path d=\"M{}L{}L{}Z\"", at(0.0, -1.25), at(1.1, 0.75), at(-1.1, 0.75)),
            2 => format!(
                "<path d=\"M{}L{}L{}L{}Z\"",
                at(-0.9, -0.9),
                at(0.9, -0.9),
                at(0.9, 0.9),
                at(-0.9, 0.9)
            ),
            3 => format!(
                "<path d=\"M{}L{}L{}L{}Z\"",
                at(0.0, -1.3),
                at(1.3, 0.0),
                at(0.0, 1.3),
                at(-1.3, 0.0)
            ),
            4 => format!("<path d=\"M{}L{}L{}Z\"", at(0.0, 1.25), at(1.1, -0.75), at(-1.1, -0.75)),
            _ => {
                let _ = writeln!(
                    self.body,
                    "<path d=\"M{}L{}M{}L{}\" stroke=\"{colour}\" stroke-width=\"1.1\" fill=\"none\"/>",
                    at(-0.9, -0.9),
                    at(0.9, 0.9),
                    at(-0.9, 0.9),
                    at(0.9, -0.9)
                );
                return;
            }
        };
        let _ = writeln!(
            self.body,
            "{shape} fill=\"{colour}\" stroke=\"#ffffff\" stroke-width=\"0.4\"/>"
        );
    }

    /// Thousands of dots as one path.
    pub fn dots(&mut self, points: &[(f64, f64)], width: f64, colour: &str, opacity: f64) {
        let mut path = String::new();
        for (x, y) in points {
            let _ = write!(path, "M{} {}h0", number(*x), number(*y));
        }
        let _ = writeln!(
            self.body,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-opacity=\"{}\" stroke-width=\"{}\" \
             stroke-linecap=\"round\"/>",
            number(opacity),
            number(width)
        );
    }

    /// A line of text with its baseline at `y`, turned by `degrees`.
    pub fn text(
        &mut self,
        (x, y): (f64, f64),
        text: &str,
        size: f64,
        anchor: Anchor,
        degrees: f64,
    ) {
        let turn = if degrees == 0.0 {
            String::new()
        } else {
            format!(" transform=\"rotate({} {} {})\"", number(degrees), number(x), number(y))
        };
        let _ = writeln!(
            self.body,
            "<text x=\"{}\" y=\"{}\" font-size=\"{}\" text-anchor=\"{}\" fill=\"{}\"{turn}>{}</text>",
            number(x),
            number(y),
            number(size),
            anchor.name(),
            self.ink,
            escaped(text)
        );
    }

    /// White text, centred, for dark ground.
    pub fn light_text(&mut self, at: (f64, f64), text: &str, size: f64) {
        let ink = std::mem::replace(&mut self.ink, "#ffffff".to_owned());
        self.text(at, text, size, Anchor::Middle, 0.0);
        self.ink = ink;
    }

    /// From here on, only what lies inside is drawn, until [`Canvas::unclip`].
    pub fn clip(&mut self, rect: Rect) {
        let id = self.clips;
        self.clips += 1;
        let _ = writeln!(
            self.definitions,
            "<clipPath id=\"c{id}\"><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/></clipPath>",
            number(rect.x),
            number(rect.y),
            number(rect.w),
            number(rect.h)
        );
        let _ = writeln!(self.body, "<g clip-path=\"url(#c{id})\">");
    }

    /// Ends [`Canvas::clip`].
    pub fn unclip(&mut self) {
        self.body.push_str("</g>\n");
    }

    /// The file.
    pub fn finish(self, title: &str) -> String {
        let (w, h) = (number(self.width), number(self.height));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}pt\" height=\"{h}pt\" viewBox=\"0 0 {w} {h}\" \
             font-family=\"{}\" role=\"img\">\n<title>{}</title>\n<defs>\n{}</defs>\n<rect width=\"{w}\" \
             height=\"{h}\" fill=\"#ffffff\"/>\n{}</svg>\n",
            font::FAMILIES,
            escaped(title),
            self.definitions,
            self.body
        )
    }
}

/// Distance of the lines of hatching, in points along an axis.
const HATCH: f64 = 4.0;

/// Lines across a rectangle, so that areas differ without colour: none, rising, falling, level in turn.
fn hatching(rect: Rect, place: usize) -> Vec<((f64, f64), (f64, f64))> {
    let mut lines = Vec::new();
    let (left, top, right, bottom) = (rect.x, rect.y, rect.right(), rect.bottom());
    let (low, high) = match place % 4 {
        0 => return lines,
        1 => (left + top, right + bottom),
        2 => (left - bottom, right - top),
        _ => (top, bottom),
    };
    let (first, last) = (libm::ceil(low / HATCH) as i64, libm::floor(high / HATCH) as i64);
    for index in first..=last {
        let c = index as f64 * HATCH;
        let (from, to) = match place % 4 {
            1 => (left.max(c - bottom), right.min(c - top)),
            2 => (left.max(c + top), right.min(c + bottom)),
            _ => (left, right),
        };
        let y = |x: f64| match place % 4 {
            1 => c - x,
            2 => x - c,
            _ => c,
        };
        if to > from {
            lines.push(((from, y(from)), (to, y(to))));
        }
    }
    lines
}

/// Two decimals of a point at most: a hundredth is finer than any printer.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" || text.is_empty() { "0".to_owned() } else { text.to_owned() }
}

/// Text as it may stand in XML; control characters, which XML has no room for, are dropped.
pub fn escaped(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .collect::<String>()
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
