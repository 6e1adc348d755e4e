//! The structure itself; `read` has what follows its tables.

use core::mem::size_of;

use crate::{
    BootVolume, Framebuffer, HandoffError, ImageSegment, MemoryRegion, ModuleRecord, PhysRange,
    RawFramebuffer, Table,
};

/// The first eight bytes: "CAISSON\0" in memory order.
pub const MAGIC: u64 = u64::from_le_bytes(*b"CAISSON\0");

/// The version of this layout; loader and image of one build agree.
pub const VERSION: u32 = 1;

const REGION_LIMIT: u32 = 4096;
const MODULE_LIMIT: u32 = 1024;
const SEGMENT_LIMIT: u32 = 16;
const CPU_LIMIT: u32 = 1024;

/// Where the configuration came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigOrigin {
    /// From `caisson.toml` on the boot volume.
    File,
    /// There was none: the built-in default.
    BuiltIn,
}

/// Everything the loader leaves for the image. Every field is a plain number, so any bytes of the
/// right size and alignment form one; [`validate`](Self::validate) tells whether they mean
/// anything. All addresses are physical unless they say otherwise.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BootInfo {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`VERSION`].
    pub version: u32,
    /// The size of this structure.
    pub size_bytes: u32,
    /// The virtual address of physical address 0: [`DIRECT_MAP_BASE`](crate::DIRECT_MAP_BASE).
    pub direct_map_base: u64,
    /// Size of the direct map: physical memory from address 0 up.
    pub direct_map_len_bytes: u64,
    /// The top page table the image starts on.
    pub page_table_root: u64,
    /// Records of [`MemoryRegion`].
    pub memory_map: Table,
    /// Records of [`ModuleRecord`].
    pub modules: Table,
    /// Records of [`ImageSegment`].
    pub image_segments: Table,
    /// Local APIC ids as the firmware's MP services gave them: `u32` each, only CPUs that are enabled and healthy, the one the loader ran
    /// on first. Empty where the firmware has no such service.
    pub apic_ids: Table,
    /// The configuration: a postcard blob of `vm_spec::Config`, for `vm_spec::from_blob`.
    pub config: PhysRange,
    /// 1 if the configuration is the built-in default; see [`config_origin`](Self::config_origin).
    pub config_is_default: u32,
    /// Padding, 0.
    pub reserved: u32,
    /// The ACPI root pointer (revision 2 where there is one), 0 if the machine has none.
    pub rsdp: u64,
    /// The table of EFI runtime services, in their physical mode; 0 if there is none.
    pub runtime_services: u64,
    /// The pages of the boot stack.
    pub boot_stack: PhysRange,
    /// The virtual address of the lowest byte of the boot stack.
    pub boot_stack_virt: u64,
    /// The page or two of the loader that are mapped at their physical address.
    pub jump_page: PhysRange,
    /// The screen, as stored; see [`framebuffer`](Self::framebuffer).
    pub screen: RawFramebuffer,
    /// The volume the loader came from.
    pub boot_volume: BootVolume,
}

impl BootInfo {
    /// An otherwise empty structure of this version.
    #[must_use]
    pub fn new() -> Self {
        Self {
            magic: MAGIC,
            version: VERSION,
            size_bytes: size_of::<Self>() as u32,
            direct_map_base: crate::DIRECT_MAP_BASE,
            ..Self::default()
        }
    }

    /// Checks that this is a structure of this version and that its tables can be read.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), HandoffError> {
        if self.magic != MAGIC {
            return Err(HandoffError::Magic(self.magic));
        }
        if self.version != VERSION {
            return Err(HandoffError::Version {
                found: self.version,
            });
        }
        if self.size_bytes as usize != size_of::<Self>() {
            return Err(HandoffError::Size {
                found_bytes: self.size_bytes,
            });
        }
        if self.memory_map.count == 0 {
            return Err(HandoffError::NoMemoryMap);
        }
        self.memory_map
            .check("memory map", MemoryRegion::RECORD_BYTES, REGION_LIMIT)?;
        self.modules
            .check("modules", ModuleRecord::RECORD_BYTES, MODULE_LIMIT)?;
        self.image_segments
            .check("image segments", ImageSegment::RECORD_BYTES, SEGMENT_LIMIT)?;
        self.apic_ids.check("APIC ids", 4, CPU_LIMIT)
    }

    /// Where the configuration came from.
    #[must_use]
    pub fn config_origin(&self) -> ConfigOrigin {
        if self.config_is_default == 0 {
            ConfigOrigin::File
        } else {
            ConfigOrigin::BuiltIn
        }
    }

    /// The screen, if there is one.
    #[must_use]
    pub fn framebuffer(&self) -> Option<Framebuffer> {
        self.screen.decode()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PixelFormat;

    const BASE: u64 = 0x10_0000;

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
    fn a_sound_structure_validates() {
        assert_eq!(sound().validate(), Ok(()));
    }

    #[test]
    fn each_wrong_header_field_is_named() {
        assert_eq!(
            BootInfo {
                magic: 7,
                ..sound()
            }
            .validate(),
            Err(HandoffError::Magic(7))
        );
        assert_eq!(
            BootInfo {
                version: 9,
                ..sound()
            }
            .validate(),
            Err(HandoffError::Version { found: 9 })
        );
        assert_eq!(
            BootInfo {
                size_bytes: 8,
                ..sound()
            }
            .validate(),
            Err(HandoffError::Size { found_bytes: 8 })
        );
        assert_eq!(BootInfo::new().validate(), Err(HandoffError::NoMemoryMap));
    }

    #[test]
    fn a_table_of_strange_records_or_absurd_length_is_refused() {
        let info = BootInfo {
            modules: table(1, 31),
            ..sound()
        };
        assert_eq!(info.validate(), Err(HandoffError::BadTable("modules")));
        let info = BootInfo {
            apic_ids: table(5000, 4),
            ..sound()
        };
        assert!(matches!(
            info.validate(),
            Err(HandoffError::TooMany {
                table: "APIC ids",
                ..
            })
        ));
        let info = BootInfo {
            apic_ids: Table {
                start: u64::MAX,
                count: 1,
                record_bytes: 4,
            },
            ..sound()
        };
        assert_eq!(info.validate(), Err(HandoffError::BadTable("APIC ids")));
    }

    #[test]
    fn a_screen_smaller_than_its_lines_is_none() {
        let screen = Framebuffer {
            base: 0x8000_0000,
            len_bytes: 800 * 600 * 4,
            width: 800,
            height: 600,
            stride_pixels: 800,
            format: PixelFormat::Bgr,
        };
        assert_eq!(RawFramebuffer::from(Some(screen)).decode(), Some(screen));
        assert_eq!(RawFramebuffer::from(None).decode(), None);
        assert_eq!(
            RawFramebuffer::from(Some(Framebuffer {
                len_bytes: 4096,
                ..screen
            }))
            .decode(),
            None
        );
    }
}
