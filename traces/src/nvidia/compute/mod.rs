//! Nsight Compute's tables: one row for each metric of each launch (`--csv`, details or chosen
//! metrics), or one row for each launch with a column for each metric and units in the second row
//! (`--csv --page raw`).
//!
//! Launches whose counters suffice become kernels known by them (`metrics`); the others keep name,
//! launch shape and duration. The profiler runs kernels one at a time, by default at the base clock
//! and with flushed caches, so durations are marked as profiled and carry the clock. Left out: rules,
//! NVTX columns, instance values, and everything that only says how the time was spent.

mod metrics;

use std::collections::HashMap;
use std::io::BufRead;
use std::sync::Arc;

use lumacycle_workloads::Launch;
use lumacycle_workloads::ops::{Counters, Operation};

use self::metrics::{Dictionary, Meaning, Metrics, Slot};
use super::activities::Activities;
use super::cells;
use super::rows::Rows;
use crate::TraceError;
use crate::recording::{Event, EventKind, LATEST_PS, Profiled, Recording, Signature};

/// Which of the two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    /// A row for each metric.
    Long,
    /// A row for each launch.
    Wide,
}

/// Which table such a header starts, if it is one of these.
pub(super) fn recognise(names: &[String]) -> Option<Page> {
    let has = |word: &str| names.iter().any(|name| name == word);
    if !(has("ID") && has("Kernel Name")) {
        return None;
    }
    match (has("Metric Name"), has("Metric Value")) {
        (true, true) => Some(Page::Long),
        (false, false) => Some(Page::Wide),
        _ => None,
    }
}

/// Reads the rows behind the header `names`; on an error, whole launches before it are kept.
pub(super) fn read<R: BufRead>(
    rows: &mut Rows<R>,
    names: &[String],
    page: Page,
    recording: &mut Recording,
) -> Result<(), TraceError> {
    let mut state = State::new(names, recording);
    let result = match page {
        Page::Long => state.long(rows, names),
        Page::Wide => state.wide(rows, names),
    };
    state.finish();
    result
}

/// Columns that both tables share.
struct Columns {
    id: usize,
    process: Option<usize>,
    kernel: usize,
    stream: Option<usize>,
    block: Option<usize>,
    grid: Option<usize>,
    device: Option<usize>,
    capability: Option<usize>,
    device_name: Option<usize>,
}

/// What a launch's rows say beside metrics.
#[derive(Debug, Clone, Default, PartialEq)]
struct Head {
    id: Vec<u8>,
    process: Vec<u8>,
    kernel: String,
    stream: u32,
    device: i32,
    device_name: String,
    capability: u32,
    grid: Option<[u32; 3]>,
    block: Option<[u32; 3]>,
}

/// A launch known by its counters, and its number.
type Counted = (u32, Counters);

/// Launches of one kernel that a further one is compared with.
const COMPARED: usize = 64;

struct State<'a> {
    activities: Activities<'a>,
    columns: Columns,
    dictionary: Dictionary,
    head: Option<Head>,
    metrics: Metrics,
    /// Launches known by counters, with the number of each, by kernel and shape.
    counted: HashMap<(Arc<str>, Launch), Vec<Counted>>,
    /// SM clocks of the launches, in Hz.
    clocks: Vec<f64>,
    at_ps: i64,
    by_counters: u64,
    /// Launches not known by their counters, by what they lack.
    lacking: Vec<(&'static str, u64)>,
}

impl<'a> State<'a> {
    fn new(names: &[String], recording: &'a mut Recording) -> Self {
        let at = |word: &str| names.iter().position(|name| name == word);
        let columns = Columns {
            id: at("ID").unwrap_or(0),
            process: at("Process ID"),
            kernel: at("Kernel Name").unwrap_or(0),
            stream: at("Stream"),
            block: at("Block Size"),
            grid: at("Grid Size"),
            device: at("Device"),
            capability: at("CC"),
            device_name: at("device__attribute_display_name"),
        };
        Self {
            activities: Activities::new(recording),
            columns,
            dictionary: Dictionary::new(),
            head: None,
            metrics: Metrics::default(),
            counted: HashMap::new(),
            clocks: Vec::new(),
            at_ps: 0,
            by_counters: 0,
            lacking: Vec::new(),
        }
    }

