//! The published figures of NGPC beside what its emulator gives, in two ways: with the paper's own
//! inputs as far as they can be reconstructed, and with frames of our GPU model. Figures that were
//! used to reconstruct inputs are marked; they test nothing.

pub mod mapping;
pub mod published;
mod row;

use lumacycle_arch::{Accelerator, AcceleratorEntry, Catalog};
use lumacycle_engines::Options;
use lumacycle_engines::accelerator::NetworkUse;
use lumacycle_engines::accelerator::network::layers;
use lumacycle_engines::accelerator::published::{Inputs, area_pct, emulate, power_pct};
use lumacycle_sim::frame::GpuFrame;
use lumacycle_workloads::apps::{Application, EncodingChoice, frame};
use lumacycle_workloads::rays::View;
use lumacycle_workloads::scene::Scene;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;

use crate::ValidateError;
use crate::stats::Figures;
pub use row::{Meaning, NgpcRow};
use row::{row, scored};

use published::{APPLICATIONS, Contradiction, Reconstructed, Reconstruction, Table, UNITS};

/// Name of the suite.
pub const SUITE: &str = "ngpc";
/// Encodings of the study by name.
pub const ENCODINGS: [(&str, EncodingChoice); 3] = [
    ("hashgrid", EncodingChoice::Hashgrid),
    ("densegrid", EncodingChoice::Densegrid),
    ("densegrid-lowres", EncodingChoice::DensegridLowres),
];
/// A speedup within this of its cap has reached its plateau.
const AT_CAP: f64 = 0.999;
/// Samples for which MLP engine and mapping are compared.
const MAPPED_SAMPLES: u64 = 65_536;

/// Figures of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NgpcGroup {
    /// GPU of the study.
    pub gpu: String,
    /// Kind.
    pub class: String,
    /// Our errors.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Frames a second at three sizes, with the paper's inputs and with our frames.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FrameRates {
    /// Application.
    pub application: &'static str,
    /// Processors; 0 is the GPU alone.
    pub units: u32,
    /// At 1920 × 1080, 3840 × 2160 and 7680 × 4320.
    pub emulated: [f64; 3],
    /// The same with GPU times and samples of our own frames.
    pub own: [f64; 3],
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NgpcReport {
    /// `ngpc`.
    pub suite: &'static str,
    /// Figures that count: confidence A and B.
    pub rows_used: usize,
    /// Figures that are listed beside, by reason.
    pub rows_left_out: BTreeMap<String, usize>,
    /// Values of confidence A and B, bounds left out.
    pub overall: Figures,
    /// Values that test something, whatever their confidence.
    pub independent: Figures,
    /// Bounds, and how many of them hold.
    pub bounds: usize,
    /// Bounds that hold.
    pub bounds_held: usize,
    /// The averages of the dense encodings by plain proportion to the GPU's time, for comparison.
    pub proportion: Figures,
    /// Clocks with which the published figures go together, in GHz.
    pub clock_range_ghz: (f64, f64),
    /// Speedups with frames of our own GPU model.
    pub own_inputs: Figures,
    /// By kind.
    pub groups: Vec<NgpcGroup>,
    /// None; see `proportion`.
    pub baselines: BTreeMap<String, Figures>,
    /// Every figure.
    pub rows: Vec<NgpcRow>,
    /// The emulator's inputs.
    pub reconstructed: Vec<Reconstructed>,
    /// Frame rates by application and processors, with the hash grid.
    pub frame_rates: Vec<FrameRates>,
    /// Figures that do not go together.
    pub contradictions: Vec<Contradiction>,
    /// What was taken for granted.
    pub assumptions: Vec<String>,
}

fn defect(what: impl std::fmt::Display) -> ValidateError {
    ValidateError::Unreadable { path: "tables/ngpc.toml".into(), reason: what.to_string() }
}

fn application(name: &str, choice: EncodingChoice) -> Result<Application, ValidateError> {
    let app = Application::shipped(name).ok_or_else(|| defect(format!("no application {name}")))?;
    Ok(app.map_err(|error| defect(error.what))?.with(choice))
}

fn passes(accelerator: &Accelerator) -> Result<[f64; 4], ValidateError> {
    let mut passes = [0.0; 4];
    for (passes, name) in passes.iter_mut().zip(APPLICATIONS) {
        let app = application(name, EncodingChoice::Hashgrid)?;
        *passes = NetworkUse::of(accelerator, &app.networks(1)).map_err(defect)?.passes;
    }
    Ok(passes)
}

