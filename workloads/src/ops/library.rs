//! Which tiles a vendor library has to choose from, by compute capability.
//!
//! The lists follow the kernel names that cuBLAS, cuDNN and CUTLASS builds show in profiles
//! (`volta_sgemm_128x64_nn`, `ampere_fp16_s16816gemm_fp16_128x64_ldg8_f2f_stages_64x4_tn`, …).
//! Tile depth is given in bytes of k so that one list serves every operand type.

use super::gemm::{Math, Tile};
use crate::{DType, Target};

/// `(tile m, tile n, tile k, warps)` of SIMT kernels: two stages, register-staged.
const SIMT: &[(u32, u32, u32, u32)] = &[
    (256, 128, 8, 8),
    (128, 256, 8, 8),
    (128, 128, 8, 8),
    (128, 64, 8, 4),
    (64, 128, 8, 4),
    (64, 64, 8, 2),
    (128, 32, 8, 8),
    (32, 128, 8, 8),
    // "sliced1x4": groups of warps share one output tile and split k.
    (128, 32, 32, 8),
    (32, 128, 32, 8),
    (64, 32, 32, 8),
    (32, 64, 32, 8),
    (32, 32, 32, 4),
];

/// `(m, n, k bytes, stages, warps)` of tensor-core kernels before asynchronous copies.
const TENSOR_REGISTER_STAGED: &[(u32, u32, u32, u32, u32)] = &[
    (256, 128, 64, 2, 8),
    (128, 256, 64, 2, 8),
    (256, 64, 64, 2, 4),
    (64, 256, 64, 2, 4),
    (128, 128, 64, 2, 4),
    (128, 64, 64, 2, 4),
    (64, 128, 64, 2, 4),
    (64, 64, 64, 2, 4),
];

/// The same with asynchronous copies (compute capability 8.x, and 12.x).
const TENSOR_ASYNC: &[(u32, u32, u32, u32, u32)] = &[
    (256, 128, 64, 3, 8),
    (128, 256, 64, 3, 8),
    (256, 128, 128, 3, 8),
    (128, 256, 128, 3, 8),
    (256, 64, 64, 4, 4),
    (64, 256, 64, 4, 4),
    (128, 128, 64, 5, 4),
    (128, 128, 128, 3, 4),
    (128, 64, 128, 4, 4),
    (64, 128, 128, 4, 4),
    (128, 64, 64, 6, 4),
    (64, 128, 64, 6, 4),
    (64, 64, 128, 5, 4),
    (64, 64, 64, 10, 4),
    (32, 128, 128, 5, 4),
    (128, 32, 128, 5, 4),
    (64, 32, 128, 6, 4),
    (32, 64, 128, 6, 4),
];

/// Warp-group kernels that multiply out of shared memory (compute capability 9.0).
const TENSOR_WARP_GROUP: &[(u32, u32, u32, u32, u32)] = &[
    (256, 128, 128, 4, 12),
    (128, 256, 128, 4, 12),
    (128, 192, 128, 4, 12),
    (128, 128, 128, 4, 12),
    (128, 64, 128, 6, 8),
    (64, 256, 128, 4, 8),
    (64, 128, 128, 6, 8),
    (64, 64, 128, 8, 8),
];

/// Kernels of pairs of SMs, by what one SM of the pair holds (compute capability 10.x).
const TENSOR_PAIRED: &[(u32, u32, u32, u32, u32)] = &[
    (128, 256, 128, 4, 6),
    (128, 192, 128, 5, 6),
    (128, 128, 128, 6, 6),
    (128, 64, 128, 8, 6),
    (64, 128, 128, 6, 6),
    (64, 64, 128, 8, 6),
];

/// Share of the time that a smaller tile has to save before a library gives up a larger one: the
/// heuristics are coarse, and large tiles are the safe choice.
pub const WORTH_A_SMALLER_TILE: f64 = 0.02;

/// Split-K factors that the heuristics consider.
pub const SPLIT_K: &[u32] = &[1, 2, 3, 4, 6, 8, 12, 16, 24, 32];

/// Which pipe a library multiplies these operands on: plain `fp32` never goes to tensor cores
/// (TF32 has to be asked for by type).
pub fn math_for(dtype: DType, target: &Target) -> Math {
    let tensor = match dtype {
        DType::Fp16 => target.tensor_fp16,
        DType::Bf16 => target.tensor_bf16,
        DType::Tf32 => target.tensor_tf32,
        DType::Int8 | DType::Int4 => target.tensor_int8,
        DType::Fp8 | DType::Fp4 => target.tensor_fp8,
        DType::Fp64 => target.compute_capability == 80 || target.compute_capability == 90,
        _ => false,
    };
    match target.compute_capability {
        _ if !tensor => Math::Simt,
        90..=99 => Math::WarpGroup,
        100..=119 => Math::TensorMemory,
        _ => Math::Tensor,
    }
}

/// Tiles to choose from.
pub fn tiles(dtype: DType, target: &Target) -> Vec<Tile> {
    let math = math_for(dtype, target);
    if math == Math::Simt {
        // Four products of bytes are one instruction on words.
        let packed = if dtype == DType::Int8 { 4 } else { 1 };
        return SIMT
            .iter()
            .map(|&(m, n, k, warps)| Tile {
                m,
                n,
                k: k * packed,
                stages: 2,
                warps,
                math: Math::Simt,
            })
            .collect();
    }
    let list = match math {
        Math::WarpGroup => TENSOR_WARP_GROUP,
        Math::TensorMemory => TENSOR_PAIRED,
        _ if target.compute_capability < 80 => TENSOR_REGISTER_STAGED,
        _ => TENSOR_ASYNC,
    };
    list.iter()
        .map(|&(m, n, k_bytes, stages, warps)| Tile {
            m,
            n,
            k: (f64::from(k_bytes) / dtype.bytes()) as u32,
            stages,
            warps,
            math,
        })
        .filter(|tile| tile.shared_bytes(dtype) <= target.shared_bytes_per_cta)
        .collect()
}
