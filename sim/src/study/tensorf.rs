//! Systems that render a decomposed field: on a GPU as its authors do, or on an accelerator of its own.
//!
//! Design points share the field with its streams and cubes ([`FieldWork`]), and those that also go
//! through cubes in the same order and tiles share the visits ([`FieldKit`]); a point then only takes
//! the visits through its units. Left out: fields of the user's own.

use std::sync::Arc;

use lumacycle_arch::{Catalog, Entry, SparseEntry};
use lumacycle_engines::Options;
use lumacycle_engines::sparse::{self, SparseUnit};
use lumacycle_workloads::rays::View;
use lumacycle_workloads::scene::Scene;
use lumacycle_workloads::sparse::{Shape, storage_crossover};
use lumacycle_workloads::tensorf::{CubeTrace, EncodedFactors, Field, Synthetic};

use super::StudyError;
use super::point::{Metrics, System, changed, described, of_gpu, told, unknown};
use crate::frame::{FrameResult, GpuFrame};
use crate::tensorf::{Pixels, Prepared, Sampled, TensorfFrame, priced, trace};

/// Name of the application.
pub(super) const APP: &str = "tensorf";
/// Scene unless told otherwise.
const SCENE: &str = "statue";
/// Whose storage a GPU decodes.
const STORED_AS: &str = "rt-nerf-edge";
/// Occupancy cubes along an axis for a GPU.
const CUBES: u32 = 128;

fn entry(system: &System, catalog: &Catalog) -> Result<Option<SparseEntry>, StudyError> {
    if system.accelerator == "none" {
        return Ok(None);
    }
    if system.accelerator_changes.is_empty() {
        return catalog.sparse_accelerator(&system.accelerator).map(Some).map_err(described);
    }
    let text = changed(&system.accelerator, &system.accelerator_changes)?;
    let entry =
        catalog.parse_sparse_accelerator(&system.accelerator, "accelerator of the study", &text);
    entry.map(Some).map_err(described)
}

fn scene(system: &System) -> Result<Scene, StudyError> {
    let name = system.scene.as_deref().unwrap_or(SCENE);
    Scene::shipped(name).ok_or_else(|| unknown("scene", name, &Scene::names().join(", ")))
}

fn view(system: &System, scene: &Scene) -> Result<View, StudyError> {
    let camera = scene.path.at(system.at).ok_or_else(|| told("the camera path is empty"))?;
    let [width, height] = system.resolution;
    Ok(View { camera, width, height })
}

/// Whether scene and hardware exist and hold together.
pub(super) fn check(system: &System, catalog: &Catalog) -> Result<(), StudyError> {
    scene(system)?;
    match entry(system, catalog)? {
        None => system.gpu(catalog).map(|_| ()),
        Some(_) => Ok(()),
    }
}

/// What the field, its streams and its cubes follow from.
pub(super) fn work_key(system: &System, catalog: &Catalog) -> String {
    let System { scene, at, prune, decodes, resolution, accelerator, accelerator_changes, .. } =
        system;
    let built = match entry(system, catalog) {
        Ok(None) => format!("{decodes}"),
        Ok(Some(SparseEntry { accelerator, .. })) => {
            let cubes = accelerator.policy.cubes_per_axis;
            format!("{cubes} {:?}", sparse::encoding(&accelerator))
        }
        Err(_) => format!("{accelerator} {accelerator_changes:?}"),
    };
    format!("{APP} {scene:?} {at} {prune:?} {resolution:?} {built}")
}

/// What the visits to its cubes follow from, or its frame on a GPU.
pub(super) fn frame_key(system: &System, catalog: &Catalog) -> String {
    let work = work_key(system, catalog);
    let [width, height] = system.resolution;
    match entry(system, catalog) {
        Ok(None) => format!("{work} {} {:?}", system.gpu, system.gpu_changes),
        Ok(Some(entry)) => {
            format!("{work} {:?}", sparse::cube_loop(&entry.accelerator, width, height))
        }
        Err(_) => work,
    }
}

