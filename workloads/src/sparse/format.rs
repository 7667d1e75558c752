//! The formats themselves: encoder, decoder and lookup of one code.

use serde::{Deserialize, Serialize};

use super::bits::{BitReader, BitStream};

/// Rows and columns of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Shape {
    /// Rows; one for a piece of a line.
    pub rows: u32,
    /// Columns.
    pub columns: u32,
}

/// Bits that count up to `most`.
const fn width(most: u32) -> u32 {
    u32::BITS - most.leading_zeros()
}

impl Shape {
    /// A block; at least one cell, at most 2^24.
    pub fn new(rows: u32, columns: u32) -> Self {
        Self { rows: rows.clamp(1, 1 << 12), columns: columns.clamp(1, 1 << 12) }
    }

    /// Cells of the block.
    pub const fn cells(self) -> u32 {
        self.rows * self.columns
    }

    /// Bits of a cell's number.
    pub const fn index_bits(self) -> u32 {
        width(self.cells() - 1)
    }

    /// Bits that count the cells that are not zero.
    pub const fn count_bits(self) -> u32 {
        width(self.cells())
    }

    const fn transposed(self) -> Self {
        Self { rows: self.columns, columns: self.rows }
    }
}

/// How a block is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Every code.
    Dense = 0,
    /// A bit for each cell, then the codes that are not zero.
    Bitmap = 1,
    /// How many there are, then number and code of each (COO).
    Coordinates = 2,
    /// Where each row ends, then column and code of each (CSR).
    Rows = 3,
    /// The same by columns (CSC).
    Columns = 4,
    /// How many zeros come before each code.
    RunLength = 5,
}

/// Bits of a run of zeros; longer ones are broken up by a code that is zero.
const RUN_BITS: u32 = 5;
/// Zeros of the longest run.
pub const LONGEST_RUN: u32 = (1 << RUN_BITS) - 1;

/// Bits of so many runs, each with the value behind it.
pub fn run_bits(value_bits: u32, runs: u64) -> u64 {
    runs * u64::from(RUN_BITS + value_bits.clamp(1, 16))
}

impl Format {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Dense, Self::Bitmap, Self::Coordinates, Self::Rows, Self::Columns, Self::RunLength];

    /// Name as written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Bitmap => "bitmap",
            Self::Coordinates => "coordinates",
            Self::Rows => "rows",
            Self::Columns => "columns",
            Self::RunLength => "run-length",
        }
    }

    /// Whether an empty block can be left out, marked in the list of blocks.
    pub const fn skips_empty(self) -> bool {
        !matches!(self, Self::Dense)
    }
}

/// A block as it lies in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    format: Format,
    shape: Shape,
    value_bits: u32,
    stream: BitStream,
}

impl Encoded {
    /// Encodes the codes of a block, row by row. Codes are cut to `value_bits` (1 to 16); missing
    /// ones are zero.
    pub fn new(format: Format, shape: Shape, value_bits: u32, codes: &[u16]) -> Self {
        let value_bits = value_bits.clamp(1, 16);
        let mask = (1_u32 << value_bits) - 1;
        let code = |i: usize| u32::from(codes.get(i).copied().unwrap_or(0)) & mask;
        let mut stream = BitStream::default();
        match format {
            Format::Dense => {
                for i in 0..shape.cells() {
                    stream.push(code(i as usize), value_bits);
                }
            }
            Format::Bitmap => {
                for i in 0..shape.cells() {
                    stream.push(u32::from(code(i as usize) != 0), 1);
                }
                for i in (0..shape.cells()).filter(|i| code(*i as usize) != 0) {
                    stream.push(code(i as usize), value_bits);
                }
            }
            Format::Coordinates => {
                let full = |i: &u32| code(*i as usize) != 0;
                stream.push((0..shape.cells()).filter(full).count() as u32, shape.count_bits());
                for i in (0..shape.cells()).filter(full) {
                    stream.push(i, shape.index_bits());
                    stream.push(code(i as usize), value_bits);
                }
            }
            Format::Rows => compressed(
                shape,
                value_bits,
                |r, c| code((r * shape.columns + c) as usize),
                &mut stream,
            ),
            Format::Columns => {
                compressed(
                    shape.transposed(),
                    value_bits,
                    |c, r| code((r * shape.columns + c) as usize),
                    &mut stream,
                );
            }
            Format::RunLength => {
                let mut run = 0;
                for i in 0..shape.cells() {
                    let value = code(i as usize);
                    let last = i + 1 == shape.cells();
                    if value == 0 && run < LONGEST_RUN && !last {
                        run += 1;
                        continue;
                    }
                    stream.push(run, RUN_BITS);
                    stream.push(value, value_bits);
                    run = 0;
                }
            }
        }
        Self { format, shape, value_bits, stream }
    }

