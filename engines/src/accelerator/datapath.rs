//! What an encoding engine and the MLP engine compute, step by step as the hardware does it:
//! `pos_fract`, `grid_index` with XOR and a mask, words from banks, a tree of interpolation
//! weights, fp16 accumulation; then passes of a MAC array with fp32 accumulators. Held bit for bit
//! against the reference evaluation, so that the model of time cannot be one of other work. With
//! 8-bit features, results differ by at most half a quantisation step of each level; with 8-bit
//! weights, they are those of a network whose weights are rounded to a 127th of the largest of
//! their layer.

use half::f16;
use lumacycle_arch::Accelerator;
use lumacycle_arch::parts::{BankedSram, MacArray};
use lumacycle_workloads::encoding::{Grid, Interpolation, Level, Perceptron};

use super::parts::bank_of;

/// Factors of the coherent-prime hash.
const PRIMES: [u32; 3] = [1, 2_654_435_761, 805_459_861];

/// The memory of one encoding engine, bank by bank.
#[derive(Debug, Clone)]
struct GridSram {
    banks: Vec<Vec<u8>>,
    word_bytes: usize,
    sram: BankedSram,
}

impl GridSram {
    fn load(accelerator: &Accelerator, bytes: &[u8]) -> Self {
        let word_bytes = accelerator.grid_sram.word.bytes() as usize;
        let count = accelerator.grid_sram.banks as usize;
        let mut banks = vec![Vec::new(); count];
        for (number, word) in bytes.chunks(word_bytes).enumerate() {
            // Rows are numbered by the words before them, whichever bank these are in.
            let row = number / count * word_bytes;
            let bank: &mut Vec<u8> = &mut banks[bank_of(&accelerator.grid_sram, number as u64)];
            bank.resize(bank.len().max(row + word_bytes), 0);
            bank[row..row + word.len()].copy_from_slice(word);
        }
        Self { banks, word_bytes, sram: accelerator.grid_sram.clone() }
    }

    /// A byte by its address: word, bank and row come from its bits.
    fn byte(&self, address: usize) -> u8 {
        let (word, offset) = (address / self.word_bytes, address % self.word_bytes);
        let (bank, row) = (bank_of(&self.sram, word as u64), word / self.banks.len());
        self.banks[bank].get(row * self.word_bytes + offset).copied().unwrap_or(0)
    }
}

/// One engine with its level.
#[derive(Debug, Clone)]
struct EncodingEngine {
    level: Level,
    sram: GridSram,
    /// Value of one step of 8-bit features.
    step: f32,
}

/// Engines for all levels of an encoding.
#[derive(Debug, Clone)]
pub struct Encoder {
    grid: Grid,
    feature_bytes: usize,
    engines: Vec<EncodingEngine>,
}

impl Encoder {
    /// Loads tables (as many fp16 features as [`Grid::parameters`] says, level after level).
    pub fn load(accelerator: &Accelerator, grid: &Grid, table: &[f16]) -> Self {
        let features = grid.features as usize;
        let eight = accelerator.policy.feature_bits == 8;
        let engines = grid.tables().into_iter().map(|level| {
            let first = level.first_entry as usize * features;
            let values = table.get(first..first + level.entries as usize * features);
            let values = values.unwrap_or_default();
            let most = values.iter().map(|v| v.to_f32().abs()).fold(0.0, f32::max);
            let step = most / 127.0;
            let bytes: Vec<u8> = if eight {
                let scaled = |v: &f16| if step > 0.0 { v.to_f32() / step } else { 0.0 };
                values.iter().map(|v| libm::roundf(scaled(v)) as i8 as u8).collect()
            } else {
                values.iter().flat_map(|v| v.to_le_bytes()).collect()
            };
            EncodingEngine { level, sram: GridSram::load(accelerator, &bytes), step }
        });
        Self {
            grid: grid.clone(),
            feature_bytes: if eight { 1 } else { 2 },
            engines: engines.collect(),
        }
    }

    /// Half a quantisation step of the coarsest level: how far a feature may be off.
    pub fn tolerance(&self) -> f32 {
        if self.feature_bytes == 2 {
            return 0.0;
        }
        self.engines.iter().map(|engine| engine.step / 2.0).fold(0.0, f32::max)
    }

    /// Features of a position, level after level.
    pub fn encode(&self, position: [f32; 3]) -> Vec<f16> {
        let features = self.grid.features as usize;
        let mut out = Vec::with_capacity(self.engines.len() * features);
        for engine in &self.engines {
            let (cells, fractions) = self.pos_fract(&engine.level, position);
            let weights = self.weights(fractions);
            let mut sums = [f16::ZERO; 8];
            for (corner, weight) in weights.iter().enumerate() {
                let entry = self.grid_index(&engine.level, cells, corner) as usize;
                let weight = f16::from_f32(*weight);
                for (feature, sum) in sums.iter_mut().enumerate().take(features) {
                    let value = self.feature(engine, entry * features + feature);
                    let exact = f64::from(weight) * f64::from(value) + f64::from(*sum);
                    *sum = f16::from_f64(exact);
                }
            }
            out.extend_from_slice(&sums[..features]);
        }
        out
    }

