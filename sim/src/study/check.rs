//! What can be said about a study before any of its systems runs, so that a slip in a sentence does not cost the run.
//!
//! Left out: what hardware allows, which only putting systems together tells.

use std::collections::BTreeMap;
use std::ops::Range;

use lumacycle_arch::nearest;
use serde::de::{Deserialize, Deserializer, Error};

use super::spec::{Axis, Study, StudyError, plain};

/// Longest side of an image, in pixels; the command line has the same.
const LONGEST_SIDE: u32 = 32_768;

/// Sides of an image.
pub(super) fn sides<'de, D: Deserializer<'de>>(source: D) -> Result<[u32; 2], D::Error> {
    let sides = <[u32; 2]>::deserialize(source)?;
    if sides.iter().all(|side| (1..=LONGEST_SIDE).contains(side)) {
        return Ok(sides);
    }
    Err(D::Error::custom(format!(
        "{} x {} is no image size: write [WIDTH, HEIGHT], with sides of 1 to {LONGEST_SIDE} pixels",
        sides[0], sides[1]
    )))
}

/// A share of the camera path.
pub(super) fn share<'de, D: Deserializer<'de>>(source: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(source)?;
    if (0.0..1.0).contains(&share) {
        return Ok(share);
    }
    Err(D::Error::custom(format!("at = {share} is no share of the camera path, from 0 to below 1")))
}

/// Axes and their steps are told apart by their names.
pub(super) fn axes(study: &Study, text: &str) -> Result<(), StudyError> {
    for (at, axis) in study.axis.iter().enumerate() {
        let name = axis.name();
        if study.axis[..at].iter().any(|other| other.name() == name) {
            let what = format!("axis \"{name}\" is there twice");
            let help = "give all its values in one [[axis]]".to_owned();
            return Err(told(second(text, name, 0), what, help));
        }
        let labels = labels(axis);
        let mut pairs = labels.iter().enumerate();
        if let Some((_, twice)) = pairs.find(|(at, label)| labels[..*at].contains(label)) {
            let what = format!("axis \"{name}\" has {twice} twice");
            let from = quoted(text, name, 0).map_or(0, |span| span.end);
            return Err(told(second(text, twice, from), what, "leave one of them out".to_owned()));
        }
    }
    Ok(())
}

fn labels(axis: &Axis) -> Vec<String> {
    axis.steps().into_iter().map(|step| step.label).collect()
}

/// Settings that values are taken at, and the names in the finding.
pub(super) fn values(study: &Study, text: &str) -> Result<(), StudyError> {
    let known: BTreeMap<&str, Vec<String>> =
        study.axis.iter().map(|axis| (axis.name(), labels(axis))).collect();
    for value in &study.value {
        for at in value.settings() {
            settings(&format!("value \"{}\" is taken", value.name), at, &known, text)?;
        }
    }
    if let Some(figure) = &study.figure {
        settings("the figure is drawn", &figure.at, &known, text)?;
    }
    finding(study, text)
}

/// Settings that a value is taken at, or a figure drawn, name axes and steps of theirs.
fn settings(
    who: &str,
    at: &BTreeMap<String, toml::Value>,
    known: &BTreeMap<&str, Vec<String>>,
    text: &str,
) -> Result<(), StudyError> {
    // After the name of the value, or the head of the figure.
    let mark = who.split('"').nth(1).map_or("[figure]".to_owned(), |name| format!("\"{name}\""));
    let from = text.find(&mark).map_or(0, |at| at + mark.len());
    for (axis, step) in at {
        let Some(steps) = known.get(axis.as_str()) else {
            let what = format!("{who} at \"{axis}\", which is no axis");
            let near = nearest(axis, known.keys().copied());
            let near = near.map(|near| format!("did you mean \"{near}\"? ")).unwrap_or_default();
            let all: Vec<&str> = known.keys().copied().collect();
            let span = word(text, axis, from);
            return Err(told(span, what, format!("{near}axes are {}", all.join(", "))));
        };
        let step = plain(step);
        if !steps.contains(&step) {
            let what = format!("{who} at {axis} = \"{step}\", which is no step of it");
            let help = format!("its steps are {}", steps.join(", "));
            return Err(told(quoted(text, &step, from), what, help));
        }
    }
    Ok(())
}

/// Names in braces are those of values.
fn finding(study: &Study, text: &str) -> Result<(), StudyError> {
    let mut rest = study.finding.as_str();
    while let Some(from) = rest.find('{') {
        let after = &rest[from + 1..];
        // Another brace before it is closed begins another name.
        let close = after.find(['{', '}']).filter(|at| after[*at..].starts_with('}'));
        let Some(to) = close else {
            let shown: String = rest[from..].chars().take(24).collect();
            let span = text.find(&shown).map(|at| at..at + shown.len());
            let what = "a brace in the finding is not closed".to_owned();
            return Err(told(span, what, "write {NAME}, with the name of a [[value]]".to_owned()));
        };
        let name = &after[..to];
        if !study.value.iter().any(|value| value.name == name) {
            let what = format!("the finding mentions {{{name}}}, which no [[value]] defines");
            let near = nearest(name, study.value.iter().map(|value| value.name.as_str()));
            let near = near.map(|near| format!("did you mean {{{near}}}? ")).unwrap_or_default();
            let span = text.find(&format!("{{{name}}}")).map(|at| at..at + name.len() + 2);
            let help = format!("{near}add a [[value]] of that name, or correct it");
            return Err(told(span, what, help));
        }
        rest = &after[to + 1..];
    }
    Ok(())
}

fn told(span: Option<Range<usize>>, what: String, help: String) -> StudyError {
    StudyError { span, what, help, contradicts: false }
}

/// Where a text stands in quotes, from a place on.
fn quoted(text: &str, word: &str, from: usize) -> Option<Range<usize>> {
    let at = from + text.get(from..)?.find(&format!("\"{word}\""))?;
    Some(at..at + word.len() + 2)
}

/// Where a text stands with or without quotes.
fn word(text: &str, word: &str, from: usize) -> Option<Range<usize>> {
    let bare = || text.get(from..)?.find(word).map(|at| from + at..from + at + word.len());
    quoted(text, word, from).or_else(bare)
}

/// Where a text stands for the second time.
fn second(text: &str, label: &str, from: usize) -> Option<Range<usize>> {
    let first = word(text, label, from)?;
    word(text, label, first.end)
}
