//! Choosing what is replayed: ranks, steps, ranges, kernels.

use lumacycle_traces::{Mark, Recording};
use regex::Regex;

/// What to keep. Empty fields keep everything.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Profiler steps to leave out at the start.
    pub warmup: usize,
    /// Profiler steps (numbers as written) to keep, both ends included.
    pub steps: Option<(u64, u64)>,
    /// Only events launched inside a range whose name matches.
    pub range: Option<Regex>,
    /// Only kernels whose name matches.
    pub kernel: Option<Regex>,
    /// Only these ranks.
    pub ranks: Vec<i64>,
}

/// Why nothing was left.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum SelectionError {
    /// No such rank.
    #[error("the trace holds no rank {wanted:?}; it holds {found:?}")]
    NoRank {
        /// Ranks asked for.
        wanted: Vec<i64>,
        /// Ranks there are.
        found: Vec<i64>,
    },
    /// No profiler steps.
    #[error("{name} marks no profiler steps, so --warmup and --steps select nothing")]
    #[diagnostic(help(
        "call prof.step() in the profiled loop, or select with --range or --kernel"
    ))]
    NoSteps {
        /// The recording.
        name: String,
    },
    /// The steps are not there.
    #[error("no profiler step of {name} is selected; it holds steps {found:?}")]
    StepsMissing {
        /// The recording.
        name: String,
        /// Steps there are.
        found: Vec<u64>,
    },
    /// No range matches.
    #[error("no range of {name} matches; the trace marks {}", if examples.is_empty() {
        "none".to_owned()
    } else {
        format!("for example {}", examples.join(", "))
    })]
    NoRange {
        /// The recording.
        name: String,
        /// Some that are there.
        examples: Vec<String>,
    },
}

fn step_number(mark: &Mark) -> Option<u64> {
    mark.name.strip_prefix("ProfilerStep#")?.parse().ok()
}

impl Selection {
    /// Drops ranks, then events, that are not selected.
    ///
    /// # Errors
    /// When a criterion names what the trace does not hold.
    pub fn apply(&self, recordings: &mut Vec<Recording>) -> Result<(), SelectionError> {
        if !self.ranks.is_empty() {
            let rank = |index: usize, recording: &Recording| recording.rank.unwrap_or(index as i64);
            let found: Vec<i64> = recordings.iter().enumerate().map(|(i, r)| rank(i, r)).collect();
            let mut index = 0;
            recordings.retain(|recording| {
                let keep = self.ranks.contains(&rank(index, recording));
                index += 1;
                keep
            });
            if self.ranks.iter().any(|wanted| !found.contains(wanted)) {
                return Err(SelectionError::NoRank { wanted: self.ranks.clone(), found });
            }
        }
        for recording in recordings {
            self.apply_to(recording)?;
        }
        Ok(())
    }

    fn apply_to(&self, recording: &mut Recording) -> Result<(), SelectionError> {
        let mut windows: Option<Vec<(i64, i64)>> = None;
        if self.warmup > 0 || self.steps.is_some() {
            windows = Some(self.step_windows(recording)?);
        }
        if let Some(pattern) = &self.range {
            let matching: Vec<_> = recording
                .marks
                .iter()
                .filter(|mark| pattern.is_match(&mark.name))
                .map(|mark| (mark.start_ps, mark.end_ps))
                .collect();
            if matching.is_empty() {
                let examples = recording.marks.iter().take(5).map(|m| m.name.to_string());
                return Err(SelectionError::NoRange {
                    name: recording.name.clone(),
                    examples: examples.collect(),
                });
            }
            windows = Some(match windows {
                None => matching,
                Some(steps) => intersect(&steps, &matching),
            });
        }
        let signatures = std::mem::take(&mut recording.signatures);
        recording.events.retain(|event| {
            // Work belongs to the range that launched it; without a launch time, to its start.
            let at = event.launched_ps.unwrap_or(event.start_ps);
            let inside = windows
                .as_ref()
                .is_none_or(|all| all.iter().any(|&(from, to)| (from..to).contains(&at)));
            let named = self
                .kernel
                .as_ref()
                .is_none_or(|pattern| pattern.is_match(&signatures[event.signature as usize].name));
            inside && named
        });
        recording.signatures = signatures;
        Ok(())
    }

    fn step_windows(&self, recording: &Recording) -> Result<Vec<(i64, i64)>, SelectionError> {
        let steps: Vec<(u64, &Mark)> =
            recording.marks.iter().filter_map(|mark| Some((step_number(mark)?, mark))).collect();
        if steps.is_empty() {
            return Err(SelectionError::NoSteps { name: recording.name.clone() });
        }
        let mut numbers: Vec<u64> = steps.iter().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let kept: Vec<u64> = numbers
            .iter()
            .skip(self.warmup)
            .copied()
            .filter(|n| self.steps.is_none_or(|(from, to)| (from..=to).contains(n)))
            .collect();
        if kept.is_empty() {
            let name = recording.name.clone();
            return Err(SelectionError::StepsMissing { name, found: numbers });
        }
        Ok(steps
            .iter()
            .filter(|(number, _)| kept.contains(number))
            .map(|(_, mark)| (mark.start_ps, mark.end_ps))
            .collect())
    }
}

fn intersect(one: &[(i64, i64)], other: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let pairs = one.iter().flat_map(|a| other.iter().map(move |b| (a.0.max(b.0), a.1.min(b.1))));
    pairs.filter(|(from, to)| from < to).collect()
}
