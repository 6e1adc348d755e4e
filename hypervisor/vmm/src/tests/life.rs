//! Life of VMs: they end, begin again and share a CPU.

use crate::test_host::{TestMachine, cpuid, hlt, out, out_wide, spec, write_msr};
use board::{StopReason, VmState};
use chipset::{ApicMessage, Delivery, DestinationMode, Trigger};
use core::sync::atomic::Ordering;
use vcpu::{Activity, Exit};
use vm_spec::{After, VmSpec};
use x86::Width;

const SECOND_NS: u64 = 1_000_000_000;

#[test]
fn a_triple_fault_stops_the_vm() {
    let mut test_machine = TestMachine::new();
    test_machine.run([Exit::Shutdown]);
    assert_eq!(test_machine.state(0), VmState::Stopped);
    assert_eq!(
        test_machine.vm(0).lifecycle().last_stop(),
        Some(StopReason::TripleFault)
    );
    test_machine.pass_ns(10 * SECOND_NS);
    assert_eq!(test_machine.state(0), VmState::Stopped);
    assert!(test_machine.vm(0).is_done());
}

#[test]
fn a_vm_that_is_to_restart_begins_anew_with_clean_devices() {
    let mut test_machine = TestMachine::with(
        1,
        [VmSpec {
            on_crash: After::Restart,
            ..spec("vm", 1)
        }],
    );
    test_machine.set_interrupts(0, 0, false);
    // COM1 drives its line, the PIT runs, an interrupt waits, CR8 is raised.
    test_machine.out(0x3f9, 2);
    test_machine.out(0x43, 0x34);
    test_machine.out(0x40, 0);
    test_machine.out(0x40, 1);
    test_machine.store(0xfee0_0300, 0x4_0041);
    test_machine.backend().state.cr8 = 9;
    test_machine.pass_ns(2 * SECOND_NS);
    test_machine.run([Exit::Shutdown]);
    test_machine.turns();
    test_machine.turns();
    assert_eq!(test_machine.state(0), VmState::Running);
    let state = &test_machine.backend().state;
    assert_eq!((state.rip, state.cr8), (crate::test_host::KERNEL, 0));
    assert_eq!(test_machine.input(0x3f9), 0);
    test_machine.delivered(0, 0);
    test_machine.set_interrupts(0, 0, true);
    test_machine.pass_ns(SECOND_NS);
    assert_eq!(test_machine.delivered(0, 0), []);
    // The line works as the first time.
    test_machine.route(4, 0x51);
    test_machine.out(0x3f9, 2);
    test_machine.turns();
    assert_eq!(
        test_machine.delivered(0, 0),
        [vcpu::Event::Interrupt(x86::Vector(0x51))]
    );
}

#[test]
fn a_vm_that_resets_in_a_loop_restarts_once_a_second() {
    let mut test_machine = TestMachine::new();
    for _ in 0..3 {
        assert_eq!(test_machine.state(0), VmState::Running);
        test_machine.out(0xcf9, 6);
        test_machine.pass_ns(SECOND_NS / 2);
        assert_eq!(test_machine.state(0), VmState::Stopped);
        assert!(!test_machine.vm(0).is_done());
        test_machine.pass_ns(SECOND_NS / 2);
    }
    assert_eq!(test_machine.state(0), VmState::Running);
}

#[test]
fn a_vm_that_says_it_starts_in_the_future_restarts_within_a_second() {
    let mut test_machine = TestMachine::new();
    // As a saved state may say.
    let started = &test_machine.vm(0).started_ns;
    started.store(u64::MAX - SECOND_NS, core::sync::atomic::Ordering::Relaxed);
    test_machine.out(0xcf9, 6);
    assert_eq!(test_machine.state(0), VmState::Stopped);
    test_machine.pass_ns(SECOND_NS);
    assert_eq!(test_machine.state(0), VmState::Running);
}

