//! Small exports of each kind, as the tools write them and as they should not be.

#[cfg(feature = "sqlite")]
mod databases;

use std::path::PathBuf;

use lumacycle_workloads::Launch;
use lumacycle_workloads::ops::Operation;
use proptest::prelude::*;

use crate::recording::{EventKind, Recording};
use crate::source::{self, ReadOptions};

/// Writes a file into a folder of its own and reads it.
fn read_with(name: &str, bytes: &[u8], options: ReadOptions) -> Result<Vec<Recording>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let result = source::read(&path, options);
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1, "something was written beside {name}");
    result.map_err(|error| {
        let help = miette::Diagnostic::help(&error).map(|help| help.to_string());
        format!("{error} // {}", help.unwrap_or_default())
    })
}

fn read(name: &str, bytes: &[u8]) -> Result<Recording, String> {
    read_with(name, bytes, ReadOptions::default()).map(|mut all| all.remove(0))
}

fn text(text: &str) -> Result<Recording, String> {
    read("export.csv", text.as_bytes())
}

/// What a recording holds, without what the file does not tell.
fn content(recording: &Recording) -> Vec<String> {
    let event = |event: &crate::Event| {
        let s = recording.signature(event);
        format!(
            "{} {} {} {} {:?} {} {:?} {:?} {:?}",
            event.start_ps,
            event.duration_ps,
            event.stream,
            event.device,
            s.kind,
            s.name,
            s.launch,
            s.bytes,
            s.work
        )
    };
    recording.events.iter().map(event).collect()
}

const OF_2022: &str = "Start (ns),Duration (ns),CorrId,GrdX,GrdY,GrdZ,BlkX,BlkY,BlkZ,Reg/Trd,StcSMem (MB),DymSMem (MB),Bytes (MB),Throughput (MBps),SrcMemKd,DstMemKd,Device,Ctx,Strm,Name\n\
1000,2500,11,None,None,None,None,None,None,None,None,None,0.037,14745.600,Pageable,Device,NVIDIA A100-PCIE-40GB (0),1,20,[CUDA memcpy HtoD]\n\
5000,9000,12,9,2,1,256,1,1,26,0.000,0.049,None,,None,None,NVIDIA A100-PCIE-40GB (0),1,19,\"void f<float, 2>(T1, int)\"\n\
15000,800,13,None,None,None,None,None,None,None,None,None,0.000,10.000,Device,None,NVIDIA A100-PCIE-40GB (0),1,19,[CUDA memset]\n";

const OF_2023: &str = "Start (ns),Duration (ns),CorrId,GrdX,GrdY,GrdZ,BlkX,BlkY,BlkZ,Reg/Trd,StcSMem (MB),DymSMem (MB),Bytes (MB),Throughput (MB/s),SrcMemKd,DstMemKd,Device,Ctx,GreenCtx,Strm,Name\n\
1000,2500,11,,,,,,,,,,0.037,14745.600,Pageable,Device,NVIDIA A100-PCIE-40GB (0),1,,20,[CUDA memcpy Host-to-Device]\n\
5000,9000,12,9,2,1,256,1,1,26,0.000,0.049,,,,,NVIDIA A100-PCIE-40GB (0),1,,19,\"void f<float, 2>(T1, int)\"\n\
15000,800,13,,,,,,,,,,0.000,10.000,Device,,NVIDIA A100-PCIE-40GB (0),1,,19,[CUDA memset]\n";

const IN_BYTES: &str = "Start (ns),Duration (ns),CorrId,GrdX,GrdY,GrdZ,BlkX,BlkY,BlkZ,Reg/Trd,StcSMem (byte),DymSMem (byte),Bytes (byte),SrcMemKd,DstMemKd,Device,Ctx,Strm,Name\n\
1000,2500,11,,,,,,,,,,36864,Pageable,Device,NVIDIA A100-PCIE-40GB (0),1,20,[CUDA memcpy HtoD]\n\
5000,9000,12,9,2,1,256,1,1,26,0,49152,,,,NVIDIA A100-PCIE-40GB (0),1,19,\"void f<float, 2>(T1, int)\"\n\
15000,800,13,,,,,,,,,,8,Device,,NVIDIA A100-PCIE-40GB (0),1,19,[CUDA memset]\n";

