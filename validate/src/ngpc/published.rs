//! What the NGPC paper publishes, and the inputs of its emulator as far as these follow from it.
//!
//! The emulator was fed with a profile of each application that is not published: the share of its
//! kernels beside encoding and networks, and its samples. Both can be solved for. With one pass of
//! the MAC array per clock, the rest fused, and both overlapped, an application's speedup grows in
//! proportion to the processors up to a cap that its rest sets. Which side of the cap each
//! application is on follows from the published plateaus, and then four averages, the maximum, the
//! mean share, one bandwidth and the image's one sample a pixel make eight linear equations for
//! four rates and four caps. Clock, bytes of a sample and the factor of fusing are taken as given.
//! These figures are then no test of anything. The averages of the other encodings are one, though
//! a weak one: they follow from the shares of the rest alone, and so would from a plain proportion.

use lumacycle_arch::Accelerator;
use lumacycle_engines::accelerator::published::Inputs;
use serde::Deserialize;

/// The published figures.
const TABLE: &str = include_str!("../../tables/ngpc.toml");

/// Applications in the order of the table.
pub const APPLICATIONS: [&str; 4] = ["nerf", "nsdf", "nvr", "gia"];
/// Processors of the published configurations.
pub const UNITS: [u32; 4] = [8, 16, 32, 64];

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Table {
    pub gpu: String,
    pub resolution: [u32; 2],
    pub die_mm2: f64,
    pub board_w: f64,
    pub application: Vec<Application>,
    pub encoding: Vec<Encoding>,
    pub maximum: Maximum,
    pub plateau: Vec<Plateau>,
    pub overhead: Overhead,
    pub bandwidth: Bandwidth,
    pub mapping: Mapping,
    pub rate: Vec<Rate>,
    pub gap: Vec<Gap>,
    pub kernels: Kernels,
    pub contradiction: Vec<Contradiction>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Application {
    pub name: String,
    pub frame_ms: f64,
    pub confidence: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Encoding {
    pub name: String,
    pub both_pct: f64,
    pub averages: [f64; 4],
    pub confidence: [String; 4],
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Maximum {
    pub application: String,
    pub speedup: f64,
    pub confidence: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Plateau {
    pub application: String,
    pub units: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Overhead {
    pub area_pct: [f64; 4],
    pub power_pct: [f64; 4],
    pub confidence: [String; 4],
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Bandwidth {
    pub nerf_gib_per_s: f64,
    pub least_gib_per_s: f64,
    pub pixels: [u32; 2],
    pub frames_per_s: f64,
    pub confidence: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Mapping {
    pub within_pct: f64,
    pub confidence: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Rate {
    pub application: String,
    pub pixels: [u32; 2],
    pub frames_per_s: f64,
    pub confidence: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Gap {
    pub application: String,
    pub times: f64,
    pub confidence: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Kernels {
    pub encoding_times: f64,
    pub mlp_times: f64,
    pub encoding_pct: f64,
    pub mlp_pct: f64,
    pub confidence: String,
}

/// Published figures that do not go together, or do in spite of appearances.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, serde::Serialize)]
pub struct Contradiction {
    /// The figures.
    pub what: String,
    /// What can be met.
    pub verdict: String,
}

impl Table {
    pub(super) fn shipped() -> Result<Self, String> {
        toml::from_str(TABLE).map_err(|error| error.to_string())
    }

    /// The other encodings' averages as those of the hash grid in proportion to the GPU's time: the
    /// simplest prediction there is.
    pub(super) fn proportion(&self, encoding: &Encoding, index: usize) -> f64 {
        let Some(hash) = self.encoding.first() else { return 0.0 };
        hash.averages[index] * (100.0 - hash.both_pct) / (100.0 - encoding.both_pct)
    }

    pub(super) fn pixels(&self) -> f64 {
        f64::from(self.resolution[0]) * f64::from(self.resolution[1])
    }
}

/// An application as the paper's emulator must have been told of it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Reconstructed {
    /// Application.
    pub application: String,
    /// Published frame on the GPU with the hash grid, in ms.
    pub frame_ms: f64,
    /// How far that can be trusted.
    pub confidence: String,
    /// Share of kernels beside encoding and networks, in percent.
    pub rest_pct: f64,
    /// Samples a pixel.
    pub samples_per_pixel: f64,
    /// Layer passes of a sample.
    pub passes: f64,
}

/// The emulator's inputs, reconstructed.
#[derive(Debug, Clone, PartialEq)]
pub struct Reconstruction {
    /// Applications, in the order of [`APPLICATIONS`].
    pub applications: Vec<Reconstructed>,
    /// Encoding and networks of the other encodings over those of the hash grid, as GPU time, by
    /// name.
    scales: Vec<(String, f64)>,
    pixels: f64,
}

impl Reconstruction {
    /// Solves for what the paper does not print. `accelerator` gives clock, array and the bytes of
    /// a sample (any number of processors), `passes` the layer passes of each application.
    ///
    /// # Errors
    /// When the solution is not what the plateaus say, so that the equations are the wrong ones.
    pub fn solve(accelerator: &Accelerator, passes: [f64; 4]) -> Result<Self, String> {
        let table = Table::shipped()?;
        let hash = table.encoding.first().ok_or("no encoding")?;
        let sums = hash.averages.map(|mean| mean * 4.0);
        let clock = accelerator.accelerator.clock.hz() * f64::from(accelerator.mlp.arrays);
        let pixels = table.pixels();
        let frame_ns = |index: usize| table.application[index].frame_ms * 1e6;
        // Speedup per processor for samples a pixel, and back.
        let rate = |index: usize, samples: f64| {
            frame_ns(index) * clock / 1e9 / (samples * pixels * passes[index])
        };
        let bandwidth = &table.bandwidth;
        let wide = f64::from(bandwidth.pixels[0]) * f64::from(bandwidth.pixels[1]);
        let bytes_per_pixel =
            bandwidth.nerf_gib_per_s * f64::from(1 << 30) / (bandwidth.frames_per_s * wide);
        let nerf_samples = bytes_per_pixel / accelerator.published.sample_bytes.bytes();
        let (nerf, image) = (rate(0, nerf_samples), rate(3, 1.0));
        let cap_sdf = table.maximum.speedup;
        // At 32 NeRF and the image still grow; at 16 so does NSDF; at 8 so does NVR; at 64 only
        // the image does.
        let cap_volume = sums[2] - cap_sdf - 32.0 * (nerf + image);
        let sdf = (sums[1] - cap_volume) / 16.0 - nerf - image;
        let volume = sums[0] / 8.0 - nerf - sdf - image;
        let cap_nerf = sums[3] - cap_sdf - cap_volume - 64.0 * image;
        let speedup = accelerator.published.rest_speedup;
        let share = |cap: f64| speedup / cap;
        let all_rest = 4.0 * (1.0 - hash.both_pct / 100.0);
        let rest_image = all_rest - share(cap_nerf) - share(cap_sdf) - share(cap_volume);
        let rates = [nerf, sdf, volume, image];
        let rests = [share(cap_nerf), share(cap_sdf), share(cap_volume), rest_image];
        let applications: Vec<Reconstructed> = table
            .application
            .iter()
            .enumerate()
            .map(|(index, published)| Reconstructed {
                application: published.name.clone(),
                frame_ms: published.frame_ms,
                confidence: published.confidence.clone(),
                rest_pct: rests[index] * 100.0,
                samples_per_pixel: rate(index, 1.0) / rates[index],
                passes: passes[index],
            })
            .collect();
        let sound = rates.iter().all(|rate| *rate > 0.0)
            && rests.iter().all(|rest| (0.0..1.0).contains(rest))
            && (16.0 * sdf..=32.0 * sdf).contains(&cap_sdf)
            && (8.0 * volume..=16.0 * volume).contains(&cap_volume)
            && (32.0 * nerf..=64.0 * nerf).contains(&cap_nerf)
            && 64.0 * image < share(rest_image);
        if !sound {
            return Err(format!("no consistent inputs: {applications:?}"));
        }
        // The rest does not change with the encoding, so its share says how long the others take.
        let scales = table.encoding.iter().map(|encoding| {
            let over_rest = |both: f64| both / (100.0 - both);
            (encoding.name.clone(), over_rest(encoding.both_pct) / over_rest(hash.both_pct))
        });
        Ok(Self { applications, scales: scales.collect(), pixels })
    }

    /// The emulator's inputs for an application with an encoding, at 1920 × 1080 on the published
    /// GPU; `None` for what the paper does not cover.
    pub fn inputs(&self, application: &str, encoding: &str) -> Option<Inputs> {
        let found = self.applications.iter().find(|a| a.application == application)?;
        let (_, scale) = self.scales.iter().find(|(name, _)| name == encoding)?;
        let frame_ns = found.frame_ms * 1e6;
        let rest_ns = frame_ns * found.rest_pct / 100.0;
        Some(Inputs {
            gpu_ns: rest_ns + (frame_ns - rest_ns) * scale,
            rest_ns,
            rest_is_fused: false,
            samples: found.samples_per_pixel * self.pixels,
            passes: found.passes,
        })
    }
}

/// Slowest and fastest clock, in GHz, with which the published figures go together at all; `None`
/// if that of the description does not.
pub fn clocks(accelerator: &Accelerator, passes: [f64; 4]) -> Option<(f64, f64)> {
    let fits = |percent: &u32| {
        let mut other = accelerator.clone();
        let clock = accelerator.accelerator.clock.hz() * f64::from(*percent) / 100.0;
        other.accelerator.clock = lumacycle_arch::units::Frequency::new(clock);
        Reconstruction::solve(&other, passes).is_ok()
    };
    let ghz = |percent: u32| accelerator.accelerator.clock.hz() * f64::from(percent) / 1e11;
    let slowest = (10..=100).find(fits)?;
    let fastest = (100..=400).rev().find(fits)?;
    Some((ghz(slowest), ghz(fastest)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumacycle_arch::Catalog;
    use lumacycle_engines::accelerator::published::emulate;

    fn ngpc(units: u32) -> Accelerator {
        Catalog::embedded().accelerator(&format!("ngpc-{units}")).unwrap().accelerator
    }

    fn mean(solved: &Reconstruction, encoding: &str, units: u32) -> f64 {
        let speedup =
            |app: &&str| emulate(&ngpc(units), &solved.inputs(app, encoding).unwrap()).speedup;
        APPLICATIONS.iter().map(speedup).sum::<f64>() / 4.0
    }

    /// The equations' own figures come out again, and those of the other encodings, which are in
    /// no equation, within five per cent.
    #[test]
    fn what_was_not_used_comes_out_too() {
        let solved = Reconstruction::solve(&ngpc(8), [5.0, 3.0, 3.0, 3.0]).unwrap();
        let table = Table::shipped().unwrap();
        for encoding in &table.encoding {
            for (units, published) in UNITS.into_iter().zip(encoding.averages) {
                let error = mean(&solved, &encoding.name, units) / published - 1.0;
                let bound = if encoding.name == "hashgrid" { 1e-9 } else { 0.055 };
                assert!(error.abs() < bound, "{} {units}: {error}", encoding.name);
            }
        }
    }

    #[test]
    fn other_clocks_do_not_fit() {
        let (slowest, fastest) = clocks(&ngpc(8), [5.0, 3.0, 3.0, 3.0]).unwrap();
        assert!(
            (0.95..=1.0).contains(&slowest) && (1.1..1.4).contains(&fastest),
            "{slowest} {fastest}"
        );
    }
}
