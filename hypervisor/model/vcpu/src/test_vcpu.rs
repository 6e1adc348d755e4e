//! A virtual CPU for tests on a PC: plain state, and exits that the test queues.

use crate::{
    ArchState, BadState, Event, Exit, GuestMsr, HiddenState, InsnLen, NotNow, Paging, RawExit,
    STATUS_FLAGS, Shadow, Vcpu,
};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use x86::{Gpr, Rflags, Segment, SegmentRegister, Vector};

/// Executes nothing: `run` delivers what is queued, then returns the next exit of [`TestVcpu::exits`].
///
/// An event that was queued by `inject` counts as delivered at the next `run` and moves to [`TestVcpu::delivered`].
#[derive(Debug)]
pub struct TestVcpu {
    /// The registers.
    pub state: ArchState,
    /// Exits that `run` returns, in this order; [`Exit::Shutdown`] when there is nothing left.
    pub exits: VecDeque<Exit>,
    /// The event for the next entry.
    pub queued: Option<Event>,
    /// Events of past entries.
    pub delivered: Vec<Event>,
    /// The vector an interrupt window was asked for.
    pub interrupt_window: Option<Vector>,
    /// True if an NMI window was asked for.
    pub nmi_window: bool,
    /// Value that `set_tsc_offset` was given.
    pub tsc_offset: u64,
    /// True if exits of PAUSE are wanted.
    pub pause_exits: bool,
    /// Number of calls to `flush_translations`.
    pub flushes: u64,
    /// Number of instructions that were retired.
    pub retired: u64,
    /// Number of calls to `run`.
    pub entries: u64,
    /// x87, SSE, AVX…: four bytes.
    pub vector: [u8; 4],
    /// True if an NMI is being handled.
    pub is_nmi_blocked: bool,
    /// Dropped with the vCPU, so that a test can tell how many are left.
    pub witness: Option<Arc<()>>,
}

impl Default for TestVcpu {
    fn default() -> Self {
        Self::new(ArchState::after_reset())
    }
}

impl TestVcpu {
    /// A vCPU in this state with no exits.
    #[must_use]
    pub fn new(state: ArchState) -> Self {
        Self {
            state,
            exits: VecDeque::new(),
            queued: None,
            delivered: Vec::new(),
            interrupt_window: None,
            nmi_window: false,
            tsc_offset: 0,
            pause_exits: false,
            flushes: 0,
            retired: 0,
            entries: 0,
            vector: [0; 4],
            is_nmi_blocked: false,
            witness: None,
        }
    }

    fn msr_mut(&mut self, msr: GuestMsr) -> &mut u64 {
        let state = &mut self.state;
        match msr {
            GuestMsr::Efer => &mut state.efer,
            GuestMsr::Pat => &mut state.pat,
            GuestMsr::FsBase => &mut SegmentRegister::Fs.of_mut(&mut state.segment).base,
            GuestMsr::GsBase => &mut SegmentRegister::Gs.of_mut(&mut state.segment).base,
            GuestMsr::KernelGsBase => &mut state.kernel_gs_base,
            GuestMsr::Star => &mut state.star,
            GuestMsr::Lstar => &mut state.lstar,
            GuestMsr::Cstar => &mut state.cstar,
            GuestMsr::Sfmask => &mut state.sfmask,
            GuestMsr::SysenterCs => &mut state.sysenter_cs,
            GuestMsr::SysenterEsp => &mut state.sysenter_esp,
            GuestMsr::SysenterEip => &mut state.sysenter_eip,
            GuestMsr::DebugCtl => &mut state.debugctl,
            GuestMsr::TscAux => &mut state.tsc_aux,
            GuestMsr::Xss => &mut state.xss,
        }
    }
}

impl Vcpu for TestVcpu {
    type Cpu = ();

    fn run(&mut self, _cpu: &mut ()) -> Exit {
        self.entries += 1;
        self.delivered.extend(self.queued.take());
        self.exits.pop_front().unwrap_or(Exit::Shutdown)
    }

    fn gpr(&self, reg: Gpr) -> u64 {
        *reg.of(&self.state.gpr)
    }

    fn set_gpr(&mut self, reg: Gpr, value: u64) {
        *reg.of_mut(&mut self.state.gpr) = value;
    }

    fn rip(&self) -> u64 {
        self.state.rip
    }

