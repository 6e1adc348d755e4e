//! A physical CPU in VMX root operation: what must be true for it, and how it gets there.

use core::fmt;
use core::marker::PhantomData;

use ::cpu::{LiveSlot, cpuid, read_cr0, read_cr4, read_msr, write_cr4, write_msr};
use host::NoMemory;
use memory::Frames;
use x86::{Cr4, msr};

use crate::bitmaps::Bitmaps;
use crate::capabilities::Unsupported;
use crate::features::Features;
use crate::live::VmxRegisters;
use crate::vmcs::{invept, vmxon, write_revision};

/// A physical CPU with VMX on. Holding it proves we run there.
pub struct VmxCpu {
    id: u32,
    features: Features,
    bitmaps: Bitmaps,
    /// The vCPU whose live registers are in the CPU.
    pub(crate) live: LiveSlot<VmxRegisters>,
    not_send: PhantomData<*mut ()>,
}

/// Why VMX could not be switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnableError {
    /// CPUID.1:ECX bit 5 is clear.
    NoVmx,
    /// IA32_FEATURE_CONTROL is locked with VMX off.
    LockedOff,
    /// VMX lacks something we cannot do without.
    Unsupported(Unsupported),
    /// Control registers hold bits that VMX operation forbids.
    ControlRegisters {
        /// CR0 as it is.
        cr0: u64,
        /// CR4 as it would be.
        cr4: u64,
    },
    /// VMXON failed.
    VmxonFailed,
    /// No memory for the VMXON region and the bitmaps.
    NoMemory,
}

impl fmt::Display for EnableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoVmx => f.write_str("this CPU has no VT-x (CPUID.1:ECX bit 5, VMX, is clear)"),
            Self::LockedOff => f.write_str(
                "firmware switched VT-x off and locked it (IA32_FEATURE_CONTROL bit 0 set, bit 2 clear): \
                 enable \"Intel Virtualization Technology\" (VT-x, VMX) in the firmware setup",
            ),
            Self::Unsupported(what) => write!(f, "this CPU's VT-x is not enough: {what}"),
            Self::ControlRegisters { cr0, cr4 } => {
                write!(f, "CR0 {cr0:#x} or CR4 {cr4:#x} is not legal in VMX operation")
            }
            Self::VmxonFailed => f.write_str("VMXON failed"),
            Self::NoMemory => f.write_str("no memory for the VMXON region"),
        }
    }
}

impl From<NoMemory> for EnableError {
    fn from(NoMemory: NoMemory) -> Self {
        Self::NoMemory
    }
}

/// Bits of IA32_FEATURE_CONTROL. (Intel SDM vol. 3C 24.7)
const LOCKED: u64 = 1 << 0;
const VMX_OUTSIDE_SMX: u64 = 1 << 2;

/// CPUID.1:ECX bit 5.
const CPUID_VMX: u32 = 1 << 5;

impl VmxCpu {
    /// Switches VMX on, on the CPU this runs on. (Intel SDM vol. 3C 24.7, 24.8 and 32.5)
    ///
    /// IA32_FEATURE_CONTROL is set and locked where firmware left it open.
    ///
    /// # Errors
    /// [`EnableError`] says what is missing and, where firmware decides, which setting to change.
    pub fn enable() -> Result<Self, EnableError> {
        let features = Self::probe()?;
        permit();
        let bitmaps = Bitmaps::new()?;
        let mut region = Frames::one()?;
        write_revision(&mut region, features.revision);

        let cr0 = read_cr0();
        let cr4 = read_cr4() | Cr4::VIRTUAL_MACHINE_EXTENSIONS.bits();
        let is_legal = |value: u64, must: u64, may: u64| value & must == must && value & !may == 0;
        if !is_legal(cr0, features.cr0_must, features.cr0_may)
            || !is_legal(cr4, features.cr4_must, features.cr4_may)
        {
            return Err(EnableError::ControlRegisters { cr0, cr4 });
        }
        // SAFETY: VMXE alone changes nothing but that VMXON is no longer #UD; CPUID has VMX.
        unsafe { write_cr4(cr4) };
        let region = region.leak();
        // SAFETY: CR4.VMXE is set, `permit` saw or set the permission, and the region is never freed.
        unsafe { vmxon(region) }.map_err(|_| EnableError::VmxonFailed)?;
        let cpu = Self {
            id: ::cpu::this().id(),
            features,
            bitmaps,
            live: LiveSlot::EMPTY,
            not_send: PhantomData,
        };
        cpu.flush_ept_all();
        Ok(cpu)
    }

    /// Looks whether [`enable`](Self::enable) can succeed on this CPU, and what it would offer; changes nothing.
    ///
    /// # Errors
    /// [`EnableError`], as `enable`.
    pub fn probe() -> Result<Features, EnableError> {
        if cpuid(1).ecx & CPUID_VMX == 0 {
            return Err(EnableError::NoVmx);
        }
        if read_msr(msr::IA32_FEATURE_CONTROL) & (LOCKED | VMX_OUTSIDE_SMX) == LOCKED {
            return Err(EnableError::LockedOff);
        }
        Features::read().map_err(EnableError::Unsupported)
    }

    /// Returns the features this CPU offers.
    #[must_use]
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// Number of the CPU.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn bitmaps(&self) -> Bitmaps {
        self.bitmaps
    }

    /// Drops what this CPU remembers of the tables behind an EPTP.
    pub(crate) fn flush_ept(&self, ept_pointer: u64) {
        if self.features.has_invept_single {
            // SAFETY: VMX is on, and the type exists.
            unsafe { invept(1, ept_pointer) };
        } else {
            // `Features::read` insists on one of the two.
            self.flush_ept_all();
        }
    }

    fn flush_ept_all(&self) {
        if self.features.has_invept_all {
            // SAFETY: VMX is on, and the type exists.
            unsafe { invept(2, 0) };
        }
    }
}

/// Makes sure that IA32_FEATURE_CONTROL, if not locked, permits VMXON outside SMX.
fn permit() {
    let control = read_msr(msr::IA32_FEATURE_CONTROL);
    if control & LOCKED == 0 {
        // SAFETY: the MSR exists where VMX does, is not locked, and both bits are defined.
        unsafe {
            write_msr(
                msr::IA32_FEATURE_CONTROL,
                control | VMX_OUTSIDE_SMX | LOCKED,
            )
        };
    }
}
