//! RAM as sections: one for each 256 KiB, with the pages that are not zero.
//!
//! The content is a number whose bits name the pages that follow, and those pages. All sections have
//! to come, in the order of their addresses: so both ends do a bounded piece of work for each.

use super::RestoreError;
use super::format::{Section, write_section};
use addr::{Gpa, GpaRange, PAGE_BYTES};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use board::Rejected;
use guest_memory::{GuestMemory, Unbacked};

/// RAM in one section: what is done in one turn of the loop, some tens of microseconds.
pub(crate) const CHUNK_BYTES: u64 = 64 * PAGE_BYTES;
/// The most bytes that a section of RAM has, with its name and the end behind it.
pub(crate) const MAX_CHUNK_BYTES: usize = CHUNK_BYTES as usize + 128;
/// The version of these sections.
pub(crate) const VERSION: u32 = 1;

const PREFIX: &str = "ram/";
const PAGE: usize = PAGE_BYTES as usize;

/// A page on its way.
pub(crate) type PageBuffer = [u8; PAGE];

/// Returns the chunk that follows the first `done_bytes` of `ranges`, which are whole pages.
pub(crate) fn next_chunk(ranges: &[GpaRange], mut done_bytes: u64) -> Option<(Gpa, u64)> {
    for range in ranges {
        if done_bytes < range.len_bytes() {
            let at = range.start().wrapping_add(done_bytes);
            return Some((at, CHUNK_BYTES.min(range.len_bytes() - done_bytes)));
        }
        done_bytes -= range.len_bytes();
    }
    None
}

/// Returns the name of the section of the chunk at `at`.
pub(crate) fn name(at: Gpa) -> String {
    format!("{PREFIX}{:x}", at.raw())
}

