//! A measured row as something whose power can be predicted.
//!
//! Three kinds of rows can be: those with activities of the pipes (how much of its peak each ran
//! at), from which the events of the measured time follow; those of gpu-benches' `gpu-roofline`, of
//! which the rates are recorded: multiply-adds on constants, and bytes streamed; and those whose
//! kernel was counted by a profiler, in `kernel_counters_dvfs` (the same run, else the same program
//! on another GPU). All are held at the clocks of the row. A row of which nothing but a name is
//! known is left out.

use std::collections::BTreeMap;

use lumacycle_arch::{Catalog, Gpu};
use lumacycle_engines::gpu::energy::{self, Data, Events};
use lumacycle_engines::{Engine, GpuEngine, Options};
use lumacycle_workloads::ops::{Counters, Operation};

use crate::measurements::Row;
use crate::{boards, counters};

/// Threads of a warp.
const WARP: f64 = 32.0;

/// Instructions of pipes without an activity, for each of a pipe with one. Of 28 programs counted on a
/// P100 half execute more than 7.8 instructions for each fp32 or fp64 one, 3.2 of them integer; where half of
/// those are multiply-adds, which take the fp32 pipe, this leaves 2.
const UNSEEN: f64 = 2.0;

/// What a prediction starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Activities of the pipes, with the measured time.
    Activities,
    /// Profiler counters of the same run.
    Counters,
    /// Profiler counters of the same program on another GPU.
    OtherCounters,
    /// Recorded rates of arithmetic and memory.
    Rates,
}

/// Work of which power can be predicted.
#[derive(Debug, Clone)]
enum Work {
    Activities(Activities),
    Rates(Events),
    Counters(Box<Counters>),
}

/// Shares of peak rates, and the time they were kept up.
#[derive(Debug, Clone, Copy)]
struct Activities {
    time_ns: f64,
    sm: f64,
    fp32: f64,
    fp64: f64,
    fp16: f64,
    tensor: f64,
    dram: f64,
    /// A loop of arithmetic alone.
    arithmetic_only: bool,
    data: Data,
}

/// One measured row.
#[derive(Debug, Clone)]
pub struct Case {
    /// Catalogue entry.
    pub gpu: String,
    /// The board: that entry, or a variant that the source ran.
    pub board: String,
    /// Table and line of the source.
    pub reference: String,
    /// Source and kind of benchmark.
    pub benchmark: String,
    /// Kernel with its input.
    pub kernel: String,
    /// Measured power, in watts.
    pub measured_w: f64,
    /// Measured time, in us; 0 = not recorded.
    pub measured_us: f64,
    /// SM clock, in MHz.
    pub core_mhz: f64,
    /// Memory clock, in MHz; 0 = the usual one.
    pub mem_mhz: f64,
    /// What the prediction starts from.
    pub basis: Basis,
    work: Work,
}

/// Power and time at the clocks of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Predicted {
    /// Average power, in watts.
    pub watts: f64,
    /// The same had the work taken the measured time, in watts; the power model's error without that of
    /// time.
    pub at_measured_time_w: f64,
    /// Time, in us; `None` where the measured one was used.
    pub time_us: Option<f64>,
}

/// Counters by where they were taken.
pub struct CounterTable<'a> {
    by_reference: BTreeMap<&'a str, &'a Row>,
    by_program: BTreeMap<(&'a str, &'a str), &'a Row>,
}

