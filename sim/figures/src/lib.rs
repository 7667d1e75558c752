//! Figures for papers from the files that the commands write, and the pages that show them.
//!
//! A [`Table`] is read from CSV or JSON, a [`kinds::Kind`] draws it on a [`canvas::Canvas`] in points
//! (1/72 in), and `print` turns the SVG into PDF and PNG. Every number keeps its two decimals of
//! a point, nothing depends on time, locale or installed fonts: same file in, same bytes out. What is
//! left out: three dimensions, interaction, and any knowledge of hardware (whatever a figure needs to know
//! about a GPU is handed to it).

pub mod canvas;
pub mod chart;
pub mod compare;
pub mod explain;
pub mod font;
pub mod kinds;
pub mod page;
#[cfg(feature = "print")]
pub mod print;
pub mod scale;
pub mod table;
pub mod theme;
pub mod words;

pub use kinds::{Figure, Kind, Options, Roof, draw};
pub use table::Table;
pub use theme::Theme;
pub use words::titled;

/// Why there is no figure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FigureError {
    /// The file holds nothing to draw.
    #[error("{0}")]
    Empty(String),
    /// A column that the kind needs is missing.
    #[error("there is no column {wanted}; the file has: {found}")]
    NoColumn {
        /// What was looked for.
        wanted: String,
        /// What is there.
        found: String,
    },
    /// A column that has no number in it.
    #[error("column \"{column}\" holds no finite number (line {line} says \"{text}\")")]
    NoNumbers {
        /// The column.
        column: String,
        /// First line that was looked at.
        line: usize,
        /// Its text.
        text: String,
    },
    /// The file cannot be read as CSV or JSON.
    #[error("{0}")]
    Unreadable(String),
    /// The style file is wrong.
    #[error("style: {what}")]
    Style {
        /// What is wrong.
        what: String,
        /// Bytes of the text that it is about, where known.
        span: Option<std::ops::Range<usize>>,
    },
    /// PDF or PNG could not be made.
    #[error("the figure cannot be turned into {0}")]
    Print(String),
}
