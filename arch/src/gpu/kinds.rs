//! Kinds of chips and memories, by the names that descriptions use.

use serde::Deserialize;

use crate::section::Show;

/// The architecture generation, which decides what a vendor library launches and how fast
/// instructions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Generation {
    /// Compute capability 5.x.
    Maxwell,
    /// Compute capability 6.x.
    Pascal,
    /// Compute capability 7.0 and 7.2.
    Volta,
    /// Compute capability 7.5.
    Turing,
    /// Compute capability 8.0, 8.6 and 8.7.
    Ampere,
    /// Compute capability 8.9.
    Ada,
    /// Compute capability 9.0.
    Hopper,
    /// Compute capability 10.x and 12.x.
    Blackwell,
}

impl Show for Generation {
    const WRITTEN: &'static str = "\"maxwell\", \"pascal\", \"volta\", \"turing\", \"ampere\", \"ada\", \"hopper\" or \"blackwell\"";

    fn show(&self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// DRAM technologies that the memory model distinguishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the standards' own")]
pub enum DramTechnology {
    Gddr5,
    Gddr5x,
    Gddr6,
    Gddr6x,
    Gddr7,
    Hbm2,
    Hbm2e,
    Hbm3,
    Hbm3e,
    Lpddr4,
    Lpddr5,
}

impl Show for DramTechnology {
    const WRITTEN: &'static str = "\"gddr5\", \"gddr5x\", \"gddr6\", \"gddr6x\", \"gddr7\", \"hbm2\", \"hbm2e\", \"hbm3\", \"hbm3e\", \"lpddr4\" or \"lpddr5\"";

    fn show(&self) -> String {
        format!("{self:?}").to_lowercase()
    }
}
