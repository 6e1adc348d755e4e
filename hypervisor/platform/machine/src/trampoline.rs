//! Where another CPU starts: real mode, below 1 MiB, straight to long mode. (Intel SDM vol. 3A 10.4.4 and 11.8.5)

use core::arch::global_asm;
use core::ptr;

use addr::Hpa;
use host::NoMemory;

// The code is copied to a page of its own. CS and DS point there, so offsets in real mode are offsets in the page.
// CR0 gets PE and PG at once, with LME set before: long mode without a stop in 32 bits. The page is mapped
// read-only, and the descriptors have their accessed bit set so that the CPU need not write it.
global_asm!(
    ".pushsection .rodata.caisson_trampoline, \"a\"",
    ".balign 16",
    ".global caisson_trampoline",
    ".global caisson_trampoline_long",
    ".global caisson_trampoline_end",
    "caisson_trampoline:",
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
    "orl $0x900, %eax", // LME, NXE
    "wrmsr",
    "lgdtl {gdt_pointer}",
    "movl %cr0, %eax",
    "andl $0x9fffffff, %eax", // caches on: INIT leaves CD and NW set
    "orl $0x80010001, %eax",  // PG, WP, PE
    "movl %eax, %cr0",
    "ljmpl *{far_pointer}",
    "caisson_trampoline_long:",
    ".code64",
    "movq caisson_trampoline + {entry}(%rip), %rax",
    "jmpq *%rax",
    "caisson_trampoline_end:",
    ".popsection",
    root = const ROOT,
    gdt_pointer = const GDT_POINTER,
    far_pointer = const FAR_POINTER,
    entry = const ENTRY,
    options(att_syntax)
);

unsafe extern "C" {
    static caisson_trampoline: u8;
    static caisson_trampoline_long: u8;
    static caisson_trampoline_end: u8;
}

/// Offsets in the page of what the code needs.
const ROOT: usize = 0xf00;
const ENTRY: usize = 0xf08;
const GDT_POINTER: usize = 0xf10;
const FAR_POINTER: usize = 0xf18;
const GDT: usize = 0xf20;

/// Null, 64-bit code, data: both accessed already.
const DESCRIPTORS: [u64; 3] = [0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff];
const CODE_SELECTOR: u16 = 8;

/// The page another CPU starts in; it is mapped at its own address, read-only and executable, while this lives.
pub(crate) struct Trampoline {
    frame: Hpa,
}

impl Trampoline {
    /// Makes the page. A CPU that starts there runs `entry` on our page tables, with no stack and the page's GDT.
    ///
    /// # Errors
    /// [`NoMemory`] when there is no free frame below 1 MiB.
    pub(crate) fn new(entry: u64) -> Result<Self, NoMemory> {
        let frame = memory::take_low_frame().ok_or(NoMemory)?;
        let base = frame.raw() as u32;
        let start = &raw const caisson_trampoline;
        let len = &raw const caisson_trampoline_end as usize - start as usize;
        let long_offset = &raw const caisson_trampoline_long as usize - start as usize;
        let mut page = [0u8; 4096];
        // SAFETY: the code lies between its two labels, in read-only data.
        let code = unsafe { core::slice::from_raw_parts(start, len) };
        let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, code);
        put(ROOT, &memory::root().raw().to_le_bytes());
        put(ENTRY, &entry.to_le_bytes());
        put(
            GDT_POINTER,
            &(size_of_val(&DESCRIPTORS) as u16 - 1).to_le_bytes(),
        );
        put(GDT_POINTER + 2, &(base + GDT as u32).to_le_bytes());
        put(FAR_POINTER, &(base + long_offset as u32).to_le_bytes());
        put(FAR_POINTER + 4, &CODE_SELECTOR.to_le_bytes());
        for (index, descriptor) in DESCRIPTORS.iter().enumerate() {
            put(GDT + index * 8, &descriptor.to_le_bytes());
        }
        // SAFETY: a frame of ours that nobody else knows, in the direct map.
        unsafe { ptr::copy_nonoverlapping(page.as_ptr(), memory::direct(frame), page.len()) };
        memory::map_identity_code(frame)?;
        Ok(Self { frame })
    }

    /// The vector of SIPI that leads here.
    pub(crate) fn page_number(&self) -> u8 {
        (self.frame.raw() >> 12) as u8
    }
}

impl Drop for Trampoline {
    fn drop(&mut self) {
        memory::unmap_identity(self.frame);
        // SAFETY: no CPU is in there any more: each has reported from its own stack, or was never sent there again.
        unsafe { memory::free_frames(self.frame, memory::PAGE_BYTES) };
    }
}
