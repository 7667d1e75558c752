//! SASS instruction traces as Accel-Sim's tracer records them: a list (`kernelslist.g`) of
//! copies and of `.traceg` files, one for each kernel, with every instruction of every warp.
//!
//! Files are streamed: what stays of a kernel is its counts by pipe, the waits of its warps and a
//! sample of its addresses, so that memory does not grow with the trace. Names in a list stand
//! for files beside it and for nothing else. Traces hold no times, so nothing can be said about
//! errors, and kernels run in the order of the list. Left out: `.trace` files before Accel-Sim's
//! post-processing, xz (unpack first), and overlap of streams.

mod block;
mod header;
mod instruction;
mod lanes;
mod opcode;
mod reader;
mod sample;
mod waits;

use std::collections::HashMap;
use std::fs::File;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lumacycle_workloads::ops::Operation;

use crate::TraceError;
use crate::lines::Lines;
use crate::recording::{Event, EventKind, Recording, Signature};
use crate::source::ReadOptions;
use reader::{KernelFile, Reader};

/// Words of eight bytes for the addresses of all kernels, and of one.
const BUDGET: usize = 8 << 20;
const KERNEL_BUDGET: usize = 1 << 20;
/// Entries of a list.
const MOST_ENTRIES: usize = 1 << 20;
/// Bytes of one copy.
const MOST_BYTES: u64 = 1 << 50;

/// What a text is, by its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A list of kernels.
    List,
    /// One kernel.
    Kernel,
}

/// Whether a text starts like a list of kernels or like a traced kernel.
pub(crate) fn kind_of(head: &[u8]) -> Option<Kind> {
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let line = lines.find(|line| !line.is_empty())?;
    if line.starts_with(b"-kernel name") || line.starts_with(b"-grid dim") {
        return Some(Kind::Kernel);
    }
    let traced = line.starts_with(b"kernel") && line.windows(6).any(|part| part == b".trace");
    (traced || line.starts_with(b"Memcpy")).then_some(Kind::List)
}

/// Reads a list or a single kernel from `layer`, the unpacked text of `path`; on an error, what
/// was read so far stays in `recording`.
pub(crate) fn read(
    path: &Path,
    kind: Kind,
    layer: impl BufRead,
    container: Option<&'static str>,
    options: ReadOptions,
    recording: &mut Recording,
) -> Result<(), TraceError> {
    let mut state = State {
        recording,
        options,
        budget: BUDGET,
        known: HashMap::new(),
        partial: (0, None),
        uneven: (0, 0),
    };
    let lines = Lines::new(layer, path, container);
    let result = match kind {
        Kind::List => state.list(path, lines),
        Kind::Kernel => {
            let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into());
            state
                .kernel(path, &name, lines)
                .map(|(signature, stream)| state.event(signature, stream))
        }
    };
    let notes = state.notes();
    recording.notes = notes;
    result
}

struct State<'a> {
    recording: &'a mut Recording,
    options: ReadOptions,
    /// Words of addresses that may still be kept.
    budget: usize,
    /// Launches that did the same.
    known: HashMap<u64, u32>,
    /// Files that lack thread blocks, and the first of them.
    partial: (u64, Option<String>),
    /// Files whose thread blocks differ, and the most kinds of one.
    uneven: (u64, usize),
}

