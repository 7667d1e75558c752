//! Rays through scenes: which samples a frame needs, round after round, in launch order.
//!
//! A frame is walked as instant-ngp does it: all rays that are still alive take a few steps, the
//! network answers for all of them at once, and the gaps that ended rays leave are closed before
//! the next round. Walking all pixels of an image would take longer than all of the simulation,
//! so bands of consecutive rows are walked and stand for the rest. Left out: several samples per
//! pixel, lens effects.

pub mod counts;
pub mod delta;
pub mod nerf;
pub mod sphere;

use std::sync::Arc;

use glam::Vec3;

use crate::samples::{SampleSet, Window};
use crate::scene::{Camera, Scene, SceneError};

pub use counts::{Distribution, SampleCounts};
pub use delta::DeltaTracking;
pub use nerf::RayMarching;
pub use sphere::SphereTracing;

/// An image to be rendered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// From where.
    pub camera: Camera,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// How rounds are formed, and how many rays are walked to find out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rounds {
    /// Queries that a round aims at.
    pub target: f64,
    /// Most steps of a ray in a round.
    pub most_steps: u32,
    /// Launches are padded to multiples of this.
    pub granularity: u64,
    /// Rays walked at most.
    pub walked: u32,
    /// Bands of rows they come from.
    pub bands: u32,
}

impl Default for Rounds {
    fn default() -> Self {
        Self { target: 2_097_152.0, most_steps: 8, granularity: 256, walked: 1 << 16, bands: 2 }
    }
}

/// A ray under way.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ray {
    /// Start.
    pub origin: Vec3,
    /// Unit direction.
    pub direction: Vec3,
    /// Distance walked.
    pub t: f32,
    /// Where it leaves the scene.
    pub end: f32,
    /// Share of light that still gets through (or other state of the walk).
    pub transmittance: f32,
    /// State of its random numbers.
    pub seed: u64,
    /// Queries so far.
    pub queries: u32,
    /// Empty cells skipped so far.
    pub voxels: u32,
    /// Smallest steps taken to skip them.
    pub fine_steps: u32,
    /// Its pixel among those that are walked.
    pub slot: u32,
    /// The last point asked about.
    pub last: Vec3,
}

impl Ray {
    /// The point that has been reached.
    pub fn point(&self) -> Vec3 {
        self.origin + self.direction * self.t
    }
}

/// What happens to a ray between two queries of the network.
pub trait Walker {
    /// Puts a ray at its first possible query; false if it misses.
    fn start(&self, ray: &mut Ray) -> bool;

    /// Moves on to the next query, if there is one.
    fn query(&self, ray: &mut Ray) -> Option<Vec3>;

    /// Takes the answer (from the scene); false if the ray has ended.
    fn answer(&self, ray: &mut Ray, at: Vec3) -> bool;

    /// Whether an ended ray found what it looked for.
    fn found(&self, ray: &Ray) -> bool;
}

/// One round of a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Round {
    /// Rays that take part.
    pub alive: f64,
    /// Steps each of them may take.
    pub steps: u32,
    /// Slots of the launch: rays × steps, padded.
    pub elements: u64,
    /// Slots that hold a query.
    pub used: f64,
    /// Empty cells that a ray skips in this round.
    pub voxels_per_ray: f64,
    /// The longest such way of a warp over the mean: lanes wait for each other.
    pub divergence: f64,
    /// Smallest steps per skipped cell.
    pub fine_steps_per_voxel: f64,
    /// Samples in launch order.
    pub samples: Arc<SampleSet>,
}

/// A whole frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Walk {
    /// Pixels.
    pub rays: f64,
    /// Those that meet anything they could ask about.
    pub started: f64,
    /// Those that found what they looked for.
    pub found: f64,
    /// Cells skipped before the first query, per ray.
    pub first_voxels_per_ray: f64,
    /// Smallest steps per such cell.
    pub first_fine_steps_per_voxel: f64,
    /// The longest such way of a warp over the mean.
    pub first_divergence: f64,
    /// Rounds.
    pub rounds: Vec<Round>,
    /// Queries per pixel.
    pub per_ray: Distribution,
    /// The most queries of 32 neighbouring pixels over their mean, averaged over the image: what
    /// a warp that keeps its rays waits for.
    pub divergence: f64,
    /// Where rays that found something ended, in launch order.
    pub hits: Arc<SampleSet>,
}

