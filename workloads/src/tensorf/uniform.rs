//! The authors' renderer: every ray takes the same steps, half a voxel long, from where it enters the
//! box; steps in occupied places get a density, and those with a weight that matters a colour. It
//! does not stop early. Left out: jitter, which only training uses.

use glam::Vec3;
use serde::Serialize;

use super::{Field, Image, LEAST_WEIGHT, Sight};
use crate::samples::{SampleSet, Window};

/// What a frame takes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct UniformCounts {
    /// Rays.
    pub rays: f64,
    /// Rays that meet an occupied place.
    pub hits: f64,
    /// Steps in all, most of them outside of the box or in empty places.
    pub steps: f64,
    /// Steps inside of the box: each asks whether its place is occupied.
    pub inside: f64,
    /// Steps that get a density.
    pub occupied: f64,
    /// Steps that get a colour.
    pub shaded: f64,
}

impl UniformCounts {
    fn times(self, factor: f64) -> Self {
        Self {
            rays: self.rays * factor,
            hits: self.hits * factor,
            steps: self.steps * factor,
            inside: self.inside * factor,
            occupied: self.occupied * factor,
            shaded: self.shaded * factor,
        }
    }
}

/// Places of one ray, and what is there.
#[derive(Default)]
struct Steps {
    at: Vec<Vec3>,
    alphas: Vec<f32>,
}

/// Steps of a ray that get a density together.
const TOGETHER: usize = 8;

/// Walks one ray; calls back for each occupied step with its place and weight. Below a transmittance of `least`
/// weights are taken for zero.
fn walk(
    field: &Field,
    sight: &Sight,
    (x, y): (u32, u32),
    least: f32,
    (counts, occupied): (&mut UniformCounts, &mut Steps),
    mut each: impl FnMut(Vec3, Vec3, f32),
) {
    let ray = sight.ray(x, y);
    let step = field.step();
    let steps = field.factors.steps_per_ray();
    counts.rays += 1.0;
    counts.steps += steps as f64;
    occupied.at.clear();
    for k in 0..steps as u32 {
        let distance = ray.sample(k, step);
        if distance >= ray.far {
            break;
        }
        counts.inside += 1.0;
        let at = ray.at(distance);
        if field.cubes.occupied_at(at) {
            occupied.at.push(at);
        }
    }
    let mut transmittance = 1.0_f32;
    for places in occupied.at.chunks(TOGETHER) {
        let hidden = transmittance < least;
        if !hidden {
            field.alphas(places, &mut occupied.alphas);
        }
        for (number, at) in places.iter().enumerate() {
            let alpha = if transmittance < least { 0.0 } else { occupied.alphas[number] };
            let weight = alpha * transmittance;
            transmittance *= 1.0 - alpha;
            counts.shaded += f64::from(u8::from(weight > LEAST_WEIGHT));
            each(*at, ray.direction, weight);
        }
    }
    counts.occupied += occupied.at.len() as f64;
    counts.hits += f64::from(u8::from(!occupied.at.is_empty()));
}

/// Renders an image.
pub fn render(field: &Field, sight: &Sight) -> (Image, UniformCounts) {
    let (width, height) = sight.size();
    let mut image = Image::white(width, height);
    let (mut counts, mut steps) = (UniformCounts::default(), Steps::default());
    for y in 0..height {
        for x in 0..width {
            let (mut colour, mut opaque) = (Vec3::ZERO, 0.0);
            walk(field, sight, (x, y), 0.0, (&mut counts, &mut steps), |at, direction, weight| {
                opaque += weight;
                if weight > LEAST_WEIGHT {
                    colour += weight * field.colour(at, direction);
                }
            });
            image.pixels[(y * width + x) as usize] = colour + Vec3::splat(1.0 - opaque);
        }
    }
    (image, counts)
}

/// Rows of an image that are walked for counts.
const COUNTED_ROWS: u32 = 16;
/// Samples of a window of addresses.
const WINDOW: usize = 1 << 15;

/// A frame's counts from some rows of the image, with places of occupied and of shaded samples (in
/// shares of the box) in the order of rays.
pub fn count(field: &Field, sight: &Sight) -> (UniformCounts, SampleSet, SampleSet) {
    let (width, height) = sight.size();
    let rows = COUNTED_ROWS.min(height);
    let (mut counts, mut steps) = (UniformCounts::default(), Steps::default());
    let (mut occupied, mut shaded) = (Vec::new(), Vec::new());
    for row in 0..rows {
        let y = (row * 2 + 1) * height / (rows * 2);
        for x in 0..width {
            walk(field, sight, (x, y), LEAST_WEIGHT, (&mut counts, &mut steps), |at, _, weight| {
                let at = field.factors.in_box(at).to_array();
                occupied.push(at);
                if weight > LEAST_WEIGHT {
                    shaded.push(at);
                }
            });
        }
    }
    let factor = f64::from(height) / f64::from(rows);
    let set = |mut places: Vec<[f32; 3]>| {
        let stands_for = places.len() as f64 * factor;
        // The middle of the image is where something is.
        let from = places.len().saturating_sub(WINDOW) / 2;
        places.drain(..from);
        places.truncate(WINDOW);
        SampleSet { windows: vec![Window { positions: places, stands_for }] }
    };
    (counts.times(factor), set(occupied), set(shaded))
}
