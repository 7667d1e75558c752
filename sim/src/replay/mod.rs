//! Replaying a recording: what it would have taken on this or another GPU.
//!
//! Distinct launches are classified and priced once; the events are then run again with those
//! durations, stream by stream, with the host's gaps as recorded: an event that started some
//! time after another had ended keeps that distance. Left out: a host that would have run ahead
//! or fallen behind at another speed.

mod clock_shown;
pub mod floor;
mod graph;
mod resources;
pub mod result;
pub mod select;

use lumacycle_arch::Entry;
use lumacycle_engines::gpu::{Prepared, energy, roofline, within_limit};
use lumacycle_engines::memory::lookups::Lookups;
use lumacycle_engines::{Cost, Engine, EngineError, GpuEngine, L2Start, Options};
use lumacycle_traces::{Classified, Known, Recording, Signature, classify};
use lumacycle_workloads::KernelClass;
use lumacycle_workloads::ops::Operation;
use rayon::prelude::*;

use crate::schedule;
use crate::span::Span;
use floor::Floors;
pub use floor::{FloorRow, LaunchFloor};
pub use result::{ClassRow, KernelRow, KnownRow, ReplayResult, Totals};
pub use select::{Selection, SelectionError};

/// What replay needs beside the recording.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReplayOptions<'a> {
    /// How the engine simulates. A warm L2 counts as [`L2Start::InSequence`], which a profile's launches are.
    pub engine: Options,
    /// The GPU that recorded, where known.
    pub recorded_on: Option<&'a Entry>,
    /// Whether to tell what a tenth more of each resource saves, not only of those that bind: each launch is priced
    /// once more for each that it uses.
    pub every_resource: bool,
    /// What is added to each launch.
    pub launch_floor: LaunchFloor,
}

impl ReplayOptions<'_> {
    /// Whether `entry` is the GPU that recorded.
    fn is_own(&self, entry: &Entry) -> bool {
        self.recorded_on.is_some_and(|own| own.id == entry.id)
    }

    /// SM clock at which a profiler's counter runs were timed, in Hz: as recorded, else the base
    /// clock of the GPU that recorded, to which the profiler locks it unless told otherwise.
    fn profiled_clock_hz(&self, recording: &Recording) -> Option<f64> {
        let base = || self.recorded_on.map(|own| own.gpu.clocks.base.hz());
        recording.profiled.and_then(|profiled| profiled.clock_hz.or_else(base))
    }
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

/// Clocks that count as the same, as a share: recorded ones are means over a launch.
const SAME_CLOCK: f64 = 0.03;

/// Whether recorded durations can be held against those of `engine`: a profiler's counter runs only
/// at the clock that they ran at.
fn timed_alike(recording: &Recording, engine: &GpuEngine<'_>) -> bool {
    let Some(profiled) = recording.profiled else { return true };
    let clock_hz = engine.clock_hz();
    profiled.clock_hz.is_some_and(|recorded| (recorded / clock_hz - 1.0).abs() < SAME_CLOCK)
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
    /// Time spent waiting for others, carried over from the recording.
    waiting_ns: f64,
    /// What the recording's shortest launches take beyond the model's.
    floor_ns: f64,
    /// Constant power over both, in picojoules.
    waiting_pj: f64,
}

impl Priced {
    /// Duration on the simulated GPU, in nanoseconds; `None` where the recorded one is kept.
    fn time_ns(&self) -> Option<f64> {
        self.cost.as_ref().map(|cost| cost.time_ns + self.waiting_ns + self.floor_ns)
    }

    /// Whether the prediction owes nothing to the recorded duration.
    fn independent(&self) -> bool {
        self.cost.is_some()
            && self.waiting_ns == 0.0
            && !matches!(self.classified.known, Known::Inferred | Known::Kept)
    }
}

/// Replays a recording on one GPU.
///
/// # Errors
/// When the work does not fit in the GPU's memory.
pub fn replay(
    recording: &Recording,
    entry: &Entry,
    options: ReplayOptions<'_>,
) -> Result<ReplayResult, ReplayError> {
    Ok(replay_with_spans(recording, entry, options)?.0)
}

