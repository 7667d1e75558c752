//! What reality says: measurement tables and recorded traces, set against the models.
//!
//! A suite turns each measured row into the operation that was run, prices it on the GPU of
//! that row, and reports the distribution of errors by GPU, data type and size, beside a
//! spec-sheet roofline. Rows that cannot be used are counted by reason. Nothing here feeds back
//! into a model.

mod boards;
pub mod calibrate;
pub mod counters;
pub mod expected;
pub mod kernels;
pub mod measurements;
pub mod neural;
pub mod ngp;
pub mod ngpc;
pub mod peaks;
pub mod power;
pub mod rtnerf;
mod search;
mod sources;
pub mod stats;
pub mod suite;
pub mod traces;
mod unseen;
pub mod wave;

use std::path::PathBuf;

use miette::Diagnostic;

pub use neural::NeuralReport;
pub use ngp::{NgpGroup, NgpReport, NgpRow};
pub use ngpc::NgpcReport;
pub use rtnerf::RtnerfReport;
pub use stats::Figures;
pub use suite::{Group, SUITES, SuiteReport, run, run_shipped, run_unseen, shipped};
pub use traces::{TraceReport, TraceRow};

/// Suites beside those of measurement tables.
const OTHER_SUITES: [&str; 7] =
    ["power", "instant-ngp", "neural_graphics", "ngpc", "rtnerf", "traces", "all"];

/// Checks the name of a suite.
///
/// # Errors
/// When there is none of that name; lists those there are.
pub fn known(suite: &str) -> Result<(), ValidateError> {
    if SUITES.contains(&suite) || OTHER_SUITES.contains(&suite) {
        return Ok(());
    }
    Err(ValidateError::UnknownSuite {
        name: suite.to_owned(),
        known: [SUITES, &OTHER_SUITES[..]].concat().join(", "),
    })
}

/// Why a comparison could not be made.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ValidateError {
    /// No such suite.
    #[error("there is no suite called \"{name}\"")]
    #[diagnostic(help("suites: {known}"))]
    UnknownSuite {
        /// The name asked for.
        name: String,
        /// Those there are.
        known: String,
    },
    /// The data cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    #[diagnostic(help("give the folder that holds SUITE.csv or SUITE.csv.gz, or the file itself"))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A name that does not exist.
    #[error("{what}")]
    #[diagnostic(help("{help}"))]
    Unknown {
        /// What was asked for.
        what: String,
        /// What there is.
        help: String,
    },
    /// No launch list can be read there.
    #[error("{reason}")]
    #[diagnostic(help(
        "a launch list is CSV with the columns start_ns, dur_ns, stream, kernel, gridX, gridY, gridZ, blockX, blockY, blockZ, regs, static_smem, dynamic_smem"
    ))]
    Launches {
        /// What is wrong, with the file.
        reason: String,
    },
    /// Nothing tells which GPU ran the launches.
    #[error("{} does not say which GPU ran its launches", path.display())]
    #[diagnostic(help(
        "name the file after a GPU of the catalogue (rtx3070_….csv.gz), or say which with --gpu"
    ))]
    NoGpu {
        /// The file.
        path: PathBuf,
    },
    /// The table is not what it should be.
    #[error("{}:{line}: {reason}", path.display())]
    #[diagnostic(help("{help}"))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
        /// How to mend it.
        help: String,
    },
}
