//! Exploring a design space from outside: results, killed runs, shards, refusals.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop there")]

mod support;

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use support::{code, folder, lumacycle, run, stderr, stdout, told, write};
use tempfile::TempDir;

/// A small space: the image application, whose points take a millisecond.
fn space(search: &str) -> String {
    format!(
        r#"
name = "small"
question = "How many processors for an image?"
[system]
app = "gia"
accelerator = "ngpc-8"
resolution = [640, 360]
[search]
{search}
[[parameter]]
path = "accelerator.accelerator.units"
values = [8, 16, 24, 32, 48, 64]
base = 16
[[parameter]]
path = "accelerator.mlp.arrays"
values = [1, 2, 3, 4]
[[parameter]]
path = "accelerator.accelerator.clock"
from = "0.8 GHz"
to = "1.6 GHz"
steps = 9
[[derived]]
path = "accelerator.policy.batch"
value = "accelerator.accelerator.units * 4096"
[[require]]
that = "accelerator.accelerator.units * accelerator.mlp.arrays <= 128"
[[limit]]
metric = "area_mm2"
at_most = 200
[[objective]]
metric = "fps"
goal = "maximise"
[[objective]]
metric = "area_mm2"
goal = "minimise"
"#
    )
}

fn explore(space: &str, out: &Path, more: &[&str]) -> std::process::Output {
    let mut args = vec!["explore", space, "--out", out.to_str().unwrap()];
    args.extend(more);
    run(&args)
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// The results of a whole run that nobody disturbs.
fn undisturbed(dir: &TempDir, space: &str) -> String {
    let out = dir.path().join("undisturbed");
    let output = explore(space, &out, &[]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    read(&out, "results.csv")
}

#[test]
fn results_have_every_point_and_the_front_is_part_of_them() {
    let dir = folder();
    let file = write(&dir, "space.toml", space("method = \"grid\"").as_bytes());
    let results = undisturbed(&dir, &file);
    let out = dir.path().join("undisturbed");
    assert_eq!(results.lines().count(), 1 + 6 * 4 * 9);
    let count = |word: &str| results.lines().filter(|line| line.contains(word)).count();
    // 48 and 64 processors with 3 or 4 arrays each.
    assert_eq!((count(",skipped,"), count(",ok,")), (4 * 9, 20 * 9));
    let front = read(&out, "pareto.csv");
    assert!(front.lines().count() > 3);
    assert!(front.lines().all(|line| results.contains(line)));
    let sensitivities = read(&out, "sensitivities.csv");
    assert!(sensitivities.starts_with("parameter,metric,base,minus_10_pct,plus_10_pct\n"));
    assert!(sensitivities.contains("accelerator.accelerator.clock,fps,"));
    let summary: serde_json::Value = serde_json::from_str(&read(&out, "summary.json")).unwrap();
    assert_eq!(summary["points"], 216);
    assert!(summary["knee"]["metrics"]["fps"].as_f64().unwrap() > 0.0);
    // The same bytes for any number of threads.
    let one = dir.path().join("one");
    let mut command = lumacycle();
    command.env("RAYON_NUM_THREADS", "1");
    command.args(["explore", &file, "--out", one.to_str().unwrap()]);
    assert!(command.output().unwrap().status.success());
    for name in ["results.csv", "pareto.csv", "sensitivities.csv", "summary.json"] {
        assert_eq!(read(&one, name), read(&out, name), "{name}");
    }
}

/// Killed at any moment, again and again: the results are those of a run that was left alone.
#[test]
fn killed_runs_lose_and_double_nothing() {
    for search in ["method = \"grid\"", "method = \"nsga2\"\npoints = 150\npopulation = 20"] {
        let dir = folder();
        let file = write(&dir, "space.toml", space(search).as_bytes());
        let expected = undisturbed(&dir, &file);
        let out = dir.path().join("killed");
        let mut kills = 0;
        let mut wait = 40;
        for turn in 0..200_u64 {
            let mut child = lumacycle()
                .args(["explore", &file, "--out", out.to_str().unwrap()])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            // Moments all over the run, the start and the writing of results included.
            std::thread::sleep(Duration::from_millis(wait + turn * 37 % 61));
            if child.try_wait().unwrap().is_some_and(|status| status.success()) {
                break;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
            wait += 15;
        }
        let output = explore(&file, &out, &[]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert!(kills >= 2, "{kills} kills");
        assert_eq!(read(&out, "results.csv"), expected);
        // No point was ever written twice.
        let records = read(&out, "points.records");
        assert_eq!(records.lines().count(), expected.lines().count());
    }
}

#[test]
fn shards_are_disjoint_and_merge_to_the_whole() {
    let dir = folder();
    let file = write(&dir, "space.toml", space("method = \"sobol\"\npoints = 61").as_bytes());
    let expected = undisturbed(&dir, &file);
    let out = dir.path().join("parts");
    let merge = || run(&["explore", "merge", &file, "--out", out.to_str().unwrap()]);
    assert_eq!(code(&merge()), 2, "nothing to merge");
    for part in ["1/3", "3/3"] {
        assert_eq!(code(&explore(&file, &out, &["--shard", part])), 0);
    }
    let early = merge();
    assert_eq!(code(&early), 1);
    assert!(told(&early).contains("20 of 61 points are missing"), "{}", told(&early));
    assert!(told(&early).contains("2/3"));
    // The rest on another machine.
    let other = dir.path().join("other");
    assert_eq!(code(&explore(&file, &other, &["--shard", "2/3"])), 0);
    let merged =
        run(&["explore", "merge", &file, "--out", out.to_str().unwrap(), other.to_str().unwrap()]);
    assert_eq!(code(&merged), 0, "{}", stderr(&merged));
    assert_eq!(read(&out, "results.csv"), expected);
}

#[test]
fn other_spaces_other_runs_and_places_that_cannot_be_written_are_refused() {
    let dir = folder();
    let file = write(&dir, "a.toml", space("method = \"random\"\npoints = 5").as_bytes());
    let other =
        write(&dir, "b.toml", space("method = \"random\"\npoints = 5\nseed = 1").as_bytes());
    let out = dir.path().join("out");
    assert_eq!(code(&explore(&file, &out, &[])), 0);
    let before = read(&out, "points.records");
    let refused = explore(&other, &out, &[]);
    assert_eq!(code(&refused), 2);
    assert!(told(&refused).contains("results of another space"), "{}", told(&refused));
    assert_eq!(read(&out, "points.records"), before);
    // Comments and spaces do not make another space.
    let spaced = space("method = \"random\"\n# five\npoints   =  5");
    let same = write(&dir, "c.toml", spaced.as_bytes());
    let again = explore(&same, &out, &[]);
    assert_eq!(code(&again), 0);
    assert!(told(&again).contains("5 of 5 points are there already"), "{}", told(&again));
    assert_eq!(code(&explore(&other, &out, &["--restart"])), 0);

    let lock = std::fs::File::options().append(true).open(out.join("points.records.lock")).unwrap();
    lock.try_lock().unwrap();
    let busy = explore(&other, &out, &[]);
    assert_eq!(code(&busy), 5);
    assert!(told(&busy).contains("in use by another run"), "{}", told(&busy));
    drop(lock);

    // A folder that is a file, and records that are a device.
    assert_eq!(code(&explore(&file, Path::new(&other), &[])), 5);
    #[cfg(target_os = "linux")]
    {
        let device = dir.path().join("device");
        std::fs::create_dir(&device).unwrap();
        std::os::unix::fs::symlink("/dev/full", device.join("points.records")).unwrap();
        let output = explore(&file, &device, &[]);
        assert_eq!(code(&output), 5, "{}", stderr(&output));
    }
}

/// A disk that fills up, as a limit on the size of files.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_keeps_what_was_done() {
    let dir = folder();
    let file = write(&dir, "space.toml", space("method = \"random\"\npoints = 30").as_bytes());
    let expected = undisturbed(&dir, &file);
    let out = dir.path().join("out");
    let mut shell = std::process::Command::new("sh");
    let limited = "trap '' XFSZ; ulimit -f 12; exec \"$0\" explore \"$1\" --out \"$2\"";
    shell.args(["-c", limited, env!("CARGO_BIN_EXE_lumacycle"), &file]).arg(&out);
    let output = shell.current_dir(support::root()).output().unwrap();
    assert_eq!(code(&output), 5, "{}", stderr(&output));
    assert!(told(&output).contains("results so far are kept"), "{}", told(&output));
    let kept = read(&out, "points.records").lines().count();
    assert!((2..31).contains(&kept), "{kept}");
    let output = explore(&file, &out, &[]);
    assert!(told(&output).contains(&format!("{} of 30 points are there", kept - 1)));
    assert_eq!(read(&out, "results.csv"), expected);
}

#[test]
fn mistakes_in_a_space_have_one_diagnostic_with_a_line() {
    let dir = folder();
    let good = space("method = \"grid\"");
    for (from, to, what) in [
        ("method = \"grid\"", "method = \"girth\"", "unknown variant"),
        ("steps = 9", "stesp = 9", "did you mean `steps`?"),
        ("\"maximise\"", "\"maximize\"", "did you mean `maximise`?"),
        ("\"area_mm2\"\nat_most", "\"area_mm\"\nat_most", "did you mean area_mm2?"),
        ("accelerator.mlp.arrays\"\nvalues", "accelerator.mlp.rays\"\nvalues", "rays"),
        ("\"1.6 GHz\"", "\"1.6 MiB\"", "no range"),
        ("\"0.8 GHz\"", "\"0.8 MiB\"", "amount of data"),
        ("units * 4096", "unit * 4096", "no parameter of this space"),
        ("<= 128", "", "a comparison is wanted"),
        ("\"area_mm2\"\nat_most", "\"area\"\nat_most", "no metric"),
        ("at_most = 200", "", "no bound"),
        ("app = \"gia\"", "app = \"gai\"", "no application"),
        ("base = 16", "base = 17", "none of the values"),
    ] {
        assert!(good.contains(from), "{from}");
        let file = write(&dir, "bad.toml", good.replacen(from, to, 1).as_bytes());
        let output = run(&["explore", &file, "--dry-run"]);
        let text = stderr(&output);
        assert_eq!(code(&output), 3, "{to}: {text}");
        assert!(told(&output).contains(what), "{to}: {text}");
        assert!(text.contains("bad.toml:"), "{to}: no line in {text}");
        assert_eq!(text.matches("help:").count(), 1, "{text}");
    }
}

/// What the catalogue can never build is refused before anything runs, at the end of the range that says so.
#[test]
fn ranges_beyond_what_can_be_built_are_refused_with_their_line() {
    let dir = folder();
    for (path, from, to, what, line) in [
        ("accelerator.policy.l2_tables", "0.0", "2.0", "a share lies between 0 and 1", "to = 2.0"),
        ("accelerator.policy.l2_tables", "-1.0", "0.5", "no hardware has", "from = -1.0"),
        ("gpu.sm.count", "0", "100\nmultiple_of = 1", "greater than zero", "from = 0"),
        ("gpu.sm.count", "1", "100", "whole numbers: add multiple_of = 1", "path ="),
    ] {
        let text = format!(
            "name = \"r\"\nquestion = \"?\"\n[system]\napp = \"gia\"\naccelerator = \"ngpc-8\"\n\
             resolution = [64, 64]\n[search]\nmethod = \"random\"\npoints = 8\n[[parameter]]\n\
             path = \"{path}\"\nfrom = {from}\nto = {to}\n"
        );
        let file = write(&dir, "range.toml", text.as_bytes());
        let output = run(&["explore", &file, "--dry-run"]);
        assert_eq!(code(&output), 3, "{path} {from} {to}: {}", stderr(&output));
        assert!(told(&output).contains(what), "{path} {from} {to}: {}", told(&output));
        let number = text.lines().position(|l| l.starts_with(line)).unwrap() + 1;
        let place = format!("range.toml:{number}:");
        assert!(stderr(&output).contains(&place), "{place} in {}", stderr(&output));
    }
    // Values that make sense beside some of the others are run.
    let file = write(&dir, "good.toml", space("method = \"grid\"").as_bytes());
    assert_eq!(code(&run(&["explore", &file, "--dry-run"])), 0);
}

#[test]
fn an_optimiser_asks_by_json_lines() {
    let dir = folder();
    let file = write(&dir, "space.toml", space("method = \"ask\"\npoints = 2").as_bytes());
    let out = dir.path().join("out");
    let ask = |lines: &str| -> Vec<serde_json::Value> {
        let mut child = lumacycle()
            .args(["explore", &file, "--out", out.to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = stdout(&output);
        text.lines().map_while(|line| serde_json::from_str(line).ok()).collect()
    };
    let question = |id: u32, units: u32| {
        format!(
            "{{\"id\": {id}, \"parameters\": {{\"accelerator.accelerator.units\": {units}, \
             \"accelerator.mlp.arrays\": 2, \"accelerator.accelerator.clock\": 1.5}}}}\n"
        )
    };
    let told = ask(&(question(1, 8) + &question(2, 64) + &question(3, 8) + &question(4, 9)));
    assert_eq!(told[0]["parameters"][2]["unit"], "GHz");
    assert_eq!((&told[1]["id"], &told[1]["point"]), (&1.into(), &0.into()));
    assert!(told[1]["objectives"][0].as_f64() < told[2]["objectives"][0].as_f64());
    // The same design is the same point, and what is not of the space has a reason.
    assert_eq!(told[3]["point"], 0);
    assert!(told[4]["error"].as_str().unwrap().contains("cannot be 9"));
    // Budget and answers outlast the process.
    let told = ask(&(question(5, 64) + &question(6, 32)));
    assert_eq!(told[1]["point"], 1);
    assert!(told[2]["error"].as_str().unwrap().contains("used up"));
    assert_eq!(read(&out, "results.csv").lines().count(), 3);
}
