//! What exits cost where several vCPUs run at once: interrupts from one to another, and the hot exits on all of them.
//!
//! Marks around each measurement let an emulator count from outside; the line at the end has the TSC's word for the first two.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use test_guests::apic::{self, TimerMode, command};
use test_guests::bench::{each, phase, rest_until, sleep_until, spin_until, time, vcpus};
use test_guests::cpu::{cpuid, rdtsc, wrmsr};
use test_guests::{
    Outcome, begin_phase, cpu, end_phase, guest, mmio, port, println, serial, smp, that, trap,
};

guest!(test);

/// Calls of each hot exit, on every vCPU.
const ROUNDS: u32 = 200;
/// Interrupts there and back.
const TRIPS: u32 = 500;
const PING: u8 = 0x51;
const PONG: u8 = 0x52;
const WAKE: u8 = 0x53;
const TICK: u8 = 0x54;
const SELF: u8 = 0x55;
const X2APIC_EOI: u32 = 0x80b;
const TSC_DEADLINE: u32 = 0x6e0;
const IO_APIC_WINDOW: u64 = 0xfec0_0010;
/// How long a deadline lies ahead, in TSC ticks.
const NEAR: u64 = 20_000;

static THROUGH: AtomicU32 = AtomicU32::new(0);
static IS_READY: AtomicU32 = AtomicU32::new(0);
static PINGS: AtomicU32 = AtomicU32::new(0);
static PONGS: AtomicU32 = AtomicU32::new(0);

fn test() -> Outcome {
    if apic::has_x2apic() {
        apic::enter_x2apic();
    }
    let vcpus = vcpus();
    that("there is no other vCPU", vcpus > 1)?;
    smp::start(vcpus)?;
    smp::run_on_all(vcpus, || {
        if apic::has_x2apic() {
            apic::enter_x2apic();
        }
        Ok(())
    })?;
    trap::set_hook(answer);

    smp::begin_on(1, be_busy);
    that(
        "CPU 1 is not busy",
        smp::wait(|| IS_READY.load(SeqCst) == 1),
    )?;
    begin_phase!(phase::IPI_ROUND_TRIP);
    let total = round_trips();
    end_phase!(phase::IPI_ROUND_TRIP);
    let round_trip = each(TRIPS.into(), total);
    smp::finish(1)?;

    smp::begin_on(1, be_asleep);
    that(
        "CPU 1 does not sleep",
        smp::wait(|| IS_READY.load(SeqCst) == 2),
    )?;
    begin_phase!(phase::HLT_WAKE_IPI);
    let total = wake_ups();
    end_phase!(phase::HLT_WAKE_IPI);
    // Two sleepers a round.
    let wake_up = each(TRIPS.into(), total) / 2;
    smp::finish(1)?;

    macro_rules! together {
        ($phase:expr) => {
            begin_phase!($phase);
            THROUGH.store(0, SeqCst);
            for cpu in 1..vcpus {
                smp::begin_on(cpu, || {
                    work($phase);
                    THROUGH.fetch_add(1, SeqCst);
                    apic::send(0, command::ASSERT | u32::from(WAKE));
                    Ok(())
                });
            }
            work($phase);
            sleep_until(|| THROUGH.load(SeqCst) as usize == vcpus - 1);
            end_phase!($phase);
            (1..vcpus).try_for_each(smp::finish)?;
        };
    }
    together!(phase::CPUID);
    together!(phase::PIO_OUT);
    together!(phase::UART_IN);
    together!(phase::IOAPIC_READ);
    together!(phase::MSR_WRITE);
    together!(phase::SELF_IPI);
    together!(phase::TSC_DEADLINE);
    together!(phase::HLT_WAKE);
    println!("bench: results vcpus={vcpus} ipi_round_trip={round_trip} hlt_wake_ipi={wake_up}");
    Ok(())
}

/// Runs all the time; `answer` sends each ping back.
fn be_busy() -> Outcome {
    cpu::sti();
    IS_READY.store(1, SeqCst);
    rest_until(|| PINGS.load(SeqCst) >= TRIPS);
    cpu::cli();
    Ok(())
}

/// Sleeps between the pings.
fn be_asleep() -> Outcome {
    IS_READY.store(2, SeqCst);
    sleep_until(|| PINGS.load(SeqCst) >= 2 * TRIPS);
    Ok(())
}

/// In every interrupt: a ping is sent back at once.
fn answer(vector: u8) {
    if vector == PING {
        PINGS.fetch_add(1, SeqCst);
        apic::send(0, command::ASSERT | u32::from(PONG));
    } else if vector == PONG {
        PONGS.fetch_add(1, SeqCst);
    }
}

/// To a vCPU that runs, and back to us, who run as well.
fn round_trips() -> u64 {
    cpu::sti();
    let total = time(TRIPS.into(), || {
        let pongs = PONGS.load(SeqCst);
        apic::send(1, command::ASSERT | u32::from(PING));
        rest_until(|| PONGS.load(SeqCst) != pongs);
    });
    cpu::cli();
    total
}

/// To a vCPU that sleeps, and back to us, who sleep meanwhile.
fn wake_ups() -> u64 {
    time(TRIPS.into(), || {
        let pongs = PONGS.load(SeqCst);
        apic::send(1, command::ASSERT | u32::from(PING));
        sleep_until(|| PONGS.load(SeqCst) != pongs);
    })
}

/// A hot exit again and again.
fn work(phase: u32) {
    // Asking exits.
    let (has_x2apic, has_deadline) = (apic::has_x2apic(), apic::has_tsc_deadline());
    for _ in 0..ROUNDS {
        match phase {
            phase::CPUID => test_guests::discard(core::hint::black_box(cpuid(0, 0))),
            phase::PIO_OUT => port::out8(0x1234, 0),
            phase::UART_IN => test_guests::discard(port::in8(serial::LSR)),
            phase::IOAPIC_READ => test_guests::discard(mmio::read32(IO_APIC_WINDOW)),
            phase::MSR_WRITE if has_x2apic => wrmsr(X2APIC_EOI, 0),
            phase::MSR_WRITE => wrmsr(TSC_DEADLINE, 0),
            phase::SELF_IPI => {
                cpu::sti();
                apic::send_self(SELF);
                cpu::cli();
            }
            phase::TSC_DEADLINE => deadline(has_deadline, |until| {
                cpu::sti();
                spin_until(|| rdtsc() > until + NEAR);
                cpu::cli();
            }),
            _ => deadline(has_deadline, |_| cpu::sti_hlt_cli()),
        }
    }
}

/// Sets our own timer and waits for it in this way.
fn deadline(has_deadline: bool, wait: impl FnOnce(u64)) {
    let at = rdtsc() + NEAR;
    if has_deadline {
        apic::set_timer(TimerMode::TscDeadline, TICK);
        apic::set_deadline(at);
    } else {
        apic::set_timer(TimerMode::OneShot, TICK);
        apic::set_initial_count(NEAR as u32);
    }
    wait(at);
}