impl State<'_> {
    /// What the result takes for granted.
    fn notes(self) -> Vec<String> {
        let mut notes = vec![
            "instruction traces hold no times: no error can be stated, and kernels run one after another".to_owned(),
        ];
        if let (count, Some(first)) = self.partial {
            notes.push(format!(
                "the thread blocks that {count} traces lack are like the others ({first})"
            ));
        }
        if let (1.., kinds) = self.uneven {
            notes.push(format!(
                "{} traces have thread blocks with different instructions (up to {kinds} kinds), which are averaged",
                self.uneven.0
            ));
        }
        notes
    }

    fn list(&mut self, path: &Path, mut lines: Lines<impl BufRead>) -> Result<(), TraceError> {
        let folder = path.parent().unwrap_or_else(|| Path::new("")).to_owned();
        let mut read: HashMap<String, (u32, u32)> = HashMap::new();
        let mut entries = 0;
        while let Some(line) = lines.next()? {
            let text = String::from_utf8_lossy(line).trim().to_owned();
            if text.is_empty() {
                continue;
            }
            entries += 1;
            if entries > MOST_ENTRIES {
                return Err(lines.malformed(
                    0,
                    "this list has more than a million entries",
                    "split it",
                ));
            }
            if text.starts_with("Memcpy") {
                let copy = copy(&text).ok_or_else(|| {
                    lines.malformed(
                        0,
                        &format!("\"{}\" is no copy", shorten(&text)),
                        "a copy reads MemcpyHtoD,ADDRESS,BYTES with at most 2^50 bytes",
                    )
                })?;
                let signature = self.recording.intern(copy);
                self.event(signature, 0);
                continue;
            }
            if let Some(&(signature, stream)) = read.get(&text) {
                self.event(signature, stream);
                continue;
            }
            let (signature, stream) = match beside(&folder, &text) {
                Ok(file) => self.file(&file, &text)?,
                Err(Beside::Missing) if self.options.keep_going => {
                    let what = "kernel whose .traceg file is not beside the list";
                    self.recording.skip(what, &shorten(&text));
                    (self.unknown(&text), 0)
                }
                Err(why) => {
                    let (message, mut help) = why.told(&text);
                    let error = lines.malformed(0, &message, "");
                    if why == Beside::Missing {
                        help += &census(&folder, lines, self.recording)?;
                    }
                    return Err(error.with_help(help));
                }
            };
            read.insert(text, (signature, stream));
            self.event(signature, stream);
        }
        Ok(())
    }

    /// A launch of which only the name in the list is known.
    fn unknown(&mut self, name: &str) -> u32 {
        self.recording.intern(Signature {
            kind: EventKind::Kernel,
            name: Arc::from(name),
            launch: None,
            bytes: None,
            operator: None,
            collective: None,
            work: None,
        })
    }

    /// Opens a `.traceg` file, whatever packs it.
    fn file(&mut self, path: &Path, name: &str) -> Result<(u32, u32), TraceError> {
        let file = File::open(path).map_err(|error| TraceError::unreadable(path, &error))?;
        let (mut layer, container, _) = crate::source::unpacked(path, file, 2)?;
        let head =
            layer.fill_buf().map_err(|error| crate::source::damaged(path, container, &error))?;
        if head.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
            return Err(TraceError::NotATrace {
                path: path.to_owned(),
                reason: "it is packed with xz".to_owned(),
                help: format!(
                    "unpack it with `xz -d {}` (the list may stay as it is), or pack it with gzip or zstd",
                    path.display()
                ),
            });
        }
        let lines = Lines::new(layer, path, container);
        self.kernel(path, name, lines)
    }

    /// Reads one kernel and returns the number of its launch and its stream.
    fn kernel(
        &mut self,
        path: &Path,
        name: &str,
        lines: Lines<impl BufRead>,
    ) -> Result<(u32, u32), TraceError> {
        // Each kernel may take half of what is left, so that late ones keep something.
        let budget = KERNEL_BUDGET.min(self.budget / 2).max(64);
        let KernelFile { name: kernel, work, unknown, cut } =
            Reader::new(lines, budget).read(self.options.keep_going)?;
        for (opcode, count) in unknown {
            self.recording.skip_many("opcode not in the table, taken as integer", &opcode, count);
        }
        for (what, count) in &work.left_out {
            self.recording.skip_many(what.describe(), name, *count);
        }
        if let Some(cut) = cut {
            self.recording.cut = Some(cut.to_string());
        }
        let launch = work.launch();
        let missing = launch.ctas().saturating_sub(work.blocks);
        if missing > 0 {
            self.partial.0 += 1;
            self.partial.1.get_or_insert_with(|| {
                format!("{name} holds {} of {} thread blocks", work.blocks, launch.ctas())
            });
        }
        if work.kinds() > 1 {
            self.uneven.0 += 1;
            self.uneven.1 = self.uneven.1.max(work.kinds());
        }
        let (stream, same) = (work.stream(), work.fingerprint(&kernel));
        if let Some(&signature) = self.known.get(&same) {
            return Ok((signature, stream));
        }
        let traced = work.finish();
        for accesses in [&traced.reads, &traced.writes, &traced.atomics] {
            self.budget = self.budget.saturating_sub(accesses.sample.words());
        }
        let operation = Operation::Traced(Box::new(traced));
        operation.validate().map_err(|reason| TraceError::NotATrace {
            path: path.to_owned(),
            reason: format!("with the blocks that it lacks, {reason}"),
            help: "check its grid, or trace more of its thread blocks".to_owned(),
        })?;
        let signature = u32::try_from(self.recording.signatures.len()).unwrap_or(u32::MAX);
        self.recording.signatures.push(Signature {
            kind: EventKind::Kernel,
            name: kernel.into(),
            launch: Some(launch),
            bytes: None,
            operator: None,
            collective: None,
            work: Some(operation),
        });
        self.known.insert(same, signature);
        Ok((signature, stream))
    }

    /// Runs a launch after all others.
    fn event(&mut self, signature: u32, stream: u32) {
        // A picosecond apart, so that they stay in order.
        let start_ps = self.recording.events.len() as i64;
        self.recording.events.push(Event {
            signature,
            stream,
            device: 0,
            start_ps,
            duration_ps: 0,
            launched_ps: None,
        });
    }
}

