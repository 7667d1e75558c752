//! Arguments of `kernel`: the shapes that it knows, each in the words of its field.

use clap::{Args, Subcommand, ValueEnum};

use super::{GpuArgs, OutputArgs};

#[derive(Debug, Args)]
pub struct KernelArgs {
    #[command(subcommand)]
    pub shape: KernelShape,
}

#[derive(Debug, Subcommand)]
pub enum KernelShape {
    /// Matrix product: C (m x n) = A (m x k) · B (k x n)
    Gemm {
        /// Rows of C
        m: u64,
        /// Columns of C
        n: u64,
        /// Depth
        k: u64,
        /// Independent products
        #[arg(long, default_value_t = 1)]
        batch: u64,
        /// How A and B are stored: `n` as they are, `t` as their transposes. The weights of a linear
        /// layer (a row for each output) are `nt`
        #[arg(long, value_name = "AB", default_value = "nn", value_parser = ["nn", "nt", "tn", "tt"])]
        layout: String,
        #[command(flatten)]
        common: KernelCommon,
    },
    /// Fused scaled dot-product attention
    Attention {
        /// Sequences
        batch: u64,
        /// Query heads
        heads: u64,
        /// Query rows per sequence (1 = decode)
        seq_q: u64,
        /// Key rows per sequence
        seq_kv: u64,
        /// Elements per head
        #[arg(long, default_value_t = 128)]
        head_dim: u64,
        /// Key/value heads (default: as many as query heads)
        #[arg(long)]
        heads_kv: Option<u64>,
        /// Mask later keys
        #[arg(long)]
        causal: bool,
        /// Append to a paged cache and read from it, its page table with room for so many keys a
        /// sequence (the longest that the server takes)
        #[arg(long, value_name = "KEYS")]
        paged: Option<u64>,
        /// Whose fused kernel runs (default: `FlashAttention` 3 on Hopper, 4 on B200-class chips, 2
        /// elsewhere); where a GPU cannot run it, the newest that it can
        #[arg(long, value_name = "NAME", value_parser = ["flash2", "flash3", "flash4"])]
        implementation: Option<String>,
        #[command(flatten)]
        common: KernelCommon,
    },
    /// A pass over elements that reads and writes
    Elementwise {
        /// Elements
        elements: u64,
        /// Operands read
        #[arg(long, default_value_t = 2)]
        inputs: u32,
        #[command(flatten)]
        common: KernelCommon,
    },
    /// Softmax over rows
    Softmax {
        /// Rows
        rows: u64,
        /// Elements per row
        columns: u64,
        /// The gradient: reads the result and the gradient that arrives
        #[arg(long)]
        backward: bool,
        #[command(flatten)]
        common: KernelCommon,
    },
    /// Layer norm over rows; RMS, batch and group norm by --kind
    #[command(visible_aliases = ["layer-norm", "layernorm"])]
    Norm {
        /// Rows that are normalised each by itself: tokens (layer, rms), channels (batch), images
        /// times groups (group)
        rows: u64,
        /// Elements per row: hidden size (layer, rms), images times pixels (batch), channels of a
        /// group times pixels (group)
        columns: u64,
        /// Which one
        #[arg(long, value_enum, default_value = "layer")]
        kind: NormOf,
        /// The gradient: reads the input and the gradient that arrives
        #[arg(long)]
        backward: bool,
        #[command(flatten)]
        common: KernelCommon,
    },
    /// Convolution of images with filters, and its gradients by --direction
    #[command(visible_aliases = ["conv2d", "convolution"])]
    Conv {
        #[command(flatten)]
        shape: ConvShape,
        #[command(flatten)]
        common: KernelCommon,
    },
    /// Reduction of rows (sum, mean, maximum, norm) to a value each
    #[command(visible_aliases = ["reduction", "sum"])]
    Reduce {
        #[command(flatten)]
        shape: ReduceShape,
        #[command(flatten)]
        common: KernelCommon,
    },
}

/// A convolution, in the letters that cuDNN and CUTLASS use.
#[derive(Debug, Clone, Args)]
pub struct ConvShape {
    /// Images
    #[arg(long, default_value_t = 1)]
    pub n: u64,
    /// Channels of the input
    #[arg(long)]
    pub c: u64,
    /// Height of the input
    #[arg(long)]
    pub h: u64,
    /// Width of the input (default: its height)
    #[arg(long)]
    pub w: Option<u64>,
    /// Channels of the output: filters
    #[arg(long)]
    pub k: u64,
    /// Height of a filter
    #[arg(long)]
    pub r: u64,
    /// Width of a filter (default: its height)
    #[arg(long)]
    pub s: Option<u64>,
    /// Pixels from one place of the filter to the next
    #[arg(long, default_value_t = 1)]
    pub stride: u64,
    /// Zeros around the input, on each side
    #[arg(long, default_value_t = 0)]
    pub pad: u64,
    /// Pixels from one tap of the filter to the next
    #[arg(long, default_value_t = 1)]
    pub dilation: u64,
    /// Groups of channels; as many as channels is a depthwise convolution
    #[arg(long, default_value_t = 1)]
    pub groups: u64,
    /// Which of the three kernels of a layer. Sizes stay those of the forward pass
    #[arg(long, value_enum, default_value = "forward")]
    pub direction: DirectionOf,
}

/// Kernels of a convolution layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DirectionOf {
    /// The output
    #[value(alias = "fprop")]
    Forward,
    /// The gradient of the input
    #[value(alias = "dgrad")]
    DataGradient,
    /// The gradient of the filters
    #[value(alias = "wgrad")]
    WeightGradient,
}

/// A reduction.
#[derive(Debug, Clone, Args)]
pub struct ReduceShape {
    /// Rows, which give a value each; 1 reduces everything
    #[arg(long, default_value_t = 1)]
    pub rows: u64,
    /// Elements of a row
    #[arg(long)]
    pub columns: u64,
}

/// Normalisations that `kernel norm` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NormOf {
    /// Over the last dimension, as `LayerNorm` does
    Layer,
    /// By the root mean square of the last dimension, without a mean
    Rms,
    /// Over images and pixels, channel by channel
    Batch,
    /// Over groups of channels, image by image
    Group,
}

#[derive(Debug, Args)]
pub struct KernelCommon {
    /// Element type
    #[arg(long, default_value = "fp16")]
    pub dtype: String,
    /// The kernel runs N times in a row instead of for seconds: what is over before the board minds its
    /// power limit runs at the usual clock
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub repeats: Option<u32>,
    /// Print time, power and energy at N SM clocks up to the boost clock (16 if not said)
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "16",
        value_parser = clap::value_parser!(u32).range(2..=1000), conflicts_with = "clock")]
    pub sweep_clock: Option<u32>,
    #[command(flatten)]
    pub gpu: GpuArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}
