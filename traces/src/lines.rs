//! Lines of a text that may be anything: of bounded length, with their number, and with
//! diagnostics that show the place. Empty lines are passed over.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::NamedSource;

use crate::TraceError;
use crate::located::printable;
use crate::source::damaged;

/// A longer line is no line of an instruction trace.
const LONGEST: u64 = 1 << 16;
/// Empty lines one after another.
const MOST_EMPTY: u64 = 1 << 16;

/// Lines of a file.
pub(crate) struct Lines<R> {
    reader: R,
    path: PathBuf,
    container: Option<&'static str>,
    line: Vec<u8>,
    /// Number of the line, from 1.
    number: u64,
    /// Bytes that a line may have.
    longest: u64,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(reader: R, path: &Path, container: Option<&'static str>) -> Self {
        let path = path.to_owned();
        Self { reader, path, container, line: Vec::new(), number: 0, longest: LONGEST }
    }

    /// The same with another bound on the length of a line.
    pub(crate) fn up_to(self, longest: u64) -> Self {
        Self { longest, ..self }
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The next line that is not empty, without its end; `None` at the end of the text.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, TraceError> {
        let mut empty = 0;
        loop {
            self.line.clear();
            let read = self
                .reader
                .by_ref()
                .take(self.longest)
                .read_until(b'\n', &mut self.line)
                .map_err(|error| damaged(&self.path, self.container, &error))?;
            self.number += 1;
            if read == 0 {
                return Ok(None);
            }
            if read as u64 == self.longest {
                return Err(self.malformed(
                    0,
                    &format!("this line has more than {} characters", self.longest - 1),
                    "no line of a trace is that long: is this the right file?",
                ));
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some(self.line.trim_ascii()));
            }
            empty += 1;
            if empty > MOST_EMPTY {
                return Err(self.malformed(
                    0,
                    "there are tens of thousands of empty lines",
                    "is this the right file?",
                ));
            }
        }
    }

    /// Number of the line at hand, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether the line at hand has an end, or the file breaks off in it.
    pub(crate) fn is_whole(&self) -> bool {
        self.line.ends_with(b"\n")
    }

    /// The line at hand.
    pub(crate) fn text(&self) -> &[u8] {
        self.line.trim_ascii()
    }

    /// A diagnostic for the line at hand; `column` counts bytes from 0.
    pub(crate) fn malformed(&self, column: usize, message: &str, help: &str) -> TraceError {
        let line = self.text();
        let at = column.min(line.len());
        let (from, to) = (at.saturating_sub(60), (at + 40).min(line.len()));
        let before = printable(&line[from..at]);
        let after = printable(&line[at..to]);
        let (start, length) = (before.len(), usize::from(!after.is_empty()));
        TraceError::Malformed {
            path: self.path.clone(),
            message: message.to_owned(),
            line: self.number,
            column: at as u64 + 1,
            excerpt: Arc::new(NamedSource::new("the text there", format!("{before}{after}"))),
            span: (start.saturating_sub(usize::from(length == 0)), 1).into(),
            help: help.to_owned(),
        }
    }
}
