//! The console and the operator's shell.

use crate::tests::machine::TestOperator;
use core::sync::atomic::Ordering;
use vmm::VmState;
use vmm::test_host::{out, spec};

const ESCAPE: &str = "\u{1d}";

impl TestOperator {
    /// Enters the shell, says a command and returns the answer.
    pub(super) fn order(&mut self, command: &str) -> std::string::String {
        if self.serial().focus() != crate::console::SHELL {
            self.operator(ESCAPE);
        }
        self.operator(command);
        self.operator("\r")
    }

    pub(super) fn print(&mut self, vm: usize, text: &str) {
        let bytes: std::vec::Vec<_> = text.bytes().map(|byte| out(0x3f8, byte)).collect();
        self.run_on(vm, 0, bytes);
    }
}

#[test]
fn a_line_from_the_background_comes_whole_and_cuts_nobodys() {
    let mut rig = TestOperator::with(1, [spec("front", 1), spec("back", 1)]);
    rig.host.text();
    rig.print(1, "half ");
    rig.print(0, "a\u{1b}[1mb");
    rig.print(1, "a line\r\n");
    rig.print(0, "c\r\n");
    assert_eq!(
        rig.host.text(),
        "a\u{1b}[1mb\u{1b}[m\u{1b}(B\u{f}\r\u{1b}[K[back] half a line\r\na\u{1b}[1mbc\r\n"
    );
}

#[test]
fn control_characters_of_a_vm_in_the_background_stay_with_it() {
    let mut rig = TestOperator::with(1, [spec("front", 1), spec("back", 1)]);
    rig.host.text();
    // ESC, BEL, DEL, and CSI as one character.
    rig.print(1, "a\u{1b}[2J\u{7}\u{7f}\u{9b}\tb\n");
    assert_eq!(rig.host.text(), "[back] a b\r\n");
}

#[test]
fn an_endless_line_in_the_background_is_cut() {
    let mut rig = TestOperator::with(1, [spec("front", 1), spec("back", 1)]);
    rig.host.text();
    rig.print(1, &"x".repeat(1000));
    let text = rig.host.text();
    assert_eq!(text.lines().count(), 3);
    assert!(text.lines().all(|line| line.len() == 7 + 256));
}

#[test]
fn what_is_typed_goes_to_the_vm_in_focus() {
    let mut rig = TestOperator::new();
    rig.out(0x3fa, 1);
    rig.operator("ls\r");
    let bytes = [(); 3].map(|()| rig.input(0x3f8));
    assert_eq!(&bytes, b"ls\r");
}

#[test]
fn the_escape_key_works_although_the_guest_reads_nothing() {
    let mut rig = TestOperator::new();
    rig.operator(&"x".repeat(1000));
    let text = rig.operator(ESCAPE);
    assert!(text.contains("operator's shell"), "{text}");
    assert!(text.contains("caisson> "), "{text}");
    let text = rig.operator(ESCAPE);
    assert!(text.contains("console of vm vm"), "{text}");
    assert_eq!(rig.serial().focus(), 0);
}

#[test]
fn vms_lists_them() {
    let mut rig = TestOperator::with(1, [spec("alpha", 1), spec("beta", 2)]);
    rig.run_on(1, 0, [vcpu::Exit::Shutdown]);
    rig.pass_ns(1);
    let text = rig.order("vms");
    let line = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.unwrap_or_default().split_whitespace().nth(1)
    };
    assert_eq!(line("alpha"), Some("running"), "{text}");
    assert_eq!(line("beta"), Some("stopped"), "{text}");
}

#[test]
fn info_shows_every_device() {
    let mut rig = TestOperator::new();
    let text = rig.order("info vm");
    for part in ["vm vm: Running", "vCPU 0 on cpu0", "com1", "ioapic", "hpet"] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
}

#[test]
fn the_operator_stops_starts_and_resets() {
    let mut rig = TestOperator::new();
    rig.pass_ns(2_000_000_000);
    assert!(rig.order("kill vm").contains("vm stops"));
    rig.turns();
    assert_eq!(rig.state(0), VmState::Stopped);
    assert!(rig.order("kill vm").contains("vm is not running"));
    assert!(rig.order("start vm").contains("vm starts"));
    rig.turns();
    assert_eq!(rig.state(0), VmState::Running);
    assert!(rig.order("start vm").contains("vm is not stopped"));
    rig.pass_ns(2_000_000_000);
    rig.backend().state.cr8 = 9;
    assert!(rig.order("reset vm").contains("vm restarts"));
    rig.turns();
    rig.turns();
    assert_eq!(rig.backend().state.cr8, 0);
    assert!(rig.order("stop vm").contains("vm stops at once"));
    rig.turns();
    assert!(rig.order("reset vm").contains("vm starts"));
}

