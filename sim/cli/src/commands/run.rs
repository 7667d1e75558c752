//! `lumacycle run APP --gpu …`: a frame, a training step or a camera path of an application.

use std::path::Path;
use std::sync::Arc;

use lumacycle_arch::Entry;
use lumacycle_engines::Options;
use lumacycle_sim::frame::{FrameResult, price};
use lumacycle_workloads::apps::{
    Application, EncodingChoice, Frame, Rest, frame, splat, training_step,
};
use lumacycle_workloads::rays::View;
use lumacycle_workloads::scene::{CameraPath, Matter, Mesh, Occupancy, Scene};
use miette::NamedSource;
use serde_json::json;

use super::catalog::{csv, json_out};
use crate::args::{EncodingArg, Format, RestArg, RunArgs};
use crate::failure::Failure;
use crate::output::{self, short};

/// Gaussians of a splatted scene unless told otherwise.
const GAUSSIANS: f64 = 1e6;

pub fn run(args: &RunArgs) -> Result<(), Failure> {
    if args.print_app {
        let text = Application::shipped_text(&args.app).ok_or_else(|| unknown_app(&args.app))?;
        return output::write(args.output.output.as_deref(), text.as_bytes());
    }
    let (width, height, eyes) = resolution(&args.resolution)?;
    let scene = scene(args)?;
    let (gpus, options) = super::chosen(&args.gpu.gpus, &args.gpu.engine)?;
    let shares = shares(args)?;
    let gaussians = args.gaussians.unwrap_or(GAUSSIANS);
    if !(1.0..=1e9).contains(&gaussians) {
        return Err(Failure::usage("--gaussians is out of range", "it lies between 1 and 1e9"));
    }
    let app = (args.app != "splat").then(|| application(args)).transpose()?;
    let mut results: Vec<Vec<FrameResult>> = vec![Vec::new(); gpus.len()];
    let mut images: Vec<(f64, FrameInputs)> = Vec::new();
    for &share in &shares {
        let camera = scene.path.at(share).ok_or_else(|| {
            Failure::usage("the camera path is empty", "give a --camera file with frames")
        })?;
        let view = View { camera, width, height };
        let frame = match &app {
            _ if args.train => {
                let app = app.as_ref().ok_or_else(|| {
                    Failure::usage("splat cannot be trained here", "leave --train out")
                })?;
                training_step(app, &scene)
                    .map_err(|error| Failure::usage(error.what, error.help))?
            }
            Some(app) => frame(app, &scene, &view).map_err(|error| bad_scene(args, &error))?,
            None => splat::frame(&scene, &view, gaussians).map_err(|e| bad_scene(args, &e))?,
        };
        images.push((share, FrameInputs { frame }));
    }
    for (gpu, results) in gpus.iter().zip(&mut results) {
        for (_, inputs) in &images {
            results.push(priced(&inputs.frame, gpu, options, eyes)?);
        }
    }
    let heading = heading(args, &scene, (width, height, eyes));
    print(args, &heading, &shares, &results)
}

struct FrameInputs {
    frame: Frame,
}

fn priced(frame: &Frame, gpu: &Entry, options: Options, eyes: u32) -> Result<FrameResult, Failure> {
    for launch in &frame.launches {
        lumacycle_sim::replay::fits(launch.name, launch.operation.resident_bytes(), gpu)?;
    }
    let mut result = price(frame, gpu, options)
        .map_err(|error| Failure::usage(error.to_string(), "choose another GPU or network"))?;
    if eyes > 1 {
        result.repeat(f64::from(eyes));
        result.assumptions.push(format!("{eyes} eyes, each rendered like the first"));
    }
    Ok(result)
}

fn unknown_app(name: &str) -> Failure {
    Failure::UnknownName {
        what: format!("there is no application called \"{name}\""),
        help: format!(
            "known: {}, splat; or give a file (NAME.toml) of your own",
            Application::names().join(", ")
        ),
    }
}

fn is_file(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end.eq_ignore_ascii_case(extension))
}

