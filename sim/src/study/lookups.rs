//! What design points of one frame share beside its price: how the tables' memories answer its samples.
//!
//! Readers hold the lock for as long as it takes to find a key, and nobody simulates under it: two
//! threads that want the same at once both compute it. What is kept is bounded; when it is full, it
//! starts over.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use lumacycle_engines::accelerator::encode::{Memo, Misses, Touches};

/// Levels that are kept: some 10 kB each for banks, little for misses, up to 1 MB for touches.
const MOST_BANKS: usize = 1024;
const MOST_MISSES: usize = 16_384;
const MOST_TOUCHES: usize = 64;

/// The lookups of a frame.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    banks: RwLock<BTreeMap<String, Arc<Vec<f64>>>>,
    misses: RwLock<BTreeMap<String, Misses>>,
    touches: RwLock<BTreeMap<String, Arc<Touches>>>,
}

fn kept<T: Clone>(
    all: &RwLock<BTreeMap<String, T>>,
    most: usize,
    key: String,
    compute: impl FnOnce() -> T,
) -> T {
    let known = all.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
    if let Some(known) = known {
        return known;
    }
    let made = compute();
    let mut all = all.write().unwrap_or_else(PoisonError::into_inner);
    if all.len() >= most {
        all.clear();
    }
    all.insert(key, made.clone());
    made
}

impl Memo for Lookups {
    fn banks(&self, key: String, compute: &dyn Fn() -> Vec<f64>) -> Arc<Vec<f64>> {
        kept(&self.banks, MOST_BANKS, key, || Arc::new(compute()))
    }

    fn misses(&self, key: String, compute: &dyn Fn() -> Misses) -> Misses {
        kept(&self.misses, MOST_MISSES, key, compute)
    }

    fn touches(&self, key: String, compute: &dyn Fn() -> Touches) -> Arc<Touches> {
        kept(&self.touches, MOST_TOUCHES, key, || Arc::new(compute()))
    }
}
