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

use crate::accelerator::Accelerator;
use crate::gpu::Gpu;
use crate::layer::{Layer, nearest};
use crate::section::Description;

mod sparse;

pub use sparse::SparseEntry;

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
    #[error("no {what} in the catalogue is called \"{name}\"")]
    Unknown {
        /// What was looked for.
        what: &'static str,
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

/// Label of values that contradict each other.
const CONTRADICTION: &str = "this cannot be";

impl Error {
    /// Whether each value may be set, but not together with the others.
    pub fn is_contradiction(&self) -> bool {
        matches!(self, Self::Invalid { label, .. } if label == CONTRADICTION)
    }
}

/// Where each value of a description comes from.
#[derive(Debug, Clone, Default)]
struct Sources(BTreeMap<String, String>);

impl Sources {
    fn of(&self, path: &str) -> &str {
        self.0.get(path).map_or("", String::as_str)
    }

    fn kind(&self, path: &str) -> &str {
        self.of(path).split(':').next().unwrap_or_default()
    }
}

/// A GPU with its sources.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Short name: the file's stem, e.g. `rtx3090`.
    pub id: String,
    /// The description.
    pub gpu: Gpu,
    sources: Sources,
}

/// An accelerator with its sources.
#[derive(Debug, Clone)]
pub struct AcceleratorEntry {
    /// Short name: the file's stem, e.g. `ngpc-64`.
    pub id: String,
    /// The description.
    pub accelerator: Accelerator,
    sources: Sources,
    /// The text that it was read from last, to point at.
    text: Arc<NamedSource<String>>,
    spans: BTreeMap<String, Range<usize>>,
}

macro_rules! sourced {
    ($($entry:ty),+) => {$(
        impl $entry {
            /// Where the value at a dotted path (`"l2.capacity"`) comes from.
            pub fn source(&self, path: &str) -> &str {
                self.sources.of(path)
            }

            /// The kind of that source: one of [`SOURCE_KINDS`].
            pub fn source_kind(&self, path: &str) -> &str {
                self.sources.kind(path)
            }
        }
    )+};
}

sourced!(Entry, AcceleratorEntry, SparseEntry);

impl AcceleratorEntry {
    /// Whether the text that it was read from sets a value itself.
    pub fn sets(&self, path: &str) -> bool {
        self.spans.contains_key(path)
    }

    /// Says what is wrong with a value, at its place in the user's file where that sets it.
    pub fn wrong(&self, path: &str, message: String, help: String) -> Error {
        let span = self.spans.get(path).cloned().unwrap_or(0..0);
        let label =
            if span.is_empty() { format!("{path} comes from a base") } else { "here".to_owned() };
        Error::Invalid {
            message,
            source_code: Arc::clone(&self.text),
            span: span.into(),
            label,
            help: Some(help),
        }
    }
}

/// All embedded descriptions, put together on demand.
#[derive(Debug, Clone)]
pub struct Catalog {
    layers: BTreeMap<String, (String, &'static str)>,
    gpus: Vec<String>,
    accelerators: Vec<String>,
    sparse: Vec<String>,
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
        let (mut gpus, mut accelerators, mut sparse) = (Vec::new(), Vec::new(), Vec::new());
        for dir in EMBEDDED.dirs() {
            for file in dir.files() {
                let stem = file.path().file_stem().and_then(|s| s.to_str()).unwrap_or_default();
                let text = file.contents_utf8().unwrap_or_default();
                layers.insert(stem.to_owned(), (file.path().display().to_string(), text));
                if dir.path().ends_with("gpus") {
                    gpus.push(stem.to_owned());
                } else if dir.path().ends_with("accelerators") {
                    accelerators.push(stem.to_owned());
                } else if dir.path().ends_with("sparse-accelerators") {
                    sparse.push(stem.to_owned());
                }
            }
        }
        gpus.sort_by_key(|name| natural_key(name));
        accelerators.sort_by_key(|name| natural_key(name));
        sparse.sort_by_key(|name| natural_key(name));
        Self { layers, gpus, accelerators, sparse }
    }

    /// Short names of all GPUs, in natural order.
    pub fn names(&self) -> &[String] {
        &self.gpus
    }

    /// Short names of the GPUs whose descriptions build on a layer (`"ampere-sm80"`), in natural
    /// order.
    pub fn built_on(&self, layer: &str) -> Vec<String> {
        self.gpus.iter().filter(|id| self.builds_on(id, layer)).cloned().collect()
    }

