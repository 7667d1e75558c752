//! A kernel known by its executed instructions: warp instructions by pipe, the waits of one warp
//! in program order, and the global addresses of a sample of its CTAs, as readers of instruction
//! traces find them.
//!
//! Everything is a total over the launch; CTAs are taken to be alike where an engine multiplies.
//! The addresses are those of whole CTAs, kept as the 32-byte sectors that each warp-level
//! request touches; reads, writes and atomics each have the caches to themselves. Left out: which
//! instruction of which warp follows which (an engine sees rates
//! and waits), and what another generation's compiler would have made of the same source.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::kernel::{Addresses, Demand, Direction, Pattern, Requests, Segment};
use crate::{DType, Kernel, KernelClass, Launch, Raster, Stage, Stream, TensorType};

/// Bytes of a sector, in which sampled addresses are kept.
pub const SECTOR_BYTES: u64 = 32;
/// Requests that a warp is taken to send back to back before another has its turn.
const BACK_TO_BACK: u64 = 4;
/// Turns that the longest warp's requests are cut into, at most, where warps are alike.
const MOST_TURNS: u64 = 512;
/// Requests of a turn, at most, where one warp sends many more than the others.
const MOST_IN_TURN: u64 = 4096;

/// What a launch executed. Instruction counts are warp instructions over the whole launch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traced {
    /// Launch shape.
    pub launch: Launch,
    /// fp32 instructions.
    #[serde(default)]
    pub fp32: f64,
    /// fp64 instructions.
    #[serde(default)]
    pub fp64: f64,
    /// Packed half instructions.
    #[serde(default)]
    pub fp16x2: f64,
    /// Integer, logic, comparison and move instructions.
    #[serde(default)]
    pub int32: f64,
    /// Special functions and conversions.
    #[serde(default)]
    pub sfu: f64,
    /// Memory instructions, shuffles included.
    #[serde(default)]
    pub memory: f64,
    /// Branches, barriers and whatever else only takes an issue slot.
    #[serde(default)]
    pub control: f64,
    /// Tensor instructions.
    #[serde(default)]
    pub tensor_instructions: f64,
    /// Their dense multiply-accumulates.
    #[serde(default)]
    pub tensor_macs: f64,
    /// Operand type of most of them.
    #[serde(default)]
    pub tensor: Option<TensorType>,
    /// Whether they take their operands from registers.
    #[serde(default)]
    pub tensor_from_registers: bool,
    /// Shared-memory wavefronts, bank conflicts included.
    #[serde(default)]
    pub shared_wavefronts: f64,
    /// Wavefronts of global accesses in L1's data array.
    #[serde(default)]
    pub l1_wavefronts: f64,
    /// The waits of a CTA's slowest warp.
    #[serde(default)]
    pub waits: Waits,
    /// Global reads.
    #[serde(default)]
    pub reads: Accesses,
    /// Global writes.
    #[serde(default)]
    pub writes: Accesses,
    /// Global atomics and reductions.
    #[serde(default)]
    pub atomics: Accesses,
}

/// What the slowest warp of a CTA waits for when it runs alone and in order, as a mean over
/// CTAs.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Waits {
    /// Issue slots and waits for arithmetic, in latencies of an arithmetic instruction.
    pub instructions: f64,
    /// Waits for tensor instructions, in their latencies.
    pub tensor: f64,
    /// Waits for global memory that nothing of the same warp hides, in round trips.
    pub memory: f64,
    /// Waits for shared memory behind a barrier, in round trips.
    pub shared: f64,
    /// CTA-wide barriers.
    pub barriers: f64,
    /// The slowest CTA's waits over the mean; at least 1.
    pub longest: f64,
}

/// Warp-level requests to global memory in one direction.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Accesses {
    /// Requests.
    pub requests: f64,
    /// Bytes that their lanes ask for, at most those of the sectors touched.
    pub bytes: f64,
    /// Sectors that they touch.
    pub sectors: f64,
    /// Distinct bytes touched, in whole sectors.
    pub distinct_bytes: f64,
    /// Distinct bytes touched, in whole lines of 128 bytes.
    pub distinct_line_bytes: f64,
    /// Addresses of some CTAs.
    pub sample: Arc<Sample>,
}

/// Addresses of runs of consecutive CTAs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sample {
    /// Warps of a CTA.
    pub warps: u32,
    /// CTAs of each run, in launch order; the runs stand for equal parts of the launch.
    pub runs: Vec<u32>,
    /// Requests up to the end of each warp, CTA by CTA.
    pub warp_ends: Vec<u32>,
    /// Sectors up to the end of each request.
    pub request_ends: Vec<u32>,
    /// Sector numbers (addresses over 32 bytes).
    pub sectors: Vec<u64>,
}

