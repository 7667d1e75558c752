//! What a space file says: a base system, parameters, what depends on them, what they must satisfy,
//! what is wanted, and how to search. Read and checked as a whole before anything runs.

use std::collections::BTreeMap;
use std::ops::Range;

use lumacycle_arch::Catalog;
use serde::Deserialize;

use super::expression::{Expression, ExpressionError, Value};
use super::metrics;
use crate::study::StudyError;
use crate::study::point::System;
use crate::study::spec::{Base, plain};

/// Most points of a search.
pub const MOST_POINTS: u64 = 10_000_000;
/// Points that the Sobol sequence is known for.
pub(super) const MOST_SOBOL: u64 = 1 << 16;

/// How points are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// All combinations.
    Grid,
    /// Independent uniform draws.
    Random,
    /// A scrambled Sobol sequence.
    Sobol,
    /// The base, then one parameter at a time through its values.
    Oat,
    /// The genetic algorithm NSGA-II.
    Nsga2,
    /// An optimiser outside asks, by JSON lines.
    Ask,
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Goal {
    /// Smaller.
    Minimise,
    /// Larger.
    Maximise,
}

/// One of the listed values of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// As it is written in results.
    pub label: String,
    pub(super) settings: Vec<(String, toml::Value)>,
}

/// What a parameter may be.
#[derive(Debug, Clone, PartialEq)]
pub enum Domain {
    /// Listed values.
    Listed(Vec<Choice>),
    /// Numbers between two ends, both included.
    Range {
        /// Lower end, in the unit.
        from: f64,
        /// Upper end.
        to: f64,
        /// Unit as written, empty for plain numbers.
        unit: String,
        /// Whether equal ratios are equal distances.
        log: bool,
        /// Values along a grid.
        steps: u32,
        /// What values are multiples of, in the unit.
        multiple: Option<f64>,
    },
}

/// A parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Dotted path of the setting, or a name of one's own for settings that go together.
    pub path: String,
    /// What it may be.
    pub domain: Domain,
    /// Where one-at-a-time searches start from.
    pub base: Setting,
    pub(super) span: Range<usize>,
    /// Where the ends of a range stand.
    pub(super) ends: Option<[Range<usize>; 2]>,
}

/// One value of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, Deserialize)]
pub enum Setting {
    /// The listed value of this number.
    #[serde(rename = "i")]
    Choice(usize),
    /// A number in the parameter's unit.
    #[serde(rename = "x")]
    Number(f64),
}

impl Domain {
    /// Values along a grid.
    pub fn len(&self) -> u64 {
        match self {
            Self::Listed(choices) => choices.len() as u64,
            Self::Range { steps, .. } => u64::from(*steps),
        }
    }

    /// Whether there are none (never, once read).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A value along the grid.
    pub fn step(&self, index: u64) -> Setting {
        match self {
            Self::Listed(_) => Setting::Choice(index as usize),
            Self::Range { steps, .. } => {
                let way = if *steps < 2 { 0.0 } else { index as f64 / f64::from(steps - 1) };
                self.between(way)
            }
        }
    }

    /// The value at a share of the domain in [0, 1).
    pub fn at(&self, share: f64) -> Setting {
        match self {
            Self::Listed(choices) => {
                Setting::Choice(((share * choices.len() as f64) as usize).min(choices.len() - 1))
            }
            Self::Range { .. } => self.between(share.clamp(0.0, 1.0)),
        }
    }

    fn between(&self, way: f64) -> Setting {
        let Self::Range { from, to, log, .. } = self else { return Setting::Choice(0) };
        let number = if way <= 0.0 {
            *from
        } else if way >= 1.0 {
            *to
        } else if *log {
            from * libm::pow(to / from, way)
        } else {
            from + (to - from) * way
        };
        Setting::Number(self.rounded(number))
    }

