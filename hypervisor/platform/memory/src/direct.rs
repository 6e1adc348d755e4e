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
/// Instructions of our own, not a Rust copy: the other side may change while they run, and the compiler may
/// assume nothing about what was read. Plain moves, not REP: most copies are short, and emulators that count
/// instructions are slow at REP.
///
/// # Safety
/// Both sides are mapped for `len` bytes; `to` may be written; they do not overlap.
#[inline]
pub(crate) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller's promise; each loop moves as many bytes as it counts down.
    unsafe {
        asm!(
            "sub {len}, 32",
            "jb 3f",
            "2:",
            "mov {a}, [{from}]",
            "mov {b}, [{from} + 8]",
            "mov {c}, [{from} + 16]",
            "mov {d}, [{from} + 24]",
            "mov [{to}], {a}",
            "mov [{to} + 8], {b}",
            "mov [{to} + 16], {c}",
            "mov [{to} + 24], {d}",
            "add {from}, 32",
            "add {to}, 32",
            "sub {len}, 32",
            "jae 2b",
            "3:",
            "add {len}, 32 - 8",
            "jl 5f",
            "4:",
            "mov {a}, [{from}]",
            "mov [{to}], {a}",
            "add {from}, 8",
            "add {to}, 8",
            "sub {len}, 8",
            "jge 4b",
            "5:",
            "add {len}, 8",
            "jz 7f",
            "6:",
            "mov {a:l}, [{from}]",
            "mov [{to}], {a:l}",
            "inc {from}",
            "inc {to}",
            "dec {len}",
            "jnz 6b",
            "7:",
            len = inout(reg) len => _,
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            a = out(reg) _,
            b = out(reg) _,
            c = out(reg) _,
            d = out(reg) _,
            options(nostack),
        );
    }
}

/// Fills bytes, as [`copy`] copies them.
///
/// # Safety
/// `to` is mapped and may be written for `len` bytes.
pub(crate) unsafe fn fill(to: *mut u8, len: usize, byte: u8) {
    // SAFETY: the caller's promise; each loop fills as many bytes as it counts down.
    unsafe {
        asm!(
            "sub {len}, 64",
            "jb 3f",
            "2:",
            "mov [{to}], {value}",
            "mov [{to} + 8], {value}",
            "mov [{to} + 16], {value}",
            "mov [{to} + 24], {value}",
            "mov [{to} + 32], {value}",
            "mov [{to} + 40], {value}",
            "mov [{to} + 48], {value}",
            "mov [{to} + 56], {value}",
            "add {to}, 64",
            "sub {len}, 64",
            "jae 2b",
            "3:",
            "add {len}, 64",
            "jz 5f",
            "4:",
            "mov [{to}], {value:l}",
            "inc {to}",
            "dec {len}",
            "jnz 4b",
            "5:",
            len = inout(reg) len => _,
            to = inout(reg) to => _,
            value = in(reg) u64::from(byte) * 0x0101_0101_0101_0101,
            options(nostack),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_and_fills_of_every_length_stay_inside() {
        for len in 0..200 {
            let from: [u8; 200] = core::array::from_fn(|n| n as u8 + 1);
            let mut to = [0u8; 200];
            // SAFETY: two arrays of 200 bytes.
            unsafe { copy(from.as_ptr(), to.as_mut_ptr(), len) };
            assert_eq!(to[..len], from[..len]);
            assert!(to[len..].iter().all(|&byte| byte == 0));
            // SAFETY: an array of 200 bytes.
            unsafe { fill(to.as_mut_ptr(), len, 0xa5) };
            assert!(to[..len].iter().all(|&byte| byte == 0xa5));
            assert!(to[len..].iter().all(|&byte| byte == 0));
        }
    }
}
