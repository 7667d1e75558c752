//! A frame of a TensoRF field: on a GPU as the authors' renderer runs it, on an accelerator cube
//! after cube. Fields come from scenes or from users; counts come from rendering them.

use std::sync::Arc;

use lumacycle_arch::SparseEntry;
use lumacycle_engines::EngineError;
use lumacycle_engines::sparse::{self, Renderer, SparseFrame, SparseRelief, SparseWork};
use lumacycle_workloads::apps::Frame;
use lumacycle_workloads::rays::View;
use lumacycle_workloads::samples::SampleSet;
use lumacycle_workloads::scene::Scene;
use lumacycle_workloads::tensorf::cubes::CubeCounts;
use lumacycle_workloads::tensorf::encoded::Storage;
use lumacycle_workloads::tensorf::uniform::{self, UniformCounts};
use lumacycle_workloads::tensorf::{
    CubeTrace, EncodedFactors, Factors, Field, Image, Sight, launches, psnr,
};
use rayon::prelude::*;
use serde::Serialize;

/// A frame on an accelerator, with what it took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorfFrame {
    /// Catalogue entry.
    pub accelerator: String,
    /// Its name.
    pub accelerator_name: String,
    /// Scene.
    pub scene: String,
    /// Frames a second.
    pub frames_per_s: f64,
    /// Time, units, energy.
    pub frame: SparseFrame,
    /// Area from its parts, in mm².
    pub area_mm2: f64,
    /// What the loop over cubes takes.
    pub counts: CubeCounts,
    /// What uniform sampling would take.
    pub uniform: UniformCounts,
    /// Planes as stored.
    pub planes: Storage,
    /// Lines as stored.
    pub lines: Storage,
    /// Share of zeros of all planes and lines.
    pub sparsity: f64,
    /// Where some pixels stand for all: half the width of the interval that the points shaded, and with them time
    /// and energy where the network binds, lie in with 95 % confidence, in percent.
    pub sampling_pct: f64,
    /// What binds, where that was asked for ([`explained`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounds: Option<Vec<SparseBound>>,
}

/// One resource of an accelerator for decomposed fields.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SparseBound {
    /// Its name.
    pub resource: &'static str,
    /// Time of the frame if its unit is the busiest, in ms; else nothing.
    pub bound_ms: f64,
    /// Time that its unit works, mean of all cores, in ms.
    pub needed_ms: f64,
    /// What a tenth more of it saves of the frame, in percent.
    pub tenth_more_saves_pct: f64,
}

/// Pixels that are gone through for counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pixels {
    /// A sixteenth of large images.
    #[default]
    Sampled,
    /// Every one.
    All,
}

/// Factors with their streams and cubes, for one accelerator.
#[derive(Debug, Clone)]
pub struct Prepared {
    field: Arc<Field>,
    encoded: Arc<EncodedFactors>,
    /// Bits of a value and cubes along an axis, as asked for.
    built: (u32, u32),
}

impl Prepared {
    /// Rounds factors to the accelerator's values, encodes them and finds their cubes.
    pub fn new(mut factors: Factors, entry: &SparseEntry) -> Self {
        let policy = &entry.accelerator.policy;
        factors.prune_and_round(0.0, policy.value_bits);
        let encoded = EncodedFactors::new(&factors, sparse::encoding(&entry.accelerator));
        Self {
            field: Arc::new(Field::new(factors, policy.cubes_per_axis)),
            encoded: Arc::new(encoded),
            built: (policy.value_bits, policy.cubes_per_axis),
        }
    }

    /// The same factors for another accelerator, sharing what is the same there; `None` if all is.
    pub fn other(&self, factors: &Factors, entry: &SparseEntry) -> Option<Self> {
        let policy = &entry.accelerator.policy;
        if self.built != (policy.value_bits, policy.cubes_per_axis) {
            return Some(Self::new(factors.clone(), entry));
        }
        let encoding = sparse::encoding(&entry.accelerator);
        (encoding != self.encoded.encoding).then(|| Self {
            encoded: Arc::new(EncodedFactors::new(&self.field.factors, encoding)),
            ..self.clone()
        })
    }

