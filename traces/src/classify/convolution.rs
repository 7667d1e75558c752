//! Convolutions and the helpers that a convolution call launches.

use lumacycle_workloads::ops::gemm::{Math, Tile};
use lumacycle_workloads::ops::{
    ConvAlgorithm, ConvDirection, Convolution, Gemm, Operation, Streaming,
};
use lumacycle_workloads::{DType, KernelClass};

use super::{Classified, Known, Launched, size, volume};
use crate::names::{self, NamedKernel};
use crate::recording::Operator;

const MAIN_WORDS: [&str; 8] = [
    "cudnn_",
    "scudnn",
    "implicit_gemm",
    "convolve_sgemm",
    "dgrad",
    "wgrad",
    "fprop",
    "ImplicitGemmConvolution",
];
/// Products that walk the convolution's windows themselves.
const IMPLICIT: [&str; 4] =
    ["implicit_gemm", "implicit_convolve", "ImplicitGemm", "explicit_convolve"];
/// cuDNN's kernels written in C++.
const COMPILED: [&str; 4] = ["convolve_sgemm", "dgrad_engine", "wgrad_alg0", "dgrad2d_alg1"];
const HELPERS: [&str; 12] = [
    "nchwToNhwc",
    "nhwcToNchw",
    "computeOffsets",
    "computeBOffsets",
    "computeWgrad",
    "Offsets",
    "scalePackedTensor",
    "generateWinogradTiles",
    "reduce_wgrad",
    "ReduceSplitK",
    "flip_filter",
    "im2col",
];

pub(super) fn classify(launched: &Launched<'_>) -> Option<Classified> {
    let by_operator = launched.operator_has(&["conv"]);
    let attention = launched.name_has(&["sdpa", "flash", "fmha"]);
    if attention || !by_operator && !launched.name_has(&MAIN_WORDS) {
        return None;
    }
    let call = launched.operator.and_then(|operator| Call::of(operator, launched));
    if launched.name_has(&["winogradForward", "winogradWgrad"]) {
        return call.as_ref().map(|call| winograd_transform(launched, call));
    }
    if launched.name_has(&HELPERS) {
        return helper(launched, call.as_ref());
    }
    if launched.name_has(&["fft2d", "fft1d", "pointwise_mult", "transpose_readWrite"]) {
        return Some(spectral_helper(launched));
    }
    let named = names::parse(launched.name);
    if launched.name_has(&["gemm"]) && by_operator && !launched.name_has(&IMPLICIT) {
        return Some(batched_product(launched, call.as_ref()?, named?));
    }
    let named = named?;
    match call {
        Some(call) => Some(main_kernel(launched, &call, &named)),
        None => unnamed_shape(launched, &named),
    }
}

/// Tensors of a convolution call, in forward terms.
struct Call {
    direction: ConvDirection,
    batch: u64,
    in_channels: u64,
    out_channels: u64,
    in_pixels: u64,
    out_pixels: u64,
    filter: u64,
    groups: u64,
    dtype: DType,
    /// Whether filter and both pixel counts are recorded rather than worked out.
    complete: bool,
}

fn pixels(shape: &[i64]) -> u64 {
    shape.iter().skip(2).fold(1, |all: u64, &dim| all.saturating_mul(size(dim)).min(1 << 40))
}

impl Call {
    fn of(operator: &Operator, launched: &Launched<'_>) -> Option<Self> {
        let name = operator.name.as_ref();
        let dtype = launched.dtype();
        let tensor = |argument| operator.shape(argument).filter(|shape| shape.len() >= 3);
        if operator.name.contains("transpose") {
            return None;
        }
        if name.ends_with("convolution_backward") {
            let (gradient, input, weight) = (tensor(0)?, tensor(1)?, tensor(2)?);
            let direction = if launched.name_has(&["wgrad", "Wgrad", "splitK", "stridedB_splitK"]) {
                ConvDirection::WeightGradient
            } else {
                ConvDirection::DataGradient
            };
            return Some(Self::build(direction, input, weight, Some(gradient), dtype));
        }
        if name.ends_with("convolution_backward_weight") {
            let (gradient, input) = (tensor(1)?, tensor(2)?);
            let mut call = Self::build(
                ConvDirection::WeightGradient,
                input,
                &[gradient[1], input[1], 1, 1],
                Some(gradient),
                dtype,
            );
            call.complete = false;
            return Some(call);
        }
        if name.ends_with("convolution_backward_input") {
            let (gradient, weight) = (tensor(1)?, tensor(2)?);
            // The input's size is an argument that is not recorded: stride 1 is assumed.
            let input = [&[gradient[0], weight[1]], &gradient[2..]].concat();
            let mut call =
                Self::build(ConvDirection::DataGradient, &input, weight, Some(gradient), dtype);
            call.complete = false;
            return Some(call);
        }
        let (input, weight) = (tensor(0)?, tensor(1)?);
        let mut call = Self::build(ConvDirection::Forward, input, weight, None, dtype);
        match strides_and_padding(operator) {
            Some((padding, stride, dilation)) => {
                let output = input.iter().skip(2).zip(weight.iter().skip(2)).enumerate();
                call.out_pixels = output
                    .map(|(i, (&x, &w))| {
                        let pad = padding.get(i).or(padding.first()).copied().unwrap_or(0);
                        let step = stride.get(i).or(stride.first()).copied().unwrap_or(1).max(1);
                        let spread = dilation.get(i).or(dilation.first()).copied().unwrap_or(1);
                        size((x + 2 * pad - spread.max(1) * (w - 1) - 1) / step + 1)
                    })
                    .product();
            }
            None => call.complete = false,
        }
        Some(call)
    }

