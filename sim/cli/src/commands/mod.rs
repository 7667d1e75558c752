//! One module per command.

pub mod accelerated;
pub mod calibrate;
pub mod catalog;
#[cfg(feature = "parquet")]
mod columns;
pub mod completions;
pub mod diff;
pub mod explain;
pub mod explore;
mod explore_files;
mod explore_outer;
pub mod figures;
mod figures_recipes;
pub mod inputs;
pub mod kernel;
pub mod man;
pub mod parts;
pub mod plot;
pub mod reference;
pub mod replay;
mod report;
mod report_accelerated;
mod report_explore;
mod report_tensorf;
mod report_validate;
pub mod run;
pub mod study;
mod sweep;
mod tables;
mod tensorf;
mod text;
mod timeline;
pub mod trace;
pub mod validate;
mod validate_neural;
mod validate_ngp;
mod validate_ngpc;
mod validate_power;
mod validate_rtnerf;

use std::path::Path;

use lumacycle_arch::technology::TEMPERATURES_C;
use lumacycle_arch::{Catalog, Entry};
use lumacycle_engines::{L2Start, Options};

use crate::args::{EngineArgs, GpuArgs};
use crate::failure::Failure;

/// SM clocks that a part may be set to, as shares of its boost clock: application clocks go far
/// down, and overclocking a little up.
const SM_CLOCKS: std::ops::RangeInclusive<f64> = 0.05..=1.5;

/// Board power limits, as shares of the usual one.
const POWER_LIMITS: std::ops::RangeInclusive<f64> = 0.3..=1.3;

/// Memory clocks that may be asked for, as multiples of the catalogue's.
const MEMORY_CLOCKS: std::ops::RangeInclusive<f64> = 0.1..=1.5;

/// A catalogue entry by name, or a description from a file.
pub fn gpu(catalog: &Catalog, name: &str) -> Result<Entry, Failure> {
    let path = Path::new(name);
    let is_file = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
    if !is_file {
        return catalog.get(name).map_err(|error| unknown(name, error));
    }
    let text = description(path)?;
    if catalog.is_accelerator(&text) {
        return Err(Failure::BadScene {
            file: name.to_owned(),
            what: "this describes an accelerator, not a GPU".to_owned(),
            help: "give it with --accelerator".to_owned(),
        });
    }
    let id = path.file_stem().map_or_else(|| name.to_owned(), |s| s.to_string_lossy().into_owned());
    Ok(catalog.parse(&id, name, &text)?)
}

/// What a name is told that the catalogue does not know: a file by any other ending is taken for one.
pub fn unknown(name: &str, error: lumacycle_arch::Error) -> Failure {
    if !Path::new(name).exists() {
        return error.into();
    }
    Failure::BadScene {
        file: name.to_owned(),
        what: "no entry of the catalogue is called that, and files of one's own end in .toml"
            .to_owned(),
        help: "give the description a name that ends in .toml".to_owned(),
    }
}

/// The text of a hardware description.
pub fn description(path: &Path) -> Result<String, Failure> {
    use std::io::Read as _;
    /// Larger than any description; stops at devices and at files given by mistake.
    const MOST_BYTES: u64 = 1 << 20;
    let failed = |reason: String| Failure::Input { path: path.to_owned(), reason };
    let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(failed("it is larger than 1 MiB and no hardware description".to_owned()));
    }
    text::decoded(path, bytes)
}

/// The GPUs and engine options of a command line.
pub fn engines(args: &GpuArgs) -> Result<(Vec<Entry>, Options), Failure> {
    chosen(&args.gpus, &args.engine)
}

