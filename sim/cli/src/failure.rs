//! Failures with their exit codes, and how they are printed.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use lumacycle_sim::replay::{ReplayError, SelectionError};
use lumacycle_traces::TraceError;
use lumacycle_validate::ValidateError;
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};

/// Characters of a quoted line that are shown.
const LONGEST_QUOTE: usize = 400;

/// What can go wrong in a command.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Failure {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Catalog(#[from] lumacycle_arch::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Trace(#[from] TraceError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Selection(#[from] SelectionError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Validate(#[from] ValidateError),
    #[error("{message}")]
    Usage {
        message: String,
        #[help]
        help: String,
    },
    #[error("{what}")]
    UnknownName {
        what: String,
        #[help]
        help: String,
    },
    #[error("{file}: {what}")]
    BadScene {
        file: String,
        what: String,
        #[help]
        help: String,
    },
    #[error("{what}")]
    BadText {
        what: String,
        #[help]
        help: String,
        #[label("here")]
        span: miette::SourceSpan,
        #[source_code]
        source_code: Arc<miette::NamedSource<String>>,
    },
    #[error("cannot read {}: {reason}", path.display())]
    #[diagnostic(help("check that the path names a readable file"))]
    Input { path: PathBuf, reason: String },
    #[error("cannot write {}: {reason}", path.display())]
    #[diagnostic(help("nothing was left behind; choose another place for it"))]
    Output { path: PathBuf, reason: String },
    #[error("{what}")]
    Kept {
        what: String,
        #[help]
        help: String,
    },
    #[error("the result is outside the requested bound: {what}")]
    Bound { what: String },
    #[error("{what}")]
    Unfinished { what: String },
    #[error("{what}")]
    #[diagnostic(help("this is a defect of lumacycle; please report it with the command line"))]
    Internal { what: String },
    /// What a command that was run for this one said; it has its own help.
    #[error("{said}")]
    Said { said: String, command: String, code: u8 },
    #[error("the reader of the output went away")]
    ClosedPipe,
}

impl Failure {
    pub fn usage(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), help: help.into() }
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Bound { .. } | Self::Unfinished { .. } => 1,
            Self::Usage { .. } | Self::Selection(_) => 2,
            Self::Catalog(lumacycle_arch::Error::Unknown { .. })
            | Self::UnknownName { .. }
            | Self::Validate(ValidateError::UnknownSuite { .. } | ValidateError::Unknown { .. }) => {
                4
            }
            Self::Catalog(_)
            | Self::Trace(_)
            | Self::Replay(_)
            | Self::Validate(_)
            | Self::BadScene { .. }
            | Self::BadText { .. }
            | Self::Input { .. } => 3,
            Self::Output { .. } | Self::Kept { .. } => 5,
            Self::Internal { .. } => 70,
            Self::Said { code, .. } => *code,
            Self::ClosedPipe => 0,
        }
    }

    #[expect(clippy::print_stderr, reason = "this is where failures are told")]
    pub fn print(&self) {
        // Laid out already.
        if let Self::Said { said, command, .. } = self {
            eprintln!("{said}\n  in: lumacycle {command}");
            return;
        }
        let mut text = String::new();
        let handler = GraphicalReportHandler::new_themed(theme()).with_width(100);
        if handler.render_report(&mut text, self).is_err() {
            text = self.to_string();
        }
        for line in text.lines() {
            // A quoted line may be all of a file.
            if let Some((end, _)) = line.char_indices().nth(LONGEST_QUOTE) {
                eprintln!("{} …", &line[..end]);
            } else {
                eprintln!("{line}");
            }
        }
    }
}

/// Colours only on a terminal and without `NO_COLOR`.
fn theme() -> GraphicalTheme {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if std::io::stderr().is_terminal() && !plain {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    }
}

/// A defect ends with exit code 70 and one line instead of a backtrace.
#[expect(clippy::print_stderr, reason = "this is where defects are told")]
pub fn install_hooks() {
    std::panic::set_hook(Box::new(|info| {
        eprintln!("internal error: {info}");
        eprintln!("this is a defect of lumacycle; please report it with the command line");
        std::process::exit(70);
    }));
}
