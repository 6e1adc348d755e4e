//! The way in for guests that start in real mode: asks the BIOS what it has, notes what it says, and goes on to
//! [`protected`](crate::protected) mode.

use crate::mmio;
use crate::protected::registers;
use crate::{Outcome, equal, that};

/// In EAX when the way led through real mode.
pub const MARK: u32 = 16;
/// Usable memory, in the memory map.
const USABLE: u32 = 1;
const CARRY: u64 = 1 << 0;
const ZERO: u64 = 1 << 6;
/// The notes are words; the map follows them.
const MAP: u64 = 40;
const MAP_ENTRY_BYTES: u64 = 20;
/// What is typed on the screen, before the end of the line.
const TEXT: &[u8] = b"16 bits";

/// The code, for `global_asm!` in AT&T syntax; CS:0 is at the label `r16_base` of the same section. Ends at `start_32` with
/// EAX = [`MARK`] and EBX = where the notes are.
#[macro_export]
macro_rules! bios_calls_code {
    () => {
        concat!(
            ".code16\n",
            "r16_start:\n",
            "movw %cs, %cs:(r16_notes - r16_base)\n",
            "movw %ds, %cs:(r16_notes - r16_base + 2)\n",
            "movw %ss, %cs:(r16_notes - r16_base + 4)\n",
            "movw %sp, %cs:(r16_notes - r16_base + 6)\n",
            "movw %es, %cs:(r16_notes - r16_base + 8)\n",
            "movw %di, %cs:(r16_notes - r16_base + 10)\n",
            "pushfw\n",
            "popw %cs:(r16_notes - r16_base + 36)\n",
            "movw %cs, %ax\n",
            "movw %ax, %ds\n",
            "movw %ax, %es\n",
            // Memory below 640 KiB, equipment, the map.
            "int $0x12\n",
            "movw %ax, (r16_notes - r16_base + 12)\n",
            "int $0x11\n",
            "movw %ax, (r16_notes - r16_base + 14)\n",
            "xorl %ebx, %ebx\n",
            "xorw %si, %si\n",
            "movw $(r16_map - r16_base), %di\n",
            "2: movl $0xe820, %eax\n",
            "movl $20, %ecx\n",
            "movl $0x534d4150, %edx\n",
            "int $0x15\n",
            "jc 3f\n",
            "incw %si\n",
            "addw $20, %di\n",
            "cmpw $10, %si\n",
            "jae 3f\n",
            "testl %ebx, %ebx\n",
            "jnz 2b\n",
            "3: movw %si, (r16_notes - r16_base + 16)\n",
            // A disk that is not there.
            "movw $0x0201, %ax\n",
            "movw $0x0080, %dx\n",
            "int $0x13\n",
            "movw %ax, (r16_notes - r16_base + 24)\n",
            "pushfw\n",
            "popw (r16_notes - r16_base + 18)\n",
            // Text from the top left corner on, and where the cursor is then.
            "movw $0x0003, %ax\n",
            "int $0x10\n",
            "movw $(r16_text - r16_base), %si\n",
            "4: lodsb\n",
            "testb %al, %al\n",
            "jz 5f\n",
            "movb $0x0e, %ah\n",
            "movw $7, %bx\n",
            "int $0x10\n",
            "jmp 4b\n",
            "5: movb $3, %ah\n",
            "xorw %bx, %bx\n",
            "int $0x10\n",
            "movw %dx, (r16_notes - r16_base + 28)\n",
            // No key.
            "movb $1, %ah\n",
            "int $0x16\n",
            "pushfw\n",
            "popw (r16_notes - r16_base + 32)\n",
            // A tick comes.
            "movb $0, %ah\n",
            "int $0x1a\n",
            "movw %dx, (r16_notes - r16_base + 20)\n",
            "sti\n",
            "6: hlt\n",
            "movb $0, %ah\n",
            "int $0x1a\n",
            "cmpw %dx, (r16_notes - r16_base + 20)\n",
            "je 6b\n",
            "cli\n",
            "movw %dx, (r16_notes - r16_base + 22)\n",
            // A wait ends.
            "movb $0x86, %ah\n",
            "xorw %cx, %cx\n",
            "movw $100, %dx\n",
            "int $0x15\n",
            "pushfw\n",
            "popw (r16_notes - r16_base + 34)\n",
            // Flat segments.
            "xorl %eax, %eax\n",
            "movw %cs, %ax\n",
            "shll $4, %eax\n",
            "movl %eax, %ebx\n",
            "addl $(r16_notes - r16_base), %ebx\n",
            "addl $(r16_gdt - r16_base), %eax\n",
            "movl %eax, (r16_gdtr - r16_base + 2)\n",
            "lgdtl (r16_gdtr - r16_base)\n",
            "movl %cr0, %ecx\n",
            "orb $1, %cl\n",
            "movl %ecx, %cr0\n",
            // A far jump with an offset of 32 bits.
            ".byte 0x66, 0xea\n",
            ".long r16_flat\n",
            ".short 0x10\n",
            ".code32\n",
            "r16_flat: movl $0x18, %ecx\n",
            "movl %ecx, %ds\n",
            "movl %ecx, %es\n",
            "movl %ecx, %ss\n",
            "movl $16, %eax\n",
            "jmp start_32\n",
            ".balign 8\n",
            "r16_gdt: .quad 0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff\n",
            "r16_gdtr: .short 31, 0, 0\n",
            "r16_text: .asciz \"16 bits\\r\\n\"\n",
            ".balign 8\n",
            "r16_notes: .fill 40, 1, 0\n",
            "r16_map: .fill 200, 1, 0\n",
            ".code64\n",
        )
    };
}

