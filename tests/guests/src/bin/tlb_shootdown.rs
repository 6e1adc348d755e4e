//! A storm of TLB shootdowns by all CPUs, as kernels do them: change a page table, interrupt everybody, wait for all answers.
//! Nobody reads through an old translation, and it goes on with more CPUs than there are.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use test_guests::apic::{self, command};
use test_guests::{Fail, Outcome, cpu, equal, guest, mmio, paging, println, smp, that, trap};

guest!(test, cpus = 8);

const VECTOR: u8 = 0x7b;
/// Shootdowns by each CPU.
const ROUNDS: u32 = 6;
/// The page whose translation changes, and the two that it leads to.
const WINDOW: u64 = 6 << 20;
const PAGES: [u64; 2] = [10 << 20, 12 << 20];

static TICKET: AtomicU32 = AtomicU32::new(0);
static TURN: AtomicU32 = AtomicU32::new(0);
/// Which of the pages the window shows.
static SHOWN: AtomicU32 = AtomicU32::new(0);
static ANSWERS: AtomicU32 = AtomicU32::new(0);
static STALE: AtomicU32 = AtomicU32::new(0);

fn shown() -> u32 {
    mmio::read32(WINDOW)
}

/// The interrupt handler of those who are shot at.
fn hook(vector: u8) {
    if vector == VECTOR {
        paging::forget(WINDOW);
        if shown() != SHOWN.load(SeqCst) {
            STALE.fetch_add(1, SeqCst);
        }
        ANSWERS.fetch_add(1, SeqCst);
    }
}

/// Waits with interrupts on: whoever waits answers the others meanwhile.
fn wait_open(is_so: impl FnMut() -> bool) -> bool {
    cpu::sti();
    let is_so = smp::wait(is_so);
    cpu::cli();
    is_so
}

fn shoot() -> Outcome {
    for _ in 0..ROUNDS {
        let ticket = TICKET.fetch_add(1, SeqCst);
        that(
            "the lock does not come round",
            wait_open(|| TURN.load(SeqCst) == ticket),
        )?;
        if shown() != SHOWN.load(SeqCst) {
            return Err(Fail::with(
                "an old translation",
                shown().into(),
                SHOWN.load(SeqCst).into(),
            ));
        }
        let next = 1 - SHOWN.load(SeqCst);
        ANSWERS.store(0, SeqCst);
        SHOWN.store(next, SeqCst);
        paging::lead_to(WINDOW, PAGES[next as usize]);
        apic::send(
            0,
            command::ALL_BUT_SELF | command::ASSERT | u32::from(VECTOR),
        );
        let others = CPUS as u32 - 1;
        let is_answered = wait_open(|| ANSWERS.load(SeqCst) == others);
        that("not everybody answers", is_answered)?;
        TURN.fetch_add(1, SeqCst);
    }
    Ok(())
}

fn test() -> Outcome {
    for (number, page) in (0..).zip(PAGES) {
        mmio::write32(page, number);
    }
    paging::lead_to(WINDOW, PAGES[0]);
    trap::set_hook(hook);
    smp::start(CPUS)?;
    let start = cpu::rdtsc();
    // Those that are done halt with interrupts on, and answer.
    (1..CPUS).for_each(|cpu| smp::begin_on(cpu, shoot));
    shoot()?;
    let is_over = wait_open(|| TURN.load(SeqCst) == ROUNDS * CPUS as u32);
    that("not all are done", is_over)?;
    (1..CPUS).try_for_each(smp::finish)?;
    let ticks = (cpu::rdtsc() - start) / u64::from(ROUNDS * CPUS as u32);
    println!("note tlb_shootdown: {ticks} ticks a shootdown");
    equal(
        "reads through an old translation",
        STALE.load(SeqCst).into(),
        0,
    )
}
