//! `lumacycle validate SUITE --data …`.

use lumacycle_arch::Catalog;
use lumacycle_validate::{Figures, SUITES, SuiteReport, TraceReport, expected};
use serde_json::json;

use super::catalog::{csv, json_out};
use super::report_validate::{self, Suite};
use crate::args::{Format, ValidateArgs};
use crate::failure::Failure;
use crate::output::{self, percent, short};

pub fn run(args: &ValidateArgs) -> Result<(), Failure> {
    let files = [args.output.output.as_deref(), args.rows.as_deref(), args.expected.as_deref()];
    output::possible(&files, args.report.as_deref())?;
    let catalog = Catalog::embedded();
    for name in &args.gpus {
        super::gpu(&catalog, name)?;
    }
    if args.suite == lumacycle_validate::neural::SUITE {
        return super::validate_neural::run(args);
    }
    lumacycle_validate::known(&args.suite)?;
    if args.report.is_some() && args.suite == "traces" {
        return Err(Failure::usage(
            "there is no page for traces",
            "give one of them to `lumacycle replay --report`, which shows its kernels",
        ));
    }
    if args.suite == lumacycle_validate::ngpc::SUITE {
        return super::validate_ngpc::run(args);
    }
    if args.suite == lumacycle_validate::rtnerf::SUITE {
        return super::validate_rtnerf::run(args);
    }
    let alone = SUITES.contains(&args.suite.as_str()) && args.data.is_some();
    if args.leave_one_out && args.suite != lumacycle_validate::power::SUITE && !alone {
        return Err(Failure::usage(
            format!(
                "--leave-one-out is for the suite power and suites of times with --data, not {}",
                args.suite
            ),
            format!("suites of times are {}", SUITES.join(", ")),
        ));
    }
    if args.leave_one_out
        && args.suite != lumacycle_validate::power::SUITE
        && (args.all || args.expected.is_some())
    {
        return Err(Failure::usage(
            "--leave-one-out goes with neither --all nor --expected",
            "it shows what clean rows would say of a GPU that no fit has seen",
        ));
    }
    if args.data.is_none()
        && let Some(report) = lumacycle_validate::run_shipped(&args.suite, &args.gpus)?
    {
        return show(args, &[report], None);
    }
    let data = args.data.as_deref().ok_or_else(|| {
        Failure::usage(
            format!("the suite {} needs measurements", args.suite),
            "say where they are with --data FILE-OR-DIR; attention, neural_graphics, ngpc and rtnerf need none",
        )
    })?;
    if args.suite == lumacycle_validate::ngp::SUITE {
        return super::validate_ngp::run(args, data);
    }
    if args.suite == lumacycle_validate::power::SUITE {
        return super::validate_power::run(args, data);
    }
    let everything = args.suite == "all";
    let mut reports = Vec::new();
    let mut traces = None;
    if everything || args.suite == "traces" {
        let folder = data.join("traces");
        let folder = if folder.is_dir() { &folder } else { data };
        traces = Some(lumacycle_validate::traces::run(folder)?);
    }
    if everything {
        // A folder need not hold every table.
        let there = |suite: &&&str| lumacycle_validate::measurements::locate(data, suite).is_some();
        for suite in SUITES.iter().filter(there) {
            reports.push(lumacycle_validate::run(suite, data, &args.gpus, args.all)?);
        }
    } else if args.leave_one_out {
        reports.push(lumacycle_validate::run_unseen(&args.suite, data, &args.gpus)?);
    } else if args.suite != "traces" {
        reports.push(lumacycle_validate::run(&args.suite, data, &args.gpus, args.all)?);
    }
    show(args, &reports, traces.as_ref())
}

