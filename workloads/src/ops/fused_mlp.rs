//! A multi-layer perceptron in one kernel, as tiny-cuda-nn's `FullyFusedMLP` runs it: a CTA takes a
//! few times 16 rows through all layers, one warp for each 16 neurons, activations in shared
//! memory, weights in registers, inputs read from and outputs written to feature-major arrays.
//! Fragments of such arrays are loaded in pieces of 16 bytes. Instruction counts come from machine code of
//! a kernel of that structure (see `counts`). Left out: residual connections, other activations
//! than ReLU.

use serde::{Deserialize, Serialize};

use super::gemm::Gemm;
use super::{Candidate, Recorded, library};
use crate::kernel::{Demand, Direction, Pattern, Shared};
use crate::{DType, Kernel, KernelClass, Launch, Raster, Stage, Stream, Target, TensorType};

/// Rows and columns of a tensor-core fragment.
const FRAGMENT: u32 = 16;
/// Bytes of an fp16 number.
const HALF: f64 = 2.0;
/// The first compute capability (× 10) on which the fused kernel runs.
const FUSED_FROM: u32 = 75;
/// Padding of a row in shared memory, in halves, which keeps its columns on different banks.
const SKEW: u32 = 8;

/// A perceptron over samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FusedMlp {
    /// Neurons of a hidden layer: 16, 32, 64 or 128.
    pub width: u32,
    /// Hidden layers.
    pub hidden_layers: u32,
    /// Inputs, padded to 16.
    pub inputs: u32,
    /// Outputs, padded to 16.
    pub outputs: u32,
    /// Rows.
    pub samples: u64,
    /// Rows of a CTA.
    pub rows_per_cta: u32,
    /// Whether the inputs of a sample lie side by side, as encodings other than grids write them,
    /// instead of feature by feature.
    #[serde(default)]
    pub inputs_by_row: bool,
    /// Whether activations are kept for the backward pass.
    #[serde(default)]
    pub training: bool,
    /// Gradients from outputs to inputs instead (weights' gradients are products of their own).
    #[serde(default)]
    pub backward: bool,
    /// The launch, where recorded.
    #[serde(default)]
    pub recorded: Option<Recorded>,
}

impl FusedMlp {
    /// Multiply-adds of a sample.
    pub fn macs_per_sample(&self) -> f64 {
        let [width, inputs, outputs] = [self.width, self.inputs, self.outputs].map(f64::from);
        let hidden = f64::from(self.hidden_layers.saturating_sub(1));
        width * (inputs + hidden * width + outputs)
    }

    /// Arithmetic.
    pub fn flops(&self) -> f64 {
        2.0 * self.macs_per_sample() * self.samples as f64
    }

    /// Activations that cross the memory interface, per sample, in bytes.
    fn kept_bytes_per_sample(&self) -> f64 {
        if self.training || self.backward {
            f64::from(self.width) * f64::from(self.hidden_layers) * HALF
        } else {
            0.0
        }
    }

    /// Inputs, outputs, kept activations and weights.
    pub fn compulsory_bytes(&self) -> f64 {
        let io = f64::from(self.inputs + self.outputs) * HALF;
        let kept = self.kept_bytes_per_sample() * if self.backward { 2.0 } else { 1.0 };
        self.samples as f64 * (io + kept) + self.weight_bytes()
    }

    /// Size of all weights, in bytes.
    pub fn weight_bytes(&self) -> f64 {
        self.macs_per_sample() * HALF
    }

    /// The fused kernel, or products layer by layer where it does not run.
    pub fn lower(&self, target: &Target) -> Vec<Candidate> {
        if target.compute_capability >= FUSED_FROM && target.tensor_fp16 {
            return vec![self.kernel().into()];
        }
        self.unfused(target)
    }

