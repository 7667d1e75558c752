//! What lookups in one place find, whatever their number: caches are looked up at sizes a step apart, and what lies
//! between is carried over.
//!
//! A recording has hundreds of launches of the same tables at the same point of a frame that differ in their number of
//! samples only, and the cache model is most of what pricing one takes. Shares found, sectors and lines a request change
//! slowly with that number, so they are interpolated between the two nearest steps; what is asked for in total is of
//! course the launch's own. Steps are the same whatever is asked first, so results depend neither on order nor on
//! threads. Left out: lookups that have no place, which go through the caches as they are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use lumacycle_arch::Gpu;
use lumacycle_workloads::kernel::Addresses;

use super::gather::{self, Gathered, Placement};

/// From one size that is looked up to the next.
const STEP: f64 = 1.06;
/// Steps of streamed bytes that count as the same, in each doubling.
const STREAMED_STEPS: f64 = 64.0;

/// A place, how its launches run, and their samples.
type Key = (String, [u64; 4], u64);

/// What is known of one GPU's lookups.
#[derive(Debug, Default)]
pub struct Lookups {
    known: Mutex<BTreeMap<Key, Arc<Known>>>,
}

#[derive(Debug)]
struct Known {
    found: OnceLock<Gathered>,
    /// Keeps the place alive, whose name would otherwise serve another. Holds no samples of its own.
    _place: Option<Box<dyn Addresses>>,
}

impl Lookups {
    /// What a launch finds on `gpu`, which has to be the same one each time.
    pub fn find(&self, gpu: &Gpu, addresses: &dyn Addresses, placement: Placement) -> Gathered {
        let Some(place) = addresses.place() else {
            return gather::run(gpu, addresses, placement);
        };
        let streamed = placement.streamed_per_group_bytes;
        let octaves = libm::round(libm::log2(streamed.max(1.0)) * STREAMED_STEPS);
        let placement = Placement {
            streamed_per_group_bytes: if streamed > 0.0 {
                libm::exp2(octaves / STREAMED_STEPS)
            } else {
                0.0
            },
            ..placement
        };
        let (below, above) = around(place.samples);
        let at = |samples| self.at(gpu, addresses, placement, (&place.name, samples));
        let low = at(below);
        if above == below {
            return low;
        }
        let way = (place.samples - below) as f64 / (above - below) as f64;
        low.towards(&at(above), way)
    }

    fn at(
        &self,
        gpu: &Gpu,
        addresses: &dyn Addresses,
        placement: Placement,
        (name, samples): (&str, u64),
    ) -> Gathered {
        let runs = [
            placement.groups_per_cta,
            placement.ctas_per_sm,
            placement.l1_bytes.to_bits(),
            placement.streamed_per_group_bytes.to_bits(),
        ];
        let known = {
            let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh =
                || Arc::new(Known { found: OnceLock::new(), _place: addresses.resized(samples) });
            Arc::clone(all.entry((name.to_owned(), runs, samples)).or_insert_with(fresh))
        };
        *known.found.get_or_init(|| match addresses.resized(samples) {
            Some(resized) => gather::run(gpu, resized.as_ref(), placement),
            None => gather::run(gpu, addresses, placement),
        })
    }
}

/// The sizes that are looked up on either side of one.
fn around(samples: u64) -> (u64, u64) {
    // Small numbers are their own steps.
    let size = |step: f64| libm::ceil(libm::pow(STEP, step)) as u64;
    if samples < 2 {
        return (samples, samples);
    }
    let mut step = libm::floor(libm::log(samples as f64) / libm::log(STEP)).max(0.0);
    while size(step) > samples {
        step -= 1.0;
    }
    while size(step + 1.0) <= samples {
        step += 1.0;
    }
    let below = size(step);
    if below == samples { (samples, samples) } else { (below, size(step + 1.0)) }
}

#[cfg(test)]
mod tests {
    use lumacycle_arch::Catalog;
    use lumacycle_workloads::encoding::{Grid, GridKind};
    use lumacycle_workloads::ops::{GridEncoding, Operation};
    use lumacycle_workloads::samples::{Positions, SampleSet, scattered};
    use proptest::prelude::*;

    use super::*;
    use crate::{Engine, GpuEngine};

    fn encoding(positions: &Positions, samples: u64) -> Operation {
        Operation::GridEncoding(GridEncoding {
            grid: Grid {
                dims: 3,
                kind: GridKind::Hash,
                levels: 4,
                features: 2,
                log2_entries: 18,
                base_resolution: 16,
                growth: 2.5,
                interpolation: lumacycle_workloads::encoding::Interpolation::default(),
            },
            samples,
            positions: positions.clone(),
            position_stride_bytes: 28.0,
            backward: false,
            recorded: None,
        })
    }

    #[test]
    fn launches_between_steps_cost_what_they_would_alone_and_in_any_order() {
        let gpu = Catalog::embedded().get("rtx3070").unwrap().gpu;
        let places = (0..1 << 16).map(|i| scattered(i / 8)).collect();
        let positions =
            [Positions::Scattered, Positions::Known(Arc::new(SampleSet::whole(places)))];
        for positions in &positions {
            let sizes = [700_u64, 33_000, 123_457, 1_000_000];
            let work = sizes.map(|samples| encoding(positions, samples));
            let alone = GpuEngine::new(&gpu);
            let (forwards, backwards) = (Lookups::default(), Lookups::default());
            let time = |engine: &GpuEngine<'_>, work| engine.price(work).unwrap().time_ns;
            let there = work.each_ref().map(|work| time(&alone.carrying(&forwards), work));
            let mut back = work.each_ref();
            back.reverse();
            let mut back = back.map(|work| time(&alone.carrying(&backwards), work));
            back.reverse();
            assert_eq!(there, back);
            for (work, carried) in work.iter().zip(there) {
                let exact = time(&alone, work);
                assert!((carried / exact - 1.0).abs() < 0.02, "{carried} {exact}");
            }
            // Another place of the same numbers is another place.
            let elsewhere = Positions::Known(Arc::new(SampleSet::whole(vec![[0.5; 3]; 1 << 16])));
            let other = time(&alone.carrying(&forwards), &encoding(&elsewhere, sizes[2]));
            assert!(other < 0.9 * there[2], "{other} {}", there[2]);
        }
    }

    proptest! {
        #[test]
        fn sizes_lie_between_near_steps(samples in 0_u64..1 << 40) {
            let (below, above) = around(samples);
            prop_assert!(below <= samples && samples <= above);
            prop_assert!(above as f64 <= below as f64 * STEP + 1.0);
        }
    }
}
