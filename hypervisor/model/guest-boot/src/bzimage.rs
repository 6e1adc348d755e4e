//! Linux bzImage, by its 64-bit, 32-bit or 16-bit entry.
//!
//! (Linux/x86 boot protocol: 2.12 and later for 64 bits, 2.02 and later for 32 and 16 bits)

use crate::error::LoadError;
use crate::layout::MemoryLayout;
use crate::plan::{BootPlan, Write};
use crate::setup_header::{
    BOOT_FLAG, BOOT_FLAG_VALUE, CMDLINE_SIZE, CMDLINE_SIZE_DEFAULT, CODE32_START, ENTRY_OFFSET,
    HAS_64_BIT_ENTRY, INIT_SIZE, INITRD_ADDR_MAX, INITRD_ADDR_MAX_DEFAULT, JUMP, JUMP_BASE,
    LOAD_ADDRESS, LOADED_HIGH, LOADFLAGS, PARAGRAPH_BYTES, PREF_ADDRESS, RELOCATABLE_KERNEL,
    SECTOR_BYTES, SETUP_SECTS, SETUP_SECTS_DEFAULT, SYSSIZE, VERSION, VERSION_CMDLINE_SIZE,
    VERSION_INITRD_ADDR_MAX, VERSION_LEAST, VERSION_PREF_ADDRESS, VERSION_SYSSIZE,
    VERSION_XLOADFLAGS, XLOADFLAGS,
};
use crate::zero_page::{SETUP_HEADER, SETUP_HEADER_ROOM_END, ZeroPage};
use crate::{Boot, Entry, bzimage_16, long_mode, low_memory, protected_mode};
use addr::{Gpa, GpaRange, PAGE_BYTES};
use alloc::vec::Vec;
use x86::Gpr;

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
    let entry = choose_entry(boot, version)?;
    let payload = payload(image, version)?;
    let mut kernel = kernel_range(image, version, payload, layout)?;
    if entry == Entry::Real16 {
        // It is loaded to 1 MiB and goes to its preferred address by itself: both places are its own.
        let end = kernel.end().raw().max(LOAD_ADDRESS + payload.len() as u64);
        kernel = GpaRange::new(Gpa::new(LOAD_ADDRESS), end - LOAD_ADDRESS)
            .filter(|range| range.end() <= layout.below_hole_end())
            .ok_or_else(|| no_room(LOAD_ADDRESS, payload.len() as u64, layout))?;
    }
    let initrd = match boot.initrd {
        Some(initrd) if !initrd.is_empty() => {
            let range = initrd_range(image, version, initrd, kernel, layout)?;
            Some((range, initrd))
        }
        _ => None,
    };
    let initrd_at = initrd.map(|(range, _)| range);
    let cmdline_most = if version >= VERSION_CMDLINE_SIZE {
        CMDLINE_SIZE.read(image)?
    } else {
        CMDLINE_SIZE_DEFAULT
    };
    let cmdline = low_memory::cmdline(boot.cmdline, cmdline_most)?;

    let mut writes = Vec::new();
    let start = match entry {
        Entry::Real16 => {
            let sectors = setup_sectors(image)?;
            let (setup, start) = bzimage_16::setup(image, version, sectors, initrd_at)?;
            writes.extend(setup);
            start
        }
        Entry::Protected32 => {
            writes.extend(protected_mode::writes());
            protected_mode::start(entry_32(image, kernel, payload)?)
        }
        Entry::Long64 => {
            writes.extend(long_mode::writes());
            long_mode::start(kernel.start().raw() + ENTRY_OFFSET)
        }
    };
    writes.push(Write::made(low_memory::CMDLINE, cmdline));
    writes.push(Write::borrowed(kernel.start(), payload));
    writes.extend(initrd.map(|(range, initrd)| Write::borrowed(range.start(), initrd)));
    let mut plan = BootPlan { writes, start };
    if entry != Entry::Real16 {
        let mut page = ZeroPage::new(setup_header(image, version)?);
        page.set_cmdline(low_memory::CMDLINE);
        page.set_initrd(initrd_at);
        page.set_rsdp(boot.rsdp);
        page.set_memory_map(layout);
        let page = Write::made(low_memory::INFO, page.into_bytes());
        plan.writes.push(page);
        *Gpr::Rsi.of_mut(&mut plan.start.gpr) = low_memory::INFO.raw();
    }
    Ok(plan)
}

