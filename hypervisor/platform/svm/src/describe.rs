//! The whole VMCB in words, for an operator after a refused entry.

use core::fmt::{self, Write};

use ::vcpu::Vcpu;
use x86::Gpr;

use crate::SvmVcpu;
use crate::event::VALID;
use crate::exit_code;
use crate::vmcb::VmcbSegment;

const GPR_NAMES: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15",
];
const SEGMENT_NAMES: [&str; 6] = ["es", "cs", "ss", "ds", "fs", "gs"];
const EVENT_TYPES: [&str; 8] = [
    "interrupt",
    "reserved type 1",
    "NMI",
    "exception",
    "software interrupt",
    "reserved type 5",
    "reserved type 6",
    "reserved type 7",
];

impl SvmVcpu {
    pub(crate) fn describe_all(&self, out: &mut dyn Write) -> fmt::Result {
        self.describe_exit(out)?;
        self.describe_registers(out)?;
        self.describe_control(out)
    }

    fn describe_exit(&self, out: &mut dyn Write) -> fmt::Result {
        let control = &self.vmcb.control;
        writeln!(
            out,
            "exit      {} ({:#x}), info {:#x} {:#x}, next rip {:#x}",
            exit_code::name(control.exit_code),
            control.exit_code,
            control.exit_info1,
            control.exit_info2,
            control.next_rip,
        )?;
        describe_event(out, "cut short", control.exit_interrupt)?;
        describe_event(out, "queued", control.event)
    }

    fn describe_registers(&self, out: &mut dyn Write) -> fmt::Result {
        let save = &self.vmcb.save;
        for row in Gpr::ALL.chunks(4) {
            for reg in row {
                let name = GPR_NAMES[reg.index()];
                write!(out, "{name:<3} {:016x}  ", self.gpr(*reg))?;
            }
            writeln!(out)?;
        }
        writeln!(
            out,
            "rip {:016x}  rflags {:08x}  cpl {}  shadow {}",
            save.rip, save.rflags, save.cpl, self.vmcb.control.interrupt_shadow,
        )?;
        for (name, segment) in SEGMENT_NAMES.iter().zip(&save.segment) {
            describe_segment(out, name, segment)?;
        }
        describe_segment(out, "ldtr", &save.ldtr)?;
        describe_segment(out, "tr", &save.tr)?;
        describe_segment(out, "gdtr", &save.gdtr)?;
        describe_segment(out, "idtr", &save.idtr)?;
        writeln!(
            out,
            "cr0 {:x}  cr2 {:x}  cr3 {:x}  cr4 {:x}  cr8 {:x}  efer {:x} (SVME is ours)  xcr0 {:x}",
            save.cr0,
            save.cr2,
            save.cr3,
            save.cr4,
            self.task_priority(),
            save.efer,
            self.xcr0(),
        )?;
        writeln!(
            out,
            "dr6 {:x}  dr7 {:x}  pat {:x}",
            save.dr6, save.dr7, save.pat
        )?;
        writeln!(
            out,
            "star {:x}  lstar {:x}  cstar {:x}  sfmask {:x}  kernel gs base {:x}",
            save.star, save.lstar, save.cstar, save.sfmask, save.kernel_gs_base,
        )?;
        writeln!(
            out,
            "sysenter cs {:x}  esp {:x}  eip {:x}",
            save.sysenter_cs, save.sysenter_esp, save.sysenter_eip,
        )
    }

    fn describe_control(&self, out: &mut dyn Write) -> fmt::Result {
        let control = &self.vmcb.control;
        writeln!(
            out,
            "intercepts  cr {:04x}/{:04x} (reads/writes)  dr {:04x}/{:04x}  exceptions {:08x}  instructions {:08x} {:08x} {:08x}",
            control.cr_reads,
            control.cr_writes,
            control.dr_reads,
            control.dr_writes,
            control.exceptions,
            control.instructions1,
            control.instructions2,
            control.instructions3,
        )?;
        writeln!(
            out,
            "asid {}  tlb control {}  nested {:x}  nested cr3 {:x}  iopm {:x}  msrpm {:x}  tsc offset {:x}",
            control.asid,
            control.tlb_control,
            control.nested,
            control.nested_cr3,
            control.iopm,
            control.msrpm,
            control.tsc_offset,
        )?;
        writeln!(
            out,
            "virtual interrupt {:08x} vector {}  window {:?}  nmi {:?}  nmi window {}  step {:?}  clean {:x}",
            control.interrupt,
            control.interrupt_vector,
            self.window,
            self.nmi,
            self.nmi_window,
            self.step,
            control.clean,
        )
    }
}

fn describe_event(out: &mut dyn Write, what: &str, event: u64) -> fmt::Result {
    if event & VALID == 0 {
        return writeln!(out, "{what:<9} nothing");
    }
    writeln!(
        out,
        "{what:<9} {} vector {}, error code {:#x} ({event:#x})",
        EVENT_TYPES[(event >> 8 & 7) as usize],
        event & 0xff,
        event >> 32,
    )
}

fn describe_segment(out: &mut dyn Write, name: &str, segment: &VmcbSegment) -> fmt::Result {
    let VmcbSegment {
        selector,
        attributes,
        limit,
        base,
    } = segment;
    writeln!(
        out,
        "{name:<4} {selector:04x}  attributes {attributes:03x}  limit {limit:08x}  base {base:016x}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn events_read_as_words() {
        let mut text = String::new();
        describe_event(&mut text, "queued", VALID | 0x30d | 8 << 32).expect("a string takes all");
        assert!(
            text.contains("exception vector 13, error code 0x8"),
            "{text}"
        );
    }
}
