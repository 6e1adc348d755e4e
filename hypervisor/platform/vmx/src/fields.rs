//! The fields of a VMCS, each a constant that knows how wide it is.
//!
//! A field is not a number: its encoding can be handed to VMREAD and VMWRITE and nowhere else.
//! (Intel SDM vol. 3D appendix B)

use core::marker::PhantomData;

/// A VMCS field whose value is a `T`.
#[derive(Debug)]
pub struct Field<T> {
    encoding: u32,
    value: PhantomData<T>,
}

impl<T> Clone for Field<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Field<T> {}

impl<T> Field<T> {
    const fn checked(encoding: u32, width: u32) -> Self {
        // Bits 14:13 are the width, bit 0 would name the high half of a 64-bit field.
        assert!(
            (encoding >> 13) & 3 == width && encoding & 1 == 0 && encoding >> 15 == 0,
            "encoding of another width"
        );
        Self {
            encoding,
            value: PhantomData,
        }
    }

    /// Returns the encoding that VMREAD and VMWRITE take.
    #[must_use]
    pub const fn encoding(self) -> u32 {
        self.encoding
    }
}

impl Field<u16> {
    /// A 16-bit field.
    #[must_use]
    pub const fn word(encoding: u32) -> Self {
        Self::checked(encoding, 0)
    }
}

impl Field<u32> {
    /// A 32-bit field.
    #[must_use]
    pub const fn dword(encoding: u32) -> Self {
        Self::checked(encoding, 2)
    }
}

impl Field<u64> {
    /// A 64-bit field.
    #[must_use]
    pub const fn quad(encoding: u32) -> Self {
        Self::checked(encoding, 1)
    }

    /// A field of natural width: 64 bits on every CPU we run on.
    #[must_use]
    pub const fn natural(encoding: u32) -> Self {
        Self::checked(encoding, 3)
    }
}

/// A value that a field can hold.
pub trait FieldValue: Copy {
    /// The value in the register VMREAD filled.
    fn from_register(register: u64) -> Self;
    /// The register VMWRITE is to store.
    fn into_register(self) -> u64;
}

macro_rules! field_value {
    ($($kind:ty),*) => {$(
        impl FieldValue for $kind {
            #[inline]
            fn from_register(register: u64) -> Self {
                register as Self
            }
            #[inline]
            fn into_register(self) -> u64 {
                self as u64
            }
        }
    )*};
}
field_value!(u16, u32, u64);

/// Whoever fields can be read from: the current VMCS, or a table in a test.
pub trait ReadField {
    /// The value of a field.
    fn read<T: FieldValue>(&self, field: Field<T>) -> T;
}

macro_rules! width_type {
    (word) => {
        u16
    };
    (dword) => {
        u32
    };
    (quad) => {
        u64
    };
    (natural) => {
        u64
    };
}

macro_rules! fields {
    ($($group:literal { $($name:ident: $width:ident = $encoding:literal;)* })*) => {
        $($(
            #[doc = concat!("Field ", stringify!($encoding), ", ", $group, ".")]
            pub const $name: Field<width_type!($width)> = Field::$width($encoding);
        )*)*
        /// Every field, by group, for a dump.
        pub const ALL: &[(&str, &[(&str, u32)])] = &[
            $(($group, &[$((stringify!($name), $encoding),)*]),)*
        ];
    };
}

