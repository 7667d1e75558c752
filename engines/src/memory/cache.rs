//! A sectored, set-associative cache with LRU replacement, optionally simulating only a sample
//! of its lines.
//!
//! Which lines are sampled depends on a hash of their number alone, so that caches of several
//! levels sample the same lines and a filtered stream stays consistent; each simulated cache has
//! as many sets less. Left out: write policies (the callers count writes themselves) and
//! miss-status registers (a second access to a sector under way counts as a hit).

/// A cache.
#[derive(Debug, Clone)]
pub struct Cache {
    ways: usize,
    sets: u64,
    /// Number of the last time that everything was thrown away, and of the one that each set knows of.
    cleared: u32,
    known: Vec<u32>,
    /// `sets × ways` of (line, sector mask), most recent last in each set; empty ways are
    /// `NO_LINE` and stand first.
    lines: Vec<(u64, u32)>,
}

/// Tag of an empty way.
const NO_LINE: u64 = u64::MAX;
/// Bits of the hash that choose the sample, below those that choose the set.
const SAMPLE_BITS: u32 = 12;

/// Spreads line numbers over sets as hashed indices do.
pub const fn hash_of(line: u64) -> u64 {
    let mut x = line.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x ^= x >> 29;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^ (x >> 32)
}

/// Whether a line belongs to a sample of one line in `sample` (a power of two, at most 4096).
pub const fn is_sampled(hash: u64, sample: u64) -> bool {
    hash & (sample - 1) == 0
}

impl Cache {
    /// A cache of `capacity_bytes` in lines of `line_bytes`, of which one line in `sample` will
    /// be looked up.
    pub fn new(capacity_bytes: f64, line_bytes: f64, ways: u32, sample: u64) -> Self {
        let lines = (capacity_bytes / line_bytes.max(1.0) / sample.max(1) as f64).max(1.0) as u64;
        // A small remainder still is a cache, with fewer ways.
        let ways = u64::from(ways.max(1)).min(lines);
        let sets = (lines / ways).max(1);
        Self {
            ways: ways as usize,
            sets,
            cleared: 0,
            known: vec![0; sets as usize],
            lines: vec![(NO_LINE, 0); (sets * ways) as usize],
        }
    }

    /// Empties it; each set really when it is used next, since most are not used between two calls.
    pub fn clear(&mut self) {
        if let Some(next) = self.cleared.checked_add(1) {
            self.cleared = next;
        } else {
            self.cleared = 0;
            self.known.fill(0);
            self.lines.fill((NO_LINE, 0));
        }
    }

    /// Looks a sector of a line up and brings it in; true if it was there.
    pub fn access(&mut self, line: u64, hash: u64, sector: u32) -> bool {
        let index = hash >> SAMPLE_BITS;
        let mask = self.sets - 1;
        let set = (if self.sets & mask == 0 { index & mask } else { index % self.sets }) as usize;
        let ways = &mut self.lines[set * self.ways..(set + 1) * self.ways];
        if self.known[set] != self.cleared {
            self.known[set] = self.cleared;
            ways.fill((NO_LINE, 0));
        }
        let wanted = 1_u32 << sector.min(31);
        // The most recent are at the end, where repeated accesses find them first.
        let found = ways.iter().rposition(|(tag, _)| *tag == line);
        let (at, entry, hit) = match found {
            Some(at) => (at, (line, ways[at].1 | wanted), ways[at].1 & wanted != 0),
            None => (0, (line, wanted), false),
        };
        ways.copy_within(at + 1.., at);
        if let Some(last) = ways.last_mut() {
            *last = entry;
        }
        hit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn access(cache: &mut Cache, address: u64, sample: u64) -> Option<bool> {
        let line = address / 128;
        let hash = hash_of(line);
        is_sampled(hash, sample).then(|| cache.access(line, hash, (address % 128 / 32) as u32))
    }

    fn hit_rate(cache: &mut Cache, sample: u64, addresses: impl Iterator<Item = u64>) -> f64 {
        let (mut hits, mut all) = (0.0, 0.0);
        for hit in addresses.filter_map(|address| access(cache, address, sample)) {
            hits += f64::from(u8::from(hit));
            all += 1.0;
        }
        hits / f64::max(all, 1.0)
    }

    fn random(n: u64, span: u64) -> impl Iterator<Item = u64> {
        (0..n).map(move |i| hash_of(i ^ 0x5555) % span)
    }

    #[test]
    fn a_second_pass_hits_what_fits() {
        let mut cache = Cache::new(65536.0, 128.0, 16, 1);
        let pass = || (0..32768_u64).step_by(32);
        assert_eq!(hit_rate(&mut cache, 1, pass()), 0.0);
        assert!(hit_rate(&mut cache, 1, pass()) > 0.98);
    }

    #[test]
    fn an_emptied_cache_is_a_new_one() {
        let mut used = Cache::new(8192.0, 128.0, 4, 1);
        for round in 0..3 {
            let mut fresh = Cache::new(8192.0, 128.0, 4, 1);
            for address in random(500, 16_384) {
                assert_eq!(
                    access(&mut used, address, 1),
                    access(&mut fresh, address, 1),
                    "{round}"
                );
            }
            used.clear();
        }
    }

    #[test]
    fn sectors_of_a_line_miss_one_by_one() {
        let mut cache = Cache::new(4096.0, 128.0, 4, 1);
        assert_eq!(access(&mut cache, 0, 1), Some(false));
        assert_eq!(access(&mut cache, 32, 1), Some(false));
        assert_eq!(access(&mut cache, 40, 1), Some(true));
    }

    #[test]
    fn random_hits_follow_the_resident_share() {
        // Whole lines as sectors of one access each: touch sector 0 only.
        let mut cache = Cache::new(1_048_576.0, 128.0, 16, 1);
        let lines = |n| random(n, 4 << 20).map(|a| a / 128 * 128);
        hit_rate(&mut cache, 1, lines(200_000));
        let rate = hit_rate(&mut cache, 1, lines(400_000).skip(200_000));
        assert!((rate - 0.25).abs() < 0.02, "{rate}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn more_capacity_never_hits_less(shift in 0u32..4, seed in 0u64..1000) {
            // LRU has the inclusion property in each set when sets stay the same: add ways.
            let addresses: Vec<u64> = (0..20_000_u64).map(|i| hash_of(i * 7 + seed) % 300_000).collect();
            let mut last = -1.0;
            for ways in [2_u32, 4, 8] {
                let capacity = 64.0 * 128.0 * f64::from(ways << shift);
                let mut cache = Cache::new(capacity, 128.0, ways << shift, 1);
                let rate = hit_rate(&mut cache, 1, addresses.iter().copied());
                prop_assert!((0.0..=1.0).contains(&rate));
                prop_assert!(rate >= last);
                last = rate;
            }
        }

        #[test]
        fn sampled_lines_agree_with_all(span_kib in 256u64..4096) {
            let span = span_kib * 1024;
            let mut full = Cache::new(524_288.0, 128.0, 16, 1);
            let mut sampled = Cache::new(524_288.0, 128.0, 16, 8);
            let a = hit_rate(&mut full, 1, random(150_000, span));
            let b = hit_rate(&mut sampled, 8, random(150_000, span));
            // 18,750 sampled accesses: three standard errors are below 0.011; lines add some.
            prop_assert!((a - b).abs() < 0.04, "{a} {b}");
        }
    }
}
