//! Scenes that ship as formulas, so that nothing has to be downloaded: a thin structure, a solid
//! object, a room without bounds, a cloud, and single objects (`objects`). Surfaces are distance fields turned into density by a
//! soft shell, as a trained radiance field has them.

use glam::{Vec3, Vec4};

use super::camera::CameraPath;
use super::number::{Number, Point, beyond, length};
use super::objects;
use super::occupancy::Occupancy;

/// A scene given by a formula.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Analytic {
    /// Rods and rings: thin structure, most of the cube empty.
    Lattice,
    /// One massive object on a plinth.
    Statue,
    /// A furnished hall that goes on beyond its windows.
    Room,
    /// A cloud.
    Cloud,
    /// An armchair.
    Chair,
    /// A drum kit.
    Drums,
    /// A plant in a pot.
    Plant,
    /// Food on a plate.
    Dish,
    /// A digger of bricks.
    Digger,
    /// Twelve balls.
    Balls,
    /// A microphone on a stand.
    Microphone,
    /// A ship in a disc of water.
    Ship,
}

impl Analytic {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Lattice,
        Self::Statue,
        Self::Room,
        Self::Cloud,
        Self::Chair,
        Self::Drums,
        Self::Plant,
        Self::Dish,
        Self::Digger,
        Self::Balls,
        Self::Microphone,
        Self::Ship,
    ];

    /// Objects before nothing, as the synthetic scenes of NeRF show them.
    pub const OBJECTS: [Self; 8] = [
        Self::Chair,
        Self::Drums,
        Self::Plant,
        Self::Dish,
        Self::Digger,
        Self::Balls,
        Self::Microphone,
        Self::Ship,
    ];

    /// Name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lattice => "lattice",
            Self::Statue => "statue",
            Self::Room => "room",
            Self::Cloud => "cloud",
            Self::Chair => "chair",
            Self::Drums => "drums",
            Self::Plant => "plant",
            Self::Dish => "dish",
            Self::Digger => "digger",
            Self::Balls => "balls",
            Self::Microphone => "microphone",
            Self::Ship => "ship",
        }
    }

    /// What it is, for lists.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Lattice => "thin structure: rods and rings in an empty cube",
            Self::Statue => "solid object on a plinth in an empty cube",
            Self::Room => "furnished hall in a haze, unbounded (aabb_scale 4)",
            Self::Cloud => "volume without surfaces",
            Self::Chair => "object before nothing: an armchair",
            Self::Drums => "object before nothing: a drum kit, thin in part",
            Self::Plant => "object before nothing: leaves",
            Self::Dish => "object before nothing: food on a plate",
            Self::Digger => "object before nothing: a digger of bricks",
            Self::Balls => "object before nothing: twelve balls",
            Self::Microphone => "object before nothing: a microphone on a stand",
            Self::Ship => "object before nothing: a ship in a disc of water",
        }
    }

    /// Side of its cube, in unit cubes.
    pub const fn aabb_scale(self) -> u32 {
        match self {
            Self::Room => 4,
            _ => 1,
        }
    }

    /// The usual way around it.
    pub fn path(self) -> CameraPath {
        let centre = Vec3::splat(0.5);
        match self {
            // As the cameras of synthetic scenes: on a sphere around the object.
            Self::Lattice | Self::Statue => CameraPath::orbit(centre, 1.33, 30.0, 0.69),
            Self::Cloud => CameraPath::orbit(centre, 1.2, 5.0, 0.8),
            // As a hand-held video: close, on part of a circle.
            Self::Room => CameraPath::arc(Vec3::new(0.5, 0.45, 0.5), 1.7, 8.0, 1.22, 0.8),
            // Cameras of the synthetic scenes stand on a sphere of radius 4.03.
            _ => CameraPath::orbit(centre, 4.03 * objects::SCALE, 30.0, 0.69),
        }
    }

    /// Softness of surfaces: half the width of the shell over which density rises.
    /// None in a cloud. The room is as soft as fields trained on few hand-held views are.
    pub const fn softness(self) -> Option<f32> {
        match self {
            Self::Lattice => Some(0.004),
            Self::Statue => Some(0.006),
            Self::Room => Some(0.03),
            Self::Cloud => None,
            _ => Some(objects::SOFTNESS),
        }
    }

    /// Optical density at a point, per unit length.
    pub fn density(self, at: Vec3) -> f32 {
        self.density_up_to(at, f32::INFINITY, &mut Noise::default())
    }

    /// The same, with what is known from the last point asked for; beyond `most` any density beyond it may be given.
    pub fn density_up_to(self, at: Vec3, most: f32, noise: &mut Noise) -> f32 {
        match (self.distance(at), self.softness()) {
            (Some(distance), Some(softness)) => self.shell(distance, softness).max(self.faint(at)),
            _ => cloud(at.into(), most, noise),
        }
    }

    /// Density at a distance from a surface.
    fn shell(self, distance: f32, softness: f32) -> f32 {
        let t = (0.5 - distance / (2.0 * softness)).clamp(0.0, 1.0);
        self.densest() * t * t * (3.0 - 2.0 * t)
    }

    /// Density at a point, and how far around it there is no surface, so that only [`Self::faint`] is left there.
    pub(super) fn density_around(self, at: Vec3, noise: &mut Noise) -> (f32, f32) {
        let (Some(distance), Some(softness)) = (self.distance(at), self.softness()) else {
            return (cloud(at.into(), f32::INFINITY, noise), 0.0);
        };
        let clear = (distance - softness - self.slack()) / STEEPEST;
        (self.shell(distance, softness).max(self.faint(at)), clear)
    }

    /// What a distance may be off by where it is no bound, and by rounding: the digger's outermost studs stand half a
    /// pitch from the next ones, and only those of a place's own cell are looked at.
    pub(super) const fn slack(self) -> f32 {
        match self {
            Self::Digger => ROUNDING + objects::STUD_PITCH / 2.0 * objects::SCALE,
            _ => ROUNDING,
        }
    }

    /// Density at a point without surfaces nearby.
    pub(super) fn faint(self, at: Vec3) -> f32 {
        if self == Self::Room { floaters(at) } else { 0.0 }
    }

    /// The same at four places of a scene without surfaces.
    pub(super) fn densities_up_to(
        self,
        at: Point<Vec4>,
        most: f32,
        noise: &mut Noise<Vec4>,
    ) -> Vec4 {
        match self {
            Self::Cloud => cloud(at, most, noise),
            _ => Number::each(at, |at| self.density(at)),
        }
    }

    /// Marks cells that hold something too faint to be a surface.
    pub(super) fn add_faint(self, grid: &mut Occupancy) {
        if self != Self::Room {
            return;
        }
        // Those that meet the scene's cube.
        let half = self.aabb_scale() as f32 / 2.0;
        let cell = |at: f32| libm::floorf(at / FLOATERS.pitch) as i32;
        let cells = cell(0.5 - half) - 1..cell(0.5 + half) + 2;
        for (x, y) in cells.clone().flat_map(|x| cells.clone().map(move |y| (x, y))) {
            for z in cells.clone() {
                let cell = Vec3::new(x as f32, y as f32, z as f32);
                let Some((centre, radius)) = FLOATERS.ball(cell) else { continue };
                for cascade in 0..grid.cascades() {
                    grid.fill_ball(cascade, centre, radius);
                }
            }
        }
    }

    /// Largest optical density there is, per unit length.
    pub const fn densest(self) -> f32 {
        match self {
            Self::Cloud | Self::Room => 40.0,
            Self::Lattice | Self::Statue => 400.0,
            _ => objects::DENSITY,
        }
    }

    /// Whether there is nothing in a ball, as far as can be told at once: a cloud ends with its ellipsoid.
    pub(super) fn clear(self, at: Vec3, radius: f32) -> bool {
        /// More than rounding takes away.
        const MARGIN: f32 = 1e-4;
        let steepest = 1.0 / CLOUD[0].min(CLOUD[1]).min(CLOUD[2]);
        self == Self::Cloud && cloud_depth::<f32>(at.into()) + radius * steepest < -MARGIN
    }

    /// Distance to the nearest surface, negative inside; none in a cloud.
    pub fn distance(self, at: Vec3) -> Option<f32> {
        self.surface(at.into())
    }

    /// The same at four places.
    #[inline]
    pub fn distances(self, at: Point<Vec4>) -> Option<Vec4> {
        self.surface(at)
    }

    #[inline]
    fn surface<N: Number>(self, at: Point<N>) -> Option<N> {
        match self {
            Self::Lattice => Some(lattice(at)),
            Self::Statue => Some(statue(at)),
            Self::Room => Some(room(at)),
            Self::Cloud => None,
            object => Some(objects::distance(object, at)),
        }
    }
}