fields! {
    "guest state" {
        GUEST_CR0: natural = 0x6800;
        GUEST_CR3: natural = 0x6802;
        GUEST_CR4: natural = 0x6804;
        GUEST_DR7: natural = 0x681a;
        GUEST_RSP: natural = 0x681c;
        GUEST_RIP: natural = 0x681e;
        GUEST_RFLAGS: natural = 0x6820;
        GUEST_PENDING_DEBUG: natural = 0x6822;
        GUEST_INTERRUPTIBILITY: dword = 0x4824;
        GUEST_ACTIVITY: dword = 0x4826;
        GUEST_ES_SELECTOR: word = 0x0800;
        GUEST_CS_SELECTOR: word = 0x0802;
        GUEST_SS_SELECTOR: word = 0x0804;
        GUEST_DS_SELECTOR: word = 0x0806;
        GUEST_FS_SELECTOR: word = 0x0808;
        GUEST_GS_SELECTOR: word = 0x080a;
        GUEST_LDTR_SELECTOR: word = 0x080c;
        GUEST_TR_SELECTOR: word = 0x080e;
        GUEST_ES_LIMIT: dword = 0x4800;
        GUEST_CS_LIMIT: dword = 0x4802;
        GUEST_SS_LIMIT: dword = 0x4804;
        GUEST_DS_LIMIT: dword = 0x4806;
        GUEST_FS_LIMIT: dword = 0x4808;
        GUEST_GS_LIMIT: dword = 0x480a;
        GUEST_LDTR_LIMIT: dword = 0x480c;
        GUEST_TR_LIMIT: dword = 0x480e;
        GUEST_GDTR_LIMIT: dword = 0x4810;
        GUEST_IDTR_LIMIT: dword = 0x4812;
        GUEST_ES_RIGHTS: dword = 0x4814;
        GUEST_CS_RIGHTS: dword = 0x4816;
        GUEST_SS_RIGHTS: dword = 0x4818;
        GUEST_DS_RIGHTS: dword = 0x481a;
        GUEST_FS_RIGHTS: dword = 0x481c;
        GUEST_GS_RIGHTS: dword = 0x481e;
        GUEST_LDTR_RIGHTS: dword = 0x4820;
        GUEST_TR_RIGHTS: dword = 0x4822;
        GUEST_ES_BASE: natural = 0x6806;
        GUEST_CS_BASE: natural = 0x6808;
        GUEST_SS_BASE: natural = 0x680a;
        GUEST_DS_BASE: natural = 0x680c;
        GUEST_FS_BASE: natural = 0x680e;
        GUEST_GS_BASE: natural = 0x6810;
        GUEST_LDTR_BASE: natural = 0x6812;
        GUEST_TR_BASE: natural = 0x6814;
        GUEST_GDTR_BASE: natural = 0x6816;
        GUEST_IDTR_BASE: natural = 0x6818;
        VMCS_LINK: quad = 0x2800;
        GUEST_DEBUGCTL: quad = 0x2802;
        GUEST_PAT: quad = 0x2804;
        GUEST_EFER: quad = 0x2806;
        GUEST_PDPTE0: quad = 0x280a;
        GUEST_PDPTE1: quad = 0x280c;
        GUEST_PDPTE2: quad = 0x280e;
        GUEST_PDPTE3: quad = 0x2810;
        GUEST_SYSENTER_CS: dword = 0x482a;
        GUEST_SYSENTER_ESP: natural = 0x6824;
        GUEST_SYSENTER_EIP: natural = 0x6826;
    }
    "last exit" {
        INSTRUCTION_ERROR: dword = 0x4400;
        EXIT_REASON: dword = 0x4402;
        EXIT_INTERRUPTION_INFO: dword = 0x4404;
        EXIT_INTERRUPTION_ERROR: dword = 0x4406;
        IDT_VECTORING_INFO: dword = 0x4408;
        IDT_VECTORING_ERROR: dword = 0x440a;
        EXIT_INSTRUCTION_LEN: dword = 0x440c;
        EXIT_INSTRUCTION_INFO: dword = 0x440e;
        EXIT_QUALIFICATION: natural = 0x6400;
        GUEST_LINEAR_ADDRESS: natural = 0x640a;
        GUEST_PHYSICAL_ADDRESS: quad = 0x2400;
    }
    "controls" {
        PIN_CONTROLS: dword = 0x4000;
        PRIMARY_CONTROLS: dword = 0x4002;
        SECONDARY_CONTROLS: dword = 0x401e;
        EXIT_CONTROLS: dword = 0x400c;
        ENTRY_CONTROLS: dword = 0x4012;
        ENTRY_INTERRUPTION_INFO: dword = 0x4016;
        ENTRY_EXCEPTION_ERROR: dword = 0x4018;
        ENTRY_INSTRUCTION_LEN: dword = 0x401a;
        EXCEPTION_BITMAP: dword = 0x4004;
        PAGE_FAULT_MASK: dword = 0x4006;
        PAGE_FAULT_MATCH: dword = 0x4008;
        CR0_MASK: natural = 0x6000;
        CR4_MASK: natural = 0x6002;
        CR0_SHADOW: natural = 0x6004;
        CR4_SHADOW: natural = 0x6006;
        CR3_TARGET_COUNT: dword = 0x400a;
        TPR_THRESHOLD: dword = 0x401c;
        PLE_GAP: dword = 0x4020;
        PLE_WINDOW: dword = 0x4022;
        VPID: word = 0x0000;
        IO_BITMAP_A: quad = 0x2000;
        IO_BITMAP_B: quad = 0x2002;
        MSR_BITMAP: quad = 0x2004;
        TSC_OFFSET: quad = 0x2010;
        VIRTUAL_APIC: quad = 0x2012;
        EPT_POINTER: quad = 0x201a;
        XSS_EXITING_BITMAP: quad = 0x202c;
        ENCLS_EXITING_BITMAP: quad = 0x202e;
        EXIT_MSR_STORE_COUNT: dword = 0x400e;
        EXIT_MSR_LOAD_COUNT: dword = 0x4010;
        ENTRY_MSR_LOAD_COUNT: dword = 0x4014;
    }
    "host state" {
        HOST_CR0: natural = 0x6c00;
        HOST_CR3: natural = 0x6c02;
        HOST_CR4: natural = 0x6c04;
        HOST_RSP: natural = 0x6c14;
        HOST_RIP: natural = 0x6c16;
        HOST_ES_SELECTOR: word = 0x0c00;
        HOST_CS_SELECTOR: word = 0x0c02;
        HOST_SS_SELECTOR: word = 0x0c04;
        HOST_DS_SELECTOR: word = 0x0c06;
        HOST_FS_SELECTOR: word = 0x0c08;
        HOST_GS_SELECTOR: word = 0x0c0a;
        HOST_TR_SELECTOR: word = 0x0c0c;
        HOST_FS_BASE: natural = 0x6c06;
        HOST_GS_BASE: natural = 0x6c08;
        HOST_TR_BASE: natural = 0x6c0a;
        HOST_GDTR_BASE: natural = 0x6c0c;
        HOST_IDTR_BASE: natural = 0x6c0e;
        HOST_PAT: quad = 0x2c00;
        HOST_EFER: quad = 0x2c02;
        HOST_SYSENTER_CS: dword = 0x4c00;
        HOST_SYSENTER_ESP: natural = 0x6c10;
        HOST_SYSENTER_EIP: natural = 0x6c12;
    }
}

