//! `lumacycle diff A B`: two results of one command, line by line.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::catalog::{csv, json_out};
use crate::args::{DiffArgs, Format};
use crate::failure::Failure;
use crate::output::{self, short};

/// One thing that both results may hold.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    /// Time, or error in percent.
    value: f64,
    /// What binds, and which kernel was taken.
    why: String,
}

/// What a result says, by name; and what its values are.
type Lines = (&'static str, BTreeMap<String, Line>);

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
    let failed = |reason: String| Failure::Input { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let no_result = |what: String| Failure::BadScene {
        file: path.display().to_string(),
        what,
        help: "give what replay, kernel or validate wrote with --format json".to_owned(),
    };
    let value: Value = serde_json::from_str(&text)
        .map_err(|error| no_result(format!("this is no JSON: {error}")))?;
    let known = replay(&value).or_else(|| kernels(&value)).or_else(|| suites(&value));
    known
        .filter(|(_, lines)| !lines.is_empty())
        .ok_or_else(|| no_result("this is no result of ours that can be compared".to_owned()))
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn number(value: &Value, key: &str) -> Option<f64> {
    value.get(key).and_then(Value::as_f64)
}

/// Launches of one name add up. With one GPU in the file, its name is left out, so that two GPUs
/// line up.
fn replay(value: &Value) -> Option<Lines> {
    let results = value.as_array()?;
    let mut lines: BTreeMap<String, Line> = BTreeMap::new();
    for result in results {
        let gpu = if results.len() > 1 { text(result, "gpu") + ": " } else { String::new() };
        let total = number(result.get("totals")?, "predicted_sum_ms")? * 1e3;
        lines.insert(format!("{gpu}all kernels"), Line { value: total, why: String::new() });
        for kernel in result.get("kernels")?.as_array()? {
            let time = number(kernel, "predicted_us")? * number(kernel, "count").unwrap_or(1.0);
            let why = format!("{}, {}", text(kernel, "bound_by"), text(kernel, "variant"));
            let name = format!("{gpu}{}", text(kernel, "name"));
            lines
                .entry(name)
                .and_modify(|line| line.value += time)
                .or_insert(Line { value: time, why });
        }
    }
    Some(("us", lines))
}

fn kernels(value: &Value) -> Option<Lines> {
    let results = value.get("results")?.as_array()?;
    let mut lines = BTreeMap::new();
    for (index, result) in results.iter().enumerate() {
        let cost = result.get("cost")?;
        let variant = cost.get("kernels").and_then(|k| k.get(0)).map(|k| text(k, "variant"));
        let why = format!("{}, {}", text(cost, "binding"), variant.unwrap_or_default());
        let name = if results.len() > 1 { text(result, "gpu") } else { format!("kernel {index}") };
        lines.insert(name, Line { value: number(cost, "time_ns")? / 1e3, why });
    }
    Some(("us", lines))
}

fn suites(value: &Value) -> Option<Lines> {
    let many = value.get("suites").and_then(Value::as_array).cloned();
    let mut lines = BTreeMap::new();
    for suite in many.unwrap_or_else(|| vec![value.clone()]) {
        let name = text(&suite, "suite");
        let of = |figures: &Value| number(figures, "mape_pct");
        let overall = of(suite.get("overall")?)?;
        lines.insert(format!("{name}, all"), Line { value: overall, why: String::new() });
        for group in suite.get("groups")?.as_array()? {
            let keys = ["gpu", "dtype", "bucket", "recording", "class"].map(|key| text(group, key));
            let keys: Vec<String> = keys.into_iter().filter(|key| !key.is_empty()).collect();
            let bias = number(group, "bias_pct").unwrap_or(0.0);
            let why = format!("bias {bias:+.1} %");
            lines.insert(format!("{name}, {}", keys.join(", ")), Line { value: of(group)?, why });
        }
    }
    Some(("MAPE in percent", lines))
}
