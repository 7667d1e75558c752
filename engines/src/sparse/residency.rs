//! Which streams of blocks lie in the memory of factors: all of them where they fit, else the most
//! recently used ones (LRU by block and component). What is missing is fetched in whole granules.

use lumacycle_arch::SparseAccelerator;
use lumacycle_workloads::tensorf::{COMPONENTS, EncodedFactors};

use super::patches::VisitUse;

/// Not inside.
const OUTSIDE: u32 = u32::MAX;

/// The memory of factors of one core.
#[derive(Debug, Clone)]
pub(super) struct Residency {
    all: bool,
    capacity: u64,
    held: u64,
    streams: Vec<Stream>,
    /// First stream of each array.
    first: Vec<usize>,
    /// Streams as they were used. All but the last use of a stream are out of date, and are passed over.
    uses: Vec<u32>,
    /// The oldest use that may count.
    oldest: usize,
}

/// A stream.
#[derive(Debug, Clone, Copy)]
struct Stream {
    /// In whole granules.
    bytes: u32,
    /// Number of its last use while it is inside.
    used: u32,
}

impl Stream {
    const fn outside(bytes: u32) -> Self {
        Self { bytes, used: OUTSIDE }
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
            uses: Vec::new(),
            oldest: 0,
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
        let own = u64::from(self.streams[at].bytes);
        let inside = self.streams[at].used != OUTSIDE;
        if !inside {
            self.make_room(own);
            self.held += own;
        }
        self.streams[at].used = self.uses.len() as u32;
        self.uses.push(stream);
        // Most uses are out of date by then.
        if self.uses.len() > 4 * self.streams.len() {
            self.forget();
        }
        if inside { 0 } else { own }
    }

    /// Drives out what was not used for longest until there is room, or nothing is left.
    fn make_room(&mut self, bytes: u64) {
        while self.held + bytes > self.capacity && self.oldest < self.uses.len() {
            let gone = &mut self.streams[self.uses[self.oldest] as usize];
            if gone.used as usize == self.oldest {
                gone.used = OUTSIDE;
                self.held -= u64::from(gone.bytes);
            }
            self.oldest += 1;
        }
    }

    /// Leaves uses out that are out of date.
    fn forget(&mut self) {
        let mut kept = 0;
        for number in self.oldest..self.uses.len() {
            let stream = self.uses[number];
            let own = &mut self.streams[stream as usize];
            if own.used as usize == number {
                own.used = kept as u32;
                self.uses[kept] = stream;
                kept += 1;
            }
        }
        self.uses.truncate(kept);
        self.oldest = 0;
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
            uses: Vec::new(),
            oldest: 0,
        };
        let order = [0, 1, 2, 0, 3, 0, 1];
        let fetched = order.map(|stream| memory.touch(stream));
        // The third makes 1 the oldest, which 3 drives out.
        assert_eq!(fetched, [100, 100, 100, 0, 100, 0, 100]);
        assert_eq!(memory.held, 300);
    }

    /// Many uses, of which most are forgotten, against a list in the order of use.
    #[test]
    fn what_is_forgotten_changes_nothing() {
        let sizes = [100, 60, 40, 200, 10, 90, 150, 30];
        let mut memory = Residency {
            all: false,
            capacity: 400,
            held: 0,
            streams: sizes.map(Stream::outside).to_vec(),
            first: vec![0],
            uses: Vec::new(),
            oldest: 0,
        };
        let mut list: Vec<u32> = Vec::new();
        let mut fetches = 0;
        for i in 0..2000 {
            let stream = (lumacycle_workloads::samples::mix(i) % 8) as u32;
            let bytes = |stream: u32| u64::from(sizes[stream as usize]);
            let inside = list.iter().position(|own| *own == stream);
            match inside {
                Some(place) => drop(list.remove(place)),
                None => {
                    while list.iter().map(|own| bytes(*own)).sum::<u64>() + bytes(stream) > 400 {
                        list.remove(0);
                    }
                }
            }
            list.push(stream);
            fetches += i32::from(inside.is_none());
            assert_eq!(memory.touch(stream), if inside.is_some() { 0 } else { bytes(stream) });
        }
        assert!((200..1800).contains(&fetches) && memory.uses.len() <= 32, "{fetches}");
    }
}
