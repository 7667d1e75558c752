//! Files made to be nasty, under a bound on memory: huge numbers, deep nesting, other encodings, files that
//! unpack to gigabytes, pipes and devices; and that nothing is written but where it was asked for.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on should stop there, and says so on stderr"
)]

mod support;

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Output};

use support::{code, folder, lumacycle, root, stdout, told, write};
use tempfile::TempDir;

/// Address space of a command, in KiB: the program, its threads and half a gigabyte of file.
const MOST_KIB: u32 = 3 << 20;

fn bounded(args: &[&str]) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -v {MOST_KIB}; exec \"$0\" \"$@\"")]);
    shell.arg(env!("CARGO_BIN_EXE_lumacycle")).args(args);
    shell.env("NO_COLOR", "1").env("RAYON_NUM_THREADS", "2").current_dir(root());
    shell.output().unwrap()
}

/// Refused as a bad file, with these words and no more than a screenful.
fn refused(args: &[&str], words: &str) {
    let output = bounded(args);
    let said = told(&output);
    assert_eq!(code(&output), 3, "{args:?}: {said}");
    assert!(said.contains(words), "{args:?}: {said}");
    assert!(output.stderr.len() < 8192, "{args:?}: {} bytes of diagnostic", output.stderr.len());
    assert!(output.stdout.is_empty(), "{args:?}");
}

fn with_scene<'a>(option: &'a str, path: &'a str) -> Vec<&'a str> {
    vec!["run", "nerf", "--gpu", "rtx3090", "--resolution", "64x36", option, path]
}

/// Bytes that unpack to `head` and then a unit over and over, for so many MiB.
fn bomb(head: &str, unit: u8, mib: usize) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(head.as_bytes()).unwrap();
    let block = vec![unit; 1 << 20];
    (0..mib).for_each(|_| packed.write_all(&block).unwrap());
    packed.finish().unwrap()
}

fn npy(shape: &str, header_bytes: Option<u32>) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
    let length = header_bytes.unwrap_or(header.len() as u32);
    let mut bytes = b"\x93NUMPY\x02\x00".to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend([0; 4]);
    bytes
}

#[test]
fn huge_declared_sizes() {
    let dir = folder();
    for (shape, header, words) in [
        ("(1152921504606846976,)", None, "too large"),
        ("(4294967296, 4294967296)", None, "too large"),
        ("(99999999999999999999999,)", None, "no shape"),
        ("(16384, 16384)", None, "1 of its 268435456 elements"),
        ("(2, 2)", Some(u32::MAX), "cut short"),
    ] {
        let path = write(&dir, "a.npy", &npy(shape, header));
        refused(&with_scene("--samples", &path), words);
        refused(&with_scene("--scene", &path), words);
    }
    for index in ["9223372036854775808", "-9223372036854775808", "4294967296"] {
        let text = format!("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 {index}\n");
        let path = write(&dir, "a.obj", text.as_bytes());
        refused(&with_scene("--scene", &path), ":4: ");
    }
    let kernel = |grid: &str, block: &str, warp: &str, count: &str| {
        format!(
            "-kernel name = f\n-grid dim = ({grid},1,1)\n-block dim = ({block},1,1)\n-shmem = 0\n-nregs = 32\n-binary version = 86\n-accelsim tracer version = 4\n\n#BEGIN_TB\nthread block = 0,0,0\nwarp = {warp}\ninsts = {count}\n0070 ffffffff 0 EXIT 0 0 0\n#END_TB\n"
        )
    };
    let huge = "1099511627776";
    for (text, words) in [
        (kernel(huge, "32", "0", "1"), "no value for \"grid dim\""),
        (kernel("1", huge, "0", "1"), "no value for \"block dim\""),
        (kernel("1", "32", huge, "1"), "no such warp"),
        (kernel("1", "32", "0", huge), "fewer instructions than it announces"),
    ] {
        let path = write(&dir, "a.traceg", text.as_bytes());
        refused(&["replay", &path, "--gpu", "rtx3070"], words);
    }
    // Many more blocks than the file holds are allowed, and cost nothing.
    let path = write(&dir, "b.traceg", kernel("2147483647", "1024", "0", "1").as_bytes());
    assert_eq!(code(&bounded(&["replay", &path, "--gpu", "rtx3070"])), 0);
    let path = write(&dir, "kernelslist.g", b"MemcpyHtoD,0x0,9223372036854775807\n");
    refused(&["replay", &path, "--gpu", "rtx3070"], "is no copy");
}

