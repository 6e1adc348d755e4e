//! The vCPU: the contract of [`::vcpu::Vcpu`] on a VMCS.

extern crate alloc;

use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;

use ::vcpu::{
    Activity, ArchState, BadState, Event, Exit, GuestMsr, HiddenState, InsnLen, NotNow, Paging,
    RawExit, STATUS_FLAGS, Vcpu,
};
use x86::{Cr0, Gpr, Segment, SegmentRegister, Vector};

use crate::controls::{primary, secondary};
use crate::cpu::VmxCpu;
use crate::decode::raw;
use crate::describe;
use crate::enter::Registers;
use crate::features::Features;
use crate::fields::{self, Field, ReadField};
use crate::live::Live;
use crate::priority::TaskPriority;
use crate::reason;
use crate::resident::resident;
use crate::state::{self, ControlMasks};
use crate::vmcs::{Loaded, Vmcs, invvpid};

/// Reason given for a guest in real mode on a CPU without unrestricted guest.
pub(crate) const NEEDS_REAL_MODE: &str = "guest runs without protected mode and paging, which this CPU cannot do (no unrestricted guest)";

/// A virtual CPU in VMX non-root operation. It never leaves the physical CPU it was made on.
pub struct VmxVcpu {
    pub(crate) registers: Registers,
    pub(crate) vmcs: Vmcs,
    pub(crate) live: Live,
    pub(crate) features: Features,
    pub(crate) masks: ControlMasks,
    /// The primary controls as the VMCS has them.
    pub(crate) primary: u32,
    /// The secondary controls likewise.
    pub(crate) secondary: u32,
    /// PAUSEs that exited, where the CPU does not count them.
    pub(crate) pauses: u32,
    /// The TPR threshold as the VMCS has it.
    pub(crate) threshold: u32,
    /// The priority class of the interrupt that waits for a window.
    pub(crate) window: Option<u8>,
    /// The VM-entry interruption information holds an event.
    pub(crate) is_queued: bool,
    pub(crate) cached: Cached,
    pub(crate) task_priority: TaskPriority,
    pub(crate) ept_pointer: u64,
    pub(crate) vpid: Option<u16>,
    pub(crate) home: u32,
    pub(crate) activity: Activity,
    /// The state cannot be run on this CPU, and why.
    pub(crate) refusal: Option<&'static str>,
}

/// Fields that are asked for more than once between two entries.
#[derive(Default)]
pub(crate) struct Cached {
    pub(crate) rip: Cell<Option<u64>>,
    pub(crate) rflags: Cell<Option<u64>>,
}

impl VmxVcpu {
    /// RFLAGS, read from the VMCS once between two entries.
    #[inline]
    pub(crate) fn cached_rflags(&self, vmcs: Loaded) -> u64 {
        read_once(&self.cached.rflags, vmcs, fields::GUEST_RFLAGS)
    }

    pub(crate) fn write_rflags(&self, vmcs: Loaded, rflags: u64) {
        vmcs.write(fields::GUEST_RFLAGS, rflags);
        self.cached.rflags.set(Some(rflags));
    }

    #[inline]
    fn cached_rip(&self, vmcs: Loaded) -> u64 {
        read_once(&self.cached.rip, vmcs, fields::GUEST_RIP)
    }

    #[inline]
    pub(crate) fn forget_cached(&self) {
        self.cached.rip.set(None);
        self.cached.rflags.set(None);
    }

    /// [`Vcpu::retire`].
    #[inline]
    pub(crate) fn retire_here(&self, vmcs: Loaded, len: InsnLen) {
        let from = self.cached_rip(vmcs);
        let mut rip = from.wrapping_add(u64::from(len.bytes()));
        // Only 64-bit code crosses 4 GiB; other code wraps around.
        if (from ^ rip) >> 32 != 0 {
            // CS.L alone does not make it 64-bit code: a guest may set it outside long mode, where the entry refuses a long RIP.
            if !state::paging(vmcs, &self.masks).is_64_bit() {
                rip &= 0xffff_ffff;
            }
        }
        vmcs.write(fields::GUEST_RIP, rip);
        self.cached.rip.set(Some(rip));
        self.end_shadow(vmcs);
        let rflags = self.cached_rflags(vmcs);
        if state::is_single_step(rflags, || vmcs.read(fields::GUEST_DEBUGCTL)) {
            let pending = vmcs.read(fields::GUEST_PENDING_DEBUG);
            vmcs.write(
                fields::GUEST_PENDING_DEBUG,
                pending | state::PENDING_SINGLE_STEP,
            );
        }
    }

