//! PDF and PNG from the SVG of a figure, with the font that the crate carries and no other.

use std::sync::Arc;

use resvg::{tiny_skia, usvg};

use crate::{FigureError, font};

/// Dots an inch of a PNG.
pub const PNG_DPI: f32 = 300.0;

fn fonts() -> Arc<usvg::fontdb::Database> {
    let mut fonts = usvg::fontdb::Database::new();
    fonts.load_font_data(font::REGULAR.to_vec());
    Arc::new(fonts)
}

/// A PDF page of the figure's size, with selectable text and its font embedded. It carries no
/// date.
///
/// # Errors
/// When the SVG is none of ours.
pub fn pdf(svg: &str) -> Result<Vec<u8>, FigureError> {
    let failed = |error: String| FigureError::Print(format!("PDF: {error}"));
    let options = svg2pdf::usvg::Options { fontdb: fonts(), ..svg2pdf::usvg::Options::default() };
    let tree = svg2pdf::usvg::Tree::from_str(svg, &options).map_err(|e| failed(e.to_string()))?;
    // usvg counts in CSS pixels of 1/96 in; a page in points keeps the size in inches.
    let page = svg2pdf::PageOptions { dpi: 96.0 };
    svg2pdf::to_pdf(&tree, svg2pdf::ConversionOptions::default(), page)
        .map_err(|error| failed(error.to_string()))
}

/// A PNG at so many dots an inch.
///
/// # Errors
/// When the SVG is none of ours, or the image would be too large.
pub fn png(svg: &str, dpi: f32) -> Result<Vec<u8>, FigureError> {
    let failed = |error: String| FigureError::Print(format!("PNG: {error}"));
    let options = usvg::Options { fontdb: fonts(), ..usvg::Options::default() };
    let tree = usvg::Tree::from_str(svg, &options).map_err(|e| failed(e.to_string()))?;
    let scale = dpi / 96.0;
    let size = tree.size();
    let mut pixels = tiny_skia::Pixmap::new(
        (size.width() * scale).round() as u32,
        (size.height() * scale).round() as u32,
    )
    .ok_or_else(|| failed("it would be too large".to_owned()))?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(scale, scale), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| failed(error.to_string()))
}
