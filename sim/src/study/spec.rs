//! What a study file says.

use std::collections::BTreeMap;

use lumacycle_arch::{meant, nearest};
use serde::Deserialize;

use super::Row;
use super::point::METRICS;

/// Why a study cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct StudyError {
    /// Bytes of the text that it is about, where known.
    pub span: Option<std::ops::Range<usize>>,
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub help: String,
    /// Whether values that may each be set contradict each other.
    pub contradicts: bool,
}

impl StudyError {
    pub(crate) fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { span: None, what: what.into(), help: help.into(), contradicts: false }
    }

    /// The same with its place in a text, from what the message quotes of it: `"nrf"`, `{smal}`, or the last key
    /// of a path (`"capcity"` of `"gpu.l2.capcity"`).
    pub(crate) fn placed(self, text: &str) -> Self {
        if self.span.is_some() {
            return self;
        }
        let pieces: Vec<&str> = self.what.split('"').collect();
        // What is given as an example may stand elsewhere in the text.
        let quoted = pieces.chunks_exact(2).filter(|pair| !pair[0].ends_with("such as "));
        let quoted = quoted.map(|pair| pair[1]).filter(|word| !word.is_empty());
        let mut places = quoted.flat_map(|word| {
            let end =
                |start: char| text.find(&format!("{start}{word}\"")).map(|at| (at + 1, word.len()));
            [end('"'), end('.')]
        });
        let brace = || {
            let from = self.what.find('{')?;
            let name = &self.what[from..=from + self.what[from..].find('}')?];
            text.find(name).map(|at| (at, name.len()))
        };
        let span = places.find_map(|place| place).or_else(brace).map(|(at, long)| at..at + long);
        Self { span, ..self }
    }
}

/// Settings that systems start from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Base {
    #[serde(default = "nerf")]
    pub app: String,
    #[serde(default = "hashgrid")]
    pub encoding: String,
    #[serde(default = "rtx3090")]
    pub gpu: String,
    #[serde(default = "none")]
    pub accelerator: String,
    #[serde(default)]
    pub scene: Option<String>,
    #[serde(default = "kernels")]
    pub rest: String,
    #[serde(default = "middle", deserialize_with = "super::check::share")]
    pub at: f64,
    #[serde(default = "fhd", deserialize_with = "super::check::sides")]
    pub resolution: [u32; 2],
    /// Further settings, as axes have them.
    #[serde(default)]
    pub set: toml::Table,
}

fn nerf() -> String {
    "nerf".to_owned()
}
fn hashgrid() -> String {
    "hashgrid".to_owned()
}
fn rtx3090() -> String {
    "rtx3090".to_owned()
}
fn none() -> String {
    "none".to_owned()
}
fn kernels() -> String {
    "kernels".to_owned()
}
const fn middle() -> f64 {
    0.5
}
const fn fhd() -> [u32; 2] {
    [1920, 1080]
}

/// What is varied: one setting, or several together under a label.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// Dotted path of the setting, or a name of one's own for settings that go together.
    path: String,
    /// Values of that setting.
    #[serde(default)]
    values: Vec<toml::Value>,
    /// Settings that go together, by label.
    #[serde(default)]
    sets: toml::Table,
}

impl Axis {
    /// Name of the axis.
    pub fn name(&self) -> &str {
        &self.path
    }

    /// Its steps: label and settings.
    pub(super) fn steps(&self) -> Vec<Step> {
        let single = self.values.iter().map(|value| Step {
            axis: self.path.clone(),
            label: plain(value),
            settings: vec![(self.path.clone(), value.clone())],
        });
        let together = self.sets.iter().map(|(label, settings)| Step {
            axis: self.path.clone(),
            label: label.clone(),
            settings: settings
                .as_table()
                .map(|table| table.iter().map(|(k, v)| (k.clone(), v.clone())).collect())
                .unwrap_or_default(),
        });
        single.chain(together).collect()
    }
}

/// A step along an axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub axis: String,
    pub label: String,
    pub settings: Vec<(String, toml::Value)>,
}

/// One step along each axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings(pub Vec<Step>);

