//! The occupancy bitfield of instant-ngp: 128³ cells in cascades, each twice as large as the one
//! inside it. A cell is full if a ray loses at least one per cent of its light in one smallest
//! step there. Left out: the decay by which cells empty during training.

use glam::{Vec3, Vec4};

use super::number::Point;

/// Cells along an axis.
pub const CELLS: u32 = 128;
/// Most cascades.
pub const MOST_CASCADES: u32 = 8;
/// Smallest step of a ray: 1024 along the diagonal of the unit cube.
pub const SMALLEST_STEP: f32 = 0.001_691_455_7;
/// Optical thickness of one smallest step above which a cell counts as full.
const LEAST_THICKNESS: f32 = 0.01;

/// Which cells are full.
#[derive(Debug, Clone, PartialEq)]
pub struct Occupancy {
    cascades: u32,
    bits: Vec<u64>,
}

impl Occupancy {
    /// From a density field, for a scene whose cube is `aabb_scale` unit cubes wide.
    pub fn of(aabb_scale: u32, mut density: impl FnMut(Point<Vec4>, f32) -> Vec4) -> Self {
        /// Density of a cell that is full; twice as much is far enough above to need no exact value.
        const LEAST: f32 = LEAST_THICKNESS / SMALLEST_STEP;
        let mut grid = Self::empty(cascades_for(aabb_scale));
        for cascade in 0..grid.cascades {
            let (low, cell) = Self::cells(cascade);
            let along = |axis: usize, cells: Vec4| cells * cell + low[axis] + cell / 2.0;
            for (z, y) in (0..CELLS).flat_map(|z| (0..CELLS).map(move |y| (z, y))) {
                for first in (0..CELLS).step_by(4) {
                    let four = Vec4::new(0.0, 1.0, 2.0, 3.0) + first as f32;
                    let [y_cells, z_cells] = [y, z].map(|place| Vec4::splat(place as f32));
                    let at =
                        Point { x: along(0, four), y: along(1, y_cells), z: along(2, z_cells) };
                    let full = density(at, 2.0 * LEAST) * SMALLEST_STEP;
                    let mut rest = full.cmpgt(Vec4::splat(LEAST_THICKNESS)).bitmask();
                    while rest != 0 {
                        grid.set(cascade, first + rest.trailing_zeros(), y, z);
                        rest &= rest - 1;
                    }
                }
            }
        }
        grid
    }

    /// The cells that a surface's shell of half-width `reach` passes through, and those behind it,
    /// from a field of distances. Blocks of cells that are far from it are skipped whole.
    pub fn near_surface(aabb_scale: u32, reach: f32, distance: impl Fn(Vec3) -> f32) -> Self {
        /// Half the diagonal of a cube of side one.
        const HALF_DIAGONAL: f32 = 0.866_025_4;
        const BLOCK: u32 = 8;
        let mut grid = Self::empty(cascades_for(aabb_scale));
        for cascade in 0..grid.cascades {
            let side = (1 << cascade) as f32;
            let low = Vec3::splat(0.5 - side / 2.0);
            let cell = side / CELLS as f32;
            let centre = |x: u32, y: u32, z: u32, size: u32| {
                let size = size as f32;
                low + (Vec3::new(x as f32, y as f32, z as f32) * size + size / 2.0) * cell
            };
            let near =
                |at: Vec3, size: u32| distance(at) < reach + HALF_DIAGONAL * cell * size as f32;
            for block in 0..(CELLS / BLOCK).pow(3) {
                let across = CELLS / BLOCK;
                let (bx, by, bz) = (block % across, block / across % across, block / across.pow(2));
                if !near(centre(bx, by, bz, BLOCK), BLOCK) {
                    continue;
                }
                for i in 0..BLOCK.pow(3) {
                    let x = bx * BLOCK + i % BLOCK;
                    let y = by * BLOCK + i / BLOCK % BLOCK;
                    let z = bz * BLOCK + i / BLOCK.pow(2);
                    if near(centre(x, y, z, 1), 1) {
                        grid.set(cascade, x, y, z);
                    }
                }
            }
        }
        grid
    }

