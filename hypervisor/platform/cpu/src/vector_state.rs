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

    /// The components that are saved and restored, as a value of XCR0; `None` where XSAVE does not
    /// exist.
    pub fn components(&self) -> Option<u64> {
        self.components
    }

    /// The area as plain bytes.
    pub fn image(&self) -> Vec<u8> {
        self.area.iter().flat_map(|line| line.0).collect()
    }

    /// Takes what [`image`](Self::image) gave. Components that are not in `allowed` get their initial state: an image may name them
    /// because the CPU has them, but no guest can have changed them.
    ///
    /// # Errors
    /// The reason for which XRSTOR or FXRSTOR would raise #GP, in words; nothing has changed then.
    pub fn set_image(&mut self, image: &[u8], allowed: u64) -> Result<(), &'static str> {
        if image.len() != self.area.len() * 64 {
            return Err("the vector image is of another CPU");
        }
        check_image(image, self.components, mxcsr_mask())?;
        for (line, bytes) in self.area.iter_mut().zip(image.chunks_exact(64)) {
            line.0.copy_from_slice(bytes);
        }
        // XSTATE_BV.
        if let (Some(_), Some(Line(header))) = (self.components, self.area.get_mut(8)) {
            for (byte, allowed) in header.iter_mut().zip((allowed | 3).to_le_bytes()) {
                *byte &= allowed;
            }
        }
        Ok(())
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

/// Looks for what XRSTOR refuses. (Intel SDM vol. 1 13.4.2, 13.8.1; 11.6.6 for MXCSR)
fn check_image(image: &[u8], components: Option<u64>, mask: u32) -> Result<(), &'static str> {
    let word = |at: usize| {
        let bytes = image.get(at..at + 8);
        bytes.map_or(0, |bytes| {
            bytes
                .iter()
                .rev()
                .fold(0, |word, byte| word << 8 | u64::from(*byte))
        })
    };
    if word(24) as u32 & !mask != 0 {
        return Err("MXCSR has reserved bits");
    }
    let Some(components) = components else {
        return Ok(());
    };
    if word(512) & !components != 0 {
        return Err("XSTATE_BV names components that this CPU does not have");
    }
    // XCOMP_BV: zero in the standard format.
    if (520..576).step_by(8).any(|at| word(at) != 0) {
        return Err("the XSAVE header is not of the standard format");
    }
    Ok(())
}

/// The bits MXCSR has on this CPU. (Intel SDM vol. 1 11.6.6)
fn mxcsr_mask() -> u32 {
    const DEFAULT: u32 = 0xffbf;
    let mut area = [Line([0; 64]); 8];
    // SAFETY: 512 bytes, aligned; it only stores.
    unsafe { asm!("fxsave64 [{}]", in(reg) &raw mut area, options(nostack, preserves_flags)) };
    match area[0].0[28..32] {
        [a, b, c, d] => match u32::from_le_bytes([a, b, c, d]) {
            0 => DEFAULT,
            mask => mask,
        },
        _ => DEFAULT,
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

    #[test]
    fn an_image_comes_back_as_it_was() {
        let mut state = VectorState::new();
        let mut image = state.image();
        image[160] = 0x5a;
        assert_eq!(state.set_image(&image, u64::MAX), Ok(()));
        assert_eq!(state.image(), image);
    }

    #[test]
    fn what_the_cpu_would_refuse_is_refused() {
        let mut state = VectorState::new();
        let good = state.image();
        let mut refused = |at: usize, byte: u8| {
            let mut image = good.clone();
            image[at] = byte;
            let answer = state.set_image(&image, 7);
            assert!(state.image() == good || answer.is_ok());
            answer.is_err()
        };
        // MXCSR's upper half.
        assert!(refused(27, 0x80));
        if host_xcr0().is_some() {
            // A component nobody has; XCOMP_BV; reserved.
            assert!(refused(519, 0x40) && refused(527, 0x80) && refused(570, 1));
            assert!(!refused(512, 2));
        }
        assert!(state.set_image(&good[1..], 7).is_err());
    }

    #[test]
    fn components_a_guest_does_not_have_are_dropped() {
        let mut state = VectorState::new();
        if host_xcr0().is_some_and(|all| all & 4 != 0) {
            let mut image = state.image();
            image[512] = 7;
            assert_eq!(state.set_image(&image, 3), Ok(()));
            assert_eq!(state.image()[512], 3);
        }
    }
}