impl Settings {
    pub fn labels(&self) -> Vec<(String, String)> {
        self.0.iter().map(|step| (step.axis.clone(), step.label.clone())).collect()
    }
}

/// A number for the finding.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// Name between braces.
    pub name: String,
    /// Metric that it is of.
    pub metric: String,
    /// Settings of the rows that it is of.
    #[serde(default)]
    at: BTreeMap<String, toml::Value>,
    /// Settings of the rows that it is divided by, if any.
    #[serde(default)]
    over: Option<BTreeMap<String, toml::Value>>,
    /// Metric of those, where it is another one.
    #[serde(default)]
    over_metric: Option<String>,
    /// `min`, `max`, `mean` or `only`.
    #[serde(default = "only")]
    take: String,
    /// The same for what it is divided by, where that differs.
    #[serde(default)]
    over_take: Option<String>,
}

fn only() -> String {
    "only".to_owned()
}

impl Value {
    /// Settings of the systems that it is of, and of those that it is divided by.
    pub(super) fn settings(&self) -> impl Iterator<Item = &BTreeMap<String, toml::Value>> {
        std::iter::once(&self.at).chain(&self.over)
    }

    /// The number.
    pub(super) fn of(&self, rows: &[Row]) -> Result<f64, StudyError> {
        let above = self.taken(rows, &self.at, &self.metric, &self.take)?;
        let Some(over) = &self.over else { return Ok(above) };
        let metric = self.over_metric.as_ref().unwrap_or(&self.metric);
        let take = self.over_take.as_ref().unwrap_or(&self.take);
        let ratio = above / self.taken(rows, over, metric, take)?;
        if ratio.is_finite() {
            return Ok(ratio);
        }
        Err(StudyError::new(
            format!("value \"{}\" divides by zero", self.name),
            "choose another metric or other systems for `over`",
        ))
    }

    fn taken(
        &self,
        rows: &[Row],
        at: &BTreeMap<String, toml::Value>,
        metric: &str,
        take: &str,
    ) -> Result<f64, StudyError> {
        let numbers: Vec<f64> = rows
            .iter()
            .filter(|row| matches(row, at))
            .filter_map(|row| row.metrics.get(metric))
            .collect();
        let wrong = |what: String| {
            Err(StudyError::new(what, "name settings as the axes do, and one of the metrics"))
        };
        if numbers.is_empty() {
            return wrong(format!("value \"{}\" matches no system that has it", self.name));
        }
        match take {
            "only" if numbers.len() > 1 => wrong(format!(
                "value \"{}\" matches {} systems; say take = \"min\", \"max\" or \"mean\"",
                self.name,
                numbers.len()
            )),
            "min" => Ok(numbers.iter().copied().fold(f64::INFINITY, f64::min)),
            "max" => Ok(numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
            "mean" => Ok(numbers.iter().sum::<f64>() / numbers.len() as f64),
            "only" => Ok(numbers[0]),
            other => wrong(format!("value \"{}\": take = \"{other}\" is not known", self.name)),
        }
    }
}

/// Whether a row has these settings.
pub fn matches(row: &Row, at: &BTreeMap<String, toml::Value>) -> bool {
    at.iter().all(|(axis, value)| row.setting(axis) == Some(plain(value).as_str()))
}

/// How a figure is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Lines from step to step, for quantities along x.
    #[default]
    Lines,
    /// Bars side by side, for names along x.
    Bars,
}

/// What to draw.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// Axis along x.
    pub x: String,
    /// Metric along y.
    pub y: String,
    /// Axes that tell lines apart.
    #[serde(default)]
    pub series: Vec<String>,
    /// Settings of the systems that are drawn; all unless given.
    #[serde(default)]
    pub at: BTreeMap<String, toml::Value>,
    /// What y says, with its unit.
    pub label: String,
    /// What x says; the axis' path unless given.
    #[serde(default)]
    pub x_label: Option<String>,
    /// What stands before the steps of series where lines are named, such as "blocks of".
    #[serde(default)]
    pub series_label: Option<String>,
    /// How it is drawn.
    #[serde(default)]
    pub kind: Kind,
    /// Whether y is logarithmic (lines only).
    #[serde(default)]
    pub log: bool,
}

