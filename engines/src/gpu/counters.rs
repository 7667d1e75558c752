//! Time of a kernel of which only profiler counters are known.
//!
//! Each resource needs its time for what was counted: issue slots and pipes, the fp64 pipe, L1
//! with shared memory, L2, DRAM. Beside them stands latency: by Little's law the resident warps
//! together finish no faster than one warp's chain of instructions and loads over their number.
//! A warp that waits for one resource leaves the others to other warps, but not all of the time;
//! the times are added as powers, which is a maximum with rounded corners, and rounder where
//! warps wait for each other at barriers.
//!
//! Sources: pipes, rates and latencies are the catalogue's, and so is what counters do not tell
//! (section `counted`), which was fitted to counters of 28 kernels. Left out: how long warps wait
//! at barriers, divergence between the warps of a CTA, instruction-cache misses, and DRAM pages,
//! for which addresses would have to be known.

use lumacycle_arch::Gpu;
use lumacycle_workloads::ops::Counters;

use super::sm::WARP;
use super::{GpuEngine, Options, energy, kernel};
use crate::EngineError;
use crate::cost::{Cost, Resource, Traffic};
use crate::memory::dram;

/// Lower bounds of the whole launch by resource, in nanoseconds.
struct Bounds {
    /// Named resources.
    busy: Vec<(Resource, f64)>,
    /// Chains of the resident warps.
    latency: f64,
}

impl Bounds {
    fn of(&self, wanted: &[Resource]) -> f64 {
        let of_kind = self.busy.iter().filter(|(resource, _)| wanted.contains(resource));
        of_kind.map(|(_, ns)| *ns).fold(0.0, f64::max)
    }

    /// Overlapped time. Each instruction passes an issue slot and a pipe on one way, so these count
    /// once; so do the stations of a memory instruction inside of the SM.
    fn together(&self, power: f64) -> f64 {
        let groups = [
            self.of(&[
                Resource::Issue,
                Resource::Fp32,
                Resource::Int32,
                Resource::Fp16,
                Resource::Sfu,
            ]),
            self.of(&[Resource::Fp64]),
            self.of(&[Resource::LoadStore, Resource::SharedMemory, Resource::L1]),
            self.of(&[Resource::L2]),
            self.of(&[Resource::Dram]),
            self.latency,
        ];
        let longest = groups.iter().copied().fold(0.0, f64::max);
        if longest <= 0.0 {
            return 0.0;
        }
        let sum: f64 = groups.iter().map(|ns| libm::pow(ns / longest, power)).sum();
        longest * libm::pow(sum, 1.0 / power)
    }
}

/// Prices a launch by its counters.
///
/// # Errors
/// When a CTA does not fit an SM.
pub fn price(engine: &GpuEngine<'_>, counters: &Counters) -> Result<Cost, EngineError> {
    let gpu = engine.gpu;
    let lowered = counters.kernel();
    let mut cost = kernel::price(engine, &lowered)?;
    // Where the power limit lowers the clock, it does so here as well.
    let clock_hz = Some(cost.clock_mhz * 1e6);
    let engine = &engine.with(Options { clock_hz, ..engine.options });
    let most = f64::from(gpu.sm.max_threads) / WARP;
    if counters.resident_warps > 0.0 {
        cost.occupancy.share = (counters.resident_warps / most).min(1.0);
    }
    let mut bounds = bounds(engine, counters, cost.occupancy.share * most);
    let ctas = counters.launch.ctas() as f64;
    let starting = ctas / (gpu.launch.ctas_per_clock * engine.clock_hz()) * 1e9
        / engine.relief(Resource::CtaLaunch);
    let launch_ns = gpu.launch.kernel.ns() / engine.relief(Resource::KernelLaunch);
    bounds.busy.extend([(Resource::CtaLaunch, starting), (Resource::KernelLaunch, launch_ns)]);
    bounds.busy.retain(|(_, ns)| *ns > 0.0);
    let meet = counters.shared_loads > 0.0 && counters.launch.warps() > 2;
    let power = if meet { gpu.counted.order_meeting } else { gpu.counted.order_free };
    cost.time_ns = bounds.together(power).max(starting) + launch_ns;
    let longest = bounds.busy.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
    cost.binding = match longest {
        Some((resource, ns)) if ns >= bounds.latency => resource,
        _ => Resource::Latency,
    };
    cost.traffic = traffic(counters);
    let mut events = energy::events(gpu, &lowered, ctas, &cost.traffic, cost.time_ns);
    if counters.active_threads > 0.0 {
        events.masked((counters.active_threads / WARP).min(1.0));
    }
    cost.energy = energy::of(engine, &events);
    cost.busy_ns = bounds.busy;
    let kernels = vec![cost];
    let shares = GpuEngine::shares(&kernels);
    Ok(Cost::sequence(kernels, shares))
}

