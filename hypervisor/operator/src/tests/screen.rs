//! The operator before a VM's screen and keyboard.

use crate::tests::machine::TestOperator;
use addr::Gpa;
use alloc::string::String;
use alloc::vec::Vec;
use guest_memory::GuestMemory;
use vm_spec::{GuestConsole, VmSpec};
use vmm::test_host::{out, spec};

const TEXT: u64 = 0xb_8000;
const DATA: u16 = 0x60;
const STATUS: u16 = 0x64;

/// A rig whose VM is met by its screen.
fn rig() -> TestOperator {
    let spec = VmSpec {
        console: GuestConsole::Screen,
        ..spec("vm", 1)
    };
    let mut rig = TestOperator::with(1, [spec]);
    rig.pass_ns(100_000_000);
    rig.host.text();
    rig
}

fn put(rig: &TestOperator, cell: u64, text: &str) {
    let bytes: Vec<u8> = text.bytes().flat_map(|byte| [byte, 7]).collect();
    let at = Gpa::new(TEXT + 2 * cell);
    rig.vm(0).ram().write(at, &bytes).expect("RAM");
}

fn shown(rig: &mut TestOperator) -> String {
    rig.pass_ns(50_000_000);
    rig.host.text()
}

/// Lets time pass in the housekeeper's steps, and reads what the keyboard sends.
fn codes(rig: &mut TestOperator, ms: u32) -> Vec<u8> {
    let mut codes = Vec::new();
    for _ in 0..ms / 10 {
        rig.pass_ns(10_000_000);
        while rig.input(STATUS) & 1 != 0 {
            codes.push(rig.input(DATA));
            rig.pass_ns(200_000);
        }
    }
    codes
}

#[test]
fn what_the_guest_writes_is_shown_and_what_it_changes() {
    let mut rig = rig();
    put(&rig, 80, "hello");
    assert_eq!(shown(&mut rig), "\x1b[2;1Hhello\x1b[1;1H");
    put(&rig, 81, "a");
    rig.run([out(0x3d4, 0xf), out(0x3d5, 3)]);
    assert_eq!(shown(&mut rig), "\x1b[2;2Ha\x1b[1;4H");
    assert_eq!(shown(&mut rig), "");
}

#[test]
fn text_at_the_end_of_the_window_goes_on_at_its_start() {
    let mut rig = rig();
    put(&rig, 0x3fff, "x");
    put(&rig, 0, "yz");
    let start: [u8; 2] = 0x3fffu16.to_be_bytes();
    let [high, low] = start;
    rig.run([
        out(0x3d4, 0xc),
        out(0x3d5, high),
        out(0x3d4, 0xd),
        out(0x3d5, low),
    ]);
    let text = shown(&mut rig);
    assert!(text.contains("xyz"), "{text:?}");
}

#[test]
fn graphics_are_said_to_be_some() {
    let mut rig = rig();
    rig.run([out(0x3ce, 6), out(0x3cf, 5)]);
    let text = shown(&mut rig);
    assert!(text.contains("graphics"), "{text:?}");
}

#[test]
fn a_key_goes_down_and_after_a_while_up() {
    let mut rig = rig();
    rig.host.type_text("a");
    assert_eq!(codes(&mut rig, 50), [0x1e]);
    assert_eq!(codes(&mut rig, 200), [0x9e]);
}

#[test]
fn a_key_that_is_repeated_stays_down_and_another_ends_it() {
    let mut rig = rig();
    for _ in 0..3 {
        rig.host.type_text("\x1b[D");
        assert_eq!(codes(&mut rig, 40), [0xe0, 0x4b]);
    }
    rig.host.type_text("b");
    assert_eq!(codes(&mut rig, 60), [0xe0, 0xcb, 0x30]);
    assert_eq!(codes(&mut rig, 200), [0xb0]);
}

#[test]
fn a_pasted_text_arrives_whole_and_in_order() {
    let mut rig = rig();
    rig.host.type_text("Hello");
    let codes = codes(&mut rig, 1_000);
    let pressed = codes.iter().copied().filter(|code| code & 0x80 == 0);
    let wanted = [0x2a, 0x23, 0x12, 0x26, 0x26, 0x18];
    assert_eq!(pressed.collect::<Vec<_>>(), wanted);
}

#[test]
fn a_guest_that_reads_nothing_costs_no_more_than_a_few_keys() {
    let mut rig = rig();
    for _ in 0..100 {
        rig.host.type_text(&"q".repeat(60));
        rig.pass_ns(20_000_000);
    }
    // Ctrl-] is heard all the same.
    rig.host.type_text("\x1d");
    rig.pass_ns(20_000_000);
    assert!(rig.host.text().contains("caisson> "));
}

