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

/// Makes a machine whose VM is met by its screen.
fn on_screen() -> TestOperator {
    let spec = VmSpec {
        console: GuestConsole::Screen,
        ..spec("vm", 1)
    };
    let mut test_machine = TestOperator::with(1, [spec]);
    test_machine.pass_ns(100_000_000);
    test_machine.host.text();
    test_machine
}

fn put(test_machine: &TestOperator, cell: u64, text: &str) {
    let bytes: Vec<u8> = text.bytes().flat_map(|byte| [byte, 7]).collect();
    let at = Gpa::new(TEXT + 2 * cell);
    test_machine.vm(0).ram().write(at, &bytes).expect("RAM");
}

fn shown(test_machine: &mut TestOperator) -> String {
    test_machine.pass_ns(50_000_000);
    test_machine.host.text()
}

/// Lets time pass in the housekeeper's steps, and reads what the keyboard sends.
fn codes(test_machine: &mut TestOperator, ms: u32) -> Vec<u8> {
    let mut codes = Vec::new();
    for _ in 0..ms / 10 {
        test_machine.pass_ns(10_000_000);
        while test_machine.input(STATUS) & 1 != 0 {
            codes.push(test_machine.input(DATA));
            test_machine.pass_ns(200_000);
        }
    }
    codes
}

#[test]
fn what_the_guest_writes_is_shown_and_what_it_changes() {
    let mut test_machine = on_screen();
    put(&test_machine, 80, "hello");
    assert_eq!(shown(&mut test_machine), "\x1b[2;1Hhello\x1b[1;1H");
    put(&test_machine, 81, "a");
    test_machine.run([out(0x3d4, 0xf), out(0x3d5, 3)]);
    assert_eq!(shown(&mut test_machine), "\x1b[2;2Ha\x1b[1;4H");
    assert_eq!(shown(&mut test_machine), "");
}

#[test]
fn text_at_the_end_of_the_window_goes_on_at_its_start() {
    let mut test_machine = on_screen();
    put(&test_machine, 0x3fff, "x");
    put(&test_machine, 0, "yz");
    let start: [u8; 2] = 0x3fffu16.to_be_bytes();
    let [high, low] = start;
    test_machine.run([
        out(0x3d4, 0xc),
        out(0x3d5, high),
        out(0x3d4, 0xd),
        out(0x3d5, low),
    ]);
    let text = shown(&mut test_machine);
    assert!(text.contains("xyz"), "{text:?}");
}

#[test]
fn graphics_are_said_to_be_some() {
    let mut test_machine = on_screen();
    test_machine.run([out(0x3ce, 6), out(0x3cf, 5)]);
    let text = shown(&mut test_machine);
    assert!(text.contains("graphics"), "{text:?}");
}

#[test]
fn a_key_goes_down_and_after_a_while_up() {
    let mut test_machine = on_screen();
    test_machine.host.type_text("a");
    assert_eq!(codes(&mut test_machine, 50), [0x1e]);
    assert_eq!(codes(&mut test_machine, 200), [0x9e]);
}

#[test]
fn a_key_that_is_repeated_stays_down_and_another_ends_it() {
    let mut test_machine = on_screen();
    for _ in 0..3 {
        test_machine.host.type_text("\x1b[D");
        assert_eq!(codes(&mut test_machine, 40), [0xe0, 0x4b]);
    }
    test_machine.host.type_text("b");
    assert_eq!(codes(&mut test_machine, 60), [0xe0, 0xcb, 0x30]);
    assert_eq!(codes(&mut test_machine, 200), [0xb0]);
}

#[test]
fn a_pasted_text_arrives_whole_and_in_order() {
    let mut test_machine = on_screen();
    test_machine.host.type_text("Hello");
    let codes = codes(&mut test_machine, 1_000);
    let pressed = codes.iter().copied().filter(|code| code & 0x80 == 0);
    let wanted = [0x2a, 0x23, 0x12, 0x26, 0x26, 0x18];
    assert_eq!(pressed.collect::<Vec<_>>(), wanted);
}

#[test]
fn a_guest_that_reads_nothing_costs_no_more_than_a_few_keys() {
    let mut test_machine = on_screen();
    for _ in 0..100 {
        test_machine.host.type_text(&"q".repeat(60));
        test_machine.pass_ns(20_000_000);
    }
    // Ctrl-] is heard all the same.
    test_machine.host.type_text("\x1d");
    test_machine.pass_ns(20_000_000);
    assert!(test_machine.host.text().contains("caisson> "));
}

