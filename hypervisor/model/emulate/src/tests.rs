//! Instructions as guests use them on devices.

extern crate std;

mod pio;
mod random;
mod string;

use super::*;
use crate::alu::{CF, STATUS, ZF};
use addr::Gva;
use guest_memory::TestRam;
use std::string::ToString;
use std::vec::Vec;
use vcpu::{ArchState, TestVcpu};
use x86::{Attributes, Efer, Exception, Gpr, SegmentRegister};

/// Where the device is.
const DEVICE: u64 = 0xfec0_0000;
const CODE: u64 = 0x1000;
const DATA: u64 = 0x2000;
const STACK: u64 = 0x3000;

/// A device of one page: remembers accesses, holds bytes.
struct Page {
    bytes: Vec<u8>,
    log: Vec<(char, u64, Width, u64)>,
}

impl Page {
    fn new() -> Self {
        Self {
            bytes: (0..=255).cycle().take(4096).collect(),
            log: Vec::new(),
        }
    }
}

impl Bus for Page {
    fn read(&mut self, gpa: Gpa, width: Width) -> u64 {
        let at = gpa.page_offset() as usize;
        assert!(gpa.is_aligned(u64::from(width.bytes())));
        let bytes = self.bytes[at..at + usize::from(width.bytes())].iter();
        let value = bytes.rev().fold(0, |v, b| v << 8 | u64::from(*b));
        self.log.push(('r', gpa.raw(), width, value));
        value
    }

    fn write(&mut self, gpa: Gpa, width: Width, value: u64) {
        self.log.push(('w', gpa.raw(), width, value));
        for (number, byte) in value
            .to_le_bytes()
            .iter()
            .take(usize::from(width.bytes()))
            .enumerate()
        {
            self.bytes[gpa.page_offset() as usize + number] = *byte;
        }
    }
}

struct Bench {
    vcpu: TestVcpu,
    ram: TestRam,
    device: Page,
}

impl Bench {
    /// 64-bit code; paging is off, so that linear is physical.
    fn long() -> Self {
        let mut state = ArchState::after_reset();
        state.efer = Efer::LONG_MODE_ACTIVE.bits();
        state.cr0 = 1;
        state.segment[SegmentRegister::Cs as usize].attributes = Attributes(0xa9b);
        state.segment[SegmentRegister::Cs as usize].base = 0;
        state.rip = CODE;
        state.gpr[Gpr::Rsp.index()] = STACK;
        state.gpr[Gpr::Rdi.index()] = DEVICE;
        state.gpr[Gpr::Rsi.index()] = DATA;
        Self {
            vcpu: TestVcpu::new(state),
            ram: TestRam::new(0x10000),
            device: Page::new(),
        }
    }

    /// 16-bit code in real mode with ES at the device.
    fn real() -> Self {
        let mut bench = Self::long();
        let state = &mut bench.vcpu.state;
        state.efer = 0;
        state.cr0 = 0;
        state.segment[SegmentRegister::Cs as usize].attributes = Attributes(0x9b);
        state.segment[SegmentRegister::Es as usize].base = DEVICE;
        bench
    }

    fn set(mut self, reg: Gpr, value: u64) -> Self {
        self.vcpu.set_gpr(reg, value);
        self
    }

    fn get(&self, reg: Gpr) -> u64 {
        self.vcpu.gpr(reg)
    }

    /// Executes `code`, which touched the device at offset `at`.
    fn run(&mut self, code: &[u8], at: u64, access: Access) -> Outcome {
        let place = self.vcpu.state.segment[SegmentRegister::Cs as usize].base + self.vcpu.rip();
        self.ram.write(Gpa::new(place), code).expect("RAM");
        let fault = SlatFault {
            gpa: Gpa::new(DEVICE + at),
            access,
            gva: None,
            is_table_walk: false,
            is_delivery: false,
            insn: InsnBytes::default(),
        };
        execute(&mut self.vcpu, &self.ram, &fault, &mut self.device)
    }

    /// As `run`, of an instruction that must retire with its whole length.
    fn done(&mut self, code: &[u8], at: u64, access: Access) {
        let before = self.vcpu.rip();
        assert_eq!(self.run(code, at, access), Outcome::Retired, "{code:02x?}");
        assert_eq!(self.vcpu.rip() - before, code.len() as u64, "{code:02x?}");
    }

