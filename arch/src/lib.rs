//! What hardware is: typed, validated descriptions with units, and the catalogue.
//!
//! The catalogue is TOML, embedded in the library. A GPU is put together from layers (its
//! generation, its memory technology, its process node, then its own numbers); each value
//! keeps the source its layer names. This crate knows nothing of workloads, engines or files:
//! texts come in, descriptions go out.

pub mod accelerator;
mod budget;
pub mod catalog;
pub mod gpu;
mod layer;
pub mod parts;
mod section;
pub mod sparse_accelerator;
pub mod technology;
pub mod units;

pub use accelerator::{Accelerator, TablePolicy};
pub use budget::{Budget, PartUse};
pub use catalog::{AcceleratorEntry, Catalog, Entry, Error, SparseEntry};
pub use gpu::{DramTechnology, Generation, Gpu};
pub use layer::{meant, nearest};
pub use section::Key;
pub use sparse_accelerator::SparseAccelerator;
