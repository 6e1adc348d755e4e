//! Architectural state in and out of the VMCS.

use ::vcpu::{ArchState, Paging, Shadow};
use x86::{Attributes, Cr0, Cr4, DescriptorTable, Efer, Rflags, Segment, SegmentRegister};

use crate::controls::entry;
use crate::features::Features;
use crate::fields::{self, Field, ReadField, SegmentFields};
use crate::vmcs::Loaded;

/// Bit 16 of access rights: nothing was loaded into the register. (Intel SDM vol. 3C 25.4.1, table 25-2)
pub(crate) const UNUSABLE: u32 = 1 << 16;

/// Bits of the guest interruptibility state. (25.4.2, table 25-3)
pub(crate) mod interruptibility {
    /// The instruction before was STI.
    pub(crate) const STI: u32 = 1 << 0;
    /// The instruction before loaded SS.
    pub(crate) const MOV_SS: u32 = 1 << 1;
    /// An NMI is being handled.
    pub(crate) const NMI: u32 = 1 << 3;
}

/// Bit 14 of the pending debug exceptions: a single step is due. (25.4.2, table 25-4)
pub(crate) const PENDING_SINGLE_STEP: u64 = 1 << 14;

/// DEBUGCTL bit 1, BTF: TF steps over branches, not instructions.
const BRANCH_STEPS: u64 = 1 << 1;

/// Access rights as VMX packs them: bits 11:8 are a gap, bit 16 stands for "not present".
#[must_use]
pub(crate) const fn pack_rights(attributes: Attributes) -> u32 {
    let bits = attributes.0 as u32;
    let packed = bits & 0xff | (bits >> 8 & 0xf) << 12;
    if attributes.is_present() {
        packed
    } else {
        packed | UNUSABLE
    }
}

/// The reverse of [`pack_rights`].
#[must_use]
pub(crate) const fn unpack_rights(rights: u32) -> Attributes {
    let bits = (rights & 0xff | (rights >> 12 & 0xf) << 8) as u16;
    Attributes(if rights & UNUSABLE == 0 {
        bits
    } else {
        bits & !Attributes::PRESENT
    })
}

/// Use of a segment register: VM entry is stricter than loading the register is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    CodeOrData,
    Ldt,
    Task,
}

/// A segment as VM entry wants it (27.3.1.2): accessed or busy, and G in agreement with the limit.
fn legal(segment: Segment, role: Role) -> Segment {
    let mut bits = segment.attributes.0;
    match role {
        Role::CodeOrData if segment.attributes.is_present() => bits |= 1,
        Role::Task => bits |= 2 | Attributes::PRESENT,
        Role::CodeOrData | Role::Ldt => {}
    }
    if segment.limit > 0xf_ffff {
        bits |= Attributes::GRANULARITY;
    } else if segment.limit & 0xfff != 0xfff {
        bits &= !Attributes::GRANULARITY;
    }
    Segment {
        attributes: Attributes(bits),
        ..segment
    }
}

fn read_segment(vmcs: Loaded, fields: &SegmentFields) -> Segment {
    Segment {
        selector: vmcs.read(fields.selector),
        attributes: unpack_rights(vmcs.read(fields.rights)),
        limit: vmcs.read(fields.limit),
        base: vmcs.read(fields.base),
    }
}

fn write_segment(vmcs: Loaded, fields: &SegmentFields, segment: Segment, role: Role) {
    let segment = legal(segment, role);
    vmcs.write(fields.selector, segment.selector);
    vmcs.write(fields.rights, pack_rights(segment.attributes));
    vmcs.write(fields.limit, segment.limit);
    vmcs.write(fields.base, segment.base);
}

/// One segment register of the current VMCS.
pub(crate) fn segment(vmcs: Loaded, register: SegmentRegister) -> Segment {
    read_segment(vmcs, &fields::SEGMENTS[register as usize])
}

