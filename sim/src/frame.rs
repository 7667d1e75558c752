//! A frame, or a training step, on a GPU: every launch priced, added up by part of the
//! application, kernel and round.
//!
//! Launches follow each other on one stream, with the shortest gap between dependent kernels and
//! a wait of the host wherever it needs a count before it can go on. Encodings of long launches
//! are simulated for some rounds and carried over to those between them by samples, since
//! neighbouring rounds differ little. Left out: work of the host beside launching.

use std::sync::Arc;

use lumacycle_arch::Entry;
use lumacycle_engines::accelerator::encode::Memo;
use lumacycle_engines::cost::SharedUse;
use lumacycle_engines::gpu::{Prepared, within_limit};
use lumacycle_engines::{Cost, EngineError, GpuEngine, KernelCost, Options, Resource, Traffic};
use lumacycle_workloads::KernelClass;
use lumacycle_workloads::apps::{Frame, Launch, Part};
use lumacycle_workloads::ops::Operation;
use lumacycle_workloads::rays::Distribution;
use rayon::prelude::*;
use serde::Serialize;

use crate::bounds::Bounds;
use crate::span::Span;

/// Rounds whose encoding is simulated, of those with long launches.
const SIMULATED_ROUNDS: usize = 6;
/// Samples from which a launch counts as long.
const LONG: u64 = 1 << 17;

/// Why a frame has no price.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{launch}: {reason}")]
pub struct FrameError {
    /// Which launch, or which part of the hardware.
    pub launch: &'static str,
    /// Why.
    pub reason: EngineError,
}

/// One part of the application.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartRow {
    /// Which.
    pub part: Part,
    /// Time of its kernels, in ms.
    pub time_ms: f64,
    /// Share of the time of all kernels.
    pub share_pct: f64,
    /// Energy, in mJ.
    pub energy_mj: f64,
}

/// Launches of one name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KernelRow {
    /// What it does.
    pub name: &'static str,
    /// Part of the application.
    pub part: Part,
    /// Kind of work.
    pub class: KernelClass,
    /// Launches.
    pub launches: f64,
    /// Time of all of them, in ms.
    pub time_ms: f64,
    /// Share of the time of all kernels.
    pub share_pct: f64,
    /// What binds the longest of them.
    pub bound_by: Resource,
    /// Share of lookups that L1 answers, where addresses are simulated.
    pub l1_hit_pct: Option<f64>,
    /// Standard error of the share of its lookups that DRAM answers, which comes from a sample, in
    /// percent points.
    pub miss_error_pct: Option<f64>,
    /// Share of L2 traffic that DRAM is spared.
    pub l2_hit_pct: f64,
    /// Between SMs and L2, in GB.
    pub l2_gb: f64,
    /// At DRAM, in GB.
    pub dram_gb: f64,
    /// Energy, in mJ.
    pub energy_mj: f64,
    /// Implementation of the longest.
    pub variant: String,
    /// Resident warps of the longest over the most there could be, on an SM, in percent.
    pub occupancy_pct: f64,
    /// What limits that.
    pub occupancy_limit: &'static str,
}

impl KernelRow {
    /// A row without any launch yet.
    fn of(launch: &Launch) -> Self {
        Self {
            name: launch.name,
            part: launch.part,
            class: launch.operation.class(),
            launches: 0.0,
            time_ms: 0.0,
            share_pct: 0.0,
            bound_by: Resource::KernelLaunch,
            l1_hit_pct: None,
            miss_error_pct: None,
            l2_hit_pct: 0.0,
            l2_gb: 0.0,
            dram_gb: 0.0,
            energy_mj: 0.0,
            variant: String::new(),
            occupancy_pct: 0.0,
            occupancy_limit: "none",
        }
    }
}

/// One round.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RoundRow {
    /// Number, from 0.
    pub round: usize,
    /// Rays alive.
    pub alive: f64,
    /// Steps of each.
    pub steps: u32,
    /// Slots of its launches.
    pub elements: u64,
    /// Queries in them.
    pub queries: f64,
    /// Time of its kernels, in ms.
    pub time_ms: f64,
}

