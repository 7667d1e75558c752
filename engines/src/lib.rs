//! How hardware spends time and energy on work.
//!
//! An [`Engine`] is told a piece of work and answers with a [`Cost`]: how long it takes alone,
//! which shared resources it keeps busy meanwhile (so that a clock above can let several
//! engines and streams contend), what it moves and what energy that takes. Engines are pure
//! functions: no files, no threads, no clock of the wall.

pub mod accelerator;
pub mod cost;
pub mod gpu;
pub mod memory;
pub mod sparse;

pub use cost::{Cost, Energy, KernelCost, Occupancy, Resource, Traffic};
pub use gpu::{GpuEngine, L2Start, Options};

use lumacycle_workloads::TensorType;
use lumacycle_workloads::ops::Operation;

/// Why work cannot run.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EngineError {
    /// One CTA asks for more than an SM has.
    #[error("one CTA needs {needs} {what}, the SM has {has}")]
    CannotLaunch {
        /// Which resource.
        what: &'static str,
        /// How much one CTA needs.
        needs: u64,
        /// How much there is.
        has: u64,
    },
    /// The tensor cores do not multiply this type.
    #[error("this device has no tensor cores for {kind:?}")]
    NoTensorCores {
        /// Operand type.
        kind: TensorType,
    },
    /// Work and accelerator do not go together.
    #[error("{what}")]
    Accelerator {
        /// Dotted path of the value that it is about.
        path: &'static str,
        /// What is wrong.
        what: String,
        /// How to mend it.
        help: &'static str,
    },
    /// No implementation exists for this device.
    #[error("no kernel of the library fits this device")]
    NoCandidate,
}

/// Anything that spends time on work: the GPU here, accelerators beside it.
pub trait Engine {
    /// What this work costs when nothing else runs.
    ///
    /// # Errors
    /// When the work cannot run on this hardware at all.
    fn price(&self, work: &Operation) -> Result<Cost, EngineError>;
}
