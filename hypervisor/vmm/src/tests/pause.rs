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

    /// How often the guest was entered.
    fn entries(&mut self) -> u64 {
        self.backend().entries
    }
}

#[test]
fn a_paused_vm_does_not_run_and_a_resumed_one_does() {
    let mut rig = TestMachine::new();
    rig.pause();
    let entries = rig.entries();
    rig.pass_ns(SECOND_NS);
    assert_eq!(rig.entries(), entries);
    assert!(rig.vm(0).pause(), "paused already");
    rig.resume();
    assert!(rig.entries() > entries);
    assert!(!rig.vm(0).resume(), "runs already");
}

#[test]
fn all_its_clocks_stand_still_while_it_is_paused() {
    let mut rig = TestMachine::new();
    rig.host.pass_ns(5_000);
    let before = rig.read(msr::IA32_TSC);
    // The ACPI timer ticks at 3.58 MHz.
    rig.run([input(0x608, Width::Dword)]);
    let timer = rig.backend().state.gpr[0];
    rig.pause();
    rig.pass_ns(100 * SECOND_NS);
    rig.resume();
    assert_eq!(rig.read(msr::IA32_TSC), before);
    assert_eq!(rig.shown_tsc(), before);
    rig.run([input(0x608, Width::Dword)]);
    assert_eq!(rig.backend().state.gpr[0], timer);
    rig.host.pass_ns(7_000);
    assert_eq!(rig.shown_tsc(), before + 7_000);
    assert_eq!(rig.read(msr::IA32_TSC), before + 7_000);
}

#[test]
fn a_timer_fires_as_late_as_the_pause_was_long() {
    let mut rig = TestMachine::new();
    rig.set_interrupts(0, 0, true);
    // The local APIC's timer in TSC-deadline mode, 1 ms from now; on; vector 0x40.
    rig.store(0xfee0_00f0, 0x1ff);
    rig.store(0xfee0_0320, 0x4_0040);
    let now = rig.read(msr::IA32_TSC);
    rig.write_msr(msr::IA32_TSC_DEADLINE, now + 1_000_000);
    rig.pass_ns(400_000);
    rig.pause();
    rig.pass_ns(10 * SECOND_NS);
    rig.resume();
    rig.pass_ns(500_000);
    assert_eq!(rig.delivered(0, 0), []);
    rig.pass_ns(200_000);
    assert_eq!(rig.delivered(0, 0), [Event::Interrupt(Vector(0x40))]);
}

#[test]
fn devices_do_not_tick_while_it_is_paused_and_make_up_for_nothing() {
    let mut rig = TestMachine::new();
    rig.route(2, 0x30);
    rig.set_interrupts(0, 0, true);
    // 1000 Hz.
    rig.start_pit(1193);
    rig.pass_ns(1_100_000);
    assert_eq!(rig.delivered(0, 0).len(), 1);
    rig.store(0xfee0_00b0, 0);
    rig.pause();
    rig.pass_ns(10 * SECOND_NS);
    rig.resume();
    assert_eq!(rig.delivered(0, 0), []);
    rig.pass_ns(1_000_000);
    assert_eq!(rig.delivered(0, 0).len(), 1);
}

#[test]
fn what_comes_during_a_pause_is_there_after_it() {
    let mut rig = TestMachine::new();
    rig.route(4, 0x51);
    rig.set_interrupts(0, 0, true);
    rig.out(0x3f9, 1);
    rig.pause();
    rig.reaches_serial_port(b'x');
    rig.pass_ns(SECOND_NS);
    assert_eq!(rig.delivered(0, 0), []);
    rig.resume();
    assert_eq!(rig.delivered(0, 0), [Event::Interrupt(Vector(0x51))]);
    assert_eq!(rig.input(0x3f8), b'x');
}

#[test]
fn it_is_paused_when_the_last_vcpu_holds_still_be_it_halted_or_not_started() {
    let mut rig = TestMachine::with(2, [spec("vm", 3)]);
    rig.start_second();
    rig.run_on(0, 1, [hlt()]);
    assert_eq!(rig.vcpu(0, 1).activity, Activity::Halted);
    assert!(rig.vm(0).pause());
    rig.turn(0);
    rig.turn(0);
    assert_eq!(rig.state(0), VmState::Pausing);
    rig.settle();
    assert_eq!(rig.state(0), VmState::Paused);
    rig.resume();
    assert_eq!(rig.vcpu(0, 1).activity, Activity::Halted);
    assert_eq!(rig.vcpu(0, 2).activity, Activity::WaitForSipi);
}

