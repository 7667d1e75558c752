//! General matrix multiplication, C\[m,n\] = A\[m,k\] · B\[k,n\], batched, on CUDA cores or tensor
//! cores.
//!
//! A CTA computes one output tile: a prologue fills the pipeline, a main loop walks k in steps
//! of the tile depth, an epilogue writes C. Demands follow the structure that CUTLASS documents
//! and that kernel names show: register tiles fed from shared memory, shared memory fed from L2
//! by `stages` steps in flight. Split-K divides k over CTAs and adds a reduction kernel;
//! stream-K divides all steps evenly. What a step costs without tensor cores is in `simt.rs`. Left
//! out: instruction scheduling inside a step.

use serde::{Deserialize, Serialize};

use super::layout::Layout;
use super::library;
use super::streaming::Streaming;
pub use super::tile::{Math, Tile};
use super::{Candidate, Recorded};
use crate::kernel::{Demand, Direction, Pattern, Runs, Shared};
use crate::{DType, Kernel, KernelClass, Launch, Raster, Stage, Stream, Target, TensorType};

/// What happens to the result before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct Epilogue {
    /// C is read as well (beta ≠ 0).
    #[serde(default)]
    pub reads_c: bool,
    /// A bias row is added.
    #[serde(default)]
    pub bias: bool,
}

/// A (batched) matrix multiplication.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gemm {
    /// Rows of C.
    pub m: u64,
    /// Columns of C.
    pub n: u64,
    /// Depth.
    pub k: u64,
    /// Independent products.
    pub batch: u64,
    /// Operand type.
    pub dtype: DType,
    /// Result type.
    pub output: DType,
    /// Whether fp16 operands accumulate in fp16.
    #[serde(default)]
    pub fp16_accumulate: bool,
    /// How the operands lie in memory.
    #[serde(default)]
    pub layout: Layout,
    /// Work on the result.
    #[serde(default)]
    pub epilogue: Epilogue,
    /// Bytes that one thread loads in one instruction; operands whose rows are not aligned to 16
    /// bytes need smaller ones.
    #[serde(default = "super::streaming::full_vector")]
    pub vector_bytes: f64,
    /// Compute capability that its kernels are built for, ten times the version. Set by
    /// [`Gemm::lower`].
    #[serde(skip)]
    pub built_for: u32,
    /// The tile, where a recording names it.
    #[serde(default)]
    pub tile: Option<Tile>,
    /// Slices of k, where known.
    #[serde(default)]
    pub split_k: Option<u32>,
    /// The launch, where recorded.
    #[serde(default)]
    pub recorded: Option<Recorded>,
}

impl Gemm {
    /// A plain product with the result in the operand type.
    pub fn new(m: u64, n: u64, k: u64, dtype: DType) -> Self {
        let output = if dtype == DType::Tf32 { DType::Fp32 } else { dtype };
        Self {
            m: m.max(1),
            n: n.max(1),
            k: k.max(1),
            batch: 1,
            dtype,
            output,
            fp16_accumulate: false,
            layout: Layout::default(),
            epilogue: Epilogue::default(),
            vector_bytes: super::streaming::full_vector(),
            built_for: 0,
            tile: None,
            split_k: None,
            recorded: None,
        }
    }

    /// 2·m·n·k per product.
    pub fn flops(&self) -> f64 {
        2.0 * self.m as f64 * self.n as f64 * self.k as f64 * self.batch as f64
    }

    /// A and B read once, C written once (and read, if asked for).
    pub fn compulsory_bytes(&self) -> f64 {
        let (a, b, c) = self.operand_bytes();
        a + b + c * if self.epilogue.reads_c { 2.0 } else { 1.0 }
    }

    fn operand_bytes(&self) -> (f64, f64, f64) {
        let (m, n, k) = (self.m as f64, self.n as f64, self.k as f64);
        let batch = self.batch as f64;
        let bytes = self.dtype.bytes();
        (m * k * bytes * batch, k * n * bytes * batch, m * n * self.output.bytes() * batch)
    }

