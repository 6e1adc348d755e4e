//! The parcel for the image: [`BootInfo`] and the tables it names, all in pages of their own.

use alloc::vec::Vec;

use handoff::{BootInfo, ConfigOrigin, ImageSegment, MemoryRegion, ModuleRecord, Table};
use uefi::mem::memory_map::MemoryMapOwned;
use vm_spec::Config;

use crate::memory_map;
use crate::modules::LoadedFile;
use crate::pages::{NoMemory, Pages};
use crate::stop::Stop;

/// More lines than any firmware's map has; `handoff` allows no more either.
const REGION_CAPACITY: usize = 4096;

/// The parcel while it is packed.
pub(crate) struct Parcel {
    /// The structure itself; its tables are filled in by `put_...`.
    pub(crate) info: BootInfo,
    info_pages: Pages,
    map_pages: Pages,
    regions: Vec<MemoryRegion>,
}

impl Parcel {
    /// Starts with everything that must be allocated before boot services end.
    pub(crate) fn new() -> Result<Self, NoMemory> {
        Ok(Self {
            info: BootInfo::new(),
            info_pages: Pages::zeroed(size_of::<BootInfo>() as u64)?,
            map_pages: Pages::zeroed((REGION_CAPACITY * MemoryRegion::RECORD_BYTES) as u64)?,
            regions: Vec::with_capacity(REGION_CAPACITY),
        })
    }

    /// Packs where the parts of the image lie.
    pub(crate) fn put_image_segments(&mut self, segments: &[ImageSegment]) -> Result<(), NoMemory> {
        self.info.image_segments = table(segments.iter().map(ImageSegment::to_record))?;
        Ok(())
    }

    /// Packs the list of CPUs.
    pub(crate) fn put_apic_ids(&mut self, ids: &[u32]) -> Result<(), NoMemory> {
        self.info.apic_ids = table(ids.iter().map(|id| id.to_le_bytes()))?;
        Ok(())
    }

    /// Packs the list of files.
    pub(crate) fn put_modules(&mut self, files: &[LoadedFile]) -> Result<(), NoMemory> {
        let mut records = Vec::with_capacity(files.len());
        for file in files {
            let name = Pages::copy_of(file.path.as_bytes())?.range();
            records.push(ModuleRecord {
                name,
                range: file.pages.range(),
            });
        }
        self.info.modules = table(records.iter().map(ModuleRecord::to_record))?;
        Ok(())
    }

    /// Packs the configuration.
    pub(crate) fn put_config(&mut self, config: &Config, origin: ConfigOrigin) -> Result<(), Stop> {
        let blob =
            vm_spec::to_blob(config).map_err(|error| Stop::new(alloc::format!("{error}"), ""))?;
        self.info.config = Pages::copy_of(&blob)?.range();
        self.info.config_is_default = match origin {
            ConfigOrigin::File => 0,
            ConfigOrigin::BuiltIn => 1,
        };
        Ok(())
    }

    /// Closes the parcel with the final memory map and returns the physical address of [`BootInfo`]. Allocates nothing: boot services have
    /// ended.
    pub(crate) fn close(&mut self, map: &MemoryMapOwned) -> u64 {
        memory_map::convert(map, &mut self.regions);
        let records = self
            .map_pages
            .bytes_mut()
            .chunks_exact_mut(MemoryRegion::RECORD_BYTES);
        for (record, region) in records.zip(&self.regions) {
            record.copy_from_slice(&region.to_record());
        }
        self.info.memory_map = Table {
            start: self.map_pages.range().start,
            count: self.regions.len() as u32,
            record_bytes: MemoryRegion::RECORD_BYTES as u32,
        };
        let start = self.info_pages.range().start;
        // SAFETY: these pages are ours, large enough for the structure and aligned to more than it needs.
        unsafe { (start as *mut BootInfo).write(self.info) };
        start
    }
}

fn table<const N: usize>(records: impl Iterator<Item = [u8; N]>) -> Result<Table, NoMemory> {
    let bytes: Vec<u8> = records.flatten().collect();
    if bytes.is_empty() {
        return Ok(Table::default());
    }
    let start = Pages::copy_of(&bytes)?.range().start;
    Ok(Table {
        start,
        count: (bytes.len() / N) as u32,
        record_bytes: N as u32,
    })
}
