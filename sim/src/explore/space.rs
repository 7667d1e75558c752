//! What a space file says: a base system, parameters, what depends on them, what they must satisfy,
//! what is wanted, and how to search. Read and checked as a whole before anything runs.

use std::collections::BTreeMap;
use std::ops::Range;

use lumacycle_arch::Catalog;
use lumacycle_arch::units;
use serde::Deserialize;
use toml::Spanned;

use super::expression::{Expression, ExpressionError, Value};
use super::metrics;
use crate::study::StudyError;
use crate::study::point::System;
use crate::study::spec::{Base, plain};

/// Most points of a search.
pub const MOST_POINTS: u64 = 10_000_000;
/// Points that the Sobol sequence is known for.
const MOST_SOBOL: u64 = 1 << 16;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Spanned<String>,
    question: String,
    system: Spanned<Base>,
    search: Spanned<SearchFile>,
    parameter: Vec<Spanned<ParameterFile>>,
    #[serde(default)]
    derived: Vec<DerivedFile>,
    #[serde(default)]
    require: Vec<RequireFile>,
    #[serde(default)]
    limit: Vec<Spanned<LimitFile>>,
    #[serde(default)]
    objective: Vec<ObjectiveFile>,
}

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

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct SearchFile {
    method: Method,
    #[serde(default)]
    points: Option<u64>,
    #[serde(default)]
    seed: u32,
    #[serde(default)]
    population: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Scale {
    #[default]
    Linear,
    Log,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ParameterFile {
    path: Spanned<String>,
    #[serde(default)]
    values: Vec<Spanned<toml::Value>>,
    #[serde(default)]
    sets: toml::Table,
    #[serde(default)]
    from: Option<Spanned<toml::Value>>,
    #[serde(default)]
    to: Option<Spanned<toml::Value>>,
    #[serde(default)]
    scale: Scale,
    #[serde(default)]
    steps: Option<Spanned<u32>>,
    #[serde(default)]
    multiple_of: Option<Spanned<toml::Value>>,
    #[serde(default)]
    base: Option<Spanned<toml::Value>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct DerivedFile {
    path: Spanned<String>,
    value: Spanned<String>,
    #[serde(default)]
    unit: Option<Spanned<String>>,
    #[serde(default)]
    whole: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequireFile {
    that: Spanned<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitFile {
    metric: Spanned<String>,
    #[serde(default)]
    at_most: Option<f64>,
    #[serde(default)]
    at_least: Option<f64>,
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

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ObjectiveFile {
    metric: Spanned<String>,
    goal: Goal,
}

/// One of the listed values of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// As it is written in results.
    pub label: String,
    settings: Vec<(String, toml::Value)>,
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
    span: Range<usize>,
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
    value: Expression,
    unit: String,
    factor: f64,
    whole: bool,
    span: Range<usize>,
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
    require: Vec<(Expression, String, Range<usize>)>,
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

fn wrong(span: Range<usize>, what: impl Into<String>, help: impl Into<String>) -> StudyError {
    StudyError { span: Some(span), ..StudyError::new(what, help) }
}

/// The place of an expression's error: strings start behind their quote.
fn at_expression(span: &Range<usize>, error: &ExpressionError) -> StudyError {
    let at = (span.start + 1 + error.at).min(span.end.saturating_sub(1));
    let help = "numbers, 'quoted quantities', parameters by path, + - * / ^, comparisons, && || !, min max floor ceil round sqrt log2 exp2 abs";
    wrong(at..(at + 1).max(at), error.what.clone(), help)
}

impl Space {
    /// Reads and checks TOML.
    ///
    /// # Errors
    /// With the place, what is wrong, and how to mend it.
    pub fn parse(text: &str) -> Result<Self, StudyError> {
        let file: File = toml::from_str(text).map_err(|error| StudyError {
            span: error.span(),
            ..StudyError::new(error.message(), "see the spaces that ship, in sim/spaces")
        })?;
        let plain_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let name = file.name.get_ref();
        if name.is_empty() || !name.chars().all(plain_name) {
            let what = format!("\"{}\" is no name of a space", name.escape_default());
            return Err(wrong(file.name.span(), what, "use letters, digits, - and _"));
        }
        if file.parameter.is_empty() {
            let help = "add a [[parameter]] with path and values, or from and to";
            return Err(wrong(file.search.span(), "no parameter varies", help));
        }
        let mut parameters: Vec<Parameter> = Vec::new();
        for one in &file.parameter {
            let parameter = parameter(one)?;
            if parameters.iter().any(|known| known.path == parameter.path) {
                let what = format!("\"{}\" varies twice", parameter.path);
                return Err(wrong(
                    parameter.span,
                    what,
                    "give all its values in one [[parameter]]",
                ));
            }
            parameters.push(parameter);
        }
        let (derived, require) = expressions(&file, &parameters)?;
        let mut limits = Vec::new();
        for limit in &file.limit {
            let LimitFile { metric, at_most, at_least } = limit.get_ref();
            if at_most.is_none() && at_least.is_none() {
                let help = "write at_most = NUMBER, at_least = NUMBER, or both";
                return Err(wrong(metric.span(), "this limit has no bound", help));
            }
            let metric = metric_of(metric)?;
            limits.push(Limit { metric, at_most: *at_most, at_least: *at_least });
        }
        let mut objectives: Vec<Objective> = Vec::new();
        for objective in &file.objective {
            let metric = metric_of(&objective.metric)?;
            if objectives.iter().any(|known| known.metric == metric) {
                let what = format!("{} is an objective twice", objective.metric.get_ref());
                return Err(wrong(objective.metric.span(), what, "leave one of them out"));
            }
            objectives.push(Objective { metric, goal: objective.goal });
        }
        let search = file.search.get_ref();
        let points = points(search, &file.search.span(), &parameters, objectives.len())?;
        let parsed: toml::Table = text.parse().map_err(|_| {
            StudyError::new("the file is no TOML", "see the spaces that ship, in sim/spaces")
        })?;
        let hash = blake3::hash(parsed.to_string().as_bytes()).to_hex()[..16].to_owned();
        let space = Self {
            name: name.clone(),
            question: file.question.clone(),
            method: search.method,
            points,
            seed: search.seed,
            population: search.population.unwrap_or(40).max(4),
            parameters,
            derived,
            require,
            limits,
            objectives,
            hash,
            system: file.system.get_ref().clone(),
        };
        space.check(&file.system.span())?;
        Ok(space)
    }

    /// The middle or the given base of each parameter.
    pub fn base(&self) -> Vec<Setting> {
        self.parameters.iter().map(|parameter| parameter.base).collect()
    }

    /// Whether each value can be set at all, one after the other.
    fn check(&self, base_span: &Range<usize>) -> Result<(), StudyError> {
        let catalog = Catalog::embedded();
        let at = |span: &Range<usize>, error: StudyError| StudyError {
            span: Some(span.clone()),
            ..error
        };
        let start = System::of(&self.system, std::iter::empty())
            .and_then(|system| system.check(&catalog))
            .map_err(|error| at(base_span, error));
        match start {
            Err(error) if !error.contradicts => return Err(error),
            _ => {}
        }
        for (number, parameter) in self.parameters.iter().enumerate() {
            let settings: Vec<Setting> = match &parameter.domain {
                Domain::Listed(choices) => (0..choices.len()).map(Setting::Choice).collect(),
                range @ Domain::Range { .. } => vec![range.at(0.0), range.at(0.5), range.at(1.0)],
            };
            for setting in settings {
                let mut design = self.base();
                design[number] = setting;
                // Other values of the point count: a value may only make sense beside them.
                let spelled = self.spell(&design).map_err(|error| match error.span {
                    None => at(&parameter.span, error),
                    Some(_) => error,
                })?;
                match spelled.system.check(&catalog) {
                    Err(error) if !error.contradicts => return Err(at(&parameter.span, error)),
                    _ => {}
                }
            }
        }
        let names = self.names(&self.base())?;
        for (expression, _, span) in &self.require {
            expression.truth(&names).map_err(|error| at_expression(span, &error))?;
        }
        Ok(())
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
                let Some(Value::Number(number)) = names.get(&derived.path) else { continue };
                let value = quantity(number / derived.factor, &derived.unit);
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
const SIMPLE: &[&str] = &["app", "encoding", "scene", "rest", "at", "gpu", "accelerator"];

fn metric_of(name: &Spanned<String>) -> Result<usize, StudyError> {
    let known = metrics::NAMES.iter().position(|known| known == name.get_ref());
    known.ok_or_else(|| {
        let what = format!("there is no metric \"{}\"", name.get_ref());
        wrong(name.span(), what, format!("metrics are {}", metrics::NAMES.join(", ")))
    })
}

/// Number, unit and factor of a written value.
fn number(value: &Spanned<toml::Value>) -> Result<(f64, String, f64), StudyError> {
    let measured = match value.get_ref() {
        toml::Value::Integer(whole) => Some((*whole as f64, "", 1.0)),
        toml::Value::Float(number) if number.is_finite() => Some((*number, "", 1.0)),
        toml::Value::String(text) => units::measure(text),
        _ => None,
    };
    measured.map(|(number, unit, factor)| (number, unit.to_owned(), factor)).ok_or_else(|| {
        let what = format!("{} is no number with a known unit", value.get_ref());
        wrong(value.span(), what, "write 8, 0.5, or a quantity such as \"64 KiB\"")
    })
}

fn parameter(one: &Spanned<ParameterFile>) -> Result<Parameter, StudyError> {
    let file = one.get_ref();
    let (path, span) = (file.path.get_ref().clone(), file.path.span());
    let known = SIMPLE.contains(&path.as_str())
        || path.starts_with("gpu.")
        || path.starts_with("accelerator.");
    if !known && !file.values.is_empty() && path.contains('.') {
        let help =
            format!("known: {}, gpu.SECTION.KEY, accelerator.SECTION.KEY", SIMPLE.join(", "));
        return Err(wrong(span, format!("there is no setting called \"{path}\""), help));
    }
    let kinds = [!file.values.is_empty(), !file.sets.is_empty(), file.from.is_some()];
    if kinds.iter().filter(|given| **given).count() != 1 || file.from.is_some() != file.to.is_some()
    {
        let what = format!("\"{path}\" needs values, sets, or from and to, and only one of them");
        return Err(wrong(span, what, "write values = [ … ], or from = … and to = …"));
    }
    let domain = match (&file.from, &file.to) {
        (Some(from), Some(to)) => range(file, from, to)?,
        _ => listed(file)?,
    };
    let base = match (&file.base, &domain) {
        (None, domain) => domain.at(0.5),
        (Some(given), Domain::Listed(choices)) => {
            let label = plain(given.get_ref());
            let index = choices.iter().position(|choice| choice.label == label);
            Setting::Choice(index.ok_or_else(|| {
                wrong(given.span(), format!("{label} is none of the values"), "choose one of them")
            })?)
        }
        (Some(given), Domain::Range { unit, from, to, .. }) => {
            let (base, _, factor) = number(given)?;
            let own = units::measure(&format!("1 {unit}")).map_or(1.0, |(_, _, factor)| factor);
            let base = base * factor / own;
            if !(*from..=*to).contains(&base) {
                return Err(wrong(
                    given.span(),
                    "the base lies outside the range",
                    "move it inside",
                ));
            }
            Setting::Number(domain.rounded(base))
        }
    };
    Ok(Parameter { path, domain, base, span })
}

fn listed(file: &ParameterFile) -> Result<Domain, StudyError> {
    let path = file.path.get_ref();
    let single = file.values.iter().map(|value| Choice {
        label: plain(value.get_ref()),
        settings: vec![(path.clone(), value.get_ref().clone())],
    });
    let mut choices: Vec<Choice> = single.collect();
    for (label, settings) in &file.sets {
        let Some(table) = settings.as_table() else {
            let what = format!("\"{label}\" is no table of settings");
            return Err(wrong(file.path.span(), what, "write sets = { label = { path = value } }"));
        };
        let settings = table.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        choices.push(Choice { label: label.clone(), settings });
    }
    let extra = [file.steps.is_some(), file.multiple_of.is_some(), file.scale != Scale::Linear];
    if extra.contains(&true) {
        let help = "steps, scale and multiple_of belong to from and to";
        return Err(wrong(file.path.span(), format!("\"{path}\" lists its values"), help));
    }
    for (number, choice) in choices.iter().enumerate() {
        if choices[..number].iter().any(|known| known.label == choice.label) {
            let what = format!("\"{path}\" has {} twice", choice.label);
            return Err(wrong(file.path.span(), what, "leave one of them out"));
        }
    }
    Ok(Domain::Listed(choices))
}

fn range(
    file: &ParameterFile,
    from: &Spanned<toml::Value>,
    to: &Spanned<toml::Value>,
) -> Result<Domain, StudyError> {
    let (low, unit, factor) = number(from)?;
    let (high, _, high_factor) = number(to)?;
    let high = high * high_factor / factor;
    let log = file.scale == Scale::Log;
    if low >= high || (log && low <= 0.0) {
        let help = if log { "0 < from < to on a logarithmic scale" } else { "from < to" };
        return Err(wrong(to.span(), "this is no range", help));
    }
    let multiple = match &file.multiple_of {
        None => None,
        Some(given) => {
            let (step, _, step_factor) = number(given)?;
            let step = step * step_factor / factor;
            if step <= 0.0 || (high / step).floor() < (low / step).ceil() {
                return Err(wrong(
                    given.span(),
                    "no multiple lies in the range",
                    "choose a smaller one",
                ));
            }
            Some(step)
        }
    };
    let steps = file.steps.as_ref().map_or(5, |steps| *steps.get_ref());
    if !(2..=100_000).contains(&steps) {
        let span = file.steps.as_ref().map_or_else(|| from.span(), Spanned::span);
        return Err(wrong(span, format!("{steps} steps"), "a range has 2 to 100000 steps"));
    }
    Ok(Domain::Range { from: low, to: high, unit, log, steps, multiple })
}

type Requirements = Vec<(Expression, String, Range<usize>)>;

fn expressions(
    file: &File,
    parameters: &[Parameter],
) -> Result<(Vec<Derived>, Requirements), StudyError> {
    let mut known: Vec<&str> = parameters.iter().map(|p| p.path.as_str()).collect();
    let mut derived = Vec::new();
    for one in &file.derived {
        let path = one.path.get_ref();
        if known.contains(&path.as_str()) {
            let what = format!("\"{path}\" is set twice");
            return Err(wrong(one.path.span(), what, "a path is a parameter or derived, once"));
        }
        let span = one.value.span();
        let value = Expression::parse(one.value.get_ref(), &known)
            .map_err(|error| at_expression(&span, &error))?;
        let (unit, factor) = match &one.unit {
            None => (String::new(), 1.0),
            Some(unit) => match units::measure(&format!("1 {}", unit.get_ref())) {
                Some((_, unit, factor)) => (unit.to_owned(), factor),
                None => {
                    let what = format!("\"{}\" is no unit", unit.get_ref());
                    return Err(wrong(unit.span(), what, "such as B, KiB, MHz, GB/s, W or mm2"));
                }
            },
        };
        known.push(path);
        derived.push(Derived { path: path.clone(), value, unit, factor, whole: one.whole, span });
    }
    let mut require = Vec::new();
    for one in &file.require {
        let span = one.that.span();
        let text = one.that.get_ref();
        let parsed = Expression::parse(text, &known).map_err(|e| at_expression(&span, &e))?;
        require.push((parsed, text.clone(), span));
    }
    Ok((derived, require))
}

fn points(
    search: &SearchFile,
    span: &Range<usize>,
    parameters: &[Parameter],
    objectives: usize,
) -> Result<u64, StudyError> {
    let lengths = || parameters.iter().map(|parameter| parameter.domain.len());
    let all = lengths().try_fold(1_u64, u64::checked_mul);
    let wanted = |method: &str| {
        search.points.ok_or_else(|| {
            let what = format!("method = \"{method}\" does not say how many points");
            wrong(span.clone(), what, "add points = NUMBER to [search]")
        })
    };
    let points = match search.method {
        Method::Grid => {
            let all = all.unwrap_or(u64::MAX);
            search.points.map_or(all, |most| most.min(all))
        }
        Method::Oat => 1 + lengths().sum::<u64>(),
        Method::Random => wanted("random")?,
        Method::Sobol => wanted("sobol")?,
        Method::Nsga2 => wanted("nsga2")?,
        Method::Ask => search.points.unwrap_or(MOST_POINTS),
    };
    if search.method == Method::Sobol && points > MOST_SOBOL {
        let what = format!("the Sobol sequence has {MOST_SOBOL} points, not {points}");
        return Err(wrong(span.clone(), what, "ask for fewer, or use method = \"random\""));
    }
    if search.method == Method::Nsga2 && objectives == 0 {
        let what = "a search needs something to search for";
        return Err(wrong(span.clone(), what, "add an [[objective]] with metric and goal"));
    }
    if !(1..=MOST_POINTS).contains(&points) {
        let what = format!("the space has {points} points");
        let help = format!(
            "1 to {MOST_POINTS} can be run: use fewer steps, or method = \"sobol\" with points = NUMBER"
        );
        return Err(wrong(span.clone(), what, help));
    }
    Ok(points)
}
