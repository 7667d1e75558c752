//! Published times of neural graphics beside ours: frames of the four applications, how they split
//! into encoding, networks and the rest, and the throughput of fused perceptrons.
//!
//! The published figures ship with their sources (`tables/neural_graphics.toml`). Their scenes and
//! settings are mostly not stated, so each comparison names what was assumed instead: errors say
//! how well figures and assumptions fit together, no more. Left out: training times, Gaussian
//! splatting (published without image sizes), and other renderers than instant-ngp's.

use std::collections::BTreeMap;

use lumacycle_arch::{Catalog, Entry};
use lumacycle_engines::gpu::roofline;
use lumacycle_engines::{Engine, GpuEngine, Options};
use lumacycle_sim::frame::{FrameResult, price};
use lumacycle_workloads::DType;
use lumacycle_workloads::apps::{Application, EncodingChoice, Frame, Part, frame, rest};
use lumacycle_workloads::ops::{FusedMlp, Operation};
use lumacycle_workloads::rays::View;
use lumacycle_workloads::scene::Scene;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::ValidateError;
use crate::stats::Figures;
use crate::suite::Baselines;

/// Name of the suite.
pub const SUITE: &str = "neural_graphics";
/// The published figures.
const TABLE: &str = include_str!("../tables/neural_graphics.toml");
/// Applications whose shares are averaged.
const APPLICATIONS: [&str; 4] = ["nerf", "nsdf", "nvr", "gia"];
/// Depths of perceptrons that are tried.
const DEPTHS: std::ops::RangeInclusive<u32> = 1..=8;

#[derive(Debug, Deserialize)]
struct Table {
    frame: Vec<PublishedFrame>,
    share: Vec<PublishedShare>,
    throughput: PublishedThroughput,
}

#[derive(Debug, Clone, Deserialize)]
struct PublishedFrame {
    what: String,
    gpu: String,
    app: String,
    scene: String,
    resolution: [u32; 2],
    published_ms: f64,
    confidence: String,
    source: String,
    assumed: String,
}

#[derive(Debug, Deserialize)]
struct PublishedShare {
    encoding: String,
    both_pct: f64,
    encoding_pct: Option<f64>,
    mlp_pct: Option<f64>,
    confidence: String,
    source: String,
}

#[derive(Debug, Deserialize)]
struct PublishedThroughput {
    gpu: String,
    source: String,
    confidence: String,
    coordinates: u32,
    bins: u32,
    width: u32,
    outputs: u32,
    rows: Vec<(f64, f64)>,
    configured_layers: u32,
}

/// A frame, published and ours.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FrameRow {
    /// Application and whose figure.
    pub what: String,
    /// Catalogue entry.
    pub gpu: String,
    /// Pixels in a row, rows.
    pub resolution: [u32; 2],
    /// Published, in ms.
    pub published_ms: f64,
    /// Ours, in ms.
    pub predicted_ms: f64,
    /// A spec-sheet roofline's, in ms.
    pub roofline_ms: f64,
    /// Ours over the published one, minus one, in percent.
    pub error_pct: f64,
    /// Queries a pixel in ours.
    pub queries_per_pixel: f64,
    /// How far the published figure can be trusted.
    pub confidence: String,
    /// Where it stands.
    pub source: String,
    /// What was assumed where it says nothing.
    pub assumed: String,
}

/// Shares of frame time, averaged over the four applications.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShareRow {
    /// Encoding.
    pub encoding: String,
    /// Published share of encoding and networks together, in percent.
    pub published_both_pct: f64,
    /// Published share of the encoding.
    pub published_encoding_pct: Option<f64>,
    /// Published share of the networks.
    pub published_mlp_pct: Option<f64>,
    /// Our share of the encoding.
    pub encoding_pct: f64,
    /// Our share of the networks.
    pub mlp_pct: f64,
    /// Our share of both for each application, in the order nerf, nsdf, nvr, gia.
    pub both_by_application_pct: Vec<f64>,
    /// How far the published figure can be trusted.
    pub confidence: String,
    /// Where it stands.
    pub source: String,
}

/// Published throughput against a perceptron of some depth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DepthRow {
    /// Hidden layers.
    pub hidden_layers: u32,
    /// Our errors, with this depth.
    #[serde(flatten)]
    pub figures: Figures,
    /// Whether this is the depth of today's sample configuration, which is scored.
    pub configured: bool,
    /// Whether this depth fits best.
    pub fits_best: bool,
}

/// Rows of one kind on one GPU.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NeuralGroup {
    /// Catalogue entry.
    pub gpu: String,
    /// `frames` or `fused_mlp`.
    pub class: String,
    /// Our errors.
    #[serde(flatten)]
    pub figures: Figures,
    /// A spec-sheet roofline's.
    pub roofline: Figures,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NeuralReport {
    /// `neural_graphics`.
    pub suite: &'static str,
    /// Figures compared.
    pub rows_used: usize,
    /// Figures left out, by reason.
    pub rows_left_out: BTreeMap<String, usize>,
    /// All of them.
    pub overall: Figures,
    /// By kind.
    pub groups: Vec<NeuralGroup>,
    /// Baselines.
    pub baselines: Baselines,
    /// Frames.
    pub frames: Vec<FrameRow>,
    /// Shares.
    pub shares: Vec<ShareRow>,
    /// Depths of the perceptron whose throughput is published.
    pub depths: Vec<DepthRow>,
    /// What was taken for granted.
    pub assumptions: Vec<String>,
}

