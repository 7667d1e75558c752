//! Targets that read recordings, whatever they are packed in.
//!
//! What is accepted is classified, written in our own format and read again; a target of its own replays it.
//! Left out: traces larger than a few kilobytes, and lists of files in other folders, which are refused.

use std::hint::black_box;
use std::path::Path;
use std::sync::LazyLock;

use lumacycle_arch::{Catalog, Entry};
use lumacycle_sim::replay::{ReplayOptions, replay};
use lumacycle_traces::{ReadOptions, Recording, classify, own, read};

use crate::with_file;

static GPU: LazyLock<Option<Entry>> = LazyLock::new(|| Catalog::embedded().get("rtx3090").ok());

/// Events up to which a recording is replayed.
const FEW: usize = 8;

fn recordings(name: &str, bytes: &[u8]) -> Vec<Recording> {
    let mut found = Vec::new();
    with_file(name, bytes, |path| {
        let strict = ReadOptions { strict: true, keep_going: false };
        let lenient = ReadOptions { strict: false, keep_going: true };
        let _ = black_box(read(path, strict));
        found = read(path, lenient).unwrap_or_default();
    });
    found
}

/// A recording, written and read again, is the same.
fn comes_back(recording: &Recording) {
    let mut written = Vec::new();
    if own::write(recording, &mut written).is_err() {
        return;
    }
    with_file("again.jsonl", &written, |path| {
        let again = match read(path, ReadOptions::default()) {
            Ok(again) => again,
            Err(error) => unreadable(path, &error),
        };
        let events = again.iter().flat_map(|recording| &recording.events).count();
        let signatures = again.iter().map(|recording| recording.signatures.len()).sum::<usize>();
        assert_eq!(
            (events, signatures),
            (recording.events.len(), recording.signatures.len()),
            "events and launches that came back"
        );
    });
}

#[expect(clippy::panic, reason = "this is what a fuzz target does with a find")]
fn unreadable(path: &Path, error: &lumacycle_traces::TraceError) -> ! {
    panic!("what was written to {} cannot be read: {error}", path.display())
}

fn go_on(recordings: &[Recording]) {
    for recording in recordings {
        for signature in &recording.signatures {
            black_box(classify(signature, 86));
        }
        comes_back(recording);
    }
}

/// Replays a short recording of any format.
pub fn replayed(bytes: &[u8]) {
    let Some(gpu) = GPU.as_ref() else { return };
    for recording in recordings("trace.jsonl", bytes) {
        if recording.events.len() <= FEW {
            let _ = black_box(replay(&recording, gpu, ReplayOptions::default()));
        }
    }
}

pub fn kineto(bytes: &[u8]) {
    go_on(&recordings("trace.json", bytes));
}

pub fn own(bytes: &[u8]) {
    go_on(&recordings("trace.jsonl", bytes));
}

pub fn launch_list(bytes: &[u8]) {
    go_on(&recordings("rtx3070_render_x.csv", bytes));
}

/// Tables that profilers write; the content says which.
pub fn table(bytes: &[u8]) {
    go_on(&recordings("export.csv", bytes));
}

pub fn database(bytes: &[u8]) {
    go_on(&recordings("export.sqlite", bytes));
}

pub fn instructions(bytes: &[u8]) {
    go_on(&recordings("kernel-1.traceg", bytes));
}

/// The list stands beside a kernel that it may name.
pub fn kernels_list(bytes: &[u8]) {
    with_file("kernel-1.traceg", include_bytes!("../seeds/instructions/small.traceg"), |_| {});
    go_on(&recordings("kernelslist.g", bytes));
}

pub fn container(bytes: &[u8]) {
    go_on(&recordings("ranks.tar.gz", bytes));
}
