//! Reading whole traces, good and bad.

use std::path::Path;

use lumacycle_workloads::ops::{Operation, Traced};

use super::*;

const HEAD: &str = "-kernel name = f\n-grid dim = (2,1,1)\n-block dim = (64,1,1)\n-shmem = 0\n-nregs = 32\n-binary version = 86\n-accelsim tracer version = 4\n\n#traces format = x\n\n";

fn block(x: u32, warps: &[&[&str]]) -> String {
    let mut text = format!("#BEGIN_TB\n\nthread block = {x},0,0\n\n");
    for (number, lines) in warps.iter().enumerate() {
        text += &format!("warp = {number}\ninsts = {}\n{}\n", lines.len(), lines.join("\n"));
    }
    text + "\n#END_TB\n\n"
}

const PROGRAM: [&str; 5] = [
    "0000 ffffffff 1 R2 LDG.E 1 R4 4 1 0x1000 4 0 ",
    "0010 ffffffff 1 R3 FFMA 3 R2 R2 R2 0 0 ",
    "0020 ffffffff 0 STG.E 2 R4 R3 4 1 0x8000 4 0 ",
    "0030 ffffffff 1 R5 WEIRD.OP 1 R3 0 0 ",
    "0040 ffffffff 0 EXIT 0 0 0 ",
];

fn read_text(text: &str, keep_going: bool) -> Result<Recording, String> {
    let mut recording = Recording::default();
    let options = ReadOptions { strict: false, keep_going };
    let kind = kind_of(text.as_bytes()).expect("a trace");
    let path = Path::new("kernel-1.traceg");
    match read(path, kind, text.as_bytes(), None, options, &mut recording) {
        Ok(()) => Ok(recording),
        Err(error) => Err(format!("{error}")),
    }
}

