//! PVH: an ELF file with Xen's note of a 32-bit entry, as Linux' `vmlinux`, FreeBSD and Xen itself have it.
//!
//! (Xen: x86/HVM direct boot ABI; `hvm_start_info` version 1; ELF note 18, `XEN_ELFNOTE_PHYS32_ENTRY`)

use crate::elf_file::ElfFile;
use crate::error::LoadError;
use crate::field::{u32_at, u64_at, wrong};
use crate::layout::MemoryLayout;
use crate::plan::{BootPlan, Write};
use crate::{Boot, low_memory, protected_mode};
use addr::GpaRange;
use alloc::vec::Vec;
use elf::abi::PT_NOTE;
use x86::Gpr;

const NOTE_HEADER_BYTES: u64 = 12;
const NOTE_NAME: &[u8] = b"Xen\0";
const PHYS32_ENTRY: u32 = 18;
/// More make no kernel.
const NOTES_MOST: usize = 256;

const MAGIC: u32 = 0x336e_c578;
const VERSION: u32 = 1;
/// Offsets in the page the structure has: the list of modules, and the memory map.
const MODULES: u64 = 0x80;
const MEMORY_MAP: u64 = 0x100;

/// The note: where its descriptor lies in the file, and the entry it holds.
pub(crate) struct Entry {
    offset: u64,
    at: u64,
}

/// Finds the note, if the file is an ELF file that has one.
pub(crate) fn entry(image: &[u8]) -> Option<Entry> {
    let file = ElfFile::parse(image).ok()?;
    file.segments()
        .filter(|(_, segment)| segment.p_type == PT_NOTE)
        .find_map(|(_, segment)| entry_in(file.bytes_of(&segment).ok()?, segment.p_offset))
}

/// Looks through one segment of notes, which lies at `offset` of the file.
fn entry_in(notes: &[u8], offset: u64) -> Option<Entry> {
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
            let value = match value_bytes {
                4 => u64::from(u32_at(notes, value_at)?),
                8 => u64_at(notes, value_at)?,
                _ => return None,
            };
            return Some(Entry {
                offset: offset.checked_add(value_at)?,
                at: value,
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
    let loaded = file.load(layout)?;
    let entry = loaded.entry_32(note.at, "XEN_ELFNOTE_PHYS32_ENTRY", note.offset)?;
    let initrd = loaded.room_for(boot.initrd, layout)?;

    let mut writes = loaded.into_writes();
    writes.extend(protected_mode::writes());
    let cmdline = low_memory::cmdline(boot.cmdline, u64::MAX)?;
    writes.push(Write::made(low_memory::CMDLINE, cmdline));
    let info = start_info(boot, layout, initrd.map(|(range, _)| range));
    writes.push(Write::made(low_memory::INFO, info));
    writes.extend(initrd.map(|(range, bytes)| Write::borrowed(range.start(), bytes)));

    let mut start = protected_mode::start(entry);
    start.gpr[Gpr::Rbx.index()] = low_memory::INFO.raw();
    Ok(BootPlan { writes, start })
}

/// The page at [`low_memory::INFO`]: `hvm_start_info`, its one module and its memory map.
fn start_info(boot: &Boot<'_>, layout: &MemoryLayout, initrd: Option<GpaRange>) -> Vec<u8> {
    let here = low_memory::INFO.raw();
    let map = layout.map();
    let mut page = Vec::new();
    let flags = 0;
    for word in [MAGIC, VERSION, flags, u32::from(initrd.is_some())] {
        page.extend(word.to_le_bytes());
    }
    let modules = if initrd.is_some() { here + MODULES } else { 0 };
    let cmdline = low_memory::CMDLINE.raw();
    for address in [modules, cmdline, boot.rsdp.raw(), here + MEMORY_MAP] {
        page.extend(address.to_le_bytes());
    }
    page.extend((map.len() as u32).to_le_bytes());
    page.resize(MODULES as usize, 0);
    let (at, len_bytes) = initrd.map_or((0, 0), |range| (range.start().raw(), range.len_bytes()));
    for number in [at, len_bytes] {
        page.extend(number.to_le_bytes());
    }
    // Its command line and a reserved number stay zero.
    page.resize(MEMORY_MAP as usize, 0);
    for region in &map {
        page.extend(region.range.start().raw().to_le_bytes());
        page.extend(region.range.len_bytes().to_le_bytes());
        page.extend((region.kind as u32).to_le_bytes());
        page.extend(0u32.to_le_bytes());
    }
    page
}
