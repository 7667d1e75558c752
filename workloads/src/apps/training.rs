//! One training step of a radiance field as launches: rays through random pixels, the network on
//! all their samples, loss, the network again on the samples that count, gradients, optimizer.
//! Occupancy updates come every sixteenth step and count as such. Left out: applications other
//! than radiance fields, error maps, camera and exposure optimisation.

use std::sync::Arc;

use super::config::{AppError, Application, Kind};
use super::frame::{Frame, Launch, Part};
use super::rest::{self, SAMPLE_BYTES, spread};
use crate::encoding::{Grid, Level};
use crate::ops::counts::{self, Work};
use crate::ops::{self, Gemm, GridEncoding, Operation, PerThread};
use crate::rays::{Ray, RayMarching, Spread, Walker};
use crate::samples::{Positions, SampleSet, Window, mix};
use crate::scene::occupancy::CELLS;
use crate::scene::{Camera, Scene};
use crate::{DType, KernelClass};

/// Samples that gradients are taken of in a step.
pub const BATCH: u64 = 1 << 18;
/// Rays that are walked to find out what a batch is like.
const WALKED: u32 = 4096;
/// Share of light below which samples no longer count in training.
const LEAST_TRANSMITTANCE: f32 = 1e-4;
/// Steps from one occupancy update to the next.
const UPDATE_EVERY: f64 = 16.0;

/// Outputs of the network for a sample, padded to 16.
const ANSWER_ROW_BYTES: f64 = 32.0;

/// What the rays of a batch look like.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Rays.
    pub rays: f64,
    /// Samples of a ray in full cells.
    pub marched_per_ray: Spread,
    /// Those of them that count.
    pub counted_per_ray: Spread,
    /// Empty cells on its way.
    pub voxels_per_ray: Spread,
    /// Samples in full cells, in launch order.
    pub marched: Arc<SampleSet>,
    /// Those that count.
    pub counted: Arc<SampleSet>,
}

/// The launches of one step.
///
/// # Errors
/// When the application is no radiance field.
pub fn training_step(app: &Application, scene: &Scene) -> Result<Frame, AppError> {
    if app.kind != Kind::Nerf {
        return Err(AppError {
            span: None,
            what: format!("{} cannot be trained here", app.name),
            help: "training steps are modelled for radiance fields (nerf, nerf-8x4)".to_owned(),
        });
    }
    let batch = batch(scene);
    let marched = padded(batch.rays * batch.marched_per_ray.mean);
    let mut launches = Vec::new();
    let mut add = |name, part, operation| {
        launches.push(Launch { name, part, round: 0, times: 1.0, operation });
    };
    let per_thread = Operation::PerThread;
    add("make samples", Part::Rest, per_thread(make_samples(&batch, scene.aabb_scale > 1)));
    let grid = app.grid(scene.aabb_scale);
    let encode = |samples, positions: &Arc<SampleSet>, stride, backward| {
        Operation::GridEncoding(GridEncoding {
            grid: grid.clone(),
            samples,
            positions: Positions::Known(Arc::clone(positions)),
            position_stride_bytes: stride,
            backward,
            recorded: None,
        })
    };
    for (samples, positions, training) in
        [(marched, &batch.marched, false), (BATCH, &batch.counted, true)]
    {
        add("encode positions", Part::Encoding, encode(samples, positions, SAMPLE_BYTES, false));
        for (number, mut mlp) in app.networks(samples).into_iter().enumerate() {
            if number > 0 {
                add("encode directions", Part::Rest, per_thread(rest::directions(samples as f64)));
            }
            mlp.training = training;
            let name = if number == 0 { "density network" } else { "colour network" };
            add(name, Part::Mlp, Operation::FusedMlp(mlp));
        }
        add("extract density", Part::Rest, per_thread(rest::extract_from_rows(samples as f64)));
        if !training {
            add("loss", Part::Rest, per_thread(loss(&batch)));
        }
    }
    for (number, network) in app.networks(BATCH).into_iter().enumerate().rev() {
        let name = if number == 0 { "density gradients" } else { "colour gradients" };
        let backward = ops::FusedMlp { backward: true, ..network.clone() };
        add(name, Part::Mlp, Operation::FusedMlp(backward));
        // Gradients of weights: one deep product a layer; those of inputs: one wide product.
        let mut layers = vec![(network.width, network.inputs)];
        layers.extend((1..network.hidden_layers).map(|_| (network.width, network.width)));
        layers.push((network.outputs, network.width));
        for (m, n) in layers {
            add("weight gradients", Part::Mlp, product(m.into(), n.into(), BATCH));
        }
        let (n, k) = (u64::from(network.inputs), u64::from(network.width));
        add("input gradients", Part::Mlp, product(BATCH, n, k));
    }
    add("scatter gradients", Part::Encoding, encode(BATCH, &batch.counted, SAMPLE_BYTES, true));
    let weights: f64 = app.networks(1).iter().map(ops::FusedMlp::macs_per_sample).sum();
    let touched = touched_parameters(&grid, &batch.counted, BATCH);
    let parameters = grid.parameters() as f64 + weights;
    add("optimizer", Part::Rest, per_thread(adam(parameters, touched + weights)));
    add("average weights", Part::Rest, per_thread(average(parameters)));
    let cells = f64::from(CELLS.pow(3)) * f64::from(scene.occupancy().cascades()) / 4.0;
    let update = padded(cells);
    let mut occasionally = |name, part, operation| {
        launches.push(Launch { name, part, round: 0, times: 2.0 / UPDATE_EVERY, operation });
    };
    occasionally(
        "occupancy: encode cells",
        Part::Encoding,
        Operation::GridEncoding(GridEncoding {
            grid: grid.clone(),
            samples: update,
            positions: Positions::Scattered,
            position_stride_bytes: 12.0,
            backward: false,
            recorded: None,
        }),
    );
    if let Some(mlp) = app.networks(update).into_iter().next() {
        occasionally("occupancy: density network", Part::Mlp, Operation::FusedMlp(mlp));
    }
    Ok(Frame {
        launches,
        walk: None,
        pixels: batch.rays,
        queries: marched as f64 + BATCH as f64,
        host_waits: 1,
        assumptions: vec![
            format!(
                "{:.0} rays of {:.1} samples, {:.1} of which count; batch of {BATCH}",
                batch.rays, batch.marched_per_ray.mean, batch.counted_per_ray.mean
            ),
            "a trained occupancy grid, updated every 16 steps on half of its cells".to_owned(),
        ],
    })
}