/// Traffic as it was counted.
fn traffic(counters: &Counters) -> Traffic {
    let l2_bytes = counters.l2_read_bytes + counters.l2_write_bytes;
    Traffic {
        l1_bytes: (counters.l1_bytes + counters.l2_write_bytes).max(l2_bytes),
        l2_bytes,
        dram_read_bytes: counters.dram_read_bytes,
        dram_write_bytes: counters.dram_write_bytes,
        ..Traffic::default()
    }
}

/// Bounds of a launch with `warps` resident on each SM that has any.
fn bounds(engine: &GpuEngine<'_>, counters: &Counters, warps: f64) -> Bounds {
    let Gpu { sm, pipes, l1, l2, shared, counted, .. } = engine.gpu;
    let sms = f64::from(sm.count);
    let to_ns = 1e9 / engine.clock_hz();
    let ctas_per_sm = counters.launch.ctas() as f64 / sms;
    // While there are few, some SMs have one more to do; many even out.
    let uneven = if ctas_per_sm <= f64::from(sm.max_ctas) {
        libm::ceil(ctas_per_sm) / ctas_per_sm
    } else {
        1.0
    };
    let fullest = if ctas_per_sm >= 1.0 { warps * uneven } else { warps };
    let fullest = fullest.clamp(1.0, f64::from(sm.max_threads) / WARP);
    // Totals to the cycles of the SM that has most.
    let on_sm = |work: f64, rate: f64| work / rate * uneven / sms * to_ns;
    let slots = counters.instructions() + (pipes.control_slots - 1.0) * counters.control;
    let fp64 = counters.fp64 + conversions(engine.gpu, counters);
    let shares_lanes = if pipes.int32_shares_fp32 { counters.int32 } else { 0.0 };
    let moved = traffic(counters);
    let one_way = counters.l2_read_bytes.max(counters.l2_write_bytes);
    let busy = vec![
        (Resource::Issue, on_sm(slots, sm.issue_per_clock)),
        (Resource::Fp32, on_sm((counters.fp32 + shares_lanes) * WARP, pipes.fp32)),
        (Resource::Int32, on_sm(counters.int32 * WARP, pipes.int32)),
        (Resource::Fp16, on_sm(counters.fp16x2 * 2.0 * WARP, pipes.fp16)),
        (Resource::Fp64, on_sm(fp64 * WARP, pipes.fp64)),
        (Resource::Sfu, on_sm(counters.sfu * WARP, pipes.sfu)),
        (Resource::LoadStore, on_sm(counters.memory * WARP, pipes.lsu)),
        (
            Resource::SharedMemory,
            on_sm(
                counters.shared_wavefronts * 128.0,
                shared.bytes_per_clock * counted.on_chip_share,
            ),
        ),
        (
            Resource::L1,
            on_sm(counters.l1_bytes, l1.bytes_per_clock * counted.on_chip_share)
                .max(on_sm(counters.l1_wavefronts, 1.0)),
        ),
        (
            Resource::L2,
            on_sm(one_way, l2.sm_bytes_per_clock).max(moved.l2_bytes / l2.bytes_per_clock * to_ns),
        ),
        (Resource::Dram, dram_ns(engine, &moved)),
    ];
    let busy = busy.into_iter().map(|(kind, ns)| (kind, ns / engine.relief(kind))).collect();
    let chain = chain_cycles(engine, counters, fp64) / engine.relief(Resource::Latency);
    Bounds { busy, latency: on_sm(chain, fullest) }
}

