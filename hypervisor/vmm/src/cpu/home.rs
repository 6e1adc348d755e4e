//! The vCPUs that live on one physical CPU, and the devices that call it home.

use crate::cpu::inbox::{Arrival, CpuInbox};
use crate::vcpu::{Next, VirtualCpu};
use crate::vm::Vm;
use alloc::sync::Arc;
use alloc::vec::Vec;
use board::Begin;
use board::VmState;
use core::cell::Cell;
use host::{Host, HostVector};
use sched::RunQueue;
use time::{Instant, earliest};
use vcpu::Vcpu;

/// For so long after a device's new deadline called for a look, further ones wait: a vCPU on another CPU that moves its timer all
/// the time must not take up this one.
const QUIET_NS: u64 = 200_000;

/// State of a vCPU, as its home sees it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// In the run queue, or running.
    Ready,
    /// Waits for mail or for its own timer.
    Asleep,
    /// Its VM is paused.
    Held,
    /// Its VM is stopped.
    Parked,
}

struct Resident<H: Host> {
    vcpu: VirtualCpu<H>,
    doing: Doing,
}

/// One physical CPU's share of the machine.
pub(crate) struct Home<H: Host> {
    host: &'static H,
    inbox: &'static CpuInbox<H>,
    /// By number; a place whose vCPU left is given to the next one that comes.
    residents: Vec<Option<Resident<H>>>,
    /// VMs whose devices are advanced here: those whose vCPU 0 lives here.
    vms: Vec<Arc<Vm<H>>>,
    queue: RunQueue,
    /// The vCPU that was picked last.
    ran: Option<usize>,
    /// When the vCPU that runs was picked.
    picked_at: Instant,
    /// When the devices of `vms` want to be advanced next; a cache that `attend` and `fire` renew.
    next_device: Cell<Option<Instant>>,
}

impl<H: Host> Home<H> {
    pub(crate) fn new(host: &'static H, inbox: &'static CpuInbox<H>) -> Self {
        Self {
            host,
            inbox,
            residents: Vec::new(),
            vms: Vec::new(),
            queue: RunQueue::default(),
            ran: None,
            picked_at: Instant::default(),
            next_device: Cell::new(None),
        }
    }

    /// Answers a physical interrupt. All of them only say "look around"; what to look at says the bell.
    pub(crate) fn dispatch(&mut self, vector: HostVector) {
        match vector {
            // The due ones are found by their deadlines.
            HostVector::Alarm => {}
            // Whoever kicked left mail for the vCPU that ran, which is looked at before each entry, or rang before.
            HostVector::Kick => {}
            // Its handler has run, and has rung the CPU that works on it.
            HostVector::Device(_) => {}
        }
    }

    /// Looks at what was left: new vCPUs, mail for those that do not run, moved deadlines.
    pub(crate) fn attend(&mut self, cpu: &mut H::Cpu) {
        if !self.inbox.bell.answer() {
            return;
        }
        let mut has_news = self.inbox.bell.take_news();
        if has_news {
            for arrival in self.inbox.take_arrivals() {
                self.take_in(cpu, arrival);
            }
            if self.inbox.take_destroyed() {
                self.drop_destroyed();
            }
        }
        let now = self.host.now();
        for (number, resident) in numbered(&mut self.residents) {
            match resident.doing {
                Doing::Ready => {}
                Doing::Asleep => {
                    if resident.vcpu.has_mail() {
                        resident.doing = Doing::Ready;
                        self.queue.wake(number, now);
                    }
                }
                Doing::Held => {
                    if resident.vcpu.may_leave_pause() {
                        resident.doing = Doing::Ready;
                        self.queue.wake(number, now);
                        // The VM's devices go on as well.
                        has_news = true;
                    }
                }
                Doing::Parked => {
                    if !resident.vcpu.has_mail() {
                        continue;
                    }
                    has_news = true;
                    match resident.vcpu.take_start_order(cpu) {
                        Some(Begin::Start) => {
                            resident.doing = Doing::Ready;
                            self.queue.wake(number, now);
                        }
                        Some(Begin::Restore) => {
                            resident.doing = Doing::Held;
                            resident.vcpu.quiesce();
                            // An order that came before it held still is looked at in the next round.
                            self.inbox.bell.ring();
                        }
                        None => {}
                    }
                }
            }
            if resident.doing == Doing::Ready && resident.vcpu.has_orders() {
                self.queue.expedite(number);
            }
        }
        if has_news {
            self.renew_next_device();
        }
    }