/// More than a distance changes by over a way of length one, and more than rounding adds.
pub(super) const STEEPEST: f32 = 1.1;
const ROUNDING: f32 = 1e-4;

fn ball<N: Number>(at: Point<N>, centre: [f32; 3], radius: f32) -> N {
    at.from(centre).length() - radius
}

fn block<N: Number>(at: Point<N>, centre: [f32; 3], half: [f32; 3]) -> N {
    beyond(at.from(centre).map(N::abs).from(half))
}

fn upright<N: Number>(at: Point<N>, x: f32, z: f32, radius: f32) -> N {
    length(at.x - x, at.z - z) - radius
}

fn ring<N: Number>(at: Point<N>, centre: [f32; 3], radius: f32, thickness: f32) -> N {
    let d = at.from(centre);
    length(length(d.x, d.z) - radius, d.y) - thickness
}

/// Rods every eighth of the cube, rings around its axis.
fn lattice<N: Number>(at: Point<N>) -> N {
    const PITCH: f32 = 0.125;
    let f = at.map(|x| (x / PITCH - (x / PITCH).floor() - 0.5).abs() * PITCH);
    let inside = block(at, [0.5; 3], [0.32, 0.3, 0.32]);
    // The nearest of several of a kind has the smallest square.
    let (x2, y2, z2) = (f.x * f.x, f.y * f.y, f.z * f.z);
    let rods = (x2 + y2).min(y2 + z2).min(x2 + z2).sqrt() - 0.006;
    let around = length(at.x - 0.5, at.z - 0.5) - 0.42;
    let rings = (0..3).fold(N::of(f32::INFINITY), |nearest, i| {
        let y = at.y - (0.3 + 0.2 * i as f32);
        nearest.min(around * around + y * y)
    });
    rods.max(inside).min(rings.sqrt() - 0.008)
}

