//! Pages about a replay or a frame that open offline.

use std::path::Path;

use lumacycle_figures::page::Page;
use lumacycle_figures::{Kind, Options, Table, Theme, draw};
use lumacycle_sim::frame::FrameResult;
use lumacycle_sim::replay::ReplayResult;
use lumacycle_validate::expected;
use serde_json::{Value, json};

use super::accelerated::With;
use super::report_accelerated;
use crate::failure::Failure;
use crate::output::{self, percent, short};

/// Kernels in the table of a page.
const KERNELS: usize = 500;

/// Writes a page into a folder.
pub fn save(folder: &Path, name: &str, page: Page) -> Result<(), Failure> {
    output::folder(folder)?;
    output::write(Some(&folder.join(name)), page.finish().as_bytes())
}

/// Draws a figure from the JSON that the command would write; what has no data is left out.
fn figure(page: &mut Page, kind: Kind, value: &Value, options: &Options, caption: &str) {
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    let Ok(table) = Table::parse(&bytes, kind.records()) else { return };
    let roofs = if kind == Kind::Roofline { super::plot::roofs(&table) } else { Vec::new() };
    drawn(page, kind, &table, &Options { roofs, ..options.clone() }, caption);
}

/// Draws a figure from rows; one without data is left out.
pub fn drawn(page: &mut Page, kind: Kind, table: &Table, options: &Options, caption: &str) {
    if let Ok(figure) = draw(kind, table, options, &Theme::default()) {
        page.figure(&figure, caption);
    }
}

/// The command line, with what a shell would take apart in quotes.
pub fn how(page: &mut Page) {
    page.heading("How to reproduce");
    let quoted = |word: String| {
        let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=:,".contains(c));
        if plain { word } else { format!("'{}'", word.replace('\'', "'\\''")) }
    };
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|w| quoted(w.to_string_lossy().into_owned())).collect();
    page.verbatim(&format!("lumacycle {}", words.join(" ")));
}

/// `replay --report`.
pub fn replayed(folder: &Path, results: &[ReplayResult]) -> Result<(), Failure> {
    let name = results.first().map_or("replay", |result| result.recording.as_str());
    let line = format!("Replayed by Lumacycle {}.", lumacycle_sim::VERSION);
    let mut page = Page::new(&format!("Replay of {name}"), &line);
    let mut numbers = Vec::new();
    for result in results {
        let classes = result.classes.iter().map(|c| (c.class, c.events, c.predicted_ms * 1e3));
        let (expected, known) =
            expected::interval_of_sum(&expected::table(), Some(result.compute_capability), classes);
        let beside = if known < 0.5 {
            "interval not known".to_owned()
        } else {
            let (low, high) = (expected.low_us / 1e3, expected.high_us / 1e3);
            format!("9 of 10 within {} to {} ms", short(low), short(high))
        };
        let sum = format!("{} ms", short(result.totals.predicted_sum_ms));
        numbers.push((result.gpu_name.clone(), sum, beside));
    }
    page.headline(&numbers);
    // Descriptions of work without durations have nothing to compare with.
    let recorded = |text: String, value: f64| if value > 0.0 { text } else { "–".to_owned() };
    page.table(
        &["GPU", "sum ms", "busy ms", "span ms", "recorded sum ms", "error", "energy mJ", "mean W"],
        results.iter().map(|result| {
            let t = &result.totals;
            vec![
                result.gpu_name.clone(),
                short(t.predicted_sum_ms),
                short(t.predicted_busy_ms),
                short(t.predicted_span_ms),
                recorded(short(t.recorded_sum_ms), t.recorded_sum_ms),
                percent(t.error_pct),
                short(t.energy_mj),
                format!("{:.0}", t.mean_power_w),
            ]
        }),
    );
    let value = json!(results);
    let options = Options::default();
    page.heading("Figures");
    figure(&mut page, Kind::Breakdown, &value, &options, "Predicted time by kind of work.");
    figure(&mut page, Kind::Roofline, &value, &options, "Kernels under the roofs of their GPUs.");
    page.heading("Kernels");
    page.table(
        &[
            "kernel",
            "GPU",
            "class",
            "launches",
            "recorded us",
            "predicted us",
            "bound by",
            "10 % more saves %",
        ],
        results.iter().flat_map(|result| {
            result.kernels.iter().take(KERNELS).map(|kernel| {
                vec![
                    kernel.name.clone(),
                    result.gpu.clone(),
                    kernel.class.to_string(),
                    kernel.count.to_string(),
                    recorded(format!("{:.2}", kernel.recorded_us), kernel.recorded_us),
                    format!("{:.2}", kernel.predicted_us),
                    kernel.bound_by.map_or_else(|| "kept".to_owned(), |r| r.to_string()),
                    format!("{:.1}", kernel.tenth_more_saves_pct),
                ]
            })
        }),
    );
    page.heading("Assumptions");
    page.list(results.first().map(|r| r.assumptions.clone()).unwrap_or_default().into_iter());
    how(&mut page);
    if let Some(hash) = results.first().and_then(|result| result.input_hash.as_ref()) {
        page.verbatim(&format!("input, BLAKE3: {hash}"));
    }
    save(folder, "index.html", page)
}