#[test]
fn timelines_of_all_years_are_the_same() {
    let first = text(OF_2022).unwrap();
    assert_eq!(first.devices[0].name, "NVIDIA A100-PCIE-40GB");
    assert_eq!((first.events.len(), first.skipped.len()), (3, 0));
    assert_eq!(first.events[1].start_ps, 4_000_000);
    let [copy, kernel, fill] = [0, 1, 2].map(|i| first.signature(&first.events[i]).clone());
    assert_eq!((copy.kind, copy.bytes), (EventKind::Memcpy, Some(36_864)));
    assert_eq!(copy.name.as_ref(), "Memcpy HtoD (Pageable -> Device)");
    let launch =
        Launch { grid: [9, 2, 1], block: [256, 1, 1], registers: 26, shared_bytes: 49_152 };
    assert_eq!(kernel.launch, Some(launch));
    assert_eq!(kernel.name.as_ref(), "void f<float, 2>(T1, int)");
    assert_eq!((fill.name.as_ref(), fill.bytes), ("Memset (Device)", Some(8)));
    for (what, other) in [
        ("2023", OF_2023.to_owned()),
        ("bytes", IN_BYTES.to_owned()),
        ("CRLF", OF_2022.replace('\n', "\r\n")),
        ("BOM", format!("\u{feff}{OF_2023}")),
        ("preamble", format!("Generating SQLite file\n[1/2] a, b, c\nit's \"so\n\n{OF_2023}")),
        (
            "other report first",
            format!("Time (%),Total Time (ns),Num Calls,Name\n1,2,3,x\n\n{OF_2023}"),
        ),
        (
            "other report behind",
            format!("{OF_2023}\nProcessing [x.sqlite] with [y.py]...\nA,B\n1,2\n"),
        ),
    ] {
        let other = text(&other).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(content(&other), content(&first), "{what}");
        assert!(other.skipped.is_empty(), "{what}: {:?}", other.skipped);
    }
    let wide: Vec<u8> =
        std::iter::once(0xfeff).chain(OF_2023.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    assert_eq!(content(&read("utf16.csv", &wide).unwrap()), content(&first));
}

#[test]
fn other_units_of_time_are_read() {
    let in_ms = "Start (ms),Duration (us),GrdX,GrdY,GrdZ,BlkX,BlkY,BlkZ,Device,Strm,Name\n0.001,2.5,1,1,1,32,1,1,0,7,f\n0.004,1,1,1,1,32,1,1,0,7,f\n";
    let found = text(in_ms).unwrap();
    assert_eq!((found.events[0].duration_ps, found.events[1].start_ps), (2_500_000, 3_000_000));
    let told = text(&in_ms.replace("(us)", "(fortnights)")).unwrap_err();
    assert!(told.contains("fortnights") && told.contains("line 1"), "{told}");
}

#[test]
fn decimal_commas_are_refused_with_their_line() {
    let told = text(&OF_2022.replace("5000,9000", "\"5000,5\",9000")).unwrap_err();
    assert!(told.contains("\"5000,5\"") && told.contains("line 3"), "{told}");
    assert!(told.contains("LC_ALL=C"), "{told}");
    let told = text(&OF_2022.replace(',', ";")).unwrap_err();
    assert!(told.contains("semicolons"), "{told}");
}

#[test]
fn rows_that_are_none_are_counted_and_strict_refuses_them() {
    let odd = format!(
        "{OF_2022}some words\n20000,soon,1,1,1,1,1,1,1,1,0,0,None,,None,None,X (0),1,7,f\n30000,-5,1,1,1,1,1,1,1,1,0,0,None,,None,None,X (0),1,7,f\n40000,5,1,1,1,1,1,9999,1,1,0,0,None,,None,None,X (0),1,7,f\n50000,5,1,,,,,,,,,,,,,,X (0),1,7,[Unified Memory GPU page faults]\n"
    );
    let found = text(&odd).unwrap();
    let reasons: Vec<&str> = found.skipped.iter().map(|s| s.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "line that is no row of the table",
            "row without a readable start and duration",
            "GPU activity with negative duration",
            "launch shape beyond CUDA's limits",
            "activity that is neither kernel nor copy nor fill",
        ]
    );
    let strict = ReadOptions { strict: true, keep_going: false };
    assert!(read_with("t.csv", odd.as_bytes(), strict).unwrap_err().contains("not understood"));
}

