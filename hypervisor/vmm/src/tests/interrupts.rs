//! From a device, a timer or another vCPU into the guest.

use crate::test_host::{TestMachine, hlt, spec};
use core::sync::atomic::Ordering;
use std::vec::Vec;
use vcpu::{Activity, Event, Exit};
use x86::{SegmentRegister, Vector};

const ICR: u64 = 0xfee0_0300;
const ICR_HIGH: u64 = 0xfee0_0310;
const EOI: u64 = 0xfee0_00b0;

impl TestMachine {
    /// Puts a vCPU to sleep, interrupts on.
    fn halt(&mut self, vm: usize, id: usize) {
        self.set_interrupts(vm, id, true);
        self.run_on(vm, id, [hlt()]);
        let vcpu = self.vcpu(vm, id);
        assert_eq!(vcpu.activity, Activity::Halted);
        vcpu.backend.delivered.clear();
    }

    /// PIT channel 0 as rate generator.
    pub(super) fn start_pit(&mut self, count: u16) {
        self.out(0x43, 0x34);
        self.out(0x40, count as u8);
        self.out(0x40, (count >> 8) as u8);
    }

    fn vectors(&mut self, vm: usize, id: usize) -> Vec<u8> {
        self.delivered(vm, id)
            .into_iter()
            .filter_map(|event| match event {
                Event::Interrupt(Vector(vector)) => Some(vector),
                Event::Nmi | Event::Exception(_) => None,
            })
            .collect()
    }
}

#[test]
fn the_local_apics_timer_wakes_a_halted_vcpu() {
    let mut test_machine = TestMachine::new();
    test_machine.store(0xfee0_03e0, 0xb);
    test_machine.store(0xfee0_0320, 0x40);
    test_machine.store(0xfee0_0380, 3_000_000);
    test_machine.halt(0, 0);
    let idles = test_machine.host.idles.load(Ordering::Relaxed);
    test_machine.pass_ns(1_000_000);
    assert_eq!(test_machine.vectors(0, 0), []);
    assert!(test_machine.host.idles.load(Ordering::Relaxed) > idles);
    test_machine.pass_ns(2_000_000);
    assert_eq!(test_machine.vectors(0, 0), [0x40]);
}

#[test]
fn the_tsc_deadline_wakes_a_halted_vcpu() {
    let mut test_machine = TestMachine::new();
    test_machine.store(0xfee0_0320, 0x4_0041);
    let now = test_machine.host_tsc();
    test_machine.write_msr(x86::msr::IA32_TSC_DEADLINE, now + 3_000_000);
    test_machine.halt(0, 0);
    test_machine.pass_ns(2_900_000);
    assert_eq!(test_machine.vectors(0, 0), []);
    test_machine.pass_ns(200_000);
    assert_eq!(test_machine.vectors(0, 0), [0x41]);
}

#[test]
fn a_deadline_follows_the_guests_tsc() {
    let mut test_machine = TestMachine::new();
    test_machine.store(0xfee0_0320, 0x4_0041);
    let now = test_machine.host_tsc();
    test_machine.write_msr(x86::msr::IA32_TSC_DEADLINE, now + 1_000_000_000);
    // The guest sets its TSC past the deadline: it has passed now.
    test_machine.write_msr(x86::msr::IA32_TSC, now + 2_000_000_000);
    test_machine.set_interrupts(0, 0, true);
    test_machine.pass_ns(1);
    assert_eq!(test_machine.vectors(0, 0), [0x41]);
}

#[test]
fn the_pit_wakes_a_halted_vcpu_by_way_of_the_ioapic_without_a_nap() {
    let mut test_machine = TestMachine::new();
    test_machine.route(2, 0x30);
    test_machine.start_pit(11932);
    test_machine.halt(0, 0);
    let idles = test_machine.host.idles.load(Ordering::Relaxed);
    // The turn in which the tick comes only wakes the vCPU: it must not idle.
    test_machine.host.pass_ns(10_100_000);
    test_machine.turn(0);
    assert_eq!(test_machine.host.idles.load(Ordering::Relaxed), idles);
    test_machine.turn(0);
    assert_eq!(test_machine.vectors(0, 0), [0x30]);
}

