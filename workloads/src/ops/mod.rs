//! Operations: what a program asked for, before a library chose how to do it.
//!
//! Each operation knows its shape, its arithmetic and the bytes it cannot avoid, and lowers to
//! candidate kernel sequences for a [`Target`]. An engine prices the candidates and takes the
//! fastest, as a vendor library's heuristics try to.

pub mod attention;
pub mod convolution;
pub mod counters;
pub mod counts;
mod flash;
mod flash_async;
mod flash_backward;
pub mod fused_mlp;
pub mod gather;
pub mod gemm;
pub mod grid_encoding;
mod layer_norm;
pub mod layout;
pub mod library;
mod paged;
pub mod per_thread;
pub mod plane_sample;
pub mod renderer;
pub mod rows;
mod simt;
mod softmax;
pub mod sort;
pub mod streaming;
pub mod tile;
pub mod traced;
pub mod transfer;
pub mod unknown;
mod validate;

use serde::{Deserialize, Serialize};

pub use attention::Attention;
pub use convolution::{ConvAlgorithm, ConvDirection, Convolution};
pub use counters::Counters;
pub use flash::Implementation;
pub use fused_mlp::FusedMlp;
pub use gather::Embedding;
pub use gemm::{Gemm, Tile};
pub use grid_encoding::GridEncoding;
pub use layout::Layout;
pub use per_thread::{Part, PerThread};
pub use plane_sample::PlaneSample;
pub use renderer::FusedRenderer;
pub use rows::{NormKind, Reduction, RowOperation, Rows};
pub use sort::{SortKind, SortScan};
pub use streaming::Streaming;
pub use traced::Traced;
pub use transfer::{Collective, CollectiveKind, CopyKind, Transfer};
pub use unknown::Unknown;

use crate::{Kernel, KernelClass, Launch, Target};

/// A launch shape taken from a recording, with the compute capability it was recorded on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Recorded {
    /// Launch shape.
    pub launch: Launch,
    /// Compute capability × 10 of the recording device; 0 = not known.
    pub compute_capability: u32,
}

impl Recorded {
    /// Whether the recorded kernel would be launched unchanged on this target: same binary,
    /// as far as one can know.
    pub fn fits(&self, target: &Target) -> bool {
        let same =
            self.compute_capability == 0 || self.compute_capability == target.compute_capability;
        same && self.launch.shared_bytes <= target.shared_bytes_per_cta
    }
}

/// One way to do an operation: kernels launched one after another.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The kernels in launch order; never empty.
    pub kernels: Vec<Kernel>,
}

impl From<Kernel> for Candidate {
    fn from(kernel: Kernel) -> Self {
        Self { kernels: vec![kernel] }
    }
}

/// What a program asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each variant's type documents it")]
pub enum Operation {
    Gemm(Gemm),
    Convolution(Convolution),
    Attention(Attention),
    Streaming(Streaming),
    Rows(Rows),
    Reduction(Reduction),
    Embedding(Embedding),
    GridEncoding(GridEncoding),
    FusedMlp(FusedMlp),
    FusedRenderer(FusedRenderer),
    PerThread(PerThread),
    PlaneSample(PlaneSample),
    SortScan(SortScan),
    Transfer(Transfer),
    Collective(Collective),
    Counters(Counters),
    Traced(Box<Traced>),
    Unknown(Unknown),
}

impl Operation {
    /// Candidate implementations for a target; at least one, except for transfers and
    /// collectives, which launch no CTAs of their own.
    pub fn lower(&self, target: &Target) -> Vec<Candidate> {
        match self {
            Self::Gemm(gemm) => gemm.lower(target),
            Self::Convolution(convolution) => convolution.lower(target),
            Self::Attention(attention) => attention.lower(target),
            Self::Streaming(streaming) => vec![streaming.kernel(target).into()],
            Self::Rows(rows) => rows.lower(target),
            Self::Reduction(reduction) => vec![reduction.kernel(target).into()],
            Self::Embedding(embedding) => vec![embedding.kernel(target).into()],
            Self::GridEncoding(encoding) => vec![encoding.kernel(target).into()],
            Self::FusedMlp(mlp) => mlp.lower(target),
            Self::FusedRenderer(renderer) => vec![renderer.kernel(target).into()],
            Self::PerThread(threads) => vec![threads.kernel(target).into()],
            Self::PlaneSample(sample) => vec![sample.kernel(target).into()],
            Self::SortScan(sort) => vec![sort.candidate(target)],
            Self::Counters(counters) => vec![counters.kernel().into()],
            Self::Traced(traced) => vec![traced.kernel().into()],
            Self::Unknown(unknown) => vec![unknown.kernel(target).into()],
            Self::Transfer(_) | Self::Collective(_) => Vec::new(),
        }
    }

