//! Suites of measured kernels: rows become operations, operations become errors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lumacycle_arch::{Catalog, Entry, Gpu};
use lumacycle_engines::gpu::roofline;
use lumacycle_engines::{Engine, GpuEngine, L2Start, Options};
use lumacycle_workloads::ops::gemm::{Epilogue, Math, Tile};
use lumacycle_workloads::ops::{
    Attention, Gemm, Implementation, Layout, NormKind, Operation, Recorded, RowOperation, Rows,
    Streaming,
};
use lumacycle_workloads::{DType, KernelClass, Launch};
use rayon::prelude::*;
use serde::Serialize;

use crate::ValidateError;
use crate::boards::Boards;
use crate::expected::Setting;
use crate::measurements::{self, Row};
use crate::stats::{Figures, bucket};
use crate::unseen::Unseen;
use crate::wave::{Wave, WaveRow};
use crate::{counters, kernels, peaks, sources};

/// Suites that exist.
pub const SUITES: &[&str] = &[
    "gemm",
    "elementwise_norm_softmax",
    "attention",
    peaks::SUITE,
    kernels::SUITE,
    counters::SUITE,
];

/// A group of rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// Catalogue entry.
    pub gpu: String,
    /// Element type.
    pub dtype: String,
    /// Size by measured time.
    pub bucket: &'static str,
    /// Our errors.
    #[serde(flatten)]
    pub figures: Figures,
    /// A spec-sheet roofline's.
    pub roofline: Figures,
    /// Those of a plain wave/tile count, fitted to these rows.
    pub wave: Figures,
}

/// Baselines over all rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Baselines {
    /// Spec-sheet roofline.
    pub roofline: Figures,
    /// Plain wave/tile count with five constants a GPU, fitted to the rows compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wave: Option<Figures>,
}

/// The outcome of a suite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SuiteReport {
    /// Suite name.
    pub suite: String,
    /// Rows compared.
    pub rows_used: usize,
    /// Rows left out, by reason.
    pub rows_left_out: BTreeMap<String, usize>,
    /// All rows.
    pub overall: Figures,
    /// By GPU, type and size.
    pub groups: Vec<Group>,
    /// Baselines.
    pub baselines: Baselines,
    /// Whether fits of a GPU's own generation were put out of the way.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub leave_one_out: bool,
    /// Each row used, for a closer look.
    #[serde(skip)]
    pub rows: Vec<Compared>,
}

impl SuiteReport {
    /// Columns of its table: what a group is, its figures, its baselines.
    pub const HEADER: [&str; 11] = [
        "GPU",
        "type",
        "measured",
        "rows",
        "MAPE %",
        "median",
        "p90",
        "bias",
        "corr.",
        "roofline MAPE %",
        "wave MAPE %",
    ];
}

/// One row with its prediction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// Where the row comes from.
    pub reference: String,
    /// Catalogue entry.
    pub gpu: String,
    /// Element type.
    pub dtype: String,
    /// Measured time, in us.
    pub measured_us: f64,
    /// Predicted time, in us.
    pub predicted_us: f64,
    /// Roofline, in us.
    pub roofline_us: f64,
    /// Wave/tile baseline, in us.
    pub wave_us: f64,
    /// What that is made from.
    #[serde(skip)]
    pub(crate) shape: WaveRow,
    /// Binding resource.
    pub bound_by: &'static str,
    /// Implementation simulated.
    pub variant: String,
    /// Waves of its longest kernel.
    pub waves: f64,
    /// Share of an SM's warps that it holds, in percent.
    pub occupancy_pct: f64,
    /// What else errors depend on.
    #[serde(skip)]
    pub setting: Setting,
}

/// Columns that a suite cannot do without.
fn columns(suite: &str) -> &'static [&'static str] {
    match suite {
        counters::SUITE => &counters::COLUMNS,
        kernels::SUITE => &["gpu", "kernel", "params", "runtime_us"],
        peaks::SUITE => &peaks::COLUMNS,
        "gemm" => &["gpu", "dtype", "runtime_us", "m", "n", "k"],
        "attention" => &[
            "gpu",
            "dtype",
            "runtime_us",
            "batch",
            "heads_q",
            "heads_kv",
            "head_dim",
            "seq_q",
            "seq_kv",
        ],
        _ => &["gpu", "dtype", "runtime_us", "op", "rows", "cols"],
    }
}

