//! A frame as launches, in order: what instant-ngp sends to the GPU for one image.

use std::sync::Arc;

use super::config::{Application, Kind, Rest};
use super::rest;
use crate::ops::{FusedRenderer, Gemm, GridEncoding, Operation, PerThread};
use crate::rays::{
    CountedMarching, DeltaTracking, RayMarching, Rounds, SampleCounts, SphereTracing, View, Walk,
    walk, walk_with_shadows,
};
use crate::samples::{Positions, SampleSet};
use crate::scene::{Scene, SceneError};
use crate::{DType, KernelClass};

/// Which part of an application a launch belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Encoding of positions.
    Encoding,
    /// Networks.
    Mlp,
    /// Everything else.
    Rest,
    /// All of it in one kernel.
    Renderer,
}

impl Part {
    /// Name as printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Encoding => "encoding",
            Self::Mlp => "MLP",
            Self::Rest => "rest",
            Self::Renderer => "renderer",
        }
    }
}

/// One launch of a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// What it does, in the words of the renderer.
    pub name: &'static str,
    /// Which part of the application.
    pub part: Part,
    /// Round, from 0; launches before and after the rounds have the nearest.
    pub round: usize,
    /// How often it runs (less than once where it comes only now and then).
    pub times: f64,
    /// The work.
    pub operation: Operation,
}

/// A frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Launches, in order.
    pub launches: Vec<Launch>,
    /// The rays; an image has none.
    pub walk: Option<Walk>,
    /// Pixels.
    pub pixels: f64,
    /// Queries that the network answers.
    pub queries: f64,
    /// Times that the host waits for a count before it can launch on.
    pub host_waits: usize,
    /// What was taken for granted.
    pub assumptions: Vec<String>,
}

/// Towards the light, where surfaces are shaded (the reference's sun unless it is moved).
const LIGHT: glam::Vec3 = glam::Vec3::ONE;
/// Forward differences and backward ones along three axes.
const NORMAL_QUERIES: f64 = 6.0;

/// Launches of encoding and networks for samples.
struct Queries<'a> {
    app: &'a Application,
    scene_scale: u32,
    position_stride_bytes: f64,
}

impl Queries<'_> {
    fn push(&self, out: &mut Vec<Launch>, round: usize, samples: u64, positions: Positions) {
        let mut add =
            |name, part, operation| out.push(Launch { name, part, round, times: 1.0, operation });
        add(
            "encode positions",
            Part::Encoding,
            Operation::GridEncoding(GridEncoding {
                grid: self.app.grid(self.scene_scale),
                samples,
                positions,
                position_stride_bytes: self.position_stride_bytes,
                backward: false,
                recorded: None,
            }),
        );
        let networks = self.app.sized_networks(samples);
        let last = networks.len() - 1;
        for (number, (mlp, fused)) in networks.into_iter().enumerate() {
            let name = if self.app.kind != Kind::Nerf {
                "network"
            } else if number < last {
                "density network"
            } else {
                let encode = rest::directions(samples as f64);
                add("encode directions", Part::Rest, Operation::PerThread(encode));
                "colour network"
            };
            if fused {
                add(name, Part::Mlp, Operation::FusedMlp(mlp));
                continue;
            }
            let mut k = mlp.inputs;
            let hidden = std::iter::repeat_n(mlp.width, mlp.hidden_layers as usize);
            for n in hidden.chain([mlp.outputs]) {
                let mut gemm = Gemm::new(samples, n.into(), k.into(), DType::Fp16);
                gemm.fp16_accumulate = true;
                add(name, Part::Mlp, Operation::Gemm(gemm));
                k = n;
            }
        }
        if self.app.kind == Kind::Nerf {
            let extract = rest::extract(samples as f64);
            add("extract density", Part::Rest, Operation::PerThread(extract));
        }
    }
}

