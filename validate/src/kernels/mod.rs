//! Open-source teaching kernels under `NVBench` (the suite `kernels`).
//!
//! A row names a kernel of a well-known textbook or of a small benchmark, its sizes, and its time.
//! From its source, counted by hand for one warp, come the counters that a profiler would show:
//! instructions by kind, requests, wavefronts, bytes. They are priced as any kernel known by its
//! counters, with a flushed L2 or a warm one as the row was timed. No count was fitted to a time;
//! they are what compilers make of such loops, to within a third. Left out: histograms, and
//! recordings that ignored their sizes.

mod program;
mod small;
mod textbook;

use std::collections::BTreeMap;

use lumacycle_arch::{Entry, Gpu};
use lumacycle_engines::gpu::{roofline, traffic::kept_in_l2};
use lumacycle_engines::{Cost, Engine, GpuEngine};
use lumacycle_workloads::ops::{Counters, Operation};
use lumacycle_workloads::{DType, KernelClass, Launch};

use self::program::{Described, WARP};
use crate::expected::Setting;
use crate::measurements::Row;
use crate::suite::Compared;
use crate::wave::WaveRow;

/// Name of the suite.
pub const SUITE: &str = "kernels";

/// What a row says of its kernel.
struct Sizes<'a> {
    row: &'a Row,
    /// How often requests that miss pass L1's data array.
    miss_passes: f64,
}

impl Sizes<'_> {
    /// `Key=value` among the parameters.
    fn get(&self, key: &str) -> Result<f64, String> {
        let params = self.row.text("params").split_whitespace();
        let mut values = params.filter_map(|pair| pair.split_once('='));
        let value = values.find(|(name, _)| *name == key).map(|(_, value)| value);
        let number = value.and_then(|text| text.parse::<f64>().ok());
        number.filter(|n| *n >= 1.0).ok_or_else(|| format!("no {key}"))
    }
}

/// The launches of a row, one after another.
fn described(row: &Row, sizes: &Sizes<'_>) -> Result<Vec<Described>, String> {
    let name = row.text("kernel");
    if row.text("source") == "pmpp_nvbench" {
        textbook::described(name, sizes)
    } else {
        small::described(name, sizes).map(|kernel| vec![kernel])
    }
}

/// Whether L2 keeps what it held when the launch before ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// `NVBench` flushes it.
    Cold,
    /// Many launches in a row.
    Warm,
}

/// What a profiler would count.
fn counters(gpu: &Gpu, kernel: &Described, start: Start) -> Counters {
    let ctas = (kernel.items / kernel.threads).ceil().max(1.0);
    let warps = ctas * (kernel.threads / WARP).ceil();
    let program = &kernel.program;
    let whole = |value: f64| value.max(0.0) as u32;
    let launch = Launch::linear(ctas as u64, whole(kernel.threads), 32, whole(kernel.shared_bytes));
    let l2_read_bytes = kernel.read_bytes.max(warps * program.l2_bytes);
    let touched = kernel.read_bytes + kernel.write_bytes;
    let (dram_read_bytes, dram_write_bytes) = match start {
        // What fits stays dirty in L2.
        Start::Cold => {
            let kept = gpu.l2.capacity.bytes() * gpu.l2.reach;
            (kernel.read_bytes, (kernel.write_bytes - kept).max(0.0))
        }
        Start::Warm => {
            let missed = 1.0 - kept_in_l2(gpu, touched);
            (kernel.read_bytes * missed, kernel.write_bytes * missed)
        }
    };
    Counters {
        fp32: warps * program.fp32,
        fp64: warps * program.fp64,
        fp64_conversions: Some(0.0),
        sfu: warps * program.sfu,
        int32: warps * program.int32,
        control: warps * program.control,
        other: warps * program.other,
        memory: warps * program.memory(),
        loads: warps * program.loads,
        shared_loads: warps * program.shared_loads,
        shared_wavefronts: warps
            * (program.shared_loads + program.shared_stores + program.conflicts),
        l1_wavefronts: warps * program.l1_passes,
        l1_bytes: (warps * program.l1_bytes).max(l2_read_bytes),
        l2_read_bytes,
        l2_write_bytes: kernel.write_bytes.max(warps * program.written_bytes),
        dram_read_bytes,
        dram_write_bytes,
        ..Counters::none(launch)
    }
}

/// What the host adds to kernels that it waits for inside of what is timed (allocation, copies of
/// sums, launches of the next level): `NVBench` cannot batch these, so no batch time is recorded.
/// Taken as the shortest recorded time of the same kernel on the same GPU, at sizes that keep no
/// GPU busy, for each kind of work that the host does apart.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HostParts(BTreeMap<(String, String, HostWork), f64>);

