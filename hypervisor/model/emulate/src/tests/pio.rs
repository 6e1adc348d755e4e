//! Strings of port accesses.

use super::*;
use vcpu::{PioDirection, PioString};

struct Port(Vec<u8>, u8);

impl PortBus for Port {
    fn read(&mut self, _port: u16, width: Width) -> u32 {
        self.1 = self.1.wrapping_add(1);
        u32::from(self.1) * (0x0101_0101 & width.ones() as u32)
    }

    fn write(&mut self, _port: u16, width: Width, value: u32) {
        let len = usize::from(width.bytes());
        self.0.extend(&value.to_le_bytes()[..len]);
    }
}

fn io(direction: PioDirection, width: Width) -> PioString {
    PioString {
        port: 0xe9,
        width,
        direction,
        is_repeated: true,
        address_width: Width::Qword,
        segment: SegmentRegister::Ds,
        len: InsnLen::new(2).expect("two"),
    }
}

#[test]
fn outs_writes_memory_to_the_port_across_pages() {
    let mut bench = Bench::long().set(Gpr::Rsi, 0x2ffd).set(Gpr::Rcx, 600);
    let text: Vec<u8> = (0..1200).map(|n| n as u8).collect();
    bench.ram.write(Gpa::new(0x2ffd), &text).expect("RAM");
    let mut port = Port(Vec::new(), 0);
    let out = || io(PioDirection::Out, Width::Word);
    let outcome = pio_string(&mut bench.vcpu, &bench.ram, out(), &mut port, 400);
    assert_eq!(outcome, Outcome::Again);
    assert_eq!((bench.get(Gpr::Rcx), bench.vcpu.rip()), (200, CODE));
    let outcome = pio_string(&mut bench.vcpu, &bench.ram, out(), &mut port, 400);
    assert_eq!(outcome, Outcome::Retired);
    assert_eq!((bench.get(Gpr::Rcx), bench.vcpu.rip()), (0, CODE + 2));
    assert_eq!(bench.get(Gpr::Rsi), 0x2ffd + 1200);
    assert_eq!(port.0, text);
}

#[test]
fn a_string_that_goes_down_is_interrupted_sooner() {
    let mut bench = Bench::long().set(Gpr::Rsi, 0x2fff).set(Gpr::Rcx, 1_000);
    bench.vcpu.state.rflags |= 0x400;
    let mut port = Port(Vec::new(), 0);
    let out = io(PioDirection::Out, Width::Byte);
    let outcome = pio_string(&mut bench.vcpu, &bench.ram, out, &mut port, 400);
    assert_eq!(outcome, Outcome::Again);
    assert_eq!(port.0.len(), 400 / 16);
}

/// INS of bytes.
fn take_bytes(bench: &mut Bench, port: &mut Port) -> Outcome {
    let ins = io(PioDirection::In, Width::Byte);
    pio_string(&mut bench.vcpu, &bench.ram, ins, port, 100)
}

#[test]
fn ins_goes_down_with_the_direction_flag_and_stops_at_a_fault() {
    let mut bench = Bench::long().set(Gpr::Rdi, DATA + 1).set(Gpr::Rcx, 2);
    bench.vcpu.state.rflags |= 0x400;
    let mut port = Port(Vec::new(), 0);
    assert_eq!(take_bytes(&mut bench, &mut port), Outcome::Retired);
    assert_eq!(bench.ram_u64(DATA), 0x0102);
    assert_eq!(bench.get(Gpr::Rdi), DATA - 1);

    let mut bench = Bench::long().set(Gpr::Rdi, 0x3f_ffff).set(Gpr::Rcx, 4);
    with_paging(&mut bench);
    let mut port = Port(Vec::new(), 0);
    assert_eq!(take_bytes(&mut bench, &mut port), Outcome::Faulted);
    assert_eq!(bench.get(Gpr::Rcx), 3);
    assert_eq!(port.1, 1, "the port is not read for what cannot be kept");
}
