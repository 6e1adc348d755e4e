//! Not a test by itself: computes all the time, and says every half second how much it has done.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::hint::black_box;
use test_guests::{Outcome, cpu, guest, println, that};

guest!(test);

/// KVM's leaf with the TSC's frequency in kHz.
const FREQUENCY: u32 = 0x4000_0010;
/// Between two reports.
const PERIOD_MS: u64 = 500;
/// Steps of one piece of work.
const STEPS: u32 = 2_000;

fn test() -> Outcome {
    let ticks_per_ms = u64::from(cpu::cpuid(FREQUENCY, 0).eax);
    that("the TSC's frequency is not told", ticks_per_ms != 0)?;
    // Bochs holds interrupts back, the hypervisor's too, from a guest that is closed to them.
    cpu::sti();
    let mut next = cpu::rdtsc();
    let mut pieces = 0u64;
    let mut value = 1u64;
    loop {
        for _ in 0..STEPS {
            value = black_box(value.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1));
        }
        pieces += 1;
        let now = cpu::rdtsc();
        if now >= next {
            println!("work {pieces} at {}", now / ticks_per_ms);
            next = now + PERIOD_MS * ticks_per_ms;
        }
    }
}
