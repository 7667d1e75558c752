//! `lumacycle kernel`: shapes by the names and letters of their fields, and what is wrong with some.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on should stop there, and says so on stderr"
)]

mod support;

use support::{code, run, write};

#[test]
fn shapes_that_overflow_are_refused() {
    for args in [
        &["kernel", "attention", "1099511627776", "16777216", "1", "4096"][..],
        &["kernel", "gemm", "1099511627776", "1099511627776", "1"],
        &["kernel", "softmax", "1099511627776", "1099511627776"],
        &["kernel", "norm", "1099511627776", "1099511627776"],
        &["kernel", "reduce", "--rows", "1099511627776", "--columns", "1099511627776"],
        &[
            "kernel",
            "conv",
            "--n",
            "1099511627776",
            "--c",
            "64",
            "--h",
            "1048576",
            "--k",
            "64",
            "--r",
            "1",
        ],
    ] {
        let output = support::lumacycle().args(args).args(["--gpu", "a100"]).output().unwrap();
        assert_eq!(code(&output), 2, "{args:?}");
    }
}

/// Every norm is found under the name that people look for; backward reads a tensor more; few long rows of a batch
/// norm are no slower than memory allows; what is wrong is named.
#[test]
fn norms_are_shapes_of_kernels() {
    let time = |args: &[&str]| -> f64 {
        let args = [&["kernel"], args, &["--gpu", "a100", "--format", "json"]].concat();
        let output = run(&args);
        assert_eq!(code(&output), 0, "{args:?}: {}", support::told(&output));
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(value["results"][0]["cost"]["kernels"][0]["class"], "norm");
        value["results"][0]["cost"]["time_ns"].as_f64().unwrap() / 1e3
    };
    let layer = time(&["norm", "8192", "4096"]);
    assert_eq!(layer, time(&["layer-norm", "8192", "4096"]));
    assert_eq!(layer, time(&["layernorm", "8192", "4096", "--kind", "layer"]));
    // 134 MB at 1555 GB/s take 86 us.
    for kind in ["layer", "rms", "group"] {
        let us = time(&["norm", "8192", "4096", "--kind", kind]);
        assert!((86.0..200.0).contains(&us), "{kind}: {us}");
        let back = time(&["norm", "8192", "4096", "--kind", kind, "--backward"]);
        assert!(back > 1.2 * us, "{kind}: {us} and {back} us");
    }
    let batch = time(&["norm", "256", "131072", "--kind", "batch"]);
    assert!((86.0..300.0).contains(&batch), "{batch}");
    for (args, words) in [
        (&["norm", "0", "8"][..], "ROWS is 0"),
        (&["norm", "8", "0"], "COLUMNS is 0"),
        (&["norm", "8", "8", "--kind", "instance"], "[possible values: layer, rms, batch, group]"),
        (&["norm", "8", "8", "--dtype", "fp12"], "unknown element type \"fp12\""),
    ] {
        let output = run(&[&["kernel"], args, &["--gpu", "a100"]].concat());
        assert_eq!(code(&output), 2, "{args:?}");
        assert!(support::told(&output).contains(words), "{args:?}: {}", support::told(&output));
    }
}

