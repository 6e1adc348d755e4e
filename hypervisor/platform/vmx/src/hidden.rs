//! Non-architectural vCPU state (interruptibility, pending events, page-directory
//! pointers), for a saved state. (Intel SDM vol. 3C 25.4.2, 25.8.3)

use ::vcpu::{BadState, Event, HiddenState, NotNow, Vcpu};
use x86::{Cr0, Cr4, Efer, Exception, Fault, Vector};

use crate::fields::{self, Field, ReadField};
use crate::qualification::{Interruption, InterruptionKind};
use crate::state::{PENDING_SINGLE_STEP, interruptibility};
use crate::vcpu::VmxVcpu;
use crate::vmcs::Loaded;

/// With EPT, VM entry takes the page-directory pointers from here, not from memory. (27.3.1.6)
const POINTERS: [Field<u64>; 4] = [
    fields::GUEST_PDPTE0,
    fields::GUEST_PDPTE1,
    fields::GUEST_PDPTE2,
    fields::GUEST_PDPTE3,
];

impl VmxVcpu {
    /// [`Vcpu::hidden`].
    pub(crate) fn hidden_state(&self) -> HiddenState {
        let vmcs = self.vmcs.load();
        let queued = self.queued_event(vmcs);
        let blocking = vmcs.read(fields::GUEST_INTERRUPTIBILITY);
        let pending = vmcs.read(fields::GUEST_PENDING_DEBUG);
        HiddenState {
            queued,
            // Delivery blocks them; to queue it again they must be open.
            is_nmi_blocked: blocking & interruptibility::NMI != 0 && queued != Some(Event::Nmi),
            has_pending_step: pending & PENDING_SINGLE_STEP != 0,
            page_directory_pointers: self
                .has_page_directory_pointers()
                .then(|| POINTERS.map(|field| vmcs.read(field))),
        }
    }

    /// [`Vcpu::set_hidden`].
    pub(crate) fn set_hidden_state(&mut self, hidden: &HiddenState) -> Result<(), BadState> {
        let HiddenState {
            queued,
            is_nmi_blocked,
            has_pending_step,
            page_directory_pointers,
        } = hidden;
        let pointers = match (self.has_page_directory_pointers(), page_directory_pointers) {
            (true, Some(pointers)) => *pointers,
            (true, None) => return Err(BadState("PAE paging without page-directory pointers")),
            // Nobody looks at them, but none of another life may stay.
            (false, _) => [0; 4],
        };
        if let Some(event) = queued {
            self.queue(*event)
                .map_err(|NotNow| BadState("the queued event cannot be delivered"))?;
        }
        let vmcs = self.vmcs.load();
        for (field, pointer) in POINTERS.into_iter().zip(pointers) {
            vmcs.write(field, pointer);
        }
        if *is_nmi_blocked {
            self.block_nmis_again(vmcs);
        }
        if *has_pending_step {
            vmcs.write(fields::GUEST_PENDING_DEBUG, PENDING_SINGLE_STEP);
        }
        Ok(())
    }

    fn has_page_directory_pointers(&self) -> bool {
        let paging = self.paging();
        paging.cr0 & Cr0::PAGING.bits() != 0
            && paging.cr4 & Cr4::PHYSICAL_ADDRESS_EXTENSION.bits() != 0
            && paging.efer & Efer::LONG_MODE_ACTIVE.bits() == 0
    }

    /// Returns the event that waits for the next entry; INT n and its like do not wait, since RIP
    /// still points at them.
    fn queued_event(&self, vmcs: Loaded) -> Option<Event> {
        if !self.is_queued {
            return None;
        }
        let event = Interruption(vmcs.read(fields::ENTRY_INTERRUPTION_INFO));
        let vector = Vector(event.vector());
        match event.kind() {
            InterruptionKind::External => Some(Event::Interrupt(vector)),
            InterruptionKind::Nmi => Some(Event::Nmi),
            InterruptionKind::HardwareException => Some(Event::Exception(Fault {
                exception: Exception::from_vector(vector)?,
                error_code: event
                    .has_error_code()
                    .then(|| vmcs.read(fields::ENTRY_EXCEPTION_ERROR)),
                // CR2 has it already.
                address: None,
            })),
            InterruptionKind::SoftwareInterrupt
            | InterruptionKind::PrivilegedSoftwareException
            | InterruptionKind::SoftwareException
            | InterruptionKind::Other => None,
        }
    }
}
