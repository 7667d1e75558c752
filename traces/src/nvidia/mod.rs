//! What NVIDIA's profilers export: tables of Nsight Systems (`gpu_trace`, `kernel_sum`), of nvprof
//! (`gpu_trace`), of Nsight Compute (`compute`), and Nsight Systems' databases (`sqlite`).
//!
//! Tables stand in texts that begin with anything: the profiler's own messages and whatever the
//! profiled program printed. The first line whose cells are the names of columns that one of these
//! tables has is its header. A text without one is refused with what it looks like instead.

mod activities;
mod cells;
mod compute;
mod gpu_trace;
mod kernel_sum;
mod rows;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(not(feature = "sqlite"))]
#[path = "no_sqlite.rs"]
mod sqlite;
#[cfg(test)]
mod tests;

use std::io::BufRead;

pub(crate) use sqlite::{looks_like as is_database, read as read_database};

use self::rows::Rows;
use crate::TraceError;
use crate::lines::Lines;
use crate::located::printable;
use crate::recording::Recording;

/// Lines in which a header is looked for.
const MOST_LINES: u64 = 1_000_000;

/// A table that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    Timeline(gpu_trace::Tool),
    Summary,
    Counters(compute::Page),
}

/// Which table a header starts.
fn table(names: &[String]) -> Option<Table> {
    gpu_trace::recognise(names)
        .map(Table::Timeline)
        .or_else(|| kernel_sum::recognise(names).then_some(Table::Summary))
        .or_else(|| compute::recognise(names).map(Table::Counters))
}

/// Whether the first lines of a text hold the header of a table that is read.
pub(crate) fn looks_like(head: &[u8]) -> bool {
    let mut rows = Rows::new(Lines::new(head, std::path::Path::new(""), None));
    while let Ok(Some(cells)) = rows.next_line() {
        if cells.len() > 2 && table(&cells.names()).is_some() {
            return true;
        }
    }
    false
}

/// Reads the first table of a text; on an error, what was read so far stays in `recording`.
pub(crate) fn read(
    lines: Lines<impl BufRead>,
    recording: &mut Recording,
) -> Result<(), TraceError> {
    let mut rows = Rows::new(lines);
    let mut looks = Looks::default();
    for _ in 0..MOST_LINES {
        let Some(cells) = rows.next_line()? else { break };
        if cells.len() > 2 {
            let names = cells.names();
            match table(&names) {
                Some(Table::Timeline(tool)) => {
                    return gpu_trace::read(&mut rows, &names, tool, recording);
                }
                Some(Table::Summary) => return kernel_sum::read(&mut rows, &names, recording),
                Some(Table::Counters(page)) => {
                    return compute::read(&mut rows, &names, page, recording);
                }
                None => looks.table(&names),
            }
        }
        looks.line(rows.lines().text());
        if looks.binary {
            break;
        }
    }
    Err(looks.refusal(&rows))
}

/// What a text without a header looks like.
#[derive(Debug, Default)]
struct Looks {
    lines: u64,
    binary: bool,
    /// A message of a profiler that says what went wrong.
    error: Option<String>,
    /// Messages of a profiler.
    messages: u64,
    other: Option<(&'static str, &'static str)>,
    /// Cells of the first line, where it has several.
    columns: Option<String>,
}

const TO_TIMELINE: &str =
    "export the timeline: nsys stats --report cuda_gpu_trace --format csv FILE.nsys-rep";
const TO_COUNTERS: &str = "export the counters: ncu --import FILE.ncu-rep --csv --page raw";
const TO_NVPROF: &str = "record again with nvprof --print-gpu-trace --csv";

