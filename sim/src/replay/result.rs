//! The result of a replay: one type for tables, CSV and JSON.

use lumacycle_arch::Entry;
use lumacycle_engines::{Cost, GpuEngine, Resource};
use lumacycle_traces::{EventKind, Known, Recording, Skipped};
use lumacycle_workloads::KernelClass;
use serde::Serialize;

use super::floor::{FloorRow, Floors};
use super::{Priced, ReplayOptions, clock_shown, resources, timed_alike};
use crate::VERSION;
use crate::schedule::{self, Ran};

/// A replay of one rank on one GPU.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReplayResult {
    /// Version of the tool.
    pub version: &'static str,
    /// The recording: file, or member of an archive.
    pub recording: String,
    /// BLAKE3 hash of the input file, where there is one.
    pub input_hash: Option<String>,
    /// Rank, where recorded.
    pub rank: Option<i64>,
    /// GPU that recorded, as the trace or the user names it.
    pub recorded_gpu: Option<String>,
    /// Catalogue entry simulated.
    pub gpu: String,
    /// Its name.
    pub gpu_name: String,
    /// Its compute capability × 10.
    #[serde(skip)]
    pub compute_capability: u32,
    /// Whether it is the one that recorded, at a clock at which the recorded durations were taken, so
    /// that errors mean something.
    pub on_recorded_gpu: bool,
    /// SM clock simulated, in MHz.
    pub clock_mhz: f64,
    /// Events replayed.
    pub events: usize,
    /// Distinct launches among them.
    pub distinct: usize,
    /// Sums.
    pub totals: Totals,
    /// By kind of work, most recorded time first.
    pub classes: Vec<ClassRow>,
    /// By how much is known.
    pub known: Vec<KnownRow>,
    /// Predicted time by binding resource, most first.
    pub bound_by: Vec<BoundRow>,
    /// The same for every resource that is used, where [`ReplayOptions::every_resource`] asks for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<BoundRow>,
    /// Distinct launches, most predicted time first.
    pub kernels: Vec<KernelRow>,
    /// What the reader left out.
    pub skipped: Vec<Skipped>,
    /// What this result takes for granted.
    pub assumptions: Vec<String>,
    /// Damage at which reading stopped.
    pub cut: Option<String>,
    /// What is added to launches of a kind, as the recording's shortest show.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub launch_floors: Vec<FloorRow>,
    /// That the recorded GPU seems to have run at a lower clock, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_remark: Option<String>,
}

/// Times of the whole replay.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Totals {
    /// Sum of recorded durations, in ms.
    pub recorded_sum_ms: f64,
    /// Sum of predicted durations, in ms.
    pub predicted_sum_ms: f64,
    /// Union of recorded intervals (per device, summed), in ms.
    pub recorded_busy_ms: f64,
    /// Union of simulated intervals, in ms.
    pub predicted_busy_ms: f64,
    /// Recorded end minus start, in ms.
    pub recorded_span_ms: f64,
    /// Simulated end minus start, in ms.
    pub predicted_span_ms: f64,
    /// Share of the recorded sum whose prediction owes nothing to the recorded durations, in
    /// percent; errors are stated on this share only.
    pub independent_pct: f64,
    /// Error of the sum over that share, on the recording GPU, in percent.
    pub error_pct: Option<f64>,
    /// The same without what is added to launches, in percent.
    pub unfloored_error_pct: Option<f64>,
    /// Energy of the predicted kernels, in mJ.
    pub energy_mj: f64,
    /// That energy over the predicted sum, in W.
    pub mean_power_w: f64,
    /// Spec-sheet roofline of what is known, in ms.
    pub roofline_sum_ms: f64,
}

/// One kind of work.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassRow {
    /// Kind.
    pub class: KernelClass,
    /// Events.
    pub events: u64,
    /// Sum of recorded durations, in ms.
    pub recorded_ms: f64,
    /// Sum of predicted durations, in ms.
    pub predicted_ms: f64,
    /// (predicted − recorded) / recorded of the sums, on the recording GPU only, in percent;
    /// what kept its recorded duration is left out of both.
    pub error_pct: Option<f64>,
    /// The same for a spec-sheet roofline.
    pub roofline_error_pct: Option<f64>,
    /// Energy, in mJ.
    pub energy_mj: f64,
}

