//! Replaying recordings: schemas, containers, selection, determinism, our own format.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on should stop there, and says so on stderr"
)]

mod support;

use serde_json::{Value, json};
use support::{OLD, TODAY, code, folder, gzip, run, stderr, stdout, trace, write};

fn replay_json(path: &str, more: &[&str]) -> Value {
    let mut args = vec!["replay", path, "--gpu", "a100-sxm4-80gb", "--format", "json"];
    args.extend(more);
    let output = run(&args);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_shipped_example_on_three_gpus() {
    let output = run(&[
        "replay",
        "docs/examples/transformer.jsonl",
        "--gpu",
        "rtx3090",
        "--gpu",
        "a100-sxm4-80gb",
        "--gpu",
        "h100-sxm",
    ]);
    assert_eq!(code(&output), 0);
    insta::assert_snapshot!("example_on_three_gpus", stdout(&output));
    assert_eq!(stderr(&output), "");
}

#[test]
fn one_gpu_in_depth() {
    let folder = folder();
    let path = write(&folder, "trace.json", trace(&TODAY).to_string().as_bytes());
    let output = run(&["replay", &path, "--gpu", "a100-sxm4-80gb"]);
    insta::assert_snapshot!("one_gpu_in_depth", stdout(&output));
}

#[test]
fn schemas_and_containers_agree() {
    let folder = folder();
    let today = trace(&TODAY).to_string();
    let old = trace(&OLD).to_string();
    let bare = Value::Array(support::events(&TODAY)).to_string();
    let zst = zstd::stream::encode_all(today.as_bytes(), 1).unwrap();
    let files = [
        write(&folder, "today.json", today.as_bytes()),
        write(&folder, "old.json", old.as_bytes()),
        write(&folder, "bom.json", format!("\u{feff}{today}").as_bytes()),
        write(&folder, "today.json.gz", &gzip(today.as_bytes())),
        write(&folder, "today.json.zst", &zst),
        write(&folder, "bare.json", bare.as_bytes()),
    ];
    let totals = |path: &String| {
        let result = replay_json(path, &["--recorded-gpu", "a100-sxm4-80gb"]);
        (result[0]["totals"].clone(), result[0]["classes"].clone(), result[0]["known"].clone())
    };
    let first = totals(&files[0]);
    for file in &files[1..] {
        assert_eq!(totals(file), first, "{file}");
    }
}

#[test]
fn operators_give_shapes_and_names_give_tiles() {
    let folder = folder();
    let path = write(&folder, "t.json", trace(&TODAY).to_string().as_bytes());
    let result = replay_json(&path, &[]);
    let kernels = result[0]["kernels"].as_array().unwrap();
    let gemm = kernels.iter().find(|k| k["class"] == "gemm").unwrap();
    assert_eq!(gemm["operator"], "aten::addmm");
    assert_eq!(gemm["known"], "kernel");
    assert_eq!(gemm["count"], 2);
    // Column-major: what the name calls 128 x 64 covers 64 rows and 128 columns.
    assert!(gemm["variant"].as_str().unwrap().starts_with("64x128x64 4 stages"));
    let add = kernels.iter().find(|k| k["class"] == "elementwise").unwrap();
    assert_eq!(add["known"], "kernel");
    assert!(result[0]["on_recorded_gpu"].as_bool().unwrap());
    assert!(add["error_pct"].is_number());
}

#[test]
fn on_another_gpu_there_is_no_error_to_state() {
    let folder = folder();
    let path = write(&folder, "t.json", trace(&TODAY).to_string().as_bytes());
    let output = run(&["replay", &path, "--gpu", "rtx4090", "--format", "json"]);
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result[0]["on_recorded_gpu"], false);
    assert!(result[0]["classes"].as_array().unwrap().iter().all(|c| c["error_pct"].is_null()));
}

