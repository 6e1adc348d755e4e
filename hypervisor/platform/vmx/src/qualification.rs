//! Exit qualifications and the other words an exit leaves, with names for their bits.

use vcpu::Access;
use x86::{Gpr, SegmentRegister, Width};

/// Exit qualification of an I/O instruction; `svm::IoInfo` is its twin. (Intel SDM vol. 3C 28.2.1, table 28-5)
#[derive(Clone, Copy, Debug)]
pub struct IoQualification(pub u64);

impl IoQualification {
    /// Byte, word or doubleword.
    #[inline]
    #[must_use]
    pub const fn width(self) -> Width {
        match self.0 & 7 {
            0 => Width::Byte,
            1 => Width::Word,
            _ => Width::Dword,
        }
    }

    /// IN or INS, not OUT or OUTS.
    #[inline]
    #[must_use]
    pub const fn is_in(self) -> bool {
        self.0 & 1 << 3 != 0
    }

    /// INS or OUTS.
    #[inline]
    #[must_use]
    pub const fn is_string(self) -> bool {
        self.0 & 1 << 4 != 0
    }

    /// With REP.
    #[must_use]
    pub const fn is_repeated(self) -> bool {
        self.0 & 1 << 5 != 0
    }

    /// The port.
    #[inline]
    #[must_use]
    pub const fn port(self) -> u16 {
        (self.0 >> 16) as u16
    }
}

/// VM-exit instruction information of INS and OUTS. (28.2.5, table 28-9)
#[derive(Clone, Copy, Debug)]
pub struct StringIoInfo(pub u32);

impl StringIoInfo {
    /// Width of rCX, rSI and rDI.
    #[must_use]
    pub const fn address_width(self) -> Width {
        match self.0 >> 7 & 7 {
            0 => Width::Word,
            1 => Width::Dword,
            _ => Width::Qword,
        }
    }

    /// Segment of the operand of OUTS; undefined for INS.
    #[must_use]
    pub const fn segment(self) -> SegmentRegister {
        match self.0 >> 15 & 7 {
            0 => SegmentRegister::Es,
            1 => SegmentRegister::Cs,
            2 => SegmentRegister::Ss,
            4 => SegmentRegister::Fs,
            5 => SegmentRegister::Gs,
            _ => SegmentRegister::Ds,
        }
    }
}

/// Which instruction accessed a control register. (28.2.1, table 28-3)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrAccess {
    /// MOV to CR `register` from `from`.
    Write {
        /// 0, 3, 4 or 8.
        register: u8,
        /// Source.
        from: Gpr,
    },
    /// MOV from CR `register` to `to`.
    Read {
        /// 3 or 8.
        register: u8,
        /// Destination.
        to: Gpr,
    },
    /// CLTS.
    ClearTaskSwitched,
    /// LMSW of this value.
    LoadMachineStatus(u16),
}

impl CrAccess {
    /// Reads the exit qualification of a control-register access.
    #[must_use]
    pub const fn from_qualification(qualification: u64) -> Self {
        let register = (qualification & 15) as u8;
        let gpr = Gpr::from_encoding((qualification >> 8 & 15) as u8);
        match qualification >> 4 & 3 {
            0 => Self::Write {
                register,
                from: gpr,
            },
            1 => Self::Read { register, to: gpr },
            2 => Self::ClearTaskSwitched,
            _ => Self::LoadMachineStatus((qualification >> 16) as u16),
        }
    }
}

/// Exit qualification of an EPT violation. (28.2.1, table 28-7)
#[derive(Clone, Copy, Debug)]
pub struct EptQualification(pub u64);

impl EptQualification {
    /// Returns the access that was tried. A read-modify-write sets both bits and counts as a write.
    #[inline]
    #[must_use]
    pub const fn access(self) -> Access {
        if self.0 & 2 != 0 {
            Access::Write
        } else if self.0 & 4 != 0 {
            Access::Execute
        } else {
            Access::Read
        }
    }

    /// Returns whether the guest-linear-address field is valid.
    #[inline]
    #[must_use]
    pub const fn has_linear_address(self) -> bool {
        self.0 & 1 << 7 != 0
    }

    /// Returns whether the access was to a paging-structure entry, not to what the linear address
    /// translates to.
    #[inline]
    #[must_use]
    pub const fn is_table_walk(self) -> bool {
        self.has_linear_address() && self.0 & 1 << 8 == 0
    }

    /// Returns whether IRET had just unblocked NMIs and then faulted.
    #[inline]
    #[must_use]
    pub const fn is_nmi_unblocked_by_iret(self) -> bool {
        self.0 & 1 << 12 != 0
    }
}

