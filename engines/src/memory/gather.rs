//! Streams with true addresses, run through the caches in launch order.
//!
//! CTAs are dealt to SMs as the hardware does, each SM has its L1, and the misses of all of them
//! meet in one L2 in the order in which warps of the resident CTAs take turns. Tables are
//! sampled by lines (one in up to 16), long launches by runs of consecutive CTAs of which the
//! first part warms the caches; both leave a standard error, which is returned. What the kernel
//! streams meanwhile passes through the same L2. Left out: the order of misses within one warp,
//! replacement other than LRU, and sectors fetched ahead.

use lumacycle_arch::Gpu;
use lumacycle_workloads::kernel::{Addresses, Requests, Segment};

use super::cache::{Cache, hash_of, is_sampled};

/// Lane accesses to sampled lines that are simulated for one stream.
const BUDGET: f64 = 300_000.0;
/// Lines of a table that a sample keeps at least.
const LEAST_LINES: u64 = 4096;
/// Lines of which one is sampled, at most.
const MOST_SAMPLE: u64 = 16;
/// Part of a simulated run that only warms the caches.
const WARM_UP: f64 = 0.4;
/// Groups that one SM should see, so that its L1 is warm for most of them.
const GROUPS_PER_SM: u64 = 192;
/// Associativity of L1, of which nothing is published: enough that sets do not matter.
const L1_WAYS: u32 = 16;
/// Bits that remember which sectors a run has touched.
const SEEN_BITS: u64 = 1 << 22;
/// Where the lines of other streams lie: above any table.
const ELSEWHERE: u64 = 1 << 50;

/// How the launch runs.
#[derive(Debug, Clone, Copy)]
pub struct Placement {
    /// Groups of requests that a CTA sends one after another: one of each warp, or several in
    /// turn.
    pub groups_per_cta: u64,
    /// CTAs that an SM holds at once.
    pub ctas_per_sm: u64,
    /// L1 that shared memory leaves, in bytes.
    pub l1_bytes: f64,
    /// Bytes that a warp streams through L2 beside its requests.
    pub streamed_per_group_bytes: f64,
}

/// What the sample says of the whole launch.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Gathered {
    /// Warp-level requests.
    pub requests: f64,
    /// Distinct sectors of a request.
    pub sectors_per_request: f64,
    /// Distinct lines of a request.
    pub lines_per_request: f64,
    /// Share of sectors found in L1.
    pub l1: f64,
    /// Share of sectors found in L2, of those that asked L2.
    pub l2: f64,
    /// Distinct lines that missed L2 over sectors that did.
    pub lines_per_miss: f64,
    /// Standard error of the share found in L1.
    pub l1_standard_error: f64,
    /// Standard error of the share found in L2.
    pub l2_standard_error: f64,
}

impl Gathered {
    /// What lies `way` (0 to 1) of the way to another.
    pub(super) fn towards(&self, other: &Self, way: f64) -> Self {
        let between = |of: fn(&Self) -> f64| of(self) + (of(other) - of(self)) * way;
        Self {
            requests: between(|g| g.requests),
            sectors_per_request: between(|g| g.sectors_per_request),
            lines_per_request: between(|g| g.lines_per_request),
            l1: between(|g| g.l1),
            l2: between(|g| g.l2),
            lines_per_miss: between(|g| g.lines_per_miss),
            l1_standard_error: between(|g| g.l1_standard_error),
            l2_standard_error: between(|g| g.l2_standard_error),
        }
    }
}

/// Sums over sampled lines.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    requests: f64,
    lines: f64,
    sectors: f64,
    l1_hits: f64,
    l2_hits: f64,
    miss_lines: f64,
    /// Misses of sectors that the run had not touched before.
    first_touches: f64,
}

impl Counts {
    fn l2_asked(&self) -> f64 {
        self.sectors - self.l1_hits
    }

    fn add(&mut self, other: &Self, factor: f64) {
        self.requests += other.requests * factor;
        self.lines += other.lines * factor;
        self.sectors += other.sectors * factor;
        self.l1_hits += other.l1_hits * factor;
        self.l2_hits += other.l2_hits * factor;
        self.miss_lines += other.miss_lines * factor;
        self.first_touches += other.first_touches * factor;
    }
}

