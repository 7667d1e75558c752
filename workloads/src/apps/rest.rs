//! Everything of a frame beside encoding and networks: rays, marching, compaction, directions,
//! compositing. Sizes are those of instant-ngp's records (ray 40 B with 20 B of results, sample
//! 28 B); instructions are counted (see `ops::counts`).

use crate::KernelClass;
use crate::ops::counts::{self, Work};
use crate::ops::{Part, PerThread};
use crate::rays::{Round, Spread, Walk, Ways};

/// A ray's record.
const RAY_BYTES: f64 = 40.0;
/// Its colour and depth so far.
const RESULT_BYTES: f64 = 20.0;
/// A sample's record: position, step, direction.
pub const SAMPLE_BYTES: f64 = 28.0;
/// What the network says of a sample that compositing reads.
const ANSWER_BYTES: f64 = 8.0;
/// Bytes of a field of a record: each store writes one.
const FIELD: f64 = 4.0;
/// What writing one field of a ray's record makes dirty: a sector of its own, as records are
/// longer than sectors.
const TOUCHED_SECTOR: f64 = 32.0;
/// Sectors of the occupancy grid that the lanes of a warp touch per test, over the lanes: rays
/// side by side share most.
const CELL_BYTES: f64 = 8.0;

fn whole(work: Work) -> Part {
    Part { work, ..Part::default() }
}

/// Makes a ray for each pixel.
pub fn init_rays(pixels: f64) -> PerThread {
    let part = Part {
        write_bytes: RAY_BYTES + RESULT_BYTES,
        store_bytes: FIELD,
        ..whole(counts::init_ray())
    };
    PerThread::new(KernelClass::RayMarching, pixels, vec![part])
}

/// A part that each ray runs as often as it has something to do.
pub(super) fn spread(spread: &Spread, work: counts::Work) -> Part {
    Part {
        times: spread.mean,
        divergence: spread.divergence,
        longest: spread.longest,
        ..whole(work)
    }
}

fn march_parts(fixed: Part, ways: &Ways, cascades: bool) -> Vec<Part> {
    let mut parts = vec![fixed];
    if ways.voxels.mean > 0.0 {
        parts.push(Part {
            shared_bytes: CELL_BYTES,
            round_trips: 1.0,
            ..spread(&ways.voxels, counts::march::voxel(cascades))
        });
        let mut fine = spread(&ways.voxels, counts::march::fine_step());
        fine.times *= ways.fine_steps_per_voxel;
        parts.push(fine);
    }
    parts
}

/// Walks each ray to its first full cell.
pub fn advance(walk: &Walk, cascades: bool) -> PerThread {
    let fixed = Part {
        read_bytes: RAY_BYTES,
        write_bytes: TOUCHED_SECTOR,
        round_trips: 1.0,
        ..whole(counts::march::fixed())
    };
    let parts = march_parts(fixed, &walk.first, cascades);
    PerThread::new(KernelClass::RayMarching, walk.rays, parts)
}

/// Closes gaps: `before` rays are looked at, `after` of them go on.
pub fn compact(before: f64, after: f64) -> PerThread {
    let share = (after / before.max(1.0)).clamp(0.0, 1.0);
    let bytes = RAY_BYTES + RESULT_BYTES;
    let part = Part {
        read_bytes: bytes * share + FIELD * (1.0 - share),
        // Rays that found something are put aside, which copies them as well.
        write_bytes: bytes,
        store_bytes: FIELD,
        round_trips: 2.0,
        ..whole(counts::compact())
    };
    PerThread::new(KernelClass::Compaction, before, vec![part])
}

/// Walks each ray through the steps of a round and writes its samples.
pub fn generate(round: &Round, cascades: bool) -> PerThread {
    let fixed = Part {
        read_bytes: RAY_BYTES,
        write_bytes: TOUCHED_SECTOR,
        round_trips: 1.0,
        ..whole(counts::march::fixed())
    };
    let mut parts = march_parts(fixed, &round.ways, cascades);
    parts.push(Part {
        times: round.used / round.alive.max(1.0),
        write_bytes: SAMPLE_BYTES,
        store_bytes: FIELD,
        shared_bytes: CELL_BYTES,
        round_trips: 1.0,
        ..whole(counts::march::sample(cascades))
    });
    PerThread::new(KernelClass::RayMarching, round.alive, parts)
}

/// Encodes directions: reads records, writes sixteen halves to feature-major arrays.
pub fn directions(samples: f64) -> PerThread {
    let part = Part {
        read_bytes: SAMPLE_BYTES,
        write_bytes: 32.0,
        round_trips: 1.0,
        ..whole(counts::harmonics())
    };
    PerThread::new(KernelClass::Encoding, samples, vec![part])
}

