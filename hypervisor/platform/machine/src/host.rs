//! The machine as the VMM's host.

extern crate alloc;

use alloc::boxed::Box;
use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicPtr, Ordering};

use addr::GpaRange;
use apic::vectors;
use cpu::IstStacks;
use host::{
    CpuId, Host, HostVector, InterruptHandler, Interrupts, MemoryReport, NoMemory, NoVector,
    NotedName, PowerAction, Terminal, Terminals, VcpuPlan,
};
use memory::GuestRam;
use time::Clock;
use time::Instant;
use x86::{CpuidResult, Vector};

use crate::vendor::Vendor;
use crate::{boot, console, cpus, logger, power};

/// The physical machine, with one vendor's extension in use on every CPU.
pub struct Machine<V> {
    clock: Clock,
    wall_clock_at_start: u64,
    cpu_count: u32,
    vendor: PhantomData<fn() -> V>,
}

/// Function that every CPU runs once the machine is ready: `entry(context, its cpu)`, for the rest
/// of its life.
pub type Entry<V, T> = fn(&'static T, <V as Vendor>::Cpu) -> !;

/// The context and the entry of [`Machine::run`], for the CPUs that start in `enter` of the same types.
static CONTEXT: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
static ENTRY: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

impl<V: Vendor> Machine<V> {
    /// The machine, after [`start`](crate::start) has prepared it, and the boot CPU with the extension on.
    ///
    /// Each optional feature that is missing gets a warning line.
    ///
    /// # Errors
    /// The vendor's refusal when no guest can run here.
    pub fn new() -> Result<(&'static Self, V::Cpu), V::Refusal> {
        let boot_cpu = V::enable()?;
        log::info!("{} is on", V::NAME);
        V::for_each_warning(&boot_cpu, &mut |warning| {
            log::warn!("{}: {warning}", V::NAME)
        });
        let facts = boot::facts();
        let machine = Self {
            clock: facts.clock,
            wall_clock_at_start: facts.wall_clock_at_start,
            cpu_count: cpus::count(),
            vendor: PhantomData,
        };
        Ok((Box::leak(Box::new(machine)), boot_cpu))
    }

    /// Switches the extension on, on every other CPU, and sends each to `entry`; this one, too. Does not come back.
    ///
    /// From here on the screen is drawn only as [`Terminals::terminal_draw`] is called.
    pub fn run<T: Sync>(
        &'static self,
        boot_cpu: V::Cpu,
        context: &'static T,
        entry: Entry<V, T>,
    ) -> ! {
        CONTEXT.store(
            core::ptr::from_ref(context).cast_mut().cast(),
            Ordering::Release,
        );
        ENTRY.store(entry as *mut (), Ordering::Release);
        console::draw_lazily(true);
        cpus::release(enter::<V, T>);
        entry(context, boot_cpu)
    }
}

extern "C" fn enter<V: Vendor, T: Sync + 'static>() -> ! {
    let context = CONTEXT.load(Ordering::Acquire).cast::<T>();
    let entry = ENTRY.load(Ordering::Acquire);
    // SAFETY: stored by `run` with the same types, the only one that passes `enter::<V, T>` on.
    let entry = unsafe { core::mem::transmute::<*mut (), Entry<V, T>>(entry) };
    // SAFETY: as above; `run` was given a `&'static T`, and `T` may be shared.
    let context = unsafe { &*context };
    match V::enable() {
        Ok(cpu) => entry(context, cpu),
        // The boot CPU has it and this one is of the same make, but firmware may have forgotten it.
        Err(refusal) => panic!(
            "{} does not start on cpu{}: {refusal}",
            V::NAME,
            cpu::this().id()
        ),
    }
}

impl<V: Vendor> Interrupts for Machine<V> {
    fn allocate_vector(&self, handler: &'static dyn InterruptHandler) -> Result<Vector, NoVector> {
        vectors::allocate(handler)
    }

    fn free_vector(&self, vector: Vector) {
        vectors::free(vector);
    }
}

impl<V: Vendor> Host for Machine<V> {
    type Cpu = V::Cpu;
    type Vcpu = V::Vcpu;
    type Ram = GuestRam;
    type Slat = V::Slat;