impl Walk {
    /// Queries that the network answers, unused slots left out.
    pub fn queries(&self) -> f64 {
        self.rounds.iter().map(|round| round.used).sum()
    }

    /// Slots of all launches.
    pub fn elements(&self) -> f64 {
        self.rounds.iter().map(|round| round.elements as f64).sum()
    }
}

/// Rounds at most, as in the reference.
const MOST_ROUNDS: usize = 10_000;
/// Lanes of a warp.
const WARP: usize = 32;

/// Walks a view.
///
/// # Errors
/// When the camera stands in matter.
pub fn walk(
    scene: &Scene,
    view: &View,
    walker: &impl Walker,
    rounds: &Rounds,
) -> Result<Walk, SceneError> {
    let density = scene.density(view.camera.origin);
    if density * crate::scene::occupancy::SMALLEST_STEP > 0.5 {
        let [x, y, z] = view.camera.origin.to_array();
        return Err(SceneError::new(
            0,
            format!("the camera at ({x:.2}, {y:.2}, {z:.2}) stands inside of matter"),
            "move it out of walls and objects, or choose another share of the path",
        ));
    }
    let mut bands = start_bands(view, rounds);
    for (slot, ray) in bands.iter_mut().flatten().enumerate() {
        ray.slot = slot as u32;
    }
    let pixels = f64::from(view.width) * f64::from(view.height);
    let walked: usize = bands.iter().map(Vec::len).sum();
    let factor = pixels / walked.max(1) as f64;
    let mut first = WarpWays::default();
    for (number, band) in bands.iter_mut().enumerate() {
        let start = |ray: &mut Ray| {
            let started = walker.start(ray);
            first.add(ray.voxels, ray.fine_steps);
            started
        };
        let alive: Vec<bool> = band.iter_mut().map(start).collect();
        compact(band, &alive, number as u64);
    }
    let started: usize = bands.iter().map(Vec::len).sum();
    let mut result = Walk {
        rays: pixels,
        started: started as f64 * factor,
        found: 0.0,
        first_voxels_per_ray: first.mean(),
        first_fine_steps_per_voxel: first.fine_per_voxel(),
        first_divergence: first.divergence(),
        rounds: Vec::new(),
        per_ray: Distribution::default(),
        divergence: 1.0,
        hits: Arc::default(),
    };
    let mut per_ray = vec![0_u32; walked];
    let mut hits: Vec<Window> = vec![Window::default(); bands.len()];
    while result.rounds.len() < MOST_ROUNDS {
        let alive: usize = bands.iter().map(Vec::len).sum();
        if alive == 0 {
            break;
        }
        let seed = (result.rounds.len() as u64 + 1) << 16;
        let round = one_round(scene, walker, rounds, (factor, seed), &mut bands, |band, ray| {
            per_ray[ray.slot as usize] = ray.queries;
            if walker.found(ray) {
                hits[band].positions.push(scene.to_unit(ray.last));
                hits[band].stands_for += factor;
                result.found += factor;
            }
        });
        result.rounds.push(round);
    }
    let (longest, sum) = per_ray.chunks(WARP).fold((0_u64, 0_u64), |(longest, sum), warp| {
        let most = u64::from(warp.iter().copied().max().unwrap_or(0));
        let all: u64 = warp.iter().map(|count| u64::from(*count)).sum();
        (longest + most * warp.len() as u64, sum + all)
    });
    result.divergence = if sum > 0 { longest as f64 / sum as f64 } else { 1.0 };
    result.per_ray = Distribution::of(&mut per_ray);
    hits.retain(|window| !window.positions.is_empty());
    result.hits = Arc::new(SampleSet { windows: hits });
    Ok(result)
}