    fn rflags(&self) -> u64 {
        self.state.rflags
    }

    fn set_status_flags(&mut self, rflags: u64) {
        let kept = self.state.rflags & !STATUS_FLAGS;
        self.state.rflags = kept | (rflags & STATUS_FLAGS);
    }

    fn segment(&self, reg: SegmentRegister) -> Segment {
        *reg.of(&self.state.segment)
    }

    fn paging(&self) -> Paging {
        let state = &self.state;
        Paging {
            cr0: state.cr0,
            cr3: state.cr3,
            cr4: state.cr4,
            efer: state.efer,
            rflags: state.rflags,
            cpl: self.segment(SegmentRegister::Ss).attributes.dpl(),
            cs: self.segment(SegmentRegister::Cs),
            rip: state.rip,
        }
    }

    fn save(&self, state: &mut ArchState) {
        state.clone_from(&self.state);
    }

    fn load(&mut self, state: &ArchState) {
        self.state.clone_from(state);
        self.queued = None;
        self.interrupt_window = None;
        self.nmi_window = false;
    }

    fn reset_vector_state(&mut self) {
        self.state.xcr0 = 1;
        self.vector = [0; 4];
    }

    fn vector_image(&self) -> Vec<u8> {
        self.vector.to_vec()
    }

    fn set_vector_image(&mut self, image: &[u8], _allowed: u64) -> Result<(), BadState> {
        self.vector = image
            .try_into()
            .map_err(|_| BadState("the vector image has not four bytes"))?;
        Ok(())
    }

    fn hidden(&self) -> HiddenState {
        HiddenState {
            queued: self.queued,
            is_nmi_blocked: self.is_nmi_blocked,
            ..HiddenState::default()
        }
    }

    fn set_hidden(&mut self, hidden: &HiddenState) -> Result<(), BadState> {
        self.is_nmi_blocked = hidden.is_nmi_blocked;
        match hidden.queued {
            Some(event) => self
                .inject(event)
                .map_err(|NotNow| BadState("the queued event cannot be delivered")),
            None => Ok(()),
        }
    }

    fn msr(&self, msr: GuestMsr) -> u64 {
        let mut copy = Self::new(self.state.clone());
        *copy.msr_mut(msr)
    }

    fn set_msr(&mut self, msr: GuestMsr, value: u64) {
        *self.msr_mut(msr) = value;
    }

    fn xcr0(&self) -> u64 {
        self.state.xcr0
    }

    fn set_xcr0(&mut self, value: u64) {
        self.state.xcr0 = value;
    }

    fn set_tsc_offset(&mut self, offset: u64) {
        self.tsc_offset = offset;
    }

    fn task_priority(&self) -> u8 {
        self.state.cr8
    }

    fn set_task_priority(&mut self, class: u8) {
        self.state.cr8 = class & 15;
    }

    fn retire(&mut self, len: InsnLen) {
        self.retired += 1;
        self.state.rip = self.state.rip.wrapping_add(u64::from(len.bytes()));
        self.state.shadow = Shadow::None;
    }

    fn set_pause_exits(&mut self, is_wanted: bool) {
        self.pause_exits = is_wanted;
    }

    fn flush_translations(&mut self) {
        self.flushes += 1;
    }

    fn inject(&mut self, event: Event) -> Result<(), NotNow> {
        let is_refused = self.queued.is_some()
            || (matches!(event, Event::Interrupt(_)) && !self.accepts_interrupt());
        if is_refused {
            return Err(NotNow);
        }
        self.queued = Some(event);
        Ok(())
    }

    fn has_queued_event(&self) -> bool {
        self.queued.is_some()
    }

    fn accepts_interrupt(&self) -> bool {
        self.queued.is_none()
            && self.state.rflags & Rflags::INTERRUPT_FLAG.bits() != 0
            && self.state.shadow == Shadow::None
    }

    fn await_interrupt_window(&mut self, vector: Vector) {
        self.interrupt_window = Some(vector);
    }

    fn await_nmi_window(&mut self) {
        self.nmi_window = true;
    }

    fn cancel_interrupt_window(&mut self) {
        self.interrupt_window = None;
    }

    fn raw_exit(&self) -> RawExit {
        RawExit::default()
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        writeln!(out, "{:#x?}", self.state)
    }
}