/// The paper's inputs, reconstructed for the shipped description of its accelerator.
///
/// # Errors
/// When the table that ships is broken.
pub fn reconstruction() -> Result<Reconstruction, ValidateError> {
    let smallest = configurations()?.remove(0).accelerator;
    Reconstruction::solve(&smallest, passes(&smallest)?).map_err(defect)
}

fn configurations() -> Result<Vec<AcceleratorEntry>, ValidateError> {
    let catalog = Catalog::embedded();
    let one = |units: &u32| catalog.accelerator(&format!("ngpc-{units}")).map_err(defect);
    UNITS.iter().map(one).collect()
}

/// Emulator inputs from a frame of our own.
struct Own {
    application: &'static str,
    encoding: &'static str,
    inputs: Inputs,
    rounds: usize,
}

fn own_frames(table: &Table) -> Result<Vec<Own>, ValidateError> {
    let gpu = Catalog::embedded().get(&table.gpu).map_err(defect)?;
    let smallest = configurations()?.remove(0);
    let pairs: Vec<(&'static str, &'static str, EncodingChoice)> = APPLICATIONS
        .iter()
        .flat_map(|app| ENCODINGS.map(|(encoding, choice)| (*app, encoding, choice)))
        .collect();
    let one = |(name, encoding, choice): &(&'static str, &'static str, EncodingChoice)| {
        let app = application(name, *choice)?;
        let scene = Scene::shipped(app.usual_scene()).ok_or_else(|| defect("no scene"))?;
        let camera = scene.path.at(0.5).ok_or_else(|| defect("no camera"))?;
        let [width, height] = table.resolution;
        let view = View { camera, width, height };
        let frame = frame(&app, &scene, &view, None).map_err(|error| defect(error.what))?;
        let priced = GpuFrame::new(&frame, &gpu, Options::default()).map_err(defect)?;
        let inputs = priced.emulator_inputs(&app, scene.aabb_scale, &smallest).map_err(defect)?;
        let rounds = frame.walk.as_ref().map_or(1, |walk| walk.rounds.len());
        Ok(Own { application: name, encoding, inputs, rounds })
    };
    pairs.par_iter().map(one).collect()
}

/// Passes of the MAC array of an accelerator for a sample of a published application.
///
/// # Errors
/// When its network does not fit.
pub fn passes_of(accelerator: &Accelerator, name: &str) -> Result<f64, ValidateError> {
    let networks = application(name, EncodingChoice::Hashgrid)?.networks(1);
    Ok(NetworkUse::of(accelerator, &networks).map_err(defect)?.passes)
}

/// Added area and power over those of the paper's GPU, in percent.
///
/// # Errors
/// When the table that ships is broken.
pub fn overheads(accelerator: &Accelerator) -> Result<(f64, f64), ValidateError> {
    let table = Table::shipped().map_err(defect)?;
    Ok((area_pct(accelerator, table.die_mm2), power_pct(accelerator, table.board_w)))
}

