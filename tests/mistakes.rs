//! What a newcomer gets wrong on the way through the tutorial and the how-to pages: each mistake ends with one
//! message that has the file, the line, the text and what to do, the documented exit code, and nothing written.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod support;

use support::{GPU, code, folder, refused, run, told, write};

/// The study of the tutorial, smaller.
const STUDY: &str = r#"name = "l2-or-ngpc"
question = "How much L2 is worth eight processors?"
finding = "From {small} to {large} ms."
metrics = ["frame_ms", "speedup"]

[system]
app = "nerf"
gpu = "rtx3090"
resolution = [64, 36]

[[axis]]
path = "gpu.l2.capacity"
values = ["6 MiB", "40 MiB"]

[[axis]]
path = "accelerator"
values = ["none", "ngpc-8"]

[[value]]
name = "small"
metric = "frame_ms"
at = { "gpu.l2.capacity" = "6 MiB", accelerator = "none" }

[[value]]
name = "large"
metric = "frame_ms"
at = { "gpu.l2.capacity" = "40 MiB", accelerator = "none" }
"#;

fn wide(text: &str, mark: &str) -> Vec<u8> {
    mark.encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

#[test]
fn text_in_other_encodings_is_told_with_its_line() {
    let dir = folder();
    let marked = wide(GPU, "\u{feff}");
    let unmarked = wide(GPU, "");
    let mut old = GPU.as_bytes().to_vec();
    old.extend(b"# caf\xe9\n");
    for (bytes, line, what) in [
        (&marked, 1, "the mark of UTF-16"),
        (&unmarked, 1, "a zero byte"),
        (&old, 8, "the byte 0xe9"),
    ] {
        let path = write(&dir, "mine.toml", bytes);
        let place = format!("mine.toml:{line}:");
        let words = [place.as_str(), "not UTF-8", what, "save the file as UTF-8"];
        for args in [
            &["catalog", "check", &path][..],
            &["catalog", "show", &path],
            &["kernel", "gemm", "64", "64", "64", "--gpu", &path],
            &["run", "nerf", "--gpu", "rtx3090", "--accelerator", &path],
            &["run", &path, "--gpu", "rtx3090"],
            &["study", &path],
            &["explore", &path, "--dry-run"],
            &["run", "nerf", "--gpu", "rtx3090", "--camera", &path],
            &["plot", "heatmap", &path, "-o", "none.svg"],
            &["explain", &path],
            &["diff", &path, &path],
        ] {
            refused(args, 3, &words);
        }
        refused(&["validate", "gemm", "--data", &path], 3, &["mine.toml"]);
    }
    let table = write(&dir, "gemm.csv", &wide("gpu,dtype,runtime_us,m,n,k\n", "\u{feff}"));
    refused(
        &["validate", "gemm", "--data", &table],
        3,
        &["gemm.csv:1: it is not UTF-8 text", "save the table as UTF-8"],
    );
    // A mark before UTF-8 means nothing.
    let path = write(&dir, "mine.toml", format!("\u{feff}{GPU}").as_bytes());
    assert_eq!(code(&run(&["catalog", "check", &path])), 0);
    let trace = write(&dir, "t.jsonl", &wide("{\"format\":\"lumacycle-trace\"}\n", ""));
    refused(&["replay", &trace, "--gpu", "rtx3090"], 3, &["t.jsonl", "encoding without a mark"]);
}

#[test]
fn mistakes_in_a_study_are_shown_where_they_stand() {
    let dir = folder();
    for (from, to, words) in [
        ("capacity\"\nvalues", "capcity\"\nvalues", ["s.toml:12:16", "did you mean \"capacity\"?"]),
        ("\"40 MiB\"]", "\"40 MiB\", \"6 MHz\"]", ["s.toml:13:31", "MHz is a frequency"]),
        ("rtx3090", "rtx3091", ["s.toml:8:8", "did you mean \"rtx3090\"?"]),
        ("\"nerf\"", "\"nrf\"", ["s.toml:7:8", "known: nerf"]),
        ("\"ngpc-8\"", "\"ngpc-9\"", ["s.toml:17:20", "nearest are ngpc-8"]),
        ("{small}", "{smal}", ["s.toml:3:17", "no [[value]] defines"]),
        ("\"frame_ms\",", "\"frame_s\",", ["s.toml:4:12", "did you mean frame_ms?"]),
    ] {
        let path = write(&dir, "s.toml", STUDY.replacen(from, to, 1).as_bytes());
        let out = dir.path().join("out").display().to_string();
        refused(&["study", &path, "--out", &out], 3, &words);
        assert!(!dir.path().join("out").exists(), "{to}");
    }
}

#[test]
fn a_wrong_key_of_an_application_is_told_with_the_nearest() {
    let dir = folder();
    let text =
        support::stdout(&run(&["run", "nerf", "--print-app"])).replace("levels =", "levls =");
    let path = write(&dir, "app.toml", text.as_bytes());
    let words = ["unknown field `levls`", "app.toml:7:1", "did you mean `levels`?"];
    refused(&["run", &path, "--gpu", "rtx3090", "--resolution", "64x36"], 3, &words);
}

#[test]
fn mistakes_in_the_system_of_a_space_are_shown_where_they_stand() {
    let dir = folder();
    let space = "name = \"a\"\nquestion = \"?\"\n[system]\napp = \"gia\"\naccelerator = \"ngpc-9\"\n[search]\nmethod = \"grid\"\n[[parameter]]\npath = \"accelerator.accelerator.units\"\nvalues = [8, 16]\n[[objective]]\nmetric = \"area_mm2\"\ngoal = \"minimise\"\n";
    let path = write(&dir, "a.toml", space.as_bytes());
    refused(&["explore", &path, "--dry-run"], 3, &["a.toml:5:16", "nearest are ngpc-8"]);
    let path = write(&dir, "a.toml", space.replace("ngpc-9", "ngpc-8").as_bytes());
    let out = dir.path().join("out").display().to_string();
    let part = run(&["explore", &path, "--out", &out, "--shard", "1/2"]);
    assert_eq!(code(&part), 0, "{}", told(&part));
    let merged = run(&["explore", "merge", &path, "--out", &out]);
    assert_eq!(code(&merged), 1);
    assert!(told(&merged).contains("× 1 of 2 points are missing"), "{}", told(&merged));
}

#[test]
fn wrong_units_end_in_one_line() {
    let dir = folder();
    let path = write(&dir, "mine.toml", GPU.replace("48 MiB", "48 MHz").as_bytes());
    let output = run(&["catalog", "check", &path]);
    let said = support::stderr(&output);
    assert!(said.contains("MHz is a frequency\n   ╭─["), "{said}");
    assert!(said.contains("mine.toml:7:12"), "{said}");
}

#[test]
fn a_description_by_another_ending_is_no_unknown_gpu() {
    let dir = folder();
    let path = write(&dir, "mine.txt", GPU.as_bytes());
    let words = ["mine.txt", "give the description a name that ends in .toml"];
    for args in [
        &["kernel", "gemm", "64", "64", "64", "--gpu", &path][..],
        &["run", "nerf", "--gpu", "rtx3090", "--accelerator", &path],
        &["run", "tensorf", "--accelerator", &path],
    ] {
        refused(args, 3, &words);
    }
    refused(&["kernel", "gemm", "64", "64", "64", "--gpu", "rtx3091"], 4, &["nearest are rtx3090"]);
}

#[test]
fn what_a_command_says_for_another_stays_whole() {
    let dir = folder();
    let path = write(&dir, "mine.toml", GPU.replace("capacity", "capcity").as_bytes());
    let args = ["kernel", "gemm", "64", "64", "64", "--gpu", &path];
    let own = told(&run(&args));
    let output = run(&[&["explain"], &args[..]].concat());
    assert_eq!(code(&output), 3);
    let said = told(&output);
    assert!(said.starts_with(own.trim_end()), "{said}");
    assert!(said.contains("in: lumacycle kernel gemm 64 64 64"), "{said}");
}

#[test]
fn output_that_cannot_be_written_is_named_by_its_own_name() {
    let dir = folder();
    let path = dir.path().join("none/a.csv").display().to_string();
    let args = ["kernel", "gemm", "64", "64", "64", "--gpu", "a100", "-o", &path];
    refused(&args, 5, &["a.csv: there is no folder"]);
    if cfg!(target_os = "linux") {
        let args = ["kernel", "gemm", "64", "64", "64", "--gpu", "a100", "-o", "/proc/a.csv"];
        let said = told(&run(&args));
        assert!(said.contains("cannot write /proc/a.csv") && !said.contains(".tmp"), "{said}");
    }
}

/// One of several outputs cannot be written: none of the others is left behind.
#[test]
fn all_outputs_are_written_or_none() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(at("taken"), "old").unwrap();
    std::fs::create_dir(at("figure.data.csv")).unwrap();
    let table = write(&dir, "a.csv", b"x,by,y\na,b,1\nc,d,3\n");
    let (good, line, bad, report) = (at("r.json"), at("t.json"), at("none/r"), at("taken"));
    let (pages, image, figure) = (at("pages"), at("i.png"), at("figure.svg"));
    let small = ["--resolution", "64x36"];
    let replay = ["replay", "docs/examples/transformer.jsonl", "--gpu", "rtx3090"];
    let frame = [&["run", "nerf", "--gpu", "rtx3090"][..], &small].concat();
    let field = [&["run", "tensorf", "--accelerator", "rt-nerf-edge"][..], &small].concat();
    let before = std::fs::read_dir(dir.path()).unwrap().count();
    for args in [
        [&replay[..], &["-o", &good, "--timeline", &bad]].concat(),
        [&replay[..], &["-o", &bad, "--timeline", &line, "--report", &pages]].concat(),
        [&replay[..], &["-o", &good, "--report", &report]].concat(),
        [&frame[..], &["-o", &bad, "--timeline", &line]].concat(),
        vec!["study", "sim/studies/banks.toml", "--out", &report],
        vec!["study", "sim/studies/banks.toml", "--out", &pages, "-o", &bad],
        [&field[..], &["-o", &bad, "--image", &image]].concat(),
        vec!["validate", "ngpc", "-o", &good, "--rows", &bad],
        vec!["plot", "heatmap", &table, "--x", "x", "--by", "by", "--y", "y", "-o", &figure],
    ] {
        refused(&args, 5, &["cannot write", "nothing was left behind"]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), before, "{args:?}");
    }
}

