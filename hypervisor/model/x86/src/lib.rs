//! The x86 architecture in names: registers, vectors, segments, MSRs.
//!
//! Follows Intel SDM revision 085 and AMD APM volume 2 revision 3.42. Control-register and RFLAGS bits are those of the
//! `x86_64` crate, under the names the manuals use.
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm
)]

mod cpuid;
mod exception;
pub mod msr;
mod register;
mod segment;
mod width;

pub use cpuid::CpuidResult;
pub use exception::{Exception, Fault, GeneralProtection, Vector};
pub use register::Gpr;
pub use segment::{Attributes, DescriptorTable, Segment, SegmentRegister};
pub use width::Width;
pub use x86_64::registers::control::{Cr0Flags as Cr0, Cr4Flags as Cr4, EferFlags as Efer};
pub use x86_64::registers::rflags::RFlags as Rflags;
pub use x86_64::registers::xcontrol::XCr0Flags as Xcr0;
