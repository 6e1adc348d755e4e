//! Plain ELF: no word in it says how it wants to be started, so it starts in the mode of its class.
//!
//! A 64-bit file is entered in long mode, with the first 4 GiB mapped to themselves: RDI holds the address of the command
//! line, which ends with a zero, RSI that of the ACPI root pointer, RSP a stack of a few KiB. A 32-bit file is entered in
//! protected mode with flat segments and paging off, and EDI, ESI and ESP hold the same.

use crate::elf_file::{E_ENTRY, ElfFile};
use crate::error::LoadError;
use crate::field::wrong;
use crate::layout::MemoryLayout;
use crate::plan::{BootPlan, Write};
use crate::{Boot, long_mode, low_memory, protected_mode};
use vcpu::ArchState;
use x86::Gpr;

pub(crate) fn plan_64<'a>(
    boot: &Boot<'a>,
    layout: &MemoryLayout,
) -> Result<BootPlan<'a>, LoadError> {
    let file = ElfFile::parse(boot.kernel)?;
    let loaded = file.load(layout)?;
    let entry = file.entry();
    if !loaded.contains(entry) {
        return Err(wrong(
            "e_entry",
            E_ENTRY,
            entry,
            "lies in no loaded segment",
        ));
    }
    let mut writes = loaded.into_writes();
    writes.extend(long_mode::writes());
    finish(boot, writes, long_mode::start(entry))
}

pub(crate) fn plan_32<'a>(
    boot: &Boot<'a>,
    layout: &MemoryLayout,
) -> Result<BootPlan<'a>, LoadError> {
    let file = ElfFile::parse(boot.kernel)?;
    let loaded = file.load(layout)?;
    let entry = loaded.entry_32(file.entry(), "e_entry", E_ENTRY)?;
    let mut writes = loaded.into_writes();
    writes.extend(protected_mode::writes());
    finish(boot, writes, protected_mode::start(entry))
}

fn finish<'a>(
    boot: &Boot<'a>,
    mut writes: alloc::vec::Vec<Write<'a>>,
    mut start: ArchState,
) -> Result<BootPlan<'a>, LoadError> {
    let cmdline = low_memory::cmdline(boot.cmdline, u64::MAX)?;
    writes.push(Write::made(low_memory::CMDLINE, cmdline));
    *Gpr::Rdi.of_mut(&mut start.gpr) = low_memory::CMDLINE.raw();
    *Gpr::Rsi.of_mut(&mut start.gpr) = boot.rsdp.raw();
    Ok(BootPlan { writes, start })
}
