//! What a description of a GPU has to obey before an engine takes it: rates and sizes above zero, shares
//! within one, values that go together. Left out: whether a value is plausible for its generation.

use super::Gpu;
use crate::technology::TEMPERATURES_C;

/// What the order of a norm has to be.
const ORDER: &str = "is the order of a norm and must lie between 1 and 100";

impl Gpu {
    pub(super) fn all_names(&self) -> Vec<&str> {
        let aliases = self.gpu.aliases.iter().map(String::as_str);
        aliases.chain([self.gpu.name.as_str()]).collect()
    }

    pub(super) fn broken_rule(&self) -> Option<(&'static str, String)> {
        self.not_positive().or_else(|| self.contradicting()).or_else(|| self.impossible_power())
    }

    fn not_positive(&self) -> Option<(&'static str, String)> {
        let positive: &[(&'static str, f64)] = &[
            ("clocks.base", self.clocks.base.hz()),
            ("clocks.boost", self.clocks.boost.hz()),
            ("clocks.typical", self.clocks.typical.hz()),
            ("sm.count", f64::from(self.sm.count)),
            ("sm.issue_per_clock", self.sm.issue_per_clock),
            ("sm.dispatch_per_issue", self.sm.dispatch_per_issue),
            ("sm.max_threads", f64::from(self.sm.max_threads)),
            ("sm.max_ctas", f64::from(self.sm.max_ctas)),
            ("sm.registers", f64::from(self.sm.registers)),
            ("sm.register_unit", f64::from(self.sm.register_unit)),
            ("pipes.fp32", self.pipes.fp32),
            ("pipes.fp64", self.pipes.fp64),
            ("pipes.fp16", self.pipes.fp16),
            ("pipes.int32", self.pipes.int32),
            ("pipes.sfu", self.pipes.sfu),
            ("pipes.lsu", self.pipes.lsu),
            ("pipes.register_operands_per_clock", self.pipes.register_operands_per_clock),
            ("pipes.alu_latency_cycles", self.pipes.alu_latency_cycles),
            ("pipes.single_warp_share", self.pipes.single_warp_share),
            ("pipes.control_slots", self.pipes.control_slots),
            ("shared.bytes_per_clock", self.shared.bytes_per_clock),
            ("l1.capacity", self.l1.capacity.bytes()),
            ("l1.line", self.l1.line.bytes()),
            ("l1.sector", self.l1.sector.bytes()),
            ("l1.bytes_per_clock", self.l1.bytes_per_clock),
            ("l1.outstanding_sectors", self.l1.outstanding_sectors),
            ("l2.capacity", self.l2.capacity.bytes()),
            ("l2.slices", f64::from(self.l2.slices)),
            ("l2.ways", f64::from(self.l2.ways)),
            ("l2.line", self.l2.line.bytes()),
            ("l2.bytes_per_clock", self.l2.bytes_per_clock),
            ("l2.sm_bytes_per_clock", self.l2.sm_bytes_per_clock),
            ("l2.atomic_clocks", self.l2.atomic_clocks),
            ("dram.capacity", self.dram.capacity.bytes()),
            ("dram.channels", f64::from(self.dram.channels)),
            ("dram.banks", f64::from(self.dram.banks)),
            ("dram.row", self.dram.row.bytes()),
            ("dram.burst", self.dram.burst.bytes()),
            ("dram.banks_in_step", self.dram.banks_in_step),
            ("link.host_sharers", f64::from(self.link.host_sharers)),
            ("link.copy_share", self.link.copy_share),
            ("dram.bandwidth", self.dram.bandwidth.bytes_per_s()),
            ("dram.efficiency", self.dram.efficiency),
            ("dram.loaded_latency", self.dram.loaded_latency),
            ("dram.mixed_efficiency", self.dram.mixed_efficiency),
            ("launch.ctas_per_clock", self.launch.ctas_per_clock),
            ("launch.fetch_bytes_per_clock", self.launch.fetch_bytes_per_clock),
            ("link.host", self.link.host.bytes_per_s()),
            ("link.peer", self.link.peer.bytes_per_s()),
            ("power.limit", self.power.limit.watts()),
            ("power.nominal_clock", self.power.nominal_clock.hz()),
        ];
        positive
            .iter()
            .find(|(_, value)| *value < 1e-6)
            .map(|(path, value)| (*path, crate::layer::not_positive(*value)))
    }

    fn impossible_power(&self) -> Option<(&'static str, String)> {
        const SHARE: (f64, f64) = (0.0, 1.0);
        let power = &self.power;
        let celsius = (*TEMPERATURES_C.start(), *TEMPERATURES_C.end());
        let rules = [
            (power.voltage_slope, (0.0, 3.0), "power.voltage_slope", "must lie"),
            (power.voltage_floor, (0.1, 1.5), "power.voltage_floor", "must lie"),
            (power.voltage_floor_light, (0.1, 1.5), "power.voltage_floor_light", "must lie"),
            (power.temperature_c, celsius, "power.temperature_c", "in degrees Celsius must lie"),
            (power.leakage_doubling_c, (1.0, 1e3), "power.leakage_doubling_c", "must lie"),
            (power.idle_sm_share, SHARE, "power.idle_sm_share", "is a share and must lie"),
            (
                power.constant_operand_share,
                SHARE,
                "power.constant_operand_share",
                "is a share and must lie",
            ),
            (
                power.constant_data_share,
                SHARE,
                "power.constant_data_share",
                "is a share and must lie",
            ),
            (
                power.tensor_multiplier_share,
                SHARE,
                "power.tensor_multiplier_share",
                "is a share and must lie",
            ),
        ];
        let (_, (low, high), path, must) =
            rules.into_iter().find(|(value, (low, high), ..)| !(low..=high).contains(&value))?;
        Some((path, format!("{must} between {low} and {high}")))
    }

    fn contradicting(&self) -> Option<(&'static str, String)> {
        let rules: [(bool, &'static str, String); 20] = [
            (
                self.dram.mixed_efficiency > self.dram.efficiency,
                "dram.mixed_efficiency",
                format!("is above dram.efficiency ({})", self.dram.efficiency),
            ),
            (
                self.sm.shared_unit.bytes() < 1.0,
                "sm.shared_unit",
                "must be at least one byte".to_owned(),
            ),
            (
                self.l2.reach <= 0.0 || self.l2.fade <= self.l2.reach,
                "l2.fade",
                format!("must exceed reach ({}), and both must be positive", self.l2.reach),
            ),
            (
                self.clocks.base.hz() > self.clocks.boost.hz(),
                "clocks.base",
                format!("is above the boost clock ({})", self.clocks.boost),
            ),
            (
                self.dram.efficiency > 1.0,
                "dram.efficiency",
                "is a share of the peak and cannot exceed 1".to_owned(),
            ),
            (
                self.sm.shared_memory_per_cta.bytes() > self.sm.shared_memory.bytes(),
                "sm.shared_memory_per_cta",
                format!("is more than the SM has ({})", self.sm.shared_memory),
            ),
            (
                !self.sm.max_threads.is_multiple_of(32),
                "sm.max_threads",
                "is not a multiple of the warp size (32)".to_owned(),
            ),
            (
                self.l1.sector.bytes() > self.l1.line.bytes(),
                "l1.sector",
                format!("is larger than the line ({})", self.l1.line),
            ),
            (
                self.l2.far_latency_cycles < self.l2.latency_cycles,
                "l2.far_latency_cycles",
                format!("is below the near latency ({})", self.l2.latency_cycles),
            ),
            (
                !(0.01..=1.0).contains(&self.tensor.register_fed_share),
                "tensor.register_fed_share",
                "is a share and must lie between 0.01 and 1".to_owned(),
            ),
            (
                !(0.01..=1.0).contains(&self.tensor.achieved_share),
                "tensor.achieved_share",
                "is a share and must lie between 0.01 and 1".to_owned(),
            ),
            (
                !(0.01..=1.0).contains(&self.link.copy_share),
                "link.copy_share",
                "is a share and must lie between 0.01 and 1".to_owned(),
            ),
            (
                !(0.01..=1.0).contains(&self.pipes.single_warp_share),
                "pipes.single_warp_share",
                "is a share and must lie between 0.01 and 1".to_owned(),
            ),
            (
                self.dram.banks_in_step > f64::from(self.dram.banks),
                "dram.banks_in_step",
                format!("is above the banks of a channel ({})", self.dram.banks),
            ),
            (
                !(0.01..=1.0).contains(&self.pipes.achieved_share),
                "pipes.achieved_share",
                "is a share and must lie between 0.01 and 1".to_owned(),
            ),
            (!(1.0..=100.0).contains(&self.sm.overlap_order), "sm.overlap_order", ORDER.to_owned()),
            (!(1.0..=100.0).contains(&self.sm.pipe_order), "sm.pipe_order", ORDER.to_owned()),
            (
                !(1.0..=1024.0).contains(&self.l2.shared_reads),
                "l2.shared_reads",
                "counts SMs that one read serves and must lie between 1 and 1024".to_owned(),
            ),
            (
                !(1.0..=100.0).contains(&self.tensor.pipe_order),
                "tensor.pipe_order",
                ORDER.to_owned(),
            ),
            (
                self.tensor.sparsity < 1.0,
                "tensor.sparsity",
                "is a rate multiplier and cannot be below 1".to_owned(),
            ),
        ];
        rules.into_iter().find(|(broken, ..)| *broken).map(|(_, path, why)| (path, why))
    }
}