    /// Candidates: the recorded kernel where it fits the target, else every tile of the
    /// generation with the split-K factors that fill the device.
    pub fn lower(&self, target: &Target) -> Vec<Candidate> {
        let of_target = Self { built_for: target.compute_capability, ..self.clone() };
        of_target.candidates(target)
    }

    fn candidates(&self, target: &Target) -> Vec<Candidate> {
        // Tensor-core kernels need a target whose tensor cores multiply this type.
        let multiplies = self.tile.is_none_or(|tile| {
            tile.math == Math::Simt || library::math_for(self.dtype, target) != Math::Simt
        });
        let recorded_fits =
            multiplies && self.recorded.is_none_or(|recorded| recorded.fits(target));
        if let (Some(tile), true) = (self.tile, recorded_fits) {
            return vec![self.candidate(tile, self.split_k.unwrap_or(1))];
        }
        // Another device: the library starts from the shape alone.
        let free = Self { tile: None, split_k: None, recorded: None, ..self.clone() };
        let mut candidates = Vec::new();
        for tile in library::tiles(self.dtype, target) {
            for &split in library::SPLIT_K {
                if free.split_is_sensible(tile, split, target) {
                    candidates.push(free.candidate(tile, split));
                }
            }
        }
        if self.m == 1 || self.n == 1 {
            candidates.push(free.vector_kernel().into());
        }
        candidates
    }

    /// The stream-K schedule of a tile: as many CTAs as SMs share all k steps of all tiles
    /// evenly, so that no tail is left; tiles that a boundary cuts are added up through a
    /// workspace. Vendor libraries launch it rarely; CUTLASS users ask for it.
    pub fn stream_k(&self, tile: Tile, target: &Target) -> Kernel {
        let free = Self { tile: None, split_k: None, recorded: None, ..self.clone() };
        let (a, b, _) = free.operand_bytes();
        let mut kernel = free.kernel(KernelClass::Gemm, tile, 1, (a, b), 0.0);
        let Raster { rows, columns, batches, .. } = kernel.raster;
        let tiles = rows * columns * batches;
        let workers = u64::from(target.sm_count).min(tiles).max(1);
        let share = tiles as f64 / workers as f64;
        // Workers keep the tiles' layout, just fewer of them in each direction.
        let worker_columns = columns.min(workers);
        let worker_rows = workers.div_ceil(worker_columns);
        kernel.raster = Raster { rows: worker_rows, columns: worker_columns, batches: 1, group: 8 };
        kernel.launch.grid = [u32::try_from(workers).unwrap_or(u32::MAX), 1, 1];
        for stage in &mut kernel.stages {
            stage.iterations *= share;
        }
        // Each worker leaves one partial tile behind and adds one up.
        let partial = f64::from(tile.m) * f64::from(tile.n) * 4.0;
        let mut fix_up = Stage::once("fix-up");
        fix_up.memory_round_trips = 1.0;
        fix_up.barriers = 1.0;
        fix_up.demand.memory = 2.0 * partial / 512.0;
        fix_up.demand.fp32 = partial / 4.0 / 32.0;
        fix_up.streams = vec![
            Stream::streaming("partial tile", Direction::Write, partial),
            Stream::streaming("partial tile", Direction::Read, partial),
        ];
        kernel.stages.push(fix_up);
        kernel.read_footprint_bytes += partial * workers as f64;
        kernel.write_footprint_bytes += partial * workers as f64;
        kernel.variant = format!("{} stream-K", kernel.variant);
        kernel
    }

    fn split_is_sensible(&self, tile: Tile, split: u32, target: &Target) -> bool {
        if split == 1 {
            return true;
        }
        let tiles = self.m.div_ceil(tile.m.into()) * self.n.div_ceil(tile.n.into()) * self.batch;
        let steps = self.k.div_ceil(tile.k.into());
        // Splitting pays only while the device is not full and each slice keeps a few steps.
        tiles * u64::from(split) <= 4 * u64::from(target.sm_count) && steps >= 4 * u64::from(split)
    }

