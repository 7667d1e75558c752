//! Elementwise kernels, copies, pooling, optimizer steps and random numbers.

use std::sync::LazyLock;

use lumacycle_workloads::ops::{Operation, Streaming};
use lumacycle_workloads::{DType, KernelClass};
use regex::Regex;

use super::strides::folded_dimensions;
use super::{Classified, Known, Launched, dtype_in, volume};
use crate::names::pattern;
use crate::recording::Operator;

static TENSORS: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?:Array|array)<char ?\*, (\d+)"));

/// Elements that one thread of a multi-tensor kernel handles: chunks of 65,536 over 512 threads.
const MULTI_TENSOR_ELEMENTS: f64 = 128.0;

/// Instructions per element.
struct PerElement {
    /// Multiply-adds, of integers too.
    fp32: f64,
    int32: f64,
    control: f64,
    /// Those that wait for each other.
    chain: f64,
}

/// For each dimension, of kernels that work offsets out of strides, beside a multiply-add per
/// operand: quotient by multiplication (its high half at half rate) and shift, remainder, end of the
/// loop. Counted, as the next
/// ones, from machine code of kernels of our own with the structure of PyTorch's (`sm_80`, NVRTC
/// 12.9).
const DIMENSION: PerElement = PerElement { fp32: 3.0, int32: 4.0, control: 1.0, chain: 4.0 };

/// Bounds and, per operand, an address of 64 bits.
const OFFSET: PerElement = PerElement { fp32: 0.0, int32: 1.0, control: 3.0, chain: 6.0 };
const ADDRESS: f64 = 2.0;

/// Instructions that fetch a constant each where arithmetic cannot read them (`sm_90`, the same kernels): sizes and strides of
/// each dimension, beside a stride per operand, and addresses.
const CONSTANTS: (f64, f64) = (0.9, 3.0);

/// For each operand of kernels that convert types as they go: `fetch_and_cast` and `cast_and_store`
/// find the type among a dozen by comparisons and a table of branch targets in constant memory.
const CAST: PerElement = PerElement { fp32: 4.0, int32: 8.0, control: 5.0, chain: 25.0 };

/// Dimensions where strides are not recorded.
const DIMENSIONS: usize = 3;

/// Of a division by a number that the compiler doesn't know, in a loop that keeps its reciprocal,
/// and of a concatenated element otherwise (addresses and the loop).
const DIVISION: PerElement = PerElement { fp32: 6.0, int32: 8.0, control: 0.0, chain: 10.0 };
const CONCATENATION: PerElement = PerElement { fp32: 5.0, int32: 0.0, control: 1.0, chain: 10.0 };

static CONCATENATED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"CatArray\w*<.*?, unsigned (?:int|long)[^,]*, (\d+)"));

/// Kind of a kernel by its name alone.
pub(super) fn class_of(launched: &Launched<'_>) -> KernelClass {
    let has = |words: &[&str]| launched.name_has(words);
    if has(&["multi_tensor_apply", "adam", "Adam", "sgd", "adagrad"]) {
        KernelClass::Optimizer
    } else if has(&["distribution_", "philox", "curand", "random"]) {
        KernelClass::Random
    } else if has(&["copy", "CatArray", "transpose", "permute", "direct_copy"]) {
        KernelClass::Copy
    } else if has(&["pool"]) {
        KernelClass::Pooling
    } else if has(&["elementwise", "triton", "dropout", "cast"]) {
        KernelClass::Elementwise
    } else {
        KernelClass::Unclassified
    }
}

/// Kind of a launch that nothing else could be made of, for the reports.
pub(super) fn rough_class(launched: &Launched<'_>) -> KernelClass {
    let has = |words: &[&str]| launched.name_has(words);
    if has(&["softmax", "SoftMax"]) {
        KernelClass::Softmax
    } else if has(&["bn_fw", "bn_bw", "norm", "Norm"]) {
        KernelClass::Norm
    } else if has(&["flash", "fmha", "attention", "Attn"]) {
        KernelClass::Attention
    } else if has(&["cudnn", "conv", "dgrad", "wgrad", "winograd"]) {
        KernelClass::Convolution
    } else if has(&["gemm", "Gemm", "cutlass", "nvjet"]) {
        KernelClass::Gemm
    } else if has(&["embedding", "index", "gather", "scatter"]) {
        KernelClass::Embedding
    } else if has(&["reduce", "Reduce"]) {
        KernelClass::Reduction
    } else if has(&["Sort", "Scan"]) {
        KernelClass::SortScan
    } else {
        class_of(launched)
    }
}

