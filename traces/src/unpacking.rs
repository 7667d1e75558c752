//! A bound on what packed files give: a few megabytes that unpack to many gigabytes are no recording, and whatever
//! is kept of each event would fill the memory.
//!
//! Left out: a bound on plain files, which take room on a disk already and may be large. So a file that
//! is refused here, and meant, can be unpacked by hand.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// Times its size that a file may unpack to, all layers and members taken together. Profiles pack to a tenth or a
/// thirtieth; gzip goes no further than to a 1032nd.
const MOST_TIMES: u64 = 256;
/// Bytes that any file may unpack to.
const ALWAYS: u64 = 512 << 20;

/// What a file took and gave so far.
#[derive(Debug, Default)]
pub(crate) struct Unpacking {
    packed: Cell<u64>,
    unpacked: Cell<u64>,
}

/// The file itself.
#[derive(Debug)]
pub(crate) struct Packed<R> {
    inner: R,
    counts: Rc<Unpacking>,
}

impl<R: Read> Packed<R> {
    pub(crate) fn new(inner: R, counts: &Rc<Unpacking>) -> Self {
        Self { inner, counts: Rc::clone(counts) }
    }
}

impl<R: Read> Read for Packed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.counts.packed.set(self.counts.packed.get() + read as u64);
        Ok(read)
    }
}

/// What comes out of a container; fails where that is far more than went in.
#[derive(Debug)]
pub(crate) struct Unpacked<R> {
    inner: R,
    counts: Rc<Unpacking>,
}

impl<R: Read> Unpacked<R> {
    pub(crate) fn new(inner: R, counts: &Rc<Unpacking>) -> Self {
        Self { inner, counts: Rc::clone(counts) }
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let (packed, unpacked) = (&self.counts.packed, &self.counts.unpacked);
        unpacked.set(unpacked.get() + read as u64);
        if unpacked.get() > ALWAYS.max(packed.get().saturating_mul(MOST_TIMES)) {
            let what = format!(
                "it unpacks to more than {MOST_TIMES} times its size; if that is right, unpack it by hand"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(packed: u64, unpacked: u64) -> io::Result<u64> {
        let counts = Rc::new(Unpacking::default());
        io::copy(&mut Packed::new(io::repeat(0).take(packed), &counts), &mut io::sink())?;
        io::copy(&mut Unpacked::new(io::repeat(0).take(unpacked), &counts), &mut io::sink())
    }

    #[test]
    fn only_large_files_have_to_be_worth_their_size() {
        assert_eq!(read(16, ALWAYS).unwrap(), ALWAYS);
        assert!(read(16, ALWAYS + 1).unwrap_err().to_string().contains("256 times"));
        let packed = 2 * ALWAYS / MOST_TIMES;
        assert_eq!(read(packed, 2 * ALWAYS).unwrap(), 2 * ALWAYS);
        assert!(read(packed, 2 * ALWAYS + 1).is_err());
    }
}
