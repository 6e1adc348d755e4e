//! The vCPU: its parts, how it is made, and the [`Vcpu`] contract.

use alloc::sync::Arc;
use core::fmt;

use ::vcpu::{ArchState, Event, Exit, GuestMsr, InsnLen, NotNow, Paging, RawExit, Vcpu};
use addr::Hpa;
use host::NoMemory;
use x86::{Gpr, Rflags, Segment, SegmentRegister, Vector};

use crate::asid::Asid;
use crate::code::{CodePage, NestedMemory};
use crate::consistency;
use crate::cpu::SvmCpu;
use crate::enter::{GuestRegisters, enter};
use crate::event::{Nmi, Step};
use crate::exit_code;
use crate::features::Features;
use crate::live::Live;
use crate::vmcb::{VmcbPage, clean, intercept, interrupt, tlb};

/// What exits always: physical events, what would change the hypervisor's machine, and what the VMM answers.
///
/// Not intercepted: RDTSC and RDTSCP (the offset serves), INVLPG and CR3 (nested paging serves), CR0 (the guest's own),
/// task switches, and FERR_FREEZE, from which a physical interrupt brings the CPU back.
const INSTRUCTIONS1: u32 = intercept::INTR
    | intercept::NMI
    | intercept::SMI
    | intercept::INIT
    | intercept::RDPMC
    | intercept::CPUID
    | intercept::RSM
    | intercept::INVD
    | intercept::HLT
    | intercept::INVLPGA
    | intercept::IOIO
    | intercept::MSR
    | intercept::SHUTDOWN;
const INSTRUCTIONS2: u32 = intercept::VMRUN
    | intercept::VMMCALL
    | intercept::VMLOAD
    | intercept::VMSAVE
    | intercept::STGI
    | intercept::CLGI
    | intercept::SKINIT
    | intercept::WBINVD
    | intercept::MONITOR
    | intercept::MWAIT;
/// #DB and #AC, whose delivery can raise them again without end (CVE-2015-8104, CVE-2015-5307), and #MC, which is the host's.
const EXCEPTIONS: u32 = 1 << 1 | 1 << 17 | 1 << 18;
/// PAUSEs until an exit, with the pause filter.
const PAUSE_COUNT: u16 = 3000;
/// Cycles between two PAUSEs after which the count starts again.
const PAUSE_THRESHOLD: u16 = 128;

/// RFLAGS: CF, PF, AF, ZF, SF, DF, OF.
const STATUS_FLAGS: u64 = 0xcd5;

/// A virtual CPU.
pub struct SvmVcpu {
    pub(crate) vmcb: VmcbPage,
    pub(crate) registers: GuestRegisters,
    pub(crate) features: Features,
    pub(crate) code_page: CodePage,
    /// The interrupt window that was asked for.
    pub(crate) window: Option<Vector>,
    pub(crate) nmi: Nmi,
    pub(crate) nmi_window: bool,
    pub(crate) step: Option<Step>,
    /// The VM's memory, for reading code.
    pub(crate) memory: NestedMemory,
    pub(crate) live: Arc<Live>,
    /// The CPU this ran on last; its ASID and clean bits mean nothing on another one.
    home: Option<u32>,
    /// What may be taken from the CPU's cache of the VMCB if nothing is changed before the next entry.
    pub(crate) clean_after_exit: u32,
    asid: Asid,
    /// What VMRUN will not like about the state that was loaded last.
    pub(crate) foreseen: Option<&'static str>,
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
    /// exists; where a mapping is narrowed, [`SvmVcpu::flush_translations`] is called before the next entry and before the
    /// memory finds another use.
    pub unsafe fn new(cpu: &SvmCpu, nested_cr3: Hpa, cr4_allowed: u64) -> Result<Self, NoMemory> {
        // SAFETY: the caller's promise.
        let memory = unsafe { NestedMemory::new(nested_cr3) };
        let mut vcpu = Self {
            vmcb: VmcbPage::new()?,
            registers: GuestRegisters([0; 16]),
            features: cpu.features,
            code_page: CodePage::NONE,
            window: None,
            nmi: Nmi::Open,
            nmi_window: false,
            step: None,
            memory,
            live: Arc::new(Live::new(cpu.features)),
            home: None,
            clean_after_exit: if cpu.features.clean_bits {
                clean::ALL
            } else {
                0
            },
            asid: Asid::default(),
            foreseen: None,
            cr4_allowed,
            debugctl: 0,
        };
        vcpu.set_controls(cpu);
        vcpu.load(&ArchState::after_reset());
        Ok(vcpu)
    }

