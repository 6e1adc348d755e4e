//! A vCPU with everything that belongs to it alone: backend, local APIC, MSRs. No lock is needed for any of it.

mod bus_table;
pub(crate) mod kvm_clock;
pub(crate) mod kvm_steal;
pub(crate) mod local;
pub(crate) mod start;
pub(crate) mod stats;

use board::StopReason;
use board::{Begin, BusTable, Mail, Mailbox, Taken};

use crate::vcpu::local::Local;
use crate::vcpu::stats::Stats;
use crate::vm::Vm;
use alloc::boxed::Box;
use alloc::sync::Arc;
use device::Device;
use host::{Host, HostVector, NoMemory, VcpuPlan};
use time::{Instant, earliest};
use vcpu::{Activity, ArchState, Event, Vcpu};

/// Number of exits in a row that are handled before the clock is read. A power of two.
const EXITS_PER_LOOK: u32 = 64;

/// Next step after an exit.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Into the guest again.
    Resume,
    /// A physical interrupt came: into the guest again if it was for this vCPU, else as [`Next::Yield`].
    HostInterrupt,
    /// Round the loop; the vCPU keeps its turn.
    Yield,
    /// Round the loop; another vCPU first.
    YieldTurn,
    /// Round the loop; the vCPU of the same VM with this number first, if it waits for this CPU.
    YieldTurnTo(usize),
    /// Nothing to do before mail comes or the timer fires.
    Sleep,
    /// The VM pauses: hold still.
    Hold,
    /// The VM ends: park.
    Stop,
}

/// A vCPU as it lives on its home CPU.
pub(crate) struct VirtualCpu<H: Host> {
    pub(crate) host: &'static H,
    pub(crate) backend: H::Vcpu,
    pub(crate) local: Local,
    pub(crate) vm: Arc<Vm<H>>,
    pub(crate) id: usize,
    pub(crate) activity: Activity,
    pub(crate) stats: Arc<Stats>,
    mailbox: Arc<Mailbox>,
    /// The buses as it knows them; renewed when it begins to run, and when its mail says so.
    pub(crate) bus: BusTable,
    bus_generation: u64,
    /// Exits because it spins, since it last gave way.
    pub(crate) spins: u32,
    /// Another vCPU of its VM waits for this CPU.
    pub(crate) has_waiting_sibling: bool,
    /// It was kicked by another vCPU since it last halted.
    pub(crate) was_kicked: bool,
    pub(crate) has_nmi: bool,
    pub(crate) has_window: bool,
    /// Number of exits when it was restored.
    pub(crate) exits_at_restore: Option<u64>,
}