/// Which bits of CR0 and CR4 the hypervisor keeps for itself, and their values. (25.6.6)
#[derive(Clone, Copy, Debug)]
pub(crate) struct ControlMasks {
    /// Bits of CR0 the guest cannot change.
    pub(crate) cr0: u64,
    /// Value that those bits, and others that must be, are set to.
    cr0_set: u64,
    /// Bits of CR4 the guest cannot change.
    pub(crate) cr4: u64,
    cr4_set: u64,
    /// Bits of CR4 the guest may see set.
    pub(crate) cr4_allowed: u64,
}

impl ControlMasks {
    /// CD and NW stay clear, NE set; PE and PG too where the CPU cannot run without. CR4.MCE stays set, so that a machine check
    /// never becomes a shutdown; CR4.VMXE is set and hidden.
    pub(crate) fn new(features: &Features, cr4_allowed: u64) -> Self {
        let modes = Cr0::PROTECTED_MODE_ENABLE.bits() | Cr0::PAGING.bits();
        let cache = Cr0::CACHE_DISABLE.bits() | Cr0::NOT_WRITE_THROUGH.bits();
        let cr0_must = if features.has_unrestricted_guest {
            features.cr0_must & !modes
        } else {
            features.cr0_must | modes
        };
        let hidden = Cr4::VIRTUAL_MACHINE_EXTENSIONS.bits();
        let cr4_allowed = cr4_allowed & features.cr4_may & !hidden;
        let machine_check = Cr4::MACHINE_CHECK_EXCEPTION.bits();
        Self {
            cr0: cr0_must | cache,
            cr0_set: cr0_must | Cr0::EXTENSION_TYPE.bits(),
            cr4: !cr4_allowed | machine_check,
            cr4_set: features.cr4_must | (machine_check & features.cr4_may),
            cr4_allowed,
        }
    }

    fn real_cr0(&self, guest: u64) -> u64 {
        let cache = Cr0::CACHE_DISABLE.bits() | Cr0::NOT_WRITE_THROUGH.bits();
        guest & !cache | self.cr0_set
    }

    fn real_cr4(&self, guest: u64) -> u64 {
        guest & !self.cr4 | self.cr4_set
    }
}

fn guest_view(vmcs: Loaded, mask: u64, shadow: Field<u64>, real: Field<u64>) -> u64 {
    vmcs.read(shadow) & mask | vmcs.read(real) & !mask
}

/// CR0 as the guest sees it.
pub(crate) fn cr0(vmcs: Loaded, masks: &ControlMasks) -> u64 {
    guest_view(vmcs, masks.cr0, fields::CR0_SHADOW, fields::GUEST_CR0)
}

/// CR4 as the guest sees it.
pub(crate) fn cr4(vmcs: Loaded, masks: &ControlMasks) -> u64 {
    guest_view(vmcs, masks.cr4, fields::CR4_SHADOW, fields::GUEST_CR4)
}

/// Replaces EFER and everything that follows it: LMA is LME with paging on, and the entry control must say the same.
pub(crate) fn set_efer(vmcs: Loaded, efer: u64) {
    let active = Efer::LONG_MODE_ACTIVE.bits();
    let is_paging = vmcs.read(fields::GUEST_CR0) & Cr0::PAGING.bits() != 0;
    let is_active = is_paging && efer & Efer::LONG_MODE_ENABLE.bits() != 0;
    let efer = efer & !active | if is_active { active } else { 0 };
    vmcs.write(fields::GUEST_EFER, efer);
    // Read afresh: an exit of an unrestricted guest stores LMA into this control.
    let controls = vmcs.read(fields::ENTRY_CONTROLS);
    let controls = if is_active {
        controls | entry::IA32E_MODE_GUEST
    } else {
        controls & !entry::IA32E_MODE_GUEST
    };
    vmcs.write(fields::ENTRY_CONTROLS, controls);
}

