//! From a path to recordings: containers (gzip, zstd, tar) by their magic bytes, then the
//! format by its first character. Every layer streams.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use flate2::read::MultiGzDecoder;

use crate::bounded::Bounded;
use crate::lines::Lines;
use crate::located::Located;
use crate::recording::Recording;
use crate::unpacking::{Packed, Unpacked, Unpacking};
use crate::utf16::{self, Utf16};
use crate::{TraceError, archive, kineto, launches, nvidia, own, sass};

/// Longest line of a list, and longest name or shape of a profile: what is read at once.
const LONGEST_LINE: u64 = 1 << 20;
const LONGEST_TEXT: u64 = 16 << 20;

/// How to read.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadOptions {
    /// Anything not understood is an error.
    pub strict: bool,
    /// Damage ends the reading but keeps what was read.
    pub keep_going: bool,
}

/// Reads all recordings of a file; a tar archive holds one per member.
///
/// # Errors
/// [`TraceError`] with the place and what to do.
pub fn read(path: &Path, options: ReadOptions) -> Result<Vec<Recording>, TraceError> {
    read_with(path, options, Box::new(|_| {}))
}

/// [`read`], telling `progress` how many bytes of the file were read so far.
///
/// # Errors
/// As [`read`].
pub fn read_with(
    path: &Path,
    options: ReadOptions,
    progress: Box<dyn FnMut(u64)>,
) -> Result<Vec<Recording>, TraceError> {
    let metadata = std::fs::metadata(path).map_err(|e| TraceError::unreadable(path, &e))?;
    if metadata.is_dir() {
        return Err(TraceError::NotATrace {
            path: path.to_owned(),
            reason: "it is a directory".to_owned(),
            help: "give one trace file, or a .tar.gz of several ranks".to_owned(),
        });
    }
    let file = File::open(path).map_err(|e| TraceError::unreadable(path, &e))?;
    let counted = Counted { inner: file, bytes: 0, progress };
    // A compressed tar of compressed members has at most this many layers.
    let (mut layer, container, counts) = unpacked(path, counted, 3)?;
    let head = peek(&mut layer).map_err(|e| damaged(path, container, &e))?;
    let mut recordings = if is_tar(head) {
        read_tar(path, layer, &counts, options)?
    } else {
        let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        vec![read_one(path, &name, layer, container, options)?]
    };
    if options.strict {
        check_strict(path, &recordings)?;
    }
    recordings.sort_by(|a, b| (a.rank, &a.name).cmp(&(b.rank, &b.name)));
    Ok(recordings)
}

/// What is inside of a file's containers, which came last, and what all of them took and gave.
pub(crate) type Inside = (Box<dyn BufRead>, Option<&'static str>, Rc<Unpacking>);

/// Takes up to `most` layers of gzip or zstd off a file, by their first bytes.
pub(crate) fn unpacked(
    path: &Path,
    file: impl Read + 'static,
    most: usize,
) -> Result<Inside, TraceError> {
    let counts = Rc::new(Unpacking::default());
    let file = Packed::new(file, &counts);
    let mut layer: Box<dyn BufRead> = Box::new(BufReader::with_capacity(1 << 16, file));
    let mut container = None;
    for _ in 0..most {
        let head = peek(&mut layer).map_err(|e| damaged(path, container, &e))?;
        let decoder: Box<dyn Read> = if head.starts_with(&[0x1f, 0x8b]) {
            container = Some("gzip");
            Box::new(MultiGzDecoder::new(layer))
        } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            container = Some("zstd");
            let decoder = zstd::stream::read::Decoder::with_buffer(layer);
            Box::new(decoder.map_err(|e| damaged(path, container, &e))?)
        } else {
            break;
        };
        layer = Box::new(BufReader::with_capacity(1 << 16, Unpacked::new(decoder, &counts)));
    }
    Ok((layer, container, counts))
}

fn check_strict(path: &Path, recordings: &[Recording]) -> Result<(), TraceError> {
    let skipped: Vec<_> = recordings.iter().flat_map(|r| &r.skipped).collect();
    let count: u64 = skipped.iter().map(|s| s.count).sum();
    if count == 0 {
        return Ok(());
    }
    let reasons: Vec<_> = skipped
        .iter()
        .map(|s| format!("{} × {} (e.g. {})", s.count, s.reason, s.example))
        .collect();
    Err(TraceError::Strict { path: path.to_owned(), count, reasons: reasons.join("; ") })
}

struct Counted<R> {
    inner: R,
    bytes: u64,
    progress: Box<dyn FnMut(u64)>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.bytes += n as u64;
        (self.progress)(self.bytes);
        Ok(n)
    }
}

fn peek(reader: &mut Box<dyn BufRead>) -> io::Result<&[u8]> {
    reader.fill_buf()
}

fn is_tar(head: &[u8]) -> bool {
    head.len() > 262 && &head[257..262] == b"ustar"
}

