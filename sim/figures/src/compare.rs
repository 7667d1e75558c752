//! What two results of one command can be compared by: times or errors by name, from the JSON of `replay`,
//! `kernel` or `validate`.
//!
//! Left out: results of other commands, and anything but the value and why it is so.

use std::collections::BTreeMap;

use serde_json::Value;

/// One thing that both results may hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Time, or error in percent.
    pub value: f64,
    /// What binds, and which kernel was taken.
    pub why: String,
}

/// What a result says, by name; and what its values are.
pub type Lines = (&'static str, BTreeMap<String, Line>);

/// Reads a result; the error says why it cannot be compared.
///
/// # Errors
/// When the text is no JSON, or that of another command.
pub fn lines(text: &str) -> Result<Lines, String> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("this is no JSON: {error}"))?;
    let known = replay(&value).or_else(|| kernels(&value)).or_else(|| suites(&value));
    known
        .filter(|(_, lines)| !lines.is_empty())
        .ok_or_else(|| "this is no result of ours that can be compared".to_owned())
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
