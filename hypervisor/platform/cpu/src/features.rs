//! CPUID.

use core::arch::asm;

/// Answer of one CPUID leaf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpuid {
    /// EAX.
    pub eax: u32,
    /// EBX.
    pub ebx: u32,
    /// ECX.
    pub ecx: u32,
    /// EDX.
    pub edx: u32,
}

/// Executes CPUID for a leaf, sub-leaf 0.
pub fn cpuid(leaf: u32) -> Cpuid {
    cpuid_count(leaf, 0)
}

/// Executes CPUID for a leaf and sub-leaf. An unknown leaf answers as the CPU does, often with the last basic one.
pub fn cpuid_count(leaf: u32, subleaf: u32) -> Cpuid {
    let (eax, ebx, ecx, edx);
    // SAFETY: CPUID has no effect but its results. RBX is kept by hand: the compiler reserves it.
    unsafe {
        asm!(
            "mov {saved:r}, rbx",
            "cpuid",
            "xchg {saved:r}, rbx",
            saved = out(reg) ebx,
            inout("eax") leaf => eax,
            inout("ecx") subleaf => ecx,
            out("edx") edx,
            options(nomem, nostack, preserves_flags),
        );
    }
    Cpuid { eax, ebx, ecx, edx }
}

/// Returns whether the basic leaf exists.
pub fn has_cpuid_leaf(leaf: u32) -> bool {
    cpuid(0).eax >= leaf
}

/// Returns whether the extended leaf (0x8000_0000 and up) exists.
pub fn has_extended_leaf(leaf: u32) -> bool {
    let last = cpuid(0x8000_0000).eax;
    last >> 16 == 0x8000 && last >= leaf
}

/// The twelve letters of leaf 0: `GenuineIntel`, `AuthenticAMD`.
pub fn vendor_name() -> [u8; 12] {
    let leaf = cpuid(0);
    let mut name = [0; 12];
    for (slot, register) in name.chunks_exact_mut(4).zip([leaf.ebx, leaf.edx, leaf.ecx]) {
        slot.copy_from_slice(&register.to_le_bytes());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendor_name_is_printable() {
        assert!(vendor_name().iter().all(u8::is_ascii_graphic));
    }

    #[test]
    fn basic_leaf_one_exists_everywhere() {
        assert!(has_cpuid_leaf(1));
        assert!(!has_extended_leaf(0xffff_ffff));
    }
}
