//! What a GPU is: the numbers that the engines need, in the field's units.
//!
//! Clocks and capacities come from datasheets, latencies from microbenchmarks, energies from
//! papers; every value's origin is kept beside it (see [`crate::catalog::Entry::source`]).
//! Left out: texture and ray-tracing units, graphics pipeline, instruction caches.

mod kinds;
mod rules;

use crate::section::{description, section};
use crate::units::{Area, Bandwidth, Bytes, Duration, Energy, Frequency, Power};

pub use kinds::{DramTechnology, Generation};

section! {
    /// Which chip this is.
    Identity / IdentityPartial {
        /// Name as people write it.
        name: String,
        /// Names as `nvidia-smi` and profilers print them, and usual short forms.
        aliases: Vec<String>,
        /// Chip code name, e.g. `GA100`.
        chip: String,
        /// Architecture generation.
        generation: Generation,
        /// CUDA compute capability × 10, e.g. 86.
        compute_capability: u32,
        /// Manufacturing process.
        process: String,
        /// Die area.
        die_area: Area,
    }
}

section! {
    /// SM clock domain.
    Clocks / ClocksPartial {
        /// Guaranteed base clock.
        base: Frequency,
        /// Advertised boost clock.
        boost: Frequency,
        /// Clock seen in sustained compute work without hitting the power limit; the one that
        /// simulations use unless told otherwise.
        typical: Frequency,
    }
}

section! {
    /// Streaming multiprocessors: counts and what limits residency.
    Sm / SmPartial {
        /// Number of SMs.
        count: u32,
        /// Warp instructions issued per clock per SM (one per sub-partition).
        issue_per_clock: f64,
        /// Instructions of a warp that one issue may send: 2 where one for arithmetic and one for
        /// memory can go together (dual issue, up to Pascal).
        dispatch_per_issue: f64,
        /// How well phases that want different resources cover each other when CTAs share the
        /// device: the order p of the norm by which their times add up (1 = one after another,
        /// endless = the longest hides all others).
        overlap_order: f64,
        /// The same inside an SM, between the pipes of its partitions and the memory pipes that these
        /// share.
        pipe_order: f64,
        /// Resident threads at most.
        max_threads: u32,
        /// Resident CTAs at most.
        max_ctas: u32,
        /// 32-bit registers.
        registers: u32,
        /// Registers are allocated to a warp in multiples of this many.
        register_unit: u32,
        /// Shared memory that the resident CTAs can hold together.
        shared_memory: Bytes,
        /// Shared memory that one CTA can hold at most.
        shared_memory_per_cta: Bytes,
        /// Shared memory is allocated in multiples of this.
        shared_unit: Bytes,
        /// Shared memory that the system takes of each CTA.
        shared_reserved: Bytes,
    }
}

section! {
    /// Lanes (thread operations per clock per SM) of the execution pipes and their latency.
    Pipes / PipesPartial {
        /// Single-precision FMA lanes.
        fp32: f64,
        /// Double-precision FMA lanes.
        fp64: f64,
        /// Half-precision FMA lanes (a packed `HFMA2` counts as two).
        fp16: f64,
        /// 32-bit integer lanes.
        int32: f64,
        /// Whether integer instructions take fp32 lanes away (one shared datapath).
        int32_shares_fp32: bool,
        /// Special-function lanes (exp, rsqrt, sin).
        sfu: f64,
        /// Load/store lanes (addresses per clock).
        lsu: f64,
        /// Warp-wide operands that the register files of all sub-partitions deliver per clock.
        register_operands_per_clock: f64,
        /// Dependent-issue latency of FMA and integer instructions, in SM cycles.
        alu_latency_cycles: f64,
        /// Share of an arithmetic pipe of its partition that one warp alone keeps busy.
        single_warp_share: f64,
        /// Cost of a CTA-wide barrier, in SM cycles.
        barrier_cycles: f64,
        /// Share of the rates above that well-scheduled code reaches: what bank conflicts,
        /// instruction fetch and uneven schedulers leave.
        achieved_share: f64,
        /// Issue slots of its scheduler that a control-flow instruction takes (itself included).
        control_slots: f64,
    }
}