/// What the host does inside of what is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum HostWork {
    /// One launch of one CTA.
    Single,
    /// Further levels over the sums of CTAs.
    Levels,
    /// The same, and memory for the sums that has to come from the system: small arrays leave room
    /// for it in the slab of 2 MiB that holds them.
    Slab,
}

/// Memory that the driver maps at once for small allocations.
const SLAB_BYTES: f64 = 2_097_152.0;

impl HostParts {
    /// Of all rows, clean or not.
    pub fn of(rows: &[Row]) -> Self {
        let mut parts = BTreeMap::new();
        for row in rows.iter().filter(|row| waited_for(row)) {
            if let Some(time) = row.number("runtime_us").filter(|time| *time > 0.0) {
                let least = parts.entry(key(row)).or_insert(time);
                *least = time.min(*least);
            }
        }
        Self(parts)
    }

    fn us(&self, row: &Row) -> f64 {
        if waited_for(row) { self.0.get(&key(row)).copied().unwrap_or(0.0) } else { 0.0 }
    }
}

fn waited_for(row: &Row) -> bool {
    row.text("source") == "pmpp_nvbench" && row.number("runtime_hot_batch_us").is_none()
}

fn key(row: &Row) -> (String, String, HostWork) {
    let name = row.text("kernel");
    let work = match described(row, &Sizes { row, miss_passes: 1.0 }).as_deref() {
        Ok([first, ..]) if first.items > first.threads => {
            // Scans allocate and free; reductions use what they have.
            if name.contains("Scan") && 2.0 * first.read_bytes >= SLAB_BYTES {
                HostWork::Slab
            } else {
                HostWork::Levels
            }
        }
        _ => HostWork::Single,
    };
    let kernel = name.split(" (").next().unwrap_or_default();
    (row.text("gpu").to_owned(), kernel.to_owned(), work)
}

/// One row with its prediction.
///
/// # Errors
/// Says why a row cannot be used.
pub fn compare(row: &Row, entry: &Entry, host: &HostParts) -> Result<Compared, String> {
    let gpu = &entry.gpu;
    let measured_us = row.number("runtime_us").filter(|t| *t > 0.0).ok_or("no measured time")?;
    if row.text("source") == "test1_kernels" && entry.id == "titan-x-maxwell" {
        return Err("the recorded program ignored its sizes".to_owned());
    }
    let name = row.text("kernel");
    let kernels = described(row, &Sizes { row, miss_passes: gpu.l1.miss_passes })?;
    let dtype = DType::Fp32;
    let peak = roofline::peak_flops(gpu, KernelClass::Counters, dtype);
    let bandwidth = gpu.dram.bandwidth.bytes_per_s();
    let engine = GpuEngine::new(gpu);
    let start = if row.text("timing") == "B" { Start::Warm } else { Start::Cold };
    let (mut time_ns, mut roofline_us) = (0.0, 0.0);
    let mut longest: Option<(Cost, Operation)> = None;
    for kernel in &kernels {
        let counted = counters(gpu, kernel, start);
        roofline_us += (counted.flops() / peak).max(counted.dram_bytes() / bandwidth) * 1e6;
        let operation = Operation::Counters(counted);
        let cost = engine.price(&operation).map_err(|error| error.to_string())?;
        time_ns += cost.time_ns;
        if longest.as_ref().is_none_or(|(other, _)| cost.time_ns > other.time_ns) {
            longest = Some((cost, operation));
        }
    }
    let (cost, operation) = longest.ok_or("no launch")?;
    let priced = cost.kernels.first();
    let host_us = host.us(row);
    Ok(Compared {
        reference: format!("{} {}", row.text("source"), row.text("ref")).trim().to_owned(),
        gpu: entry.id.clone(),
        dtype: dtype.name().to_owned(),
        measured_us,
        predicted_us: time_ns / 1e3 + host_us,
        roofline_us: roofline_us + host_us,
        wave_us: 0.0,
        shape: WaveRow::of(gpu, &engine.target(), &operation, dtype, 0.0, measured_us),
        bound_by: cost.binding.name(),
        variant: format!("{name}: {}", row.text("params")),
        waves: priced.map_or(0.0, |kernel| kernel.waves),
        occupancy_pct: priced.map_or(0.0, |kernel| kernel.occupancy.share * 100.0),
        setting: Setting::of(gpu, true),
    })
}