fn padded(samples: f64) -> u64 {
    ((libm::ceil(samples / 256.0) as u64).max(1)) * 256
}

/// Walks random pixels of the scene's cameras.
pub fn batch(scene: &Scene) -> Batch {
    let marching = RayMarching::new(scene, LEAST_TRANSMITTANCE);
    let through = RayMarching::new(scene, 0.0);
    let (mut marched, mut counted) = (Vec::new(), Vec::new());
    let (mut marched_lengths, mut counted_lengths) = (Vec::new(), Vec::new());
    let mut voxel_lengths = Vec::new();
    let cameras: &[Camera] = &scene.path.cameras;
    for i in 0..WALKED {
        let random = |salt: u64| (mix(u64::from(i) * 4 + salt) >> 40) as f32 / 16_777_216.0;
        let camera = ((random(0) * cameras.len() as f32) as usize).min(cameras.len().max(1) - 1);
        let Some(camera) = cameras.get(camera) else { continue };
        let pixel = [random(1) * 800.0, random(2) * 800.0];
        let ray = Ray {
            origin: camera.origin,
            direction: camera.direction(pixel, 800, 800),
            transmittance: 1.0,
            seed: u64::from(i),
            ..Ray::default()
        };
        let all = |walker: &RayMarching<'_>, out: &mut Vec<[f32; 3]>| {
            let mut ray = ray;
            if !walker.start(&mut ray) {
                return ray.voxels;
            }
            while let Some(at) = walker.query(&mut ray) {
                out.push(scene.to_unit(at));
                if !walker.answer(&mut ray, at) {
                    break;
                }
            }
            ray.voxels
        };
        let before = (marched.len(), counted.len());
        all(&marching, &mut counted);
        let skipped = all(&through, &mut marched);
        voxel_lengths.push(skipped);
        marched_lengths.push((marched.len() - before.0) as u32);
        counted_lengths.push((counted.len() - before.1) as u32);
    }
    let marched_per_ray = Spread::of(&marched_lengths);
    let counted_per_ray = Spread::of(&counted_lengths);
    let needed = BATCH as f64 / counted_per_ray.mean.max(1e-3);
    let windows = |positions, stands_for| {
        Arc::new(SampleSet { windows: vec![Window { positions, stands_for }] })
    };
    Batch {
        rays: needed,
        marched_per_ray,
        counted_per_ray,
        voxels_per_ray: Spread::of(&voxel_lengths),
        marched: windows(marched, padded(needed * marched_per_ray.mean) as f64),
        counted: windows(counted, BATCH as f64),
    }
}

/// Parameters of all tables that get a gradient from `batch` samples like these.
///
/// Samples of a scene share entries, the more so the more there are. The distinct entries of the
/// samples at hand, and of every other one of them, are those of so many independent lookups; how
/// that number grows from the half to the whole carries on to the batch.
pub fn touched_parameters(grid: &Grid, samples: &SampleSet, batch: u64) -> f64 {
    let positions: Vec<[f32; 3]> =
        samples.windows.iter().flat_map(|window| window.positions.iter().copied()).collect();
    let touched = |level: &Level| {
        let entries = f64::from(level.entries);
        let independent = |every: usize| {
            let mut seen = vec![false; level.entries as usize];
            for position in positions.iter().step_by(every) {
                for entry in &grid.entries_of(level, *position)[..grid.corners()] {
                    seen[*entry as usize] = true;
                }
            }
            let distinct = seen.iter().filter(|seen| **seen).count() as f64;
            -entries * libm::log(1.0 - (distinct / entries).min(1.0 - 1e-9))
        };
        let (half, all) = (independent(2), independent(1));
        let doublings = libm::log2((batch as f64 / positions.len().max(1) as f64).max(1.0));
        let growth = if half > 0.0 { (all / half).clamp(1.0, 2.0) } else { 1.0 };
        let lookups = all * libm::exp2(doublings * libm::log2(growth));
        entries * (1.0 - libm::exp(-lookups / entries))
    };
    grid.tables().iter().map(touched).sum::<f64>() * f64::from(grid.features)
}

