//! Pauses, and orders that find a VM in one.

use crate::registry::DestroyError;
use crate::test_host::{TestMachine, hlt, input, out, out_wide, spec};
use board::{StopReason, VmState};
use vcpu::{Activity, Event, Exit};
use vm_spec::{After, VmSpec};
use x86::{Vector, Width, msr};

const SECOND_NS: u64 = 1_000_000_000;

impl TestMachine {
    /// A byte gets to the first VM's serial port now, paused or not.
    pub(super) fn reaches_serial_port(&self, byte: u8) {
        let vm = self.vm(0);
        assert!(vm.board().serial().type_byte(byte));
        vm.board().serial().hand_over();
    }

    fn resume(&mut self) {
        assert!(self.vm(0).resume());
        self.settle();
        assert_eq!(self.state(0), VmState::Running);
    }

    /// Returns how often the guest was entered.
    fn entries(&mut self) -> u64 {
        self.backend().entries
    }
}

#[test]
fn a_paused_vm_does_not_run_and_a_resumed_one_does() {
    let mut test_machine = TestMachine::new();
    test_machine.pause();
    let entries = test_machine.entries();
    test_machine.pass_ns(SECOND_NS);
    assert_eq!(test_machine.entries(), entries);
    assert!(test_machine.vm(0).pause(), "paused already");
    test_machine.resume();
    assert!(test_machine.entries() > entries);
    assert!(!test_machine.vm(0).resume(), "runs already");
}

#[test]
fn all_its_clocks_stand_still_while_it_is_paused() {
    let mut test_machine = TestMachine::new();
    test_machine.host.pass_ns(5_000);
    let before = test_machine.read(msr::IA32_TSC);
    // The ACPI timer ticks at 3.58 MHz.
    test_machine.run([input(0x608, Width::Dword)]);
    let timer = test_machine.backend().state.gpr[0];
    test_machine.pause();
    test_machine.pass_ns(100 * SECOND_NS);
    test_machine.resume();
    assert_eq!(test_machine.read(msr::IA32_TSC), before);
    assert_eq!(test_machine.shown_tsc(), before);
    test_machine.run([input(0x608, Width::Dword)]);
    assert_eq!(test_machine.backend().state.gpr[0], timer);
    test_machine.host.pass_ns(7_000);
    assert_eq!(test_machine.shown_tsc(), before + 7_000);
    assert_eq!(test_machine.read(msr::IA32_TSC), before + 7_000);
}

#[test]
fn a_timer_fires_as_late_as_the_pause_was_long() {
    let mut test_machine = TestMachine::new();
    test_machine.set_interrupts(0, 0, true);
    // The local APIC's timer in TSC-deadline mode, 1 ms from now; on; vector 0x40.
    test_machine.store(0xfee0_00f0, 0x1ff);
    test_machine.store(0xfee0_0320, 0x4_0040);
    let now = test_machine.read(msr::IA32_TSC);
    test_machine.write_msr(msr::IA32_TSC_DEADLINE, now + 1_000_000);
    test_machine.pass_ns(400_000);
    test_machine.pause();
    test_machine.pass_ns(10 * SECOND_NS);
    test_machine.resume();
    test_machine.pass_ns(500_000);
    assert_eq!(test_machine.delivered(0, 0), []);
    test_machine.pass_ns(200_000);
    assert_eq!(
        test_machine.delivered(0, 0),
        [Event::Interrupt(Vector(0x40))]
    );
}

#[test]
fn devices_do_not_tick_while_it_is_paused_and_make_up_for_nothing() {
    let mut test_machine = TestMachine::new();
    test_machine.route(2, 0x30);
    test_machine.set_interrupts(0, 0, true);
    // 1000 Hz.
    test_machine.start_pit(1193);
    test_machine.pass_ns(1_100_000);
    assert_eq!(test_machine.delivered(0, 0).len(), 1);
    test_machine.store(0xfee0_00b0, 0);
    test_machine.pause();
    test_machine.pass_ns(10 * SECOND_NS);
    test_machine.resume();
    assert_eq!(test_machine.delivered(0, 0), []);
    test_machine.pass_ns(1_000_000);
    assert_eq!(test_machine.delivered(0, 0).len(), 1);
}

#[test]
fn what_comes_during_a_pause_is_there_after_it() {
    let mut test_machine = TestMachine::new();
    test_machine.route(4, 0x51);
    test_machine.set_interrupts(0, 0, true);
    test_machine.out(0x3f9, 1);
    test_machine.pause();
    test_machine.reaches_serial_port(b'x');
    test_machine.pass_ns(SECOND_NS);
    assert_eq!(test_machine.delivered(0, 0), []);
    test_machine.resume();
    assert_eq!(
        test_machine.delivered(0, 0),
        [Event::Interrupt(Vector(0x51))]
    );
    assert_eq!(test_machine.input(0x3f8), b'x');
}

#[test]
fn it_is_paused_when_the_last_vcpu_holds_still_be_it_halted_or_not_started() {
    let mut test_machine = TestMachine::with(2, [spec("vm", 3)]);
    test_machine.start_second();
    test_machine.run_on(0, 1, [hlt()]);
    assert_eq!(test_machine.vcpu(0, 1).activity, Activity::Halted);
    assert!(test_machine.vm(0).pause());
    test_machine.turn(0);
    test_machine.turn(0);
    assert_eq!(test_machine.state(0), VmState::Pausing);
    test_machine.settle();
    assert_eq!(test_machine.state(0), VmState::Paused);
    test_machine.resume();
    assert_eq!(test_machine.vcpu(0, 1).activity, Activity::Halted);
    assert_eq!(test_machine.vcpu(0, 2).activity, Activity::WaitForSipi);
}

