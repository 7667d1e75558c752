//! The clock that a kernel settles at when it runs for long.
//!
//! A board lowers its clock until average power meets the limit. Voltage falls with the clock, so
//! power falls faster than speed. The kernel is taken to repeat for long enough that nothing of
//! the start is left (seconds); thermal limits and the steps of real clock tables are left out.

use super::{GpuEngine, Options};
use crate::cost::KernelCost;

/// Halvings of the range of clocks: to a thousandth.
const STEPS: u32 = 10;

/// Prices at the usual clock, or at the highest at which power stays within the limit. A clock
/// that the options fix is kept.
pub(super) fn settle(
    engine: &GpuEngine<'_>,
    price: impl Fn(&GpuEngine<'_>) -> KernelCost,
) -> KernelCost {
    let cost = price(engine);
    if engine.options.clock_hz.is_some() || within(engine, &cost) {
        return cost;
    }
    let at =
        |clock_hz: f64| price(&engine.with(Options { clock_hz: Some(clock_hz), ..engine.options }));
    let mut high = engine.clock_hz();
    // No board stops: below half its base clock it draws what it draws.
    let mut low = engine.gpu.clocks.base.hz().min(high) * 0.5;
    let mut settled = at(low);
    for _ in 0..STEPS {
        let middle = f64::midpoint(low, high);
        let tried = at(middle);
        if within(engine, &tried) {
            low = middle;
            settled = tried;
        } else {
            high = middle;
        }
    }
    settled
}

fn within(engine: &GpuEngine<'_>, cost: &KernelCost) -> bool {
    // 1 pJ / 1 ns = 1 mW.
    let watts = cost.energy.total_pj() / cost.time_ns * 1e-3;
    watts <= engine.power_limit_w()
}
