//! MSR accesses that exit: whom the CPU model names, answers.

use crate::vcpu::VirtualCpu;
use crate::vcpu::kvm_clock;
use addr::Gpa;
use chipset::LocalApic;
use cpu_model::{KvmMsr, MsrRead, MsrWrite};
use device::Device;
use host::Host;
use time::Instant;
use vcpu::Vcpu;
use x86::{GeneralProtection, msr};

/// The task-priority register, among the x2APIC's. (Intel SDM vol. 3A 11.12.1.2)
const TASK_PRIORITY: u8 = 8;
/// Set in the KVM clock's MSR while the clock is on.
const CLOCK_ENABLED: u64 = 1;

impl<H: Host> VirtualCpu<H> {
    /// RDMSR.
    pub(crate) fn read_msr(&mut self, index: u32) -> Result<u64, GeneralProtection> {
        match self.vm.model().read_msr(&self.local.msrs, index) {
            MsrRead::Value(value) => Ok(value),
            MsrRead::Denied => Err(GeneralProtection),
            MsrRead::Guest(msr) => Ok(self.backend.msr(msr)),
            MsrRead::X2Apic(_) => {
                self.local.apic.advance(self.now());
                let priority = self.backend.task_priority();
                self.local.apic.set_task_priority(priority);
                self.local.apic.read_msr(index)
            }
            MsrRead::ApicBase => self.local.apic.read_msr(msr::IA32_APIC_BASE),
            MsrRead::TscDeadline => Ok(self.local.apic.tsc_deadline()),
            MsrRead::Tsc => Ok(self.guest_tsc()),
            MsrRead::Kvm(KvmMsr::SystemTime) => Ok(self.local.system_time_msr),
            MsrRead::Kvm(KvmMsr::StealTime) => Ok(self.local.steal.msr),
            MsrRead::Kvm(KvmMsr::WallClock) => Ok(self.local.wall_clock_msr),
        }
    }

    /// WRMSR.
    pub(crate) fn write_msr(&mut self, index: u32, value: u64) -> Result<(), GeneralProtection> {
        let backend = &self.backend;
        let paging = || backend.paging();
        let model = self.vm.model();
        match model.write_msr(&mut self.local.msrs, index, value, paging) {
            MsrWrite::Done => {}
            MsrWrite::Denied => return Err(GeneralProtection),
            MsrWrite::Guest(msr, value) => self.backend.set_msr(msr, value),
            MsrWrite::X2Apic(register, value) if LocalApic::only_delivers(register) => {
                self.local.apic.write_msr(index, value)?;
                self.after_delivery();
            }
            MsrWrite::X2Apic(register, value) => {
                self.local.apic.advance(self.now());
                self.local.apic.write_msr(index, value)?;
                if register == TASK_PRIORITY {
                    let priority = self.local.apic.task_priority();
                    self.backend.set_task_priority(priority);
                }
                self.after_apic();
            }
            MsrWrite::ApicBase(value) => {
                // An address past the last physical one has reserved bits. (Intel SDM vol. 3A 11.4.4)
                if value >> model.physical_bits() != 0 {
                    return Err(GeneralProtection);
                }
                self.local.apic.write_msr(msr::IA32_APIC_BASE, value)?;
                self.after_apic();
            }
            MsrWrite::TscDeadline(value) => self.set_tsc_deadline(value),
            MsrWrite::Tsc(value) => {
                let by = value.wrapping_sub(self.guest_tsc());
                self.local.msrs.note_tsc_moved(by);
                self.move_tsc(by);
            }
            MsrWrite::MoveTsc(by) => self.move_tsc(by),
            MsrWrite::Kvm(KvmMsr::SystemTime, value) => {
                self.local.system_time_msr = value;
                self.write_system_time();
            }
            MsrWrite::Kvm(KvmMsr::StealTime, value) => {
                self.local.steal.set(value, self.vm.ram());
            }
            MsrWrite::Kvm(KvmMsr::WallClock, value) => {
                self.local.wall_clock_msr = value;
                self.write_wall_clock();
            }
        }
        Ok(())
    }

    fn move_tsc(&mut self, by: u64) {
        self.local.tsc_offset = self.local.tsc_offset.wrapping_add(by);
        self.backend.set_tsc_offset(self.local.tsc_offset);
        // The deadline is a value of the guest's TSC: it comes nearer or moves away.
        let deadline = self.local.apic.tsc_deadline();
        if deadline != 0 {
            self.set_tsc_deadline(deadline);
        }
        self.write_system_time();
    }

    fn write_system_time(&mut self) {
        let value = self.local.system_time_msr;
        if value & CLOCK_ENABLED == 0 {
            return;
        }
        let at = Gpa::new(value & !CLOCK_ENABLED);
        let ns = self.now().since_ns(self.vm.started());
        let tsc = self.guest_tsc();
        // A guest that names no RAM gets no clock.
        let version = &mut self.local.system_time_version;
        let _ =
            kvm_clock::write_system_time(self.vm.ram(), at, version, self.host.clock(), tsc, ns);
    }

    fn write_wall_clock(&self) {
        let at = Gpa::new(self.local.wall_clock_msr);
        let start_ns = self
            .host
            .wall_clock_at_start()
            .saturating_mul(1_000_000_000);
        let ns = start_ns.saturating_add(self.vm.started_host().as_ns());
        // A guest that names no RAM gets no clock.
        let _ = kvm_clock::write_wall_clock(self.vm.ram(), at, ns);
    }

    /// The guest's TSC now, to the precision of the clock.
    fn guest_tsc(&self) -> u64 {
        let clock = self.host.clock();
        clock
            .tsc(self.host.now())
            .wrapping_add(self.local.tsc_offset)
    }

    #[inline]
    fn set_tsc_deadline(&mut self, value: u64) {
        let at = (value != 0).then(|| self.instant_of(value));
        self.local.apic.write_tsc_deadline(value, at);
        self.local.has_moved_timer = true;
    }

    /// When the guest's TSC has this value; at once, when it has passed it.
    fn instant_of(&self, guest_tsc: u64) -> Instant {
        let ahead = guest_tsc.wrapping_sub(self.guest_tsc());
        if ahead > u64::MAX / 2 {
            return self.now();
        }
        let host_tsc = guest_tsc.wrapping_sub(self.local.tsc_offset);
        let host = self.host.clock().instant(host_tsc);
        Instant::from_ns(host.as_ns().wrapping_sub(self.local.behind_ns))
    }

    /// Carries outward what the local APIC has to say after an access.
    #[inline]
    pub(crate) fn after_apic(&mut self) {
        self.local.has_moved_timer = true;
        self.after_delivery();
        self.mailbox().publish(self.local.apic.addressing());
    }

    /// As [`Self::after_apic`], when neither the timer nor the addresses can have changed.
    #[inline]
    fn after_delivery(&mut self) {
        while let Some(vector) = self.local.apic.take_eoi() {
            self.vm.fabric().end_of_interrupt(vector);
        }
        while let Some(ipi) = self.local.apic.take_ipi() {
            self.vm.cpus().send(self.id, &ipi);
        }
    }
}