const NVPROF: &str = "==77== NVPROF is profiling process 77, command: ./a\n==77== Warning: something, or other\n==77== Profiling result:\n\
\"Start\",\"Duration\",\"Grid X\",\"Grid Y\",\"Grid Z\",\"Block X\",\"Block Y\",\"Block Z\",\"Registers Per Thread\",\"Static SMem\",\"Dynamic SMem\",\"Size\",\"Throughput\",\"SrcMemType\",\"DstMemType\",\"Device\",\"Context\",\"Stream\",\"Name\",\"Correlation_ID\"\n\
s,ms,,,,,,,,KB,B,MB,GB/s,,,,,,,\n\
8.362723,0.190368,,,,,,,,,,0.562500,2.885550,\"Pageable\",\"Device\",\"NVIDIA Tegra X1 (0)\",\"1\",\"7\",\"[CUDA memcpy HtoD]\",135\n\
8.378926,0.474643,8,1,1,256,1,1,50,4.125000,64,,,,,\"NVIDIA Tegra X1 (0)\",\"1\",\"7\",\"_Z1fv\",153\n";

#[test]
fn nvprof_has_units_in_a_row_and_binary_kilobytes() {
    let found = text(NVPROF).unwrap();
    assert_eq!((found.events.len(), found.skipped.len()), (2, 0));
    assert_eq!(found.events[0].duration_ps, 190_368_000);
    assert_eq!(found.events[1].start_ps, 16_203_000_000);
    assert_eq!(found.signature(&found.events[0]).bytes, Some(589_824));
    let launch = found.signature(&found.events[1]).launch.unwrap();
    assert_eq!((launch.registers, launch.shared_bytes), (50, 4224 + 64));
    let metrics = "==7== Metric result:\n\"Device\",\"Kernel\",\"Invocations\",\"Metric Name\",\"Metric Description\",\"Min\",\"Max\",\"Avg\"\n\"X\",\"f\",1,\"ipc\",\"Executed IPC\",2,2,2\n";
    let told = text(metrics).unwrap_err();
    assert!(told.contains("nvprof's metrics") && told.contains("--print-gpu-trace"), "{told}");
}

#[test]
fn summaries_stand_for_their_launches() {
    let summary = "Time (%),Total Time (ns),Instances,Avg (ns),Med (ns),Min (ns),Max (ns),StdDev (ns),GridXYZ,BlockXYZ,Name\n60.0,1000,3,333.3,333.0,1,999,1.0,   8   32    1,  32   32    1,\"f<a, b>\"\n40.0,700,1,700.0,700.0,700,700,0.0,91344    1    1, 128    1    1,g\n";
    let found = text(summary).unwrap();
    let durations: Vec<i64> = found.events.iter().map(|event| event.duration_ps).collect();
    assert_eq!(durations, [333_334, 333_333, 333_333, 700_000]);
    assert_eq!(found.events[3].start_ps, 1_000_000);
    assert_eq!(found.signatures[1].launch.unwrap().grid, [91_344, 1, 1]);
    assert!(found.notes[0].contains("mean duration"));
    let bare =
        summary.replace("GridXYZ,BlockXYZ,", "").replace("   8   32    1,  32   32    1,", "");
    let bare = bare.replace("91344    1    1, 128    1    1,", "");
    let found = text(&bare).unwrap();
    assert!(found.signatures[0].launch.is_none() && found.notes[0].contains("cuda_gpu_trace"));
    let told = text(&summary.replace(",1000,3,", ",1000,3000000,")).unwrap_err();
    assert!(told.contains("two million") && told.contains("line 2"), "{told}");
}

