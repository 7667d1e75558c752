//! `lumacycle explain …`: what binds a kernel, a trace or a frame, in plain words and one table.
//!
//! It takes a JSON result of `kernel`, `replay` or `run`, or such a command line itself, which it then runs.

use std::path::Path;

use clap::ValueEnum;
use lumacycle_figures::explain::{Bound, Row, Told};
use serde_json::{Value, json};

use super::catalog::{csv, json_out};
use super::figures::said;
use super::plot::read;
use crate::args::{ExplainArgs, Format, OutputArgs, same, twice};
use crate::failure::Failure;
use crate::output;

/// Options of `explain` itself, wherever they stand: those behind a command line would be taken for the command's.
fn own(args: &ExplainArgs) -> Result<(ExplainArgs, Vec<&str>), Failure> {
    let mut own = ExplainArgs {
        what: Vec::new(),
        top: args.top,
        output: OutputArgs { format: args.output.format, output: args.output.output.clone() },
    };
    let mut words = Vec::new();
    let mut rest = args.what.iter().map(String::as_str);
    while let Some(word) = rest.next() {
        let (name, joined) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        if !["--top", "--format", "-o", "--output"].contains(&name) {
            words.push(word);
            continue;
        }
        let value = joined.or_else(|| rest.next()).ok_or_else(|| {
            Failure::usage(format!("{name} needs a value"), "see lumacycle explain --help")
        })?;
        let wrong = |help: &str| Failure::usage(format!("{name}: \"{value}\" is none"), help);
        match name {
            "--top" => own.top = value.parse().map_err(|_| wrong("give a number of kernels"))?,
            "--format" => {
                own.output.format =
                    Format::from_str(value, false).map_err(|_| wrong("known: table, csv, json"))?;
            }
            _ => own.output.output = Some(value.into()),
        }
    }
    Ok((own, words))
}

pub fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let (args, words) = own(args)?;
    let (source, bytes) = match words.as_slice() {
        ["kernel" | "replay" | "run", ..] => {
            let asked = words.join(" ");
            (asked, said(&[&words[..], &["--format", "json"]].concat())?)
        }
        [file] => {
            let written = args.output.output.as_deref();
            if let Some(path) = written.filter(|path| same(path, Path::new(file))) {
                return Err(twice(path, "--output", "the command line"));
            }
            ((*file).to_owned(), read(Path::new(file))?)
        }
        _ => {
            return Err(Failure::usage(
                "one file, or a command line of kernel, replay or run",
                "e.g. lumacycle explain kernel gemm 4096 4096 4096 --gpu rtx3090",
            ));
        }
    };
    let bad = |what: &str| Failure::BadScene {
        file: source.clone(),
        what: what.to_owned(),
        help: "write it with --format json of kernel, replay or run".to_owned(),
    };
    let told = lumacycle_figures::explain::told(&bytes, args.top).map_err(|what| bad(&what))?;
    print(&args, &told)
}

fn print(args: &ExplainArgs, told: &[Told]) -> Result<(), Failure> {
    let header =
        ["part", "time us", "share", "bound by", "beside it", "occupancy", "10 % more saves of it"];
    let resources = ["resource", "binds us", "of the whole", "needs alone us", "10 % more saves"];
    let bound = |row: &Bound| {
        let none = || "–".to_owned();
        let binds = row.bound_us > 0.0;
        vec![
            row.resource.clone(),
            if binds { output::short(row.bound_us) } else { none() },
            if binds { format!("{:.1} %", row.bound_pct) } else { none() },
            row.needed_us.filter(|us| *us > 0.0).map_or_else(none, output::short),
            if row.saves.is_empty() { none() } else { row.saves.clone() },
        ]
    };
    let cells = |row: &Row| {
        let part: String = row.part.chars().take(48).collect();
        vec![
            part,
            output::short(row.time_us),
            format!("{:.1} %", row.share_pct),
            row.bound_by.clone(),
            row.then.clone(),
            row.occupancy.clone(),
            row.saves.clone(),
        ]
    };
    match args.output.format {
        Format::Json => {
            let list: Vec<Value> = told
                .iter()
                .map(|told| {
                    let rows: Vec<Value> = told.rows.iter().map(|row| json!({
                        "part": row.part, "time_us": row.time_us, "share_pct": row.share_pct,
                        "bound_by": row.bound_by, "beside_it": row.then, "occupancy": row.occupancy,
                        "tenth_more_saves": row.saves,
                    })).collect();
                    let bounds: Vec<Value> = told.bounds.iter().map(|row| json!({
                        "resource": row.resource, "bound_us": row.bound_us, "bound_pct": row.bound_pct,
                        "needed_us": row.needed_us, "tenth_more_saves": row.saves,
                    })).collect();
                    json!({"gpu": told.gpu, "sentences": told.sentences, "bounds": bounds, "rows": rows})
                })
                .collect();
            json_out(&args.output, &json!(list))
        }
        Format::Csv => {
            let rows = told.iter().flat_map(|told| {
                told.rows.iter().map(|row| {
                    let mut all = vec![told.gpu.clone()];
                    all.extend(cells(row));
                    all
                })
            });
            let mut names = vec!["gpu"];
            names.extend(header);
            let bytes = csv(&names, rows)?;
            output::write(args.output.output.as_deref(), &bytes)
        }
        Format::Table => {
            let mut text = String::new();
            for told in told {
                text.push_str(&format!("{}\n", told.gpu));
                for sentence in &told.sentences {
                    text.push_str(&format!("  {sentence}\n"));
                }
                let mut table = output::table(&resources, 1);
                for row in &told.bounds {
                    table.add_row(bound(row));
                }
                text.push_str(&format!("\n{}", output::render(&table)));
                let mut table = output::table(&header, 1);
                for row in &told.rows {
                    table.add_row(cells(row));
                }
                text.push_str(&format!("\n{}\n", output::render(&table)));
            }
            output::write(args.output.output.as_deref(), text.as_bytes())
        }
    }
}