/// Runs a sample of a stream through the caches of `gpu`.
pub fn run(gpu: &Gpu, addresses: &dyn Addresses, placement: Placement) -> Gathered {
    let mut total = Counts::default();
    let (mut seen, mut requests) = (Counts::default(), 0.0);
    let segments = addresses.segments();
    for segment in &segments {
        requests += segment.stands_for * addresses.requests_per_group();
    }
    // As many parts as the budget allows, evenly spread, each of them whole if possible.
    let mut simulation = Simulation::new(gpu, addresses, placement);
    let known: u64 = segments.iter().map(|segment| segment.groups).sum();
    let stride =
        known.div_ceil(simulation.groups_wanted.max(1)).clamp(1, segments.len().max(1) as u64);
    simulation.groups_wanted =
        simulation.groups_wanted * stride / (segments.len() as u64).max(1) + 1;
    let offset = stride as usize / 2;
    let mut fresh = true;
    for (number, segment) in segments.iter().enumerate().skip(offset).step_by(stride as usize) {
        if segment.groups == 0 {
            continue;
        }
        if fresh {
            fresh = false;
        } else {
            simulation.forget();
        }
        let counts = simulation.segment(number, segment);
        let all = segment.stands_for * addresses.requests_per_group();
        total.add(&counts, all / counts.requests.max(1.0));
        seen.add(&counts, 1.0);
    }
    let share = |part: f64, all: f64| if all > 0.0 { (part / all).clamp(0.0, 1.0) } else { 0.0 };
    let error = |share: f64, n: f64| libm::sqrt(share * (1.0 - share) / n.max(1.0));
    let (l1, l2) = (share(total.l1_hits, total.sectors), share(total.l2_hits, total.l2_asked()));
    let misses = (total.l2_asked() - total.l2_hits).max(0.0);
    Gathered {
        requests,
        sectors_per_request: total.sectors / total.requests.max(1.0),
        lines_per_request: total.lines / total.requests.max(1.0),
        l1,
        l2,
        lines_per_miss: share(total.miss_lines, misses),
        l1_standard_error: error(l1, seen.sectors),
        l2_standard_error: error(l2, seen.l2_asked()),
    }
}

struct Simulation<'a> {
    addresses: &'a dyn Addresses,
    placement: Placement,
    sample: u64,
    line_bytes: u64,
    sector_bytes: u64,
    /// Both as shifts, if both are powers of two.
    shifts: Option<(u32, u32)>,
    sms: u64,
    /// SMs that are simulated: all, unless the table is so small that L2 surely holds it.
    simulated_sms: u64,
    groups_wanted: u64,
    l2_bytes: f64,
    l1: Vec<Cache>,
    l2: Cache,
    streamed_lines: f64,
    next_streamed: u64,
    /// Sectors touched since the caches were emptied, as a filter, and how many lines and sectors.
    seen: Vec<u64>,
    touched: (f64, f64),
    requests: Requests,
    /// Sectors of sampled lines that a request asks for: the line times its bytes, and the sector's number in it.
    found: Vec<u64>,
}

impl<'a> Simulation<'a> {
    fn new(gpu: &Gpu, addresses: &'a dyn Addresses, placement: Placement) -> Self {
        let line_bytes = (gpu.l1.line.bytes() as u64).max(1);
        let span = addresses.span_bytes().max(1);
        let lines = span.div_ceil(line_bytes);
        let sample = (lines / LEAST_LINES).clamp(1, MOST_SAMPLE);
        let sample = 1_u64 << sample.ilog2();
        let lanes_per_group = 32.0 * addresses.requests_per_group();
        let groups_wanted = (BUDGET * sample as f64 / lanes_per_group).max(1.0) as u64;
        let sms = u64::from(gpu.sm.count).max(1);
        // Partitions that keep copies of each other's lines leave less room.
        let held = f64::midpoint(gpu.l2.reach, gpu.l2.fade).min(1.0);
        let capacity = gpu.l2.capacity.bytes() * held;
        let simulated_sms = if (span as f64) < capacity / 4.0 {
            (groups_wanted / GROUPS_PER_SM).clamp(1, sms)
        } else {
            sms
        };
        let cache = |bytes: f64, ways| Cache::new(bytes, line_bytes as f64, ways, sample);
        let sector_bytes = (gpu.l1.sector.bytes() as u64).clamp(1, line_bytes);
        let powers = line_bytes.is_power_of_two() && sector_bytes.is_power_of_two();
        Self {
            addresses,
            placement,
            sample,
            line_bytes,
            sector_bytes,
            shifts: powers.then(|| (line_bytes.trailing_zeros(), sector_bytes.trailing_zeros())),
            sms,
            simulated_sms,
            groups_wanted,
            l2_bytes: capacity,
            l1: vec![cache(placement.l1_bytes, L1_WAYS); simulated_sms as usize],
            l2: cache(capacity, gpu.l2.ways),
            streamed_lines: 0.0,
            next_streamed: ELSEWHERE,
            seen: vec![0; (SEEN_BITS / 64) as usize],
            touched: (0.0, 0.0),
            requests: Requests::default(),
            found: Vec::with_capacity(64),
        }
    }

