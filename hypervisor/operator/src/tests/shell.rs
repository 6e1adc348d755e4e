//! The shell: its line, its commands, and what fills the screen.

use super::console::{ESCAPE, Watcher, two};
use crate::focus::Focus;
use crate::tests::machine::TestOperator;
use std::string::String;
use std::vec::Vec;
use vm_spec::{Config, VmSpec};
use vmm::VmState;
use vmm::test_host::{out_wide, spec};

#[test]
fn the_line_can_be_edited_and_completed() {
    let mut test_machine = two();
    test_machine.operator(ESCAPE);
    let mut run = |keys: &str| test_machine.operator(&std::format!("{keys}\r"));
    // Home, End, Delete, Ctrl-U, Ctrl-W, Ctrl-A, Ctrl-K.
    assert!(run("ms\u{1b}[Hv\u{1b}[F").contains("running"));
    assert!(run("rubbish\u{15}vms").contains("running"));
    assert!(run("info nobody \u{17}front").contains("vm front: "));
    assert!(run("xvms\u{1}\u{1b}[3~").contains("running"));
    assert!(run("vms rubbish\u{1b}[1~\u{1b}OC\u{1b}OC\u{1b}OC\u{b}").contains("running"));
    // Names of commands, of VMs, of views and of parts.
    assert!(run("inf\tb\t").contains("vm back: "));
    assert!(run("ins\tba\tvc\t").contains("rip"));
    assert!(run("inspect back com1").contains("ier"));
    test_machine.operator("s\t");
    let text = test_machine.operator("\t");
    assert!(
        text.contains("start") && text.contains("scrollback"),
        "{text:?}"
    );
    // Nothing of it is carried out.
    let text = test_machine.operator("\u{3}vms\r");
    assert!(text.contains("running"), "{text:?}");
    // History.
    let text = test_machine.operator("\u{1b}[A\u{1b}[A\r");
    assert!(text.contains("ier"), "{text:?}");
}

#[test]
fn what_stands_alone_takes_nothing() {
    let mut test_machine = two();
    for name in ["vms", "top", "log", "host", "reboot", "poweroff"] {
        for more in ["back", "--now", "-x", "| less"] {
            let text = test_machine.command(&std::format!("{name} {more}"));
            assert!(
                text.contains(&std::format!("\r\n{name} stands alone; `help {name}`")),
                "{text:?}"
            );
            assert!(!text.contains("running"), "{text:?}");
        }
    }
    assert!(test_machine.command("vms").contains("running"));
}

#[test]
fn help_knows_every_command() {
    let mut test_machine = two();
    let list = test_machine.command("help");
    for name in [
        "vms",
        "start",
        "stop",
        "kill",
        "pause",
        "resume",
        "reset",
        "create",
        "destroy",
        "attach",
        "info",
        "exits",
        "top",
        "devices",
        "inspect",
        "log",
        "host",
        "scrollback",
        "button",
        "copy",
        "set-weight",
        "set-cap",
        "reboot",
        "poweroff",
    ] {
        assert!(list.contains(&std::format!("  {name} ")), "{name}: {list}");
        let text = test_machine.command(&std::format!("help {name}"));
        assert!(
            text.contains(&std::format!("Usage: {name}")),
            "{name}: {text}"
        );
    }
}

#[test]
fn help_on_what_there_is_not_says_what_there_is() {
    let mut test_machine = two();
    for question in [
        "help nonsense",
        "nonsense --help",
        "nonsense -h",
        "nonsense",
    ] {
        let text = test_machine.command(question);
        assert!(
            text.contains("\r\nthere is no command \"nonsense\"; `help` lists them\r\n"),
            "{text:?}"
        );
        assert!(text.ends_with("\r\ncaisson> "), "{text:?}");
        assert!(!text.contains("error"), "{text:?}");
    }
    // From the middle of the line, too.
    let text = test_machine.command("help statr\u{1b}[D\u{1b}[D");
    assert!(text.contains("did you mean `start`?"), "{text:?}");
    let text = test_machine.command("set");
    assert!(
        text.contains("did you mean `set-weight` or `set-cap`? `help` lists them"),
        "{text:?}"
    );
    assert!(
        test_machine
            .command("help help")
            .contains("`help COMMAND` explains")
    );
    assert!(test_machine.command("vms --help").contains("Usage: vms"));
    // It is a line like any other, for the history as well.
    test_machine.command("help nonsense");
    let text = test_machine.operator("\u{1b}[A\r");
    assert!(text.contains("no command \"nonsense\""), "{text:?}");
}

