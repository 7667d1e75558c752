//! Bit streams: fields of any width up to 32 bits, one after another without gaps, least
//! significant bit first. What an encoder writes is what a memory holds, so sizes are counted from it.

/// A stream that is being written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BitStream {
    words: Vec<u64>,
    bits: usize,
}

impl BitStream {
    /// Appends the low `width` bits of a value.
    pub fn push(&mut self, value: u32, width: u32) {
        let width = width.min(32);
        if width == 0 {
            return;
        }
        let value = u64::from(value) & ((1_u64 << width) - 1);
        let (word, shift) = (self.bits / 64, self.bits % 64);
        if self.words.len() <= word {
            self.words.push(0);
        }
        self.words[word] |= value << shift;
        if shift + width as usize > 64 {
            self.words.push(value >> (64 - shift));
        }
        self.bits += width as usize;
    }

    /// Bits in the stream.
    pub const fn len(&self) -> usize {
        self.bits
    }

    /// Whether it holds nothing.
    pub const fn is_empty(&self) -> bool {
        self.bits == 0
    }

    /// Reads `width` bits at a place; `None` beyond the end.
    pub fn get(&self, at: usize, width: u32) -> Option<u32> {
        let width = width.min(32);
        if at + width as usize > self.bits {
            return None;
        }
        if width == 0 {
            return Some(0);
        }
        let (word, shift) = (at / 64, at % 64);
        let mut value = self.words[word] >> shift;
        if shift + width as usize > 64 {
            value |= self.words[word + 1] << (64 - shift);
        }
        Some((value & ((1_u64 << width) - 1)) as u32)
    }

    /// Ones among the `count` bits from a place on: what a prefix popcount unit answers.
    pub fn ones(&self, at: usize, count: usize) -> u32 {
        let end = (at + count).min(self.bits);
        let mut ones = 0;
        let mut place = at;
        while place < end {
            let width = (end - place).min(32);
            ones += self.get(place, width as u32).unwrap_or(0).count_ones();
            place += width;
        }
        ones
    }
}

/// Reads a stream from its start.
#[derive(Debug, Clone)]
pub struct BitReader<'a> {
    stream: &'a BitStream,
    at: usize,
}

impl<'a> BitReader<'a> {
    /// At the start.
    pub const fn new(stream: &'a BitStream) -> Self {
        Self { stream, at: 0 }
    }

    /// The next field; `None` at the end.
    pub fn next(&mut self, width: u32) -> Option<u32> {
        let value = self.stream.get(self.at, width)?;
        self.at += width.min(32) as usize;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fields_come_back(fields in prop::collection::vec((any::<u32>(), 1_u32..=32), 0..80)) {
            let mut stream = BitStream::default();
            for (value, width) in &fields {
                stream.push(*value, *width);
            }
            let mut reader = BitReader::new(&stream);
            for (value, width) in &fields {
                let mask = if *width == 32 { u32::MAX } else { (1 << width) - 1 };
                prop_assert_eq!(reader.next(*width), Some(value & mask));
            }
            prop_assert_eq!(reader.next(1), None);
            prop_assert_eq!(stream.len(), fields.iter().map(|(_, w)| *w as usize).sum::<usize>());
        }
    }
}
