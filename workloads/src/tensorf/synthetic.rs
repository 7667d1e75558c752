//! Factors made from a scene, with zeros where its geometry has nothing.
//!
//! A mode's planes show the scene along its line, in one of two ways: as slices at knots with hats in
//! between, which suits smooth shapes, or as what is nearest in each of a row of slabs, which keeps
//! thin structures. Whichever agrees better with the scene is taken. A mode alone blurs the scene along
//! one axis; one component holds a negative constant, which leaves density only where all three modes
//! agree. Values are ramps of the distance, so that surfaces move evenly from one slice to the next. Appearance planes are smooth patterns in the shell
//! of surfaces. What training leaves behind beside that (small values everywhere, fewer far from
//! surfaces) is drawn from a seed and goes by the threshold. Real factors spread over
//! components in other ways; what they have in common with these is where they are zero.

use glam::Vec3;

use super::distances::{Distances, PITCH};
use super::{
    APPEARANCE, AXES, DENSITY, DENSITY_SHIFT, Extent, Factors, MODES, Mode, Network, THICKNESS,
};
use crate::samples::mix;
use crate::scene::{Noise, Scene};

/// How factors are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Synthetic {
    /// Cube root of the voxels in the box around what is occupied.
    pub grid: usize,
    /// Share of a component's largest value below which values are zero.
    pub threshold: f32,
    /// Bits of a value.
    pub bits: u32,
    /// Seed of patterns, rests and network.
    pub seed: u64,
}

impl Default for Synthetic {
    fn default() -> Self {
        Self { grid: 300, threshold: RESIDUE, bits: 16, seed: 1 }
    }
}

/// The negative constant.
const OFFSET: f32 = 30.0;
/// Largest rest of training, as a share of a component's largest value.
const RESIDUE: f32 = 0.02;
/// Distance over which rests become half as large, in texels.
const FADE: f32 = 24.0;
/// Reach of appearance around surfaces, in texels.
const SHELL: f32 = 4.0;
/// Feature at which a surface's shell begins: a step there is hardly opaque.
const FAINT: f32 = 5.0;

/// What a slice needs to know at a point.
struct Matter<'a> {
    scene: &'a Scene,
    low: Vec3,
    side: f32,
    /// Side of the scene's cube.
    whole: f32,
    /// Texels along the axes.
    grid: [usize; 3],
    /// Sides of the box in the unit cube.
    size: [f32; 3],
    texel: f32,
    /// Feature of the densest place.
    most: f32,
    /// Fall of the feature by texel beyond a surface.
    slope: f32,
    softness: f32,
    /// What is known of distances beforehand.
    known: Option<Distances>,
}

/// Feature of a density, per side of the scene's cube.
fn feature(density: f32) -> f32 {
    let x = (density / THICKNESS).max(1e-6);
    let inverse = if x > 15.0 { x } else { libm::logf(libm::expm1f(x)) };
    inverse - DENSITY_SHIFT
}

impl<'a> Matter<'a> {
    fn new(scene: &'a Scene, extent: Extent, grid: [usize; 3]) -> Self {
        let (low, high) = scene.bounds();
        let whole = (high - low).x;
        let (low, side) = (low + extent.low * whole, extent.side * whole);
        let size = extent.size.to_array();
        let texel = size.iter().zip(grid).map(|(s, n)| side * s / n as f32).sum::<f32>() / 3.0;
        let most = feature(scene.densest() * whole);
        let softness = match &scene.matter {
            crate::scene::Matter::Analytic(analytic) => analytic.softness().unwrap_or(texel),
            _ => texel,
        };
        let slope = (most - FAINT) / (2.0 * softness / texel).max(1.0);
        let mut matter =
            Self { scene, low, side, whole, grid, size, texel, most, slope, softness, known: None };
        let axes = [0, 1, 2];
        let sides = axes.map(|axis| side * size[axis] / (grid[axis] - 1) as f32 / texel);
        let reach = matter.reach().max(shell(grid.into_iter().max().unwrap_or(1)));
        matter.known = Distances::new(grid, sides, reach, |at| {
            matter.distance(Vec3::from(axes.map(|i| at[i] / (grid[i] - 1) as f32 * size[i])))
        });
        matter
    }

