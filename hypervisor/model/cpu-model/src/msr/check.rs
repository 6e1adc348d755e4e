//! Which values an MSR takes.

use vcpu::GuestMsr;
use x86::msr;

/// Check that is made when a stored MSR is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// Only these bits may be set.
    Bits(u64),
    /// Eight memory types. (Intel SDM vol. 3A 12.11.2.2)
    FixedMtrr,
    /// A base or a mask. (Intel SDM vol. 3A 12.11.2.3)
    VariableMtrr,
    /// Default type and enable bits. (Intel SDM vol. 3A 12.11.2.1)
    MtrrDefault,
}

impl Check {
    pub(super) fn accepts(self, index: u32, value: u64, physical_bits: u8) -> bool {
        let address = (1u64 << physical_bits) - 0x1000;
        match self {
            Self::Bits(bits) => value & !bits == 0,
            Self::FixedMtrr => value.to_le_bytes().into_iter().all(is_mtrr_type),
            Self::VariableMtrr => {
                let is_mask = (index - msr::IA32_MTRR_PHYSBASE0) & 1 == 1;
                if is_mask {
                    value & !(address | 1 << 11) == 0
                } else {
                    value & !(address | 0xff) == 0 && is_mtrr_type(value as u8)
                }
            }
            Self::MtrrDefault => value & !0xcff == 0 && is_mtrr_type(value as u8),
        }
    }
}

/// UC, WC, WT, WP, WB.
fn is_mtrr_type(kind: u8) -> bool {
    matches!(kind, 0 | 1 | 4 | 5 | 6)
}

/// As for MTRRs, and UC-. (Intel SDM vol. 3A 12.12.2)
fn is_pat_type(kind: u8) -> bool {
    is_mtrr_type(kind) || kind == 7
}

/// Bits 63 to 47 are all equal.
pub(super) fn is_canonical(value: u64) -> bool {
    ((value << 16) as i64 >> 16) as u64 == value
}

/// DEBUGCTL: single steps at branches. Last-branch records are not offered.
const DEBUGCTL_BTF: u64 = 1 << 1;

/// Returns whether an MSR that the backend holds takes this value. EFER has its own rule.
pub(super) fn guest(guest: GuestMsr, value: u64) -> bool {
    match guest {
        GuestMsr::Efer => false,
        GuestMsr::Pat => value.to_le_bytes().into_iter().all(is_pat_type),
        GuestMsr::FsBase
        | GuestMsr::GsBase
        | GuestMsr::KernelGsBase
        | GuestMsr::Lstar
        | GuestMsr::Cstar
        | GuestMsr::SysenterEsp
        | GuestMsr::SysenterEip => is_canonical(value),
        GuestMsr::Star => true,
        // The upper half is reserved, ignored on some CPUs and #GP on others.
        GuestMsr::Sfmask | GuestMsr::SysenterCs | GuestMsr::TscAux => value <= u64::from(u32::MAX),
        GuestMsr::DebugCtl => value & !DEBUGCTL_BTF == 0,
        // No supervisor component is offered.
        GuestMsr::Xss => value == 0,
    }
}
