//! Bytes at each memory level, in closed form where the access pattern has one.
//!
//! Operand tiles shared along the rows or columns of the CTA raster are fetched from DRAM once
//! per group of CTAs that run at the same time; between such groups they stay in L2 as far as
//! what is touched in between fits. Gathered streams go through the sampled cache model.

use lumacycle_arch::Gpu;
use lumacycle_workloads::kernel::{Addresses, Direction, Pattern, Shared};
use lumacycle_workloads::{Kernel, Raster, Stream};

use crate::cost::Traffic;
use crate::gpu::{GpuEngine, L2Start};
use crate::memory::dram;
use crate::memory::gather::{self, Placement};

/// Share of re-read data that L2 still holds after `distance_bytes` of other data.
pub fn kept_in_l2(gpu: &Gpu, distance_bytes: f64) -> f64 {
    let capacity = gpu.l2.capacity.bytes();
    let (reach, fade) = (gpu.l2.reach * capacity, gpu.l2.fade * capacity);
    ((fade - distance_bytes) / (fade - reach)).clamp(0.0, 1.0)
}

/// Bytes that one thread's atomic changes: a number, or a pair of halves.
const ATOMIC_BYTES: f64 = 4.0;

/// What a kernel moves, and where its read latency comes from.
#[derive(Debug, Clone, Default)]
pub struct Movement {
    /// Totals over the launch.
    pub traffic: Traffic,
    /// Share of reads (by bytes) that L1 answers.
    pub read_l1: f64,
    /// Share of reads that DRAM answers.
    pub read_dram: f64,
    /// Sectors looked up with true addresses: found in L1, and all.
    pub lookups: Option<(f64, f64)>,
    /// The largest standard error of the share of them that DRAM answers.
    pub lookup_error: f64,
    /// What each stage asks of the SM's own cache.
    pub stages: Vec<StageMovement>,
}

/// Demand of one CTA in one iteration of a stage on L1 and what lies below.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StageMovement {
    /// Clocks that L1 needs.
    pub l1_cycles: f64,
    /// Bytes between L1 and L2.
    pub below_l1_bytes: f64,
    /// Bytes that DRAM reads for it.
    pub dram_read_bytes: f64,
    /// Share of its bytes that L1 cannot have, as nobody has touched them before.
    pub miss_share: f64,
}

/// One stream over the whole launch, in bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Levels {
    /// Between SMs and L2.
    l2_bytes: f64,
    /// Of these, what slices need not read again.
    coalesced_bytes: f64,
    /// At DRAM, from a cold start.
    dram_bytes: f64,
    /// Row activations beyond those of streaming.
    activations: f64,
    /// Those of far rows that CTAs walk through in step.
    step_activations: f64,
    /// Clocks of all L1s together, where the addresses are known.
    l1_cycles: Option<f64>,
    /// Share of lookups answered by L1, and their number, for true addresses.
    l1_hits: Option<(f64, f64)>,
    /// Standard error of the share that DRAM answers, where it comes from a sample.
    error: f64,
}