    /// Bounds of distances around a place in a mode, all in texels: half a box along the plane and along the line.
    #[inline]
    fn bounds(&self, number: usize, [u, v, w]: [f32; 3], [plane, line]: [f32; 2]) -> (f32, f32) {
        let Some(known) = &self.known else { return (f32::NEG_INFINITY, f32::INFINITY) };
        let (u_axis, v_axis, w_axis) = AXES[number];
        let (mut at, mut half) = ([0.0; 3], [plane; 3]);
        (at[u_axis], at[v_axis], at[w_axis], half[w_axis]) = (u, v, w, line);
        known.around(at, half)
    }

    /// Squares of texels of a mode's plane.
    fn squares(&self, number: usize) -> Vec<Square> {
        let (columns, rows) = (self.grid[AXES[number].0], self.grid[AXES[number].1]);
        let cut =
            |n: usize| (0..n).step_by(PITCH).map(move |first| (first, (first + PITCH).min(n)));
        cut(rows).flat_map(|v| cut(columns).map(move |u| Square { u, v })).collect()
    }

    /// Distance from which on inwards the feature is that of the densest place.
    fn solid(&self) -> f32 {
        -self.softness / self.texel
    }

    /// A point of the unit cube from its place in a mode: in texels of the plane, as a share of the line.
    #[inline]
    fn point(&self, number: usize, u: f32, v: f32, w: f32) -> Vec3 {
        let (u_axis, v_axis, w_axis) = AXES[number];
        let mut at = [0.0; 3];
        at[u_axis] = u / (self.grid[u_axis] - 1) as f32 * self.size[u_axis];
        at[v_axis] = v / (self.grid[v_axis] - 1) as f32 * self.size[v_axis];
        at[w_axis] = w * self.size[w_axis];
        Vec3::from(at)
    }

    /// Distance to the nearest surface in texels, as far as the scene knows it.
    #[inline]
    fn distance(&self, at: Vec3) -> Option<f32> {
        self.scene.distance(self.low + at * self.side).map(|d| d / self.texel)
    }

    /// Feature plus offset at a point of the unit cube, not below zero.
    fn ramp(&self, at: Vec3, distance: Option<f32>, noise: &mut Noise) -> f32 {
        let feature = if let Some(d) = distance {
            self.most - self.slope * (d + self.softness / self.texel).max(0.0)
        } else {
            let at = self.low + at * self.side;
            let density = self.scene.density_up_to(at, f32::INFINITY, noise);
            if density > 0.0 { feature(density * self.whole) } else { -OFFSET }
        };
        (feature + OFFSET).max(0.0)
    }

    /// Whether there is anything at a point, that is, a feature above zero.
    fn holds(&self, at: Vec3, noise: &mut Noise) -> bool {
        /// Softplus of the shift, as a density.
        const LEAST: f32 = 4.54e-5 * THICKNESS;
        let at = self.low + at * self.side;
        self.scene.density_up_to(at, 2.0 * LEAST / self.whole, noise) * self.whole > LEAST
    }

    /// Texels beyond a surface at which the ramp ends.
    fn reach(&self) -> f32 {
        (self.most + OFFSET) / self.slope
    }
}

/// Half a square's side, from the middle of its first texel to that of its last.
const HALF: f32 = 0.5 * (PITCH - 1) as f32;

/// A square of texels: from and to along both axes of a plane.
#[derive(Debug, Clone, Copy)]
struct Square {
    u: (usize, usize),
    v: (usize, usize),
}

impl Square {
    const fn middle(self) -> [f32; 2] {
        [self.u.0 as f32 + HALF, self.v.0 as f32 + HALF]
    }

    fn texels(self) -> impl Iterator<Item = (usize, usize)> {
        (self.v.0..self.v.1).flat_map(move |v| (self.u.0..self.u.1).map(move |u| (u, v)))
    }
}

/// Reach of appearance on both sides of a surface, in texels: a surface between two knots has to be in
/// reach of one.
fn shell(texels: usize) -> f32 {
    SHELL + 0.5 * texels as f32 / (APPEARANCE - 1) as f32
}

/// A number in [-1, 1] from a seed.
fn drawn(seed: u64, i: u64) -> f32 {
    (mix(seed ^ i.wrapping_mul(0x9E37_79B9)) >> 40) as f32 / 8_388_608.0 - 1.0
}

