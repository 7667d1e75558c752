//! What `lumacycle run --accelerator` prints: both readings of a frame with an accelerator, and what
//! lies between them.

use std::fmt::Write as _;
use std::path::Path;

use lumacycle_arch::{AcceleratorEntry, Catalog};
use lumacycle_engines::EngineError;
use lumacycle_engines::accelerator::published::{Emulated, Inputs, emulate};
use lumacycle_sim::accelerated::AcceleratedFrame;
use lumacycle_validate::ngpc;
use serde_json::{Value, json};

use crate::args::{EncodingArg, RestArg, RunArgs};
use crate::failure::Failure;
use crate::output::{self, short};

/// Accelerators by name or file.
pub fn chosen(args: &RunArgs) -> Result<Vec<AcceleratorEntry>, Failure> {
    let catalog = Catalog::embedded();
    let entries: Result<Vec<_>, _> =
        args.accelerators.iter().map(|name| accelerator(&catalog, name)).collect();
    let entries = entries?;
    if !entries.is_empty() {
        let cannot = |what: &str, help: &str| Err(Failure::usage(what, help));
        if args.app == "splat" {
            return cannot(
                "splat asks no network, so no accelerator helps it",
                "leave --accelerator out",
            );
        }
        if args.rest == Some(RestArg::Renderer) {
            return cannot(
                "with --rest renderer the whole frame stays on the GPU",
                "choose --rest kernels or --rest fused beside an accelerator",
            );
        }
    }
    Ok(entries)
}

/// An accelerator of the catalogue, or a description from a file.
pub fn accelerator(catalog: &Catalog, name: &str) -> Result<AcceleratorEntry, Failure> {
    let path = Path::new(name);
    let sparse = || {
        Failure::usage(
            format!("{name} renders decomposed fields on its own; it does not work beside a GPU"),
            "use it with `lumacycle run tensorf`",
        )
    };
    if !path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml")) {
        if catalog.sparse_accelerator(name).is_ok() {
            return Err(sparse());
        }
        return catalog.accelerator(name).map_err(|error| super::unknown(name, error));
    }
    let text = super::description(path)?;
    if catalog.is_sparse_accelerator(&text) {
        return Err(sparse());
    }
    if catalog.is_gpu(&text) {
        return Err(Failure::BadScene {
            file: name.to_owned(),
            what: "this describes a GPU, not an accelerator".to_owned(),
            help: "give it with --gpu; accelerators start from base = \"ngpc-64\" or the like"
                .to_owned(),
        });
    }
    let id = path.file_stem().map_or_else(|| name.to_owned(), |s| s.to_string_lossy().into_owned());
    Ok(catalog.parse_accelerator(&id, name, &text)?)
}

/// Points at the value that does not go with the work: in the user's accelerator where that sets
/// it, else in the user's application.
pub fn refused(args: &RunArgs, entry: &AcceleratorEntry, error: EngineError) -> Failure {
    match error {
        EngineError::Accelerator { path: "accelerator", what, help } => Failure::usage(what, help),
        EngineError::Accelerator { path, what, help } => {
            let what = format!("{}: {what}", entry.id);
            if entry.sets(path) {
                return Failure::Catalog(entry.wrong(path, what, help.to_owned()));
            }
            let own = super::inputs::is_file(&args.app, "toml");
            let file = if own { args.app.clone() } else { path.to_owned() };
            Failure::BadScene { file, what, help: help.to_owned() }
        }
        other => Failure::usage(other.to_string(), "choose another accelerator or network"),
    }
}

const fn encoding_name(encoding: EncodingArg) -> &'static str {
    match encoding {
        EncodingArg::Hashgrid => "hashgrid",
        EncodingArg::Densegrid => "densegrid",
        EncodingArg::DensegridLowres => "densegrid-lowres",
    }
}

