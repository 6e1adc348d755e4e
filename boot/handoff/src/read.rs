//! Following the tables of [`BootInfo`] into memory.

use crate::range::u32_at;
use crate::{
    BootInfo, HandoffError, ImageSegment, MemoryRegion, Module, ModuleRecord, PhysRange, Table,
};

impl BootInfo {
    /// Reads the memory map, in the order of addresses. `view` gives the bytes of a physical range.
    ///
    /// # Errors
    /// [`HandoffError::Unreadable`] if `view` gives nothing or too little; an item is an error if its record means nothing.
    pub fn memory_regions<'a, V: Fn(PhysRange) -> Option<&'a [u8]>>(
        &self,
        view: V,
    ) -> Result<
        impl Iterator<Item = Result<MemoryRegion, HandoffError>> + Clone + use<'a, V>,
        HandoffError,
    > {
        Ok(records(&self.memory_map, &view)?.map(MemoryRegion::from_record))
    }

    /// Reads the list of modules. `view` gives the bytes of a physical range, here of the list and of each name.
    ///
    /// # Errors
    /// As [`memory_regions`](Self::memory_regions).
    pub fn modules<'a, V: Fn(PhysRange) -> Option<&'a [u8]>>(
        &self,
        view: V,
    ) -> Result<impl Iterator<Item = Result<Module<'a>, HandoffError>> + use<'a, V>, HandoffError>
    {
        Ok(records(&self.modules, &view)?
            .map(ModuleRecord::from_record)
            .map(move |record| {
                let name = if record.name.is_empty() {
                    &[]
                } else {
                    bytes_of(record.name, &view)?
                };
                record.with_name(name)
            }))
    }

    /// Reads where the parts of the image lie. `view` gives the bytes of a physical range.
    ///
    /// # Errors
    /// As [`memory_regions`](Self::memory_regions).
    pub fn image_segments<'a, V: Fn(PhysRange) -> Option<&'a [u8]>>(
        &self,
        view: V,
    ) -> Result<
        impl Iterator<Item = Result<ImageSegment, HandoffError>> + Clone + use<'a, V>,
        HandoffError,
    > {
        Ok(records(&self.image_segments, &view)?.map(ImageSegment::from_record))
    }

    /// Reads the local APIC ids the firmware reported; see the field [`apic_ids`](Self#structfield.apic_ids).
    ///
    /// # Errors
    /// [`HandoffError::Unreadable`] if `view` gives nothing or too little.
    pub fn apic_ids<'a, V: Fn(PhysRange) -> Option<&'a [u8]>>(
        &self,
        view: V,
    ) -> Result<impl Iterator<Item = u32> + Clone + use<'a, V>, HandoffError> {
        Ok(records(&self.apic_ids, &view)?.map(|record| u32_at(record, 0)))
    }
}

fn bytes_of<'a>(
    range: PhysRange,
    view: &impl Fn(PhysRange) -> Option<&'a [u8]>,
) -> Result<&'a [u8], HandoffError> {
    let unreadable = HandoffError::Unreadable {
        start: range.start,
        len_bytes: range.len_bytes,
    };
    let len = usize::try_from(range.len_bytes).map_err(|_| unreadable)?;
    view(range)
        .and_then(|bytes| bytes.get(..len))
        .ok_or(unreadable)
}