    /// One product per layer, all with the same choice of tile.
    fn unfused(&self, target: &Target) -> Vec<Candidate> {
        // The library falls back to single precision where halves are slow.
        let slow_halves = target.compute_capability == 61 || target.compute_capability <= 52;
        let dtype = if slow_halves { DType::Fp32 } else { DType::Fp16 };
        let layer = |n: u32, k: u32| {
            let mut gemm = Gemm::new(self.samples, n.into(), k.into(), dtype);
            gemm.fp16_accumulate = true;
            gemm
        };
        let mut layers = vec![layer(self.width, self.inputs)];
        for _ in 1..self.hidden_layers {
            layers.push(layer(self.width, self.width));
        }
        layers.push(layer(self.outputs, self.width));
        let tiles = library::tiles(dtype, target);
        let chain = |tile| {
            let kernels = layers.iter().flat_map(|layer| layer.candidate(tile, 1).kernels);
            Candidate { kernels: kernels.collect() }
        };
        tiles.into_iter().map(chain).collect()
    }

    fn registers(&self) -> u32 {
        match (self.rows_per_cta / FRAGMENT, self.backward) {
            (8.., _) => 72,
            (4..8, _) => 54,
            _ => 44,
        }
    }

    /// The fused kernel.
    pub fn kernel(&self) -> Kernel {
        let iterations = f64::from(self.rows_per_cta / FRAGMENT);
        let rows = f64::from(self.rows_per_cta);
        let warps = f64::from(self.width / FRAGMENT).max(1.0);
        let ctas = self.samples.div_ceil(u64::from(self.rows_per_cta)).max(1);
        let launch = self.recorded.map_or_else(
            || Launch {
                grid: [u32::try_from(ctas).unwrap_or(u32::MAX), 1, 1],
                block: [32, self.width / FRAGMENT, 1],
                registers: self.registers(),
                shared_bytes: self.shared_bytes(),
            },
            |recorded| recorded.launch,
        );
        // Backwards the network is the same seen from its other end.
        let (first, last) =
            if self.backward { (self.outputs, self.inputs) } else { (self.inputs, self.outputs) };
        let kept = self.kept_bytes_per_sample() / f64::from(self.hidden_layers.max(1));
        let mut stages = vec![Self::start(warps), self.weights(self.width, first)];
        stages.push(if self.inputs_by_row && !self.backward {
            self.input_layer_by_row(first, iterations, warps)
        } else {
            self.input_layer(first, iterations, warps)
        });
        stages.push(Self::store_activations(warps, iterations));
        if kept > 0.0 {
            stages.push(Self::keep("keep activations", rows * kept, warps, self.backward));
        }
        for _ in 1..self.hidden_layers {
            stages.push(self.hidden_weights(warps));
            stages.push(self.hidden_layer(iterations, warps));
            stages.push(Self::store_activations(warps, iterations));
            if kept > 0.0 {
                stages.push(Self::keep("keep activations", rows * kept, warps, self.backward));
            }
        }
        // Gradients of inputs are a product of their own in the reference.
        if !self.backward {
            stages.push(self.weights(last, self.width));
            stages.push(self.last_layer(last, iterations, warps));
        }
        for stage in &mut stages {
            stage.apart = true;
        }
        let io = |n: u32| self.samples as f64 * f64::from(n) * HALF;
        let all_kept = self.samples as f64 * self.kept_bytes_per_sample();
        Kernel {
            class: if self.backward {
                KernelClass::FusedMlpBackward
            } else {
                KernelClass::FusedMlp
            },
            variant: format!(
                "{} -> {} x {} -> {}, {} rows a CTA",
                self.inputs, self.hidden_layers, self.width, self.outputs, self.rows_per_cta
            ),
            launch,
            raster: Raster::flat(ctas),
            tensor: Some(TensorType::Fp16),
            tensor_from_registers: true,
            stages,
            read_footprint_bytes: io(first) + if self.backward { all_kept } else { 0.0 },
            write_footprint_bytes: all_kept + if self.backward { 0.0 } else { io(last) },
            then: Vec::new(),
            useful_share: 1.0,
        }
    }

    /// Activations of the CTA's rows and the weights of the last layer, with padded rows.
    fn shared_bytes(&self) -> u32 {
        2 * (self.width + SKEW) * (self.rows_per_cta + if self.backward { 0 } else { FRAGMENT })
    }