/// Where a list's piece `index` starts and ends.
fn piece(ends: &[u32], index: usize) -> (usize, usize) {
    let start = index.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
    let end = ends.get(index).copied().unwrap_or(start).max(start);
    (start as usize, end as usize)
}

impl Sample {
    /// Whether lists and counts fit together.
    fn validate(&self) -> Result<(), String> {
        let ctas: u64 = self.runs.iter().map(|run| u64::from(*run)).sum();
        let rising = |ends: &[u32]| ends.windows(2).all(|pair| pair[0] <= pair[1]);
        let last = |ends: &[u32]| ends.last().map_or(0, |end| *end as usize);
        if self.warps > 32
            || (self.warps == 0 && ctas > 0)
            || ctas.saturating_mul(self.warps.into()) != self.warp_ends.len() as u64
            || !rising(&self.warp_ends)
            || !rising(&self.request_ends)
            || last(&self.warp_ends) != self.request_ends.len()
            || last(&self.request_ends) != self.sectors.len()
            || self.sectors.iter().any(|sector| *sector > 1 << 52)
        {
            return Err("the lists of sampled addresses don't fit together".to_owned());
        }
        Ok(())
    }

    /// Memory that the lists take, in words of eight bytes.
    pub fn words(&self) -> usize {
        self.sectors.len() + (self.request_ends.len() + self.warp_ends.len()).div_ceil(2)
    }

    /// Most requests of one warp.
    fn longest_warp(&self) -> u64 {
        let mut start = 0;
        let mut longest = 0;
        for &end in &self.warp_ends {
            longest = longest.max(end.saturating_sub(start));
            start = end;
        }
        longest.into()
    }
}

/// Sampled addresses, in turns: a few requests of each warp, then the next few.
#[derive(Debug)]
struct Turns {
    sample: Arc<Sample>,
    /// Requests of a turn, and turns of a warp.
    in_turn: u64,
    per_warp: u64,
    ctas: f64,
    requests_per_group: f64,
    span_bytes: u64,
    access_bytes: u64,
}

impl Turns {
    fn new(accesses: &Accesses, ctas: f64) -> Self {
        let sample = Arc::clone(&accesses.sample);
        let longest = sample.longest_warp().max(1);
        // Few turns where most of them would be empty.
        let mean = sample.request_ends.len() as u64 / (sample.warp_ends.len() as u64).max(1);
        let uneven = longest.div_ceil(2 * mean + 1).min(MOST_IN_TURN);
        let in_turn = BACK_TO_BACK.max(longest.div_ceil(MOST_TURNS)).max(uneven);
        let turns = longest.div_ceil(in_turn);
        let groups = ctas * turns as f64 * f64::from(sample.warps.max(1));
        Self {
            in_turn,
            per_warp: turns,
            ctas,
            requests_per_group: (accesses.requests / groups).max(1e-6),
            span_bytes: (accesses.distinct_line_bytes as u64).max(1),
            access_bytes: (accesses.bytes / accesses.requests.max(1.0)) as u64,
            sample,
        }
    }

    fn groups_per_cta(&self) -> u64 {
        self.per_warp * u64::from(self.sample.warps.max(1))
    }
}

impl Addresses for Turns {
    fn segments(&self) -> Vec<Segment> {
        let groups = self.groups_per_cta();
        let stands_for = self.ctas * groups as f64 / self.sample.runs.len().max(1) as f64;
        let runs = self.sample.runs.iter();
        runs.map(|ctas| Segment { groups: u64::from(*ctas) * groups, stands_for }).collect()
    }

    fn group(&self, segment: usize, index: u64, out: &mut Requests) {
        let warps = u64::from(self.sample.warps.max(1));
        let (cta, within) = (index / self.groups_per_cta(), index % self.groups_per_cta());
        let (turn, warp) = (within / warps, within % warps);
        let before: u64 = self.sample.runs.iter().take(segment).map(|run| u64::from(*run)).sum();
        let (start, end) = piece(&self.sample.warp_ends, ((before + cta) * warps + warp) as usize);
        let from = (start + (turn * self.in_turn) as usize).min(end);
        let to = (from + self.in_turn as usize).min(end);
        let bounds = |request: usize| piece(&self.sample.request_ends, request);
        let lanes = (from..to).map(|r| bounds(r).1 - bounds(r).0).max().unwrap_or(0);
        out.resize(to - from, lanes);
        for request in from..to {
            let (first, last) = bounds(request);
            let Some(sectors) = self.sample.sectors.get(first..last) else { continue };
            let Some(filler) = sectors.last() else { continue };
            for lane in 0..lanes {
                // Lanes beyond the request's sectors repeat its last: nothing new is asked for.
                let sector = sectors.get(lane).unwrap_or(filler);
                out.set(request - from, lane, sector * SECTOR_BYTES);
            }
        }
    }

