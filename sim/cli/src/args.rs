//! What can be written on the command line.

mod apart;
mod explore;
mod figures;
mod kernel;
mod nearest;
mod reference;
mod run;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use lumacycle_sim::replay::LaunchFloor;

pub use apart::{apart, same, twice};
pub use explore::{Dispatch, ExploreAction, ExploreArgs, StudyArgs};
pub use figures::{ExplainArgs, FiguresArgs, PlotArgs, PlotKind};
pub use kernel::{
    ConvShape, DirectionOf, KernelArgs, KernelCommon, KernelShape, NormOf, ReduceShape,
};
pub use nearest::hinted;
pub use reference::{KeysOf, ReferenceArgs, ReferencePage};
pub use run::{EncodingArg, RestArg, RunArgs};

const EXAMPLES: &str = "\
Examples:
  lumacycle replay profile.json.gz --gpu h100-sxm --gpu rtx4090
  lumacycle kernel gemm 4096 4096 4096 --dtype fp16 --gpu a100-sxm4-80gb
  lumacycle run nerf --gpu rtx3090 --resolution fhd --scene room
  lumacycle catalog show rtx3090
  lumacycle trace stats profile.json.gz";

/// What would this kernel, this frame, this whole profile cost on hardware that does not exist
/// yet? A cycle-approximate simulator for neural-graphics hardware.
#[derive(Debug, Parser)]
#[command(name = "lumacycle", version = env!("LUMACYCLE_VERSION"), about, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Replay a recorded profile on one or more GPUs
    Replay(ReplayArgs),
    /// Price one kernel given by its shape
    Kernel(KernelArgs),
    /// Render a frame (or train a step) of a neural-graphics application
    Run(RunArgs),
    /// Answer a question by a grid of systems (see sim/studies)
    Study(StudyArgs),
    /// Search a design space: which designs are best under which limits (see docs/spaces)
    Explore(ExploreArgs),
    /// Summarise or convert a trace
    Trace(TraceArgs),
    /// The catalogue of hardware
    Catalog(CatalogArgs),
    /// Compare the models with measurements
    Validate(ValidateArgs),
    /// What changed between two results (JSON of replay, kernel or validate), and why
    Diff(DiffArgs),
    /// Find constants of a catalogue layer from measurements
    Calibrate(CalibrateArgs),
    /// Draw a figure for a paper from a file that another command wrote
    Plot(PlotArgs),
    /// Draw every figure of the documentation and of the reproduced papers
    Figures(FiguresArgs),
    /// Say in plain words what binds a kernel, a trace or a frame, and what more would buy
    Explain(ExplainArgs),
    /// Print a completion script for a shell
    Completions(CompletionArgs),
    /// Write manual pages, one for each command
    #[command(hide = true)]
    Man(ManArgs),
    /// Pages of the documentation that follow from the program
    #[command(hide = true)]
    Reference(ReferenceArgs),
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// One row per kernel, for spreadsheets
    Csv,
    /// Everything, for programs
    Json,
}

