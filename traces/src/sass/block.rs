//! Adding up a kernel: its thread blocks, warp by warp and instruction by instruction.
//!
//! Every instruction of every block is counted; blocks with the same instructions at the same
//! counters are recognised by a hash and their number told. Left out: traffic of local memory
//! (taken to hit L1), of textures and of bulk copies, whose addresses traces lack (those are
//! counted by kind), and that some copies into shared memory pass L1 by.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use lumacycle_workloads::ops::Traced;
use lumacycle_workloads::ops::traced::{Accesses, Waits};
use lumacycle_workloads::{Launch, TensorType};

use super::header::Header;
use super::instruction::Instruction;
use super::lanes::LANES;
use super::opcode::{Access, Opcode, Pipe, Space};
use super::sample::{DIRECTIONS, Distinct, Sampler};
use super::waits::{Clocks, Warp};

/// Sectors of a line.
const LINE_SECTORS: u64 = 4;
/// Kinds of blocks that are told apart.
const MOST_KINDS: usize = 4096;
/// A wavefront, in bytes.
const WAVEFRONT: u64 = 128;

/// Requests in one direction.
#[derive(Debug)]
struct Requests {
    count: u64,
    bytes: u64,
    sectors: u64,
    distinct_sectors: Distinct,
    distinct_lines: Distinct,
}

impl Requests {
    fn new() -> Self {
        Self {
            count: 0,
            bytes: 0,
            sectors: 0,
            distinct_sectors: Distinct::new(),
            distinct_lines: Distinct::new(),
        }
    }

    fn add(&mut self, bytes: u64, sectors: &[u64]) {
        self.count += 1;
        self.sectors += sectors.len() as u64;
        self.bytes += bytes.min(sectors.len() as u64 * 32);
        let mut line = u64::MAX;
        for &sector in sectors {
            self.distinct_sectors.add(sector);
            if sector / LINE_SECTORS != line {
                line = sector / LINE_SECTORS;
                self.distinct_lines.add(line);
            }
        }
    }
}

/// What was counted without being modelled in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LeftOut {
    Local,
    Texture,
    Bulk,
}

impl LeftOut {
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Local => "local memory accesses, taken to hit L1",
            Self::Texture => "texture or surface accesses, traced without addresses",
            Self::Bulk => "bulk (TMA) copies, whose traffic is left out",
        }
    }
}

/// A kernel that is being read.
#[derive(Debug)]
pub(super) struct Work {
    header: Header,
    launch: Launch,
    /// By [`Pipe`], in its order.
    pipes: [u64; 8],
    tensor: BTreeMap<TensorType, f64>,
    tensor_from_registers: bool,
    shared_wavefronts: u64,
    l1_wavefronts: u64,
    directions: [Requests; DIRECTIONS],
    sampler: Sampler,
    warp: Warp,
    warp_number: usize,
    slowest: Clocks,
    /// Sums over blocks: arithmetic, tensor, global, shared, barriers, clocks.
    waits: [f64; 6],
    longest: f64,
    hash: u64,
    kinds: BTreeSet<u64>,
    pub(super) blocks: u64,
    pub(super) left_out: BTreeMap<LeftOut, u64>,
    sectors: Vec<u64>,
}

impl Work {
    /// A kernel of which nothing was read but its head; `budget` is how many words of addresses
    /// may be kept.
    pub(super) fn new(header: Header, launch: Launch, budget: usize) -> Self {
        Self {
            pipes: [0; 8],
            tensor: BTreeMap::new(),
            tensor_from_registers: true,
            shared_wavefronts: 0,
            l1_wavefronts: 0,
            directions: std::array::from_fn(|_| Requests::new()),
            sampler: Sampler::new(budget, launch.ctas(), launch.warps()),
            warp: Warp::new(header.version, launch.warps()),
            warp_number: 0,
            slowest: Clocks::default(),
            waits: [0.0; 6],
            longest: 0.0,
            hash: 0,
            kinds: BTreeSet::new(),
            blocks: 0,
            left_out: BTreeMap::new(),
            sectors: Vec::with_capacity(2 * LANES),
            header,
            launch,
        }
    }

    /// Different sequences of instructions among the blocks.
    pub(super) fn kinds(&self) -> usize {
        self.kinds.len()
    }

    pub(super) fn stream(&self) -> u32 {
        self.header.stream
    }

    pub(super) fn launch(&self) -> Launch {
        self.launch
    }

    pub(super) fn begin_block(&mut self, cta: u64) {
        self.sampler.begin(cta);
        self.slowest = Clocks::default();
        self.hash = 0;
    }

    pub(super) fn begin_warp(&mut self, warp: usize) {
        self.warp_number = warp;
        self.warp.restart();
        self.mix(warp as u64 + 1);
    }

    pub(super) fn end_warp(&mut self) {
        let clocks = self.warp.clocks();
        if clocks.total > self.slowest.total {
            self.slowest = clocks;
        }
    }

    pub(super) fn end_block(&mut self) {
        self.sampler.end();
        self.blocks += 1;
        let [arithmetic, tensor, global, shared] = self.slowest.in_latencies(self.header.version);
        let (barriers, total) = (self.slowest.barriers as f64, self.slowest.total as f64);
        for (sum, value) in
            self.waits.iter_mut().zip([arithmetic, tensor, global, shared, barriers, total])
        {
            *sum += value;
        }
        self.longest = self.longest.max(total);
        if self.kinds.len() < MOST_KINDS {
            self.kinds.insert(self.hash);
        }
    }

    fn mix(&mut self, value: u64) {
        self.hash = (self.hash.rotate_left(5) ^ value).wrapping_mul(0x517C_C1B7_2722_0A95);
    }

