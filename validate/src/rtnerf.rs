//! The published figures of RT-NeRF beside what the model gives with one set of parameters. They are
//! of eight synthetic objects; the eight objects that ship stand for these, and means over all scenes
//! are listed beside. Sizes that the paper does not give were chosen by area and power, so those two
//! figures test nothing; how far the frame rate moves over the plausible ranges is part of the report. What
//! cannot be compared stays listed as such.

mod stage;

use std::collections::BTreeMap;

use lumacycle_arch::{Catalog, SparseEntry};
use lumacycle_engines::sparse;
use lumacycle_sim::tensorf::TensorfFrame;
use lumacycle_workloads::scene::Scene;
use lumacycle_workloads::sparse::{Shape, storage_crossover};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::ValidateError;
use crate::ngpc::Meaning;
use crate::stats::Figures;
use stage::Stage;

/// Name of the suite.
pub const SUITE: &str = "rtnerf";
/// The published figures.
const TABLE: &str = include_str!("../tables/rtnerf.toml");
/// The scene whose frame is scaled to counted samples, and on which free parameters are varied: the
/// one of the kind of lego.
const OBJECT: &str = "digger";

#[derive(Debug, Clone, Deserialize)]
struct Table {
    image: [u32; 2],
    edge: String,
    cloud: String,
    edge_baselines: Vec<String>,
    cloud_baselines: Vec<String>,
    lego_samples_per_ray: f64,
    figure: Vec<Figure>,
    free: Vec<Free>,
}

#[derive(Debug, Clone, Deserialize)]
struct Figure {
    class: String,
    what: String,
    key: String,
    value: f64,
    #[serde(default)]
    meaning: Option<Meaning>,
    confidence: String,
    #[serde(default)]
    beside: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Free {
    name: String,
    #[serde(default)]
    low: Option<String>,
    #[serde(default)]
    high: Option<String>,
}

/// One published figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RtnerfRow {
    /// Kind of figure.
    pub class: String,
    /// What it is.
    pub what: String,
    /// Published.
    pub published: f64,
    /// How it is meant.
    pub meaning: Meaning,
    /// By the model; none where it cannot say.
    pub predicted: Option<f64>,
    /// Of a value, in percent; of a bound, by how much it is missed.
    pub error_pct: Option<f64>,
    /// How far the published figure can be trusted.
    pub confidence: String,
    /// Whether it counts in the overall figure.
    pub counted: bool,
    /// Why it does not.
    pub why_not: Option<String>,
}

/// A scene's frame on the edge version, the cloud version and GPUs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SceneRow {
    /// Scene.
    pub scene: String,
    /// Whether it is a single object before nothing, as the published scenes are.
    pub object: bool,
    /// Frames a second of the edge version.
    pub edge_fps: f64,
    /// Energy of its frame, in mJ.
    pub edge_mj: f64,
    /// Its mean power, in W.
    pub edge_w: f64,
    /// Bytes from and to its memory, in MB.
    pub dram_mb: f64,
    /// What binds it.
    pub bound_by: &'static str,
    /// Points that get a colour, in millions.
    pub shaded_m: f64,
    /// Share of zeros of all factors, in percent.
    pub sparsity_pct: f64,
    /// Frames a second of the cloud version.
    pub cloud_fps: f64,
    /// Its mean power, in W.
    pub cloud_w: f64,
    /// TensoRF on GPUs, frames a second.
    pub gpu_fps: BTreeMap<String, f64>,
}

/// A pair of devices.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pairing {
    /// Accelerator.
    pub accelerator: String,
    /// GPU.
    pub gpu: String,
    /// Speedups by object, least and most.
    pub range: [f64; 2],
}

/// How far a free parameter moves the frame rate of one scene.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Range {
    /// What is varied.
    pub name: String,
    /// What changes.
    pub metric: &'static str,
    /// Change of frames a second at the low end, in percent.
    pub low_pct: Option<f64>,
    /// The same at the high end.
    pub high_pct: Option<f64>,
    /// Frames a second with each end; none where there is no such end.
    pub fps: [Option<f64>; 2],
    /// Area with each end, in mm².
    pub area_mm2: [Option<f64>; 2],
    /// Power with each end, in W.
    pub power_w: [Option<f64>; 2],
}

