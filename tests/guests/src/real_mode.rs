//! Two pages below 1 MiB in which a CPU that starts notes its state and halts.

use crate::mmio;

/// Pages that no loader uses.
const PAGES: [u64; 2] = [0x1_1000, 0x1_2000];
/// Where in its page the code notes what it finds.
const NOTES: u64 = 0xf00;

/// What a CPU found in its registers when it started.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names are the manual's")]
pub struct State {
    pub cs: u16,
    pub ip: u16,
    pub flags: u16,
    pub cr0: u32,
}

/// Writes the two pages; returns their numbers, the vectors of SIPI.
#[must_use]
pub fn write_pages() -> [u8; 2] {
    PAGES.map(|page| {
        crate::smp::put(page, code());
        for at in (0..16).step_by(4) {
            mmio::write32(page + NOTES + at, 0);
        }
        (page >> 12) as u8
    })
}

/// How often a CPU started in this page.
#[must_use]
pub fn starts(page: u8) -> u32 {
    mmio::read32(notes(page))
}

/// What the last of them found.
#[must_use]
pub fn state(page: u8) -> State {
    let notes = notes(page);
    State {
        cs: mmio::read16(notes + 4),
        ip: mmio::read16(notes + 6),
        flags: mmio::read16(notes + 8),
        cr0: mmio::read32(notes + 12),
    }
}

fn notes(page: u8) -> u64 {
    (u64::from(page) << 12) + NOTES
}

#[cfg(not(target_os = "none"))]
fn code() -> &'static [u8] {
    &[]
}

#[cfg(target_os = "none")]
use bare::code;

#[cfg(target_os = "none")]
mod bare {
    use core::arch::global_asm;

    // A stack is what INIT leaves: SS:SP of 0:0, and the first push goes to the end of the first 64 KiB, which nobody uses.
    global_asm!(
        ".pushsection .rodata.real_mode, \"a\"",
        "real_mode_page:",
        ".code16",
        "pushfw",
        "call 1f",
        "1:",
        "popw %bx", // IP behind the call
        "popw %cx",
        "subw $(1b - real_mode_page), %bx",
        "movw %cs, %ax",
        "movw %ax, %ds",
        "movw %ax, {notes} + 4",
        "movw %bx, {notes} + 6",
        "movw %cx, {notes} + 8",
        "movl %cr0, %eax",
        "movl %eax, {notes} + 12",
        "lock incl {notes}",
        "2:",
        "cli",
        "hlt",
        "jmp 2b",
        "real_mode_end:",
        ".code64",
        ".popsection",
        notes = const super::NOTES,
        options(att_syntax)
    );

    unsafe extern "C" {
        #[link_name = "real_mode_page"]
        static START: u8;
        #[link_name = "real_mode_end"]
        static END: u8;
    }

    pub(super) fn code() -> &'static [u8] {
        let start = &raw const START;
        let len = &raw const END as usize - start as usize;
        // SAFETY: the code lies between its two labels, in read-only data.
        unsafe { core::slice::from_raw_parts(start, len) }
    }
}
