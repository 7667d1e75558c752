//! A scene's field with its samples and visits, from which frames of many designs are priced: each design
//! shares what it has in common with the edge version of the catalogue.

use std::collections::BTreeMap;

use lumacycle_arch::{Catalog, SparseEntry};
use lumacycle_engines::{Options, sparse};
use lumacycle_sim::frame::GpuFrame;
use lumacycle_sim::tensorf::{Pixels, Prepared, Sampled, TensorfFrame, priced, trace};
use lumacycle_workloads::rays::View;
use lumacycle_workloads::scene::Scene;
use lumacycle_workloads::tensorf::{CubeTrace, Factors, Synthetic};

use super::{SceneRow, Table, defect};
use crate::ValidateError;

/// Where on each scene's camera path.
const PLACE: f64 = 0.5;

/// A scene's field as the edge version stores it, with its frame's samples and visits.
pub(super) struct Stage {
    scene: Scene,
    view: View,
    factors: Factors,
    edge: SparseEntry,
    prepared: Prepared,
    sampled: Sampled,
    trace: CubeTrace,
}

impl Stage {
    pub fn of(name: &str, edge: &SparseEntry, size: [u32; 2]) -> Result<Self, ValidateError> {
        let scene = Scene::shipped(name).ok_or_else(|| defect(format!("no scene {name}")))?;
        let camera = scene.path.at(PLACE).ok_or_else(|| defect("no camera"))?;
        let view = View { camera, width: size[0], height: size[1] };
        let factors = Synthetic::default().factors(&scene);
        let prepared = Prepared::new(factors.clone(), edge);
        let sampled = Sampled::new(prepared.field(), &scene, &view);
        let trace = trace(edge, &scene, &view, prepared.field(), Pixels::Sampled);
        Ok(Self { scene, view, factors, edge: edge.clone(), prepared, sampled, trace })
    }

    /// A frame; what is the same as on the edge version is not worked out again.
    pub fn frame(&self, entry: &SparseEntry) -> Result<TensorfFrame, ValidateError> {
        let other = self.prepared.other(&self.factors, entry);
        let prepared = other.as_ref().unwrap_or(&self.prepared);
        let steps = |entry: &SparseEntry| {
            sparse::cube_loop(&entry.accelerator, self.view.width, self.view.height)
        };
        let alike = prepared.same_field(&self.prepared) && steps(entry) == steps(&self.edge);
        let own = (!alike)
            .then(|| trace(entry, &self.scene, &self.view, prepared.field(), Pixels::Sampled));
        let trace = own.as_ref().unwrap_or(&self.trace);
        priced(entry, &self.scene, prepared, &self.sampled, trace).map_err(defect)
    }

    /// Its row, and its frame on the edge version.
    pub fn row(
        &self,
        table: &Table,
        catalog: &Catalog,
    ) -> Result<(SceneRow, TensorfFrame), ValidateError> {
        let edge = self.frame(&self.edge)?;
        let cloud = self.frame(&catalog.sparse_accelerator(&table.cloud).map_err(defect)?)?;
        let frame = self.sampled.gpu_frame(self.prepared.field());
        let mut gpu_fps = BTreeMap::new();
        for name in table.edge_baselines.iter().chain(&table.cloud_baselines) {
            let gpu = catalog.get(name).map_err(defect)?;
            let priced = GpuFrame::new(&frame, &gpu, Options::default()).map_err(defect)?;
            gpu_fps.insert(name.clone(), priced.result().frames_per_s);
        }
        let row = SceneRow {
            scene: self.scene.name.clone(),
            object: self.scene.is_object(),
            edge_fps: edge.frames_per_s,
            edge_mj: edge.frame.energy.total_mj(),
            edge_w: edge.frame.power_w,
            dram_mb: (edge.frame.dram_read_bytes + edge.frame.dram_write_bytes) / 1e6,
            bound_by: edge.frame.bound_by.name(),
            shaded_m: edge.counts.shaded / 1e6,
            sparsity_pct: edge.sparsity * 100.0,
            cloud_fps: cloud.frames_per_s,
            cloud_w: cloud.frame.power_w,
            gpu_fps,
        };
        Ok((row, edge))
    }
}