    /// The nearest multiple inside the range; nine digits otherwise.
    pub fn rounded(&self, number: f64) -> f64 {
        let Self::Range { from, to, multiple, .. } = self else { return number };
        match multiple {
            Some(step) => {
                let (least, most) = ((from / step).ceil(), (to / step).floor());
                (number / step).round().clamp(least, most.max(least)) * step
            }
            None => format!("{number:.9e}").parse().unwrap_or(number).clamp(*from, *to),
        }
    }
}

impl Parameter {
    /// Value as written in results.
    pub fn label(&self, setting: Setting) -> String {
        match (&self.domain, setting) {
            (Domain::Listed(choices), Setting::Choice(index)) => {
                choices.get(index).map_or_else(String::new, |choice| choice.label.clone())
            }
            (Domain::Range { unit, .. }, Setting::Number(number)) if unit.is_empty() => {
                number.to_string()
            }
            (Domain::Range { unit, .. }, Setting::Number(number)) => format!("{number} {unit}"),
            _ => String::new(),
        }
    }

    pub(super) fn settings(&self, setting: Setting) -> Vec<(String, toml::Value)> {
        match (&self.domain, setting) {
            (Domain::Listed(choices), Setting::Choice(index)) => {
                choices.get(index).map_or_else(Vec::new, |choice| choice.settings.clone())
            }
            (Domain::Range { unit, .. }, Setting::Number(number)) => {
                vec![(self.path.clone(), quantity(number, unit))]
            }
            _ => Vec::new(),
        }
    }
}

/// A number with its unit as TOML; whole plain numbers are integers.
pub(super) fn quantity(number: f64, unit: &str) -> toml::Value {
    if !unit.is_empty() {
        toml::Value::String(format!("{number} {unit}"))
    } else if number.fract() == 0.0 && number.abs() < 9e15 {
        toml::Value::Integer(number as i64)
    } else {
        toml::Value::Float(number)
    }
}

/// A value that depends on parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Derived {
    /// Dotted path of the setting, or a name of one's own for later expressions.
    pub path: String,
    pub(super) value: Expression,
    pub(super) unit: String,
    pub(super) factor: f64,
    pub(super) whole: bool,
    pub(super) span: Range<usize>,
}

impl Derived {
    /// Whether its values are numbers without a unit.
    pub fn is_plain(&self) -> bool {
        self.unit.is_empty()
    }
}

/// A bound on a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// Index of the metric.
    pub metric: usize,
    /// Largest value.
    pub at_most: Option<f64>,
    /// Smallest value.
    pub at_least: Option<f64>,
}

impl Limit {
    /// Whether a value lies within; unknown values don't.
    pub fn holds(&self, value: f64) -> bool {
        self.at_most.is_none_or(|most| value <= most)
            && self.at_least.is_none_or(|least| value >= least)
            && !value.is_nan()
    }

