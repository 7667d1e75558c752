//! `lumacycle run tensorf`: a frame of a decomposed field on GPUs, as its authors render it, and on
//! accelerators of their own, cube after cube.

use std::fmt::Write as _;
use std::path::Path;

use lumacycle_arch::{Catalog, Entry, SparseEntry};
use lumacycle_engines::sparse::SparseEnergyUse;
use lumacycle_engines::{EngineError, Options};
use lumacycle_sim::frame::{FrameError, FrameResult, GpuFrame};
use lumacycle_sim::tensorf::{self, Pixels, Prepared, Sampled, TensorfFrame};
use lumacycle_workloads::rays::View;
use lumacycle_workloads::scene::Scene;
use lumacycle_workloads::tensorf::encoded::Storage;
use lumacycle_workloads::tensorf::{Factors, Field, Image, Synthetic, import};
use rayon::prelude::*;
use serde_json::{Value, json};

use super::catalog::{csv, json_out};
use super::{inputs, report_tensorf};
use crate::args::{Format, RunArgs};
use crate::failure::Failure;
use crate::output::{self, short};

/// Name of the application.
pub const APP: &str = "tensorf";
/// Scene unless told otherwise.
const SCENE: &str = "statue";
/// Cubes along an axis for a GPU alone: TensoRF's first occupancy grid.
const CUBES: u32 = 128;
/// Pixels of an image that are rendered in colour, at most: each shaded point costs ten microseconds.
const MOST_PIXELS: u64 = 1 << 22;

/// An accelerator by name or from a file.
pub fn accelerator(catalog: &Catalog, name: &str) -> Result<SparseEntry, Failure> {
    let path = Path::new(name);
    if !inputs::is_file(name, "toml") {
        if catalog.accelerator(name).is_ok() {
            return Err(wrong_kind(name));
        }
        return catalog.sparse_accelerator(name).map_err(|error| super::unknown(name, error));
    }
    let text = super::description(path)?;
    if !catalog.is_sparse_accelerator(&text)
        && (catalog.is_gpu(&text) || catalog.is_accelerator(&text))
    {
        return Err(wrong_kind(name));
    }
    let id = path.file_stem().map_or_else(|| name.to_owned(), |s| s.to_string_lossy().into_owned());
    Ok(catalog.parse_sparse_accelerator(&id, name, &text)?)
}

fn wrong_kind(name: &str) -> Failure {
    Failure::usage(
        format!("{name} does not render decomposed fields"),
        "tensorf runs on rt-nerf-edge, rt-nerf-cloud, or a file that starts with base = \"rt-nerf-edge\"",
    )
}

/// Factors of the command line.
fn factors(args: &RunArgs, scene: &Scene) -> Result<Factors, Failure> {
    let prune = args.field.prune;
    if prune.is_some_and(|share| !(0.0..1.0).contains(&share)) {
        return Err(Failure::usage("--prune is out of range", "it is a share in [0, 1)"));
    }
    let Some(folder) = &args.field.factors else {
        let usual = Synthetic::default();
        return Ok(
            Synthetic { threshold: prune.unwrap_or(usual.threshold), ..usual }.factors(scene)
        );
    };
    if !folder.is_dir() {
        return Err(Failure::BadScene {
            file: folder.display().to_string(),
            what: "there is no such folder".to_owned(),
            help: "give the folder that holds an .npy of each array of the checkpoint".to_owned(),
        });
    }
    let mut broken = None;
    let read = |name: &str| {
        let path = folder.join(format!("{name}.npy"));
        if !path.exists() {
            return None;
        }
        inputs::bytes_of(&path).map_err(|failure| broken = Some(failure)).ok()
    };
    let made = import::factors(read);
    if let Some(failure) = broken {
        return Err(failure);
    }
    let mut factors = made.map_err(|error| Failure::BadScene {
        file: folder.join(format!("{}.npy", error.array)).display().to_string(),
        what: error.what,
        help: error.help,
    })?;
    if let Some(share) = prune {
        factors.prune_and_round(share, 16);
    }
    Ok(factors)
}

