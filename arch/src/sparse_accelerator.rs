//! What an accelerator is that renders decomposed radiance fields from sparsely stored planes and
//! lines, cube after cube, with a memory of its own.
//!
//! The sections are parts (see [`crate::parts`]) with their roles, after RT-NeRF (Li et al., ICCAD
//! 2022): geometry and view-order controller, search units for bitmaps, trees that search coordinates
//! or add, interpolation lanes, a MAC array for basis and network, SRAM and DRAM. The paper states
//! few sizes; what is free is marked as such in the catalogue. Left out: host interface, clock and
//! power gating.

use serde::Deserialize;

use crate::accelerator::{Name, NamePartial};
use crate::parts::{
    BankedSram, BankedSramPartial, DmaChannel, DmaChannelPartial, GeometryUnit,
    GeometryUnitPartial, Interleave, MacArray, MacArrayPartial, OffChipMemory,
    OffChipMemoryPartial, SearchTree, SearchTreePartial, SearchUnit, SearchUnitPartial,
    VectorLanes, VectorLanesPartial,
};
use crate::section::{Show, description, section};
use crate::technology::{
    Arithmetic, ArithmeticPartial, Silicon, SramModel, SramModelPartial, Technology,
    TechnologyPartial,
};
use crate::units::{Area, Energy, Power};

/// In which format a component of a plane or line is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StorageRule {
    /// Every value.
    Dense,
    /// A bitmap.
    Bitmap,
    /// Coordinates.
    Coordinates,
    /// Bitmap up to a share of zeros, coordinates above.
    Threshold,
    /// Bitmap or coordinates, whichever takes fewer bits.
    Smaller,
}

/// In which order cubes are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CubeOrder {
    /// As in memory: nothing can be skipped.
    Memory,
    /// Sub-regions near to far, swept along the axes.
    Coarse,
    /// The same, outward from the camera along each axis.
    Exact,
}

macro_rules! shown_by_name {
    ($($ty:ty: $written:literal),+ $(,)?) => {$(
        impl Show for $ty {
            const WRITTEN: &'static str = $written;

            fn show(&self) -> String {
                format!("{self:?}").to_lowercase()
            }
        }
    )+};
}

shown_by_name!(
    StorageRule: "\"dense\", \"bitmap\", \"coordinates\", \"threshold\" or \"smaller\"",
    CubeOrder: "\"memory\", \"coarse\" or \"exact\"",
);

section! {
    /// How fields are stored and rendered.
    SparsePolicy / SparsePolicyPartial {
        /// Occupancy cubes along an axis.
        cubes_per_axis: u32,
        /// Sub-regions along an axis.
        regions_per_axis: u32,
        /// In which order cubes are taken.
        order: CubeOrder,
        /// Whether cubes are projected to pixels; else every sample of every ray asks for its cube.
        from_cubes: bool,
        /// Transmittance below which a pixel is done.
        least_transmittance: f64,
        /// In which format components are stored.
        storage: StorageRule,
        /// Share of zeros from which on coordinates are used, where a threshold decides.
        threshold: f64,
        /// Bits of a stored value.
        value_bits: u32,
        /// Side of a plane's block, in texels.
        plane_block: u32,
        /// Length of a line's block, in texels.
        line_block: u32,
        /// Bits of a pixel's state (colour and transmittance).
        pixel_bits: u32,
        /// Cubes that may be under way between two stages.
        cubes_between_stages: u32,
        /// Whether components that are zero around a cube are skipped.
        skips_zeros: bool,
        /// Whether the places around a cube are decoded once for all of its points.
        keeps_patches: bool,
    }
}

section! {
    /// Area of logic at the first node of the tables; memories and MACs follow from those.
    SparseArea / SparseAreaPartial {
        /// One lookup per clock of a search unit.
        search_lookup: Area,
        /// One leaf of a tree.
        tree_leaf: Area,
        /// Geometry, view order, compositing, control and DMA of a core.
        control: Area,
        /// Room for wires and placement, as a share of the logic.
        wiring: f64,
    }
}

section! {
    /// Energy of events at the first node of the tables, as far as those do not have it.
    SparseEnergy / SparseEnergyPartial {
        /// A lookup in a bitmap.
        lookup: Energy,
        /// A comparison at a leaf.
        comparison: Energy,
        /// A pixel or sample tested.
        test: Energy,
    }
}

section! {
    /// What the publication states as such, to compare with.
    SparsePublished / SparsePublishedPartial {
        /// Area of a core; 0 = not stated.
        unit_area: Area,
        /// Power of a core while busy; 0 = not stated.
        unit_power: Power,
    }
}

