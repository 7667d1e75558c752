//! Lumacycle as a library: what a kernel, a recorded profile, a frame or a design space costs on
//! hardware that is described in TOML.
//!
//! | question | entry point |
//! |---|---|
//! | What does one kernel cost? | [`kernel`] |
//! | What would this recorded profile have taken elsewhere? | [`replay`] |
//! | What does a frame cost, alone and with an accelerator? | [`Scenario::frame`], [`Scenario::frame_with`] |
//! | Which designs are best? | [`explore`] |
//!
//! Hardware comes from the catalogue ([`gpu`], [`accelerator`]) or from a text of one's own
//! ([`gpu_from_toml`], [`accelerator_from_toml`]); every value keeps its source. Units are in names
//! (`time_ns`, `energy_mj`) or types. The same input gives the same result on any number of threads. Nothing
//! is printed, and nothing but what a function is told to read or write is touched.
//!
//! ```
//! use lumacycle::workloads::{DType, ops::{Gemm, Operation}};
//!
//! let gpu = lumacycle::gpu("a100-sxm4-80gb")?;
//! let work = Operation::Gemm(Gemm::new(4096, 4096, 4096, DType::Fp16));
//! let cost = lumacycle::kernel(&work, &gpu, lumacycle::Options::default())?;
//! println!("{:.0} us, bound by {}", cost.time_ns / 1e3, cost.binding);
//! # assert!((400e3..800e3).contains(&cost.time_ns));
//! # Ok::<(), lumacycle::Error>(())
//! ```
//!
//! The layers below are there for more: [`arch`] (hardware), [`workloads`] (operations, scenes,
//! applications), [`traces`] (readers), [`engines`] (models), [`sim`] (the clock, studies). Left out here:
//! training steps, splatting, decomposed fields and studies, which those layers offer.

mod designs;
mod error;
mod scenario;

use std::path::Path;

pub use lumacycle_arch as arch;
pub use lumacycle_engines as engines;
pub use lumacycle_sim as sim;
pub use lumacycle_traces as traces;
pub use lumacycle_workloads as workloads;

pub use arch::{AcceleratorEntry, Entry};
pub use designs::{Design, Explored, explore};
pub use engines::{Cost, L2Start, Options};
pub use error::Error;
pub use scenario::Scenario;
pub use sim::accelerated::AcceleratedFrame;
pub use sim::frame::FrameResult;
pub use sim::replay::ReplayResult;

use arch::Catalog;
use engines::{Engine as _, GpuEngine};
use sim::replay::{ReplayOptions, fits};
use traces::ReadOptions;
use workloads::ops::Operation;

/// A GPU of the catalogue, by its short name or as `nvidia-smi` prints it.
///
/// # Errors
/// [`Error::Hardware`] with the nearest names.
pub fn gpu(name: &str) -> Result<Entry, Error> {
    Ok(Catalog::embedded().get(name)?)
}

/// A GPU from a text of one's own: `base` names a catalogue entry, the rest says what differs. `id` is
/// what results call it.
///
/// ```
/// let text = "base = \"rtx3090\"\n[sources]\ndefault = \"estimate: what if\"\n[l2]\ncapacity = \"96 MiB\"\n";
/// let gpu = lumacycle::gpu_from_toml("large-l2", text)?;
/// assert_eq!(gpu.gpu.l2.capacity.bytes(), 96.0 * 1024.0 * 1024.0);
/// assert_eq!(gpu.source("l2.capacity"), "estimate: what if");
/// # Ok::<(), lumacycle::Error>(())
/// ```
///
/// # Errors
/// [`Error::Hardware`] with the place in the text and the nearest valid name.
pub fn gpu_from_toml(id: &str, text: &str) -> Result<Entry, Error> {
    Ok(Catalog::embedded().parse(id, id, text)?)
}

/// An accelerator of the catalogue that works beside a GPU (`ngpc-8` … `ngpc-64`).
///
/// # Errors
/// [`Error::Hardware`] with the nearest names.
pub fn accelerator(name: &str) -> Result<AcceleratorEntry, Error> {
    Ok(Catalog::embedded().accelerator(name)?)
}

