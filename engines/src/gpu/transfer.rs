//! Copies by the copy engines and collectives over the peer link.

use lumacycle_workloads::KernelClass;
use lumacycle_workloads::ops::{Collective, CopyKind, Transfer};

use super::GpuEngine;
use super::energy::at_rest;
use crate::cost::{Cost, KernelCost, Occupancy, Resource, SharedUse, Traffic};

fn cost(
    engine: &GpuEngine<'_>,
    class: KernelClass,
    fixed_ns: f64,
    (resource, service_ns): (Resource, f64),
    traffic: Traffic,
) -> Cost {
    let service_ns = service_ns / engine.relief(resource);
    let time_ns = fixed_ns + service_ns;
    let share = service_ns / time_ns.max(f64::MIN_POSITIVE);
    let mut shared_use = SharedUse::default();
    match resource {
        Resource::HostLink => shared_use.host_link = share,
        Resource::PeerLink => shared_use.peer_link = share,
        _ => shared_use.dram = share,
    }
    let dram_bytes = traffic.dram_read_bytes + traffic.dram_write_bytes;
    let binding = if fixed_ns > service_ns { Resource::KernelLaunch } else { resource };
    let mut energy = at_rest(engine, time_ns, 0.0);
    energy.dram_pj += dram_bytes * engine.gpu.dram.energy_per_byte.pj();
    let kernel = KernelCost {
        class,
        variant: String::new(),
        time_ns,
        clock_mhz: engine.clock_hz() / 1e6,
        busy_ns: vec![(Resource::KernelLaunch, fixed_ns), (resource, service_ns)],
        binding,
        occupancy: Occupancy { ctas_per_sm: 0, share: 0.0, limit: "none" },
        waves: 0.0,
        sm_share: 0.0,
        traffic,
        lookup_l1: None,
        lookup_error: 0.0,
        energy,
    };
    Cost::sequence(vec![kernel], shared_use)
}

/// A copy or fill.
pub fn copy(engine: &GpuEngine<'_>, transfer: &Transfer) -> Cost {
    let gpu = engine.gpu;
    let bytes = transfer.bytes;
    let read = Traffic { dram_read_bytes: bytes, ..Traffic::default() };
    let write = Traffic { dram_write_bytes: bytes, ..Traffic::default() };
    let link = |bandwidth: f64| bytes / bandwidth * 1e9;
    let dram = |bytes: f64, write_share| {
        bytes / gpu.stream_bytes_per_s(write_share) / engine.memory_scale() * 1e9
    };
    let sharers =
        if engine.options.neighbours_copy { f64::from(gpu.link.host_sharers) } else { 1.0 };
    let host = (Resource::HostLink, sharers * link(gpu.link.host.bytes_per_s()));
    let fixed = gpu.launch.memory_operation.ns();
    let (class, service, traffic) = match transfer.kind {
        CopyKind::HostToDevice | CopyKind::Pageable => (KernelClass::Memcpy, host, write),
        CopyKind::DeviceToHost => (KernelClass::Memcpy, host, read),
        CopyKind::PeerToPeer => {
            let peer = (Resource::PeerLink, link(gpu.link.peer.bytes_per_s()));
            (KernelClass::Memcpy, peer, read)
        }
        CopyKind::DeviceToDevice => {
            let both =
                Traffic { dram_read_bytes: bytes, dram_write_bytes: bytes, ..Traffic::default() };
            let service = dram(2.0 * bytes, 0.5) / gpu.link.copy_share;
            (KernelClass::Memcpy, (Resource::Dram, service), both)
        }
        CopyKind::Set => (KernelClass::Memset, (Resource::Dram, dram(bytes, 1.0)), write),
    };
    cost(engine, class, fixed, service, traffic)
}

/// A collective, as fast as this GPU's link allows; waiting for other ranks is not in it.
pub fn collective(engine: &GpuEngine<'_>, collective: &Collective) -> Cost {
    let gpu = engine.gpu;
    let service = collective.link_bytes() / gpu.link.peer.bytes_per_s() * 1e9;
    let fixed = gpu.launch.kernel.ns() + collective.hops() * gpu.link.peer_latency.ns();
    let traffic = Traffic {
        dram_read_bytes: collective.bytes,
        dram_write_bytes: collective.bytes,
        ..Traffic::default()
    };
    cost(engine, KernelClass::Collective, fixed, (Resource::PeerLink, service), traffic)
}
