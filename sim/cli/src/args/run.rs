//! Arguments of `run`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{EngineArgs, OutputArgs};

/// Encoding of positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EncodingArg {
    /// The application's own (a multi-resolution hash grid for those that ship)
    Hashgrid,
    /// Multi-resolution dense grid: 8 levels of 2 features, 16 to 173 cells
    Densegrid,
    /// Low-resolution dense grid: 2 levels of 8 features, 128 cells
    DensegridLowres,
}

/// How everything beside encoding and network runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RestArg {
    /// A kernel for each purpose, as instant-ngp launches them
    Kernels,
    /// One kernel for all of it in each round
    Fused,
    /// The whole renderer in one kernel
    Renderer,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// nerf, nerf-8x4, nsdf, nvr, gia, splat, tensorf, or a TOML file of your own
    #[arg(value_name = "APP")]
    pub app: String,
    #[command(flatten)]
    pub gpu: RunGpuArgs,
    /// An accelerator: a catalogue name (ngpc-8 to ngpc-64 beside the GPU; for tensorf rt-nerf-edge and
    /// rt-nerf-cloud, on their own) or a TOML file; repeatable
    #[arg(long = "accelerator", value_name = "NAME", conflicts_with = "train")]
    pub accelerators: Vec<String>,
    /// Follow the emulator of the accelerator's paper, with its inputs where they are known
    #[arg(long, requires = "accelerators")]
    pub as_published: bool,
    /// Image size: hd, fhd, qhd, 4k, 8k, vr, `WIDTHxHEIGHT` or `WIDTHxHEIGHTxEYES` [default: fhd; 800x800 for
    /// tensorf]
    #[arg(long, value_name = "SIZE")]
    pub resolution: Option<String>,
    /// A scene that ships (lattice, statue, room, cloud, and the objects balls, chair, digger, dish, drums,
    /// microphone, plant, ship), a mesh (.obj) or an occupancy grid (.npy); what suits the application unless given (room for nerf, statue for nsdf, cloud for nvr)
    #[arg(long, value_name = "NAME")]
    pub scene: Option<String>,
    /// Samples per pixel that were counted elsewhere (.npy, height x width), for radiance fields
    #[arg(long, value_name = "FILE", conflicts_with = "train")]
    pub samples: Option<PathBuf>,
    /// Cameras in the transforms.json convention instead of the scene's own path
    #[arg(long, value_name = "FILE")]
    pub camera: Option<PathBuf>,
    /// Where on the camera path, as a share of it in [0, 1)
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, conflicts_with_all = ["path_frames", "train"])]
    pub at: f64,
    /// Render N frames along the whole path and report the spread of frame times
    #[arg(long, value_name = "N", conflicts_with = "train")]
    pub path_frames: Option<u32>,
    /// Encoding of positions
    #[arg(long, value_enum, default_value_t = EncodingArg::Hashgrid)]
    pub encoding: EncodingArg,
    /// How everything beside encoding and network runs
    #[arg(long, value_enum, conflicts_with = "train")]
    pub rest: Option<RestArg>,
    /// A training step instead of a frame
    #[arg(long)]
    pub train: bool,
    /// Gaussians of a splatted scene (default: 1e6)
    #[arg(long, value_name = "N")]
    pub gaussians: Option<f64>,
    /// Show every round of the frame
    #[arg(long, conflicts_with = "train")]
    pub rounds: bool,
    #[command(flatten)]
    pub field: FieldArgs,
    /// Write a timeline of the frame that opens in Perfetto; .gz compresses
    #[arg(long, value_name = "FILE", conflicts_with = "path_frames")]
    pub timeline: Option<PathBuf>,
    /// Write a page that opens offline (index.html) into this folder
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Print the TOML of a shipped application, as a start for your own, and stop
    #[arg(long)]
    pub print_app: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Fields of tensorf.
#[derive(Debug, Args)]
pub struct FieldArgs {
    /// Factors of tensorf instead of ones made from the scene: a folder with an .npy of each array of the
    /// checkpoint's `state_dict`
    #[arg(long, value_name = "DIR")]
    pub factors: Option<PathBuf>,
    /// Zero values of factors below this share of the largest of their component (tensorf)
    #[arg(long, value_name = "SHARE")]
    pub prune: Option<f32>,
    /// Count every pixel of a large image on accelerators, not one in sixteen (tensorf)
    #[arg(long)]
    pub every_pixel: bool,
    /// Render the image of tensorf too, into this PNG file, and compare it with uniform sampling
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct RunGpuArgs {
    /// A GPU: a catalogue name, a name as nvidia-smi prints it, or a TOML file; repeatable
    /// [default: rtx3090; none for tensorf with an accelerator]
    #[arg(long = "gpu", value_name = "NAME")]
    gpus: Vec<String>,
    #[command(flatten)]
    pub engine: EngineArgs,
}

impl RunArgs {
    /// Size of the image, as written or usual for the application.
    pub fn size(&self) -> &str {
        let usual = if self.app == "tensorf" { "800x800" } else { "fhd" };
        self.resolution.as_deref().unwrap_or(usual)
    }

    /// GPUs, as written or the usual one.
    pub fn gpus(&self) -> Vec<String> {
        if self.gpu.gpus.is_empty() && (self.app != "tensorf" || self.accelerators.is_empty()) {
            return vec!["rtx3090".to_owned()];
        }
        self.gpu.gpus.clone()
    }
}
