//! What can be wrong with a trace file, each with the place and what to do about it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::{Diagnostic, NamedSource, SourceSpan};

/// Why a trace could not be read.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum TraceError {
    /// The file system said no.
    #[error("cannot read {}: {reason}", path.display())]
    #[diagnostic(help("check that the path names a readable file"))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The text breaks off or is no valid JSON.
    #[error("{}: {message} at line {line}, column {column}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
        /// Line, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
        /// The text around the place.
        #[source_code]
        excerpt: Arc<NamedSource<String>>,
        /// The place in the excerpt.
        #[label("here")]
        span: SourceSpan,
        /// How to mend it.
        #[help]
        help: String,
    },
    /// The container (gzip, zstd, tar) is damaged.
    #[error("{}: the {container} data is damaged or cut short ({reason})", path.display())]
    #[diagnostic(help(
        "copy the file again; --keep-going reports what could be read up to the damage"
    ))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which container.
        container: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// A packed file that has to be unpacked first, and cannot be.
    #[error("{}: cannot be unpacked: {reason}", path.display())]
    #[diagnostic(help(
        "unpack it yourself and give the file that comes out; TMPDIR names the folder for temporary files"
    ))]
    Unpacked {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Readable, but no trace.
    #[error("{}: this is no trace that can be replayed: {reason}", path.display())]
    NotATrace {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
        /// What to give instead.
        #[help]
        help: String,
    },
    /// `--strict`, and something was not understood.
    #[error("{}: not understood: {reasons}", path.display())]
    #[diagnostic(help("without --strict they are counted and left out"))]
    Strict {
        /// The file.
        path: PathBuf,
        /// How many.
        count: u64,
        /// By reason.
        reasons: String,
    },
}

impl TraceError {
    /// The same with other words on what to do, where the kind of error has some of its own.
    pub(crate) fn with_help(mut self, words: String) -> Self {
        if let Self::Malformed { help, .. } | Self::NotATrace { help, .. } = &mut self {
            *help = words;
        }
        self
    }

    pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self::Unreadable { path: path.to_owned(), reason: error.to_string() }
    }
}
