//! The way in for loaders that start a kernel in 32 bits: keeps what they left in the registers, and goes on to long mode
//! with the first 4 GiB mapped to themselves, as the 64-bit entry has it.

use crate::mmio;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// EAX, EBX and CR0 at the 32-bit entry; zeros if the guest came in otherwise.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
static ENTRY_REGISTERS: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];

/// What a loader left in the registers.
#[derive(Clone, Copy, Debug)]
pub struct Registers {
    /// EAX.
    pub eax: u32,
    /// EBX.
    pub ebx: u32,
    /// CR0.
    pub cr0: u32,
}

/// What was in the registers at the 32-bit entry.
#[must_use]
pub fn registers() -> Registers {
    let [eax, ebx, cr0] = [0, 1, 2].map(|number: usize| ENTRY_REGISTERS[number].load(Relaxed));
    Registers { eax, ebx, cr0 }
}

/// Whether these bytes lie at an address below 4 GiB.
#[must_use]
pub fn holds(at: u64, bytes: &[u8]) -> bool {
    (at..).zip(bytes).all(|(at, byte)| mmio::read8(at) == *byte)
}

/// Sum modulo 256 of so many bytes from an address below 4 GiB on.
#[must_use]
pub fn sum(at: u64, len_bytes: u64) -> u8 {
    (at..at + len_bytes).fold(0, |sum: u8, at| sum.wrapping_add(mmio::read8(at)))
}

#[cfg(target_os = "none")]
mod bare {
    use core::arch::naked_asm;

    const TABLE_BYTES: usize = 4096;

    /// One level 4, one level 3, four level 2.
    #[repr(C, align(4096))]
    struct Tables([u8; 6 * TABLE_BYTES]);

    #[unsafe(no_mangle)]
    static mut ENTRY_TABLES: Tables = Tables([0; 6 * TABLE_BYTES]);

    /// Null, null, flat 64-bit code, flat data.
    #[unsafe(no_mangle)]
    static ENTRY_GDT: [u64; 4] = [0, 0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff];

    /// Where the guest starts in protected mode: flat segments, paging off, no stack, no GDT of its own.
    #[unsafe(naked)]
    #[unsafe(no_mangle)]
    extern "C" fn start_32() -> ! {
        naked_asm!(
            ".code32",
            "cli",
            "cld",
            "mov dword ptr [{registers}], eax",
            "mov dword ptr [{registers} + 4], ebx",
            "mov eax, cr0",
            "mov dword ptr [{registers} + 8], eax",
            // Level 4 points to level 3, that to four tables of level 2.
            "mov edi, offset {tables}",
            "lea eax, [edi + 0x1003]",
            "mov dword ptr [edi], eax",
            "lea eax, [edi + 0x2003]",
            "mov dword ptr [edi + 0x1000], eax",
            "add eax, 0x1000",
            "mov dword ptr [edi + 0x1008], eax",
            "add eax, 0x1000",
            "mov dword ptr [edi + 0x1010], eax",
            "add eax, 0x1000",
            "mov dword ptr [edi + 0x1018], eax",
            // 2048 pages of 2 MiB: present, writable, large.
            "add edi, 0x2000",
            "mov eax, 0x83",
            "mov ecx, 2048",
            "2:",
            "mov dword ptr [edi], eax",
            "add eax, 0x200000",
            "add edi, 8",
            "dec ecx",
            "jnz 2b",
            // CR4.PAE, EFER.LME, CR0.PG and WP.
            "mov eax, cr4",
            "or eax, 0x20",
            "mov cr4, eax",
            "mov eax, offset {tables}",
            "mov cr3, eax",
            "mov ecx, 0xc0000080",
            "rdmsr",
            "or eax, 0x100",
            "wrmsr",
            "mov eax, cr0",
            "or eax, 0x80010000",
            "mov cr0, eax",
            // The pseudo-descriptor and the far return address go on the stack that `_start` sets up anew.
            "mov esp, offset BOOT_STACK + 0x1000",
            "mov eax, offset {gdt}",
            "push eax",
            "push 0x1f0000",
            "lgdt [esp + 2]",
            "mov eax, offset {goes_on}",
            "push 0x10",
            "push eax",
            "retf",
            // The assembler goes on with other functions.
            ".code64",
            registers = sym super::ENTRY_REGISTERS,
            tables = sym ENTRY_TABLES,
            gdt = sym ENTRY_GDT,
            goes_on = sym start_64,
        )
    }

    /// In long mode, but with the data segments of before.
    #[unsafe(naked)]
    extern "C" fn start_64() -> ! {
        naked_asm!(
            "mov eax, 0x18",
            "mov ds, eax",
            "mov es, eax",
            "mov ss, eax",
            "xor eax, eax",
            "mov fs, eax",
            "mov gs, eax",
            "jmp _start",
        )
    }
}

/// The 32-bit entry `entry_32` of a kernel that is told of its command line in EDI and of the ACPI root pointer in ESI, for
/// `global_asm!`: notes both and ESP, and goes on with EAX = 32 and EBX = where the notes are.
#[macro_export]
macro_rules! entry_32_code {
    () => {
        concat!(
            ".code32\n",
            ".globl entry_32\n",
            "entry_32:\n",
            "mov dword ptr [entry_notes], edi\n",
            "mov dword ptr [entry_notes + 4], esi\n",
            "mov dword ptr [entry_notes + 8], esp\n",
            "mov eax, 32\n",
            "mov ebx, offset entry_notes\n",
            "jmp start_32\n",
            ".balign 8\n",
            "entry_notes: .fill 12, 1, 0\n",
            ".code64\n",
        )
    };
}

/// The same for a 64-bit entry, with RDI, RSI and RSP.
#[macro_export]
macro_rules! entry_64_code {
    () => {
        concat!(
            ".globl entry_64\n",
            "entry_64:\n",
            "mov dword ptr [rip + entry_notes], edi\n",
            "mov dword ptr [rip + entry_notes + 4], esi\n",
            "mov dword ptr [rip + entry_notes + 8], esp\n",
            "mov dword ptr [rip + ENTRY_REGISTERS], 64\n",
            "lea rax, [rip + entry_notes]\n",
            "mov dword ptr [rip + ENTRY_REGISTERS + 4], eax\n",
            "mov rax, cr0\n",
            "mov dword ptr [rip + ENTRY_REGISTERS + 8], eax\n",
            "jmp _start\n",
            ".balign 8\n",
            "entry_notes: .fill 12, 1, 0\n",
        )
    };
}

/// What a kernel without a protocol of its own is told: command line, root pointer, a stack.
///
/// # Errors
/// What is not so.
pub fn check_plain_entry(bits: u32, cmdline: &[u8]) -> crate::Outcome {
    let start = registers();
    crate::equal("way in", start.eax.into(), bits.into())?;
    let paging = if bits == 64 { 0x8000_0000 } else { 0 };
    crate::equal(
        "CR0.PE and PG",
        (start.cr0 & 0x8000_0001).into(),
        paging | 1,
    )?;
    let note = |at: u64| u64::from(mmio::read32(u64::from(start.ebx) + at));
    crate::that("command line", holds(note(0), cmdline))?;
    crate::that("root pointer", holds(note(4), b"RSD PTR "))?;
    crate::equal("stack", note(8), 0x7000)
}
