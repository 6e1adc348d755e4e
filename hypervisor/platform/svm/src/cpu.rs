//! A physical CPU with SVM on. (AMD APM vol. 2 15.4, 15.30)

use core::fmt;
use core::marker::PhantomData;

use ::cpu::msr::{EFER_SVME, IA32_EFER, VM_CR, VM_HSAVE_PA};
use ::cpu::{LiveSlot, read_msr, try_read_msr, try_write_msr, write_msr};
use host::NoMemory;
use memory::Frames;

use crate::asid::AsidPool;
use crate::bitmaps::{Maps, maps};
use crate::enter::save_host;
use crate::features::{Features, is_offered};

/// VM_CR: SVM cannot be enabled.
const VM_CR_SVMDIS: u64 = 1 << 4;
/// VM_CR: SVMDIS and LOCK are read-only.
const VM_CR_LOCK: u64 = 1 << 3;

/// The CPU this code runs on, with SVM on. It stays on that CPU.
pub struct SvmCpu {
    id: u32,
    pub(crate) features: Features,
    pub(crate) maps: Maps,
    pub(crate) asids: AsidPool,
    /// Hypervisor state that VMSAVE stored: loaded after each exit.
    host: Frames,
    /// Where VMRUN keeps the rest of the hypervisor's state.
    _save_area: Frames,
    /// The vCPU whose live registers are in the CPU.
    pub(crate) live: LiveSlot,
    not_send: PhantomData<*mut ()>,
}

/// Why SVM could not be switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnableError {
    /// The CPU does not have it.
    NoSvm,
    /// Firmware has switched it off.
    SwitchedOff {
        /// VM_CR as it was read.
        vm_cr: u64,
    },
    /// The CPU has SVM without nested paging.
    NoNestedPaging,
    /// No memory for the CPU's structures.
    NoMemory,
}

impl fmt::Display for EnableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSvm => f.write_str(
                "this CPU has no AMD-V (CPUID 8000_0001h ECX bit 2, SVM, is clear); under another hypervisor, allow nesting",
            ),
            Self::SwitchedOff { vm_cr } => write!(
                f,
                "AMD-V is switched off by firmware (MSR C001_0114h, VM_CR, is {vm_cr:#x}: bit 4, SVMDIS, is set{}); \
                 enable \"SVM Mode\" (also called AMD-V or Virtualization) in the firmware setup, under CPU settings",
                if vm_cr & VM_CR_LOCK != 0 { " and bit 3, LOCK, keeps it" } else { "" },
            ),
            Self::NoNestedPaging => f.write_str(
                "this CPU has AMD-V without nested paging (CPUID 8000_000Ah EDX bit 0, NP, is clear), which is needed",
            ),
            Self::NoMemory => f.write_str("no memory for the CPU's SVM structures"),
        }
    }
}

impl From<NoMemory> for EnableError {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

impl SvmCpu {
    /// Switches SVM on, on the CPU this runs on.
    ///
    /// Segment registers, TR and GS base must have their final values: they are what every exit brings back.
    ///
    /// # Errors
    /// [`EnableError`], which says what to do.
    pub fn enable() -> Result<Self, EnableError> {
        if !is_offered() {
            return Err(EnableError::NoSvm);
        }
        let features = Features::read();
        allow()?;
        if !features.nested_paging {
            return Err(EnableError::NoNestedPaging);
        }
        let (host, save_area) = (Frames::one()?, Frames::one()?);
        // SAFETY: the CPU has SVM and firmware allows it; the bit alone only makes its instructions legal.
        unsafe { write_msr(IA32_EFER, read_msr(IA32_EFER) | EFER_SVME) };
        // SAFETY: SVM is on, so the MSR exists; the page is ours as long as this value lives, and so is VMRUN.
        unsafe { write_msr(VM_HSAVE_PA, save_area.hpa().raw()) };
        // SAFETY: SVM is on; the page is ours.
        unsafe { save_host(host.hpa().raw()) };
        Ok(Self {
            id: ::cpu::this().id(),
            features,
            maps: maps()?,
            asids: AsidPool::new(features.asid_count),
            host,
            _save_area: save_area,
            live: LiveSlot::EMPTY,
            not_send: PhantomData,
        })
    }

    /// Returns the features this CPU offers.
    #[must_use]
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// The CPU's number.
    #[inline]
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Physical address of the block with the hypervisor's state.
    #[inline]
    pub(crate) fn host_block(&self) -> u64 {
        self.host.hpa().raw()
    }
}

/// Makes sure that VM_CR lets SVM be enabled; clears SVMDIS where firmware left it open.
fn allow() -> Result<(), EnableError> {
    // A CPU or emulator without VM_CR has no way to forbid SVM.
    let vm_cr = try_read_msr(VM_CR).unwrap_or(0);
    if vm_cr & VM_CR_SVMDIS == 0 {
        return Ok(());
    }
    let is_open = vm_cr & VM_CR_LOCK == 0
        // SAFETY: the bit only allows EFER.SVME to be set.
        && unsafe { try_write_msr(VM_CR, vm_cr & !VM_CR_SVMDIS) }
        && read_msr(VM_CR) & VM_CR_SVMDIS == 0;
    if is_open {
        Ok(())
    } else {
        Err(EnableError::SwitchedOff { vm_cr })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_locked_switch_names_bit_and_setting() {
        let text = EnableError::SwitchedOff { vm_cr: 0x18 }.to_string();
        assert!(text.contains("SVMDIS") && text.contains("LOCK") && text.contains("SVM Mode"));
    }
}
