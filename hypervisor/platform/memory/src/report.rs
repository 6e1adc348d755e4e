//! Who holds how much.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use host::MemoryReport;

use crate::frames::FREE;
use crate::heap::{heap_bytes, heap_used_bytes};

static TOTAL: AtomicU64 = AtomicU64::new(0);
static IMAGE: AtomicU64 = AtomicU64::new(0);
static GUESTS: AtomicU64 = AtomicU64::new(0);
static MODULES: AtomicU64 = AtomicU64::new(0);

pub(crate) fn add_total(bytes: u64) {
    TOTAL.fetch_add(bytes, Ordering::Relaxed);
}

pub(crate) fn add_image(bytes: u64) {
    IMAGE.fetch_add(bytes, Ordering::Relaxed);
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

/// Who holds how much memory now. What is neither free nor guest RAM nor a guest's file is the hypervisor's.
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
            heap_used: _,
        } = report();
        write!(
            f,
            "{} MiB of RAM: {} MiB free, {} MiB guests, {} KiB files, {} KiB hypervisor (image {} KiB, heap {} KiB)",
            total >> 20,
            free >> 20,
            guests >> 20,
            files >> 10,
            hypervisor >> 10,
            IMAGE.load(Ordering::Relaxed) >> 10,
            heap_bytes() >> 10,
        )?;
        match FREE.lock().lost_bytes() {
            0 => Ok(()),
            lost => write!(f, ", {} KiB lost to fragmentation", lost >> 10),
        }
    }
}
