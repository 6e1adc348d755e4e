//! Non-architectural vCPU state (interruptibility, pending events), for a saved state. (AMD APM
//! vol. 2 15.20, 15.21)

use vcpu::{BadState, Event, HiddenState, NotNow};
use x86::{Exception, Fault, Rflags, Vector};

use crate::SvmVcpu;
use crate::event::{HAS_ERROR_CODE, Nmi, TYPE, TYPE_EXCEPTION, TYPE_INTERRUPT, TYPE_NMI};
use crate::vmcb::intercept;

impl SvmVcpu {
    /// [`::vcpu::Vcpu::hidden`]. Nested paging reads the page-directory pointers anew whenever it needs them.
    /// (AMD APM vol. 2 15.25.10)
    pub(crate) fn hidden_state(&self) -> HiddenState {
        let queued = self.queued_event();
        let is_blocked = match self.nmi {
            Nmi::Open => false,
            Nmi::InHandler => true,
            Nmi::Returning { rip } => rip == self.vmcb.save.rip,
        };
        HiddenState {
            queued,
            // Delivery blocks them; to queue it again they must be open.
            is_nmi_blocked: is_blocked && queued != Some(Event::Nmi),
            has_pending_step: false,
            page_directory_pointers: None,
        }
    }

    /// [`::vcpu::Vcpu::set_hidden`].
    pub(crate) fn set_hidden_state(&mut self, hidden: &HiddenState) -> Result<(), BadState> {
        let HiddenState {
            queued,
            is_nmi_blocked,
            has_pending_step,
            page_directory_pointers: _,
        } = hidden;
        let step = has_pending_step.then_some(Event::Exception(Fault {
            exception: Exception::Debug,
            error_code: None,
            address: None,
        }));
        if let Some(event) = queued.or(step) {
            self.queue(event)
                .map_err(|NotNow| BadState("the queued event cannot be delivered"))?;
        }
        if *is_nmi_blocked {
            self.nmi = Nmi::InHandler;
            self.intercept1(intercept::IRET, true);
        }
        Ok(())
    }

    /// RFLAGS without a trap flag of our own.
    pub(crate) fn own_rflags(&self) -> u64 {
        let rflags = self.vmcb.save.rflags;
        if self.is_stepping_for_us() {
            rflags & !Rflags::TRAP_FLAG.bits()
        } else {
            rflags
        }
    }

    fn queued_event(&self) -> Option<Event> {
        if !self.has_event() {
            return None;
        }
        let event = self.vmcb.control.event;
        let vector = Vector(event as u8);
        match event & TYPE {
            TYPE_INTERRUPT => Some(Event::Interrupt(vector)),
            TYPE_NMI => Some(Event::Nmi),
            TYPE_EXCEPTION => Some(Event::Exception(Fault {
                exception: Exception::from_vector(vector)?,
                error_code: (event & HAS_ERROR_CODE != 0).then_some((event >> 32) as u32),
                // CR2 has it already.
                address: None,
            })),
            _ => None,
        }
    }
}
