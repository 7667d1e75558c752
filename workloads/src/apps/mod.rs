//! Applications: a network with its encoding, and what a frame or a training step launches.
//!
//! `Application` is what a user writes (TOML), `frame` and `training` turn it into launches for a
//! scene and a view, `splat` does the same for Gaussian splatting.

mod config;
pub mod frame;
pub mod rest;
pub mod splat;
pub mod training;

pub use config::{AppError, Application, Encoding, EncodingChoice, Kind, Network, Rest};
pub use frame::{Frame, Launch, Part, frame};
pub use training::training_step;
