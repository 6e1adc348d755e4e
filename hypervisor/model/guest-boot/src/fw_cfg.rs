//! A kernel in the parts that fw_cfg hands out, for firmware and option ROMs that start it by
//! themselves.
//!
//! A Linux kernel comes in two parts, its header filled in as QEMU fills it in, which is what
//! their code expects; anything else comes whole and without a place. (QEMU, hw/i386/x86-common.c;
//! Linux/x86 boot protocol)

use crate::MemoryLayout;
use crate::setup_header::filled::{
    CAN_USE_HEAP, CMD_LINE_PTR, HEAP_END_PTR, RAMDISK_IMAGE, RAMDISK_SIZE, TYPE_OF_LOADER,
};
use crate::setup_header::{
    INITRD_ADDR_MAX, INITRD_ADDR_MAX_DEFAULT, LOAD_ADDRESS, LOADED_HIGH, LOADFLAGS, SECTOR_BYTES,
    SETUP_SECTS, SETUP_SECTS_DEFAULT, VERSION, VERSION_INITRD_ADDR_MAX, VERSION_LEAST, write_at,
};
use addr::PAGE_BYTES;
use alloc::vec::Vec;

/// Address of the setup code in the guest.
pub const SETUP_AT: u32 = 0x1_0000;
/// Address of the command line in the guest.
pub const CMDLINE_AT: u32 = 0x2_0000;
/// The number of QEMU's loader, whose place this is.
const LOADER_QEMU: u8 = 0xb0;
/// The setup code's heap ends where the command line begins, less 512 bytes.
const HEAP_END: u16 = (CMDLINE_AT - SETUP_AT - 0x200) as u16;
/// Magic number by which a Linux kernel names itself.
const MAGIC: &[u8] = b"HdrS";
const MAGIC_AT: usize = 0x202;

/// A kernel and where its parts go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FwCfgKernel {
    /// Address of the kernel proper; 0 for one without a place.
    pub at: u32,
    /// The kernel proper.
    pub bytes: &'static [u8],
    /// The setup code of a Linux kernel; empty for others.
    pub setup: Vec<u8>,
    /// Address of the initial RAM disk; 0 where there is none.
    pub initrd_at: u32,
}

impl FwCfgKernel {
    /// Takes the kernel apart. `initrd_bytes` is the size of the initial RAM disk, 0 for none.
    #[must_use]
    pub fn new(kernel: &'static [u8], initrd_bytes: u32, layout: &MemoryLayout) -> Self {
        Self::linux(kernel, initrd_bytes, layout).unwrap_or(Self {
            bytes: kernel,
            ..Self::default()
        })
    }

    fn linux(kernel: &'static [u8], initrd_bytes: u32, layout: &MemoryLayout) -> Option<Self> {
        let has_magic = kernel.get(MAGIC_AT..)?.starts_with(MAGIC);
        let version = VERSION.read(kernel).ok()?;
        let flags = LOADFLAGS.read(kernel).ok()?;
        if !has_magic || version < VERSION_LEAST || flags & LOADED_HIGH == 0 {
            return None;
        }
        let sectors = match SETUP_SECTS.read(kernel).ok()? {
            0 => SETUP_SECTS_DEFAULT,
            sectors => sectors,
        };
        let (setup, bytes) = kernel.split_at_checked(((sectors + 1) * SECTOR_BYTES) as usize)?;
        let initrd_max = if version >= VERSION_INITRD_ADDR_MAX {
            INITRD_ADDR_MAX.read(kernel).ok()?
        } else {
            INITRD_ADDR_MAX_DEFAULT
        };
        // The highest whole page below both limits, which lie below 4 GiB.
        let end = initrd_max.min(layout.below_hole_end().raw() - 1) as u32;
        let initrd_at = match initrd_bytes {
            0 => 0,
            len => end.saturating_sub(len) & !(PAGE_BYTES as u32 - 1),
        };
        let mut setup = setup.to_vec();
        let mut put = |at: usize, bytes: &[u8]| write_at(&mut setup, at, bytes);
        put(TYPE_OF_LOADER, &[LOADER_QEMU]);
        put(LOADFLAGS.offset as usize, &[flags as u8 | CAN_USE_HEAP]);
        put(HEAP_END_PTR, &HEAP_END.to_le_bytes());
        put(CMD_LINE_PTR, &CMDLINE_AT.to_le_bytes());
        put(RAMDISK_IMAGE, &initrd_at.to_le_bytes());
        put(RAMDISK_SIZE, &initrd_bytes.to_le_bytes());
        Some(Self {
            at: LOAD_ADDRESS as u32,
            bytes,
            setup,
            initrd_at,
        })
    }
}
