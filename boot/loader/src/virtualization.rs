//! Check that this CPU can run VMs, and if not, which bit says so and which firmware setting would
//! help.
//!
//! Intel SDM vol. 3C 24.6, 24.7 and appendix A; AMD APM vol. 2 15.4 and 15.30.1, vol. 3 E.4.

use core::arch::asm;
use core::fmt;

use raw_cpuid::cpuid;

use crate::cpu::{Brand, is_virtual};
use crate::stop::Stop;

const IA32_FEATURE_CONTROL: u32 = 0x3a;
const IA32_VMX_PROCBASED_CTLS: u32 = 0x482;
const IA32_VMX_PROCBASED_CTLS2: u32 = 0x48b;
const VM_CR: u32 = 0xc001_0114;

/// Virtualization the CPU offers, for a message.
pub(crate) enum Virtualization {
    /// VT-x with EPT.
    Vmx {
        /// Real-mode guests without tricks.
        has_unrestricted_guest: bool,
        /// Tagged TLB entries.
        has_vpid: bool,
    },
    /// AMD-V with nested paging.
    Svm {
        /// Number of address space identifiers.
        asid_count: u32,
    },
}

impl fmt::Display for Virtualization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vmx {
                has_unrestricted_guest,
                has_vpid,
            } => {
                f.write_str("Intel VT-x (VMX) with EPT")?;
                f.write_str(if *has_vpid { ", VPID" } else { ", no VPID" })?;
                f.write_str(if *has_unrestricted_guest {
                    ", unrestricted guest"
                } else {
                    ", no unrestricted guest"
                })
            }
            Self::Svm { asid_count } => write!(f, "AMD-V (SVM) with NPT, {asid_count} ASIDs"),
        }
    }
}

/// Looks for VMX with EPT or SVM with NPT, switched on.
///
/// # Errors
/// Which CPU, which bit, and which firmware setting to change.
pub(crate) fn check() -> Result<Virtualization, Stop> {
    if cpuid!(1).ecx & (1 << 5) != 0 {
        vmx()
    } else if extended_leaf(0x8000_0001).is_some_and(|leaf| leaf.ecx & (1 << 2) != 0) {
        svm()
    } else {
        refuse(
            "has no hardware virtualization: neither VMX (CPUID 1 ECX bit 5) nor SVM (CPUID 8000_0001h ECX bit 2) is set",
            "if the CPU has it, firmware hides it: look for Intel Virtualization Technology, VT-x, VMX or SVM Mode",
        )
    }
}

fn vmx() -> Result<Virtualization, Stop> {
    const LOCKED: u64 = 1 << 0;
    const ENABLED: u64 = 1 << 2;
    // An unlocked register is no obstacle: the hypervisor sets and locks it on each CPU.
    // SAFETY: the register exists where CPUID has VMX.
    let control = unsafe { read_msr(IA32_FEATURE_CONTROL) };
    if control & LOCKED != 0 && control & ENABLED == 0 {
        return refuse(
            "has VT-x, but firmware switched it off: IA32_FEATURE_CONTROL (MSR 3Ah) is locked (bit 0) without VMX (bit 2)",
            "firmware setting to change: Intel Virtualization Technology, VT-x or VMX, to enabled; then switch off and on",
        );
    }
    // The upper half of a control capability says which controls may be 1.
    // SAFETY: the register exists where CPUID has VMX.
    let primary = unsafe { read_msr(IA32_VMX_PROCBASED_CTLS) } >> 32;
    let secondary = if primary & (1 << 31) == 0 {
        0
    } else {
        // SAFETY: the register exists where the primary controls may activate secondary ones.
        unsafe { read_msr(IA32_VMX_PROCBASED_CTLS2) >> 32 }
    };
    if secondary & (1 << 1) == 0 {
        return refuse(
            "has VT-x without EPT: IA32_VMX_PROCBASED_CTLS2 (MSR 48Bh) does not allow bit 1",
            "no firmware setting helps; Caisson needs a CPU of 2009 or later",
        );
    }
    Ok(Virtualization::Vmx {
        has_unrestricted_guest: secondary & (1 << 7) != 0,
        has_vpid: secondary & (1 << 5) != 0,
    })
}

fn svm() -> Result<Virtualization, Stop> {
    const DISABLED: u64 = 1 << 4;
    const LOCKED: u64 = 1 << 3;
    // SAFETY: the register exists where CPUID has SVM.
    let control = unsafe { read_msr(VM_CR) };
    if control & DISABLED != 0 {
        let state = if control & LOCKED != 0 {
            "set and locked (bit 3)"
        } else {
            "set"
        };
        return refuse(
            &alloc::format!(
                "has AMD-V, but firmware switched it off: VM_CR.SVMDIS (MSR C001_0114h bit 4) is {state}"
            ),
            "firmware setting to change: SVM Mode or Virtualization, to enabled; then switch off and on",
        );
    }
    match extended_leaf(0x8000_000a) {
        Some(leaf) if leaf.edx & 1 != 0 => Ok(Virtualization::Svm {
            asid_count: leaf.ebx,
        }),
        _ => refuse(
            "has AMD-V without nested paging: NPT (CPUID 8000_000Ah EDX bit 0) is clear",
            "no firmware setting helps; Caisson needs a CPU of 2007 (family 10h) or later",
        ),
    }
}

fn refuse(what: &str, remedy: &str) -> Result<Virtualization, Stop> {
    let outer = if is_virtual() {
        "\n  this machine is a virtual one: its host must offer nested virtualization (QEMU: -cpu host or -cpu max)"
    } else {
        ""
    };
    Err(Stop::new(
        alloc::format!("{Brand} {what}"),
        alloc::format!("{remedy}{outer}"),
    ))
}

fn extended_leaf(leaf: u32) -> Option<raw_cpuid::CpuIdResult> {
    (cpuid!(0x8000_0000).eax >= leaf).then(|| cpuid!(leaf))
}

/// # Safety
/// The register exists on this CPU.
unsafe fn read_msr(index: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the register exists by our own contract, reading it has no effect, and firmware runs applications at privilege level 0.
    unsafe {
        asm!("rdmsr", in("ecx") index, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags));
    };
    u64::from(high) << 32 | u64::from(low)
}