    /// Empties the caches.
    fn forget(&mut self) {
        self.l1.iter_mut().for_each(Cache::clear);
        self.l2.clear();
        self.seen.fill(0);
        self.touched = (0.0, 0.0);
    }

    /// Marks something as touched; true if it was not before.
    fn is_new(&mut self, hash: u64) -> bool {
        let bit = hash % SEEN_BITS;
        let word = &mut self.seen[(bit / 64) as usize];
        let new = *word >> (bit % 64) & 1 == 0;
        *word |= 1 << (bit % 64);
        new
    }

    /// Share of first touches that a longer history would have found in L2, after a run of
    /// `groups` out of a longer launch: the table's sectors are touched at the rate that the run shows, touched ones stay
    /// for the life of their line, and the run has seen the latest part of that.
    fn found_with_history(&self, groups: f64, launch: f64) -> f64 {
        let sectors = self.addresses.span_bytes() as f64 / self.sector_bytes as f64;
        let lines = self.addresses.span_bytes() as f64 / self.line_bytes as f64;
        let rate =
            |touched: f64, all: f64| -libm::log(1.0 - (touched / all).min(0.999)) / groups.max(1.0);
        let (line_rate, sector_rate) =
            (rate(self.touched.0, lines.max(1.0)), rate(self.touched.1, sectors.max(1.0)));
        let capacity = self.l2_bytes / self.line_bytes as f64;
        let streamed = self.placement.streamed_per_group_bytes / self.line_bytes as f64;
        let filled = |life: f64| lines * (1.0 - libm::exp(-line_rate * life)) + streamed * life;
        let (mut low, mut high) = (0.0, 1e9_f64);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if filled(middle) < capacity { low = middle } else { high = middle }
        }
        // A line stays until nothing of it is touched for as long as L2 takes to fill; its sectors
        // stay with it, so what counts is how long such lives are.
        let life = if line_rate > 0.0 {
            (libm::exp((line_rate * low).min(30.0)) - 1.0) / line_rate
        } else {
            low
        };
        // Nor is there more history than the launch itself: on average half of the rest of it.
        let life = life.min(((launch - groups) / 2.0).max(0.0));
        // On average the measured part of the run has this much behind it.
        let behind = groups * f64::midpoint(WARM_UP, 1.0);
        let touched_before = sector_rate * life / (1.0 + sector_rate * life);
        let resident = 1.0 - libm::exp(-line_rate * low);
        resident * libm::exp(-behind / life.max(f64::MIN_POSITIVE)) * touched_before
    }

    /// Runs a segment, or as much of it as the budget allows, and returns counts that stand for
    /// the whole of it.
    fn segment(&mut self, number: usize, segment: &Segment) -> Counts {
        let per_cta = self.placement.groups_per_cta.max(1);
        let ctas = segment.groups.div_ceil(per_cta);
        let wave = (self.sms * self.placement.ctas_per_sm).max(1);
        // CTAs on simulated SMs until there are groups enough.
        let (mut chosen, mut groups) = (0_u64, 0_u64);
        while chosen < ctas && groups < self.groups_wanted {
            if chosen % self.sms < self.simulated_sms {
                groups += per_cta;
            }
            chosen += 1;
        }
        let whole = chosen == ctas && segment.groups as f64 >= segment.stands_for * 0.999;
        // The last CTA may not be full.
        let groups = groups.min(segment.groups);
        let measured_from = if whole { 0 } else { (groups as f64 * WARM_UP) as u64 };
        let (mut warming, mut measured) = (Counts::default(), Counts::default());
        let mut done = 0;
        let mut first_cta = 0;
        while first_cta < chosen {
            let end = (first_cta + wave).min(chosen);
            for turn in 0..per_cta {
                for cta in first_cta..end {
                    let sm = cta % self.sms;
                    let group = cta * per_cta + turn;
                    if sm >= self.simulated_sms || group >= segment.groups {
                        continue;
                    }
                    let counts = if done < measured_from { &mut warming } else { &mut measured };
                    self.group(number, group, sm as usize, counts);
                    done += 1;
                }
            }
            first_cta = end;
        }
        if !whole {
            let found =
                measured.first_touches * self.found_with_history(done as f64, segment.stands_for);
            measured.l2_hits += found;
            let misses = (measured.l2_asked() - measured.l2_hits + found).max(1.0);
            measured.miss_lines *= 1.0 - found / misses;
        }
        if !whole && warming.l2_asked() > 0.0 && measured.requests > 0.0 {
            // What filled the caches at the start happens once in the whole segment.
            let steady = 1.0 - measured.l2_hits / measured.l2_asked().max(1.0);
            let fill = (warming.l2_asked() * (1.0 - steady) - warming.l2_hits).max(0.0);
            let all = segment.stands_for * self.addresses.requests_per_group();
            let share = (measured.requests / all).min(1.0);
            measured.l2_hits = (measured.l2_hits - fill * share).max(0.0);
            measured.miss_lines += fill * share;
        }
        measured
    }

    /// Line of an address, and what is left of it.
    #[inline]
    fn cut(&self, address: u64) -> (u64, u64) {
        if let Some((line, _)) = self.shifts {
            (address >> line, address & (self.line_bytes - 1))
        } else {
            (address / self.line_bytes, address % self.line_bytes)
        }
    }

    /// Sectors of sampled lines among the addresses of a request; neighbours mostly share theirs.
    fn find(&mut self, lanes: &[u64]) {
        self.found.clear();
        let (mut last, mut sampled) = (u64::MAX, false);
        for &address in lanes {
            let (line, rest) = self.cut(address);
            if line != last {
                (last, sampled) = (line, is_sampled(hash_of(line), self.sample));
            }
            if !sampled {
                continue;
            }
            let sector = match self.shifts {
                Some((_, sector)) => rest >> sector,
                None => rest / self.sector_bytes,
            };
            let found = line * self.line_bytes + sector;
            if self.found.last() != Some(&found) {
                self.found.push(found);
            }
        }
    }

    fn group(&mut self, segment: usize, group: u64, sm: usize, counts: &mut Counts) {
        self.addresses.group(segment, group, &mut self.requests);
        let sample = self.sample as f64;
        let requests = std::mem::take(&mut self.requests);
        for lanes in &requests {
            self.find(lanes);
            counts.requests += 1.0;
            self.found.sort_unstable();
            self.found.dedup();
            let (mut last, mut last_missed) = (u64::MAX, u64::MAX);
            for index in 0..self.found.len() {
                let (line, sector) = self.cut(self.found[index]);
                let sector = sector as u32;
                let hash = hash_of(line);
                counts.sectors += sample;
                if line != last {
                    counts.lines += sample;
                    last = line;
                }
                if self.l1[sm].access(line, hash, sector) {
                    counts.l1_hits += sample;
                    continue;
                }
                if self.l2.access(line, hash, sector) {
                    counts.l2_hits += sample;
                    continue;
                }
                if self.is_new(hash >> 12) {
                    self.touched.0 += sample;
                }
                if self.is_new(hash_of(line * 8 + u64::from(sector) + ELSEWHERE)) {
                    self.touched.1 += sample;
                    counts.first_touches += sample;
                }
                if line != last_missed {
                    counts.miss_lines += sample;
                    last_missed = line;
                }
            }
        }
        self.requests = requests;
        self.stream();
    }

    /// Lets what the kernel streams beside its requests pass through L2.
    fn stream(&mut self) {
        let bytes = self.placement.streamed_per_group_bytes;
        self.streamed_lines += bytes / self.line_bytes as f64 / self.sample as f64;
        while self.streamed_lines >= 1.0 {
            self.streamed_lines -= 1.0;
            self.next_streamed += 1;
            self.l2.access(self.next_streamed, hash_of(self.next_streamed), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumacycle_arch::Catalog;

    /// Each lane reads a word of its own table position, spread evenly over `span` bytes.
    #[derive(Debug)]
    struct Uniform {
        groups: u64,
        span: u64,
    }

    impl Addresses for Uniform {
        fn segments(&self) -> Vec<Segment> {
            vec![Segment { groups: self.groups, stands_for: self.groups as f64 }]
        }

        fn group(&self, _: usize, index: u64, out: &mut Requests) {
            out.resize(1, 32);
            for lane in 0..32 {
                let word = hash_of(index * 32 + lane as u64) % (self.span / 8);
                out.set(0, lane, word * 8);
            }
        }

        fn requests_per_group(&self) -> f64 {
            1.0
        }

        fn span_bytes(&self) -> u64 {
            self.span
        }

        fn access_bytes(&self) -> u64 {
            256
        }
    }

    fn gathered(groups: u64, span: u64) -> Gathered {
        let gpu = Catalog::embedded().get("rtx3070").unwrap().gpu;
        let placement = Placement {
            groups_per_cta: 16,
            ctas_per_sm: 3,
            l1_bytes: 131_072.0,
            streamed_per_group_bytes: 0.0,
        };
        run(&gpu, &Uniform { groups, span }, placement)
    }

    #[test]
    fn tables_are_found_where_they_fit() {
        // 16 KiB in an L1 of 128 KiB; 1 MiB in an L2 of 4 MiB; 64 MiB nowhere.
        let small = gathered(1 << 20, 16 << 10);
        assert!(small.l1 > 0.95, "{small:?}");
        let middle = gathered(1 << 20, 1 << 20);
        assert!(middle.l1 < 0.3 && middle.l2 > 0.9, "{middle:?}");
        let large = gathered(1 << 22, 64 << 20);
        assert!(large.l1 < 0.02 && large.l2 < 0.1, "{large:?}");
        assert!((large.lines_per_request - 32.0).abs() < 1.0, "{large:?}");
    }

    /// A run too short to fill L2 says the same as a long one of the same kind.
    const PLACED: Placement = Placement {
        groups_per_cta: 16,
        ctas_per_sm: 3,
        l1_bytes: 131_072.0,
        streamed_per_group_bytes: 128.0,
    };

    /// A launch of which only the first groups are known.
    #[derive(Debug)]
    struct Known(Uniform, u64);
    impl Addresses for Known {
        fn segments(&self) -> Vec<Segment> {
            vec![Segment { groups: self.1, stands_for: self.0.groups as f64 }]
        }
        fn group(&self, segment: usize, index: u64, out: &mut Requests) {
            self.0.group(segment, index, out);
        }
        fn requests_per_group(&self) -> f64 {
            1.0
        }
        fn span_bytes(&self) -> u64 {
            self.0.span_bytes()
        }
        fn access_bytes(&self) -> u64 {
            self.0.access_bytes()
        }
    }

    /// A window of less than a CTA still says something about its launch.
    #[test]
    fn a_few_groups_are_enough_for_an_answer() {
        let gpu = Catalog::embedded().get("rtx3070").unwrap().gpu;
        let found = run(&gpu, &Known(Uniform { groups: 400, span: 4 << 20 }, 4), PLACED);
        assert!(found.sectors_per_request > 20.0, "{found:?}");
        assert!(found.l2 < 0.5, "{found:?}");
    }

    #[test]
    fn a_short_run_stands_for_a_long_launch() {
        let gpu = Catalog::embedded().get("rtx3070").unwrap().gpu;
        for span in [3 << 20, 5 << 20] {
            let l2 = |known| {
                let table = Uniform { groups: 1 << 20, span };
                run(&gpu, &Known(table, known), PLACED).l2
            };
            let (short, long) = (l2(4096), l2(1 << 18));
            assert!((short - long).abs() < 0.08, "{short} {long}");
        }
    }

    #[test]
    fn a_short_launch_pays_for_every_first_touch() {
        let cold = gathered(64, 4 << 20);
        // 2048 words over 131,072 sectors: hardly any is touched twice.
        assert!(cold.l2 < 0.05, "{cold:?}");
        assert!(cold.l2_standard_error < 0.05);
    }
}
