//! INIT and start-up IPIs: to a CPU that runs, in the wrong order, twice, and to another page. (Intel SDM vol. 3A 10.4.2, 11.4.7.3)
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use test_guests::apic::{self, command, register};
use test_guests::{Outcome, cpu, equal, guest, real_mode, smp, that, trap};

guest!(test, cpus = 3);

const VECTOR: u8 = 0x7d;
const TSC_ADJUST: u32 = 0x3b;
const LSTAR: u32 = 0xc000_0082;
const MARK: u64 = 0x1234_5000;

static COUNTER: AtomicU32 = AtomicU32::new(0);
static BASE_OF_APIC: AtomicU64 = AtomicU64::new(0);

/// Counts for ever.
fn count() -> Outcome {
    cpu::wrmsr(LSTAR, MARK);
    BASE_OF_APIC.store(cpu::rdmsr(0x1b), SeqCst);
    cpu::sti();
    loop {
        COUNTER.fetch_add(1, SeqCst);
        smp::relax();
    }
}

fn goes_on() -> bool {
    let before = COUNTER.load(SeqCst);
    smp::wait(|| COUNTER.load(SeqCst).wrapping_sub(before) > 3)
}

fn send_init() {
    apic::send(1, command::INIT | command::ASSERT | command::LEVEL);
}

fn send_start_up(page: u8) {
    apic::send(1, command::START_UP | command::ASSERT | u32::from(page));
}

/// Finds what INIT leaves.
fn is_as_init_leaves_it() -> Outcome {
    equal("LSTAR after INIT", cpu::rdmsr(LSTAR), MARK)?;
    equal(
        "IA32_APIC_BASE after INIT",
        cpu::rdmsr(0x1b),
        BASE_OF_APIC.load(SeqCst),
    )?;
    equal("LDR after INIT", apic::read(register::LDR).into(), 0)
}

fn test() -> Outcome {
    smp::start(CPUS)?;
    let [first, second] = real_mode::write_pages();
    smp::begin_on(1, count);
    that("CPU 1 does not count", goes_on())?;
    a_running_cpu_goes_on(first)?;
    init_stops_it()?;
    the_first_start_up_counts(first, second)?;

    // INIT in one breath with start-up IPIs before and behind it: the one behind it starts.
    send_start_up(first);
    send_init();
    send_start_up(second);
    that(
        "it does not start again",
        smp::wait(|| real_mode::starts(second) == 1),
    )?;
    equal(
        "starts by an IPI before INIT",
        real_mode::starts(first).into(),
        1,
    )?;

    // And back to work.
    smp::restart(1)?;
    smp::set_deaf(1, false);
    smp::run_on(1, is_as_init_leaves_it)?;
    smp::check(
        CPUS,
        "who took an interrupt at the end",
        VECTOR,
        0b010,
        || {
            apic::send(1, command::ASSERT | u32::from(VECTOR));
        },
    )?;
    test_x2apic()
}

fn a_running_cpu_goes_on(first: u8) -> Outcome {
    // What a running CPU ignores.
    send_start_up(first);
    apic::send(1, command::INIT | command::LEVEL);
    smp::rest(20_000_000);
    that("CPU 1 does not run on", goes_on())?;
    equal(
        "starts by an IPI to a running CPU",
        real_mode::starts(first).into(),
        0,
    )
}

fn init_stops_it() -> Outcome {
    // INIT stops it; interrupts do not start it again.
    send_init();
    smp::forget(1);
    smp::set_deaf(1, true);
    smp::rest(20_000_000);
    let stopped_at = COUNTER.load(SeqCst);
    let before = trap::count_on(1, VECTOR);
    apic::send(1, command::ASSERT | u32::from(VECTOR));
    smp::settle(CPUS)?;
    smp::rest(20_000_000);
    equal(
        "counted after INIT",
        COUNTER.load(SeqCst).into(),
        stopped_at.into(),
    )?;
    equal(
        "interrupts after INIT",
        trap::count_on(1, VECTOR).into(),
        before.into(),
    )
}

fn the_first_start_up_counts(first: u8, second: u8) -> Outcome {
    // The first of two start-up IPIs counts.
    send_start_up(first);
    send_start_up(second);
    that(
        "it does not start",
        smp::wait(|| real_mode::starts(first) == 1),
    )?;
    smp::rest(20_000_000);
    equal(
        "starts by a second start-up IPI",
        real_mode::starts(second).into(),
        0,
    )?;
    equal(
        "starts by the first start-up IPI",
        real_mode::starts(first).into(),
        1,
    )?;
    let state = real_mode::state(first);
    equal("CS", state.cs.into(), u64::from(first) << 8)?;
    equal("IP", state.ip.into(), 0)?;
    // Of CR0 all but ET is clear, beside CD and NW, which stay as they were.
    equal(
        "CR0 without CD and NW",
        (state.cr0 & !0x6000_0000).into(),
        0x10,
    )?;
    equal("FLAGS", (state.flags & !0x2).into(), 0)
}

/// INIT does not change the mode of a local APIC. (Intel SDM vol. 3A 11.12.5.1)
fn test_x2apic() -> Outcome {
    if !apic::has_x2apic() {
        return Ok(());
    }
    smp::run_on_all(CPUS, || {
        apic::enter_x2apic();
        Ok(())
    })?;
    smp::restart(1)?;
    smp::run_on(1, || {
        equal("the mode after INIT", cpu::rdmsr(0x1b) & 0xc00, 0xc00)?;
        equal("TSC_ADJUST after INIT", cpu::rdmsr(TSC_ADJUST), 0)
    })?;
    smp::check(
        CPUS,
        "who took an interrupt by x2APIC",
        VECTOR,
        0b010,
        || {
            apic::send(1, command::ASSERT | u32::from(VECTOR));
        },
    )
}