fn application(args: &RunArgs) -> Result<Application, Failure> {
    let mut app = if is_file(&args.app, "toml") {
        let text = super::description(Path::new(&args.app))?;
        Application::parse(&text).map_err(|error| Failure::BadText {
            what: error.what,
            help: error.help,
            span: error.span.map_or_else(|| (0..0).into(), Into::into),
            source_code: Arc::new(NamedSource::new(&args.app, text)),
        })?
    } else {
        match Application::shipped(&args.app) {
            Some(Ok(app)) => app,
            Some(Err(error)) => return Err(Failure::Internal { what: error.what }),
            None => return Err(unknown_app(&args.app)),
        }
    };
    app = app.with(match args.encoding {
        EncodingArg::Hashgrid => EncodingChoice::Hashgrid,
        EncodingArg::Densegrid => EncodingChoice::Densegrid,
        EncodingArg::DensegridLowres => EncodingChoice::DensegridLowres,
    });
    if let Some(rest) = args.rest {
        app.rendering.rest = match rest {
            RestArg::Kernels => Rest::Kernels,
            RestArg::Fused => Rest::Fused,
            RestArg::Renderer => Rest::Renderer,
        };
    }
    Ok(app)
}

fn bad_scene(args: &RunArgs, error: &lumacycle_workloads::scene::SceneError) -> Failure {
    Failure::BadScene {
        file: args.scene.clone(),
        what: error.what.clone(),
        help: error.help.clone(),
    }
}

/// Bytes of a file that is not meant to be large.
fn bytes_of(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    /// Larger than any grid or mesh that makes sense here.
    const MOST_BYTES: u64 = 1 << 30;
    let failed = |reason: String| Failure::Input { path: path.to_owned(), reason };
    let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(failed("it is larger than 1 GiB".to_owned()));
    }
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(&bytes[..])
            .take(MOST_BYTES)
            .read_to_end(&mut plain)
            .map_err(|error| failed(error.to_string()))?;
        return Ok(plain);
    }
    Ok(bytes)
}

fn text_of(path: &Path) -> Result<String, Failure> {
    String::from_utf8(bytes_of(path)?).map_err(|_| Failure::Input {
        path: path.to_owned(),
        reason: "it is not UTF-8 text".to_owned(),
    })
}

fn scene(args: &RunArgs) -> Result<Scene, Failure> {
    let name = args.scene.as_str();
    let path = Path::new(name);
    let told = |error: lumacycle_workloads::scene::SceneError| Failure::BadScene {
        file: if error.line > 0 { format!("{name}:{}", error.line) } else { name.to_owned() },
        what: error.what,
        help: error.help,
    };
    let stem = name.trim_end_matches(".gz");
    let brought = |matter, aabb_scale| Scene {
        name: path
            .file_stem()
            .map_or_else(|| name.to_owned(), |s| s.to_string_lossy().into_owned()),
        aabb_scale,
        matter,
        path: CameraPath::orbit(glam_half(), 1.33, 20.0, 0.69),
    };
    let mut scene = if is_file(stem, "obj") {
        let mesh = Mesh::from_obj(&text_of(path)?).map_err(told)?;
        brought(Matter::Mesh(mesh.into()), 1)
    } else if is_file(stem, "npy") {
        let grid = Occupancy::from_npy(&bytes_of(path)?).map_err(told)?;
        let scale = 1 << (grid.cascades() - 1);
        brought(Matter::Grid(grid.into()), scale)
    } else {
        Scene::shipped(name).ok_or_else(|| Failure::UnknownName {
            what: format!("there is no scene called \"{name}\""),
            help: format!(
                "known: {}; or give a mesh (.obj) or an occupancy grid (.npy)",
                Scene::names().join(", ")
            ),
        })?
    };
    if let Some(camera) = &args.camera {
        let file = camera.display().to_string();
        scene.path = CameraPath::from_transforms(&text_of(camera)?).map_err(|error| {
            let file = if error.line > 0 { format!("{file}:{}", error.line) } else { file.clone() };
            Failure::BadScene { file, what: error.what, help: error.help }
        })?;
    }
    Ok(scene)
}

/// The middle of the unit cube, which brought scenes lie around.
fn glam_half() -> lumacycle_workloads::scene::Vec3 {
    lumacycle_workloads::scene::Vec3::splat(0.5)
}