impl Looks {
    /// A line that may be the header of a table that is not read.
    fn table(&mut self, names: &[String]) {
        let has = |word: &str| names.iter().any(|name| name == word);
        let starts = |word: &str| names.iter().any(|name| name.starts_with(word));
        if has("Invocations") && has("Metric Name") {
            self.other.get_or_insert((
                "a table of nvprof's metrics, which has neither durations nor launch shapes",
                TO_NVPROF,
            ));
        } else if has("Correlation_ID") && has("Kernel") {
            self.other.get_or_insert((
                "nvprof's trace of metrics, which has neither durations nor launch shapes",
                TO_NVPROF,
            ));
        } else if has("Time(%)") && has("Calls") {
            self.other.get_or_insert(("nvprof's summary, which has no launch shapes", TO_NVPROF));
        } else if starts("Time (%)") || (starts("Start (") && has("CorrId")) {
            self.other.get_or_insert((
                "a report of Nsight Systems other than the timeline and the summary of kernels",
                TO_TIMELINE,
            ));
        }
        if self.lines == 0 && self.columns.is_none() {
            let list: String = names.join(", ").chars().take(80).collect();
            self.columns = Some(list);
        }
    }

    fn line(&mut self, line: &[u8]) {
        self.lines += 1;
        let starts = |word: &str| line.starts_with(word.as_bytes());
        let contains = |word: &str| line.windows(word.len()).any(|part| part == word.as_bytes());
        if line.contains(&0) {
            self.binary = true;
        } else if starts("==ERROR==") || (starts("==") && contains("Error:")) {
            self.error.get_or_insert_with(|| printable(line).chars().take(200).collect());
        } else if starts("==") {
            self.messages += 1;
        } else if contains("Section: ") || contains("Metric Name ") {
            self.other.get_or_insert(("Nsight Compute's report as text", TO_COUNTERS));
        } else if starts("Time (%)  ") || starts("Time(%)  ") || starts("Time (%);") {
            self.other.get_or_insert((
                "a report of Nsight Systems as text, or under another locale",
                TO_TIMELINE,
            ));
        } else if starts("GPU activities:") || contains("Profiling result:") {
            self.other.get_or_insert(("nvprof's report as text", TO_NVPROF));
        } else if starts("Start (ns);") || starts("\"Start (ns)\";") {
            self.other.get_or_insert(("a table with semicolons between its columns", TO_TIMELINE));
        }
    }

    fn refusal(self, rows: &Rows<impl BufRead>) -> TraceError {
        let formats = "replay reads Kineto (torch.profiler) JSON, Nsight Systems' cuda_gpu_trace as CSV or its SQLite export, Nsight Compute's CSV, nvprof's GPU trace, launch lists, Accel-Sim's kernelslist.g and lumacycle traces, plain, gzip, zstd or tar; see docs/trace-formats.md";
        let (reason, help) = if self.binary {
            (
                "it is a binary file, or text in an encoding without a mark".to_owned(),
                "reports of Nsight Systems (.nsys-rep, .qdrep) and Nsight Compute (.ncu-rep) are exported first (nsys export --type sqlite, ncu --import … --csv --page raw); save texts as UTF-8; see docs/trace-formats.md".to_owned(),
            )
        } else if let Some(error) = self.error {
            (
                format!("no table follows the profiler's messages; it says: {error}"),
                "the profiler failed to record: mend that and record again".to_owned(),
            )
        } else if let Some((what, help)) = self.other {
            (format!("it is {what}"), format!("{help}; see docs/trace-formats.md"))
        } else if self.messages > 0 && self.messages == self.lines {
            (
                "it holds a profiler's messages and no table: no kernel was profiled".to_owned(),
                "check that the program ran on the GPU and that no filter (--kernel-name, --launch-count) left all kernels out".to_owned(),
            )
        } else if let Some(columns) = self.columns {
            (
                format!("a table with the columns {columns} is none that a profiler writes"),
                formats.to_owned(),
            )
        } else {
            ("it is neither JSON nor a table that a profiler writes".to_owned(), formats.to_owned())
        };
        TraceError::NotATrace { path: rows.lines().path().to_owned(), reason, help }
    }
}