    fn builds_on(&self, id: &str, layer: &str) -> bool {
        self.bases_of(id).iter().any(|base| base == layer || self.builds_on(base, layer))
    }

    fn bases_of(&self, id: &str) -> Vec<String> {
        let Some((_, text)) = self.layers.get(id) else { return Vec::new() };
        let Ok(mut table) = text.parse::<toml::Table>() else { return Vec::new() };
        let base = table.remove("base").unwrap_or(toml::Value::Array(Vec::new()));
        match base {
            toml::Value::String(base) => vec![base],
            other => other.try_into().unwrap_or_default(),
        }
    }

    /// Layers that GPUs build on and that are no GPUs themselves, in order.
    pub fn bases(&self) -> Vec<String> {
        let ids = self.gpus.iter();
        let mut bases: Vec<String> = ids.flat_map(|id| self.bases_of(id)).collect();
        bases.retain(|base| !self.gpus.contains(base));
        bases.sort();
        bases.dedup();
        bases
    }

    /// Short names of all accelerators, in natural order.
    pub fn accelerators(&self) -> &[String] {
        &self.accelerators
    }

    /// The GPU that a text starts with (`rtx3080_render_….csv`), by the longest name that fits.
    pub fn at_start_of(&self, text: &str) -> Option<Entry> {
        let text = normalise(text);
        let mut best: Option<(usize, Entry)> = None;
        for id in &self.gpus {
            let Ok(entry) = self.shipped(id) else { continue };
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
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest names.
    pub fn get(&self, name: &str) -> Result<Entry, Error> {
        self.shipped(&self.find::<Gpu>(&self.gpus, name)?)
    }

    /// Finds an accelerator in the same way.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest names.
    pub fn accelerator(&self, name: &str) -> Result<AcceleratorEntry, Error> {
        let id = self.find::<Accelerator>(&self.accelerators, name)?;
        let (file, text) = self.layers.get(&id).cloned().unwrap_or_default();
        self.parse_accelerator(&id, &file, text)
    }

    fn find<D: Description>(&self, ids: &[String], name: &str) -> Result<String, Error> {
        let wanted = normalise(name);
        if let Some(id) = ids.iter().find(|id| normalise(id) == wanted) {
            return Ok(id.clone());
        }
        // Aliases are few and the catalogue is small: reading it all is cheaper than an index
        // that could go stale.
        for id in ids {
            let (file, text) = self.layers.get(id).cloned().unwrap_or_default();
            let (description, _) = self.assemble::<D>(&file, text)?;
            if description.names().into_iter().any(|alias| normalise(alias) == wanted) {
                return Ok(id.clone());
            }
        }
        if let Some(help) = self.of_another_kind(&wanted) {
            return Err(Error::Unknown { what: D::WHAT, name: name.to_owned(), help });
        }
        let mut near: Vec<_> = ids
            .iter()
            .map(|id| (strsim::jaro_winkler(&normalise(id), &wanted), id.as_str()))
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0));
        let near: Vec<_> = near.iter().take(3).map(|(_, id)| *id).collect();
        Err(Error::Unknown {
            what: D::WHAT,
            name: name.to_owned(),
            help: format!(
                "the nearest are {}; `lumacycle catalog list{}` shows all, and a file of your own (NAME.toml) can be given instead",
                near.join(", "),
                if D::WHAT == "GPU" { "" } else { " --accelerators" }
            ),
        })
    }

    /// What a name is that the catalogue knows as something else.
    fn of_another_kind(&self, wanted: &str) -> Option<String> {
        let among = |ids: &[String]| ids.iter().any(|id| normalise(id) == wanted);
        if among(&self.gpus) {
            return Some("it is a GPU: give it with --gpu".to_owned());
        }
        if among(&self.accelerators) || among(&self.sparse) {
            return Some("it is an accelerator: give it with --accelerator".to_owned());
        }
        let layer = self.layers.keys().find(|id| normalise(id) == wanted)?;
        let users = self.built_on(layer);
        let all = if users.is_empty() { &self.accelerators } else { &users };
        let some: Vec<&str> = all.iter().take(3).map(String::as_str).collect();
        Some(format!(
            "it is a layer that descriptions start from (base = \"{layer}\"); whole ones are {}, …",
            some.join(", ")
        ))
    }