fn records<'a>(
    table: &Table,
    view: &impl Fn(PhysRange) -> Option<&'a [u8]>,
) -> Result<core::slice::ChunksExact<'a, u8>, HandoffError> {
    let bytes = if table.count == 0 {
        &[]
    } else {
        bytes_of(table.range(), view)?
    };
    Ok(bytes.chunks_exact((table.record_bytes as usize).max(1)))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;
    use crate::{Protection, RegionKind};

    const BASE: u64 = 0x10_0000;

    /// Memory that starts at physical `BASE`.
    fn view(memory: &'static [u8]) -> impl Fn(PhysRange) -> Option<&'static [u8]> {
        move |range| {
            let start = usize::try_from(range.start.checked_sub(BASE)?).ok()?;
            memory.get(start..start.checked_add(range.len_bytes as usize)?)
        }
    }

    fn leak(bytes: &[u8]) -> &'static [u8] {
        Vec::from(bytes).leak()
    }

    fn table(count: u32, record_bytes: usize) -> Table {
        Table {
            start: BASE,
            count,
            record_bytes: record_bytes as u32,
        }
    }

    fn sound() -> BootInfo {
        BootInfo {
            memory_map: table(2, MemoryRegion::RECORD_BYTES),
            ..BootInfo::new()
        }
    }

    #[test]
    fn the_memory_map_is_read_as_it_was_written() {
        let regions = [
            MemoryRegion {
                start: 0x1000,
                len_bytes: 0x9f000,
                kind: RegionKind::Usable,
            },
            MemoryRegion {
                start: 0x10_0000,
                len_bytes: 0x1000,
                kind: RegionKind::AcpiNvs,
            },
        ];
        let memory = leak(&regions.map(|region| region.to_record()).concat());
        let read: Result<Vec<_>, _> = sound()
            .memory_regions(view(memory))
            .expect("memory holds it")
            .collect();
        assert_eq!(read, Ok(regions.to_vec()));
    }

    #[test]
    fn an_unknown_kind_is_an_error_of_its_line_only() {
        let good = MemoryRegion {
            start: 0,
            len_bytes: 0x1000,
            kind: RegionKind::Usable,
        };
        let mut bytes = [good.to_record(), good.to_record()].concat();
        bytes[16] = 99;
        let mut read = sound()
            .memory_regions(view(leak(&bytes)))
            .expect("memory holds it");
        assert_eq!(
            read.next(),
            Some(Err(HandoffError::BadRecord("memory map")))
        );
        assert_eq!(read.next(), Some(Ok(good)));
    }

    #[test]
    fn bytes_that_are_not_there_are_unreadable() {
        let read = sound().memory_regions(view(&[0; 47]));
        assert!(matches!(read.err(), Some(HandoffError::Unreadable { .. })));
    }

    #[test]
    fn modules_are_read_with_their_names() {
        let range = PhysRange::new(0x20_0000, 12345);
        let name = PhysRange::new(BASE + 32, 9);
        let mut bytes = ModuleRecord { name, range }.to_record().to_vec();
        bytes.extend_from_slice(b"guests/a\xc3");
        let info = BootInfo {
            modules: table(1, ModuleRecord::RECORD_BYTES),
            ..sound()
        };
        let read: Vec<_> = info
            .modules(view(leak(&bytes)))
            .expect("memory holds it")
            .collect();
        assert_eq!(read, [Err(HandoffError::BadName)]);
        bytes[40] = b'b';
        let read: Vec<_> = info
            .modules(view(leak(&bytes)))
            .expect("memory holds it")
            .collect();
        assert_eq!(
            read,
            [Ok(Module {
                name: "guests/ab",
                range
            })]
        );
    }

    #[test]
    fn segments_and_apic_ids_are_read_as_they_were_written() {
        let range = PhysRange::new(0x20_0000, 0x3000);
        let segment = ImageSegment {
            virt: crate::IMAGE_BASE,
            range,
            protection: Protection::ReadExecute,
        };
        let info = BootInfo {
            image_segments: table(1, ImageSegment::RECORD_BYTES),
            ..sound()
        };
        let read: Vec<_> = info
            .image_segments(view(leak(&segment.to_record())))
            .expect("memory holds it")
            .collect();
        assert_eq!(read, [Ok(segment)]);
        let info = BootInfo {
            apic_ids: table(2, 4),
            ..sound()
        };
        let read: Vec<_> = info
            .apic_ids(view(&[0, 0, 0, 0, 6, 0, 0, 0]))
            .expect("memory holds it")
            .collect();
        assert_eq!(read, [0, 6]);
        assert_eq!(
            sound().apic_ids(view(&[])).expect("none is fine").count(),
            0
        );
    }
}
