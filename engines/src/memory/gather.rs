//! Hit rates of streams with true addresses, by running a sample of their requests through the
//! cache model.
//!
//! Requests are taken in launch order and dealt to SMs as CTAs are. A few SMs are simulated
//! with their L1; all requests go through an L2 with sampled sets. Long streams are cut: the
//! first part warms the caches, the second is measured; the standard error is returned.

use lumacycle_arch::Gpu;
use lumacycle_workloads::kernel::Addresses;

use super::cache::{Cache, Found};

/// Requests simulated at most.
const REQUESTS: u64 = 120_000;
/// SMs simulated with an L1.
const SAMPLED_SMS: u64 = 4;

/// What the sample says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HitRates {
    /// Share of sectors found in L1.
    pub l1: f64,
    /// Share of sectors found in L2, of those that asked L2.
    pub l2: f64,
    /// Sectors per request.
    pub sectors_per_request: f64,
    /// Standard error of the L2 share.
    pub standard_error: f64,
}

/// Runs a sample of `addresses` with `requests_per_cta` consecutive requests on one SM.
pub fn hit_rates(
    gpu: &Gpu,
    addresses: &dyn Addresses,
    requests_per_cta: u64,
    l1_bytes: f64,
) -> HitRates {
    let total = addresses.requests();
    let simulated = total.min(REQUESTS);
    // A cut stream is measured after it has warmed the caches.
    let measured_from = if simulated < total { simulated / 2 } else { 0 };
    let sms = u64::from(gpu.sm.count).max(1);
    let sampled_sms = SAMPLED_SMS.min(sms);
    let line = gpu.l1.line.bytes();
    let sector = gpu.l1.sector.bytes();
    let mut l1: Vec<Cache> =
        (0..sampled_sms).map(|_| Cache::new(l1_bytes.max(line), line, sector, 64, 1)).collect();
    let capacity = gpu.l2.capacity.bytes() * gpu.l2.reach.min(1.0);
    let mut l2 = Cache::new(capacity, gpu.l2.line.bytes(), sector, gpu.l2.ways, 4);
    let mut sectors = Vec::with_capacity(64);
    let (mut l1_hits, mut l1_all, mut l2_hits, mut l2_all, mut count) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for index in 0..simulated {
        sectors.clear();
        addresses.request(index, &mut sectors);
        for address in &mut sectors {
            *address /= sector as u64;
        }
        sectors.sort_unstable();
        sectors.dedup();
        let measured = index >= measured_from;
        count += if measured { sectors.len() as f64 } else { 0.0 };
        let sm = index / requests_per_cta.max(1) % sms;
        for &number in &sectors {
            let address = number * sector as u64;
            let mut asks_l2 = true;
            if let Some(cache) = l1.get_mut(sm as usize) {
                let hit = cache.access(address) == Found::Hit;
                asks_l2 = !hit;
                if measured {
                    l1_all += 1.0;
                    l1_hits += f64::from(u8::from(hit));
                }
            }
            if asks_l2 {
                match l2.access(address) {
                    Found::NotSampled => {}
                    found if measured => {
                        l2_all += 1.0;
                        l2_hits += f64::from(u8::from(found == Found::Hit));
                    }
                    _ => {}
                }
            }
        }
    }
    let share = |hits: f64, all: f64| if all > 0.0 { hits / all } else { 0.0 };
    let mut l2_share = share(l2_hits, l2_all);
    if simulated < total {
        // What a longer run would find: the sample has not yet filled the cache when the table
        // is larger than what it touched. In the limit a uniformly used table is resident in
        // proportion to the capacity, whatever has been touched so far.
        let span = addresses.span_bytes() as f64;
        let measured = (simulated - measured_from) as f64;
        let touched = simulated as f64 * share(count, measured) * sector;
        if span > touched {
            let limit = (capacity / span).min(1.0);
            let reach = (total as f64 / simulated as f64 * touched / span).min(1.0);
            l2_share = l2_share.max(limit * reach);
        }
    }
    let measured = (simulated - measured_from) as f64;
    HitRates {
        l1: share(l1_hits, l1_all),
        l2: l2_share,
        sectors_per_request: share(count, measured),
        standard_error: libm::sqrt(l2_share * (1.0 - l2_share) / f64::max(l2_all, 1.0)),
    }
}
