//! Guest registers that stay in the CPU across exits, because the hypervisor uses none of them: the
//! vector registers, XCR0, DR0 to DR3, TSC_AUX, XSS, and what else the vendor's world switch leaves
//! there.
//!
//! They change hands only when another vCPU runs on the CPU: [`LiveSlot::bring_in`] puts the values
//! of the last one away and loads those of the next. Until then [`LiveRegisters`] asks the CPU for
//! them, so its users need not know where they are.

extern crate alloc;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};

use spin::Mutex;

use crate::features::{cpuid, cpuid_count, has_cpuid_leaf, has_extended_leaf};
use crate::instructions::read_xcr0;
use crate::msr::{IA32_TSC_AUX, IA32_XSS, write_msr};
use crate::probe::{try_write_msr, try_write_xcr0};
use crate::vector_state::VectorState;

/// Values of the registers that only one vendor's world switch leaves in the CPU.
pub trait VendorRegisters: Send + 'static {
    /// Takes the values from the CPU.
    fn read_registers(&mut self);

    /// Puts the values into the CPU.
    fn write_registers(&self);
}

/// For a vendor whose world switch leaves no more than the common ones.
impl VendorRegisters for () {
    fn read_registers(&mut self) {}

    fn write_registers(&self) {}
}

/// No CPU.
const NOWHERE: u32 = u32::MAX;

/// The live registers of one vCPU, wherever they are.
pub struct LiveRegisters<V = ()> {
    /// The CPU that has them, or [`NOWHERE`].
    on: AtomicU32,
    has_tsc_aux: bool,
    has_xss: bool,
    /// All components, where the CPU has XSAVE.
    all_components: Option<u64>,
    /// Leaf lock; taken when vCPUs switch and when an operator or a reset looks.
    parked: Mutex<Parked<V>>,
}

/// The registers' values while no CPU has them. While one has, they are those of the last switch,
/// but for TSC_AUX and XSS: no guest writes these without an exit, so they are always right. XCR0
/// can be written so on emulators that do not intercept XSETBV.
struct Parked<V> {
    vector: VectorState,
    xcr0: u64,
    dr: [u64; 4],
    tsc_aux: u64,
    xss: u64,
    vendor: V,
}

impl<V: VendorRegisters> LiveRegisters<V> {
    /// Makes the registers of a new vCPU: the state after reset, and `vendor`.
    #[must_use]
    pub fn new(vendor: V) -> Arc<Self> {
        let vector = VectorState::new();
        let all_components = vector.components();
        Arc::new(Self {
            on: AtomicU32::new(NOWHERE),
            has_tsc_aux: has_extended_leaf(0x8000_0001) && cpuid(0x8000_0001).edx >> 27 & 1 != 0,
            has_xss: all_components.is_some()
                && has_cpuid_leaf(0xd)
                && cpuid_count(0xd, 1).eax >> 3 & 1 != 0,
            all_components,
            parked: Mutex::new(Parked {
                vector,
                xcr0: 1,
                dr: [0; 4],
                tsc_aux: 0,
                xss: 0,
                vendor,
            }),
        })
    }

    /// Returns XCR0.
    pub fn xcr0(&self) -> u64 {
        if self.all_components.is_some() && self.is_here() {
            read_xcr0()
        } else {
            self.parked.lock().xcr0
        }
    }

    /// Replaces XCR0. The CPU keeps its own value where it refuses this one.
    pub fn set_xcr0(&self, value: u64) {
        self.parked.lock().xcr0 = value;
        if self.all_components.is_some() && self.is_here() {
            try_write_xcr0(value);
        }
    }

    /// Returns DR0 to DR3.
    pub fn debug_addresses(&self) -> [u64; 4] {
        if self.is_here() {
            read_debug_addresses()
        } else {
            self.parked.lock().dr
        }
    }

    /// Replaces DR0 to DR3.
    pub fn set_debug_addresses(&self, dr: [u64; 4]) {
        self.parked.lock().dr = dr;
        if self.is_here() {
            write_debug_addresses(dr);
        }
    }

    /// Returns TSC_AUX.
    pub fn tsc_aux(&self) -> u64 {
        self.parked.lock().tsc_aux
    }

    /// Replaces TSC_AUX.
    pub fn set_tsc_aux(&self, value: u64) {
        self.change_msrs(|parked| parked.tsc_aux = value);
    }

