//! Area and power of accelerators part by part: what each takes on the die, what it draws when all
//! of it works in every clock, and what it draws anyway.
//!
//! Sizes are the description's, areas and energies those of its technology tables. Full rate is a
//! bound: no work keeps every part busy at once. Left out: the memory outside of the chip.

use crate::accelerator::Accelerator;
use crate::parts::BankedSram;
use crate::sparse_accelerator::SparseAccelerator;
use crate::technology::Silicon;

/// A part, over all processors or cores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PartUse {
    /// Name as printed.
    pub part: &'static str,
    /// Area, in mm².
    pub area_mm2: f64,
    /// Power of its events when it works in every clock, in watts.
    pub full_rate_w: f64,
    /// Leakage at the chip's temperature, in watts.
    pub leakage_w: f64,
    /// Clock tree and flip-flops, in watts.
    pub clock_w: f64,
}

/// All parts of an accelerator.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    /// The parts, memories first.
    pub parts: Vec<PartUse>,
}

impl Budget {
    /// Area, in mm².
    pub fn area_mm2(&self) -> f64 {
        self.parts.iter().map(|part| part.area_mm2).sum()
    }

    /// Leakage and clocks, in watts.
    pub fn idle_w(&self) -> f64 {
        self.parts.iter().map(|part| part.leakage_w + part.clock_w).sum()
    }

    /// Power when every part works in every clock, in watts.
    pub fn full_rate_w(&self) -> f64 {
        self.parts.iter().map(|part| part.full_rate_w).sum::<f64>() + self.idle_w()
    }
}

/// Adds parts up: so many of each, at one clock.
struct Adder<'a> {
    silicon: Silicon<'a>,
    hz: f64,
    units: f64,
    list: Vec<PartUse>,
}

impl Adder<'_> {
    /// Memories: `count` of them in a unit, each asked for so many words in a clock at most.
    fn memory(&mut self, part: &'static str, count: f64, sram: &BankedSram, words_per_clock: f64) {
        if sram.capacity.bytes() <= 0.0 {
            return;
        }
        let count = count * self.units;
        let area_mm2 = count * self.silicon.sram_mm2(sram);
        let words = words_per_clock.min(f64::from(sram.banks) * f64::from(sram.ports));
        let pj = words * sram.word.bytes() * self.silicon.sram_pj_per_byte(sram);
        self.list.push(PartUse {
            part,
            area_mm2,
            full_rate_w: count * pj * self.hz * 1e-12,
            leakage_w: self.silicon.leakage_w(area_mm2),
            clock_w: 0.0,
        });
    }

    /// Logic of so large an area in a unit, with so much energy in a clock.
    fn logic(&mut self, part: &'static str, unit_mm2: f64, unit_pj: f64) {
        let area_mm2 = self.units * unit_mm2;
        self.list.push(PartUse {
            part,
            area_mm2,
            full_rate_w: self.units * unit_pj * self.hz * 1e-12,
            leakage_w: self.silicon.leakage_w(area_mm2),
            clock_w: self.silicon.clock_w(area_mm2, self.hz),
        });
    }
}

impl Accelerator {
    /// Buffers by block of space as a memory: banks and words are those of a table memory.
    fn subgrid_sram(&self) -> BankedSram {
        BankedSram { capacity: self.subgrid.capacity, ..self.grid_sram.clone() }
    }

