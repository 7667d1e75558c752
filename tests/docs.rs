//! The documentation holds together: links lead somewhere, the book has every page, and pages that are
//! made from the program say what it says. Its commands are run in `docs_commands.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on should stop there, and says so on stderr"
)]

#[path = "support/pages.rs"]
mod pages;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use support::{code, root, run, stdout};

/// A path without `.` and `..`, or none if it leaves the repository.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                if !out.pop() {
                    return None;
                }
            }
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    Some(out)
}

/// What is wrong with a link of a page, if anything.
fn broken(
    page: &pages::Page,
    target: &str,
    known: &BTreeMap<PathBuf, pages::Page>,
) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(f, a)| (f, Some(a)));
    let folder = page.path.parent().unwrap_or(Path::new(""));
    let Some(path) =
        (if file.is_empty() { Some(page.path.clone()) } else { normal(&folder.join(file)) })
    else {
        return Some("leaves the repository".to_owned());
    };
    if !root().join(&path).exists() {
        return Some("leads nowhere".to_owned());
    }
    // The book is made of docs alone.
    if page.path.starts_with("docs") && !path.starts_with("docs") {
        return Some("leaves docs, so that the book cannot follow it".to_owned());
    }
    let anchor = anchor?;
    match known.get(&path) {
        Some(page) if page.anchors.iter().any(|known| known == anchor) => None,
        Some(page) => Some(format!("no heading #{anchor}; there are {}", page.anchors.join(", "))),
        None => Some("an anchor in what is no page".to_owned()),
    }
}

#[test]
fn every_link_leads_somewhere() {
    let known: BTreeMap<PathBuf, pages::Page> =
        pages::all().into_iter().map(|page| (page.path.clone(), page)).collect();
    let mut count = 0;
    let mut wrong = Vec::new();
    for page in known.values() {
        for (line, target) in &page.links {
            count += 1;
            if let Some(why) = broken(page, target, &known) {
                wrong.push(format!("{}:{line}: {target}: {why}", page.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 100, "only {count} links were found");
    // The check itself can fail.
    let page = &known[Path::new("docs/SUMMARY.md")];
    for (target, why) in [
        ("nowhere.md", "leads nowhere"),
        ("../README.md", "leaves docs"),
        ("../../x.md", "leaves the repository"),
        ("accuracy.md#nothing", "no heading"),
    ] {
        assert!(broken(page, target, &known).unwrap().contains(why), "{target}");
    }
}

#[test]
fn the_book_has_every_page_once() {
    let summary = pages::Page::read(Path::new("docs/SUMMARY.md"));
    let mut listed: Vec<PathBuf> =
        summary.links.iter().map(|(_, target)| Path::new("docs").join(target)).collect();
    listed.sort();
    let mut there = pages::below("docs");
    there.retain(|path| !path.ends_with("SUMMARY.md"));
    for page in &there {
        let times = listed.iter().filter(|path| *path == page).count();
        assert_eq!(times, 1, "docs/SUMMARY.md names {} {times} times", page.display());
    }
    assert_eq!(listed.len(), there.len());
}

/// Pages that follow from the program.
#[test]
fn pages_made_by_the_program_are_fresh() {
    for page in ["cli", "catalogue", "metrics"] {
        let output = run(&["reference", page]);
        assert_eq!(code(&output), 0);
        let path = format!("docs/reference/{page}.md");
        let there = std::fs::read_to_string(root().join(&path)).unwrap();
        assert!(
            there == stdout(&output),
            "{path} is stale: cargo run -- reference {page} > {path}"
        );
    }
}

/// Names of all keys of a result, but for those below `operation`.
fn keys_of(value: &serde_json::Value, out: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, inner) in map {
                out.insert(key.clone());
                if key != "operation" {
                    keys_of(inner, out);
                }
            }
        }
        serde_json::Value::Array(list) => list.iter().for_each(|inner| keys_of(inner, out)),
        _ => {}
    }
}

/// The tables of results name every key, and none that is not there.
#[test]
fn keys_of_results_are_documented() {
    let text = std::fs::read_to_string(root().join("docs/reference/files.md")).unwrap();
    let commands = [
        ("kernel", "kernel gemm 512 512 512 --gpu a100"),
        ("replay", "replay docs/examples/transformer.jsonl --gpu a100"),
        ("run", "run gia --resolution 96x54 --gpu rtx3090 --accelerator ngpc-8 --as-published"),
    ];
    for (name, command) in commands {
        let (_, rest) = text.split_once(&format!("### JSON of `{name}`\n")).unwrap();
        let section = rest.split("\n### ").next().unwrap();
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        let first = rows.filter_map(|row| row.split('|').nth(1));
        let written: BTreeSet<String> =
            first.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned)).collect();
        let words: Vec<&str> = command.split(' ').chain(["--format", "json"]).collect();
        let mut there = BTreeSet::new();
        keys_of(&serde_json::from_str(&stdout(&run(&words))).unwrap(), &mut there);
        let missing: Vec<_> = there.difference(&written).collect();
        let gone: Vec<_> = written.difference(&there).collect();
        assert!(
            missing.is_empty() && gone.is_empty(),
            "{name}: undocumented {missing:?}, gone {gone:?}"
        );
    }
}

/// Documented examples in TOML can be read.
#[test]
fn toml_blocks_are_toml() {
    for page in pages::all() {
        let blocks = page.code.iter().filter(|code| code.fence.as_deref() == Some("toml"));
        for block in blocks {
            let read = block.text.parse::<toml::Table>();
            assert!(read.is_ok(), "{}:{}: {}", page.name(), block.line, read.unwrap_err());
        }
    }
}
