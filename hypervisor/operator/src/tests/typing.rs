//! What is typed for a VM that takes it later, or never.

use super::console::{ESCAPE, two};
use crate::tests::machine::TestOperator;
use std::string::String;
use vm_spec::{Config, GuestConsole, VmSpec};
use vmm::test_host::spec;

impl TestOperator {
    /// What the first VM's serial port has received, with its FIFO on.
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
    let mut rig = two();
    rig.out(0x3fa, 1);
    rig.pause();
    let text = rig.operator("echo something long\r");
    assert_eq!(text.matches("is paused: what is typed waits").count(), 1);
    assert!(text.contains("`resume front`"), "{text}");
    // Somebody else has the console meanwhile.
    assert!(rig.order("resume front").contains("goes on"));
    rig.settle();
    rig.operator(ESCAPE);
    assert_eq!(rig.received(), "echo something long\r");
    // Nothing more is said of it.
    assert_eq!(rig.operator("x"), "");
}

#[test]
fn what_is_too_much_to_wait_is_said_to_be_lost() {
    let mut rig = two();
    rig.out(0x3fa, 1);
    let text = rig.operator(&"x".repeat(1_000));
    assert_eq!(text.matches("front does not read").count(), 1, "{text}");
    let received = rig.received();
    assert_eq!(received.len(), 16 + 256);
    assert_eq!(rig.operator("y"), "");
    assert_eq!(rig.received(), "y");
}

#[test]
fn what_was_typed_for_a_life_is_not_read_in_the_next() {
    let mut rig = two();
    rig.pause();
    rig.operator("rm -rf /\r");
    assert!(rig.order("reset front").contains("restarts"));
    rig.pass_ns(2_000_000_000);
    rig.settle();
    rig.out(0x3fa, 1);
    assert_eq!(rig.received(), "");
    assert!(rig.order("kill front").contains("stops"));
    rig.settle();
    rig.operator(ESCAPE);
    let text = rig.operator("ls\r");
    assert_eq!(text.matches("front does not run").count(), 1, "{text}");
}

#[test]
fn nobody_types_at_the_screen_of_a_paused_vm() {
    let spec = VmSpec {
        console: GuestConsole::Screen,
        ..spec("vm", 1)
    };
    let mut rig = TestOperator::with(1, [spec]);
    rig.pass_ns(100_000_000);
    rig.host.text();
    rig.pause();
    // There is a picture: a word would spoil it.
    assert_eq!(rig.operator("abc"), "\u{7}");
    rig.vm(0).resume();
    rig.settle();
    rig.pass_ns(500_000_000);
    assert_eq!(rig.input(0x64) & 1, 0, "a key was pressed");
}

#[test]
fn each_obstacle_is_told_once_though_they_come_in_turn() {
    let mut rig = two();
    rig.pause();
    let text = rig.operator(&"x".repeat(1_000));
    assert_eq!(text.matches("is paused: what is typed waits").count(), 1);
    assert_eq!(text.matches("front does not read").count(), 1, "{text}");
}

#[test]
fn who_falls_behind_again_is_told_of_again_but_not_for_each_byte() {
    let mut rig = two();
    let told = |text: &str| text.matches("front does not read").count();
    rig.out(0x3fa, 1);
    assert_eq!(told(&rig.operator(&"x".repeat(300))), 1);
    // It reads, but no faster than one types.
    for _ in 0..20 {
        rig.input(0x3f8);
        assert_eq!(told(&rig.operator("yy")), 0);
    }
    rig.received();
    assert_eq!(told(&rig.operator(&"x".repeat(300))), 1);
}

#[test]
fn each_end_is_told_of() {
    let mut rig = two();
    for _ in 0..2 {
        rig.run([vcpu::Exit::Shutdown]);
        rig.settle();
        let text = rig.operator("xx");
        assert_eq!(text.matches("front does not run").count(), 1, "{text}");
        assert!(rig.vm(0).start());
        rig.settle();
        assert_eq!(rig.operator("x"), "");
    }
}

#[test]
fn what_is_typed_right_behind_the_order_that_made_a_vm_is_for_it() {
    let template = VmSpec {
        is_template: true,
        ..spec("mould", 1)
    };
    let config = Config {
        vms: [spec("vm", 1), template].into(),
        ..Config::default()
    };
    let mut rig = TestOperator::configured(1, &config);
    rig.operator(ESCAPE);
    let text = rig.operator("create mould a\rattach a\rls\r");
    assert_eq!(text.matches("a does not run").count(), 1, "{text}");
}
