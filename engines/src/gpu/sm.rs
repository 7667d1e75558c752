//! Time of a set of resident CTAs on one SM.
//!
//! Each stage keeps every pipe busy for its demand; the busiest pipe of the partitions and the
//! busiest of the memory pipes that these share bound the set, and hide each other by a norm
//! (`sm.pipe_order`); the chain of dependent operations bounds each CTA. Co-resident CTAs are in different stages at any
//! moment, so with many of them the bounds of different stages overlap; a lone CTA goes through
//! its stages one after another.

use lumacycle_arch::Gpu;
use lumacycle_workloads::kernel::{Demand, Stage};
use lumacycle_workloads::{Kernel, TensorType};

use super::GpuEngine;
use super::traffic::{Movement, StageMovement};
use crate::cost::Resource;

/// Threads of a warp.
pub const WARP: f64 = 32.0;

/// The per-SM resources, in the order of `pipe_cycles`.
pub const PIPES: [Resource; 12] = [
    Resource::Issue,
    Resource::RegisterFile,
    Resource::Fp32,
    Resource::Fp64,
    Resource::Fp16,
    Resource::Int32,
    Resource::Sfu,
    Resource::LoadStore,
    Resource::Tensor,
    Resource::SharedMemory,
    Resource::L1,
    Resource::L2,
];

/// So many of `PIPES`, from the first, are parts of schedulers' partitions.
const SCHEDULED: usize = 9;

/// Places of the pipes in `PIPES` that a scheduler feeds with instructions of one warp at a time.
const ARITHMETIC: [usize; 4] = [2, 3, 4, 5];

/// Place of the load/store pipe in `PIPES`.
const LOAD_STORE: usize = 7;

/// Dense multiply-accumulates per clock per SM for an operand type.
pub fn tensor_rate(gpu: &Gpu, kind: TensorType) -> f64 {
    let tensor = &gpu.tensor;
    match kind {
        TensorType::Fp16 => tensor.fp16,
        TensorType::Fp16Acc32 => tensor.fp16_fp32,
        TensorType::Bf16 => tensor.bf16,
        TensorType::Tf32 => tensor.tf32,
        TensorType::Fp64 => tensor.fp64,
        TensorType::Int8 => tensor.int8,
        TensorType::Int4 => tensor.int4,
        TensorType::Fp8 => tensor.fp8,
        TensorType::Fp4 => tensor.fp4,
    }
}

/// Cycles that one iteration of a stage keeps each resource of `PIPES` busy, for one CTA.
fn pipe_cycles(
    engine: &GpuEngine<'_>,
    kernel: &Kernel,
    stage: &Stage,
    movement: &Movement,
    moved: StageMovement,
) -> [f64; PIPES.len()] {
    let gpu = engine.gpu;
    let Demand { fp32, fp16x2, fp64, int32, sfu, memory, .. } = stage.demand;
    let pipes = &gpu.pipes;
    let tensor = match kernel.tensor {
        Some(kind) if stage.demand.tensor_macs > 0.0 => {
            let share =
                if kernel.tensor_from_registers { gpu.tensor.register_fed_share } else { 1.0 };
            stage.demand.tensor_macs / (tensor_rate(gpu, kind) * share).max(f64::MIN_POSITIVE)
        }
        _ => 0.0,
    };
    let StageMovement { l1_cycles, below_l1_bytes, miss_share, .. } = moved;
    let passes = 1.0 + (gpu.l1.miss_passes - 1.0) * miss_share;
    // Shared datapaths: integer work takes fp32 lanes away.
    let fp32_work = if pipes.int32_shares_fp32 { fp32 + int32 } else { fp32 };
    let latency = read_latency_cycles(engine, movement, 0.0);
    // Little's law: sectors in flight over latency bound what one SM can pull.
    let in_flight_bytes = gpu.l1.outstanding_sectors * gpu.l1.sector.bytes();
    let port = gpu.l2.sm_bytes_per_clock.min(in_flight_bytes / latency.max(1.0));
    let l1_data = l1_cycles.max(stage.demand.l1_wavefronts * passes);
    let shared = stage.demand.shared_wavefronts * 128.0 / gpu.shared.bytes_per_clock;
    // One array serves both where they are one memory. Copies of tiles pass it once, on their way
    // into shared memory, and are counted there.
    let one_array = gpu.l1.unified_with_shared && stage.demand.l1_wavefronts > 0.0;
    let with_shared = if one_array { shared } else { 0.0 };
    let mut cycles = [
        issue_slots(gpu, &stage.demand) / gpu.sm.issue_per_clock,
        stage.demand.register_operands() / gpu.pipes.register_operands_per_clock,
        fp32_work * WARP / pipes.fp32,
        fp64 * WARP / pipes.fp64,
        fp16x2 * 2.0 * WARP / pipes.fp16,
        int32 * WARP / pipes.int32,
        sfu * WARP / pipes.sfu,
        memory * WARP / pipes.lsu,
        tensor,
        shared,
        l1_data + with_shared,
        below_l1_bytes / port,
    ];
    for (index, (cycles, resource)) in cycles.iter_mut().zip(PIPES).enumerate() {
        let achieved = match resource {
            Resource::Tensor => gpu.tensor.achieved_share,
            _ if index < SCHEDULED => gpu.pipes.achieved_share,
            _ => 1.0,
        };
        *cycles /= engine.relief(resource) * achieved;
    }
    cycles
}