/// Frames along the path.
pub struct Results {
    /// Places on it.
    pub shares: Vec<f64>,
    /// Frames of each GPU.
    pub gpus: Vec<Vec<FrameResult>>,
    /// Frames of each accelerator.
    pub accelerated: Vec<Vec<TensorfFrame>>,
    /// Picture that was written, with its likeness in dB.
    pub image: Option<(String, f64)>,
}

/// Whether a picture can be made, told before anything is computed.
fn drawable(path: &Path, pixels: u64) -> Result<(), Failure> {
    if pixels > MOST_PIXELS {
        return Err(Failure::usage(
            "--image is for images up to 4 M pixels",
            "choose a smaller --resolution",
        ));
    }
    let other = path.extension().filter(|end| !end.eq_ignore_ascii_case("png"));
    let Some(other) = other else { return Ok(()) };
    Err(Failure::usage(
        format!("--image writes PNG, not {}", other.to_string_lossy()),
        "end the name in .png",
    ))
}

pub fn run(args: &RunArgs) -> Result<(), Failure> {
    let (width, height, eyes) = inputs::resolution(args.size())?;
    if eyes > 1 || args.train || args.as_published || args.samples.is_some() {
        return Err(Failure::usage(
            "tensorf renders single images of its own samples",
            "leave eyes, --train, --as-published and --samples out",
        ));
    }
    if let Some(path) = &args.field.image {
        drawable(path, u64::from(width) * u64::from(height))?;
    }
    inputs::tell_ignored_by_field(args);
    let catalog = Catalog::embedded();
    let (gpus, options) = super::chosen(&args.gpus(), &args.gpu.engine)?;
    let accelerators: Result<Vec<_>, _> =
        args.accelerators.iter().map(|name| accelerator(&catalog, name)).collect();
    let accelerators = accelerators?;
    let name = args.scene.as_deref().unwrap_or(SCENE);
    let scene = inputs::scene(name, args.camera.as_deref())?;
    let shares = inputs::shares(args)?;
    let factors = factors(args, &scene)?;
    let views: Result<Vec<View>, Failure> =
        shares.iter().map(|share| view(&scene, *share, width, height)).collect();
    let views = views?;
    let mut results = Results { shares, gpus: Vec::new(), accelerated: Vec::new(), image: None };
    if !gpus.is_empty() {
        let field = Field::new(factors.clone(), CUBES);
        none_seen(&field);
        let explained = args.output.format == Format::Json;
        results.gpus = on_gpus(&gpus, (options, explained), &field, &scene, &views)?;
    }
    let pixels = if args.field.every_pixel { Pixels::All } else { Pixels::Sampled };
    let (mut drawn, mut factors) = (None, Some(factors));
    for (number, entry) in accelerators.iter().enumerate() {
        // The last one needs no copy of its own.
        let last = number + 1 == accelerators.len();
        let Some(own) = (if last { factors.take() } else { factors.clone() }) else { break };
        let prepared = Prepared::new(own, entry);
        if gpus.is_empty() && drawn.is_none() {
            none_seen(prepared.field());
        }
        let frames: Result<Vec<_>, EngineError> = views
            .par_iter()
            .map(|view| match args.output.format {
                Format::Json => tensorf::explained(entry, &scene, view, &prepared, pixels),
                _ => tensorf::accelerated(entry, &scene, view, &prepared, pixels),
            })
            .collect();
        results.accelerated.push(frames.map_err(|error| refused(&error))?);
        if drawn.is_none() {
            drawn = Some((prepared, entry.clone()));
        }
    }
    if let (Some(path), Some(view)) = (&args.field.image, views.first()) {
        if let Some(factors) = factors {
            let entry = catalog.sparse_accelerator("rt-nerf-edge")?;
            drawn = Some((Prepared::new(factors, &entry), entry));
        }
        if let Some((prepared, entry)) = drawn {
            let rendered = tensorf::image(&entry, &scene, view, &prepared);
            output::write(Some(path), &png(&rendered.image)?)?;
            results.image = Some((path.display().to_string(), rendered.psnr_db));
        }
    }
    let heading = format!("tensorf, scene {}, {width} x {height}", scene.name);
    if let Some(folder) = &args.report {
        report_tensorf::rendered(folder, &heading, &results)?;
    }
    print(args, &heading, &results)
}