/// `fhd`, `1920x1080`, or with a number of eyes, `2064x2208x2`.
fn resolution(text: &str) -> Result<(u32, u32, u32), Failure> {
    let known = match text.to_ascii_lowercase().as_str() {
        "hd" => Some((1280, 720, 1)),
        "fhd" => Some((1920, 1080, 1)),
        "qhd" => Some((2560, 1440, 1)),
        "4k" => Some((3840, 2160, 1)),
        "8k" => Some((7680, 4320, 1)),
        "vr" => Some((2064, 2208, 2)),
        _ => None,
    };
    let parts: Option<Vec<u32>> = text.split('x').map(|part| part.parse().ok()).collect();
    let written = match parts.as_deref() {
        Some(&[width, height]) => Some((width, height, 1)),
        Some(&[width, height, eyes]) => Some((width, height, eyes)),
        _ => None,
    };
    known
        .or(written)
        .filter(|(w, h, eyes)| (1..=32768).contains(w) && (1..=32768).contains(h) && (1..=16).contains(eyes))
        .ok_or_else(|| {
            Failure::usage(
                format!("--resolution: \"{text}\" is no image size"),
                "write hd, fhd, qhd, 4k, 8k, vr (2 x 2064 x 2208), WIDTHxHEIGHT, or WIDTHxHEIGHTxEYES",
            )
        })
}

/// Places along the camera path, as shares of it.
fn shares(args: &RunArgs) -> Result<Vec<f64>, Failure> {
    if !(0.0..1.0).contains(&args.at) {
        return Err(Failure::usage("--at must lie in [0, 1)", "0 is the start of the path"));
    }
    Ok(match args.path_frames {
        None => vec![args.at],
        Some(0) => return Err(Failure::usage("--path-frames is 0", "ask for at least one")),
        Some(n) => (0..n).map(|i| f64::from(i) / f64::from(n)).collect(),
    })
}

fn heading(args: &RunArgs, scene: &Scene, (width, height, eyes): (u32, u32, u32)) -> String {
    let what = if args.train {
        "training step".to_owned()
    } else if eyes > 1 {
        format!("{eyes} x {width} x {height}")
    } else {
        format!("{width} x {height}")
    };
    let encoding = match args.encoding {
        EncodingArg::Hashgrid => String::new(),
        EncodingArg::Densegrid => ", multi-resolution dense grid".to_owned(),
        EncodingArg::DensegridLowres => ", low-resolution dense grid".to_owned(),
    };
    format!("{}{encoding}, scene {}, {what}", args.app, scene.name)
}

fn print(
    args: &RunArgs,
    heading: &str,
    shares: &[f64],
    results: &[Vec<FrameResult>],
) -> Result<(), Failure> {
    match args.output.format {
        Format::Json => {
            let gpus: Vec<_> = results
                .iter()
                .map(|frames| {
                    let list: Vec<_> = shares
                        .iter()
                        .zip(frames)
                        .map(|(at, frame)| json!({"at": at, "frame": frame}))
                        .collect();
                    json!({"gpu": frames.first().map(|f| &f.gpu), "frames": list,
                        "frame_ms": spread(frames)})
                })
                .collect();
            json_out(
                &args.output,
                &json!({"version": lumacycle_sim::VERSION, "run": heading, "results": gpus}),
            )
        }
        Format::Csv => {
            let bytes = csv(&CSV_HEADER, csv_rows(shares, results).into_iter())?;
            output::write(args.output.output.as_deref(), &bytes)
        }
        Format::Table => {
            let mut text = format!("{heading}\n");
            text.push_str(&summary(results));
            if let Some(first) = results.first().and_then(|frames| frames.first()) {
                text.push_str(&counts(first));
            }
            if let [only] = results
                && let Some(first) = only.first()
            {
                text.push_str(&one(first));
                if args.rounds {
                    text.push_str(&rounds(first));
                }
            }
            if let Some(first) = results.first().and_then(|frames| frames.first()) {
                text.push_str(&format!("  assuming: {}\n", first.assumptions.join("; ")));
            }
            output::write(args.output.output.as_deref(), text.as_bytes())
        }
    }
}

const CSV_HEADER: [&str; 15] = [
    "gpu",
    "at",
    "kernel",
    "part",
    "class",
    "launches",
    "time_ms",
    "share_pct",
    "bound_by",
    "l1_hit_pct",
    "l2_hit_pct",
    "l2_gb",
    "dram_gb",
    "energy_mj",
    "frame_ms",
];

fn csv_rows(shares: &[f64], results: &[Vec<FrameResult>]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for frames in results {
        for (at, frame) in shares.iter().zip(frames) {
            for kernel in &frame.kernels {
                rows.push(vec![
                    frame.gpu.clone(),
                    format!("{at:.4}"),
                    kernel.name.to_owned(),
                    kernel.part.name().to_owned(),
                    kernel.class.to_string(),
                    format!("{:.3}", kernel.launches),
                    format!("{:.6}", kernel.time_ms),
                    format!("{:.3}", kernel.share_pct),
                    kernel.bound_by.to_string(),
                    kernel.l1_hit_pct.map_or_else(String::new, |hit| format!("{hit:.2}")),
                    format!("{:.2}", kernel.l2_hit_pct),
                    format!("{:.6}", kernel.l2_gb),
                    format!("{:.6}", kernel.dram_gb),
                    format!("{:.4}", kernel.energy_mj),
                    format!("{:.6}", frame.frame_ms),
                ]);
            }
        }
    }
    rows
}

