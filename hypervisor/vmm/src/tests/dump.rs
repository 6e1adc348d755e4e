//! Log lines about a vCPU that cannot go on.

use crate::test_host::{TestMachine, spec};
use board::VmState;
use core::cell::RefCell;
use log::{LevelFilter, Log, Metadata, Record};
use std::string::{String, ToString};
use std::sync::Once;
use std::thread_local;
use std::vec::Vec;
use vcpu::{Exit, RawExit};
use vm_spec::{After, VmSpec};

thread_local! {
    /// Lines that this test logged.
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps errors for the test that causes them.
struct Keeper;

impl Log for Keeper {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        LINES.with_borrow_mut(|lines| lines.push(record.args().to_string()));
    }

    fn flush(&self) {}
}

fn keep_errors() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Keeper).expect("no other logger");
        log::set_max_level(LevelFilter::Error);
    });
}

/// Returns how often a state was logged since the last call.
fn states() -> usize {
    let lines = LINES.take();
    assert!(
        lines.iter().all(|line| line.starts_with("vm vm: ")),
        "{lines:?}"
    );
    lines
        .iter()
        .filter(|line| line.contains("unexpected exit") && line.contains("vCPU"))
        .count()
}

#[test]
fn a_guest_fills_the_log_with_its_state_once_until_it_is_started_by_hand() {
    keep_errors();
    let restarts = VmSpec {
        on_crash: After::Restart,
        ..spec("vm", 2)
    };
    let mut test_machine = TestMachine::with(2, [restarts]);
    test_machine.start_second();
    let unexpected = || Exit::Unexpected(RawExit::default());
    // On both at once: one of them is why the VM ends.
    for id in [0, 1] {
        let exits = &mut test_machine.vcpu(0, id).backend.exits;
        exits.clear();
        exits.push_back(unexpected());
    }
    test_machine.settle();
    let lines = LINES.with_borrow(Vec::len);
    assert!(lines > 2, "the state is there");
    assert_eq!(states(), 1);
    // As often as it restarts by itself.
    for _ in 0..3 {
        test_machine.pass_ns(2_000_000_000);
        test_machine.settle();
        assert_eq!(test_machine.state(0), VmState::Running);
        test_machine.run([unexpected()]);
        test_machine.settle();
        assert_eq!(states(), 0);
    }
    assert!(test_machine.vm(0).end(After::Stop));
    test_machine.settle();
    assert!(test_machine.vm(0).start());
    test_machine.settle();
    test_machine.run([unexpected()]);
    assert_eq!(states(), 1);
}
