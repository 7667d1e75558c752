//! The spec-sheet roofline: what one gets from two numbers of a datasheet. A baseline to be
//! beaten, never used in a prediction.

use lumacycle_arch::Gpu;
use lumacycle_workloads::ops::{CopyKind, Operation};
use lumacycle_workloads::{DType, KernelClass};

use super::sm::tensor_rate;
use lumacycle_workloads::TensorType;

/// Peak rate for work of a kind, in operations a second, at the boost clock.
pub fn peak_flops(gpu: &Gpu, class: KernelClass, dtype: DType) -> f64 {
    let clock = gpu.clocks.boost.hz();
    let macs_per_clock = match class {
        KernelClass::Gemm
        | KernelClass::Convolution
        | KernelClass::Attention
        | KernelClass::Traced => match dtype {
            DType::Fp16 => tensor_rate(gpu, TensorType::Fp16Acc32),
            DType::Bf16 => tensor_rate(gpu, TensorType::Bf16),
            DType::Tf32 => tensor_rate(gpu, TensorType::Tf32),
            DType::Int8 => tensor_rate(gpu, TensorType::Int8),
            DType::Fp8 => tensor_rate(gpu, TensorType::Fp8),
            DType::Fp64 => tensor_rate(gpu, TensorType::Fp64),
            DType::Int4 => tensor_rate(gpu, TensorType::Int4),
            DType::Fp4 => tensor_rate(gpu, TensorType::Fp4),
            _ => 0.0,
        },
        KernelClass::FusedMlp | KernelClass::FusedMlpBackward | KernelClass::FusedRenderer => {
            tensor_rate(gpu, TensorType::Fp16)
        }
        _ => 0.0,
    };
    let simt = match dtype {
        DType::Fp64 => gpu.pipes.fp64,
        DType::Fp16 | DType::Bf16 => gpu.pipes.fp16,
        DType::Int8 => gpu.pipes.int32 * 4.0,
        _ => gpu.pipes.fp32,
    };
    let rate = macs_per_clock.max(if macs_per_clock > 0.0 { 0.0 } else { simt });
    2.0 * rate * f64::from(gpu.sm.count) * clock
}

/// Longest of compulsory bytes over peak bandwidth and arithmetic over peak rate, at the boost
/// clock, in nanoseconds. `dtype` chooses the peak rate.
pub fn time_ns(gpu: &Gpu, operation: &Operation, dtype: DType) -> f64 {
    let peak = peak_flops(gpu, operation.class(), dtype);
    let bandwidth = match operation {
        Operation::Transfer(transfer) => match transfer.kind {
            CopyKind::DeviceToDevice | CopyKind::Set => gpu.dram.bandwidth.bytes_per_s(),
            CopyKind::PeerToPeer => gpu.link.peer.bytes_per_s(),
            _ => gpu.link.host.bytes_per_s(),
        },
        Operation::Collective(_) => gpu.link.peer.bytes_per_s(),
        _ => gpu.dram.bandwidth.bytes_per_s(),
    };
    let compute = operation.flops() / peak * 1e9;
    compute.max(operation.compulsory_bytes() / bandwidth * 1e9)
}