impl<'a> CounterTable<'a> {
    /// Of the rows of `kernel_counters_dvfs`. For another GPU the counters of the newest are taken,
    /// at its highest clock.
    pub fn of(rows: &'a [Row], catalog: &Catalog) -> Self {
        let mut by_reference = BTreeMap::new();
        let mut by_program: BTreeMap<(&str, &str), (u32, u64, &Row)> = BTreeMap::new();
        let mut capability: BTreeMap<&str, u32> = BTreeMap::new();
        for row in rows {
            by_reference.insert(row.text("ref"), row);
            let newest = *capability.entry(row.text("gpu")).or_insert_with(|| {
                catalog.get(row.text("gpu")).map_or(0, |e| e.gpu.gpu.compute_capability)
            });
            let rank = (newest, row.count("coreF").unwrap_or(0));
            let key = (row.text("appName"), row.text("argNo"));
            let better = by_program.get(&key).is_none_or(|(c, f, _)| rank > (*c, *f));
            if better {
                by_program.insert(key, (rank.0, rank.1, row));
            }
        }
        let by_program = by_program.into_iter().map(|(key, (_, _, row))| (key, row)).collect();
        Self { by_reference, by_program }
    }
}

impl Case {
    /// Makes a case of a row of the catalogue's GPU `id`.
    ///
    /// # Errors
    /// Says why it cannot be used.
    pub fn of(
        row: &Row,
        (id, gpu): (&str, &Gpu),
        table: &CounterTable<'_>,
    ) -> Result<Self, String> {
        let measured_w = row.number("power_w").filter(|w| *w > 0.0).ok_or("no measured power")?;
        let positive = |column: &str| row.number(column).filter(|value| *value > 0.0);
        let core_mhz = positive("core_mhz").ok_or("neither clock nor work recorded")?;
        let own = table.by_reference.get(row.text("ref"));
        let other = table.by_program.get(&(row.text("kernel"), row.text("param")));
        let (work, basis) = if row.number("act_sm").is_some() {
            (Work::Activities(activities(row)?), Basis::Activities)
        } else if row.text("benchmark") == "gpu-roofline" {
            (Work::Rates(rates(row)?), Basis::Rates)
        } else if let Some(counted) = own.or(other) {
            let warps = f64::from(gpu.sm.max_threads) / WARP;
            let basis = if own.is_some() { Basis::Counters } else { Basis::OtherCounters };
            (Work::Counters(Box::new(counters::counters(counted, warps)?)), basis)
        } else {
            return Err("nothing but the kernel's name recorded".to_owned());
        };
        Ok(Self {
            gpu: id.to_owned(),
            board: boards::name(id, row.text("source")),
            reference: format!("{} {}", row.text("source"), row.text("ref")),
            benchmark: format!("{} {}", row.text("source"), row.text("benchmark")),
            kernel: format!("{} {}", row.text("kernel"), row.text("param")).trim().to_owned(),
            measured_w,
            measured_us: positive("runtime_us").unwrap_or(0.0),
            core_mhz,
            mem_mhz: positive("mem_mhz").filter(|_| own.is_some()).unwrap_or(0.0),
            basis,
            work,
        })
    }

    /// Predicts power, and time where it is not an input.
    ///
    /// # Errors
    /// When the work cannot run on this GPU.
    pub fn predict(&self, gpu: &Gpu) -> Result<Predicted, String> {
        let options = Options {
            clock_hz: Some(self.core_mhz * 1e6),
            mem_clock_hz: (self.mem_mhz > 0.0).then_some(self.mem_mhz * 1e6),
            ..Options::default()
        };
        let engine = GpuEngine::new(gpu).with(options);
        match &self.work {
            Work::Activities(activities) => Ok(average(&engine, &activities.events(&engine))),
            Work::Rates(events) => Ok(average(&engine, events)),
            Work::Counters(counters) => {
                let operation = Operation::Counters((**counters).clone());
                let cost = engine.price(&operation).map_err(|error| error.to_string())?;
                let active = counters.launch.ctas() as f64 / f64::from(gpu.sm.count);
                let at_rest = energy::at_rest(&engine, cost.time_ns, active).total_pj();
                let watts = |pj: f64, time_ns: f64| pj / time_ns * 1e-3;
                let measured_ns = self.measured_us * 1e3;
                let work_pj = cost.energy.total_pj() - at_rest;
                let usual = watts(cost.energy.total_pj(), cost.time_ns);
                Ok(Predicted {
                    watts: usual,
                    at_measured_time_w: if measured_ns > 0.0 {
                        watts(at_rest, cost.time_ns) + watts(work_pj, measured_ns)
                    } else {
                        usual
                    },
                    time_us: Some(cost.time_ns / 1e3),
                })
            }
        }
    }
}

