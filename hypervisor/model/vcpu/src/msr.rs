//! MSRs that are part of a vCPU and live in its VMCS, VMCB or the physical CPU.

use x86::msr;

/// An MSR the backend holds; all others are answered by the VMM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the manuals'")]
pub enum GuestMsr {
    Efer,
    Pat,
    FsBase,
    GsBase,
    KernelGsBase,
    Star,
    Lstar,
    Cstar,
    Sfmask,
    SysenterCs,
    SysenterEsp,
    SysenterEip,
    DebugCtl,
    TscAux,
    Xss,
}

impl GuestMsr {
    /// The numbers of the MSRs a guest reads and writes without an exit, on every backend: those
    /// that hold nothing of the hypervisor while the guest runs, and whose values the vendor's
    /// world switch or a change of vCPU exchanges.
    pub const PASSED: [u32; 10] = [
        msr::IA32_FS_BASE,
        msr::IA32_GS_BASE,
        msr::IA32_KERNEL_GS_BASE,
        msr::IA32_STAR,
        msr::IA32_LSTAR,
        msr::IA32_CSTAR,
        msr::IA32_FMASK,
        msr::IA32_SYSENTER_CS,
        msr::IA32_SYSENTER_ESP,
        msr::IA32_SYSENTER_EIP,
    ];

    /// The MSR with this number, if a backend holds it.
    #[must_use]
    pub const fn from_index(index: u32) -> Option<Self> {
        Some(match index {
            msr::IA32_EFER => Self::Efer,
            msr::IA32_PAT => Self::Pat,
            msr::IA32_FS_BASE => Self::FsBase,
            msr::IA32_GS_BASE => Self::GsBase,
            msr::IA32_KERNEL_GS_BASE => Self::KernelGsBase,
            msr::IA32_STAR => Self::Star,
            msr::IA32_LSTAR => Self::Lstar,
            msr::IA32_CSTAR => Self::Cstar,
            msr::IA32_FMASK => Self::Sfmask,
            msr::IA32_SYSENTER_CS => Self::SysenterCs,
            msr::IA32_SYSENTER_ESP => Self::SysenterEsp,
            msr::IA32_SYSENTER_EIP => Self::SysenterEip,
            msr::IA32_DEBUGCTL => Self::DebugCtl,
            msr::IA32_TSC_AUX => Self::TscAux,
            msr::IA32_XSS => Self::Xss,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_backend_holds_is_passed() {
        let held = GuestMsr::PASSED.map(GuestMsr::from_index);
        assert!(held.iter().all(Option::is_some), "{held:?}");
    }

    #[test]
    fn what_changes_modes_or_reaches_the_host_is_not_passed() {
        for index in [
            msr::IA32_EFER,
            msr::IA32_PAT,
            msr::IA32_DEBUGCTL,
            msr::IA32_TSC_AUX,
            msr::IA32_XSS,
        ] {
            assert!(!GuestMsr::PASSED.contains(&index), "{index:#x}");
        }
    }
}
