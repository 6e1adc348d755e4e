//! A guest in real mode that calls the BIOS.

use crate::test_host::{TestMachine, spec};
use addr::Gpa;
use alloc::vec::Vec;
use guest_memory::GuestMemory;
use vcpu::{Exit, Hypercall, InsnLen, Vcpu};
use vm_spec::{EntryMode, GuestConsole, VmSpec};
use x86::{Cr0, Gpr, SegmentRegister};

const STACK: u64 = 0x7000;
const DATA_SEGMENT: u64 = 0x2000;
const CARRY: u16 = 1 << 0;
const ZERO: u16 = 1 << 6;

/// A machine with a VM in real mode, whose stack holds what an INT leaves there.
fn test_machine() -> TestMachine {
    rig_with(|_| ())
}

fn rig_with(change: impl Fn(&mut VmSpec)) -> TestMachine {
    let mut spec = VmSpec {
        memory_bytes: 20 << 20,
        entry: Some(EntryMode::Real16),
        load_address: Some(0x8000),
        ..spec("vm", 1)
    };
    change(&mut spec);
    let mut test_machine = TestMachine::with(1, [spec]);
    let state = &mut test_machine.backend().state;
    assert_eq!(state.cr0 & Cr0::PROTECTED_MODE_ENABLE.bits(), 0);
    let extra = &mut state.segment[SegmentRegister::Es as usize];
    (extra.selector, extra.base) = (DATA_SEGMENT as u16, DATA_SEGMENT << 4);
    test_machine
}

/// Sets a register.
fn set(test_machine: &mut TestMachine, reg: Gpr, value: u32) {
    test_machine.backend().set_gpr(reg, value.into());
}

fn get(test_machine: &mut TestMachine, reg: Gpr) -> u32 {
    test_machine.backend().gpr(reg) as u32
}

/// Makes the call that the stub of this interrupt makes; returns how far it went on, and the flags its IRET will restore.
fn call(test_machine: &mut TestMachine, interrupt: u64, ax: u32) -> (u64, u16) {
    let ip = 0xe000 + interrupt * 16 + if interrupt == 9 { 3 } else { 0 };
    set(test_machine, Gpr::Rax, ax);
    set(test_machine, Gpr::Rsp, STACK as u32);
    test_machine.backend().state.rip = ip;
    let vm = test_machine.vm(0);
    let ram = vm.ram();
    let frame = Gpa::new(STACK + 4);
    ram.write(frame, &0x0202u16.to_le_bytes()).expect("RAM");
    let len = InsnLen::new(3).expect("three bytes");
    test_machine.run([Exit::Hypercall(Hypercall { len })]);
    let mut flags = [0; 2];
    test_machine
        .vm(0)
        .ram()
        .read(frame, &mut flags)
        .expect("RAM");
    let went_on = test_machine.backend().state.rip - ip;
    (went_on, u16::from_le_bytes(flags))
}

fn read<const N: usize>(test_machine: &TestMachine, at: u64) -> [u8; N] {
    let mut bytes = [0; N];
    test_machine
        .vm(0)
        .ram()
        .read(Gpa::new(at), &mut bytes)
        .expect("RAM");
    bytes
}

/// A row of the screen, characters only.
fn row(test_machine: &TestMachine, number: u64) -> Vec<u8> {
    let cells: [u8; 160] = read(test_machine, 0xb_8000 + number * 160);
    cells.iter().step_by(2).copied().collect()
}

