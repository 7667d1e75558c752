//! The occupancy bitfield of instant-ngp: 128³ cells in cascades, each twice as large as the one
//! inside it. A cell is full if a ray loses at least one per cent of its light in one smallest
//! step there. Left out: the decay by which cells empty during training.

use glam::{Vec3, Vec4};

use super::analytic::STEEPEST;
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

/// Half the diagonal of a cube of side one.
const HALF_DIAGONAL: f32 = 0.866_025_4;
/// Cells along an edge of what is looked at first, and next.
const BLOCK: u32 = 8;
const PART: u32 = 4;
/// Places of four neighbours.
const FOUR: Vec4 = Vec4::new(0.0, 1.0, 2.0, 3.0);

/// A surface with its shell, among the cells of a cascade.
struct Shell<'a, D> {
    low: Vec3,
    cell: f32,
    reach: f32,
    /// What a distance may be off by.
    slack: f32,
    distances: &'a D,
}

impl<D: Fn(Point<Vec4>) -> Vec4> Shell<'_, D> {
    /// Distances at the middles of cubes of `size` cells, counted in such cubes.
    fn at(&self, [x, y, z]: [Vec4; 3], size: u32) -> Vec4 {
        let size = size as f32;
        let along = |axis: usize, at: Vec4| (at * size + size / 2.0) * self.cell + self.low[axis];
        (self.distances)(Point { x: along(0, x), y: along(1, y), z: along(2, z) })
    }

    /// What all cells of a cube have in common, by the distance at its middle; nothing if they may differ.
    fn alike(&self, distance: f32, size: u32) -> Option<bool> {
        let away = HALF_DIAGONAL * (size - 1) as f32 * self.cell * STEEPEST + self.slack;
        let most = self.reach + HALF_DIAGONAL * self.cell;
        if distance + away < most { Some(true) } else { (distance - away > most).then_some(false) }
    }

    /// Calls back for the cells of a block that the shell passes through, from its first cell and the distance at
    /// its middle.
    fn block(&self, [x0, y0, z0]: [u32; 3], far: f32, mut full: impl FnMut(u32, u32, u32)) {
        let mut row = |x: u32, y: u32, z: u32, all: bool| {
            let mut rest = if all {
                0b1111
            } else {
                let at = [FOUR + x as f32, Vec4::splat(y as f32), Vec4::splat(z as f32)];
                let most = self.reach + HALF_DIAGONAL * self.cell;
                self.at(at, 1).cmplt(Vec4::splat(most)).bitmask()
            };
            while rest != 0 {
                full(x + rest.trailing_zeros(), y, z);
                rest &= rest - 1;
            }
        };
        let known = self.alike(far, BLOCK);
        // Parts in two layers of four.
        for z in [z0, z0 + PART] {
            let [x, y] = [[0, PART, 0, PART], [0, 0, PART, PART]];
            let (xs, ys) = (x.map(|x| x + x0), y.map(|y| y + y0));
            let of = |at: [u32; 4]| Vec4::from_array(at.map(|at| (at / PART) as f32));
            let far = if known.is_some() {
                Vec4::ZERO
            } else {
                self.at([of(xs), of(ys), Vec4::splat((z / PART) as f32)], PART)
            };
            for (lane, (x, y)) in xs.into_iter().zip(ys).enumerate() {
                let known = known.or_else(|| self.alike(far[lane], PART));
                if known == Some(false) {
                    continue;
                }
                for (z, y) in (z..z + PART).flat_map(|z| (y..y + PART).map(move |y| (z, y))) {
                    row(x, y, z, known == Some(true));
                }
            }
        }
    }
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
    /// from a field of distances at four places at once. Blocks of cells that are far from it, or deep behind it, are
    /// decided whole; `slack` is what a distance may be off by.
    pub fn near_surface(
        aabb_scale: u32,
        reach: f32,
        slack: f32,
        distances: impl Fn(Point<Vec4>) -> Vec4,
    ) -> Self {
        let mut grid = Self::empty(cascades_for(aabb_scale));
        for cascade in 0..grid.cascades {
            let (low, cell) = Self::cells(cascade);
            let shell = Shell { low, cell, reach, slack, distances: &distances };
            let across = CELLS / BLOCK;
            for (z, y) in (0..across).flat_map(|z| (0..across).map(move |y| (z, y))) {
                for first in (0..across).step_by(4) {
                    let x = FOUR + first as f32;
                    let far = shell.at([x, Vec4::splat(y as f32), Vec4::splat(z as f32)], BLOCK);
                    for (x, far) in (first..).zip(far.to_array()) {
                        if far < reach + HALF_DIAGONAL * cell * BLOCK as f32 {
                            let full = |x, y, z| grid.set(cascade, x, y, z);
                            shell.block([x, y, z].map(|at| at * BLOCK), far, full);
                        }
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
        if (centre + radius).min_element() < -1.0 || (centre - radius).max_element() > CELLS as f32
        {
            return;
        }
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

    /// Whether a cell of a cascade is full, by its number in it: x first, then y, then z.
    #[inline]
    pub fn is_full(&self, cascade: u32, number: u32) -> bool {
        let number = (cascade * CELLS.pow(3) + number) as usize;
        self.bits.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
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
    use crate::scene::{Analytic, Number};

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

    /// Blocks decided whole change nothing: a cell is full if its middle is near enough to a surface.
    #[test]
    fn cells_near_surfaces_are_full() {
        for scene in [Analytic::Statue, Analytic::Digger] {
            let reach = scene.softness().unwrap();
            let grid =
                Occupancy::near_surface(1, reach, scene.slack(), |at| scene.distances(at).unwrap());
            let mut each = Occupancy::empty(1);
            each.fill(0, |corner, cell| {
                scene.distance(corner + cell / 2.0).unwrap() < reach + HALF_DIAGONAL * cell
            });
            let pairs = grid.bits.iter().zip(&each.bits);
            let differing: u32 = pairs.map(|(a, b)| (a ^ b).count_ones()).sum();
            // Rounding of places decides for cells at the very threshold.
            assert!(differing < 8 && grid.full_share(0) > 0.01, "{scene:?} {differing}");
        }
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