/// A frame on a GPU.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FrameResult {
    /// Catalogue entry.
    pub gpu: String,
    /// Its name.
    pub gpu_name: String,
    /// SM clock, in MHz.
    pub clock_mhz: f64,
    /// Frame time, in ms.
    pub frame_ms: f64,
    /// Frames a second.
    pub frames_per_s: f64,
    /// Time of all kernels, in ms.
    pub kernels_ms: f64,
    /// Gaps between kernels and waits of the host, in ms.
    pub gaps_ms: f64,
    /// Energy, in mJ.
    pub energy_mj: f64,
    /// Mean power, in W.
    pub mean_power_w: f64,
    /// Pixels (rays of a batch in training).
    pub pixels: f64,
    /// Queries that the network answers.
    pub queries: f64,
    /// Slots of the launches that hold them.
    pub elements: f64,
    /// Queries a pixel.
    pub per_ray: Option<Distribution>,
    /// Bytes moved.
    pub traffic: Traffic,
    /// By part of the application.
    pub parts: Vec<PartRow>,
    /// By kernel, the longest first.
    pub kernels: Vec<KernelRow>,
    /// Round by round.
    pub rounds: Vec<RoundRow>,
    /// What binds, where [`GpuFrame::bounds`] was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounds: Option<Bounds>,
    /// What was taken for granted.
    pub assumptions: Vec<String>,
}

impl FrameResult {
    /// The same frame rendered several times over, as for several eyes.
    pub fn repeat(&mut self, times: f64) {
        for value in [
            &mut self.frame_ms,
            &mut self.kernels_ms,
            &mut self.gaps_ms,
            &mut self.energy_mj,
            &mut self.pixels,
            &mut self.queries,
            &mut self.elements,
        ] {
            *value *= times;
        }
        self.frames_per_s /= times;
        self.traffic = self.traffic.times(times);
        for part in &mut self.parts {
            part.time_ms *= times;
            part.energy_mj *= times;
        }
        for kernel in &mut self.kernels {
            for value in [
                &mut kernel.launches,
                &mut kernel.time_ms,
                &mut kernel.l2_gb,
                &mut kernel.dram_gb,
                &mut kernel.energy_mj,
            ] {
                *value *= times;
            }
        }
        self.bounds.iter_mut().for_each(|bounds| bounds.repeat(times));
        for round in &mut self.rounds {
            round.alive *= times;
            round.queries *= times;
            round.time_ms *= times;
        }
    }
}

/// Cost of one launch of a frame.
#[derive(Debug, Clone)]
pub(crate) struct Priced {
    pub(crate) kernels: Vec<KernelCost>,
    pub(crate) shared: SharedUse,
    l1_hit: Option<f64>,
}

impl Priced {
    pub(crate) fn time_ns(&self) -> f64 {
        self.kernels.iter().map(|kernel| kernel.time_ns).sum()
    }

    fn energy_pj(&self) -> f64 {
        self.kernels.iter().map(|kernel| kernel.energy.total_pj()).sum()
    }

    fn longest(&self) -> Option<&KernelCost> {
        self.kernels.iter().max_by(|a, b| a.time_ns.total_cmp(&b.time_ns))
    }

    /// Resident warps of its longest kernel over the most there could be, as a mean over the device.
    pub(crate) fn occupancy(&self) -> f64 {
        self.longest().map_or(0.0, |kernel| kernel.occupancy.share * kernel.sm_share)
    }

    fn scaled(&self, launch_ns: f64, factor: f64, time_ns: f64) -> Self {
        let mut kernels = self.kernels.clone();
        let own = self.time_ns();
        for kernel in &mut kernels {
            let share = kernel.time_ns / own;
            kernel.time_ns = (time_ns * share).max(launch_ns);
            kernel.traffic = kernel.traffic.times(factor);
            kernel.busy_ns.iter_mut().for_each(|(_, ns)| *ns *= factor);
            kernel.energy = kernel.energy.times(factor);
        }
        Self { kernels, shared: self.shared, l1_hit: self.l1_hit }
    }
}

/// A frame whose launches have been priced on a GPU.
#[derive(Debug, Clone)]
pub struct GpuFrame<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) entry: &'a Entry,
    pub(crate) options: Options,
    /// What to price launches with again: the options at the clock that was settled at, and launches that are
    /// simulated (none where nobody will ask).
    pub(crate) settled: Options,
    pub(crate) prepared: Arc<[Option<Prepared>]>,
    pub(crate) launches: Arc<[Option<Priced>]>,
    pub(crate) alone: Arc<FrameResult>,
    pub(crate) memo: Option<Arc<dyn Memo>>,
}

