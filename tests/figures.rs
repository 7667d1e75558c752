//! Figures, timelines and explanations, from outside: what a user runs, and what a viewer needs.

#![allow(
    clippy::unwrap_used,
    clippy::format_collect,
    reason = "a test that cannot go on should stop there"
)]

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::lumacycle;

const TRANSFORMER: &str = "docs/examples/transformer.jsonl";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn plot(kind: &str, csv: &str, name: &str, extra: &[&str]) -> (Option<i32>, String, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.csv");
    fs::write(&input, csv).unwrap();
    let out = folder.path().join(name);
    let ran = lumacycle()
        .args(["plot", kind])
        .arg(&input)
        .arg("-o")
        .arg(&out)
        .args(extra)
        .output()
        .unwrap();
    let drawn = fs::read(&out).unwrap_or_default();
    if ran.status.success() {
        assert!(
            fs::metadata(out.with_extension("data.csv")).unwrap().len() > 0,
            "data beside {kind}"
        );
    }
    (ran.status.code(), text(&ran.stderr), drawn)
}

/// A small input of each kind, with the flags that it needs.
fn inputs() -> Vec<(&'static str, String, Vec<&'static str>)> {
    let sweep: String = (0..12)
        .map(|i| {
            let mhz = 600 + i * 100;
            format!(
                "rtx3090,gemm,{mhz},9751,{},{},{},{}\n",
                9e5 / f64::from(mhz),
                90 + i * 20,
                300 - i * 20 + i * i * 3,
                i == 3
            )
        })
        .collect();
    vec![
        (
            "roofline",
            "gpu,kernel,flops,dram_bytes,time_us\nrtx3090,gemm,1e12,1e9,20000\nrtx3090,copy,1e6,1e9,1300\n"
                .to_owned(),
            vec![],
        ),
        (
            "speedup",
            "application,scale,speedup,published,amdahl\nnerf,8,3,3.5,9\nnerf,64,6,,9\nnvr,8,2,2.5,4\n"
                .to_owned(),
            vec![],
        ),
        (
            "breakdown",
            "gpu,part,time_ms\na,encoding,3\na,MLP,2\na,rest,1\nb,encoding,1\nb,MLP,1\n".to_owned(),
            vec![],
        ),
        (
            "pareto",
            "point,status,frame_time_ms,area_mm2,pareto\n1,ok,9,10,true\n2,ok,7,20,true\n3,ok,8,40,false\n"
                .to_owned(),
            vec![],
        ),
        (
            "scatter",
            "suite,measured_us,predicted_us\ngemm,10,11\ngemm,100,80\nattention,1000,1500\n".to_owned(),
            vec![],
        ),
        (
            "errors",
            "suite,measured_us,predicted_us\ngemm,10,11\ngemm,100,80\nattention,1000,1500\n".to_owned(),
            vec![],
        ),
        (
            "dvfs",
            format!("gpu,kernel,clock_mhz,mem_clock_mhz,time_us,power_w,energy_mj,optimal\n{sweep}"),
            vec![],
        ),
        (
            "tornado",
            "parameter,metric,base,minus_10_pct,plus_10_pct\ngpu.l2,fps,30,-4,3\ngpu.dram,fps,30,-9,8\n"
                .to_owned(),
            vec![],
        ),
        ("levels", "level,hit_pct\n0,100\n1,99\n2,70\n".to_owned(), vec![]),
        ("frame-times", "gpu,at,frame_ms\na,0,9\na,0.5,10\na,1,8\n".to_owned(), vec![]),
        (
            "heatmap",
            "banks,ports,cycles\n2,1,9\n2,2,5\n4,1,4\n4,2,2.5\n".to_owned(),
            vec!["--x", "banks", "--by", "ports", "--y", "cycles"],
        ),
        (
            "steps",
            "size,app,ms\n1 MiB,nerf,9\n1 MiB,gia,5\n2 MiB,nerf,4\n2 MiB,gia,2.5\n".to_owned(),
            vec!["--x", "size", "--by", "app", "--y", "ms"],
        ),
    ]
}

