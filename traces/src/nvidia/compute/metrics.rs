//! Which metrics of Nsight Compute stand for what, in the spellings of its versions, and what a
//! launch's counters come to.
//!
//! Instructions by kind are recorded as threads that took part (per launch, or per cycle beside the
//! cycles), sectors are of 32 bytes. A launch is known by its counters where instructions, fp32
//! work, accesses and the traffic of L2 and DRAM are all there; tensor cores have no counter that
//! the model of such kernels knows, so a launch that uses them is not.

use std::collections::BTreeMap;

use lumacycle_workloads::Launch;
use lumacycle_workloads::ops::Counters;

const WARP: f64 = 32.0;
const SECTOR: f64 = 32.0;

/// Something that is read, whatever a version calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Slot {
    Duration,
    Clock,
    /// Cycles of an SM's part over the launch, for counts given per cycle.
    Cycles,
    GridX,
    GridY,
    GridZ,
    GridSize,
    BlockX,
    BlockY,
    BlockZ,
    BlockSize,
    Registers,
    StaticMemory,
    DynamicMemory,
    Major,
    Minor,
    Instructions,
    Fadd,
    Fmul,
    Ffma,
    Fp32Pipe,
    Dadd,
    Dmul,
    Dfma,
    Hadd,
    Hmul,
    Hfma,
    Integer,
    Branches,
    Special,
    Tensor,
    GlobalLoads,
    GlobalStores,
    LocalLoads,
    LocalStores,
    SharedLoads,
    SharedStores,
    Textures,
    Reductions,
    Atomics,
    WavefrontsLoad,
    WavefrontsStore,
    L1GlobalSectors,
    L1LocalSectors,
    L2ReadSectors,
    L2WriteSectors,
    L2ReductionSectors,
    DramRead,
    DramReadSectors,
    DramWrite,
    DramWriteSectors,
    Warps,
    ActiveThreads,
}

use Slot as S;

