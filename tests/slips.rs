//! Slips of the hand that would cost something: a recording, a long run, an answer to another question.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod support;

use support::{GPU, code, folder, refused, run, write};

const STUDY: &str = r#"name = "l2"
question = "How much L2?"
finding = "From {small} ms."
metrics = ["frame_ms"]

[system]
app = "gia"
resolution = [64, 36]
at = 0.25

[[axis]]
path = "gpu.l2.capacity"
values = ["6 MiB", "40 MiB"]

[[value]]
name = "small"
metric = "frame_ms"
at = { "gpu.l2.capacity" = "6 MiB" }

[figure]
x = "gpu.l2.capacity"
y = "frame_ms"
label = "frame, ms"
at = {}
"#;

/// A recording cannot be made again.
#[test]
fn no_result_is_written_over_what_it_is_made_from() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let recording = std::fs::read(support::root().join("docs/examples/transformer.jsonl")).unwrap();
    let trace = write(&dir, "p.jsonl", &recording);
    let gpu = write(&dir, "mine.toml", GPU.as_bytes());
    let roundabout = at("./p.jsonl");
    let replay = ["replay", &trace, "--gpu", "rtx3090"];
    let kernel = ["kernel", "gemm", "64", "64", "64", "--gpu", &gpu];
    let joined = format!("--output={trace}");
    for args in [
        [&replay[..], &["-o", &trace]].concat(),
        [&replay[..], &["-o", &roundabout]].concat(),
        [&replay[..], &[&joined]].concat(),
        [&replay[..], &["--timeline", &trace]].concat(),
        vec!["trace", "convert", &trace, "-o", &trace],
        vec!["explain", &trace, "-o", &trace],
        [&kernel[..], &["-o", &gpu]].concat(),
    ] {
        refused(&args, 2, &["would write over", "give the result a name of its own"]);
        assert_eq!(std::fs::read(&trace).unwrap(), recording, "{args:?}");
        assert_eq!(std::fs::read_to_string(&gpu).unwrap(), GPU, "{args:?}");
    }
    let (one, same) = (at("one.json"), at("./one.json"));
    refused(&[&replay[..], &["-o", &one, "--timeline", &same]].concat(), 2, &["--timeline names"]);
    assert!(!dir.path().join("one.json").exists());
    // A file that is there may be replaced; two may go nowhere; a word of an option is no file.
    let words = ["--format", "json", "-o", "json"];
    let known = write(&dir, "json", b"old");
    for _ in 0..2 {
        let args = [&kernel[..], &words[..3], &[&known]].concat();
        assert_eq!(code(&run(&args)), 0);
    }
    if cfg!(target_os = "linux") {
        let args = [&replay[..], &["-o", "/dev/null", "--timeline", "/dev/null"]].concat();
        assert_eq!(code(&run(&args)), 0);
    }
}

#[test]
fn a_study_is_checked_before_it_runs() {
    let dir = folder();
    for (from, to, words) in [
        ("[64, 36]", "[0, 36]", ["s.toml:8:14", "0 x 36 is no image size"]),
        ("[64, 36]", "[64, 40000]", ["s.toml:8:14", "sides of 1 to 32768 pixels"]),
        ("0.25", "nan", ["s.toml:9:6", "no share of the camera path"]),
        ("0.25", "1.0", ["s.toml:9:6", "from 0 to below 1"]),
        ("\"40 MiB\"]", "\"40 MiB\", \"6 MiB\"]", ["s.toml:13:30", "has 6 MiB twice"]),
        ("= \"6 MiB\" }", "= \"8 MiB\" }", ["s.toml:18:28", "its steps are 6 MiB, 40 MiB"]),
        ("{ \"gpu.l2.capacity", "{ \"gpu.l2.capcity", ["s.toml:18:8", "did you mean \"gpu.l2.cap"]),
        ("at = {}", "at = { app = \"gia\" }", ["s.toml:24:8", "which is no axis"]),
        ("{small}", "{small", ["s.toml:3:17", "a brace in the finding is not closed"]),
        ("{small}", "{small {small}", ["s.toml:3:17", "is not closed"]),
        ("{small}", "{smal}", ["s.toml:3:17", "did you mean {small}?"]),
        (
            "[[value]]",
            "[[axis]]\npath = \"gpu.l2.capacity\"\nvalues = [\"6 MiB\"]\n[[value]]",
            ["s.toml:16:8", "is there twice"],
        ),
    ] {
        let text = STUDY.replacen(from, to, 1);
        assert_ne!(text, STUDY, "{from}");
        let path = write(&dir, "s.toml", text.as_bytes());
        refused(&["study", &path], 3, &words);
    }
    let path = write(&dir, "s.toml", STUDY.as_bytes());
    assert_eq!(code(&run(&["study", &path])), 0);
    // The same system in a space.
    let space = "name = \"a\"\nquestion = \"?\"\n[system]\napp = \"gia\"\nresolution = [0, 5]\n[search]\nmethod = \"grid\"\n[[parameter]]\npath = \"gpu.l2.capacity\"\nvalues = [\"6 MiB\"]\n[[objective]]\nmetric = \"fps\"\ngoal = \"maximise\"\n";
    let path = write(&dir, "a.toml", space.as_bytes());
    refused(&["explore", &path, "--dry-run"], 3, &["a.toml:5:14", "0 x 5 is no image size"]);
}

