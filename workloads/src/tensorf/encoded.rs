//! Factors as an accelerator stores them: each component of a plane or a line is cut into blocks, each
//! block encoded by itself, and a list says where blocks begin. The format is chosen for a component as a
//! whole. Sizes are counted without writing the streams, for factors that are rounded to the bits of a value
//! already. Empty blocks take a place in the list and nothing else (not so in dense storage). Codes are
//! signed and scaled by the component's largest value, so that zero is zero.

use serde::Serialize;

use super::{COMPONENTS, DENSITY, Factors, MODES, Mode};
use crate::sparse::{Candidates, Choice, Encoded, Format, LONGEST_RUN, Shape, run_bits};

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
        let tally = Tally::of(mode, line, [columns, rows], shape, across);
        let components = (0..COMPONENTS).map(|c| self.component(c, &tally, rows * columns));
        EncodedArray { size: [columns, rows], shape, across, components: components.collect() }
    }

    fn component(&self, number: usize, tally: &Tally, values: usize) -> Component {
        let own = || (number..tally.blocks.len()).step_by(COMPONENTS).map(|at| tally.blocks[at]);
        let blocks = tally.blocks.len() / COMPONENTS;
        let kept: u64 = own().map(|block| u64::from(block.full)).sum();
        let sparsity = 1.0 - kept as f64 / values.max(1) as f64;
        let list = blocks as u64 * POINTER_BITS;
        let mut by_format = [list; 6];
        for format in Format::ALL {
            let bits = own().map(|block| self.block_bits(format, tally.shape, block));
            by_format[format as usize] += bits.sum::<u64>();
        }
        let format = self.choice.of(&Candidates { sparsity, bits: by_format });
        let blocks = own().map(|block| Block {
            full: block.full,
            bits: self.block_bits(format, tally.shape, block) as u32,
        });
        Component {
            format,
            sparsity,
            bits: by_format[format as usize],
            by_format,
            blocks: blocks.collect(),
        }
    }

    /// Bits of a block.
    fn block_bits(&self, format: Format, shape: Shape, block: Counted) -> u64 {
        if block.full == 0 && format.skips_empty() {
            return 0;
        }
        match format {
            Format::RunLength => run_bits(self.bits, u64::from(block.runs)),
            _ => crate::sparse::counted_bits(format, shape, self.bits, block.full),
        }
    }
}

/// What sizes of a block follow from.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    /// Values that are not zero.
    full: u32,
    /// Runs with their values.
    runs: u32,
}

/// Blocks of all components, which are counted side by side: components of a place lie together.
struct Tally {
    shape: Shape,
    /// By block, then component.
    blocks: Vec<Counted>,
}

/// Counts of a block, and the run under way.
struct Lanes<const N: usize> {
    full: [u32; N],
    runs: [u32; N],
    run: [u32; N],
}

impl<const N: usize> Lanes<N> {
    const fn new() -> Self {
        Self { full: [0; N], runs: [0; N], run: [0; N] }
    }

    /// One more cell of the block; `None` beyond the edge, where all is zero.
    fn cell(&mut self, values: Option<&[f32; N]>, last: bool) {
        for i in 0..N {
            let some = u32::from(values.is_some_and(|values| values[i] != 0.0));
            let ends = some | u32::from(self.run[i] == LONGEST_RUN) | u32::from(last);
            self.full[i] += some;
            self.runs[i] += ends;
            self.run[i] = (self.run[i] + 1) * (1 - ends);
        }
    }
}

impl Tally {
    fn of(
        mode: &Mode,
        line: bool,
        [columns, rows]: [usize; 2],
        shape: Shape,
        across: [usize; 2],
    ) -> Self {
        const REST: usize = COMPONENTS - DENSITY;
        let (density, appearance) = if line {
            (&mode.density_line, &mode.appearance_line)
        } else {
            (&mode.density_plane, &mode.appearance_plane)
        };
        let (density, appearance) =
            (density.as_chunks::<DENSITY>().0, appearance.as_chunks::<REST>().0);
        let (width, height) = (shape.columns as usize, shape.rows as usize);
        let mut blocks = Vec::with_capacity(across[0] * across[1] * COMPONENTS);
        for block in 0..across[0] * across[1] {
            let (x0, y0) = (block % across[0] * width, block / across[0] * height);
            let (mut one, mut other) = (Lanes::<DENSITY>::new(), Lanes::<REST>::new());
            for cell in 0..width * height {
                let (x, y) = (x0 + cell % width, y0 + cell / width);
                let place = (x < columns && y < rows).then_some(y * columns + x);
                let last = cell + 1 == width * height;
                one.cell(place.and_then(|place| density.get(place)), last);
                other.cell(place.and_then(|place| appearance.get(place)), last);
            }
            let counted = |(full, runs): (&u32, &u32)| Counted { full: *full, runs: *runs };
            blocks.extend(one.full.iter().zip(&one.runs).map(counted));
            blocks.extend(other.full.iter().zip(&other.runs).map(counted));
        }
        Self { shape, blocks }
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
