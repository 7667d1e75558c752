//! How many dimensions an elementwise kernel has to tell apart, from the strides of its operands.
//!
//! PyTorch's `TensorIterator` orders dimensions by stride and folds neighbours that all operands
//! step through evenly; what is left is what each element's offset is worked out of, by a
//! division a dimension. Modelled after its documented behaviour; left out: its reordering where
//! operands disagree (the first operand decides here).

use crate::recording::Operator;

/// Dimensions left after folding; `None` where strides were not recorded or don't fit together.
/// An operand that the operator does not list (its result) is laid out as the first one.
pub(super) fn folded_dimensions(operator: &Operator, shape: &[i64]) -> Option<usize> {
    let operands: Vec<Vec<i64>> = operator
        .shapes
        .iter()
        .zip(&operator.strides)
        .filter(|(own, _)| !own.is_empty())
        .map(|(own, strides)| aligned(own, strides, shape))
        .collect::<Option<_>>()?;
    let first = operands.first()?;
    let mut dimensions: Vec<usize> = (0..shape.len()).filter(|&at| shape[at] > 1).collect();
    // The one with the smallest step varies fastest; broadcast ones (step 0) stay where they are.
    dimensions.sort_by_key(|&at| {
        let step = operands.iter().map(|strides| strides[at]).find(|step| *step > 0);
        (step.unwrap_or(0), std::cmp::Reverse(at))
    });
    // The result is dense in that order.
    let mut dense = vec![0; shape.len()];
    let mut step = 1_i64;
    for &at in &dimensions {
        dense[at] = step;
        step = step.saturating_mul(shape[at]);
    }
    let in_place = operator.name.ends_with('_');
    let result = (!in_place && !first.is_empty()).then_some(&dense);
    let folds = |inner: usize, outer: usize| {
        operands
            .iter()
            .chain(result)
            .all(|strides| strides[outer] == strides[inner].saturating_mul(shape[inner]))
    };
    let kept = dimensions.windows(2).filter(|pair| !folds(pair[0], pair[1])).count();
    Some(kept + 1)
}

/// Strides of an operand in the dimensions of the whole; 0 where it is broadcast.
fn aligned(own: &[i64], strides: &[i64], whole: &[i64]) -> Option<Vec<i64>> {
    if own.len() != strides.len() || own.len() > whole.len() {
        return None;
    }
    let mut out = vec![0; whole.len() - own.len()];
    let given = own.iter().zip(strides).zip(&whole[out.len()..]);
    let rest: Vec<i64> =
        given.map(|((dim, step), all)| if *dim == 1 && *all > 1 { 0 } else { *step }).collect();
    out.extend(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dimensions(name: &str, operands: &[(&[i64], &[i64])], shape: &[i64]) -> Option<usize> {
        let operator = Operator {
            name: name.into(),
            shapes: operands.iter().map(|(dims, _)| dims.to_vec()).collect(),
            strides: operands.iter().map(|(_, strides)| strides.to_vec()).collect(),
            arguments: (0..).take(operands.len()).collect(),
            ..Operator::default()
        };
        folded_dimensions(&operator, shape)
    }

    #[test]
    fn dense_operands_fold_into_one_dimension() {
        let dense: (&[i64], &[i64]) = (&[8, 16, 32], &[512, 32, 1]);
        assert_eq!(dimensions("aten::add", &[dense, dense], &[8, 16, 32]), Some(1));
        // All permuted alike: still dense.
        let permuted: (&[i64], &[i64]) = (&[8, 32, 16], &[512, 1, 32]);
        assert_eq!(dimensions("aten::add", &[permuted, permuted], &[8, 32, 16]), Some(1));
    }

    #[test]
    fn broadcast_and_transposed_operands_keep_theirs() {
        let dense: (&[i64], &[i64]) = (&[8, 16, 32], &[512, 32, 1]);
        let bias: (&[i64], &[i64]) = (&[32], &[1]);
        assert_eq!(dimensions("aten::add", &[dense, bias], &[8, 16, 32]), Some(2));
        let middle: (&[i64], &[i64]) = (&[8, 1, 32], &[32, 32, 1]);
        assert_eq!(dimensions("aten::mul", &[dense, middle], &[8, 16, 32]), Some(3));
        let turned: (&[i64], &[i64]) = (&[64, 32], &[1, 64]);
        let straight: (&[i64], &[i64]) = (&[64, 32], &[32, 1]);
        assert_eq!(dimensions("aten::copy_", &[straight, turned], &[64, 32]), Some(2));
    }

    #[test]
    fn without_strides_nothing_is_said() {
        let none: (&[i64], &[i64]) = (&[8, 16], &[]);
        assert_eq!(dimensions("aten::add", &[none], &[8, 16]), None);
        assert_eq!(dimensions("aten::add", &[], &[]), None);
    }
}
