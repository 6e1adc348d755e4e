//! Why a vCPU stopped running, and how each reason is answered.
//!
//! An exit that stands for an instruction carries its own answer: `answer` consumes it, so it happens once, with the right
//! width, and RIP moves there and only there.

use crate::Vcpu;
use addr::{Gpa, Gva};
use x86::{CpuidResult, Fault, GeneralProtection, Gpr, SegmentRegister, Width};

/// Length of an instruction in bytes, 1 to 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InsnLen(u8);

impl InsnLen {
    /// `bytes` as a length, if an instruction can be that long.
    #[must_use]
    pub const fn new(bytes: u8) -> Option<Self> {
        if matches!(bytes, 1..=15) {
            Some(Self(bytes))
        } else {
            None
        }
    }

    /// Returns a length that is known when this is compiled; any other number does not compile.
    #[must_use]
    pub const fn exactly<const BYTES: u8>() -> Self {
        const { assert!(matches!(BYTES, 1..=15)) };
        Self(BYTES)
    }

    /// Bytes.
    #[must_use]
    pub const fn bytes(self) -> u8 {
        self.0
    }
}

/// Why `run` returned.
#[must_use = "unanswered, the guest meets the same instruction again"]
#[derive(Debug)]
pub enum Exit {
    /// IN.
    PioIn(PioIn),
    /// OUT.
    PioOut(PioOut),
    /// INS or OUTS, with or without REP.
    PioString(PioString),
    /// EPT violation or nested page fault.
    SlatFault(SlatFault),
    /// CPUID.
    Cpuid(Cpuid),
    /// RDMSR of an MSR that is not passed through.
    ReadMsr(ReadMsr),
    /// WRMSR of an MSR that is not passed through.
    WriteMsr(WriteMsr),
    /// XSETBV at CPL 0.
    Xsetbv(Xsetbv),
    /// VMCALL or VMMCALL.
    Hypercall(Hypercall),
    /// HLT.
    Halt(Halt),
    /// PAUSE, too often.
    Pause(Pause),
    /// A physical interrupt: take it from the host.
    HostInterrupt,
    /// The window that was asked for is open.
    InterruptWindow,
    /// Triple fault, or an event delivery that can never succeed.
    Shutdown,
    /// The CPU rejected our state: our bug, to be dumped.
    EntryRefused(EntryRefused),
    /// Nothing we know: stops this VM, with a name in the log.
    Unexpected(RawExit),
}

/// Vendor code and qualification of an exit, for logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawExit {
    /// Basic exit reason (VMX) or EXITCODE (SVM).
    pub code: u64,
    /// Exit qualification (VMX) or EXITINFO1 (SVM).
    pub info1: u64,
    /// Guest-physical address (VMX) or EXITINFO2 (SVM).
    pub info2: u64,
    /// The field's name for `code`.
    pub name: &'static str,
}

/// VM entry failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryRefused {
    /// Reason that the CPU gave, in words.
    pub reason: &'static str,
}

/// IN from a port.
#[must_use]
#[derive(Debug)]
pub struct PioIn {
    /// Port.
    pub port: u16,
    /// Byte, word or doubleword.
    pub width: Width,
    /// Length of the instruction.
    pub len: InsnLen,
}

impl PioIn {
    /// Puts `value` into AL, AX or EAX and moves on.
    #[inline]
    pub fn answer(self, vcpu: &mut impl Vcpu, value: u32) {
        let rax = self.width.merge(vcpu.gpr(Gpr::Rax), u64::from(value));
        vcpu.set_gpr(Gpr::Rax, rax);
        vcpu.retire(self.len);
    }
}

/// OUT to a port.
#[must_use]
#[derive(Debug)]
pub struct PioOut {
    /// Port.
    pub port: u16,
    /// Byte, word or doubleword.
    pub width: Width,
    /// Value that was written, cut to `width`.
    pub value: u32,
    /// Length of the instruction.
    pub len: InsnLen,
}

impl PioOut {
    /// Moves on.
    #[inline]
    pub fn answer(self, vcpu: &mut impl Vcpu) {
        vcpu.retire(self.len);
    }
}

/// Which way a string of port accesses goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PioDirection {
    /// INS: port to memory at ES:rDI.
    In,
    /// OUTS: memory at segment:rSI to port.
    Out,
}

/// INS or OUTS.
#[must_use]
#[derive(Debug)]
pub struct PioString {
    /// Port.
    pub port: u16,
    /// Byte, word or doubleword.
    pub width: Width,
    /// Which way.
    pub direction: PioDirection,
    /// True if there is a REP prefix; then rCX counts.
    pub is_repeated: bool,
    /// Width of rCX, rSI and rDI: word, doubleword or quadword.
    pub address_width: Width,
    /// Segment of the memory operand: ES for INS, DS or an override for OUTS.
    pub segment: SegmentRegister,
    /// Length of the instruction.
    pub len: InsnLen,
}

impl PioString {
    /// Moves on: all iterations are done and the registers say so.
    pub fn finish(self, vcpu: &mut impl Vcpu) {
        vcpu.retire(self.len);
    }

    /// Some iterations are done and the registers say so; the guest meets the instruction again for the rest.
    pub fn resume_later(self) {}

