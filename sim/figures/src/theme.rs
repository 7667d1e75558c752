//! How figures look: sizes, strokes, colours, marks, hatching and dashes.
//!
//! Colours follow Okabe and Ito (2008), darkened or lightened so that neighbours in the list differ in luminance and
//! print apart in grey. What a colour means is settled by name: the same part, reading or GPU class
//! has the same colour in every figure; other names take the next free one.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::FigureError;

/// Width of one column and of two, in inches.
pub const COLUMN_IN: f64 = 3.33;
/// Width over both columns.
pub const PAGE_IN: f64 = 7.0;
/// Points an inch.
pub const POINTS: f64 = 72.0;

/// Colours in the order in which they are handed out.
pub const PALETTE: [&str; 8] =
    ["#0064a8", "#e69f00", "#1f1f1f", "#7cc4f0", "#a03a00", "#00916a", "#dda0c4", "#8c7a4a"];

/// Names with a colour of their own, by place in the palette.
const SETTLED: [(&str, usize); 21] = [
    ("encoding", 0),
    ("mlp", 1),
    ("rest", 2),
    ("predicted", 0),
    ("measured", 1),
    ("as built", 0),
    ("as published", 1),
    ("published", 2),
    ("hashgrid", 0),
    ("densegrid", 1),
    ("densegrid-lowres", 2),
    ("tables", 0),
    ("macs", 1),
    ("logic", 2),
    ("buffers", 3),
    ("nerf", 0),
    ("nsdf", 1),
    ("nvr", 3),
    ("gia", 4),
    ("none", 2),
    ("gpu alone", 2),
];

/// The style of a figure. A TOML file may override any of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Theme {
    /// Width, in inches.
    pub width_in: f64,
    /// Height, in inches; what suits the kind where zero.
    pub height_in: f64,
    /// Size of axis titles, legend and labels, in points.
    pub font_pt: f64,
    /// Size of tick labels, in points.
    pub tick_pt: f64,
    /// Width of data lines, in points.
    pub line_pt: f64,
    /// Colour of axes and text.
    pub ink: String,
    /// Colour of grid lines.
    pub grid: String,
    /// Colours handed out in turn.
    pub palette: Vec<String>,
    /// Colours by name.
    pub colours: BTreeMap<String, String>,
}

impl Default for Theme {
    fn default() -> Self {
        Self {
            width_in: COLUMN_IN,
            height_in: 0.0,
            font_pt: 8.0,
            tick_pt: 7.0,
            line_pt: 1.2,
            ink: "#111111".to_owned(),
            grid: "#dddddd".to_owned(),
            palette: PALETTE.iter().map(|colour| (*colour).to_owned()).collect(),
            colours: BTreeMap::new(),
        }
    }
}

impl Theme {
    /// Reads a style file.
    ///
    /// # Errors
    /// With the place and what is wrong.
    pub fn parse(text: &str) -> Result<Self, FigureError> {
        let theme: Self = toml::from_str(text).map_err(|error: toml::de::Error| {
            FigureError::Style { what: error.message().trim_end().to_owned(), span: error.span() }
        })?;
        theme.check().map_err(|(word, what)| {
            let span = text.find(&word).map(|at| at..at + word.len());
            FigureError::Style { what, span }
        })?;
        Ok(theme)
    }

    /// What cannot be drawn with, behind the word of the text that says so.
    fn check(&self) -> Result<(), (String, String)> {
        for (name, value, least, most) in [
            ("width_in", self.width_in, 2.0, 20.0),
            ("height_in", self.height_in, 0.0, 20.0),
            ("font_pt", self.font_pt, 5.0, 24.0),
            ("tick_pt", self.tick_pt, 5.0, 24.0),
            ("line_pt", self.line_pt, 0.1, 6.0),
        ] {
            let unset = name == "height_in" && value == 0.0;
            if !unset && !(f64::max(least, 0.1)..=most).contains(&value) {
                let what = format!("{name} = {value} lies outside {least} to {most}");
                return Err((name.to_owned(), what));
            }
        }
        if self.palette.is_empty() {
            return Err(("palette".to_owned(), "palette needs a colour".to_owned()));
        }
        let named = self.colours.values().chain(&self.palette).chain([&self.ink, &self.grid]);
        for colour in named {
            if luminance(colour).is_none() {
                let quoted = format!("\"{colour}\"");
                let what = format!("{quoted} is no colour; write it as \"#0064a8\"");
                return Err((quoted, what));
            }
        }
        Ok(())
    }

    /// Places of the palette for these names: settled ones first, others take what is free in turn.
    pub fn places(&self, names: &[String]) -> Vec<usize> {
        let settled = |name: &str| {
            let lower = name.to_lowercase();
            SETTLED.iter().find(|(known, _)| *known == lower).map(|(_, place)| *place)
        };
        let mut taken: Vec<usize> = Vec::new();
        let mut own: Vec<Option<usize>> = Vec::new();
        for name in names {
            let place = settled(name).filter(|place| !taken.contains(place));
            taken.extend(place);
            own.push(place);
        }
        let mut next = 0;
        own.into_iter()
            .map(|place| {
                place.unwrap_or_else(|| {
                    while taken.contains(&next) && next < self.palette.len() {
                        next += 1;
                    }
                    next += 1;
                    next - 1
                })
            })
            .collect()
    }

    /// The colour of a name that has this place.
    pub fn colour(&self, name: &str, place: usize) -> &str {
        self.colours.get(name).unwrap_or_else(|| &self.palette[place % self.palette.len()])
    }
}

/// Dashes of the line at a place, in points.
pub const fn dash(place: usize) -> &'static str {
    match place % 5 {
        0 => "",
        1 => "4 1.6",
        2 => "1.2 1.4",
        3 => "5 1.4 1.2 1.4",
        _ => "7 2",
    }
}

/// Relative luminance (WCAG 2) of `#rrggbb`, in [0, 1].
pub fn luminance(colour: &str) -> Option<f64> {
    let hex = colour.strip_prefix('#').filter(|hex| hex.len() == 6 && hex.is_ascii())?;
    let part = |at: usize| {
        let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).ok()?) / 255.0;
        Some(if value <= 0.04045 { value / 12.92 } else { libm::pow((value + 0.055) / 1.055, 2.4) })
    };
    Some(0.2126 * part(0)? + 0.7152 * part(2)? + 0.0722 * part(4)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_print_apart_in_grey() {
        let grey: Vec<f64> = PALETTE.iter().map(|c| luminance(c).unwrap()).collect();
        for pair in grey[..7].windows(2) {
            let (a, b) = (pair[0].max(pair[1]), pair[0].min(pair[1]));
            // What WCAG asks of graphics against their surroundings is 3; 1.5 is told apart side by side.
            assert!((a + 0.05) / (b + 0.05) > 1.5, "{pair:?}");
        }
    }

    #[test]
    fn a_style_file_overrides_and_is_checked() {
        let theme = Theme::parse("font_pt = 9.0\n[colours]\nencoding = \"#123456\"\n").unwrap();
        assert_eq!(theme.colour("encoding", 0), "#123456");
        assert_eq!(theme.tick_pt, 7.0);
        for bad in ["font = 3", "font_pt = 90.0", "ink = \"blue\"", "palette = []"] {
            assert!(Theme::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_keep_their_colours() {
        let theme = Theme::default();
        let places = |names: &[&str]| {
            theme.places(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(places(&["rest", "MLP", "encoding"]), [2, 1, 0]);
        assert_eq!(places(&["x", "encoding", "y"]), [1, 0, 2]);
    }
}