fn product(m: u64, n: u64, k: u64) -> Operation {
    let mut gemm = Gemm::new(m, n, k, DType::Fp16);
    gemm.fp16_accumulate = true;
    Operation::Gemm(gemm)
}

fn whole(times: f64, work: Work) -> ops::Part {
    ops::Part { times, work, ..ops::Part::default() }
}

/// Rays through random pixels, marched twice: once to count their samples, once to write them.
pub fn make_samples(batch: &Batch, cascades: bool) -> PerThread {
    use counts::training_samples as count;
    let mut voxels = spread(&batch.voxels_per_ray, counts::march::voxel(cascades));
    voxels.times *= 2.0;
    let parts = vec![
        ops::Part {
            read_bytes: 84.0,
            write_bytes: 36.0,
            round_trips: 4.0,
            ..whole(1.0, count::fixed())
        },
        // Marched twice: once to count, once to write.
        ops::Part { shared_bytes: 8.0, round_trips: 1.0, ..voxels },
        ops::Part {
            shared_bytes: 8.0,
            round_trips: 1.0,
            ..spread(&batch.marched_per_ray, count::counted())
        },
        ops::Part {
            shared_bytes: 8.0,
            round_trips: 1.0,
            write_bytes: SAMPLE_BYTES,
            store_bytes: 4.0,
            ..spread(&batch.marched_per_ray, count::written())
        },
    ];
    PerThread::new(KernelClass::RayMarching, batch.rays, parts)
}

/// Loss of each ray, gradients of its samples, and their compacted records.
pub fn loss(batch: &Batch) -> PerThread {
    use counts::loss as count;
    let parts = vec![
        ops::Part {
            read_bytes: 60.0,
            write_bytes: 12.0,
            round_trips: 4.0,
            ..whole(1.0, count::fixed())
        },
        // Records and answers of a ray lie apart from those of its neighbours: whole sectors.
        ops::Part {
            read_bytes: SAMPLE_BYTES + ANSWER_ROW_BYTES,
            round_trips: 1.0,
            ..spread(&batch.counted_per_ray, count::forward())
        },
        ops::Part {
            read_bytes: SAMPLE_BYTES + ANSWER_ROW_BYTES,
            write_bytes: SAMPLE_BYTES + 8.0,
            store_bytes: 4.0,
            round_trips: 1.0,
            ..spread(&batch.counted_per_ray, count::backward())
        },
    ];
    PerThread::new(KernelClass::Loss, batch.rays, parts)
}

/// Adam over all parameters; those of tables without a gradient are left alone.
pub fn adam(parameters: f64, touched: f64) -> PerThread {
    let share = (touched / parameters.max(1.0)).clamp(0.0, 1.0);
    let parts = vec![
        ops::Part { read_bytes: 2.0, round_trips: 1.0, ..whole(1.0, counts::adam::skipped()) },
        ops::Part {
            read_bytes: 16.0,
            write_bytes: 18.0,
            round_trips: 1.0,
            ..whole(share, counts::adam::full())
        },
    ];
    PerThread::new(KernelClass::Optimizer, parameters, parts)
}

/// Exponential moving average of the half-precision weights.
pub fn average(parameters: f64) -> PerThread {
    let work =
        Work { fp32: 3.0, int32: 16.0, fp16x2: 3.0, memory: 3.0, chain: 12.0, ..Work::default() };
    let part =
        ops::Part { read_bytes: 4.0, write_bytes: 2.0, round_trips: 1.0, ..whole(1.0, work) };
    PerThread::new(KernelClass::Optimizer, parameters, vec![part])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_has_gradients_for_everything_it_computes() {
        let app = Application::shipped("nerf-8x4").unwrap().unwrap();
        let scene = Scene::shipped("statue").unwrap();
        let step = training_step(&app, &scene).unwrap();
        let count =
            |class| step.launches.iter().filter(|launch| launch.operation.class() == class).count();
        assert_eq!(count(KernelClass::GridBackward), 1);
        assert_eq!(count(KernelClass::FusedMlpBackward), 2);
        // Two layers of one network and three of the other, and the gradients of both inputs.
        assert_eq!(count(KernelClass::Gemm), 7);
        for launch in &step.launches {
            assert_eq!(launch.operation.validate(), Ok(()), "{}", launch.name);
        }
        let image = Application::shipped("gia").unwrap().unwrap();
        assert!(training_step(&image, &scene).unwrap_err().what.contains("gia"));
    }
}
