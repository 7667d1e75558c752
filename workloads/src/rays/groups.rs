//! Which rays of an image are walked: warps spread over it for counts, windows of neighbouring warps
//! for samples in launch order at several densities, and short runs at places all over it.

use super::{LEAST_WINDOW, Ray, Rounds, View, WARP};

/// Warps of pixels, `stride` warps apart.
pub(super) struct Group {
    pub stride: f64,
    /// Rays there were at first.
    pub walked: usize,
    pub rays: Vec<Ray>,
    /// What the slots of the launch hold: a buffer that all rounds write to.
    pub slots: Vec<[f32; 3]>,
}

impl Group {
    /// Rays of the image from the first to the last of them.
    pub fn stretch(&self) -> f64 {
        self.walked.max(1) as f64 * self.stride
    }

    /// Whether enough rays are left to be a window of a launch.
    pub fn is_window(&self) -> bool {
        self.rays.len() >= LEAST_WINDOW
    }
}

/// Distances between the warps of the groups that samples in launch order come from.
const STRIDES: [u32; 2] = [1, 64];
/// Parts of the image that each of them looks at.
const BANDS: u64 = 3;
/// The group that lies all over the image, for launches whose order is mixed all over it.
const OVERALL: usize = 1 + STRIDES.len() * BANDS as usize;
/// Groups that samples in launch order come from follow the first, which is for counts; then come
/// those of places.
pub(super) const FIRST_PLACE: usize = OVERALL + 1;

/// The groups that together are one density of windows, denser ones first.
pub(super) fn densities() -> impl Iterator<Item = std::ops::Range<usize>> {
    let bands = (1..OVERALL).step_by(BANDS as usize).map(|first| first..first + BANDS as usize);
    bands.chain(std::iter::once(OVERALL..FIRST_PLACE))
}
/// Places all over the image, and warps at each of them.
const PLACES: u64 = 32;
const WARPS_OF_PLACE: u64 = 4;

/// The first group is spread over the image, the others lie around its middle.
pub(super) fn start_groups(view: &View, rounds: &Rounds) -> Vec<Group> {
    let (width, height) = (view.width.max(1), view.height.max(1));
    let pixels = u64::from(width) * u64::from(height);
    let warps = pixels.div_ceil(WARP as u64);
    let ray = |pixel: u64, slot: u32| {
        let (row, column) = ((pixel / u64::from(width)) as u32, (pixel % u64::from(width)) as u32);
        Ray {
            origin: view.camera.origin,
            direction: view.camera.direction(
                [column as f32 + 0.5, row as f32 + 0.5],
                width,
                height,
            ),
            transmittance: 1.0,
            seed: pixel,
            slot,
            ..Ray::default()
        }
    };
    let group = |count: u64, stride: f64, first: f64| {
        let mut rays = Vec::new();
        for number in 0..count {
            let warp = (first + number as f64 * stride) as u64;
            for pixel in (warp * WARP as u64..(warp + 1) * WARP as u64).filter(|p| *p < pixels) {
                rays.push(ray(pixel, rays.len() as u32));
            }
        }
        Group { stride, walked: rays.len(), rays, slots: Vec::new() }
    };
    let counting = u64::from(rounds.counted).div_ceil(WARP as u64).clamp(1, warps);
    let spread = warps as f64 / counting as f64;
    // Not a whole number of rows apart, or all would stand below each other.
    let mut groups = vec![group(counting, spread, spread / 2.0)];
    for stride in STRIDES {
        let wanted = u64::from(rounds.windowed).div_ceil(WARP as u64 * BANDS);
        let count = wanted.clamp(1, (warps / (BANDS * u64::from(stride))).max(1));
        for band in 0..BANDS {
            // In the middle of its third.
            let middle = (band as f64 + 0.5) / BANDS as f64 * warps as f64;
            let first = (middle - (count * u64::from(stride)) as f64 / 2.0).max(0.0);
            groups.push(group(count, f64::from(stride), first));
        }
    }
    let all = u64::from(rounds.windowed).div_ceil(WARP as u64).clamp(1, warps);
    let spread = warps as f64 / all as f64;
    groups.push(group(all, spread, spread / 2.0));
    for place in 0..PLACES {
        let middle = (place as f64 + 0.5) / PLACES as f64 * warps as f64;
        groups.push(group(WARPS_OF_PLACE.min(warps), 1.0, libm::floor(middle)));
    }
    groups
}
