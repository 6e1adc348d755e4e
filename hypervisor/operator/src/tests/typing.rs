//! Input for a VM that takes it later, or never.

use super::console::{ESCAPE, two};
use crate::tests::machine::TestOperator;
use std::string::String;
use vm_spec::{Config, GuestConsole, VmSpec};
use vmm::test_host::spec;

impl TestOperator {
    /// Reads what the first VM's serial port has received, with its FIFO on.
    fn received(&mut self) -> String {
        let mut text = String::new();
        while self.input(0x3fd) & 1 != 0 {
            text.push(self.input(0x3f8).into());
            self.pass_ns(10_000_000);
        }
        text
    }
}

#[test]
fn what_is_typed_to_a_paused_vm_waits_for_it() {
    let mut test_machine = two();
    test_machine.out(0x3fa, 1);
    test_machine.pause();
    let text = test_machine.operator("echo something long\r");
    assert_eq!(text.matches("is paused: what is typed waits").count(), 1);
    assert!(text.contains("`resume front`"), "{text}");
    // Somebody else has the console meanwhile.
    assert!(test_machine.command("resume front").contains("goes on"));
    test_machine.settle();
    test_machine.operator(ESCAPE);
    assert_eq!(test_machine.received(), "echo something long\r");
    // Nothing more is said of it.
    assert_eq!(test_machine.operator("x"), "");
}

#[test]
fn what_is_too_much_to_wait_is_said_to_be_lost() {
    let mut test_machine = two();
    test_machine.out(0x3fa, 1);
    let text = test_machine.operator(&"x".repeat(1_000));
    assert_eq!(text.matches("front does not read").count(), 1, "{text}");
    let received = test_machine.received();
    assert_eq!(received.len(), 16 + 256);
    assert_eq!(test_machine.operator("y"), "");
    assert_eq!(test_machine.received(), "y");
}

#[test]
fn what_was_typed_for_a_life_is_not_read_in_the_next() {
    let mut test_machine = two();
    test_machine.pause();
    test_machine.operator("rm -rf /\r");
    assert!(test_machine.command("reset front").contains("restarts"));
    test_machine.pass_ns(2_000_000_000);
    test_machine.settle();
    test_machine.out(0x3fa, 1);
    assert_eq!(test_machine.received(), "");
    assert!(test_machine.command("kill front").contains("stops"));
    test_machine.settle();
    test_machine.operator(ESCAPE);
    let text = test_machine.operator("ls\r");
    assert_eq!(text.matches("front does not run").count(), 1, "{text}");
}

#[test]
fn nobody_types_at_the_screen_of_a_paused_vm() {
    let spec = VmSpec {
        console: GuestConsole::Screen,
        ..spec("vm", 1)
    };
    let mut test_machine = TestOperator::with(1, [spec]);
    test_machine.pass_ns(100_000_000);
    test_machine.host.text();
    test_machine.pause();
    // There is a picture: a word would spoil it.
    assert_eq!(test_machine.operator("abc"), "\u{7}");
    test_machine.vm(0).resume();
    test_machine.settle();
    test_machine.pass_ns(500_000_000);
    assert_eq!(test_machine.input(0x64) & 1, 0, "a key was pressed");
}

#[test]
fn each_obstacle_is_told_once_though_they_come_in_turn() {
    let mut test_machine = two();
    test_machine.pause();
    let text = test_machine.operator(&"x".repeat(1_000));
    assert_eq!(text.matches("is paused: what is typed waits").count(), 1);
    assert_eq!(text.matches("front does not read").count(), 1, "{text}");
}

#[test]
fn who_falls_behind_again_is_told_of_again_but_not_for_each_byte() {
    let mut test_machine = two();
    let told = |text: &str| text.matches("front does not read").count();
    test_machine.out(0x3fa, 1);
    assert_eq!(told(&test_machine.operator(&"x".repeat(300))), 1);
    // It reads, but no faster than one types.
    for _ in 0..20 {
        test_machine.input(0x3f8);
        assert_eq!(told(&test_machine.operator("yy")), 0);
    }
    test_machine.received();
    assert_eq!(told(&test_machine.operator(&"x".repeat(300))), 1);
}

#[test]
fn each_end_is_told_of() {
    let mut test_machine = two();
    for _ in 0..2 {
        test_machine.run([vcpu::Exit::Shutdown]);
        test_machine.settle();
        let text = test_machine.operator("xx");
        assert_eq!(text.matches("front does not run").count(), 1, "{text}");
        assert!(test_machine.vm(0).start());
        test_machine.settle();
        assert_eq!(test_machine.operator("x"), "");
    }
}

#[test]
fn what_is_typed_right_behind_the_command_that_made_a_vm_is_for_it() {
    let template = VmSpec {
        is_template: true,
        ..spec("template", 1)
    };
    let config = Config {
        vms: [spec("vm", 1), template].into(),
        ..Config::default()
    };
    let mut test_machine = TestOperator::configured(1, &config);
    test_machine.operator(ESCAPE);
    let text = test_machine.operator("create template a\rattach a\rls\r");
    assert_eq!(text.matches("a does not run").count(), 1, "{text}");
}