    /// As people write it.
    pub fn text(&self) -> String {
        let name = metrics::NAMES[self.metric];
        let most = self.at_most.map(|most| format!("{name} ≤ {most}"));
        let least = self.at_least.map(|least| format!("{name} ≥ {least}"));
        [least, most].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// Index of the metric.
    pub metric: usize,
    /// Which way is better.
    pub goal: Goal,
}

/// A design space, whole and checked.
#[derive(Debug, Clone)]
pub struct Space {
    /// Name.
    pub name: String,
    /// What it asks.
    pub question: String,
    /// How points are chosen.
    pub method: Method,
    /// Points to choose.
    pub points: u64,
    /// Seed of what is drawn.
    pub seed: u32,
    /// Designs of a generation.
    pub population: u32,
    /// What varies.
    pub parameters: Vec<Parameter>,
    /// What depends on it.
    pub derived: Vec<Derived>,
    pub(super) require: Requirements,
    /// Bounds on metrics.
    pub limits: Vec<Limit>,
    /// What is wanted, most wanted first.
    pub objectives: Vec<Objective>,
    /// Hash of all that it says.
    pub hash: String,
    pub(super) system: Base,
}

/// A design's settings in full.
#[derive(Debug, Clone)]
pub(super) struct Spelled {
    /// Values of derived parameters as written in results.
    pub derived: Vec<String>,
    pub system: System,
}

pub(super) fn wrong(
    span: Range<usize>,
    what: impl Into<String>,
    help: impl Into<String>,
) -> StudyError {
    StudyError { span: Some(span), ..StudyError::new(what, help) }
}

/// The place of an expression's error: strings start behind their quote.
pub(super) fn at_expression(span: &Range<usize>, error: &ExpressionError) -> StudyError {
    let at = (span.start + 1 + error.at).min(span.end.saturating_sub(1));
    let help = "numbers, 'quoted quantities', parameters by path, + - * / ^, comparisons, && || !, min max floor ceil round sqrt log2 exp2 abs";
    wrong(at..(at + 1).max(at), error.what.clone(), help)
}

impl Space {
    /// The middle or the given base of each parameter.
    pub fn base(&self) -> Vec<Setting> {
        self.parameters.iter().map(|parameter| parameter.base).collect()
    }

    /// Whether each value can be set at all, one after the other.
    pub(super) fn check(&self, base_span: &Range<usize>, text: &str) -> Result<(), StudyError> {
        let catalog = Catalog::embedded();
        let at = |span: &Range<usize>, error: StudyError| StudyError {
            span: error.span.clone().or_else(|| Some(span.clone())),
            ..error
        };
        let start = System::of(&self.system, std::iter::empty())
            .and_then(|system| system.check(&catalog))
            .map_err(|error| at(base_span, error.placed(text)));
        match start {
            Err(error) if !error.contradicts => return Err(error),
            _ => {}
        }
        for (number, parameter) in self.parameters.iter().enumerate() {
            for (probe, setting) in self.probes(&parameter.domain).into_iter().enumerate() {
                let place = parameter.ends.as_ref().and_then(|ends| ends.get(probe));
                self.settable(number, setting, &catalog).map_err(|error| {
                    let other = self.blamed(number, &error, &catalog);
                    at(other.or(place).unwrap_or(&parameter.span), error)
                })?;
            }
        }
        let names = self.names(&self.base())?;
        for (expression, _, span) in &self.require {
            expression.truth(&names).map_err(|error| at_expression(span, &error))?;
        }
        Ok(())
    }

    /// The place of another parameter, or of a value that depends on some, that gives this error by itself.
    fn blamed(
        &self,
        number: usize,
        error: &StudyError,
        catalog: &Catalog,
    ) -> Option<&Range<usize>> {
        let alone = |settings: &[(String, toml::Value)]| {
            System::of(&self.system, settings.iter().map(|(path, value)| (path, value)))
                .and_then(|system| system.check(catalog))
                .is_err_and(|own| !own.contradicts && own.what == error.what)
        };
        let own = &self.parameters[number];
        if alone(&own.settings(own.base)) {
            return None;
        }
        let other = self.parameters.iter().find(|other| alone(&other.settings(other.base)));
        other.map(|other| &other.span).or_else(|| {
            let names = self.names(&self.base()).ok()?;
            let depends = |derived: &&Derived| {
                let value = Self::dependent(derived, &names);
                value.is_some_and(|value| alone(&[(derived.path.clone(), value)]))
            };
            self.derived.iter().find(depends).map(|derived| &derived.span)
        })
    }

    /// A derived value as it is set.
    fn dependent(derived: &Derived, names: &BTreeMap<String, Value>) -> Option<toml::Value> {
        let Some(Value::Number(number)) = names.get(&derived.path) else { return None };
        let number = number / derived.factor;
        let rounded = format!("{number:.6e}").parse().unwrap_or(number);
        Some(quantity(rounded, &derived.unit))
    }

