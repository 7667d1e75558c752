//! The arithmetic of the NGPC paper's emulator, for the reading *as published*.
//!
//! A frame has three parts on the GPU: encoding, networks, rest. The accelerator takes the first
//! two, the rest is fused and so many times faster, and both overlap completely, so that the
//! longer one is the frame. Tables are resident, banks never conflict, memory is never waited
//! for, every sample is useful: each processor does one pass of its MAC array per clock, and the
//! encoding keeps up. That the encodings' speedups differ only as their GPU times do says as much
//! (docs/ngpc.md).

use lumacycle_arch::Accelerator;
use serde::Serialize;

/// What the emulator is told of an application on the GPU.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Inputs {
    /// Frame on the GPU alone, in ns.
    pub gpu_ns: f64,
    /// Its kernels beside encoding and networks, in ns.
    pub rest_ns: f64,
    /// Whether these are fused already, so that they get no faster.
    pub rest_is_fused: bool,
    /// Samples of the frame.
    pub samples: f64,
    /// Passes of the MAC array for a sample.
    pub passes: f64,
}

/// What it says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Emulated {
    /// Encoding and networks on the accelerator, in ns.
    pub accelerator_ns: f64,
    /// The fused rest on the GPU, in ns.
    pub rest_ns: f64,
    /// The frame, in ns.
    pub frame_ns: f64,
    /// GPU alone over that.
    pub speedup: f64,
}

/// Emulates a frame.
pub fn emulate(accelerator: &Accelerator, inputs: &Inputs) -> Emulated {
    let units = f64::from(accelerator.accelerator.units) * f64::from(accelerator.mlp.arrays);
    let clock = accelerator.accelerator.clock.hz();
    let accelerator_ns = inputs.samples * inputs.passes / (units * clock) * 1e9;
    let faster = if inputs.rest_is_fused { 1.0 } else { accelerator.published.rest_speedup };
    let rest_ns = inputs.rest_ns / faster;
    let frame_ns = accelerator_ns.max(rest_ns);
    Emulated { accelerator_ns, rest_ns, frame_ns, speedup: inputs.gpu_ns / frame_ns }
}

/// Added area over that of the GPU's die, in percent.
pub fn area_pct(accelerator: &Accelerator, die_mm2: f64) -> f64 {
    accelerator.published.unit_area.mm2() * f64::from(accelerator.accelerator.units) / die_mm2
        * 100.0
}

/// Added power over the board's limit, in percent.
pub fn power_pct(accelerator: &Accelerator, limit_w: f64) -> f64 {
    accelerator.published.unit_power.watts() * f64::from(accelerator.accelerator.units) / limit_w
        * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumacycle_arch::Catalog;

    fn ngpc(units: u32) -> Accelerator {
        Catalog::embedded().accelerator(&format!("ngpc-{units}")).unwrap().accelerator
    }

    #[test]
    fn speedup_grows_with_processors_until_the_rest_decides() {
        let inputs =
            Inputs { gpu_ns: 1e7, rest_ns: 2.5e6, rest_is_fused: false, samples: 3e6, passes: 3.0 };
        let of = |units| emulate(&ngpc(units), &inputs);
        assert!((of(8).speedup - 1e7 / (9e6 / 8.0)).abs() < 1e-9);
        assert!((of(16).speedup / of(8).speedup - 2.0).abs() < 1e-9);
        assert_eq!(of(64).speedup, 1e7 / (2.5e6 / 9.94));
        assert_eq!(of(64).speedup, of(64).speedup.min(1e7 / of(64).rest_ns));
    }

    #[test]
    fn overheads_are_linear_in_processors() {
        let overhead = |units| area_pct(&ngpc(units), 628.4);
        assert!((overhead(64) / overhead(8) - 8.0).abs() < 1e-9);
        assert!((power_pct(&ngpc(64), 350.0) - 22.06).abs() < 0.05);
    }
}