/// One degree of knowledge.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KnownRow {
    /// Which.
    pub known: Known,
    /// Words for it.
    pub meaning: &'static str,
    /// Events.
    pub events: u64,
    /// Share of the recorded time, in percent.
    pub recorded_pct: f64,
    /// As in [`ClassRow`].
    pub error_pct: Option<f64>,
}

/// Time by binding resource.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BoundRow {
    /// Which.
    pub resource: Resource,
    /// Share of the predicted time, in percent.
    pub predicted_pct: f64,
    /// Time that it alone would need for all launches whose work is known, over the predicted time, in percent.
    pub needed_pct: f64,
    /// What a tenth more of it would save of the predicted sum, in percent.
    pub tenth_more_saves_pct: f64,
}

/// One distinct launch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KernelRow {
    /// Number of the distinct launch in the recording; the same on every GPU.
    pub launch: usize,
    /// Name as recorded.
    pub name: String,
    /// Operator that launched it.
    pub operator: Option<String>,
    /// Kind.
    pub class: KernelClass,
    /// How much is known.
    pub known: Known,
    /// Launches.
    pub count: u64,
    /// Mean recorded duration, in µs.
    pub recorded_us: f64,
    /// Predicted duration, in µs.
    pub predicted_us: f64,
    /// Part of it that is added as the recording's shortest launches show, in µs.
    pub launch_floor_us: f64,
    /// On the recording GPU, in percent.
    pub error_pct: Option<f64>,
    /// A spec-sheet roofline, in µs, where the work is known.
    pub roofline_us: Option<f64>,
    /// Binding resource; none where the recorded duration is kept.
    pub bound_by: Option<Resource>,
    /// What a tenth more of it saves, in percent.
    pub tenth_more_saves_pct: f64,
    /// Implementation simulated.
    pub variant: String,
    /// CTAs.
    pub ctas: u64,
    /// Waves.
    pub waves: f64,
    /// Occupancy, in percent.
    pub occupancy_pct: f64,
    /// What limits it.
    pub occupancy_limit: &'static str,
    /// Arithmetic, in GFLOP; 0 where the work is not known.
    pub gflop: f64,
    /// DRAM traffic, in MB.
    pub dram_mb: f64,
    /// Share of L2 traffic that DRAM was spared, in percent.
    pub l2_hit_pct: f64,
    /// Energy, in mJ.
    pub energy_mj: f64,
    /// Why this GPU cannot run it, where it cannot.
    pub failure: Option<String>,
    /// What else there is to know about the figures.
    pub note: Option<String>,
}

#[derive(Default, Clone, Copy)]
struct Sum {
    events: u64,
    recorded_ps: f64,
    predicted_ps: f64,
    /// Predicted time of what was priced at all.
    priced_ps: f64,
    /// Recorded and predicted time of what was predicted independently of the recording.
    compared: (f64, f64),
    /// Part of the second that is added to launches.
    floor_ps: f64,
    roofline: (f64, f64),
    energy_pj: f64,
}

impl Sum {
    fn add(&mut self, count: u64, recorded_ps: f64, priced: &Priced) {
        self.events += count;
        self.recorded_ps += recorded_ps;
        let n = count as f64;
        match (priced.time_ns(), &priced.cost) {
            (Some(time_ns), Some(cost)) => {
                let predicted = time_ns * 1e3 * n;
                self.predicted_ps += predicted;
                self.energy_pj += (cost.energy.total_pj() + priced.waiting_pj) * n;
                self.priced_ps += predicted;
                if !priced.independent() {
                    return;
                }
                self.compared.0 += recorded_ps;
                self.compared.1 += predicted;
                self.floor_ps += priced.floor_ns * 1e3 * n;
                if let Some(ns) = priced.roofline_ns {
                    self.roofline.0 += recorded_ps;
                    self.roofline.1 += ns * 1e3 * n;
                }
            }
            _ => self.predicted_ps += recorded_ps,
        }
    }
}

/// Time that a resource alone would need for all launches, in ps.
fn needed(priced: &[Option<Priced>], counts: &[(u64, f64)], resource: Resource) -> f64 {
    let costs =
        priced.iter().zip(counts).filter_map(|(p, (n, _))| Some((p.as_ref()?.cost.as_ref()?, n)));
    let of = |cost: &Cost| -> f64 {
        let busy = cost.kernels.iter().flat_map(|kernel| &kernel.busy_ns);
        busy.filter(|(own, _)| *own == resource).map(|(_, ns)| ns * 1e3).sum()
    };
    // Copies and collectives are bound by what they need most, and nothing else is known of them.
    let whole = |cost: &Cost| {
        let alone = cost.kernels.is_empty() && cost.binding == resource;
        if alone { cost.time_ns * 1e3 } else { of(cost) }
    };
    costs.map(|(cost, n)| whole(cost) * *n as f64).sum()
}

