//! Gaussian splatting: project, list the tiles of each Gaussian, sort by tile and depth, blend
//! tile by tile. Gaussians of our own lie on the surfaces of a scene; a sample of them is projected
//! to count tiles and to find how deep blending goes. Left out: training, and variants that cull
//! or sort differently.

use glam::Vec3;

use super::frame::{Frame, Launch, Part};
use crate::KernelClass;
use crate::ops::counts::Work;
use crate::ops::{self, Operation, PerThread, SortKind, SortScan};
use crate::rays::View;
use crate::samples::scattered;
use crate::scene::{Scene, SceneError};

/// Side of a tile, in pixels.
const TILE: u32 = 16;
/// Gaussians that are projected.
const SAMPLED: u64 = 40_000;
/// Bytes of a Gaussian with spherical harmonics of degree three.
const GAUSSIAN_BYTES: f64 = 236.0;
/// Bytes that rasterisation keeps of a visible Gaussian.
const PROJECTED_BYTES: f64 = 48.0;
/// Opacity of a Gaussian at its middle.
const OPACITY: f64 = 0.6;
/// Standard deviation of the logarithm of sizes: trained scenes mix sizes of orders of magnitude.
const SIZE_SPREAD: f32 = 1.0;
/// Minor over major axis: trained Gaussians are flat and drawn out.
const AXES: f32 = 0.3;
/// Share of light below which a pixel is done.
const LEAST_TRANSMITTANCE: f64 = 1e-4;

/// What the projection of a sample says.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// Share of Gaussians that touch a tile.
    pub visible: f64,
    /// Tiles of a visible Gaussian.
    pub tiles_per_gaussian: f64,
    /// Gaussians that a pixel looks at until no light is left, on average.
    pub blended_per_pixel: f64,
    /// The busiest tile over the mean.
    pub imbalance: f64,
}