    /// Whether both have one field.
    pub fn same_field(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.field, &other.field)
    }

    /// The field.
    pub fn field(&self) -> &Field {
        &self.field
    }

    /// The field's streams.
    pub fn encoded(&self) -> &EncodedFactors {
        &self.encoded
    }
}

/// What a view of a field takes, whatever the hardware.
#[derive(Debug, Clone)]
pub struct Sampled {
    counts: UniformCounts,
    occupied: Arc<SampleSet>,
    shaded: Arc<SampleSet>,
}

impl Sampled {
    /// Walks a part of the rays.
    pub fn new(field: &Field, scene: &Scene, view: &View) -> Self {
        let (counts, occupied, shaded) =
            uniform::count(field, &Sight::new(scene, view, &field.factors));
        Self { counts, occupied: Arc::new(occupied), shaded: Arc::new(shaded) }
    }

    /// The authors' renderer as work for a GPU.
    pub fn gpu_frame(&self, field: &Field) -> Frame {
        self.stored_frame(field, None)
    }

    /// The same, with kernels that decode sparsely stored factors where there are such.
    pub fn stored_frame(&self, field: &Field, encoded: Option<&EncodedFactors>) -> Frame {
        let (cubes, factors) = (field.cubes.per_axis(), &field.factors);
        launches::frame(factors, encoded, cubes, &self.counts, &self.occupied, &self.shaded)
    }
}

/// Visits to cubes: they depend on the order of cubes and the size of tiles, on no unit's speed.
pub fn trace(
    entry: &SparseEntry,
    scene: &Scene,
    view: &View,
    field: &Field,
    pixels: Pixels,
) -> CubeTrace {
    let mut cube_loop = sparse::cube_loop(&entry.accelerator, view.width, view.height);
    if pixels == Pixels::All {
        cube_loop.every = 1;
    }
    cube_loop.run(field, &Sight::new(scene, view, &field.factors), false).1
}

/// Samples of a part of the rays, and visits to cubes, side by side.
fn gone_through(
    entry: &SparseEntry,
    scene: &Scene,
    view: &View,
    prepared: &Prepared,
    pixels: Pixels,
) -> (Sampled, CubeTrace) {
    rayon::join(
        || Sampled::new(&prepared.field, scene, view),
        || trace(entry, scene, view, &prepared.field, pixels),
    )
}

/// Renders a frame on an accelerator.
///
/// # Errors
/// When the network does not fit the accelerator.
pub fn accelerated(
    entry: &SparseEntry,
    scene: &Scene,
    view: &View,
    prepared: &Prepared,
    pixels: Pixels,
) -> Result<TensorfFrame, EngineError> {
    let (sampled, trace) = gone_through(entry, scene, view, prepared, pixels);
    priced(entry, scene, prepared, &sampled, &trace)
}

/// The same with what a tenth more of each resource would save: the frame is run again with each.
///
/// # Errors
/// When the network does not fit the accelerator.
pub fn explained(
    entry: &SparseEntry,
    scene: &Scene,
    view: &View,
    prepared: &Prepared,
    pixels: Pixels,
) -> Result<TensorfFrame, EngineError> {
    let (sampled, trace) = gone_through(entry, scene, view, prepared, pixels);
    let renderer = Renderer::new(&entry.accelerator, work(prepared, &sampled, &trace))?;
    let reliefs: Vec<Option<SparseRelief>> =
        std::iter::once(None).chain(SparseRelief::ALL.map(Some)).collect();
    let mut frames: Vec<SparseFrame> = reliefs
        .par_chunks(renderer.at_once())
        .flat_map_iter(|reliefs| renderer.frames(reliefs))
        .collect();
    let relieved = frames.split_off(1);
    let frame = frames.swap_remove(0);
    let bound = |(relief, faster): (SparseRelief, SparseFrame)| {
        let busy =
            |unit| frame.units.iter().find(|row| row.unit == unit).map_or(0.0, |row| row.busy_pct);
        let needed_pct = match relief {
            SparseRelief::Clock => 100.0,
            SparseRelief::Search => frame.search_busy_pct,
            SparseRelief::Tree => frame.tree_busy_pct,
            _ => relief.unit().map_or(0.0, busy),
        };
        let binds = relief.unit() == Some(frame.bound_by);
        SparseBound {
            resource: relief.name(),
            bound_ms: if binds { frame.frame_ms } else { 0.0 },
            needed_ms: frame.frame_ms * needed_pct / 100.0,
            tenth_more_saves_pct: (1.0 - faster.frame_ms / frame.frame_ms).max(0.0) * 100.0,
        }
    };
    let mut bounds: Vec<SparseBound> =
        SparseRelief::ALL.into_iter().zip(relieved).map(bound).collect();
    bounds.sort_by(|a, b| b.tenth_more_saves_pct.total_cmp(&a.tenth_more_saves_pct));
    let result = told(entry, scene, prepared, &sampled, &trace, frame);
    Ok(TensorfFrame { bounds: Some(bounds), ..result })
}