impl Synthetic {
    /// Makes factors of a scene.
    pub fn factors(&self, scene: &Scene) -> Factors {
        let (extent, grid) = self.shrunk(scene);
        let matter = Matter::new(scene, extent, grid);
        let made = |way: Way| {
            let modes = [0, 1, 2].map(|number| {
                let (u, v, w) = AXES[number];
                let mut mode = Mode::zero([grid[u], grid[v], grid[w]]);
                density(&matter, number, way, &mut mode);
                mode
            });
            Factors { grid, extent, modes, network: Network::drawn(self.seed), rounded: 0 }
        };
        let mut factors = made(Way::Slices);
        let solid = matter.distance(Vec3::splat(0.5)).is_some();
        let agrees = if solid { agreement(&factors, &matter) } else { 1.0 };
        if agrees < GOOD {
            let slabs = made(Way::Slabs);
            if agreement(&slabs, &matter) > agrees {
                factors = slabs;
            }
        }
        for (number, mode) in factors.modes.iter_mut().enumerate() {
            self.appearance(&matter, number, mode);
        }
        if self.threshold < RESIDUE {
            for (number, mode) in factors.modes.iter_mut().enumerate() {
                self.residue(&matter, number, mode);
            }
        }
        factors.prune_and_round(self.threshold.max(0.0), self.bits);
        factors
    }

    /// The box around what is occupied, and texels along its sides: the authors shrink theirs to the
    /// occupied part of a grid of 128³ and keep the number of voxels, so these become smaller.
    fn shrunk(&self, scene: &Scene) -> (Extent, [usize; 3]) {
        let (bottom, top) = scene.bounds();
        let whole = (top - bottom).x;
        let (low, high) = scene.occupied_box();
        let size = (high - low) / whole;
        let side = size.max_element();
        let extent = Extent { low: (low - bottom) / whole, side, size: size / side };
        let voxel = libm::cbrtf(size.x * size.y * size.z) / self.grid as f32;
        let texels = |side: f32| (libm::roundf(side / voxel) as usize).clamp(16, 1024);
        (extent, size.to_array().map(texels))
    }

    fn appearance(&self, matter: &Matter<'_>, number: usize, mode: &mut Mode) {
        let length = mode.size[2];
        hats(&mut mode.appearance_line, APPEARANCE, APPEARANCE, length);
        let (reach, mut noise) = (shell(length), Noise::default());
        for knot in 0..APPEARANCE {
            let w = knot as f32 / (APPEARANCE - 1) as f32;
            let seed = mix(self.seed ^ ((number * APPEARANCE + knot / 8) as u64) << 8);
            let waves = [0, 1, 2].map(|i| drawn(seed, i) * 14.0);
            let phase = drawn(seed, 3) * 3.0;
            slice(matter, number, w, Wanted::Within(reach), |place, at, distance| {
                if distance.is_none() && !matter.holds(at, &mut noise) {
                    return;
                }
                let wave = at.dot(Vec3::from(waves)) + phase;
                let value = libm::sinf(wave);
                // Patterns pass through zero; a surface has some value everywhere.
                let value = if value.abs() < 0.05 { 0.05 } else { value };
                mode.appearance_plane[place * APPEARANCE + knot] = value;
            });
        }
    }

    /// Small values where training has left some: cubes of a uniform number, so that most are tiny.
    fn residue(&self, matter: &Matter<'_>, number: usize, mode: &mut Mode) {
        let mut fades = vec![1.0_f32; mode.size[0] * mode.size[1]];
        slice(matter, number, 0.5, Wanted::All, |place, _, distance| {
            let d = distance.unwrap_or(0.0).max(0.0);
            fades[place] = 1.0 / (1.0 + d / FADE);
        });
        for (array, (values, count)) in mode.arrays().into_iter().enumerate() {
            let most = values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            let seed = mix(self.seed ^ ((number * 4 + array) as u64) << 32);
            for (place, texel) in values.chunks_exact_mut(count).enumerate() {
                let fade = if array % 2 == 0 { fades[place] } else { 1.0 };
                for (component, value) in texel.iter_mut().enumerate().filter(|(_, v)| **v == 0.0) {
                    let u = drawn(seed, (place * count + component) as u64);
                    *value = u * u * u * RESIDUE * most * fade;
                }
            }
        }
    }
}

/// How planes show the scene along a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Slices,
    Slabs,
}

/// Agreement with the scene beyond which no other way is tried.
const GOOD: f64 = 0.9;
/// Places at which agreement is looked at.
const PROBES: u64 = 60_000;

