//! Interpolated reads of planes, lines and volumes stored channel after channel, as PyTorch's
//! `grid_sample` launches them: one thread a sample, which goes through the channels and reads a few
//! places of each. Addresses are those of the real samples. Instructions are estimated from the
//! structure of that kernel (places, weights and tests of bounds once, then for each place of each
//! channel a read, a multiply-add and two of address arithmetic). An array may be stored sparsely and decoded
//! in the kernel ([`Stored`]). Left out: gradients, padding modes.

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
    /// How the array is stored, where not as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<Stored>,
}

/// A sparsely stored array that the kernel decodes: a list of blocks for each channel, then their bitmaps or
/// coordinates with values of two bytes. A warp goes the way of any of its lanes, so that shares count warps. They are
/// found by looking real samples up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// Bytes of a channel with its list of blocks, mean of channels.
    pub channel_bytes: f64,
    /// Blocks of a channel.
    pub blocks: u32,
    /// Cells of a block.
    pub cells: u32,
    /// Of the places that a warp reads of a channel, the share with a bitmap that is not empty.
    pub bitmaps: f64,
    /// The same with a list of coordinates.
    pub coordinates: f64,
    /// Steps of a binary search in these, of the lane that needs most.
    pub steps: f64,
    /// Share of places at which some lane finds a value.
    pub values: f64,
}

/// Bytes of a block's place in the list: software reads whole words.
const POINTER: u64 = 4;
/// Bytes of a stored value.
const HALF: f64 = 2.0;

impl Stored {
    /// Instructions for one place of one channel, counted from what a decoder has to do: where its block
    /// begins and whether it is empty; of a bitmap, words up to the cell (four at a time), a count
    /// of their bits, the test of its own; of coordinates, a binary search; of a value, its read and
    /// conversion.
    fn place(&self) -> [f64; 7] {
        let words = f64::from(self.cells) / 32.0;
        let before = (words / 2.0).max(0.5);
        let (b, c, v) = (self.bitmaps, self.coordinates, self.values);
        let alu = 3.0 + b * (5.0 + before) + c * (2.0 + 4.0 * self.steps) + 2.0 * v;
        let special = b * (before + 1.0) + v;
        let memory = 1.0 + b * libm::ceil(words / 4.0) + c * (1.0 + self.steps) + v;
        let control = 1.0 + b + c * self.steps;
        [v, b + c, alu, 0.0, special, memory, control]
    }

    /// Bytes that a place of a channel asks for.
    fn place_bytes(&self) -> f64 {
        let bitmap = f64::from(self.cells) / 8.0;
        POINTER as f64
            + self.bitmaps * bitmap
            + self.coordinates * (1.0 + self.steps)
            + self.values * HALF
    }

    /// Reads that follow from each other, for a place.
    fn trips(&self) -> f64 {
        1.0 + self.bitmaps.max(self.coordinates * (1.0 + self.steps)) + self.values
    }