impl<'a> GpuFrame<'a> {
    /// Prices all launches: at the usual clock, or at the highest at which the frame as a whole stays
    /// within the board's power limit.
    ///
    /// # Errors
    /// When a launch does not run on this GPU.
    pub fn new(frame: &'a Frame, entry: &'a Entry, options: Options) -> Result<Self, FrameError> {
        // Kernels of a frame do not throttle one by one: a board holds its average power.
        let engine = GpuEngine::new(&entry.gpu).with(options);
        let free = GpuEngine::new(&entry.gpu).with(options.unlimited());
        let prepared = prepare(frame, &free)?;
        let sums = |engine: &GpuEngine<'_>| {
            let single = engine.with(engine.options.unlimited());
            let launches = price_all((frame, entry), &prepared, |p| p.estimate(&single))?;
            Ok(Sums::of(frame, entry, &launches))
        };
        let (settled, _) = within_limit(&engine, sums, Sums::mean_w)?;
        let settled = settled.with(settled.options.unlimited());
        let launches = price_all((frame, entry), &prepared, |p| p.price(&settled))?;
        let alone = Arc::new(assemble(frame, entry, &settled, &launches));
        Ok(Self {
            frame,
            entry,
            options,
            settled: settled.options,
            prepared: prepared.into(),
            launches: launches.into(),
            alone,
            memo: None,
        })
    }

    /// Its launches in time on the GPU alone, each with its repetitions as one piece; waits of the host
    /// are spread evenly over the ends of rounds.
    pub fn spans(&self) -> Vec<Span> {
        let launch = &self.entry.gpu.launch;
        let rounds = self.frame.launches.windows(2).filter(|pair| pair[0].round != pair[1].round);
        let waits_ns = self.frame.host_waits as f64 * launch.host_wait.ns();
        let wait_ns = waits_ns / (rounds.count().max(1)) as f64;
        let (mut spans, mut now_ns) = (Vec::new(), 0.0);
        let mut round = self.frame.launches.first().map(|launch| launch.round);
        for (work, priced) in self.frame.launches.iter().zip(self.launches.iter()) {
            let Some(priced) = priced else { continue };
            if round != Some(work.round) {
                now_ns += wait_ns;
                round = Some(work.round);
            }
            let took_ns = priced.time_ns() * work.times;
            let longest = priced.longest();
            let ps = |ns: f64| (ns * 1e3).round() as i64;
            spans.push(Span {
                name: work.name.to_owned(),
                device: 0,
                stream: 0,
                recorded_ps: None,
                simulated_ps: (ps(now_ns), ps(now_ns + took_ns)),
                shared: priced.shared,
                occupancy: priced.occupancy(),
                power_w: priced.energy_pj() * work.times / (took_ns * 1e3).max(f64::MIN_POSITIVE),
                bound_by: longest.map(|kernel| kernel.binding.name()),
            });
            now_ns += took_ns + work.times * priced.kernels.len() as f64 * launch.gap.ns();
        }
        spans
    }

    /// The frame on the GPU alone.
    pub fn result(&self) -> &FrameResult {
        &self.alone
    }
}

/// Prices a frame.
///
/// # Errors
/// When a launch does not run on this GPU.
pub fn price(frame: &Frame, entry: &Entry, options: Options) -> Result<FrameResult, FrameError> {
    Ok(GpuFrame::new(frame, entry, options)?.result().clone())
}

const fn long_encoding(launch: &Launch) -> Option<u64> {
    match &launch.operation {
        Operation::GridEncoding(encoding) if encoding.samples >= LONG => Some(encoding.samples),
        _ => None,
    }
}

/// Which launches are simulated: all but long encodings, of which some.
fn representatives(frame: &Frame) -> Vec<bool> {
    let long: Vec<usize> = (0..frame.launches.len())
        .filter(|&i| long_encoding(&frame.launches[i]).is_some())
        .collect();
    let mut chosen = vec![true; frame.launches.len()];
    if long.len() <= SIMULATED_ROUNDS {
        return chosen;
    }
    for &index in &long {
        chosen[index] = false;
    }
    for i in 0..SIMULATED_ROUNDS {
        chosen[long[i * (long.len() - 1) / (SIMULATED_ROUNDS - 1)]] = true;
    }
    chosen
}

/// Launches that are simulated, ready to be priced at any clock.
fn prepare(frame: &Frame, engine: &GpuEngine<'_>) -> Result<Vec<Option<Prepared>>, FrameError> {
    let chosen = representatives(frame);
    frame
        .launches
        .par_iter()
        .zip(&chosen)
        .map(|(launch, chosen)| {
            let prepare = || {
                Prepared::new(engine, &launch.operation)
                    .map_err(|reason| FrameError { launch: launch.name, reason })
            };
            chosen.then(prepare).transpose()
        })
        .collect()
}

