//! Images as floats, and how much two of them differ.

use glam::Vec3;

/// An image.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Pixels of a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Colours in [0, 1], row by row.
    pub pixels: Vec<Vec3>,
}

impl Image {
    /// A white one, which is what lies behind the synthetic scenes.
    pub fn white(width: u32, height: u32) -> Self {
        Self { width, height, pixels: vec![Vec3::ONE; (width * height) as usize] }
    }

    /// Red, green, blue in eight bits each, row by row.
    pub fn to_rgb8(&self) -> Vec<u8> {
        let byte = |v: f32| (v.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
        self.pixels.iter().flat_map(|p| p.to_array().map(byte)).collect()
    }
}

/// Peak signal-to-noise ratio of two images of one size, in dB; at most 120 (equal).
pub fn psnr(a: &Image, b: &Image) -> f64 {
    let difference: f64 =
        a.pixels.iter().zip(&b.pixels).map(|(a, b)| f64::from((*a - *b).length_squared())).sum();
    let mean = difference / (3.0 * a.pixels.len().max(1) as f64);
    if mean < 1e-12 { 120.0 } else { -10.0 * libm::log10(mean) }
}
