//! Delta tracking of a neural volume: free flights drawn from the densest there is, each end of a
//! flight a query, light scattered or lost there in proportion to the real density. Left out:
//! lights and phase functions (a scattered ray goes on in a uniformly drawn direction).

use std::sync::Arc;

use glam::Vec3;

use super::{Ray, Walker, cross};
use crate::samples::mix;
use crate::scene::{Occupancy, Scene};

/// Queries of a ray at most.
const MOST_QUERIES: u32 = 128;
/// Share of light that a scattering event does not absorb.
const ALBEDO: f32 = 0.95;
/// Flights through empty cells that are not worth a query, at most.
const MOST_FLIGHTS: u32 = 1024;

/// Tracks light through a scene's density.
#[derive(Debug)]
pub struct DeltaTracking<'a> {
    scene: &'a Scene,
    occupancy: Arc<Occupancy>,
    low: Vec3,
    high: Vec3,
    densest: f32,
}

impl<'a> DeltaTracking<'a> {
    /// A tracker.
    pub fn new(scene: &'a Scene) -> Self {
        let (low, high) = scene.bounds();
        Self { scene, occupancy: scene.occupancy(), low, high, densest: scene.densest() }
    }
}

/// The next number of a ray's own sequence, in [0, 1).
fn draw(ray: &mut Ray) -> f32 {
    ray.seed = mix(ray.seed);
    (ray.seed >> 40) as f32 / 16_777_216.0
}

impl Walker for DeltaTracking<'_> {
    fn start(&self, ray: &mut Ray) -> bool {
        match cross(self.low, self.high, ray.origin, ray.direction) {
            Some((near, far)) => {
                (ray.t, ray.end) = (near, far);
                true
            }
            None => false,
        }
    }

    fn query(&self, ray: &mut Ray) -> Option<Vec3> {
        if ray.queries >= MOST_QUERIES {
            return None;
        }
        for _ in 0..MOST_FLIGHTS {
            ray.t -= libm::logf(1.0 - draw(ray)) / self.densest;
            if ray.t > ray.end {
                return None;
            }
            let at = ray.point();
            if self.occupancy.occupied_at(at, self.occupancy.cascade_at(at, 0.0)) {
                return Some(at);
            }
            ray.voxels += 1;
        }
        None
    }

    fn answer(&self, ray: &mut Ray, at: Vec3) -> bool {
        if draw(ray) >= self.scene.density(at) / self.densest {
            return true;
        }
        if draw(ray) >= ALBEDO {
            ray.transmittance = 0.0;
            return false;
        }
        let z = 2.0 * draw(ray) - 1.0;
        let angle = std::f32::consts::TAU * draw(ray);
        let flat = (1.0 - z * z).max(0.0).sqrt();
        ray.direction = Vec3::new(libm::cosf(angle) * flat, libm::sinf(angle) * flat, z);
        ray.origin = at;
        ray.t = 0.0;
        match cross(self.low, self.high, at, ray.direction) {
            Some((_, far)) => {
                ray.end = far;
                true
            }
            None => false,
        }
    }

    fn found(&self, ray: &Ray) -> bool {
        ray.transmittance == 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rays::{Rounds, View, walk};
    use crate::scene::Camera;

    /// In a uniform medium that only absorbs... here: mean queries before leaving follow from the
    /// majorant alone, one per mean free path.
    #[test]
    fn queries_follow_the_majorant() {
        let mut grid = Occupancy::empty(1);
        grid.fill(0, |_, _| true);
        let full = Scene {
            name: "full".to_owned(),
            aabb_scale: 1,
            matter: crate::scene::Matter::Grid(Arc::new(grid)),
            path: crate::scene::CameraPath { cameras: Vec::new(), aabb_scale: None },
        };
        let tracker = DeltaTracking::new(&full);
        let camera = Camera::look_at(Vec3::new(0.5, 0.5, -3.0), Vec3::splat(0.5), 20.0);
        let view = View { camera, width: 64, height: 64 };
        let walked = walk(&full, &view, &tracker, &Rounds::default()).unwrap();
        // Density equals the majorant, so every query is a collision, 5 % of which absorb: at
        // most 20 on average, fewer because light leaks out of the cube.
        assert!((2.0..20.0).contains(&walked.per_ray.mean), "{:?}", walked.per_ray);
    }
}
