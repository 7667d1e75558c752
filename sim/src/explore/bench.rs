//! Evaluating designs: what several of them share (rays walked, launches priced on a GPU) is
//! computed once, before any of them waits for it, so that no thread ever holds a lock while it
//! simulates. What is kept is bounded, decomposed fields (some 100 MB each) more than frames; the
//! oldest goes first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lumacycle_arch::Catalog;
use rayon::prelude::*;

use super::metrics;
use super::space::{Setting, Space, Spelled};
use super::store::{Record, Status};
use crate::study::StudyError;
use crate::study::kit::{Kit, Work};
use crate::study::point::System;

/// Frames priced on a GPU that are kept, and that are priced side by side.
const KEPT: usize = 48;
const AT_ONCE: usize = 16;
/// Frames that a decomposed field counts for in both.
const FIELD: usize = 8;

/// A design to evaluate.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Number of the point.
    pub point: u64,
    /// Its settings.
    pub design: Vec<Setting>,
}

/// Evaluates designs of a space.
#[derive(Debug)]
pub struct Bench<'a> {
    space: &'a Space,
    catalog: Catalog,
    works: Kept<Work>,
    kits: Kept<Kit>,
}

/// What is kept by key, with the turn in which it was last used.
#[derive(Debug)]
struct Kept<T> {
    turn: u64,
    all: BTreeMap<String, (u64, Result<Arc<T>, StudyError>)>,
}

impl<T> Kept<T> {
    const fn new() -> Self {
        Self { turn: 0, all: BTreeMap::new() }
    }

    /// Marks what is wanted and forgets the oldest of the rest, so that no more than `most` are kept.
    fn want<'k>(&mut self, keys: impl Iterator<Item = &'k String>, most: usize) {
        self.turn += 1;
        for key in keys {
            if let Some((turn, _)) = self.all.get_mut(key) {
                *turn = self.turn;
            }
        }
        while self.all.len() > most {
            let oldest = self.all.iter().min_by_key(|(_, (turn, _))| *turn);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { break };
            self.all.remove(&key);
        }
    }

    fn get(&self, key: &str) -> Option<Result<Arc<T>, StudyError>> {
        self.all.get(key).map(|(_, value)| value.clone())
    }

    fn keep(&mut self, made: Vec<(String, Result<T, StudyError>)>) {
        let turn = self.turn;
        self.all.extend(made.into_iter().map(|(k, v)| (k, (turn, v.map(Arc::new)))));
    }
}

impl<'a> Bench<'a> {
    /// An evaluator with nothing computed yet.
    pub fn new(space: &'a Space) -> Self {
        Self { space, catalog: Catalog::embedded(), works: Kept::new(), kits: Kept::new() }
    }

    /// Evaluates designs on all threads and hands each over as soon as it is done, in any order.
    ///
    /// # Errors
    /// The first that the taker has.
    pub fn run<E: Send>(
        &mut self,
        jobs: Vec<Job>,
        done: &(dyn Fn(Record) -> Result<(), E> + Sync),
    ) -> Result<(), E> {
        let space = self.space;
        let catalog = &self.catalog;
        let spelled: Vec<(Job, Result<Keyed, Record>)> = jobs
            .into_par_iter()
            .map(|job| {
                let spelled = spelled(space, &job);
                let keyed = spelled.map(|spelled| (spelled.system.frame_key(catalog), spelled));
                (job, keyed)
            })
            .collect();
        let mut groups: BTreeMap<String, Vec<(Job, Spelled)>> = BTreeMap::new();
        for (job, spelled) in spelled {
            match spelled {
                Ok((key, spelled)) => groups.entry(key).or_default().push((job, spelled)),
                Err(record) => done(record)?,
            }
        }
        let mut groups: Vec<Group> = groups.into_iter().collect();
        while !groups.is_empty() {
            let now: Vec<_> =
                groups.drain(..groups.len().min(AT_ONCE / heaviest(&groups))).collect();
            self.prepare(&now);
            let all: Vec<(&str, &Job, &Spelled)> = now
                .iter()
                .flat_map(|(key, group)| group.iter().map(|(job, s)| (key.as_str(), job, s)))
                .collect();
            let (kits, catalog) = (&self.kits, &self.catalog);
            all.par_iter().with_max_len(1).try_for_each(|(key, job, spelled)| {
                done(evaluated(kits.get(key), catalog, job, &spelled.system))
            })?;
        }
        Ok(())
    }

