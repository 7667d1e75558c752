//! Kernels in which each thread handles one item (a ray, a pixel, a parameter) and runs through a
//! few parts, some of them repeatedly: making rays, walking them, closing gaps, compositing,
//! encodings of directions, losses, optimizer steps of fields.

use serde::{Deserialize, Serialize};

use super::Recorded;
use super::counts::Work;
use crate::kernel::{Demand, Direction, Pattern};
use crate::{Kernel, KernelClass, Launch, Raster, Stage, Stream, Target};

/// A part of a thread's program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// How often a thread runs it, on average.
    pub times: f64,
    /// The most often of a warp's threads over that average: all lanes wait for the slowest.
    #[serde(default = "one")]
    pub divergence: f64,
    /// The most often of all threads over that average: the launch waits for that one.
    #[serde(default = "one")]
    pub longest: f64,
    /// Instructions each time.
    pub work: Work,
    /// Bytes read each time that no other thread reads.
    #[serde(default)]
    pub read_bytes: f64,
    /// Bytes written each time that no other thread writes.
    #[serde(default)]
    pub write_bytes: f64,
    /// Bytes that one store of a thread writes of the sectors it touches: records are written
    /// field by field, and each field's store touches all sectors of the warp's records.
    #[serde(default = "full_sector")]
    pub store_bytes: f64,
    /// Bytes read each time that L2 holds (bitfields, lookup tables).
    #[serde(default)]
    pub shared_bytes: f64,
    /// Bytes read and written at scattered places: whole sectors each.
    #[serde(default)]
    pub scattered_bytes: f64,
    /// Dependent reads each time.
    #[serde(default)]
    pub round_trips: f64,
}

const fn one() -> f64 {
    1.0
}

/// Consecutive threads fill sectors together.
const fn full_sector() -> f64 {
    SECTOR
}

/// What memory moves at least.
const SECTOR: f64 = 32.0;

impl Default for Part {
    fn default() -> Self {
        Self {
            times: 1.0,
            divergence: 1.0,
            longest: 1.0,
            work: Work::default(),
            read_bytes: 0.0,
            write_bytes: 0.0,
            store_bytes: SECTOR,
            shared_bytes: 0.0,
            scattered_bytes: 0.0,
            round_trips: 0.0,
        }
    }
}

/// A launch with one thread per item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PerThread {
    /// Kind of work.
    pub class: KernelClass,
    /// Items.
    pub items: f64,
    /// Threads of a CTA.
    pub threads: u32,
    /// Registers of a thread.
    pub registers: u32,
    /// The thread's program.
    pub parts: Vec<Part>,
    /// The launch, where recorded.
    #[serde(default)]
    pub recorded: Option<Recorded>,
}

impl PerThread {
    /// A launch of 128-thread CTAs.
    pub fn new(class: KernelClass, items: f64, parts: Vec<Part>) -> Self {
        let registers = parts.iter().map(|part| part.work.registers).max().unwrap_or(32);
        Self { class, items, threads: 128, registers: registers.max(16), parts, recorded: None }
    }

    fn sum(&self, of: impl Fn(&Part) -> f64) -> f64 {
        self.items * self.parts.iter().map(|part| part.times * of(part)).sum::<f64>()
    }

    /// fp32 multiply-adds, as two operations each.
    pub fn flops(&self) -> f64 {
        2.0 * self.sum(|part| part.work.fp32)
    }

    /// Bytes that only one thread touches.
    pub fn compulsory_bytes(&self) -> f64 {
        self.sum(|part| part.read_bytes + part.write_bytes + part.scattered_bytes)
    }

    /// The launch.
    pub fn kernel(&self, target: &Target) -> Kernel {
        let ctas = libm::ceil(self.items / f64::from(self.threads.max(1))).max(1.0) as u64;
        let launch = match self.recorded {
            Some(recorded) if recorded.launch.shared_bytes <= target.shared_bytes_per_cta => {
                recorded.launch
            }
            _ => Launch::linear(ctas, self.threads, self.registers, 0),
        };
        let ctas = launch.ctas() as f64;
        let warps = launch.warps() as f64;
        let items = self.items / ctas;
        let filled = (items / launch.threads() as f64).min(1.0);
        let stages = self.parts.iter().map(|part| {
            let mut stage = Stage::once("part");
            // Lanes that are done wait, so a warp executes as often as its longest lane.
            stage.iterations = (part.times * part.divergence).max(f64::MIN_POSITIVE);
            stage.longest_iterations = part.times * part.longest;
            let busy = 1.0 / part.divergence.max(1.0);
            let work = &part.work;
            let scale = warps * filled.max(1.0 / warps);
            stage.demand = Demand {
                fp32: work.fp32 * scale,
                int32: work.int32 * scale,
                fp16x2: work.fp16x2 * scale,
                sfu: work.sfu * scale,
                memory: work.memory * scale,
                ..Demand::default()
            };
            stage.dependent_instructions = work.chain;
            stage.memory_round_trips = part.round_trips;
            let mut add = |label, direction, bytes: f64, pattern| {
                if bytes > 0.0 {
                    let bytes = bytes * items * busy;
                    stage.streams.push(Stream { label, direction, bytes, pattern });
                }
            };
            add("own", Direction::Read, part.read_bytes, Pattern::Streaming);
            let stores = if part.store_bytes < SECTOR {
                Pattern::Strided { used_bytes: part.store_bytes, stride_bytes: SECTOR }
            } else {
                Pattern::Streaming
            };
            add("own", Direction::Write, part.write_bytes, stores);
            add("shared", Direction::Read, part.shared_bytes, Pattern::L2Resident);
            add("scattered", Direction::Atomic, part.scattered_bytes, Pattern::Streaming);
            stage
        });
        Kernel {
            class: self.class,
            variant: format!("{} x {} threads", launch.ctas(), launch.threads()),
            launch,
            raster: Raster::flat(launch.ctas()),
            tensor: None,
            tensor_from_registers: false,
            stages: stages.collect(),
            read_footprint_bytes: self.sum(|part| part.read_bytes + part.scattered_bytes),
            write_footprint_bytes: self.sum(|part| part.write_bytes),
            then: Vec::new(),
            useful_share: 1.0,
        }
    }
}