    fn ram_u64(&self, at: u64) -> u64 {
        self.ram.load_u64(Gpa::new(at)).expect("RAM")
    }
}

use Access::{Read, Write};

#[test]
fn moves_of_all_widths_read_the_device() {
    let all = u64::MAX;
    let cases: &[(&[u8], u64, u64)] = &[
        (&[0x8a, 0x47, 0x10], 0x10, 0xffff_ffff_ffff_ff10),
        (&[0x8a, 0x67, 0x10], 0x10, 0xffff_ffff_ffff_10ff),
        (&[0x66, 0x8b, 0x47, 0x10], 0x10, 0xffff_ffff_ffff_1110),
        (&[0x8b, 0x47, 0x10], 0x10, 0x1312_1110),
        (&[0x48, 0x8b, 0x47, 0x10], 0x10, 0x1716_1514_1312_1110),
        (&[0x0f, 0xb6, 0x87, 0x90, 0, 0, 0], 0x90, 0x90),
        (&[0x0f, 0xb7, 0x87, 0x90, 0, 0, 0], 0x90, 0x9190),
        (&[0x0f, 0xbe, 0x87, 0x90, 0, 0, 0], 0x90, 0xffff_ff90),
        (
            &[0x48, 0x0f, 0xbf, 0x87, 0x90, 0, 0, 0],
            0x90,
            0xffff_ffff_ffff_9190,
        ),
        (
            &[0x48, 0x63, 0x87, 0x90, 0, 0, 0],
            0x90,
            0xffff_ffff_9392_9190,
        ),
        (&[0x0f, 0x38, 0xf0, 0x47, 0x10], 0x10, 0x1011_1213),
        // mov eax, [moffs64]
        (&[0xa1, 0x20, 0, 0xc0, 0xfe, 0, 0, 0, 0], 0x20, 0x2322_2120),
        // mov eax, [rdi + rcx * 4 - 0x10], rcx = 4
        (&[0x8b, 0x44, 0x8f, 0xf0], 0, 0x0302_0100),
    ];
    for (code, at, expected) in cases {
        let mut bench = Bench::long().set(Gpr::Rax, all).set(Gpr::Rcx, 4);
        bench.done(code, *at, Read);
        assert_eq!(bench.get(Gpr::Rax), *expected, "{code:02x?}");
    }
}

#[test]
fn moves_of_all_widths_write_the_device() {
    let cases: &[(&[u8], Width, u64)] = &[
        (&[0x88, 0x47, 8], Width::Byte, 0x88),
        (&[0x88, 0x67, 8], Width::Byte, 0x77),
        (&[0x66, 0x89, 0x47, 8], Width::Word, 0x7788),
        (&[0x89, 0x47, 8], Width::Dword, 0x5566_7788),
        (&[0x48, 0x89, 0x47, 8], Width::Qword, 0x1122_3344_5566_7788),
        (&[0xc6, 0x47, 8, 0x99], Width::Byte, 0x99),
        (&[0xc7, 0x47, 8, 4, 3, 2, 1], Width::Dword, 0x0102_0304),
        (
            &[0x48, 0xc7, 0x47, 8, 0xff, 0xff, 0xff, 0xff],
            Width::Qword,
            u64::MAX,
        ),
        (&[0x0f, 0xc3, 0x47, 8], Width::Dword, 0x5566_7788),
    ];
    for (code, width, value) in cases {
        let mut bench = Bench::long().set(Gpr::Rax, 0x1122_3344_5566_7788);
        bench.done(code, 8, Write);
        assert_eq!(
            bench.device.log,
            [('w', DEVICE + 8, *width, *value)],
            "{code:02x?}"
        );
    }
}

#[test]
fn what_is_not_aligned_goes_byte_by_byte() {
    let mut bench = Bench::long();
    bench.done(&[0x8b, 0x47, 0x11], 0x11, Read);
    assert_eq!(bench.get(Gpr::Rax), 0x1413_1211);
    assert_eq!(bench.device.log.len(), 4);
}

