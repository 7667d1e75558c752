//! A frame, visit by visit. What a visit looks up depends on no unit's speed, so frames with more of one resource
//! each (`relief`) go through the visits of a single core side by side; on several cores, tiles may fall to others
//! and such frames are run by themselves.

use lumacycle_arch::SparseAccelerator;
use lumacycle_workloads::tensorf::LAYERS;
use lumacycle_workloads::tensorf::cubes::CubeVisit;

use super::patches::{self, Patches, VisitUse};
use super::pipeline::{Pipeline, STAGES};
use super::residency::Residency;
use super::{Events, SparseFrame, SparseRelief, SparseWork, passes, summed};
use crate::EngineError;

/// Bytes of a cube's place in the list that the geometry unit reads.
const CUBE_BYTES: f64 = 3.0;
/// Bytes of a finished pixel.
const PIXEL_BYTES: f64 = 3.0;

/// Frames that go through visits side by side: one as described and those with more of each resource, rounded up to
/// whole vectors.
const LANES: usize = (1 + SparseRelief::ALL.len()).next_multiple_of(4);

/// An accelerator before a frame's work.
pub struct Renderer<'a> {
    accelerator: &'a SparseAccelerator,
    work: SparseWork<'a>,
    patches: Patches<'a>,
    rates: Rates,
    /// Points of all visits.
    points: f64,
    /// Cubes that are looked at in vain for each that is visited: regions that meet a tile are looked at whole.
    idle_looks: f64,
}

/// What units take of a visit in a clock, as described.
struct Rates {
    /// Clocks of a lookup in a search unit, and lookups at once.
    lookup: (f64, f64),
    trees: f64,
    factor_bytes: f64,
    /// Words of a pixel and words in a clock.
    pixel_words: (f64, f64),
    lanes: f64,
    /// Passes of a point and arrays.
    passes: (f64, f64),
}

/// Clocks of a visit by resource, as described.
struct Needed {
    geometry: f64,
    search: f64,
    tree: f64,
    factor_sram: f64,
    interpolation: f64,
    pixel_sram: f64,
    shading: f64,
}

/// How fast things are in each of the frames side by side.
struct Speeds<const N: usize> {
    hz: [f64; N],
    bytes_per_clock: [f64; N],
    /// How much faster than described, by resource.
    faster: [[f64; N]; SparseRelief::ALL.len()],
}

impl<const N: usize> Speeds<N> {
    fn new(accelerator: &SparseAccelerator, reliefs: [Option<SparseRelief>; N]) -> Self {
        let faster =
            SparseRelief::ALL.map(|resource| reliefs.map(|r| SparseRelief::faster(r, resource)));
        let more = |resource: SparseRelief| faster[resource as usize];
        let memory = &accelerator.memory;
        let cores = f64::from(accelerator.accelerator.units);
        let hz = more(SparseRelief::Clock).map(|more| accelerator.accelerator.clock.hz() * more);
        let bytes_per_clock = std::array::from_fn(|lane| {
            // What outstanding requests sustain, what the channel takes, and the core's share of the memory.
            let latency = memory.latency.ns() * hz[lane] / 1e9;
            let sustained = accelerator.dma.outstanding * memory.granule.bytes() / latency;
            let share = memory.bandwidth.bytes_per_s() * memory.efficiency / hz[lane] / cores
                * more(SparseRelief::Dram)[lane];
            let channel =
                sustained.min(accelerator.dma.bytes_per_clock) * more(SparseRelief::Dma)[lane];
            channel.min(share)
        });
        Self { hz, bytes_per_clock, faster }
    }

    /// Clocks of each unit for a visit.
    fn stages(&self, needed: &Needed, fetched: f64, empty: bool) -> [[f64; N]; STAGES] {
        let of =
            |clocks: f64, resource: SparseRelief| shared(clocks, &self.faster[resource as usize]);
        let geometry = of(needed.geometry, SparseRelief::Geometry);
        let fetch = shared(fetched, &self.bytes_per_clock);
        if empty {
            return [geometry, fetch, [0.0; N], [0.0; N], [0.0; N]];
        }
        let mut decode = of(needed.search, SparseRelief::Search);
        raise(&mut decode, &of(needed.tree, SparseRelief::Tree));
        raise(&mut decode, &of(needed.factor_sram, SparseRelief::FactorSram));
        let mut interpolation = of(needed.interpolation, SparseRelief::Interpolation);
        raise(&mut interpolation, &of(needed.pixel_sram, SparseRelief::PixelSram));
        [geometry, fetch, decode, interpolation, of(needed.shading, SparseRelief::Shading)]
    }
}

