//! The pieces of a frame in time: stretches of GPU kernels and visits to the accelerator, batch after
//! batch, and what each of them waits for. Each engine takes its pieces in order; with contention
//! they share L2 and DRAM by max-min fairness (see [`crate::schedule`]).

use lumacycle_engines::accelerator::{QueryCost, Unit};
use lumacycle_engines::cost::SharedUse;
use petgraph::graph::NodeIndex;

use crate::frame::{GpuFrame, Priced};
use crate::schedule::{Piece, Ran, WorkGraph};
use crate::span::Span;

/// Work of the GPU between two visits to the accelerator.
#[derive(Debug, Clone, Default)]
pub(super) struct Stretch {
    /// Kernels and their time, in ns, launch costs included.
    pub kernels: f64,
    pub time_ns: f64,
    pub shared: SharedUse,
    /// Resident warps over the most there could be, as a mean over the time.
    pub occupancy: f64,
    pub energy_pj: f64,
}

impl Stretch {
    pub fn add(&mut self, times: f64, priced: &Priced) {
        let ns = times * priced.time_ns();
        let all = (self.time_ns + ns).max(f64::MIN_POSITIVE);
        let mix = |a: f64, b: f64| (a * self.time_ns + b * ns) / all;
        self.shared = SharedUse {
            sm: mix(self.shared.sm, priced.shared.sm),
            l2: mix(self.shared.l2, priced.shared.l2),
            dram: mix(self.shared.dram, priced.shared.dram),
            ..SharedUse::default()
        };
        self.occupancy = mix(self.occupancy, priced.occupancy());
        self.kernels += times * priced.kernels.len() as f64;
        self.time_ns += ns;
        let energy: f64 = priced.kernels.iter().map(|kernel| kernel.energy.total_pj()).sum();
        self.energy_pj += times * energy;
    }
}

/// The pieces of a frame with what each waits for.
pub(super) struct Timeline {
    pub graph: WorkGraph,
    overlaps: bool,
    contention: bool,
    /// Last piece of each engine.
    gpu: Option<NodeIndex>,
    accelerator: Option<NodeIndex>,
    /// All visits to the accelerator.
    pub visits: Vec<NodeIndex>,
    /// Batches of the last visit, in order.
    answers: Vec<NodeIndex>,
    pub gpu_ns: f64,
    launch_ns: f64,
    gap_ns: f64,
    wait_ps: i64,
    /// What each piece is, where somebody wants to see it.
    seen: Option<Seen>,
}

/// What pieces are.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Pieces on the GPU: their use, occupancy and power.
    kernels: Vec<(NodeIndex, SharedUse, f64, f64)>,
    /// Pieces on the accelerator, with the number of what they cost.
    visits: Vec<(NodeIndex, usize)>,
    costs: Vec<QueryCost>,
}

impl Seen {
    /// The pieces with their places in time.
    pub fn spans(&self, graph: &WorkGraph, ran: &[Ran]) -> AcceleratedSpans {
        let kernels = self.kernels.iter().enumerate().map(|(number, piece)| {
            let (node, shared, occupancy, power_w) = *piece;
            let Ran { start_ps, end_ps } = ran[node.index()];
            let took = end_ps - start_ps;
            Span {
                name: format!("kernels {number}"),
                device: 0,
                stream: 0,
                recorded_ps: None,
                simulated_ps: (start_ps, end_ps),
                shared: Span::stretched(shared, graph[node].alone_ps as f64, took),
                occupancy,
                power_w,
                bound_by: Some("kernels between two visits"),
            }
        });
        let mut engines: Vec<EngineSpans> = Vec::new();
        for (node, cost) in &self.visits {
            let Ran { start_ps, end_ps } = ran[node.index()];
            let cost = &self.costs[*cost];
            let alone = graph[*node].alone_ps as f64;
            let speed = (alone / (end_ps - start_ps).max(1) as f64).min(1.0);
            for &(unit, share) in &cost.busy {
                let visit = EngineVisit { start_ps, end_ps, busy: share * speed };
                match engines.iter_mut().find(|engine| engine.unit == unit) {
                    Some(engine) => engine.visits.push(visit),
                    None => engines.push(EngineSpans { unit, visits: vec![visit] }),
                }
            }
        }
        AcceleratedSpans { kernels: kernels.collect(), engines }
    }
}

/// A frame with an accelerator beside the GPU, in time.
#[derive(Debug, Clone, PartialEq)]
pub struct AcceleratedSpans {
    /// Stretches of kernels on the GPU.
    pub kernels: Vec<Span>,
    /// Engines of the accelerator.
    pub engines: Vec<EngineSpans>,
}