#[test]
fn a_pause_that_is_taken_back_before_it_began_is_none() {
    let mut rig = TestMachine::with(2, [spec("vm", 2)]);
    assert!(rig.vm(0).pause());
    rig.turn(0);
    assert_eq!(rig.state(0), VmState::Pausing);
    assert!(rig.vm(0).resume());
    rig.settle();
    assert_eq!(rig.state(0), VmState::Running);
    // And so is taking back, when another pause follows.
    rig.vm(0).pause();
    rig.vm(0).resume();
    rig.vm(0).pause();
    rig.settle();
    assert_eq!(rig.state(0), VmState::Paused);
}

#[test]
fn a_resume_and_a_pause_at_once_pause_again() {
    let mut rig = TestMachine::new();
    let tsc = rig.shown_tsc();
    rig.pause();
    rig.host.pass_ns(SECOND_NS);
    assert!(rig.vm(0).resume());
    assert!(rig.vm(0).pause());
    rig.settle();
    assert_eq!(rig.state(0), VmState::Paused);
    rig.pass_ns(SECOND_NS);
    rig.resume();
    assert_eq!(rig.shown_tsc(), tsc);
}

#[test]
fn the_guests_own_end_wins_over_a_pause() {
    let mut rig = TestMachine::new();
    let backend = rig.backend();
    backend.exits.clear();
    backend
        .exits
        .push_back(out_wide(0x604, Width::Word, 0x3400));
    backend.exits.push_back(Exit::HostInterrupt);
    rig.turn(0);
    assert!(!rig.vm(0).pause());
    rig.settle();
    assert_eq!(rig.state(0), VmState::Stopped);
    assert_eq!(
        rig.vm(0).lifecycle().last_stop(),
        Some(StopReason::PowerOff)
    );
}

#[test]
fn an_order_to_end_reaches_a_vm_that_pauses_or_is_paused() {
    for is_complete in [false, true] {
        let mut rig = TestMachine::with(2, [spec("vm", 2)]);
        rig.vm(0).pause();
        rig.turn(0);
        if is_complete {
            rig.settle();
            assert_eq!(rig.state(0), VmState::Paused);
        }
        assert!(rig.vm(0).kill());
        rig.settle();
        assert_eq!(rig.state(0), VmState::Stopped);
        assert!(!rig.vm(0).resume());
        assert!(rig.vm(0).start());
        rig.settle();
        assert_eq!(rig.state(0), VmState::Running);
        rig.out(0x3f8, b'x');
    }
}

#[test]
fn a_paused_vm_that_is_reset_begins_anew_and_its_time_runs() {
    let mut rig = TestMachine::new();
    rig.backend().state.cr8 = 9;
    rig.pause();
    rig.pass_ns(10 * SECOND_NS);
    assert!(rig.vm(0).reset());
    rig.settle();
    rig.settle();
    assert_eq!(rig.state(0), VmState::Running);
    assert_eq!(rig.backend().state.cr8, 0);
    rig.host.pass_ns(5_000);
    assert_eq!(rig.read(msr::IA32_TSC), rig.shown_tsc());
    assert_eq!(rig.vm(0).clock().behind_ns(), 0);
}

#[test]
fn a_paused_vm_is_destroyed_only_after_it_was_stopped() {
    let mut rig = TestMachine::new();
    rig.pause();
    let destroy = |rig: &TestMachine| rig.hypervisor.destroy("vm");
    assert_eq!(destroy(&rig), Err(DestroyError::NotStopped));
    rig.vm(0).kill();
    rig.settle();
    assert_eq!(destroy(&rig), Ok(()));
    rig.settle();
    assert_eq!(rig.host.vcpus(), 0);
}

#[test]
fn there_is_nothing_to_pause_between_two_lives() {
    let mut rig = TestMachine::new();
    rig.out(0xcf9, 6);
    rig.settle();
    assert_eq!(rig.state(0), VmState::Stopped);
    assert!(!rig.vm(0).pause());
    assert!(!rig.vm(0).resume());
    rig.pass_ns(2 * SECOND_NS);
    assert_eq!(rig.state(0), VmState::Running);
}

#[test]
fn a_guest_that_resets_instead_of_switching_off_stays_stopped() {
    let mut rig = TestMachine::with(
        1,
        [VmSpec {
            on_reboot: After::Restart,
            ..spec("vm", 1)
        }],
    );
    rig.vm(0).stop_gently(30 * SECOND_NS);
    rig.run([out(0xcf9, 6)]);
    rig.pass_ns(10 * SECOND_NS);
    assert_eq!(rig.state(0), VmState::Stopped);
    assert!(rig.vm(0).is_done());
}

#[test]
fn a_neighbour_runs_on_through_all_of_it() {
    let mut rig = TestMachine::with(1, [spec("vm", 1), spec("other", 1)]);
    rig.pause();
    rig.run_on(1, 0, [out(0x3f8, b'x')]);
    rig.vm(0).kill();
    rig.run_on(1, 0, [out(0x3f8, b'x')]);
    assert_eq!(rig.state(1), VmState::Running);
}