    /// Counts an instruction; `number` stands for its mnemonic in the hash.
    pub(super) fn instruction(&mut self, opcode: &Opcode, number: u32, found: &mut Instruction) {
        self.mix(u64::from(found.pc) << 32 | u64::from(number));
        self.pipes[opcode.pipe as usize] += 1;
        if let Some((kind, macs)) = opcode.tensor {
            *self.tensor.entry(kind).or_default() += macs;
            self.tensor_from_registers &= opcode.from_registers;
        }
        let space = self.space(opcode, found);
        self.warp.step(opcode, space, found);
        if opcode.pipe == Pipe::Memory {
            self.access(opcode, space, found);
        }
    }

    /// Where an access goes; generic addresses tell by their value.
    fn space(&self, opcode: &Opcode, found: &Instruction) -> Space {
        if opcode.space != Space::Generic {
            return opcode.space;
        }
        match found.lanes.first() {
            Some(address) if self.header.is_shared(address) => Space::Shared,
            Some(address) if self.header.is_local(address) => Space::Local,
            _ => Space::Global,
        }
    }

    fn access(&mut self, opcode: &Opcode, space: Space, found: &mut Instruction) {
        if opcode.lanes < 32 {
            found.lanes.mask &= (1 << opcode.lanes) - 1;
        }
        let active = u64::from(found.lanes.mask.count_ones());
        let bytes = active * u64::from(opcode.width);
        match space {
            // A shuffle.
            Space::None => self.shared_wavefronts += 1,
            Space::Shared if opcode.access == Access::Atomic && found.addressed => {
                self.shared_wavefronts += u64::from(found.lanes.atomic_wavefronts());
            }
            Space::Shared if found.addressed => {
                self.shared_wavefronts += u64::from(found.lanes.wavefronts(opcode.width));
            }
            Space::Shared => self.shared_wavefronts += bytes.div_ceil(WAVEFRONT),
            Space::Local => {
                // Threads' words are interleaved, so equal offsets are consecutive.
                self.l1_wavefronts += bytes.div_ceil(WAVEFRONT);
                *self.left_out.entry(LeftOut::Local).or_default() += 1;
            }
            Space::Texture => *self.left_out.entry(LeftOut::Texture).or_default() += 1,
            Space::Bulk => *self.left_out.entry(LeftOut::Bulk).or_default() += 1,
            Space::Global | Space::Copy | Space::Generic => {
                if !found.addressed || active == 0 {
                    return;
                }
                self.sectors.clear();
                found.lanes.sectors(opcode.width, &mut self.sectors);
                let direction = opcode.access as usize;
                self.directions[direction].add(bytes, &self.sectors);
                self.sampler.request(direction, self.warp_number, &self.sectors);
                if space == Space::Copy {
                    // Passes the array once, on its way into shared memory.
                    self.shared_wavefronts += bytes.div_ceil(WAVEFRONT);
                } else if opcode.access != Access::Atomic {
                    self.l1_wavefronts += u64::from(found.lanes.wavefronts(opcode.width));
                }
            }
        }
    }

    /// Distinguishes launches that did different things.
    pub(super) fn fingerprint(&self, name: &str) -> u64 {
        let requests: Vec<_> =
            self.directions.iter().map(|d| (d.count, d.bytes, d.sectors)).collect();
        let mut hasher = DefaultHasher::new();
        (name, self.launch, self.pipes, requests, self.blocks).hash(&mut hasher);
        (self.shared_wavefronts, self.l1_wavefronts, &self.kinds).hash(&mut hasher);
        hasher.finish()
    }

    /// The whole launch; blocks that were not traced are taken to be like those that were.
    pub(super) fn finish(self) -> Traced {
        let blocks = self.blocks.max(1) as f64;
        let all = self.launch.ctas() as f64 / blocks;
        let pipe = |pipe: Pipe| self.pipes[pipe as usize] as f64 * all;
        let most = self.tensor.iter().max_by(|a, b| a.1.total_cmp(b.1)).map(|(kind, _)| *kind);
        let [arithmetic, tensor, global, shared, barriers, clocks] =
            self.waits.map(|sum| sum / blocks);
        let samples = self.sampler.finish();
        let mut accesses = self.directions.iter().zip(samples).map(|(found, sample)| Accesses {
            requests: found.count as f64 * all,
            bytes: found.bytes as f64 * all,
            sectors: found.sectors as f64 * all,
            distinct_bytes: found.distinct_sectors.count() * 32.0 * all,
            distinct_line_bytes: found.distinct_lines.count() * 128.0 * all,
            sample: Arc::new(sample),
        });
        let mut next = || accesses.next().unwrap_or_default();
        let (reads, writes, atomics) = (next(), next(), next());
        Traced {
            launch: self.launch,
            fp32: pipe(Pipe::Fp32),
            fp64: pipe(Pipe::Fp64),
            fp16x2: pipe(Pipe::Fp16x2),
            int32: pipe(Pipe::Int32),
            sfu: pipe(Pipe::Sfu),
            memory: pipe(Pipe::Memory),
            control: pipe(Pipe::Control),
            tensor_instructions: pipe(Pipe::Tensor),
            tensor_macs: self.tensor.values().sum::<f64>() * all,
            tensor: most,
            tensor_from_registers: self.tensor_from_registers,
            shared_wavefronts: self.shared_wavefronts as f64 * all,
            l1_wavefronts: self.l1_wavefronts as f64 * all,
            waits: Waits {
                instructions: arithmetic,
                tensor,
                memory: global,
                shared,
                barriers,
                longest: (self.longest / clocks.max(1.0)).max(1.0),
            },
            reads,
            writes,
            atomics,
        }
    }
}
