//! One layer of the catalogue: a TOML text with the places of its keys and the sources it names.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use miette::NamedSource;
use toml::de::{DeTable, DeValue};

use crate::catalog::{Error, SOURCE_KINDS};
use crate::section::Description;

/// One TOML text with the places of its keys.
pub(crate) struct Layer<'a> {
    file: &'a str,
    pub(crate) text: &'a str,
    pub(crate) bases: Vec<(String, Range<usize>)>,
    /// Dotted path of each value → its place.
    pub(crate) spans: BTreeMap<String, Range<usize>>,
    sources: BTreeMap<String, String>,
}

impl<'a> Layer<'a> {
    pub(crate) fn error(
        &self,
        message: String,
        span: Range<usize>,
        label: String,
        help: Option<String>,
    ) -> Error {
        Error::Invalid {
            message,
            source_code: Arc::new(NamedSource::new(self.file, self.text.to_owned())),
            span: span.into(),
            label,
            help,
        }
    }

    pub(crate) fn source_of(&self, path: &str) -> String {
        let mut prefix = path;
        loop {
            if let Some(source) = self.sources.get(prefix) {
                return source.clone();
            }
            match prefix.rfind('.') {
                Some(dot) => prefix = &prefix[..dot],
                None => break,
            }
        }
        self.sources.get("default").cloned().unwrap_or_else(|| format!("estimate: {}", self.file))
    }

    pub(crate) fn read<D: Description>(file: &'a str, text: &'a str) -> Result<Self, Error> {
        let mut layer =
            Layer { file, text, bases: vec![], spans: BTreeMap::new(), sources: BTreeMap::new() };
        let table = DeTable::parse(text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            layer.error(error.message().trim_end().to_owned(), span, "here".to_owned(), None)
        })?;
        let mut source_spans = BTreeMap::new();
        for (key, value) in table.get_ref() {
            let name: &str = key.get_ref();
            match (name, value.get_ref()) {
                ("base", DeValue::String(base)) => {
                    layer.bases.push((base.to_string(), value.span()));
                }
                ("base", DeValue::Array(list)) => {
                    for item in list {
                        let DeValue::String(base) = item.get_ref() else {
                            return Err(layer.wrong_base(item.span()));
                        };
                        layer.bases.push((base.to_string(), item.span()));
                    }
                }
                ("base", _) => return Err(layer.wrong_base(value.span())),
                ("sources", DeValue::Table(sources)) => {
                    for (path, source) in sources {
                        let DeValue::String(text) = source.get_ref() else {
                            return Err(layer.error(
                                "a source is a text".to_owned(),
                                source.span(),
                                "not a text".to_owned(),
                                None,
                            ));
                        };
                        let kind = text.split(':').next().unwrap_or_default();
                        if !SOURCE_KINDS.contains(&kind) {
                            return Err(layer.error(
                                format!("unknown kind of source \"{kind}\""),
                                source.span(),
                                "starts with no known kind".to_owned(),
                                Some(format!(
                                    "write \"KIND: where\", with one of {}",
                                    SOURCE_KINDS.join(", ")
                                )),
                            ));
                        }
                        let path: &str = path.get_ref();
                        layer.sources.insert(path.to_owned(), text.to_string());
                        source_spans.insert(path.to_owned(), source.span());
                    }
                }
                (section, DeValue::Table(fields)) => {
                    let Some((_, keys)) = D::SECTIONS.iter().find(|(known, _)| *known == section)
                    else {
                        return Err(layer.unknown(
                            "section",
                            section,
                            key.span(),
                            D::SECTIONS.iter().map(|(known, _)| *known),
                        ));
                    };
                    for (field, value) in fields {
                        let field_name: &str = field.get_ref();
                        if !keys.contains(&field_name) {
                            return Err(layer.unknown(
                                "key",
                                field_name,
                                field.span(),
                                keys.iter().copied(),
                            ));
                        }
                        layer.spans.insert(format!("{section}.{field_name}"), value.span());
                    }
                }
                (other, _) => {
                    return Err(layer.unknown(
                        "key",
                        other,
                        key.span(),
                        D::SECTIONS.iter().map(|(known, _)| *known),
                    ));
                }
            }
        }
        for (path, span) in source_spans {
            let covers = |key: &String| key == &path || key.starts_with(&format!("{path}."));
            if path != "default" && !layer.spans.keys().any(covers) {
                return Err(layer.error(
                    format!("[sources] names \"{path}\", which this file does not set"),
                    span,
                    "belongs to nothing".to_owned(),
                    nearest(&path, layer.spans.keys().map(String::as_str))
                        .map(|name| format!("did you mean \"{name}\"?")),
                ));
            }
        }
        Ok(layer)
    }

    fn wrong_base(&self, span: Range<usize>) -> Error {
        self.error(
            "base names catalogue entries".to_owned(),
            span,
            "neither a text nor a list of texts".to_owned(),
            Some("write base = \"rtx3090\"".to_owned()),
        )
    }

    fn unknown<'k>(
        &self,
        what: &str,
        found: &str,
        span: Range<usize>,
        known: impl Iterator<Item = &'k str> + Clone,
    ) -> Error {
        let help = match nearest(found, known.clone()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("known: {}", known.collect::<Vec<_>>().join(", ")),
        };
        self.error(
            format!("unknown {what} \"{found}\""),
            span,
            "not understood".to_owned(),
            Some(help),
        )
    }
}

/// The most similar of the known names, if any is similar at all.
pub fn nearest<'k>(found: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    // `[L2]` is meant as `[l2]`.
    let found = found.to_lowercase();
    known
        .map(|name| (strsim::jaro_winkler(name, &found), name))
        .filter(|(score, _)| *score > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// What a value is told that must be positive; next to nothing is written short.
pub(crate) fn not_positive(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-6 {
        return format!("must be greater than zero, is {value:e}");
    }
    format!("must be greater than zero, is {value}")
}

/// The nearest known name for what a reader of TOML calls unknown, as a question: its message lists them
/// ("unknown field `stps`, expected one of `from`, `to`, …": every other part is a name).
pub fn meant(message: &str) -> Option<String> {
    let mut names = message.split('`').skip(1).step_by(2);
    let found = names.next().filter(|_| message.starts_with("unknown "))?;
    nearest(found, names).map(|near| format!("did you mean `{near}`?"))
}
