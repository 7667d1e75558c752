//! One kernel launch: full waves, the tail, and the device-wide bounds.

use lumacycle_workloads::Kernel;
use lumacycle_workloads::kernel::Stage;

use super::clock;
use super::occupancy::occupancy;
use super::sm::{self, PIPES, SmTime};
use super::traffic::{self, Movement, StageMovement};
use super::{GpuEngine, Options, energy, uneven};
use crate::EngineError;
use crate::cost::{Energy, KernelCost, Occupancy, Resource, Traffic};
use crate::memory::dram;

/// Time of the resources that all SMs share, in nanoseconds.
struct SharedTime {
    l2: f64,
    dram: f64,
    dram_rows: f64,
    launch: f64,
}

impl SharedTime {
    fn of(engine: &GpuEngine<'_>, traffic: &Traffic, ctas: f64) -> Self {
        let gpu = engine.gpu;
        let clock = engine.clock_hz();
        Self {
            l2: ((traffic.l2_bytes - traffic.l2_coalesced_bytes) / gpu.l2.bytes_per_clock)
                .max(traffic.l2_atomics * gpu.l2.atomic_clocks / f64::from(gpu.l2.slices.max(1)))
                / clock
                * 1e9
                / engine.relief(Resource::L2),
            dram: dram::bus_ns(gpu, traffic)
                / engine.memory_scale()
                / engine.relief(Resource::Dram),
            dram_rows: dram::rows_ns(gpu, traffic) / engine.relief(Resource::DramRows),
            launch: ctas / (gpu.launch.ctas_per_clock * clock) * 1e9
                / engine.relief(Resource::CtaLaunch),
        }
    }

    fn longest(&self) -> f64 {
        self.memory().max(self.launch)
    }

    /// L2 and DRAM.
    fn memory(&self) -> f64 {
        self.l2.max(self.dram).max(self.dram_rows)
    }
}

/// What does not depend on the speed of any resource: residency and movement of the CTAs of a
/// launch that are alike.
#[derive(Debug, Clone)]
struct Group {
    occupancy: Occupancy,
    /// CTAs per SM that an endless grid would find room for.
    room: u32,
    /// Tiles; persistent launches walk several per CTA, and grids padded by a swizzle start CTAs
    /// that return at once.
    ctas: f64,
    movement: Movement,
    /// How much longer it takes because its CTAs differ in length.
    imbalance: f64,
}

/// A group and the description of its CTAs.
struct Placed<'k> {
    kernel: &'k Kernel,
    group: &'k Group,
}

impl std::ops::Deref for Placed<'_> {
    type Target = Group;

    fn deref(&self) -> &Group {
        self.group
    }
}

/// A launch with its caches looked up, to be priced at any clock.
#[derive(Debug, Clone)]
pub(super) struct PlacedKernel {
    kernel: Kernel,
    /// One for each group of CTAs that are alike, in dispatch order.
    groups: Vec<Group>,
}

impl PlacedKernel {
    /// Places a launch.
    pub(super) fn new(engine: &GpuEngine<'_>, kernel: Kernel) -> Result<Self, EngineError> {
        let all = std::iter::once(&kernel).chain(&kernel.then);
        let groups: Result<_, _> = all.map(|kernel| place_group(engine, kernel)).collect();
        Ok(Self { groups: groups?, kernel })
    }

    fn placed(&self) -> Vec<Placed<'_>> {
        let kernels = std::iter::once(&self.kernel).chain(&self.kernel.then);
        kernels.zip(&self.groups).map(|(kernel, group)| Placed { kernel, group }).collect()
    }

    /// Price at the clock that the engine settles at.
    pub(super) fn price(&self, engine: &GpuEngine<'_>) -> KernelCost {
        let placed = self.placed();
        clock::settle(engine, |engine| loaded(engine, &self.kernel, &placed))
    }

    /// The resource of which a tenth more saves most. Only those that are busy for a good part of
    /// the time can be, besides latency and the launch itself.
    pub(super) fn binding(&self, engine: &GpuEngine<'_>, cost: &KernelCost) -> Resource {
        let busy = cost.busy_ns.iter().filter(|(_, ns)| *ns > 0.3 * cost.time_ns);
        let mut best = (0.0, cost.binding);
        let placed = self.placed();
        for resource in busy.map(|(resource, _)| *resource).chain([Resource::Latency]) {
            let clock_hz = Some(cost.clock_mhz * 1e6);
            let options = Options { relief: Some((resource, 1.1)), clock_hz, ..engine.options };
            let saved = cost.time_ns - loaded(&engine.with(options), &self.kernel, &placed).time_ns;
            if saved > best.0 {
                best = (saved, resource);
            }
        }
        // Under a thousandth, nothing in particular binds but the fixed cost or the longest bound.
        if best.0 > 1e-3 * cost.time_ns { best.1 } else { cost.binding }
    }
}