    /// Values that are tried before anything runs: all that are listed; of a range its ends first, and what the method
    /// may choose between them.
    fn probes(&self, domain: &Domain) -> Vec<Setting> {
        const STEPS: u64 = 32;
        if let Domain::Listed(choices) = domain {
            return (0..choices.len()).map(Setting::Choice).collect();
        }
        let mut probes = vec![domain.at(0.0), domain.at(1.0)];
        match self.method {
            Method::Grid | Method::Oat if domain.len() <= STEPS => {
                probes.extend((0..domain.len()).map(|index| domain.step(index)));
            }
            // Whoever asks chooses.
            Method::Grid | Method::Oat | Method::Ask => {}
            // One of these is no round number.
            _ => probes.extend([domain.at(0.5), domain.at(0.371_93)]),
        }
        probes
    }

    /// Whether a parameter may have this value. Other parameters count: a value may only make sense beside some of
    /// theirs. One that the catalogue refuses by its own path, whether the others are at their base, all low or all
    /// high, lies beyond what it may be.
    fn settable(
        &self,
        number: usize,
        setting: Setting,
        catalog: &Catalog,
    ) -> Result<(), StudyError> {
        let path = &self.parameters[number].path;
        let others: [Vec<Setting>; 3] = [
            self.base(),
            self.parameters.iter().map(|p| p.domain.at(0.0)).collect(),
            self.parameters.iter().map(|p| p.domain.at(1.0)).collect(),
        ];
        let mut beyond = None;
        for (turn, mut design) in others.into_iter().enumerate() {
            design[number] = setting;
            let checked = match self.spell(&design) {
                // An expression's error has a place of its own.
                Err(error) if turn == 0 => return Err(error),
                Err(_) => return Ok(()),
                Ok(spelled) => spelled.system.check(catalog),
            };
            match checked {
                Ok(()) => return Ok(()),
                Err(error) if turn == 0 && !error.contradicts => {
                    let whole = error.what.contains("invalid type: floating point");
                    let range = matches!(self.parameters[number].domain, Domain::Range { .. });
                    let help = "it counts in whole numbers: add multiple_of = 1".to_owned();
                    return Err(if whole && range { StudyError { help, ..error } } else { error });
                }
                Err(error) => {
                    let own = path.split_once('.').map_or(path.as_str(), |(_, key)| key);
                    let named = error.what.strip_prefix(own).is_some_and(|r| r.starts_with(' '));
                    if !error.contradicts || !named {
                        return Ok(());
                    }
                    // A design that a requirement skips is never built.
                    if matches!(self.unmet(&design), Ok(None)) {
                        beyond = Some(error);
                    }
                }
            }
        }
        beyond.map_or(Ok(()), |error| {
            Err(StudyError { help: "leave out what cannot be built".to_owned(), ..error })
        })
    }

    /// What expressions may refer to.
    fn names(&self, design: &[Setting]) -> Result<BTreeMap<String, Value>, StudyError> {
        let mut names = BTreeMap::new();
        for (parameter, setting) in self.parameters.iter().zip(design) {
            names.insert(parameter.path.clone(), Value::of(&parameter.label(*setting)));
        }
        for derived in &self.derived {
            let number =
                derived.value.number(&names).map_err(|e| at_expression(&derived.span, &e))?;
            let number = if derived.whole {
                (number / derived.factor).round() * derived.factor
            } else {
                number
            };
            names.insert(derived.path.clone(), Value::Number(number));
        }
        Ok(names)
    }

