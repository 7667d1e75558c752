//! One `.traceg` file, line by line: head, thread blocks, warps, instructions.
//!
//! Counts that the file announces are checked against what it lists, and nothing is allocated
//! because a number says so.

use std::collections::{BTreeMap, HashMap};
use std::io::BufRead;

use super::block::Work;
use super::header::Header;
use super::instruction::{Instruction, Prefix, decimal};
use super::opcode::{self, Opcode, Space};
use crate::TraceError;
use crate::lines::Lines;

/// Mnemonics that one kernel may use.
const MOST_OPCODES: usize = 1 << 14;
const AGAIN: &str = "trace and post-process the kernel again, or mend the line; --keep-going uses the thread blocks before it";
const CUT: &str =
    "the file ends too early: was it copied whole? --keep-going uses the thread blocks before it";

/// What a file held.
pub(super) struct KernelFile {
    pub(super) name: String,
    pub(super) work: Work,
    /// Mnemonics that are not in the table, and how often they were executed.
    pub(super) unknown: BTreeMap<String, u64>,
    /// Damage at which reading stopped.
    pub(super) cut: Option<TraceError>,
}

/// Where in a block the text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    /// In a block, before its number.
    Block,
    /// Between warps.
    Numbered,
    /// In a warp, with as many instructions to come.
    Warp {
        left: u64,
    },
}

pub(super) struct Reader<R> {
    lines: Lines<R>,
    budget: usize,
    /// What mnemonics mean, their number and how often they came.
    opcodes: HashMap<Vec<u8>, u32>,
    decoded: Vec<(Opcode, u64)>,
}

impl<R: BufRead> Reader<R> {
    pub(super) fn new(lines: Lines<R>, budget: usize) -> Self {
        Self { lines, budget, opcodes: HashMap::new(), decoded: Vec::new() }
    }

    /// Reads the file; with `keep_going`, damage behind the first block only ends the reading.
    pub(super) fn read(mut self, keep_going: bool) -> Result<KernelFile, TraceError> {
        let (header, begun) = self.header()?;
        let launch = header.launch().map_err(|message| {
            self.lines.malformed(0, &message, "the head of a .traceg file says how it was launched")
        })?;
        let (name, prefix, version) = (header.name.clone(), header.prefix(), header.version);
        let mut work = Work::new(header, launch, self.budget);
        let result = self.blocks(&mut work, prefix, version, begun);
        let cut = match result {
            Err(error) if keep_going && work.blocks > 0 => Some(error),
            Err(error) => return Err(error),
            Ok(()) if work.blocks == 0 => {
                let help = "a .traceg file lists its blocks behind #BEGIN_TB; raw .trace files go through Accel-Sim's post-traces-processing first";
                return Err(self.lines.malformed(0, "this trace holds no thread block", help));
            }
            Ok(()) => None,
        };
        let unknown = self
            .opcodes
            .iter()
            .map(|(text, number)| (text, self.decoded[*number as usize]))
            .filter(|(_, (opcode, _))| !opcode.known)
            .map(|(text, (_, count))| (String::from_utf8_lossy(text).into_owned(), count))
            .collect();
        Ok(KernelFile { name, work, unknown, cut })
    }

    /// Reads up to the first block; true if one begins.
    fn header(&mut self) -> Result<(Header, bool), TraceError> {
        let mut header = Header::default();
        loop {
            let Some(line) = self.lines.next()? else { return Ok((header, false)) };
            if line.starts_with(b"#BEGIN_TB") {
                return Ok((header, true));
            }
            if line.starts_with(b"#") {
                continue;
            }
            let text = String::from_utf8_lossy(line).into_owned();
            if !text.starts_with('-') {
                let help = "raw .trace files go through Accel-Sim's post-traces-processing first, which makes .traceg files";
                return Err(self.lines.malformed(
                    0,
                    "an instruction outside of a thread block",
                    help,
                ));
            }
            if let Err(message) = header.take(&text) {
                return Err(self.lines.malformed(0, &message, AGAIN));
            }
        }
    }

    fn blocks(
        &mut self,
        work: &mut Work,
        prefix: Prefix,
        version: u32,
        begun: bool,
    ) -> Result<(), TraceError> {
        let mut place = if begun { Place::Block } else { Place::Outside };
        let mut instruction = Instruction::default();
        loop {
            let inside = place != Place::Outside;
            let Some(line) = self.lines.next()? else {
                if inside {
                    return Err(self.lines.malformed(
                        0,
                        "the trace ends inside a thread block",
                        CUT,
                    ));
                }
                return Ok(());
            };
            let is_instruction = line[0].is_ascii_digit()
                || matches!(place, Place::Warp { left } if left > 0 && line[0].is_ascii_hexdigit());
            if let Place::Warp { left } = place
                && is_instruction
                && !line.starts_with(b"cluster")
            {
                if left == 0 {
                    let message = "this warp has more instructions than it announces";
                    return Err(self.lines.malformed(0, message, AGAIN));
                }
                place = Place::Warp { left: left - 1 };
                self.instruction(work, prefix, version, &mut instruction)?;
                continue;
            }
            place = self.structure(work, place)?;
        }
    }