    /// Nothing anywhere.
    pub fn empty(cascades: u32) -> Self {
        let cascades = cascades.clamp(1, MOST_CASCADES);
        Self { cascades, bits: vec![0; (cascades * CELLS.pow(3) / 64) as usize] }
    }

    /// Lowest corner of a cascade and side of its cells.
    fn cells(cascade: u32) -> (Vec3, f32) {
        let side = (1 << cascade) as f32;
        (Vec3::splat(0.5 - side / 2.0), side / CELLS as f32)
    }

    /// Decides every cell of a cascade by its lower corner and its side.
    pub fn fill(&mut self, cascade: u32, mut full: impl FnMut(Vec3, f32) -> bool) {
        let (low, cell) = Self::cells(cascade);
        for z in 0..CELLS {
            for y in 0..CELLS {
                for x in 0..CELLS {
                    let corner = low + Vec3::new(x as f32, y as f32, z as f32) * cell;
                    if full(corner, cell) {
                        self.set(cascade, x, y, z);
                    }
                }
            }
        }
    }

    /// Marks the cells of a cascade whose middles lie in a ball.
    pub fn fill_ball(&mut self, cascade: u32, centre: Vec3, radius: f32) {
        let side = (1 << cascade) as f32;
        let cell = side / CELLS as f32;
        // In units of cells, middles at whole numbers.
        let centre = (centre - (0.5 - side / 2.0)) / cell - 0.5;
        let radius = radius / cell;
        let axis = |c: f32| {
            let first = libm::ceilf(c - radius).max(0.0) as u32;
            let end = (libm::floorf(c + radius) + 1.0).clamp(0.0, CELLS as f32) as u32;
            first..end
        };
        for z in axis(centre.z) {
            for y in axis(centre.y) {
                for x in axis(centre.x) {
                    let away = Vec3::new(x as f32, y as f32, z as f32) - centre;
                    if away.length_squared() < radius * radius {
                        self.set(cascade, x, y, z);
                    }
                }
            }
        }
    }

    /// Marks a cell as full.
    pub fn set(&mut self, cascade: u32, x: u32, y: u32, z: u32) {
        let number = Self::number(cascade, x, y, z);
        self.bits[number / 64] |= 1 << (number % 64);
    }

    const fn number(cascade: u32, x: u32, y: u32, z: u32) -> usize {
        (((cascade * CELLS + z) * CELLS + y) * CELLS + x) as usize
    }

    /// Number of cascades.
    pub const fn cascades(&self) -> u32 {
        self.cascades
    }

    /// Share of full cells of a cascade.
    pub fn full_share(&self, cascade: u32) -> f64 {
        let per_cascade = CELLS.pow(3) as usize / 64;
        let start = cascade as usize * per_cascade;
        let bits = self.bits.get(start..start + per_cascade).unwrap_or_default();
        let full: u32 = bits.iter().map(|word| word.count_ones()).sum();
        f64::from(full) / f64::from(CELLS.pow(3))
    }

    /// Corners of the smallest box around the full cells of the finest cascade.
    pub fn full_box(&self) -> Option<(Vec3, Vec3)> {
        let (mut low, mut high) = (Vec3::splat(f32::INFINITY), Vec3::splat(f32::NEG_INFINITY));
        let words = CELLS.pow(3) as usize / 64;
        for (number, word) in self.bits.iter().take(words).enumerate() {
            let mut rest = *word;
            while rest != 0 {
                let cell = number as u32 * 64 + rest.trailing_zeros();
                rest &= rest - 1;
                let at = [cell % CELLS, cell / CELLS % CELLS, cell / CELLS.pow(2)];
                let at = Vec3::from(at.map(|place| place as f32));
                (low, high) = (low.min(at), high.max(at + 1.0));
            }
        }
        (low.x <= high.x).then(|| (low / CELLS as f32, high / CELLS as f32))
    }

