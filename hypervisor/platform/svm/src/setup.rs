//! Control area of a new vCPU.

use crate::cpu::SvmCpu;
use crate::vcpu::SvmVcpu;
use crate::vmcb::{intercept, interrupt};

/// Intercepts that are always set: physical events, what would change the hypervisor's machine, and
/// what the VMM answers.
///
/// Not intercepted: RDTSC and RDTSCP (the offset serves), INVLPG and CR3 (nested paging serves), CR0 (the guest's own),
/// task switches, and FERR_FREEZE, from which a physical interrupt brings the CPU back.
const INSTRUCTIONS1: u32 = intercept::INTR
    | intercept::NMI
    | intercept::SMI
    | intercept::INIT
    | intercept::VINTR
    | intercept::RDPMC
    | intercept::CPUID
    | intercept::RSM
    | intercept::INVD
    | intercept::HLT
    | intercept::INVLPGA
    | intercept::IOIO
    | intercept::MSR
    | intercept::SHUTDOWN;
/// The vector of the virtual interrupts that stand for a window. All of them are intercepted, so no guest ever sees it. Where an
/// emulator forgets that one is over and delivers it after all, it is the one that no handler minds: a spurious interrupt's.
const WINDOW_VECTOR: u32 = 0xff;
const INSTRUCTIONS2: u32 = intercept::VMRUN
    | intercept::VMMCALL
    | intercept::VMLOAD
    | intercept::VMSAVE
    | intercept::STGI
    | intercept::CLGI
    | intercept::SKINIT
    | intercept::WBINVD
    | intercept::MONITOR
    | intercept::MWAIT;
/// #DB and #AC, whose delivery can raise them again without end (CVE-2015-8104, CVE-2015-5307), and #MC, which is the host's.
const EXCEPTIONS: u32 = 1 << 1 | 1 << 17 | 1 << 18;
/// PAUSEs until an exit, with the pause filter.
const PAUSE_COUNT: u16 = 3000;
/// Cycles between two PAUSEs after which the count starts again.
const PAUSE_THRESHOLD: u16 = 128;

impl SvmVcpu {
    /// Fills in everything that never changes.
    pub(crate) fn set_controls(&mut self, cpu: &SvmCpu) {
        let features = &self.features;
        let root = self.memory.root();
        let control = &mut self.vmcb.control;
        control.cr_writes = 1 << 4;
        control.exceptions = EXCEPTIONS;
        control.instructions1 = INSTRUCTIONS1;
        control.interrupt_vector = WINDOW_VECTOR;
        control.instructions2 = INSTRUCTIONS2;
        if features.xsave {
            control.instructions2 |= intercept::XSETBV;
        }
        if features.rdpru {
            control.instructions2 |= intercept::RDPRU;
        }
        // PAUSE itself is intercepted when it is asked for.
        if features.pause_filter {
            control.pause_count = PAUSE_COUNT;
            if features.pause_threshold {
                control.pause_threshold = PAUSE_THRESHOLD;
            }
        }
        control.iopm = cpu.maps.io.raw();
        control.msrpm = cpu.maps.msr.raw();
        control.interrupt = interrupt::MASKING;
        control.nested = 1;
        control.nested_cr3 = root.raw();
    }
}
