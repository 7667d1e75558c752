//! Multi-resolution grid encoding and its gradient, as tiny-cuda-nn launches them: one thread a
//! sample (or, backward, a pair of features), CTAs level after level, so that each level's table
//! has the caches to itself. Work per thread is counted from compiled code of the same structure
//! (see `counts`); addresses are those of the real samples. Left out: gradients with respect to
//! positions, and levels switched off during training.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Recorded;
use super::counts;
use crate::encoding::{Grid, GridAddresses, Level};
use crate::kernel::{Demand, Direction, Pattern};
use crate::samples::{Launched, Positions};
use crate::{Kernel, KernelClass, Launch, Raster, Stage, Stream, Target};

/// Threads of a forward CTA.
pub const FORWARD_THREADS: u32 = 512;
/// Threads of a backward CTA.
pub const BACKWARD_THREADS: u32 = 256;
/// Features that one thread of the backward pass handles.
pub const BACKWARD_FEATURES: u32 = 2;

/// An encoding of samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GridEncoding {
    /// The tables.
    pub grid: Grid,
    /// Samples encoded.
    pub samples: u64,
    /// Where they lie.
    pub positions: Positions,
    /// Bytes from one sample's position to the next (28 in a record that also holds step and
    /// direction).
    pub position_stride_bytes: f64,
    /// Gradients scattered into the tables instead of features read from them.
    #[serde(default)]
    pub backward: bool,
    /// The launch, where recorded.
    #[serde(default)]
    pub recorded: Option<Recorded>,
}

impl GridEncoding {
    /// Arithmetic: a multiply-add for each feature of each corner.
    pub fn flops(&self) -> f64 {
        let corners = self.grid.corners() as f64;
        2.0 * self.samples as f64 * corners * f64::from(self.grid.outputs())
    }

    /// Positions, features and as much of the tables as can be touched.
    pub fn compulsory_bytes(&self) -> f64 {
        let samples = self.samples as f64;
        let corners = self.grid.corners() as f64;
        let touched = samples * corners * f64::from(self.grid.outputs()) * 2.0;
        let table = self.grid.table_bytes() as f64;
        samples * (self.position_stride_bytes + 2.0 * f64::from(self.grid.outputs()))
            + touched.min(table)
    }

    /// Tables, positions and features.
    pub fn resident_bytes(&self) -> f64 {
        let samples = self.samples as f64;
        self.grid.table_bytes() as f64
            + samples * (self.position_stride_bytes + 2.0 * f64::from(self.grid.outputs()))
    }

    /// The launch: one group of CTAs per level.
    pub fn kernel(&self, _: &Target) -> Kernel {
        let samples = Arc::new(Launched::new(&self.positions, self.samples));
        let mut groups: Vec<Kernel> =
            self.grid.tables().into_iter().rev().fold(Vec::new(), |mut groups, level| {
                groups.push(self.level(level, &samples));
                groups
            });
        let mut first = groups.pop().unwrap_or_else(|| self.level(EMPTY, &samples));
        groups.reverse();
        first.then = groups;
        first
    }

    fn level(&self, level: Level, samples: &Arc<Launched>) -> Kernel {
        let features = self.grid.features;
        let (threads, per_sample) = if self.backward {
            (BACKWARD_THREADS, features.div_ceil(BACKWARD_FEATURES))
        } else {
            (FORWARD_THREADS, 1)
        };
        let work = counts::grid(&self.grid, self.backward);
        let ctas = (self.samples * u64::from(per_sample)).div_ceil(u64::from(threads)).max(1);
        let registers = self.recorded.map_or(work.registers, |r| r.launch.registers);
        let mut launch = Launch::linear(ctas, threads, registers, 0);
        launch.grid[1] = 1;
        let warps = launch.warps() as f64;
        let per_cta = self.samples as f64 / ctas as f64;
        let filled = per_cta * f64::from(per_sample) / f64::from(threads);
        let mut stage = Stage::once(if level.hashed { "hashed level" } else { "dense level" });
        let scale = warps * filled;
        stage.demand = Demand {
            fp32: work.fp32 * scale,
            int32: work.int32 * scale,
            fp16x2: work.fp16x2 * scale,
            sfu: work.sfu * scale,
            memory: work.memory * scale,
            ..Demand::default()
        };
        // The position has to arrive before its corners can be asked for; those are asked for
        // together.
        stage.memory_round_trips = 2.0;
        stage.dependent_instructions = work.chain;
        let feature_bytes = 2.0 * f64::from(features) * per_cta;
        let table = |direction| Stream {
            label: "table",
            direction,
            bytes: self.grid.corners() as f64 * self.grid.entry_bytes() as f64 * per_cta,
            pattern: Pattern::Gathered(Arc::new(GridAddresses::new(
                &self.grid,
                vec![level],
                Arc::clone(samples),
                per_sample as usize,
            ))),
        };
        let positions = self.position_stride_bytes * per_cta;
        stage.streams = vec![Stream::streaming("positions", Direction::Read, positions)];
        let level_bytes = f64::from(level.entries) * self.grid.entry_bytes() as f64;
        let (mut read, mut written) = (positions * ctas as f64, feature_bytes * ctas as f64);
        if self.backward {
            stage.streams.push(Stream::streaming("gradient", Direction::Read, feature_bytes));
            stage.streams.push(table(Direction::Atomic));
            (read, written) = (read + written, level_bytes);
        } else {
            stage.streams.push(table(Direction::Read));
            stage.streams.push(Stream::streaming("features", Direction::Write, feature_bytes));
            read += level_bytes;
        }
        Kernel {
            class: if self.backward {
                KernelClass::GridBackward
            } else {
                KernelClass::GridEncoding
            },
            variant: format!(
                "{} levels x {} features, {}",
                self.grid.levels,
                features,
                match &self.positions {
                    Positions::Known(_) => "real samples",
                    Positions::Scattered => "scattered samples assumed",
                    Positions::Image { .. } => "pixels",
                }
            ),
            launch,
            raster: Raster::flat(ctas),
            tensor: None,
            tensor_from_registers: false,
            stages: vec![stage],
            read_footprint_bytes: read,
            write_footprint_bytes: written,
            then: Vec::new(),
            useful_share: 1.0,
        }
    }
}

/// What a grid without levels would have; `Grid::validate` lets none through.
const EMPTY: Level = Level { scale: 0.0, resolution: 1, entries: 1, first_entry: 0, hashed: false };