/// An accelerator from a text of one's own, as [`gpu_from_toml`].
///
/// # Errors
/// [`Error::Hardware`] with the place in the text and the nearest valid name.
pub fn accelerator_from_toml(id: &str, text: &str) -> Result<AcceleratorEntry, Error> {
    Ok(Catalog::embedded().parse_accelerator(id, id, text)?)
}

/// What one operation costs on a GPU when nothing else runs: time, the resource that binds, bytes at each
/// level, energy by component. A product, say, becomes the kernel that a vendor's library would choose.
///
/// # Errors
/// [`Error::Work`] where the sizes are impossible, [`Error::Replay`] where it does not fit in device memory,
/// [`Error::Engine`] where the GPU cannot run it.
pub fn kernel(work: &Operation, gpu: &Entry, options: Options) -> Result<Cost, Error> {
    work.validate().map_err(|reason| Error::Work { reason })?;
    fits("this kernel", work.resident_bytes(), gpu)?;
    Ok(GpuEngine::new(&gpu.gpu).with(options).price(work)?)
}

/// Replays a recorded profile on a GPU: a PyTorch trace, a lumacycle trace, a launch list or an instruction
/// trace, plain or compressed; one result for each rank. Where the trace names a GPU of the catalogue, that
/// counts as the one that recorded it.
///
/// ```
/// let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/transformer.jsonl");
/// let gpu = lumacycle::gpu("h100-sxm")?;
/// let results = lumacycle::replay(path.as_ref(), &gpu, lumacycle::Options::default())?;
/// println!("{:.2} ms", results[0].totals.predicted_span_ms);
/// # assert!(results[0].totals.predicted_span_ms > 0.0);
/// # Ok::<(), lumacycle::Error>(())
/// ```
///
/// # Errors
/// [`Error::Trace`] with file and place, [`Error::Replay`] where the work does not fit in device memory.
pub fn replay(path: &Path, gpu: &Entry, options: Options) -> Result<Vec<ReplayResult>, Error> {
    let catalog = Catalog::embedded();
    let recordings = traces::read(path, ReadOptions::default())?;
    let one = |recording: &traces::Recording| {
        let own = recording.main_device().and_then(|device| catalog.get(&device.name).ok());
        let options = ReplayOptions {
            engine: options,
            recorded_on: own.as_ref(),
            ..ReplayOptions::default()
        };
        Ok(sim::replay::replay(recording, gpu, options)?)
    };
    recordings.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use workloads::DType;
    use workloads::ops::Gemm;

    #[test]
    fn mistakes_have_types_and_help() {
        let error = gpu("rtx3099").unwrap_err();
        assert!(matches!(error, Error::Hardware(arch::Error::Unknown { .. })), "{error}");
        let error =
            gpu_from_toml("mine", "base = \"rtx3090\"\n[l2]\ncapacty = \"1 MiB\"\n").unwrap_err();
        assert!(error.to_string().contains("capacty"), "{error}");
        let gpu = gpu("rtx2080ti").unwrap();
        let large = Operation::Gemm(Gemm::new(200_000, 200_000, 1000, DType::Fp16));
        let error = kernel(&large, &gpu, Options::default()).unwrap_err();
        assert!(matches!(error, Error::Replay(_)), "{error}");
        let endless = Operation::Gemm(Gemm::new(u64::MAX, u64::MAX, 8, DType::Fp16));
        assert!(matches!(kernel(&endless, &gpu, Options::default()), Err(Error::Work { .. })));
        let missing = replay("missing.json".as_ref(), &gpu, Options::default());
        assert!(matches!(missing, Err(Error::Trace(_))));
    }

    #[test]
    fn a_faster_clock_is_faster() {
        let gpu = gpu("a100-pcie-40gb").unwrap();
        let work = Operation::Gemm(Gemm::new(2048, 2048, 2048, DType::Fp16));
        let at = |hz: f64| {
            let options = Options { clock_hz: Some(hz), ..Options::default() };
            kernel(&work, &gpu, options).unwrap().time_ns
        };
        assert!(at(1.4e9) < at(0.9e9));
    }
}