fn place_group(engine: &GpuEngine<'_>, kernel: &Kernel) -> Result<Group, EngineError> {
    let gpu = engine.gpu;
    let (occupancy, room) = occupancy(gpu, &kernel.launch)?;
    if let Some(kind) = kernel.tensor
        && sm::tensor_rate(gpu, kind) <= 0.0
    {
        return Err(EngineError::NoTensorCores { kind });
    }
    let ctas = traffic::kernel_ctas(kernel).max(1) as f64;
    let resident = f64::from(occupancy.ctas_per_sm) * f64::from(gpu.sm.count);
    let concurrent = resident.min(ctas).max(1.0) as u64;
    let movement = traffic::movement(engine, kernel, occupancy.ctas_per_sm, concurrent);
    let imbalance = uneven::imbalance(engine, kernel, &movement, occupancy.ctas_per_sm, ctas);
    Ok(Group { occupancy, room, ctas, movement, imbalance })
}

pub(super) fn price(engine: &GpuEngine<'_>, kernel: &Kernel) -> Result<KernelCost, EngineError> {
    Ok(PlacedKernel::new(engine, kernel.clone())?.price(engine))
}

/// Time with the latency that the kernel's own use of DRAM brings about.
fn loaded(engine: &GpuEngine<'_>, kernel: &Kernel, placed: &[Placed<'_>]) -> KernelCost {
    let mut cost = time(engine, kernel, placed, 0.0);
    let of_dram = |(resource, _): &&(Resource, f64)| *resource == Resource::Dram;
    let dram_ns = cost.busy_ns.iter().find(of_dram).map_or(0.0, |(_, ns)| *ns);
    let unloaded_ns = cost.time_ns;
    // Under a tenth nothing waits for long.
    if dram_ns < 0.1 * unloaded_ns {
        return cost;
    }
    // The longer it takes the less it loads.
    let mut load = dram_ns / unloaded_ns;
    for _ in 0..LOAD_STEPS {
        let last_ns = cost.time_ns;
        cost = time(engine, kernel, placed, load.min(1.0));
        if (cost.time_ns - last_ns).abs() <= SETTLED * last_ns {
            break;
        }
        load = f64::midpoint(load, dram_ns / cost.time_ns);
    }
    cost
}

/// Change of time that no longer matters.
const SETTLED: f64 = 1e-4;
/// Rounds in which load and latency settle.
const LOAD_STEPS: u32 = 3;

fn latency(engine: &GpuEngine<'_>, group: &Placed<'_>, load: f64) -> f64 {
    sm::read_latency_cycles(engine, &group.movement, load)
}

fn set(engine: &GpuEngine<'_>, group: &Placed<'_>, resident: f64, latency: f64) -> SmTime {
    sm::resident_set(engine, group.kernel, &group.movement, resident, latency)
}

