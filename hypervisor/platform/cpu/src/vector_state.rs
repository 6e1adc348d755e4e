//! x87, SSE, AVX and the other user state components of a vCPU that is not running.
//!
//! The hypervisor uses no vector register, so guests' values stay in them across exits; only a switch between
//! vCPUs goes through here. (Intel SDM vol. 1 chapter 13; AMD APM vol. 2 11.5)

extern crate alloc;

use alloc::vec::Vec;
use core::arch::asm;

use crate::features::{cpuid, cpuid_count, has_cpuid_leaf};

/// A legacy FXSAVE image and the XSAVE header.
const LEGACY_BYTES: usize = 512 + 64;

/// All state components this CPU can save, as a value of XCR0; `None` where XSAVE does not exist.
pub fn host_xcr0() -> Option<u64> {
    if cpuid(1).ecx >> 26 & 1 == 0 || !has_cpuid_leaf(0xd) {
        return None;
    }
    let leaf = cpuid_count(0xd, 0);
    Some(u64::from(leaf.edx) << 32 | u64::from(leaf.eax))
}

/// Bytes of a standard-format XSAVE area for all of [`host_xcr0`]; 512 with FXSAVE only.
pub fn xsave_area_bytes() -> usize {
    match host_xcr0() {
        Some(_) => (cpuid_count(0xd, 0).ecx as usize).max(LEGACY_BYTES),
        None => 512,
    }
}

/// 64 bytes at the alignment XSAVE wants.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([u8; 64]);

/// One vCPU's vector state.
pub struct VectorState {
    area: Vec<Line>,
    /// Components saved and restored; `None`: FXSAVE.
    components: Option<u64>,
}

impl VectorState {
    /// The state after INIT or reset: x87 control word 0x37f as FNINIT leaves it, MXCSR 0x1f80, all else zero.
    pub fn new() -> Self {
        let lines = xsave_area_bytes().div_ceil(64);
        let mut state = Self {
            area: alloc::vec![Line([0; 64]); lines],
            components: host_xcr0(),
        };
        state.reset();
        state
    }

    /// Puts the state after reset back. (Intel SDM vol. 3A table 11-1: the x87 control word is 0x40 after reset and
    /// 0x37f after FNINIT; every operating system executes FNINIT first.)
    pub fn reset(&mut self) {
        self.area.fill(Line([0; 64]));
        if let Some(Line(first)) = self.area.first_mut() {
            first[0..2].copy_from_slice(&0x37fu16.to_le_bytes());
            first[24..28].copy_from_slice(&0x1f80u32.to_le_bytes());
        }
        // XSTATE_BV of the header: x87 and SSE are in the image, all others in their initial configuration.
        if let (Some(_), Some(Line(header))) = (self.components, self.area.get_mut(8)) {
            header[0] = 3;
        }
    }

    /// Stores the CPU's vector registers here.
    ///
    /// # Safety
    /// XCR0 is [`host_xcr0`] (where XSAVE exists).
    pub unsafe fn save(&mut self) {
        let area = self.area.as_mut_ptr();
        match self.components {
            // SAFETY: the area is 64-byte aligned and as large as CPUID says for these components.
            Some(mask) => unsafe {
                asm!("xsave64 [{}]", in(reg) area, in("eax") mask as u32, in("edx") (mask >> 32) as u32,
                    options(nostack, preserves_flags));
            },
            // SAFETY: 512 bytes, aligned.
            None => unsafe {
                asm!("fxsave64 [{}]", in(reg) area, options(nostack, preserves_flags))
            },
        }
    }

    /// Loads the CPU's vector registers from here.
    ///
    /// # Safety
    /// XCR0 is [`host_xcr0`] (where XSAVE exists), and nobody needs the registers' present values.
    pub unsafe fn restore(&self) {
        let area = self.area.as_ptr();
        match self.components {
            // SAFETY: an image made by `reset` or `save`: its header is legal.
            Some(mask) => unsafe {
                asm!("xrstor64 [{}]", in(reg) area, in("eax") mask as u32, in("edx") (mask >> 32) as u32,
                    options(nostack, preserves_flags, readonly));
            },
            // SAFETY: an image made by `reset` or `save`.
            None => unsafe {
                asm!("fxrstor64 [{}]", in(reg) area, options(nostack, preserves_flags, readonly))
            },
        }
    }
}

impl Default for VectorState {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_state_is_the_architectural_one() {
        let state = VectorState::new();
        assert_eq!(state.area[0].0[0..2], [0x7f, 0x03]);
        assert_eq!(state.area[0].0[24..28], [0x80, 0x1f, 0, 0]);
        assert_eq!(state.area.as_ptr() as usize % 64, 0);
    }
}
