//! The rules that guest state must obey at VM entry, so that a refusal can be told in words.
//!
//! The CPU only says "invalid guest state". This goes through its list in the manual's order and names the first rule that does
//! not hold. (Intel SDM vol. 3C 27.3.1)

mod segments;

use x86::{Cr0, Cr4, Efer, Rflags};

use crate::controls::{entry, pin, primary, secondary};
use crate::fields::{self, ReadField};
use crate::qualification::{Interruption, InterruptionKind};
use crate::state::{PENDING_SINGLE_STEP, interruptibility};

/// The first rule the guest state breaks, if it is one of those known here.
pub(crate) fn first_violation(vmcs: &impl ReadField) -> Option<&'static str> {
    let guest = Guest::read(vmcs);
    first(&control_registers(vmcs, &guest))
        .or_else(|| segments::first_violation(vmcs, &guest))
        .or_else(|| first(&tables_and_flags(vmcs, &guest)))
        .or_else(|| first(&non_register_state(vmcs, &guest)))
}

/// A rule: whether it is broken, and what it says.
type Rule = (bool, &'static str);

fn first(rules: &[Rule]) -> Option<&'static str> {
    rules
        .iter()
        .find_map(|&(is_broken, rule)| is_broken.then_some(rule))
}

/// Guest state that many rules depend on.
struct Guest {
    cr0: u64,
    cr4: u64,
    efer: u64,
    rflags: u64,
    /// The "IA-32e mode guest" control.
    is_long: bool,
    is_unrestricted: bool,
    is_v86: bool,
    cs_rights: u32,
    ss_rights: u32,
}

impl Guest {
    fn read(vmcs: &impl ReadField) -> Self {
        let has_secondary = vmcs.read(fields::PRIMARY_CONTROLS) & primary::SECONDARY != 0;
        let second = vmcs.read(fields::SECONDARY_CONTROLS);
        let rflags = vmcs.read(fields::GUEST_RFLAGS);
        Self {
            cr0: vmcs.read(fields::GUEST_CR0),
            cr4: vmcs.read(fields::GUEST_CR4),
            efer: vmcs.read(fields::GUEST_EFER),
            rflags,
            is_long: vmcs.read(fields::ENTRY_CONTROLS) & entry::IA32E_MODE_GUEST != 0,
            is_unrestricted: has_secondary && second & secondary::UNRESTRICTED_GUEST != 0,
            is_v86: rflags & Rflags::VIRTUAL_8086_MODE.bits() != 0,
            cs_rights: vmcs.read(fields::GUEST_CS_RIGHTS),
            ss_rights: vmcs.read(fields::GUEST_SS_RIGHTS),
        }
    }

    fn has_cr0(&self, bit: Cr0) -> bool {
        self.cr0 & bit.bits() != 0
    }

    fn has_cr4(&self, bit: Cr4) -> bool {
        self.cr4 & bit.bits() != 0
    }

    fn has_efer(&self, bit: Efer) -> bool {
        self.efer & bit.bits() != 0
    }
}

/// 27.3.1.1.
fn control_registers(vmcs: &impl ReadField, guest: &Guest) -> [Rule; 17] {
    let (pe, pg) = (
        guest.has_cr0(Cr0::PROTECTED_MODE_ENABLE),
        guest.has_cr0(Cr0::PAGING),
    );
    let pae = guest.has_cr4(Cr4::PHYSICAL_ADDRESS_EXTENSION);
    let canonical = |field| is_canonical(vmcs.read(field));
    [
        (guest.cr0 >> 32 != 0, "CR0: bits 63:32 are not 0"),
        (!guest.has_cr0(Cr0::NUMERIC_ERROR), "CR0.NE is clear"),
        (pg && !pe, "CR0.PG is set and CR0.PE is clear"),
        (
            !(guest.is_unrestricted || pe && pg),
            "CR0.PE or CR0.PG is clear without unrestricted guest",
        ),
        (
            !guest.has_cr4(Cr4::VIRTUAL_MACHINE_EXTENSIONS),
            "CR4.VMXE is clear",
        ),
        (
            guest.has_cr4(Cr4::CONTROL_FLOW_ENFORCEMENT) && !guest.has_cr0(Cr0::WRITE_PROTECT),
            "CR4.CET is set and CR0.WP is clear",
        ),
        (
            guest.is_long && !(pg && pae),
            "IA-32e mode guest without CR0.PG and CR4.PAE",
        ),
        (
            !guest.is_long && guest.has_cr4(Cr4::PCID),
            "CR4.PCIDE is set outside IA-32e mode",
        ),
        (
            vmcs.read(fields::GUEST_CR3) >> 52 != 0,
            "CR3 has bits beyond the physical-address width",
        ),
        (
            vmcs.read(fields::GUEST_DR7) >> 32 != 0,
            "DR7: bits 63:32 are not 0",
        ),
        (
            !(canonical(fields::GUEST_SYSENTER_ESP) && canonical(fields::GUEST_SYSENTER_EIP)),
            "SYSENTER_ESP or SYSENTER_EIP is not canonical",
        ),
        (
            vmcs.read(fields::GUEST_DEBUGCTL) & !0xffc3 != 0,
            "DEBUGCTL has reserved bits",
        ),
        (
            !is_pat(vmcs.read(fields::GUEST_PAT)),
            "PAT has a reserved memory type",
        ),
        (guest.efer & !0xd01 != 0, "EFER has reserved bits"),
        (
            guest.has_efer(Efer::LONG_MODE_ACTIVE) != guest.is_long,
            "EFER.LMA differs from the IA-32e mode guest control",
        ),
        (
            pg && guest.has_efer(Efer::LONG_MODE_ENABLE) != guest.has_efer(Efer::LONG_MODE_ACTIVE),
            "EFER.LME differs from EFER.LMA with paging on",
        ),
        (
            guest.is_v86 && guest.is_long,
            "RFLAGS.VM is set in IA-32e mode",
        ),
    ]
}

