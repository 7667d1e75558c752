//! The house stays in order: arrows between crates, file sizes, what engines may know.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on should stop there, and says so on stderr"
)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Who may import whom.
const ARROWS: &[(&str, &[&str])] = &[
    ("arch", &[]),
    ("workloads", &[]),
    ("traces", &["workloads"]),
    ("engines", &["arch", "workloads"]),
    ("sim", &["arch", "workloads", "traces", "engines"]),
    ("validate", &["arch", "workloads", "traces", "engines", "sim"]),
    ("sim/api", &["arch", "workloads", "traces", "engines", "sim"]),
    ("sim/figures", &[]),
    ("fuzz", &["arch", "workloads", "traces", "engines", "sim", "validate", "figures"]),
    ("sim/cli", &["arch", "workloads", "traces", "engines", "sim", "validate", "figures"]),
];

fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                walk(&path, out);
            } else if path.extension().is_some_and(|end| end == "rs") {
                out.push(path);
            }
        }
    }
    let mut out = Vec::new();
    walk(&support::root(), &mut out);
    out.sort();
    out
}

#[test]
fn crates_import_only_what_lies_below_them() {
    let allowed: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    for (name, allowed) in &allowed {
        let text = std::fs::read_to_string(support::root().join(name).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        let imports = manifest["dependencies"].as_table().unwrap().keys();
        for import in imports.filter_map(|key| key.strip_prefix("lumacycle-")) {
            assert!(allowed.contains(&import), "{name} must not import {import}");
        }
    }
}

#[test]
fn every_crate_of_the_workspace_is_in_the_list_of_arrows() {
    let text = std::fs::read_to_string(support::root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    for member in manifest["workspace"]["members"].as_array().unwrap() {
        let member = member.as_str().unwrap();
        assert!(ARROWS.iter().any(|(name, _)| *name == member), "{member} has no arrows");
    }
}

#[test]
fn files_fit_in_a_head() {
    for path in sources() {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 600, "{} has {lines} lines: what is its second subject?", path.display());
    }
}

#[test]
fn modules_say_what_they_are() {
    for path in sources() {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//!"), "{} does not start with //!", path.display());
    }
}

/// Engines are pure: no files, no threads, no clock; transcendental functions come from libm so
/// that results are the same on every platform.
#[test]
fn engines_and_workloads_know_no_outside() {
    let forbidden = ["std::fs", "std::thread", "std::time", "std::env", "rayon", "HashMap"];
    let platform_math =
        [".powf(", ".exp(", ".ln(", ".log2(", ".log10(", ".sin(", ".cos(", ".tanh("];
    for path in sources() {
        let shown = path.strip_prefix(support::root()).unwrap().display().to_string();
        if !(shown.starts_with("engines/") || shown.starts_with("workloads/")) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for word in forbidden.iter().chain(&platform_math) {
            assert!(!text.contains(word), "{shown} uses {word}");
        }
    }
}

/// Nothing is fetched and nothing is told: no source opens a connection, and no package that could is built.
#[test]
fn nothing_speaks_to_a_network() {
    let own = Path::new("tests/house.rs");
    for path in sources() {
        let shown = path.strip_prefix(support::root()).unwrap().to_owned();
        if shown == own {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for word in ["std::net", "TcpStream", "UdpSocket", "UnixStream", "ToSocketAddrs"] {
            assert!(!text.contains(word), "{} uses {word}", shown.display());
        }
    }
    let text = std::fs::read_to_string(support::root().join("Cargo.lock")).unwrap();
    let locked: toml::Table = text.parse().unwrap();
    let packages: Vec<&str> = locked["package"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| package["name"].as_str().unwrap())
        .collect();
    assert!(packages.contains(&"lumacycle"), "{} packages", packages.len());
    for name in [
        "curl",
        "hyper",
        "mio",
        "native-tls",
        "openssl",
        "reqwest",
        "rustls",
        "socket2",
        "tokio",
        "ureq",
    ] {
        assert!(!packages.contains(&name), "{name} can open connections");
    }
}
