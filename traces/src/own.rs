//! The lumacycle trace format, version 1: JSON lines, meant to be written by other tools and
//! read in a diff.
//!
//! The first line names the format; then one line per distinct launch (`"launch"`), per event
//! (`"at"`) and per named range (`"range"`), in any order as long as a launch stands before its
//! events. Times are picoseconds. `docs/trace-format.md` is the reference.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::Arc;

use lumacycle_workloads::ops::Operation;
use serde::{Deserialize, Serialize};

use crate::located::ParseProblem;
use crate::recording::{Device, Event, LATEST_PS, Mark, Profiled, Recording, Signature};

/// The version that is written and read.
pub const VERSION: u32 = 1;
const FORMAT: &str = "lumacycle-trace";
/// A line longer than this is no trace line.
const LONGEST_LINE: u64 = 64 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rank: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ranks: Option<u32>,
    #[serde(default)]
    devices: Vec<Device>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    profiled: Option<Profiled>,
}

impl Header {
    /// What it says of the whole recording; else what is wrong, and what to do.
    fn tell(self, recording: &mut Recording) -> Result<(), (String, &'static str)> {
        if self.version != VERSION {
            return Err((
                format!("this is version {} of the format", self.version),
                "this build reads version 1: convert the trace again with a matching build",
            ));
        }
        // A clock of nothing would divide by nothing later.
        let clock = self.profiled.and_then(|profiled| profiled.clock_hz);
        if clock.is_some_and(|clock| !(1e6..1e11).contains(&clock)) {
            let help = "clock_hz is the SM clock in Hz, e.g. 1.41e9; leave it out if unknown";
            return Err(("no GPU runs at that clock_hz".to_owned(), help));
        }
        recording.rank = self.rank;
        recording.ranks = self.ranks;
        recording.devices = self.devices;
        recording.profiled = self.profiled;
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LaunchLine {
    launch: u32,
    is: Signature,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventLine {
    at: i64,
    dur: i64,
    run: u32,
    #[serde(default)]
    stream: u32,
    #[serde(default)]
    device: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    launched: Option<i64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeLine {
    range: Arc<str>,
    from: i64,
    to: i64,
}

/// Whether a text starts like a lumacycle trace.
pub(crate) fn looks_like(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let needle = format!("\"{FORMAT}\"");
    line.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// Writes a recording.
///
/// # Errors
/// Whatever the writer says.
pub fn write(recording: &Recording, out: &mut impl Write) -> std::io::Result<()> {
    let mut line = |value: serde_json::Result<String>| -> std::io::Result<()> {
        out.write_all(value?.as_bytes())?;
        out.write_all(b"\n")
    };
    line(serde_json::to_string(&Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        rank: recording.rank,
        ranks: recording.ranks,
        devices: recording.devices.clone(),
        profiled: recording.profiled,
    }))?;
    for (number, signature) in recording.signatures.iter().enumerate() {
        let launch = u32::try_from(number).unwrap_or(u32::MAX);
        line(serde_json::to_string(&LaunchLine { launch, is: signature.clone() }))?;
    }
    for mark in &recording.marks {
        let range = Arc::clone(&mark.name);
        line(serde_json::to_string(&RangeLine { range, from: mark.start_ps, to: mark.end_ps }))?;
    }
    for event in &recording.events {
        line(serde_json::to_string(&EventLine {
            at: event.start_ps,
            dur: event.duration_ps,
            run: event.signature,
            stream: event.stream,
            device: event.device,
            launched: event.launched_ps,
        }))?;
    }
    Ok(())
}

/// Kinds of lines behind the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineKind {
    Launch,
    Range,
    Event,
}

impl LineKind {
    /// The first key says it, whichever it is, as writers may sort them; untagged enums would ruin the messages.
    fn of(text: &[u8]) -> Self {
        let first = |keys: &[&str]| {
            keys.iter().any(|key| text.windows(key.len()).take(4).any(|w| w == key.as_bytes()))
        };
        if first(&["\"launch\"", "\"is\""]) {
            Self::Launch
        } else if first(&["\"range\"", "\"from\"", "\"to\""]) {
            Self::Range
        } else {
            Self::Event
        }
    }
}

/// Reads a recording; on an error, what was read so far stays in `recording`.
pub(crate) fn read(reader: impl Read, recording: &mut Recording) -> Result<(), ParseProblem> {
    let mut reader = BufReader::with_capacity(1 << 16, reader);
    let mut text = Vec::new();
    let mut number = 0_u64;
    let mut launches: std::collections::HashMap<u32, u32> = std::collections::HashMap::new();
    loop {
        text.clear();
        number += 1;
        let n = (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut text).map_err(|error| {
            ParseProblem {
                message: error.to_string(),
                line: number,
                column: 1,
                io: true,
                cut_short: false,
                help: None,
            }
        })?;
        if n == 0 {
            return Ok(());
        }
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let problem = |message: String, column: u64, help: &str| ParseProblem {
            message,
            line: number,
            column: column.max(1),
            io: false,
            cut_short: false,
            help: Some(help.to_owned()),
        };
        let parse_error = |error: serde_json::Error| {
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default().to_owned();
            let help = if error.is_eof() {
                "the line breaks off: was the file copied whole? --keep-going reports what could be read before it"
            } else {
                "see docs/trace-format.md for what a line may hold"
            };
            problem(message, error.column() as u64, help)
        };
        if number == 1 {
            let header: Header = serde_json::from_slice(&text).map_err(parse_error)?;
            header.tell(recording).map_err(|(what, help)| problem(what, 1, help))?;
            continue;
        }
        let kind = LineKind::of(&text);
        if kind == LineKind::Launch {
            let line: LaunchLine = serde_json::from_slice(&text).map_err(parse_error)?;
            if let Some(Err(reason)) = line.is.work.as_ref().map(Operation::validate) {
                let help = "see docs/trace-format.md for the fields of each kind of work";
                return Err(problem(format!("impossible work: {reason}"), 1, help));
            }
            if line.is.launch.is_some_and(|launch| !launch.is_possible()) {
                let help = "a grid holds at most 2147483647 x 65535 x 65535 CTAs of 1024 threads";
                return Err(problem("launch shape beyond CUDA's limits".to_owned(), 1, help));
            }
            let index = u32::try_from(recording.signatures.len()).unwrap_or(u32::MAX);
            recording.signatures.push(line.is);
            launches.insert(line.launch, index);
        } else if kind == LineKind::Range {
            let line: RangeLine = serde_json::from_slice(&text).map_err(parse_error)?;
            if line.from.unsigned_abs().max(line.to.unsigned_abs()) > LATEST_PS {
                recording.skip("range with an absurd time", &line.range);
                continue;
            }
            recording.marks.push(Mark { name: line.range, start_ps: line.from, end_ps: line.to });
        } else {
            let line: EventLine = serde_json::from_slice(&text).map_err(parse_error)?;
            let Some(&signature) = launches.get(&line.run) else {
                return Err(problem(
                    format!("event of launch {}, which no line before it describes", line.run),
                    1,
                    "put the {\"launch\": …} line before the events that run it",
                ));
            };
            let far = |at: i64| at.unsigned_abs() > LATEST_PS;
            let bad_launch = line.launched.is_some_and(far);
            if line.dur < 0 || far(line.at) || far(line.dur) || bad_launch {
                recording.skip("event with a negative or absurd time", &line.at.to_string());
                continue;
            }
            recording.events.push(Event {
                signature,
                stream: line.stream,
                device: line.device,
                start_ps: line.at,
                duration_ps: line.dur,
                launched_ps: line.launched,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_in_any_order() {
        let text = "{\"version\":1,\"format\":\"lumacycle-trace\",\"rank\":0,\"devices\":[]}\n\
            { \"is\":{\"bytes\":8,\"name\":\"x\",\"kind\":\"memset\"},\"launch\":3}\n\
            {\"from\":0,\"range\":\"step\",\"to\":9}\n{\"to\":9,\"from\":1,\"range\":\"next\"}\n\
            {\"stream\":7,\"run\":3,\"at\":1,\"dur\":2,\"device\":0}\n";
        let mut recording = Recording::default();
        assert!(read(text.as_bytes(), &mut recording).is_ok());
        let found = (recording.signatures.len(), recording.marks.len(), recording.events.len());
        assert_eq!(found, (1, 2, 1));
    }
}
