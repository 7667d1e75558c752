//! What is told of a frame on a GPU with an accelerator.

use lumacycle_engines::Traffic;
use lumacycle_engines::accelerator::{AreaUse, Home, Unit};
use serde::Serialize;

use super::bounds::AcceleratedBound;

/// One cause of the difference between two readings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cause {
    /// What is added to the reading before.
    pub cause: &'static str,
    /// Frame time with it, in ms.
    pub frame_ms: f64,
    /// What it adds, in ms.
    pub adds_ms: f64,
    /// Time that the accelerator computes with it, in ms.
    pub accelerator_ms: f64,
}

/// A level of the encoding on the accelerator.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LevelRow {
    /// Number, from 0.
    pub level: usize,
    /// Corners along an axis.
    pub resolution: u32,
    /// Size of its table, in MiB.
    pub table_mib: f64,
    /// Where it lives.
    pub home: Home,
    /// Share of its lookups that its memory answers, in percent.
    pub hit_pct: f64,
    /// Clocks of its engine for a sample.
    pub cycles: f64,
    /// Those that banks cost.
    pub conflict_cycles: f64,
    /// Lines fetched for a sample.
    pub missed_lines: f64,
}

/// How busy a part of the accelerator is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnitRow {
    /// Which.
    pub unit: Unit,
    /// Share of the frame, in percent.
    pub busy_pct: f64,
}

/// A frame on a GPU with an accelerator.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AcceleratedFrame {
    /// Catalogue entry of the accelerator.
    pub accelerator: String,
    /// Its name.
    pub accelerator_name: String,
    /// Processors.
    pub units: u32,
    /// Frame time as built, in ms.
    pub frame_ms: f64,
    /// Frames a second.
    pub frames_per_s: f64,
    /// GPU alone over that.
    pub speedup: f64,
    /// Frame time of the GPU alone, in ms.
    pub gpu_alone_ms: f64,
    /// The paper's arithmetic on this frame, in ms.
    pub as_published_ms: f64,
    /// Its speedup.
    pub as_published_speedup: f64,
    /// From the one to the other.
    pub causes: Vec<Cause>,
    /// Time that the accelerator computes, in ms.
    pub accelerator_ms: f64,
    /// Time that the GPU computes, in ms.
    pub gpu_ms: f64,
    /// What decides the accelerator's own time (the frame may be decided by the GPU).
    pub accelerator_bound_by: Unit,
    /// Its parts.
    pub busy: Vec<UnitRow>,
    /// Levels of the encoding.
    pub levels: Vec<LevelRow>,
    /// Samples that the accelerator answers.
    pub samples: f64,
    /// Those that count.
    pub useful_samples: f64,
    /// Batches of the largest round.
    pub batches: u32,
    /// Bytes that the accelerator moves at L2 and DRAM.
    pub traffic: Traffic,
    /// Share of its table misses that L2 answers, in percent, if there are any.
    pub l2_hit_pct: Option<f64>,
    /// Mean rate between accelerator and L2, in GB/s.
    pub link_gb_per_s: f64,
    /// Energy of GPU and accelerator, in mJ.
    pub energy_mj: f64,
    /// Part of it that the accelerator takes.
    pub accelerator_mj: f64,
    /// Energy of the GPU alone, in mJ.
    pub gpu_alone_mj: f64,
    /// Area from its parts, in mm².
    pub area_mm2: f64,
    /// Area by part.
    pub area: AreaUse,
    /// Area as published, in mm².
    pub published_area_mm2: f64,
    /// Time to load the tables of another scene, in ms.
    pub scene_switch_ms: f64,
    /// What binds, of both sides, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounds: Option<Vec<AcceleratedBound>>,
    /// What was taken for granted.
    pub assumptions: Vec<String>,
}

impl AcceleratedFrame {
    /// The same frame rendered several times over, as for several eyes.
    pub fn repeat(&mut self, times: f64) {
        for value in [
            &mut self.frame_ms,
            &mut self.gpu_alone_ms,
            &mut self.as_published_ms,
            &mut self.accelerator_ms,
            &mut self.gpu_ms,
            &mut self.samples,
            &mut self.useful_samples,
            &mut self.energy_mj,
            &mut self.accelerator_mj,
            &mut self.gpu_alone_mj,
        ] {
            *value *= times;
        }
        self.bounds.iter_mut().flatten().for_each(|bound| bound.repeat(times));
        self.frames_per_s /= times;
        self.traffic = self.traffic.times(times);
        for cause in &mut self.causes {
            cause.frame_ms *= times;
            cause.adds_ms *= times;
            cause.accelerator_ms *= times;
        }
    }
}