/// Figures of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RtnerfGroup {
    /// Kind.
    pub class: String,
    /// Errors of the values of that kind that the model can give, whatever their confidence.
    #[serde(flatten)]
    pub figures: Figures,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RtnerfReport {
    /// `rtnerf`.
    pub suite: &'static str,
    /// Values that count: confidence A and B, not used to choose sizes, comparable.
    pub rows_used: usize,
    /// Figures that are listed beside, by reason.
    pub rows_left_out: BTreeMap<String, usize>,
    /// Values that count.
    pub overall: Figures,
    /// Bounds of confidence A and B.
    pub bounds: usize,
    /// Bounds that hold.
    pub bounds_held: usize,
    /// By kind.
    pub groups: Vec<RtnerfGroup>,
    /// None: there is no other prediction of these figures.
    pub baselines: BTreeMap<String, Figures>,
    /// Every figure.
    pub rows: Vec<RtnerfRow>,
    /// Scene by scene.
    pub scenes: Vec<SceneRow>,
    /// Pairs of devices that the published range may stand for.
    pub pairings: Vec<Pairing>,
    /// Frame rate, area and power of the scene that parameters are varied on, as described.
    pub base: (f64, f64, f64),
    /// Free parameters.
    pub free: Vec<Range>,
    /// What was taken for granted.
    pub assumptions: Vec<String>,
}

fn defect(what: impl std::fmt::Display) -> ValidateError {
    ValidateError::Unreadable { path: "tables/rtnerf.toml".into(), reason: what.to_string() }
}

fn block(entry: &SparseEntry) -> Shape {
    Shape::new(entry.accelerator.policy.plane_block, entry.accelerator.policy.plane_block)
}

fn free(
    stage: &Stage,
    base: f64,
    table: &Table,
    catalog: &Catalog,
) -> Result<Vec<Range>, ValidateError> {
    let run = |lines: &Option<String>| -> Result<Option<TensorfFrame>, ValidateError> {
        let Some(lines) = lines else { return Ok(None) };
        let text = format!("base = \"{}\"\n{lines}", table.edge);
        let entry = catalog.parse_sparse_accelerator("free", "free", &text).map_err(defect)?;
        stage.frame(&entry).map(Some)
    };
    table
        .free
        .par_iter()
        .map(|free| {
            let ends = [run(&free.low)?, run(&free.high)?];
            let of = |value: fn(&TensorfFrame) -> f64| {
                [0, 1].map(|end: usize| ends[end].as_ref().map(value))
            };
            let fps = of(|f| f.frames_per_s);
            let [low_pct, high_pct] = fps.map(|fps| fps.map(|fps| (fps / base - 1.0) * 100.0));
            Ok(Range {
                name: free.name.clone(),
                metric: "frames a second",
                low_pct,
                high_pct,
                fps,
                area_mm2: of(|f| f.area_mm2),
                power_w: of(|f| f.frame.power_w),
            })
        })
        .collect()
}

fn pairings(scenes: &[SceneRow], table: &Table) -> Vec<Pairing> {
    let pair = |accelerator: &str, gpu: &String, fps: fn(&SceneRow) -> f64| {
        let objects = || scenes.iter().filter(|scene| scene.object);
        let ratios = || objects().filter_map(|s| Some(fps(s) / s.gpu_fps.get(gpu)?));
        Pairing {
            accelerator: accelerator.to_owned(),
            gpu: gpu.clone(),
            range: [ratios().fold(f64::INFINITY, f64::min), ratios().fold(0.0, f64::max)],
        }
    };
    let edge = table.edge_baselines.iter().map(|gpu| pair(&table.edge, gpu, |s| s.edge_fps));
    let cloud = table.cloud_baselines.iter().flat_map(|gpu| {
        [pair(&table.edge, gpu, |s| s.edge_fps), pair(&table.cloud, gpu, |s| s.cloud_fps)]
    });
    edge.chain(cloud).collect()
}

