//! What a gate, a bit of SRAM and a multiplication take in area, energy and leakage, by
//! manufacturing node.
//!
//! Numbers are the catalogue's (layer `cmos`), after published tables: node scaling of Stillmaker
//! and Baas (2017), energies and areas of arithmetic and of SRAM at 45 nm of Horowitz (ISSCC 2014),
//! wires of Keckler et al. (2011), SRAM cells as foundries give them. Between two nodes, and two
//! sizes of an SRAM, values follow a straight line in logarithms. A memory is banks and the wires
//! to them: an access takes what its bank takes by size, word and ports, and the way across the
//! memory. Left out: voltage other than a node's usual one, sleep states of memories, placement.

use crate::parts::{BankedSram, MacArray};
use crate::section::section;
use crate::units::{Area, Energy, Power};

section! {
    /// Nodes, and what changes with them.
    Technology / TechnologyPartial {
        /// Node that this chip is made in, in nm; between those of the tables.
        node_nm: f64,
        /// Nodes of the following tables, in nm, from the largest.
        nodes_nm: Vec<f64>,
        /// Supply voltage by node, in V.
        supply_v: Vec<f64>,
        /// Area of logic by node, over the first.
        logic_area: Vec<f64>,
        /// Energy of switching logic by node, over the first.
        logic_energy: Vec<f64>,
        /// Area of an SRAM cell by node, in um2.
        sram_cell_um2: Vec<f64>,
        /// Leakage of a square millimetre, at `leakage_at_c`.
        leakage_per_mm2: Power,
        /// Clock tree and flip-flops of a square millimetre of logic at the first node and 1 GHz.
        clock_per_mm2: Power,
        /// Temperature of the chip, in degrees Celsius, from 0 to 110.
        temperature_c: f64,
        /// Temperature at which leakage is as stated, in degrees Celsius.
        leakage_at_c: f64,
        /// Degrees for which leakage doubles.
        leakage_doubling_c: f64,
    }
}

section! {
    /// Energy and area of an SRAM at the first node, by size, word, ports and banks.
    SramModel / SramModelPartial {
        /// Sizes of a bank with known energy, in KiB.
        reference_kib: Vec<f64>,
        /// Energy of an access to eight bytes of them, in pJ.
        reference_pj: Vec<f64>,
        /// Share of that energy which does not depend on the width of the word.
        fixed_share: f64,
        /// Energy of a bit on its way across a memory of several banks, in pJ/mm.
        wire_pj_per_bit_mm: f64,
        /// Width of a bank's decoders and sense amplifiers, in cells.
        strip_cells: f64,
        /// Share of the rest that is cells.
        efficiency: f64,
        /// What each port beyond the first adds to the area, as a share.
        extra_port: f64,
    }
}

section! {
    /// Energy and area of arithmetic at the first node.
    Arithmetic / ArithmeticPartial {
        /// An fp16 product.
        fp16_multiply: Energy,
        /// An fp16 sum.
        fp16_add: Energy,
        /// An fp32 sum.
        fp32_add: Energy,
        /// The unit of an fp16 product.
        fp16_multiplier: Area,
        /// The unit of an fp16 sum.
        fp16_adder: Area,
        /// The unit of an fp32 sum.
        fp32_adder: Area,
    }
}

/// The temperatures that chips are described for, in degrees Celsius.
pub const TEMPERATURES_C: std::ops::RangeInclusive<f64> = 0.0..=110.0;

/// Leakage at a temperature over that at another, when it doubles every so many degrees.
pub fn leakage_factor(temperature_c: f64, at_c: f64, doubling_c: f64) -> f64 {
    libm::exp2((temperature_c - at_c) / doubling_c)
}

