//! `lumacycle run`: frames, training steps, scenes of one's own, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod support;

use std::fs;

use serde_json::Value;
use support::{code, folder, lumacycle, run, stdout, told, write};

fn json(args: &[&str]) -> Value {
    let output = lumacycle().arg("run").args(args).args(["--format", "json"]).output().unwrap();
    assert_eq!(code(&output), 0, "{args:?}: {}", support::stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn frame(value: &Value) -> &Value {
    &value["results"][0]["frames"][0]["frame"]
}

const SMALL: [&str; 4] = ["--resolution", "320x180", "--scene", "statue"];

#[test]
fn every_application_with_every_encoding() {
    for app in ["nerf", "nerf-8x4", "nsdf", "nvr", "gia"] {
        for encoding in ["hashgrid", "densegrid", "densegrid-lowres"] {
            let value = json(&[&[app, "--encoding", encoding], &SMALL[..]].concat());
            let frame = frame(&value);
            assert!(frame["frame_ms"].as_f64().unwrap() > 0.01, "{app} {encoding}");
            let shares: f64 = frame["parts"]
                .as_array()
                .unwrap()
                .iter()
                .map(|part| part["share_pct"].as_f64().unwrap())
                .sum();
            assert!((shares - 100.0).abs() < 1e-6, "{app} {encoding} {shares}");
        }
    }
}

#[test]
fn under_a_power_limit_all_kernels_of_a_frame_run_at_one_clock() {
    let at = |more: &[&str]| {
        let value = json(&[&["nerf", "--gpu", "rtx3090"], &SMALL[..], more].concat());
        frame(&value).clone()
    };
    let of = |frame: &Value, what: &str| frame[what].as_f64().unwrap();
    let free = at(&["--power-limit", "350 W"]);
    let limit_w = of(&free, "mean_power_w") * 0.8;
    let limited = at(&["--power-limit", &format!("{limit_w} W")]);
    let drawn = of(&limited, "mean_power_w");
    assert!(drawn <= limit_w && drawn > 0.99 * limit_w, "{drawn} of {limit_w} W");
    let clock = of(&limited, "clock_mhz");
    assert!(clock < of(&free, "clock_mhz"));
    // The same frame with that clock held from the start.
    let held = at(&["--clock", &format!("{clock} MHz")]);
    let (a, b) = (of(&held, "frame_ms"), of(&limited, "frame_ms"));
    assert!((a / b - 1.0).abs() < 1e-6, "{a} {b}");
}

#[test]
fn a_frame_for_people() {
    let output = run(&[&["run", "nsdf", "--rounds"], &SMALL[..]].concat());
    assert_eq!(code(&output), 0);
    insta::assert_snapshot!("frame_of_a_distance_field", stdout(&output));
}

/// The suite of published figures needs no data and has the form of all suites.
#[test]
fn published_figures_are_compared() {
    let args = ["validate", "neural_graphics", "--gpu", "rtx3090", "--format", "json"];
    let output = run(&args);
    assert_eq!(code(&output), 0, "{}", told(&output));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["suite"], "neural_graphics");
    for key in ["rows", "mape_pct", "median_ape_pct", "p90_ape_pct", "bias_pct", "correlation"] {
        assert!(value["overall"][key].is_number(), "{key}");
        assert!(value["groups"][0][key].is_number(), "{key}");
        assert!(value["baselines"]["roofline"][key].is_number(), "{key}");
    }
    for frame in value["frames"].as_array().unwrap() {
        assert!(!frame["source"].as_str().unwrap().is_empty());
        assert!(frame["predicted_ms"].as_f64().unwrap() > frame["roofline_ms"].as_f64().unwrap());
    }
    // What pages say of a frame's interval is what the suite finds.
    let table = fs::read_to_string(support::root().join("validate/tables/frames.toml")).unwrap();
    let table: toml::Table = table.parse().unwrap();
    let of = |frame: &Value, name: &str| frame[name].as_f64().unwrap();
    let frames = value["frames"].as_array().unwrap();
    let ratios = frames.iter().map(|f| of(f, "published_ms") / of(f, "predicted_ms"));
    let ends = [ratios.clone().fold(f64::INFINITY, f64::min), ratios.fold(0.0, f64::max)];
    assert_eq!(table["rows"].as_integer().unwrap(), frames.len() as i64);
    for (name, now) in ["low", "high"].into_iter().zip(ends) {
        let stated = table[name].as_float().unwrap();
        assert!(
            (stated / now - 1.0).abs() < 0.02,
            "frames.toml says {name} = {stated}, the suite {now}"
        );
    }
    assert_eq!(value["depths"].as_array().unwrap().len(), 8);
    let none = run(&["validate", "neural_graphics", "--gpu", "rtx4090", "--format", "json"]);
    let none: Value = serde_json::from_slice(&none.stdout).unwrap();
    assert_eq!(none["rows_used"], 0);
    assert_eq!(none["rows_left_out"]["GPU not selected"], 14);
    let needs = run(&["validate", "gemm"]);
    assert_eq!(code(&needs), 2);
    assert!(told(&needs).contains("--data"), "{}", told(&needs));
}

/// Fusing keeps intermediate results out of the L2. It need not save DRAM traffic: walked level by
/// level, one table at a time stays in the L2; a renderer that fuses everything walks all of them
/// for each sample.
#[test]
fn fusing_saves_traffic_between_sms_and_l2() {
    let of = |rest| {
        let value = json(&[&["nerf", "--rest", rest], &SMALL[..]].concat());
        let l2 = frame(&value)["traffic"]["l2_bytes"].as_f64().unwrap();
        (frame(&value)["kernels_ms"].as_f64().unwrap(), l2)
    };
    let (kernels, fused, renderer) = (of("kernels"), of("fused"), of("renderer"));
    assert!(fused.0 < kernels.0 && fused.1 < kernels.1, "{fused:?} {kernels:?}");
    assert!(renderer.1 < fused.1, "{renderer:?} {fused:?}");
}

#[test]
fn a_second_eye_doubles_the_frame_and_a_path_has_a_spread() {
    let one = json(&["nsdf", "--resolution", "320x180", "--scene", "statue"]);
    let two = json(&["nsdf", "--resolution", "320x180x2", "--scene", "statue"]);
    let ratio =
        frame(&two)["frame_ms"].as_f64().unwrap() / frame(&one)["frame_ms"].as_f64().unwrap();
    assert!((ratio - 2.0).abs() < 1e-9, "{ratio}");
    let path = json(&["nsdf", "--resolution", "160x90", "--scene", "statue", "--path-frames", "3"]);
    let time = |name: &str| path["results"][0]["frame_ms"][name].as_f64().unwrap();
    assert_eq!(path["results"][0]["frames"].as_array().unwrap().len(), 3);
    let (least, median, most) = (time("least"), time("median"), time("most"));
    assert!(least <= median && median <= most && least < most, "{least} {median} {most}");
}

#[test]
fn training_and_splatting() {
    let step = json(&["nerf-8x4", "--train", "--scene", "statue"]);
    let kernels = frame(&step)["kernels"].as_array().unwrap().len();
    assert!(kernels > 10, "{kernels}");
    let splat = json(&["splat", "--gaussians", "200000", "--scene", "statue"]);
    assert!(frame(&splat)["frame_ms"].as_f64().unwrap() > 0.05);
}

#[test]
fn threads_change_nothing() {
    let of = |threads: &str| {
        let args =
            ["run", "nerf", "--resolution", "640x360", "--scene", "lattice", "--format", "json"];
        lumacycle().env("RAYON_NUM_THREADS", threads).args(args).output().unwrap().stdout
    };
    assert_eq!(of("1"), of("2"));
}

#[test]
fn an_application_of_ones_own() {
    let folder = folder();
    let text = stdout(&run(&["run", "gia", "--print-app"]));
    let own = write(&folder, "own.toml", text.replace("levels = 16", "levels = 4").as_bytes());
    let value = json(&[&own, "--resolution", "320x180"]);
    let whole = json(&["gia", "--resolution", "320x180"]);
    let time = |v: &Value| frame(v)["kernels_ms"].as_f64().unwrap();
    assert!(time(&value) < time(&whole));
}

#[test]
fn scenes_and_cameras_of_ones_own() {
    let folder = folder();
    let mesh = write(
        &folder,
        "tetra.obj",
        b"v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\nf 1 3 4\nf 2 3 4\n",
    );
    let camera = write(
        &folder,
        "transforms.json",
        br#"{"camera_angle_x": 0.7, "frames": [{"file_path": "a", "transform_matrix":
            [[1,0,0,0],[0,1,0,0],[0,0,1,4],[0,0,0,1]]}]}"#,
    );
    let args = [
        "nerf",
        "--resolution",
        "160x90",
        "--scene",
        mesh.as_str(),
        "--camera",
        camera.as_str(),
        "--at",
        "0",
    ];
    assert!(frame(&json(&args))["queries"].as_f64().unwrap() > 100.0);
}

