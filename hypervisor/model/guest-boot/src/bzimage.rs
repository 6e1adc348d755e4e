//! Linux bzImage, by its 64-bit entry where it has one, else by the 32-bit entry.
//!
//! (Linux/x86 boot protocol: 2.12 and later for 64 bits, 2.02 and later for 32 bits)

use crate::error::LoadError;
use crate::layout::MemoryLayout;
use crate::plan::{BootPlan, Write};
use crate::zero_page::{SETUP_HEADER, SETUP_HEADER_ROOM_END, ZeroPage};
use crate::{Boot, long_mode, low_memory, protected_mode};
use addr::{Gpa, GpaRange, PAGE_BYTES};
use alloc::vec::Vec;
use x86::Gpr;

const SETUP_SECTS: Field = Field {
    name: "setup_sects",
    offset: 0x1f1,
    width: 1,
};
const BOOT_FLAG: Field = Field {
    name: "boot_flag",
    offset: 0x1fe,
    width: 2,
};
const JUMP: Field = Field {
    name: "jump",
    offset: 0x201,
    width: 1,
};
const VERSION: Field = Field {
    name: "version",
    offset: 0x206,
    width: 2,
};
const LOADFLAGS: Field = Field {
    name: "loadflags",
    offset: 0x211,
    width: 1,
};
const CODE32_START: Field = Field {
    name: "code32_start",
    offset: 0x214,
    width: 4,
};
const INITRD_ADDR_MAX: Field = Field {
    name: "initrd_addr_max",
    offset: 0x22c,
    width: 4,
};
const RELOCATABLE_KERNEL: Field = Field {
    name: "relocatable_kernel",
    offset: 0x234,
    width: 1,
};
const XLOADFLAGS: Field = Field {
    name: "xloadflags",
    offset: 0x236,
    width: 2,
};
const CMDLINE_SIZE: Field = Field {
    name: "cmdline_size",
    offset: 0x238,
    width: 4,
};
const PREF_ADDRESS: Field = Field {
    name: "pref_address",
    offset: 0x258,
    width: 8,
};
const INIT_SIZE: Field = Field {
    name: "init_size",
    offset: 0x260,
    width: 4,
};

const SECTOR_BYTES: u64 = 512;
/// setup_sects 0 means this, for the sake of ancient kernels.
const SETUP_SECTS_DEFAULT: u64 = 4;
const BOOT_FLAG_VALUE: u64 = 0xaa55;
/// The first version with cmd_line_ptr.
const VERSION_LEAST: u64 = 0x0202;
/// The first version with initrd_addr_max.
const VERSION_INITRD_ADDR_MAX: u64 = 0x0203;
/// The first version with cmdline_size.
const VERSION_CMDLINE_SIZE: u64 = 0x0206;
/// The first version with pref_address and init_size.
const VERSION_PREF_ADDRESS: u64 = 0x020a;
/// The first version with xloadflags.
const VERSION_XLOADFLAGS: u64 = 0x020c;
/// What initrd_addr_max is before it was a field.
const INITRD_ADDR_MAX_DEFAULT: u64 = 0x37ff_ffff;
/// What cmdline_size is before it was a field.
const CMDLINE_SIZE_DEFAULT: u64 = 255;
/// Where a kernel goes that has no other wish.
const LOAD_ADDRESS: u64 = 1 << 20;
const LOADED_HIGH: u64 = 1 << 0;
const HAS_64_BIT_ENTRY: u64 = 1 << 0;
/// Where the 64-bit entry lies in the loaded kernel.
const ENTRY_OFFSET: u64 = 0x200;
/// jump's target counts from here: the byte behind the two-byte instruction at 0x200.
const JUMP_BASE: u64 = 0x202;

/// A field of the setup header.
struct Field {
    name: &'static str,
    offset: u64,
    width: u64,
}

