//! Kernels that touch each element once: elementwise, copies, concatenation, transposition,
//! pooling, optimizer steps, random numbers.
//!
//! One thread handles a short vector of elements; PyTorch's elementwise kernels (128 threads,
//! four elements each) are the default shape. Transposing kernels pay for the side that is not
//! contiguous through `contiguous_share`.

use serde::{Deserialize, Serialize};

use super::Recorded;
use crate::kernel::{Demand, Direction, Pattern};
use crate::{Kernel, KernelClass, Launch, Raster, Stage, Stream, Target};

/// Elements of the default kernel that one thread handles.
const ELEMENTS_PER_THREAD: f64 = 4.0;
/// Threads of the default CTA.
const THREADS: u32 = 128;

/// A pass over elements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Streaming {
    /// Kind of work.
    pub class: KernelClass,
    /// Elements handled.
    pub elements: f64,
    /// Bytes read, all operands.
    pub read_bytes: f64,
    /// Bytes written.
    pub write_bytes: f64,
    /// Floating-point operations per element.
    pub flops_per_element: f64,
    /// Special functions per element.
    #[serde(default)]
    pub sfu_per_element: f64,
    /// Integer instructions per element (index arithmetic of strided tensors).
    #[serde(default)]
    pub int_per_element: f64,
    /// Branches and other control instructions per element.
    #[serde(default)]
    pub control_per_element: f64,
    /// Words of constant memory per element that instructions of their own fetch where arithmetic cannot read them, from
    /// compute capability 9.0 on (sizes and strides of index arithmetic).
    #[serde(default)]
    pub constants_per_element: f64,
    /// Dependent instructions of a step beyond its arithmetic.
    #[serde(default = "chain")]
    pub chain: f64,
    /// Bytes that one thread moves in one memory instruction: 16 where the compiler vectorises,
    /// an element's size where the source loops over single elements.
    #[serde(default = "full_vector")]
    pub vector_bytes: f64,
    /// Elements whose operands a thread asks for before it waits for any: 1 where a store or a
    /// conversion stands between one element's loads and the next one's.
    #[serde(default = "elements_per_thread")]
    pub elements_at_once: f64,
    /// Share of each fetched sector that is used; 1 = contiguous.
    pub contiguous_share: f64,
    /// The launch, where recorded.
    #[serde(default)]
    pub recorded: Option<Recorded>,
}

/// Vectors of 16 bytes.
pub(super) const fn full_vector() -> f64 {
    16.0
}

const fn elements_per_thread() -> f64 {
    ELEMENTS_PER_THREAD
}

const fn chain() -> f64 {
    10.0
}

impl Streaming {
    /// A pass that touches nothing yet.
    pub const fn new(class: KernelClass, elements: f64) -> Self {
        Self {
            class,
            elements,
            read_bytes: 0.0,
            write_bytes: 0.0,
            flops_per_element: 1.0,
            sfu_per_element: 0.0,
            int_per_element: 2.0,
            control_per_element: 0.0,
            constants_per_element: 0.0,
            chain: chain(),
            vector_bytes: full_vector(),
            elements_at_once: ELEMENTS_PER_THREAD,
            contiguous_share: 1.0,
            recorded: None,
        }
    }

    /// The launch for a target: recorded where it fits, else the default shape.
    pub fn kernel(&self, target: &Target) -> Kernel {
        let launch = match self.recorded {
            // The grid follows the element count, not the device: it carries over.
            Some(recorded) if recorded.launch.shared_bytes <= target.shared_bytes_per_cta => {
                recorded.launch
            }
            _ => self.default_launch(),
        };
        let constants =
            if target.compute_capability >= 90 { self.constants_per_element } else { 0.0 };
        self.kernel_with(launch, constants)
    }

    fn default_launch(&self) -> Launch {
        let ctas = libm::ceil(self.elements / (f64::from(THREADS) * ELEMENTS_PER_THREAD));
        Launch::linear(ctas as u64, THREADS, 32, 0)
    }