/// Runs a suite over a measurement file or folder; `gpus` limits it to some (empty = all);
/// `unclean` takes the rows as well that are marked as not fit to be scored.
///
/// # Errors
/// When the suite does not exist or its data cannot be read.
pub fn run(
    suite: &str,
    data: &Path,
    gpus: &[String],
    unclean: bool,
) -> Result<SuiteReport, ValidateError> {
    let rows = measurements::read(&located(suite, data)?, columns(suite))?;
    Ok(compare_rows(suite, &rows, gpus, (unclean, None)))
}

/// As [`run`], with what fits on a GPU's own generation found replaced by the mean of the other generations.
///
/// # Errors
/// As [`run`].
pub fn run_unseen(suite: &str, data: &Path, gpus: &[String]) -> Result<SuiteReport, ValidateError> {
    let rows = measurements::read(&located(suite, data)?, columns(suite))?;
    let unseen = Unseen::of(&Catalog::embedded())?;
    Ok(compare_rows(suite, &rows, gpus, (false, Some(&unseen))))
}

fn located(suite: &str, data: &Path) -> Result<PathBuf, ValidateError> {
    measurements::locate(data, suite).ok_or_else(|| ValidateError::Unreadable {
        path: data.to_owned(),
        reason: format!("no {suite}.csv or {suite}.csv.gz there"),
    })
}

/// Published times of a suite that ship with the program, each with its source.
pub fn shipped(suite: &str) -> Option<&'static str> {
    (suite == "attention").then_some(include_str!("../tables/attention.csv"))
}

/// Compares a suite's published times that ship with the program; none where there are none.
///
/// # Errors
/// As [`run`].
pub fn run_shipped(suite: &str, gpus: &[String]) -> Result<Option<SuiteReport>, ValidateError> {
    let Some(table) = shipped(suite) else { return Ok(None) };
    let rows = measurements::shipped(table, columns(suite))?;
    Ok(Some(compare_rows(suite, &rows, gpus, (false, None))))
}

fn compare_rows(
    suite: &str,
    rows: &[measurements::Row],
    gpus: &[String],
    (unclean, unseen): (bool, Option<&Unseen>),
) -> SuiteReport {
    let catalog = Catalog::embedded();
    let mut boards = Boards::of(&catalog, suite, rows);
    if let Some(unseen) = unseen {
        boards.change(|gpu| unseen.forget(gpu));
    }
    let wanted: Vec<String> =
        gpus.iter().filter_map(|name| catalog.get(name).ok()).map(|entry| entry.id).collect();
    let host = if suite == kernels::SUITE {
        kernels::HostParts::of(rows)
    } else {
        kernels::HostParts::default()
    };
    let results: Vec<Result<Compared, String>> = rows
        .par_iter()
        .map(|row| {
            let entry = boards.get(row)?;
            if !wanted.is_empty() && !wanted.contains(&entry.id) {
                return Err("GPU not selected".to_owned());
            }
            if row.text("goal_set") == "False" && !unclean {
                return Err("marked as not clean".to_owned());
            }
            match suite {
                counters::SUITE => counters::compare(row, entry),
                kernels::SUITE => kernels::compare(row, entry, &host),
                peaks::SUITE => peaks::compare(row, entry),
                _ => compare(suite, row, entry),
            }
        })
        .collect();
    let mut rows_left_out = BTreeMap::new();
    let mut compared = Vec::new();
    for result in results {
        match result {
            Ok(row) => compared.push(row),
            Err(reason) => *rows_left_out.entry(reason).or_insert(0) += 1,
        }
    }
    fit_waves(&mut compared, &boards);
    let mut groups: BTreeMap<(String, String, &'static str), Vec<&Compared>> = BTreeMap::new();
    for row in &compared {
        let key = (row.gpu.clone(), row.dtype.clone(), bucket(row.measured_us));
        groups.entry(key).or_default().push(row);
    }
    let ours = |rows: &[&Compared]| {
        Figures::of(rows.iter().map(|row| (row.predicted_us, row.measured_us)))
    };
    let roofline =
        |rows: &[&Compared]| Figures::of(rows.iter().map(|row| (row.roofline_us, row.measured_us)));
    let wave =
        |rows: &[&Compared]| Figures::of(rows.iter().map(|row| (row.wave_us, row.measured_us)));
    let all: Vec<&Compared> = compared.iter().collect();
    let (overall, baseline) = (ours(&all), roofline(&all));
    let baselines = Baselines { roofline: baseline, wave: Some(wave(&all)) };
    let groups = groups
        .into_iter()
        .map(|((gpu, dtype, bucket), rows)| Group {
            gpu,
            dtype,
            bucket,
            figures: ours(&rows),
            roofline: roofline(&rows),
            wave: wave(&rows),
        })
        .collect();
    SuiteReport {
        suite: suite.to_owned(),
        leave_one_out: unseen.is_some(),
        rows_used: compared.len(),
        rows_left_out,
        overall,
        groups,
        baselines,
        rows: compared,
    }
}

/// Fits the wave baseline GPU by GPU and fills its times in.
fn fit_waves(rows: &mut [Compared], boards: &Boards) {
    let gpus: BTreeMap<&str, &Entry> =
        boards.entries().map(|entry| (entry.id.as_str(), entry)).collect();
    let fitted: BTreeMap<String, Wave> = gpus
        .par_iter()
        .map(|(id, entry)| {
            let own: Vec<&WaveRow> =
                rows.iter().filter(|row| row.gpu == **id).map(|row| &row.shape).collect();
            ((*id).to_owned(), Wave::fit(&entry.gpu, &own))
        })
        .collect();
    for row in rows {
        row.wave_us = fitted.get(&row.gpu).map_or(0.0, |wave| wave.predict_us(&row.shape));
    }
}

/// What the host adds to a measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Host {
    /// Nothing: the kernel's own duration, or launches back to back.
    Nothing,
    /// One launch between two events: the first passes while the launch is on its way, and the
    /// second cannot come before the host has got there.
    Events {
        /// Least time between the events, in us.
        floor_us: f64,
        /// What the host does between them before the kernel starts, in us; where that is not
        /// known, what `launch.host_wait` says.
        before_us: Option<f64>,
    },
    /// Wall clock around launch and wait: nothing overlaps.
    Wall {
        /// The same with nothing to do, in us.
        floor_us: f64,
    },
}

