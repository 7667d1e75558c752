//! Interpolated reads of planes, lines and volumes stored channel after channel, as PyTorch's
//! `grid_sample` launches them: one thread a sample, which goes through the channels and reads a few
//! places of each. Addresses are those of the real samples. Instructions are estimated from the
//! structure of that kernel (places, weights and tests of bounds once, then for each place of each
//! channel a read, a multiply-add and two of address arithmetic). Left out: gradients, padding modes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::counts::Work;
use crate::kernel::{Addresses, Demand, Direction, Pattern, Requests, Segment};
use crate::samples::{Positions, SampleSet};
use crate::{Kernel, KernelClass, Launch, Raster, Stage, Stream, Target};

/// Threads of a CTA.
const THREADS: u32 = 256;
/// Threads of a warp.
const WARP: usize = 32;
/// Bytes of a value; the authors compute in fp32.
const VALUE: u64 = 4;

/// A read of an array with one to three axes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlaneSample {
    /// Axes of the samples that the array has, fastest first.
    pub axes: Vec<usize>,
    /// Its places along each.
    pub size: Vec<u64>,
    /// Channels.
    pub channels: u32,
    /// Samples.
    pub samples: u64,
    /// Where they lie.
    pub positions: Positions,
}

/// Addresses of the places around samples.
#[derive(Debug)]
struct Places {
    of: PlaneSample,
    samples: Arc<SampleSet>,
}

impl PlaneSample {
    /// Places read for a channel of a sample.
    pub const fn taps(&self) -> usize {
        1 << self.axes.len()
    }

    fn places(&self) -> u64 {
        self.size.iter().product::<u64>().max(1)
    }

    /// A multiply-add for each place of each channel.
    pub fn flops(&self) -> f64 {
        2.0 * self.samples as f64 * f64::from(self.channels) * self.taps() as f64
    }

    /// Array, coordinates (at least two, as PyTorch wants them) and results.
    pub fn resident_bytes(&self) -> f64 {
        (self.places() * VALUE) as f64 * f64::from(self.channels)
            + self.samples as f64 * (self.coordinate_bytes() + self.result_bytes())
    }

    fn coordinate_bytes(&self) -> f64 {
        self.axes.len().max(2) as f64 * VALUE as f64
    }

    fn result_bytes(&self) -> f64 {
        f64::from(self.channels) * VALUE as f64
    }

    /// Whether axes and sizes go together.
    pub fn is_possible(&self) -> bool {
        (1..=3).contains(&self.axes.len())
            && self.axes.len() == self.size.len()
            && self.axes.iter().all(|axis| *axis < 3)
            && self.size.iter().all(|size| (1..=1 << 16).contains(size))
            && (1..=4096).contains(&self.channels)
    }

    /// Place of a sample's tap.
    fn place(&self, position: &[f32; 3], tap: usize) -> u64 {
        let (mut place, mut stride) = (0, 1);
        for (number, (axis, size)) in self.axes.iter().zip(&self.size).enumerate() {
            let at = position[*axis].clamp(0.0, 1.0) * (size.saturating_sub(1)) as f32;
            let side = (tap >> number & 1) as u64;
            place += (at as u64 + side).min(size - 1) * stride;
            stride *= size;
        }
        place
    }

