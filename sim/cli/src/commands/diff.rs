//! `lumacycle diff A B`: two results of one command, line by line.

use std::collections::BTreeMap;
use std::path::Path;

use lumacycle_figures::compare::{Line, Lines};
use serde_json::{Value, json};

use super::catalog::{csv, json_out};
use super::plot::read;
use crate::args::{DiffArgs, Format};
use crate::failure::Failure;
use crate::output::{self, short};

pub fn run(args: &DiffArgs) -> Result<(), Failure> {
    let (unit, a) = lines(&args.before)?;
    let (other, b) = lines(&args.after)?;
    if unit != other {
        return Err(Failure::usage(
            format!("one result holds {unit}, the other {other}"),
            "compare two results of one command",
        ));
    }
    let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
    names.sort();
    names.dedup();
    let of = |lines: &BTreeMap<String, Line>, name: &str| lines.get(name).map_or(0.0, |l| l.value);
    // What changed most comes first.
    names.sort_by(|x, y| {
        let change = |name: &str| (of(&b, name) - of(&a, name)).abs();
        change(y).total_cmp(&change(x)).then_with(|| x.cmp(y))
    });
    let header = ["what", "before", "after", "change", "before: bound by, kernel", "after"];
    let number = |line: Option<&Line>| line.map_or_else(String::new, |line| short(line.value));
    let rows = names.iter().map(|name| {
        let (before, after) = (a.get(*name), b.get(*name));
        let change = match (before, after) {
            (Some(x), Some(y)) if x.value > 0.0 => {
                format!("{:+.1} %", (y.value / x.value - 1.0) * 100.0)
            }
            (None, _) => "new".to_owned(),
            (_, None) => "gone".to_owned(),
            _ => String::new(),
        };
        let why = |line: Option<&Line>| line.map_or_else(String::new, |line| line.why.clone());
        let same = before.zip(after).is_some_and(|(x, y)| x.why == y.why);
        let after_why = if same { "the same".to_owned() } else { why(after) };
        vec![(*name).clone(), number(before), number(after), change, why(before), after_why]
    });
    match args.output.format {
        Format::Json => {
            let value = |line: Option<&Line>| line.map(|l| json!({"value": l.value, "why": l.why}));
            let rows: Vec<Value> = names
                .iter()
                .map(|n| json!({"what": n, "before": value(a.get(*n)), "after": value(b.get(*n))}))
                .collect();
            json_out(&args.output, &json!({"unit": unit, "rows": rows}))
        }
        Format::Csv => {
            let bytes = csv(&header, rows)?;
            output::write(args.output.output.as_deref(), &bytes)
        }
        Format::Table => {
            let mut table = output::table(&header, 1);
            for row in rows {
                table.add_row(row);
            }
            let text = format!("values: {unit}\n{}", output::render(&table));
            output::write(args.output.output.as_deref(), text.as_bytes())
        }
    }
}

/// Reads the JSON of `replay`, `kernel` or `validate`.
fn lines(path: &Path) -> Result<Lines, Failure> {
    let no_result = |what: String| Failure::BadScene {
        file: path.display().to_string(),
        what,
        help: "give what replay, kernel or validate wrote with --format json".to_owned(),
    };
    let bytes = read(path)?;
    let text =
        std::str::from_utf8(&bytes).map_err(|_| no_result("this is no UTF-8 text".to_owned()))?;
    lumacycle_figures::compare::lines(text).map_err(no_result)
}
