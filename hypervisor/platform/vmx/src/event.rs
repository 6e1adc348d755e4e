//! Events on their way into the guest: queueing, re-queueing, and waiting until one fits.
//! (Intel SDM vol. 3C 25.8.3, 27.6, 28.2.4)

use ::vcpu::{Event, NotNow};
use x86::{Cr0, Exception, Fault, Rflags};

use crate::controls::primary;
use crate::fields::{self, ReadField};
use crate::qualification::{Interruption, InterruptionKind};
use crate::state::interruptibility;
use crate::vcpu::VmxVcpu;
use crate::vmcs::Loaded;

/// Bits that hold an interrupt off for one instruction.
const SHADOW: u32 = interruptibility::STI | interruptibility::MOV_SS;

impl VmxVcpu {
    /// [`::vcpu::Vcpu::inject`].
    pub(crate) fn queue(&mut self, event: Event) -> Result<(), NotNow> {
        if self.is_queued {
            return Err(NotNow);
        }
        let vmcs = self.vmcs.load();
        match event {
            Event::Interrupt(vector) => {
                if !self.is_interruptible(vmcs) {
                    return Err(NotNow);
                }
                self.enqueue(vmcs, Interruption::external(vector.0));
            }
            Event::Nmi => {
                let blocking = vmcs.read(fields::GUEST_INTERRUPTIBILITY);
                if blocking & (interruptibility::MOV_SS | interruptibility::NMI) != 0 {
                    return Err(NotNow);
                }
                // STI does not hold NMIs off, but some CPUs refuse the entry (27.3.1.5). Waiting would not help: the NMI window
                // is open in STI's shadow (26.2), so the exit would come before the instruction that ends it, again and again.
                self.end_shadow(vmcs);
                self.enqueue(vmcs, Interruption::nmi());
            }
            Event::Exception(fault) => self.queue_fault(vmcs, fault),
        }
        Ok(())
    }

    /// Queues an exception; the caller knows that nothing is queued.
    pub(crate) fn queue_fault(&mut self, vmcs: Loaded, fault: Fault) {
        // Real mode pushes no error codes, and VM entry insists on that. (27.2.1.3)
        let is_protected = vmcs.read(fields::GUEST_CR0) & Cr0::PROTECTED_MODE_ENABLE.bits() != 0;
        let error_code = fault.error_code.filter(|_| is_protected);
        if let Some(code) = error_code {
            vmcs.write(fields::ENTRY_EXCEPTION_ERROR, code);
        }
        if let Some(address) = fault.address {
            self.live.set_cr2(address.raw());
        }
        if is_fault(fault.exception) {
            // The image a fault pushes has RF set, so that a code breakpoint does not strike twice; entry does not add it.
            let rflags = self.cached_rflags(vmcs) | Rflags::RESUME_FLAG.bits();
            self.write_rflags(vmcs, rflags);
        }
        self.end_shadow(vmcs);
        let vector = fault.exception.vector().0;
        self.enqueue(vmcs, Interruption::exception(vector, error_code.is_some()));
    }

    #[inline]
    fn enqueue(&mut self, vmcs: Loaded, event: Interruption) {
        vmcs.write(fields::ENTRY_INTERRUPTION_INFO, event.0);
        self.is_queued = true;
    }

    /// Queues the event again whose delivery this exit cut short; returns whether there was one.
    pub(crate) fn requeue(&mut self, vmcs: Loaded) -> bool {
        let event = Interruption(vmcs.read(fields::IDT_VECTORING_INFO));
        if !event.is_valid() {
            return false;
        }
        if event.has_error_code() {
            let code = vmcs.read(fields::IDT_VECTORING_ERROR);
            vmcs.write(fields::ENTRY_EXCEPTION_ERROR, code);
        }
        self.requeue_as(vmcs, event);
        true
    }

    /// Queues an exception that was intercepted, for the guest after all.
    pub(crate) fn reflect(&mut self, vmcs: Loaded, event: Interruption) {
        if event.has_error_code() {
            let code = vmcs.read(fields::EXIT_INTERRUPTION_ERROR);
            vmcs.write(fields::ENTRY_EXCEPTION_ERROR, code);
        }
        self.end_shadow(vmcs);
        self.requeue_as(vmcs, event);
    }

