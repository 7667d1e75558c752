//! One kernel launch: its shape, what each CTA does in stages, and which memory it touches.
//!
//! All demands are per CTA and per iteration of a stage, because CTAs of a launch are taken to
//! be alike; an engine multiplies. Left out: divergence inside a warp beyond what the counts
//! say, and instruction order (an engine sees rates and latency chains, not a program).

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What kind of work a kernel does, for reports and error statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum KernelClass {
    Gemm,
    Convolution,
    Attention,
    Elementwise,
    Copy,
    Reduction,
    Softmax,
    Norm,
    Embedding,
    SortScan,
    Pooling,
    Optimizer,
    Random,
    Memcpy,
    Memset,
    Collective,
    /// Multi-resolution grid encoding.
    GridEncoding,
    /// Gradient of a grid encoding.
    GridBackward,
    /// Other encodings of a sample (spherical harmonics).
    Encoding,
    /// Multi-layer perceptron in one kernel.
    FusedMlp,
    /// Its gradient.
    FusedMlpBackward,
    /// Making rays and walking them to the next sample.
    RayMarching,
    /// Closing the gaps that ended rays leave.
    Compaction,
    /// Adding samples up to pixels.
    Compositing,
    /// Loss and its gradient.
    Loss,
    /// Projecting Gaussians and listing their tiles.
    SplatProjection,
    /// Blending Gaussians tile by tile.
    SplatRaster,
    /// A renderer in one kernel.
    FusedRenderer,
    /// Known only by its counters.
    Counters,
    /// Known by its executed instructions.
    Traced,
    /// Known only by its launch shape.
    Unclassified,
}

impl KernelClass {
    /// Name as printed and as written in our trace format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gemm => "gemm",
            Self::Convolution => "convolution",
            Self::Attention => "attention",
            Self::Elementwise => "elementwise",
            Self::Copy => "copy",
            Self::Reduction => "reduction",
            Self::Softmax => "softmax",
            Self::Norm => "norm",
            Self::Embedding => "embedding",
            Self::SortScan => "sort_scan",
            Self::Pooling => "pooling",
            Self::Optimizer => "optimizer",
            Self::Random => "random",
            Self::Memcpy => "memcpy",
            Self::Memset => "memset",
            Self::Collective => "collective",
            Self::GridEncoding => "grid_encoding",
            Self::GridBackward => "grid_backward",
            Self::Encoding => "encoding",
            Self::FusedMlp => "fused_mlp",
            Self::FusedMlpBackward => "fused_mlp_backward",
            Self::RayMarching => "ray_marching",
            Self::Compaction => "compaction",
            Self::Compositing => "compositing",
            Self::Loss => "loss",
            Self::SplatProjection => "splat_projection",
            Self::SplatRaster => "splat_raster",
            Self::FusedRenderer => "fused_renderer",
            Self::Counters => "counters",
            Self::Traced => "traced",
            Self::Unclassified => "unclassified",
        }
    }
}

impl fmt::Display for KernelClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Launch shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Launch {
    /// CTAs in x, y, z.
    pub grid: [u32; 3],
    /// Threads of a CTA in x, y, z.
    pub block: [u32; 3],
    /// 32-bit registers per thread; 0 = not known, taken to be no limit.
    pub registers: u32,
    /// Static and dynamic shared memory per CTA, in bytes.
    pub shared_bytes: u32,
}

impl Launch {
    /// A one-dimensional launch.
    pub fn linear(ctas: u64, threads: u32, registers: u32, shared_bytes: u32) -> Self {
        let grid = u32::try_from(ctas.max(1)).unwrap_or(u32::MAX);
        Self { grid: [grid, 1, 1], block: [threads.max(1), 1, 1], registers, shared_bytes }
    }