    /// Takes the columns that are no metrics; a launch that is not the one at hand ends that.
    fn head<R: BufRead>(&mut self, rows: &Rows<R>) -> Result<(), TraceError> {
        if let Some(what) = self.activities.full() {
            return Err(rows.malformed(what, "profile fewer kernels (--launch-count)"));
        }
        let row = rows.cells();
        let of = |column: Option<usize>| column.map_or(&[][..], |column| row.get(column));
        let same = self.head.as_ref().is_some_and(|head| {
            head.id == row.get(self.columns.id)
                && head.process == of(self.columns.process)
                && head.kernel.as_bytes() == row.get(self.columns.kernel)
        });
        if same {
            return Ok(());
        }
        self.launch();
        let text = |column: Option<usize>| column.map_or("", |column| row.str(column));
        let stream =
            self.columns.stream.map_or(Ok(None), |column| rows.read(column, cells::small))?;
        self.head = Some(Head {
            id: row.get(self.columns.id).to_vec(),
            process: of(self.columns.process).to_vec(),
            kernel: String::from_utf8_lossy(row.get(self.columns.kernel)).into_owned(),
            stream: stream.unwrap_or(0),
            device: text(self.columns.device).parse().ok().filter(|id| *id >= 0).unwrap_or(0),
            device_name: text(self.columns.device_name).to_owned(),
            capability: capability(text(self.columns.capability)),
            grid: cells::three(text(self.columns.grid)),
            block: cells::three(text(self.columns.block)),
        });
        Ok(())
    }

    fn long<R: BufRead>(&mut self, rows: &mut Rows<R>, names: &[String]) -> Result<(), TraceError> {
        let at = |word: &str| names.iter().position(|name| name == word).unwrap_or(0);
        let (metric, unit, value) = (at("Metric Name"), at("Metric Unit"), at("Metric Value"));
        // Rows without a rule may leave the rule's columns away.
        let least = value + 1;
        while let Some(row) = rows.next()? {
            if row.len() < least || row.len() > names.len() {
                let text = rows.no_row()?;
                self.activities.recording.skip("line that is no row of the table", &text);
                continue;
            }
            self.head(rows)?;
            let row = rows.cells();
            let Some(meaning) = self.dictionary.get(row.str(metric)) else { continue };
            let scale = cells::metric_scale(row.str(unit));
            self.put(rows, meaning, value, scale)?;
        }
        self.launch();
        Ok(())
    }

    fn wide<R: BufRead>(&mut self, rows: &mut Rows<R>, names: &[String]) -> Result<(), TraceError> {
        let Some(units) = rows.next()? else { return Ok(()) };
        let units = units.names();
        let wanted: Vec<(usize, Meaning, Option<f64>)> = names
            .iter()
            .enumerate()
            .filter_map(|(column, name)| {
                let scale = units.get(column).and_then(|unit| cells::metric_scale(unit));
                Some((column, self.dictionary.get(name)?, scale))
            })
            .collect();
        // Some versions leave the row of units out.
        let mut first = units.get(self.columns.id).is_some_and(|id| !id.is_empty());
        loop {
            if !first && rows.next()?.is_none() {
                break;
            }
            first = false;
            if rows.cells().len() != names.len() {
                let text = rows.no_row()?;
                self.activities.recording.skip("line that is no row of the table", &text);
                continue;
            }
            self.head(rows)?;
            for &(column, meaning, scale) in &wanted {
                self.put(rows, meaning, column, scale)?;
            }
            self.launch();
        }
        Ok(())
    }

    fn put<R: BufRead>(
        &mut self,
        rows: &Rows<R>,
        meaning: Meaning,
        column: usize,
        scale: Option<f64>,
    ) -> Result<(), TraceError> {
        let text = rows.cells().str(column);
        if cells::is_empty(text) {
            return Ok(());
        }
        let Some(value) = rows.read(column, cells::leading_number)? else { return Ok(()) };
        match scale {
            Some(scale) => self.metrics.put(meaning, value * scale),
            None => self.activities.recording.skip("metric in a unit that is not known", text),
        }
        Ok(())
    }

    /// Ends the launch at hand.
    fn launch(&mut self) {
        let Some(head) = self.head.take() else { return };
        let launch = shape(&head, &self.metrics).filter(|launch| {
            let possible = launch.is_possible();
            if !possible {
                let what = "launch shape beyond CUDA's limits";
                self.activities.recording.skip(what, &head.kernel);
            }
            possible
        });
        let duration_ps = self.metrics.get(Slot::Duration).map(|seconds| seconds * 1e12);
        let duration_ps = duration_ps.filter(|ps| *ps < LATEST_PS as f64);
        let counters = match launch {
            Some(launch) => self.metrics.counters(launch),
            None => Err("lacks a launch shape"),
        };
        let version = |slot| self.metrics.get(slot).filter(|v| *v < 100.0).map(|v| v as u32);
        let capability = match (head.capability, version(Slot::Major), version(Slot::Minor)) {
            (0, Some(major), Some(minor)) => 10 * major + minor,
            (known, ..) => known,
        };
        let clock = self.metrics.get(Slot::Clock).filter(|hz| (1e6..1e11).contains(hz));
        self.metrics.clear();
        let known = counters.and_then(|counters| {
            let operation = Operation::Counters(counters.clone());
            operation.validate().map_err(|_| "has impossible counters").map(|()| counters)
        });
        if let (Err(lack), None) = (&known, duration_ps) {
            let what = format!("launch without a duration that {lack}");
            return self.activities.recording.skip(&what, &head.kernel);
        }
        let Some(duration_ps) = duration_ps.map_or(Some(0), |ps| Some(ps.round() as i64)) else {
            return;
        };
        if (self.at_ps + duration_ps).unsigned_abs() > LATEST_PS {
            return self.activities.recording.skip("launch with time out of range", &head.kernel);
        }
        self.clocks.extend(clock);
        let device_name = if head.device_name.is_empty() && capability > 0 {
            format!("GPU of compute capability {}.{}", capability / 10, capability % 10)
        } else {
            head.device_name.clone()
        };
        self.activities.device(head.device, &device_name, capability);
        let name = self.activities.name(&head.kernel);
        let signature = match known {
            Ok(counters) => {
                self.by_counters += 1;
                self.counted(&name, counters)
            }
            Err(lack) => {
                match self.lacking.iter_mut().find(|(known, _)| *known == lack) {
                    Some((_, count)) => *count += 1,
                    None => self.lacking.push((lack, 1)),
                }
                self.activities.recording.intern(signature(name, launch, None))
            }
        };
        self.activities.recording.events.push(Event {
            signature,
            stream: head.stream,
            device: head.device,
            start_ps: self.at_ps,
            duration_ps,
            launched_ps: None,
        });
        self.at_ps += duration_ps;
    }

