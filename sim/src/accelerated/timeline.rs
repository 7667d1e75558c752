//! The pieces of a frame in time: stretches of GPU kernels and visits to the accelerator, batch after
//! batch, and what each of them waits for. Each engine takes its pieces in order; with contention
//! they share L2 and DRAM by max-min fairness (see [`crate::schedule`]).

use lumacycle_engines::accelerator::QueryCost;
use lumacycle_engines::cost::SharedUse;
use petgraph::graph::NodeIndex;

use crate::frame::{GpuFrame, Priced};
use crate::schedule::{Piece, WorkGraph};

/// Work of the GPU between two visits to the accelerator.
#[derive(Debug, Clone, Default)]
pub(super) struct Stretch {
    /// Kernels and their time, in ns, launch costs included.
    pub kernels: f64,
    pub time_ns: f64,
    pub shared: SharedUse,
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
        }
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
        node
    }

    pub fn finish(&mut self, last: &Stretch) {
        let node = self.stretch(last, 1.0);
        self.needs(node, 0, 1);
    }
}