/// Spellings of each, best first.
const NAMES: &[(Slot, &[&str])] = &[
    (
        S::Duration,
        &["gpu__time_duration.sum", "gpu__time_duration.avg", "gpu__time_duration", "Duration"],
    ),
    // The graphics clock first: elapsed cycles of an SM leave out the start and end of a launch.
    (
        S::Clock,
        &[
            "gpc__cycles_elapsed.avg.per_second",
            "gpc__cycles_elapsed.max.per_second",
            "gpc__frequency",
            "SM Frequency",
            "sm__cycles_elapsed.avg.per_second",
            "smsp__cycles_elapsed.avg.per_second",
        ],
    ),
    (S::Cycles, &["smsp__cycles_elapsed.avg", "sm__cycles_elapsed.avg", "sm__elapsed_cycles_avg"]),
    (S::GridX, &["launch__grid_dim_x"]),
    (S::GridY, &["launch__grid_dim_y"]),
    (S::GridZ, &["launch__grid_dim_z"]),
    (S::GridSize, &["launch__grid_size"]),
    (S::BlockX, &["launch__block_dim_x"]),
    (S::BlockY, &["launch__block_dim_y"]),
    (S::BlockZ, &["launch__block_dim_z"]),
    (S::BlockSize, &["launch__block_size"]),
    (S::Registers, &["launch__registers_per_thread", "Registers Per Thread"]),
    (S::StaticMemory, &["launch__shared_mem_per_block_static", "Static Shared Memory Per Block"]),
    (
        S::DynamicMemory,
        &["launch__shared_mem_per_block_dynamic", "Dynamic Shared Memory Per Block"],
    ),
    (S::Major, &["device__attribute_compute_capability_major"]),
    (S::Minor, &["device__attribute_compute_capability_minor"]),
    (
        S::Instructions,
        &[
            "smsp__inst_executed.sum",
            "sm__inst_executed.sum",
            "smsp__inst_executed_sum",
            "Executed Instructions",
        ],
    ),
    (S::Fp32Pipe, &["sm__inst_executed_pipe_fma.sum", "smsp__inst_executed_pipe_fma.sum"]),
    (
        S::Integer,
        &[
            "smsp__sass_thread_inst_executed_op_integer_pred_on.sum",
            "sm__sass_thread_inst_executed_op_integer_pred_on.sum",
        ],
    ),
    (S::Branches, &["smsp__inst_executed_op_branch.sum", "Branch Instructions"]),
    (S::Special, &["sm__inst_executed_pipe_xu.sum", "smsp__inst_executed_pipe_xu.sum"]),
    (
        S::GlobalLoads,
        &[
            "smsp__sass_inst_executed_op_global_ld.sum",
            "smsp__inst_executed_op_global_ld.sum",
            "l1tex__t_requests_pipe_lsu_mem_global_op_ld.sum",
        ],
    ),
    (
        S::GlobalStores,
        &[
            "smsp__sass_inst_executed_op_global_st.sum",
            "smsp__inst_executed_op_global_st.sum",
            "l1tex__t_requests_pipe_lsu_mem_global_op_st.sum",
        ],
    ),
    (
        S::LocalLoads,
        &[
            "smsp__sass_inst_executed_op_local_ld.sum",
            "smsp__inst_executed_op_local_ld.sum",
            "l1tex__t_requests_pipe_lsu_mem_local_op_ld.sum",
        ],
    ),
    (
        S::LocalStores,
        &[
            "smsp__sass_inst_executed_op_local_st.sum",
            "smsp__inst_executed_op_local_st.sum",
            "l1tex__t_requests_pipe_lsu_mem_local_op_st.sum",
        ],
    ),
    (
        S::SharedLoads,
        &["smsp__sass_inst_executed_op_shared_ld.sum", "smsp__inst_executed_op_shared_ld.sum"],
    ),
    (
        S::SharedStores,
        &["smsp__sass_inst_executed_op_shared_st.sum", "smsp__inst_executed_op_shared_st.sum"],
    ),
    (S::Textures, &["smsp__inst_executed_op_texture.sum"]),
    (
        S::Reductions,
        &[
            "smsp__inst_executed_op_global_red.sum",
            "l1tex__t_requests_pipe_lsu_mem_global_op_red.sum",
        ],
    ),
    (
        S::Atomics,
        &[
            "smsp__inst_executed_op_global_atom.sum",
            "l1tex__t_requests_pipe_lsu_mem_global_op_atom.sum",
        ],
    ),
    (S::WavefrontsLoad, &["l1tex__data_pipe_lsu_wavefronts_mem_shared_op_ld.sum"]),
    (S::WavefrontsStore, &["l1tex__data_pipe_lsu_wavefronts_mem_shared_op_st.sum"]),
    (S::L1GlobalSectors, &["l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum"]),
    (S::L1LocalSectors, &["l1tex__t_sectors_pipe_lsu_mem_local_op_ld.sum"]),
    (
        S::L2ReadSectors,
        &[
            "lts__t_sectors_srcunit_tex_op_read.sum",
            "lts__t_sectors_op_read.sum",
            "l1tex__m_xbar2l1tex_read_sectors.sum",
        ],
    ),
    (
        S::L2WriteSectors,
        &[
            "lts__t_sectors_srcunit_tex_op_write.sum",
            "lts__t_sectors_op_write.sum",
            "l1tex__m_l1tex2xbar_write_sectors.sum",
        ],
    ),
    (
        S::L2ReductionSectors,
        &["lts__t_sectors_srcunit_tex_op_red.sum", "lts__t_sectors_op_red.sum"],
    ),
    (S::DramRead, &["dram__bytes_read.sum", "dram__bytes_op_read.sum", "dram__read_bytes"]),
    (S::DramReadSectors, &["dram__sectors_read.sum", "dram__sectors_op_read.sum"]),
    (S::DramWrite, &["dram__bytes_write.sum", "dram__bytes_op_write.sum", "dram__write_bytes"]),
    (S::DramWriteSectors, &["dram__sectors_write.sum", "dram__sectors_op_write.sum"]),
    (
        S::Warps,
        &[
            "sm__warps_active.avg.per_cycle_active",
            "sm__active_warps_avg_per_active_cycle",
            "Achieved Active Warps Per SM",
        ],
    ),
    (
        S::ActiveThreads,
        &[
            "smsp__thread_inst_executed_per_inst_executed.ratio",
            "smsp__thread_inst_executed_per_inst_executed",
            "Avg. Active Threads Per Warp",
        ],
    ),
];

