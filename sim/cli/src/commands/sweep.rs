//! `lumacycle kernel … --sweep-clock`: time, power and energy over the SM clock, with the clock of
//! least energy.

use lumacycle_arch::Entry;
use lumacycle_engines::{Engine, GpuEngine, Options};
use lumacycle_workloads::ops::Operation;
use serde::Serialize;
use serde_json::json;

use super::catalog::{csv, json_out};
use crate::args::{Format, OutputArgs};
use crate::failure::Failure;
use crate::output::{self, short};

/// Lowest clock of a sweep, as a share of the highest.
const LOWEST: f64 = 0.3;

/// One clock of a sweep.
#[derive(Debug, Serialize)]
struct Step {
    gpu: String,
    kernel: String,
    clock_mhz: f64,
    mem_clock_mhz: f64,
    time_us: f64,
    power_w: f64,
    energy_mj: f64,
    gflop_per_j: f64,
    /// Above the board limit: the board would not stay there.
    over_limit: bool,
    /// Least energy of all.
    optimal: bool,
}

/// Prices the operation at `steps` clocks of each GPU and prints the curves.
pub fn run(
    operation: &Operation,
    (gpus, options): (&[Entry], Options),
    steps: u32,
    out: &OutputArgs,
) -> Result<(), Failure> {
    let mut all: Vec<Step> = Vec::new();
    for entry in gpus {
        all.extend(curve(operation, entry, options, steps)?);
    }
    let header = [
        "gpu",
        "kernel",
        "clock_mhz",
        "mem_clock_mhz",
        "time_us",
        "power_w",
        "energy_mj",
        "gflop_per_j",
        "over_limit",
        "optimal",
    ];
    match out.format {
        Format::Json => json_out(out, &json!({"version": lumacycle_sim::VERSION, "sweep": all})),
        Format::Csv => {
            let rows = all.iter().map(|step| {
                vec![
                    step.gpu.clone(),
                    step.kernel.clone(),
                    format!("{:.1}", step.clock_mhz),
                    format!("{:.1}", step.mem_clock_mhz),
                    format!("{:.4}", step.time_us),
                    format!("{:.3}", step.power_w),
                    format!("{:.6}", step.energy_mj),
                    format!("{:.4}", step.gflop_per_j),
                    step.over_limit.to_string(),
                    step.optimal.to_string(),
                ]
            });
            output::write(out.output.as_deref(), &csv(&header, rows)?)
        }
        Format::Table => {
            let shown = ["GPU", "clock MHz", "time us", "power W", "energy mJ", "GFLOP/J", "note"];
            let mut table = output::table(&shown, 1);
            for step in &all {
                let note = match (step.optimal, step.over_limit) {
                    (true, false) => "least energy",
                    (true, true) => "least energy; above the board limit",
                    (false, true) => "above the board limit",
                    (false, false) => "",
                };
                table.add_row(vec![
                    step.gpu.clone(),
                    format!("{:.0}", step.clock_mhz),
                    short(step.time_us),
                    format!("{:.0}", step.power_w),
                    short(step.energy_mj),
                    short(step.gflop_per_j),
                    note.to_owned(),
                ]);
            }
            output::write(out.output.as_deref(), output::render(&table).as_bytes())
        }
    }
}

fn curve(
    operation: &Operation,
    entry: &Entry,
    options: Options,
    steps: u32,
) -> Result<Vec<Step>, Failure> {
    let gpu = &entry.gpu;
    let highest = gpu.clocks.boost.hz().max(gpu.clocks.typical.hz());
    let limit = options.power_limit_w.unwrap_or_else(|| gpu.power.limit.watts());
    let mut curve = Vec::new();
    for step in 0..steps {
        let share = LOWEST + (1.0 - LOWEST) * f64::from(step) / f64::from(steps - 1);
        let clock_hz = highest * share;
        let engine = GpuEngine::new(gpu).with(Options { clock_hz: Some(clock_hz), ..options });
        let cost = engine
            .price(operation)
            .map_err(|error| Failure::usage(error.to_string(), "choose another GPU or type"))?;
        let longest = cost.kernels.iter().max_by(|a, b| a.time_ns.total_cmp(&b.time_ns));
        // 1 pJ / 1 ns = 1 mW.
        let power_w = cost.energy.total_pj() / cost.time_ns * 1e-3;
        curve.push(Step {
            gpu: entry.id.clone(),
            kernel: longest.map_or_else(String::new, |kernel| kernel.variant.clone()),
            clock_mhz: clock_hz / 1e6,
            mem_clock_mhz: options.mem_clock_hz.unwrap_or_else(|| gpu.memory_clock_hz()) / 1e6,
            time_us: cost.time_ns / 1e3,
            power_w,
            energy_mj: cost.energy.total_pj() / 1e9,
            gflop_per_j: operation.flops() / cost.energy.total_pj() * 1e3,
            over_limit: power_w > limit,
            optimal: false,
        });
    }
    let least = curve.iter_mut().min_by(|a, b| a.energy_mj.total_cmp(&b.energy_mj));
    if let Some(step) = least {
        step.optimal = true;
    }
    Ok(curve)
}
