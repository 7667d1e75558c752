//! From a path to recordings: containers (gzip, zstd, tar) by their magic bytes, then the
//! format by its first character. Every layer streams.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use miette::NamedSource;

use crate::bounded::Bounded;
use crate::recording::Recording;
use crate::{TraceError, kineto, launches, own, sass};

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
    let (mut layer, container) = unpacked(path, counted, 3)?;
    let head = peek(&mut layer).map_err(|e| damaged(path, container, &e))?;
    let mut recordings = if is_tar(head) {
        read_tar(path, layer, options)?
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

/// Takes up to `most` layers of gzip or zstd off a file, by their first bytes; says which came last.
pub(crate) fn unpacked(
    path: &Path,
    file: impl Read + 'static,
    most: usize,
) -> Result<(Box<dyn BufRead>, Option<&'static str>), TraceError> {
    let mut layer: Box<dyn BufRead> = Box::new(BufReader::with_capacity(1 << 16, file));
    let mut container = None;
    for _ in 0..most {
        let head = peek(&mut layer).map_err(|e| damaged(path, container, &e))?;
        if head.starts_with(&[0x1f, 0x8b]) {
            container = Some("gzip");
            layer = Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(layer)));
        } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            container = Some("zstd");
            let decoder = zstd::stream::read::Decoder::with_buffer(layer)
                .map_err(|e| damaged(path, container, &e))?;
            layer = Box::new(BufReader::with_capacity(1 << 16, decoder));
        } else {
            break;
        }
    }
    Ok((layer, container))
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
    options: ReadOptions,
) -> Result<Vec<Recording>, TraceError> {
    let mut archive = tar::Archive::new(layer);
    let mut recordings = Vec::new();
    let damaged_tar = |error: &io::Error| damaged(path, Some("tar"), error);
    for member in archive.entries().map_err(|e| damaged_tar(&e))? {
        let member = match member {
            Ok(member) => member,
            Err(_) if options.keep_going && !recordings.is_empty() => break,
            Err(error) => return Err(damaged_tar(&error)),
        };
        // Links and folders hold no data; nothing is ever written to disk.
        if !member.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&member.path_bytes()).into_owned();
        let mut inner: Box<dyn BufRead + '_> = Box::new(BufReader::with_capacity(1 << 16, member));
        let head = inner.fill_buf().map_err(|e| damaged_tar(&e))?;
        if head.starts_with(&[0x1f, 0x8b]) {
            inner = Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(inner)));
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
    let head = layer.fill_buf().map_err(|e| damaged(path, container, &e))?;
    let bom = head.starts_with(&[0xef, 0xbb, 0xbf]);
    let skip = usize::from(bom) * 3;
    let first = head[skip..].iter().find(|byte| !byte.is_ascii_whitespace()).copied();
    let ours = own::looks_like(&head[skip..]);
    let list = launches::looks_like(&head[skip..]);
    let traced = sass::kind_of(&head[skip..]).filter(|_| container != Some("tar"));
    layer.consume(skip);
    let mut recording = Recording::default();
    name.clone_into(&mut recording.name);
    if let Some(kind) = traced {
        if let Err(error) = sass::read(path, kind, layer, container, options, &mut recording) {
            if !options.keep_going || recording.events.is_empty() {
                return Err(error);
            }
            recording.cut = Some(error.to_string());
        }
        recording.finish();
        return Ok(recording);
    }
    let mut reader = Located::new(layer);
    let result = match first {
        None => {
            return Err(TraceError::NotATrace {
                path: path.to_owned(),
                reason: "the file is empty".to_owned(),
                help: "record a profile with torch.profiler and export it as a Chrome trace"
                    .to_owned(),
            });
        }
        Some(_) if ours => own::read(&mut reader, &mut recording),
        Some(_) if list => {
            launches::read(Bounded::lines(&mut reader, LONGEST_LINE), &mut recording)
        }
        Some(b'{' | b'[') => {
            let bounded = Bounded::new(&mut reader, b'"', LONGEST_TEXT, "one text or list");
            kineto::read(bounded, &mut recording)
        }
        Some(_) => {
            return Err(TraceError::NotATrace {
                path: path.to_owned(),
                reason: "it starts with neither { nor [".to_owned(),
                help: "replay reads Kineto (torch.profiler) JSON, launch lists (CSV), Accel-Sim's kernelslist.g and lumacycle traces, plain, gzip, zstd or tar; other formats can be written as a lumacycle trace (docs/trace-format.md)"
                    .to_owned(),
            });
        }
    };
    if let Err(error) = result {
        let located = reader.describe(path, container, &error);
        if options.keep_going && !recording.events.is_empty() {
            recording.cut = Some(located.to_string());
        } else {
            return Err(located);
        }
    }
    recording.finish();
    Ok(recording)
}

