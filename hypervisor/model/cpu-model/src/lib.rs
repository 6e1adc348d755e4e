//! The CPU a guest sees: CPUID, MSRs, XCR0.
//!
//! A [`CpuModel`] is made once per VM, from the physical CPU and a [`CpuPlan`], and answers from tables. Denied by default: a
//! feature is offered when [`features`] lists it and the physical CPU has it; an MSR exists when [`msr`]'s table lists it.
//!
//! Follows Intel SDM vol. 2A "CPUID" and vol. 4; AMD APM vol. 3 appendix E and vol. 2 appendix A.
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm
)]

extern crate alloc;

mod cpuid;
pub mod features;
pub mod msr;
mod saved;
mod topology;
mod xsave;

pub use cpuid::Dynamic;
pub use msr::{KvmMsr, MsrFile, MsrRead, MsrWrite};

use cpuid::Leaves;
use msr::MsrTable;
use x86::{CpuidResult, GeneralProtection, Xcr0};
use xsave::Components;

/// Whose rules a CPU follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// Intel, and those who follow it.
    Intel,
    /// AMD and Hygon.
    Amd,
}

impl Vendor {
    /// The vendor that leaf 0 names.
    #[must_use]
    pub fn of(leaf_0: CpuidResult) -> Self {
        let name = [leaf_0.ebx, leaf_0.edx, leaf_0.ecx].map(u32::to_le_bytes);
        match name.as_flattened() {
            b"AuthenticAMD" | b"HygonGenuine" => Self::Amd,
            _ => Self::Intel,
        }
    }
}

/// Configuration of a VM's CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuPlan {
    /// Number of vCPUs: cores of one package, with APIC ids from 0 up.
    pub vcpus: u32,
    /// TSC frequency in kHz.
    pub tsc_khz: u64,
    /// Frequency of the local APIC timer before its divider, in kHz.
    pub apic_timer_khz: u32,
    /// Physical-address bits at most; what the physical CPU has, if that is less.
    pub physical_bits: u8,
    /// True if PCID and INVPCID may be offered.
    pub offers_pcid: bool,
}

/// The CPU of one VM.
#[derive(Clone, Debug)]
pub struct CpuModel {
    vendor: Vendor,
    physical_bits: u8,
    leaves: Leaves,
    components: Components,
    msrs: MsrTable,
    cr4_allowed: u64,
    efer_allowed: u64,
}

impl CpuModel {
    /// The model for a physical CPU that answers CPUID as `host_cpuid(leaf, subleaf)` does.
    #[must_use]
    pub fn new(host_cpuid: impl Fn(u32, u32) -> CpuidResult, plan: &CpuPlan) -> Self {
        let vendor = Vendor::of(host_cpuid(0, 0));
        let physical_bits = cpuid::physical_bits(&host_cpuid, plan);
        let components = Components::new(&host_cpuid);
        let leaves = Leaves::new(&host_cpuid, plan, vendor, &components);
        let msrs = MsrTable::new(vendor, plan, &leaves, physical_bits);
        Self {
            vendor,
            physical_bits,
            cr4_allowed: features::cr4_allowed(&leaves),
            efer_allowed: features::efer_allowed(&leaves),
            leaves,
            components,
            msrs,
        }
    }

    /// Whose rules it follows.
    #[must_use]
    pub fn vendor(&self) -> Vendor {
        self.vendor
    }

    /// MAXPHYADDR of the guest.
    #[must_use]
    pub fn physical_bits(&self) -> u8 {
        self.physical_bits
    }

    /// Bits of CR4 the guest may set.
    #[must_use]
    pub fn cr4_allowed(&self) -> u64 {
        self.cr4_allowed
    }

    /// Bits of EFER the guest may set, LMA among them.
    #[must_use]
    pub fn efer_allowed(&self) -> u64 {
        self.efer_allowed
    }

    /// Components of XCR0 the guest may enable; 0 without XSAVE.
    #[must_use]
    pub fn xcr0_allowed(&self) -> u64 {
        self.components.allowed()
    }

    /// Checks XSETBV. (Intel SDM vol. 1 13.3)
    ///
    /// # Errors
    /// [`GeneralProtection`] for another register than XCR0 and for a value it cannot take.
    pub fn check_xsetbv(&self, index: u32, value: u64) -> Result<(), GeneralProtection> {
        let has = |flags: Xcr0| value & flags.bits();
        let avx_512 = Xcr0::OPMASK | Xcr0::ZMM_HI256 | Xcr0::HI16_ZMM;
        let is_good = index == 0
            && value & !self.xcr0_allowed() == 0
            && has(Xcr0::X87) != 0
            && (has(Xcr0::AVX) == 0 || has(Xcr0::SSE) != 0)
            && (has(avx_512) == 0 || (has(avx_512) == avx_512.bits() && has(Xcr0::AVX) != 0));
        if is_good {
            Ok(())
        } else {
            Err(GeneralProtection)
        }
    }
}

#[cfg(test)]
mod tests;
