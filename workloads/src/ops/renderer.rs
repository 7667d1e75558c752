//! A whole renderer in one kernel, as just-in-time fusion makes it: a thread a ray, which marches,
//! looks all levels up, takes part in its warp's matrix products and composites, sample after
//! sample, with nothing but the tables and the pixels in memory. Left out: exchange of finished
//! rays between warps.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{FusedMlp, Recorded, counts};
use crate::encoding::{Grid, GridAddresses};
use crate::kernel::{Demand, Direction, Pattern};
use crate::samples::{Launched, Positions};
use crate::{Kernel, KernelClass, Launch, Raster, Stage, Stream, Target, TensorType};

/// Threads of a CTA.
const THREADS: u32 = 128;
/// Registers of a thread that keeps features and activations: the most that are useful.
const REGISTERS: u32 = 168;
/// Rows that a warp multiplies at once: one per lane.
const WARP_ROWS: f64 = 32.0;

/// A renderer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FusedRenderer {
    /// Encoding of positions.
    pub grid: Grid,
    /// Networks, in order.
    pub networks: Vec<FusedMlp>,
    /// Rays.
    pub rays: f64,
    /// Queries of a ray, on average.
    pub queries_per_ray: f64,
    /// The most queries of a warp's rays over that average.
    pub divergence: f64,
    /// Empty cells that a ray skips.
    pub voxels_per_ray: f64,
    /// Whether directions are encoded.
    pub directional: bool,
    /// Where the samples lie.
    pub positions: Positions,
    /// The launch, where recorded.
    #[serde(default)]
    pub recorded: Option<Recorded>,
}

impl FusedRenderer {
    /// Queries of the launch.
    pub fn queries(&self) -> f64 {
        self.rays * self.queries_per_ray
    }

    /// Arithmetic of encoding and networks.
    pub fn flops(&self) -> f64 {
        let macs: f64 = self.networks.iter().map(FusedMlp::macs_per_sample).sum();
        let lookups = self.grid.corners() as f64 * f64::from(self.grid.outputs());
        2.0 * self.queries() * (macs + lookups)
    }

    /// Tables and pixels.
    pub fn compulsory_bytes(&self) -> f64 {
        self.grid.table_bytes() as f64 + self.rays * 20.0
    }

    /// The launch.
    pub fn kernel(&self, target: &Target) -> Kernel {
        let ctas = libm::ceil(self.rays / f64::from(THREADS)).max(1.0) as u64;
        let launch = self.recorded.map_or_else(
            || Launch::linear(ctas, THREADS, REGISTERS, 0),
            |recorded| recorded.launch,
        );
        let warps = launch.warps() as f64;
        let rays = self.rays / launch.ctas() as f64;
        let scaled = |work: counts::Work, times: f64| Demand {
            fp32: work.fp32 * times * warps,
            int32: work.int32 * times * warps,
            fp16x2: work.fp16x2 * times * warps,
            sfu: work.sfu * times * warps,
            memory: work.memory * times * warps,
            ..Demand::default()
        };
        let steps = (self.queries_per_ray * self.divergence).max(1e-6);
        let mut setup = Stage::once("ray");
        setup.demand = scaled(counts::init_ray(), 1.0);
        setup.dependent_instructions = counts::init_ray().chain;
        let mut skip = Stage::once("skip empty cells");
        skip.iterations = (self.voxels_per_ray * self.divergence).max(1e-6);
        skip.demand = scaled(counts::march::voxel(true), 1.0);
        skip.dependent_instructions = counts::march::voxel(true).chain;
        skip.memory_round_trips = 1.0;

        let mut encode = Stage::once("encode");
        encode.iterations = steps;
        let levels = f64::from(self.grid.levels);
        encode.demand = scaled(counts::grid(&self.grid, false), levels);
        // Positions and features stay in registers.
        encode.demand.memory = levels * self.grid.corners() as f64 * warps;
        let fixed = scaled(counts::march::sample(true), 1.0);
        encode.demand.fp32 += fixed.fp32;
        encode.demand.int32 += fixed.int32;
        encode.demand.sfu += fixed.sfu;
        encode.dependent_instructions = counts::grid(&self.grid, false).chain * 2.0;
        encode.memory_round_trips = 2.0;
        let samples = Arc::new(Launched::new(&self.positions, self.queries() as u64));
        let table = GridAddresses::new(&self.grid, self.grid.tables(), samples, 1);
        let lookup_bytes = self.grid.corners() as f64 * levels * self.grid.entry_bytes() as f64;
        encode.streams = vec![Stream {
            label: "tables",
            direction: Direction::Read,
            bytes: lookup_bytes * rays / self.divergence.max(1.0),
            pattern: Pattern::Gathered(Arc::new(table)),
        }];

        let mut networks = Stage::once("networks");
        networks.iterations = steps;
        let macs: f64 = self.networks.iter().map(FusedMlp::macs_per_sample).sum();
        let weights: f64 = self.networks.iter().map(FusedMlp::weight_bytes).sum();
        networks.demand.tensor_macs = macs * WARP_ROWS * warps;
        networks.demand.tensor_instructions = macs * WARP_ROWS * warps / 2048.0;
        // Every warp reads all weights for its 32 rows; L1 holds them.
        networks.demand.shared_wavefronts = weights / 128.0 * warps;
        networks.demand.memory = weights / 512.0 * warps;
        if self.directional {
            networks.demand.fp32 += counts::harmonics().fp32 * warps;
            networks.demand.int32 += counts::harmonics().int32 * warps;
        }
        let layers: f64 =
            self.networks.iter().map(|network| f64::from(network.hidden_layers) + 1.0).sum();
        networks.dependent_tensor = layers * 4.0;
        networks.shared_round_trips = layers;
        networks.in_sequence_warps = warps as u32;

        let mut composite = Stage::once("composite");
        composite.iterations = steps;
        composite.demand = scaled(counts::composite::sample(), 1.0);
        composite.demand.memory = 0.0;
        composite.dependent_instructions = counts::composite::sample().chain;
        let mut write = Stage::once("pixel");
        write.demand = scaled(counts::pixel(), 1.0);
        write.streams = vec![Stream::streaming("pixels", Direction::Write, 20.0 * rays)];
        let tensor = target.tensor_fp16.then_some(TensorType::Fp16);
        if tensor.is_none() {
            networks.demand.fp32 += networks.demand.tensor_macs / 32.0;
            networks.demand.tensor_macs = 0.0;
            networks.demand.tensor_instructions = 0.0;
        }
        Kernel {
            class: KernelClass::FusedRenderer,
            variant: "one thread a ray".to_owned(),
            launch,
            raster: Raster::flat(launch.ctas()),
            tensor,
            tensor_from_registers: true,
            stages: vec![setup, skip, encode, networks, composite, write],
            read_footprint_bytes: self.grid.table_bytes() as f64,
            write_footprint_bytes: self.rays * 20.0,
            then: Vec::new(),
            useful_share: 1.0,
        }
    }
}
