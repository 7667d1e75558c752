//! TensoRF, VM decomposition with 192 components (Chen et al., ECCV 2022; sizes as in the authors'
//! code at 6a1e23b): a radiance field as sums of products of planes and lines, and a small network for
//! colour. [`Factors`] are made from a scene (`synthetic`) or brought by the user (`import`);
//! `uniform` renders as the authors do, `cubes` as RT-NeRF does (Li et al., ICCAD 2022);
//! `encoded` stores factors sparsely, `launches` is the authors' renderer as work for a GPU. The field
//! lives in a box ([`Extent`]): the authors shrink theirs to what is occupied and keep the number of voxels
//! in it. The scene's cube stands for their first box of side 3. Left out: training,
//! forward-facing scenes in normalised device coordinates, spherical-harmonics colour.

pub mod cubes;
mod distances;
pub mod encoded;
mod field;
mod image;
pub mod import;
pub mod launches;
mod matter;
mod network;
mod occupied;
mod opacity;
mod stored;
mod synthetic;
mod tile;
pub mod uniform;

pub use cubes::{CubeLoop, CubeTrace, Order};
pub use encoded::{EncodedFactors, Encoding};
pub use field::{Field, Ray, Sight};
pub use image::{Image, psnr};
pub use network::Network;
pub use occupied::Cubes;
pub use synthetic::Synthetic;

use glam::Vec3;

/// Density components of each mode.
pub const DENSITY: usize = 16;
/// Appearance components of each mode.
pub const APPEARANCE: usize = 48;
/// Components of a mode.
pub const COMPONENTS: usize = DENSITY + APPEARANCE;
/// Modes: planes xy, xz, yz with lines z, y, x.
pub const MODES: usize = 3;
/// Appearance features after the basis.
pub const FEATURES: usize = 27;
/// Inputs of the network: features, direction, and two octaves of each.
pub const INPUTS: usize = FEATURES + 3 + 4 * FEATURES + 4 * 3;
/// Neurons of its two hidden layers.
pub const HIDDEN: usize = 128;
/// Axes of a mode's plane (column, row) and of its line.
pub const AXES: [(usize, usize, usize); MODES] = [(0, 1, 2), (0, 2, 1), (1, 2, 0)];
/// What is added to a density feature before the softplus.
pub const DENSITY_SHIFT: f32 = -10.0;
/// Optical thickness of density one over the scene's cube: the first box's side of 3 times the authors'
/// distance scale of 25.
pub const THICKNESS: f32 = 75.0;
/// Steps of a voxel.
pub const STEPS_PER_VOXEL: f32 = 2.0;
/// Weight below which a sample is not shaded.
pub const LEAST_WEIGHT: f32 = 1e-4;
/// Opacity of a step above which a place counts as occupied.
pub const LEAST_ALPHA: f32 = 1e-4;
/// Multiply-adds of basis and network for a shaded sample.
pub const SHADING_MACS: usize =
    MODES * APPEARANCE * FEATURES + INPUTS * HIDDEN + HIDDEN * HIDDEN + HIDDEN * 3;

/// Layers of basis and network as `(inputs, outputs)`.
pub const LAYERS: [(usize, usize); 4] =
    [(MODES * APPEARANCE, FEATURES), (INPUTS, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, 3)];

/// Planes and lines of one mode; components of a place lie side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Mode {
    /// Columns and rows of the plane, and length of the line.
    pub size: [usize; 3],
    /// Density planes: `(row · columns + column) · 16 + component`.
    pub density_plane: Vec<f32>,
    /// Density lines: `place · 16 + component`.
    pub density_line: Vec<f32>,
    /// Appearance planes, with 48 components.
    pub appearance_plane: Vec<f32>,
    /// Appearance lines.
    pub appearance_line: Vec<f32>,
}

impl Mode {
    fn zero(size: [usize; 3]) -> Self {
        let plane = size[0] * size[1];
        Self {
            size,
            density_plane: vec![0.0; plane * DENSITY],
            density_line: vec![0.0; size[2] * DENSITY],
            appearance_plane: vec![0.0; plane * APPEARANCE],
            appearance_line: vec![0.0; size[2] * APPEARANCE],
        }
    }

    /// Value of a component (density ones first) of the plane or the line at a place.
    pub fn value(&self, line: bool, component: usize, place: usize) -> f32 {
        let (values, count, own) = match (line, component.checked_sub(DENSITY)) {
            (false, None) => (&self.density_plane, DENSITY, component),
            (true, None) => (&self.density_line, DENSITY, component),
            (false, Some(own)) => (&self.appearance_plane, APPEARANCE, own),
            (true, Some(own)) => (&self.appearance_line, APPEARANCE, own),
        };
        values.get(place * count + own).copied().unwrap_or(0.0)
    }

