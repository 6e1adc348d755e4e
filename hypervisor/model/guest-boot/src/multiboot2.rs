//! Multiboot 2: the header's tags, and loading and entering by them.
//!
//! (Multiboot2 Specification 2.0, 3.1 to 3.3). Tags about EFI are for loaders that run on it, and are passed over; so is the
//! wish to be moved elsewhere, since the address a program is linked to is always free here.

use crate::error::LoadError;
use crate::field::{need_u32, u16_at, wrong};
use crate::layout::MemoryLayout;
use crate::loaded::Loaded;
use crate::low_memory::Texts;
use crate::multiboot::{self, AddressFields, Signature};
use crate::plan::BootPlan;
use crate::{Boot, low_memory, multiboot2_info, protected_mode};
use x86::Gpr;

pub(crate) const SIGNATURE: Signature = Signature {
    magic: 0xe852_50d6,
    within_bytes: 32768,
    alignment: 8,
    summed_words: 4,
};
/// In EAX at the entry.
const LOADER_MAGIC: u64 = 0x36d7_6289;

const ARCHITECTURE: u64 = 4;
const HEADER_LENGTH: u64 = 8;
const TAGS: u64 = 16;
const PROTECTED_MODE_I386: u32 = 0;
const WHAT: &str = "the Multiboot2 header";

/// The header's tags. (3.1.4 to 3.1.13)
mod tag {
    pub(super) const END: u16 = 0;
    pub(super) const INFORMATION_REQUEST: u16 = 1;
    pub(super) const ADDRESSES: u16 = 2;
    pub(super) const ENTRY: u16 = 3;
    pub(super) const CONSOLE: u16 = 4;
    pub(super) const FRAMEBUFFER: u16 = 5;
    pub(super) const MODULE_ALIGNMENT: u16 = 6;
    pub(super) const EFI_BOOT_SERVICES: u16 = 7;
    pub(super) const EFI_ENTRY_32: u16 = 8;
    pub(super) const EFI_ENTRY_64: u16 = 9;
    pub(super) const RELOCATABLE: u16 = 10;
}
const TAG_HEADER_BYTES: u64 = 8;
const OPTIONAL: u16 = 1 << 0;
/// More make no header.
const TAGS_MOST: usize = 64;
/// The last kind of information the specification knows.
const INFORMATION_MOST: u32 = 21;

/// Requests of the header.
#[derive(Default)]
struct Wishes {
    addresses: Option<AddressFields>,
    /// The entry, and where the file has it.
    entry: Option<(u32, u64)>,
    wants_screen: bool,
}

pub(crate) fn plan<'a>(boot: &Boot<'a>, layout: &MemoryLayout) -> Result<BootPlan<'a>, LoadError> {
    let image = boot.kernel;
    let header = SIGNATURE.need(image)?;
    let architecture = need_u32(image, header + ARCHITECTURE, WHAT)?;
    if architecture != PROTECTED_MODE_I386 {
        let problem = "is not 0, i386";
        let at = header + ARCHITECTURE;
        return Err(wrong("architecture", at, architecture.into(), problem));
    }
    let wishes = read_tags(image, header)?;
    let (mut loaded, entry) = load(image, &wishes, layout)?;
    // The texts stand in the tags; here they only have to fit.
    let modules = loaded.add_modules(boot, &mut Texts::default(), layout)?;
    let info = multiboot2_info::writes(boot, layout, &modules, wishes.wants_screen)?;

    let mut writes = loaded.into_writes();
    writes.extend(protected_mode::writes());
    writes.extend(info);

    let mut start = protected_mode::start(entry);
    *Gpr::Rax.of_mut(&mut start.gpr) = LOADER_MAGIC;
    *Gpr::Rbx.of_mut(&mut start.gpr) = low_memory::CMDLINE.raw();
    Ok(BootPlan { writes, start })
}

