//! PVH: an ELF file with Xen's note of a 32-bit entry, as Linux' `vmlinux`, FreeBSD and Xen itself have it.
//!
//! (Xen: x86/HVM direct boot ABI; `hvm_start_info` version 1; ELF note 18, `XEN_ELFNOTE_PHYS32_ENTRY`)

use crate::elf_file::ElfFile;
use crate::error::LoadError;
use crate::field::{u32_at, u64_at, wrong};
use crate::layout::MemoryLayout;
use crate::loaded::Placed;
use crate::low_memory::Texts;
use crate::plan::BootPlan;
use crate::{Boot, low_memory, protected_mode};
use alloc::vec::Vec;
use elf::abi::PT_NOTE;

const NOTE_HEADER_BYTES: u64 = 12;
const NOTE_NAME: &[u8] = b"Xen\0";
const PHYS32_ENTRY: u32 = 18;
/// More make no kernel.
const NOTES_MOST: usize = 256;

const MAGIC: u32 = 0x336e_c578;
const VERSION: u32 = 1;
/// Offset of the memory map in the page the structure has.
const MEMORY_MAP: u64 = 0x100;

/// The note: where it lies in the file, and what it holds.
pub(crate) struct Note {
    /// Where its header lies.
    offset: u64,
    /// Where its descriptor lies: the entry.
    value_offset: u64,
    value_bytes: u64,
    /// The descriptor; none if the file has no number of such a size there.
    value: Option<u64>,
}

/// Finds the note, if the file is an ELF file that has one.
pub(crate) fn entry(image: &[u8]) -> Option<Note> {
    let file = ElfFile::parse(image).ok()?;
    file.segments()
        .filter(|(_, segment)| segment.p_type == PT_NOTE)
        .find_map(|(_, segment)| entry_in(file.bytes_of(&segment)?, segment.p_offset))
}

/// Looks through one segment of notes, which lies at `offset` of the file.
fn entry_in(notes: &[u8], offset: u64) -> Option<Note> {
    let mut at = 0u64;
    for _ in 0..NOTES_MOST {
        let name_bytes = u64::from(u32_at(notes, at)?);
        let value_bytes = u64::from(u32_at(notes, at + 4)?);
        let kind = u32_at(notes, at + 8)?;
        let name_at = at + NOTE_HEADER_BYTES;
        // Sums of a few 32-bit numbers, and `at` is inside the file: none of this overflows.
        let value_at = name_at + name_bytes.next_multiple_of(4);
        let name_end = name_at.checked_add(name_bytes)?;
        let name = notes.get(usize::try_from(name_at).ok()?..usize::try_from(name_end).ok()?);
        if kind == PHYS32_ENTRY && name == Some(NOTE_NAME) {
            return Some(Note {
                offset: offset.checked_add(at)?,
                value_offset: offset.checked_add(value_at)?,
                value_bytes,
                value: match value_bytes {
                    4 => u32_at(notes, value_at).map(u64::from),
                    8 => u64_at(notes, value_at),
                    _ => None,
                },
            });
        }
        at = value_at + value_bytes.next_multiple_of(4);
    }
    None
}

pub(crate) fn plan<'a>(boot: &Boot<'a>, layout: &MemoryLayout) -> Result<BootPlan<'a>, LoadError> {
    let file = ElfFile::parse(boot.kernel)?;
    let note = entry(boot.kernel).ok_or_else(|| {
        let problem = "gives a file without the note of a 32-bit entry";
        wrong("e_phnum", 0, 0, problem)
    })?;
    let value = note.value.ok_or_else(|| {
        let problem = "is neither 4 nor 8, or the descriptor lies past the segment";
        wrong("n_descsz", note.offset + 4, note.value_bytes, problem)
    })?;
    let mut loaded = file.load(layout)?;
    let entry = loaded.entry_32(value, "XEN_ELFNOTE_PHYS32_ENTRY", note.value_offset)?;
    let mut texts = Texts::default();
    texts.add(boot.cmdline)?;
    let modules = loaded.add_modules(boot, &mut texts, layout)?;
    let info = start_info(boot, layout, &modules, &mut texts)?;
    Ok(protected_mode::plan(loaded, texts, info, entry))
}

/// The page at [`low_memory::INFO`]: `hvm_start_info` and its memory map. The list of modules goes to the texts.
fn start_info(
    boot: &Boot<'_>,
    layout: &MemoryLayout,
    modules: &[Placed<'_>],
    texts: &mut Texts,
) -> Result<Vec<u8>, LoadError> {
    let mut list = Vec::new();
    for module in modules {
        let range = module.range;
        // The last number is reserved.
        for number in [range.start().raw(), range.len_bytes(), module.text_at, 0] {
            list.extend(number.to_le_bytes());
        }
    }
    let list_at = match modules {
        [] => 0,
        [..] => texts.add_table(&list)?,
    };
    let map = layout.map();
    let mut page = Vec::new();
    let flags = 0;
    for word in [MAGIC, VERSION, flags, modules.len() as u32] {
        page.extend(word.to_le_bytes());
    }
    let map_at = low_memory::INFO.raw() + MEMORY_MAP;
    let cmdline = low_memory::CMDLINE.raw();
    for address in [list_at, cmdline, boot.rsdp.raw(), map_at] {
        page.extend(address.to_le_bytes());
    }
    page.extend((map.len() as u32).to_le_bytes());
    page.resize(MEMORY_MAP as usize, 0);
    for region in &map {
        page.extend(region.range.start().raw().to_le_bytes());
        page.extend(region.range.len_bytes().to_le_bytes());
        page.extend((region.kind as u32).to_le_bytes());
        page.extend(0u32.to_le_bytes());
    }
    Ok(page)
}
