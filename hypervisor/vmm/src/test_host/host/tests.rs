//! Tests of the test host itself.

use super::*;

struct Counter(AtomicU32);

impl InterruptHandler for Counter {
    fn interrupt(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_handler_has_run_when_its_interrupt_is_taken() {
    static COUNTER: Counter = Counter(AtomicU32::new(0));
    let host = TestHost::new(1);
    let vector = host.allocate_vector(&COUNTER).expect("one is free");
    host.raise(vector);
    host.raise(Vector(vector.0 + 1));
    while let Some(taken) = host.next_interrupt(&mut ()) {
        assert!(matches!(taken, HostVector::Device(_)));
    }
    assert_eq!(COUNTER.0.load(Ordering::Relaxed), 1);
    host.free_vector(vector);
    host.raise(vector);
    assert_eq!(
        host.next_interrupt(&mut ()),
        Some(HostVector::Device(vector))
    );
    assert_eq!(COUNTER.0.load(Ordering::Relaxed), 1);
}

#[test]
fn vectors_run_out() {
    static COUNTER: Counter = Counter(AtomicU32::new(0));
    let host = TestHost::new(1);
    while host.allocate_vector(&COUNTER).is_ok() {}
    host.free_vector(Vector(DEVICE_VECTORS.start));
    assert_eq!(
        host.allocate_vector(&COUNTER),
        Ok(Vector(DEVICE_VECTORS.start))
    );
    assert_eq!(host.allocate_vector(&COUNTER), Err(NoVector));
}
