//! Scaled dot-product attention: fused (FlashAttention forward and backward), decode over a
//! paged KV cache with the sequence split over CTAs, and unfused.
//!
//! The fused kernel gives each CTA a tile of queries of one head and walks the keys and values;
//! the scores never leave the SM. With a causal mask, tiles above the diagonal are skipped.
//! Decode (one query row per sequence) reads the whole cache once and is bound by memory; query
//! heads that share a KV head are packed into one tile. Fused kernels have modules of their own
//! (`flash`, `flash_async`, `flash_backward`, `paged`). Left out: dropout and variable-length packing.

use serde::{Deserialize, Serialize};

use super::flash::Implementation;
use super::{Candidate, Gemm, Recorded, RowOperation, Rows, Streaming};
use crate::kernel::Direction;
use crate::{DType, Kernel, KernelClass, Launch, Raster, Stage, Stream, Target, TensorType};

/// An attention call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attention {
    /// Sequences.
    pub batch: u64,
    /// Query heads.
    pub heads_q: u64,
    /// Key/value heads.
    pub heads_kv: u64,
    /// Elements per head.
    pub head_dim: u64,
    /// Query rows per sequence.
    pub seq_q: u64,
    /// Key rows per sequence.
    pub seq_kv: u64,
    /// Whether later keys are masked.
    pub causal: bool,
    /// Element type.
    pub dtype: DType,
    /// Gradient instead of the forward pass.
    #[serde(default)]
    pub backward: bool,
    /// Scores written to memory and normalised by a kernel of their own.
    #[serde(default)]
    pub unfused: bool,
    /// Keys and values come through the block table of a paged cache, to which the kernel
    /// first appends those of the new rows.
    #[serde(default)]
    pub paged: bool,
    /// Keys that the page table has room for in a sequence (the longest that the server takes),
    /// by which the library splits; `seq_kv` where not told.
    #[serde(default)]
    pub table_keys: Option<u64>,
    /// Query rows, key columns and warps of the fused kernel's tile, where its name tells.
    #[serde(default)]
    pub tile: Option<[u32; 3]>,
    /// Whose fused kernel runs; the usual one of the target where not told.
    #[serde(default)]
    pub implementation: Option<Implementation>,
    /// The launch, where recorded.
    #[serde(default)]
    pub recorded: Option<Recorded>,
}

/// Elements of a head that `FlashAttention` takes at most.
const LONGEST_HEAD: u64 = 256;

impl Attention {
    /// A forward call without a mask, of as many KV heads as query heads, of (batch, heads, query rows,
    /// key rows, elements of a head), by the target's usual fused kernel.
    pub fn new(shape: [u64; 5], dtype: DType) -> Self {
        let [batch, heads, seq_q, seq_kv, head_dim] = shape;
        Self {
            batch,
            heads_q: heads,
            heads_kv: heads,
            head_dim,
            seq_q,
            seq_kv,
            causal: false,
            dtype,
            backward: false,
            unfused: false,
            paged: false,
            table_keys: None,
            tile: None,
            implementation: None,
            recorded: None,
        }
    }

    /// Share of the score matrix that a causal mask leaves (queries are the last rows).
    pub(super) fn visible_share(&self) -> f64 {
        if !self.causal {
            return 1.0;
        }
        let (q, kv) = (self.seq_q as f64, self.seq_kv as f64);
        if q <= kv { (kv - (q - 1.0) / 2.0) / kv } else { (kv + 1.0) / (2.0 * q) }
    }

    /// Two products forward, five backward.
    pub fn flops(&self) -> f64 {
        let products = if self.backward { 5.0 } else { 2.0 };
        let scores = self.seq_q as f64 * self.seq_kv as f64 * self.visible_share();
        2.0 * products * scores * self.head_dim as f64 * (self.batch * self.heads_q) as f64
    }

    pub(super) fn kv_bytes(&self) -> f64 {
        let rows = (self.batch * self.heads_kv * self.seq_kv) as f64;
        2.0 * rows * self.head_dim as f64 * self.dtype.bytes()
    }

    pub(super) fn q_bytes(&self) -> f64 {
        let rows = (self.batch * self.heads_q * self.seq_q) as f64;
        rows * self.head_dim as f64 * self.dtype.bytes()
    }

    /// Q, K, V and the result, once (twice as many tensors backward).
    pub fn compulsory_bytes(&self) -> f64 {
        (self.kv_bytes() + 2.0 * self.q_bytes()) * if self.backward { 2.0 } else { 1.0 }
    }