    /// Returns whether the bell was rung since `attend`: then this CPU must not sleep.
    pub(crate) fn is_called(&self) -> bool {
        self.inbox.bell.is_rung()
    }

    /// The vCPUs that live here, in the order of their arrival.
    #[cfg(any(test, feature = "test-host"))]
    pub(crate) fn vcpus(&mut self) -> impl Iterator<Item = &mut VirtualCpu<H>> {
        self.residents
            .iter_mut()
            .flatten()
            .map(|resident| &mut resident.vcpu)
    }

    /// Lets vCPUs and VMs that were destroyed go. Only this CPU may: a vCPU's registers may still be in it.
    fn drop_destroyed(&mut self) {
        let is_gone = |vm: &Vm<H>| vm.lifecycle().state() == VmState::Destroyed;
        self.vms.retain(|vm| !is_gone(vm));
        for (number, place) in self.residents.iter_mut().enumerate() {
            if place
                .as_ref()
                .is_some_and(|resident| is_gone(&resident.vcpu.vm))
            {
                *place = None;
                self.queue.remove(number);
            }
        }
    }

    fn take_in(&mut self, cpu: &mut H::Cpu, arrival: Arrival<H>) {
        let Arrival {
            vm,
            id,
            mailbox,
            stats,
        } = arrival;
        match VirtualCpu::new(self.host, cpu, vm.clone(), id, mailbox, stats) {
            Ok(vcpu) => {
                let resident = Some(Resident {
                    vcpu,
                    doing: Doing::Parked,
                });
                let free = self.residents.iter().position(Option::is_none);
                let number = free.unwrap_or(self.residents.len());
                match self.residents.get_mut(number) {
                    Some(place) => *place = resident,
                    None => self.residents.push(resident),
                }
                self.queue.enter(number, vm.share.clone());
                if id == 0 {
                    self.vms.push(vm.clone());
                }
                vm.vcpu_arrived();
            }
            Err(host::NoMemory) => {
                log::error!(
                    "vm {}: no memory for vCPU {id}; the VM does not start",
                    vm.name()
                );
                vm.vcpu_failed();
            }
        }
    }

    fn renew_next_device(&self) {
        let bell = &self.inbox.bell;
        let has_moved = bell.begin_scan();
        let mut next = self.vms.iter().filter_map(|vm| vm.next_due()).min();
        if has_moved {
            next = earliest(next, Some(self.host.now().after_ns(QUIET_NS)));
            bell.will_scan_soon();
        } else {
            bell.scans_at(next);
        }
        self.next_device.set(next);
    }

    /// Advances the devices and wakes the vCPUs whose time has come.
    pub(crate) fn fire(&mut self, now: Instant) {
        if self.next_device.get().is_some_and(|at| at <= now) {
            for vm in &self.vms {
                vm.advance_due(now);
            }
            self.renew_next_device();
        }
        for (number, resident) in numbered(&mut self.residents) {
            if resident.doing == Doing::Asleep
                && resident.vcpu.deadline().is_some_and(|at| at <= now)
            {
                resident.doing = Doing::Ready;
                self.queue.wake(number, now);
            }
        }
    }

    /// This CPU did chores from `since` to `now`, for which no vCPU pays.
    pub(crate) fn discount(&mut self, since: Instant, now: Instant) {
        self.queue.discount(since, now);
    }

    /// Takes the next vCPU to run.
    pub(crate) fn pick(&mut self, now: Instant) -> Option<usize> {
        self.picked_at = now;
        let picked = self.queue.pick(now);
        if let Some(before) = self.ran.filter(|before| Some(*before) != picked)
            && self.queue.is_waiting(before)
            && let Some(Some(resident)) = self.residents.get_mut(before)
        {
            resident.vcpu.note_preempted();
        }
        self.ran = picked;
        picked
    }

    /// Sleeps until a physical interrupt comes.
    pub(crate) fn idle(&mut self, cpu: &mut H::Cpu, now: Instant) {
        self.inbox.load.begin(now);
        self.host.idle(cpu);
        self.inbox.load.end(self.host.now());
    }

