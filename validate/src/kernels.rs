//! Open-source teaching kernels under `NVBench` (the suite `kernels`).
//!
//! A row names a kernel of a well-known textbook or of a small benchmark, its sizes, and its time
//! with a flushed L2. From what the algorithm does, counted by hand for one warp, come the
//! counters that a profiler would show: instructions by kind, requests, wavefronts, bytes. They
//! are priced as any kernel known by its counters. No count was fitted to a time; they are what
//! compilers make of such loops, to within a third. Left out: histograms, of which the rows do not
//! record how the data is spread over the bins, and recordings that ignored their sizes.

use std::collections::BTreeMap;

use lumacycle_arch::{Entry, Gpu};
use lumacycle_engines::gpu::roofline;
use lumacycle_engines::{Engine, GpuEngine};
use lumacycle_workloads::ops::{Counters, Operation};
use lumacycle_workloads::{DType, KernelClass, Launch};

use crate::measurements::Row;
use crate::suite::Compared;
use crate::wave::WaveRow;

/// Name of the suite.
pub const SUITE: &str = "kernels";

const WARP: f64 = 32.0;
/// Bytes that a warp asks for with four by each lane side by side.
const LINE: f64 = 128.0;
/// Bytes of a warp's request when each lane is in a sector of its own.
const SCATTERED: f64 = 1024.0;

/// What one warp does. Instructions are warp instructions.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Program {
    int32: f64,
    fp32: f64,
    control: f64,
    other: f64,
    loads: f64,
    stores: f64,
    shared_loads: f64,
    shared_stores: f64,
    /// Wavefronts of shared memory beyond one for each access.
    conflicts: f64,
    /// Bytes asked of L1.
    l1_bytes: f64,
    /// Bytes that L2 is asked for where that is more than what is read once.
    l2_bytes: f64,
}

impl Program {
    const NOTHING: Self = Self {
        int32: 0.0,
        fp32: 0.0,
        control: 0.0,
        other: 0.0,
        loads: 0.0,
        stores: 0.0,
        shared_loads: 0.0,
        shared_stores: 0.0,
        conflicts: 0.0,
        l1_bytes: 0.0,
        l2_bytes: 0.0,
    };
    /// Indices, bounds check, and the end.
    const START: Self = Self { int32: 10.0, control: 2.0, other: 6.0, ..Self::NOTHING };
    /// One step of a tree over a CTA: two values out of shared memory, one back, a barrier.
    const STEP: Self = Self {
        int32: 6.0,
        control: 3.0,
        other: 1.0,
        fp32: 1.0,
        shared_loads: 2.0,
        shared_stores: 1.0,
        ..Self::NOTHING
    };
    /// The second barrier of a step that must not overwrite what others still read.
    const STEP_END: Self = Self { int32: 1.0, control: 1.0, other: 1.0, ..Self::NOTHING };

    /// Followed by another so many times.
    fn then(self, times: f64, next: Self) -> Self {
        let add = |a: f64, b: f64| a + times * b;
        Self {
            int32: add(self.int32, next.int32),
            fp32: add(self.fp32, next.fp32),
            control: add(self.control, next.control),
            other: add(self.other, next.other),
            loads: add(self.loads, next.loads),
            stores: add(self.stores, next.stores),
            shared_loads: add(self.shared_loads, next.shared_loads),
            shared_stores: add(self.shared_stores, next.shared_stores),
            conflicts: add(self.conflicts, next.conflicts),
            l1_bytes: add(self.l1_bytes, next.l1_bytes),
            l2_bytes: add(self.l2_bytes, next.l2_bytes),
        }
    }
}

/// So many neighbouring words loaded.
fn load(count: f64) -> Program {
    Program { loads: count, int32: 2.0 * count, l1_bytes: LINE * count, ..Program::NOTHING }
}

fn store(count: f64) -> Program {
    Program { stores: count, int32: 2.0 * count, ..Program::NOTHING }
}