#[test]
fn the_pic_interrupts_through_lint0() {
    let mut test_machine = TestMachine::new();
    for (port, value) in [
        (0x20, 0x11),
        (0x21, 0x20),
        (0x21, 4),
        (0x21, 1),
        (0xa0, 0x11),
        (0xa1, 0x28),
        (0xa1, 2),
        (0xa1, 1),
        (0x21, 0xfe),
        (0xa1, 0xff),
    ] {
        test_machine.out(port, value);
    }
    test_machine.start_pit(11932);
    test_machine.halt(0, 0);
    test_machine.pass_ns(10_100_000);
    assert_eq!(test_machine.vectors(0, 0), [0x20]);
    // No further tick before the EOI.
    test_machine.pass_ns(10_100_000);
    assert_eq!(test_machine.vectors(0, 0), []);
    test_machine.out(0x20, 0x20);
    test_machine.pass_ns(10_100_000);
    assert_eq!(test_machine.vectors(0, 0), [0x20]);
}

#[test]
fn a_level_interrupt_comes_again_after_its_eoi_while_the_line_is_high() {
    let mut test_machine = TestMachine::new();
    test_machine.set_interrupts(0, 0, true);
    test_machine.route(4, 0x50 | 1 << 15);
    // The transmitter is empty, and says so until IIR is read.
    test_machine.out(0x3f9, 2);
    test_machine.turns();
    assert_eq!(test_machine.vectors(0, 0), [0x50]);
    test_machine.turns();
    assert_eq!(test_machine.vectors(0, 0), []);
    test_machine.store(EOI, 0);
    test_machine.turns();
    assert_eq!(test_machine.vectors(0, 0), [0x50]);
    test_machine.out(0x3f9, 0);
    test_machine.store(EOI, 0);
    test_machine.turns();
    assert_eq!(test_machine.vectors(0, 0), []);
}

#[test]
fn an_interrupt_held_by_the_task_priority_asks_for_a_window() {
    let mut test_machine = TestMachine::new();
    test_machine.set_interrupts(0, 0, true);
    test_machine.backend().state.cr8 = 5;
    test_machine.store(ICR, 0x4_0041);
    test_machine.turns();
    assert_eq!(test_machine.vectors(0, 0), []);
    assert_eq!(test_machine.backend().interrupt_window, Some(Vector(0x41)));
    test_machine.backend().state.cr8 = 0;
    test_machine.run([Exit::InterruptWindow]);
    assert_eq!(test_machine.vectors(0, 0), [0x41]);
    assert_eq!(test_machine.backend().interrupt_window, None);
}

#[test]
fn an_interrupt_that_meets_a_closed_guest_asks_for_a_window() {
    let mut test_machine = TestMachine::new();
    test_machine.store(ICR, 0x4_0041);
    test_machine.turns();
    assert_eq!(test_machine.backend().interrupt_window, Some(Vector(0x41)));
    test_machine.set_interrupts(0, 0, true);
    test_machine.run([Exit::InterruptWindow]);
    assert_eq!(test_machine.vectors(0, 0), [0x41]);
}

#[test]
fn an_nmi_wakes_a_guest_that_is_closed_to_interrupts() {
    let mut test_machine = TestMachine::with(1, [spec("vm", 2)]);
    test_machine.start_second();
    test_machine.halt(0, 1);
    test_machine.set_interrupts(0, 1, false);
    test_machine.store(ICR_HIGH, 1 << 24);
    test_machine.store(ICR, 0x4400);
    test_machine.pass_ns(1_000);
    test_machine.pass_ns(1_000);
    assert_eq!(test_machine.delivered(0, 1), [Event::Nmi]);
}

