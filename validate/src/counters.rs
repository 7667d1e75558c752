//! Kernels driven by their profiler counters at many pairs of core and memory clocks.
//!
//! A row holds nvprof's counters of one kernel at one pair of clocks. Instructions, transactions,
//! launch shape and achieved occupancy become an operation that is priced at these clocks. Not
//! used, because the time is in them: the time itself, instructions per clock, eligible warps,
//! SM activity, and every throughput. Left out: the configuration of shared memory and registers,
//! for which the achieved occupancy stands.

use lumacycle_arch::Entry;
use lumacycle_engines::gpu::roofline;
use lumacycle_engines::{Engine, GpuEngine, Options};
use lumacycle_workloads::ops::{Counters, Operation};
use lumacycle_workloads::{DType, KernelClass, Launch};

use crate::expected::Setting;
use crate::measurements::Row;
use crate::suite::Compared;
use crate::wave::WaveRow;

/// Name of the suite.
pub const SUITE: &str = "kernel_counters_dvfs";

/// Columns that a table needs.
pub const COLUMNS: [&str; 8] =
    ["gpu", "coreF", "memF", "time/ms", "blocks", "warps", "achieved_occupancy", "inst_executed"];

/// Bytes of a transaction with L1, L2 or DRAM.
const SECTOR: f64 = 32.0;
/// Threads of a warp.
const WARP: f64 = 32.0;
/// Sectors that one instruction of a kernel without plain loads looks up: texture reads of four
/// bytes a lane in tiles of two rows.
const SECTORS_OF_A_TEXTURE_READ: f64 = 8.0;

/// One row with its prediction.
///
/// # Errors
/// Says why a row cannot be used.
pub fn compare(row: &Row, entry: &Entry) -> Result<Compared, String> {
    let gpu = &entry.gpu;
    let measured_us = row.number("time/ms").filter(|t| *t > 0.0).ok_or("no measured time")? * 1e3;
    let clock = |column| row.number(column).filter(|mhz| *mhz > 0.0).map(|mhz| mhz * 1e6);
    let core_hz = clock("coreF").ok_or("no core clock")?;
    let memory_hz = clock("memF").ok_or("no memory clock")?;
    let counters = counters(row, f64::from(gpu.sm.max_threads) / WARP)?;
    let dtype = if counters.fp64 > counters.fp32 { DType::Fp64 } else { DType::Fp32 };
    let options =
        Options { clock_hz: Some(core_hz), mem_clock_hz: Some(memory_hz), ..Options::default() };
    let engine = GpuEngine::new(gpu).with(options);
    // The spec sheet's two numbers, at the clocks of the row.
    let flops = zero_or(row, "flop_count_sp") + zero_or(row, "flop_count_dp");
    let peak =
        roofline::peak_flops(gpu, KernelClass::Counters, dtype) * core_hz / gpu.clocks.boost.hz();
    let bandwidth = gpu.dram.bandwidth.bytes_per_s() * engine.memory_scale();
    let roofline_us = (flops / peak).max(counters.dram_bytes() / bandwidth) * 1e6;
    let operation = Operation::Counters(counters);
    let cost = engine.price(&operation).map_err(|error| error.to_string())?;
    let kernel = cost.kernels.first();
    Ok(Compared {
        reference: row.text("ref").to_owned(),
        gpu: entry.id.clone(),
        dtype: dtype.name().to_owned(),
        measured_us,
        predicted_us: cost.time_ns / 1e3,
        roofline_us,
        wave_us: 0.0,
        shape: WaveRow::of(gpu, &engine.target(), &operation, dtype, 0.0, measured_us),
        bound_by: cost.binding.name(),
        variant: format!(
            "{} at {}/{} MHz",
            row.text("appName"),
            row.text("coreF"),
            row.text("memF")
        ),
        waves: kernel.map_or(0.0, |kernel| kernel.waves),
        occupancy_pct: kernel.map_or(0.0, |kernel| kernel.occupancy.share * 100.0),
        setting: Setting::of(gpu, true),
    })
}

fn zero_or(row: &Row, column: &str) -> f64 {
    row.number(column).unwrap_or(0.0).max(0.0)
}