/// A study.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// Name.
    pub name: String,
    /// What it asks.
    pub question: String,
    /// What came out; numbers stand in braces by name.
    pub finding: String,
    /// Metrics to list.
    pub metrics: Vec<String>,
    pub(super) system: Base,
    /// What is varied.
    pub axis: Vec<Axis>,
    /// Numbers for the finding.
    #[serde(default)]
    pub value: Vec<Value>,
    /// What to draw.
    #[serde(default)]
    pub figure: Option<Figure>,
    /// The text that it was read from, to point at.
    #[serde(skip)]
    pub(super) text: String,
}

/// Most systems of a study.
const MOST_POINTS: usize = 10_000;

impl Study {
    /// Reads TOML.
    ///
    /// # Errors
    /// With the place, what is wrong, and how to mend it.
    pub fn parse(text: &str) -> Result<Self, StudyError> {
        let mut study: Self = toml::from_str(text)
            .map_err(|error| misread(&error, "see the studies that ship, in sim/studies"))?;
        text.clone_into(&mut study.text);
        let near = |word: &str, what: String, help: String| {
            let at = text.find(&format!("\"{word}\""));
            let span = at.map(|at| at..at + word.len() + 2);
            Err(StudyError { span, what, help, contradicts: false })
        };
        let plain_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if study.name.is_empty() || !study.name.chars().all(plain_name) {
            return near(
                &study.name,
                format!("\"{}\" is no name of a study", study.name.escape_default()),
                "files are named after it: use letters, digits, - and _".to_owned(),
            );
        }
        let known = |metric: &str| METRICS.contains(&metric);
        let over = study.value.iter().filter_map(|value| value.over_metric.as_ref());
        let metrics = study.metrics.iter().chain(study.value.iter().map(|value| &value.metric));
        let metrics = metrics.chain(over);
        let drawn = study.figure.iter().map(|figure| &figure.y);
        for metric in metrics.chain(drawn) {
            if !known(metric) {
                let meant = nearest(metric, METRICS.iter().copied());
                let meant = meant.map(|name| format!("did you mean {name}? ")).unwrap_or_default();
                let help = format!("{meant}metrics are {}", METRICS.join(", "));
                return near(metric, format!("there is no metric \"{metric}\""), help);
            }
        }
        for axis in &study.axis {
            if axis.steps().is_empty() {
                return near(
                    &axis.path,
                    format!("axis \"{}\" has neither values nor sets", axis.path),
                    "write values = [ … ], or sets with a table of settings each".to_owned(),
                );
            }
        }
        let axes: Vec<&str> = study.axis.iter().map(Axis::name).collect();
        if let Some(figure) = &study.figure {
            for axis in figure.series.iter().chain([&figure.x]) {
                if !axes.contains(&axis.as_str()) {
                    return near(
                        axis,
                        format!("the figure's \"{axis}\" is no axis"),
                        format!("axes are {}", axes.join(", ")),
                    );
                }
            }
        }
        let points = study.axis.iter().map(|axis| axis.steps().len());
        let points = points.fold(1_usize, usize::saturating_mul);
        if points > MOST_POINTS {
            return Err(StudyError::new(
                format!("the study has {points} systems"),
                format!("up to {MOST_POINTS} are run in full"),
            ));
        }
        super::check::axes(&study, text)?;
        Ok(study)
    }

    /// All combinations of steps, the last axis fastest.
    pub(super) fn points(&self) -> Vec<Settings> {
        self.axis.iter().fold(vec![Settings(Vec::new())], |points, axis| {
            let steps = axis.steps();
            points
                .iter()
                .flat_map(|point| {
                    steps.iter().map(move |step| {
                        let mut longer = point.clone();
                        longer.0.push(step.clone());
                        longer
                    })
                })
                .collect()
        })
    }
}

/// What a file of another shape is told, with the nearest key where one is unknown.
pub(crate) fn misread(error: &toml::de::Error, otherwise: &str) -> StudyError {
    let what = error.message().trim_end().to_owned();
    let help = meant(&what).unwrap_or_else(|| otherwise.to_owned());
    StudyError { span: error.span(), ..StudyError::new(what, help) }
}

/// A value without quotes.
pub(crate) fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Three significant digits or so, for sentences.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
