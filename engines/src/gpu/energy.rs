//! Energy from events: what was executed and moved, times the catalogue's energy per event, plus
//! what is drawn whether anything happens or not.
//!
//! Of the latter there are three parts: the board's constant power; the memory's interface, which
//! follows the memory clock; and the clock trees, schedulers and leakage of the SMs, by SM and
//! clock, of which an SM without work keeps a share (`power.idle_sm_share`). Everything on the
//! chip but the constant goes with the square of the supply voltage. Bits that do not toggle take
//! little: arithmetic on constants, as the zeros are that fill tiles up, keeps
//! `power.constant_operand_share` of its energy, memory full of one value
//! `power.constant_data_share`. All this holds at one temperature; at another the leakage of the
//! die differs, which goes with time and the square of the voltage, whatever the SMs do. Left out:
//! heating up, and row activations apart from the bytes they bring.

use lumacycle_arch::Gpu;
use lumacycle_arch::technology::leakage_factor;
use lumacycle_workloads::{Kernel, TensorType};

use super::GpuEngine;
use super::sm::WARP;
use crate::cost::{Energy, Traffic};

/// What happened while `time_ns` went by. Instructions are counted by warp, the rest as said.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Events {
    /// Time, in nanoseconds.
    pub time_ns: f64,
    /// Share of all SMs that had work, on average, in [0, 1].
    pub active_sms: f64,
    /// Warp instructions of any kind, as many full ones (three operands and a result) as take the
    /// same energy.
    pub issued: f64,
    /// fp32 and packed half instructions.
    pub fp32: f64,
    /// fp64 instructions.
    pub fp64: f64,
    /// Integer and logic instructions.
    pub int32: f64,
    /// Special-function instructions.
    pub sfu: f64,
    /// Tensor-core multiply-accumulates, as many fp16 ones as take the same energy.
    pub tensor_macs: f64,
    /// Bytes from and to shared memory.
    pub shared_bytes: f64,
    /// Bytes asked of L1.
    pub l1_bytes: f64,
    /// Bytes between SMs and L2.
    pub l2_bytes: f64,
    /// Bytes read from and written to DRAM.
    pub dram_bytes: f64,
    /// Share of arithmetic on zeros that only fill tiles up, in [0, 1).
    pub padding_share: f64,
    /// What the bits are like.
    pub data: Data,
}

impl Events {
    /// Of each warp that share of the threads is active: lanes without a thread neither read registers
    /// nor compute, though the warp takes its slots all the same.
    pub(super) fn masked(&mut self, active: f64) {
        let lanes =
            [&mut self.issued, &mut self.fp32, &mut self.fp64, &mut self.int32, &mut self.sfu];
        for events in lanes {
            *events *= active;
        }
    }
}

/// What operands and data are like, as far as energy depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Data {
    /// As in real work: about half of the bits change from one word to the next.
    #[default]
    Varied,
    /// Arithmetic on constants, as in many a peak benchmark, on words from memory that differ.
    ConstantOperands,
    /// The same value everywhere, in registers and in memory.
    Constant,
}

/// Energy of a multiply-accumulate of this type relative to fp16: the multiplier's share of it grows
/// with the square of the significand (11 bits in fp16), the rest with the width of the operands.
pub(super) fn tensor_scale(gpu: &Gpu, kind: TensorType) -> f64 {
    let (significand_bits, bits) = match kind {
        TensorType::Fp64 => (53.0, 64.0),
        TensorType::Tf32 => (11.0, 32.0),
        TensorType::Fp16 | TensorType::Fp16Acc32 => (11.0, 16.0),
        TensorType::Bf16 => (8.0, 16.0),
        TensorType::Int8 => (8.0, 8.0),
        TensorType::Fp8 => (4.0, 8.0),
        TensorType::Int4 => (4.0, 4.0),
        TensorType::Fp4 => (2.0, 4.0),
    };
    let multiplier = gpu.power.tensor_multiplier_share;
    let ratio: f64 = significand_bits / 11.0;
    multiplier * ratio * ratio + (1.0 - multiplier) * bits / 16.0
}

/// Supply voltage over that at the generation's nominal clock: it follows the clock along a line, but
/// never falls below a floor, which is another while memory runs at less than a third of its clock
/// (`memory_scale`).
pub fn relative_voltage(gpu: &Gpu, clock_hz: f64, memory_scale: f64) -> f64 {
    /// Below this share of its clock, memory is in a state for light work.
    const LIGHT: f64 = 1.0 / 3.0;
    let power = &gpu.power;
    let floor = if memory_scale < LIGHT { power.voltage_floor_light } else { power.voltage_floor };
    let clock = clock_hz / power.nominal_clock.hz();
    (1.0 + power.voltage_slope * (clock - 1.0)).max(floor)
}

