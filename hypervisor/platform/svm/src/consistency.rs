//! Why VMRUN refused a state, in words. (AMD APM vol. 2 15.5.1, "Canonicalization and Consistency Checks")

use x86::{Cr0, Cr4, Efer, SegmentRegister};

use crate::event::VALID;
use crate::vmcb::{Vmcb, intercept};

const LMA: u64 = Efer::LONG_MODE_ACTIVE.bits();
const LME: u64 = Efer::LONG_MODE_ENABLE.bits();
/// SCE, LME, LMA, NXE, SVME, LMSLE, FFXSR, TCE, MCOMMIT, INTWB, UAIE, AIBRSE.
const EFER_DEFINED: u64 = 0x36_fd01;
/// Memory types a PAT entry may name: UC, WC, WT, WP, WB, UC-.
const PAT_TYPES: [u8; 6] = [0, 1, 4, 5, 6, 7];

/// Reason given when every check passes and VMRUN refuses all the same.
pub(crate) const UNKNOWN: &str = "none of the manual's checks fails: a reserved bit of CR3 or CR4, or a table address beyond memory";

/// The first check of the manual's list that this block fails.
pub(crate) fn fault(vmcb: &Vmcb) -> Option<&'static str> {
    checks(vmcb)
        .into_iter()
        .find_map(|(is_wrong, reason)| is_wrong.then_some(reason))
}

fn checks(vmcb: &Vmcb) -> [(bool, &'static str); 18] {
    let (control, save) = (&vmcb.control, &vmcb.save);
    let cr0 = |flag: Cr0| save.cr0 & flag.bits() != 0;
    let is_long_paging = save.efer & LME != 0 && cr0(Cr0::PAGING);
    let cs = save.segment[SegmentRegister::Cs as usize].attributes;
    let is_long_and_big = cs & x86::Attributes::LONG != 0 && cs & x86::Attributes::DEFAULT_BIG != 0;
    let pae = save.cr4 & Cr4::PHYSICAL_ADDRESS_EXTENSION.bits() != 0;
    [
        (
            save.efer & Efer::SECURE_VIRTUAL_MACHINE_ENABLE.bits() == 0,
            "EFER.SVME is clear",
        ),
        (
            !cr0(Cr0::CACHE_DISABLE) && cr0(Cr0::NOT_WRITE_THROUGH),
            "CR0.NW is set and CR0.CD clear",
        ),
        (save.cr0 >> 32 != 0, "CR0 has upper bits set"),
        (save.cr3 >> 52 != 0, "CR3 has reserved bits set"),
        (save.cr4 >> 32 != 0, "CR4 has upper bits set"),
        (save.dr6 >> 32 != 0, "DR6 has upper bits set"),
        (save.dr7 >> 32 != 0, "DR7 has upper bits set"),
        (save.efer & !EFER_DEFINED != 0, "EFER has reserved bits set"),
        (
            is_long_paging && !pae,
            "EFER.LME and CR0.PG are set and CR4.PAE is clear",
        ),
        (
            is_long_paging && !cr0(Cr0::PROTECTED_MODE_ENABLE),
            "EFER.LME and CR0.PG are set and CR0.PE is clear",
        ),
        (
            is_long_paging && pae && is_long_and_big,
            "long mode with both CS.L and CS.D",
        ),
        (
            is_long_paging != (save.efer & LMA != 0),
            "EFER.LMA does not follow from EFER.LME and CR0.PG",
        ),
        (
            control.instructions2 & intercept::VMRUN == 0,
            "VMRUN is not intercepted",
        ),
        (control.asid == 0, "the ASID is 0"),
        (
            is_illegal_event(control.event),
            "the queued event is illegal",
        ),
        (
            control.nested & 1 != 0 && control.nested_cr3 & 0xfff0_0000_0000_0fe7 != 0,
            "the nested CR3 has reserved bits set",
        ),
        (
            save.pat
                .to_le_bytes()
                .iter()
                .any(|entry| !PAT_TYPES.contains(entry)),
            "the guest's PAT names an undefined memory type",
        ),
        (
            control.iopm & 0xfff != 0 || control.msrpm & 0xfff != 0 || control.iopm == 0,
            "a permission map is not at a page",
        ),
    ]
}

/// Reserved types, exceptions that do not exist. (AMD APM vol. 2 15.20)
fn is_illegal_event(event: u64) -> bool {
    let vector = event & 0xff;
    let is_exception = event >> 8 & 7 == 3;
    event & VALID != 0
        && (matches!(event >> 8 & 7, 1 | 5..=7) || (is_exception && (vector == 2 || vector > 31)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_checked() {
        assert!(!is_illegal_event(0x302));
        assert!(is_illegal_event(VALID | 0x302));
        assert!(is_illegal_event(VALID | 0x120));
        assert!(!is_illegal_event(VALID | 0x0ff));
        assert!(!is_illegal_event(VALID | 0x30e));
    }

    #[test]
    fn a_fresh_block_is_told_what_it_lacks() {
        // SAFETY: all-zero is a legal value of every field.
        let mut vmcb: Vmcb = unsafe { core::mem::zeroed() };
        assert_eq!(fault(&vmcb), Some("EFER.SVME is clear"));
        vmcb.save.efer = Efer::SECURE_VIRTUAL_MACHINE_ENABLE.bits();
        assert_eq!(fault(&vmcb), Some("VMRUN is not intercepted"));
        vmcb.control.instructions2 = intercept::VMRUN;
        assert_eq!(fault(&vmcb), Some("the ASID is 0"));
    }
}