#[test]
fn ranks_of_an_archive_are_replayed_apart() {
    let folder = folder();
    let mut builder = tar::Builder::new(Vec::new());
    for rank in [3, 1] {
        let mut one = trace(&TODAY);
        one["distributedInfo"] = json!({"rank": rank});
        let bytes = one.to_string().into_bytes();
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append_data(&mut header, format!("run/rank{rank}.json"), bytes.as_slice()).unwrap();
    }
    let path = write(&folder, "ranks.tar.gz", &gzip(&builder.into_inner().unwrap()));
    let all = replay_json(&path, &[]);
    let ranks: Vec<_> = all.as_array().unwrap().iter().map(|r| r["rank"].clone()).collect();
    assert_eq!(ranks, [json!(1), json!(3)]);
    assert_eq!(replay_json(&path, &["--rank", "3"]).as_array().unwrap().len(), 1);
    let output = run(&["replay", &path, "--gpu", "a100", "--rank", "7"]);
    assert_eq!(code(&output), 2);
    assert!(support::told(&output).contains("[1, 3]"));
}

#[test]
fn work_is_selected_by_step_kernel_and_range() {
    let folder = folder();
    let path = write(&folder, "t.json", trace(&TODAY).to_string().as_bytes());
    let events = |more: &[&str]| replay_json(&path, more)[0]["events"].as_u64().unwrap();
    assert_eq!(events(&[]), 4);
    assert_eq!(events(&["--warmup", "1"]), 2);
    assert_eq!(events(&["--steps", "5..5"]), 2);
    assert_eq!(events(&["--kernel", "s16816gemm"]), 2);
    assert_eq!(events(&["--range", "Step#6$", "--kernel", "elementwise"]), 1);
    let output = run(&["replay", &path, "--gpu", "a100", "--steps", "9..12"]);
    assert_eq!(code(&output), 2);
    assert!(support::told(&output).contains("[5, 6]"), "{}", stderr(&output));
    assert_eq!(code(&run(&["replay", &path, "--gpu", "a100", "--kernel", "("])), 2);
}

#[test]
fn our_own_format_says_the_same_as_what_it_was_made_from() {
    let folder = folder();
    let path = write(&folder, "t.json", trace(&TODAY).to_string().as_bytes());
    for name in ["own.jsonl", "own.jsonl.gz", "own.jsonl.zst"] {
        let own = folder.path().join(name).display().to_string();
        assert_eq!(code(&run(&["trace", "convert", &path, "--output", &own])), 0);
        let (a, b) = (replay_json(&path, &[]), replay_json(&own, &[]));
        for field in ["totals", "classes", "kernels", "known", "events"] {
            assert_eq!(a[0][field], b[0][field], "{name} {field}");
        }
    }
}

#[test]
fn the_same_bytes_for_any_thread_count() {
    let folder = folder();
    let path = write(&folder, "t.json", trace(&TODAY).to_string().as_bytes());
    for format in ["table", "csv", "json"] {
        let of = |threads: &str| {
            let output = support::lumacycle()
                .args(["replay", &path, "--gpu", "h100-sxm", "--gpu", "a100", "--format", format])
                .env("RAYON_NUM_THREADS", threads)
                .output()
                .unwrap();
            stdout(&output)
        };
        assert_eq!(of("1"), of("7"), "{format}");
    }
}

#[test]
fn host_gaps_stay_and_streams_overlap() {
    let folder = folder();
    let path = write(&folder, "t.json", trace(&TODAY).to_string().as_bytes());
    let result = replay_json(&path, &[]);
    let totals = &result[0]["totals"];
    let number = |name: &str| totals[name].as_f64().unwrap();
    // Recorded: 60 us from 30 and 75 us from 80, overlapping by 10, twice, 1 ms apart.
    assert!((number("recorded_sum_ms") - 0.270).abs() < 1e-9);
    assert!((number("recorded_busy_ms") - 0.250).abs() < 1e-9);
    assert!((number("recorded_span_ms") - 1.125).abs() < 1e-9);
    // The host's 875 us between the steps are still there.
    assert!(number("predicted_span_ms") > 0.875);
    assert!(number("predicted_span_ms") < number("recorded_span_ms"));
}

