//! Sample counts as distributions, and counts that users measured themselves.

use serde::Serialize;

use crate::scene::SceneError;
use crate::scene::npy::Array;

/// Counts over rays.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Distribution {
    /// Mean.
    pub mean: f64,
    /// Median.
    pub median: f64,
    /// 90th percentile.
    pub p90: f64,
    /// Largest.
    pub largest: f64,
}

impl Distribution {
    /// Of a list of counts, which is sorted on the way.
    pub fn of(counts: &mut [u32]) -> Self {
        counts.sort_unstable();
        let Some(last) = counts.last() else { return Self::default() };
        let at = |share: f64| f64::from(counts[((counts.len() - 1) as f64 * share) as usize]);
        let sum: u64 = counts.iter().map(|count| u64::from(*count)).sum();
        Self {
            mean: sum as f64 / counts.len() as f64,
            median: at(0.5),
            p90: at(0.9),
            largest: f64::from(*last),
        }
    }
}

/// Samples of a pixel at most: four times the steps along the diagonal of a unit cube.
const MOST: f64 = 4096.0;

/// Samples per pixel that a user measured: an image of counts.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleCounts {
    /// Rows of the image.
    pub height: u32,
    /// Pixels in a row.
    pub width: u32,
    /// Counts, row by row.
    pub counts: Vec<u32>,
}

impl SampleCounts {
    /// Reads `.npy` bytes: a two-dimensional array of counts.
    ///
    /// # Errors
    /// When they are no such array.
    pub fn from_npy(bytes: &[u8]) -> Result<Self, SceneError> {
        let array = Array::read(bytes)?;
        let [height, width] = array.shape[..] else {
            return Err(SceneError::new(
                0,
                format!("sample counts have the shape {:?}", array.shape),
                "give one count per pixel: (height, width)",
            ));
        };
        if let Some(count) = array.values.iter().find(|count| !(0.0..=MOST).contains(*count)) {
            return Err(SceneError::new(
                0,
                format!("a sample count is {count}; they must lie between 0 and {MOST}"),
                "check that the array holds samples per pixel",
            ));
        }
        if let Some(count) = array.values.iter().find(|count| count.fract() != 0.0) {
            return Err(SceneError::new(
                0,
                format!("a sample count is {count}, which is no whole number"),
                "give how many samples each pixel took; round means first",
            ));
        }
        if array.values.iter().all(|count| *count == 0.0) {
            return Err(SceneError::new(0, "all sample counts are zero", "nothing to render"));
        }
        Ok(Self {
            height: height as u32,
            width: width as u32,
            counts: array.values.iter().map(|count| *count as u32).collect(),
        })
    }

    /// The count of a pixel of an image of another size.
    pub fn at(&self, column: u32, row: u32, width: u32, height: u32) -> u32 {
        let x = u64::from(column) * u64::from(self.width) / u64::from(width.max(1));
        let y = u64::from(row) * u64::from(self.height) / u64::from(height.max(1));
        let index = y * u64::from(self.width) + x;
        self.counts.get(index as usize).copied().unwrap_or_default()
    }
}

/// Something that differs from ray to ray, as a launch with one thread a ray feels it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Mean over all rays.
    pub mean: f64,
    /// The most of a warp's rays over the mean: lanes wait for each other.
    pub divergence: f64,
    /// The most of all rays over the mean: the launch waits for that one.
    pub longest: f64,
}

impl Default for Spread {
    fn default() -> Self {
        Self { mean: 0.0, divergence: 1.0, longest: 1.0 }
    }
}

impl Spread {
    /// From what each ray does, in launch order.
    pub fn of(lengths: &[u32]) -> Self {
        let sum: u64 = lengths.iter().map(|length| u64::from(*length)).sum();
        if sum == 0 {
            return Self::default();
        }
        let most = |rays: &[u32]| u64::from(rays.iter().copied().max().unwrap_or(0));
        let by_warp: u64 = lengths.chunks(32).map(|warp| most(warp) * warp.len() as u64).sum();
        let mean = sum as f64 / lengths.len() as f64;
        Self { mean, divergence: by_warp as f64 / sum as f64, longest: most(lengths) as f64 / mean }
    }
}

/// The ways of rays through empty cells.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Ways {
    /// Cells skipped.
    pub voxels: Spread,
    /// Smallest steps per skipped cell.
    pub fine_steps_per_voxel: f64,
}

impl Ways {
    /// From cells and smallest steps of each ray.
    pub fn of(voxels: &[u32], fine_steps: u64) -> Self {
        let all: u64 = voxels.iter().map(|count| u64::from(*count)).sum();
        Self {
            voxels: Spread::of(voxels),
            fine_steps_per_voxel: fine_steps as f64 / all.max(1) as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_of_known_counts() {
        let mut counts: Vec<u32> = (1..=100).collect();
        let d = Distribution::of(&mut counts);
        assert_eq!((d.mean, d.median, d.p90, d.largest), (50.5, 50.0, 90.0, 100.0));
    }
}