fn view(scene: &Scene, share: f64, width: u32, height: u32) -> Result<View, Failure> {
    let camera = scene.path.at(share).ok_or_else(|| {
        Failure::usage("the camera path is empty", "give a --camera file with frames")
    })?;
    Ok(View { camera, width, height })
}

/// Says so where a field holds nothing.
fn none_seen(field: &Field) {
    if field.cubes.count() == 0 {
        output::say("note: the field is empty: no place in it is dense (all-zero factors?)");
    }
}

fn refused(error: &EngineError) -> Failure {
    match error {
        EngineError::Accelerator { path, what, help } => Failure::BadScene {
            file: (*path).to_owned(),
            what: what.clone(),
            help: (*help).to_owned(),
        },
        other => Failure::usage(other.to_string(), "choose another accelerator"),
    }
}

fn on_gpus(
    gpus: &[Entry],
    (options, explained): (Options, bool),
    field: &Field,
    scene: &Scene,
    views: &[View],
) -> Result<Vec<Vec<FrameResult>>, Failure> {
    gpus.iter()
        .map(|gpu| {
            views
                .iter()
                .map(|view| {
                    let frame = Sampled::new(field, scene, view).gpu_frame(field);
                    for launch in &frame.launches {
                        let bytes = launch.operation.resident_bytes();
                        lumacycle_sim::replay::fits(launch.name, bytes, gpu)?;
                    }
                    let refused = |error: &FrameError| {
                        Failure::usage(
                            format!("{}: {error}", gpu.gpu.gpu.name),
                            "choose another GPU",
                        )
                    };
                    let priced =
                        GpuFrame::new(&frame, gpu, options).map_err(|error| refused(&error))?;
                    let mut result = priced.result().clone();
                    if explained {
                        let relieved = priced.relieved().map_err(|error| refused(&error))?;
                        result.bounds = Some(priced.bounds(&relieved));
                    }
                    Ok(result)
                })
                .collect()
        })
        .collect()
}

fn png(image: &Image) -> Result<Vec<u8>, Failure> {
    let failed = |error: png::EncodingError| Failure::Internal { what: error.to_string() };
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, image.width, image.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&image.to_rgb8()).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(bytes)
}

const CSV_HEADER: [&str; 17] = [
    "device",
    "kind",
    "at",
    "frame_ms",
    "frames_per_s",
    "energy_mj",
    "power_w",
    "bound_by",
    "points",
    "shaded",
    "uniform_occupied",
    "uniform_shaded",
    "dram_mb",
    "factor_mb",
    "sparsity",
    "resident",
    "area_mm2",
];

fn csv_rows(results: &Results) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for frames in &results.gpus {
        for (at, frame) in results.shares.iter().zip(frames) {
            let kernel = frame.kernels.first();
            let dram = frame.traffic.dram_read_bytes + frame.traffic.dram_write_bytes;
            let mut row = vec![frame.gpu.clone(), "gpu".to_owned(), format!("{at:.4}")];
            row.extend(
                [frame.frame_ms, frame.frames_per_s, frame.energy_mj, frame.mean_power_w]
                    .map(|v| format!("{v:.6}")),
            );
            row.push(kernel.map_or_else(String::new, |k| k.bound_by.to_string()));
            row.extend(["", ""].map(str::to_owned));
            row.extend([String::new(), format!("{:.0}", frame.queries)]);
            row.push(format!("{:.3}", dram / 1e6));
            row.extend(["", "", "", ""].map(str::to_owned));
            rows.push(row);
        }
    }
    for frames in &results.accelerated {
        for (at, frame) in results.shares.iter().zip(frames) {
            let f = &frame.frame;
            let mut row =
                vec![frame.accelerator.clone(), "accelerator".to_owned(), format!("{at:.4}")];
            row.extend(
                [f.frame_ms, frame.frames_per_s, f.energy.total_mj(), f.power_w]
                    .map(|v| format!("{v:.6}")),
            );
            row.push(f.bound_by.name().to_owned());
            row.extend(
                [
                    frame.counts.points,
                    frame.counts.shaded,
                    frame.uniform.occupied,
                    frame.uniform.shaded,
                ]
                .map(|v| format!("{v:.0}")),
            );
            row.push(format!("{:.3}", (f.dram_read_bytes + f.dram_write_bytes) / 1e6));
            row.push(format!("{:.3}", f.factor_bytes / 1e6));
            row.push(format!("{:.5}", frame.sparsity));
            row.push(f.resident.to_string());
            row.push(format!("{:.3}", frame.area_mm2));
            rows.push(row);
        }
    }
    rows
}