/// Metrics of a launch that adds vectors: name, unit and value on one page.
const METRICS: [(&str, &str, &str); 19] = [
    ("gpu__time_duration.sum", "usecond", "47.81"),
    ("gpc__cycles_elapsed.avg.per_second", "cycle/usecond", "584.33"),
    ("smsp__cycles_elapsed.avg", "cycle", "25,000.00"),
    ("launch__registers_per_thread", "register/thread", "26"),
    ("launch__shared_mem_per_block_static", "byte/block", "128"),
    ("launch__shared_mem_per_block_dynamic", "Kbyte/block", "1.024"),
    ("smsp__inst_executed.sum", "inst", "281,376"),
    ("smsp__sass_thread_inst_executed_op_fadd_pred_on.sum.per_cycle_elapsed", "inst/cycle", "40"),
    ("smsp__sass_thread_inst_executed_op_fmul_pred_on.sum.per_cycle_elapsed", "inst/cycle", "0"),
    ("smsp__sass_thread_inst_executed_op_ffma_pred_on.sum.per_cycle_elapsed", "inst/cycle", "0"),
    ("smsp__inst_executed_op_branch.sum", "inst", "7,816"),
    ("smsp__sass_inst_executed_op_global_ld.sum", "inst", "62,528"),
    ("smsp__sass_inst_executed_op_global_st.sum", "inst", "31,264"),
    ("lts__t_sectors_op_read.sum", "sector", "250,112"),
    ("lts__t_sectors_op_write.sum", "sector", "125,056"),
    ("dram__bytes_read.sum", "Mbyte", "8.935232"),
    ("dram__sectors_write.sum", "sector", "114,102"),
    ("sm__warps_active.avg.per_cycle_active", "warp", "28.9"),
    ("smsp__thread_inst_executed_per_inst_executed.ratio", "", "25"),
];
const HEAD: &str = "\"ID\",\"Process ID\",\"Process Name\",\"Host Name\",\"Kernel Name\",\"Context\",\"Stream\",\"Block Size\",\"Grid Size\",\"Device\",\"CC\"";
const ROW: &str = "\"7\",\"a.out\",\"127.0.0.1\",\"add(float *, int)\",\"1\",\"7\",\"(256, 1, 1)\",\"(977, 1, 1)\",\"0\",\"7.5\"";

fn long(metrics: &[(&str, &str, &str)], launches: u32) -> String {
    let mut out = format!(
        "{HEAD},\"Section Name\",\"Metric Name\",\"Metric Unit\",\"Metric Value\",\"Rule Name\"\n"
    );
    for id in 0..launches {
        for (name, unit, value) in metrics {
            out += &format!("\"{id}\",{ROW},\"S\",\"{name}\",\"{unit}\",\"{value}\",\n");
        }
        out += &format!("\"{id}\",{ROW},\"S\",\"\",\"\",\"\",\"Rule\"\n");
    }
    out
}

fn wide(metrics: &[(&str, &str, &str)], launches: u32) -> String {
    let list = |cell: fn(&(&str, &str, &str)) -> String| -> String {
        metrics.iter().fold(String::new(), |list, m| list + ",\"" + &cell(m) + "\"")
    };
    let blanks = ",\"\"".repeat(10);
    let mut out = format!("{HEAD}{}\n\"\"{blanks}{}\n", list(|m| m.0.into()), list(|m| m.1.into()));
    for id in 0..launches {
        out += &format!("\"{id}\",{ROW}{}\n", list(|m| m.2.into()));
    }
    out
}

#[test]
fn counters_come_out_the_same_from_both_pages() {
    let messages = "==PROF== Connected to process 7\nSum: 3\n{ \"a\": 1, \"b\": 2 }\n";
    let found = text(&format!("{messages}{}", long(&METRICS, 2))).unwrap();
    assert_eq!((found.events.len(), found.signatures.len()), (2, 1));
    assert_eq!(found.events[1].start_ps, 47_810_000);
    assert!((found.profiled.unwrap().clock_hz.unwrap() / 584.33e6 - 1.0).abs() < 1e-9);
    assert_eq!(found.devices[0].compute_capability, 75);
    let Some(Operation::Counters(counters)) = &found.signatures[0].work else { panic!() };
    let launch =
        Launch { grid: [977, 1, 1], block: [256, 1, 1], registers: 26, shared_bytes: 1152 };
    assert_eq!(counters.launch, launch);
    // 25 threads of a warp are active.
    assert!((counters.fp32 - 40.0 * 25_000.0 / 25.0).abs() < 1e-6);
    assert_eq!(counters.active_threads, 25.0);
    assert_eq!((counters.memory, counters.loads, counters.control), (93_792.0, 62_528.0, 7816.0));
    assert!((counters.instructions() - 281_376.0).abs() < 1e-6);
    assert_eq!(counters.l2_read_bytes, 250_112.0 * 32.0);
    assert_eq!(counters.dram_write_bytes, 114_102.0 * 32.0);
    assert!((counters.dram_read_bytes - 8_935_232.0).abs() < 1e-3);
    for other in [wide(&METRICS, 2), format!("\u{feff}{}", wide(&METRICS, 2).replace('\n', "\r\n"))]
    {
        let other = text(&other).unwrap();
        assert_eq!(content(&other), content(&found));
        assert_eq!(other.profiled, found.profiled);
    }
}