/// What the CPU was in when the guest was entered in real mode.
#[derive(Clone, Copy, Debug)]
pub struct Entered {
    /// CS, DS, SS, SP, ES and DI.
    pub registers: [u16; 6],
    /// FLAGS.
    pub flags: u16,
}

fn note(at: u64) -> u64 {
    mmio::read16(u64::from(registers().ebx) + at).into()
}

/// How the guest was entered, if that was in real mode.
///
/// # Errors
/// It was not.
pub fn entered() -> Result<Entered, crate::Fail> {
    equal("way in", registers().eax.into(), MARK.into())?;
    Ok(Entered {
        registers: [0, 2, 4, 6, 8, 10].map(|at| note(at) as u16),
        flags: note(36) as u16,
    })
}

/// What the BIOS said is what a PC with so much memory has.
///
/// # Errors
/// The first thing that is not.
pub fn check_bios(memory_bytes: u64) -> Outcome {
    equal("INT 12h", note(12), 639)?;
    equal("INT 11h", note(14), 0x0422)?;
    equal("INT 13h, CF", note(18) & CARRY, CARRY)?;
    equal("INT 13h, AH", note(24) >> 8, 1)?;
    equal("cursor", note(28), 0x0100)?;
    equal("INT 16h, ZF", note(32) & ZERO, ZERO)?;
    that("INT 1Ah: ticks", note(20) != note(22))?;
    equal("INT 15h, AH=86h, CF", note(34) & CARRY, 0)?;
    for (number, character) in (0..).zip(TEXT) {
        let at = 0xb_8000 + 2 * number;
        equal("screen", mmio::read8(at).into(), u64::from(*character))?;
    }
    let map = u64::from(registers().ebx) + MAP;
    let usable: u64 = (0..note(16).min(10))
        .map(|number| map + number * MAP_ENTRY_BYTES)
        .filter(|at| mmio::read32(at + 16) == USABLE)
        .map(|at| mmio::read64(at + 8))
        .sum();
    let wanted = memory_bytes - (1 << 20) + 0x9_fc00;
    equal("usable memory by E820", usable, wanted)
}
