//! The clock: what happens when, on hardware that engines price piece by piece.
//!
//! [`schedule`] runs a graph of pieces under contention, [`replay`] turns a recording into such
//! a graph and a result, [`frame`] adds up the launches of a rendered image, [`bounds`] says what binds them, [`accelerated`] renders it with an
//! accelerator beside the GPU, [`study`] varies such systems. One simulation is a pure function of hardware, work and options; rayon
//! runs across independent pieces and keeps their order.

pub mod accelerated;
pub mod bounds;
pub mod explore;
pub mod frame;
pub mod replay;
pub mod schedule;
pub mod span;
pub mod study;
pub mod tensorf;

/// Version of the tool, as stated in results.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