/// The door that is asked for, or the widest there is.
fn choose_entry(boot: &Boot<'_>, version: u64) -> Result<Entry, LoadError> {
    let has_64_bit_entry = has_64_bit_entry(boot.kernel, version)?;
    match boot.entry {
        None if has_64_bit_entry => Ok(Entry::Long64),
        None => Ok(Entry::Protected32),
        Some(Entry::Long64) if version < VERSION_XLOADFLAGS => {
            let problem = "is older than 0x20c, the first with a 64-bit entry, which is asked for";
            Err(VERSION.wrong(version, problem))
        }
        Some(Entry::Long64) if !has_64_bit_entry => {
            let problem = "has no 64-bit entry (bit 0), which is asked for";
            Err(XLOADFLAGS.wrong(XLOADFLAGS.read(boot.kernel)?, problem))
        }
        Some(entry) => Ok(entry),
    }
}

fn has_64_bit_entry(image: &[u8], version: u64) -> Result<bool, LoadError> {
    Ok(version >= VERSION_XLOADFLAGS && XLOADFLAGS.read(image)? & HAS_64_BIT_ENTRY != 0)
}

/// Returns how many sectors of setup code follow the boot sector.
fn setup_sectors(image: &[u8]) -> Result<u64, LoadError> {
    Ok(match SETUP_SECTS.read(image)? {
        0 => SETUP_SECTS_DEFAULT,
        sectors => sectors,
    })
}

fn no_room(at: u64, wanted_bytes: u64, layout: &MemoryLayout) -> LoadError {
    LoadError::NoRoom {
        what: "the kernel (init_size)",
        offset: Some(INIT_SIZE.offset),
        at,
        wanted_bytes,
        ram_end: layout.below_hole_end().raw(),
    }
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

/// The protected-mode kernel: what follows the boot sector and the setup sectors. There may be more of it than the header says: what
/// signs the kernel, say. Its last paragraph need not be whole.
fn payload(image: &[u8], version: u64) -> Result<&[u8], LoadError> {
    let sectors = setup_sectors(image)?;
    let start = (sectors + 1) * SECTOR_BYTES;
    let payload = match image.get(start as usize..) {
        Some(payload) if payload.len() as u64 > ENTRY_OFFSET => payload,
        _ => {
            return Err(
                SETUP_SECTS.wrong(sectors, "sectors of setup code leave no kernel in the file")
            );
        }
    };
    if version >= VERSION_SYSSIZE {
        let paragraphs = SYSSIZE.read(image)?;
        let wanted_bytes = start + paragraphs * PARAGRAPH_BYTES;
        let len_bytes = image.len() as u64;
        if wanted_bytes > len_bytes.next_multiple_of(PARAGRAPH_BYTES) {
            return Err(LoadError::PastTheEnd {
                name: SYSSIZE.name,
                offset: SYSSIZE.offset,
                value: paragraphs,
                wanted_bytes,
                len_bytes,
            });
        }
    }
    Ok(payload)
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
    // Below 1 MiB lie the VGA window and the tables.
    if at < 1 << 20 {
        return Err(PREF_ADDRESS.wrong(at, "lies below 1 MiB"));
    }
    match GpaRange::new(Gpa::new(at), len_bytes) {
        Some(range) if range.end() <= layout.below_hole_end() => Ok(range),
        _ => Err(no_room(at, len_bytes, layout)),
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
            offset: None,
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
            offset: SETUP_HEADER as u64,
            wanted_bytes: end,
            len_bytes: image.len() as u64,
        })
}
