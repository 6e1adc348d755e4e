//! The state a 32-bit entry starts in: protected mode, flat segments, paging off, interrupts off.
//!
//! (Multiboot 0.6.96, 3.2; Multiboot 2.0, 3.3; Linux/x86 boot protocol, "32-bit boot protocol"; Xen's x86/HVM direct boot
//! ABI. They agree but for the registers that point to what the kernel is told.)

use crate::loaded::Loaded;
use crate::low_memory::{self, CODE_SELECTOR, DATA_SELECTOR, GDT, STACK_TOP, Texts};
use crate::plan::{BootPlan, Write};
use alloc::vec::Vec;
use vcpu::ArchState;
use x86::{Attributes, Cr0, DescriptorTable, Gpr, Segment, SegmentRegister};

/// Null, null, flat 32-bit code at 0x10, flat data at 0x18.
const DESCRIPTORS: [u64; 4] = [0, 0, 0x00cf_9b00_0000_ffff, 0x00cf_9300_0000_ffff];
/// Limit of a 32-bit TSS without more.
const TSS_LIMIT: u32 = 0x67;

/// The GDT.
pub(crate) fn writes<'a>() -> [Write<'a>; 1] {
    let gdt: Vec<u8> = DESCRIPTORS
        .iter()
        .flat_map(|entry| entry.to_le_bytes())
        .collect();
    [Write::made(GDT, gdt)]
}

/// The plan for a kernel that takes its information at [`low_memory::INFO`], by EBX.
pub(crate) fn plan<'a>(
    loaded: Loaded<'a>,
    texts: Texts,
    info: Vec<u8>,
    entry: u32,
) -> BootPlan<'a> {
    let mut all = loaded.into_writes();
    all.extend(writes());
    all.push(texts.into_write());
    all.push(Write::made(low_memory::INFO, info));
    let mut start = start(entry);
    *Gpr::Rbx.of_mut(&mut start.gpr) = low_memory::INFO.raw();
    BootPlan { writes: all, start }
}

/// The state at a 32-bit entry at `eip`: all registers zero but EIP and ESP.
pub(crate) fn start(eip: u32) -> ArchState {
    let mut state = ArchState::after_reset();
    let present = Attributes::PRESENT
        | Attributes::CODE_OR_DATA
        | Attributes::GRANULARITY
        | Attributes::DEFAULT_BIG;
    let flat = |selector, kind| Segment {
        selector,
        attributes: Attributes(present | kind),
        limit: u32::MAX,
        base: 0,
    };
    state.segment = [flat(DATA_SELECTOR, 0x3); 6];
    *SegmentRegister::Cs.of_mut(&mut state.segment) = flat(CODE_SELECTOR, 0xb);
    state.tr.limit = TSS_LIMIT;
    state.gdtr = DescriptorTable {
        base: GDT.raw(),
        limit: (size_of_val(&DESCRIPTORS) - 1) as u16,
    };
    state.idtr = DescriptorTable { base: 0, limit: 0 };
    state.gpr = [0; 16];
    *Gpr::Rsp.of_mut(&mut state.gpr) = STACK_TOP;
    state.rip = u64::from(eip);
    state.cr0 = (Cr0::PROTECTED_MODE_ENABLE | Cr0::EXTENSION_TYPE).bits();
    state
}