#[test]
fn each_door_resets_the_vm() {
    for (port, value) in [(0xcf9, 6), (0x64, 0xfe), (0x92, 1)] {
        let mut test_machine = TestMachine::new();
        test_machine.pass_ns(2 * SECOND_NS);
        test_machine.backend().state.cr8 = 9;
        test_machine.out(port, value);
        let reason = test_machine.vm(0).lifecycle().last_stop();
        assert!(matches!(reason, Some(StopReason::Reset(_))), "{port:#x}");
        test_machine.turns();
        test_machine.turns();
        assert_eq!(test_machine.state(0), VmState::Running, "{port:#x}");
        assert_eq!(test_machine.backend().state.cr8, 0);
    }
}

#[test]
fn a_reset_stops_a_vm_that_is_not_to_restart() {
    let mut test_machine = TestMachine::with(
        1,
        [VmSpec {
            on_reboot: After::Stop,
            ..spec("vm", 1)
        }],
    );
    test_machine.out(0xcf9, 6);
    test_machine.pass_ns(2 * SECOND_NS);
    assert_eq!(test_machine.state(0), VmState::Stopped);
}

#[test]
fn the_exit_port_ends_the_vm_with_its_code() {
    let mut test_machine = TestMachine::new();
    test_machine.run([out_wide(0xf4, Width::Dword, 0x1234_5678)]);
    assert_eq!(
        test_machine.vm(0).lifecycle().last_stop(),
        Some(StopReason::ExitPort(0x1234_5678))
    );
    assert!(test_machine.vm(0).is_done());
}

#[test]
fn soft_off_ends_the_vm() {
    let mut test_machine = TestMachine::new();
    test_machine.run([out_wide(0x604, Width::Word, 0x3400)]);
    assert_eq!(
        test_machine.vm(0).lifecycle().last_stop(),
        Some(StopReason::PowerOff)
    );
    assert_eq!(test_machine.state(0), VmState::Stopped);
}

#[test]
fn all_vcpus_park_before_the_vm_is_stopped() {
    let mut test_machine = TestMachine::with(2, [spec("vm", 2)]);
    test_machine.start_second();
    test_machine.vcpu(0, 1).backend.exits.clear();
    test_machine.vcpu(0, 1).backend.exits.push_back(hlt());
    test_machine.turns();
    let backend = test_machine.backend();
    backend.exits.clear();
    backend.exits.push_back(Exit::Shutdown);
    test_machine.turn(0);
    test_machine.turn(0);
    assert_eq!(test_machine.state(0), VmState::Halting);
    test_machine.turn(1);
    assert_eq!(test_machine.state(0), VmState::Stopped);
}

#[test]
fn a_start_up_ipi_is_not_lost_to_a_vcpu_whose_cpu_is_late() {
    let mut test_machine = TestMachine::with(2, [spec("vm", 2)]);
    test_machine.pass_ns(2 * SECOND_NS);
    // In its last life the vCPU switched its local APIC off.
    test_machine.start_second();
    test_machine.run_on(0, 1, [write_msr(x86::msr::IA32_APIC_BASE, 0)]);
    test_machine.out(0xcf9, 6);
    // CPU 1 parks its vCPU; CPU 0 restarts the VM and runs on alone.
    test_machine.turn(1);
    for _ in 0..3 {
        test_machine.turn(0);
    }
    assert_eq!(test_machine.state(0), VmState::Running);
    for (delivery, vector) in [(Delivery::Init, 0), (Delivery::StartUp, 8)] {
        test_machine.vm(0).cpus().deliver(&ApicMessage {
            destination: 1,
            mode: DestinationMode::Physical,
            delivery,
            vector: x86::Vector(vector),
            trigger: Trigger::Edge,
        });
    }
    test_machine.turn(1);
    assert_eq!(test_machine.vcpu(0, 1).activity, Activity::Running);
}

