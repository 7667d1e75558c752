//! Text in UTF-16 (as a Windows shell writes what it redirects), passed on as UTF-8. Only texts that
//! say so by a byte order mark are decoded; what is no character becomes U+FFFD.

use std::io::{self, BufRead, Read};

/// The byte order of a text that starts with a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

/// The byte order mark that a text starts with, if it is one of UTF-16.
pub(crate) fn marked(head: &[u8]) -> Option<Order> {
    match head {
        // A further pair of zeros would make it UTF-32.
        [0xff, 0xfe, 0, 0, ..] => None,
        [0xff, 0xfe, ..] => Some(Order::Little),
        [0xfe, 0xff, ..] => Some(Order::Big),
        _ => None,
    }
}

/// Units decoded at a time.
const UNITS: usize = 1 << 13;

/// A reader of the text behind the mark.
pub(crate) struct Utf16<R> {
    inner: R,
    order: Order,
    units: Vec<u16>,
    out: Vec<u8>,
    at: usize,
}

impl<R: BufRead> Utf16<R> {
    pub(crate) fn new(inner: R, order: Order) -> Self {
        Self { inner, order, units: Vec::new(), out: Vec::new(), at: 0 }
    }

    /// The next unit; an odd byte at the end of the text is no unit.
    fn unit(&mut self) -> io::Result<Option<u16>> {
        let mut pair = [0_u8; 2];
        for byte in &mut pair {
            let Some(&next) = self.inner.fill_buf()?.first() else { return Ok(None) };
            *byte = next;
            self.inner.consume(1);
        }
        Ok(Some(match self.order {
            Order::Little => u16::from_le_bytes(pair),
            Order::Big => u16::from_be_bytes(pair),
        }))
    }

    fn decode(&mut self) -> io::Result<()> {
        self.units.clear();
        self.out.clear();
        self.at = 0;
        let first_half = |unit: u16| (0xd800..0xdc00).contains(&unit);
        while self.units.len() < UNITS || self.units.last().is_some_and(|&unit| first_half(unit)) {
            let Some(unit) = self.unit()? else { break };
            self.units.push(unit);
            // Halves without end are no text, but must not fill the memory.
            if self.units.len() >= 2 * UNITS {
                break;
            }
        }
        let mut encoded = [0; 4];
        for found in char::decode_utf16(self.units.iter().copied()) {
            let character = found.unwrap_or(char::REPLACEMENT_CHARACTER);
            if character != '\u{feff}' {
                self.out.extend_from_slice(character.encode_utf8(&mut encoded).as_bytes());
            }
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Utf16<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.out.len() {
            self.decode()?;
            if self.units.is_empty() {
                return Ok(0);
            }
        }
        let n = buffer.len().min(self.out.len() - self.at);
        buffer[..n].copy_from_slice(&self.out[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> String {
        let order = marked(bytes).unwrap();
        let mut text = String::new();
        Utf16::new(bytes, order).read_to_string(&mut text).unwrap();
        text
    }

    fn encoded(text: &str, bytes_of: impl Fn(u16) -> [u8; 2]) -> Vec<u8> {
        std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(bytes_of).collect()
    }

    #[test]
    fn both_orders_are_decoded() {
        let long = "Start (ns),µs,𝛼\r\n".repeat(5000);
        assert_eq!(decoded(&encoded(&long, u16::to_le_bytes)), long);
        assert_eq!(decoded(&encoded(&long, u16::to_be_bytes)), long);
    }

    #[test]
    fn damage_is_replaced_and_an_odd_byte_dropped() {
        let mut bytes = encoded("a", u16::to_le_bytes);
        bytes.extend([0x00, 0xd8, b'b', 0, b'c']);
        assert_eq!(decoded(&bytes), "a\u{fffd}b");
        let halves: Vec<u8> = [0xff, 0xfe].into_iter().chain([0, 0xd8].repeat(100_000)).collect();
        assert_eq!(decoded(&halves).chars().count(), 100_000);
    }

    #[test]
    fn only_marked_texts_are_taken() {
        assert_eq!(marked(b"I\0D\0"), None);
        assert_eq!(marked(&[0xff, 0xfe, 0, 0]), None);
        assert_eq!(marked(b""), None);
    }
}