/// Conversions that pass the fp64 pipe: as many lanes do them where that pipe is narrow.
fn conversions(gpu: &Gpu, counters: &Counters) -> f64 {
    if let Some(known) = counters.fp64_conversions {
        return known;
    }
    if 8.0 * gpu.pipes.fp64 >= gpu.pipes.fp32 {
        return 0.0;
    }
    let counted = &gpu.counted;
    (counted.conversions_per_load * (counters.loads + counters.shared_loads))
        .min(counted.conversions_per_fp64 * counters.fp64)
        .min(counted.conversions_of_other * counters.other)
}

/// Chains of all warps, end to end, in SM cycles.
fn chain_cycles(engine: &GpuEngine<'_>, counters: &Counters, fp64: f64) -> f64 {
    let gpu = engine.gpu;
    let loads = match counters.loads {
        // Four bytes for each lane.
        loads if loads <= 0.0 => counters.l2_read_bytes / (4.0 * WARP),
        loads => loads,
    };
    let missed = if counters.l1_bytes > 0.0 {
        (counters.l2_read_bytes / counters.l1_bytes).min(1.0)
    } else {
        1.0
    };
    let from_dram = if counters.l2_read_bytes > 0.0 {
        (counters.dram_read_bytes / counters.l2_read_bytes).min(1.0)
    } else {
        0.0
    };
    let l2 = f64::midpoint(gpu.l2.latency_cycles, gpu.l2.far_latency_cycles);
    let dram = (engine.dram_latency_ns() * 1e-9 * engine.clock_hz()).max(l2);
    let load = (1.0 - missed) * gpu.l1.latency_cycles
        + missed * ((1.0 - from_dram) * l2 + from_dram * dram);
    // A warp takes as long to enter a narrow pipe as its lanes need.
    let entering = (WARP * gpu.sm.issue_per_clock / gpu.pipes.fp64.max(1.0)).max(1.0) - 1.0;
    let in_turn =
        counters.instructions() - counters.fp32 * (1.0 - 1.0 / gpu.counted.independent_fp32);
    in_turn * gpu.pipes.alu_latency_cycles
        + counters.sfu * gpu.counted.special_cycles
        + fp64 * entering
        + loads / gpu.counted.loads_in_flight * load
        + counters.shared_loads * gpu.shared.latency_cycles
}

/// Time that DRAM needs, in nanoseconds: on its bus, and on the ports by which L2 takes what the
/// channels deliver. Before Volta these run at the SM's clock and are as wide, in powers of two, as
/// the channels' peak asks for at the boost clock, so they bind where the SM clock is low. From Volta
/// on L2 has a clock of its own: a T4's counters show its slices at 854 MHz beside SMs at 584 MHz.
fn dram_ns(engine: &GpuEngine<'_>, moved: &Traffic) -> f64 {
    let gpu = engine.gpu;
    let channels = f64::from(gpu.dram.channels.max(1));
    let bus_ns = dram::bus_ns(gpu, moved) / engine.memory_scale();
    if !gpu.counted.l2_at_sm_clock {
        return bus_ns;
    }
    let needed = gpu.dram.bandwidth.bytes_per_s() / gpu.clocks.boost.hz() / channels;
    let width = libm::exp2(libm::ceil(libm::log2(needed.max(1.0))));
    let port = width * channels * gpu.counted.channel_port_share * engine.clock_hz();
    let bytes = moved.dram_read_bytes + moved.dram_write_bytes;
    bus_ns.max(bytes / port * 1e9)
}

#[cfg(test)]
mod tests {
    use lumacycle_arch::Catalog;
    use lumacycle_workloads::Launch;
    use lumacycle_workloads::ops::Operation;

    use super::*;
    use crate::Engine;