description! {
    /// A complete description of such an accelerator.
    SparseAccelerator / SparseAcceleratorPartial, "sparse accelerator" {
        /// Which one this is; its units are cores.
        accelerator: Name / NamePartial,
        /// Projection, intersection, view order.
        geometry: GeometryUnit / GeometryUnitPartial,
        /// Encoded planes and lines.
        factor_sram: BankedSram / BankedSramPartial,
        /// State of the pixels of a tile.
        pixel_sram: BankedSram / BankedSramPartial,
        /// Decoded surroundings of cubes.
        patch_sram: BankedSram / BankedSramPartial,
        /// High-density search unit.
        search: SearchUnit / SearchUnitPartial,
        /// Dual-purpose adder and search trees.
        tree: SearchTree / SearchTreePartial,
        /// Interpolation.
        interpolation: VectorLanes / VectorLanesPartial,
        /// Basis and network.
        shading: MacArray / MacArrayPartial,
        /// Their weights.
        weight_sram: BankedSram / BankedSramPartial,
        /// Their activations.
        activation_sram: BankedSram / BankedSramPartial,
        /// Factors in, pixels out.
        dma: DmaChannel / DmaChannelPartial,
        /// Memory outside, of all cores together.
        memory: OffChipMemory / OffChipMemoryPartial,
        /// How fields are stored and rendered.
        policy: SparsePolicy / SparsePolicyPartial,
        /// Nodes, and what changes with them.
        technology: Technology / TechnologyPartial,
        /// Energy and area of memories.
        sram: SramModel / SramModelPartial,
        /// Energy and area of arithmetic.
        arithmetic: Arithmetic / ArithmeticPartial,
        /// Area of the parts.
        area: SparseArea / SparseAreaPartial,
        /// Energy of events.
        energy: SparseEnergy / SparseEnergyPartial,
        /// What the publication states as such.
        published: SparsePublished / SparsePublishedPartial,
    }
}

impl SparseAccelerator {
    fn all_names(&self) -> Vec<&str> {
        let aliases = self.accelerator.aliases.iter().map(String::as_str);
        aliases.chain([self.accelerator.name.as_str()]).collect()
    }

    /// SRAM of a core, in bytes.
    pub fn sram_bytes(&self) -> f64 {
        [
            &self.factor_sram,
            &self.pixel_sram,
            &self.patch_sram,
            &self.weight_sram,
            &self.activation_sram,
        ]
        .iter()
        .map(|sram| sram.capacity.bytes())
        .sum()
    }

    /// Multiply-accumulate units of the MAC array of a core.
    pub fn shading_macs(&self) -> f64 {
        f64::from(self.shading.rows)
            * f64::from(self.shading.columns)
            * f64::from(self.shading.arrays)
    }