/// Where the four parts of one guest segment register are.
#[derive(Clone, Copy, Debug)]
pub struct SegmentFields {
    /// Selector.
    pub selector: Field<u16>,
    /// Limit.
    pub limit: Field<u32>,
    /// Access rights.
    pub rights: Field<u32>,
    /// Base.
    pub base: Field<u64>,
}

impl SegmentFields {
    /// Number `index` in the order ES, CS, SS, DS, FS, GS, LDTR, TR: the fields of one kind follow each other in it.
    const fn at(index: u32) -> Self {
        Self {
            selector: Field::word(GUEST_ES_SELECTOR.encoding + 2 * index),
            limit: Field::dword(GUEST_ES_LIMIT.encoding + 2 * index),
            rights: Field::dword(GUEST_ES_RIGHTS.encoding + 2 * index),
            base: Field::natural(GUEST_ES_BASE.encoding + 2 * index),
        }
    }
}

/// The segment registers by [`x86::SegmentRegister`] encoding.
pub const SEGMENTS: [SegmentFields; 6] = [
    SegmentFields::at(0),
    SegmentFields::at(1),
    SegmentFields::at(2),
    SegmentFields::at(3),
    SegmentFields::at(4),
    SegmentFields::at(5),
];
/// LDTR.
pub const LDTR: SegmentFields = SegmentFields::at(6);
/// TR.
pub const TR: SegmentFields = SegmentFields::at(7);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_fields_are_those_with_a_name() {
        assert_eq!(SEGMENTS[5].base.encoding(), GUEST_GS_BASE.encoding());
        assert_eq!(SEGMENTS[1].rights.encoding(), GUEST_CS_RIGHTS.encoding());
        assert_eq!(TR.limit.encoding(), GUEST_TR_LIMIT.encoding());
        assert_eq!(LDTR.selector.encoding(), GUEST_LDTR_SELECTOR.encoding());
    }

    #[test]
    fn no_encoding_is_listed_twice() {
        let all = || ALL.iter().flat_map(|(_, fields)| fields.iter());
        for (name, encoding) in all() {
            assert_eq!(all().filter(|(_, e)| e == encoding).count(), 1, "{name}");
        }
    }
}