#[test]
fn a_face_without_its_vertex_is_told_with_its_line() {
    let dir = folder();
    for (face, line) in [("f 1 2 9", 4), ("f 1 2 3\n# next\nf 1 2 4", 6)] {
        let path = write(&dir, "a.obj", format!("v 0 0 0\nv 1 0 0\nv 0 1 0\n{face}\n").as_bytes());
        refused(
            &["run", "nerf", "--gpu", "rtx3090", "--resolution", "64x36", "--scene", &path],
            3,
            &[&format!("a.obj:{line}: there is no vertex")],
        );
    }
}

#[test]
fn mistakes_in_tables_and_styles_of_figures() {
    let dir = folder();
    let rows = "x,by,y\na,b,1\nc,b,much\nc,d,3\n";
    let path = write(&dir, "a.csv", rows.as_bytes());
    let figure = dir.path().join("a.svg").display().to_string();
    let plot = ["plot", "heatmap", &path, "--x", "x", "--by", "by", "--y", "y", "-o", &figure];
    let drawn = run(&plot);
    assert_eq!(code(&drawn), 0, "{}", told(&drawn));
    assert!(told(&drawn).contains("1 of 3 rows left out: a number is missing (first in line 3)"));
    std::fs::remove_file(&figure).unwrap();
    for (style, words) in [
        ("# mine\nfont = 3\n", ["style.toml:2:1", "did you mean `font_pt`?"]),
        ("# mine\nfont_pt = 3\n", ["style.toml:2:1", "lies outside 5 to 24"]),
        ("# mine\nink = \"blue\"\n", ["style.toml:2:7", "is no colour"]),
    ] {
        let style = write(&dir, "style.toml", style.as_bytes());
        refused(&[&plot[..], &["--style", &style]].concat(), 3, &words);
        assert!(!dir.path().join("a.svg").exists());
    }
    let result = "{\"operation\": {}, \"results\": [{\"gpu\": \"a100\", \"cost\": {}}]}";
    let path = write(&dir, "a.json", result.as_bytes());
    refused(&["explain", &path], 3, &["this is no result of kernel, replay or run"]);
}

