//! What a person sees: help, catalogue, single kernels, completions, exit codes.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on should stop there, and says so on stderr"
)]

mod support;

use support::{code, folder, run, stderr, stdout, told, write};

#[test]
fn the_front_page() {
    insta::assert_snapshot!("help", stdout(&run(&["--help"])));
}

#[test]
fn replay_help() {
    insta::assert_snapshot!("replay_help", stdout(&run(&["replay", "--help"])));
}

#[test]
fn wrong_usage_is_2() {
    for args in [&["replay"][..], &["frobnicate"], &["replay", "x.json", "--gpu", "a100", "--wat"]]
    {
        assert_eq!(code(&run(args)), 2, "{args:?}");
    }
    // Swapped letters as well as missing ones; nothing is near to the last.
    for (typed, meant) in [("rnu", "'run'"), ("kernl", "'kernel'"), ("xyzzy", "")] {
        let said = stderr(&run(&[typed]));
        assert_eq!(said.contains("tip:"), !meant.is_empty(), "{said}");
        assert!(said.contains(meant), "{said}");
    }
    let output = run(&["kernel", "gemm", "0", "1", "1", "--gpu", "a100"]);
    assert_eq!(code(&output), 2);
    let output = run(&["kernel", "gemm", "8", "8", "8", "--gpu", "a100", "--dtype", "fp17"]);
    assert_eq!(code(&output), 2);
    assert!(support::told(&output).contains("known: fp64"));
    let output = run(&["kernel", "gemm", "8", "8", "8", "--gpu", "a100", "--clock", "3 GB/s"]);
    assert_eq!(code(&output), 2);
    assert!(support::told(&output).contains("GB/s is a bandwidth"));
    let output = run(&["kernel", "gemm", "8", "8", "8", "--gpu", "p100", "--mem-clock", "1.2 GHz"]);
    assert_eq!(code(&output), 2);
    assert!(support::told(&output).contains("runs at 715 MHz; give 71 to 1072 MHz"));
}

/// Every command that takes clocks and limits names the range of the part, for values on both sides.
#[test]
fn clocks_and_limits_outside_of_a_parts_range_name_it() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/transformer.jsonl");
    let commands: [&[&str]; 5] = [
        &["kernel", "gemm", "64", "64", "64", "--gpu", "a100", "--gpu", "rtx3090"],
        &["kernel", "gemm", "64", "64", "64", "--sweep-clock", "4", "--gpu", "rtx3090"],
        &["replay", example, "--gpu", "rtx3090"],
        &["run", "gia", "--resolution", "64x64", "--gpu", "rtx3090"],
        &["run", "gia", "--resolution", "64x64", "--gpu", "rtx3090", "--accelerator", "ngpc-8"],
    ];
    for (option, values, range) in [
        ("--clock", ["1 MHz", "3 GHz"], "give 85 to 2542 MHz"),
        ("--mem-clock", ["1 MHz", "20 GHz"], "give 975 to 14625 MHz"),
        ("--power-limit", ["9 W", "900 W"], "give 105 to 455 W"),
        ("--temperature", ["-40", "400"], "give 0 to 110"),
    ] {
        for command in commands {
            let sweeps = command.contains(&"--sweep-clock");
            for value in values {
                let output = run(&[command, &[option, value]].concat());
                let told = support::told(&output);
                assert_eq!(code(&output), 2, "{command:?} {option} {value}: {told}");
                // A part of a command line that excludes the other is refused before.
                let refused = told.contains(range) || (sweeps && option == "--clock");
                // Of several GPUs the first that cannot is named.
                let first = command.contains(&"a100") && told.contains("of a100-");
                assert!(refused || first, "{command:?} {option} {value}: {told}");
            }
        }
    }
    let alone = ["run", "tensorf", "--accelerator", "rt-nerf-edge", "--clock", "1 GHz"];
    let output = run(&alone);
    assert_eq!(code(&output), 2);
    assert!(support::told(&output).contains("--clock is for GPUs, and none is asked for"));
}