    fn set_controls(&mut self, cpu: &SvmCpu) {
        let features = &self.features;
        let root = self.memory.root();
        let control = &mut self.vmcb.control;
        control.cr_writes = 1 << 4;
        control.exceptions = EXCEPTIONS;
        control.instructions1 = INSTRUCTIONS1;
        control.instructions2 = INSTRUCTIONS2;
        if features.xsave {
            control.instructions2 |= intercept::XSETBV;
        }
        if features.rdpru {
            control.instructions2 |= intercept::RDPRU;
        }
        if features.pause_filter {
            control.instructions1 |= intercept::PAUSE;
            control.pause_count = PAUSE_COUNT;
            if features.pause_threshold {
                control.pause_threshold = PAUSE_THRESHOLD;
            }
        }
        control.iopm = cpu.maps.io.raw();
        control.msrpm = cpu.maps.msr.raw();
        control.interrupt = interrupt::MASKING;
        control.nested = 1;
        control.nested_cr3 = root.raw();
    }

    /// Makes the CPU forget what it knows of this vCPU's page tables, the guest's and the nested ones.
    pub fn flush_translations(&mut self) {
        self.code_page = CodePage::NONE;
        if self.features.flush_by_asid {
            self.vmcb.control.tlb_control = tlb::FLUSH_GUEST;
        } else {
            self.asid = Asid::default();
        }
    }

    /// Whether the guest executes 64-bit code.
    #[inline]
    pub(crate) fn is_64_bit(&self) -> bool {
        let save = &self.vmcb.save;
        let is_long = save.efer & x86::Efer::LONG_MODE_ACTIVE.bits() != 0;
        is_long
            && save.segment[SegmentRegister::Cs as usize].attributes & x86::Attributes::LONG != 0
    }

    #[cold]
    fn switch_in(&mut self, cpu: &mut SvmCpu) {
        assert!(
            self.live.cpu().is_none_or(|on| on == cpu.id()),
            "a vCPU was moved while its registers are on another CPU"
        );
        if let Some(other) = cpu.loaded.take() {
            other.put_away();
        }
        self.live.bring_in();
        cpu.loaded = Some(Arc::clone(&self.live));
        if self.home != Some(cpu.id()) {
            self.home = Some(cpu.id());
            self.asid = Asid::default();
        }
        self.vmcb.control.clean = 0;
    }

    /// Enters the guest and comes back with its next exit.
    #[inline]
    pub(crate) fn enter_guest(&mut self, cpu: &mut SvmCpu) {
        // Generation 0, of a vCPU that wants a flush, is never current.
        if self.asid.generation != cpu.asids.generation() {
            self.take_asid(cpu);
        }
        let host = cpu.host_block();
        let vmcb = self.vmcb.hpa().raw();
        let shadow = self.vmcb.control.interrupt_shadow;
        // SAFETY:
        // 1. A `SvmCpu` exists only with SVM on and VM_HSAVE_PA set; the hypervisor runs with interrupts off and GIF set.
        // 2. The registers are ours.
        // 3. `new` made the block; its tables are the VM's by the promise made there, and nothing takes the intercepts of
        //    `set_controls` away.
        // 4. `SvmCpu::enable` stored the state there, on this CPU: `SvmCpu` does not leave it.
        unsafe { enter(&raw mut self.registers, vmcb, host, shadow) };
    }

    #[cold]
    fn take_asid(&mut self, cpu: &mut SvmCpu) {
        let (asid, flush) = cpu.asids.take();
        self.asid = asid;
        let control = &mut self.vmcb.control;
        control.asid = asid.number;
        if flush {
            control.tlb_control = tlb::FLUSH_ALL;
        }
        control.clean &= !clean::ASID;
        self.foreseen = consistency::fault(&self.vmcb);
    }

    /// Makes the next entry start as the first one: with a new ASID, everything loaded, and the state looked at.
    pub(crate) fn start_anew(&mut self) {
        self.asid = Asid::default();
        self.code_page = CodePage::NONE;
        self.vmcb.control.clean = 0;
    }
}

impl Vcpu for SvmVcpu {
    type Cpu = SvmCpu;

    fn run(&mut self, cpu: &mut SvmCpu) -> Exit {
        let is_loaded = cpu
            .loaded
            .as_ref()
            .is_some_and(|live| Arc::ptr_eq(live, &self.live));
        if !is_loaded {
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
