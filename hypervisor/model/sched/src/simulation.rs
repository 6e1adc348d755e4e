//! A physical CPU with made-up guests, for tests: time passes as the queue says.

use crate::{RunQueue, Share};
use alloc::sync::Arc;
use alloc::vec::Vec;
use time::Instant;

/// Behaviour of a guest.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Habit {
    /// Computes for ever.
    Busy,
    /// Computes for `burst_ns`, then sleeps for `nap_ns`.
    Sleepy { burst_ns: u64, nap_ns: u64 },
    /// Spins for `spin_ns` and gives way, to the guest with this number if there is one.
    Spins { spin_ns: u64, to: Option<usize> },
}

/// A guest and what became of it.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) habit: Habit,
    pub(crate) share: Arc<Share>,
    /// Its run time.
    pub(crate) ran_ns: u64,
    /// The longest time from a wake-up to the first run.
    pub(crate) latency_ns: u64,
    /// The longest time that it was ready and did not run.
    pub(crate) pause_ns: u64,
    wakes_at: Option<Instant>,
    woken_at: Option<Instant>,
    ready_at: Instant,
    burst_left_ns: u64,
}

/// The CPU.
#[derive(Default)]
pub(crate) struct Cpu {
    pub(crate) queue: RunQueue,
    pub(crate) guests: Vec<Guest>,
    pub(crate) now: Instant,
    pub(crate) idle_ns: u64,
    /// Number of times that another one ran than before.
    pub(crate) switches: u64,
    last: Option<usize>,
}

/// Cost of an interruption.
const EXIT_NS: u64 = 1_000;

impl Cpu {
    pub(crate) fn add(&mut self, habit: Habit, weight: u32) -> usize {
        self.add_sharing(habit, Arc::new(Share::new(weight, None)))
    }

    pub(crate) fn add_sharing(&mut self, habit: Habit, share: Arc<Share>) -> usize {
        let number = self.guests.len();
        self.queue.enter(number, share.clone());
        self.queue.wake(number, self.now);
        let burst_left_ns = match habit {
            Habit::Busy => u64::MAX,
            Habit::Sleepy { burst_ns, .. } => burst_ns,
            Habit::Spins { spin_ns, .. } => spin_ns,
        };
        self.guests.push(Guest {
            habit,
            share,
            ran_ns: 0,
            latency_ns: 0,
            pause_ns: 0,
            wakes_at: None,
            woken_at: None,
            ready_at: self.now,
            burst_left_ns,
        });
        number
    }

    /// Lets time pass.
    pub(crate) fn run_for(&mut self, ns: u64) {
        let end = self.now.after_ns(ns);
        while self.now < end {
            self.step(end);
        }
    }

    /// As `run_for`, from now on counting anew.
    pub(crate) fn measure(&mut self, ns: u64) {
        for guest in &mut self.guests {
            (guest.ran_ns, guest.latency_ns, guest.pause_ns) = (0, 0, 0);
        }
        self.idle_ns = 0;
        self.run_for(ns);
    }

    fn step(&mut self, end: Instant) {
        let now = self.now;
        for (number, guest) in self.guests.iter_mut().enumerate() {
            if guest.wakes_at.is_some_and(|at| at <= now) {
                guest.woken_at = guest.wakes_at.take();
                guest.ready_at = now;
                self.queue.wake(number, now);
            }
        }
        let next_wake = self.guests.iter().filter_map(|guest| guest.wakes_at).min();
        let picked = self.queue.pick(now);
        let look = self.queue.next_look(now);
        let until = [look, next_wake].into_iter().flatten().min();
        let until = until.unwrap_or(end).min(end).max(now.after_ns(EXIT_NS));
        let Some(number) = picked else {
            self.idle_ns += until.since_ns(now);
            self.now = until;
            return;
        };
        if self.last.replace(number) != Some(number) {
            self.switches += 1;
        }
        let guest = &mut self.guests[number];
        if let Some(at) = guest.woken_at.take() {
            guest.latency_ns = guest.latency_ns.max(now.since_ns(at));
        }
        guest.pause_ns = guest.pause_ns.max(now.since_ns(guest.ready_at));
        let mut ran_ns = until.since_ns(now);
        if !matches!(guest.habit, Habit::Busy) {
            ran_ns = ran_ns.min(guest.burst_left_ns).max(1);
            guest.burst_left_ns = guest.burst_left_ns.saturating_sub(ran_ns);
        }
        guest.ran_ns += ran_ns;
        self.now = now.after_ns(ran_ns);
        guest.ready_at = self.now;
        match guest.habit {
            Habit::Busy => self.queue.requeue(number, self.now),
            _ if guest.burst_left_ns > 0 => self.queue.requeue(number, self.now),
            Habit::Sleepy { burst_ns, nap_ns } => {
                guest.burst_left_ns = burst_ns;
                guest.wakes_at = Some(self.now.after_ns(nap_ns));
                self.queue.leave(number, self.now);
            }
            Habit::Spins { spin_ns, to } => {
                guest.burst_left_ns = spin_ns;
                self.queue
                    .yield_turn(number, self.now, |other| Some(other) == to);
            }
        }
    }
}

/// Numbers that look random and are the same each time.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// Below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}
