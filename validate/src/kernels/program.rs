//! What one warp of a kernel does, counted from its source by hand.
//!
//! Counts are of warp instructions as compilers emit them for such loops, to within a third;
//! left out are what differs from one compiler version to the next: unrolling, hoisted loads,
//! fused address arithmetic.

/// Lanes of a warp.
pub(super) const WARP: f64 = 32.0;
/// Bytes that a warp asks for with four by each lane side by side.
pub(super) const LINE: f64 = 128.0;
/// Bytes of a request in which all lanes want the same word.
pub(super) const SECTOR: f64 = 32.0;

/// What one warp does. Instructions are warp instructions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Program {
    pub int32: f64,
    pub fp32: f64,
    /// On the fp64 pipe, conversions from and to fp64 among them.
    pub fp64: f64,
    /// On the special-function pipe: conversions between integers and floats.
    pub sfu: f64,
    pub control: f64,
    pub other: f64,
    pub loads: f64,
    pub stores: f64,
    pub shared_loads: f64,
    pub shared_stores: f64,
    /// Loads of constants by an index: they pass the queue of memory instructions.
    pub constants: f64,
    /// Wavefronts of shared memory beyond one for each access.
    pub conflicts: f64,
    /// Bytes asked of L1.
    pub l1_bytes: f64,
    /// Passes of L1's data array by requests whose lanes collide on its banks.
    pub l1_passes: f64,
    /// Bytes that L2 is asked for where that is more than what is read once.
    pub l2_bytes: f64,
    /// Bytes written to L2 where that is more than what is written once.
    pub written_bytes: f64,
}

impl Program {
    pub const NOTHING: Self = Self {
        int32: 0.0,
        fp32: 0.0,
        fp64: 0.0,
        sfu: 0.0,
        control: 0.0,
        other: 0.0,
        loads: 0.0,
        stores: 0.0,
        shared_loads: 0.0,
        shared_stores: 0.0,
        constants: 0.0,
        conflicts: 0.0,
        l1_bytes: 0.0,
        l1_passes: 0.0,
        l2_bytes: 0.0,
        written_bytes: 0.0,
    };
    /// Indices, bounds check, and the end.
    pub const START: Self = Self { int32: 10.0, control: 2.0, other: 6.0, ..Self::NOTHING };
    /// One step of a tree over a CTA: two values out of shared memory, one back, a barrier.
    pub const STEP: Self = Self {
        int32: 6.0,
        control: 3.0,
        other: 1.0,
        fp32: 1.0,
        shared_loads: 2.0,
        shared_stores: 1.0,
        ..Self::NOTHING
    };

    /// Memory instructions of all kinds.
    pub fn memory(&self) -> f64 {
        self.loads + self.stores + self.shared_loads + self.shared_stores + self.constants
    }

    /// Followed by another so many times.
    pub fn then(self, times: f64, next: Self) -> Self {
        let add = |a: f64, b: f64| a + times * b;
        Self {
            int32: add(self.int32, next.int32),
            fp32: add(self.fp32, next.fp32),
            fp64: add(self.fp64, next.fp64),
            sfu: add(self.sfu, next.sfu),
            control: add(self.control, next.control),
            other: add(self.other, next.other),
            loads: add(self.loads, next.loads),
            stores: add(self.stores, next.stores),
            shared_loads: add(self.shared_loads, next.shared_loads),
            shared_stores: add(self.shared_stores, next.shared_stores),
            constants: add(self.constants, next.constants),
            conflicts: add(self.conflicts, next.conflicts),
            l1_bytes: add(self.l1_bytes, next.l1_bytes),
            l1_passes: add(self.l1_passes, next.l1_passes),
            l2_bytes: add(self.l2_bytes, next.l2_bytes),
            written_bytes: add(self.written_bytes, next.written_bytes),
        }
    }
}

/// So many neighbouring words loaded.
pub(super) fn load(count: f64) -> Program {
    Program { loads: count, int32: 2.0 * count, l1_bytes: LINE * count, ..Program::NOTHING }
}

/// So many neighbouring words stored.
pub(super) fn store(count: f64) -> Program {
    Program { stores: count, int32: 2.0 * count, ..Program::NOTHING }
}

/// Words loaded by lanes of which so many are on lines, and on one bank, of their own.
pub(super) fn gather(lines: f64, passes: f64) -> Program {
    Program {
        loads: 1.0,
        int32: 2.0,
        l1_bytes: SECTOR * lines,
        l1_passes: lines * passes,
        ..Program::NOTHING
    }
}

/// Words stored by lanes of which so many are on lines, and on one bank, of their own.
pub(super) fn scatter(lines: f64, passes: f64) -> Program {
    Program { written_bytes: SECTOR * lines, l1_passes: lines * passes, ..store(1.0) }
}

/// A launch: its shape, what each warp does, and the bytes that its CTAs share out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Described {
    pub items: f64,
    pub threads: f64,
    pub shared_bytes: f64,
    pub program: Program,
    pub read_bytes: f64,
    pub write_bytes: f64,
}
