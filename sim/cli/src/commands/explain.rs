//! `lumacycle explain …`: what binds a kernel, a trace or a frame, in plain words and one table.
//!
//! It takes a JSON result of `kernel`, `replay` or `run`, or such a command line itself, which it then runs.

use std::path::Path;

use lumacycle_figures::explain::{Row, Told};
use serde_json::{Value, json};

use super::catalog::{csv, json_out};
use super::figures::said;
use super::plot::read;
use crate::args::{ExplainArgs, Format};
use crate::failure::Failure;
use crate::output;

pub fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let words: Vec<&str> = args.what.iter().map(String::as_str).collect();
    let (source, bytes) = match words.as_slice() {
        [first @ ("kernel" | "replay" | "run"), ..] => {
            if words.iter().any(|word| word.starts_with("--format")) {
                return Err(Failure::usage(
                    "explain reads the JSON itself",
                    "leave --format out of the command that follows",
                ));
            }
            let _ = first;
            let mut words = words.clone();
            words.extend(["--format", "json"]);
            (args.what.join(" "), said(&words)?)
        }
        [file] => ((*file).to_owned(), read(Path::new(file))?),
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
    print(args, &told)
}

fn print(args: &ExplainArgs, told: &[Told]) -> Result<(), Failure> {
    let header =
        ["part", "time us", "share", "bound by", "beside it", "occupancy", "10 % more saves"];
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
                    json!({"gpu": told.gpu, "sentences": told.sentences, "rows": rows})
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