/// The same with every event in time, recorded and simulated, in the order of the recording. Where
/// the kernels together would exceed the board's power limit, all run at the highest clock at which
/// they don't.
///
/// # Errors
/// When the work does not fit in the GPU's memory.
pub fn replay_with_spans(
    recording: &Recording,
    entry: &Entry,
    options: ReplayOptions<'_>,
) -> Result<(ReplayResult, Vec<Span>), ReplayError> {
    check_capacity(recording, entry)?;
    // Ranks of one job copy their inputs at the same time.
    let mut options = options;
    if options.engine.l2 == L2Start::Warm {
        options.engine.l2 = L2Start::InSequence;
    }
    options.engine.neighbours_copy |= recording.ranks.is_some_and(|ranks| ranks > 1);
    let (lookups, own_lookups) = (Lookups::default(), Lookups::default());
    let own = own_engine(recording, options).map(|own| own.carrying(&own_lookups));
    let (works, floors) = works(recording, options, own.as_ref());
    let free = GpuEngine::new(&entry.gpu).with(options.engine.unlimited()).carrying(&lookups);
    let priced = price_all(&works, &free, own.as_ref());
    let limit_w = free.with(options.engine).power_limit_w();
    if options.engine.clock_hz.is_some() || Sums::of(&works, &priced).mean_w() <= limit_w {
        return run(recording, entry, (&free, &options), (&priced, &floors));
    }
    let estimate = |engine: &GpuEngine<'_>| {
        let single = engine.with(engine.options.unlimited());
        Ok::<_, ReplayError>(Sums::estimated(&works, &single))
    };
    let (settled, _) = within_limit(&free.with(options.engine), estimate, Sums::mean_w)?;
    let settled = settled.with(settled.options.unlimited());
    let priced = price_all(&works, &settled, own.as_ref());
    run(recording, entry, (&settled, &options), (&priced, &floors))
}

/// A distinct launch that is run: what it is, how often it was recorded, the mean, and what is added to it, in ns.
struct Work {
    classified: Classified,
    count: u64,
    mean_ns: f64,
    floor_ns: f64,
}

/// The GPU that recorded. Inference sees the caches as the simulation does; the clock is its own.
/// Profilers that count flush the caches first, and choose the clock.
fn own_engine<'a>(recording: &Recording, options: ReplayOptions<'a>) -> Option<GpuEngine<'a>> {
    let l2 = if recording.profiled.is_some() { L2Start::Cold } else { options.engine.l2 };
    let clock_hz = options.profiled_clock_hz(recording);
    let own_options =
        Options { clock_hz, l2, mem_clock_hz: None, relief: None, ..options.engine }.unlimited();
    options.recorded_on.map(|entry| GpuEngine::new(&entry.gpu).with(own_options))
}

/// Classifies and infers, and reads the floor of launches off. Only what is run: a selection may have left launches
/// without events.
fn works(
    recording: &Recording,
    options: ReplayOptions<'_>,
    own: Option<&GpuEngine<'_>>,
) -> (Vec<Option<Work>>, Floors) {
    let mut recorded: Vec<(u64, f64)> = vec![(0, 0.0); recording.signatures.len()];
    for event in &recording.events {
        let (count, total_ns) = &mut recorded[event.signature as usize];
        *count += 1;
        *total_ns += event.duration_ps as f64 / 1e3;
    }
    for (count, ns) in &mut recorded {
        *ns /= (*count).max(1) as f64;
    }
    let capability = options.recorded_on.map_or_else(
        || recording.main_device().map_or(0, |device| device.compute_capability),
        |own| own.gpu.gpu.compute_capability,
    );
    let of = |(signature, (count, _)): (&Signature, &(u64, f64))| {
        (*count > 0).then(|| classify(signature, capability))
    };
    let classified: Vec<Option<Classified>> =
        recording.signatures.par_iter().zip(&recorded).map(of).collect();
    // Durations of counter runs are at a clock of their own.
    let plain = recording.profiled.is_none() && options.launch_floor == LaunchFloor::Recorded;
    let floors = match own {
        Some(own) if plain => Floors::of(recording, &recorded, &classified, own),
        _ => Floors::default(),
    };
    let of = |(index, classified): (usize, Option<Classified>)| {
        let mut classified = classified?;
        let (count, mean_ns) = recorded[index];
        let floor_ns = floors.ns(recording.signatures[index].kind, classified.class);
        if classified.known == Known::Assumed
            && let (Some(own), Some(work)) = (own, &classified.operation)
        {
            let inferred = infer(own, work, mean_ns - floor_ns);
            classified.known = if inferred.is_some() { Known::Inferred } else { Known::Kept };
            classified.operation = inferred;
        }
        Some(Work { classified, count, mean_ns, floor_ns })
    };
    let works = classified.into_par_iter().enumerate().map(of).collect();
    (works, floors)
}

