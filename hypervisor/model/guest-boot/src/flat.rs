//! A flat binary: the file as it is, at the address the configuration gives, entered at its first byte.
//!
//! | entry | address | CPU | registers |
//! |---|---|---|---|
//! | 16 | below 1 MiB | real mode; below 64 KiB CS is 0 and IP the address, else CS is the address / 16 and IP its last four bits | SS:SP = 0000:7C00, DS = 0, ES:DI = command line |
//! | 32 | from 192 KiB, below 2 GiB | protected mode, CS 10h, the rest 18h, flat, no paging | ESP = 7000h, EDI = command line, ESI = ACPI root pointer |
//! | 64 | from 192 KiB, below 2 GiB | long mode, CS 10h, the rest 18h, flat, first 4 GiB mapped to themselves | RSP = 7000h, RDI, RSI: the same |
//!
//! All other registers are zero, interrupts are disabled, the direction flag is clear; GDT and page tables lie below 64 KiB. The
//! command line ends with a zero. What follows the file in RAM is not cleared but for the first start: a kernel clears its own
//! `.bss`. In 16 bits the BIOS answers, and its data area says where RAM below 640 KiB ends.

use crate::bios::LOW_END;
use crate::error::LoadError;
use crate::layout::MemoryLayout;
use crate::low_memory::{self, CMDLINE};
use crate::plan::{BootPlan, Write};
use crate::real_mode::Far;
use crate::{Boot, Entry, long_mode, protected_mode, real_mode};
use addr::{Gpa, GpaRange};
use alloc::vec::Vec;
use pc_map::memory::{ACPI_TABLES, EXTENDED_DATA, FIRMWARE};
use x86::{Gpr, SegmentRegister};

/// Where the 16-bit stack begins, as for a boot sector.
const STACK_16: u16 = 0x7c00;
/// Room for it.
const STACK_16_BYTES: u64 = 0x400;
const MIB: u64 = 1 << 20;
/// Offsets are below this.
const SEGMENT_BYTES: u64 = 0x1_0000;

pub(crate) fn plan<'a>(
    boot: &Boot<'a>,
    at: u64,
    layout: &MemoryLayout,
) -> Result<BootPlan<'a>, LoadError> {
    let entry = boot.entry.ok_or(LoadError::NoEntry)?;
    let cmdline = low_memory::cmdline(boot.cmdline, u64::MAX)?;
    let cmdline_bytes = cmdline.len() as u64;
    let range = place(boot, entry, at, cmdline_bytes, layout)?;
    let mut writes = Vec::from([
        Write::borrowed(range.start(), boot.kernel),
        Write::made(CMDLINE, cmdline),
    ]);
    let mut start = match entry {
        Entry::Real16 => {
            writes.push(real_mode::write(far(at)));
            let mut start = real_mode::start(0, STACK_16);
            let extra = SegmentRegister::Es.of_mut(&mut start.segment);
            extra.selector = (CMDLINE.raw() >> 4) as u16;
            extra.base = CMDLINE.raw();
            return Ok(BootPlan { writes, start });
        }
        Entry::Protected32 => {
            writes.extend(protected_mode::writes());
            // Below 2 GiB.
            protected_mode::start(at as u32)
        }
        Entry::Long64 => {
            writes.extend(long_mode::writes());
            long_mode::start(at)
        }
    };
    *Gpr::Rdi.of_mut(&mut start.gpr) = CMDLINE.raw();
    *Gpr::Rsi.of_mut(&mut start.gpr) = boot.rsdp.raw();
    Ok(BootPlan { writes, start })
}

/// An address below 1 MiB.
fn far(at: u64) -> Far {
    if at < SEGMENT_BYTES {
        Far {
            segment: 0,
            offset: at as u16,
        }
    } else {
        Far {
            segment: (at >> 4) as u16,
            offset: (at & 0xf) as u16,
        }
    }
}

/// The binary's place, if it is in RAM and on nothing that the start needs.
fn place(
    boot: &Boot<'_>,
    entry: Entry,
    at: u64,
    cmdline_bytes: u64,
    layout: &MemoryLayout,
) -> Result<GpaRange, LoadError> {
    let len_bytes = boot.kernel.len() as u64;
    let refused = |problem| LoadError::LoadAddress {
        at,
        len_bytes,
        problem,
    };
    if len_bytes == 0 {
        return Err(refused("are none: the file is empty"));
    }
    let range = GpaRange::new(Gpa::new(at), len_bytes).ok_or_else(|| refused("wrap"))?;
    let lies_on = |start: u64, len_bytes| {
        GpaRange::new(Gpa::new(start), len_bytes).is_some_and(|taken| taken.overlaps(&range))
    };
    if entry == Entry::Real16 {
        if at >= MIB {
            return Err(refused("begin above 1 MiB, where real mode does not reach"));
        }
        if at < LOW_END {
            return Err(refused(
                "lie on interrupt vectors or BIOS data, below 0x500",
            ));
        }
        if lies_on(u64::from(STACK_16) - STACK_16_BYTES, STACK_16_BYTES) {
            return Err(refused("lie on the stack, from 0x7800 to 0x7c00"));
        }
        if lies_on(CMDLINE.raw(), cmdline_bytes) {
            return Err(refused("lie on the command line, at 0x20000"));
        }
    } else if range.start() < low_memory::END {
        return Err(refused(
            "begin among tables, stack and command line, which end at 0x30000",
        ));
    }
    if range.overlaps(&ACPI_TABLES) || range.overlaps(&FIRMWARE) || range.overlaps(&EXTENDED_DATA) {
        return Err(refused("lie on ACPI tables or on what is the firmware's"));
    }
    let ram = layout.ram();
    let is_inside = |ram: &GpaRange| ram.start() <= range.start() && range.end() <= ram.end();
    let below_hole = range.end() <= layout.below_hole_end();
    if below_hole && ram.iter().any(is_inside) {
        return Ok(range);
    }
    Err(LoadError::NoRoom {
        what: "the flat binary",
        offset: None,
        at,
        wanted_bytes: len_bytes,
        ram_end: layout.below_hole_end().raw(),
    })
}