section! {
    /// Tensor cores: dense multiply-accumulates per clock per SM by operand type; 0 where the
    /// hardware has none.
    Tensor / TensorPartial {
        /// fp16 operands, fp16 accumulation.
        fp16: f64,
        /// fp16 operands, fp32 accumulation (half the rate on most `GeForce` boards).
        fp16_fp32: f64,
        /// bf16 operands, fp32 accumulation.
        bf16: f64,
        /// TF32 operands.
        tf32: f64,
        /// fp64 operands.
        fp64: f64,
        /// 8-bit integer operands.
        int8: f64,
        /// 4-bit integer operands.
        int4: f64,
        /// 8-bit float operands.
        fp8: f64,
        /// 4-bit float operands.
        fp4: f64,
        /// Share of these rates that instructions with operands in registers (`mma`) reach.
        register_fed_share: f64,
        /// Share of what is left that the main loops of vendor libraries reach.
        achieved_share: f64,
        /// How well tensor cores and the memory pipes that partitions share cover each other, as `sm.pipe_order` says of
        /// the other pipes.
        pipe_order: f64,
        /// Rate multiplier of 2:4 structured sparsity (1 = none).
        sparsity: f64,
        /// Dependent-issue latency of one warp-level MMA, in SM cycles.
        latency_cycles: f64,
        /// Whether operands stream from shared memory without passing registers (wgmma, tcgen05).
        operands_from_shared: bool,
        /// Whether global loads can bypass registers on their way to shared memory (`cp.async`, TMA).
        async_copy: bool,
    }
}

section! {
    /// Shared memory of an SM.
    Shared / SharedPartial {
        /// Bytes per clock per SM (32 banks × 4 bytes = one wavefront).
        bytes_per_clock: f64,
        /// Load latency, in SM cycles.
        latency_cycles: f64,
    }
}

section! {
    /// L1 data cache of an SM (sectored, write-through).
    L1 / L1Partial {
        /// Capacity when no shared memory is carved out of it.
        capacity: Bytes,
        /// Whether shared memory is carved out of the same array.
        unified_with_shared: bool,
        /// Line size.
        line: Bytes,
        /// Sector size: the unit that is filled.
        sector: Bytes,
        /// Hit bandwidth in bytes per clock per SM.
        bytes_per_clock: f64,
        /// Distinct lines of one warp-wide request that are looked up per clock.
        lines_per_clock: f64,
        /// How often a request whose lanes collide on banks passes the data array when it misses.
        miss_passes: f64,
        /// Hit latency, in SM cycles.
        latency_cycles: f64,
        /// Sector misses that may be outstanding per SM.
        outstanding_sectors: f64,
    }
}

section! {
    /// L2 cache and the crossbar in front of it.
    L2 / L2Partial {
        /// Capacity.
        capacity: Bytes,
        /// Slices (one request per clock each).
        slices: u32,
        /// Associativity.
        ways: u32,
        /// Line size.
        line: Bytes,
        /// Achievable read bandwidth of all slices together, in bytes per SM clock.
        bytes_per_clock: f64,
        /// How many SMs one read of the slices serves, at most, where several ask for the same lines at about the same
        /// time (1: each is served by itself).
        shared_reads: f64,
        /// Most that one SM can take from the crossbar, in bytes per SM clock.
        sm_bytes_per_clock: f64,
        /// Share of the capacity up to which data that a kernel reads again is all found there
        /// (partitions that keep copies of each other's lines lower it).
        reach: f64,
        /// Multiple of the capacity at which nothing of it is found any more.
        fade: f64,
        /// Clocks of a slice for one thread's 32-bit atomic.
        atomic_clocks: f64,
        /// Hit latency of the near partition, in SM cycles.
        latency_cycles: f64,
        /// Hit latency of the far partition, in SM cycles (as near where there is one only).
        far_latency_cycles: f64,
    }
}

