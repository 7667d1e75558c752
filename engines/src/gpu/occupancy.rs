//! How many CTAs an SM holds at once, from registers, shared memory, threads and slots with
//! their allocation granularities (CUDA occupancy rules).

use lumacycle_arch::Gpu;
use lumacycle_workloads::Launch;

use crate::cost::Occupancy;
use crate::{EngineError, gpu::sm::WARP};

/// Resident CTAs per SM with what limits them, and how many there would be room for if the grid
/// were endless.
///
/// # Errors
/// When not even one CTA fits.
pub fn occupancy(gpu: &Gpu, launch: &Launch) -> Result<(Occupancy, u32), EngineError> {
    let sm = &gpu.sm;
    let warps = launch.warps().max(1);
    let by_threads = u64::from(sm.max_threads) / (warps * WARP as u64);
    if by_threads == 0 || launch.threads() > 1024 {
        return Err(EngineError::CannotLaunch {
            what: "threads",
            needs: launch.threads(),
            has: u64::from(sm.max_threads.min(1024)),
        });
    }
    let mut limits = vec![("threads", by_threads), ("CTA slots", u64::from(sm.max_ctas))];
    if launch.registers > 0 {
        let unit = u64::from(sm.register_unit);
        let per_warp = (u64::from(launch.registers) * WARP as u64).div_ceil(unit) * unit;
        // Warps are allotted to schedulers evenly.
        let schedulers = (sm.issue_per_clock as u64).max(1);
        let warps_fit = u64::from(sm.registers) / per_warp / schedulers * schedulers;
        let fit = warps_fit / warps;
        if fit == 0 {
            return Err(EngineError::CannotLaunch {
                what: "registers",
                needs: per_warp * warps,
                has: u64::from(sm.registers),
            });
        }
        limits.push(("registers", fit));
    }
    if launch.shared_bytes > 0 {
        let wanted = u64::from(launch.shared_bytes);
        let most = sm.shared_memory_per_cta.bytes() as u64;
        if wanted > most {
            return Err(EngineError::CannotLaunch {
                what: "bytes of shared memory",
                needs: wanted,
                has: most,
            });
        }
        let unit = sm.shared_unit.bytes() as u64;
        let taken = (wanted + sm.shared_reserved.bytes() as u64).div_ceil(unit) * unit;
        limits.push(("shared memory", (sm.shared_memory.bytes() as u64 / taken).max(1)));
    }
    let room = limits.iter().map(|(_, n)| *n).min().unwrap_or(1).max(1);
    // A grid smaller than the device never fills it.
    let grid = launch.ctas().div_ceil(u64::from(sm.count));
    limits.push(("grid", grid));
    let (limit, ctas) = limits.into_iter().min_by_key(|(_, n)| *n).unwrap_or(("grid", 1));
    let most = f64::from(sm.max_threads) / WARP;
    let share = ((ctas * warps) as f64 / most).min(1.0);
    Ok((Occupancy { ctas_per_sm: ctas as u32, share, limit }, room as u32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumacycle_arch::Catalog;

    fn a100() -> Gpu {
        Catalog::embedded().get("a100-pcie-40gb").unwrap().gpu
    }

    #[test]
    fn cuda_calculator_examples() {
        let gpu = a100();
        let of = |threads, registers, shared| {
            occupancy(&gpu, &Launch::linear(1_000_000, threads, registers, shared)).unwrap().0
        };
        // 2048 threads / 128.
        assert_eq!((of(128, 32, 0).ctas_per_sm, of(128, 32, 0).limit), (16, "threads"));
        // 255 → 8192 registers a warp (granularity 256), 4 warps: two CTAs.
        assert_eq!((of(128, 255, 0).ctas_per_sm, of(128, 255, 0).limit), (2, "registers"));
        // 48 KiB + 1 KiB reserved in 164 KiB.
        assert_eq!((of(64, 32, 49152).ctas_per_sm, of(64, 32, 49152).limit), (3, "shared memory"));
        assert_eq!(of(32, 16, 0).limit, "CTA slots");
    }

    #[test]
    fn what_cannot_launch_says_why() {
        let gpu = a100();
        let error = occupancy(&gpu, &Launch::linear(1, 128, 32, 200 * 1024)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "one CTA needs 204800 bytes of shared memory, the SM has 166912"
        );
        assert!(occupancy(&gpu, &Launch::linear(1, 2048, 32, 0)).is_err());
    }
}
