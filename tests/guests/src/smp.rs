//! More than one CPU: the boot processor starts the others, and gives them work.
//!
//! A CPU that has no work halts with interrupts allowed, so it takes whatever is sent to it. A CPU's number is its APIC id.
//! (Intel SDM vol. 3A 10.4 and 11.6)

use crate::apic::{self, command};
use crate::trap::{self, EndOfInterrupt};
use crate::verdict::{self, Fail, Outcome};
use crate::{cpu, mmio, start_page, tables};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};

/// The most CPUs a guest may have.
pub const MOST: usize = 32;

/// Tells a CPU to look for work; below the vectors of the tests, so that it is taken last.
const WAKE: u8 = 0x21;

/// Where the stacks of all but the boot processor lie: free memory, mapped to itself.
const STACKS: u64 = 0x80_0000;
/// Bytes of each.
const STACK_BYTES: u64 = 32 << 10;

/// TSC ticks after which another CPU does not answer any more: it may wait for its turn behind many.
const PATIENCE_TICKS: u64 = 60_000_000_000;
/// TSC ticks between INIT and SIPI: more than 10 ms on no CPU that is slower than 2 GHz, and enough for any there is.
const INIT_TICKS: u64 = 20_000_000;

static IS_ONLINE: [AtomicBool; MOST] = [const { AtomicBool::new(false) }; MOST];
/// A `fn() -> Outcome`, or 0.
static WORK: [AtomicUsize; MOST] = [const { AtomicUsize::new(0) }; MOST];
static WORK_DONE: [AtomicU32; MOST] = [const { AtomicU32::new(0) }; MOST];
static WORK_GIVEN: [AtomicU32; MOST] = [const { AtomicU32::new(0) }; MOST];
/// Those that [`settle`] leaves alone, as bits.
static DEAF: AtomicU32 = AtomicU32::new(0);

/// The number of the CPU that asks: its stack tells, so asking costs no exit.
#[must_use]
pub fn number() -> usize {
    let here = 0u8;
    let at = (&raw const here) as u64;
    match at.checked_sub(STACKS) {
        Some(offset) if offset < STACK_BYTES * MOST as u64 => (offset / STACK_BYTES) as usize,
        _ => 0,
    }
}

/// Switches the local APIC on and starts the CPUs 1 to `cpus` - 1, each with its local APIC on.
///
/// # Errors
/// One of them does not come.
pub fn start(cpus: usize) -> Outcome {
    apic::enable();
    trap::end_by(EndOfInterrupt::LocalApic);
    let page = start_page::write(begin);
    init_and_start_up(page, 1..cpus)
}

/// Starts CPU `cpu` once more, whatever it does.
///
/// # Errors
/// It does not come.
pub fn restart(cpu: usize) -> Outcome {
    forget(cpu);
    init_and_start_up(start_page::write(begin), cpu..cpu + 1)
}

fn init_and_start_up(page: u8, cpus: core::ops::Range<usize>) -> Outcome {
    let send = |command: u32| {
        for id in cpus.clone() {
            apic::send(id as u32, command);
        }
    };
    send(command::INIT | command::ASSERT | command::LEVEL);
    send(command::INIT | command::LEVEL);
    rest(INIT_TICKS);
    for _ in 0..2 {
        send(command::START_UP | command::ASSERT | u32::from(page));
    }
    for cpu in cpus.clone() {
        if !wait(|| IS_ONLINE[cpu].load(SeqCst)) {
            return Err(Fail::with("a CPU does not start", cpu as u64, 0));
        }
    }
    Ok(())
}

/// Forgets that a CPU came up: it is about to be sent INIT.
pub fn forget(cpu: usize) {
    WORK_DONE[cpu].store(WORK_GIVEN[cpu].load(SeqCst), SeqCst);
    WORK[cpu].store(0, SeqCst);
    IS_ONLINE[cpu].store(false, SeqCst);
}

/// Gives CPU `cpu` something to do and does not wait for it. It runs with interrupts off; if it fails, so does the test.
pub fn begin_on(cpu: usize, work: fn() -> Outcome) {
    WORK_GIVEN[cpu].fetch_add(1, SeqCst);
    WORK[cpu].store(work as usize, SeqCst);
    apic::send(cpu as u32, command::ASSERT | u32::from(WAKE));
}

/// Waits until CPU `cpu` has done what it was given.
///
/// # Errors
/// It does not get there.
pub fn finish(cpu: usize) -> Outcome {
    let is_done = || WORK_DONE[cpu].load(SeqCst) == WORK_GIVEN[cpu].load(SeqCst);
    if wait(is_done) {
        return Ok(());
    }
    Err(Fail::with("a CPU does not finish", cpu as u64, 0))
}

/// Lets CPU `cpu` do something.
///
/// # Errors
/// It does not get there.
pub fn run_on(cpu: usize, work: fn() -> Outcome) -> Outcome {
    begin_on(cpu, work);
    finish(cpu)
}

