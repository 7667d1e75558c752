//! The data of the shipped studies are what the program gives today.
//!
//! Each study is run at both ends of every axis, at its own resolution, and each row has to stand in
//! `docs/studies` byte for byte. `.ci/determinism` runs all points. A change that is meant is made with
//! `lumacycle study sim/studies/*.toml --out docs/studies` and read with `git diff docs/studies`
//! (see CONTRIBUTING.md). The first and the last design in the table of each space's page are asked for anew as
//! well; `.ci/spaces` runs the spaces whole and compares all of their fronts and their figures.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod support;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Stdio;

use support::{code, folder, lumacycle, root, run, stderr, stdout, write};
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

/// Cells of the table in a page.
fn table(page: &str) -> Vec<Vec<String>> {
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let cells = |row: &str| row.trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect();
    rows.map(cells).collect()
}

#[test]
fn pages_of_spaces_say_what_the_program_says() {
    let dir = folder();
    let mut pages = 0;
    for entry in std::fs::read_dir(root().join("sim/spaces")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let page = std::fs::read_to_string(root().join(format!("docs/spaces/{name}.md"))).unwrap();
        let mut space: Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        space["search"].as_table_mut().unwrap()["method"] = "ask".into();
        let ranges: Vec<&str> = space["parameter"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|parameter| parameter.get("from").is_some())
            .map(|parameter| parameter["path"].as_str().unwrap())
            .collect();
        let all: Vec<&str> = space["parameter"]
            .as_array()
            .unwrap()
            .iter()
            .map(|parameter| parameter["path"].as_str().unwrap())
            .collect();
        let table = table(&page);
        let (header, rows) = table.split_first().unwrap();
        let rows = ends(rows);
        let mut questions = String::new();
        for row in &rows {
            let parameters =
                header.iter().zip(row).filter(|(name, _)| all.contains(&name.as_str()));
            let parameters = parameters.map(|(name, cell)| {
                // A range is asked for in its unit.
                let number = cell.split(' ').next().unwrap().parse::<f64>();
                let value = match number {
                    Ok(number) if ranges.contains(&name.as_str()) => number.into(),
                    _ => serde_json::Value::from(cell.as_str()),
                };
                (name.clone(), value)
            });
            let parameters: serde_json::Map<String, serde_json::Value> = parameters.collect();
            questions += &format!("{}\n", serde_json::json!({"parameters": parameters}));
        }
        let file = write(&dir, &format!("{name}.toml"), space.to_string().as_bytes());
        let mut child = lumacycle()
            .args(["explore", &file, "--out", dir.path().join(&name).to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(questions.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let answers = stdout(&output);
        for (row, answer) in rows.iter().zip(answers.lines().skip(1)) {
            let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
            assert_eq!(answer["feasible"], true, "{name}: {row:?}: {answer}");
            let shown = header.iter().zip(row).filter(|(name, _)| !all.contains(&name.as_str()));
            for (metric, cell) in shown {
                let now = answer["metrics"][metric].as_f64().unwrap();
                let told: f64 = cell.parse().unwrap();
                // Four digits are shown.
                assert!(
                    (now - told).abs() <= told.abs() * 5.1e-4,
                    "docs/spaces/{name}.md says {metric} = {told}, the program {now}, of {row:?}; if the change is \
                     meant, run `bash .ci/spaces PROGRAM --update` and read the page again"
                );
            }
        }
        assert_eq!(
            answers.lines().filter(|l| l.contains("\"point\"")).count(),
            rows.len(),
            "{name}"
        );
        pages += 1;
    }
    assert!(pages >= 5);
}
