//! Where the power of a board goes: what it draws whether anything happens or not, and what each
//! kind of event takes and would draw at its peak rate.
//!
//! Every number is the energy model's own (`energy`), asked for one kind of event at a time at the
//! engine's clocks. Peak rates are bounds: no kernel issues to every pipe at once, so that they don't
//! add up to a board's power.

use lumacycle_workloads::TensorType;

use super::GpuEngine;
use super::energy::{self, Events};
use super::sm::WARP;

/// A part of the power of a board.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drawn {
    /// Name as printed.
    pub part: &'static str,
    /// What an event is; `None` for what is drawn whether anything happens or not.
    pub event: Option<Event>,
    /// Power: drawn anyway, or at the peak rate of the event, in watts.
    pub watts: f64,
}

/// A kind of event.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event {
    /// What one is.
    pub unit: &'static str,
    /// Energy of one, in picojoules.
    pub energy_pj: f64,
    /// How many the GPU can have a second.
    pub per_second: f64,
}

/// Parts of a board's power at the engine's clocks.
pub fn by_part(engine: &GpuEngine<'_>) -> Vec<Drawn> {
    let gpu = engine.gpu;
    let sms = f64::from(gpu.sm.count);
    // 1 J = 10^12 pJ, drawn in a second.
    let rest = |active: f64| energy::at_rest(engine, 1e9, active);
    let (busy, idle) = (rest(1.0), rest(0.0));
    let anyway = |part, pj: f64| Drawn { part, event: None, watts: pj * 1e-12 };
    let mut parts = vec![
        anyway("board", busy.constant_pj),
        anyway("memory at rest", busy.dram_pj),
        anyway("SMs without work: clocks and leakage", idle.clock_pj),
        anyway("SMs with work: what comes on top", busy.clock_pj - idle.clock_pj),
    ];
    let mut event = |part, unit, per_second: f64, energy_pj: f64| {
        if per_second > 0.0 {
            let event = Some(Event { unit, energy_pj, per_second });
            parts.push(Drawn { part, event, watts: energy_pj * 1e-12 * per_second });
        }
    };
    // No time goes by: only the events count.
    let one = |events: Events| energy::of(engine, &events).total_pj();
    let clock = engine.clock_hz() * sms;
    let pipes = &gpu.pipes;
    let lane = 1.0 / WARP;
    event(
        "instructions",
        "warp instruction",
        gpu.sm.issue_per_clock * clock,
        one(Events { issued: 1.0, ..Events::default() }),
    );
    let fp32 = one(Events { fp32: lane, ..Events::default() });
    event("fp32", "multiply-add", pipes.fp32 * clock, fp32);
    event(
        "fp64",
        "multiply-add",
        pipes.fp64 * clock,
        one(Events { fp64: lane, ..Events::default() }),
    );
    event(
        "integer",
        "operation",
        pipes.int32 * clock,
        one(Events { int32: lane, ..Events::default() }),
    );
    event(
        "special functions",
        "operation",
        pipes.sfu * clock,
        one(Events { sfu: lane, ..Events::default() }),
    );
    let tensor = &gpu.tensor;
    for (part, kind, rate) in [
        ("tensor fp16", TensorType::Fp16Acc32, tensor.fp16_fp32),
        ("tensor bf16", TensorType::Bf16, tensor.bf16),
        ("tensor tf32", TensorType::Tf32, tensor.tf32),
        ("tensor fp64", TensorType::Fp64, tensor.fp64),
        ("tensor int8", TensorType::Int8, tensor.int8),
        ("tensor fp8", TensorType::Fp8, tensor.fp8),
        ("tensor int4", TensorType::Int4, tensor.int4),
        ("tensor fp4", TensorType::Fp4, tensor.fp4),
    ] {
        let macs = energy::tensor_scale(gpu, kind);
        event(
            part,
            "multiply-add",
            rate * clock,
            one(Events { tensor_macs: macs, ..Events::default() }),
        );
    }
    let shared = one(Events { shared_bytes: 1.0, ..Events::default() });
    event("shared memory", "byte", gpu.shared.bytes_per_clock * clock, shared);
    let l1 = one(Events { l1_bytes: 1.0, ..Events::default() });
    event("L1", "byte", gpu.l1.bytes_per_clock * clock, l1);
    let l2 = one(Events { l2_bytes: 1.0, ..Events::default() });
    event("L2 and crossbar", "byte", gpu.l2.bytes_per_clock * engine.clock_hz(), l2);
    let bandwidth = gpu.dram.bandwidth.bytes_per_s() * engine.memory_scale();
    event("DRAM", "byte", bandwidth, one(Events { dram_bytes: 1.0, ..Events::default() }));
    parts
}

/// Power of the board with no work at the engine's clocks, and with work on every SM before any
/// event, in watts.
pub fn at_rest_w(engine: &GpuEngine<'_>) -> (f64, f64) {
    let watts = |active: f64| energy::at_rest(engine, 1e9, active).total_pj() * 1e-12;
    (watts(0.0), watts(1.0))
}

#[cfg(test)]
mod tests {
    use lumacycle_arch::Catalog;

    use super::*;
    use crate::Options;

    #[test]
    fn parts_add_up_to_the_energy_of_a_mix_on_every_gpu() {
        let catalog = Catalog::embedded();
        for id in catalog.names() {
            let gpu = catalog.get(id).unwrap().gpu;
            let clock_hz = Some(gpu.clocks.base.hz());
            let engine = GpuEngine::new(&gpu).with(Options { clock_hz, ..Options::default() });
            let parts = by_part(&engine);
            let share = |name: &str| parts.iter().find(|p| p.part == name).unwrap();
            let rate = |name: &str| share(name).event.unwrap().per_second;
            // A second with a tenth of the peak rate of issue, fp32, L2 and DRAM.
            let events = Events {
                issued: 0.1 * rate("instructions"),
                fp32: 0.1 * rate("fp32") / WARP,
                l2_bytes: 0.1 * rate("L2 and crossbar"),
                dram_bytes: 0.1 * rate("DRAM"),
                time_ns: 1e9,
                active_sms: 1.0,
                ..Events::default()
            };
            let whole = energy::of(&engine, &events).total_pj() * 1e-12;
            let anyway: f64 = parts.iter().filter(|p| p.event.is_none()).map(|p| p.watts).sum();
            let work = ["instructions", "fp32", "L2 and crossbar", "DRAM"];
            let work: f64 = work.iter().map(|name| 0.1 * share(name).watts).sum();
            assert!((anyway + work - whole).abs() < 1e-9 * whole, "{id}: {anyway} {work} {whole}");
            assert!((at_rest_w(&engine).1 - anyway).abs() < 1e-9 * whole, "{id}");
        }
    }

    #[test]
    fn gpus_without_tensor_cores_show_none() {
        let gpu = Catalog::embedded().get("gtx980").unwrap().gpu;
        let parts = by_part(&GpuEngine::new(&gpu));
        assert!(parts.iter().all(|p| !p.part.starts_with("tensor")));
        assert!(parts.iter().all(|p| p.watts.is_finite() && p.watts > 0.0));
    }
}
