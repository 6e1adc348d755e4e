//! The vCPU: its parts, how it is made, and the [`Vcpu`] contract.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use ::cpu::LiveRegisters;
use ::vcpu::{
    ArchState, BadState, Event, Exit, GuestMsr, HiddenState, InsnLen, NotNow, Paging, RawExit,
    STATUS_FLAGS, Vcpu,
};
use addr::Hpa;
use host::NoMemory;
use x86::{Gpr, Rflags, Segment, SegmentRegister, Vector};

use crate::asid::Asid;
use crate::code::{CodePages, NestedMemory};
use crate::cpu::SvmCpu;
use crate::enter::GuestRegisters;
use crate::event::{Nmi, Step};
use crate::exit_code;
use crate::features::Features;
use crate::vmcb::{VmcbPage, clean, intercept, interrupt};

/// A virtual CPU.
pub struct SvmVcpu {
    pub(crate) vmcb: VmcbPage,
    pub(crate) registers: GuestRegisters,
    pub(crate) features: Features,
    pub(crate) code_pages: CodePages,
    /// The interrupt window that was asked for.
    pub(crate) window: Option<Vector>,
    pub(crate) nmi: Nmi,
    pub(crate) nmi_window: bool,
    pub(crate) step: Option<Step>,
    /// The VM's memory, for reading code.
    pub(crate) memory: NestedMemory,
    pub(crate) live: Arc<LiveRegisters>,
    /// The CPU this ran on last; its ASID and clean bits mean nothing on another one.
    pub(crate) home: Option<u32>,
    /// Clean bits for the next entry if nothing changes before it: what the CPU may take from its
    /// cache of the VMCB.
    pub(crate) clean_after_exit: u32,
    pub(crate) asid: Asid,
    /// PAUSEs that exited, where the CPU does not count them.
    pub(crate) pauses: u32,
    /// Reason for which VMRUN will refuse the state that was loaded last.
    pub(crate) predicted_refusal: Option<&'static str>,
    pub(crate) cr4_allowed: u64,
    /// DEBUGCTL as the guest wrote it: without LBR virtualization it is not the CPU's.
    pub(crate) debugctl: u64,
}

// SAFETY: it owns its VMCB and shares `live`, which is locked; the code page's pointer is into the VM's RAM, which any CPU
// may read.
unsafe impl Send for SvmVcpu {}

impl SvmVcpu {
    /// A vCPU in its reset state.
    ///
    /// `nested_cr3` is the root of the VM's nested tables, `cr4_allowed` the bits of CR4 a guest may set: at most what the CPU
    /// has.
    ///
    /// # Errors
    /// [`NoMemory`].
    ///
    /// # Safety
    /// The nested tables have four levels and map RAM of this VM only. Tables and RAM stay where they are as long as the vCPU
    /// exists; where a mapping is narrowed, [`SvmVcpu::forget_translations`] is called before the next entry and before the
    /// memory finds another use.
    pub unsafe fn new(cpu: &SvmCpu, nested_cr3: Hpa, cr4_allowed: u64) -> Result<Self, NoMemory> {
        // SAFETY: the caller's promise.
        let memory = unsafe { NestedMemory::new(nested_cr3) };
        let mut vcpu = Self {
            vmcb: VmcbPage::new()?,
            registers: GuestRegisters([0; 16]),
            features: cpu.features,
            code_pages: CodePages::NONE,
            window: None,
            nmi: Nmi::Open,
            nmi_window: false,
            step: None,
            memory,
            live: LiveRegisters::new(()),
            home: None,
            clean_after_exit: if cpu.features.clean_bits {
                clean::ALL
            } else {
                0
            },
            asid: Asid::default(),
            pauses: 0,
            predicted_refusal: None,
            cr4_allowed,
            debugctl: 0,
        };
        vcpu.set_controls(cpu);
        vcpu.load(&ArchState::after_reset());
        Ok(vcpu)
    }

    /// Returns whether the guest executes 64-bit code.
    #[inline]
    pub(crate) fn is_64_bit(&self) -> bool {
        let save = &self.vmcb.save;
        let is_long = save.efer & x86::Efer::LONG_MODE_ACTIVE.bits() != 0;
        is_long
            && save.segment[SegmentRegister::Cs as usize].attributes & x86::Attributes::LONG != 0
    }
}

impl Vcpu for SvmVcpu {
    type Cpu = SvmCpu;

    // Called at one place, on the way of every exit.
    #[inline(always)]
    fn run(&mut self, cpu: &mut SvmCpu) -> Exit {
        if !cpu.live.has(&self.live) {
            self.switch_in(cpu);
        }
        self.next_exit(cpu)
    }

    #[inline]
    fn gpr(&self, reg: Gpr) -> u64 {
        match reg {
            Gpr::Rax => self.vmcb.save.rax,
            Gpr::Rsp => self.vmcb.save.rsp,
            _ => self.registers.0[reg.index()],
        }
    }

