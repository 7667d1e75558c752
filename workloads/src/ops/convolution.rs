//! Two-dimensional convolution (and one- or three-dimensional ones folded into it) in its three
//! directions, as implicit GEMM, Winograd or direct kernels.
//!
//! The implicit GEMM has the classic correspondence: forward m = n·p·q, n = k, k = c·r·s; data
//! gradient m = n·h·w, n = c, k = k·r·s; weight gradient m = k, n = c·r·s, k = n·p·q. Its
//! operands are read through the convolution's windows, so DRAM sees the tensors once while L2
//! sees every tile. Fused Winograd (F(2×2, 3×3); Lavin and Gray, CVPR 2016) is a product for each of
//! the 16 points of a 4×4 patch, over channels alone, and adds transforms. cuDNN's kernels in C++
//! (`implicit_convolve_sgemm`, `dgrad_engine`, `wgrad_alg0_engine`) keep one step of their operands
//! in shared memory and work out the place of every word. CUTLASS's kernels for channels-last
//! tensors step over the channels of one filter tap at a time. Left out: FFT kernels as such (their parts appear as streaming kernels).

use serde::{Deserialize, Serialize};

use super::gemm::{Math, Tile};
use super::{Candidate, Gemm, Recorded, library};
use crate::kernel::Direction;
use crate::{DType, Kernel, KernelClass, Launch, Raster, Stage, Stream, Target};

/// Which gradient, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ConvDirection {
    Forward,
    DataGradient,
    WeightGradient,
}

/// How it is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConvAlgorithm {
    /// The library chooses.
    Auto,
    /// Implicit GEMM.
    ImplicitGemm,
    /// Fused Winograd F(2×2, 3×3).
    Winograd,
}

/// A convolution. Shapes are those of the forward pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Convolution {
    /// Images.
    pub batch: u64,
    /// Input channels.
    pub in_channels: u64,
    /// Input height × width (× depth).
    pub in_pixels: u64,
    /// Output channels.
    pub out_channels: u64,
    /// Output height × width (× depth).
    pub out_pixels: u64,
    /// Filter height × width (× depth).
    pub filter: u64,
    /// Channel groups; equal to the channels for a depthwise convolution.
    pub groups: u64,
    /// Element type.
    pub dtype: DType,
    /// Direction.
    pub direction: ConvDirection,
    /// Algorithm.
    pub algorithm: ConvAlgorithm,
    /// The tile, where a recording names it.
    #[serde(default)]
    pub tile: Option<Tile>,
    /// Loads single words and works out where each lies, as compiled kernels do; assembly and
    /// kernels with tables of offsets don't.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub word_by_word: bool,
    /// Every step of k lies within the channels of one filter tap (channels-last tensors).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_tap: bool,
    /// The launch, where recorded.
    #[serde(default)]
    pub recorded: Option<Recorded>,
}

impl Convolution {
    /// Two per multiply-add of the direct algorithm.
    pub fn flops(&self) -> f64 {
        let per_output = self.in_channels as f64 / self.groups as f64 * self.filter as f64;
        let outputs = self.batch as f64 * self.out_channels as f64 * self.out_pixels as f64;
        2.0 * outputs * per_output
    }

    fn tensors(&self) -> (f64, f64, f64) {
        let bytes = self.dtype.bytes();
        let (batch, groups) = (self.batch as f64, self.groups as f64);
        let (c, k) = (self.in_channels as f64, self.out_channels as f64);
        (
            batch * c * self.in_pixels as f64 * bytes,
            c / groups * k * self.filter as f64 * bytes,
            batch * k * self.out_pixels as f64 * bytes,
        )
    }

    /// Input, filter and output, once each.
    pub fn compulsory_bytes(&self) -> f64 {
        let (x, w, y) = self.tensors();
        x + w + y
    }

    /// Candidates for a target.
    pub fn lower(&self, target: &Target) -> Vec<Candidate> {
        if self.groups > 1 && self.groups == self.in_channels {
            return vec![self.depthwise(target).into()];
        }
        let multiplies = self.tile.is_none_or(|tile| {
            tile.math == Math::Simt || library::math_for(self.dtype, target) != Math::Simt
        });
        let fits = multiplies && self.recorded.is_none_or(|recorded| recorded.fits(target));
        if let (Some(tile), true) = (self.tile, fits) {
            return vec![self.gemm_kernel(tile, self.recorded).into()];
        }
        let mut candidates = Vec::new();
        for tile in library::tiles(self.dtype, target) {
            candidates.push(self.gemm_kernel(tile, None).into());
            if self.winograd_applies() && tile.math == Math::Simt {
                let winograd = Self { algorithm: ConvAlgorithm::Winograd, ..self.clone() };
                candidates.push(winograd.gemm_kernel(tile, None).into());
            }
        }
        candidates
    }

    fn winograd_applies(&self) -> bool {
        self.filter == 9
            && self.algorithm == ConvAlgorithm::Auto
            && self.direction != ConvDirection::WeightGradient
            // Stride 1: the output has about as many pixels as the input.
            && self.out_pixels * 2 > self.in_pixels
    }