    /// Whether CUDA would accept this shape: at most 2³¹ − 1 × 65,535 × 65,535 CTAs of 1024
    /// threads. (Longer grids in y and z occur in no profile of a kernel that ran.)
    pub fn is_possible(&self) -> bool {
        let [x, y, z] = self.grid;
        x <= 0x7fff_ffff && y <= 65_535 && z <= 65_535 && self.threads() <= 1024
    }

    /// Number of CTAs.
    pub fn ctas(&self) -> u64 {
        product(self.grid)
    }

    /// Threads per CTA.
    pub fn threads(&self) -> u64 {
        product(self.block)
    }

    /// Warps per CTA.
    pub fn warps(&self) -> u64 {
        self.threads().div_ceil(32)
    }
}

fn product(dims: [u32; 3]) -> u64 {
    dims.iter().fold(1u64, |all, &d| all.saturating_mul(u64::from(d.max(1))))
}

/// Operand type of a tensor-core operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "operand types; Fp16Acc32 accumulates in fp32")]
pub enum TensorType {
    Fp16,
    Fp16Acc32,
    Bf16,
    Tf32,
    Fp64,
    Int8,
    Int4,
    Fp8,
    Fp4,
}

/// What one CTA asks of its SM in one iteration of a stage. Instruction counts are warp
/// instructions.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Demand {
    /// fp32 multiply-add class.
    pub fp32: f64,
    /// Packed half-precision (two operations a thread).
    pub fp16x2: f64,
    /// fp64 multiply-add class.
    pub fp64: f64,
    /// Integer, logic, address and predicate instructions.
    pub int32: f64,
    /// Special functions.
    pub sfu: f64,
    /// Memory instructions (global, shared, atomic).
    pub memory: f64,
    /// Branches, barriers and other instructions that only take an issue slot.
    pub control: f64,
    /// Dense tensor-core multiply-accumulates.
    pub tensor_macs: f64,
    /// Warp-level tensor instructions (for issue and latency).
    pub tensor_instructions: f64,
    /// Shared-memory wavefronts (128 B each, conflicts included).
    pub shared_wavefronts: f64,
    /// Wavefronts of L1's data array where lanes of a global access collide on its banks (equal
    /// offsets in different lines).
    pub l1_wavefronts: f64,
    /// Register operands that these instructions don't read (constants, two operands of three),
    /// where that was counted.
    pub spared_operands: f64,
}

impl Demand {
    /// Warp-wide register operands read: three by a multiply-add or an integer instruction, two
    /// by a memory instruction (address and value), one by a special function; less what is known
    /// not to be read.
    pub fn register_operands(&self) -> f64 {
        let arithmetic = 3.0 * (self.fp32 + self.fp16x2 + self.fp64 + self.int32);
        (arithmetic + 2.0 * self.memory + self.sfu - self.spared_operands).max(0.0)
    }

    /// Instructions with three operands and a result that access registers as often as all of
    /// these: branches don't, and operands that are known not to be read take their quarter off.
    pub fn full_instructions(&self) -> f64 {
        (self.instructions() - self.control - self.spared_operands / 4.0).max(0.0)
    }

    /// Warp instructions issued.
    pub fn instructions(&self) -> f64 {
        self.fp32
            + self.fp16x2
            + self.fp64
            + self.int32
            + self.sfu
            + self.memory
            + self.control
            + self.tensor_instructions
    }
}

/// Reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Direction {
    Read,
    Write,
    /// Read-modify-write performed at L2.
    Atomic,
}

/// Along which axis of the CTA raster a tile is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shared {
    /// All CTAs of one raster row read the same tile (operand A of a GEMM).
    Row,
    /// All CTAs of one raster column read the same tile (operand B).
    Column,
    /// Every CTA reads the same bytes (weights, tables, scalars).
    All,
}

/// What one warp asks of memory back to back: a few requests of one address per lane each.
#[derive(Debug, Clone, Default)]
pub struct Requests {
    addresses: Vec<u64>,
    lanes: usize,
}

