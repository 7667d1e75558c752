//! The catalogue: layers of TOML, put together into descriptions that know their sources.
//!
//! A file names its `base` layers (one name or a list, later ones win), then overrides. The
//! `[sources]` table gives, for a dotted path or a prefix of one, where the values of this
//! file come from; `default` covers the rest. Sources start with one of [`SOURCE_KINDS`].

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use include_dir::{Dir, include_dir};
use miette::{Diagnostic, NamedSource, SourceSpan};
use toml::de::{DeTable, DeValue};

use crate::gpu::{Gpu, GpuPartial};

static EMBEDDED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/catalog");

/// The words with which a source may start, from the firmest to the weakest.
///
/// `inferred` is carried over from a sibling part or worked out from other values; `estimate`
/// has no public source at all.
pub const SOURCE_KINDS: &[&str] =
    &["datasheet", "microbenchmark", "paper", "calibrated", "inferred", "estimate"];

/// Why a description could not be had.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Error {
    /// A file says something that cannot be used.
    #[error("{message}")]
    Invalid {
        /// What is wrong.
        message: String,
        /// The file.
        #[source_code]
        source_code: Arc<NamedSource<String>>,
        /// Where in the file.
        #[label("{label}")]
        span: SourceSpan,
        /// Text at the place.
        label: String,
        /// How to mend it.
        #[help]
        help: Option<String>,
    },
    /// No entry has this name.
    #[error("no GPU in the catalogue is called \"{name}\"")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The nearest names.
        #[help]
        help: String,
    },
    /// Values that neither the file nor its bases give.
    #[error("{file}: the description is incomplete: {} values missing ({}{})", missing.len(),
        missing.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", "),
        if missing.len() > 5 { ", …" } else { "" })]
    #[diagnostic(help("add them, or start from an entry of the catalogue with base = \"NAME\""))]
    Incomplete {
        /// The file.
        file: String,
        /// Dotted paths.
        missing: Vec<String>,
    },
}

/// A description with its sources.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Short name: the file's stem, e.g. `rtx3090`.
    pub id: String,
    /// The description.
    pub gpu: Gpu,
    sources: BTreeMap<String, String>,
}

impl Entry {
    /// Where the value at a dotted path (`"l2.capacity"`) comes from.
    pub fn source(&self, path: &str) -> &str {
        self.sources.get(path).map_or("", String::as_str)
    }

    /// The kind of that source: one of [`SOURCE_KINDS`].
    pub fn source_kind(&self, path: &str) -> &str {
        self.source(path).split(':').next().unwrap_or_default()
    }
}

/// All embedded descriptions, put together on demand.
#[derive(Debug, Clone)]
pub struct Catalog {
    layers: BTreeMap<String, (String, &'static str)>,
    gpus: Vec<String>,
}

impl Default for Catalog {
    fn default() -> Self {
        Self::embedded()
    }
}

impl Catalog {
    /// The catalogue that is compiled into the library.
    pub fn embedded() -> Self {
        let mut layers = BTreeMap::new();
        let mut gpus = Vec::new();
        for dir in EMBEDDED.dirs() {
            for file in dir.files() {
                let stem = file.path().file_stem().and_then(|s| s.to_str()).unwrap_or_default();
                let text = file.contents_utf8().unwrap_or_default();
                layers.insert(stem.to_owned(), (file.path().display().to_string(), text));
                if dir.path().ends_with("gpus") {
                    gpus.push(stem.to_owned());
                }
            }
        }
        gpus.sort_by_key(|name| natural_key(name));
        Self { layers, gpus }
    }

    /// Short names of all GPUs, in natural order.
    pub fn names(&self) -> &[String] {
        &self.gpus
    }