/// A kernel: its shape, what each warp does, and the bytes that its CTAs share out.
struct Described {
    items: f64,
    threads: f64,
    shared_bytes: f64,
    program: Program,
    read_bytes: f64,
    write_bytes: f64,
}

struct Sizes<'a> {
    row: &'a Row,
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

/// Multiply-adds of a filter: coordinates, their bounds, one element and one weight.
fn tap(weight: Program) -> Program {
    Program { int32: 8.0, control: 2.0, other: 1.0, fp32: 1.0, ..load(1.0) }.then(1.0, weight)
}

fn convolution(name: &str, sizes: &Sizes<'_>) -> Result<Described, String> {
    let mask = sizes.get("Mask_width")?;
    let flat = name.contains("1D");
    let (items, taps, threads) = if flat {
        (sizes.get("Array_size")?, mask, sizes.get("Block_dim")?)
    } else {
        let side = sizes.get("Axis_size")?;
        let block = sizes.get("Block_axis_dim")?;
        (side * side * sizes.get("Num_channels")?, mask * mask, block * block)
    };
    let constant = Program { other: 1.0, ..Program::NOTHING };
    let from_shared = Program {
        int32: 5.0,
        control: 1.0,
        other: 1.0,
        fp32: 1.0,
        shared_loads: 1.0,
        ..Program::NOTHING
    };
    let fill = Program { shared_stores: 1.0, int32: 8.0, control: 3.0, ..load(1.0) };
    let mut items_started = items;
    let body = if name.contains("Caching") {
        // Taps inside of the tile come out of shared memory, those at its ends out of caches.
        let branch = Program { int32: 3.0, control: 2.0, ..from_shared };
        Program::START.then(1.0, fill).then(taps, branch)
    } else if name.contains("Tiled") {
        // Tiles overlap: threads at the border load and do not compute.
        let side = if flat { threads } else { sizes.get("Block_axis_dim")? };
        let inner = (side - (mask - 1.0)).max(1.0);
        let share = if flat { inner / side } else { inner * inner / (side * side) };
        items_started = items / share;
        Program::START.then(1.0, fill).then(taps * share.max(0.5), from_shared)
    } else if name.contains("Constant") {
        Program::START.then(taps, tap(constant))
    } else {
        Program::START.then(taps, tap(load(1.0)))
    };
    let shared_bytes = if name.contains("Tiled") { threads * 4.0 } else { 0.0 };
    Ok(Described {
        items: items_started,
        threads,
        shared_bytes,
        program: body.then(1.0, store(1.0)),
        read_bytes: items * 4.0,
        write_bytes: items * 4.0,
    })
}

fn reduction(name: &str, sizes: &Sizes<'_>) -> Result<Described, String> {
    let items = sizes.get("Array_Size")?;
    let threads = sizes.get("Num_Threads")?;
    let steps = threads.log2().max(1.0);
    let first = Program { shared_stores: 1.0, control: 1.0, ..load(1.0) };
    let modulo = Program { int32: 22.0, other: 4.0, control: 2.0, ..Program::NOTHING };
    // Inside one warp no barrier is needed, and unrolled there is no loop.
    let unrolled = Program { control: 0.0, int32: 1.0, other: 0.0, ..Program::STEP };
    let (per_thread, program) = if name.contains("Simple") {
        (1.0, Program::START.then(1.0, first).then(steps, Program::STEP.then(1.0, modulo)))
    } else if name.contains("Adjacent") {
        let colliding = Program { conflicts: 1.0, ..Program::STEP };
        (1.0, Program::START.then(1.0, first).then(steps, colliding))
    } else if name.contains("Sequential") {
        (1.0, Program::START.then(1.0, first).then(steps, Program::STEP))
    } else if name.contains("Two Loads") {
        (2.0, Program::START.then(2.0, first).then(steps, Program::STEP))
    } else {
        // All but the last warp leave after four steps.
        let ends = Program::START.then(2.0, first).then(steps - 5.0, Program::STEP);
        (2.0, ends.then(5.0 / (threads / WARP), unrolled))
    };
    Ok(Described {
        items: items / per_thread,
        threads,
        shared_bytes: threads * 4.0,
        program,
        read_bytes: items * 4.0,
        write_bytes: items / threads / per_thread * 4.0,
    })
}

