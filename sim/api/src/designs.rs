//! Exploring a design space: its text in, designs with their metrics out, with front, knee and what is best.
//! Records are kept in a folder as they come, so that a killed run goes on. Left out: shards, optimisers that ask
//! (`lumacycle_sim::explore` has both).

use std::path::Path;

use lumacycle_sim::explore::space::Space;
use lumacycle_sim::explore::store::Status;
use lumacycle_sim::explore::summary::{Summary, feasible};
use lumacycle_sim::explore::{Row, Run, Shard, metrics};

use crate::Error;

/// A point of a space.
#[derive(Debug, Clone, PartialEq)]
pub struct Design {
    /// Its number.
    pub point: u64,
    /// Value of each parameter and of what is derived from them, by path, as written.
    pub settings: Vec<(String, String)>,
    /// Metrics by name, with their unit in it; those that the design does not have are missing.
    pub metrics: Vec<(&'static str, f64)>,
    /// Whether it could be built and run.
    pub valid: bool,
    /// Whether it meets all limits.
    pub feasible: bool,
    /// Whether no other one is better in all objectives.
    pub on_front: bool,
}

impl Design {
    /// A metric by name.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// A setting by path.
    pub fn setting(&self, path: &str) -> Option<&str> {
        self.settings.iter().find(|(known, _)| known == path).map(|(_, value)| value.as_str())
    }
}

/// A space that has been explored.
#[derive(Debug, Clone, PartialEq)]
pub struct Explored {
    /// Every point, by number.
    pub designs: Vec<Design>,
    /// Numbers of the Pareto front, by the first objective.
    pub front: Vec<u64>,
    /// The design of the front nearest to the best of all objectives.
    pub knee: Option<u64>,
    /// Best of each objective, all limits met.
    pub best: Vec<Option<u64>>,
}

impl Explored {
    /// A design by its number.
    pub fn design(&self, point: u64) -> Option<&Design> {
        self.designs.iter().find(|design| design.point == point)
    }
}

/// Explores a space (TOML, as `docs/spaces` describes it), on all cores. `folder` keeps the records; what it holds of the
/// same space is not computed again.
///
/// ```
/// let space = r#"
/// name = "processors"
/// question = "How many processors?"
/// [system]
/// app = "gia"
/// accelerator = "ngpc-8"
/// resolution = [96, 54]
/// [search]
/// method = "grid"
/// [[parameter]]
/// path = "accelerator.accelerator.units"
/// values = [8, 16, 32]
/// [[objective]]
/// metric = "frame_time_ms"
/// goal = "minimise"
/// [[objective]]
/// metric = "area_mm2"
/// goal = "minimise"
/// "#;
/// let folder = tempfile::tempdir().unwrap();
/// let explored = lumacycle::explore(space, folder.path())?;
/// for design in explored.designs.iter().filter(|design| design.on_front) {
///     println!("{:?}: {:?} ms", design.settings, design.metric("frame_time_ms"));
/// }
/// # assert_eq!(explored.designs.len(), 3);
/// # assert!(!explored.front.is_empty());
/// # Ok::<(), lumacycle::Error>(())
/// ```
///
/// # Errors
/// [`Error::Space`] with the place in the text, [`Error::Store`] where records cannot be kept.
pub fn explore(space: &str, folder: &Path) -> Result<Explored, Error> {
    let space = Space::parse(space)?;
    let mut run = Run::open(&space, folder, Shard::ALL, false)?;
    run.go(&|_| ())?;
    let rows = run.rows();
    let summary = Summary::of(&space, &rows);
    let designs = rows.iter().map(|row| design(&space, row, &summary)).collect();
    Ok(Explored { designs, front: summary.front, knee: summary.knee, best: summary.best })
}

fn design(space: &Space, row: &Row, summary: &Summary) -> Design {
    let own = space.parameters.iter().zip(&row.design);
    let mut settings: Vec<(String, String)> = own
        .map(|(parameter, setting)| (parameter.path.clone(), parameter.label(*setting)))
        .collect();
    let derived = space.derived_labels(&row.design).unwrap_or_default();
    settings.extend(space.derived.iter().map(|d| d.path.clone()).zip(derived));
    let metrics = metrics::NAMES.iter().copied().zip(row.metrics.iter().copied());
    Design {
        point: row.point,
        settings,
        metrics: metrics.filter(|(_, value)| !value.is_nan()).collect(),
        valid: row.status == Status::Ok,
        feasible: feasible(space, row),
        on_front: summary.front.contains(&row.point),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_in_a_space_have_their_place() {
        let folder = tempfile::tempdir().unwrap();
        let error = explore("name = \"x\"\nqestion = \"?\"\n", folder.path()).unwrap_err();
        let Error::Space(error) = error else { panic!("{error}") };
        assert!(error.span.is_some(), "{error}");
    }
}
