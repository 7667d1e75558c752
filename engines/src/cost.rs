//! What an engine answers: time, busy resources, traffic, energy.

use std::fmt;

use lumacycle_workloads::KernelClass;
use serde::Serialize;

/// What a kernel can be bound by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum Resource {
    Issue,
    /// Operand reads from the register file.
    RegisterFile,
    Fp32,
    Fp64,
    Fp16,
    Int32,
    Sfu,
    LoadStore,
    Tensor,
    SharedMemory,
    L1,
    L2,
    Dram,
    /// Activations of DRAM rows, which scattered accesses cost.
    DramRows,
    /// Starting CTAs.
    CtaLaunch,
    /// Dependent operations that nothing hides.
    Latency,
    /// Fetching code for the first time.
    InstructionFetch,
    /// Starting the kernel.
    KernelLaunch,
    HostLink,
    PeerLink,
}

impl Resource {
    /// Name as printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Issue => "issue slots",
            Self::RegisterFile => "register file",
            Self::Fp32 => "fp32 pipe",
            Self::Fp64 => "fp64 pipe",
            Self::Fp16 => "fp16 pipe",
            Self::Int32 => "int32 pipe",
            Self::Sfu => "sfu pipe",
            Self::LoadStore => "load/store",
            Self::Tensor => "tensor cores",
            Self::SharedMemory => "shared memory",
            Self::L1 => "L1",
            Self::L2 => "L2",
            Self::Dram => "DRAM",
            Self::DramRows => "DRAM rows",
            Self::CtaLaunch => "CTA launch",
            Self::Latency => "latency",
            Self::InstructionFetch => "instruction fetch",
            Self::KernelLaunch => "kernel launch",
            Self::HostLink => "host link",
            Self::PeerLink => "peer link",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Residency of a kernel on an SM.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Occupancy {
    /// Resident CTAs.
    pub ctas_per_sm: u32,
    /// Resident warps over the most there could be.
    pub share: f64,
    /// What limits it: `threads`, `registers`, `shared memory`, `CTA slots` or `grid`.
    pub limit: &'static str,
}

/// Bytes moved at each level, over the whole launch.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Traffic {
    /// Requested from L1.
    pub l1_bytes: f64,
    /// Between SMs and L2.
    pub l2_bytes: f64,
    /// Of these, what slices need not read again, as SMs that want the same lines are served together.
    #[serde(skip)]
    pub l2_coalesced_bytes: f64,
    /// Atomics that L2 performs, counted by thread, where addresses were simulated.
    pub l2_atomics: f64,
    /// Read from DRAM.
    pub dram_read_bytes: f64,
    /// Written to DRAM.
    pub dram_write_bytes: f64,
    /// Row activations beyond those of streaming, where addresses were simulated.
    pub extra_activations: f64,
    /// Row activations of operands whose far rows CTAs walk through in step.
    #[serde(skip)]
    pub step_activations: f64,
}

impl Traffic {
    /// That many times the traffic.
    #[must_use]
    pub fn times(&self, factor: f64) -> Self {
        Self {
            l1_bytes: self.l1_bytes * factor,
            l2_bytes: self.l2_bytes * factor,
            l2_coalesced_bytes: self.l2_coalesced_bytes * factor,
            l2_atomics: self.l2_atomics * factor,
            dram_read_bytes: self.dram_read_bytes * factor,
            dram_write_bytes: self.dram_write_bytes * factor,
            extra_activations: self.extra_activations * factor,
            step_activations: self.step_activations * factor,
        }
    }

    /// Share of L1 requests that L1 answered, in [0, 1].
    pub fn l1_hit_rate(&self) -> f64 {
        if self.l1_bytes > 0.0 {
            (1.0 - self.l2_bytes / self.l1_bytes).clamp(0.0, 1.0)
        } else {
            0.0
        }
    }

    /// Share of L2 traffic that DRAM was spared, in [0, 1].
    pub fn l2_hit_rate(&self) -> f64 {
        let dram = self.dram_read_bytes + self.dram_write_bytes;
        if self.l2_bytes > 0.0 { (1.0 - dram / self.l2_bytes).clamp(0.0, 1.0) } else { 0.0 }
    }
}

impl std::ops::AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.l1_bytes += other.l1_bytes;
        self.l2_bytes += other.l2_bytes;
        self.l2_coalesced_bytes += other.l2_coalesced_bytes;
        self.l2_atomics += other.l2_atomics;
        self.dram_read_bytes += other.dram_read_bytes;
        self.dram_write_bytes += other.dram_write_bytes;
        self.extra_activations += other.extra_activations;
        self.step_activations += other.step_activations;
    }
}