    fn start(warps: f64) -> Stage {
        let mut stage = Stage::once("start");
        stage.demand.int32 = 40.0 * warps;
        stage.dependent_instructions = 40.0;
        stage
    }

    /// Weights of a layer, from L2 into shared memory by all threads.
    fn weights(&self, rows: u32, columns: u32) -> Stage {
        let bytes = f64::from(rows) * f64::from(columns) * HALF;
        let mut stage = Stage::once("weights");
        stage.demand.memory = 2.0 * (bytes / 512.0).max(1.0);
        stage.demand.int32 = 10.0 * (bytes / 512.0).max(1.0);
        stage.demand.shared_wavefronts = bytes / 128.0;
        stage.memory_round_trips = 1.0;
        stage.barriers = 1.0;
        stage.streams = vec![shared_weights(bytes, self.weight_bytes())];
        stage
    }

    /// Weights of a hidden layer, from L2 straight into the registers of each warp.
    fn hidden_weights(&self, warps: f64) -> Stage {
        let bytes = f64::from(self.width) * f64::from(self.width) * HALF;
        let mut stage = Stage::once("hidden weights");
        stage.demand.memory = warps * f64::from(self.width / FRAGMENT) * counts::GLOBAL_LOADS;
        stage.demand.int32 = stage.demand.memory;
        stage.demand.l1_wavefronts = stage.demand.memory * counts::COLLIDING_LINES;
        // The last quarter of the weights is asked for late.
        stage.memory_round_trips = 2.0;
        stage.streams = vec![shared_weights(bytes, self.weight_bytes())];
        stage
    }

    fn product(inputs: f64, columns: f64, warps: f64) -> Demand {
        let fragments = inputs / f64::from(FRAGMENT);
        Demand {
            tensor_macs: f64::from(FRAGMENT) * columns * inputs,
            tensor_instructions: warps * fragments * counts::MMA_PER_FRAGMENT,
            ..Demand::default()
        }
    }

    /// Sixteen rows of inputs: fragments straight from memory, read by every warp.
    fn input_layer(&self, inputs: u32, iterations: f64, warps: f64) -> Stage {
        let inputs = f64::from(inputs);
        let fragments = inputs / f64::from(FRAGMENT);
        let mut stage = Stage::once("input layer");
        stage.iterations = iterations;
        let all = warps * fragments;
        let loads = all * counts::GLOBAL_LOADS;
        stage.demand = Demand {
            memory: loads + all * (counts::SHARED_LOADS + counts::TRANSPOSES),
            fp32: all * counts::INPUT_FP32,
            int32: all * counts::INPUT_INT,
            shared_wavefronts: all * counts::FRAGMENT_WAVEFRONTS,
            l1_wavefronts: loads * counts::COLLIDING_LINES,
            fp16x2: warps * counts::RELU,
            ..Self::product(inputs, f64::from(self.width), warps)
        };
        // Each fragment is waited for before the next is asked for.
        stage.memory_round_trips = fragments;
        stage.dependent_tensor = fragments;
        let bytes = f64::from(FRAGMENT) * inputs * HALF;
        // The first warp fetches what the others find in L1.
        let again = Stream {
            label: "inputs again",
            direction: Direction::Read,
            bytes: bytes * (warps - 1.0),
            pattern: Pattern::Repeated { distance_bytes: bytes },
        };
        stage.streams = vec![Stream::streaming("inputs", Direction::Read, bytes), again];
        stage
    }

