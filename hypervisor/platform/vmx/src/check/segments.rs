//! The rules for segment registers. (Intel SDM vol. 3C 27.3.1.2)

use x86::Cr0;

use super::{Guest, Rule, first, is_canonical};
use crate::fields::{self, ReadField, SegmentFields};
use crate::state::UNUSABLE;

/// Returns the first rule of 27.3.1.2 that is broken.
pub(super) fn first_violation(vmcs: &impl ReadField, guest: &Guest) -> Option<&'static str> {
    first(&selectors_and_bases(vmcs, guest))
        .or_else(|| first(&types_and_privilege(vmcs, guest)))
        .or_else(|| first(&limits_and_system_segments(vmcs, guest)))
}

fn is_usable(vmcs: &impl ReadField, fields: &SegmentFields) -> bool {
    vmcs.read(fields.rights) & UNUSABLE == 0
}

fn selectors_and_bases(vmcs: &impl ReadField, guest: &Guest) -> [Rule; 8] {
    let usable = |fields| is_usable(vmcs, fields);
    let all = &fields::SEGMENTS;
    let [_, cs, ss, ..] = all;
    let ss_rpl = u32::from(vmcs.read(ss.selector)) & 3;
    let is_v86 = guest.is_v86;
    let v86_broken = |fields: &SegmentFields| {
        vmcs.read(fields.base) != u64::from(vmcs.read(fields.selector)) << 4
            || vmcs.read(fields.limit) != 0xffff
            || vmcs.read(fields.rights) != 0xf3
    };
    [
        (
            vmcs.read(fields::TR.selector) & 4 != 0,
            "TR: the selector points into the LDT",
        ),
        (
            usable(&fields::LDTR) && vmcs.read(fields::LDTR.selector) & 4 != 0,
            "LDTR: the selector points into the LDT",
        ),
        (
            !is_v86 && !guest.is_unrestricted && ss_rpl != u32::from(vmcs.read(cs.selector)) & 3,
            "SS.RPL differs from CS.RPL",
        ),
        (
            is_v86 && all.iter().any(v86_broken),
            "a segment is not as virtual-8086 mode has it",
        ),
        (
            !is_canonical(vmcs.read(fields::GUEST_FS_BASE))
                || !is_canonical(vmcs.read(fields::GUEST_GS_BASE))
                || !is_canonical(vmcs.read(fields::TR.base)),
            "the base of TR, FS or GS is not canonical",
        ),
        (
            usable(&fields::LDTR) && !is_canonical(vmcs.read(fields::LDTR.base)),
            "LDTR: the base is not canonical",
        ),
        (
            vmcs.read(cs.base) >> 32 != 0,
            "CS: bits 63:32 of the base are not 0",
        ),
        (
            [0, 2, 3]
                .map(|index| &all[index])
                .into_iter()
                .any(|fields| usable(fields) && vmcs.read(fields.base) >> 32 != 0),
            "SS, DS or ES: bits 63:32 of the base are not 0",
        ),
    ]
}

/// The rules for access rights of code and data segments.
fn types_and_privilege(vmcs: &impl ReadField, guest: &Guest) -> [Rule; 6] {
    let is_real = !guest.has_cr0(Cr0::PROTECTED_MODE_ENABLE);
    let usable = |fields| is_usable(vmcs, fields);
    let all = &fields::SEGMENTS;
    let [_, _, ss, ..] = all;
    let data = [0, 3, 4, 5].map(|index| &all[index]);
    let ss_rpl = u32::from(vmcs.read(ss.selector)) & 3;
    let (cs_type, ss_type) = (guest.cs_rights & 15, guest.ss_rights & 15);
    let (cs_dpl, ss_dpl) = (guest.cs_rights >> 5 & 3, guest.ss_rights >> 5 & 3);
    let is_v86 = guest.is_v86;
    [
        (
            !(is_v86
                || matches!(cs_type, 9 | 11 | 13 | 15)
                || guest.is_unrestricted && cs_type == 3),
            "CS: the type is neither accessed code nor, with unrestricted guest, data",
        ),
        (
            !is_v86 && usable(ss) && !matches!(ss_type, 3 | 7),
            "SS: the type is not accessed, writable data",
        ),
        (
            !is_v86
                && data.iter().any(|fields| {
                    let rights = vmcs.read(fields.rights);
                    rights & UNUSABLE == 0 && (rights & 1 == 0 || rights & 0xa == 8)
                }),
            "DS, ES, FS or GS: the type is not accessed and readable",
        ),
        (
            !is_v86
                && (guest.cs_rights & UNUSABLE != 0
                    || all.iter().any(|fields| {
                        let rights = vmcs.read(fields.rights);
                        rights & UNUSABLE == 0 && rights & 0x90 != 0x90
                    })),
            "a usable segment is not present or a system segment, or CS is unusable",
        ),
        (
            !is_v86
                && match cs_type {
                    3 => cs_dpl != 0,
                    9 | 11 => cs_dpl != ss_dpl,
                    _ => cs_dpl > ss_dpl,
                },
            "CS.DPL does not fit SS.DPL",
        ),
        (
            !is_v86
                && ((!guest.is_unrestricted && ss_dpl != ss_rpl)
                    || ((is_real || cs_type == 3) && ss_dpl != 0)),
            "SS.DPL is neither its RPL nor, in real mode, 0",
        ),
    ]
}

fn limits_and_system_segments(vmcs: &impl ReadField, guest: &Guest) -> [Rule; 5] {
    let tr_rights = vmcs.read(fields::TR.rights);
    let ldtr_rights = vmcs.read(fields::LDTR.rights);
    [
        (
            guest.is_long && guest.cs_rights & 0x6000 == 0x6000,
            "CS: L and D are both set",
        ),
        (
            fields::SEGMENTS
                .iter()
                .chain([&fields::LDTR, &fields::TR])
                .any(|fields| is_granularity_wrong(vmcs, fields)),
            "a segment's G does not fit its limit",
        ),
        (
            !(tr_rights & 15 == 11 || (!guest.is_long && tr_rights & 15 == 3)),
            "TR: the type is not a busy TSS",
        ),
        (
            tr_rights & (UNUSABLE | 0x90) != 0x80,
            "TR: unusable, not present, or not a system segment",
        ),
        (
            is_usable(vmcs, &fields::LDTR) && ldtr_rights & 0x9f != 0x82,
            "LDTR: not a present LDT",
        ),
    ]
}

fn is_granularity_wrong(vmcs: &impl ReadField, fields: &SegmentFields) -> bool {
    let (rights, limit) = (vmcs.read(fields.rights), vmcs.read(fields.limit));
    if rights & UNUSABLE != 0 {
        return false;
    }
    let has_granularity = rights & 1 << 15 != 0;
    (limit & 0xfff != 0xfff && has_granularity) || (limit >> 20 != 0 && !has_granularity)
}
