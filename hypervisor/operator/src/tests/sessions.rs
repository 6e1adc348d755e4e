//! Two sessions: one at the serial port, one at the screen.

use super::console::{ESCAPE, Watcher, two};
use crate::consoles::MessageSink;
use crate::focus::Focus;
use crate::tests::machine::TestOperator;
use core::sync::atomic::Ordering;
use std::string::String;
use vmm::test_host::out;

/// Makes two VMs, each in one session: "front" at the serial port, "back" at the screen.
fn apart() -> TestOperator {
    let mut test_machine = two();
    test_machine.operator_at_screen(ESCAPE);
    let text = test_machine.operator_at_screen("attach back\r");
    assert!(text.contains("console of vm back"), "{text:?}");
    test_machine.host.text();
    test_machine
}

/// Takes what was shown since, at the serial port and on the screen.
fn shown(test_machine: &TestOperator) -> (String, String) {
    (test_machine.host.text(), test_machine.host.screen_text())
}

#[test]
fn both_show_the_first_vm_from_the_start() {
    let mut test_machine = TestOperator::new();
    let (serial, screen) = shown(&test_machine);
    assert!(serial.contains("Press Ctrl-]"), "{serial:?}");
    assert_eq!(serial, screen);
    test_machine.print(0, "a\u{1b}[1mb\r\n");
    let (serial, screen) = shown(&test_machine);
    assert_eq!(serial, "a\u{1b}[1mb\r\n");
    assert_eq!(serial, screen);
}

#[test]
fn each_shows_its_own_vm_and_lines_of_the_other() {
    let mut test_machine = apart();
    test_machine.print(0, "\u{1b}[1mone\u{1b}[m\r\n");
    test_machine.print(1, "\u{1b}[7mtwo\u{1b}[m\r\n");
    let (serial, screen) = shown(&test_machine);
    assert_eq!(serial, "\u{1b}[1mone\u{1b}[0m\r\n[back] two\r\n");
    assert_eq!(screen, "[front] one\r\n\u{1b}[7mtwo\u{1b}[0m\r\n");
}

#[test]
fn each_types_at_its_own_vm() {
    let mut test_machine = apart();
    // What is typed for a paused VM waits for it.
    assert!(test_machine.vm(1).pause());
    test_machine.settle();
    let waits = |machine: &TestOperator, vm: usize| machine.vm(vm).board().serial().has_waiting();
    test_machine.operator("f");
    assert!(!waits(&test_machine, 1));
    let text = test_machine.operator_at_screen("b");
    assert!(text.contains("back is paused"), "{text:?}");
    assert_eq!(test_machine.host.text(), "");
    assert!(waits(&test_machine, 1) && !waits(&test_machine, 0));
    assert_eq!(test_machine.input(0x3f8), b'f');
}

#[test]
fn each_has_its_own_shell() {
    let mut test_machine = apart();
    test_machine.operator_at_screen(ESCAPE);
    assert_eq!(test_machine.screen().focus(), Focus::Shell);
    assert_eq!(test_machine.serial().focus(), Focus::Serial(0));
    // The answer comes where it was asked for, and half a line there stays its own.
    let text = test_machine.operator_at_screen("vms\rinf");
    assert!(text.contains("running"), "{text:?}");
    assert_eq!(test_machine.host.text(), "");
    let text = test_machine.operator(&std::format!("{ESCAPE}host\r"));
    assert!(
        text.contains("1 CPUs at") && !text.contains("inf"),
        "{text:?}"
    );
    let text = test_machine.operator_at_screen("o back\r");
    assert!(text.contains("vm back: "), "{text:?}");
    // Each goes back to where it came from.
    test_machine.operator(ESCAPE);
    test_machine.operator_at_screen(ESCAPE);
    assert_eq!(test_machine.serial().focus(), Focus::Serial(0));
    assert_eq!(test_machine.screen().focus(), Focus::Serial(1));
}

#[test]
fn messages_of_the_hypervisor_go_to_each() {
    let test_machine = apart();
    test_machine.host.screen_text();
    test_machine.operator.consoles.take("half ");
    test_machine.operator.consoles.take("a message\n");
    let wanted: String = "half a message\r\n".into();
    assert_eq!(shown(&test_machine), (wanted.clone(), wanted));
}

#[test]
fn a_picture_in_one_holds_no_line_of_the_other_back() {
    let mut test_machine = apart();
    test_machine.print(0, "\u{1b}[2J\u{1b}[9;1Hpicture");
    shown(&test_machine);
    test_machine.print(1, "a line\r\n");
    test_machine.operator.consoles.take("a message\n");
    let (serial, screen) = shown(&test_machine);
    assert_eq!(serial, "");
    assert_eq!(screen, "a line\r\na message\r\n");
    let text = test_machine.operator(ESCAPE);
    assert!(text.contains("[2 lines came meanwhile"), "{text:?}");
}

