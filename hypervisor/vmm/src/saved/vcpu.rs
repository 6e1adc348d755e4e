//! Saved state of a vCPU.

use crate::vcpu::VirtualCpu;
use crate::vcpu::local::SavedLocal;
use alloc::vec::Vec;
use board::{SavedMail, StopReason};
use cpu_model::CpuModel;
use device::State;
use host::Host;
use serde::{Deserialize, Serialize};
use vcpu::{Activity, ArchState, BadState, HiddenState, Vcpu};

/// One vCPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedVcpu {
    state: ArchState,
    hidden: HiddenState,
    vector: Vec<u8>,
    local: SavedLocal,
    /// Its TSC at the time of the pause.
    pub(super) tsc: u64,
    has_nmi: bool,
    was_kicked: bool,
    pub(super) mail: SavedMail,
}

impl State for SavedVcpu {}

impl SavedVcpu {
    /// Checks whether vCPU `id` of a VM with this model can have been so.
    pub(super) fn check(&self, id: u32, model: &CpuModel) -> Result<(), BadState> {
        model.check_state(&self.state)?;
        if id == 0 && self.state.activity == Activity::WaitForSipi {
            return Err(BadState("the boot processor waits to be started"));
        }
        self.local.check(id, model)
    }
}

impl<H: Host> VirtualCpu<H> {
    /// Its state while it holds still. The TSC's part of it is what it is ahead of the host's.
    pub(crate) fn save(&self) -> SavedVcpu {
        let mut state = ArchState::after_reset();
        self.backend.save(&mut state);
        state.activity = self.activity;
        SavedVcpu {
            state,
            hidden: self.backend.hidden(),
            vector: self.backend.vector_image(),
            local: self.local.save(),
            tsc: self.local.tsc_offset,
            has_nmi: self.has_nmi,
            was_kicked: self.was_kicked,
            mail: SavedMail::default(),
        }
    }

    /// Takes what [`Vm::restore`](crate::vm::Vm::restore) has left for it, and holds still.
    pub(crate) fn restore(&mut self) {
        let held = self.vm.held.get(self.id);
        let saved = held.and_then(|held| held.lock().take());
        let restored = match saved {
            Some(saved) => self.take_over(&saved),
            None => Err(BadState("there is none")),
        };
        if let Err(BadState(why)) = restored {
            self.vm.lifecycle().end(StopReason::BadSavedState { why });
        }
    }

    fn take_over(&mut self, saved: &SavedVcpu) -> Result<(), BadState> {
        let SavedVcpu {
            state,
            hidden,
            vector,
            local,
            tsc,
            has_nmi,
            was_kicked,
            mail: _,
        } = saved;
        let allowed = self.vm.model().xcr0_allowed();
        self.backend.set_vector_image(vector, allowed)?;
        self.backend.load(state);
        self.backend.set_hidden(hidden)?;
        let tsc_offset = tsc.wrapping_sub(self.vm.paused_tsc());
        let behind_ns = self.vm.clock().behind_ns();
        self.local.restore(local, tsc_offset, behind_ns)?;
        self.backend.set_tsc_offset(tsc_offset);
        self.mailbox().publish(self.local.apic.addressing());
        self.activity = state.activity;
        self.has_nmi = *has_nmi;
        self.was_kicked = *was_kicked;
        self.has_window = false;
        self.exits_at_restore = Some(self.stats.total_exits());
        Ok(())
    }

    /// Returns whether the state that was restored has never been entered with success.
    pub(crate) fn is_unproven(&self) -> bool {
        // The refusal itself is counted.
        self.exits_at_restore
            .is_some_and(|before| self.stats.total_exits() <= before + 1)
    }
}