/// A field as it is kept for what renders it.
#[derive(Debug)]
enum Kept {
    /// As it is, for a GPU; with streams, where its kernels decode these.
    Plain(Box<Field>, Option<Box<EncodedFactors>>),
    /// Rounded and encoded, for an accelerator.
    Encoded(Box<Prepared>),
}

/// A field and what a view of it takes.
#[derive(Debug)]
pub(crate) struct FieldWork {
    scene: Scene,
    view: View,
    field: Kept,
    sampled: Sampled,
}

impl FieldWork {
    /// Makes the field of a system and walks its rays.
    pub fn of(system: &System, catalog: &Catalog) -> Result<Self, StudyError> {
        let scene = scene(system)?;
        let view = view(system, &scene)?;
        let entry = entry(system, catalog)?;
        let usual = Synthetic::default();
        let threshold = system.prune.unwrap_or(usual.threshold);
        let factors = Synthetic { threshold, ..usual }.factors(&scene);
        let field = match &entry {
            None => {
                let encoded = if system.decodes {
                    let entry = catalog.sparse_accelerator(STORED_AS).map_err(described)?;
                    let encoding = sparse::encoding(&entry.accelerator);
                    Some(Box::new(EncodedFactors::new(&factors, encoding)))
                } else {
                    None
                };
                Kept::Plain(Box::new(Field::new(factors, CUBES)), encoded)
            }
            Some(entry) => Kept::Encoded(Box::new(Prepared::new(factors, entry))),
        };
        let sampled = match &field {
            Kept::Plain(field, _) => Sampled::new(field, &scene, &view),
            Kept::Encoded(prepared) => Sampled::new(prepared.field(), &scene, &view),
        };
        Ok(Self { scene, view, field, sampled })
    }
}

/// A field whose cubes have been visited, or its frame on a GPU.
#[derive(Debug)]
pub(crate) enum FieldKit {
    /// On a GPU.
    Gpu {
        /// The GPU.
        gpu: Box<Entry>,
        /// The frame.
        alone: Arc<FrameResult>,
        /// Samples that get a colour.
        shaded: f64,
        /// Planes and lines as they are stored.
        factor_bytes: f64,
    },
    /// On an accelerator.
    Visited {
        /// The field.
        work: Arc<FieldWork>,
        /// Visits to its cubes.
        trace: Box<CubeTrace>,
    },
}

impl FieldKit {
    /// Prepares what systems with one key share.
    pub fn of(
        system: &System,
        work: &Arc<FieldWork>,
        catalog: &Catalog,
    ) -> Result<Self, StudyError> {
        match (&work.field, entry(system, catalog)?) {
            (Kept::Encoded(prepared), Some(entry)) => {
                let trace =
                    trace(&entry, &work.scene, &work.view, prepared.field(), Pixels::Sampled);
                Ok(Self::Visited { work: Arc::clone(work), trace: Box::new(trace) })
            }
            (Kept::Plain(field, encoded), _) => {
                let gpu = system.gpu(catalog)?;
                let frame = work.sampled.stored_frame(field, encoded.as_deref());
                let priced = GpuFrame::new(&frame, &gpu, Options::default()).map_err(told)?;
                let alone = Arc::clone(&priced.alone);
                let dense_bytes = (field.factors.parameters() * 4) as f64;
                let factor_bytes = encoded.as_ref().map_or(dense_bytes, |encoded| encoded.bytes());
                Ok(Self::Gpu { gpu: Box::new(gpu), alone, shaded: frame.queries, factor_bytes })
            }
            (Kept::Encoded(_), None) => Err(told("the field is encoded, but nothing decodes it")),
        }
    }

