//! Registry: VMs come and go while others run.

use crate::registry::{CreateError, DestroyError};
use crate::test_host::LEFTOVER;
use crate::test_host::{TestMachine, out, spec};
use alloc::sync::Arc;
use board::VmState;
use guest_memory::GuestMemory;
use vm_spec::{After, Config, VmSpec};

/// A machine with two CPUs that runs "vm" and can make more of the template "more", of two vCPUs.
fn test_machine() -> TestMachine {
    let template = VmSpec {
        is_template: true,
        ..spec("more", 2)
    };
    TestMachine::configured(
        2,
        &Config {
            vms: [spec("vm", 1), template].into(),
            ..Config::default()
        },
    )
}

#[test]
fn a_template_is_no_vm_until_somebody_creates_one() {
    let mut test_machine = test_machine();
    assert!(test_machine.hypervisor.find("more").is_none());
    let vm = test_machine
        .hypervisor
        .create("more", None)
        .expect("a template");
    assert_eq!((vm.name(), vm.id()), ("more", 1));
    test_machine.turns();
    assert_eq!(test_machine.state(1), VmState::Stopped);
    assert!(vm.start());
    test_machine.settle();
    assert_eq!(test_machine.state(1), VmState::Running);
    test_machine.run_on(1, 0, [out(0x3f8, b'x')]);
}

#[test]
fn several_vms_are_made_from_one_spec() {
    let mut test_machine = test_machine();
    for name in ["a", "b", "c"] {
        let vm = test_machine
            .hypervisor
            .create("vm", Some(name))
            .expect("memory");
        vm.start();
    }
    test_machine.settle();
    let vms = test_machine.hypervisor.vms();
    let names: alloc::vec::Vec<_> = vms.iter().map(|vm| vm.name()).collect();
    assert_eq!(names, ["vm", "a", "b", "c"]);
    assert!((0..4).all(|vm| test_machine.state(vm) == VmState::Running));
    assert_eq!(test_machine.hypervisor.by_id(2).expect("b").name(), "b");
}

#[test]
fn what_cannot_be_created_is_refused() {
    let test_machine = test_machine();
    let refusal = |spec, name| test_machine.hypervisor.create(spec, name).err();
    assert_eq!(
        refusal("other", None),
        Some(CreateError::NoSpec("other".into()))
    );
    assert_eq!(refusal("vm", None), Some(CreateError::Taken("vm".into())));
    for bad in ["", "a b", "123456789012345678901234567890123"] {
        assert_eq!(
            refusal("vm", Some(bad)),
            Some(CreateError::BadName(bad.into()))
        );
    }
    assert_eq!(test_machine.hypervisor.vms().len(), 1);
}

#[test]
fn only_a_stopped_vm_is_destroyed() {
    let mut test_machine = test_machine();
    let destroy = |name| test_machine.hypervisor.destroy(name);
    assert_eq!(destroy("more"), Err(DestroyError::NoVm));
    assert_eq!(destroy("vm"), Err(DestroyError::NotStopped));
    test_machine.vm(0).end(After::Stop);
    assert_eq!(
        test_machine.hypervisor.destroy("vm"),
        Err(DestroyError::NotStopped),
        "it still halts"
    );
    test_machine.turns();
    assert_eq!(test_machine.hypervisor.destroy("vm"), Ok(()));
    assert!(test_machine.hypervisor.find("vm").is_none());
}

#[test]
fn a_destroyed_vm_never_starts_again() {
    let mut test_machine = test_machine();
    let vm = test_machine
        .hypervisor
        .create("more", None)
        .expect("memory");
    test_machine.turns();
    assert_eq!(test_machine.hypervisor.destroy("more"), Ok(()));
    assert!(!vm.start());
    assert!(!vm.end(After::Restart));
    test_machine.turns();
    assert_eq!(vm.lifecycle().state(), VmState::Destroyed);
}

#[test]
fn a_vm_destroyed_before_its_vcpus_arrived_leaves_nothing_behind() {
    let mut test_machine = test_machine();
    let vm = test_machine
        .hypervisor
        .create("more", None)
        .expect("memory");
    assert_eq!(test_machine.hypervisor.destroy("more"), Ok(()));
    test_machine.settle();
    assert_eq!(Arc::strong_count(&vm), 1);
}

#[test]
fn nobody_holds_what_was_destroyed() {
    let mut test_machine = test_machine();
    let before = test_machine.host.ram_bytes();
    for round in 0..50 {
        let vm = test_machine
            .hypervisor
            .create("more", None)
            .expect("memory");
        vm.start();
        test_machine.settle();
        assert_eq!(vm.lifecycle().state(), VmState::Running, "{round}");
        vm.end(After::Stop);
        test_machine.settle();
        assert_eq!(test_machine.hypervisor.destroy("more"), Ok(()), "{round}");
        test_machine.settle();
        assert_eq!(Arc::strong_count(&vm), 1, "{round}");
        drop(vm);
        assert_eq!(test_machine.host.vcpus(), 1, "{round}");
        assert_eq!(test_machine.host.ram_bytes(), before, "{round}");
    }
    // The others have noticed nothing.
    test_machine.out(0x3f8, b'x');
}

#[test]
fn no_vm_ever_sees_what_another_one_left_in_memory() {
    let mut test_machine = test_machine();
    let vm = test_machine
        .hypervisor
        .create("more", None)
        .expect("memory");
    vm.start();
    test_machine.turns();
    assert_eq!(vm.lifecycle().state(), VmState::Stopped, "not before that");
    test_machine.settle();
    assert_eq!(vm.lifecycle().state(), VmState::Running);
    for range in vm.layout.ram() {
        let mut bytes = alloc::vec![0; range.len_bytes() as usize];
        vm.ram().read(range.start(), &mut bytes).expect("RAM");
        // A byte may look so by chance, a run of them does not.
        assert!(
            !bytes.windows(16).any(|run| run == [LEFTOVER; 16]),
            "{range:?}"
        );
    }
}

#[test]
fn clearing_a_vms_memory_leaves_the_cpu_to_others_in_between() {
    let big = VmSpec {
        memory_bytes: 32 << 20,
        is_template: true,
        ..spec("big", 1)
    };
    let mut test_machine = TestMachine::configured(
        1,
        &Config {
            vms: [spec("vm", 1), big].into(),
            ..Config::default()
        },
    );
    let vm = test_machine.hypervisor.create("big", None).expect("memory");
    vm.start();
    test_machine.turn(0);
    let (mut turns, before) = (0, test_machine.backend().entries);
    while vm.lifecycle().state() == VmState::Stopped {
        test_machine.turn(0);
        turns += 1;
        assert!(turns < 1_000);
    }
    assert!(turns > 100, "in pieces");
    assert!(test_machine.backend().entries - before > turns / 2);
}

#[test]
fn a_start_that_waits_for_memory_can_be_taken_back() {
    let mut test_machine = test_machine();
    let vm = test_machine
        .hypervisor
        .create("more", None)
        .expect("memory");
    assert!(vm.start());
    test_machine.turns();
    assert!(vm.kill());
    test_machine.settle();
    assert_eq!(vm.lifecycle().state(), VmState::Stopped);
    assert!(vm.is_done());
}

#[test]
fn a_number_is_never_given_twice() {
    let mut test_machine = test_machine();
    for round in 1..4 {
        let vm = test_machine
            .hypervisor
            .create("more", None)
            .expect("memory");
        assert_eq!(vm.id(), round);
        test_machine.turns();
        test_machine.hypervisor.destroy("more").expect("stopped");
    }
}