    /// Size, in bits.
    pub const fn bits(&self) -> usize {
        self.stream.len()
    }

    /// All codes, row by row.
    pub fn decode(&self) -> Vec<u16> {
        let mut out = vec![0_u16; self.shape.cells() as usize];
        let mut reader = BitReader::new(&self.stream);
        // A stream that ends early leaves zeros; no stream of the encoder does.
        let _ = self.fill(&mut reader, &mut out);
        out
    }

    fn fill(&self, reader: &mut BitReader<'_>, out: &mut [u16]) -> Option<()> {
        let (shape, bits) = (self.shape, self.value_bits);
        match self.format {
            Format::Dense => {
                for cell in out.iter_mut() {
                    *cell = reader.next(bits)? as u16;
                }
            }
            Format::Bitmap => {
                let full: Option<Vec<bool>> =
                    out.iter().map(|_| Some(reader.next(1)? == 1)).collect();
                for (cell, _) in out.iter_mut().zip(full?).filter(|(_, full)| *full) {
                    *cell = reader.next(bits)? as u16;
                }
            }
            Format::Coordinates => {
                for _ in 0..reader.next(shape.count_bits())? {
                    let index = reader.next(shape.index_bits())?;
                    *out.get_mut(index as usize)? = reader.next(bits)? as u16;
                }
            }
            Format::Rows => {
                expand(shape, bits, reader, |r, c| (r * shape.columns + c) as usize, out)?;
            }
            Format::Columns => {
                expand(
                    shape.transposed(),
                    bits,
                    reader,
                    |c, r| (r * shape.columns + c) as usize,
                    out,
                )?;
            }
            Format::RunLength => {
                let mut at = 0;
                while at < out.len() {
                    at += reader.next(RUN_BITS)? as usize;
                    *out.get_mut(at)? = reader.next(bits)? as u16;
                    at += 1;
                }
            }
        }
        Some(())
    }

    /// The code of one cell, found as the hardware finds it: by counting ones before its bit, or by
    /// comparing coordinates; other formats are decoded.
    pub fn lookup(&self, cell: u32) -> u16 {
        let (shape, bits) = (self.shape, self.value_bits);
        if cell >= shape.cells() {
            return 0;
        }
        match self.format {
            Format::Bitmap => {
                if self.stream.get(cell as usize, 1) != Some(1) {
                    return 0;
                }
                let rank = self.stream.ones(0, cell as usize);
                let at = shape.cells() + rank * bits;
                self.stream.get(at as usize, bits).unwrap_or(0) as u16
            }
            Format::Coordinates => {
                let count = self.stream.get(0, shape.count_bits()).unwrap_or(0);
                let entry =
                    |n: u32| (shape.count_bits() + n * (shape.index_bits() + bits)) as usize;
                let found = (0..count)
                    .find(|n| self.stream.get(entry(*n), shape.index_bits()) == Some(cell));
                let value = |n| self.stream.get(entry(n) + shape.index_bits() as usize, bits);
                found.and_then(value).unwrap_or(0) as u16
            }
            _ => self.decode()[cell as usize],
        }
    }
}

/// Where each row ends, then column and code of every cell that is not zero.
fn compressed(shape: Shape, bits: u32, code: impl Fn(u32, u32) -> u32, stream: &mut BitStream) {
    let mut ends = 0;
    for r in 0..shape.rows {
        ends += (0..shape.columns).filter(|c| code(r, *c) != 0).count() as u32;
        stream.push(ends, shape.count_bits());
    }
    for r in 0..shape.rows {
        for c in (0..shape.columns).filter(|c| code(r, *c) != 0) {
            stream.push(c, width(shape.columns - 1));
            stream.push(code(r, c), bits);
        }
    }
}

