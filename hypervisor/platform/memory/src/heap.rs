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
use crate::frames::allocate_frames;
use crate::paging::{Caching, Permit, TABLES};

const HEAP_BASE: usize = 0xffff_e000_0000_0000;
/// The window's size: far more than is ever mapped.
const HEAP_LIMIT: usize = 1 << 30;
const GROW_BYTES: usize = 256 << 10;

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

/// Maps more memory at the end of the heap, enough for one block of this layout.
fn grow(list: &mut List, layout: Layout) -> Option<()> {
    let mapped = MAPPED_BYTES.load(Ordering::Relaxed);
    // Twice the size covers alignment and the allocator's own rounding.
    let wanted = layout
        .size()
        .checked_mul(2)?
        .max(GROW_BYTES)
        .checked_next_multiple_of(PAGE_BYTES as usize)?;
    if mapped.checked_add(wanted)? > HEAP_LIMIT {
        return None;
    }
    let frames = allocate_frames(wanted as u64, PAGE_BYTES).ok()?;
    TABLES
        .lock()
        .as_mut()?
        .map(
            HEAP_BASE + mapped,
            frames,
            wanted as u64,
            Permit::ReadWrite,
            Caching::WriteBack,
        )
        .ok()?;
    if mapped == 0 {
        // SAFETY: just mapped, for this heap alone, for ever.
        unsafe { list.init(HEAP_BASE as *mut u8, wanted) };
    } else {
        // SAFETY: just mapped, directly behind what the heap has.
        unsafe { list.extend(wanted) };
    }
    MAPPED_BYTES.store(mapped + wanted, Ordering::Relaxed);
    Some(())
}