    #[inline]
    fn set_gpr(&mut self, reg: Gpr, value: u64) {
        match reg {
            Gpr::Rax => self.vmcb.save.rax = value,
            Gpr::Rsp => self.vmcb.save.rsp = value,
            _ => self.registers.0[reg.index()] = value,
        }
    }

    #[inline]
    fn rip(&self) -> u64 {
        self.vmcb.save.rip
    }

    #[inline]
    fn rflags(&self) -> u64 {
        self.vmcb.save.rflags
    }

    fn set_status_flags(&mut self, rflags: u64) {
        let own = &mut self.vmcb.save.rflags;
        *own = (*own & !STATUS_FLAGS) | (rflags & STATUS_FLAGS);
    }

    fn segment(&self, reg: SegmentRegister) -> Segment {
        self.vmcb.save.segment[reg as usize].into()
    }

    fn paging(&self) -> Paging {
        let save = &self.vmcb.save;
        Paging {
            cr0: save.cr0,
            cr3: save.cr3,
            cr4: save.cr4,
            efer: self.msr(GuestMsr::Efer),
            rflags: save.rflags,
            cpl: save.cpl,
            cs: self.segment(SegmentRegister::Cs),
            rip: save.rip,
        }
    }

    fn save(&self, state: &mut ArchState) {
        self.save_state(state);
    }

    fn load(&mut self, state: &ArchState) {
        self.load_state(state);
    }

    fn reset_vector_state(&mut self) {
        self.live.reset_vector_state();
    }

    fn vector_image(&self) -> Vec<u8> {
        self.live.vector_image()
    }

    fn set_vector_image(&mut self, image: &[u8], allowed: u64) -> Result<(), BadState> {
        self.live.set_vector_image(image, allowed).map_err(BadState)
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
        self.live.xcr0()
    }

    fn set_xcr0(&mut self, value: u64) {
        self.live.set_xcr0(value);
    }

    fn set_tsc_offset(&mut self, offset: u64) {
        let control = &mut self.vmcb.control;
        control.tsc_offset = offset;
        control.clean &= !clean::INTERCEPTS;
    }

    #[inline]
    fn task_priority(&self) -> u8 {
        (self.vmcb.control.interrupt & interrupt::TPR) as u8
    }

    fn set_task_priority(&mut self, class: u8) {
        let control = &mut self.vmcb.control;
        let tpr = u32::from(class) & interrupt::TPR;
        if control.interrupt & interrupt::TPR == tpr {
            return;
        }
        control.interrupt = (control.interrupt & !interrupt::TPR) | tpr;
        control.clean &= !clean::INTERRUPT;
        if self.window.is_some() {
            self.arm_window();
        }
    }

    #[inline]
    fn retire(&mut self, len: InsnLen) {
        let is_64_bit = self.is_64_bit();
        let save = &mut self.vmcb.save;
        let next = save.rip.wrapping_add(u64::from(len.bytes()));
        let cs = &save.segment[SegmentRegister::Cs as usize];
        save.rip = if is_64_bit {
            next
        } else if cs.attributes & x86::Attributes::DEFAULT_BIG != 0 {
            next & 0xffff_ffff
        } else {
            next & 0xffff
        };
        let is_flagged = save.rflags & (Rflags::TRAP_FLAG | Rflags::RESUME_FLAG).bits() != 0;
        self.vmcb.control.interrupt_shadow = 0;
        if is_flagged {
            self.finish_flags();
        }
    }

    fn set_pause_exits(&mut self, is_wanted: bool) {
        let control = &mut self.vmcb.control;
        let others = control.instructions1 & !intercept::PAUSE;
        let value = others | if is_wanted { intercept::PAUSE } else { 0 };
        if value != control.instructions1 {
            control.instructions1 = value;
            control.clean &= !clean::INTERCEPTS;
        }
    }

    fn flush_translations(&mut self) {
        self.forget_translations();
    }

    #[inline]
    fn inject(&mut self, event: Event) -> Result<(), NotNow> {
        self.queue(event)
    }

    #[inline]
    fn has_queued_event(&self) -> bool {
        self.has_event()
    }

    #[inline]
    fn accepts_interrupt(&self) -> bool {
        self.takes_interrupt()
    }

    fn await_interrupt_window(&mut self, vector: Vector) {
        self.ask_window(vector);
    }

    fn await_nmi_window(&mut self) {
        self.ask_nmi_window();
    }

    #[inline]
    fn cancel_interrupt_window(&mut self) {
        self.drop_window();
    }

    fn raw_exit(&self) -> RawExit {
        let control = &self.vmcb.control;
        RawExit {
            code: control.exit_code,
            info1: control.exit_info1,
            info2: control.exit_info2,
            name: exit_code::name(control.exit_code),
        }
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        self.describe_all(out)
    }
}
