//! Parts that accelerators are put together from: what each of them can do in a clock.
//!
//! A part says nothing of what it is used for; an accelerator names several of them, each in a
//! section of its own. Their behaviour in time is in the engines.

use serde::Deserialize;

use crate::section::{Show, section};
use crate::units::{Bandwidth, Bytes, Duration, Energy};

/// Which bank a word lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interleave {
    /// By the low bits of its number: consecutive words in consecutive banks.
    Low,
    /// By all of its bits, folded by exclusive or.
    Fold,
}

impl Show for Interleave {
    const WRITTEN: &'static str = "\"low\" or \"fold\"";

    fn show(&self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

section! {
    /// An SRAM in banks that are asked independently of each other.
    BankedSram / BankedSramPartial {
        /// Capacity of all banks.
        capacity: Bytes,
        /// Banks.
        banks: u32,
        /// Which of them a word lies in.
        interleave: Interleave,
        /// Accesses that a bank serves per clock.
        ports: u32,
        /// Bytes of a word, the unit of an access.
        word: Bytes,
        /// From an address to its word, in clocks.
        latency_cycles: f64,
    }
}

section! {
    /// Buffers that hold those parts of tables that belong to one block of space at a time.
    SubgridBuffer / SubgridBufferPartial {
        /// Blocks of space along each axis; 1: there is no such buffer.
        per_axis: u32,
        /// First level that is kept by block, counted from 0; coarser ones lie in table memories.
        first_level: u32,
        /// Capacity of all copies together.
        capacity: Bytes,
        /// Copies that take turns: with two, the next parts are loaded while these are used.
        copies: u32,
    }
}

section! {
    /// Units that turn positions into addresses.
    LookupUnit / LookupUnitPartial {
        /// Units side by side.
        units: u32,
        /// Addresses that one of them yields per clock.
        addresses_per_clock: f64,
        /// From a position to its addresses, in clocks.
        latency_cycles: f64,
    }
}

section! {
    /// Stages that take a new item every so often.
    Pipeline / PipelinePartial {
        /// Clocks between two items.
        interval_cycles: f64,
        /// From the first stage to the last, in clocks.
        latency_cycles: f64,
    }
}

section! {
    /// A grid of multiply-accumulate units that hold weights while activations pass by.
    MacArray / MacArrayPartial {
        /// Inputs that a pass takes.
        rows: u32,
        /// Outputs that a pass yields.
        columns: u32,
        /// Arrays side by side.
        arrays: u32,
        /// Bits of a weight; activations are halves.
        weight_bits: u32,
        /// Bits of a sum: 16 or 32.
        sum_bits: u32,
        /// Widest layer that its memories and counters are made for.
        widest: u32,
        /// Whether the weights of the next pass are loaded during this one.
        preloads_weights: bool,
    }
}

section! {
    /// Moves data between a memory of the accelerator and the shared L2.
    DmaChannel / DmaChannelPartial {
        /// Bytes per clock.
        bytes_per_clock: f64,
        /// Requests under way at once.
        outstanding: f64,
    }
}

section! {
    /// A path that several units share.
    SharedLink / SharedLinkPartial {
        /// Bytes per clock.
        bytes_per_clock: f64,
        /// From one end to the other, in clocks.
        latency_cycles: f64,
    }
}

section! {
    /// Units that answer "is it there, and how many come before?" from a bitmap (prefix popcount).
    SearchUnit / SearchUnitPartial {
        /// Units side by side.
        units: u32,
        /// Lookups that one of them answers per clock.
        lookups_per_clock: f64,
        /// Bits of a bitmap that a lookup counts at once; longer ones take several clocks.
        bits: u32,
        /// From a place to its value, in clocks.
        latency_cycles: f64,
    }
}

section! {
    /// Trees that compare a place with coordinates, or add up products, at their leaves.
    SearchTree / SearchTreePartial {
        /// Trees side by side.
        trees: u32,
        /// Coordinates that a tree compares at once, or products that it adds.
        leaves: u32,
        /// From the leaves to the root, in clocks.
        latency_cycles: f64,
    }
}

section! {
    /// Projects cubes, tests pixels and samples against them.
    GeometryUnit / GeometryUnitPartial {
        /// Cubes looked at per clock.
        cubes_per_clock: f64,
        /// Pixels tested against a ball per clock.
        pixels_per_clock: f64,
        /// Samples placed and tested against a cube per clock.
        samples_per_clock: f64,
        /// From a cube to its first point, in clocks.
        latency_cycles: f64,
    }
}

section! {
    /// Multiply-accumulate lanes that are fed element by element.
    VectorLanes / VectorLanesPartial {
        /// Lanes.
        lanes: u32,
        /// From operands to result, in clocks.
        latency_cycles: f64,
    }
}

section! {
    /// A memory outside of the chip that the accelerator has to itself.
    OffChipMemory / OffChipMemoryPartial {
        /// What it is.
        technology: String,
        /// Bandwidth.
        bandwidth: Bandwidth,
        /// Share of it that is reached.
        efficiency: f64,
        /// From a request to its data.
        latency: Duration,
        /// Least that is fetched.
        granule: Bytes,
        /// Energy of a byte with the interface.
        energy_per_byte: Energy,
    }
}
