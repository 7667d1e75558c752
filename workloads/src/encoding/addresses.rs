//! What the warps of an encoding kernel ask of memory: one vector load per corner, with the
//! addresses of the real samples in launch order.

use std::sync::Arc;

use super::grid::{Grid, Level};
use crate::kernel::{Addresses, Place, Requests, Segment};
use crate::samples::Launched;

/// Threads of a warp.
const WARP: usize = 32;

/// The lookups of one level, or of several one after another.
#[derive(Debug)]
pub struct GridAddresses {
    grid: Grid,
    levels: Vec<Level>,
    samples: Arc<Launched>,
    /// Threads that work on one sample side by side (the backward pass has one per feature pair).
    threads_per_sample: usize,
}

impl GridAddresses {
    /// Lookups of levels for samples in launch order.
    pub fn new(
        grid: &Grid,
        levels: Vec<Level>,
        samples: Arc<Launched>,
        threads_per_sample: usize,
    ) -> Self {
        let threads_per_sample = threads_per_sample.clamp(1, WARP);
        Self { grid: grid.clone(), levels, samples, threads_per_sample }
    }

    const fn samples_per_warp(&self) -> usize {
        WARP / self.threads_per_sample
    }
}

impl Addresses for GridAddresses {
    fn segments(&self) -> Vec<Segment> {
        let per_warp = self.samples_per_warp();
        let segment = |window: &crate::samples::Window| Segment {
            groups: window.positions.len().div_ceil(per_warp) as u64,
            stands_for: window.stands_for / per_warp as f64,
        };
        self.samples.set().windows.iter().map(segment).collect()
    }

    fn group(&self, segment: usize, index: u64, out: &mut Requests) {
        let per_warp = self.samples_per_warp();
        let Some(window) = self.samples.set().windows.get(segment) else { return };
        let start = index as usize * per_warp;
        let end = (start + per_warp).min(window.positions.len());
        let Some(positions) = window.positions.get(start..end) else { return };
        let corners = self.grid.corners();
        out.resize(corners * self.levels.len(), positions.len());
        let entry_bytes = self.grid.entry_bytes();
        for (number, level) in self.levels.iter().enumerate() {
            let base = level.first_entry * entry_bytes;
            for (lane, position) in positions.iter().enumerate() {
                let entries = self.grid.entries_of(level, *position);
                for (corner, entry) in entries[..corners].iter().enumerate() {
                    let address = base + u64::from(*entry) * entry_bytes;
                    out.set(number * corners + corner, lane, address);
                }
            }
        }
    }

    fn requests_per_group(&self) -> f64 {
        (self.grid.corners() * self.levels.len()) as f64
    }

    fn span_bytes(&self) -> u64 {
        let entries: u64 = self.levels.iter().map(|level| u64::from(level.entries)).sum();
        entries * self.grid.entry_bytes()
    }

    /// A launch walks all tables.
    fn reuse_bytes(&self) -> u64 {
        self.grid.table_bytes()
    }

    fn access_bytes(&self) -> u64 {
        self.grid.entry_bytes() * WARP as u64 / self.threads_per_sample as u64
    }

    fn place(&self) -> Option<Place> {
        let Self { grid, levels, samples, threads_per_sample } = self;
        let place = samples.place()?;
        let name = format!("{place} {grid:?} {levels:?} {threads_per_sample}");
        Some(Place { name, samples: samples.count() })
    }

    fn resized(&self, samples: u64) -> Option<Box<dyn Addresses>> {
        self.samples.place()?;
        let samples = Arc::new(self.samples.resized(samples));
        let Self { grid, levels, threads_per_sample, .. } = self;
        Some(Box::new(Self::new(grid, levels.clone(), samples, *threads_per_sample)))
    }
}
