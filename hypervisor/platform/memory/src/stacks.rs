//! Stacks, each between unmapped pages.

use core::sync::atomic::{AtomicUsize, Ordering};

use host::NoMemory;

use crate::frames::allocate_frames;
use crate::paging::{Caching, Permit, TABLES};
use crate::{PAGE_BYTES, report};

/// Size of the stack a CPU works on. The deepest way, from the loop through the shell to a VM's boot plan, takes some 25 KiB of
/// it; without optimization it takes more.
pub const STACK_BYTES: usize = if cfg!(debug_assertions) {
    64 << 10
} else {
    48 << 10
};

const STACKS_BASE: usize = 0xffff_d000_0000_0000;
static NEXT: AtomicUsize = AtomicUsize::new(STACKS_BASE);

/// A mapped stack that is never freed.
#[derive(Clone, Copy, Debug)]
pub struct Stack {
    /// The address behind its last byte, 16-byte aligned.
    pub top: usize,
    /// Its size.
    pub bytes: usize,
}

impl Stack {
    /// Allocates a stack of `bytes`, a multiple of 4 KiB. The pages below and above it are not mapped: running over
    /// faults at once, and #DF, NMI and #MC have stacks of their own to tell.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn new(bytes: usize) -> Result<Self, NoMemory> {
        let page = PAGE_BYTES as usize;
        let bottom = NEXT.fetch_add(bytes + page, Ordering::Relaxed) + page;
        let frames = allocate_frames(bytes as u64, PAGE_BYTES)?;
        let mut guard = TABLES.lock();
        let tables = guard.as_mut().ok_or(NoMemory)?;
        tables.map(
            bottom,
            frames,
            bytes as u64,
            Permit::ReadWrite,
            Caching::WriteBack,
        )?;
        report::add_stack(bytes as u64);
        Ok(Self {
            top: bottom + bytes,
            bytes,
        })
    }
}
