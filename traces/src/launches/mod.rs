//! Launch lists: a CSV row per kernel with start, duration, stream, name and launch shape, as
//! exporters of Nsight Systems reports write them.
//!
//! Lists of instant-ngp runs are understood further: which samples a lookup encodes follows from
//! its place in the frame or training step (`ngp`). Left out: memory copies (such lists have
//! none).

mod ngp;

use std::io::Read;
use std::sync::Arc;

use lumacycle_workloads::Launch;

use crate::located::ParseProblem;
use crate::recording::{Device, Event, EventKind, Operator, Recording, Signature};

/// Columns that a list needs.
const NEEDED: [&str; 12] = [
    "start_ns",
    "dur_ns",
    "stream",
    "kernel",
    "gridX",
    "gridY",
    "gridZ",
    "blockX",
    "blockY",
    "blockZ",
    "regs",
    "dynamic_smem",
];

/// One launch of a list.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) start_ns: i64,
    pub(crate) dur_ns: i64,
    pub(crate) stream: u32,
    pub(crate) kernel: Arc<str>,
    pub(crate) launch: Launch,
}

/// Whether a text starts like such a list.
pub(crate) fn looks_like(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let names: Vec<&[u8]> = line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).collect();
    let has = |name: &str| names.contains(&name.as_bytes());
    has("start_ns") && has("dur_ns") && has("kernel")
}

fn problem(message: String, line: u64, help: &str) -> ParseProblem {
    ParseProblem {
        message,
        line,
        column: 1,
        io: false,
        cut_short: false,
        help: Some(help.to_owned()),
    }
}

/// Reads a list.
pub(crate) fn read(reader: impl Read, recording: &mut Recording) -> Result<(), ParseProblem> {
    let rows = rows(reader)?;
    if let Some(name) = device_of(&recording.name) {
        recording.devices.push(Device { id: 0, name, compute_capability: 0 });
    }
    let understood = ngp::understand(&rows);
    for (row, (role, work)) in rows.iter().zip(understood) {
        let operator =
            role.map(|name| Arc::new(Operator { name: name.into(), ..Operator::default() }));
        let signature = recording.intern(Signature {
            kind: EventKind::Kernel,
            name: Arc::clone(&row.kernel),
            launch: Some(row.launch),
            bytes: None,
            operator,
            collective: None,
            work,
        });
        recording.events.push(Event {
            signature,
            stream: row.stream,
            device: 0,
            start_ps: row.start_ns * 1000,
            duration_ps: row.dur_ns * 1000,
            launched_ps: None,
        });
    }
    Ok(())
}

/// Gives the launches of an instant-ngp run their work, where a timeline in order holds one.
pub(crate) fn understand(recording: &mut Recording) {
    let is_one =
        |s: &Signature| s.kind == EventKind::Kernel && ngp::function(&s.name) == "kernel_grid";
    if !recording.signatures.iter().any(is_one) {
        return;
    }
    let launched = |recording: &Recording, event: &Event| {
        let signature = recording.signature(event);
        let launch = signature.launch.filter(|_| signature.work.is_none())?;
        Some(Row {
            start_ns: event.start_ps / 1000,
            dur_ns: event.duration_ps / 1000,
            stream: event.stream,
            kernel: Arc::clone(&signature.name),
            launch,
        })
    };
    let rows: Vec<Row> =
        recording.events.iter().filter_map(|event| launched(recording, event)).collect();
    let mut understood = ngp::understand(&rows).into_iter();
    let signatures = recording.take_signatures();
    for index in 0..recording.events.len() {
        let mut signature = signatures[recording.events[index].signature as usize].clone();
        if signature.launch.is_some()
            && signature.work.is_none()
            && let Some((role, work)) = understood.next()
        {
            signature.operator =
                role.map(|name| Arc::new(Operator { name: name.into(), ..Operator::default() }));
            signature.work = work;
        }
        recording.events[index].signature = recording.intern(signature);
    }
}

/// The GPU that a file's name starts with (`rtx3070_render_….csv`), if it looks like one.
fn device_of(name: &str) -> Option<String> {
    let first = name.rsplit('/').next()?.split(['_', '.']).next()?;
    let both =
        first.bytes().any(|b| b.is_ascii_digit()) && first.bytes().any(|b| b.is_ascii_alphabetic());
    both.then(|| first.to_owned())
}

/// What CUDA can launch.
fn possible(launch: &Launch) -> Result<(), String> {
    let [x, y, z] = launch.grid;
    if [x, y, z].contains(&0) || x > i32::MAX as u32 || y > 65_535 || z > 65_535 {
        return Err(format!("a grid of {x} x {y} x {z} CTAs"));
    }
    let [x, y, z] = launch.block;
    let threads = [x, y, z].iter().map(|n| u128::from(*n)).product::<u128>();
    if !(1..=1024).contains(&threads) {
        return Err(format!("a block of {x} x {y} x {z} threads"));
    }
    if launch.shared_bytes > 1 << 20 {
        return Err(format!("{} bytes of shared memory", launch.shared_bytes));
    }
    Ok(())
}