/// A copy of a list: direction, address, bytes.
fn copy(text: &str) -> Option<Signature> {
    let mut parts = text.split(',').map(str::trim);
    let name = parts.next()?;
    let bytes = parts.nth(1)?.parse::<u64>().ok().filter(|bytes| *bytes <= MOST_BYTES)?;
    let known = ["MemcpyHtoD", "MemcpyDtoH", "MemcpyDtoD"].contains(&name);
    (known && parts.next().is_none()).then(|| Signature {
        kind: EventKind::Memcpy,
        name: Arc::from(name),
        launch: None,
        bytes: Some(bytes),
        operator: None,
        collective: None,
        work: None,
    })
}

fn shorten(text: &str) -> String {
    text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// What a list asks for behind the first file that is missing, and how much of it is there.
fn census(
    folder: &Path,
    mut lines: Lines<impl BufRead>,
    before: &Recording,
) -> Result<String, TraceError> {
    let is_copy = |event: &&Event| before.signature(event).kind == EventKind::Memcpy;
    let mut copies = before.events.iter().filter(is_copy).count();
    let mut there = before.events.len() - copies;
    let mut kernels = there + 1;
    while let Some(line) = lines.next()? {
        let text = String::from_utf8_lossy(line).trim().to_owned();
        if text.starts_with("Memcpy") {
            copies += 1;
        } else {
            kernels += 1;
            there += usize::from(beside(folder, &text).is_ok());
        }
    }
    Ok(format!(
        "; the list asks for {kernels} launches, of which {there} have their file, and {copies} copies: --keep-going lists them all and runs what is there"
    ))
}

/// Why a name in a list stands for no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    NoName,
    NoTrace,
    Missing,
}

impl Beside {
    /// What is wrong, and what to do.
    fn told(self, name: &str) -> (String, String) {
        let shown = shorten(name);
        match self {
            Self::NoName => (
                format!("\"{shown}\" is no plain file name"),
                "a list names files that lie beside it, without folders".to_owned(),
            ),
            Self::NoTrace => (
                format!("\"{shown}\" is neither a copy nor a .traceg file"),
                "an entry is MemcpyHtoD,ADDRESS,BYTES or the name of a .traceg file".to_owned(),
            ),
            Self::Missing => (
                format!("there is no {shown} beside the list"),
                format!("put {shown} (or {shown}.gz, {shown}.zst) beside it, or take the line out"),
            ),
        }
    }
}

/// The file of a name in a list: beside the list, under that name, packed or unpacked since.
fn beside(folder: &Path, name: &str) -> Result<PathBuf, Beside> {
    let plain = Path::new(name).file_name().is_some_and(|last| last == name)
        && !name.contains(['/', '\\', '\0', ':']);
    if !plain {
        return Err(Beside::NoName);
    }
    if !name.contains(".trace") {
        return Err(Beside::NoTrace);
    }
    let unpacked = [".xz", ".gz", ".zst"].iter().find_map(|end| name.strip_suffix(end));
    for base in std::iter::once(name).chain(unpacked) {
        for end in ["", ".gz", ".zst"] {
            let path = folder.join(format!("{base}{end}"));
            if path.is_file() {
                return Ok(path);
            }
        }
    }
    Err(Beside::Missing)
}

#[cfg(test)]
mod tests;
