//! The page tables the guest was started with: 2 MiB pages, virtual is physical.

use crate::cpu;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const PRESENT: u64 = 1 << 0;
const USER: u64 = 1 << 2;

/// Bytes of a page here.
pub const PAGE_BYTES: u64 = 2 << 20;

fn entry(table: u64, index: u64) -> &'static AtomicU64 {
    let at = (table & ADDRESS) + (index & 0x1ff) * 8;
    // SAFETY: a page table made by whoever loaded us lies there, mapped to itself; nobody else touches it.
    unsafe { AtomicU64::from_ptr(at as *mut u64) }
}

fn path(at: u64) -> [&'static AtomicU64; 3] {
    let level_4 = entry(cpu::read_cr3(), at >> 39);
    let level_3 = entry(level_4.load(Relaxed), at >> 30);
    let level_2 = entry(level_3.load(Relaxed), at >> 21);
    [level_4, level_3, level_2]
}

/// Leads the 2 MiB page at `at` to the one at `to`, for this CPU at once.
pub fn lead_to(at: u64, to: u64) {
    let [.., page] = path(at);
    let rest = page.load(Relaxed) & !ADDRESS;
    page.store(rest | to, Relaxed);
    forget(at);
}

/// Forgets this CPU's translation of the page at `at`.
pub fn forget(at: u64) {
    flush(at);
}

fn flush(at: u64) {
    // SAFETY: a missing translation is looked up again.
    unsafe { asm!("invlpg [{}]", in(reg) at, options(nostack, preserves_flags)) };
}

/// Makes the 2 MiB page at `at` not present.
pub fn unmap(at: u64) {
    let [.., page] = path(at);
    page.fetch_and(!PRESENT, Relaxed);
    flush(at);
}

/// Makes it present again.
pub fn map(at: u64) {
    let [.., page] = path(at);
    page.fetch_or(PRESENT, Relaxed);
    flush(at);
}

/// Lets user code use it.
pub fn allow_user(at: u64) {
    for entry in path(at) {
        entry.fetch_or(USER, Relaxed);
    }
    cpu::write_cr3(cpu::read_cr3());
}
