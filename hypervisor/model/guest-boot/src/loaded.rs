//! The parts of a kernel at their places in guest RAM.

use crate::Boot;
use crate::error::LoadError;
use crate::field::wrong;
use crate::layout::MemoryLayout;
use crate::low_memory::{self, Texts};
use crate::plan::{Content, Write};
use addr::{Gpa, GpaRange, PAGE_BYTES};
use alloc::vec::Vec;
use pc_map::memory::{ACPI_TABLES, EXTENDED_DATA, FIRMWARE};

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
    /// Name of the part, for the error that there is no room.
    pub(crate) what: &'static str,
}

/// Text that a kernel is told about the module that is its initial RAM disk.
const INITRD_TEXT: &str = "initrd";

/// A module at its place, below 4 GiB.
pub(crate) struct Placed<'a> {
    /// Where.
    pub(crate) range: GpaRange,
    /// Text that the kernel is told about it.
    pub(crate) text: &'a str,
    /// Where that lies.
    pub(crate) text_at: u64,
}

/// Parts of a kernel that were found a place so far.
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
                offset: Some(part.offset),
                at: part.at,
                wanted_bytes: part.memory_bytes,
                ram_end: layout.below_hole_end().raw(),
            });
        }
        if range.overlaps(&ACPI_TABLES) {
            return Err(refused("lies on the ACPI tables, from 0xe0000 on"));
        }
        if range.overlaps(&FIRMWARE) || range.overlaps(&EXTENDED_DATA) {
            return Err(refused("lies on what is the firmware's, below 1 MiB"));
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

    /// Returns whether `at` lies in a part.
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

    /// Finds the initial RAM disk and the other modules their places: pages next behind the kernel, in this order. What
    /// is said of them goes to `texts`.
    pub(crate) fn add_modules(
        &mut self,
        boot: &Boot<'a>,
        texts: &mut Texts,
        layout: &MemoryLayout,
    ) -> Result<Vec<Placed<'a>>, LoadError> {
        let initrd = boot.initrd.filter(|initrd| !initrd.is_empty());
        let first = initrd.map(|bytes| (bytes, INITRD_TEXT));
        let others = boot.modules.iter();
        let others = others.map(|module| (module.bytes, module.cmdline));
        let mut at = self.end(layout).max(MIB);
        let mut placed = Vec::new();
        for (bytes, text) in first.into_iter().chain(others) {
            let wanted_bytes = bytes.len() as u64;
            let start = at.raw().saturating_add(PAGE_BYTES - 1) & !(PAGE_BYTES - 1);
            let range = GpaRange::new(Gpa::new(start), wanted_bytes)
                .filter(|range| range.end() <= layout.below_hole_end())
                .ok_or(LoadError::NoRoom {
                    what: "the initial RAM disk or another module, behind the kernel,",
                    offset: None,
                    at: start,
                    wanted_bytes,
                    ram_end: layout.below_hole_end().raw(),
                })?;
            at = range.end();
            self.writes.push(Write::borrowed(range.start(), bytes));
            placed.push(Placed {
                range,
                text,
                text_at: texts.add(text)?,
            });
        }
        Ok(placed)
    }

    /// All that is to be written.
    pub(crate) fn into_writes(self) -> Vec<Write<'a>> {
        self.writes
    }
}