/// Copies one of a network's outputs beside another's.
pub fn extract(samples: f64) -> PerThread {
    let work = Work { int32: 14.0, memory: 2.0, chain: 12.0, registers: 16, ..Work::default() };
    let part = Part { read_bytes: 2.0, write_bytes: 2.0, round_trips: 1.0, ..whole(work) };
    PerThread::new(KernelClass::Compositing, samples, vec![part])
}

/// The same where outputs are kept sample by sample, as in training: a sector of each.
pub fn extract_from_rows(samples: f64) -> PerThread {
    let mut kernel = extract(samples);
    for part in &mut kernel.parts {
        part.read_bytes = TOUCHED_SECTOR;
    }
    kernel
}

/// Adds the samples of a round to their rays.
pub fn composite(round: &Round) -> PerThread {
    let fixed = Part {
        read_bytes: RAY_BYTES + RESULT_BYTES,
        write_bytes: RESULT_BYTES + TOUCHED_SECTOR,
        round_trips: 1.0,
        ..whole(counts::composite::fixed())
    };
    let sample = Part {
        times: round.useful / round.alive.max(1.0),
        read_bytes: SAMPLE_BYTES + ANSWER_BYTES,
        round_trips: 1.0,
        ..whole(counts::composite::sample())
    };
    PerThread::new(KernelClass::Compositing, round.alive, vec![fixed, sample])
}

/// Writes finished rays to their pixels, which lie anywhere.
pub fn shade(rays: f64) -> PerThread {
    let part = Part {
        read_bytes: RAY_BYTES + RESULT_BYTES,
        scattered_bytes: 64.0,
        round_trips: 2.0,
        ..whole(counts::pixel())
    };
    PerThread::new(KernelClass::Compositing, rays, vec![part])
}

/// Accumulates and tone-maps pixels.
pub fn tonemap(pixels: f64) -> PerThread {
    let part =
        Part { read_bytes: 32.0, write_bytes: 20.0, round_trips: 1.0, ..whole(counts::pixel()) };
    PerThread::new(KernelClass::Compositing, pixels, vec![part])
}

/// All of a round in one kernel: the answers of the last round are composited, the ray marches
/// on, its next samples are written with their directions already encoded; rays that end leave
/// at once.
pub fn fused_round(round: &Round, cascades: bool, directional: bool) -> PerThread {
    let samples = round.used / round.alive.max(1.0);
    let fixed = Part {
        read_bytes: RAY_BYTES + RESULT_BYTES,
        write_bytes: RAY_BYTES + RESULT_BYTES,
        round_trips: 1.0,
        ..whole(counts::march::fixed())
    };
    let mut parts = march_parts(fixed, &round.ways, cascades);
    let mut work = counts::march::sample(cascades);
    let mut written = SAMPLE_BYTES;
    if directional {
        let harmonics = counts::harmonics();
        work.fp32 += harmonics.fp32;
        work.int32 += harmonics.int32;
        work.memory += 16.0;
        written += 32.0;
    }
    parts.push(Part {
        times: samples,
        read_bytes: ANSWER_BYTES,
        write_bytes: written,
        shared_bytes: CELL_BYTES,
        round_trips: 2.0,
        ..whole(work)
    });
    parts.push(Part { times: samples, ..whole(counts::composite::sample()) });
    PerThread::new(KernelClass::RayMarching, round.alive, parts)
}

/// Takes a distance (or a collision) to the next query of each ray.
pub fn step_rays(round: &Round) -> PerThread {
    let part = Part {
        times: f64::from(round.steps),
        read_bytes: RAY_BYTES + 2.0,
        write_bytes: TOUCHED_SECTOR,
        round_trips: 1.0,
        ..whole(counts::composite::sample())
    };
    let mut parts = vec![part];
    if round.ways.voxels.mean > 0.0 {
        parts.push(Part {
            shared_bytes: CELL_BYTES,
            round_trips: 1.0,
            ..spread(&round.ways.voxels, counts::march::sample(false))
        });
    }
    PerThread::new(KernelClass::RayMarching, round.alive, parts)
}

/// One-blob encoding: each thread spreads a coordinate over its bins, about a dozen multiply-adds
/// each (the integral of a quartic kernel over the bin), and writes them as halves.
pub fn one_blob(samples: f64, coordinates: u32, bins: u32) -> PerThread {
    let bins = f64::from(bins);
    let work = Work {
        fp32: 12.0 * bins,
        int32: 4.0 * bins,
        memory: 1.0 + bins / 8.0,
        chain: 12.0,
        registers: 32,
        ..Work::default()
    };
    let part = Part { read_bytes: 4.0, write_bytes: 2.0 * bins, round_trips: 1.0, ..whole(work) };
    PerThread::new(KernelClass::Encoding, samples * f64::from(coordinates), vec![part])
}
