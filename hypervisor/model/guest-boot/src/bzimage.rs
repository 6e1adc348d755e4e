//! Linux bzImage by its 64-bit entry. (Linux/x86 boot protocol 2.12 and later)

use crate::error::LoadError;
use crate::layout::MemoryLayout;
use crate::plan::{BootPlan, Write};
use crate::zero_page::{SETUP_HEADER, SETUP_HEADER_ROOM_END, ZeroPage};
use crate::{Boot, long_mode};
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
const INITRD_ADDR_MAX: Field = Field {
    name: "initrd_addr_max",
    offset: 0x22c,
    width: 4,
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
/// The first version with xloadflags.
const VERSION_LEAST: u64 = 0x020c;
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
    VERSION.check(
        image,
        |version| version >= VERSION_LEAST,
        "is older than 0x20c (Linux 3.8)",
    )?;
    LOADFLAGS.check(
        image,
        |flags| flags & LOADED_HIGH != 0,
        "lacks LOADED_HIGH: a zImage",
    )?;
    XLOADFLAGS.check(
        image,
        |flags| flags & HAS_64_BIT_ENTRY != 0,
        "lacks the 64-bit entry: a 32-bit kernel",
    )?;

    let payload = payload(image)?;
    let kernel = kernel_range(image, payload, layout)?;
    let initrd = match boot.initrd {
        Some(initrd) if !initrd.is_empty() => {
            Some((initrd_range(image, initrd, kernel, layout)?, initrd))
        }
        _ => None,
    };
    let cmdline = cmdline(image, boot.cmdline)?;

    let mut page = ZeroPage::new(setup_header(image)?);
    page.set_cmdline(long_mode::CMDLINE);
    page.set_initrd(initrd.map(|(range, _)| range));
    page.set_rsdp(boot.rsdp);
    page.set_memory_map(layout);

    let mut writes = Vec::from(long_mode::writes());
    writes.push(Write::made(long_mode::ZERO_PAGE, page.into_bytes()));
    writes.push(Write::made(long_mode::CMDLINE, cmdline));
    writes.push(Write::borrowed(kernel.start(), payload));
    writes.extend(initrd.map(|(range, initrd)| Write::borrowed(range.start(), initrd)));

    let mut start = long_mode::start(kernel.start().raw() + ENTRY_OFFSET);
    start.gpr[Gpr::Rsi.index()] = long_mode::ZERO_PAGE.raw();
    Ok(BootPlan { writes, start })
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

/// Where the kernel unpacks itself: at its preferred address, which it goes to by itself wherever it was loaded.
fn kernel_range(
    image: &[u8],
    payload: &[u8],
    layout: &MemoryLayout,
) -> Result<GpaRange, LoadError> {
    let at = PREF_ADDRESS.check(
        image,
        |at| at >= long_mode::SCRATCH_END.raw() && at & (PAGE_BYTES - 1) == 0,
        "is not a page above the boot parameters",
    )?;
    let len_bytes = INIT_SIZE.read(image)?.max(payload.len() as u64);
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
    initrd: &[u8],
    kernel: GpaRange,
    layout: &MemoryLayout,
) -> Result<GpaRange, LoadError> {
    let highest_end = INITRD_ADDR_MAX.read(image)?.saturating_add(1);
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

fn cmdline(image: &[u8], text: &str) -> Result<Vec<u8>, LoadError> {
    let max_bytes = CMDLINE_SIZE.read(image)?.min(long_mode::CMDLINE_BYTES - 1);
    let len_bytes = text.len() as u64;
    if len_bytes > max_bytes {
        return Err(LoadError::CommandLineTooLong {
            len_bytes,
            max_bytes,
        });
    }
    let mut bytes = Vec::with_capacity(text.len() + 1);
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
    Ok(bytes)
}

/// The setup header as the file has it: it ends where the jump at 0x200 goes.
fn setup_header(image: &[u8]) -> Result<&[u8], LoadError> {
    let end = (JUMP_BASE + JUMP.read(image)?).min(SETUP_HEADER_ROOM_END as u64);
    let least = INIT_SIZE.offset + INIT_SIZE.width;
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
