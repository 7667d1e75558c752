//! Multi-resolution grid encodings: where a sample's corners lie, what they weigh, and which
//! addresses a warp asks for.
//!
//! `grid` describes tables level by level and evaluates the encoding functionally, `addresses`
//! turns samples in launch order into what each warp requests, `perceptron` evaluates the network
//! behind it. The rules are those of
//! tiny-cuda-nn (resolution and size of each level, coherent-prime hash, fp16 features).

pub mod addresses;
pub mod grid;
mod harmonics;
mod perceptron;

pub use addresses::GridAddresses;
pub use grid::{Corner, Grid, GridKind, Interpolation, Level, MAX_CORNERS};
pub use harmonics::spherical_harmonics;
pub use perceptron::Perceptron;
