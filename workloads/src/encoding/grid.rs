//! The tables of a multi-resolution grid encoding and what a lookup in them yields.
//!
//! Levels grow by a constant factor from the base resolution; a level that would need more
//! entries than the table has hashes its corners instead (coherent-prime hash, Teschner et al.
//! 2003 as used by Müller et al. 2022). Positions and weights are fp32, features fp16, summed
//! with fp16 fused multiply-adds. Left out: stochastic interpolation (training only), quantised
//! positions, and the permutohedral and triplane variants of later libraries.

use half::f16;
use serde::{Deserialize, Serialize};

/// Corners of a cell in the highest dimension that is supported.
pub const MAX_CORNERS: usize = 8;
/// Largest table a level may have, as a power of two of its entries.
const MOST_LOG2_ENTRIES: u32 = 28;
/// Entries of a level are allotted in multiples of this.
const ENTRY_UNIT: u64 = 8;
/// Factors of the spatial hash by dimension; the first leaves neighbours in x side by side.
const PRIMES: [u32; 3] = [1, 2_654_435_761, 805_459_861];

/// What happens when a level has more corners than its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GridKind {
    /// Corners share entries by a hash of their coordinates.
    Hash,
    /// The table is as large as the level.
    Dense,
    /// The table has the size of the base resolution and repeats.
    Tiled,
}

/// How the corners of a cell are weighed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// Multilinear.
    #[default]
    Linear,
    /// The nearest lower corner alone.
    Nearest,
    /// Multilinear on `3t² − 2t³`.
    Smoothstep,
}

/// A grid encoding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// Coordinates of a position: 2 or 3.
    pub dims: u32,
    /// Table rule.
    pub kind: GridKind,
    /// Number of levels.
    pub levels: u32,
    /// Features of an entry: 1, 2, 4 or 8.
    pub features: u32,
    /// Most entries of a hashed level, as a power of two.
    pub log2_entries: u32,
    /// Resolution of the first level, in cells along an axis.
    pub base_resolution: u32,
    /// Growth of the resolution from one level to the next.
    pub growth: f64,
    /// Weights of corners.
    #[serde(default)]
    pub interpolation: Interpolation,
}

/// One level of a grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// Factor from the unit cube to cells.
    pub scale: f32,
    /// Corners along an axis.
    pub resolution: u32,
    /// Entries of its table.
    pub entries: u32,
    /// Number of the first entry within all tables together.
    pub first_entry: u64,
    /// Whether corners are hashed.
    pub hashed: bool,
}

/// A corner of the cell that a position lies in.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Corner {
    /// Entry within the level's table.
    pub entry: u32,
    /// Weight; those of a cell add up to one.
    pub weight: f32,
}

impl Grid {
    /// Size of one entry, in bytes (fp16 features).
    pub const fn entry_bytes(&self) -> u64 {
        self.features as u64 * 2
    }

    /// Corners that a lookup reads on one level.
    pub const fn corners(&self) -> usize {
        match self.interpolation {
            Interpolation::Nearest => 1,
            _ => 1 << self.dims,
        }
    }

    /// Features that one position is turned into.
    pub const fn outputs(&self) -> u32 {
        self.levels * self.features
    }