#[test]
fn statistics_of_a_trace() {
    let folder = folder();
    let path = write(&folder, "trace.json", trace(&OLD).to_string().as_bytes());
    let output = run(&["trace", "stats", &path]);
    assert_eq!(code(&output), 0);
    insta::assert_snapshot!("trace_stats", stdout(&output));
}

/// A recording in our own format: `launches` of one kernel with one CTA, each of `ps`, and copies of 64 MB from the host.
fn short_launches(launches: usize, ps: u64, ranks: u32) -> String {
    let mut lines = vec![
        json!({"format": "lumacycle-trace", "version": 1, "rank": 0, "ranks": ranks,
               "devices": [{"id": 0, "name": "NVIDIA A100-SXM4-80GB", "compute_capability": 80}]}),
        json!({"launch": 0, "is": {"kind": "kernel", "name": "add",
               "launch": {"grid": [1, 1, 1], "block": [128, 1, 1], "registers": 16, "shared_bytes": 0},
               "work": {"streaming": {"class": "elementwise", "elements": 128.0, "read_bytes": 1024.0,
                        "write_bytes": 512.0, "flops_per_element": 1.0, "contiguous_share": 1.0}}}}),
        json!({"launch": 1, "is": {"kind": "memcpy", "name": "Memcpy HtoD (Pinned -> Device)", "bytes": 64_000_000}}),
    ];
    for index in 0..launches {
        lines.push(json!({"at": index * 10_000_000, "dur": ps, "run": 0}));
    }
    lines.push(json!({"at": launches * 10_000_000, "dur": 5_000_000_000_u64, "run": 1}));
    lines.iter().map(|line| line.to_string() + "\n").collect()
}

fn predicted_us(result: &Value, name: &str) -> f64 {
    let kernels = result[0]["kernels"].as_array().unwrap();
    let row = kernels.iter().find(|row| row["name"].as_str().unwrap().starts_with(name)).unwrap();
    row["predicted_us"].as_f64().unwrap()
}

#[test]
fn what_every_short_launch_takes_longer_is_added_to_all_of_its_kind() {
    let folder = folder();
    let path = write(&folder, "slow.jsonl", short_launches(40, 6_000_000, 1).as_bytes());
    let result = replay_json(&path, &[]);
    let modelled = replay_json(&path, &["--launch-floor", "modelled"]);
    let without = predicted_us(&modelled, "add");
    assert!(without < 4.0, "{without}");
    assert!((predicted_us(&result, "add") - 6.0).abs() < 1e-6);
    // One copy is too few to speak for copies.
    assert_eq!(predicted_us(&result, "Memcpy"), predicted_us(&modelled, "Memcpy"));
    let floor = &result[0]["launch_floors"][0];
    assert_eq!(floor["launches"], 40);
    assert!((floor["added_us"].as_f64().unwrap() - (6.0 - without)).abs() < 1e-6);
    assert!(modelled[0].get("launch_floors").is_none());
    assert_eq!(result[0]["totals"]["unfloored_error_pct"], modelled[0]["totals"]["error_pct"]);
    // Fewer than twenty say nothing, and launches that are shorter than modelled take nothing away.
    for (launches, ps) in [(19, 6_000_000), (40, 100_000)] {
        let path = write(&folder, "other.jsonl", short_launches(launches, ps, 1).as_bytes());
        assert_eq!(predicted_us(&replay_json(&path, &[]), "add"), without);
    }
}

#[test]
fn ranks_that_copy_at_once_share_their_uplink() {
    let folder = folder();
    let alone = write(&folder, "alone.jsonl", short_launches(1, 2_000_000, 1).as_bytes());
    let among = write(&folder, "among.jsonl", short_launches(1, 2_000_000, 16).as_bytes());
    let (alone, among) = (replay_json(&alone, &[]), replay_json(&among, &[]));
    let ratio = predicted_us(&among, "Memcpy") / predicted_us(&alone, "Memcpy");
    assert!((1.98..2.0).contains(&ratio), "{ratio}");
    let said = |result: &Value| result[0]["assumptions"].to_string().contains("share an uplink");
    assert!(said(&among) && !said(&alone));
}
