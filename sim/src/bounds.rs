//! What a frame's kernels need of each resource, and what a tenth more of it would save.
//!
//! Every launch is priced again with one resource a tenth faster, at the clock that the frame settled at and with the
//! caches as they were. Encodings of long launches that lie between simulated ones are carried over as in the frame itself.
//! Left out: gaps between kernels, which no resource shortens, and a clock that would settle elsewhere.

use std::sync::Arc;

use lumacycle_engines::{GpuEngine, KernelCost, Options, Resource};
use lumacycle_workloads::apps::Frame;
use serde::Serialize;

use crate::frame::{FrameError, GpuFrame, Priced, price_all};

/// The launches of a frame, priced with a tenth more of each resource that any of them uses.
#[derive(Debug, Clone)]
pub struct Relieved {
    by_resource: Vec<(Resource, Arc<[Option<Priced>]>)>,
}

impl Relieved {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Resource, Arc<[Option<Priced>]>)> {
        self.by_resource.iter()
    }
}

/// How much more of a resource is asked about.
const MORE: f64 = 1.1;

/// One resource over all kernels of a frame.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BoundRow {
    /// Which.
    pub resource: Resource,
    /// Time of the kernels that it binds, in ms.
    pub bound_ms: f64,
    /// Time that it alone would need for all kernels, in ms.
    pub needed_ms: f64,
    /// What a tenth more of it saves of the time of all kernels, in percent.
    pub tenth_more_saves_pct: f64,
}

/// What a tenth more of the resource that binds a kernel saves of that kernel.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RelievedKernel {
    /// Kernel, as in the rows of the frame.
    pub name: &'static str,
    /// In percent of its time.
    pub tenth_more_saves_pct: f64,
}

/// Bounds of a frame.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bounds {
    /// By resource, the one that binds the longest first.
    pub resources: Vec<BoundRow>,
    /// By kernel, in the order of the frame's rows.
    pub kernels: Vec<RelievedKernel>,
}

impl Bounds {
    /// The same for a frame rendered several times over.
    pub(crate) fn repeat(&mut self, times: f64) {
        for row in &mut self.resources {
            row.bound_ms *= times;
            row.needed_ms *= times;
        }
    }
}

impl GpuFrame<'_> {
    /// All launches with a tenth more of each resource that they use.
    ///
    /// # Errors
    /// When a launch cannot be priced.
    pub fn relieved(&self) -> Result<Relieved, FrameError> {
        let mut used: Vec<Resource> = Vec::new();
        for (_, kernel) in self.kernels() {
            for of in kernel.busy_ns.iter().map(|(of, _)| *of).chain([kernel.binding]) {
                if !used.contains(&of) {
                    used.push(of);
                }
            }
        }
        used.sort_unstable();
        let engine = GpuEngine::new(&self.entry.gpu).with(self.settled);
        let of = |resource: Resource| {
            // Launching takes as long on any device of the kind.
            if resource == Resource::KernelLaunch {
                return Ok((resource, self.launches.clone()));
            }
            let relief = Some((resource, MORE));
            let relieved = engine.with(Options { relief, ..self.settled });
            let launches =
                price_all((self.frame, self.entry), &self.prepared, |p| p.estimate(&relieved))?;
            Ok((resource, launches.into()))
        };
        Ok(Relieved { by_resource: used.into_iter().map(of).collect::<Result<_, _>>()? })
    }

    /// What binds the frame, and what more of each resource would save.
    pub fn bounds(&self, relieved: &Relieved) -> Bounds {
        let mut rows: Vec<BoundRow> = Vec::new();
        let mut add = |resource: Resource, bound_ms: f64, needed_ms: f64| {
            let at = rows.iter().position(|row| row.resource == resource).unwrap_or(rows.len());
            if at == rows.len() {
                rows.push(BoundRow {
                    resource,
                    bound_ms: 0.0,
                    needed_ms: 0.0,
                    tenth_more_saves_pct: 0.0,
                });
            }
            let row = &mut rows[at];
            row.bound_ms += bound_ms;
            row.needed_ms += needed_ms;
        };
        for (times, kernel) in self.kernels() {
            add(kernel.binding, times * kernel.time_ns / 1e6, 0.0);
            for (resource, ns) in &kernel.busy_ns {
                add(*resource, 0.0, times * ns / 1e6);
            }
        }
        let before = times_by_name(self.frame, &self.launches);
        let all: f64 = before.iter().map(|(_, ns)| ns).sum();
        let mut kernels: Vec<RelievedKernel> = Vec::new();
        for row in rows.iter_mut().filter(|row| row.resource != Resource::KernelLaunch) {
            let Some((_, launches)) = relieved.iter().find(|(of, _)| *of == row.resource) else {
                continue;
            };
            let after = times_by_name(self.frame, launches);
            let saved = |before: f64, after: f64| {
                (1.0 - after / before.max(f64::MIN_POSITIVE)).max(0.0) * 100.0
            };
            row.tenth_more_saves_pct = saved(all, after.iter().map(|(_, ns)| ns).sum());
            for ((name, before), (_, after)) in before.iter().zip(&after) {
                let bound = self.alone.kernels.iter().find(|kernel| kernel.name == *name);
                if bound.is_some_and(|kernel| kernel.bound_by == row.resource) {
                    let tenth_more_saves_pct = saved(*before, *after);
                    kernels.push(RelievedKernel { name, tenth_more_saves_pct });
                }
            }
        }
        rows.sort_by(|a, b| {
            let time = b.bound_ms.total_cmp(&a.bound_ms).then(b.needed_ms.total_cmp(&a.needed_ms));
            time.then(a.resource.cmp(&b.resource))
        });
        let place = |name: &str| self.alone.kernels.iter().position(|kernel| kernel.name == name);
        kernels.sort_by_key(|kernel| place(kernel.name));
        Bounds { resources: rows, kernels }
    }

    /// All kernels, each with how often it is launched.
    fn kernels(&self) -> impl Iterator<Item = (f64, &KernelCost)> {
        let launches = self.frame.launches.iter().zip(self.launches.iter());
        launches.flat_map(|(launch, priced)| {
            let kernels = priced.iter().flat_map(|priced| &priced.kernels);
            kernels.map(|kernel| (launch.times, kernel))
        })
    }
}

/// Time of all launches of each name with these prices, in ns, in the order in which names appear.
fn times_by_name(frame: &Frame, priced: &[Option<Priced>]) -> Vec<(&'static str, f64)> {
    let mut times: Vec<(&'static str, f64)> = Vec::new();
    for (launch, priced) in frame.launches.iter().zip(priced) {
        let ns = launch.times * priced.as_ref().map_or(0.0, Priced::time_ns);
        match times.iter_mut().find(|(name, _)| *name == launch.name) {
            Some((_, sum)) => *sum += ns,
            None => times.push((launch.name, ns)),
        }
    }
    times
}
