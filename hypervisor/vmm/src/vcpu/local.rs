//! Private devices of one vCPU, which nothing else touches: its local APIC, its MSRs, its
//! paravirtual clock.

use crate::vcpu::kvm_steal::{SavedSteal, StealTime};
use crate::vcpu::stats::Waiting;
use addr::Gpa;
use chipset::{LocalApic, LocalApicState};
use cpu_model::{CpuModel, Dynamic, MsrFile};
use device::{Device, Persist};
use serde::{Deserialize, Serialize};
use time::Instant;
use vcpu::{BadState, Vcpu};

/// The vCPU-private devices.
pub(crate) struct Local {
    pub(crate) apic: LocalApic,
    pub(crate) msrs: MsrFile,
    /// MSR_KVM_SYSTEM_TIME_NEW.
    pub(crate) system_time_msr: u64,
    /// Version of the record there.
    pub(crate) system_time_version: u32,
    /// MSR_KVM_WALL_CLOCK_NEW.
    pub(crate) wall_clock_msr: u64,
    /// MSR_KVM_STEAL_TIME and its record.
    pub(crate) steal: StealTime,
    /// Guest TSC minus host TSC, modulo 2^64.
    pub(crate) tsc_offset: u64,
    /// Host time minus its VM's time; see [`VmClock`](board::VmClock).
    pub(crate) behind_ns: u64,
    /// True if the timer's deadline may have changed since the alarm was set.
    pub(crate) has_moved_timer: bool,
}

/// Saved state of a vCPU's private devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedLocal {
    apic: LocalApicState,
    msrs: MsrFile,
    system_time_msr: u64,
    system_time_version: u32,
    wall_clock_msr: u64,
    steal: SavedSteal,
}

impl SavedLocal {
    /// Checks that vCPU `id` of a VM with this model can have been in this state.
    pub(crate) fn check(&self, id: u32, model: &CpuModel) -> Result<(), BadState> {
        set_apic(&mut LocalApic::new(id, id == 0), &self.apic)?;
        if !model.fits(&self.msrs) {
            return Err(BadState("its MSRs are not those of this CPU"));
        }
        Ok(())
    }
}

/// Replaces the state of a local APIC, whose id and role stay.
fn set_apic(apic: &mut LocalApic, state: &LocalApicState) -> Result<(), BadState> {
    let set = apic.set_state(state.clone());
    set.map_err(|device::BadState(why)| BadState(why))
}

impl Local {
    /// The state after reset; `tsc_offset` makes the TSC start at zero.
    pub(crate) fn new(id: u32, model: &CpuModel, tsc_offset: u64) -> Self {
        let mut msrs = model.new_msr_file();
        model.set_mtrrs_as_firmware(&mut msrs);
        Self {
            apic: LocalApic::new(id, id == 0),
            msrs,
            system_time_msr: 0,
            system_time_version: 0,
            wall_clock_msr: 0,
            steal: StealTime::default(),
            tsc_offset,
            behind_ns: 0,
            has_moved_timer: true,
        }
    }

    /// Returns the state to save.
    pub(crate) fn save(&self) -> SavedLocal {
        let Self {
            apic,
            msrs,
            system_time_msr,
            system_time_version,
            wall_clock_msr,
            steal,
            // Made anew from the TSC's value and the VM's clock.
            tsc_offset: _,
            behind_ns: _,
            has_moved_timer: _,
        } = self;
        SavedLocal {
            apic: apic.state(),
            msrs: msrs.clone(),
            system_time_msr: *system_time_msr,
            system_time_version: *system_time_version,
            wall_clock_msr: *wall_clock_msr,
            steal: steal.save(),
        }
    }

    /// Takes what [`Local::save`] gave.
    ///
    /// # Errors
    /// [`BadState`] for a local APIC that no vCPU has; nothing has changed then.
    pub(crate) fn restore(
        &mut self,
        saved: &SavedLocal,
        tsc_offset: u64,
        behind_ns: u64,
    ) -> Result<(), BadState> {
        let SavedLocal {
            apic,
            msrs,
            system_time_msr,
            system_time_version,
            wall_clock_msr,
            steal,
        } = saved;
        set_apic(&mut self.apic, apic)?;
        *self = Self {
            apic: self.apic.clone(),
            msrs: msrs.clone(),
            system_time_msr: *system_time_msr,
            system_time_version: *system_time_version,
            wall_clock_msr: *wall_clock_msr,
            steal: StealTime::restored(*steal),
            tsc_offset,
            behind_ns,
            has_moved_timer: true,
        };
        Ok(())
    }

    /// The offset of `at` in the local APIC's page, while there is one.
    pub(crate) fn apic_offset(&self, at: Gpa) -> Option<u64> {
        let base = self.apic.window()?;
        at.offset_from(base)
            .filter(|offset| *offset < addr::PAGE_BYTES)
    }

    /// Returns whether an interrupt is pending, deliverable or not.
    #[inline]
    pub(crate) fn has_pending(&self) -> bool {
        self.apic.pending_summary().highest_requested.is_some()
    }

    /// Returns what the vCPU waits for.
    pub(crate) fn waiting(&self) -> Waiting {
        let summary = self.apic.pending_summary();
        Waiting {
            requested: summary.highest_requested.map_or(0, |vector| vector.0),
            in_service: summary.highest_in_service.map_or(0, |vector| vector.0),
            deadline_ns: self.apic.deadline().map_or(u64::MAX, Instant::as_ns),
        }
    }

    /// Returns the state on which the answer to CPUID depends beside the model.
    #[inline]
    pub(crate) fn cpuid_inputs(&self, backend: &impl Vcpu) -> Dynamic {
        Dynamic {
            apic_id: self.apic.id(),
            cr4: backend.paging().cr4,
            xcr0: backend.xcr0(),
            is_apic_enabled: self.apic.is_present(),
        }
    }
}
