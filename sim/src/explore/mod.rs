//! Design-space exploration: a space of systems in a TOML file, methods that choose points, results
//! that outlast a killed process, and a summary.
//!
//! Builds on what studies do with one system ([`crate::study`]). A space is checked as a whole
//! ([`space`]); [`methods`] and [`nsga2`] choose designs; [`mod@bench`] evaluates them; [`store`] keeps
//! them; [`summary`] finds front, knee and sensitivities. Left out: surrogate models, and
//! accelerators other than those that studies know.

pub mod bench;
pub mod expression;
pub mod methods;
pub mod metrics;
pub mod nsga2;
mod read;
pub mod space;
pub mod store;
pub mod summary;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;

use bench::{Bench, Job};
use nsga2::{Individual, Nsga2};
use space::{Domain, Goal, Method, Setting, Space};
use store::{Header, Record, Status, Store, StoreError};

/// Points that are in work together; what a run keeps in memory beside its results.
const WINDOW: usize = 4096;
/// Tries to find a design that has not been evaluated.
const TRIES: usize = 20;

/// A point as it is kept in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Number of the point.
    pub point: u64,
    /// What became of it.
    pub status: Status,
    /// Its settings.
    pub design: Box<[Setting]>,
    /// Its metrics; not a number where there is none.
    pub metrics: Box<[f64]>,
    /// Where its record lies.
    pub place: u64,
}

impl Row {
    /// What memory keeps of a record.
    pub fn of(record: &Record, place: u64) -> Self {
        Self {
            point: record.point,
            status: record.status,
            design: record.design.as_slice().into(),
            metrics: record.metrics.iter().map(|value| value.unwrap_or(f64::NAN)).collect(),
            place,
        }
    }
}

/// Which points a run works on: part `part` of `of`, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Part, from 1.
    pub part: u64,
    /// Of how many.
    pub of: u64,
}

impl Shard {
    /// All points.
    pub const ALL: Self = Self { part: 1, of: 1 };

    /// Whether a point belongs to it. Neighbours go to different parts, so that all take as long.
    pub const fn has(self, point: u64) -> bool {
        point % self.of == self.part - 1
    }

    /// Points of it.
    pub const fn count(self, points: u64) -> u64 {
        (points + self.of - self.part) / self.of
    }

    /// Name of its file of records.
    pub fn file(self) -> String {
        if self == Self::ALL {
            "points.records".to_owned()
        } else {
            format!("shard-{}-of-{}.records", self.part, self.of)
        }
    }
}

/// A run on a folder.
#[derive(Debug)]
pub struct Run<'a> {
    space: &'a Space,
    shard: Shard,
    store: Store,
    rows: BTreeMap<u64, Row>,
}

impl<'a> Run<'a> {
    /// Opens a folder; what it holds of the same space counts as done.
    ///
    /// # Errors
    /// See [`Store::open`].
    pub fn open(
        space: &'a Space,
        folder: &Path,
        shard: Shard,
        restart: bool,
    ) -> Result<Self, StoreError> {
        let mut rows = BTreeMap::new();
        let header = header(space, shard);
        let store = Store::open(folder, &shard.file(), &header, restart, |record, place| {
            rows.entry(record.point).or_insert_with(|| Row::of(&record, place));
        })?;
        Ok(Self { space, shard, store, rows })
    }

    /// Points that are done.
    pub fn done(&self) -> u64 {
        self.rows.len() as u64
    }

    /// Points that there are to do, done or not.
    pub const fn points(&self) -> u64 {
        self.shard.count(self.space.points)
    }

    /// Where its records are.
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    /// Results by point.
    pub fn rows(&self) -> Vec<&Row> {
        self.rows.values().collect()
    }

