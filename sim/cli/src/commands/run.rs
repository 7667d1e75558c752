//! `lumacycle run APP --gpu …`: a frame, a training step or a camera path of an application.

use std::path::Path;
use std::sync::Arc;

use lumacycle_arch::{AcceleratorEntry, Entry};
use lumacycle_engines::Options;
use lumacycle_sim::accelerated::AcceleratedFrame;
use lumacycle_sim::frame::{FrameError, FrameResult, GpuFrame};
use lumacycle_workloads::apps::{
    Application, EncodingChoice, Frame, Rest, frame, splat, training_step,
};
use lumacycle_workloads::rays::View;
use lumacycle_workloads::scene::{Scene, SceneError};
use miette::NamedSource;
use rayon::prelude::*;
use serde_json::{Value, json};

use super::accelerated::{self, PaperReading, With};
use super::catalog::{csv, json_out};
use super::inputs;
use super::timeline::Track;
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
    let image = args.field.image.as_deref().filter(|_| args.app == super::tensorf::APP);
    let files = [args.output.output.as_deref(), args.timeline.as_deref(), image];
    output::possible(&files, args.report.as_deref())?;
    if args.app == super::tensorf::APP {
        return super::tensorf::run(args);
    }
    let (width, height, eyes) = inputs::resolution(args.size())?;
    inputs::tell_ignored(args);
    let (gpus, options) = super::chosen(&args.gpus(), &args.gpu.engine)?;
    let accelerators = accelerated::chosen(args)?;
    let shares = inputs::shares(args)?;
    let gaussians = args.gaussians.unwrap_or(GAUSSIANS);
    if !(1.0..=1e9).contains(&gaussians) {
        return Err(Failure::usage("--gaussians is out of range", "it lies between 1 and 1e9"));
    }
    let app = (args.app != "splat").then(|| application(args)).transpose()?;
    let name = args.scene.as_deref();
    let name = name.unwrap_or_else(|| app.as_ref().map_or("room", Application::usual_scene));
    let scene = inputs::scene(name, args.camera.as_deref())?;
    let counts = args.samples.as_deref().map(inputs::sample_counts).transpose()?;
    if let Some(counts) = counts.as_ref().filter(|c| (c.width, c.height) != (width, height)) {
        output::say(&format!(
            "note: --samples has {} x {} counts; the nearest one serves each of {width} x {height} \
             pixels",
            counts.width, counts.height
        ));
    }
    let bad_scene = |error: &SceneError| Failure::BadScene {
        file: name.to_owned(),
        what: error.what.clone(),
        help: error.help.clone(),
    };
    // A frame holds its samples, so each is priced at once and dropped.
    let at = |share: f64| -> Result<Vec<Place>, Failure> {
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
            Some(app) => {
                frame(app, &scene, &view, counts.as_ref()).map_err(|error| bad_scene(&error))?
            }
            None => splat::frame(&scene, &view, gaussians).map_err(|error| bad_scene(&error))?,
        };
        let asked = app.as_ref().map(|app| (app, scene.aabb_scale, &accelerators[..]));
        gpus.iter().map(|gpu| priced(args, &frame, gpu, options, asked)).collect()
    };
    let by_place: Vec<Vec<Place>> =
        shares.par_iter().map(|share| at(*share)).collect::<Result<_, _>>()?;
    let mut results: Vec<Vec<FrameResult>> = vec![Vec::new(); gpus.len()];
    let mut with: Vec<With> = Vec::new();
    for (number, gpu) in gpus.iter().enumerate() {
        for index in 0..accelerators.len() {
            let frames = by_place.iter().filter_map(|place| place.get(number)?.1.get(index));
            with.push(With {
                gpu: gpu.id.clone(),
                gpu_name: gpu.gpu.gpu.name.clone(),
                frames: frames.cloned().collect(),
            });
        }
    }
    let mut tracks = Vec::new();
    for place in by_place {
        for (results, (result, _, own)) in results.iter_mut().zip(place) {
            tracks.extend(own);
            results.push(result);
        }
    }
    if let Some(path) = &args.timeline {
        super::timeline::write(path, &tracks)?;
    }
    let mut paper = Vec::new();
    if args.as_published {
        for entry in &accelerators {
            let reading = PaperReading::of(args, entry)?;
            paper.extend(reading.map(|reading| (reading, entry)));
        }
    }
    let heading = heading(args, &scene, (width, height, eyes));
    if let Some(folder) = &args.report {
        super::report::rendered(folder, &heading, &shares, &results, &with)?;
    }
    print(args, &heading, &shares, &Results { alone: &results, with: &with, paper: &paper })
}

