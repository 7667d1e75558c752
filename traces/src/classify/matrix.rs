//! Matrix products and attention.

use lumacycle_workloads::ops::gemm::{Epilogue, Tile};
use lumacycle_workloads::ops::{Attention, Gemm, Layout, Operation, Streaming};
use lumacycle_workloads::{DType, KernelClass};

use super::{Classified, Known, Launched, size, volume};
use crate::names;
use crate::recording::Operator;

const GEMM_WORDS: [&str; 9] =
    ["gemm", "gemv", "cutlass", "nvjet", "dot_kernel", "gemmk1", "gemmSN", "xmma", "splitK_"];
const NOT_GEMM: [&str; 5] = ["splitKreduce", "ReduceSplitK", "fill_tensormaps", "flash", "fmha"];

/// m, n, k, batch of a row-major product as the operator states it.
fn product(operator: &Operator) -> Option<(u64, u64, u64, u64, bool)> {
    let name = operator.name.as_ref();
    let (a, b, bias) = match name {
        "aten::mm" | "aten::bmm" | "aten::matmul" => (0, 1, false),
        "aten::addmm" | "aten::baddbmm" | "aten::addbmm" | "aten::_addmm_activation" => {
            (1, 2, true)
        }
        "aten::linear" => {
            let (x, w) = (operator.shape(0)?, operator.shape(1)?);
            let k = *w.last()?;
            let rows = volume(x) / k.max(1) as f64;
            return Some((rows as u64, size(w[0]), size(k), 1, true));
        }
        _ => return None,
    };
    let (a, b) = (operator.shape(a)?, operator.shape(b)?);
    match (a, b) {
        ([m, k], [_, n]) => Some((size(*m), size(*n), size(*k), 1, bias)),
        ([batch, m, k], [_, _, n]) => Some((size(*m), size(*n), size(*k), size(*batch), bias)),
        _ => None,
    }
}

pub(super) fn gemm(launched: &Launched<'_>) -> Option<Classified> {
    if launched.name_has(&["splitKreduce", "ReduceSplitK", "reduce_1Block_kernel", "scal_kernel"]) {
        return split_k_reduction(launched);
    }
    // "splitK_" appears in names of convolutions too; those were taken before.
    if !launched.name_has(&GEMM_WORDS) || launched.name_has(&NOT_GEMM) {
        return None;
    }
    let named = names::parse(launched.name);
    let dtype = named.map_or_else(|| launched.dtype(), |named| named.dtype);
    let shape = launched.operator.and_then(product).filter(|&(m, n, k, batch, _)| {
        let gemm = Gemm { batch, ..Gemm::new(m, n, k, dtype) };
        Operation::Gemm(gemm).validate().is_ok()
    });
    let Some((m, n, k, batch, bias)) = shape else {
        return without_shape(launched, named.as_ref());
    };
    let mut gemm = Gemm::new(m, n, k, dtype);
    gemm.batch = batch;
    gemm.layout = Layout::row_major(launched.name).unwrap_or_default();
    gemm.epilogue = Epilogue { reads_c: false, bias };
    if let Some(named) = named {
        gemm.fp16_accumulate = named.fp16_accumulate;
        gemm.vector_bytes = named.vector_bytes;
        let (tile, split) = orient(named.tile, launched, m, n, batch);
        gemm.tile = Some(tile);
        gemm.split_k = Some(split);
        gemm.recorded = Some(launched.recorded);
        return Some(Classified::new(Operation::Gemm(gemm), dtype, Known::Kernel));
    }
    // Matrix-vector kernels and other unnamed tiles: the shape decides.
    Some(Classified::new(Operation::Gemm(gemm), dtype, Known::Shape))
}

/// Turns the tile so that it matches the grid. BLAS is column-major: what PyTorch calls a row
/// is a column there, so the written order is swapped unless the grid says otherwise.
fn orient(tile: Tile, launched: &Launched<'_>, m: u64, n: u64, batch: u64) -> (Tile, u32) {
    let swapped = Tile { m: tile.n, n: tile.m, ..tile };
    let ctas = launched.ctas();
    let tiles = |tile: &Tile| m.div_ceil(tile.m.into()) * n.div_ceil(tile.n.into()) * batch.max(1);
    // An exact fit is better than a split, a split better than a remainder.
    let misfit = |tile: &Tile| {
        let tiles = tiles(tile).max(1);
        let rest = if ctas >= tiles { ctas % tiles } else { tiles - ctas };
        (rest, ctas != tiles)
    };
    let mut chosen = if misfit(&swapped) <= misfit(&tile) { swapped } else { tile };
    let warps = launched.recorded.launch.warps();
    chosen.warps = u32::try_from(warps.clamp(1, 32)).unwrap_or(8);
    let split = (ctas / tiles(&chosen).max(1)).clamp(1, 512);
    (chosen, u32::try_from(split).unwrap_or(1))
}

