//! Putting the hypervisor's ELF into memory. (System V ABI, generic ELF specification; the contract is in `handoff`)

use alloc::vec::Vec;

use elf::ElfBytes;
use elf::abi::{EM_X86_64, ET_EXEC, PF_R, PF_W, PF_X, PT_LOAD};
use elf::endian::LittleEndian;
use elf::file::Class;
use elf::segment::ProgramHeader;
use handoff::{BOOT_STACK_BASE, IMAGE_BASE, IMAGE_PATH, ImageSegment, Protection};

use crate::pages::Pages;
use crate::paging::PAGE_BYTES;
use crate::stop::Stop;

/// The page below the boot stack is its guard and stays unmapped.
const IMAGE_END: u64 = BOOT_STACK_BASE - PAGE_BYTES;
const SEGMENT_LIMIT: usize = 16;

/// Copies the segments into pages of their own, zero-filled at the end. Returns them with the address of the entry point.
///
/// # Errors
/// In which point the file breaks the contract.
pub(crate) fn place(file: &[u8]) -> Result<(Vec<ImageSegment>, u64), Stop> {
    let elf = ElfBytes::<LittleEndian>::minimal_parse(file)
        .map_err(|error| bad(&alloc::format!("is no ELF file: {error}")))?;
    if elf.ehdr.class != Class::ELF64
        || elf.ehdr.e_machine != EM_X86_64
        || elf.ehdr.e_type != ET_EXEC
    {
        return Err(bad("is not a static ELF64 for x86-64"));
    }
    let mut segments: Vec<ImageSegment> = Vec::new();
    let headers = elf.segments().ok_or_else(|| bad("has no segments"))?;
    for header in headers
        .iter()
        .filter(|header| header.p_type == PT_LOAD && header.p_memsz > 0)
    {
        let segment = place_segment(file, &header)?;
        let end = |segment: &ImageSegment| segment.virt + segment.range.len_bytes;
        if segments
            .iter()
            .any(|other| segment.virt < end(other) && other.virt < end(&segment))
        {
            return Err(bad("has two segments that share a page"));
        }
        if segments.len() == SEGMENT_LIMIT {
            return Err(bad("has too many segments"));
        }
        segments.push(segment);
    }
    let entry = elf.ehdr.e_entry;
    let is_code = |segment: &ImageSegment| {
        segment.protection == Protection::ReadExecute
            && (segment.virt..segment.virt + segment.range.len_bytes).contains(&entry)
    };
    if !segments.iter().any(is_code) {
        return Err(bad("has its entry point outside its code"));
    }
    Ok((segments, entry))
}

fn place_segment(file: &[u8], header: &ProgramHeader) -> Result<ImageSegment, Stop> {
    let protection = match header.p_flags & (PF_R | PF_W | PF_X) {
        PF_R => Protection::ReadOnly,
        flags if flags == PF_R | PF_X => Protection::ReadExecute,
        flags if flags == PF_R | PF_W => Protection::ReadWrite,
        _ => return Err(bad("has a segment that is neither R nor RX nor RW")),
    };
    let end = header
        .p_vaddr
        .checked_add(header.p_memsz)
        .filter(|end| *end <= IMAGE_END);
    let (true, Some(end)) = (header.p_vaddr >= IMAGE_BASE, end) else {
        return Err(bad("has a segment outside its place in the address space"));
    };
    let start = usize::try_from(header.p_offset).ok();
    let stop = header
        .p_offset
        .checked_add(header.p_filesz)
        .and_then(|stop| usize::try_from(stop).ok());
    let bytes = start
        .zip(stop)
        .and_then(|(start, stop)| file.get(start..stop))
        .ok_or_else(|| bad("is cut off"))?;

    let virt = header.p_vaddr & !(PAGE_BYTES - 1);
    let mut pages = Pages::zeroed(end - virt)?;
    let lead = (header.p_vaddr - virt) as usize;
    let place = pages.bytes_mut().get_mut(lead..lead + bytes.len());
    place
        .ok_or_else(|| bad("has a segment larger in the file than in memory"))?
        .copy_from_slice(bytes);
    Ok(ImageSegment {
        virt,
        range: pages.whole_range(),
        protection,
    })
}

fn bad(what: &str) -> Stop {
    Stop::new(
        alloc::format!("the hypervisor image {IMAGE_PATH} {what}"),
        "write the boot volume again: cargo xtask image",
    )
}
