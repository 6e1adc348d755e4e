//! Events: what waits for the next entry, what an exit cut short, and the windows for what cannot be delivered yet.
//! (AMD APM vol. 2 15.20, 15.21)

use cpu::write_cr2;
use vcpu::{Event, Exit, NotNow};
use x86::{Cr0, Exception, Fault, Rflags, Vector};

use crate::SvmVcpu;
use crate::vmcb::{clean, intercept, interrupt};

/// EVENTINJ and EXITINTINFO: the field holds an event.
pub(crate) const VALID: u64 = 1 << 31;
/// The event has an error code, in the upper half.
pub(crate) const HAS_ERROR_CODE: u64 = 1 << 11;
pub(crate) const TYPE: u64 = 7 << 8;
pub(crate) const TYPE_INTERRUPT: u64 = 0 << 8;
pub(crate) const TYPE_NMI: u64 = 2 << 8;
pub(crate) const TYPE_EXCEPTION: u64 = 3 << 8;
const TYPE_SOFTWARE: u64 = 4 << 8;
/// All that may be written to EVENTINJ.
const DEFINED: u64 = 0xffff_ffff_8000_0fff;

/// DR6: an access to a debug register was caught by DR7.GD.
const DR6_BD: u64 = 1 << 13;
/// DR6: single step.
pub(crate) const DR6_BS: u64 = 1 << 14;
/// DR6: the breakpoints that were hit.
const DR6_BREAKPOINTS: u64 = 0xf;
/// DR7: accesses to debug registers fault.
const DR7_GD: u64 = 1 << 13;

/// State of NMI delivery. After an NMI was delivered, the next waits for the end of an IRET.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Nmi {
    /// None is being handled.
    #[default]
    Open,
    /// One is being handled; IRET is intercepted.
    InHandler,
    /// The IRET at this RIP is about to be executed.
    Returning { rip: u64 },
}

/// A single step of our own, to find the end of an instruction after which an NMI may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The guest had RFLAGS.TF itself.
    had_trap_flag: bool,
    /// The instruction loads RFLAGS, so that TF is not ours afterwards.
    loads_flags: bool,
}

impl SvmVcpu {
    /// Returns whether an event waits for the next entry.
    #[inline]
    pub(crate) fn has_event(&self) -> bool {
        self.vmcb.control.event & VALID != 0
    }

    #[inline]
    fn in_shadow(&self) -> bool {
        self.vmcb.control.interrupt_shadow & 1 != 0
    }

    /// Returns whether nothing but CR8 keeps an interrupt from being delivered.
    #[inline]
    pub(crate) fn takes_interrupt(&self) -> bool {
        let has_if = self.vmcb.save.rflags & Rflags::INTERRUPT_FLAG.bits() != 0;
        has_if && !self.in_shadow() && !self.has_event()
    }

    fn takes_nmi(&mut self) -> bool {
        if let Nmi::Returning { rip } = self.nmi
            && rip != self.vmcb.save.rip
        {
            self.nmi = Nmi::Open;
        }
        self.nmi == Nmi::Open && !self.in_shadow() && !self.has_event()
    }

    pub(crate) fn queue(&mut self, event: Event) -> Result<(), NotNow> {
        match event {
            Event::Interrupt(vector) if self.takes_interrupt() => {
                self.vmcb.control.event = VALID | TYPE_INTERRUPT | u64::from(vector.0);
            }
            Event::Nmi if self.takes_nmi() => {
                self.vmcb.control.event = VALID | TYPE_NMI | 2;
                self.nmi = Nmi::InHandler;
                self.intercept1(intercept::IRET, true);
            }
            Event::Exception(fault) if !self.has_event() => self.queue_fault(fault),
            Event::Interrupt(_) | Event::Nmi | Event::Exception(_) => return Err(NotNow),
        }
        Ok(())
    }

    /// Queues an exception in place of anything else that is queued.
    pub(crate) fn queue_fault(&mut self, fault: Fault) {
        let Fault {
            exception,
            error_code,
            address,
        } = fault;
        let mut event = VALID | TYPE_EXCEPTION | u64::from(exception.vector().0);
        // In real mode no exception pushes an error code.
        let is_protected = self.vmcb.save.cr0 & Cr0::PROTECTED_MODE_ENABLE.bits() != 0;
        if let (Some(code), true) = (error_code, is_protected) {
            event |= HAS_ERROR_CODE | u64::from(code) << 32;
        }
        if let Some(address) = address {
            self.vmcb.save.cr2 = address.raw();
            self.vmcb.control.clean &= !clean::CR2;
            write_cr2(address.raw());
        }
        self.vmcb.control.event = event;
    }

    /// Queues again what the exit cut short.
    ///
    /// INT n, INT3 and INTO have not moved RIP: the guest executes them again, so that the return address comes out right
    /// whatever the instruction's length.
    #[cold]
    pub(crate) fn requeue(&mut self, cut_short: u64) {
        let vector = cut_short as u8;
        let is_software = match cut_short & TYPE {
            TYPE_SOFTWARE => true,
            TYPE_EXCEPTION => {
                vector == Exception::Breakpoint.vector().0
                    || vector == Exception::Overflow.vector().0
            }
            _ => false,
        };
        if !is_software {
            self.vmcb.control.event = cut_short & DEFINED;
        }
    }

