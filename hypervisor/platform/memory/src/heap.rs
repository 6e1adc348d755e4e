//! The heap: `linked_list_allocator` behind a lock, in a window of address space that is mapped as it fills.
//!
//! Its cost grows with the number of free holes, which stays in the hundreds here: the hypervisor allocates while it
//! assembles a VM, and nothing between VM exit and VM entry.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering};

use linked_list_allocator::Heap as List;
use spin::Mutex;

use crate::PAGE_BYTES;
use crate::frames::{FREE, allocate_frames};
use crate::paging::{Caching, Permit, TABLES};

const HEAP_BASE: usize = 0xffff_e000_0000_0000;
/// The window's size: far more than is ever mapped.
const HEAP_LIMIT: usize = 1 << 30;
/// The heap grows by so much at a time: little enough that the last piece is no waste.
const GROW_BYTES: usize = 16 << 10;

static MAPPED_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Bytes mapped for the heap so far.
pub fn heap_bytes() -> u64 {
    MAPPED_BYTES.load(Ordering::Relaxed) as u64
}

/// Bytes of the heap in use.
pub(crate) fn heap_used_bytes() -> u64 {
    #[cfg(target_os = "none")]
    return HEAP.0.lock().used() as u64;
    #[cfg(not(target_os = "none"))]
    0
}

/// The hypervisor's heap. Outermost lock of this crate.
pub struct Heap(Mutex<List>);

#[cfg(target_os = "none")]
#[global_allocator]
static HEAP: Heap = Heap::new();

impl Heap {
    /// A heap without memory; it grows at the first request.
    #[expect(clippy::new_without_default, reason = "there is one heap, a static")]
    pub const fn new() -> Self {
        Self(Mutex::new(List::empty()))
    }
}

// SAFETY:
// 1. `List` gives out disjoint pieces of the memory it was given, aligned as asked.
// 2. That memory is mapped for this heap alone and never unmapped.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut list = self.0.lock();
        loop {
            match list.allocate_first_fit(layout) {
                Ok(block) => return block.as_ptr(),
                Err(()) if grow(&mut list, layout).is_none() => return ptr::null_mut(),
                Err(()) => {}
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller's promise: it came from `alloc` with this layout.
            unsafe { self.0.lock().deallocate(block, layout) };
        }
    }
}

/// Maps a piece more at the end of the heap. A large block takes several: so it begins in what is free at the end already.
fn grow(list: &mut List, layout: Layout) -> Option<()> {
    let mapped = MAPPED_BYTES.load(Ordering::Relaxed);
    let available = FREE.lock().free_bytes();
    if !can_hold(layout, mapped, available) {
        return None;
    }
    let frames = allocate_frames(GROW_BYTES as u64, PAGE_BYTES).ok()?;
    TABLES
        .lock()
        .as_mut()?
        .map(
            HEAP_BASE + mapped,
            frames,
            GROW_BYTES as u64,
            Permit::ReadWrite,
            Caching::WriteBack,
        )
        .ok()?;
    if mapped == 0 {
        // SAFETY: just mapped, for this heap alone, for ever.
        unsafe { list.init(HEAP_BASE as *mut u8, GROW_BYTES) };
    } else {
        // SAFETY: just mapped, directly behind what the heap has.
        unsafe { list.extend(GROW_BYTES) };
    }
    MAPPED_BYTES.store(mapped + GROW_BYTES, Ordering::Relaxed);
    Some(())
}

/// Returns whether a heap of `mapped` bytes may grow until it holds a block: else a request that
/// cannot be met would take all memory.
fn can_hold(layout: Layout, mapped: usize, available: u64) -> bool {
    let room = HEAP_LIMIT.saturating_sub(mapped + GROW_BYTES);
    let wanted = layout.size().saturating_add(layout.align());
    wanted <= room && wanted as u64 <= available
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::vec;

    #[test]
    fn a_large_block_begins_in_what_is_free_at_the_end() {
        for align in [8, 64, 4096] {
            let layout = Layout::from_size_align(10 * GROW_BYTES, align).expect("a sound layout");
            let memory = vec![0u8; 20 * GROW_BYTES].leak();
            let start = memory
                .as_mut_ptr()
                .map_addr(|at| at.next_multiple_of(PAGE_BYTES as usize));
            let mut list = List::empty();
            // SAFETY: leaked; the first page's border and all pieces below lie within.
            unsafe { list.init(start, GROW_BYTES) };
            let half = Layout::from_size_align(GROW_BYTES / 2, 8).expect("a sound layout");
            list.allocate_first_fit(half).expect("an empty heap");
            let mut pieces = 0;
            let block = loop {
                if let Ok(block) = list.allocate_first_fit(layout) {
                    break block;
                }
                // SAFETY: as above, directly behind what it has.
                unsafe { list.extend(GROW_BYTES) };
                pieces += 1;
            };
            assert!(block.as_ptr().addr().is_multiple_of(align));
            assert_eq!(pieces, 10, "half a piece was free");
        }
    }

    #[test]
    fn the_heap_does_not_grow_for_what_it_cannot_hold() {
        let layout = |bytes| Layout::from_size_align(bytes, 8).expect("a sound layout");
        assert!(can_hold(layout(1 << 20), 0, 2 << 20));
        assert!(!can_hold(layout(2 << 20), 0, 2 << 20), "no memory");
        assert!(
            !can_hold(layout(2 << 20), HEAP_LIMIT - (1 << 20), 1 << 40),
            "no room"
        );
        assert!(!can_hold(layout(isize::MAX as usize - 7), 0, u64::MAX));
        assert!(!can_hold(layout(8), HEAP_LIMIT, u64::MAX));
    }
}