    fn arrays(&mut self) -> [(&mut Vec<f32>, usize); 4] {
        [
            (&mut self.density_plane, DENSITY),
            (&mut self.density_line, DENSITY),
            (&mut self.appearance_plane, APPEARANCE),
            (&mut self.appearance_line, APPEARANCE),
        ]
    }
}

/// Where a field lies. Its box is a part of a unit cube, which is a part of the scene's cube.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extent {
    /// Lowest corner of the unit cube, in shares of the scene's cube.
    pub low: Vec3,
    /// Its side, likewise.
    pub side: f32,
    /// Sides of the box in the unit cube, whose lowest corner it shares; the longest is one.
    pub size: Vec3,
}

impl Extent {
    /// All of the scene's cube.
    pub const WHOLE: Self = Self { low: Vec3::ZERO, side: 1.0, size: Vec3::ONE };
}

/// A field.
#[derive(Debug, Clone, PartialEq)]
pub struct Factors {
    /// Texels along x, y, z.
    pub grid: [usize; 3],
    /// Its place in the scene.
    pub extent: Extent,
    /// Planes and lines.
    pub modes: [Mode; MODES],
    /// Basis and network.
    pub network: Network,
    /// Bits that values of planes and lines have been rounded to; 0 where they have not.
    pub rounded: u32,
}

/// Why factors cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct FactorError {
    /// The array that it is about; empty where it is about all.
    pub array: String,
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub help: String,
}

impl FactorError {
    fn new(array: &str, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { array: array.to_owned(), what: what.into(), help: help.into() }
    }
}

impl Factors {
    /// Step along a ray, in sides of the field's cube: half of the mean side of a voxel.
    pub fn step(&self) -> f32 {
        let size = self.extent.size.to_array();
        let voxels = size.iter().zip(&self.grid).map(|(side, texels)| side / *texels as f32);
        voxels.sum::<f32>() / 3.0 / STEPS_PER_VOXEL
    }

    /// The same in sides of the scene's cube, which optical thickness goes by.
    pub fn length(&self) -> f32 {
        self.step() * self.extent.side
    }

    /// A point of the unit cube in shares of the box.
    #[inline]
    pub fn in_box(&self, at: Vec3) -> Vec3 {
        at / self.extent.size
    }

    /// Steps along the diagonal of the box, which every ray of the uniform renderer takes.
    pub fn steps_per_ray(&self) -> usize {
        libm::ceilf(self.extent.size.length() / self.step()) as usize
    }

    /// Values of planes and lines.
    pub fn parameters(&self) -> usize {
        let of = |mode: &Mode| (mode.size[0] * mode.size[1] + mode.size[2]) * COMPONENTS;
        self.modes.iter().map(of).sum()
    }

    /// Share of values of planes and lines that are zero.
    pub fn sparsity(&self) -> f64 {
        let zeros = |values: &[f32]| values.iter().filter(|value| **value == 0.0).count();
        let all: usize = self
            .modes
            .iter()
            .map(|m| {
                zeros(&m.density_plane)
                    + zeros(&m.density_line)
                    + zeros(&m.appearance_plane)
                    + zeros(&m.appearance_line)
            })
            .sum();
        all as f64 / self.parameters().max(1) as f64
    }

    /// Sets values below a share of the largest of their component to zero, as pruning after
    /// training with an L1 penalty does, and rounds the rest to signed codes of `bits` bits.
    pub fn prune_and_round(&mut self, threshold: f32, bits: u32) {
        if threshold <= 0.0 && self.rounded == bits {
            return;
        }
        self.rounded = bits;
        let steps = ((1_u32 << (bits.clamp(2, 16) - 1)) - 1) as f32;
        for mode in &mut self.modes {
            for (values, count) in mode.arrays() {
                let mut most = vec![0.0_f32; count];
                for place in values.chunks_exact(count) {
                    for (most, value) in most.iter_mut().zip(place) {
                        *most = most.max(value.abs());
                    }
                }
                for place in values.chunks_exact_mut(count) {
                    for (value, most) in place.iter_mut().zip(&most) {
                        if *value == 0.0 {
                            continue;
                        }
                        *value = if value.abs() < threshold * most {
                            0.0
                        } else {
                            rounded(*value / most * steps) / steps * most
                        };
                    }
                }
            }
        }
    }
}

/// The nearest whole number of one below 2^24, halves away from zero.
fn rounded(value: f32) -> f32 {
    ((value.abs() + 0.5) as i32 as f32).copysign(value)
}

/// A direction's place among the scene's: the same point in the unit cube of the field.
pub fn to_unit(at: Vec3, low: Vec3, side: f32) -> Vec3 {
    (at - low) / side
}
