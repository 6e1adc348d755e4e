//! Exceptions and interrupts: what came is noted, and a guarded function can be left by one.

use crate::{apic, pic, smp, verdict};
use core::arch::{global_asm, naked_asm};
use core::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};

/// An exception that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trap {
    /// Vector.
    pub vector: u8,
    /// Error code; 0 where there is none.
    pub error: u64,
    /// CR2 in the handler.
    pub cr2: u64,
    /// RIP that was pushed.
    pub rip: u64,
}

/// Who is told that an interrupt was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EndOfInterrupt {
    /// Nobody.
    None,
    /// The local APIC, in its current mode.
    LocalApic,
    /// The PIC pair.
    Pic,
}

/// What a stub and the CPU leave on the stack.
#[repr(C)]
pub struct Frame {
    /// RAX, RBX, RCX, RDX, RSI, RDI, RBP, R8 to R15.
    pub gpr: [u64; 15],
    /// Vector.
    pub vector: u64,
    /// Error code or 0.
    pub error: u64,
    /// Return address.
    pub rip: u64,
    /// Code segment.
    pub cs: u64,
    /// Flags.
    pub rflags: u64,
    /// Stack pointer.
    pub rsp: u64,
    /// Stack segment.
    pub ss: u64,
}

static GUARDED: AtomicBool = AtomicBool::new(false);
static LAST: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];
static COUNTS: [[AtomicU32; 256]; smp::MOST] =
    [const { [const { AtomicU32::new(0) }; 256] }; smp::MOST];
static INTERRUPTED_RIP: AtomicU64 = AtomicU64::new(0);
static END: AtomicU8 = AtomicU8::new(EndOfInterrupt::None as u8);
static HOOK: AtomicUsize = AtomicUsize::new(0);

/// Interrupts that this CPU took with this vector so far.
#[must_use]
pub fn count(vector: u8) -> u32 {
    count_on(smp::number(), vector)
}

/// Interrupts that a CPU took with this vector so far.
#[must_use]
pub fn count_on(cpu: usize, vector: u8) -> u32 {
    COUNTS[cpu][usize::from(vector)].load(SeqCst)
}

/// Where the last interrupt came in between.
#[must_use]
pub fn interrupted_rip() -> u64 {
    INTERRUPTED_RIP.load(Relaxed)
}

/// Says who ends interrupts from now on.
pub fn end_by(end: EndOfInterrupt) {
    END.store(end as u8, Relaxed);
}

/// Calls `hook` in every interrupt with its vector, before its end is told.
pub fn set_hook(hook: fn(u8)) {
    HOOK.store(hook as usize, Relaxed);
}

/// Calls `f`. When it raises an exception, it is left there and then, and the exception is returned.
///
/// One CPU at a time: who guards is noted once. What `f` holds is not dropped then. RFLAGS come back cleared: interrupts are off.
pub fn catch<F: FnOnce()>(f: F) -> Option<Trap> {
    extern "C" fn call<F: FnOnce()>(slot: *mut u8) {
        // SAFETY: `slot` is the `Option<F>` below, which nobody else uses while we run.
        let slot = unsafe { &mut *slot.cast::<Option<F>>() };
        if let Some(f) = slot.take() {
            f();
        }
    }
    let mut slot = Some(f);
    GUARDED.store(true, Relaxed);
    // SAFETY: `call::<F>` takes what it is given here. Coming back by an exception skips frames that hold nothing
    // but what `f` held, and restores every register the ABI preserves.
    let trapped = unsafe { guarded(call::<F>, (&raw mut slot).cast()) };
    GUARDED.store(false, Relaxed);
    let [vector, error, cr2, rip] = [0, 1, 2, 3].map(|at: usize| LAST[at].load(Relaxed));
    (trapped != 0).then_some(Trap {
        vector: vector as u8,
        error,
        cr2,
        rip,
    })
}

static SAVED_RSP: AtomicU64 = AtomicU64::new(0);

#[unsafe(naked)]
unsafe extern "C" fn guarded(call: extern "C" fn(*mut u8), argument: *mut u8) -> u64 {
    naked_asm!(
        "push rbp", "push rbx", "push r12", "push r13", "push r14", "push r15",
        "sub rsp, 8",
        "mov [rip + {saved}], rsp",
        "mov rax, rdi",
        "mov rdi, rsi",
        "call rax",
        "xor eax, eax",
        "2:",
        "add rsp, 8",
        "pop r15", "pop r14", "pop r13", "pop r12", "pop rbx", "pop rbp",
        "ret",
        ".globl guarded_landing",
        "guarded_landing:",
        "mov rsp, [rip + {saved}]",
        "mov eax, {data}",
        "mov ds, eax", "mov es, eax", "mov ss, eax",
        "cld",
        "mov eax, 1",
        "jmp 2b",
        saved = sym SAVED_RSP,
        data = const crate::tables::DATA,
    )
}