#[test]
fn every_kind_draws_the_same_bytes_twice_with_text_and_no_overlong_line() {
    for (kind, csv, extra) in inputs() {
        let (code, said, first) = plot(kind, &csv, "f.svg", &extra);
        assert_eq!(code, Some(0), "{kind}: {said}");
        let (_, _, second) = plot(kind, &csv, "f.svg", &extra);
        assert_eq!(first, second, "{kind}");
        let svg = text(&first);
        assert!(svg.contains("width=\"239.76pt\""), "{kind}: one column is 3.33 in");
        assert!(svg.matches("<text").count() >= 4, "{kind}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{kind}");
        for size in svg.split("font-size=\"").skip(1) {
            let size: f64 = size.split('"').next().unwrap().parse().unwrap();
            assert!((7.0..=9.0).contains(&size), "{kind}: {size} pt");
        }
    }
}

#[cfg(feature = "plots")]
#[test]
fn pdfs_embed_their_font_and_keep_their_text() {
    for (kind, csv, extra) in inputs() {
        let (code, said, pdf) = plot(kind, &csv, "f.pdf", &extra);
        assert_eq!(code, Some(0), "{kind}: {said}");
        assert!(pdf.starts_with(b"%PDF-"), "{kind}");
        let raw = String::from_utf8_lossy(&pdf);
        assert!(raw.contains("/FontFile") && raw.contains("/ToUnicode"), "{kind}");
        assert!(!raw.contains("/Subtype /Image"), "{kind}: vectors only");
        // 3.33 in are 239.76 pt.
        assert!(raw.contains("239.7"), "{kind}: page width");
        let (_, _, again) = plot(kind, &csv, "f.pdf", &extra);
        assert!(pdf == again, "{kind}: not the same bytes twice");
    }
    let (_, _, png) = plot("levels", "level,hit_pct\n0,100\n1,99\n", "f.png", &[]);
    assert!(png.starts_with(b"\x89PNG"));
}

#[test]
fn bad_input_is_one_clear_error() {
    for (csv, says) in [
        ("", "empty"),
        ("level,hit_pct\n", "no row"),
        ("level,hit_pct\n0,NaN\n1,NaN\n", "no finite number"),
        ("a,b\n1,2\n", "no column \"level\""),
        ("level,hit_pct\n0\n", "no CSV"),
        ("{\"results\": 3", "no JSON"),
    ] {
        let (code, said, drawn) = plot("levels", csv, "f.svg", &[]);
        assert_eq!(code, Some(3), "{csv:?}: {said}");
        assert!(said.contains(says), "{csv:?}: {said}");
        assert!(drawn.is_empty());
    }
    let (code, said, _) = plot("levels", "level,hit_pct\n0,1\n", "f.jpg", &[]);
    assert_eq!(code, Some(2), "{said}");
}

