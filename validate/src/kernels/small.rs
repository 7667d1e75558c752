//! Kernels of a small benchmark (github.com/Debdeep23/test1, directory `gpu-perf`) that records its
//! launch shapes.
//!
//! The counts follow the source. Its arrays are cleared and launches follow each other closely, so
//! what fits L2 stays there. Left out: histograms and hot spots of atomics, for which counters
//! have no name.

use super::Sizes;
use super::program::{Described, LINE, Program, SECTOR, WARP, gather, load, scatter, store};

/// The launch of a row.
///
/// # Errors
/// Says what the row lacks.
pub(super) fn described(name: &str, sizes: &Sizes<'_>) -> Result<Described, String> {
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
    // Two elements a thread, so half as many CTAs as the row says, then a tree.
    let summed = |arrays: f64| {
        let tree = Program::NOTHING.then(threads.log2(), Program::STEP);
        Described {
            items: items / 2.0,
            shared_bytes: threads * 4.0,
            write_bytes: 0.0,
            read_bytes: items * 4.0 * arrays,
            ..plain(2.0 * arrays, tree)
        }
    };
    let depth = sizes.get("cols");
    let multiply = Program { fp32: 1.0, int32: 1.0, ..Program::NOTHING };
    Ok(match name {
        "vector_add" | "saxpy" => plain(2.0, store(1.0)),
        // Every other lane adds up 128 terms, each of a number made from an integer.
        "vector_add_divergent" => {
            let term = Program { int32: 1.0, sfu: 1.0, fp32: 1.0, ..Program::NOTHING };
            let ends = Program { control: 16.0, int32: 8.0, ..store(2.0) };
            plain(2.0, ends.then(128.0, term))
        }
        "reduce_sum" => summed(1.0),
        "dot_product" => summed(2.0),
        // The indices are all zero.
        "random_access" => {
            let first = Program { loads: 1.0, l1_bytes: SECTOR, ..store(1.0) };
            plain(1.0, first)
        }
        // Each lane has a sector of its own; sectors written in part are fetched first.
        "strided_copy_8" => {
            let apart = gather(8.0, 1.0).then(1.0, scatter(8.0, 1.0));
            let apart = Program { l1_bytes: SECTOR * WARP, written_bytes: SECTOR * WARP, ..apart };
            let length = sizes.get("N")?;
            Described {
                items: length / 8.0,
                read_bytes: length * 8.0,
                write_bytes: length * 4.0,
                ..plain(0.0, apart)
            }
        }
        "naive_transpose" => plain(1.0, scatter(16.0, sizes.miss_passes)),
        "shared_transpose" => {
            plain(1.0, Program { shared_loads: 1.0, shared_stores: 1.0, int32: 8.0, ..store(1.0) })
        }
        "conv2d_3x3" | "conv2d_7x7" => {
            let taps = if name.ends_with("7x7") { 49.0 } else { 9.0 };
            // Two half rows, of which every other crosses a line; and a weight.
            let pixel = Program { int32: 0.5, ..gather(3.0, 1.0) };
            let weight = Program { loads: 1.0, l1_bytes: SECTOR, ..Program::NOTHING };
            let tap = Program { fp32: 1.0, ..Program::NOTHING };
            let tap = tap.then(1.0, pixel).then(1.0, weight);
            Described { read_bytes: items * 4.0, ..plain(0.0, store(1.0).then(taps, tap)) }
        }
        "matmul_naive" => {
            let row = Program { int32: 0.0, ..gather(2.0, 1.0) };
            let column = Program { loads: 1.0, l1_bytes: 2.0 * SECTOR, ..Program::NOTHING };
            let step = multiply.then(1.0, row).then(1.0, column);
            Described { read_bytes: items * 8.0, ..plain(0.0, store(1.0).then(depth?, step)) }
        }
        "matmul_tiled" => {
            let depth = depth?;
            // Four steps of a row at a time.
            let step = Program { fp32: 1.0, shared_loads: 1.25, ..Program::NOTHING };
            let fill =
                Program { shared_stores: 2.0, control: 4.0, l2_bytes: 2.0 * LINE, ..load(2.0) };
            let program = store(1.0).then(depth, step).then(depth / threads.sqrt(), fill);
            Described { read_bytes: items * 8.0, shared_bytes: 8192.0, ..plain(0.0, program) }
        }
        "histogram" | "atomic_hotspot" => {
            return Err("all lanes meet in one bin, for which counters have no name".to_owned());
        }
        _ => return Err(format!("kernel not described: {name}")),
    })
}
