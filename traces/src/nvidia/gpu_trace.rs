//! Timelines of GPU activities: Nsight Systems' `cuda_gpu_trace` (`gputrace` until 2022) with units
//! in its header, and nvprof's `--print-gpu-trace --csv` with units in a row of their own.
//!
//! Columns are found by name, so variants that lack or add some are read alike. Used are start,
//! duration, launch shape, registers, shared memory, sizes and ends of copies, device, stream and
//! name. Left out are contexts, correlation numbers and throughputs, but for one use: Nsight rounds
//! sizes to a kilobyte, and throughput × duration gives those of copies more closely. Within what is
//! left of the rounding, sizes are taken to be the roundest number in binary.

use std::io::BufRead;

use lumacycle_workloads::Launch;

use super::activities::{Activities, Activity, copy_name, direction, fill_name};
use super::cells;
use super::rows::{Cells, Rows};
use crate::TraceError;
use crate::recording::{EventKind, Recording};

/// Which program wrote the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    NsightSystems,
    Nvprof,
}

impl Tool {
    /// What a K stands for: Nsight Systems counts in thousands, nvprof in 1024s.
    const fn kilo(self) -> f64 {
        match self {
            Self::NsightSystems => 1000.0,
            Self::Nvprof => 1024.0,
        }
    }
}

/// A column with a unit.
#[derive(Debug, Clone, Copy)]
struct Measured {
    column: usize,
    scale: f64,
}

/// Where in a row things stand.
struct Columns {
    tool: Tool,
    start: Measured,
    duration: Measured,
    grid: [usize; 3],
    block: [usize; 3],
    registers: Option<usize>,
    static_memory: Option<Measured>,
    dynamic_memory: Option<Measured>,
    bytes: Option<Measured>,
    throughput: Option<Measured>,
    from: Option<usize>,
    to: Option<usize>,
    device: Option<usize>,
    stream: Option<usize>,
    name: usize,
    count: usize,
}

/// Which tool's table starts with such a header, if one does.
pub(super) fn recognise(names: &[String]) -> Option<Tool> {
    let starts = |word: &str| names.iter().any(|name| name.starts_with(word));
    let has = |word: &str| names.iter().any(|name| name == word);
    let timeline = starts("Start") && starts("Duration") && has("Name");
    if timeline && has("GrdX") {
        Some(Tool::NsightSystems)
    } else if timeline && has("Grid X") {
        Some(Tool::Nvprof)
    } else {
        None
    }
}

/// Reads the rows behind the header `names`.
pub(super) fn read<R: BufRead>(
    rows: &mut Rows<R>,
    names: &[String],
    tool: Tool,
    recording: &mut Recording,
) -> Result<(), TraceError> {
    let units: Vec<String> = match tool {
        Tool::NsightSystems => names.iter().map(|name| unit_in(name).to_owned()).collect(),
        // A row of their own.
        Tool::Nvprof => match rows.next()? {
            Some(cells) => cells.names(),
            None => return Ok(()),
        },
    };
    let columns = columns(rows, names, &units, tool)?;
    let mut activities = Activities::new(recording);
    let result = columns.all(rows, &mut activities);
    activities.finish();
    result
}

/// What stands in brackets behind a column's name.
fn unit_in(name: &str) -> &str {
    name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or_default()
}

