//! The network of an accelerator: layer after layer on a MAC array, in groups of samples that its
//! activation memory holds twice (one group is read while the other is written). Left out: skipping
//! of zero activations, and layers that share a pass.

use lumacycle_arch::Accelerator;
use lumacycle_workloads::ops::FusedMlp;

use super::parts::{pass_cycles, tiles};
use crate::EngineError;

/// Bytes of an activation.
const HALF: f64 = 2.0;

/// What a sample costs in the network.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkUse {
    /// Passes of the array for one sample (or group of samples).
    pub passes: f64,
    /// Inputs and outputs that each pass uses.
    tiles: Vec<(u32, u32)>,
    /// Samples that go through a layer together.
    pub group: f64,
    /// Multiply-accumulates of a sample.
    pub macs: f64,
    /// Bytes between the array and its activation memory, for one sample.
    pub buffer_bytes: f64,
}

impl NetworkUse {
    /// Maps networks onto the array.
    ///
    /// # Errors
    /// When a layer is wider than the array is made for, or weights do not fit their memory.
    pub fn of(accelerator: &Accelerator, networks: &[FusedMlp]) -> Result<Self, EngineError> {
        let array = &accelerator.mlp;
        let (mut all, mut widest, mut weights, mut activations) = (Vec::new(), 1, 0.0, 0.0);
        for network in networks {
            let layers = layers(network);
            for (inputs, outputs) in layers {
                let most = inputs.max(outputs);
                if most > array.widest {
                    return Err(EngineError::Accelerator {
                        path: "mlp.widest",
                        what: format!(
                            "a layer of {inputs} inputs and {outputs} outputs is wider than the MLP engine takes ({})",
                            array.widest
                        ),
                        help: "choose a narrower network, or raise mlp.widest",
                    });
                }
                widest = widest.max(most);
                all.extend(tiles(array, inputs, outputs));
                activations += f64::from(inputs + outputs) * HALF;
            }
            weights += network.macs_per_sample() * f64::from(array.weight_bits) / 8.0;
        }
        if weights > accelerator.weight_sram.capacity.bytes() {
            return Err(EngineError::Accelerator {
                path: "weight_sram.capacity",
                what: format!(
                    "the weights need {weights:.0} bytes, weight_sram holds {}",
                    accelerator.weight_sram.capacity
                ),
                help: "enlarge weight_sram, or choose a smaller network",
            });
        }
        let sample_bytes = 2.0 * f64::from(widest) * HALF;
        let group = libm::floor(accelerator.activation_sram.capacity.bytes() / sample_bytes);
        if group < 1.0 {
            return Err(EngineError::Accelerator {
                path: "activation_sram.capacity",
                what: format!(
                    "one sample needs {sample_bytes} bytes of activations, activation_sram holds {}",
                    accelerator.activation_sram.capacity
                ),
                help: "enlarge activation_sram",
            });
        }
        let macs = networks.iter().map(FusedMlp::macs_per_sample).sum();
        Ok(Self { passes: all.len() as f64, tiles: all, group, macs, buffer_bytes: activations })
    }

    /// Clocks for a run of samples; `ideal` leaves out that groups have to fill and drain.
    pub fn cycles(&self, accelerator: &Accelerator, samples: f64, ideal: bool) -> f64 {
        let array = &accelerator.mlp;
        if ideal {
            return self.passes * samples / f64::from(array.arrays);
        }
        let of = |group: f64| -> f64 {
            let one = |tile: &(u32, u32)| {
                let (activations, weights) =
                    (&accelerator.activation_sram, &accelerator.weight_sram);
                pass_cycles(array, *tile, group, activations, weights)
            };
            self.tiles.iter().map(one).sum()
        };
        let full = libm::floor(samples / self.group);
        let rest = samples - full * self.group;
        full * of(self.group) + if rest > 0.0 { of(rest) } else { 0.0 }
    }

    /// Share of multiply-accumulate units that do something useful while the array runs.
    pub fn utilisation(&self, accelerator: &Accelerator) -> f64 {
        let array = &accelerator.mlp;
        self.macs / (self.passes * f64::from(array.rows) * f64::from(array.columns))
    }
}

/// `(inputs, outputs)` of each layer.
pub fn layers(network: &FusedMlp) -> Vec<(u32, u32)> {
    let mut layers = vec![(network.inputs, network.width)];
    for _ in 1..network.hidden_layers {
        layers.push((network.width, network.width));
    }
    layers.push((network.width, network.outputs));
    layers
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumacycle_arch::Catalog;
    use lumacycle_workloads::apps::Application;

    fn used(app: &str) -> Result<NetworkUse, EngineError> {
        let ngpc = Catalog::embedded().accelerator("ngpc-64").unwrap().accelerator;
        let app = Application::shipped(app).unwrap().unwrap();
        NetworkUse::of(&ngpc, &app.networks(1))
    }

    /// Five layer passes for the radiance field's two networks, three for the others.
    #[test]
    fn passes_of_the_known_networks() {
        assert_eq!(used("nerf").unwrap().passes, 5.0);
        for app in ["nsdf", "nvr", "gia"] {
            assert_eq!(used(app).unwrap().passes, 3.0, "{app}");
        }
        assert_eq!(used("nerf").unwrap().macs, 10_240.0);
    }

    #[test]
    fn long_runs_approach_one_pass_per_clock_and_none_beats_it() {
        let ngpc = Catalog::embedded().accelerator("ngpc-64").unwrap().accelerator;
        let network = used("nerf").unwrap();
        for samples in [1.0, 100.0, 512.0, 5000.0, 1e6] {
            let real = network.cycles(&ngpc, samples, false);
            let ideal = network.cycles(&ngpc, samples, true);
            assert!(real >= ideal, "{samples}");
            assert!(samples < 5000.0 || real < 1.05 * ideal, "{samples} {real} {ideal}");
        }
    }

    #[test]
    fn layers_that_are_too_wide_name_the_value() {
        let ngpc = Catalog::embedded().accelerator("ngpc-64").unwrap().accelerator;
        let mut network = Application::shipped("gia").unwrap().unwrap().networks(1);
        network[0].width = 256;
        let error = NetworkUse::of(&ngpc, &network).unwrap_err();
        assert!(matches!(error, EngineError::Accelerator { path: "mlp.widest", .. }), "{error}");
    }
}
