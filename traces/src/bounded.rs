//! A bound on what lies between two separators of a text, so that a few bytes that unpack to gigabytes of one
//! name or one line cannot fill the memory.
//!
//! Left out: a bound on the whole text, which is streamed and may be large.

use std::io::{self, Read};

/// A reader that fails where a separator does not come in time.
#[derive(Debug)]
pub struct Bounded<R> {
    inner: R,
    separator: u8,
    longest: u64,
    /// Bytes since the last separator.
    run: u64,
    what: &'static str,
}

impl<R: Read> Bounded<R> {
    /// Fails when more than `longest` bytes have no `separator`; `what` is what would be that long.
    pub const fn new(inner: R, separator: u8, longest: u64, what: &'static str) -> Self {
        Self { inner, separator, longest, run: 0, what }
    }

    /// Lines of up to `longest` bytes.
    pub const fn lines(inner: R, longest: u64) -> Self {
        Self::new(inner, b'\n', longest, "a line")
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let bytes = &buffer[..read];
        // Buffers are far shorter than the bound: only what goes on past one of them can exceed it.
        self.run = match bytes.iter().rposition(|byte| *byte == self.separator) {
            Some(last) => (read - last - 1) as u64,
            None => self.run + read as u64,
        };
        if self.run > self.longest {
            let what = format!("{} of more than {} MiB", self.what, self.longest >> 20);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_end_the_reading_and_short_ones_do_not() {
        let most = 1 << 20;
        let mut text = Vec::new();
        let lines = std::io::repeat(b'a').take(most).chain(&b"\n"[..]);
        let lines = lines.chain(std::io::repeat(b'a').take(most));
        assert!(Bounded::lines(lines, most).read_to_end(&mut text).is_ok());
        assert_eq!(text.len() as u64, 2 * most + 1);
        let endless = Bounded::lines(std::io::repeat(b'a'), most).read_to_end(&mut text);
        assert_eq!(endless.unwrap_err().to_string(), "a line of more than 1 MiB");
    }
}
