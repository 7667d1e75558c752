//! `lumacycle calibrate LAYER --data …`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use lumacycle_validate::calibrate::{self, Calibration, Request, Residuals};
use serde_json::json;

use super::catalog::{csv, json_out};
use crate::args::{CalibrateArgs, Format};
use crate::failure::Failure;
use crate::output;

pub fn run(args: &CalibrateArgs) -> Result<(), Failure> {
    let catalog = lumacycle_arch::Catalog::embedded();
    let mut gpus = Vec::new();
    for name in &args.gpus {
        gpus.push(super::gpu(&catalog, name)?.id);
    }
    let request = Request {
        data: &args.data,
        layer: &args.layer,
        constants: &args.constants,
        suites: &args.suites,
        gpus: &gpus,
        rows: args.rows,
        quick: args.quick,
    };
    let found = calibrate::run(&request)?;
    if let Some(folder) = &args.write {
        write_files(folder, args, &found)?;
    }
    match args.output.format {
        Format::Json => json_out(&args.output, &json!(found)),
        Format::Csv => {
            let rows = found.constants.iter().map(|c| vec![c.path.clone(), c.value.clone()]);
            let bytes = csv(&["constant", "value"], rows)?;
            output::write(args.output.output.as_deref(), &bytes)
        }
        Format::Table => output::write(args.output.output.as_deref(), table(&found).as_bytes()),
    }
}

/// A GPU file for each GPU of the layer.
fn write_files(folder: &Path, args: &CalibrateArgs, found: &Calibration) -> Result<(), Failure> {
    output::folder(folder)?;
    for id in &found.gpus {
        let path = folder.join(format!("{id}.toml"));
        output::write(Some(&path), file(id, &source(args, found), found).as_bytes())?;
    }
    output::say(&format!(
        "wrote {} GPU files to {}; use one as --gpu {}",
        found.gpus.len(),
        folder.display(),
        folder.join("NAME.toml").display()
    ));
    Ok(())
}

fn file(id: &str, source: &str, found: &Calibration) -> String {
    let mut sections: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for constant in &found.constants {
        if let Some((section, key)) = constant.path.split_once('.') {
            sections.entry(section).or_default().push((key, &constant.value));
        }
    }
    let mut text = format!("base = {}\n\n[sources]\n", quoted(id));
    for constant in &found.constants {
        text.push_str(&format!("{} = {}\n", quoted(&constant.path), quoted(source)));
    }
    for (section, keys) in sections {
        text.push_str(&format!("\n[{section}]\n"));
        for (key, value) in keys {
            let bare = value.parse::<f64>().is_ok();
            let value = if bare { value.to_owned() } else { quoted(value) };
            text.push_str(&format!("{key} = {value}\n"));
        }
    }
    text
}

/// A TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// What a value found says of itself: the command, the data, the date, the errors.
fn source(args: &CalibrateArgs, found: &Calibration) -> String {
    let mut command = format!("lumacycle calibrate {}", args.layer);
    let flags = [("--gpu", &args.gpus), ("--suite", &args.suites), ("--constant", &args.constants)];
    for (flag, values) in flags {
        for value in values {
            command.push_str(&format!(" {flag} {value}"));
        }
    }
    let mut text = format!("calibrated: `{command}` on {}, {}", args.data.display(), today());
    if let Some(all) = found.residuals.last() {
        text.push_str(&format!(
            ": {} rows, MAPE {:.1} % before, {:.1} % after",
            all.after.rows, all.before.mape_pct, all.after.mape_pct
        ));
    }
    for group in &found.left_out {
        text.push_str(&format!("; {} left out {:.1} %", group.rows, group.after.mape_pct));
    }
    text
}

/// The date (UTC), as year-month-day.
fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    date(seconds / 86_400)
}

/// The date of a day counted from 1970-01-01: years from March on, so that leap days come last.
fn date(days: u64) -> String {
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + next)
}

fn table(found: &Calibration) -> String {
    let mut text = format!("constants of {}\n", found.layer);
    let mut constants = output::table(&["constant", "value"], 1);
    for constant in &found.constants {
        constants.add_row(vec![constant.path.clone(), constant.value.clone()]);
    }
    text.push_str(&output::render(&constants));
    for (title, rows) in [("rows of the fit", &found.residuals), ("left out", &found.left_out)] {
        if !rows.is_empty() {
            text.push_str(&format!("\n{title}\n"));
            text.push_str(&residuals(rows));
        }
    }
    text
}

fn residuals(rows: &[Residuals]) -> String {
    let header = ["rows", "n", "MAPE % before", "after", "median", "p90", "bias"];
    let mut table = output::table(&header, 1);
    for row in rows {
        let figures = &row.after;
        table.add_row(vec![
            row.rows.clone(),
            figures.rows.to_string(),
            format!("{:.1}", row.before.mape_pct),
            format!("{:.1}", figures.mape_pct),
            format!("{:.1}", figures.median_ape_pct),
            format!("{:.1}", figures.p90_ape_pct),
            format!("{:+.1}", figures.bias_pct),
        ]);
    }
    output::render(&table)
}

#[cfg(test)]
mod tests {
    use lumacycle_arch::Catalog;
    use lumacycle_validate::calibrate::Fitted;

    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(59), "1970-03-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(20_783), "2026-11-26");
        assert_eq!(date(47_540), "2100-02-28");
        assert_eq!(date(47_541), "2100-03-01");
    }

    #[test]
    fn a_file_is_a_gpu_with_the_constants_found() {
        let fitted = |path: &str, value: &str| Fitted { path: path.into(), value: value.into() };
        let found = Calibration {
            layer: "ampere-sm80".to_owned(),
            gpus: vec!["a100-sxm4-80gb".to_owned()],
            constants: vec![
                fitted("tensor.achieved_share", "0.700"),
                fitted("power.issue", "321 pJ"),
                fitted("power.constant", "25.0 W"),
            ],
            residuals: Vec::new(),
            left_out: Vec::new(),
        };
        let text = file("a100-sxm4-80gb", "calibrated: `a` of \"b\"", &found);
        let entry = Catalog::embedded().parse("own", "own.toml", &text).unwrap();
        assert!((entry.gpu.tensor.achieved_share - 0.7).abs() < 1e-9);
        assert!((entry.gpu.power.issue.pj() - 321.0).abs() < 1e-9);
        assert_eq!(entry.source("power.issue"), "calibrated: `a` of \"b\"");
    }
}