fn error_pct((recorded, predicted): (f64, f64), wanted: bool) -> Option<f64> {
    (wanted && recorded > 0.0).then(|| (predicted - recorded) / recorded * 100.0)
}

const PS_PER_MS: f64 = 1e9;
const PJ_PER_MJ: f64 = 1e9;

pub(super) fn assemble(
    recording: &Recording,
    entry: &Entry,
    (engine, options): (&GpuEngine<'_>, &ReplayOptions<'_>),
    (priced, floors): (&[Option<Priced>], &Floors),
    ran: &[Ran],
) -> ReplayResult {
    let own = options.is_own(entry) && timed_alike(recording, engine);
    let mut counts = vec![(0_u64, 0.0_f64); priced.len()];
    for event in &recording.events {
        let (count, total) = &mut counts[event.signature as usize];
        *count += 1;
        *total += event.duration_ps as f64;
    }
    let mut all = Sum::default();
    let mut classes: Vec<(KernelClass, Sum)> = Vec::new();
    let mut degrees: Vec<(Known, Sum)> = Vec::new();
    let mut bound: Vec<(Resource, f64, f64)> = Vec::new();
    let mut kernels = Vec::new();
    for (index, (priced, &(count, recorded_ps))) in priced.iter().zip(&counts).enumerate() {
        let Some(priced) = priced else { continue };
        all.add(count, recorded_ps, priced);
        entry_of(&mut classes, priced.classified.class).add(count, recorded_ps, priced);
        entry_of(&mut degrees, priced.classified.known).add(count, recorded_ps, priced);
        if let Some(cost) = &priced.cost {
            let n = count as f64;
            let time = cost.time_ns * 1e3 * n;
            let floor = (Resource::KernelLaunch, priced.floor_ns * 1e3 * n, 0.0);
            for (resource, time, saved) in [(cost.binding, time, time * priced.relief), floor] {
                match bound.iter_mut().find(|(of, ..)| *of == resource) {
                    Some((_, total, relief)) => {
                        (*total, *relief) = (*total + time, *relief + saved);
                    }
                    None if time > 0.0 => bound.push((resource, time, saved)),
                    None => {}
                }
            }
        }
        kernels.push(row(recording, index, priced, count, recorded_ps, own));
    }
    classes.sort_by(|a, b| b.1.recorded_ps.total_cmp(&a.1.recorded_ps).then(a.0.cmp(&b.0)));
    degrees.sort_by_key(|(known, _)| *known);
    bound.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    kernels.sort_by(|a: &KernelRow, b| {
        let time = |row: &KernelRow| row.predicted_us * row.count as f64;
        time(b).total_cmp(&time(a)).then_with(|| a.name.cmp(&b.name))
    });
    let predicted_total = all.predicted_ps.max(f64::MIN_POSITIVE);
    let alone = |resource| needed(priced, &counts, resource);
    let resources = if options.every_resource {
        resources::rows(engine, priced, &counts, &bound, (predicted_total, &alone))
    } else {
        Vec::new()
    };
    ReplayResult {
        version: VERSION,
        recording: recording.name.clone(),
        input_hash: None,
        rank: recording.rank,
        recorded_gpu: recording.main_device().map(|device| device.name.clone()),
        gpu: entry.id.clone(),
        gpu_name: entry.gpu.gpu.name.clone(),
        compute_capability: entry.gpu.gpu.compute_capability,
        on_recorded_gpu: own,
        clock_mhz: engine.clock_hz() / 1e6,
        events: recording.events.len(),
        distinct: kernels.len(),
        totals: totals(recording, ran, &all, own),
        classes: classes
            .into_iter()
            .map(|(class, sum)| ClassRow {
                class,
                events: sum.events,
                recorded_ms: sum.recorded_ps / PS_PER_MS,
                predicted_ms: sum.predicted_ps / PS_PER_MS,
                error_pct: error_pct(sum.compared, own),
                roofline_error_pct: error_pct(sum.roofline, own),
                energy_mj: sum.energy_pj / PJ_PER_MJ,
            })
            .collect(),
        known: degrees
            .into_iter()
            .map(|(known, sum)| KnownRow {
                known,
                meaning: known.describe(),
                events: sum.events,
                recorded_pct: sum.recorded_ps / all.recorded_ps.max(f64::MIN_POSITIVE) * 100.0,
                error_pct: error_pct(sum.compared, own),
            })
            .collect(),
        bound_by: bound
            .into_iter()
            .map(|(resource, time, saved)| BoundRow {
                resource,
                predicted_pct: time / predicted_total * 100.0,
                needed_pct: alone(resource) / predicted_total * 100.0,
                tenth_more_saves_pct: saved / predicted_total * 100.0,
            })
            .collect(),
        assumptions: assumptions(recording, engine, options, floors),
        launch_floors: floors.0.clone(),
        clock_remark: clock_shown::remark(&kernels, engine.clock_hz() / 1e6),
        resources,
        kernels,
        skipped: recording.skipped.clone(),
        cut: recording.cut.clone(),
    }
}

