//! One line of a `.traceg` file: counter, lanes, registers, mnemonic, addresses.
//!
//! The fields follow the header line that the Accel-Sim tracer writes (`[line_num] PC mask
//! dest_num [reg_dests] opcode src_num [reg_srcs] mem_width [adrrescompress?] [mem_addresses]`,
//! with an immediate behind it since version 5), read from its tracer and parser. Addresses come
//! as a list, as base and stride, or as base and differences. Left out: predicates and uniform
//! registers, which traces don't hold.

use super::lanes::{LANES, Lanes};

/// Registers that a line may list on either side.
const MOST_REGISTERS: usize = 16;
/// Device addresses have fewer bits than this.
const ADDRESS_BITS: u32 = 57;

/// What stands before the program counter.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Prefix {
    /// Block and warp numbers, which tracers before version 3 repeat on each line.
    pub(super) place: bool,
    /// A source line.
    pub(super) line: bool,
}

/// A parsed line.
#[derive(Debug, Default)]
pub(super) struct Instruction {
    pub(super) pc: u32,
    pub(super) results: Registers,
    pub(super) operands: Registers,
    /// Whether addresses are given.
    pub(super) addressed: bool,
    pub(super) lanes: Lanes,
    pub(super) immediate: Option<u32>,
}

/// A short list of register numbers.
#[derive(Debug, Default)]
pub(super) struct Registers {
    numbers: [u8; MOST_REGISTERS],
    count: usize,
}

impl Registers {
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.numbers[..self.count]
    }
}

/// What is wrong with a line, and where in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) column: usize,
    pub(super) message: String,
}

/// A line, field by field.
struct Fields<'a> {
    line: &'a [u8],
    at: usize,
    /// Where the last field started.
    field: usize,
}

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.line.get(self.at..)?;
        let skip = rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
        self.field = self.at + skip;
        let text = &self.line[self.field..];
        let length = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
        self.at = self.field + length;
        Some(&text[..length])
    }

    fn fault(&self, message: String) -> Fault {
        Fault { column: self.field, message }
    }

    fn need(&mut self, what: &str) -> Result<&'a [u8], Fault> {
        if let Some(field) = self.next() {
            return Ok(field);
        }
        self.field = self.line.len();
        Err(self.fault(format!("the line ends where {what} should stand")))
    }

    fn hex(&mut self, what: &str) -> Result<u64, Fault> {
        let text = self.need(what)?;
        let digits = text.strip_prefix(b"0x").unwrap_or(text);
        let mut value = 0_u64;
        if digits.is_empty() || digits.len() > 16 {
            return Err(self.fault(format!("{what} is no hexadecimal number")));
        }
        for byte in digits {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                b'A'..=b'F' => byte - b'A' + 10,
                _ => return Err(self.fault(format!("{what} is no hexadecimal number"))),
            };
            value = value << 4 | u64::from(digit);
        }
        Ok(value)
    }

    fn decimal(&mut self, what: &str) -> Result<i64, Fault> {
        let text = self.need(what)?;
        decimal(text).ok_or_else(|| self.fault(format!("{what} is no whole number")))
    }

    fn registers(&mut self, what: &str) -> Result<Registers, Fault> {
        let count = self.decimal(what)?;
        let mut registers = Registers::default();
        if !(0..=MOST_REGISTERS as i64).contains(&count) {
            return Err(self.fault(format!("{what} is {count}; no instruction has so many")));
        }
        for _ in 0..count {
            let text = self.need("a register")?;
            let number = text.strip_prefix(b"R").and_then(decimal);
            let Some(number) = number else {
                return Err(self.fault("a register should stand here, such as R12".to_owned()));
            };
            // Whatever is none of the 255 is as good as the register that is always zero.
            registers.numbers[registers.count] = u8::try_from(number).unwrap_or(u8::MAX);
            registers.count += 1;
        }
        Ok(registers)
    }
}

/// A whole number of up to 18 digits.
pub(super) fn decimal(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0_i64;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(byte - b'0');
    }
    Some(if negative { -value } else { value })
}