impl Requests {
    /// Makes room for `requests` of `lanes` addresses each.
    pub fn resize(&mut self, requests: usize, lanes: usize) {
        self.lanes = lanes;
        self.addresses.clear();
        self.addresses.resize(requests * lanes, 0);
    }

    /// Says which byte a lane of a request touches first. Ignored outside of what was resized
    /// to.
    pub fn set(&mut self, request: usize, lane: usize, address: u64) {
        if let Some(slot) = self.addresses.get_mut(request * self.lanes + lane) {
            *slot = address;
        }
    }

    /// The requests, as the addresses of their lanes.
    pub fn iter(&self) -> std::slice::Chunks<'_, u64> {
        self.addresses.chunks(self.lanes.max(1))
    }
}

impl<'a> IntoIterator for &'a Requests {
    type Item = &'a [u64];
    type IntoIter = std::slice::Chunks<'a, u64>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A run of consecutive groups (in launch order) of which the addresses are known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Segment {
    /// Groups in it.
    pub groups: u64,
    /// Groups of the launch that it stands for, itself included.
    pub stands_for: f64,
}

/// Yields true addresses, warp by warp, for streams without a closed form. What one warp asks
/// for back to back is a *group*. A launch may be known in parts only (samples of a few bands of
/// an image): each part is a [`Segment`] that stands for its share of the launch.
///
/// Implementations must be pure functions of segment and group.
pub trait Addresses: fmt::Debug + Send + Sync {
    /// The parts that are known, in launch order.
    fn segments(&self) -> Vec<Segment>;

    /// Writes what group number `index` of a segment asks for.
    fn group(&self, segment: usize, index: u64, out: &mut Requests);

    /// Warp-level requests of one group.
    fn requests_per_group(&self) -> f64;

    /// Bytes between the lowest and the highest address.
    fn span_bytes(&self) -> u64;

    /// Bytes that one request of a full warp asks for.
    fn access_bytes(&self) -> u64;

    /// Groups of one CTA of so many warps, one after another: a group of each warp, then the next
    /// of each.
    fn groups_per_cta(&self, warps: u64) -> u64 {
        warps
    }

    /// Bytes that are touched from one launch of this kind to the next before the same address
    /// comes up again: what an L2 has to hold to be warm.
    fn reuse_bytes(&self) -> u64 {
        self.span_bytes()
    }

    /// What these lookups share with those of larger and smaller launches, where they share anything.
    fn place(&self) -> Option<Place> {
        None
    }

    /// The lookups of a launch of so many samples in the same place; `None` where there is no [`Self::place`].
    fn resized(&self, _samples: u64) -> Option<Box<dyn Addresses>> {
        None
    }
}

/// Where a launch looks up, whatever its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Equal for lookups that differ in their number only, for as long as one of them lives.
    pub name: String,
    /// Samples of the launch.
    pub samples: u64,
}

/// Pieces of consecutive bytes that are asked for at one time, each far from the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Runs {
    /// Bytes of a piece.
    pub bytes: f64,
    /// From the start of a piece to that of the next, in bytes.
    pub pitch_bytes: f64,
}

/// Which addresses a stream touches.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// Consecutive bytes, each touched once by one CTA.
    Streaming,
    /// The same written in pieces: every sector crosses to L2 so many times, each time in part.
    Pieces {
        /// How many times.
        times: f64,
    },
    /// Each access uses `used_bytes` of every `stride_bytes` (sectors are fetched whole).
    Strided {
        /// Bytes used per access.
        used_bytes: f64,
        /// Distance between accesses, in bytes.
        stride_bytes: f64,
    },
    /// Operand tiles that CTAs of one raster row or column share.
    Tiled {
        /// Bytes of the whole operand.
        footprint_bytes: f64,
        /// Who shares a tile.
        shared: Shared,
        /// How the bytes of one step lie in memory; `None` where a tile is (nearly) one piece.
        runs: Option<Runs>,
    },
    /// Bytes that the same CTA touched before (a second pass over its rows).
    Repeated {
        /// Bytes that one CTA touches between the two uses.
        distance_bytes: f64,
    },
    /// Bytes known to hit L2 (a counter said so).
    L2Resident,
    /// Bytes in L2 that all CTAs reach for in the same order at the same moment: so few lines at
    /// once keep only as many of its slices busy.
    Crowded {
        /// Lines of 128 bytes that are wanted at once, over the device.
        lines: f64,
    },
    /// Addresses from a generator, run through the cache model.
    Gathered(Arc<dyn Addresses>),
}

