//! Targets that read descriptions of hardware.
//!
//! What is accepted is asked to do a little work, with whatever sizes and clocks it has. Left out: whether
//! the answer makes sense, which the laws of the engines' tests say.

use std::hint::black_box;
use std::sync::LazyLock;

use lumacycle_arch::Catalog;
use lumacycle_arch::units::{Area, Bandwidth, Bytes, Duration, Energy, Frequency, Power, measure};
use lumacycle_engines::{Engine, GpuEngine};
use lumacycle_workloads::DType;
use lumacycle_workloads::ops::{Gemm, Operation};

use crate::text;

static CATALOG: LazyLock<Catalog> = LazyLock::new(Catalog::embedded);

pub fn gpu(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    black_box((CATALOG.is_accelerator(text), CATALOG.is_gpu(text)));
    let Ok(entry) = CATALOG.parse("mine", "mine.toml", text) else { return };
    black_box(entry.gpu.list());
    let gemm = Operation::Gemm(Gemm::new(512, 512, 512, DType::Fp16));
    if let Ok(cost) = GpuEngine::new(&entry.gpu).price(&gemm) {
        assert!(cost.time_ns > 0.0, "a product takes {} ns", cost.time_ns);
    }
}

pub fn accelerator(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Ok(entry) = CATALOG.parse_accelerator("mine", "mine.toml", text) {
        black_box(entry.accelerator.list());
    }
}

pub fn sparse_accelerator(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    black_box(CATALOG.is_sparse_accelerator(text));
    if let Ok(entry) = CATALOG.parse_sparse_accelerator("mine", "mine.toml", text) {
        black_box(entry.accelerator.list());
    }
}

pub fn quantity(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    black_box(measure(text));
    let read = [
        Bytes::parse(text).map(|q| q.to_string()),
        Frequency::parse(text).map(|q| q.to_string()),
        Bandwidth::parse(text).map(|q| q.to_string()),
        Duration::parse(text).map(|q| q.to_string()),
        Power::parse(text).map(|q| q.to_string()),
        Energy::parse(text).map(|q| q.to_string()),
        Area::parse(text).map(|q| q.to_string()),
    ];
    // A text is a quantity of one kind at most.
    assert!(read.iter().filter(|read| read.is_ok()).count() <= 1, "{text:?}: {read:?}");
}