fn defect(what: impl std::fmt::Display) -> ValidateError {
    ValidateError::Unreadable {
        path: "tables/neural_graphics.toml".into(),
        reason: what.to_string(),
    }
}

/// Prices everything that is published.
///
/// # Errors
/// When the table that ships is broken.
pub fn run(gpus: &[String]) -> Result<NeuralReport, ValidateError> {
    let table: Table = toml::from_str(TABLE).map_err(defect)?;
    let catalog = Catalog::embedded();
    let entry = |name: &str| catalog.get(name).map_err(defect);
    let mut wanted = Vec::new();
    for name in gpus {
        wanted.push(entry(name)?.id);
    }
    let selected = |gpu: &str| wanted.is_empty() || wanted.iter().any(|id| id == gpu);
    let mut left_out = BTreeMap::new();
    let (mut frames, mut skipped) = (Vec::new(), 0);
    for published in table.frame {
        if selected(&published.gpu) {
            frames.push((entry(&published.gpu)?, published));
        } else {
            skipped += 1;
        }
    }
    let frames: Vec<FrameRow> = frames
        .par_iter()
        .map(|(entry, published)| one_frame(entry, published))
        .collect::<Result<_, _>>()?;
    let (mut shares, mut depths, mut throughput) = (Vec::new(), Vec::new(), Vec::new());
    let perceptron = &table.throughput;
    if selected(&perceptron.gpu) {
        let gpu = entry(&perceptron.gpu)?;
        shares = table
            .share
            .into_iter()
            .map(|published| one_share(&gpu, published))
            .collect::<Result<_, _>>()?;
        for layers in DEPTHS {
            let rows: Vec<(f64, f64, f64)> = perceptron
                .rows
                .iter()
                .map(|row| launch(&gpu, perceptron, layers, *row))
                .collect::<Result<_, _>>()?;
            depths.push(DepthRow {
                hidden_layers: layers,
                figures: Figures::of(rows.iter().map(|(ours, _, published)| (*ours, *published))),
                configured: layers == perceptron.configured_layers,
                fits_best: false,
            });
            if layers == perceptron.configured_layers {
                throughput = rows;
            }
        }
        let best =
            depths.iter_mut().min_by(|a, b| a.figures.mape_pct.total_cmp(&b.figures.mape_pct));
        if let Some(best) = best {
            best.fits_best = true;
        }
    } else {
        skipped += perceptron.rows.len();
    }
    if skipped > 0 {
        left_out.insert("GPU not selected".to_owned(), skipped);
    }
    let mut groups = Vec::new();
    let mut all: Vec<(f64, f64, f64)> = Vec::new();
    let by_frame =
        frames.iter().map(|f| (f.predicted_ms, f.roofline_ms, f.published_ms)).collect::<Vec<_>>();
    let frame_gpu = frames.first().map(|row| row.gpu.clone()).unwrap_or_default();
    for (class, gpu, rows) in
        [("frames", frame_gpu, by_frame), ("fused_mlp", perceptron.gpu.clone(), throughput)]
    {
        if rows.is_empty() {
            continue;
        }
        let (figures, roofline) = figures(&rows);
        groups.push(NeuralGroup { gpu, class: class.to_owned(), figures, roofline });
        all.extend(rows);
    }
    let (overall, roofline) = figures(&all);
    Ok(NeuralReport {
        suite: SUITE,
        rows_used: all.len(),
        rows_left_out: left_out,
        overall,
        groups,
        baselines: Baselines { roofline, wave: None },
        frames,
        shares,
        depths,
        assumptions: vec![
            "scenes of ours stand for those of the publications, which mostly name none".to_owned(),
            format!(
                "throughput ({}, confidence {}): one-blob kernel of 12 multiply-adds a bin, network, \
                 and a kernel that trims outputs; scored at the {} hidden layers of today's sample \
                 configuration",
                perceptron.source, perceptron.confidence, perceptron.configured_layers
            ),
        ],
    })
}

/// `(ours, roofline, published)` to figures of ours and of the roofline.
fn figures(rows: &[(f64, f64, f64)]) -> (Figures, Figures) {
    (
        Figures::of(rows.iter().map(|(ours, _, published)| (*ours, *published))),
        Figures::of(rows.iter().map(|(_, line, published)| (*line, *published))),
    )
}

fn made(
    app: &str,
    encoding: &str,
    scene: Option<&str>,
    size: [u32; 2],
) -> Result<Frame, ValidateError> {
    let app = Application::shipped(app)
        .ok_or_else(|| defect(format!("no application {app}")))?
        .map_err(|error| defect(error.what))?;
    let app = app.with(match encoding {
        "densegrid" => EncodingChoice::Densegrid,
        "densegrid-lowres" => EncodingChoice::DensegridLowres,
        _ => EncodingChoice::Hashgrid,
    });
    let scene = scene.unwrap_or_else(|| app.usual_scene());
    let scene = Scene::shipped(scene).ok_or_else(|| defect(format!("no scene {scene}")))?;
    let camera = scene.path.at(0.0).ok_or_else(|| defect("no camera"))?;
    let view = View { camera, width: size[0], height: size[1] };
    frame(&app, &scene, &view, None).map_err(|error| defect(error.what))
}