    /// The kernel of one tile, with the reduction of split-K behind it.
    pub fn candidate(&self, tile: Tile, split_k: u32) -> Candidate {
        let (a, b, _) = self.operand_bytes();
        let main = self.kernel(KernelClass::Gemm, tile, split_k, (a, b), 0.0);
        let mut kernels = vec![main];
        // A recording shows the reduction as a launch of its own; don't count it twice.
        if split_k > 1 && self.recorded.is_none() {
            let elements = (self.m * self.n * self.batch) as f64;
            let reduce = Streaming {
                read_bytes: elements * 4.0 * f64::from(split_k),
                write_bytes: elements * self.output.bytes(),
                flops_per_element: f64::from(split_k),
                ..Streaming::new(KernelClass::Reduction, elements)
            };
            kernels.push(reduce.default_kernel());
        }
        Candidate { kernels }
    }

    /// Builds the launch. `footprint` are the distinct bytes of A and B (an implicit GEMM reads
    /// the same input many times); `index_instructions` is extra integer work per loaded vector.
    pub(super) fn kernel(
        &self,
        class: KernelClass,
        tile: Tile,
        split_k: u32,
        (a_bytes, b_bytes): (f64, f64),
        index_instructions: f64,
    ) -> Kernel {
        let split = u64::from(split_k.max(1));
        let rows = self.m.div_ceil(tile.m.into());
        let columns = self.n.div_ceil(tile.n.into());
        let batches = self.batch * split;
        let threads = tile.warps * 32;
        let launch = self.recorded.map_or_else(
            || Launch {
                grid: [
                    u32::try_from(rows).unwrap_or(u32::MAX),
                    u32::try_from(columns).unwrap_or(u32::MAX),
                    u32::try_from(batches).unwrap_or(u32::MAX),
                ],
                block: [threads, 1, 1],
                registers: tile.registers(),
                shared_bytes: tile.shared_bytes(self.dtype),
            },
            |recorded| recorded.launch,
        );
        let k_slice = self.k.div_ceil(split);
        let steps = k_slice.div_ceil(tile.k.into());
        let out_bytes = if split > 1 { 4.0 } else { self.output.bytes() };
        let (_, _, c_bytes) = self.operand_bytes();
        let written = c_bytes / self.output.bytes() * out_bytes * split as f64;
        let read_c = if self.epilogue.reads_c { c_bytes } else { 0.0 };
        Kernel {
            class,
            variant: format!(
                "{}x{}x{} {} stages{}",
                tile.m,
                tile.n,
                tile.k,
                tile.stages,
                if split > 1 { format!(" split-K {split}") } else { String::new() }
            ),
            launch,
            raster: Raster { rows, columns, batches, group: 8 },
            tensor: (tile.math != Math::Simt).then(|| self.tensor_type()),
            tensor_from_registers: tile.math == Math::Tensor,
            stages: vec![
                Self::prologue(tile),
                self.main_loop(class, tile, steps as f64, (a_bytes, b_bytes), index_instructions),
                self.epilogue_stage(tile, out_bytes),
            ],
            read_footprint_bytes: a_bytes + b_bytes + read_c,
            write_footprint_bytes: written,
            then: Vec::new(),
            useful_share: (self.m as f64 / (rows as f64 * f64::from(tile.m)))
                * (self.n as f64 / (columns as f64 * f64::from(tile.n))),
        }
    }

    fn tensor_type(&self) -> TensorType {
        match self.dtype {
            DType::Bf16 => TensorType::Bf16,
            DType::Tf32 | DType::Fp32 => TensorType::Tf32,
            DType::Fp64 => TensorType::Fp64,
            DType::Int8 => TensorType::Int8,
            DType::Int4 => TensorType::Int4,
            DType::Fp8 => TensorType::Fp8,
            DType::Fp4 => TensorType::Fp4,
            _ if self.fp16_accumulate => TensorType::Fp16,
            _ => TensorType::Fp16Acc32,
        }
    }

    fn prologue(tile: Tile) -> Stage {
        let mut stage = Stage::once("prologue");
        // Parameter loads, address set-up and predicates of each warp.
        stage.demand.int32 = f64::from(tile.warps) * 80.0;
        stage.dependent_instructions = 80.0;
        // The first tile has to arrive before anything can start.
        stage.memory_round_trips = 1.0;
        stage.barriers = 1.0;
        stage
    }

