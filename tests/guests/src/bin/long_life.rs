//! Not a test by itself: keeps state of every kind and goes on computing; a line typed makes it look whether all of it is as it should be,
//! `quit` ends it with a verdict, too. Between two lines it may have been paused, saved, and restored elsewhere.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![expect(unsafe_code, reason = "instructions under test")]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use test_guests::apic::{self, TimerMode};
use test_guests::cpu::{self, CR4_OSXSAVE, cpuid, rdmsr, read_cr4, write_cr4, wrmsr};
use test_guests::trap::{self, EndOfInterrupt};
use test_guests::{Outcome, equal, guest, ioapic, port, println, serial, that};

guest!(test);

const VECTOR: u8 = 0x45;
const PERIOD: u32 = 2_000_000;
const CR4_OSFXSR: u64 = 1 << 9;
const REGISTERS: usize = 16;
const LINE_BYTES: usize = 16;
/// Of the computation, between two looks at the rest of the world.
const STEPS: u64 = 100;
/// A pin nobody drives, routed somewhere.
const PIN: u8 = 21;
const PIN_VECTOR: u8 = 0x77;

/// MSRs that hold what they are given: SYSENTER_CS, _ESP and _EIP, STAR, LSTAR, CSTAR, FMASK, KERNEL_GS_BASE.
const MSRS: [(u32, u64); 8] = [
    (0x174, 0x10),
    (0x175, 0xffff_8000_1234_5678),
    (0x176, 0xffff_8000_8765_4321),
    (0xc000_0081, 0x0023_0010_0000_0000),
    (0xc000_0082, 0xffff_8000_0000_1111),
    (0xc000_0083, 0xffff_8000_0000_2222),
    (0xc000_0084, 0x0004_7700),
    (0xc000_0102, 0xffff_9000_0000_3333),
];
const DEBUG: [u64; 4] = [0x1111_1000, 0x2222_2000, 0x3333_3000, 0x4444_4000];

/// What memory holds, word for word.
static MEMORY: [AtomicU64; 64 << 10] = [const { AtomicU64::new(0) }; 64 << 10];

/// Sixteen vector registers of 32 bytes.
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

/// One step of the computation.
const fn step(value: u64) -> u64 {
    value
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1)
}

fn pattern(width: usize) -> Image {
    let mut image = Image([[0; 4]; REGISTERS]);
    let mut value = 7;
    for register in &mut image.0 {
        for word in &mut register[..width] {
            value = step(value);
            *word = value;
        }
    }
    image
}

fn has_avx() -> bool {
    let features = cpuid(1, 0).ecx;
    features & (1 << 26) != 0 && features & (1 << 28) != 0
}

fn set_up() {
    write_cr4(read_cr4() | CR4_OSFXSR);
    let (status, control): (u32, u16) = (0x5f80, 0x027f);
    // SAFETY: sets rounding and precision, all exceptions masked; nothing of this program computes with them.
    unsafe {
        asm!("fninit", "fldcw [{}]", "fldpi", "ldmxcsr [{}]", in(reg) &raw const control, in(reg) &raw const status)
    };
    if has_avx() {
        write_cr4(read_cr4() | CR4_OSXSAVE);
        // SAFETY: x87, SSE and AVX are offered.
        unsafe { asm!("xsetbv", in("ecx") 0, in("eax") 7, in("edx") 0) };
        avx::load(&pattern(4));
    } else {
        sse::load(&pattern(2));
    }
    for (index, value) in MSRS {
        wrmsr(index, value);
    }
    // SAFETY: breakpoints that DR7 leaves off; nothing faults, so CR2 is free.
    unsafe {
        asm!("mov dr0, {}", "mov dr1, {}", "mov dr2, {}", "mov dr3, {}", "mov cr2, {}",
            in(reg) DEBUG[0], in(reg) DEBUG[1], in(reg) DEBUG[2], in(reg) DEBUG[3], in(reg) 0x5555_u64)
    };
    let mut value = 9;
    for word in &MEMORY {
        value = step(value);
        word.store(value, Ordering::Relaxed);
    }
    port::out8(serial::SCRATCH, 0xa5);
    ioapic::route(PIN, PIN_VECTOR, ioapic::Trigger::Edge);
    apic::enable();
    trap::end_by(EndOfInterrupt::LocalApic);
    apic::set_timer(TimerMode::Periodic, VECTOR);
    apic::set_initial_count(PERIOD);
}