#[test]
fn the_power_button_raises_the_sci() {
    let mut rig = TestOperator::new();
    rig.run([vmm::test_host::out_wide(0x602, x86::Width::Word, 0x100)]);
    rig.route(9, 0x59 | 1 << 15);
    rig.set_interrupts(0, 0, true);
    assert!(rig.order("button vm").contains("power button pressed"));
    rig.turns();
    assert_eq!(
        rig.delivered(0, 0),
        [vcpu::Event::Interrupt(x86::Vector(0x59))]
    );
}

#[test]
fn a_power_button_nobody_hears_is_said_to_be_one() {
    let mut rig = TestOperator::new();
    assert!(rig.order("button vm").contains("does not listen"));
    rig.pass_ns(2_000_000_000);
    assert!(rig.order("kill vm").contains("vm stops"));
    rig.turns();
    assert!(rig.order("button vm").contains("vm is not running"));
}

#[test]
fn the_shell_says_what_it_does_not_know() {
    let mut rig = TestOperator::new();
    assert!(
        rig.order("stop nobody")
            .contains("there is no VM \"nobody\"")
    );
    let text = rig.order("dance");
    assert!(
        text.contains("there is no command \"dance\"; `help`"),
        "{text}"
    );
    assert!(text.contains("caisson> "), "{text}");
    assert!(rig.order("kill").contains("`help kill`"));
    let text = rig.order("log");
    assert!(text.contains("the tail of the log\r\n"), "{text:?}");
    let text = rig.order("host");
    assert!(text.contains("1 CPUs at 1000 MHz"), "{text:?}");
}

#[test]
fn attach_moves_the_focus() {
    let mut rig = TestOperator::with(1, [spec("front", 1), spec("back", 1)]);
    rig.print(1, "login: ");
    let text = rig.order("attach back");
    assert!(text.contains("console of vm back"), "{text}");
    assert!(text.ends_with("login: "), "{text}");
    assert_eq!(rig.serial().focus(), 1);
}

#[test]
#[should_panic(expected = "machine ends: Reset")]
fn the_operator_resets_the_machine() {
    TestOperator::new().order("reboot");
}

#[test]
fn nothing_typed_harms_the_shell() {
    let mut rig = TestOperator::new();
    rig.operator(ESCAPE);
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    for _ in 0..2_000 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        // No line ends: no command is wanted here, and no key that leads away.
        let byte = seed as u8;
        if !matches!(byte, b'\r' | b'\n' | 0x14 | 0x1d) {
            rig.host.typed.lock().push(byte);
        }
        rig.pass_ns(10_000_000);
    }
    rig.operator(ESCAPE);
    assert_eq!(rig.serial().focus(), 0);
}

#[test]
fn a_slow_console_makes_its_guest_wait_and_loses_nothing() {
    let mut rig = TestOperator::new();
    rig.host.text();
    rig.host.takes.store(0, Ordering::Relaxed);
    let mut sent = 0u32;
    // As drivers do: a byte whenever the transmitter says it is empty.
    while rig.input(0x3fd) & 0x20 != 0 {
        rig.out(0x3f8, b'a' + (sent % 26) as u8);
        sent += 1;
        assert!(sent < 100_000, "the guest is never asked to wait");
    }
    rig.host.takes.store(usize::MAX, Ordering::Relaxed);
    rig.pass_ns(10_000_000);
    rig.pass_ns(10_000_000);
    assert_ne!(rig.input(0x3fd) & 0x20, 0);
    let text = rig.host.text();
    assert_eq!(text.len(), sent as usize);
    assert!(
        (0..sent)
            .zip(text.bytes())
            .all(|(at, byte)| byte == b'a' + (at % 26) as u8)
    );
}

#[test]
fn a_flood_from_the_background_leaves_room_for_the_operator() {
    let mut rig = TestOperator::with(1, [spec("front", 1), spec("back", 1)]);
    rig.host.takes.store(0, Ordering::Relaxed);
    for _ in 0..400 {
        let line: std::vec::Vec<_> = (0..255).map(|_| out(0xe9, b'x')).collect();
        rig.run_on(1, 0, line);
        rig.run_on(1, 0, [out(0xe9, b'\n')]);
    }
    rig.host.type_text(ESCAPE);
    rig.pass_ns(10_000_000);
    rig.host.takes.store(usize::MAX, Ordering::Relaxed);
    rig.pass_ns(10_000_000);
    let text = rig.host.text();
    assert!(text.contains("caisson> "));
    assert!(text.contains("bytes were lost"), "{}", text.len());
}
