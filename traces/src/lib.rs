//! Recorded work: readers of profiler formats, our own trace format, and the step from a
//! recorded launch (a kernel name, an operator with its shapes, a launch shape) to an
//! [`Operation`](lumacycle_workloads::ops::Operation).
//!
//! Readers stream: memory grows with the number of distinct launches and with a few dozen bytes
//! per event, not with the size of the file. What cannot be understood is counted by reason.

mod archive;
pub mod bounded;
pub mod classify;
pub mod error;
pub mod kineto;
pub mod launches;
mod lines;
mod located;
pub mod names;
mod nvidia;
pub mod own;
pub mod recording;
mod sass;
pub mod source;
mod unpacking;
mod utf16;

pub use classify::{Classified, Known, classify};
pub use error::TraceError;
pub use recording::{
    CollectiveInfo, Device, Event, EventKind, Mark, Operator, Profiled, Recording, Signature,
    Skipped,
};
pub use source::{ReadOptions, read};