    /// The number of a launch with such counters; those of the same kernel and shape that counted
    /// nearly the same are one.
    fn counted(&mut self, name: &Arc<str>, counters: Counters) -> u32 {
        let launches = self.counted.entry((Arc::clone(name), counters.launch)).or_default();
        let mut recent = launches.iter().rev().take(COMPARED);
        if let Some((signature, _)) = recent.find(|(_, known)| alike(known, &counters)) {
            return *signature;
        }
        let signatures = &mut self.activities.recording.signatures;
        let next = u32::try_from(signatures.len()).unwrap_or(u32::MAX);
        let work = Some(Operation::Counters(counters.clone()));
        signatures.push(signature(Arc::clone(name), Some(counters.launch), work));
        launches.push((next, counters));
        next
    }

    fn finish(mut self) {
        let clock_hz = median(&mut self.clocks);
        let recording = self.activities.recording;
        if recording.events.is_empty() {
            return;
        }
        recording.profiled = Some(Profiled { clock_hz });
        let clock =
            clock_hz.map_or_else(String::new, |hz| format!(", with SMs at {:.0} MHz", hz / 1e6));
        recording.notes.push(format!(
            "profiled launches: one at a time{clock}, in the order of their numbers, without gaps"
        ));
        if self.by_counters > 0 {
            recording.notes.push(format!(
                "{} launches are known by their counters, which hold for the caches of the GPU that recorded",
                self.by_counters
            ));
        }
        for (lack, count) in self.lacking {
            recording.notes.push(format!(
                "{count} profiled launches are taken by name, shape and duration, as what was recorded {lack}"
            ));
        }
    }
}

fn signature(name: Arc<str>, launch: Option<Launch>, work: Option<Operation>) -> Signature {
    Signature {
        kind: EventKind::Kernel,
        name,
        launch,
        bytes: None,
        operator: None,
        collective: None,
        work,
    }
}

/// `8.6` as 86; 0 for anything else.
fn capability(text: &str) -> u32 {
    let Some((major, minor)) = text.split_once('.') else { return 0 };
    match (major.parse::<u32>(), minor.parse::<u32>()) {
        (Ok(major @ 1..=99), Ok(minor @ 0..=9)) => 10 * major + minor,
        _ => 0,
    }
}

fn shape(head: &Head, metrics: &Metrics) -> Option<Launch> {
    let whole = |slot| metrics.get(slot).filter(|v| (1.0..4.3e9).contains(v)).map(|v| v as u32);
    let line = |slot| whole(slot).map(|size| [size, 1, 1]);
    let grid = head
        .grid
        .or_else(|| metrics.sizes([Slot::GridX, Slot::GridY, Slot::GridZ]))
        .or_else(|| line(Slot::GridSize))?;
    let block = head
        .block
        .or_else(|| metrics.sizes([Slot::BlockX, Slot::BlockY, Slot::BlockZ]))
        .or_else(|| line(Slot::BlockSize))?;
    let memory = metrics.get(Slot::StaticMemory).unwrap_or(0.0)
        + metrics.get(Slot::DynamicMemory).unwrap_or(0.0);
    Some(Launch {
        grid,
        block,
        registers: metrics.get(Slot::Registers).unwrap_or(0.0).min(1024.0) as u32,
        shared_bytes: memory.min(1e9) as u32,
    })
}

/// Whether two launches counted the same but for a twentieth.
fn alike(a: &Counters, b: &Counters) -> bool {
    let amounts = |c: &Counters| {
        [c.instructions(), c.fp32, c.memory, c.l1_bytes, c.l2_read_bytes, c.dram_bytes()]
    };
    // Differences below a thousand are noise.
    amounts(a).iter().zip(amounts(b)).all(|(a, b)| (a - b).abs() <= (0.05 * a.max(b)).max(1000.0))
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
