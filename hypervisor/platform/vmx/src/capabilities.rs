//! The capability MSRs of VMX. (Intel SDM vol. 3D appendix A)

use core::fmt;

use cpu::read_msr;
use slat::PageSize;

use crate::controls::{Allowed, primary, secondary};

/// Numbers of the MSRs.
mod msr {
    /// Revision, region size, whether the "true" capability MSRs exist.
    pub(super) const IA32_VMX_BASIC: u32 = 0x480;
    /// CR0 bits that must be 1.
    pub(super) const IA32_VMX_CR0_FIXED0: u32 = 0x486;
    /// CR0 bits that may be 1.
    pub(super) const IA32_VMX_CR0_FIXED1: u32 = 0x487;
    /// CR4 bits that must be 1.
    pub(super) const IA32_VMX_CR4_FIXED0: u32 = 0x488;
    /// CR4 bits that may be 1.
    pub(super) const IA32_VMX_CR4_FIXED1: u32 = 0x489;
    /// Secondary processor-based controls.
    pub(super) const IA32_VMX_PROCBASED_CTLS2: u32 = 0x48b;
    /// Abilities of EPT and VPIDs.
    pub(super) const IA32_VMX_EPT_VPID_CAP: u32 = 0x48c;
    /// Pin-based controls; the MSR without "true" is 12 lower, here and below.
    pub(super) const IA32_VMX_TRUE_PINBASED_CTLS: u32 = 0x48d;
    /// Primary processor-based controls.
    pub(super) const IA32_VMX_TRUE_PROCBASED_CTLS: u32 = 0x48e;
    /// VM-exit controls.
    pub(super) const IA32_VMX_TRUE_EXIT_CTLS: u32 = 0x48f;
    /// VM-entry controls.
    pub(super) const IA32_VMX_TRUE_ENTRY_CTLS: u32 = 0x490;
    /// From a "true" MSR to its predecessor.
    pub(super) const TRUE_DISTANCE: u32 = 12;
}

/// Something VMX must have for us, and this CPU's does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// Extended page tables, with four levels and write-back tables.
    Ept,
    /// A pin-based control, by its bits.
    Pin(u32),
    /// A primary processor-based control, by its bits.
    Primary(u32),
    /// A secondary processor-based control, by its bits.
    Secondary(u32),
    /// A VM-exit control, by its bits.
    Exit(u32),
    /// A VM-entry control, by its bits.
    Entry(u32),
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ept => f.write_str("extended page tables (EPT) are missing"),
            Self::Pin(bits) => write!(f, "pin-based VM-execution controls {bits:#x} do not fit"),
            Self::Primary(bits) => write!(f, "primary VM-execution controls {bits:#x} do not fit"),
            Self::Secondary(bits) => {
                write!(f, "secondary VM-execution controls {bits:#x} do not fit")
            }
            Self::Exit(bits) => write!(f, "VM-exit controls {bits:#x} do not fit"),
            Self::Entry(bits) => write!(f, "VM-entry controls {bits:#x} do not fit"),
        }
    }
}

/// The capability MSRs of one CPU that has EPT.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capabilities {
    pub(crate) basic: Basic,
    pub(crate) pin: Allowed,
    pub(crate) primary: Allowed,
    pub(crate) secondary: Allowed,
    pub(crate) exit: Allowed,
    pub(crate) entry: Allowed,
    pub(crate) ept: EptCapabilities,
    pub(crate) cr0: Fixed,
    pub(crate) cr4: Fixed,
}

/// Bits of a control register in VMX operation. (A.7, A.8)
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fixed {
    pub(crate) must: u64,
    pub(crate) may: u64,
}

impl Capabilities {
    /// Reads the MSRs of a CPU whose CPUID says VMX.
    ///
    /// # Errors
    /// [`Unsupported::Ept`], where some of the MSRs do not even exist.
    pub(crate) fn read() -> Result<Self, Unsupported> {
        let basic = Basic(read_msr(msr::IA32_VMX_BASIC));
        let distance = if basic.has_true_controls() {
            0
        } else {
            msr::TRUE_DISTANCE
        };
        let allowed = |index| Allowed::from_msr(read_msr(index - distance));
        let primary = allowed(msr::IA32_VMX_TRUE_PROCBASED_CTLS);
        if !primary.offers(primary::SECONDARY) {
            return Err(Unsupported::Ept);
        }
        let secondary = Allowed::from_msr(read_msr(msr::IA32_VMX_PROCBASED_CTLS2));
        if !secondary.offers(secondary::ENABLE_EPT) {
            return Err(Unsupported::Ept);
        }
        // The MSR exists where EPT or VPID does.
        let ept = EptCapabilities(read_msr(msr::IA32_VMX_EPT_VPID_CAP));
        if !ept.is_enough() {
            return Err(Unsupported::Ept);
        }
        Ok(Self {
            basic,
            pin: allowed(msr::IA32_VMX_TRUE_PINBASED_CTLS),
            primary,
            secondary,
            exit: allowed(msr::IA32_VMX_TRUE_EXIT_CTLS),
            entry: allowed(msr::IA32_VMX_TRUE_ENTRY_CTLS),
            ept,
            cr0: Fixed {
                must: read_msr(msr::IA32_VMX_CR0_FIXED0),
                may: read_msr(msr::IA32_VMX_CR0_FIXED1),
            },
            cr4: Fixed {
                must: read_msr(msr::IA32_VMX_CR4_FIXED0),
                may: read_msr(msr::IA32_VMX_CR4_FIXED1),
            },
        })
    }
}