/// A figure of balls with a rough skin on a plinth.
fn statue<N: Number>(at: Point<N>) -> N {
    let bumps =
        (at.x * 60.0).sine() * 0.006 * (at.y * 55.0 + 1.0).sine() * (at.z * 62.0 + 2.0).sine();
    let body = ball(at, [0.5, 0.45, 0.5], 0.19);
    let head = ball(at, [0.52, 0.68, 0.5], 0.1);
    let arm = ball(at, [0.68, 0.5, 0.55], 0.08);
    let figure = body.min(head).min(arm) + bumps;
    let plinth = block(at, [0.5, 0.2, 0.5], [0.24, 0.08, 0.24]);
    // The field shrinks where bumps are steep; a smaller step keeps it a bound.
    figure.min(plinth) * 0.8
}

/// Floor, walls with windows, columns, a table with things on it; ground and far hills outside.
fn room<N: Number>(at: Point<N>) -> N {
    let floor = at.y - 0.05;
    let outer = block(at, [0.5, 0.9, 0.5], [2.0, 0.95, 2.0]);
    let inner = block(at, [0.5, 0.9, 0.5], [1.9, 0.9, 1.9]);
    let window = block(at, [0.5, 0.9, 0.5], [2.2, 0.4, 0.7]);
    let walls = outer.max(-inner).max(-window);
    let mut d = floor.min(walls);
    // None in the corner from which the cameras look.
    for (x, z) in [(-0.9, -0.9), (1.9, -0.9), (-0.9, 1.9)] {
        d = d.min(upright(at, x, z, 0.1).max(at.y - 1.8));
    }
    let table = block(at, [0.5, 0.28, 0.5], [0.28, 0.015, 0.2]);
    let folded = Point { x: (at.x - 0.5).abs(), y: at.y, z: (at.z - 0.5).abs() };
    let legs = block(folded, [0.25, 0.16, 0.17], [0.015, 0.12, 0.015]);
    let things = ball(at, [0.42, 0.39, 0.5], 0.1)
        .min(ball(at, [0.62, 0.36, 0.46], 0.06))
        .min(ring(at, [0.6, 0.33, 0.6], 0.06, 0.02));
    // A ridge far outside, seen through the windows.
    let ridge = length(at.y + 0.2, at.z - 2.6) - 0.7;
    d.min(table).min(legs).min(things).min(ridge)
}