fn vector_registers() -> Outcome {
    let mut got = Image([[0; 4]; REGISTERS]);
    let wanted = if has_avx() {
        avx::store(&mut got);
        pattern(4)
    } else {
        sse::store(&mut got);
        pattern(2)
    };
    for (got, wanted) in got.0.as_flattened().iter().zip(wanted.0.as_flattened()) {
        equal("a vector register", *got, *wanted)?;
    }
    let (mut control, mut status, mut top) = (0u16, 0u32, 0u64);
    // SAFETY: stores to locals, and puts the number back that it takes.
    unsafe {
        asm!("fnstcw [{}]", "stmxcsr [{}]", "fst qword ptr [{}]",
            in(reg) &raw mut control, in(reg) &raw mut status, in(reg) &raw mut top);
    }
    equal("x87 control word", control.into(), 0x027f)?;
    equal("MXCSR", status.into(), 0x5f80)?;
    equal("x87 ST0", top, core::f64::consts::PI.to_bits())
}

fn registers() -> Outcome {
    for (index, value) in MSRS {
        equal("an MSR", rdmsr(index), value)?;
    }
    let (mut dr, mut cr2) = ([0u64; 4], 0u64);
    // SAFETY: reads registers.
    unsafe {
        asm!("mov {}, dr0", "mov {}, dr1", "mov {}, dr2", "mov {}, dr3", "mov {}, cr2",
            out(reg) dr[0], out(reg) dr[1], out(reg) dr[2], out(reg) dr[3], out(reg) cr2)
    };
    for (got, wanted) in dr.into_iter().zip(DEBUG) {
        equal("a debug register", got, wanted)?;
    }
    equal("CR2", cr2, 0x5555)
}

fn memory_and_devices() -> Outcome {
    let mut value = 9;
    for word in &MEMORY {
        value = step(value);
        equal("memory", word.load(Ordering::Relaxed), value)?;
    }
    equal("UART scratch", port::in8(serial::SCRATCH).into(), 0xa5)?;
    equal(
        "IOAPIC vector",
        (ioapic::entry(PIN) & 0xff).into(),
        PIN_VECTOR.into(),
    )?;
    let before = trap::count(VECTOR);
    for _ in 0..3 {
        cpu::sti_hlt_cli();
    }
    that("the timer ticks", trap::count(VECTOR) > before)
}

/// The computation and what it rests on.
#[derive(Clone, Copy)]
struct Work {
    steps: u64,
    value: u64,
    last_tsc: u64,
}

impl Work {
    fn go_on(&mut self) -> Outcome {
        for _ in 0..STEPS {
            self.value = step(self.value);
        }
        self.steps += STEPS;
        let tsc = cpu::rdtsc();
        that("the TSC went back", tsc > self.last_tsc)?;
        self.last_tsc = tsc;
        Ok(())
    }

    fn check(&self) -> Outcome {
        let mut value = 1;
        for _ in 0..self.steps {
            value = step(value);
        }
        equal("the computation", self.value, value)?;
        vector_registers()?;
        registers()?;
        memory_and_devices()
    }
}

fn test() -> Outcome {
    set_up();
    println!("long life up");
    let mut work = Work {
        steps: 0,
        value: 1,
        last_tsc: 0,
    };
    let mut line = [0u8; LINE_BYTES];
    let mut len = 0;
    loop {
        work.go_on()?;
        // Halted most of the time: a pause may come there as well as in the middle of something.
        cpu::sti_hlt_cli();
        match serial::receive() {
            Some(b'\r' | b'\n') => {
                work.check()?;
                let text = core::str::from_utf8(&line[..len]).unwrap_or("?");
                println!("{text}: all well after {} steps", work.steps);
                if text == "quit" {
                    return Ok(());
                }
                len = 0;
            }
            Some(byte) if len < LINE_BYTES => {
                line[len] = byte;
                len += 1;
            }
            Some(_) | None => {}
        }
    }
}