    fn build(
        direction: ConvDirection,
        input: &[i64],
        weight: &[i64],
        output: Option<&[i64]>,
        dtype: DType,
    ) -> Self {
        let groups = size(input[1]).checked_div(size(weight[1])).unwrap_or(1).max(1);
        Self {
            direction,
            batch: size(input[0]),
            in_channels: size(input[1]),
            out_channels: size(weight[0]),
            in_pixels: pixels(input),
            out_pixels: output.map_or_else(|| pixels(input), pixels),
            filter: pixels(weight),
            groups,
            dtype,
            complete: true,
        }
    }

    fn convolution(&self) -> Convolution {
        Convolution {
            batch: self.batch,
            in_channels: self.in_channels,
            in_pixels: self.in_pixels,
            out_channels: self.out_channels,
            out_pixels: self.out_pixels,
            filter: self.filter,
            groups: self.groups,
            dtype: self.dtype,
            direction: self.direction,
            algorithm: ConvAlgorithm::ImplicitGemm,
            tile: None,
            word_by_word: false,
            by_tap: false,
            recorded: None,
        }
    }

    /// Rows and columns of the implicit GEMM's result.
    fn result(&self) -> (u64, u64) {
        match self.direction {
            ConvDirection::Forward => {
                (self.batch.saturating_mul(self.out_pixels), self.out_channels)
            }
            ConvDirection::DataGradient => {
                (self.batch.saturating_mul(self.in_pixels), self.in_channels)
            }
            ConvDirection::WeightGradient => {
                (self.out_channels, self.in_channels.saturating_mul(self.filter))
            }
        }
    }

    /// Fills in what the call does not record (stride or filter) so that the tiles match the
    /// recorded grid.
    fn complete_from_grid(&mut self, tile: &Tile, grid: [u32; 3]) {
        let [x, y, slices] = grid.map(u64::from);
        let ctas = x * y * slices;
        let tiles = |call: &Self| {
            let (m, n) = call.result();
            let count =
                |a: u32, b: u32| m.div_ceil(a.into()).saturating_mul(n.div_ceil(b.into())).max(1);
            let (one, other) = (count(tile.m, tile.n), count(tile.n, tile.m));
            let distance = |tiles: u64| {
                // Weight gradients are split along k, in z where that is used; else any multiple
                // is as good.
                if call.direction == ConvDirection::WeightGradient && slices > 1 {
                    (x * y).abs_diff(tiles)
                } else if call.direction == ConvDirection::WeightGradient && ctas >= tiles {
                    ctas % tiles
                } else {
                    ctas.abs_diff(tiles)
                }
            };
            distance(one).min(distance(other))
        };
        let mut best = (u64::MAX, self.filter, self.in_pixels, self.out_pixels);
        let options: &[u64] = match self.direction {
            ConvDirection::WeightGradient => &[1, 9, 49, 25, 3, 7, 5],
            _ => &[1, 4, 16, 256],
        };
        for &option in options {
            let mut trial = Self { ..*self };
            match self.direction {
                ConvDirection::Forward => trial.out_pixels = (self.in_pixels / option).max(1),
                ConvDirection::DataGradient => {
                    trial.in_pixels = self.out_pixels.saturating_mul(option);
                }
                ConvDirection::WeightGradient => trial.filter = option,
            }
            let misfit = tiles(&trial);
            if misfit < best.0 {
                best = (misfit, trial.filter, trial.in_pixels, trial.out_pixels);
            }
        }
        (self.filter, self.in_pixels, self.out_pixels) = (best.1, best.2, best.3);
    }
}

