//! Basis and colour network: 144 appearance products to 27 features, which with the direction and
//! two octaves of both (150 numbers) pass two hidden layers of 128. Weights of synthetic fields are
//! drawn from a seed; they give smooth colours, not those of anything.

use glam::Vec3;

use super::{APPEARANCE, FEATURES, HIDDEN, INPUTS, MODES};
use crate::samples::mix;

/// Weights, row by row of outputs, and biases.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// 27 × 144.
    pub basis: Vec<f32>,
    /// 128 × 150, 128 × 128, 3 × 128.
    pub weights: [Vec<f32>; 3],
    /// 128, 128, 3.
    pub biases: [Vec<f32>; 3],
}

impl Network {
    /// Weights drawn from a seed.
    pub fn drawn(seed: u64) -> Self {
        let matrix = |salt: u64, outputs: usize, inputs: usize, gain: f32| -> Vec<f32> {
            // Uniform with the variance that keeps the size of activations.
            let bound = gain * libm::sqrtf(6.0 / inputs as f32);
            (0..outputs * inputs)
                .map(|i| {
                    let bits = mix(mix(seed ^ salt << 48).wrapping_add(i as u64)) >> 40;
                    (bits as f32 / 8_388_608.0 - 1.0) * bound
                })
                .collect()
        };
        Self {
            basis: matrix(1, FEATURES, MODES * APPEARANCE, 1.0),
            weights: [
                matrix(2, HIDDEN, INPUTS, 1.0),
                matrix(3, HIDDEN, HIDDEN, 1.0),
                matrix(4, 3, HIDDEN, 1.0),
            ],
            biases: [vec![0.0; HIDDEN], vec![0.0; HIDDEN], vec![0.0; 3]],
        }
    }

    /// Colour of appearance products seen along a direction.
    pub fn colour(&self, products: &[f32; MODES * APPEARANCE], direction: Vec3) -> Vec3 {
        let mut features = [0.0; FEATURES];
        multiply(&self.basis, products, &mut features);
        let mut inputs = [0.0; INPUTS];
        inputs[..FEATURES].copy_from_slice(&features);
        inputs[FEATURES..FEATURES + 3].copy_from_slice(&direction.to_array());
        let mut at = FEATURES + 3;
        for of in [&features[..], &direction.to_array()[..]] {
            let (sines, cosines) = (at, at + 2 * of.len());
            for (i, value) in of.iter().enumerate() {
                for octave in 0..2 {
                    let angle = value * (1 << octave) as f32;
                    inputs[sines + 2 * i + octave] = libm::sinf(angle);
                    inputs[cosines + 2 * i + octave] = libm::cosf(angle);
                }
            }
            at += 4 * of.len();
        }
        let (mut one, mut two, mut out) = ([0.0; HIDDEN], [0.0; HIDDEN], [0.0; 3]);
        one.copy_from_slice(&self.biases[0]);
        multiply(&self.weights[0], &inputs, &mut one);
        for v in &mut one {
            *v = v.max(0.0);
        }
        two.copy_from_slice(&self.biases[1]);
        multiply(&self.weights[1], &one, &mut two);
        for v in &mut two {
            *v = v.max(0.0);
        }
        out.copy_from_slice(&self.biases[2]);
        multiply(&self.weights[2], &two, &mut out);
        Vec3::from(out.map(|v| 1.0 / (1.0 + libm::expf(-v))))
    }
}

/// Adds a matrix times a vector to a vector.
fn multiply(matrix: &[f32], vector: &[f32], out: &mut [f32]) {
    for (out, row) in out.iter_mut().zip(matrix.chunks_exact(vector.len())) {
        // Four sums side by side, always in the same order, so that the compiler may use lanes.
        let mut sums = [0.0_f32; 4];
        let (rows, vectors) = (row.chunks_exact(4), vector.chunks_exact(4));
        let rest: f32 = rows.remainder().iter().zip(vectors.remainder()).map(|(a, b)| a * b).sum();
        for (a, b) in rows.zip(vectors) {
            for lane in 0..4 {
                sums[lane] += a[lane] * b[lane];
            }
        }
        *out += sums.iter().sum::<f32>() + rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_matrices() {
        let mut out = [1.0, 0.0];
        multiply(
            &[1.0, 2.0, 3.0, 4.0, 5.0, 0.5, 0.0, 0.0, 0.0, 2.0],
            &[1.0, 1.0, 1.0, 1.0, 2.0],
            &mut out,
        );
        assert_eq!(out, [21.0, 4.5]);
    }

    #[test]
    fn colours_are_colours_and_differ() {
        let network = Network::drawn(7);
        let (mut a, mut b) = ([0.0; 144], [0.1; 144]);
        a[3] = 1.0;
        b[100] = -1.0;
        let (a, b) = (network.colour(&a, Vec3::X), network.colour(&b, Vec3::X));
        assert!(a.min_element() >= 0.0 && a.max_element() <= 1.0);
        assert!((a - b).abs().max_element() > 1e-3);
        assert_eq!(network, Network::drawn(7));
    }
}
