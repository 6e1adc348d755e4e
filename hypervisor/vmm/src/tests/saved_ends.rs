//! Ends of VMs whose state was restored.

use crate::test_host::TestMachine;
use alloc::sync::Arc;
use board::{StopReason, VmState};
use vcpu::{EntryRefused, Exit};

const SECOND_NS: u64 = 1_000_000_000;

#[test]
fn a_copy_can_be_killed_started_and_destroyed() {
    let mut test_machine = TestMachine::new();
    test_machine.pause();
    for _ in 0..5 {
        let copy = test_machine.copy();
        assert!(copy.kill());
        test_machine.settle();
        assert!(copy.start());
        test_machine.settle();
        assert_eq!(copy.lifecycle().state(), VmState::Running);
        copy.kill();
        test_machine.settle();
        test_machine.hypervisor.destroy("copy").expect("stopped");
        test_machine.pass_ns(SECOND_NS);
        assert_eq!(Arc::strong_count(&copy), 1);
    }
    assert_eq!(test_machine.host.vcpus(), 1);
}

#[test]
fn a_state_the_cpu_refuses_is_the_savers_fault() {
    let mut test_machine = TestMachine::new();
    test_machine.pause();
    test_machine.copy();
    let backend = &mut test_machine.vcpu(1, 0).backend;
    backend.exits.clear();
    let reason = "odd";
    backend
        .exits
        .push_back(Exit::EntryRefused(EntryRefused { reason }));
    assert!(test_machine.vm(1).resume());
    test_machine.settle();
    assert_eq!(
        test_machine.vm(1).lifecycle().last_stop(),
        Some(StopReason::BadSavedState { why: "odd" })
    );
    assert_eq!(test_machine.state(1), VmState::Stopped);
}
