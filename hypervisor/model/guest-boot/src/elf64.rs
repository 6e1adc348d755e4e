//! Plain 64-bit ELF: segments go to their physical addresses, the entry runs in long mode.
//!
//! At the entry RDI holds the address of the command line, which ends with a zero, RSI that of the ACPI root pointer, RSP
//! a stack of a few KiB, and the first 4 GiB are mapped to themselves. (System V ABI, ELF-64 object file format 1.5)

use crate::error::LoadError;
use crate::layout::MemoryLayout;
use crate::plan::{BootPlan, Content, Write};
use crate::{Boot, long_mode};
use addr::{Gpa, GpaRange};
use alloc::vec::Vec;
use elf::ElfBytes;
use elf::abi::{EM_X86_64, ET_EXEC, PT_LOAD};
use elf::endian::LittleEndian;
use elf::segment::ProgramHeader;
use x86::Gpr;

const E_TYPE: u64 = 0x10;
const E_MACHINE: u64 = 0x12;
const E_ENTRY: u64 = 0x18;
const E_PHOFF: u64 = 0x20;
const E_PHENTSIZE: u64 = 0x36;
const E_PHNUM: u64 = 0x38;
const PROGRAM_HEADER_BYTES: u64 = 56;
/// More make no kernel, and comparing each with each takes time.
const SEGMENTS_MOST: u16 = 256;
const P_PADDR: u64 = 0x18;
const P_FILESZ: u64 = 0x20;

pub(crate) fn plan<'a>(boot: &Boot<'a>, layout: &MemoryLayout) -> Result<BootPlan<'a>, LoadError> {
    let image = boot.kernel;
    let file = parse(image)?;
    let header = file.ehdr;
    let mut loaded: Vec<GpaRange> = Vec::new();
    let mut writes = Vec::from(long_mode::writes());
    let segments = file.segments().into_iter().flat_map(|table| table.iter());
    for (number, segment) in segments.enumerate() {
        if segment.p_type != PT_LOAD || segment.p_memsz == 0 {
            continue;
        }
        let at = header
            .e_phoff
            .saturating_add(number as u64 * PROGRAM_HEADER_BYTES);
        let (range, bytes) = load(image, &segment, at, layout)?;
        if loaded.iter().any(|other| other.overlaps(&range)) {
            return Err(wrong(
                "p_paddr",
                at.saturating_add(P_PADDR),
                segment.p_paddr,
                "overlaps another segment",
            ));
        }
        loaded.push(range);
        writes.push(Write::borrowed(range.start(), bytes));
        let zeros = range.len_bytes() - bytes.len() as u64;
        if zeros != 0 {
            let at = range.start().wrapping_add(bytes.len() as u64);
            writes.push(Write {
                at,
                content: Content::Zeros(zeros),
            });
        }
    }
    if !loaded
        .iter()
        .any(|range| range.contains(Gpa::new(header.e_entry)))
    {
        return Err(wrong(
            "e_entry",
            E_ENTRY,
            header.e_entry,
            "lies in no loaded segment",
        ));
    }
    writes.push(Write::made(long_mode::CMDLINE, cmdline(boot.cmdline)?));

    let mut start = long_mode::start(header.e_entry);
    start.gpr[Gpr::Rdi.index()] = long_mode::CMDLINE.raw();
    start.gpr[Gpr::Rsi.index()] = boot.rsdp.raw();
    Ok(BootPlan { writes, start })
}

/// Reads the headers and checks what all of the rest rests on.
fn parse(image: &[u8]) -> Result<ElfBytes<'_, LittleEndian>, LoadError> {
    let file = ElfBytes::<LittleEndian>::minimal_parse(image).map_err(|error| match error {
        elf::ParseError::BadOffset(end) => wrong("e_phoff", E_PHOFF, end, "lies outside the file"),
        elf::ParseError::SliceReadError((_, end)) => LoadError::Truncated {
            what: "the ELF headers",
            wanted_bytes: end as u64,
            len_bytes: image.len() as u64,
        },
        elf::ParseError::BadEntsize((entry_bytes, _)) => wrong(
            "e_phentsize",
            E_PHENTSIZE,
            entry_bytes,
            "is not the size of a header",
        ),
        // What is left is overflow and a byte order or version that is none of x86's.
        _ => wrong(
            "e_ident",
            0,
            0,
            "is not that of a little-endian ELF file, or its tables lie outside",
        ),
    })?;
    let header = &file.ehdr;
    if header.e_type != ET_EXEC {
        return Err(wrong(
            "e_type",
            E_TYPE,
            header.e_type.into(),
            "is not ET_EXEC: link it statically, not PIE",
        ));
    }
    if header.e_machine != EM_X86_64 {
        return Err(wrong(
            "e_machine",
            E_MACHINE,
            header.e_machine.into(),
            "is not EM_X86_64",
        ));
    }
    if header.e_phnum > SEGMENTS_MOST {
        return Err(wrong(
            "e_phnum",
            E_PHNUM,
            header.e_phnum.into(),
            "is more than 256",
        ));
    }
    if file.segments().is_none_or(|table| table.is_empty()) {
        return Err(wrong(
            "e_phnum",
            E_PHNUM,
            header.e_phnum.into(),
            "gives nothing to load",
        ));
    }
    Ok(file)
}

/// Where one segment goes, and its bytes in the file. `at` is its program header's offset, for errors.
fn load<'a>(
    image: &'a [u8],
    segment: &ProgramHeader,
    at: u64,
    layout: &MemoryLayout,
) -> Result<(GpaRange, &'a [u8]), LoadError> {
    let range = GpaRange::new(Gpa::new(segment.p_paddr), segment.p_memsz)
        .filter(|range| range.start() >= long_mode::SCRATCH_END)
        .ok_or_else(|| {
            wrong(
                "p_paddr",
                at.saturating_add(P_PADDR),
                segment.p_paddr,
                "lies among the boot parameters or wraps",
            )
        })?;
    let ram_end = layout.below_hole_end();
    if !layout
        .ram()
        .iter()
        .any(|ram| ram.start() <= range.start() && range.end() <= ram.end())
    {
        return Err(LoadError::NoRoom {
            what: "a segment (p_memsz at p_paddr)",
            at: segment.p_paddr,
            wanted_bytes: segment.p_memsz,
            ram_end: ram_end.raw(),
        });
    }
    if segment.p_filesz > segment.p_memsz {
        return Err(wrong(
            "p_filesz",
            at.saturating_add(P_FILESZ),
            segment.p_filesz,
            "is more than p_memsz",
        ));
    }
    let end = segment.p_offset.saturating_add(segment.p_filesz);
    let span = usize::try_from(segment.p_offset)
        .ok()
        .zip(usize::try_from(end).ok());
    let bytes =
        span.and_then(|(start, end)| image.get(start..end))
            .ok_or(LoadError::Truncated {
                what: "a segment (p_filesz at p_offset)",
                wanted_bytes: end,
                len_bytes: image.len() as u64,
            })?;
    Ok((range, bytes))
}

fn cmdline(text: &str) -> Result<Vec<u8>, LoadError> {
    let max_bytes = long_mode::CMDLINE_BYTES - 1;
    let len_bytes = text.len() as u64;
    if len_bytes > max_bytes {
        return Err(LoadError::CommandLineTooLong {
            len_bytes,
            max_bytes,
        });
    }
    let mut bytes = Vec::from(text.as_bytes());
    bytes.push(0);
    Ok(bytes)
}

const fn wrong(name: &'static str, offset: u64, value: u64, problem: &'static str) -> LoadError {
    LoadError::Field {
        name,
        offset,
        value,
        problem,
    }
}
