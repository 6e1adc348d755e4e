//! The architectural state of a vCPU, as plain data, and the states that reset, INIT and SIPI leave.

use serde::{Deserialize, Serialize};
use x86::{Attributes, Cr0, DescriptorTable, Rflags, Segment, SegmentRegister, Vector};

/// Activity state of a vCPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activity {
    /// Executing instructions.
    #[default]
    Running,
    /// After HLT: waits for an interrupt.
    Halted,
    /// After INIT: waits for SIPI.
    WaitForSipi,
}

/// Interrupts held off for one instruction. (Intel SDM vol. 3A 6.8.3)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shadow {
    /// No.
    #[default]
    None,
    /// By STI.
    Sti,
    /// By MOV SS or POP SS.
    MovSs,
}

/// Everything architectural but x87, SSE and AVX.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the architecture's")]
pub struct ArchState {
    /// By encoding; see [`x86::Gpr`].
    pub gpr: [u64; 16],
    pub rip: u64,
    pub rflags: u64,
    /// By encoding; see [`SegmentRegister`].
    pub segment: [Segment; 6],
    pub ldtr: Segment,
    pub tr: Segment,
    pub gdtr: DescriptorTable,
    pub idtr: DescriptorTable,
    pub cr0: u64,
    pub cr2: u64,
    pub cr3: u64,
    pub cr4: u64,
    /// Task priority class, 0 to 15.
    pub cr8: u8,
    pub efer: u64,
    pub dr: [u64; 4],
    pub dr6: u64,
    pub dr7: u64,
    pub xcr0: u64,
    pub pat: u64,
    pub star: u64,
    pub lstar: u64,
    pub cstar: u64,
    pub sfmask: u64,
    pub kernel_gs_base: u64,
    pub sysenter_cs: u64,
    pub sysenter_esp: u64,
    pub sysenter_eip: u64,
    pub debugctl: u64,
    pub tsc_aux: u64,
    pub xss: u64,
    pub activity: Activity,
    pub shadow: Shadow,
}

/// PAT after reset. (Intel SDM vol. 3A 12.12.4)
const PAT_RESET: u64 = 0x0007_0406_0007_0406;

impl ArchState {
    /// State after power-up or RESET#, of a CPU of family 6 that says nothing more of itself in EDX. (Intel SDM vol. 3A 10.1.1, table 10-1)
    #[must_use]
    pub fn after_reset() -> Self {
        let data = Segment {
            selector: 0,
            attributes: Attributes(0x93),
            limit: 0xffff,
            base: 0,
        };
        let mut segment = [data; 6];
        *SegmentRegister::Cs.of_mut(&mut segment) = Segment {
            selector: 0xf000,
            attributes: Attributes(0x9b),
            limit: 0xffff,
            base: 0xffff_0000,
        };
        let mut gpr = [0; 16];
        *x86::Gpr::Rdx.of_mut(&mut gpr) = 0x600;
        Self {
            gpr,
            rip: 0xfff0,
            rflags: RFLAGS_RESET,
            segment,
            ldtr: Segment {
                selector: 0,
                attributes: Attributes(0x82),
                limit: 0xffff,
                base: 0,
            },
            tr: Segment {
                selector: 0,
                attributes: Attributes(0x8b),
                limit: 0xffff,
                base: 0,
            },
            gdtr: DescriptorTable {
                base: 0,
                limit: 0xffff,
            },
            idtr: DescriptorTable {
                base: 0,
                limit: 0xffff,
            },
            cr0: CR0_RESET,
            cr2: 0,
            cr3: 0,
            cr4: 0,
            cr8: 0,
            efer: 0,
            dr: [0; 4],
            dr6: 0xffff_0ff0,
            dr7: 0x400,
            xcr0: 1,
            pat: PAT_RESET,
            star: 0,
            lstar: 0,
            cstar: 0,
            sfmask: 0,
            kernel_gs_base: 0,
            sysenter_cs: 0,
            sysenter_esp: 0,
            sysenter_eip: 0,
            debugctl: 0,
            tsc_aux: 0,
            xss: 0,
            activity: Activity::Running,
            shadow: Shadow::None,
        }
    }

    /// Puts the vCPU into its state after INIT: as reset, but XCR0, PAT, the syscall MSRs and the
    /// cache bits of CR0 stay, and the vCPU waits for SIPI. (Intel SDM vol. 3A 10.1.1, table 10-1;
    /// MSRs: "INIT: unchanged")
    pub fn after_init(&mut self) {
        let before = self.clone();
        let cache = (Cr0::CACHE_DISABLE | Cr0::NOT_WRITE_THROUGH).bits();
        *self = Self {
            cr0: (CR0_RESET & !cache) | (before.cr0 & cache),
            xcr0: before.xcr0,
            pat: before.pat,
            star: before.star,
            lstar: before.lstar,
            cstar: before.cstar,
            sfmask: before.sfmask,
            kernel_gs_base: before.kernel_gs_base,
            sysenter_cs: before.sysenter_cs,
            sysenter_esp: before.sysenter_esp,
            sysenter_eip: before.sysenter_eip,
            tsc_aux: before.tsc_aux,
            xss: before.xss,
            activity: Activity::WaitForSipi,
            ..Self::after_reset()
        };
    }

    /// Applies a start-up IPI to a vCPU that waits for it: real mode at `vector` << 12. (Intel SDM
    /// vol. 3A 9.4.4.2)
    pub fn after_sipi(&mut self, vector: Vector) {
        let cs = SegmentRegister::Cs.of_mut(&mut self.segment);
        cs.selector = u16::from(vector.0) << 8;
        cs.base = u64::from(vector.0) << 12;
        self.rip = 0;
        self.activity = Activity::Running;
    }
}

/// CR0 after reset: CD, NW and ET set.
const CR0_RESET: u64 = 0x6000_0010;
/// RFLAGS after reset: bit 1 reads as one.
const RFLAGS_RESET: u64 = 0x2;

/// State that walking page tables and decoding code needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the architecture's")]
pub struct Paging {
    pub cr0: u64,
    pub cr3: u64,
    pub cr4: u64,
    pub efer: u64,
    pub rflags: u64,
    /// Current privilege level, 0 to 3.
    pub cpl: u8,
    pub cs: Segment,
    pub rip: u64,
}

impl Paging {
    /// Returns whether CS holds 64-bit code: long mode active and CS.L.
    #[must_use]
    pub fn is_64_bit(&self) -> bool {
        self.efer & x86::Efer::LONG_MODE_ACTIVE.bits() != 0 && self.cs.attributes.is_long()
    }

    /// Default operand and address size of the code: 16, 32 or 64 bits.
    #[must_use]
    pub fn code_bits(&self) -> u32 {
        let is_v86 = self.rflags & Rflags::VIRTUAL_8086_MODE.bits() != 0;
        if self.cr0 & Cr0::PROTECTED_MODE_ENABLE.bits() == 0 || is_v86 {
            16
        } else if self.is_64_bit() {
            64
        } else if self.cs.attributes.is_big() {
            32
        } else {
            16
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sipi_starts_at_its_page() {
        let mut state = ArchState::after_reset();
        state.lstar = 7;
        state.after_init();
        assert_eq!(state.activity, Activity::WaitForSipi);
        assert_eq!(state.lstar, 7);
        state.after_sipi(Vector(0x9a));
        let cs = state.segment[SegmentRegister::Cs as usize];
        assert_eq!((cs.selector, cs.base, state.rip), (0x9a00, 0x9a000, 0));
        assert_eq!(state.activity, Activity::Running);
    }
}