/// The value of a table at `x`, along straight lines in logarithms; beyond its ends as at the ends.
/// The tables have been checked to be positive and as long as each other.
fn along(xs: &[f64], ys: &[f64], x: f64) -> f64 {
    let (Some(x0), Some(y0)) = (xs.first(), ys.first()) else { return 0.0 };
    if xs.len() < 2 || ys.len() < 2 {
        return *y0;
    }
    let rising = xs[1] > *x0;
    let passed = |at: f64| if rising { at <= x } else { at >= x };
    let last = xs.len().min(ys.len()) - 2;
    let i = xs.iter().take_while(|at| passed(**at)).count().saturating_sub(1).min(last);
    let share = libm::log(x / xs[i]) / libm::log(xs[i + 1] / xs[i]);
    ys[i] * libm::exp(share * libm::log(ys[i + 1] / ys[i]))
}

/// The tables at the node of a chip.
#[derive(Debug, Clone, Copy)]
pub struct Silicon<'a> {
    technology: &'a Technology,
    sram: &'a SramModel,
    arithmetic: &'a Arithmetic,
}

impl<'a> Silicon<'a> {
    /// Of the sections of a description.
    pub const fn new(
        technology: &'a Technology,
        sram: &'a SramModel,
        arithmetic: &'a Arithmetic,
    ) -> Self {
        Self { technology, sram, arithmetic }
    }

    fn at_node(&self, table: &[f64]) -> f64 {
        along(&self.technology.nodes_nm, table, self.technology.node_nm)
    }

    /// Area of logic over that at the first node.
    pub fn area_scale(&self) -> f64 {
        self.at_node(&self.technology.logic_area)
    }

    /// Energy of switching logic over that at the first node.
    pub fn energy_scale(&self) -> f64 {
        self.at_node(&self.technology.logic_energy)
    }

    /// Area of a memory, in mm².
    pub fn sram_mm2(&self, sram: &BankedSram) -> f64 {
        self.banks_mm2(sram.capacity.bytes(), f64::from(sram.banks), f64::from(sram.ports))
    }

    fn banks_mm2(&self, bytes: f64, banks: f64, ports: f64) -> f64 {
        let cell_mm2 = self.at_node(&self.technology.sram_cell_um2) * 1e-6;
        let side = libm::sqrt(bytes / banks * 8.0) + self.sram.strip_cells;
        let of_ports = 1.0 + (ports - 1.0) * self.sram.extra_port;
        banks * side * side * cell_mm2 / self.sram.efficiency * of_ports
    }

    /// Energy of a byte from or to a memory, in pJ: that of an access to its bank and of the way
    /// across the memory, over the bytes of a word.
    pub fn sram_pj_per_byte(&self, sram: &BankedSram) -> f64 {
        let (banks, ports) = (f64::from(sram.banks), f64::from(sram.ports));
        let bank_bytes = sram.capacity.bytes() / banks;
        let model = self.sram;
        // Lines across a bank are as much longer as further ports make its cells wider.
        let longer = libm::sqrt(1.0 + (ports - 1.0) * model.extra_port);
        let eight = along(&model.reference_kib, &model.reference_pj, bank_bytes / 1024.0) * longer;
        let word = sram.word.bytes();
        let width = model.fixed_share + (1.0 - model.fixed_share) * word / 8.0;
        let all_mm = libm::sqrt(self.banks_mm2(sram.capacity.bytes(), banks, ports));
        let bank_mm = libm::sqrt(self.banks_mm2(bank_bytes, 1.0, ports));
        let volts = self.at_node(&self.technology.supply_v)
            / self.technology.supply_v.first().copied().unwrap_or(1.0);
        let wire = (all_mm - bank_mm) * 8.0 * model.wire_pj_per_bit_mm * volts * volts;
        eight * width * self.energy_scale() / word + wire
    }

    /// Energy of a multiply-accumulate of halves with weights and sums of that width, in pJ.
    pub fn mac_pj(&self, array: &MacArray) -> f64 {
        let a = self.arithmetic;
        let sum = if array.sum_bits > 16 { a.fp32_add } else { a.fp16_add };
        let product = a.fp16_multiply.pj() * partial_products(array.weight_bits);
        (product + sum.pj()) * self.energy_scale()
    }

    /// Area of the unit that does it, in mm².
    pub fn mac_mm2(&self, array: &MacArray) -> f64 {
        let a = self.arithmetic;
        let sum = if array.sum_bits > 16 { a.fp32_adder } else { a.fp16_adder };
        let product = a.fp16_multiplier.mm2() * partial_products(array.weight_bits);
        (product + sum.mm2()) * self.area_scale()
    }