/// 27.3.1.3 and 27.3.1.4.
fn tables_and_flags(vmcs: &impl ReadField, guest: &Guest) -> [Rule; 6] {
    let is_64_bit = guest.is_long && guest.cs_rights & 0x2000 != 0;
    let rip = vmcs.read(fields::GUEST_RIP);
    let event = Interruption(vmcs.read(fields::ENTRY_INTERRUPTION_INFO));
    let is_interrupt = event.is_valid() && event.kind() == InterruptionKind::External;
    [
        (
            !is_canonical(vmcs.read(fields::GUEST_GDTR_BASE))
                || !is_canonical(vmcs.read(fields::GUEST_IDTR_BASE)),
            "the base of GDTR or IDTR is not canonical",
        ),
        (
            vmcs.read(fields::GUEST_GDTR_LIMIT) >> 16 != 0
                || vmcs.read(fields::GUEST_IDTR_LIMIT) >> 16 != 0,
            "the limit of GDTR or IDTR is above 0xffff",
        ),
        (
            !is_64_bit && rip >> 32 != 0,
            "RIP: bits 63:32 are not 0 outside 64-bit code",
        ),
        (is_64_bit && !is_canonical(rip), "RIP is not canonical"),
        (
            guest.rflags & 0xffff_ffff_ffc0_802a != 2,
            "RFLAGS has reserved bits, or bit 1 is clear",
        ),
        (
            is_interrupt && guest.rflags & Rflags::INTERRUPT_FLAG.bits() == 0,
            "an interrupt is injected and RFLAGS.IF is clear",
        ),
    ]
}

/// 27.3.1.5.
fn non_register_state(vmcs: &impl ReadField, guest: &Guest) -> [Rule; 12] {
    let activity = vmcs.read(fields::GUEST_ACTIVITY);
    let blocking = vmcs.read(fields::GUEST_INTERRUPTIBILITY);
    let pending = vmcs.read(fields::GUEST_PENDING_DEBUG);
    let event = Interruption(vmcs.read(fields::ENTRY_INTERRUPTION_INFO));
    let is = |kind| event.is_valid() && event.kind() == kind;
    let shadow = interruptibility::STI | interruptibility::MOV_SS;
    let is_virtual_nmi = vmcs.read(fields::PIN_CONTROLS) & pin::VIRTUAL_NMIS != 0;
    let has_branch_step = vmcs.read(fields::GUEST_DEBUGCTL) & 2 != 0;
    let is_stepping = guest.rflags & Rflags::TRAP_FLAG.bits() != 0 && !has_branch_step;
    let has_step = pending & PENDING_SINGLE_STEP != 0;
    let is_step_checked = blocking & shadow != 0 || activity == 1;
    [
        (activity > 3, "the activity state is unknown"),
        (
            activity == 1 && guest.ss_rights >> 5 & 3 != 0,
            "the activity state is HLT and SS.DPL is not 0",
        ),
        (
            activity != 0 && blocking & shadow != 0,
            "the activity state is not active in the shadow of STI or MOV SS",
        ),
        (
            blocking & !0x1f != 0,
            "the interruptibility state has reserved bits",
        ),
        (
            blocking & shadow == shadow,
            "blocking by STI and by MOV SS at once",
        ),
        (
            blocking & interruptibility::STI != 0
                && guest.rflags & Rflags::INTERRUPT_FLAG.bits() == 0,
            "blocking by STI and RFLAGS.IF is clear",
        ),
        (
            is(InterruptionKind::External) && blocking & shadow != 0,
            "an interrupt is injected in the shadow of STI or MOV SS",
        ),
        (
            is(InterruptionKind::Nmi) && blocking & shadow != 0,
            "an NMI is injected in the shadow of STI or MOV SS",
        ),
        (
            is(InterruptionKind::Nmi) && is_virtual_nmi && blocking & interruptibility::NMI != 0,
            "an NMI is injected while NMIs are blocked",
        ),
        (
            pending & !0x1_500f != 0,
            "the pending debug exceptions have reserved bits",
        ),
        (
            is_step_checked && is_stepping != has_step,
            "a pending single step does not fit RFLAGS.TF",
        ),
        (
            vmcs.read(fields::VMCS_LINK) != u64::MAX,
            "the VMCS link pointer is not all ones",
        ),
    ]
}

