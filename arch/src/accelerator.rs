//! What an accelerator is that encodes positions by tables and asks a small network: a cluster of
//! processors beside a GPU, on its L2 and DRAM.
//!
//! The sections are parts (see [`crate::parts`]) with their roles, after the neural fields
//! processor of NGPC (Mubarik et al., ISCA 2023): encoding engines with a table memory each, an
//! interpolation pipeline, a buffer of features, a MAC array with its weight and activation
//! memories, and DMA on both sides. Left out: host interface, clock and power gating.

use serde::Deserialize;

use crate::parts::{
    BankedSram, BankedSramPartial, DmaChannel, DmaChannelPartial, Interleave, LookupUnit,
    LookupUnitPartial, MacArray, MacArrayPartial, Pipeline, PipelinePartial, SharedLink,
    SharedLinkPartial, SubgridBuffer, SubgridBufferPartial,
};
use crate::section::{Show, description, section};
use crate::technology::{
    Arithmetic, ArithmeticPartial, Silicon, SramModel, SramModelPartial, Technology,
    TechnologyPartial,
};
use crate::units::{Area, Bytes, Energy, Frequency, Power};

/// What happens to a level that is larger than its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TablePolicy {
    /// The memory becomes a cache of the level; misses are fetched from L2.
    Stream,
    /// The memories of a processor are pooled: what one lacks room for lies in another's.
    Pool,
    /// As many entries as fit stay; the others are fetched from L2 each time.
    Subset,
    /// Such a level cannot be used.
    Refuse,
}

impl TablePolicy {
    /// Name as written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Pool => "pool",
            Self::Subset => "subset",
            Self::Refuse => "refuse",
        }
    }
}

impl Show for TablePolicy {
    const WRITTEN: &'static str = "\"stream\", \"pool\", \"subset\" or \"refuse\"";

    fn show(&self) -> String {
        self.name().to_owned()
    }
}

section! {
    /// Which accelerator this is.
    Name / NamePartial {
        /// Name as people write it.
        name: String,
        /// Usual short forms.
        aliases: Vec<String>,
        /// Where it was published.
        paper: String,
        /// Processors.
        units: u32,
        /// Clock of all parts.
        clock: Frequency,
        /// Manufacturing process.
        process: String,
    }
}

section! {
    /// How tables and samples are handled.
    Policy / PolicyPartial {
        /// What happens to a level that is larger than its memory.
        tables: TablePolicy,
        /// Bits of a feature in the tables.
        feature_bits: u32,
        /// Unit in which tables are fetched from L2.
        line: Bytes,
        /// Associativity of a table memory that is a cache.
        ways: u32,
        /// Processors that keep one copy of the tables together (1 = each its own).
        shared_by: u32,
        /// Samples of a batch, over all processors.
        batch: u32,
        /// Share of the L2 that tables keep; records and answers on their way keep the rest.
        l2_tables: f64,
        /// Whether the GPU works on other batches meanwhile.
        overlaps_gpu: bool,
        /// Whether directions are encoded here; else the GPU does it and sends the result.
        encodes_directions: bool,
    }
}

section! {
    /// Area of logic at the first node of the tables; memories and MACs follow from those.
    PartArea / PartAreaPartial {
        /// Logic of one encoding engine: addresses, weights, interpolation.
        engine: Area,
        /// Control and DMA of a processor.
        control: Area,
    }
}

section! {
    /// Energy of events that the tables do not have.
    PartEnergy / PartEnergyPartial {
        /// An address with its weight, at the first node of the tables.
        address: Energy,
        /// A byte over the link to L2, which is part of the GPU's die.
        link_byte: Energy,
    }
}

section! {
    /// What the publication states as such, for the reading *as published*.
    Published / PublishedPartial {
        /// Factor by which the GPU's other kernels get faster.
        rest_speedup: f64,
        /// Area of a processor.
        unit_area: Area,
        /// Power of a processor.
        unit_power: Power,
        /// Bytes of a sample that come in.
        sample_bytes: Bytes,
    }
}