    /// Checks that such a grid can exist.
    ///
    /// # Errors
    /// Names the value that is wrong and what it may be.
    pub fn validate(&self) -> Result<(), String> {
        if !(2..=3).contains(&self.dims) {
            return Err(format!("dims is {}; positions have 2 or 3 coordinates", self.dims));
        }
        if self.levels == 0 || self.levels > 32 {
            return Err(format!("levels is {}; it must lie between 1 and 32", self.levels));
        }
        if ![1, 2, 4, 8].contains(&self.features) {
            return Err(format!("features is {}; it must be 1, 2, 4 or 8", self.features));
        }
        if self.log2_entries > MOST_LOG2_ENTRIES {
            return Err(format!(
                "log2_entries is {}; a table of 2^{} entries is the most that is supported (2^{MOST_LOG2_ENTRIES})",
                self.log2_entries, self.log2_entries
            ));
        }
        if self.base_resolution == 0 || self.base_resolution > 1 << 16 {
            let base = self.base_resolution;
            return Err(format!("base_resolution is {base}; it must lie between 1 and 65536"));
        }
        if !(1.0..=8.0).contains(&self.growth) {
            return Err(format!("growth is {:e}; it must lie between 1 and 8", self.growth));
        }
        let finest = f64::from(self.base_resolution)
            * libm::pow(self.growth, f64::from(self.levels.saturating_sub(1)));
        if finest > f64::from(1 << 22) {
            return Err(format!(
                "the finest level would have {finest:.3e} cells along an axis; growth or levels is too large"
            ));
        }
        let entries = libm::pow(finest + 2.0, f64::from(self.dims));
        if self.kind == GridKind::Dense && entries > f64::from(1 << MOST_LOG2_ENTRIES) {
            return Err(format!(
                "a dense level of {finest:.0} cells along an axis has {entries:.2e} entries, above 2^{MOST_LOG2_ENTRIES}; use kind = \"hash\""
            ));
        }
        Ok(())
    }

    /// The levels with the sizes of their tables.
    pub fn tables(&self) -> Vec<Level> {
        let log2_growth = libm::log2(self.growth) as f32;
        let mut first_entry = 0;
        (0..self.levels)
            .map(|level| {
                let scale =
                    libm::exp2f(level as f32 * log2_growth) * self.base_resolution as f32 - 1.0;
                let resolution = libm::ceilf(scale) as u32 + 1;
                let all = u64::from(resolution).saturating_pow(self.dims);
                let rounded = all.saturating_add(ENTRY_UNIT - 1) / ENTRY_UNIT * ENTRY_UNIT;
                let entries = match self.kind {
                    GridKind::Dense => rounded,
                    GridKind::Tiled => {
                        rounded.min(u64::from(self.base_resolution).saturating_pow(self.dims))
                    }
                    GridKind::Hash => rounded.min(1 << self.log2_entries),
                };
                let hashed = self.kind == GridKind::Hash && entries < all;
                let this = Level {
                    scale,
                    resolution,
                    entries: u32::try_from(entries).unwrap_or(u32::MAX),
                    first_entry,
                    hashed,
                };
                first_entry += entries;
                this
            })
            .collect()
    }

    /// Features stored in all tables together.
    pub fn parameters(&self) -> u64 {
        let entries: u64 = self.tables().iter().map(|level| u64::from(level.entries)).sum();
        entries * u64::from(self.features)
    }

    /// Size of all tables, in bytes.
    pub fn table_bytes(&self) -> u64 {
        self.parameters() * 2
    }

    /// Splits a coordinate into its cell and what is left: `pos_fract` of the reference.
    fn place(&self, level: &Level, coordinate: f32) -> (u32, f32) {
        let position = libm::fmaf(coordinate, level.scale, 0.5);
        let floor = libm::floorf(position);
        let rest = position - floor;
        let weight = match self.interpolation {
            Interpolation::Smoothstep => rest * rest * (3.0 - 2.0 * rest),
            _ => rest,
        };
        // Conversions saturate: positions outside the cube keep to its faces.
        (floor as i32 as u32, weight)
    }

    /// Entry of a corner within the level's table.
    pub fn entry(&self, level: &Level, corner: [u32; 3]) -> u32 {
        let dims = self.dims as usize;
        if level.hashed {
            let hash = corner[..dims]
                .iter()
                .zip(PRIMES)
                .fold(0_u32, |hash, (&c, prime)| hash ^ c.wrapping_mul(prime));
            return hash % level.entries;
        }
        let (mut index, mut stride) = (0_u32, 1_u64);
        for &coordinate in &corner[..dims] {
            // A tiled table is addressed by as many axes as it can tell apart.
            if stride > u64::from(level.entries) {
                break;
            }
            index = index.wrapping_add(coordinate.wrapping_mul(stride as u32));
            stride *= u64::from(level.resolution);
        }
        index % level.entries
    }