#[test]
fn a_hundred_thousand_levels() {
    let dir = folder();
    let deep = 100_000;
    let dotted = vec!["a"; deep].join(".");
    let texts = [
        format!("[{dotted}]\nx = 1\n"),
        format!("{dotted} = 1\n"),
        format!("a = {}{}\n", "[".repeat(deep), "]".repeat(deep)),
        format!("a = {}1{}\n", "{a=".repeat(deep), "}".repeat(deep)),
    ];
    for text in texts {
        let path = write(&dir, "a.toml", text.as_bytes());
        let out = dir.path().join("out").display().to_string();
        for args in [
            &["catalog", "check", &path][..],
            &["run", &path, "--gpu", "rtx3090"],
            &["study", &path],
            &["explore", &path, "--out", &out],
        ] {
            refused(args, "recur");
        }
        let based = format!("base = \"rtx3090\"\n{text}");
        let path = write(&dir, "b.toml", based.as_bytes());
        refused(&["kernel", "gemm", "64", "64", "64", "--gpu", &path], "recur");
    }
    let json = format!("{{\"results\":{}{}}}", "[".repeat(deep), "]".repeat(deep));
    let path = write(&dir, "a.json", json.as_bytes());
    let svg = dir.path().join("a.svg").display().to_string();
    refused(&["diff", &path, &path], "recursion limit");
    refused(&["explain", &path], "recursion limit");
    refused(&["plot", "breakdown", &path, "-o", &svg], "recursion limit");
    refused(&with_scene("--camera", &path), "not a transforms.json");
}

#[test]
fn files_that_unpack_to_gigabytes() {
    let dir = folder();
    let list = "start_ns,dur_ns,stream,kernel,gridX,gridY,gridZ,blockX,blockY,blockZ,regs,dynamic_smem\n0,1,2,";
    for (name, bytes) in [
        ("name.json.gz", bomb("{\"traceEvents\":[{\"name\":\"", b'a', 64)),
        ("cell.csv.gz", bomb(&format!("{list}\""), b'a', 64)),
        ("cells.csv.gz", bomb(list, b',', 64)),
        ("kernel.traceg.gz", bomb("-kernel name = ", b'a', 64)),
    ] {
        let path = write(&dir, name, &bytes);
        refused(&["replay", &path, "--gpu", "rtx3090"], "more than");
    }
    // What announces itself as a small archive, and is all name or all other things said of its member.
    for kind in [b'L', b'x'] {
        let mut header = tar::Header::new_ustar();
        header.set_size(64 << 20);
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_cksum();
        let head: String = header.as_bytes().iter().map(|byte| char::from(*byte)).collect();
        let path = write(&dir, "ranks.tar.gz", &bomb(&head, b'a', 65));
        refused(&["replay", &path, "--gpu", "rtx3090"], "a name of more than 1 MiB");
    }
    // Pages without end, of which each alone is short.
    let pages = (&b"SQLite format 3\0"[..]).chain(std::io::repeat(0).take(600 << 20));
    let path = write(&dir, "export.sqlite.zst", &zstd::stream::encode_all(pages, 1).unwrap());
    refused(&["replay", &path, "--gpu", "rtx3090"], "more than 256 times its size");
    let path = write(&dir, "gemm.csv.gz", &bomb("gpu,dtype,runtime_us,m,n,k\na,", b'a', 64));
    refused(&["validate", "gemm", "--data", &path], "a line of more than 1 MiB");
    let path = write(&dir, "a.obj.gz", &bomb("v 0 0 0\n", b'#', 600));
    refused(&with_scene("--scene", &path), "larger than 512 MiB");
}

#[test]
fn other_encodings_and_line_ends() {
    let dir = folder();
    let study = std::fs::read_to_string(root().join("sim/studies/banks.toml")).unwrap();
    let wide: Vec<u8> =
        "\u{feff}".chars().chain(study.chars()).flat_map(|c| (c as u16).to_le_bytes()).collect();
    let path = write(&dir, "wide.toml", &wide);
    refused(&["study", &path], "not UTF-8");
    refused(&["catalog", "check", &path], "not UTF-8");
    refused(&with_scene("--camera", &path), "not UTF-8");
    let path = write(&dir, "nul.toml", b"base = \"rtx3090\"\n[gpu]\nname = \"a\0b\"\n");
    refused(&["catalog", "check", &path], "nul.toml");
    // Line ends of another system change nothing.
    let gpu = "base = \"rtx3090\"\n[sources]\ndefault = \"estimate: what if\"\n[l2]\ncapacity = \"96 MiB\"\n";
    let trace = std::fs::read_to_string(root().join("docs/examples/transformer.jsonl")).unwrap();
    let of = |end: &str| {
        let path = write(&dir, "mine.toml", gpu.replace('\n', end).as_bytes());
        let file = write(&dir, "t.jsonl", trace.replace('\n', end).as_bytes());
        let output = bounded(&["replay", &file, "--gpu", &path, "--format", "csv"]);
        assert_eq!(code(&output), 0, "{}", told(&output));
        stdout(&output)
    };
    assert_eq!(of("\n"), of("\r\n"));
}