    /// Metrics of a system that shares this, and what they take for granted.
    pub fn metrics(
        &self,
        system: &System,
        catalog: &Catalog,
    ) -> Result<(Metrics, Vec<String>), StudyError> {
        match self {
            Self::Gpu { alone, shaded, factor_bytes, .. } => {
                let parts = |part: &str| alone.parts.iter().find(|row| row.part.name() == part);
                let metrics = Metrics {
                    factor_mb: Some(factor_bytes / 1e6),
                    lookup_ms: parts("encoding").map(|row| row.time_ms),
                    dram_mb: Some(
                        (alone.traffic.dram_read_bytes + alone.traffic.dram_write_bytes) / 1e6,
                    ),
                    shaded_m: Some(shaded / 1e6),
                    power_w: Some(alone.mean_power_w),
                    ..of_gpu(alone, self.die_mm2())
                };
                Ok((metrics, alone.assumptions.clone()))
            }
            Self::Visited { work, trace } => {
                let (Kept::Encoded(prepared), Some(entry)) = (&work.field, entry(system, catalog)?)
                else {
                    return Err(told("the field was not encoded for this accelerator"));
                };
                let built = priced(&entry, &work.scene, prepared, &work.sampled, trace);
                let built = built.map_err(told)?;
                Ok((of_accelerator(&built, &entry), built.frame.assumptions))
            }
        }
    }

    /// Die of the GPU, in mm²; zero where there is none.
    pub fn die_mm2(&self) -> f64 {
        match self {
            Self::Gpu { gpu, .. } => gpu.gpu.gpu.die_area.mm2(),
            Self::Visited { .. } => 0.0,
        }
    }
}

fn of_accelerator(built: &TensorfFrame, entry: &SparseEntry) -> Metrics {
    let accelerator = &entry.accelerator;
    let side = accelerator.policy.plane_block;
    let frame = &built.frame;
    let busy =
        |unit: SparseUnit| frame.units.iter().find(|u| u.unit == unit).map(|unit| unit.busy_pct);
    let energy = frame.energy.total_mj();
    let (planes, lines) = (&built.planes, &built.lines);
    let components = (planes.bitmaps + planes.coordinates + planes.others).max(1) as f64;
    Metrics {
        frame_ms: Some(frame.frame_ms),
        frames_per_s: Some(built.frames_per_s),
        accelerator_ms: Some(frame.frame_ms),
        mlp_busy_pct: busy(SparseUnit::Shading),
        energy_mj: Some(energy),
        frames_per_j: Some(1e3 / energy),
        frames_per_s_mm2: Some(built.frames_per_s / built.area_mm2),
        area_mm2: Some(built.area_mm2),
        sparsity_pct: Some(built.sparsity * 100.0),
        factor_mb: Some(frame.factor_bytes / 1e6),
        plane_dense_mb: Some(planes.dense_bytes / 1e6),
        plane_bitmap_mb: Some(planes.bitmap_bytes / 1e6),
        plane_coordinate_mb: Some(planes.coordinate_bytes / 1e6),
        line_bitmap_kb: Some(lines.bitmap_bytes / 1e3),
        line_coordinate_kb: Some(lines.coordinate_bytes / 1e3),
        coordinates_over_bitmaps: Some(planes.coordinate_bytes / planes.bitmap_bytes),
        coordinate_share_pct: Some(planes.coordinates as f64 / components * 100.0),
        crossover_bits_pct: Some(100.0 * storage_crossover(Shape::new(side, side))),
        crossover_clocks_pct: Some(100.0 * sparse::crossover_clocks(accelerator)),
        points_m: Some(built.counts.points / 1e6),
        shaded_m: Some(built.counts.shaded / 1e6),
        dram_mb: Some((frame.dram_read_bytes + frame.dram_write_bytes) / 1e6),
        memory_busy_pct: busy(SparseUnit::Memory),
        decode_busy_pct: busy(SparseUnit::Decode),
        geometry_busy_pct: busy(SparseUnit::Geometry),
        power_w: Some(frame.power_w),
        ..Metrics::default()
    }
}
