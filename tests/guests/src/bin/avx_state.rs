//! x87, SSE and AVX registers survive every kind of exit, and other VMs on the same CPU.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![expect(unsafe_code, reason = "instructions under test")]

use core::arch::asm;
use test_guests::apic::{self, TimerMode};
use test_guests::cpu::{CR4_OSXSAVE, cpuid, rdtsc, read_cr4, write_cr4};
use test_guests::trap::{self, EndOfInterrupt};
use test_guests::{Outcome, cpu, equal, guest, mmio, port, that};

guest!(test);

const VECTOR: u8 = 0x44;
const CR4_OSFXSR: u64 = 1 << 9;
const REGISTERS: usize = 16;
const ROUNDS: u64 = 200;

/// Sixteen registers of 32 bytes.
#[repr(C, align(32))]
struct Image([[u64; 4]; REGISTERS]);

macro_rules! all {
    ($name:ident, $load:literal, $store:literal, $size:literal) => {
        mod $name {
            use super::*;
            pub(super) fn load(image: &Image) {
                // SAFETY: the image is as large as the registers; no Rust code of this program uses them.
                unsafe {
                    asm!(
                        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
                        concat!($load, "\\n, [rdi + 32 * \\n]"),
                        ".endr",
                        in("rdi") image,
                    );
                }
            }
            pub(super) fn store(image: &mut Image) {
                // SAFETY: as for loading.
                unsafe {
                    asm!(
                        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
                        concat!($store, " [rdi + 32 * \\n], ", $size, "\\n"),
                        ".endr",
                        in("rdi") image,
                    );
                }
            }
        }
    };
}

all!(avx, "vmovups ymm", "vmovups", "ymm");
all!(sse, "movups xmm", "movups", "xmm");

fn pattern(seed: u64, width: usize) -> Image {
    let mut image = Image([[0; 4]; REGISTERS]);
    let mut value = seed | 1;
    for register in &mut image.0 {
        for word in &mut register[..width] {
            value = value
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *word = value;
        }
    }
    image
}

fn test() -> Outcome {
    write_cr4(read_cr4() | CR4_OSFXSR);
    let features = cpuid(1, 0).ecx;
    let has_avx = features & (1 << 26) != 0 && features & (1 << 28) != 0;
    if has_avx {
        write_cr4(read_cr4() | CR4_OSXSAVE);
        // SAFETY: x87, SSE and AVX are offered.
        unsafe { asm!("xsetbv", in("ecx") 0, in("eax") 7, in("edx") 0) };
    }
    type Load = fn(&Image);
    type Store = fn(&mut Image);
    let (load, store, width): (Load, Store, usize) = if has_avx {
        (avx::load, avx::store, 4)
    } else {
        (sse::load, sse::store, 2)
    };

    apic::enable();
    trap::end_by(EndOfInterrupt::LocalApic);
    apic::set_timer(TimerMode::OneShot, VECTOR);
    let control: u16 = 0x027f;
    let status: u32 = 0x5f80;
    // SAFETY: sets the precision, all exceptions masked; nothing of this program computes with them.
    unsafe {
        asm!("fninit", "fldcw [{}]", "fldpi", "ldmxcsr [{}]", in(reg) &raw const control, in(reg) &raw const status)
    };

    for round in 0..ROUNDS {
        let wanted = pattern(rdtsc(), width);
        let mut got = Image([[0; 4]; REGISTERS]);
        load(&wanted);
        exits(round)?;
        store(&mut got);
        for (got, wanted) in got.0.as_flattened().iter().zip(wanted.0.as_flattened()) {
            equal("a vector register changed", *got, *wanted)?;
        }
    }
    let (mut control_after, mut status_after, mut top) = (0u16, 0u32, 0u64);
    // SAFETY: stores to locals.
    unsafe {
        asm!("fnstcw [{}]", "stmxcsr [{}]", "fstp qword ptr [{}]",
            in(reg) &raw mut control_after, in(reg) &raw mut status_after, in(reg) &raw mut top);
    }
    equal("x87 control word", control_after.into(), control.into())?;
    equal("MXCSR", status_after.into(), status.into())?;
    equal("x87 ST0", top, core::f64::consts::PI.to_bits())
}

/// One exit of every common kind.
fn exits(round: u64) -> Outcome {
    let _ = cpuid(0, 0);
    let _ = port::in8(0x1234);
    port::out8(0x1234, 0);
    let _ = mmio::read32(0xfec0_0000);
    let _ = mmio::read32(0xfec8_0000);
    let _ = cpu::rdmsr(0x1b);
    if round.is_multiple_of(20) {
        let before = trap::count(VECTOR);
        apic::set_initial_count(50_000);
        cpu::sti_hlt_cli();
        that("no timer interrupt", trap::count(VECTOR) != before)?;
    }
    Ok(())
}