description! {
    /// A complete description of an accelerator.
    Accelerator / AcceleratorPartial, "accelerator" {
        /// Which one this is.
        accelerator: Name / NamePartial,
        /// Encoding engines of a processor.
        encoder: LookupUnit / LookupUnitPartial,
        /// Table memory of an encoding engine.
        grid_sram: BankedSram / BankedSramPartial,
        /// Buffers of a processor for fine levels, by blocks of space.
        subgrid: SubgridBuffer / SubgridBufferPartial,
        /// Weights, interpolation and accumulation of an encoding engine.
        interpolation: Pipeline / PipelinePartial,
        /// Features between encoding and network.
        feature_buffer: BankedSram / BankedSramPartial,
        /// The network's MAC array.
        mlp: MacArray / MacArrayPartial,
        /// Its weights.
        weight_sram: BankedSram / BankedSramPartial,
        /// Its activations.
        activation_sram: BankedSram / BankedSramPartial,
        /// Positions in.
        input: DmaChannel / DmaChannelPartial,
        /// Answers out.
        output: DmaChannel / DmaChannelPartial,
        /// Tables in.
        table_dma: DmaChannel / DmaChannelPartial,
        /// Between table memories of a processor, and of processors that share tables.
        exchange: SharedLink / SharedLinkPartial,
        /// From all processors to the L2.
        link: SharedLink / SharedLinkPartial,
        /// How tables and samples are handled.
        policy: Policy / PolicyPartial,
        /// Nodes, and what changes with them.
        technology: Technology / TechnologyPartial,
        /// Energy and area of memories.
        sram: SramModel / SramModelPartial,
        /// Energy and area of arithmetic.
        arithmetic: Arithmetic / ArithmeticPartial,
        /// Area of the parts.
        area: PartArea / PartAreaPartial,
        /// Energy of events.
        energy: PartEnergy / PartEnergyPartial,
        /// What the publication states as such.
        published: Published / PublishedPartial,
    }
}

impl Accelerator {
    fn all_names(&self) -> Vec<&str> {
        let aliases = self.accelerator.aliases.iter().map(String::as_str);
        aliases.chain([self.accelerator.name.as_str()]).collect()
    }

    fn broken_rule(&self) -> Option<(&'static str, String)> {
        self.not_positive()
            .or_else(|| self.too_large())
            .or_else(|| self.broken_memory())
            .or_else(|| self.broken_subgrid())
            .or_else(|| self.broken_policy())
            .or_else(|| self.silicon().broken())
    }