#[test]
fn slips_of_the_keyboard_are_guessed() {
    let gemm = ["kernel", "gemm", "8", "8", "8", "--gpu", "a100"];
    let with = |more: &[&'static str]| [&gemm[..], more].concat();
    for (args, meant) in [
        (vec!["rnu", "nerf"], "'run'"),
        (vec!["repaly", "x.json"], "'replay'"),
        (vec!["catalog", "lsit"], "'list'"),
        (vec!["trace", "stast", "x.json"], "'stats'"),
        (with(&["--fromat", "json"]), "'--format'"),
        (vec!["replay", "x.json", "--pgu", "a100"], "'--gpu'"),
        (with(&["--format", "jsno"]), "'json'"),
        (with(&["--format", "cvs"]), "'csv'"),
    ] {
        let output = run(&args);
        assert_eq!(code(&output), 2, "{args:?}");
        let said = stderr(&output);
        assert!(said.contains("similar") && said.contains(meant), "{args:?}: {said}");
    }
    // What is like nothing is not guessed, and a value that looks like a command misleads nobody.
    assert!(!stderr(&run(&["xyzzyx"])).contains("similar"));
    let said = stderr(&run(&["replay", "run", "--pgu", "a100"]));
    assert!(said.contains("'--gpu'"), "{said}");
}

#[test]
fn a_slower_memory_takes_longer_to_read_a_matrix() {
    let time = |memory: &str| {
        let shape = ["kernel", "gemm", "8192", "1", "8192", "--gpu", "p100", "--format", "json"];
        let output = run(&[&shape[..], &["--mem-clock", memory]].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let text = stdout(&output);
        let (_, rest) = text.split_once("\"time_ns\":").unwrap();
        let digits = rest.split([',', '\n', '}']).next().unwrap();
        digits.trim().parse::<f64>().unwrap()
    };
    let (slow, fast) = (time("200 MHz"), time("715 MHz"));
    assert!(slow > 2.0 * fast, "{slow} {fast}");
}

#[test]
fn unknown_names_are_4_and_name_the_nearest() {
    let output = run(&["kernel", "gemm", "64", "64", "64", "--gpu", "rtx3099"]);
    assert_eq!(code(&output), 4);
    assert!(support::told(&output).contains("rtx3090"), "{}", stderr(&output));
    // A suite that needs data and one that doesn't are told apart only after the name is known.
    let output = run(&["validate", "gem"]);
    assert_eq!(output.status.code(), Some(4));
    let output = run(&["validate", "gem", "--data", "."]);
    assert_eq!(code(&output), 4);
    assert!(support::told(&output).contains("suites: gemm"));
}

#[test]
fn catalogue_shows_every_value_with_its_source() {
    let output = run(&["catalog", "show", "NVIDIA GeForce RTX 3090", "--format", "json"]);
    assert_eq!(code(&output), 0);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["name"], "rtx3090");
    let values = value["values"].as_object().unwrap();
    assert!(values.len() > 80);
    assert!(values.values().all(|v| !v["source"].as_str().unwrap().is_empty()));
    let list = stdout(&run(&["catalog", "list", "--format", "csv"]));
    assert!(list.lines().count() > 60);
}

#[test]
fn catalogue_shows_where_a_boards_power_goes() {
    let output = run(&["catalog", "show", "rtx3090", "--parts", "--format", "json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let parts = value["parts"]["parts"].as_array().unwrap();
    let watts = |anyway: bool| -> f64 {
        let kind = parts.iter().filter(|part| part["event"].is_null() == anyway);
        kind.map(|part| part["power_w"].as_f64().unwrap()).sum()
    };
    let at_rest = value["parts"]["at_rest_with_work_w"].as_f64().unwrap();
    assert!((watts(true) / at_rest - 1.0).abs() < 1e-9 && watts(false) > 0.0);
    let dram = parts.iter().find(|part| part["part"] == "DRAM").unwrap();
    assert_eq!(dram["energy_pj"], 50.0);
    assert!((dram["per_second"].as_f64().unwrap() / 936e9 - 1.0).abs() < 1e-3);
    let text = stdout(&run(&["catalog", "show", "rtx3090"]));
    assert!(text.contains("power by part at 1850 MHz (limit 350.0 W"), "{text}");
    assert!(text.contains("all, work on every SM") && text.contains("tensor bf16"));
    let table = stdout(&run(&["catalog", "show", "gtx980", "--parts", "--format", "csv"]));
    assert!(table.starts_with("gpu,part,event,energy_pj,per_second,power_w\n"), "{table}");
    assert!(table.contains("gtx980,board,,,,") && !table.contains("tensor"), "{table}");
}

#[test]
fn a_file_of_ones_own_is_checked_and_used() {
    let folder = folder();
    let good = write(&folder, "big-l2.toml", b"base = \"rtx3090\"\n[sources]\ndefault = \"estimate: what if\"\n[gpu]\nname = \"RTX 3090 with 96 MiB of L2\"\n[l2]\ncapacity = \"96 MiB\"\n");
    assert!(stdout(&run(&["catalog", "check", &good])).contains("is complete"));
    let priced = run(&[
        "kernel",
        "elementwise",
        "8000000",
        "--gpu",
        "rtx3090",
        "--gpu",
        &good,
        "--format",
        "json",
    ]);
    let value: serde_json::Value = serde_json::from_slice(&priced.stdout).unwrap();
    let time = |i: usize| value["results"][i]["cost"]["time_ns"].as_f64().unwrap();
    // 48 MB stay in a 96 MiB cache and not in one of 6 MiB.
    assert!(time(1) < time(0) * 0.8, "{} {}", time(0), time(1));

    let bad = write(&folder, "bad.toml", b"base = \"rtx3090\"\n[l2]\ncapacty = \"96 MiB\"\n");
    let output = run(&["catalog", "check", &bad]);
    assert_eq!(code(&output), 3);
    let told = support::told(&output);
    assert!(
        told.contains("unknown key \"capacty\"") && told.contains("did you mean \"capacity\"?")
    );
    assert!(told.contains("bad.toml:3"), "{told}");
}

#[test]
fn one_kernel_on_three_gpus() {
    let output = run(&[
        "kernel",
        "gemm",
        "4096",
        "4096",
        "4096",
        "--dtype",
        "fp16",
        "--gpu",
        "v100-sxm2-16gb",
        "--gpu",
        "a100-sxm4-80gb",
        "--gpu",
        "h100-sxm",
        "--format",
        "json",
    ]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let times: Vec<f64> = value["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["cost"]["time_ns"].as_f64().unwrap())
        .collect();
    assert!(times[0] > times[1] && times[1] > times[2], "{times:?}");
}

#[test]
fn what_does_not_fit_in_memory_is_an_error_with_numbers() {
    let output = run(&["kernel", "gemm", "200000", "200000", "1000", "--gpu", "rtx2080ti"]);
    assert_eq!(code(&output), 3);
    let told = support::told(&output);
    assert!(told.contains("GiB of device memory") && told.contains("has 11.00 GiB"), "{told}");
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = run(&["completions", shell]);
        assert_eq!(code(&output), 0);
        assert!(stdout(&output).contains("lumacycle"), "{shell}");
    }
}

#[test]
fn the_version_names_a_commit_where_there_is_one() {
    let said = stdout(&run(&["--version"]));
    let package = env!("CARGO_PKG_VERSION");
    let rest = said.trim().strip_prefix(&format!("lumacycle {package}")).unwrap();
    let commit = rest.strip_prefix(" (").and_then(|rest| rest.strip_suffix(')'));
    if support::root().join(".git").exists() && std::env::var_os("LUMACYCLE_COMMIT").is_none() {
        let commit = commit.unwrap();
        assert!(commit.len() >= 12 && commit.bytes().all(|b| b.is_ascii_hexdigit()), "{said}");
    }
    assert!(commit.is_some() || rest.is_empty(), "{said}");
}

#[test]
fn a_manual_page_for_every_command() {
    let folder = folder();
    let out = folder.path().join("man");
    let output = run(&["man", "--out", out.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let page = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    assert!(page("lumacycle.1").contains(".TH lumacycle 1"));
    let replay = page("lumacycle-replay.1");
    assert!(replay.contains("recorded") && replay.contains("warmup"), "{replay}");
    assert!(page("lumacycle-trace-stats.1").contains("lumacycle trace stats"));
    // Every command of the help has a page.
    let help = stdout(&run(&["--help"]));
    let commands = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let names = commands.lines().filter_map(|line| line.split_whitespace().next());
    for name in names.filter(|name| *name != "help") {
        assert!(page(&format!("lumacycle-{name}.1")).len() > 200, "{name}");
    }
}

#[test]
fn results_are_whole_or_absent() {
    let folder = folder();
    let missing = folder.path().join("no/such/folder/out.csv").display().to_string();
    let output = run(&["catalog", "list", "--format", "csv", "--output", &missing]);
    assert_eq!(code(&output), 5);
    let good = folder.path().join("out.csv").display().to_string();
    assert_eq!(code(&run(&["catalog", "list", "--format", "csv", "--output", &good])), 0);
    assert!(std::fs::read_to_string(&good).unwrap().starts_with("name,"));
    // Nothing but the result is left behind.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn links_and_pipes_are_written_through() {
    let folder = folder();
    let target = write(&folder, "target.csv", b"old");
    let link = folder.path().join("link.csv");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let shown = link.display().to_string();
    assert_eq!(code(&run(&["catalog", "list", "--format", "csv", "-o", &shown])), 0);
    assert!(link.symlink_metadata().unwrap().file_type().is_symlink());
    assert!(std::fs::read_to_string(&target).unwrap().starts_with("name,"));

    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = {
        let pipe = pipe.clone();
        std::thread::spawn(move || std::fs::read_to_string(pipe).unwrap())
    };
    let shown = pipe.display().to_string();
    assert_eq!(code(&run(&["catalog", "list", "--format", "csv", "-o", &shown])), 0);
    assert!(reader.join().unwrap().starts_with("name,"));
    assert!(!pipe.symlink_metadata().unwrap().is_file());
}

#[test]
fn descriptions_that_no_hardware_has() {
    let folder = folder();
    for (name, body, words) in [
        ("nan", "[dram]\nefficiency = nan\n", "dram.efficiency is NaN"),
        ("inf", "[l2]\nfade = inf\n", "l2.fade is inf"),
        ("tiny", "[sm]\nshared_unit = \"1e-9 B\"\n", "at least one byte"),
        ("none", "[sm]\ncount = 0\n", "greater than zero"),
        ("negative", "[sm]\ncount = -4\n", "invalid value"),
        ("clock", "[clocks]\nbase = \"9 GHz\"\n", "above the boost clock"),
    ] {
        let text = format!("base = \"rtx3090\"\n{body}");
        let path = write(&folder, &format!("{name}.toml"), text.as_bytes());
        let output = run(&["catalog", "check", &path]);
        assert_eq!(code(&output), 3, "{name}");
        assert!(support::told(&output).contains(words), "{name}: {}", support::told(&output));
    }
    let path = write(&folder, "empty.toml", b"");
    assert!(support::told(&run(&["catalog", "check", &path])).contains("start from an entry"));
    let path = write(&folder, "binary.toml", b"\xff\xfe\x00");
    assert!(support::told(&run(&["catalog", "check", &path])).contains("not UTF-8"));
    let path = write(&folder, "large.toml", &vec![b'#'; 2 << 20]);
    assert!(support::told(&run(&["catalog", "check", &path])).contains("larger than 1 MiB"));
}

/// A measured table of one's own: statistics beside both baselines, and a page that opens offline.
#[test]
fn measurements_are_compared_and_reported() {
    let dir = support::folder();
    let table = "gpu,dtype,m,n,k,runtime_us,timing\n\
                 a100-sxm4-80gb,fp16,4096,4096,4096,560,B\n\
                 a100-sxm4-80gb,fp16,2048,2048,2048,82,B\n\
                 a100-sxm4-80gb,fp16,8192,8192,1024,560,B\n\
                 nothing,fp16,64,64,64,5,B\n";
    let path = support::write(&dir, "gemm.csv", table.as_bytes());
    let out = dir.path().join("pages").display().to_string();
    let args = ["validate", "gemm", "--data", &path, "--report", &out, "--format", "json"];
    let output = run(&args);
    assert_eq!(output.status.code(), Some(0), "{}", support::stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["rows_used"], 3);
    for baseline in ["roofline", "wave"] {
        assert_eq!(report["baselines"][baseline]["rows"], 3, "{baseline}");
        assert!(report["groups"][0][baseline]["mape_pct"].is_number(), "{baseline}");
    }
    let page = std::fs::read_to_string(dir.path().join("pages/index.html")).unwrap();
    for part in [
        "<svg",
        "measured time (µs)",
        "what the model sees",
        "tensor cores; ",
        "GPU not in the catalogue: nothing",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // Nothing is fetched from elsewhere.
    assert!(!page.contains("src=") && !page.contains("href=\"http"));
    // Published figures have a page as well, recorded profiles have that of `replay`.
    let output = run(&["validate", "ngpc", "--report", &out]);
    assert_eq!(output.status.code(), Some(0), "{}", support::stderr(&output));
    let page = std::fs::read_to_string(dir.path().join("pages/index.html")).unwrap();
    for part in ["<svg", "published (each in its unit)", "Furthest off", "How to reproduce"] {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(run(&["validate", "traces", "--report", &out]).status.code(), Some(2));
}

#[test]
fn two_results_are_lined_up() {
    let folder = folder();
    let paths = ["a100", "h100-sxm"].map(|gpu| {
        let path = folder.path().join(format!("{gpu}.json")).display().to_string();
        let shape = ["kernel", "gemm", "2048", "2048", "2048", "--gpu", gpu];
        let output = run(&[&shape[..], &["--format", "json", "-o", &path]].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        path
    });
    let output = run(&["diff", &paths[0], &paths[1]]);
    let text = stdout(&output);
    // An H100 is faster.
    let line = text.lines().find(|line| line.contains("kernel 0")).unwrap_or_default();
    assert!(line.contains(" -") && line.contains(" %"), "{text}");
    let bad = write(&folder, "bad.json", b"[1, 2]");
    assert_eq!(code(&run(&["diff", &bad, &paths[0]])), 3);
}

#[test]
fn calibration_says_what_it_cannot_do() {
    let folder = folder();
    let row = "gpu,dtype,m,n,k,timing,runtime_us\nA100-SXM4-80GB,fp16,4096,4096,4096,K,560.2\n";
    write(&folder, "gemm.csv", row.as_bytes());
    let data = folder.path().display().to_string();
    for (args, expected, what) in [
        (["nope", &data, "sm.overlap_order"], 4, "ampere-sm80"),
        (["ampere-sm80", &data, "sm.colour"], 4, "sm.overlap_order"),
        (["ampere-sm80", "/nowhere", "sm.overlap_order"], 3, "no such folder"),
        (["ampere-sm80", &data, "sm.overlap_order"], 3, "too few"),
    ] {
        let [layer, data, constant] = args;
        let output = run(&["calibrate", layer, "--data", data, "--constant", constant]);
        assert_eq!(code(&output), expected, "{}", stderr(&output));
        assert!(told(&output).contains(what), "{}", stderr(&output));
    }
}

/// A hotter chip leaks more, and under a limit it is slower for it.
#[test]
fn temperature_adds_leakage_and_takes_clock() {
    let at = |more: &[&str]| -> (f64, f64) {
        let kernel = ["kernel", "gemm", "8192", "8192", "8192", "--gpu", "a100-pcie-40gb"];
        let output = run(&[&kernel[..], &["--format", "json"], more].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let cost = &value["results"][0]["cost"];
        let time_ns = cost["time_ns"].as_f64().unwrap();
        let energy = cost["energy"].as_object().unwrap().values();
        let energy_pj: f64 = energy.map(|part| part.as_f64().unwrap()).sum();
        (energy_pj / time_ns * 1e-3, time_ns)
    };
    let clock = ["--clock", "1.2 GHz"];
    let usual = at(&clock);
    assert_eq!(at(&[&clock[..], &["--temperature", "60"]].concat()), usual);
    let hot = at(&[&clock[..], &["--temperature", "85"]].concat());
    assert!(hot.0 > usual.0 + 5.0 && hot.0 < usual.0 + 20.0, "{hot:?} {usual:?}");
    assert_eq!(hot.1, usual.1);
    let (free, slowed) = (at(&[]), at(&["--temperature", "105"]));
    assert!(slowed.1 > free.1 * 1.01 && slowed.0 < free.0 * 1.01, "{slowed:?} {free:?}");
}
