//! Starting the other CPUs. (Intel SDM vol. 3A 10.4.4)

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::arch::naked_asm;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use cpu::{CpuArea, IstStacks, MAX_CPUS};
use host::NoMemory;
use memory::{STACK_BYTES, Stack};

use crate::trampoline::Trampoline;
use crate::tsc_sync::Answerer;

/// Size of each stack for #DF, NMI and #MC. A panic prints its epitaph on one of them.
const IST_BYTES: usize = 16 << 10;

/// Top of a stack for the next CPU that comes by; 0: none, wait.
static NEXT_STACK: AtomicUsize = AtomicUsize::new(0);
static NEXT_AREA: AtomicPtr<CpuArea> = AtomicPtr::new(ptr::null_mut());
static NEXT_IST: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];
/// CPUs that run, the boot CPU included.
static STARTED: AtomicU32 = AtomicU32::new(1);
/// Function they run next; null: wait.
static WORK: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());
static TSC_KHZ: AtomicUsize = AtomicUsize::new(0);

/// Function that a started CPU runs for the rest of its life.
pub(crate) type Work = extern "C" fn() -> !;

/// Returns the number of CPUs that run.
pub(crate) fn count() -> u32 {
    STARTED.load(Ordering::Acquire)
}

/// A CPU's area and its stacks, allocated and never freed.
pub(crate) struct Home {
    pub(crate) stack: Stack,
    pub(crate) ist: IstStacks,
}

impl Home {
    pub(crate) fn new() -> Result<Self, NoMemory> {
        let ist = IstStacks {
            double_fault_top: Stack::new(IST_BYTES)?.top,
            nmi_top: Stack::new(IST_BYTES)?.top,
            machine_check_top: Stack::new(IST_BYTES)?.top,
        };
        Ok(Self {
            stack: Stack::new(STACK_BYTES)?,
            ist,
        })
    }
}

/// Which CPUs to wake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// Those with these local APIC ids.
    These(Vec<u32>),
    /// Whoever there is: nobody told us.
    Everybody,
}

/// Starts the other CPUs, one after another; each then waits for [`release`].
///
/// A CPU that does not come is reported and left alone.
pub(crate) fn start_others(whom: &Whom, tsc_khz: u64) {
    TSC_KHZ.store(tsc_khz as usize, Ordering::Release);
    let others: Vec<u32> = match whom {
        Whom::These(ids) => ids
            .iter()
            .copied()
            .filter(|&id| id != cpu::this().apic_id())
            .collect(),
        Whom::Everybody => Vec::new(),
    };
    if others.is_empty() && *whom != Whom::Everybody {
        return;
    }
    let trampoline = match Trampoline::new(ap_start as *const () as u64) {
        Ok(trampoline) => trampoline,
        Err(NoMemory) => {
            log::warn!("no free page below 1 MiB: the other CPUs stay asleep");
            return;
        }
    };
    let clock = Wait { tsc_khz };
    let page = trampoline.page_number();
    let mut is_complete = true;
    match whom {
        Whom::These(_) => {
            for apic_id in others {
                if !offer_home() {
                    break;
                }
                wake_one(apic_id, page, clock);
                if clock.until(500_000, is_home_taken) || !take_back_home() {
                    finish_one(clock);
                } else {
                    log::warn!("the CPU with APIC id {apic_id} does not start");
                    is_complete = false;
                }
            }
        }
        Whom::Everybody => {
            wake_everybody(page, clock);
            // Each takes the one home on offer; when nobody comes for a while, all are here.
            while offer_home() {
                if !clock.until(50_000, is_home_taken) && take_back_home() {
                    break;
                }
                finish_one(clock);
            }
        }
    }
    if !is_complete {
        // The missing one may still come: it must find the code, and will wait in it for a home.
        core::mem::forget(trampoline);
    }
}

/// Takes the home back; false if a CPU has taken it at this very moment.
fn take_back_home() -> bool {
    NEXT_STACK.swap(0, Ordering::AcqRel) != 0
}

fn is_home_taken() -> bool {
    NEXT_STACK.load(Ordering::Acquire) == 0
}

/// Waits until the CPU that took the home has reported.
fn finish_one(clock: Wait) {
    let expected = NEXT_AREA.load(Ordering::Acquire);
    // SAFETY: leaked by `offer_home`.
    let id = unsafe { &*expected }.id();
    if !clock.until(1_000_000, || count() > id) {
        panic!("cpu{id} was started and got lost");
    }
}