/// Prints reports and writes what was asked for beside.
fn show(
    args: &ValidateArgs,
    reports: &[SuiteReport],
    traces: Option<&TraceReport>,
) -> Result<(), Failure> {
    print(args, reports, traces)?;
    if let Some(folder) = &args.report {
        let pages = reports.iter().map(suite).collect::<Result<Vec<_>, _>>()?;
        report_validate::write(folder, &pages)?;
    }
    if let Some(path) = &args.rows {
        output::write(Some(path), &rows_csv(reports)?)?;
    }
    if let Some(path) = &args.expected {
        // Published times of other GPUs belong to what is known as well.
        let mut known = reports.to_vec();
        for report in known.iter_mut().filter(|_| args.data.is_some()) {
            let shipped = lumacycle_validate::run_shipped(&report.suite, &args.gpus)?;
            report.rows.extend(shipped.into_iter().flat_map(|shipped| shipped.rows));
        }
        let table = expected::from_reports(&known);
        output::write(Some(path), table.to_toml().as_bytes())?;
    }
    reports.iter().try_for_each(|report| within(args, &report.suite, &report.overall))
}

/// Errors of a suite by group, as [`SuiteReport::HEADER`] names them.
fn groups(report: &SuiteReport) -> Vec<Vec<String>> {
    let cells = |group: &lumacycle_validate::Group| {
        let mut row = vec![group.gpu.clone(), group.dtype.clone(), group.bucket.to_owned()];
        row.extend(group.figures.cells());
        row.push(format!("{:.1}", group.roofline.mape_pct));
        row.push(format!("{:.1}", group.wave.mape_pct));
        row
    };
    report.groups.iter().map(cells).collect()
}

/// What the page of a suite of measurements shows.
fn suite(report: &SuiteReport) -> Result<Suite<'_>, Failure> {
    let mut beside = vec![("roofline", report.baselines.roofline.mape_pct)];
    beside.extend(report.baselines.wave.map(|wave| ("wave count", wave.mape_pct)));
    Ok(Suite {
        name: &report.suite,
        used: report.rows_used,
        left_out: &report.rows_left_out,
        overall: &report.overall,
        beside,
        errors: (SuiteReport::HEADER.to_vec(), groups(report)),
        rows: rows_csv(std::slice::from_ref(report))?,
        measured: ("measured_us", "measured time (µs)"),
        predicted: ("predicted_us", "predicted time (µs)"),
        by: ["gpu", "dtype"],
        told: "element type",
        assumptions: Vec::new(),
    })
}

/// Refuses options that choose data, for a suite whose figures ship with the program.
pub(super) fn ships_with_figures(
    args: &ValidateArgs,
    suite: &str,
    whose: &str,
) -> Result<(), Failure> {
    if args.data.is_none() && args.rows.is_none() && args.gpus.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(
        format!("{suite} compares with figures that ship with the program, {whose}"),
        "leave --data, --rows and --gpu out; --format csv lists every figure",
    ))
}

/// Holds a suite's error against the bound that was asked for. Nothing compared holds no bound.
pub(super) fn within(args: &ValidateArgs, suite: &str, overall: &Figures) -> Result<(), Failure> {
    let Some(bound) = args.max_mape else { return Ok(()) };
    if overall.rows == 0 {
        return Err(Failure::Bound { what: format!("nothing of {suite} could be compared") });
    }
    if overall.mape_pct > bound {
        let mape = overall.mape_pct;
        return Err(Failure::Bound {
            what: format!("MAPE of {suite} is {mape:.1} %, above {bound} %"),
        });
    }
    Ok(())
}

fn rows_csv(reports: &[SuiteReport]) -> Result<Vec<u8>, Failure> {
    let header = [
        "suite",
        "gpu",
        "dtype",
        "measured_us",
        "predicted_us",
        "low_us",
        "high_us",
        "roofline_us",
        "wave_us",
        "bound_by",
        "variant",
        "waves",
        "occupancy_pct",
        "reference",
    ];
    let spread = expected::table();
    let rows = reports.iter().flat_map(|report| {
        report.rows.iter().map(|row| {
            let [low, high] = output::ends(expected::interval_in(
                &spread,
                &report.suite,
                row.setting,
                row.predicted_us,
            ));
            vec![
                report.suite.clone(),
                row.gpu.clone(),
                row.dtype.clone(),
                format!("{:.4}", row.measured_us),
                format!("{:.4}", row.predicted_us),
                low,
                high,
                format!("{:.4}", row.roofline_us),
                format!("{:.4}", row.wave_us),
                row.bound_by.to_owned(),
                row.variant.clone(),
                format!("{:.3}", row.waves),
                format!("{:.1}", row.occupancy_pct),
                row.reference.clone(),
            ]
        })
    });
    csv(&header, rows)
}