#[test]
fn an_escape_is_a_key_when_nothing_follows() {
    let mut test_machine = on_screen();
    test_machine.host.type_text("\x1b");
    assert_eq!(codes(&mut test_machine, 40), [0u8; 0]);
    assert_eq!(codes(&mut test_machine, 40), [0x01]);
    assert_eq!(codes(&mut test_machine, 200), [0x81]);
    // What comes later is no sequence with it.
    test_machine.host.type_text("[");
    assert_eq!(codes(&mut test_machine, 200), [0x1a, 0x9a]);
    // Alt, with what could have begun a sequence.
    test_machine.host.type_text("\x1b[");
    assert_eq!(codes(&mut test_machine, 300), [0x38, 0x1a, 0x9a, 0xb8]);
}

#[test]
fn a_keyboard_that_does_not_scan_forgets_keys() {
    let mut test_machine = on_screen();
    test_machine.out(DATA, 0xf5);
    assert_eq!(codes(&mut test_machine, 20), [0xfa]);
    test_machine.host.type_text("abc");
    assert_eq!(codes(&mut test_machine, 300), [0u8; 0]);
    test_machine.out(DATA, 0xf4);
    assert_eq!(codes(&mut test_machine, 300), [0xfa]);
}

#[test]
fn no_key_stays_down_when_the_operator_leaves() {
    let mut test_machine = on_screen();
    test_machine.host.type_text("a");
    assert_eq!(codes(&mut test_machine, 20), [0x1e]);
    test_machine.host.type_text("\x1d");
    assert_eq!(codes(&mut test_machine, 50), [0x9e]);
}

#[test]
fn a_reset_empties_the_screen() {
    let mut test_machine = on_screen();
    put(&test_machine, 0, "old");
    test_machine.run([out(0x64, 0xfe)]);
    test_machine.pass_ns(2_000_000_000);
    test_machine.settle();
    let mut cell = [0; 2];
    let ram = test_machine.vm(0);
    ram.ram().read(Gpa::new(TEXT), &mut cell).expect("RAM");
    assert_eq!(cell, [b' ', 7]);
}

#[test]
fn what_a_guest_left_unread_is_not_typed_at_the_next_screen() {
    let screen = |name| VmSpec {
        console: GuestConsole::Screen,
        ..spec(name, 1)
    };
    let mut test_machine = TestOperator::with(1, [screen("front"), screen("back")]);
    test_machine.command("attach back screen");
    for _ in 0..60 {
        test_machine.host.type_text("q");
        test_machine.pass_ns(20_000_000);
    }
    test_machine.command("attach front screen");
    assert_eq!(codes(&mut test_machine, 300), [0u8; 0]);
    test_machine.host.type_text("a");
    assert_eq!(codes(&mut test_machine, 300), [0x1e, 0x9e]);
}

#[test]
fn no_key_stays_down_for_a_guest_that_reads_after_the_operator_left() {
    // Wherever the room ended.
    for keys in 5..15 {
        let mut test_machine = on_screen();
        test_machine.host.type_text(&"qw".repeat(keys));
        for _ in 0..100 {
            test_machine.pass_ns(20_000_000);
        }
        test_machine.host.type_text("\x1d");
        let codes = codes(&mut test_machine, 2_000);
        assert!(codes.len() > 12, "{codes:x?}");
        for pressed in codes.iter().filter(|code| **code & 0x80 == 0) {
            let count = |wanted: u8| codes.iter().filter(|code| **code == wanted).count();
            assert_eq!(count(*pressed), count(pressed | 0x80), "{codes:x?}");
        }
    }
}

#[test]
fn a_paused_guest_gets_no_key_that_was_typed_before() {
    let mut test_machine = on_screen();
    test_machine.host.type_text("hello, world");
    test_machine.pass_ns(10_000_000);
    test_machine.pause();
    let saved = |test_machine: &TestOperator| test_machine.vm(0).save().expect("paused");
    let before = saved(&test_machine);
    test_machine.pass_ns(500_000_000);
    test_machine.host.type_text("\x1d");
    test_machine.pass_ns(500_000_000);
    assert!(saved(&test_machine) == before, "the keyboard has moved");
    assert!(test_machine.vm(0).resume());
    test_machine.settle();
    // The key that was down is let go all the same.
    let last = codes(&mut test_machine, 1_000).pop();
    assert!(last.is_some_and(|code| code & 0x80 != 0), "{last:x?}");
}

#[test]
fn what_was_typed_at_the_screen_for_a_life_is_not_pressed_in_the_next() {
    let mut test_machine = on_screen();
    test_machine.host.type_text(&"rm -rf / ".repeat(7));
    test_machine.pass_ns(10_000_000);
    test_machine.run([out(0x64, 0xfe)]);
    test_machine.pass_ns(2_000_000_000);
    test_machine.settle();
    assert_eq!(codes(&mut test_machine, 500), [0u8; 0]);
    test_machine.host.type_text("a");
    assert_eq!(codes(&mut test_machine, 300), [0x1e, 0x9e]);
}