#[test]
fn what_is_so_already_is_said_to_be() {
    let mut test_machine = TestOperator::new();
    assert!(
        test_machine
            .command("resume vm")
            .contains("vm runs already")
    );
    assert!(test_machine.command("pause vm").contains("vm pauses"));
    test_machine.settle();
    test_machine.pass_ns(sched::SLICE_NS);
    assert!(
        test_machine
            .command("pause vm")
            .contains("vm is paused already")
    );
    assert!(test_machine.command("resume vm").contains("vm goes on"));
    test_machine.settle();
    assert!(test_machine.command("kill vm").contains("vm stops"));
    test_machine.settle();
    assert!(
        test_machine
            .command("resume vm")
            .contains("vm is not paused")
    );
    assert!(
        test_machine
            .command("pause vm")
            .contains("vm is not running")
    );
}

#[test]
fn tables_change_until_a_key() {
    let mut test_machine = two();
    let text = test_machine.command("top");
    assert!(
        text.contains("front") && text.contains("exits/s"),
        "{text:?}"
    );
    let text = test_machine.operator("q");
    assert!(text.ends_with("caisson> "), "{text:?}");
    test_machine.operator("exits\r");
    test_machine.host.text();
    test_machine.run((0..50).map(|_| vmm::test_host::cpuid(0)));
    test_machine.pass_ns(1_000_000_000);
    let text = test_machine.host.text();
    let row = text
        .lines()
        .find(|line| line.contains("cpuid"))
        .expect("a row");
    assert!(row.contains(" 4") || row.contains(" 5"), "{row:?}");
    // Ctrl-] leads all the way back.
    test_machine.operator(ESCAPE);
    assert_eq!(test_machine.serial().focus(), Focus::Serial(0));
    assert!(
        test_machine
            .command("exits nobody")
            .contains("there is no VM")
    );
}

#[test]
fn what_a_vm_printed_can_be_paged_through() {
    let mut test_machine = two();
    for line in 0..100 {
        test_machine.print(0, &std::format!("line {line}\r\n"));
    }
    let mut watcher = Watcher::new();
    watcher.see(&test_machine.operator(ESCAPE));
    let rows = watcher.see(&test_machine.operator("\u{1b}[5~"));
    assert_eq!(rows[21].trim_end(), "line 99", "{rows:?}");
    let rows = watcher.see(&test_machine.operator("\u{1b}[5~"));
    assert_eq!(rows[21].trim_end(), "line 77", "{rows:?}");
    let rows = watcher.see(&test_machine.operator("g"));
    assert_eq!(rows[0].trim_end(), "line 0", "{rows:?}");
    let text = test_machine.operator("qvms\r");
    assert!(text.contains("running"), "{text:?}");
    assert!(
        test_machine
            .command("scrollback front 2")
            .contains("\r\nline 98\r\nline 99\r\n")
    );
}

#[test]
fn a_long_answer_over_a_slow_line_is_whole() {
    let mut test_machine = TestOperator::with(1, [spec("vm", 32)]);
    test_machine.operator(ESCAPE);
    let whole = {
        let mut text = String::new();
        test_machine.vm(0).inspect(&mut text).expect("a string");
        text.lines().count()
    };
    test_machine
        .host
        .takes
        .store(0, core::sync::atomic::Ordering::Relaxed);
    test_machine.host.text();
    for _ in 0..10 {
        test_machine.host.type_text("info vm\r");
    }
    let mut text = String::new();
    for _ in 0..2_000 {
        // As much as 115,200 baud.
        test_machine
            .host
            .takes
            .store(115, core::sync::atomic::Ordering::Relaxed);
        test_machine.pass_ns(10_000_000);
        text += &test_machine.host.text();
    }
    assert!(!text.contains("lost"), "{}", text.len());
    assert!(
        text.lines().count() >= 10 * whole,
        "{} of {whole}",
        text.lines().count()
    );
}