#[test]
fn the_memory_map_comes_entry_by_entry() {
    let mut test_machine = test_machine();
    let map = test_machine.vm(0).layout.map();
    set(&mut test_machine, Gpr::Rbx, 0);
    set(&mut test_machine, Gpr::Rdi, 0x10);
    for (number, region) in map.iter().enumerate() {
        set(&mut test_machine, Gpr::Rcx, 24);
        set(&mut test_machine, Gpr::Rdx, 0x534d_4150);
        let (went_on, flags) = call(&mut test_machine, 0x15, 0xe820);
        assert_eq!((went_on, flags & CARRY), (3, 0));
        assert_eq!(get(&mut test_machine, Gpr::Rax), 0x534d_4150);
        let entry: [u8; 20] = read(&test_machine, (DATA_SEGMENT << 4) + 0x10);
        assert_eq!(entry[..8], region.range.start().raw().to_le_bytes());
        assert_eq!(entry[8..16], region.range.len_bytes().to_le_bytes());
        let next = if number + 1 == map.len() {
            0
        } else {
            number + 1
        };
        assert_eq!(get(&mut test_machine, Gpr::Rbx) as usize, next);
    }
    // Past the end, and without the signature.
    for (number, signature) in [(99, 0x534d_4150), (u32::MAX, 0x534d_4150), (0, 0)] {
        set(&mut test_machine, Gpr::Rbx, number);
        set(&mut test_machine, Gpr::Rdx, signature);
        assert_eq!(call(&mut test_machine, 0x15, 0xe820).1 & CARRY, CARRY);
    }
}

#[test]
fn memory_is_told_in_the_old_ways_too() {
    let mut test_machine = test_machine();
    call(&mut test_machine, 0x12, 0xffff);
    assert_eq!(get(&mut test_machine, Gpr::Rax) & 0xffff, 639);
    call(&mut test_machine, 0x15, 0x8800);
    assert_eq!(get(&mut test_machine, Gpr::Rax) & 0xffff, 19 * 1024);
    call(&mut test_machine, 0x15, 0xe801);
    assert_eq!(get(&mut test_machine, Gpr::Rax), 15 * 1024);
    assert_eq!(get(&mut test_machine, Gpr::Rbx), 4 * 16);
    call(&mut test_machine, 0x15, 0xc000);
    let table = test_machine.backend().segment(SegmentRegister::Es).base;
    let at = table + u64::from(get(&mut test_machine, Gpr::Rbx));
    assert_eq!(read::<3>(&test_machine, at), [8, 0, 0xfc]);
    assert_eq!(call(&mut test_machine, 0x15, 0x5300).1 & CARRY, CARRY);
    assert_eq!(get(&mut test_machine, Gpr::Rax) >> 8, 0x86);
}

#[test]
fn text_appears_and_scrolls() {
    let mut test_machine = test_machine();
    call(&mut test_machine, 0x10, 0x0003);
    for character in b"Hi\r\nthere" {
        call(&mut test_machine, 0x10, 0x0e00 | u32::from(*character));
    }
    assert!(row(&test_machine, 0).starts_with(b"Hi "));
    assert!(row(&test_machine, 1).starts_with(b"there "));
    call(&mut test_machine, 0x10, 0x0300);
    assert_eq!(get(&mut test_machine, Gpr::Rdx) & 0xffff, 0x0105);
    // The VGA's cursor is there as well.
    test_machine.out(0x3d4, 0x0f);
    assert_eq!(test_machine.input(0x3d5), 85);
    set(&mut test_machine, Gpr::Rdx, 24 << 8);
    call(&mut test_machine, 0x10, 0x0200);
    call(&mut test_machine, 0x10, 0x0e0a);
    assert!(row(&test_machine, 0).starts_with(b"there "));
    assert_eq!(row(&test_machine, 24), [b' '; 80]);
    // What it types is on the serial port too, for an operator with no view of the screen.
    let said = test_machine.host.text();
    assert!(said.contains("Hi\r\nthere"), "{said:?}");
}

#[test]
fn a_guest_shown_by_its_screen_does_not_speak_on_the_serial_port() {
    let mut test_machine = rig_with(|spec| spec.console = GuestConsole::Screen);
    for character in b"secret" {
        call(&mut test_machine, 0x10, 0x0e00 | u32::from(*character));
    }
    assert!(row(&test_machine, 0).starts_with(b"secret"));
    assert!(!test_machine.host.text().contains("secret"));
}