pub(crate) fn damaged(
    path: &Path,
    container: Option<&'static str>,
    error: &io::Error,
) -> TraceError {
    match container {
        Some(container) => {
            TraceError::Damaged { path: path.to_owned(), container, reason: error.to_string() }
        }
        None => TraceError::unreadable(path, error),
    }
}

fn read_tar(
    path: &Path,
    layer: Box<dyn BufRead>,
    counts: &Rc<Unpacking>,
    options: ReadOptions,
) -> Result<Vec<Recording>, TraceError> {
    let mut archive = archive::opened(layer);
    let mut recordings = Vec::new();
    let damaged_tar = |error: &io::Error| damaged(path, Some("tar"), error);
    let mut members = archive::Members::of(&mut archive).map_err(|e| damaged_tar(&e))?;
    loop {
        let (name, member) = match members.next_file() {
            Ok(None) => break,
            Ok(Some(member)) => member,
            Err(_) if options.keep_going && !recordings.is_empty() => break,
            Err(error) => return Err(damaged_tar(&error)),
        };
        let mut inner: Box<dyn BufRead + '_> = Box::new(BufReader::with_capacity(1 << 16, member));
        let head = inner.fill_buf().map_err(|e| damaged_tar(&e))?;
        if head.starts_with(&[0x1f, 0x8b]) {
            let decoder = Unpacked::new(MultiGzDecoder::new(inner), counts);
            inner = Box::new(BufReader::with_capacity(1 << 16, decoder));
        }
        match read_one(path, &name, inner, Some("tar"), options) {
            Ok(recording) => recordings.push(recording),
            // Archives often carry a README beside the ranks.
            Err(TraceError::NotATrace { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    if recordings.is_empty() {
        return Err(TraceError::NotATrace {
            path: path.to_owned(),
            reason: "no member of the archive is a trace".to_owned(),
            help: "the archive should hold one Kineto JSON file per rank".to_owned(),
        });
    }
    Ok(recordings)
}

fn read_one(
    path: &Path,
    name: &str,
    mut layer: Box<dyn BufRead + '_>,
    container: Option<&'static str>,
    options: ReadOptions,
) -> Result<Recording, TraceError> {
    let fill = |layer: &mut Box<dyn BufRead + '_>| match layer.fill_buf() {
        Ok(_) => Ok(()),
        Err(error) => Err(damaged(path, container, &error)),
    };
    fill(&mut layer)?;
    let mut recording = Recording::default();
    name.clone_into(&mut recording.name);
    if nvidia::is_database(layer.fill_buf().unwrap_or_default()) {
        let result = nvidia::read_database(path, layer, container, &mut recording);
        return finished(recording, result, options);
    }
    if let Some(order) = utf16::marked(layer.fill_buf().unwrap_or_default()) {
        layer = Box::new(BufReader::with_capacity(1 << 16, Utf16::new(layer, order)));
        fill(&mut layer)?;
    }
    let head = layer.fill_buf().unwrap_or_default();
    let skip = if head.starts_with(&[0xef, 0xbb, 0xbf]) { 3 } else { 0 };
    layer.consume(skip);
    fill(&mut layer)?;
    let head = layer.fill_buf().unwrap_or_default();
    let first = head.iter().find(|byte| !byte.is_ascii_whitespace()).copied();
    let (ours, list) = (own::looks_like(head), launches::looks_like(head));
    let traced = sass::kind_of(head).filter(|_| container != Some("tar"));
    let table = !ours && !list && traced.is_none() && nvidia::looks_like(head);
    // The second byte of UTF-16 without a mark is zero: told by the reader of tables.
    let json = matches!(first, Some(b'{' | b'[')) && !table && head.get(1) != Some(&0);
    let Some(_) = first else {
        return Err(TraceError::NotATrace {
            path: path.to_owned(),
            reason: "the file is empty".to_owned(),
            help: "record a profile with torch.profiler and export it as a Chrome trace".to_owned(),
        });
    };
    if let Some(kind) = traced {
        let result = sass::read(path, kind, layer, container, options, &mut recording);
        return finished(recording, result, options);
    }
    if !(ours || list || json) {
        let result = nvidia::read(Lines::new(layer, path, container), &mut recording);
        return finished(recording, result, options);
    }
    let mut reader = Located::new(layer);
    let result = if ours {
        own::read(&mut reader, &mut recording)
    } else if list {
        launches::read(Bounded::lines(&mut reader, LONGEST_LINE), &mut recording)
    } else {
        let bounded = Bounded::new(&mut reader, b'"', LONGEST_TEXT, "one text or list");
        kineto::read(bounded, &mut recording)
    };
    let result = result.map_err(|error| reader.describe(path, container, &error));
    finished(recording, result, options)
}

/// A recording that was read to its end, or to damage that is to be lived with.
fn finished(
    mut recording: Recording,
    result: Result<(), TraceError>,
    options: ReadOptions,
) -> Result<Recording, TraceError> {
    if let Err(error) = result {
        if !options.keep_going || recording.events.is_empty() {
            return Err(error);
        }
        recording.cut = Some(error.to_string());
    }
    recording.finish();
    Ok(recording)
}