fn scan(name: &str, sizes: &Sizes<'_>) -> Result<Described, String> {
    /// Threads of a CTA in these kernels.
    const THREADS: f64 = 1024.0;
    let items = sizes.get("Num_Elements.1")?;
    let steps = THREADS.log2();
    let fill = Program { shared_stores: 1.0, control: 1.0, ..load(1.0) };
    let own = if name.contains("Kogge") {
        Program::START.then(1.0, fill).then(steps, Program::STEP.then(1.0, Program::STEP_END))
    } else if name.contains("Brent") {
        // Up and down again, two elements a thread.
        Program::START
            .then(1.0, fill)
            .then(2.0 * steps / 2.0, Program::STEP.then(1.0, Program::STEP_END))
    } else {
        // Each thread walks its own elements first; then the threads' sums are scanned.
        let walk =
            Program { shared_loads: 1.0, shared_stores: 1.0, int32: 3.0, ..Program::STEP_END };
        Program::START.then(1.0, fill).then(2.0, walk).then(steps / 4.0, Program::STEP)
    };
    // A second pass adds what came before each block.
    let second = Program::START.then(1.0, load(1.0)).then(1.0, store(1.0));
    Ok(Described {
        items,
        threads: THREADS,
        shared_bytes: THREADS * 4.0,
        program: own.then(1.0, store(1.0)).then(1.0, second),
        read_bytes: items * 8.0,
        write_bytes: items * 8.0,
    })
}

fn product(name: &str, sizes: &Sizes<'_>) -> Result<Described, String> {
    let [m, k, n] = ["Num_Rows_1", "Num_Cols_1_/_Rows_2", "Num_Cols_2"].map(|key| sizes.get(key));
    let (m, k, n) = (m?, k?, n?);
    let side = sizes.get("Num_Threads")?;
    let threads = side * side;
    let filled = (threads / WARP).min(1.0);
    let depth = Program { int32: 1.5, ..Program::NOTHING };
    let (program, shared_bytes) = if name.contains("Simple") {
        // An element of a row that half a warp shares, and one of a column.
        let step = Program { loads: 2.0, l1_bytes: LINE + 64.0, ..depth };
        (Program::START.then(k, step), 0.0)
    } else {
        let fill = Program { shared_stores: 2.0, control: 3.0, ..load(2.0) };
        let step = Program { shared_loads: 2.0, ..depth };
        let fill = Program { l2_bytes: 2.0 * LINE * filled, ..fill };
        (Program::START.then(k / side, fill).then(k, step), threads * 8.0)
    };
    Ok(Described {
        items: m * n,
        threads,
        shared_bytes,
        program: program.then(1.0, store(1.0)),
        read_bytes: (m * k + k * n) * 4.0,
        write_bytes: m * n * 4.0,
    })
}

fn matrix_vector(name: &str, sizes: &Sizes<'_>) -> Result<Described, String> {
    let (rows, columns) = (sizes.get("Num_Rows")?, sizes.get("Num_Cols")?);
    let threads = sizes.get("Num_Threads")?;
    let shared = name.contains("Shared");
    // One thread a row: lanes are a row apart.
    let element =
        Program { int32: 2.0, fp32: 1.0, loads: 1.0, l1_bytes: SCATTERED, ..Program::NOTHING };
    let other = if shared {
        Program { shared_loads: 1.0, ..Program::NOTHING }
    } else {
        Program { loads: 1.0, l1_bytes: 32.0, ..Program::NOTHING }
    };
    Ok(Described {
        items: rows,
        threads,
        shared_bytes: if shared { threads * 4.0 } else { 0.0 },
        program: Program::START.then(columns, element.then(1.0, other)),
        read_bytes: rows * columns * 4.0,
        write_bytes: rows * 4.0,
    })
}

