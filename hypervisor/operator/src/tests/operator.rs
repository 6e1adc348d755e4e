//! The console and the operator's shell.

use crate::focus::Focus;
use crate::tests::machine::TestOperator;
use vmm::VmState;
use vmm::test_host::{out, spec};

const ESCAPE: &str = "\u{1d}";

impl TestOperator {
    /// Enters the shell, says a command and returns the answer.
    pub(super) fn command(&mut self, command: &str) -> std::string::String {
        if self.serial().focus() != Focus::Shell {
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
    let mut test_machine = TestOperator::with(1, [spec("front", 1), spec("back", 1)]);
    test_machine.host.text();
    test_machine.print(1, "half ");
    test_machine.print(0, "a\u{1b}[1mb");
    test_machine.print(1, "a line\r\n");
    test_machine.print(0, "c\r\n");
    assert_eq!(
        test_machine.host.text(),
        "a\u{1b}[1mb\u{1b}[m\u{1b}(B\u{f}\r\u{1b}[K[back] half a line\r\na\u{1b}[1mbc\r\n"
    );
}

#[test]
fn control_characters_of_a_vm_in_the_background_stay_with_it() {
    let mut test_machine = TestOperator::with(1, [spec("front", 1), spec("back", 1)]);
    test_machine.host.text();
    // ESC, BEL, DEL, and CSI as one character.
    test_machine.print(1, "a\u{1b}[2J\u{7}\u{7f}\u{9b}\tb\n");
    assert_eq!(test_machine.host.text(), "[back] a b\r\n");
}

#[test]
fn an_endless_line_in_the_background_is_cut() {
    let mut test_machine = TestOperator::with(1, [spec("front", 1), spec("back", 1)]);
    test_machine.host.text();
    test_machine.print(1, &"x".repeat(1000));
    let text = test_machine.host.text();
    assert_eq!(text.lines().count(), 3);
    assert!(text.lines().all(|line| line.len() == 7 + 256));
}

#[test]
fn what_is_typed_goes_to_the_vm_in_focus() {
    let mut test_machine = TestOperator::new();
    test_machine.out(0x3fa, 1);
    test_machine.operator("ls\r");
    let bytes = [(); 3].map(|()| test_machine.input(0x3f8));
    assert_eq!(&bytes, b"ls\r");
}

#[test]
fn the_escape_key_works_although_the_guest_reads_nothing() {
    let mut test_machine = TestOperator::new();
    test_machine.operator(&"x".repeat(1000));
    let text = test_machine.operator(ESCAPE);
    assert!(text.contains("operator's shell"), "{text}");
    assert!(text.contains("caisson> "), "{text}");
    let text = test_machine.operator(ESCAPE);
    assert!(text.contains("console of vm vm"), "{text}");
    assert_eq!(test_machine.serial().focus(), Focus::Serial(0));
}

#[test]
fn vms_lists_them() {
    let mut test_machine = TestOperator::with(1, [spec("alpha", 1), spec("beta", 2)]);
    test_machine.run_on(1, 0, [vcpu::Exit::Shutdown]);
    test_machine.pass_ns(1);
    let text = test_machine.command("vms");
    let line = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.unwrap_or_default().split_whitespace().nth(1)
    };
    assert_eq!(line("alpha"), Some("running"), "{text}");
    assert_eq!(line("beta"), Some("stopped"), "{text}");
}

#[test]
fn info_shows_every_device() {
    let mut test_machine = TestOperator::new();
    let text = test_machine.command("info vm");
    for part in ["vm vm: Running", "vCPU 0 on cpu0", "com1", "ioapic", "hpet"] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
}

#[test]
fn the_operator_stops_starts_and_resets() {
    let mut test_machine = TestOperator::new();
    test_machine.pass_ns(2_000_000_000);
    assert!(test_machine.command("kill vm").contains("vm stops"));
    test_machine.turns();
    assert_eq!(test_machine.state(0), VmState::Stopped);
    assert!(
        test_machine
            .command("kill vm")
            .contains("vm is not running")
    );
    assert!(test_machine.command("start vm").contains("vm starts"));
    test_machine.turns();
    assert_eq!(test_machine.state(0), VmState::Running);
    assert!(
        test_machine
            .command("start vm")
            .contains("vm is not stopped")
    );
    test_machine.pass_ns(2_000_000_000);
    test_machine.backend().state.cr8 = 9;
    assert!(test_machine.command("reset vm").contains("vm restarts"));
    test_machine.turns();
    test_machine.turns();
    assert_eq!(test_machine.backend().state.cr8, 0);
    assert!(test_machine.command("stop vm").contains("vm stops at once"));
    test_machine.turns();
    assert!(test_machine.command("reset vm").contains("vm starts"));
}

#[test]
fn the_power_button_raises_the_sci() {
    let mut test_machine = TestOperator::new();
    test_machine.run([vmm::test_host::out_wide(0x602, x86::Width::Word, 0x100)]);
    test_machine.route(9, 0x59 | 1 << 15);
    test_machine.set_interrupts(0, 0, true);
    assert!(
        test_machine
            .command("button vm")
            .contains("power button pressed")
    );
    test_machine.turns();
    assert_eq!(
        test_machine.delivered(0, 0),
        [vcpu::Event::Interrupt(x86::Vector(0x59))]
    );
}

#[test]
fn a_power_button_nobody_hears_is_said_to_be_one() {
    let mut test_machine = TestOperator::new();
    assert!(
        test_machine
            .command("button vm")
            .contains("does not listen")
    );
    test_machine.pass_ns(2_000_000_000);
    assert!(test_machine.command("kill vm").contains("vm stops"));
    test_machine.turns();
    assert!(
        test_machine
            .command("button vm")
            .contains("vm is not running")
    );
}

#[test]
fn the_shell_says_what_it_does_not_know() {
    let mut test_machine = TestOperator::new();
    assert!(
        test_machine
            .command("stop nobody")
            .contains("there is no VM \"nobody\"")
    );
    let text = test_machine.command("dance");
    assert!(
        text.contains("there is no command \"dance\"; `help`"),
        "{text}"
    );
    assert!(text.contains("caisson> "), "{text}");
    assert!(test_machine.command("kill").contains("`help kill`"));
    let text = test_machine.command("log");
    assert!(text.contains("the tail of the log\r\n"), "{text:?}");
    let text = test_machine.command("host");
    assert!(text.contains("1 CPUs at 1000 MHz"), "{text:?}");
}

#[test]
fn attach_moves_the_focus() {
    let mut test_machine = TestOperator::with(1, [spec("front", 1), spec("back", 1)]);
    test_machine.print(1, "login: ");
    let text = test_machine.command("attach back");
    assert!(text.contains("console of vm back"), "{text}");
    assert!(text.ends_with("login: "), "{text}");
    assert_eq!(test_machine.serial().focus(), Focus::Serial(1));
}

#[test]
#[should_panic(expected = "machine ends: Reset")]
fn the_operator_resets_the_machine() {
    TestOperator::new().command("reboot");
}

#[test]
fn nothing_typed_harms_the_shell() {
    let mut test_machine = TestOperator::new();
    test_machine.operator(ESCAPE);
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    for _ in 0..2_000 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        // No line ends: no command is wanted here, and no key that leads away.
        let byte = seed as u8;
        if !matches!(byte, b'\r' | b'\n' | 0x14 | 0x1d) {
            test_machine.host.typed.lock().push(byte);
        }
        test_machine.pass_ns(10_000_000);
    }
    test_machine.operator(ESCAPE);
    assert_eq!(test_machine.serial().focus(), Focus::Serial(0));
}
