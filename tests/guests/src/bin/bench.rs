//! What an exit costs, in TSC ticks: where the TSC counts instructions, in instructions of the hypervisor.
//!
//! Marks around each measurement let an emulator count from outside as well. At the end the other vCPUs, if there are any, join in:
//! the cost of a CPUID with 1, 2, 4 and 8 of them busy can only be counted from outside.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![expect(
    unsafe_code,
    reason = "string instructions, and marks for the counter outside"
)]

use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use test_guests::apic::{self, TimerMode, command};
use test_guests::bench::{each, phase, sleep_until, spin_until, time, vcpus};
use test_guests::cpu::{cpuid, rdtsc, wrmsr};
use test_guests::trap::{self, EndOfInterrupt};
use test_guests::{
    Outcome, begin_phase, cpu, end_phase, guest, mmio, port, println, serial, smp, that,
};

guest!(test);

const ROUNDS: u64 = 1000;
const HLT_ROUNDS: u64 = 100;
const STRING_ROUNDS: u64 = 50;
const STRING_BYTES: u64 = 4096;
/// How many CPUIDs each busy vCPU executes: long enough for several turns.
const SCALE_ROUNDS: u64 = 20_000;
const VECTOR: u8 = 0x46;
const WAKE: u8 = 0x47;
const TSC_DEADLINE: u32 = 0x6e0;
const X2APIC_EOI: u32 = 0x80b;
const IO_APIC_WINDOW: u64 = 0xfec0_0010;
const EMPTY_PORT: u16 = 0x1234;
const FW_CFG_SELECTOR: u16 = 0x510;
const FW_CFG_DATA: u16 = 0x511;
/// The item that holds the kernel: some kilobytes.
const FW_CFG_KERNEL: u16 = 0x11;
/// A page of ours that nothing else uses.
const BUFFER: u64 = 0x4000;

/// Average ticks of one call in a phase of its own.
macro_rules! cost {
    ($phase:expr, $rounds:expr, $operation:expr) => {{
        let operation = $operation;
        // The first calls are made for caches, and for what is set up once.
        for _ in 0..10 {
            operation();
        }
        begin_phase!($phase);
        let total = time($rounds, operation);
        end_phase!($phase);
        each($rounds, total)
    }};
}

fn test() -> Outcome {
    let cpuid_cost = cost!(phase::CPUID, ROUNDS, || one_cpuid());
    let pio_out = cost!(phase::PIO_OUT, ROUNDS, || port::out8(EMPTY_PORT, 0));
    let uart_in = cost!(phase::UART_IN, ROUNDS, || test_guests::discard(port::in8(
        serial::LSR
    )));
    let ioapic_read = cost!(phase::IOAPIC_READ, ROUNDS, || {
        test_guests::discard(mmio::read32(IO_APIC_WINDOW))
    });
    // Past its end the item reads as zeros, and nothing is written.
    port::out16(FW_CFG_SELECTOR, FW_CFG_KERNEL);
    let rep_outs = cost!(phase::REP_OUTS, STRING_ROUNDS, || rep_outs8(FW_CFG_DATA));
    let rep_ins = cost!(phase::REP_INS, STRING_ROUNDS, || rep_ins8(FW_CFG_DATA));

    apic::enable();
    trap::end_by(EndOfInterrupt::LocalApic);
    let handler = handler_cost();
    let xapic_self_ipi = cost!(phase::XAPIC_SELF_IPI, ROUNDS, || self_ipi());
    // The rest by MSR where that is offered.
    if apic::has_x2apic() {
        apic::enter_x2apic();
    }
    let msr_write = if apic::has_x2apic() {
        cost!(phase::MSR_WRITE, ROUNDS, || wrmsr(X2APIC_EOI, 0))
    } else {
        cost!(phase::MSR_WRITE, ROUNDS, || wrmsr(TSC_DEADLINE, 0))
    };
    let before = trap::count(VECTOR);
    let self_ipi = cost!(phase::SELF_IPI, ROUNDS, || self_ipi());
    that(
        "a self IPI was lost",
        u64::from(trap::count(VECTOR) - before) >= ROUNDS,
    )?;
    let tsc_deadline = tsc_deadline();
    let before = trap::count(VECTOR);
    let hlt_wake = hlt_wake();
    that(
        "a HLT was not woken by its timer",
        u64::from(trap::count(VECTOR) - before) >= HLT_ROUNDS,
    )?;
    println!(
        "bench: results cpuid={cpuid_cost} pio_out={pio_out} uart_in={uart_in} ioapic_read={ioapic_read} \
         msr_write={msr_write} hlt_wake={hlt_wake} self_ipi={} xapic_self_ipi={} \
         tsc_deadline={} rep_outs_per_byte={rep_outs} \
         rep_ins_per_byte={rep_ins}",
        self_ipi.saturating_sub(handler),
        xapic_self_ipi.saturating_sub(handler),
        tsc_deadline.saturating_sub(handler),
    );
    scale()
}

