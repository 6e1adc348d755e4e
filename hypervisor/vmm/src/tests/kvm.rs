//! KVM's hypercalls and steal time, as guests use them and as they should not.

use crate::test_host::{TestMachine, hlt, spec, write_msr};
use addr::Gpa;
use guest_memory::GuestMemory;
use vcpu::{Activity, Event, Exit, Hypercall, Vcpu};
use x86::{Gpr, SegmentRegister, Vector, msr};

const KICK_CPU: u64 = 5;
const SEND_IPI: u64 = 10;
const SCHED_YIELD: u64 = 11;
const MS: u64 = 1_000_000;
const RECORD: u64 = 0x5040;

impl TestMachine {
    /// VMCALL by the first vCPU of the first VM; returns what is in RAX afterwards.
    fn call(&mut self, number: u64, arguments: [u64; 4]) -> u64 {
        let backend = self.backend();
        backend.set_gpr(Gpr::Rax, number);
        let registers = [Gpr::Rbx, Gpr::Rcx, Gpr::Rdx, Gpr::Rsi];
        for (register, value) in registers.into_iter().zip(arguments) {
            backend.set_gpr(register, value);
        }
        let len = vcpu::InsnLen::new(3).expect("a length");
        self.run([Exit::Hypercall(Hypercall { len })]);
        self.backend().gpr(Gpr::Rax)
    }

    fn record(&self, offset: u64) -> u64 {
        let at = Gpa::new(RECORD + offset);
        self.vm(0).ram().load_u64(at).expect("RAM")
    }
}

fn smp(vcpus: u32) -> TestMachine {
    let mut test_machine = TestMachine::with(1, [spec("vm", vcpus)]);
    test_machine.start_second();
    test_machine.vcpu(0, 1).local.apic.enter_virtual_wire();
    test_machine.set_interrupts(0, 1, true);
    test_machine
}

#[test]
fn a_kick_ends_a_halt_without_an_interrupt_before_it_or_in_it() {
    let mut test_machine = smp(2);
    test_machine.set_interrupts(0, 1, false);
    test_machine.run_on(0, 1, [hlt()]);
    assert_eq!(test_machine.vcpu(0, 1).activity, Activity::Halted);
    assert_eq!(test_machine.call(KICK_CPU, [0, 1, 0, 0]), 0);
    test_machine.pass_ns(5 * MS);
    test_machine.pass_ns(5 * MS);
    assert_eq!(test_machine.vcpu(0, 1).activity, Activity::Running);
    assert_eq!(test_machine.delivered(0, 1), []);
    // One that comes first is not lost, and counts once.
    test_machine.call(KICK_CPU, [0, 1, 0, 0]);
    test_machine.run_on(0, 1, [hlt()]);
    assert_eq!(test_machine.vcpu(0, 1).activity, Activity::Running);
    test_machine.run_on(0, 1, [hlt()]);
    assert_eq!(test_machine.vcpu(0, 1).activity, Activity::Halted);
    test_machine.call(KICK_CPU, [0, u64::MAX, 0, 0]);
    test_machine.call(KICK_CPU, [0, 2, 0, 0]);
}

#[test]
fn one_call_interrupts_those_in_the_mask() {
    let mut test_machine = smp(2);
    assert_eq!(test_machine.call(SEND_IPI, [0b10, 0, 0, 0x55]), 1);
    test_machine.pass_ns(5 * MS);
    test_machine.pass_ns(5 * MS);
    assert_eq!(
        test_machine.delivered(0, 1),
        [Event::Interrupt(Vector(0x55))]
    );
    // Counted from the first id in the third argument; an NMI.
    assert_eq!(test_machine.call(SEND_IPI, [0b1, 0, 1, 4 << 8]), 1);
    test_machine.pass_ns(5 * MS);
    test_machine.pass_ns(5 * MS);
    assert_eq!(test_machine.delivered(0, 1), [Event::Nmi]);
}