#[test]
fn a_pause_that_is_taken_back_before_it_began_is_none() {
    let mut test_machine = TestMachine::with(2, [spec("vm", 2)]);
    assert!(test_machine.vm(0).pause());
    test_machine.turn(0);
    assert_eq!(test_machine.state(0), VmState::Pausing);
    assert!(test_machine.vm(0).resume());
    test_machine.settle();
    assert_eq!(test_machine.state(0), VmState::Running);
    // And so is taking back, when another pause follows.
    test_machine.vm(0).pause();
    test_machine.vm(0).resume();
    test_machine.vm(0).pause();
    test_machine.settle();
    assert_eq!(test_machine.state(0), VmState::Paused);
}

#[test]
fn a_resume_and_a_pause_at_once_pause_again() {
    let mut test_machine = TestMachine::new();
    let tsc = test_machine.shown_tsc();
    test_machine.pause();
    test_machine.host.pass_ns(SECOND_NS);
    assert!(test_machine.vm(0).resume());
    assert!(test_machine.vm(0).pause());
    test_machine.settle();
    assert_eq!(test_machine.state(0), VmState::Paused);
    test_machine.pass_ns(SECOND_NS);
    test_machine.resume();
    assert_eq!(test_machine.shown_tsc(), tsc);
}

#[test]
fn the_guests_own_end_wins_over_a_pause() {
    let mut test_machine = TestMachine::new();
    let backend = test_machine.backend();
    backend.exits.clear();
    backend
        .exits
        .push_back(out_wide(0x604, Width::Word, 0x3400));
    backend.exits.push_back(Exit::HostInterrupt);
    test_machine.turn(0);
    assert!(!test_machine.vm(0).pause());
    test_machine.settle();
    assert_eq!(test_machine.state(0), VmState::Stopped);
    assert_eq!(
        test_machine.vm(0).lifecycle().last_stop(),
        Some(StopReason::PowerOff)
    );
}

#[test]
fn an_order_to_end_reaches_a_vm_that_pauses_or_is_paused() {
    for is_complete in [false, true] {
        let mut test_machine = TestMachine::with(2, [spec("vm", 2)]);
        test_machine.vm(0).pause();
        test_machine.turn(0);
        if is_complete {
            test_machine.settle();
            assert_eq!(test_machine.state(0), VmState::Paused);
        }
        assert!(test_machine.vm(0).kill());
        test_machine.settle();
        assert_eq!(test_machine.state(0), VmState::Stopped);
        assert!(!test_machine.vm(0).resume());
        assert!(test_machine.vm(0).start());
        test_machine.settle();
        assert_eq!(test_machine.state(0), VmState::Running);
        test_machine.out(0x3f8, b'x');
    }
}

#[test]
fn a_paused_vm_that_is_reset_begins_anew_and_its_time_runs() {
    let mut test_machine = TestMachine::new();
    test_machine.backend().state.cr8 = 9;
    test_machine.pause();
    test_machine.pass_ns(10 * SECOND_NS);
    assert!(test_machine.vm(0).reset());
    test_machine.settle();
    test_machine.settle();
    assert_eq!(test_machine.state(0), VmState::Running);
    assert_eq!(test_machine.backend().state.cr8, 0);
    test_machine.host.pass_ns(5_000);
    assert_eq!(test_machine.read(msr::IA32_TSC), test_machine.shown_tsc());
    assert_eq!(test_machine.vm(0).clock().behind_ns(), 0);
}

#[test]
fn a_paused_vm_is_destroyed_only_after_it_was_stopped() {
    let mut test_machine = TestMachine::new();
    test_machine.pause();
    let destroy = |test_machine: &TestMachine| test_machine.hypervisor.destroy("vm");
    assert_eq!(destroy(&test_machine), Err(DestroyError::NotStopped));
    test_machine.vm(0).kill();
    test_machine.settle();
    assert_eq!(destroy(&test_machine), Ok(()));
    test_machine.settle();
    assert_eq!(test_machine.host.vcpus(), 0);
}

#[test]
fn there_is_nothing_to_pause_between_two_lives() {
    let mut test_machine = TestMachine::new();
    test_machine.out(0xcf9, 6);
    test_machine.settle();
    assert_eq!(test_machine.state(0), VmState::Stopped);
    assert!(!test_machine.vm(0).pause());
    assert!(!test_machine.vm(0).resume());
    test_machine.pass_ns(2 * SECOND_NS);
    assert_eq!(test_machine.state(0), VmState::Running);
}

#[test]
fn a_guest_that_resets_instead_of_switching_off_stays_stopped() {
    let mut test_machine = TestMachine::with(
        1,
        [VmSpec {
            on_reboot: After::Restart,
            ..spec("vm", 1)
        }],
    );
    test_machine.vm(0).stop_gently(30 * SECOND_NS);
    test_machine.run([out(0xcf9, 6)]);
    test_machine.pass_ns(10 * SECOND_NS);
    assert_eq!(test_machine.state(0), VmState::Stopped);
    assert!(test_machine.vm(0).is_done());
}

#[test]
fn a_neighbour_runs_on_through_all_of_it() {
    let mut test_machine = TestMachine::with(1, [spec("vm", 1), spec("other", 1)]);
    test_machine.pause();
    test_machine.run_on(1, 0, [out(0x3f8, b'x')]);
    test_machine.vm(0).kill();
    test_machine.run_on(1, 0, [out(0x3f8, b'x')]);
    assert_eq!(test_machine.state(1), VmState::Running);
}