    /// Area and power by part.
    pub fn budget(&self) -> Budget {
        let silicon = self.silicon();
        let (engines, arrays) = (f64::from(self.encoder.units), f64::from(self.mlp.arrays));
        let macs = f64::from(self.mlp.rows) * f64::from(self.mlp.columns) * arrays;
        let (mac_pj, mac_mm2) = (silicon.mac_pj(&self.mlp), silicon.mac_mm2(&self.mlp));
        // An engine is as large as the addresses it yields; directions take one of eight.
        let addresses = self.encoder.addresses_per_clock;
        let directions = f64::from(u8::from(self.policy.encodes_directions));
        let engine_mm2 =
            silicon.logic_mm2(self.area.engine) * (engines * addresses / 8.0 + directions);
        let features = self.grid_sram.word.bytes() * 8.0 / f64::from(self.policy.feature_bits);
        let address_pj = silicon.logic_pj(self.energy.address) + features * mac_pj;
        let engine_pj = address_pj * addresses * (engines + directions);
        let all = f64::INFINITY;
        let mut adder = Adder {
            silicon,
            hz: self.accelerator.clock.hz(),
            units: f64::from(self.accelerator.units),
            list: Vec::new(),
        };
        adder.memory("table memories", engines, &self.grid_sram, addresses);
        adder.memory("subgrid buffers", 1.0, &self.subgrid_sram(), addresses);
        adder.memory("feature buffer", 1.0, &self.feature_buffer, all);
        adder.memory("weight memory", arrays, &self.weight_sram, all);
        adder.memory("activation memory", arrays, &self.activation_sram, all);
        adder.logic("MAC array", macs * mac_mm2, macs * mac_pj);
        adder.logic("encoding engines", engine_mm2, engine_pj);
        let link_pj = self.link.bytes_per_clock / f64::from(self.accelerator.units)
            * self.energy.link_byte.pj();
        adder.logic("control, DMA and link", silicon.logic_mm2(self.area.control), link_pj);
        Budget { parts: adder.list }
    }

    /// Area of all processors, in mm².
    pub fn area_mm2(&self) -> f64 {
        self.budget().area_mm2()
    }

    /// Leakage and clocks of all processors, in watts.
    pub fn idle_w(&self) -> f64 {
        self.budget().idle_w()
    }
}

impl SparseAccelerator {
    /// Area and power by part.
    pub fn budget(&self) -> Budget {
        let silicon = self.silicon();
        let (mac_pj, mac_mm2) = (silicon.mac_pj(&self.shading), silicon.mac_mm2(&self.shading));
        let lookups = f64::from(self.search.units) * self.search.lookups_per_clock;
        let leaves = f64::from(self.tree.trees) * f64::from(self.tree.leaves);
        let lanes = f64::from(self.interpolation.lanes);
        let geometry = &self.geometry;
        let tests = geometry.pixels_per_clock + geometry.samples_per_clock;
        let wired = 1.0 + self.area.wiring;
        let all = f64::INFINITY;
        let mut adder = Adder {
            silicon,
            hz: self.accelerator.clock.hz(),
            units: f64::from(self.accelerator.units),
            list: Vec::new(),
        };
        adder.memory("memory of factors", 1.0, &self.factor_sram, all);
        adder.memory("memory of pixels", 1.0, &self.pixel_sram, all);
        adder.memory("memory of patches", 1.0, &self.patch_sram, all);
        adder.memory("weight memory", 1.0, &self.weight_sram, all);
        adder.memory("activation memory", 1.0, &self.activation_sram, all);
        let macs = self.shading_macs();
        adder.logic("MAC array", macs * mac_mm2 * wired, macs * mac_pj);
        adder.logic("interpolation", lanes * mac_mm2 * wired, lanes * mac_pj);
        let search = (self.area.search_lookup, self.energy.lookup);
        adder.logic(
            "search units",
            lookups * silicon.logic_mm2(search.0) * wired,
            lookups * silicon.logic_pj(search.1),
        );
        // A tree searches or adds; adding takes more.
        let leaf_pj = silicon.fp16_add_pj().max(silicon.logic_pj(self.energy.comparison));
        let leaf_mm2 = silicon.logic_mm2(self.area.tree_leaf);
        adder.logic("trees", leaves * leaf_mm2 * wired, leaves * leaf_pj);
        adder.logic(
            "control and geometry",
            silicon.logic_mm2(self.area.control) * wired,
            tests * silicon.logic_pj(self.energy.test),
        );
        Budget { parts: adder.list }
    }

    /// Area of all cores, in mm².
    pub fn area_mm2(&self) -> f64 {
        self.budget().area_mm2()
    }

    /// Leakage and clocks of all cores, in watts.
    pub fn idle_w(&self) -> f64 {
        self.budget().idle_w()
    }
}
