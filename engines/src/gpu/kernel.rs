//! One kernel launch: full waves, the tail, and the device-wide bounds.

use lumacycle_workloads::Kernel;

use super::occupancy::occupancy;
use super::sm::{self, PIPES, SmTime};
use super::traffic;
use super::{GpuEngine, energy};
use crate::EngineError;
use crate::cost::{KernelCost, Resource, Traffic};
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

pub(super) fn price(engine: &GpuEngine<'_>, kernel: &Kernel) -> Result<KernelCost, EngineError> {
    let gpu = engine.gpu;
    let occupancy = occupancy(gpu, &kernel.launch)?;
    if let Some(kind) = kernel.tensor
        && sm::tensor_rate(gpu, kind) <= 0.0
    {
        return Err(EngineError::NoTensorCores { kind });
    }
    let sms = f64::from(gpu.sm.count);
    // Persistent launches walk several tiles per CTA: count tiles, run as many as are resident.
    let ctas = traffic::kernel_ctas(kernel).max(kernel.launch.ctas()) as f64;
    let per_sm = f64::from(occupancy.ctas_per_sm);
    let concurrent = (per_sm * sms).min(ctas).max(1.0);
    let movement =
        traffic::movement(gpu, kernel, occupancy.ctas_per_sm, concurrent as u64, engine.options.l2);
    let to_ns = 1e9 / engine.clock_hz();

    let full_waves = libm::floor(ctas / (per_sm * sms));
    let tail = ctas - full_waves * per_sm * sms;
    let shared = |share: f64| {
        SharedTime::of(engine, &part(&movement.traffic, share), share * ctas).longest()
    };
    let full = sm::resident_set(engine, kernel, &movement, per_sm);
    let mut time = full_waves * (full.cycles * to_ns).max(shared(per_sm * sms / ctas));
    if tail > 0.0 {
        // The tail spreads over the SMs before it doubles up.
        let resident = libm::ceil(tail / sms).max(1.0);
        let last = sm::resident_set(engine, kernel, &movement, resident);
        time += (last.cycles * to_ns).max(shared(tail / ctas));
    }
    // Streaming through L2 and DRAM starts once the first requests are answered.
    let first = sm::read_latency_cycles(engine, &movement) * to_ns;
    let whole = SharedTime::of(engine, &movement.traffic, ctas);
    if whole.longest() > 0.0 {
        time = time.max(first + whole.l2.max(whole.dram)).max(whole.launch);
    }

    let launch_ns = gpu.launch.kernel.ns() / engine.relief(Resource::KernelLaunch);
    let busy = busy_ns(&full, &whole, ctas / (per_sm * sms), to_ns, launch_ns);
    let binding = binding(&busy, &full, full_waves.max(1.0), to_ns, launch_ns);
    let time_ns = time + launch_ns;
    Ok(KernelCost {
        class: kernel.class,
        variant: kernel.variant.clone(),
        time_ns,
        binding,
        occupancy,
        waves: ctas / (per_sm * sms),
        traffic: movement.traffic,
        energy: energy::of(gpu, kernel, ctas, &movement.traffic, time_ns),
        busy_ns: busy,
    })
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

/// The resource whose bound is highest; latency where the dependent chain exceeds them all.
fn binding(
    busy: &[(Resource, f64)],
    full: &SmTime,
    waves: f64,
    to_ns: f64,
    launch_ns: f64,
) -> Resource {
    let (resource, longest) = busy
        .iter()
        .filter(|(resource, _)| *resource != Resource::KernelLaunch)
        .copied()
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap_or((Resource::KernelLaunch, 0.0));
    let chain = full.chain * to_ns * waves;
    if launch_ns > chain.max(longest) {
        Resource::KernelLaunch
    } else if chain > longest * 1.0001 {
        Resource::Latency
    } else {
        resource
    }
}
