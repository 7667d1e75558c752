//! A kernel known only by its profiler counters: instructions by kind and transactions by
//! memory level, as totals over the launch, and how many warps were resident.
//!
//! What a profiler counts is taken as it is: no cache is simulated. Left out: the order of
//! instructions, barriers, and addresses, of which counters tell nothing.

use serde::{Deserialize, Serialize};

use crate::kernel::{Demand, Direction, Pattern};
use crate::{Kernel, KernelClass, Launch, Raster, Stage, Stream};

/// Counter totals of a launch. Instruction counts are warp instructions, the rest bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// Launch shape.
    pub launch: Launch,
    /// fp32 instructions.
    #[serde(default)]
    pub fp32: f64,
    /// fp64 instructions.
    #[serde(default)]
    pub fp64: f64,
    /// Conversions that pass the fp64 pipe, where they are known; else they are inferred from the
    /// rest.
    #[serde(default)]
    pub fp64_conversions: Option<f64>,
    /// Packed half instructions.
    #[serde(default)]
    pub fp16x2: f64,
    /// Integer and logic instructions.
    #[serde(default)]
    pub int32: f64,
    /// Control-flow instructions.
    #[serde(default)]
    pub control: f64,
    /// Instructions of no other kind (moves, conversions).
    #[serde(default)]
    pub other: f64,
    /// Special-function instructions.
    #[serde(default)]
    pub sfu: f64,
    /// Memory instructions.
    #[serde(default)]
    pub memory: f64,
    /// Those of them that wait for L1 or what lies below; 0 = not known.
    #[serde(default)]
    pub loads: f64,
    /// Those of them that wait for shared memory.
    #[serde(default)]
    pub shared_loads: f64,
    /// Shared-memory wavefronts (transactions).
    #[serde(default)]
    pub shared_wavefronts: f64,
    /// Passes of L1's data array by requests whose lanes collide on banks; 0 = not known.
    #[serde(default)]
    pub l1_wavefronts: f64,
    /// Bytes asked of L1 by reads.
    #[serde(default)]
    pub l1_bytes: f64,
    /// Bytes asked of L2 by reads.
    #[serde(default)]
    pub l2_read_bytes: f64,
    /// Bytes asked of L2 by writes.
    #[serde(default)]
    pub l2_write_bytes: f64,
    /// Bytes read from DRAM.
    #[serde(default)]
    pub dram_read_bytes: f64,
    /// Bytes written to DRAM.
    #[serde(default)]
    pub dram_write_bytes: f64,
    /// Resident warps on an SM that has any, on average over time; 0 = as many as fit.
    #[serde(default)]
    pub resident_warps: f64,
    /// Threads of a warp that an instruction works for, on average, at most 32; 0 = all of them.
    #[serde(default)]
    pub active_threads: f64,
}

impl Counters {
    /// Of a launch of which nothing has been counted yet.
    pub const fn none(launch: Launch) -> Self {
        Self {
            launch,
            fp32: 0.0,
            fp64: 0.0,
            fp64_conversions: None,
            fp16x2: 0.0,
            int32: 0.0,
            control: 0.0,
            other: 0.0,
            sfu: 0.0,
            memory: 0.0,
            loads: 0.0,
            shared_loads: 0.0,
            shared_wavefronts: 0.0,
            l1_wavefronts: 0.0,
            l1_bytes: 0.0,
            l2_read_bytes: 0.0,
            l2_write_bytes: 0.0,
            dram_read_bytes: 0.0,
            dram_write_bytes: 0.0,
            resident_warps: 0.0,
            active_threads: 0.0,
        }
    }

    /// Warp instructions executed.
    pub const fn instructions(&self) -> f64 {
        self.fp32
            + self.fp64
            + self.fp16x2
            + self.int32
            + self.control
            + self.other
            + self.sfu
            + self.memory
    }

    /// fp32 and fp64 instructions × 32 threads × two operations (taken as multiply-adds).
    pub fn flops(&self) -> f64 {
        64.0 * (self.fp32 + self.fp64 + 2.0 * self.fp16x2)
    }

    /// DRAM traffic.
    pub fn dram_bytes(&self) -> f64 {
        self.dram_read_bytes + self.dram_write_bytes
    }

    /// The launch: a main loop of as many rounds as each warp has memory instructions.
    pub fn kernel(&self) -> Kernel {
        let ctas = self.launch.ctas() as f64;
        let warps = self.launch.warps() as f64 * ctas;
        let rounds = libm::ceil((self.memory / warps).max(1.0));
        let per = |total: f64| total / ctas / rounds;
        let mut stage = Stage::once("main loop");
        stage.iterations = rounds;
        stage.demand = Demand {
            fp32: per(self.fp32),
            fp64: per(self.fp64),
            fp16x2: per(self.fp16x2),
            int32: per(self.int32 + self.control + self.other),
            sfu: per(self.sfu),
            memory: per(self.memory),
            control: 0.0,
            tensor_macs: 0.0,
            tensor_instructions: 0.0,
            shared_wavefronts: per(self.shared_wavefronts),
            l1_wavefronts: 0.0,
            spared_operands: 0.0,
        };
        // Compilers keep about four independent accesses in flight.
        stage.in_flight = 4.0_f64.min(rounds);
        stage.memory_round_trips = f64::from(u8::from(self.l2_read_bytes > 0.0));
        let arithmetic = self.instructions() - self.memory;
        stage.dependent_instructions = arithmetic / warps / rounds / 2.0;
        // The part of the L2 traffic that missed is streamed; the rest is re-read from L2.
        for (label, direction, l2, dram) in [
            ("reads", Direction::Read, self.l2_read_bytes, self.dram_read_bytes),
            ("writes", Direction::Write, self.l2_write_bytes, self.dram_write_bytes),
        ] {
            let (l2, dram) = (l2.max(dram), dram);
            if dram > 0.0 {
                stage.streams.push(Stream::streaming(label, direction, per(dram)));
            }
            if l2 > dram {
                stage.streams.push(Stream {
                    label: "L2 hits",
                    direction,
                    bytes: per(l2 - dram),
                    pattern: Pattern::L2Resident,
                });
            }
        }
        Kernel {
            class: KernelClass::Counters,
            variant: "from counters".to_owned(),
            launch: self.launch,
            raster: Raster::flat(self.launch.ctas()),
            tensor: None,
            tensor_from_registers: false,
            stages: vec![stage],
            read_footprint_bytes: self.dram_read_bytes,
            write_footprint_bytes: self.dram_write_bytes,
            then: Vec::new(),
            useful_share: 1.0,
        }
    }
}
