//! The page of an explored space: what it asks, which designs are best, what each parameter buys, and
//! how to get the same again. Left out: designs off the front, which `results.csv` beside it has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lumacycle_figures::page::Page;
use lumacycle_figures::{Kind, Options, Table, titled};
use lumacycle_sim::explore::metrics;
use lumacycle_sim::explore::space::{Goal, Method, Space};
use lumacycle_sim::explore::store::{Lookup, Status};
use lumacycle_sim::explore::summary::{Sensitivity, Summary};
use lumacycle_sim::explore::{Row, Run};

use super::explore::failed;
use super::explore_files::{Files, settings};
use super::report::{drawn, how, save};
use crate::failure::Failure;
use crate::output::{percent, short};

/// Designs of the front in the table.
const SHOWN: usize = 500;
/// Designs whose notes are gathered.
const NOTED: usize = 100;

/// What has been found.
pub struct Found<'a> {
    /// The space.
    pub space: &'a Space,
    /// Its file.
    pub text: &'a str,
    /// Its results.
    pub run: &'a Run<'a>,
    /// What they say.
    pub summary: &'a Summary,
    /// Around the knee.
    pub sensitivities: &'a [Sensitivity],
    /// The files beside the page.
    pub files: &'a Files,
}

/// `explore --report`.
pub fn explored(folder: &Path, found: &Found<'_>) -> Result<(), Failure> {
    let Found { space, summary, .. } = found;
    let rows = found.run.rows();
    let line = format!(
        "{} {} points {}: {} ran, {} skipped, {} invalid; {} within all limits. Explored by \
         Lumacycle {}.",
        space.question,
        rows.len(),
        searched(space.method),
        summary.valid,
        summary.skipped,
        summary.invalid,
        summary.feasible,
        lumacycle_sim::VERSION
    );
    let mut page = Page::new(&format!("Space {}", space.name), &line);
    page.headline(&headline(space, &rows, summary));
    page.heading("Designs");
    figures(&mut page, found);
    designs(&mut page, space, &rows, summary);
    if !found.sensitivities.is_empty() {
        page.heading("What 10 % of each parameter changes");
        page.table(
            &["parameter", "metric", "at", "10 % less", "10 % more"],
            found.sensitivities.iter().map(|one| {
                vec![
                    one.parameter.clone(),
                    titled(metrics::NAMES[one.metric]),
                    short(one.base),
                    percent(one.minus_10_pct),
                    percent(one.plus_10_pct),
                ]
            }),
        );
    }
    let (assumed, refused) = notes(found, &rows)?;
    page.heading("Assumptions");
    page.list(assumed.into_iter());
    if !refused.is_empty() {
        page.heading("Designs that did not run, for example");
        page.list(refused.into_iter());
    }
    how(&mut page);
    page.text(&format!("The space, hash {}:", space.hash));
    page.verbatim(found.text);
    save(folder, "index.html", page)
}

/// How the points were chosen.
const fn searched(method: Method) -> &'static str {
    match method {
        Method::Grid => "on a grid",
        Method::Random => "at random",
        Method::Sobol => "along a Sobol sequence",
        Method::Oat => "with one parameter changed at a time",
        Method::Nsga2 => "by the genetic algorithm NSGA-II",
        Method::Ask => "that an optimiser outside asked for",
    }
}

fn headline(space: &Space, rows: &[&Row], summary: &Summary) -> Vec<(String, String, String)> {
    let at = |point: &Option<u64>| rows.iter().find(|row| Some(row.point) == *point);
    let best = space.objectives.iter().zip(&summary.best).filter_map(|(objective, point)| {
        let row = at(point)?;
        let name = metrics::NAMES[objective.metric];
        let value = short(row.metrics[objective.metric]);
        let which = match objective.goal {
            Goal::Minimise => "least",
            Goal::Maximise => "most",
        };
        Some((format!("{which} {}", titled(name)), value, format!("point {}", row.point)))
    });
    let mut numbers: Vec<_> = best.collect();
    if let Some(row) = at(&summary.knee) {
        let values: Vec<String> = space
            .objectives
            .iter()
            .map(|o| {
                let value = short(row.metrics[o.metric]);
                format!("{} {value}", titled(metrics::NAMES[o.metric]))
            })
            .collect();
        numbers.push(("knee".to_owned(), format!("point {}", row.point), values.join(", ")));
    }
    numbers
}

