//! From events to a graph: stream order, and the distance to whatever ended last before.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use lumacycle_engines::cost::SharedUse;
use lumacycle_traces::Recording;
use petgraph::graph::NodeIndex;

use super::Priced;
use crate::schedule::{Piece, WorkGraph};

/// Durations in effect: an event that the clock's resolution lets overlap its successor on the
/// same stream ends where that one starts.
pub(super) fn effective_durations(recording: &Recording) -> Vec<i64> {
    let mut durations: Vec<i64> = recording.events.iter().map(|e| e.duration_ps).collect();
    let mut last: BTreeMap<(i32, u32), usize> = BTreeMap::new();
    for (index, event) in recording.events.iter().enumerate() {
        if let Some(before) = last.insert((event.device, event.stream), index) {
            let most = event.start_ps - recording.events[before].start_ps;
            durations[before] = durations[before].min(most.max(0));
        }
    }
    durations
}

/// Builds the graph; node `i` is event `i`.
pub(super) fn build(recording: &Recording, priced: &[Option<Priced>]) -> WorkGraph {
    let durations = effective_durations(recording);
    let mut graph = WorkGraph::with_capacity(recording.events.len(), 2 * recording.events.len());
    let mut last_of_stream: BTreeMap<(i32, u32), NodeIndex> = BTreeMap::new();
    // Events still open at the current start, by end; and the one that ended last.
    let mut open: BinaryHeap<Reverse<(i64, usize)>> = BinaryHeap::new();
    let mut last_ended: Option<(i64, usize)> = None;
    for (index, event) in recording.events.iter().enumerate() {
        let piece = priced[event.signature as usize].as_ref();
        let (alone_ps, shared) = match piece.and_then(|p| p.time_ns().zip(p.cost.as_ref())) {
            Some((time_ns, cost)) => ((time_ns * 1e3).round() as i64, cost.shared_use),
            None => (durations[index], SharedUse::default()),
        };
        let node =
            graph.add_node(Piece { alone_ps, shared, device: event.device, not_before_ps: 0 });
        while let Some(&Reverse((end, ended))) = open.peek() {
            if end > event.start_ps {
                break;
            }
            open.pop();
            last_ended = Some((end, ended));
        }
        let stream = (event.device, event.stream);
        let before = last_of_stream.insert(stream, node);
        match last_ended {
            Some((end, ended)) => {
                graph.add_edge(NodeIndex::new(ended), node, event.start_ps - end);
            }
            None => graph[node].not_before_ps = event.start_ps,
        }
        if let Some(before) = before
            && last_ended.is_none_or(|(_, ended)| ended != before.index())
        {
            graph.add_edge(before, node, 0);
        }
        open.push(Reverse((event.start_ps + durations[index], index)));
    }
    graph
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule;
    use lumacycle_traces::Event;
    use proptest::prelude::*;

    proptest! {
        /// With the recorded durations every event runs when it ran.
        #[test]
        fn recorded_durations_reproduce_the_recording(
            raw in prop::collection::vec((0i64..50_000, 1i64..5_000, 0u32..4), 1..60)
        ) {
            let mut recording = Recording::default();
            recording.events = raw
                .iter()
                .map(|&(start_ps, duration_ps, stream)| Event {
                    signature: 0, stream, device: 0, start_ps, duration_ps, launched_ps: None,
                })
                .collect();
            recording.events.sort_by_key(|event| (event.start_ps, event.stream));
            let durations = effective_durations(&recording);
            let graph = build(&recording, &[None]);
            let ran = schedule::run(&graph);
            for ((event, duration), ran) in recording.events.iter().zip(&durations).zip(&ran) {
                prop_assert_eq!(ran.start_ps, event.start_ps);
                prop_assert_eq!(ran.end_ps, event.start_ps + duration);
            }
        }
    }
}