#[test]
fn one_point_ten_thousand_points_and_very_long_names_are_drawn() {
    for (kind, csv, extra) in inputs() {
        let mut lines = csv.lines();
        let one = format!("{}\n{}\n", lines.next().unwrap(), lines.next().unwrap());
        let (code, said, svg) = plot(kind, &one, "f.svg", &extra);
        assert_eq!(code, Some(0), "{kind}: {said}");
        assert!(!text(&svg).contains("NaN"), "{kind}");
    }
    let mut many = "suite,measured_us,predicted_us\n".to_owned();
    for i in 1..=10_000 {
        many.push_str(&format!(
            "s{},{},{}\n",
            i % 11,
            i,
            f64::from(i) * (0.8 + f64::from(i % 7) * 0.1)
        ));
    }
    for kind in ["scatter", "errors"] {
        let (code, said, svg) = plot(kind, &many, "f.svg", &[]);
        assert_eq!(code, Some(0), "{kind}: {said}");
        assert!(svg.len() < 400_000, "{kind}: {} bytes", svg.len());
        assert!(text(&svg).contains("others"), "eleven series are more than colours");
    }
    let long = "a_very_long_kernel_name_with_template_arguments_".repeat(20);
    let csv = format!("gpu,part,time_ms\n{long},{long}x,3\n{long}2,{long}y,2\n");
    let (code, said, svg) = plot("breakdown", &csv, "f.svg", &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(text(&svg).contains('…'));
    // Names that differ at their ends only are told apart still.
    assert!(text(&svg).contains("_x</text>") && text(&svg).contains("_y</text>"));
    let bars: String = (0..2500).map(|i| format!("app{i},8,{}\n", i + 1)).collect();
    let (code, said, _) =
        plot("speedup", &format!("application,scale,speedup\n{bars}"), "f.svg", &[]);
    assert!(code == Some(3) && said.contains("2500 groups of 1 bars have no room"), "{said}");
}

/// Intervals go from the commands that state them to the scatter that shows them.
#[test]
fn scatters_show_the_intervals_that_commands_write() {
    let folder = tempfile::tempdir().unwrap();
    let data =
        [1024, 2048, 4096].map(|m| format!("a100-sxm4-80gb,fp16,{m},4096,4096,{},B\n", m / 8));
    let table = format!("gpu,dtype,m,n,k,runtime_us,timing\n{}", data.concat());
    fs::write(folder.path().join("gemm.csv"), table).unwrap();
    let rows = folder.path().join("rows.csv");
    let ran = |words: &[&str]| {
        let output = lumacycle().args(words).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let place = folder.path().to_str().unwrap();
    ran(&["validate", "gemm", "--data", place, "--rows", rows.to_str().unwrap()]);
    let rows = fs::read_to_string(rows).unwrap();
    let replay = ran(&["replay", TRANSFORMER, "--gpu", "rtx3090", "--format", "csv"]);
    let kernel =
        ran(&["kernel", "gemm", "512", "512", "512", "--gpu", "rtx3090", "--format", "csv"]);
    for (csv, time, least) in
        [(&rows, "predicted_us", 3), (&replay, "predicted_us", 3), (&kernel, "time_us", 1)]
    {
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let header = reader.headers().unwrap().clone();
        let column = |name: &str| header.iter().position(|h| h == name).unwrap();
        let mut known = 0;
        for record in reader.records() {
            let record = record.unwrap();
            let value = |name: &str| record[column(name)].parse::<f64>();
            let (Ok(low), Ok(high)) = (value("low_us"), value("high_us")) else { continue };
            known += 1;
            let time = value(time).unwrap();
            assert!(0.0 < low && low < high && low < time * 1.1, "{record:?}");
        }
        assert!(known >= least, "{csv}");
    }
    // A bar and two caps for each of three intervals, in the colour of the series.
    let bars = |csv: &str| {
        let (code, said, svg) = plot("scatter", csv, "f.svg", &[]);
        assert_eq!(code, Some(0), "{said}");
        text(&svg).matches("stroke=\"#0064a8\" stroke-width=\"0.6\"").count()
    };
    assert_eq!((bars(&rows), bars(&rows.replacen("low_us", "lowest", 1))), (9, 0));
}

fn events(path: &Path) -> Vec<Value> {
    let value: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    value["traceEvents"].as_array().unwrap().clone()
}

/// What the Chrome trace format asks of each event.
fn check_schema(events: &[Value]) {
    for event in events {
        let phase = event["ph"].as_str().unwrap();
        assert!(event["pid"].is_u64() && event["tid"].is_u64() && event["name"].is_string());
        match phase {
            "M" => assert!(event["args"].is_object()),
            "X" => {
                assert!(event["ts"].is_number() && event["dur"].as_f64().unwrap() >= 0.0);
            }
            "C" => {
                let value = event["args"]["value"].as_f64().unwrap();
                assert!(event["ts"].is_number() && value >= 0.0);
                if event["name"].as_str().unwrap().contains('%') {
                    assert!(value <= 100.0, "{event}");
                }
            }
            other => assert_eq!(other, "X", "no phase that is written"),
        }
    }
}

#[test]
fn timelines_hold_recorded_and_predicted_and_their_counters() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.json");
    let replay = |path: &Path| {
        let mut command = lumacycle();
        command.args(["replay", TRANSFORMER, "--gpu", "rtx3090", "--timeline"]).arg(path);
        assert!(command.output().unwrap().status.success());
    };
    replay(&path);
    let events = events(&path);
    check_schema(&events);
    let count = |phase: &str, pid: u64| {
        events.iter().filter(|e| e["ph"] == phase && e["pid"] == pid).count()
    };
    assert!(count("X", 1) > 10);
    assert_eq!(count("X", 1), count("X", 2));
    for name in ["SM busy %", "SM occupancy %", "L2 bandwidth %", "DRAM bandwidth %", "power W"] {
        let values = events.iter().filter(|e| e["name"] == name);
        let most = values.filter_map(|e| e["args"]["value"].as_f64()).fold(0.0, f64::max);
        assert!(most > 0.0, "{name} never moves");
    }
    // Counters end where nothing runs.
    let last = events.iter().rfind(|e| e["name"] == "power W").unwrap();
    assert_eq!(last["args"]["value"].as_f64(), Some(0.0));
    let (packed, again) = (folder.path().join("a.json.gz"), folder.path().join("b.json.gz"));
    replay(&packed);
    replay(&again);
    assert_eq!(fs::read(&packed).unwrap(), fs::read(&again).unwrap());
    assert!(fs::read(&packed).unwrap().starts_with(&[0x1f, 0x8b]));
}

/// Engines of an accelerator have a track each; batches follow each other, and end with the frame.
#[test]
fn the_timeline_of_an_accelerator_shows_its_engines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.json");
    let ran = lumacycle()
        .args(["run", "nsdf", "--resolution", "320x180", "--accelerator", "ngpc-8"])
        .args(["--format", "json", "--timeline"])
        .arg(&path)
        .output()
        .unwrap();
    let result: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let frame = &result["accelerated"][0]["frames"][0]["frame"];
    let events = events(&path);
    check_schema(&events);
    let mut tracks: std::collections::BTreeMap<(u64, u64), Vec<(f64, f64)>> =
        std::collections::BTreeMap::new();
    for event in events.iter().filter(|e| e["ph"] == "X") {
        let lane = (event["pid"].as_u64().unwrap(), event["tid"].as_u64().unwrap());
        let (start, took) = (event["ts"].as_f64().unwrap(), event["dur"].as_f64().unwrap());
        tracks.entry(lane).or_default().push((start, start + took));
    }
    // The GPU alone; then it and the engines.
    let engines = tracks.keys().filter(|(process, _)| *process == 2).count() - 1;
    assert!(engines >= 4, "{engines}");
    for (lane, pieces) in &mut tracks {
        pieces.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(pieces.windows(2).all(|two| two[1].0 >= two[0].1 - 1e-3), "{lane:?} overlap");
    }
    let end = tracks.iter().filter(|((process, _), _)| *process == 2);
    let end = end.flat_map(|(_, pieces)| pieces).map(|piece| piece.1).fold(0.0, f64::max);
    let frame_us = frame["frame_ms"].as_f64().unwrap() * 1e3;
    assert!((end / frame_us - 1.0).abs() < 1e-6, "{end} {frame_us}");
    let mlp = |e: &&Value| e["ph"] == "C" && e["name"] == "MLP engine busy %";
    let values: Vec<f64> =
        events.iter().filter(mlp).map(|e| e["args"]["value"].as_f64().unwrap()).collect();
    assert!(values.iter().copied().fold(0.0, f64::max) > 1.0 && values.last() == Some(&0.0));
    // Counters go forward in time.
    let mut last: std::collections::BTreeMap<(u64, String), f64> =
        std::collections::BTreeMap::new();
    for event in events.iter().filter(|e| e["ph"] == "C") {
        let key = (event["pid"].as_u64().unwrap(), event["name"].as_str().unwrap().to_owned());
        let at = event["ts"].as_f64().unwrap();
        assert!(last.insert(key, at).is_none_or(|before| before <= at), "{event}");
    }
}

