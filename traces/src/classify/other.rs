//! Copies, collectives, normalisations, softmax, reductions, gathers and sorts.

use lumacycle_workloads::ops::{
    Collective, CollectiveKind, CopyKind, Embedding, NormKind, Operation, Reduction, RowOperation,
    Rows, SortKind, SortScan, Streaming, Transfer,
};
use lumacycle_workloads::{DType, KernelClass};

use super::{Classified, Known, Launched, dtype_in, size, volume};
use crate::recording::{EventKind, Signature};

pub(super) fn transfer(signature: &Signature) -> Classified {
    let name = signature.name.as_ref();
    let class =
        if signature.kind == EventKind::Memset { KernelClass::Memset } else { KernelClass::Memcpy };
    let Some(bytes) = signature.bytes else {
        return Classified::kept(class);
    };
    let kind = if class == KernelClass::Memset {
        CopyKind::Set
    } else if name.contains("Pageable") {
        // The host's staging sets the pace, and the host is not modelled.
        return Classified::kept(class);
    } else if name.contains("HtoH") {
        // Nothing that a GPU does.
        return Classified::kept(class);
    } else if ["HtoD", "HtoA", "Host -> Device"].iter().any(|way| name.contains(way)) {
        CopyKind::HostToDevice
    } else if ["DtoH", "AtoH", "Device -> Host"].iter().any(|way| name.contains(way)) {
        CopyKind::DeviceToHost
    } else if name.contains("PtoP") {
        CopyKind::PeerToPeer
    } else {
        CopyKind::DeviceToDevice
    };
    let transfer = Transfer { kind, bytes: bytes as f64 };
    Classified::new(Operation::Transfer(transfer), DType::Fp32, Known::Kernel)
}

/// A collective, if the kernel is one: how long it waits for other ranks no single recording
/// tells, so only those that state their payload are simulated.
pub(super) fn collective(signature: &Signature) -> Option<Classified> {
    let name = signature.name.to_lowercase();
    if !(name.starts_with("nccl") || name.contains("ncclkernel") || name.contains("nccldevkernel"))
    {
        return None;
    }
    let Some(info) = signature.collective.as_ref().filter(|info| info.elements > 0) else {
        return Some(Classified::kept(KernelClass::Collective));
    };
    let what = format!("{} {}", name, info.name.to_lowercase());
    let kind = if what.contains("allreduce") {
        CollectiveKind::AllReduce
    } else if what.contains("allgather") {
        CollectiveKind::AllGather
    } else if what.contains("reducescatter") {
        CollectiveKind::ReduceScatter
    } else if what.contains("broadcast") {
        CollectiveKind::Broadcast
    } else if what.contains("alltoall") || what.contains("all_to_all") {
        CollectiveKind::AllToAll
    } else {
        CollectiveKind::SendRecv
    };
    let dtype = DType::parse(&info.dtype).unwrap_or(DType::Fp32);
    let collective =
        Collective { kind, bytes: info.elements as f64 * dtype.bytes(), ranks: info.ranks };
    Some(Classified::new(Operation::Collective(collective), dtype, Known::Shape))
}

pub(super) fn rows(launched: &Launched<'_>) -> Option<Classified> {
    let softmax = launched.name_has(&["softmax", "SoftMax"]);
    let batch = launched.name_has(&["bn_fw", "bn_bw", "batch_norm"]);
    let layer =
        launched.name_has(&["layer_norm", "RowwiseMoments", "LayerNorm", "ln_fwd", "ln_bwd"]);
    let rms = launched.name_has(&["rms_norm", "RMSNorm", "rmsnorm"]);
    let group = launched.name_has(&["group_norm", "GroupNorm"]);
    if !(softmax || batch || layer || rms || group) {
        return None;
    }
    let operator = launched.operator?;
    let shape = operator.shapes.iter().find(|shape| shape.len() >= 2)?;
    let elements = volume(shape);
    let backward = launched.name_has(&["bw", "backward", "Backward", "bwd", "grad"]);
    let (operation, rows) = if softmax {
        let axis = operator
            .scalars
            .get(1)
            .and_then(|text| text.parse::<i64>().ok())
            .filter(|axis| *axis >= 0 && (*axis as usize) < shape.len())
            .map_or(shape.len() - 1, |axis| axis as usize);
        (RowOperation::Softmax, elements / size(shape[axis]) as f64)
    } else if batch {
        (RowOperation::Norm(NormKind::Batch), size(shape[1]) as f64)
    } else if group {
        (RowOperation::Norm(NormKind::Group), size(shape[0]) as f64 * 32.0)
    } else {
        let kind = if rms { NormKind::Rms } else { NormKind::Layer };
        (RowOperation::Norm(kind), elements / size(*shape.last()?) as f64)
    };
    let rows_count = (rows as u64).max(1);
    let dtype = dtype_in(launched.name).unwrap_or_else(|| launched.dtype());
    let rows = Rows {
        operation,
        rows: rows_count,
        columns: ((elements / rows_count as f64) as u64).max(1),
        dtype,
        written_dtype: if softmax { softmax_result(launched.name) } else { None },
        backward,
        vector_bytes: 16.0,
        recorded: Some(launched.recorded),
    };
    Some(Classified::new(Operation::Rows(rows), dtype, Known::Kernel))
}