    /// The implicit GEMM of one group.
    fn as_gemm(&self) -> (Gemm, (f64, f64)) {
        let groups = self.groups.max(1);
        let (c, k) = (self.in_channels / groups, self.out_channels / groups);
        let (x, w, y) = self.tensors();
        let pixels_out = self.batch * self.out_pixels;
        let pixels_in = self.batch * self.in_pixels;
        let (m, n, depth, operands) = match self.direction {
            ConvDirection::Forward => (pixels_out, k, c * self.filter, (x, w)),
            // Only the filter taps that a stride leaves meet an input pixel.
            ConvDirection::DataGradient => {
                let taps = self.filter as f64 * self.out_pixels as f64 / self.in_pixels as f64;
                let depth = libm::ceil(k as f64 * taps.min(self.filter as f64));
                (pixels_in, c, depth as u64, (y, w))
            }
            ConvDirection::WeightGradient => (k, c * self.filter, pixels_out, (y, x)),
        };
        let mut gemm = Gemm::new(m, n, depth, self.dtype);
        gemm.batch = groups;
        (gemm, operands)
    }

    /// The products of fused Winograd as one: 16 points are four times the patches (a quarter of
    /// the pixels) by four times the filters, over channels.
    fn as_winograd(&self) -> (Gemm, (f64, f64)) {
        let (mut gemm, operands) = self.as_gemm();
        gemm.n *= 4;
        gemm.k = gemm.k.div_ceil(self.filter.max(1));
        (gemm, operands)
    }

    fn gemm_kernel(&self, tile: Tile, recorded: Option<Recorded>) -> Kernel {
        let winograd = self.algorithm == ConvAlgorithm::Winograd;
        let (mut gemm, operands) = if winograd { self.as_winograd() } else { self.as_gemm() };
        gemm.recorded = recorded;
        if self.by_tap && self.direction == ConvDirection::Forward && !winograd {
            let step = u64::from(tile.k);
            let taps = self.filter.max(1);
            gemm.k = (gemm.k / taps).div_ceil(step) * step * taps;
        }
        if self.word_by_word {
            gemm.vector_bytes = self.dtype.bytes();
        }
        // A recorded grid with more CTAs than tiles was split along k.
        let tiles = gemm.m.div_ceil(tile.m.into()) * gemm.n.div_ceil(tile.n.into()) * gemm.batch;
        let split = recorded.map_or_else(
            || self.default_split(&gemm, tile, tiles),
            |recorded| (recorded.launch.ctas() / tiles.max(1)).clamp(1, 256) as u32,
        );
        // A vector's address and whether it lies inside of the image; word by word, channel and
        // filter tap are divided out of the step (by multiplication), and row and column of the
        // pixel compared with both borders.
        let index = if self.word_by_word { 10.0 } else { 4.0 };
        let mut kernel = gemm.kernel(KernelClass::Convolution, tile, split, operands, index);
        if winograd {
            Self::add_transforms(&mut kernel, tile);
        }
        if self.word_by_word && tile.math == Math::Simt {
            Self::load_words(&mut kernel, tile);
        }
        kernel
    }

    /// Threads of compiled kernels own results that lie a block's width and height apart, so that each
    /// operand of each step comes out of shared memory as a word of its own.
    fn load_words(kernel: &mut Kernel, tile: Tile) {
        let outputs = tile.outputs().max(1.0);
        let rows = libm::exp2(libm::ceil(libm::log2(outputs) / 2.0));
        let words = f64::from(tile.warps.max(1)) * f64::from(tile.k) * (rows + outputs / rows);
        for stage in kernel.stages.iter_mut().filter(|stage| stage.name == "main loop") {
            let vectors = tile.fragment_vectors();
            stage.demand.memory += words - vectors;
            stage.demand.shared_wavefronts += words - 2.0 * vectors;
        }
    }

    /// Weight gradients have few tiles and a very deep k: libraries split it until the tiles
    /// number a few hundred.
    fn default_split(&self, gemm: &Gemm, tile: Tile, tiles: u64) -> u32 {
        if self.direction != ConvDirection::WeightGradient {
            return 1;
        }
        let steps = gemm.k.div_ceil(tile.k.into());
        (256 / tiles.max(1)).clamp(1, (steps / 4).max(1)).min(64) as u32
    }

    /// Transforms of F(2×2, 3×3): 32 additions for each 4×4 patch and channel, 28 for each filter and
    /// channel, 24 for each patch of the result and filter (Lavin and Gray).
    fn add_transforms(kernel: &mut Kernel, tile: Tile) {
        let (patches, filters) = (f64::from(tile.m) / 4.0, f64::from(tile.n) / 4.0);
        for stage in &mut kernel.stages {
            match stage.name {
                "main loop" => {
                    let channel = 32.0 * patches + 28.0 * filters;
                    stage.demand.fp32 += channel * f64::from(tile.k) / 32.0;
                }
                "epilogue" => stage.demand.fp32 += 24.0 * patches * filters / 32.0,
                _ => {}
            }
        }
        kernel.variant = format!("winograd {}", kernel.variant);
    }

