//! Privileged and special instructions, one function each.

use core::arch::asm;

/// Stops this CPU until the next interrupt, NMI or SMI; interrupts stay as they are.
pub fn halt() {
    // SAFETY: HLT changes no memory and no register; the hypervisor runs at ring 0.
    unsafe { asm!("hlt", options(nomem, nostack, preserves_flags)) };
}

/// Parks this CPU for good, interrupts off.
pub fn halt_forever() -> ! {
    loop {
        disable_interrupts();
        halt();
    }
}

/// Tells the CPU that this is a spin loop.
pub fn pause() {
    core::hint::spin_loop();
}

/// Turns interrupts off: the state the hypervisor always runs in.
pub fn disable_interrupts() {
    // SAFETY: CLI only clears RFLAGS.IF.
    unsafe { asm!("cli", options(nomem, nostack)) };
}

/// Sleeps until an interrupt arrives and takes it, unless one is noted already.
///
/// The check, STI and HLT leave no gap: interrupts are off during the check, and STI holds them off for one
/// more instruction, so an interrupt that comes after the check ends the HLT. What arrived is in
/// [`CpuArea::take_interrupt`](crate::CpuArea::take_interrupt).
pub fn idle() {
    if crate::this().has_interrupt() {
        return;
    }
    // SAFETY: the IDT of this CPU is loaded (see `init_cpu`); the stubs preserve every register and touch
    // only atomics of this CPU's area.
    unsafe { asm!("sti", "hlt", "cli", options(nostack)) };
}

/// Lets pending physical interrupts in for a moment; each leaves its bit in the CPU's area.
pub fn interrupt_window() {
    // SAFETY: as in `idle`. STI shadows one instruction, hence the NOP.
    unsafe { asm!("sti", "nop", "cli", options(nostack)) };
}

/// Reads the time-stamp counter. Not ordered against surrounding instructions.
#[inline(always)]
pub fn read_tsc() -> u64 {
    // SAFETY: RDTSC has no effect but its result.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Reads the time-stamp counter after all earlier instructions and before all later ones.
/// (Intel SDM vol. 2B RDTSC; AMD APM vol. 3 LFENCE)
#[inline]
pub fn read_tsc_ordered() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: LFENCE and RDTSC have no effect but the result. Not `nomem`: the compiler is not to
    // move loads and stores across it either.
    unsafe {
        asm!("lfence", "rdtsc", "lfence", out("eax") low, out("edx") high,
            options(nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Drops one page from this CPU's TLB.
pub fn invalidate_page(address: usize) {
    // SAFETY: a TLB entry that goes is only read again from the tables.
    unsafe { asm!("invlpg [{}]", in(reg) address, options(nostack, preserves_flags)) };
}

/// Writes back and invalidates all caches of this CPU.
pub fn write_back_invalidate() {
    // SAFETY: WBINVD changes no architectural state.
    unsafe { asm!("wbinvd", options(nostack, preserves_flags)) };
}

macro_rules! read_register {
    ($name:ident, $register:literal) => {
        #[doc = concat!("Reads ", $register, ".")]
        pub fn $name() -> u64 {
            let value: u64;
            // SAFETY: reading a control register has no effect but its result.
            unsafe {
                asm!(concat!("mov {}, ", $register), out(reg) value, options(nomem, nostack, preserves_flags));
            }
            value
        }
    };
}
macro_rules! write_register {
    ($name:ident, $register:literal) => {
        #[doc = concat!("Writes ", $register, ".")]
        ///
        /// # Safety
        /// The new value keeps the running code, its stack and its data mapped and accessible, and is one this
        /// CPU accepts.
        pub unsafe fn $name(value: u64) {
            // SAFETY: the caller's promise.
            unsafe { asm!(concat!("mov ", $register, ", {}"), in(reg) value, options(nostack, preserves_flags)) };
        }
    };
}
read_register!(read_cr0, "cr0");
read_register!(read_cr2, "cr2");
read_register!(read_cr3, "cr3");
read_register!(read_cr4, "cr4");
write_register!(write_cr0, "cr0");
write_register!(write_cr3, "cr3");
write_register!(write_cr4, "cr4");

/// Writes CR2.
pub fn write_cr2(value: u64) {
    // SAFETY: CR2 only reports; the hypervisor's own page faults are fatal, so nobody waits for
    // what it held.
    unsafe { asm!("mov cr2, {}", in(reg) value, options(nomem, nostack, preserves_flags)) };
}

/// Reads XCR0. CR4.OSXSAVE must be on, as `enable_host_features` leaves it where XSAVE exists.
pub fn read_xcr0() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: XGETBV of XCR0 has no effect but its result.
    unsafe {
        asm!("xgetbv", in("ecx") 0u32, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}