fn expand(
    shape: Shape,
    bits: u32,
    reader: &mut BitReader<'_>,
    place: impl Fn(u32, u32) -> usize,
    out: &mut [u16],
) -> Option<()> {
    let ends: Option<Vec<u32>> = (0..shape.rows).map(|_| reader.next(shape.count_bits())).collect();
    let mut done = 0;
    for (r, end) in ends?.into_iter().enumerate() {
        for _ in done..end {
            let c = reader.next(width(shape.columns - 1))?;
            *out.get_mut(place(r as u32, c))? = reader.next(bits)? as u16;
        }
        done = end;
    }
    Some(())
}

/// Size of a block in a format, in bits: what [`Encoded::bits`] says.
pub fn encoded_bits(format: Format, shape: Shape, value_bits: u32, codes: &[u16]) -> u64 {
    if format == Format::RunLength {
        return Encoded::new(format, shape, value_bits, codes).bits() as u64;
    }
    let full = codes.iter().filter(|code| **code != 0).count();
    counted_bits(format, shape, value_bits, full as u32)
}

/// The same from the number of codes that are not zero. Runs depend on their places too; without
/// those, the fewest bits that there can be.
pub fn counted_bits(format: Format, shape: Shape, value_bits: u32, full: u32) -> u64 {
    let value_bits = u64::from(value_bits.clamp(1, 16));
    let full = u64::from(full);
    let cells = u64::from(shape.cells());
    let (index, count) = (u64::from(shape.index_bits()), u64::from(shape.count_bits()));
    let along = |axis: u32| u64::from(width(axis - 1));
    match format {
        Format::Dense => cells * value_bits,
        Format::Bitmap => cells + full * value_bits,
        Format::Coordinates => count + full * (index + value_bits),
        Format::Rows => u64::from(shape.rows) * count + full * (along(shape.columns) + value_bits),
        Format::Columns => {
            u64::from(shape.columns) * count + full * (along(shape.rows) + value_bits)
        }
        Format::RunLength => run_bits(value_bits as u32, full.max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block() -> impl Strategy<Value = (Shape, u32, Vec<u16>)> {
        (1_u32..=20, 1_u32..=40, 4_u32..=16, 0_u32..=100).prop_flat_map(
            |(rows, columns, bits, percent)| {
                let shape = Shape::new(rows, columns);
                let most = (1_u32 << bits) - 1;
                let cell = (0_u32..100, 0_u32..=most)
                    .prop_map(move |(dice, v)| if dice < percent { v as u16 } else { 0 });
                let cells = shape.cells() as usize;
                prop::collection::vec(cell, cells).prop_map(move |codes| (shape, bits, codes))
            },
        )
    }

    proptest! {
        #[test]
        fn every_format_gives_back_what_went_in((shape, bits, codes) in block()) {
            for format in Format::ALL {
                let encoded = Encoded::new(format, shape, bits, &codes);
                prop_assert_eq!(&encoded.decode(), &codes, "{:?}", format);
                prop_assert_eq!(encoded.bits() as u64, encoded_bits(format, shape, bits, &codes));
            }
        }

        #[test]
        fn lookups_find_single_codes((shape, bits, codes) in block(), at in 0_u32..800) {
            let at = at % shape.cells();
            for format in Format::ALL {
                let encoded = Encoded::new(format, shape, bits, &codes);
                prop_assert_eq!(encoded.lookup(at), codes[at as usize], "{:?}", format);
            }
        }
    }

    #[test]
    fn extremes_encode() {
        let shape = Shape::new(16, 16);
        let (none, all) = (vec![0_u16; 256], vec![0xffff_u16; 256]);
        for format in Format::ALL {
            assert_eq!(Encoded::new(format, shape, 16, &none).decode(), none);
            assert_eq!(Encoded::new(format, shape, 16, &all).decode(), all);
        }
        assert_eq!(Encoded::new(Format::Bitmap, shape, 16, &none).bits(), 256);
        assert_eq!(Encoded::new(Format::Coordinates, shape, 16, &none).bits(), 9);
        assert_eq!(Encoded::new(Format::Bitmap, shape, 16, &none).lookup(256), 0);
    }
}
