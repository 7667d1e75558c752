//! Mutations of seeds that need no engine: bytes flipped, pieces cut, doubled and exchanged, numbers and words
//! that break readers put in their place.
//!
//! The same seed of the generator gives the same inputs everywhere. Left out: learning from coverage.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

/// What breaks readers.
const NASTY: &[&str] = &[
    "0",
    "-1",
    "1",
    "255",
    "256",
    "65536",
    "2147483647",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "-1e308",
    "1e-308",
    "1e999",
    "NaN",
    "inf",
    "0.1",
    "",
    "\"\"",
    "null",
    "true",
    "[]",
    "{}",
    "[[[[[[[[",
    "{\"a\":{\"a\":{\"a\":",
    "\0",
    "\u{feff}",
    "\r\n",
    "\n",
    ",",
    "=",
    "é",
    "../../etc/passwd",
    "'",
    "\\",
    "%s",
];

fn below(random: &mut ChaCha8Rng, limit: usize) -> usize {
    if limit == 0 { 0 } else { (random.next_u64() % limit as u64) as usize }
}

/// A place and a length within so many bytes.
fn piece(random: &mut ChaCha8Rng, length: usize, most: usize) -> std::ops::Range<usize> {
    let at = below(random, length + 1);
    at..(at + below(random, most + 1)).min(length)
}

/// The number or word around a place.
fn token(bytes: &[u8], at: usize) -> std::ops::Range<usize> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-._".contains(byte);
    let start = bytes[..at].iter().rposition(|byte| !plain(byte)).map_or(0, |before| before + 1);
    let end = bytes[at..].iter().position(|byte| !plain(byte)).map_or(bytes.len(), |n| at + n);
    start..end
}

/// Changes an input in one to four ways; `others` lend pieces of theirs.
pub fn mutated(
    random: &mut ChaCha8Rng,
    seed: &[u8],
    others: &[Vec<u8>],
    longest: usize,
) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=below(random, 4) {
        let length = bytes.len();
        let at = below(random, length.max(1)).min(length);
        match below(random, 9) {
            0 if length > 0 => bytes[at] ^= 1 << below(random, 8),
            1 if length > 0 => bytes[at] = below(random, 256) as u8,
            2 => drop(bytes.drain(piece(random, length, 64))),
            3 => {
                let copy = bytes[piece(random, length, 256)].to_vec();
                bytes.splice(at..at, copy);
            }
            4 | 5 => {
                let word = NASTY[below(random, NASTY.len())];
                let place = if length > 0 { token(&bytes, at) } else { 0..0 };
                bytes.splice(place, word.bytes());
            }
            6 => {
                let word = NASTY[below(random, NASTY.len())];
                bytes.splice(at..at, word.bytes());
            }
            7 => {
                let Some(other) = others.get(below(random, others.len())) else { continue };
                let lent = other[piece(random, other.len(), 256)].to_vec();
                let place = piece(random, length, 64);
                bytes.splice(place, lent);
            }
            _ => bytes.truncate(at),
        }
    }
    bytes.truncate(longest);
    bytes
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn mutations_repeat_themselves_and_differ() {
        let others = [b"other,seed".to_vec()];
        let draw = |seed: u64| {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            (0..50).map(|_| mutated(&mut random, b"a = 12", &others, 64)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let different = draw(1).iter().filter(|bytes| bytes.as_slice() != b"a = 12").count();
        assert!(different > 40, "{different}");
        assert!(mutated(&mut ChaCha8Rng::seed_from_u64(3), b"", &[], 64).len() <= 64);
    }
}