    /// When this CPU has to be back in its loop, apart from what the running vCPU itself wants.
    pub(crate) fn next_event(&self, now: Instant) -> Option<Instant> {
        let sleepers = self
            .residents
            .iter()
            .flatten()
            .filter(|resident| resident.doing == Doing::Asleep)
            .filter_map(|resident| resident.vcpu.deadline())
            .min();
        earliest(
            earliest(sleepers, self.next_device.get()),
            self.queue.next_look(now),
        )
    }

    /// Runs the vCPU that was picked until it has a reason to come back.
    pub(crate) fn step(&mut self, cpu: &mut H::Cpu, number: usize, until: Option<Instant>) {
        let is_contended = self.queue.is_contended();
        let has_waiting_sibling = is_contended && self.waiting_siblings(number).next().is_some();
        let Some(Some(resident)) = self.residents.get_mut(number) else {
            return;
        };
        // A vCPU that has the CPU to itself may spin.
        resident.vcpu.backend.set_pause_exits(is_contended);
        resident.vcpu.has_waiting_sibling = has_waiting_sibling;
        resident.vcpu.note_turn(self.queue.waited_ns(number));
        let next = resident.vcpu.step(cpu, until);
        let now = self.host.now();
        resident.vcpu.stats.add_run_ns(now.since_ns(self.picked_at));
        match next {
            Next::Resume | Next::HostInterrupt | Next::Yield => self.queue.requeue(number, now),
            Next::YieldTurn => self.yield_turn(number, now, |_| true),
            Next::YieldTurnTo(id) => {
                if self.waiting_siblings(number).any(|sibling| sibling == id) {
                    self.yield_turn(number, now, |other| other == id);
                } else {
                    self.queue.requeue(number, now);
                }
            }
            Next::Sleep => {
                self.queue.leave(number, now);
                // Mail that came before the vCPU said it sleeps rang no bell.
                if resident.vcpu.has_mail() {
                    self.queue.wake(number, now);
                } else {
                    resident.doing = Doing::Asleep;
                }
            }
            Next::Hold => {
                self.queue.leave(number, now);
                resident.vcpu.quiesce();
                // What came before it held still rang no bell.
                if resident.vcpu.may_leave_pause() {
                    self.queue.wake(number, now);
                    self.renew_next_device();
                } else {
                    resident.doing = Doing::Held;
                }
            }
            Next::Stop => {
                self.queue.leave(number, now);
                resident.doing = Doing::Parked;
                resident.vcpu.park();
            }
        }
        // An order that came while it ran rang no bell.
        if let Some(Some(resident)) = self.residents.get(number)
            && resident.doing == Doing::Ready
            && resident.vcpu.has_orders()
        {
            self.queue.expedite(number);
        }
    }

    /// The other vCPUs of the same VM that wait for this CPU, by their numbers in the VM.
    fn waiting_siblings(&self, number: usize) -> impl Iterator<Item = usize> {
        let own = self.residents.get(number).and_then(Option::as_ref);
        let others = self.residents.iter().enumerate();
        let others = others.filter_map(|(other, place)| Some((other, place.as_ref()?)));
        others
            .filter(move |(other, resident)| {
                *other != number
                    && own.is_some_and(|own| Arc::ptr_eq(&own.vcpu.vm, &resident.vcpu.vm))
                    && self.queue.is_waiting(*other)
            })
            .map(|(_, resident)| resident.vcpu.id)
    }

    /// Lets another vCPU of the same VM run instead of this one, if one waits that is meant; else
    /// any other.
    fn yield_turn(&mut self, number: usize, now: Instant, is_meant: impl Fn(usize) -> bool) {
        let residents = &self.residents;
        let resident = |number: usize| residents.get(number)?.as_ref();
        let own = resident(number).map(|resident| &resident.vcpu.vm);
        self.queue.yield_turn(number, now, |other| {
            let is_sibling =
                |other: &&Resident<H>| own.is_some_and(|own| Arc::ptr_eq(own, &other.vcpu.vm));
            let sibling = resident(other).filter(is_sibling);
            sibling.is_some_and(|sibling| is_meant(sibling.vcpu.id))
        });
    }
}

/// The vCPUs there are, with their numbers.
fn numbered<H: Host>(
    residents: &mut [Option<Resident<H>>],
) -> impl Iterator<Item = (usize, &mut Resident<H>)> {
    let numbered = residents.iter_mut().enumerate();
    numbered.filter_map(|(number, place)| Some((number, place.as_mut()?)))
}