/// `padding`, `stride` and `dilation` from the recorded scalar arguments of a forward call.
fn strides_and_padding(operator: &Operator) -> Option<(Vec<i64>, Vec<i64>, Vec<i64>)> {
    let lists: Vec<Vec<i64>> = operator
        .scalars
        .iter()
        .filter(|text| text.starts_with('['))
        .map(|text| {
            let inner = text.trim_matches(|c| c == '[' || c == ']');
            let small = |item: i64| item.clamp(0, 1 << 20);
            inner.split(',').filter_map(|item| item.trim().parse().ok()).map(small).collect()
        })
        .collect();
    // cudnn_convolution(input, weight, padding, stride, …); convolution(…, stride, padding, …).
    let padding_first = operator.name.ends_with("cudnn_convolution");
    match lists.as_slice() {
        [first, second, rest @ ..] => {
            let dilation = rest.first().cloned().unwrap_or_default();
            let (padding, stride) = if padding_first { (first, second) } else { (second, first) };
            Some((padding.clone(), stride.clone(), dilation))
        }
        _ => None,
    }
}

fn main_kernel(launched: &Launched<'_>, call: &Call, named: &NamedKernel) -> Classified {
    let mut call = Call { ..*call };
    let dtype = match (named.dtype, call.dtype) {
        // scudnn names say fp32; some run on 16-bit tensors.
        (DType::Fp32, DType::Fp16 | DType::Bf16) => call.dtype,
        (named, _) => named,
    };
    call.dtype = dtype;
    let winograd = launched.name_has(&["winograd"]);
    if !call.complete && !winograd {
        call.complete_from_grid(&named.tile, launched.recorded.launch.grid);
    } else if call.direction == ConvDirection::WeightGradient && call.filter == 1 && winograd {
        call.filter = 9;
    }
    let (m, n) = call.result();
    let mut tile = named.tile;
    tile.warps = u32::try_from(launched.recorded.launch.warps().clamp(1, 32)).unwrap_or(8);
    let count = |tile: &Tile| m.div_ceil(tile.m.into()).saturating_mul(n.div_ceil(tile.n.into()));
    let turned = Tile { m: tile.n, n: tile.m, ..tile };
    let ctas = launched.ctas();
    if count(&turned).abs_diff(ctas) < count(&tile).abs_diff(ctas) {
        tile = turned;
    }
    let compiled = launched.name_has(&COMPILED);
    let shared = f64::from(launched.recorded.launch.shared_bytes);
    let step_bytes = f64::from((tile.m + tile.n) * tile.k) * dtype.bytes();
    if compiled && shared > 0.0 && shared < 2.0 * step_bytes {
        tile.stages = 1;
    }
    let convolution = Convolution {
        word_by_word: compiled,
        by_tap: launched.name_has(&["nhwc", "NHWC"]) && tile.math != Math::Simt,
        algorithm: if winograd { ConvAlgorithm::Winograd } else { ConvAlgorithm::ImplicitGemm },
        tile: Some(tile),
        recorded: Some(launched.recorded),
        ..call.convolution()
    };
    let known = if call.complete { Known::Kernel } else { Known::Launch };
    Classified::new(Operation::Convolution(convolution), dtype, known)
}

/// A convolution whose shapes are not recorded: output from the grid, depth assumed.
fn unnamed_shape(launched: &Launched<'_>, named: &NamedKernel) -> Option<Classified> {
    let ctas = launched.ctas();
    let tile = named.tile;
    // Typical depth of a 3×3 convolution over 128 channels.
    let mut gemm = Gemm::new(ctas * u64::from(tile.m), u64::from(tile.n), 1152, named.dtype);
    gemm.tile = Some(tile);
    gemm.split_k = Some(1);
    gemm.recorded = Some(launched.recorded);
    let mut found = Classified::new(Operation::Gemm(gemm), named.dtype, Known::Assumed);
    found.class = KernelClass::Convolution;
    (ctas > 0).then_some(found)
}

/// The batched product inside a non-fused Winograd or FFT convolution: one per frequency.
fn batched_product(launched: &Launched<'_>, call: &Call, named: NamedKernel) -> Classified {
    let [x, y, z] = launched.recorded.launch.grid.map(u64::from);
    let complex = launched.name_has(&["cgemm"]);
    let tile = named.tile;
    let (m, n) = (y * u64::from(tile.n), x * u64::from(tile.m));
    // Winograd tiles of 4×4 outputs per image.
    let tiles = call.batch.saturating_mul((call.out_pixels / 16).max(1));
    let k = match call.direction {
        ConvDirection::Forward => call.in_channels,
        ConvDirection::DataGradient => call.out_channels,
        ConvDirection::WeightGradient if complex => call.batch,
        ConvDirection::WeightGradient => tiles,
    };
    // A complex product is four real ones on twice the data.
    let scale = if complex { 2 } else { 1 };
    let mut gemm = Gemm::new(m, n * scale, (k / call.groups).max(1) * scale, named.dtype);
    gemm.batch = z;
    let mut tile = Tile { m: tile.n, n: tile.m * u32::try_from(scale).unwrap_or(1), ..tile };
    tile.warps = u32::try_from(launched.recorded.launch.warps().clamp(1, 32)).unwrap_or(8);
    gemm.tile = Some(tile);
    gemm.split_k = Some(1);
    gemm.recorded = Some(launched.recorded);
    let mut found = Classified::new(Operation::Gemm(gemm), named.dtype, Known::Launch);
    found.class = KernelClass::Convolution;
    found
}

