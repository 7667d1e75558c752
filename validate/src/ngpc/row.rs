//! One published figure beside what the emulator says, and how it is scored.

use serde::{Deserialize, Serialize};

/// How a published figure is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// As a value.
    Value,
    /// As a bound from below.
    AtLeast,
    /// As a bound from above.
    AtMost,
}

impl Meaning {
    /// In words; nothing for a plain value.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Value => "",
            Self::AtLeast => "at least",
            Self::AtMost => "at most",
        }
    }
}

/// One published figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NgpcRow {
    /// Kind of figure.
    pub class: String,
    /// What it is.
    pub what: String,
    /// Processors, where it depends on them.
    pub units: Option<u32>,
    /// Published.
    pub published: f64,
    /// How it is meant.
    pub meaning: Meaning,
    /// With the paper's inputs, reconstructed.
    pub predicted: f64,
    /// Of a value, in percent; of a bound, by how much it is missed.
    pub error_pct: f64,
    /// With frames of our own GPU model, where that makes a difference.
    pub own_inputs: Option<f64>,
    /// How far the published figure can be trusted.
    pub confidence: String,
    /// Whether it was used to reconstruct inputs, and so tests nothing.
    pub used: bool,
    /// Whether it follows from other published figures without any model, which tests nothing
    /// either.
    pub derived: bool,
}

/// Predicted and published as they are scored: a bound that holds has no error.
pub(super) fn scored(row: &NgpcRow) -> (f64, f64) {
    let holds = match row.meaning {
        Meaning::Value => false,
        Meaning::AtLeast => row.predicted >= row.published,
        Meaning::AtMost => row.predicted <= row.published,
    };
    (if holds { row.published } else { row.predicted }, row.published)
}

pub(super) fn row(
    class: impl Into<String>,
    what: impl Into<String>,
    published: f64,
    predicted: f64,
) -> NgpcRow {
    let row = NgpcRow {
        class: class.into(),
        what: what.into(),
        units: None,
        published,
        meaning: Meaning::Value,
        predicted,
        error_pct: 0.0,
        own_inputs: None,
        confidence: "A".to_owned(),
        used: false,
        derived: false,
    };
    row.with_error()
}

impl NgpcRow {
    pub(super) fn with_error(mut self) -> Self {
        let (predicted, published) = scored(&self);
        self.error_pct = (predicted / published - 1.0) * 100.0;
        self
    }

    pub(super) fn trusted(mut self, confidence: &str) -> Self {
        confidence.clone_into(&mut self.confidence);
        self
    }

    pub(super) fn bound(mut self, meaning: Meaning) -> Self {
        self.meaning = meaning;
        self.with_error()
    }

    pub(super) fn own(mut self, value: f64) -> Self {
        self.own_inputs = Some(value);
        self
    }

    pub(super) const fn derived(mut self) -> Self {
        self.derived = true;
        self
    }

    pub(super) const fn of(mut self, units: u32, used: bool) -> Self {
        self.units = Some(units);
        self.used = used;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_hold_have_no_error() {
        let holds = row("x", "y", 30.0, 48.0).bound(Meaning::AtLeast);
        assert_eq!(holds.error_pct, 0.0);
        let missed = row("x", "y", 30.0, 24.0).bound(Meaning::AtLeast);
        assert!((missed.error_pct + 20.0).abs() < 1e-9);
    }
}