/// Elements per thread that the kernel's template fixes.
fn per_thread(name: &str) -> Option<f64> {
    if name.contains("vectorized_elementwise_kernel")
        || name.contains("unrolled_elementwise_kernel")
    {
        return Some(4.0);
    }
    let at = name.find("elementwise_kernel<")?;
    let inner = &name[at + "elementwise_kernel<".len()..];
    let second = inner.split(',').nth(1)?.trim();
    second.parse().ok().filter(|n: &f64| *n <= 64.0).or(Some(1.0))
}

/// Shapes broadcast against each other; `None` where they don't fit together, as when the
/// operator is a whole compiled graph.
fn broadcast(operator: &Operator) -> Option<Vec<i64>> {
    let mut out: Vec<i64> = Vec::new();
    for shape in operator.shapes.iter().filter(|shape| !shape.is_empty()) {
        if shape.len() > out.len() {
            let missing = shape.len() - out.len();
            out.splice(0..0, std::iter::repeat_n(1, missing));
        }
        for (out, dim) in out.iter_mut().rev().zip(shape.iter().rev()) {
            match (*out, *dim) {
                (_, 1) => {}
                (1, dim) => *out = dim,
                (out, dim) if out == dim => {}
                _ => return None,
            }
        }
    }
    (!out.is_empty()).then_some(out)
}

/// Bytes read and written according to the operator's arguments, of which a kernel of `tensors`
/// operands has one to write: tensors beyond the others are given to be written to.
fn bytes_of(
    operator: &Operator,
    elements: f64,
    fallback: DType,
    tensors: Option<usize>,
) -> (f64, f64) {
    let name = operator.name.as_ref();
    let dtype_of = |argument: u32| {
        operator
            .types
            .get(argument as usize)
            .and_then(|text| DType::parse(text))
            .unwrap_or(fallback)
    };
    let mut read = 0.0;
    let fills = name.contains("fill_") || name.contains("zero_") || name.contains("arange");
    let given = operator.arguments.iter().zip(&operator.shapes);
    let sources = given
        .filter(|(argument, shape)| {
            let destination = **argument == 0 && name.contains("copy_");
            !(fills || destination || shape.is_empty())
        })
        .take(tensors.map_or(usize::MAX, |tensors| tensors.saturating_sub(1).max(1)));
    for (argument, shape) in sources {
        read += volume(shape) * dtype_of(*argument).bytes();
    }
    // Comparisons write bytes, everything else its first argument's type.
    let compares = ["aten::eq", "aten::ne", "aten::lt", "aten::gt", "aten::le", "aten::ge"];
    let result = match name {
        _ if compares.contains(&name) => DType::Bool,
        // The condition comes first.
        "aten::where" => dtype_of(1),
        _ => dtype_of(0),
    };
    (read, elements * result.bytes())
}

/// Special functions per element that the functor's name gives away.
fn special_functions(name: &str) -> f64 {
    let transcendental = [
        "Gelu", "gelu", "exp", "sigmoid", "tanh", "sin", "cos", "log", "pow", "rsqrt", "sqrt",
        "silu", "div",
    ];
    if transcendental.iter().any(|word| name.contains(word)) { 2.0 } else { 0.0 }
}

/// Whether an elementwise kernel converts its operands as it goes (`needs_dynamic_casting`).
/// Builds since 2.0 name the kernels that don't `gpu_kernel_impl_nocast`; before, four elements a
/// thread of four bytes or more each give the converting one away.
fn casts(name: &str) -> bool {
    let by_lambda = || {
        let four = name.contains("elementwise_kernel<128, 4");
        let narrow = dtype_in(name).is_some_and(|dtype| dtype.bytes() < 4.0);
        four && !narrow || name.contains("{lambda(int)#2}")
    };
    name.contains("WithCast<") || name.contains("gpu_kernel_impl<") && by_lambda()
}

