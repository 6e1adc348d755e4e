//! The table of MSRs, sorted by number. (Intel SDM vol. 4; AMD APM vol. 2 appendix A and the families' PPRs)

use super::KvmMsr;
use super::check::Check;
use crate::cpuid::Leaves;
use crate::{CpuPlan, Vendor};
use x86::msr;

/// One MSR, or several in a row.
pub(super) struct MsrRow {
    pub(super) first: u32,
    pub(super) last: u32,
    /// Only on CPUs of this vendor.
    pub(super) only: Option<Vendor>,
    pub(super) needs: Needs,
    pub(super) rule: Rule,
}

/// Treatment of accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// The backend holds it.
    Guest,
    /// Remembered, one value per vCPU; writes that fail the check are #GP.
    Stored {
        reset: u64,
        check: Check,
    },
    /// Reads as this; writes are without effect.
    Constant(u64),
    /// Reads as this; writes are #GP.
    ReadOnly(u64),
    /// Number of cores and threads: becomes `ReadOnly` when the plan is known.
    CoreCount,
    ApicBase,
    TscDeadline,
    Tsc,
    TscAdjust,
    Kvm(KvmMsr),
}

impl Rule {
    pub(super) fn for_plan(self, plan: &CpuPlan) -> Self {
        match self {
            Self::CoreCount => {
                let count = u64::from(plan.vcpus) & 0xffff;
                Self::ReadOnly(count << 16 | count)
            }
            other @ (Self::Guest
            | Self::Stored { .. }
            | Self::Constant(_)
            | Self::ReadOnly(_)
            | Self::ApicBase
            | Self::TscDeadline
            | Self::Tsc
            | Self::TscAdjust
            | Self::Kvm(_)) => other,
        }
    }
}

/// The CPUID feature an MSR comes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    /// RDTSCP or RDPID.
    TscAux,
    /// SYSENTER.
    Sep,
    /// IA-32e mode.
    LongMode,
}

impl Needs {
    pub(super) fn is_met(self, leaves: &Leaves) -> bool {
        let extended = leaves.fixed(0x8000_0001, 0).edx;
        match self {
            Self::Nothing => true,
            Self::TscAux => extended & (1 << 27) != 0 || leaves.fixed(7, 0).ecx & (1 << 22) != 0,
            Self::Sep => leaves.fixed(1, 0).edx & (1 << 11) != 0,
            Self::LongMode => extended & (1 << 29) != 0,
        }
    }
}

const fn one(index: u32, rule: Rule) -> MsrRow {
    span(index, index, rule)
}

const fn span(first: u32, last: u32, rule: Rule) -> MsrRow {
    MsrRow {
        first,
        last,
        only: None,
        needs: Needs::Nothing,
        rule,
    }
}

const fn needing(index: u32, needs: Needs) -> MsrRow {
    MsrRow {
        needs,
        ..one(index, Rule::Guest)
    }
}

const fn intel(index: u32, rule: Rule) -> MsrRow {
    MsrRow {
        only: Some(Vendor::Intel),
        ..one(index, rule)
    }
}

const fn amd(index: u32, rule: Rule) -> MsrRow {
    MsrRow {
        only: Some(Vendor::Amd),
        ..one(index, rule)
    }
}

const fn bits(reset: u64, bits: u64) -> Rule {
    Rule::Stored {
        reset,
        check: Check::Bits(bits),
    }
}

const FIXED_MTRR: Rule = Rule::Stored {
    reset: 0,
    check: Check::FixedMtrr,
};

/// Variable-range MTRRs offered.
const VARIABLE_MTRRS: u32 = 8;
/// Fixed ranges and write-combining offered, and how many variable ranges.
const MTRRCAP: u64 = 1 << 10 | 1 << 8 | VARIABLE_MTRRS as u64;

/// Fast strings on; branch trace storage and PEBS unavailable.
const MISC_ENABLE_RESET: u64 = 1 << 0 | 1 << 11 | 1 << 12;
/// Bits of IA32_MISC_ENABLE that Linux, BSD and firmware switch: thermal control, performance
/// states, MONITOR, CPUID limit, xTPR, NX.
const MISC_ENABLE_BITS: u64 =
    MISC_ENABLE_RESET | 1 << 3 | 1 << 16 | 1 << 18 | 1 << 22 | 1 << 23 | 1 << 34;
/// Locked with VMX off.
const FEATURE_CONTROL_LOCKED: u64 = 1;
/// Microcode revision 1, in the upper half.
const INTEL_MICROCODE: u64 = 1 << 32;
const AMD_PATCH_LEVEL: u64 = 0x0100_0000;
/// TscFreqSel: the TSC counts with P0, as on every CPU since family 10h.
const HWCR_RESET: u64 = 1 << 24;
/// FFDIS, TLB cache and IGNNE emulation, McStatusWrEn: what kernels switch there.
const HWCR_BITS: u64 = HWCR_RESET | 1 << 3 | 1 << 6 | 1 << 8 | 1 << 18;
/// LFENCE is serialising.
const DE_CFG_LFENCE: u64 = 1 << 1;
/// SVM is disabled, and that is locked.
const VM_CR_DISABLED: u64 = 1 << 4 | 1 << 3;

