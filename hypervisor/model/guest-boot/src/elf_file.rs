//! ELF of either class: segments go to their physical addresses.
//!
//! (System V ABI, chapters 4 and 5; ELF-64 object file format 1.5)

use crate::error::LoadError;
use crate::field::{u32_at, u64_at, wrong};
use crate::layout::MemoryLayout;
use crate::loaded::{Loaded, Part};
use elf::ElfBytes;
use elf::abi::{EM_386, EM_X86_64, ET_EXEC, PT_LOAD};
use elf::endian::LittleEndian;
use elf::file::Class;
use elf::segment::ProgramHeader;

const E_TYPE: u64 = 0x10;
const E_MACHINE: u64 = 0x12;
/// Of both classes.
pub(crate) const E_ENTRY: u64 = 0x18;
/// More make no kernel, and comparing each with each takes time.
const SEGMENTS_MOST: u16 = 256;

/// Where the fields lie that the classes have at different places.
struct Offsets {
    header_bytes: u64,
    e_shoff: u64,
    e_phoff: u64,
    e_phentsize: u64,
    e_phnum: u64,
    program_header_bytes: u64,
    p_paddr: u64,
    p_filesz: u64,
}

impl Offsets {
    fn read_e_phoff(&self, image: &[u8]) -> Option<u64> {
        match self.header_bytes {
            0x34 => u32_at(image, self.e_phoff).map(u64::from),
            _ => u64_at(image, self.e_phoff),
        }
    }
}

const OFFSETS_32: Offsets = Offsets {
    header_bytes: 0x34,
    e_phoff: 0x1c,
    e_shoff: 0x20,
    e_phentsize: 0x2a,
    e_phnum: 0x2c,
    program_header_bytes: 32,
    p_paddr: 0x0c,
    p_filesz: 0x10,
};
const OFFSETS_64: Offsets = Offsets {
    header_bytes: 0x40,
    e_phoff: 0x20,
    e_shoff: 0x28,
    e_phentsize: 0x36,
    e_phnum: 0x38,
    program_header_bytes: 56,
    p_paddr: 0x18,
    p_filesz: 0x20,
};

/// A file whose headers can be relied on.
pub(crate) struct ElfFile<'a> {
    image: &'a [u8],
    file: ElfBytes<'a, LittleEndian>,
    offsets: &'static Offsets,
}

impl<'a> ElfFile<'a> {
    /// Reads the headers and checks what all of the rest rests on.
    pub(crate) fn parse(image: &'a [u8]) -> Result<Self, LoadError> {
        // The class is the fifth byte.
        let offsets = match image.get(4) {
            Some(1) => &OFFSETS_32,
            _ => &OFFSETS_64,
        };
        let file = minimal_parse(image, offsets)?;
        let header = &file.ehdr;
        if header.e_type != ET_EXEC {
            let problem = "is not ET_EXEC: link it statically, not PIE";
            return Err(wrong("e_type", E_TYPE, header.e_type.into(), problem));
        }
        let (machine, problem) = match header.class {
            Class::ELF32 => (EM_386, "is not EM_386, as in a 32-bit file"),
            Class::ELF64 => (EM_X86_64, "is not EM_X86_64"),
        };
        if header.e_machine != machine {
            return Err(wrong(
                "e_machine",
                E_MACHINE,
                header.e_machine.into(),
                problem,
            ));
        }
        let count = header.e_phnum;
        if count > SEGMENTS_MOST {
            return Err(wrong(
                "e_phnum",
                offsets.e_phnum,
                count.into(),
                "is more than 256",
            ));
        }
        if file.segments().is_none_or(|table| table.is_empty()) {
            return Err(wrong(
                "e_phnum",
                offsets.e_phnum,
                count.into(),
                "gives nothing to load",
            ));
        }
        Ok(Self {
            image,
            file,
            offsets,
        })
    }

    /// The entry as the header has it.
    pub(crate) const fn entry(&self) -> u64 {
        self.file.ehdr.e_entry
    }