#[test]
fn the_timeline_of_a_frame_adds_up_to_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.json");
    let ran = lumacycle()
        .args(["run", "gia", "--resolution", "160x90", "--format", "json", "--timeline"])
        .arg(&path)
        .output()
        .unwrap();
    let result: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let frame = &result["results"][0]["frames"][0]["frame"];
    let events = events(&path);
    check_schema(&events);
    let sum: f64 =
        events.iter().filter(|e| e["ph"] == "X").map(|e| e["dur"].as_f64().unwrap()).sum();
    let kernels = frame["kernels_ms"].as_f64().unwrap() * 1e3;
    assert!((sum / kernels - 1.0).abs() < 1e-3, "{sum} {kernels}");
}

#[test]
fn explanations_name_the_bound_and_what_more_buys() {
    let explain = |words: &[&str]| {
        let ran = lumacycle().arg("explain").args(words).output().unwrap();
        assert!(ran.status.success(), "{}", text(&ran.stderr));
        text(&ran.stdout)
    };
    let gemm = explain(&["kernel", "gemm", "4096", "4096", "4096", "--gpu", "rtx3090"]);
    assert!(gemm.contains("bound by tensor cores: matrix instructions"), "{gemm}");
    assert!(gemm.contains("A tenth more of one resource saves: tensor cores"), "{gemm}");
    assert!(
        gemm.contains("L2") && gemm.contains("DRAM") && gemm.contains("1 block an SM"),
        "{gemm}"
    );
    let trace = explain(&["replay", TRANSFORMER, "--gpu", "rtx3090"]);
    assert!(trace.contains("% of the time is bound by"), "{trace}");
    // Resources that bind nothing are there as well.
    let idle = trace.lines().find(|line| line.trim_start().starts_with("FP32 pipe")).unwrap();
    assert_eq!(idle.matches('–').count(), 2, "{trace}");
    assert!(trace.contains("A tenth more of one resource saves:"), "{trace}");
    // Its own options may stand behind the command line.
    let short = explain(&["replay", TRANSFORMER, "--gpu", "rtx3090", "--top", "2"]);
    assert_eq!(short.lines().count(), trace.lines().count() - 9, "{short}");
    let frame = explain(&["run", "gia", "--resolution", "160x90"]);
    assert!(
        frame.contains("The frame takes") && frame.contains("% of warps, limited by"),
        "{frame}"
    );
    let told = explain(&["run", "gia", "--resolution", "160x90", "--format=json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    let bounds = told[0]["bounds"].as_array().unwrap();
    let sum = |name: &str| bounds.iter().map(|row| row[name].as_f64().unwrap()).sum::<f64>();
    assert!(
        (sum("bound_pct") - 100.0).abs() < 0.01,
        "each kernel is bound by one resource: {bounds:?}"
    );
    // What binds needs most of the time of what it binds, and a tenth more of it saves no more than a tenth.
    // (A launch takes as long on any device, and latency keeps nothing busy.)
    let busy = |row: &&Value| row["resource"] != "kernel launch" && row["resource"] != "latency";
    let bought = bounds.iter().filter(busy);
    for row in bought.filter(|row| row["bound_pct"].as_f64().unwrap() > 20.0) {
        let (bound, needed) =
            (row["bound_us"].as_f64().unwrap(), row["needed_us"].as_f64().unwrap());
        assert!(needed > 0.3 * bound, "{row}");
        let saves: f64 =
            row["tenth_more_saves"].as_str().unwrap().replace(" %", "").parse().unwrap();
        assert!((0.1..9.1).contains(&saves), "{row}");
    }
    let wrong = lumacycle().args(["explain", "run", "nothing"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(4), "{}", text(&wrong.stderr));
}

/// What a tenth more of each resource of an explained accelerator saves, in percent, and what it told.
fn relieved(words: &[&str]) -> (std::collections::BTreeMap<String, f64>, Value) {
    let ran = lumacycle().arg("explain").args(words).args(["--format", "json"]).output().unwrap();
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let told: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let last = told.as_array().unwrap().last().unwrap().clone();
    let saved = last["bounds"].as_array().unwrap().iter().map(|row| {
        let saves = row["tenth_more_saves"].as_str().unwrap().trim_end_matches(" %");
        (row["resource"].as_str().unwrap().to_owned(), saves.parse().unwrap())
    });
    (saved.collect(), last)
}

#[test]
fn explanations_of_accelerators_say_what_more_of_each_part_buys() {
    let folder = tempfile::tempdir().unwrap();
    let small = folder.path().join("small.toml");
    // One processor with a narrow array: the network decides everything.
    let lines = "base = \"ngpc-8\"\n[sources]\ndefault = \"estimate: a test\"\n[accelerator]\nunits = 1\n[mlp]\nrows = 16\ncolumns = 16\n";
    fs::write(&small, lines).unwrap();
    let small = small.display().to_string();
    let run = ["run", "nerf", "--resolution", "96x54", "--gpu", "rtx3090", "--accelerator"];
    let (saved, told) = relieved(&[&run[..], &[small.as_str()]].concat());
    assert!(saved.values().all(|saves| (0.0..=9.1).contains(saves)), "{saved:?}");
    let (clock, mlp) = (saved["accelerator's clock"], saved["MLP engine"]);
    assert!(mlp > 5.0 && clock >= mlp && saved["encoding engines"] < 0.5, "{saved:?}");
    let rows = told["rows"].as_array().unwrap();
    let engine = rows.iter().find(|row| row["part"] == "MLP engine").unwrap();
    assert_eq!(engine["bound_by"], "itself", "{told}");
    // With as many as the paper's the GPU decides: no part of the accelerator alone saves as much as the GPU's.
    let (saved, told) = relieved(&[&run[..], &["ngpc-64"]].concat());
    assert!(saved.len() > 12 && saved["MLP engine"] < 1.0, "{saved:?}");
    assert!(told["gpu"].as_str().unwrap().ends_with("with NGPC-64"), "{told}");
    // What its tables miss opens rows of DRAM, which are told apart from the bytes.
    let of = |list: &str, key: &str, name: &str, value: &str| {
        let rows = told[list].as_array().unwrap();
        rows.iter().find(|row| row[key] == name).and_then(|row| row[value].as_f64()).unwrap_or(0.0)
    };
    let needed = |name| of("bounds", "resource", name, "needed_us");
    assert!(needed("DRAM rows of both") > needed("DRAM of both"), "{told}");
    assert!(of("rows", "part", "DRAM rows", "time_us") > 0.0, "{told}");
    // An accelerator that renders by itself.
    let run = ["run", "tensorf", "--resolution", "48x48", "--accelerator", "rt-nerf-edge"];
    let (saved, told) = relieved(&run);
    let (clock, arrays) = (saved["accelerator's clock"], saved["MLP arrays"]);
    assert!(arrays > 1.0 && clock >= arrays && clock <= 9.1, "{saved:?}");
    assert_eq!(told["rows"].as_array().unwrap().len(), 5, "{told}");
}

#[test]
fn reports_are_whole_pages_without_network() {
    let folder = tempfile::tempdir().unwrap();
    let space = folder.path().join("space.toml");
    let shipped = fs::read_to_string(support::root().join("sim/spaces/ngpc-sram.toml")).unwrap();
    let small = shipped.replace("\"nerf\"", "\"gia\"").replace("\"grid\"", "\"grid\"\npoints = 20");
    fs::write(&space, small).unwrap();
    let (space, out) = (space.display().to_string(), folder.path().join("out"));
    let out = out.display().to_string();
    let beside = ["run", "nerf", "--gpu", "rtx3090", "--accelerator", "ngpc-8"];
    let beside = [&beside[..], &["--resolution", "96x54"]].concat();
    let field = ["run", "tensorf", "--resolution", "48x48", "--gpu", "rtx2080ti"];
    let field = [&field[..], &["--accelerator", "rt-nerf-edge", "--path-frames", "2"]].concat();
    let runs: [&[&str]; 5] = [
        &beside,
        &["replay", TRANSFORMER, "--gpu", "rtx3090", "--gpu", "h100-sxm"],
        &["run", "gia", "--resolution", "160x90", "--path-frames", "3"],
        &field,
        &["explore", &space, "--out", &out],
    ];
    for words in runs {
        let ran = lumacycle().args(words).arg("--report").arg(folder.path()).output().unwrap();
        assert!(ran.status.success(), "{}", text(&ran.stderr));
        let page = fs::read_to_string(folder.path().join("index.html")).unwrap();
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
        for word in ["<svg", "<table class=\"sortable\"", "Assumptions", "How to reproduce"] {
            assert!(page.contains(word), "{word}");
        }
        // What was asked for beside the GPU is there as well.
        let with = page.contains("with NGPC-8") && page.contains("tables exceed grid_sram");
        assert_eq!(with, words.contains(&"ngpc-8"), "{words:?}");
        // A field has figures of both machines: kernels and times of the GPU, energy, units and times of the other.
        let both = ["rt-nerf-edge", "waits for room", "Kernels of the GPU", "as stored MB"];
        assert_eq!(both.iter().all(|word| page.contains(word)), words.contains(&"tensorf"));
        if words.contains(&"tensorf") {
            assert_eq!(page.matches("<figure>").count(), 5, "{words:?}");
        }
        // The only address is the name of the SVG namespace.
        assert_eq!(
            page.matches("http").count(),
            page.matches("http://www.w3.org/2000/svg").count()
        );
        let ids: Vec<&str> =
            page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let distinct: std::collections::BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), distinct.len(), "ids of figures on one page clash");
    }
}
