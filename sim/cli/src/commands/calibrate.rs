//! `lumacycle calibrate LAYER --data …`.

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