    /// The program headers, each with its offset in the file.
    pub(crate) fn segments(&self) -> impl Iterator<Item = (u64, ProgramHeader)> + '_ {
        let first = self.file.ehdr.e_phoff;
        let each_bytes = self.offsets.program_header_bytes;
        let table = self.file.segments().into_iter();
        table
            .flat_map(|table| table.iter())
            .enumerate()
            .map(move |(number, segment)| {
                let at = first.saturating_add((number as u64).saturating_mul(each_bytes));
                (at, segment)
            })
    }

    /// Finds every segment its place.
    pub(crate) fn load(&self, layout: &MemoryLayout) -> Result<Loaded<'a>, LoadError> {
        let mut loaded = Loaded::default();
        for (at, segment) in self.segments() {
            if segment.p_type != PT_LOAD || segment.p_memsz == 0 {
                continue;
            }
            if segment.p_filesz > segment.p_memsz {
                return Err(wrong(
                    "p_filesz",
                    at.saturating_add(self.offsets.p_filesz),
                    segment.p_filesz,
                    "is more than p_memsz",
                ));
            }
            let number =
                at.saturating_sub(self.file.ehdr.e_phoff) / self.offsets.program_header_bytes;
            let part = Part {
                at: segment.p_paddr,
                memory_bytes: segment.p_memsz,
                bytes: self
                    .bytes_of(&segment)
                    .ok_or(LoadError::SegmentPastTheEnd {
                        number,
                        offset: at,
                        p_offset: segment.p_offset,
                        p_filesz: segment.p_filesz,
                        len_bytes: self.image.len() as u64,
                    })?,
                name: "p_paddr",
                offset: at.saturating_add(self.offsets.p_paddr),
                what: "a segment (p_memsz at p_paddr)",
            };
            loaded.add(&part, layout)?;
        }
        Ok(loaded)
    }

    /// A segment's bytes, if the file has them all.
    pub(crate) fn bytes_of(&self, segment: &ProgramHeader) -> Option<&'a [u8]> {
        let start = usize::try_from(segment.p_offset).ok()?;
        let len_bytes = usize::try_from(segment.p_filesz).ok()?;
        self.image.get(start..start.checked_add(len_bytes)?)
    }

    /// The physical address of a virtual one: kernels linked to run high have such an entry.
    pub(crate) fn physical(&self, at: u64) -> Option<u64> {
        self.segments().find_map(|(_, segment)| {
            let inside = at.checked_sub(segment.p_vaddr)?;
            (segment.p_type == PT_LOAD && inside < segment.p_memsz)
                .then(|| segment.p_paddr.wrapping_add(inside))
        })
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the parser's errors that name no field of ours get one message, a new one, too"
)]
fn minimal_parse<'a>(
    image: &'a [u8],
    offsets: &Offsets,
) -> Result<ElfBytes<'a, LittleEndian>, LoadError> {
    ElfBytes::<LittleEndian>::minimal_parse(image).map_err(|error| match error {
        elf::ParseError::BadOffset(end) => {
            wrong("e_phoff", offsets.e_phoff, end, "lies outside the file")
        }
        elf::ParseError::SliceReadError((start, end)) => {
            let (start, wanted_bytes) = (start as u64, end as u64);
            let len_bytes = image.len() as u64;
            if start < offsets.header_bytes {
                return LoadError::Truncated {
                    what: "the ELF header",
                    offset: 0,
                    wanted_bytes,
                    len_bytes,
                };
            }
            let is_program = offsets.read_e_phoff(image) == Some(start);
            LoadError::PastTheEnd {
                name: if is_program { "e_phoff" } else { "e_shoff" },
                offset: if is_program {
                    offsets.e_phoff
                } else {
                    offsets.e_shoff
                },
                value: start,
                wanted_bytes,
                len_bytes,
            }
        }
        elf::ParseError::BadEntsize((entry_bytes, _)) => wrong(
            "e_phentsize",
            offsets.e_phentsize,
            entry_bytes,
            "is not the size of a header",
        ),
        elf::ParseError::UnsupportedElfEndianness(order) => {
            wrong("EI_DATA", 5, order.into(), "is not 1, little-endian")
        }
        // What is left is overflow and a version that there is none of.
        _ => wrong(
            "e_ident",
            0,
            0,
            "is not that of an ELF file of version 1, or its tables lie outside",
        ),
    })
}