#[test]
fn a_long_string_is_written_a_piece_a_call() {
    let mut test_machine = test_machine();
    call(&mut test_machine, 0x10, 0x0003);
    let text: Vec<u8> = (0..150).map(|at| b'A' + at % 26).collect();
    let at = Gpa::new((DATA_SEGMENT << 4) + 0xffd0);
    // It wraps in its segment.
    let (head, tail) = text.split_at(0x30);
    test_machine.vm(0).ram().write(at, head).expect("RAM");
    let start = Gpa::new(DATA_SEGMENT << 4);
    test_machine.vm(0).ram().write(start, tail).expect("RAM");
    set(&mut test_machine, Gpr::Rbp, 0xffd0);
    set(&mut test_machine, Gpr::Rbx, 0x1f);
    set(&mut test_machine, Gpr::Rcx, 150);
    set(&mut test_machine, Gpr::Rdx, 3 << 8);
    // Twice asked again, then done.
    let went_on = [0; 3].map(|_| call(&mut test_machine, 0x10, 0x1300).0);
    assert_eq!(went_on, [8, 8, 3]);
    assert_eq!(row(&test_machine, 3), text[..80]);
    assert_eq!(row(&test_machine, 4)[..70], text[80..]);
    // The cursor is where it was, and the next string begins at its beginning.
    call(&mut test_machine, 0x10, 0x0300);
    assert_eq!(get(&mut test_machine, Gpr::Rdx) & 0xffff, 0);
    set(&mut test_machine, Gpr::Rcx, 3);
    set(&mut test_machine, Gpr::Rdx, 9 << 8);
    assert_eq!(call(&mut test_machine, 0x10, 0x1301).0, 3);
    assert!(row(&test_machine, 9).starts_with(b"ABC "));
    call(&mut test_machine, 0x10, 0x0300);
    assert_eq!(get(&mut test_machine, Gpr::Rdx) & 0xffff, 0x0903);
}

#[test]
fn keys_go_through_the_ring() {
    let mut test_machine = test_machine();
    assert_eq!(call(&mut test_machine, 0x16, 0x0100).1 & ZERO, ZERO);
    // The stub waits for an interrupt, and asks again.
    assert_eq!(call(&mut test_machine, 0x16, 0x0000).0, 4);
    // Shift, a, its release, Shift's release, b, Enter.
    for code in [0x2a, 0x1e, 0x9e, 0xaa, 0x30, 0x1c] {
        assert_eq!(call(&mut test_machine, 0x09, code).0, 3);
    }
    assert_eq!(call(&mut test_machine, 0x16, 0x0100).1 & ZERO, 0);
    for wanted in [0x1e41, 0x3062, 0x1c0d] {
        assert_eq!(call(&mut test_machine, 0x16, 0x0000).0, 3);
        assert_eq!(get(&mut test_machine, Gpr::Rax) & 0xffff, wanted);
    }
    assert_eq!(call(&mut test_machine, 0x16, 0x0100).1 & ZERO, ZERO);
    // A full ring takes no more: 15 keys.
    let stored: Vec<u32> = (0..16)
        .map(|_| {
            set(&mut test_machine, Gpr::Rcx, 0x1e61);
            call(&mut test_machine, 0x16, 0x0500);
            get(&mut test_machine, Gpr::Rax) & 0xff
        })
        .collect();
    assert_eq!(stored.iter().sum::<u32>(), 1);
}

#[test]
fn a_wait_ends_when_its_time_is_over() {
    let mut test_machine = test_machine();
    set(&mut test_machine, Gpr::Rcx, 0);
    set(&mut test_machine, Gpr::Rdx, 500);
    assert_eq!(call(&mut test_machine, 0x15, 0x8600).0, 8);
    assert_eq!(call(&mut test_machine, 0x15, 0x8600).0, 8);
    test_machine.host.pass_ns(600_000);
    let (went_on, flags) = call(&mut test_machine, 0x15, 0x8600);
    assert_eq!((went_on, flags & CARRY), (3, 0));
}