impl Host {
    fn of(row: &Row) -> Self {
        let floor_us = row.number("host_floor_us");
        match (row.text("timing"), floor_us) {
            // Half of what the host does between the events comes before the launch: elementwise
            // kernels on five GPUs start 14 to 29 us after the first event, about 2 us beyond half
            // of floors of 26 to 54 us.
            ("E", Some(floor_us)) => {
                let before_us = row.shown_floor_us().map(|floor| floor / 2.0);
                Self::Events { floor_us, before_us }
            }
            ("W", Some(floor_us)) => Self::Wall { floor_us },
            _ => Self::Nothing,
        }
    }

    /// Below which nothing is measured, in us.
    pub fn floor_us(self) -> f64 {
        match self {
            Self::Nothing => 0.0,
            Self::Events { floor_us, .. } | Self::Wall { floor_us } => floor_us,
        }
    }

    /// What a clock would have shown for a kernel of this duration, in us.
    pub fn shows_us(self, gpu: &Gpu, device_us: f64) -> f64 {
        match self {
            Self::Nothing => device_us,
            Self::Events { floor_us, before_us } => {
                let wait = before_us.unwrap_or_else(|| gpu.launch.host_wait.ns() / 1e3);
                floor_us.max(device_us + wait)
            }
            Self::Wall { floor_us } => {
                floor_us.max(device_us + floor_us - gpu.launch.kernel.ns() / 1e3)
            }
        }
    }
}

/// A measured row as work.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measured {
    /// What ran.
    pub operation: Operation,
    /// Its element type.
    pub dtype: DType,
    /// The host's part in what was measured.
    pub host: Host,
    /// What L2 held before.
    pub l2: L2Start,
    /// Calls in a row that the time is the mean of, where that is known.
    pub repeats: Option<f64>,
    /// In us.
    pub time_us: f64,
}

impl Measured {
    /// How to simulate what was measured.
    pub fn options(&self) -> Options {
        Options { l2: self.l2, repeats: self.repeats, ..Options::default() }
    }
}

/// Turns a row into work.
pub(crate) fn measured(suite: &str, row: &Row) -> Result<Measured, String> {
    let time_us = row.number("runtime_us").filter(|t| *t > 0.0).ok_or("no measured time")?;
    // "bf16/fp16": the two run at one rate.
    let text = row.text("dtype").split(['/', '|']).next().unwrap_or_default();
    let dtype = DType::parse(text).ok_or_else(|| format!("unknown type {text}"))?;
    let operation = match suite {
        "gemm" => gemm(row, dtype),
        "attention" => attention(row, dtype),
        _ => row_operation(row, dtype),
    }?;
    // A layer profiled as a whole touches all its weights between two uses of the same bytes.
    let l2 = if row.text("source") == "vidur_mlp" { L2Start::Cold } else { L2Start::Warm };
    let repeats = row.number("n_rep").filter(|n| *n > 0.0);
    Ok(Measured { operation, dtype, host: Host::of(row), l2, repeats, time_us })
}