/// A product of which only tile and grid are known: its output size follows, its depth does not.
fn without_shape(
    launched: &Launched<'_>,
    named: Option<&names::NamedKernel>,
) -> Option<Classified> {
    let named = named?;
    let grid = launched.recorded.launch.grid;
    let tile = named.tile;
    let (m, n) = (u64::from(grid[1]) * u64::from(tile.n), u64::from(grid[0]) * u64::from(tile.m));
    // A square-ish depth is the least bad guess; the confidence says that it is one.
    let k = m.min(n).max(64);
    let mut gemm = Gemm::new(m, n, k, named.dtype);
    gemm.batch = u64::from(grid[2]);
    gemm.layout = Layout::row_major(launched.name).unwrap_or_default();
    let (tile, _) = orient(tile, launched, m, n, gemm.batch);
    gemm.tile = Some(tile);
    gemm.split_k = Some(1);
    gemm.recorded = Some(launched.recorded);
    Some(Classified::new(Operation::Gemm(gemm), named.dtype, Known::Assumed))
}

/// Adding the partial results of a split-K product.
fn split_k_reduction(launched: &Launched<'_>) -> Option<Classified> {
    let (m, n, _, batch, _) = launched.operator.and_then(product)?;
    let dtype = launched.dtype();
    let elements = m as f64 * n as f64 * batch as f64;
    // The factor is not recorded with this launch; libraries mostly use 2 to 8.
    let factor = 4.0;
    let streaming = Streaming {
        read_bytes: elements * 4.0 * factor,
        write_bytes: elements * dtype.bytes(),
        flops_per_element: factor,
        recorded: Some(launched.recorded),
        ..Streaming::new(KernelClass::Gemm, elements)
    };
    Some(Classified::new(Operation::Streaming(streaming), dtype, Known::Launch))
}

/// Which scalar says that later keys are masked differs from call to call.
fn is_causal(operator: &Operator, backward: bool) -> bool {
    let scalar = |index: usize| operator.scalars.get(index).map_or("", String::as_str);
    if operator.name.contains("efficient_attention") {
        // custom_mask_type: 0 = none, otherwise causal from one corner or the other. It follows
        // dropout_p forward; backward it is the only small integer behind the tensors.
        let small = |text: &&String| matches!(text.as_str(), "1" | "2");
        return if backward {
            operator.scalars.iter().any(|text| small(&text))
        } else {
            matches!(scalar(8), "1" | "2")
        };
    }
    if operator.name.contains("_flash_attention_forward") {
        return scalar(8) == "True";
    }
    operator.scalars.iter().any(|text| text == "True")
}

/// Fused attention: PyTorch's own call or a FlashAttention kernel.
pub(super) fn attention(launched: &Launched<'_>) -> Option<Classified> {
    if !launched.name_has(&["flash", "fmha", "attention_kernel"]) {
        return None;
    }
    if launched.name_has(&[
        "Preprocess",
        "Postprocess",
        "dot_do_o",
        "convert_dq",
        "splitkv_combine",
    ]) {
        return None;
    }
    let operator = launched.operator?;
    let backward = launched.name_has(&["bwd", "backward", "Bwd", "bprop"]);
    // Backward calls put the gradient of the result first.
    let first = u32::from(backward);
    let query = operator.shapes_of(first).next().filter(|shape| shape.len() == 4)?;
    let key = operator.shapes_of(first + 1).next().filter(|shape| shape.len() == 4)?;
    // `_flash_attention_forward` takes (batch, sequence, heads, dim);
    // `_scaled_dot_product_*` takes (batch, heads, sequence, dim).
    let heads_first = operator.name.contains("scaled_dot_product");
    let (s, h) = if heads_first { (2, 1) } else { (1, 2) };
    let dtype = operator.types.iter().find_map(|text| DType::parse(text)).unwrap_or(DType::Fp16);
    let causal = is_causal(operator, backward);
    // Forward only: backward kernels walk the other operand. Newer kernels choose tiles by
    // themselves.
    let implementation = if backward { None } else { names::flash_version(launched.name) };
    let tile =
        if backward || implementation.is_some() { None } else { names::flash_tile(launched.name) };
    let attention = Attention {
        batch: size(query[0]),
        heads_q: size(query[h]),
        heads_kv: size(key[h]),
        head_dim: size(query[3]),
        seq_q: size(query[s]),
        seq_kv: size(key[s]),
        causal,
        dtype,
        backward,
        unfused: false,
        paged: false,
        table_keys: None,
        tile,
        implementation,
        recorded: tile.map(|_| launched.recorded),
    };
    let known = if tile.is_some() { Known::Kernel } else { Known::Shape };
    Some(Classified::new(Operation::Attention(attention), dtype, known))
}