fn entry_of<K: PartialEq>(list: &mut Vec<(K, Sum)>, key: K) -> &mut Sum {
    let at = list.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
        list.push((key, Sum::default()));
        list.len() - 1
    });
    &mut list[at].1
}

fn totals(recording: &Recording, ran: &[Ran], all: &Sum, own: bool) -> Totals {
    let recorded: Vec<_> = recording.events.iter().map(|e| (e.start_ps, e.end_ps())).collect();
    let simulated: Vec<_> = ran.iter().map(|r| (r.start_ps, r.end_ps)).collect();
    let span = |intervals: &[(i64, i64)]| {
        let first = intervals.iter().map(|i| i.0).min().unwrap_or(0);
        let last = intervals.iter().map(|i| i.1).max().unwrap_or(0);
        (last - first) as f64 / PS_PER_MS
    };
    let predicted_s = all.priced_ps / 1e12;
    let energy_j = all.energy_pj / 1e12;
    Totals {
        recorded_sum_ms: all.recorded_ps / PS_PER_MS,
        predicted_sum_ms: all.predicted_ps / PS_PER_MS,
        recorded_span_ms: span(&recorded),
        predicted_span_ms: span(&simulated),
        recorded_busy_ms: busy_ms(recording, &recorded),
        predicted_busy_ms: busy_ms(recording, &simulated),
        independent_pct: all.compared.0 / all.recorded_ps.max(f64::MIN_POSITIVE) * 100.0,
        error_pct: error_pct(all.compared, own),
        unfloored_error_pct: error_pct((all.compared.0, all.compared.1 - all.floor_ps), own),
        energy_mj: energy_j * 1e3,
        mean_power_w: if predicted_s > 0.0 { energy_j / predicted_s } else { 0.0 },
        roofline_sum_ms: all.roofline.1 / PS_PER_MS,
    }
}

/// Union of intervals on each device, summed over devices, in ms.
fn busy_ms(recording: &Recording, intervals: &[(i64, i64)]) -> f64 {
    let mut devices: Vec<i32> = recording.events.iter().map(|event| event.device).collect();
    devices.sort_unstable();
    devices.dedup();
    let busy_ps = |device: i32| {
        let events = recording.events.iter().zip(intervals);
        let here = events.filter(|(event, _)| event.device == device);
        schedule::busy_ps(here.map(|(_, interval)| *interval).collect())
    };
    devices.into_iter().map(busy_ps).sum::<i64>() as f64 / PS_PER_MS
}