    fn requests_per_group(&self) -> f64 {
        self.requests_per_group
    }

    fn span_bytes(&self) -> u64 {
        self.span_bytes
    }

    fn access_bytes(&self) -> u64 {
        self.access_bytes
    }

    fn groups_per_cta(&self, _warps: u64) -> u64 {
        self.groups_per_cta()
    }
}

impl Traced {
    /// Multiply-adds of the arithmetic pipes and the tensor cores count as two operations.
    pub fn flops(&self) -> f64 {
        64.0 * (self.fp32 + self.fp64 + 2.0 * self.fp16x2) + 2.0 * self.tensor_macs
    }

    /// Distinct bytes touched.
    pub fn distinct_bytes(&self) -> f64 {
        self.directions().map(|(_, _, accesses)| accesses.distinct_bytes).sum()
    }

    /// Element type that decides the arithmetic rate.
    pub fn dtype(&self) -> DType {
        match self.tensor {
            Some(TensorType::Fp16 | TensorType::Fp16Acc32) => DType::Fp16,
            Some(TensorType::Bf16) => DType::Bf16,
            Some(TensorType::Tf32) => DType::Tf32,
            Some(TensorType::Int8) => DType::Int8,
            Some(TensorType::Int4) => DType::Int4,
            Some(TensorType::Fp8) => DType::Fp8,
            Some(TensorType::Fp4) => DType::Fp4,
            Some(TensorType::Fp64) => DType::Fp64,
            None if self.fp64 > self.fp32 => DType::Fp64,
            None => DType::Fp32,
        }
    }