    /// The GPU that a text starts with (`rtx3080_render_….csv`), by the longest name that fits.
    pub fn at_start_of(&self, text: &str) -> Option<Entry> {
        let text = normalise(text);
        let mut best: Option<(usize, Entry)> = None;
        for id in &self.gpus {
            let Ok(entry) = self.entry(id) else { continue };
            let names = entry.gpu.gpu.aliases.iter().map(String::as_str).chain([id.as_str()]);
            let longest = names.map(normalise).filter(|n| text.starts_with(n.as_str()));
            let Some(length) = longest.map(|name| name.len()).max() else { continue };
            if best.as_ref().is_none_or(|(known, _)| length > *known) {
                best = Some((length, entry));
            }
        }
        best.map(|(_, entry)| entry)
    }

    /// Finds a GPU by its short name or any alias; case, spaces and punctuation don't count.
    pub fn get(&self, name: &str) -> Result<Entry, Error> {
        let wanted = normalise(name);
        let by_id = self.gpus.iter().find(|id| normalise(id) == wanted);
        if let Some(id) = by_id {
            return self.entry(id);
        }
        // Aliases are few and the catalogue is small: reading it all is cheaper than an index
        // that could go stale.
        for id in &self.gpus {
            let entry = self.entry(id)?;
            let names = entry.gpu.gpu.aliases.iter().chain([&entry.gpu.gpu.name]);
            if names.into_iter().any(|alias| normalise(alias) == wanted) {
                return Ok(entry);
            }
        }
        let mut near: Vec<_> = self
            .gpus
            .iter()
            .map(|id| (strsim::jaro_winkler(&normalise(id), &wanted), id.as_str()))
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0));
        let near: Vec<_> = near.iter().take(3).map(|(_, id)| *id).collect();
        Err(Error::Unknown {
            name: name.to_owned(),
            help: format!(
                "the nearest are {}; `lumacycle catalog list` shows all, and a file of your own (NAME.toml) can be given instead",
                near.join(", ")
            ),
        })
    }

    fn entry(&self, id: &str) -> Result<Entry, Error> {
        let (file, text) = self.layers.get(id).cloned().unwrap_or_default();
        self.parse(id, &file, text)
    }

    /// Puts a description together from a user's text. `file` is used in messages only.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the place, the text and the nearest valid name;
    /// [`Error::Incomplete`] when values are missing.
    pub fn parse(&self, id: &str, file: &str, text: &str) -> Result<Entry, Error> {
        let mut partial = GpuPartial::default();
        let mut sources = BTreeMap::new();
        let layer = Layer::read(file, text)?;
        self.stack(&layer, &mut partial, &mut sources, 0)?;
        let gpu = Gpu::finish(partial)
            .map_err(|missing| Error::Incomplete { file: file.to_owned(), missing })?;
        if let Some((path, why)) = gpu.contradiction() {
            let span = layer.spans.get(&path).cloned().unwrap_or(0..0);
            return Err(layer.error(
                format!("{path} {why}"),
                span,
                "this cannot be".to_owned(),
                None,
            ));
        }
        Ok(Entry { id: id.to_owned(), gpu, sources })
    }

    fn stack(
        &self,
        layer: &Layer<'_>,
        partial: &mut GpuPartial,
        sources: &mut BTreeMap<String, String>,
        depth: usize,
    ) -> Result<(), Error> {
        for (base, span) in &layer.bases {
            let found = self
                .layers
                .get_key_value(base.as_str())
                .or_else(|| self.layers.iter().find(|(id, _)| normalise(id) == normalise(base)));
            let Some((id, (file, text))) = found else {
                let near = nearest(base, self.layers.keys().map(String::as_str));
                return Err(layer.error(
                    format!("unknown base \"{base}\""),
                    span.clone(),
                    "no such entry".to_owned(),
                    near.map(|name| format!("did you mean \"{name}\"?")),
                ));
            };
            if depth > 8 {
                return Err(layer.error(
                    format!("base \"{id}\" is nested too deep"),
                    span.clone(),
                    "a circle of bases?".to_owned(),
                    None,
                ));
            }
            self.stack(&Layer::read(file, text)?, partial, sources, depth + 1)?;
        }
        let over: GpuPartial = toml::from_str(layer.text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            layer.error(error.message().to_owned(), span, "here".to_owned(), None)
        })?;
        Gpu::overlay(partial, over);
        for path in layer.spans.keys() {
            sources.insert(path.clone(), layer.source_of(path));
        }
        Ok(())
    }
}