fn priced(frame: &Frame, gpu: &Entry) -> Result<FrameResult, ValidateError> {
    price(frame, gpu, Options::default()).map_err(defect)
}

fn one_frame(gpu: &Entry, published: &PublishedFrame) -> Result<FrameRow, ValidateError> {
    let frame = made(&published.app, "hashgrid", Some(&published.scene), published.resolution)?;
    let result = priced(&frame, gpu)?;
    let roofline_ns: f64 = frame
        .launches
        .iter()
        .map(|launch| launch.times * roofline::time_ns(&gpu.gpu, &launch.operation, DType::Fp16))
        .sum();
    Ok(FrameRow {
        what: published.what.clone(),
        gpu: gpu.id.clone(),
        resolution: published.resolution,
        published_ms: published.published_ms,
        predicted_ms: result.frame_ms,
        roofline_ms: roofline_ns / 1e6,
        error_pct: (result.frame_ms / published.published_ms - 1.0) * 100.0,
        queries_per_pixel: frame.queries / frame.pixels,
        confidence: published.confidence.clone(),
        source: published.source.clone(),
        assumed: published.assumed.clone(),
    })
}

fn one_share(gpu: &Entry, published: PublishedShare) -> Result<ShareRow, ValidateError> {
    let shares: Vec<[f64; 2]> = APPLICATIONS
        .par_iter()
        .map(|app| {
            let result = priced(&made(app, &published.encoding, None, [1920, 1080])?, gpu)?;
            let of = |part: Part| {
                result.parts.iter().filter(|row| row.part == part).map(|row| row.share_pct).sum()
            };
            Ok([of(Part::Encoding), of(Part::Mlp)])
        })
        .collect::<Result<_, ValidateError>>()?;
    let mean = |i: usize| shares.iter().map(|share| share[i]).sum::<f64>() / shares.len() as f64;
    Ok(ShareRow {
        published_both_pct: published.both_pct,
        published_encoding_pct: published.encoding_pct,
        published_mlp_pct: published.mlp_pct,
        encoding_pct: mean(0),
        mlp_pct: mean(1),
        both_by_application_pct: shares.iter().map(|share| share[0] + share[1]).collect(),
        encoding: published.encoding,
        confidence: published.confidence,
        source: published.source,
    })
}

/// Ours, the roofline's and the published time of one inference, in us.
fn launch(
    gpu: &Entry,
    published: &PublishedThroughput,
    layers: u32,
    (samples, per_second): (f64, f64),
) -> Result<(f64, f64, f64), ValidateError> {
    let inputs = published.coordinates * published.bins;
    let network = FusedMlp {
        width: published.width,
        hidden_layers: layers,
        inputs,
        outputs: published.outputs,
        samples: samples as u64,
        rows_per_cta: 128,
        inputs_by_row: true,
        training: false,
        backward: false,
        recorded: None,
    };
    let operations = [
        Operation::PerThread(rest::one_blob(samples, published.coordinates, published.bins)),
        Operation::FusedMlp(network),
        Operation::PerThread(rest::extract_from_rows(samples)),
    ];
    let engine = GpuEngine::new(&gpu.gpu);
    let (mut ours, mut line) = (0.0, 0.0);
    for operation in &operations {
        ours += engine.price(operation).map_err(defect)?.time_ns / 1e3;
        line += roofline::time_ns(&gpu.gpu, operation, DType::Fp16) / 1e3;
    }
    // Launches follow each other without the host.
    ours += (operations.len() - 1) as f64 * gpu.gpu.launch.gap.ns() / 1e3;
    Ok((ours, line, samples / per_second * 1e6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole_and_every_figure_has_a_source() {
        let table: Table = toml::from_str(TABLE).unwrap();
        assert!(table.frame.iter().all(|f| !f.source.is_empty() && !f.assumed.is_empty()));
        assert!(table.share.iter().all(|s| !s.source.is_empty()));
        for frame in &table.frame {
            assert!(Catalog::embedded().get(&frame.gpu).is_ok());
            made(&frame.app, "hashgrid", Some(&frame.scene), [64, 36]).unwrap();
        }
    }

    /// A deeper network takes longer, a longer launch too.
    #[test]
    fn throughput_falls_with_depth() {
        let table: Table = toml::from_str(TABLE).unwrap();
        let gpu = Catalog::embedded().get(&table.throughput.gpu).unwrap();
        let time =
            |layers, samples| launch(&gpu, &table.throughput, layers, (samples, 1e9)).unwrap().0;
        assert!(time(1, 1e6) < time(4, 1e6) && time(4, 1e6) < time(8, 1e6));
        assert!(time(4, 1e6) < time(4, 2e6));
    }
}
