//! Arguments of `plot`, `figures` and `explain`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::OutputArgs;

/// Kinds of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlotKind {
    /// Kernels under the roofs of their GPUs (JSON of kernel or replay)
    Roofline,
    /// Speedup bars with published values and Amdahl's limit (CSV of run or study)
    Speedup,
    /// Stacked parts of time, energy or area (CSV or JSON of run, JSON of replay)
    Breakdown,
    /// Design points with their Pareto front (results.csv of an exploration)
    Pareto,
    /// Predicted against measured (validate --rows)
    Scatter,
    /// Distribution of errors by class (validate --rows)
    Errors,
    /// Energy, power or time over the clock (CSV of a clock sweep)
    Dvfs,
    /// Sensitivities (sensitivities.csv of an exploration)
    Tornado,
    /// Hit rate or bank conflicts by level (JSON of run --accelerator)
    Levels,
    /// Frame times along a camera path (CSV or JSON of run --path-frames)
    FrameTimes,
    /// A metric over two parameters (any CSV; needs --x, --by and --y)
    Heatmap,
    /// A metric over named steps (CSV of a study; needs --x and --y, --by names the curves)
    Steps,
}

#[derive(Debug, Args)]
pub struct PlotArgs {
    /// What to draw
    #[arg(value_enum)]
    pub kind: PlotKind,
    /// A CSV or JSON file that another command wrote; - reads standard input
    #[arg(value_name = "INPUT")]
    pub input: PathBuf,
    /// Where to write: .svg, .pdf or .png; the data go beside it as .data.csv
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// Column along x (for bars: what groups them)
    #[arg(long, value_name = "COLUMN")]
    pub x: Option<String>,
    /// Column along y (for stacks and heat maps: the metric)
    #[arg(long, value_name = "COLUMN")]
    pub y: Option<String>,
    /// Column that tells series apart (for heat maps: the parameter along y)
    #[arg(long, value_name = "COLUMN")]
    pub by: Option<String>,
    /// Keep only rows whose column says this; repeatable
    #[arg(long = "where", value_name = "COLUMN=VALUE")]
    pub only: Vec<String>,
    /// Title of the x axis, with its unit
    #[arg(long, value_name = "TEXT")]
    pub x_title: Option<String>,
    /// Title of the y axis, with its unit
    #[arg(long, value_name = "TEXT")]
    pub y_title: Option<String>,
    /// Logarithmic axes, for kinds that leave it open
    #[arg(long)]
    pub log: bool,
    /// Label at most so many points
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub labels: usize,
    /// Over two columns (7 in) instead of one (3.33 in)
    #[arg(long)]
    pub wide: bool,
    /// A style file: sizes, colours, fonts (see docs/figures.md)
    #[arg(long, value_name = "FILE")]
    pub style: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct FiguresArgs {
    /// The folder to write into
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Image size of the frames that are rendered for them
    #[arg(long, value_name = "SIZE", default_value = "fhd")]
    pub resolution: String,
    /// Only this figure; repeatable
    #[arg(long = "only", value_name = "NAME")]
    pub only: Vec<String>,
    /// A style file (see docs/figures.md)
    #[arg(long, value_name = "FILE")]
    pub style: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// A result of kernel, replay or run (--format json, - reads standard input), or such a command line
    #[arg(
        value_name = "FILE-OR-COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub what: Vec<String>,
    /// Kernels shown; this, --format and --output may also stand behind the command line
    #[arg(long, value_name = "N", default_value_t = 12)]
    pub top: usize,
    #[command(flatten)]
    pub output: OutputArgs,
}