#[test]
fn read_modify_write_sets_the_flags() {
    // or dword [rdi], 0x80000000: the device holds 0x03020100.
    let mut bench = Bench::long();
    bench.done(&[0x81, 0x0f, 0, 0, 0, 0x80], 0, Write);
    assert_eq!(
        bench.device.log[1],
        ('w', DEVICE, Width::Dword, 0x8302_0100)
    );
    assert_eq!(bench.vcpu.rflags() & STATUS, 0x84, "SF, PF");
    // lock add [rdi], eax
    let mut bench = Bench::long().set(Gpr::Rax, 0xfcfd_ff00);
    bench.done(&[0xf0, 0x01, 0x07], 0, Write);
    assert_eq!(bench.device.log[1].3, 0);
    assert_eq!(bench.vcpu.rflags() & (CF | ZF), CF | ZF);
    // test byte [rdi + 1], 1: no write
    let mut bench = Bench::long();
    bench.done(&[0xf6, 0x47, 1, 1], 1, Read);
    assert_eq!(bench.device.log.len(), 1);
    assert_eq!(bench.vcpu.rflags() & ZF, 0);
    // cmp eax, [rdi]; inc dword [rdi]; not; neg
    let mut bench = Bench::long().set(Gpr::Rax, 0x0302_0100);
    bench.done(&[0x3b, 0x07], 0, Read);
    assert_eq!(bench.vcpu.rflags() & ZF, ZF);
    bench.done(&[0xff, 0x07], 0, Write);
    bench.done(&[0xf7, 0x17], 0, Write);
    bench.done(&[0xf7, 0x1f], 0, Write);
    assert_eq!(bench.device.log[6].3, 0x0302_0102);
}

#[test]
fn exchanges() {
    let mut bench = Bench::long().set(Gpr::Rax, 7);
    bench.done(&[0x87, 0x07], 0, Write);
    assert_eq!(bench.get(Gpr::Rax), 0x0302_0100);
    bench.done(&[0x0f, 0xc1, 0x07], 0, Write);
    assert_eq!(bench.device.log[3].3, 0x0302_0107);
    // lock cmpxchg [rdi], ecx: equal, then not
    let mut bench = Bench::long().set(Gpr::Rax, 0x0302_0100).set(Gpr::Rcx, 5);
    bench.done(&[0xf0, 0x0f, 0xb1, 0x0f], 0, Write);
    assert_eq!(bench.vcpu.rflags() & ZF, ZF);
    bench.done(&[0xf0, 0x0f, 0xb1, 0x0f], 0, Write);
    assert_eq!((bench.get(Gpr::Rax), bench.vcpu.rflags() & ZF), (5, 0));
}

#[test]
fn bit_tests_reach_beyond_the_operand() {
    // bts [rdi + 8], eax with eax = -33: bit 31 of the doubleword two below
    let mut bench = Bench::long().set(Gpr::Rax, 0xffff_ffff_ffff_ffdf);
    bench.done(&[0x0f, 0xab, 0x47, 8], 0, Write);
    assert_eq!(
        bench.device.log[1],
        ('w', DEVICE, Width::Dword, 0x8302_0100)
    );
    assert_eq!(bench.vcpu.rflags() & CF, 0);
    bench.done(&[0x0f, 0xba, 0x27, 31], 0, Read);
    assert_eq!(bench.vcpu.rflags() & CF, CF);
}

#[test]
fn push_and_pop_move_between_the_stack_and_the_device() {
    let mut bench = Bench::long();
    bench.done(&[0xff, 0x77, 0x10], 0x10, Read);
    assert_eq!(bench.get(Gpr::Rsp), STACK - 8);
    assert_eq!(bench.ram_u64(STACK - 8), 0x1716_1514_1312_1110);
    bench.done(&[0x8f, 0x07], 0, Write);
    assert_eq!(bench.get(Gpr::Rsp), STACK);
    assert_eq!(bench.device.log[1].3, 0x1716_1514_1312_1110);
}

#[test]
fn real_mode_uses_segments_and_wraps_offsets() {
    // mov al, es:[bx + di] with the sum past 64 KiB
    let mut bench = Bench::real().set(Gpr::Rbx, 0xffff).set(Gpr::Rdi, 0x11);
    bench.done(&[0x26, 0x8a, 0x01], 0x10, Read);
    assert_eq!(bench.get(Gpr::Rax), 0x10);
    // rep stosw
    let mut bench = Bench::real()
        .set(Gpr::Rdi, 0x8000_0004)
        .set(Gpr::Rcx, 0x1_0002);
    bench.vcpu.state.segment[SegmentRegister::Cs as usize].base = 0;
    bench.done(&[0xf3, 0xab], 4, Write);
    assert_eq!(bench.get(Gpr::Rdi), 0x8000_0008);
    assert_eq!(bench.get(Gpr::Rcx), 0x1_0000);
}