/// IA32_VMX_BASIC. (A.1)
#[derive(Clone, Copy, Debug)]
pub(crate) struct Basic(u64);

impl Basic {
    /// VMCS revision identifier.
    pub(crate) const fn revision(self) -> u32 {
        self.0 as u32 & 0x7fff_ffff
    }

    /// VM exits by INS and OUTS tell segment and address size.
    pub(crate) const fn has_string_io_info(self) -> bool {
        self.0 >> 54 & 1 != 0
    }

    const fn has_true_controls(self) -> bool {
        self.0 >> 55 & 1 != 0
    }
}

/// IA32_VMX_EPT_VPID_CAP. (A.10)
#[derive(Clone, Copy, Debug)]
pub(crate) struct EptCapabilities(u64);

impl EptCapabilities {
    const FOUR_LEVELS: u64 = 1 << 6;
    const WRITE_BACK: u64 = 1 << 14;
    const LARGE_PAGES: u64 = 1 << 16;
    const HUGE_PAGES: u64 = 1 << 17;
    const INVEPT: u64 = 1 << 20;
    const INVEPT_SINGLE: u64 = 1 << 25;
    const INVEPT_ALL: u64 = 1 << 26;
    const INVVPID: u64 = 1 << 32;
    const INVVPID_SINGLE: u64 = 1 << 41;
    const INVVPID_ALL: u64 = 1 << 42;

    const fn has(self, bits: u64) -> bool {
        self.0 & bits == bits
    }

    /// Tables are as we make them, and their translations can be dropped.
    const fn is_enough(self) -> bool {
        self.has(Self::FOUR_LEVELS | Self::WRITE_BACK | Self::INVEPT)
            && (self.has_invept_single() || self.has_invept_all())
    }

    /// INVEPT can drop the translations of one EPTP.
    pub(crate) const fn has_invept_single(self) -> bool {
        self.has(Self::INVEPT_SINGLE)
    }

    /// INVEPT can drop those of all.
    pub(crate) const fn has_invept_all(self) -> bool {
        self.has(Self::INVEPT_ALL)
    }

    /// INVVPID can drop translations, of one VPID or of all.
    pub(crate) const fn has_invvpid(self) -> bool {
        self.has(Self::INVVPID) && (self.has_invvpid_single() || self.has(Self::INVVPID_ALL))
    }

    /// INVVPID can drop those of one VPID.
    pub(crate) const fn has_invvpid_single(self) -> bool {
        self.has(Self::INVVPID_SINGLE)
    }

    /// The largest page EPT can map.
    pub(crate) const fn largest_page(self) -> PageSize {
        if self.has(Self::HUGE_PAGES) {
            PageSize::Huge
        } else if self.has(Self::LARGE_PAGES) {
            PageSize::Large
        } else {
            PageSize::Small
        }
    }
}

#[cfg(test)]
impl Capabilities {
    /// A CPU that offers nothing.
    pub(crate) const NOTHING: Self = {
        let none = Allowed::from_msr(0);
        let fixed = Fixed { must: 0, may: 0 };
        Self {
            basic: Basic(0),
            pin: none,
            primary: none,
            secondary: none,
            exit: none,
            entry: none,
            ept: EptCapabilities(0),
            cr0: fixed,
            cr4: fixed,
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ept_is_enough_only_with_a_way_to_drop_translations() {
        let tables = EptCapabilities::FOUR_LEVELS | EptCapabilities::WRITE_BACK;
        let invept = tables | EptCapabilities::INVEPT;
        assert!(!EptCapabilities(tables | EptCapabilities::INVEPT_ALL).is_enough());
        assert!(!EptCapabilities(invept).is_enough());
        assert!(EptCapabilities(invept | EptCapabilities::INVEPT_ALL).is_enough());
        assert!(EptCapabilities(invept | EptCapabilities::INVEPT_SINGLE).is_enough());
        let three_levels = EptCapabilities(!EptCapabilities::FOUR_LEVELS);
        assert!(!three_levels.is_enough());
    }

    #[test]
    fn the_largest_page_is_the_largest_one_that_is_offered() {
        let page = |bits| EptCapabilities(bits).largest_page();
        assert_eq!(page(0), PageSize::Small);
        assert_eq!(page(EptCapabilities::LARGE_PAGES), PageSize::Large);
        assert_eq!(page(u64::MAX), PageSize::Huge);
    }
}
