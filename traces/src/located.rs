//! Where in a text something is wrong: readers say line and column, [`Located`] has kept the text
//! around it and makes the diagnostic.

use std::io::{self, BufRead, Read};
use std::path::Path;
use std::sync::Arc;

use miette::NamedSource;

use crate::TraceError;
use crate::source::damaged;

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
    pub(crate) fn new(inner: R) -> Self {
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

    pub(crate) fn describe(
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
