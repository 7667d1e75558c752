//! The best rate that square products reach on a board (the suite `peaks`).
//!
//! Published tables give one figure for each board and type: the highest of several square sizes, in
//! TFLOP/s. It is compared with the highest that the model finds for these sizes, as the time that the
//! product of 8192 would take at that rate. Many boards of one generation with different power
//! limits stand in such tables, so they say more about limits and energies than many rows of one board.
//! Left out: types that a board has no tensor cores for (libraries convert or emulate), and boards that
//! the catalogue does not know.

use lumacycle_arch::{Catalog, Entry};
use lumacycle_engines::gpu::roofline;
use lumacycle_engines::{Cost, Engine, GpuEngine, L2Start};
use lumacycle_workloads::DType;
use lumacycle_workloads::ops::gemm::Math;
use lumacycle_workloads::ops::{Gemm, Operation, library};

use crate::expected::Setting;
use crate::measurements::Row;
use crate::suite::{Compared, Host, Measured};
use crate::wave::WaveRow;

/// Name of the suite.
pub const SUITE: &str = "peaks";
/// Columns that it cannot do without.
pub const COLUMNS: [&str; 4] = ["gpu", "metric", "value", "unit"];

/// Sizes that the tables try.
const SIDES: [u64; 4] = [2048, 4096, 8192, 10240];
/// Which of them rates are turned into times with.
pub(crate) const REFERENCE: usize = 2;

/// The board that a table names: as the catalogue does, without the family ("4090"), or with the size
/// of its memory ("RTX 4090 24GB"), which has to be the board's.
pub(crate) fn board(catalog: &Catalog, name: &str) -> Option<Entry> {
    let known =
        |name: &str| catalog.get(name).or_else(|_| catalog.get(&format!("RTX {name}"))).ok();
    known(name).or_else(|| {
        let (board, size) = name.trim().rsplit_once(' ')?;
        let gib: f64 = size.strip_suffix("GB").or_else(|| size.strip_suffix('G'))?.parse().ok()?;
        known(board).filter(|entry| {
            (entry.gpu.dram.capacity.bytes() / (gib * f64::from(1 << 30)) - 1.0).abs() < 0.1
        })
    })
}

/// A row as one product of each size, each with the time that the rate would mean.
///
/// # Errors
/// Says why a row cannot be used.
pub(crate) fn measured(row: &Row, entry: &Entry) -> Result<Vec<Measured>, String> {
    let metric = row.text("metric");
    let name = metric.strip_suffix("_gemm").ok_or("no rate of products")?;
    // "tf32(fp32)": single precision with tensor cores allowed.
    let name = name.split('(').next().unwrap_or(name);
    let dtype = DType::parse(name).ok_or_else(|| format!("unknown type {name}"))?;
    if row.text("unit") != "TFLOPS" {
        return Err(format!("unknown unit {}", row.text("unit")));
    }
    let rate = row.number("value").filter(|rate| *rate > 0.0).ok_or("no rate")?;
    let target = GpuEngine::new(&entry.gpu).target();
    let narrow = !matches!(dtype, DType::Fp32 | DType::Fp64);
    if narrow && library::math_for(dtype, &target) == Math::Simt {
        return Err("no tensor cores for this type".to_owned());
    }
    Ok(SIDES
        .map(|side| {
            let operation = Operation::Gemm(Gemm::new(side, side, side, dtype));
            let time_us = operation.flops() / rate / 1e6;
            Measured {
                operation,
                dtype,
                host: Host::Nothing,
                l2: L2Start::Warm,
                repeats: None,
                time_us,
            }
        })
        .into())
}

/// The best rate, as the time of the product of 8192 in us, and what the fastest costs.
pub(crate) fn best(engine: &GpuEngine<'_>, sizes: &[Measured]) -> Option<(f64, Cost)> {
    let flops = sizes.get(REFERENCE)?.operation.flops();
    sizes
        .iter()
        .filter_map(|size| {
            let cost = engine.price(&size.operation).ok()?;
            Some((cost.time_ns / 1e3 * flops / size.operation.flops(), cost))
        })
        .min_by(|a, b| a.0.total_cmp(&b.0))
}

/// One row with its prediction.
///
/// # Errors
/// Says why a row cannot be used.
pub fn compare(row: &Row, entry: &Entry) -> Result<Compared, String> {
    let sizes = measured(row, entry)?;
    let gpu = &entry.gpu;
    let engine = GpuEngine::new(gpu);
    let (predicted_us, cost) = best(&engine, &sizes).ok_or("no kernel fits")?;
    let one = &sizes[REFERENCE];
    let longest = cost.kernels.iter().max_by(|a, b| a.time_ns.total_cmp(&b.time_ns));
    Ok(Compared {
        reference: format!("{} {}", row.text("source"), row.text("ref")).trim().to_owned(),
        gpu: entry.id.clone(),
        dtype: one.dtype.name().to_owned(),
        measured_us: one.time_us,
        predicted_us,
        roofline_us: roofline::time_ns(gpu, &one.operation, one.dtype) / 1e3,
        wave_us: 0.0,
        shape: WaveRow::of(gpu, &engine.target(), &one.operation, one.dtype, 0.0, one.time_us),
        bound_by: cost.binding.name(),
        variant: longest.map_or_else(String::new, |kernel| {
            format!("{}, {:.0} MHz", kernel.variant, kernel.clock_mhz)
        }),
        waves: longest.map_or(0.0, |kernel| kernel.waves),
        occupancy_pct: longest.map_or(0.0, |kernel| kernel.occupancy.share * 100.0),
        setting: Setting::of(gpu, false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(gpu: &str, metric: &str, value: &str) -> Row {
        Row::of(&[("gpu", gpu), ("metric", metric), ("value", value), ("unit", "TFLOPS")])
    }

    #[test]
    fn boards_are_known_by_what_tables_call_them() {
        let catalog = Catalog::embedded();
        let id = |name: &str| board(&catalog, name).map(|entry| entry.id);
        assert_eq!(id("4090").as_deref(), Some("rtx4090"));
        assert_eq!(id("NVIDIA RTX 4090 24GB").as_deref(), Some("rtx4090"));
        // Not the board's memory: another board, or one that somebody changed.
        assert_eq!(id("NVIDIA RTX 4090 48GB"), None);
        assert_eq!(id("AMD Radeon RX 7900 XTX"), None);
    }

    #[test]
    fn a_rate_is_a_time_and_the_best_size_counts() {
        let entry = Catalog::embedded().get("rtx4090").unwrap();
        let sizes = measured(&row("4090", "fp16_gemm", "165"), &entry).unwrap();
        let one = &sizes[REFERENCE];
        assert!((one.time_us - one.operation.flops() / 165e6).abs() < 1e-6);
        let engine = GpuEngine::new(&entry.gpu);
        let (time_us, _) = best(&engine, &sizes).unwrap();
        for size in &sizes {
            let alone = engine.price(&size.operation).unwrap().time_ns / 1e3;
            let scaled = alone * one.operation.flops() / size.operation.flops();
            assert!(time_us <= scaled * (1.0 + 1e-12));
        }
    }

    #[test]
    fn what_no_tensor_core_multiplies_is_left_out() {
        let entry = Catalog::embedded().get("v100-sxm2-16gb").unwrap();
        let of = |metric| measured(&row("V100", metric, "10"), &entry).err();
        assert_eq!(of("bf16_gemm").as_deref(), Some("no tensor cores for this type"));
        assert_eq!(of("copy_bw").as_deref(), Some("no rate of products"));
        assert_eq!(of("fp32_gemm"), None);
    }
}
