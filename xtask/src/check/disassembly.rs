//! Proof that the hypervisor leaves the guest's vector and x87 state alone: no instruction in it touches them.
//!
//! The guest's registers stay in the CPU across exits, so one SSE move in our own code would corrupt the guest. Every
//! executable section of the release build is decoded. Not counted: instructions that save, restore or set up that state as
//! a whole (XSAVE, XRSTOR, FXSAVE, FXRSTOR, XSETBV, XGETBV, LDMXCSR, STMXCSR, FNINIT), which is how it is switched between
//! vCPUs, and instructions of the SSE sets that only order or hint memory (fences, PAUSE, PREFETCH, MOVNTI).

use anyhow::{Context, Result, bail};
use iced_x86::{CpuidFeature, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind};

use super::workspace::Workspace;

/// More than this says nothing new.
const SHOWN: usize = 20;

/// Sections with code that runs before long mode, which cannot be decoded as 64-bit code; their names hold this.
const STARTUP: &str = "trampoline";

/// Decodes the release build of the hypervisor, or the file that `CAISSON_ELF` names.
pub(super) fn faults(_: &Workspace) -> Result<Vec<String>> {
    let path = match std::env::var_os("CAISSON_ELF") {
        Some(path) => path.into(),
        None => crate::build::caisson(crate::build::Profile::Release)?,
    };
    let elf = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let mut faults =
        faults_in(&elf).with_context(|| format!("in {}", crate::paths::shown(&path)))?;
    if faults.len() > SHOWN {
        let more = faults.len() - SHOWN;
        faults.truncate(SHOWN);
        faults.push(format!("and {more} more"));
    }
    Ok(faults)
}

fn faults_in(elf: &[u8]) -> Result<Vec<String>> {
    let elf = Elf::parse(elf)?;
    let mut faults = Vec::new();
    let mut count = 0_u64;
    for section in elf
        .executable
        .iter()
        .filter(|section| !section.name.contains(STARTUP))
    {
        let mut decoder =
            Decoder::with_ip(64, section.bytes, section.address, DecoderOptions::NONE);
        let mut instruction = Instruction::default();
        while decoder.can_decode() {
            decoder.decode_out(&mut instruction);
            count += 1;
            if let Some(what) = fault(&instruction) {
                let at = instruction.ip();
                faults.push(format!("{at:#x} in {}: {what}", elf.symbol_at(at)));
            }
        }
    }
    if count == 0 {
        bail!("no executable section");
    }
    Ok(faults)
}

/// What is wrong with an instruction, if anything.
fn fault(instruction: &Instruction) -> Option<String> {
    if instruction.is_invalid() {
        return Some("bytes that are no instruction".to_owned());
    }
    if matches!(
        instruction.mnemonic(),
        Mnemonic::Fninit | Mnemonic::Ldmxcsr | Mnemonic::Stmxcsr
    ) {
        return None;
    }
    let has_vector_operand = (0..instruction.op_count())
        .filter(|index| instruction.op_kind(*index) == OpKind::Register)
        .map(|index| instruction.op_register(index))
        .any(|register| {
            register.is_vector_register()
                || register.is_mm()
                || register.is_st()
                || register.is_k()
                || register.is_tmm()
        });
    // Those without a register operand: x87 loads from memory, EMMS, VZEROUPPER.
    let is_of_that_kind = instruction.cpuid_features().iter().any(|feature| {
        matches!(
            feature,
            CpuidFeature::FPU
                | CpuidFeature::FPU287
                | CpuidFeature::FPU387
                | CpuidFeature::MMX
                | CpuidFeature::AVX
                | CpuidFeature::AVX2
                | CpuidFeature::AVX512F
        )
    });
    (has_vector_operand || is_of_that_kind).then(|| format!("{:?}", instruction.code()))
}

struct Section<'a> {
    name: String,
    address: u64,
    bytes: &'a [u8],
}

struct Elf<'a> {
    executable: Vec<Section<'a>>,
    /// Function symbols by address.
    symbols: Vec<(u64, String)>,
}

/// One entry of the section table. (ELF-64 object file format, section 5)
struct Header {
    name: u32,
    kind: u32,
    flags: u64,
    address: u64,
    offset: u64,
    size: u64,
    link: u32,
}

const SHF_EXECINSTR: u64 = 4;
const SHT_SYMTAB: u32 = 2;
const SHT_NOBITS: u32 = 8;
const STT_FUNC: u8 = 2;