impl Field {
    fn read(&self, image: &[u8]) -> Result<u64, LoadError> {
        let end = self.offset + self.width;
        let bytes = image
            .get(self.offset as usize..end as usize)
            .ok_or(LoadError::Truncated {
                what: "the setup header",
                wanted_bytes: end,
                len_bytes: image.len() as u64,
            })?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// Reads it and refuses what `is_good` does.
    fn check(
        &self,
        image: &[u8],
        is_good: impl FnOnce(u64) -> bool,
        problem: &'static str,
    ) -> Result<u64, LoadError> {
        let value = self.read(image)?;
        if is_good(value) {
            Ok(value)
        } else {
            Err(self.wrong(value, problem))
        }
    }

    const fn wrong(&self, value: u64, problem: &'static str) -> LoadError {
        LoadError::Field {
            name: self.name,
            offset: self.offset,
            value,
            problem,
        }
    }
}

pub(crate) fn plan<'a>(boot: &Boot<'a>, layout: &MemoryLayout) -> Result<BootPlan<'a>, LoadError> {
    let image = boot.kernel;
    BOOT_FLAG.check(image, |flag| flag == BOOT_FLAG_VALUE, "is not 0xaa55")?;
    let version = VERSION.check(
        image,
        |version| version >= VERSION_LEAST,
        "is older than 0x202 (Linux 2.4)",
    )?;
    LOADFLAGS.check(
        image,
        |flags| flags & LOADED_HIGH != 0,
        "lacks LOADED_HIGH: a zImage",
    )?;
    let has_64_bit_entry = has_64_bit_entry(image, version)?;

    let payload = payload(image)?;
    let kernel = kernel_range(image, version, payload, layout)?;
    let initrd = match boot.initrd {
        Some(initrd) if !initrd.is_empty() => {
            let range = initrd_range(image, version, initrd, kernel, layout)?;
            Some((range, initrd))
        }
        _ => None,
    };
    let cmdline_most = if version >= VERSION_CMDLINE_SIZE {
        CMDLINE_SIZE.read(image)?
    } else {
        CMDLINE_SIZE_DEFAULT
    };
    let cmdline = low_memory::cmdline(boot.cmdline, cmdline_most)?;

    let mut page = ZeroPage::new(setup_header(image, version)?);
    page.set_cmdline(low_memory::CMDLINE);
    page.set_initrd(initrd.map(|(range, _)| range));
    page.set_rsdp(boot.rsdp);
    page.set_memory_map(layout);

    let mut writes = Vec::new();
    let mut start = if has_64_bit_entry {
        writes.extend(long_mode::writes());
        long_mode::start(kernel.start().raw() + ENTRY_OFFSET)
    } else {
        writes.extend(protected_mode::writes());
        protected_mode::start(entry_32(image, kernel, payload)?)
    };
    writes.push(Write::made(low_memory::INFO, page.into_bytes()));
    writes.push(Write::made(low_memory::CMDLINE, cmdline));
    writes.push(Write::borrowed(kernel.start(), payload));
    writes.extend(initrd.map(|(range, initrd)| Write::borrowed(range.start(), initrd)));

    start.gpr[Gpr::Rsi.index()] = low_memory::INFO.raw();
    Ok(BootPlan { writes, start })
}

fn has_64_bit_entry(image: &[u8], version: u64) -> Result<bool, LoadError> {
    Ok(version >= VERSION_XLOADFLAGS && XLOADFLAGS.read(image)? & HAS_64_BIT_ENTRY != 0)
}

/// Where a kernel is entered in 32 bits: code32_start counts from the address it would be loaded to without a wish.
fn entry_32(image: &[u8], kernel: GpaRange, payload: &[u8]) -> Result<u32, LoadError> {
    let start = CODE32_START.check(
        image,
        |start| {
            start
                .checked_sub(LOAD_ADDRESS)
                .is_some_and(|inside| inside < payload.len() as u64)
        },
        "lies outside the kernel, which counts from 1 MiB",
    )?;
    // The kernel lies below the PCI hole.
    Ok((kernel.start().raw() + (start - LOAD_ADDRESS)) as u32)
}

