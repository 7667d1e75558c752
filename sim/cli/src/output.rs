//! Writing results: whole files or nothing, tables that fit people, progress on a terminal.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tempfile::NamedTempFile;

use crate::failure::Failure;

/// Writes to stdout, or to a file that appears only when it is complete.
pub fn write(to: Option<&Path>, bytes: &[u8]) -> Result<(), Failure> {
    let Some(path) = to else {
        let mut out = io::stdout().lock();
        return match out.write_all(bytes).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ClosedPipe),
            Err(error) => {
                Err(Failure::Output { path: "standard output".into(), reason: error.to_string() })
            }
        };
    };
    let failed = |error: &dyn std::fmt::Display| unwritable(path, error);
    match place(path)? {
        Place::Device(target) => {
            let mut device =
                std::fs::OpenOptions::new().write(true).open(&target).map_err(|e| failed(&e))?;
            device.write_all(bytes).map_err(|e| failed(&e))
        }
        Place::File { target, permissions, mut file } => {
            file.write_all(bytes).map_err(|e| failed(&e))?;
            set_permissions(file.as_file(), permissions).map_err(|e| failed(&e))?;
            file.as_file().sync_all().map_err(|e| failed(&e))?;
            file.persist(&target).map_err(|e| failed(&e.error))?;
            Ok(())
        }
    }
}

fn unwritable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::Output { path: path.to_owned(), reason: error.to_string() }
}

/// Where bytes go before they are complete.
enum Place {
    /// Devices and pipes take the bytes as they come.
    Device(PathBuf),
    /// A file beside the target, which it replaces in the end; it goes away by itself if nothing comes of it.
    File { target: PathBuf, permissions: Option<std::fs::Permissions>, file: NamedTempFile },
}

fn place(path: &Path) -> Result<Place, Failure> {
    // A link keeps pointing where it did: what it points to is written.
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let existing = std::fs::metadata(&target).ok();
    if existing.as_ref().is_some_and(std::fs::Metadata::is_dir) {
        return Err(unwritable(path, &"it is a directory"));
    }
    if existing.as_ref().is_some_and(|metadata| !metadata.is_file()) {
        return Ok(Place::Device(target));
    }
    let folder = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = beside(path, folder)?;
    let permissions = existing.map(|metadata| metadata.permissions());
    Ok(Place::File { target, permissions, file })
}

/// A temporary file in a folder, for what will be called `path`.
fn beside(path: &Path, folder: &Path) -> Result<NamedTempFile, Failure> {
    if !folder.is_dir() {
        return Err(unwritable(path, &format!("there is no folder {}", folder.display())));
    }
    // The name of the temporary file, which the error ends in, means nothing to anyone.
    NamedTempFile::new_in(folder).map_err(|error| {
        let told = error.to_string();
        unwritable(path, &told.split(" at path ").next().unwrap_or_default())
    })
}

/// Makes sure that all files, and the folder of a report, can be written before anything is computed: none is left
/// behind because another could not be.
pub fn possible(files: &[Option<&Path>], report: Option<&Path>) -> Result<(), Failure> {
    for file in files.iter().flatten() {
        place(file)?;
    }
    let Some(report) = report else { return Ok(()) };
    let there = report.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    if !there.is_dir() {
        let what = if there == report { "it".to_owned() } else { there.display().to_string() };
        return Err(unwritable(report, &format!("{what} is a file, and a folder is wanted")));
    }
    beside(report, there).map(drop)
}

/// Makes a folder that files are to be written into.
pub fn folder(path: &Path) -> Result<(), Failure> {
    if path.exists() && !path.is_dir() {
        return Err(unwritable(path, &"it is a file, and a folder is wanted"));
    }
    std::fs::create_dir_all(path).map_err(|error| unwritable(path, &error))
}

/// The permissions of the file that is replaced; readable for all where there is none, since
/// temporary files are private.
#[cfg(unix)]
fn set_permissions(file: &std::fs::File, like: Option<std::fs::Permissions>) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(like.unwrap_or_else(|| std::fs::Permissions::from_mode(0o644)))
}

#[cfg(not(unix))]
fn set_permissions(_: &std::fs::File, _: Option<std::fs::Permissions>) -> io::Result<()> {
    Ok(())
}

/// Says something to the person at the terminal.
#[expect(clippy::print_stderr, reason = "talk goes to stderr from here only")]
pub fn say(text: &str) {
    eprintln!("{text}");
}

/// A table with a header; columns from `right_from` on hold numbers.
pub fn table(header: &[&str], right_from: usize) -> Table {
    let mut table = Table::new();
    // A rule under the header and nothing else: numbers want room, and pipes cut nicely.
    let style = TableStyle::new().header_separator(LineStyle::new('─', '─', '─', '─'));
    table.load_style(style).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.to_vec());
    for (index, column) in table.column_iter_mut().enumerate() {
        if index >= right_from {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// The table as text, without padding at line ends.
pub fn render(table: &Table) -> String {
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A bar on a terminal, silence elsewhere.
pub fn progress(length: u64, what: &str) -> ProgressBar {
    let target = if io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(length), target);
    if let Ok(style) =
        ProgressStyle::with_template("{msg:20} {wide_bar} {bytes}/{total_bytes} {eta}")
    {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}

/// `+4.2 %`, or a dash where there is nothing to say.
pub fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:+.1} %"))
}

/// Both ends of an interval as programs read them, in µs; empty cells where none is known.
pub fn ends(interval: Option<lumacycle_validate::expected::Interval>) -> [String; 2] {
    interval.map_or_else(Default::default, |interval| {
        [interval.low_us, interval.high_us].map(|end| format!("{end:.4}"))
    })
}

/// A number with three significant figures or so.
pub fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 100.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        v if v > 0.0 => format!("{value:.4}"),
        _ => "0".to_owned(),
    }
}
