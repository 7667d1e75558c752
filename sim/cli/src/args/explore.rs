//! Arguments of `study` and `explore`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{OutputArgs, shard};

#[derive(Debug, Args)]
pub struct StudyArgs {
    /// Study files
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Write page (NAME.md), data (NAME.csv) and figure (NAME.svg) of each study into this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Image size instead of that of the study
    #[arg(long, value_name = "SIZE")]
    pub resolution: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct ExploreArgs {
    /// The space (TOML, see docs/spaces)
    #[arg(value_name = "SPACE", required = true)]
    pub space: Option<PathBuf>,
    /// Folder for records and results; what it holds of the same space is not computed again
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    pub out: Option<PathBuf>,
    /// Check the space, print its size, its first points and an estimate of time, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Go on where an earlier run on this folder ended (what happens anyway)
    #[arg(long, conflicts_with = "restart")]
    pub resume: bool,
    /// Throw the folder's earlier records away
    #[arg(long)]
    pub restart: bool,
    /// Write a page that opens offline (index.html) into this folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["shard", "dispatch", "dry_run"])]
    pub report: Option<PathBuf>,
    /// Only part I of N of the points, for several machines; `explore merge` joins them
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub shard: Option<(u64, u64)>,
    /// Hand the space to a cluster instead: one job for each of --tasks parts, and one that merges
    #[arg(long, value_enum, value_name = "ENGINE", conflicts_with_all = ["shard", "dry_run"])]
    pub dispatch: Option<Dispatch>,
    /// Parts of a dispatched run
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub tasks: u64,
    /// Write the job scripts but submit nothing
    #[arg(long, requires = "dispatch")]
    pub no_submit: bool,
    #[command(subcommand)]
    pub action: Option<ExploreAction>,
}

#[derive(Debug, Subcommand)]
pub enum ExploreAction {
    /// Join the shards of a space and check that no point is missing
    Merge {
        /// The space
        #[arg(value_name = "SPACE")]
        space: PathBuf,
        /// Folder for the joined results
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Folders with shards, where not all are in that folder
        #[arg(value_name = "DIR")]
        from: Vec<PathBuf>,
        /// Write a page that opens offline (index.html) into this folder
        #[arg(long, value_name = "DIR")]
        report: Option<PathBuf>,
    },
}

/// What runs the parts of a dispatched space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Dispatch {
    /// An array job by sbatch
    Slurm,
}