    /// Sixteen rows of inputs that lie sample by sample: copied into shared memory in vectors by all
    /// warps together, then read as fragments by each.
    fn input_layer_by_row(&self, inputs: u32, iterations: f64, warps: f64) -> Stage {
        let inputs = f64::from(inputs);
        let all = warps * inputs / f64::from(FRAGMENT);
        let bytes = f64::from(FRAGMENT) * inputs * HALF;
        let mut stage = Stage::once("input layer");
        stage.iterations = iterations;
        stage.demand = Demand {
            memory: 2.0 * (bytes / 512.0).max(warps) + all * counts::SHARED_LOADS,
            int32: 8.0 * warps + 2.0 * all,
            shared_wavefronts: bytes / 128.0 + all * counts::FRAGMENT_WAVEFRONTS,
            fp16x2: warps * counts::RELU,
            ..Self::product(inputs, f64::from(self.width), warps)
        };
        stage.memory_round_trips = 1.0;
        stage.shared_round_trips = 1.0;
        stage.barriers = 2.0;
        stage.dependent_tensor = inputs / f64::from(FRAGMENT);
        stage.streams = vec![Stream::streaming("inputs", Direction::Read, bytes)];
        stage
    }

    /// Sixteen rows of a hidden layer.
    fn hidden_layer(&self, iterations: f64, warps: f64) -> Stage {
        let width = f64::from(self.width);
        let fragments = width / f64::from(FRAGMENT);
        let mut stage = Stage::once("hidden layer");
        stage.iterations = iterations;
        stage.demand = Demand {
            memory: warps * fragments * counts::SHARED_LOADS,
            int32: warps * fragments * 2.0,
            shared_wavefronts: warps * fragments * counts::FRAGMENT_WAVEFRONTS,
            fp16x2: warps * counts::RELU,
            ..Self::product(width, width, warps)
        };
        stage.in_flight = 2.0;
        stage.dependent_tensor = fragments;
        stage.shared_round_trips = 1.0;
        stage
    }

    /// Results of a layer into shared memory, between two barriers.
    fn store_activations(warps: f64, iterations: f64) -> Stage {
        let mut stage = Stage::once("store activations");
        stage.demand.memory = warps * iterations * counts::SHARED_STORES;
        stage.demand.shared_wavefronts = warps * iterations * counts::SHARED_STORES;
        stage.barriers = 2.0;
        stage
    }

    /// Activations of a layer between shared memory and DRAM, in vectors.
    fn keep(name: &'static str, bytes: f64, warps: f64, backward: bool) -> Stage {
        let mut stage = Stage::once(name);
        stage.demand.memory = 2.0 * bytes / 512.0;
        stage.demand.int32 = 4.0 * warps;
        stage.demand.shared_wavefronts = bytes / 128.0;
        stage.streams = vec![Stream::streaming("activations", Direction::Write, bytes)];
        if backward {
            // The mask of the ReLU comes from the kept activations, fragment by fragment.
            stage.memory_round_trips = 1.0;
            let loads = bytes / (32.0 * 4.0);
            stage.demand.memory += loads;
            stage.demand.l1_wavefronts = loads * counts::COLLIDING_LINES;
            stage.demand.fp16x2 = 2.0 * loads;
            stage.demand.int32 += 3.0 * loads;
            stage.streams.push(Stream::streaming("activations", Direction::Read, bytes));
        }
        stage
    }

    /// The last layer: each warp takes other rows; results go to feature-major
    /// arrays.
    fn last_layer(&self, outputs: u32, iterations: f64, warps: f64) -> Stage {
        let width = f64::from(self.width);
        let fragments = width / f64::from(FRAGMENT);
        let columns = f64::from(outputs) / f64::from(FRAGMENT);
        let mut stage = Stage::once("last layer");
        stage.iterations = (iterations / warps).ceil().max(1.0);
        let at_once = iterations / stage.iterations;
        let one = Self::product(width, f64::from(outputs), columns);
        stage.demand = Demand {
            memory: at_once
                * columns
                * (fragments * counts::SHARED_LOADS + counts::GLOBAL_STORES + counts::TRANSPOSES),
            int32: at_once * columns * counts::OUTPUT_INT,
            shared_wavefronts: at_once * columns * fragments * counts::FRAGMENT_WAVEFRONTS,
            l1_wavefronts: at_once * columns * counts::GLOBAL_STORES * counts::COLLIDING_LINES,
            tensor_macs: at_once * one.tensor_macs,
            tensor_instructions: at_once * one.tensor_instructions,
            ..Demand::default()
        };
        stage.dependent_tensor = fragments;
        stage.shared_round_trips = 1.0;
        let bytes = at_once * f64::from(FRAGMENT) * f64::from(outputs) * HALF;
        stage.streams = vec![Stream {
            label: "outputs",
            direction: Direction::Write,
            bytes,
            // A store of a fragment covers half a sector of each of four features.
            pattern: Pattern::Strided { used_bytes: 16.0, stride_bytes: 32.0 },
        }];
        stage
    }
}