    fn feature(&self, engine: &EncodingEngine, number: usize) -> f16 {
        let at = number * self.feature_bytes;
        if self.feature_bytes == 1 {
            let steps = f32::from(engine.sram.byte(at) as i8);
            return f16::from_f32(steps * engine.step);
        }
        f16::from_le_bytes([engine.sram.byte(at), engine.sram.byte(at + 1)])
    }

    /// Cell and place within it.
    fn pos_fract(&self, level: &Level, position: [f32; 3]) -> ([u32; 3], [f32; 3]) {
        let (mut cells, mut fractions) = ([0; 3], [0.0; 3]);
        for d in 0..self.grid.dims as usize {
            let scaled = libm::fmaf(position[d], level.scale, 0.5);
            let whole = libm::floorf(scaled);
            cells[d] = whole as i32 as u32;
            let t = scaled - whole;
            fractions[d] = match self.grid.interpolation {
                Interpolation::Smoothstep => t * t * (3.0 - 2.0 * t),
                _ => t,
            };
        }
        (cells, fractions)
    }

    /// Entry of a corner: XOR and a mask for hashed levels, strides for dense ones.
    fn grid_index(&self, level: &Level, cells: [u32; 3], corner: usize) -> u32 {
        let at = |d: usize| cells[d].wrapping_add((corner >> d & 1) as u32);
        let dims = self.grid.dims as usize;
        if level.hashed {
            let mut hash = 0;
            for (d, prime) in PRIMES.iter().enumerate().take(dims) {
                hash ^= at(d).wrapping_mul(*prime);
            }
            // Hashed tables are powers of two, so that the modulo is a mask.
            return if level.entries.is_power_of_two() {
                hash & (level.entries - 1)
            } else {
                hash % level.entries
            };
        }
        let (mut index, mut stride) = (0_u32, 1_u64);
        for d in 0..dims {
            if stride > u64::from(level.entries) {
                break;
            }
            index = index.wrapping_add(at(d).wrapping_mul(stride as u32));
            stride *= u64::from(level.resolution);
        }
        if index < level.entries { index } else { index % level.entries }
    }

    /// Weights of all corners: each axis doubles the products of those before it.
    fn weights(&self, fractions: [f32; 3]) -> Vec<f32> {
        if self.grid.interpolation == Interpolation::Nearest {
            return vec![1.0];
        }
        let mut products = vec![1.0_f32];
        for fraction in fractions.iter().take(self.grid.dims as usize) {
            let near = products.iter().map(|product| product * (1.0 - fraction));
            let far = products.iter().map(|product| product * fraction);
            products = near.chain(far).collect();
        }
        products
    }
}

/// The network as an array holds it: with 8-bit weights, rounded to steps of a 127th of the largest
/// of their layer.
pub fn held_weights(array: &MacArray, network: &Perceptron) -> Perceptron {
    if array.weight_bits != 8 {
        return network.clone();
    }
    let rounded = |weights: &Vec<f16>| {
        let most = weights.iter().map(|w| w.to_f32().abs()).fold(0.0, f32::max);
        let step = most / 127.0;
        let held = |w: &f16| {
            let steps = if step > 0.0 { libm::roundf(w.to_f32() / step) } else { 0.0 };
            f16::from_f32(steps * step)
        };
        weights.iter().map(held).collect()
    };
    Perceptron {
        layers: network.layers.clone(),
        weights: network.weights.iter().map(rounded).collect(),
    }
}

