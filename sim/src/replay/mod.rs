//! Replaying a recording: what it would have taken on this or another GPU.
//!
//! Distinct launches are classified and priced once; the events are then run again with those
//! durations, stream by stream, with the host's gaps as recorded: an event that started some
//! time after another had ended keeps that distance. Left out: a host that would have run ahead
//! or fallen behind at another speed.

mod graph;
pub mod result;
pub mod select;

use lumacycle_arch::Entry;
use lumacycle_engines::gpu::roofline;
use lumacycle_engines::{Cost, Engine, EngineError, GpuEngine, Options, Resource};
use lumacycle_traces::{Classified, Known, Recording, Signature, classify};
use rayon::prelude::*;

use crate::schedule;
pub use result::{ClassRow, KernelRow, KnownRow, ReplayResult, Totals};
pub use select::{Selection, SelectionError};

/// What replay needs beside the recording.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReplayOptions {
    /// How the engine simulates.
    pub engine: Options,
    /// Compute capability × 10 of the recording device; 0 = not known.
    pub recorded_capability: u32,
    /// Whether the simulated GPU is the one that recorded.
    pub on_recorded_gpu: bool,
}

/// Why a replay is no prediction.
#[derive(Debug, Clone, PartialEq, thiserror::Error, miette::Diagnostic)]
pub enum ReplayError {
    /// The work does not fit in device memory.
    #[error("{what} needs {needs_gib:.2} GiB of device memory, {gpu} has {has_gib:.2} GiB")]
    #[diagnostic(help("choose a GPU with more memory, or leave the launch out with --kernel"))]
    Capacity {
        /// What needs it.
        what: String,
        /// GiB needed.
        needs_gib: f64,
        /// GiB there are.
        has_gib: f64,
        /// The GPU.
        gpu: String,
    },
}

/// A distinct launch with what it is and costs.
struct Priced {
    classified: Classified,
    /// `None` where the recorded duration is kept.
    cost: Option<Cost>,
    /// Why pricing failed, where it did.
    failure: Option<EngineError>,
    /// Share of time saved by 10 % more of the binding resource.
    relief: f64,
    roofline_ns: Option<f64>,
}

/// Replays a recording on one GPU.
///
/// # Errors
/// When the work does not fit in the GPU's memory.
pub fn replay(
    recording: &Recording,
    entry: &Entry,
    options: ReplayOptions,
) -> Result<ReplayResult, ReplayError> {
    let engine = GpuEngine::new(&entry.gpu).with(options.engine);
    check_capacity(recording, entry)?;
    // Only what is run is priced: a selection may have left launches without events.
    let mut used = vec![false; recording.signatures.len()];
    for event in &recording.events {
        used[event.signature as usize] = true;
    }
    let priced: Vec<Option<Priced>> = recording
        .signatures
        .par_iter()
        .zip(&used)
        .map(|(signature, used)| {
            used.then(|| price(&engine, signature, options.recorded_capability))
        })
        .collect();
    for (signature, priced) in recording.signatures.iter().zip(&priced) {
        if let Some(Priced { classified: Classified { operation: Some(work), .. }, .. }) = priced {
            fits(&signature.name, work.resident_bytes(), entry)?;
        }
    }
    let graph = graph::build(recording, &priced);
    let ran = schedule::run(&graph);
    Ok(result::assemble(recording, entry, &engine, &options, &priced, &ran))
}

fn price(engine: &GpuEngine<'_>, signature: &Signature, capability: u32) -> Priced {
    let classified = classify(signature, capability);
    let mut priced =
        Priced { classified, cost: None, failure: None, relief: 0.0, roofline_ns: None };
    let Some(operation) = &priced.classified.operation else {
        return priced;
    };
    if priced.classified.known != Known::Assumed {
        priced.roofline_ns =
            Some(roofline::time_ns(engine.gpu, operation, priced.classified.dtype));
    }
    match engine.price(operation) {
        Ok(cost) => {
            priced.relief = relief(engine, operation, &cost);
            priced.cost = Some(cost);
        }
        Err(error) => {
            priced.failure = Some(error);
            priced.classified.known = Known::Kept;
        }
    }
    priced
}

/// What a tenth more of the binding resource would save, as a share of the time.
fn relief(
    engine: &GpuEngine<'_>,
    operation: &lumacycle_workloads::ops::Operation,
    cost: &Cost,
) -> f64 {
    if cost.binding == Resource::KernelLaunch {
        return 0.0;
    }
    let options = Options { relief: Some((cost.binding, 1.1)), ..engine.options };
    engine
        .with(options)
        .price(operation)
        .map_or(0.0, |relieved| (1.0 - relieved.time_ns / cost.time_ns).max(0.0))
}

const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

fn fits(what: &str, needs_bytes: f64, entry: &Entry) -> Result<(), ReplayError> {
    let has = entry.gpu.dram.capacity.bytes();
    if needs_bytes <= has {
        return Ok(());
    }
    Err(ReplayError::Capacity {
        what: what.chars().take(80).collect(),
        needs_gib: needs_bytes / GIB,
        has_gib: has / GIB,
        gpu: entry.gpu.gpu.name.clone(),
    })
}

fn check_capacity(recording: &Recording, entry: &Entry) -> Result<(), ReplayError> {
    fits("the recorded peak allocation", recording.peak_memory_bytes.unwrap_or(0.0), entry)
}
