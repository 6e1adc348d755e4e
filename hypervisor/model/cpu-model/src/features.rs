//! The feature bits a guest may see: one list per register. What is not here is not offered.

use crate::cpuid::Leaves;
use x86::{Cr4, Efer};

/// When a listed bit is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// When the physical CPU has it.
    AsHost,
    /// Always: we make it.
    Always,
    /// When the physical CPU has it and the plan offers PCID.
    WithPcid,
}

/// A feature bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Bit number in its register.
    pub bit: u8,
    /// The manuals' name.
    pub name: &'static str,
    /// When it is set.
    pub offer: Offer,
}

const fn host(bit: u8, name: &'static str) -> Feature {
    Feature {
        bit,
        name,
        offer: Offer::AsHost,
    }
}

const fn always(bit: u8, name: &'static str) -> Feature {
    Feature {
        bit,
        name,
        offer: Offer::Always,
    }
}

const fn pcid(bit: u8, name: &'static str) -> Feature {
    Feature {
        bit,
        name,
        offer: Offer::WithPcid,
    }
}

/// Leaf 1, ECX. Not offered: DTES64, MONITOR, DS-CPL, VMX, SMX, EIST, TM2, SDBG, PDCM, DCA. OSXSAVE follows CR4.
pub const LEAF_1_ECX: &[Feature] = &[
    host(0, "SSE3"),
    host(1, "PCLMULQDQ"),
    host(9, "SSSE3"),
    host(12, "FMA"),
    host(13, "CMPXCHG16B"),
    pcid(17, "PCID"),
    host(19, "SSE4.1"),
    host(20, "SSE4.2"),
    always(21, "x2APIC"),
    host(22, "MOVBE"),
    host(23, "POPCNT"),
    always(24, "TSC-DEADLINE"),
    host(25, "AESNI"),
    host(26, "XSAVE"),
    host(28, "AVX"),
    host(29, "F16C"),
    host(30, "RDRAND"),
    always(31, "HYPERVISOR"),
];

/// Leaf 1, EDX. Not offered: PSN, DS, ACPI, TM, PBE. APIC follows IA32_APIC_BASE; HTT says whether there are several vCPUs.
pub const LEAF_1_EDX: &[Feature] = &[
    host(0, "FPU"),
    host(1, "VME"),
    host(2, "DE"),
    host(3, "PSE"),
    host(4, "TSC"),
    host(5, "MSR"),
    host(6, "PAE"),
    host(7, "MCE"),
    host(8, "CX8"),
    host(11, "SEP"),
    always(12, "MTRR"),
    host(13, "PGE"),
    host(14, "MCA"),
    host(15, "CMOV"),
    host(16, "PAT"),
    host(17, "PSE-36"),
    host(19, "CLFSH"),
    host(23, "MMX"),
    host(24, "FXSR"),
    host(25, "SSE"),
    host(26, "SSE2"),
    host(27, "SS"),
];

/// Leaf 7.0, EBX. Not offered: SGX, HLE, RTM, RDT, MPX, PT.
pub const LEAF_7_EBX: &[Feature] = &[
    host(0, "FSGSBASE"),
    always(1, "IA32_TSC_ADJUST"),
    host(3, "BMI1"),
    host(5, "AVX2"),
    host(6, "FDP_EXCPTN_ONLY"),
    host(7, "SMEP"),
    host(8, "BMI2"),
    host(9, "ERMS"),
    pcid(10, "INVPCID"),
    host(13, "FCS_FDS_DEPRECATED"),
    host(16, "AVX512F"),
    host(17, "AVX512DQ"),
    host(18, "RDSEED"),
    host(19, "ADX"),
    host(20, "SMAP"),
    host(21, "AVX512_IFMA"),
    host(23, "CLFLUSHOPT"),
    host(24, "CLWB"),
    host(26, "AVX512PF"),
    host(27, "AVX512ER"),
    host(28, "AVX512CD"),
    host(29, "SHA"),
    host(30, "AVX512BW"),
    host(31, "AVX512VL"),
];