/// The same from its parts.
pub fn chosen(names: &[String], args: &EngineArgs) -> Result<(Vec<Entry>, Options), Failure> {
    let catalog = Catalog::embedded();
    let gpus: Result<Vec<_>, _> = names.iter().map(|name| gpu(&catalog, name)).collect();
    let l2 = if args.cold_l2 { L2Start::Cold } else { L2Start::Warm };
    let gpus = gpus?;
    let set = [
        ("--clock", args.clock.is_some()),
        ("--mem-clock", args.mem_clock.is_some()),
        ("--power-limit", args.power_limit.is_some()),
        ("--temperature", args.temperature.is_some()),
    ];
    if let Some((option, _)) = set.iter().find(|(_, given)| gpus.is_empty() && *given) {
        return Err(Failure::usage(
            format!("{option} is for GPUs, and none is asked for"),
            "name one with --gpu; clock and temperature of an accelerator stand in its description",
        ));
    }
    let clock_hz = args.clock.as_deref().map(|text| sm_clock(text, &gpus)).transpose()?;
    let mem_clock_hz =
        args.mem_clock.as_deref().map(|text| memory_clock(text, &gpus)).transpose()?;
    let power_limit_w =
        args.power_limit.as_deref().map(|text| power_limit(text, &gpus)).transpose()?;
    let temperature_c = args.temperature;
    if let Some(celsius) = temperature_c.filter(|celsius| !TEMPERATURES_C.contains(celsius)) {
        return Err(Failure::usage(
            format!("--temperature: no chip works at {celsius} degrees Celsius"),
            format!("give {} to {}", TEMPERATURES_C.start(), TEMPERATURES_C.end()),
        ));
    }
    let rest = Options::default();
    Ok((gpus, Options { l2, clock_hz, mem_clock_hz, power_limit_w, temperature_c, ..rest }))
}

/// An SM clock that all of these GPUs could be set to.
fn sm_clock(text: &str, gpus: &[Entry]) -> Result<f64, Failure> {
    let clock = lumacycle_arch::units::Frequency::parse(text)
        .map_err(|e| Failure::usage(format!("--clock: {e}"), "write it with its unit"))?;
    for entry in gpus {
        let boost = entry.gpu.clocks.boost.hz();
        let (least, most) = (SM_CLOCKS.start() * boost, SM_CLOCKS.end() * boost);
        if !(least..=most).contains(&clock.hz()) {
            return Err(Failure::usage(
                format!("--clock: {text} is no SM clock of {}", entry.id),
                format!(
                    "it boosts to {:.0} MHz; give {:.0} to {:.0} MHz",
                    boost / 1e6,
                    least / 1e6,
                    most / 1e6
                ),
            ));
        }
    }
    Ok(clock.hz())
}

/// A power limit that all of these boards could be given.
fn power_limit(text: &str, gpus: &[Entry]) -> Result<f64, Failure> {
    let limit = lumacycle_arch::units::Power::parse(text)
        .map_err(|e| Failure::usage(format!("--power-limit: {e}"), "write it with its unit"))?;
    for entry in gpus {
        let own = entry.gpu.power.limit.watts();
        let (least, most) = (POWER_LIMITS.start() * own, POWER_LIMITS.end() * own);
        if !(least..=most).contains(&limit.watts()) {
            return Err(Failure::usage(
                format!("--power-limit: {text} is no limit of {}", entry.id),
                format!("its own is {own:.0} W; give {least:.0} to {most:.0} W"),
            ));
        }
    }
    Ok(limit.watts())
}

/// A memory clock that all of these GPUs could be asked for.
fn memory_clock(text: &str, gpus: &[Entry]) -> Result<f64, Failure> {
    let clock = lumacycle_arch::units::Frequency::parse(text)
        .map_err(|e| Failure::usage(format!("--mem-clock: {e}"), "write it with its unit"))?;
    for entry in gpus {
        let own = entry.gpu.memory_clock_hz();
        let (least, most) = (MEMORY_CLOCKS.start() * own, MEMORY_CLOCKS.end() * own);
        if !(least..=most).contains(&clock.hz()) {
            return Err(Failure::usage(
                format!("--mem-clock: {text} is no memory clock of {}", entry.id),
                format!(
                    "its memory runs at {:.0} MHz; give {:.0} to {:.0} MHz",
                    own / 1e6,
                    least / 1e6,
                    most / 1e6
                ),
            ));
        }
    }
    Ok(clock.hz())
}