    /// The corners of the cell of a position, in the order in which the kernel reads them (bit
    /// `d` of the corner's number says which side of axis `d` it is on), and how many there are.
    pub fn corners_of(&self, level: &Level, position: [f32; 3]) -> ([Corner; MAX_CORNERS], usize) {
        let mut corners = [Corner::default(); MAX_CORNERS];
        let dims = self.dims as usize;
        let mut cell = [0_u32; 3];
        let mut rest = [0.0_f32; 3];
        for d in 0..dims {
            (cell[d], rest[d]) = self.place(level, position[d]);
        }
        if self.interpolation == Interpolation::Nearest {
            corners[0] = Corner { entry: self.entry(level, cell), weight: 1.0 };
            return (corners, 1);
        }
        for (number, corner) in corners.iter_mut().enumerate().take(1 << dims) {
            let mut at = cell;
            let mut weight = 1.0_f32;
            for d in 0..dims {
                if number >> d & 1 == 1 {
                    at[d] = cell[d].wrapping_add(1);
                    weight *= rest[d];
                } else {
                    weight *= 1.0 - rest[d];
                }
            }
            *corner = Corner { entry: self.entry(level, at), weight };
        }
        (corners, 1 << dims)
    }

    /// The entries of [`Grid::corners_of`] alone, for address streams of millions of samples.
    pub fn entries_of(&self, level: &Level, position: [f32; 3]) -> [u32; MAX_CORNERS] {
        let dims = self.dims as usize;
        let mut entries = [0_u32; MAX_CORNERS];
        let mut cell = [0_u32; 3];
        for (cell, coordinate) in cell.iter_mut().zip(position).take(dims) {
            // Truncation is the floor of what is not negative, and saturates elsewhere.
            *cell = (coordinate * level.scale + 0.5) as u32;
        }
        if self.interpolation == Interpolation::Nearest {
            entries[0] = self.entry(level, cell);
            return entries;
        }
        // What each axis adds for the near and the far side; hashes combine by XOR.
        let factor = |d: usize| {
            if level.hashed { PRIMES[d] } else { level.resolution.wrapping_pow(d as u32) }
        };
        let mut parts = [[0_u32; 2]; 3];
        for d in 0..dims {
            let near = cell[d].wrapping_mul(factor(d));
            parts[d] = [near, near.wrapping_add(factor(d))];
        }
        let mask = level.entries.is_power_of_two().then_some(level.entries - 1);
        for (number, entry) in entries.iter_mut().enumerate().take(1 << dims) {
            let (x, y, z) =
                (parts[0][number & 1], parts[1][number >> 1 & 1], parts[2][number >> 2 & 1]);
            let index = if level.hashed { x ^ y ^ z } else { x.wrapping_add(y).wrapping_add(z) };
            *entry = match mask {
                Some(mask) => index & mask,
                None if index < level.entries => index,
                None => index % level.entries,
            };
        }
        entries
    }

    /// Encodes one position with the features in `table` (level after level, entry after entry,
    /// as many as [`Grid::parameters`] says): `levels × features` fp16 numbers.
    pub fn encode(&self, table: &[f16], position: [f32; 3]) -> Vec<f16> {
        let features = self.features as usize;
        let mut out = Vec::with_capacity(self.outputs() as usize);
        for level in self.tables() {
            let mut sum = [f16::ZERO; 8];
            let (corners, count) = self.corners_of(&level, position);
            for corner in &corners[..count] {
                let weight = f16::from_f32(corner.weight);
                let entry = (level.first_entry + u64::from(corner.entry)) as usize * features;
                let Some(values) = table.get(entry..entry + features) else { continue };
                for (sum, value) in sum.iter_mut().zip(values) {
                    *sum = fma(weight, *value, *sum);
                }
            }
            out.extend_from_slice(&sum[..features]);
        }
        out
    }
}

