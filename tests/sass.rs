//! Instruction traces as Accel-Sim records them: replayed, packed, and damaged.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on should stop there, and says so on stderr"
)]

mod support;

use serde_json::Value;
use support::{code, folder, gzip, run, stderr, stdout, told, write};
use tempfile::TempDir;

/// A kernel of `blocks` blocks of two warps: each loads 128 bytes in `loads` places, one behind
/// the other or all at once, and adds them up.
fn kernel(name: &str, blocks: u32, loads: u32, chased: bool) -> String {
    let mut text = format!(
        "-kernel name = {name}\n-kernel id = 1\n-grid dim = ({blocks},1,1)\n-block dim = (64,1,1)\n-shmem = 0\n-nregs = 32\n-binary version = 86\n-cuda stream id = 0\n-shmem base_addr = 0x00007f0000000000\n-local mem base_addr = 0x00007f1000000000\n-nvbit version = 1.5.5\n-accelsim tracer version = 4\n\n#traces format = [line_num] PC mask dest_num [reg_dests] opcode src_num [reg_srcs] mem_width [adrrescompress?] [mem_addresses]\n\n"
    );
    for block in 0..blocks {
        text += &format!("#BEGIN_TB\n\nthread block = {block},0,0\n\n");
        for warp in 0..2 {
            text += &format!("warp = {warp}\ninsts = {}\n", 2 * loads + 1);
            for load in 0..loads {
                let address =
                    0x7e00_0000_0000_u64 + u64::from(load * blocks * 2 + block * 2 + warp) * 128;
                let from = if chased && load > 0 { 8 + load - 1 } else { 2 };
                text += &format!(
                    "{:04x} ffffffff 1 R{} LDG.E 1 R{from} 4 1 0x{address:x} 4 0 \n",
                    load * 16,
                    8 + load
                );
            }
            for load in 0..loads {
                let pc = (loads + load) * 16;
                text += &format!("{pc:04x} ffffffff 1 R4 FADD 2 R4 R{} 0 0 \n", 8 + load);
            }
            text += &format!("{:04x} ffffffff 0 EXIT 0 0 0 \n\n", loads * 32);
        }
        text += "#END_TB\n\n";
    }
    text
}

fn replay(folder: &TempDir, list: &str, more: &[&str]) -> (i32, Value, String) {
    let path = write(folder, "kernelslist.g", list.as_bytes());
    let mut args = vec!["replay", &path, "--gpu", "rtx3070", "--cold-l2", "--format", "json"];
    args.extend(more);
    let output = run(&args);
    assert!(!told(&output).contains("panicked"), "{}", told(&output));
    let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (code(&output), json, told(&output))
}

fn times(json: &Value) -> Vec<(String, f64)> {
    let kernels = json[0]["kernels"].as_array().unwrap();
    let mut times: Vec<_> = kernels
        .iter()
        .map(|k| (k["name"].as_str().unwrap().to_owned(), k["predicted_us"].as_f64().unwrap()))
        .collect();
    times.sort_by(|a, b| a.0.cmp(&b.0));
    times
}

#[test]
fn a_list_with_copies_and_kernels_is_replayed() {
    let folder = folder();
    write(&folder, "kernel-1.traceg", kernel("once", 40, 8, false).as_bytes());
    // Packed since the list was written, in two ways; and a name that says xz.
    write(&folder, "kernel-2.traceg.gz", &gzip(kernel("chased", 40, 8, true).as_bytes()));
    let zst = zstd::stream::encode_all(kernel("large", 4000, 8, false).as_bytes(), 1).unwrap();
    write(&folder, "kernel-3.traceg.zst", &zst);
    let list = "MemcpyHtoD,0x00007e0000000000,1048576\nkernel-1.traceg\nkernel-2.traceg\nkernel-3.traceg.xz\nkernel-1.traceg\n";
    let (status, json, told) = replay(&folder, list, &[]);
    assert_eq!(status, 0, "{told}");
    assert_eq!(json[0]["events"], 5);
    assert_eq!(json[0]["distinct"], 4);
    assert!(json[0]["assumptions"].to_string().contains("no error can be stated"));
    assert!(json[0]["totals"]["error_pct"].is_null());
    let times = times(&json);
    let of = |name: &str| times.iter().find(|(n, _)| n == name).unwrap().1;
    // Eight round trips one behind the other take about eight times as long as at once; the
    // launch itself is in both.
    assert!(of("chased") - of("once") > 1.0, "{times:?}");
    // 8 MB at 448 GB/s are at least 18 us.
    assert!(of("large") > 18.0 && of("large") < 60.0, "{times:?}");
    // 1 MiB over PCIe.
    assert!(of("MemcpyHtoD") > 30.0, "{times:?}");
}

