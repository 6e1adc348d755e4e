//! Leaving the firmware, and the jump into the image. The contract is in the crate `handoff`.

use core::arch::naked_asm;
use core::mem::ManuallyDrop;

use handoff::PhysRange;
use uefi::boot;

use crate::console::say;
use crate::paging::PAGE_BYTES;
use crate::parcel::Parcel;

/// More than the bytes of [`jump`].
const JUMP_CODE_BYTES: u64 = 128;

/// Everything the last steps need.
pub(crate) struct Departure {
    /// The physical address of the image's top page table.
    pub(crate) page_table_root: u64,
    /// The virtual address one past the boot stack.
    pub(crate) stack_top: u64,
    /// The virtual address of the image's entry point.
    pub(crate) entry: u64,
    /// The virtual address of physical 0.
    pub(crate) direct_map_base: u64,
    /// The hand-off to the image; the memory map is still missing.
    pub(crate) parcel: Parcel,
}

/// The pages with the code of the jump, which the new page tables map one to one.
pub(crate) fn code_pages() -> PhysRange {
    let code = jump as *const () as u64;
    let start = code & !(PAGE_BYTES - 1);
    PhysRange::new(
        start,
        (code + JUMP_CODE_BYTES).next_multiple_of(PAGE_BYTES) - start,
    )
}

/// Ends boot services and enters the image. From the first line on there is no way back.
pub(crate) fn leave_and_jump(departure: Departure) -> ! {
    say!("Leaving the firmware; the hypervisor starts.");
    let Departure {
        page_table_root,
        stack_top,
        entry,
        direct_map_base,
        parcel,
    } = departure;
    // Its vectors came from the firmware's heap, which is about to be gone: they must not be freed.
    let mut parcel = ManuallyDrop::new(parcel);
    // SAFETY: no protocol is open any more (each is closed where it was used) and nothing of boot services is used below.
    let map = ManuallyDrop::new(unsafe { boot::exit_boot_services(None) });
    let info = direct_map_base + parcel.close(&map);
    // SAFETY:
    // 1. The tables map the image, the boot stack, the direct map with the parcel, and the code of the jump one to one: `prepare` built them.
    // 2. The entry point is in an executable segment: `image::place` checked.
    // 3. Boot services have ended, so nobody misses the stack and the tables of the firmware.
    unsafe { jump(page_table_root, stack_top, entry, info) }
}

/// Switches to the image's page tables and stack and jumps. Position-independent, uses no memory after the switch.
///
/// # Safety
/// 1. `root` is the physical address of page tables that map this code at its own address, the stack below `stack_top`, and `entry` as code.
/// 2. Boot services have ended.
#[unsafe(naked)]
unsafe extern "sysv64" fn jump(root: u64, stack_top: u64, entry: u64, info: u64) -> ! {
    naked_asm!(
        "cli",
        "cld",
        // RDMSR and WRMSR take RCX and RDX.
        "mov r8, rdx",
        "mov r9, rcx",
        // EFER.NXE before tables with NX bits are walked, else those bits are reserved.
        "mov ecx, 0xc0000080",
        "rdmsr",
        "bts eax, 11",
        "wrmsr",
        // CR4.CET off while WP may change; CR4.PGE off, which also flushes the firmware's global entries.
        "mov rax, cr4",
        "btr rax, 23",
        "btr rax, 7",
        "mov cr4, rax",
        "mov cr3, rdi",
        "mov rax, cr0",
        "bts rax, 16",
        "mov cr0, rax",
        // As after a call: 16-byte alignment less 8. There is nothing to return to, and no frame above.
        "lea rsp, [rsi - 8]",
        "xor ebp, ebp",
        "mov rdi, r9",
        "jmp r8",
    )
}
