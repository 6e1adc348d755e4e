//! Setup of a new vCPU: its VMCS filled with everything that is not guest state.

use ::vcpu::{Activity, ArchState, Vcpu};
use addr::Hpa;
use host::{NoMemory, VcpuPlan};
use x86::Exception;

use crate::controls::secondary;
use crate::cpu::VmxCpu;
use crate::enter::Registers;
use crate::fields;
use crate::host_state;
use crate::live::Live;
use crate::priority::TaskPriority;
use crate::resident::resident;
use crate::state::ControlMasks;
use crate::vcpu::{Cached, VmxVcpu};
use crate::vmcs::Vmcs;

/// In TSC ticks: PAUSEs closer together than the gap belong to one spin loop, which exits after the window.
const PLE_GAP: u32 = 128;
const PLE_WINDOW: u32 = 4096;

impl VmxVcpu {
    /// A vCPU in its reset state, whose home is `cpu`. `slat_root` is the top EPT table of `plan.slat`.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn new<S>(
        cpu: &mut VmxCpu,
        plan: &VcpuPlan<'_, S>,
        slat_root: Hpa,
    ) -> Result<Self, NoMemory> {
        let features = *cpu.features();
        let home = cpu.id();
        let vmcs = Vmcs::new(features.revision, home)?;
        let task_priority = TaskPriority::new(features.has_tpr_shadow)?;
        // Nothing fails behind this, so that the number is given back by `drop`.
        let vpid = features
            .has_vpid
            .then(|| resident(home).take_vpid())
            .flatten();
        let mut vcpu = Self {
            registers: Registers::new(),
            vmcs,
            live: Live::new(),
            masks: ControlMasks::new(&features, plan.cr4_allowed),
            primary: features.controls.primary,
            features,
            secondary: 0,
            pauses: 0,
            threshold: 0,
            window: None,
            is_queued: false,
            cached: Cached::default(),
            task_priority,
            ept_pointer: ept_pointer(slat_root),
            vpid,
            home,
            activity: Activity::Running,
            refusal: None,
        };
        vcpu.fill(cpu);
        // Frame and VPID may have been another VM's.
        vcpu.flush_slat(cpu);
        vcpu.load(&ArchState::after_reset());
        Ok(vcpu)
    }

    /// Forgets translations of the VM's EPT tables: to be called on every home CPU of the VM when their generation changed.
    pub fn flush_slat(&self, cpu: &VmxCpu) {
        cpu.flush_ept(self.ept_pointer);
    }

    /// Everything in the VMCS that is not guest state.
    fn fill(&mut self, cpu: &VmxCpu) {
        let vmcs = self.vmcs.load();
        host_state::write(vmcs);
        let controls = &self.features.controls;
        vmcs.write(fields::PIN_CONTROLS, controls.pin);
        vmcs.write(fields::PRIMARY_CONTROLS, controls.primary);
        vmcs.write(fields::EXIT_CONTROLS, controls.exit);
        vmcs.write(fields::ENTRY_CONTROLS, controls.entry);
        // Off until it is asked for.
        let mut second = controls.secondary & !secondary::PAUSE_LOOP_EXITING;
        if let Some(vpid) = self.vpid {
            second |= secondary::ENABLE_VPID;
            vmcs.write(fields::VPID, vpid);
        }
        vmcs.write(fields::SECONDARY_CONTROLS, second);
        self.secondary = second;
        let intercepted = [
            Exception::Debug,
            Exception::AlignmentCheck,
            Exception::MachineCheck,
        ];
        let exceptions = intercepted
            .into_iter()
            .fold(0, |bits, exception| bits | 1 << exception.vector().0);
        vmcs.write(fields::EXCEPTION_BITMAP, exceptions);
        vmcs.write(fields::PAGE_FAULT_MASK, 0);
        vmcs.write(fields::PAGE_FAULT_MATCH, 0);
        vmcs.write(fields::CR3_TARGET_COUNT, 0);
        vmcs.write(fields::EXIT_MSR_STORE_COUNT, 0);
        vmcs.write(fields::EXIT_MSR_LOAD_COUNT, 0);
        vmcs.write(fields::ENTRY_MSR_LOAD_COUNT, 0);
        vmcs.write(fields::ENTRY_INTERRUPTION_INFO, 0);
        vmcs.write(fields::VMCS_LINK, u64::MAX);
        vmcs.write(fields::CR0_MASK, self.masks.cr0);
        vmcs.write(fields::CR4_MASK, self.masks.cr4);
        let bitmaps = cpu.bitmaps();
        vmcs.write(fields::MSR_BITMAP, bitmaps.msr.raw());
        vmcs.write(fields::IO_BITMAP_A, bitmaps.io.raw());
        vmcs.write(
            fields::IO_BITMAP_B,
            bitmaps.io.wrapping_add(addr::PAGE_BYTES).raw(),
        );
        vmcs.write(fields::EPT_POINTER, self.ept_pointer);
        vmcs.write(fields::TSC_OFFSET, 0);
        if let Some(page) = self.task_priority.page() {
            vmcs.write(fields::VIRTUAL_APIC, page.raw());
            vmcs.write(fields::TPR_THRESHOLD, 0);
        }
        if self.features.has_pause_loop_exiting {
            vmcs.write(fields::PLE_GAP, PLE_GAP);
            vmcs.write(fields::PLE_WINDOW, PLE_WINDOW);
        }
        if self.features.has_xsaves {
            vmcs.write(fields::XSS_EXITING_BITMAP, 0);
        }
        if self.features.has_encls_exiting {
            vmcs.write(fields::ENCLS_EXITING_BITMAP, u64::MAX);
        }
    }
}

/// Write-back tables, four levels. (Intel SDM vol. 3C 25.6.11)
///
/// Accessed and dirty flags stay off: nobody reads them, and with them on the CPU would treat its walks of the guest's tables as
/// writes, which fault when firmware keeps those tables in ROM.
const fn ept_pointer(root: Hpa) -> u64 {
    const WRITE_BACK: u64 = 6;
    const FOUR_LEVELS: u64 = 3 << 3;
    root.raw() | WRITE_BACK | FOUR_LEVELS
}