/// Closed forms and samples for all streams of a kernel with `concurrent` CTAs at once.
pub fn movement(
    engine: &GpuEngine<'_>,
    kernel: &Kernel,
    ctas_per_sm: u32,
    concurrent: u64,
) -> Movement {
    let (gpu, l2) = (engine.gpu, engine.options.l2);
    let ctas = kernel_ctas(kernel).max(1) as f64;
    let warm = match l2 {
        L2Start::Warm | L2Start::InSequence => kept_in_l2(gpu, kernel.footprint_bytes()),
        L2Start::Cold => 0.0,
    };
    // Lines that stay dirty in L2 are written back after the kernel has ended.
    let written_back = match l2 {
        L2Start::InSequence => 1.0,
        _ => 1.0 - kept_in_l2(gpu, kernel.footprint_bytes()),
    };
    let mut total = Movement::default();
    let (mut reads, mut read_dram, mut read_l1) = (0.0, 0.0, 0.0);
    for stage in &kernel.stages {
        let mut demand = StageMovement::default();
        let times = (stage.iterations * ctas).max(f64::MIN_POSITIVE);
        let (mut first_reads, mut all_bytes) = (0.0, 0.0);
        for stream in &stage.streams {
            let requested = stream.bytes * stage.iterations * ctas;
            if requested <= 0.0 {
                continue;
            }
            let levels = levels(engine, kernel, stream, requested, ctas_per_sm, concurrent);
            let Levels { l2_bytes, dram_bytes: dram, activations, .. } = levels;
            demand.l1_cycles +=
                levels.l1_cycles.map_or(stream.bytes / gpu.l1.bytes_per_clock, |c| c / times);
            // Of a strided stream the neighbours' share of a sector crosses once.
            let crossing =
                if levels.l1_cycles.is_some() || matches!(stream.pattern, Pattern::Pieces { .. }) {
                    l2_bytes
                } else {
                    l2_bytes.min(requested)
                };
            demand.below_l1_bytes += crossing / times * crowding(gpu, &stream.pattern, concurrent);
            total.traffic.l1_bytes += requested.max(l2_bytes);
            total.traffic.l2_bytes += l2_bytes;
            total.traffic.l2_coalesced_bytes += levels.coalesced_bytes;
            let resident = matches!(stream.pattern, Pattern::L2Resident | Pattern::Crowded { .. });
            let warm = match (&stream.pattern, l2) {
                (Pattern::Gathered(addresses), L2Start::Warm | L2Start::InSequence) => {
                    warm.min(kept_in_l2(gpu, addresses.reuse_bytes() as f64))
                }
                _ => warm,
            };
            match stream.direction {
                Direction::Read => {
                    // Compulsory misses vanish when the data is already there; capacity misses
                    // within the kernel don't.
                    let dram = dram * (1.0 - warm);
                    total.traffic.dram_read_bytes += dram;
                    demand.dram_read_bytes += dram / times;
                    reads += requested;
                    let l1_share = levels
                        .l1_hits
                        .map_or((1.0 - l2_bytes / requested).max(0.0), |(share, _)| share);
                    read_dram += requested * (1.0 - l1_share) * (dram / l2_bytes.max(1.0)).min(1.0);
                    read_l1 += requested * l1_share;
                }
                Direction::Write | Direction::Atomic if resident => {}
                Direction::Write => total.traffic.dram_write_bytes += dram * written_back,
                Direction::Atomic => {
                    total.traffic.dram_read_bytes += dram * (1.0 - warm);
                    total.traffic.dram_write_bytes += dram * written_back;
                }
            }
            if let Some((share, sectors)) = levels.l1_hits {
                let (hits, all) = total.lookups.unwrap_or_default();
                total.lookups = Some((hits + share * sectors, all + sectors));
                total.lookup_error = total.lookup_error.max(levels.error);
            }
            all_bytes += requested;
            if matches!(stream.pattern, Pattern::Streaming) && stream.direction == Direction::Read {
                first_reads += requested;
            }
            if let Pattern::Strided { used_bytes, .. } = stream.pattern
                && stream.direction == Direction::Write
                && used_bytes < gpu.l1.sector.bytes()
            {
                // L2 completes sectors that are written in part.
                total.traffic.dram_read_bytes += dram * written_back;
            }
            if stream.direction == Direction::Atomic
                && matches!(stream.pattern, Pattern::Gathered(_))
            {
                total.traffic.l2_atomics += requested / ATOMIC_BYTES;
            }
            total.traffic.extra_activations += activations * (1.0 - warm);
            total.traffic.step_activations += levels.step_activations * (1.0 - warm);
        }
        demand.miss_share = if all_bytes > 0.0 { first_reads / all_bytes } else { 0.0 };
        total.stages.push(demand);
    }
    if reads > 0.0 {
        total.read_l1 = (read_l1 / reads).clamp(0.0, 1.0);
        total.read_dram = (read_dram / reads).clamp(0.0, 1.0);
    }
    total
}

/// How much longer than its own port an SM waits for lines that all want at once. Lines fall on
/// slices at random, and the fullest slice ends last.
fn crowding(gpu: &Gpu, pattern: &Pattern, concurrent: u64) -> f64 {
    let Pattern::Crowded { lines } = pattern else {
        return 1.0;
    };
    let slices = f64::from(gpu.l2.slices.max(1));
    let busy = (lines / fullest(*lines, slices) / slices).min(1.0);
    // Sets of as many CTAs as the fullest SM has, so that all bytes count once.
    let all = concurrent as f64;
    let sms = all / libm::ceil(all / f64::from(gpu.sm.count)).max(1.0);
    (sms * gpu.l2.sm_bytes_per_clock / (gpu.l2.bytes_per_clock * busy)).max(1.0)
}

/// Expected number in the fullest of so many bins, of balls thrown at random (each bin Poisson).
fn fullest(balls: f64, bins: f64) -> f64 {
    let mean = balls / bins.max(1.0);
    let mut term = libm::exp(-mean);
    let mut fewer = term;
    let mut expected = 0.0;
    let mut count = 1.0;
    loop {
        // Probability that some bin holds at least `count`.
        let some = 1.0 - libm::pow(fewer.min(1.0), bins.max(1.0));
        expected += some;
        if (some < 1e-6 && count > mean) || count > balls {
            return expected.max(mean).max(1.0);
        }
        term *= mean / count;
        fewer += term;
        count += 1.0;
    }
}