/// A frame on the GPU alone, and with each accelerator.
type Place = (FrameResult, Vec<AcceleratedFrame>, Vec<Track>);

/// What there is to print.
struct Results<'a> {
    alone: &'a [Vec<FrameResult>],
    with: &'a [With],
    paper: &'a [(PaperReading, &'a AcceleratorEntry)],
}

fn priced(
    args: &RunArgs,
    frame: &Frame,
    gpu: &Entry,
    options: Options,
    asked: Option<(&Application, u32, &[AcceleratorEntry])>,
) -> Result<Place, Failure> {
    for launch in &frame.launches {
        lumacycle_sim::replay::fits(launch.name, launch.operation.resident_bytes(), gpu)?;
    }
    let bad = |error: &FrameError| {
        Failure::usage(format!("{}: {error}", gpu.gpu.gpu.name), "choose another GPU or network")
    };
    let priced = GpuFrame::new(frame, gpu, options).map_err(|error| bad(&error))?;
    // What binds is for programs, and for `explain`, which is one of them.
    let relieved = match args.output.format {
        Format::Json => Some(priced.relieved().map_err(|error| bad(&error))?),
        _ => None,
    };
    let mut with = Vec::new();
    if let Some((app, scale, accelerators)) = asked {
        for entry in accelerators {
            let built = priced.accelerate(app, scale, entry, relieved.as_ref());
            with.push(built.map_err(|error| accelerated::refused(args, entry, error))?);
        }
    }
    let mut result = priced.result().clone();
    result.bounds = relieved.as_ref().map(|relieved| priced.bounds(relieved));
    let (_, _, eyes) = inputs::resolution(args.size())?;
    if eyes > 1 {
        result.repeat(f64::from(eyes));
        for frame in &mut with {
            frame.repeat(f64::from(eyes));
        }
        result.assumptions.push(format!("{eyes} eyes, each rendered like the first"));
    }
    let mut tracks = Vec::new();
    if args.timeline.is_some() {
        let name = &gpu.gpu.gpu.name;
        tracks.push(Track { name: name.clone(), spans: priced.spans(), engines: Vec::new() });
        if let Some((app, scale, accelerators)) = asked {
            for entry in accelerators {
                let laid = priced.accelerated_spans(app, scale, entry);
                let laid = laid.map_err(|error| accelerated::refused(args, entry, error))?;
                let name = format!("{name} with {}", entry.accelerator.accelerator.name);
                tracks.push(Track { name, spans: laid.kernels, engines: laid.engines });
            }
        }
    }
    Ok((result, with, tracks))
}

fn unknown_app(name: &str) -> Failure {
    Failure::UnknownName {
        what: format!("there is no application called \"{name}\""),
        help: format!(
            "known: {}, splat, tensorf; or give a file (NAME.toml) of your own",
            Application::names().join(", ")
        ),
    }
}

