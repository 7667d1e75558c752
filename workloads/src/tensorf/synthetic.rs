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

use std::ops::Range;

use glam::{Vec3, Vec4};

use super::field::Lines;
use super::matter::{Matter, OFFSET, Wanted, slabs, slice, slices};
use super::{APPEARANCE, AXES, DENSITY, Extent, Factors, MODES, Mode, Network};
use crate::samples::mix;
use crate::scene::{Noise, Point, Scene};

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

/// Largest rest of training, as a share of a component's largest value.
const RESIDUE: f32 = 0.02;
/// Distance over which rests become half as large, in texels.
const FADE: f32 = 24.0;
/// Reach of appearance around surfaces, in texels.
const SHELL: f32 = 4.0;

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
        let most = grid.into_iter().max().unwrap_or(1);
        let matter = Matter::new(scene, extent, grid, shell(most));
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
        if matter.has_surfaces() {
            let probes = Probes::new(extent, &matter);
            let agrees = probes.agreement(&factors);
            if agrees < GOOD {
                let slabs = made(Way::Slabs);
                if probes.agreement(&slabs) > agrees {
                    factors = slabs;
                }
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
        let waves: Vec<([f32; 3], f32)> = (0..APPEARANCE)
            .map(|knot| {
                let seed = mix(self.seed ^ ((number * APPEARANCE + knot / 8) as u64) << 8);
                ([0, 1, 2].map(|i| drawn(seed, i) * 14.0), drawn(seed, 3) * 3.0)
            })
            .collect();
        let wanted = Wanted::Within(reach);
        slices(matter, number, APPEARANCE, wanted, |knot, places, at, distances| {
            let near: [bool; 4] = match distances {
                Some(d) => d.abs().cmplt(Vec4::splat(reach)).into(),
                None => matter.holds(at, &mut noise),
            };
            let ([x, y, z], phase) = waves[knot];
            let wave = at.x * x + at.y * y + at.z * z + phase;
            for (lane, place) in places.enumerate().filter(|(lane, _)| near[*lane]) {
                let value = libm::sinf(wave[lane]);
                // Patterns pass through zero; a surface has some value everywhere.
                let value = if value.abs() < 0.05 { 0.05 } else { value };
                mode.appearance_plane[place * APPEARANCE + knot] = value;
            }
        });
    }

    /// Small values where training has left some: cubes of a uniform number, so that most are tiny.
    fn residue(&self, matter: &Matter<'_>, number: usize, mode: &mut Mode) {
        let mut fades = vec![1.0_f32; mode.size[0] * mode.size[1]];
        let middle = matter.knot(number, 0.5);
        for square in matter.squares(number) {
            slice(matter, number, (square, middle), Wanted::All, |places, _, distances| {
                let d = distances.unwrap_or(Vec4::ZERO).max(Vec4::ZERO).to_array();
                for (place, d) in places.zip(d) {
                    fades[place] = 1.0 / (1.0 + d / FADE);
                }
            });
        }
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
    let plane = &mut mode.density_plane;
    let mut put = |part: usize, places: Range<usize>, values: Vec4| {
        for (place, value) in places.zip(values.to_array()) {
            plane[place * DENSITY + part] = value / MODES as f32;
        }
    };
    match way {
        Way::Slices => {
            slices(matter, number, count, Wanted::Ramp, |knot, places, at, distances| {
                put(knot, places, matter.ramp(at, distances, &mut noise));
            });
        }
        Way::Slabs => slabs(matter, number, count, |part, places, distances| {
            put(part, places, matter.ramp(Point::of([0.0; 3]), Some(distances), &mut noise));
        }),
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

/// Places at which a field is compared with its scene. What lies just outside of a surface may be dense or not, and is
/// left out.
struct Probes {
    at: Vec<Vec3>,
    /// Whether the scene is dense there.
    dense: Vec<bool>,
}

impl Probes {
    fn new(extent: Extent, matter: &Matter<'_>) -> Self {
        let (mut all, mut dense) = (Vec::new(), Vec::new());
        for first in (0..PROBES).step_by(4) {
            let at = [0, 1, 2, 3]
                .map(|lane| Vec3::from(crate::samples::scattered(first + lane)) * extent.size);
            let of = |axis: usize| Vec4::from_array(at.map(|at| at[axis]));
            let four = Point { x: of(0), y: of(1), z: of(2) };
            let Some(distances) = matter.distances(four) else { continue };
            for (at, distance) in at.into_iter().zip(distances.to_array()) {
                if !(0.0..NEAR).contains(&distance) {
                    all.push(at);
                    dense.push(distance < 0.0);
                }
            }
        }
        Self { at: all, dense }
    }

    /// Overlap of the places that are dense in a field and in the scene, over their union.
    fn agreement(&self, factors: &Factors) -> f64 {
        let mut alphas = Vec::new();
        Lines::new(factors).alphas(factors, &self.at, &mut alphas);
        let (mut both, mut either) = (0, 0);
        for (alpha, scene) in alphas.into_iter().zip(&self.dense) {
            let dense = alpha > DENSE;
            both += i32::from(dense && *scene);
            either += i32::from(dense || *scene);
        }
        f64::from(both) / f64::from(either.max(1))
    }
}

/// Texels outside of a surface that count as near it.
const NEAR: f32 = 2.5;
/// Opacity of a step in a place that counts as dense.
const DENSE: f32 = 0.05;

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
            let matter = Matter::new(&scene, field.factors.extent, field.factors.grid, 4.0);
            let overlap = Probes::new(field.factors.extent, &matter).agreement(&field.factors);
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
