//! One system of a study: what it is made of, and its metrics.

use lumacycle_arch::{AcceleratorEntry, Catalog, Entry};
use lumacycle_workloads::apps::{Application, EncodingChoice, Rest};
use lumacycle_workloads::scene::Scene;
use miette::Diagnostic as _;
use serde::Serialize;

use super::spec::{Base, StudyError, plain};
use super::tensorf;
use crate::accelerated::AcceleratedFrame;
use crate::frame::FrameResult;

macro_rules! metrics {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Names of the metrics.
        pub const METRICS: &[&str] = &[$(stringify!($name)),+];

        /// The same with what they mean.
        pub const MEANINGS: &[(&str, &str)] = &[$((stringify!($name), concat!($($doc),+))),+];

        /// Metrics of a system; those of the accelerator are missing where there is none.
        #[derive(Debug, Clone, PartialEq, Default, Serialize)]
        pub struct Metrics {
            $($(#[doc = $doc])+ #[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<f64>,)+
        }

        impl Metrics {
            /// A metric by name.
            pub fn get(&self, name: &str) -> Option<f64> {
                match name {
                    $(stringify!($name) => self.$name,)+
                    _ => None,
                }
            }
        }
    };
}

metrics! {
    /// Frame time, in ms.
    frame_ms,
    /// Frames a second.
    frames_per_s,
    /// GPU alone over the frame.
    speedup,
    /// Frame of the GPU alone, in ms.
    gpu_alone_ms,
    /// The paper's arithmetic on the same frame, in ms.
    as_published_ms,
    /// Its speedup.
    as_published_speedup,
    /// Time that the accelerator computes, in ms.
    accelerator_ms,
    /// Time that the GPU computes, in ms.
    gpu_ms,
    /// What contention for L2 and DRAM adds, in ms.
    contention_ms,
    /// What conflicts on banks add to the accelerator's time, in ms.
    bank_ms,
    /// What tables that exceed their memory add to the accelerator's time, in ms.
    table_ms,
    /// Share of lookups that table memories answer, mean of all levels, in percent.
    hit_pct,
    /// Clocks that banks cost a sample, mean of all levels.
    conflict_cycles,
    /// Time that the encoding engines work, as share of the frame, in percent.
    encoding_busy_pct,
    /// Time that the MLP engine works, as share of the frame, in percent.
    mlp_busy_pct,
    /// Bytes at DRAM of the accelerator, in GB.
    accelerator_dram_gb,
    /// Rate between accelerator and L2, in GB/s.
    link_gb_per_s,
    /// Energy of a frame, in mJ.
    energy_mj,
    /// Frames a second and watt (which is frames per joule).
    frames_per_j,
    /// Frames a second per mm² of GPU and accelerator.
    frames_per_s_mm2,
    /// Area of the accelerator from its parts, in mm².
    area_mm2,
    /// Time to load another scene's tables, in ms.
    scene_switch_ms,
    /// Bytes of the tables, in MiB.
    table_mib,
    /// Share of zeros of all planes and lines, in percent (tensorf, as all below).
    sparsity_pct,
    /// Planes and lines as stored, in MB.
    factor_mb,
    /// Planes if all were dense, in MB.
    plane_dense_mb,
    /// Planes if all were bitmaps, in MB.
    plane_bitmap_mb,
    /// Planes if all were coordinates, in MB.
    plane_coordinate_mb,
    /// Lines if all were bitmaps, in kB.
    line_bitmap_kb,
    /// Lines if all were coordinates, in kB.
    line_coordinate_kb,
    /// Bits of coordinates over those of bitmaps, planes.
    coordinates_over_bitmaps,
    /// Share of plane components stored as coordinates, in percent.
    coordinate_share_pct,
    /// Share of zeros in a block of a plane beyond which coordinates take fewer bits, in percent.
    crossover_bits_pct,
    /// Share of zeros in a block up to which trees need more passes than a search unit, in percent.
    crossover_clocks_pct,
    /// Points that get a density, in millions.
    points_m,
    /// Points that get a colour, in millions.
    shaded_m,
    /// Bytes at the memory outside, in MB.
    dram_mb,
    /// Share of the frame that the memory outside works, in percent.
    memory_busy_pct,
    /// Share of the frame that search units and trees work, in percent.
    decode_busy_pct,
    /// Share of the frame that geometry works, in percent.
    geometry_busy_pct,
    /// Time of a GPU's kernels that read planes and lines, in ms.
    lookup_ms,
    /// Mean power, in W.
    power_w,
}

/// What a system is made of.
#[derive(Debug, Clone)]
pub(crate) struct System {
    pub(super) app: String,
    encoding: String,
    pub(super) scene: Option<String>,
    rest: String,
    pub(super) at: f64,
    pub(super) prune: Option<f32>,
    /// Whether a GPU decodes sparsely stored factors.
    pub(super) decodes: bool,
    pub resolution: [u32; 2],
    pub(super) gpu: String,
    pub(super) gpu_changes: Vec<(String, String)>,
    pub(super) accelerator: String,
    pub(super) accelerator_changes: Vec<(String, String)>,
}

pub(super) fn unknown(what: &str, name: &str, known: &str) -> StudyError {
    StudyError::new(format!("there is no {what} called \"{name}\""), format!("known: {known}"))
}

impl System {
    /// A base with the settings of a point.
    pub fn of<'a>(
        base: &'a Base,
        varied: impl Iterator<Item = (&'a String, &'a toml::Value)>,
    ) -> Result<Self, StudyError> {
        let mut system = Self {
            app: base.app.clone(),
            encoding: base.encoding.clone(),
            scene: base.scene.clone(),
            rest: base.rest.clone(),
            at: base.at,
            prune: None,
            decodes: false,
            resolution: base.resolution,
            gpu: base.gpu.clone(),
            gpu_changes: Vec::new(),
            accelerator: base.accelerator.clone(),
            accelerator_changes: Vec::new(),
        };
        // What varies takes the place of what systems start from.
        let varied: Vec<(&String, &toml::Value)> = varied.collect();
        let start = base.set.iter().filter(|(path, _)| varied.iter().all(|(own, _)| own != path));
        for (path, value) in start.chain(varied.iter().copied()) {
            let text = || plain(value);
            match path.as_str() {
                "app" => system.app = text(),
                "encoding" => system.encoding = text(),
                "scene" => system.scene = Some(text()),
                "rest" => system.rest = text(),
                "gpu" => system.gpu = text(),
                "accelerator" => system.accelerator = text(),
                "at" => {
                    let number = value.as_float().or(value.as_integer().map(|n| n as f64));
                    system.at = number.filter(|at| (0.0..1.0).contains(at)).ok_or_else(|| {
                        StudyError::new(
                            format!("at = {value}"),
                            "it is a share of the camera path, in [0, 1)",
                        )
                    })?;
                }
                "storage" => {
                    system.decodes = match text().as_str() {
                        "dense" => false,
                        "hybrid" => true,
                        other => return Err(unknown("storage on a GPU", other, "dense, hybrid")),
                    };
                }
                "prune" => {
                    let share = value.as_float().filter(|share| (0.0..1.0).contains(share));
                    let share = share.ok_or_else(|| {
                        StudyError::new(format!("prune = {value}"), "it is a share in [0, 1)")
                    })?;
                    system.prune = Some(share as f32);
                }
                other => {
                    let change = |rest: &str| (rest.to_owned(), value.to_string());
                    if let Some(rest) = other.strip_prefix("gpu.") {
                        system.gpu_changes.push(change(rest));
                    } else if let Some(rest) = other.strip_prefix("accelerator.") {
                        system.accelerator_changes.push(change(rest));
                    } else {
                        return Err(unknown(
                            "setting",
                            other,
                            "app, encoding, scene, rest, at, prune, storage, gpu, accelerator, gpu.SECTION.KEY, accelerator.SECTION.KEY",
                        ));
                    }
                }
            }
        }
        Ok(system)
    }

    /// Systems with the same key have the same frame on the same GPU, or the same visits to cubes.
    pub fn frame_key(&self, catalog: &Catalog) -> String {
        if self.is_field() {
            return tensorf::frame_key(self, catalog);
        }
        format!("{} {} {:?}", self.work_key(catalog), self.gpu, self.gpu_changes)
    }

    /// Systems with the same key have the same frame, whatever renders it.
    pub fn work_key(&self, catalog: &Catalog) -> String {
        if self.is_field() {
            return tensorf::work_key(self, catalog);
        }
        let Self { app, encoding, scene, rest, at, prune, resolution, .. } = self;
        format!("{app} {encoding} {scene:?} {rest} {at} {prune:?} {resolution:?}")
    }

    /// Whether it renders a decomposed field.
    pub fn is_field(&self) -> bool {
        self.app == tensorf::APP
    }

    /// Whether all that it names exists and holds together, without pricing anything.
    pub fn check(&self, catalog: &Catalog) -> Result<(), StudyError> {
        if self.is_field() {
            return tensorf::check(self, catalog);
        }
        let app = self.application()?;
        self.scene(&app)?;
        self.gpu(catalog)?;
        self.accelerator(catalog).map(|_| ())
    }

    pub(super) fn scene(&self, app: &Application) -> Result<Scene, StudyError> {
        let name = self.scene.as_deref().unwrap_or_else(|| app.usual_scene());
        Scene::shipped(name).ok_or_else(|| unknown("scene", name, &Scene::names().join(", ")))
    }

    pub(super) fn application(&self) -> Result<Application, StudyError> {
        let known = Application::names().join(", ");
        let app = Application::shipped(&self.app)
            .ok_or_else(|| unknown("application", &self.app, &known))?
            .map_err(|error| StudyError::new(error.what, error.help))?;
        let mut app = app.with(match self.encoding.as_str() {
            "hashgrid" => EncodingChoice::Hashgrid,
            "densegrid" => EncodingChoice::Densegrid,
            "densegrid-lowres" => EncodingChoice::DensegridLowres,
            other => {
                return Err(unknown("encoding", other, "hashgrid, densegrid, densegrid-lowres"));
            }
        });
        app.rendering.rest = match self.rest.as_str() {
            "kernels" => Rest::Kernels,
            "fused" => Rest::Fused,
            "renderer" => Rest::Renderer,
            other => return Err(unknown("way to run the rest", other, "kernels, fused, renderer")),
        };
        Ok(app)
    }

    pub(super) fn gpu(&self, catalog: &Catalog) -> Result<Entry, StudyError> {
        if self.gpu_changes.is_empty() {
            return catalog.get(&self.gpu).map_err(described);
        }
        let text = changed(&self.gpu, &self.gpu_changes)?;
        catalog.parse(&self.gpu, "gpu of the study", &text).map_err(described)
    }

    pub(super) fn accelerator(
        &self,
        catalog: &Catalog,
    ) -> Result<Option<AcceleratorEntry>, StudyError> {
        if self.accelerator == "none" {
            return Ok(None);
        }
        if self.accelerator_changes.is_empty() {
            return catalog.accelerator(&self.accelerator).map(Some).map_err(described);
        }
        let text = changed(&self.accelerator, &self.accelerator_changes)?;
        let entry = catalog.parse_accelerator(&self.accelerator, "accelerator of the study", &text);
        entry.map(Some).map_err(described)
    }
}

