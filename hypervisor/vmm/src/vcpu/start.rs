//! State of a vCPU when its VM begins, and after INIT.

use crate::vcpu::VirtualCpu;
use crate::vcpu::local::Local;
use host::Host;
use vcpu::{Activity, ArchState, Vcpu};

impl<H: Host> VirtualCpu<H> {
    /// The VM begins: the start state.
    pub(crate) fn start(&mut self) {
        self.local = Local::new(self.id as u32, self.vm.model(), self.vm.tsc_offset());
        self.local.behind_ns = self.vm.clock().behind_ns();
        self.backend.reset_vector_state();
        let mut state = ArchState::after_reset();
        if self.id == 0 {
            state = self.vm.start_state();
            // A kernel that is started directly expects what firmware leaves.
            self.local.apic.enter_virtual_wire();
        } else {
            state.after_init();
            self.sign(&mut state);
        }
        self.activity = state.activity;
        self.backend.load(&state);
        self.backend.set_tsc_offset(self.local.tsc_offset);
        self.mailbox().publish(self.local.apic.addressing());
        self.was_kicked = false;
        self.has_nmi = false;
        self.has_window = false;
        self.exits_at_restore = None;
    }

    /// INIT: the architectural state and the local APIC start anew, x87 and AVX state stay.
    pub(crate) fn initialize(&mut self) {
        let mut state = ArchState::after_reset();
        self.backend.save(&mut state);
        state.after_init();
        self.sign(&mut state);
        self.backend.load(&state);
        self.local.apic.init();
        self.mailbox().publish(self.local.apic.addressing());
        self.activity = Activity::WaitForSipi;
        self.was_kicked = false;
        self.has_nmi = false;
        self.has_window = false;
    }

    /// Puts into EDX what CPUID says of family, model and stepping, as reset and INIT do. (Intel SDM vol. 3A 10.1.1, table 10-1)
    fn sign(&self, state: &mut ArchState) {
        let inputs = || self.local.cpuid_inputs(&self.backend);
        let signature = self.vm.model().cpuid(1, 0, inputs).eax;
        *x86::Gpr::Rdx.of_mut(&mut state.gpr) = signature.into();
    }
}
