//! Interrupts to other CPUs. (Intel SDM vol. 3A 12.6)

use core::hint::spin_loop;

use cpu::msr::{X2APIC_BASE, write_msr};

use crate::local::{Mode, mode};
use crate::registers::{Register, read, write};

const NMI: u32 = 4 << 8;
const INIT: u32 = 5 << 8;
const STARTUP: u32 = 6 << 8;
const ASSERT: u32 = 1 << 14;
const ALL_BUT_SELF: u32 = 3 << 18;
const DELIVERY_PENDING: u32 = 1 << 12;

/// Sends a vector to one CPU.
#[inline]
pub fn send_interrupt(apic_id: u32, vector: u8) {
    command(apic_id, ASSERT | u32::from(vector));
}

/// Sends INIT to one CPU.
pub fn send_init(apic_id: u32) {
    command(apic_id, ASSERT | INIT);
}

/// Sends INIT to all other CPUs.
pub fn broadcast_init() {
    command(0, ASSERT | INIT | ALL_BUT_SELF);
}

/// Makes one CPU in wait-for-SIPI state start in real mode at `page * 4096`.
pub fn send_startup(apic_id: u32, page: u8) {
    command(apic_id, ASSERT | STARTUP | u32::from(page));
}

/// As [`send_startup`], to all other CPUs.
pub fn broadcast_startup(page: u8) {
    command(0, ASSERT | STARTUP | ALL_BUT_SELF | u32::from(page));
}

/// Sends NMI to all other CPUs. Waits for nothing: a panic does this.
pub fn broadcast_nmi() {
    command(0, ASSERT | NMI | ALL_BUT_SELF);
}

#[inline]
fn command(destination: u32, low: u32) {
    match mode() {
        Mode::X2Apic => {
            // WRMSR to the ICR does not wait for earlier stores; what we signal must be visible first.
            core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
            let icr = X2APIC_BASE + Register::IcrLow as u32;
            // SAFETY: x2APIC mode is on; the CPUs aimed at run hypervisor code or wait for SIPI.
            unsafe { write_msr(icr, u64::from(destination) << 32 | u64::from(low)) };
        }
        Mode::XApic => {
            wait_until_sent();
            write(Register::IcrHigh, destination << 24);
            write(Register::IcrLow, low);
        }
    }
}

/// Waits, not for ever: an APIC that never gets rid of a message must not hang the hypervisor.
fn wait_until_sent() {
    for _ in 0..100_000 {
        if read(Register::IcrLow) & DELIVERY_PENDING == 0 {
            return;
        }
        spin_loop();
    }
}