pub(super) fn classify(launched: &Launched<'_>) -> Option<Classified> {
    let name = launched.name;
    let class = match class_of(launched) {
        KernelClass::Unclassified => return None,
        class => class,
    };
    let threads = launched.ctas() as f64 * launched.recorded.launch.threads() as f64;
    if name.contains("multi_tensor_apply") {
        return Some(multi_tensor(launched, threads));
    }
    if name.contains("CatArray") {
        return concatenation(launched);
    }
    if class == KernelClass::Pooling {
        return pooling(launched);
    }
    // What the launch could cover: the last CTA may be partly idle.
    let per_thread = per_thread(name);
    let dtype = dtype_in(name).unwrap_or_else(|| launched.dtype());
    let tensors = TENSORS.captures(name).and_then(|found| found.get(1)?.as_str().parse().ok());
    let by_operator = launched.operator.and_then(|operator| {
        let elements = volume(&broadcast(operator)?);
        let plausible = match per_thread {
            // Older builds give a thread 4 elements, newer ones up to 32, with a CTA or two spare.
            Some(each) => [each, 8.0, 16.0, 32.0].iter().any(|each| {
                let most = threads * each;
                let least = most - 3.0 * launched.recorded.launch.threads() as f64 * each;
                elements > least && elements <= most
            }),
            None => operator.name.starts_with("aten::"),
        };
        let bytes = || bytes_of(operator, elements, dtype, tensors);
        (plausible && elements > 0.0).then(|| (elements, bytes()))
    });
    let (elements, (read, write), known) = match (by_operator, per_thread) {
        (Some((elements, bytes)), _) => (elements, bytes, Known::Kernel),
        (None, Some(each)) => {
            let half_cta = 0.5 * launched.recorded.launch.threads() as f64 * each;
            let elements = (threads * each - half_cta).max(1.0);
            let tensors = tensors.unwrap_or(2) as f64;
            let fills = name.contains("FillFunctor");
            let read = if fills { 0.0 } else { (tensors - 1.0).max(0.0) };
            (elements, (elements * dtype.bytes() * read, elements * dtype.bytes()), Known::Launch)
        }
        (None, None) => return None,
    };
    // Kernels that compute offsets per element (strided or broadcast operands) pay for it.
    let plain = name.contains("elementwise_kernel<") && !name.contains("vectorized");
    let strided = plain && !name.contains("TrivialOffset");
    let casts = plain && casts(name);
    let operands = tensors.unwrap_or(2).max(1) as f64;
    let mut work = PerElement { fp32: 1.0, int32: 2.0, control: 0.0, chain: 10.0 };
    let mut constants = 0.0;
    if strided {
        let folded = launched
            .operator
            .and_then(|operator| folded_dimensions(operator, &broadcast(operator)?))
            .filter(|_| known == Known::Kernel);
        let dimensions = folded.unwrap_or(DIMENSIONS) as f64;
        work.fp32 += (DIMENSION.fp32 + operands) * dimensions;
        work.int32 += DIMENSION.int32 * dimensions + OFFSET.int32 + ADDRESS * operands;
        work.control += DIMENSION.control * dimensions + OFFSET.control;
        work.chain += DIMENSION.chain * dimensions + OFFSET.chain;
        constants = (CONSTANTS.0 + operands) * dimensions + CONSTANTS.1;
    }
    if casts {
        work.fp32 += CAST.fp32 * operands;
        work.int32 += CAST.int32 * operands;
        work.control += CAST.control * operands;
        work.chain += CAST.chain;
    }
    // Word by word, as wide as operands are on average.
    let word = ((read + write) / (elements * operands)).clamp(1.0, 16.0);
    let streaming = Streaming {
        read_bytes: read,
        write_bytes: write,
        flops_per_element: work.fp32,
        sfu_per_element: special_functions(name),
        int_per_element: work.int32,
        control_per_element: work.control,
        constants_per_element: constants,
        chain: work.chain,
        vector_bytes: if plain { word } else { 16.0 },
        // Stores that may alias the next loads, and conversions, wait for each element.
        elements_at_once: if strided || casts { 1.0 } else { 4.0 },
        recorded: Some(launched.recorded),
        ..Streaming::new(class, elements)
    };
    Some(Classified::new(Operation::Streaming(streaming), dtype, known))
}

/// Optimizer steps over lists of tensors: `depth` lists are read, most often one is written.
fn multi_tensor(launched: &Launched<'_>, threads: f64) -> Classified {
    let depth = launched
        .name
        .split("TensorListMetadata<")
        .nth(1)
        .and_then(|rest| rest.split('>').next()?.trim().parse::<f64>().ok())
        .unwrap_or(2.0);
    let dtype = dtype_in(launched.name).unwrap_or(DType::Fp32);
    // Chunks are rarely full: tensors end inside them.
    let elements = threads * MULTI_TENSOR_ELEMENTS * 0.5;
    let streaming = Streaming {
        read_bytes: elements * dtype.bytes() * depth,
        write_bytes: elements * dtype.bytes(),
        flops_per_element: 4.0,
        recorded: Some(launched.recorded),
        ..Streaming::new(KernelClass::Optimizer, elements)
    };
    Classified::new(Operation::Streaming(streaming), dtype, Known::Assumed)
}

