//! Nested page tables as this vendor wants them. (AMD APM vol. 2 15.25)

use cpu::{cpuid, has_extended_leaf};
use host::NoMemory;
use memory::TableFrames;
use slat::{Npt, PageSize, SlatTable};

/// The nested tables of one VM: [`SlatTable::root`] is what [`SvmVcpu::new`](crate::SvmVcpu::new) takes.
pub type NestedTables = SlatTable<Npt, TableFrames>;

/// Empty tables, with 1 GiB pages where the CPU has them. (CPUID 8000_0001 EDX bit 26)
///
/// # Errors
/// [`NoMemory`].
pub fn new_tables() -> Result<NestedTables, NoMemory> {
    let has_huge = has_extended_leaf(0x8000_0001) && cpuid(0x8000_0001).edx >> 26 & 1 != 0;
    let largest = if has_huge {
        PageSize::Huge
    } else {
        PageSize::Large
    };
    NestedTables::new(TableFrames, largest)
}
