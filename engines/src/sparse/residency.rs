//! Which streams of blocks lie in the memory of factors: all of them where they fit, else the most
//! recently used ones (LRU by block and component). What is missing is fetched in whole granules.

use lumacycle_arch::SparseAccelerator;
use lumacycle_workloads::tensorf::{COMPONENTS, EncodedFactors};

use super::patches::VisitUse;

/// No entry.
const NONE: u32 = u32::MAX;

/// The memory of factors of one core.
#[derive(Debug, Clone)]
pub(super) struct Residency {
    all: bool,
    capacity: u64,
    held: u64,
    /// Bytes of each stream, in granules.
    bytes: Vec<u32>,
    /// First stream of each array.
    first: Vec<usize>,
    older: Vec<u32>,
    newer: Vec<u32>,
    inside: Vec<bool>,
    oldest: u32,
    newest: u32,
}

/// First stream of each array, planes first; streams are numbered by block, then component.
pub(super) fn first_streams(encoded: &EncodedFactors) -> (Vec<usize>, usize) {
    let mut first = Vec::new();
    let mut count = 0;
    for array in encoded.arrays() {
        first.push(count);
        count += array.across[0] * array.across[1] * COMPONENTS;
    }
    (first, count)
}

impl Residency {
    pub fn new(accelerator: &SparseAccelerator, encoded: &EncodedFactors) -> Self {
        let capacity = accelerator.factor_sram.capacity.bytes();
        let granule = accelerator.memory.granule.bytes();
        let (first, count) = first_streams(encoded);
        let mut bytes = vec![0; count];
        for (array, first) in encoded.arrays().zip(&first) {
            for (number, component) in array.components.iter().enumerate() {
                for (block, stream) in component.blocks.iter().enumerate() {
                    let granules = libm::ceil(f64::from(stream.bits) / 8.0 / granule);
                    bytes[first + block * COMPONENTS + number] = (granules * granule) as u32;
                }
            }
        }
        Self {
            all: encoded.bytes() <= capacity,
            capacity: capacity as u64,
            held: 0,
            first,
            older: vec![NONE; count],
            newer: vec![NONE; count],
            inside: vec![false; count],
            bytes,
            oldest: NONE,
            newest: NONE,
        }
    }

    pub const fn holds_all(&self) -> bool {
        self.all
    }

    /// Bytes that a visit has to fetch.
    pub fn fetch(&mut self, used: &VisitUse) -> f64 {
        if self.all {
            return 0.0;
        }
        let mut fetched = 0_u64;
        for (array, block, components) in used.streams() {
            let mut rest = components;
            while rest != 0 {
                let component = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                let stream = self.first[array] + block * COMPONENTS + component;
                fetched += self.touch(stream as u32);
            }
        }
        fetched as f64
    }

    fn touch(&mut self, stream: u32) -> u64 {
        let at = stream as usize;
        if self.inside[at] {
            if self.newest != stream {
                self.unlink(stream);
                self.append(stream);
            }
            return 0;
        }
        let own = u64::from(self.bytes[at]);
        while self.held + own > self.capacity && self.oldest != NONE {
            let oldest = self.oldest;
            self.unlink(oldest);
            self.inside[oldest as usize] = false;
            self.held -= u64::from(self.bytes[oldest as usize]);
        }
        self.inside[at] = true;
        self.held += own;
        self.append(stream);
        own
    }

    fn unlink(&mut self, stream: u32) {
        let (older, newer) = (self.older[stream as usize], self.newer[stream as usize]);
        match older {
            NONE => self.oldest = newer,
            _ => self.newer[older as usize] = newer,
        }
        match newer {
            NONE => self.newest = older,
            _ => self.older[newer as usize] = older,
        }
    }

    fn append(&mut self, stream: u32) {
        self.older[stream as usize] = self.newest;
        self.newer[stream as usize] = NONE;
        match self.newest {
            NONE => self.oldest = stream,
            newest => self.newer[newest as usize] = stream,
        }
        self.newest = stream;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut memory = Residency {
            all: false,
            capacity: 300,
            held: 0,
            bytes: vec![100; 8],
            first: vec![0],
            older: vec![NONE; 8],
            newer: vec![NONE; 8],
            inside: vec![false; 8],
            oldest: NONE,
            newest: NONE,
        };
        let order = [0, 1, 2, 0, 3, 0, 1];
        let fetched = order.map(|stream| memory.touch(stream));
        // The third makes 1 the oldest, which 3 drives out.
        assert_eq!(fetched, [100, 100, 100, 0, 100, 0, 100]);
        assert_eq!(memory.held, 300);
    }
}