    /// Returns XSS.
    pub fn xss(&self) -> u64 {
        self.parked.lock().xss
    }

    /// Replaces XSS.
    pub fn set_xss(&self, value: u64) {
        self.change_msrs(|parked| parked.xss = value);
    }

    /// Reads or changes a register of the vendor where it is: by `in_cpu` while this CPU has it,
    /// else by `parked`.
    pub fn vendor<R>(&self, in_cpu: impl FnOnce() -> R, parked: impl FnOnce(&mut V) -> R) -> R {
        if self.is_here() {
            in_cpu()
        } else {
            parked(&mut self.parked.lock().vendor)
        }
    }

    /// Returns the values of all registers of the vendor.
    pub fn values(&self) -> V
    where
        V: Copy,
    {
        let mut parked = self.parked.lock();
        if self.is_here() {
            parked.vendor.read_registers();
        }
        parked.vendor
    }

    /// Returns x87, SSE, AVX…, as [`VectorState::image`] gives them.
    pub fn vector_image(&self) -> Vec<u8> {
        self.away(|parked| parked.vector.image())
    }

    /// Replaces x87, SSE, AVX….
    ///
    /// # Errors
    /// As [`VectorState::set_image`].
    pub fn set_vector_image(&self, image: &[u8], allowed: u64) -> Result<(), &'static str> {
        self.away(|parked| parked.vector.set_image(image, allowed))
    }

    /// Gives the vector registers their state after reset, and XCR0 its 1.
    pub fn reset_vector_state(&self) {
        self.away(|parked| {
            parked.vector.reset();
            parked.xcr0 = 1;
        });
    }

    /// Returns whether the CPU this runs on has the registers.
    ///
    /// # Panics
    /// When another CPU has them: from here they cannot be reached.
    fn is_here(&self) -> bool {
        let on = self.on.load(Ordering::Relaxed);
        if on == NOWHERE {
            return false;
        }
        let here = crate::this().id();
        assert!(
            on == here,
            "registers that cpu{on} has were asked for on cpu{here}"
        );
        true
    }

    /// Works on the values in memory; where the CPU has the registers, they leave it and come back.
    fn away<R>(&self, work: impl FnOnce(&mut Parked<V>) -> R) -> R {
        let is_here = self.is_here();
        self.put_away();
        let result = work(&mut self.parked.lock());
        if is_here {
            self.bring_in();
        }
        result
    }

    fn change_msrs(&self, change: impl FnOnce(&mut Parked<V>)) {
        let mut parked = self.parked.lock();
        change(&mut parked);
        if self.is_here() {
            self.write_msrs(&parked);
        }
    }

    /// Puts the registers into this CPU. Those of another vCPU were [put away](Self::put_away).
    fn bring_in(&self) {
        let parked = self.parked.lock();
        if let Some(all) = self.all_components {
            try_write_xcr0(all);
        }
        // SAFETY: XCR0 was just set to all components; what the registers held was saved or is
        // nobody's.
        unsafe { parked.vector.restore() };
        if self.all_components.is_some() {
            try_write_xcr0(parked.xcr0);
        }
        write_debug_addresses(parked.dr);
        self.write_msrs(&parked);
        parked.vendor.write_registers();
        self.on.store(crate::this().id(), Ordering::Relaxed);
    }

    /// Takes the registers out of this CPU, if they are here. Leaves XCR0 at all components.
    fn put_away(&self) {
        let mut parked = self.parked.lock();
        if !self.is_here() {
            return;
        }
        if let Some(all) = self.all_components {
            parked.xcr0 = read_xcr0();
            try_write_xcr0(all);
        }
        // SAFETY: XCR0 was just set to all components.
        unsafe { parked.vector.save() };
        parked.dr = read_debug_addresses();
        parked.vendor.read_registers();
        self.on.store(NOWHERE, Ordering::Relaxed);
    }

    fn write_msrs(&self, parked: &Parked<V>) {
        if self.has_tsc_aux {
            // SAFETY: the CPU has the MSR, of which only RDTSCP and RDPID know; bits above 31 are
            // reserved.
            unsafe { write_msr(IA32_TSC_AUX, parked.tsc_aux & 0xffff_ffff) };
        }
        if self.has_xss {
            // SAFETY: the value governs XSAVES only, which the hypervisor does not execute; a bad
            // one is refused.
            unsafe { try_write_msr(IA32_XSS, parked.xss) };
        }
    }
}

