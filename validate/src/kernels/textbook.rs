//! Kernels of a well-known textbook as github.com/R100001/Programming-Massively-Parallel-Processors
//! times them under `NVBench`.
//!
//! The counts follow the source: limits of filters written as doubles bring conversions and
//! comparisons to the narrow fp64 pipe, rectangular tiles are launched over four times the
//! columns there are, matrices hold integers, and all input is zero. Left out: histograms, whose
//! lanes all meet in one bin.

use super::Sizes;
use super::program::{Described, LINE, Program, SECTOR, WARP, gather, load, scatter, store};

/// Kernels that follow each other for one row.
///
/// # Errors
/// Says what the row lacks.
pub(super) fn described(name: &str, sizes: &Sizes<'_>) -> Result<Vec<Described>, String> {
    if name.contains("istogram") {
        return Err("all lanes meet in one bin, for which counters have no name".to_owned());
    }
    if name.contains("Scan") {
        return scan(name, sizes);
    }
    let one = if name.starts_with("Convolution") {
        convolution(name, sizes)
    } else if name.contains("Reduction") {
        reduction(name, sizes)
    } else if name.contains("Matrix Matrix") {
        product(name, sizes)
    } else if name.contains("Matrix Vector") {
        matrix_vector(name, sizes)
    } else if name.contains("oalesced") {
        sum(name, sizes)
    } else if name.contains("Grayscale") {
        grayscale(sizes)
    } else {
        Err(format!("kernel not described: {name}"))
    };
    one.map(|kernel| vec![kernel])
}

/// Limits of 0.0 and 1.0 are doubles: there, two comparisons with their selects, and back.
const CLAMP: Program = Program { fp64: 4.0, int32: 4.0, other: 4.0, ..Program::NOTHING };

/// A tap of a filter in one dimension: its index, two bounds, an element and a weight, in a branch
/// of its own.
const TAP: Program =
    Program { int32: 1.5, control: 1.25, other: 2.0, fp32: 1.0, ..Program::NOTHING };
/// In two dimensions there are two indices, and rows and channels to multiply with.
const TAP_2D: Program = Program { int32: 5.5, ..TAP };