#[test]
fn bases_are_names_and_not_paths() {
    let dir = folder();
    for base in ["../../etc/passwd", "/etc/passwd", "gpus/rtx3090.toml", "."] {
        let path = write(&dir, "mine.toml", format!("base = \"{base}\"\n").as_bytes());
        refused(&["catalog", "check", &path], "unknown base");
    }
}

#[test]
fn pipes_and_devices() {
    let dir = folder();
    let pipe = dir.path().join("pipe");
    if !Command::new("mkfifo").arg(&pipe).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: no mkfifo");
        return;
    }
    let trace = root().join("docs/examples/transformer.jsonl");
    let whole = run_on(&trace);
    let writer = {
        let (pipe, text) = (pipe.clone(), std::fs::read(&trace).unwrap());
        std::thread::spawn(move || std::fs::write(pipe, text))
    };
    // Recordings are named after their files.
    assert_eq!(run_on(&pipe).replace("\npipe,", "\ntransformer.jsonl,"), whole);
    writer.join().unwrap().unwrap();
    refused(&["replay", "/dev/zero", "--gpu", "rtx3090"], "");
    refused(&["study", "/dev/zero"], "larger than 1 MiB");
    refused(&["diff", "/dev/zero", "/dev/zero"], "larger than 512 MiB");
    refused(&["replay", "/dev/null", "--gpu", "rtx3090"], "the file is empty");
}

fn run_on(trace: &Path) -> String {
    let output =
        bounded(&["replay", trace.to_str().unwrap(), "--gpu", "rtx3090", "--format", "csv"]);
    assert_eq!(code(&output), 0, "{}", told(&output));
    stdout(&output)
}

fn listing(folder: &Path) -> String {
    let mut out = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let _ = writeln!(out, "{}", entry.unwrap().path().display());
    }
    out
}

/// Commands that write do so in the folder that they are given; working folder, home and the folder for
/// temporary files stay empty.
#[test]
fn nothing_is_written_elsewhere() {
    let empty: [TempDir; 3] = [folder(), folder(), folder()];
    let out = folder();
    let at = |name: &str| out.path().join(name).display().to_string();
    let trace = root().join("docs/examples/transformer.jsonl").display().to_string();
    let study = root().join("sim/studies/banks.toml").display().to_string();
    let (json, svg, line, page) = (at("r.json"), at("r.svg"), at("t.json"), at("page"));
    let (kept, man) = (at("kept"), at("man"));
    for args in [
        &[
            "replay",
            &trace,
            "--gpu",
            "rtx3090",
            "--format",
            "json",
            "--output",
            &json,
            "--timeline",
            &line,
            "--report",
            &page,
        ][..],
        &["plot", "breakdown", &json, "-o", &svg],
        &["study", &study, "--resolution", "96x54", "--out", &kept],
        &["man", "--out", &man],
        &["explain", &json],
        &["validate", "ngpc"],
    ] {
        let mut command = lumacycle();
        command.current_dir(empty[0].path()).env("HOME", empty[1].path());
        command.env("TMPDIR", empty[2].path()).env_remove("XDG_CACHE_HOME");
        let output = command.args(args).output().unwrap();
        assert_eq!(code(&output), 0, "{args:?}: {}", told(&output));
        for folder in &empty {
            assert_eq!(listing(folder.path()), "", "{args:?}");
        }
    }
    let mut found: Vec<String> = listing(out.path())
        .lines()
        .map(|l| l[out.path().display().to_string().len() + 1..].to_owned())
        .collect();
    found.sort();
    assert_eq!(found, ["kept", "man", "page", "r.data.csv", "r.json", "r.svg", "t.json"]);
}

/// A disk that is full: exit code 5, and neither a half file nor a loss of what was there.
#[test]
fn a_full_disk() {
    let dir = folder();
    let disk = dir.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"]).arg(&disk).output();
    if !mount.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no disk can be mounted");
        return;
    }
    let file = disk.join("list.csv");
    std::fs::write(&file, "old\n").unwrap();
    let output =
        bounded(&["catalog", "list", "--format", "json", "--output", file.to_str().unwrap()]);
    let (left, names) = (std::fs::read_to_string(&file).unwrap(), listing(&disk));
    let unmounted = Command::new("umount").arg(&disk).status().unwrap();
    assert!(unmounted.success());
    assert_eq!((code(&output), left.as_str()), (5, "old\n"), "{}", told(&output));
    assert_eq!(names.lines().count(), 1, "{names}");
}