/// The launches of one image. With counts, radiance fields take as many samples a pixel as they
/// say, instead of finding out.
///
/// # Errors
/// When the scene or the counts do not suit the application, or the camera stands in matter.
pub fn frame(
    app: &Application,
    scene: &Scene,
    view: &View,
    counts: Option<&SampleCounts>,
) -> Result<Frame, SceneError> {
    if counts.is_some() && app.kind != Kind::Nerf {
        return Err(SceneError::new(
            0,
            format!("{} does not march rays, so sample counts mean nothing to it", app.name),
            "leave them out, or choose a radiance field (nerf, nerf-8x4)",
        ));
    }
    let pixels = f64::from(view.width) * f64::from(view.height);
    if app.kind == Kind::Image {
        return Ok(image(app, view, pixels));
    }
    let rounds = Rounds {
        target: app.rendering.target_queries,
        most_steps: app.rendering.most_steps,
        ..Rounds::default()
    };
    // Rounds from here on trace shadow rays.
    let mut shadows_from = usize::MAX;
    let (walked, record_bytes) = match app.kind {
        Kind::Sdf => {
            let tracing = SphereTracing::new(scene)?;
            let (mut walked, shadows) = walk_with_shadows(scene, view, &tracing, &rounds, LIGHT)?;
            shadows_from = walked.rounds.len();
            walked.rounds.extend(shadows.rounds);
            (walked, 12.0)
        }
        Kind::Volume => (walk(scene, view, &DeltaTracking::new(scene), &rounds)?, 12.0),
        _ => {
            let walked = if let Some(counts) = counts {
                let marching = CountedMarching::new(scene, counts, view.width, view.height);
                walk(scene, view, &marching, &rounds)?
            } else {
                let marching = RayMarching::new(scene, app.rendering.least_transmittance as f32);
                walk(scene, view, &marching, &rounds)?
            };
            (walked, rest::SAMPLE_BYTES)
        }
    };
    Ok(assemble(app, scene, walked, shadows_from, record_bytes))
}

fn assemble(
    app: &Application,
    scene: &Scene,
    walked: Walk,
    shadows_from: usize,
    record_bytes: f64,
) -> Frame {
    let cascades = scene.aabb_scale > 1;
    let queries =
        Queries { app, scene_scale: scene.aabb_scale, position_stride_bytes: record_bytes };
    let mut launches = Vec::new();
    if app.rendering.rest == Rest::Renderer {
        launches.push(renderer(app, scene, &walked));
    } else {
        rest_and_queries(app, &queries, &walked, shadows_from, cascades, &mut launches);
    }
    let mut assumptions = vec![format!(
        "counts from {:.0} of {:.0} rays",
        f64::from(Rounds::default().counted).min(walked.rays),
        walked.rays
    )];
    if app.kind == Kind::Sdf {
        assumptions.push(
            "normals by six further queries a hit, a shadow ray from each to one light".to_owned(),
        );
    }
    if app.kind == Kind::Volume {
        assumptions.push("one light path a pixel, albedo 0.95".to_owned());
    }
    let answered =
        walked.queries() + if app.kind == Kind::Sdf { NORMAL_QUERIES * walked.found } else { 0.0 };
    Frame {
        pixels: walked.rays,
        queries: answered,
        host_waits: if app.rendering.rest == Rest::Renderer { 1 } else { walked.rounds.len() },
        walk: Some(walked),
        launches,
        assumptions,
    }
}