    /// The default shape, of work without index arithmetic.
    pub(super) fn default_kernel(&self) -> Kernel {
        self.kernel_with(self.default_launch(), 0.0)
    }

    /// A launch that fetches so many constants per element by instructions of their own.
    fn kernel_with(&self, launch: Launch, constants: f64) -> Kernel {
        let ctas = launch.ctas() as f64;
        let threads = launch.threads() as f64;
        let warps = launch.warps() as f64;
        // Idle threads still launch: a thread handles at least its share of one element.
        let per_thread = self.elements / (ctas * threads);
        let iterations = libm::ceil(per_thread / self.elements_at_once).max(1.0);
        let per_iteration = self.elements / ctas / iterations;
        let warp_elements = per_iteration / 32.0;
        let (read, write) =
            (self.read_bytes / ctas / iterations, self.write_bytes / ctas / iterations);
        let mut stage = Stage::once("body");
        stage.iterations = iterations;
        // Vectors of up to 16 bytes; scattered elements need an instruction each.
        let vector = if self.contiguous_share < 1.0 { 4.0 } else { self.vector_bytes };
        let instruction_bytes = 32.0 * vector;
        let streams = f64::from(u8::from(read > 0.0)) + f64::from(u8::from(write > 0.0));
        stage.demand = Demand {
            fp32: warp_elements * self.flops_per_element.min(1e6),
            sfu: warp_elements * self.sfu_per_element,
            int32: warp_elements * self.int_per_element + warps * 4.0,
            control: warp_elements * (self.control_per_element + constants),
            memory: ((read + write) / instruction_bytes).max(streams * warps.min(warp_elements)),
            ..Demand::default()
        };
        stage.memory_round_trips = f64::from(u8::from(read > 0.0));
        stage.dependent_instructions = self.chain + self.flops_per_element.min(64.0);
        for (label, direction, bytes) in
            [("input", Direction::Read, read), ("output", Direction::Write, write)]
        {
            if bytes > 0.0 {
                // The scattered side of a transposition is usually the read one.
                let pattern = if self.contiguous_share < 1.0 && direction == Direction::Read {
                    let used = 32.0 * self.contiguous_share;
                    Pattern::Strided { used_bytes: used, stride_bytes: 32.0 }
                } else {
                    Pattern::Streaming
                };
                stage.streams.push(Stream { label, direction, bytes, pattern });
            }
        }
        let mut prologue = Stage::once("prologue");
        prologue.demand.int32 = warps * 20.0;
        prologue.dependent_instructions = 20.0;
        Kernel {
            class: self.class,
            variant: format!("{} x {} threads", launch.ctas(), launch.threads()),
            launch,
            raster: Raster::flat(launch.ctas()),
            tensor: None,
            tensor_from_registers: false,
            stages: vec![prologue, stage],
            read_footprint_bytes: self.read_bytes,
            write_footprint_bytes: self.write_bytes,
            then: Vec::new(),
            useful_share: 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From compute capability 9.0 on constants are fetched by instructions that only take an issue slot.
    #[test]
    fn constants_cost_slots_where_arithmetic_cannot_read_them() {
        let strided =
            Streaming { constants_per_element: 12.0, ..Streaming::new(KernelClass::Copy, 4096.0) };
        let slots = |compute_capability: u32| {
            let kernel = strided.kernel(&Target {
                compute_capability,
                sm_count: 100,
                shared_bytes_per_cta: 99 * 1024,
                tensor_fp16: true,
                tensor_bf16: true,
                tensor_tf32: true,
                tensor_int8: true,
                tensor_fp8: true,
            });
            kernel.per_cta(|stage| stage.demand.control) * kernel.launch.ctas() as f64
        };
        assert!(slots(89).abs() < 1e-9);
        assert!((slots(90) - 12.0 * 4096.0 / 32.0).abs() < 1e-9);
    }
}
