//! One module per command.

pub mod catalog;
pub mod completions;
pub mod kernel;
pub mod replay;
mod tables;
pub mod trace;
pub mod validate;

use std::path::Path;

use lumacycle_arch::{Catalog, Entry};
use lumacycle_engines::{L2Start, Options};

use crate::args::GpuArgs;
use crate::failure::Failure;

/// A catalogue entry by name, or a description from a file.
pub fn gpu(catalog: &Catalog, name: &str) -> Result<Entry, Failure> {
    let path = Path::new(name);
    let is_file = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
    if !is_file {
        return Ok(catalog.get(name)?);
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Input { path: path.to_owned(), reason: error.to_string() })?;
    let id = path.file_stem().map_or_else(|| name.to_owned(), |s| s.to_string_lossy().into_owned());
    Ok(catalog.parse(&id, name, &text)?)
}

/// The GPUs and engine options of a command line.
pub fn engines(args: &GpuArgs) -> Result<(Vec<Entry>, Options), Failure> {
    let catalog = Catalog::embedded();
    let gpus: Result<Vec<_>, _> = args.gpus.iter().map(|name| gpu(&catalog, name)).collect();
    let clock_hz = match &args.clock {
        None => None,
        Some(text) => {
            let clock = lumacycle_arch::units::Frequency::parse(text)
                .map_err(|e| Failure::usage(format!("--clock: {e}"), "write it with its unit"))?;
            if clock.hz() <= 0.0 {
                return Err(Failure::usage(
                    "--clock must be above zero",
                    "write e.g. \"1.41 GHz\"",
                ));
            }
            Some(clock.hz())
        }
    };
    let l2 = if args.cold_l2 { L2Start::Cold } else { L2Start::Warm };
    Ok((gpus?, Options { l2, clock_hz, relief: None }))
}