/// Slots of schedulers that instructions take: one each, or a slot for one of each kind where an
/// instruction for memory can go together with another.
fn issue_slots(gpu: &Gpu, demand: &Demand) -> f64 {
    let all = demand.instructions();
    let of_one_kind = demand.memory.max(all - demand.memory);
    (all / gpu.sm.dispatch_per_issue).max(of_one_kind)
}

/// Latency of an average read of this kernel, in SM cycles, while `load` (0 to 1) of DRAM's
/// bandwidth is taken.
pub fn read_latency_cycles(engine: &GpuEngine<'_>, movement: &Movement, load: f64) -> f64 {
    let gpu = engine.gpu;
    let near_far = f64::midpoint(gpu.l2.latency_cycles, gpu.l2.far_latency_cycles);
    let queued = 1.0 + (gpu.dram.loaded_latency - 1.0) * load;
    let dram = engine.dram_latency_ns() * 1e-9 * engine.clock_hz() * queued;
    let missed = 1.0 - movement.read_l1;
    let from_dram = movement.read_dram.min(missed);
    movement.read_l1 * gpu.l1.latency_cycles
        + (missed - from_dram) * near_far
        + from_dram * dram.max(near_far)
}

/// What one SM needs for a set of CTAs.
#[derive(Debug, Clone, PartialEq)]
pub struct SmTime {
    /// Cycles from the first start to the last end.
    pub cycles: f64,
    /// Cycles each of `PIPES` is busy.
    pub busy: [f64; PIPES.len()],
    /// Cycles of the chain of dependent operations of one CTA.
    pub chain: f64,
    /// Cycles of it in which it waits for memory, beyond what is loaded ahead.
    pub waits: f64,
    /// Cycles by which waiting lengthens the stages that all CTAs are in together; in `cycles`, but not in `waits`.
    pub apart_waits: f64,
    /// The same for the warp with the longest program, alone.
    pub longest_chain: f64,
}

/// Two times of which the longer hides the shorter all but for what the order says.
fn norm(a: f64, b: f64, order: f64) -> f64 {
    let longest = a.max(b);
    if longest <= 0.0 {
        return 0.0;
    }
    let ratio = a.min(b) / longest;
    longest * libm::pow(1.0 + libm::pow(ratio, order), 1.0 / order)
}

/// What a set of CTAs needs of the two stations that they come to in turn, and the time they spend at
/// neither, in cycles of one CTA.
struct Turns {
    /// The busiest pipe.
    service: f64,
    /// The pipes that a warp uses after it (its softmax after its product), one after another.
    after: f64,
    /// Waiting for memory.
    waits: f64,
}