/// Events of a launch of `ctas` CTAs that moves that many bytes and takes `time_ns`.
pub(super) fn events(
    gpu: &Gpu,
    kernel: &Kernel,
    ctas: f64,
    traffic: &Traffic,
    time_ns: f64,
) -> Events {
    let sum = |demand: fn(&lumacycle_workloads::Demand) -> f64| {
        ctas * kernel.per_cta(|stage| demand(&stage.demand))
    };
    let tensor = kernel.tensor.map_or(0.0, |kind| tensor_scale(gpu, kind));
    Events {
        time_ns,
        active_sms: (ctas / f64::from(gpu.sm.count)).min(1.0),
        issued: sum(lumacycle_workloads::Demand::full_instructions),
        fp32: sum(|d| d.fp32 + d.fp16x2),
        fp64: sum(|d| d.fp64),
        int32: sum(|d| d.int32),
        sfu: sum(|d| d.sfu),
        tensor_macs: sum(|d| d.tensor_macs) * tensor,
        shared_bytes: sum(|d| d.shared_wavefronts) * 128.0,
        l1_bytes: traffic.l1_bytes,
        l2_bytes: traffic.l2_bytes,
        dram_bytes: traffic.dram_read_bytes + traffic.dram_write_bytes,
        padding_share: (1.0 - kernel.useful_share).clamp(0.0, 1.0),
        data: Data::Varied,
    }
}

/// Energy of these events at the engine's clocks.
pub fn of(engine: &GpuEngine<'_>, events: &Events) -> Energy {
    let gpu = engine.gpu;
    let power = &gpu.power;
    let voltage = relative_voltage(gpu, engine.clock_hz(), engine.memory_scale());
    let switching = voltage * voltage;
    let scale = power.event_scale;
    let (operands, words) = match events.data {
        Data::Varied => (1.0, 1.0),
        Data::ConstantOperands => (power.constant_operand_share, 1.0),
        Data::Constant => (power.constant_operand_share, power.constant_data_share),
    };
    // Zeros are constants as well.
    let padding = events.padding_share;
    let operands = operands.min(1.0 - padding + padding * power.constant_operand_share);
    let compute_pj = scale
        * WARP
        * (events.fp32 * power.fp32_fma.pj()
            + events.fp64 * power.fp64_fma.pj()
            + events.int32 * power.int32.pj()
            + events.sfu * power.sfu.pj())
        + events.tensor_macs * power.tensor_fp16_mac.pj();
    let on_chip_pj = scale
        * (events.shared_bytes * power.shared_byte.pj()
            + events.l1_bytes * power.l1_byte.pj()
            + events.l2_bytes * power.l2_byte.pj());
    let at_rest = at_rest(engine, events.time_ns, events.active_sms);
    Energy {
        compute_pj: compute_pj * operands * switching,
        issue_pj: events.issued * power.issue.pj() * operands * switching,
        on_chip_pj: on_chip_pj * words * switching,
        dram_pj: events.dram_bytes * gpu.dram.energy_per_byte.pj() * words + at_rest.dram_pj,
        ..at_rest
    }
}

/// Energy of a time in which that share of the SMs has work, without what the work itself takes:
/// 1 W × 1 ns = 1000 pJ.
pub fn at_rest(engine: &GpuEngine<'_>, time_ns: f64, active_sms: f64) -> Energy {
    let gpu = engine.gpu;
    let power = &gpu.power;
    let voltage = relative_voltage(gpu, engine.clock_hz(), engine.memory_scale());
    let idle = power.idle_sm_share;
    let awake = idle + (1.0 - idle) * active_sms.clamp(0.0, 1.0);
    let cycles = engine.clock_hz() * time_ns * 1e-9;
    Energy {
        clock_pj: power.sm_clock.pj()
            * f64::from(gpu.sm.count)
            * cycles
            * awake
            * voltage
            * voltage,
        // 1 W × 1 ns = 1000 pJ.
        constant_pj: (power.constant.watts() + leakage_beyond_w(engine) * voltage * voltage)
            * time_ns
            * 1e3,
        dram_pj: idle_dram_watts(gpu) * engine.memory_scale() * time_ns * 1e3,
        ..Energy::default()
    }
}

/// How much more the die leaks than at the temperature that energies are for, at nominal voltage, in
/// watts; below zero where it is cooler.
fn leakage_beyond_w(engine: &GpuEngine<'_>) -> f64 {
    let Some(temperature_c) = engine.options.temperature_c else { return 0.0 };
    let gpu = engine.gpu;
    let power = &gpu.power;
    let usual_c = power.temperature_c;
    let doubling_c = power.leakage_doubling_c;
    let usual_w = gpu.gpu.die_area.mm2()
        * power.leakage_per_mm2.watts()
        * leakage_factor(usual_c, power.leakage_at_c, doubling_c);
    // It is part of the board's constant power; dies of systems on chip hold much that is switched off.
    let usual_w = usual_w.min(power.constant.watts());
    usual_w * (leakage_factor(temperature_c, usual_c, doubling_c) - 1.0)
}

/// Power of memory and its interface at the catalogued clock while nothing moves, in watts.
fn idle_dram_watts(gpu: &Gpu) -> f64 {
    gpu.dram.idle_energy_per_byte.pj() * 1e-12 * gpu.dram.bandwidth.bytes_per_s()
}

