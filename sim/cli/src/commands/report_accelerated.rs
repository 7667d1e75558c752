//! What a page about a frame says of accelerators beside its GPUs: times, what lies between the paper's rules and the
//! frame as built, units and levels. Of a path, the first frame stands for all but the times.

use lumacycle_figures::page::Page;
use lumacycle_sim::accelerated::AcceleratedFrame;

use super::accelerated::With;
use crate::output::short;

/// What a frame is called.
fn named(with: &With, frame: &AcceleratedFrame) -> String {
    format!("{} with {}", with.gpu_name, frame.accelerator_name)
}

fn firsts(all: &[With]) -> impl Iterator<Item = (&With, &AcceleratedFrame)> {
    all.iter().filter_map(|with| Some((with, with.frames.first()?)))
}

fn mean(with: &With, of: fn(&AcceleratedFrame) -> f64) -> f64 {
    with.frames.iter().map(of).sum::<f64>() / with.frames.len().max(1) as f64
}

/// Headline numbers, beside those of the GPUs alone.
pub fn headline(all: &[With]) -> Vec<(String, String, String)> {
    let number = |(with, first): (&With, &AcceleratedFrame)| {
        let (frame_ms, alone_ms) =
            (mean(with, |frame| frame.frame_ms), mean(with, |frame| frame.gpu_alone_ms));
        let among = if with.frames.len() > 1 { ", mean along the path" } else { "" };
        let beside = format!("{:.2} times as fast{among}", alone_ms / frame_ms);
        (named(with, first), format!("{} ms", short(frame_ms)), beside)
    };
    firsts(all).map(number).collect()
}

/// Tables of all accelerators.
pub fn tables(page: &mut Page, all: &[With]) {
    if firsts(all).next().is_none() {
        return;
    }
    page.heading("Accelerators");
    page.table(
        &[
            "accelerator",
            "GPU",
            "frame ms",
            "speedup",
            "by the paper's rules ms",
            "energy mJ",
            "area mm²",
            "bound there by",
        ],
        firsts(all).map(|(with, first)| {
            let frame_ms = mean(with, |frame| frame.frame_ms);
            vec![
                first.accelerator.clone(),
                with.gpu.clone(),
                short(frame_ms),
                format!("{:.2}", mean(with, |frame| frame.gpu_alone_ms) / frame_ms),
                short(mean(with, |frame| frame.as_published_ms)),
                short(mean(with, |frame| frame.energy_mj)),
                short(first.area_mm2),
                first.accelerator_bound_by.name().to_owned(),
            ]
        }),
    );
    page.heading("From the paper's rules to the frame as built");
    page.table(
        &["accelerator", "GPU", "what is counted", "frame ms", "adds ms", "accelerator ms"],
        firsts(all).flat_map(|(with, frame)| {
            frame.causes.iter().map(|cause| {
                vec![
                    frame.accelerator.clone(),
                    with.gpu.clone(),
                    cause.cause.to_owned(),
                    short(cause.frame_ms),
                    format!("{:+.3}", cause.adds_ms),
                    short(cause.accelerator_ms),
                ]
            })
        }),
    );
    page.heading("Units of the accelerator");
    page.table(
        &["accelerator", "GPU", "unit", "busy, % of the frame"],
        firsts(all).flat_map(|(with, frame)| {
            frame.busy.iter().filter(|row| row.busy_pct > 0.0).map(|row| {
                vec![
                    frame.accelerator.clone(),
                    with.gpu.clone(),
                    row.unit.name().to_owned(),
                    format!("{:.1}", row.busy_pct),
                ]
            })
        }),
    );
    page.heading("Levels of the encoding");
    page.table(
        &[
            "accelerator",
            "GPU",
            "level",
            "home",
            "resolution",
            "table MiB",
            "hits %",
            "clocks a sample",
            "of them banks",
            "misses a sample",
        ],
        firsts(all).flat_map(|(with, frame)| {
            frame.levels.iter().map(|level| {
                vec![
                    frame.accelerator.clone(),
                    with.gpu.clone(),
                    level.level.to_string(),
                    level.home.name().to_owned(),
                    level.resolution.to_string(),
                    short(level.table_mib),
                    format!("{:.1}", level.hit_pct),
                    format!("{:.2}", level.cycles),
                    format!("{:.2}", level.conflict_cycles),
                    format!("{:.3}", level.missed_lines),
                ]
            })
        }),
    );
}

/// What was taken for granted, by accelerator.
pub fn assumptions(all: &[With]) -> Vec<String> {
    let mut list: Vec<String> = firsts(all)
        .flat_map(|(_, frame)| {
            frame.assumptions.iter().map(|said| format!("{}: {said}", frame.accelerator))
        })
        .collect();
    list.dedup();
    list
}