fn traced(recording: &Recording) -> &Traced {
    match &recording.signatures[0].work {
        Some(Operation::Traced(traced)) => traced,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_small_kernel_is_counted() {
    let both: [&[&str]; 2] = [&PROGRAM, &PROGRAM];
    let text = HEAD.to_owned() + &block(0, &both) + &block(1, &both);
    let recording = read_text(&text, false).unwrap();
    let found = traced(&recording);
    assert_eq!((found.fp32, found.int32, found.memory, found.control), (4.0, 4.0, 8.0, 4.0));
    assert_eq!((found.reads.requests, found.reads.sectors), (4.0, 16.0));
    assert_eq!((found.writes.requests, found.writes.bytes), (4.0, 512.0));
    // All warps touch the same 128 bytes.
    assert!((found.reads.distinct_bytes - 128.0).abs() < 1.0);
    assert_eq!(found.reads.sample.runs, [2]);
    assert_eq!(found.l1_wavefronts, 8.0);
    assert!(found.waits.memory > 0.9 && found.waits.memory < 1.01, "{:?}", found.waits);
    assert!(Operation::Traced(Box::new(found.clone())).validate().is_ok());
    let unknown = &recording.skipped[0];
    assert_eq!((unknown.count, unknown.example.as_str()), (4, "WEIRD.OP"));
    assert_eq!(recording.events.len(), 1);
}

#[test]
fn missing_blocks_are_taken_to_be_like_the_others() {
    let text = HEAD.to_owned() + &block(1, &[&PROGRAM, &PROGRAM[..1]]);
    let recording = read_text(&text, false).unwrap();
    assert_eq!(traced(&recording).memory, 6.0);
    assert!(recording.notes.iter().any(|note| note.contains("1 of 2 thread blocks")));
}

#[test]
fn generic_addresses_tell_where_they_go() {
    let head = HEAD.replace("#traces", "-shmem base_addr = 0x7f0000000000\n#traces");
    let shared: [&str; 1] = ["0000 ffffffff 1 R2 LD.E 1 R4 4 1 0x7f0000000000 128 0"];
    let global: [&str; 1] = ["0010 ffffffff 1 R2 LD.E 1 R4 4 1 0x7e0000000000 128 0"];
    let text = head + &block(0, &[&shared]) + &block(1, &[&global]);
    let recording = read_text(&text, false).unwrap();
    let found = traced(&recording);
    assert_eq!((found.shared_wavefronts, found.reads.sectors), (32.0, 32.0));
    assert!(
        recording.notes.iter().any(|note| note.contains("up to 2 kinds")),
        "{:?}",
        recording.notes
    );
}

#[test]
fn bad_traces_say_what_is_wrong() {
    let good = block(0, &[&PROGRAM]);
    for (text, words) in [
        (HEAD.replace("(2,1,1)", "(0,1,1)") + &good, "(0,1,1)"),
        (HEAD.replace("-grid dim = (2,1,1)\n", "") + &good, "no line \"-grid dim"),
        (HEAD.replace("(64,1,1)", "(9999,1,1)") + &good, "no GPU launches"),
        (HEAD.to_owned(), "holds no thread block"),
        (HEAD.to_owned() + &good.replace("insts = 5", "insts = 4"), "more instructions"),
        (HEAD.to_owned() + &good.replace("insts = 5", "insts = 6"), "fewer instructions"),
        (HEAD.to_owned() + &good.replace("insts = 5", "insts = x"), "no number of instructions"),
        (HEAD.to_owned() + &good.replace("warp = 0", "warp = 2"), "no such warp"),
        (HEAD.to_owned() + &good.replace("= 0,0,0", "= 2,0,0"), "outside of the grid"),
        (HEAD.to_owned() + &good + &good + &good, "more thread blocks"),
        (HEAD.to_owned() + &good[..good.len() - 12], "ends inside a thread block"),
        (HEAD.to_owned() + &good[..good.len() - 30], "the file breaks off"),
        (HEAD.to_owned() + &good.replace("FFMA 3", "FFMA x"), "no whole number"),
        (HEAD.to_owned() + "0 0 0 0 0000 ffffffff 0 EXIT 0 0", "outside of a thread block"),
        (HEAD.to_owned() + &"x".repeat(1 << 17), "more than 65535 characters"),
        (HEAD.to_owned() + &"\n".repeat(1 << 20), "empty lines"),
    ] {
        let told = read_text(&text, false).unwrap_err();
        assert!(told.contains(words), "{words}: {told}");
        assert!(told.contains("kernel-1.traceg") && told.contains("at line"), "{told}");
    }
}

#[test]
fn damage_behind_a_block_can_be_passed_over() {
    let text = HEAD.to_owned() + &block(0, &[&PROGRAM]) + "#BEGIN_TB\nnonsense";
    assert!(read_text(&text, false).is_err());
    let recording = read_text(&text, true).unwrap();
    assert!(recording.cut.is_some_and(|cut| cut.contains("no part of a thread block")));
}

#[test]
fn names_in_a_list_stay_beside_it() {
    for name in
        ["../kernel-1.traceg", "/etc/kernel.traceg", "a/kernel-1.traceg", "..", "C:k.traceg"]
    {
        let (message, _) = beside(Path::new("."), name).unwrap_err().told(name);
        assert!(message.contains("no plain file name"), "{name}: {message}");
    }
    assert!(beside(Path::new("."), "kernel-77.traceg") == Err(Beside::Missing));
    assert!(beside(Path::new("."), "kernel-77") == Err(Beside::NoTrace));
}

#[test]
fn lists_hold_copies_in_order() {
    let recording = read_text(
        "MemcpyHtoD,0x00007f,4096\nMemcpyDtoH,0x00007f,64\nMemcpyHtoD,0x7f,4096\n",
        false,
    )
    .unwrap();
    let bytes = |event: &Event| recording.signature(event).bytes.unwrap();
    assert_eq!(recording.events.iter().map(bytes).collect::<Vec<_>>(), [4096, 64, 4096]);
    assert_eq!(recording.signatures.len(), 2);
    assert!(read_text("MemcpyHtoD,0x00007f,-1", false).unwrap_err().contains("is no copy"));
}