    /// Drops the TLB's entries of this vCPU, after a change of registers that the CPU did not see.
    pub(crate) fn forget_translations(&self) {
        let Some(vpid) = self.vpid else {
            // Without a VPID, every entry does it.
            return;
        };
        let kind = if self.features.has_invvpid_single {
            1
        } else {
            2
        };
        // SAFETY: VMX is on, VPIDs are only used where INVVPID has one of the two types, and this one is not 0.
        unsafe { invvpid(kind, vpid) };
    }
}

#[inline]
fn read_once(cache: &Cell<Option<u64>>, vmcs: Loaded, field: Field<u64>) -> u64 {
    if let Some(value) = cache.get() {
        return value;
    }
    let value = vmcs.read(field);
    cache.set(Some(value));
    value
}

impl Vcpu for VmxVcpu {
    type Cpu = VmxCpu;

    // Called at one place, on the way of every exit.
    #[inline(always)]
    fn run(&mut self, cpu: &mut VmxCpu) -> Exit {
        debug_assert!(cpu.id() == self.home, "a vCPU runs on its home CPU");
        if let Some(name) = self.refusal {
            return Exit::Unexpected(RawExit {
                name,
                ..RawExit::default()
            });
        }
        self.activity = Activity::Running;
        let vmcs = self.vmcs.load();
        if !cpu.live.has(&self.live.0) {
            cpu.live.bring_in(&self.live.0);
        }
        if self.threshold != 0 {
            self.arm_window(vmcs);
        }
        self.next_exit(vmcs)
    }

    #[inline]
    fn gpr(&self, reg: Gpr) -> u64 {
        if reg == Gpr::Rsp {
            return self.vmcs.load().read(fields::GUEST_RSP);
        }
        self.registers.gpr[reg.index()]
    }

    #[inline]
    fn set_gpr(&mut self, reg: Gpr, value: u64) {
        if reg == Gpr::Rsp {
            self.vmcs.load().write(fields::GUEST_RSP, value);
        }
        self.registers.gpr[reg.index()] = value;
    }

    fn rip(&self) -> u64 {
        self.cached_rip(self.vmcs.load())
    }

    fn rflags(&self) -> u64 {
        self.cached_rflags(self.vmcs.load())
    }

    fn set_status_flags(&mut self, rflags: u64) {
        let vmcs = self.vmcs.load();
        let kept = self.cached_rflags(vmcs) & !STATUS_FLAGS;
        self.write_rflags(vmcs, kept | rflags & STATUS_FLAGS);
    }

    fn segment(&self, reg: SegmentRegister) -> Segment {
        state::segment(self.vmcs.load(), reg)
    }

    fn paging(&self) -> Paging {
        state::paging(self.vmcs.load(), &self.masks)
    }

    fn save(&self, state: &mut ArchState) {
        state.gpr = self.registers.gpr;
        state.cr8 = self.task_priority.class();
        state.activity = self.activity;
        self.live.save(state);
        state::save(self.vmcs.load(), &self.masks, state);
    }