    /// What its parts take in area and energy at its node.
    pub const fn silicon(&self) -> Silicon<'_> {
        Silicon::new(&self.technology, &self.sram, &self.arithmetic)
    }

    fn broken_rule(&self) -> Option<(&'static str, String)> {
        self.not_positive()
            .or_else(|| self.out_of_range())
            .or_else(|| self.broken_memory())
            .or_else(|| self.silicon().broken())
    }

    fn not_positive(&self) -> Option<(&'static str, String)> {
        let positive: [(&'static str, f64); 11] = [
            ("accelerator.clock", self.accelerator.clock.hz()),
            ("geometry.cubes_per_clock", self.geometry.cubes_per_clock),
            ("geometry.pixels_per_clock", self.geometry.pixels_per_clock),
            ("geometry.samples_per_clock", self.geometry.samples_per_clock),
            ("search.lookups_per_clock", self.search.lookups_per_clock),
            ("dma.bytes_per_clock", self.dma.bytes_per_clock),
            ("dma.outstanding", self.dma.outstanding),
            ("memory.bandwidth", self.memory.bandwidth.bytes_per_s()),
            ("memory.efficiency", self.memory.efficiency),
            ("memory.granule", self.memory.granule.bytes()),
            ("memory.latency", self.memory.latency.ns()),
        ];
        let found = positive.iter().find(|(_, value)| *value < 1e-6);
        found.map(|(path, value)| (*path, crate::layer::not_positive(*value)))
    }

    fn out_of_range(&self) -> Option<(&'static str, String)> {
        let policy = &self.policy;
        let counts: [(&'static str, u32, u32, u32); 16] = [
            ("accelerator.units", self.accelerator.units, 1, 1 << 12),
            ("search.units", self.search.units, 1, 1 << 12),
            ("search.bits", self.search.bits, 8, 1 << 16),
            ("tree.trees", self.tree.trees, 1, 1 << 12),
            ("tree.leaves", self.tree.leaves, 2, 1 << 12),
            ("interpolation.lanes", self.interpolation.lanes, 1, 1 << 16),
            ("shading.rows", self.shading.rows, 1, 1 << 12),
            ("shading.columns", self.shading.columns, 1, 1 << 12),
            ("shading.arrays", self.shading.arrays, 1, 1 << 12),
            ("policy.cubes_per_axis", policy.cubes_per_axis, 8, 300),
            ("policy.regions_per_axis", policy.regions_per_axis, 1, 32),
            ("policy.value_bits", policy.value_bits, 4, 16),
            ("policy.plane_block", policy.plane_block, 2, 256),
            ("policy.line_block", policy.line_block, 2, 4096),
            ("policy.pixel_bits", policy.pixel_bits, 8, 256),
            ("policy.cubes_between_stages", policy.cubes_between_stages, 1, 1 << 12),
        ];
        let odd = counts.iter().find(|(_, count, least, most)| !(least..=most).contains(&count));
        if let Some((path, count, least, most)) = odd {
            return Some((*path, format!("is {count}; it lies between {least} and {most}")));
        }
        let shares = [
            ("memory.efficiency", self.memory.efficiency),
            ("policy.threshold", policy.threshold),
            ("policy.least_transmittance", policy.least_transmittance),
        ];
        if let Some((path, share)) = shares.iter().find(|(_, v)| !(0.0..=1.0).contains(v)) {
            return Some((*path, format!("is {share}; a share lies between 0 and 1")));
        }
        let bits = self.shading.sum_bits;
        if ![16, 32].contains(&bits) {
            return Some(("shading.sum_bits", format!("is {bits}; sums have 16 or 32")));
        }
        if self.accelerator.clock.hz() > 1e10 {
            return Some((
                "accelerator.clock",
                format!("is {}; up to 10 GHz are supported", self.accelerator.clock),
            ));
        }
        let name = &self.accelerator.name;
        if name.trim().is_empty() || name.chars().any(char::is_control) {
            return Some(("accelerator.name", "is empty or has control characters".to_owned()));
        }
        None
    }

    /// An SRAM is cut into banks, a bank into words; a tile needs pixels, a network its weights.
    fn broken_memory(&self) -> Option<(&'static str, String)> {
        let memories: [(&BankedSram, &'static str); 5] = [
            (&self.factor_sram, "factor_sram.capacity"),
            (&self.pixel_sram, "pixel_sram.capacity"),
            (&self.patch_sram, "patch_sram.capacity"),
            (&self.weight_sram, "weight_sram.capacity"),
            (&self.activation_sram, "activation_sram.capacity"),
        ];
        for (sram, path) in memories {
            let bank = f64::from(sram.banks) * sram.word.bytes();
            if bank < 1.0 || sram.ports == 0 || sram.interleave == Interleave::Fold {
                return Some((path, "needs banks, ports and words, dealt by low bits".to_owned()));
            }
            if sram.capacity.bytes() < bank || sram.capacity.bytes() % bank != 0.0 {
                return Some((
                    path,
                    format!(
                        "is {} bytes, no multiple of {} banks of {} words ({bank} bytes)",
                        sram.capacity.bytes(),
                        sram.banks,
                        sram.word
                    ),
                ));
            }
        }
        // A tile of 16 by 16 pixels is the least that makes sense.
        let tile = 256.0 * f64::from(self.policy.pixel_bits) / 8.0;
        (self.pixel_sram.capacity.bytes() < tile)
            .then(|| ("pixel_sram.capacity", format!("holds less than a tile of {tile} bytes")))
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::{Catalog, SOURCE_KINDS};

    #[test]
    fn every_one_is_complete_and_sourced() {
        let catalog = Catalog::embedded();
        assert_eq!(catalog.sparse_accelerators().len(), 2);
        for name in catalog.sparse_accelerators() {
            let entry =
                catalog.sparse_accelerator(name).unwrap_or_else(|e| panic!("{name}: {e:?}"));
            for (path, _) in entry.accelerator.list() {
                let kind = entry.source_kind(&path);
                assert!(SOURCE_KINDS.contains(&kind), "{name}: {path} has no source");
            }
        }
        assert_eq!(catalog.sparse_accelerator("rtnerf edge").unwrap().id, "rt-nerf-edge");
    }

    #[test]
    fn impossible_ones_are_refused() {
        let catalog = Catalog::embedded();
        let message = |lines: &str| {
            let text = format!("base = \"rt-nerf-edge\"\n{lines}");
            assert!(catalog.is_sparse_accelerator(&text));
            catalog.parse_sparse_accelerator("x", "x.toml", &text).unwrap_err().to_string()
        };
        assert!(message("[policy]\nvalue_bits = 3\n").contains("between 4 and 16"));
        assert!(message("[tree]\nleaves = 1\n").contains("between 2 and 4096"));
        assert!(message("[policy]\nstorage = \"zip\"\n").contains("coordinates"));
        assert!(message("[pixel_sram]\ncapacity = \"512 B\"\n").contains("less than a tile"));
        assert!(message("[memory]\nefficiency = 2\n").contains("between 0 and 1"));
        assert!(message("[search]\nlookups = 4\n").contains("unknown key"));
    }
}
