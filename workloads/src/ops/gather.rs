//! Embedding lookups and their gradient: rows of a table, chosen by an index list.
//!
//! Profiles record how many rows are looked up but not which; the generator spreads them
//! uniformly over the table, which is the least kind to caches, and says so in its variant.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Recorded;
use crate::kernel::{Addresses, Direction, Pattern, Requests, Segment};
use crate::{DType, Kernel, KernelClass, Launch, Raster, Stage, Stream, Target};

/// A lookup of rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Embedding {
    /// Rows of the table.
    pub table_rows: u64,
    /// Elements per row.
    pub width: u64,
    /// Rows looked up.
    pub lookups: u64,
    /// Element type.
    pub dtype: DType,
    /// Gradient scattered into the table instead of rows read from it.
    #[serde(default)]
    pub backward: bool,
    /// The launch, where recorded.
    #[serde(default)]
    pub recorded: Option<Recorded>,
}

/// Uniformly spread row addresses; a pure function of the lookup number.
#[derive(Debug)]
struct UniformRows {
    table_rows: u64,
    row_bytes: u64,
    lookups: u64,
}

/// Bytes that one warp-level request covers at most.
const CHUNK: u64 = 512;
/// What a cache fetches at least.
const SECTOR: u64 = 32;

impl Addresses for UniformRows {
    fn segments(&self) -> Vec<Segment> {
        let groups = self.lookups * self.row_bytes.div_ceil(CHUNK);
        vec![Segment { groups, stands_for: groups as f64 }]
    }

    fn group(&self, _: usize, index: u64, out: &mut Requests) {
        let chunks = self.row_bytes.div_ceil(CHUNK);
        let (lookup, chunk) = (index / chunks, index % chunks);
        // splitmix64: a well-mixed bijection, so that equal lookups stay equal everywhere.
        let mut x = lookup.wrapping_add(0x9E37_79B9_7F4A_7C15);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let row = (x ^ (x >> 31)) % self.table_rows.max(1);
        let start = row * self.row_bytes + chunk * CHUNK;
        let end = ((row + 1) * self.row_bytes).min(start + CHUNK);
        // One address for each sector that the chunk touches.
        let sectors = end.div_ceil(SECTOR) - start / SECTOR;
        out.resize(1, sectors as usize);
        out.set(0, 0, start);
        for lane in 1..sectors {
            out.set(0, lane as usize, (start / SECTOR + lane) * SECTOR);
        }
    }

    fn requests_per_group(&self) -> f64 {
        1.0
    }

    fn span_bytes(&self) -> u64 {
        self.table_rows * self.row_bytes
    }

    fn access_bytes(&self) -> u64 {
        self.row_bytes.min(CHUNK)
    }
}

impl Embedding {
    /// Index list, rows, and results.
    pub fn compulsory_bytes(&self) -> f64 {
        let rows = self.lookups as f64 * self.width as f64 * self.dtype.bytes();
        self.lookups as f64 * 8.0 + 2.0 * rows
    }

    /// Table, index list and results.
    pub fn resident_bytes(&self) -> f64 {
        let width = self.width as f64 * self.dtype.bytes();
        self.table_rows as f64 * width + self.lookups as f64 * (8.0 + width)
    }

    /// The launch for a target: recorded where it fits, else a warp per lookup.
    pub fn kernel(&self, target: &Target) -> Kernel {
        let launch = match self.recorded {
            Some(recorded) if recorded.launch.shared_bytes <= target.shared_bytes_per_cta => {
                recorded.launch
            }
            _ => Launch::linear(self.lookups.div_ceil(4), 128, 32, 0),
        };
        let ctas = launch.ctas() as f64;
        let warps = launch.warps() as f64;
        let row_bytes = (self.width as f64 * self.dtype.bytes()).max(1.0);
        let total = self.lookups as f64 * row_bytes;
        let per_cta = total / ctas;
        let iterations = libm::ceil(per_cta / (launch.threads() as f64 * 16.0)).max(1.0);
        let addresses = UniformRows {
            table_rows: self.table_rows,
            row_bytes: row_bytes as u64,
            lookups: self.lookups,
        };
        let mut stage = Stage::once("gather");
        stage.iterations = iterations;
        stage.demand.memory = (2.0 * per_cta / iterations / 512.0).max(2.0 * warps);
        stage.demand.int32 = 12.0 * warps;
        stage.dependent_instructions = 12.0;
        // The index has to arrive before the row can be asked for.
        stage.memory_round_trips = 2.0;
        let table = |direction| Stream {
            label: "table",
            direction,
            bytes: per_cta / iterations,
            pattern: Pattern::Gathered(Arc::new(addresses)),
        };
        let plain = |label, direction| Stream::streaming(label, direction, per_cta / iterations);
        let index_bytes = self.lookups as f64 * 8.0 / ctas / iterations;
        stage.streams = vec![Stream::streaming("indices", Direction::Read, index_bytes)];
        if self.backward {
            stage.streams.push(plain("gradient", Direction::Read));
            stage.streams.push(table(Direction::Atomic));
        } else {
            stage.streams.push(table(Direction::Read));
            stage.streams.push(plain("output", Direction::Write));
        }
        let touched = total.min(self.table_rows as f64 * row_bytes);
        Kernel {
            class: KernelClass::Embedding,
            variant: "uniform indices assumed".to_owned(),
            launch,
            raster: Raster::flat(launch.ctas()),
            tensor: None,
            tensor_from_registers: false,
            stages: vec![stage],
            read_footprint_bytes: self.lookups as f64 * 8.0
                + if self.backward { total } else { touched },
            write_footprint_bytes: if self.backward { touched } else { total },
            then: Vec::new(),
            useful_share: 1.0,
        }
    }
}