    fn requeue_as(&mut self, vmcs: Loaded, event: Interruption) {
        match event.kind() {
            // Delivery pushes the address behind the instruction.
            InterruptionKind::SoftwareInterrupt
            | InterruptionKind::SoftwareException
            | InterruptionKind::PrivilegedSoftwareException => {
                let len = vmcs.read(fields::EXIT_INSTRUCTION_LEN);
                vmcs.write(fields::ENTRY_INSTRUCTION_LEN, len);
            }
            // The cut delivery has blocked NMIs already; the next one does it again and must find them open.
            InterruptionKind::Nmi => {
                let blocking = vmcs.read(fields::GUEST_INTERRUPTIBILITY);
                vmcs.write(
                    fields::GUEST_INTERRUPTIBILITY,
                    blocking & !interruptibility::NMI,
                );
            }
            InterruptionKind::External
            | InterruptionKind::HardwareException
            | InterruptionKind::Other => {}
        }
        self.enqueue(vmcs, event.again());
    }

    /// An IRET unblocked NMIs and then caused this exit; it will be executed again. (28.2.3)
    pub(crate) fn block_nmis_again(&self, vmcs: Loaded) {
        let blocking = vmcs.read(fields::GUEST_INTERRUPTIBILITY);
        vmcs.write(
            fields::GUEST_INTERRUPTIBILITY,
            blocking | interruptibility::NMI,
        );
    }

    /// Returns whether RFLAGS.IF is set and no interrupt shadow is in effect.
    #[inline]
    pub(crate) fn is_interruptible(&self, vmcs: Loaded) -> bool {
        self.cached_rflags(vmcs) & Rflags::INTERRUPT_FLAG.bits() != 0
            && vmcs.read(fields::GUEST_INTERRUPTIBILITY) & SHADOW == 0
    }

    /// The instruction after STI or MOV SS is over.
    #[inline]
    pub(crate) fn end_shadow(&self, vmcs: Loaded) {
        let blocking = vmcs.read(fields::GUEST_INTERRUPTIBILITY);
        if blocking & SHADOW != 0 {
            vmcs.write(fields::GUEST_INTERRUPTIBILITY, blocking & !SHADOW);
        }
    }

    /// Makes the CPU exit when an interrupt of the awaited class fits; renewed whenever CR8 changes.
    ///
    /// The window exit does not look at CR8, so while CR8 is in the way the TPR threshold waits for that first.
    pub(crate) fn arm_window(&mut self, vmcs: Loaded) {
        let priority = self.task_priority.class();
        let (is_window, threshold) = match self.window {
            None => (false, 0),
            // Class 0 is no local APIC's: an 8259 in a real-mode guest, which knows no CR8.
            Some(class) if class == 0 || class > priority => (true, 0),
            Some(class) => (false, u32::from(class)),
        };
        self.set_primary(vmcs, primary::INTERRUPT_WINDOW_EXITING, is_window);
        if self.features.has_tpr_shadow && threshold != self.threshold {
            vmcs.write(fields::TPR_THRESHOLD, threshold);
            self.threshold = threshold;
        }
    }

    /// Sets or clears bits of the primary controls; the VMCS is written only when they change.
    pub(crate) fn set_primary(&mut self, vmcs: Loaded, bits: u32, is_on: bool) {
        let value = if is_on {
            self.primary | bits
        } else {
            self.primary & !bits
        };
        if value != self.primary {
            vmcs.write(fields::PRIMARY_CONTROLS, value);
            self.primary = value;
        }
    }
}

/// Returns whether the exception is a fault: one that is reported before its instruction. (Intel
/// SDM vol. 3A 6.5, table 6-1)
const fn is_fault(exception: Exception) -> bool {
    match exception {
        Exception::Debug
        | Exception::Breakpoint
        | Exception::Overflow
        | Exception::DoubleFault
        | Exception::MachineCheck => false,
        Exception::DivideError
        | Exception::BoundRange
        | Exception::InvalidOpcode
        | Exception::DeviceNotAvailable
        | Exception::InvalidTss
        | Exception::SegmentNotPresent
        | Exception::StackFault
        | Exception::GeneralProtection
        | Exception::PageFault
        | Exception::FloatingPoint
        | Exception::AlignmentCheck
        | Exception::SimdFloatingPoint
        | Exception::ControlProtection => true,
    }
}