    /// Whether the cell at a point is full, seen on a cascade; points beyond it are empty.
    pub fn occupied_at(&self, at: Vec3, cascade: u32) -> bool {
        let cascade = cascade.min(self.cascades - 1);
        let side = (1 << cascade) as f32;
        let cell = ((at - 0.5) / side + 0.5) * CELLS as f32;
        if cell.min_element() < 0.0 || cell.max_element() >= CELLS as f32 {
            return false;
        }
        let number = Self::number(cascade, cell.x as u32, cell.y as u32, cell.z as u32);
        self.bits[number / 64] >> (number % 64) & 1 == 1
    }

    /// The cascade on which a point is looked up by a step of this length.
    pub fn cascade_at(&self, at: Vec3, step: f32) -> u32 {
        let reach = (at - 0.5).abs().max_element() * 2.0;
        let by_place = exponent(reach);
        let by_step = exponent(step * 2.0 * CELLS as f32);
        by_place.max(by_step).clamp(0, self.cascades as i32 - 1) as u32
    }
}

/// The smallest `e` with `x <= 2^e`, at least 0.
fn exponent(x: f32) -> i32 {
    if x <= 1.0 {
        return 0;
    }
    // The exponent field, one more where anything stands behind the leading bit.
    let bits = x.to_bits();
    (bits >> 23) as i32 - 127 + i32::from(bits & 0x7f_ffff != 0)
}

/// Cascades that a cube of this many unit cubes needs.
pub const fn cascades_for(aabb_scale: u32) -> u32 {
    aabb_scale.next_power_of_two().trailing_zeros() + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Number;

    #[test]
    fn a_ball_fills_its_share() {
        let ball = |at: Vec3| if at.distance(Vec3::splat(0.5)) < 0.25 { 50.0 } else { 0.0 };
        let grid = Occupancy::of(1, |at, _| Number::each(at, ball));
        let expected = 4.0 / 3.0 * std::f64::consts::PI * 0.25_f64.powi(3);
        assert!((grid.full_share(0) / expected - 1.0).abs() < 0.1, "{}", grid.full_share(0));
        assert!(grid.occupied_at(Vec3::splat(0.5), 0));
        assert!(!grid.occupied_at(Vec3::splat(0.9), 0));
        let (low, high) = grid.full_box().unwrap();
        assert!(grid.occupied_at((low + high) / 2.0, 0));
        assert!(!grid.occupied_at(low - 0.001, 0) && !grid.occupied_at(high + 0.001, 0));
        assert_eq!(Occupancy::empty(1).full_box(), None);
    }

    #[test]
    fn balls_are_filled_alike() {
        let (centre, radius) = (Vec3::new(0.7, 0.2, -0.1), 0.23);
        let (mut one, mut other) = (Occupancy::empty(2), Occupancy::empty(2));
        for cascade in 0..2 {
            one.fill_ball(cascade, centre, radius);
            other.fill(cascade, |low, side| (low + side / 2.0).distance(centre) < radius);
        }
        let differing: u32 =
            one.bits.iter().zip(&other.bits).map(|(a, b)| (a ^ b).count_ones()).sum();
        // Rounding decides for cells on the very surface.
        assert!(differing < 8 && one.full_share(1) > 0.0, "{differing}");
    }

    #[test]
    fn exponents_are_rounded_up_logarithms() {
        for x in [0.3_f32, 1.0, 1.0001, 1.9, 2.0, 2.1, 4.0, 100.0, 1e6] {
            assert_eq!(exponent(x), libm::ceilf(libm::log2f(x)).max(0.0) as i32, "{x}");
        }
    }

    #[test]
    fn cascades_grow_outwards() {
        let grid =
            Occupancy::of(4, |at, _| Number::each(at, |at| if at.x > 1.5 { 50.0 } else { 0.0 }));
        assert_eq!(grid.cascades(), 3);
        assert_eq!(grid.cascade_at(Vec3::splat(0.5), SMALLEST_STEP), 0);
        assert_eq!(grid.cascade_at(Vec3::new(1.4, 0.5, 0.5), SMALLEST_STEP), 1);
        assert_eq!(grid.cascade_at(Vec3::new(2.4, 0.5, 0.5), SMALLEST_STEP), 2);
        assert!(grid.occupied_at(Vec3::new(2.0, 0.5, 0.5), 2));
        assert!(!grid.occupied_at(Vec3::new(2.0, 0.5, 0.5), 0));
    }
}