/// Kinds of arithmetic that are counted by thread, and what the metric calls them.
const BY_THREAD: &[(Slot, &str)] = &[
    (S::Fadd, "fadd"),
    (S::Fmul, "fmul"),
    (S::Ffma, "ffma"),
    (S::Dadd, "dadd"),
    (S::Dmul, "dmul"),
    (S::Dfma, "dfma"),
    (S::Hadd, "hadd"),
    (S::Hmul, "hmul"),
    (S::Hfma, "hfma"),
];

/// What a metric's name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meaning {
    pub(super) slot: Slot,
    /// The lower, the better the spelling.
    pub(super) rank: u8,
    /// A count per cycle instead of a count.
    pub(super) per_cycle: bool,
}

/// All metrics that are read, by name.
pub(super) struct Dictionary(BTreeMap<&'static str, Meaning>);

impl Dictionary {
    pub(super) fn new() -> Self {
        let pairs = NAMES.iter().flat_map(|(slot, names)| {
            names.iter().enumerate().map(|(rank, name)| {
                let rank = u8::try_from(rank).unwrap_or(u8::MAX);
                (*name, Meaning { slot: *slot, rank, per_cycle: false })
            })
        });
        Self(pairs.collect())
    }

    /// What a name stands for, if it is read.
    pub(super) fn get(&self, name: &str) -> Option<Meaning> {
        if let Some(&meaning) = self.0.get(name) {
            return Some(meaning);
        }
        // Any use of tensor cores: pipes tensor, tc and their parts, in whatever measure.
        let of_tensors = ["pipe_tensor", "pipe_tc.", "pipe_tc_cycles", "pipe_tmem"];
        if name.starts_with("sm") && of_tensors.iter().any(|part| name.contains(part)) {
            let measures = name.contains(".avg") || name.contains(".sum");
            let peak = name.contains("peak_sustained") && !name.contains("pct_of_peak");
            return (measures && !peak).then_some(Meaning {
                slot: S::Tensor,
                rank: 0,
                per_cycle: false,
            });
        }
        let rest = name.strip_prefix("smsp__").or_else(|| name.strip_prefix("sm__"))?;
        let rest = rest.strip_prefix("sass_thread_inst_executed_op_")?;
        let (kind, measure) = rest.split_once("_pred_on.")?;
        let (slot, _) = BY_THREAD.iter().find(|(_, known)| *known == kind)?;
        match measure {
            "sum" => Some(Meaning { slot: *slot, rank: 0, per_cycle: false }),
            "sum.per_cycle_elapsed" => Some(Meaning { slot: *slot, rank: 1, per_cycle: true }),
            _ => None,
        }
    }
}

/// Metrics of one launch.
#[derive(Debug, Clone, Default)]
pub(super) struct Metrics(BTreeMap<Slot, (Meaning, f64)>);

impl Metrics {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn put(&mut self, meaning: Meaning, value: f64) {
        let entry = self.0.entry(meaning.slot).or_insert((meaning, value));
        if meaning.slot == Slot::Tensor {
            // One use is enough.
            entry.1 = entry.1.max(value);
        } else if meaning.rank < entry.0.rank {
            *entry = (meaning, value);
        }
    }

    pub(super) fn get(&self, slot: Slot) -> Option<f64> {
        let &(meaning, value) = self.0.get(&slot)?;
        let value = if meaning.per_cycle { value * self.get(Slot::Cycles)? } else { value };
        (value.is_finite() && value >= 0.0).then_some(value)
    }

    fn or_zero(&self, slot: Slot) -> f64 {
        self.get(slot).unwrap_or(0.0)
    }

    fn sum(&self, slots: &[Slot]) -> f64 {
        slots.iter().map(|slot| self.or_zero(*slot)).sum()
    }

    /// Three sizes, if all are there and whole.
    pub(super) fn sizes(&self, slots: [Slot; 3]) -> Option<[u32; 3]> {
        let size = |slot| self.get(slot).filter(|v| (1.0..4.3e9).contains(v)).map(|v| v as u32);
        Some([size(slots[0])?, size(slots[1])?, size(slots[2])?])
    }

    /// The launch's work, or which of the counters that it takes is not there.
    pub(super) fn counters(&self, launch: Launch) -> Result<Counters, &'static str> {
        if self.or_zero(S::Tensor) > 0.0 {
            return Err("uses tensor cores, which counters tell too little about");
        }
        let instructions =
            self.get(S::Instructions).filter(|n| *n > 0.0).ok_or("lacks executed instructions")?;
        // A warp of which few threads are active takes its slots all the same.
        let active_threads = self.get(S::ActiveThreads).map_or(WARP, |n| n.clamp(1.0, WARP));
        let by_thread = |slots: &[Slot]| self.sum(slots) / active_threads;
        let kinds = [S::Fadd, S::Fmul, S::Ffma];
        let fp32 = if kinds.iter().all(|slot| self.get(*slot).is_some()) {
            by_thread(&kinds)
        } else {
            self.get(S::Fp32Pipe).ok_or("lacks instructions by kind (fadd, fmul, ffma)")?
        };
        let loads = self.get(S::GlobalLoads).ok_or("lacks loads and stores")?;
        let stores = self.get(S::GlobalStores).ok_or("lacks loads and stores")?;
        let sectors = |slot| self.get(slot).map(|n| n * SECTOR);
        let l2 = |slot| sectors(slot).ok_or("lacks sectors of L2");
        let dram = |bytes, counted| {
            self.get(bytes).or_else(|| sectors(counted)).ok_or("lacks traffic of DRAM")
        };
        let (shared_loads, shared_stores) =
            (self.or_zero(S::SharedLoads), self.or_zero(S::SharedStores));
        let waiting = loads + self.sum(&[S::LocalLoads, S::Textures, S::Atomics]);
        let memory = waiting + stores + self.sum(&[S::LocalStores, S::Reductions]);
        let wavefronts = self.sum(&[S::WavefrontsLoad, S::WavefrontsStore]);
        let mut counters = Counters {
            fp32,
            fp64: by_thread(&[S::Dadd, S::Dmul, S::Dfma]),
            // A thread's instruction is a packed one.
            fp16x2: by_thread(&[S::Hadd, S::Hmul, S::Hfma]),
            int32: by_thread(&[S::Integer]),
            control: self.or_zero(S::Branches),
            sfu: self.or_zero(S::Special),
            memory: memory + shared_loads + shared_stores,
            loads: waiting,
            shared_loads,
            shared_wavefronts: wavefronts.max(shared_loads + shared_stores),
            l1_bytes: self.sum(&[S::L1GlobalSectors, S::L1LocalSectors]) * SECTOR,
            l2_read_bytes: l2(S::L2ReadSectors)?,
            l2_write_bytes: l2(S::L2WriteSectors)? + self.or_zero(S::L2ReductionSectors) * SECTOR,
            dram_read_bytes: dram(S::DramRead, S::DramReadSectors)?,
            dram_write_bytes: dram(S::DramWrite, S::DramWriteSectors)?,
            resident_warps: self.or_zero(S::Warps).min(64.0),
            active_threads,
            ..Counters::none(launch)
        };
        counters.other = (instructions - counters.instructions()).max(0.0);
        Ok(counters)
    }
}