    /// What its parts take in area and energy at its node.
    pub const fn silicon(&self) -> Silicon<'_> {
        Silicon::new(&self.technology, &self.sram, &self.arithmetic)
    }

    fn not_positive(&self) -> Option<(&'static str, String)> {
        let positive: [(&'static str, f64); 22] = [
            ("accelerator.units", f64::from(self.accelerator.units)),
            ("accelerator.clock", self.accelerator.clock.hz()),
            ("encoder.units", f64::from(self.encoder.units)),
            ("encoder.addresses_per_clock", self.encoder.addresses_per_clock),
            ("interpolation.interval_cycles", self.interpolation.interval_cycles),
            ("mlp.rows", f64::from(self.mlp.rows)),
            ("mlp.columns", f64::from(self.mlp.columns)),
            ("mlp.arrays", f64::from(self.mlp.arrays)),
            ("mlp.widest", f64::from(self.mlp.widest)),
            ("input.bytes_per_clock", self.input.bytes_per_clock),
            ("input.outstanding", self.input.outstanding),
            ("output.bytes_per_clock", self.output.bytes_per_clock),
            ("output.outstanding", self.output.outstanding),
            ("table_dma.bytes_per_clock", self.table_dma.bytes_per_clock),
            ("table_dma.outstanding", self.table_dma.outstanding),
            ("exchange.bytes_per_clock", self.exchange.bytes_per_clock),
            ("link.bytes_per_clock", self.link.bytes_per_clock),
            ("policy.batch", f64::from(self.policy.batch)),
            ("policy.shared_by", f64::from(self.policy.shared_by)),
            ("policy.ways", f64::from(self.policy.ways)),
            ("policy.line", self.policy.line.bytes()),
            ("published.rest_speedup", self.published.rest_speedup),
        ];
        positive
            .iter()
            .find(|(_, value)| *value < 1e-6)
            .map(|(path, value)| (*path, crate::layer::not_positive(*value)))
    }

    /// Counts that no accelerator has, and that sums and products could not hold.
    fn too_large(&self) -> Option<(&'static str, String)> {
        let counts: [(&'static str, u32, u32); 10] = [
            ("accelerator.units", self.accelerator.units, 1 << 16),
            ("encoder.units", self.encoder.units, 1 << 12),
            ("grid_sram.banks", self.grid_sram.banks, 1 << 16),
            ("feature_buffer.banks", self.feature_buffer.banks, 1 << 16),
            ("weight_sram.banks", self.weight_sram.banks, 1 << 16),
            ("activation_sram.banks", self.activation_sram.banks, 1 << 16),
            ("mlp.rows", self.mlp.rows, 1 << 12),
            ("mlp.columns", self.mlp.columns, 1 << 12),
            ("mlp.arrays", self.mlp.arrays, 1 << 12),
            ("policy.ways", self.policy.ways, 1 << 12),
        ];
        counts
            .iter()
            .find(|(_, count, most)| count > most)
            .map(|(path, count, most)| (*path, format!("is {count}; up to {most} are supported")))
    }

    /// An SRAM is cut into banks, a bank into words; none of them may be left over.
    fn broken_memory(&self) -> Option<(&'static str, String)> {
        let memories: [(&BankedSram, [&'static str; 4]); 4] = [
            (
                &self.grid_sram,
                ["grid_sram.capacity", "grid_sram.banks", "grid_sram.ports", "grid_sram.word"],
            ),
            (
                &self.feature_buffer,
                [
                    "feature_buffer.capacity",
                    "feature_buffer.banks",
                    "feature_buffer.ports",
                    "feature_buffer.word",
                ],
            ),
            (
                &self.weight_sram,
                [
                    "weight_sram.capacity",
                    "weight_sram.banks",
                    "weight_sram.ports",
                    "weight_sram.word",
                ],
            ),
            (
                &self.activation_sram,
                [
                    "activation_sram.capacity",
                    "activation_sram.banks",
                    "activation_sram.ports",
                    "activation_sram.word",
                ],
            ),
        ];
        for (sram, [capacity, banks, ports, word]) in memories {
            if sram.interleave == Interleave::Fold && !sram.banks.is_power_of_two() {
                return Some((
                    banks,
                    format!("is {}; folded addresses need a power of two", sram.banks),
                ));
            }
            if sram.banks == 0 {
                return Some((banks, "must be at least one".to_owned()));
            }
            if sram.ports == 0 {
                return Some((ports, "must be at least one".to_owned()));
            }
            if sram.word.bytes() < 1.0 || sram.word.bytes() % 1.0 != 0.0 {
                return Some((word, format!("is {} and no whole number of bytes", sram.word)));
            }
            let bank = f64::from(sram.banks) * sram.word.bytes();
            if sram.capacity.bytes() < bank || sram.capacity.bytes() % bank != 0.0 {
                return Some((
                    capacity,
                    format!(
                        "is {} bytes, no multiple of {} banks of {} words ({bank} bytes)",
                        sram.capacity.bytes(),
                        sram.banks,
                        sram.word
                    ),
                ));
            }
        }
        None
    }

    fn broken_subgrid(&self) -> Option<(&'static str, String)> {
        let subgrid = &self.subgrid;
        if !(1..=64).contains(&subgrid.per_axis) {
            let what = format!("is {}; there are 1 to 64 blocks along an axis", subgrid.per_axis);
            return Some(("subgrid.per_axis", what));
        }
        if !(1..=16).contains(&subgrid.copies) {
            return Some(("subgrid.copies", format!("is {}; 1 to 16 take turns", subgrid.copies)));
        }
        if subgrid.per_axis > 1 && subgrid.capacity.bytes() < self.policy.line.bytes() {
            return Some((
                "subgrid.capacity",
                format!("is {}, less than a line ({})", subgrid.capacity, self.policy.line),
            ));
        }
        None
    }

    fn broken_policy(&self) -> Option<(&'static str, String)> {
        let bits = self.policy.feature_bits;
        if ![8, 16].contains(&bits) {
            return Some(("policy.feature_bits", format!("is {bits}; features have 8 or 16")));
        }
        if self.accelerator.clock.hz() > 1e10 {
            return Some((
                "accelerator.clock",
                format!("is {}; up to 10 GHz are supported", self.accelerator.clock),
            ));
        }
        if !(0.0..=1.0).contains(&self.policy.l2_tables) {
            return Some((
                "policy.l2_tables",
                format!("is {}; a share lies between 0 and 1", self.policy.l2_tables),
            ));
        }
        let bits = self.mlp.weight_bits;
        if ![8, 16].contains(&bits) {
            return Some(("mlp.weight_bits", format!("is {bits}; weights have 8 or 16")));
        }
        let bits = self.mlp.sum_bits;
        if ![16, 32].contains(&bits) {
            return Some(("mlp.sum_bits", format!("is {bits}; sums have 16 or 32")));
        }
        let line = self.policy.line.bytes();
        if !(32.0..=4096.0).contains(&line) || !(line as u64).is_power_of_two() {
            return Some((
                "policy.line",
                format!("is {}; it is a power of two from 32 B to 4 KiB", self.policy.line),
            ));
        }
        if !self.accelerator.units.is_multiple_of(self.policy.shared_by) {
            return Some((
                "policy.shared_by",
                format!(
                    "is {}, which does not divide {} processors",
                    self.policy.shared_by, self.accelerator.units
                ),
            ));
        }
        let set = line * f64::from(self.policy.ways);
        if self.policy.tables == TablePolicy::Stream && self.grid_sram.capacity.bytes() < set {
            return Some((
                "grid_sram.capacity",
                format!("is {}, less than a set of {set} bytes", self.grid_sram.capacity),
            ));
        }
        let name = &self.accelerator.name;
        if name.trim().is_empty() || name.chars().any(char::is_control) {
            return Some(("accelerator.name", "is empty or has control characters".to_owned()));
        }
        None
    }
}