/// What the catalogue refuses, with its own words on how to mend it.
pub(super) fn described(error: lumacycle_arch::Error) -> StudyError {
    let contradicts = error.is_contradiction();
    let help = error.help().map(|help| help.to_string());
    let told = told(error);
    StudyError { contradicts, help: help.unwrap_or(told.help), ..told }
}

pub(super) fn told(error: impl std::fmt::Display) -> StudyError {
    StudyError::new(
        error.to_string().trim_end(),
        "see `lumacycle catalog show` for what can be set",
    )
}

/// A description on top of a catalogue entry.
pub(super) fn changed(base: &str, changes: &[(String, String)]) -> Result<String, StudyError> {
    let mut text =
        format!("base = \"{base}\"\n[sources]\ndefault = \"estimate: varied by a study\"\n");
    for (path, value) in changes {
        let (section, key) = path.split_once('.').ok_or_else(|| {
            StudyError::new(
                format!("\"{path}\" names no value"),
                "write SECTION.KEY after gpu. or accelerator.",
            )
        })?;
        let header = format!("[{section}]\n");
        let line = format!("{key} = {value}\n");
        match text.find(&header) {
            Some(at) => text.insert_str(at + header.len(), &line),
            None => text.push_str(&(header + &line)),
        }
    }
    Ok(text)
}