    /// A requirement that a design does not meet, if any.
    ///
    /// # Errors
    /// When an expression has no value for this design.
    pub fn unmet(&self, design: &[Setting]) -> Result<Option<&str>, StudyError> {
        if self.require.is_empty() {
            return Ok(None);
        }
        let names = self.names(design)?;
        for (expression, text, span) in &self.require {
            if !expression.truth(&names).map_err(|error| at_expression(span, &error))? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// The system that a design describes.
    pub(super) fn spell(&self, design: &[Setting]) -> Result<Spelled, StudyError> {
        let mut settings = Vec::new();
        for (parameter, setting) in self.parameters.iter().zip(design) {
            settings.extend(parameter.settings(*setting));
        }
        let (mut labels, mut dependent) = (Vec::new(), Vec::new());
        if !self.derived.is_empty() {
            let names = self.names(design)?;
            for derived in &self.derived {
                let Some(value) = Self::dependent(derived, &names) else { continue };
                labels.push(plain(&value));
                if derived.path.contains('.') {
                    dependent.push((derived.path.clone(), value));
                }
            }
        }
        settings.retain(|(path, _)| path.contains('.') || SIMPLE.contains(&path.as_str()));
        settings.extend(dependent);
        let system = System::of(&self.system, settings.iter().map(|(p, v)| (p, v)))?;
        Ok(Spelled { derived: labels, system })
    }

    /// Values of derived parameters as written in results.
    ///
    /// # Errors
    /// When an expression has no value for this design.
    pub fn derived_labels(&self, design: &[Setting]) -> Result<Vec<String>, StudyError> {
        if self.derived.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.spell(design)?.derived)
    }
}

/// Settings without a dot.
pub(super) const SIMPLE: &[&str] =
    &["app", "encoding", "scene", "rest", "at", "prune", "storage", "gpu", "accelerator"];

/// Expressions with their text and place.
pub(super) type Requirements = Vec<(Expression, String, Range<usize>)>;

#[cfg(test)]
mod tests {
    use super::*;

    /// Requirements that skip what cannot be built make a range whole; those that leave some of it do not.
    #[test]
    fn what_a_requirement_skips_need_not_be_buildable() {
        let read = |require: &str| {
            Space::parse(&format!(
                "name = \"r\"\nquestion = \"?\"\n[system]\napp = \"gia\"\naccelerator = \"ngpc-8\"\n\
                 [search]\nmethod = \"grid\"\n[[parameter]]\npath = \"accelerator.policy.l2_tables\"\n\
                 from = 0.5\nto = 2.0\nsteps = 4\n{require}"
            ))
        };
        let require = |most: f64| {
            read(&format!("[[require]]\nthat = \"accelerator.policy.l2_tables <= {most}\"\n"))
        };
        for beyond in [read(""), require(1.5)] {
            let what = beyond.unwrap_err().what;
            assert!(what.contains("a share lies between 0 and 1"), "{what}");
        }
        let space = require(1.0).unwrap();
        assert!(space.unmet(&[Setting::Number(2.0)]).unwrap().is_some());
    }

    /// An error that a later parameter or a derived value gives stands there, not at the first that is tried.
    #[test]
    fn errors_stand_where_they_come_from() {
        let placed = |rest: &str| {
            let text = format!(
                "name = \"r\"\nquestion = \"?\"\n[system]\napp = \"gia\"\naccelerator = \"ngpc-8\"\n\
                 [search]\nmethod = \"random\"\npoints = 9\n[[parameter]]\npath = \"accelerator.accelerator.units\"\n\
                 values = [8, 16]\n{rest}[[objective]]\nmetric = \"fps\"\ngoal = \"maximise\"\n"
            );
            let error = Space::parse(&text).unwrap_err();
            assert!(error.what.contains("unknown key \"idel\""), "{}", error.what);
            text[error.span.unwrap()].to_owned()
        };
        let parameter = placed(
            "[[parameter]]\npath = \"accelerator.energy.idel\"\nvalues = [\"1 W\", \"2 W\"]\n",
        );
        assert_eq!(parameter, "\"accelerator.energy.idel\"");
        let derived = placed(
            "[[derived]]\npath = \"accelerator.energy.idel\"\nvalue = \"accelerator.accelerator.units * 2\"\n",
        );
        assert_eq!(derived, "\"accelerator.accelerator.units * 2\"");
    }
}