fn density(matter: &Matter<'_>, number: usize, way: Way, mode: &mut Mode) {
    let grid = mode.size[2];
    // The offset takes a component of the first mode.
    let count = if number == 0 { DENSITY - 1 } else { DENSITY };
    match way {
        Way::Slices => hats(&mut mode.density_line, DENSITY, count, grid),
        Way::Slabs => boxes(&mut mode.density_line, DENSITY, count, grid),
    }
    let mut noise = Noise::default();
    for part in 0..count {
        let mut put = |place: usize, value: f32| {
            mode.density_plane[place * DENSITY + part] = value / MODES as f32;
        };
        match way {
            Way::Slices => {
                let w = part as f32 / (count - 1) as f32;
                slice(matter, number, w, Wanted::Ramp, |place, at, distance| {
                    put(place, matter.ramp(at, distance, &mut noise));
                });
            }
            Way::Slabs => {
                let texels = (part * grid / count, (part + 1) * grid / count);
                slab(matter, number, texels, |place, distance| {
                    put(place, matter.ramp(Vec3::ZERO, Some(distance), &mut noise));
                });
            }
        }
    }
    if number == 0 {
        for texel in mode.density_plane.chunks_exact_mut(DENSITY) {
            texel[DENSITY - 1] = -OFFSET;
        }
        for place in mode.density_line.chunks_exact_mut(DENSITY) {
            place[DENSITY - 1] = 1.0;
        }
    }
}

/// Overlap of the places that are dense in the field and in the scene, over their union. What lies
/// just outside of a surface may be dense or not.
fn agreement(factors: &Factors, matter: &Matter<'_>) -> f64 {
    let step = factors.length();
    let (mut both, mut either) = (0, 0);
    for i in 0..PROBES {
        let at = Vec3::from(crate::samples::scattered(i)) * factors.extent.size;
        let Some(distance) = matter.distance(at) else { continue };
        if (0.0..NEAR).contains(&distance) {
            continue;
        }
        let dense = super::field::alpha(factors, step, at) > DENSE;
        both += i32::from(dense && distance < 0.0);
        either += i32::from(dense || distance < 0.0);
    }
    f64::from(both) / f64::from(either.max(1))
}

/// Texels outside of a surface that count as near it.
const NEAR: f32 = 2.5;
/// Opacity of a step in a place that counts as dense.
const DENSE: f32 = 0.05;

/// The distance of what is nearest in each column of a slab, for columns within reach.
fn slab(
    matter: &Matter<'_>,
    number: usize,
    (first, end): (usize, usize),
    mut each: impl FnMut(usize, f32),
) {
    let (u_axis, _, w_axis) = AXES[number];
    let last = (matter.grid[w_axis] - 1) as f32;
    let columns = matter.grid[u_axis];
    let (low, high) = (first as f32 - 0.5, end as f32 - 0.5);
    let (reach, solid) = (matter.reach(), matter.solid());
    let mut pieces = Vec::new();
    for square in matter.squares(number) {
        let [u, v] = square.middle();
        // Pieces of the slab that lie around one node each, the most promising one first.
        pieces.clear();
        for from in (first / PITCH * PITCH..end).step_by(PITCH) {
            let (from, to) = (from as f32 - 0.5, (from + PITCH) as f32 - 0.5);
            let middle = f32::midpoint(from, to);
            let (least, most) = matter.bounds(number, [u, v, middle], [HALF, PITCH as f32 / 2.0]);
            if least < reach {
                pieces.push((least, most, from.max(low), to.min(high)));
            }
        }
        pieces.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (u, v) in square.texels() {
            let mut nearest = f32::INFINITY;
            for (least, most, from, to) in &pieces {
                // What is solid somewhere is as dense as can be.
                if nearest <= solid || *least >= nearest {
                    break;
                }
                if *most <= solid {
                    nearest = *most;
                    break;
                }
                let mut w = *from;
                while w <= *to && nearest > solid {
                    let at = matter.point(number, u as f32, v as f32, w / last);
                    let d = matter.distance(at).unwrap_or(f32::INFINITY);
                    nearest = nearest.min(d);
                    // Nothing nearer lies within the difference.
                    w += (d - nearest.min(reach)).max(1.5);
                }
            }
            if nearest < reach {
                each(v * columns + u, nearest);
            }
        }
    }
}

/// Ones in slabs of equal width.
fn boxes(line: &mut [f32], count: usize, slabs: usize, grid: usize) {
    for (place, values) in line.chunks_exact_mut(count).enumerate() {
        for (slab, value) in values.iter_mut().take(slabs).enumerate() {
            let inside = (slab * grid / slabs..(slab + 1) * grid / slabs).contains(&place);
            *value = f32::from(u8::from(inside));
        }
    }
}