#[test]
fn a_base_of_another_kind_is_told_at_its_name() {
    let dir = folder();
    for (base, column, section) in [
        ("\"rtx3090\"", 8, "[accelerator]\nname = \"mine\"\n"),
        ("[\"neurex-like-64\", \"gddr6x\"]", 27, "[subgrid]\nper_axis = 2\n"),
    ] {
        let path = write(&dir, "mine.toml", format!("base = {base}\n{section}").as_bytes());
        let place = format!("mine.toml:1:{column}]");
        let words = [place.as_str(), "base of another kind of hardware", "catalog list"];
        refused(&["catalog", "check", &path], 3, &words);
    }
}

#[test]
fn exports_that_break_off_are_no_recordings() {
    let dir = folder();
    for (name, cut) in
        [("nsys-csv/2023.csv", 40), ("nsys-csv/summary.csv", 12), ("nvprof/trace.csv", 50)]
    {
        let whole = std::fs::read(support::root().join("fuzz/seeds").join(name)).unwrap();
        let path = write(&dir, "export.csv", &whole[..whole.len() - cut]);
        refused(&["trace", "stats", &path], 3, &["breaks off in this row", "--keep-going"]);
        let output = run(&["replay", &path, "--gpu", "rtx3090", "--keep-going"]);
        assert_eq!(code(&output), 0, "{name}: {}", told(&output));
    }
    // What is left out is shown with its line.
    let whole =
        std::fs::read_to_string(support::root().join("fuzz/seeds/nsys-csv/2023.csv")).unwrap();
    let path = write(&dir, "export.csv", whole.replace("15000,800", "15000,soon").as_bytes());
    let output = run(&["trace", "stats", &path]);
    assert_eq!(code(&output), 0);
    assert!(support::stdout(&output).contains("(e.g. line 4: 15000,soon,13"));
    refused(&["trace", "stats", &path, "--strict"], 3, &["line 4: 15000,soon,13"]);
}

#[test]
fn what_varies_takes_the_place_of_what_a_study_starts_from() {
    let dir = folder();
    let set = "resolution = [64, 36]\n[system.set]\n\"gpu.l2.capacity\" = \"24 MiB\"\n";
    let path = write(&dir, "s.toml", STUDY.replace("resolution = [64, 36]\n", set).as_bytes());
    let output = run(&["study", &path, "--format", "csv"]);
    assert_eq!(code(&output), 0, "{}", told(&output));
    let plain = write(&dir, "p.toml", STUDY.as_bytes());
    assert_eq!(
        support::stdout(&output),
        support::stdout(&run(&["study", &plain, "--format", "csv"]))
    );
}
