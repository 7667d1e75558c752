//! Factors as an accelerator stores them: each component of a plane or a line is cut into blocks, each
//! block encoded by itself, and a list says where blocks begin. The format is chosen for a component as a
//! whole. Empty blocks take a place in the list and nothing else (not so in dense storage). Codes are
//! signed and scaled by the component's largest value, so that zero is zero.

use serde::Serialize;

use super::{COMPONENTS, DENSITY, Factors, MODES, Mode};
use crate::sparse::{Candidates, Choice, Encoded, Format, Shape, encoded_bits};

/// How factors are stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Encoding {
    /// How a format is chosen.
    pub choice: Choice,
    /// Bits of a value, 4 to 16.
    pub bits: u32,
    /// Side of a plane's block, in texels.
    pub plane_block: u32,
    /// Length of a line's block.
    pub line_block: u32,
}

/// Bits of a block's place in the list.
pub const POINTER_BITS: u64 = 24;

/// A block of one component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Block {
    /// Values that are not zero.
    pub full: u32,
    /// Bits in memory, without its place in the list.
    pub bits: u32,
}

/// A component of a plane or a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// Its format.
    pub format: Format,
    /// Share of zeros.
    pub sparsity: f64,
    /// Bits with the list of blocks, in the format chosen.
    pub bits: u64,
    /// Bits with the list, in each format, in the order of [`Format::ALL`].
    pub by_format: [u64; 6],
    /// Blocks, row by row.
    pub blocks: Vec<Block>,
}

/// Planes or lines of a mode.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedArray {
    /// Places along a row and rows.
    pub size: [usize; 2],
    /// Shape of a block.
    pub shape: Shape,
    /// Blocks along a row and rows of them.
    pub across: [usize; 2],
    /// Components, density ones first.
    pub components: Vec<Component>,
}

/// Sizes of all factors.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedFactors {
    /// How they are stored.
    pub encoding: Encoding,
    /// Planes by mode.
    pub planes: [EncodedArray; MODES],
    /// Lines by mode.
    pub lines: [EncodedArray; MODES],
}

/// What is stored in which format.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Storage {
    /// Values.
    pub values: f64,
    /// Share of zeros.
    pub sparsity: f64,
    /// Bytes as chosen.
    pub bytes: f64,
    /// Bytes if all were dense.
    pub dense_bytes: f64,
    /// Bytes if all were bitmaps.
    pub bitmap_bytes: f64,
    /// Bytes if all were coordinates.
    pub coordinate_bytes: f64,
    /// Bytes if all were compressed rows.
    pub row_bytes: f64,
    /// Bytes if all were compressed columns.
    pub column_bytes: f64,
    /// Bytes if all were runs.
    pub run_length_bytes: f64,
    /// Components stored as bitmaps.
    pub bitmaps: usize,
    /// Components stored as coordinates.
    pub coordinates: usize,
    /// Components stored otherwise.
    pub others: usize,
    /// Least and largest share of zeros of a component.
    pub sparsity_range: [f64; 2],
}

/// Codes of a block of one component.
pub fn codes(
    mode: &Mode,
    line: bool,
    component: usize,
    block: (usize, usize),
    shape: Shape,
    scale: f32,
) -> Vec<u16> {
    let (columns, rows) = if line { (mode.size[2], 1) } else { (mode.size[0], mode.size[1]) };
    let (bx, by) = (block.0 * shape.columns as usize, block.1 * shape.rows as usize);
    let mut out = Vec::with_capacity(shape.cells() as usize);
    for y in by..by + shape.rows as usize {
        for x in bx..bx + shape.columns as usize {
            // Blocks at the edge are filled up with zeros.
            let value = if x < columns && y < rows {
                mode.value(line, component, y * columns + x)
            } else {
                0.0
            };
            out.push(libm::roundf(value * scale) as i32 as i16 as u16);
        }
    }
    out
}

impl Encoding {
    /// Codes in a unit of the largest value of a component; 0 where all are zero.
    pub fn scale(&self, mode: &Mode, line: bool, component: usize) -> f32 {
        let places = if line { mode.size[2] } else { mode.size[0] * mode.size[1] };
        let largest = |most: f32, place| mode.value(line, component, place).abs().max(most);
        let most = (0..places).fold(0.0, largest);
        if most > 0.0 { ((1_u32 << (self.bits - 1)) - 1) as f32 / most } else { 0.0 }
    }