    /// Walks rays and prices frames that are not known yet.
    fn prepare(&mut self, groups: &[Group]) {
        let systems: Vec<(&String, &System)> = groups
            .iter()
            .filter_map(|(key, group)| group.first().map(|(_, s)| (key, &s.system)))
            .collect();
        let most = KEPT / heaviest(groups);
        self.kits.want(systems.iter().map(|(key, _)| *key), most);
        let missing: Vec<(&String, &System)> =
            systems.into_iter().filter(|(key, _)| self.kits.get(key).is_none()).collect();
        let keys: Vec<String> =
            missing.iter().map(|(_, system)| system.work_key(&self.catalog)).collect();
        self.works.want(keys.iter(), most);
        let mut seen = BTreeSet::new();
        let unknown: Vec<(&String, &System)> = keys
            .iter()
            .zip(&missing)
            .filter(|(key, _)| self.works.get(key).is_none() && seen.insert(*key))
            .map(|(key, (_, system))| (key, *system))
            .collect();
        let catalog = &self.catalog;
        let made = unknown
            .par_iter()
            .map(|(key, system)| ((*key).clone(), Work::of(system, catalog)))
            .collect();
        self.works.keep(made);
        let works = &self.works;
        let made = missing
            .par_iter()
            .zip(&keys)
            .filter_map(|((key, system), work)| {
                let kit = works.get(work)?.and_then(|work| Kit::of(system, &work, catalog));
                Some(((*key).clone(), kit))
            })
            .collect();
        self.kits.keep(made);
    }
}

/// A system with what it shares.
type Keyed = (String, Spelled);
/// Designs by what they share.
type Group = (String, Vec<(Job, Spelled)>);

/// How much the heaviest of what groups share counts for.
fn heaviest(groups: &[Group]) -> usize {
    let field =
        groups.iter().filter_map(|(_, group)| group.first()).any(|(_, s)| s.system.is_field());
    if field { FIELD } else { 1 }
}

/// The system of a job, or the record of why there is none.
fn spelled(space: &Space, job: &Job) -> Result<Spelled, Record> {
    let not = |status, note: String| Record {
        point: job.point,
        status,
        design: job.design.clone(),
        metrics: vec![None; metrics::COUNT],
        notes: vec![note],
    };
    match space.unmet(&job.design) {
        Ok(None) => {}
        Ok(Some(text)) => return Err(not(Status::Skipped, format!("not {text}"))),
        Err(error) => return Err(not(Status::Invalid, error.what)),
    }
    space.spell(&job.design).map_err(|error| not(Status::Invalid, error.what))
}

fn evaluated(
    kit: Option<Result<Arc<Kit>, StudyError>>,
    catalog: &Catalog,
    job: &Job,
    system: &System,
) -> Record {
    let result = kit
        .unwrap_or_else(|| Err(StudyError::new("the frame was not prepared", "")))
        .and_then(|kit| Ok((kit.metrics(system, catalog)?, kit.die_mm2())));
    let (status, metrics, notes) = match result {
        Ok(((metrics, assumptions), die_mm2)) => {
            let values = metrics::values(&metrics, die_mm2);
            let finite = values.into_iter().map(|v| v.is_finite().then_some(v)).collect();
            (Status::Ok, finite, assumptions)
        }
        Err(error) => (Status::Invalid, vec![None; metrics::COUNT], vec![error.what]),
    };
    Record { point: job.point, status, design: job.design.clone(), metrics, notes }
}
