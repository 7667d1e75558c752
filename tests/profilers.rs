//! Exports of NVIDIA's profilers, from a file to a result.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on should stop there, and says so on stderr"
)]

mod support;

use serde_json::Value;
use support::{code, folder, gzip, run, stdout, told, write};

const HEADER: &str = "Start (ns),Duration (ns),CorrId,GrdX,GrdY,GrdZ,BlkX,BlkY,BlkZ,Reg/Trd,StcSMem (MB),DymSMem (MB),Bytes (MB),Throughput (MB/s),SrcMemKd,DstMemKd,Device,Ctx,Strm,Name";
const GEMM: &str = "ampere_fp16_s16816gemm_fp16_128x64_ldg8_f2f_stages_64x4_tn";
const ADD: &str = "void at::native::vectorized_elementwise_kernel<(int)4, at::native::CUDAFunctor_add<float>, std::array<char *, (unsigned long)3>>(int, T2, T3)";

/// A timeline: a copy, then a product and an addition on two streams, twenty times.
fn rows() -> Vec<[u64; 4]> {
    let mut rows = Vec::new();
    for step in 0..20 {
        let at = 1_000_000 + step * 200_000;
        rows.extend([[at, 20_000, 0, 7], [at + 30_000, 60_000, 1, 7], [at + 50_000, 75_000, 2, 9]]);
    }
    rows
}

fn timeline(device: &str) -> String {
    let mut text = format!("{HEADER}\n");
    for [start, duration, what, stream] in rows() {
        let row = match what {
            // 262,144 bytes in that time, to three places.
            0 => format!(
                ",,,,,,,,,0.262,{:.3},Pinned,Device,{device} (0),1,{stream},[CUDA memcpy Host-to-Device]",
                262_144_000.0 / duration as f64
            ),
            1 => format!("8,8,1,128,1,1,90,0.000,0.098,,,,,{device} (0),1,{stream},{GEMM}"),
            _ => format!("16384,1,1,128,1,1,28,0.000,0.000,,,,,{device} (0),1,{stream},\"{ADD}\""),
        };
        let comma = if what == 0 { "," } else { "" };
        text +=
            &format!("{start},{duration},1,{comma}{}\n", row.strip_prefix(comma).unwrap_or(&row));
    }
    text
}

#[cfg(feature = "sqlite")]
fn database(path: &str, device: &str) {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut sql = format!("BEGIN;
        CREATE TABLE StringIds (id INTEGER PRIMARY KEY, value TEXT);
        INSERT INTO StringIds VALUES (1, '{GEMM}'), (2, '{ADD}');
        CREATE TABLE TARGET_INFO_GPU (id INTEGER, name TEXT, computeMajor INTEGER, computeMinor INTEGER);
        INSERT INTO TARGET_INFO_GPU VALUES (0, '{device}', 8, 0);
        CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER, end INTEGER, deviceId INTEGER, streamId INTEGER, demangledName INTEGER,
          gridX INTEGER, gridY INTEGER, gridZ INTEGER, blockX INTEGER, blockY INTEGER, blockZ INTEGER,
          registersPerThread INTEGER, staticSharedMemory INTEGER, dynamicSharedMemory INTEGER);
        CREATE TABLE CUPTI_ACTIVITY_KIND_MEMCPY (start INTEGER, end INTEGER, deviceId INTEGER, streamId INTEGER, bytes INTEGER,
          copyKind INTEGER, srcKind INTEGER, dstKind INTEGER);");
    for [start, duration, what, stream] in rows() {
        let end = start + duration;
        sql += &match what {
            0 => format!(
                "INSERT INTO CUPTI_ACTIVITY_KIND_MEMCPY VALUES ({start}, {end}, 0, {stream}, 262144, 1, 1, 2);"
            ),
            1 => format!(
                "INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES ({start}, {end}, 0, {stream}, 1, 8, 8, 1, 128, 1, 1, 90, 0, 98304);"
            ),
            _ => format!(
                "INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES ({start}, {end}, 0, {stream}, 2, 16384, 1, 1, 128, 1, 1, 28, 0, 0);"
            ),
        };
    }
    connection.execute_batch(&(sql + "COMMIT;")).unwrap();
}