fn compare(suite: &str, row: &Row, entry: &Entry) -> Result<Compared, String> {
    let measured = measured(suite, row)?;
    let engine = GpuEngine::new(&entry.gpu).with(measured.options());
    let Measured { operation, dtype, host, time_us: measured_us, .. } = measured;
    let cost = engine.price(&operation).map_err(|error| error.to_string())?;
    let longest = cost.kernels.iter().max_by(|a, b| a.time_ns.total_cmp(&b.time_ns));
    Ok(Compared {
        reference: format!("{} {}", row.text("source"), row.text("ref")).trim().to_owned(),
        bound_by: cost.binding.name(),
        variant: longest.map_or_else(String::new, |kernel| kernel.variant.clone()),
        waves: longest.map_or(0.0, |kernel| kernel.waves),
        occupancy_pct: longest.map_or(0.0, |kernel| kernel.occupancy.share * 100.0),
        setting: Setting::of(
            &entry.gpu,
            !(row.text("kernel").is_empty() && row.text("tile_m").is_empty()),
        ),
        gpu: entry.id.clone(),
        dtype: dtype.name().to_owned(),
        measured_us,
        predicted_us: host.shows_us(&entry.gpu, cost.time_ns / 1e3),
        roofline_us: host
            .shows_us(&entry.gpu, roofline::time_ns(&entry.gpu, &operation, dtype) / 1e3),
        wave_us: 0.0,
        shape: WaveRow::of(
            &entry.gpu,
            &engine.target(),
            &operation,
            dtype,
            host.floor_us(),
            measured_us,
        ),
    })
}

fn gemm(row: &Row, dtype: DType) -> Result<Operation, String> {
    let dim = |name| row.count(name).ok_or_else(|| format!("no {name}"));
    let mut gemm = Gemm::new(dim("m")?, dim("n")?, dim("k")?, dtype);
    gemm.batch = row.count("batch").unwrap_or(1);
    gemm.fp16_accumulate = row.text("accum") == "fp16";
    let kernel = row.text("kernel");
    let layout = match row.text("layout") {
        // Frameworks store rows; the weights of a linear layer have one for each of its outputs.
        "linear" => Layout::row_major("tn"),
        "bmm" => Layout::row_major("nn"),
        letters => Layout::column_major(letters),
    };
    gemm.layout = layout.unwrap_or_default();
    let textbook = ["naive", "blocked", "tensor_core"].contains(&kernel);
    let numbered = kernel.as_bytes().first().is_some_and(u8::is_ascii_digit);
    if textbook || numbered || kernel.starts_with("mysgemm") {
        return Err("a teaching kernel, not a library's".to_owned());
    }
    gemm.epilogue = Epilogue {
        reads_c: row.text("epilogue") == "beta_nonzero",
        bias: row.text("epilogue") == "bias",
    };
    if let (Some(m), Some(n)) = (row.count("tile_m"), row.count("tile_n")) {
        let named = lumacycle_traces::names::parse(kernel);
        let math = named.map_or(Math::Simt, |named| named.tile.math);
        gemm.vector_bytes = named.map_or(16.0, |named| named.vector_bytes);
        let small = |value: Option<u64>, default: u32| {
            value.and_then(|v| u32::try_from(v).ok()).unwrap_or(default)
        };
        let named_k = named.map_or(8, |named| named.tile.k);
        let named_stages = named.map_or(2, |named| named.tile.stages);
        let threads = small(row.count("block_x"), 0);
        let warps = match threads {
            0 => named.map_or(4, |named| named.tile.warps),
            threads => threads.div_ceil(32),
        };
        let tile = Tile {
            m: small(Some(m), 128),
            n: small(Some(n), 128),
            k: small(row.count("tile_k"), named_k).max(named_k),
            stages: small(row.count("stages"), named_stages),
            warps: warps.clamp(1, 32),
            math,
        };
        gemm.tile = Some(tile);
        let tiles = gemm.m.div_ceil(m) * gemm.n.div_ceil(n) * gemm.batch;
        let grid = ["grid_x", "grid_y", "grid_z"].map(|c| row.count(c).unwrap_or(1));
        let ctas: u64 = grid.iter().product();
        if row.count("grid_x").is_some() && ctas > tiles {
            gemm.split_k = u32::try_from((ctas / tiles).clamp(1, 512)).ok();
        }
    }
    Ok(Operation::Gemm(gemm))
}