/// Time of all waves, one after another, with so many CTAs resident on an SM while so much of DRAM
/// is taken. `full` are the times of full sets, by group.
fn of_waves(
    engine: &GpuEngine<'_>,
    placed: &[Placed<'_>],
    full: &[SmTime],
    (per_sm, load): (f64, f64),
) -> f64 {
    let sms = f64::from(engine.gpu.sm.count);
    let to_ns = 1e9 / engine.clock_hz();
    let order = engine.gpu.sm.overlap_order;
    let mut time = 0.0;
    for wave in waves_of(placed, per_sm * sms) {
        let all: f64 = wave.ctas.iter().map(|(_, ctas)| ctas).sum();
        // The tail spreads over the SMs before it doubles up.
        let resident = libm::ceil(all / sms).clamp(1.0, per_sm);
        let (mut alone, mut working, mut waiting) = (0.0, 0.0, 0.0);
        let mut moved = Traffic::default();
        let mut bursts_ns = 0.0;
        for &(index, ctas) in &wave.ctas {
            let group = &placed[index];
            let loaded = latency(engine, group, load);
            let tail;
            let own = if resident >= per_sm {
                &full[index]
            } else {
                tail = set(engine, group, resident, loaded);
                &tail
            };
            alone += own.cycles * ctas / all;
            // The first wait is covered by the predecessors' last work.
            waiting += (own.waits - loaded).max(0.0) * ctas / all;
            working += (set(engine, group, resident, 0.0).cycles + own.apart_waits) * ctas / all;
            moved += group.movement.traffic.times(ctas / group.ctas);
            bursts_ns += bursts(engine, group, ctas);
        }
        let shared = SharedTime::of(engine, &moved, all).longest();
        // Work on the SMs, work on memory and waiting for it cover each other in part.
        // While all move what they want at once an SM does nothing else, unless it has other CTAs, which drift apart;
        // and what it moves is memory's work like the rest.
        let bursts_ns = bursts_ns / resident;
        let worked = together(working * to_ns + bursts_ns, shared, order);
        let waited = together(worked, waiting * to_ns, order);
        time += wave.times * waited.max(alone * to_ns + bursts_ns);
    }
    time
}

/// Time in which so many CTAs move what they all want at once, before or after they compute.
fn bursts(engine: &GpuEngine<'_>, group: &Placed<'_>, ctas: f64) -> f64 {
    let stages = group.kernel.stages.iter().zip(&group.movement.stages);
    let of = |(stage, moved): (&Stage, &StageMovement)| {
        let times = ctas * stage.iterations;
        let traffic = Traffic {
            l2_bytes: moved.below_l1_bytes * times,
            dram_read_bytes: moved.dram_read_bytes * times,
            ..Traffic::default()
        };
        SharedTime::of(engine, &traffic, 0.0).longest()
    };
    stages.filter(|(stage, _)| stage.in_step).map(of).sum()
}

fn time(engine: &GpuEngine<'_>, kernel: &Kernel, placed: &[Placed<'_>], load: f64) -> KernelCost {
    let gpu = engine.gpu;
    let sms = f64::from(gpu.sm.count);
    let ctas: f64 = placed.iter().map(|group| group.ctas).sum();
    let room = placed.iter().map(|group| group.room).min().unwrap_or(1);
    // Groups of one launch fill the device together.
    let per_sm = f64::from(if placed.len() > 1 {
        room.min((libm::ceil(ctas / sms)) as u32).max(1)
    } else {
        placed.first().map_or(1, |group| group.occupancy.ctas_per_sm)
    });
    let to_ns = 1e9 / engine.clock_hz();
    let waves = ctas / (per_sm * sms);

    let full: Vec<SmTime> = placed
        .iter()
        .map(|group| set(engine, group, per_sm, latency(engine, group, load)))
        .collect();
    let mut time = of_waves(engine, placed, &full, (per_sm, load));
    let mut traffic = Traffic::default();
    let mut first = f64::INFINITY;
    for group in placed {
        traffic += group.movement.traffic;
        // Streaming through L2 and DRAM starts once the first requests are answered.
        first = first.min(sm::read_latency_cycles(engine, &group.movement, 0.0) * to_ns);
    }
    let whole = SharedTime::of(engine, &traffic, ctas);
    if whole.longest() > 0.0 {
        time = time.max(first + whole.memory()).max(whole.launch);
    }

    // Of groups that differ the one that differs most is waited for.
    time *= placed.iter().map(|group| group.imbalance).fold(1.0, f64::max);

    // Where warps differ, the launch waits for the longest, which is alone in the end.
    let uneven = |group: &&Placed<'_>| {
        group.kernel.stages.iter().any(|stage| stage.longest_iterations > stage.iterations)
    };
    for (_, full) in placed.iter().zip(&full).filter(|(group, _)| uneven(group)) {
        time = time.max(full.longest_chain * to_ns);
    }

    let launch_ns = gpu.launch.kernel.ns() / engine.relief(Resource::KernelLaunch);
    let fetch_ns = code_bytes(kernel) / gpu.launch.fetch_bytes_per_clock * to_ns
        / engine.relief(Resource::InstructionFetch);
    let time_ns = time + launch_ns + fetch_ns;
    let mut busy_cycles = [0.0; PIPES.len()];
    let mut chain_ns = 0.0;
    let mut energy = Energy::default();
    for (group, full) in placed.iter().zip(&full) {
        let own_waves = group.ctas / (per_sm * sms);
        for (sum, cycles) in busy_cycles.iter_mut().zip(full.busy) {
            *sum += cycles * own_waves;
        }
        chain_ns += full.chain * to_ns * libm::floor(own_waves);
        let own_ns = time_ns * group.ctas / ctas;
        let moved = &group.movement.traffic;
        let mut events = energy::events(gpu, group.kernel, group.ctas, moved, own_ns);
        events.active_sms = (ctas / sms).min(1.0);
        energy += energy::of(engine, &events);
    }
    let longest = placed.iter().zip(&full).filter(|(group, _)| uneven(group));
    let one_chain = longest
        .map(|(_, full)| full.longest_chain)
        .chain(full.iter().map(|full| full.chain))
        .fold(0.0, f64::max)
        * to_ns;
    let mut busy = busy_ns(&busy_cycles, &whole, to_ns, launch_ns);
    busy.push((Resource::InstructionFetch, fetch_ns));
    let binding = longest_bound(&busy, chain_ns.max(one_chain), launch_ns);
    let occupancy = placed
        .first()
        .map_or(Occupancy { ctas_per_sm: 1, share: 0.0, limit: "grid" }, |group| group.occupancy);
    KernelCost {
        clock_mhz: engine.clock_hz() / 1e6,
        class: kernel.class,
        variant: kernel.variant.clone(),
        time_ns,
        binding,
        occupancy,
        waves,
        sm_share: (ctas / (f64::from(room) * sms)).min(1.0),
        traffic,
        lookup_l1: lookup_l1(placed),
        lookup_error: placed.iter().map(|group| group.movement.lookup_error).fold(0.0, f64::max),
        energy,
        busy_ns: busy,
    }
}

