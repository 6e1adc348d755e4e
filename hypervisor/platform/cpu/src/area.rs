//! Data of one physical CPU, found through GS.
//!
//! Everything shared is atomic: NMI and #MC handlers and other CPUs look in here. GS base holds the area's
//! address in all hypervisor code; guests get their own GS base at VM entry.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::epitaph::Notes;
use crate::exceptions::ExceptionFrame;
use crate::msr::{self, write_msr};
use crate::tables::Tables;

/// The most physical CPUs the hypervisor starts.
pub const MAX_CPUS: usize = 256;

static AREAS: [AtomicPtr<CpuArea>; MAX_CPUS] =
    [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CPUS];
static AREA_COUNT: AtomicUsize = AtomicUsize::new(0);

/// One CPU's own data.
#[repr(C, align(64))]
pub struct CpuArea {
    /// Address of this very area: `mov rax, gs:[0]` fetches it.
    this: AtomicPtr<CpuArea>,
    /// One bit per vector: interrupts taken from the APIC and not yet given to the CPU loop.
    pending: [AtomicU64; 4],
    /// The TSC value the alarm is armed for; `u64::MAX` when it is not. Owned by the machine's alarm code.
    pub armed_tsc: AtomicU64,
    /// Number of the CPU, dense from 0; 0 is the one that booted.
    id: AtomicU32,
    /// Its local APIC's identifier.
    apic_id: AtomicU32,
    nmi_count: AtomicU64,
    machine_check_count: AtomicU64,
    /// Top of the stack the CPU loop runs on, and its size; the backtrace stays inside.
    stack_top: AtomicUsize,
    stack_bytes: AtomicUsize,
    /// Registers of the exception that is being reported, while one is.
    fault_frame: AtomicPtr<ExceptionFrame>,
    notes: Notes,
    pub(crate) tables: UnsafeCell<Tables>,
}

// SAFETY: all fields are atomics but `tables`, which only `init_cpu` writes, on its own CPU, before the CPU
// reports itself started.
unsafe impl Sync for CpuArea {}

/// Offset of the bitmap the interrupt stubs write.
pub(crate) const PENDING_OFFSET: usize = offset_of!(CpuArea, pending);
const _: () = assert!(offset_of!(CpuArea, this) == 0);

/// The area of the CPU this runs on. It must have one: see [`init_cpu`](crate::init_cpu).
#[inline(always)]
pub fn this() -> &'static CpuArea {
    let area: *const CpuArea;
    // SAFETY: GS base points to a leaked `CpuArea` whose first field is its own address, since `install`.
    unsafe {
        asm!("mov {}, gs:[0]", out(reg) area, options(nostack, preserves_flags, readonly, pure))
    };
    // SAFETY: as above; areas live for ever and are shared by atomics only.
    unsafe { &*area }
}

/// The area of a CPU by number.
pub fn area_of(id: u32) -> Option<&'static CpuArea> {
    let area = AREAS.get(id as usize)?.load(Ordering::Acquire);
    // SAFETY: null, or a leaked area put there by `install`.
    unsafe { area.as_ref() }
}

/// All CPUs that have an area.
pub fn areas() -> impl Iterator<Item = &'static CpuArea> {
    (0..MAX_CPUS as u32).filter_map(area_of)
}

/// Returns whether any CPU has an area yet. Before that, [`this`] must not be called.
pub fn area_ready() -> bool {
    AREA_COUNT.load(Ordering::Acquire) != 0
}

impl CpuArea {
    /// An area to be leaked and handed to [`init_cpu`](crate::init_cpu).
    pub const fn new(id: u32, apic_id: u32) -> Self {
        Self {
            this: AtomicPtr::new(ptr::null_mut()),
            pending: [const { AtomicU64::new(0) }; 4],
            armed_tsc: AtomicU64::new(u64::MAX),
            id: AtomicU32::new(id),
            apic_id: AtomicU32::new(apic_id),
            nmi_count: AtomicU64::new(0),
            machine_check_count: AtomicU64::new(0),
            stack_top: AtomicUsize::new(0),
            stack_bytes: AtomicUsize::new(0),
            fault_frame: AtomicPtr::new(ptr::null_mut()),
            notes: Notes::new(),
            tables: UnsafeCell::new(Tables::new()),
        }
    }