    /// Candidates for a target.
    pub fn lower(&self, target: &Target) -> Vec<Candidate> {
        if self.unfused {
            return self.unfused_candidates(target);
        }
        let fits = self.recorded.is_none_or(|recorded| recorded.fits(target));
        if let (Some([rows, columns, warps]), true) = (self.tile, fits) {
            return vec![self.fused(rows, columns, warps, target).into()];
        }
        if self.paged && !self.backward {
            return self.paged_candidates(target);
        }
        let packed = self.heads_q / self.heads_kv.max(1) * self.seq_q;
        if !self.backward && packed <= 64 && self.seq_kv > 64 {
            return self.decode_candidates(target);
        }
        if self.backward {
            return self.backward_candidates(target);
        }
        if self.head_dim > LONGEST_HEAD {
            return vec![self.memory_efficient(target).into()];
        }
        // Newer versions take types of 16 bits and fewer alone.
        let narrow = self.dtype.bytes() <= 2.0;
        let asked = if narrow { self.implementation } else { Some(Implementation::Flash2) };
        match Implementation::on(target, asked) {
            Implementation::Flash4 => vec![self.tensor_memory(target).into()],
            Implementation::Flash3 => vec![self.warp_specialised(target).into()],
            Implementation::Flash2 => {
                let (rows, columns, warps) = self.flash2_tile(target);
                vec![self.fused(rows, columns, warps, target).into()]
            }
        }
    }

    /// Whether the target's tensor cores multiply this type.
    pub(super) fn on_tensor_cores(&self, target: &Target) -> bool {
        match self.dtype {
            DType::Bf16 => target.tensor_bf16,
            DType::Fp8 => target.tensor_fp8,
            DType::Fp32 | DType::Tf32 => target.tensor_tf32,
            _ => target.tensor_fp16,
        }
    }

    pub(super) fn tensor_type(&self) -> TensorType {
        match self.dtype {
            DType::Bf16 => TensorType::Bf16,
            DType::Fp8 => TensorType::Fp8,
            DType::Fp32 | DType::Tf32 => TensorType::Tf32,
            _ => TensorType::Fp16Acc32,
        }
    }

    /// Adds up what the splits of a sequence left.
    fn sums(&self, split: u64) -> Streaming {
        let elements = self.q_bytes() / self.dtype.bytes();
        Streaming {
            read_bytes: elements * 4.0 * split as f64,
            write_bytes: elements * self.dtype.bytes(),
            flops_per_element: 2.0 * split as f64,
            ..Streaming::new(KernelClass::Attention, elements)
        }
    }

    fn decode_candidates(&self, target: &Target) -> Vec<Candidate> {
        let tasks = self.batch * self.heads_kv;
        let mut splits = vec![1_u64];
        while let Some(&last) = splits.last() {
            let next = last * 2;
            if tasks * last >= 2 * u64::from(target.sm_count) || self.seq_kv / next < 128 {
                break;
            }
            splits.push(next);
        }
        splits.into_iter().map(|split| self.decode(split, target)).collect()
    }

    fn decode(&self, split: u64, target: &Target) -> Candidate {
        let d = self.head_dim as f64;
        let bytes = self.dtype.bytes();
        let tasks = self.batch * self.heads_kv * split;
        let group = (self.heads_q / self.heads_kv.max(1) * self.seq_q) as f64;
        let columns = 64.0;
        let warps = 4.0;
        let steps = libm::ceil(self.seq_kv as f64 / split as f64 / columns).max(1.0);
        // Query rows are padded to the 16 of a tensor instruction.
        let rows = libm::ceil(group / 16.0) * 16.0;
        let mut main = Stage::once("main loop");
        main.iterations = steps;
        main.demand = self.tile_demand(rows, columns, 1.0, self.on_tensor_cores(target));
        main.in_flight = 2.0;
        main.memory_round_trips = 1.0;
        main.barriers = 2.0;
        main.in_sequence_warps = 4;
        main.shared_round_trips = 2.0;
        main.dependent_instructions = 60.0;
        main.dependent_tensor = 2.0 * d / 16.0;
        let read = self.kv_bytes() / tasks as f64 / steps;
        main.streams = vec![Stream::streaming("KV cache", Direction::Read, read)];
        let mut prologue = Stage::once("load query");
        prologue.demand.int32 = warps * 100.0;
        prologue.dependent_instructions = 100.0;
        // Sequence lengths and the block table come before the first keys.
        prologue.memory_round_trips = 3.0;
        prologue.streams = vec![Stream::streaming("Q", Direction::Read, group * d * bytes)];
        let out_bytes = if split > 1 { 4.0 } else { bytes };
        let mut epilogue = Stage::once("epilogue");
        epilogue.barriers = 2.0;
        epilogue.streams =
            vec![Stream::streaming("output", Direction::Write, group * d * out_bytes)];
        let shared_bytes = (4.0 * columns * d * bytes + rows * d * bytes) as u32;
        let launch = match self.recorded {
            Some(recorded) if recorded.fits(target) => recorded.launch,
            _ => Launch::linear(tasks, 128, 224, shared_bytes.min(target.shared_bytes_per_cta)),
        };
        let mut kernels = vec![Kernel {
            class: KernelClass::Attention,
            variant: format!("decode, {split} splits"),
            launch,
            raster: Raster::flat(tasks),
            tensor: self.on_tensor_cores(target).then(|| self.tensor_type()),
            tensor_from_registers: true,
            stages: vec![prologue, main, epilogue],
            read_footprint_bytes: self.kv_bytes() + self.q_bytes(),
            write_footprint_bytes: self.q_bytes() / bytes * out_bytes * split as f64,
            then: Vec::new(),
            useful_share: 1.0,
        }];
        if split > 1 && self.recorded.is_none() {
            kernels.push(self.sums(split).kernel(target));
        }
        Candidate { kernels }
    }

