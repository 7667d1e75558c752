//! How long a CTA's warps would wait if it were alone: instructions issue in order, each waits
//! until the registers that it reads are there and until its pipe, which the other warps of its
//! scheduler use alike, is free.
//!
//! Latencies and rates are nominal; what matters is which waits remain once the CTA's own work
//! between a load and its use is taken off, and which kind they are. They are returned in units of each
//! latency, so that an engine can put in those of the GPU at hand. A wait for shared memory right
//! behind a barrier stands for the whole CTA; others are filled by its other warps and count as
//! arithmetic. Left out: taken predicates, register banks, and waits for other warps.

use std::collections::VecDeque;

use super::instruction::Instruction;
use super::opcode::{Access, Opcode, Pipe, Role, Space};

/// Nominal clocks until a result is there, of the size that microbenchmarks find on parts since
/// Volta (arithmetic: 4 clocks since Volta, 6 before).
const GLOBAL: u64 = 300;
const SHARED: u64 = 24;
const TENSOR: u64 = 33;
const SFU: u64 = 18;
/// Schedulers of an SM, which share out a CTA's warps.
const SCHEDULERS: u64 = 4;
/// Multiply-accumulates of one scheduler's tensor core a clock.
const TENSOR_MACS: f64 = 128.0;
/// The register that reads as zero.
const ZERO: u8 = 255;
/// Groups of asynchronous copies that may be under way.
const MOST_GROUPS: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Arithmetic,
    Tensor,
    Global,
    Shared,
}

/// Clocks of a warp, by what they went to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Clocks {
    /// All of them.
    pub(super) total: u64,
    /// Issue slots and waits for results of arithmetic. Waits for a pipe are left to whoever knows
    /// its real rate.
    pub(super) arithmetic: u64,
    pub(super) tensor: u64,
    pub(super) global: u64,
    pub(super) shared: u64,
    /// Barriers passed (not clocks).
    pub(super) barriers: u64,
}

impl Clocks {
    /// As multiples of the nominal latencies: arithmetic, tensor, global, shared.
    pub(super) fn in_latencies(&self, version: u32) -> [f64; 4] {
        [
            self.arithmetic as f64 / arithmetic_latency(version) as f64,
            self.tensor as f64 / TENSOR as f64,
            self.global as f64 / GLOBAL as f64,
            self.shared as f64 / SHARED as f64,
        ]
    }
}

fn arithmetic_latency(version: u32) -> u64 {
    if (1..70).contains(&version) { 6 } else { 4 }
}

/// Clocks for which a warp instruction keeps its scheduler's pipe busy: 16 lanes of arithmetic, 8
/// of the memory unit, 4 of special functions, as on most parts since Volta.
fn occupied(opcode: &Opcode) -> u64 {
    match opcode.pipe {
        Pipe::Fp32 | Pipe::Fp16x2 | Pipe::Int32 => 2,
        Pipe::Memory => 4,
        Pipe::Sfu => 8,
        Pipe::Fp64 => 16,
        Pipe::Control => 1,
        Pipe::Tensor => opcode.tensor.map_or(1, |(_, macs)| (macs / TENSOR_MACS) as u64).max(1),
    }
}

/// A warp on its way through its instructions.
#[derive(Debug)]
pub(super) struct Warp {
    arithmetic: u64,
    /// Warps of the CTA on one scheduler.
    sharers: u64,
    clocks: Clocks,
    /// When each pipe takes the next instruction.
    free: [u64; 8],
    ready: [u64; 256],
    cause: [Cause; 256],
    behind_barrier: bool,
    /// When the copies of the open group and of the ended ones arrive.
    open_group: u64,
    groups: VecDeque<u64>,
}

impl Warp {
    /// A warp of a CTA of `warps`, from a binary for `version` (compute capability × 10).
    pub(super) fn new(version: u32, warps: u64) -> Self {
        Self {
            arithmetic: arithmetic_latency(version),
            sharers: warps.div_ceil(SCHEDULERS).max(1),
            free: [0; 8],
            clocks: Clocks::default(),
            ready: [0; 256],
            cause: [Cause::Arithmetic; 256],
            behind_barrier: false,
            open_group: 0,
            groups: VecDeque::new(),
        }
    }

    /// Starts again with another warp.
    pub(super) fn restart(&mut self) {
        self.clocks = Clocks::default();
        self.ready.fill(0);
        self.free.fill(0);
        self.behind_barrier = false;
        self.open_group = 0;
        self.groups.clear();
    }

    /// What the warp has needed so far.
    pub(super) fn clocks(&self) -> Clocks {
        self.clocks
    }