    fn gpu() -> Gpu {
        Catalog::embedded().get("gtx980").unwrap().gpu
    }

    fn time_ns(gpu: &Gpu, counters: &Counters, options: Options) -> f64 {
        let engine = GpuEngine::new(gpu).with(options);
        engine.price(&Operation::Counters(counters.clone())).unwrap().time_ns
    }

    fn streaming() -> Counters {
        let launch = Launch::linear(65_536, 256, 16, 0);
        Counters {
            int32: 1e7,
            memory: 1.5e6,
            loads: 1e6,
            l1_bytes: 1.28e8,
            l2_read_bytes: 1.28e8,
            dram_read_bytes: 1.28e8,
            resident_warps: 56.0,
            ..Counters::none(launch)
        }
    }

    #[test]
    fn streams_follow_the_memory_clock_and_arithmetic_the_core_clock() {
        let gpu = gpu();
        let at = |core: f64, memory: f64| Options {
            clock_hz: Some(core * 1e6),
            mem_clock_hz: Some(memory * 1e6),
            ..Options::default()
        };
        let counters = streaming();
        let [slow, fast] = [1000.0, 2000.0].map(|m| time_ns(&gpu, &counters, at(1300.0, m)));
        assert!((slow / fast - 2.0).abs() < 0.1, "{slow} {fast}");
        let busy = Counters { fp32: 1e9, ..counters };
        let [slow, fast] = [600.0, 1200.0].map(|c| time_ns(&gpu, &busy, at(c, 3505.0)));
        assert!((slow / fast - 2.0).abs() < 0.05, "{slow} {fast}");
    }

    #[test]
    fn a_low_core_clock_limits_what_l2_takes_from_memory() {
        let gpu = gpu();
        let options = |core: f64| Options { clock_hz: Some(core * 1e6), ..Options::default() };
        let [at_700, at_1400] = [700.0, 1400.0].map(|c| time_ns(&gpu, &streaming(), options(c)));
        assert!(at_700 > 1.15 * at_1400, "{at_700} {at_1400}");
    }

    #[test]
    fn from_volta_on_a_low_core_clock_leaves_streams_alone() {
        let gpu = Catalog::embedded().get("t4").unwrap().gpu;
        let options = |core: f64| Options { clock_hz: Some(core * 1e6), ..Options::default() };
        let counters = Counters { resident_warps: 32.0, ..streaming() };
        let [at_584, at_1590] = [584.0, 1590.0].map(|c| time_ns(&gpu, &counters, options(c)));
        assert!(at_584 < 1.2 * at_1590, "{at_584} {at_1590}");
    }

    #[test]
    fn fewer_resident_warps_take_longer_when_latency_binds() {
        let gpu = gpu();
        let few = Counters { resident_warps: 4.0, ..streaming() };
        let many = Counters { resident_warps: 32.0, ..streaming() };
        let [few, many] = [few, many].map(|c| time_ns(&gpu, &c, Options::default()));
        assert!(few > 2.0 * many, "{few} {many}");
    }

    #[test]
    fn control_flow_takes_issue_slots() {
        let gpu = gpu();
        let straight = Counters { other: 4e7, ..streaming() };
        let branchy = Counters { control: 4e7, ..streaming() };
        let [straight, branchy] =
            [straight, branchy].map(|c| time_ns(&gpu, &c, Options::default()));
        assert!(branchy > 1.5 * straight, "{branchy} {straight}");
    }

    #[test]
    fn the_catalogued_clocks_are_the_default() {
        let gpu = gpu();
        let explicit = Options {
            clock_hz: Some(gpu.clocks.typical.hz()),
            mem_clock_hz: Some(gpu.memory_clock_hz()),
            ..Options::default()
        };
        let [a, b] = [explicit, Options::default()].map(|o| time_ns(&gpu, &streaming(), o));
        assert!((a / b - 1.0).abs() < 1e-9, "{a} {b}");
        assert!((gpu.memory_clock_hz() / 1e6 - 3505.0).abs() < 10.0);
    }
}
