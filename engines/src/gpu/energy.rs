//! Energy from events: what was executed and moved, times the catalogue's energy per event,
//! plus constant power over the time of the kernel. What switches goes with the square of the
//! voltage, and that with the clock. First figures.

use lumacycle_arch::Gpu;
use lumacycle_workloads::{Kernel, TensorType};

use super::sm::WARP;
use crate::cost::{Energy, Traffic};

/// Energy of a multiply-accumulate of this type relative to fp16: half of it taken for the
/// multiplier, which grows with the square of the significand (11 bits in fp16), half for adding
/// up in fp32, which does not.
fn tensor_scale(kind: TensorType) -> f64 {
    let significand_bits = match kind {
        TensorType::Fp64 => 53.0,
        TensorType::Tf32 | TensorType::Fp16 | TensorType::Fp16Acc32 => 11.0,
        TensorType::Bf16 | TensorType::Int8 => 8.0,
        TensorType::Int4 | TensorType::Fp8 => 4.0,
        TensorType::Fp4 => 2.0,
    };
    let ratio: f64 = significand_bits / 11.0;
    0.5 * ratio * ratio + 0.5
}

/// Supply voltage at a clock over that at the boost clock.
pub fn relative_voltage(gpu: &Gpu, clock_hz: f64) -> f64 {
    let rest = gpu.power.voltage_at_rest;
    rest + (1.0 - rest) * clock_hz / gpu.clocks.boost.hz()
}

/// Energy of a launch of `ctas` CTAs that takes `time_ns` at this clock.
pub fn of(
    gpu: &Gpu,
    kernel: &Kernel,
    ctas: f64,
    traffic: &Traffic,
    (time_ns, clock_hz): (f64, f64),
) -> Energy {
    let power = &gpu.power;
    let voltage = relative_voltage(gpu, clock_hz);
    let switching = voltage * voltage;
    let sum = |demand: fn(&lumacycle_workloads::Demand) -> f64| {
        ctas * kernel.per_cta(|stage| demand(&stage.demand))
    };
    let threads = |warp_instructions: f64| warp_instructions * WARP;
    let tensor = kernel.tensor.map_or(0.0, tensor_scale);
    let shared_bytes = sum(|d| d.shared_wavefronts) * 128.0;
    let compute_pj = threads(sum(|d| d.fp32 + d.fp16x2)) * power.fp32_fma.pj()
        + threads(sum(|d| d.fp64)) * power.fp64_fma.pj()
        + threads(sum(|d| d.int32)) * power.int32.pj()
        + threads(sum(|d| d.sfu)) * power.sfu.pj()
        + sum(|d| d.tensor_macs) * tensor * power.tensor_fp16_mac.pj();
    let on_chip_pj = shared_bytes * power.shared_byte.pj()
        + traffic.l1_bytes * power.l1_byte.pj()
        + traffic.l2_bytes * power.l2_byte.pj();
    let issue_pj = sum(lumacycle_workloads::Demand::instructions) * power.issue.pj();
    Energy {
        compute_pj: compute_pj * switching,
        issue_pj: issue_pj * switching,
        on_chip_pj: on_chip_pj * switching,
        dram_pj: (traffic.dram_read_bytes + traffic.dram_write_bytes)
            * gpu.dram.energy_per_byte.pj(),
        constant_pj: constant_pj(gpu, time_ns),
    }
}

/// Constant power over a time: 1 W × 1 ns = 1000 pJ.
pub fn constant_pj(gpu: &Gpu, time_ns: f64) -> f64 {
    gpu.power.constant.watts() * time_ns * 1e3
}
