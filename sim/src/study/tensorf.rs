//! Systems of a study that render a decomposed field: on a GPU as its authors do, or on an accelerator
//! of its own.

use lumacycle_arch::{Catalog, SparseEntry};
use lumacycle_engines::Options;
use lumacycle_engines::sparse::{self, SparseUnit};
use lumacycle_workloads::rays::View;
use lumacycle_workloads::scene::Scene;
use lumacycle_workloads::sparse::{Shape, storage_crossover};
use lumacycle_workloads::tensorf::{Field, Synthetic};

use super::StudyError;
use super::point::{Metrics, System, changed, of_gpu, told, unknown};
use crate::frame::GpuFrame;
use crate::tensorf::{Prepared, Sampled, TensorfFrame, accelerated};

/// Name of the application.
pub(super) const APP: &str = "tensorf";
/// Scene unless told otherwise.
const SCENE: &str = "statue";
/// Occupancy cubes along an axis for a GPU.
const CUBES: u32 = 128;

fn entry(system: &System, catalog: &Catalog) -> Result<Option<SparseEntry>, StudyError> {
    if system.accelerator == "none" {
        return Ok(None);
    }
    if system.accelerator_changes.is_empty() {
        return catalog.sparse_accelerator(&system.accelerator).map(Some).map_err(told);
    }
    let text = changed(&system.accelerator, &system.accelerator_changes)?;
    let entry =
        catalog.parse_sparse_accelerator(&system.accelerator, "accelerator of the study", &text);
    entry.map(Some).map_err(told)
}

/// Metrics of systems that share a field, a view and a GPU.
pub(super) fn run(systems: &[&System]) -> Result<Vec<Metrics>, StudyError> {
    let Some(first) = systems.first() else { return Ok(Vec::new()) };
    let catalog = Catalog::embedded();
    let name = first.scene.as_deref().unwrap_or(SCENE);
    let scene =
        Scene::shipped(name).ok_or_else(|| unknown("scene", name, &Scene::names().join(", ")))?;
    let camera = scene.path.at(first.at).ok_or_else(|| told("the camera path is empty"))?;
    let [width, height] = first.resolution;
    let view = View { camera, width, height };
    let usual = Synthetic::default();
    let threshold = first.prune.unwrap_or(usual.threshold);
    let factors = Synthetic { threshold, ..usual }.factors(&scene);
    systems
        .iter()
        .map(|system| {
            let Some(entry) = entry(system, &catalog)? else {
                let gpu = first.gpu(&catalog)?;
                let field = Field::new(factors.clone(), CUBES);
                let frame = Sampled::new(&field, &scene, &view).gpu_frame(&field);
                let priced = GpuFrame::new(&frame, &gpu, Options::default()).map_err(told)?;
                let alone = priced.result();
                return Ok(Metrics {
                    shaded_m: Some(frame.queries / 1e6),
                    power_w: Some(alone.mean_power_w),
                    ..of_gpu(alone, gpu.gpu.gpu.die_area.mm2())
                });
            };
            let prepared = Prepared::new(factors.clone(), &entry);
            let built = accelerated(&entry, &scene, &view, &prepared).map_err(told)?;
            Ok(of_accelerator(&built, &entry))
        })
        .collect()
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
