//! What a SASS mnemonic means for a machine model: which pipe takes it, how wide its accesses and
//! results are, how many products a tensor instruction makes.
//!
//! Pipes follow NVIDIA's description of them in the Nsight Compute documentation and the
//! throughput table of the CUDA C++ programming guide (Maxwell to Hopper): comparisons, minima
//! and selections of floats go to the integer side, conversions and bit counts to the special
//! functions, integer multiplies of Volta, Turing and GA100 to the fp32 side. Left out: rates
//! within a pipe, and the uniform datapath, whose instructions are taken to cost an issue slot.

use lumacycle_workloads::TensorType;

/// Who executes an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pipe {
    Fp32,
    Fp64,
    Fp16x2,
    Int32,
    Sfu,
    Memory,
    Control,
    Tensor,
}

/// Which memory an instruction addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    None,
    Global,
    Shared,
    Local,
    /// Global, shared or local, by address.
    Generic,
    /// From global into shared memory.
    Copy,
    /// Texture and surface units, which trace no addresses.
    Texture,
    /// Copies of whole tiles by one thread (TMA).
    Bulk,
}

/// What it does there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
    Atomic,
}

/// What it means to the order of a warp's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Plain,
    /// CTA-wide barrier.
    Barrier,
    /// Ends a group of asynchronous copies.
    Commit,
    /// Waits until no more groups than its immediate are under way.
    Wait,
}

/// A decoded mnemonic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Opcode {
    pub(super) pipe: Pipe,
    pub(super) space: Space,
    pub(super) access: Access,
    pub(super) role: Role,
    /// Bytes that a lane accesses.
    pub(super) width: u8,
    /// Lanes whose addresses count (fewer where a matrix is loaded).
    pub(super) lanes: u8,
    /// Registers that the result takes.
    pub(super) results: u8,
    /// Operand type and dense multiply-accumulates of a tensor instruction.
    pub(super) tensor: Option<(TensorType, f64)>,
    /// Whether a tensor instruction takes its operands from registers.
    pub(super) from_registers: bool,
    /// Whether the mnemonic is in the table.
    pub(super) known: bool,
}

impl Opcode {
    fn plain(pipe: Pipe) -> Self {
        Self {
            pipe,
            space: Space::None,
            access: Access::Read,
            role: Role::Plain,
            width: 0,
            lanes: 32,
            results: if pipe == Pipe::Fp64 { 2 } else { 1 },
            tensor: None,
            from_registers: true,
            known: true,
        }
    }

    fn memory(space: Space, access: Access, text: &str) -> Self {
        let width = width(text);
        let results = (width / 4).max(1);
        Self { space, access, width, results, ..Self::plain(Pipe::Memory) }
    }

    fn with_role(role: Role) -> Self {
        Self { role, ..Self::plain(Pipe::Control) }
    }

    fn tensor(text: &str, kind: TensorType, macs: f64, from_registers: bool) -> Self {
        let halves = text.contains(".F16") && !text.contains(".F32");
        Self {
            results: if halves { 2 } else { 4 },
            tensor: Some((kind, macs)),
            from_registers,
            ..Self::plain(Pipe::Tensor)
        }
    }
}

/// Bytes per lane, from the modifiers of an access (`LDG.E.128`, `LDS.U.64`, `STG.E.U8`).
fn width(text: &str) -> u8 {
    for token in text.split('.').skip(1) {
        match token.trim_start_matches(['U', 'S', 'B']) {
            "8" => return 1,
            "16" => return 2,
            "32" => return 4,
            "64" => return 8,
            "128" => return 16,
            "256" => return 32,
            _ => {}
        }
    }
    4
}