#[test]
fn stats_and_conversion_keep_what_was_counted() {
    let folder = folder();
    write(&folder, "kernel-1.traceg", kernel("f", 8, 4, false).as_bytes());
    let list = write(&folder, "kernelslist.g", b"kernel-1.traceg\n");
    let output = run(&["trace", "stats", &list]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("64 fp32, 64 memory, 16 control"), "{text}");
    assert!(!text.contains("NaN"), "{text}");

    let converted = format!("{}/out.jsonl", folder.path().display());
    assert_eq!(code(&run(&["trace", "convert", &list, "--output", &converted])), 0);
    let predicted = |path: &str| {
        let output = run(&["replay", path, "--gpu", "a100", "--format", "json"]);
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        json[0]["kernels"][0]["predicted_us"].as_f64().unwrap()
    };
    let single = format!("{}/kernel-1.traceg", folder.path().display());
    assert_eq!(predicted(&list), predicted(&converted));
    assert_eq!(predicted(&list), predicted(&single));
}

#[test]
fn bad_lists_and_traces_say_where() {
    let folder = folder();
    let good = kernel("f", 4, 2, false);
    write(&folder, "good.traceg", good.as_bytes());
    write(&folder, "kernel-cut.traceg", &good.as_bytes()[..good.len() / 2]);
    write(&folder, "kernel-junk.traceg", &[0x9c, 0xff, 0x00, 0x07, 0xde].repeat(5000));
    write(&folder, "kernel-xz.traceg.xz", b"\xfd7zXZ\0abc");
    write(&folder, "kernel-bomb.traceg.gz", &gzip(&vec![b'0'; 50_000_000]));
    write(&folder, "kernel-gz.traceg.gz", &gzip(good.as_bytes())[..100]);
    write(
        &folder,
        "kernel-raw.traceg",
        b"-grid dim = (1,1,1)\n-block dim = (32,1,1)\n0 0 0 0 0000 ffffffff 0 EXIT 0 0 0\n",
    );
    let absurd = good.replace("(4,1,1)", "(2147483647,65535,65535)");
    write(&folder, "kernel-absurd.traceg", absurd.as_bytes());
    let partial = good.replace("(4,1,1)", "(1000000,1,1)");
    write(&folder, "kernel-partial.traceg", partial.as_bytes());
    for (entry, words) in [
        ("kernel-7.traceg", "there is no kernel-7.traceg beside the list"),
        ("kernel/../../etc/passwd.traceg", "no plain file name"),
        ("kernel-cut.traceg", "kernel-cut.traceg: the file breaks off"),
        ("kernel-junk.traceg", "kernel-junk.traceg"),
        ("kernel-xz.traceg.xz", "xz -d"),
        ("kernel-bomb.traceg.gz", "more than 65535 characters"),
        ("kernel-gz.traceg.gz", "gzip data is damaged or cut short"),
        ("kernel-raw.traceg", "post-traces-processing"),
        ("kernel-absurd.traceg", "it must lie between 0 and 1e18"),
        ("MemcpyHtoD,0x0", "MemcpyHtoD,ADDRESS,BYTES"),
    ] {
        let first = if entry.starts_with("Memcpy") { "" } else { "MemcpyHtoD,0x0,64\n" };
        let (status, json, told) = replay(&folder, &format!("{first}{entry}\n"), &[]);
        assert_eq!((status, json), (3, Value::Null), "{entry}: {told}");
        assert!(told.contains(words), "{entry}: {told}");
    }
    // Blocks that are missing are taken to be like those that are there.
    let (status, json, told) = replay(&folder, "kernel-partial.traceg\n", &[]);
    assert_eq!(status, 0, "{told}");
    assert!(json[0]["assumptions"].to_string().contains("holds 4 of"), "{json}");
    // Damage behind a whole block can be passed over.
    let (status, json, told) = replay(&folder, "kernel-cut.traceg\n", &["--keep-going"]);
    assert_eq!(status, 0, "{told}");
    assert!(told.contains("reading stopped at damage"), "{told}");
    assert_eq!(json[0]["events"], 1);
}

#[test]
fn unknown_opcodes_are_told_and_strict_refuses_them() {
    let folder = folder();
    let text = kernel("f", 4, 2, false).replace("FADD", "FROBNICATE.X");
    write(&folder, "kernel-1.traceg", text.as_bytes());
    let (status, _, told) = replay(&folder, "kernel-1.traceg\n", &[]);
    assert_eq!(status, 0, "{told}");
    assert!(
        told.contains("16 × opcode not in the table") && told.contains("FROBNICATE.X"),
        "{told}"
    );
    assert_eq!(replay(&folder, "kernel-1.traceg\n", &["--strict"]).0, 3);
}