    /// Warp instructions by pipe, by name.
    pub fn instructions(&self) -> [(&'static str, f64); 8] {
        [
            ("fp32", self.fp32),
            ("fp64", self.fp64),
            ("fp16x2", self.fp16x2),
            ("int32", self.int32),
            ("sfu", self.sfu),
            ("memory", self.memory),
            ("tensor", self.tensor_instructions),
            ("control", self.control),
        ]
    }

    fn directions(&self) -> impl Iterator<Item = (&'static str, Direction, &Accesses)> {
        [
            ("reads", Direction::Read, &self.reads),
            ("writes", Direction::Write, &self.writes),
            ("atomics", Direction::Atomic, &self.atomics),
        ]
        .into_iter()
    }

    /// Amounts by name, for checks.
    pub(super) fn amounts(&self) -> Vec<(&'static str, f64)> {
        let mut list = vec![
            ("fp32", self.fp32),
            ("fp64", self.fp64),
            ("fp16x2", self.fp16x2),
            ("int32", self.int32),
            ("sfu", self.sfu),
            ("memory", self.memory),
            ("control", self.control),
            ("tensor_instructions", self.tensor_instructions),
            ("tensor_macs", self.tensor_macs),
            ("shared_wavefronts", self.shared_wavefronts),
            ("l1_wavefronts", self.l1_wavefronts),
            ("waits.instructions", self.waits.instructions),
            ("waits.tensor", self.waits.tensor),
            ("waits.memory", self.waits.memory),
            ("waits.shared", self.waits.shared),
            ("waits.barriers", self.waits.barriers),
            ("waits.longest", self.waits.longest),
        ];
        for (_, _, accesses) in self.directions() {
            list.extend([
                ("requests", accesses.requests),
                ("bytes", accesses.bytes),
                ("sectors", accesses.sectors),
                ("distinct_bytes", accesses.distinct_bytes),
                ("distinct_line_bytes", accesses.distinct_line_bytes),
            ]);
        }
        list
    }

    /// Whether the sampled addresses are consistent.
    pub(super) fn check_samples(&self) -> Result<(), String> {
        self.directions().try_for_each(|(_, _, accesses)| accesses.sample.validate())
    }

    /// The launch: one stage that each CTA runs once.
    pub fn kernel(&self) -> Kernel {
        let ctas = self.launch.ctas() as f64;
        let per = |total: f64| total / ctas;
        let mut stage = Stage::once("program");
        stage.demand = Demand {
            fp32: per(self.fp32),
            fp64: per(self.fp64),
            fp16x2: per(self.fp16x2),
            int32: per(self.int32),
            sfu: per(self.sfu),
            memory: per(self.memory),
            control: per(self.control),
            tensor_macs: per(self.tensor_macs),
            tensor_instructions: per(self.tensor_instructions),
            shared_wavefronts: per(self.shared_wavefronts),
            l1_wavefronts: per(self.l1_wavefronts),
            spared_operands: 0.0,
        };
        stage.dependent_instructions = self.waits.instructions;
        stage.dependent_tensor = self.waits.tensor;
        stage.memory_round_trips = self.waits.memory;
        stage.shared_round_trips = self.waits.shared;
        stage.barriers = self.waits.barriers;
        stage.longest_iterations = self.waits.longest;
        for (label, direction, accesses) in self.directions() {
            if accesses.requests > 0.0 && accesses.bytes > 0.0 {
                let pattern = if accesses.sample.runs.is_empty() {
                    Pattern::Streaming
                } else {
                    Pattern::Gathered(Arc::new(Turns::new(accesses, ctas)))
                };
                let bytes = per(accesses.bytes);
                stage.streams.push(Stream { label, direction, bytes, pattern });
            }
        }
        let touched = [&self.reads, &self.writes, &self.atomics].map(|a| a.distinct_bytes);
        Kernel {
            class: KernelClass::Traced,
            variant: "from its instructions".to_owned(),
            launch: self.launch,
            raster: Raster::flat(self.launch.ctas()),
            tensor: self.tensor.filter(|_| self.tensor_macs > 0.0),
            tensor_from_registers: self.tensor_from_registers,
            stages: vec![stage],
            read_footprint_bytes: touched[0],
            write_footprint_bytes: touched[1] + touched[2],
            then: Vec::new(),
            useful_share: 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two CTAs of two warps; warps have one, two, no and six requests of one or two sectors.
    fn accesses() -> Accesses {
        let request_ends: Vec<u32> = vec![2, 3, 4, 5, 6, 7, 8, 9, 10];
        Accesses {
            requests: 9.0,
            bytes: 288.0,
            sectors: 10.0,
            distinct_bytes: 320.0,
            distinct_line_bytes: 1280.0,
            sample: Arc::new(Sample {
                warps: 2,
                runs: vec![2],
                warp_ends: vec![1, 3, 3, 9],
                request_ends,
                sectors: (100..110).collect(),
            }),
        }
    }

    #[test]
    fn every_request_has_its_turn() {
        let accesses = accesses();
        accesses.sample.validate().unwrap();
        let turns = Turns::new(&accesses, 2.0);
        assert_eq!((turns.per_warp, Addresses::groups_per_cta(&turns, 2)), (2, 4));
        let segment = turns.segments()[0];
        assert_eq!((segment.groups, segment.stands_for), (8, 8.0));
        let mut found: Vec<u64> = Vec::new();
        let mut requests = 0;
        for group in 0..segment.groups {
            let mut out = Requests::default();
            turns.group(0, group, &mut out);
            for lanes in &out {
                requests += 1;
                found.extend(lanes);
            }
        }
        found.sort_unstable();
        found.dedup();
        assert_eq!(requests, 9);
        assert_eq!(found, (100..110).map(|s| s * SECTOR_BYTES).collect::<Vec<_>>());
    }

    #[test]
    fn lists_that_do_not_fit_are_refused() {
        let mut sample = (*accesses().sample).clone();
        sample.sectors.pop();
        assert!(sample.validate().is_err());
        for warps in [0, 32] {
            let sample = Sample { runs: vec![u32::MAX], warps, ..Sample::default() };
            assert!(sample.validate().is_err());
        }
    }

    /// One warp with very many requests among idle ones is no reason to visit those very often.
    #[test]
    fn idle_warps_get_few_turns() {
        let requests = 100_000_u32;
        let mut warp_ends = vec![0; 9999];
        warp_ends.push(requests);
        let sample = Sample {
            warps: 1,
            runs: vec![10_000],
            warp_ends,
            request_ends: (1..=requests).collect(),
            sectors: (0..u64::from(requests)).collect(),
        };
        sample.validate().unwrap();
        let count = f64::from(requests);
        let accesses = Accesses {
            requests: count,
            bytes: 32.0 * count,
            sectors: count,
            sample: Arc::new(sample),
            ..Accesses::default()
        };
        let turns = Turns::new(&accesses, 1e4);
        assert!(turns.segments()[0].groups < 10 * u64::from(requests), "{turns:?}");
    }
}
