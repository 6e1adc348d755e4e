//! GDT, IDT and TSS.

use core::arch::asm;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// 64-bit code.
pub const CODE: u16 = 0x08;
/// Data and stacks.
pub const DATA: u16 = 0x10;
/// 32-bit code, for what 64-bit mode lacks.
pub const CODE_32: u16 = 0x18;
/// Data for user code.
pub const USER_DATA: u16 = 0x20 | 3;
/// 64-bit user code.
pub const USER_CODE: u16 = 0x28 | 3;
/// Data, not present.
pub const ABSENT_DATA: u16 = 0x30;
/// The TSS, two entries long.
pub const TSS: u16 = 0x38;
/// A TSS cut off before its interrupt stacks.
pub const SHORT_TSS: u16 = 0x48;

const GDT_ENTRIES: usize = 11;
const TSS_WORDS: usize = 26;
const TSS_LIMIT: u64 = 4 * TSS_WORDS as u64 - 1;
/// Up to the end of RSP0.
const SHORT_TSS_LIMIT: u64 = 0x0b;
const RSP0_WORD: usize = 1;
const IST1_WORD: usize = 9;
const STACK_BYTES: usize = 8 << 10;

#[repr(C, align(16))]
struct Gdt([AtomicU64; GDT_ENTRIES]);
#[repr(C, align(16))]
struct Idt([AtomicU64; 512]);
#[repr(C, align(16))]
struct Tss([AtomicU32; TSS_WORDS]);
#[repr(C, align(16))]
struct Stack([AtomicU64; STACK_BYTES / 8]);

static GDT: Gdt = Gdt([const { AtomicU64::new(0) }; GDT_ENTRIES]);
static IDT: Idt = Idt([const { AtomicU64::new(0) }; 512]);
static TSS_DATA: Tss = Tss([const { AtomicU32::new(0) }; TSS_WORDS]);
static STACKS: [Stack; 3] = [const { Stack([const { AtomicU64::new(0) }; STACK_BYTES / 8]) }; 3];

/// Stack of interrupt-stack-table entry 1: #DF.
pub const IST_DOUBLE_FAULT: u8 = 1;
/// A second one, for who wants it.
pub const IST_OTHER: u8 = 2;

#[repr(C, packed)]
struct Pointer {
    limit: u16,
    base: u64,
}

/// Fills the tables and loads them.
pub fn load() {
    let entries = [
        (CODE, 0x00af_9b00_0000_ffff),
        (DATA, 0x00cf_9300_0000_ffff),
        (CODE_32, 0x00cf_9b00_0000_ffff),
        (USER_DATA, 0x00cf_f300_0000_ffff),
        (USER_CODE, 0x00af_fb00_0000_ffff),
        (ABSENT_DATA, 0x00cf_1300_0000_ffff),
    ];
    for (selector, descriptor) in entries {
        GDT.0[usize::from(selector >> 3)].store(descriptor, Relaxed);
    }
    let tss = (&raw const TSS_DATA) as u64;
    set_tss(TSS, tss, TSS_LIMIT);
    set_tss(SHORT_TSS, tss, SHORT_TSS_LIMIT);
    set_tss_pointer(RSP0_WORD, stack_top(0));
    set_tss_pointer(IST1_WORD, stack_top(1));
    set_tss_pointer(IST1_WORD + 2, stack_top(2));
    for vector in 0..=255 {
        set_gate(vector, 0);
    }
    set_gate(8, IST_DOUBLE_FAULT);

    let (limit, base) = gdt();
    let gdt = Pointer { limit, base };
    // SAFETY: the GDT is filled and static; the selectors loaded stand in it, and CS follows by a far return.
    unsafe {
        asm!(
            "lgdt [{gdt}]",
            "mov ds, {data:x}", "mov es, {data:x}", "mov ss, {data:x}", "mov fs, {data:x}", "mov gs, {data:x}",
            "push {code}",
            "lea {data}, [rip + 2f]",
            "push {data}",
            "retfq",
            "2:",
            gdt = in(reg) &raw const gdt,
            code = in(reg) u64::from(CODE),
            data = inout(reg) u64::from(DATA) => _,
        );
    }
    load_whole_idt();
    load_tss(TSS);
}

/// Loads the IDT as it is after [`load`].
pub fn load_whole_idt() {
    load_idt(size_of::<Idt>() as u16 - 1);
}

/// Limit and address of the GDT, for a CPU that has none yet.
#[must_use]
pub fn gdt() -> (u16, u64) {
    ((size_of::<Gdt>() - 1) as u16, (&raw const GDT) as u64)
}

fn stack_top(number: usize) -> u64 {
    (&raw const STACKS[number]) as u64 + STACK_BYTES as u64
}

fn set_tss(selector: u16, base: u64, limit: u64) {
    const AVAILABLE: u64 = 0x89;
    let at = usize::from(selector >> 3);
    let low =
        limit & 0xffff | (base & 0xff_ffff) << 16 | AVAILABLE << 40 | (base >> 24 & 0xff) << 56;
    GDT.0[at].store(low, Relaxed);
    GDT.0[at + 1].store(base >> 32, Relaxed);
}

fn set_tss_pointer(word: usize, value: u64) {
    TSS_DATA.0[word].store(value as u32, Relaxed);
    TSS_DATA.0[word + 1].store((value >> 32) as u32, Relaxed);
}

/// Makes `selector`'s TSS the current one.
pub fn load_tss(selector: u16) {
    const BUSY: u64 = 1 << 41;
    GDT.0[usize::from(selector >> 3)].fetch_and(!BUSY, Relaxed);
    // SAFETY: the descriptor is an available TSS of ours, or the caller expects a fault.
    unsafe { asm!("ltr {:x}", in(reg) selector, options(nostack, preserves_flags)) };
}

/// Loads the IDT with this limit; 0 makes every event a triple fault.
pub fn load_idt(limit: u16) {
    let idt = Pointer {
        limit,
        base: (&raw const IDT) as u64,
    };
    // SAFETY: the IDT is static and its gates lead to the trap handlers.
    unsafe { asm!("lidt [{}]", in(reg) &raw const idt, options(nostack, preserves_flags)) };
}

/// Points a vector at its handler, on this interrupt stack (0: the current one). User code may use it.
pub fn set_gate(vector: u8, stack: u8) {
    const INTERRUPT_GATE_FOR_USER: u64 = 0xee;
    let handler = crate::trap::stub(vector);
    let low = handler & 0xffff
        | u64::from(CODE) << 16
        | u64::from(stack) << 32
        | INTERRUPT_GATE_FOR_USER << 40
        | (handler >> 16 & 0xffff) << 48;
    let at = usize::from(vector) * 2;
    IDT.0[at].store(low, Relaxed);
    IDT.0[at + 1].store(handler >> 32, Relaxed);
}

/// Makes a vector's gate not present.
pub fn clear_gate(vector: u8) {
    const PRESENT: u64 = 1 << 47;
    IDT.0[usize::from(vector) * 2].fetch_and(!PRESENT, Relaxed);
}