/// Returns whether a section is one of RAM.
pub(crate) fn is_ram(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Appends the section of a chunk.
///
/// # Errors
/// [`Unbacked`] when it does not lie in RAM; what was appended is of no use then.
pub(crate) fn write<R: GuestMemory>(
    ram: &R,
    (at, len_bytes): (Gpa, u64),
    page: &mut PageBuffer,
    out: &mut Vec<u8>,
) -> Result<(), Unbacked> {
    let mut result = Ok(());
    write_section(out, &name(at), VERSION, |out| {
        result = write_pages(ram, (at, len_bytes), page, out);
    });
    result
}

fn write_pages<R: GuestMemory>(
    ram: &R,
    (at, len_bytes): (Gpa, u64),
    page: &mut PageBuffer,
    out: &mut Vec<u8>,
) -> Result<(), Unbacked> {
    let start = out.len();
    let mut present = 0u64;
    out.extend(present.to_le_bytes());
    for index in 0..len_bytes / PAGE_BYTES {
        ram.read(at.wrapping_add(index * PAGE_BYTES), page)?;
        if page.iter().any(|byte| *byte != 0) {
            present |= 1 << index;
            out.extend(page.as_slice());
        }
    }
    for (place, byte) in out.iter_mut().skip(start).zip(present.to_le_bytes()) {
        *place = byte;
    }
    Ok(())
}

/// Fills a chunk as its section says.
///
/// # Errors
/// [`RestoreError`] when it is another one's, or does not have its form; RAM may be filled in part.
pub(crate) fn apply<R: GuestMemory>(
    ram: &R,
    (at, len_bytes): (Gpa, u64),
    section: &Section<'_>,
) -> Result<(), RestoreError> {
    let refused = |why: Rejected| RestoreError::section(section.name, why);
    if section.version != VERSION {
        return Err(refused(match section.version {
            0 => Rejected::Bad("nothing reads its version any more"),
            saved => Rejected::Newer {
                saved,
                known: VERSION,
            },
        }));
    }
    let form = Rejected::Bad("its pages are not those that it names");
    let (present, bytes) = section.bytes.split_first_chunk().ok_or(refused(form))?;
    let present = u64::from_le_bytes(*present);
    let count = len_bytes / PAGE_BYTES;
    let (pages, rest) = bytes.as_chunks::<PAGE>();
    if present.checked_shr(count as u32).unwrap_or(0) != 0
        || pages.len() != present.count_ones() as usize
        || !rest.is_empty()
    {
        return Err(refused(form));
    }
    let mut pages = pages.iter();
    for index in 0..count {
        let at = at.wrapping_add(index * PAGE_BYTES);
        let page = if present >> index & 1 != 0 {
            pages.next()
        } else {
            None
        };
        let filled = match page {
            Some(page) => ram.write(at, page),
            None => ram.fill(at, PAGE_BYTES, 0),
        };
        filled.map_err(|Unbacked| refused(Rejected::Bad("there is no RAM")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::format::read_section;
    use super::*;
    use guest_memory::TestRam;

    #[test]
    fn the_chunks_cover_all_ranges_once() {
        let range = |start, bytes| GpaRange::new(Gpa::new(start), bytes).expect("no wrap");
        let ranges = [
            range(0, 0xa_0000),
            range(0x10_0000, CHUNK_BYTES * 2 + 0x1000),
        ];
        let (mut done, mut chunks) = (0, Vec::new());
        while let Some((at, bytes)) = next_chunk(&ranges, done) {
            chunks.push((at.raw(), bytes));
            done += bytes;
        }
        assert_eq!(
            chunks,
            [
                (0, 0x4_0000),
                (0x4_0000, 0x4_0000),
                (0x8_0000, 0x2_0000),
                (0x10_0000, 0x4_0000),
                (0x14_0000, 0x4_0000),
                (0x18_0000, 0x1000),
            ]
        );
    }

    /// Five pages at 0x1000, of which the second and the last are not zero.
    const CHUNK: (Gpa, u64) = (Gpa::new(0x1000), 5 * PAGE_BYTES);

    fn saved() -> Vec<u8> {
        let ram = TestRam::new(0x8000);
        ram.write(Gpa::new(0x2fff), &[1]).expect("RAM");
        ram.write(Gpa::new(0x5000), &[2]).expect("RAM");
        let mut bytes = Vec::new();
        write(&ram, CHUNK, &mut [0; PAGE], &mut bytes).expect("RAM");
        bytes
    }

    #[test]
    fn pages_that_are_zero_are_left_out_and_come_back_as_zeros() {
        let bytes = saved();
        let (section, _) = read_section(&bytes).expect("a section");
        assert_eq!(section.name, "ram/1000");
        assert_eq!(section.bytes.len(), 8 + 2 * PAGE);
        let ram = TestRam::new(0x8000);
        ram.fill(Gpa::new(0), 0x8000, 0xee).expect("RAM");
        apply(&ram, CHUNK, &section).expect("a good section");
        let byte = |at| {
            let mut byte = [0];
            ram.read(Gpa::new(at), &mut byte).expect("RAM");
            byte[0]
        };
        let places = [0xfff, 0x1000, 0x2fff, 0x3000, 0x5000, 0x5001, 0x6000];
        assert_eq!(places.map(byte), [0xee, 0, 1, 0, 2, 0, 0xee]);
    }

    #[test]
    fn a_section_with_other_pages_than_it_names_is_refused() {
        let ram = TestRam::new(0x8000);
        let bytes = saved();
        let (good, _) = read_section(&bytes).expect("a section");
        let mut other_bit = Vec::from(good.bytes);
        other_bit[0] = 1 << 1 | 1 << 5;
        let mut more = Vec::from(good.bytes);
        more.extend([0; PAGE]);
        let contents: [&[u8]; 6] = [
            &[],
            &good.bytes[..7],
            &good.bytes[..8],
            &good.bytes[..good.bytes.len() - 1],
            &other_bit,
            &more,
        ];
        for bytes in contents {
            let bad = Section { bytes, ..good };
            let refused = apply(&ram, CHUNK, &bad);
            assert!(matches!(refused, Err(RestoreError::Section(..))));
        }
        for version in [0, 2, u32::MAX] {
            assert!(apply(&ram, CHUNK, &Section { version, ..good }).is_err());
        }
    }
}
