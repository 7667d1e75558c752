//! `lumacycle explore SPACE.toml --out DIR`: a design space, its results and what they say.

use std::path::Path;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use lumacycle_sim::explore::space::{Method, Space};
use lumacycle_sim::explore::store::{Status, StoreError};
use lumacycle_sim::explore::summary::{self, Summary};
use lumacycle_sim::explore::{Run, Shard, bench, methods};

use super::explore_files as files;
use super::explore_outer as outer;
use super::report_explore::{self, Found};
use crate::args::{ExploreAction, ExploreArgs};
use crate::failure::Failure;
use crate::output;

/// Points of a dry run that are shown, and evaluated for the estimate of time.
const SHOWN: u64 = 8;

pub fn run(args: &ExploreArgs) -> Result<(), Failure> {
    if let Some(ExploreAction::Merge { space, out, from, report }) = &args.action {
        let (space, text) = read(space)?;
        return outer::merge(&space, out, from, report.as_deref().map(|folder| (folder, &*text)));
    }
    let Some(path) = &args.space else {
        return Err(Failure::usage("no space is given", "lumacycle explore SPACE.toml --out DIR"));
    };
    let (space, text) = read(path)?;
    if args.dry_run {
        return dry_run(&space);
    }
    let Some(folder) = &args.out else {
        return Err(Failure::usage("no folder is given", "add --out DIR"));
    };
    if let Some(engine) = args.dispatch {
        return outer::dispatch(engine, args, path, &space, folder);
    }
    let shard = match args.shard {
        None => Shard::ALL,
        Some((part, of)) => {
            if matches!(space.method, Method::Nsga2 | Method::Ask) {
                return Err(Failure::usage(
                    "a search that learns from its results cannot be cut into shards",
                    "use grid, random, sobol or oat, or run it on one machine",
                ));
            }
            Shard { part, of }
        }
    };
    let mut run = Run::open(&space, folder, shard, args.restart).map_err(|error| failed(&error))?;
    if run.done() > 0 {
        let (done, points) = (run.done(), run.points());
        output::say(&format!("{done} of {points} points are there already"));
    }
    if space.method == Method::Ask {
        outer::answer(&space, &mut run)?;
    } else {
        evaluate(&space, &mut run)?;
    }
    if shard != Shard::ALL {
        output::say(&format!(
            "shard {}/{} is complete: {}",
            shard.part,
            shard.of,
            run.path().display()
        ));
        return Ok(());
    }
    finish(&space, &run, folder, args.report.as_deref().map(|folder| (folder, &*text)))
}

/// Reads and checks a space; its text as well.
fn read(path: &Path) -> Result<(Space, String), Failure> {
    let text = super::description(path)?;
    let file = path.display().to_string();
    let space = Space::parse(&text).map_err(|error| super::study::failed(&file, &text, error))?;
    Ok((space, text))
}

pub fn failed(error: &StoreError) -> Failure {
    match error {
        StoreError::Write { .. } => Failure::Kept {
            what: error.to_string(),
            help: "results so far are kept; make room or choose another --out, and run it again"
                .to_owned(),
        },
        StoreError::Busy(_) => Failure::Kept {
            what: error.to_string(),
            help: "wait for it, or choose another --out".to_owned(),
        },
        StoreError::Other { .. } => Failure::usage(
            error.to_string(),
            "choose another --out, or throw its records away with --restart",
        ),
        StoreError::Damaged { .. } => Failure::Kept {
            what: error.to_string(),
            help: "nothing was changed; restore the file, or start over with --restart".to_owned(),
        },
    }
}

fn evaluate(space: &Space, run: &mut Run<'_>) -> Result<(), Failure> {
    let bar = output::progress(run.points(), &space.name);
    let template = "{msg:20} {wide_bar} {pos}/{len} {per_sec} {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_position(run.done());
    bar.reset_eta();
    let started = Instant::now();
    let before = run.done();
    let tick = |bar: &ProgressBar| bar.inc(1);
    let result = run.go(&|_| tick(&bar));
    bar.finish_and_clear();
    result.map_err(|error| failed(&error))?;
    let fresh = run.done() - before;
    if fresh > 0 {
        let seconds = started.elapsed().as_secs_f64();
        output::say(&format!("{fresh} points in {seconds:.1} s ({:.1}/s)", fresh as f64 / seconds));
    }
    Ok(())
}

/// Writes everything that a folder is to hold, the page if there is to be one (its folder and the text of
/// the space), and prints the summary.
pub fn finish(
    space: &Space,
    run: &Run<'_>,
    folder: &Path,
    report: Option<(&Path, &str)>,
) -> Result<(), Failure> {
    let rows = run.rows();
    let summary = Summary::of(space, &rows);
    // Around the knee; around the base where there is none.
    let around = summary.knee.and_then(|point| rows.iter().find(|row| row.point == point));
    let around = around.map_or_else(|| space.base(), |row| row.design.to_vec());
    let sensitivities = summary::sensitivities(space, &around);
    let files = files::write(space, run, &summary, &sensitivities, folder)?;
    if let Some((pages, text)) = report {
        let (summary, sensitivities, files) = (&summary, &sensitivities[..], &files);
        let found = Found { space, text, run, summary, sensitivities, files };
        report_explore::explored(pages, &found)?;
    }
    output::write(None, files::told(space, &rows, &summary, &sensitivities).as_bytes())
}

fn dry_run(space: &Space) -> Result<(), Failure> {
    let (method, points) = (format!("{:?}", space.method).to_lowercase(), space.points);
    let mut header: Vec<&str> = vec!["point", "status"];
    header.extend(space.parameters.iter().map(|p| p.path.as_str()));
    header.extend(space.derived.iter().map(|d| d.path.as_str()));
    let mut table = output::table(&header, header.len());
    let jobs: Vec<bench::Job> = (0..points.min(SHOWN))
        .map(|point| bench::Job { point, design: methods::design(space, point) })
        .collect();
    for job in &jobs {
        let mut cells = vec![job.point.to_string()];
        let unmet = space.unmet(&job.design).map_or(Some("?"), |unmet| unmet);
        cells.push(unmet.map_or("runs", |_| Status::Skipped.name()).to_owned());
        cells.extend(files::settings(space, &job.design));
        table.add_row(cells);
    }
    let mut text =
        format!("{}: {method}, {points} points\n\n{}", space.name, output::render(&table));
    // The first evaluation shares nothing with earlier ones, the second all that it can.
    let mut bench = bench::Bench::new(space);
    let mut time = |jobs: Vec<bench::Job>| {
        let started = Instant::now();
        let done: Result<(), std::convert::Infallible> = bench.run(jobs, &|_| Ok(()));
        match done {
            Ok(()) => started.elapsed().as_secs_f64(),
            Err(never) => match never {},
        }
    };
    let count = jobs.len() as f64;
    let first = time(jobs.clone());
    let again = time(jobs) / count;
    let threads = rayon::current_num_threads();
    text.push_str(&format!(
        "\nThe first {count} points took {first:.2} s on {threads} threads, and {:.1} ms each once what \
         they share is known:\nabout {} to {} for all, by how much they share.\n",
        again * 1e3,
        duration(points as f64 * again),
        duration(points as f64 * first / count),
    ));
    output::write(None, text.as_bytes())
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}