/// Lets all CPUs do the same, this one too, at once.
///
/// # Errors
/// What this one found, or that another does not get there.
pub fn run_on_all(cpus: usize, work: fn() -> Outcome) -> Outcome {
    (1..cpus).for_each(|cpu| begin_on(cpu, work));
    work()?;
    (1..cpus).try_for_each(finish)
}

/// Says that a CPU does not hear interrupts, or does again: [`check`] does not wait for it.
pub fn set_deaf(cpu: usize, is_deaf: bool) {
    if is_deaf {
        DEAF.fetch_or(1 << cpu, SeqCst);
    } else {
        DEAF.fetch_and(!(1 << cpu), SeqCst);
    }
}

/// Waits until every CPU has taken what was sent to it so far.
///
/// # Errors
/// One of them does not answer.
pub fn settle(cpus: usize) -> Outcome {
    let deaf = DEAF.load(SeqCst);
    cpu::let_in();
    (1..cpus)
        .filter(|cpu| deaf & 1 << cpu == 0)
        .try_for_each(|cpu| run_on(cpu, || Ok(())))
}

/// Sends something and checks that the CPUs of the bit set `wanted`, and no others, take `vector`, once each.
///
/// # Errors
/// Who took it, as a bit set; or how often, when it was more than once.
pub fn check(
    cpus: usize,
    what: &'static str,
    vector: u8,
    wanted: u32,
    send: impl FnOnce(),
) -> Outcome {
    let mut before = [0; MOST];
    for (cpu, count) in before.iter_mut().enumerate().take(cpus) {
        *count = trap::count_on(cpu, vector);
    }
    let counts = || (0..cpus).map(|cpu| trap::count_on(cpu, vector) - before[cpu]);
    let takers = || {
        let bits = counts().enumerate();
        bits.fold(0, |set, (cpu, count)| set | u32::from(count != 0) << cpu)
    };
    send();
    // Who is named must get it in the end; who is not, has not got it when all have done something sent later.
    let _ = wait(|| {
        cpu::let_in();
        takers() & wanted == wanted
    });
    settle(cpus)?;
    verdict::equal(what, takers().into(), wanted.into())?;
    match counts().find(|count| *count > 1) {
        Some(count) => Err(Fail::with(what, count.into(), 1)),
        None => Ok(()),
    }
}

/// Polls until it is so; false when patience ends.
#[must_use]
pub fn wait(mut is_so: impl FnMut() -> bool) -> bool {
    let start = cpu::rdtsc();
    while !is_so() {
        if cpu::rdtsc().wrapping_sub(start) > PATIENCE_TICKS {
            return false;
        }
        relax();
    }
    true
}

/// A turn of a loop that waits for another CPU.
///
/// An emulator may keep the hypervisor's own interrupts from a guest that has them off (Bochs does), and the other CPU may wait
/// for just this physical one: so there is an exit in it.
pub fn relax() {
    if cpu::are_interrupts_on() {
        cpu::pause();
    } else {
        let _ = cpu::cpuid(0, 0);
    }
}

/// Lets so many TSC ticks go by.
pub fn rest(ticks: u64) {
    let start = cpu::rdtsc();
    while cpu::rdtsc().wrapping_sub(start) < ticks {
        cpu::pause();
    }
}

/// Where a started CPU leaves the page: 64 bits, our page tables and GDT, a stack.
extern "C" fn begin(number: usize) -> ! {
    tables::load_whole_idt();
    apic::note_mode(mmio_is_closed());
    apic::enable();
    IS_ONLINE[number].store(true, SeqCst);
    loop {
        let work = WORK[number].swap(0, SeqCst);
        if work == 0 {
            cpu::sti_hlt_cli();
            continue;
        }
        // SAFETY: only `begin_on` writes anything but 0, and what it writes is such a function.
        let work = unsafe { core::mem::transmute::<usize, fn() -> Outcome>(work) };
        if let Err(fail) = work() {
            verdict::give_up(format_args!("CPU {number}: {fail}"));
        }
        WORK_DONE[number].store(WORK_GIVEN[number].load(SeqCst), SeqCst);
    }
}

/// Whether IA32_APIC_BASE says x2APIC mode, which INIT leaves as it was.
fn mmio_is_closed() -> bool {
    const X2APIC_ENABLE: u64 = 1 << 10;
    cpu::rdmsr(0x1b) & X2APIC_ENABLE != 0
}

/// The stack of a CPU: the lowest address and the bytes.
pub(crate) const fn stacks() -> (u64, u64) {
    (STACKS, STACK_BYTES)
}

/// Copies bytes to an address below 4 GiB.
pub(crate) fn put(at: u64, bytes: &[u8]) {
    for (at, byte) in (at..).zip(bytes) {
        mmio::write8(at, *byte);
    }
}
