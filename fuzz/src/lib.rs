//! Fuzz targets: one function for each kind of file that the program reads.
//!
//! A target reads bytes as the program would, and goes on with what was accepted as far as that is cheap:
//! what a reader lets through must not make anything further down panic. A panic, a second of work for a
//! few kilobytes, or memory without bound is a find. `tests/corpus.rs` runs all of them on seeds and
//! mutations of these with nothing but the toolchain; `.ci/fuzz` runs them guided by coverage. Left out:
//! the command line itself, which clap parses.

mod checkpoint;
mod hardware;
pub mod mutate;
mod results;
mod traces;
mod work;

/// Something that reads a file.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Name; its seeds lie in `fuzz/seeds/NAME`.
    pub name: &'static str,
    /// Folders of the repository whose files are seeds as well.
    pub seeds: &'static [&'static str],
    /// Longest input, in bytes.
    pub longest: usize,
    /// Reads an input.
    pub run: fn(&[u8]),
}

const fn target(
    name: &'static str,
    seeds: &'static [&'static str],
    longest: usize,
    run: fn(&[u8]),
) -> Target {
    Target { name, seeds, longest, run }
}

/// All targets. A new reader is a line here and a folder of seeds.
pub const TARGETS: &[Target] = &[
    target("gpu", &["arch/catalog/gpus"], 4096, hardware::gpu),
    target(
        "accelerator",
        &["arch/catalog/accelerators", "arch/catalog/accelerator-families"],
        8192,
        hardware::accelerator,
    ),
    target(
        "sparse-accelerator",
        &["arch/catalog/sparse-accelerators", "arch/catalog/sparse-accelerator-families"],
        8192,
        hardware::sparse_accelerator,
    ),
    target("quantity", &[], 64, hardware::quantity),
    target("application", &["workloads/src/apps/presets"], 4096, work::application),
    target("study", &["sim/studies"], 8192, work::study),
    target("space", &["sim/spaces"], 8192, work::space),
    target("expression", &[], 256, work::expression),
    target("mesh", &[], 4096, work::mesh),
    target("array", &[], 4096, work::array),
    target("occupancy", &[], 4096, work::occupancy),
    target("factors", &[], 4096, checkpoint::factors),
    target("cameras", &[], 4096, work::cameras),
    target("kineto", &[], 16384, traces::kineto),
    target("own-trace", &[], 8192, traces::own),
    target("launch-list", &[], 8192, traces::launch_list),
    target("nsys-csv", &[], 4096, traces::table),
    target("nsys-sqlite", &[], 16384, traces::database),
    target("ncu", &[], 8192, traces::table),
    target("nvprof", &[], 4096, traces::table),
    target("kernels-list", &[], 2048, traces::kernels_list),
    target("instructions", &[], 8192, traces::instructions),
    target("container", &[], 4096, traces::container),
    target(
        "replay",
        &["fuzz/seeds/own-trace", "fuzz/seeds/launch-list", "fuzz/seeds/instructions"],
        4096,
        traces::replayed,
    ),
    target("measurements", &[], 8192, results::measurements),
    target("records", &[], 4096, results::records),
    target("style", &[], 2048, results::style),
    target("figure", &["docs/studies"], 16384, results::figure),
    target("compared", &[], 16384, results::compared),
    target("explained", &[], 16384, results::explained),
];

/// Bytes as text, where they are.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Hands over the path of a file that holds these bytes. Each thread overwrites files of its own.
fn with_file(name: &str, bytes: &[u8], read: impl FnOnce(&std::path::Path)) {
    thread_local! {
        static FOLDER: Option<tempfile::TempDir> = {
            let memory = std::path::Path::new("/dev/shm");
            let within = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
            tempfile::tempdir_in(within).ok()
        };
    }
    FOLDER.with(|folder| {
        let Some(folder) = folder else { return };
        let path = folder.path().join(name);
        if std::fs::write(&path, bytes).is_ok() {
            read(&path);
        }
    });
}