/// Decodes a mnemonic of a binary for `version` (compute capability × 10).
pub(super) fn decode(text: &str, version: u32) -> Opcode {
    let base = text.split('.').next().unwrap_or_default();
    if let Some(found) = memory(base, text).or_else(|| tensor(base, text, version)) {
        return found;
    }
    let pipe = match base {
        "FADD" | "FADD32I" | "FFMA" | "FFMA32I" | "FMUL" | "FMUL32I" | "FSWZADD" | "FADD2"
        | "FFMA2" | "FMUL2" => Pipe::Fp32,
        "DADD" | "DFMA" | "DMUL" | "DMNMX" | "DSET" | "DSETP" => Pipe::Fp64,
        "HADD2" | "HADD2_32I" | "HFMA2" | "HFMA2_32I" | "HMUL2" | "HMUL2_32I" | "HSET2"
        | "HSETP2" | "HMNMX2" => Pipe::Fp16x2,
        // One multiplier for floats and integers; later parts multiply integers at half the
        // rate of floats.
        "IMAD" | "IMUL" | "IMUL32I" | "IMAD32I" | "IDP" | "IDP4A" => {
            if (70..=80).contains(&version) { Pipe::Fp32 } else { Pipe::Int32 }
        }
        "MUFU" | "RRO" | "F2F" | "F2I" | "I2F" | "I2I" | "FRND" | "POPC" | "FLO" | "BREV"
        | "REDUX" => Pipe::Sfu,
        "FCMP" | "FCHK" | "FMNMX" | "FMNMX3" | "FSEL" | "FSET" | "FSETP" | "BMSK" | "IABS"
        | "IADD" | "IADD3" | "IADD32I" | "IMNMX" | "ISCADD" | "ISCADD32I" | "ISETP" | "ISET"
        | "LEA" | "LOP" | "LOP3" | "LOP32I" | "SHF" | "SHL" | "SHR" | "VABSDIFF" | "VABSDIFF4"
        | "VADD" | "VMNMX" | "VSET" | "VSETP" | "VSHL" | "VSHR" | "VMAD" | "BFE" | "BFI"
        | "ICMP" | "IMADSP" | "XMAD" | "VIADD" | "VIADDMNMX" | "VIMNMX" | "VIMNMX3" | "VHMNMX"
        | "F2FP" | "I2IP" | "I2FP" | "F2IP" | "MOV" | "MOV32I" | "MOVM" | "PRMT" | "SEL"
        | "SGXT" | "PLOP3" | "PSET" | "PSETP" | "P2R" | "R2P" | "CSET" | "CSETP" | "CS2R"
        | "S2R" | "R2UR" | "S2UR" | "VOTE" | "VOTEU" | "VOTE_VTG" | "MATCH" | "QSPC" | "LDC"
        | "B2R" | "R2B" | "LEPC" | "GETLMEMBASE" | "ELECT" | "LDTM" | "STTM" => Pipe::Int32,
        "BAR" => return Opcode::with_role(Role::Barrier),
        "LDGDEPBAR" => return Opcode::with_role(Role::Commit),
        "DEPBAR" => return Opcode::with_role(Role::Wait),
        "BMOV" | "BPT" | "BRA" | "BREAK" | "BRX" | "BRXU" | "BSSY" | "BSYNC" | "CALL" | "EXIT"
        | "JMP" | "JMX" | "JMXU" | "KILL" | "NANOSLEEP" | "RET" | "RPCMOV" | "RTT" | "WARPSYNC"
        | "YIELD" | "SSY" | "SYNC" | "CAL" | "JCAL" | "PRET" | "BRK" | "PBK" | "CONT" | "PCNT"
        | "PEXIT" | "NOP" | "PMTRIG" | "MEMBAR" | "ERRBAR" | "CGAERRBAR" | "FENCE" | "CCTL"
        | "CCTLL" | "CCTLT" | "CSMTEST" | "SETCTAID" | "SETLMEMBASE" | "ARRIVES" | "SYNCS"
        | "WARPGROUP" | "UCGABAR_ARV" | "UCGABAR_WAIT" | "USETMAXREG" | "ACQBULK" | "PREEXIT"
        | "UTMACCTL" | "UTMACMDFLUSH" | "WARPGROUPSET" | "ENDCOLLECTIVE" | "DEPBAR_ALL" => {
            Pipe::Control
        }
        _ if is_uniform(base) => Pipe::Control,
        _ => return Opcode { known: false, ..Opcode::plain(Pipe::Int32) },
    };
    Opcode::plain(pipe)
}

/// Instructions of the uniform datapath: once a warp, beside the lanes.
fn is_uniform(base: &str) -> bool {
    matches!(
        base,
        "UBMSK"
            | "UBREV"
            | "UCLEA"
            | "UF2FP"
            | "UFLO"
            | "UIADD3"
            | "UIMAD"
            | "UISETP"
            | "ULDC"
            | "ULEA"
            | "ULOP"
            | "ULOP3"
            | "ULOP32I"
            | "UMOV"
            | "UP2UR"
            | "UPLOP3"
            | "UPOPC"
            | "UPRMT"
            | "UPSETP"
            | "UR2UP"
            | "USEL"
            | "USGXT"
            | "USHF"
            | "USHL"
            | "USHR"
            | "UFADD"
            | "UFFMA"
            | "UFMUL"
            | "UFSETP"
            | "UFSEL"
            | "UVIADD"
            | "UVIMNMX"
            | "UI2F"
            | "UF2F"
    )
}