/// The reading of the paper's emulator with the paper's own inputs.
pub struct PaperReading {
    inputs: Inputs,
    emulated: Emulated,
    area_pct: f64,
    power_pct: f64,
}

impl PaperReading {
    /// For an application that the paper covers.
    pub fn of(args: &RunArgs, entry: &AcceleratorEntry) -> Result<Option<Self>, Failure> {
        let solved = ngpc::reconstruction()?;
        let Some(mut inputs) = solved.inputs(&args.app, encoding_name(args.encoding)) else {
            return Ok(None);
        };
        inputs.passes = ngpc::passes_of(&entry.accelerator, &args.app)?;
        let (area_pct, power_pct) = ngpc::overheads(&entry.accelerator)?;
        let emulated = emulate(&entry.accelerator, &inputs);
        Ok(Some(Self { inputs, emulated, area_pct, power_pct }))
    }

    /// For programs.
    pub fn json(&self, entry: &AcceleratorEntry) -> Value {
        json!({
            "accelerator": entry.id,
            "inputs": self.inputs,
            "emulated": self.emulated,
            "speedup": self.emulated.speedup,
            "frame_ms": self.emulated.frame_ns / 1e6,
            "area_pct": self.area_pct,
            "power_pct": self.power_pct,
            "assumptions": ngpc::assumptions(&entry.accelerator),
        })
    }

    /// For people.
    pub fn text(&self, entry: &AcceleratorEntry) -> String {
        let ms = |ns: f64| short(ns / 1e6);
        let mut text = format!(
            "\nas published: {}, the paper's emulator with the paper's own inputs (RTX 3090, 1920 x 1080)\n",
            entry.accelerator.accelerator.name
        );
        let e = &self.emulated;
        let _ = writeln!(
            text,
            "  GPU alone {} ms; encoding and networks {} ms on the accelerator beside {} ms of fused \
             rest: frame {} ms, speedup {:.2}",
            ms(self.inputs.gpu_ns),
            ms(e.accelerator_ns),
            ms(e.rest_ns),
            ms(e.frame_ns),
            e.speedup
        );
        let _ = writeln!(
            text,
            "  area {:+.2} %, power {:+.2} % of that GPU's, by its processors; {:.2} M samples of {} layer passes \
             (reconstructed, see `lumacycle validate ngpc`)",
            self.area_pct,
            self.power_pct,
            self.inputs.samples / 1e6,
            self.inputs.passes
        );
        for assumption in ngpc::assumptions(&entry.accelerator) {
            let _ = writeln!(text, "  assuming: {assumption}");
        }
        text
    }
}

/// A GPU with an accelerator, and its frames along the path.
pub struct With {
    /// Catalogue entry of the GPU.
    pub gpu: String,
    /// Its name.
    pub gpu_name: String,
    /// Frames, in the order of the path.
    pub frames: Vec<AcceleratedFrame>,
}