fn rows(reader: impl Read) -> Result<Vec<Row>, ParseProblem> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(reader);
    let csv_problem = |error: &csv::Error| ParseProblem {
        io: matches!(error.kind(), csv::ErrorKind::Io(_)),
        ..problem(
            error.to_string(),
            error.position().map_or(0, csv::Position::line),
            "mend or remove this line",
        )
    };
    let header = reader.headers().map_err(|e| csv_problem(&e))?.clone();
    let mut columns = [0_usize; NEEDED.len()];
    for (at, name) in columns.iter_mut().zip(NEEDED) {
        *at = header.iter().position(|column| column.trim() == name).ok_or_else(|| {
            problem(
                format!("the header has no column \"{name}\""),
                1,
                "a launch list has start_ns,dur_ns,stream,kernel,gridX,…,blockZ,regs,static_smem,dynamic_smem",
            )
        })?;
    }
    let static_memory = header.iter().position(|column| column.trim() == "static_smem");
    let mut names: std::collections::HashMap<String, Arc<str>> = std::collections::HashMap::new();
    let mut out = Vec::new();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|e| csv_problem(&e))? {
        let line = record.position().map_or(0, csv::Position::line);
        let text = |at: usize| record.get(at).unwrap_or_default().trim();
        let number = |at: usize| -> Result<i64, ParseProblem> {
            // Exporters write whole numbers, sometimes with a fraction of zero.
            let cell = text(at);
            let value = cell
                .parse::<i64>()
                .ok()
                .or_else(|| cell.parse::<f64>().ok().filter(|v| v.abs() < 9e15).map(|v| v as i64));
            // Two of them add up within the range of picoseconds.
            value.filter(|v| (0..=4_000_000_000_000_000).contains(v)).ok_or_else(|| {
                problem(
                    format!("\"{cell}\" is no number that can stand here"),
                    line,
                    "all columns but the kernel's name hold numbers of at least zero",
                )
            })
        };
        let small = |at: usize| -> Result<u32, ParseProblem> {
            u32::try_from(number(at)?)
                .map_err(|_| problem(format!("{} is too large", text(at)), line, "check this line"))
        };
        let kernel = text(columns[3]);
        let name = if let Some(name) = names.get(kernel) {
            Arc::clone(name)
        } else {
            let name: Arc<str> = kernel.into();
            names.insert(kernel.to_owned(), Arc::clone(&name));
            name
        };
        let shared =
            u64::from(small(columns[11])?) + u64::from(static_memory.map_or(Ok(0), small)?);
        let launch = Launch {
            grid: [small(columns[4])?, small(columns[5])?, small(columns[6])?],
            block: [small(columns[7])?, small(columns[8])?, small(columns[9])?],
            registers: small(columns[10])?,
            shared_bytes: u32::try_from(shared).unwrap_or(u32::MAX),
        };
        possible(&launch).map_err(|what| {
            problem(
                what,
                line,
                "grids are 1 to 2147483647 x 65535 x 65535 CTAs, blocks 1 to 1024 threads",
            )
        })?;
        out.push(Row {
            start_ns: number(columns[0])?,
            dur_ns: number(columns[1])?,
            stream: small(columns[2])?,
            kernel: name,
            launch,
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "start_ns,dur_ns,stream,kernel,gridX,gridY,gridZ,blockX,blockY,blockZ,regs,static_smem,dynamic_smem\n";

    #[test]
    fn rows_become_events() {
        let text = format!(
            "{HEADER}0,1500,7,\"f<int, 2>(a, b)\",4,1,1,128,1,1,32,0,1024\n2000,900,7,\"f<int, 2>(a, b)\",4,1,1,128,1,1,32,0,1024\n"
        );
        let mut recording = Recording::default();
        "rtx3070_x.csv".clone_into(&mut recording.name);
        read(text.as_bytes(), &mut recording).unwrap();
        assert_eq!((recording.events.len(), recording.signatures.len()), (2, 1));
        assert_eq!(recording.devices[0].name, "rtx3070");
        assert_eq!(recording.signatures[0].launch.unwrap().shared_bytes, 1024);
        assert!(looks_like(text.as_bytes()));
    }

    #[test]
    fn broken_lists_say_where() {
        let mut recording = Recording::default();
        let text = format!("{HEADER}0,abc,7,f,4,1,1,128,1,1,32,0,0\n");
        let problem = read(text.as_bytes(), &mut recording).unwrap_err();
        assert!(problem.message.contains("\"abc\"") && problem.line == 2);
        let problem = read("start_ns,dur_ns,kernel\n".as_bytes(), &mut recording).unwrap_err();
        assert!(problem.message.contains("\"stream\""));
    }
}