/// Time of so many `customers` that each need both stations of `turns`. While one waits or is at the
/// other station the others may have the pipe, but nothing keeps them from wanting it at the same
/// time: a closed network of queues, by mean value analysis (Reiser and Lavenberg 1980).
fn queued(customers: f64, turns: &Turns) -> f64 {
    let (mut at_pipe, mut at_other, mut time) = (0.0, 0.0, 0.0);
    let whole = libm::floor(customers).max(1.0);
    for present in 1..=whole as u32 {
        let pipe = turns.service * (1.0 + at_pipe);
        let other = turns.after * (1.0 + at_other);
        time = turns.waits + pipe + other;
        if time <= 0.0 {
            return 0.0;
        }
        at_pipe = f64::from(present) * pipe / time;
        at_other = f64::from(present) * other / time;
    }
    time * customers / whole
}

/// Time of `resident` CTAs that run together on one SM, whose reads take so many cycles.
pub fn resident_set(
    engine: &GpuEngine<'_>,
    kernel: &Kernel,
    movement: &Movement,
    resident: f64,
    latency_cycles: f64,
) -> SmTime {
    let gpu = engine.gpu;
    let latency = latency_cycles / engine.relief(Resource::Latency);
    // A warp stays on its scheduler: fewer warps than schedulers leave some idle.
    let warps = resident * kernel.launch.warps() as f64;
    let schedulers = (warps / gpu.sm.issue_per_clock).min(1.0);
    let mut busy = [0.0; PIPES.len()];
    // Of stages that cover each other, and the time of those that don't.
    let (mut mixed, mut apart) = (busy, Apart::default());
    let (mut chain, mut longest_chain, mut in_step, mut waits) = (0.0, 0.0, 0.0, 0.0);
    // Work that follows the busiest pipe's in a warp, and how many warps of a CTA share a scheduler
    // there.
    let (mut after, mut sharing) = (0.0, 1.0_f64);
    let mut all_waits = 0.0;
    for (stage, moved) in kernel.stages.iter().zip(&movement.stages) {
        let cycles = pipe_cycles(engine, kernel, stage, movement, *moved);
        let mut set = cycles;
        for (index, (set, total)) in set.iter_mut().zip(&mut busy).enumerate() {
            // The first nine are per scheduler; shared memory, L1 and L2 port are not.
            let scale = if index < SCHEDULED { schedulers } else { 1.0 };
            *set *= resident / scale;
            *total += *set * stage.iterations;
        }
        if stage.apart {
            let pipes = throughput_of(engine, kernel, &set);
            apart.add(engine, stage, (pipes, resident), latency, (movement, moved));
            continue;
        }
        for (total, set) in mixed.iter_mut().zip(set) {
            *total += set * stage.iterations;
        }
        let longest = set.iter().copied().fold(0.0, f64::max);
        let own = longest / resident;
        // What one CTA needs when it has the SM to itself.
        let in_sequence = stage.in_sequence_warps > 0;
        let one = if in_sequence {
            // Warps of a CTA that share a scheduler fill each other's gaps.
            // Fragments are loaded ahead of the products that take them.
            let arithmetic: f64 = cycles[2..SCHEDULED].iter().sum::<f64>() - cycles[LOAD_STORE];
            let all = arithmetic / schedulers;
            sharing = (f64::from(stage.in_sequence_warps) / gpu.sm.issue_per_clock).max(1.0);
            after += stage.iterations * (all - own).max(0.0);
            own.max(all / sharing)
        } else {
            own
        };
        let dependent = stage.dependent_instructions * gpu.pipes.alu_latency_cycles
            + stage.dependent_tensor * gpu.tensor.latency_cycles;
        // Between a barrier and the first use of shared memory a CTA's own pipes run dry.
        let bubble = stage.shared_round_trips * gpu.shared.latency_cycles
            + stage.barriers * gpu.pipes.barrier_cycles;
        let memory = stage.memory_round_trips * latency;
        let relief = engine.relief(Resource::Latency);
        // A warp alone on its scheduler leaves slots of the pipe free.
        let per_warp = gpu.sm.issue_per_clock / (kernel.launch.warps().max(1) as f64);
        let arithmetic = ARITHMETIC.iter().map(|&index| cycles[index]).fold(0.0, f64::max);
        let single = arithmetic * per_warp / gpu.pipes.single_warp_share;
        let work = (dependent / relief).max(one).max(single) + bubble / relief;
        // Loads of later iterations are under way while this one computes; without software
        // pipelining a CTA waits for its loads, then works.
        // Nor can more iterations be in flight than there are.
        let in_flight = stage.in_flight.min(stage.iterations);
        let ahead = in_flight > 1.0 || stage.ahead;
        let per_iteration = if ahead { (memory / in_flight).max(work) } else { memory + work };
        chain += stage.iterations * per_iteration;
        all_waits += stage.iterations * memory / in_flight.max(1.0);
        if !ahead {
            waits += stage.iterations * memory;
        }
        if in_sequence {
            // Barriers and latencies of a warp's own turn.
            waits += stage.iterations * (work - one).max(0.0);
        }
        longest_chain += stage.longest_iterations.max(stage.iterations)
            * if in_sequence { per_iteration } else { memory + (dependent + bubble) / relief };
        in_step += stage.iterations * per_iteration.max(longest);
    }
    let throughput = throughput_of(engine, kernel, &mixed);
    let customers = resident * sharing;
    let turns = Turns { service: throughput / customers, after: after / sharing, waits };
    let overlapped = throughput.max(chain).max(queued(customers, &turns));
    let mixed = overlapped + (in_step - overlapped).max(0.0) / resident.max(1.0);
    SmTime {
        cycles: mixed + apart.working + apart.waiting,
        busy,
        chain,
        waits: all_waits,
        apart_waits: apart.waiting,
        longest_chain,
    }
}