    /// A line that is no instruction.
    fn structure(&self, work: &mut Work, place: Place) -> Result<Place, TraceError> {
        let line = self.lines.text();
        let fail = |message: &str| Err(self.lines.malformed(0, message, AGAIN));
        let value = |name: &[u8]| {
            let rest = line.strip_prefix(name)?.trim_ascii_start().strip_prefix(b"=")?;
            Some(rest.trim_ascii())
        };
        if line.starts_with(b"#BEGIN_TB") {
            return match place {
                Place::Outside => Ok(Place::Block),
                _ => fail("a thread block begins before the last one has ended"),
            };
        }
        if place == Place::Outside {
            return if line.starts_with(b"#") {
                Ok(place)
            } else {
                fail("a line outside of any thread block")
            };
        }
        if let Place::Warp { left } = place
            && left > 0
            && (line.starts_with(b"#") || value(b"warp").is_some())
        {
            return fail("the last warp has fewer instructions than it announces");
        }
        if line.starts_with(b"#END_TB") {
            if place == Place::Block {
                return fail("this thread block has no number");
            }
            if matches!(place, Place::Warp { .. }) {
                work.end_warp();
            }
            work.end_block();
            return Ok(Place::Outside);
        }
        if line.starts_with(b"#") || line.starts_with(b"cluster") {
            return Ok(place);
        }
        if let Some(value) = value(b"thread block") {
            let [columns, rows, layers] = work.launch().grid.map(u64::from);
            let numbers: Vec<_> =
                value.split(|byte| *byte == b',').map(|n| decimal(n.trim_ascii())).collect();
            let [Some(x), Some(y), Some(z)] = numbers[..] else {
                return fail("a thread block's number should read x,y,z");
            };
            let within = |n: i64, size: u64| u64::try_from(n).ok().filter(|n| *n < size);
            let (Some(x), Some(y), Some(z)) =
                (within(x, columns), within(y, rows), within(z, layers))
            else {
                return fail("this thread block lies outside of the grid");
            };
            if place != Place::Block || work.blocks >= work.launch().ctas() {
                return fail("there are more thread blocks than the grid has");
            }
            work.begin_block((z * rows + y) * columns + x);
            return Ok(Place::Numbered);
        }
        if let Some(value) = value(b"warp") {
            let warps = work.launch().warps();
            let number = decimal(value).and_then(|n| u64::try_from(n).ok()).filter(|n| *n < warps);
            let Some(number) = number else {
                return fail("a block has no such warp");
            };
            match place {
                Place::Block => return fail("this thread block has no number"),
                Place::Warp { .. } => work.end_warp(),
                _ => {}
            }
            work.begin_warp(number as usize);
            return Ok(Place::Warp { left: 0 });
        }
        if let (Some(value), Place::Warp { .. }) = (value(b"insts"), place) {
            let Some(left) = decimal(value).and_then(|n| u64::try_from(n).ok()) else {
                return fail("this is no number of instructions");
            };
            return Ok(Place::Warp { left });
        }
        fail("this line is no part of a thread block")
    }

    fn instruction(
        &mut self,
        work: &mut Work,
        prefix: Prefix,
        version: u32,
        found: &mut Instruction,
    ) -> Result<(), TraceError> {
        let opcodes = &self.opcodes;
        let decoded = &self.decoded;
        let is_bulk = |text: &[u8]| match opcodes.get(text) {
            Some(number) => decoded[*number as usize].0.space == Space::Bulk,
            None => text.starts_with(b"UTMA") || text.starts_with(b"UBLK"),
        };
        let text = match found.parse(self.lines.text(), prefix, is_bulk) {
            Ok(text) => text,
            Err(fault) if self.lines.is_whole() => {
                return Err(self.lines.malformed(fault.column, &fault.message, AGAIN));
            }
            Err(fault) => {
                let message = format!("the file breaks off: {}", fault.message);
                return Err(self.lines.malformed(fault.column, &message, CUT));
            }
        };
        let number = if let Some(number) = self.opcodes.get(text) {
            *number
        } else {
            if self.opcodes.len() == MOST_OPCODES {
                let message = "no kernel has so many different opcodes";
                return Err(self.lines.malformed(0, message, AGAIN));
            }
            let number = self.decoded.len() as u32;
            let opcode = opcode::decode(&String::from_utf8_lossy(text), version);
            self.opcodes.insert(text.to_vec(), number);
            self.decoded.push((opcode, 0));
            number
        };
        let (opcode, count) = &mut self.decoded[number as usize];
        *count += 1;
        work.instruction(opcode, number, found);
        Ok(())
    }
}