/// Kernels of the small benchmark that records its launch shape.
fn small(name: &str, sizes: &Sizes<'_>) -> Result<Described, String> {
    let threads = sizes.get("block")?;
    let items = sizes.get("grid")? * threads;
    let plain = |reads: f64, program: Program| Described {
        items,
        threads,
        shared_bytes: 0.0,
        program: Program::START.then(reads, load(1.0)).then(1.0, program),
        read_bytes: items * 4.0 * reads,
        write_bytes: items * 4.0,
    };
    let tree = Program::NOTHING.then(threads.log2(), Program::STEP);
    let summed = |reads: f64| Described {
        write_bytes: 0.0,
        shared_bytes: threads * 4.0,
        ..plain(reads, tree)
    };
    let crossed =
        Program { stores: 1.0, int32: 4.0, l2_bytes: SCATTERED - LINE, ..Program::NOTHING };
    let depth = sizes.get("cols");
    Ok(match name {
        "vector_add" | "saxpy" => plain(2.0, store(1.0)),
        "vector_add_divergent" => plain(2.0, Program { fp32: 40.0, control: 8.0, ..store(1.0) }),
        "reduce_sum" => summed(1.0),
        "dot_product" => summed(2.0),
        "naive_transpose" => plain(1.0, crossed),
        "shared_transpose" => {
            plain(1.0, Program { shared_loads: 1.0, shared_stores: 1.0, int32: 8.0, ..store(1.0) })
        }
        "conv2d_3x3" | "conv2d_7x7" => {
            let taps = if name.ends_with("7x7") { 49.0 } else { 9.0 };
            let tap =
                Program { int32: 1.0, fp32: 1.0, l1_bytes: LINE, loads: 1.0, ..Program::NOTHING };
            Described { read_bytes: items * 4.0, ..plain(0.0, store(1.0).then(taps, tap)) }
        }
        "matmul_naive" => {
            let step = Program {
                int32: 1.5,
                fp32: 1.0,
                loads: 2.0,
                l1_bytes: LINE + 64.0,
                ..Program::NOTHING
            };
            Described { read_bytes: items * 8.0, ..plain(0.0, store(1.0).then(depth?, step)) }
        }
        "matmul_tiled" => {
            let depth = depth?;
            let step = Program { fp32: 1.0, shared_loads: 2.0, int32: 0.5, ..Program::NOTHING };
            let fill =
                Program { shared_stores: 2.0, control: 3.0, l2_bytes: 2.0 * LINE, ..load(2.0) };
            let program = store(1.0).then(depth, step).then(depth / threads.sqrt(), fill);
            Described { read_bytes: items * 8.0, shared_bytes: 8192.0, ..plain(0.0, program) }
        }
        _ => return Err(format!("kernel not described: {name}")),
    })
}

fn described(name: &str, sizes: &Sizes<'_>) -> Result<Described, String> {
    let plain = |items: f64, threads: f64, program: Program| Described {
        items,
        threads,
        shared_bytes: 0.0,
        program: Program::START.then(1.0, program),
        read_bytes: sizes.row.number("bytes_read").unwrap_or(0.0),
        write_bytes: sizes.row.number("bytes_written").unwrap_or(0.0),
    };
    if name.contains("istogram") || name == "atomic_hotspot" || name == "random_access" {
        return Err("how its data is spread is not recorded".to_owned());
    }
    if name.starts_with("Convolution") {
        convolution(name, sizes)
    } else if name.contains("Reduction") {
        reduction(name, sizes)
    } else if name.contains("Scan") {
        scan(name, sizes)
    } else if name.contains("Matrix Matrix") {
        product(name, sizes)
    } else if name.contains("Matrix Vector") {
        matrix_vector(name, sizes)
    } else if name.contains("oalesced") {
        let side = sizes.get("Axis_Size")?;
        let apart = if name.starts_with("Not") { SCATTERED } else { LINE };
        let program =
            Program { l1_bytes: 2.0 * apart, fp32: 1.0, ..load(2.0) }.then(1.0, store(1.0));
        Ok(plain(side * side, 256.0, program))
    } else if name.contains("Grayscale") {
        let side = sizes.get("Axis_Size")?;
        let block = sizes.get("Num_Threads")?;
        let program = Program { fp32: 6.0, other: 4.0, ..load(3.0) }.then(1.0, store(1.0));
        Ok(plain(side * side, block * block, program))
    } else {
        small(name, sizes)
    }
}