    fn main_loop(
        &self,
        class: KernelClass,
        tile: Tile,
        steps: f64,
        (a_bytes, b_bytes): (f64, f64),
        index_instructions: f64,
    ) -> Stage {
        let (m, n, k) = (f64::from(tile.m), f64::from(tile.n), f64::from(tile.k));
        let warps = f64::from(tile.warps);
        let element = self.dtype.bytes();
        let step_bytes = (m + n) * k * element;
        // One vector per thread: 512 B a warp instruction when it has 16 bytes.
        let loads = step_bytes / (32.0 * self.vector_bytes);
        let mut demand = Demand::default();
        let mut stage = Stage::once("main loop");
        // Shared memory is written once a step.
        demand.shared_wavefronts = match tile.math {
            Math::TensorMemory => (m + n / 2.0) * k * element / 128.0,
            _ => step_bytes / 128.0,
        };
        match tile.math {
            Math::Simt => {
                demand = self.simt_step(tile);
                stage.dependent_instructions = k;
            }
            Math::Tensor => {
                let macs = m * n * k;
                demand.tensor_macs = macs;
                // m16n8k16 at 16 bits: 2048 MACs a warp instruction, the same bytes for others.
                demand.tensor_instructions = macs / (2048.0 * 2.0 / element);
                let fragment_bytes = tile.fragment_bytes(element);
                demand.shared_wavefronts += fragment_bytes / 128.0;
                // ldmatrix.x4 moves 512 B a warp instruction.
                demand.memory = loads + fragment_bytes / 512.0;
                if tile.stages <= 2 {
                    // Without asynchronous copies words pass through registers, where pieces make
                    // up vectors of 16 bytes again.
                    demand.memory += step_bytes / 512.0;
                    let pieces = 16.0 / self.vector_bytes;
                    if pieces > 1.0 {
                        // Lanes ask for their vectors piece by piece: a vector apart, four meet on
                        // each bank of L1 that they use. Predicates and packing come to an
                        // instruction and a half a piece.
                        demand.l1_wavefronts += 4.0 * loads;
                        demand.int32 += 1.5 * loads;
                    }
                }
                demand.int32 += warps * 8.0;
                stage.dependent_tensor = k * element / 32.0;
            }
            Math::WarpGroup | Math::TensorMemory => {
                let macs = m * n * k;
                demand.tensor_macs = macs;
                // One instruction covers a 64-row slab and 32 bytes of depth for four warps.
                demand.tensor_instructions = 4.0 * libm::ceil(m / 64.0) * k * element / 32.0;
                demand.shared_wavefronts += tile.fragment_bytes(element) / 128.0;
                // Bulk copies: a handful of instructions whatever the size.
                demand.memory = 4.0;
                demand.int32 += warps * 4.0;
                stage.dependent_tensor = k * element / 32.0;
            }
        }
        demand.int32 += loads * index_instructions;
        stage.iterations = steps;
        stage.demand = demand;
        stage.in_flight = f64::from(tile.stages.max(2) - 1);
        stage.ahead = tile.stages >= 2;
        stage.memory_round_trips = 1.0;
        // After the barrier the first fragments of the step have to come out of shared memory;
        // a single buffer is filled between two barriers.
        stage.barriers = if tile.stages == 1 { 2.0 } else { 1.0 };
        if matches!(tile.math, Math::WarpGroup | Math::TensorMemory) {
            // Tensor cores take their operands asynchronously, several steps ahead of the warps
            // that wait for them.
            stage.barriers = 0.0;
        }
        stage.shared_round_trips = stage.barriers;
        // Clusters of two CTAs fetch the operand they share once (multicast); pairs of SMs each
        // fetch half of B, and two pairs of a cluster half of A.
        let (a_share, b_share) = match tile.math {
            Math::Simt | Math::Tensor => (1.0, 1.0),
            Math::WarpGroup => self.recorded_cluster().map_or((1.0, 0.5), |ctas| (1.0 / ctas, 1.0)),
            Math::TensorMemory => (0.5, 0.5),
        };
        let runs = self.layout.runs(tile, [self.m, self.n, self.k], element, stage.in_flight);
        // Kernels for Ampere and later ask for whole lines with each load of a tile. Pixels under a
        // filter lie in pieces of their own.
        let [a_runs, b_runs] = runs.map(|run| {
            let bytes = if self.built_for >= 80 { run.bytes.max(128.0) } else { run.bytes };
            (class == KernelClass::Gemm).then_some(Runs { bytes, ..run })
        });
        let read = |label, bytes, footprint_bytes, shared, runs| Stream {
            label,
            direction: Direction::Read,
            bytes,
            pattern: Pattern::Tiled { footprint_bytes, shared, runs },
        };
        stage.streams = vec![
            read(
                "A",
                inside(self.m, tile.m) * m * k * element * a_share,
                a_bytes,
                Shared::Row,
                a_runs,
            ),
            read(
                "B",
                inside(self.n, tile.n) * n * k * element * b_share,
                b_bytes,
                Shared::Column,
                b_runs,
            ),
        ];
        stage
    }