    fn shipped(&self, id: &str) -> Result<Entry, Error> {
        let (file, text) = self.layers.get(id).cloned().unwrap_or_default();
        self.parse(id, &file, text)
    }

    /// Puts a GPU together from a user's text. `file` is used in messages only.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the place, the text and the nearest valid name;
    /// [`Error::Incomplete`] when values are missing.
    pub fn parse(&self, id: &str, file: &str, text: &str) -> Result<Entry, Error> {
        let (gpu, sources) = self.assemble(file, text)?;
        Ok(Entry { id: id.to_owned(), gpu, sources })
    }

    /// Puts an accelerator together from a user's text, in the same way.
    ///
    /// # Errors
    /// As [`Catalog::parse`].
    pub fn parse_accelerator(
        &self,
        id: &str,
        file: &str,
        text: &str,
    ) -> Result<AcceleratorEntry, Error> {
        let (accelerator, sources) = self.assemble(file, text)?;
        let spans = Layer::read::<Accelerator>(file, text)?.spans;
        let text = Arc::new(NamedSource::new(file, text.to_owned()));
        Ok(AcceleratorEntry { id: id.to_owned(), accelerator, sources, text, spans })
    }

    /// Whether a description is one of an accelerator, by its sections or by its base.
    pub fn is_accelerator(&self, text: &str) -> bool {
        self.is_of(text, "accelerator", "accelerator")
    }

    /// The same for GPUs.
    pub fn is_gpu(&self, text: &str) -> bool {
        self.is_of(text, "gpu", "gpus")
    }

    fn is_of(&self, text: &str, section: &str, folder: &str) -> bool {
        let base = |table: &toml::Table| match table.get("base") {
            Some(toml::Value::String(base)) => Some(base.clone()),
            Some(toml::Value::Array(list)) => list.first()?.as_str().map(str::to_owned),
            _ => None,
        };
        let Ok(table) = text.parse::<toml::Table>() else { return false };
        if table.contains_key(section) {
            return true;
        }
        let named = base(&table).and_then(|name| self.layers.get(&name));
        named.is_some_and(|(file, _)| file.starts_with(folder))
    }

    fn assemble<D: Description>(&self, file: &str, text: &str) -> Result<(D, Sources), Error> {
        let mut partial = D::Partial::default();
        let mut sources = BTreeMap::new();
        let layer = Layer::read::<D>(file, text)?;
        self.stack::<D>(&layer, &mut partial, &mut sources, 0)?;
        let description = D::finish(partial)
            .map_err(|missing| Error::Incomplete { file: file.to_owned(), missing })?;
        if let Some((path, why)) = description.contradiction() {
            // Where a base sets it, what this file changes in the same section made it wrong.
            let section = path.split('.').next().unwrap_or_default();
            let mut beside = layer.spans.iter();
            let beside = beside.find(|(key, _)| key.split('.').next() == Some(section));
            let span = layer.spans.get(&path).or(beside.map(|(_, span)| span));
            let span = span.cloned().unwrap_or(0..0);
            return Err(layer.error(format!("{path} {why}"), span, CONTRADICTION.to_owned(), None));
        }
        Ok((description, Sources(sources)))
    }

    fn stack<D: Description>(
        &self,
        layer: &Layer<'_>,
        partial: &mut D::Partial,
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
                    Some(near.map_or_else(
                        || "bases are entries of the catalogue, not files".to_owned(),
                        |name| format!("did you mean \"{name}\"?"),
                    )),
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
            let below = Layer::read::<D>(file, text)
                .and_then(|below| self.stack::<D>(&below, partial, sources, depth + 1));
            // What ships is sound, so it is of another kind: nothing in it is for the reader to mend.
            below.map_err(|error| match depth {
                0 => layer.error(
                    format!("\"{id}\" is a base of another kind of hardware: {error}"),
                    span.clone(),
                    "cannot be built upon here".to_owned(),
                    Some("start from an entry of the same kind: see `lumacycle catalog list`, with --accelerators for those".to_owned()),
                ),
                _ => error,
            })?;
        }
        let over: D::Partial = toml::from_str(layer.text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            layer.error(error.message().trim_end().to_owned(), span, "here".to_owned(), None)
        })?;
        D::overlay(partial, over);
        for path in layer.spans.keys() {
            sources.insert(path.clone(), layer.source_of(path));
        }
        Ok(())
    }
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
mod tests;
