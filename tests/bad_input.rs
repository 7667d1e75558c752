//! Bad input: one clear diagnostic, the documented exit code, and never a panic.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on should stop there, and says so on stderr"
)]

mod support;

use serde_json::{Value, json};
use support::{TODAY, code, folder, gzip, run, stdout, trace, write};

/// Runs replay and returns the exit code and what was said.
fn replay(path: &str, more: &[&str]) -> (i32, String) {
    let mut args = vec!["replay", path, "--gpu", "a100"];
    args.extend(more);
    let output = run(&args);
    let told = support::told(&output);
    assert_ne!(code(&output), 70, "{told}");
    assert!(!told.contains("panicked"), "{told}");
    if code(&output) != 0 {
        assert!(output.stdout.is_empty(), "half an answer on stdout");
    }
    (code(&output), told)
}

#[test]
fn what_is_not_a_file() {
    let folder = folder();
    let here = folder.path().display().to_string();
    let (status, told) = replay(&here, &[]);
    assert_eq!(status, 3);
    assert!(told.contains("it is a directory"), "{told}");
    let (status, told) = replay(&format!("{here}/missing.json"), &[]);
    assert_eq!(status, 3);
    assert!(told.contains("cannot read"), "{told}");
}

#[test]
fn what_is_no_trace() {
    let folder = folder();
    for (name, bytes, words) in [
        ("empty.json", &b""[..], "the file is empty"),
        ("text.txt", b"hello", "neither JSON nor a table"),
        ("image.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "it is a binary file"),
        ("number.json", b"[1, 2, \"x\"]", ""),
        ("object.json", b"{\"a\": 1}", ""),
    ] {
        let path = write(&folder, name, bytes);
        let (status, told) = replay(&path, &[]);
        if words.is_empty() {
            // Readable, and holds no kernels: success that says so.
            assert_eq!(status, 0, "{name}: {told}");
            assert!(told.contains("no GPU kernels"), "{name}: {told}");
        } else {
            assert_eq!(status, 3, "{name}: {told}");
            assert!(told.contains(words), "{name}: {told}");
        }
    }
}

#[test]
fn json_cut_in_the_middle_says_where() {
    let folder = folder();
    let text = trace(&TODAY).to_string();
    let path = write(&folder, "cut.json", &text.as_bytes()[..text.len() * 2 / 3]);
    let (status, told) = replay(&path, &[]);
    assert_eq!(status, 3);
    assert!(told.contains("at line 1, column") && told.contains("--keep-going"), "{told}");

    let output = run(&["replay", &path, "--gpu", "a100", "--keep-going"]);
    assert_eq!(code(&output), 0);
    assert!(support::told(&output).contains("reading stopped at damage"));
    assert!(stdout(&output).contains("distinct launches"));
}

#[test]
fn a_stray_character_is_shown() {
    let folder = folder();
    let text = serde_json::to_string_pretty(&trace(&TODAY)).unwrap();
    let at = text.find("\"dur\"").unwrap();
    let broken = format!("{}@@{}", &text[..at], &text[at..]);
    let line = text[..at].lines().count();
    let path = write(&folder, "stray.json", broken.as_bytes());
    let (status, told) = replay(&path, &[]);
    assert_eq!(status, 3);
    assert!(told.contains(&format!("at line {line}")) && told.contains("@@"), "{told}");
}

#[test]
fn damaged_containers() {
    let folder = folder();
    let packed = gzip(trace(&TODAY).to_string().as_bytes());
    let path = write(&folder, "cut.json.gz", &packed[..packed.len() / 2]);
    let (status, told) = replay(&path, &[]);
    assert_eq!(status, 3);
    assert!(told.contains("gzip data is damaged"), "{told}");
    let mut flipped = packed.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xff;
    let path = write(&folder, "flipped.json.gz", &flipped);
    assert_eq!(replay(&path, &[]).0, 3);
    let zst = zstd::stream::encode_all(&b"[{}]"[..], 1).unwrap();
    let path = write(&folder, "cut.json.zst", &zst[..zst.len() - 3]);
    assert_eq!(replay(&path, &[]).0, 3);
}

#[test]
fn a_million_levels_of_nesting() {
    let folder = folder();
    let deep = "[".repeat(1_000_000);
    let path = write(&folder, "deep.json", deep.as_bytes());
    let (status, told) = replay(&path, &[]);
    assert_eq!(status, 3);
    assert!(told.contains("EOF while parsing a list"), "{told}");
    // Closed again, it is a list of something that is no event.
    let closed = format!("{deep}{}", "]".repeat(1_000_000));
    let path = write(&folder, "closed.json", closed.as_bytes());
    let (status, told) = replay(&path, &[]);
    assert_eq!(status, 0, "{told}");
    assert!(told.contains("list entry that is no event"), "{told}");
    let shapes = format!("{{\"traceEvents\":[{{\"args\":{{\"Input Dims\":{deep}");
    let path = write(&folder, "shapes.json", shapes.as_bytes());
    let (status, told) = replay(&path, &[]);
    assert_eq!(status, 3);
    assert!(told.contains("recursion limit"), "{told}");
}

/// Changes the first kernel of a trace.
fn with_kernel(change: impl Fn(&mut Value)) -> String {
    let mut value = trace(&TODAY);
    let events = value["traceEvents"].as_array_mut().unwrap();
    let kernel = events.iter_mut().find(|event| event["cat"] == "kernel").unwrap();
    change(kernel);
    value.to_string()
}

#[test]
fn wrong_values_are_counted_by_reason_and_strict_refuses_them() {
    let folder = folder();
    for (name, text, reason) in [
        ("negative", with_kernel(|k| k["dur"] = json!(-5)), "negative duration"),
        ("text", with_kernel(|k| k["dur"] = json!("soon")), "no readable duration"),
        ("list", with_kernel(|k| k["ts"] = json!([1, 2])), "no readable start time"),
        ("huge", with_kernel(|k| k["dur"] = json!(1e300)), "time out of range"),
    ] {
        let path = write(&folder, &format!("{name}.json"), text.as_bytes());
        let (status, told) = replay(&path, &[]);
        assert_eq!(status, 0, "{name}: {told}");
        assert!(told.contains("not understood: 1 ×") && told.contains(reason), "{name}: {told}");
        let (status, told) = replay(&path, &["--strict"]);
        assert_eq!(status, 3, "{name}: {told}");
        assert!(told.contains(reason), "{name}: {told}");
    }
}

#[test]
fn odd_values_never_panic() {
    let folder = folder();
    let changes: [fn(&mut Value); 9] = [
        |k| k["args"]["grid"] = json!([4_294_967_295_u64, 4_294_967_295_u64, 4_294_967_295_u64]),
        |k| k["args"]["grid"] = json!([0, 0, 0]),
        |k| k["args"]["grid"] = json!("wide"),
        |k| k["args"]["block"] = json!([1e9, 1, 1]),
        |k| k["args"]["registers per thread"] = json!(-7),
        |k| k["args"]["shared memory"] = json!(1e30),
        |k| k["args"] = json!(null),
        |k| k["args"]["stream"] = json!(-1),
        |k| k["name"] = json!("sgemm_99999999x99999999_\u{0}"),
    ];
    for (index, change) in changes.iter().enumerate() {
        let path = write(&folder, &format!("odd{index}.json"), with_kernel(change).as_bytes());
        let (status, told) = replay(&path, &[]);
        assert!(status == 0 || status == 3, "{index}: {status} {told}");
    }
}

#[test]
fn shapes_that_make_no_sense() {
    let folder = folder();
    for dims in [
        json!([[0], [0, 0], [0, 0]]),
        json!([[1], [9_000_000_000_i64, 9_000_000_000_i64], [1, 1]]),
        json!([[-5], [-1, -1], [-1, -1]]),
        json!([[1], [1, 2, 3, 4, 5], [1]]),
        json!("none"),
    ] {
        let mut value = trace(&TODAY);
        for event in value["traceEvents"].as_array_mut().unwrap() {
            if event["cat"] == "cpu_op" {
                event["args"]["Input Dims"] = dims.clone();
            }
        }
        let path = write(&folder, "shapes.json", value.to_string().as_bytes());
        let (status, told) = replay(&path, &[]);
        assert!(status == 0 || status == 3, "{dims}: {told}");
    }
}

#[test]
fn our_own_format_is_read_strictly() {
    let folder = folder();
    let head = "{\"format\":\"lumacycle-trace\",\"version\":1,\"devices\":[]}\n";
    for (name, text, words) in [
        ("version", "{\"format\":\"lumacycle-trace\",\"version\":9}\n".to_owned(), "version 9"),
        (
            "orphan",
            format!("{head}{{\"at\":0,\"dur\":5,\"run\":3}}\n"),
            "no line before it describes",
        ),
        ("key", format!("{head}{{\"at\":0,\"dur\":5,\"rum\":3}}\n"), "unknown field `rum`"),
        (
            "work",
            format!(
                "{head}{{\"launch\":0,\"is\":{{\"kind\":\"kernel\",\"name\":\"x\",\"work\":{{\"gem\":{{}}}}}}}}\n"
            ),
            "unknown variant `gem`",
        ),
    ] {
        let path = write(&folder, &format!("{name}.jsonl"), text.as_bytes());
        let (status, told) = replay(&path, &[]);
        assert_eq!(status, 3, "{name}: {told}");
        assert!(told.contains(words), "{name}: {told}");
    }
}

#[test]
fn unreadable_measurements() {
    let folder = folder();
    let path = write(&folder, "gemm.csv", b"gpu,dtype\nA100,fp16\n");
    let output = run(&["validate", "gemm", "--data", &path]);
    assert_eq!(code(&output), 3);
    assert!(support::told(&output).contains("no column \"runtime_us\""));
    let output =
        run(&["validate", "gemm", "--data", &folder.path().join("none").display().to_string()]);
    assert_eq!(code(&output), 3);
}

#[test]
fn impossible_work_is_refused_with_its_line() {
    let folder = folder();
    let head = "{\"format\":\"lumacycle-trace\",\"version\":1,\"devices\":[]}\n";
    for (work, words) in [
        (r#"{"transfer":{"kind":"set","bytes":-1e6}}"#, "bytes is -1000000"),
        (r#"{"gemm":{"m":0,"n":8,"k":8,"batch":1,"dtype":"fp16","output":"fp16"}}"#, "m is 0"),
        (
            r#"{"gemm":{"m":8,"n":8,"k":8,"batch":1,"dtype":"fp16","output":"fp16","tile":{"m":0,"n":0,"k":0,"stages":1,"warps":1,"math":"simt"}}}"#,
            "tile.m is 0",
        ),
        (r#"{"sort_scan":{"kind":"sort","elements":10,"key_bytes":1e12}}"#, "keys have up to"),
        (
            r#"{"counters":{"launch":{"grid":[1,1,1],"block":[4294967295,4294967295,4294967295],"registers":0,"shared_bytes":0}}}"#,
            "beyond CUDA's limits",
        ),
        (
            r#"{"attention":{"batch":1,"heads_q":16,"heads_kv":5,"head_dim":64,"seq_q":1,"seq_kv":9,"causal":true,"dtype":"fp16"}}"#,
            "cannot share 5 KV heads",
        ),
    ] {
        let line = format!(
            "{{\"launch\":0,\"is\":{{\"kind\":\"kernel\",\"name\":\"x\",\"work\":{work}}}}}\n"
        );
        let text = format!("{head}{line}{{\"at\":0,\"dur\":0,\"run\":0}}\n");
        let path = write(&folder, "work.jsonl", text.as_bytes());
        let (status, told) = replay(&path, &[]);
        assert_eq!(status, 3, "{work}: {told}");
        assert!(told.contains(words) && told.contains("line 2"), "{work}: {told}");
    }
}

#[test]
fn times_at_the_edge_of_integers() {
    let folder = folder();
    for ts in ["1e17", "-1e17", "9223372036854775807", "1e308"] {
        let text = with_kernel(|k| k["ts"] = serde_json::from_str(ts).unwrap());
        let path = write(&folder, "edge.json", text.as_bytes());
        let (status, told) = replay(&path, &[]);
        assert_eq!(status, 0, "{ts}: {told}");
        assert!(told.contains("time out of range"), "{ts}: {told}");
    }
    let head = "{\"format\":\"lumacycle-trace\",\"version\":1,\"devices\":[]}\n{\"launch\":0,\"is\":{\"kind\":\"memset\",\"name\":\"x\",\"bytes\":8}}\n";
    let line = format!("{head}{{\"at\":{},\"dur\":5,\"run\":0}}\n", i64::MIN);
    let path = write(&folder, "edge.jsonl", line.as_bytes());
    let (status, told) = replay(&path, &[]);
    assert_eq!(status, 0, "{told}");
    assert!(told.contains("absurd time"), "{told}");
}

#[test]
fn what_cannot_run_is_said() {
    let folder = folder();
    let small = write(&folder, "small.toml", b"base = \"a100-pcie-40gb\"\n[sources]\ndefault = \"estimate: what if\"\n[sm]\nregisters = 1024\n");
    let path = write(&folder, "t.json", trace(&TODAY).to_string().as_bytes());
    let output = run(&["replay", &path, "--gpu", &small]);
    assert_eq!(code(&output), 0);
    let told = support::told(&output);
    assert!(told.contains("launches cannot run") && told.contains("registers"), "{told}");
}