/// Values of the model by the keys of the table.
fn predictions(
    table: &Table,
    catalog: &Catalog,
    scenes: &[SceneRow],
    frames: &[TensorfFrame],
    pairings: &[Pairing],
) -> Result<BTreeMap<&'static str, f64>, ValidateError> {
    let objects: Vec<&SceneRow> = scenes.iter().filter(|scene| scene.object).collect();
    let all: Vec<&SceneRow> = scenes.iter().collect();
    let over = |rows: &[&SceneRow], of: fn(&SceneRow) -> f64| {
        rows.iter().map(|row| of(row)).sum::<f64>() / rows.len() as f64
    };
    let mean = |of| over(&objects, of);
    let edge = catalog.sparse_accelerator(&table.edge).map_err(defect)?;
    let cloud = catalog.sparse_accelerator(&table.cloud).map_err(defect)?;
    let object = scenes.iter().find(|s| s.scene == OBJECT).ok_or_else(|| defect(OBJECT))?;
    // The MLP is what a frame waits for, so time and energy go with the points it shades.
    let pixels = f64::from(table.image[0]) * f64::from(table.image[1]);
    let scale = table.lego_samples_per_ray * pixels / (object.shaded_m * 1e6);
    let sparsity = |pick: fn(f64, f64) -> f64, start: f64, end: usize| {
        frames.iter().map(|f| f.planes.sparsity_range[end]).fold(start, pick) * 100.0
    };
    let speedups = || pairings.iter().flat_map(|p| p.range);
    Ok(BTreeMap::from([
        ("edge_fps", mean(|s| s.edge_fps)),
        ("edge_fps_by_time", 1.0 / mean(|s| 1.0 / s.edge_fps)),
        ("edge_fps_all", over(&all, |s| s.edge_fps)),
        ("edge_fps_lego", object.edge_fps / scale),
        ("edge_mj", mean(|s| s.edge_mj)),
        ("edge_mj_all", over(&all, |s| s.edge_mj)),
        ("edge_mj_lego", object.edge_mj * scale),
        ("edge_fps_per_w", mean(|s| s.edge_fps / s.edge_w)),
        ("edge_mm2", edge.accelerator.area_mm2()),
        ("edge_w", mean(|s| s.edge_w)),
        ("edge_sram_mb", edge.accelerator.sram_bytes() / 1e6),
        ("cloud_mm2", cloud.accelerator.area_mm2()),
        ("cloud_w", mean(|s| s.cloud_w)),
        ("edge_dram_mb", scenes.iter().map(|s| s.dram_mb).fold(0.0, f64::max)),
        ("least_speedup", speedups().fold(f64::INFINITY, f64::min)),
        ("most_speedup", speedups().fold(0.0, f64::max)),
        ("desktop_fps", mean(|s| s.gpu_fps.get("rtx2080ti").copied().unwrap_or_default())),
        ("crossover_pct", 100.0 * storage_crossover(block(&edge))),
        ("crossover_clocks_pct", 100.0 * sparse::crossover_clocks(&edge.accelerator)),
        ("least_sparsity_pct", sparsity(f64::min, 1.0, 0)),
        ("most_sparsity_pct", sparsity(f64::max, 0.0, 1)),
    ]))
}

fn row(figure: &Figure, predicted: Option<f64>) -> RtnerfRow {
    let meaning = figure.meaning.unwrap_or(Meaning::Value);
    let error = predicted.map(|predicted| {
        let holds = match meaning {
            Meaning::Value => false,
            Meaning::AtLeast => predicted >= figure.value,
            Meaning::AtMost => predicted <= figure.value,
        };
        if holds { 0.0 } else { (predicted / figure.value - 1.0) * 100.0 }
    });
    let trusted = figure.confidence.starts_with('A') || figure.confidence == "B";
    let why_not = if figure.beside.is_some() {
        figure.beside.clone()
    } else if !trusted {
        Some(format!("confidence {}", figure.confidence))
    } else if meaning != Meaning::Value {
        Some("a bound".to_owned())
    } else {
        None
    };
    RtnerfRow {
        class: figure.class.clone(),
        what: figure.what.clone(),
        published: figure.value,
        meaning,
        predicted,
        error_pct: error,
        confidence: figure.confidence.clone(),
        counted: why_not.is_none(),
        why_not,
    }
}