/// How far published frames lay from their predictions, around one.
fn spread(predicted_ms: f64) -> String {
    expected::frames().map_or_else(
        || "interval not known".to_owned(),
        |frames| {
            format!(
                "{} to {} ms as far as {} published frames were off",
                short(predicted_ms * frames.low),
                short(predicted_ms * frames.high),
                frames.rows
            )
        },
    )
}

/// Headline numbers of GPUs: the median time of their frames, with what is said beside it.
pub fn headline(
    results: &[Vec<FrameResult>],
    beside: fn(f64) -> String,
) -> Vec<(String, String, String)> {
    let mut numbers = Vec::new();
    for frames in results {
        let mut times: Vec<f64> = frames.iter().map(|frame| frame.frame_ms).collect();
        times.sort_by(f64::total_cmp);
        let (Some(first), Some(last)) = (times.first(), times.last()) else { continue };
        let name = frames.first().map(|f| f.gpu_name.clone()).unwrap_or_default();
        let median = times[times.len() / 2];
        let mut beside = beside(median);
        if times.len() > 1 {
            beside = format!("{} to {} ms along the path; {beside}", short(*first), short(*last));
        }
        numbers.push((name, format!("{} ms", short(median)), beside));
    }
    numbers
}

/// Figures of frames on GPUs.
pub fn figures(page: &mut Page, shares: &[f64], results: &[Vec<FrameResult>]) {
    let value = json!(
        results
            .iter()
            .map(|frames| {
                let list: Vec<Value> = shares
                    .iter()
                    .zip(frames)
                    .map(|(at, frame)| json!({"at": at, "frame": frame}))
                    .collect();
                json!({"gpu": frames.first().map(|frame| &frame.gpu), "frames": list})
            })
            .collect::<Vec<_>>()
    );
    let options = Options::default();
    let caption = "Kernel time by part of the application, summed over the frames.";
    figure(page, Kind::Breakdown, &value, &options, caption);
    if shares.len() > 1 {
        let caption = "Frame time along the camera path.";
        figure(page, Kind::FrameTimes, &value, &options, caption);
    }
}

/// Kernels of the first frame on each GPU.
pub fn kernels(page: &mut Page, results: &[Vec<FrameResult>]) {
    page.table(
        &[
            "kernel",
            "GPU",
            "part",
            "time ms",
            "share %",
            "bound by",
            "L2 hits %",
            "DRAM GB",
            "energy mJ",
        ],
        results.iter().filter_map(|frames| frames.first()).flat_map(|frame| {
            frame.kernels.iter().map(|kernel| {
                vec![
                    kernel.name.to_owned(),
                    frame.gpu.clone(),
                    kernel.part.name().to_owned(),
                    format!("{:.4}", kernel.time_ms),
                    format!("{:.1}", kernel.share_pct),
                    kernel.bound_by.to_string(),
                    format!("{:.0}", kernel.l2_hit_pct),
                    format!("{:.4}", kernel.dram_gb),
                    format!("{:.3}", kernel.energy_mj),
                ]
            })
        }),
    );
}

/// `run --report`.
pub fn rendered(
    folder: &Path,
    heading: &str,
    shares: &[f64],
    results: &[Vec<FrameResult>],
    with: &[With],
) -> Result<(), Failure> {
    let what = if with.is_empty() { "alone" } else { "alone and with accelerators" };
    let line = format!("Simulated by Lumacycle {}, on the GPU {what}.", lumacycle_sim::VERSION);
    let mut page = Page::new(heading, &line);
    let mut numbers = headline(results, spread);
    numbers.extend(report_accelerated::headline(with));
    page.headline(&numbers);
    page.heading("Figures");
    figures(&mut page, shares, results);
    report_accelerated::tables(&mut page, with);
    page.heading(if with.is_empty() { "Kernels" } else { "Kernels of the GPU alone" });
    kernels(&mut page, results);
    page.heading("Assumptions");
    let first = results.first().and_then(|frames| frames.first());
    let own = first.map(|frame| frame.assumptions.clone()).unwrap_or_default();
    page.list(own.into_iter().chain(report_accelerated::assumptions(with)));
    how(&mut page);
    save(folder, "index.html", page)
}
