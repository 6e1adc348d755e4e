//! Vectors, exceptions and faults.

use addr::Gva;
use serde::{Deserialize, Serialize};

/// An interrupt vector: a number at a local APIC or in an IDT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Vector(pub u8);

impl Vector {
    /// Its priority class, the upper four bits. (Intel SDM vol. 3A 11.8.3)
    #[must_use]
    pub const fn class(self) -> u8 {
        self.0 >> 4
    }
}

/// The architectural exceptions. (Intel SDM vol. 3A 6.3, table 6-1)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are the architecture's")]
pub enum Exception {
    DivideError = 0,
    Debug = 1,
    Breakpoint = 3,
    Overflow = 4,
    BoundRange = 5,
    InvalidOpcode = 6,
    DeviceNotAvailable = 7,
    DoubleFault = 8,
    InvalidTss = 10,
    SegmentNotPresent = 11,
    StackFault = 12,
    GeneralProtection = 13,
    PageFault = 14,
    FloatingPoint = 16,
    AlignmentCheck = 17,
    MachineCheck = 18,
    SimdFloatingPoint = 19,
    ControlProtection = 21,
}

impl Exception {
    /// The exception that is delivered through `vector`.
    #[must_use]
    pub const fn from_vector(vector: Vector) -> Option<Self> {
        Some(match vector.0 {
            0 => Self::DivideError,
            1 => Self::Debug,
            3 => Self::Breakpoint,
            4 => Self::Overflow,
            5 => Self::BoundRange,
            6 => Self::InvalidOpcode,
            7 => Self::DeviceNotAvailable,
            8 => Self::DoubleFault,
            10 => Self::InvalidTss,
            11 => Self::SegmentNotPresent,
            12 => Self::StackFault,
            13 => Self::GeneralProtection,
            14 => Self::PageFault,
            16 => Self::FloatingPoint,
            17 => Self::AlignmentCheck,
            18 => Self::MachineCheck,
            19 => Self::SimdFloatingPoint,
            21 => Self::ControlProtection,
            _ => return None,
        })
    }

    /// The vector it is delivered through.
    #[must_use]
    pub const fn vector(self) -> Vector {
        Vector(self as u8)
    }
}

/// An exception with all that its delivery needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Which one.
    pub exception: Exception,
    /// The error code pushed, for the exceptions that push one.
    pub error_code: Option<u32>,
    /// Address that CR2 gets, for page faults.
    pub address: Option<Gva>,
}

impl Fault {
    /// #GP(0).
    pub const GENERAL_PROTECTION: Self = Self {
        exception: Exception::GeneralProtection,
        error_code: Some(0),
        address: None,
    };
    /// #UD.
    pub const INVALID_OPCODE: Self = Self {
        exception: Exception::InvalidOpcode,
        error_code: None,
        address: None,
    };

    /// A page fault at `address`; `error_code` as in Intel SDM vol. 3A 4.7.
    #[must_use]
    pub const fn page_fault(address: Gva, error_code: u32) -> Self {
        Self {
            exception: Exception::PageFault,
            error_code: Some(error_code),
            address: Some(address),
        }
    }
}

/// The answer to an access that the architecture forbids: #GP(0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneralProtection;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_is_known_by_its_vector() {
        let known = (0..=255).filter_map(|vector| {
            let vector = Vector(vector);
            Exception::from_vector(vector).map(|exception| (exception.vector(), vector))
        });
        assert_eq!(known.clone().count(), 18);
        assert!(known.into_iter().all(|(back, vector)| back == vector));
    }
}
