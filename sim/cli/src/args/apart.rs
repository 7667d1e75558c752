//! Results that would be written over what they are made from, or over each other.
//!
//! A recording cannot be made again: `-o` with the name of the profile itself is a slip, not a wish.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::builder::ValueHint;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use crate::failure::Failure;

/// Options that name a file to be written.
const WRITTEN: [&str; 5] = ["output", "timeline", "rows", "expected", "image"];

/// Refuses a command line that names one file twice, at least once to be written.
pub fn apart(command: &Command, matches: &ArgMatches) -> Result<(), Failure> {
    let (mut command, mut matches) = (command, matches);
    let mut named: Vec<(String, PathBuf, bool)> = Vec::new();
    loop {
        let given = |arg: &&Arg| {
            matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
        };
        for arg in command.get_arguments().filter(given) {
            let Ok(Some(values)) = matches.try_get_raw(arg.get_id().as_str()) else { continue };
            let files = values.filter(|value| is_file(arg, value)).map(PathBuf::from);
            let written = WRITTEN.contains(&arg.get_id().as_str());
            named.extend(files.map(|path| (shown(arg), path, written)));
        }
        let Some((name, inner)) = matches.subcommand() else { break };
        let Some(next) = command.find_subcommand(name) else { break };
        (command, matches) = (next, inner);
    }
    for (at, (option, path, written)) in named.iter().enumerate() {
        let others = named.iter().enumerate().filter(|(other, _)| *other != at);
        let mut others = others.map(|(_, other)| other);
        if let Some((other, _, _)) = others.find(|other| *written && same(path, &other.1)) {
            return Err(twice(path, option, other));
        }
    }
    Ok(())
}

/// What is told when a file is both.
pub fn twice(path: &Path, written: &str, other: &str) -> Failure {
    Failure::usage(
        format!("{written} would write over {}, which {other} names as well", path.display()),
        "nothing was written; give the result a name of its own",
    )
}

/// Names of the catalogue and words such as `json` may be names of files as well, but are not meant as such.
fn is_file(arg: &Arg, value: &OsStr) -> bool {
    let path = matches!(arg.get_value_hint(), ValueHint::AnyPath | ValueHint::FilePath);
    path || arg.get_possible_values().is_empty() && Path::new(value).extension().is_some()
}

fn shown(arg: &Arg) -> String {
    let value = arg.get_value_names().and_then(|names| names.first());
    match (arg.get_long(), value) {
        (Some(long), _) => format!("--{long}"),
        (None, Some(name)) => name.to_string(),
        (None, None) => arg.get_id().to_string(),
    }
}

/// Whether two paths are one file, there already or to be made; devices take what comes.
pub fn same(a: &Path, b: &Path) -> bool {
    let place = |path: &Path| {
        if let Ok(there) = path.canonicalize() {
            return there.is_file().then_some(there);
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        Some(folder.unwrap_or(Path::new(".")).canonicalize().ok()?.join(path.file_name()?))
    };
    place(a).is_some_and(|place_of_a| place(b) == Some(place_of_a))
}