/// Projects a sample of `gaussians` on the surfaces of a scene.
///
/// # Errors
/// When the scene has no surface to put Gaussians on.
pub fn project(scene: &Scene, view: &View, gaussians: f64) -> Result<Projection, SceneError> {
    let (low, high) = scene.bounds();
    let mut points = Vec::new();
    for i in 0..SAMPLED * 4 {
        if points.len() as u64 >= SAMPLED {
            break;
        }
        let mut at = low + (high - low) * Vec3::from(scattered(i));
        // A few steps down the field of distances lead to the nearest surface.
        for _ in 0..4 {
            let Some(distance) = scene.distance(at) else {
                return Err(SceneError::new(
                    0,
                    format!("the scene {} has no surface to put Gaussians on", scene.name),
                    "choose lattice, statue, room or a mesh (.obj)",
                ));
            };
            let e = 1e-3;
            let slope = |axis: Vec3| {
                scene.distance(at + axis * e).unwrap_or(0.0)
                    - scene.distance(at - axis * e).unwrap_or(0.0)
            };
            let gradient = Vec3::new(slope(Vec3::X), slope(Vec3::Y), slope(Vec3::Z));
            at -= gradient.normalize_or(Vec3::ZERO) * distance;
        }
        if scene.distance(at).is_some_and(|distance| distance.abs() < 0.01) {
            points.push(at);
        }
    }
    let sampled = points.len().max(1) as f64;
    // Gaussians cover a surface: their spacing follows from the area that each has to itself.
    let area = f64::from((high - low).x) * f64::from((high - low).x) * 3.0;
    let sigma = libm::sqrt(area / gaussians) as f32 * 0.6;
    let tiles_x = view.width.div_ceil(TILE);
    let tiles_y = view.height.div_ceil(TILE);
    // Depth, and the share of light that it takes from a pixel of its tiles, on average.
    let mut lists: Vec<Vec<(f32, f64)>> = vec![Vec::new(); (tiles_x * tiles_y) as usize];
    let (mut visible, mut entries) = (0.0, 0.0);
    for (number, at) in points.into_iter().enumerate() {
        let local = view.camera.axes.transpose() * (at - view.camera.origin);
        if local.z < 0.05 {
            continue;
        }
        let focal = view.camera.focal * view.height as f32;
        let x = local.x / local.z * focal + view.camera.centre[0] * view.width as f32;
        let y = local.y / local.z * focal + view.camera.centre[1] * view.height as f32;
        // Three standard deviations of the major axis, with the low-pass filter of the reference.
        let size = sigma * libm::expf(SIZE_SPREAD * normal(number as u64)) * focal / local.z;
        let (major, minor) = ((size * size + 0.3).sqrt(), ((AXES * size).powi(2) + 0.3).sqrt());
        let radius = 3.0 * major;
        let span = |c: f32, tiles: u32| {
            let first = ((c - radius) / TILE as f32).max(0.0) as u32;
            let last = ((c + radius) / TILE as f32 + 1.0).max(0.0) as u32;
            first.min(tiles)..last.min(tiles)
        };
        let (columns, rows) = (span(x, tiles_x), span(y, tiles_y));
        let count = columns.len() * rows.len();
        if count == 0 {
            continue;
        }
        visible += 1.0;
        entries += count as f64;
        let footprint = std::f64::consts::TAU * f64::from(major) * f64::from(minor);
        let share = footprint / (count as f64 * f64::from(TILE * TILE));
        let alpha = OPACITY * share.min(1.0);
        for row in rows {
            for column in columns.clone() {
                lists[(row * tiles_x + column) as usize].push((local.z, alpha));
            }
        }
    }
    let scale = gaussians / sampled;
    let enough = -libm::log(LEAST_TRANSMITTANCE);
    let (mut blended, mut most) = (0.0, 0.0_f64);
    for list in &mut lists {
        list.sort_by(|a, b| a.0.total_cmp(&b.0));
        // Front to back until no light is left; each stands for many.
        let (mut here, mut thickness) = (0.0, 0.0);
        for (_, alpha) in list {
            let more = -libm::log(1.0 - *alpha) * scale;
            let share = ((enough - thickness) / more).clamp(0.0, 1.0);
            here += scale * share;
            thickness += more;
            if thickness >= enough {
                break;
            }
        }
        blended += here;
        most = most.max(here);
    }
    let mean = blended / lists.len().max(1) as f64;
    Ok(Projection {
        visible: visible / sampled,
        tiles_per_gaussian: entries / f64::max(visible, 1.0),
        blended_per_pixel: mean,
        imbalance: if mean > 0.0 { most / mean } else { 1.0 },
    })
}

/// Number `i` of a sequence that is distributed normally (Box and Muller).
fn normal(i: u64) -> f32 {
    let [a, b, _] = scattered(i);
    let distance = libm::sqrtf(-2.0 * libm::logf(1.0 - a));
    distance * libm::cosf(std::f32::consts::TAU * b)
}