    fn unfused_candidates(&self, target: &Target) -> Vec<Candidate> {
        let heads = self.batch * self.heads_q;
        let mut scores = Gemm::new(self.seq_q, self.seq_kv, self.head_dim, self.dtype);
        scores.batch = heads;
        let mut values = Gemm::new(self.seq_q, self.head_dim, self.seq_kv, self.dtype);
        values.batch = heads;
        let softmax = Rows {
            operation: RowOperation::Softmax,
            rows: heads * self.seq_q,
            columns: self.seq_kv,
            dtype: self.dtype,
            written_dtype: None,
            backward: self.backward,
            vector_bytes: 16.0,
            recorded: None,
        };
        // Frameworks scale all scores in a pass of its own (eager attention).
        let elements = (heads * self.seq_q) as f64 * self.seq_kv as f64;
        let scale = Streaming {
            read_bytes: elements * self.dtype.bytes(),
            write_bytes: elements * self.dtype.bytes(),
            flops_per_element: 1.0,
            ..Streaming::new(KernelClass::Elementwise, elements)
        };
        // The three choices are independent: the engine prices each list on its own, so the
        // first of each is enough to state the sequence when there is only one.
        let mut out = Vec::new();
        let normalise = softmax.lower(target);
        for first in scores.lower(target) {
            for last in values.lower(target).iter().take(4) {
                if let Some(middle) = normalise.first() {
                    let mut kernels = first.kernels.clone();
                    kernels.push(scale.kernel(target));
                    kernels.extend(middle.kernels.iter().cloned());
                    kernels.extend(last.kernels.iter().cloned());
                    out.push(Candidate { kernels });
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::A100;

    fn call() -> Attention {
        let shape = [4, 32, 1, 4096, 128];
        Attention { heads_kv: 8, causal: true, ..Attention::new(shape, DType::Fp16) }
    }

    #[test]
    fn decode_sees_the_whole_cache() {
        assert!((call().visible_share() - 1.0).abs() < 1e-12);
        let prefill = Attention { seq_q: 4096, ..call() };
        assert!((prefill.visible_share() - 0.5).abs() < 1e-3);
    }

    #[test]
    fn wide_types_take_the_oldest_kernel() {
        let hopper = Target { compute_capability: 90, ..A100 };
        for (dtype, start) in [(DType::Fp16, "warp-specialised"), (DType::Fp32, "fused")] {
            let call = Attention { seq_q: 4096, dtype, ..call() };
            let kernels = call.lower(&hopper).remove(0).kernels;
            assert!(kernels[0].variant.starts_with(start), "{}", kernels[0].variant);
        }
    }

    #[test]
    fn decode_reads_the_cache_once() {
        for candidate in call().lower(&A100) {
            let kernel = &candidate.kernels[0];
            let read = kernel.per_cta(|s| {
                s.streams.iter().filter(|s| s.label == "KV cache").map(|s| s.bytes).sum()
            }) * kernel.launch.ctas() as f64;
            assert!((read / call().kv_bytes() - 1.0).abs() < 1e-9);
        }
    }
}
