//! Sphere tracing of a neural distance field: each query says how far the ray may go on.

use glam::Vec3;

use super::{Ray, Walker, cross};
use crate::scene::{Scene, SceneError};

/// A surface counts as reached this near, in unit cubes.
const NEAR: f32 = 1e-4;
/// Queries of a ray at most.
const MOST_QUERIES: u32 = 1000;

/// Traces a scene's surface.
#[derive(Debug)]
pub struct SphereTracing<'a> {
    scene: &'a Scene,
    low: Vec3,
    high: Vec3,
}

impl<'a> SphereTracing<'a> {
    /// A tracer.
    ///
    /// # Errors
    /// When the scene has no surface.
    pub fn new(scene: &'a Scene) -> Result<Self, SceneError> {
        if scene.distance(Vec3::splat(0.5)).is_none() {
            return Err(SceneError::new(
                0,
                format!("the scene {} has no surface to trace", scene.name),
                "choose lattice, statue, room or a mesh (.obj)",
            ));
        }
        let (low, high) = scene.bounds();
        Ok(Self { scene, low, high })
    }
}

impl Walker for SphereTracing<'_> {
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
        (ray.t <= ray.end && ray.queries < MOST_QUERIES).then(|| ray.point())
    }

    fn answer(&self, ray: &mut Ray, at: Vec3) -> bool {
        let distance = self.scene.distance(at).unwrap_or_default();
        ray.transmittance = distance;
        ray.t += distance.max(NEAR / 2.0);
        distance > NEAR
    }

    fn found(&self, ray: &Ray) -> bool {
        ray.queries > 0 && ray.transmittance <= NEAR
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rays::{Rounds, View, walk, walk_with_shadows};

    #[test]
    fn rays_end_on_the_surface_or_outside() {
        let scene = Scene::shipped("statue").unwrap();
        let tracer = SphereTracing::new(&scene).unwrap();
        let view = View { camera: scene.path.at(0.3).unwrap(), width: 160, height: 90 };
        let walked = walk(&scene, &view, &tracer, &Rounds::default()).unwrap();
        assert!(walked.found > 0.05 * walked.rays && walked.found < 0.9 * walked.rays);
        for window in &walked.hits.windows {
            for position in &window.positions {
                let distance = scene.distance(Vec3::from(*position)).unwrap();
                assert!(distance.abs() < 1e-3, "{distance}");
            }
        }
    }

    /// From every point found one ray goes to the light: some get there, some meet the object again.
    #[test]
    fn shadow_rays_start_where_others_ended() {
        let scene = Scene::shipped("statue").unwrap();
        let tracer = SphereTracing::new(&scene).unwrap();
        let view = View { camera: scene.path.at(0.3).unwrap(), width: 160, height: 90 };
        let rounds = Rounds::default();
        let (first, shadows) =
            walk_with_shadows(&scene, &view, &tracer, &rounds, Vec3::ONE).unwrap();
        assert_eq!(first, walk(&scene, &view, &tracer, &rounds).unwrap());
        assert_eq!(shadows.rays, first.found);
        assert_eq!(shadows.rounds[0].alive, shadows.started);
        let dark = shadows.found / shadows.rays;
        assert!((0.02..0.9).contains(&dark), "{dark}");
    }

    #[test]
    fn clouds_cannot_be_traced() {
        let cloud = Scene::shipped("cloud").unwrap();
        assert!(SphereTracing::new(&cloud).unwrap_err().what.contains("no surface"));
    }
}