fn memory(base: &str, text: &str) -> Option<Opcode> {
    let found = match base {
        "LDG" => Opcode::memory(Space::Global, Access::Read, text),
        "LD" => Opcode::memory(Space::Generic, Access::Read, text),
        "LDS" => Opcode::memory(Space::Shared, Access::Read, text),
        "LDL" => Opcode::memory(Space::Local, Access::Read, text),
        "LDSM" => {
            // Rows of 16 bytes; lanes 0-7, 8-15, … address those of one matrix each.
            let matrices = text.rsplit('.').next().and_then(|last| last.parse::<u8>().ok());
            let matrices = matrices.filter(|n| [1, 2, 4].contains(n)).unwrap_or(1);
            Opcode {
                width: 16,
                lanes: 8 * matrices,
                results: matrices,
                ..Opcode::memory(Space::Shared, Access::Read, text)
            }
        }
        "STSM" => Opcode { width: 16, ..Opcode::memory(Space::Shared, Access::Write, text) },
        "STG" => Opcode::memory(Space::Global, Access::Write, text),
        "ST" => Opcode::memory(Space::Generic, Access::Write, text),
        "STS" => Opcode::memory(Space::Shared, Access::Write, text),
        "STL" => Opcode::memory(Space::Local, Access::Write, text),
        "ATOMS" => Opcode::memory(Space::Shared, Access::Atomic, text),
        "ATOM" => Opcode::memory(Space::Generic, Access::Atomic, text),
        "ATOMG" | "RED" | "REDG" => Opcode::memory(Space::Global, Access::Atomic, text),
        "LDGSTS" => Opcode::memory(Space::Copy, Access::Read, text),
        // Values cross the lanes through shared memory's crossbar.
        "SHFL" => Opcode::plain(Pipe::Memory),
        "TEX" | "TEXS" | "TLD" | "TLDS" | "TLD4" | "TLD4S" | "TMML" | "TXD" | "TXQ" | "SULD" => {
            Opcode::memory(Space::Texture, Access::Read, text)
        }
        "SUST" => Opcode::memory(Space::Texture, Access::Write, text),
        "SUATOM" | "SURED" | "SUQUERY" => Opcode::memory(Space::Texture, Access::Atomic, text),
        "UBLKCP" | "UBLKPF" | "UBLKRED" | "UTMALDG" | "UTMASTG" | "UTMAPF" | "UTMAREDG" => {
            Opcode::memory(Space::Bulk, Access::Read, text)
        }
        _ => return None,
    };
    Some(found)
}

/// Multiply-accumulates of `m × n × k` written without separators, as in `HMMA.16816`.
fn shape_macs(digits: &str) -> Option<f64> {
    const SHAPES: [(&str, [u32; 3]); 12] = [
        ("884", [8, 8, 4]),
        ("1684", [16, 8, 4]),
        ("1688", [16, 8, 8]),
        ("16816", [16, 8, 16]),
        ("16832", [16, 8, 32]),
        ("16864", [16, 8, 64]),
        ("168128", [16, 8, 128]),
        ("168256", [16, 8, 256]),
        ("8816", [8, 8, 16]),
        ("8832", [8, 8, 32]),
        ("8864", [8, 8, 64]),
        ("88128", [8, 8, 128]),
    ];
    let (_, shape) = SHAPES.iter().find(|(written, _)| *written == digits)?;
    Some(f64::from(shape.iter().product::<u32>()))
}