impl Activities {
    /// The fp32 pipe also multiplies integers. Of the other pipes (integer, memory, control) there is
    /// no activity: programs are taken to issue [`UNSEEN`] instructions to these for each to the fp32 and
    /// fp64 pipes, loops written to reach their peak none.
    fn events(&self, engine: &GpuEngine<'_>) -> Events {
        let gpu = engine.gpu;
        let cycles = engine.clock_hz() * self.time_ns * 1e-9 * f64::from(gpu.sm.count);
        let warps = |share: f64, lanes: f64| share * lanes * cycles / WARP;
        let fp32 = warps(self.fp32, gpu.pipes.fp32) + warps(self.fp16, gpu.pipes.fp16 / 2.0);
        let fp64 = warps(self.fp64, gpu.pipes.fp64);
        let bandwidth = gpu.dram.bandwidth.bytes_per_s() * engine.memory_scale();
        let unseen = if self.arithmetic_only { 0.0 } else { UNSEEN };
        let dram_bytes = self.dram * bandwidth * self.time_ns * 1e-9;
        Events {
            time_ns: self.time_ns,
            active_sms: self.sm,
            issued: (fp32 + fp64) * (1.0 + unseen),
            fp32,
            int32: (fp32 + fp64) * unseen / 2.0,
            fp64,
            tensor_macs: self.tensor * gpu.tensor.fp16_fp32 / 2.0 * cycles,
            l1_bytes: dram_bytes,
            l2_bytes: dram_bytes,
            dram_bytes,
            data: self.data,
            ..Events::default()
        }
    }
}

fn activities(row: &Row) -> Result<Activities, String> {
    let share = |column: &str| row.number(column).unwrap_or(0.0).clamp(0.0, 1.0);
    let time_us = row.number("runtime_us").filter(|t| *t > 0.0).ok_or("no measured time")?;
    // mixbench, cachebench and shmembench compute on constants in memory that was cleared.
    let constant = row.text("benchmark") == "microbenchmark";
    Ok(Activities {
        time_ns: time_us * 1e3,
        sm: share("act_sm"),
        fp32: share("act_fp32"),
        fp64: share("act_fp64"),
        fp16: share("act_fp16"),
        tensor: share("act_tensor"),
        dram: share("act_dram"),
        // The other two read caches and shared memory, an instruction for each word.
        arithmetic_only: row.text("kernel").starts_with("mixbench"),
        data: if constant { Data::Constant } else { Data::Varied },
    })
}

/// Events of one second of gpu-benches' gpu-roofline: each thread streams words of four bytes and
/// does multiply-adds on constants.
fn rates(row: &Row) -> Result<Events, String> {
    let rate = |column: &str| row.number(column).filter(|rate| *rate >= 0.0);
    let (Some(gflops), Some(gbytes)) = (rate("gflops"), rate("dram_gbs")) else {
        return Err("no rates recorded".to_owned());
    };
    let fp32 = gflops * 1e9 / 2.0 / WARP;
    let bytes = gbytes * 1e9;
    Ok(Events {
        time_ns: 1e9,
        active_sms: 1.0,
        issued: fp32 + bytes / 4.0 / WARP,
        fp32,
        l1_bytes: bytes,
        l2_bytes: bytes,
        dram_bytes: bytes,
        data: Data::ConstantOperands,
        ..Events::default()
    })
}

fn average(engine: &GpuEngine<'_>, events: &Events) -> Predicted {
    let watts = energy::of(engine, events).total_pj() / events.time_ns * 1e-3;
    Predicted { watts, at_measured_time_w: watts, time_us: None }
}