#[test]
fn spellings_of_units_make_no_difference() {
    let of = |unit: &str, value: &str| {
        let metrics =
            METRICS.map(|m| if m.0 == "gpu__time_duration.sum" { (m.0, unit, value) } else { m });
        text(&long(&metrics, 1)).unwrap().events[0].duration_ps
    };
    for (unit, value) in [
        ("us", "47.81"),
        ("ns", "47,810"),
        ("nsecond", "47810"),
        ("msecond", "0.04781"),
        ("s", "0.00004781"),
    ] {
        assert_eq!(of(unit, value), 47_810_000, "{unit}");
    }
    let furlongs = METRICS.map(|m| if m.1 == "sector" { (m.0, "furlong", m.2) } else { m });
    let found = text(&wide(&furlongs, 1)).unwrap();
    assert!(found.signatures[0].work.is_none());
    assert!(found.skipped[0].reason.contains("unit that is not known"));
    let locale =
        METRICS.map(|m| if m.0 == "smsp__inst_executed.sum" { (m.0, m.1, "281.376,0") } else { m });
    let told = text(&long(&locale, 1)).unwrap_err();
    assert!(told.contains("decimal comma") && told.contains("281.376,0"), "{told}");
}

#[test]
fn launches_whose_counters_do_not_suffice_keep_their_name() {
    let few: Vec<_> = METRICS.iter().filter(|m| !m.0.contains("dram")).copied().collect();
    let found = text(&long(&few, 3)).unwrap();
    assert_eq!((found.events.len(), found.signatures[0].work.is_some()), (3, false));
    assert!(
        found.notes[1].contains("3 profiled launches")
            && found.notes[1].contains("traffic of DRAM")
    );
    let mut tensors = METRICS.to_vec();
    tensors.push((
        "sm__inst_executed_pipe_tensor_op_hmma.avg.pct_of_peak_sustained_active",
        "%",
        "40.1",
    ));
    let found = text(&wide(&tensors, 1)).unwrap();
    assert!(found.signatures[0].work.is_none() && found.notes[1].contains("tensor cores"));
    // Names of old, and a launch shape as totals only.
    let old = [
        ("gpu__time_duration", "nsecond", "2,720.00"),
        ("gpc__frequency", "hz", "2,122,518,382.35"),
        ("launch__grid_size", "", "12.00"),
        ("launch__block_size", "", "1,024.00"),
    ];
    let old = wide(&old, 1).replace("\"Grid Size\"", "\"G\"").replace("\"Block Size\"", "\"B\"");
    let found = text(&old).unwrap();
    assert_eq!(found.signatures[0].launch.unwrap().grid, [12, 1, 1]);
    assert_eq!(found.events[0].duration_ps, 2_720_000);
}

#[test]
fn launches_that_counted_otherwise_are_others() {
    let other = METRICS.map(|m| if m.0 == "dram__bytes_read.sum" { (m.0, m.1, "12.5") } else { m });
    let second = long(&other, 1).replace("\"0\",\"7\"", "\"9\",\"7\"");
    let rows = second.split_once('\n').unwrap().1;
    let found = text(&(long(&METRICS, 2) + rows)).unwrap();
    assert_eq!((found.events.len(), found.signatures.len()), (3, 2));
}