section! {
    /// Device memory.
    Dram / DramPartial {
        /// Technology.
        technology: DramTechnology,
        /// Capacity.
        capacity: Bytes,
        /// Data pins.
        bus_bits: u32,
        /// Independent channels.
        channels: u32,
        /// Banks per channel.
        banks: u32,
        /// Bytes of one row buffer.
        row: Bytes,
        /// Bytes of a burst: the least that one access brings.
        burst: Bytes,
        /// Row cycle time: between two activations of one bank.
        row_cycle: Duration,
        /// Requests per channel that wait in the controller and can be reordered.
        queue: f64,
        /// Banks of a channel that are at work at once while CTAs walk through far rows in step.
        banks_in_step: f64,
        /// Peak data rate.
        bandwidth: Bandwidth,
        /// Share of the peak that kernels reach which only read, or only write.
        efficiency: f64,
        /// The same for kernels that do both: the bus turns around.
        mixed_efficiency: f64,
        /// Unloaded latency of a read that misses L2, seen from the SM.
        latency: Duration,
        /// Latency when all bandwidth is taken, over the unloaded.
        loaded_latency: f64,
        /// Energy to move a byte, device and interface.
        energy_per_byte: Energy,
        /// Energy that devices and interface take for each byte that they could have moved,
        /// whether they do or not: clocks and refresh.
        idle_energy_per_byte: Energy,
    }
}

section! {
    /// What counters do not tell: how kernels of which only counters are known use an SM.
    Counted / CountedPartial {
        /// Loads that a warp has under way at once.
        loads_in_flight: f64,
        /// Share of the peak of shared memory and L1 that they reach.
        on_chip_share: f64,
        /// fp32 instructions of a warp that can follow each other without waiting for the result.
        independent_fp32: f64,
        /// Cycles until a warp goes on after a special function, beyond those of another instruction.
        special_cycles: f64,
        /// Conversions that pass a narrow fp64 pipe, for each load.
        conversions_per_load: f64,
        /// At most so many for each fp64 instruction.
        conversions_per_fp64: f64,
        /// At most this share of the instructions of no other kind.
        conversions_of_other: f64,
        /// Order of the norm by which resources cover each other where warps run freely.
        order_free: f64,
        /// The same where more than a pair of warps pass values through shared memory and so meet at
        /// barriers.
        order_meeting: f64,
        /// Share of the ports between memory channels and L2 that streams reach.
        channel_port_share: f64,
        /// Whether these ports run at the SM's clock.
        l2_at_sm_clock: bool,
    }
}

section! {
    /// What starting work costs.
    Launch / LaunchPartial {
        /// Duration that a profiler records for an empty kernel.
        kernel: Duration,
        /// CTAs that the whole GPU can start per SM clock.
        ctas_per_clock: f64,
        /// Code that an SM fetches per clock the first time a kernel runs through it.
        fetch_bytes_per_clock: f64,
        /// Shortest gap between dependent kernels of one stream.
        gap: Duration,
        /// From the end of a kernel whose result the host waits for to the start of the next; as
        /// long as a launch takes to an idle GPU.
        host_wait: Duration,
        /// Duration of an empty memory copy or set.
        memory_operation: Duration,
    }
}

section! {
    /// Links off the chip, one direction.
    Link / LinkPartial {
        /// Host link: achieved with pinned memory.
        host: Bandwidth,
        /// GPUs that share one uplink to the host (ports of a switch), and its bandwidth when they copy at once.
        host_sharers: u32,
        /// Share of the rate of streaming kernels that copies within device memory reach, in (0, 1].
        copy_share: f64,
        /// GPU-to-GPU link, all lanes of one GPU (host link where there is none).
        peer: Bandwidth,
        /// Latency of a GPU-to-GPU hop.
        peer_latency: Duration,
    }
}

