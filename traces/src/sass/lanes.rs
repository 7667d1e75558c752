//! Addresses of a warp's lanes: the sectors that a request touches and the passes that banks
//! need for it.
//!
//! Shared memory, and the data array of L1 that shares its banks since Volta, serve 32 banks of
//! four bytes a clock. Accesses of 8 and 16 bytes a lane go by half and quarter warps, as the
//! CUDA guide describes; lanes that read the same word share it. Left out: merging of
//! half warps where few lanes are active.

use lumacycle_workloads::ops::traced::SECTOR_BYTES;

/// Lanes of a warp.
pub(super) const LANES: usize = 32;
const BANKS: usize = 32;

/// Bytes that the active lanes access.
#[derive(Debug, Clone)]
pub(super) struct Lanes {
    /// Which lanes take part, lane 0 in the lowest bit.
    pub(super) mask: u32,
    /// First byte of each lane; nothing for lanes that don't take part.
    pub(super) addresses: [u64; LANES],
}

impl Default for Lanes {
    fn default() -> Self {
        Self { mask: 0, addresses: [0; LANES] }
    }
}

impl Lanes {
    fn active(&self, lanes: std::ops::Range<usize>) -> impl Iterator<Item = u64> {
        lanes.filter(|lane| self.mask >> lane & 1 == 1).map(|lane| self.addresses[lane])
    }

    /// First address of all.
    pub(super) fn first(&self) -> Option<u64> {
        self.active(0..LANES).next()
    }

    /// Appends the distinct sectors that accesses of `width` bytes touch, in rising order.
    pub(super) fn sectors(&self, width: u8, out: &mut Vec<u64>) {
        let start = out.len();
        let mut rising = true;
        for address in self.active(0..LANES) {
            let last = address.saturating_add(u64::from(width.max(1)) - 1) / SECTOR_BYTES;
            for sector in address / SECTOR_BYTES..=last {
                match out[start..].last() {
                    Some(&before) if before == sector => continue,
                    Some(&before) if before > sector => rising = false,
                    _ => {}
                }
                out.push(sector);
            }
        }
        if !rising {
            out[start..].sort_unstable();
            let mut kept = start;
            for index in start..out.len() {
                if index == start || out[index] != out[kept - 1] {
                    out[kept] = out[index];
                    kept += 1;
                }
            }
            out.truncate(kept);
        }
    }

    /// Passes over the banks for accesses of `width` bytes a lane.
    pub(super) fn wavefronts(&self, width: u8) -> u32 {
        let words = usize::from(width).div_ceil(4).max(1);
        let at_once = (LANES / words).max(1);
        let full = (0..LANES).step_by(at_once);
        full.map(|first| self.pass(first..first + at_once, words)).sum()
    }

    /// Passes for lanes that are served together: the most distinct words of one bank.
    fn pass(&self, lanes: std::ops::Range<usize>, words: usize) -> u32 {
        let mut in_bank = [0_u8; BANKS];
        let mut seen = [[0_u64; LANES]; BANKS];
        let mut most = 0;
        for address in self.active(lanes) {
            for word in (0..words as u64).map(|word| address / 4 + word) {
                let bank = (word % BANKS as u64) as usize;
                let known = usize::from(in_bank[bank]);
                if known < LANES && !seen[bank][..known].contains(&word) {
                    seen[bank][known] = word;
                    in_bank[bank] += 1;
                    most = most.max(in_bank[bank]);
                }
            }
        }
        most.into()
    }

    /// Passes of an atomic: lanes that meet in a bank take turns even on the same word.
    pub(super) fn atomic_wavefronts(&self) -> u32 {
        let mut in_bank = [0_u32; BANKS];
        for address in self.active(0..LANES) {
            in_bank[(address / 4 % BANKS as u64) as usize] += 1;
        }
        in_bank.into_iter().max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(address: impl Fn(u64) -> u64) -> Lanes {
        Lanes { mask: u32::MAX, addresses: std::array::from_fn(|lane| address(lane as u64)) }
    }

    fn sectors(lanes: &Lanes, width: u8) -> usize {
        let mut out = vec![7];
        lanes.sectors(width, &mut out);
        assert!(out[1..].is_sorted());
        out.len() - 1
    }

    #[test]
    fn conflicts_of_textbook_patterns() {
        // Consecutive words, one word for all, the same bank for all, a padded column.
        assert_eq!(lanes(|lane| lane * 4).wavefronts(4), 1);
        assert_eq!(lanes(|_| 64).wavefronts(4), 1);
        assert_eq!(lanes(|lane| lane * 128).wavefronts(4), 32);
        assert_eq!(lanes(|lane| lane * 132).wavefronts(4), 1);
        assert_eq!(lanes(|lane| lane * 8).wavefronts(4), 2);
        // Vectors: half and quarter warps.
        assert_eq!(lanes(|lane| lane * 8).wavefronts(8), 2);
        assert_eq!(lanes(|lane| lane * 16).wavefronts(16), 4);
        assert_eq!(lanes(|lane| lane * 128).wavefronts(16), 32);
        assert_eq!(lanes(|_| 64).atomic_wavefronts(), 32);
        assert_eq!(Lanes::default().wavefronts(4), 0);
    }

    #[test]
    fn sectors_of_textbook_patterns() {
        assert_eq!(sectors(&lanes(|lane| lane * 4), 4), 4);
        assert_eq!(sectors(&lanes(|lane| 16 + lane * 4), 4), 5);
        assert_eq!(sectors(&lanes(|lane| 4000 - lane * 4), 4), 5);
        assert_eq!(sectors(&lanes(|lane| lane % 2 * 4096), 4), 2);
        assert_eq!(sectors(&lanes(|lane| lane * 16), 16), 16);
        assert_eq!(sectors(&Lanes { mask: 0b1000, ..lanes(|lane| lane * 4) }, 4), 1);
    }
}
