//! What a user writes about an application. Sizes that follow from others (inputs of networks,
//! growth of levels) are worked out.

use serde::{Deserialize, Serialize};

use crate::encoding::{Grid, GridKind, Interpolation};
use crate::ops::FusedMlp;

/// Why an application cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct AppError {
    /// Bytes of the text that it is about, where known.
    pub span: Option<std::ops::Range<usize>>,
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub help: String,
}

/// How an application asks its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Radiance field: rays are marched.
    Nerf,
    /// Distance field: rays are sphere traced.
    Sdf,
    /// Volume: light is delta tracked.
    Volume,
    /// Image: one query a pixel.
    Image,
}

/// How everything beside encoding and network runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Rest {
    /// One kernel for each purpose, as instant-ngp launches them.
    #[default]
    Kernels,
    /// One kernel for all of it in each round (marching, directions, compositing, compaction).
    Fused,
    /// The whole renderer in one kernel, encoding and network included.
    Renderer,
}

/// A fully connected network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Neurons of a hidden layer.
    pub width: u32,
    /// Hidden layers.
    pub hidden_layers: u32,
    /// Numbers it yields.
    pub outputs: u32,
    /// Whether all layers run in one kernel.
    #[serde(default = "yes")]
    pub fused: bool,
    /// Rows of a CTA: 16 × iterations.
    #[serde(default = "rows")]
    pub rows_per_cta: u32,
}

/// `(dotted path, what, help)` of a mistake.
type Wrong = (String, String, String);

impl Network {
    /// As for the application; `section` is where it stands in the file.
    fn validate(&self, section: &str) -> Result<(), Wrong> {
        let wrong =
            |path: &str, what: String, help: &str| Err((path.to_owned(), what, help.to_owned()));
        let path = &format!("{section}.width");
        if self.fused && ![16, 32, 64, 128].contains(&self.width) {
            return wrong(
                path,
                format!("a fused network of width {}", self.width),
                "fused networks have width 16, 32, 64 or 128; write fused = false for others",
            );
        }
        if self.width == 0 || self.width > 4096 || self.hidden_layers > 64 {
            return wrong(
                path,
                format!("{} hidden layers of {}", self.hidden_layers, self.width),
                "up to 64 hidden layers of 1 to 4096 neurons are supported",
            );
        }
        if self.hidden_layers == 0 {
            return wrong(
                &format!("{section}.hidden_layers"),
                "a network needs a hidden layer".to_owned(),
                "write hidden_layers = 1 or more",
            );
        }
        if !(1..=4096).contains(&self.outputs) {
            return wrong(
                &format!("{section}.outputs"),
                format!("a network with {} outputs", self.outputs),
                "write 1 to 4096 outputs",
            );
        }
        if !self.rows_per_cta.is_multiple_of(16) || !(16..=512).contains(&self.rows_per_cta) {
            return wrong(
                &format!("{section}.rows_per_cta"),
                format!("rows_per_cta is {}", self.rows_per_cta),
                "it is a multiple of 16 up to 512 (16 × N_ITERS)",
            );
        }
        Ok(())
    }
}

const fn yes() -> bool {
    true
}

const fn rows() -> u32 {
    128
}

/// Tables of an encoding as a user writes them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encoding {
    /// Table rule.
    pub kind: GridKind,
    /// Levels.
    pub levels: u32,
    /// Features of an entry.
    pub features: u32,
    /// Most entries of a level, as a power of two.
    #[serde(default = "entries")]
    pub log2_entries: u32,
    /// Resolution of the first level.
    pub base_resolution: u32,
    /// Resolution of the last level in a unit cube; it grows with the scene's cube.
    #[serde(default)]
    pub finest_resolution: Option<f64>,
    /// Growth from level to level, instead of the finest resolution.
    #[serde(default)]
    pub growth: Option<f64>,
    /// Weights of corners.
    #[serde(default)]
    pub interpolation: Interpolation,
}

const fn entries() -> u32 {
    19
}

/// Marching and rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rendering {
    /// Queries that a round aims at.
    pub target_queries: f64,
    /// Most steps of a ray in a round.
    pub most_steps: u32,
    /// Share of light below which a ray ends.
    pub least_transmittance: f64,
    /// How everything beside encoding and network runs.
    pub rest: Rest,
}

impl Default for Rendering {
    fn default() -> Self {
        Self {
            target_queries: 2_097_152.0,
            most_steps: 8,
            least_transmittance: 0.01,
            rest: Rest::Kernels,
        }
    }
}

/// An application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// Name.
    pub name: String,
    /// How it asks its network.
    pub kind: Kind,
    /// Encoding of positions.
    pub encoding: Encoding,
    /// The network behind it.
    pub network: Network,
    /// The second network of a radiance field: features and direction to colour.
    #[serde(default)]
    pub colour: Option<Network>,
    /// Marching and rounds.
    #[serde(default)]
    pub rendering: Rendering,
}