/// One memory stream of a stage.
#[derive(Debug, Clone)]
pub struct Stream {
    /// What it is, for reports ("A", "table", "output").
    pub label: &'static str,
    /// Direction.
    pub direction: Direction,
    /// Bytes that one CTA requests in one iteration.
    pub bytes: f64,
    /// Which addresses.
    pub pattern: Pattern,
}

impl Stream {
    /// A stream of consecutive bytes.
    pub const fn streaming(label: &'static str, direction: Direction, bytes: f64) -> Self {
        Self { label, direction, bytes, pattern: Pattern::Streaming }
    }
}

/// One stage of a CTA program.
#[derive(Debug, Clone)]
pub struct Stage {
    /// "prologue", "main loop", "epilogue", …
    pub name: &'static str,
    /// How often each CTA runs it.
    pub iterations: f64,
    /// How often the warp runs it that runs it most often, where warps differ; the launch waits
    /// for that one. Counts only where it is more than `iterations`.
    pub longest_iterations: f64,
    /// How often the CTAs of one raster row run it, in dispatch order, where that differs by plan;
    /// their mean is `iterations`. Empty where they are alike.
    pub lengths: Vec<f64>,
    /// Demand per iteration.
    pub demand: Demand,
    /// Memory touched per iteration.
    pub streams: Vec<Stream>,
    /// Iterations whose loads are in flight at once (software pipelining); 1 = load, wait, use.
    pub in_flight: f64,
    /// Loads of one iteration are under way during the work of the one before, as registers or a
    /// second buffer allow; with more than one iteration in flight they are in any case.
    pub ahead: bool,
    /// Dependent global-memory round trips per iteration that no other iteration hides.
    pub memory_round_trips: f64,
    /// Dependent arithmetic instructions per iteration (the critical path of one warp).
    pub dependent_instructions: f64,
    /// Dependent tensor instructions per iteration.
    pub dependent_tensor: f64,
    /// Dependent shared-memory round trips per iteration (loading the first fragments of a
    /// step, passing values between warps).
    pub shared_round_trips: f64,
    /// CTA-wide barriers per iteration.
    pub barriers: f64,
    /// Warps of a CTA that use their pipes one after another (a product, then its softmax, then
    /// the next product), so that only other warps fill the pipes they leave idle; none where
    /// instructions of one warp overlap.
    pub in_sequence_warps: u32,
    /// Whether CTAs that run together come to it at the same time, as at the start and the end of those that all take
    /// as long: it then moves its bytes while nobody computes.
    pub in_step: bool,
    /// Whether CTAs that run together are all in it, or all in another: those that begin together, are alike and share
    /// a pipe in turn reach its end together, so that their next stage's pipes stand idle until then.
    pub apart: bool,
}

impl Stage {
    /// A stage that runs once with nothing in it yet.
    pub fn once(name: &'static str) -> Self {
        Self {
            name,
            iterations: 1.0,
            longest_iterations: 0.0,
            lengths: Vec::new(),
            demand: Demand::default(),
            streams: Vec::new(),
            in_flight: 1.0,
            ahead: false,
            memory_round_trips: 0.0,
            dependent_instructions: 0.0,
            dependent_tensor: 0.0,
            shared_round_trips: 0.0,
            barriers: 0.0,
            in_sequence_warps: 0,
            in_step: false,
            apart: false,
        }
    }
}