/// VM-exit and VM-entry interruption information and IDT-vectoring information: one format.
/// (25.8.3, 25.9.2, 25.9.3)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interruption(pub u32);

/// Kind of event of an [`Interruption`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterruptionKind {
    /// External interrupt.
    External,
    /// NMI.
    Nmi,
    /// Exception raised by hardware.
    HardwareException,
    /// INT n.
    SoftwareInterrupt,
    /// INT1.
    PrivilegedSoftwareException,
    /// INT3 or INTO.
    SoftwareException,
    /// A reserved type, or "other event".
    Other,
}

impl Interruption {
    const VALID: u32 = 1 << 31;
    const HAS_ERROR_CODE: u32 = 1 << 11;
    const NMI_UNBLOCKED: u32 = 1 << 12;

    /// An external interrupt, an NMI (type 2) or a hardware exception (type 3) to be injected.
    const fn new(vector: u8, kind: u32, has_error_code: bool) -> Self {
        let error = if has_error_code {
            Self::HAS_ERROR_CODE
        } else {
            0
        };
        Self(Self::VALID | error | kind << 8 | vector as u32)
    }

    /// An external interrupt.
    #[inline]
    #[must_use]
    pub const fn external(vector: u8) -> Self {
        Self::new(vector, 0, false)
    }

    /// An NMI.
    #[must_use]
    pub const fn nmi() -> Self {
        Self::new(2, 2, false)
    }

    /// A hardware exception.
    #[must_use]
    pub const fn exception(vector: u8, has_error_code: bool) -> Self {
        Self::new(vector, 3, has_error_code)
    }

    /// Returns whether there is an event at all.
    #[inline]
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.0 & Self::VALID != 0
    }

    /// Its vector.
    #[inline]
    #[must_use]
    pub const fn vector(self) -> u8 {
        self.0 as u8
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(self) -> InterruptionKind {
        match self.0 >> 8 & 7 {
            0 => InterruptionKind::External,
            2 => InterruptionKind::Nmi,
            3 => InterruptionKind::HardwareException,
            4 => InterruptionKind::SoftwareInterrupt,
            5 => InterruptionKind::PrivilegedSoftwareException,
            6 => InterruptionKind::SoftwareException,
            _ => InterruptionKind::Other,
        }
    }

    /// Returns whether an error code goes with it.
    #[must_use]
    pub const fn has_error_code(self) -> bool {
        self.0 & Self::HAS_ERROR_CODE != 0
    }

    /// Returns whether IRET had just unblocked NMIs and then faulted. Only in VM-exit interruption
    /// information.
    #[must_use]
    pub const fn is_nmi_unblocked_by_iret(self) -> bool {
        self.0 & Self::NMI_UNBLOCKED != 0
    }

    /// The same event, to be injected: bit 12 is undefined in IDT-vectoring information and reserved at entry.
    #[must_use]
    pub const fn again(self) -> Self {
        Self(self.0 & !Self::NMI_UNBLOCKED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_to_the_uart_is_understood() {
        let io = IoQualification(0x03f8_0000);
        assert_eq!(
            (io.port(), io.width(), io.is_in(), io.is_string()),
            (0x3f8, Width::Byte, false, false)
        );
        let io = IoQualification(0x0cfc_003b);
        assert_eq!(
            (io.port(), io.width(), io.is_in()),
            (0xcfc, Width::Dword, true)
        );
        assert!(io.is_string() && io.is_repeated());
    }

    #[test]
    fn control_register_accesses_are_told_apart() {
        assert_eq!(
            CrAccess::from_qualification(0x0204),
            CrAccess::Write {
                register: 4,
                from: Gpr::Rdx
            }
        );
        assert_eq!(
            CrAccess::from_qualification(0x0f18),
            CrAccess::Read {
                register: 8,
                to: Gpr::R15
            }
        );
        assert_eq!(
            CrAccess::from_qualification(0x0001_0030),
            CrAccess::LoadMachineStatus(1)
        );
    }

    #[test]
    fn a_page_fault_to_inject_has_the_right_bits() {
        assert_eq!(Interruption::exception(14, true).0, 0x8000_0b0e);
        assert_eq!(Interruption::nmi().0, 0x8000_0202);
        assert_eq!(Interruption(0x8000_1b0e).again().0, 0x8000_0b0e);
    }

    #[test]
    fn a_read_modify_write_is_a_write() {
        assert_eq!(EptQualification(3).access(), Access::Write);
        assert_eq!(EptQualification(4).access(), Access::Execute);
        assert!(EptQualification(1 << 7).is_table_walk());
        assert!(!EptQualification(1 << 7 | 1 << 8).is_table_walk());
    }
}