#[test]
fn init_and_sipi_start_a_second_vcpu_in_real_mode() {
    let mut test_machine = TestMachine::with(2, [spec("vm", 2)]);
    assert_eq!(test_machine.vcpu(0, 1).activity, Activity::WaitForSipi);
    test_machine.start_second();
    let state = &test_machine.vcpu(0, 1).backend.state;
    assert_eq!(state.segment[SegmentRegister::Cs as usize].base, 0x8000);
    assert_eq!((state.rip, state.cr0 & 1), (0, 0));
}

#[test]
fn an_ipi_kicks_the_cpu_where_its_target_sleeps() {
    let mut test_machine = TestMachine::with(2, [spec("vm", 2)]);
    test_machine.start_second();
    test_machine.vcpu(0, 1).local.apic.enter_virtual_wire();
    test_machine.halt(0, 1);
    test_machine.store(ICR_HIGH, 1 << 24);
    test_machine.store(ICR, 0x4055);
    test_machine.turns();
    assert_eq!(test_machine.vectors(0, 1), [0x55]);
}

#[test]
fn an_ipi_to_all_reaches_its_sender_too() {
    let mut test_machine = TestMachine::with(2, [spec("vm", 2)]);
    test_machine.start_second();
    test_machine.vcpu(0, 1).local.apic.enter_virtual_wire();
    test_machine.set_interrupts(0, 0, true);
    test_machine.set_interrupts(0, 1, true);
    // All and self, then all but self.
    test_machine.store(ICR, 0x8_4055);
    test_machine.store(ICR, 0xc_4066);
    test_machine.turns();
    assert_eq!(test_machine.vectors(0, 0), [0x55]);
    assert_eq!(test_machine.vectors(0, 1), [0x55, 0x66]);
}

#[test]
fn a_self_ipi_interrupts_at_the_next_entry() {
    let mut test_machine = TestMachine::new();
    test_machine.set_interrupts(0, 0, true);
    test_machine.write_msr(x86::msr::IA32_APIC_BASE, 0xfee0_0d00);
    test_machine.write_msr(0x83f, 0x77);
    assert_eq!(test_machine.vectors(0, 0), [0x77]);
}

#[test]
fn the_rtc_is_heard_again_after_the_hpet_gave_its_line_back() {
    let mut test_machine = TestMachine::new();
    test_machine.set_interrupts(0, 0, true);
    test_machine.route(8, 0x38);
    // Update interrupts; then the HPET takes the line over while it is high, and gives it back.
    test_machine.out(0x70, 0x0b);
    test_machine.out(0x71, 0x12);
    test_machine.pass_ns(1_100_000_000);
    assert_eq!(test_machine.vectors(0, 0), [0x38]);
    test_machine.store(EOI, 0);
    test_machine.store(0xfed0_0010, 2);
    test_machine.out(0x70, 0x0c);
    test_machine.input(0x71);
    test_machine.pass_ns(1_100_000_000);
    assert_eq!(test_machine.vectors(0, 0), []);
    test_machine.store(0xfed0_0010, 0);
    test_machine.input(0x71);
    test_machine.pass_ns(1_100_000_000);
    assert_eq!(test_machine.vectors(0, 0), [0x38]);
}

impl TestMachine {
    /// INIT and SIPI from vCPU 0 to vCPU 1, which starts at 0x8000.
    pub(super) fn start_second(&mut self) {
        self.store(ICR_HIGH, 1 << 24);
        self.store(ICR, 0xc500);
        self.store(ICR, 0x4608);
        self.turns();
        self.turns();
        assert_eq!(self.vcpu(0, 1).activity, Activity::Running);
    }

    /// Returns the first VM's TSC.
    pub(super) fn host_tsc(&self) -> u64 {
        use host::Host;
        let host = self.host;
        host.clock()
            .tsc(host.now())
            .wrapping_add(self.vm(0).tsc_offset())
    }
}