pub(super) fn of_gpu(frame: &FrameResult, die_mm2: f64) -> Metrics {
    Metrics {
        frame_ms: Some(frame.frame_ms),
        frames_per_s: Some(frame.frames_per_s),
        speedup: Some(1.0),
        gpu_alone_ms: Some(frame.frame_ms),
        gpu_ms: Some(frame.kernels_ms),
        energy_mj: Some(frame.energy_mj),
        frames_per_j: Some(1e3 / frame.energy_mj),
        frames_per_s_mm2: Some(frame.frames_per_s / die_mm2),
        area_mm2: Some(0.0),
        ..Metrics::default()
    }
}

pub(super) fn of_accelerator(frame: &AcceleratedFrame, die_mm2: f64) -> Metrics {
    use lumacycle_engines::accelerator::Unit;
    let levels = frame.levels.len().max(1) as f64;
    let mean = |of: fn(&crate::accelerated::LevelRow) -> f64| {
        frame.levels.iter().map(of).sum::<f64>() / levels
    };
    let busy =
        |unit: Unit| frame.busy.iter().find(|row| row.unit == unit).map_or(0.0, |row| row.busy_pct);
    let step = |number: usize| {
        let own = |index: usize| frame.causes.get(index).map_or(0.0, |c| c.accelerator_ms);
        own(number) - own(number - 1)
    };
    Metrics {
        frame_ms: Some(frame.frame_ms),
        frames_per_s: Some(frame.frames_per_s),
        speedup: Some(frame.speedup),
        gpu_alone_ms: Some(frame.gpu_alone_ms),
        as_published_ms: Some(frame.as_published_ms),
        as_published_speedup: Some(frame.as_published_speedup),
        accelerator_ms: Some(frame.accelerator_ms),
        gpu_ms: Some(frame.gpu_ms),
        contention_ms: frame.causes.last().map(|cause| cause.adds_ms),
        bank_ms: Some(step(2)),
        table_ms: Some(step(3)),
        hit_pct: Some(mean(|level| level.hit_pct)),
        conflict_cycles: Some(mean(|level| level.conflict_cycles)),
        encoding_busy_pct: Some(busy(Unit::Encoding)),
        mlp_busy_pct: Some(busy(Unit::Mlp)),
        accelerator_dram_gb: Some(
            (frame.traffic.dram_read_bytes + frame.traffic.dram_write_bytes) / 1e9,
        ),
        link_gb_per_s: Some(frame.link_gb_per_s),
        energy_mj: Some(frame.energy_mj),
        frames_per_j: Some(1e3 / frame.energy_mj),
        frames_per_s_mm2: Some(frame.frames_per_s / (die_mm2 + frame.area_mm2)),
        area_mm2: Some(frame.area_mm2),
        scene_switch_ms: Some(frame.scene_switch_ms),
        ..Metrics::default()
    }
}