#[derive(Debug, Args)]
pub struct OutputArgs {
    /// How to write the result
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Write to this file instead of stdout; it appears only when it is complete
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct GpuArgs {
    /// A GPU: a catalogue name, a name as nvidia-smi prints it, or a TOML file; repeatable
    #[arg(long = "gpu", value_name = "NAME", required = true)]
    pub gpus: Vec<String>,
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// How to simulate.
#[derive(Debug, Args)]
pub struct EngineArgs {
    /// SM clock instead of the catalogue's typical one, e.g. "1.41 GHz"
    #[arg(long, value_name = "CLOCK")]
    pub clock: Option<String>,
    /// Memory clock as nvidia-smi prints it, instead of the one that the catalogue's bandwidth
    /// belongs to, e.g. "810 MHz"
    #[arg(long, value_name = "CLOCK")]
    pub mem_clock: Option<String>,
    /// Board power limit instead of the catalogue's, e.g. "250 W": what would exceed it runs slower
    #[arg(long, value_name = "POWER", conflicts_with = "clock")]
    pub power_limit: Option<String>,
    /// Temperature of the chip in degrees Celsius instead of the one that the catalogue's energies are
    /// for: leakage follows it
    #[arg(long, value_name = "CELSIUS", allow_negative_numbers = true)]
    pub temperature: Option<f64>,
    /// Start every kernel with an empty L2 instead of one that holds what was just touched
    #[arg(long)]
    pub cold_l2: bool,
}

#[derive(Debug, Args)]
pub struct ReadArgs {
    /// Treat anything that is not understood as an error
    #[arg(long)]
    pub strict: bool,
    /// When the file is damaged, use what could be read before the damage
    #[arg(long)]
    pub keep_going: bool,
}

#[derive(Debug, Args)]
pub struct SelectArgs {
    /// Leave out the first N profiler steps
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub warmup: usize,
    /// Keep only these profiler steps, by their recorded numbers, e.g. 5..7
    #[arg(long, value_name = "A..B")]
    pub steps: Option<String>,
    /// Keep only work launched inside a named range (NVTX, user annotation) that matches
    #[arg(long, value_name = "REGEX")]
    pub range: Option<String>,
    /// Keep only kernels whose name matches
    #[arg(long, value_name = "REGEX")]
    pub kernel: Option<String>,
    /// Keep only this rank; repeatable
    #[arg(long = "rank", value_name = "N")]
    pub ranks: Vec<i64>,
}

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Kineto (torch.profiler) JSON, an export of Nsight Systems (CSV, SQLite), Nsight Compute (CSV) or
    /// nvprof, a lumacycle trace, a CSV list of launches, or the kernelslist.g of Accel-Sim's tracer;
    /// plain, gzip, zstd, or a tar of ranks (docs/trace-formats.md)
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub gpu: GpuArgs,
    /// The GPU that recorded, where the trace does not name it
    #[arg(long, value_name = "NAME")]
    pub recorded_gpu: Option<String>,
    /// What to add to each launch: what the recording's shortest launches take beyond the model's, or nothing
    #[arg(long, value_name = "FROM", default_value = "recorded")]
    pub launch_floor: FloorArg,
    #[command(flatten)]
    pub select: SelectArgs,
    #[command(flatten)]
    pub read: ReadArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    /// Write a timeline that opens in Perfetto, recorded next to predicted; .gz compresses
    #[arg(long, value_name = "FILE")]
    pub timeline: Option<PathBuf>,
    /// Write a page that opens offline (index.html) into this folder
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Rows of the kernel table (0 = all)
    #[arg(long, value_name = "N", default_value_t = 15)]
    pub top: usize,
}

/// Where the least time of a launch comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FloorArg {
    /// The recording
    Recorded,
    /// The catalogue alone
    Modelled,
}

impl From<FloorArg> for LaunchFloor {
    fn from(from: FloorArg) -> Self {
        match from {
            FloorArg::Recorded => Self::Recorded,
            FloorArg::Modelled => Self::Modelled,
        }
    }
}

#[derive(Debug, Args)]
pub struct TraceArgs {
    #[command(subcommand)]
    pub action: TraceAction,
}