    fn array(&self, mode: &Mode, line: bool) -> EncodedArray {
        let (columns, rows) = if line { (mode.size[2], 1) } else { (mode.size[0], mode.size[1]) };
        let shape = if line {
            Shape::new(1, self.line_block)
        } else {
            Shape::new(self.plane_block, self.plane_block)
        };
        let across = [columns.div_ceil(shape.columns as usize), rows.div_ceil(shape.rows as usize)];
        let mut tally = Tally::new(shape, across);
        tally.read(mode, line, columns, rows);
        let components =
            (0..COMPONENTS).map(|c| self.component(mode, line, c, &tally, rows * columns));
        EncodedArray { size: [columns, rows], shape, across, components: components.collect() }
    }

    fn component(
        &self,
        mode: &Mode,
        line: bool,
        number: usize,
        tally: &Tally,
        values: usize,
    ) -> Component {
        let full = &tally.full[number];
        let kept: u64 = full.iter().map(|n| u64::from(*n)).sum();
        let sparsity = 1.0 - kept as f64 / values.max(1) as f64;
        let size = |format: Format, full: u32, codes: &dyn Fn() -> Vec<u16>| -> u64 {
            if full == 0 && format.skips_empty() {
                return 0;
            }
            self.block_bits(format, tally.shape, full, codes)
        };
        let scale = self.scale(mode, line, number);
        let block_codes = |i: usize| {
            let at = (i % tally.across[0], i / tally.across[0]);
            codes(mode, line, number, at, tally.shape, scale)
        };
        let list = full.len() as u64 * POINTER_BITS;
        let mut by_format = [list; 6];
        for format in Format::ALL {
            let own = full.iter().enumerate().map(|(i, n)| size(format, *n, &|| block_codes(i)));
            by_format[format as usize] += own.sum::<u64>();
        }
        let format = self.choice.of(&Candidates { sparsity, bits: by_format });
        let blocks = full
            .iter()
            .enumerate()
            .map(|(i, n)| Block { full: *n, bits: size(format, *n, &|| block_codes(i)) as u32 });
        Component {
            format,
            sparsity,
            bits: by_format[format as usize],
            by_format,
            blocks: blocks.collect(),
        }
    }

    /// Bits of a block. Only runs depend on where its values are.
    fn block_bits(
        &self,
        format: Format,
        shape: Shape,
        full: u32,
        codes: &dyn Fn() -> Vec<u16>,
    ) -> u64 {
        if format == Format::RunLength {
            return encoded_bits(format, shape, self.bits, &codes());
        }
        crate::sparse::counted_bits(format, shape, self.bits, full)
    }
}

/// Values that are not zero, by component and block.
struct Tally {
    shape: Shape,
    across: [usize; 2],
    full: Vec<Vec<u32>>,
}

impl Tally {
    fn new(shape: Shape, across: [usize; 2]) -> Self {
        Self { shape, across, full: vec![vec![0; across[0] * across[1]]; COMPONENTS] }
    }

    fn read(&mut self, mode: &Mode, line: bool, columns: usize, rows: usize) {
        let (density, appearance) = if line {
            (&mode.density_line, &mode.appearance_line)
        } else {
            (&mode.density_plane, &mode.appearance_plane)
        };
        for y in 0..rows {
            for x in 0..columns {
                let block =
                    y / self.shape.rows as usize * self.across[0] + x / self.shape.columns as usize;
                let place = y * columns + x;
                let own = &density[place * DENSITY..(place + 1) * DENSITY];
                let rest = COMPONENTS - DENSITY;
                let other = &appearance[place * rest..(place + 1) * rest];
                for (component, value) in own.iter().chain(other).enumerate() {
                    if *value != 0.0 {
                        self.full[component][block] += 1;
                    }
                }
            }
        }
    }
}

impl EncodedFactors {
    /// Encodes all planes and lines.
    pub fn new(factors: &Factors, encoding: Encoding) -> Self {
        let encoding = Encoding {
            bits: encoding.bits.clamp(4, 16),
            plane_block: encoding.plane_block.clamp(2, 256),
            line_block: encoding.line_block.clamp(2, 4096),
            ..encoding
        };
        let arrays = |line: bool| factors.modes.each_ref().map(|m| encoding.array(m, line));
        Self { encoding, planes: arrays(false), lines: arrays(true) }
    }

    /// The stream of one block, bit by bit.
    pub fn block(
        &self,
        factors: &Factors,
        (mode, line, component): (usize, bool, usize),
        block: (usize, usize),
    ) -> Option<Encoded> {
        let array = if line { self.lines.get(mode)? } else { self.planes.get(mode)? };
        let own = array.components.get(component)?;
        let from = factors.modes.get(mode)?;
        let scale = self.encoding.scale(from, line, component);
        let codes = codes(from, line, component, block, array.shape, scale);
        Some(Encoded::new(own.format, array.shape, self.encoding.bits, &codes))
    }