/// Compares everything that is published.
///
/// # Errors
/// When the table that ships is broken.
pub fn run() -> Result<NgpcReport, ValidateError> {
    let table = Table::shipped().map_err(defect)?;
    let entries = configurations()?;
    let solved = reconstruction()?;
    let own = own_frames(&table)?;
    let study = Study { table: &table, entries: &entries, solved: &solved, own: &own };
    let mut rows = study.speedups()?;
    rows.extend(study.overheads());
    rows.extend(study.rates()?);
    rows.extend(study.kernels()?);
    rows.push(study.mapping()?);
    let counts = |row: &&NgpcRow| row.confidence == "A" || row.confidence == "B";
    let is_value = |row: &&NgpcRow| row.meaning == Meaning::Value;
    let tests = |row: &&NgpcRow| !row.used && !row.derived && row.meaning == Meaning::Value;
    let bounds = || rows.iter().filter(|row| row.meaning != Meaning::Value);
    let figures = |rows: &mut dyn Iterator<Item = &NgpcRow>| Figures::of(rows.map(scored));
    let mut classes: Vec<&str> = Vec::new();
    for row in &rows {
        if !classes.contains(&row.class.as_str()) {
            classes.push(&row.class);
        }
    }
    let groups = classes
        .iter()
        .map(|class| NgpcGroup {
            gpu: table.gpu.clone(),
            class: (*class).to_owned(),
            figures: figures(&mut rows.iter().filter(|row| row.class == *class)),
        })
        .collect();
    let mut left_out = BTreeMap::new();
    for row in rows.iter().filter(|row| !counts(row)) {
        let reason = format!("confidence {}: listed beside", row.confidence);
        *left_out.entry(reason).or_insert(0) += 1;
    }
    let counted_bounds = bounds().filter(counts).count();
    if counted_bounds > 0 {
        left_out.insert("a bound: holds or not".to_owned(), counted_bounds);
    }
    let speedups = rows.iter().filter(|row| row.class.ends_with("average"));
    Ok(NgpcReport {
        suite: SUITE,
        rows_used: rows.iter().filter(counts).filter(is_value).count(),
        rows_left_out: left_out,
        overall: figures(&mut rows.iter().filter(counts).filter(is_value)),
        independent: figures(&mut rows.iter().filter(tests)),
        bounds: bounds().count(),
        bounds_held: bounds().filter(|row| row.error_pct == 0.0).count(),
        proportion: Figures::of(table.encoding.iter().skip(1).flat_map(|encoding| {
            let table = &table;
            (0..4).map(move |n| (table.proportion(encoding, n), encoding.averages[n]))
        })),
        clock_range_ghz: published::clocks(
            &entries[0].accelerator,
            passes(&entries[0].accelerator)?,
        )
        .ok_or_else(|| defect("the clock does not fit"))?,
        own_inputs: Figures::of(speedups.filter_map(|r| Some((r.own_inputs?, r.published)))),
        groups,
        baselines: BTreeMap::new(),
        reconstructed: solved.applications.clone(),
        frame_rates: study.frame_rates()?,
        contradictions: table.contradiction.clone(),
        assumptions: assumptions(&entries[0].accelerator),
        rows,
    })
}

/// What the emulator takes for granted.
pub fn assumptions(accelerator: &Accelerator) -> Vec<String> {
    vec![
        format!(
            "the GPU's other kernels are fused and {} times faster, and overlap completely with the \
             accelerator",
            accelerator.published.rest_speedup
        ),
        format!(
            "one pass of the MAC array per clock of {}, the encoding keeps up",
            accelerator.accelerator.clock
        ),
        "tables are resident whatever their size, banks never conflict, nothing waits for L2 or \
         DRAM, every sample is useful"
            .to_owned(),
        "area and power are linear in processors".to_owned(),
    ]
}

struct Study<'a> {
    table: &'a Table,
    entries: &'a [AcceleratorEntry],
    solved: &'a Reconstruction,
    own: &'a [Own],
}

