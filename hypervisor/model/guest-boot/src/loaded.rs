//! The parts of a kernel at their places in guest RAM.

use crate::error::LoadError;
use crate::field::wrong;
use crate::layout::{MemoryLayout, TABLES};
use crate::low_memory;
use crate::plan::{Content, Write};
use addr::{Gpa, GpaRange, PAGE_BYTES};
use alloc::vec::Vec;

/// Where a PC's extended memory starts; modules go there or higher.
const MIB: Gpa = Gpa::new(1 << 20);

/// One part of a kernel, and the field that says where it goes.
pub(crate) struct Part<'a> {
    /// Where, as the image says.
    pub(crate) at: u64,
    /// Bytes in memory; those past `bytes` are zeros.
    pub(crate) memory_bytes: u64,
    /// Bytes of the file, at most `memory_bytes`.
    pub(crate) bytes: &'a [u8],
    /// The field that holds `at`.
    pub(crate) name: &'static str,
    /// Where that lies in the file.
    pub(crate) offset: u64,
    /// What the part is, for want of room.
    pub(crate) what: &'static str,
}

/// What of a kernel was found a place so far.
#[derive(Default)]
pub(crate) struct Loaded<'a> {
    ranges: Vec<GpaRange>,
    writes: Vec<Write<'a>>,
}

impl<'a> Loaded<'a> {
    /// Takes in one more part, if it lies in RAM and on nothing else.
    pub(crate) fn add(&mut self, part: &Part<'a>, layout: &MemoryLayout) -> Result<(), LoadError> {
        let refused = |problem| wrong(part.name, part.offset, part.at, problem);
        let range = GpaRange::new(Gpa::new(part.at), part.memory_bytes)
            .filter(|range| range.start() >= low_memory::END)
            .ok_or_else(|| refused("lies among the boot parameters or wraps"))?;
        let is_ram = layout
            .ram()
            .iter()
            .any(|ram| ram.start() <= range.start() && range.end() <= ram.end());
        if !is_ram {
            return Err(LoadError::NoRoom {
                what: part.what,
                at: part.at,
                wanted_bytes: part.memory_bytes,
                ram_end: layout.below_hole_end().raw(),
            });
        }
        if range.overlaps(&TABLES) {
            return Err(refused("lies on the ACPI tables, which end at 1 MiB"));
        }
        if self.ranges.iter().any(|other| other.overlaps(&range)) {
            return Err(refused("overlaps another segment"));
        }
        self.ranges.push(range);
        self.writes.push(Write::borrowed(range.start(), part.bytes));
        let file_bytes = part.bytes.len() as u64;
        let zeros = range.len_bytes().saturating_sub(file_bytes);
        if zeros != 0 {
            self.writes.push(Write {
                at: range.start().wrapping_add(file_bytes),
                content: Content::Zeros(zeros),
            });
        }
        Ok(())
    }

    /// Whether `at` lies in a part.
    pub(crate) fn contains(&self, at: u64) -> bool {
        self.ranges.iter().any(|range| range.contains(Gpa::new(at)))
    }

    /// An address to enter by in 32 bits: inside a part and below 4 GiB. `name` and `offset` are the field's.
    pub(crate) fn entry_32(
        &self,
        at: u64,
        name: &'static str,
        offset: u64,
    ) -> Result<u32, LoadError> {
        match u32::try_from(at) {
            Ok(entry) if self.contains(at) => Ok(entry),
            Ok(_) => Err(wrong(name, offset, at, "lies in no loaded segment")),
            Err(_) => Err(wrong(
                name,
                offset,
                at,
                "lies above 4 GiB, where no 32-bit entry can be",
            )),
        }
    }

    /// Where the parts below the PCI hole end.
    fn end(&self, layout: &MemoryLayout) -> Gpa {
        self.ranges
            .iter()
            .map(GpaRange::end)
            .filter(|end| *end <= layout.below_hole_end())
            .max()
            .unwrap_or(low_memory::END)
    }

    /// The pages next behind the kernel, for the initial RAM disk; none if there is none.
    pub(crate) fn room_for(
        &self,
        initrd: Option<&'a [u8]>,
        layout: &MemoryLayout,
    ) -> Result<Option<(GpaRange, &'a [u8])>, LoadError> {
        let Some(initrd) = initrd.filter(|initrd| !initrd.is_empty()) else {
            return Ok(None);
        };
        let after = self.end(layout).max(MIB).raw();
        let at = after.saturating_add(PAGE_BYTES - 1) & !(PAGE_BYTES - 1);
        let wanted_bytes = initrd.len() as u64;
        GpaRange::new(Gpa::new(at), wanted_bytes)
            .filter(|range| range.end() <= layout.below_hole_end())
            .map(|range| Some((range, initrd)))
            .ok_or(LoadError::NoRoom {
                what: "the initial RAM disk, behind the kernel,",
                at,
                wanted_bytes,
                ram_end: layout.below_hole_end().raw(),
            })
    }

    /// All that is to be written.
    pub(crate) fn into_writes(self) -> Vec<Write<'a>> {
        self.writes
    }
}