    #[inline]
    fn now(&self) -> Instant {
        self.clock.instant(cpu::read_tsc())
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn wall_clock_at_start(&self) -> u64 {
        self.wall_clock_at_start
    }

    #[inline]
    fn cpu_id(&self, _cpu: &V::Cpu) -> CpuId {
        CpuId(cpu::this().id())
    }

    fn cpu_count(&self) -> u32 {
        self.cpu_count
    }

    #[inline]
    fn this_cpu(&self) -> CpuId {
        CpuId(cpu::this().id())
    }

    #[inline]
    fn set_alarm(&self, _cpu: &mut V::Cpu, at: Option<Instant>) {
        // An alarm that comes too early costs one turn of the loop, which asks again; writing the timer at every
        // change would cost more. So no time, and later times, leave an earlier one armed.
        let Some(at) = at else { return };
        let armed = &cpu::this().armed_tsc;
        let deadline = self.clock.tsc(at);
        let current = armed.load(Ordering::Relaxed);
        // One that has passed is about to arrive, or it was lost: QEMU's AMD-V drops an interrupt now and then that comes while
        // its own flags change. To arm again costs little, and nobody else would ever wake this CPU.
        if deadline < current || current <= cpu::read_tsc() {
            armed.store(deadline, Ordering::Relaxed);
            apic::arm(deadline);
        }
    }

    #[inline]
    fn next_interrupt(&self, _cpu: &mut V::Cpu) -> Option<HostVector> {
        let area = cpu::this();
        loop {
            let vector = match area.take_interrupt() {
                Some(vector) => vector,
                None => {
                    cpu::interrupt_window();
                    area.take_interrupt()?
                }
            };
            match vector {
                vectors::ALARM => {
                    apic::end_of_interrupt();
                    area.armed_tsc.store(u64::MAX, Ordering::Relaxed);
                    return Some(HostVector::Alarm);
                }
                vectors::KICK => {
                    apic::end_of_interrupt();
                    return Some(HostVector::Kick);
                }
                vectors::SPURIOUS => {}
                vectors::ERROR => {
                    apic::end_of_interrupt();
                    log::debug!("cpu{}: local APIC error", area.id());
                }
                device => {
                    // Before the interrupt is ended: by then its line is quiet or masked.
                    vectors::dispatch(device);
                    apic::end_of_interrupt();
                    return Some(HostVector::Device(Vector(device)));
                }
            }
        }
    }

    fn idle(&self, _cpu: &mut V::Cpu) {
        cpu::idle();
    }

    fn kick(&self, target: CpuId) {
        if let Some(area) = cpu::area_of(target.0) {
            apic::send_interrupt(area.apic_id(), vectors::KICK);
        }
    }

    fn allocate_ram(&self, ranges: &[GpaRange]) -> Result<GuestRam, NoMemory> {
        GuestRam::new(ranges)
    }

    fn new_slat(&self) -> Result<V::Slat, NoMemory> {
        V::new_slat()
    }

    fn new_vcpu(
        &self,
        cpu: &mut V::Cpu,
        plan: &VcpuPlan<'_, V::Slat>,
    ) -> Result<V::Vcpu, NoMemory> {
        V::new_vcpu(cpu, plan)
    }

    fn cpuid(&self, leaf: u32, subleaf: u32) -> CpuidResult {
        let cpu::Cpuid { eax, ebx, ecx, edx } = cpu::cpuid_count(leaf, subleaf);
        CpuidResult { eax, ebx, ecx, edx }
    }

    fn memory(&self) -> MemoryReport {
        memory::report()
    }

    fn log_tail(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        logger::write_tail(out)
    }

    #[inline]
    fn note(&self, _cpu: &mut V::Cpu, vm: &NotedName) {
        cpu::epitaph::note_vm(vm.words(), 0);
    }

    fn power(&self, action: PowerAction) -> ! {
        power::leave(action)
    }
}

/// Stacks for the first moments of the boot CPU, before there is memory to allocate from.
///
/// Whole pages, which are given back when there are better stacks.
#[repr(C, align(4096))]
pub(crate) struct EarlyStack([u8; 16 << 10]);

impl EarlyStack {
    pub(crate) const fn new() -> Self {
        Self([0; 16 << 10])
    }

    /// One stack for all three: good enough until `boot` has better ones.
    pub(crate) fn as_ist(stack: *mut Self) -> IstStacks {
        let top = stack as usize + size_of::<Self>();
        IstStacks {
            double_fault_top: top,
            nmi_top: top,
            machine_check_top: top,
        }
    }
}

impl<V: Vendor> Terminals for Machine<V> {
    fn terminals(&self) -> &[Terminal] {
        console::terminals()
    }

    fn terminal_write(&self, terminal: Terminal, bytes: &[u8]) -> usize {
        match terminal {
            Terminal::Serial => console::serial_write(bytes),
            Terminal::Screen => {
                console::screen_write(bytes);
                bytes.len()
            }
        }
    }

    fn terminal_read(&self, terminal: Terminal) -> Option<u8> {
        console::read(terminal)
    }

    fn terminal_status(&self, terminal: Terminal, text: &str) {
        match terminal {
            Terminal::Serial => {}
            Terminal::Screen => console::screen_status(text),
        }
    }

    fn terminal_draw(&self, terminal: Terminal) -> bool {
        match terminal {
            Terminal::Serial => false,
            Terminal::Screen => console::screen_draw(),
        }
    }
}