fn price_all(
    works: &[Option<Work>],
    engine: &GpuEngine<'_>,
    own: Option<&GpuEngine<'_>>,
) -> Vec<Option<Priced>> {
    works.par_iter().map(|work| work.as_ref().map(|work| price(engine, own, work))).collect()
}

/// Time and energy of all kernels that are simulated.
#[derive(Default)]
struct Sums {
    time_ns: f64,
    energy_pj: f64,
}

impl Sums {
    fn of(works: &[Option<Work>], priced: &[Option<Priced>]) -> Self {
        let pairs = works.iter().flatten().zip(priced.iter().flatten());
        Self::over(pairs.filter_map(|(work, priced)| Some((work.count, priced.cost.as_ref()?))))
    }

    fn estimated(works: &[Option<Work>], engine: &GpuEngine<'_>) -> Self {
        let of = |work: &Option<Work>| {
            let work = work.as_ref()?;
            let prepared = Prepared::new(engine, work.classified.operation.as_ref()?).ok()?;
            Some((work.count, prepared.estimate(engine).ok()?))
        };
        let costs: Vec<Option<(u64, Cost)>> = works.par_iter().map(of).collect();
        Self::over(costs.iter().flatten().map(|(count, cost)| (*count, cost)))
    }

    fn over<'c>(costs: impl Iterator<Item = (u64, &'c Cost)>) -> Self {
        costs.fold(Self::default(), |sum, (count, cost)| Self {
            time_ns: sum.time_ns + count as f64 * cost.time_ns,
            energy_pj: sum.energy_pj + count as f64 * cost.energy.total_pj(),
        })
    }

    /// Mean power, in watts: 1 pJ / 1 ns = 1 mW.
    fn mean_w(&self) -> f64 {
        self.energy_pj / self.time_ns.max(f64::MIN_POSITIVE) * 1e-3
    }
}

/// Runs the recording with the simulated durations.
fn run(
    recording: &Recording,
    entry: &Entry,
    (engine, options): (&GpuEngine<'_>, &ReplayOptions<'_>),
    (priced, floors): (&[Option<Priced>], &Floors),
) -> Result<(ReplayResult, Vec<Span>), ReplayError> {
    for (signature, priced) in recording.signatures.iter().zip(priced) {
        // What was assumed or inferred says nothing about how much memory was allocated.
        if let Some(Priced { classified: Classified { operation: Some(work), known, .. }, .. }) =
            priced
            && *known <= Known::Shape
        {
            fits(&signature.name, work.resident_bytes(), entry)?;
        }
    }
    let graph = graph::build(recording, priced);
    let ran = schedule::run(&graph);
    let result = result::assemble(recording, entry, (engine, options), (priced, floors), &ran);
    Ok((result, spans(recording, priced, &ran)))
}

