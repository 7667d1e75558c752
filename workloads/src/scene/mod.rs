//! What is looked at and from where: density and distance fields, occupancy, cameras.
//!
//! Everything lives in the space of instant-ngp: the scene's cube is the unit cube, grown by
//! `aabb_scale` around its centre for scenes without bounds. Scenes of our own are formulas
//! (`analytic`), users bring meshes (`mesh`) or occupancy grids (`npy`); none needs a download.

pub mod analytic;
pub mod camera;
pub mod mesh;
pub mod npy;
pub mod number;
mod objects;
pub mod occupancy;

use std::sync::Arc;

pub use glam::{Vec3, Vec4};

pub use analytic::{Analytic, Noise};
pub use camera::{Camera, CameraPath};
pub use mesh::Mesh;
pub use number::{Number, Point};
pub use occupancy::Occupancy;

/// Why a scene or camera cannot be used. `line` is 0 where there is none to name.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{what}")]
pub struct SceneError {
    /// Line of the text it came from.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub help: String,
}

impl SceneError {
    pub(crate) fn new(line: usize, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { line, what: what.into(), help: help.into() }
    }
}

/// Where matter is.
#[derive(Debug, Clone)]
pub enum Matter {
    /// A formula.
    Analytic(Analytic),
    /// Triangles: dense inside of a thin shell around them.
    Mesh(Arc<Mesh>),
    /// Cells that are full or empty; full ones have a uniform density.
    Grid(Arc<Occupancy>),
}

/// A scene.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Name, for reports.
    pub name: String,
    /// Side of the scene's cube, in unit cubes.
    pub aabb_scale: u32,
    /// What is in it.
    pub matter: Matter,
    /// How it is usually looked at.
    pub path: CameraPath,
}

/// Optical density of full cells of a given grid, per unit length: half the light is gone within
/// six of the smallest steps.
const GRID_DENSITY: f32 = 68.0;

impl Scene {
    /// Names of the scenes that ship.
    pub fn names() -> Vec<&'static str> {
        Analytic::ALL.iter().map(|scene| scene.name()).collect()
    }

    /// A scene that ships.
    pub fn shipped(name: &str) -> Option<Self> {
        let analytic = *Analytic::ALL.iter().find(|scene| scene.name() == name)?;
        Some(Self {
            name: name.to_owned(),
            aabb_scale: analytic.aabb_scale(),
            path: analytic.path(),
            matter: Matter::Analytic(analytic),
        })
    }

    /// Optical density at a point, per unit length.
    pub fn density(&self, at: Vec3) -> f32 {
        self.density_up_to(at, f32::INFINITY, &mut Noise::default())
    }

    /// The same for point after point: `noise` keeps what neighbours share. Beyond `most` any density beyond it may
    /// be given.
    pub fn density_up_to(&self, at: Vec3, most: f32, noise: &mut Noise) -> f32 {
        match &self.matter {
            Matter::Analytic(analytic) => analytic.density_up_to(at, most, noise),
            Matter::Mesh(mesh) => mesh.density(at),
            Matter::Grid(grid) => {
                if grid.occupied_at(at, 0) {
                    GRID_DENSITY
                } else {
                    0.0
                }
            }
        }
    }

    /// Density at a point, and how far around it there is no surface, so that only [`Self::faint`] is left there.
    pub fn density_around(&self, at: Vec3, noise: &mut Noise) -> (f32, f32) {
        match &self.matter {
            Matter::Analytic(analytic) => analytic.density_around(at, noise),
            _ => (self.density_up_to(at, f32::INFINITY, noise), 0.0),
        }
    }

    /// Density at a point without surfaces nearby.
    pub fn faint(&self, at: Vec3) -> f32 {
        match &self.matter {
            Matter::Analytic(analytic) => analytic.faint(at),
            _ => 0.0,
        }
    }

    /// The same at four places.
    #[inline]
    pub fn densities_up_to(&self, at: Point<Vec4>, most: f32, noise: &mut Noise<Vec4>) -> Vec4 {
        match &self.matter {
            Matter::Analytic(analytic) => analytic.densities_up_to(at, most, noise),
            _ => Number::each(at, |at| self.density(at)),
        }
    }

    /// Whether there is nothing in a ball; not told of all that are empty.
    pub fn clear(&self, at: Vec3, radius: f32) -> bool {
        matches!(&self.matter, Matter::Analytic(analytic) if analytic.clear(at, radius))
    }

    /// Distance to the nearest surface, negative inside; `None` where the scene has no surface.
    pub fn distance(&self, at: Vec3) -> Option<f32> {
        match &self.matter {
            Matter::Analytic(analytic) => analytic.distance(at),
            Matter::Mesh(mesh) => Some(mesh.distance(at)),
            Matter::Grid(_) => None,
        }
    }

    /// The same at four places.
    #[inline]
    pub fn distances(&self, at: Point<Vec4>) -> Option<Vec4> {
        match &self.matter {
            Matter::Analytic(analytic) => analytic.distances(at),
            Matter::Mesh(mesh) => Some(Number::each(at, |at| mesh.distance(at))),
            Matter::Grid(_) => None,
        }
    }

    /// Largest density, per unit length: the majorant of delta tracking.
    pub fn densest(&self) -> f32 {
        match &self.matter {
            Matter::Analytic(analytic) => analytic.densest(),
            Matter::Mesh(_) => mesh::SHELL_DENSITY,
            Matter::Grid(_) => GRID_DENSITY,
        }
    }

    /// Occupancy as training would leave it.
    pub fn occupancy(&self) -> Arc<Occupancy> {
        match &self.matter {
            Matter::Grid(grid) => Arc::clone(grid),
            Matter::Mesh(mesh) => Arc::new(mesh.occupancy()),
            Matter::Analytic(analytic) => Arc::new(if let Some(reach) = analytic.softness() {
                let mut grid =
                    Occupancy::near_surface(self.aabb_scale, reach, analytic.slack(), |at| {
                        analytic.distances(at).unwrap_or(Vec4::INFINITY)
                    });
                analytic.add_faint(&mut grid);
                grid
            } else {
                let mut noise = Noise::default();
                Occupancy::of(self.aabb_scale, |at, most| {
                    analytic.densities_up_to(at, most, &mut noise)
                })
            }),
        }
    }

    /// Whether it is a single object before nothing.
    pub fn is_object(&self) -> bool {
        matches!(&self.matter, Matter::Analytic(own) if Analytic::OBJECTS.contains(own))
    }

    /// Corners of the smallest box around all that is occupied; the whole cube for scenes without bounds
    /// and for empty ones.
    pub fn occupied_box(&self) -> (Vec3, Vec3) {
        let occupied = if self.aabb_scale == 1 { self.occupancy().full_box() } else { None };
        occupied.unwrap_or_else(|| self.bounds())
    }

    /// Corners of the scene's cube.
    pub fn bounds(&self) -> (Vec3, Vec3) {
        let half = Vec3::splat(self.aabb_scale as f32 * 0.5);
        (Vec3::splat(0.5) - half, Vec3::splat(0.5) + half)
    }

    /// A point of the scene's cube in the unit cube of the encoding.
    pub fn to_unit(&self, at: Vec3) -> [f32; 3] {
        let (low, high) = self.bounds();
        ((at - low) / (high - low)).clamp(Vec3::ZERO, Vec3::ONE).to_array()
    }
}
