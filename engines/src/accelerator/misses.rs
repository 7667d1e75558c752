//! Lookups that a table memory cannot answer.
//!
//! Two scales meet in a table memory. A processor takes a slice of each batch: samples that follow
//! each other in the launch and find each other's entries. What a memory still holds of earlier slices is
//! found by walking places all over the image in the order in which a processor comes to them, with the
//! memory's real size: a line that a slice touches first misses as often as those of the places do. Which
//! lines samples ask for does not depend on the memory, so that memories of all sizes share them
//! ([`Touches`]). Left out: replacement other than LRU.

use std::sync::Arc;

use lumacycle_arch::Accelerator;
use lumacycle_workloads::encoding::{Grid, Level};

use super::Queries;
use super::encode::Samples;
use super::tables::{Home, Placed, Placement};
use crate::memory::cache::{Cache, hash_of, is_sampled};

/// Of the lines of a cached level, one in so many is simulated.
const LINE_SAMPLE: u64 = 4;

/// Lookups that a table memory cannot answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Misses {
    pub(super) hit: f64,
    pub(super) lines: f64,
    pub(super) touched_bytes: f64,
}

/// A line that a sample asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Touch {
    line: u64,
    hash: u64,
    /// The highest entry of the line that the sample asks for.
    highest: u32,
    /// Whether it is the first touch of the line within its place.
    of_place: bool,
    /// Whether it is the first of all places.
    of_walk: bool,
}

/// Lines of a level that samples ask for, as far as they belong to the sampled ones: what does not
/// depend on the memory that they are looked up in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Touches {
    /// Of runs, position after position, and where those of each position end.
    runs: Vec<Touch>,
    ends: Vec<u32>,
    /// Of places, and where those of each place end.
    places: Vec<Touch>,
    places_end: Vec<u32>,
}

/// All that [`Touches`] depend on beside the frame.
fn touches_key(level: &Level, entry_bytes: f64, line_bytes: f64) -> String {
    format!("{level:?} {entry_bytes} {line_bytes}")
}

impl Touches {
    fn of(grid: &Grid, level: &Level, bytes: [f64; 2], samples: &Samples<'_>) -> Self {
        let [entry_bytes, line_bytes] = bytes;
        let lines = (f64::from(level.entries) * entry_bytes / line_bytes) as usize + 1;
        let mut all = Self::default();
        for position in samples.runs.iter().copied().flatten() {
            add_touches(grid, level, bytes, *position, &mut all.runs);
            all.ends.push(all.runs.len() as u32);
        }
        let mut marks = Marks::new(lines);
        for place in &samples.places {
            marks.next();
            let from = all.places.len();
            for position in *place {
                add_touches(grid, level, bytes, *position, &mut all.places);
            }
            for touch in &mut all.places[from..] {
                touch.of_walk = marks.is_new(touch.line as usize);
                touch.of_place = marks.is_fresh(touch.line as usize);
            }
            all.places_end.push(all.places.len() as u32);
        }
        all
    }

    /// Touches of the next `count` positions of the runs, from position `at` on.
    fn slice(&self, at: usize, count: usize) -> &[Touch] {
        let end = |position: usize| {
            position.checked_sub(1).map_or(0, |last| self.ends[last.min(self.ends.len() - 1)])
        };
        if self.ends.is_empty() {
            &[]
        } else {
            &self.runs[end(at) as usize..end(at + count) as usize]
        }
    }
}

/// The distinct sampled lines of a position.
fn add_touches(
    grid: &Grid,
    level: &Level,
    [entry_bytes, line_bytes]: [f64; 2],
    position: [f32; 3],
    out: &mut Vec<Touch>,
) {
    let from = out.len();
    let (mut before, mut sampled, mut hash) = (u64::MAX, false, 0);
    for entry in &grid.entries_of(level, position)[..grid.corners()] {
        let line = (f64::from(*entry) * entry_bytes / line_bytes) as u64;
        // Neighbours along x mostly share a line.
        if line != before {
            before = line;
            hash = hash_of(line);
            sampled = is_sampled(hash, LINE_SAMPLE);
        }
        if sampled {
            match out[from..].iter_mut().find(|touch| touch.line == line) {
                Some(known) => known.highest = known.highest.max(*entry),
                None => {
                    out.push(Touch {
                        line,
                        hash,
                        highest: *entry,
                        of_place: false,
                        of_walk: false,
                    });
                }
            }
        }
    }
}

