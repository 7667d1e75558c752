//! What systems share: rays walked, launches priced on a GPU, fields whose cubes have been visited. A
//! design point is priced on top of it.

use std::sync::Arc;

use lumacycle_arch::{Catalog, Entry};
use lumacycle_engines::Options;
use lumacycle_engines::accelerator::encode::Memo;
use lumacycle_workloads::apps::{Application, Frame, frame};
use lumacycle_workloads::rays::View;

use super::lookups::Lookups;
use super::point::{Metrics, System, of_accelerator, of_gpu, told};
use super::spec::StudyError;
use super::tensorf::{FieldKit, FieldWork};
use crate::frame::{FrameResult, GpuFrame, Priced};

/// A frame, whatever renders it.
#[derive(Debug)]
pub(crate) enum Work {
    /// Of an application that asks networks.
    Queries(Arc<Queried>),
    /// Of a decomposed field.
    Field(Arc<FieldWork>),
}

impl Work {
    /// Walks the rays of a system's frame.
    pub fn of(system: &System, catalog: &Catalog) -> Result<Self, StudyError> {
        if system.is_field() {
            return FieldWork::of(system, catalog).map(|work| Self::Field(Arc::new(work)));
        }
        Queried::of(system).map(|work| Self::Queries(Arc::new(work)))
    }
}

/// A frame of an application that asks networks.
#[derive(Debug)]
pub(crate) struct Queried {
    app: Application,
    scale: u32,
    frame: Frame,
    table_mib: f64,
    lookups: Arc<Lookups>,
}

impl Queried {
    fn of(system: &System) -> Result<Self, StudyError> {
        let app = system.application()?;
        let scene = system.scene(&app)?;
        let camera = scene.path.at(system.at).ok_or_else(|| told("the camera path is empty"))?;
        let [width, height] = system.resolution;
        let view = View { camera, width, height };
        let frame = frame(&app, &scene, &view, None)
            .map_err(|error| StudyError::new(error.what, error.help))?;
        let table_mib = app.grid(scene.aabb_scale).table_bytes() as f64 / 1_048_576.0;
        Ok(Self { app, scale: scene.aabb_scale, frame, table_mib, lookups: Arc::default() })
    }
}

/// What design points share: a frame that has been priced on a GPU, or a field whose cubes have been
/// visited.
#[derive(Debug)]
pub(crate) enum Kit {
    /// Of an application that asks networks.
    Queries(Box<QueryKit>),
    /// Of a decomposed field.
    Field(FieldKit),
}

impl Kit {
    /// Prepares what systems with one key share.
    pub fn of(system: &System, work: &Work, catalog: &Catalog) -> Result<Self, StudyError> {
        match work {
            Work::Queries(work) => {
                QueryKit::of(system, work, catalog).map(|kit| Self::Queries(Box::new(kit)))
            }
            Work::Field(work) => FieldKit::of(system, work, catalog).map(Self::Field),
        }
    }

    /// Metrics of a system with this frame, and what they take for granted.
    pub fn metrics(
        &self,
        system: &System,
        catalog: &Catalog,
    ) -> Result<(Metrics, Vec<String>), StudyError> {
        match self {
            Self::Queries(kit) => kit.metrics(system, catalog),
            Self::Field(kit) => kit.metrics(system, catalog),
        }
    }

    /// Die of the GPU, in mm²; zero where the system has none.
    pub fn die_mm2(&self) -> f64 {
        match self {
            Self::Queries(kit) => kit.die_mm2(),
            Self::Field(kit) => kit.die_mm2(),
        }
    }
}

/// A frame that has been priced on a GPU: what design points of an accelerator beside it share.
#[derive(Debug)]
pub(crate) struct QueryKit {
    work: Arc<Queried>,
    gpu: Entry,
    launches: Arc<[Option<Priced>]>,
    alone: Arc<FrameResult>,
}

impl QueryKit {
    /// Prices a system's frame on its GPU.
    fn of(system: &System, work: &Arc<Queried>, catalog: &Catalog) -> Result<Self, StudyError> {
        let gpu = system.gpu(catalog)?;
        let priced = GpuFrame::new(&work.frame, &gpu, Options::default()).map_err(told)?;
        let (launches, alone) = (Arc::clone(&priced.launches), Arc::clone(&priced.alone));
        Ok(Self { work: Arc::clone(work), gpu, launches, alone })
    }

    fn metrics(
        &self,
        system: &System,
        catalog: &Catalog,
    ) -> Result<(Metrics, Vec<String>), StudyError> {
        let die_mm2 = self.die_mm2();
        let (mut metrics, assumptions) = match system.accelerator(catalog)? {
            None => (of_gpu(&self.alone, die_mm2), self.alone.assumptions.clone()),
            Some(entry) => {
                let priced = GpuFrame {
                    frame: &self.work.frame,
                    entry: &self.gpu,
                    options: Options::default(),
                    settled: Options::default(),
                    prepared: Arc::new([]),
                    launches: Arc::clone(&self.launches),
                    alone: Arc::clone(&self.alone),
                    memo: Some(Arc::clone(&self.work.lookups) as Arc<dyn Memo>),
                };
                let built = priced.accelerate(&self.work.app, self.work.scale, &entry, None);
                let built = built.map_err(told)?;
                (of_accelerator(&built, die_mm2), built.assumptions)
            }
        };
        metrics.table_mib = Some(self.work.table_mib);
        Ok((metrics, assumptions))
    }

    fn die_mm2(&self) -> f64 {
        self.gpu.gpu.gpu.die_area.mm2()
    }
}

/// Metrics of systems that share a frame and a GPU.
pub(super) fn run(systems: &[&System]) -> Result<Vec<Metrics>, StudyError> {
    let Some(first) = systems.first() else { return Ok(Vec::new()) };
    let catalog = Catalog::embedded();
    let kit = Kit::of(first, &Work::of(first, &catalog)?, &catalog)?;
    systems.iter().map(|system| Ok(kit.metrics(system, &catalog)?.0)).collect()
}