/// Returns the state that walking page tables and decoding code needs.
pub(crate) fn paging(vmcs: Loaded, masks: &ControlMasks) -> Paging {
    // The privilege level is SS's, also in real and virtual-8086 mode. (25.4.1)
    let cpl = unpack_rights(vmcs.read(fields::GUEST_SS_RIGHTS)).dpl();
    Paging {
        cr0: cr0(vmcs, masks),
        cr3: vmcs.read(fields::GUEST_CR3),
        cr4: cr4(vmcs, masks),
        efer: vmcs.read(fields::GUEST_EFER),
        rflags: vmcs.read(fields::GUEST_RFLAGS),
        cpl,
        cs: segment(vmcs, SegmentRegister::Cs),
        rip: vmcs.read(fields::GUEST_RIP),
    }
}

/// Reads everything the VMCS holds of `state`.
pub(crate) fn save(vmcs: Loaded, masks: &ControlMasks, state: &mut ArchState) {
    state.gpr[x86::Gpr::Rsp.index()] = vmcs.read(fields::GUEST_RSP);
    state.rip = vmcs.read(fields::GUEST_RIP);
    state.rflags = vmcs.read(fields::GUEST_RFLAGS);
    for (segment, fields) in state.segment.iter_mut().zip(&fields::SEGMENTS) {
        *segment = read_segment(vmcs, fields);
    }
    state.ldtr = read_segment(vmcs, &fields::LDTR);
    state.tr = read_segment(vmcs, &fields::TR);
    state.gdtr = DescriptorTable {
        base: vmcs.read(fields::GUEST_GDTR_BASE),
        limit: vmcs.read(fields::GUEST_GDTR_LIMIT) as u16,
    };
    state.idtr = DescriptorTable {
        base: vmcs.read(fields::GUEST_IDTR_BASE),
        limit: vmcs.read(fields::GUEST_IDTR_LIMIT) as u16,
    };
    state.cr0 = cr0(vmcs, masks);
    state.cr3 = vmcs.read(fields::GUEST_CR3);
    state.cr4 = cr4(vmcs, masks);
    state.efer = vmcs.read(fields::GUEST_EFER);
    state.dr7 = vmcs.read(fields::GUEST_DR7);
    state.pat = vmcs.read(fields::GUEST_PAT);
    state.sysenter_cs = u64::from(vmcs.read(fields::GUEST_SYSENTER_CS));
    state.sysenter_esp = vmcs.read(fields::GUEST_SYSENTER_ESP);
    state.sysenter_eip = vmcs.read(fields::GUEST_SYSENTER_EIP);
    state.debugctl = vmcs.read(fields::GUEST_DEBUGCTL);
    let blocking = vmcs.read(fields::GUEST_INTERRUPTIBILITY);
    state.shadow = if blocking & interruptibility::MOV_SS != 0 {
        Shadow::MovSs
    } else if blocking & interruptibility::STI != 0 {
        Shadow::Sti
    } else {
        Shadow::None
    };
}