/// Leaf 7.0, ECX. Not offered: PKU, WAITPKG, CET, TME, LA57, key locker, direct stores, ENQCMD, SGX_LC.
pub const LEAF_7_ECX: &[Feature] = &[
    host(1, "AVX512_VBMI"),
    host(2, "UMIP"),
    host(6, "AVX512_VBMI2"),
    host(8, "GFNI"),
    host(9, "VAES"),
    host(10, "VPCLMULQDQ"),
    host(11, "AVX512_VNNI"),
    host(12, "AVX512_BITALG"),
    host(14, "AVX512_VPOPCNTDQ"),
    host(22, "RDPID"),
];

/// Leaf 7.0, EDX. Not offered: whatever needs IA32_SPEC_CTRL, PRED_CMD or ARCH_CAPABILITIES; PCONFIG, LBR, AMX, CET.
pub const LEAF_7_EDX: &[Feature] = &[
    host(2, "AVX512_4VNNIW"),
    host(3, "AVX512_4FMAPS"),
    host(4, "FSRM"),
    host(8, "AVX512_VP2INTERSECT"),
    host(10, "MD_CLEAR"),
    host(14, "SERIALIZE"),
    host(23, "AVX512_FP16"),
];

/// Leaf 7.1, EAX.
pub const LEAF_7_1_EAX: &[Feature] = &[
    host(4, "AVX-VNNI"),
    host(5, "AVX512_BF16"),
    host(10, "FZLRM"),
    host(11, "FSRS"),
    host(12, "FSRCS"),
    host(23, "AVX-IFMA"),
];

/// Leaf 0xD.1, EAX. Not offered: XSAVES, XFD.
pub const LEAF_D_1_EAX: &[Feature] = &[host(0, "XSAVEOPT"), host(1, "XSAVEC"), host(2, "XGETBV1")];

/// Leaf 6, EAX: our local APIC timer never stops.
pub const LEAF_6_EAX: &[Feature] = &[always(2, "ARAT")];

/// Leaf 0x80000001, ECX. Not offered: SVM, extended APIC space, OSVW, IBS, SKINIT, WDT, LWP, performance counters, MWAITX.
/// CmpLegacy says whether there are several vCPUs.
pub const LEAF_8000_0001_ECX: &[Feature] = &[
    host(0, "LAHF/SAHF"),
    host(4, "AltMovCr8"),
    host(5, "ABM"),
    host(6, "SSE4A"),
    host(7, "MisAlignSse"),
    host(8, "3DNowPrefetch"),
    host(11, "XOP"),
    host(16, "FMA4"),
    host(21, "TBM"),
    host(22, "TopologyExtensions"),
];

/// Leaf 0x80000001, EDX; on AMD the bits of leaf 1 come again.
pub const LEAF_8000_0001_EDX: &[Feature] = &[
    host(11, "SYSCALL"),
    host(20, "NX"),
    host(22, "MmxExt"),
    host(25, "FFXSR"),
    host(26, "Page1GB"),
    host(27, "RDTSCP"),
    host(29, "LM"),
    host(30, "3DNowExt"),
    host(31, "3DNow"),
];

/// Bits of leaf 1 EDX that AMD repeats in leaf 0x80000001: 0 to 9, 12 to 17, 23 and 24.
pub const AMD_REPEATED: u32 = 0x0183_f3ff;

/// Leaf 0x80000007, EDX.
pub const LEAF_8000_0007_EDX: &[Feature] = &[always(8, "TscInvariant")];

/// Leaf 0x80000008, EBX. Not offered: whatever needs SPEC_CTRL or PRED_CMD, MCOMMIT, INVLPGB.
pub const LEAF_8000_0008_EBX: &[Feature] = &[
    host(0, "CLZERO"),
    host(2, "RstrFpErrPtrs"),
    host(9, "WBNOINVD"),
];

