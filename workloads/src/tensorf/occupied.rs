//! Which cubes of a field's box hold something: those within reach of a texel at which a step is not quite
//! clear, as the authors' occupancy mask has it. Texels are looked at one in two along each axis, cubes
//! within as many texels of a dense one count. Left out: levels of cubes of different sizes.

use glam::Vec3;

use super::{DENSITY, Factors, LEAST_ALPHA, Mode, opacity};

/// Which cubes hold something.
#[derive(Debug, Clone, PartialEq)]
pub struct Cubes {
    per_axis: u32,
    full: Vec<bool>,
}

/// Texels from one place to the next at which occupancy is looked for.
const STRIDE: usize = 2;

impl Cubes {
    /// Cubes of a field.
    pub fn of(factors: &Factors, per_axis: u32) -> Self {
        let per_axis = per_axis.clamp(4, 512);
        let n = per_axis as usize;
        let columns = factors.grid[0].div_ceil(STRIDE);
        // What a dense place reaches is a box of cubes, so axes can be spread one after the other.
        let [along_x, along_y, along_z] = [0, 1, 2].map(|axis| reaches(factors, axis, n));
        let places = Places::new(factors);
        let mut full = vec![false; n * n * n];
        let (mut dense, mut row) = (vec![false; columns], vec![false; n]);
        let mut layer = vec![false; n * n];
        for (z, z_reach) in along_z.into_iter().enumerate() {
            layer.fill(false);
            for (y, (first, last)) in along_y.iter().enumerate() {
                places.dense([y * STRIDE, z * STRIDE], &mut dense);
                if !dense.contains(&true) {
                    continue;
                }
                row.fill(false);
                for ((first, last), _) in along_x.iter().zip(&dense).filter(|(_, dense)| **dense) {
                    row[*first..=*last].fill(true);
                }
                layer[first * n..(last + 1) * n].chunks_exact_mut(n).for_each(|to| add(to, &row));
            }
            let (first, last) = z_reach;
            let size = n * n;
            full[first * size..(last + 1) * size]
                .chunks_exact_mut(size)
                .for_each(|to| add(to, &layer));
        }
        Self { per_axis, full }
    }

    /// Cubes along an axis.
    pub const fn per_axis(&self) -> u32 {
        self.per_axis
    }

    /// Cubes that hold something.
    pub fn count(&self) -> usize {
        self.full.iter().filter(|full| **full).count()
    }

    /// Whether a cube holds something.
    #[inline]
    pub(super) fn holds(&self, number: usize) -> bool {
        self.full[number]
    }

    /// Number of the cube around a point; points outside belong to the nearest.
    #[inline]
    pub(super) fn number(&self, at: Vec3) -> usize {
        let n = self.per_axis as usize;
        let axis = |v: f32| ((v * n as f32).max(0.0) as i32 as usize).min(n - 1);
        (axis(at.z) * n + axis(at.y)) * n + axis(at.x)
    }

    /// Bounds of the points that belong to a cube, in cubes along an axis: what [`Self::number`] rounds to it.
    #[inline]
    pub(super) fn bounds(&self, number: usize) -> (Vec3, Vec3) {
        let last = self.per_axis as usize - 1;
        let axis = |place: usize| {
            let (low, high) = (place as f32, (place + 1) as f32);
            (
                if place == 0 { f32::NEG_INFINITY } else { low },
                if place == last { f32::INFINITY } else { high },
            )
        };
        let [x, y, z] = self.place(number);
        let (x, y, z) = (axis(x), axis(y), axis(z));
        (Vec3::new(x.0, y.0, z.0), Vec3::new(x.1, y.1, z.1))
    }

    /// Whether the cube around a point holds something.
    #[inline]
    pub fn occupied_at(&self, at: Vec3) -> bool {
        self.full[self.number(at)]
    }

    /// Place of a cube along the axes.
    #[inline]
    pub const fn place(&self, number: usize) -> [usize; 3] {
        let n = self.per_axis as usize;
        [number % n, number / n % n, number / (n * n)]
    }

    /// Middle and radius of the ball around a cube.
    #[inline]
    pub(super) fn ball(&self, number: usize) -> (Vec3, f32) {
        let n = self.per_axis as f32;
        let [x, y, z] = self.place(number);
        // Half the diagonal.
        let radius = 0.5 * 3.0_f32.sqrt() / n;
        ((Vec3::new(x as f32, y as f32, z as f32) + 0.5) / n, radius)
    }
}

/// First and last of `n` cubes within a stride of each place of an axis.
fn reaches(factors: &Factors, axis: usize, n: usize) -> Vec<(usize, usize)> {
    let texels = (factors.grid[axis] - 1) as f32;
    let size = factors.extent.size.to_array()[axis];
    let place = |texel: f32| texel.min(texels) / texels * size * n as f32;
    let of = |at: usize| {
        let (low, high) = (at as f32 - STRIDE as f32, (at + STRIDE) as f32);
        (place(low).max(0.0) as usize, (place(high) as usize).min(n - 1))
    };
    (0..factors.grid[axis]).step_by(STRIDE).map(of).collect()
}