#[cfg(test)]
mod tests {
    use crate::study::Study;

    const SMALL: &str = r#"
name = "test"
question = "Does a larger memory miss less?"
finding = "Hits rise from {small} to {large} %, a factor of {ratio}."
metrics = ["frame_ms", "hit_pct"]
[system]
app = "nsdf"
accelerator = "ngpc-8"
resolution = [128, 72]
[[axis]]
path = "accelerator.grid_sram.capacity"
values = ["64 KiB", "4 MiB"]
[[axis]]
path = "who"
sets = { plain = { "accelerator.policy.tables" = "stream" }, both = { "accelerator.policy.tables" = "pool", "gpu.l2.capacity" = "12 MiB" } }
[[value]]
name = "small"
metric = "hit_pct"
at = { "accelerator.grid_sram.capacity" = "64 KiB", who = "plain" }
[[value]]
name = "large"
metric = "hit_pct"
at = { "accelerator.grid_sram.capacity" = "4 MiB", who = "plain" }
[[value]]
name = "ratio"
metric = "hit_pct"
take = "max"
at = { "accelerator.grid_sram.capacity" = "4 MiB" }
over = { "accelerator.grid_sram.capacity" = "64 KiB" }
"#;

    #[test]
    fn a_study_runs_its_grid_and_fills_its_sentences_in() {
        let outcome = Study::parse(SMALL).unwrap().run(None).unwrap();
        assert_eq!(outcome.rows.len(), 4);
        let hits = |row: usize| outcome.rows[row].metrics.hit_pct.unwrap();
        assert!(hits(0) < hits(2) && hits(2) > 99.0, "{} {}", hits(0), hits(2));
        assert_eq!(outcome.rows[3].setting("who"), Some("both"));
        assert!(outcome.finding.starts_with("Hits rise from ") && !outcome.finding.contains('{'));
    }