/// Type of the result as PyTorch's softmax kernels name it: `softmax_warp_forward<input, output,
/// …>` and `cunn_SoftMaxForward<vector, input, accumulator, output, …>`.
fn softmax_result(name: &str) -> Option<DType> {
    let arguments = |kernel: &str| name.split(kernel).nth(1).map(|rest| rest.split(','));
    let output = match arguments("softmax_warp_forward<") {
        Some(mut found) => found.nth(1),
        None => arguments("cunn_SoftMaxForward<").and_then(|mut found| found.nth(3)),
    };
    dtype_in(output?)
}

pub(super) fn reduction(launched: &Launched<'_>) -> Option<Classified> {
    if !launched.name_has(&["reduce_kernel", "Reduce", "reduce_"]) {
        return None;
    }
    let operator = launched.operator?;
    let inputs = operator.shapes.iter().map(|shape| volume(shape)).fold(0.0, f64::max);
    if inputs <= 0.0 {
        return None;
    }
    let dtype = dtype_in(launched.name).unwrap_or_else(|| launched.dtype());
    // The reduced axes are scalar arguments; without them the outputs are few next to the
    // inputs in any case.
    let reduction = Reduction {
        inputs,
        outputs: (inputs / 64.0).max(1.0),
        dtype,
        recorded: Some(launched.recorded),
    };
    Some(Classified::new(Operation::Reduction(reduction), dtype, Known::Kernel))
}

pub(super) fn gather_and_sort(launched: &Launched<'_>) -> Option<Classified> {
    sort(launched).or_else(|| embedding(launched)).or_else(|| index(launched))
}

fn sort(launched: &Launched<'_>) -> Option<Classified> {
    let kind = if launched.name_has(&["RadixSortHistogram", "RadixSortExclusiveSum", "Upsweep"]) {
        SortKind::Histogram
    } else if launched.name_has(&["RadixSort", "radixSort", "bitonicSort", "MergeSort"]) {
        SortKind::Pass
    } else if launched.name_has(&["DeviceScan", "DeviceSelect", "ReduceByKey", "RunLength"]) {
        SortKind::Scan
    } else {
        return None;
    };
    let threads = launched.ctas() as f64 * launched.recorded.launch.threads() as f64;
    // CUB's policies give each thread 10 to 23 items; the middle of that range.
    let elements = (threads * 16.0) as u64;
    let key_bytes = if launched.name_has(&["long"]) { 8.0 } else { 4.0 };
    let sort = SortScan {
        kind,
        elements,
        key_bytes,
        value_bytes: if kind == SortKind::Pass { 4.0 } else { 0.0 },
        recorded: Some(launched.recorded),
    };
    Some(Classified::new(Operation::SortScan(sort), DType::Int32, Known::Launch))
}

/// Lookups into a table whose shape the operator states.
fn embedding(launched: &Launched<'_>) -> Option<Classified> {
    let words = ["indexSelect", "embedding", "vectorized_gather"];
    if !launched.name_has(&words) {
        return None;
    }
    let operator = launched.operator?;
    let backward = launched.name_has(&["backward", "grad"]);
    // Kernel names spell the index type as often as the value's.
    let typed = operator.types.first().and_then(|text| DType::parse(text));
    let dtype = typed.or_else(|| dtype_in(launched.name)).unwrap_or(DType::Fp32);
    if operator.name.contains("fbgemm") || operator.name.contains("SplitLookup") {
        return None;
    }
    let mut shapes = operator.shapes.iter().filter(|shape| !shape.is_empty());
    let (table, indices) = (shapes.next()?, shapes.next()?);
    let lookups = volume(indices).max(1.0);
    let (table_rows, width) = if backward {
        // (gradient of the result, indices, rows of the table, …)
        let rows = operator.scalars.get(2).and_then(|text| text.parse::<i64>().ok());
        (rows.unwrap_or(1 << 16), volume(table) / lookups)
    } else {
        let (rows, rest) = table.split_first()?;
        (*rows, volume(rest))
    };
    let embedding = Embedding {
        table_rows: size(table_rows),
        width: width.max(1.0) as u64,
        lookups: lookups as u64,
        dtype,
        backward,
        recorded: Some(launched.recorded),
    };
    Some(Classified::new(Operation::Embedding(embedding), dtype, Known::Kernel))
}

/// Indexed reads and writes: the launch gives the number of elements.
fn index(launched: &Launched<'_>) -> Option<Classified> {
    if !launched.name_has(&["index_elementwise", "scatter_gather", "indexing_backward"]) {
        return None;
    }
    let threads = launched.ctas() as f64 * launched.recorded.launch.threads() as f64;
    let elements = threads * 4.0;
    let dtype = dtype_in(launched.name).unwrap_or_else(|| launched.dtype());
    let streaming = Streaming {
        // An int64 index and a value each.
        read_bytes: elements * (8.0 + dtype.bytes()),
        write_bytes: elements * dtype.bytes(),
        int_per_element: 30.0,
        // Values lie apart: half of each sector is of use.
        contiguous_share: 0.5,
        recorded: Some(launched.recorded),
        ..Streaming::new(KernelClass::Embedding, elements)
    };
    Some(Classified::new(Operation::Streaming(streaming), dtype, Known::Launch))
}
