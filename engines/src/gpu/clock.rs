//! The clock at which work that runs for long stays within the power limit.
//!
//! A board lowers its clock until average power meets the limit. Voltage falls with the clock, so
//! power falls faster than speed. Work is taken to repeat for long enough that nothing of the start is
//! left (seconds): a kernel that is asked for alone, or the whole frame or profile that a kernel is part
//! of. Where it is known how often a kernel ran (`Options::repeats`), it runs at the usual clock until the limit
//! tells (`power.limit_delay`). Thermal limits and the steps of real clock tables are left out.

use super::{GpuEngine, Options};
use crate::cost::KernelCost;

/// Tries at most; five do nearly always.
const STEPS: u32 = 14;
/// A limit met from below to this share is met.
const MET: f64 = 1e-3;

/// Prices at the usual clock, or at the highest at which power stays within the limit; at a clock in
/// between where only a part of the runs comes after the limit has told. A clock that the options fix is kept.
pub(super) fn settle(
    engine: &GpuEngine<'_>,
    price: impl Fn(&GpuEngine<'_>) -> KernelCost,
) -> KernelCost {
    let settled: Result<_, std::convert::Infallible> = within_limit(
        engine,
        |engine| Ok(price(engine)),
        // 1 pJ / 1 ns = 1 mW.
        |cost| cost.energy.total_pj() / cost.time_ns * 1e-3,
    );
    let (slowed, cost) = match settled {
        Ok(settled) => settled,
        Err(never) => match never {},
    };
    let (usual, slow) = (engine.clock_hz(), slowed.clock_hz());
    let Some(repeats) = engine.options.repeats.filter(|_| slow < usual) else { return cost };
    // The first runs are over before the limit tells; the others take as long as they do in the long run.
    let free = price(&engine.with(Options { clock_hz: Some(usual), ..engine.options }));
    let before =
        engine.gpu.power.limit_delay.ns() / (repeats * free.time_ns).max(f64::MIN_POSITIVE);
    if before >= 1.0 {
        return free;
    }
    let mean = 1.0 / (before / usual + (1.0 - before) / slow);
    price(&engine.with(Options { clock_hz: Some(mean), ..engine.options }))
}

/// The engine at the highest clock at which `run` draws no more than the board's limit on average
/// (`watts`), and its result there. A clock that the options fix is kept, as is the usual one where it
/// suffices; the lowest is half the base clock, below which no board goes.
///
/// # Errors
/// Those of `run`.
pub fn within_limit<'a, T, E>(
    engine: &GpuEngine<'a>,
    mut run: impl FnMut(&GpuEngine<'a>) -> Result<T, E>,
    watts: impl Fn(&T) -> f64,
) -> Result<(GpuEngine<'a>, T), E> {
    let limit_w = engine.power_limit_w();
    let free = run(engine)?;
    let mut above = watts(&free) / limit_w - 1.0;
    if engine.options.clock_hz.is_some() || above <= 0.0 {
        return Ok((*engine, free));
    }
    let at = |clock_hz: f64| engine.with(Options { clock_hz: Some(clock_hz), ..engine.options });
    let mut high = engine.clock_hz();
    let mut low = engine.gpu.clocks.base.hz().min(high) * 0.5;
    let mut settled = (at(low), run(&at(low))?);
    let mut below = watts(&settled.1) / limit_w - 1.0;
    // Regula falsi; an end that stays counts half each time (Illinois), so that both close in.
    for _ in 0..STEPS {
        if below > 0.0 || below > -MET || high - low < 1e-4 * high {
            break;
        }
        let share = (below / (below - above)).clamp(0.02, 0.98);
        let engine = at(low + (high - low) * share);
        let tried = run(&engine)?;
        let off = watts(&tried) / limit_w - 1.0;
        if off <= 0.0 {
            (low, below) = (engine.clock_hz(), off);
            settled = (engine, tried);
            above *= 0.5;
        } else {
            (high, above) = (engine.clock_hz(), off);
            below = (below * 0.5).min(-2.0 * MET);
        }
    }
    Ok(settled)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use lumacycle_arch::Catalog;
    use lumacycle_workloads::DType;
    use lumacycle_workloads::ops::{Gemm, Operation};
    use proptest::prelude::*;

    use super::*;

    /// A product of seconds at a board's limit: one call is over before the limit tells, many take as long as
    /// in the long run, and nothing in between is out of order.
    #[test]
    fn the_limit_tells_after_its_delay() {
        use crate::Engine as _;
        let gpu = Catalog::embedded().get("a100-pcie-40gb").unwrap().gpu;
        let gemm = Gemm::new(8192, 8192, 8192, DType::Fp16);
        let operation = Operation::Gemm(gemm);
        let time_ns =
            |options| GpuEngine::new(&gpu).with(options).price(&operation).unwrap().time_ns;
        let after = |n: f64| time_ns(Options { repeats: Some(n), ..Options::default() });
        let usual = Some(gpu.clocks.typical.hz());
        let free = time_ns(Options { clock_hz: usual, ..Options::default() });
        let settled = time_ns(Options::default());
        assert!(settled > 1.05 * free, "{settled} {free}");
        // A tenth of a call does not outlast the delay.
        assert!(0.1 * free < gpu.power.limit_delay.ns());
        assert_eq!(after(0.1), free);
        let times = [0.1, 1.0, 2.0, 5.0, 50.0, 5e4].map(after);
        assert!(times.is_sorted(), "{times:?}");
        assert!((times[5] / settled - 1.0).abs() < 1e-3, "{times:?} {settled}");
    }

    proptest! {
        /// Whatever power does with the clock, as long as it rises with it.
        #[test]
        fn the_limit_is_met_from_below(
            limit_w in 20.0..600.0_f64,
            at_rest in 0.0..200.0_f64,
            full in 1.0..900.0_f64,
            power in 1.0..3.5_f64,
        ) {
            let gpu = Catalog::embedded().get("a100-sxm4-80gb").unwrap().gpu;
            let options = Options { power_limit_w: Some(limit_w), ..Options::default() };
            let engine = GpuEngine::new(&gpu).with(options);
            let usual = engine.clock_hz();
            let watts = |clock: f64| at_rest + full * libm::pow(clock / usual, power);
            let mut tries = 0;
            let run = |engine: &GpuEngine<'_>| {
                tries += 1;
                Ok::<_, Infallible>(watts(engine.clock_hz()))
            };
            let Ok((settled, drawn)) = within_limit(&engine, run, |drawn| *drawn);
            let lowest = gpu.clocks.base.hz() * 0.5;
            prop_assert_eq!(drawn, watts(settled.clock_hz()));
            if watts(usual) <= limit_w {
                prop_assert_eq!(settled.clock_hz(), usual);
            } else if watts(lowest) > limit_w {
                prop_assert_eq!(settled.clock_hz(), lowest);
            } else {
                prop_assert!(drawn <= limit_w && drawn >= limit_w * 0.998, "{drawn} of {limit_w}");
            }
            prop_assert!(tries <= STEPS + 2);
        }
    }
}