/// Fused multiply-add with one rounding: products of fp16 are exact in fp32, and so is their sum
/// with an fp16 in fp64.
fn fma(a: f16, b: f16, c: f16) -> f16 {
    f16::from_f64(f64::from(a) * f64::from(b) + f64::from(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub fn hash(levels: u32, features: u32, growth: f64) -> Grid {
        Grid {
            dims: 3,
            kind: GridKind::Hash,
            levels,
            features,
            log2_entries: 19,
            base_resolution: 16,
            growth,
            interpolation: Interpolation::Linear,
        }
    }

    fn entries(grid: &Grid) -> Vec<u32> {
        grid.tables().iter().map(|level| level.entries).collect()
    }

    /// The level tables of the applications, worked out by hand from the library's rules.
    #[test]
    fn tables_of_the_known_applications() {
        let fox = entries(&hash(16, 2, libm::pow(512.0, 1.0 / 15.0)));
        assert_eq!(fox[..5], [4096, 15632, 50656, 175_616, 524_288]);
        assert!(fox[4..].iter().all(|&n| n == 524_288));
        let sdf = entries(&hash(16, 2, libm::pow(128.0, 1.0 / 15.0)));
        assert_eq!(sdf[..6], [4096, 12168, 29792, 79512, 205_384, 524_288]);
        let image = Grid { dims: 2, log2_entries: 24, ..hash(16, 2, libm::pow(32.0, 1.0 / 15.0)) };
        assert_eq!(entries(&image)[..6], [256, 448, 680, 1024, 1688, 2608]);
        assert_eq!(entries(&image)[15], 262_144);
        let dense = Grid { kind: GridKind::Dense, ..hash(8, 2, 1.405) };
        assert_eq!(
            entries(&dense),
            [4096, 12168, 32768, 91128, 250_048, 681_472, 1_906_624, 5_177_720]
        );
        let tiled =
            Grid { kind: GridKind::Tiled, base_resolution: 128, features: 8, ..hash(2, 8, 1.0) };
        assert_eq!(entries(&tiled), [2_097_152, 2_097_152]);
    }

    /// Parameter counts that recorded launches show (one thread per parameter): the weights of
    /// the two networks (10,240) and the tables of 8 levels of 4 features.
    #[test]
    fn parameters_of_recorded_trainings() {
        let lego = hash(8, 4, libm::pow(128.0, 1.0 / 7.0));
        assert_eq!(lego.parameters() + 10_240, 91_344 * 128);
        let fox = hash(8, 4, libm::pow(512.0, 1.0 / 7.0));
        assert_eq!(fox.parameters() + 10_240, 100_512 * 128);
    }

    /// An independent evaluation: nested one-dimensional interpolation in fp64 over corners that
    /// are looked up by plain integer arithmetic.
    fn straightforward(grid: &Grid, table: &[f16], position: [f32; 3]) -> Vec<f64> {
        let mut out = Vec::new();
        let mut first = 0_u64;
        for level in 0..grid.levels {
            // As the definition says, in the library's precision.
            let log2_growth = libm::log2(grid.growth) as f32;
            let grown = libm::exp2f(level as f32 * log2_growth);
            let scale = f64::from(grown * grid.base_resolution as f32 - 1.0);
            let side = scale.ceil() as u64 + 1;
            let full = side.pow(grid.dims).next_multiple_of(8);
            let size = match grid.kind {
                GridKind::Hash => full.min(1 << grid.log2_entries),
                GridKind::Dense => full,
                GridKind::Tiled => full.min(u64::from(grid.base_resolution).pow(grid.dims)),
            };
            let lookup = |c: [u64; 3], feature: u64| -> f64 {
                let linear =
                    c[0] + c[1] * side + if grid.dims == 3 { c[2] * side * side } else { 0 };
                let index = if grid.kind == GridKind::Hash && side.pow(grid.dims) > size {
                    let product = |c: u64, p: u64| (c * p) & 0xffff_ffff;
                    let mut hash = c[0] ^ product(c[1], 2_654_435_761);
                    if grid.dims == 3 {
                        hash ^= product(c[2], 805_459_861);
                    }
                    hash % size
                } else {
                    linear % size
                };
                f64::from(table[((first + index) * u64::from(grid.features) + feature) as usize])
            };
            let at: Vec<f64> = position.iter().map(|&x| f64::from(x) * scale + 0.5).collect();
            let cell = |d: usize| at[d].floor() as u64;
            let t = |d: usize| at[d] - at[d].floor();
            let mix = |a: f64, b: f64, t: f64| a + (b - a) * t;
            for feature in 0..u64::from(grid.features) {
                let plane = |z: u64| {
                    let row = |y: u64| {
                        let left = lookup([cell(0), y, z], feature);
                        mix(left, lookup([cell(0) + 1, y, z], feature), t(0))
                    };
                    mix(row(cell(1)), row(cell(1) + 1), t(1))
                };
                out.push(if grid.dims == 3 {
                    mix(plane(cell(2)), plane(cell(2) + 1), t(2))
                } else {
                    plane(0)
                });
            }
            first += size;
        }
        out
    }

    fn table_for(grid: &Grid) -> Vec<f16> {
        (0..grid.parameters())
            .map(|i| {
                let x = i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
                f16::from_f32(x as f32 / 16_777_216.0 * 2.0 - 1.0)
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn agrees_with_an_independent_evaluation(
            x in 0.0f32..1.0, y in 0.0f32..1.0, z in 0.0f32..1.0,
            kind in prop_oneof![Just(GridKind::Hash), Just(GridKind::Dense)],
            dims in 2u32..4,
        ) {
            let grid = Grid { kind, dims, log2_entries: 12, ..hash(5, 2, 1.5) };
            let table = table_for(&grid);
            let ours = grid.encode(&table, [x, y, z]);
            let other = straightforward(&grid, &table, [x, y, z]);
            for (ours, other) in ours.iter().zip(&other) {
                // Eight fp16 roundings of values below one, and of the weights.
                let error = (f64::from(*ours) - other).abs();
                prop_assert!(error < 8.0 * 2.0 * 2.0_f64.powi(-11), "{error}");
            }
        }

        #[test]
        fn weights_add_up_and_entries_exist(
            x in 0.0f32..1.0, y in 0.0f32..1.0, z in 0.0f32..1.0, growth in 1.0f64..2.5,
            smooth in any::<bool>(),
        ) {
            let mut grid = hash(8, 4, growth);
            if smooth {
                grid.interpolation = Interpolation::Smoothstep;
            }
            for level in grid.tables() {
                let (corners, count) = grid.corners_of(&level, [x, y, z]);
                let sum: f32 = corners[..count].iter().map(|c| c.weight).sum();
                prop_assert!((sum - 1.0).abs() < 1e-5);
                prop_assert!(corners[..count].iter().all(|c| c.entry < level.entries));
                let entries = grid.entries_of(&level, [x, y, z]);
                let same = corners[..count].iter().zip(entries).all(|(c, entry)| c.entry == entry);
                prop_assert!(same);
            }
        }
    }

    #[test]
    fn impossible_grids_are_named() {
        let message = |grid: Grid| grid.validate().unwrap_err();
        assert!(message(Grid { levels: 0, ..hash(8, 4, 2.0) }).starts_with("levels is 0"));
        assert!(message(Grid { log2_entries: 32, ..hash(8, 4, 2.0) }).contains("2^32 entries"));
        assert!(message(Grid { features: 3, ..hash(8, 4, 2.0) }).contains("1, 2, 4 or 8"));
        assert!(message(Grid { growth: f64::NAN, ..hash(8, 4, 2.0) }).contains("growth"));
        assert!(hash(16, 2, 1.5).validate().is_ok());
    }
}
