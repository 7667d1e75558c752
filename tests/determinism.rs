//! The same bytes on one, two and eight threads: whatever is printed, and every file that is written.
//!
//! `.ci/determinism` compares builds with and without optimisation as well.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use support::{code, folder, lumacycle, stderr, write};

/// What a command wrote, by name.
type Files = BTreeMap<String, Vec<u8>>;

/// All files of a folder by name; locks hold nothing, and records stand in the order in which points
/// were done.
fn files(folder: &Path) -> Files {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let kept = entries.filter(|path| path.is_file()).filter(|path| {
        let name = path.to_string_lossy();
        !name.ends_with(".lock") && !name.ends_with(".records")
    });
    kept.map(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read(&path).unwrap())
    })
    .collect()
}

/// Runs a command on 1, 2 and 8 threads; `OUT` stands for a fresh folder.
fn same_on_any_number_of_threads(args: &[&str], least_files: usize) {
    let mut first: Option<(Vec<u8>, Files)> = None;
    for threads in ["1", "2", "8"] {
        let dir = folder();
        let out = dir.path().display().to_string();
        let args: Vec<&str> = args.iter().map(|a| if *a == "OUT" { &out } else { *a }).collect();
        let output = lumacycle().env("RAYON_NUM_THREADS", threads).args(&args).output().unwrap();
        assert_eq!(code(&output), 0, "{args:?}: {}", stderr(&output));
        let found = (output.stdout, files(dir.path()));
        assert!(found.1.len() >= least_files, "{args:?}: {:?}", found.1.keys());
        assert!(!found.0.is_empty() || least_files > 0, "{args:?} says nothing");
        let Some(first) = &first else {
            first = Some(found);
            continue;
        };
        assert!(first.0 == found.0, "{args:?}: stdout differs on {threads} threads");
        for (name, bytes) in &first.1 {
            assert!(found.1.get(name) == Some(bytes), "{args:?}: {name} differs on {threads}");
        }
        assert_eq!(first.1.len(), found.1.len(), "{args:?}: other files on {threads} threads");
    }
}

#[test]
fn profiles_and_kernels() {
    let trace = "docs/examples/transformer.jsonl";
    let two = ["--gpu", "rtx3090", "--gpu", "h100-sxm", "--format", "json"];
    same_on_any_number_of_threads(&[&["replay", trace][..], &two].concat(), 0);
    let gemm = ["kernel", "gemm", "512", "512", "512", "--sweep-clock"];
    same_on_any_number_of_threads(&[&gemm[..], &two].concat(), 0);
}

#[test]
fn frames_and_accelerators() {
    for args in [
        "run nerf --gpu rtx3090 --resolution 96x54 --accelerator ngpc-64 --format json",
        "run nsdf --gpu rtx3090 --resolution 96x54 --rest fused --format json",
        "run nerf --gpu rtx3090 --train --format json",
        "run tensorf --accelerator rt-nerf-edge --resolution 96x54 --format json",
    ] {
        same_on_any_number_of_threads(&args.split(' ').collect::<Vec<_>>(), 0);
    }
}

#[test]
fn studies() {
    let args = "study sim/studies/banks.toml --resolution 96x54 --out OUT --format csv";
    same_on_any_number_of_threads(&args.split(' ').collect::<Vec<_>>(), 3);
}

#[test]
fn explorations() {
    let dir = folder();
    for search in ["method = \"sobol\"\npoints = 24", "method = \"nsga2\"\npoints = 24"] {
        let text = format!(
            r#"
name = "small"
question = "How many processors for an image?"
[system]
app = "gia"
accelerator = "ngpc-8"
resolution = [96, 54]
[search]
{search}
[[parameter]]
path = "accelerator.accelerator.units"
values = [8, 16, 24, 32, 48, 64]
[[parameter]]
path = "accelerator.accelerator.clock"
from = "0.8 GHz"
to = "1.6 GHz"
[[objective]]
metric = "fps"
goal = "maximise"
[[objective]]
metric = "area_mm2"
goal = "minimise"
"#
        );
        let space = write(&dir, "space.toml", text.as_bytes());
        same_on_any_number_of_threads(&["explore", &space, "--out", "OUT"], 4);
    }
}

#[test]
fn published_figures() {
    same_on_any_number_of_threads(&["validate", "ngpc", "--format", "json"], 0);
}