/// Weights that every CTA reads.
fn shared_weights(bytes: f64, footprint_bytes: f64) -> Stream {
    Stream {
        label: "weights",
        direction: Direction::Read,
        bytes,
        pattern: Pattern::Tiled { footprint_bytes, shared: Shared::All, runs: None },
    }
}

/// Warp instructions of the fragments of a 16 × 16 × 16 product, counted in machine code (`sm_86`) of
/// a kernel of our own with this structure.
mod counts {
    /// Loads of a fragment from a feature-major array or from rows in global memory: four bytes a
    /// thread, 16 bytes of each of eight features (or rows).
    pub const GLOBAL_LOADS: f64 = 4.0;
    /// Lines that one such load (or store) touches. All lie at the same offset, since launches are
    /// padded to 256 samples and rows have 128 bytes, so they collide on L1's banks.
    pub const COLLIDING_LINES: f64 = 8.0;
    /// Transpositions of a fragment of a feature-major array in registers.
    pub const TRANSPOSES: f64 = 4.0;
    /// Other instructions of an input fragment: addresses, worked out anew for each.
    pub const INPUT_FP32: f64 = 9.0;
    /// The rest of them (logic, branches).
    pub const INPUT_INT: f64 = 14.0;
    /// Loads of a fragment from rows in shared memory.
    pub const SHARED_LOADS: f64 = 1.0;
    /// Wavefronts of those.
    pub const FRAGMENT_WAVEFRONTS: f64 = 4.0;
    /// Tensor instructions of a product of fragments.
    pub const MMA_PER_FRAGMENT: f64 = 2.0;
    /// ReLU of a fragment.
    pub const RELU: f64 = 4.0;
    /// Stores of a fragment to rows in shared memory, a wavefront each.
    pub const SHARED_STORES: f64 = 4.0;
    /// Stores of a fragment to a feature-major array.
    pub const GLOBAL_STORES: f64 = 4.0;
    /// Other instructions of an output fragment.
    pub const OUTPUT_INT: f64 = 15.0;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn density(rows_per_cta: u32) -> FusedMlp {
        FusedMlp {
            width: 64,
            hidden_layers: 1,
            inputs: 32,
            outputs: 16,
            samples: 1 << 20,
            rows_per_cta,
            inputs_by_row: false,
            training: false,
            backward: false,
            recorded: None,
        }
    }

    /// Shared memory that recorded launches show for 8, 4 and 2 iterations.
    #[test]
    fn shared_memory_is_that_of_recorded_launches() {
        assert_eq!([128, 64, 32].map(|rows| density(rows).shared_bytes()), [20_736, 11_520, 6_912]);
        assert_eq!(FusedMlp { backward: true, ..density(128) }.shared_bytes(), 18_432);
    }

    #[test]
    fn products_are_those_of_the_layers() {
        for hidden_layers in 1..4 {
            let mlp = FusedMlp { hidden_layers, ..density(128) };
            let kernel = mlp.kernel();
            let macs = kernel.per_cta(|stage| stage.demand.tensor_macs);
            assert_eq!(macs / 128.0, mlp.macs_per_sample());
            let moved: f64 = kernel.per_cta(|stage| {
                let own = stage.streams.iter().filter(|s| ["inputs", "outputs"].contains(&s.label));
                own.map(|stream| stream.bytes).sum()
            });
            assert_eq!(moved / 128.0, 96.0);
        }
    }
}