/// One row per GPU and accelerator; of a path, means over it.
pub fn summary(results: &[With]) -> String {
    let path = results.first().is_some_and(|with| with.frames.len() > 1);
    let mut header = vec!["GPU", "accelerator"];
    if path {
        header.extend(["mean ms", "least", "median", "p95", "most"]);
    } else {
        header.push("as built ms");
    }
    header.extend([
        "per s",
        "speedup",
        "by the paper's rules ms",
        "speedup",
        "GPU alone ms",
        "energy mJ",
        "GPU alone mJ",
        "area mm2",
        "scene load ms",
    ]);
    let mut table = output::table(&header, 2);
    for with in results {
        let Some(first) = with.frames.first() else { continue };
        let mut times: Vec<f64> = with.frames.iter().map(|frame| frame.frame_ms).collect();
        times.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let index = (times.len().saturating_sub(1) as f64 * share).round() as usize;
            times.get(index).copied().unwrap_or_default()
        };
        let mean = |of: fn(&AcceleratedFrame) -> f64| {
            with.frames.iter().map(of).sum::<f64>() / with.frames.len() as f64
        };
        let frame_ms = mean(|frame| frame.frame_ms);
        let alone_ms = mean(|frame| frame.gpu_alone_ms);
        let published_ms = mean(|frame| frame.as_published_ms);
        let published = if path { alone_ms / published_ms } else { first.as_published_speedup };
        let mut row = vec![with.gpu_name.clone(), first.accelerator.clone(), short(frame_ms)];
        if path {
            row.extend([at(0.0), at(0.5), at(0.95), at(1.0)].map(short));
        }
        row.extend([
            short(1e3 / frame_ms),
            format!("{:.2}", alone_ms / frame_ms),
            short(published_ms),
            format!("{published:.2}"),
            short(alone_ms),
            short(mean(|frame| frame.energy_mj)),
            short(mean(|frame| frame.gpu_alone_mj)),
            short(first.area_mm2),
            short(mean(|frame| frame.scene_switch_ms)),
        ]);
        table.add_row(row);
    }
    let mut text = output::render(&table) + "\n";
    if results.len() > 1 || path {
        text.push_str(
            "  causes, parts and levels are shown for one GPU with one accelerator at one place\n\n",
        );
        for with in results {
            let Some(first) = with.frames.first() else { continue };
            let _ = writeln!(text, "  {}: {}", first.accelerator, first.assumptions.join("; "));
        }
    }
    text
}

/// Causes, parts and levels of one frame.
pub fn details(frame: &AcceleratedFrame) -> String {
    let mut text = String::from("from this frame by the paper's rules to the same as built\n");
    let mut table = output::table(&["", "frame ms", "adds ms", "accelerator ms"], 1);
    table.add_row(vec![
        "by the paper's rules, with this frame's GPU times and samples".to_owned(),
        short(frame.as_published_ms),
        String::new(),
        String::new(),
    ]);
    for cause in &frame.causes {
        let adds = if cause.adds_ms.abs() < 5e-4 {
            "0".to_owned()
        } else {
            format!("{:+.3}", cause.adds_ms)
        };
        let row =
            [cause.cause.to_owned(), short(cause.frame_ms), adds, short(cause.accelerator_ms)];
        table.add_row(row);
    }
    text.push_str(&output::render(&table));
    let busy: Vec<String> = frame
        .busy
        .iter()
        .filter(|row| row.busy_pct >= 0.5)
        .map(|row| format!("{} {:.0} %", row.unit.name(), row.busy_pct))
        .collect();
    let _ = write!(
        text,
        "\n  busy: GPU {:.0} %, accelerator {:.0} % of the frame ({}); bound there by {}\n  {} batches in the \
         largest round, {:.1} GB/s between accelerator and L2{}\n\n",
        100.0 * frame.gpu_ms / frame.frame_ms,
        100.0 * frame.accelerator_ms / frame.frame_ms,
        busy.join(", "),
        frame.accelerator_bound_by.name(),
        frame.batches,
        frame.link_gb_per_s,
        frame.l2_hit_pct.map_or_else(String::new, |hit| format!(
            ", {hit:.0} % of its table misses found in L2"
        ))
    );
    let header = [
        "level",
        "resolution",
        "table MiB",
        "home",
        "hits",
        "clocks/sample",
        "of them banks",
        "misses/sample",
    ];
    let mut table = output::table(&header, 4);
    for level in &frame.levels {
        table.add_row(vec![
            level.level.to_string(),
            level.resolution.to_string(),
            short(level.table_mib),
            level.home.name().to_owned(),
            format!("{:.1} %", level.hit_pct),
            format!("{:.2}", level.cycles),
            format!("{:.2}", level.conflict_cycles),
            format!("{:.3}", level.missed_lines),
        ]);
    }
    text.push_str(&output::render(&table));
    let _ = writeln!(text, "\n  assuming: {}", frame.assumptions.join("; "));
    text
}