    /// Planes and lines of all modes, planes first.
    pub fn arrays(&self) -> impl Iterator<Item = &EncodedArray> {
        self.planes.iter().chain(&self.lines)
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> f64 {
        self.storage(|_| true).bytes
    }

    /// Sums over planes (`true`) or lines (`false`), as chosen.
    pub fn storage(&self, which: impl Fn(bool) -> bool) -> Storage {
        let mut sum = Storage { sparsity_range: [1.0, 0.0], ..Storage::default() };
        let mut zeros = 0.0;
        let planes = self.planes.iter().map(|array| (true, array));
        let lines = self.lines.iter().map(|array| (false, array));
        for (_, array) in planes.chain(lines).filter(|(plane, _)| which(*plane)) {
            let values = (array.size[0] * array.size[1]) as f64;
            for component in &array.components {
                sum.values += values;
                zeros += component.sparsity * values;
                sum.bytes += component.bits as f64 / 8.0;
                for (bits, to) in component.by_format.iter().zip([
                    &mut sum.dense_bytes,
                    &mut sum.bitmap_bytes,
                    &mut sum.coordinate_bytes,
                    &mut sum.row_bytes,
                    &mut sum.column_bytes,
                    &mut sum.run_length_bytes,
                ]) {
                    *to += *bits as f64 / 8.0;
                }
                match component.format {
                    Format::Bitmap => sum.bitmaps += 1,
                    Format::Coordinates => sum.coordinates += 1,
                    _ => sum.others += 1,
                }
                sum.sparsity_range[0] = sum.sparsity_range[0].min(component.sparsity);
                sum.sparsity_range[1] = sum.sparsity_range[1].max(component.sparsity);
            }
        }
        sum.sparsity = if sum.values > 0.0 { zeros / sum.values } else { 0.0 };
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Scene;
    use crate::tensorf::Synthetic;

    /// Sizes that are counted are those of streams that are written, and streams give the factors
    /// back.
    #[test]
    fn counted_sizes_are_those_of_streams() {
        let scene = Scene::shipped("statue").unwrap();
        for bits in [4, 8, 16] {
            let factors = Synthetic { grid: 40, bits, ..Synthetic::default() }.factors(&scene);
            for format in Format::ALL {
                let encoding = Encoding {
                    choice: Choice::Fixed(format),
                    bits,
                    plane_block: 16,
                    line_block: 32,
                };
                let encoded = EncodedFactors::new(&factors, encoding);
                for (mode, line, component) in [
                    (0, false, 0),
                    (0, false, 15),
                    (1, false, 7),
                    (2, false, 40),
                    (1, true, 3),
                    (2, true, 60),
                ] {
                    let array = if line { &encoded.lines[mode] } else { &encoded.planes[mode] };
                    let own = &array.components[component];
                    for (i, block) in own.blocks.iter().enumerate() {
                        let at = (i % array.across[0], i / array.across[0]);
                        let stream = encoded.block(&factors, (mode, line, component), at).unwrap();
                        if block.full > 0 || !format.skips_empty() {
                            assert_eq!(stream.bits(), block.bits as usize, "{format:?}");
                        }
                        let scale = encoding.scale(&factors.modes[mode], line, component);
                        let codes =
                            codes(&factors.modes[mode], line, component, at, array.shape, scale);
                        let mask = ((1_u32 << bits) - 1) as u16;
                        let expected: Vec<u16> = codes.iter().map(|code| code & mask).collect();
                        assert_eq!(stream.decode(), expected);
                    }
                }
            }
        }
    }

    #[test]
    fn dense_and_empty_factors_encode() {
        let scene = Scene::shipped("statue").unwrap();
        let mut factors = Synthetic { grid: 32, ..Synthetic::default() }.factors(&scene);
        let encoding =
            Encoding { choice: Choice::Smaller, bits: 16, plane_block: 16, line_block: 32 };
        for value in [0.0, 1.0] {
            for mode in &mut factors.modes {
                for (values, _) in mode.arrays() {
                    values.fill(value);
                }
            }
            let storage = EncodedFactors::new(&factors, encoding).storage(|_| true);
            assert_eq!(storage.sparsity, 1.0 - f64::from(value));
            let list = storage.values / 256.0 * 3.0;
            if value == 0.0 {
                assert!(storage.bytes < 2.0 * list, "{storage:?}");
            } else {
                let all = 2.0 * storage.values;
                assert!(storage.bytes > all && storage.dense_bytes > all, "{storage:?}");
                assert_eq!(storage.coordinates, 0);
            }
        }
    }
}