/// One TOML text with the places of its keys.
struct Layer<'a> {
    file: &'a str,
    text: &'a str,
    bases: Vec<(String, Range<usize>)>,
    /// Dotted path of each value → its place.
    spans: BTreeMap<String, Range<usize>>,
    sources: BTreeMap<String, String>,
}

impl<'a> Layer<'a> {
    fn error(
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

    fn source_of(&self, path: &str) -> String {
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

    fn read(file: &'a str, text: &'a str) -> Result<Self, Error> {
        let mut layer =
            Layer { file, text, bases: vec![], spans: BTreeMap::new(), sources: BTreeMap::new() };
        let table = DeTable::parse(text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            layer.error(error.message().to_owned(), span, "here".to_owned(), None)
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
                    let Some((_, keys)) = Gpu::SECTIONS.iter().find(|(known, _)| *known == section)
                    else {
                        return Err(layer.unknown(
                            "section",
                            section,
                            key.span(),
                            Gpu::SECTIONS.iter().map(|(known, _)| *known),
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
                        Gpu::SECTIONS.iter().map(|(known, _)| *known),
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
fn nearest<'k>(found: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    known
        .map(|name| (strsim::jaro_winkler(name, found), name))
        .filter(|(score, _)| *score > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// Letters and digits only, lower case, without the vendor's words.
fn normalise(name: &str) -> String {
    let name = name.to_lowercase();
    let words = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !matches!(*word, "nvidia" | "geforce" | "tesla" | "quadro" | "gpu"));
    words.collect()
}

/// Sorts `rtx2060` before `rtx10`'s lexical surprises: letters, then numbers by value.
fn natural_key(name: &str) -> (String, u64, String) {
    let letters: String = name.chars().take_while(|c| !c.is_ascii_digit()).collect();
    let digits: String = name[letters.len()..].chars().take_while(char::is_ascii_digit).collect();
    let rest = name[letters.len() + digits.len()..].to_owned();
    (letters, digits.parse().unwrap_or(0), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_of_the_catalogue_is_complete_and_sourced() {
        let catalog = Catalog::embedded();
        assert!(catalog.names().len() >= 60);
        for name in catalog.names() {
            let entry = catalog.get(name).unwrap_or_else(|error| panic!("{name}: {error:?}"));
            for (path, _) in entry.gpu.list() {
                let kind = entry.source_kind(&path);
                assert!(SOURCE_KINDS.contains(&kind), "{name}: {path} has no source");
            }
        }
    }

    #[test]
    fn aliases_name_one_entry_each() {
        let catalog = Catalog::embedded();
        let mut seen = BTreeMap::new();
        for name in catalog.names() {
            let gpu = catalog.get(name).unwrap().gpu.gpu;
            let mut own: Vec<String> =
                gpu.aliases.iter().chain([&gpu.name, name]).map(|n| normalise(n)).collect();
            own.sort();
            own.dedup();
            for alias in own {
                if let Some(other) = seen.insert(alias.clone(), name.clone()) {
                    panic!("{alias} names both {other} and {name}");
                }
            }
        }
    }

    #[test]
    fn profiler_names_resolve() {
        let catalog = Catalog::embedded();
        for (name, id) in [
            ("NVIDIA H100 80GB HBM3", "h100-sxm"),
            ("Tesla V100-SXM2-16GB", "v100-sxm2-16gb"),
            ("NVIDIA GeForce RTX 3090", "rtx3090"),
            ("rtx-3090", "rtx3090"),
            ("Quadro GP100", "gp100"),
            ("NVIDIA A100-SXM4-80GB", "a100-sxm4-80gb"),
        ] {
            assert_eq!(catalog.get(name).unwrap().id, id, "{name}");
        }
        let error = catalog.get("rtx3099").unwrap_err();
        assert!(matches!(&error, Error::Unknown { help, .. } if help.contains("rtx3090")));
    }

    /// Peaks follow from lanes, SMs and clocks: the datasheet figures must come out.
    #[test]
    fn peaks_match_datasheets() {
        let catalog = Catalog::embedded();
        for (name, fp32_tflops, tensor_tflops) in [
            ("a100-sxm4-80gb", 19.5, 312.0),
            ("v100-sxm2-16gb", 15.7, 125.0),
            ("rtx3090", 35.6, 71.0),
            ("p100-sxm2-16gb", 10.6, 0.0),
            ("l40", 90.5, 181.0),
        ] {
            let gpu = catalog.get(name).unwrap().gpu;
            let per_clock = 2.0 * f64::from(gpu.sm.count) * gpu.clocks.boost.hz() / 1e12;
            let fp32 = per_clock * gpu.pipes.fp32;
            let tensor = per_clock * gpu.tensor.fp16_fp32;
            assert!((fp32 / fp32_tflops - 1.0).abs() < 0.02, "{name}: {fp32}");
            assert!((tensor - tensor_tflops).abs() <= 0.02 * tensor_tflops, "{name}: {tensor}");
        }
    }

    #[test]
    fn a_user_file_overrides_its_base_and_keeps_sources_apart() {
        let catalog = Catalog::embedded();
        let text = "base = \"rtx3090\"\n[sources]\ndefault = \"estimate: what if\"\n[l2]\ncapacity = \"96 MiB\"\n";
        let entry = catalog.parse("mine", "mine.toml", text).unwrap();
        assert_eq!(entry.gpu.l2.capacity.bytes(), 96.0 * 1_048_576.0);
        assert_eq!(entry.source("l2.capacity"), "estimate: what if");
        assert_ne!(entry.source_kind("sm.count"), "estimate");
    }

    #[test]
    fn files_named_after_a_gpu_are_recognised() {
        let catalog = Catalog::embedded();
        let found = |text: &str| catalog.at_start_of(text).map(|entry| entry.id);
        assert_eq!(found("rtx3070_render_fox.csv").as_deref(), Some("rtx3070"));
        assert_eq!(found("RTX_3080_Ti-render").as_deref(), Some("rtx3080ti"));
        assert_eq!(found("NVIDIA GeForce RTX 3080.csv").as_deref(), Some("rtx3080"));
        assert_eq!(found("render_rtx3070.csv"), None);
    }

    #[test]
    fn bad_files_are_told_where() {
        let catalog = Catalog::embedded();
        let message = |text: &str| match catalog.parse("x", "x.toml", text).unwrap_err() {
            Error::Invalid { message, span, help, .. } => {
                let at = &text[span.offset()..span.offset() + span.len()];
                format!("{message} | {at} | {}", help.unwrap_or_default())
            }
            other => other.to_string(),
        };
        let base = "base = \"rtx3090\"\n";
        assert_eq!(
            message(&format!("{base}[l2]\ncapacty = \"6 MiB\"\n")),
            "unknown key \"capacty\" | capacty | did you mean \"capacity\"?"
        );
        assert!(
            message(&format!("{base}[l2]\ncapacity = \"6 GHz\"\n")).contains("GHz is a frequency")
        );
        assert!(message(&format!("{base}[dram]\nefficiency = 1.5\n")).contains("cannot exceed 1"));
        assert!(message("base = \"rtx309\"\n").contains("did you mean \"rtx3090\"?"));
        assert!(message("[l2]\ncapacity = \"6 MiB\"\n").contains("incomplete"));
        assert!(message("[l2\n").contains("unclosed table"), "{}", message("[l2\n"));
    }
}
