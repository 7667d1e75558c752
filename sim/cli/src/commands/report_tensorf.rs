//! A page about a frame of a decomposed field: GPUs as its authors render it, accelerators of their own cube after
//! cube. Of a path, the first frame stands for all but the times.

use std::path::Path;

use lumacycle_figures::page::Page;
use lumacycle_figures::{Kind, Options, Table};
use lumacycle_sim::tensorf::TensorfFrame;

use super::report;
use super::tensorf::{self, Results};
use crate::failure::Failure;
use crate::output::short;

/// `run tensorf --report`.
pub fn rendered(folder: &Path, heading: &str, results: &Results) -> Result<(), Failure> {
    let where_on = match (results.gpus.is_empty(), results.accelerated.is_empty()) {
        (false, false) => "on GPUs and on accelerators of their own",
        (false, true) => "on GPUs",
        _ => "on accelerators of their own",
    };
    let line = format!("Simulated by Lumacycle {}, {where_on}.", lumacycle_sim::VERSION);
    let mut page = Page::new(heading, &line);
    let rate = |frame_ms: f64| format!("{} frames a second", short(1e3 / frame_ms));
    let mut numbers = report::headline(&results.gpus, rate);
    numbers.extend(results.accelerated.iter().filter_map(|frames| {
        let frame_ms = mean(frames, |frame| frame.frame.frame_ms);
        let among = if frames.len() > 1 { ", mean along the path" } else { "" };
        let beside = format!("{}{among}", rate(frame_ms));
        Some((frames.first()?.accelerator_name.clone(), format!("{} ms", short(frame_ms)), beside))
    }));
    page.headline(&numbers);
    page.heading("Figures");
    if !results.gpus.is_empty() {
        report::figures(&mut page, &results.shares, &results.gpus);
    }
    figures(&mut page, results);
    if !results.accelerated.is_empty() {
        accelerators(&mut page, &results.accelerated);
        work(&mut page, &results.accelerated);
        factors(&mut page, &results.accelerated);
    }
    if !results.gpus.is_empty() {
        page.heading("Kernels of the GPU");
        report::kernels(&mut page, &results.gpus);
    }
    if let Some((file, psnr_db)) = &results.image {
        page.heading("Image");
        page.text(&format!("{file}: {psnr_db:.1} dB against uniform sampling of the same field."));
    }
    page.heading("Assumptions");
    let gpu = results.gpus.iter().filter_map(|frames| frames.first());
    let own = firsts(&results.accelerated).flat_map(|frame| {
        tensorf::assumptions(frame).into_iter().map(|said| format!("{}: {said}", frame.accelerator))
    });
    let mut list: Vec<String> = gpu.flat_map(|frame| frame.assumptions.clone()).collect();
    list.dedup();
    page.list(list.into_iter().chain(own));
    report::how(&mut page);
    report::save(folder, "index.html", page)
}

fn firsts(all: &[Vec<TensorfFrame>]) -> impl Iterator<Item = &TensorfFrame> {
    all.iter().filter_map(|frames| frames.first())
}

fn mean(frames: &[TensorfFrame], of: fn(&TensorfFrame) -> f64) -> f64 {
    frames.iter().map(of).sum::<f64>() / frames.len().max(1) as f64
}

/// Figures of accelerators: energy by part, how busy units are, and times along a path.
fn figures(page: &mut Page, results: &Results) {
    let all = &results.accelerated;
    let energy = firsts(all).flat_map(|frame| {
        tensorf::energy_parts(&frame.frame.energy).map(|(part, energy_mj)| {
            vec![frame.accelerator_name.clone(), part.to_owned(), energy_mj.to_string()]
        })
    });
    let usual = Options::default();
    let caption = "Energy of a frame on accelerators, by what takes it.";
    let energy = table(&["accelerator", "part", "energy_mj"], energy);
    report::drawn(page, Kind::Breakdown, &energy, &usual, caption);
    let busy = firsts(all).flat_map(|frame| {
        frame.frame.units.iter().map(|unit| {
            let name = unit.unit.name().to_owned();
            vec![name, frame.accelerator_name.clone(), unit.busy_pct.to_string()]
        })
    });
    let busy = table(&["unit", "accelerator", "busy_pct"], busy);
    let column = |name: &str| Some(name.to_owned());
    let options = Options {
        x: column("accelerator"),
        by: column("unit"),
        y: column("busy_pct"),
        y_title: Some("working (% of the frame)".to_owned()),
        ..usual.clone()
    };
    report::drawn(page, Kind::Speedup, &busy, &options, "How long each unit works.");
    if results.shares.len() > 1 {
        let times = all.iter().flat_map(|frames| {
            results.shares.iter().zip(frames).map(|(at, frame)| {
                let time = frame.frame.frame_ms.to_string();
                vec![frame.accelerator_name.clone(), at.to_string(), time]
            })
        });
        let times = table(&["accelerator", "at", "frame_ms"], times);
        let caption = "Frame time of accelerators along the camera path.";
        report::drawn(page, Kind::FrameTimes, &times, &usual, caption);
    }
}

fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Table {
    Table {
        header: header.iter().map(|name| (*name).to_owned()).collect(),
        rows: rows.enumerate().map(|(index, row)| (index + 1, row)).collect(),
    }
}

fn accelerators(page: &mut Page, all: &[Vec<TensorfFrame>]) {
    page.heading("Accelerators");
    page.table(
        &[
            "accelerator",
            "frame ms",
            "per s",
            "energy mJ",
            "mean W",
            "area mm²",
            "points with a colour, M",
            "DRAM MB",
            "bound by",
        ],
        all.iter().filter_map(|frames| {
            let first = frames.first()?;
            let frame_ms = mean(frames, |frame| frame.frame.frame_ms);
            let energy_mj = mean(frames, |frame| frame.frame.energy.total_mj());
            let dram =
                |frame: &TensorfFrame| frame.frame.dram_read_bytes + frame.frame.dram_write_bytes;
            Some(vec![
                first.accelerator.clone(),
                short(frame_ms),
                short(1e3 / frame_ms),
                short(energy_mj),
                short(energy_mj / frame_ms),
                short(first.area_mm2),
                short(mean(frames, |frame| frame.counts.shaded) / 1e6),
                short(mean(frames, dram) / 1e6),
                first.frame.bound_by.name().to_owned(),
            ])
        }),
    );
    page.heading("Units of the accelerator");
    page.table(
        &["accelerator", "unit", "works %", "waits for work %", "waits for room %"],
        firsts(all).flat_map(|frame| {
            frame.frame.units.iter().map(|unit| {
                let share = |value: f64| format!("{value:.1}");
                vec![
                    frame.accelerator.clone(),
                    unit.unit.name().to_owned(),
                    share(unit.busy_pct),
                    share(unit.starved_pct),
                    share(unit.blocked_pct),
                ]
            })
        }),
    );
    page.heading("Energy by part");
    page.table(
        &["accelerator", "part", "energy mJ", "share %"],
        firsts(all).flat_map(|frame| {
            let energy = &frame.frame.energy;
            tensorf::energy_parts(energy).map(|(part, energy_mj)| {
                let share = 100.0 * energy_mj / energy.total_mj().max(f64::MIN_POSITIVE);
                let share = format!("{share:.1}");
                vec![frame.accelerator.clone(), part.to_owned(), short(energy_mj), share]
            })
        }),
    );
}

/// What the loop over cubes does, beside what sampling rays evenly would.
fn work(page: &mut Page, all: &[Vec<TensorfFrame>]) {
    page.heading("Work of a frame");
    page.table(
        &["accelerator", "what", "cube by cube, M", "ray by ray, M"],
        firsts(all).flat_map(|frame| {
            let (cubes, rays) = (&frame.counts, &frame.uniform);
            [
                ("visits to cubes", Some(cubes.visits), None),
                ("visits that are hidden", Some(cubes.hidden), None),
                ("pixels tested", Some(cubes.pixels_tested), None),
                ("samples tested", Some(cubes.tested), Some(rays.inside)),
                ("points with a density", Some(cubes.points), Some(rays.occupied)),
                ("points with a colour", Some(cubes.shaded), Some(rays.shaded)),
            ]
            .map(|(what, by_cube, by_ray)| {
                let million = |count: Option<f64>| {
                    count.map_or_else(|| "–".to_owned(), |count| short(count / 1e6))
                };
                let accelerator = frame.accelerator.clone();
                vec![accelerator, what.to_owned(), million(by_cube), million(by_ray)]
            })
        }),
    );
}

/// How factors are stored, and what other formats would take.
fn factors(page: &mut Page, all: &[Vec<TensorfFrame>]) {
    page.heading("Factors");
    page.table(
        &[
            "accelerator",
            "factors",
            "zeros %",
            "as stored MB",
            "bitmaps",
            "coordinate lists",
            "others",
            "all dense MB",
            "all bitmaps MB",
            "all coordinates MB",
            "all rows MB",
            "all columns MB",
            "all runs MB",
        ],
        firsts(all).flat_map(|frame| {
            [("planes", &frame.planes), ("lines", &frame.lines)].map(|(what, stored)| {
                let mb = |bytes: f64| short(bytes / 1e6);
                vec![
                    frame.accelerator.clone(),
                    what.to_owned(),
                    format!("{:.1}", 100.0 * stored.sparsity),
                    mb(stored.bytes),
                    stored.bitmaps.to_string(),
                    stored.coordinates.to_string(),
                    stored.others.to_string(),
                    mb(stored.dense_bytes),
                    mb(stored.bitmap_bytes),
                    mb(stored.coordinate_bytes),
                    mb(stored.row_bytes),
                    mb(stored.column_bytes),
                    mb(stored.run_length_bytes),
                ]
            })
        }),
    );
}