fn concatenation(launched: &Launched<'_>) -> Option<Classified> {
    let operator = launched.operator.filter(|operator| !operator.shapes.is_empty())?;
    let elements: f64 =
        operator.shapes.iter().filter(|shape| !shape.is_empty()).map(|shape| volume(shape)).sum();
    let dtype = dtype_in(launched.name).unwrap_or(DType::Fp32);
    // "OpaqueType<2u>" gives the element size when the type is hidden.
    let bytes = launched
        .name
        .split("OpaqueType<")
        .nth(1)
        .and_then(|rest| rest.split('u').next()?.parse::<f64>().ok())
        .unwrap_or(dtype.bytes());
    // An element at a time, its place worked out by a division a dimension but the first; sources
    // that are not contiguous have a place of their own.
    let dimensions = CONCATENATED
        .captures(launched.name)
        .and_then(|found| found.get(1)?.as_str().parse::<f64>().ok())
        .unwrap_or(4.0);
    let places = if launched.name.contains("contig") { 1.0 } else { 2.0 };
    let divisions = places * (dimensions - 1.0).max(0.0);
    let vectors = launched.name.contains("vectorized") || launched.name.contains("alignedK");
    (elements > 0.0).then(|| {
        let streaming = Streaming {
            read_bytes: elements * bytes,
            write_bytes: elements * bytes,
            flops_per_element: CONCATENATION.fp32 + divisions * DIVISION.fp32,
            int_per_element: CONCATENATION.int32 + divisions * DIVISION.int32,
            control_per_element: CONCATENATION.control,
            chain: CONCATENATION.chain + divisions * DIVISION.chain,
            vector_bytes: if vectors { 16.0 } else { bytes },
            elements_at_once: if vectors { 4.0 } else { 1.0 },
            recorded: Some(launched.recorded),
            ..Streaming::new(KernelClass::Copy, elements)
        };
        Classified::new(Operation::Streaming(streaming), dtype, Known::Kernel)
    })
}

/// Pooling: a thread per output, each looking at a window of inputs.
fn pooling(launched: &Launched<'_>) -> Option<Classified> {
    let operator = launched.operator?;
    let largest = operator.shapes.iter().map(|shape| volume(shape)).fold(0.0, f64::max);
    if largest <= 0.0 {
        return None;
    }
    let backward = launched.name.contains("backward");
    let dtype = launched.dtype();
    // Strides of two are the rule: a quarter as many outputs as inputs; the index of each
    // maximum is kept as an int64.
    let outputs = largest / 4.0;
    let index_bytes = if launched.name.contains("max_pool") { 8.0 } else { 0.0 };
    let small = outputs * (dtype.bytes() + index_bytes);
    let large = largest * dtype.bytes();
    let streaming = Streaming {
        read_bytes: if backward { small } else { large },
        write_bytes: if backward { large } else { small },
        flops_per_element: 9.0,
        int_per_element: 30.0,
        recorded: Some(launched.recorded),
        ..Streaming::new(KernelClass::Pooling, largest)
    };
    Some(Classified::new(Operation::Streaming(streaming), dtype, Known::Shape))
}

#[cfg(test)]
mod tests {
    use super::casts;

    #[test]
    fn kernels_that_convert_types_are_told_by_their_names() {
        let unrolled = "void at::native::unrolled_elementwise_kernel<at::native::direct_copy_kernel_cuda, LoadWithCast<1>, StoreWithCast<1>>";
        assert!(casts(unrolled));
        assert!(!casts("unrolled_elementwise_kernel<F, LoadWithoutCast, StoreWithoutCast>"));
        // Since 2.0, and before.
        assert!(casts(
            "elementwise_kernel<128, 4, gpu_kernel_impl<CUDAFunctor_add<float> >::{lambda(int)#1}>"
        ));
        assert!(!casts(
            "elementwise_kernel<128, 4, gpu_kernel_impl_nocast<CUDAFunctor_add<float> >::{lambda(int)#1}>"
        ));
        assert!(!casts(
            "elementwise_kernel<128, 2, gpu_kernel_impl<CUDAFunctor_add<float> >::{lambda(int)#1}>"
        ));
        assert!(!casts(
            "elementwise_kernel<128, 4, gpu_kernel_impl<CUDAFunctor_add<c10::Half> >::{lambda(int)#1}>"
        ));
        assert!(casts(
            "elementwise_kernel<128, 4, gpu_kernel_impl<CUDAFunctor_add<c10::Half> >::{lambda(int)#2}>"
        ));
    }
}