fn print(
    args: &ValidateArgs,
    reports: &[SuiteReport],
    traces: Option<&TraceReport>,
) -> Result<(), Failure> {
    match args.format() {
        Format::Json => {
            let value = match (reports, traces) {
                ([only], None) => json!(only),
                ([], Some(traces)) => json!(traces),
                _ => json!({"suites": reports, "traces": traces}),
            };
            json_out(&args.output, &value)
        }
        Format::Csv => {
            let header = [
                "suite",
                "gpu",
                "dtype",
                "bucket",
                "rows",
                "mape_pct",
                "median_ape_pct",
                "p90_ape_pct",
                "bias_pct",
                "correlation",
                "roofline_mape_pct",
                "wave_mape_pct",
            ];
            let rows = reports.iter().flat_map(|report| {
                report.groups.iter().map(|group| {
                    let f = &group.figures;
                    let mut row = vec![
                        report.suite.clone(),
                        group.gpu.clone(),
                        group.dtype.clone(),
                        group.bucket.to_owned(),
                        f.rows.to_string(),
                    ];
                    for value in [
                        f.mape_pct,
                        f.median_ape_pct,
                        f.p90_ape_pct,
                        f.bias_pct,
                        f.correlation,
                        group.roofline.mape_pct,
                        group.wave.mape_pct,
                    ] {
                        row.push(format!("{value:.4}"));
                    }
                    row
                })
            });
            let bytes = csv(&header, rows)?;
            output::write(args.output.output.as_deref(), &bytes)
        }
        Format::Table => {
            let mut text = String::new();
            for report in reports {
                text.push_str(&suite_table(report));
            }
            if let Some(traces) = traces {
                text.push_str(&trace_table(traces));
            }
            output::write(args.output.output.as_deref(), text.as_bytes())
        }
    }
}

impl ValidateArgs {
    fn format(&self) -> Format {
        self.output.format
    }
}

fn suite_table(report: &SuiteReport) -> String {
    let mut table = output::table(&SuiteReport::HEADER, 3);
    for row in groups(report) {
        table.add_row(row);
    }
    let mut row = vec!["all".to_owned(), String::new(), String::new()];
    row.extend(report.overall.cells());
    row.push(format!("{:.1}", report.baselines.roofline.mape_pct));
    row.push(report.baselines.wave.map_or_else(String::new, |w| format!("{:.1}", w.mape_pct)));
    table.add_row(row);
    let left: usize = report.rows_left_out.values().sum();
    let mut text = format!("{}: {} rows used, {left} left out\n", report.suite, report.rows_used);
    if report.leave_one_out {
        text.push_str("constants of P100's, V100's, A100's and GA10x's generations: means of the three others'\n");
    }
    text.push_str(&output::render(&table));
    for (reason, count) in &report.rows_left_out {
        text.push_str(&format!("  left out: {count} × {reason}\n"));
    }
    text.push('\n');
    text
}

fn trace_table(report: &TraceReport) -> String {
    let header = [
        "GPU",
        "class",
        "launches",
        "recorded ms",
        "of all",
        "error of sum",
        "without floor",
        "roofline's",
        "mean |error| by time",
    ];
    let mut table = output::table(&header, 2);
    for row in &report.rows {
        table.add_row(vec![
            row.gpu.clone(),
            row.class.clone(),
            row.events.to_string(),
            short(row.recorded_ms),
            format!("{:.0} %", row.coverage_pct),
            percent(Some(row.error_pct)),
            percent(Some(row.unfloored_error_pct)),
            percent(row.roofline_error_pct),
            format!("{:.1} %", row.weighted_ape_pct),
        ]);
    }
    let mut text = format!("traces on their own GPU: {} files used\n", report.files_used);
    text.push_str(&output::render(&table));
    text.push_str(&format!("  left out: {} files\n", report.files_left_out.len()));
    text
}