unsafe extern "C" {
    fn guarded_landing();
}

/// Address of a vector's stub.
pub(crate) fn stub(vector: u8) -> u64 {
    (&raw const TRAP_STUBS) as u64 + u64::from(vector) * STUB_BYTES
}

const STUB_BYTES: u64 = 16;

unsafe extern "C" {
    #[link_name = "trap_stubs"]
    static TRAP_STUBS: u8;
}

// One stub a vector, 16 bytes apart; an error code of 0 where the CPU pushes none, so that all frames are alike.
global_asm!(
    ".balign 16",
    ".globl trap_stubs",
    "trap_stubs:",
    ".set trap_vector, 0",
    ".rept 256",
    ".balign 16",
    ".set trap_has_error, 0",
    ".if trap_vector == 8",
    ".set trap_has_error, 1",
    ".endif",
    ".if trap_vector >= 10",
    ".if trap_vector <= 14",
    ".set trap_has_error, 1",
    ".endif",
    ".endif",
    ".if trap_vector == 17",
    ".set trap_has_error, 1",
    ".endif",
    ".if trap_vector == 21",
    ".set trap_has_error, 1",
    ".endif",
    ".if trap_has_error == 0",
    "push 0",
    ".endif",
    "push trap_vector",
    "jmp trap_common",
    ".set trap_vector, trap_vector + 1",
    ".endr",
    "trap_common:",
    "push r15",
    "push r14",
    "push r13",
    "push r12",
    "push r11",
    "push r10",
    "push r9",
    "push r8",
    "push rbp",
    "push rdi",
    "push rsi",
    "push rdx",
    "push rcx",
    "push rbx",
    "push rax",
    "cld",
    "mov rdi, rsp",
    "mov rbp, rsp",
    "and rsp, -16",
    "call {handle}",
    "mov rsp, rbp",
    "pop rax",
    "pop rbx",
    "pop rcx",
    "pop rdx",
    "pop rsi",
    "pop rdi",
    "pop rbp",
    "pop r8",
    "pop r9",
    "pop r10",
    "pop r11",
    "pop r12",
    "pop r13",
    "pop r14",
    "pop r15",
    "add rsp, 16",
    "iretq",
    handle = sym handle,
);

extern "C" fn handle(frame: &mut Frame) {
    let vector = frame.vector as u8;
    COUNTS[smp::number()][usize::from(vector)].fetch_add(1, SeqCst);
    const FIRST_INTERRUPT: u8 = 32;
    const NMI: u8 = 2;
    if vector < FIRST_INTERRUPT && vector != NMI {
        exception(frame);
        return;
    }
    INTERRUPTED_RIP.store(frame.rip, Relaxed);
    let hook = HOOK.load(Relaxed);
    if hook != 0 {
        // SAFETY: only `set_hook` writes it, and what it writes is such a function.
        let hook = unsafe { core::mem::transmute::<usize, fn(u8)>(hook) };
        hook(vector);
    }
    let end = END.load(Relaxed);
    if end == EndOfInterrupt::LocalApic as u8 && vector != NMI {
        apic::end_of_interrupt();
    } else if end == EndOfInterrupt::Pic as u8 {
        pic::end_of_interrupt(vector);
    }
}

fn exception(frame: &mut Frame) {
    let seen = [frame.vector, frame.error, crate::cpu::read_cr2(), frame.rip];
    if !GUARDED.swap(false, Relaxed) {
        let [vector, error, cr2, rip] = seen;
        verdict::give_up(format_args!(
            "exception {vector} error {error:#x} cr2 {cr2:#x} rip {rip:#x}"
        ));
    }
    for (to, value) in LAST.iter().zip(seen) {
        to.store(value, Relaxed);
    }
    // Back to the guarded call: the landing fetches its own stack.
    const RESERVED_ONE: u64 = 2;
    frame.rip = guarded_landing as *const () as u64;
    frame.cs = u64::from(crate::tables::CODE);
    frame.ss = u64::from(crate::tables::DATA);
    frame.rflags = RESERVED_ONE;
}
