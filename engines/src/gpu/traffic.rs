//! Bytes at each memory level, in closed form where the access pattern has one.
//!
//! Operand tiles shared along the rows or columns of the CTA raster are fetched from DRAM once
//! per group of CTAs that run at the same time; between such groups they stay in L2 as far as
//! what is touched in between fits. Gathered streams go through the sampled cache model.

use lumacycle_arch::Gpu;
use lumacycle_workloads::kernel::{Direction, Pattern, Shared};
use lumacycle_workloads::{Kernel, Raster, Stream};

use crate::cost::Traffic;
use crate::gpu::L2Start;
use crate::memory::gather;

/// Share of re-read data that L2 still holds after `distance_bytes` of other data.
pub fn kept_in_l2(gpu: &Gpu, distance_bytes: f64) -> f64 {
    let capacity = gpu.l2.capacity.bytes();
    let (reach, fade) = (gpu.l2.reach * capacity, gpu.l2.fade * capacity);
    ((fade - distance_bytes) / (fade - reach)).clamp(0.0, 1.0)
}

/// What a kernel moves, and where its read latency comes from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Movement {
    /// Totals over the launch.
    pub traffic: Traffic,
    /// Share of reads (by bytes) that L1 answers.
    pub read_l1: f64,
    /// Share of reads that DRAM answers.
    pub read_dram: f64,
}

/// Closed forms and samples for all streams of a kernel with `concurrent` CTAs at once.
pub fn movement(
    gpu: &Gpu,
    kernel: &Kernel,
    ctas_per_sm: u32,
    concurrent: u64,
    l2: L2Start,
) -> Movement {
    let ctas = kernel_ctas(kernel).max(1) as f64;
    let warm = match l2 {
        L2Start::Warm => kept_in_l2(gpu, kernel.footprint_bytes()),
        L2Start::Cold => 0.0,
    };
    // Lines that stay dirty in L2 are written back after the kernel has ended.
    let written_back = 1.0 - kept_in_l2(gpu, kernel.footprint_bytes());
    let mut total = Movement::default();
    let (mut reads, mut read_dram, mut read_l1) = (0.0, 0.0, 0.0);
    for stage in &kernel.stages {
        for stream in &stage.streams {
            let requested = stream.bytes * stage.iterations * ctas;
            if requested <= 0.0 {
                continue;
            }
            let (l2_bytes, dram, activations) =
                levels(gpu, kernel, stream, requested, ctas_per_sm, concurrent);
            total.traffic.l1_bytes += requested.max(l2_bytes);
            total.traffic.l2_bytes += l2_bytes;
            let resident = matches!(stream.pattern, Pattern::L2Resident);
            match stream.direction {
                Direction::Read => {
                    // Compulsory misses vanish when the data is already there; capacity misses
                    // within the kernel don't.
                    let dram = dram * (1.0 - warm);
                    total.traffic.dram_read_bytes += dram;
                    reads += requested;
                    read_dram += requested * (dram / l2_bytes.max(1.0)).min(1.0);
                    read_l1 += (requested - l2_bytes).max(0.0);
                }
                Direction::Write | Direction::Atomic if resident => {}
                Direction::Write => total.traffic.dram_write_bytes += dram * written_back,
                Direction::Atomic => {
                    total.traffic.dram_read_bytes += dram * (1.0 - warm);
                    total.traffic.dram_write_bytes += dram * written_back;
                }
            }
            total.traffic.extra_activations += activations * (1.0 - warm);
        }
    }
    if reads > 0.0 {
        total.read_l1 = (read_l1 / reads).clamp(0.0, 1.0);
        total.read_dram = (read_dram / reads).clamp(0.0, 1.0);
    }
    total
}

/// CTAs that the raster names; persistent launches have fewer CTAs than tiles.
pub fn kernel_ctas(kernel: &Kernel) -> u64 {
    let Raster { rows, columns, batches, .. } = kernel.raster;
    rows.saturating_mul(columns).saturating_mul(batches)
}

/// `(bytes at L2, bytes at DRAM, extra row activations)` of one stream.
fn levels(
    gpu: &Gpu,
    kernel: &Kernel,
    stream: &Stream,
    requested: f64,
    ctas_per_sm: u32,
    concurrent: u64,
) -> (f64, f64, f64) {
    match &stream.pattern {
        Pattern::Streaming => (requested, requested, 0.0),
        Pattern::L2Resident => (requested, 0.0, 0.0),
        Pattern::Strided { used_bytes, stride_bytes } => {
            let sector = gpu.l1.sector.bytes();
            let fetched = stride_bytes.min(sector) / used_bytes.clamp(1.0, sector);
            // The rest of each sector is often used by a neighbour soon after, out of L2.
            (requested * fetched.max(1.0), requested, 0.0)
        }
        Pattern::Repeated { distance_bytes } => {
            let l1 = l1_bytes(gpu, kernel, ctas_per_sm);
            if distance_bytes * f64::from(ctas_per_sm) <= l1 {
                return (0.0, 0.0, 0.0);
            }
            let kept = kept_in_l2(gpu, distance_bytes * concurrent as f64);
            (requested, requested * (1.0 - kept), 0.0)
        }
        Pattern::Tiled { footprint_bytes, shared } => {
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
            (requested, footprint + again * (1.0 - kept), 0.0)
        }
        Pattern::Gathered(addresses) => {
            let warps = kernel.launch.warps().max(1);
            let rates = gather::hit_rates(
                gpu,
                addresses.as_ref(),
                warps,
                l1_bytes(gpu, kernel, ctas_per_sm),
            );
            // Atomics are performed at L2.
            let l1_hits = if stream.direction == Direction::Atomic { 0.0 } else { rates.l1 };
            let sector = gpu.l1.sector.bytes();
            let sectors = addresses.requests() as f64 * rates.sectors_per_request;
            let l2 = sectors * sector * (1.0 - l1_hits);
            let dram = l2 * (1.0 - rates.l2);
            // Consecutive sectors of one request share a row; requests don't.
            let per_row = rates.sectors_per_request.max(1.0) * sector;
            (l2, dram, dram / per_row.min(gpu.dram.row.bytes()))
        }
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
    use lumacycle_arch::Catalog;
    use lumacycle_workloads::DType;
    use lumacycle_workloads::ops::Gemm;
    use proptest::prelude::*;

    fn gpu() -> Gpu {
        Catalog::embedded().get("a100-pcie-40gb").unwrap().gpu
    }

    proptest! {
        #[test]
        fn bytes_shrink_from_level_to_level(m in 1u64..6000, n in 1u64..6000, k in 1u64..6000) {
            let gpu = gpu();
            let target = crate::GpuEngine::new(&gpu).target();
            for candidate in Gemm::new(m, n, k, DType::Fp16).lower(&target) {
                for kernel in &candidate.kernels {
                    let moved = movement(&gpu, kernel, 1, 108, L2Start::Cold).traffic;
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
