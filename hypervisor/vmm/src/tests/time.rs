//! The TSC and KVM's clock.

use crate::test_host::{TestMachine, read_msr};
use addr::Gpa;
use guest_memory::GuestMemory;
use host::Host;
use vcpu::Vcpu;
use x86::{Gpr, msr};

impl TestMachine {
    pub(super) fn read(&mut self, index: u32) -> u64 {
        self.run([read_msr(index)]);
        assert_eq!(self.delivered(0, 0), [], "no fault");
        let backend = self.backend();
        backend.gpr(Gpr::Rdx) << 32 | backend.gpr(Gpr::Rax)
    }

    /// The guest's TSC as the CPU would show it.
    pub(super) fn shown_tsc(&mut self) -> u64 {
        let host = self.host;
        let tsc = host.clock().tsc(host.now());
        tsc.wrapping_add(self.backend().tsc_offset)
    }
}

#[test]
fn the_tsc_starts_at_zero_with_the_vm() {
    let mut test_machine = TestMachine::new();
    assert_eq!(test_machine.shown_tsc(), 0);
    test_machine.host.pass_ns(5_000);
    assert_eq!(test_machine.shown_tsc(), 5_000);
    assert_eq!(test_machine.read(msr::IA32_TSC), 5_000);
}

#[test]
fn a_written_tsc_goes_on_from_there_and_shows_in_the_adjustment() {
    let mut test_machine = TestMachine::new();
    test_machine.host.pass_ns(5_000);
    test_machine.write_msr(msr::IA32_TSC, 1_000_000);
    assert_eq!(test_machine.shown_tsc(), 1_000_000);
    assert_eq!(test_machine.read(msr::IA32_TSC_ADJUST), 995_000);
    test_machine.write_msr(msr::IA32_TSC_ADJUST, 0);
    assert_eq!(test_machine.shown_tsc(), 5_000);
}

#[test]
fn kvms_clock_is_written_where_the_guest_says_and_again_when_its_tsc_moves() {
    let mut test_machine = TestMachine::new();
    test_machine.host.pass_ns(7_000);
    test_machine.write_msr(msr::KVM_SYSTEM_TIME_NEW, 0x5000 | 1);
    let record = |test_machine: &TestMachine| {
        let mut bytes = [0; 32];
        test_machine
            .vm(0)
            .ram()
            .read(Gpa::new(0x5000), &mut bytes)
            .expect("RAM");
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight"));
        (word(0) as u32, word(8), word(16), bytes[29])
    };
    assert_eq!(record(&test_machine), (2, 7_000, 7_000, 1));
    test_machine.write_msr(msr::IA32_TSC, 1_000_000);
    // Another version: a guest that read the old record in part sees it.
    assert_eq!(record(&test_machine), (4, 1_000_000, 7_000, 1));
    assert_eq!(test_machine.read(msr::KVM_SYSTEM_TIME_NEW), 0x5001);
}

#[test]
fn kvms_wall_clock_is_that_of_the_vms_start() {
    let mut test_machine = TestMachine::new();
    test_machine.write_msr(msr::KVM_WALL_CLOCK_NEW, 0x6000);
    let mut bytes = [0; 12];
    test_machine
        .vm(0)
        .ram()
        .read(Gpa::new(0x6000), &mut bytes)
        .expect("RAM");
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"));
    assert_eq!((word(0), word(4), word(8)), (2, 1_767_225_600, 1_000));
}

#[test]
fn a_clock_outside_memory_harms_nobody() {
    let mut test_machine = TestMachine::new();
    test_machine.write_msr(msr::KVM_SYSTEM_TIME_NEW, u64::MAX);
    test_machine.write_msr(msr::KVM_WALL_CLOCK_NEW, u64::MAX);
    test_machine.write_msr(msr::KVM_SYSTEM_TIME_NEW, 0xd000_0001);
    assert_eq!(test_machine.delivered(0, 0), []);
}