fn row(
    recording: &Recording,
    index: usize,
    priced: &Priced,
    count: u64,
    recorded_ps: f64,
    own: bool,
) -> KernelRow {
    let signature = &recording.signatures[index];
    let recorded_us = recorded_ps / count.max(1) as f64 / 1e6;
    let cost = priced.cost.as_ref();
    let longest =
        cost.and_then(|cost| cost.kernels.iter().max_by(|a, b| a.time_ns.total_cmp(&b.time_ns)));
    let predicted_us = priced.time_ns().map_or(recorded_us, |ns| ns / 1e3);
    let note = match (&priced.failure, priced.classified.known) {
        (Some(error), _) => Some(format!("recorded duration kept: {error}")),
        (None, Known::Kept) => Some(match signature.kind {
            EventKind::Memcpy => "recorded duration kept: the host sets the pace".to_owned(),
            _ => "recorded duration kept: the recording does not say enough".to_owned(),
        }),
        (None, Known::Inferred) => {
            Some("work inferred from the recorded duration: no error is stated".to_owned())
        }
        _ if priced.waiting_ns > 0.0 => {
            Some("includes the recorded wait for other ranks".to_owned())
        }
        _ => None,
    };
    KernelRow {
        launch: index,
        name: signature.name.to_string(),
        operator: signature.operator.as_ref().map(|operator| operator.name.to_string()),
        class: priced.classified.class,
        known: priced.classified.known,
        count,
        recorded_us,
        predicted_us,
        launch_floor_us: priced.floor_ns / 1e3,
        error_pct: error_pct((recorded_us, predicted_us), own && priced.independent()),
        roofline_us: priced.roofline_ns.map(|ns| ns / 1e3),
        bound_by: cost.map(|cost| cost.binding),
        tenth_more_saves_pct: priced.relief * 100.0,
        variant: longest.map_or_else(String::new, |kernel| kernel.variant.clone()),
        ctas: signature.launch.map_or(0, |launch| launch.ctas()),
        waves: longest.map_or(0.0, |kernel| kernel.waves),
        occupancy_pct: longest.map_or(0.0, |kernel| kernel.occupancy.share * 100.0),
        occupancy_limit: longest.map_or("none", |kernel| kernel.occupancy.limit),
        gflop: priced.classified.operation.as_ref().map_or(0.0, |work| work.flops() / 1e9),
        dram_mb: cost.map_or(0.0, |cost| {
            (cost.traffic.dram_read_bytes + cost.traffic.dram_write_bytes) / 1e6
        }),
        l2_hit_pct: cost.map_or(0.0, |cost| cost.traffic.l2_hit_rate() * 100.0),
        energy_mj: cost
            .map_or(0.0, |cost| (cost.energy.total_pj() + priced.waiting_pj) / PJ_PER_MJ),
        failure: priced.failure.as_ref().map(ToString::to_string),
        note,
    }
}

/// What the durations of a profiler's counter runs are worth.
fn of_profiled(recording: &Recording, options: &ReplayOptions<'_>) -> Option<String> {
    let profiled = recording.profiled?;
    let clock_hz = options.profiled_clock_hz(recording);
    let mhz = clock_hz.map_or_else(String::new, |hz| format!("{:.0} MHz", hz / 1e6));
    Some(match (profiled.clock_hz, clock_hz) {
        (Some(_), _) => format!(
            "a profiler recorded the durations with the SMs at {mhz} and empty caches: they are no plain timings, and errors are stated only at that clock (--clock \"{mhz}\" --cold-l2)"
        ),
        (None, Some(_)) => format!(
            "a profiler recorded the durations with empty caches and at a clock that it did not write down, taken as the base clock of {mhz}: they are no plain timings, and no error is stated"
        ),
        (None, None) => "a profiler recorded the durations with empty caches and at a clock that it did not write down: they are no plain timings, and no error is stated".to_owned(),
    })
}

fn assumptions(
    recording: &Recording,
    engine: &GpuEngine<'_>,
    options: &ReplayOptions<'_>,
    floors: &Floors,
) -> Vec<String> {
    let l2 = match engine.options.l2 {
        lumacycle_engines::L2Start::Warm => {
            "L2 holds what a kernel touches at its start as far as it fits"
        }
        lumacycle_engines::L2Start::InSequence => {
            "L2 holds what a kernel reads at its start as far as it fits; what it writes is written back"
        }
        lumacycle_engines::L2Start::Cold => "L2 is empty at the start of each kernel",
    };
    let mhz = engine.clock_hz() / 1e6;
    let clock = match engine.options.clock_hz {
        Some(_) => format!("SMs run at {mhz:.0} MHz throughout, whatever power that takes"),
        None => format!("SMs run at {mhz:.0} MHz, or as far below as the power limit asks for"),
    };
    let mut all = vec![
        clock,
        l2.to_owned(),
        "gaps that the host caused are kept as recorded".to_owned(),
        "lookup indices are spread uniformly".to_owned(),
        "energy from events, calibrated on boards from Maxwell to Ada; later ones by their rates under power limits".to_owned(),
    ];
    all.extend(of_profiled(recording, options));
    all.extend(floors.said());
    if engine.options.neighbours_copy && engine.gpu.link.host_sharers > 1 {
        all.push(format!(
            "ranks copy to and from the host at the same time, and {} GPUs share an uplink",
            engine.gpu.link.host_sharers
        ));
    }
    all.extend(recording.notes.iter().cloned());
    all
}
