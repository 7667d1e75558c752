//! What a source tells of all its rows, beyond the columns of its table (`tables/sources.toml`).

use std::sync::OnceLock;

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    source: Vec<Source>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    /// How its names start.
    starts: String,
    /// Keys that a sequence's page table has room for.
    table_keys: Option<u64>,
    /// How this is known.
    #[serde(rename = "evidence")]
    _evidence: String,
}

fn sources() -> &'static [Source] {
    static TABLE: OnceLock<Vec<Source>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let table = toml::from_str::<Table>(include_str!("../tables/sources.toml"));
        table.map(|table| table.source).unwrap_or_default()
    })
}

/// Keys that the page tables of a source have room for.
pub(crate) fn table_keys(source: &str) -> Option<u64> {
    sources().iter().find(|known| source.starts_with(&known.starts))?.table_keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_reads() {
        assert_eq!(table_keys("vidur_attn"), Some(4096));
        assert_eq!(table_keys("somebody else"), None);
    }
}