    fn depthwise(&self, target: &Target) -> Kernel {
        let (x, w, y) = self.tensors();
        let outputs = (self.batch * self.out_channels * self.out_pixels) as f64;
        let threads = 256_u32;
        let launch = match self.recorded {
            Some(recorded) if recorded.launch.shared_bytes <= target.shared_bytes_per_cta => {
                recorded.launch
            }
            _ => Launch::linear(libm::ceil(outputs / f64::from(threads)) as u64, threads, 32, 0),
        };
        let ctas = launch.ctas() as f64;
        let per_cta = outputs / ctas;
        let mut stage = Stage::once("body");
        let taps = self.filter as f64;
        stage.demand.fp32 = per_cta * taps / 32.0;
        stage.demand.int32 = per_cta * (taps * 3.0 + 20.0) / 32.0;
        stage.demand.memory = per_cta * (taps + 1.0) / 32.0;
        stage.memory_round_trips = 2.0;
        stage.dependent_instructions = taps * 2.0;
        let (read, write) = match self.direction {
            ConvDirection::Forward => (x + w, y),
            ConvDirection::DataGradient => (y + w, x),
            ConvDirection::WeightGradient => (x + y, w),
        };
        stage.streams = vec![
            Stream::streaming("input", Direction::Read, read / ctas),
            Stream::streaming("output", Direction::Write, write / ctas),
        ];
        Kernel {
            class: KernelClass::Convolution,
            variant: "depthwise".to_owned(),
            launch,
            raster: Raster::flat(launch.ctas()),
            tensor: None,
            tensor_from_registers: false,
            stages: vec![stage],
            read_footprint_bytes: read,
            write_footprint_bytes: write,
            then: Vec::new(),
            useful_share: 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_directions_do_the_same_arithmetic() {
        let forward = Convolution {
            in_channels: 64,
            in_pixels: 56 * 56,
            out_channels: 128,
            filter: 9,
            dtype: DType::Fp32,
            ..first_layer()
        };
        for direction in
            [ConvDirection::Forward, ConvDirection::DataGradient, ConvDirection::WeightGradient]
        {
            let conv = Convolution { direction, ..forward.clone() };
            let (gemm, _) = conv.as_gemm();
            let ratio = gemm.flops() / conv.flops();
            assert!((ratio - 1.0).abs() < 1e-9, "{direction:?}: {ratio}");
        }
    }

    fn first_layer() -> Convolution {
        Convolution {
            batch: 8,
            in_channels: 8,
            in_pixels: 224 * 224,
            out_channels: 64,
            out_pixels: 56 * 56,
            filter: 16,
            groups: 1,
            dtype: DType::Fp16,
            direction: ConvDirection::Forward,
            algorithm: ConvAlgorithm::ImplicitGemm,
            tile: None,
            word_by_word: false,
            by_tap: false,
            recorded: None,
        }
    }

    const TILE: Tile = Tile { m: 128, n: 64, k: 32, stages: 4, warps: 4, math: Math::Tensor };

    fn steps(kernel: &Kernel) -> f64 {
        let stage = kernel.stages.iter().find(|stage| stage.name == "main loop");
        stage.map_or(0.0, |stage| stage.iterations)
    }

    #[test]
    fn few_channels_waste_steps_where_each_lies_within_a_filter_tap() {
        let flat = first_layer();
        let by_tap = Convolution { by_tap: true, ..flat.clone() };
        // 8 channels of 16 taps fill four steps of 32; a step for each tap makes 16.
        assert!((steps(&flat.gemm_kernel(TILE, None)) - 4.0).abs() < 1e-9);
        assert!((steps(&by_tap.gemm_kernel(TILE, None)) - 16.0).abs() < 1e-9);
    }

    #[test]
    fn winograd_multiplies_four_ninths_as_often() {
        let tile = Tile { m: 128, n: 128, k: 8, stages: 2, warps: 8, math: Math::Simt };
        let direct = Convolution {
            in_channels: 64,
            in_pixels: 56 * 56,
            filter: 9,
            dtype: DType::Fp32,
            ..first_layer()
        };
        let winograd = Convolution { algorithm: ConvAlgorithm::Winograd, ..direct.clone() };
        let arithmetic = |conv: &Convolution| {
            let kernel = conv.gemm_kernel(tile, None);
            kernel.per_cta(|stage| stage.demand.fp32) * kernel.launch.ctas() as f64
        };
        // The direct tiles are twice as wide as there are filters.
        let ratio = arithmetic(&winograd) / (arithmetic(&direct) / 2.0);
        // Multiplications, and transforms of about an eighth of them and one at the end.
        assert!(ratio > 4.0 / 9.0 && ratio < 1.4 * 4.0 / 9.0, "{ratio}");
    }
}