#[test]
fn names_of_another_kind_are_told_what_they_are() {
    refused(&["run", "nerf", "--gpu", "ngpc-8"], 4, &["it is an accelerator: give it with --acc"]);
    refused(&["run", "nerf", "--accelerator", "rtx4090"], 4, &["it is a GPU: give it with --gpu"]);
    let layer = ["kernel", "gemm", "64", "64", "64", "--gpu", "gddr6x"];
    refused(&layer, 4, &["a layer that descriptions start from", "whole ones are "]);
    let dir = folder();
    let path = write(&dir, "mine.toml", GPU.replace("[l2]", "[L2]").as_bytes());
    refused(&["catalog", "check", &path], 3, &["mine.toml:6:2", "did you mean \"l2\"?"]);
    let small = "base = \"ngpc-8\"\n[accelerator]\nclock = \"1e-300 GHz\"\n";
    let path = write(&dir, "mine.toml", small.as_bytes());
    refused(&["catalog", "check", &path], 3, &["mine.toml:3:9", "greater than zero, is 1e-291"]);
}

#[test]
fn tables_and_columns_that_are_not_there() {
    let dir = folder();
    let figure = dir.path().join("f.svg").display().to_string();
    for (text, words) in [
        ("x,by,y\n1,2\n", "line 2 has 2 cells, the lines above have 3"),
        ("x;by;y\n1;2;3\n", "separate columns by a comma, not by \";\""),
        ("gpu.x,by,y\n1,2,3\n", "there is no column \"x\""),
        ("x_mib,by,y\n1,2,3\n", "did you mean \"x_mib\"?"),
    ] {
        let path = write(&dir, "t.csv", text.as_bytes());
        let axes = ["--x", "x", "--by", "by", "--y", "y", "-o", &figure];
        refused(&[&["plot", "heatmap", &path], &axes[..]].concat(), 3, &["t.csv: ", words]);
        assert!(!dir.path().join("f.svg").exists());
    }
}

#[test]
fn numbers_files_and_pictures_of_the_wrong_kind() {
    let kernel = |m| ["kernel", "gemm", m, "64", "64", "--gpu", "a100"];
    refused(&kernel("4k"), 2, &["'4k' for '<M>'", "tip: write a whole number, such as 4096"]);
    refused(&kernel("-1"), 2, &["'-1'", "tip: numbers here are not negative"]);
    let dir = folder();
    let mesh = write(&dir, "a.obj", b"v 0 0 0\nv 1 0 x\nf 1 2 1\n");
    let small = ["--resolution", "64x36"];
    let scene = ["run", "nerf", "--scene", &mesh];
    refused(&[&scene[..], &small].concat(), 3, &["a.obj:2: ", "in \"v 1 0 x\""]);
    let field = ["run", "tensorf", "--accelerator", "rt-nerf-edge"];
    let none = dir.path().join("none").display().to_string();
    let factors = [&field[..], &small, &["--factors", &none]].concat();
    refused(&factors, 3, &["none: there is no such folder", "an .npy of each array"]);
    let picture = dir.path().join("i.svg").display().to_string();
    let image = [&field[..], &small, &["--image", &picture]].concat();
    refused(&image, 2, &["--image writes PNG, not svg", "end the name in .png"]);
    let image = [&field[..], &["--resolution", "8k", "--image", "i.png"]].concat();
    refused(&image, 2, &["--image is for images up to 4 M pixels"]);
}