#[test]
fn there_are_no_disks_and_no_pci_bios() {
    let mut test_machine = test_machine();
    assert_eq!(call(&mut test_machine, 0x13, 0x0201).1 & CARRY, CARRY);
    assert_eq!(get(&mut test_machine, Gpr::Rax) >> 8, 1);
    assert_eq!(call(&mut test_machine, 0x1a, 0xb101).1 & CARRY, CARRY);
    assert_eq!(call(&mut test_machine, 0x1a, 0x0200).1 & CARRY, 0);
    set(&mut test_machine, Gpr::Rcx, 0x0012);
    set(&mut test_machine, Gpr::Rdx, 0x3456);
    call(&mut test_machine, 0x1a, 0x0100);
    assert_eq!(read::<4>(&test_machine, 0x46c), [0x56, 0x34, 0x12, 0]);
}

#[test]
fn blocks_move_between_low_and_high_memory() {
    let mut test_machine = test_machine();
    let table = DATA_SEGMENT << 4;
    let vm = test_machine.vm(0);
    let ram = vm.ram();
    for (number, base) in [(2u64, 0x3_0000u32), (3, 0x120_0000)] {
        let [a, b, c, d] = base.to_le_bytes();
        let descriptor = [0xff, 0xff, a, b, c, 0x93, 0, d];
        ram.write(Gpa::new(table + number * 8), &descriptor)
            .expect("RAM");
    }
    ram.write(Gpa::new(0x3_0000), b"moved").expect("RAM");
    set(&mut test_machine, Gpr::Rcx, 0x400);
    set(&mut test_machine, Gpr::Rsi, 0);
    assert_eq!(call(&mut test_machine, 0x15, 0x8700).1 & CARRY, 0);
    assert_eq!(&read::<5>(&test_machine, 0x120_0000), b"moved");
    set(&mut test_machine, Gpr::Rcx, 0x8001);
    assert_eq!(call(&mut test_machine, 0x15, 0x8700).1 & CARRY, CARRY);
}

#[test]
fn a_call_elsewhere_or_in_protected_mode_is_no_bios_call() {
    let mut test_machine = test_machine();
    let len = InsnLen::new(3).expect("three bytes");
    test_machine.backend().state.cr0 |= Cr0::PROTECTED_MODE_ENABLE.bits();
    call(&mut test_machine, 0x12, 0);
    assert_eq!(test_machine.backend().gpr(Gpr::Rax), -1000i64 as u64);
    test_machine.backend().state.cr0 &= !Cr0::PROTECTED_MODE_ENABLE.bits();
    test_machine.backend().state.rip = 0xe121;
    test_machine.run([Exit::Hypercall(Hypercall { len })]);
    assert_eq!(test_machine.backend().gpr(Gpr::Rax), -1000i64 as u64);
}

#[test]
fn hostile_registers_are_harmless() {
    let mut test_machine = test_machine();
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let interrupts = [9, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x1a];
    let functions = [0u32, 1, 2, 5, 6, 7, 9, 0xa, 0xe, 0x13, 0x86, 0x87, 0xe8];
    for round in 0..1_500 {
        for reg in [Gpr::Rbx, Gpr::Rcx, Gpr::Rdx, Gpr::Rsi, Gpr::Rdi, Gpr::Rbp] {
            let value = [0, u64::MAX, next(), next() & 0xffff][(next() % 4) as usize];
            test_machine.backend().set_gpr(reg, value);
        }
        for segment in &mut test_machine.backend().state.segment {
            segment.base = [0, 0xf_fff0, next(), u64::MAX][(next() % 4) as usize];
        }
        let code = &mut test_machine.backend().state.segment[SegmentRegister::Cs as usize];
        code.base = 0xf_0000;
        // The data area is the guest's to spoil.
        let spoilt = next().to_le_bytes();
        let at = Gpa::new(0x400 + next() % 0xf8);
        test_machine.vm(0).ram().write(at, &spoilt).expect("RAM");
        let function = functions[(next() % functions.len() as u64) as usize];
        let interrupt = interrupts[round % interrupts.len()];
        let ax = function << 8 | next() as u32 & 0xff;
        let (went_on, _) = call(&mut test_machine, interrupt, ax);
        assert!(matches!(went_on, 3 | 4 | 8));
    }
}