/// The three encodings of the NGPC study.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodingChoice {
    /// As the application has it.
    Hashgrid,
    /// Eight dense levels of two features from 16 to 173 cells.
    Densegrid,
    /// Two levels of eight features with 128 cells.
    DensegridLowres,
}

const PRESETS: [(&str, &str); 5] = [
    ("nerf", include_str!("presets/nerf.toml")),
    ("nerf-8x4", include_str!("presets/nerf-8x4.toml")),
    ("nsdf", include_str!("presets/nsdf.toml")),
    ("nvr", include_str!("presets/nvr.toml")),
    ("gia", include_str!("presets/gia.toml")),
];

/// Numbers that a direction is turned into (spherical harmonics of degree four).
pub const DIRECTION_FEATURES: u32 = 16;
/// Networks are padded to multiples of this.
const PADDING: u32 = 16;

impl Application {
    /// Names of the applications that ship.
    pub fn names() -> Vec<&'static str> {
        PRESETS.iter().map(|(name, _)| *name).collect()
    }

    /// An application that ships, by name.
    pub fn shipped(name: &str) -> Option<Result<Self, AppError>> {
        PRESETS.iter().find(|(known, _)| *known == name).map(|(_, text)| Self::parse(text))
    }

    /// Text of an application that ships, as a start for one's own.
    pub fn shipped_text(name: &str) -> Option<&'static str> {
        PRESETS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    /// Reads TOML.
    ///
    /// # Errors
    /// With the place, what is wrong, and how to mend it.
    pub fn parse(text: &str) -> Result<Self, AppError> {
        let app: Self = toml::from_str(text).map_err(|error| AppError {
            span: error.span(),
            what: error.message().trim_end().to_owned(),
            help: "start from a shipped one: `lumacycle run nerf --print-app`".to_owned(),
        })?;
        app.validate().map_err(|(path, what, help)| AppError {
            span: place(text, &path),
            what,
            help,
        })?;
        Ok(app)
    }

    /// The first thing that cannot be.
    fn validate(&self) -> Result<(), Wrong> {
        let wrong =
            |path: &str, what: String, help: &str| Err((path.to_owned(), what, help.to_owned()));
        let e = &self.encoding;
        if e.finest_resolution.is_some() == e.growth.is_some() && e.levels > 1 {
            return wrong(
                "encoding",
                if e.growth.is_some() {
                    "both finest_resolution and growth are given".to_owned()
                } else {
                    "neither finest_resolution nor growth is given".to_owned()
                },
                "write one of the two",
            );
        }
        if let Some(finest) = e.finest_resolution
            && !(f64::from(e.base_resolution)..=1e6).contains(&finest)
        {
            return wrong(
                "encoding.finest_resolution",
                format!("finest_resolution is {finest:e}"),
                "it lies between base_resolution and a million cells",
            );
        }
        if let Err(what) = self.grid(1).validate() {
            let path = ["levels", "features", "log2_entries", "base_resolution", "growth"]
                .into_iter()
                .find(|key| what.starts_with(key))
                .map_or("encoding", |key| match key {
                    "levels" => "encoding.levels",
                    "features" => "encoding.features",
                    "log2_entries" => "encoding.log2_entries",
                    "base_resolution" => "encoding.base_resolution",
                    _ => "encoding.growth",
                });
            return wrong(path, what, "choose a value in that range");
        }
        self.network.validate("network")?;
        if let Some(colour) = &self.colour {
            colour.validate("colour")?;
        }
        if (self.kind == Kind::Nerf) != self.colour.is_some() {
            return wrong(
                "colour",
                "a radiance field has a [colour] network, nothing else has".to_owned(),
                "add or remove the section",
            );
        }
        let r = &self.rendering;
        if !(1.0..=1e9).contains(&r.target_queries) || !(1..=1024).contains(&r.most_steps) {
            return wrong(
                "rendering",
                "target_queries or most_steps is out of range".to_owned(),
                "target_queries lies between 1 and 1e9, most_steps between 1 and 1024",
            );
        }
        if !(1e-6..1.0).contains(&r.least_transmittance) {
            return wrong(
                "rendering.least_transmittance",
                format!("least_transmittance is {}", r.least_transmittance),
                "it lies between 0.000001 and 1",
            );
        }
        Ok(())
    }

    /// The same application with another encoding.
    #[must_use]
    pub fn with(mut self, choice: EncodingChoice) -> Self {
        let dense = |kind, levels, features, base_resolution, growth| Encoding {
            kind,
            levels,
            features,
            log2_entries: 19,
            base_resolution,
            finest_resolution: None,
            growth: Some(growth),
            interpolation: Interpolation::Linear,
        };
        match choice {
            EncodingChoice::Hashgrid => return self,
            EncodingChoice::Densegrid => self.encoding = dense(GridKind::Dense, 8, 2, 16, 1.405),
            EncodingChoice::DensegridLowres => {
                self.encoding = dense(GridKind::Tiled, 2, 8, 128, 1.0);
            }
        }
        self
    }

    /// Coordinates of a position.
    pub const fn dims(&self) -> u32 {
        match self.kind {
            Kind::Image => 2,
            _ => 3,
        }
    }

    /// The tables for a scene whose cube is `aabb_scale` unit cubes wide.
    pub fn grid(&self, aabb_scale: u32) -> Grid {
        let e = &self.encoding;
        let growth = match (e.growth, e.finest_resolution) {
            (Some(growth), _) => growth,
            (None, Some(finest)) if e.levels > 1 => {
                let ratio = finest * f64::from(aabb_scale) / f64::from(e.base_resolution.max(1));
                libm::pow(ratio, 1.0 / f64::from(e.levels - 1))
            }
            _ => 1.0,
        };
        Grid {
            dims: self.dims(),
            kind: e.kind,
            levels: e.levels,
            features: e.features,
            log2_entries: e.log2_entries,
            base_resolution: e.base_resolution,
            growth,
            interpolation: e.interpolation,
        }
    }

    /// The shipped scene that suits the application best.
    pub const fn usual_scene(&self) -> &'static str {
        match self.kind {
            Kind::Nerf => "room",
            Kind::Sdf | Kind::Image => "statue",
            Kind::Volume => "cloud",
        }
    }

    /// The networks in the order in which they are asked, for `samples` queries.
    pub fn networks(&self, samples: u64) -> Vec<FusedMlp> {
        let list = self.sized_networks(samples);
        list.into_iter().map(|(mlp, _)| mlp).collect()
    }

    /// The same, with whether each runs in one kernel.
    pub(super) fn sized_networks(&self, samples: u64) -> Vec<(FusedMlp, bool)> {
        let pad = |n: u32| n.div_ceil(PADDING) * PADDING;
        let grid_outputs = self.encoding.levels * self.encoding.features;
        let mlp = |network: &Network, inputs: u32| {
            let mlp = FusedMlp {
                width: network.width,
                hidden_layers: network.hidden_layers,
                inputs: pad(inputs),
                outputs: pad(network.outputs),
                samples,
                rows_per_cta: network.rows_per_cta,
                inputs_by_row: false,
                training: false,
                backward: false,
                recorded: None,
            };
            (mlp, network.fused)
        };
        let mut networks = vec![mlp(&self.network, grid_outputs)];
        if let Some(colour) = &self.colour {
            networks.push(mlp(colour, pad(self.network.outputs) + DIRECTION_FEATURES));
        }
        networks
    }
}