/// Puts a home on offer for one CPU; false when there is no memory for it, or no number.
fn offer_home() -> bool {
    let id = count();
    let Ok(home) = Home::new() else {
        log::warn!("no memory for another CPU");
        return false;
    };
    if id as usize >= MAX_CPUS {
        log::warn!("more than {MAX_CPUS} CPUs: the rest stays asleep");
        return false;
    }
    let area: &'static CpuArea = Box::leak(Box::new(CpuArea::new(id, 0)));
    area.set_stack(home.stack.top, home.stack.bytes);
    NEXT_AREA.store(ptr::from_ref(area).cast_mut(), Ordering::Relaxed);
    let IstStacks {
        double_fault_top,
        nmi_top,
        machine_check_top,
    } = home.ist;
    for (slot, top) in NEXT_IST
        .iter()
        .zip([double_fault_top, nmi_top, machine_check_top])
    {
        slot.store(top, Ordering::Relaxed);
    }
    // The stack last: who takes it finds the rest.
    NEXT_STACK.store(home.stack.top, Ordering::Release);
    true
}

fn wake_one(apic_id: u32, page: u8, clock: Wait) {
    apic::send_init(apic_id);
    clock.pass(10_000);
    for _ in 0..2 {
        apic::send_startup(apic_id, page);
        // The second one is for CPUs that missed the first; one that came ignores it.
        if clock.until(300, is_home_taken) {
            return;
        }
    }
}

fn wake_everybody(page: u8, clock: Wait) {
    apic::broadcast_init();
    clock.pass(10_000);
    for _ in 0..2 {
        apic::broadcast_startup(page);
        clock.pass(300);
    }
}

/// Busy waiting by the TSC; times in microseconds.
#[derive(Clone, Copy)]
struct Wait {
    tsc_khz: u64,
}

impl Wait {
    fn until(self, us: u64, is_done: impl Fn() -> bool) -> bool {
        let start = cpu::read_tsc();
        let ticks = us * self.tsc_khz / 1000;
        while cpu::read_tsc().wrapping_sub(start) < ticks {
            if is_done() {
                return true;
            }
            cpu::pause();
        }
        is_done()
    }

    fn pass(self, us: u64) {
        self.until(us, || false);
    }
}

/// The first instructions of a CPU on our page tables: waits for a stack, takes it, goes on in Rust.
#[unsafe(naked)]
extern "C" fn ap_start() {
    naked_asm!(
        "lea rdi, [rip + {next_stack}]",
        "2:",
        "xor eax, eax",
        "xchg rax, [rdi]",
        "test rax, rax",
        "jnz 3f",
        "pause",
        "jmp 2b",
        "3:",
        "mov rsp, rax",
        "xor ebp, ebp",
        "push 0",
        "jmp {main}",
        next_stack = sym NEXT_STACK,
        main = sym ap_main,
    )
}

extern "C" fn ap_main() -> ! {
    // SAFETY: leaked by `offer_home`, and ours alone since we took its stack.
    let area: &'static CpuArea = unsafe { &*NEXT_AREA.load(Ordering::Acquire) };
    let [double_fault_top, nmi_top, machine_check_top] =
        NEXT_IST.each_ref().map(|slot| slot.load(Ordering::Relaxed));
    let ist = IstStacks {
        double_fault_top,
        nmi_top,
        machine_check_top,
    };
    // SAFETY: ring 0, long mode, interrupts off since INIT; the stacks came with the home; CPU 0 is long done.
    unsafe { cpu::init_cpu(area, ist) };
    // SAFETY: our own page tables: no user pages, right NX bits.
    unsafe { cpu::enable_host_features() };
    apic::enable();
    area.set_apic_id(apic::id());
    apic::start_timer(TSC_KHZ.load(Ordering::Acquire) as u64);
    STARTED.fetch_add(1, Ordering::AcqRel);
    let mut answerer = Answerer::new(area.id());
    loop {
        cpu::park();
        answerer.answer();
        let work = WORK.load(Ordering::Acquire);
        if !work.is_null() {
            // SAFETY: only `release` stores here, and it stores a `Work`.
            let work = unsafe { core::mem::transmute::<*mut (), Work>(work) };
            work();
        }
        cpu::pause();
    }
}

/// Sends every CPU that waits to `work`.
pub(crate) fn release(work: Work) {
    WORK.store(work as *mut (), Ordering::Release);
}