#[test]
fn an_order_to_end_is_not_lost_to_a_vcpu_whose_cpu_is_late() {
    let mut test_machine = TestMachine::with(2, [spec("vm", 2)]);
    test_machine.pass_ns(2 * SECOND_NS);
    test_machine.out(0xcf9, 6);
    test_machine.turn(1);
    for _ in 0..3 {
        test_machine.turn(0);
    }
    assert_eq!(test_machine.state(0), VmState::Running);
    assert!(test_machine.vm(0).end(After::Stop));
    test_machine.turns();
    test_machine.turns();
    assert_eq!(test_machine.state(0), VmState::Stopped);
    assert!(test_machine.vm(0).is_done());
}

#[test]
fn the_operator_can_keep_a_vm_from_restarting() {
    let mut test_machine = TestMachine::new();
    test_machine.out(0xcf9, 6);
    test_machine.turns();
    assert_eq!(test_machine.state(0), VmState::Stopped);
    assert!(test_machine.vm(0).end(After::Stop));
    test_machine.pass_ns(5 * SECOND_NS);
    assert_eq!(test_machine.state(0), VmState::Stopped);
    assert!(test_machine.vm(0).is_done());
    assert!(!test_machine.vm(0).end(After::Stop));
}

#[test]
fn the_devices_of_a_stopped_vm_stand_still() {
    let mut test_machine = TestMachine::new();
    test_machine.out(0x43, 0x34);
    test_machine.out(0x40, 0);
    test_machine.out(0x40, 1);
    assert!(test_machine.vm(0).next_due().is_some());
    test_machine.out(0xf4, 0);
    assert_eq!(test_machine.state(0), VmState::Stopped);
    assert_eq!(test_machine.vm(0).next_due(), None);
    let idles = test_machine.host.idles.load(Ordering::Relaxed);
    test_machine.pass_ns(SECOND_NS);
    assert_eq!(test_machine.host.idles.load(Ordering::Relaxed), idles + 2);
}

#[test]
fn two_vms_share_a_cpu_evenly() {
    let mut test_machine = TestMachine::with(1, [spec("a", 1), spec("b", 1)]);
    let before = [0, 1].map(|vm| test_machine.vcpu(vm, 0).backend.entries);
    for _ in 0..100 {
        test_machine.host.pass_ns(5_000_000);
        test_machine.turn(0);
    }
    let entries = [0, 1].map(|vm| test_machine.vcpu(vm, 0).backend.entries - before[vm]);
    assert_eq!(entries, [50, 50]);
}

#[test]
fn sleepers_with_timers_do_not_keep_a_busy_vm_from_running() {
    let mut test_machine = TestMachine::with(1, [spec("sleeper", 1), spec("busy", 1)]);
    // The shortest period there is, and deaf to it.
    test_machine.store(0xfee0_03e0, 0xb);
    test_machine.store(0xfee0_0320, 0x2_0040);
    test_machine.store(0xfee0_0380, 1);
    test_machine.backend().exits.clear();
    test_machine.backend().exits.push_back(hlt());
    test_machine.turns();
    let before = test_machine.vcpu(1, 0).backend.entries;
    for _ in 0..100 {
        let entries = test_machine.vcpu(1, 0).backend.entries;
        test_machine.turn(0);
        let now = host::Host::now(test_machine.host);
        let alarm = crate::test_host::ALARM
            .get()
            .expect("chores are always due");
        if test_machine.vcpu(1, 0).backend.entries != entries {
            assert!(alarm.since_ns(now) >= 50_000, "time to get somewhere");
        }
        test_machine.host.pass_ns(alarm.since_ns(now).max(1));
    }
    let entries = test_machine.vcpu(1, 0).backend.entries - before;
    assert!(entries >= 10, "{entries}");
}

#[test]
fn a_reset_vm_leaves_its_neighbour_alone() {
    let mut test_machine = TestMachine::with(1, [spec("a", 1), spec("b", 1)]);
    test_machine.run_on(1, 0, [out(0x3ff, 0x5a)]);
    test_machine.run_on(0, 0, [out(0xcf9, 6)]);
    test_machine.run_on(
        1,
        0,
        [crate::test_host::input(0x3ff, Width::Byte), cpuid(0)],
    );
    assert_eq!(test_machine.state(1), VmState::Running);
}