#[test]
fn vms_are_made_paused_and_taken_away() {
    let template = VmSpec {
        is_template: true,
        ..spec("template", 1)
    };
    let config = Config {
        vms: [spec("vm", 1), template].into(),
        ..Config::default()
    };
    let mut test_machine = TestOperator::configured(1, &config);
    assert!(
        test_machine
            .command("create template a")
            .contains("`start a` starts it")
    );
    assert!(
        test_machine
            .command("create template a")
            .contains("already")
    );
    assert!(
        test_machine
            .command("create nothing")
            .contains("no VM or template")
    );
    assert!(test_machine.command("start a").contains("a starts"));
    test_machine.settle();
    assert_eq!(test_machine.state(1), VmState::Running);
    assert!(test_machine.command("pause a").contains("`resume a`"));
    test_machine.settle();
    assert!(test_machine.command("vms").contains("paused"));
    assert!(test_machine.command("resume a").contains("goes on"));
    test_machine.settle();
    assert!(
        test_machine
            .command("destroy a")
            .contains("`kill` stops it")
    );
    assert!(test_machine.command("kill a").contains("a stops"));
    test_machine.settle();
    assert!(test_machine.command("destroy a").contains("a is gone"));
    assert!(
        test_machine
            .command("destroy a")
            .contains("`vms` lists them")
    );
}

#[test]
fn stop_presses_the_button_first_if_somebody_listens() {
    let mut test_machine = TestOperator::new();
    test_machine.run([out_wide(0x602, x86::Width::Word, 0x100)]);
    assert!(
        test_machine
            .command("stop vm")
            .contains("power button pressed")
    );
    test_machine.settle();
    assert_eq!(test_machine.state(0), VmState::Running);
    test_machine.pass_ns(31_000_000_000);
    test_machine.settle();
    assert_eq!(test_machine.state(0), VmState::Stopped);
}

#[test]
fn devices_have_addresses_and_wires() {
    let mut test_machine = TestOperator::new();
    let text = test_machine.command("devices vm");
    let row = |name: &str| {
        let row = text
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default();
        row.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("com1"), "com1 4 ports 0x3f8-0x3ff");
    assert_eq!(row("ioapic"), "ioapic - 0xfec00000-0xfec00fff");
    assert_eq!(row("pit"), "pit 2 ports 0x40-0x43, port 0x61");
    let text = test_machine.command("inspect vm nothing");
    assert!(text.contains("vm has no \"nothing\"; it has pic"), "{text}");
}

#[test]
fn shares_are_changed() {
    let mut test_machine = two();
    assert!(
        test_machine
            .command("set-weight back 200")
            .contains("weight 200")
    );
    assert_eq!(test_machine.vm(1).weight(), 200);
    assert!(
        test_machine
            .command("set-weight back 0")
            .contains("from 1 to")
    );
    assert!(test_machine.command("set-cap back 50").contains("50 %"));
    assert_eq!(test_machine.vm(1).cap(), Some(50));
    assert!(
        test_machine
            .command("info back")
            .contains("weight 200, cap 50 % of one CPU")
    );
    assert!(test_machine.command("set-cap back 0").contains("no cap"));
    assert_eq!(test_machine.vm(1).cap(), None);
    assert!(
        test_machine
            .command("set-cap back much")
            .contains("is not a number from 0 to 4294967295; `help set-cap`")
    );
}

#[test]
fn an_escape_is_a_key_here_too() {
    let mut test_machine = two();
    test_machine.command("top");
    test_machine.operator("\u{1b}");
    test_machine.pass_ns(100_000_000);
    let text = test_machine.host.text();
    assert!(text.ends_with("caisson> "), "{text:?}");
    // What comes later is neither a symbol with Alt nor part of a sequence.
    for first in ["v", "]"] {
        test_machine.operator("\u{1b}");
        test_machine.pass_ns(100_000_000);
        let text = test_machine.operator(first);
        assert_eq!(text, first);
        test_machine.operator("\u{15}");
    }
    test_machine.operator("\u{1b}");
    test_machine.pass_ns(100_000_000);
    assert!(test_machine.operator("vms\r").contains("running"));
    // In one go it is a symbol with Alt, which is none.
    test_machine.operator("\u{1b}x");
    assert!(test_machine.operator("vms\r").contains("running"));
}

#[test]
fn a_line_may_contain_what_looks_like_the_prompt() {
    let mut test_machine = two();
    let text = test_machine.command("nonsense caisson> -h --help");
    assert!(text.contains("no command \"nonsense\""), "{text:?}");
}