/// Compares.
///
/// # Errors
/// When the table that ships is broken.
pub fn run() -> Result<RtnerfReport, ValidateError> {
    let table: Table = toml::from_str(TABLE).map_err(defect)?;
    let catalog = Catalog::embedded();
    let names = Scene::names();
    let edge = catalog.sparse_accelerator(&table.edge).map_err(defect)?;
    // A stage holds 200 MB: only that on which parameters vary is kept.
    let done: Vec<(SceneRow, TensorfFrame, Option<Stage>)> = names
        .par_iter()
        .map(|name| {
            let stage = Stage::of(name, &edge, table.image)?;
            let (row, frame) = stage.row(&table, &catalog)?;
            Ok((row, frame, (*name == OBJECT).then_some(stage)))
        })
        .collect::<Result<_, ValidateError>>()?;
    let (mut scenes, mut frames, mut object) = (Vec::new(), Vec::new(), None);
    for (row, frame, stage) in done {
        object = object.or_else(|| stage.map(|stage| (stage, frame.clone())));
        scenes.push(row);
        frames.push(frame);
    }
    let (stage, frame) = object.ok_or_else(|| defect(OBJECT))?;
    let free = free(&stage, frame.frames_per_s, &table, &catalog)?;
    let base = (frame.frames_per_s, frame.area_mm2, frame.frame.power_w);
    let pairings = pairings(&scenes, &table);
    let predicted = predictions(&table, &catalog, &scenes, &frames, &pairings)?;
    let rows: Vec<RtnerfRow> = table
        .figure
        .iter()
        .map(|figure| row(figure, predicted.get(figure.key.as_str()).copied()))
        .collect();
    let mut rows_left_out = BTreeMap::new();
    for why in rows.iter().filter_map(|row| row.why_not.clone()) {
        *rows_left_out.entry(why).or_insert(0) += 1;
    }
    let figures = |which: &dyn Fn(&RtnerfRow) -> bool| {
        let pairs = rows.iter().filter(|row| which(row));
        Figures::of(pairs.filter_map(|row| Some((row.predicted?, row.published))))
    };
    let trusted =
        |row: &&RtnerfRow| row.confidence.starts_with('A') && row.meaning != Meaning::Value;
    let mut classes: Vec<String> = rows.iter().map(|row| row.class.clone()).collect();
    classes.dedup();
    let groups = classes.into_iter().map(|class| RtnerfGroup {
        figures: figures(&|row| row.class == class && row.meaning == Meaning::Value),
        class,
    });
    Ok(RtnerfReport {
        suite: SUITE,
        rows_used: rows.iter().filter(|row| row.counted).count(),
        rows_left_out,
        overall: figures(&|row| row.counted),
        bounds: rows.iter().filter(trusted).count(),
        bounds_held: rows.iter().filter(trusted).filter(|row| row.error_pct == Some(0.0)).count(),
        groups: groups.filter(|group| group.figures.rows > 0).collect(),
        baselines: BTreeMap::new(),
        scenes,
        pairings,
        base,
        free,
        assumptions: vec![
            "the eight objects that ship stand for the eight published ones: formulas of ours, framed alike, \
             with a density that gives the digger the samples which others counted in lego"
                .to_owned(),
            "which mean the published frame rate is, is not known: that of frame rates counts, that of frame \
             times is listed beside"
                .to_owned(),
            "energies are means of frames; the published one is 8 W over 45 frames a second".to_owned(),
            "a frame waits for its network: rates and energies rest on the points it shades, on fp16 and on the \
             area and power that set the number of MAC arrays"
                .to_owned(),
            "the reading with lego's samples takes the digger's frame by the points it shades".to_owned(),
            "sizes marked as free were chosen by area and power; after the first run sums in fp16 replaced sums in fp32, which left a quarter of the power unused".to_owned(),
            "whether the published 8 W include the DRAM is not known; ours do".to_owned(),
            "TensoRF on GPUs is priced by the launches that its authors' code makes (PyTorch, fp32, chunks of 4096 \
             rays, each pass and each use of a mask by itself); versions and settings that the paper ran are not known"
                .to_owned(),
        ],
        rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        let table: Table = toml::from_str(TABLE).unwrap();
        assert!(table.figure.iter().all(|figure| figure.value > 0.0));
        let counted: Vec<RtnerfRow> =
            table.figure.iter().map(|figure| row(figure, Some(figure.value))).collect();
        // One value is neither used nor of lesser confidence nor another's reading.
        assert_eq!(counted.iter().filter(|row| row.counted).count(), 1);
        let catalog = Catalog::embedded();
        for lines in table.free.iter().flat_map(|free| free.low.iter().chain(&free.high)) {
            let text = format!("base = \"{}\"\n{lines}", table.edge);
            let entry = catalog.parse_sparse_accelerator("x", "x", &text);
            assert!(entry.is_ok(), "{lines} {:?}", entry.err());
        }
    }

    #[test]
    fn errors_of_values_and_bounds() {
        let figure = |meaning| Figure {
            class: "x".to_owned(),
            what: "y".to_owned(),
            key: "z".to_owned(),
            value: 10.0,
            meaning,
            confidence: "A".to_owned(),
            beside: None,
        };
        assert!((row(&figure(None), Some(9.0)).error_pct.unwrap() + 10.0).abs() < 1e-9);
        assert_eq!(row(&figure(Some(Meaning::AtLeast)), Some(12.0)).error_pct, Some(0.0));
        assert!(!row(&figure(Some(Meaning::AtMost)), Some(12.0)).counted);
        assert_eq!(row(&figure(None), None).error_pct, None);
    }

    #[test]
    fn trees_keep_up_while_a_block_fits_their_leaves() {
        let edge = Catalog::embedded().sparse_accelerator("rt-nerf-edge").unwrap();
        assert!((sparse::crossover_clocks(&edge.accelerator) - 0.75).abs() < 1e-9);
    }
}
