//! A fully connected network computed number by number: the reference that hardware is held
//! against. Weights and activations are fp16; products are summed in fp32 from the first input to
//! the last and rounded once per neuron; hidden layers end in a ReLU, the last layer does not.

use half::f16;

/// A network with its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Perceptron {
    /// Inputs and outputs of each layer.
    pub layers: Vec<(usize, usize)>,
    /// Weights of each layer, row by row: one row of inputs for each output.
    pub weights: Vec<Vec<f16>>,
}

impl Perceptron {
    /// A network of these layers whose weights come from `weight`, called with layer, output and
    /// input.
    pub fn new(
        layers: &[(usize, usize)],
        mut weight: impl FnMut(usize, usize, usize) -> f32,
    ) -> Self {
        let weights = layers.iter().enumerate().map(|(layer, &(inputs, outputs))| {
            (0..outputs * inputs)
                .map(|at| f16::from_f32(weight(layer, at / inputs, at % inputs)))
                .collect()
        });
        Self { weights: weights.collect(), layers: layers.to_vec() }
    }

    /// Outputs for inputs; missing inputs count as zero.
    pub fn evaluate(&self, inputs: &[f16]) -> Vec<f16> {
        let mut now = inputs.to_vec();
        for (number, (&(wanted, outputs), weights)) in
            self.layers.iter().zip(&self.weights).enumerate()
        {
            now.resize(wanted, f16::ZERO);
            let hidden = number + 1 < self.layers.len();
            now = (0..outputs)
                .map(|output| {
                    let row = &weights[output * wanted..(output + 1) * wanted];
                    let sum = row.iter().zip(&now).fold(0.0_f32, |sum, (weight, value)| {
                        libm::fmaf(weight.to_f32(), value.to_f32(), sum)
                    });
                    f16::from_f32(if hidden { sum.max(0.0) } else { sum })
                })
                .collect();
        }
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_worked_out_by_hand() {
        // Two inputs, two hidden neurons (sum and difference), one output (their sum).
        let net = Perceptron::new(&[(2, 2), (2, 1)], |layer, output, input| {
            if layer == 0 && output == 1 && input == 1 { -1.0 } else { 1.0 }
        });
        let of = |a: f32, b: f32| net.evaluate(&[f16::from_f32(a), f16::from_f32(b)])[0].to_f32();
        assert_eq!(of(3.0, 1.0), 6.0);
        // The difference is negative and does not count.
        assert_eq!(of(1.0, 3.0), 4.0);
    }
}
