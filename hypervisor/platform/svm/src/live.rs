//! Guest state that stays in the CPU's registers across exits: x87, SSE and AVX, XCR0, DR0 to DR3, TSC_AUX, XSS.
//!
//! The hypervisor does not use these registers, so they change hands only when another vCPU runs on the CPU.
//! TSC_AUX and XSS cannot be written without an exit, so what is kept here of them is always right. XCR0 can on
//! emulators that do not intercept XSETBV, so it is read back.

use alloc::vec::Vec;
use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};

use cpu::VectorState;
use cpu::msr::{IA32_TSC_AUX, IA32_XSS};
use spin::{Mutex, MutexGuard};

use crate::features::Features;

/// No CPU.
const NOWHERE: u32 = u32::MAX;

/// The switched registers of one vCPU, and where they are.
pub(crate) struct Live {
    /// The CPU that has them in its registers, or [`NOWHERE`].
    on: AtomicU32,
    features: Features,
    /// Leaf lock; taken when vCPUs switch and when an operator or a reset looks.
    parked: Mutex<Parked>,
}

/// The registers' values while no CPU has them; while one has, `vector`, `xcr0` and `dr` are those of the last switch.
pub(crate) struct Parked {
    vector: VectorState,
    xcr0: u64,
    dr: [u64; 4],
    tsc_aux: u64,
    xss: u64,
}

impl Live {
    /// State after reset.
    pub(crate) fn new(features: Features) -> Self {
        Self {
            on: AtomicU32::new(NOWHERE),
            features,
            parked: Mutex::new(Parked {
                vector: VectorState::new(),
                xcr0: 1,
                dr: [0; 4],
                tsc_aux: 0,
                xss: 0,
            }),
        }
    }

    /// The CPU that has the registers.
    #[inline]
    pub(crate) fn cpu(&self) -> Option<u32> {
        let on = self.on.load(Ordering::Relaxed);
        (on != NOWHERE).then_some(on)
    }

    fn is_here(&self) -> bool {
        self.cpu() == Some(cpu::this().id())
    }

    /// Puts the registers into this CPU. Whoever had it before was [`put_away`](Self::put_away).
    pub(crate) fn bring_in(&self) {
        let parked = self.parked.lock();
        if self.features.xsave {
            cpu::try_write_xcr0(host_xcr0());
        }
        // SAFETY: XCR0 was just set to all components; what the registers held was saved or is nobody's.
        unsafe { parked.vector.restore() };
        if self.features.xsave {
            cpu::try_write_xcr0(parked.xcr0);
        }
        write_debug_registers(&parked.dr);
        self.write_msrs(&parked);
        self.on.store(cpu::this().id(), Ordering::Relaxed);
    }

    /// Takes the registers out of this CPU, if they are here.
    pub(crate) fn put_away(&self) {
        let mut parked = self.parked.lock();
        if !self.is_here() {
            return;
        }
        if self.features.xsave {
            parked.xcr0 = cpu::read_xcr0();
            cpu::try_write_xcr0(host_xcr0());
        }
        // SAFETY: XCR0 was just set to all components.
        unsafe { parked.vector.save() };
        parked.dr = read_debug_registers();
        self.on.store(NOWHERE, Ordering::Relaxed);
    }

    /// XCR0.
    pub(crate) fn xcr0(&self) -> u64 {
        if self.features.xsave && self.is_here() {
            cpu::read_xcr0()
        } else {
            self.parked.lock().xcr0
        }
    }

    /// Replaces XCR0.
    pub(crate) fn set_xcr0(&self, value: u64) {
        self.parked.lock().xcr0 = value;
        if self.features.xsave && self.is_here() {
            cpu::try_write_xcr0(value);
        }
    }

    /// DR0 to DR3.
    pub(crate) fn debug_registers(&self) -> [u64; 4] {
        if self.is_here() {
            read_debug_registers()
        } else {
            self.parked.lock().dr
        }
    }

    /// Replaces DR0 to DR3.
    pub(crate) fn set_debug_registers(&self, dr: &[u64; 4]) {
        self.parked.lock().dr = *dr;
        if self.is_here() {
            write_debug_registers(dr);
        }
    }

    /// TSC_AUX.
    pub(crate) fn tsc_aux(&self) -> u64 {
        self.parked.lock().tsc_aux
    }

    /// XSS.
    pub(crate) fn xss(&self) -> u64 {
        self.parked.lock().xss
    }

    /// Replaces TSC_AUX.
    pub(crate) fn set_tsc_aux(&self, value: u64) {
        self.replace(|parked| parked.tsc_aux = value);
    }

    /// Replaces XSS.
    pub(crate) fn set_xss(&self, value: u64) {
        self.replace(|parked| parked.xss = value);
    }

    fn replace(&self, change: impl FnOnce(&mut MutexGuard<'_, Parked>)) {
        let mut parked = self.parked.lock();
        change(&mut parked);
        if self.is_here() {
            self.write_msrs(&parked);
        }
    }

    /// x87, SSE, AVX…, as [`VectorState::image`] gives them.
    pub(crate) fn vector_image(&self) -> Vec<u8> {
        let is_here = self.is_here();
        self.put_away();
        let image = self.parked.lock().vector.image();
        if is_here {
            self.bring_in();
        }
        image
    }

    /// Replaces x87, SSE, AVX….
    pub(crate) fn set_vector_image(&self, image: &[u8], allowed: u64) -> Result<(), &'static str> {
        let is_here = self.is_here();
        self.put_away();
        let answer = self.parked.lock().vector.set_image(image, allowed);
        if is_here {
            self.bring_in();
        }
        answer
    }

    /// Gives the vector registers their state after reset, and XCR0 its 1.
    pub(crate) fn reset_vector_state(&self) {
        let mut parked = self.parked.lock();
        parked.vector.reset();
        parked.xcr0 = 1;
        if self.is_here() {
            drop(parked);
            self.bring_in();
        }
    }

    fn write_msrs(&self, parked: &Parked) {
        if self.features.tsc_aux {
            // SAFETY: the CPU has the MSR, of which only RDTSCP and RDPID know; bits above 31 are reserved.
            unsafe { cpu::write_msr(IA32_TSC_AUX, parked.tsc_aux & 0xffff_ffff) };
        }
        if self.features.xsaves {
            // SAFETY: the value governs XSAVES only, which the hypervisor does not execute; a bad one is refused.
            unsafe { cpu::try_write_msr(IA32_XSS, parked.xss) };
        }
    }
}

fn host_xcr0() -> u64 {
    cpu::host_xcr0().unwrap_or(1)
}

fn read_debug_registers() -> [u64; 4] {
    let (dr0, dr1, dr2, dr3);
    // SAFETY: reading them has no effect; DR7.GD is clear after every exit.
    unsafe {
        asm!("mov {}, dr0", "mov {}, dr1", "mov {}, dr2", "mov {}, dr3",
            out(reg) dr0, out(reg) dr1, out(reg) dr2, out(reg) dr3, options(nomem, nostack, preserves_flags));
    }
    [dr0, dr1, dr2, dr3]
}

fn write_debug_registers(&[dr0, dr1, dr2, dr3]: &[u64; 4]) {
    // SAFETY: they do nothing in the hypervisor: #VMEXIT leaves all breakpoints of DR7 off.
    unsafe {
        asm!("mov dr0, {}", "mov dr1, {}", "mov dr2, {}", "mov dr3, {}",
            in(reg) dr0, in(reg) dr1, in(reg) dr2, in(reg) dr3, options(nomem, nostack, preserves_flags));
    }
}