/// A camera that looks away sees nothing, however its image is rendered.
#[test]
fn a_camera_that_looks_away() {
    let folder = folder();
    let away = write(
        &folder,
        "away.json",
        br#"{"camera_angle_x": 0.7, "frames": [{"file_path": "a", "transform_matrix":
            [[1,0,0,0.5],[0,1,0,0.5],[0,0,1,-3],[0,0,0,1]]}]}"#,
    );
    for rest in ["kernels", "fused", "renderer"] {
        let value = json(&[&["nerf", "--camera", &away, "--rest", rest], &SMALL[..]].concat());
        assert_eq!(frame(&value)["queries"].as_f64(), Some(0.0), "{rest}");
    }
}

/// Bytes of a `.npy` file, as numpy writes version 1.
fn npy(kind: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn sample_counts_of_ones_own() {
    let folder = folder();
    let counts = write(&folder, "counts.npy", &npy("|u1", "(2, 4)", &[0, 4, 8, 12, 16, 0, 40, 16]));
    let value = json(&[&["nerf", "--samples", &counts], &SMALL[..]].concat());
    let per_ray = &frame(&value)["per_ray"];
    assert_eq!(per_ray["largest"], 40.0);
    assert!((per_ray["mean"].as_f64().unwrap() - 12.0).abs() < 1.0, "{per_ray}");
    for (args, exit, words) in [
        (vec!["nvr", "--samples", &counts], 3, "does not march"),
        (vec!["nerf", "--train", "--samples", &counts], 2, "--samples"),
    ] {
        let output = lumacycle().arg("run").args(&args).output().unwrap();
        assert_eq!(code(&output), exit, "{args:?}: {}", told(&output));
        assert!(told(&output).contains(words), "{args:?}: {}", told(&output));
    }
}

#[test]
fn occupancy_of_ones_own() {
    let folder = folder();
    let mut cells = vec![0_u8; 128 * 128 * 128];
    for (number, cell) in cells.iter_mut().enumerate() {
        let [x, y, z] = [number % 128, number / 128 % 128, number / 16384];
        *cell = u8::from([x, y, z].iter().all(|i| (48..80).contains(i)));
    }
    let grid = write(&folder, "grid.npy", &npy("|b1", "(128, 128, 128)", &cells));
    let value = json(&["nerf", "--scene", &grid, "--resolution", "320x180"]);
    assert!(frame(&value)["queries"].as_f64().unwrap() > 1000.0);
}

#[test]
fn what_cannot_be_is_refused_with_the_place() {
    let folder = folder();
    let app = |name: &str, from: &str, to: &str| {
        let text = stdout(&run(&["run", "nerf", "--print-app"])).replacen(from, to, 1);
        write(&folder, name, text.as_bytes())
    };
    let empty = write(&folder, "empty.obj", b"v 0 0 0\nv 1 0 0\n");
    let nan = write(&folder, "nan.obj", b"v 0 0 0\nv nan 0 0\nv 0 1 0\nf 1 2 3\n");
    let levels = app("levels.toml", "levels = 16", "levels = 0");
    let table = app("table.toml", "log2_entries = 19", "log2_entries = 32");
    let grid = write(&folder, "grid.npy", b"PK\x03\x04");
    let inside = write(
        &folder,
        "inside.json",
        br#"{"camera_angle_x": 0.7, "scale": 1.0, "offset": [0.5, 0.45, 0.5], "frames":
            [{"transform_matrix": [[1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]}]}"#,
    );
    for (args, exit, words) in [
        (vec!["nerf", "--scene", &empty], 3, "no faces"),
        (vec!["nerf", "--scene", &nan], 3, "nan.obj:2"),
        (vec![&levels], 3, "levels is 0"),
        (vec![&table], 3, "2^32"),
        (vec!["nerf", "--scene", &grid], 3, "not a .npy file"),
        (vec!["nerf", "--scene", "statue", "--camera", &inside], 3, "inside of matter"),
        (vec!["nsdf", "--scene", "cloud"], 3, "no surface"),
        (vec!["nerf", "--scene", "castle"], 4, "no scene called"),
        (vec!["nurf"], 4, "no application called"),
        (vec!["nerf", "--resolution", "huge"], 2, "no image size"),
        (vec!["nerf", "--gpu", "rtx9999"], 4, "rtx9999"),
    ] {
        let output = lumacycle().arg("run").args(&args).output().unwrap();
        assert_eq!(code(&output), exit, "{args:?}: {}", told(&output));
        assert!(told(&output).contains(words), "{args:?}: {}", told(&output));
        assert!(output.stdout.is_empty());
    }
}

/// A launch list of our own: a frame of two rounds on a GPU that the file's name gives.
#[test]
fn launch_lists_are_replayed_and_compared() {
    let folder = folder();
    let mut text = String::from(
        "start_ns,dur_ns,stream,kernel,gridX,gridY,gridZ,blockX,blockY,blockZ,regs,static_smem,dynamic_smem\n",
    );
    let mut at = 0;
    let mut add = |name: &str, grid: [u32; 2], block: [u32; 2], smem: u32, dur: u32| {
        text.push_str(&format!(
            "{at},{dur},7,\"{name}\",{},{},1,{},{},1,48,0,{smem}\n",
            grid[0], grid[1], block[0], block[1]
        ));
        at += dur + 700;
    };
    add("ngp::init_rays_with_payload_kernel_nerf(unsigned int)", [20, 23], [16, 8], 0, 9000);
    add("ngp::advance_pos_nerf_kernel(unsigned int)", [450, 1], [128, 1], 0, 90_000);
    for _ in 0..2 {
        add("ngp::compact_kernel_nerf(unsigned int)", [450, 1], [128, 1], 0, 25_000);
        add("ngp::generate_next_nerf_network_inputs(unsigned int)", [450, 1], [128, 1], 0, 20_000);
        add(
            "tcnn::kernel_grid<__half, 3u, 4u, (tcnn::HashType)1>(unsigned int)",
            [113, 8],
            [512, 1],
            0,
            90_000,
        );
        add(
            "tcnn::kernel_mlp_fused<64, 8, __half, (tcnn::Activation)0, true>(t",
            [450, 1],
            [32, 4],
            20_736,
            40_000,
        );
        add("ngp::composite_kernel_nerf(unsigned int)", [450, 1], [128, 1], 0, 25_000);
    }
    add("mystery_kernel(int)", [1, 1], [32, 1], 0, 5000);
    let list = write(&folder, "rtx3070_own.csv", text.as_bytes());
    let output = run(&["validate", "instant-ngp", "--data", &list, "--format", "json"]);
    assert_eq!(code(&output), 0, "{}", told(&output));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["suite"], "instant-ngp");
    assert_eq!(value["rows_used"], 12);
    assert_eq!(value["rows_left_out"]["a kernel that is not modelled"], 1);
    for key in ["rows", "mape_pct", "median_ape_pct", "p90_ape_pct", "bias_pct", "correlation"] {
        assert!(value["overall"][key].is_number(), "{key}");
        assert!(value["baselines"]["roofline"][key].is_number(), "{key}");
        assert!(value["groups"][0][key].is_number(), "{key}");
    }
    let replayed = run(&["replay", &list, "--gpu", "rtx3070", "--gpu", "rtx3090"]);
    assert_eq!(code(&replayed), 0, "{}", told(&replayed));
    assert!(stdout(&replayed).contains("grid_encoding"));

    let broken =
        write(&folder, "rtx3070_broken.csv", text.replacen(",9000,", ",soon,", 1).as_bytes());
    let output = run(&["replay", &broken, "--gpu", "rtx3070"]);
    assert_eq!(code(&output), 3);
    assert!(
        told(&output).contains("line 2") && told(&output).contains("soon"),
        "{}",
        told(&output)
    );
    let huge = text.replacen("16,8,1,48", "4294967295,8,1,48", 1);
    let huge = write(&folder, "rtx3070_huge.csv", huge.as_bytes());
    let output = run(&["replay", &huge, "--gpu", "rtx3070"]);
    assert_eq!(code(&output), 3, "{}", told(&output));
    assert!(told(&output).contains("a block of 4294967295"), "{}", told(&output));
    let nameless = write(&folder, "list.csv", text.as_bytes());
    let output = run(&["validate", "instant-ngp", "--data", &nameless]);
    assert_eq!(code(&output), 3);
    assert!(told(&output).contains("--gpu"), "{}", told(&output));
}