    /// Whether its numbers are shares and counts.
    pub fn is_possible(&self) -> bool {
        [self.bitmaps, self.coordinates, self.values].iter().all(|s| (0.0..=1.0).contains(s))
            && (0.0..=32.0).contains(&self.steps)
            && (0.0..=1e9).contains(&self.channel_bytes)
            && (1..=1 << 24).contains(&self.cells)
            && (1..=1 << 24).contains(&self.blocks)
    }
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
        self.array_bytes() + self.samples as f64 * (self.coordinate_bytes() + self.result_bytes())
    }

    fn array_bytes(&self) -> f64 {
        self.channel_bytes() * f64::from(self.channels)
    }

    fn channel_bytes(&self) -> f64 {
        self.stored.map_or((self.places() * VALUE) as f64, |stored| stored.channel_bytes)
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
            && self.stored.is_none_or(|stored| stored.is_possible())
    }

    /// Place of a sample's tap.
    pub fn place(&self, position: &[f32; 3], tap: usize) -> u64 {
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
        let trips = self.stored.map_or(1.0, |stored| stored.trips());
        stage.memory_round_trips = 1.0 + libm::ceil(f64::from(self.channels) / 4.0) * trips;
        stage.dependent_instructions = work.chain;
        let place = self.stored.map_or(VALUE as f64, |stored| stored.place_bytes());
        let table = f64::from(self.channels) * self.taps() as f64 * place;
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
        Kernel {
            class: KernelClass::Encoding,
            variant: format!("{} channels of {:?}", self.channels, self.size),
            launch,
            raster: Raster::flat(ctas),
            tensor: None,
            tensor_from_registers: false,
            stages: vec![stage],
            read_footprint_bytes: self.array_bytes()
                + self.coordinate_bytes() * self.samples as f64,
            write_footprint_bytes: self.result_bytes() * self.samples as f64,
            then: Vec::new(),
            useful_share: 1.0,
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
        let Some(stored) = &self.stored else {
            return Work::listed(
                [fma, imad, alu, 0.0, 2.0 * axes, axes + channels * (taps + 1.0), channels],
                40,
            );
        };
        // Places, weights and results as before; block and cell of each place; what decoding takes instead
        // of a read, and a multiply-add only where there is a value.
        let [more_fma, more_imad, more_alu, _, special, memory, control] = stored.place();
        let places = channels * taps;
        Work::listed(
            [
                fma - places + places * more_fma,
                imad - places + places * more_imad,
                alu + 4.0 * taps * axes + places * more_alu,
                0.0,
                2.0 * axes + places * special,
                axes + channels + places * memory,
                channels + places * control,
            ],
            56,
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
        let channels = self.of.channels as usize;
        if let Some(stored) = &self.of.stored {
            // The list of blocks, and the stream: those of a channel lie in the order of its places.
            out.resize(2 * taps * channels, positions.len());
            let lists = (stored.channel_bytes * channels as f64) as u64;
            for tap in 0..taps {
                for (lane, position) in positions.iter().enumerate() {
                    let way = self.of.place(position, tap) as f64 / self.of.places() as f64;
                    for channel in 0..channels {
                        let at = (channel as f64 + way) * stored.channel_bytes;
                        let block = (channel as f64 + way) * f64::from(stored.blocks);
                        let request = 2 * (channel * taps + tap);
                        out.set(request, lane, lists + block as u64 * POINTER);
                        out.set(request + 1, lane, at as u64);
                    }
                }
            }
            return;
        }
        out.resize(taps * channels, positions.len());
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
        let each = if self.of.stored.is_some() { 2.0 } else { 1.0 };
        self.of.taps() as f64 * f64::from(self.of.channels) * each
    }

    fn span_bytes(&self) -> u64 {
        let lists = self
            .of
            .stored
            .map_or(0, |stored| u64::from(stored.blocks) * u64::from(self.of.channels) * POINTER);
        self.of.array_bytes() as u64 + lists
    }

    fn access_bytes(&self) -> u64 {
        let bytes = self.of.stored.map_or(VALUE as f64, |stored| stored.place_bytes() / 2.0);
        (bytes * WARP as f64) as u64
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
            stored: None,
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

    /// Empty blocks cost a look at the list; full ones cost more than a read of what is not encoded.
    #[test]
    fn decoding_costs_what_there_is_to_decode() {
        let with = |stored: Option<Stored>| PlaneSample {
            axes: vec![0, 1],
            size: vec![300, 300],
            channels: 16,
            samples: 1 << 16,
            positions: Positions::Scattered,
            stored,
        };
        let empty = Stored {
            channel_bytes: 2000.0,
            blocks: 361,
            cells: 256,
            bitmaps: 0.0,
            coordinates: 0.0,
            steps: 0.0,
            values: 0.0,
        };
        let full = Stored { channel_bytes: 190_000.0, bitmaps: 1.0, values: 1.0, ..empty };
        let [plain, none, all] = [None, Some(empty), Some(full)].map(|s| with(s).work());
        assert!(none.fp32 < plain.fp32 && none.memory <= plain.memory);
        assert!(all.int32 > 2.0 * plain.int32 && all.memory > 3.0 * plain.memory);
        // 64 places: a read of the list each, then two of bitmaps and one of the value.
        assert_eq!(all.memory - none.memory, 64.0 * 3.0);
        assert!(with(Some(empty)).resident_bytes() < with(None).resident_bytes());
        assert!(!with(Some(Stored { values: 1.5, ..full })).is_possible());
    }
}