impl Instruction {
    /// Parses a line into `self` and returns its mnemonic.
    pub(super) fn parse<'a>(
        &mut self,
        line: &'a [u8],
        prefix: Prefix,
        is_bulk: impl Fn(&[u8]) -> bool,
    ) -> Result<&'a [u8], Fault> {
        let mut fields = Fields { line, at: 0, field: 0 };
        if prefix.place {
            for what in ["the block's x", "the block's y", "the block's z", "the warp"] {
                fields.decimal(what)?;
            }
        }
        if prefix.line {
            fields.decimal("the source line")?;
        }
        self.pc = fields.hex("the program counter")? as u32;
        let mask = fields.hex("the mask of lanes")?;
        self.lanes.mask = u32::try_from(mask)
            .map_err(|_| fields.fault("the mask of lanes has more than 32 bits".to_owned()))?;
        self.results = fields.registers("the number of destination registers")?;
        let opcode = fields.need("the opcode")?;
        if !opcode[0].is_ascii_alphabetic() || opcode.len() > 96 {
            return Err(fields.fault("an opcode should stand here, such as FFMA".to_owned()));
        }
        self.operands = fields.registers("the number of source registers")?;
        self.addressed = false;
        self.immediate = None;
        let width = if let Some(text) = fields.next() {
            decimal(text).ok_or_else(|| {
                fields.fault("the width of the access is no whole number".to_owned())
            })?
        } else {
            0
        };
        if width > 0 && is_bulk(opcode) {
            // Lists of tiles by one thread, in formats of their own.
            return Ok(opcode);
        }
        if width > 0 {
            self.addresses(&mut fields)?;
            self.addressed = true;
        }
        self.immediate =
            fields.next().and_then(decimal).and_then(|value| u32::try_from(value).ok());
        Ok(opcode)
    }

    fn addresses(&mut self, fields: &mut Fields<'_>) -> Result<(), Fault> {
        let kept = |address: u64| address & ((1 << ADDRESS_BITS) - 1);
        let form = fields.decimal("the form of the addresses")?;
        let mask = self.lanes.mask;
        let active = (0..LANES).filter(|lane| mask >> lane & 1 == 1);
        match form {
            0 => {
                for lane in active {
                    self.lanes.addresses[lane] = kept(fields.hex("the address of a lane")?);
                }
            }
            1 => {
                let mut address = fields.hex("the base address")?;
                let stride = fields.decimal("the stride")?;
                for lane in active {
                    self.lanes.addresses[lane] = kept(address);
                    address = address.wrapping_add_signed(stride);
                }
            }
            2 if mask == 0 => {}
            2 => {
                let mut address = fields.hex("the base address")?;
                for (number, lane) in active.enumerate() {
                    if number > 0 {
                        let delta = fields.decimal("the difference to the next lane")?;
                        address = address.wrapping_add_signed(delta);
                    }
                    self.lanes.addresses[lane] = kept(address);
                }
            }
            _ => {
                return Err(fields.fault(format!(
                    "addresses come in forms 0 (list), 1 (stride) and 2 (differences), not {form}"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<(Instruction, String), Fault> {
        let mut instruction = Instruction::default();
        let opcode =
            instruction.parse(line.as_bytes(), Prefix::default(), |o| o.starts_with(b"UTMA"))?;
        let opcode = String::from_utf8_lossy(opcode).into_owned();
        Ok((instruction, opcode))
    }

    #[test]
    fn the_three_forms_of_addresses() {
        let (stride, opcode) =
            parse("0240 ffffffff 1 R40 LDS.U.128 1 R6 16 1 7f00000000 16").unwrap();
        assert_eq!((opcode.as_str(), stride.pc, stride.addressed), ("LDS.U.128", 0x240, true));
        assert_eq!(stride.lanes.addresses[31], 0x7f_0000_0000 + 31 * 16);
        let (deltas, _) = parse("0010 0000000e 0 STG.E 2 R2 R4 4 2 0x1000 8 -4 0 ").unwrap();
        assert_eq!(deltas.lanes.addresses[1..4], [0x1000, 0x1008, 0x1004]);
        assert_eq!(deltas.operands.as_slice(), [2, 4]);
        let (list, _) = parse("0010 80000001 1 R2 LDG.E 1 R4 4 0 0x20 0x00000040 7 ").unwrap();
        assert_eq!((list.lanes.addresses[0], list.lanes.addresses[31]), (0x20, 0x40));
        assert_eq!(list.immediate, Some(7));
        let (bulk, _) = parse("0010 00000001 0 UTMALDG.2D 1 R4 4 3 2 0x20 0x40").unwrap();
        assert!(!bulk.addressed);
        let (none, _) = parse("0010 ffffffff 0 EXIT 0 0").unwrap();
        assert!(!none.addressed);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, column, words) in [
            ("zz ffffffff 0 EXIT 0 0", 0, "program counter is no hexadecimal"),
            ("0010 fffffffff 0 EXIT 0 0", 5, "more than 32 bits"),
            ("0010 ffffffff 1 EXIT 0 0", 16, "a register should stand here"),
            ("0010 ffffffff 999 R1 EXIT", 14, "no instruction has so many"),
            ("0010 ffffffff 0 12 0 0", 16, "an opcode should stand here"),
            ("0010 ffffffff 1 R1 LDG 1 R2 4 9 0x10", 30, "forms 0 (list)"),
            ("0010 00000003 1 R1 LDG 1 R2 4 0 0x10", 36, "the line ends where the address"),
            ("0010", 4, "the line ends where the mask"),
        ] {
            let fault = parse(line).unwrap_err();
            assert_eq!(fault.column, column, "{line}: {fault:?}");
            assert!(fault.message.contains(words), "{line}: {fault:?}");
        }
    }
}