impl<H: Host> VirtualCpu<H> {
    /// Makes a vCPU on the CPU that is its home.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub(crate) fn new(
        host: &'static H,
        cpu: &mut H::Cpu,
        vm: Arc<Vm<H>>,
        id: usize,
        mailbox: Arc<Mailbox>,
        stats: Arc<Stats>,
    ) -> Result<Self, NoMemory> {
        let plan = VcpuPlan {
            slat: vm.slat(),
            cr4_allowed: vm.model().cr4_allowed(),
            xcr0_allowed: vm.model().xcr0_allowed(),
            physical_bits: vm.model().physical_bits(),
        };
        let backend = host.new_vcpu(cpu, &plan)?;
        let bus = vm.board().bus().empty_table();
        Ok(Self {
            host,
            backend,
            local: Local::new(id as u32, vm.model(), vm.tsc_offset()),
            stats,
            vm,
            id,
            activity: Activity::WaitForSipi,
            mailbox,
            bus,
            // Older than any.
            bus_generation: 0,
            spins: 0,
            has_waiting_sibling: false,
            was_kicked: false,
            has_nmi: false,
            has_window: false,
            exits_at_restore: None,
        })
    }

    /// Returns whether it has mail.
    pub(crate) fn has_mail(&self) -> bool {
        self.mailbox.has_mail()
    }

    /// Returns whether its VM is to end or to pause.
    pub(crate) fn has_orders(&self) -> bool {
        self.mailbox.has(Mail::HALT.union(Mail::PAUSE))
    }

    pub(crate) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// Returns when it wants to run by itself, without mail.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let at = self.local.apic.deadline()?;
        Some(board::to_host(at, self.local.behind_ns))
    }

    /// The VM's time, as of the last time it went on.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        Instant::from_ns(self.host.now().as_ns().wrapping_sub(self.local.behind_ns))
    }

    /// Returns whether the pause is over (the VM resumes or ends).
    pub(crate) fn may_leave_pause(&mut self) -> bool {
        if self.mailbox.has(Mail::RESUME) {
            // Before its first look at the clock.
            self.resume_clock();
        }
        self.mailbox.has(Mail::RESUME | Mail::HALT)
    }

    /// Its VM pauses: says that it holds still.
    pub(crate) fn quiesce(&mut self) {
        if let Some(held) = self.vm.held.get(self.id) {
            *held.lock() = Some(Box::new(self.save()));
        }
        self.vm.lifecycle().quiesce(self.host.now());
    }

    /// The VM goes on: its TSC, too, has stood still.
    fn resume_clock(&mut self) {
        let behind_ns = self.vm.clock().behind_ns();
        let clock = self.host.clock();
        let stopped_at = self.vm.clock().stopped_at();
        let tsc_at = |behind| clock.tsc(board::to_host(stopped_at, behind));
        let gap = tsc_at(behind_ns).wrapping_sub(tsc_at(self.local.behind_ns));
        self.local.behind_ns = behind_ns;
        self.local.tsc_offset = self.local.tsc_offset.wrapping_sub(gap);
        self.backend.set_tsc_offset(self.local.tsc_offset);
        self.local.has_moved_timer = true;
    }

    /// Reads the mail of a parked vCPU: only a beginning counts, which is returned. It runs from then on, or holds still.
    pub(crate) fn take_start_order(&mut self, _cpu: &mut H::Cpu) -> Option<Begin> {
        // Others of this VM may run already: what they sent is read before the first entry.
        let begin = self.mailbox.take_begin()?;
        match begin {
            Begin::Start => self.start(),
            Begin::Restore => self.restore(),
        }
        Some(begin)
    }

    /// Its VM ends: says so, and carries the order out when it is the last.
    pub(crate) fn park(&mut self) {
        if let Some(order) = self.vm.lifecycle().park() {
            self.vm.conclude(order);
        }
    }

    /// Runs the guest until the loop or another vCPU has to do something.
    ///
    /// `until` is when this CPU has to be back in its loop for others; the vCPU's own timer is added here.
    pub(crate) fn step(&mut self, cpu: &mut H::Cpu, until: Option<Instant>) -> Next {
        self.mailbox.set_running(true);
        self.renew_bus();
        self.host.note(cpu, &self.vm.noted);
        self.local.apic.advance(self.now());
        self.local.has_moved_timer = true;
        let mut exits = 0u32;
        let next = loop {
            if self.mailbox.has_mail()
                && let Some(order) = self.read_mail()
            {
                break order;
            }
            if self.mailbox.bell().is_rung() {
                break Next::Yield;
            }
            self.offer_events();
            if self.activity != Activity::Running {
                if self.take_kick() {
                    continue;
                }
                break Next::Sleep;
            }
            if self.local.has_moved_timer {
                self.local.has_moved_timer = false;
                let at = earliest(until, self.deadline());
                self.host.set_alarm(cpu, at);
            }
            let exit = self.backend.run(cpu);
            self.stats.count(&exit);
            match self.handle(exit) {
                Next::Resume => {}
                Next::HostInterrupt if self.stays_after_interrupt(cpu, until) => {}
                Next::HostInterrupt => break Next::Yield,
                end @ (Next::Yield
                | Next::YieldTurn
                | Next::YieldTurnTo(_)
                | Next::Sleep
                | Next::Hold
                | Next::Stop) => break end,
            }
            // The alarm ends the turn. But Bochs withholds interrupts from a guest that has them disabled, and such a one may
            // poll a device for ever: so the clock is looked at now and then.
            exits = exits.wrapping_add(1);
            if exits.is_multiple_of(EXITS_PER_LOOK) && until.is_some_and(|at| at <= self.host.now())
            {
                break Next::Yield;
            }
        };
        let paging = self.backend.paging();
        let raw = self.backend.raw_exit();
        self.stats.note(paging.rip, paging.cr3, paging.rflags, raw);
        self.stats.note_waiting(self.local.waiting());
        self.mailbox.set_running(false);
        next
    }

    /// Takes the physical interrupts that ended the guest. Returns whether neither the loop nor
    /// another vCPU has to do something: most often it was this vCPU's own timer, or a kick for its
    /// mail, and the way round the loop costs more than all the rest.
    fn stays_after_interrupt(&mut self, cpu: &mut H::Cpu, until: Option<Instant>) -> bool {
        let mut has_come = false;
        while let Some(vector) = self.host.next_interrupt(cpu) {
            has_come = true;
            match vector {
                // What they tell, or what a device's handler rang, is looked at before the next entry.
                HostVector::Alarm | HostVector::Kick | HostVector::Device(_) => {}
            }
        }
        let now = self.host.now();
        let own_now = Instant::from_ns(now.as_ns().wrapping_sub(self.local.behind_ns));
        self.local.apic.advance(own_now);
        self.local.has_moved_timer = true;
        // A backend may say so to have us look around: then nothing came.
        has_come && until.is_none_or(|at| now < at)
    }

    /// Takes what was left for this vCPU; returns what follows if it is to leave the guest.
    fn read_mail(&mut self) -> Option<Next> {
        let Taken { mail, sipi } = self.mailbox.take();
        if mail.contains(Mail::TABLE) {
            self.renew_bus();
        }
        if mail.contains(Mail::HALT) {
            return Some(Next::Stop);
        }
        if mail.contains(Mail::INIT) {
            if self.id == 0 {
                // The boot processor does not wait for SIPI but runs the firmware, which resets the machine.
                // (Intel SDM vol. 3A 10.4.2)
                let _ = self.stop(StopReason::Reset("INIT to the boot processor"));
                return Some(Next::Stop);
            }
            self.initialize();
        }
        if mail.contains(Mail::SIPI) && self.activity == Activity::WaitForSipi {
            let mut state = ArchState::after_reset();
            self.backend.save(&mut state);
            state.after_sipi(sipi);
            self.backend.load(&state);
            self.activity = Activity::Running;
        }
        if mail.contains(Mail::NMI) {
            self.has_nmi = true;
        }
        if mail.contains(Mail::KICK) {
            self.was_kicked = true;
        }
        if mail.contains(Mail::INTERRUPT) {
            let apic = &mut self.local.apic;
            self.mailbox.take_interrupts(|vector, trigger| {
                apic.accept(vector, trigger);
            });
        }
        // Last, so that what came with it is taken in first.
        mail.contains(Mail::PAUSE).then_some(Next::Hold)
    }

    /// Ends a halt if another vCPU kicked this one since the last: KVM's way of waking a vCPU that
    /// waits for a lock.
    fn take_kick(&mut self) -> bool {
        let is_woken = self.activity == Activity::Halted && core::mem::take(&mut self.was_kicked);
        if is_woken {
            self.activity = Activity::Running;
        }
        is_woken
    }

    /// Its turn begins, on which it waited so long in all: what the guest wants to know of that.
    pub(crate) fn note_turn(&mut self, waited_ns: u64) {
        if self.local.steal.begin_turn(waited_ns, self.vm.ram()) {
            self.backend.flush_translations();
        }
    }

    /// Another one runs although this one could.
    pub(crate) fn note_preempted(&mut self) {
        self.local.steal.mark_preempted(self.vm.ram());
    }

    /// Brings pending events to the guest, or asks for a window, or wakes a halted vCPU.
    #[inline]
    fn offer_events(&mut self) {
        if self.has_nmi || self.local.has_pending() || self.mailbox.ext_int() {
            self.offer_pending();
        } else if self.has_window {
            self.has_window = false;
            self.backend.cancel_interrupt_window();
        }
    }

    fn offer_pending(&mut self) {
        if self.activity == Activity::WaitForSipi {
            return;
        }
        if self.has_nmi {
            if self.backend.inject(Event::Nmi).is_ok() {
                self.has_nmi = false;
                self.activity = Activity::Running;
            } else {
                self.backend.await_nmi_window();
            }
        }
        let apic = &mut self.local.apic;
        apic.set_task_priority(self.backend.task_priority());
        let ready = apic.highest_ready();
        let accepts = self.backend.accepts_interrupt();
        if let Some(vector) = ready.filter(|_| accepts) {
            if self.backend.inject(Event::Interrupt(vector)).is_ok() {
                apic.acknowledge(vector);
                self.activity = Activity::Running;
            }
        } else if accepts && apic.accepts_ext_int() && self.mailbox.ext_int() {
            let vector = self.vm.fabric().acknowledge_pic();
            if self.backend.inject(Event::Interrupt(vector)).is_ok() {
                self.activity = Activity::Running;
            }
        }
        // What is still waiting wants to know when the guest opens up.
        let waiting = apic
            .highest_ready()
            .or_else(|| apic.highest_held_by_task_priority());
        let waiting = waiting.or_else(|| {
            (apic.accepts_ext_int() && self.mailbox.ext_int()).then_some(x86::Vector(0xff))
        });
        match waiting {
            Some(vector) if self.activity == Activity::Running => {
                self.backend.await_interrupt_window(vector);
                self.has_window = true;
            }
            _ if self.has_window => {
                self.has_window = false;
                self.backend.cancel_interrupt_window();
            }
            _ => {}
        }
    }
}