    /// CTAs of a cluster that a recorded launch gives away: kernels that fetch their tiles
    /// themselves are launched as many clusters (x) of so many CTAs (y) as run at once.
    fn recorded_cluster(&self) -> Option<f64> {
        let launch = self.recorded?.launch;
        let [clusters, ctas, z] = launch.grid;
        let resident = z == 1 && clusters >= 16 && launch.ctas() <= 160;
        (resident && [2, 4, 8].contains(&ctas)).then(|| f64::from(ctas))
    }

    fn epilogue_stage(&self, tile: Tile, out_bytes: f64) -> Stage {
        // Only the part of the tile that lies inside C is written.
        let used = inside(self.m, tile.m) * inside(self.n, tile.n);
        let elements = f64::from(tile.m) * f64::from(tile.n);
        let bytes = elements * out_bytes;
        let mut stage = Stage::once("epilogue");
        // Pieces of a vector, where lanes don't write them whole: cuBLAS's kernels without tensor
        // cores from before Ampere write words, a vector of 16 bytes apart.
        let piece_bytes = match tile.math {
            Math::Simt if (1..80).contains(&self.built_for) => out_bytes.min(16.0),
            Math::Simt => 16.0,
            _ => self.vector_bytes.max(out_bytes),
        };
        let pattern = if piece_bytes < 16.0 {
            Pattern::Pieces { times: 16.0 / piece_bytes }
        } else {
            Pattern::Streaming
        };
        let written =
            Stream { label: "C", direction: Direction::Write, bytes: bytes * used, pattern };
        let mut streams = vec![written];
        let mut vectors = bytes / (32.0 * piece_bytes);
        let vector_bytes = 32.0 * self.vector_bytes;
        if self.epilogue.reads_c {
            streams.push(Stream::streaming("C", Direction::Read, bytes * used));
            vectors += bytes / vector_bytes;
            stage.memory_round_trips = 1.0;
        }
        // Results pass through shared memory to be written in rows.
        stage.demand.shared_wavefronts = 2.0 * elements * 4.0 / 128.0;
        // Groups of warps that split the depth add their parts up there before.
        let parts = f64::from(tile.slices() - 1);
        stage.demand.shared_wavefronts += 2.0 * parts * elements * 4.0 / 128.0;
        stage.demand.fp32 = (1.0 + parts) * elements / 32.0;
        stage.demand.int32 = elements / 64.0;
        stage.demand.memory = vectors + 2.0 * elements * 4.0 / 512.0;
        stage.dependent_instructions = 40.0;
        stage.barriers = 2.0;
        // Tiles of one launch take alike: what `mma` leaves in registers is written by all at once, unless writing
        // it piece by piece is most of the work.
        stage.in_step = tile.math == Math::Tensor && piece_bytes >= 16.0;
        stage.streams = streams;
        stage
    }

