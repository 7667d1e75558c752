//! Samples in launch order: the positions that a kernel looks up, or parts of them.
//!
//! A launch of millions of samples is represented by a few windows of consecutive samples, each
//! standing for its share of the launch, because what caches do depends on neighbours in launch
//! order and not on the whole.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

/// Consecutive samples of a launch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Window {
    /// Positions in the unit cube.
    pub positions: Vec<[f32; 3]>,
    /// Samples of the launch that it stands for, itself included.
    pub stands_for: f64,
}

/// The samples of one launch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SampleSet {
    /// What is known of them.
    pub windows: Vec<Window>,
}

impl SampleSet {
    /// One window that is the whole launch.
    pub fn whole(positions: Vec<[f32; 3]>) -> Self {
        let stands_for = positions.len() as f64;
        Self { windows: vec![Window { positions, stands_for }] }
    }

    /// Samples of the launch.
    pub fn total(&self) -> f64 {
        self.windows.iter().map(|window| window.stands_for).sum()
    }

    /// Samples whose place is known.
    pub fn known(&self) -> usize {
        self.windows.iter().map(|window| window.positions.len()).sum()
    }

    /// The same windows standing for a launch of `total` samples. Where that is less than what they
    /// hold, samples are left out evenly: the few that are left of a launch come from all over it.
    #[must_use]
    pub fn rescaled(&self, total: f64) -> Self {
        let factor = total / self.total().max(1.0);
        let keep = (total / self.known().max(1) as f64).min(1.0);
        let windows = self.windows.iter().map(|window| {
            let all = window.positions.len();
            let kept = (libm::ceil(all as f64 * keep) as usize).min(all);
            Window {
                positions: (0..kept).map(|i| window.positions[i * all / kept.max(1)]).collect(),
                stands_for: window.stands_for * factor,
            }
        });
        Self { windows: windows.collect() }
    }
}

/// What can be written down of [`Positions`].
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Written {
    Scattered,
    Image { width: u64 },
}

impl From<Positions> for Written {
    fn from(positions: Positions) -> Self {
        match positions {
            Positions::Image { width } => Self::Image { width },
            // Millions of samples are not written into a trace line.
            Positions::Scattered | Positions::Known(_) => Self::Scattered,
        }
    }
}

impl From<Written> for Positions {
    fn from(written: Written) -> Self {
        match written {
            Written::Scattered => Self::Scattered,
            Written::Image { width } => Self::Image { width },
        }
    }
}

/// Where the samples of a lookup lie. Written to a file, real samples become scattered ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "Written", from = "Written")]
pub enum Positions {
    /// Spread over the unit cube without order, the least kind to caches.
    Scattered,
    /// Pixels of an image, row by row.
    Image {
        /// Pixels in a row.
        width: u64,
    },
    /// Real samples.
    Known(Arc<SampleSet>),
}

/// Samples of a window of [`Positions::Scattered`].
const SCATTERED_WINDOW: u64 = 1 << 17;

impl Positions {
    /// The samples of a launch of `count`.
    pub fn resolve(&self, count: u64) -> Arc<SampleSet> {
        match self {
            Self::Known(samples) => Arc::clone(samples),
            Self::Scattered => {
                let known = count.min(SCATTERED_WINDOW);
                let positions = (0..known).map(scattered).collect();
                Arc::new(SampleSet {
                    windows: vec![Window { positions, stands_for: count as f64 }],
                })
            }
            Self::Image { width } => {
                let width = (*width).max(1);
                let height = count.div_ceil(width);
                let known = count.min(SCATTERED_WINDOW);
                let first = (count - known) / 2;
                let side = width.max(height) as f32;
                let positions = (first..first + known)
                    .map(|i| {
                        [((i % width) as f32 + 0.5) / side, ((i / width) as f32 + 0.5) / side, 0.0]
                    })
                    .collect();
                Arc::new(SampleSet {
                    windows: vec![Window { positions, stands_for: count as f64 }],
                })
            }
        }
    }
}

/// The samples of a launch of so many, brought to that size when first asked for.
#[derive(Debug)]
pub struct Launched {
    positions: Positions,
    count: u64,
    set: OnceLock<Arc<SampleSet>>,
}

impl Launched {
    /// So many samples of these positions.
    pub fn new(positions: &Positions, count: u64) -> Self {
        Self { positions: positions.clone(), count, set: OnceLock::new() }
    }

    /// Samples of the launch.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Their places.
    pub fn set(&self) -> &SampleSet {
        self.set.get_or_init(|| {
            let known = self.positions.resolve(self.count);
            if (known.total() - self.count as f64).abs() < 0.5 {
                return known;
            }
            Arc::new(known.rescaled(self.count as f64))
        })
    }

    /// Where they lie, if launches of other sizes can be of the same place: the pixels of an image lie elsewhere when
    /// there are more. Known samples are told apart by where they are kept, so a name serves for as long as one
    /// of its place lives.
    pub fn place(&self) -> Option<String> {
        match &self.positions {
            Positions::Scattered => Some("scattered".to_owned()),
            Positions::Image { .. } => None,
            Positions::Known(samples) => Some(format!("{:p}", Arc::as_ptr(samples))),
        }
    }

    /// The same place at another size.
    #[must_use]
    pub fn resized(&self, count: u64) -> Self {
        Self::new(&self.positions, count)
    }
}

/// Point number `i` of an unordered, well-spread sequence in the unit cube.
pub fn scattered(i: u64) -> [f32; 3] {
    let coordinate =
        |salt: u64| (mix(i.wrapping_mul(3).wrapping_add(salt)) >> 40) as f32 / 16_777_216.0;
    [coordinate(1), coordinate(2), coordinate(3)]
}

/// A well-mixed bijection of 64-bit numbers (splitmix64), the source of all that looks random
/// here.
#[inline]
pub const fn mix(i: u64) -> u64 {
    let mut x = i.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_stand_for_the_launch() {
        let samples = Positions::Scattered.resolve(3 << 20);
        assert_eq!(samples.total(), f64::from(3 << 20));
        assert_eq!(samples.windows[0].positions.len(), 1 << 17);
        let small = samples.rescaled(1000.0);
        assert_eq!(small.total(), 1000.0);
        assert_eq!(small.windows[0].positions.len(), 1000);
    }
}