    /// The memory operand faulted; registers tell how far it came.
    pub fn fault(self, vcpu: &mut impl Vcpu, fault: Fault) {
        vcpu.raise(fault);
    }
}

/// Kind of memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Data read.
    Read,
    /// Data write (or read-modify-write).
    Write,
    /// Instruction fetch.
    Execute,
}

/// Bytes of the faulting instruction, where the CPU supplies them (SVM decode assists); else none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InsnBytes {
    /// Number of valid `bytes`, 0 to 15.
    pub count: u8,
    /// The bytes.
    pub bytes: [u8; 15],
}

/// A guest-physical access that the SLAT tables do not allow.
#[must_use]
#[derive(Debug)]
pub struct SlatFault {
    /// Where.
    pub gpa: Gpa,
    /// How.
    pub access: Access,
    /// The linear address, where the CPU tells.
    pub gva: Option<Gva>,
    /// True if the CPU was walking the guest's page tables, and not making the access itself.
    pub is_table_walk: bool,
    /// True if the access was part of delivering an event, which the backend has queued again.
    pub is_delivery: bool,
    /// The instruction, where the CPU tells.
    pub insn: InsnBytes,
}

/// CPUID.
#[must_use]
#[derive(Debug)]
pub struct Cpuid {
    /// EAX.
    pub leaf: u32,
    /// ECX.
    pub subleaf: u32,
    /// Length of the instruction.
    pub len: InsnLen,
}

impl Cpuid {
    /// Fills the four registers and moves on.
    #[inline]
    pub fn answer(self, vcpu: &mut impl Vcpu, result: CpuidResult) {
        vcpu.set_gpr(Gpr::Rax, u64::from(result.eax));
        vcpu.set_gpr(Gpr::Rbx, u64::from(result.ebx));
        vcpu.set_gpr(Gpr::Rcx, u64::from(result.ecx));
        vcpu.set_gpr(Gpr::Rdx, u64::from(result.edx));
        vcpu.retire(self.len);
    }
}

/// RDMSR.
#[must_use]
#[derive(Debug)]
pub struct ReadMsr {
    /// ECX.
    pub index: u32,
    /// Length of the instruction.
    pub len: InsnLen,
}

impl ReadMsr {
    /// Puts the value into EDX:EAX and moves on, or raises #GP.
    #[inline]
    pub fn answer(self, vcpu: &mut impl Vcpu, value: Result<u64, GeneralProtection>) {
        match value {
            Ok(value) => {
                vcpu.set_gpr(Gpr::Rax, value & 0xffff_ffff);
                vcpu.set_gpr(Gpr::Rdx, value >> 32);
                vcpu.retire(self.len);
            }
            Err(GeneralProtection) => {
                vcpu.raise(Fault::GENERAL_PROTECTION);
            }
        }
    }
}

/// WRMSR.
#[must_use]
#[derive(Debug)]
pub struct WriteMsr {
    /// ECX.
    pub index: u32,
    /// EDX:EAX.
    pub value: u64,
    /// Length of the instruction.
    pub len: InsnLen,
}

impl WriteMsr {
    /// Moves on, or raises #GP.
    #[inline]
    pub fn answer(self, vcpu: &mut impl Vcpu, result: Result<(), GeneralProtection>) {
        match result {
            Ok(()) => vcpu.retire(self.len),
            Err(GeneralProtection) => {
                vcpu.raise(Fault::GENERAL_PROTECTION);
            }
        }
    }
}

/// XSETBV.
#[must_use]
#[derive(Debug)]
pub struct Xsetbv {
    /// ECX: which extended control register.
    pub index: u32,
    /// EDX:EAX.
    pub value: u64,
    /// Length of the instruction.
    pub len: InsnLen,
}

impl Xsetbv {
    /// Sets XCR0 and moves on, or raises #GP.
    pub fn answer(self, vcpu: &mut impl Vcpu, result: Result<(), GeneralProtection>) {
        match result {
            Ok(()) => {
                vcpu.set_xcr0(self.value);
                vcpu.retire(self.len);
            }
            Err(GeneralProtection) => {
                vcpu.raise(Fault::GENERAL_PROTECTION);
            }
        }
    }
}

/// VMCALL or VMMCALL.
#[must_use]
#[derive(Debug)]
pub struct Hypercall {
    /// Length of the instruction.
    pub len: InsnLen,
}

impl Hypercall {
    /// Puts `value` into RAX and moves on.
    pub fn answer(self, vcpu: &mut impl Vcpu, value: u64) {
        vcpu.set_gpr(Gpr::Rax, value);
        vcpu.retire(self.len);
    }
}

/// HLT.
#[must_use]
#[derive(Debug)]
pub struct Halt {
    /// Length of the instruction.
    pub len: InsnLen,
}

impl Halt {
    /// Moves on; the vCPU is to be put to sleep.
    #[inline]
    pub fn answer(self, vcpu: &mut impl Vcpu) {
        vcpu.retire(self.len);
    }
}

/// PAUSE.
#[must_use]
#[derive(Debug)]
pub struct Pause {
    /// Length of the instruction.
    pub len: InsnLen,
}

impl Pause {
    /// Moves on.
    pub fn answer(self, vcpu: &mut impl Vcpu) {
        vcpu.retire(self.len);
    }
}
