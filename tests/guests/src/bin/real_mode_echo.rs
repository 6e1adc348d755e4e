//! Not a test by itself: a kernel of 16 bits that answers each line typed with `real mode heard LINE`, and halts in between.
//!
//! What runs is the begin of the code, taken out of the ELF file as a flat binary: see `flat` of the machine tests. It is entered
//! in real mode at an address / 16 in CS, knows no BIOS, and programs the PIC and COM1 itself.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![cfg_attr(
    target_os = "none",
    expect(unsafe_code, reason = "the kernel is assembly")
)]

use test_guests::{Fail, Outcome, guest};

guest!(test);

/// Where the ELF file itself starts.
fn test() -> Outcome {
    Err(Fail::new("it is to be started as a flat binary"))
}

// Addresses are offsets from the begin: DS is made the same as CS. Vector 0x24 is IRQ 4, which COM1 raises for each byte.
#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".pushsection .boot_header, \"ax\"",
    "real_mode:",
    ".code16",
    "cli",
    "cld",
    "movw %cs, %ax",
    "movw %ax, %ds",
    "xorw %ax, %ax",
    "movw %ax, %es",
    "movw %ax, %ss",
    "movw $0x7c00, %sp",
    "movw $(real_mode_interrupt - real_mode), %es:0x90",
    "movw %cs, %es:0x92",
    // The PIC pair from vector 0x20 on, all but IRQ 4 masked.
    "movb $0x11, %al",
    "outb %al, $0x20",
    "movb $0x20, %al",
    "outb %al, $0x21",
    "movb $0x04, %al",
    "outb %al, $0x21",
    "movb $0x01, %al",
    "outb %al, $0x21",
    "movb $0xef, %al",
    "outb %al, $0x21",
    "movb $0xff, %al",
    "outb %al, $0xa1",
    // COM1: DTR, RTS and OUT2, an interrupt for each byte that comes.
    "movw $0x3fc, %dx",
    "movb $0x0b, %al",
    "outb %al, %dx",
    "movw $0x3f9, %dx",
    "movb $0x01, %al",
    "outb %al, %dx",
    "movw $(real_mode_hello - real_mode), %si",
    "call real_mode_print",
    "real_mode_line:",
    "movw $(real_mode_buffer - real_mode), %di",
    "real_mode_byte:",
    "movw $0x3fd, %dx",
    "inb %dx, %al",
    "testb $1, %al",
    "jnz 1f",
    "sti",
    "hlt",
    "cli",
    "jmp real_mode_byte",
    "1:",
    "movw $0x3f8, %dx",
    "inb %dx, %al",
    "cmpb $13, %al",
    "je 2f",
    "cmpb $10, %al",
    "je 2f",
    "cmpw $(real_mode_buffer_end - real_mode), %di",
    "jae real_mode_byte",
    "movb %al, (%di)",
    "incw %di",
    "jmp real_mode_byte",
    "2:",
    "movb $0, (%di)",
    "movw $(real_mode_heard - real_mode), %si",
    "call real_mode_print",
    "movw $(real_mode_buffer - real_mode), %si",
    "call real_mode_print",
    "movw $(real_mode_line_end - real_mode), %si",
    "call real_mode_print",
    "jmp real_mode_line",
    // Prints the text at SI up to its zero.
    "real_mode_print:",
    "lodsb",
    "testb %al, %al",
    "jz 4f",
    "movb %al, %ah",
    "movw $0x3fd, %dx",
    "3:",
    "inb %dx, %al",
    "testb $0x20, %al",
    "jz 3b",
    "movb %ah, %al",
    "movw $0x3f8, %dx",
    "outb %al, %dx",
    "jmp real_mode_print",
    "4:",
    "ret",
    // The byte is read by who was halted.
    "real_mode_interrupt:",
    "pushw %ax",
    "movb $0x20, %al",
    "outb %al, $0x20",
    "popw %ax",
    "iretw",
    "real_mode_hello:",
    ".asciz \"real mode echo up\\r\\n\"",
    "real_mode_heard:",
    ".asciz \"real mode heard \"",
    "real_mode_line_end:",
    ".asciz \"\\r\\n\"",
    "real_mode_buffer:",
    ".fill 64",
    "real_mode_buffer_end:",
    ".byte 0",
    ".code64",
    ".popsection",
    options(att_syntax)
);
