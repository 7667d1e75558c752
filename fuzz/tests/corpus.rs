//! Every target on its seeds and on mutations of them, with nothing but the toolchain.
//!
//! `LUMACYCLE_FUZZ_CASES` says how many mutations a target gets, `LUMACYCLE_FUZZ_SEED` which, and
//! `LUMACYCLE_FUZZ_TARGET` names the only target to run.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use std::path::Path;
use std::time::{Duration, Instant};

use lumacycle_arch::Catalog;
use lumacycle_figures::Theme;
use lumacycle_fuzz::mutate::mutated;
use lumacycle_fuzz::{TARGETS, Target};
use lumacycle_sim::explore::space::Space;
use lumacycle_sim::study::Study;
use lumacycle_workloads::apps::Application;
use lumacycle_workloads::scene::{CameraPath, Mesh};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Longest time that an input may take, in a build that is not optimised and on a busy machine.
const SLOW: Duration = Duration::from_secs(10);

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Seeds of a target, in the order of their names.
fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let own = format!("fuzz/seeds/{}", target.name);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut paths: Vec<_> = std::iter::once(own.as_str())
        .chain(target.seeds.iter().copied())
        .filter_map(|folder| std::fs::read_dir(root.join(folder)).ok())
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Runs an input and says what it was when that fails.
fn run(target: &Target, bytes: &[u8], what: &str) {
    let begun = Instant::now();
    let result = std::panic::catch_unwind(|| (target.run)(bytes));
    let took = begun.elapsed();
    if result.is_err() || took > SLOW {
        let path = std::env::temp_dir().join(format!("lumacycle-{}-find", target.name));
        std::fs::write(&path, bytes).unwrap();
        assert!(result.is_ok(), "{}: {what} panics; kept as {}", target.name, path.display());
        assert!(took <= SLOW, "{}: {what} takes {took:?}; kept as {}", target.name, path.display());
    }
}

#[test]
fn every_target_has_seeds_and_survives_them() {
    for target in TARGETS {
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        for (number, seed) in seeds.iter().enumerate() {
            run(target, seed, &format!("seed {number}"));
        }
        run(target, b"", "nothing");
    }
}

#[test]
fn every_target_survives_mutations() {
    let cases = number("LUMACYCLE_FUZZ_CASES", 400);
    let seed = number("LUMACYCLE_FUZZ_SEED", 1);
    let only = std::env::var("LUMACYCLE_FUZZ_TARGET").unwrap_or_default();
    for (index, target) in TARGETS.iter().enumerate() {
        if !only.is_empty() && only != target.name {
            continue;
        }
        let seeds = seeds(target);
        let mut random = ChaCha8Rng::seed_from_u64(seed << 8 | index as u64);
        for case in 0..cases {
            let from = &seeds[case as usize % seeds.len()];
            let input = mutated(&mut random, from, &seeds, target.longest);
            run(target, &input, &format!("mutation {case} of seed {seed}"));
        }
    }
}

/// Seeds of a target, with their paths.
fn paths(target: &str) -> Vec<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// A target whose seeds are refused at the door would run for ever and find nothing.
#[test]
fn recordings_are_read_and_not_refused() {
    let read = |path: &Path| {
        let recordings = lumacycle_traces::read(path, lumacycle_traces::ReadOptions::default());
        let events: usize = recordings.unwrap().iter().map(|one| one.events.len()).sum();
        assert!(events > 0, "{} holds no event that is understood", path.display());
    };
    for target in [
        "kineto",
        "own-trace",
        "launch-list",
        "nsys-csv",
        "ncu",
        "nvprof",
        "instructions",
        "container",
    ] {
        for path in paths(target) {
            read(&path);
        }
    }
    if cfg!(feature = "sqlite") {
        for path in paths("nsys-sqlite") {
            read(&path);
        }
    }
    // Lists stand beside what they name.
    for path in paths("kernels-list") {
        let folder = tempfile::tempdir().unwrap();
        let trace = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/instructions/small.traceg");
        std::fs::copy(trace, folder.path().join("kernel-1.traceg")).unwrap();
        let list = folder.path().join("kernelslist.g");
        std::fs::copy(path, &list).unwrap();
        read(&list);
    }
}

fn done<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<(), String> {
    result.map(drop).map_err(|error| error.to_string())
}

#[test]
fn descriptions_are_read_and_not_refused() {
    let catalog = Catalog::embedded();
    let each = |target: &str, read: &dyn Fn(&str) -> Result<(), String>| {
        for path in paths(target) {
            let text = std::fs::read_to_string(&path).unwrap();
            if let Err(why) = read(&text) {
                panic!("{}: {why}", path.display());
            }
        }
    };
    each("gpu", &|text| done(catalog.parse("mine", "mine.toml", text)));
    each("accelerator", &|text| done(catalog.parse_accelerator("mine", "mine.toml", text)));
    each("sparse-accelerator", &|text| {
        done(catalog.parse_sparse_accelerator("mine", "mine.toml", text))
    });
    each("application", &|text| done(Application::parse(text)));
    each("space", &|text| done(Space::parse(text)));
    each("study", &|text| done(Study::parse(text).and_then(|study| study.run(None))));
    each("mesh", &|text| done(Mesh::triangles_from_obj(text)));
    each("cameras", &|text| done(CameraPath::from_transforms(text)));
    each("style", &|text| done(Theme::parse(text)));
}