fn columns<R: BufRead>(
    rows: &Rows<R>,
    names: &[String],
    units: &[String],
    tool: Tool,
) -> Result<Columns, TraceError> {
    let bare = |name: &str| name.split('(').next().unwrap_or_default().trim().to_owned();
    let bare: Vec<String> = names.iter().map(|name| bare(name)).collect();
    let at = |spellings: [&str; 2]| bare.iter().position(|name| spellings.contains(&name.as_str()));
    let need = |spellings: [&str; 2]| {
        at(spellings).ok_or_else(|| {
            rows.malformed(
                &format!("the header has no column \"{}\"", spellings[0]),
                "export the table with all its columns",
            )
        })
    };
    let unit = |column: usize| units.get(column).map_or("", String::as_str);
    let time = |spellings: [&str; 2]| {
        let column = need(spellings)?;
        let scale = cells::time_unit_ps(unit(column)).ok_or_else(|| {
            let unit = unit(column);
            rows.malformed(
                &format!("\"{}\" is in \"{unit}\", which is no unit of time", spellings[0]),
                "times are in ns, us, ms or s: export the table again",
            )
        })?;
        Ok::<_, TraceError>(Measured { column, scale })
    };
    let size = |spellings: [&str; 2]| {
        let column = at(spellings)?;
        let scale = cells::size_unit(unit(column), tool.kilo())?;
        Some(Measured { column, scale })
    };
    // Sizes per second, in the spellings of both years: MB/s and MBps.
    let throughput = at(["Throughput", "Throughput"]).and_then(|column| {
        let of = unit(column).strip_suffix("/s").or_else(|| unit(column).strip_suffix("ps"))?;
        Some(Measured { column, scale: cells::size_unit(of, tool.kilo())? })
    });
    Ok(Columns {
        tool,
        start: time(["Start", "Start"])?,
        duration: time(["Duration", "Duration"])?,
        grid: [need(["GrdX", "Grid X"])?, need(["GrdY", "Grid Y"])?, need(["GrdZ", "Grid Z"])?],
        block: [need(["BlkX", "Block X"])?, need(["BlkY", "Block Y"])?, need(["BlkZ", "Block Z"])?],
        registers: at(["Reg/Trd", "Registers Per Thread"]),
        static_memory: size(["StcSMem", "Static SMem"]),
        dynamic_memory: size(["DymSMem", "Dynamic SMem"]),
        bytes: size(["Bytes", "Size"]),
        throughput,
        from: at(["SrcMemKd", "SrcMemType"]),
        to: at(["DstMemKd", "DstMemType"]),
        device: at(["Device", "Device"]),
        stream: at(["Strm", "Stream"]),
        name: need(["Name", "Name"])?,
        count: names.len(),
    })
}

impl Columns {
    /// All rows.
    fn all<R: BufRead>(
        &self,
        rows: &mut Rows<R>,
        activities: &mut Activities<'_>,
    ) -> Result<(), TraceError> {
        let mut label = String::new();
        while let Some(cells) = rows.next()? {
            if cells.len() == self.count {
                self.activity(rows, activities, &mut label)?;
                if let Some(what) = activities.full() {
                    return Err(rows.malformed(what, "record or export a part of the run"));
                }
                continue;
            }
            let text = cells.whole();
            // Another report of the same command follows.
            if text.starts_with("Processing [") {
                let note = "only the first timeline of the file was read";
                activities.recording.notes.push(note.to_owned());
                break;
            }
            let text = rows.no_row()?;
            activities.recording.skip("line that is no row of the table", &text);
        }
        Ok(())
    }

    /// One row.
    fn activity<R: BufRead>(
        &self,
        rows: &Rows<R>,
        activities: &mut Activities<'_>,
        label: &mut String,
    ) -> Result<(), TraceError> {
        let cells = rows.cells();
        let name = String::from_utf8_lossy(cells.get(self.name));
        let time = |measured: Measured| {
            rows.read(measured.column, |cell| cells::picoseconds(cell, measured.scale))
        };
        let (Some(start_ps), Some(duration_ps)) = (time(self.start)?, time(self.duration)?) else {
            let row = rows.shown();
            activities.recording.skip("row without a readable start and duration", &row);
            return Ok(());
        };
        let kind = kind(&name);
        let Some(kind) = kind else {
            activities.recording.skip("activity that is neither kernel nor copy nor fill", &name);
            return Ok(());
        };
        let launch = if kind == EventKind::Kernel { self.launch(rows)? } else { None };
        let bytes = if kind == EventKind::Kernel { None } else { self.size(rows, duration_ps)? };
        let memory = |column: Option<usize>| column.map_or("", |column| present(cells, column));
        let (from, to) = (memory(self.from), memory(self.to));
        let name = match kind {
            EventKind::Kernel => name.as_ref(),
            EventKind::Memcpy => {
                let unified = if name.contains("nified") { "Unified " } else { "" };
                let direction = direction(&name).unwrap_or("of unknown direction");
                *label = copy_name(&format!("{unified}{direction}"), from, to);
                label.as_str()
            }
            EventKind::Memset => {
                *label = fill_name(if from.is_empty() { to } else { from });
                label.as_str()
            }
        };
        let (device_name, device) = self.device.map_or(("", 0), |column| device(cells, column));
        activities.device(device, device_name, 0);
        let stream = self.stream.map_or(Ok(None), |column| rows.read(column, cells::small))?;
        activities.push(&Activity {
            kind,
            name,
            launch,
            bytes,
            stream: stream.unwrap_or(0),
            device,
            start_ps,
            duration_ps,
            launched_ps: None,
        });
        Ok(())
    }