/// How CTAs are laid out over the output, in dispatch order: rows fastest inside groups of
/// `group` columns (a swizzle that keeps operand tiles in L2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raster {
    /// CTAs along the rows of the output.
    pub rows: u64,
    /// CTAs along its columns.
    pub columns: u64,
    /// Independent problems (batch, split-K slices).
    pub batches: u64,
    /// Columns that are walked together before moving on.
    pub group: u64,
}

impl Raster {
    /// CTAs that share nothing.
    pub const fn flat(ctas: u64) -> Self {
        Self { rows: ctas, columns: 1, batches: 1, group: 1 }
    }

    /// Rows and columns that `ctas` consecutive CTAs of one problem cover.
    pub fn extent(&self, ctas: u64) -> (f64, f64) {
        let rows = self.rows.max(1) as f64;
        let columns = self.columns.max(1) as f64;
        let ctas = (ctas.max(1) as f64).min(rows * columns);
        let group = (self.group.max(1) as f64).min(columns);
        let in_group = rows * group;
        if ctas <= in_group {
            // Inside one group the columns of a row come first, then the next row.
            let covered_columns = group.min(ctas);
            (libm::ceil(ctas / group).min(rows), covered_columns)
        } else {
            (rows, libm::ceil(ctas / rows).min(columns))
        }
    }
}

/// One kernel launch.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// Kind of work.
    pub class: KernelClass,
    /// Which implementation this is ("128x64x32 3 stages"), for reports.
    pub variant: String,
    /// Launch shape.
    pub launch: Launch,
    /// CTA layout.
    pub raster: Raster,
    /// Operand type of the tensor instructions, if any.
    pub tensor: Option<TensorType>,
    /// Whether those instructions take their operands from registers (`mma`), as all did before
    /// warp-group instructions.
    pub tensor_from_registers: bool,
    /// What each CTA does.
    pub stages: Vec<Stage>,
    /// Distinct bytes read, over the whole launch.
    pub read_footprint_bytes: f64,
    /// Distinct bytes written.
    pub write_footprint_bytes: f64,
    /// Further CTAs of the same launch that do other work (another level of a grid), in dispatch
    /// order behind those described here. Empty for nearly all kernels.
    pub then: Vec<Kernel>,
    /// Share of its arithmetic that is on data, in (0, 1]; the rest is on zeros that fill tiles up,
    /// which takes as long but less energy.
    pub useful_share: f64,
}

impl Kernel {
    /// Sum of a demand over all stages and iterations of one CTA.
    pub fn per_cta(&self, demand: impl Fn(&Stage) -> f64) -> f64 {
        self.stages.iter().map(|stage| stage.iterations * demand(stage)).sum()
    }

    /// Distinct bytes touched.
    pub fn footprint_bytes(&self) -> f64 {
        self.read_footprint_bytes + self.write_footprint_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_group_is_walked_before_the_next() {
        let raster = Raster { rows: 8, columns: 8, batches: 1, group: 4 };
        assert_eq!(raster.extent(4), (1.0, 4.0));
        assert_eq!(raster.extent(8), (2.0, 4.0));
        assert_eq!(raster.extent(32), (8.0, 4.0));
        assert_eq!(raster.extent(48), (8.0, 6.0));
        assert_eq!(raster.extent(1000), (8.0, 8.0));
    }

    proptest! {
        #[test]
        fn an_extent_holds_its_ctas(rows in 1u64..500, columns in 1u64..500, group in 1u64..16, ctas in 1u64..5000) {
            let raster = Raster { rows, columns, batches: 1, group };
            let (r, c) = raster.extent(ctas);
            let held = (ctas as f64).min((rows * columns) as f64);
            prop_assert!(r * c + 1e-9 >= held);
            prop_assert!(r <= rows as f64 && c <= columns as f64);
        }
    }
}
