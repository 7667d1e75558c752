//! Accelerators beside a GPU, from outside: both readings of a frame, the published figures, and
//! descriptions that cannot be.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod support;

use serde_json::Value;
use support::{code, folder, lumacycle, run, stdout, told, write};
use tempfile::TempDir;

fn json(args: &[&str]) -> Value {
    let output = lumacycle().args(args).args(["--format", "json"]).output().unwrap();
    assert_eq!(code(&output), 0, "{args:?}: {}", support::stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

const SMALL: [&str; 2] = ["--resolution", "320x180"];

fn with(app: &str, accelerator: &str, more: &[&str]) -> Value {
    let value = json(&[&["run", app, "--accelerator", accelerator], &SMALL[..], more].concat());
    value["accelerated"][0]["frames"][0]["frame"].clone()
}

fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().ok_or_else(|| format!("{name} in {value}")).unwrap()
}

/// An accelerator of one's own: that of the paper with some lines changed.
fn own(dir: &TempDir, lines: &str) -> String {
    let text = format!("base = \"ngpc-64\"\n{lines}");
    write(dir, "own.toml", text.as_bytes())
}

#[test]
fn both_readings_and_what_lies_between() {
    for app in ["nerf", "nsdf", "nvr", "gia"] {
        let frame = with(app, "ngpc-16", &[]);
        let causes = frame["causes"].as_array().unwrap();
        let added: f64 = causes.iter().map(|cause| number(cause, "adds_ms")).sum();
        let (built, published) = (number(&frame, "frame_ms"), number(&frame, "as_published_ms"));
        assert!((published + added - built).abs() < 1e-6 * built, "{app}");
        // Every cause costs something or nothing.
        assert!(causes.iter().all(|cause| number(cause, "adds_ms") > -1e-6), "{app} {causes:?}");
        assert!(built >= number(&frame, "accelerator_ms") * 0.999, "{app}");
        assert!(built >= number(&frame, "gpu_ms") * 0.999, "{app}");
        assert!(number(&frame, "energy_mj") > number(&frame, "accelerator_mj"));
        for level in frame["levels"].as_array().unwrap() {
            let hit = number(level, "hit_pct");
            assert!((0.0..=100.0).contains(&hit), "{level}");
            let resident = level["home"] == "resident";
            assert_eq!(resident, number(level, "table_mib") <= 1.0, "{level}");
        }
    }
}

/// More hardware never makes a frame slower.
#[test]
fn more_of_a_part_never_hurts() {
    let dir = folder();
    let time =
        |lines: &str| number(&with("nsdf", &own(&dir, lines), &["--scene", "statue"]), "frame_ms");
    for (part, values) in [
        ("[accelerator]\nunits = ", ["4", "16", "64"]),
        ("[grid_sram]\ncapacity = ", ["\"128 KiB\"", "\"1 MiB\"", "\"8 MiB\""]),
        ("[grid_sram]\nports = ", ["1", "2", "4"]),
        ("[mlp]\narrays = ", ["1", "2", "4"]),
        ("[table_dma]\noutstanding = ", ["4", "32", "256"]),
        ("[link]\nbytes_per_clock = ", ["64", "512", "4096"]),
        ("[encoder]\nunits = ", ["8", "16", "32"]),
        ("[activation_sram]\nbanks = ", ["8", "32", "64"]),
        ("[feature_buffer]\nports = ", ["1", "2", "4"]),
        ("[accelerator]\nclock = ", ["\"250 MHz\"", "\"1 GHz\"", "\"2 GHz\""]),
    ] {
        let times = values.map(|value| time(&format!("{part}{value}\n")));
        // Processors with tables of their own fetch the same lines each for itself, which costs a
        // frame that DRAM decides.
        let slack = if part.contains("units") { 1.03 } else { 1.0001 };
        assert!(times[1] <= times[0] * slack && times[2] <= times[1] * slack, "{part} {times:?}");
    }
}

#[test]
fn policies_for_tables_that_do_not_fit() {
    let dir = folder();
    let frame = |lines: &str| with("nerf", &own(&dir, lines), &["--scene", "statue"]);
    let missed = |frame: &Value| -> f64 {
        frame["levels"].as_array().unwrap().iter().map(|l| number(l, "missed_lines")).sum()
    };
    let stream = frame("");
    let eight = frame("[policy]\nfeature_bits = 8\n");
    let subset = frame("[policy]\ntables = \"subset\"\n");
    let pool = frame("[policy]\ntables = \"pool\"\nshared_by = 2\n");
    assert_eq!(missed(&eight), 0.0);
    assert!(missed(&stream) > 0.0 && missed(&subset) > missed(&stream));
    assert!(missed(&pool) < missed(&stream));
    let path = own(&dir, "[policy]\ntables = \"refuse\"\n");
    let output = run(&["run", "nerf", "--accelerator", &path, "--resolution", "64x36"]);
    assert_eq!(code(&output), 3);
    assert!(
        told(&output).contains("needs 2.00 MiB, its memory holds 1.00 MiB"),
        "{}",
        told(&output)
    );
}

#[test]
fn as_published_follows_the_paper_and_says_what_it_assumes() {
    let value = json(
        &[&["run", "nsdf", "--accelerator", "ngpc-64", "--as-published"], &SMALL[..]].concat(),
    );
    let paper = &value["as_published"][0];
    assert!((number(paper, "speedup") - 58.36).abs() < 0.01);
    assert!((number(paper, "area_pct") - 36.18).abs() < 0.05);
    let output =
        run(&["run", "gia", "--accelerator", "ngpc-8", "--as-published", "--resolution", "64x36"]);
    let text = stdout(&output);
    assert!(text.contains("9.94 times faster") && text.contains("assuming"), "{text}");
}

#[test]
fn the_published_figures() {
    let report = json(&["validate", "ngpc"]);
    assert_eq!(report["suite"], "ngpc");
    assert_eq!(report["baselines"], serde_json::json!({}));
    let group = |class: &str| {
        let groups = report["groups"].as_array().unwrap();
        groups.iter().find(|group| group["class"] == class).unwrap().clone()
    };
    for class in ["hashgrid average", "densegrid average", "area", "power", "plateau", "frame rate"]
    {
        assert!(number(&group(class), "mape_pct") < 5.0, "{class}");
    }
    // What was used to find inputs is marked, and there is more than that.
    let rows = report["rows"].as_array().unwrap();
    let used = rows.iter().filter(|row| row["used"] == true).count();
    assert!(used >= 8 && rows.len() > 2 * used, "{used} of {}", rows.len());
    assert_eq!(code(&run(&["validate", "ngpc", "--max-mape", "0.1"])), 1);
}

#[test]
fn the_same_bytes_for_any_number_of_threads() {
    let args =
        ["run", "nvr", "--accelerator", "ngpc-8", "--resolution", "320x180", "--format", "json"];
    let of = |threads: &str| {
        lumacycle().args(args).env("RAYON_NUM_THREADS", threads).output().unwrap().stdout
    };
    assert_eq!(of("1"), of("4"));
}

#[test]
fn descriptions_that_cannot_be_are_told_with_their_line() {
    let dir = folder();
    for (lines, expected) in [
        ("[encoder]\nunits = 0\n", "encoder.units must be greater than zero"),
        ("[grid_sram]\nbanks = 7\n", "no multiple of 7 banks"),
        ("[mlp]\nwidest = 32\n", "wider than the MLP engine takes (32)"),
        ("[weight_sram]\ncapacity = \"1 KiB\"\n", "weight_sram holds 1 KiB"),
        ("[policy]\ntables = \"hope\"\n", "unknown variant `hope`"),
        ("[accelerator]\nclock = \"1 GB\"\n", "GB is an amount of data"),
        ("[policy]\nl2_tables = 1.5\n", "a share lies between 0 and 1"),
        ("[grid_srm]\nbanks = 8\n", "did you mean \"grid_sram\"?"),
    ] {
        let path = own(&dir, lines);
        let output = run(&["run", "gia", "--accelerator", &path, "--resolution", "64x36"]);
        assert_eq!(code(&output), 3, "{lines}");
        let text = told(&output);
        assert!(
            text.contains(expected) && (text.contains("own.toml:3") || text.contains("own.toml:2")),
            "{lines}: {text}"
        );
        assert!(stdout(&output).is_empty());
    }
    let output = run(&["run", "gia", "--accelerator", "ngpc-65"]);
    assert_eq!(code(&output), 4);
    assert!(told(&output).contains("ngpc-64"), "{}", told(&output));
    for args in [
        &["run", "splat", "--accelerator", "ngpc-8"][..],
        &["run", "nerf", "--accelerator", "ngpc-8", "--train"],
        &["run", "nerf", "--accelerator", "ngpc-8", "--rest", "renderer"],
        &["run", "nerf", "--as-published"],
    ] {
        assert_eq!(code(&run(args)), 2, "{args:?}");
    }
}

/// An encoder that takes fine levels by blocks of space: all of them ask for the same, samples that come are
/// answered, and what is loaded passes the link.
#[test]
fn fine_levels_by_blocks_of_space() {
    let dir = folder();
    let frame = with("nerf", "neurex-like-64", &[]);
    let levels = frame["levels"].as_array().unwrap();
    let lines = |level: &Value| number(level, "missed_lines");
    for (index, level) in levels.iter().enumerate() {
        assert_eq!(level["home"] == "subgrid", index >= 8, "{level}");
        assert!(
            index < 8 || (number(level, "hit_pct"), lines(level)) == (100.0, lines(&levels[8]))
        );
    }
    let missed: f64 = levels.iter().map(lines).sum();
    let traffic = &frame["traffic"];
    assert!(number(traffic, "l2_bytes") >= number(&frame, "samples") * missed * 32.0);
    assert!(number(traffic, "l2_bytes") >= number(traffic, "dram_read_bytes"));
    let assumed = frame["assumptions"].to_string();
    assert!(assumed.contains("blocks of space"), "{assumed}");
    // A single buffer waits for each of its loads, a faster channel loads sooner.
    let of = |lines: &str| {
        let text = format!("base = \"neurex-like-64\"\n{lines}");
        number(&with("nerf", &write(&dir, "own.toml", text.as_bytes()), &[]), "frame_ms")
    };
    let built = number(&frame, "frame_ms");
    assert!(of("[subgrid]\ncopies = 1\ncapacity = \"64 KiB\"\n") > built);
    assert!(of("[table_dma]\nbytes_per_clock = 64\n") > built);
    let small =
        write(&dir, "small.toml", b"base = \"neurex-like-64\"\n[subgrid]\ncapacity = \"32 KiB\"\n");
    let output = run(&["run", "nerf", "--accelerator", &small, "--resolution", "64x36"]);
    assert_eq!(code(&output), 3);
    let text = told(&output);
    assert!(text.contains("needs 32768 bytes") && text.contains("small.toml:3"), "{text}");
}

#[test]
fn accelerators_are_listed_shown_and_checked() {
    let dir = folder();
    assert!(stdout(&run(&["catalog", "list", "--accelerators"])).contains("ngpc-64"));
    let shown = stdout(&run(&["catalog", "show", "ngpc-64"]));
    assert!(shown.contains("grid_sram.capacity") && shown.contains("paper: "), "{shown}");
    let path = own(&dir, "[grid_sram]\ncapacity = \"2 MiB\"\n");
    assert!(stdout(&run(&["catalog", "check", &path])).contains("NGPC-64 is complete"));
}

/// Every study of NGPC that ships runs, at a small size, and its sentences find their numbers. Those of
/// RT-NeRF (`rt-…`) are run in `rtnerf.rs`.
#[test]
fn the_studies_that_ship() {
    let dir = folder();
    let out = dir.path().join("out").display().to_string();
    let mut files: Vec<String> = std::fs::read_dir(support::root().join("sim/studies"))
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .collect();
    files.retain(|file| !file.contains("studies/rt-"));
    files.sort();
    assert_eq!(files.len(), 10);
    let args = [&["study", "--resolution", "96x54", "--out", &out], &as_str(&files)[..]].concat();
    let output = run(&args);
    assert_eq!(code(&output), 0, "{}", support::stderr(&output));
    assert!(!stdout(&output).contains('{'));
    for file in &files {
        let name = std::path::Path::new(file).file_stem().unwrap().to_str().unwrap();
        for end in ["md", "csv", "svg"] {
            let made = dir.path().join("out").join(format!("{name}.{end}"));
            assert!(std::fs::metadata(&made).unwrap().len() > 300, "{}", made.display());
        }
    }
    // The same bytes again, from one thread.
    let one = [&args[..5], &[files[1].as_str()]].concat();
    let again = lumacycle().args(&one).env("RAYON_NUM_THREADS", "1").output().unwrap();
    assert!(!again.stdout.is_empty() && stdout(&output).contains(&stdout(&again)));
}

fn as_str(files: &[String]) -> Vec<&str> {
    files.iter().map(String::as_str).collect()
}

#[test]
fn studies_that_cannot_be_run_say_why() {
    let dir = folder();
    let whole = std::fs::read_to_string(support::root().join("sim/studies/banks.toml")).unwrap();
    for (from, to, expected) in [
        ("[8, 16", "[9, 16", "no multiple of 9 banks"),
        ("\"conflict_cycles\"", "\"conflicts\"", "no metric \"conflicts\""),
        ("interleave\"\nvalues", "interleaving\"\nvalues", "interleaving"),
        ("question", "questions", "unknown field `questions`"),
        ("name = \"banks\"", "name = \"../banks\"", "is no name of a study"),
    ] {
        let text = whole.replacen("[2, 4, 8", "[8", 1).replacen(from, to, 1);
        let path = write(&dir, "study.toml", text.as_bytes());
        let output = run(&["study", &path, "--resolution", "64x36"]);
        assert_eq!(code(&output), 3, "{to}");
        assert!(told(&output).contains(expected), "{to}: {}", told(&output));
    }
    assert_eq!(code(&run(&["study", "none.toml"])), 3);
}

/// Parts add up, are what a frame's area is made of, and can be drawn.
#[test]
fn area_and_power_by_part() {
    let dir = folder();
    for (name, published_mm2, published_w) in [
        ("ngpc-64", 0.3618 * 628.4, 0.2206 * 350.0),
        ("neurex-like-64", 21.37, 6.1),
        ("rt-nerf-edge", 18.85, 8.0),
        ("rt-nerf-cloud", 565.5, 240.0),
    ] {
        let whole = json(&["catalog", "show", name]);
        let parts = &whole["parts"];
        assert!(whole["values"].as_object().unwrap().len() > 60, "{name}");
        let sum = |of: &str| -> f64 {
            parts["parts"].as_array().unwrap().iter().map(|part| number(part, of)).sum()
        };
        assert!((sum("area_mm2") / number(parts, "area_mm2") - 1.0).abs() < 1e-9, "{name}");
        let idle = sum("leakage_w") + sum("clock_w");
        assert!((idle / number(parts, "idle_w") - 1.0).abs() < 1e-9, "{name}");
        let full = idle + sum("full_rate_w");
        assert!((full / number(parts, "full_rate_w") - 1.0).abs() < 1e-9, "{name}");
        assert!((number(parts, "published_area_mm2") / published_mm2 - 1.0).abs() < 1e-3, "{name}");
        assert!((number(parts, "published_w") / published_w - 1.0).abs() < 1e-3, "{name}");
        let only = json(&["catalog", "show", name, "--parts"]);
        assert!(only["values"].is_null() && only["parts"] == *parts);
        assert!(stdout(&run(&["catalog", "show", name])).contains("area and power by part"));
        let text = stdout(&run(&["catalog", "show", name, "--parts"]));
        for line in ["area and power by part", "MAC array", "each of", "as published"] {
            let several = line != "each of" || number(parts, "units") > 1.0;
            assert_eq!(text.contains(line), several, "{name}: {line}");
        }
        let table = dir.path().join(format!("{name}.csv")).display().to_string();
        let shown = ["catalog", "show", name, "--parts", "--format", "csv", "-o", &table];
        assert_eq!(code(&run(&shown)), 0);
        let figure = dir.path().join(format!("{name}.svg")).display().to_string();
        assert_eq!(code(&run(&["plot", "breakdown", &table, "-o", &figure])), 0);
        let drawn = std::fs::read_to_string(&figure).unwrap();
        assert!(drawn.contains("MAC array") && drawn.contains("mm²"), "{name}");
    }
    let frame = with("gia", "ngpc-16", &[]);
    let parts = json(&["catalog", "show", "ngpc-16", "--parts"]);
    let area = number(&parts["parts"], "area_mm2");
    assert!((number(&frame, "area_mm2") / area - 1.0).abs() < 1e-9);
}
