//! Every command of the documentation is run: those in `sh` blocks and those in the text that start
//! with the program's name. Each page is a session in a folder of its own, in the order of the page, with
//! small inputs under the names that the pages use ([`inputs`]) and the page's own TOML blocks (those
//! that begin with `# NAME.toml`).
//!
//! Frames and studies are made small ([`smaller`]). What is only parsed, and what is not run at all, is
//! listed with its reason; an entry that fits no command, and a command that fails, is an error.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on should stop there, and says so on stderr"
)]

#[path = "support/fields.rs"]
mod fields;
#[path = "support/pages.rs"]
mod pages;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pages::Page;
use support::{TODAY, code, gzip, root, stderr, stdout, trace};

/// Words that stand for something of the reader's, and what they stand for here. Other names
/// (`profile.json.gz`, `FOLDER`, `A.json`, …) are those of files that [`inputs`] makes.
const PLACEHOLDERS: &[(&str, &str)] = &[
    ("APP", "gia"),
    ("SHELL", "bash"),
    ("SUITE", "gemm"),
    ("LAYER", "ampere-sm80"),
    ("FILE-OR-FOLDER", "FOLDER"),
    ("LAUNCHES.csv.gz", "rtx3070_own.csv.gz"),
    ("LIST.csv", "rtx3070_own.csv.gz"),
    ("IN", "profile.json.gz"),
];

/// Commands of the program that are parsed and not run: how they begin, and why.
const PARSED: &[(&str, &str)] = &[
    ("lumacycle validate neural_graphics", "takes half a minute unoptimised; tests/run.rs runs it"),
    ("lumacycle validate ngpc", "takes ten seconds unoptimised; tests/ngpc.rs runs it"),
    ("lumacycle validate rtnerf", "takes half a minute unoptimised; tests/rtnerf.rs runs it"),
    ("lumacycle validate power", "needs two tables of measurements that do not ship"),
    ("lumacycle calibrate", "needs hundreds of measured rows, which do not ship"),
    ("lumacycle figures --out", "renders a dozen frames and all rows of three validations"),
    ("lumacycle study sim/studies/rt-", "fields of 300 texels; tests/rtnerf.rs runs two"),
    ("lumacycle study sim/studies/", "tests/ngpc.rs runs all that are left, at a small size"),
    (
        "lumacycle explore sim/spaces/gpu-hash-encoding.toml",
        "prices a frame of NeRF for each of its first points",
    ),
    ("lumacycle explore sim/spaces/equal-area.toml", "prices a frame of NeRF for each as well"),
    ("lumacycle explore sim/spaces/ngpc-scaling.toml", "prices two frames of NeRF at full size"),
    ("lumacycle plot tornado rtnerf.json", "needs what `validate rtnerf` writes"),
    ("lumacycle plot pareto DIR/results.csv", "needs all points of a space that ships"),
    (
        "lumacycle run tensorf --accelerator rt-nerf-edge --scene digger",
        "as the next, at 800 x 800",
    ),
];

/// What is no command of the program: how it begins, and why it is not run.
const NOT_RUN: &[(&str, &str)] = &[
    ("cargo test", "this is what runs this test"),
    ("cargo bench", "takes minutes, and says nothing of right or wrong"),
    ("cargo run -p lumacycle-api --example", "sim/api/tests/examples.rs runs all of them"),
    ("cargo doc", "CI runs it"),
    ("cargo tree -p lumacycle", "lists packages"),
    ("cargo install", "builds the program again, optimised"),
    ("cargo run --release --", "stands for the program"),
    ("bash .ci/", "CI runs it"),
    ("just ", "a shorthand for the others"),
    ("cargo build -p lumacycle --no-default-features", "builds the program another time"),
    ("ncu ", "NVIDIA's profiler, which needs a GPU"),
    ("mdbook build", "CI runs it, in .ci/book"),
    ("lumacycle plot KIND", "a pattern"),
];

/// Commands that are mentioned without what they need: their help is asked for. Those that are named by
/// nothing but their name (`lumacycle trace stats`) need no entry.
const MENTIONED: &[&str] =
    &["lumacycle plot dvfs", "lumacycle validate all", "lumacycle reference"];

/// Usage lines of this page are patterns; its examples are run.
const PATTERNS: &str = "docs/reference/cli.md";

/// Pages whose `text` blocks show what the commands before them print.
const SHOWN: &[&str] = &["docs/tutorial.md"];

/// Widest image that is rendered as written.
const WIDEST: u32 = 320;