    /// Points GS of the running CPU here and lists the area.
    pub(crate) fn install(&'static self) {
        let address = ptr::from_ref(self).cast_mut();
        self.this.store(address, Ordering::Relaxed);
        // SAFETY: every long-mode CPU has GS base; the area lives for ever.
        unsafe { write_msr(msr::IA32_GS_BASE, address as u64) };
        if let Some(slot) = AREAS.get(self.id() as usize) {
            slot.store(address, Ordering::Release);
        }
        AREA_COUNT.fetch_add(1, Ordering::Release);
    }

    /// Number of the CPU, dense from 0.
    #[inline]
    pub fn id(&self) -> u32 {
        self.id.load(Ordering::Relaxed)
    }

    /// Identifier of its local APIC.
    pub fn apic_id(&self) -> u32 {
        self.apic_id.load(Ordering::Relaxed)
    }

    /// Corrects the APIC identifier of the boot CPU, known only once its APIC is.
    pub fn set_apic_id(&self, apic_id: u32) {
        self.apic_id.store(apic_id, Ordering::Relaxed);
    }

    /// Notes that a vector was taken from the local APIC, as a VM exit with acknowledged interrupt does.
    #[inline]
    pub fn note_interrupt(&self, vector: u8) {
        self.pending[usize::from(vector >> 6)].fetch_or(1 << (vector & 63), Ordering::Relaxed);
    }

    /// Returns whether an interrupt waits for the CPU loop.
    #[inline]
    pub fn has_interrupt(&self) -> bool {
        self.pending
            .iter()
            .any(|word| word.load(Ordering::Relaxed) != 0)
    }

    /// Takes the highest vector that waits: the one the local APIC has in service, to be ended next.
    #[inline]
    pub fn take_interrupt(&self) -> Option<u8> {
        for (index, word) in self.pending.iter().enumerate().rev() {
            let bits = word.load(Ordering::Relaxed);
            if let Some(bit) = bits.checked_ilog2() {
                word.fetch_and(!(1 << bit), Ordering::Relaxed);
                return Some(index as u8 * 64 + bit as u8);
            }
        }
        None
    }

    /// NMIs seen so far.
    pub fn nmi_count(&self) -> u64 {
        self.nmi_count.load(Ordering::Relaxed)
    }

    /// Machine checks survived so far.
    pub fn machine_check_count(&self) -> u64 {
        self.machine_check_count.load(Ordering::Relaxed)
    }

    pub(crate) fn count_nmi(&self) {
        self.nmi_count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_machine_check(&self) {
        self.machine_check_count.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells where this CPU's stack is: its top and its size in bytes.
    pub fn set_stack(&self, top: usize, bytes: usize) {
        self.stack_top.store(top, Ordering::Relaxed);
        self.stack_bytes.store(bytes, Ordering::Relaxed);
    }

    /// The addresses of this CPU's stack; empty if never told.
    pub fn stack(&self) -> core::ops::Range<usize> {
        let top = self.stack_top.load(Ordering::Relaxed);
        top.saturating_sub(self.stack_bytes.load(Ordering::Relaxed))..top
    }

    pub(crate) fn set_fault_frame(&self, frame: &ExceptionFrame) {
        self.fault_frame
            .store(ptr::from_ref(frame).cast_mut(), Ordering::Relaxed);
    }

    /// The registers of the exception being reported on this CPU, if one is.
    pub fn fault_frame(&self) -> Option<&ExceptionFrame> {
        // SAFETY: null, or a frame on this CPU's stack that never goes: the handler that set it does not return.
        unsafe { self.fault_frame.load(Ordering::Relaxed).as_ref() }
    }

    /// Returns the notes of what this CPU was doing, for the epitaph.
    #[inline]
    pub fn notes(&self) -> &Notes {
        &self.notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn highest_vector_comes_first() {
        let area = CpuArea::new(0, 0);
        for vector in [33, 255, 64, 63] {
            area.note_interrupt(vector);
        }
        let taken = core::iter::from_fn(|| area.take_interrupt());
        assert!(taken.eq([255, 64, 63, 33]));
        assert!(!area.has_interrupt());
    }

    #[test]
    fn same_vector_twice_is_one_interrupt() {
        let area = CpuArea::new(0, 0);
        area.note_interrupt(40);
        area.note_interrupt(40);
        assert_eq!(area.take_interrupt(), Some(40));
        assert_eq!(area.take_interrupt(), None);
    }
}