/// Faint balls in mid-air, as the occupancy of fields trained on few views is full of them wherever no
/// two views cross: some cells of a lattice hold one each.
#[derive(Debug, Clone, Copy)]
struct Floaters {
    /// Distance between the cells.
    pitch: f32,
    /// Share of the cells that hold one.
    share: f32,
    /// Smallest radius, in cells, and how much larger some are.
    radius: (f32, f32),
    /// Density in the middle, per unit length.
    density: f32,
}

/// What stands behind the table, seen from the cameras.
const FLOATERS: Floaters =
    Floaters { pitch: 1.0 / 14.0, share: 0.5, radius: (0.28, 0.15), density: 12.0 };
/// Towards the middle of the cameras' path. What lies on their side of the table has been seen through from all of
/// them and is free.
const TOWARDS_CAMERAS: Vec3 = Vec3::new(0.56, 0.14, 0.82);
/// Where it begins to be free, from the middle of the scene.
const SEEN_THROUGH: f32 = 0.3;

impl Floaters {
    /// Middle and radius of the one in a cell, if any.
    fn ball(self, cell: Vec3) -> Option<(Vec3, f32)> {
        let [a, b, c] = [cell.x, cell.y, cell.z].map(|v| (v as i64 + 4096) as u64);
        let seed = crate::samples::mix(a | b << 16 | c << 32);
        let random = |shift: u32| (seed >> shift & 0xff) as f32 / 255.0;
        let towards = (cell * self.pitch - 0.5).dot(TOWARDS_CAMERAS);
        if random(32) > self.share || towards > SEEN_THROUGH {
            return None;
        }
        let radius = self.pitch * (self.radius.0 + self.radius.1 * random(0));
        let free = self.pitch - 2.0 * radius;
        let place = Vec3::new(random(8), random(16), random(24));
        Some((cell * self.pitch + radius + free * place, radius))
    }
}

/// Density of floaters at a point.
fn floaters(at: Vec3) -> f32 {
    let at_cells = at / FLOATERS.pitch;
    let cells: Point<f32> = at_cells.into();
    let cell = cells.map(Number::floor).lane(0);
    FLOATERS.ball(cell).map_or(0.0, |(centre, radius)| {
        let t = 1.0 - (at - centre).length_squared() / (radius * radius);
        FLOATERS.density * t.clamp(0.0, 1.0)
    })
}

/// Half axes of the cloud's ellipsoid.
const CLOUD: [f32; 3] = [0.46, 0.3, 0.4];

