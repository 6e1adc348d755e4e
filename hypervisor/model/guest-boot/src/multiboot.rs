//! Common parts of both versions of Multiboot: a header to be searched for, a program that may tell
//! its own addresses, and a screen in text mode.

use crate::elf_file::{E_ENTRY, ElfFile};
use crate::error::LoadError;
use crate::field::{u32_at, wrong};
use crate::layout::MemoryLayout;
use crate::loaded::{Loaded, Part};
use pc_map::memory;

/// Name this loader gives itself.
pub(crate) const LOADER_NAME: &[u8] = b"Caisson\0";
/// RAM from 0 on to the extended data area, in KiB.
pub(crate) const LOWER_KIB: u32 = (memory::EXTENDED_DATA.start().raw() / 1024) as u32;

/// The screen: EGA text.
pub(crate) const SCREEN_AT: u64 = memory::TEXT_SCREEN.raw();
/// Bytes of a line of text.
pub(crate) const SCREEN_PITCH: u32 = 160;
/// Characters of a line.
pub(crate) const SCREEN_WIDTH: u32 = 80;
/// Lines.
pub(crate) const SCREEN_HEIGHT: u32 = 25;
/// Bits of a character and its colours.
pub(crate) const SCREEN_BITS: u8 = 16;
/// The framebuffer type that means EGA text.
pub(crate) const SCREEN_TYPE: u8 = 2;

/// Properties by which a version's header is found.
pub(crate) struct Signature {
    /// Its first word.
    pub(crate) magic: u32,
    /// It lies in the first so many bytes.
    pub(crate) within_bytes: u64,
    /// Its offset is a multiple of this.
    pub(crate) alignment: u64,
    /// Number of words that have to add up to zero.
    pub(crate) summed_words: u64,
}

impl Signature {
    /// The offset of the first header whose checksum is right.
    pub(crate) fn find(&self, image: &[u8]) -> Option<u64> {
        self.candidates(image)
            .find(|at| self.sum(image, *at) == Some(0))
    }

    /// The offset of the first magic number, whatever follows it.
    pub(crate) fn find_magic(&self, image: &[u8]) -> Option<u64> {
        self.candidates(image).next()
    }

    /// As [`find`](Self::find); says of the first magic number what is wrong.
    pub(crate) fn need(&self, image: &[u8]) -> Result<u64, LoadError> {
        self.find(image).ok_or_else(|| {
            let at = self.find_magic(image).unwrap_or(0);
            let offset = at.saturating_add((self.summed_words - 1) * 4);
            let value = u32_at(image, offset).unwrap_or(0);
            let problem = "does not make the Multiboot header add up to zero";
            wrong("checksum", offset, value.into(), problem)
        })
    }

    fn candidates(&self, image: &[u8]) -> impl Iterator<Item = u64> {
        let end = self.within_bytes.min(image.len() as u64);
        (0..end / self.alignment)
            .map(|number| number * self.alignment)
            .filter(|at| u32_at(image, *at) == Some(self.magic))
    }

    fn sum(&self, image: &[u8], at: u64) -> Option<u32> {
        (0..self.summed_words).try_fold(0u32, |sum, number| {
            Some(sum.wrapping_add(u32_at(image, at + number * 4)?))
        })
    }
}

/// The addresses a header tells for a program that is no ELF file.
pub(crate) struct AddressFields {
    /// Offset of the header in the file.
    pub(crate) header: u64,
    /// Offset of the first of the four fields in the file.
    pub(crate) fields: u64,
    /// Where the header belongs in memory.
    pub(crate) header_addr: u32,
    /// Where the program begins in memory.
    pub(crate) load_addr: u32,
    /// Where what is in the file ends in memory; 0 is the end of the file.
    pub(crate) load_end_addr: u32,
    /// Where the program ends in memory; 0 is where the file's part does.
    pub(crate) bss_end_addr: u32,
}

impl AddressFields {
    /// Reads the four fields at `fields`.
    pub(crate) fn read(image: &[u8], header: u64, fields: u64) -> Result<Self, LoadError> {
        let field = |number: u64| {
            let what = "the Multiboot header's address fields";
            crate::field::need_u32(image, fields.saturating_add(number * 4), what)
        };
        Ok(Self {
            header,
            fields,
            header_addr: field(0)?,
            load_addr: field(1)?,
            load_end_addr: field(2)?,
            bss_end_addr: field(3)?,
        })
    }

    /// Finds the program its place.
    pub(crate) fn load<'a>(
        &self,
        image: &'a [u8],
        layout: &MemoryLayout,
    ) -> Result<Loaded<'a>, LoadError> {
        let load = u64::from(self.load_addr);
        let load_field = self.fields.saturating_add(4);
        let refused = |problem| wrong("load_addr", load_field, load, problem);
        let before = u64::from(self.header_addr)
            .checked_sub(load)
            .ok_or_else(|| refused("is more than header_addr"))?;
        let start = self.header.checked_sub(before).ok_or_else(|| {
            refused("would have more of the file before the header than there is")
        })?;
        let len_bytes = match self.load_end_addr {
            0 => (image.len() as u64).saturating_sub(start),
            end => u64::from(end).checked_sub(load).ok_or_else(|| {
                let at = self.fields.saturating_add(8);
                wrong("load_end_addr", at, end.into(), "is less than load_addr")
            })?,
        };
        let end = start.saturating_add(len_bytes);
        let span = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let bytes =
            span.and_then(|(start, end)| image.get(start..end))
                .ok_or(LoadError::PastTheEnd {
                    name: "load_end_addr",
                    offset: self.fields.saturating_add(8),
                    value: self.load_end_addr.into(),
                    wanted_bytes: end,
                    len_bytes: image.len() as u64,
                })?;
        let memory_bytes = match self.bss_end_addr {
            0 => len_bytes,
            end => u64::from(end)
                .checked_sub(load)
                .filter(|memory_bytes| *memory_bytes >= len_bytes)
                .ok_or_else(|| {
                    let at = self.fields.saturating_add(12);
                    let problem = "lies before the end of what is loaded";
                    wrong("bss_end_addr", at, end.into(), problem)
                })?,
        };
        let mut loaded = Loaded::default();
        let part = Part {
            at: load,
            memory_bytes,
            bytes,
            name: "load_addr",
            offset: load_field,
            what: "the program (load_addr to bss_end_addr)",
        };
        loaded.add(&part, layout)?;
        Ok(loaded)
    }
}

/// Loads the program as ELF, and says where its header has it entered.
pub(crate) fn load_elf<'a>(
    image: &'a [u8],
    layout: &MemoryLayout,
) -> Result<(Loaded<'a>, u64), LoadError> {
    let file = ElfFile::parse(image)?;
    let loaded = file.load(layout)?;
    let entry = match file.entry() {
        entry if loaded.contains(entry) => entry,
        entry => file.physical(entry).ok_or_else(|| {
            let problem = "lies in no loaded segment";
            wrong("e_entry", E_ENTRY, entry, problem)
        })?,
    };
    Ok((loaded, entry))
}

/// RAM from 1 MiB on to the PCI hole, in KiB.
pub(crate) fn upper_kib(layout: &MemoryLayout) -> u32 {
    // At most 2 GiB: fits.
    (layout.below_hole_end().raw() / 1024).saturating_sub(1024) as u32
}
