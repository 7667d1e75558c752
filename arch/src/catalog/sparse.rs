//! The catalogue's entries for sparse accelerators: found and put together like the others.

use super::{Catalog, Error, Sources};
use crate::sparse_accelerator::SparseAccelerator;

/// A sparse accelerator with its sources.
#[derive(Debug, Clone)]
pub struct SparseEntry {
    /// Short name: the file's stem, e.g. `rt-nerf-edge`.
    pub id: String,
    /// The description.
    pub accelerator: SparseAccelerator,
    pub(super) sources: Sources,
}

impl Catalog {
    /// Short names of all sparse accelerators, in natural order.
    pub fn sparse_accelerators(&self) -> &[String] {
        &self.sparse
    }

    /// Finds a sparse accelerator by its short name or any alias.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest names.
    pub fn sparse_accelerator(&self, name: &str) -> Result<SparseEntry, Error> {
        let id = self.find::<SparseAccelerator>(&self.sparse, name)?;
        let (file, text) = self.layers.get(&id).cloned().unwrap_or_default();
        self.parse_sparse_accelerator(&id, &file, text)
    }

    /// Puts a sparse accelerator together from a user's text.
    ///
    /// # Errors
    /// As [`Catalog::parse`].
    pub fn parse_sparse_accelerator(
        &self,
        id: &str,
        file: &str,
        text: &str,
    ) -> Result<SparseEntry, Error> {
        let (accelerator, sources) = self.assemble(file, text)?;
        Ok(SparseEntry { id: id.to_owned(), accelerator, sources })
    }

    /// Whether a description is one of a sparse accelerator. Ask this before
    /// [`Catalog::is_accelerator`], as both have a section of their name.
    pub fn is_sparse_accelerator(&self, text: &str) -> bool {
        self.is_of(text, "factor_sram", "sparse-accelerator")
    }
}
