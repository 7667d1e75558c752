//! What is kept of a kernel's addresses, in bounded memory: how many distinct sectors and lines
//! there are, by a sketch, and the requests of runs of consecutive CTAs.
//!
//! The sketch counts leading zeros of hashes (`HyperLogLog`, Flajolet et al. 2007; 1.2 % standard
//! error). CTAs are kept until the budget is spent; then only those at the start of each quarter
//! of the grid, so that runs stay whole. Left out: the order of requests between warps, which an
//! engine makes up.

use lumacycle_workloads::ops::traced::Sample;

/// Bits of a hash that choose a register of the sketch.
const REGISTER_BITS: u32 = 13;
/// Runs that are kept where a grid is too large.
const RUNS: u64 = 4;
/// Reads, writes, atomics.
pub(super) const DIRECTIONS: usize = 3;
/// Warps of the largest CTA.
const WARPS: usize = 32;

/// A number of distinct values, in 8 KiB.
#[derive(Debug, Clone)]
pub(super) struct Distinct {
    registers: Vec<u8>,
}

impl Distinct {
    pub(super) fn new() -> Self {
        Self { registers: vec![0; 1 << REGISTER_BITS] }
    }

    pub(super) fn add(&mut self, value: u64) {
        // splitmix64, a bijection that mixes well.
        let mut x = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^= x >> 31;
        let register = &mut self.registers[(x >> (64 - REGISTER_BITS)) as usize];
        let zeros = (x << REGISTER_BITS | 1 << (REGISTER_BITS - 1)).leading_zeros() as u8 + 1;
        *register = (*register).max(zeros);
    }

    pub(super) fn count(&self) -> f64 {
        let m = self.registers.len() as f64;
        let (mut empty, mut sum) = (0.0, 0.0);
        for &zeros in &self.registers {
            empty += f64::from(u8::from(zeros == 0));
            sum += 0.5_f64.powi(zeros.into());
        }
        let estimate = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
        if estimate < 2.5 * m && empty > 0.0 { m * (m / empty).ln() } else { estimate }
    }
}

/// Requests of one warp or, put together, of one CTA in one direction.
#[derive(Debug, Default, Clone)]
struct Requests {
    /// Sectors of each request.
    lengths: Vec<u8>,
    sectors: Vec<u64>,
}

#[derive(Debug)]
struct Kept {
    cta: u64,
    /// For each direction: requests of each warp, and all of them.
    warps: [Vec<u32>; DIRECTIONS],
    requests: [Requests; DIRECTIONS],
}

impl Kept {
    fn cost(&self) -> usize {
        let of = |part: &Requests| part.sectors.len() + part.lengths.len() / 8;
        let lists: usize = self.requests.iter().map(of).sum();
        lists + self.warps.iter().map(Vec::len).sum::<usize>() / 2 + 16
    }
}

/// Keeps the addresses of some CTAs.
#[derive(Debug)]
pub(super) struct Sampler {
    /// Words of eight bytes that may be kept.
    budget: usize,
    ctas: u64,
    warps: usize,
    /// CTAs of each run; with one run, all.
    runs: u64,
    run_length: u64,
    kept: Vec<Kept>,
    spent: usize,
    /// The CTA at hand: its number, and requests by direction and warp.
    current: Option<u64>,
    pending: Vec<Requests>,
    pending_words: usize,
}

impl Sampler {
    /// For a grid of `ctas` CTAs of `warps` warps.
    pub(super) fn new(budget: usize, ctas: u64, warps: u64) -> Self {
        let warps = (warps as usize).clamp(1, WARPS);
        Self {
            budget,
            ctas,
            warps,
            runs: 1,
            run_length: ctas,
            kept: Vec::new(),
            spent: 0,
            current: None,
            pending: vec![Requests::default(); DIRECTIONS * warps],
            pending_words: 0,
        }
    }

    fn run_of(&self, cta: u64) -> Option<u64> {
        let start =
            |run: u64| (u128::from(self.ctas) * u128::from(run) / u128::from(self.runs)) as u64;
        (0..self.runs).find(|run| (start(*run)..start(*run) + self.run_length).contains(&cta))
    }

    pub(super) fn begin(&mut self, cta: u64) {
        self.current = self.run_of(cta).map(|_| cta);
        self.pending_words = 0;
        for requests in &mut self.pending {
            requests.lengths.clear();
            requests.sectors.clear();
        }
    }