/// The front over the first objective and each other one, and what parameters change.
fn figures(page: &mut Page, found: &Found<'_>) {
    let names: Vec<&str> =
        found.space.objectives.iter().map(|o| metrics::NAMES[o.metric]).collect();
    if let (Ok(results), Some((first, others))) =
        (Table::parse(&found.files.results, &[]), names.split_first())
    {
        for other in others {
            let options = Options {
                x: Some((*other).to_owned()),
                y: Some((*first).to_owned()),
                ..Options::default()
            };
            let caption = if others.len() > 1 {
                "Designs over two of the objectives, with the front of these two."
            } else {
                "Designs and their Pareto front."
            };
            drawn(page, Kind::Pareto, &results, &options, caption);
        }
    }
    if let Ok(changes) = Table::parse(&found.files.changes, &[]) {
        for name in &names {
            let options = Options { y: Some((*name).to_owned()), ..Options::default() };
            let caption = "What a tenth less or more of each parameter changes.";
            drawn(page, Kind::Tornado, &changes, &options, caption);
        }
    }
}

fn designs(page: &mut Page, space: &Space, rows: &[&Row], summary: &Summary) {
    let mut shown: Vec<usize> = space.objectives.iter().map(|o| o.metric).collect();
    let limits = space.limits.iter().map(|limit| limit.metric);
    for metric in limits {
        if !shown.contains(&metric) {
            shown.push(metric);
        }
    }
    let titles: Vec<String> = shown.iter().map(|metric| titled(metrics::NAMES[*metric])).collect();
    let mut header = vec!["what", "point"];
    header.extend(titles.iter().map(String::as_str));
    header.extend(space.parameters.iter().map(|p| p.path.as_str()));
    header.extend(space.derived.iter().map(|d| d.path.as_str()));
    let cells = |what: String, point: u64| {
        let row = rows.iter().find(|row| row.point == point)?;
        let mut cells = vec![what, point.to_string()];
        cells.extend(shown.iter().map(|metric| short(row.metrics[*metric])));
        cells.extend(settings(space, &row.design));
        Some(cells)
    };
    let front = summary.front.iter().take(SHOWN).map(|point| ("front".to_owned(), *point));
    page.table(&header, front.filter_map(|(what, point)| cells(what, point)));
    let knee = summary.knee.map(|point| ("knee".to_owned(), point));
    let best = space.objectives.iter().zip(&summary.best).filter_map(|(objective, point)| {
        point.map(|point| (format!("best {}", titled(metrics::NAMES[objective.metric])), point))
    });
    let under = space.limits.iter().zip(&summary.best_under).filter_map(|(limit, point)| {
        point.map(|point| (format!("best with {} alone", limit.text()), point))
    });
    page.heading("Picks");
    let picks = knee.into_iter().chain(best).chain(under);
    page.table(&header, picks.filter_map(|(what, point)| cells(what, point)));
}

/// What designs of the front take for granted, and why others did not run; with how many designs say
/// so where not all do.
fn notes(found: &Found<'_>, rows: &[&Row]) -> Result<(Vec<String>, Vec<String>), Failure> {
    let mut records = Lookup::open(found.run.path()).map_err(|error| failed(&error))?;
    let mut gather = |wanted: &mut dyn Iterator<Item = &&Row>| {
        let (mut all, mut designs) = (BTreeMap::new(), 0_usize);
        for row in wanted.take(NOTED) {
            designs += 1;
            let notes = records.at(row.place).map_err(|error| failed(&error))?.notes;
            for note in notes.into_iter().collect::<BTreeSet<_>>() {
                *all.entry(note).or_insert(0_usize) += 1;
            }
        }
        let said = |(note, times): (String, usize)| {
            if times == designs { note } else { format!("{note} ({times} of {designs} designs)") }
        };
        Ok::<_, Failure>(all.into_iter().map(said).collect())
    };
    let front: BTreeSet<u64> = found.summary.front.iter().copied().collect();
    let assumed = gather(&mut rows.iter().filter(|row| front.contains(&row.point)))?;
    let refused = gather(&mut rows.iter().filter(|row| row.status != Status::Ok))?;
    Ok((assumed, refused))
}