    /// The launch.
    pub fn kernel(&self, _: &Target) -> Kernel {
        let known = self.positions.resolve(self.samples);
        let samples = Arc::new(known.rescaled(self.samples as f64));
        let ctas = self.samples.div_ceil(u64::from(THREADS)).max(1);
        let work = self.work();
        let launch = Launch::linear(ctas, THREADS, work.registers, 0);
        let warps = launch.warps() as f64;
        let per_cta = self.samples as f64 / ctas as f64;
        let scale = warps * per_cta / f64::from(THREADS);
        let mut stage = Stage::once("sample");
        stage.demand = Demand {
            fp32: work.fp32 * scale,
            int32: work.int32 * scale,
            sfu: work.sfu * scale,
            memory: work.memory * scale,
            ..Demand::default()
        };
        // Coordinates, then a channel's places together; several channels are under way at once.
        stage.memory_round_trips = 1.0 + libm::ceil(f64::from(self.channels) / 4.0);
        stage.dependent_instructions = work.chain;
        let table = f64::from(self.channels) * (self.taps() as u64 * VALUE) as f64;
        stage.streams = vec![
            Stream::streaming("coordinates", Direction::Read, self.coordinate_bytes() * per_cta),
            Stream {
                label: "array",
                direction: Direction::Read,
                bytes: table * per_cta,
                pattern: Pattern::Gathered(Arc::new(Places { of: self.clone(), samples })),
            },
            Stream::streaming("result", Direction::Write, self.result_bytes() * per_cta),
        ];
        let array = (self.places() * VALUE) as f64 * f64::from(self.channels);
        Kernel {
            class: KernelClass::Encoding,
            variant: format!("{} channels of {:?}", self.channels, self.size),
            launch,
            raster: Raster::flat(ctas),
            tensor: None,
            tensor_from_registers: false,
            stages: vec![stage],
            read_footprint_bytes: array + self.coordinate_bytes() * self.samples as f64,
            write_footprint_bytes: self.result_bytes() * self.samples as f64,
            then: Vec::new(),
        }
    }

    fn work(&self) -> Work {
        let taps = self.taps() as f64;
        let channels = f64::from(self.channels);
        let axes = self.axes.len().max(2) as f64;
        let [fma, imad, alu] = [
            6.0 * axes + taps * axes + channels * taps,
            8.0 * axes + channels * taps,
            14.0 * axes + 2.0 * taps * axes + channels * (taps + 3.0),
        ];
        Work::listed(
            [fma, imad, alu, 0.0, 2.0 * axes, axes + channels * (taps + 1.0), channels],
            40,
        )
    }
}

impl Addresses for Places {
    fn segments(&self) -> Vec<Segment> {
        let segment = |window: &crate::samples::Window| Segment {
            groups: window.positions.len().div_ceil(WARP) as u64,
            stands_for: window.stands_for / WARP as f64,
        };
        self.samples.windows.iter().map(segment).collect()
    }

    fn group(&self, segment: usize, index: u64, out: &mut Requests) {
        let Some(window) = self.samples.windows.get(segment) else { return };
        let start = index as usize * WARP;
        let end = (start + WARP).min(window.positions.len());
        let Some(positions) = window.positions.get(start..end) else { return };
        let taps = self.of.taps();
        out.resize(taps * self.of.channels as usize, positions.len());
        let channel_bytes = self.of.places() * VALUE;
        for tap in 0..taps {
            for (lane, position) in positions.iter().enumerate() {
                let place = self.of.place(position, tap) * VALUE;
                for channel in 0..self.of.channels as usize {
                    let address = channel as u64 * channel_bytes + place;
                    out.set(channel * taps + tap, lane, address);
                }
            }
        }
    }

    fn requests_per_group(&self) -> f64 {
        self.of.taps() as f64 * f64::from(self.of.channels)
    }

    fn span_bytes(&self) -> u64 {
        self.of.places() * VALUE * u64::from(self.of.channels)
    }

    fn access_bytes(&self) -> u64 {
        VALUE * WARP as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warps_ask_for_the_places_around_their_samples() {
        let op = PlaneSample {
            axes: vec![0, 2],
            size: vec![5, 3],
            channels: 2,
            samples: 1,
            positions: Positions::Known(Arc::new(SampleSet::whole(vec![[0.3, 0.9, 0.6]]))),
        };
        assert!(op.is_possible());
        let samples = op.positions.resolve(1);
        let places = Places { of: op, samples };
        let mut requests = Requests::default();
        places.group(0, 0, &mut requests);
        // Column 1 and 2 of rows 1 and 2; the second channel lies 15 values behind.
        let asked: Vec<u64> = requests.iter().map(|lanes| lanes[0] / 4).collect();
        assert_eq!(asked, [6, 7, 11, 12, 21, 22, 26, 27]);
        assert_eq!(places.requests_per_group(), 8.0);
    }
}