fn read_tags(image: &[u8], header: u64) -> Result<Wishes, LoadError> {
    let header_bytes = need_u32(image, header + HEADER_LENGTH, WHAT)?;
    let end = header + u64::from(header_bytes);
    let mut wishes = Wishes::default();
    let mut at = header + TAGS;
    for _ in 0..TAGS_MOST {
        if at.saturating_add(TAG_HEADER_BYTES) > end {
            let problem = "ends the header before the tag that ends the tags";
            let offset = header + HEADER_LENGTH;
            return Err(wrong("header_length", offset, header_bytes.into(), problem));
        }
        let len_bytes = u64::from(need_u32(image, at + 4, WHAT)?);
        let short = Err(wrong("size", at + 4, len_bytes, "is too small for the tag"));
        if len_bytes < TAG_HEADER_BYTES {
            return short;
        }
        // Both lie before the size, which is there.
        let kind = u16_at(image, at).unwrap_or(tag::END);
        let is_optional = u16_at(image, at + 2).unwrap_or(0) & OPTIONAL != 0;
        let content = at + TAG_HEADER_BYTES;
        match kind {
            tag::END => return Ok(wishes),
            tag::INFORMATION_REQUEST if is_optional => {}
            tag::INFORMATION_REQUEST => check_request(image, content, len_bytes)?,
            tag::ADDRESSES if len_bytes < 24 => return short,
            tag::ADDRESSES => {
                wishes.addresses = Some(AddressFields::read(image, header, content)?);
            }
            tag::ENTRY if len_bytes < 12 => return short,
            tag::ENTRY => wishes.entry = Some((need_u32(image, content, WHAT)?, content)),
            tag::FRAMEBUFFER | tag::CONSOLE => wishes.wants_screen = true,
            tag::MODULE_ALIGNMENT
            | tag::EFI_BOOT_SERVICES
            | tag::EFI_ENTRY_32
            | tag::EFI_ENTRY_64
            | tag::RELOCATABLE => {}
            _ if is_optional => {}
            _ => {
                let problem = "is no tag known here, and not marked optional";
                return Err(wrong("type", at, kind.into(), problem));
            }
        }
        at = at.saturating_add(len_bytes.next_multiple_of(8));
    }
    Err(wrong(
        "tags",
        header + TAGS,
        TAGS_MOST as u64,
        "or more: no tag ends them",
    ))
}

/// Refuses a request for information that is not in the specification; what is in it may be missing all the same.
fn check_request(image: &[u8], content: u64, len_bytes: u64) -> Result<(), LoadError> {
    for number in 0..(len_bytes - TAG_HEADER_BYTES) / 4 {
        let at = content + number * 4;
        let kind = need_u32(image, at, WHAT)?;
        if kind > INFORMATION_MOST {
            let problem = "is no kind of information known here";
            return Err(wrong("mbi_tag_types", at, kind.into(), problem));
        }
    }
    Ok(())
}

/// Addresses and entry in the header win over those of ELF. (3.1.5, 3.1.6)
fn load<'a>(
    image: &'a [u8],
    wishes: &Wishes,
    layout: &MemoryLayout,
) -> Result<(Loaded<'a>, u32), LoadError> {
    let (loaded, own_entry) = match &wishes.addresses {
        Some(fields) => (fields.load(image, layout)?, None),
        None => {
            let (loaded, entry) = multiboot::load_elf(image, layout)?;
            (loaded, Some(entry))
        }
    };
    let entry = match (wishes.entry, own_entry, &wishes.addresses) {
        (Some((entry, offset)), _, _) => loaded.entry_32(entry.into(), "entry_addr", offset)?,
        (None, Some(entry), _) => loaded.entry_32(entry, "e_entry", crate::elf_file::E_ENTRY)?,
        (None, None, fields) => {
            let offset = fields.as_ref().map_or(0, |fields| fields.fields);
            let problem = "comes with no entry address tag";
            return Err(wrong("header_addr", offset, 0, problem));
        }
    };
    Ok((loaded, entry))
}
