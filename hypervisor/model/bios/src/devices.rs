//! INT 13h, 14h, 17h and 1Ah: disks and printers there are none; serial ports; time.

use crate::{Call, Pc};
use addr::Gpa;
use guest_boot::bios::{Then, area};
use pc_map::ports;
use vcpu::Vcpu;
use x86::Gpr;

/// AH of INT 13h: no such function or drive.
const BAD_COMMAND: u8 = 0x01;
/// Status of the last disk operation.
const DISK_STATUS: Gpa = Gpa::new(0x441);
/// AH of INT 13h that asks for the kind of drive: none is no failure.
const DRIVE_KIND: u8 = 0x15;

/// AH of INT 14h and 17h: timed out.
const SERIAL_TIMEOUT: u8 = 0x80;
const PRINTER_TIMEOUT: u8 = 0x01;

/// Registers of a UART, and bits of its line status.
const LINE_CONTROL: u16 = 3;
pub(super) const LINE_STATUS: u16 = 5;
const MODEM_STATUS: u16 = 6;
pub(super) const DATA_READY: u8 = 1 << 0;
pub(super) const HOLDING_EMPTY: u8 = 1 << 5;
const EIGHT_BITS: u8 = 3;

/// Index and data port of the clock, and its registers.
const RTC_INDEX: u16 = *ports::RTC.start();
const RTC_DATA: u16 = *ports::RTC.end();
const SECONDS: u8 = 0;
const MINUTES: u8 = 2;
const HOURS: u8 = 4;
const DAY: u8 = 7;
const MONTH: u8 = 8;
const YEAR: u8 = 9;
const CENTURY: u8 = 0x32;
/// AH of INT 1Ah with AH=B1h: no PCI BIOS.
const PCI_UNSUPPORTED: u8 = 0x81;

pub(super) fn disk<V: Vcpu, P: Pc>(call: &mut Call<'_, V, P>) -> Then {
    let is_question = call.high(Gpr::Rax) == DRIVE_KIND;
    let status = if is_question { 0 } else { BAD_COMMAND };
    call.set_high(Gpr::Rax, status);
    call.write(DISK_STATUS, &[status]);
    call.set_failed(!is_question);
    Then::Return
}

pub(super) fn printer<V: Vcpu, P: Pc>(call: &mut Call<'_, V, P>) -> Then {
    call.set_high(Gpr::Rax, PRINTER_TIMEOUT);
    Then::Return
}

pub(super) fn serial<V: Vcpu, P: Pc>(call: &mut Call<'_, V, P>) -> Then {
    let base = match call.word(Gpr::Rdx) {
        0 => *ports::COM1.start(),
        1 => *ports::COM2.start(),
        _ => {
            call.set_high(Gpr::Rax, SERIAL_TIMEOUT);
            return Then::Return;
        }
    };
    let line = call.input(base + LINE_STATUS);
    match call.high(Gpr::Rax) {
        1 if line & HOLDING_EMPTY != 0 => {
            call.output(base, call.low(Gpr::Rax));
            call.set_high(Gpr::Rax, line);
        }
        2 if line & DATA_READY != 0 => {
            let byte = call.input(base);
            call.set_word(Gpr::Rax, u16::from(line & 0x1e) << 8 | u16::from(byte));
        }
        1 | 2 => call.set_high(Gpr::Rax, SERIAL_TIMEOUT | line & 0x7f),
        function => {
            if function == 0 {
                call.output(base + LINE_CONTROL, EIGHT_BITS);
            }
            let modem = call.input(base + MODEM_STATUS);
            call.set_word(Gpr::Rax, u16::from(line) << 8 | u16::from(modem));
        }
    }
    Then::Return
}

pub(super) fn clock<V: Vcpu, P: Pc>(call: &mut Call<'_, V, P>) -> Then {
    let read = |call: &Call<'_, V, P>, register| {
        call.output(RTC_INDEX, register);
        call.input(RTC_DATA)
    };
    let is_done = match call.high(Gpr::Rax) {
        0 => {
            let ticks = call.read_u32(area::TICKS);
            let midnight = call.read_u8(area::MIDNIGHT);
            call.write(area::MIDNIGHT, &[0]);
            call.set_word(Gpr::Rcx, (ticks >> 16) as u16);
            call.set_word(Gpr::Rdx, ticks as u16);
            call.set_low(Gpr::Rax, midnight);
            true
        }
        1 => {
            let ticks = [call.word(Gpr::Rdx), call.word(Gpr::Rcx)].map(u16::to_le_bytes);
            call.write(area::TICKS, ticks.as_flattened());
            call.write(area::MIDNIGHT, &[0]);
            true
        }
        2 => {
            call.set_high(Gpr::Rcx, read(call, HOURS));
            call.set_low(Gpr::Rcx, read(call, MINUTES));
            call.set_high(Gpr::Rdx, read(call, SECONDS));
            call.set_low(Gpr::Rdx, 0);
            true
        }
        4 => {
            call.set_high(Gpr::Rcx, read(call, CENTURY));
            call.set_low(Gpr::Rcx, read(call, YEAR));
            call.set_high(Gpr::Rdx, read(call, MONTH));
            call.set_low(Gpr::Rdx, read(call, DAY));
            true
        }
        0xb1 => {
            call.set_high(Gpr::Rax, PCI_UNSUPPORTED);
            false
        }
        _ => false,
    };
    call.set_failed(!is_done);
    Then::Return
}