/// Share of lookups that L1 answers, over all groups that have any.
fn lookup_l1(placed: &[Placed<'_>]) -> Option<f64> {
    let lookups = placed.iter().filter_map(|group| group.movement.lookups);
    let (hits, all) = lookups.fold((0.0, 0.0), |(hits, all), (h, a)| (hits + h, all + a));
    (all > 0.0).then(|| hits / all)
}

/// Code of a kernel: loops are unrolled, so that one iteration of a stage is as long as its
/// instructions. No kernel is larger than what the instruction caches hold.
fn code_bytes(kernel: &Kernel) -> f64 {
    /// Bytes of an instruction (Volta and later; before, 8 with their share of control words).
    const INSTRUCTION: f64 = 16.0;
    /// Second-level instruction cache.
    const MOST: f64 = 128.0 * 1024.0;
    let warps = kernel.launch.warps().max(1) as f64;
    let instructions: f64 = kernel.stages.iter().map(|stage| stage.demand.instructions()).sum();
    (instructions / warps * INSTRUCTION).min(MOST)
}

/// Time of two demands of which parts cover each other: the norm of that order.
fn together(a: f64, b: f64, order: f64) -> f64 {
    let (long, short) = if a >= b { (a, b) } else { (b, a) };
    if long <= 0.0 {
        return 0.0;
    }
    long * libm::pow(1.0 + libm::pow(short / long, order), 1.0 / order)
}

/// CTAs that run at once, by group, and how many such sets follow each other.
struct Wave {
    ctas: Vec<(usize, f64)>,
    times: f64,
}

/// Cuts a launch into waves of `size` CTAs; sets of one group alone are counted, not listed.
fn waves_of(placed: &[Placed<'_>], size: f64) -> Vec<Wave> {
    let mut waves: Vec<Wave> = Vec::new();
    let mut open: Vec<(usize, f64)> = Vec::new();
    let mut space = size;
    for (group, placed) in placed.iter().enumerate() {
        let mut left = placed.ctas;
        if !open.is_empty() {
            let taken = left.min(space);
            open.push((group, taken));
            left -= taken;
            space -= taken;
            if space > 0.0 {
                continue;
            }
            waves.push(Wave { ctas: std::mem::take(&mut open), times: 1.0 });
            space = size;
        }
        let whole = libm::floor(left / size);
        if whole > 0.0 {
            waves.push(Wave { ctas: vec![(group, size)], times: whole });
        }
        let rest = left - whole * size;
        if rest > 0.0 {
            open.push((group, rest));
            space = size - rest;
        }
    }
    if !open.is_empty() {
        waves.push(Wave { ctas: open, times: 1.0 });
    }
    waves
}

/// Lower bounds by resource: what each would need if everything else were free.
fn busy_ns(
    cycles: &[f64; PIPES.len()],
    whole: &SharedTime,
    to_ns: f64,
    launch_ns: f64,
) -> Vec<(Resource, f64)> {
    let mut busy: Vec<(Resource, f64)> =
        PIPES.iter().zip(cycles).map(|(resource, cycles)| (*resource, cycles * to_ns)).collect();
    for (resource, ns) in [
        (Resource::L2, whole.l2),
        (Resource::Dram, whole.dram),
        (Resource::DramRows, whole.dram_rows),
        (Resource::CtaLaunch, whole.launch),
        (Resource::KernelLaunch, launch_ns),
    ] {
        match busy.iter_mut().find(|(known, _)| *known == resource) {
            Some((_, known)) => *known = known.max(ns),
            None => busy.push((resource, ns)),
        }
    }
    busy.retain(|(_, ns)| *ns > 0.0);
    busy
}

/// A first guess: the resource whose bound is highest.
fn longest_bound(busy: &[(Resource, f64)], chain_ns: f64, launch_ns: f64) -> Resource {
    let (resource, longest) = busy
        .iter()
        .filter(|(resource, _)| *resource != Resource::KernelLaunch)
        .copied()
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap_or((Resource::KernelLaunch, 0.0));
    if launch_ns > chain_ns.max(longest) {
        Resource::KernelLaunch
    } else if chain_ns > longest * 1.1 {
        Resource::Latency
    } else {
        resource
    }
}