/// What takes so long at each rate. (`map` of an array is no loop that becomes vectors.)
#[inline]
fn shared<const N: usize>(amount: f64, rates: &[f64; N]) -> [f64; N] {
    let mut clocks = *rates;
    for rate in &mut clocks {
        *rate = amount / *rate;
    }
    clocks
}

/// The longer of two times each.
#[inline]
fn raise<const N: usize>(most: &mut [f64; N], other: &[f64; N]) {
    for (most, other) in most.iter_mut().zip(other) {
        *most = if *other > *most { *other } else { *most };
    }
}

impl Rates {
    fn new(accelerator: &SparseAccelerator, passes: f64) -> Self {
        let (search, factor) = (&accelerator.search, &accelerator.factor_sram);
        let pixels = &accelerator.pixel_sram;
        let pixel_bytes = f64::from(accelerator.policy.pixel_bits) / 8.0;
        Self {
            lookup: (
                patches::clocks_per_lookup(accelerator),
                f64::from(search.units) * search.lookups_per_clock,
            ),
            trees: f64::from(accelerator.tree.trees),
            factor_bytes: f64::from(factor.banks * factor.ports) * factor.word.bytes(),
            pixel_words: (
                libm::ceil(pixel_bytes / pixels.word.bytes()),
                f64::from(pixels.banks * pixels.ports),
            ),
            lanes: f64::from(accelerator.interpolation.lanes),
            passes: (passes, f64::from(accelerator.shading.arrays)),
        }
    }

    fn search_cycles(&self, used: &VisitUse) -> f64 {
        used.lookups * self.lookup.0 / self.lookup.1
    }

    fn tree_cycles(&self, used: &VisitUse) -> f64 {
        (used.searches + used.reductions) / self.trees
    }
}

impl<'a> Renderer<'a> {
    /// Gets ready.
    ///
    /// # Errors
    /// When the network does not fit the MAC array or its memories.
    pub fn new(
        accelerator: &'a SparseAccelerator,
        work: SparseWork<'a>,
    ) -> Result<Self, EngineError> {
        let rates = Rates::new(accelerator, passes(accelerator)?);
        let visits = work.trace.visits.len().max(1) as f64;
        Ok(Self {
            accelerator,
            patches: Patches::new(accelerator, &work),
            rates,
            points: work.trace.visits.iter().map(|v| f64::from(v.points)).sum(),
            idle_looks: (work.trace.looked_at as f64 / visits - 1.0).max(0.0),
            work,
        })
    }

    /// How many frames are worth being asked for together.
    pub const fn at_once(&self) -> usize {
        if self.accelerator.accelerator.units > 1 { 1 } else { LANES }
    }

    /// A frame with a tenth more of a resource, or as described.
    pub fn frame(&self, relief: Option<SparseRelief>) -> SparseFrame {
        let [frame] = self.run([relief]);
        frame
    }

    /// The same for several of them.
    pub fn frames(&self, reliefs: &[Option<SparseRelief>]) -> Vec<SparseFrame> {
        if self.at_once() == 1 || reliefs.len() == 1 {
            return reliefs.iter().map(|relief| self.frame(*relief)).collect();
        }
        let together = |own: &[Option<SparseRelief>]| {
            let lanes = std::array::from_fn(|lane| own.get(lane).copied().flatten());
            self.run::<LANES>(lanes).into_iter().take(own.len())
        };
        reliefs.chunks(LANES).flat_map(together).collect()
    }

