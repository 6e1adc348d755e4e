//! Features of this CPU's SVM. (AMD APM vol. 2 15.30, vol. 3 appendix E: CPUID 8000_000A)

use cpu::{cpuid, has_extended_leaf};

/// Optional features of one CPU, and its number of ASIDs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one bool per CPUID bit is what this is"
)]
pub struct Features {
    /// Address-space identifiers, the host's 0 included.
    pub asid_count: u32,
    /// Nested paging: required.
    pub nested_paging: bool,
    /// The next RIP is saved at exits of instructions.
    pub next_rip: bool,
    /// Parts of the VMCB may be taken from the CPU's cache.
    pub clean_bits: bool,
    /// One guest's TLB entries can be flushed by themselves.
    pub flush_by_asid: bool,
    /// Instruction bytes and register numbers are saved at some exits.
    pub decode_assists: bool,
    /// PAUSE exits only when there were many.
    pub pause_filter: bool,
    /// The count starts again when they are far apart.
    pub pause_threshold: bool,
    /// The CPU has RDPRU, which is to be intercepted.
    pub rdpru: bool,
    /// The CPU has XSETBV, which is to be intercepted.
    pub xsave: bool,
}

impl Features {
    /// Reads them from CPUID. All false when there is no SVM.
    #[must_use]
    pub fn read() -> Self {
        if !is_offered() {
            return Self::default();
        }
        let bit = |register: u32, bit: u32| register >> bit & 1 != 0;
        let leaf = if has_extended_leaf(0x8000_000a) {
            cpuid(0x8000_000a)
        } else {
            cpu::Cpuid::default()
        };
        Self {
            asid_count: leaf.ebx,
            nested_paging: bit(leaf.edx, 0),
            next_rip: bit(leaf.edx, 3),
            clean_bits: bit(leaf.edx, 5),
            flush_by_asid: bit(leaf.edx, 6),
            decode_assists: bit(leaf.edx, 7),
            pause_filter: bit(leaf.edx, 10),
            pause_threshold: bit(leaf.edx, 12),
            rdpru: has_extended_leaf(0x8000_0008) && bit(cpuid(0x8000_0008).ebx, 4),
            xsave: bit(cpuid(1).ecx, 26),
        }
    }

    /// One line for each optional feature that is missing: what it would have been good for.
    pub fn warnings(&self) -> impl Iterator<Item = &'static str> {
        [
            (
                self.next_rip,
                "no next-RIP save: instruction lengths are read from guest memory",
            ),
            (
                self.decode_assists,
                "no decode assists: MMIO instructions are read from guest memory",
            ),
            (
                self.flush_by_asid,
                "no flush by ASID: a guest's TLB is flushed by giving it a new ASID",
            ),
            (
                self.clean_bits,
                "no VMCB clean bits: the whole VMCB is loaded at every entry",
            ),
            (
                self.pause_filter,
                "no pause filter: each PAUSE exits while another vCPU waits for the CPU",
            ),
        ]
        .into_iter()
        .filter_map(|(is_there, warning)| (!is_there).then_some(warning))
    }
}

/// Returns whether this CPU reports SVM. (CPUID 8000_0001 ECX bit 2)
#[must_use]
pub fn is_offered() -> bool {
    has_extended_leaf(0x8000_0001) && cpuid(0x8000_0001).ecx >> 2 & 1 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_feature_is_told_once() {
        let mut features = Features::default();
        assert_eq!(features.warnings().count(), 5);
        features.next_rip = true;
        features.clean_bits = true;
        assert_eq!(features.warnings().count(), 3);
    }
}