/// A problem in the text, before its place is looked up.
#[derive(Debug)]
pub(crate) struct ParseProblem {
    pub(crate) message: String,
    /// Line and column from 1; 0 = where reading stopped.
    pub(crate) line: u64,
    pub(crate) column: u64,
    /// Set when the bytes themselves could not be had.
    pub(crate) io: bool,
    pub(crate) cut_short: bool,
    pub(crate) help: Option<String>,
}

impl From<serde_json::Error> for ParseProblem {
    fn from(error: serde_json::Error) -> Self {
        let text = error.to_string();
        let message = text.split(" at line ").next().unwrap_or_default().to_owned();
        Self {
            message,
            line: error.line() as u64,
            column: error.column() as u64,
            io: error.is_io(),
            cut_short: error.is_eof(),
            help: None,
        }
    }
}

/// A reader that remembers the last text it passed on, to show the place of an error.
pub(crate) struct Located<R> {
    inner: R,
    /// The last two pieces passed on.
    window: Vec<u8>,
    /// Line and column (from 1) of the first byte of the window.
    line: u64,
    column: u64,
}

const WINDOW: usize = 1 << 16;

impl<R: BufRead> Located<R> {
    fn new(inner: R) -> Self {
        Self { inner, window: Vec::new(), line: 1, column: 1 }
    }

    fn remember(&mut self, bytes: &[u8]) {
        if self.window.len() + bytes.len() > 2 * WINDOW && self.window.len() > WINDOW {
            let drop = self.window.len() - WINDOW;
            for &byte in &self.window[..drop] {
                if byte == b'\n' {
                    self.line += 1;
                    self.column = 1;
                } else {
                    self.column += 1;
                }
            }
            self.window.drain(..drop);
        }
        self.window.extend_from_slice(bytes);
    }

    fn describe(
        &self,
        path: &Path,
        container: Option<&'static str>,
        problem: &ParseProblem,
    ) -> TraceError {
        if problem.io {
            let error = io::Error::other(problem.message.clone());
            return damaged(path, container, &error);
        }
        let (mut line, mut column, mut offset) = (self.line, self.column, self.window.len());
        for (index, &byte) in self.window.iter().enumerate() {
            if (line, column) == (problem.line, problem.column) {
                offset = index;
                break;
            }
            if byte == b'\n' {
                line += 1;
                column = 1;
            } else {
                column += 1;
            }
        }
        // A short excerpt: traces are often one line of many megabytes.
        let from = offset.saturating_sub(60);
        let to = (offset + 40).min(self.window.len());
        let before: String = printable(&self.window[from..offset.min(to)]);
        let after = printable(&self.window[offset.min(to)..to]);
        let at = before.len();
        let text = format!("{before}{after}");
        let length = usize::from(!after.is_empty());
        let help = problem.help.clone().unwrap_or_else(|| {
            if problem.cut_short {
                "the file ends too early: was the profile still being written? --keep-going reports what could be read".to_owned()
            } else {
                "mend the text there, or export the profile again; --keep-going reports what could be read before it".to_owned()
            }
        });
        TraceError::Malformed {
            path: path.to_owned(),
            message: problem.message.clone(),
            line: problem.line,
            column: problem.column,
            excerpt: Arc::new(NamedSource::new("the text there", text)),
            span: (at.saturating_sub(usize::from(length == 0)), 1).into(),
            help,
        }
    }
}

/// Text for a terminal: control characters and broken UTF-8 replaced.
pub(crate) fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl<R: BufRead> Read for Located<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.remember(&buffer[..n]);
        Ok(n)
    }
}