fn replay(path: &str, more: &[&str]) -> (i32, Value, String) {
    let mut args = vec!["replay", path, "--format", "json"];
    args.extend(more);
    let output = run(&args);
    let words = told(&output);
    assert!(!words.contains("panicked"), "{words}");
    (code(&output), serde_json::from_slice(&output.stdout).unwrap_or(Value::Null), words)
}

#[cfg(feature = "sqlite")]
#[test]
fn a_run_gives_the_same_result_as_csv_and_as_sqlite() {
    let folder = folder();
    let csv = write(&folder, "run.csv.gz", &gzip(timeline("NVIDIA A100-SXM4-80GB").as_bytes()));
    let plain = format!("{}/run.sqlite", folder.path().display());
    database(&plain, "NVIDIA A100-SXM4-80GB");
    let packed = write(&folder, "packed.sqlite.gz", &gzip(&std::fs::read(&plain).unwrap()));
    let gpus = ["--gpu", "a100-sxm4-80gb", "--gpu", "rtx4090"];
    let of = |path: &str| {
        let (status, mut json, words) = replay(path, &gpus);
        assert_eq!(status, 0, "{words}");
        for result in json.as_array_mut().unwrap() {
            // The file itself.
            result["recording"] = Value::Null;
            result["input_hash"] = Value::Null;
        }
        json
    };
    let from_table = of(&csv);
    assert_eq!(from_table[0]["events"], 60);
    assert_eq!(from_table[0]["on_recorded_gpu"], true);
    assert!(from_table[0]["totals"]["predicted_sum_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(from_table, of(&plain));
    assert_eq!(from_table, of(&packed));
}

#[test]
fn kernels_of_a_timeline_are_classified_by_their_names() {
    let folder = folder();
    let path = write(&folder, "run.csv", timeline("NVIDIA A100-SXM4-80GB").as_bytes());
    let output = run(&["trace", "stats", &path]);
    assert_eq!(code(&output), 0, "{}", told(&output));
    let text = stdout(&output);
    for words in
        ["60 events: 40 kernels, 20 copies", "gemm", "elementwise", "NVIDIA A100-SXM4-80GB"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn a_gpu_that_is_not_named_can_be() {
    let folder = folder();
    let path = write(&folder, "run.csv", timeline("GPU in the cellar").as_bytes());
    let (status, json, words) = replay(&path, &["--gpu", "a100-sxm4-80gb"]);
    assert_eq!(status, 0, "{words}");
    assert_eq!(json[0]["on_recorded_gpu"], false);
    assert!(words.contains("\"GPU in the cellar\"") && words.contains("--recorded-gpu"), "{words}");
    let named = ["--gpu", "a100-sxm4-80gb", "--recorded-gpu", "a100-sxm4-80gb"];
    let (_, json, words) = replay(&path, &named);
    assert_eq!(json[0]["on_recorded_gpu"], true);
    assert!(!words.contains("--recorded-gpu"), "{words}");
}

/// Nsight Compute's page of a kernel that adds vectors on a T4 at 585 MHz.
fn profiled(clock: bool) -> String {
    let metrics = [
        ("gpu__time_duration.sum", "us", "50.0"),
        ("gpc__cycles_elapsed.avg.per_second", "Mhz", "585"),
        ("smsp__inst_executed.sum", "inst", "281,376"),
        ("smsp__sass_thread_inst_executed_op_fadd_pred_on.sum", "inst", "1,000,448"),
        ("smsp__sass_thread_inst_executed_op_fmul_pred_on.sum", "inst", "0"),
        ("smsp__sass_thread_inst_executed_op_ffma_pred_on.sum", "inst", "0"),
        ("smsp__sass_inst_executed_op_global_ld.sum", "inst", "62,528"),
        ("smsp__sass_inst_executed_op_global_st.sum", "inst", "31,264"),
        ("lts__t_sectors_op_read.sum", "sector", "250,112"),
        ("lts__t_sectors_op_write.sum", "sector", "125,056"),
        ("dram__bytes_read.sum", "Mbyte", "8.0"),
        ("dram__bytes_write.sum", "Mbyte", "4.0"),
    ];
    let mut text = "==PROF== Connected to process 1\n\"ID\",\"Process ID\",\"Kernel Name\",\"Stream\",\"Block Size\",\"Grid Size\",\"Device\",\"CC\",\"Metric Name\",\"Metric Unit\",\"Metric Value\"\n".to_owned();
    for (name, unit, value) in metrics.iter().filter(|m| clock || !m.0.starts_with("gpc")) {
        text += &format!(
            "\"0\",\"1\",\"add(float *, int)\",\"7\",\"(256, 1, 1)\",\"(977, 1, 1)\",\"0\",\"7.5\",\"{name}\",\"{unit}\",\"{value}\"\n"
        );
    }
    text
}

#[test]
fn profiled_durations_count_only_at_their_clock() {
    let folder = folder();
    let path = write(&folder, "ncu.csv", profiled(true).as_bytes());
    let gpu = ["--gpu", "t4", "--recorded-gpu", "t4"];
    let (status, json, words) = replay(&path, &gpu);
    assert_eq!(status, 0, "{words}");
    assert_eq!(json[0]["classes"][0]["class"], "counters");
    assert!(json[0]["totals"]["error_pct"].is_null(), "{json}");
    let assumptions = json[0]["assumptions"].to_string();
    assert!(assumptions.contains("585 MHz") && assumptions.contains("no plain timings"));
    let same = [&gpu[..], &["--clock", "585 MHz", "--cold-l2"]].concat();
    let (_, json, _) = replay(&path, &same);
    // 12 MB at 320 GB/s at most.
    let error = json[0]["totals"]["error_pct"].as_f64().unwrap();
    assert!(error.abs() < 25.0, "{error}");
    let converted = format!("{}/ncu.jsonl", folder.path().display());
    assert_eq!(code(&run(&["trace", "convert", &path, "--output", &converted])), 0);
    let (_, again, _) = replay(&converted, &same);
    assert_eq!(again[0]["totals"], json[0]["totals"]);
    // A clock that nobody wrote down is never that of the replay.
    let path = write(&folder, "without.csv", profiled(false).as_bytes());
    let (_, json, _) = replay(&path, &same);
    assert!(json[0]["totals"]["error_pct"].is_null());
    assert!(json[0]["assumptions"].to_string().contains("base clock of 585 MHz"), "{json}");
}

#[test]
fn a_list_without_its_traces_still_says_what_it_asks_for() {
    let folder = folder();
    let text = "MemcpyHtoD,0x7f00,1024\nkernel-1.traceg\nkernel-2.traceg\nMemcpyDtoH,0x7f00,64\n";
    let path = write(&folder, "kernelslist.g", text.as_bytes());
    let (status, _, words) = replay(&path, &["--gpu", "rtx3070"]);
    assert_eq!(status, 3);
    assert!(words.contains("2 launches, of which 0 have their file, and 2 copies"), "{words}");
    let output = run(&["trace", "stats", &path, "--keep-going"]);
    assert_eq!(code(&output), 0, "{}", told(&output));
    let text = stdout(&output);
    assert!(text.contains("4 events: 2 kernels, 2 copies"), "{text}");
    assert!(text.contains("2 × kernel whose .traceg file is not beside the list"), "{text}");
    assert_eq!(code(&run(&["trace", "stats", &path, "--keep-going", "--strict"])), 3);
}

#[test]
fn bad_exports_end_with_one_message() {
    let folder = folder();
    let timeline = timeline("NVIDIA A100-SXM4-80GB");
    for (name, bytes, words) in [
        ("locale.csv", timeline.replace(",75000,", ",\"75000,5\",").into_bytes(), "LC_ALL=C"),
        ("error.csv", b"==PROF== Connected\n==ERROR== No permission\n".to_vec(), "No permission"),
        ("cut.csv.gz", gzip(timeline.as_bytes())[..200].to_vec(), "gzip data is damaged"),
        ("db.sqlite", [&b"SQLite format 3\0"[..], &[7; 4000]].concat(), "SQLite"),
        ("nul.csv", b"\0\0\0\0\0".to_vec(), "binary file"),
    ] {
        let path = write(&folder, name, &bytes);
        let (status, json, told) = replay(&path, &["--gpu", "a100"]);
        assert_eq!((status, json), (3, Value::Null), "{name}: {told}");
        assert!(told.contains(words), "{name}: {told}");
    }
}
