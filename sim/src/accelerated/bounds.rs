//! What a frame with an accelerator needs of each resource of either side, and what a tenth more of it would save.
//!
//! The whole frame is run again on its one clock with a tenth more of the resource: what is hidden behind the other
//! side saves nothing. L2 and DRAM serve both, and are relieved for both. Left out: capacities, gaps between kernels and
//! waits of the host.

use lumacycle_engines::accelerator::{Plan, Relief, Unit};
use lumacycle_engines::{KernelCost, Resource};
use serde::Serialize;

use super::{Built, Split, stays};
use crate::bounds::Relieved;
use crate::frame::{GpuFrame, Priced};

/// Whose a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The GPU's.
    Gpu,
    /// The accelerator's.
    Accelerator,
    /// Of the GPU, and the accelerator uses it too.
    Both,
}

/// One resource of a frame with an accelerator.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AcceleratedBound {
    /// Whose it is.
    pub side: Side,
    /// Its name.
    pub resource: &'static str,
    /// Time of the kernels and batches that it binds, in ms. Both sides work at once, so these may add up to more than the
    /// frame.
    pub bound_ms: f64,
    /// Of them those of the GPU's kernels.
    pub gpu_bound_ms: f64,
    /// Time that it alone would need for everything, in ms, where that can be told apart.
    pub needed_ms: Option<f64>,
    /// What a tenth more of it saves of the frame, in percent.
    pub tenth_more_saves_pct: f64,
}

impl AcceleratedBound {
    /// The same for a frame rendered several times over.
    pub(super) fn repeat(&mut self, times: f64) {
        self.bound_ms *= times;
        self.gpu_bound_ms *= times;
        self.needed_ms.iter_mut().for_each(|ms| *ms *= times);
    }
}

/// The accelerator's side of a resource of the GPU.
const fn shared(resource: Resource) -> Option<(Relief, Option<Unit>)> {
    match resource {
        Resource::L2 => Some((Relief::L2, None)),
        Resource::Dram => Some((Relief::Dram, Some(Unit::Dram))),
        Resource::DramRows => Some((Relief::DramRows, Some(Unit::DramRows))),
        _ => None,
    }
}

impl GpuFrame<'_> {
    /// All resources of both sides, what saves most first.
    pub(super) fn bounds_beside(
        &self,
        plan: &Plan<'_>,
        split: &Split,
        built: &Built,
        relieved: &Relieved,
    ) -> Vec<AcceleratedBound> {
        let saves = |ns: f64| (1.0 - ns / built.frame_ns).max(0.0) * 100.0;
        let of_unit = |list: &[(Unit, f64)], unit: Option<Unit>| {
            let of = list.iter().find(|(known, _)| Some(*known) == unit);
            of.map_or(0.0, |(_, ns)| ns / 1e6)
        };
        let busy: Vec<(Unit, f64)> = built
            .busy
            .iter()
            .map(|row| (row.unit, row.busy_pct / 100.0 * built.frame_ns))
            .collect();
        let mut rows = Vec::new();
        // The accelerator may open rows of DRAM where no kernel of the GPU does.
        let more = [Resource::L2, Resource::Dram, Resource::DramRows].into_iter();
        let more = more.filter(|of| relieved.iter().all(|(known, _)| known != of));
        let more = more.map(|of| (of, self.launches.clone()));
        for (resource, launches) in relieved.iter().cloned().chain(more) {
            // Launching takes as long on any device of the kind.
            if resource == Resource::KernelLaunch {
                continue;
            }
            let both = shared(resource);
            let (gpu_bound_ms, mut needed_ms) = self.of_kernels(plan, resource);
            let unit = both.and_then(|(_, unit)| unit);
            let bound_ms = gpu_bound_ms + of_unit(&built.bound, unit);
            needed_ms += of_unit(&busy, unit);
            if both.is_none() && bound_ms + needed_ms == 0.0 {
                continue;
            }
            let faster = Self { launches, ..self.clone() };
            let parts = faster.split(plan.accelerator());
            let ran = match both {
                Some((relief, _)) => faster.run(&plan.relieved(relief), &parts, true),
                None => faster.run(plan, &parts, true),
            };
            rows.push(AcceleratedBound {
                side: if both.is_some() { Side::Both } else { Side::Gpu },
                resource: resource.name(),
                bound_ms,
                gpu_bound_ms,
                needed_ms: Some(needed_ms),
                tenth_more_saves_pct: saves(ran.frame_ns),
            });
        }
        for relief in Relief::OWN {
            let unit = relief.unit();
            let needed_ms = match relief {
                Relief::Clock => Some(built.accelerator_ns / 1e6),
                Relief::Banks => None,
                _ => Some(of_unit(&busy, unit)),
            };
            if needed_ms == Some(0.0) {
                continue;
            }
            rows.push(AcceleratedBound {
                side: Side::Accelerator,
                resource: relief.name(),
                bound_ms: of_unit(&built.bound, unit),
                gpu_bound_ms: 0.0,
                needed_ms,
                tenth_more_saves_pct: saves(self.run(&plan.relieved(relief), split, true).frame_ns),
            });
        }
        rows.sort_by(|a, b| {
            let saved = b.tenth_more_saves_pct.total_cmp(&a.tenth_more_saves_pct);
            saved.then(b.bound_ms.total_cmp(&a.bound_ms)).then(a.resource.cmp(b.resource))
        });
        rows
    }

    /// Time of the GPU's kernels that a resource binds, and that it alone would need for all of them, in ms.
    fn of_kernels(&self, plan: &Plan<'_>, resource: Resource) -> (f64, f64) {
        let launches = self.frame.launches.iter().zip(self.launches.iter());
        let (mut bound, mut needed) = (0.0, 0.0);
        for (launch, priced) in launches.filter(|(launch, _)| stays(launch, plan.accelerator())) {
            for kernel in priced.iter().flat_map(|priced: &Priced| &priced.kernels) {
                if kernel.binding == resource {
                    bound += launch.times * kernel.time_ns / 1e6;
                }
                needed += launch.times * needs(kernel, resource) / 1e6;
            }
        }
        (bound, needed)
    }
}

/// Time that a resource alone would need for a kernel, in ns.
fn needs(kernel: &KernelCost, resource: Resource) -> f64 {
    kernel.busy_ns.iter().filter(|(own, _)| *own == resource).map(|(_, ns)| ns).sum()
}