/// How deep a place lies in the cloud's ellipsoid: one in its middle, zero on its surface.
#[inline]
fn cloud_depth<N: Number>(at: Point<N>) -> N {
    let d = at.from([0.5; 3]);
    -Point { x: d.x / CLOUD[0], y: d.y / CLOUD[1], z: d.z / CLOUD[2] }.length() + 1.0
}

/// An ellipsoid of fractal noise. Beyond `most` the density need not be exact, but stays beyond.
fn cloud<N: Number>(at: Point<N>, most: f32, noise: &mut Noise<N>) -> N {
    let shape = cloud_depth(at);
    let enough = (most / Analytic::Cloud.densest()).min(1.0);
    let filling = |noise: N| (noise - 0.5) * 3.0 + shape * 1.5;
    let (mut sum, mut amplitude, mut frequency) = (N::of(0.0), 0.5, 6.0);
    for octave in 0..OCTAVES {
        // What is still to come is less than twice this octave can be; nothing of it may matter. It is never negative.
        let (least, most) = (filling(sum), filling(sum + 2.0 * amplitude));
        let open = (-least + enough).min(most).min(shape);
        if open.largest() <= 0.0 {
            break;
        }
        sum = sum + noise.value(at.map(|v| v * frequency), octave) * amplitude;
        amplitude *= 0.5;
        frequency *= 2.1;
    }
    let density = filling(sum).max(N::of(0.0)).min(N::of(1.0)) * Analytic::Cloud.densest();
    density.where_positive(shape)
}

/// Octaves of a cloud's noise.
const OCTAVES: usize = 4;

/// Values at whole coordinates, smoothly in between. Those at the corners of the cell that was asked for last are kept
/// for each octave, as the next point mostly lies in the same.
#[derive(Debug, Clone, Copy)]
pub struct Noise<N = f32> {
    cells: [Point<N>; OCTAVES],
    corners: [[N; 8]; OCTAVES],
}

impl<N: Number> Default for Noise<N> {
    fn default() -> Self {
        Self { cells: [Point::of([f32::MAX; 3]); OCTAVES], corners: [[N::of(0.0); 8]; OCTAVES] }
    }
}

impl<N: Number> Noise<N> {
    fn value(&mut self, at: Point<N>, octave: usize) -> N {
        let floors = at.map(N::floor);
        let t = Point { x: at.x - floors.x, y: at.y - floors.y, z: at.z - floors.z };
        let t = t.map(|t| t * t * (-(t * 2.0) + 3.0));
        let cells = std::mem::replace(&mut self.cells[octave], floors);
        if cells != floors {
            for lane in (0..N::LANES).filter(|lane| cells.lane(*lane) != floors.lane(*lane)) {
                let own = floors.lane(lane);
                // Neighbours mostly lie in one cell.
                if lane > 0 && floors.lane(lane - 1) == own {
                    for corner in &mut self.corners[octave] {
                        corner.set(lane, corner.lane(lane - 1));
                    }
                    continue;
                }
                let values = corners([own.x as i32, own.y as i32, own.z as i32], octave as u64);
                for (corner, value) in self.corners[octave].iter_mut().zip(values) {
                    corner.set(lane, value);
                }
            }
        }
        let v = &self.corners[octave];
        let mix = |a: N, b: N, t: N| a + (b - a) * t;
        let near = mix(mix(v[0], v[1], t.x), mix(v[2], v[3], t.x), t.y);
        let far = mix(mix(v[4], v[5], t.x), mix(v[6], v[7], t.x), t.y);
        mix(near, far, t.z)
    }
}

