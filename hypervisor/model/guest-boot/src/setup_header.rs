//! The fields of Linux' setup header that a loader reads, and what their values mean. (Linux/x86 boot protocol)

use crate::field::Field;

pub(crate) const SETUP_SECTS: Field = Field {
    name: "setup_sects",
    offset: 0x1f1,
    width: 1,
};
pub(crate) const SYSSIZE: Field = Field {
    name: "syssize",
    offset: 0x1f4,
    width: 4,
};
pub(crate) const BOOT_FLAG: Field = Field {
    name: "boot_flag",
    offset: 0x1fe,
    width: 2,
};
pub(crate) const JUMP: Field = Field {
    name: "jump",
    offset: 0x201,
    width: 1,
};
pub(crate) const VERSION: Field = Field {
    name: "version",
    offset: 0x206,
    width: 2,
};
pub(crate) const LOADFLAGS: Field = Field {
    name: "loadflags",
    offset: 0x211,
    width: 1,
};
pub(crate) const CODE32_START: Field = Field {
    name: "code32_start",
    offset: 0x214,
    width: 4,
};
pub(crate) const INITRD_ADDR_MAX: Field = Field {
    name: "initrd_addr_max",
    offset: 0x22c,
    width: 4,
};
pub(crate) const RELOCATABLE_KERNEL: Field = Field {
    name: "relocatable_kernel",
    offset: 0x234,
    width: 1,
};
pub(crate) const XLOADFLAGS: Field = Field {
    name: "xloadflags",
    offset: 0x236,
    width: 2,
};
pub(crate) const CMDLINE_SIZE: Field = Field {
    name: "cmdline_size",
    offset: 0x238,
    width: 4,
};
pub(crate) const PREF_ADDRESS: Field = Field {
    name: "pref_address",
    offset: 0x258,
    width: 8,
};
pub(crate) const INIT_SIZE: Field = Field {
    name: "init_size",
    offset: 0x260,
    width: 4,
};

pub(crate) const SECTOR_BYTES: u64 = 512;
/// Size of the unit that syssize counts.
pub(crate) const PARAGRAPH_BYTES: u64 = 16;
/// The first version whose syssize has all its bytes and tells the kernel's size.
pub(crate) const VERSION_SYSSIZE: u64 = 0x204;
/// setup_sects 0 means this, for the sake of ancient kernels.
pub(crate) const SETUP_SECTS_DEFAULT: u64 = 4;
pub(crate) const BOOT_FLAG_VALUE: u64 = 0xaa55;
/// The first version with cmd_line_ptr.
pub(crate) const VERSION_LEAST: u64 = 0x0202;
/// The first version with initrd_addr_max.
pub(crate) const VERSION_INITRD_ADDR_MAX: u64 = 0x0203;
/// The first version with cmdline_size.
pub(crate) const VERSION_CMDLINE_SIZE: u64 = 0x0206;
/// The first version with setup_data.
pub(crate) const VERSION_SETUP_DATA: u64 = 0x0209;
/// The first version with pref_address and init_size.
pub(crate) const VERSION_PREF_ADDRESS: u64 = 0x020a;
/// The first version with xloadflags.
pub(crate) const VERSION_XLOADFLAGS: u64 = 0x020c;
/// Value of initrd_addr_max before it was a field.
pub(crate) const INITRD_ADDR_MAX_DEFAULT: u64 = 0x37ff_ffff;
/// Value of cmdline_size before it was a field.
pub(crate) const CMDLINE_SIZE_DEFAULT: u64 = 255;
/// Where a kernel goes that has no other wish.
pub(crate) const LOAD_ADDRESS: u64 = 1 << 20;
pub(crate) const LOADED_HIGH: u64 = 1 << 0;
pub(crate) const HAS_64_BIT_ENTRY: u64 = 1 << 0;
/// Where the 64-bit entry lies in the loaded kernel.
pub(crate) const ENTRY_OFFSET: u64 = 0x200;
/// jump's target counts from here: the byte behind the two-byte instruction at 0x200.
pub(crate) const JUMP_BASE: u64 = 0x202;

/// Offsets of the fields that a loader fills in.
pub(crate) mod filled {
    pub(crate) const VID_MODE: usize = 0x1fa;
    pub(crate) const TYPE_OF_LOADER: usize = 0x210;
    pub(crate) const LOADFLAGS: usize = 0x211;
    pub(crate) const RAMDISK_IMAGE: usize = 0x218;
    pub(crate) const RAMDISK_SIZE: usize = 0x21c;
    pub(crate) const HEAP_END_PTR: usize = 0x224;
    pub(crate) const CMD_LINE_PTR: usize = 0x228;
    pub(crate) const SETUP_DATA: usize = 0x250;
    /// In loadflags: there is a heap, whose end is named.
    pub(crate) const CAN_USE_HEAP: u8 = 1 << 7;
}

/// Writes `bytes` at `at` of a setup code; what lies past its end is left out.
pub(crate) fn write_at(setup: &mut [u8], at: usize, bytes: &[u8]) {
    for (to, from) in setup.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}
