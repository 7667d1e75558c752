//! The GPU engine: cycle-approximate, wave by wave.
//!
//! A kernel's CTAs are alike, so one resident set is priced and multiplied: as many full waves
//! as there are, then the tail with what is left. Within a wave the SM pipes (`sm`), L2 and
//! DRAM (`traffic`) each need their time; these cover each other in part (`sm.overlap_order`), as does
//! waiting for memory, whose latency grows with the load. Code is fetched once, and the clock
//! gives way to the power limit (`clock`). Left out: instruction order, replays, cluster launch,
//! and preemption.

pub mod breakdown;
mod clock;
mod counters;
pub mod energy;
pub mod kernel;
#[cfg(test)]
mod laws;
pub mod occupancy;
mod prepared;
pub mod roofline;
pub mod sm;
pub mod traffic;
pub mod transfer;
mod uneven;

use lumacycle_arch::Gpu;
use lumacycle_workloads::ops::Operation;
use lumacycle_workloads::{Kernel, Target};

use crate::cost::{Cost, KernelCost, Resource, SharedUse};
use crate::memory::lookups::Lookups;
use crate::{Engine, EngineError};

pub use clock::within_limit;
pub use prepared::Prepared;

/// What is in L2 when a kernel starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum L2Start {
    /// What the kernel touches was touched just before, as in back-to-back repetition or a
    /// chain of layers: it is there as far as it fits.
    #[default]
    Warm,
    /// What the kernel reads was written just before, and is there as far as it fits; what it writes replaces other
    /// results that nobody has written back yet, as in a profile, whose launches write to one buffer after another.
    InSequence,
    /// Nothing.
    Cold,
}

/// How to simulate.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Options {
    /// State of L2 at the start of a kernel.
    pub l2: L2Start,
    /// SM clock in Hz instead of the typical one; held whatever power it takes.
    pub clock_hz: Option<f64>,
    /// Memory clock in Hz, as drivers report it, instead of the one that the catalogue's
    /// bandwidth belongs to.
    pub mem_clock_hz: Option<f64>,
    /// Board power limit in watts instead of the catalogue's.
    pub power_limit_w: Option<f64>,
    /// Temperature of the chip in degrees Celsius instead of the one that the catalogue's energies are for.
    pub temperature_c: Option<f64>,
    /// How often the work runs in a row; it repeats for seconds where this is not given. What is over
    /// before the board minds its power limit runs at the usual clock.
    pub repeats: Option<f64>,
    /// Whether the GPUs that share an uplink to the host copy at the same time, as ranks of one job do.
    pub neighbours_copy: bool,
    /// A resource that is to be this much faster (1.1 = 10 % more of it), for sensitivities.
    pub relief: Option<(Resource, f64)>,
}

impl Options {
    /// The same without a power limit: how kernels run that are a part of many. A board holds its
    /// average power, over far longer than a kernel takes.
    #[must_use]
    pub const fn unlimited(mut self) -> Self {
        self.power_limit_w = Some(f64::INFINITY);
        self
    }
}

/// Prices work on one GPU.
#[derive(Debug, Clone, Copy)]
pub struct GpuEngine<'a> {
    /// The hardware.
    pub gpu: &'a Gpu,
    /// How to simulate.
    pub options: Options,
    /// What lookups of many launches are known to find, where it is carried over from one to the next; it has to be of
    /// the same GPU.
    pub lookups: Option<&'a Lookups>,
}

impl<'a> GpuEngine<'a> {
    /// An engine with default options.
    pub fn new(gpu: &'a Gpu) -> Self {
        Self { gpu, options: Options::default(), lookups: None }
    }

