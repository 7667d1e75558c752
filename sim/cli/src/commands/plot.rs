//! `lumacycle plot KIND INPUT -o FILE`: a figure from what another command wrote.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use lumacycle_arch::Catalog;
use lumacycle_engines::gpu::roofline::peak_flops;
use lumacycle_figures::theme::PAGE_IN;
use lumacycle_figures::{Figure, FigureError, Kind, Options, Roof, Table, Theme};
use lumacycle_workloads::{DType, KernelClass};
use miette::NamedSource;

use crate::args::{PlotArgs, PlotKind};
use crate::failure::Failure;
use crate::output;

/// Inputs larger than this are no result of ours.
const MOST_BYTES: u64 = 1 << 29;

pub const fn kind(kind: PlotKind) -> Kind {
    match kind {
        PlotKind::Roofline => Kind::Roofline,
        PlotKind::Speedup => Kind::Speedup,
        PlotKind::Breakdown => Kind::Breakdown,
        PlotKind::Pareto => Kind::Pareto,
        PlotKind::Scatter => Kind::Scatter,
        PlotKind::Errors => Kind::Errors,
        PlotKind::Dvfs => Kind::Dvfs,
        PlotKind::Tornado => Kind::Tornado,
        PlotKind::Levels => Kind::Levels,
        PlotKind::FrameTimes => Kind::FrameTimes,
        PlotKind::Heatmap => Kind::Heatmap,
        PlotKind::Steps => Kind::Steps,
    }
}

pub fn run(args: &PlotArgs) -> Result<(), Failure> {
    let format = Format::of(&args.output)?;
    let mut theme = style(args.style.as_deref())?;
    if args.wide {
        theme.width_in = PAGE_IN;
    }
    let kind = kind(args.kind);
    let bytes = read(&args.input)?;
    let file = args.input.display().to_string();
    let wrong = |error: FigureError| refused(&file, &error);
    let mut table = Table::parse(&bytes, kind.records()).map_err(wrong)?;
    for pair in &args.only {
        let (column, value) = pair.split_once('=').ok_or_else(|| {
            Failure::usage(format!("--where: \"{pair}\" has no ="), "write COLUMN=VALUE")
        })?;
        table.keep(column, value).map_err(wrong)?;
    }
    let roofs = if kind == Kind::Roofline { roofs(&table) } else { Vec::new() };
    let options = Options {
        x: args.x.clone(),
        y: args.y.clone(),
        by: args.by.clone(),
        x_title: args.x_title.clone(),
        y_title: args.y_title.clone(),
        log: args.log,
        labels: args.labels,
        roofs,
    };
    let figure = lumacycle_figures::draw(kind, &table, &options, &theme)
        .map_err(|error| undrawn(args, &file, &table, &error))?;
    for note in &figure.notes {
        output::say(&format!("{file}: {note}"));
    }
    save(&args.output, format, &figure)
}

/// What a figure is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Svg,
    Pdf,
    Png,
}

impl Format {
    /// From the extension.
    pub fn of(path: &Path) -> Result<Self, Failure> {
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some("svg") => Ok(Self::Svg),
            Some("pdf" | "png") if !cfg!(feature = "plots") => Err(Failure::usage(
                "this build writes figures as SVG only",
                "build with the feature \"plots\", which is on unless switched off",
            )),
            Some("pdf") => Ok(Self::Pdf),
            Some("png") => Ok(Self::Png),
            _ => Err(Failure::usage(
                format!("--output: {} is no figure", path.display()),
                "end the name in .svg, .pdf or .png",
            )),
        }
    }
}

/// Writes a figure, and its data beside it, under a name that no input has by chance.
pub fn save(path: &Path, format: Format, figure: &Figure) -> Result<(), Failure> {
    let bytes = printed(format, figure)?;
    let data = path.with_extension("data.csv");
    output::possible(&[Some(path), Some(&data)], None)?;
    output::write(Some(path), &bytes)?;
    output::write(Some(&data), figure.data.as_bytes())
}

#[cfg(feature = "plots")]
fn printed(format: Format, figure: &Figure) -> Result<Vec<u8>, Failure> {
    use lumacycle_figures::print;
    match format {
        Format::Svg => Ok(figure.svg.clone().into_bytes()),
        Format::Pdf => print::pdf(&figure.svg),
        Format::Png => print::png(&figure.svg, print::PNG_DPI),
    }
    .map_err(|error| Failure::Internal { what: error.to_string() })
}