/// Least, median, 95th percentile and most of the frame times of a path, in ms.
fn spread(frames: &[FrameResult]) -> [f64; 4] {
    let mut times: Vec<f64> = frames.iter().map(|frame| frame.frame_ms).collect();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = (times.len().saturating_sub(1) as f64 * share).round() as usize;
        times.get(index).copied().unwrap_or_default()
    };
    [at(0.0), at(0.5), at(0.95), at(1.0)]
}

fn summary(results: &[Vec<FrameResult>]) -> String {
    let path = results.first().is_some_and(|frames| frames.len() > 1);
    let mut header = vec!["GPU", "time ms", "per s", "kernels ms", "gaps ms"];
    if path {
        header.extend(["least", "p95", "most"]);
    }
    header.extend(["encoding", "MLP", "rest", "DRAM GB", "energy mJ", "mean W"]);
    let mut table = output::table(&header, 1);
    for frames in results {
        let Some(first) = frames.first() else { continue };
        let [least, median, p95, most] = spread(frames);
        let shown = if path {
            frames.iter().find(|f| f.frame_ms == median).unwrap_or(first)
        } else {
            first
        };
        let mut row = vec![
            shown.gpu_name.clone(),
            short(shown.frame_ms),
            short(shown.frames_per_s),
            short(shown.kernels_ms),
            short(shown.gaps_ms),
        ];
        if path {
            row.extend([short(least), short(p95), short(most)]);
        }
        for part in ["encoding", "MLP", "rest"] {
            let found = shown.parts.iter().find(|row| row.part.name() == part);
            row.push(found.map_or_else(|| "–".to_owned(), |row| format!("{:.1} %", row.share_pct)));
        }
        let dram = shown.traffic.dram_read_bytes + shown.traffic.dram_write_bytes;
        row.extend([
            short(dram / 1e9),
            short(shown.energy_mj),
            format!("{:.0}", shown.mean_power_w),
        ]);
        table.add_row(row);
    }
    output::render(&table) + "\n"
}

fn counts(frame: &FrameResult) -> String {
    let mut text = format!(
        "  {:.2} M queries in {:.2} M slots",
        frame.queries / 1e6,
        frame.elements.max(frame.queries) / 1e6
    );
    if let Some(per_ray) = &frame.per_ray {
        text.push_str(&format!(
            "; samples per ray: mean {:.2}, median {:.0}, p90 {:.0}, most {:.0}; {} rounds",
            per_ray.mean,
            per_ray.median,
            per_ray.p90,
            per_ray.largest,
            frame.rounds.len()
        ));
    }
    text.push_str("\n\n");
    text
}

fn one(frame: &FrameResult) -> String {
    let header = [
        "kernel",
        "part",
        "n",
        "time ms",
        "share",
        "bound by",
        "L1 hits",
        "L2 hits",
        "L2 GB",
        "DRAM GB",
        "energy mJ",
    ];
    let mut table = output::table(&header, 2);
    for kernel in &frame.kernels {
        table.add_row(vec![
            kernel.name.to_owned(),
            kernel.part.name().to_owned(),
            short(kernel.launches),
            short(kernel.time_ms),
            format!("{:.1} %", kernel.share_pct),
            kernel.bound_by.to_string(),
            kernel.l1_hit_pct.map_or_else(|| "–".to_owned(), |hit| format!("{hit:.0} %")),
            format!("{:.0} %", kernel.l2_hit_pct),
            short(kernel.l2_gb),
            short(kernel.dram_gb),
            short(kernel.energy_mj),
        ]);
    }
    output::render(&table) + "\n"
}

fn rounds(frame: &FrameResult) -> String {
    let header = ["round", "rays alive", "steps", "slots", "queries", "time ms"];
    let mut table = output::table(&header, 0);
    for round in &frame.rounds {
        table.add_row(vec![
            round.round.to_string(),
            format!("{:.0}", round.alive),
            round.steps.to_string(),
            round.elements.to_string(),
            format!("{:.0}", round.queries),
            short(round.time_ms),
        ]);
    }
    output::render(&table) + "\n"
}
