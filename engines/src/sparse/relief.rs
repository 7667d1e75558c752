//! A tenth more of one resource of an accelerator for decomposed fields, to see what that would save.
//!
//! Rates are raised, not sizes; capacities and the room between units are for studies.

use super::SparseUnit;

/// How much more there is of it.
const MORE: f64 = 1.1;

/// A resource of which there is to be a tenth more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the parts")]
pub enum SparseRelief {
    /// Everything that runs by the clock.
    Clock,
    Geometry,
    /// Bandwidth of the memory outside.
    Dram,
    /// Channels to it: width, and requests under way.
    Dma,
    Search,
    Tree,
    /// Banks of the memory of factors.
    FactorSram,
    Interpolation,
    /// Banks of the memory of pixels.
    PixelSram,
    /// MAC arrays.
    Shading,
}

impl SparseRelief {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Clock,
        Self::Geometry,
        Self::Dram,
        Self::Dma,
        Self::Search,
        Self::Tree,
        Self::FactorSram,
        Self::Interpolation,
        Self::PixelSram,
        Self::Shading,
    ];

    /// Name as printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clock => "accelerator's clock",
            Self::Geometry => "geometry",
            Self::Dram => "DRAM bandwidth",
            Self::Dma => "DMA channel",
            Self::Search => "search units",
            Self::Tree => "adder and search trees",
            Self::FactorSram => "factor SRAM banks",
            Self::Interpolation => "interpolation lanes",
            Self::PixelSram => "pixel SRAM banks",
            Self::Shading => "MLP arrays",
        }
    }

    /// The unit that it belongs to; none for the clock of all.
    pub const fn unit(self) -> Option<SparseUnit> {
        match self {
            Self::Clock => None,
            Self::Geometry => Some(SparseUnit::Geometry),
            Self::Dram | Self::Dma => Some(SparseUnit::Memory),
            Self::Search | Self::Tree | Self::FactorSram => Some(SparseUnit::Decode),
            Self::Interpolation | Self::PixelSram => Some(SparseUnit::Interpolation),
            Self::Shading => Some(SparseUnit::Shading),
        }
    }

    /// How much faster `resource` is where there is a tenth more of `relief`.
    pub(super) fn faster(relief: Option<Self>, resource: Self) -> f64 {
        if relief == Some(resource) { MORE } else { 1.0 }
    }
}
