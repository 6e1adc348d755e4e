//! The direct map: physical memory at fixed virtual addresses.

use core::arch::asm;

use addr::Hpa;
use handoff::{DIRECT_MAP_BASE, PhysRange};

/// Where RAM at `hpa` is in the hypervisor's address space. Only an address: who uses it proves ownership.
#[inline]
pub fn direct(hpa: Hpa) -> *mut u8 {
    DIRECT_MAP_BASE.wrapping_add(hpa.raw()) as *mut u8
}

/// The bytes of something the loader left.
///
/// # Safety
/// The range is RAM that the loader filled and nobody writes while the slice lives.
pub unsafe fn loader_bytes(range: PhysRange) -> Option<&'static [u8]> {
    range.end().filter(|&end| end < 1 << 46)?;
    let len = usize::try_from(range.len_bytes).ok()?;
    // SAFETY: mapped by the loader's direct map or ours; otherwise the caller's promise.
    Some(unsafe { core::slice::from_raw_parts(direct(Hpa::new(range.start)), len) })
}

/// Copies bytes one way or the other between memory the compiler knows and RAM it must not reason about.
///
/// An instruction of our own, not a Rust copy: the other side may change while it runs, and the compiler may
/// assume nothing about what was read.
///
/// # Safety
/// Both sides are mapped for `len` bytes; `to` may be written; they do not overlap.
#[inline]
pub(crate) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller's promise. DF is clear by the ABI.
    unsafe {
        asm!(
            "rep movsq",
            "mov ecx, {tail:e}",
            "rep movsb",
            tail = in(reg) len & 7,
            inout("rcx") len / 8 => _,
            inout("rsi") from => _,
            inout("rdi") to => _,
            options(nostack, preserves_flags),
        );
    }
}

/// Fills bytes, as [`copy`] copies them.
///
/// # Safety
/// `to` is mapped and may be written for `len` bytes.
pub(crate) unsafe fn fill(to: *mut u8, len: usize, byte: u8) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "rep stosq",
            "mov ecx, {tail:e}",
            "rep stosb",
            tail = in(reg) len & 7,
            inout("rcx") len / 8 => _,
            inout("rdi") to => _,
            in("rax") u64::from(byte) * 0x0101_0101_0101_0101,
            options(nostack, preserves_flags),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_and_fills_of_every_length_stay_inside() {
        for len in 0..40 {
            let from: [u8; 40] = core::array::from_fn(|n| n as u8 + 1);
            let mut to = [0u8; 40];
            // SAFETY: two arrays of 40 bytes.
            unsafe { copy(from.as_ptr(), to.as_mut_ptr(), len) };
            assert_eq!(to[..len], from[..len]);
            assert!(to[len..].iter().all(|&byte| byte == 0));
            // SAFETY: an array of 40 bytes.
            unsafe { fill(to.as_mut_ptr(), len, 0xa5) };
            assert!(to[..len].iter().all(|&byte| byte == 0xa5));
            assert!(to[len..].iter().all(|&byte| byte == 0));
        }
    }
}