/// The same with visits and samples that are known already.
///
/// # Errors
/// When the network does not fit the accelerator.
pub fn priced(
    entry: &SparseEntry,
    scene: &Scene,
    prepared: &Prepared,
    sampled: &Sampled,
    trace: &CubeTrace,
) -> Result<TensorfFrame, EngineError> {
    let frame = sparse::render(&entry.accelerator, &work(prepared, sampled, trace))?;
    Ok(told(entry, scene, prepared, sampled, trace, frame))
}

fn work<'a>(prepared: &'a Prepared, sampled: &Sampled, trace: &'a CubeTrace) -> SparseWork<'a> {
    SparseWork {
        factors: &prepared.field.factors,
        encoded: &prepared.encoded,
        trace,
        uniform_steps: sampled.counts.inside,
    }
}

/// A frame with what it took.
fn told(
    entry: &SparseEntry,
    scene: &Scene,
    prepared: &Prepared,
    sampled: &Sampled,
    trace: &CubeTrace,
    frame: SparseFrame,
) -> TensorfFrame {
    let field = &prepared.field;
    TensorfFrame {
        accelerator: entry.id.clone(),
        accelerator_name: entry.accelerator.accelerator.name.clone(),
        scene: scene.name.clone(),
        frames_per_s: 1e3 / frame.frame_ms,
        area_mm2: entry.accelerator.area_mm2(),
        counts: trace.counts(&field.cubes),
        uniform: sampled.counts,
        planes: prepared.encoded.storage(|plane| plane),
        lines: prepared.encoded.storage(|plane| !plane),
        sparsity: field.factors.sparsity(),
        sampling_pct: trace.sampling_pct(),
        bounds: None,
        frame,
    }
}

/// An image of the field, by the loop over cubes, with how much it differs from uniform sampling.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// The image.
    pub image: Image,
    /// Peak signal-to-noise ratio against uniform sampling of the same field, in dB.
    pub psnr_db: f64,
}

