//! What the parts of an accelerator do in time, each by itself: clocks for accesses to a banked
//! memory, for a layer on a MAC array, for data through a channel. Left out: arbitration order
//! within a bank, and refresh or repair of memories.

use lumacycle_arch::parts::{BankedSram, DmaChannel, Interleave, MacArray};

/// Clocks in which a memory serves accesses to these words at once: the fullest bank decides.
/// Accesses to the same word are served together.
pub fn access_cycles(sram: &BankedSram, words: &mut Vec<u64>) -> f64 {
    if words.is_empty() {
        return 0.0;
    }
    words.sort_unstable();
    words.dedup();
    // A few words at a time: counting in a list beats a table of all banks.
    let mut banks: Vec<(usize, u32)> = Vec::with_capacity(words.len());
    let mut fullest = 0;
    for word in words.iter() {
        let bank = bank_of(sram, *word);
        let known = banks.iter().position(|(known, _)| *known == bank);
        let at = known.unwrap_or(banks.len());
        if known.is_none() {
            banks.push((bank, 0));
        }
        banks[at].1 += 1;
        fullest = fullest.max(banks[at].1);
    }
    f64::from(fullest.div_ceil(sram.ports.max(1)))
}

/// The bank that a word lies in.
pub fn bank_of(sram: &BankedSram, word: u64) -> usize {
    let banks = u64::from(sram.banks.max(1));
    let folded = match sram.interleave {
        Interleave::Low => word,
        // Each group of bits as wide as the bank number counts, so that rows and slices of a dense
        // level fall into other banks as well.
        Interleave::Fold => {
            let bits = u64::from(banks.ilog2()).max(1);
            let (mut rest, mut folded) = (word, 0);
            while rest > 0 {
                folded ^= rest & ((1 << bits) - 1);
                rest >>= bits;
            }
            folded
        }
    };
    (folded % banks) as usize
}

/// The tiles of a layer on an array, each as inputs and outputs that a pass uses.
pub fn tiles(array: &MacArray, inputs: u32, outputs: u32) -> Vec<(u32, u32)> {
    let parts = |all: u32, most: u32| {
        let most = most.max(1);
        (0..all.div_ceil(most)).map(move |part| most.min(all - part * most))
    };
    parts(inputs, array.rows)
        .flat_map(|rows| parts(outputs, array.columns).map(move |columns| (rows, columns)))
        .collect()
}

/// Bytes that a memory moves in a clock when all banks are asked.
pub fn bytes_per_clock(sram: &BankedSram) -> f64 {
    f64::from(sram.banks) * f64::from(sram.ports) * sram.word.bytes()
}

/// Clocks of one pass for `samples` that stream through. One sample enters per clock and array, or
/// as many as the activation memory (one for each array) reads and writes. The next pass of the same
/// samples cannot start before the first of them has come out, nor before its weights are there;
/// these are loaded during the pass before, or between passes.
pub fn pass_cycles(
    array: &MacArray,
    (rows, columns): (u32, u32),
    samples: f64,
    activations: &BankedSram,
    weights: &BankedSram,
) -> f64 {
    let (rows, columns) = (f64::from(rows), f64::from(columns));
    let each = (2.0 * (rows + columns) / bytes_per_clock(activations)).max(1.0);
    let weight_bytes = f64::from(array.weight_bits) / 8.0;
    let load = weight_bytes * rows * columns / bytes_per_clock(weights);
    let stream = (samples / f64::from(array.arrays) * each).max(rows + columns);
    if array.preloads_weights { stream.max(load) } else { stream + load }
}

/// Clocks per request of `request_bytes` on a channel that keeps so many under way.
pub fn request_cycles(channel: &DmaChannel, request_bytes: f64, latency_cycles: f64) -> f64 {
    (request_bytes / channel.bytes_per_clock).max(latency_cycles / channel.outstanding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumacycle_arch::Catalog;
    use proptest::prelude::*;

    fn ngpc() -> lumacycle_arch::Accelerator {
        Catalog::embedded().accelerator("ngpc-64").unwrap().accelerator
    }

    #[test]
    fn words_in_one_bank_wait_for_each_other() {
        let sram =
            BankedSram { banks: 8, ports: 1, interleave: Interleave::Low, ..ngpc().grid_sram };
        let cycles = |words: &[u64]| access_cycles(&sram, &mut words.to_vec());
        assert_eq!(cycles(&[0, 1, 2, 3, 4, 5, 6, 7]), 1.0);
        assert_eq!(cycles(&[0, 8, 16, 3]), 3.0);
        assert_eq!(cycles(&[5, 5, 5, 5]), 1.0);
        assert_eq!(cycles(&[]), 0.0);
        let two = BankedSram { ports: 2, ..sram };
        assert_eq!(access_cycles(&two, &mut vec![0, 8, 16]), 2.0);
    }

    /// The eight corners of a cell of a dense level of 16 x 16 x 16.
    #[test]
    fn folding_keeps_the_corners_of_a_dense_cell_apart() {
        let corners: Vec<u64> = [0, 1, 16, 17, 256, 257, 272, 273].map(|at| at + 5).to_vec();
        let cycles = |interleave| {
            let sram = BankedSram { interleave, ..ngpc().grid_sram };
            access_cycles(&sram, &mut corners.clone())
        };
        assert_eq!(cycles(Interleave::Low), 4.0);
        assert!(cycles(Interleave::Fold) <= 2.0);
    }

    #[test]
    fn a_layer_of_the_size_of_the_array_is_one_pass() {
        let ngpc = ngpc();
        assert_eq!(tiles(&ngpc.mlp, 64, 64), [(64, 64)]);
        assert_eq!(tiles(&ngpc.mlp, 32, 16), [(32, 16)]);
        assert_eq!(tiles(&ngpc.mlp, 65, 64), [(64, 64), (1, 64)]);
        assert_eq!(tiles(&ngpc.mlp, 128, 128).len(), 4);
        let cycles = |samples, activations: &BankedSram| {
            pass_cycles(&ngpc.mlp, (64, 64), samples, activations, &ngpc.weight_sram)
        };
        assert_eq!(cycles(512.0, &ngpc.activation_sram), 512.0);
        // Few samples leave the array empty while they pass.
        assert_eq!(cycles(1.0, &ngpc.activation_sram), 128.0);
        // A memory of half the width halves the rate.
        let narrow = BankedSram { ports: 1, ..ngpc.activation_sram.clone() };
        assert_eq!(cycles(512.0, &narrow), 1024.0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn more_banks_or_ports_never_take_longer(
            words in prop::collection::vec(0_u64..4096, 0..32), banks in 0_u32..6, ports in 1_u32..4
        ) {
            // Doubling keeps words that were apart apart.
            let of = |banks: u32, ports: u32| {
                let sram = BankedSram { banks, ports, interleave: Interleave::Low, ..ngpc().grid_sram };
                access_cycles(&sram, &mut words.clone())
            };
            prop_assert!(of(2 << banks, ports) <= of(1 << banks, ports));
            prop_assert!(of(1 << banks, ports + 1) <= of(1 << banks, ports));
            prop_assert!(of(1 << banks, ports) <= words.len() as f64);
        }
    }
}