/// What a profiler would count, from a flushed L2.
fn counters(gpu: &Gpu, kernel: &Described) -> Counters {
    let ctas = (kernel.items / kernel.threads).ceil().max(1.0);
    let warps = ctas * (kernel.threads / WARP).ceil();
    let program = &kernel.program;
    let whole = |value: f64| value.max(0.0) as u32;
    let launch = Launch::linear(ctas as u64, whole(kernel.threads), 32, whole(kernel.shared_bytes));
    let l2_read_bytes = kernel.read_bytes.max(warps * program.l2_bytes);
    // What fits stays dirty in L2.
    let kept = gpu.l2.capacity.bytes() * gpu.l2.reach;
    Counters {
        fp32: warps * program.fp32,
        int32: warps * program.int32,
        control: warps * program.control,
        other: warps * program.other,
        memory: warps
            * (program.loads + program.stores + program.shared_loads + program.shared_stores),
        loads: warps * program.loads,
        shared_loads: warps * program.shared_loads,
        shared_wavefronts: warps
            * (program.shared_loads + program.shared_stores + program.conflicts),
        l1_bytes: (warps * program.l1_bytes).max(l2_read_bytes),
        l2_read_bytes,
        l2_write_bytes: kernel.write_bytes,
        dram_read_bytes: kernel.read_bytes,
        dram_write_bytes: (kernel.write_bytes - kept).max(0.0),
        ..Counters::none(launch)
    }
}

/// What the host adds to kernels that it waits for inside of what is timed (allocation, copies of
/// sums, launches of the next level): `NVBench` cannot batch these, so no batch time is recorded.
/// Taken as the shortest recorded time of the same kernel on the same GPU, at sizes that keep no
/// GPU busy, apart for sizes of one CTA, after which no second level follows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HostParts(BTreeMap<(String, String, bool), f64>);

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

fn key(row: &Row) -> (String, String, bool) {
    let name = row.text("kernel");
    let levels = described(name, &Sizes { row }).is_ok_and(|kernel| kernel.items > kernel.threads);
    let kernel = name.split(" (").next().unwrap_or_default();
    (row.text("gpu").to_owned(), kernel.to_owned(), levels)
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
    let kernel = described(name, &Sizes { row })?;
    let counted = counters(gpu, &kernel);
    let dtype = DType::Fp32;
    let peak = roofline::peak_flops(gpu, KernelClass::Counters, dtype);
    let roofline_us =
        (counted.flops() / peak).max(counted.dram_bytes() / gpu.dram.bandwidth.bytes_per_s()) * 1e6;
    let operation = Operation::Counters(counted);
    let engine = GpuEngine::new(gpu);
    let cost = engine.price(&operation).map_err(|error| error.to_string())?;
    let priced = cost.kernels.first();
    let host_us = host.us(row);
    Ok(Compared {
        reference: format!("{} {}", row.text("source"), row.text("ref")).trim().to_owned(),
        gpu: entry.id.clone(),
        dtype: dtype.name().to_owned(),
        measured_us,
        predicted_us: cost.time_ns / 1e3 + host_us,
        roofline_us: roofline_us + host_us,
        wave_us: 0.0,
        shape: WaveRow::of(gpu, &engine.target(), &operation, dtype, 0.0, measured_us),
        bound_by: cost.binding.name(),
        variant: format!("{name}: {}", row.text("params")),
        waves: priced.map_or(0.0, |kernel| kernel.waves),
        occupancy_pct: priced.map_or(0.0, |kernel| kernel.occupancy.share * 100.0),
    })
}