fn print(args: &RunArgs, heading: &str, results: &Results) -> Result<(), Failure> {
    let to = args.output.output.as_deref();
    match args.output.format {
        Format::Json => {
            let frames = |list: Vec<Value>| {
                let rows = results.shares.iter().zip(list);
                rows.map(|(at, frame)| json!({"at": at, "frame": frame})).collect::<Vec<_>>()
            };
            let gpus: Vec<Value> = results
                .gpus
                .iter()
                .map(|list| json!({"gpu": list.first().map(|f| &f.gpu), "frames": frames(list.iter().map(|f| json!(f)).collect())}))
                .collect();
            let accelerated: Vec<Value> = results
                .accelerated
                .iter()
                .map(|list| json!({"accelerator": list.first().map(|f| &f.accelerator), "frames": frames(list.iter().map(|f| json!(f)).collect())}))
                .collect();
            let mut value = json!({"version": lumacycle_sim::VERSION, "run": heading,
                "results": gpus, "accelerated": accelerated});
            if let Some((file, psnr)) = &results.image {
                value["image"] = json!({"file": file, "psnr_db": psnr});
            }
            json_out(&args.output, &value)
        }
        Format::Csv => output::write(to, &csv(&CSV_HEADER, csv_rows(results).into_iter())?),
        Format::Table => output::write(to, text(heading, results).as_bytes()),
    }
}

fn text(heading: &str, results: &Results) -> String {
    let mut text = format!("{heading}\n");
    let header =
        ["device", "frame ms", "per s", "energy mJ", "mean W", "shaded M", "DRAM MB", "bound by"];
    let mut table = output::table(&header, 1);
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
    for frames in &results.gpus {
        let Some(first) = frames.first() else { continue };
        let of = |value: fn(&FrameResult) -> f64| mean(frames.iter().map(value).collect());
        let time = of(|f| f.frame_ms);
        table.add_row(vec![
            first.gpu_name.clone(),
            short(time),
            short(1e3 / time),
            short(of(|f| f.energy_mj)),
            short(of(|f| f.energy_mj) / time),
            short(of(|f| f.queries) / 1e6),
            short(of(|f| f.traffic.dram_read_bytes + f.traffic.dram_write_bytes) / 1e6),
            first
                .kernels
                .first()
                .map_or_else(String::new, |k| format!("{} ({})", k.bound_by, k.name)),
        ]);
    }
    for frames in &results.accelerated {
        let Some(first) = frames.first() else { continue };
        let of = |value: fn(&TensorfFrame) -> f64| mean(frames.iter().map(value).collect());
        let time = of(|f| f.frame.frame_ms);
        table.add_row(vec![
            first.accelerator_name.clone(),
            short(time),
            short(1e3 / time),
            short(of(|f| f.frame.energy.total_mj())),
            short(of(|f| f.frame.energy.total_mj()) / time),
            short(of(|f| f.counts.shaded) / 1e6),
            short(of(|f| f.frame.dram_read_bytes + f.frame.dram_write_bytes) / 1e6),
            first.frame.bound_by.name().to_owned(),
        ]);
    }
    text.push_str(&output::render(&table));
    if results.shares.len() > 1 {
        let _ = writeln!(text, "  means over {} places of the camera path", results.shares.len());
    }
    if let Some(first) = results.accelerated.first().and_then(|frames| frames.first()) {
        text.push_str(&details(first));
    } else if let Some(first) = results.gpus.first().and_then(|frames| frames.first()) {
        let _ = writeln!(text, "\n  assuming: {}", first.assumptions.join("; "));
    }
    if let Some((file, psnr)) = &results.image {
        let _ =
            writeln!(text, "\n  {file}: {psnr:.1} dB against uniform sampling of the same field");
    }
    text
}

