//! Ports, MSRs, CPUID and device memory.

use crate::test_host::{
    TestMachine, cpuid, fault, input, out_wide, read_msr, spec, touch, write_msr,
};
use board::{StopReason, VmState};
use guest_memory::GuestMemory;
use vcpu::{Access, Event, Exit, InsnLen, PioDirection, PioString, Vcpu};
use x86::{Fault, Gpr, SegmentRegister, Width};

#[test]
fn a_vm_starts_at_its_kernels_entry() {
    let mut test_machine = TestMachine::new();
    assert_eq!(test_machine.state(0), VmState::Running);
    assert_eq!(test_machine.backend().state.rip, crate::test_host::KERNEL);
}

#[test]
fn what_is_written_to_com1_is_printed() {
    let mut test_machine = TestMachine::new();
    test_machine.host.text();
    for byte in b"hello" {
        test_machine.out(0x3f8, *byte);
    }
    assert_eq!(test_machine.host.text(), "hello");
}

#[test]
fn an_unclaimed_port_reads_all_ones_and_swallows_writes() {
    let mut test_machine = TestMachine::new();
    test_machine.backend().set_gpr(Gpr::Rax, 0);
    let rip = test_machine.backend().rip();
    test_machine.run([
        out_wide(0x5678, Width::Dword, 1),
        input(0x5678, Width::Dword),
    ]);
    assert_eq!(test_machine.backend().gpr(Gpr::Rax), 0xffff_ffff);
    assert_eq!(test_machine.backend().rip(), rip + 2);
    test_machine.backend().set_gpr(Gpr::Rax, 0);
    test_machine.run([input(0xffff, Width::Word)]);
    assert_eq!(test_machine.backend().gpr(Gpr::Rax), 0xffff);
}

#[test]
fn an_unknown_msr_is_a_general_protection_fault() {
    let mut test_machine = TestMachine::new();
    let rip = test_machine.backend().rip();
    let gp = Event::Exception(Fault::GENERAL_PROTECTION);
    for exit in [read_msr(0x1234_5678), write_msr(0x1234_5678, 0)] {
        test_machine.run([exit]);
        assert_eq!(test_machine.delivered(0, 0), [gp]);
    }
    assert_eq!(test_machine.backend().rip(), rip);
}

#[test]
fn cpuid_is_answered_from_the_model() {
    let mut test_machine = TestMachine::new();
    test_machine.run([cpuid(0x4000_0000)]);
    let words = [Gpr::Rbx, Gpr::Rcx, Gpr::Rdx].map(|reg| test_machine.backend().gpr(reg) as u32);
    assert_eq!(
        words.map(u32::to_le_bytes).as_flattened(),
        b"KVMKVMKVM\0\0\0"
    );
    test_machine.run([cpuid(1)]);
    let ecx = test_machine.backend().gpr(Gpr::Rcx);
    assert_ne!(ecx & 1 << 31, 0, "the hypervisor bit");
}

#[test]
fn the_x2apic_is_reached_by_msr_once_it_is_on() {
    let mut test_machine = TestMachine::new();
    test_machine.run([read_msr(0x802)]);
    assert_eq!(test_machine.delivered(0, 0).len(), 1, "#GP");
    test_machine.write_msr(x86::msr::IA32_APIC_BASE, 0xfee0_0d00);
    test_machine.run([read_msr(0x803)]);
    assert_eq!(test_machine.backend().gpr(Gpr::Rax), 0x5_0014);
    assert_eq!(test_machine.delivered(0, 0), []);
    // The window is closed, and reads as nothing does.
    assert_eq!(test_machine.load(0xfee0_0030), u32::MAX);
}

#[test]
fn the_local_apics_page_is_the_vcpus_own() {
    let mut test_machine = TestMachine::new();
    assert_eq!(test_machine.load(0xfee0_0030), 0x5_0014);
    test_machine.store(0xfee0_00d0, 0x2a00_0000);
    assert_eq!(test_machine.load(0xfee0_00d0), 0x2a00_0000);
}

#[test]
fn a_task_priority_written_by_mmio_is_cr8() {
    let mut test_machine = TestMachine::new();
    test_machine.store(0xfee0_0080, 0x70);
    assert_eq!(test_machine.backend().state.cr8, 7);
    test_machine.backend().state.cr8 = 3;
    assert_eq!(test_machine.load(0xfee0_0080), 0x30);
}

