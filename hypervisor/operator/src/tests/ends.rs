//! The end of VMs that the operator stops, and what follows when all have ended.

use crate::tests::machine::TestOperator;
use core::sync::atomic::Ordering;
use vm_spec::{Config, HostSpec, VmSpec};
use vmm::VmState;
use vmm::test_host::{input, out, out_wide, spec};
use x86::Width;

const SECOND_NS: u64 = 1_000_000_000;

#[test]
fn a_gentle_stop_becomes_a_hard_one() {
    let mut test_machine = TestOperator::new();
    assert!(test_machine.vm(0).stop_gently(30 * SECOND_NS));
    test_machine.pass_ns(29 * SECOND_NS);
    assert_eq!(test_machine.state(0), VmState::Running);
    assert_eq!(test_machine.vm(0).stops_hard_in_ns(), Some(SECOND_NS));
    // PWRBTN_STS tells the guest.
    test_machine.run([input(0x600, Width::Word)]);
    assert_ne!(test_machine.backend().state.gpr[0] & 1 << 8, 0);
    test_machine.pass_ns(2 * SECOND_NS);
    test_machine.settle();
    assert_eq!(test_machine.state(0), VmState::Stopped);
    assert_eq!(test_machine.vm(0).stops_hard_in_ns(), None);
}

#[test]
fn a_gentle_stop_lets_the_guest_go_by_itself_and_can_be_taken_back() {
    let mut test_machine = TestOperator::new();
    test_machine.vm(0).stop_gently(30 * SECOND_NS);
    assert!(test_machine.vm(0).abort_stop());
    assert!(!test_machine.vm(0).abort_stop());
    test_machine.pass_ns(60 * SECOND_NS);
    assert_eq!(test_machine.state(0), VmState::Running);
    test_machine.vm(0).stop_gently(30 * SECOND_NS);
    // Off by itself; the countdown does not reach the next life.
    test_machine.run([out_wide(0x604, Width::Word, 0x3400)]);
    test_machine.settle();
    assert_eq!(test_machine.state(0), VmState::Stopped);
    test_machine.vm(0).start();
    test_machine.pass_ns(60 * SECOND_NS);
    assert_eq!(test_machine.state(0), VmState::Running);
}

#[test]
fn a_paused_vm_goes_on_to_hear_the_power_button() {
    let mut test_machine = TestOperator::new();
    test_machine.pause();
    assert!(test_machine.vm(0).stop_gently(30 * SECOND_NS));
    test_machine.settle();
    assert_eq!(test_machine.state(0), VmState::Running);
    test_machine.pass_ns(31 * SECOND_NS);
    test_machine.settle();
    assert_eq!(test_machine.state(0), VmState::Stopped);
}

#[test]
#[should_panic(expected = "machine ends: Off")]
fn the_machine_is_switched_off_when_all_have_ended() {
    let config = Config {
        host: HostSpec {
            shutdown_when_done: true,
            ..HostSpec::default()
        },
        vms: std::vec![spec("vm", 1)],
    };
    let mut test_machine = TestOperator::configured(1, &config);
    test_machine.pass_ns(SECOND_NS);
    test_machine.out(0xf4, 0);
    test_machine.pass_ns(SECOND_NS);
}

#[test]
fn the_machine_stays_on_while_a_vm_waits_for_its_restart() {
    let config = Config {
        host: HostSpec {
            shutdown_when_done: true,
            ..HostSpec::default()
        },
        vms: std::vec![
            VmSpec {
                autostart: false,
                ..spec("vm", 1)
            },
            spec("other", 1)
        ],
    };
    let mut test_machine = TestOperator::configured(1, &config);
    assert!(test_machine.vm(0).start());
    test_machine.run([out(0xcf9, 6)]);
    test_machine.run_on(1, 0, [out(0xf4, 0)]);
    test_machine.pass_ns(SECOND_NS / 2);
    assert!(!test_machine.vm(0).is_done());
    test_machine.pass_ns(SECOND_NS);
    assert_eq!(test_machine.state(0), VmState::Running);
}

#[test]
fn the_operator_is_told_once_of_a_kernels_panic_in_each_life() {
    let mut test_machine = TestOperator::new();
    let said = |test_machine: &mut TestOperator| test_machine.run([out(0x505, 1), out(0x505, 1)]);
    let events = |test_machine: &mut TestOperator| {
        let mut page = std::string::String::new();
        let vm = test_machine.vm(0);
        let slot = vm
            .board()
            .slots()
            .iter()
            .find(|slot| slot.name() == "pvpanic");
        slot.expect("on the board")
            .inspect(&mut device::Page::new(&mut page));
        page
    };
    said(&mut test_machine);
    // A panic is told, and nothing more: what follows is the guest's affair.
    assert_eq!(test_machine.state(0), VmState::Running);
    assert!(
        events(&mut test_machine).contains("panicked"),
        "{}",
        events(&mut test_machine)
    );
    let output = test_machine.operator.outputs.of(0).expect("the VM's");
    let is_told = || output.events.has_panicked.load(Ordering::Relaxed);
    assert!(is_told());
    test_machine.run([out(0xcf9, 6)]);
    assert!(!is_told());
    test_machine.pass_ns(2 * SECOND_NS);
    said(&mut test_machine);
    assert!(is_told());
}