/// CTAs that the raster names; persistent launches have fewer CTAs than tiles.
pub fn kernel_ctas(kernel: &Kernel) -> u64 {
    let Raster { rows, columns, batches, .. } = kernel.raster;
    rows.saturating_mul(columns).saturating_mul(batches)
}

/// What one stream moves at each level.
fn levels(
    engine: &GpuEngine<'_>,
    kernel: &Kernel,
    stream: &Stream,
    requested: f64,
    ctas_per_sm: u32,
    concurrent: u64,
) -> Levels {
    let gpu = engine.gpu;
    let plain = |l2_bytes, dram_bytes| Levels { l2_bytes, dram_bytes, ..Levels::default() };
    match &stream.pattern {
        Pattern::Streaming => plain(requested, requested),
        Pattern::Pieces { times } => plain(requested * times.max(1.0), requested),
        Pattern::L2Resident | Pattern::Crowded { .. } => plain(requested, 0.0),
        Pattern::Strided { used_bytes, stride_bytes } => {
            let sector = gpu.l1.sector.bytes();
            let fetched = stride_bytes.min(sector) / used_bytes.clamp(1.0, sector);
            // The rest of each sector is often used by a neighbour soon after, out of L2.
            plain(requested * fetched.max(1.0), requested)
        }
        Pattern::Repeated { distance_bytes } => {
            let l1 = l1_bytes(gpu, kernel, ctas_per_sm);
            if distance_bytes * f64::from(ctas_per_sm) <= l1 {
                return Levels::default();
            }
            let kept = kept_in_l2(gpu, distance_bytes * concurrent as f64);
            plain(requested, requested * (1.0 - kept))
        }
        Pattern::Tiled { footprint_bytes, shared, runs } => {
            let raster = &kernel.raster;
            let problem = raster.rows.saturating_mul(raster.columns).max(1);
            let at_once = concurrent.min(problem).max(1);
            let (rows, columns) = raster.extent(at_once);
            let sharers = match shared {
                Shared::Row => columns,
                Shared::Column => rows,
                Shared::All => concurrent as f64,
            };
            // What reaches DRAM if nothing outlives a group of concurrent CTAs.
            let per_group = requested / sharers.max(1.0);
            let footprint = footprint_bytes.min(requested);
            // Data touched between two uses of a tile by successive groups.
            let groups = (problem as f64 / at_once as f64).max(1.0);
            let distance = kernel.footprint_bytes().min(per_group / groups * 2.0);
            let kept = kept_in_l2(gpu, distance);
            let again = (per_group - footprint).max(0.0);
            let dram_bytes = footprint + again * (1.0 - kept);
            let step_activations = runs.map_or(0.0, |runs| {
                let run_bytes = runs.bytes.max(gpu.dram.burst.bytes());
                let at_once = stream.bytes / runs.bytes * concurrent as f64 / sharers.max(1.0);
                let pieces = dram_bytes / run_bytes;
                pieces * dram::activations_per_run(gpu, runs.pitch_bytes, at_once)
            });
            let together = sharers.min(gpu.l2.shared_reads).max(1.0);
            let coalesced_bytes = requested * (1.0 - 1.0 / together);
            Levels { coalesced_bytes, step_activations, ..plain(requested, dram_bytes) }
        }
        Pattern::Gathered(addresses) => {
            gathered(engine, kernel, stream, addresses.as_ref(), ctas_per_sm)
        }
    }
}