/// A command with images as small as a test can afford.
fn smaller(command: &str) -> String {
    let mut words: Vec<String> = command.split(' ').map(str::to_owned).collect();
    let has = |word: &str| command.split(' ').any(|known| known == word);
    let renders = ["run", "study"].contains(&words[1].as_str())
        || (words[1] == "explain" && words.get(2).is_some_and(|word| word == "run"));
    if renders && !has("--print-app") && !has("--train") && !command.contains("study study.toml") {
        let size = if has("tensorf") || command.contains("/rt-") { "48x48" } else { "96x54" };
        match words.iter().position(|word| word == "--resolution") {
            // Behind the word `run` itself.
            None => {
                let behind = if words[1] == "explain" { 3 } else { 2 };
                let option = ["--resolution".to_owned(), size.to_owned()];
                words.splice(behind..behind, option).for_each(drop);
            }
            // An image that is compared with another way of rendering it.
            Some(at) if has("tensorf") => size.clone_into(&mut words[at + 1]),
            Some(at) => {
                let width = words[at + 1].split('x').next().and_then(|w| w.parse::<u32>().ok());
                if width.is_none_or(|width| width > WIDEST) {
                    size.clone_into(&mut words[at + 1]);
                }
            }
        }
    }
    // The spaces that ship have hundreds of points: their first ones are tried.
    if command.starts_with("lumacycle explore sim/spaces/") && !has("--dry-run") {
        words.push("--dry-run".to_owned());
        // Nothing ran that a page could show.
        if let Some(at) = words.iter().position(|word| word == "--report") {
            words.drain(at..at + 2);
        }
    }
    // There is no cluster here.
    if has("--dispatch") && !has("--no-submit") {
        words.push("--no-submit".to_owned());
    }
    words.join(" ")
}