/// Writes everything the VMCS holds of `state`.
///
/// The page-directory pointers of a guest in PAE paging stay as they are: such a state only comes from `save`.
pub(crate) fn load(vmcs: Loaded, masks: &ControlMasks, state: &ArchState) {
    vmcs.write(fields::GUEST_RSP, state.gpr[x86::Gpr::Rsp.index()]);
    vmcs.write(fields::GUEST_RIP, state.rip);
    vmcs.write(fields::GUEST_RFLAGS, legal_rflags(state.rflags));
    for (segment, fields) in state.segment.iter().zip(&fields::SEGMENTS) {
        write_segment(vmcs, fields, *segment, Role::CodeOrData);
    }
    write_segment(vmcs, &fields::LDTR, state.ldtr, Role::Ldt);
    write_segment(vmcs, &fields::TR, state.tr, Role::Task);
    vmcs.write(fields::GUEST_GDTR_BASE, state.gdtr.base);
    vmcs.write(fields::GUEST_GDTR_LIMIT, u32::from(state.gdtr.limit));
    vmcs.write(fields::GUEST_IDTR_BASE, state.idtr.base);
    vmcs.write(fields::GUEST_IDTR_LIMIT, u32::from(state.idtr.limit));
    vmcs.write(fields::GUEST_CR0, masks.real_cr0(state.cr0));
    vmcs.write(fields::CR0_SHADOW, state.cr0);
    vmcs.write(fields::GUEST_CR3, state.cr3);
    vmcs.write(fields::GUEST_CR4, masks.real_cr4(state.cr4));
    vmcs.write(fields::CR4_SHADOW, state.cr4 & masks.cr4_allowed);
    set_efer(vmcs, state.efer);
    vmcs.write(fields::GUEST_DR7, state.dr7 & 0xffff_ffff | 0x400);
    vmcs.write(fields::GUEST_PAT, state.pat);
    vmcs.write(fields::GUEST_SYSENTER_CS, state.sysenter_cs as u32);
    vmcs.write(fields::GUEST_SYSENTER_ESP, state.sysenter_esp);
    vmcs.write(fields::GUEST_SYSENTER_EIP, state.sysenter_eip);
    vmcs.write(fields::GUEST_DEBUGCTL, state.debugctl);
    let blocking = match state.shadow {
        Shadow::None => 0,
        Shadow::Sti => interruptibility::STI,
        Shadow::MovSs => interruptibility::MOV_SS,
    };
    vmcs.write(fields::GUEST_INTERRUPTIBILITY, blocking);
    // With a shadow, VM entry insists on a pending single step exactly when TF asks for one. (27.3.1.5)
    let is_stepping = is_single_step(state.rflags, || state.debugctl);
    let pending = if blocking != 0 && is_stepping {
        PENDING_SINGLE_STEP
    } else {
        0
    };
    vmcs.write(fields::GUEST_PENDING_DEBUG, pending);
    // Active. HLT and wait-for-SIPI are the VMM's business: such a vCPU is not run.
    vmcs.write(fields::GUEST_ACTIVITY, 0);
}

/// Returns whether an instruction that retires now raises #DB.
pub(crate) fn is_single_step(rflags: u64, debugctl: impl FnOnce() -> u64) -> bool {
    rflags & Rflags::TRAP_FLAG.bits() != 0 && debugctl() & BRANCH_STEPS == 0
}

/// RFLAGS with the fixed bits as VM entry wants them. (27.3.1.4)
const fn legal_rflags(rflags: u64) -> u64 {
    rflags & 0x003f_7fd7 | 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_pack_and_unpack() {
        let code = Attributes(0xa9b);
        assert_eq!(pack_rights(code), 0xa09b);
        assert_eq!(unpack_rights(0xa09b), code);
        assert_eq!(pack_rights(Attributes(0)), UNUSABLE);
        assert!(!unpack_rights(0x1_0093).is_present());
    }

    #[test]
    fn granularity_follows_the_limit() {
        let segment = |limit, bits| Segment {
            limit,
            attributes: Attributes(bits),
            ..Segment::default()
        };
        let flat = legal(segment(u32::MAX, 0x493), Role::CodeOrData);
        assert_eq!(flat.attributes.0, 0xc93);
        let small = legal(segment(0x67, 0x889), Role::Task);
        assert_eq!(small.attributes.0, 0x8b);
        let either = legal(segment(0xffff, 0x893), Role::CodeOrData);
        assert_eq!(either.attributes.0, 0x893);
    }

    #[test]
    fn a_loaded_segment_is_an_accessed_one() {
        let segment = Segment {
            attributes: Attributes(0x92),
            limit: 0xffff,
            ..Segment::default()
        };
        assert_eq!(legal(segment, Role::CodeOrData).attributes.0, 0x93);
        let null = Segment::default();
        assert_eq!(legal(null, Role::CodeOrData), null);
    }

    #[test]
    fn reserved_flags_are_fixed() {
        assert_eq!(legal_rflags(0), 2);
        assert_eq!(legal_rflags(u64::MAX), 0x3f_7fd7);
    }
}
