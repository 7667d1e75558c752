//! Energy from events: what was executed and moved, times the catalogue's energy per event,
//! plus constant power over the time of the kernel. First figures; voltage and clock do not
//! enter yet.

use lumacycle_arch::Gpu;
use lumacycle_workloads::{Kernel, TensorType};

use super::sm::WARP;
use crate::cost::{Energy, Traffic};

/// Energy of a multiply-accumulate of this type relative to fp16: multiplier area goes with the
/// square of the significand.
fn tensor_scale(kind: TensorType) -> f64 {
    match kind {
        TensorType::Fp64 => 16.0,
        TensorType::Tf32 => 1.5,
        TensorType::Int8 | TensorType::Fp8 => 0.5,
        TensorType::Int4 | TensorType::Fp4 => 0.25,
        _ => 1.0,
    }
}

/// Energy of a launch of `ctas` CTAs that takes `time_ns`.
pub fn of(gpu: &Gpu, kernel: &Kernel, ctas: f64, traffic: &Traffic, time_ns: f64) -> Energy {
    let power = &gpu.power;
    let sum = |demand: fn(&lumacycle_workloads::Demand) -> f64| {
        ctas * kernel.per_cta(|stage| demand(&stage.demand))
    };
    let threads = |warp_instructions: f64| warp_instructions * WARP;
    let tensor = kernel.tensor.map_or(0.0, tensor_scale);
    let shared_bytes = sum(|d| d.shared_wavefronts) * 128.0;
    Energy {
        compute_pj: threads(sum(|d| d.fp32 + d.fp16x2)) * power.fp32_fma.pj()
            + threads(sum(|d| d.fp64)) * power.fp64_fma.pj()
            + threads(sum(|d| d.int32)) * power.int32.pj()
            + threads(sum(|d| d.sfu)) * power.sfu.pj()
            + sum(|d| d.tensor_macs) * tensor * power.tensor_fp16_mac.pj(),
        issue_pj: sum(lumacycle_workloads::Demand::instructions) * power.issue.pj(),
        on_chip_pj: shared_bytes * power.shared_byte.pj()
            + traffic.l1_bytes * power.l1_byte.pj()
            + traffic.l2_bytes * power.l2_byte.pj(),
        dram_pj: (traffic.dram_read_bytes + traffic.dram_write_bytes)
            * gpu.dram.energy_per_byte.pj(),
        constant_pj: constant_pj(gpu, time_ns),
    }
}

/// Constant power over a time: 1 W × 1 ns = 1000 pJ.
pub fn constant_pj(gpu: &Gpu, time_ns: f64) -> f64 {
    gpu.power.constant.watts() * time_ns * 1e3
}