    /// Executes an instruction whose addresses lie in `space`.
    pub(super) fn step(&mut self, opcode: &Opcode, space: Space, instruction: &Instruction) {
        let slot = self.clocks.total + 1;
        let (mut start, mut cause) = (slot, Cause::Arithmetic);
        for &register in instruction.operands.as_slice() {
            let ready = self.ready[usize::from(register)];
            if register != ZERO && ready > start {
                (start, cause) = (ready, self.cause[usize::from(register)]);
            }
        }
        match opcode.role {
            Role::Wait => {
                let left = instruction.immediate.unwrap_or(0) as usize;
                while self.groups.len() > left {
                    let arrived = self.groups.pop_front().unwrap_or(0);
                    if arrived > start {
                        (start, cause) = (arrived, Cause::Global);
                    }
                }
            }
            Role::Commit => {
                if self.groups.len() == MOST_GROUPS {
                    self.groups.pop_front();
                }
                self.groups.push_back(self.open_group);
                self.open_group = 0;
            }
            Role::Barrier => {
                self.clocks.barriers += 1;
                self.behind_barrier = true;
            }
            Role::Plain => {}
        }
        self.wait(start - slot, cause);
        start = start.max(self.free[opcode.pipe as usize]);
        self.free[opcode.pipe as usize] = start + occupied(opcode) * self.sharers;
        self.clocks.arithmetic += 1;
        self.clocks.total = start;

        let (latency, cause) = match (opcode.pipe, space) {
            (Pipe::Tensor, _) => (TENSOR, Cause::Tensor),
            (Pipe::Memory, Space::None | Space::Shared) => (SHARED, Cause::Shared),
            (Pipe::Memory, _) => (GLOBAL, Cause::Global),
            (Pipe::Sfu, _) => (SFU, Cause::Arithmetic),
            _ => (self.arithmetic, Cause::Arithmetic),
        };
        if space == Space::Copy {
            self.open_group = self.open_group.max(start + latency);
        } else if opcode.access != Access::Write {
            for &register in instruction.results.as_slice() {
                let first = usize::from(register);
                if register != ZERO {
                    let last = (first + usize::from(opcode.results.max(1))).min(255);
                    self.ready[first..last].fill(start + latency);
                    self.cause[first..last].fill(cause);
                }
            }
        }
    }

    fn wait(&mut self, clocks: u64, cause: Cause) {
        match cause {
            Cause::Tensor => self.clocks.tensor += clocks,
            Cause::Global => self.clocks.global += clocks,
            Cause::Shared if self.behind_barrier && clocks > 0 => {
                self.clocks.shared += clocks;
                self.behind_barrier = false;
            }
            Cause::Shared | Cause::Arithmetic => self.clocks.arithmetic += clocks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::instruction::Prefix;
    use super::super::opcode;
    use super::*;

    fn run(lines: &[&str]) -> Clocks {
        let mut warp = Warp::new(86, 4);
        for line in lines {
            let mut instruction = Instruction::default();
            let text =
                instruction.parse(line.as_bytes(), Prefix::default(), |_| false).unwrap().to_vec();
            let opcode = opcode::decode(std::str::from_utf8(&text).unwrap(), 86);
            warp.step(&opcode, opcode.space, &instruction);
        }
        warp.clocks()
    }

    const LOADS: [&str; 2] =
        ["0010 ffffffff 1 R4 LDG.E 1 R2 4 1 1000 4", "0020 ffffffff 1 R5 LDG.E 1 R3 4 1 2000 4"];

    #[test]
    fn independent_loads_share_a_round_trip() {
        let both = run(&[LOADS[0], LOADS[1], "0030 ffffffff 1 R6 FADD 2 R4 R5 0"]);
        assert!(both.global > GLOBAL - 10 && both.global <= GLOBAL + 10, "{both:?}");
        let chased = run(&[
            LOADS[0],
            "0020 ffffffff 1 R5 LDG.E 1 R4 4 1 2000 4",
            "0030 ffffffff 1 R6 MOV 1 R5 0",
        ]);
        assert!(chased.global > 2 * GLOBAL - 10, "{chased:?}");
        let unused = run(&LOADS);
        assert_eq!(unused.global, 0);
    }

    #[test]
    fn a_chain_takes_its_latency_and_vectors_fill_registers() {
        let chain = run(&["0010 ffffffff 1 R4 FADD 2 R4 R5 0"; 10]);
        assert_eq!(chain.total, 1 + 9 * 4);
        let vector = run(&[
            "0010 ffffffff 1 R4 LDG.E.128 1 R2 16 1 1000 16",
            "0020 ffffffff 1 R9 MOV 1 R7 0",
        ]);
        assert!(vector.global > GLOBAL - 10, "{vector:?}");
    }

    #[test]
    fn work_between_a_load_and_its_use_hides_it() {
        let mut lines = vec![LOADS[0]];
        lines.extend(["0020 ffffffff 1 R8 HMMA.16816.F32 3 R12 R16 R20 0"; 10]);
        lines.push("0030 ffffffff 1 R6 MOV 1 R4 0");
        let hidden = run(&lines);
        assert!(hidden.global > 100 && hidden.global < 160, "{hidden:?}");
        // Ten more of them, and nothing is left to wait for.
        lines.splice(1..1, ["0020 ffffffff 1 R8 HMMA.16816.F32 3 R12 R16 R20 0"; 10]);
        assert_eq!(run(&lines).global, 0);
    }

    #[test]
    fn copies_are_waited_for_by_group() {
        let copy = "0010 ffffffff 0 LDGSTS.E.BYPASS.128 2 R2 R3 16 1 1000 16";
        let (commit, one, none) = (
            "0020 ffffffff 0 LDGDEPBAR 0 0",
            "0030 ffffffff 0 DEPBAR.LE 0 0 1",
            "0030 ffffffff 0 DEPBAR.LE 0 0 0",
        );
        assert_eq!(run(&[copy, commit, one]).global, 0);
        assert!(run(&[copy, commit, none]).global > GLOBAL - 10);
    }

    #[test]
    fn shared_memory_behind_a_barrier_is_told_apart() {
        let load = "0010 ffffffff 1 R4 LDS 1 R2 4 1 0 4";
        let used = "0020 ffffffff 1 R5 MOV 1 R4 0";
        assert_eq!(run(&[load, used]).shared, 0);
        let behind = run(&["0000 ffffffff 0 BAR.SYNC 0 0", load, used]);
        assert!(behind.shared > 20 && behind.barriers == 1, "{behind:?}");
    }
}