    /// Takes the sectors of a request of the CTA at hand.
    pub(super) fn request(&mut self, direction: usize, warp: usize, sectors: &[u64]) {
        // The first part of a huge CTA has to stand for all of it.
        if self.current.is_none() || self.pending_words > self.budget / 8 {
            return;
        }
        self.pending_words += sectors.len() + 1;
        if let Some(requests) = self.pending.get_mut(direction * self.warps + warp) {
            requests.lengths.push(sectors.len().min(255) as u8);
            requests.sectors.extend_from_slice(&sectors[..sectors.len().min(255)]);
        }
    }

    pub(super) fn end(&mut self) {
        let Some(cta) = self.current.take() else { return };
        let mut kept =
            Kept { cta, warps: std::array::from_fn(|_| Vec::new()), requests: Default::default() };
        for (number, requests) in self.pending.iter().enumerate() {
            let direction = number / self.warps;
            kept.warps[direction].push(requests.lengths.len() as u32);
            kept.requests[direction].lengths.extend_from_slice(&requests.lengths);
            kept.requests[direction].sectors.extend_from_slice(&requests.sectors);
        }
        self.spent += kept.cost();
        self.kept.push(kept);
        if self.spent > self.budget && (self.runs == 1 || self.run_length > 1) {
            let each = self.spent / self.kept.len();
            let fits = (self.budget / 2 / each.max(1)) as u64;
            let before = if self.runs == 1 { self.ctas } else { self.run_length };
            self.run_length = (fits / RUNS).clamp(1, before);
            self.runs = RUNS.min(self.ctas);
            let mut kept = std::mem::take(&mut self.kept);
            kept.retain(|kept| self.run_of(kept.cta).is_some());
            self.spent = kept.iter().map(Kept::cost).sum();
            self.kept = kept;
        }
    }

    /// The samples of each direction.
    pub(super) fn finish(mut self) -> [Sample; DIRECTIONS] {
        self.kept.sort_by_key(|kept| kept.cta);
        let mut runs = vec![0_u32; self.runs as usize];
        for kept in &self.kept {
            if let Some(run) = self.run_of(kept.cta) {
                runs[run as usize] += 1;
            }
        }
        runs.retain(|ctas| *ctas > 0);
        std::array::from_fn(|direction| {
            let mut sample =
                Sample { warps: self.warps as u32, runs: runs.clone(), ..Sample::default() };
            let (mut requests, mut sectors) = (0_u32, 0_u32);
            for kept in &self.kept {
                for count in &kept.warps[direction] {
                    requests += count;
                    sample.warp_ends.push(requests);
                }
                for length in &kept.requests[direction].lengths {
                    sectors += u32::from(*length);
                    sample.request_ends.push(sectors);
                }
                sample.sectors.extend_from_slice(&kept.requests[direction].sectors);
            }
            // A sample without a single request says nothing.
            if requests == 0 { Sample::default() } else { sample }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_values_are_estimated() {
        for count in [10_u64, 1000, 300_000] {
            let mut distinct = Distinct::new();
            for _ in 0..2 {
                (0..count).for_each(|value| distinct.add(value * 32));
            }
            let error = distinct.count() / count as f64 - 1.0;
            assert!(error.abs() < 0.04, "{count}: {error}");
        }
    }

    fn sampled(budget: usize, ctas: u64) -> Sample {
        let mut sampler = Sampler::new(budget, ctas, 2);
        for cta in 0..ctas {
            sampler.begin(cta);
            for warp in 0..2 {
                sampler.request(0, warp, &[cta * 10, cta * 10 + 1]);
            }
            sampler.end();
            assert!(sampler.spent <= budget, "{}", sampler.spent);
        }
        let [reads, writes, _] = sampler.finish();
        assert!(writes.runs.is_empty());
        reads
    }

    #[test]
    fn small_grids_are_kept_whole() {
        let sample = sampled(10_000, 20);
        assert_eq!((sample.runs.as_slice(), sample.sectors.len()), (&[20][..], 80));
    }

    #[test]
    fn large_grids_are_kept_in_runs_of_the_same_length() {
        let sample = sampled(10_000, 100_000);
        assert_eq!(sample.runs.len(), 4);
        assert!(
            sample.runs.iter().all(|run| *run == sample.runs[0] && *run > 20),
            "{:?}",
            sample.runs
        );
        assert_eq!(sample.sectors[0], 0);
        let second = 4 * sample.runs[0] as usize;
        assert_eq!(sample.sectors[second], 250_000);
    }
}
