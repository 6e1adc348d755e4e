//! Views: what a guest prints, and what the operator sees of it.

use crate::focus::Focus;
use crate::tests::machine::TestOperator;
use core::num::NonZero;
use std::string::String;
use std::vec::Vec;
use vmm::test_host::{out, spec};

pub(super) const ESCAPE: &str = "\u{1d}";

/// The terminal of an operator who has watched it all.
pub(super) struct Watcher(vt100::Parser);

impl Watcher {
    pub(super) fn new() -> Self {
        let size = |count| NonZero::new(count).expect("a size");
        Self(vt100::Parser::new(size(24), size(80), 0))
    }

    pub(super) fn see(&mut self, text: &str) -> Vec<String> {
        self.0.process(text.as_bytes());
        self.0.screen().rows(0, 80).collect()
    }

    /// Returns whether no program has left anything on the terminal.
    pub(super) fn is_as_it_was(&self) -> bool {
        let screen = self.0.screen();
        !screen.hide_cursor() && !screen.alternate_screen() && !screen.inverse()
    }
}

pub(super) fn two() -> TestOperator {
    let test_machine = TestOperator::with(1, [spec("front", 1), spec("back", 1)]);
    test_machine.host.text();
    test_machine
}

#[test]
fn a_guests_sequences_stay_in_its_view() {
    let mut test_machine = two();
    test_machine.print(
        0,
        "a\u{1b}]0;title\u{7}\u{1b}[21t\u{5}\u{1b}[5i\u{1b}P+q\u{1b}\\b",
    );
    assert_eq!(test_machine.host.text(), "ab");
    // Half a sequence is nothing, and nothing of the shell's is swallowed by it.
    test_machine.print(0, "\u{1b}[31m\u{1b}]0;never ends");
    let text = test_machine.operator(ESCAPE);
    let mut watcher = Watcher::new();
    let rows = watcher.see(&text);
    assert!(
        rows.iter().any(|row| row.starts_with("caisson> ")),
        "{text:?}"
    );
    assert_eq!(watcher.0.screen().fgcolor(), vt100::Color::Default);
}

#[test]
fn leaving_a_view_puts_the_terminal_back_and_coming_back_shows_it_again() {
    let mut test_machine = two();
    let mut watcher = Watcher::new();
    test_machine.print(
        0,
        "\u{1b}[?1049h\u{1b}[2J\u{1b}[3;5H\u{1b}[1;37;44mDialogue\u{1b}[?25l\u{1b}(0",
    );
    let rows = watcher.see(&test_machine.host.text());
    assert!(rows[2].starts_with("    Dialogue"), "{rows:?}");
    let rows = watcher.see(&test_machine.operator(ESCAPE));
    assert!(!rows.iter().any(|row| row.contains("Dialogue")));
    let screen = watcher.0.screen();
    assert!(!screen.hide_cursor() && !screen.alternate_screen() && !screen.bold());
    let rows = watcher.see(&test_machine.operator(ESCAPE));
    assert!(rows[2].starts_with("    Dialogue"), "{rows:?}");
    let screen = watcher.0.screen();
    assert!(screen.hide_cursor() && screen.alternate_screen() && screen.bold());
}

#[test]
fn the_last_lines_come_again_before_the_header_and_the_prompt_after_it() {
    let mut test_machine = two();
    test_machine.print(1, "one\r\ntwo\r\nlogin: ");
    let text = test_machine.command("attach back");
    let shown = text.rsplit_once("caisson> ").map_or("", |(_, shown)| shown);
    let (lines, prompt) = shown
        .split_once("console of vm back")
        .unwrap_or_else(|| panic!("no header: {text:?}"));
    assert!(lines.contains("one\r\ntwo\r\n"), "{text:?}");
    assert!(prompt.ends_with("\r\nlogin: "), "{text:?}");
}

#[test]
fn a_picture_is_not_disturbed_and_what_was_missed_is_said() {
    let mut test_machine = two();
    test_machine.print(0, "\u{1b}[2J\u{1b}[10;1Hpicture");
    test_machine.host.text();
    test_machine.print(1, "first\r\nsecond\r\n");
    log::info!("nobody logs here");
    assert_eq!(test_machine.host.text(), "");
    let text = test_machine.operator(ESCAPE);
    assert!(text.contains("[2 lines came meanwhile"), "{text:?}");
    let text = test_machine.command("scrollback back 1");
    assert!(
        text.contains("\r\nsecond\r\n") && !text.contains("first"),
        "{text:?}"
    );
}

