//! Multiboot 1: ELF of either class, or any file whose header tells its addresses.
//!
//! (Multiboot Specification 0.6.96, 3.1 to 3.3)

use crate::error::LoadError;
use crate::field::{need_u32, wrong};
use crate::layout::MemoryLayout;
use crate::loaded::{Loaded, Placed};
use crate::low_memory::Texts;
use crate::multiboot::{self, AddressFields, Signature};
use crate::plan::BootPlan;
use crate::{Boot, low_memory, protected_mode};
use alloc::vec;
use alloc::vec::Vec;
use x86::Gpr;

pub(crate) const SIGNATURE: Signature = Signature {
    magic: 0x1bad_b002,
    within_bytes: 8192,
    alignment: 4,
    summed_words: 3,
};
/// In EAX at the entry.
const LOADER_MAGIC: u64 = 0x2bad_b002;

const FLAGS: u64 = 4;
const ADDRESSES: u64 = 12;
const ENTRY_ADDR: u64 = 28;
const WHAT: &str = "the Multiboot header";

/// Flags 0 to 15 must be understood: page-aligned modules and a memory map are always given.
const UNDERSTOOD: u32 = PAGE_ALIGN | MEMORY_INFO | VIDEO;
const PAGE_ALIGN: u32 = 1 << 0;
const MEMORY_INFO: u32 = 1 << 1;
const VIDEO: u32 = 1 << 2;
const REQUIREMENTS: u32 = 0xffff;
const HAS_ADDRESSES: u32 = 1 << 16;

/// Flags of the information: which of its fields hold something.
mod info {
    pub(super) const MEMORY: u32 = 1 << 0;
    pub(super) const CMDLINE: u32 = 1 << 2;
    pub(super) const MODULES: u32 = 1 << 3;
    pub(super) const MEMORY_MAP: u32 = 1 << 6;
    pub(super) const LOADER_NAME: u32 = 1 << 9;
    pub(super) const FRAMEBUFFER: u32 = 1 << 12;
}

/// Offsets in the page of the information, behind its 116 bytes.
const LOADER_NAME: u64 = 0xa0;
const MEMORY_MAP: u64 = 0x100;
const MAP_ENTRY_BYTES: u32 = 24;
/// The size an entry tells does not count the word that tells it.
const MAP_ENTRY_SIZE: u32 = MAP_ENTRY_BYTES - 4;

pub(crate) fn plan<'a>(boot: &Boot<'a>, layout: &MemoryLayout) -> Result<BootPlan<'a>, LoadError> {
    let image = boot.kernel;
    let header = SIGNATURE.need(image)?;
    let flags = need_u32(image, header + FLAGS, WHAT)?;
    if flags & REQUIREMENTS & !UNDERSTOOD != 0 {
        let problem = "requires what is not known here (bits 3 to 15)";
        return Err(wrong("flags", header + FLAGS, flags.into(), problem));
    }
    let (mut loaded, entry) = load(image, header, flags, layout)?;
    let mut texts = Texts::default();
    texts.add(boot.cmdline)?;
    let modules = loaded.add_modules(boot, &mut texts, layout)?;
    let list_at = texts.add_table(&module_list(&modules))?;
    let wants_screen = flags & VIDEO != 0;
    let info = information(layout, modules.len(), list_at, wants_screen);

    let mut plan = protected_mode::plan(loaded, texts, info, entry);
    *Gpr::Rax.of_mut(&mut plan.start.gpr) = LOADER_MAGIC;
    Ok(plan)
}

/// Addresses in the header win over those of ELF. (3.1.3)
fn load<'a>(
    image: &'a [u8],
    header: u64,
    flags: u32,
    layout: &MemoryLayout,
) -> Result<(Loaded<'a>, u32), LoadError> {
    if flags & HAS_ADDRESSES == 0 {
        let (loaded, entry) = multiboot::load_elf(image, layout)?;
        let entry = loaded.entry_32(entry, "e_entry", crate::elf_file::E_ENTRY)?;
        return Ok((loaded, entry));
    }
    let fields = AddressFields::read(image, header, header + ADDRESSES)?;
    let loaded = fields.load(image, layout)?;
    let entry = need_u32(image, header + ENTRY_ADDR, WHAT)?;
    let entry = loaded.entry_32(entry.into(), "entry_addr", header + ENTRY_ADDR)?;
    Ok((loaded, entry))
}

/// Start, end, text and a reserved word of each. All of it lies below 4 GiB. (3.3)
fn module_list(modules: &[Placed<'_>]) -> Vec<u8> {
    let words = modules.iter().flat_map(|module| {
        let range = module.range;
        [range.start().raw(), range.end().raw(), module.text_at, 0]
    });
    words.flat_map(|word| (word as u32).to_le_bytes()).collect()
}

/// The page at [`low_memory::INFO`].
fn information(
    layout: &MemoryLayout,
    module_count: usize,
    list_at: u64,
    wants_screen: bool,
) -> Vec<u8> {
    let here = low_memory::INFO.raw() as u32;
    let map = layout.map();
    let mut page = vec![0; MEMORY_MAP as usize];
    let mut put = |at: u64, bytes: &[u8]| {
        // Constants of this file, all inside the page.
        for (to, from) in page.iter_mut().skip(at as usize).zip(bytes) {
            *to = *from;
        }
    };
    let mut flags = info::MEMORY | info::CMDLINE | info::MEMORY_MAP | info::LOADER_NAME;
    put(4, &multiboot::LOWER_KIB.to_le_bytes());
    put(8, &multiboot::upper_kib(layout).to_le_bytes());
    put(16, &(low_memory::CMDLINE.raw() as u32).to_le_bytes());
    if module_count != 0 {
        flags |= info::MODULES;
        put(20, &(module_count as u32).to_le_bytes());
        put(24, &(list_at as u32).to_le_bytes());
    }
    put(44, &(map.len() as u32 * MAP_ENTRY_BYTES).to_le_bytes());
    put(48, &(here + MEMORY_MAP as u32).to_le_bytes());
    put(64, &(here + LOADER_NAME as u32).to_le_bytes());
    if wants_screen {
        flags |= info::FRAMEBUFFER;
        put(88, &multiboot::SCREEN_AT.to_le_bytes());
        put(96, &multiboot::SCREEN_PITCH.to_le_bytes());
        put(100, &multiboot::SCREEN_WIDTH.to_le_bytes());
        put(104, &multiboot::SCREEN_HEIGHT.to_le_bytes());
        put(108, &[multiboot::SCREEN_BITS, multiboot::SCREEN_TYPE]);
    }
    put(0, &flags.to_le_bytes());
    put(LOADER_NAME, multiboot::LOADER_NAME);
    for region in &map {
        page.extend(MAP_ENTRY_SIZE.to_le_bytes());
        page.extend(region.range.start().raw().to_le_bytes());
        page.extend(region.range.len_bytes().to_le_bytes());
        page.extend((region.kind as u32).to_le_bytes());
    }
    page
}