/// Events with their places in time.
fn spans(recording: &Recording, priced: &[Option<Priced>], ran: &[schedule::Ran]) -> Vec<Span> {
    let of = |(event, ran): (&lumacycle_traces::Event, &schedule::Ran)| {
        let piece = priced[event.signature as usize].as_ref();
        let cost = piece.and_then(|piece| piece.cost.as_ref());
        let took_ps = ran.end_ps - ran.start_ps;
        let longest = cost
            .and_then(|cost| cost.kernels.iter().max_by(|a, b| a.time_ns.total_cmp(&b.time_ns)));
        let energy_pj = cost.map_or(0.0, |cost| cost.energy.total_pj())
            + piece.map_or(0.0, |piece| piece.waiting_pj);
        Span {
            name: recording.signatures[event.signature as usize].name.to_string(),
            device: event.device,
            stream: event.stream,
            recorded_ps: Some((event.start_ps, event.end_ps())),
            simulated_ps: (ran.start_ps, ran.end_ps),
            shared: cost.map_or_else(Default::default, |cost| {
                Span::stretched(cost.shared_use, cost.time_ns * 1e3, took_ps)
            }),
            occupancy: longest.map_or(0.0, |kernel| kernel.occupancy.share * kernel.sm_share),
            // A picojoule in a picosecond is a watt.
            power_w: if took_ps > 0 { energy_pj / took_ps as f64 } else { 0.0 },
            bound_by: cost.map(|cost| cost.binding.name()),
        }
    };
    recording.events.iter().zip(ran).map(of).collect()
}

fn price(engine: &GpuEngine<'_>, own: Option<&GpuEngine<'_>>, work: &Work) -> Priced {
    let mut priced = Priced {
        classified: work.classified.clone(),
        cost: None,
        failure: None,
        relief: 0.0,
        roofline_ns: None,
        waiting_ns: 0.0,
        floor_ns: 0.0,
        waiting_pj: 0.0,
    };
    let Some(operation) = &priced.classified.operation else { return priced };
    if priced.classified.known < Known::Assumed {
        priced.roofline_ns =
            Some(roofline::time_ns(engine.gpu, operation, priced.classified.dtype));
    }
    let prepared = Prepared::new(engine, operation);
    match prepared.and_then(|prepared| Ok((prepared.price(engine)?, prepared))) {
        Ok((cost, prepared)) => {
            priced.relief = resources::saved(engine, &prepared, &cost, cost.binding);
            // One rank's recording of a collective holds the wait for the slowest rank: what
            // the link does not explain stays.
            if priced.classified.class == KernelClass::Collective
                && let Some(Ok(link)) = own.map(|own| own.price(operation))
            {
                priced.waiting_ns = (work.mean_ns - link.time_ns).max(0.0);
            }
            priced.floor_ns = work.floor_ns;
            let still_ns = priced.waiting_ns + priced.floor_ns;
            priced.waiting_pj = energy::at_rest(engine, still_ns, 0.0).total_pj();
            priced.cost = Some(cost);
        }
        Err(error) => {
            priced.failure = Some(error);
            priced.classified.known = Known::Kept;
        }
    }
    priced
}

/// The amount of work that explains a recorded duration on the GPU that recorded it.
fn infer(own: &GpuEngine<'_>, work: &Operation, recorded_ns: f64) -> Option<Operation> {
    let time = |log2: f64| -> Option<f64> {
        let scaled = work.scaled(2.0_f64.powf(log2))?;
        own.price(&scaled).ok().map(|cost| cost.time_ns)
    };
    // Time grows with work, so halving the interval finds the amount; beyond these ends the
    // nearest is taken.
    let (mut low, mut high) = (-10.0_f64, 14.0_f64);
    for _ in 0..24 {
        let middle = f64::midpoint(low, high);
        if time(middle)? < recorded_ns { low = middle } else { high = middle }
    }
    let found = f64::midpoint(low, high);
    // A launch that even the least or the most work does not explain stays as recorded.
    let explained = (time(found)? / recorded_ns.max(1.0) - 1.0).abs() < 0.05;
    explained.then(|| work.scaled(2.0_f64.powf(found))).flatten()
}

const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

/// Whether `needs_bytes` fit in the device memory of a GPU.
///
/// # Errors
/// [`ReplayError::Capacity`] with the numbers.
pub fn fits(what: &str, needs_bytes: f64, entry: &Entry) -> Result<(), ReplayError> {
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