impl<'a> Elf<'a> {
    fn parse(elf: &'a [u8]) -> Result<Self> {
        if elf.get(..5) != Some(b"\x7fELF\x02") {
            bail!("not a 64-bit ELF file");
        }
        let table = number(elf, 0x28, 8)?;
        let (count, names_at) = (number(elf, 0x3c, 2)?, number(elf, 0x3e, 2)?);
        let headers: Vec<Header> = (0..count)
            .map(|index| header(elf, table + index * 64))
            .collect::<Result<_>>()?;
        let find = |index: u64| headers.get(usize::try_from(index).ok()?);
        let names = find(names_at)
            .map(|header| content(elf, header))
            .transpose()?
            .unwrap_or_default();
        let mut executable = Vec::new();
        let mut symbols = Vec::new();
        for header in &headers {
            if header.flags & SHF_EXECINSTR != 0 && header.kind != SHT_NOBITS {
                let name = text_at(names, u64::from(header.name));
                executable.push(Section {
                    name,
                    address: header.address,
                    bytes: content(elf, header)?,
                });
            }
            if header.kind == SHT_SYMTAB {
                let strings = find(u64::from(header.link))
                    .map(|header| content(elf, header))
                    .transpose()?;
                for entry in content(elf, header)?.chunks_exact(24) {
                    if entry[4] & 0xf == STT_FUNC {
                        let name = text_at(strings.unwrap_or_default(), number(entry, 0, 4)?);
                        symbols.push((number(entry, 8, 8)?, name));
                    }
                }
            }
        }
        symbols.sort();
        Ok(Self {
            executable,
            symbols,
        })
    }

    fn symbol_at(&self, address: u64) -> &str {
        let behind = self.symbols.partition_point(|(at, _)| *at <= address);
        behind
            .checked_sub(1)
            .and_then(|index| self.symbols.get(index))
            .map_or("an unnamed place", |(_, name)| name)
    }
}

fn header(elf: &[u8], at: u64) -> Result<Header> {
    let field = |offset: u64, len: usize| number(elf, at + offset, len);
    Ok(Header {
        name: u32::try_from(field(0, 4)?)?,
        kind: u32::try_from(field(4, 4)?)?,
        flags: field(8, 8)?,
        address: field(16, 8)?,
        offset: field(24, 8)?,
        size: field(32, 8)?,
        link: u32::try_from(field(40, 4)?)?,
    })
}

fn content<'a>(elf: &'a [u8], header: &Header) -> Result<&'a [u8]> {
    let start = usize::try_from(header.offset)?;
    let end = start
        .checked_add(usize::try_from(header.size)?)
        .context("a section of impossible size")?;
    elf.get(start..end).context("a section outside the file")
}

/// A little-endian number of `len` bytes.
fn number(bytes: &[u8], at: u64, len: usize) -> Result<u64> {
    let at = usize::try_from(at)?;
    let field = bytes.get(at..at + len).context("the file is too short")?;
    Ok(field
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn text_at(strings: &[u8], at: u64) -> String {
    let rest = usize::try_from(at)
        .ok()
        .and_then(|at| strings.get(at..))
        .unwrap_or_default();
    let end = rest
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(rest.len());
    String::from_utf8_lossy(&rest[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(code: &[u8]) -> Option<String> {
        fault(&Decoder::new(64, code, DecoderOptions::NONE).decode())
    }

    #[test]
    fn vector_and_x87_instructions_are_faults() {
        assert!(first(&[0x0f, 0x28, 0xc1]).is_some(), "movaps xmm0, xmm1");
        assert!(first(&[0xd9, 0x00]).is_some(), "fld dword [rax]");
        assert!(first(&[0x0f, 0x77]).is_some(), "emms");
        // Where the workspace's decoder is built without VEX, it is a fault as bytes that are no instruction.
        assert!(first(&[0xc5, 0xf8, 0x77]).is_some(), "vzeroupper");
    }

    #[test]
    fn switching_the_state_as_a_whole_is_none() {
        assert_eq!(first(&[0x0f, 0xae, 0x20]), None, "xsave [rax]");
        assert_eq!(first(&[0x48, 0x0f, 0xae, 0x08]), None, "fxrstor64 [rax]");
        assert_eq!(first(&[0x0f, 0x01, 0xd1]), None, "xsetbv");
        assert_eq!(first(&[0x0f, 0xae, 0x10]), None, "ldmxcsr [rax]");
        assert_eq!(first(&[0xdb, 0xe3]), None, "fninit");
    }

    #[test]
    fn ordering_and_hints_are_none() {
        assert_eq!(first(&[0x0f, 0xae, 0xf0]), None, "mfence");
        assert_eq!(first(&[0xf3, 0x90]), None, "pause");
    }
}