/// Computes a network on a MAC array: block after block of outputs, and for each of them block
/// after block of inputs into the same accumulators.
pub fn run_network(array: &MacArray, network: &Perceptron, inputs: &[f16]) -> Vec<f16> {
    let network = &held_weights(array, network);
    let (rows, columns) = (array.rows as usize, array.columns as usize);
    let mut activations = inputs.to_vec();
    for (number, (&(wanted, outputs), weights)) in
        network.layers.iter().zip(&network.weights).enumerate()
    {
        activations.resize(wanted, f16::ZERO);
        let hidden = number + 1 < network.layers.len();
        let mut next = Vec::with_capacity(outputs);
        for first_column in (0..outputs).step_by(columns) {
            let last_column = (first_column + columns).min(outputs);
            let mut accumulators = vec![0.0_f32; last_column - first_column];
            for first_row in (0..wanted).step_by(rows) {
                let last_row = (first_row + rows).min(wanted);
                for (accumulator, column) in accumulators.iter_mut().zip(first_column..) {
                    for row in first_row..last_row {
                        let weight = weights[column * wanted + row].to_f32();
                        *accumulator = libm::fmaf(weight, activations[row].to_f32(), *accumulator);
                    }
                }
            }
            next.extend(
                accumulators
                    .iter()
                    .map(|sum| f16::from_f32(if hidden { sum.max(0.0) } else { *sum })),
            );
        }
        activations = next;
    }
    activations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accelerator::network::layers;
    use lumacycle_arch::Catalog;
    use lumacycle_workloads::apps::{Application, EncodingChoice};
    use lumacycle_workloads::samples::{mix, scattered};

    fn ngpc() -> Accelerator {
        Catalog::embedded().accelerator("ngpc-8").unwrap().accelerator
    }

    /// A value between -1 and 1 that looks random.
    fn value(seed: u64) -> f32 {
        (mix(seed) >> 40) as f32 / 8_388_608.0 - 1.0
    }

    fn table(grid: &Grid) -> Vec<f16> {
        (0..grid.parameters()).map(|i| f16::from_f32(value(i))).collect()
    }

    /// Every application with every encoding: the same bits as the reference.
    #[test]
    fn encoding_and_networks_equal_the_reference_bit_for_bit() {
        let accelerator = ngpc();
        for name in ["nerf", "nsdf", "nvr", "gia"] {
            for choice in [
                EncodingChoice::Hashgrid,
                EncodingChoice::Densegrid,
                EncodingChoice::DensegridLowres,
            ] {
                let app = Application::shipped(name).unwrap().unwrap().with(choice);
                let grid = app.grid(1);
                let table = table(&grid);
                let encoder = Encoder::load(&accelerator, &grid, &table);
                let networks: Vec<Perceptron> = app
                    .networks(1)
                    .iter()
                    .enumerate()
                    .map(|(n, network)| {
                        let layers: Vec<(usize, usize)> = layers(network)
                            .into_iter()
                            .map(|(i, o)| (i as usize, o as usize))
                            .collect();
                        Perceptron::new(&layers, |layer, output, input| {
                            value((n * 7 + layer) as u64 * 65_536 + (output * 256 + input) as u64)
                        })
                    })
                    .collect();
                for i in 0..40 {
                    let position = scattered(i);
                    let ours = encoder.encode(position);
                    assert_eq!(ours, grid.encode(&table, position), "{name} {choice:?} {i}");
                    let mut activations = ours;
                    for network in &networks {
                        let hardware = run_network(&accelerator.mlp, network, &activations);
                        assert_eq!(hardware, network.evaluate(&activations), "{name} {choice:?}");
                        activations = hardware;
                    }
                }
            }
        }
    }

    /// However words are dealt to banks, they come back.
    #[test]
    fn folded_banks_hold_the_same_tables() {
        let mut accelerator = ngpc();
        accelerator.grid_sram.interleave = lumacycle_arch::parts::Interleave::Fold;
        let grid = Application::shipped("gia").unwrap().unwrap().grid(1);
        let table = table(&grid);
        let encoder = Encoder::load(&accelerator, &grid, &table);
        for i in 0..100 {
            assert_eq!(encoder.encode(scattered(i)), grid.encode(&table, scattered(i)));
        }
    }

    #[test]
    fn networks_wider_than_the_array_take_several_passes_to_the_same_result() {
        let network = Perceptron::new(&[(100, 128), (128, 70)], |layer, output, input| {
            value((layer * 100_000 + output * 300 + input) as u64)
        });
        let inputs: Vec<f16> = (0..100).map(|i| f16::from_f32(value(i + 9))).collect();
        assert_eq!(run_network(&ngpc().mlp, &network, &inputs), network.evaluate(&inputs));
    }

    /// Eight-bit weights move an output by what a half step of every weight can move it.
    #[test]
    fn eight_bit_weights_stay_within_their_steps() {
        let network = Perceptron::new(&[(64, 64), (64, 16)], |layer, output, input| {
            value((layer * 100_000 + output * 300 + input) as u64)
        });
        let array = MacArray { weight_bits: 8, ..ngpc().mlp };
        let inputs: Vec<f16> = (0..64).map(|i| f16::from_f32(value(i + 9))).collect();
        let (held, exact) =
            (run_network(&array, &network, &inputs), run_network(&ngpc().mlp, &network, &inputs));
        assert_ne!(held, exact);
        assert_eq!(held, held_weights(&array, &network).evaluate(&inputs));
        // Each layer: half a step (1/254) times the sum of its inputs, carried on by weights below 1.
        let first: f32 = inputs.iter().map(|v| v.to_f32().abs()).sum::<f32>() / 254.0;
        let hidden: f32 = 64.0 * (first + 1.0) * 8.0 / 254.0 + 64.0 * first;
        for (a, b) in held.iter().zip(&exact) {
            assert!((a.to_f32() - b.to_f32()).abs() < hidden, "{a} {b}");
        }
    }

    #[test]
    fn eight_bit_features_are_off_by_half_a_step_at_most() {
        let mut accelerator = ngpc();
        accelerator.policy.feature_bits = 8;
        let grid = Application::shipped("nsdf").unwrap().unwrap().grid(1);
        let table = table(&grid);
        let encoder = Encoder::load(&accelerator, &grid, &table);
        // fp16 sums round as well, by a thousandth of values up to one.
        let tolerance = encoder.tolerance() + 4e-3;
        for i in 0..200 {
            let position = scattered(i);
            for (ours, exact) in encoder.encode(position).iter().zip(grid.encode(&table, position))
            {
                assert!((ours.to_f32() - exact.to_f32()).abs() <= tolerance);
            }
        }
    }
}