/// A convolution by the letters of its field: sides of the output follow from stride, padding and dilation, each kernel of
/// a layer is there, no time is below what arithmetic and memory allow, and what is wrong is named.
#[test]
fn convolutions_are_shapes_of_kernels() {
    let priced = |args: &str| -> (f64, f64, serde_json::Value) {
        let words: Vec<&str> = args.split_whitespace().collect();
        let args = [&["kernel"], &words[..], &["--gpu", "a100", "--format", "json"]].concat();
        let output = run(&args);
        assert_eq!(code(&output), 0, "{args:?}: {}", support::told(&output));
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let result = &value["results"][0];
        assert_eq!(result["cost"]["kernels"][0]["class"], "convolution");
        let us = result["cost"]["time_ns"].as_f64().unwrap() / 1e3;
        (us, result["flops"].as_f64().unwrap(), value["operation"]["convolution"].clone())
    };
    let layer = "--n 32 --c 64 --h 56 --k 64 --r 3 --pad 1";
    let (us, flops, _) = priced(&format!("conv {layer}"));
    assert_eq!(flops, 2.0 * 32.0 * 64.0 * 56.0 * 56.0 * 64.0 * 9.0);
    // 312 TFLOP/s are the most.
    assert!(us > flops / 312e6 && us < 10.0 * flops / 312e6, "{us}");
    assert_eq!(us, priced(&format!("conv2d {layer} --w 56 --s 3 --stride 1 --groups 1")).0);
    for direction in ["fprop", "dgrad", "wgrad", "data-gradient", "weight-gradient"] {
        let (us, same, _) = priced(&format!("conv {layer} --direction {direction}"));
        assert!(us > flops / 312e6 && same == flops, "{direction}: {us}");
    }
    let first = priced("convolution --c 3 --h 224 --w 200 --k 64 --r 7 --pad 3 --stride 2");
    assert_eq!(first.2["out_pixels"], 112 * 100);
    let spread = priced("conv --c 64 --h 33 --k 64 --r 3 --s 5 --dilation 4");
    assert_eq!(spread.2["out_pixels"], 25 * 17);
    assert_eq!(spread.2["filter"], 15);
    let depthwise = priced("conv --n 32 --c 512 --h 28 --k 512 --r 3 --pad 1 --groups 512");
    // 51 MB at 1555 GB/s take 33 us.
    assert!(depthwise.0 > 33.0 && depthwise.1 < flops, "{}", depthwise.0);
    // Only square filters of three taps that step by one pixel have a Winograd kernel.
    let winograd =
        |rest: &str| priced(&format!("conv --c 8 --h 32 --k 8 {rest}")).2["algorithm"].clone();
    assert_eq!(winograd("--r 3"), "auto");
    for rest in ["--r 1 --s 9", "--r 3 --stride 2", "--r 3 --dilation 2"] {
        assert_eq!(winograd(rest), "implicit_gemm", "{rest}");
    }
    for (rest, words) in [
        ("--c 64 --h 5 --k 64 --r 7", "a filter of 7 x 7 taps is larger than 5 x 5 pixels"),
        ("--c 64 --h 5 --k 64 --r 3 --dilation 3", "3 x 3 taps 3 apart"),
        ("--c 64 --h 5 --k 64 --r 3 --stride 0", "--stride is 0"),
        ("--c 0 --h 5 --k 64 --r 3", "--c is 0"),
        (
            "--c 64 --h 5 --k 48 --r 3 --groups 32",
            "32 groups do not divide 64 channels and 48 filters",
        ),
        ("--c 64 --h 5 --k 64", "--r <R>"),
    ] {
        let words_of: Vec<&str> = rest.split_whitespace().collect();
        let output = run(&[&["kernel", "conv"], &words_of[..], &["--gpu", "a100"]].concat());
        assert_eq!(code(&output), 2, "{rest}");
        assert!(support::told(&output).contains(words), "{rest}: {}", support::told(&output));
    }
}

/// Rows of a reduction give a value each, and memory bounds it from below.
#[test]
fn reductions_are_shapes_of_kernels() {
    let time = |args: &[&str]| -> f64 {
        let output = run(&[&["kernel"], args, &["--gpu", "a100", "--format", "json"]].concat());
        assert_eq!(code(&output), 0, "{args:?}: {}", support::told(&output));
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(value["results"][0]["cost"]["kernels"][0]["class"], "reduction");
        value["results"][0]["cost"]["time_ns"].as_f64().unwrap() / 1e3
    };
    // 200 MB at 1555 GB/s take 129 us.
    let all = time(&["reduce", "--columns", "100000000"]);
    assert!((129.0..250.0).contains(&all), "{all}");
    assert_eq!(all, time(&["sum", "--rows", "1", "--columns", "100000000"]));
    // As many values as elements are written as well.
    let copied = time(&["reduction", "--rows", "100000000", "--columns", "1"]);
    assert!(copied > 1.5 * all, "{copied} and {all} us");
    for (args, words) in [
        (&["--rows", "0", "--columns", "8"][..], "--rows is 0"),
        (&["--rows", "8"], "--columns <COLUMNS>"),
    ] {
        let output = run(&[&["kernel", "reduce"], args, &["--gpu", "a100"]].concat());
        assert_eq!(code(&output), 2, "{args:?}");
        assert!(support::told(&output).contains(words), "{args:?}: {}", support::told(&output));
    }
}