/// Bands of whole rows, evenly spread over the image.
fn start_bands(view: &View, rounds: &Rounds) -> Vec<Vec<Ray>> {
    let (width, height) = (view.width.max(1), view.height.max(1));
    let rows = (rounds.walked / width).clamp(1, height);
    let bands = rounds.bands.clamp(1, rows);
    let per_band = rows / bands;
    (0..bands)
        .map(|band| {
            let slot = f64::from(height) / f64::from(bands);
            let first = (slot * f64::from(band) + (slot - f64::from(per_band)) / 2.0) as u32;
            let pixel = move |row: u32| (0..width).map(move |column| (row, column));
            (first..(first + per_band).min(height))
                .flat_map(pixel)
                .map(|(row, column)| {
                    let at = [column as f32 + 0.5, row as f32 + 0.5];
                    Ray {
                        origin: view.camera.origin,
                        direction: view.camera.direction(at, width, height),
                        transmittance: 1.0,
                        seed: u64::from(row) * u64::from(width) + u64::from(column),
                        ..Ray::default()
                    }
                })
                .collect()
        })
        .collect()
}

fn one_round(
    scene: &Scene,
    walker: &impl Walker,
    rounds: &Rounds,
    (factor, seed): (f64, u64),
    bands: &mut [Vec<Ray>],
    mut ended: impl FnMut(usize, &Ray),
) -> Round {
    let walked: usize = bands.iter().map(Vec::len).sum();
    let alive = walked as f64 * factor;
    let steps = ((rounds.target / alive) as u32).clamp(1, rounds.most_steps.max(1));
    let padded = (alive * f64::from(steps) / rounds.granularity as f64).ceil();
    let elements = (padded as u64).max(1) * rounds.granularity;
    let mut windows = Vec::with_capacity(bands.len());
    let mut ways = WarpWays::default();
    let mut used = 0_u64;
    for (number, band) in bands.iter_mut().enumerate() {
        if band.is_empty() {
            continue;
        }
        let width = band.len();
        let mut positions = vec![[0.0; 3]; width * steps as usize];
        let mut going_on = Vec::with_capacity(width);
        for (at, ray) in band.iter_mut().enumerate() {
            let (voxels, fine) = (ray.voxels, ray.fine_steps);
            let mut alive = true;
            for step in 0..steps as usize {
                let query = if alive { walker.query(ray) } else { None };
                if let Some(point) = query {
                    ray.queries += 1;
                    ray.last = point;
                    used += 1;
                    alive = walker.answer(ray, point);
                } else {
                    alive = false;
                }
                // Slots of ended rays keep what they held.
                positions[step * width + at] = scene.to_unit(ray.last);
            }
            ways.add(ray.voxels - voxels, ray.fine_steps - fine);
            if !alive {
                ended(number, ray);
            }
            going_on.push(alive);
        }
        compact(band, &going_on, seed + number as u64);
        // Steps lie one after another in the launch, each with all rays.
        for step in positions.chunks(width) {
            let stands_for = width as f64 / (walked as f64 * f64::from(steps)) * elements as f64;
            windows.push(Window { positions: step.to_vec(), stands_for });
        }
    }
    Round {
        alive,
        steps,
        elements,
        used: used as f64 * factor,
        voxels_per_ray: ways.mean(),
        divergence: ways.divergence(),
        fine_steps_per_voxel: ways.fine_per_voxel(),
        samples: Arc::new(SampleSet { windows }),
    }
}

/// Closes the gaps of ended rays. The survivors of a warp stay together, as they take their places
/// with one atomic operation; warps take theirs in whatever order they get there. Over the rounds
/// this scatters rays that started side by side, since each warp is filled from several.
fn compact(band: &mut Vec<Ray>, alive: &[bool], seed: u64) {
    let mut order: Vec<(u64, usize)> = (0..band.len().div_ceil(WARP))
        .map(|warp| (crate::samples::mix(seed << 32 | warp as u64), warp))
        .collect();
    order.sort_unstable();
    let mut places = Vec::with_capacity(band.len());
    for (_, warp) in order {
        let lanes = warp * WARP..((warp + 1) * WARP).min(band.len());
        places.extend(lanes.filter(|lane| alive.get(*lane) == Some(&true)).map(|lane| band[lane]));
    }
    *band = places;
}