    /// Energy of an fp16 sum, in pJ.
    pub fn fp16_add_pj(&self) -> f64 {
        self.arithmetic.fp16_add.pj() * self.energy_scale()
    }

    /// An energy that is stated for the first node, in pJ.
    pub fn logic_pj(&self, energy: Energy) -> f64 {
        energy.pj() * self.energy_scale()
    }

    /// An area that is stated for the first node, in mm².
    pub fn logic_mm2(&self, area: Area) -> f64 {
        area.mm2() * self.area_scale()
    }

    /// Leakage of an area at the chip's temperature, in watts.
    pub fn leakage_w(&self, mm2: f64) -> f64 {
        let t = self.technology;
        mm2 * t.leakage_per_mm2.watts()
            * leakage_factor(t.temperature_c, t.leakage_at_c, t.leakage_doubling_c)
    }

    /// Clock tree and flip-flops of an area of logic at a clock, in watts. The same datapath has as
    /// much of both at any node, so that their energy follows the logic's.
    pub fn clock_w(&self, logic_mm2: f64, hz: f64) -> f64 {
        let at_first_node = logic_mm2 / self.area_scale();
        at_first_node * self.technology.clock_per_mm2.watts() * self.energy_scale() * hz / 1e9
    }

    /// What in the tables cannot be.
    pub(crate) fn broken(&self) -> Option<(&'static str, String)> {
        let t = self.technology;
        let tables: [(&'static str, &[f64]); 4] = [
            ("technology.supply_v", &t.supply_v),
            ("technology.logic_area", &t.logic_area),
            ("technology.logic_energy", &t.logic_energy),
            ("technology.sram_cell_um2", &t.sram_cell_um2),
        ];
        let nodes = &t.nodes_nm;
        if nodes.len() < 2 || !nodes.is_sorted_by(|a, b| a > b) || !positive(nodes) {
            return Some(("technology.nodes_nm", "needs two nodes or more, falling".to_owned()));
        }
        for (path, table) in tables {
            if table.len() != nodes.len() || !positive(table) {
                let what = format!("needs a positive value for each of {} nodes", nodes.len());
                return Some((path, what));
            }
        }
        let (largest, smallest) = (nodes[0], nodes[nodes.len() - 1]);
        if !(smallest..=largest).contains(&t.node_nm) {
            return Some((
                "technology.node_nm",
                format!("is {}; the tables go from {smallest} to {largest} nm", t.node_nm),
            ));
        }
        if !TEMPERATURES_C.contains(&t.temperature_c) {
            return Some((
                "technology.temperature_c",
                format!("is {}; chips work at 0 to 110 degrees Celsius", t.temperature_c),
            ));
        }
        if t.leakage_doubling_c < 1.0 {
            return Some((
                "technology.leakage_doubling_c",
                "must be one degree or more".to_owned(),
            ));
        }
        let sizes = &self.sram.reference_kib;
        let energies = &self.sram.reference_pj;
        let known = sizes.len() >= 2 && sizes.len() == energies.len();
        if !known || !sizes.is_sorted_by(|a, b| a < b) || !positive(sizes) || !positive(energies) {
            let what = "needs two sizes or more, rising, with as many energies".to_owned();
            return Some(("sram.reference_kib", what));
        }
        let shares = [
            ("sram.fixed_share", self.sram.fixed_share),
            ("sram.efficiency", self.sram.efficiency),
        ];
        let odd = shares.iter().find(|(_, share)| !(1e-3..=1.0).contains(share));
        odd.map(|(path, share)| (*path, format!("is {share}; a share lies between 0.001 and 1")))
    }
}

fn positive(table: &[f64]) -> bool {
    table.iter().all(|value| *value > 0.0 && *value < 1e9)
}

/// Partial products of a weight of that many bits over those of a half, whose significand has eleven.
fn partial_products(weight_bits: u32) -> f64 {
    f64::from(weight_bits.min(11)) / 11.0
}

#[cfg(test)]
mod tests;
