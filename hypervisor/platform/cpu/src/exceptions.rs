//! Handling of exceptions in hypervisor code.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::instructions::{halt_forever, read_cr2};
use crate::msr::{self, IA32_MCG_STATUS};
use crate::probe;

/// Registers at an exception, in the order the stub pushed them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "the registers' own names")]
pub struct ExceptionFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rax: u64,
    pub vector: u64,
    pub error_code: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}
const _: () = assert!(size_of::<ExceptionFrame>() == 22 * 8);

impl fmt::Display for ExceptionFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            r15,
            r14,
            r13,
            r12,
            r11,
            r10,
            r9,
            r8,
            rdi,
            rsi,
            rbp,
            rbx,
            rdx,
            rcx,
            rax,
            ..
        } = self;
        let Self {
            vector,
            error_code,
            rip,
            cs,
            rflags,
            rsp,
            ss,
            ..
        } = self;
        writeln!(
            f,
            "  rip {rip:016x}  cs {cs:04x}  rsp {rsp:016x}  ss {ss:04x}  flags {rflags:08x}"
        )?;
        writeln!(
            f,
            "  rax {rax:016x}  rbx {rbx:016x}  rcx {rcx:016x}  rdx {rdx:016x}"
        )?;
        writeln!(
            f,
            "  rsi {rsi:016x}  rdi {rdi:016x}  rbp {rbp:016x}  r8  {r8:016x}"
        )?;
        writeln!(
            f,
            "  r9  {r9:016x}  r10 {r10:016x}  r11 {r11:016x}  r12 {r12:016x}"
        )?;
        writeln!(f, "  r13 {r13:016x}  r14 {r14:016x}  r15 {r15:016x}")?;
        write!(
            f,
            "  vector {vector} ({})  error {error_code:#x}",
            exception_name(*vector)
        )
    }
}

const DEBUG: u64 = 1;
const NMI: u64 = 2;
const GENERAL_PROTECTION: u64 = 13;
const PAGE_FAULT: u64 = 14;
const MACHINE_CHECK: u64 = 18;

/// Set by a panicking CPU before it sends NMI to all others.
static PARKING: AtomicBool = AtomicBool::new(false);

/// From now on, a CPU that takes an NMI stops for good.
pub fn park_on_nmi() {
    PARKING.store(true, Ordering::SeqCst);
}

/// Stops this CPU for good if a panic asked for it. For loops that may spin while another CPU panics.
pub fn park() {
    if PARKING.load(Ordering::Relaxed) {
        halt_forever();
    }
}

/// Accounts for an NMI: counts it, and parks this CPU if a panic sent it. For NMIs that arrive as a VM exit.
pub fn nmi_arrived() {
    crate::this().count_nmi();
    park();
}

/// Accounts for a machine check. One the CPU cannot continue after panics. For those that arrive as a VM exit, too.
pub fn machine_check_arrived() {
    const RESTART_IP_VALID: u64 = 1 << 0;
    crate::this().count_machine_check();
    let status = msr::read_msr(IA32_MCG_STATUS);
    if status & RESTART_IP_VALID == 0 {
        panic!("machine check, global status {status:#x}: the CPU cannot continue");
    }
    // SAFETY: the MSR exists where #MC does; zero clears "in progress", so that the next one is not a shutdown.
    unsafe { msr::write_msr(IA32_MCG_STATUS, 0) };
}

/// Called by the stub of vectors 0 to 31. `frame` may be changed: it is what IRET will load.
pub(crate) extern "C" fn handle_exception(frame: &mut ExceptionFrame) {
    match frame.vector {
        // Nothing here steps or sets breakpoints: it is a guest's step, which Bochs' AMD-V delivers behind the exit, while GS
        // is still the guest's. So nothing may be touched, and nothing need be done.
        DEBUG => return,
        NMI => return nmi_arrived(),
        MACHINE_CHECK => return machine_check_arrived(),
        GENERAL_PROTECTION => {
            if let Some(rip) = probe::recovery(frame.rip) {
                frame.rip = rip;
                return;
            }
        }
        _ => {}
    }
    crate::this().set_fault_frame(frame);
    let name = exception_name(frame.vector);
    if frame.vector == PAGE_FAULT {
        panic!(
            "{name} at {:#x}, address {:#x}, error {:#x}",
            frame.rip,
            read_cr2(),
            frame.error_code
        );
    }
    panic!("{name} at {:#x}, error {:#x}", frame.rip, frame.error_code);
}

fn exception_name(vector: u64) -> &'static str {
    const NAMES: [&str; 32] = [
        "#DE divide error",
        "#DB debug",
        "NMI",
        "#BP breakpoint",
        "#OF overflow",
        "#BR bound range",
        "#UD invalid opcode",
        "#NM no FPU",
        "#DF double fault",
        "vector 9",
        "#TS invalid TSS",
        "#NP segment not present",
        "#SS stack fault",
        "#GP general protection",
        "#PF page fault",
        "vector 15",
        "#MF x87 error",
        "#AC alignment check",
        "#MC machine check",
        "#XM SIMD error",
        "#VE virtualization",
        "#CP control protection",
        "vector 22",
        "vector 23",
        "vector 24",
        "vector 25",
        "vector 26",
        "vector 27",
        "#HV hypervisor injection",
        "#VC VMM communication",
        "#SX security",
        "vector 31",
    ];
    NAMES
        .get(vector as usize)
        .copied()
        .unwrap_or("unknown vector")
}