fn tensor(base: &str, text: &str, version: u32) -> Option<Opcode> {
    let has = |word: &str| text.split('.').any(|token| token == word);
    let kind = match base {
        "HMMA" | "HGMMA" if has("BF16") => TensorType::Bf16,
        "HMMA" | "HGMMA" if has("TF32") => TensorType::Tf32,
        "HMMA" | "HGMMA" if has("F32") => TensorType::Fp16Acc32,
        "HMMA" | "HGMMA" => TensorType::Fp16,
        "IMMA" | "IGMMA" if has("S4") || has("U4") => TensorType::Int4,
        "IMMA" | "IGMMA" => TensorType::Int8,
        "BMMA" | "BGMMA" => TensorType::Int4,
        "QMMA" | "QGMMA" => TensorType::Fp8,
        "DMMA" => TensorType::Fp64,
        _ => return None,
    };
    // Warp groups: 64 × n × k by four warps, each of which lists the instruction.
    if let Some(shape) = text.split('.').find(|token| token.matches('x').count() == 2) {
        let sizes: Option<Vec<u32>> = shape.split('x').map(|size| size.parse().ok()).collect();
        let sizes = sizes.filter(|sizes| sizes.iter().all(|size| (1..=1024).contains(size)))?;
        let macs: f64 = sizes.iter().map(|size| f64::from(*size)).product();
        return Some(Opcode::tensor(text, kind, macs / 4.0, false));
    }
    let digits = text.split('.').find(|token| shape_macs(token).is_some());
    let mut macs = shape_macs(digits.unwrap_or("16816"))?;
    if base == "HMMA" && digits == Some("884") {
        // Volta: four quads of 8 × 8 × 4 in four steps, or two where it adds up halves.
        macs = if has("F32") { 256.0 } else { 512.0 };
        if version >= 75 {
            macs = 1024.0;
        }
    }
    if has("SP") {
        // Half of a sparse product's operands are never multiplied.
        macs /= 2.0;
    }
    if base == "BMMA" {
        // Single bits run at four times the rate of four-bit integers.
        macs /= 4.0;
    }
    let known = digits.is_some();
    Some(Opcode { known, ..Opcode::tensor(text, kind, macs, true) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_of_common_instructions() {
        for (text, version, pipe) in [
            ("FFMA.FTZ", 86, Pipe::Fp32),
            ("FSETP.GT.AND", 86, Pipe::Int32),
            ("IMAD.WIDE.U32", 70, Pipe::Fp32),
            ("IMAD.WIDE.U32", 86, Pipe::Int32),
            ("XMAD.PSL", 61, Pipe::Int32),
            ("HFMA2.MMA", 80, Pipe::Fp16x2),
            ("MUFU.RCP", 52, Pipe::Sfu),
            ("DFMA", 80, Pipe::Fp64),
            ("BAR.SYNC", 86, Pipe::Control),
            ("ULDC.64", 86, Pipe::Control),
        ] {
            let found = decode(text, version);
            assert_eq!((found.pipe, found.known), (pipe, true), "{text}");
        }
        let unknown = decode("FROBNICATE.X", 86);
        assert_eq!((unknown.pipe, unknown.known), (Pipe::Int32, false));
    }

    #[test]
    fn accesses_have_their_width() {
        for (text, width) in [
            ("LDG.E.128.CONSTANT", 16),
            ("LDG.E.LTC128B.64.SYS", 8),
            ("LDS.U.128", 16),
            ("STG.E.U8", 1),
            ("LDG.E.S16", 2),
            ("RED.E.ADD.F32.FTZ.RN.STRONG.GPU", 4),
            ("LDSM.16.M88.4", 16),
        ] {
            assert_eq!(decode(text, 86).width, width, "{text}");
        }
        assert_eq!(decode("LDSM.16.MT88.2", 86).lanes, 16);
        assert_eq!(decode("LDSM.16.M88", 86).lanes, 8);
    }

    #[test]
    fn tensor_instructions_have_their_products() {
        for (text, kind, macs) in [
            ("HMMA.16816.F32", TensorType::Fp16Acc32, 2048.0),
            ("HMMA.1688.F16", TensorType::Fp16, 1024.0),
            ("HMMA.16816.F32.BF16", TensorType::Bf16, 2048.0),
            ("HMMA.1688.F32.TF32", TensorType::Tf32, 1024.0),
            ("HMMA.884.F32.F32.STEP0", TensorType::Fp16Acc32, 256.0),
            ("IMMA.16832.S8.S8", TensorType::Int8, 4096.0),
            ("DMMA.884", TensorType::Fp64, 256.0),
            ("HGMMA.64x128x16.F32", TensorType::Fp16Acc32, 32768.0),
        ] {
            let version = if text.contains("STEP") { 70 } else { 86 };
            assert_eq!(decode(text, version).tensor, Some((kind, macs)), "{text}");
        }
    }
}
