//! Widths of text in the font that the figures carry.
//!
//! Lumacycle Sans is Liberation Sans (OFL 1.1) cut down to Latin, Greek and the signs that figures need. Its widths
//! equal those of Arial and Helvetica, which a browser takes where it does not know the font, so
//! that labels fit in every viewer. Kerning is left out: it only ever makes a line shorter.

use ttf_parser::Face;

/// The regular face.
pub const REGULAR: &[u8] = include_bytes!("../font/LumacycleSans-Regular.ttf");
/// Families in the order in which a viewer tries them.
pub const FAMILIES: &str = "'Lumacycle Sans', 'Liberation Sans', Arial, Helvetica, sans-serif";
/// Width of a character that the font lacks, as a share of the size.
const UNKNOWN: f64 = 0.6;
/// Height of capitals over the size.
pub const CAP_HEIGHT: f64 = 0.72;

/// Measures text.
#[derive(Debug)]
pub struct Ruler {
    face: Option<Face<'static>>,
}

impl Default for Ruler {
    fn default() -> Self {
        Self { face: Face::parse(REGULAR, 0).ok() }
    }
}

impl Ruler {
    /// Width of a line, in the unit of `size`.
    pub fn width(&self, text: &str, size: f64) -> f64 {
        let Some(face) = &self.face else { return text.chars().count() as f64 * UNKNOWN * size };
        let em = f64::from(face.units_per_em());
        let one = |c: char| {
            let advance = face.glyph_index(c).and_then(|glyph| face.glyph_hor_advance(glyph));
            advance.map_or(UNKNOWN, |advance| f64::from(advance) / em)
        };
        text.chars().map(one).sum::<f64>() * size
    }

    /// The text, with an ellipsis in its middle where it is wider than `most`: names of one kind often differ in
    /// how they end.
    pub fn fitted(&self, text: &str, size: f64, most: f64) -> String {
        if self.width(text, size) <= most {
            return text.to_owned();
        }
        let letters: Vec<char> = text.chars().collect();
        for kept in (2..letters.len()).rev() {
            // Two thirds of what is kept say what kind of name it is.
            let tail = kept / 3;
            let from = letters[..kept - tail].iter().collect::<String>();
            let to = letters[letters.len() - tail..].iter().collect::<String>();
            let shorter = format!("{}…{}", from.trim_end(), to.trim_start());
            if self.width(&shorter, size) <= most {
                return shorter;
            }
        }
        "…".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_font_knows_its_letters() {
        let ruler = Ruler::default();
        // Liberation Sans: digits are 0.556 em wide, as Helvetica's.
        assert!((ruler.width("0000", 10.0) - 22.246).abs() < 0.05);
        for c in "µ°²×–…ΔΩ≤".chars() {
            assert!(ruler.face.as_ref().unwrap().glyph_index(c).is_some(), "{c}");
        }
        let cut = ruler.fitted("a name that is longer than its place", 8.0, 60.0);
        assert!(cut.starts_with("a n") && cut.ends_with("ace") && cut.contains('…'), "{cut}");
        assert!(ruler.width(&cut, 8.0) <= 60.0, "{cut}");
        assert_eq!(ruler.fitted("words", 8.0, 0.1), "…");
    }
}
