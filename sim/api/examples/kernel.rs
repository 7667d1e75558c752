//! One product on three generations: time, what binds, and mean power.

use lumacycle::Options;
use lumacycle::workloads::DType;
use lumacycle::workloads::ops::{Gemm, Operation};

/// Prints what it found.
#[expect(clippy::print_stdout, reason = "an example shows what it found")]
pub fn main() -> Result<(), lumacycle::Error> {
    let work = Operation::Gemm(Gemm::new(4096, 4096, 4096, DType::Fp16));
    for name in ["v100-sxm2-16gb", "a100-sxm4-80gb", "h100-sxm"] {
        let gpu = lumacycle::gpu(name)?;
        let cost = lumacycle::kernel(&work, &gpu, Options::default())?;
        // 1 pJ / 1 ns = 1 mW.
        let watts = cost.energy.total_pj() / cost.time_ns * 1e-3;
        println!("{name}: {:.0} us, bound by {}, {watts:.0} W", cost.time_ns / 1e3, cost.binding);
    }
    Ok(())
}
