//! Leaves that tell how vCPUs sit together: one package of cores, one thread each.

use crate::{CpuPlan, Vendor};
use x86::CpuidResult;

/// Bits of an APIC id that number the cores.
pub(crate) fn core_bits(plan: &CpuPlan) -> u32 {
    plan.vcpus.max(1).next_power_of_two().trailing_zeros()
}

/// A cache of leaf 4 or 0x8000001D: the last level is everybody's, the others are a core's own.
/// (Intel SDM vol. 2A "CPUID" leaf 04H; AMD APM vol. 3 E.4.16)
pub(crate) fn cache(host: CpuidResult, plan: &CpuPlan, vendor: Vendor) -> CpuidResult {
    let ids = (1u32 << core_bits(plan)) - 1;
    let level = (host.eax >> 5) & 7;
    let sharing = if level >= 3 { ids & 0xfff } else { 0 };
    let cores = match vendor {
        Vendor::Intel => (ids & 0x3f) << 26,
        Vendor::Amd => 0,
    };
    CpuidResult {
        eax: (host.eax & 0x3fff) | sharing << 14 | cores,
        ..host
    }
}

/// Leaf 0xB: thread level, core level, nothing more. EDX, the x2APIC id, is the caller's. (Intel SDM vol. 2A "CPUID" leaf 0BH)
pub(crate) fn extended(plan: &CpuPlan, subleaf: u32) -> CpuidResult {
    let (eax, ebx, kind) = match subleaf {
        0 => (0, 1, 1),
        1 => (core_bits(plan), plan.vcpus, 2),
        _ => (0, 0, 0),
    };
    CpuidResult {
        eax,
        ebx,
        ecx: (subleaf & 0xff) | kind << 8,
        edx: 0,
    }
}

/// Leaf 1 EBX without the APIC id: CLFLUSH line as the host's, how many ids the package takes.
pub(crate) fn leaf_1_ebx(host: u32, plan: &CpuPlan) -> u32 {
    let ids = (1u32 << core_bits(plan)).min(0xff);
    (host & 0xff00) | ids << 16
}

/// Leaf 0x80000008 ECX: how many cores, and bits of an id for them. (AMD APM vol. 3 E.4.7)
pub(crate) fn amd_size(plan: &CpuPlan) -> u32 {
    (plan.vcpus.max(1) - 1) & 0xff | core_bits(plan) << 12
}