    /// Kind of work.
    pub fn class(&self) -> KernelClass {
        match self {
            Self::Gemm(_) => KernelClass::Gemm,
            Self::Convolution(_) => KernelClass::Convolution,
            Self::Attention(_) => KernelClass::Attention,
            Self::Streaming(streaming) => streaming.class,
            Self::Rows(rows) => rows.class(),
            Self::Reduction(_) => KernelClass::Reduction,
            Self::Embedding(_) => KernelClass::Embedding,
            Self::GridEncoding(e) if e.backward => KernelClass::GridBackward,
            Self::GridEncoding(_) => KernelClass::GridEncoding,
            Self::FusedMlp(mlp) if mlp.backward => KernelClass::FusedMlpBackward,
            Self::FusedMlp(_) => KernelClass::FusedMlp,
            Self::FusedRenderer(_) => KernelClass::FusedRenderer,
            Self::PerThread(threads) => threads.class,
            Self::PlaneSample(_) => KernelClass::Encoding,
            Self::SortScan(_) => KernelClass::SortScan,
            Self::Transfer(Transfer { kind: CopyKind::Set, .. }) => KernelClass::Memset,
            Self::Transfer(_) => KernelClass::Memcpy,
            Self::Collective(_) => KernelClass::Collective,
            Self::Counters(_) => KernelClass::Counters,
            Self::Traced(_) => KernelClass::Traced,
            Self::Unknown(unknown) => unknown.class,
        }
    }

    /// Arithmetic of the operation, in floating-point operations (one multiply-add = two);
    /// what a roofline divides by the peak rate.
    pub fn flops(&self) -> f64 {
        match self {
            Self::Gemm(gemm) => gemm.flops(),
            Self::Convolution(convolution) => convolution.flops(),
            Self::Attention(attention) => attention.flops(),
            Self::Streaming(streaming) => streaming.elements * streaming.flops_per_element,
            Self::Rows(rows) => rows.flops(),
            Self::Reduction(reduction) => reduction.inputs,
            Self::Counters(counters) => counters.flops(),
            Self::Traced(traced) => traced.flops(),
            Self::GridEncoding(encoding) => encoding.flops(),
            Self::FusedMlp(mlp) => mlp.flops(),
            Self::FusedRenderer(renderer) => renderer.flops(),
            Self::PerThread(threads) => threads.flops(),
            Self::PlaneSample(sample) => sample.flops(),
            Self::Embedding(_)
            | Self::SortScan(_)
            | Self::Transfer(_)
            | Self::Collective(_)
            | Self::Unknown(_) => 0.0,
        }
    }

    /// Bytes that must cross the memory interface once, whatever the implementation.
    pub fn compulsory_bytes(&self) -> f64 {
        match self {
            Self::Gemm(gemm) => gemm.compulsory_bytes(),
            Self::Convolution(convolution) => convolution.compulsory_bytes(),
            Self::Attention(attention) => attention.compulsory_bytes(),
            Self::Streaming(streaming) => streaming.read_bytes + streaming.write_bytes,
            Self::Rows(rows) => rows.compulsory_bytes(),
            Self::Reduction(reduction) => reduction.compulsory_bytes(),
            Self::Embedding(embedding) => embedding.compulsory_bytes(),
            Self::GridEncoding(encoding) => encoding.compulsory_bytes(),
            Self::FusedMlp(mlp) => mlp.compulsory_bytes(),
            Self::FusedRenderer(renderer) => renderer.compulsory_bytes(),
            Self::PerThread(threads) => threads.compulsory_bytes(),
            Self::PlaneSample(sample) => sample.resident_bytes(),
            Self::SortScan(sort) => sort.compulsory_bytes(),
            Self::Transfer(transfer) => transfer.crossing_bytes(),
            Self::Collective(collective) => collective.bytes,
            Self::Counters(counters) => counters.dram_bytes(),
            Self::Traced(traced) => traced.distinct_bytes(),
            Self::Unknown(unknown) => unknown.assumed_bytes(),
        }
    }

    /// The same operation with `factor` times the work along the axis that a launch does not
    /// show: the depth of a product, the elements per thread of anything else. `None` for
    /// operations whose work is not in question.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Option<Self> {
        match self {
            Self::Gemm(gemm) => {
                let k = libm::round(gemm.k as f64 * factor).clamp(1.0, 1e9) as u64;
                Some(Self::Gemm(Gemm { k, ..gemm.clone() }))
            }
            Self::Streaming(s) => Some(Self::Streaming(Streaming {
                elements: s.elements * factor,
                read_bytes: s.read_bytes * factor,
                write_bytes: s.write_bytes * factor,
                ..s.clone()
            })),
            Self::Unknown(u) => {
                Some(Self::Unknown(Unknown { scale: u.scale * factor, ..u.clone() }))
            }
            _ => None,
        }
    }

    /// Device memory that must be allocated at once, in bytes (operands and results).
    pub fn resident_bytes(&self) -> f64 {
        match self {
            Self::Transfer(_)
            | Self::Collective(_)
            | Self::Counters(_)
            | Self::Traced(_)
            | Self::PerThread(_)
            | Self::Unknown(_) => 0.0,
            // In place or not, the larger side has to be there.
            Self::Streaming(streaming) => streaming.read_bytes.max(streaming.write_bytes),
            Self::GridEncoding(encoding) => encoding.resident_bytes(),
            Self::SortScan(sort) => sort.resident_bytes(),
            Self::Embedding(embedding) => embedding.resident_bytes(),
            _ => self.compulsory_bytes(),
        }
    }
}