/// What an engine does.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineSpans {
    /// Which one.
    pub unit: Unit,
    /// Batches, one after the other.
    pub visits: Vec<EngineVisit>,
}

/// A batch on an engine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EngineVisit {
    /// Start, in picoseconds.
    pub start_ps: i64,
    /// End.
    pub end_ps: i64,
    /// Share of that time that the engine works.
    pub busy: f64,
}

impl Timeline {
    pub fn new(frame: &GpuFrame<'_>, overlaps: bool, contention: bool) -> Self {
        let launch = &frame.entry.gpu.launch;
        // Only rounds wait for a count.
        let waits = frame.frame.walk.is_some();
        Self {
            graph: WorkGraph::new(),
            overlaps,
            contention,
            gpu: None,
            accelerator: None,
            visits: Vec::new(),
            answers: Vec::new(),
            gpu_ns: 0.0,
            launch_ns: launch.kernel.ns(),
            gap_ns: launch.gap.ns(),
            wait_ps: if waits { (launch.host_wait.ns() * 1e3) as i64 } else { 0 },
            seen: None,
        }
    }

    /// The same, remembering what pieces are.
    pub fn watched(self) -> Self {
        Self { seen: Some(Seen::default()), ..self }
    }

    /// What pieces are, if that was to be remembered.
    pub const fn seen(&self) -> Option<&Seen> {
        self.seen.as_ref()
    }

    fn piece(&mut self, ns: f64, shared: SharedUse) -> NodeIndex {
        let shared = if self.contention { shared } else { SharedUse::default() };
        let alone_ps = (ns * 1e3).round() as i64;
        self.graph.add_node(Piece { alone_ps, shared, device: 0, not_before_ps: 0 })
    }

    /// A part of a stretch on the GPU: its share of the work, and all of its launches.
    fn stretch(&mut self, stretch: &Stretch, parts: f64) -> NodeIndex {
        let fixed = stretch.kernels * (self.launch_ns + self.gap_ns);
        let work = (stretch.time_ns - stretch.kernels * self.launch_ns).max(0.0) / parts;
        self.gpu_ns += fixed + work;
        let node = self.piece(fixed + work, stretch.shared);
        if let Some(seen) = &mut self.seen {
            let power_w = stretch.energy_pj / parts / ((fixed + work) * 1e3).max(f64::MIN_POSITIVE);
            seen.kernels.push((node, stretch.shared, stretch.occupancy, power_w));
        }
        let previous = if self.overlaps { self.gpu } else { self.gpu.max(self.accelerator) };
        if let Some(previous) = previous {
            self.graph.add_edge(previous, node, 0);
        }
        self.gpu = Some(node);
        node
    }

    /// Ties a piece that covers a share of the rays to the answers that it needs.
    fn needs(&mut self, node: NodeIndex, part: usize, parts: usize) {
        // Batches are shares of the same rays, however many there are.
        let all = self.answers.len();
        let (first, end) = (part * all / parts, ((part + 1) * all).div_ceil(parts));
        for index in first..end {
            self.graph.add_edge(self.answers[index], node, self.wait_ps);
        }
    }

    pub fn visit(&mut self, stretch: &Stretch, cost: &QueryCost, batches: usize) {
        if let Some(seen) = &mut self.seen {
            seen.costs.push(cost.clone());
        }
        let mut answers = Vec::with_capacity(batches);
        let mut asked = Vec::with_capacity(batches);
        for part in 0..batches {
            let node = self.stretch(stretch, batches as f64);
            self.needs(node, part, batches);
            if self.overlaps {
                asked.push(node);
            } else {
                answers.push(self.ask(node, cost));
            }
        }
        for node in asked {
            answers.push(self.ask(node, cost));
        }
        self.answers = answers;
    }

    fn ask(&mut self, after: NodeIndex, cost: &QueryCost) -> NodeIndex {
        let node = self.piece(cost.time_ns, cost.shared);
        self.graph.add_edge(after, node, 0);
        if let Some(previous) = self.accelerator {
            self.graph.add_edge(previous, node, 0);
        }
        self.accelerator = Some(node);
        self.visits.push(node);
        if let Some(seen) = &mut self.seen {
            seen.visits.push((node, seen.costs.len().saturating_sub(1)));
        }
        node
    }

    pub fn finish(&mut self, last: &Stretch) {
        let node = self.stretch(last, 1.0);
        self.needs(node, 0, 1);
    }
}