impl Study<'_> {
    fn paper(&self, app: &str, encoding: &str) -> Result<Inputs, ValidateError> {
        let inputs = self.solved.inputs(app, encoding);
        inputs.ok_or_else(|| defect(format!("nothing is known of {app} with {encoding}")))
    }

    fn own(&self, app: &str, encoding: &str) -> Result<&Own, ValidateError> {
        let found = self.own.iter().find(|o| o.application == app && o.encoding == encoding);
        found.ok_or_else(|| defect(format!("no frame of {app} with {encoding}")))
    }

    fn speedups(&self) -> Result<Vec<NgpcRow>, ValidateError> {
        let mut rows = Vec::new();
        for encoding in &self.table.encoding {
            let name = encoding.name.as_str();
            let columns = self.entries.iter().zip(encoding.averages).zip(&encoding.confidence);
            for ((entry, published), confidence) in columns {
                let (mut paper, mut own) = (0.0, 0.0);
                for app in APPLICATIONS {
                    let inputs = self.paper(app, name)?;
                    paper += emulate(&entry.accelerator, &inputs).speedup / 4.0;
                    own += emulate(&entry.accelerator, &self.own(app, name)?.inputs).speedup / 4.0;
                }
                let units = entry.accelerator.accelerator.units;
                rows.push(
                    row(format!("{name} average"), "mean speedup", published, paper)
                        .trusted(confidence)
                        .own(own)
                        .of(units, name == "hashgrid"),
                );
            }
        }
        let largest = &self.entries[self.entries.len() - 1].accelerator;
        let maximum = &self.table.maximum;
        let most = |inputs: &dyn Fn(&str) -> Result<Inputs, ValidateError>| {
            let mut most = 0.0_f64;
            for app in APPLICATIONS {
                most = most.max(emulate(largest, &inputs(app)?).speedup);
            }
            Ok::<f64, ValidateError>(most)
        };
        let own_most = most(&|app| Ok(self.own(app, "hashgrid")?.inputs))?;
        rows.push(
            row(
                "maximum",
                format!("largest speedup ({})", maximum.application),
                maximum.speedup,
                most(&|app| self.paper(app, "hashgrid"))?,
            )
            .trusted(&maximum.confidence)
            .own(own_most)
            .of(largest.accelerator.units, true),
        );
        for plateau in &self.table.plateau {
            let name = plateau.application.as_str();
            let paper = self.plateau(&self.paper(name, "hashgrid")?);
            let own = self.plateau(&self.own(name, "hashgrid")?.inputs);
            // Beyond the largest configuration: twice as many, at least.
            let beyond = f64::from(2 * UNITS[UNITS.len() - 1]);
            let mut found = row(
                "plateau",
                format!("processors from which {name} gains nothing"),
                f64::from(plateau.units),
                paper.unwrap_or(beyond),
            )
            .trusted("B");
            found.own_inputs = own;
            // Plateaus chose the equations.
            found.used = true;
            rows.push(found);
        }
        Ok(rows)
    }

    /// Fewest processors of the published configurations with which the rest decides, if any.
    fn plateau(&self, inputs: &Inputs) -> Option<f64> {
        let reached = self.entries.iter().find(|entry| {
            let frame = emulate(&entry.accelerator, inputs);
            frame.rest_ns >= AT_CAP * frame.frame_ns
        });
        reached.map(|entry| f64::from(entry.accelerator.accelerator.units))
    }

    fn overheads(&self) -> Vec<NgpcRow> {
        let overhead = &self.table.overhead;
        let mut rows = Vec::new();
        for (index, entry) in self.entries.iter().enumerate() {
            let accelerator = &entry.accelerator;
            let units = accelerator.accelerator.units;
            // Unit area and power come from the figures of the largest configuration.
            let used = index + 1 == self.entries.len();
            let confidence = &overhead.confidence[index];
            for (class, what, published, predicted) in [
                (
                    "area",
                    "area over that of the GPU's die, %",
                    overhead.area_pct[index],
                    area_pct(accelerator, self.table.die_mm2),
                ),
                (
                    "power",
                    "power over the board's limit, %",
                    overhead.power_pct[index],
                    power_pct(accelerator, self.table.board_w),
                ),
            ] {
                let mut found =
                    row(class, what, published, predicted).trusted(confidence).of(units, used);
                // Published figures of confidence D were worked out from the others.
                found.derived = confidence == "D";
                rows.push(found);
            }
        }
        rows
    }

    fn rates(&self) -> Result<Vec<NgpcRow>, ValidateError> {
        let mut rows = Vec::new();
        let largest = &self.entries[self.entries.len() - 1].accelerator;
        let pixels = |size: [u32; 2]| f64::from(size[0]) * f64::from(size[1]);
        for rate in &self.table.rate {
            let name = rate.application.as_str();
            let scale = pixels(rate.pixels) / self.table.pixels();
            let of = |inputs: &Inputs| 1e9 / (emulate(largest, inputs).frame_ns * scale);
            let [width, height] = rate.pixels;
            let mut found = row(
                "frame rate",
                format!("frames a second of {name} at {width} x {height}"),
                rate.frames_per_s,
                of(&self.paper(name, "hashgrid")?),
            )
            .trusted(&rate.confidence)
            .bound(Meaning::AtLeast)
            .own(of(&self.own(name, "hashgrid")?.inputs))
            .of(largest.accelerator.units, false);
            // The largest speedup was used, and so was what this follows from.
            found.derived = name == self.table.maximum.application;
            rows.push(found);
        }
        for gap in &self.table.gap {
            let name = gap.application.as_str();
            let published = self.table.application.iter().find(|a| a.name == name);
            let frame_ms = published.map_or(0.0, |a| a.frame_ms);
            let budget_ms = 1e3 / 60.0 / 4.0;
            let own = self.own(name, "hashgrid")?.inputs.gpu_ns / 1e6 / budget_ms;
            rows.push(
                row(
                    "gap",
                    format!("GPU frame of {name} over that of 4K at 60 a second"),
                    gap.times,
                    frame_ms / budget_ms,
                )
                .trusted(&gap.confidence)
                .own(own)
                .derived(),
            );
        }
        let bandwidth = &self.table.bandwidth;
        let mut least = f64::INFINITY;
        let mut nerf = 0.0;
        for (index, app) in self.solved.applications.iter().enumerate() {
            let choice = application(&app.application, EncodingChoice::Hashgrid)?;
            let bytes = if index == 0 {
                largest.published.sample_bytes.bytes()
            } else {
                f64::from(choice.dims()) * 4.0
            };
            let gib =
                app.samples_per_pixel * bytes * pixels(bandwidth.pixels) * bandwidth.frames_per_s
                    / f64::from(1 << 30);
            least = least.min(gib);
            nerf = if index == 0 { gib } else { nerf };
        }
        let mut first =
            row("bandwidth", "NeRF at 4K and 60 a second, GiB/s", bandwidth.nerf_gib_per_s, nerf);
        first.used = true;
        rows.push(first.trusted(&bandwidth.confidence));
        rows.push(
            row("bandwidth", "least of the four, GiB/s", bandwidth.least_gib_per_s, least)
                .trusted(&bandwidth.confidence),
        );
        Ok(rows)
    }

    /// Times grow with pixels: three sizes, each four times the one before.
    fn frame_rates(&self) -> Result<Vec<FrameRates>, ValidateError> {
        let sizes = |frame_ns: f64| [1.0, 4.0, 16.0].map(|pixels| 1e9 / (frame_ns * pixels));
        let mut rates = Vec::new();
        for application in APPLICATIONS {
            let paper = self.paper(application, "hashgrid")?;
            let own = self.own(application, "hashgrid")?.inputs;
            rates.push(FrameRates {
                application,
                units: 0,
                emulated: sizes(paper.gpu_ns),
                own: sizes(own.gpu_ns),
            });
            for entry in self.entries {
                let of = |inputs| sizes(emulate(&entry.accelerator, inputs).frame_ns);
                rates.push(FrameRates {
                    application,
                    units: entry.accelerator.accelerator.units,
                    emulated: of(&paper),
                    own: of(&own),
                });
            }
        }
        Ok(rates)
    }

    fn kernels(&self) -> Result<Vec<NgpcRow>, ValidateError> {
        let kernels = &self.table.kernels;
        let largest = &self.entries[self.entries.len() - 1].accelerator;
        let (mut encoding, mut mlp) = (0.0, 0.0);
        for app in APPLICATIONS {
            let inputs = self.paper(app, "hashgrid")?;
            let both = inputs.gpu_ns - inputs.rest_ns;
            let all = kernels.encoding_pct + kernels.mlp_pct;
            let per_clock =
                f64::from(largest.accelerator.units) * largest.accelerator.clock.hz() / 1e9;
            encoding += both * kernels.encoding_pct / all / (inputs.samples / per_clock) / 4.0;
            mlp +=
                both * kernels.mlp_pct / all / (inputs.samples * inputs.passes / per_clock) / 4.0;
        }
        let own_rounds = self.own("nerf", "hashgrid")?.rounds as f64;
        let units = largest.accelerator.units;
        Ok(vec![
            row("kernels", "encoding kernels, times faster", kernels.encoding_times, encoding)
                .trusted(&kernels.confidence)
                .of(units, false),
            row("kernels", "network kernels, times faster", kernels.mlp_times, mlp)
                .trusted(&kernels.confidence)
                .of(units, false),
            row("rounds", "launches of each kernel in a frame of NeRF (ours)", 59.0, own_rounds)
                .trusted("C")
                .own(own_rounds)
                .derived(),
        ])
    }

    fn mapping(&self) -> Result<NgpcRow, ValidateError> {
        let accelerator = &self.entries[0].accelerator;
        let mut worst = 0.0_f64;
        for app in APPLICATIONS {
            let networks = application(app, EncodingChoice::Hashgrid)?.networks(1);
            let network = NetworkUse::of(accelerator, &networks).map_err(defect)?;
            let all: Vec<(u32, u32)> = networks.iter().flat_map(layers).collect();
            for samples in [MAPPED_SAMPLES, MAPPED_SAMPLES / 64 + 100] {
                let ours = network.cycles(accelerator, samples as f64, false);
                let mapped = mapping::clocks(&accelerator.mlp, &all, samples, network.group as u64);
                worst = worst.max((ours / mapped as f64 - 1.0).abs() * 100.0);
            }
        }
        Ok(row(
            "mapping",
            "MLP engine off an independent mapping, %",
            self.table.mapping.within_pct,
            worst,
        )
        .trusted(&self.table.mapping.confidence)
        .bound(Meaning::AtMost))
    }
}
