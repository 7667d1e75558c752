//! The data of the shipped studies are what the program gives today.
//!
//! Each study is run at both ends of every axis, at its own resolution, and each row has to stand in
//! `docs/studies` byte for byte. `.ci/determinism` runs all points. A change that is meant is made with
//! `lumacycle study sim/studies/*.toml --out docs/studies` and read with `git diff docs/studies`
//! (see CONTRIBUTING.md).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod support;

use std::collections::BTreeSet;

use support::{code, folder, root, run, stderr, stdout, write};
use toml::{Table, Value};

/// The first and the last of them.
fn ends<T: Clone>(list: &[T]) -> Vec<T> {
    let last = list.len().saturating_sub(1);
    [list.first(), list.get(last).filter(|_| last > 0)].into_iter().flatten().cloned().collect()
}

/// The study with the ends of its axes only, without what is said about all of them.
fn at_its_ends(text: &str) -> Table {
    let mut study: Table = text.parse().unwrap();
    for axis in study["axis"].as_array_mut().unwrap() {
        let axis = axis.as_table_mut().unwrap();
        if let Some(values) = axis.get_mut("values") {
            *values = Value::Array(ends(values.as_array().unwrap()));
        }
        if let Some(Value::Table(sets)) = axis.get_mut("sets") {
            let names: Vec<String> = sets.keys().cloned().collect();
            let kept = ends(&names);
            sets.retain(|name, _| kept.iter().any(|kept| kept == name));
        }
    }
    study.remove("value");
    study.remove("figure");
    study.insert("finding".to_owned(), Value::String("ends".to_owned()));
    study
}

#[test]
fn shipped_studies_are_up_to_date() {
    let dir = folder();
    let mut paths: Vec<_> = std::fs::read_dir(root().join("sim/studies"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    paths.sort();
    assert!(paths.len() >= 14);
    for path in paths {
        let study = at_its_ends(&std::fs::read_to_string(&path).unwrap());
        let name = study["name"].as_str().unwrap().to_owned();
        let shipped =
            std::fs::read_to_string(root().join(format!("docs/studies/{name}.csv"))).unwrap();
        let shipped: BTreeSet<&str> = shipped.lines().collect();
        let file = write(&dir, "study.toml", study.to_string().as_bytes());
        let output = run(&["study", &file, "--format", "csv"]);
        assert_eq!(code(&output), 0, "{name}: {}", stderr(&output));
        let rows = stdout(&output);
        assert!(rows.lines().count() > 2, "{name}: {rows}");
        for row in rows.lines() {
            assert!(
                shipped.contains(row),
                "docs/studies/{name}.csv has no such row any more; if the change is meant, run \
                 `lumacycle study {} --out docs/studies` and review it:\n{row}",
                path.display()
            );
        }
    }
}
