//! The ray marcher of instant-ngp: smallest steps of √3/1024, longer ones far from the camera in
//! scenes without bounds, empty cells of the occupancy grid skipped whole, stop where less than a
//! hundredth of the light is left.

use std::cell::RefCell;
use std::sync::Arc;

use glam::Vec3;

use super::seek::March;
use super::{Ray, SampleCounts, Walker, cross};
use crate::scene::occupancy::{CELLS, SMALLEST_STEP};
use crate::scene::{Noise, Occupancy, Scene};

/// Growth of the step with distance in scenes larger than the unit cube.
const CONE: f32 = 1.0 / 256.0;
/// More cells than any scene reaches below zero.
const OFFSET: f32 = 32_768.0;
/// Steps along the diagonal of the unit cube.
const STEPS: f32 = 1024.0;

/// Marches through a scene's density.
#[derive(Debug)]
pub struct RayMarching<'a> {
    scene: &'a Scene,
    occupancy: Arc<Occupancy>,
    march: March,
    least_transmittance: f32,
    /// What neighbouring points share.
    noise: RefCell<Noise>,
}

impl<'a> RayMarching<'a> {
    /// A marcher that stops below a transmittance.
    pub fn new(scene: &'a Scene, least_transmittance: f32) -> Self {
        let (low, high) = scene.bounds();
        let occupancy = scene.occupancy();
        let cascades = (1_u32 << (occupancy.cascades() - 1)) as f32;
        Self {
            scene,
            occupancy,
            march: March {
                low,
                high,
                cone: if scene.aabb_scale > 1 { CONE } else { 0.0 },
                shortest: SMALLEST_STEP,
                longest: SMALLEST_STEP * cascades * STEPS / CELLS as f32,
            },
            least_transmittance,
            noise: RefCell::default(),
        }
    }

    fn step(&self, t: f32) -> f32 {
        self.march.step(t)
    }

    fn inside(&self, at: Vec3) -> bool {
        at.cmpge(self.march.low).all() && at.cmple(self.march.high).all()
    }

    /// Puts a ray where it enters the scene's cube; false if it misses.
    fn enter(&self, ray: &mut Ray) -> bool {
        let (low, high) = (self.march.low, self.march.high);
        let Some((near, far)) = cross(low, high, ray.origin, ray.direction) else {
            return false;
        };
        // Starts are jittered by a part of a step, so that steps don't show as bands.
        let jitter = (crate::samples::mix(ray.seed) >> 40) as f32 / 16_777_216.0;
        ray.t = near + 1e-6;
        ray.t += jitter * self.step(ray.t);
        ray.end = far;
        true
    }

    /// Walks to the first full cell at or after `t`; [`March::seek`] does the same for several rays.
    fn seek(&self, ray: &mut Ray) -> Option<Vec3> {
        let inverse = ray.direction.recip();
        loop {
            let at = ray.point();
            if ray.t > ray.end || !self.inside(at) {
                return None;
            }
            let step = self.step(ray.t);
            let cascade = self.occupancy.cascade_at(at, step);
            if self.occupancy.occupied_at(at, cascade) {
                return Some(at);
            }
            // To the far side of the empty cell, in whole steps.
            let cells = CELLS as f32 / (1 << cascade) as f32;
            let local = (at - 0.5) * cells;
            // Truncation of what has been made positive is its floor.
            let floor = (local + OFFSET).as_uvec3().as_vec3() - OFFSET;
            let far = floor + Vec3::select(ray.direction.cmpge(Vec3::ZERO), Vec3::ONE, Vec3::ZERO);
            let away = ((far - local) * inverse / cells).min_element().max(0.0);
            let target = ray.t + away;
            ray.voxels += 1;
            loop {
                ray.t += self.step(ray.t);
                ray.fine_steps += 1;
                if ray.t >= target {
                    break;
                }
            }
        }
    }
}

impl Walker for RayMarching<'_> {
    fn start(&self, ray: &mut Ray) -> bool {
        let first = if self.enter(ray) { self.seek(ray) } else { None };
        ray.last = first.unwrap_or(ray.last);
        first.is_some()
    }

    fn start_all(&self, rays: &mut [Ray]) -> Vec<bool> {
        let open: Vec<bool> = rays.iter_mut().map(|ray| self.enter(ray)).collect();
        let mut first = vec![None; rays.len()];
        self.query_all(rays, &open, &mut first);
        for (ray, first) in rays.iter_mut().zip(&first) {
            ray.last = first.unwrap_or(ray.last);
        }
        first.iter().map(Option::is_some).collect()
    }

    fn looks_ahead(&self) -> bool {
        true
    }

    fn query(&self, ray: &mut Ray) -> Option<Vec3> {
        self.seek(ray)
    }

    fn query_all(&self, rays: &mut [Ray], open: &[bool], found: &mut [Option<Vec3>]) {
        self.march.seek(&self.occupancy, rays, open, found);
    }

    fn answer(&self, ray: &mut Ray, at: Vec3) -> bool {
        let step = self.step(ray.t);
        let density = if ray.t < ray.clear {
            self.scene.faint(at)
        } else {
            let (density, clear) = self.scene.density_around(at, &mut self.noise.borrow_mut());
            ray.clear = ray.t + clear;
            density
        };
        // The exponential of zero is one.
        if density != 0.0 {
            ray.transmittance *= libm::expf(-density * step);
        }
        ray.t += step;
        ray.transmittance >= self.least_transmittance
    }

    fn found(&self, ray: &Ray) -> bool {
        ray.transmittance < self.least_transmittance
    }
}
/// Marches as often as was counted elsewhere, through the full cells of a scene; behind the last of
/// them steps go on regardless, as the count says that there was something.
#[derive(Debug)]
pub struct CountedMarching<'a> {
    marching: RayMarching<'a>,
    counts: &'a SampleCounts,
    width: u32,
    height: u32,
}

impl<'a> CountedMarching<'a> {
    /// A marcher for an image of `width` by `height` pixels.
    pub fn new(scene: &'a Scene, counts: &'a SampleCounts, width: u32, height: u32) -> Self {
        Self { marching: RayMarching::new(scene, 0.0), counts, width, height }
    }

    /// The count of the ray's pixel, whose number is its seed.
    fn count(&self, ray: &Ray) -> u32 {
        let width = u64::from(self.width.max(1));
        let (row, column) = ((ray.seed / width) as u32, (ray.seed % width) as u32);
        self.counts.at(column, row, self.width, self.height)
    }
}

impl Walker for CountedMarching<'_> {
    fn start(&self, ray: &mut Ray) -> bool {
        if self.count(ray) == 0 {
            return false;
        }
        if !self.marching.start(ray) {
            ray.last = ray.point();
        }
        true
    }

    fn looks_ahead(&self) -> bool {
        true
    }

    fn query(&self, ray: &mut Ray) -> Option<Vec3> {
        (ray.queries < self.count(ray)).then(|| self.marching.seek(ray).unwrap_or(ray.last))
    }

    fn answer(&self, ray: &mut Ray, _: Vec3) -> bool {
        ray.t += self.marching.step(ray.t);
        ray.queries < self.count(ray)
    }

    fn found(&self, _: &Ray) -> bool {
        true
    }
}