/// Hats between knots that are spread evenly over a line.
fn hats(line: &mut [f32], count: usize, knots: usize, grid: usize) {
    for (place, values) in line.chunks_exact_mut(count).enumerate() {
        let at = place as f32 / (grid - 1) as f32 * (knots - 1) as f32;
        for (knot, value) in values.iter_mut().take(knots).enumerate() {
            *value = (1.0 - (at - knot as f32).abs()).max(0.0);
        }
    }
}

/// Texels of a slice that are asked for.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    /// All, with distances.
    All,
    /// Those where the ramp is not zero, with distances that the ramp needs.
    Ramp,
    /// Those nearer to a surface than this, with any distance.
    Within(f32),
}

/// Goes through texels of a slice (all of them where the scene knows no distance).
fn slice(
    matter: &Matter<'_>,
    number: usize,
    w: f32,
    wanted: Wanted,
    mut each: impl FnMut(usize, Vec3, Option<f32>),
) {
    let (u_axis, _, w_axis) = AXES[number];
    let columns = matter.grid[u_axis];
    let place_w = w * (matter.grid[w_axis] - 1) as f32;
    let (reach, solid) = (matter.reach(), matter.solid());
    // Whether nothing within such bounds is asked for.
    let skipped = |(least, most): (f32, f32)| match wanted {
        Wanted::All => false,
        Wanted::Ramp => least > reach,
        Wanted::Within(reach) => least > reach || most < -reach,
    };
    // A distance that does as well as any within such bounds.
    let settled = |(least, most): (f32, f32)| match wanted {
        Wanted::Ramp if most <= solid => Some(most),
        Wanted::Within(reach) if least > -reach && most < reach => Some(least),
        _ => None,
    };
    for square in matter.squares(number) {
        let [u, v] = square.middle();
        let around = matter.bounds(number, [u, v, place_w], [HALF, 0.0]);
        if skipped(around) {
            continue;
        }
        let alike = settled(around);
        for (u, v) in square.texels() {
            let (u_place, v_place) = (u as f32, v as f32);
            let mut known = alike;
            if known.is_none() {
                let bounds = matter.bounds(number, [u_place, v_place, place_w], [0.0; 2]);
                if skipped(bounds) {
                    continue;
                }
                known = settled(bounds);
            }
            let at = matter.point(number, u_place, v_place, w);
            let distance = known.or_else(|| matter.distance(at));
            if let (Wanted::Within(reach), Some(d)) = (wanted, distance)
                && d.abs() >= reach
            {
                continue;
            }
            each(v * columns + u, at, distance);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensorf::Field;

    fn small(scene: &str, threshold: f32) -> Factors {
        let scene = Scene::shipped(scene).unwrap();
        Synthetic { grid: 96, threshold, ..Synthetic::default() }.factors(&scene)
    }

    /// The field is full where the scene is and empty where it is not.
    #[test]
    fn the_field_follows_the_scene() {
        for name in ["statue", "lattice"] {
            let scene = Scene::shipped(name).unwrap();
            let field =
                Field::new(Synthetic { grid: 200, ..Synthetic::default() }.factors(&scene), 64);
            let (mut right, mut all) = (0, 0);
            for i in 0..40_000 {
                let at = Vec3::from(crate::samples::scattered(i));
                let Extent { low, side, size } = field.factors.extent;
                let at = at * size;
                let distance = scene.distance(low + at * side).unwrap();
                // Within two texels of a surface either is right.
                if distance.abs() < 0.01 {
                    continue;
                }
                all += 1;
                right += i32::from((field.alpha(at) > 0.05) == (distance < 0.0));
            }
            assert!(f64::from(right) > 0.97 * f64::from(all), "{name} {right} of {all}");
            let matter = Matter::new(&scene, field.factors.extent, field.factors.grid);
            let overlap = agreement(&field.factors, &matter);
            assert!(overlap > 0.6, "{name} {overlap}");
        }
    }

    #[test]
    fn thresholds_set_the_sparsity() {
        let sparsity = [0.0, 0.004, 0.02, 0.3].map(|t| small("statue", t).sparsity());
        assert!(sparsity.windows(2).all(|w| w[0] < w[1] - 0.01), "{sparsity:?}");
        assert!(sparsity[0] < 0.1 && sparsity[2] > 0.5, "{sparsity:?}");
        assert_eq!(small("statue", 0.004), small("statue", 0.004));
    }
}