fn streaming(
    launched: &Launched<'_>,
    elements: f64,
    read: f64,
    write: f64,
    flops: f64,
) -> Classified {
    let streaming = Streaming {
        read_bytes: read,
        write_bytes: write,
        flops_per_element: flops,
        int_per_element: 6.0,
        recorded: Some(launched.recorded),
        ..Streaming::new(KernelClass::Convolution, elements.max(1.0))
    };
    Classified::new(Operation::Streaming(streaming), launched.dtype(), Known::Launch)
}

/// Transforms of F(4×4, 3×3): each 4×4 patch of outputs works on 36 values.
fn winograd_transform(launched: &Launched<'_>, call: &Call) -> Classified {
    let bytes = call.dtype.bytes();
    let x = call.batch as f64 * call.in_channels as f64 * call.in_pixels as f64 * bytes;
    let y = call.batch as f64 * call.out_channels as f64 * call.out_pixels as f64 * bytes;
    let w = call.in_channels as f64 * call.out_channels as f64 * bytes;
    let (data, result) = match call.direction {
        ConvDirection::DataGradient => (y, x),
        _ => (x, y),
    };
    let expanded = 36.0 / 16.0;
    let (read, write) = if launched.name_has(&["WgradDelta"]) {
        (y, y * expanded)
    } else if launched.name_has(&["ForwardData", "WgradData"]) {
        (data, data * expanded)
    } else if launched.name_has(&["ForwardFilter"]) {
        (w * 9.0, w * 36.0)
    } else if launched.name_has(&["WgradOutput"]) {
        (w * 36.0, w * 9.0)
    } else {
        (result * expanded, result)
    };
    let elements = read.max(write) / bytes;
    streaming(launched, elements, read, write, 8.0)
}

/// Layout changes, offset tables, scaling and split-K sums beside the main kernel.
fn helper(launched: &Launched<'_>, call: Option<&Call>) -> Option<Classified> {
    let threads = launched.ctas() as f64 * launched.recorded.launch.threads() as f64;
    let bytes = launched.dtype().bytes();
    if launched.name_has(&["ToNhwc", "ToNchw"]) {
        // One CTA turns a patch of 32 pixels and 32 channels. Without shapes, the last patch of pixels
        // counts half.
        let [pixels, channels, images] = launched.recorded.launch.grid.map(f64::from);
        let most = launched.ctas() as f64 * 1024.0;
        let volumes = launched.operator.iter().flat_map(|operator| &operator.shapes);
        let largest = volumes.map(|shape| volume(shape)).fold(0.0, f64::max);
        let elements = if largest > 0.0 {
            most.min(largest)
        } else {
            (pixels * 32.0 - 16.0) * channels * 32.0 * images
        };
        return Some(streaming(launched, elements, elements * bytes, elements * bytes, 0.0));
    }
    if launched.name_has(&["scalePackedTensor"]) {
        let elements = call.map_or(threads, |call| {
            let (m, n) = call.result();
            m as f64 * n as f64
        });
        // With a factor of zero, as before an accumulation, nothing is read.
        return Some(streaming(launched, elements, 0.0, elements * bytes, 1.0));
    }
    if launched.name_has(&["im2col"]) {
        let call = call?;
        let x = call.batch as f64 * call.in_channels as f64 * call.in_pixels as f64 * bytes;
        let columns = x / bytes / call.in_pixels as f64 * (call.filter * call.out_pixels) as f64;
        return Some(streaming(launched, columns, x, columns * bytes, 0.0));
    }
    if launched.name_has(&["reduce_wgrad"]) {
        // Sums of as many parts as the weight gradient was split into, which nothing tells.
        return None;
    }
    // Tables and small sums: a value or two per thread.
    Some(streaming(launched, threads, threads * bytes, threads * bytes, 2.0))
}

/// Forward and inverse transforms of an FFT convolution: a CTA reads its threads' patch and
/// writes the half spectrum as complex numbers.
fn spectral_helper(launched: &Launched<'_>) -> Classified {
    let threads = launched.ctas() as f64 * launched.recorded.launch.threads() as f64;
    let elements = threads * 4.0;
    let (read, write) = if launched.name_has(&["r2c"]) { (4.0, 8.0) } else { (8.0, 4.0) };
    let mut found = streaming(launched, elements, elements * read, elements * write, 10.0);
    found.known = Known::Assumed;
    found
}