fn attention(row: &Row, dtype: DType) -> Result<Operation, String> {
    let dim = |name| row.count(name).ok_or_else(|| format!("no {name}"));
    let implementation = row.text("impl");
    if implementation.contains("mma(") || implementation.contains("no softmax") {
        return Err("an experimental kernel, not a library's".to_owned());
    }
    Ok(Operation::Attention(Attention {
        batch: dim("batch")?,
        heads_q: dim("heads_q")?,
        heads_kv: dim("heads_kv")?,
        head_dim: dim("head_dim")?,
        seq_q: dim("seq_q")?,
        seq_kv: dim("seq_kv")?,
        causal: row.text("causal") == "True",
        dtype,
        backward: row.text("direction") == "bwd",
        unfused: implementation.contains("unfused"),
        paged: implementation.contains("paged"),
        table_keys: row.count("table_keys").or_else(|| sources::table_keys(row.text("source"))),
        tile: None,
        implementation: implementation_of(implementation),
        recorded: None,
    }))
}

/// Which library's kernel a row names.
fn implementation_of(name: &str) -> Option<Implementation> {
    if name.starts_with("FlashAttention-4") {
        Some(Implementation::Flash4)
    } else if name.starts_with("FlashAttention-3") {
        Some(Implementation::Flash3)
    } else if ["FlashAttention-2", "FA2"].iter().any(|start| name.starts_with(start)) {
        Some(Implementation::Flash2)
    } else {
        None
    }
}

fn row_operation(row: &Row, dtype: DType) -> Result<Operation, String> {
    let (rows, columns) =
        (row.count("rows").ok_or("no rows")?, row.count("cols").ok_or("no cols")?);
    let elements = rows as f64 * columns as f64;
    let launch = match (row.count("grid_x"), row.count("block_x")) {
        (Some(grid), Some(block)) => Some(Recorded {
            launch: Launch::linear(grid, u32::try_from(block).unwrap_or(128), 32, 0),
            compute_capability: 0,
        }),
        _ => None,
    };
    // vLLM's own kernels give a CTA to each token and loop over single elements; the rest of a
    // layer is PyTorch's.
    let own = ["rms_norm", "rope", "silu_mul"].contains(&row.text("op"));
    let vllm = row.text("source") == "vidur_mlp" && own;
    let threads = u32::try_from(columns.clamp(32, 1024)).unwrap_or(1024);
    let token_launch =
        Recorded { launch: Launch::linear(rows, threads, 32, 0), compute_capability: 0 };
    let by_rows = |operation| {
        // PyTorch's launch is chosen where only x of a two-dimensional CTA is recorded.
        let by_cta = operation == RowOperation::Softmax && columns > 1024;
        let recorded = match launch {
            _ if vllm => Some(token_launch),
            Some(Recorded { launch, compute_capability }) if by_cta => {
                // Registers are not recorded: as many as PyTorch's softmax takes.
                let launch = Launch { registers: 40, ..launch };
                Some(Recorded { launch, compute_capability })
            }
            _ => None,
        };
        Operation::Rows(Rows {
            operation,
            rows,
            columns,
            dtype,
            written_dtype: None,
            backward: false,
            vector_bytes: if vllm { dtype.bytes() } else { 16.0 },
            recorded,
        })
    };
    Ok(match row.text("op") {
        "ln" | "layer_norm" => by_rows(RowOperation::Norm(NormKind::Layer)),
        "rms_norm" => by_rows(RowOperation::Norm(NormKind::Rms)),
        "softmax" => by_rows(RowOperation::Softmax),
        op => {
            let bytes = row.number("min_bytes").ok_or("no useful bytes")?;
            let write = elements * dtype.bytes();
            let special = ["gelu", "tanh", "pow", "powu", "div", "divu", "silu_mul"];
            Operation::Streaming(Streaming {
                read_bytes: (bytes - write).max(0.0),
                write_bytes: write.min(bytes),
                sfu_per_element: if special.contains(&op) { 2.0 } else { 0.0 },
                vector_bytes: if vllm { dtype.bytes() } else { 16.0 },
                elements_at_once: if vllm { 1.0 } else { 4.0 },
                recorded: if vllm { Some(token_launch) } else { launch },
                ..Streaming::new(KernelClass::Elementwise, elements)
            })
        }
    })
}