    /// The same engine with other options.
    #[must_use]
    pub const fn with(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// The same engine, carrying over what lookups find. For recordings: what a launch takes then changes by as much
    /// as lies between two steps of [`Lookups`].
    #[must_use]
    pub const fn carrying(mut self, lookups: &'a Lookups) -> Self {
        self.lookups = Some(lookups);
        self
    }

    /// SM clock of the simulation, in Hz.
    pub fn clock_hz(&self) -> f64 {
        self.options.clock_hz.unwrap_or_else(|| self.gpu.clocks.typical.hz())
    }

    /// Board power limit of the simulation, in watts.
    pub fn power_limit_w(&self) -> f64 {
        self.options.power_limit_w.unwrap_or_else(|| self.gpu.power.limit.watts())
    }

    /// Memory clock of the simulation over the catalogue's.
    pub fn memory_scale(&self) -> f64 {
        self.options.mem_clock_hz.map_or(1.0, |clock| clock / self.gpu.memory_clock_hz())
    }

    /// Unloaded latency of a read that DRAM answers, in nanoseconds. On the way through L2 it
    /// takes SM cycles; of the rest half is taken for the array's own time and half for memory
    /// clocks.
    pub fn dram_latency_ns(&self) -> f64 {
        let (gpu, clock) = (self.gpu, self.clock_hz());
        let catalogued = gpu.dram.latency.ns();
        let l2_ns = (gpu.l2.latency_cycles / gpu.clocks.typical.hz() * 1e9).min(catalogued);
        let beyond = catalogued - l2_ns;
        l2_ns * gpu.clocks.typical.hz() / clock
            + beyond * f64::midpoint(1.0, 1.0 / self.memory_scale())
    }

    /// How much faster than specified a resource is to be taken.
    pub(crate) fn relief(&self, resource: Resource) -> f64 {
        match self.options.relief {
            Some((relieved, factor)) if relieved == resource => factor,
            _ => 1.0,
        }
    }

    /// What a library sees of this device.
    pub fn target(&self) -> Target {
        let tensor = &self.gpu.tensor;
        Target {
            compute_capability: self.gpu.gpu.compute_capability,
            sm_count: self.gpu.sm.count,
            shared_bytes_per_cta: self.gpu.sm.shared_memory_per_cta.bytes() as u32,
            tensor_fp16: tensor.fp16_fp32 > 0.0,
            tensor_bf16: tensor.bf16 > 0.0,
            tensor_tf32: tensor.tf32 > 0.0,
            tensor_int8: tensor.int8 > 0.0,
            tensor_fp8: tensor.fp8 > 0.0,
        }
    }

    /// Prices one launch.
    ///
    /// # Errors
    /// When a CTA does not fit an SM.
    pub fn kernel(&self, kernel: &Kernel) -> Result<KernelCost, EngineError> {
        kernel::price(self, kernel)
    }

    fn shares(kernels: &[KernelCost]) -> SharedUse {
        let total: f64 = kernels.iter().map(|kernel| kernel.time_ns).sum();
        let busy = |wanted: &[Resource]| -> f64 {
            let sum: f64 = kernels
                .iter()
                .map(|kernel| {
                    let of_kernel = kernel.busy_ns.iter().filter(|(r, _)| wanted.contains(r));
                    of_kernel.map(|(_, ns)| *ns).fold(0.0, f64::max)
                })
                .sum();
            if total > 0.0 { (sum / total).min(1.0) } else { 0.0 }
        };
        // SMs are held by residency, not by pipe use: a kernel that fills the device with CTAs
        // leaves no room for another.
        let sm = kernels.iter().map(|kernel| kernel.sm_share * kernel.time_ns).sum::<f64>()
            / total.max(1.0);
        SharedUse {
            sm,
            l2: busy(&[Resource::L2]),
            dram: busy(&[Resource::Dram, Resource::DramRows]),
            host_link: 0.0,
            peer_link: 0.0,
        }
    }
}

impl Engine for GpuEngine<'_> {
    fn price(&self, work: &Operation) -> Result<Cost, EngineError> {
        match work {
            Operation::Transfer(transfer) => Ok(transfer::copy(self, transfer)),
            Operation::Collective(collective) => Ok(transfer::collective(self, collective)),
            Operation::Counters(counters) => counters::price(self, counters),
            _ => Prepared::new(self, work)?.price(self),
        }
    }
}
