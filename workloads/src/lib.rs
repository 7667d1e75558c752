//! What work is, independent of any hardware.
//!
//! Two levels: an [`Operation`](ops::Operation) is what a program asked for (a GEMM of this
//! shape, a softmax over these rows); a [`Kernel`] is one launch with its demands on resources
//! (warp instructions by pipe, tensor operations, shared-memory wavefronts, memory streams that
//! say which addresses). [`ops::Operation::lower`] turns the first into candidates of the
//! second for a [`Target`], the few facts about a device that a vendor library looks at when it
//! chooses. This crate knows neither hardware descriptions nor engines.

pub mod apps;
pub mod dtype;
pub mod encoding;
pub mod kernel;
pub mod ops;
pub mod rays;
pub mod samples;
pub mod scene;
pub mod sparse;
pub mod tensorf;

pub use dtype::DType;
pub use kernel::{Demand, Kernel, KernelClass, Launch, Pattern, Raster, Stage, Stream, TensorType};

/// What a library knows of the device when it chooses a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// CUDA compute capability × 10, e.g. 86.
    pub compute_capability: u32,
    /// Number of SMs.
    pub sm_count: u32,
    /// Shared memory that one CTA may hold, in bytes.
    pub shared_bytes_per_cta: u32,
    /// Whether the tensor cores multiply fp16.
    pub tensor_fp16: bool,
    /// Whether they multiply bf16.
    pub tensor_bf16: bool,
    /// Whether they multiply TF32.
    pub tensor_tf32: bool,
    /// Whether they multiply 8-bit integers.
    pub tensor_int8: bool,
    /// Whether they multiply 8-bit floats.
    pub tensor_fp8: bool,
}

/// An A100, for tests.
#[cfg(test)]
pub(crate) const A100: Target = Target {
    compute_capability: 80,
    sm_count: 108,
    shared_bytes_per_cta: 163 * 1024,
    tensor_fp16: true,
    tensor_bf16: true,
    tensor_tf32: true,
    tensor_int8: true,
    tensor_fp8: false,
};
