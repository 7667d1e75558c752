//! One kernel launch: full waves, the tail, and the device-wide bounds.

use lumacycle_workloads::Kernel;

use super::occupancy::occupancy;
use super::sm::{self, PIPES, SmTime};
use super::traffic::{self, Movement};
use super::{GpuEngine, Options, energy};
use crate::EngineError;
use crate::cost::{KernelCost, Occupancy, Resource, Traffic};
use crate::memory::dram;

/// Time of the resources that all SMs share, in nanoseconds.
struct SharedTime {
    l2: f64,
    dram: f64,
    launch: f64,
}

impl SharedTime {
    fn of(engine: &GpuEngine<'_>, traffic: &Traffic, ctas: f64) -> Self {
        let gpu = engine.gpu;
        let clock = engine.clock_hz();
        Self {
            l2: traffic.l2_bytes / (gpu.l2.bytes_per_clock * clock) * 1e9
                / engine.relief(Resource::L2),
            dram: dram::service_ns(gpu, traffic) / engine.relief(Resource::Dram),
            launch: ctas / (gpu.launch.ctas_per_clock * clock) * 1e9
                / engine.relief(Resource::CtaLaunch),
        }
    }

    fn longest(&self) -> f64 {
        self.l2.max(self.dram).max(self.launch)
    }
}

/// A share of the traffic of a launch.
fn part(traffic: &Traffic, share: f64) -> Traffic {
    Traffic {
        l1_bytes: traffic.l1_bytes * share,
        l2_bytes: traffic.l2_bytes * share,
        dram_read_bytes: traffic.dram_read_bytes * share,
        dram_write_bytes: traffic.dram_write_bytes * share,
        extra_activations: traffic.extra_activations * share,
    }
}

/// What does not depend on the speed of any resource: residency and movement.
struct Placed {
    occupancy: Occupancy,
    /// CTAs per SM that an endless grid would find room for.
    room: u32,
    /// Tiles; persistent launches walk several per CTA, and grids padded by a swizzle start CTAs
    /// that return at once.
    ctas: f64,
    movement: Movement,
}

fn place(engine: &GpuEngine<'_>, kernel: &Kernel) -> Result<Placed, EngineError> {
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
    let l2 = engine.options.l2;
    let movement = traffic::movement(gpu, kernel, occupancy.ctas_per_sm, concurrent, l2);
    Ok(Placed { occupancy, room, ctas, movement })
}

pub(super) fn price(engine: &GpuEngine<'_>, kernel: &Kernel) -> Result<KernelCost, EngineError> {
    Ok(time(engine, kernel, &place(engine, kernel)?))
}

fn time(engine: &GpuEngine<'_>, kernel: &Kernel, placed: &Placed) -> KernelCost {
    let gpu = engine.gpu;
    let Placed { occupancy, room, ctas, movement } = placed;
    let (occupancy, ctas) = (*occupancy, *ctas);
    let sms = f64::from(gpu.sm.count);
    let per_sm = f64::from(occupancy.ctas_per_sm);
    let to_ns = 1e9 / engine.clock_hz();

    let full_waves = libm::floor(ctas / (per_sm * sms));
    let tail = ctas - full_waves * per_sm * sms;
    let shared = |share: f64| {
        SharedTime::of(engine, &part(&movement.traffic, share), share * ctas).longest()
    };
    let full = sm::resident_set(engine, kernel, movement, per_sm);
    let mut time = full_waves * (full.cycles * to_ns).max(shared(per_sm * sms / ctas));
    if tail > 0.0 {
        // The tail spreads over the SMs before it doubles up.
        let resident = libm::ceil(tail / sms).max(1.0);
        let last = sm::resident_set(engine, kernel, movement, resident);
        time += (last.cycles * to_ns).max(shared(tail / ctas));
    }
    // Streaming through L2 and DRAM starts once the first requests are answered.
    let first = sm::read_latency_cycles(engine, movement) * to_ns;
    let whole = SharedTime::of(engine, &movement.traffic, ctas);
    if whole.longest() > 0.0 {
        time = time.max(first + whole.l2.max(whole.dram)).max(whole.launch);
    }

    let launch_ns = gpu.launch.kernel.ns() / engine.relief(Resource::KernelLaunch);
    let busy = busy_ns(&full, &whole, ctas / (per_sm * sms), to_ns, launch_ns);
    let chain_ns = full.chain * to_ns * full_waves.max(1.0);
    let binding = longest_bound(&busy, chain_ns, launch_ns);
    let time_ns = time + launch_ns;
    KernelCost {
        class: kernel.class,
        variant: kernel.variant.clone(),
        time_ns,
        binding,
        occupancy,
        waves: ctas / (per_sm * sms),
        sm_share: (ctas / (f64::from(*room) * sms)).min(1.0),
        traffic: movement.traffic,
        energy: energy::of(gpu, kernel, ctas, &movement.traffic, time_ns),
        busy_ns: busy,
    }
}

/// Lower bounds by resource: what each would need if everything else were free.
fn busy_ns(
    full: &SmTime,
    whole: &SharedTime,
    waves: f64,
    to_ns: f64,
    launch_ns: f64,
) -> Vec<(Resource, f64)> {
    let mut busy: Vec<(Resource, f64)> = PIPES
        .iter()
        .zip(full.busy)
        .map(|(resource, cycles)| (*resource, cycles * to_ns * waves))
        .collect();
    for (resource, ns) in [
        (Resource::L2, whole.l2),
        (Resource::Dram, whole.dram),
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

/// The resource of which a tenth more saves most. Only those that are busy for a good part of
/// the time can be, besides latency and the launch itself.
pub(super) fn binding(engine: &GpuEngine<'_>, kernel: &Kernel, cost: &KernelCost) -> Resource {
    let busy = cost.busy_ns.iter().filter(|(_, ns)| *ns > 0.3 * cost.time_ns);
    let mut best = (0.0, cost.binding);
    let Ok(placed) = place(engine, kernel) else { return cost.binding };
    for resource in busy.map(|(resource, _)| *resource).chain([Resource::Latency]) {
        let options = Options { relief: Some((resource, 1.1)), ..engine.options };
        let saved = cost.time_ns - time(&engine.with(options), kernel, &placed).time_ns;
        if saved > best.0 {
            best = (saved, resource);
        }
    }
    // Under a thousandth, nothing in particular binds but the fixed cost or the longest bound.
    if best.0 > 1e-3 * cost.time_ns { best.1 } else { cost.binding }
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