/// Cycles for which a set of CTAs keeps the busiest pipes. Partitions wait for the memory pipes that they share, and the
/// other way round; tensor cores that read shared memory by themselves wait for nobody's instructions.
fn throughput_of(engine: &GpuEngine<'_>, kernel: &Kernel, busy: &[f64; PIPES.len()]) -> f64 {
    let own_operands = kernel.tensor.is_some() && !kernel.tensor_from_registers;
    let own = busy[..SCHEDULED].iter().copied().fold(0.0, f64::max);
    let shared = busy[SCHEDULED..].iter().copied().fold(0.0, f64::max);
    if own_operands {
        return own.max(shared);
    }
    let gpu = engine.gpu;
    let order = if kernel.tensor.is_some() { gpu.tensor.pipe_order } else { gpu.sm.pipe_order };
    norm(own, shared, order)
}

/// Cycles of the stages that all CTAs of a set are in together.
#[derive(Debug, Default)]
struct Apart {
    /// While pipes work, or one warp's chain runs.
    working: f64,
    /// By how much waiting for memory lengthens that.
    waiting: f64,
}

impl Apart {
    /// Adds a stage whose pipes so many CTAs together keep busy for so many cycles. `latency` is that of the kernel's
    /// reads on average; the stage waits for its own.
    fn add(
        &mut self,
        engine: &GpuEngine<'_>,
        stage: &Stage,
        (pipes, resident): (f64, f64),
        latency: f64,
        (movement, moved): (&Movement, &StageMovement),
    ) {
        let gpu = engine.gpu;
        let chain = stage.dependent_instructions * gpu.pipes.alu_latency_cycles
            + stage.dependent_tensor * gpu.tensor.latency_cycles
            + stage.shared_round_trips * gpu.shared.latency_cycles
            + stage.barriers * gpu.pipes.barrier_cycles;
        let read_dram = (moved.dram_read_bytes / moved.below_l1_bytes.max(1.0)).min(1.0);
        let own = Movement { read_dram, ..Movement::default() };
        let unloaded = |movement| read_latency_cycles(engine, movement, 0.0);
        let latency = latency * unloaded(&own) / unloaded(movement).max(1.0);
        let memory =
            stage.memory_round_trips * latency / stage.in_flight.min(stage.iterations).max(1.0);
        let chain = chain / engine.relief(Resource::Latency);
        let working = pipes.max(chain);
        // One CTA waits first and then works.
        let one = memory + chain.max(pipes / resident);
        let all = norm(working, memory, gpu.sm.overlap_order).max(one);
        self.working += stage.iterations * working;
        self.waiting += stage.iterations * (all - working);
    }
}
