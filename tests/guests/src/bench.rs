//! What the measuring guests share: marks for the counter outside, and times by the TSC.

use crate::cpu::{self, rdtsc};

/// Says to whoever counts from outside that phase `N`, 1 to 255, begins.
#[macro_export]
macro_rules! begin_phase {
    ($phase:expr) => {
        // SAFETY: a NOP.
        unsafe {
            core::arch::asm!(".byte 0x0f, 0x1f, 0x84, 0x00", ".long {}", const 0xca15_b000u32 + $phase)
        }
    };
}

/// Says that phase `N` ends.
#[macro_export]
macro_rules! end_phase {
    ($phase:expr) => {
        // SAFETY: a NOP.
        unsafe {
            core::arch::asm!(".byte 0x0f, 0x1f, 0x84, 0x00", ".long {}", const 0xca15_e000u32 + $phase)
        }
    };
}

/// Phases, by the number in their marks; `tests/machine` knows the same.
#[allow(missing_docs, reason = "each is the key of the result")]
pub mod phase {
    pub const CPUID: u32 = 1;
    pub const PIO_OUT: u32 = 2;
    pub const UART_IN: u32 = 3;
    pub const IOAPIC_READ: u32 = 4;
    pub const MSR_WRITE: u32 = 5;
    pub const HLT_WAKE: u32 = 6;
    pub const SELF_IPI: u32 = 7;
    pub const TSC_DEADLINE: u32 = 8;
    pub const REP_OUTS: u32 = 9;
    pub const REP_INS: u32 = 10;
    pub const XAPIC_SELF_IPI: u32 = 11;
    pub const IPI_ROUND_TRIP: u32 = 12;
    pub const HLT_WAKE_IPI: u32 = 13;
    pub const SCALE_1: u32 = 21;
    pub const SCALE_2: u32 = 22;
    pub const SCALE_4: u32 = 24;
    pub const SCALE_8: u32 = 28;
}

/// Ticks of so many calls.
pub fn time(rounds: u64, mut operation: impl FnMut()) -> u64 {
    let start = rdtsc();
    for _ in 0..rounds {
        operation();
    }
    rdtsc().wrapping_sub(start)
}

/// Average ticks of a call, from the ticks of all: without what an empty loop takes.
pub fn each(rounds: u64, total: u64) -> u64 {
    let empty = time(rounds, || core::hint::black_box(()));
    total.saturating_sub(empty) / rounds
}

/// How many vCPUs there are. (Intel SDM vol. 2A "CPUID" leaf 0BH)
#[must_use]
pub fn vcpus() -> usize {
    let count = cpu::cpuid(0xb, 1).ebx & 0xffff;
    (count as usize).clamp(1, crate::smp::MOST)
}

/// Waits until it is so, without a PAUSE, which may exit.
pub fn spin_until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        core::hint::black_box(());
    }
}

/// Waits until another vCPU makes it so. The PAUSE lets it, in an emulator whose CPUs take turns.
pub fn rest_until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        cpu::pause();
    }
}

/// Sleeps until it is so; whoever makes it so sends an interrupt.
pub fn sleep_until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        cpu::sti_hlt_cli();
    }
}
