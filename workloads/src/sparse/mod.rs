//! Sparse encodings of small blocks of codes, bit by bit: bitmap and coordinates, between which
//! RT-NeRF switches (Li et al., ICCAD 2022), and compressed rows and columns, run lengths and dense
//! storage to compare with. A block is a rectangle of a plane or a piece of a line; it is the unit of
//! random access, so all counts and coordinates are relative to it. The paper does not publish its stream
//! format: field widths here are the least that hold a block. Left out: entropy coding of values.

mod bits;
mod format;

pub use bits::{BitReader, BitStream};
pub use format::{Encoded, Format, LONGEST_RUN, Shape, counted_bits, encoded_bits, run_bits};

use serde::Serialize;

/// How a format is chosen for a factor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// Always this one.
    Fixed(Format),
    /// Bitmap up to this share of zeros, coordinates above.
    Threshold(f64),
    /// Bitmap or coordinates, whichever takes fewer bits for the factor as a whole.
    Smaller,
    /// Any of all formats that a lookup can be answered from, whichever takes fewest bits.
    SmallestOfAll,
}

/// What an encoder knows of a factor when it chooses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidates {
    /// Share of zeros.
    pub sparsity: f64,
    /// Bits in each format, in the order of [`Format::ALL`].
    pub bits: [u64; 6],
}

impl Choice {
    /// The format.
    pub fn of(self, candidates: &Candidates) -> Format {
        let bits = |format: Format| candidates.bits[format as usize];
        match self {
            Self::Fixed(format) => format,
            Self::Threshold(most) if candidates.sparsity > most => Format::Coordinates,
            Self::Smaller if bits(Format::Coordinates) < bits(Format::Bitmap) => {
                Format::Coordinates
            }
            Self::Threshold(_) | Self::Smaller => Format::Bitmap,
            Self::SmallestOfAll => {
                let mut best = Format::Bitmap;
                // Runs have to be read from their start, so no lookup is answered from them.
                for format in Format::ALL.into_iter().filter(|f| *f != Format::RunLength) {
                    if bits(format) < bits(best) {
                        best = format;
                    }
                }
                best
            }
        }
    }
}

/// Share of zeros above which coordinates take fewer bits than a bitmap in blocks of this shape,
/// from the widths of their fields: `n · index + count = cells`. The values' width cancels out, as
/// both store the same ones.
pub fn storage_crossover(shape: Shape) -> f64 {
    let cells = f64::from(shape.cells());
    let count = f64::from(shape.count_bits());
    let index = f64::from(shape.index_bits()).max(1.0);
    (1.0 - (cells - count) / index / cells).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Around the crossover the smaller stream changes sides.
    #[test]
    fn streams_cross_where_widths_say() {
        for shape in [Shape::new(16, 16), Shape::new(1, 300), Shape::new(8, 8)] {
            let cells = shape.cells() as usize;
            let at = storage_crossover(shape);
            for (sparsity, coordinates) in [(at - 0.03, false), (at + 0.03, true)] {
                let full = ((1.0 - sparsity) * cells as f64).round() as usize;
                let codes: Vec<u16> = (0..cells).map(|i| u16::from(i < full)).collect();
                let bits = |format| encoded_bits(format, shape, 8, &codes);
                let smaller = bits(Format::Coordinates) < bits(Format::Bitmap);
                assert_eq!(smaller, coordinates, "{shape:?} {sparsity}");
            }
        }
    }

    #[test]
    fn choices() {
        let candidates = Candidates { sparsity: 0.85, bits: [900, 400, 420, 500, 510, 300] };
        assert_eq!(Choice::Threshold(0.8).of(&candidates), Format::Coordinates);
        assert_eq!(Choice::Threshold(0.9).of(&candidates), Format::Bitmap);
        assert_eq!(Choice::Smaller.of(&candidates), Format::Bitmap);
        assert_eq!(Choice::SmallestOfAll.of(&candidates), Format::Bitmap);
        assert_eq!(Choice::Fixed(Format::Rows).of(&candidates), Format::Rows);
    }
}
