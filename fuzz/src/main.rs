//! Entry point of the engine: reads inputs with the target that `LUMACYCLE_FUZZ` names.
//!
//! Built by `.ci/fuzz`, which gives the compiler the flags for coverage. Left out: anything of our own
//! about choosing inputs; that is libFuzzer's.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lumacycle_fuzz::{TARGETS, Target};

static TARGET: LazyLock<Option<&Target>> = LazyLock::new(|| {
    let name = std::env::var("LUMACYCLE_FUZZ").unwrap_or_default();
    TARGETS.iter().find(|target| target.name == name)
});

fuzz_target!(|bytes: &[u8]| {
    assert!(TARGET.is_some(), "LUMACYCLE_FUZZ must name a target: see `targets`");
    if let Some(target) = *TARGET {
        (target.run)(bytes);
    }
});