fn application(args: &RunArgs) -> Result<Application, Failure> {
    let mut app = if inputs::is_file(&args.app, "toml") {
        let text = super::description(Path::new(&args.app))?;
        Application::parse(&text).map_err(|error| Failure::BadText {
            help: lumacycle_arch::meant(&error.what).unwrap_or(error.help),
            what: error.what,
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

fn print(args: &RunArgs, heading: &str, shares: &[f64], all: &Results<'_>) -> Result<(), Failure> {
    let results = all.alone;
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
                        "frame_ms": spread(frames).json()})
                })
                .collect();
            json_out(
                &args.output,
                &with_accelerators(
                    json!({"version": lumacycle_sim::VERSION, "run": heading, "results": gpus}),
                    shares,
                    all,
                ),
            )
        }
        Format::Csv if !all.with.is_empty() => {
            if !all.paper.is_empty() {
                output::say(
                    "note: CSV has no column for the paper's own reading; use --format json",
                );
            }
            let bytes = csv(&ACCELERATED_HEADER, accelerated_rows(shares, all.with).into_iter())?;
            output::write(args.output.output.as_deref(), &bytes)
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
            if !all.with.is_empty() {
                text.push_str(&accelerated::summary(all.with));
                if let [only] = all.with
                    && let [first] = &only.frames[..]
                {
                    text.push_str(&accelerated::details(first));
                }
                for (reading, entry) in all.paper {
                    text.push_str(&reading.text(entry));
                }
                if args.as_published && all.paper.is_empty() {
                    text.push_str(NO_PAPER);
                }
            } else if let [only] = results
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

/// Said where the paper's own reading was asked for and there is none.
const NO_PAPER: &str = "\nthe paper covers nerf, nsdf, nvr and gia with their own tables only; the \
     reading above follows its arithmetic with this frame's GPU times and samples\n";

/// Adds what concerns accelerators to the result for programs.
fn with_accelerators(mut value: Value, shares: &[f64], all: &Results<'_>) -> Value {
    if all.with.is_empty() {
        return value;
    }
    let list: Vec<Value> = all
        .with
        .iter()
        .map(|with| {
            let frames: Vec<Value> = shares
                .iter()
                .zip(&with.frames)
                .map(|(at, frame)| json!({"at": at, "frame": frame}))
                .collect();
            json!({"gpu": with.gpu, "gpu_name": with.gpu_name, "frames": frames})
        })
        .collect();
    value["accelerated"] = json!(list);
    if !all.paper.is_empty() {
        let paper: Vec<Value> =
            all.paper.iter().map(|(reading, entry)| reading.json(entry)).collect();
        value["as_published"] = json!(paper);
    }
    value
}

const ACCELERATED_HEADER: [&str; 15] = [
    "gpu",
    "accelerator",
    "at",
    "frame_ms",
    "speedup",
    "as_published_ms",
    "as_published_speedup",
    "gpu_alone_ms",
    "accelerator_ms",
    "gpu_ms",
    "energy_mj",
    "gpu_alone_mj",
    "area_mm2",
    "scene_switch_ms",
    "amdahl",
];

fn accelerated_rows(shares: &[f64], with: &[With]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for with in with {
        for (at, frame) in shares.iter().zip(&with.frames) {
            let mut row = vec![with.gpu.clone(), frame.accelerator.clone(), format!("{at:.4}")];
            let values = [
                frame.frame_ms,
                frame.speedup,
                frame.as_published_ms,
                frame.as_published_speedup,
                frame.gpu_alone_ms,
                frame.accelerator_ms,
                frame.gpu_ms,
                frame.energy_mj,
                frame.gpu_alone_mj,
                frame.area_mm2,
                frame.scene_switch_ms,
                // What an accelerator that takes no time would leave.
                frame.gpu_alone_ms / frame.gpu_ms.max(f64::MIN_POSITIVE),
            ];
            row.extend(values.map(|value| format!("{value:.6}")));
            rows.push(row);
        }
    }
    rows
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

/// Frame times of a path, in ms.
struct FrameTimes {
    least: f64,
    median: f64,
    p95: f64,
    most: f64,
}

impl FrameTimes {
    fn json(&self) -> serde_json::Value {
        json!({"least": self.least, "median": self.median, "p95": self.p95, "most": self.most})
    }
}

fn spread(frames: &[FrameResult]) -> FrameTimes {
    let mut times: Vec<f64> = frames.iter().map(|frame| frame.frame_ms).collect();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = (times.len().saturating_sub(1) as f64 * share).round() as usize;
        times.get(index).copied().unwrap_or_default()
    };
    FrameTimes { least: at(0.0), median: at(0.5), p95: at(0.95), most: at(1.0) }
}

fn summary(results: &[Vec<FrameResult>]) -> String {
    let path = results.first().is_some_and(|frames| frames.len() > 1);
    let mut header =
        vec!["GPU", if path { "median ms" } else { "time ms" }, "per s", "kernels ms", "gaps ms"];
    if path {
        header.extend(["least", "p95", "most"]);
    }
    header.extend(["encoding", "MLP", "rest", "DRAM GB", "energy mJ", "mean W"]);
    let mut table = output::table(&header, 1);
    for frames in results {
        let Some(first) = frames.first() else { continue };
        let times = spread(frames);
        let shown = if path {
            frames.iter().find(|f| f.frame_ms == times.median).unwrap_or(first)
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
            row.extend([short(times.least), short(times.p95), short(times.most)]);
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
    let million = |count: f64| match count {
        c if c >= 1e5 => format!("{:.2} M", c / 1e6),
        c => format!("{c:.0}"),
    };
    let mut text = format!(
        "  {} queries in {} slots",
        million(frame.queries),
        million(frame.elements.max(frame.queries))
    );
    if let Some(per_ray) = &frame.per_ray {
        text.push_str(&format!(
            "; samples per ray: mean {:.2}, median {:.0}, p90 {:.0}, most {:.0}; {} round{}",
            per_ray.mean,
            per_ray.median,
            per_ray.p90,
            per_ray.largest,
            frame.rounds.len(),
            if frame.rounds.len() == 1 { "" } else { "s" }
        ));
    }
    if frame.queries == 0.0 {
        text.push_str(
            "; the camera sees nothing (check where it stands, and the scale of the scene)",
        );
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