/// Prices of all launches that are simulated, and of those between them by samples.
pub(crate) fn price_all(
    (frame, entry): (&Frame, &Entry),
    prepared: &[Option<Prepared>],
    price: impl Fn(&Prepared) -> Result<Cost, EngineError> + Sync,
) -> Result<Vec<Option<Priced>>, FrameError> {
    let exact: Result<Vec<Option<Priced>>, FrameError> = frame
        .launches
        .par_iter()
        .zip(prepared)
        .map(|(launch, prepared)| {
            let Some(prepared) = prepared else { return Ok(None) };
            let cost =
                price(prepared).map_err(|reason| FrameError { launch: launch.name, reason })?;
            let l1_hit = cost.kernels.iter().find_map(|kernel| kernel.lookup_l1);
            Ok(Some(Priced { kernels: cost.kernels, shared: cost.shared_use, l1_hit }))
        })
        .collect();
    let mut launches = exact?;
    carry_over(frame, entry.gpu.launch.kernel.ns(), &mut launches);
    Ok(launches)
}

/// Time and energy of a frame.
struct Sums {
    kernels_ns: f64,
    gaps_ns: f64,
    energy_pj: f64,
}

impl Sums {
    fn of(frame: &Frame, entry: &Entry, priced: &[Option<Priced>]) -> Self {
        let pairs =
            || frame.launches.iter().zip(priced).filter_map(|(l, p)| Some((l, p.as_ref()?)));
        let launch = &entry.gpu.launch;
        let count: f64 = pairs().map(|(l, p)| l.times * p.kernels.len() as f64).sum();
        let gaps_ns = count * launch.gap.ns() + frame.host_waits as f64 * launch.host_wait.ns();
        let of_kernels: f64 = pairs().map(|(l, p)| l.times * p.energy_pj()).sum();
        Self {
            kernels_ns: pairs().map(|(l, p)| l.times * p.time_ns()).sum(),
            gaps_ns,
            // Idle power over the gaps is not part of any kernel's energy; 1 W = 1000 pJ / ns.
            energy_pj: of_kernels + entry.gpu.power.idle.watts() * gaps_ns * 1e3,
        }
    }

    fn time_ns(&self) -> f64 {
        self.kernels_ns + self.gaps_ns
    }

    /// Mean power, in watts.
    fn mean_w(&self) -> f64 {
        self.energy_pj / self.time_ns().max(f64::MIN_POSITIVE) * 1e-3
    }
}

/// Gives launches between two simulated ones a cost by samples.
fn carry_over(frame: &Frame, launch_ns: f64, priced: &mut [Option<Priced>]) {
    let long = |i: usize| long_encoding(&frame.launches[i]).map(|samples| samples as f64);
    let mut before: Option<usize> = None;
    for index in 0..priced.len() {
        let Some(samples) = long(index) else { continue };
        if priced[index].is_some() {
            before = Some(index);
            continue;
        }
        let after = (index..priced.len()).find(|&i| long(i).is_some() && priced[i].is_some());
        let per_sample = |i: usize| {
            let time = priced[i].as_ref().map_or(0.0, Priced::time_ns);
            (time - launch_ns).max(0.0) / long(i).unwrap_or(1.0)
        };
        let (Some(a), Some(b)) = (before.or(after), after.or(before)) else { continue };
        let way = if a == b { 0.0 } else { (index - a) as f64 / (b - a) as f64 };
        let time = launch_ns + samples * (per_sample(a) * (1.0 - way) + per_sample(b) * way);
        let nearest = if way < 0.5 { a } else { b };
        let factor = samples / long(nearest).unwrap_or(samples);
        priced[index] = priced[nearest].as_ref().map(|p| p.scaled(launch_ns, factor, time));
    }
}