fn rest_and_queries(
    app: &Application,
    queries: &Queries<'_>,
    walked: &Walk,
    shadows_from: usize,
    cascades: bool,
    launches: &mut Vec<Launch>,
) {
    let fused = app.rendering.rest == Rest::Fused;
    let per_thread = |name, round, work: PerThread| Launch {
        name,
        part: Part::Rest,
        round,
        times: 1.0,
        operation: Operation::PerThread(work),
    };
    launches.push(per_thread("make rays", 0, rest::init_rays(walked.rays)));
    if app.kind == Kind::Nerf && !fused {
        launches.push(per_thread("advance rays", 0, rest::advance(walked, cascades)));
    }
    let mut before = walked.rays;
    let normals = |launches: &mut Vec<Launch>, round| {
        if app.kind == Kind::Sdf && walked.found >= 1.0 {
            let count = (walked.found * NORMAL_QUERIES) as u64;
            let hits = Positions::Known(Arc::clone(&walked.hits));
            queries.push(launches, round, count.max(1), hits);
        }
    };
    for (number, round) in walked.rounds.iter().enumerate() {
        if number == shadows_from {
            normals(launches, number.saturating_sub(1));
            before = walked.found;
        }
        if !fused {
            let compact = rest::compact(before, round.alive);
            launches.push(per_thread("compact rays", number, compact));
            before = round.alive;
        }
        match (app.kind, fused) {
            (_, true) => {
                let work = rest::fused_round(round, cascades, app.kind == Kind::Nerf);
                launches.push(per_thread("march, composite, compact", number, work));
            }
            (Kind::Nerf, false) => {
                let work = rest::generate(round, cascades);
                launches.push(per_thread("march to samples", number, work));
            }
            _ => {}
        }
        let positions = Positions::Known(Arc::clone(&round.samples));
        queries.push(launches, number, round.elements, positions);
        if !fused {
            let (name, work) = match app.kind {
                Kind::Nerf => ("composite", rest::composite(round)),
                Kind::Sdf => ("step along rays", rest::step_rays(round)),
                _ => ("fly and scatter", rest::step_rays(round)),
            };
            launches.push(per_thread(name, number, work));
        }
    }
    let last = walked.rounds.len().saturating_sub(1);
    if shadows_from >= walked.rounds.len() {
        normals(launches, last);
    }
    if walked.found >= 1.0 {
        launches.push(per_thread("shade", last, rest::shade(walked.found)));
    }
    launches.push(per_thread("tone-map", last, rest::tonemap(walked.rays)));
}

fn renderer(app: &Application, scene: &Scene, walked: &Walk) -> Launch {
    let samples = walked.rounds.iter().flat_map(|round| round.samples.windows.iter().cloned());
    let positions = Positions::Known(Arc::new(SampleSet { windows: samples.collect() }));
    let skipped: f64 =
        walked.rounds.iter().map(|round| round.ways.voxels.mean * round.alive).sum::<f64>()
            / walked.rays;
    Launch {
        name: "render",
        part: Part::Renderer,
        round: 0,
        times: 1.0,
        operation: Operation::FusedRenderer(FusedRenderer {
            grid: app.grid(scene.aabb_scale),
            networks: app.networks((walked.useful_queries() as u64).max(1)),
            rays: walked.rays,
            queries_per_ray: walked.useful_queries() / walked.rays,
            divergence: walked.kept.divergence,
            voxels_per_ray: walked.first.voxels.mean + skipped,
            directional: app.kind == Kind::Nerf,
            positions,
            recorded: None,
        }),
    }
}

fn image(app: &Application, view: &View, pixels: f64) -> Frame {
    let queries = Queries { app, scene_scale: 1, position_stride_bytes: 8.0 };
    let mut launches = Vec::new();
    let make = PerThread::new(
        KernelClass::RayMarching,
        pixels,
        vec![crate::ops::Part {
            work: crate::ops::counts::Work {
                fp32: 8.0,
                int32: 16.0,
                memory: 2.0,
                chain: 12.0,
                registers: 24,
                ..crate::ops::counts::Work::default()
            },
            write_bytes: 8.0,
            ..crate::ops::Part::default()
        }],
    );
    let rest_launch = |name, work| Launch {
        name,
        part: Part::Rest,
        round: 0,
        times: 1.0,
        operation: Operation::PerThread(work),
    };
    launches.push(rest_launch("pixel positions", make));
    let count = (pixels as u64).max(1);
    queries.push(&mut launches, 0, count, Positions::Image { width: view.width.into() });
    launches.push(rest_launch("tone-map", rest::tonemap(pixels)));
    Frame {
        launches,
        walk: None,
        pixels,
        queries: pixels,
        host_waits: 1,
        assumptions: vec!["the image fills the view pixel by pixel".to_owned()],
    }
}
