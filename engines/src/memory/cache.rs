//! A sectored, set-associative cache with LRU replacement, optionally simulating only a sample
//! of its sets.
//!
//! Set sampling is unbiased as long as the sampled sets see what the others see, which the
//! hashed set index provides. Left out: write policies (the callers count writes themselves)
//! and miss-status registers.

/// A cache.
#[derive(Debug, Clone)]
pub struct Cache {
    line_bytes: u64,
    sector_bytes: u64,
    ways: usize,
    sets: u64,
    /// Only sets whose number is a multiple of this are simulated.
    sample: u64,
    /// Per simulated set: up to `ways` (line, sector mask), most recent last.
    lines: Vec<Vec<(u64, u32)>>,
}

/// What one access found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Sector present.
    Hit,
    /// Sector absent.
    Miss,
    /// The address belongs to a set that is not sampled.
    NotSampled,
}

impl Cache {
    /// A cache of `capacity_bytes`; one set of every `sample` is simulated (1 = all).
    pub fn new(
        capacity_bytes: f64,
        line_bytes: f64,
        sector_bytes: f64,
        ways: u32,
        sample: u64,
    ) -> Self {
        let line_bytes = (line_bytes as u64).max(1);
        let ways = ways.max(1) as usize;
        let sets = (capacity_bytes as u64 / (line_bytes * ways as u64)).max(1);
        let sample = sample.clamp(1, sets);
        let simulated = sets.div_ceil(sample) as usize;
        Self {
            line_bytes,
            sector_bytes: (sector_bytes as u64).clamp(1, line_bytes),
            ways,
            sets,
            sample,
            lines: vec![Vec::new(); simulated],
        }
    }

    /// Looks an address up and brings its sector in.
    pub fn access(&mut self, address: u64) -> Found {
        let line = address / self.line_bytes;
        let set = mix(line) % self.sets;
        if !set.is_multiple_of(self.sample) {
            return Found::NotSampled;
        }
        let sector = 1_u32 << (address % self.line_bytes / self.sector_bytes).min(31);
        let ways = self.ways;
        let set = &mut self.lines[(set / self.sample) as usize];
        if let Some(at) = set.iter().position(|(tag, _)| *tag == line) {
            let (tag, mask) = set.remove(at);
            set.push((tag, mask | sector));
            return if mask & sector != 0 { Found::Hit } else { Found::Miss };
        }
        if set.len() == ways {
            set.remove(0);
        }
        set.push((line, sector));
        Found::Miss
    }
}

/// Spreads line numbers over sets as hashed indices do.
const fn mix(line: u64) -> u64 {
    let mut x = line.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x ^= x >> 29;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^ (x >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hit_rate(cache: &mut Cache, addresses: impl Iterator<Item = u64>) -> f64 {
        let (mut hits, mut all) = (0.0, 0.0);
        for address in addresses {
            match cache.access(address) {
                Found::Hit => (hits, all) = (hits + 1.0, all + 1.0),
                Found::Miss => all += 1.0,
                Found::NotSampled => {}
            }
        }
        hits / f64::max(all, 1.0)
    }

    fn random(n: u64, span: u64) -> impl Iterator<Item = u64> {
        (0..n).map(move |i| mix(i ^ 0x5555) % span)
    }

    #[test]
    fn a_second_pass_hits_what_fits() {
        let mut cache = Cache::new(65536.0, 128.0, 32.0, 16, 1);
        let pass = || (0..32768_u64).step_by(32);
        assert_eq!(hit_rate(&mut cache, pass()), 0.0);
        assert!(hit_rate(&mut cache, pass()) > 0.99);
    }

    #[test]
    fn sectors_of_a_line_miss_one_by_one() {
        let mut cache = Cache::new(4096.0, 128.0, 32.0, 4, 1);
        assert_eq!(cache.access(0), Found::Miss);
        assert_eq!(cache.access(32), Found::Miss);
        assert_eq!(cache.access(40), Found::Hit);
    }

    #[test]
    fn random_hits_follow_the_resident_share() {
        let mut cache = Cache::new(1_048_576.0, 128.0, 128.0, 16, 1);
        hit_rate(&mut cache, random(200_000, 4 << 20));
        let rate = hit_rate(&mut cache, random(400_000, 4 << 20).skip(200_000));
        assert!((rate - 0.25).abs() < 0.02, "{rate}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn more_capacity_never_hits_less(shift in 0u32..4, seed in 0u64..1000) {
            // LRU has the inclusion property in each set when sets stay the same: add ways.
            let addresses: Vec<u64> = (0..20_000_u64).map(|i| mix(i * 7 + seed) % 300_000).collect();
            let mut last = -1.0;
            for ways in [2_u32, 4, 8] {
                let capacity = 64.0 * 128.0 * f64::from(ways << shift);
                let mut cache = Cache::new(capacity, 128.0, 32.0, ways << shift, 1);
                let rate = hit_rate(&mut cache, addresses.iter().copied());
                prop_assert!((0.0..=1.0).contains(&rate));
                prop_assert!(rate >= last);
                last = rate;
            }
        }

        #[test]
        fn sampled_sets_agree_with_all(span_kib in 256u64..4096) {
            let span = span_kib * 1024;
            let mut full = Cache::new(524_288.0, 128.0, 32.0, 16, 1);
            let mut sampled = Cache::new(524_288.0, 128.0, 32.0, 16, 8);
            let a = hit_rate(&mut full, random(150_000, span));
            let b = hit_rate(&mut sampled, random(150_000, span));
            // 18,750 sampled accesses: three standard errors are below 0.011; sets add some.
            prop_assert!((a - b).abs() < 0.03, "{a} {b}");
        }
    }
}