fn assemble(
    frame: &Frame,
    entry: &Entry,
    engine: &GpuEngine<'_>,
    priced: &[Option<Priced>],
) -> FrameResult {
    let pairs: Vec<(&Launch, &Priced)> =
        frame.launches.iter().zip(priced).filter_map(|(l, p)| Some((l, p.as_ref()?))).collect();
    let sums = Sums::of(frame, entry, priced);
    let kernels_ns = sums.kernels_ns;
    let mut traffic = Traffic::default();
    let mut rows: Vec<KernelRow> = Vec::new();
    let mut longest: Vec<f64> = Vec::new();
    let mut parts: Vec<PartRow> = Vec::new();
    for (launch, p) in &pairs {
        let time_ms = launch.times * p.time_ns() / 1e6;
        let mut energy_mj = 0.0;
        let mut moved = Traffic::default();
        for kernel in &p.kernels {
            energy_mj += launch.times * kernel.energy.total_pj() / 1e9;
            moved += kernel.traffic.times(launch.times);
        }
        traffic += moved;
        match parts.iter_mut().find(|row| row.part == launch.part) {
            Some(row) => {
                row.time_ms += time_ms;
                row.energy_mj += energy_mj;
            }
            None => {
                parts.push(PartRow { part: launch.part, time_ms, share_pct: 0.0, energy_mj });
            }
        }
        let at = rows.iter().position(|row| row.name == launch.name).unwrap_or_else(|| {
            rows.push(KernelRow::of(launch));
            longest.push(0.0);
            rows.len() - 1
        });
        let row = &mut rows[at];
        row.launches += launch.times;
        row.time_ms += time_ms;
        row.energy_mj += energy_mj;
        row.l2_gb += moved.l2_bytes / 1e9;
        row.dram_gb += (moved.dram_read_bytes + moved.dram_write_bytes) / 1e9;
        if p.time_ns() > longest[at] {
            longest[at] = p.time_ns();
            row.l1_hit_pct = p.l1_hit.map(|hit| hit * 100.0);
            let error = p.kernels.iter().map(|kernel| kernel.lookup_error).fold(0.0, f64::max);
            row.miss_error_pct = p.l1_hit.map(|_| error * 100.0);
            if let Some(kernel) = p.kernels.first() {
                row.bound_by = kernel.binding;
                row.variant.clone_from(&kernel.variant);
                row.occupancy_pct = kernel.occupancy.share * 100.0;
                row.occupancy_limit = kernel.occupancy.limit;
            }
        }
    }
    let share = |ms: f64| ms * 1e6 / kernels_ns.max(f64::MIN_POSITIVE) * 100.0;
    for row in &mut rows {
        row.share_pct = share(row.time_ms);
        row.l2_hit_pct = (1.0 - row.dram_gb / row.l2_gb.max(1e-12)).clamp(0.0, 1.0) * 100.0;
    }
    for row in &mut parts {
        row.share_pct = share(row.time_ms);
    }
    rows.sort_by(|a, b| b.time_ms.total_cmp(&a.time_ms));
    parts.sort_by_key(|row| row.part);
    let frame_ns = sums.time_ns();
    let error = rows.iter().filter_map(|row| row.miss_error_pct).reduce(f64::max);
    let mut assumptions = frame.assumptions.clone();
    assumptions.extend(error.map(|error| {
        format!(
            "the share of lookups that reach DRAM is a sample, standard error {error:.1} points"
        )
    }));
    FrameResult {
        gpu: entry.id.clone(),
        gpu_name: entry.gpu.gpu.name.clone(),
        clock_mhz: engine.clock_hz() / 1e6,
        frame_ms: frame_ns / 1e6,
        frames_per_s: 1e9 / frame_ns,
        kernels_ms: kernels_ns / 1e6,
        gaps_ms: sums.gaps_ns / 1e6,
        energy_mj: sums.energy_pj / 1e9,
        mean_power_w: sums.mean_w(),
        pixels: frame.pixels,
        queries: frame.queries,
        elements: frame
            .walk
            .as_ref()
            .map_or(frame.queries, lumacycle_workloads::rays::Walk::elements),
        per_ray: frame.walk.as_ref().map(|walk| walk.per_ray),
        traffic,
        parts,
        kernels: rows,
        rounds: rounds(frame, &pairs),
        bounds: None,
        assumptions,
    }
}

fn rounds(frame: &Frame, pairs: &[(&Launch, &Priced)]) -> Vec<RoundRow> {
    let Some(walk) = &frame.walk else { return Vec::new() };
    let mut times = vec![0.0; walk.rounds.len()];
    for (launch, priced) in pairs {
        if let Some(time) = times.get_mut(launch.round) {
            *time += launch.times * priced.time_ns() / 1e6;
        }
    }
    let rows = walk.rounds.iter().zip(times).enumerate();
    rows.map(|(number, (round, time_ms))| RoundRow {
        round: number,
        alive: round.alive,
        steps: round.steps,
        elements: round.elements,
        queries: round.used,
        time_ms,
    })
    .collect()
}