#[test]
fn fs_has_a_base_in_64_bit_code_and_ds_has_none() {
    let mut bench = Bench::long().set(Gpr::Rdi, 0);
    bench.vcpu.state.segment[SegmentRegister::Fs as usize].base = DEVICE;
    bench.vcpu.state.segment[SegmentRegister::Ds as usize].base = 0x999;
    bench.done(&[0x64, 0x8b, 0x47, 4], 4, Read);
    assert_eq!(bench.get(Gpr::Rax), 0x0706_0504);
    // mov eax, [eip + x]; with RIP the device would be out of reach.
    let mut code = Vec::from([0x67, 0x8b, 0x05]);
    let displacement = DEVICE.wrapping_sub(bench.vcpu.rip() + 7) as u32;
    code.extend(displacement.to_le_bytes());
    bench.done(&code, 0, Read);
    assert_eq!(bench.get(Gpr::Rax), 0x0302_0100);
}

#[test]
fn the_bytes_the_cpu_supplies_are_taken() {
    let mut bench = Bench::long();
    let mut insn = InsnBytes {
        count: 3,
        ..InsnBytes::default()
    };
    insn.bytes[..3].copy_from_slice(&[0x8b, 0x47, 0x10]);
    let fault = SlatFault {
        gpa: Gpa::new(DEVICE + 0x10),
        access: Read,
        gva: Some(Gva::new(DEVICE + 0x10)),
        is_table_walk: false,
        is_delivery: false,
        insn,
    };
    let outcome = execute(&mut bench.vcpu, &bench.ram, &fault, &mut bench.device);
    assert_eq!(outcome, Outcome::Retired);
    assert_eq!(bench.get(Gpr::Rax), 0x1312_1110);
}

#[test]
fn what_cannot_be_executed_is_named() {
    let mut bench = Bench::long();
    let Outcome::Unsupported(what) = bench.run(&[0x0f, 0x28, 0x07], 0, Read) else {
        panic!("movaps needs vector registers");
    };
    assert!(
        what.to_string().starts_with("the instruction 0f 28 07"),
        "{what}"
    );
    assert_eq!(bench.vcpu.retired, 0);
    bench.vcpu.state.rip = 0x100_0000;
    let fault = SlatFault {
        gpa: Gpa::new(DEVICE),
        access: Read,
        gva: None,
        is_table_walk: false,
        is_delivery: false,
        insn: InsnBytes::default(),
    };
    let outcome = execute(&mut bench.vcpu, &bench.ram, &fault, &mut bench.device);
    let Outcome::Unsupported(what) = outcome else {
        panic!("there is no code");
    };
    assert_eq!(what.to_string(), "an instruction outside RAM");
}

/// Turns paging on: 2 MiB identity for the first 2 MiB, the device at the second, nothing behind.
fn with_paging(bench: &mut Bench) {
    let tables = 0x8000;
    let put = |at: u64, entry: u64| {
        bench
            .ram
            .write(Gpa::new(at), &entry.to_le_bytes())
            .expect("RAM");
    };
    put(tables, (tables + 0x1000) | 7);
    put(tables + 0x1000, (tables + 0x2000) | 7);
    put(tables + 0x2000, 0x87);
    put(tables + 0x2008, DEVICE | 0x87);
    let state = &mut bench.vcpu.state;
    state.cr0 = 0x8000_0001;
    state.cr3 = tables;
    state.cr4 = 0x20;
}

#[test]
fn a_fault_on_the_other_operand_is_the_guests() {
    let mut bench = Bench::long()
        .set(Gpr::Rcx, 2)
        .set(Gpr::Rsi, 0x20_0000)
        .set(Gpr::Rdi, 0x3f_fffc);
    with_paging(&mut bench);
    // The second doubleword would go past what is mapped.
    assert_eq!(bench.run(&[0xf3, 0xa5], 0, Read), Outcome::Faulted);
    let Some(vcpu::Event::Exception(fault)) = bench.vcpu.queued else {
        panic!("no exception");
    };
    assert_eq!(fault.exception, Exception::PageFault);
    assert_eq!(fault.address, Some(Gva::new(0x40_0000)));
    assert_eq!(fault.error_code, Some(2));
    assert_eq!(bench.get(Gpr::Rcx), 1);
    assert_eq!(bench.vcpu.rip(), CODE);
}