#[cfg(test)]
mod tests {
    use lumacycle_arch::Catalog;

    use super::*;
    use crate::Options;

    fn v100() -> Gpu {
        Catalog::embedded().get("v100-pcie-16gb").unwrap().gpu
    }

    fn watts(gpu: &Gpu, options: Options, events: &Events) -> f64 {
        of(&GpuEngine::new(gpu).with(options), events).total_pj() / events.time_ns * 1e-3
    }

    #[test]
    fn voltage_falls_with_the_clock_down_to_its_floor() {
        let gpu = v100();
        let boost = gpu.clocks.boost.hz();
        let at = |share: f64| relative_voltage(&gpu, share * boost, 1.0);
        assert!((at(1.0) - 1.0).abs() < 1e-9);
        assert!(at(0.9) < at(1.0));
        assert!((at(0.2) - gpu.power.voltage_floor).abs() < 1e-9);
    }

    #[test]
    fn idle_sms_keep_a_share_of_their_clock_energy() {
        let gpu = v100();
        let busy = at_rest(&GpuEngine::new(&gpu), 1e6, 1.0).clock_pj;
        let idle = at_rest(&GpuEngine::new(&gpu), 1e6, 0.0).clock_pj;
        assert!((idle / busy - gpu.power.idle_sm_share).abs() < 1e-9);
    }

    #[test]
    fn constant_operands_take_less() {
        let gpu = v100();
        let events = Events {
            time_ns: 1e6,
            active_sms: 1.0,
            issued: 1e9,
            fp32: 1e9,
            dram_bytes: 5e8,
            ..Events::default()
        };
        let [varied, operands, all] = [Data::Varied, Data::ConstantOperands, Data::Constant]
            .map(|data| watts(&gpu, Options::default(), &Events { data, ..events }));
        assert!(varied > operands && operands > all, "{varied} {operands} {all}");
    }

    #[test]
    fn leakage_follows_the_temperature_and_doubles() {
        let gpu = v100();
        let at = |celsius: Option<f64>, clock: Option<f64>| {
            let options = Options { temperature_c: celsius, clock_hz: clock, ..Options::default() };
            let engine = GpuEngine::new(&gpu).with(options);
            at_rest(&engine, 1e9, 0.0).total_pj() * 1e-12
        };
        let usual = gpu.power.temperature_c;
        assert_eq!(at(None, None), at(Some(usual), None));
        let step = gpu.power.leakage_doubling_c;
        let more = |steps: f64| at(Some(usual + steps * step), None) - at(None, None);
        // 815 mm2 at 20 mW and 70 degrees is 16 W; 12 at 60 degrees, and half at 35.
        assert!((more(1.0) - 815.0 * 0.02 * 0.758).abs() < 0.1, "{}", more(1.0));
        assert!((more(2.0) / more(1.0) - 3.0).abs() < 1e-9 && more(-1.0) < 0.0);
        // A lower voltage leaks less, however few clocks there are.
        let low = Some(gpu.clocks.base.hz() * 0.5);
        let slow = at(Some(usual + step), low) - at(None, low);
        let voltage = relative_voltage(&gpu, gpu.clocks.base.hz() * 0.5, 1.0);
        assert!((slow / more(1.0) - voltage * voltage).abs() < 0.02, "{slow}");
    }

    #[test]
    fn no_board_draws_less_than_nothing_in_the_cold() {
        let catalog = Catalog::embedded();
        for id in catalog.names() {
            let gpu = catalog.get(id).unwrap().gpu;
            let options = Options { temperature_c: Some(0.0), ..Options::default() };
            let rest = at_rest(&GpuEngine::new(&gpu).with(options), 1e9, 0.0);
            let usual = at_rest(&GpuEngine::new(&gpu), 1e9, 0.0);
            let cold = rest.total_pj() / usual.total_pj();
            assert!((0.3..1.0).contains(&cold), "{id}: {cold}");
        }
    }

    #[test]
    fn a_slower_memory_clock_draws_less() {
        let gpu = v100();
        let events = Events { time_ns: 1e6, active_sms: 1.0, ..Events::default() };
        let half =
            Options { mem_clock_hz: Some(gpu.memory_clock_hz() / 2.0), ..Options::default() };
        let saved = watts(&gpu, Options::default(), &events) - watts(&gpu, half, &events);
        assert!((saved - idle_dram_watts(&gpu) / 2.0).abs() < 1e-6, "{saved}");
    }

    #[test]
    fn lanes_without_a_thread_take_nothing() {
        let gpu = v100();
        let full =
            Events { time_ns: 1e6, active_sms: 1.0, issued: 1e9, fp32: 1e9, ..Events::default() };
        let mut half = full;
        half.masked(0.5);
        let rest = Events { issued: 0.0, fp32: 0.0, ..full };
        let [full, half, rest] =
            [full, half, rest].map(|events| watts(&gpu, Options::default(), &events));
        assert!(((half - rest) / (full - rest) - 0.5).abs() < 1e-9, "{full} {half} {rest}");
    }
}