    fn launch<R: BufRead>(&self, rows: &Rows<R>) -> Result<Option<Launch>, TraceError> {
        let three = |columns: [usize; 3]| -> Result<Option<[u32; 3]>, TraceError> {
            let mut sizes = [0; 3];
            for (size, column) in sizes.iter_mut().zip(columns) {
                match rows.read(column, cells::small)? {
                    Some(found) => *size = found,
                    None => return Ok(None),
                }
            }
            Ok(Some(sizes))
        };
        let (Some(grid), Some(block)) = (three(self.grid)?, three(self.block)?) else {
            return Ok(None);
        };
        let registers =
            self.registers.map_or(Ok(None), |column| rows.read(column, cells::small))?;
        let memory = |measured: Option<Measured>| {
            let Some(measured) = measured else { return Ok(0) };
            let value: Option<f64> = rows.read(measured.column, cells::number)?;
            Ok::<_, TraceError>(value.map_or(0, |value| self.exact(value, measured)))
        };
        let shared = memory(self.static_memory)?.saturating_add(memory(self.dynamic_memory)?);
        Ok(Some(Launch {
            grid,
            block,
            registers: registers.unwrap_or(0),
            shared_bytes: u32::try_from(shared).unwrap_or(u32::MAX),
        }))
    }

    /// Bytes of a value that Nsight Systems rounds to three places.
    fn exact(&self, value: f64, of: Measured) -> u64 {
        let bytes = value * of.scale;
        let off = if self.tool == Tool::NsightSystems { 0.5e-3 * of.scale } else { 0.0 };
        if off < 1.0 { bytes.round() as u64 } else { cells::roundest(bytes - off, bytes + off) }
    }

    /// Bytes of a copy or fill.
    fn size<R: BufRead>(
        &self,
        rows: &Rows<R>,
        duration_ps: i64,
    ) -> Result<Option<u64>, TraceError> {
        let value = |measured: Option<Measured>| {
            let Some(measured) = measured else { return Ok(None) };
            let found: Option<f64> = rows.read(measured.column, cells::number)?;
            Ok::<_, TraceError>(found.zip(Some(measured)))
        };
        let Some((rounded, of)) =
            value(self.bytes)?.filter(|(n, of)| (0.0..9e15).contains(&(n * of.scale)))
        else {
            return Ok(None);
        };
        // A thousandth of the unit.
        let step = of.scale * 1e-3;
        if self.tool == Tool::NsightSystems
            && step > 1.0
            && let Some((rate, per)) = value(self.throughput)?
        {
            let close = rate * per.scale * duration_ps as f64 * 1e-12;
            // Exporters divide rounded numbers.
            let off = 1e-4 * close;
            if (close - rounded * of.scale).abs() <= step {
                let exact = off < 0.5;
                let bytes = close.round() as u64;
                return Ok(Some(if exact {
                    bytes
                } else {
                    cells::roundest(close - off, close + off)
                }));
            }
        }
        Ok(Some(self.exact(rounded, of)))
    }
}

/// What kind of activity a name stands for; profilers put all but kernels in square brackets.
fn kind(name: &str) -> Option<EventKind> {
    if !name.starts_with('[') {
        return Some(EventKind::Kernel);
    }
    let lower = name.to_ascii_lowercase();
    if lower.contains("memcpy") {
        Some(EventKind::Memcpy)
    } else if lower.contains("memset") {
        Some(EventKind::Memset)
    } else {
        None
    }
}

/// A cell's text, empty where it says that there is none.
fn present(cells: &Cells, column: usize) -> &str {
    let text = cells.str(column);
    if cells::is_empty(text) { "" } else { text }
}

/// Name and number of a device, as in `NVIDIA A100-PCIE-40GB (0)`.
fn device(cells: &Cells, column: usize) -> (&str, i32) {
    let text = present(cells, column);
    let number = |text: &str| text.parse::<i32>().ok().filter(|id| (0..=1_000_000).contains(id));
    if let Some(id) = number(text) {
        return ("", id);
    }
    let numbered = text
        .strip_suffix(')')
        .and_then(|text| text.rsplit_once(" ("))
        .and_then(|(name, id)| Some((name, number(id)?)));
    numbered.unwrap_or((text, 0))
}
