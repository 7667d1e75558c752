//! The head of a `.traceg` file: `-name = value` lines with the launch shape, registers, shared
//! memory and the places of the address windows.
//!
//! Names are those of the Accel-Sim tracer. Names that are not known are passed over, as newer
//! tracers add some. Left out: cluster shapes.

use lumacycle_workloads::Launch;

use super::instruction::{Prefix, decimal};

/// Bytes of the window through which generic addresses reach shared or local memory.
const WINDOW_BYTES: u64 = 1 << 24;

/// What the head says.
#[derive(Debug, Clone, Default)]
pub(super) struct Header {
    pub(super) name: String,
    grid: Option<[u32; 3]>,
    block: Option<[u32; 3]>,
    shared_bytes: u32,
    registers: u32,
    /// Compute capability × 10 of the binary; 0 = not said.
    pub(super) version: u32,
    tracer: Option<u32>,
    line_info: bool,
    pub(super) stream: u32,
    shared_window: Option<u64>,
    local_window: Option<u64>,
}

/// `(1,2,3)` as three numbers of at least one.
fn dimensions(text: &str) -> Option<[u32; 3]> {
    let inner = text.trim().strip_prefix('(')?.strip_suffix(')')?;
    let mut parts = inner.split(',').map(|part| part.trim().parse::<u32>().ok());
    let dims = [parts.next()??, parts.next()??, parts.next()??];
    (parts.next().is_none() && !dims.contains(&0)).then_some(dims)
}

fn address(text: &str) -> Option<u64> {
    let digits = text.trim();
    u64::from_str_radix(digits.strip_prefix("0x").unwrap_or(digits), 16).ok()
}

fn number(text: &str) -> Option<u32> {
    decimal(text.trim().as_bytes()).and_then(|value| u32::try_from(value).ok())
}

impl Header {
    /// Takes in a line that starts with `-`; the error says what is wrong with its value.
    pub(super) fn take(&mut self, line: &str) -> Result<(), String> {
        let Some((name, value)) = line.split_once('=') else {
            return Err("a line of the head reads \"-name = value\"".to_owned());
        };
        let (name, value) = (name.trim_start_matches('-').trim(), value.trim());
        let bad = || format!("\"{value}\" is no value for \"{name}\"");
        match name {
            "kernel name" => value.clone_into(&mut self.name),
            "grid dim" => self.grid = Some(dimensions(value).ok_or_else(bad)?),
            "block dim" => self.block = Some(dimensions(value).ok_or_else(bad)?),
            "shmem" => self.shared_bytes = number(value).ok_or_else(bad)?,
            "nregs" => self.registers = number(value).ok_or_else(bad)?,
            "binary version" => self.version = number(value).ok_or_else(bad)?,
            "accelsim tracer version" => self.tracer = number(value),
            "enable lineinfo" => self.line_info = value == "1",
            // Handles of streams are addresses; which one is which is all that counts.
            "cuda stream id" => {
                self.stream = value.bytes().fold(0, |hash: u32, byte| {
                    hash.wrapping_mul(31).wrapping_add((byte - b'0'.min(byte)).into())
                });
            }
            "shmem base_addr" => self.shared_window = Some(address(value).ok_or_else(bad)?),
            "local mem base_addr" => self.local_window = Some(address(value).ok_or_else(bad)?),
            _ => {}
        }
        Ok(())
    }

    /// The launch shape, once the head is complete; the error says what is missing.
    pub(super) fn launch(&self) -> Result<Launch, String> {
        let missing = |name: &str| format!("the head has no line \"-{name} = (x,y,z)\"");
        let launch = Launch {
            grid: self.grid.ok_or_else(|| missing("grid dim"))?,
            block: self.block.ok_or_else(|| missing("block dim"))?,
            registers: self.registers,
            shared_bytes: self.shared_bytes,
        };
        if !launch.is_possible() || launch.shared_bytes > 1 << 20 || launch.registers > 256 {
            return Err(format!(
                "no GPU launches a grid of {:?} CTAs of {:?} threads with {} registers and {} bytes of shared memory",
                launch.grid, launch.block, launch.registers, launch.shared_bytes
            ));
        }
        Ok(launch)
    }

    /// What stands before each instruction's program counter.
    pub(super) fn prefix(&self) -> Prefix {
        Prefix { place: self.tracer.is_some_and(|version| version < 3), line: self.line_info }
    }

    /// Whether a generic address lies in shared memory.
    pub(super) fn is_shared(&self, address: u64) -> bool {
        self.shared_window.is_some_and(|base| base > 0 && address.wrapping_sub(base) < WINDOW_BYTES)
    }

    /// Whether a generic address lies in a thread's own memory.
    pub(super) fn is_local(&self, address: u64) -> bool {
        self.local_window.is_some_and(|base| base > 0 && address.wrapping_sub(base) < WINDOW_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_and_checked() {
        let mut header = Header::default();
        for line in [
            "-kernel name = void f<int, 2>(a = b)",
            "-grid dim = (4,4,1)",
            "-block dim = (256,1,1)",
            "-shmem = 1024",
            "-nregs = 32",
            "-binary version = 86",
            "-shmem base_addr = 0x00007f0000000000",
            "-accelsim tracer version = 4",
            "-something new = 7",
        ] {
            header.take(line).unwrap();
        }
        assert_eq!(header.name, "void f<int, 2>(a = b)");
        assert_eq!(header.launch().unwrap().ctas(), 16);
        assert!(header.is_shared(0x7f00_0000_0010) && !header.is_shared(0x7f00_0100_0000));
        assert!(!header.prefix().place);
        assert!(header.take("-grid dim = (0,4,1)").unwrap_err().contains("(0,4,1)"));
        assert!(header.take("-block dim = (4096,4,1)").is_ok());
        assert!(header.launch().unwrap_err().contains("no GPU launches"));
        assert!(Header::default().launch().unwrap_err().contains("grid dim"));
    }
}