/// Energy by component, in picojoules.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Energy {
    /// Arithmetic pipes and tensor cores.
    pub compute_pj: f64,
    /// Instruction issue and register file.
    pub issue_pj: f64,
    /// Shared memory, L1, L2 and crossbar.
    pub on_chip_pj: f64,
    /// DRAM and its interface.
    pub dram_pj: f64,
    /// Clock trees, schedulers and leakage of the SMs.
    pub clock_pj: f64,
    /// What the board draws whatever it does.
    pub constant_pj: f64,
}

impl Energy {
    /// That many times the energy.
    #[must_use]
    pub fn times(&self, factor: f64) -> Self {
        Self {
            compute_pj: self.compute_pj * factor,
            issue_pj: self.issue_pj * factor,
            on_chip_pj: self.on_chip_pj * factor,
            dram_pj: self.dram_pj * factor,
            clock_pj: self.clock_pj * factor,
            constant_pj: self.constant_pj * factor,
        }
    }

    /// Components by name, in picojoules.
    pub const fn components(&self) -> [(&'static str, f64); 6] {
        [
            ("arithmetic", self.compute_pj),
            ("issue and registers", self.issue_pj),
            ("on-chip memory", self.on_chip_pj),
            ("DRAM", self.dram_pj),
            ("SM clocks", self.clock_pj),
            ("board", self.constant_pj),
        ]
    }

    /// Sum of all components, in picojoules.
    pub fn total_pj(&self) -> f64 {
        self.components().iter().map(|(_, pj)| pj).sum()
    }
}

impl std::ops::AddAssign for Energy {
    fn add_assign(&mut self, other: Self) {
        self.compute_pj += other.compute_pj;
        self.issue_pj += other.issue_pj;
        self.on_chip_pj += other.on_chip_pj;
        self.dram_pj += other.dram_pj;
        self.clock_pj += other.clock_pj;
        self.constant_pj += other.constant_pj;
    }
}

/// What one kernel launch costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KernelCost {
    /// Kind of work.
    pub class: KernelClass,
    /// Implementation.
    pub variant: String,
    /// Duration as a profiler would record it, in nanoseconds.
    pub time_ns: f64,
    /// SM clock it ran at, in MHz: below the usual one where the power limit asks for it.
    pub clock_mhz: f64,
    /// Time each resource alone would need, in nanoseconds; a lower bound each.
    pub busy_ns: Vec<(Resource, f64)>,
    /// The resource that decides.
    pub binding: Resource,
    /// Residency.
    pub occupancy: Occupancy,
    /// CTAs over those that run at once.
    pub waves: f64,
    /// Share of the device's room for CTAs that this launch takes up, at most 1.
    pub sm_share: f64,
    /// Bytes moved.
    pub traffic: Traffic,
    /// Share of lookups with true addresses that L1 answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookup_l1: Option<f64>,
    /// Standard error of the share of lookups that DRAM answers, as it comes from a sample; 0
    /// without lookups.
    pub lookup_error: f64,
    /// Energy.
    pub energy: Energy,
}

/// What an operation costs: one or more kernels in sequence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cost {
    /// Kernels, in launch order; empty for copies and collectives.
    pub kernels: Vec<KernelCost>,
    /// Sum of durations, in nanoseconds.
    pub time_ns: f64,
    /// The resource that decides the longest kernel.
    pub binding: Resource,
    /// Share of each shared resource kept busy while this runs alone: SMs, L2, DRAM, links.
    pub shared_use: SharedUse,
    /// Bytes moved.
    pub traffic: Traffic,
    /// Energy.
    pub energy: Energy,
}

/// Shares in [0, 1] of what concurrent work contends for.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct SharedUse {
    /// SM time.
    pub sm: f64,
    /// L2 bandwidth.
    pub l2: f64,
    /// DRAM bandwidth.
    pub dram: f64,
    /// Host link.
    pub host_link: f64,
    /// Peer link.
    pub peer_link: f64,
}

impl SharedUse {
    /// As a list, in a fixed order.
    pub const fn as_array(&self) -> [f64; 5] {
        [self.sm, self.l2, self.dram, self.host_link, self.peer_link]
    }
}

impl Cost {
    /// Puts kernels in sequence.
    pub(crate) fn sequence(kernels: Vec<KernelCost>, shared_use: SharedUse) -> Self {
        let mut traffic = Traffic::default();
        let mut energy = Energy::default();
        for kernel in &kernels {
            traffic += kernel.traffic;
            energy += kernel.energy;
        }
        let longest = kernels.iter().max_by(|a, b| a.time_ns.total_cmp(&b.time_ns));
        Self {
            time_ns: kernels.iter().map(|kernel| kernel.time_ns).sum(),
            binding: longest.map_or(Resource::KernelLaunch, |kernel| kernel.binding),
            shared_use,
            traffic,
            energy,
            kernels,
        }
    }
}