    /// Takes records of another file over, as when shards are joined.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn adopt(&mut self, record: &Record) -> Result<(), StoreError> {
        if !self.rows.contains_key(&record.point) {
            let place = self.store.append(record)?;
            self.rows.insert(record.point, Row::of(record, place));
        }
        Ok(())
    }

    /// Evaluates what is missing; `done` hears of each point.
    ///
    /// # Errors
    /// When results cannot be kept; all that were, are.
    pub fn go(&mut self, done: &(dyn Fn(&Record) + Sync)) -> Result<(), StoreError> {
        let mut bench = Bench::new(self.space);
        match self.space.method {
            Method::Nsga2 => self.evolve(&mut bench, done)?,
            Method::Ask => {}
            _ => self.sweep(&mut bench, done)?,
        }
        self.store.sync()
    }

    fn sweep(
        &mut self,
        bench: &mut Bench<'_>,
        done: &(dyn Fn(&Record) + Sync),
    ) -> Result<(), StoreError> {
        let mut next = 0;
        while next < self.space.points {
            let mut jobs = Vec::new();
            while next < self.space.points && jobs.len() < WINDOW {
                if self.shard.has(next) && !self.rows.contains_key(&next) {
                    jobs.push(Job { point: next, design: methods::design(self.space, next) });
                }
                next += 1;
            }
            self.evaluate(bench, jobs, done)?;
        }
        Ok(())
    }

    /// Evaluates and keeps designs.
    ///
    /// # Errors
    /// When results cannot be kept.
    pub fn evaluate(
        &mut self,
        bench: &mut Bench<'_>,
        jobs: Vec<Job>,
        done: &(dyn Fn(&Record) + Sync),
    ) -> Result<(), StoreError> {
        if jobs.is_empty() {
            return Ok(());
        }
        let fresh: Mutex<Vec<Row>> = Mutex::new(Vec::with_capacity(jobs.len()));
        let store = &self.store;
        let result = bench.run(jobs, &|record| {
            let place = store.append(&record)?;
            done(&record);
            let row = Row::of(&record, place);
            fresh.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(row);
            Ok(())
        });
        let fresh = fresh.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.rows.extend(fresh.into_iter().map(|row| (row.point, row)));
        result
    }

    /// The genetic search. It repeats itself exactly, so that a run that goes on only evaluates what
    /// has not been kept.
    fn evolve(
        &mut self,
        bench: &mut Bench<'_>,
        done: &(dyn Fn(&Record) + Sync),
    ) -> Result<(), StoreError> {
        let space = self.space;
        let unordered = space.parameters.iter().map(|p| !ordered(&p.domain)).collect();
        let population = space.population as usize;
        let mut search = Nsga2::new(u64::from(space.seed), population, unordered);
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut parents: Vec<Individual> = Vec::new();
        let mut next = 0_u64;
        while next < space.points {
            let wanted = population.min((space.points - next) as usize);
            let mut jobs: Vec<(Job, Vec<f64>)> = Vec::with_capacity(wanted);
            let mut tries = 0;
            while jobs.len() < wanted {
                let x = if parents.is_empty() {
                    search.draw()
                } else if tries < TRIES * wanted {
                    let [first, _] = search.children(&parents);
                    first
                } else {
                    search.draw()
                };
                tries += 1;
                let design: Vec<Setting> =
                    space.parameters.iter().zip(&x).map(|(p, x)| p.domain.at(*x)).collect();
                let unseen = seen.insert(format!("{design:?}"));
                // A small space may hold nothing new.
                if unseen || tries > 2 * TRIES * wanted {
                    jobs.push((Job { point: next, design }, x));
                    next += 1;
                }
            }
            let missing = jobs.iter().filter(|(job, _)| !self.rows.contains_key(&job.point));
            let missing = missing.map(|(job, _)| job.clone()).collect();
            self.evaluate(bench, missing, done)?;
            let rated = jobs.into_iter().filter_map(|(job, x)| {
                let row = self.rows.get(&job.point)?;
                Some(individual(space, row, x))
            });
            let mut pool: Vec<Individual> = rated.collect();
            pool.append(&mut parents);
            parents = search.select(pool);
        }
        Ok(())
    }
}

/// What a run of this space writes at the top of its records.
pub fn header(space: &Space, shard: Shard) -> Header {
    Header {
        space: space.name.clone(),
        hash: space.hash.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        points: space.points,
        shard: [shard.part, shard.of],
        metrics: metrics::COUNT,
    }
}

/// Whether neighbours of a parameter's values are alike: numbers are, names are not.
fn ordered(domain: &Domain) -> bool {
    match domain {
        Domain::Range { .. } => true,
        Domain::Listed(choices) => choices.iter().all(|choice| {
            matches!(expression::Value::of(&choice.label), expression::Value::Number(_))
        }),
    }
}

/// A point as the genetic search sees it: smaller is better, and limits are constraints.
fn individual(space: &Space, row: &Row, x: Vec<f64>) -> Individual {
    if row.status != Status::Ok {
        let f = vec![f64::MAX; space.objectives.len()];
        return Individual { x, f, violation: f64::MAX };
    }
    let f = space.objectives.iter().map(|objective| cost(row, *objective)).collect();
    let over = space.limits.iter().map(|limit| {
        let value = row.metrics[limit.metric];
        let beyond = |bound: f64, by: f64| by.max(0.0) / bound.abs().max(1e-12);
        let most = limit.at_most.map_or(0.0, |most| beyond(most, value - most));
        let least = limit.at_least.map_or(0.0, |least| beyond(least, least - value));
        if value.is_nan() { 1e9 } else { most + least }
    });
    Individual { x, f, violation: over.sum() }
}

/// An objective so that smaller is better.
fn cost(row: &Row, objective: space::Objective) -> f64 {
    let value = row.metrics[objective.metric];
    match objective.goal {
        _ if value.is_nan() => f64::MAX,
        Goal::Minimise => value,
        Goal::Maximise => -value,
    }
}
