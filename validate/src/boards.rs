//! Which board a measurement was made on, where its source says more than the table's name.
//!
//! A table names a GPU; a source may have run a variant of it (another power limit, ECC). Such
//! variants are GPU files of their own in `tables/boards`, each with its evidence, and are named by
//! source and GPU here. The rows keep the GPU's name. Left out: boards that differ for unknown
//! reasons; nothing here follows from an error of the model.

use std::collections::BTreeMap;

use lumacycle_arch::{Catalog, Entry, Gpu};

use crate::measurements::Row;
use crate::peaks;

/// A board that a source calls by the name of a GPU.
pub(crate) struct Variant {
    /// How such sources start.
    source: &'static str,
    /// The GPU that their rows name.
    pub gpu: &'static str,
    /// What tells it from that GPU, as a GPU file.
    pub text: &'static str,
}

impl Variant {
    /// A name to tell it from the GPU that it is called by.
    pub fn name(&self) -> String {
        format!("{} ({}*)", self.gpu, self.source)
    }
}

/// The name of the board that rows of a source mean by a GPU: the GPU's own, or that of a variant.
pub(crate) fn name(gpu: &str, source: &str) -> String {
    variant(gpu, source).map_or_else(|| gpu.to_owned(), Variant::name)
}

/// All variants.
pub(crate) fn variants() -> &'static [Variant] {
    VARIANTS
}

/// The variant that rows of a source mean by a GPU.
pub(crate) fn variant(gpu: &str, source: &str) -> Option<&'static Variant> {
    VARIANTS.iter().find(|variant| source.starts_with(variant.source) && gpu == variant.gpu)
}

const VARIANTS: &[Variant] = &[
    Variant { source: "vidur_", gpu: "a40", text: include_str!("../tables/boards/vidur-a40.toml") },
    Variant {
        source: "vidur_mlp",
        gpu: "a100-sxm4-80gb",
        text: include_str!("../tables/boards/vidur-a100.toml"),
    },
    Variant {
        source: "nv_dvfs",
        gpu: "gtx1080ti",
        text: include_str!("../tables/boards/nv-dvfs-gtx1080ti.toml"),
    },
];

/// The boards of a table's rows, by GPU and source as they spell them.
#[derive(Debug, Default)]
pub(crate) struct Boards(BTreeMap<(String, String), Option<Entry>>);

impl Boards {
    /// Looks each spelling up once.
    pub fn of(catalog: &Catalog, suite: &str, rows: &[Row]) -> Self {
        let mut boards = BTreeMap::new();
        for row in rows {
            let (gpu, source) = key(row);
            boards
                .entry((gpu, source))
                .or_insert_with_key(|(gpu, source)| board(catalog, suite, gpu, source));
        }
        Self(boards)
    }

    /// The board of a row.
    ///
    /// # Errors
    /// When the catalogue does not have it.
    pub fn get(&self, row: &Row) -> Result<&Entry, String> {
        let found = self.0.get(&key(row)).and_then(Option::as_ref);
        found.ok_or_else(|| format!("GPU not in the catalogue: {}", row.text("gpu")))
    }

    /// Changes every board.
    pub fn change(&mut self, change: impl Fn(&mut Gpu)) {
        for entry in self.0.values_mut().flatten() {
            change(&mut entry.gpu);
        }
    }

    /// All that were found.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.0.values().flatten()
    }
}

fn key(row: &Row) -> (String, String) {
    (row.text("gpu").to_owned(), row.text("source").to_owned())
}

/// The board of one GPU and source.
pub(crate) fn board(catalog: &Catalog, suite: &str, gpu: &str, source: &str) -> Option<Entry> {
    let entry =
        if suite == peaks::SUITE { peaks::board(catalog, gpu) } else { catalog.get(gpu).ok() }?;
    match variant(&entry.id, source) {
        Some(variant) => catalog.parse(&entry.id, variant.source, variant.text).ok(),
        None => Some(entry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_is_a_board_that_keeps_the_rows_name() {
        let catalog = Catalog::embedded();
        for variant in VARIANTS {
            let source = format!("{}x", variant.source);
            let plain = catalog.get(variant.gpu).unwrap();
            let own = board(&catalog, "gemm", variant.gpu, &source).unwrap();
            assert_eq!(own.id, variant.gpu);
            assert_ne!(own.gpu, plain.gpu);
            let other = board(&catalog, "gemm", variant.gpu, "somebody else").unwrap();
            assert_eq!(other.gpu, plain.gpu);
        }
    }
}