#[test]
fn the_end_of_a_vm_puts_its_terminal_back() {
    let mut test_machine = two();
    let mut watcher = Watcher::new();
    test_machine.print(0, "\u{1b}[?1049h\u{1b}[?25l\u{1b}[7m");
    test_machine.run([vcpu::Exit::Shutdown]);
    watcher.see(&test_machine.host.text());
    assert!(watcher.is_as_it_was());
}

#[test]
fn a_half_typed_command_is_there_again_after_a_line_of_somebody_elses() {
    let mut test_machine = two();
    let mut watcher = Watcher::new();
    watcher.see(&test_machine.operator(ESCAPE));
    watcher.see(&test_machine.operator("attach frnot\u{1b}[D\u{1b}[D"));
    test_machine.print(1, "boo\r\n");
    let rows = watcher.see(&test_machine.host.text());
    let at = rows
        .iter()
        .position(|row| row.starts_with("[back] boo"))
        .expect("the line");
    assert!(
        rows[at + 1].starts_with("caisson> attach frnot"),
        "{rows:?}"
    );
    assert_eq!(watcher.0.screen().cursor_position().1, 9 + 10);
}

#[test]
fn a_terminals_answer_is_no_input_of_the_shell() {
    let mut test_machine = two();
    test_machine.print(0, "\u{1b}[6n");
    assert_eq!(test_machine.host.text(), "\u{1b}[6n");
    // Not more often than now and then.
    test_machine.print(0, &"\u{1b}[6n".repeat(50));
    assert_eq!(test_machine.host.text(), "");
    test_machine.operator(ESCAPE);
    let text = test_machine.operator("v\u{1b}[24;80Rms\u{1b}[?6c\r");
    assert!(text.contains("running"), "{text:?}");
    // In the background nobody asks.
    test_machine.pass_ns(1_000_000_000);
    test_machine.host.text();
    test_machine.print(0, "\u{1b}[6n");
    assert_eq!(test_machine.host.text(), "");
}

#[test]
fn the_operator_switches_to_a_vms_screen_and_back() {
    let mut test_machine = two();
    let text = test_machine.command("attach back screen");
    assert!(text.contains("screen of vm back"), "{text:?}");
    test_machine.pass_ns(100_000_000);
    assert_eq!(test_machine.serial().focus(), Focus::Screen(1));
    let mut watcher = Watcher::new();
    watcher.see(&test_machine.host.text());
    // Typed bytes go to the keyboard, not to the serial port.
    test_machine.operator("x");
    watcher.see(&test_machine.operator(ESCAPE));
    assert_eq!(test_machine.serial().focus(), Focus::Shell);
    let screen = watcher.0.screen();
    assert!(!screen.hide_cursor(), "the cursor is shown");
    // Ctrl-T: the other view.
    let text = test_machine.operator("\u{14}");
    assert!(text.contains("console of vm back"), "{text:?}");
    assert_eq!(test_machine.serial().focus(), Focus::Serial(1));
}

#[test]
fn a_vm_that_ends_on_its_screen_is_heard_below_it_and_redrawn_when_it_starts() {
    let mut test_machine = two();
    // The guest hides its cursor (CRTC 0x0a, bit 5).
    test_machine.run_on(1, 0, [out(0x3d4, 0x0a), out(0x3d5, 0x20)]);
    let mut watcher = Watcher::new();
    watcher.see(&test_machine.command("attach back screen"));
    test_machine.pass_ns(100_000_000);
    test_machine.pass_ns(100_000_000);
    watcher.see(&test_machine.host.text());
    assert!(watcher.0.screen().hide_cursor());
    test_machine.print(0, "not now\r\n");
    assert!(!test_machine.host.text().contains("not now"));
    test_machine.run_on(1, 0, [vcpu::Exit::Shutdown]);
    test_machine.settle();
    let text = test_machine.host.text();
    assert!(text.contains("[1 lines came meanwhile"), "{text:?}");
    watcher.see(&text);
    assert!(!watcher.0.screen().hide_cursor());
    test_machine.print(0, "now\r\n");
    assert!(test_machine.host.text().contains("[front] now"));
    assert!(test_machine.vm(1).start());
    test_machine.settle();
    test_machine.pass_ns(100_000_000);
    assert!(test_machine.serial().is_picture());
}

