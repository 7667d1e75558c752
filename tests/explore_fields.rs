//! Spaces of accelerators that render decomposed fields, and all spaces that ship: what points share
//! changes nothing about them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use lumacycle_sim::explore::space::Space;
use support::{code, folder, lumacycle, run, stderr, told, write};

/// Points that share everything, the field, and nothing.
const SPACE: &str = r#"
name = "fields"
question = "Which units?"
[system]
app = "tensorf"
scene = "statue"
accelerator = "rt-nerf-edge"
resolution = [96, 96]
[search]
method = "grid"
[[parameter]]
path = "accelerator.shading.arrays"
values = [8, 26]
[[parameter]]
path = "accelerator.pixel_sram.capacity"
values = ["32 KiB", "512 KiB"]
[[parameter]]
path = "accelerator.policy.value_bits"
values = [8, 16]
[[limit]]
metric = "area_mm2"
at_most = 15
[[objective]]
metric = "fps"
goal = "maximise"
[[objective]]
metric = "energy_mj"
goal = "minimise"
"#;

fn rows(folder: &Path) -> Vec<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(folder.join("results.csv")).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').map(ToOwned::to_owned));
    let header: Vec<String> = lines.next().unwrap().collect();
    lines.map(|cells| header.iter().cloned().zip(cells).collect()).collect()
}

/// A point of a space is the frame that `run` prices, on any number of threads.
#[test]
fn points_are_the_frames_that_run_prices() {
    let dir = folder();
    let file = write(&dir, "space.toml", SPACE.as_bytes());
    let outs = ["1", "4"].map(|threads| {
        let out = dir.path().join(threads);
        let mut command = lumacycle();
        command.env("RAYON_NUM_THREADS", threads);
        let output = command.args(["explore", &file, "--out", out.to_str().unwrap()]).output();
        let output = output.unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        out
    });
    let read = |folder: &Path| std::fs::read(folder.join("results.csv")).unwrap();
    assert_eq!(read(&outs[0]), read(&outs[1]));
    let rows = rows(&outs[0]);
    assert_eq!(rows.len(), 8);
    for row in [&rows[0], &rows[7]] {
        let value = |name: &str| row[name].parse::<f64>().unwrap();
        let own = format!(
            "base = \"rt-nerf-edge\"\n[shading]\narrays = {}\n[pixel_sram]\ncapacity = \"{}\"\n[policy]\nvalue_bits = {}\n",
            row["accelerator.shading.arrays"],
            row["accelerator.pixel_sram.capacity"],
            row["accelerator.policy.value_bits"]
        );
        let own = write(&dir, "own.toml", own.as_bytes());
        let frame = run(&[
            "run",
            "tensorf",
            "--scene",
            "statue",
            "--resolution",
            "96x96",
            "--accelerator",
            &own,
            "--format",
            "json",
        ]);
        assert_eq!(code(&frame), 0, "{}", stderr(&frame));
        let frame: serde_json::Value = serde_json::from_slice(&frame.stdout).unwrap();
        let frame = &frame["accelerated"][0]["frames"][0]["frame"];
        assert_eq!(Some(value("frame_time_ms")), frame["frame"]["frame_ms"].as_f64());
        assert_eq!(Some(value("area_mm2")), frame["area_mm2"].as_f64());
        let power = frame["frame"]["power_w"].as_f64().unwrap();
        assert!((value("power_w") / power - 1.0).abs() < 1e-9);
        // There is no GPU in it.
        assert_eq!(value("total_area_mm2"), value("area_mm2"));
    }
}

/// A GPU is a choice beside accelerators, and has a die instead.
#[test]
fn a_gpu_can_stand_beside_them() {
    let dir = folder();
    let text = SPACE.split("[[parameter]]").next().unwrap().to_owned()
        + "[[parameter]]\npath = \"accelerator\"\nvalues = [\"none\", \"rt-nerf-edge\"]\n";
    let text = text.replace("scene = ", "gpu = \"jetson-nano\"\nscene = ");
    let file = write(&dir, "space.toml", text.as_bytes());
    let out = dir.path().join("out");
    let output = run(&["explore", &file, "--out", out.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let rows = rows(&out);
    let value = |row: usize, name: &str| rows[row][name].parse::<f64>().unwrap();
    assert!(value(1, "fps") > 20.0 * value(0, "fps"));
    assert!(value(0, "gpu_area_mm2") > 50.0 && value(1, "gpu_area_mm2") == 0.0);
}

#[test]
fn mistakes_are_told_before_anything_runs() {
    let dir = folder();
    for (from, to, what) in [
        ("\"statue\"", "\"statu\"", "no scene called \"statu\""),
        ("\"rt-nerf-edge\"", "\"rt-nerf-edg\"", "rt-nerf-edge"),
        ("\"rt-nerf-edge\"", "\"ngpc-8\"", "ngpc-8"),
        ("shading.arrays", "shading.array", "arrays"),
    ] {
        let file = write(&dir, "space.toml", SPACE.replace(from, to).as_bytes());
        let out = dir.path().join("out");
        let output = run(&["explore", &file, "--out", out.to_str().unwrap()]);
        assert_ne!(code(&output), 0, "{to}");
        assert!(told(&output).contains(what), "{to}: {}", stderr(&output));
        assert!(!out.exists(), "{to}");
    }
}

/// Every space that ships is one, named after its file, and has a page.
#[test]
fn spaces_that_ship_are_whole() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut count = 0;
    for entry in std::fs::read_dir(root.join("sim/spaces")).unwrap() {
        let path = entry.unwrap().path();
        let space = Space::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert_eq!(space.name, name);
        let page = root.join("docs/spaces").join(format!("{name}.md"));
        let page = std::fs::read_to_string(&page).unwrap_or_default();
        assert!(page.contains(&space.question), "docs/spaces/{name}.md states another question");
        count += 1;
    }
    assert!(count >= 5);
}
