//! What every launch of a recording takes beyond the model's shortest.
//!
//! Launches that do next to nothing show what a recorder, a driver and its machine add to each duration: profiles of one
//! GPU begin at 1.3, 3 or 4.7 us. Where at least twenty such launches ran, the median of what they took beyond their
//! prediction on the GPU that recorded is added to every launch of their kind, on any GPU, as the next recording would show
//! it too. It is stated with the result, and a comparison gives the error without it. Left out: parts that grow with the
//! work, and collectives, which keep their recorded wait.

use lumacycle_engines::{Engine, GpuEngine, Resource};
use lumacycle_traces::{Classified, EventKind, Known, Recording};
use lumacycle_workloads::KernelClass;
use rayon::prelude::*;
use serde::Serialize;

/// Launches that have to speak.
const FEWEST: u64 = 20;
/// Launches that took longer on average do something, in ns; it saves pricing them.
const LONGEST_NS: f64 = 50_000.0;

/// Whether a replay adds what the recording's shortest launches show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LaunchFloor {
    /// As the recording shows it.
    #[default]
    Recorded,
    /// What the catalogue says of launches, and no more.
    Modelled,
}

/// The floor of one kind of activity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FloorRow {
    /// Which kind.
    pub kind: EventKind,
    /// Launches that it was taken from.
    pub launches: u64,
    /// Added to each launch, in us.
    pub added_us: f64,
}

/// Floors of a recording, where it shows any.
#[derive(Debug, Clone, Default)]
pub(super) struct Floors(pub(super) Vec<FloorRow>);

impl Floors {
    /// Reads them off. `recorded` has the count and the mean in ns of each distinct launch.
    pub(super) fn of(
        recording: &Recording,
        recorded: &[(u64, f64)],
        classified: &[Option<Classified>],
        own: &GpuEngine<'_>,
    ) -> Self {
        let excess = |(index, known): (usize, &Option<Classified>)| {
            let (known, (count, mean_ns)) = (known.as_ref()?, recorded[index]);
            let counts = count > 0
                && mean_ns < LONGEST_NS
                && known.known < Known::Assumed
                && known.class != KernelClass::Collective;
            let cost = own.price(known.operation.as_ref().filter(|_| counts)?).ok()?;
            let idle = cost.binding == Resource::KernelLaunch;
            idle.then(|| (recording.signatures[index].kind, mean_ns - cost.time_ns, count))
        };
        let shown: Vec<(EventKind, f64, u64)> =
            classified.par_iter().enumerate().filter_map(excess).collect();
        let row = |kind| {
            let of_kind = shown.iter().filter(|(of, ..)| *of == kind);
            let (launches, median_ns) = weighted_median(of_kind.map(|(_, ns, n)| (*ns, *n)));
            let row = FloorRow { kind, launches, added_us: median_ns.max(0.0) / 1e3 };
            (launches >= FEWEST && row.added_us > 0.0).then_some(row)
        };
        let kinds = [EventKind::Kernel, EventKind::Memcpy, EventKind::Memset];
        Self(kinds.into_iter().filter_map(row).collect())
    }

    /// What is added to a launch, in ns.
    pub(super) fn ns(&self, kind: EventKind, class: KernelClass) -> f64 {
        if class == KernelClass::Collective {
            return 0.0;
        }
        self.0.iter().find(|row| row.kind == kind).map_or(0.0, |row| row.added_us * 1e3)
    }

    /// A sentence for the assumptions, where anything is added.
    pub(super) fn said(&self) -> Option<String> {
        let one = |row: &FloorRow| {
            let kind = match row.kind {
                EventKind::Kernel => "kernel",
                EventKind::Memcpy => "copy",
                EventKind::Memset => "fill",
            };
            format!("{:.2} us to each {kind} (median of {})", row.added_us, row.launches)
        };
        let all: Vec<String> = self.0.iter().map(one).collect();
        (!all.is_empty()).then(|| {
            format!(
                "what the recording's shortest launches take beyond the model's is added: {}; --launch-floor modelled leaves it out",
                all.join(", ")
            )
        })
    }
}

/// Sum of the weights, and the value at half of it; zero where there is none.
fn weighted_median(values: impl Iterator<Item = (f64, u64)>) -> (u64, f64) {
    let mut values: Vec<(f64, u64)> = values.collect();
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: u64 = values.iter().map(|(_, weight)| weight).sum();
    let mut below = 0;
    let middle = values.iter().find(|(_, weight)| {
        below += weight;
        2 * below >= total
    });
    (total, middle.map_or(0.0, |(value, _)| *value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_weigh_launches() {
        assert_eq!(weighted_median([(5.0, 1), (1.0, 10), (9.0, 2)].into_iter()), (13, 1.0));
        assert_eq!(weighted_median(std::iter::empty()), (0, 0.0));
    }
}