fn add(to: &mut [bool], own: &[bool]) {
    for (to, own) in to.iter_mut().zip(own) {
        *to |= *own;
    }
}

/// Density at texels of the box.
struct Places<'a> {
    factors: &'a Factors,
    /// Components that are not zero at each place of each mode's line: most are.
    lines: [Vec<Vec<(usize, f32)>>; 3],
    /// Feature from which on a step is not clear.
    least: f32,
}

impl<'a> Places<'a> {
    fn new(factors: &'a Factors) -> Self {
        let components = |mode: &Mode| {
            let of = |place: &[f32; DENSITY]| {
                let all = place.iter().copied().enumerate();
                all.filter(|(_, value)| *value != 0.0).collect()
            };
            mode.density_line.as_chunks::<DENSITY>().0.iter().map(of).collect()
        };
        let least = opacity::feature_of(LEAST_ALPHA, factors.length());
        Self { factors, lines: factors.modes.each_ref().map(components), least }
    }

    /// Whether texels along x, one in so many, are dense.
    fn dense(&self, [y, z]: [usize; 2], row: &mut [bool]) {
        // Lines along z and y are at one place, as is the plane of the line along x.
        let [xy, xz, yz] = &self.factors.modes;
        let (columns, rows) = (xy.size[0], yz.size[0]);
        let across = texel(&yz.density_plane, z * rows + y);
        let [along_z, along_y, along_x] = &self.lines;
        let (along_z, along_y) = (&along_z[z], &along_y[y]);
        for ((x, dense), along_x) in row.iter_mut().enumerate().zip(along_x.iter().step_by(STRIDE))
        {
            let x = x * STRIDE;
            let one = product(texel(&xy.density_plane, y * columns + x), along_z);
            let two = product(texel(&xz.density_plane, z * columns + x), along_y);
            *dense = one + two + product(across, along_x) >= self.least;
        }
    }
}

/// Density components of a texel.
#[inline]
fn texel(plane: &[f32], place: usize) -> &[f32; DENSITY] {
    &plane.as_chunks::<DENSITY>().0[place]
}

/// Sum of products with the components of a line that are not zero.
#[inline]
fn product(plane: &[f32; DENSITY], line: &[(usize, f32)]) -> f32 {
    line.iter().fold(0.0, |sum, (component, own)| sum + plane[component % DENSITY] * own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Scene;
    use crate::tensorf::{Field, Synthetic};

    /// Bounds of a cube hold the points whose number it is, and no others.
    #[test]
    fn points_lie_in_the_bounds_of_their_cube() {
        let cubes = Cubes { per_axis: 5, full: vec![true; 125] };
        for i in 0..2_000 {
            let at = Vec3::from(crate::samples::scattered(i)) * 1.4 - 0.2;
            // Some on borders between cubes.
            let at = if i % 3 == 0 { (at * 5.0).round() / 5.0 } else { at };
            let own = (0..125).filter(|cube| {
                let (low, high) = cubes.bounds(*cube);
                ((at * 5.0).cmpge(low) & (at * 5.0).cmplt(high)).all()
            });
            assert_eq!(own.collect::<Vec<_>>(), [cubes.number(at)], "{at}");
        }
    }

    /// Spreading axis by axis gives what marking the surroundings of each dense texel gives.
    #[test]
    fn cubes_are_those_around_dense_texels() {
        let scene = Scene::shipped("statue").unwrap();
        let factors = Synthetic { grid: 48, ..Synthetic::default() }.factors(&scene);
        let field = Field::new(factors, 40);
        let (grid, size) = (field.factors.grid, field.factors.extent.size.to_array());
        let n = 40;
        let mut marked = vec![false; n * n * n];
        let texel = |axis: usize, at: f32| {
            let last = (grid[axis] - 1) as f32;
            at.clamp(0.0, last) / last * size[axis]
        };
        let [xs, ys, zs] = grid.map(|texels| (0..texels).step_by(STRIDE));
        for (z, y) in zs.flat_map(|z| ys.clone().map(move |y| (z, y))) {
            for x in xs.clone() {
                let at = [x, y, z].map(|at| at as f32);
                let point = Vec3::from([0, 1, 2].map(|axis| texel(axis, at[axis])));
                if field.alpha(point) <= LEAST_ALPHA {
                    continue;
                }
                let [a, b, c] = [0, 1, 2].map(|axis| {
                    let cube = |off: f32| (texel(axis, at[axis] + off) * n as f32) as usize;
                    cube(-2.0)..=cube(2.0).min(n - 1)
                });
                for (z, y) in c.flat_map(|z| b.clone().map(move |y| (z, y))) {
                    a.clone().for_each(|x| marked[(z * n + y) * n + x] = true);
                }
            }
        }
        let odd =
            marked.iter().enumerate().filter(|(cube, full)| field.cubes.holds(*cube) != **full);
        let (odd, all) = (odd.count(), field.cubes.count());
        // A texel's place is rounded, which moves a density at the threshold.
        assert!(all > 2000 && odd * 500 <= all, "{odd} of {all}");
    }
}