/// Small inputs under the names that pages use.
fn inputs(folder: &Path) {
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    write("profile.json.gz", &gzip(trace(&TODAY).to_string().as_bytes()));
    let rows = "gpu,dtype,m,n,k,timing,runtime_us\nA100-SXM4-80GB,fp16,4096,4096,4096,K,560.2\n";
    write("FOLDER/gemm.csv", rows.as_bytes());
    write("FOLDER/peaks.csv", b"gpu,metric,value,unit\n4090,fp16_gemm,165,TFLOPS\n");
    let mut launches = String::from(
        "start_ns,dur_ns,stream,kernel,gridX,gridY,gridZ,blockX,blockY,blockZ,regs,static_smem,dynamic_smem\n",
    );
    for (at, kernel) in ["advance_pos_nerf_kernel", "compact_kernel_nerf"].iter().enumerate() {
        launches +=
            &format!("{},50000,7,\"ngp::{kernel}(int)\",450,1,1,128,1,1,48,0,0\n", at * 60_000);
    }
    write("rtx3070_own.csv.gz", &gzip(launches.as_bytes()));
    write("FOLDER/rtx3070_own.csv.gz", &gzip(launches.as_bytes()));
    write("traces/kernelslist.g", b"kernel-1.traceg\n");
    write("traces/kernel-1.traceg", INSTRUCTIONS.as_bytes());
    write("FILE", b"base = \"ngpc-64\"\n[accelerator]\nunits = 8\n");
    write("own.toml", b"base = \"rt-nerf-edge\"\n[tree]\nleaves = 32\n");
    write("SPACE.toml", SPACE.as_bytes());
    std::fs::create_dir(folder.join("checkpoint")).unwrap();
    fields::checkpoint(&folder.join("checkpoint"), 1.0);
    for (name, gpu) in [("A.json", "a100"), ("B.json", "h100-sxm")] {
        let shape = ["kernel", "gemm", "512", "512", "512", "--format", "json", "--gpu", gpu];
        write(name, &support::run(&shape).stdout);
    }
    // What ships; nothing can be written there by accident, as pages write into `docs/studies`.
    std::fs::create_dir_all(folder.join("docs/reference")).unwrap();
    for link in ["sim/studies", "sim/spaces", "docs/examples"] {
        std::fs::create_dir_all(folder.join(link).parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(root().join(link), folder.join(link)).unwrap();
    }
    std::fs::create_dir(folder.join("bin")).unwrap();
    let program = env!("CARGO_BIN_EXE_lumacycle");
    std::os::unix::fs::symlink(program, folder.join("bin/lumacycle")).unwrap();
}

/// One block of one warp that loads and adds.
const INSTRUCTIONS: &str = "-kernel name = small\n-kernel id = 1\n-grid dim = (1,1,1)\n-block dim = (32,1,1)\n-shmem = 0\n-nregs = 32\n-binary version = 86\n-cuda stream id = 0\n-shmem base_addr = 0x00007f0000000000\n-local mem base_addr = 0x00007f1000000000\n-nvbit version = 1.5.5\n-accelsim tracer version = 4\n\n#traces format = [line_num] PC mask dest_num [reg_dests] opcode src_num [reg_srcs] mem_width [adrrescompress?] [mem_addresses]\n\n#BEGIN_TB\n\nthread block = 0,0,0\n\nwarp = 0\ninsts = 3\n0000 ffffffff 1 R8 LDG.E 1 R2 4 1 0x7e0000000000 4 0 \n0010 ffffffff 1 R4 FADD 2 R4 R8 0 0 \n0020 ffffffff 0 EXIT 0 0 0 \n\n#END_TB\n\n";

const SPACE: &str = "name = \"small\"\nquestion = \"?\"\n[system]\napp = \"gia\"\naccelerator = \"ngpc-8\"\n[search]\nmethod = \"grid\"\n[[parameter]]\npath = \"accelerator.accelerator.units\"\nvalues = [8, 16, 32]\n[[objective]]\nmetric = \"frame_time_ms\"\ngoal = \"minimise\"\n";

/// A command of the program as the shell gets it, placeholders filled in; none of other programs.
fn ours(command: &str) -> Option<String> {
    let starts = ["cargo run --release -- ", "cargo run -- ", "lumacycle "];
    let words = starts.iter().find_map(|start| command.strip_prefix(start))?;
    let words = words.split(' ').map(|word| {
        let stands = PLACEHOLDERS.iter().find(|(name, _)| *name == word);
        stands.map_or(word, |(_, value)| *value)
    });
    Some(format!("lumacycle {}", words.collect::<Vec<_>>().join(" ")))
}

/// Commands of a piece of code, without comments.
fn commands(code: &pages::Code) -> Vec<String> {
    let is_block = code.fence.as_deref() == Some("sh");
    let starts = ["lumacycle ", "cargo ", "bash .ci", "just ", "mdbook "];
    let in_text = code.fence.is_none() && starts.iter().any(|start| code.text.starts_with(start));
    if !is_block && !in_text {
        return Vec::new();
    }
    let joined = code.text.replace("\\\n", " ");
    let lines = if is_block { joined.lines().collect() } else { vec![joined.as_str()] };
    let one_space = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let bare = lines.into_iter().map(|line| line.split(" #").next().unwrap_or_default());
    bare.map(one_space).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

#[derive(Debug, Default)]
struct Tally {
    as_written: u32,
    made_smaller: u32,
    parsed: u32,
    mentioned: u32,
    not_run: u32,
    used: BTreeSet<&'static str>,
    failed: Vec<String>,
    /// Commands with nothing behind their name.
    names: BTreeSet<String>,
    /// Seconds of commands.
    slowest: Vec<(f64, String)>,
    /// What commands without files of their page's own have printed.
    known: BTreeMap<String, String>,
}

fn shell(folder: &Path, line: &str) -> Output {
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new("sh")
        .args(["-c", line])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", folder.join("bin").display()))
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

impl Tally {
    /// What a command prints.
    fn command(&mut self, place: &str, folder: &Path, command: &str) -> String {
        let listed = |list: &'static [(&str, &str)]| {
            list.iter().map(|(start, _)| *start).find(|start| command.starts_with(start))
        };
        let pattern = listed(NOT_RUN).filter(|entry| entry.starts_with("lumacycle "));
        let Some(ours) = ours(command).filter(|_| pattern.is_none()) else {
            match listed(NOT_RUN) {
                Some(entry) => {
                    self.used.insert(entry);
                    self.not_run += 1;
                }
                None => self.failed.push(format!("{place}: `{command}` is neither run nor listed")),
            }
            return String::new();
        };
        let line = if let Some(entry) = MENTIONED.iter().find(|known| **known == command) {
            self.used.insert(entry);
            self.mentioned += 1;
            format!("{ours} --help")
        } else if let Some(entry) = listed(PARSED) {
            self.used.insert(entry);
            self.parsed += 1;
            ours.replacen("lumacycle ", "lumacycle reference parse ", 1)
        } else {
            let small = if self.names.contains(&ours) { ours.clone() } else { smaller(&ours) };
            *(if small == ours { &mut self.as_written } else { &mut self.made_smaller }) += 1;
            small
        };
        // Nothing of the page's own goes in or out: once is enough.
        let own = ["-o", "--out", "--output", ">", "--report", "--timeline", "--image"];
        let alone = !line.split(' ').any(|word| own.contains(&word) || is_own(word));
        if alone && let Some(known) = self.known.get(&line) {
            return known.clone();
        }
        let started = std::time::Instant::now();
        let mut output = shell(folder, &line);
        self.slowest.push((started.elapsed().as_secs_f64(), line.clone()));
        // Named, without what it needs.
        if code(&output) == 2 && self.names.contains(&line) {
            self.mentioned += 1;
            output = shell(folder, &format!("{line} --help"));
        }
        if code(&output) != 0 {
            self.failed.push(format!(
                "{place}: `{line}` ended with {}:\n{}",
                code(&output),
                stderr(&output)
            ));
        }
        if alone {
            self.known.insert(line, stdout(&output));
        }
        stdout(&output)
    }
}

/// Whether a word names a file that belongs to one page.
fn is_own(word: &str) -> bool {
    let is_file = [".toml", ".json", ".csv", ".gz"].iter().any(|end| word.ends_with(end));
    is_file && !word.starts_with("sim/") && !word.starts_with("docs/examples/")
}

fn page(page: &Page, tally: &mut Tally) {
    if page.code.iter().all(|code| commands(code).is_empty()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    inputs(folder.path());
    let mut printed = String::new();
    for code in &page.code {
        let place = format!("{}:{}", page.name(), code.line);
        if code.fence.as_deref() == Some("toml")
            && let Some(name) = code.text.lines().next().and_then(|line| line.strip_prefix("# "))
            && Path::new(name).extension().is_some_and(|end| end == "toml")
            && !name.contains(['/', ' '])
        {
            std::fs::write(folder.path().join(name), &code.text).unwrap();
        }
        let is_pattern = code.fence.is_none() && page.name() == PATTERNS;
        let lines = if is_pattern { Vec::new() } else { commands(code) };
        if code.fence.is_some() && !lines.is_empty() {
            printed.clear();
        }
        for command in lines {
            printed += &tally.command(&place, folder.path(), &command);
        }
        if code.fence.as_deref() == Some("text") && SHOWN.contains(&page.name().as_str()) {
            let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
            let there: BTreeSet<String> = printed.lines().map(words).collect();
            for line in code.text.lines().map(words).filter(|line| !there.contains(line)) {
                tally
                    .failed
                    .push(format!("{place}: no command prints\n  {line}\nit printed\n{printed}"));
            }
        }
    }
}

#[test]
fn commands_of_the_documentation_run() {
    let mut tally = Tally::default();
    let reference = Page::read(Path::new(PATTERNS));
    tally.names = reference.anchors.iter().map(|anchor| anchor.replace('-', " ")).collect();
    assert!(tally.names.contains("lumacycle trace stats"));
    for one in pages::all() {
        page(&one, &mut tally);
    }
    tally.slowest.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (seconds, line) in tally.slowest.iter().take(12) {
        eprintln!("{seconds:5.1} s  {line}");
    }
    assert!(tally.failed.is_empty(), "{}", tally.failed.join("\n"));
    let listed =
        PARSED.iter().chain(NOT_RUN).map(|(start, _)| *start).chain(MENTIONED.iter().copied());
    for entry in listed {
        assert!(tally.used.contains(entry), "no page has `{entry}`: take it off the list");
    }
    let Tally { as_written, made_smaller, parsed, mentioned, not_run, .. } = tally;
    eprintln!(
        "commands: {as_written} as written, {made_smaller} with small images, {parsed} parsed, {mentioned} by \
         their help, {not_run} not run"
    );
    assert!(as_written + made_smaller > 2 * parsed, "most commands should run");
}

/// The check can fail: on a command that the program does not know, and on one that fails.
#[test]
fn wrong_commands_are_found() {
    let folder = tempfile::tempdir().unwrap();
    inputs(folder.path());
    for (command, why) in [
        ("lumacycle catalog list --wat", "ended with 2"),
        ("lumacycle replay missing.json --gpu a100", "ended with 3"),
        ("lumacycle calibrate a100 --wat x", "ended with 2"),
        ("cargo tree", "neither run nor listed"),
    ] {
        let mut tally = Tally::default();
        tally.command("here", folder.path(), command);
        assert!(tally.failed[0].contains(why), "{command}: {}", tally.failed[0]);
    }
}

/// Paths by which pages are found.
#[test]
fn pages_are_found() {
    let names: Vec<PathBuf> = pages::all().into_iter().map(|page| page.path).collect();
    for name in ["README.md", "docs/tutorial.md", "docs/studies/banks.md"] {
        assert!(names.contains(&PathBuf::from(name)), "{name}");
    }
}