/// What the profiler counted. `most_warps` is what an SM can hold.
pub(crate) fn counters(row: &Row, most_warps: f64) -> Result<Counters, String> {
    let launch = launch(row.text("blocks")).ok_or("no launch shape")?;
    let get = |column: &str| zero_or(row, column);
    // Counted by thread; a warp of which few threads are active takes a slot all the same.
    let active = match row.number("warp_execution_efficiency") {
        Some(share) if share > 0.0 => share.clamp(1.0 / WARP, 1.0),
        _ => 1.0,
    };
    let by_thread = |column: &str| get(column) / WARP / active;
    let requests = |kind: &str| {
        let each = get(&format!("{kind}_transactions_per_request"));
        if each > 0.0 { get(&format!("{kind}_transactions")) / each } else { 0.0 }
    };
    let (reads, writes) = (requests("gld"), requests("gst"));
    let (shared_reads, shared_writes) = (requests("shared_load"), requests("shared_store"));
    let sectors = get("tex_cache_transactions");
    let mut counters = Counters {
        fp32: by_thread("inst_fp_32"),
        fp64: by_thread("inst_fp_64"),
        int32: by_thread("inst_integer"),
        sfu: by_thread("flop_count_sp_special"),
        control: get("cf_executed"),
        memory: reads + writes + shared_reads + shared_writes,
        loads: if reads > 0.0 { reads } else { sectors / SECTORS_OF_A_TEXTURE_READ },
        shared_loads: shared_reads,
        shared_wavefronts: get("shared_load_transactions") + get("shared_store_transactions"),
        l1_bytes: sectors * SECTOR,
        l2_read_bytes: get("l2_read_transactions") * SECTOR,
        l2_write_bytes: get("l2_write_transactions") * SECTOR,
        dram_read_bytes: get("dram_read_transactions") * SECTOR,
        dram_write_bytes: get("dram_write_transactions") * SECTOR,
        resident_warps: get("achieved_occupancy").min(1.0) * most_warps,
        active_threads: active * WARP,
        ..Counters::none(launch)
    };
    counters.other = (get("inst_executed") - counters.instructions()).max(0.0);
    Ok(counters)
}

/// A launch as the profiler prints it: "(64 64 1) (16 16 1)".
fn launch(text: &str) -> Option<Launch> {
    let mut sizes = text
        .split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .map(|digits| digits.parse::<u32>().ok().filter(|size| *size > 0));
    let mut three = || Some([sizes.next()??, sizes.next()??, sizes.next()??]);
    let (grid, block) = (three()?, three()?);
    // Registers and shared memory are not recorded; the achieved occupancy has them in it.
    let launch = Launch { grid, block, registers: 0, shared_bytes: 0 };
    launch.is_possible().then_some(launch)
}

#[cfg(test)]
mod tests {
    use lumacycle_arch::Catalog;

    use super::*;

    /// One row of a made-up kernel that adds vectors, with cells replaced.
    fn row(changes: &[(&str, &str)]) -> Row {
        let mut cells = vec![
            ("gpu", "GTX980"),
            ("coreF", "1100"),
            ("memF", "3100"),
            ("time/ms", "1.1"),
            ("blocks", "(65536 1 1) (256 1 1)"),
            ("warps", "524288"),
            ("achieved_occupancy", "0.88"),
            ("warp_execution_efficiency", "1"),
            ("inst_executed", "11010048"),
            ("inst_fp_32", "16777216"),
            ("inst_integer", "201326592"),
            ("cf_executed", "1048576"),
            ("gld_transactions", "8388608"),
            ("gld_transactions_per_request", "8"),
            ("tex_cache_transactions", "4194304"),
            ("l2_read_transactions", "4194304"),
            ("l2_write_transactions", "2097152"),
            ("dram_read_transactions", "4194304"),
            ("dram_write_transactions", "2097152"),
        ];
        for (name, value) in changes {
            match cells.iter_mut().find(|(known, _)| known == name) {
                Some(cell) => cell.1 = value,
                None => cells.push((name, value)),
            }
        }
        Row::of(&cells)
    }

    fn predicted(changes: &[(&str, &str)]) -> f64 {
        let entry = Catalog::embedded().get("GTX980").unwrap();
        compare(&row(changes), &entry).unwrap().predicted_us
    }

    #[test]
    fn counts_by_thread_become_counts_by_warp() {
        let full = counters(&row(&[]), 64.0).unwrap();
        assert!((full.fp32 - 524_288.0).abs() < 1e-6);
        assert!((full.loads - 1_048_576.0).abs() < 1e-6);
        assert!((full.instructions() - 11_010_048.0).abs() < 1e-6);
        let half = counters(&row(&[("warp_execution_efficiency", "0.5")]), 64.0).unwrap();
        assert!((half.fp32 - 2.0 * full.fp32).abs() < 1e-6);
    }

    #[test]
    fn the_measured_time_and_rates_are_not_looked_at() {
        let plain = predicted(&[]);
        let other = predicted(&[
            ("time/ms", "77"),
            ("ipc", "3.9"),
            ("dram_read_throughput", "999"),
            ("sm_efficiency", "0.1"),
            ("eligible_warps_per_cycle", "9"),
        ]);
        assert!((plain - other).abs() < 1e-9);
    }

    #[test]
    fn both_clocks_count() {
        let plain = predicted(&[]);
        assert!(predicted(&[("memF", "1550")]) > 1.8 * plain);
        assert!(predicted(&[("coreF", "300")]) > 1.5 * plain);
    }

    #[test]
    fn launches_are_read_as_printed() {
        let launch = launch("(64 2 1) (16 4 1)").unwrap();
        assert_eq!((launch.ctas(), launch.threads()), (128, 64));
        for broken in ["", "(1 1 1)", "(1 1 1) (0 1 1)", "(1 1 1) (2048 1 1)"] {
            assert!(super::launch(broken).is_none(), "{broken}");
        }
    }
}
