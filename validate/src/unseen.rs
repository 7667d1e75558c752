//! Times of GPUs whose generation no fit has seen: its calibrated constants are the means of the others'.
//!
//! Four generations have constants that were fitted to rows of their own (P100, V100, A100, and A40 for `GA10x`).
//! Each of these constants is replaced, for all GPUs of such a generation, by the mean of what the three others
//! have; energies by the mean multiple of what is published for their node or memory, since a smaller node
//! takes less. Left out: GPUs of other generations, which stay as they are; constants that all generations
//! share, though rows of one may have settled them (`power.limit_delay`, those of A100 boards); what register
//! files deliver; and achieved bandwidths, which are measured by other programs than the rows compared.

use std::collections::BTreeMap;

use lumacycle_arch::gpu::DramTechnology;
use lumacycle_arch::units::Energy;
use lumacycle_arch::{Catalog, Gpu};

use crate::ValidateError;
use crate::power::published_pj_per_byte;

/// A GPU of each generation with constants of its own.
const SEEN: [&str; 4] = ["p100-pcie-16gb", "v100-pcie-32gb", "a100-sxm4-40gb", "a40"];

/// Published energies of memory by technology, in pJ a byte.
type Memories = BTreeMap<DramTechnology, f64>;

/// A constant: how it is read (as a multiple of what is published), and how it is set.
struct Constant {
    get: fn(&Gpu, &Memories) -> Option<f64>,
    set: fn(&mut Gpu, &Memories, f64),
}

/// A plain number of a section.
macro_rules! plain {
    ($section:ident . $field:ident) => {
        Constant {
            get: |gpu, _| Some(gpu.$section.$field),
            set: |gpu, _, value| gpu.$section.$field = value,
        }
    };
}

fn published(gpu: &Gpu, memories: &Memories) -> Option<f64> {
    memories.get(&gpu.dram.technology).copied()
}

/// Energy of an SM's clock that goes with a multiply-add in each of its lanes.
fn clock_scale(gpu: &Gpu) -> f64 {
    gpu.power.fp32_fma.pj() * gpu.pipes.fp32
}

const CONSTANTS: [Constant; 17] = [
    plain!(sm.overlap_order),
    plain!(sm.pipe_order),
    plain!(pipes.achieved_share),
    Constant {
        get: |gpu, _| (gpu.tensor.fp16 > 0.0).then_some(gpu.tensor.achieved_share),
        set: |gpu, _, value| gpu.tensor.achieved_share = value,
    },
    plain!(tensor.pipe_order),
    plain!(l2.shared_reads),
    plain!(dram.loaded_latency),
    plain!(dram.banks_in_step),
    plain!(power.event_scale),
    plain!(power.idle_sm_share),
    plain!(power.voltage_slope),
    plain!(power.voltage_floor),
    plain!(power.constant_operand_share),
    Constant {
        get: |gpu, _| Some(gpu.power.issue.pj()),
        set: |gpu, _, value| gpu.power.issue = Energy::new(value),
    },
    Constant {
        get: |gpu, _| Some(gpu.power.sm_clock.pj() / clock_scale(gpu)),
        set: |gpu, _, value| gpu.power.sm_clock = Energy::new(value * clock_scale(gpu)),
    },
    Constant {
        get: |gpu, _| {
            let multiple = gpu.power.tensor_fp16_mac.pj() / gpu.power.fp32_fma.pj();
            (gpu.tensor.fp16 > 0.0).then_some(multiple)
        },
        set: |gpu, _, value| {
            gpu.power.tensor_fp16_mac = Energy::new(value * gpu.power.fp32_fma.pj());
        },
    },
    Constant {
        get: |gpu, memories| Some(gpu.dram.energy_per_byte.pj() / published(gpu, memories)?),
        set: |gpu, memories, value| {
            if let Some(published) = published(gpu, memories) {
                gpu.dram.energy_per_byte = Energy::new(value * published);
            }
        },
    },
];

/// What the generations have, and what is published.
pub(crate) struct Unseen {
    seen: Vec<Gpu>,
    memories: Memories,
}

impl Unseen {
    /// Of a catalogue.
    ///
    /// # Errors
    /// When the table of published energies cannot be read.
    pub fn of(catalog: &Catalog) -> Result<Self, ValidateError> {
        let seen = SEEN.iter().filter_map(|id| catalog.get(id).ok()).map(|entry| entry.gpu);
        Ok(Self { seen: seen.collect(), memories: published_pj_per_byte()? })
    }

    /// Takes from a GPU what fits of its own generation found; one of a generation without fits stays.
    pub fn forget(&self, gpu: &mut Gpu) {
        let generation = gpu.gpu.compute_capability;
        let (own, others): (Vec<&Gpu>, Vec<&Gpu>) =
            self.seen.iter().partition(|seen| seen.gpu.compute_capability == generation);
        if own.is_empty() {
            return;
        }
        for constant in &CONSTANTS {
            let values: Vec<f64> =
                others.iter().filter_map(|gpu| (constant.get)(gpu, &self.memories)).collect();
            if !values.is_empty() {
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                (constant.set)(gpu, &self.memories, mean);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_its_own_generation_is_left() {
        let catalog = Catalog::embedded();
        let unseen = Unseen::of(&catalog).unwrap();
        assert_eq!(unseen.seen.len(), SEEN.len());
        let mut one = catalog.get("a100-pcie-40gb").unwrap().gpu;
        // Whatever its own constants were, the outcome is the same.
        let mut other = one.clone();
        for constant in &CONSTANTS {
            let value = (constant.get)(&other, &unseen.memories).unwrap();
            (constant.set)(&mut other, &unseen.memories, value * 1.1);
        }
        assert_ne!(one, other);
        unseen.forget(&mut one);
        unseen.forget(&mut other);
        assert_eq!(one, other);
        let mean = [0.94, 0.94, 0.95].iter().sum::<f64>() / 3.0;
        assert!((one.pipes.achieved_share - mean).abs() < 0.01, "{}", one.pipes.achieved_share);
    }

    #[test]
    fn generations_without_fits_stay() {
        let catalog = Catalog::embedded();
        let plain = catalog.get("h100-sxm").unwrap().gpu;
        let mut gpu = plain.clone();
        Unseen::of(&catalog).unwrap().forget(&mut gpu);
        assert_eq!(gpu, plain);
    }
}
