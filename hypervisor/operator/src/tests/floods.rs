//! Floods, and slow terminals.

use super::console::{ESCAPE, two};
use crate::console::FULL_BYTES;
use crate::tests::machine::TestOperator;
use core::sync::atomic::Ordering;
use std::vec::Vec;
use vmm::test_host::{out, spec};

#[test]
fn a_flood_in_focus_leaves_others_their_share() {
    let mut test_machine = two();
    test_machine.host.takes.store(0, Ordering::Relaxed);
    // Until it is asked to wait.
    for _ in 0..40 {
        test_machine.print(0, &"x".repeat(1000));
    }
    test_machine.host.takes.store(usize::MAX, Ordering::Relaxed);
    test_machine.pass_ns(10_000_000);
    test_machine.host.takes.store(0, Ordering::Relaxed);
    test_machine.print(0, &"y".repeat(100_000));
    // The neighbour's transmitter takes a line all the same.
    test_machine.print(1, "heard\r\n");
    test_machine.host.takes.store(usize::MAX, Ordering::Relaxed);
    test_machine.pass_ns(10_000_000);
    test_machine.pass_ns(10_000_000);
    assert!(test_machine.host.text().contains("[back] heard"));
}

#[test]
fn a_flood_of_debug_text_leaves_room_for_uarts_and_others_debug_text() {
    let mut test_machine = two();
    let half = FULL_BYTES / 2;
    let debug = |text: &str| -> Vec<_> { text.bytes().map(|byte| out(0xe9, byte)).collect() };
    let slack = 1024;
    test_machine.host.takes.store(0, Ordering::Relaxed);
    for _ in 0..20 {
        test_machine.run_on(1, 0, debug(&"empty\n".repeat(400)));
        test_machine.pass_ns(1_000_000);
    }
    let waiting = test_machine.serial().waiting();
    assert!(waiting >= half, "it floods: {waiting}");
    assert!(waiting < half + slack, "{waiting}");
    // The serial port takes a little now and then.
    for _ in 0..40 {
        test_machine.host.takes.store(256, Ordering::Relaxed);
        test_machine.pass_ns(1_000_000);
        test_machine.run_on(1, 0, debug(&"empty\n".repeat(400)));
    }
    let waiting = test_machine.serial().waiting();
    assert!(waiting < half + slack, "{waiting}");
    // Who prints little is heard, by either way.
    test_machine.run_on(0, 0, debug("small voice\n"));
    test_machine.print(0, "large voice\r\n");
    test_machine.host.takes.store(usize::MAX, Ordering::Relaxed);
    test_machine.pass_ns(10_000_000);
    test_machine.pass_ns(10_000_000);
    let text = test_machine.host.text();
    assert!(text.contains("[front] small voice"));
    assert!(text.contains("large voice"));
    assert!(text.contains("bytes were lost"));
}

#[test]
fn short_sequences_with_long_consequences_fill_no_more_than_a_share() {
    let mut test_machine = two();
    test_machine.host.takes.store(0, Ordering::Relaxed);
    test_machine.print(0, &"\u{1b}c".repeat(12_000));
    let waiting = test_machine.serial().waiting();
    assert!(waiting < FULL_BYTES + 1024, "{waiting}");
}

#[test]
fn a_slow_console_makes_its_guest_wait_and_loses_nothing() {
    let mut test_machine = TestOperator::new();
    test_machine.host.text();
    test_machine.host.takes.store(0, Ordering::Relaxed);
    let mut sent = 0u32;
    // As drivers do: a byte whenever the transmitter says it is empty.
    while test_machine.input(0x3fd) & 0x20 != 0 {
        test_machine.out(0x3f8, b'a' + (sent % 26) as u8);
        sent += 1;
        assert!(sent < 100_000, "the guest is never asked to wait");
    }
    test_machine.host.takes.store(usize::MAX, Ordering::Relaxed);
    test_machine.pass_ns(10_000_000);
    test_machine.pass_ns(10_000_000);
    assert_ne!(test_machine.input(0x3fd) & 0x20, 0);
    let text = test_machine.host.text();
    assert_eq!(text.len(), sent as usize);
    assert!(
        (0..sent)
            .zip(text.bytes())
            .all(|(at, byte)| byte == b'a' + (at % 26) as u8)
    );
}

#[test]
fn a_flood_from_the_background_leaves_room_for_the_operator() {
    let mut test_machine = TestOperator::with(1, [spec("front", 1), spec("back", 1)]);
    test_machine.host.takes.store(0, Ordering::Relaxed);
    for _ in 0..400 {
        let line: Vec<_> = (0..255).map(|_| out(0xe9, b'x')).collect();
        test_machine.run_on(1, 0, line);
        test_machine.run_on(1, 0, [out(0xe9, b'\n')]);
    }
    test_machine.host.type_text(ESCAPE);
    test_machine.pass_ns(10_000_000);
    test_machine.host.takes.store(usize::MAX, Ordering::Relaxed);
    test_machine.pass_ns(10_000_000);
    let text = test_machine.host.text();
    assert!(text.contains("caisson> "));
    assert!(text.contains("bytes were lost"), "{}", text.len());
}