fn convolution(name: &str, sizes: &Sizes<'_>) -> Result<Described, String> {
    let mask = sizes.get("Mask_width")?;
    let constant = Program { constants: 1.0, ..Program::NOTHING };
    let uniform = Program { loads: 1.0, int32: 1.0, l1_bytes: SECTOR, ..Program::NOTHING };
    let weight = if name.contains("Basic") { uniform } else { constant };
    let from_shared =
        Program { int32: 1.5, control: 0.25, fp32: 1.0, shared_loads: 1.0, ..constant };
    let fill = Program { shared_stores: 1.0, int32: 6.0, control: 3.0, ..load(1.0) };
    let flat = name.contains("1D");
    let (items, threads, channels, side) = if flat {
        let threads = sizes.get("Block_dim")?;
        (sizes.get("Array_size")?, threads, 1.0, threads)
    } else {
        let (axis, side) = (sizes.get("Axis_size")?, sizes.get("Block_axis_dim")?);
        (axis * axis, side * side, sizes.get("Num_channels")?, side)
    };
    let mut started = items;
    // What each channel takes; threads walk through the channels one after another.
    let body = if name.contains("Caching") {
        // Taps inside of the tile come out of shared memory, those at its ends out of caches.
        let inside = Program { int32: 6.0, control: 2.25, other: 2.0, ..from_shared };
        Program::NOTHING.then(1.0, fill).then(mask, inside).then(1.0, CLAMP)
    } else if name.contains("Tiled") && flat {
        // The ends of the tile are loaded by a few of the threads, in branches of their own.
        let ends = Program { int32: 6.0, control: 2.0, ..Program::NOTHING };
        let ends = ends.then(2.0 * WARP / threads, fill);
        Program::NOTHING.then(1.0, fill).then(1.0, ends).then(mask, from_shared).then(1.0, CLAMP)
    } else if name.contains("Tiled") {
        // Tiles overlap: threads at the border load and do not compute. Rows of them go idle as
        // whole warps, columns only as lanes.
        let inner = (side - mask + 1.0).max(1.0);
        let axis = items.sqrt();
        let tiles = (axis / inner).ceil();
        started = tiles * tiles * threads;
        let rows_of_a_warp = (WARP / side).max(1.0);
        let warps = (threads / WARP).ceil();
        let busy = ((inner / rows_of_a_warp).ceil() / warps).min(1.0);
        let sums = Program::NOTHING.then(mask * mask, from_shared).then(1.0, CLAMP);
        let fill = Program { other: 2.0, ..fill };
        Program::NOTHING.then(1.0, fill).then(busy, sums.then(1.0, store(1.0)))
    } else {
        let (taps, tap) = if flat { (mask, TAP) } else { (mask * mask, TAP_2D) };
        let tap = tap.then(1.0, load(1.0)).then(1.0, weight);
        Program::NOTHING.then(taps, tap).then(1.0, CLAMP)
    };
    let body = if name.contains("Tiled") && !flat { body } else { body.then(1.0, store(1.0)) };
    let shared_bytes = if name.contains("Tiled") { (threads + mask - 1.0) * 4.0 } else { 0.0 };
    Ok(Described {
        items: started,
        threads,
        shared_bytes,
        program: Program::START.then(channels, body),
        read_bytes: items * channels * 4.0,
        write_bytes: items * channels * 4.0,
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

/// A scan of each block, the scan of their sums, and a pass that adds these. The scan of the sums is
/// a block's work and left out.
fn scan(name: &str, sizes: &Sizes<'_>) -> Result<Vec<Described>, String> {
    /// Threads of a CTA in these kernels.
    const THREADS: f64 = 512.0;
    let items = sizes.get("Num_Elements.1")?;
    let steps = THREADS.log2();
    let fill = Program { shared_stores: 1.0, control: 1.0, ..load(1.0) };
    let back = Program { shared_loads: 1.0, control: 1.0, ..store(1.0) };
    let (per_thread, program) = if name.contains("Kogge") {
        (1.0, Program::START.then(1.0, fill).then(steps, Program::STEP).then(1.0, back))
    } else if name.contains("Brent") {
        // Up and down again, two elements a thread, fewer threads and wider strides each time.
        let ladder = Program { int32: 5.0, conflicts: 2.0, ..Program::STEP };
        let busy = ladder_share(THREADS);
        let idle = Program { int32: 4.0, control: 3.0, other: 1.0, ..Program::NOTHING };
        let level = Program::NOTHING.then(busy, ladder).then(1.0 - busy, idle);
        (2.0, Program::START.then(2.0, fill).then(2.0 * steps, level).then(2.0, back))
    } else {
        // Each thread walks eight elements of its own, a line apart from its neighbour's two
        // lanes on; the threads' sums go up and down; then each adds what came before it.
        let own = 8.0;
        let walk = Program {
            shared_loads: 1.0,
            shared_stores: 1.0,
            conflicts: 2.0 * (own - 1.0),
            int32: 2.0,
            ..Program::NOTHING
        };
        let ladder = Program { int32: 7.0, conflicts: 6.0, ..Program::STEP };
        let busy = ladder_share(THREADS);
        let idle = Program { int32: 4.0, control: 3.0, other: 1.0, ..Program::NOTHING };
        let level = Program::NOTHING.then(busy, ladder).then(1.0 - busy, idle);
        let program = Program::START
            .then(own, fill)
            .then(2.0 * own - 1.0, walk)
            .then(2.0 * steps, level)
            .then(own, back);
        (own, program)
    };
    let block = THREADS * per_thread;
    let first = Described {
        items: items / per_thread,
        threads: THREADS,
        shared_bytes: block * 4.0,
        program,
        read_bytes: items * 4.0,
        write_bytes: (items + items / block) * 4.0,
    };
    if items <= block {
        return Ok(vec![first]);
    }
    let uniform = Program { loads: 1.0, int32: 1.0, l1_bytes: SECTOR, ..Program::NOTHING };
    let each = Program { control: 1.0, ..load(1.0) }.then(1.0, uniform).then(1.0, store(1.0));
    let second = Described {
        shared_bytes: 0.0,
        program: Program::START.then(per_thread, each),
        read_bytes: items * 4.0,
        write_bytes: items * 4.0,
        ..first
    };
    Ok(vec![first, second])
}

/// Share of a CTA's warps with a lane at work, over the levels of a tree that halves them.
fn ladder_share(threads: f64) -> f64 {
    let warps = threads / WARP;
    let levels = threads.log2();
    let whole = warps.log2();
    // Halves down to one warp, then one warp for each level that is left.
    let busy = 2.0 * warps - 1.0 + (levels - whole);
    (busy / (levels * warps)).min(1.0)
}

fn product(name: &str, sizes: &Sizes<'_>) -> Result<Described, String> {
    let [m, k, n] = ["Num_Rows_1", "Num_Cols_1_/_Rows_2", "Num_Cols_2"].map(|key| sizes.get(key));
    let (m, k, n) = (m?, k?, n?);
    let side = sizes.get("Num_Threads")?;
    let threads = side * side;
    // Rows of a tile that a warp covers, and the sectors that each takes.
    let rows = side.min(WARP / side).max(1.0);
    let request = rows * (side * 4.0 / SECTOR).ceil() * SECTOR;
    let multiply = Program { int32: 2.0, ..Program::NOTHING };
    let (program, shared_bytes, launched) = if name.contains("Simple") {
        // An element of a row that half a warp shares, and one of a column.
        let step = Program { loads: 2.0, l1_bytes: LINE + 2.0 * SECTOR, ..multiply };
        (Program::START.then(k, step), 0.0, m * n)
    } else {
        let wide = name.contains("Rectangular");
        let (tiles, multiplies) = if wide { (3.0, 2.0) } else { (2.0, 1.0) };
        // A grid for half a tile's width, of tiles twice as wide: three in four find no columns, but
        // multiply the zeros that they put in place.
        let (launched, found) = if wide { (2.0 * m * n, 0.25) } else { (m * n, 1.0) };
        let loaded = 1.0 + (tiles - 1.0) * found;
        let fill = Program {
            shared_stores: tiles,
            int32: 5.0 * tiles,
            control: 3.0,
            loads: loaded,
            l1_bytes: LINE * loaded,
            l2_bytes: request * loaded,
            ..Program::NOTHING
        };
        let step = Program { shared_loads: tiles, int32: 2.0 * multiplies, ..Program::NOTHING };
        let program = Program::START.then((k / side).ceil(), fill).then(k, step);
        (program, threads * tiles * 4.0, launched)
    };
    Ok(Described {
        items: launched,
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
    // One thread a row: lanes are a row apart, and so on one bank. Rows have powers of two of
    // columns, so their lines meet in few sets and are gone before the next column.
    let lanes = threads.min(rows).min(WARP);
    let element = Program { int32: 2.0, l2_bytes: SECTOR * lanes, ..gather(lanes, 1.0) };
    let vector = if shared {
        Program { shared_loads: 1.0, ..Program::NOTHING }
    } else {
        Program { loads: 1.0, l1_bytes: SECTOR, ..Program::NOTHING }
    };
    let fill = Program { shared_stores: 1.0, control: 2.0, ..load(1.0) };
    let phases = if shared { (columns / threads).ceil() } else { 0.0 };
    Ok(Described {
        items: rows,
        threads,
        shared_bytes: if shared { threads * 4.0 } else { 0.0 },
        program: Program::START.then(phases, fill).then(columns, element.then(1.0, vector)),
        read_bytes: rows * columns * 4.0,
        write_bytes: rows * 4.0,
    })
}

/// The sum of two arrays by tiles of 16 × 16 threads, along rows or across them.
fn sum(name: &str, sizes: &Sizes<'_>) -> Result<Described, String> {
    let side = sizes.get("Axis_Size")?;
    let items = side * side;
    let program = if name.starts_with("Not") {
        // All warps of a tile ask for its sectors before any has come.
        let lanes = side.min(16.0);
        Program::START
            .then(2.0, gather(lanes, sizes.miss_passes))
            .then(1.0, Program { fp32: 1.0, ..scatter(lanes, sizes.miss_passes) })
    } else {
        Program::START.then(2.0, load(1.0)).then(1.0, Program { fp32: 1.0, ..store(1.0) })
    };
    Ok(Described {
        items,
        threads: 256.0,
        shared_bytes: 0.0,
        program,
        read_bytes: items * 8.0,
        write_bytes: items * 4.0,
    })
}

/// Three bytes of a pixel to one.
fn grayscale(sizes: &Sizes<'_>) -> Result<Described, String> {
    let side = sizes.get("Axis_Size")?;
    let block = sizes.get("Num_Threads")?;
    let items = side * side;
    let rows = (WARP / block).max(1.0);
    let written = rows * (block / SECTOR).ceil() * SECTOR;
    let program = Program { fp32: 3.0, sfu: 4.0, other: 2.0, ..load(3.0) };
    let program = program.then(1.0, Program { written_bytes: written, ..store(1.0) });
    Ok(Described {
        items,
        threads: block * block,
        shared_bytes: 0.0,
        program: Program::START.then(1.0, program),
        read_bytes: items * 3.0,
        write_bytes: items,
    })
}
