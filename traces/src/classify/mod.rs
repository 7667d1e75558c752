//! From a recorded launch to work: which operation it is, on which shapes.
//!
//! Two witnesses are heard: the operator with its argument shapes, and the kernel's own name
//! and launch shape. Where they disagree (an operator often launches helpers on other tensors)
//! the launch wins. What neither explains stays unclassified and says so.

mod convolution;
mod elementwise;
mod matrix;
mod other;
mod strides;
#[cfg(test)]
mod tests;

use lumacycle_workloads::ops::{Operation, Recorded, Unknown};
use lumacycle_workloads::{DType, KernelClass};
use serde::{Deserialize, Serialize};

use crate::names;
use crate::recording::{EventKind, Operator, Signature};

/// How much of a launch is known, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// Shapes and implementation (tile or launch) are recorded.
    Kernel,
    /// Shapes are recorded, the implementation is chosen as a library would.
    Shape,
    /// Sizes are worked out from the launch shape and the kernel's name.
    Launch,
    /// Only the launch shape is known; the work is assumed.
    Assumed,
    /// The work was worked out from the recorded duration on the recording GPU: it can be
    /// carried to another GPU, but says nothing about errors.
    Inferred,
    /// Not modelled: the recorded duration is kept.
    Kept,
}

impl Known {
    /// Words for a report.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Kernel => "shape and kernel recorded",
            Self::Shape => "shape recorded, kernel chosen",
            Self::Launch => "size worked out from the launch",
            Self::Assumed => "work assumed from the launch shape",
            Self::Inferred => "work inferred from the recorded duration",
            Self::Kept => "recorded duration kept",
        }
    }
}

/// What a launch turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Classified {
    /// The work; `None` where the recorded duration has to be kept.
    pub operation: Option<Operation>,
    /// Kind of work.
    pub class: KernelClass,
    /// Type that decides the arithmetic rate.
    pub dtype: DType,
    /// How well it is known.
    pub known: Known,
}

impl Classified {
    fn new(operation: Operation, dtype: DType, known: Known) -> Self {
        Self { class: operation.class(), operation: Some(operation), dtype, known }
    }

    fn kept(class: KernelClass) -> Self {
        Self { operation: None, class, dtype: DType::Fp32, known: Known::Kept }
    }
}

/// A kernel launch with what the classifiers look at.
struct Launched<'a> {
    name: &'a str,
    recorded: Recorded,
    operator: Option<&'a Operator>,
}

impl Launched<'_> {
    /// Whether the operator's name contains one of the words.
    fn operator_has(&self, words: &[&str]) -> bool {
        self.operator.is_some_and(|op| words.iter().any(|word| op.name.contains(word)))
    }

    fn name_has(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.name.contains(word))
    }

    fn ctas(&self) -> u64 {
        self.recorded.launch.ctas()
    }

    /// Element type of the operator's first typed tensor, else of the kernel's template.
    fn dtype(&self) -> DType {
        self.operator
            .and_then(|op| op.types.iter().find_map(|text| DType::parse(text)))
            .or_else(|| dtype_in(self.name))
            .unwrap_or(DType::Fp32)
    }
}

/// The first element type that a kernel name's template arguments spell out.
fn dtype_in(name: &str) -> Option<DType> {
    const WORDS: [(&str, DType); 8] = [
        ("bfloat16", DType::Bf16),
        ("BFloat16", DType::Bf16),
        ("Half", DType::Fp16),
        ("__half", DType::Fp16),
        ("double", DType::Fp64),
        ("float", DType::Fp32),
        ("long", DType::Int64),
        ("bool", DType::Bool),
    ];
    WORDS
        .iter()
        .filter_map(|(word, dtype)| name.find(word).map(|at| (at, *dtype)))
        .min_by_key(|(at, _)| *at)
        .map(|(_, dtype)| dtype)
}

/// Classifies one distinct launch of a recording made on `compute_capability` (× 10; 0 = not
/// known).
pub fn classify(signature: &Signature, compute_capability: u32) -> Classified {
    if let Some(work) = &signature.work {
        let dtype = dtype_of(work);
        return Classified::new(work.clone(), dtype, Known::Kernel);
    }
    match signature.kind {
        EventKind::Memcpy | EventKind::Memset => {
            let found = other::transfer(signature);
            if possible(&found) { found } else { Classified::kept(found.class) }
        }
        EventKind::Kernel => {
            if let Some(collective) = other::collective(signature) {
                return collective;
            }
            let Some(launch) = signature.launch else {
                // Without even a launch shape there is nothing to simulate.
                return Classified::kept(KernelClass::Unclassified);
            };
            let name = names::canonical(&signature.name);
            let launched = Launched {
                name: &name,
                recorded: Recorded { launch, compute_capability },
                operator: signature.operator.as_deref().filter(|operator| is_one_call(operator)),
            };
            kernel(&launched)
        }
    }
}

fn dtype_of(work: &Operation) -> DType {
    match work {
        Operation::Gemm(gemm) => gemm.dtype,
        Operation::Convolution(convolution) => convolution.dtype,
        Operation::Attention(attention) => attention.dtype,
        Operation::Rows(rows) => rows.dtype,
        Operation::Reduction(reduction) => reduction.dtype,
        Operation::Embedding(embedding) => embedding.dtype,
        Operation::Traced(traced) => traced.dtype(),
        Operation::FusedMlp(_) | Operation::GridEncoding(_) | Operation::FusedRenderer(_) => {
            DType::Fp16
        }
        _ => DType::Fp32,
    }
}

/// Shapes from a recording may be anything; what cannot be meant is not believed.
fn possible(found: &Classified) -> bool {
    found.operation.as_ref().is_none_or(|operation| operation.validate().is_ok())
}

fn kernel(launched: &Launched<'_>) -> Classified {
    let found = convolution::classify(launched)
        .filter(possible)
        .or_else(|| matrix::attention(launched).filter(possible))
        .or_else(|| matrix::gemm(launched).filter(possible))
        .or_else(|| other::rows(launched).filter(possible))
        .or_else(|| other::gather_and_sort(launched).filter(possible))
        .or_else(|| elementwise::classify(launched).filter(possible))
        .or_else(|| other::reduction(launched).filter(possible));
    found.unwrap_or_else(|| {
        let class = elementwise::rough_class(launched);
        let unknown = Unknown { recorded: launched.recorded, class, scale: 1.0 };
        Classified::new(Operation::Unknown(unknown), launched.dtype(), Known::Assumed)
    })
}

/// Whether an operator's arguments are those of one call: a compiled graph or an autograd
/// bracket has many tensors that a kernel inside it never sees.
fn is_one_call(operator: &Operator) -> bool {
    let brackets = ["Compiled", "autograd::", "ProfilerStep", "Optimizer", "torch_inductor"];
    !brackets.iter().any(|word| operator.name.contains(word))
}

/// Product of dimensions.
fn volume(dims: &[i64]) -> f64 {
    dims.iter().map(|&dim| dim.max(0) as f64).product()
}

/// A dimension as a size of at least one.
fn size(dim: i64) -> u64 {
    // Beyond what any tensor has, so that products of a few stay in range.
    dim.clamp(1, 1 << 31).cast_unsigned()
}