fn one_cpuid() {
    test_guests::discard(core::hint::black_box(cpuid(0, 0)));
}

fn rep_outs8(to: u16) {
    // SAFETY: only the buffer is read; the port takes any byte.
    unsafe {
        asm!("rep outsb", in("dx") to, inout("rcx") STRING_BYTES => _, inout("rsi") BUFFER => _)
    };
}

fn rep_ins8(from: u16) {
    // SAFETY: the bytes written lie in the buffer, which no Rust value occupies.
    unsafe {
        asm!("rep insb", in("dx") from, inout("rcx") STRING_BYTES => _, inout("rdi") BUFFER => _)
    };
}

/// Sent, taken, ended.
fn self_ipi() {
    cpu::sti();
    apic::send_self(VECTOR);
    cpu::cli();
}

/// What our own handler takes of a measurement, without the end of the interrupt, which exits.
fn handler_cost() -> u64 {
    trap::end_by(EndOfInterrupt::None);
    let total = time(ROUNDS, || {
        // SAFETY: the vector has a handler.
        unsafe { asm!("int 0x46") };
    });
    trap::end_by(EndOfInterrupt::LocalApic);
    each(ROUNDS, total)
}

fn set_timer() {
    if apic::has_tsc_deadline() {
        apic::set_timer(TimerMode::TscDeadline, VECTOR);
    } else {
        apic::set_timer(TimerMode::OneShot, VECTOR);
    }
}

fn arm(has_deadline: bool, after: u64) -> u64 {
    let at = rdtsc() + after;
    if has_deadline {
        apic::set_deadline(at);
    } else {
        apic::set_initial_count(after as u32);
    }
    at
}

/// Sets a deadline, works on, takes the interrupt and ends it: what the setting took and what came after the deadline.
fn tsc_deadline() -> u64 {
    const NEAR: u64 = 20_000;
    set_timer();
    let has_deadline = apic::has_tsc_deadline();
    let mut total = 0;
    cpu::sti();
    begin_phase!(phase::TSC_DEADLINE);
    for _ in 0..ROUNDS {
        let before = trap::count(VECTOR);
        let start = rdtsc();
        let at = arm(has_deadline, NEAR);
        total += rdtsc() - start;
        spin_until(|| trap::count(VECTOR) != before);
        total += rdtsc().saturating_sub(at);
    }
    end_phase!(phase::TSC_DEADLINE);
    cpu::cli();
    total / ROUNDS
}

/// Sets the timer, halts, takes the interrupt and ends it; the time slept is left out as far as it is known.
///
/// A clock that counts instructions leaps over sleep, so this is what is done from the deadline on.
fn hlt_wake() -> u64 {
    const NEAR: u64 = 20_000;
    set_timer();
    let has_deadline = apic::has_tsc_deadline();
    let round = || {
        arm(has_deadline, NEAR);
        cpu::sti_hlt_cli();
    };
    for _ in 0..10 {
        round();
    }
    begin_phase!(phase::HLT_WAKE);
    let total = time(HLT_ROUNDS, round);
    end_phase!(phase::HLT_WAKE);
    (total / HLT_ROUNDS).saturating_sub(NEAR)
}

/// How many of the others are through.
static THROUGH: AtomicU32 = AtomicU32::new(0);

fn scale() -> Outcome {
    let vcpus = vcpus();
    smp::start(vcpus)?;
    macro_rules! phase {
        ($phase:expr, $busy:literal) => {
            if vcpus >= $busy {
                begin_phase!($phase);
                busy($busy);
                end_phase!($phase);
                (1..$busy).try_for_each(smp::finish)?;
            }
        };
    }
    phase!(phase::SCALE_1, 1);
    phase!(phase::SCALE_2, 2);
    phase!(phase::SCALE_4, 4);
    phase!(phase::SCALE_8, 8);
    Ok(())
}

/// So many vCPUs at work, until the last is through.
fn busy(count: usize) {
    THROUGH.store(0, SeqCst);
    for cpu in 1..count {
        smp::begin_on(cpu, || {
            many_cpuids();
            THROUGH.fetch_add(1, SeqCst);
            apic::send(0, command::ASSERT | u32::from(WAKE));
            Ok(())
        });
    }
    many_cpuids();
    sleep_until(|| THROUGH.load(SeqCst) as usize == count - 1);
}

fn many_cpuids() {
    for _ in 0..SCALE_ROUNDS {
        one_cpuid();
    }
}
