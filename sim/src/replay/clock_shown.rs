//! The SM clock that a recording's own durations speak of.
//!
//! Profilers don't record clocks, and a board that is hot, limited or set to a low clock runs far
//! below its usual one. Launches that follow the SM clock alone show it: the weighted median of
//! their recorded over predicted durations. It is stated, not used: a prediction at a clock taken
//! from the durations it is compared with would flatter itself. Left out: memory that runs slower.

use lumacycle_engines::Resource;

use super::result::KernelRow;

/// Launches that have to speak, and how far the clock must be off to be worth a word.
const FEWEST: u64 = 20;
const NOTABLE: f64 = 1.3;

/// Whether a launch bound by this follows the SM clock.
const fn follows(resource: Resource) -> bool {
    matches!(
        resource,
        Resource::Issue
            | Resource::RegisterFile
            | Resource::Fp32
            | Resource::Fp64
            | Resource::Fp16
            | Resource::Int32
            | Resource::Sfu
            | Resource::LoadStore
            | Resource::Tensor
            | Resource::SharedMemory
            | Resource::L1
            | Resource::CtaLaunch
            | Resource::InstructionFetch
    )
}

/// A sentence on the clock, where the recording seems to have run well below `clock_mhz`.
pub(super) fn remark(kernels: &[KernelRow], clock_mhz: f64) -> Option<String> {
    let mut shown: Vec<(f64, f64, u64)> = kernels
        .iter()
        .filter(|row| row.error_pct.is_some() && row.bound_by.is_some_and(follows))
        .map(|row| {
            let (recorded, floor) = (row.recorded_us, row.launch_floor_us);
            (recorded - floor, row.predicted_us - floor, recorded * row.count as f64, row.count)
        })
        .filter(|(recorded, predicted, ..)| *predicted > 0.0 && *recorded > 0.0)
        .map(|(recorded, predicted, weight, count)| (recorded / predicted, weight, count))
        .collect();
    let launches: u64 = shown.iter().map(|(.., count)| count).sum();
    if launches < FEWEST {
        return None;
    }
    shown.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = shown.iter().map(|(_, weight, _)| weight).sum::<f64>() / 2.0;
    let mut below = 0.0;
    let (slower, ..) = shown.iter().find(|(_, weight, _)| {
        below += weight;
        below >= half
    })?;
    let mhz = (clock_mhz / slower / 10.0).round() * 10.0;
    (*slower >= NOTABLE && mhz > 0.0).then(|| {
        format!(
            "launches that follow the SM clock took {slower:.1} times as long as predicted (median by time of {launches}): the recorded GPU may have run near {mhz:.0} MHz, for which --clock \"{mhz:.0} MHz\" prices it"
        )
    })
}

#[cfg(test)]
mod tests {
    use lumacycle_traces::Known;
    use lumacycle_workloads::KernelClass;

    use super::*;

    fn row(recorded_us: f64, predicted_us: f64, bound: Resource, count: u64) -> KernelRow {
        KernelRow {
            launch: 0,
            name: "kernel".to_owned(),
            operator: None,
            class: KernelClass::Gemm,
            known: Known::Kernel,
            count,
            recorded_us,
            predicted_us,
            launch_floor_us: 0.0,
            error_pct: Some(0.0),
            roofline_us: None,
            bound_by: Some(bound),
            tenth_more_saves_pct: 0.0,
            variant: String::new(),
            ctas: 1,
            waves: 1.0,
            occupancy_pct: 100.0,
            occupancy_limit: "none",
            gflop: 0.0,
            dram_mb: 0.0,
            l2_hit_pct: 0.0,
            energy_mj: 0.0,
            failure: None,
            note: None,
        }
    }

    #[test]
    fn a_slow_board_is_remarked_on() {
        let rows = [
            row(200.0, 100.0, Resource::Tensor, 30),
            // Memory says nothing of the SM clock.
            row(900.0, 100.0, Resource::Dram, 30),
        ];
        let said = remark(&rows, 1400.0).unwrap();
        assert!(said.contains("2.0 times") && said.contains("near 700 MHz"), "{said}");
    }

    #[test]
    fn few_launches_and_usual_clocks_are_not() {
        assert_eq!(remark(&[row(200.0, 100.0, Resource::Tensor, 3)], 1400.0), None);
        assert_eq!(remark(&[row(110.0, 100.0, Resource::Tensor, 300)], 1400.0), None);
        assert_eq!(remark(&[], 1400.0), None);
    }
}
