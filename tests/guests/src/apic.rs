//! The local APIC, in both modes. (Intel SDM vol. 3A chapter 11)

use crate::{cpu, mmio, smp};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

const BASE: u64 = 0xfee0_0000;
const MSR_BASE: u32 = 0x1b;
const X2APIC_MSRS: u32 = 0x800;
const TSC_DEADLINE_MSR: u32 = 0x6e0;

/// Registers, by their offset in the page.
#[allow(missing_docs, reason = "the names are the manual's")]
pub mod register {
    pub const ID: u32 = 0x20;
    pub const VERSION: u32 = 0x30;
    pub const TPR: u32 = 0x80;
    pub const PPR: u32 = 0xa0;
    pub const EOI: u32 = 0xb0;
    pub const LDR: u32 = 0xd0;
    pub const DFR: u32 = 0xe0;
    pub const SVR: u32 = 0xf0;
    pub const ISR: u32 = 0x100;
    pub const IRR: u32 = 0x200;
    pub const ESR: u32 = 0x280;
    pub const ICR_LOW: u32 = 0x300;
    pub const ICR_HIGH: u32 = 0x310;
    pub const LVT_TIMER: u32 = 0x320;
    pub const LVT_LINT0: u32 = 0x350;
    pub const LVT_ERROR: u32 = 0x370;
    pub const INITIAL_COUNT: u32 = 0x380;
    pub const CURRENT_COUNT: u32 = 0x390;
    pub const DIVIDE: u32 = 0x3e0;
}
use register::*;

/// The lower half of ICR, by its fields. (Intel SDM vol. 3A 11.6.1)
#[allow(missing_docs, reason = "the names are the manual's")]
pub mod command {
    pub const FIXED: u32 = 0;
    pub const LOWEST_PRIORITY: u32 = 0b001 << 8;
    pub const NMI: u32 = 0b100 << 8;
    pub const INIT: u32 = 0b101 << 8;
    pub const START_UP: u32 = 0b110 << 8;
    pub const LOGICAL: u32 = 1 << 11;
    pub const ASSERT: u32 = 1 << 14;
    pub const LEVEL: u32 = 1 << 15;
    pub const SELF: u32 = 0b01 << 18;
    pub const ALL: u32 = 0b10 << 18;
    pub const ALL_BUT_SELF: u32 = 0b11 << 18;
}

/// What the timer does at zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the manual's")]
pub enum TimerMode {
    OneShot,
    Periodic,
    TscDeadline,
}

/// Of each CPU.
static IS_X2APIC: [AtomicBool; smp::MOST] = [const { AtomicBool::new(false) }; smp::MOST];

fn is_x2apic() -> bool {
    IS_X2APIC[smp::number()].load(Relaxed)
}

/// Reads a register.
#[must_use]
pub fn read(register: u32) -> u32 {
    if is_x2apic() {
        cpu::rdmsr(X2APIC_MSRS + (register >> 4)) as u32
    } else {
        mmio::read32(BASE + u64::from(register))
    }
}

/// Writes a register.
pub fn write(register: u32, value: u32) {
    if is_x2apic() {
        cpu::wrmsr(X2APIC_MSRS + (register >> 4), u64::from(value));
    } else {
        mmio::write32(BASE + u64::from(register), value);
    }
}

/// Switches the local APIC on, with 0xFF for spurious interrupts.
pub fn enable() {
    const SOFTWARE_ENABLE: u32 = 1 << 8;
    write(SVR, SOFTWARE_ENABLE | 0xff);
}

/// Whether CPUID offers x2APIC.
#[must_use]
pub fn has_x2apic() -> bool {
    cpu::cpuid(1, 0).ecx & (1 << 21) != 0
}

/// Whether CPUID offers the TSC-deadline timer.
#[must_use]
pub fn has_tsc_deadline() -> bool {
    cpu::cpuid(1, 0).ecx & (1 << 24) != 0
}

/// Goes over to x2APIC mode.
pub fn enter_x2apic() {
    const X2APIC_ENABLE: u64 = 1 << 10;
    cpu::wrmsr(MSR_BASE, cpu::rdmsr(MSR_BASE) | X2APIC_ENABLE);
    IS_X2APIC[smp::number()].store(true, Relaxed);
}

/// Tells it that an interrupt was served.
pub fn end_of_interrupt() {
    write(EOI, 0);
}

/// Says in which mode this CPU's local APIC is now, after a change that [`enter_x2apic`] did not make.
pub fn note_mode(is_x2apic: bool) {
    IS_X2APIC[smp::number()].store(is_x2apic, Relaxed);
}

/// Writes ICR: sends `command` to `destination`, of which xAPIC mode takes the low 8 bits.
pub fn send(destination: u32, command: u32) {
    if is_x2apic() {
        let value = u64::from(destination) << 32 | u64::from(command);
        cpu::wrmsr(X2APIC_MSRS + 0x30, value);
    } else {
        write(ICR_HIGH, destination << 24);
        write(ICR_LOW, command);
    }
}

/// What went wrong since the last time: ESR is written before it is read. (Intel SDM vol. 3A 11.5.3)
#[must_use]
pub fn take_errors() -> u32 {
    write(ESR, 0);
    read(ESR)
}

/// Sends ourselves an interrupt.
pub fn send_self(vector: u8) {
    const SELF: u32 = 0b01 << 18;
    const X2APIC_SELF_IPI: u32 = X2APIC_MSRS + 0x3f;
    if is_x2apic() {
        cpu::wrmsr(X2APIC_SELF_IPI, u64::from(vector));
    } else {
        write(ICR_LOW, SELF | u32::from(vector));
    }
}

/// Sends an NMI to ourselves, by our number.
pub fn send_nmi_to_self() {
    const NMI: u32 = 0b100 << 8;
    const ASSERT: u32 = 1 << 14;
    let id = read(ID);
    if is_x2apic() {
        cpu::wrmsr(
            X2APIC_MSRS + 0x30,
            u64::from(id) << 32 | u64::from(NMI | ASSERT),
        );
    } else {
        write(ICR_HIGH, id & 0xff00_0000);
        write(ICR_LOW, NMI | ASSERT);
    }
}

/// Prepares the timer; it counts bus ticks, undivided.
pub fn set_timer(mode: TimerMode, vector: u8) {
    const DIVIDE_BY_1: u32 = 0b1011;
    let mode = match mode {
        TimerMode::OneShot => 0b00,
        TimerMode::Periodic => 0b01,
        TimerMode::TscDeadline => 0b10,
    };
    write(DIVIDE, DIVIDE_BY_1);
    write(LVT_TIMER, mode << 17 | u32::from(vector));
}

/// Starts the timer; 0 stops it.
pub fn set_initial_count(count: u32) {
    write(INITIAL_COUNT, count);
}

/// Sets the TSC value at which the timer fires; 0 disarms.
pub fn set_deadline(tsc: u64) {
    cpu::wrmsr(TSC_DEADLINE_MSR, tsc);
}

/// Reads the deadline: 0 once it fired.
#[must_use]
pub fn deadline() -> u64 {
    cpu::rdmsr(TSC_DEADLINE_MSR)
}

/// Whether a vector's bit is set in the in-service ([`register::ISR`]) or request ([`register::IRR`]) register.
#[must_use]
pub fn bit(bank: u32, vector: u8) -> bool {
    read(bank + u32::from(vector / 32) * 0x10) & (1 << (vector % 32)) != 0
}

/// Lets the PIC's interrupts through.
pub fn accept_pic() {
    const EXT_INT: u32 = 0b111 << 8;
    write(LVT_LINT0, EXT_INT);
}