/// The MSRs that exist. x2APIC's range is answered before this is looked at.
pub(super) const TABLE: &[MsrRow] = &[
    one(msr::IA32_TSC, Rule::Tsc),
    intel(0x17, Rule::ReadOnly(0)), // IA32_PLATFORM_ID: Linux's microcode code reads it unguarded
    one(msr::IA32_APIC_BASE, Rule::ApicBase),
    intel(0x35, Rule::CoreCount), // MSR_CORE_THREAD_COUNT
    intel(
        msr::IA32_FEATURE_CONTROL,
        Rule::ReadOnly(FEATURE_CONTROL_LOCKED),
    ),
    one(msr::IA32_TSC_ADJUST, Rule::TscAdjust),
    intel(msr::IA32_BIOS_UPDT_TRIG, Rule::Constant(0)),
    // Kernels write zero, execute CPUID and read the revision.
    intel(msr::IA32_BIOS_SIGN_ID, Rule::Constant(INTEL_MICROCODE)),
    amd(msr::IA32_BIOS_SIGN_ID, Rule::Constant(AMD_PATCH_LEVEL)),
    intel(0xcd, Rule::ReadOnly(3)), // MSR_FSB_FREQ: old Atom code reads it to find the TSC's speed
    intel(0xce, Rule::ReadOnly(0)), // MSR_PLATFORM_INFO: no CPUID faulting, no programmable ratios
    one(msr::IA32_MTRRCAP, Rule::ReadOnly(MTRRCAP)),
    needing(msr::IA32_SYSENTER_CS, Needs::Sep),
    needing(msr::IA32_SYSENTER_ESP, Needs::Sep),
    needing(msr::IA32_SYSENTER_EIP, Needs::Sep),
    one(msr::IA32_MCG_CAP, Rule::ReadOnly(0)), // no banks
    one(msr::IA32_MCG_STATUS, bits(0, 7)),
    intel(
        msr::IA32_MISC_ENABLE,
        bits(MISC_ENABLE_RESET, MISC_ENABLE_BITS),
    ),
    one(msr::IA32_DEBUGCTL, Rule::Guest),
    span(
        msr::IA32_MTRR_PHYSBASE0,
        msr::IA32_MTRR_PHYSBASE0 + 2 * VARIABLE_MTRRS - 1,
        Rule::Stored {
            reset: 0,
            check: Check::VariableMtrr,
        },
    ),
    one(0x250, FIXED_MTRR),
    span(0x258, 0x259, FIXED_MTRR),
    span(0x268, 0x26f, FIXED_MTRR),
    one(msr::IA32_PAT, Rule::Guest),
    one(
        msr::IA32_MTRR_DEF_TYPE,
        Rule::Stored {
            reset: 0,
            check: Check::MtrrDefault,
        },
    ),
    one(msr::IA32_TSC_DEADLINE, Rule::TscDeadline),
    one(msr::KVM_WALL_CLOCK_NEW, Rule::Kvm(KvmMsr::WallClock)),
    one(msr::KVM_SYSTEM_TIME_NEW, Rule::Kvm(KvmMsr::SystemTime)),
    one(msr::KVM_STEAL_TIME, Rule::Kvm(KvmMsr::StealTime)),
    one(msr::IA32_EFER, Rule::Guest),
    one(msr::IA32_STAR, Rule::Guest),
    needing(msr::IA32_LSTAR, Needs::LongMode),
    needing(msr::IA32_CSTAR, Needs::LongMode),
    needing(msr::IA32_FMASK, Needs::LongMode),
    needing(msr::IA32_FS_BASE, Needs::LongMode),
    needing(msr::IA32_GS_BASE, Needs::LongMode),
    needing(msr::IA32_KERNEL_GS_BASE, Needs::LongMode),
    needing(msr::IA32_TSC_AUX, Needs::TscAux),
    // Event selectors and counters that every AMD CPU has: nothing is counted. Xen clears them, unguarded. (APM vol. 2 13.2.1)
    MsrRow {
        only: Some(Vendor::Amd),
        ..span(0xc001_0000, 0xc001_0007, Rule::Constant(0))
    },
    // No extended MTRR types and no memory above 4 GiB that is write-back by force; kernels clear bit 19.
    amd(
        msr::AMD_SYSCFG,
        bits(0, 1 << 18 | 1 << 19 | 1 << 20 | 1 << 21 | 1 << 22),
    ),
    amd(msr::AMD_HWCR, bits(HWCR_RESET, HWCR_BITS)),
    amd(0xc001_001a, bits(0, 0x000f_ffff_ff80_0000)), // TOP_MEM
    amd(0xc001_001d, bits(0, 0x000f_ffff_ff80_0000)), // TOM2
    amd(0xc001_001f, bits(0, u64::MAX)), // NB_CFG1: Linux switches extended CF8 on, unguarded
    amd(0xc001_0020, Rule::Constant(0)), // PATCH_LOADER
    amd(0xc001_0055, Rule::Constant(0)), // interrupt pending message: read for erratum 400, no C1E
    amd(0xc001_0058, bits(0, 0x0000_ffff_fff0_003f)), // MMIO configuration base: off
    amd(msr::AMD_VM_CR, Rule::ReadOnly(VM_CR_DISABLED)),
    amd(msr::AMD_DE_CFG, Rule::Constant(DE_CFG_LFENCE)),
];

/// Returns what firmware leaves in an MTRR: enabled, write-back by default; the first MiB as on a
/// PC.
pub(super) fn mtrr_as_firmware(index: u32) -> Option<u64> {
    const WRITE_BACK: u64 = 0x0606_0606_0606_0606;
    const WRITE_PROTECT: u64 = 0x0505_0505_0505_0505;
    match index {
        // Enabled, fixed ranges too, write-back.
        msr::IA32_MTRR_DEF_TYPE => Some(0xc06),
        // 0 to 640 KiB.
        0x250 | 0x258 => Some(WRITE_BACK),
        // 640 to 768 KiB.
        0x259 => Some(0),
        // 768 KiB to 1 MiB.
        0x268..=0x26f => Some(WRITE_PROTECT),
        _ => None,
    }
}
