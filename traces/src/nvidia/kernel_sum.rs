//! Nsight Systems' kernel summary (`cuda_gpu_kern_sum`, `gpukernsum`): a row for each kernel with
//! its launches and their total time; grid and block where the summary has been broken down by them.
//!
//! Each kernel becomes as many launches of its mean duration, one after another. Left out: order,
//! gaps, streams, registers and shared memory, of which a summary tells nothing.

use std::io::BufRead;

use lumacycle_workloads::Launch;

use super::activities::{Activities, Activity};
use super::cells;
use super::rows::Rows;
use crate::TraceError;
use crate::recording::{Event, EventKind, LATEST_PS, Recording};

/// Launches that a summary may stand for.
const MOST_LAUNCHES: u64 = 2_000_000;

/// Whether such a header is that of a kernel summary.
pub(super) fn recognise(names: &[String]) -> bool {
    let has = |word: &str| names.iter().any(|name| name == word);
    names.iter().any(|name| name.starts_with("Total Time (")) && has("Instances") && has("Name")
}

/// Reads the rows behind the header `names`.
pub(super) fn read<R: BufRead>(
    rows: &mut Rows<R>,
    names: &[String],
    recording: &mut Recording,
) -> Result<(), TraceError> {
    let at = |word: &str| names.iter().position(|name| name == word);
    let total = names.iter().position(|name| name.starts_with("Total Time (")).unwrap_or(0);
    let unit = names[total].trim_start_matches("Total Time (").trim_end_matches(')');
    let Some(unit_ps) = cells::time_unit_ps(unit) else {
        return Err(rows.malformed(
            &format!("the total time is in \"{unit}\", which is no unit of time"),
            "times are in ns, us, ms or s: export the table again",
        ));
    };
    let (instances, name) = (at("Instances").unwrap_or(0), at("Name").unwrap_or(0));
    let shapes = at("GridXYZ").zip(at("BlockXYZ"));
    let mut note =
        "a kernel summary: each kernel runs with its mean duration, one after another without gaps"
            .to_owned();
    if shapes.is_none() {
        note += "; without launch shapes (cuda_gpu_kern_gb_sum has them, cuda_gpu_trace has all)";
    }
    recording.notes.push(note);
    let mut activities = Activities::new(recording);
    let mut at_ps = 0_i64;
    while let Some(row) = rows.next()? {
        if row.len() != names.len() {
            if row.whole().starts_with("Processing [") {
                break;
            }
            let text = rows.no_row()?;
            activities.recording.skip("line that is no row of the table", &text);
            continue;
        }
        let total = rows.read(total, |cell| cells::picoseconds(cell, unit_ps))?;
        let count = rows.read(instances, cells::whole)?;
        let (Some(total_ps), Some(count @ 1..)) = (total, count) else {
            let row = rows.shown();
            activities.recording.skip("row without a readable total time and instances", &row);
            continue;
        };
        if let Some(what) = activities.full() {
            return Err(rows.malformed(what, "cut rows out of the summary"));
        }
        let so_far = activities.recording.events.len() as u64;
        if so_far.saturating_add(count) > MOST_LAUNCHES {
            return Err(rows.malformed(
                "the summary stands for more than two million launches",
                "export the timeline (cuda_gpu_trace) of a part of the run, or cut rows out of the summary",
            ));
        }
        if total_ps < 0 || at_ps.saturating_add(total_ps).unsigned_abs() > LATEST_PS {
            activities.recording.skip("row with a time out of range", &rows.shown());
            continue;
        }
        let launch = shapes.and_then(|(grid, block)| {
            let of = |column| cells::three(rows.cells().str(column));
            Some(Launch { grid: of(grid)?, block: of(block)?, registers: 0, shared_bytes: 0 })
        });
        let name = String::from_utf8_lossy(rows.cells().get(name)).into_owned();
        let n = count.cast_signed();
        let first = activities.recording.events.len();
        activities.push(&Activity {
            kind: EventKind::Kernel,
            name: &name,
            launch,
            bytes: None,
            stream: 0,
            device: 0,
            start_ps: at_ps,
            duration_ps: total_ps / n,
            launched_ps: None,
        });
        let Some(&event) = activities.recording.events.get(first) else { continue };
        // The durations add up to the total exactly.
        activities.recording.events.truncate(first);
        activities.recording.events.extend((0..n).map(|index| {
            let duration_ps = total_ps / n + i64::from(index < total_ps % n);
            let start_ps = at_ps;
            at_ps += duration_ps;
            Event { start_ps, duration_ps, ..event }
        }));
    }
    Ok(())
}