    fn load(&mut self, state: &ArchState) {
        let vmcs = self.vmcs.load();
        self.registers.gpr = state.gpr;
        self.activity = state.activity;
        self.live.load(state);
        state::load(vmcs, &self.masks, state);
        self.forget_cached();
        vmcs.write(fields::ENTRY_INTERRUPTION_INFO, 0);
        self.is_queued = false;
        self.task_priority.set_class(state.cr8 & 15);
        self.cancel_interrupt_window();
        self.set_primary(vmcs, primary::NMI_WINDOW_EXITING, false);
        self.forget_translations();
        let modes = Cr0::PROTECTED_MODE_ENABLE.bits() | Cr0::PAGING.bits();
        let is_runnable = self.features.has_unrestricted_guest || state.cr0 & modes == modes;
        self.refusal = (!is_runnable).then_some(NEEDS_REAL_MODE);
    }

    fn reset_vector_state(&mut self) {
        self.live.0.reset_vector_state();
    }

    fn vector_image(&self) -> Vec<u8> {
        self.live.0.vector_image()
    }

    fn set_vector_image(&mut self, image: &[u8], allowed: u64) -> Result<(), BadState> {
        self.live
            .0
            .set_vector_image(image, allowed)
            .map_err(BadState)
    }

    fn hidden(&self) -> HiddenState {
        self.hidden_state()
    }

    fn set_hidden(&mut self, hidden: &HiddenState) -> Result<(), BadState> {
        self.set_hidden_state(hidden)
    }

    fn msr(&self, msr: GuestMsr) -> u64 {
        self.read_guest_msr(msr)
    }

    fn set_msr(&mut self, msr: GuestMsr, value: u64) {
        self.write_guest_msr(msr, value);
    }

    fn xcr0(&self) -> u64 {
        self.live.0.xcr0()
    }

    fn set_xcr0(&mut self, value: u64) {
        self.live.0.set_xcr0(value);
    }

    fn set_tsc_offset(&mut self, offset: u64) {
        self.vmcs.load().write(fields::TSC_OFFSET, offset);
    }

    fn task_priority(&self) -> u8 {
        self.task_priority.class()
    }

    fn set_task_priority(&mut self, class: u8) {
        self.task_priority.set_class(class & 15);
        if self.window.is_some() {
            self.arm_window(self.vmcs.load());
        }
    }

    #[inline]
    fn retire(&mut self, len: InsnLen) {
        self.retire_here(self.vmcs.load(), len);
    }

    fn set_pause_exits(&mut self, is_wanted: bool) {
        let vmcs = self.vmcs.load();
        if !self.features.has_pause_loop_exiting {
            self.set_primary(vmcs, primary::PAUSE_EXITING, is_wanted);
            return;
        }
        let value = if is_wanted {
            self.secondary | secondary::PAUSE_LOOP_EXITING
        } else {
            self.secondary & !secondary::PAUSE_LOOP_EXITING
        };
        if value != self.secondary {
            vmcs.write(fields::SECONDARY_CONTROLS, value);
            self.secondary = value;
        }
    }

    fn flush_translations(&mut self) {
        self.forget_translations();
    }

    fn inject(&mut self, event: Event) -> Result<(), NotNow> {
        self.queue(event)
    }

    fn has_queued_event(&self) -> bool {
        self.is_queued
    }

    fn accepts_interrupt(&self) -> bool {
        !self.is_queued && self.is_interruptible(self.vmcs.load())
    }

    fn await_interrupt_window(&mut self, vector: Vector) {
        self.window = Some(vector.class());
        self.arm_window(self.vmcs.load());
    }

    fn await_nmi_window(&mut self) {
        self.set_primary(self.vmcs.load(), primary::NMI_WINDOW_EXITING, true);
    }

    fn cancel_interrupt_window(&mut self) {
        self.window = None;
        self.arm_window(self.vmcs.load());
    }

    fn raw_exit(&self) -> RawExit {
        let vmcs = self.vmcs.load();
        let exit_reason = vmcs.read(fields::EXIT_REASON);
        raw(vmcs, reason::name(exit_reason as u16))
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        describe::describe(self.vmcs.load(), &self.registers.gpr, out)
    }
}

impl Drop for VmxVcpu {
    fn drop(&mut self) {
        if let Some(vpid) = self.vpid {
            self.forget_translations();
            resident(self.home).return_vpid(vpid);
        }
    }
}
