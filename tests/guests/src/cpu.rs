//! Instructions.

use core::arch::asm;
use core::arch::x86_64::CpuidResult;

/// CPUID.
#[must_use]
pub fn cpuid(leaf: u32, subleaf: u32) -> CpuidResult {
    core::arch::x86_64::__cpuid_count(leaf, subleaf)
}

/// RDTSC.
#[must_use]
pub fn rdtsc() -> u64 {
    // SAFETY: CR4.TSD is clear.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// RDMSR. Faults when there is no such MSR: see [`crate::catch`].
#[must_use]
pub fn rdmsr(index: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reading an MSR changes nothing a Rust program could see; a fault ends in the trap handler.
    unsafe {
        asm!("rdmsr", in("ecx") index, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// WRMSR. Faults when the MSR refuses.
pub fn wrmsr(index: u32, value: u64) {
    // SAFETY: the tests write MSRs of the interrupt controller and the clock, and others only to be refused.
    unsafe {
        asm!("wrmsr", in("ecx") index, in("eax") value as u32, in("edx") (value >> 32) as u32,
            options(nostack, preserves_flags));
    }
}

macro_rules! control_register {
    ($read:ident, $write:ident, $name:literal) => {
        #[doc = concat!("Reads ", $name, ".")]
        #[must_use]
        pub fn $read() -> u64 {
            let value: u64;
            // SAFETY: reading has no effect.
            unsafe { asm!(concat!("mov {}, ", $name), out(reg) value, options(nomem, nostack, preserves_flags)) };
            value
        }

        #[doc = concat!("Writes ", $name, ". The caller keeps paging as the program needs it.")]
        pub fn $write(value: u64) {
            // SAFETY: the tests change only bits that leave paging and long mode as they are.
            unsafe { asm!(concat!("mov ", $name, ", {}"), in(reg) value, options(nostack, preserves_flags)) };
        }
    };
}

control_register!(read_cr0, write_cr0, "cr0");
control_register!(read_cr2, write_cr2, "cr2");
control_register!(read_cr3, write_cr3, "cr3");
control_register!(read_cr4, write_cr4, "cr4");
control_register!(read_cr8, write_cr8, "cr8");

/// CR4.OSXSAVE.
pub const CR4_OSXSAVE: u64 = 1 << 18;

/// Allows interrupts, after the next instruction.
pub fn sti() {
    // SAFETY: the IDT has a handler for every vector.
    unsafe { asm!("sti", options(nostack)) };
}

/// Forbids interrupts.
pub fn cli() {
    // SAFETY: nothing waits for an interrupt without allowing it again.
    unsafe { asm!("cli", options(nostack)) };
}

/// Lets in what is pending: STI alone holds interrupts off for the next instruction.
pub fn let_in() {
    // SAFETY: the IDT has a handler for every vector.
    unsafe { asm!("sti", "nop", "nop", "cli", options(nostack)) };
}

/// STI and HLT in one go: an interrupt that is pending ends the HLT.
pub fn sti_hlt_cli() {
    // SAFETY: the IDT has a handler for every vector.
    unsafe { asm!("sti", "hlt", "cli", options(nostack)) };
}

/// Whether interrupts are allowed.
#[must_use]
pub fn are_interrupts_on() -> bool {
    const INTERRUPT_FLAG: u64 = 1 << 9;
    let rflags: u64;
    // SAFETY: the flags are pushed and popped again.
    unsafe { asm!("pushfq", "pop {}", out(reg) rflags, options(preserves_flags)) };
    rflags & INTERRUPT_FLAG != 0
}

/// RDTSC, not before all loads above it. (Intel SDM vol. 2B, RDTSC)
#[must_use]
pub fn rdtsc_behind_loads() -> u64 {
    // SAFETY: LFENCE has no other effect.
    unsafe { asm!("lfence", options(nostack, preserves_flags)) };
    rdtsc()
}

/// Halts once with interrupts forbidden: only an NMI, INIT or the like ends it.
pub fn hlt_closed() {
    // SAFETY: who calls it is woken by an NMI.
    unsafe { asm!("cli", "hlt", options(nostack)) };
}

/// A little rest for a spinning CPU.
pub fn pause() {
    core::hint::spin_loop();
}

/// Lets so many TSC ticks pass.
pub fn wait(ticks: u64) {
    let start = rdtsc();
    while rdtsc().wrapping_sub(start) < ticks {}
}

/// Halts and never goes on.
pub fn halt_for_ever() -> ! {
    loop {
        // SAFETY: nothing comes after it.
        unsafe { asm!("cli", "hlt", options(nostack)) };
    }
}

/// TSC ticks after which something is not coming any more: seconds on metal, and longer where CPUs are shared.
pub const PATIENCE_TICKS: u64 = 10_000_000_000;

/// Polls until it is so; false when patience ends.
#[must_use]
pub fn poll(mut is_so: impl FnMut() -> bool) -> bool {
    let start = rdtsc();
    loop {
        if is_so() {
            return true;
        }
        if rdtsc().wrapping_sub(start) > PATIENCE_TICKS {
            return false;
        }
        pause();
    }
}