#[test]
fn no_noise_gets_out_of_a_view() {
    let mut test_machine = two();
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    for _ in 0..60 {
        let noise: Vec<_> = (0..200)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                let odd = b"\x1b[]P0;?hlmrHJ4125790\x0e\x0f\r\n(8c";
                let byte = (seed >> 24) as u8;
                if seed & 3 == 0 {
                    byte
                } else {
                    odd[byte as usize % odd.len()]
                }
            })
            .map(|byte| out(0x3f8, byte))
            .collect();
        test_machine.run_on(0, 0, noise);
        let mut watcher = Watcher::new();
        watcher.see(&test_machine.host.text());
        watcher.see(&test_machine.operator(ESCAPE));
        let screen = watcher.0.screen();
        assert!(!screen.hide_cursor() && !screen.alternate_screen());
        assert!(!screen.bold() && !screen.inverse() && !screen.application_cursor());
        assert_eq!(screen.bgcolor(), vt100::Color::Default);
        let text = test_machine.operator("vms\r");
        assert!(text.contains("running"), "{text:?}");
        watcher.see(&text);
        watcher.see(&test_machine.operator(ESCAPE));
        test_machine.host.text();
    }
}

#[test]
fn the_status_line_says_who_has_the_focus_and_how_the_vms_are() {
    let mut test_machine = two();
    test_machine.run([vcpu::Exit::Shutdown]);
    test_machine.pass_ns(1_000_000_000);
    let status = |test_machine: &TestOperator| test_machine.host.status.lock().clone();
    let line = status(&test_machine);
    assert!(
        line.starts_with(" front | 1 running, 1 stopped | CPUs ") && line.ends_with("shell"),
        "{line}"
    );
    test_machine.operator_at_screen(ESCAPE);
    assert!(
        status(&test_machine).starts_with(" shell | "),
        "{}",
        status(&test_machine)
    );
    test_machine.operator_at_screen("attach back screen\r");
    assert!(status(&test_machine).starts_with(" back (screen) | "));
    // It is the screen's own: what the serial port shows does not matter.
    test_machine.operator(ESCAPE);
    test_machine.pass_ns(1_000_000_000);
    assert!(status(&test_machine).starts_with(" back (screen) | "));
}

#[test]
fn a_life_ends_its_line() {
    let mut test_machine = two();
    test_machine.print(0, "login:");
    test_machine.print(1, "half a");
    test_machine.run_on(1, 0, "half b".bytes().map(|byte| out(0xe9, byte)));
    test_machine.host.text();
    for vm in [0, 1] {
        test_machine.vm(vm).reset();
    }
    test_machine.pass_ns(2_000_000_000);
    test_machine.settle();
    let text = test_machine.host.text();
    assert!(text.contains("[back] half a\r\n"), "{text:?}");
    assert!(text.contains("[back] half b\r\n"), "{text:?}");
    test_machine.print(0, "first\r\n");
    test_machine.print(1, "first\r\n");
    assert!(test_machine.host.text().contains("[back] first\r\n"));
    assert!(
        test_machine
            .command("scrollback front 9")
            .contains("\r\nlogin:\r\nfirst\r\n")
    );
    assert!(
        test_machine
            .command("scrollback back 9")
            .contains("\r\nhalf a\r\nfirst\r\n")
    );
    // What ended whole gets no empty line.
    test_machine.vm(1).reset();
    test_machine.pass_ns(2_000_000_000);
    test_machine.settle();
    test_machine.print(1, "again\r\n");
    assert!(
        test_machine
            .command("scrollback back 9")
            .contains("\r\nfirst\r\nagain\r\n")
    );
}

#[test]
fn the_console_of_a_destroyed_vm_is_nobodys() {
    let mut test_machine = TestOperator::new();
    test_machine.vm(0).end(vm_spec::After::Stop);
    test_machine.turns();
    test_machine.hypervisor.destroy("vm").expect("stopped");
    // Typed into the void, and the way to the shell is open.
    test_machine.operator("abc\x1d");
    assert_eq!(test_machine.serial().focus(), Focus::Shell);
    // Back to nobody: the shell stays.
    test_machine.operator("\x1d");
    assert_eq!(test_machine.serial().focus(), Focus::Shell);
}