/// Values in [0, 1) at a cell's corners, x first.
fn corners(cell: [i32; 3], salt: u64) -> [f32; 8] {
    let mut values = [0.0; 8];
    for (i, value) in values.iter_mut().enumerate() {
        let at = |axis: usize| (i64::from(cell[axis]) + (i >> axis & 1) as i64 + 4096) as u64;
        let (a, b, c) = (at(0), at(1), at(2));
        let drawn = crate::samples::mix(a | b << 16 | c << 32 | salt << 48);
        *value = (drawn >> 40) as f32 / 16_777_216.0;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Scene;

    /// The scenes differ in what they are shipped for.
    #[test]
    fn occupancies_differ() {
        let share = |name: &str| Scene::shipped(name).unwrap().occupancy().full_share(0);
        let (lattice, statue, cloud) = (share("lattice"), share("statue"), share("cloud"));
        assert!((0.01..0.12).contains(&lattice), "{lattice}");
        assert!((0.02..0.15).contains(&statue), "{statue}");
        assert!((0.05..0.5).contains(&cloud), "{cloud}");
    }

    /// What is kept from point to point changes nothing; up to a bound is as exact as told.
    #[test]
    fn noise_that_is_kept_changes_no_density() {
        let (mut all, mut some) = (Noise::default(), Noise::default());
        let bound = 0.01;
        let (mut beyond, mut below) = (0, 0);
        for i in 0..20_000 {
            let from = Vec3::from(crate::samples::scattered(i / 20));
            let at = from + Vec3::new(0.003, 0.001, 0.0) * (i % 20) as f32;
            let exact = Analytic::Cloud.density(at);
            assert_eq!(Analytic::Cloud.density_up_to(at, f32::INFINITY, &mut all), exact);
            let rough = Analytic::Cloud.density_up_to(at, bound, &mut some);
            assert!(rough == exact || rough.min(exact) >= bound * 0.99, "{at} {rough} {exact}");
            beyond += i32::from(rough != exact);
            below += i32::from(exact < bound);
        }
        assert!(beyond > 1000 && below > 1000, "{beyond} {below}");
    }

    /// Within the distance that is told there is no surface, and the density is what it is.
    #[test]
    fn what_is_clear_holds_no_surface() {
        for scene in Analytic::ALL {
            let (mut noise, mut told) = (Noise::default(), 0);
            for i in 0..20_000 {
                let [a, b] = [0, 1].map(|k| Vec3::from(crate::samples::scattered(2 * i + k)));
                let (density, clear) = scene.density_around(a, &mut noise);
                assert_eq!(density, scene.density(a), "{scene:?} {a}");
                if clear > 0.0 {
                    let at = a + (b - 0.5).normalize_or(Vec3::X) * clear;
                    assert_eq!(scene.density(at), scene.faint(at), "{scene:?} {a} {at}");
                    told += 1;
                }
            }
            assert_eq!(told > 1000, scene != Analytic::Cloud, "{scene:?} {told}");
        }
    }

    /// Distances beside the digger's outermost studs, which only places right around them know of, are told as less.
    #[test]
    fn outermost_studs_are_not_overlooked() {
        let mut told = 0;
        for i in 0..20_000 {
            let [x, y, z] = crate::samples::scattered(i);
            let place = Vec3::new(x * 2.0 - 1.0, 0.15 * y - 0.38, 0.54 - 0.12 * z);
            let at = place * objects::SCALE + 0.5;
            let clear = Analytic::Digger.density_around(at, &mut Noise::default()).1;
            if clear > 0.0 {
                assert_eq!(Analytic::Digger.density(at + Vec3::Z * clear), 0.0, "{place}");
                told += 1;
            }
        }
        assert!(told > 1000, "{told}");
    }

    /// Sphere tracing needs a bound: no field may grow faster than the distance walked.
    #[test]
    fn distances_are_bounds() {
        for scene in Analytic::ALL.into_iter().filter(|scene| *scene != Analytic::Cloud) {
            for i in 0..20_000 {
                let [a, b] = [0, 1].map(|k| Vec3::from(crate::samples::scattered(2 * i + k)));
                let b = a + (b - 0.5) * 0.1;
                let change = (scene.distance(a).unwrap() - scene.distance(b).unwrap()).abs();
                assert!(change <= a.distance(b) * 1.05 + 1e-5, "{scene:?} {a} {b}");
            }
        }
    }
}
