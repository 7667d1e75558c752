//! Gradients of fused attention as FlashAttention 2 works them out: a CTA keeps a tile of keys and
//! values and walks the queries, with five products a turn whose operands all pass shared memory
//! (probabilities and their gradients are written there in between), while gradients of queries add
//! up in fp32 at L2. A pass before sums rows of the result times its gradient, one behind rounds
//! the gradients of queries. Tiles and how warps share them follow the public source (version 2.5);
//! instructions of a turn were counted in it, compiled and disassembled (4 variants). Left out:
//! what grouped heads add up afterwards, and newer versions' kernels.

use super::attention::Attention;
use super::{Candidate, Streaming};
use crate::kernel::{Demand, Direction, Pattern};
use crate::{KernelClass, Stage, Stream, Target};

/// Warps of a CTA.
const WARPS: u32 = 8;
/// Addresses, loop and barriers of a warp in a turn.
const TURN: f64 = 130.0;

/// A tile and how its warps share the products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tile {
    /// Rows of queries in a turn.
    queries: u32,
    /// Keys that the CTA owns.
    keys: u32,
    /// Warps along the queries of scores and their gradients.
    scores_split: u32,
    /// Warps along the keys of their gradients.
    keys_split: u32,
    /// Warps along the queries of their gradients.
    queries_split: u32,
    /// Whether values stay in registers.
    values_held: bool,
}

impl Tile {
    fn of(head_dim: u64, target: &Target) -> Self {
        let large = target.shared_bytes_per_cta >= 144 * 1024;
        let (queries, keys, [scores_split, keys_split, queries_split], values_held) =
            match (head_dim, large) {
                (..=64, true) => (128, 128, [4, 4, 4], false),
                (..=64, false) => (64, 128, [2, 4, 4], true),
                (65..=96, _) => (64, 128, [2, 4, 4], !large),
                (97..=128, true) => (64, 128, [2, 4, 2], false),
                (97..=128, false) => (64, 64, [4, 2, 2], true),
                _ => (64, 64, [4, 2, 2], false),
            };
        Self { queries, keys, scores_split, keys_split, queries_split, values_held }
    }
}

impl Attention {
    /// The kernels of a gradient.
    pub(super) fn backward_candidates(&self, target: &Target) -> Vec<Candidate> {
        let tile = Tile::of(self.head_dim, target);
        let mut main = self.fused(tile.keys, tile.queries, WARPS, target);
        for stage in &mut main.stages {
            if stage.name == "main loop" {
                self.turn(stage, tile, target);
            }
        }
        if self.recorded.is_some() {
            return vec![main.into()];
        }
        let elements = self.q_bytes() / self.dtype.bytes();
        let pass = |read: f64, written: f64| {
            Streaming {
                read_bytes: elements * read,
                write_bytes: elements * written,
                flops_per_element: 2.0,
                ..Streaming::new(KernelClass::Attention, elements)
            }
            .kernel(target)
        };
        let bytes = self.dtype.bytes();
        // Sums of rows, and sums of queries' gradients cleared; those rounded at the end.
        vec![Candidate { kernels: vec![pass(2.0 * bytes, 4.0), main, pass(4.0, bytes)] }]
    }

    /// What a turn asks of the SM.
    fn turn(&self, stage: &mut Stage, tile: Tile, target: &Target) {
        let (m, n, d) = (f64::from(tile.queries), f64::from(tile.keys), self.head_dim as f64);
        let (warps, bytes) = (f64::from(WARPS), self.dtype.bytes());
        let [by_scores, by_keys, by_queries] =
            [tile.scores_split, tile.keys_split, tile.queries_split].map(f64::from);
        // Elements that all warps read: rows of one operand, and their share of the other.
        let of_scores = warps * m / by_scores * d;
        let keys = by_scores * n * d;
        let values = if tile.values_held { 0.0 } else { keys };
        let of_keys = warps * (n / by_keys * m) + by_keys * m * d;
        let of_queries = warps * (m / by_queries * n) + by_queries * n * d;
        let read = (2.0 * of_scores + keys + values + 2.0 * of_keys + of_queries) * bytes;
        // Probabilities and their gradients; queries and gradients of the result.
        let written = 2.0 * m * n * bytes;
        let staged = 2.0 * m * d * bytes;
        let scores = m * n / 32.0;
        let macs = 5.0 * m * n * d;
        stage.demand = Demand {
            // Scale, subtract the row's sum, multiply.
            fp32: scores * 3.0,
            int32: scores + warps * TURN,
            sfu: scores,
            // Gradients of queries are added element by element.
            memory: (read + staged) / 512.0 + written / 128.0 + m * d / 32.0,
            shared_wavefronts: (read + staged + written) / 128.0,
            ..Demand::default()
        };
        stage.demand.int32 += self.masks(n, m, stage.iterations);
        if self.on_tensor_cores(target) {
            stage.demand.tensor_macs = macs;
            stage.demand.tensor_instructions = macs / 2048.0;
        } else {
            stage.demand.fp32 += macs / 32.0;
        }
        // Three barriers a turn keep warps in step: they come to their softmax together.
        stage.in_sequence_warps = 4;
        stage.barriers = 3.0;
        stage.shared_round_trips = 4.0;
        // A query's rows and gradients, and their sums.
        stage.streams.retain(|stream| stream.label == "inner tiles");
        for stream in &mut stage.streams {
            stream.bytes = staged;
        }
        stage.streams.push(Stream {
            label: "dQ",
            direction: Direction::Atomic,
            bytes: m * d * 4.0,
            pattern: Pattern::L2Resident,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{A100, DType};

    #[test]
    fn operands_pass_shared_memory_as_disassembled() {
        let forward = Attention::new([1, 1, 1024, 1024, 64], DType::Fp16);
        let call = Attention { backward: true, ..forward };
        let kernels = call.backward_candidates(&A100).remove(0).kernels;
        assert_eq!(kernels.len(), 3);
        let main = &kernels[1].stages[1];
        // 150 loads of matrices of a warp (4 wavefronts each), 64 stores, 2 copies: 8 warps.
        assert!((5000.0..5800.0).contains(&main.demand.shared_wavefronts));
        assert!((main.demand.tensor_instructions - 8.0 * 320.0).abs() < 1.0);
        assert!((main.iterations - 8.0).abs() < 1e-12);
    }
}