/// The launches of one image of `gaussians` Gaussians.
///
/// # Errors
/// As [`project`].
pub fn frame(scene: &Scene, view: &View, gaussians: f64) -> Result<Frame, SceneError> {
    let projection = project(scene, view, gaussians)?;
    let entries = (gaussians * projection.visible * projection.tiles_per_gaussian).max(1.0);
    let pixels = f64::from(view.width) * f64::from(view.height);
    let mut launches = Vec::new();
    let mut add = |name, operation| {
        launches.push(Launch { name, part: Part::Rest, round: 0, times: 1.0, operation });
    };
    // Covariance, projection, colour from harmonics: about 400 multiply-adds for what is visible.
    let shade = Work {
        fp32: 400.0,
        int32: 80.0,
        sfu: 8.0,
        memory: 70.0,
        chain: 160.0,
        registers: 64,
        ..Work::default()
    };
    add(
        "project Gaussians",
        Operation::PerThread(PerThread::new(
            KernelClass::SplatProjection,
            gaussians,
            vec![
                part(1.0, CULL, 12.0, 8.0, 1.0),
                part(projection.visible, shade, GAUSSIAN_BYTES, PROJECTED_BYTES, 2.0),
            ],
        )),
    );
    add(
        "offsets",
        Operation::SortScan(SortScan {
            kind: SortKind::Scan,
            elements: gaussians as u64,
            key_bytes: 4.0,
            value_bytes: 0.0,
            recorded: None,
        }),
    );
    let emit = Work { int32: 14.0, memory: 2.0, chain: 10.0, registers: 32, ..Work::default() };
    add(
        "list tiles",
        Operation::PerThread(PerThread::new(
            KernelClass::SplatProjection,
            gaussians,
            vec![
                part(1.0, CULL, 20.0, 0.0, 1.0),
                ops::Part {
                    divergence: 2.0,
                    store_bytes: 12.0,
                    ..part(projection.visible * projection.tiles_per_gaussian, emit, 0.0, 12.0, 0.0)
                },
            ],
        )),
    );
    add(
        "sort by tile and depth",
        Operation::SortScan(SortScan {
            kind: SortKind::Sort,
            elements: entries as u64,
            key_bytes: 8.0,
            value_bytes: 4.0,
            recorded: None,
        }),
    );
    let edge = Work { int32: 14.0, memory: 3.0, chain: 10.0, registers: 16, ..Work::default() };
    add(
        "tile ranges",
        Operation::PerThread(PerThread::new(
            KernelClass::SplatProjection,
            entries,
            vec![part(1.0, edge, 8.0, 0.0, 1.0)],
        )),
    );
    add("rasterise tiles", Operation::PerThread(rasterise(pixels, &projection)));
    Ok(Frame {
        launches,
        walk: None,
        pixels,
        queries: pixels * projection.blended_per_pixel,
        host_waits: 1,
        assumptions: vec![
            format!(
                "{gaussians:.0} Gaussians on the surfaces of {}, sizes log-normal (deviation {SIZE_SPREAD}), axes 1 to {AXES}, opacity {OPACITY}: estimates",
                scene.name
            ),
            format!(
                "{:.0} % visible, {:.1} tiles each, {:.0} looked at by a pixel, busiest tile {:.1} x the mean",
                projection.visible * 100.0,
                projection.tiles_per_gaussian,
                projection.blended_per_pixel,
                projection.imbalance
            ),
        ],
    })
}

/// What every Gaussian costs: its middle in the camera's space, tested against the image.
const CULL: Work = Work {
    fp32: 30.0,
    int32: 30.0,
    fp16x2: 0.0,
    sfu: 2.0,
    memory: 6.0,
    chain: 40.0,
    registers: 64,
};

fn part(times: f64, work: Work, read_bytes: f64, write_bytes: f64, round_trips: f64) -> ops::Part {
    ops::Part { times, work, read_bytes, write_bytes, round_trips, ..ops::Part::default() }
}

fn rasterise(pixels: f64, projection: &Projection) -> PerThread {
    // A pixel per thread; each Gaussian of its tile is fetched once for 256 pixels and then
    // weighed: a quadratic form, an exponential, four multiply-adds where it counts.
    let blend = Work {
        fp32: 16.0,
        int32: 8.0,
        sfu: 1.0,
        memory: 3.0,
        chain: 24.0,
        registers: 40,
        ..Work::default()
    };
    let fetch = PROJECTED_BYTES / f64::from(TILE * TILE);
    let mut kernel = PerThread::new(
        KernelClass::SplatRaster,
        pixels,
        vec![
            ops::Part {
                longest: projection.imbalance.max(1.0),
                ..part(projection.blended_per_pixel, blend, fetch, 0.0, 0.05)
            },
            part(1.0, CULL, 0.0, 20.0, 1.0),
        ],
    );
    kernel.threads = TILE * TILE;
    kernel
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_gaussians_are_smaller_and_fill_more_lists() {
        let scene = Scene::shipped("statue").unwrap();
        let view = View { camera: scene.path.at(0.2).unwrap(), width: 960, height: 540 };
        let few = project(&scene, &view, 1e5).unwrap();
        let many = project(&scene, &view, 4e6).unwrap();
        assert!(many.tiles_per_gaussian < few.tiles_per_gaussian);
        assert!(many.visible > 0.3 && many.tiles_per_gaussian >= 1.0, "{many:?}");
        assert!(few.blended_per_pixel > 1.0 && many.blended_per_pixel > 1.0);
        let cloud = Scene::shipped("cloud").unwrap();
        assert!(project(&cloud, &view, 1e5).is_err());
    }
}
