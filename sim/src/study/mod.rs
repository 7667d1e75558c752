//! Studies: a question, a grid of systems that answers it, and a finding whose numbers are filled in
//! from the results.
//!
//! A study is TOML: a base system, axes that vary it (catalogue entries, applications, single values
//! of a GPU or an accelerator), the metrics to list, and named values for the sentences of the
//! finding. Left out: search, sampling and constraints; the grid is run in full.

mod check;
pub(crate) mod kit;
mod lookups;
pub(crate) mod point;
pub(crate) mod spec;
mod tensorf;

use std::collections::BTreeMap;

use lumacycle_arch::Catalog;
use rayon::prelude::*;
use serde::Serialize;

pub use point::{MEANINGS, METRICS, Metrics};
pub use spec::{Axis, Figure, Kind, Study, StudyError, Value, matches};

use point::System;

/// One system with its metrics.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What each axis was set to, in the order of the axes.
    pub settings: Vec<(String, String)>,
    /// Metrics by name.
    pub metrics: Metrics,
}

impl Row {
    /// Setting of an axis.
    pub fn setting(&self, axis: &str) -> Option<&str> {
        self.settings.iter().find(|(name, _)| name == axis).map(|(_, value)| value.as_str())
    }
}

/// A study that has been run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Name of the study.
    pub name: String,
    /// Its question.
    pub question: String,
    /// What came out, with the numbers filled in.
    pub finding: String,
    /// Names of the axes.
    pub axes: Vec<String>,
    /// Metrics to show.
    pub shown: Vec<String>,
    /// Every system.
    pub rows: Vec<Row>,
}

impl Study {
    /// Runs all systems of the study; `resolution` replaces that of the study.
    ///
    /// # Errors
    /// When a setting names nothing that exists, or systems cannot be built.
    pub fn run(&self, resolution: Option<[u32; 2]>) -> Result<Outcome, StudyError> {
        self.outcome(resolution).map_err(|error| error.placed(&self.text))
    }

    fn outcome(&self, resolution: Option<[u32; 2]>) -> Result<Outcome, StudyError> {
        let mut systems = Vec::new();
        for settings in self.points() {
            let varied = settings.0.iter().flat_map(|step| &step.settings);
            let mut system = System::of(&self.system, varied.map(|(path, value)| (path, value)))?;
            if let Some(size) = resolution {
                system.resolution = size;
            }
            systems.push((settings, system));
        }
        let catalog = Catalog::embedded();
        // Hardware first: a mistyped path of an axis is told there, not where a value is taken at it.
        systems.iter().try_for_each(|(_, system)| system.check(&catalog))?;
        check::values(self, &self.text)?;
        // Systems that share a frame and a GPU share its price as well.
        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, (_, system)) in systems.iter().enumerate() {
            groups.entry(system.frame_key(&catalog)).or_default().push(index);
        }
        let groups: Vec<Vec<usize>> = groups.into_values().collect();
        let priced: Vec<Vec<(usize, Metrics)>> = groups
            .par_iter()
            .map(|indices| {
                let systems: Vec<&System> = indices.iter().map(|i| &systems[*i].1).collect();
                let metrics = kit::run(&systems)?;
                Ok(indices.iter().copied().zip(metrics).collect())
            })
            .collect::<Result<_, StudyError>>()?;
        let mut ordered: Vec<(usize, Metrics)> = priced.into_iter().flatten().collect();
        ordered.sort_by_key(|(index, _)| *index);
        let rows: Vec<Row> = ordered
            .into_iter()
            .map(|(index, metrics)| Row { settings: systems[index].0.labels(), metrics })
            .collect();
        let finding = self.told(&rows)?;
        Ok(Outcome {
            name: self.name.clone(),
            question: self.question.clone(),
            finding,
            axes: self.axis.iter().map(|axis| axis.name().to_owned()).collect(),
            shown: self.metrics.clone(),
            rows,
        })
    }

    /// Fills the finding's numbers in.
    fn told(&self, rows: &[Row]) -> Result<String, StudyError> {
        let mut text = self.finding.clone();
        for value in &self.value {
            let number = value.of(rows)?;
            text = text.replace(&format!("{{{}}}", value.name), &spec::short(number));
        }
        if let Some(at) = text.find('{') {
            let name: String = text[at + 1..].chars().take_while(|c| *c != '}').collect();
            return Err(StudyError::new(
                format!("the finding mentions {{{name}}}, which no [[value]] defines"),
                "add a [[value]] of that name, or correct it",
            ));
        }
        Ok(text)
    }
}