#[test]
fn what_is_refused_says_what_it_is() {
    let nsys = " Time (%)  Total Time (ns)  Instances  Name\n --------  ------\n 18,1      3  f\n";
    let page = "[185098] python@127.0.0.1\n  f (1, 1, 1)x(32, 1, 1), Context 1\n    Section: GPU Speed Of Light Throughput\n";
    for (bytes, words) in [
        (&b"==PROF== Connected to process 7\n==PROF== Disconnected from process 7\n==ERROR== The application returned an error code (1).\n"[..], "it says: ==ERROR== The application"),
        (b"==PROF== Connected to process 7\n==PROF== Disconnected from process 7\n", "no kernel was profiled"),
        (nsys.as_bytes(), "Nsight Systems as text"),
        (page.strip_prefix('[').unwrap().as_bytes(), "Nsight Compute's report as text"),
        (b"NVR\0\x02\0\0\0\x08\x07", "binary file"),
        (b"\"\0I\0D\0\"\0,\0", "binary file"),
        (b"hello", "neither JSON nor a table"),
        (b"a,b,c\n1,2,3\n", "columns a, b, c"),
        (b"kernel,\0,3\n", "binary file"),
    ] {
        let told = read("x", bytes).unwrap_err();
        assert!(told.contains(words), "{}: {told}", String::from_utf8_lossy(bytes));
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn containers_and_damage() {
    let whole = read("t.csv.gz", &gzip(OF_2022.as_bytes())).unwrap();
    assert_eq!(content(&whole), content(&text(OF_2022).unwrap()));
    let packed = gzip(OF_2022.repeat(50).as_bytes());
    let told = read("cut.csv.gz", &packed[..packed.len() - 9]).unwrap_err();
    assert!(told.contains("gzip data is damaged"), "{told}");
    let keep_going = ReadOptions { strict: false, keep_going: true };
    let kept = read_with("cut.csv.gz", &packed[..packed.len() - 9], keep_going).unwrap();
    assert!(kept[0].cut.is_some() && kept[0].events.len() >= 3);
    // A gigabyte of zeros, of one letter, and of a quoted cell without end.
    let told = read("zeros.gz", &gzip(&vec![0; 64 << 20])).unwrap_err();
    assert!(told.contains("binary file") || told.contains("characters"), "{told}");
    let told = read("letters.gz", &gzip(&vec![b'a'; 64 << 20])).unwrap_err();
    assert!(told.contains("more than 4194303 characters"), "{told}");
    let cell = format!("{OF_2022}1,2,\"{}", "many words\n".repeat(1 << 20));
    let told = read("cell.gz", &gzip(cell.as_bytes())).unwrap_err();
    assert!(told.contains("goes on for megabytes"), "{told}");
}

#[test]
fn distinct_launches_have_a_bound() {
    let head = "Start (ns),Duration (ns),GrdX,GrdY,GrdZ,BlkX,BlkY,BlkZ,Name\n".to_owned();
    let many = (0..600_000).fold(head, |text, i| text + &format!("{i},1,1,1,1,1,1,1,k{i}\n"));
    let told = text(&many).unwrap_err();
    assert!(told.contains("half a million") && told.contains("line 500002"), "{told}");
}

#[test]
fn archives_are_read_as_streams_whatever_their_names() {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, link) in [
        ("../../escaped.csv", None),
        ("/absolute.csv", None),
        ("loop", Some("loop")),
        ("to-passwd", Some("/etc/passwd")),
    ] {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_mode(0o644);
        if let Some(link) = link {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_link_name(link).unwrap();
        }
        let bytes = if link.is_some() { "" } else { OF_2022 };
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        archive.append(&header, bytes.as_bytes()).unwrap();
    }
    let bytes = archive.into_inner().unwrap();
    let found = read_with("t.tar.gz", &gzip(&bytes), ReadOptions::default()).unwrap();
    let names: Vec<&str> = found.iter().map(|recording| recording.name.as_str()).collect();
    assert_eq!(names, ["../../escaped.csv", "/absolute.csv"]);
    // A header that declares more than there is.
    let mut short = bytes;
    short[124..136].copy_from_slice(b"77777777777\0");
    assert!(read("t.tar", &short).is_err());
}

proptest! {
    /// Whatever stands in a file, reading ends with a result or a message.
    #[test]
    fn changed_exports_do_no_harm(
        sample in 0_usize..6,
        cuts in prop::collection::vec((0_usize..4000, 0_usize..40, prop::collection::vec(any::<u8>(), 0..12)), 0..6),
    ) {
        let samples = [
            OF_2022.to_owned(), OF_2023.to_owned(), IN_BYTES.to_owned(), NVPROF.to_owned(),
            long(&METRICS, 2), wide(&METRICS, 2),
        ];
        let mut bytes = samples[sample].clone().into_bytes();
        for (at, length, new) in cuts {
            let at = at % bytes.len().max(1);
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, new);
        }
        let mut recording = Recording::default();
        let lines = crate::lines::Lines::new(&bytes[..], std::path::Path::new("x"), None);
        if super::read(lines, &mut recording).is_ok() {
            recording.finish();
        }
        for event in &recording.events {
            prop_assert!(event.duration_ps >= 0);
            let signature = recording.signature(event);
            prop_assert!(signature.work.as_ref().is_none_or(|work| work.validate().is_ok()));
        }
    }
}