#[test]
fn device_memory_where_nobody_is_reads_all_ones() {
    let mut test_machine = TestMachine::new();
    assert_eq!(test_machine.load(0xd000_0000), u32::MAX);
    test_machine.store(0xd000_0000, 1);
    assert_eq!(test_machine.state(0), VmState::Running);
}

#[test]
fn code_outside_memory_is_an_invalid_opcode() {
    let mut test_machine = TestMachine::new();
    test_machine.run([Exit::SlatFault(fault(0xd000_0000, Access::Execute))]);
    let ud = Event::Exception(Fault::INVALID_OPCODE);
    assert_eq!(test_machine.delivered(0, 0), [ud]);
}

#[test]
fn an_event_that_cannot_be_delivered_stops_the_vm() {
    let mut test_machine = TestMachine::new();
    let mut fault = fault(0xd000_0000, Access::Write);
    fault.is_delivery = true;
    test_machine.run([Exit::SlatFault(fault)]);
    assert_eq!(test_machine.state(0), VmState::Stopped);
    assert_eq!(
        test_machine.vm(0).lifecycle().last_stop(),
        Some(StopReason::UndeliverableEvent { gpa: 0xd000_0000 })
    );
}

#[test]
fn an_instruction_nobody_knows_stops_its_vm_and_no_other() {
    let mut test_machine = TestMachine::with(1, [spec("bad", 1), spec("good", 1)]);
    test_machine.backend().set_gpr(Gpr::Rdi, 0xfec0_0000);
    // MOVAPS [RDI], XMM0.
    test_machine.run([touch(0xfec0_0000, Access::Write, &[0x0f, 0x29, 0x07])]);
    assert_eq!(test_machine.state(0), VmState::Stopped);
    assert!(matches!(
        test_machine.vm(0).lifecycle().last_stop(),
        Some(StopReason::Unemulated { .. })
    ));
    test_machine.run_on(1, 0, [cpuid(0)]);
    assert_eq!(test_machine.state(1), VmState::Running);
}

#[test]
fn page_tables_outside_memory_are_a_page_fault_with_reserved_bits() {
    let mut test_machine = TestMachine::new();
    let mut fault = fault(0xd000_0000, Access::Read);
    fault.is_table_walk = true;
    fault.gva = Some(addr::Gva::new(0x1234));
    test_machine.run([Exit::SlatFault(fault)]);
    let expected = Fault::page_fault(addr::Gva::new(0x1234), 0b1001);
    assert_eq!(test_machine.delivered(0, 0), [Event::Exception(expected)]);
}

#[test]
fn a_string_of_bytes_reaches_the_console_in_one_exit() {
    let mut test_machine = TestMachine::new();
    let text = b"outs";
    test_machine
        .vm(0)
        .ram()
        .write(addr::Gpa::new(0x8000), text)
        .expect("RAM");
    test_machine.host.text();
    test_machine.backend().set_gpr(Gpr::Rsi, 0x8000);
    test_machine.backend().set_gpr(Gpr::Rcx, text.len() as u64);
    let rip = test_machine.backend().rip();
    test_machine.run([string(0x3f8, PioDirection::Out)]);
    assert_eq!(test_machine.host.text(), "outs");
    assert_eq!(test_machine.backend().gpr(Gpr::Rcx), 0);
    assert_eq!(test_machine.backend().rip(), rip + 2);
}

#[test]
fn a_long_string_is_done_in_pieces() {
    let mut test_machine = TestMachine::new();
    test_machine.backend().set_gpr(Gpr::Rdi, 0x8000);
    test_machine.backend().set_gpr(Gpr::Rcx, 1 << 40);
    let rip = test_machine.backend().rip();
    test_machine.run([string(0x5678, PioDirection::In)]);
    // The registers say how far it came, and the guest meets the instruction again.
    assert_eq!(test_machine.backend().rip(), rip);
    let left = test_machine.backend().gpr(Gpr::Rcx);
    assert!(left < 1 << 40 && left > (1 << 40) - 100_000, "{left:#x}");
}

fn string(port: u16, direction: PioDirection) -> Exit {
    Exit::PioString(PioString {
        port,
        width: Width::Byte,
        direction,
        is_repeated: true,
        address_width: Width::Qword,
        segment: SegmentRegister::Ds,
        len: InsnLen::new(2).expect("a length"),
    })
}