/// Where a dotted path stands in the text.
fn place(text: &str, path: &str) -> Option<std::ops::Range<usize>> {
    let mut parts = path.split('.');
    let section = parts.next()?;
    let header = text.find(&format!("[{section}]"))?;
    let end_of_header = header + section.len() + 2;
    let Some(key) = parts.next() else { return Some(header..end_of_header) };
    let rest = &text[end_of_header..];
    let body = &rest[..rest.find("\n[").unwrap_or(rest.len())];
    let at = body.find(&format!("\n{key}"))? + 1;
    let line = body[at..].find('\n').unwrap_or(body.len() - at);
    Some(end_of_header + at..end_of_header + at + line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ships_is_complete() {
        for name in Application::names() {
            let app = Application::shipped(name).unwrap().unwrap();
            assert_eq!(app.name, name);
            let choices = [
                EncodingChoice::Hashgrid,
                EncodingChoice::Densegrid,
                EncodingChoice::DensegridLowres,
            ];
            for choice in choices {
                let app = app.clone().with(choice);
                assert!(app.grid(4).validate().is_ok(), "{name} {choice:?}");
            }
        }
    }

    /// Multiply-adds per sample, worked out by hand with layers padded to 16.
    #[test]
    fn work_per_sample_of_the_known_networks() {
        let macs = |name: &str| -> f64 {
            let app = Application::shipped(name).unwrap().unwrap();
            app.networks(1).iter().map(FusedMlp::macs_per_sample).sum()
        };
        assert_eq!(macs("nerf"), 10_240.0);
        assert_eq!(macs("nerf-8x4"), 10_240.0);
        for name in ["nsdf", "nvr", "gia"] {
            assert_eq!(macs(name), 7_168.0, "{name}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let text = Application::shipped_text("nerf").unwrap();
        let error = |from: &str, to: &str| {
            let text = text.replacen(from, to, 1);
            let error = Application::parse(&text).unwrap_err();
            let line = error.span.clone().map(|span| text[span].to_owned()).unwrap_or_default();
            (error.what, line)
        };
        let (what, line) = error("levels = 16", "levels = 0");
        assert!(what.starts_with("levels is 0") && line == "levels = 0", "{what} {line}");
        let (what, line) = error("log2_entries = 19", "log2_entries = 32");
        assert!(what.contains("2^32") && line.starts_with("log2_entries"), "{what} {line}");
        let (what, line) = error("width = 64", "width = 48");
        assert!(what.contains("width 48") && line == "width = 48", "{what} {line}");
        let (what, _) = error("features = 2", "featurs = 2");
        assert!(what.contains("featurs"), "{what}");
    }
}
