//! Running a graph of pieces of work on one clock, with contention.
//!
//! A piece starts when all its predecessors have ended and the recorded lag after each has
//! passed. Pieces that run together share SMs, L2, DRAM and links by max-min fairness; their
//! speeds change only when one starts or ends. Time is in integer picoseconds; equal times are
//! ordered by piece number.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use lumacycle_engines::cost::SharedUse;
use lumacycle_engines::memory::fair_share;
use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

/// A piece of work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Piece {
    /// Duration when nothing else runs, in picoseconds.
    pub alone_ps: i64,
    /// Shares of what others may want too; zero for work whose duration is given.
    pub shared: SharedUse,
    /// Device: only work on the same one contends.
    pub device: i32,
    /// Earliest start, in picoseconds; only matters for pieces without predecessors.
    pub not_before_ps: i64,
}

/// Pieces and lags in picoseconds: an edge says "starts no earlier than this long after the
/// end of".
pub type WorkGraph = DiGraph<Piece, i64>;

/// When a piece ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ran {
    /// Start, in picoseconds.
    pub start_ps: i64,
    /// End.
    pub end_ps: i64,
}

/// No piece runs longer than this (twelve days), so that sums of times cannot overflow.
const LONGEST_PS: i64 = 1_000_000_000_000_000_000;

struct Running {
    node: NodeIndex,
    /// Picoseconds of lone running left.
    left: f64,
    speed: f64,
    uses: [f64; 5],
    device: i32,
}

/// Runs the graph; entry `i` of the result belongs to node `i`. Pieces on a cycle never start
/// and keep the default.
pub fn run(graph: &WorkGraph) -> Vec<Ran> {
    let mut ran = vec![Ran::default(); graph.node_count()];
    let mut waiting: Vec<usize> = graph
        .node_indices()
        .map(|node| graph.edges_directed(node, Direction::Incoming).count())
        .collect();
    let mut ready_at: Vec<i64> = graph.node_weights().map(|piece| piece.not_before_ps).collect();
    let mut queue: BinaryHeap<Reverse<(i64, usize)>> = graph
        .node_indices()
        .filter(|node| waiting[node.index()] == 0)
        .map(|node| Reverse((ready_at[node.index()], node.index())))
        .collect();
    let mut running: Vec<Running> = Vec::new();
    let mut now = 0_i64;
    loop {
        let ending = running.iter().map(|piece| now.saturating_add(until_done(piece))).min();
        let starting = queue.peek().map(|Reverse((at, _))| (*at).max(now));
        let next = match (ending, starting) {
            (None, None) => break,
            (Some(end), Some(start)) => end.min(start),
            (Some(only), None) | (None, Some(only)) => only,
        };
        if next == i64::MAX {
            // Beyond the end of time; what still runs ends there.
            break;
        }
        let elapsed = (next - now) as f64;
        for piece in &mut running {
            piece.left -= elapsed * piece.speed;
        }
        now = next;
        let mut changed = false;
        running.retain(|piece| {
            // Less than half a picosecond left is done.
            if piece.left > 0.5 {
                return true;
            }
            changed = true;
            ran[piece.node.index()].end_ps = now;
            for edge in graph.edges_directed(piece.node, Direction::Outgoing) {
                let target = edge.target().index();
                ready_at[target] = ready_at[target].max(now.saturating_add(*edge.weight()));
                waiting[target] -= 1;
                if waiting[target] == 0 {
                    queue.push(Reverse((ready_at[target], target)));
                }
            }
            false
        });
        while let Some(&Reverse((at, node))) = queue.peek() {
            if at > now {
                break;
            }
            queue.pop();
            let node = NodeIndex::new(node);
            let piece = graph[node];
            ran[node.index()].start_ps = now;
            running.push(Running {
                node,
                left: piece.alone_ps.clamp(0, LONGEST_PS) as f64,
                speed: 1.0,
                uses: piece.shared.as_array(),
                device: piece.device,
            });
            changed = true;
        }
        if changed {
            share(&mut running);
        }
    }
    ran
}

fn until_done(piece: &Running) -> i64 {
    (piece.left.max(0.0) / piece.speed).ceil() as i64
}

fn share(running: &mut [Running]) {
    if let [only] = running {
        only.speed = 1.0;
        return;
    }
    let mut devices: Vec<i32> = running.iter().map(|piece| piece.device).collect();
    devices.sort_unstable();
    devices.dedup();
    for device in devices {
        let here = || running.iter().filter(|piece| piece.device == device);
        let uses: Vec<[f64; 5]> = here().map(|piece| piece.uses).collect();
        let speeds = fair_share::speeds(&uses);
        let mine = running.iter_mut().filter(|piece| piece.device == device);
        for (piece, speed) in mine.zip(speeds) {
            // Work of a given duration uses nothing and is never slowed.
            piece.speed = if piece.uses.iter().all(|u| *u <= 0.0) { 1.0 } else { speed };
        }
    }
}

/// Length of the union of intervals, in picoseconds.
pub fn busy_ps(mut intervals: Vec<(i64, i64)>) -> i64 {
    intervals.sort_unstable();
    let (mut total, mut covered) = (0, i64::MIN);
    for (start, end) in intervals {
        let start = start.max(covered);
        if end > start {
            total += end - start;
            covered = end;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn piece(alone_ps: i64, dram: f64) -> Piece {
        let shared = SharedUse { dram, ..SharedUse::default() };
        Piece { alone_ps, shared, device: 0, not_before_ps: 0 }
    }

    #[test]
    fn chains_add_up_with_their_lags() {
        let mut graph = WorkGraph::new();
        let a = graph.add_node(piece(100, 1.0));
        let b = graph.add_node(piece(50, 1.0));
        graph.add_edge(a, b, 7);
        assert_eq!(run(&graph)[1], Ran { start_ps: 107, end_ps: 157 });
    }

    #[test]
    fn contention_stretches_both() {
        let mut graph = WorkGraph::new();
        graph.add_node(piece(100, 1.0));
        graph.add_node(piece(100, 1.0));
        let ran = run(&graph);
        assert_eq!((ran[0].end_ps, ran[1].end_ps), (200, 200));
        // What is left over runs alone again.
        graph[NodeIndex::new(1)] = piece(50, 1.0);
        let ran = run(&graph);
        assert_eq!((ran[0].end_ps, ran[1].end_ps), (150, 100));
    }

    #[test]
    fn the_union_counts_overlap_once() {
        assert_eq!(busy_ps(vec![(0, 10), (5, 20), (30, 31), (2, 3)]), 21);
    }

    proptest! {
        #[test]
        fn nothing_ends_before_it_could(
            pieces in prop::collection::vec((1i64..1000, 0.0f64..1.0, 0usize..8), 1..24)
        ) {
            let mut graph = WorkGraph::new();
            for (i, (alone, dram, back)) in pieces.iter().enumerate() {
                let node = graph.add_node(piece(*alone, *dram));
                if *back > 0 && i >= *back {
                    graph.add_edge(NodeIndex::new(i - back), node, 3);
                }
            }
            let ran = run(&graph);
            for (i, (alone, _, back)) in pieces.iter().enumerate() {
                prop_assert!(ran[i].end_ps - ran[i].start_ps >= *alone);
                if *back > 0 && i >= *back {
                    prop_assert!(ran[i].start_ps >= ran[i - back].end_ps + 3);
                }
            }
        }
    }
}