section! {
    /// Board power and energy per event, at the voltage of the boost clock.
    PowerSpec / PowerSpecPartial {
        /// Board power limit.
        limit: Power,
        /// How long work may draw more than that before the clock gives way.
        limit_delay: Duration,
        /// Board power when idle.
        idle: Power,
        /// Constant power of a busy board that no event explains (leakage, clocks, fans).
        constant: Power,
        /// Clock tree, schedulers and leakage of one SM with work, for each of its clocks.
        sm_clock: Energy,
        /// Share of that which an SM without work keeps.
        idle_sm_share: f64,
        /// What the energies of arithmetic and of bytes on the chip are multiplied with: published
        /// figures give their ratios, measured boards their size.
        event_scale: f64,
        /// Clock at which chips of this generation run at the voltage that energies are given for:
        /// boards that boost less far run at a lower one.
        nominal_clock: Frequency,
        /// How supply voltage follows the clock: so many times as much of the voltage at the nominal
        /// clock is given up as of that clock.
        voltage_slope: f64,
        /// Least supply voltage, over that at the nominal clock.
        voltage_floor: f64,
        /// The same while memory runs at less than a third of its clock.
        voltage_floor_light: f64,
        /// Share of the energy of arithmetic that is left when its operands do not change.
        constant_operand_share: f64,
        /// Share of the energy of moving bytes that is left when they are all alike.
        constant_data_share: f64,
        /// One fp32 fused multiply-add of one thread.
        fp32_fma: Energy,
        /// One integer operation of one thread.
        int32: Energy,
        /// One fp64 fused multiply-add of one thread.
        fp64_fma: Energy,
        /// One special-function operation of one thread.
        sfu: Energy,
        /// One fp16 multiply-accumulate in a tensor core.
        tensor_fp16_mac: Energy,
        /// Share of that which is the multiplier's and grows with the square of the significand; the
        /// rest, moving operands and adding up, grows with the width of the operands.
        tensor_multiplier_share: f64,
        /// Fetch, decode, schedule and register access of one warp instruction.
        issue: Energy,
        /// One byte from shared memory.
        shared_byte: Energy,
        /// One byte from L1.
        l1_byte: Energy,
        /// One byte from L2 over the crossbar.
        l2_byte: Energy,
        /// Temperature of the chip that the figures above are for, in degrees Celsius, from 0 to 110; others
        /// are asked for with `--temperature`.
        temperature_c: f64,
        /// Leakage of a square millimetre of the die, at `leakage_at_c`; part of the figures above.
        leakage_per_mm2: Power,
        /// Temperature at which leakage is as stated, in degrees Celsius.
        leakage_at_c: f64,
        /// Degrees for which leakage doubles.
        leakage_doubling_c: f64,
    }
}

description! {
    /// A complete GPU description.
    Gpu / GpuPartial, "GPU" {
    /// Which chip this is.
    gpu: Identity / IdentityPartial,
    /// SM clocks.
    clocks: Clocks / ClocksPartial,
    /// SM counts and residency limits.
    sm: Sm / SmPartial,
    /// Execution pipes.
    pipes: Pipes / PipesPartial,
    /// Tensor cores.
    tensor: Tensor / TensorPartial,
    /// Shared memory.
    shared: Shared / SharedPartial,
    /// L1 data cache.
    l1: L1 / L1Partial,
    /// L2 cache.
    l2: L2 / L2Partial,
    /// Device memory.
    dram: Dram / DramPartial,
    /// Kernels known by their counters.
    counted: Counted / CountedPartial,
    /// Launch costs.
    launch: Launch / LaunchPartial,
    /// Off-chip links.
    link: Link / LinkPartial,
    /// Power and energy.
    power: PowerSpec / PowerSpecPartial,
}}

impl Gpu {
    /// Memory clock that the DRAM bandwidth belongs to, in Hz, as drivers and profilers report it:
    /// for every technology, the one at which each data pin carries two bits per clock.
    pub fn memory_clock_hz(&self) -> f64 {
        4.0 * self.dram.bandwidth.bytes_per_s() / f64::from(self.dram.bus_bits.max(1))
    }

    /// Achievable DRAM rate for streams of which `write_share` (0 to 1) are writes, in bytes/s.
    /// From a third of either kind on, traffic counts as fully mixed.
    pub fn stream_bytes_per_s(&self, write_share: f64) -> f64 {
        let mixed = (3.0 * write_share.min(1.0 - write_share)).clamp(0.0, 1.0);
        let Dram { efficiency, mixed_efficiency, .. } = self.dram;
        self.dram.bandwidth.bytes_per_s() * (efficiency + mixed * (mixed_efficiency - efficiency))
    }
}