#[test]
fn a_screen_holds_no_guest_back_and_misses_nothing_for_a_slow_serial_port() {
    let mut test_machine = apart();
    shown(&test_machine);
    test_machine.host.takes.store(0, Ordering::Relaxed);
    let debug = |text: &str| {
        text.bytes()
            .map(|byte| out(0xe9, byte))
            .collect::<std::vec::Vec<_>>()
    };
    for _ in 0..40 {
        test_machine.run_on(1, 0, debug(&"0123456\n".repeat(200)));
    }
    assert_eq!(test_machine.screen().waiting(), 0);
    assert_ne!(test_machine.serial().waiting(), 0);
    let text = test_machine.host.screen_text();
    assert_eq!(text, "[back] 0123456\r\n".repeat(8_000));
    // At the serial port some of it is lost, and that is told.
    test_machine.host.takes.store(usize::MAX, Ordering::Relaxed);
    test_machine.pass_ns(10_000_000);
    test_machine.pass_ns(10_000_000);
    let (serial, screen) = shown(&test_machine);
    assert!(serial.contains("bytes were lost"), "{}", serial.len());
    assert_eq!(screen, "");
}

#[test]
fn the_slowest_session_that_shows_a_guest_holds_it_back() {
    let mut test_machine = two();
    test_machine.host.screen_text();
    test_machine.host.takes.store(0, Ordering::Relaxed);
    let mut sent = 0;
    while test_machine.input(0x3fd) & 0x20 != 0 {
        test_machine.out(0x3f8, b'x');
        sent += 1;
        assert!(sent < 100_000, "the guest is never asked to wait");
    }
    test_machine.host.takes.store(usize::MAX, Ordering::Relaxed);
    test_machine.pass_ns(10_000_000);
    test_machine.pass_ns(10_000_000);
    assert_ne!(test_machine.input(0x3fd) & 0x20, 0);
    // Each of them has all of it.
    let (serial, screen) = shown(&test_machine);
    assert_eq!(serial, "x".repeat(sent));
    assert_eq!(serial, screen);
}

#[test]
fn a_guest_asks_one_terminal_only() {
    let mut test_machine = two();
    shown(&test_machine);
    test_machine.print(0, "\u{1b}[6n");
    let (serial, screen) = shown(&test_machine);
    assert_eq!(serial, "\u{1b}[6n");
    assert_eq!(screen, "");
    // The one that looks at it.
    test_machine.operator(ESCAPE);
    test_machine.pass_ns(1_000_000_000);
    shown(&test_machine);
    test_machine.print(0, "\u{1b}[6n");
    let (serial, screen) = shown(&test_machine);
    assert_eq!(serial, "");
    assert_eq!(screen, "\u{1b}[6n");
}

#[test]
fn one_shows_a_vms_serial_port_and_the_other_its_screen() {
    let mut test_machine = two();
    test_machine.operator_at_screen(ESCAPE);
    test_machine.operator_at_screen("attach front screen\r");
    test_machine.pass_ns(100_000_000);
    assert_eq!(test_machine.screen().focus(), Focus::Screen(0));
    assert!(test_machine.screen().is_picture());
    assert_eq!(test_machine.serial().focus(), Focus::Serial(0));
    assert!(!test_machine.serial().is_picture());
    shown(&test_machine);
    test_machine.print(0, "text");
    let (serial, screen) = shown(&test_machine);
    assert_eq!(serial, "text");
    assert_eq!(screen, "");
    // Each with its own keyboard of the VM.
    test_machine.out(0x3fa, 1);
    test_machine.operator("s");
    test_machine.operator_at_screen("a");
    assert_eq!(test_machine.input(0x3f8), b's');
    assert_eq!(test_machine.input(0x60), 0x1e);
}

#[test]
fn the_end_of_a_vm_puts_both_terminals_back() {
    let mut test_machine = two();
    let (mut serial, mut screen) = (Watcher::new(), Watcher::new());
    test_machine.print(0, "\u{1b}[?1049h\u{1b}[?25l\u{1b}[7m");
    test_machine.run([vcpu::Exit::Shutdown]);
    let (at_serial, on_screen) = shown(&test_machine);
    serial.see(&at_serial);
    screen.see(&on_screen);
    for watcher in [serial, screen] {
        assert!(watcher.is_as_it_was());
    }
}

#[test]
fn each_vm_that_is_destroyed_leaves_its_session() {
    let mut test_machine = apart();
    test_machine.vm(1).end(vm_spec::After::Stop);
    test_machine.settle();
    let text = test_machine.operator(&std::format!("{ESCAPE}destroy back\r{ESCAPE}"));
    assert!(text.contains("back is gone"), "{text:?}");
    test_machine.operator_at_screen("abc\u{1d}");
    assert_eq!(test_machine.screen().focus(), Focus::Shell);
    assert_eq!(test_machine.serial().focus(), Focus::Serial(0));
}

#[test]
fn a_session_leaves_the_screen_of_a_vm_that_another_one_destroys() {
    let mut test_machine = two();
    test_machine.operator_at_screen(ESCAPE);
    test_machine.operator_at_screen("attach back screen\r");
    let vm = test_machine.vm(1);
    assert_eq!(test_machine.screen().focus(), Focus::Screen(vm.id()));
    vm.end(vm_spec::After::Stop);
    drop(vm);
    test_machine.settle();
    let before = test_machine.host.ram_bytes();
    let text = test_machine.operator(&std::format!("{ESCAPE}destroy back\r"));
    assert!(text.contains("back is gone"), "{text:?}");
    test_machine.pass_ns(20_000_000);
    test_machine.settle();
    assert_eq!(test_machine.screen().focus(), Focus::Shell);
    assert!(test_machine.host.ram_bytes() < before, "its memory is free");
}