#[cfg(not(feature = "plots"))]
#[expect(clippy::unnecessary_wraps, reason = "as the build with figures, where printing can fail")]
fn printed(_: Format, figure: &Figure) -> Result<Vec<u8>, Failure> {
    Ok(figure.svg.clone().into_bytes())
}

/// A style file, or the usual style.
pub fn style(path: Option<&Path>) -> Result<Theme, Failure> {
    let Some(path) = path else { return Ok(Theme::default()) };
    let text = super::description(path)?;
    let file = path.display().to_string();
    let help = "docs/figures.md lists what a style may say".to_owned();
    Theme::parse(&text).map_err(|error| match error {
        FigureError::Style { what, span: Some(span) } => Failure::BadText {
            help: lumacycle_arch::meant(&what).unwrap_or(help),
            what,
            span: span.into(),
            source_code: Arc::new(NamedSource::new(file, text)),
        },
        error => Failure::BadScene { file, what: error.to_string(), help },
    })
}

/// The whole text of a file, or of standard input.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |reason: String| Failure::Input { path: path.to_owned(), reason };
    let mut bytes = Vec::new();
    let source: Box<dyn std::io::Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(|error| failed(error.to_string()))?)
    };
    source.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|e| failed(e.to_string()))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(failed("it is larger than 512 MiB".to_owned()));
    }
    super::text::utf8(path, bytes)
}

/// A table that cannot be drawn as asked; for a column of the command line with the nearest that is there.
fn undrawn(args: &PlotArgs, file: &str, table: &Table, error: &FigureError) -> Failure {
    let what = error.to_string();
    let asked = [&args.x, &args.y, &args.by].into_iter().flatten();
    let help = match error {
        FigureError::NoColumn { wanted, .. } => {
            let one = table.header.first().filter(|_| table.header.len() == 1);
            let mark = one.and_then(|name| name.find([';', '\t']).map(|at| &name[at..=at]));
            let asked = asked.into_iter().find(|name| *wanted == format!("\"{name}\""));
            let near = asked.and_then(|name| {
                lumacycle_arch::nearest(name, table.header.iter().map(String::as_str))
            });
            match (mark, asked, near) {
                (Some(mark), ..) => format!("separate columns by a comma, not by {mark:?}"),
                (None, _, Some(near)) => format!("did you mean \"{near}\"?"),
                (None, Some(_), None) => "choose columns with --x, --y and --by".to_owned(),
                (None, None, None) => return refused(file, error),
            }
        }
        _ => return refused(file, error),
    };
    Failure::BadScene { file: file.to_owned(), what, help }
}

/// A file that cannot be drawn.
pub fn refused(file: &str, error: &FigureError) -> Failure {
    let help = match error {
        FigureError::Print(_) | FigureError::Style { .. } => "change the style",
        _ => "`lumacycle plot --help` says which command writes what each kind reads",
    };
    Failure::BadScene { file: file.to_owned(), what: error.to_string(), help: help.to_owned() }
}

/// A GPU's name without its maker's.
pub fn short(name: &str) -> String {
    name.replace("NVIDIA ", "").replace("GeForce ", "")
}

/// Roofs of the GPUs that a table names, as far as the catalogue (or a file) knows them.
pub fn roofs(table: &Table) -> Vec<Roof> {
    let catalog = Catalog::embedded();
    let Some(column) = table.any(&["gpu"]) else { return Vec::new() };
    let mut roofs: Vec<Roof> = Vec::new();
    for row in 0..table.rows.len() {
        let gpu = table.text(row, column);
        if roofs.iter().any(|roof| roof.gpu == gpu) {
            continue;
        }
        let Ok(entry) = super::gpu(&catalog, gpu) else { continue };
        let peak = |class, dtype| peak_flops(&entry.gpu, class, dtype) / 1e12;
        let simt = peak(KernelClass::Elementwise, DType::Fp32);
        let tensor = peak(KernelClass::Gemm, DType::Fp16);
        let mut peaks = vec![("fp32".to_owned(), simt)];
        if tensor > simt {
            peaks.push(("fp16 tensor".to_owned(), tensor));
        }
        roofs.push(Roof {
            gpu: gpu.to_owned(),
            name: short(&entry.gpu.gpu.name),
            peaks,
            bandwidth_gbs: entry.gpu.dram.bandwidth.bytes_per_s() / 1e9,
        });
    }
    roofs
}