#[test]
fn masks_and_commands_without_sense_harm_nobody() {
    let mut test_machine = smp(2);
    let invalid = -22i64 as u64;
    // INIT, a logical destination, a shorthand.
    for icr in [5 << 8, 0x55 | 1 << 11, 0x55 | 3 << 18] {
        assert_eq!(
            test_machine.call(SEND_IPI, [u64::MAX, u64::MAX, 0, icr]),
            invalid
        );
    }
    assert_eq!(
        test_machine.call(SEND_IPI, [u64::MAX, u64::MAX, 0, 0x55]),
        2
    );
    let far = [1 << 40, u64::MAX - 64, u64::MAX];
    for first in far {
        test_machine.backend().state.efer |= 1 << 10;
        let code = &mut test_machine.backend().state.segment[SegmentRegister::Cs as usize];
        code.attributes.0 |= x86::Attributes::LONG;
        test_machine.call(SEND_IPI, [u64::MAX, u64::MAX, first, 0x55]);
    }
    assert_eq!(test_machine.call(SCHED_YIELD, [u64::MAX, 0, 0, 0]), 0);
    assert_eq!(test_machine.call(0x1234, [0; 4]), -1000i64 as u64);
}

#[test]
fn only_the_kernel_may_call() {
    let mut test_machine = smp(2);
    let stack = &mut test_machine.backend().state.segment[SegmentRegister::Ss as usize];
    stack.attributes.0 |= 3 << 5;
    assert_eq!(
        test_machine.call(SEND_IPI, [0b10, 0, 0, 0x55]),
        -1i64 as u64
    );
    test_machine.pass_ns(5 * MS);
    assert_eq!(test_machine.delivered(0, 1), []);
}

#[test]
fn a_call_hands_the_turn_to_the_vcpu_it_names() {
    let mut test_machine = smp(2);
    for _ in 0..4 {
        test_machine.pass_ns(5 * MS);
    }
    let before = test_machine.vcpu(0, 1).backend.entries;
    test_machine.call(SCHED_YIELD, [1, 0, 0, 0]);
    test_machine.turn(0);
    assert!(test_machine.vcpu(0, 1).backend.entries > before);
}

#[test]
fn the_record_of_one_that_waits_says_so_and_a_flush_is_done() {
    let mut test_machine = TestMachine::with(1, [spec("vm", 1), spec("busy", 1)]);
    test_machine.write_msr(msr::KVM_STEAL_TIME, RECORD | 1);
    let mut has_waited = false;
    for _ in 0..10 {
        test_machine.pass_ns(5 * MS);
        if test_machine.record(16) & 1 != 0 && !has_waited {
            has_waited = true;
            let flag = test_machine.vm(0).ram().write(Gpa::new(RECORD + 16), &[3]);
            assert_eq!(flag, Ok(()));
        }
    }
    assert!(has_waited);
    assert_eq!(test_machine.backend().flushes, 1);
    let (stolen, version) = (test_machine.record(0), test_machine.record(8) as u32);
    assert!((10 * MS..80 * MS).contains(&stolen), "{stolen}");
    assert!(version > 0 && version.is_multiple_of(2));
    // Alone, nothing is stolen, and nothing is written.
    test_machine.run_on(1, 0, [hlt()]);
    test_machine.pass_ns(5 * MS);
    let before = [0, 8, 16].map(|offset| test_machine.record(offset));
    for _ in 0..10 {
        test_machine.pass_ns(5 * MS);
    }
    assert_eq!(before, [0, 8, 16].map(|offset| test_machine.record(offset)));
}

#[test]
fn a_record_with_reserved_bits_is_refused_and_one_outside_memory_ignored() {
    let mut test_machine = TestMachine::with(1, [spec("vm", 1), spec("busy", 1)]);
    test_machine.run([write_msr(msr::KVM_STEAL_TIME, RECORD | 3)]);
    assert_eq!(test_machine.delivered(0, 0).len(), 1, "#GP");
    for value in [0xd000_0001, !0x3e] {
        test_machine.write_msr(msr::KVM_STEAL_TIME, value);
        for _ in 0..4 {
            test_machine.pass_ns(5 * MS);
        }
    }
    assert_eq!(test_machine.delivered(0, 0), []);
}