#[test]
fn an_escape_is_a_key_when_nothing_follows() {
    let mut rig = rig();
    rig.host.type_text("\x1b");
    assert_eq!(codes(&mut rig, 40), [0u8; 0]);
    assert_eq!(codes(&mut rig, 40), [0x01]);
    assert_eq!(codes(&mut rig, 200), [0x81]);
    // What comes later is no sequence with it.
    rig.host.type_text("[");
    assert_eq!(codes(&mut rig, 200), [0x1a, 0x9a]);
    // Alt, with what could have begun a sequence.
    rig.host.type_text("\x1b[");
    assert_eq!(codes(&mut rig, 300), [0x38, 0x1a, 0x9a, 0xb8]);
}

#[test]
fn a_keyboard_that_does_not_scan_forgets_keys() {
    let mut rig = rig();
    rig.out(DATA, 0xf5);
    assert_eq!(codes(&mut rig, 20), [0xfa]);
    rig.host.type_text("abc");
    assert_eq!(codes(&mut rig, 300), [0u8; 0]);
    rig.out(DATA, 0xf4);
    assert_eq!(codes(&mut rig, 300), [0xfa]);
}

#[test]
fn no_key_stays_down_when_the_operator_leaves() {
    let mut rig = rig();
    rig.host.type_text("a");
    assert_eq!(codes(&mut rig, 20), [0x1e]);
    rig.host.type_text("\x1d");
    assert_eq!(codes(&mut rig, 50), [0x9e]);
}

#[test]
fn a_reset_empties_the_screen() {
    let mut rig = rig();
    put(&rig, 0, "old");
    rig.run([out(0x64, 0xfe)]);
    rig.pass_ns(2_000_000_000);
    rig.settle();
    let mut cell = [0; 2];
    let ram = rig.vm(0);
    ram.ram().read(Gpa::new(TEXT), &mut cell).expect("RAM");
    assert_eq!(cell, [b' ', 7]);
}

#[test]
fn what_a_guest_left_unread_is_not_typed_at_the_next_screen() {
    let screen = |name| VmSpec {
        console: GuestConsole::Screen,
        ..spec(name, 1)
    };
    let mut rig = TestOperator::with(1, [screen("front"), screen("back")]);
    rig.order("attach back screen");
    for _ in 0..60 {
        rig.host.type_text("q");
        rig.pass_ns(20_000_000);
    }
    rig.order("attach front screen");
    assert_eq!(codes(&mut rig, 300), [0u8; 0]);
    rig.host.type_text("a");
    assert_eq!(codes(&mut rig, 300), [0x1e, 0x9e]);
}

#[test]
fn no_key_stays_down_for_a_guest_that_reads_after_the_operator_left() {
    // Wherever the room ended.
    for keys in 5..15 {
        let mut rig = rig();
        rig.host.type_text(&"qw".repeat(keys));
        for _ in 0..100 {
            rig.pass_ns(20_000_000);
        }
        rig.host.type_text("\x1d");
        let codes = codes(&mut rig, 2_000);
        assert!(codes.len() > 12, "{codes:x?}");
        for pressed in codes.iter().filter(|code| **code & 0x80 == 0) {
            let count = |wanted: u8| codes.iter().filter(|code| **code == wanted).count();
            assert_eq!(count(*pressed), count(pressed | 0x80), "{codes:x?}");
        }
    }
}

#[test]
fn a_paused_guest_gets_no_key_that_was_typed_before() {
    let mut rig = rig();
    rig.host.type_text("hello, world");
    rig.pass_ns(10_000_000);
    rig.pause();
    let saved = |rig: &TestOperator| rig.vm(0).save().expect("paused");
    let before = saved(&rig);
    rig.pass_ns(500_000_000);
    rig.host.type_text("\x1d");
    rig.pass_ns(500_000_000);
    assert!(saved(&rig) == before, "the keyboard has moved");
    assert!(rig.vm(0).resume());
    rig.settle();
    // The key that was down is let go all the same.
    let last = codes(&mut rig, 1_000).pop();
    assert!(last.is_some_and(|code| code & 0x80 != 0), "{last:x?}");
}

#[test]
fn what_was_typed_at_the_screen_for_a_life_is_not_pressed_in_the_next() {
    let mut rig = rig();
    rig.host.type_text(&"rm -rf / ".repeat(7));
    rig.pass_ns(10_000_000);
    rig.run([out(0x64, 0xfe)]);
    rig.pass_ns(2_000_000_000);
    rig.settle();
    assert_eq!(codes(&mut rig, 500), [0u8; 0]);
    rig.host.type_text("a");
    assert_eq!(codes(&mut rig, 300), [0x1e, 0x9e]);
}
