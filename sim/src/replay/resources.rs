//! What a tenth more of each resource would save of a replay's kernels, whether it binds any of them or not.
//!
//! Each distinct launch is priced again for each resource that it uses, at the clock of the replay. Left out: gaps and
//! waits, which no resource shortens, and launches that keep their recorded duration.

use lumacycle_engines::gpu::Prepared;
use lumacycle_engines::{Cost, GpuEngine, Options, Resource};
use rayon::prelude::*;

use super::Priced;
use super::result::BoundRow;

/// How much more of a resource is asked about.
const MORE: f64 = 1.1;

/// What a tenth more of a resource saves of a launch, as a share of its time.
pub(super) fn saved(engine: &GpuEngine<'_>, work: &Prepared, cost: &Cost, of: Resource) -> f64 {
    // Launching takes as long on any device of the kind.
    if of == Resource::KernelLaunch {
        return 0.0;
    }
    let relieved = engine.with(Options { relief: Some((of, MORE)), ..engine.options });
    work.price(&relieved).map_or(0.0, |relieved| (1.0 - relieved.time_ns / cost.time_ns).max(0.0))
}

/// The resources that a launch uses. Latency shows in no unit that is busy.
fn used(cost: &Cost) -> Vec<Resource> {
    let busy = cost.kernels.iter().flat_map(|kernel| &kernel.busy_ns);
    let chain = (!cost.kernels.is_empty()).then_some(Resource::Latency);
    let mut used: Vec<Resource> = busy
        .filter(|(_, ns)| *ns > 0.0)
        .map(|(resource, _)| *resource)
        .chain([cost.binding])
        .chain(chain)
        .collect();
    used.sort_unstable();
    used.dedup();
    used
}

/// A row for every resource that any launch uses. `counts` says how often each was recorded, `bound` what binds for how
/// long in ps, and `needed` what a resource alone would need in ps, all out of `total` ps.
pub(super) fn rows(
    engine: &GpuEngine<'_>,
    priced: &[Option<Priced>],
    counts: &[(u64, f64)],
    bound: &[(Resource, f64, f64)],
    (total, needed): (f64, &dyn Fn(Resource) -> f64),
) -> Vec<BoundRow> {
    let by_launch: Vec<Vec<(Resource, f64)>> = priced
        .par_iter()
        .zip(counts)
        .map(|(priced, (count, _))| {
            let Some(priced) = priced else { return Vec::new() };
            let (Some(operation), Some(cost)) = (&priced.classified.operation, &priced.cost) else {
                return Vec::new();
            };
            let Ok(work) = Prepared::new(engine, operation) else { return Vec::new() };
            let time = cost.time_ns * 1e3 * *count as f64;
            let share = |of: Resource| {
                if of == cost.binding { priced.relief } else { saved(engine, &work, cost, of) }
            };
            used(cost).into_iter().map(|of| (of, time * share(of))).collect()
        })
        .collect();
    let mut sums: Vec<(Resource, f64)> = Vec::new();
    for (resource, saved) in by_launch.into_iter().flatten() {
        match sums.iter_mut().find(|(known, _)| *known == resource) {
            Some((_, sum)) => *sum += saved,
            None => sums.push((resource, saved)),
        }
    }
    // Sums of nothing are -0.
    let pct = |ps: f64| ps / total * 100.0 + 0.0;
    let mut rows: Vec<BoundRow> = sums
        .into_iter()
        .map(|(resource, saved)| BoundRow {
            resource,
            predicted_pct: bound
                .iter()
                .find(|(known, ..)| *known == resource)
                .map_or(0.0, |(_, time, _)| pct(*time)),
            needed_pct: pct(needed(resource)),
            tenth_more_saves_pct: pct(saved),
        })
        .collect();
    rows.sort_by(|a, b| {
        let time = b.predicted_pct.total_cmp(&a.predicted_pct);
        let then = b.needed_pct.total_cmp(&a.needed_pct);
        time.then(then).then(a.resource.cmp(&b.resource))
    });
    rows
}