    /// Goes through all visits. Several frames take the same tiles on the same cores only where there is one core.
    fn run<const N: usize>(&self, reliefs: [Option<SparseRelief>; N]) -> [SparseFrame; N] {
        let (accelerator, work) = (self.accelerator, &self.work);
        let speeds = Speeds::new(accelerator, reliefs);
        let mut cores: Vec<(Pipeline<N>, Residency)> = (0..accelerator.accelerator.units)
            .map(|_| (Pipeline::new(accelerator), Residency::new(accelerator, work.encoded)))
            .collect();
        let resident = cores.first().is_some_and(|(_, residency)| residency.holds_all());
        let mut events = Events::default();
        // Each tile goes to the core that is free first.
        let (mut tile, mut core, mut used) = (0, 0, VisitUse::nothing());
        for (number, visit) in work.trace.visits.iter().enumerate() {
            while work.trace.tile_ends.get(tile).is_some_and(|end| *end <= number) {
                tile += 1;
                core = free_first(&cores);
            }
            let (pipeline, residency) = &mut cores[core];
            self.patches.of(visit, &mut used);
            let looked = CUBE_BYTES * (1.0 + self.idle_looks);
            let fetched = residency.fetch(&used) + looked;
            let needed = self.needed(visit, &used);
            pipeline.push(speeds.stages(&needed, fetched, visit.points == 0));
            events.add(visit, &used, accelerator);
            events.search_cycles += needed.search;
            events.tree_cycles += needed.tree;
            events.read_bytes += fetched;
            events.tests += 1.0 + self.idle_looks;
        }
        if !accelerator.policy.from_cubes {
            events.tests = work.uniform_steps;
        }
        let written = work.trace.pixels as f64 * PIXEL_BYTES;
        let pipelines: Vec<&Pipeline<N>> = cores.iter().map(|(pipeline, _)| pipeline).collect();
        let count = pipelines.len() as f64;
        std::array::from_fn(|lane| {
            let (hz, rate) = (speeds.hz[lane], speeds.bytes_per_clock[lane]);
            let of_core = |pipeline: &&Pipeline<N>| pipeline.cycles(lane) + written / count / rate;
            let cycles = pipelines.iter().map(of_core).fold(0.0, f64::max)
                + fill(accelerator, hz) * work.trace.tiles as f64 / count;
            let busy = pipelines.iter().map(of_core).sum::<f64>() / count;
            let units = Pipeline::usage(&pipelines, lane, cycles);
            let passes = self.rates.passes.0;
            let frame =
                summed(accelerator, work, &events, (cycles, hz), units, passes, resident, written);
            SparseFrame { balance_pct: 100.0 * busy / cycles.max(f64::MIN_POSITIVE), ..frame }
        })
    }

    /// Clocks of a visit, as described.
    fn needed(&self, visit: &CubeVisit, used: &VisitUse) -> Needed {
        let (geometry, rates) = (&self.accelerator.geometry, &self.rates);
        let own = f64::from(visit.points);
        Needed {
            geometry: if self.accelerator.policy.from_cubes {
                (1.0 + self.idle_looks) / geometry.cubes_per_clock
                    + f64::from(visit.pixels) / geometry.pixels_per_clock
                    + f64::from(visit.tested) / geometry.samples_per_clock
            } else {
                // Every step of every ray asks; what comes of it is here, so its share of them is too.
                self.work.uniform_steps * own / self.points.max(1.0) / geometry.samples_per_clock
            },
            search: rates.search_cycles(used),
            tree: rates.tree_cycles(used),
            factor_sram: used.sram_bytes / rates.factor_bytes,
            interpolation: used.macs / rates.lanes,
            // Read and written once a point.
            pixel_sram: 2.0 * own * rates.pixel_words.0 / rates.pixel_words.1,
            shading: f64::from(visit.shaded) * rates.passes.0 / rates.passes.1,
        }
    }
}

/// The core that is done first, of equal ones the first.
fn free_first<const N: usize>(cores: &[(Pipeline<N>, Residency)]) -> usize {
    let mut first = 0;
    for (number, (pipeline, _)) in cores.iter().enumerate() {
        if pipeline.cycles(0) < cores[first].0.cycles(0) {
            first = number;
        }
    }
    first
}

/// From the first cube of a tile to its first pixel, in clocks.
fn fill(accelerator: &SparseAccelerator, hz: f64) -> f64 {
    let array = &accelerator.shading;
    accelerator.geometry.latency_cycles
        + accelerator.memory.latency.ns() * hz / 1e9
        + accelerator.search.latency_cycles.max(accelerator.tree.latency_cycles)
        + accelerator.interpolation.latency_cycles
        + f64::from(array.rows + array.columns) * LAYERS.len() as f64
}
