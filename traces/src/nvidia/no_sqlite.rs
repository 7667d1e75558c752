//! Builds without SQLite: databases are recognised and refused.

use std::io::BufRead;
use std::path::Path;

use crate::TraceError;
use crate::recording::Recording;

/// Whether a file starts like a SQLite database.
pub(crate) fn looks_like(head: &[u8]) -> bool {
    head.starts_with(b"SQLite format 3\0")
}

/// Refuses a database.
pub(crate) fn read(
    path: &Path,
    _layer: impl BufRead,
    _container: Option<&'static str>,
    _recording: &mut Recording,
) -> Result<(), TraceError> {
    Err(TraceError::NotATrace {
        path: path.to_owned(),
        reason: "it is a database, and this build was made without SQLite".to_owned(),
        help: "build with the feature `sqlite`, or export the timeline as CSV: nsys stats --report cuda_gpu_trace --format csv FILE.nsys-rep".to_owned(),
    })
}