/// What a shape comes to may stand in a trace file as it is printed, and costs as much there.
#[test]
fn shapes_of_kernels_are_work_of_traces() {
    let dir = support::folder();
    for shape in [
        "gemm 512 512 512",
        "conv --n 8 --c 64 --h 28 --k 64 --r 3 --pad 1",
        "reduce --rows 64 --columns 65536",
        "norm 4096 1024",
        "softmax 4096 1024",
        "attention 2 8 512 512",
        "elementwise 1000000",
    ] {
        let words: Vec<&str> = shape.split_whitespace().collect();
        // Without a clock, each would choose its own: one kernel of a profile, or as many as take seconds. Repeated kernels
        // overwrite their results in L2, those of a profile leave them; an empty one is alike.
        let end = ["--gpu", "a100", "--format", "json", "--clock", "1.2 GHz", "--cold-l2"];
        let output = run(&[&["kernel"], &words[..], &end].concat());
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let us = value["results"][0]["cost"]["time_ns"].as_f64().unwrap() / 1e3;
        let launch = serde_json::json!({"launch": 0, "is": {"kind": "kernel", "name": "k", "work": value["operation"]}});
        let trace = format!(
            "{{\"format\":\"lumacycle-trace\",\"version\":1,\"rank\":0,\"devices\":[]}}\n{launch}\n\
             {{\"at\":0,\"dur\":0,\"run\":0,\"stream\":7,\"device\":0}}\n"
        );
        let path = write(&dir, "one.jsonl", trace.as_bytes());
        let output = run(&[&["replay", path.as_str()], &end[..]].concat());
        assert_eq!(code(&output), 0, "{shape}: {}", support::told(&output));
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let replayed = value[0]["classes"][0]["predicted_ms"].as_f64().unwrap() * 1e3;
        assert!((replayed / us - 1.0).abs() < 0.02, "{shape}: {us} and {replayed} us");
    }
}

/// Published times of attention ship with the program; what belongs to another suite is refused.
#[test]
fn attention_is_compared_without_data() {
    let output = run(&["validate", "attention", "--format", "json"]);
    assert_eq!(code(&output), 0, "{}", support::told(&output));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(value["rows_used"].as_u64().unwrap() >= 100, "{}", value["rows_used"]);
    assert_eq!(value["rows_left_out"], serde_json::json!({}));
    let gpus: std::collections::BTreeSet<_> =
        value["groups"].as_array().unwrap().iter().map(|group| group["gpu"].as_str()).collect();
    assert!(gpus.len() >= 6, "{gpus:?}");
    let output = run(&["validate", "attention", "--leave-one-out"]);
    assert_eq!(code(&output), 2);
    assert!(support::told(&output).contains("is for the suite power"));
}

/// Of a generation with fits of its own nothing fitted is left; another stays as it is.
#[test]
fn times_are_compared_as_if_no_fit_had_seen_the_gpu() {
    let folder = support::folder();
    let table = "gpu,dtype,m,n,k,runtime_us,timing\n\
                 a40,fp16,4096,4096,4096,1200,B\n\
                 h100-sxm,bf16,4096,4096,4096,230,B\n";
    let path = write(&folder, "gemm.csv", table.as_bytes());
    let rows = |extra: &[&str]| {
        let out = folder.path().join("rows.csv").display().to_string();
        let args = [&["validate", "gemm", "--data", &path, "--rows", &out], extra].concat();
        let output = run(&args);
        assert_eq!(code(&output), 0, "{}", support::told(&output));
        let text = std::fs::read_to_string(&out).unwrap();
        text.lines()
            .skip(1)
            .map(|row| row.split(',').nth(4).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (own, unseen) = (rows(&[]), rows(&["--leave-one-out"]));
    assert_ne!(own[0], unseen[0]);
    assert_eq!(own[1], unseen[1]);
    let output = run(&["validate", "gemm", "--data", &path, "--leave-one-out"]);
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.contains("means of the three others'"), "{table}");
    let output = run(&["validate", "gemm", "--data", &path, "--leave-one-out", "--all"]);
    assert_eq!(code(&output), 2);
    assert!(support::told(&output).contains("neither --all nor --expected"));
}