/// Lookups of a level that its memory cannot answer.
pub(super) fn misses(
    accelerator: &Accelerator,
    queries: &Queries,
    placement: &Placement,
    placed: &Placed,
    samples: &Samples<'_>,
) -> Misses {
    if matches!(placed.home, Home::Resident | Home::Subgrid) {
        return Misses { hit: 1.0, lines: 0.0, touched_bytes: placed.bytes };
    }
    let line_bytes = accelerator.policy.line.bytes();
    let bytes = [placement.entry_bytes, line_bytes];
    let lookup = || Touches::of(&queries.grid, &placed.level, bytes, samples);
    let touches = match &queries.memo {
        None => Arc::new(lookup()),
        Some(memo) => memo.touches(touches_key(&placed.level, bytes[0], bytes[1]), &lookup),
    };
    let mut cache = Cache::new(placed.room_bytes, line_bytes, accelerator.policy.ways, LINE_SAMPLE);
    let room = placed.room_bytes / line_bytes / LINE_SAMPLE as f64;
    let between = Between::of(&touches, room, &mut cache, samples.frame);
    let mut marks = Marks::new((placed.bytes / line_bytes) as usize + 1);
    let resident = (placed.room_bytes / placement.entry_bytes) as u32;
    let (mut touched, mut missed, mut count) = (0.0, 0.0, 0);
    for slice in &samples.slices {
        cache.clear();
        marks.next();
        for touch in touches.slice(count, slice.len()) {
            touched += 1.0;
            let fresh = marks.is_fresh(touch.line as usize);
            missed += match placed.home {
                Home::Subset => f64::from(u8::from(touch.highest >= resident)),
                _ if cache.access(touch.line, touch.hash, 0) => 0.0,
                _ if fresh => between.absent,
                _ => 1.0,
            };
        }
        count += slice.len();
    }
    let share = missed / f64::max(touched, 1.0);
    Misses {
        hit: 1.0 - share,
        lines: missed * LINE_SAMPLE as f64 / f64::max(count as f64, 1.0),
        touched_bytes: (between.touched_lines * line_bytes).min(placed.bytes),
    }
}

/// What a memory still holds when a processor comes to another place.
struct Between {
    /// Share of lines touched first in a place that it does not hold.
    absent: f64,
    /// Lines that the frame touches.
    touched_lines: f64,
}

impl Between {
    /// Walks the places through a memory with room for so many of the sampled lines; the frame is so
    /// many times as long as they are.
    fn of(touches: &Touches, room: f64, cache: &mut Cache, frame: f64) -> Self {
        // Touches that are the first of their place; of these, new to the whole walk; and those
        // that missed once the memory was full.
        let (mut first, mut new, mut full, mut missed) = (0.0_f64, 0.0_f64, 0.0, 0.0);
        let (mut late_first, mut late_new) = (0.0, 0.0);
        let half = touches.places_end.len() / 2;
        let mut from = 0;
        for (number, end) in touches.places_end.iter().enumerate() {
            let place = &touches.places[from..*end as usize];
            from = *end as usize;
            for touch in place {
                let hit = cache.access(touch.line, touch.hash, 0);
                if !touch.of_place {
                    continue;
                }
                first += 1.0;
                let is_new = f64::from(u8::from(touch.of_walk));
                if new >= room {
                    full += 1.0;
                    missed += f64::from(u8::from(!hit));
                }
                new += is_new;
                if number >= half {
                    late_first += 1.0;
                    late_new += is_new;
                }
            }
        }
        // New lines come as a power of what has been touched (Heaps' law), with the exponent that
        // the later half shows.
        let rate = late_new / f64::max(late_first, 1.0);
        let exponent = (rate * first / new.max(1.0)).clamp(1e-3, 1.0);
        let absent = if full > 0.1 * first {
            missed / full
        } else {
            rate * libm::pow((room / new.max(1.0)).max(1.0), (exponent - 1.0) / exponent)
        };
        let touched = new * libm::pow(frame, exponent) * LINE_SAMPLE as f64;
        Self { absent: absent.clamp(0.0, 1.0), touched_lines: touched }
    }
}

/// Which lines have been touched in this slice, and which at all.
struct Marks {
    turn: u32,
    turns: Vec<u32>,
}

impl Marks {
    fn new(lines: usize) -> Self {
        Self { turn: 0, turns: vec![0; lines] }
    }

    fn next(&mut self) {
        self.turn += 1;
    }

    /// Whether a line has never been touched.
    fn is_new(&self, line: usize) -> bool {
        self.turns.get(line).is_some_and(|turn| *turn == 0)
    }

    /// Marks a line; true if it is touched for the first time in this turn.
    fn is_fresh(&mut self, line: usize) -> bool {
        let Some(turn) = self.turns.get_mut(line) else { return false };
        let fresh = *turn != self.turn;
        *turn = self.turn;
        fresh
    }
}