/// Renders both ways.
pub fn image(entry: &SparseEntry, scene: &Scene, view: &View, prepared: &Prepared) -> Rendered {
    let sight = Sight::new(scene, view, &prepared.field.factors);
    let cube_loop = sparse::cube_loop(&entry.accelerator, view.width, view.height);
    let (reference, by_cubes) = rayon::join(
        || uniform::render(&prepared.field, &sight).0,
        || cube_loop.run(&prepared.field, &sight, true).0,
    );
    let image = by_cubes.unwrap_or_else(|| Image::white(view.width, view.height));
    let psnr_db = psnr(&reference, &image);
    Rendered { image, psnr_db }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumacycle_arch::Catalog;
    use lumacycle_workloads::tensorf::Synthetic;

    fn run(lines: &str) -> TensorfFrame {
        run_at(lines, "statue", 96)
    }

    fn run_at(lines: &str, scene: &str, side: u32) -> TensorfFrame {
        let text = format!("base = \"rt-nerf-edge\"\n{lines}");
        let entry = Catalog::embedded().parse_sparse_accelerator("x", "x.toml", &text).unwrap();
        let scene = Scene::shipped(scene).unwrap();
        let factors = Synthetic { grid: 96, ..Synthetic::default() }.factors(&scene);
        let view = View { camera: scene.path.at(0.3).unwrap(), width: side, height: side };
        let prepared = Prepared::new(factors, &entry);
        accelerated(&entry, &scene, &view, &prepared, Pixels::Sampled).unwrap()
    }

    /// More hardware never makes a frame slower, and no unit is beaten.
    #[test]
    fn more_of_a_part_never_hurts() {
        for (part, values) in [
            ("[shading]\narrays = ", ["4", "16", "26"]),
            ("[interpolation]\nlanes = ", ["32", "512", "2048"]),
            ("[search]\nunits = ", ["1", "4", "16"]),
            ("[tree]\ntrees = ", ["1", "16", "64"]),
            ("[memory]\nbandwidth = ", ["\"1 GB/s\"", "\"17 GB/s\"", "\"100 GB/s\""]),
            ("[factor_sram]\ncapacity = ", ["\"64 KiB\"", "\"512 KiB\"", "\"8 MiB\""]),
            ("[geometry]\npixels_per_clock = ", ["1", "16", "64"]),
            ("[policy]\ncubes_between_stages = ", ["1", "8", "64"]),
        ] {
            let frames = values.map(|value| run(&format!("{part}{value}\n")));
            let times = [0, 1, 2].map(|i| frames[i].frame.frame_ms);
            assert!(
                times[1] <= times[0] * 1.0001 && times[2] <= times[1] * 1.0001,
                "{part} {times:?}"
            );
            for frame in &frames {
                for unit in &frame.frame.units {
                    assert!((0.0..=100.0 + 1e-9).contains(&unit.busy_pct), "{part} {unit:?}");
                }
                let power = frame.frame.energy.total_mj() / frame.frame.frame_ms;
                assert!((power / frame.frame.power_w - 1.0).abs() < 1e-9);
            }
        }
    }

    /// Each technique saves time or traffic; storage changes nothing in what is computed.
    #[test]
    fn each_technique_saves() {
        let all = run("");
        // Cubes pay where pixels outnumber them.
        let [all_large, uniform] = ["", "[policy]\nfrom_cubes = false\norder = \"exact\"\nleast_transmittance = 0\nstorage = \"dense\"\nskips_zeros = false\n"].map(|lines| run_at(lines, "digger", 384));
        let unordered = run("[policy]\norder = \"memory\"\n");
        let dense = run("[policy]\nstorage = \"dense\"\nskips_zeros = false\n");
        assert!(uniform.frame.frame_ms > 1.5 * all_large.frame.frame_ms);
        assert!(unordered.counts.points > all.counts.points);
        assert!(unordered.counts.shaded > 1.5 * all.counts.shaded);
        assert!(dense.frame.energy.total_mj() > all.frame.energy.total_mj());
        assert!(dense.frame.energy.interpolation_mj > all.frame.energy.interpolation_mj);
        // Two thirds of the factors are zeros; a bit each says which.
        assert!(dense.frame.factor_bytes > 2.0 * all.frame.factor_bytes);
        assert_eq!(dense.counts, all.counts);
    }

    #[test]
    fn networks_that_do_not_fit_are_refused() {
        let text = "base = \"rt-nerf-edge\"\n[weight_sram]\ncapacity = \"64 KiB\"\n";
        let entry = Catalog::embedded().parse_sparse_accelerator("x", "x.toml", text).unwrap();
        let scene = Scene::shipped("statue").unwrap();
        let factors = Synthetic { grid: 32, ..Synthetic::default() }.factors(&scene);
        let view = View { camera: scene.path.at(0.3).unwrap(), width: 16, height: 16 };
        let prepared = Prepared::new(factors, &entry);
        let error = accelerated(&entry, &scene, &view, &prepared, Pixels::All).unwrap_err();
        assert!(error.to_string().contains("weight_sram holds 64 KiB"), "{error}");
    }
}