/// Bits 63:47 are all alike. CPUs with five-level paging allow more; no guest here has that.
const fn is_canonical(address: u64) -> bool {
    let top = (address as i64) >> 47;
    top == 0 || top == -1
}

/// Every byte is a memory type: 0, 1, 4, 5, 6 or 7.
fn is_pat(pat: u64) -> bool {
    pat.to_le_bytes()
        .iter()
        .all(|&memory_type| matches!(memory_type, 0 | 1 | 4..=7))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::{Field, FieldValue};
    use crate::state::UNUSABLE;
    use std::collections::HashMap;

    /// A VMCS as a table; fields that are not in it are 0.
    struct Table(HashMap<u32, u64>);

    impl ReadField for Table {
        fn read<T: FieldValue>(&self, field: Field<T>) -> T {
            T::from_register(self.0.get(&field.encoding()).copied().unwrap_or(0))
        }
    }

    impl Table {
        fn with(mut self, encoding: u32, value: u64) -> Self {
            self.0.insert(encoding, value);
            self
        }
    }

    /// 64-bit code, as a Linux kernel is entered.
    fn long_mode() -> Table {
        let mut table = Table(HashMap::new())
            .with(fields::GUEST_CR0.encoding(), 0x8000_0031)
            .with(fields::GUEST_CR4.encoding(), 0x2020)
            .with(fields::GUEST_EFER.encoding(), 0x500)
            .with(fields::GUEST_RFLAGS.encoding(), 2)
            .with(fields::GUEST_PAT.encoding(), 0x0007_0406_0007_0406)
            .with(
                fields::ENTRY_CONTROLS.encoding(),
                u64::from(entry::IA32E_MODE_GUEST),
            )
            .with(fields::VMCS_LINK.encoding(), u64::MAX)
            .with(fields::TR.rights.encoding(), 0x8b)
            .with(fields::TR.limit.encoding(), 0x67)
            .with(fields::LDTR.rights.encoding(), u64::from(UNUSABLE));
        for fields in &fields::SEGMENTS {
            table = table
                .with(fields.rights.encoding(), 0xc093)
                .with(fields.limit.encoding(), 0xffff_ffff);
        }
        table.with(fields::GUEST_CS_RIGHTS.encoding(), 0xa09b)
    }

    #[test]
    fn a_good_state_breaks_no_rule() {
        assert_eq!(first_violation(&long_mode()), None);
    }

    #[test]
    fn the_broken_rule_is_named() {
        let no_vmxe = long_mode().with(fields::GUEST_CR4.encoding(), 0x20);
        assert_eq!(first_violation(&no_vmxe), Some("CR4.VMXE is clear"));
        let available = long_mode().with(fields::TR.rights.encoding(), 0x89);
        assert_eq!(
            first_violation(&available),
            Some("TR: the type is not a busy TSS")
        );
        let no_bit_1 = long_mode().with(fields::GUEST_RFLAGS.encoding(), 0);
        assert_eq!(
            first_violation(&no_bit_1),
            Some("RFLAGS has reserved bits, or bit 1 is clear")
        );
        let interrupt = long_mode().with(
            fields::ENTRY_INTERRUPTION_INFO.encoding(),
            u64::from(Interruption::external(0x30).0),
        );
        assert_eq!(
            first_violation(&interrupt),
            Some("an interrupt is injected and RFLAGS.IF is clear")
        );
    }
}
