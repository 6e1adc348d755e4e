//! Report of memory use: total, free, guests, files, hypervisor.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use host::MemoryReport;

use crate::frames::FREE;
use crate::heap::{heap_bytes, heap_used_bytes};

static TOTAL: AtomicU64 = AtomicU64::new(0);
static IMAGE: AtomicU64 = AtomicU64::new(0);
static STACKS: AtomicU64 = AtomicU64::new(0);
static TABLES: AtomicU64 = AtomicU64::new(0);
static GUEST_TABLES: AtomicU64 = AtomicU64::new(0);
static GUESTS: AtomicU64 = AtomicU64::new(0);
static MODULES: AtomicU64 = AtomicU64::new(0);

pub(crate) fn add_total(bytes: u64) {
    TOTAL.fetch_add(bytes, Ordering::Relaxed);
}

pub(crate) fn add_image(bytes: u64) {
    IMAGE.fetch_add(bytes, Ordering::Relaxed);
}

pub(crate) fn sub_image(bytes: u64) {
    IMAGE.fetch_sub(bytes, Ordering::Relaxed);
}

pub(crate) fn add_stack(bytes: u64) {
    STACKS.fetch_add(bytes, Ordering::Relaxed);
}

pub(crate) fn add_table(bytes: u64) {
    TABLES.fetch_add(bytes, Ordering::Relaxed);
}

pub(crate) fn add_guest_table(bytes: u64) {
    GUEST_TABLES.fetch_add(bytes, Ordering::Relaxed);
}

pub(crate) fn sub_guest_table(bytes: u64) {
    GUEST_TABLES.fetch_sub(bytes, Ordering::Relaxed);
}

pub(crate) fn set_modules(bytes: u64) {
    MODULES.store(bytes, Ordering::Relaxed);
}

pub(crate) fn add_guest(bytes: u64) {
    GUESTS.fetch_add(bytes, Ordering::Relaxed);
}

pub(crate) fn sub_guest(bytes: u64) {
    GUESTS.fetch_sub(bytes, Ordering::Relaxed);
}

/// Returns how the memory is used now. What is neither free nor guest RAM nor a guest's file is the
/// hypervisor's.
pub fn report() -> MemoryReport {
    let total = TOTAL.load(Ordering::Relaxed);
    let guests = GUESTS.load(Ordering::Relaxed);
    let free = FREE.lock().free_bytes();
    let files = MODULES.load(Ordering::Relaxed);
    let hypervisor = total.saturating_sub(free + guests + files);
    MemoryReport {
        total,
        free,
        guests,
        files,
        hypervisor,
        image: IMAGE.load(Ordering::Relaxed),
        stacks: STACKS.load(Ordering::Relaxed),
        tables: TABLES.load(Ordering::Relaxed),
        guest_tables: GUEST_TABLES.load(Ordering::Relaxed),
        heap: heap_bytes(),
        heap_used: heap_used_bytes(),
    }
}

/// The report as a line of log.
pub struct LogReport;

impl fmt::Display for LogReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MemoryReport {
            total,
            free,
            guests,
            files,
            hypervisor,
            image,
            heap,
            ..
        } = report();
        write!(
            f,
            "{} MiB of RAM: {} MiB free, {} MiB guests, {} KiB files, {} KiB hypervisor (image {} KiB, heap {} KiB)",
            total >> 20,
            free >> 20,
            guests >> 20,
            files >> 10,
            hypervisor >> 10,
            image >> 10,
            heap >> 10,
        )?;
        match FREE.lock().lost_bytes() {
            0 => Ok(()),
            lost => write!(f, ", {} KiB lost to fragmentation", lost >> 10),
        }
    }
}