/// Leaf 0x80000021, EAX.
pub const LEAF_8000_0021_EAX: &[Feature] = &[
    host(2, "LFenceAlwaysSerializing"),
    host(6, "NullSelectClearsBase"),
];

/// KVM's leaf 0x40000001, EAX.
pub const KVM_EAX: &[Feature] = &[
    always(1, "NOP_IO_DELAY"),
    always(3, "CLOCKSOURCE2"),
    always(5, "STEAL_TIME"),
    always(7, "PV_UNHALT"),
    always(9, "PV_TLB_FLUSH"),
    always(11, "PV_SEND_IPI"),
    always(13, "PV_SCHED_YIELD"),
    always(24, "CLOCKSOURCE_STABLE"),
];

/// Returns the bits of `host` that pass `list`.
#[must_use]
pub fn filter(host: u32, list: &[Feature], offers_pcid: bool) -> u32 {
    list.iter().fold(0, |bits, feature| {
        let mask = 1u32.checked_shl(u32::from(feature.bit)).unwrap_or(0);
        bits | match feature.offer {
            Offer::AsHost => host & mask,
            Offer::Always => mask,
            Offer::WithPcid if offers_pcid => host & mask,
            Offer::WithPcid => 0,
        }
    })
}

/// Bits of CR4 that go with the features offered. (Intel SDM vol. 3A 2.5)
pub(crate) fn cr4_allowed(leaves: &Leaves) -> u64 {
    let one = leaves.fixed(1, 0);
    let seven = leaves.fixed(7, 0);
    let rules = [
        (
            one.edx,
            1,
            Cr4::VIRTUAL_8086_MODE_EXTENSIONS | Cr4::PROTECTED_MODE_VIRTUAL_INTERRUPTS,
        ),
        (one.edx, 4, Cr4::TIMESTAMP_DISABLE),
        (one.edx, 2, Cr4::DEBUGGING_EXTENSIONS),
        (one.edx, 3, Cr4::PAGE_SIZE_EXTENSION),
        (one.edx, 6, Cr4::PHYSICAL_ADDRESS_EXTENSION),
        (one.edx, 7, Cr4::MACHINE_CHECK_EXCEPTION),
        (one.edx, 13, Cr4::PAGE_GLOBAL),
        // RDPMC from CPL 3: settable on every CPU of this century, counters or not.
        (one.edx, 0, Cr4::PERFORMANCE_MONITOR_COUNTER),
        (one.edx, 24, Cr4::OSFXSR),
        (one.edx, 25, Cr4::OSXMMEXCPT_ENABLE),
        (one.ecx, 17, Cr4::PCID),
        (one.ecx, 26, Cr4::OSXSAVE),
        (seven.ebx, 0, Cr4::FSGSBASE),
        (seven.ebx, 7, Cr4::SUPERVISOR_MODE_EXECUTION_PROTECTION),
        (seven.ebx, 20, Cr4::SUPERVISOR_MODE_ACCESS_PREVENTION),
        (seven.ecx, 2, Cr4::USER_MODE_INSTRUCTION_PREVENTION),
    ];
    rules.iter().fold(0, |allowed, (register, bit, flags)| {
        if register & (1 << bit) == 0 {
            allowed
        } else {
            allowed | flags.bits()
        }
    })
}

/// Bits of EFER that go with the features offered. (AMD APM vol. 2 3.1.7)
pub(crate) fn efer_allowed(leaves: &Leaves) -> u64 {
    let edx = leaves.fixed(0x8000_0001, 0).edx;
    let rules = [
        (11, Efer::SYSTEM_CALL_EXTENSIONS),
        (20, Efer::NO_EXECUTE_ENABLE),
        (25, Efer::FAST_FXSAVE_FXRSTOR),
        (29, Efer::LONG_MODE_ENABLE | Efer::LONG_MODE_ACTIVE),
    ];
    rules.iter().fold(0, |allowed, (bit, flags)| {
        if edx & (1 << bit) == 0 {
            allowed
        } else {
            allowed | flags.bits()
        }
    })
}