/// The vCPU whose live registers one physical CPU has.
pub struct LiveSlot<V = ()>(Option<Arc<LiveRegisters<V>>>);

impl<V: VendorRegisters> LiveSlot<V> {
    /// The registers are nobody's.
    pub const EMPTY: Self = Self(None);

    /// Returns whether the CPU has these registers.
    #[inline]
    pub fn has(&self, live: &Arc<LiveRegisters<V>>) -> bool {
        self.0
            .as_ref()
            .is_some_and(|loaded| Arc::ptr_eq(loaded, live))
    }

    /// Puts the registers into the CPU this runs on, whose slot this is, and those that were there
    /// away.
    ///
    /// # Panics
    /// When another CPU has them: a vCPU takes its registers along when it moves.
    #[cold]
    pub fn bring_in(&mut self, live: &Arc<LiveRegisters<V>>) {
        if let Some(last) = self.0.take() {
            last.put_away();
        }
        assert!(
            !live.is_here(),
            "a CPU has registers that its slot does not"
        );
        live.bring_in();
        self.0 = Some(Arc::clone(live));
    }
}

fn read_debug_addresses() -> [u64; 4] {
    let (dr0, dr1, dr2, dr3);
    // SAFETY: reading them has no effect; DR7.GD is clear after every exit.
    unsafe {
        asm!("mov {}, dr0", "mov {}, dr1", "mov {}, dr2", "mov {}, dr3",
            out(reg) dr0, out(reg) dr1, out(reg) dr2, out(reg) dr3, options(nomem, nostack, preserves_flags));
    }
    [dr0, dr1, dr2, dr3]
}

fn write_debug_addresses([dr0, dr1, dr2, dr3]: [u64; 4]) {
    // SAFETY: they do nothing in the hypervisor: an exit leaves all breakpoints of DR7 off, and so
    // did firmware.
    unsafe {
        asm!("mov dr0, {}", "mov dr1, {}", "mov dr2, {}", "mov dr3, {}",
            in(reg) dr0, in(reg) dr1, in(reg) dr2, in(reg) dr3, options(nomem, nostack, preserves_flags));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two registers of a vendor that has no hardware.
    struct Pair(u64, u64);

    impl VendorRegisters for Pair {
        fn read_registers(&mut self) {
            self.0 += 1;
        }

        fn write_registers(&self) {}
    }

    #[test]
    fn a_new_vcpu_has_the_state_after_reset() {
        let live = LiveRegisters::new(());
        assert_eq!((live.xcr0(), live.tsc_aux(), live.xss()), (1, 0, 0));
        assert_eq!(live.debug_addresses(), [0; 4]);
        assert_eq!(live.vector_image(), VectorState::new().image());
    }

    #[test]
    fn what_no_cpu_has_is_kept_in_memory() {
        let live = LiveRegisters::new(Pair(1, 2));
        live.set_xcr0(7);
        live.set_debug_addresses([1, 2, 3, 4]);
        live.set_tsc_aux(5);
        live.set_xss(0x100);
        live.vendor(|| unreachable!("no CPU has them"), |pair| pair.1 = 9);
        assert_eq!((live.xcr0(), live.tsc_aux(), live.xss()), (7, 5, 0x100));
        assert_eq!(live.debug_addresses(), [1, 2, 3, 4]);
        // 1: nothing was taken from the CPU.
        assert_eq!(live.vendor(|| (0, 0), |pair| (pair.0, pair.1)), (1, 9));
    }

    #[test]
    fn a_reset_of_vector_state_takes_xcr0_along() {
        let live = LiveRegisters::new(());
        let fresh = live.vector_image();
        let mut image = fresh.clone();
        image[160] = 0x5a;
        assert_eq!(live.set_vector_image(&image, u64::MAX), Ok(()));
        live.set_xcr0(7);
        live.reset_vector_state();
        assert_eq!((live.vector_image(), live.xcr0()), (fresh, 1));
    }

    #[test]
    fn an_empty_slot_has_nobodys_registers() {
        let live = LiveRegisters::new(());
        assert!(!LiveSlot::EMPTY.has(&live));
        assert!(LiveSlot(Some(Arc::clone(&live))).has(&live));
        assert!(!LiveSlot(Some(LiveRegisters::new(()))).has(&live));
    }
}