    /// Matrix times vector: every element of the matrix is used once.
    fn vector_kernel(&self) -> Kernel {
        let long = self.m.max(self.n) as f64 * self.batch as f64;
        let (a, b, c) = self.operand_bytes();
        let kernel = Streaming {
            read_bytes: a + b,
            write_bytes: c,
            flops_per_element: 2.0,
            ..Streaming::new(KernelClass::Gemm, long * self.k as f64)
        };
        let mut kernel = kernel.default_kernel();
        "matrix-vector".clone_into(&mut kernel.variant);
        kernel
    }
}

/// Share of the tiles along one side that lies inside of so many rows or columns.
fn inside(size: u64, tile: u32) -> f64 {
    size as f64 / (size.div_ceil(u64::from(tile)) * u64::from(tile)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::A100;

    #[test]
    fn tensor_work_is_the_padded_product() {
        let gemm = Gemm::new(1000, 1000, 1000, DType::Fp16);
        for candidate in gemm.lower(&A100) {
            let kernel = &candidate.kernels[0];
            let macs = kernel.per_cta(|s| s.demand.tensor_macs) * kernel.launch.ctas() as f64;
            assert!(macs >= gemm.flops() / 2.0, "{}", kernel.variant);
        }
    }

    #[test]
    fn plain_fp32_stays_off_the_tensor_cores() {
        for candidate in Gemm::new(512, 512, 512, DType::Fp32).lower(&A100) {
            assert_eq!(candidate.kernels[0].tensor, None);
        }
        for candidate in Gemm::new(512, 512, 512, DType::Tf32).lower(&A100) {
            assert_eq!(candidate.kernels[0].tensor, Some(TensorType::Tf32));
        }
    }

    #[test]
    fn a_recorded_tile_is_kept_on_its_own_generation_only() {
        let tile = Tile { m: 64, n: 64, k: 64, stages: 5, warps: 4, math: Math::Tensor };
        let launch = Launch::linear(16, 128, 90, 81920);
        let mut gemm = Gemm::new(256, 256, 1024, DType::Fp16);
        gemm.tile = Some(tile);
        gemm.recorded = Some(Recorded { launch, compute_capability: 80 });
        assert_eq!(gemm.lower(&A100).len(), 1);
        let hopper = Target { compute_capability: 90, ..A100 };
        assert!(gemm.lower(&hopper).len() > 1);
    }

    #[test]
    fn stream_k_does_the_same_products_without_a_tail() {
        let gemm = Gemm::new(1920, 1920, 1024, DType::Fp16);
        let tile = Tile { m: 128, n: 128, k: 32, stages: 5, warps: 4, math: Math::Tensor };
        let macs = |kernel: &Kernel| {
            kernel.per_cta(|s| s.demand.tensor_macs) * kernel.launch.ctas() as f64
        };
        let tiled = &gemm.candidate(tile, 1).kernels[0];
        let streamed = gemm.stream_k(tile, &A100);
        assert!((macs(&streamed) / macs(tiled) - 1.0).abs() < 1e-9);
        assert_eq!(streamed.launch.ctas(), 108);
    }

    #[test]
    fn split_k_adds_a_reduction() {
        let gemm = Gemm::new(128, 128, 65536, DType::Fp16);
        let split = gemm.lower(&A100).into_iter().find(|c| c.kernels.len() == 2);
        assert_eq!(split.unwrap().kernels[1].class, KernelClass::Reduction);
    }

    #[test]
    fn clusters_are_read_off_resident_launches_only() {
        let of = |grid| {
            let launch = Launch { grid, block: [384, 1, 1], registers: 168, shared_bytes: 0 };
            let recorded = Some(Recorded { launch, compute_capability: 90 });
            Gemm { recorded, ..Gemm::new(4096, 4096, 1024, DType::Bf16) }.recorded_cluster()
        };
        assert_eq!(of([30, 4, 1]), Some(4.0));
        assert_eq!(of([132, 1, 1]), None);
        assert_eq!(of([98, 4, 1]), None);
        // As large as a grid may be.
        assert_eq!(of([i32::MAX as u32, 65_535, 1]), None);
    }
}
