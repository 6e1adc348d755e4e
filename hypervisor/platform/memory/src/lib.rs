//! Physical memory: frames, the hypervisor's own page tables, its heap and stacks, guest RAM.
//!
//! | virtual addresses from | what |
//! |---|---|
//! | `0xffff_8000_0000_0000` | direct map: physical address 0 and up, RAM only, never executable |
//! | `0xffff_c000_0000_0000` | device memory, uncached or write-combining |
//! | `0xffff_d000_0000_0000` | stacks, each between unmapped guard pages |
//! | `0xffff_e000_0000_0000` | heap, mapped as it grows |
//! | `0xffff_ffff_8020_0000` | the image: R, RX and RW pages |
//!
//! No page is writable and executable; the image's read-only pages are read-only in the direct map, too.
//!
//! Lock order: heap → page tables → free frames. The heap grows while its lock is held.
#![no_std]
#![expect(unsafe_code, reason = "page tables, raw frames and the heap")]

extern crate alloc;

mod direct;
mod dma;
mod frames;
mod free_ranges;
mod guest_ram;
mod heap;
mod paging;
mod registers;
mod report;
mod stacks;
mod takeover;

pub use direct::{direct, loader_bytes};
pub use dma::{DmaFrameBuffer, DmaFrames};
pub use frames::{Frames, TableFrames, allocate_frames, free_frames, take_low_frame};
pub use guest_ram::GuestRam;
pub use heap::{Heap, heap_bytes};
pub use paging::{Caching, map_identity_code, map_mmio, reclaim_static, root, unmap_identity};
pub use registers::MappedRegisters;
pub use report::{LogReport, report};
pub use stacks::{STACK_BYTES, Stack};
pub use takeover::{TakeoverError, modules_kept, reclaim_loader, regions, take_over};

/// The smallest page.
pub const PAGE_BYTES: u64 = addr::PAGE_BYTES;
/// The next larger page.
pub const LARGE_PAGE_BYTES: u64 = 2 << 20;
/// The largest page.
pub const HUGE_PAGE_BYTES: u64 = 1 << 30;
