//! Targets that read measurements and what the program itself wrote.
//!
//! Left out: PDF and PNG, which are made from our own SVG.

use std::hint::black_box;

use lumacycle_figures::{Kind, Options, Table, Theme, compare, draw, explain};
use lumacycle_sim::explore::store;
use lumacycle_validate::measurements::read;
use lumacycle_validate::{SUITES, run};

use crate::{text, with_file};

/// The suite that an input is for, and its rows: the first line names it, by its length where it is no name.
fn suite(bytes: &[u8]) -> Option<(&'static str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (name, rest) = (&bytes[..end], &bytes[end + 1..]);
    let named = SUITES.iter().find(|suite| suite.as_bytes() == name);
    Some((named.unwrap_or(&SUITES[end % SUITES.len()]), rest))
}

/// Rows are priced where there are few, and only for some inputs, since
/// looking up a GPU by a wrong name takes as long as reading a thousand tables.
pub fn measurements(bytes: &[u8]) {
    let Some((suite, rest)) = suite(bytes) else { return };
    with_file("rows.csv", rest, |path| {
        let Ok(rows) = read(path, &["gpu"]) else { return };
        for row in &rows {
            black_box((row.text("dtype"), row.number("runtime_us"), row.count("m")));
        }
        let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
        if rows.len() <= 4 && sum.is_multiple_of(16) {
            let _ = black_box(run(suite, path, &[], true));
        }
    });
}

pub fn records(bytes: &[u8]) {
    with_file("records.jsonl", bytes, |path| {
        let mut last = 0;
        let read = store::read(path, |_, place| last = place);
        if let Ok(Some((_, whole))) = read {
            assert!(last < whole && whole <= bytes.len() as u64, "{last} {whole}");
        }
        if let Ok(mut lookup) = store::Lookup::open(path) {
            let _ = black_box(lookup.at(last));
        }
    });
}

pub fn style(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(theme) = Theme::parse(text) else { return };
    let table = Table::parse(b"gpu,part,time_ms\na,encoding,1\na,MLP,2\nb,rest,3\n", &[]);
    if let Ok(table) = table {
        sound(Kind::Breakdown, &table, &Options::default(), &theme);
    }
}

pub fn figure(bytes: &[u8]) {
    let Some((kind, table, options)) = asked(bytes) else { return };
    for options in options {
        sound(kind, &table, &options, &Theme::default());
    }
}

/// What an input asks for. Its first byte says which kind of figure, counted from `!`, so that seeds keep theirs
/// when a kind is added.
fn asked(bytes: &[u8]) -> Option<(Kind, Table, [Options; 2])> {
    let (first, rest) = bytes.split_first()?;
    let kind = Kind::ALL[usize::from(first.wrapping_sub(b'!')) % Kind::ALL.len()];
    let table = Table::parse(rest, kind.records()).ok()?;
    let column = |at: usize| table.header.get(at).cloned();
    let chosen = Options {
        x: column(0),
        y: column(table.header.len().saturating_sub(1)),
        by: column(1),
        log: true,
        labels: 5,
        ..Options::default()
    };
    Some((kind, table, [Options { labels: 5, ..Options::default() }, chosen]))
}

/// No coordinate of a figure is anything but a number.
fn sound(kind: Kind, table: &Table, options: &Options, theme: &Theme) {
    let Ok(figure) = draw(kind, table, options, theme) else { return };
    for word in ["=\"NaN", "=\"inf", "=\"-inf", " NaN", " inf "] {
        let at = figure.svg.find(word);
        let tag = at.map(|at| figure.svg[..at].rfind(['<', '>']).unwrap_or(0));
        // Text of the figure may say anything.
        let in_tag = tag.is_some_and(|tag| figure.svg[tag..].starts_with('<'));
        assert!(!in_tag, "{kind:?} has a coordinate that is no number");
    }
}

pub fn compared(bytes: &[u8]) {
    if let Some(text) = text(bytes) {
        let _ = black_box(compare::lines(text));
    }
}

pub fn explained(bytes: &[u8]) {
    let _ = black_box(explain::told(bytes, 5));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

    use super::*;

    #[test]
    fn every_suite_has_a_seed_whose_rows_are_compared() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/measurements");
        let mut seen = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let (suite, rest) = suite(&bytes).unwrap();
            with_file("rows.csv", rest, |path| {
                let report = run(suite, path, &[], true).unwrap();
                assert!(report.rows_used > 0, "{suite}: {:?}", report.rows_left_out);
            });
            seen.push(suite);
        }
        for suite in SUITES {
            assert!(seen.contains(suite), "{suite}");
        }
    }

    #[test]
    fn every_kind_has_a_seed_that_is_drawn() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/figure");
        let mut drawn = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let Some((kind, table, options)) = asked(&bytes) else { continue };
            if options.iter().any(|options| draw(kind, &table, options, &Theme::default()).is_ok())
            {
                drawn.push(kind);
            }
        }
        for kind in Kind::ALL {
            assert!(drawn.contains(&kind), "{kind:?}");
        }
    }
}
