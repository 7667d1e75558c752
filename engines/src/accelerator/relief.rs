//! A tenth more of one resource of an accelerator, or of what it shares with the GPU, to see what that would save.
//!
//! Rates are raised, not sizes: a tenth more of a MAC array answers a tenth more samples in the same time, whatever
//! array that would take. Left out: capacities, whose worth is found by a study or an exploration over sizes.

use super::Unit;

/// How much more there is of it.
pub(super) const MORE: f64 = 1.1;

/// A resource of which there is to be a tenth more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the parts")]
pub enum Relief {
    /// Everything that runs by the accelerator's clock.
    Clock,
    /// Address generators and interpolators.
    Encoding,
    /// Banks of the table memories.
    Banks,
    FeatureBuffer,
    Mlp,
    Input,
    Output,
    Tables,
    Exchange,
    Link,
    /// L2 of the GPU.
    L2,
    /// Bytes of DRAM.
    Dram,
    /// Rows of DRAM.
    DramRows,
}

impl Relief {
    /// Those of the accelerator itself.
    pub const OWN: [Self; 10] = [
        Self::Clock,
        Self::Encoding,
        Self::Banks,
        Self::FeatureBuffer,
        Self::Mlp,
        Self::Input,
        Self::Output,
        Self::Tables,
        Self::Exchange,
        Self::Link,
    ];

    /// Name as printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clock => "accelerator's clock",
            Self::Encoding => Unit::Encoding.name(),
            Self::Banks => "table SRAM banks",
            Self::FeatureBuffer => Unit::FeatureBuffer.name(),
            Self::Mlp => Unit::Mlp.name(),
            Self::Input => Unit::Input.name(),
            Self::Output => Unit::Output.name(),
            Self::Tables => Unit::Tables.name(),
            Self::Exchange => Unit::Exchange.name(),
            Self::Link => Unit::Link.name(),
            Self::L2 => "L2",
            Self::Dram => Unit::Dram.name(),
            Self::DramRows => Unit::DramRows.name(),
        }
    }

    /// The unit that it is a rate of; none for what several units share, and for banks, which are a part of one.
    pub const fn unit(self) -> Option<Unit> {
        match self {
            Self::Encoding => Some(Unit::Encoding),
            Self::FeatureBuffer => Some(Unit::FeatureBuffer),
            Self::Mlp => Some(Unit::Mlp),
            Self::Input => Some(Unit::Input),
            Self::Output => Some(Unit::Output),
            Self::Tables => Some(Unit::Tables),
            Self::Exchange => Some(Unit::Exchange),
            Self::Link => Some(Unit::Link),
            Self::Dram => Some(Unit::Dram),
            Self::DramRows => Some(Unit::DramRows),
            Self::Clock | Self::Banks | Self::L2 => None,
        }
    }
}