/// Units, energy and storage of one frame.
fn details(frame: &TensorfFrame) -> String {
    let f = &frame.frame;
    let mut text = format!("\n{}: what its units do in a frame\n", frame.accelerator_name);
    let mut table = output::table(&["unit", "works", "waits for work", "waits for room"], 1);
    for unit in &f.units {
        let share = |value: f64| format!("{value:.1} %");
        table.add_row(vec![
            unit.unit.name().to_owned(),
            share(unit.busy_pct),
            share(unit.starved_pct),
            share(unit.blocked_pct),
        ]);
    }
    text.push_str(&output::render(&table));
    let million = |count: f64| short(count / 1e6);
    let (c, u) = (&frame.counts, &frame.uniform);
    let _ = writeln!(
        text,
        "\n  search units {:.1} %, trees {:.1} % busy; MACs {:.1} % useful; {:.1} of 48 density components a point\n  \
         {} cubes hold something; {} visits, {:.0} % of them hidden; {} M pixels and {} M samples tested\n  \
         {} M points get a density, {} M a colour; uniform sampling: {} M steps, {} M in the box, {} M densities, \
         {} M colours",
        f.search_busy_pct,
        f.tree_busy_pct,
        f.mac_utilisation_pct,
        f.components_per_point,
        c.cubes,
        c.visits,
        100.0 * c.hidden / c.visits.max(1.0),
        million(c.pixels_tested),
        million(c.tested),
        million(c.points),
        million(c.shaded),
        million(u.steps),
        million(u.inside),
        million(u.occupied),
        million(u.shaded),
    );
    let energy = energy_parts(&f.energy).map(|(part, mj)| format!("{part} {}", short(mj)));
    let _ =
        writeln!(text, "  energy, mJ: {}; area {} mm2", energy.join(", "), short(frame.area_mm2));
    text.push_str(&storage("planes", &frame.planes));
    text.push_str(&storage("lines", &frame.lines));
    let _ = writeln!(text, "\n  assuming: {}", assumptions(frame).join("; "));
    text
}

/// Energy of a frame by what takes it (in mJ).
pub fn energy_parts(energy: &SparseEnergyUse) -> [(&'static str, f64); 8] {
    [
        ("MLP", energy.shading_mj),
        ("buffers", energy.buffers_mj),
        ("idle", energy.idle_mj),
        ("DRAM", energy.dram_mj),
        ("SRAM", energy.sram_mj),
        ("interpolation", energy.interpolation_mj),
        ("geometry", energy.geometry_mj),
        ("search", energy.search_mj),
    ]
}

/// What was taken for granted.
pub fn assumptions(frame: &TensorfFrame) -> Vec<String> {
    let mut assumptions = frame.frame.assumptions.clone();
    if frame.sampling_pct > 0.0 {
        assumptions.push(format!(
            "one pixel in sixteen stands for the rest, which leaves the points shaded, and a time that goes by \
             them, uncertain by {:.1} % (95 %; --every-pixel counts all)",
            frame.sampling_pct
        ));
    }
    assumptions
}

fn storage(what: &str, s: &Storage) -> String {
    let mb = |bytes: f64| short(bytes / 1e6);
    format!(
        "  {what}: {:.1} % zeros ({:.0} to {:.0} % by component), {} MB as {} bitmaps, {} coordinate lists, {} others; \
         all dense {} MB, bitmaps {}, coordinates {}, rows {}, columns {}, runs {}\n",
        s.sparsity * 100.0,
        s.sparsity_range[0] * 100.0,
        s.sparsity_range[1] * 100.0,
        mb(s.bytes),
        s.bitmaps,
        s.coordinates,
        s.others,
        mb(s.dense_bytes),
        mb(s.bitmap_bytes),
        mb(s.coordinate_bytes),
        mb(s.row_bytes),
        mb(s.column_bytes),
        mb(s.run_length_bytes),
    )
}
