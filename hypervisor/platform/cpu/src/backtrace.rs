//! Return addresses along the frame pointers; the image is built with them.

use core::arch::asm;

/// Calls `each` with the return addresses of the callers, innermost first, at most `limit` of them.
///
/// `rbp` of `None` starts at the caller. Only frames inside `stack` are followed, upward only, so a broken
/// chain ends the walk instead of faulting.
pub fn walk(
    stack: core::ops::Range<usize>,
    rbp: Option<u64>,
    limit: usize,
    mut each: impl FnMut(u64),
) {
    let mut frame = match rbp {
        Some(rbp) => rbp as usize,
        None => current_frame(),
    };
    for _ in 0..limit {
        let fits = stack.contains(&frame) && frame % 8 == 0 && stack.end - frame >= 16;
        if !fits {
            return;
        }
        // SAFETY: inside the mapped stack of this CPU, aligned; stale contents are only numbers.
        let next = unsafe { (frame as *const usize).read_volatile() };
        // SAFETY: as above, 16 bytes were checked.
        let return_address = unsafe { (frame as *const u64).wrapping_add(1).read_volatile() };
        if return_address == 0 {
            return;
        }
        each(return_address);
        if next <= frame {
            return;
        }
        frame = next;
    }
}

fn current_frame() -> usize {
    let rbp: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rbp", out(reg) rbp, options(nomem, nostack, preserves_flags)) };
    rbp
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn chain_is_followed_and_ends_at_a_broken_link() {
        let mut stack = std::vec![0usize; 16];
        let base = stack.as_ptr() as usize;
        stack[2] = base + 6 * 8;
        stack[3] = 0x1111;
        stack[6] = base;
        stack[7] = 0x2222;
        core::hint::black_box(&mut stack);
        let mut seen = Vec::new();
        walk(base..base + 128, Some((base + 16) as u64), 10, |address| {
            seen.push(address)
        });
        assert_eq!(seen, [0x1111, 0x2222]);
    }
}
