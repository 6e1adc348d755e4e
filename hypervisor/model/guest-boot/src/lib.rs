//! Translation of a kernel image into memory writes and a start state.
//!
//! [`plan()`] looks at the bytes, says which [`Kind`] they are, and answers with a [`BootPlan`]: what to write where, and how
//! vCPU 0 starts. The large pieces are borrowed from the image, so nothing is copied but into guest RAM. An image is not
//! trusted: every field is checked against the file and against the guest's RAM before anything is believed, and what is
//! wrong is told with the field's name and its offset in the file ([`LoadError`]).
//!
//! Follows the Linux/x86 boot protocol, version 2.15 (64-bit, 32-bit and 16-bit entry), Xen's x86/HVM direct boot ABI (PVH),
//! the Multiboot specifications 0.6.96 and 2.0, and the System V ABI's chapters on ELF. [`detect()`] says which wins where a
//! file is more than one of them. A file with a load address from the configuration is a flat binary, whatever it looks like:
//!
//! | kind | entry | told by |
//! |---|---|---|
//! | bzImage | 64-bit, 32-bit or 16-bit ([`Boot::entry`]; else the first it has) | zero page, or setup header and BIOS |
//! | PVH | 32-bit | `hvm_start_info` in EBX |
//! | Multiboot 1, 2 | 32-bit | information in EBX, magic number in EAX |
//! | ELF64 | 64-bit | RDI: command line, RSI: ACPI root pointer |
//! | ELF32 | 32-bit | EDI, ESI: the same |
//! | flat binary | as [`Boot::entry`] says | the same; in 16 bits ES:DI is the command line |
//!
//! Whatever the kernel, low memory holds what a PC's firmware leaves there ([`bios`]): interrupt vectors, BIOS data area, and
//! a ROM whose services the hypervisor answers.
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm
)]

extern crate alloc;

pub mod bios;
mod bzimage;
mod bzimage_16;
mod detect;
mod elf_file;
mod elf_plain;
mod error;
mod field;
mod flat;
pub mod fw_cfg;
mod layout;
mod loaded;
mod long_mode;
mod low_memory;
mod multiboot;
mod multiboot1;
mod multiboot2;
mod multiboot2_info;
mod plan;
mod protected_mode;
mod pvh;
mod real_mode;
mod rom;
mod screen;
mod setup_header;
#[cfg(any(test, feature = "test-images"))]
pub mod test_images;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_16;
#[cfg(test)]
mod tests_32;
#[cfg(test)]
mod tests_broken;
mod zero_page;

pub use detect::{Kind, detect};
pub use error::LoadError;
pub use layout::{MemoryLayout, Region, RegionKind};
pub use pc_map::memory::{ACPI_TABLES as TABLES, ECAM, IO_APIC, PCI_WINDOW};
pub use plan::{BootPlan, Content, Write};
pub use screen::clear_screen;

use addr::Gpa;

/// Files and settings a guest is started with.
#[derive(Clone, Copy, Debug)]
pub struct Boot<'a> {
    /// The kernel file, as it came.
    pub kernel: &'a [u8],
    /// The initial RAM disk, if there is one. Where a protocol knows modules, it is the first.
    pub initrd: Option<&'a [u8]>,
    /// Further modules, for the protocols that know such.
    pub modules: &'a [Module<'a>],
    /// The command line.
    pub cmdline: &'a str,
    /// By which door; `None` for the best the kernel has.
    pub entry: Option<Entry>,
    /// Where a flat binary lies and starts; `None` for a kernel that says so itself.
    pub load_address: Option<u64>,
    /// Where the ACPI root pointer lies.
    pub rsdp: Gpa,
    /// Instruction with which the ROM calls the hypervisor.
    pub call: CallInsn,
}

/// A module of a kernel.
#[derive(Clone, Copy, Debug)]
pub struct Module<'a> {
    /// Its file, as it came.
    pub bytes: &'a [u8],
    /// Text that the kernel is told about it.
    pub cmdline: &'a str,
}

/// The mode of the CPU in which a kernel is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Real mode.
    Real16,
    /// Protected mode, flat, no paging.
    Protected32,
    /// Long mode, the first 4 GiB mapped to themselves.
    Long64,
}

/// The instruction by which guests call a hypervisor; each vendor's CPU knows its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallInsn {
    /// VMCALL. (Intel SDM vol. 3C 31.3)
    #[default]
    Vmcall,
    /// VMMCALL. (AMD APM vol. 3)
    Vmmcall,
}

/// Works out how `boot` starts in a guest with this memory.
///
/// # Errors
/// [`LoadError`] when the kernel is of no known kind, is damaged, or does not fit the memory.
pub fn plan<'a>(boot: &Boot<'a>, layout: &MemoryLayout) -> Result<BootPlan<'a>, LoadError> {
    let mut plan = match boot.load_address {
        Some(at) => flat::plan(boot, at, layout),
        None => plan_by_content(boot, layout),
    }?;
    plan.writes.extend(bios::writes(boot.call));
    Ok(plan)
}

fn plan_by_content<'a>(boot: &Boot<'a>, layout: &MemoryLayout) -> Result<BootPlan<'a>, LoadError> {
    let only = |door: Entry| match boot.entry {
        Some(asked) if asked != door => Err(LoadError::NoSuchEntry { asked, only: door }),
        _ => Ok(()),
    };
    match detect(boot.kernel) {
        Kind::BzImage => bzimage::plan(boot, layout),
        Kind::Pvh => only(Entry::Protected32).and_then(|()| pvh::plan(boot, layout)),
        Kind::Multiboot2 => only(Entry::Protected32).and_then(|()| multiboot2::plan(boot, layout)),
        Kind::Multiboot1 => only(Entry::Protected32).and_then(|()| multiboot1::plan(boot, layout)),
        Kind::Elf64 => only(Entry::Long64).and_then(|()| elf_plain::plan_64(boot, layout)),
        Kind::Elf32 => only(Entry::Protected32).and_then(|()| elf_plain::plan_32(boot, layout)),
        Kind::Unknown => Err(LoadError::UnknownKind {
            first_bytes: core::array::from_fn(|at| boot.kernel.get(at).copied().unwrap_or(0)),
            len_bytes: boot.kernel.len() as u64,
        }),
    }
}
