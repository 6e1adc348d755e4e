//! Information for a Multiboot 2 kernel: one run of tags. (Multiboot2 Specification 2.0, 3.4)

use crate::error::LoadError;
use crate::layout::MemoryLayout;
use crate::loaded::Placed;
use crate::plan::{Content, Write};
use crate::{Boot, low_memory, multiboot};
use alloc::vec::Vec;

const CMDLINE: u32 = 1;
const LOADER_NAME: u32 = 2;
const MODULE: u32 = 3;
const MEMORY: u32 = 4;
const MEMORY_MAP: u32 = 6;
const FRAMEBUFFER: u32 = 8;
const NEW_ACPI: u32 = 15;

const MAP_ENTRY_BYTES: u32 = 24;
/// A root pointer of ACPI 2.0 and later.
const RSDP_BYTES: u8 = 36;
/// Maximum size of all tags but the command line's.
const OTHER_TAGS_BYTES: u64 = 0x1000;

/// The tags, each on a multiple of eight bytes.
struct Tags(Vec<u8>);

impl Tags {
    fn add(&mut self, kind: u32, content: &[&[u8]]) {
        let len_bytes: usize = content.iter().map(|piece| piece.len()).sum();
        self.head(kind, len_bytes);
        for piece in content {
            self.0.extend_from_slice(piece);
        }
        self.pad();
    }

    fn head(&mut self, kind: u32, content_bytes: usize) {
        self.0.extend(kind.to_le_bytes());
        self.0.extend((content_bytes as u32 + 8).to_le_bytes());
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
    }
}

/// The tags at [`low_memory::CMDLINE`], where the command line has room.
pub(crate) fn writes<'a>(
    boot: &Boot<'_>,
    layout: &MemoryLayout,
    modules: &[Placed<'_>],
    wants_screen: bool,
) -> Result<[Write<'a>; 3], LoadError> {
    let cmdline = low_memory::cmdline(boot.cmdline, low_memory::CMDLINE_BYTES - OTHER_TAGS_BYTES)?;
    let mut tags = Tags(Vec::new());
    // The total size, set below, and a reserved word.
    tags.0.extend([0; 8]);
    tags.add(CMDLINE, &[&cmdline]);
    tags.add(LOADER_NAME, &[multiboot::LOADER_NAME]);
    for module in modules {
        // Modules lie below 4 GiB.
        let start = (module.range.start().raw() as u32).to_le_bytes();
        let end = (module.range.end().raw() as u32).to_le_bytes();
        tags.add(MODULE, &[&start, &end, module.text.as_bytes(), &[0]]);
    }
    let lower = multiboot::LOWER_KIB.to_le_bytes();
    let upper = multiboot::upper_kib(layout).to_le_bytes();
    tags.add(MEMORY, &[&lower, &upper]);
    add_memory_map(&mut tags, layout);
    if wants_screen {
        tags.add(
            FRAMEBUFFER,
            &[
                &multiboot::SCREEN_AT.to_le_bytes(),
                &multiboot::SCREEN_PITCH.to_le_bytes(),
                &multiboot::SCREEN_WIDTH.to_le_bytes(),
                &multiboot::SCREEN_HEIGHT.to_le_bytes(),
                &[multiboot::SCREEN_BITS, multiboot::SCREEN_TYPE, 0, 0],
            ],
        );
    }
    tags.head(NEW_ACPI, RSDP_BYTES.into());

    // The root pointer is the guest's own, which is copied when it is there.
    let copy_at = low_memory::CMDLINE.wrapping_add(tags.0.len() as u64);
    let mut rest = Tags(Vec::new());
    let unpadded = tags.0.len() + usize::from(RSDP_BYTES);
    rest.0.resize(unpadded.next_multiple_of(8) - unpadded, 0);
    rest.head(0, 0);
    let total_bytes = (unpadded + rest.0.len()) as u32;
    if u64::from(total_bytes) > low_memory::CMDLINE_BYTES {
        return Err(LoadError::CommandLineTooLong {
            len_bytes: total_bytes.into(),
            max_bytes: low_memory::CMDLINE_BYTES,
        });
    }
    for (to, from) in tags.0.iter_mut().zip(total_bytes.to_le_bytes()) {
        *to = from;
    }
    Ok([
        Write::made(low_memory::CMDLINE, tags.0),
        Write {
            at: copy_at,
            content: Content::Copy {
                from: boot.rsdp,
                len_bytes: RSDP_BYTES,
            },
        },
        Write::made(copy_at.wrapping_add(RSDP_BYTES.into()), rest.0),
    ])
}

fn add_memory_map(tags: &mut Tags, layout: &MemoryLayout) {
    let mut entries = Vec::new();
    for region in layout.map() {
        entries.extend(region.range.start().raw().to_le_bytes());
        entries.extend(region.range.len_bytes().to_le_bytes());
        entries.extend((region.kind as u32).to_le_bytes());
        entries.extend(0u32.to_le_bytes());
    }
    let version = 0u32.to_le_bytes();
    tags.add(
        MEMORY_MAP,
        &[&MAP_ENTRY_BYTES.to_le_bytes(), &version, &entries],
    );
}