/// A stream of true addresses, through the cache model.
fn gathered(
    engine: &GpuEngine<'_>,
    kernel: &Kernel,
    stream: &Stream,
    addresses: &dyn Addresses,
    ctas_per_sm: u32,
) -> Levels {
    let gpu = engine.gpu;
    let groups = addresses.groups_per_cta(kernel.launch.warps().max(1)).max(1);
    // What the same CTA streams passes through L2 as well.
    let streamed: f64 = kernel.per_cta(|stage| {
        let plain = stage.streams.iter().filter(|s| matches!(s.pattern, Pattern::Streaming));
        plain.map(|s| s.bytes).sum()
    });
    let placement = Placement {
        groups_per_cta: groups,
        ctas_per_sm: u64::from(ctas_per_sm.max(1)),
        l1_bytes: l1_bytes(gpu, kernel, ctas_per_sm),
        streamed_per_group_bytes: streamed / groups as f64,
    };
    let found = match engine.lookups {
        Some(lookups) => lookups.find(gpu, addresses, placement),
        None => gather::run(gpu, addresses, placement),
    };
    // Atomics are performed at L2, and writes pass L1 on their way there.
    let l1_hits = if stream.direction == Direction::Read { found.l1 } else { 0.0 };
    let sector = gpu.l1.sector.bytes();
    let l2_bytes = found.requests * found.sectors_per_request * sector * (1.0 - l1_hits);
    // What a warp writes again soon after finds its sector in L2, as a read would in L1.
    let merged = if stream.direction == Direction::Write { found.l1 } else { 0.0 };
    let dram_bytes = l2_bytes * (1.0 - merged) * (1.0 - found.l2);
    // Lines are looked up a few at a time; what they yield leaves at the port's width.
    let lookups = found.lines_per_request / gpu.l1.lines_per_clock;
    let delivery = addresses.access_bytes() as f64 / gpu.l1.bytes_per_clock;
    let missed_lines = dram_bytes / sector * found.lines_per_miss;
    let rows = addresses.span_bytes() as f64 / gpu.dram.row.bytes();
    Levels {
        l2_bytes,
        dram_bytes,
        activations: missed_lines * dram::activations_per_request(gpu, rows),
        step_activations: 0.0,
        coalesced_bytes: 0.0,
        l1_cycles: Some(found.requests * lookups.max(delivery)),
        l1_hits: Some((l1_hits, found.requests * found.sectors_per_request)),
        error: libm::hypot(
            (1.0 - found.l2) * found.l1_standard_error,
            (1.0 - l1_hits) * found.l2_standard_error,
        ),
    }
}

/// L1 that shared memory leaves.
fn l1_bytes(gpu: &Gpu, kernel: &Kernel, ctas_per_sm: u32) -> f64 {
    let carved = f64::from(kernel.launch.shared_bytes) * f64::from(ctas_per_sm);
    let taken = if gpu.l1.unified_with_shared { carved } else { 0.0 };
    (gpu.l1.capacity.bytes() - taken).max(gpu.l1.line.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use lumacycle_arch::Catalog;
    use lumacycle_workloads::DType;
    use lumacycle_workloads::ops::Gemm;
    use proptest::prelude::*;

    fn gpu() -> Gpu {
        Catalog::embedded().get("a100-pcie-40gb").unwrap().gpu
    }

    #[test]
    fn few_lines_keep_few_slices_busy() {
        // Known means of the maximum of 80 bins, by simulation of 200,000 throws each.
        for (balls, expected) in [(1.0, 1.0), (64.0, 3.6), (800.0, 18.4)] {
            let found = fullest(balls, 80.0);
            assert!((found / expected - 1.0).abs() < 0.05, "{balls}: {found}");
        }
    }

    #[test]
    fn neighbours_that_want_the_same_tiles_are_served_together() {
        let mut gpu = gpu();
        let coalesced = |gpu: &Gpu, m| {
            let engine = GpuEngine::new(gpu);
            let candidates = Gemm::new(m, 4096, 4096, DType::Fp16).lower(&engine.target());
            let moved = movement(&engine, &candidates[0].kernels[0], 1, 108).traffic;
            moved.l2_coalesced_bytes / moved.l2_bytes
        };
        gpu.l2.shared_reads = 1.0;
        assert_eq!(coalesced(&gpu, 4096), 0.0);
        gpu.l2.shared_reads = 2.0;
        let share = coalesced(&gpu, 4096);
        assert!(share > 0.4 && share <= 0.5, "{share}");
        // One row of tiles: only its own operand is shared.
        assert!(coalesced(&gpu, 64) < 0.9 * share);
    }

    proptest! {
        #[test]
        fn bytes_shrink_from_level_to_level(m in 1u64..6000, n in 1u64..6000, k in 1u64..6000) {
            let gpu = gpu();
            let cold = Options { l2: L2Start::Cold, ..Options::default() };
            let engine = GpuEngine::new(&gpu).with(cold);
            let target = engine.target();
            for candidate in Gemm::new(m, n, k, DType::Fp16).lower(&target) {
                for kernel in &candidate.kernels {
                    let moved = movement(&engine, kernel, 1, 108).traffic;
                    prop_assert!(moved.l1_bytes >= moved.l2_bytes * (1.0 - 1e-9));
                    let dram = moved.dram_read_bytes + moved.dram_write_bytes;
                    prop_assert!(moved.l2_bytes >= dram * (1.0 - 1e-9));
                    // Compulsory reads cannot be avoided from a cold start.
                    let reads = kernel.read_footprint_bytes.min(moved.l2_bytes);
                    prop_assert!(moved.dram_read_bytes >= reads * 0.49);
                }
            }
        }
    }
}
