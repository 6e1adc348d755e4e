//! The state a 16-bit entry starts in: real mode, interrupts disabled, the first vCPU in the ROM's power-on code, which sets up
//! interrupt controllers and timer as firmware does and goes on to the kernel with AX zero.

use crate::bios::SEGMENT;
use crate::plan::Write;
use crate::rom;
use pc_map::memory::FIRMWARE;
use vcpu::ArchState;
use x86::{Cr0, Gpr, SegmentRegister};

/// A real-mode address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Far {
    pub(crate) segment: u16,
    pub(crate) offset: u16,
}

/// The pointer to the kernel, for the power-on code.
pub(crate) fn write<'a>(kernel: Far) -> Write<'a> {
    let at = FIRMWARE.start().wrapping_add(rom::KERNEL_POINTER.into());
    let pointer = [kernel.offset, kernel.segment].map(u16::to_le_bytes);
    Write::made(at, pointer.as_flattened().to_vec())
}

/// The state: all data segments alike, all registers zero but ESP.
pub(crate) fn start(data_segment: u16, stack: u16) -> ArchState {
    let mut state = ArchState::after_reset();
    for segment in &mut state.segment {
        segment.selector = data_segment;
        segment.base = u64::from(data_segment) << 4;
    }
    let code = SegmentRegister::Cs.of_mut(&mut state.segment);
    code.selector = SEGMENT;
    code.base = FIRMWARE.start().raw();
    state.rip = rom::POWER_ON.into();
    state.gpr = [0; 16];
    *Gpr::Rsp.of_mut(&mut state.gpr) = stack.into();
    // Caches on, as firmware leaves them.
    state.cr0 = Cr0::EXTENSION_TYPE.bits();
    state
}
