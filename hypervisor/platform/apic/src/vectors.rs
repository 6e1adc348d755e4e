//! Vectors at the local APICs: which are the hypervisor's own, and which device has which other.
//!
//! One table for all CPUs. A vector that nobody was given has no handler: its interrupt is ended
//! and reported.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use host::{InterruptHandler, NoVector};
use spin::Mutex;
use x86::Vector;

/// The alarm: the local APIC timer.
pub const ALARM: u8 = 0xf0;
/// Another CPU wants attention.
pub const KICK: u8 = 0xf1;
/// The local APIC found an error.
pub const ERROR: u8 = 0xfe;
/// An interrupt that vanished before it was taken; it is not in service and gets no EOI.
pub const SPURIOUS: u8 = 0xff;
/// First vector of the PIC, which is masked: it can still say that an interrupt vanished.
pub(crate) const PIC: u8 = 0x20;

/// Those that no device gets: first and last, and what they are for. Sorted, without overlap.
const RESERVED: [(u8, u8, &str); 8] = [
    (0x00, 0x01, "exceptions"),
    (0x02, 0x02, "NMI"),
    (0x03, PIC - 1, "exceptions"),
    (PIC, PIC + 15, "PIC"),
    (ALARM, ALARM, "alarm"),
    (KICK, KICK, "kick"),
    // Of the highest priority, like the alarm: kept for more of that kind.
    (KICK + 1, ERROR, "local APIC"),
    (SPURIOUS, SPURIOUS, "spurious"),
];

/// Returns what a vector is reserved for.
fn reserved_for(vector: u8) -> Option<&'static str> {
    RESERVED
        .iter()
        .find(|(first, last, _)| (*first..=*last).contains(&vector))
        .map(|(_, _, what)| *what)
}

/// Which device has which vector; `H` is what is to be done.
struct VectorTable<H> {
    given: Vec<(Vector, H)>,
    /// Where the search for a free one begins: behind the last that was given, so that a late
    /// interrupt of a device that is gone does not find another device's handler.
    next: u8,
}

impl<H: Copy> VectorTable<H> {
    const fn new() -> Self {
        Self {
            given: Vec::new(),
            next: 0,
        }
    }

    fn allocate(&mut self, handler: H) -> Result<Vector, NoVector> {
        let free = (0..=u8::MAX)
            .map(|step| self.next.wrapping_add(step))
            .find(|&vector| reserved_for(vector).is_none() && self.handler(vector).is_none())
            .ok_or(NoVector)?;
        self.given.try_reserve(1).map_err(|_| NoVector)?;
        self.given.push((Vector(free), handler));
        self.next = free.wrapping_add(1);
        Ok(Vector(free))
    }

    fn free(&mut self, vector: Vector) {
        self.given.retain(|(given, _)| *given != vector);
    }

    fn handler(&self, vector: u8) -> Option<H> {
        self.given
            .iter()
            .find(|(given, _)| given.0 == vector)
            .map(|(_, handler)| *handler)
    }
}

static TABLE: Mutex<VectorTable<&'static dyn InterruptHandler>> = Mutex::new(VectorTable::new());

/// Gives a vector to a device.
///
/// # Errors
/// [`NoVector`].
pub fn allocate(handler: &'static dyn InterruptHandler) -> Result<Vector, NoVector> {
    TABLE.lock().allocate(handler)
}

/// Takes a vector back; one that no device has is left alone.
pub fn free(vector: Vector) {
    TABLE.lock().free(vector);
}

/// Calls the handler of a device's interrupt. The caller ends the interrupt afterwards.
#[inline(never)]
pub fn dispatch(vector: u8) {
    // Not in one expression with the call: no handler runs with the table locked.
    let handler = TABLE.lock().handler(vector);
    match handler {
        Some(handler) => handler.interrupt(),
        None => report_unexpected(vector),
    }
}

/// Logs an interrupt that nobody waits for, each time their number has doubled: a line that is
/// stuck would fill the log.
fn report_unexpected(vector: u8) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
    if count.is_power_of_two() {
        let what = reserved_for(vector).unwrap_or("no device");
        log::debug!("unexpected interrupt, vector {vector:#x} ({what}), {count} in all");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> VectorTable<u32> {
        let mut table = VectorTable::new();
        while table.allocate(7).is_ok() {}
        table
    }

    #[test]
    fn no_device_gets_a_reserved_vector() {
        let table = full();
        assert_eq!(table.given.len(), 0xf0 - 0x30);
        for (vector, _) in table.given {
            assert_eq!(reserved_for(vector.0), None);
            assert!((0x30..0xf0).contains(&vector.0), "{:#x}", vector.0);
        }
    }

    #[test]
    fn reserved_vectors_have_one_name_each() {
        for pair in RESERVED.windows(2) {
            assert!(pair[0].0 <= pair[0].1 && pair[0].1 < pair[1].0);
        }
        assert_eq!(reserved_for(0x02), Some("NMI"));
        assert_eq!(reserved_for(0x27), Some("PIC"));
        assert_eq!(reserved_for(ALARM), Some("alarm"));
        assert_eq!(reserved_for(ERROR), Some("local APIC"));
        assert_eq!(reserved_for(SPURIOUS), Some("spurious"));
    }

    #[test]
    fn each_device_gets_its_own_vector_and_handler() {
        let mut table = VectorTable::new();
        let first = table.allocate(1).expect("one is free");
        let second = table.allocate(2).expect("another one is free");
        assert_ne!(first, second);
        assert_eq!(table.handler(first.0), Some(1));
        assert_eq!(table.handler(second.0), Some(2));
        assert_eq!(table.handler(second.0 + 1), None);
        assert_eq!(table.handler(ALARM), None);
    }

    #[test]
    fn when_all_are_given_the_next_one_is_refused_until_one_comes_back() {
        let mut table = full();
        assert_eq!(table.allocate(8), Err(NoVector));
        table.free(Vector(0x77));
        assert_eq!(table.handler(0x77), None);
        assert_eq!(table.allocate(8), Ok(Vector(0x77)));
        assert_eq!(table.allocate(9), Err(NoVector));
    }

    #[test]
    fn a_vector_that_came_back_rests_while_others_are_free() {
        let mut table = VectorTable::new();
        let first = table.allocate(1).expect("one is free");
        table.free(first);
        assert_ne!(table.allocate(2), Ok(first));
    }

    #[test]
    fn what_no_device_has_cannot_be_freed() {
        let mut table = VectorTable::new();
        let first = table.allocate(1).expect("one is free");
        table.free(Vector(KICK));
        table.free(Vector(first.0 + 1));
        assert_eq!(table.handler(first.0), Some(1));
    }

    #[test]
    fn an_interrupt_reaches_its_handler_only() {
        struct Counter(AtomicU32);
        impl InterruptHandler for Counter {
            fn interrupt(&self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        static COUNTERS: [Counter; 2] = [const { Counter(AtomicU32::new(0)) }; 2];
        let [first, second] = COUNTERS.each_ref().map(|counter| {
            let vector = allocate(counter).expect("one is free");
            dispatch(vector.0);
            vector
        });
        dispatch(second.0);
        free(second);
        dispatch(second.0);
        dispatch(first.0);
        let counts = COUNTERS
            .each_ref()
            .map(|counter| counter.0.load(Ordering::Relaxed));
        assert_eq!(counts, [2, 2]);
    }
}
