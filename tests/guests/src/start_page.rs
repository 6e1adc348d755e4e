//! The page below 1 MiB in which another CPU starts: real mode, straight to long mode. (Intel SDM vol. 3A 10.4.4, 10.8.5)

use crate::smp::{put, stacks};
use crate::{cpu, tables};

/// A page that no loader uses.
const PAGE: u64 = 0x1_0000;

/// Where in the page the code finds what it needs.
const ROOT: usize = 0xf00;
const ENTRY: usize = 0xf08;
const GDT_POINTER: usize = 0xf10;
const FAR_POINTER: usize = 0xf18;

/// Writes the page and returns its number, the vector of SIPI. A CPU that starts there comes to `entry` with its APIC id, and
/// with the page tables of the CPU that writes.
pub(crate) fn write(entry: extern "C" fn(usize) -> !) -> u8 {
    let (code, long_offset) = code();
    put(PAGE, code);
    let at = |offset: usize| PAGE + offset as u64;
    let (limit, base) = tables::gdt();
    put(at(ROOT), &cpu::read_cr3().to_le_bytes());
    put(at(ENTRY), &(entry as usize as u64).to_le_bytes());
    put(at(GDT_POINTER), &limit.to_le_bytes());
    put(at(GDT_POINTER) + 2, &(base as u32).to_le_bytes());
    let long = at(long_offset) as u32;
    put(at(FAR_POINTER), &long.to_le_bytes());
    put(at(FAR_POINTER) + 4, &tables::CODE.to_le_bytes());
    (PAGE >> 12) as u8
}

#[cfg(not(target_os = "none"))]
fn code() -> (&'static [u8], usize) {
    let _ = (stacks(), ROOT, ENTRY);
    (&[], 0)
}

#[cfg(target_os = "none")]
use bare::code;

#[cfg(target_os = "none")]
mod bare {
    use super::{ENTRY, FAR_POINTER, GDT_POINTER, ROOT, stacks, tables};
    use core::arch::global_asm;

    // CS and DS point to the page, so offsets in real mode are offsets in it. LME is set before CR0 gets PE and PG at once:
    // long mode without a stop in 32 bits.
    global_asm!(
        ".pushsection .rodata.start_page, \"a\"",
        ".balign 16",
        "start_page:",
        ".code16",
        "cli",
        "cld",
        "movw %cs, %ax",
        "movw %ax, %ds",
        "movl %cr4, %eax",
        "orl $0x20, %eax", // PAE
        "movl %eax, %cr4",
        "movl {root}, %eax",
        "movl %eax, %cr3",
        "movl $0xc0000080, %ecx",
        "rdmsr",
        "orl $0x100, %eax", // LME
        "wrmsr",
        "lgdtl {gdt_pointer}",
        "movl %cr0, %eax",
        "andl $0x9fffffff, %eax", // caches on: INIT leaves CD and NW as they were
        "orl $0x80010001, %eax",  // PG, WP, PE
        "movl %eax, %cr0",
        "ljmpl *{far_pointer}",
        "start_page_long:",
        ".code64",
        "movl ${data}, %eax",
        "movl %eax, %ds",
        "movl %eax, %es",
        "movl %eax, %ss",
        "xorl %eax, %eax",
        "movl %eax, %fs",
        "movl %eax, %gs",
        "movl $1, %eax",
        "cpuid",
        "shrl $24, %ebx", // the APIC id
        "movl %ebx, %edi",
        "incl %ebx",
        "imulq ${stack_bytes}, %rbx, %rbx",
        "leaq {stacks}(%rbx), %rsp",
        "xorl %ebp, %ebp",
        "callq *start_page + {entry}(%rip)",
        "ud2",
        "start_page_end:",
        ".popsection",
        root = const ROOT,
        gdt_pointer = const GDT_POINTER,
        far_pointer = const FAR_POINTER,
        entry = const ENTRY,
        data = const tables::DATA,
        stacks = const stacks().0,
        stack_bytes = const stacks().1,
        options(att_syntax)
    );

    unsafe extern "C" {
        #[link_name = "start_page"]
        static START: u8;
        #[link_name = "start_page_long"]
        static LONG: u8;
        #[link_name = "start_page_end"]
        static END: u8;
    }

    /// The code, and where in it long mode begins.
    pub(super) fn code() -> (&'static [u8], usize) {
        let start = &raw const START;
        let offset = |label: *const u8| label as usize - start as usize;
        // SAFETY: the code lies between its two labels, in read-only data.
        let code = unsafe { core::slice::from_raw_parts(start, offset(&raw const END)) };
        (code, offset(&raw const LONG))
    }
}
