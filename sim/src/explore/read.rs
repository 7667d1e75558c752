//! Reading a space file: its shape in TOML, and everything that can be said about it before a system
//! is put together. Left out: what hardware allows, which the catalogue checks.

use std::ops::Range;

use lumacycle_arch::{nearest, units};
use serde::Deserialize;
use toml::Spanned;

use super::expression::Expression;
use super::metrics;
use super::space::{
    Choice, Derived, Domain, Goal, Limit, MOST_POINTS, MOST_SOBOL, Method, Objective, Parameter,
    Requirements, SIMPLE, Setting, Space, at_expression, wrong,
};
use crate::study::StudyError;
use crate::study::spec::{Base, misread, plain};

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

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ObjectiveFile {
    metric: Spanned<String>,
    goal: Goal,
}

impl Space {
    /// Reads and checks TOML.
    ///
    /// # Errors
    /// With the place, what is wrong, and how to mend it.
    pub fn parse(text: &str) -> Result<Self, StudyError> {
        let file: File = toml::from_str(text)
            .map_err(|e| misread(&e, "see the spaces that ship, in sim/spaces"))?;
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
        space.check(&file.system.span(), text)?;
        Ok(space)
    }
}

fn metric_of(name: &Spanned<String>) -> Result<usize, StudyError> {
    let known = metrics::NAMES.iter().position(|known| known == name.get_ref());
    known.ok_or_else(|| {
        let what = format!("there is no metric \"{}\"", name.get_ref());
        let near = nearest(name.get_ref(), metrics::NAMES.iter().copied());
        let near = near.map(|near| format!("did you mean {near}? "));
        let all = format!("metrics are {}", metrics::NAMES.join(", "));
        wrong(name.span(), what, near.unwrap_or_default() + &all)
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
    let ends = file.from.as_ref().zip(file.to.as_ref()).map(|(a, b)| [a.span(), b.span()]);
    Ok(Parameter { path, domain, base, span, ends })
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
            Some(unit) => {
                let Some((_, known, factor)) = units::measure(&format!("1 {}", unit.get_ref()))
                else {
                    let what = format!("\"{}\" is no unit", unit.get_ref());
                    return Err(wrong(unit.span(), what, "such as B, KiB, MHz, GB/s, W or mm2"));
                };
                (known.to_owned(), factor)
            }
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