    #[test]
    fn mistakes_say_what_is_wrong() {
        let run = |from: &str, to: &str| {
            let text = SMALL.replace(from, to);
            Study::parse(&text).and_then(|study| study.run(None)).unwrap_err().what
        };
        assert!(run("[\"frame_ms\"", "[\"frame_s\"").contains("no metric \"frame_s\""));
        assert!(run("\"nsdf\"", "\"nsd\"").contains("no application called \"nsd\""));
        assert!(run("grid_sram.capacity\"\nvalues", "grid_sram.size\"\nvalues").contains("size"));
        assert!(run("{ratio}", "{ration}").contains("{ration}"));
        assert!(run("take = \"max\"", "take = \"most\"").contains("most"));
        assert!(run("values = [\"64 KiB\", \"4 MiB\"]", "values = []").contains("neither values"));
        assert!(run("\"4 MiB\"]", "\"4 GHz\"]").contains("GHz is a frequency"));
    }

    /// What design points share changes nothing about them.
    #[test]
    fn shared_lookups_are_those_of_each_point() {
        use super::super::kit::{Kit, Work};
        use super::{Catalog, System};
        let study = Study::parse(SMALL).unwrap();
        let catalog = Catalog::embedded();
        let systems: Vec<System> = ["8", "16"]
            .iter()
            .flat_map(|units| ["16 KiB", "64 KiB"].map(|size| (*units, size)))
            .map(|(units, size)| {
                let settings = [
                    ("accelerator".to_owned(), format!("ngpc-{units}").into()),
                    ("accelerator.grid_sram.capacity".to_owned(), toml::Value::from(size)),
                ];
                System::of(&study.system, settings.iter().map(|(k, v)| (k, v))).unwrap()
            })
            .collect();
        let kit = |system| Kit::of(system, &Work::of(system, &catalog).unwrap(), &catalog).unwrap();
        let shared = kit(&systems[0]);
        for system in systems.iter().chain(&systems) {
            let alone = kit(system).metrics(system, &catalog).unwrap();
            assert_eq!(shared.metrics(system, &catalog).unwrap(), alone);
        }
    }
}
