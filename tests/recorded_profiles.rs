//! Profiles recorded on real GPUs, where a folder of them is at hand: `LUMACYCLE_DATA`, or a
//! folder `shared/data` beside the repository. Without one the tests say 'skipped'.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on should stop there, and says so on stderr"
)]

mod support;

use std::io::Write as _;
use std::path::PathBuf;

use support::{code, run, stderr, stdout};

fn data() -> Option<PathBuf> {
    let beside = support::root().parent()?.join("shared").join("data");
    let folder = std::env::var_os("LUMACYCLE_DATA").map_or(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    // Written past the test runner's capture, so that it shows.
    let _ = writeln!(std::io::stderr(), "skipped: no recorded profiles at {}", folder.display());
    None
}

fn kineto_files(folder: &std::path::Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            kineto_files(&path, out);
        } else if (name.ends_with(".json.gz") || name.ends_with(".tar.gz") || name == "trace.json")
            && !name.contains("_et")
            && !name.contains("nsys")
        {
            out.push(path);
        }
    }
}

#[test]
fn every_recorded_profile_replays_on_its_own_gpu_and_on_another() {
    let Some(data) = data() else { return };
    let mut files = Vec::new();
    kineto_files(&data.join("traces"), &mut files);
    files.sort();
    assert!(files.len() >= 25, "only {} files", files.len());
    for path in files {
        let path = path.display().to_string();
        let stats = run(&["trace", "stats", &path, "--format", "json"]);
        assert_eq!(code(&stats), 0, "{path}: {}", stderr(&stats));
        let stats: serde_json::Value = serde_json::from_slice(&stats.stdout).unwrap();
        let own = stats[0]["gpus"][0].as_str().unwrap_or("v100-sxm2-16gb").to_owned();
        let output = run(&[
            "replay", &path, "--gpu", &own, "--gpu", "rtx4090", "--gpu", "h200", "--format", "json",
        ]);
        assert_eq!(code(&output), 0, "{path}: {}", stderr(&output));
        let results: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        for result in results.as_array().unwrap() {
            let totals = &result["totals"];
            if result["events"] == 0 {
                assert!(stderr(&output).contains("no GPU kernels"), "{path}");
                continue;
            }
            for name in ["predicted_sum_ms", "predicted_busy_ms", "predicted_span_ms"] {
                let value = totals[name].as_f64().unwrap();
                assert!(value.is_finite() && value > 0.0, "{path}: {name} {value}");
            }
            let (busy, span) = (&totals["predicted_busy_ms"], &totals["predicted_span_ms"]);
            assert!(busy.as_f64().unwrap() <= span.as_f64().unwrap() * 1.000_001, "{path}");
        }
    }
}

/// Files below a folder whose names contain one of the words.
fn named(folder: &std::path::Path, words: &[&str], out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            named(&path, words, out);
        } else if words.iter().any(|word| name.contains(word)) {
            out.push(path);
        }
    }
}

#[test]
fn exports_of_other_profilers_are_read_whole() {
    let Some(data) = data() else { return };
    let words =
        ["gputrace", "gpu_trace", "GPUTrace", "kern_sum", "kernsum", "sqlite.gz", ".raw.csv"];
    let mut files = Vec::new();
    named(&data.join("traces"), &words, &mut files);
    files.sort();
    assert!(files.len() >= 30, "only {} files", files.len());
    for path in files {
        let path = path.display().to_string();
        // Nothing in them is passed over.
        let stats = run(&["trace", "stats", &path, "--format", "json", "--strict"]);
        assert_eq!(code(&stats), 0, "{path}: {}", stderr(&stats));
        let stats: serde_json::Value = serde_json::from_slice(&stats.stdout).unwrap();
        assert!(stats[0]["kernels"].as_u64().unwrap() > 0, "{path}");
        let output = run(&["replay", &path, "--gpu", "rtx4090", "--format", "json"]);
        assert_eq!(code(&output), 0, "{path}: {}", stderr(&output));
    }
}

#[test]
fn the_models_beat_a_roofline_on_measurements() {
    let Some(data) = data() else { return };
    let data = data.display().to_string();
    for suite in ["gemm", "elementwise_norm_softmax", "attention"] {
        let output = run(&["validate", suite, "--data", &data, "--format", "json"]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let report: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        let ours = report["overall"]["mape_pct"].as_f64().unwrap();
        let roofline = report["baselines"]["roofline"]["mape_pct"].as_f64().unwrap();
        assert!(ours < roofline, "{suite}: {ours} against {roofline}");
        assert!(report["rows_used"].as_u64().unwrap() > 1000);
    }
}