    /// An exception that is intercepted only so that delivering it again and again cannot hold the CPU for ever goes on to the
    /// guest. Returns to the CPU loop, because an entry that injects does not look for physical interrupts first.
    #[cold]
    pub(crate) fn pass_on(&mut self, exception: Exception, error_code: Option<u32>) -> Exit {
        let cut_short = self.vmcb.control.event & (VALID | TYPE);
        // It struck while an interrupt or NMI was being delivered: that comes first again, and the exception with it.
        if cut_short != VALID | TYPE_INTERRUPT && cut_short != VALID | TYPE_NMI {
            self.queue_fault(Fault {
                exception,
                error_code,
                address: None,
            });
        }
        Exit::HostInterrupt
    }

    /// #DB: the end of a step of our own, or the guest's.
    #[cold]
    pub(crate) fn debug_exception(&mut self) -> Exit {
        let step = self.step.take();
        let save = &mut self.vmcb.save;
        let mut is_guests = true;
        if let Some(step) = step {
            if !step.loads_flags && !step.had_trap_flag {
                save.rflags &= !Rflags::TRAP_FLAG.bits();
            }
            if !step.had_trap_flag {
                save.dr6 &= !DR6_BS;
                is_guests = save.dr6 & DR6_BREAKPOINTS != 0;
            }
            self.nmi = Nmi::Open;
        }
        if is_guests {
            // Delivery clears GD, injection does not.
            if save.dr6 & DR6_BD != 0 {
                save.dr7 &= !DR7_GD;
            }
            self.vmcb.control.clean &= !clean::DEBUG;
            return self.pass_on(Exception::Debug, None);
        }
        self.vmcb.control.clean &= !clean::DEBUG;
        self.nmi_window = false;
        Exit::InterruptWindow
    }

    /// Raises #DB after an instruction that was executed for the guest with RFLAGS.TF set, and clears RF.
    #[cold]
    pub(crate) fn finish_flags(&mut self) {
        let save = &mut self.vmcb.save;
        save.rflags &= !Rflags::RESUME_FLAG.bits();
        if save.rflags & Rflags::TRAP_FLAG.bits() == 0 {
            return;
        }
        if let Some(step) = self.step.take() {
            // The step was over an instruction that exited: it ends here, and the VMM tries its NMI again by itself.
            if !step.had_trap_flag {
                save.rflags &= !Rflags::TRAP_FLAG.bits();
                return;
            }
        }
        save.dr6 |= DR6_BS;
        self.vmcb.control.clean &= !clean::DEBUG;
        if !self.has_event() {
            self.queue_fault(Fault {
                exception: Exception::Debug,
                error_code: None,
                address: None,
            });
        }
    }

    /// IRET of an NMI handler: NMIs open when it is done.
    #[cold]
    pub(crate) fn iret(&mut self) {
        self.nmi = Nmi::Returning {
            rip: self.vmcb.save.rip,
        };
        self.intercept1(intercept::IRET, false);
        if self.nmi_window {
            self.start_step(true);
        }
    }

    pub(crate) fn ask_nmi_window(&mut self) {
        self.nmi_window = true;
        if self.has_event() || self.step.is_some() {
            // What is queued goes first; the VMM asks again at the next exit. TF would get into the event's stack frame.
            return;
        }
        match self.nmi {
            Nmi::Open => self.start_step(false),
            Nmi::Returning { rip } => self.start_step(rip == self.vmcb.save.rip),
            Nmi::InHandler => {}
        }
    }

    /// Returns whether RFLAGS.TF is set for a step of our own and not for the guest.
    pub(crate) fn is_stepping_for_us(&self) -> bool {
        self.step.is_some_and(|step| !step.had_trap_flag)
    }

    fn start_step(&mut self, loads_flags: bool) {
        let rflags = &mut self.vmcb.save.rflags;
        self.step = Some(Step {
            had_trap_flag: *rflags & Rflags::TRAP_FLAG.bits() != 0,
            loads_flags,
        });
        *rflags |= Rflags::TRAP_FLAG.bits();
    }

    pub(crate) fn ask_window(&mut self, vector: Vector) {
        if self.window == Some(vector) {
            return;
        }
        self.window = Some(vector);
        self.arm_window();
    }

    pub(crate) fn drop_window(&mut self) {
        if self.window.take().is_some() {
            self.arm_window();
        }
    }

    /// Makes a virtual interrupt pending if a window is wanted and CR8 does not forbid it.
    ///
    /// While a window is wanted, writes of CR8 are intercepted and lead here again, so the CPU's own comparison is not used:
    /// some emulators compare wrongly, and one of them stops when CR8 is written while a virtual interrupt is pending.
    pub(crate) fn arm_window(&mut self) {
        let is_wanted = self.window.is_some();
        let class = self.window.map_or(0, Vector::class);
        let control = &mut self.vmcb.control;
        let is_open = u32::from(class) > control.interrupt & interrupt::TPR;
        control.interrupt &= !(interrupt::IRQ | interrupt::PRIORITY);
        if is_wanted && is_open {
            control.interrupt |= interrupt::IRQ
                | interrupt::IGNORE_TPR
                | u32::from(class) << interrupt::PRIORITY_SHIFT;
        }
        control.cr_writes = (control.cr_writes & !(1 << 8)) | u16::from(is_wanted) << 8;
        control.clean &= !(clean::INTERRUPT | clean::INTERCEPTS);
    }

    pub(crate) fn intercept1(&mut self, bit: u32, is_on: bool) {
        let control = &mut self.vmcb.control;
        if is_on {
            control.instructions1 |= bit;
        } else {
            control.instructions1 &= !bit;
        }
        control.clean &= !clean::INTERCEPTS;
    }
}