/// Ways of the lanes of warps.
#[derive(Debug, Default)]
struct WarpWays {
    rays: u64,
    voxels: u64,
    fine: u64,
    lane: usize,
    longest: u32,
    sum_of_longest: u64,
    warps: u64,
}

impl WarpWays {
    fn add(&mut self, voxels: u32, fine: u32) {
        self.rays += 1;
        self.voxels += u64::from(voxels);
        self.fine += u64::from(fine);
        self.longest = self.longest.max(voxels);
        self.lane += 1;
        if self.lane == WARP {
            self.sum_of_longest += u64::from(self.longest);
            self.warps += 1;
            (self.lane, self.longest) = (0, 0);
        }
    }

    fn mean(&self) -> f64 {
        self.voxels as f64 / self.rays.max(1) as f64
    }

    fn fine_per_voxel(&self) -> f64 {
        self.fine as f64 / self.voxels.max(1) as f64
    }

    fn divergence(&self) -> f64 {
        let longest = self.sum_of_longest as f64 / self.warps.max(1) as f64;
        if self.mean() > 0.0 && self.warps > 0 { (longest / self.mean()).max(1.0) } else { 1.0 }
    }
}

/// Where a line enters and leaves a box, as distances along it; `None` if it misses.
fn cross(low: Vec3, high: Vec3, origin: Vec3, direction: Vec3) -> Option<(f32, f32)> {
    let inverse = direction.recip();
    let (a, b) = ((low - origin) * inverse, (high - origin) * inverse);
    let (near, far) = (a.min(b).max_element().max(0.0), a.max(b).min_element());
    (near < far).then_some((near, far))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(scene: &Scene, width: u32, height: u32) -> View {
        View { camera: scene.path.at(0.0).unwrap(), width, height }
    }

    fn nerf(name: &str, rounds: &Rounds) -> Walk {
        let scene = Scene::shipped(name).unwrap();
        let walker = RayMarching::new(&scene, 0.01);
        walk(&scene, &view(&scene, 320, 180), &walker, rounds).unwrap()
    }

    #[test]
    fn rounds_shrink_and_slots_hold_all_queries() {
        for name in Scene::names() {
            let walked = nerf(name, &Rounds::default());
            let queries: f64 = walked.queries();
            assert!(walked.rounds.windows(2).all(|w| w[1].alive <= w[0].alive), "{name}");
            assert!(queries <= walked.elements());
            assert!((walked.per_ray.mean * walked.rays / queries - 1.0).abs() < 1e-9, "{name}");
            assert!(walked.per_ray.mean > 0.5, "{name} {:?}", walked.per_ray);
        }
    }

    #[test]
    fn a_sample_of_rows_stands_for_the_image() {
        let whole = nerf("statue", &Rounds::default());
        let part = nerf("statue", &Rounds { walked: 320 * 45, bands: 9, ..Rounds::default() });
        let ratio = part.per_ray.mean / whole.per_ray.mean;
        assert!((ratio - 1.0).abs() < 0.1, "{ratio}");
    }

    #[test]
    fn a_camera_in_a_wall_is_refused() {
        let scene = Scene::shipped("statue").unwrap();
        let camera = Camera::look_at(Vec3::new(0.5, 0.45, 0.5), Vec3::new(0.9, 0.5, 0.5), 1.0);
        let view = View { camera, width: 32, height: 32 };
        let walker = RayMarching::new(&scene, 0.01);
        let error = walk(&scene, &view, &walker, &Rounds::default()).unwrap_err();
        assert!(error.what.contains("inside of matter"));
    }
}
