//! Arguments of `reference`, which writes pages of the documentation, and of `catalog keys`.

use clap::{Args, Subcommand, ValueEnum};

/// Kinds of hardware descriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeysOf {
    /// GPUs
    Gpu,
    /// Accelerators beside a GPU (NGPC and its like)
    Accelerator,
    /// Accelerators of decomposed fields (RT-NeRF and its like)
    SparseAccelerator,
}

#[derive(Debug, Args)]
pub struct ReferenceArgs {
    #[command(subcommand)]
    pub page: ReferencePage,
}

#[derive(Debug, Subcommand)]
pub enum ReferencePage {
    /// All commands with their options (docs/reference/cli.md)
    Cli,
    /// All keys of hardware descriptions (docs/reference/catalogue.md)
    Catalogue,
    /// All metrics of studies and explorations (docs/reference/metrics.md)
    Metrics,
    /// Check that a command line can be parsed, and do nothing
    Parse {
        /// The words behind the program's name
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}
