//! How a kernel image becomes memory writes and a start state.
//!
//! [`plan`] looks at the bytes, says which [`Kind`] they are, and answers with a [`BootPlan`]: what to write where, and how
//! vCPU 0 starts. The large pieces are borrowed from the image, so nothing is copied but into guest RAM. An image is not
//! trusted: every field is checked against the file and against the guest's RAM before anything is believed.
//!
//! Follows the Linux/x86 boot protocol, version 2.15 (64-bit and 32-bit entry), Xen's x86/HVM direct boot ABI (PVH), the
//! Multiboot specifications 0.6.96 and 2.0, and the System V ABI's chapters on ELF. [`detect`] says which wins where a file is
//! more than one of them.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod bzimage;
mod detect;
mod elf_file;
mod elf_plain;
mod error;
mod field;
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
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_32;
mod zero_page;

pub use detect::{Kind, detect};
pub use error::LoadError;
pub use layout::{
    ECAM, HOLE_START, IO_APIC, LOCAL_APIC, MemoryLayout, PCI_WINDOW, Region, RegionKind, TABLES,
    VIDEO,
};
pub use plan::{BootPlan, Content, Write};

use addr::Gpa;

/// What a guest is started with.
#[derive(Clone, Copy, Debug)]
pub struct Boot<'a> {
    /// The kernel file, as it came.
    pub kernel: &'a [u8],
    /// The initial RAM disk, if there is one.
    pub initrd: Option<&'a [u8]>,
    /// The command line.
    pub cmdline: &'a str,
    /// Where the ACPI root pointer lies.
    pub rsdp: Gpa,
}

/// Works out how `boot` starts in a guest with this memory.
///
/// # Errors
/// [`LoadError`] when the kernel is of no known kind, is damaged, or does not fit the memory.
pub fn plan<'a>(boot: &Boot<'a>, layout: &MemoryLayout) -> Result<BootPlan<'a>, LoadError> {
    match detect(boot.kernel) {
        Kind::BzImage => bzimage::plan(boot, layout),
        Kind::Pvh => pvh::plan(boot, layout),
        Kind::Multiboot2 => multiboot2::plan(boot, layout),
        Kind::Multiboot1 => multiboot1::plan(boot, layout),
        Kind::Elf64 => elf_plain::plan_64(boot, layout),
        Kind::Elf32 => elf_plain::plan_32(boot, layout),
        Kind::Unknown => Err(LoadError::UnknownKind {
            first_bytes: core::array::from_fn(|at| boot.kernel.get(at).copied().unwrap_or(0)),
            len_bytes: boot.kernel.len() as u64,
        }),
    }
}