/// The protected-mode kernel: what follows the boot sector and the setup sectors.
fn payload(image: &[u8]) -> Result<&[u8], LoadError> {
    let sectors = match SETUP_SECTS.read(image)? {
        0 => SETUP_SECTS_DEFAULT,
        sectors => sectors,
    };
    let start = (sectors + 1) * SECTOR_BYTES;
    match image.get(start as usize..) {
        Some(payload) if payload.len() as u64 > ENTRY_OFFSET => Ok(payload),
        _ => Err(SETUP_SECTS.wrong(sectors, "sectors of setup code leave no kernel in the file")),
    }
}

/// Where the kernel unpacks itself: at its preferred address, which it goes to by itself wherever it was loaded, or at
/// 1 MiB if it has none.
fn kernel_range(
    image: &[u8],
    version: u64,
    payload: &[u8],
    layout: &MemoryLayout,
) -> Result<GpaRange, LoadError> {
    let (at, init_bytes) = if version < VERSION_PREF_ADDRESS {
        (LOAD_ADDRESS, 0)
    } else {
        let at = PREF_ADDRESS.check(image, |at| at & (PAGE_BYTES - 1) == 0, "is no page's")?;
        let is_relocatable = RELOCATABLE_KERNEL.read(image)? != 0;
        let at = if is_relocatable || has_64_bit_entry(image, version)? {
            at
        } else {
            LOAD_ADDRESS
        };
        (at, INIT_SIZE.read(image)?)
    };
    let len_bytes = init_bytes.max(payload.len() as u64);
    let ram_end = layout.below_hole_end();
    // Below 1 MiB lie the VGA window and the tables.
    if at < 1 << 20 {
        return Err(PREF_ADDRESS.wrong(at, "lies below 1 MiB"));
    }
    match GpaRange::new(Gpa::new(at), len_bytes) {
        Some(range) if range.end() <= ram_end => Ok(range),
        _ => Err(LoadError::NoRoom {
            what: "the kernel (init_size at pref_address)",
            at,
            wanted_bytes: len_bytes,
            ram_end: ram_end.raw(),
        }),
    }
}

/// As high as the kernel allows, out of its way.
fn initrd_range(
    image: &[u8],
    version: u64,
    initrd: &[u8],
    kernel: GpaRange,
    layout: &MemoryLayout,
) -> Result<GpaRange, LoadError> {
    let highest = if version >= VERSION_INITRD_ADDR_MAX {
        INITRD_ADDR_MAX.read(image)?
    } else {
        INITRD_ADDR_MAX_DEFAULT
    };
    let highest_end = highest.saturating_add(1);
    let end = layout.below_hole_end().raw().min(highest_end);
    let len_bytes = initrd.len() as u64;
    end.checked_sub(len_bytes)
        .map(|start| Gpa::new(start).align_down(PAGE_BYTES))
        .filter(|start| *start >= kernel.end())
        .and_then(|start| GpaRange::new(start, len_bytes))
        .ok_or(LoadError::NoRoom {
            what: "the initial RAM disk, above the kernel,",
            at: kernel.end().raw(),
            wanted_bytes: len_bytes,
            ram_end: end,
        })
}

/// The setup header as the file has it: it ends where the jump at 0x200 goes.
fn setup_header(image: &[u8], version: u64) -> Result<&[u8], LoadError> {
    let end = (JUMP_BASE + JUMP.read(image)?).min(SETUP_HEADER_ROOM_END as u64);
    let last = if version >= VERSION_PREF_ADDRESS {
        &INIT_SIZE
    } else {
        &CODE32_START
    };
    let least = last.offset + last.width;
    if end < least {
        return Err(JUMP.wrong(end - JUMP_BASE, "makes the setup header too short"));
    }
    image
        .get(SETUP_HEADER..end as usize)
        .ok_or(LoadError::Truncated {
            what: "the setup header",
            wanted_bytes: end,
            len_bytes: image.len() as u64,
        })
}