#[derive(Debug, Subcommand)]
pub enum TraceAction {
    /// Count what a trace holds
    Stats {
        /// The trace
        file: PathBuf,
        #[command(flatten)]
        read: ReadArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Write a trace in the lumacycle format (see docs/trace-format.md)
    Convert {
        /// The trace
        file: PathBuf,
        /// Where to write; .gz and .zst compress. With several ranks, the rank is put before
        /// the extension
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
        #[command(flatten)]
        read: ReadArgs,
        #[command(flatten)]
        select: SelectArgs,
    },
}

#[derive(Debug, Args)]
pub struct CatalogArgs {
    #[command(subcommand)]
    pub action: CatalogAction,
}

#[derive(Debug, Subcommand)]
pub enum CatalogAction {
    /// List all GPUs, or all accelerators
    List {
        /// Accelerators instead of GPUs
        #[arg(long)]
        accelerators: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show every value of a GPU or an accelerator with its source, and where area and power go
    Show {
        /// A catalogue name, a name as nvidia-smi prints it, or a TOML file
        name: String,
        /// Only the parts that area and power go to; as CSV for `plot breakdown`
        #[arg(long)]
        parts: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Check a file of your own
    Check {
        /// The file
        file: PathBuf,
    },
    /// List every key that a description may set, with how it is written and what it means
    Keys {
        /// Of what
        #[arg(value_enum)]
        what: KeysOf,
        #[command(flatten)]
        output: OutputArgs,
    },
}

#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// What to compare: gemm, `elementwise_norm_softmax`, attention, `kernel_counters_dvfs`,
    /// instant-ngp, traces, all of these, or `neural_graphics`, ngpc or rtnerf (published figures that ship
    /// with the program, as do those of attention where --data is left out)
    #[arg(value_name = "SUITE")]
    pub suite: String,
    /// A measurement file or a folder of them
    #[arg(long, value_name = "FILE-OR-DIR")]
    pub data: Option<PathBuf>,
    /// Only this GPU; repeatable
    #[arg(long = "gpu", value_name = "NAME")]
    pub gpus: Vec<String>,
    /// Rows as well that are marked as not clean
    #[arg(long)]
    pub all: bool,
    /// Write a page that opens offline (index.html; one for each suite where there are several) into
    /// this folder
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Write every row with its prediction to this CSV file
    #[arg(long, value_name = "FILE")]
    pub rows: Option<PathBuf>,
    /// Write what errors to expect, by class and size, to this TOML file
    #[arg(long, value_name = "FILE")]
    pub expected: Option<PathBuf>,
    /// Predict each GPU as if no fit had seen it: suite power with constants fitted on the other GPUs,
    /// suites of times with the means of what other generations have
    #[arg(long)]
    pub leave_one_out: bool,
    /// Exit with 1 when the overall MAPE of a suite exceeds this many percent
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub max_mape: Option<f64>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct DiffArgs {
    /// A result, written with --format json
    #[arg(value_name = "A")]
    pub before: PathBuf,
    /// Another of the same command: another GPU, configuration or version
    #[arg(value_name = "B")]
    pub after: PathBuf,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// The catalogue layer whose constants are to be found, e.g. ampere-sm80 or tsmc-n7: all
    /// GPUs with measurements that build on it count
    #[arg(value_name = "LAYER")]
    pub layer: String,
    /// A folder of measurement tables
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Only this constant; repeatable
    #[arg(long = "constant", value_name = "PATH")]
    pub constants: Vec<String>,
    /// Only this suite of measurements; repeatable
    #[arg(long = "suite", value_name = "SUITE")]
    pub suites: Vec<String>,
    /// Only rows of this GPU; repeatable
    #[arg(long = "gpu", value_name = "NAME")]
    pub gpus: Vec<String>,
    /// At most so many rows of each GPU, suite, source and size
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub rows: usize,
    /// Write a GPU file for each GPU that builds on the layer into this folder, with the constants
    /// found and, as their source, the data, the date and the errors
    #[arg(long, value_name = "DIR")]
    pub write: Option<PathBuf>,
    /// Skip the fits that leave a GPU or a group of shapes out
    #[arg(long)]
    pub quick: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

#[derive(Debug, Args)]
pub struct ManArgs {
    /// The folder, e.g. /usr/local/share/man/man1
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// A bound in percent.
fn percent(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "write a number of percent".to_owned())?;
    if value.is_finite() && value >= 0.0 {
        Ok(value)
    } else {
        Err("a bound is a number of percent, not below zero".to_owned())
    }
}

/// A part, from 1, of how many.
fn shard(text: &str) -> Result<(u64, u64), String> {
    let (part, of) = text.split_once('/').ok_or("write I/N, such as 1/4")?;
    match (part.parse(), of.parse()) {
        (Ok(part), Ok(of)) if (1..=of).contains(&part) && of <= 100_000 => Ok((part, of)),
        _ => Err("write I/N with I from 1 to N, such as 1/4".to_owned()),
    }
}
