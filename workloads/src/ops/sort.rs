//! Sorting and prefix sums, after CUB's kernels: a radix sort is a histogram and one
//! scatter pass per 8 bits of key; a scan reads and writes once with decoupled look-back.

use serde::{Deserialize, Serialize};

use super::{Candidate, Recorded, Streaming};
use crate::{KernelClass, Target};

/// Which kernel or kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SortKind {
    /// A whole radix sort.
    Sort,
    /// One scatter pass of a radix sort.
    Pass,
    /// Reading all keys once for the histogram.
    Histogram,
    /// A prefix sum or selection.
    Scan,
}

/// A sort or scan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SortScan {
    /// Which.
    pub kind: SortKind,
    /// Keys.
    pub elements: u64,
    /// Bytes per key.
    pub key_bytes: f64,
    /// Bytes per value carried along.
    #[serde(default)]
    pub value_bytes: f64,
    /// The launch, where recorded (single kernels only).
    #[serde(default)]
    pub recorded: Option<Recorded>,
}

impl SortScan {
    /// Bytes of all passes.
    pub fn compulsory_bytes(&self) -> f64 {
        let elements = self.elements as f64;
        let pair = self.key_bytes + self.value_bytes;
        match self.kind {
            SortKind::Sort => elements * (self.key_bytes + self.key_bytes * 2.0 * pair),
            SortKind::Pass | SortKind::Scan => elements * 2.0 * pair,
            SortKind::Histogram => elements * self.key_bytes,
        }
    }

    /// Keys and values, and the second buffer that passes alternate with.
    pub fn resident_bytes(&self) -> f64 {
        2.0 * self.elements as f64 * (self.key_bytes + self.value_bytes)
    }

    /// The kernels in launch order.
    pub fn candidate(&self, target: &Target) -> Candidate {
        let elements = self.elements as f64;
        let pair = (self.key_bytes + self.value_bytes) * elements;
        let pass = |read: f64, write: f64, int: f64, share: f64| Streaming {
            read_bytes: read,
            write_bytes: write,
            flops_per_element: 0.0,
            int_per_element: int,
            contiguous_share: share,
            recorded: self.recorded,
            ..Streaming::new(KernelClass::SortScan, elements)
        };
        let histogram = || pass(self.key_bytes * elements, 0.0, 12.0, 1.0).kernel(target);
        // Ranking a digit takes a few dozen integer instructions; the scatter writes runs that
        // are shorter than a line.
        let scatter = || pass(pair, pair, 40.0, 0.75).kernel(target);
        let kernels = match self.kind {
            SortKind::Histogram => vec![histogram()],
            SortKind::Pass => vec![scatter()],
            SortKind::Scan => vec![pass(pair, pair, 16.0, 1.0).kernel(target)],
            SortKind::Sort => {
                let passes = self.key_bytes.max(1.0) as usize;
                std::iter::once(histogram())
                    .chain(std::iter::repeat_with(scatter).take(passes))
                    .collect()
            }
        };
        Candidate { kernels }
    }
}
