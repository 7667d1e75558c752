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
    streams: Vec<Stream>,
    /// First stream of each array.
    first: Vec<usize>,
    oldest: u32,
    newest: u32,
}

/// A stream, and its place in the order of use while it is inside.
#[derive(Debug, Clone, Copy)]
struct Stream {
    /// In whole granules.
    bytes: u32,
    older: u32,
    newer: u32,
    inside: bool,
}

impl Stream {
    const fn outside(bytes: u32) -> Self {
        Self { bytes, older: NONE, newer: NONE, inside: false }
    }
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
        let mut streams = vec![Stream::outside(0); count];
        for (array, first) in encoded.arrays().zip(&first) {
            for (number, component) in array.components.iter().enumerate() {
                for (block, stream) in component.blocks.iter().enumerate() {
                    let granules = libm::ceil(f64::from(stream.bits) / 8.0 / granule);
                    streams[first + block * COMPONENTS + number].bytes =
                        (granules * granule) as u32;
                }
            }
        }
        Self {
            all: encoded.bytes() <= capacity,
            capacity: capacity as u64,
            held: 0,
            first,
            streams,
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
        if self.streams[at].inside {
            if self.newest != stream {
                self.unlink(stream);
                self.append(stream);
            }
            return 0;
        }
        let own = u64::from(self.streams[at].bytes);
        while self.held + own > self.capacity && self.oldest != NONE {
            let oldest = self.oldest;
            self.unlink(oldest);
            let gone = &mut self.streams[oldest as usize];
            gone.inside = false;
            self.held -= u64::from(gone.bytes);
        }
        self.streams[at].inside = true;
        self.held += own;
        self.append(stream);
        own
    }

    fn unlink(&mut self, stream: u32) {
        let Stream { older, newer, .. } = self.streams[stream as usize];
        match older {
            NONE => self.oldest = newer,
            _ => self.streams[older as usize].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            _ => self.streams[newer as usize].older = older,
        }
    }

    fn append(&mut self, stream: u32) {
        let own = &mut self.streams[stream as usize];
        (own.older, own.newer) = (self.newest, NONE);
        match self.newest {
            NONE => self.oldest = stream,
            newest => self.streams[newest as usize].newer = stream,
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
            streams: vec![Stream::outside(100); 8],
            first: vec![0],
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
