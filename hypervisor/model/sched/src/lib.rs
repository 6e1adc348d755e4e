//! Which vCPU a physical CPU runs next, and for how long.
//!
//! **Weights.** Each vCPU has a virtual clock that moves while it runs, the slower the larger its weight. Whose clock is furthest
//! behind gets the next turn, so the clocks stay together and run times go as the weights. A turn is [`SLICE_NS`], or less for one
//! whose weight is small beside the others'.
//!
//! **Sleepers.** A clock stands still during sleep. When its vCPU wakes up, it is moved to where it is at most about a slice's run
//! behind the others: a vCPU that sleeps gets no claim on the time it slept, but a small credit,
//! with which it interrupts the turn of another one at once. One that uses more than its share has
//! no credit left, and waits in line. So no number of wake-ups wins more than the weight does, and
//! one that uses less than its share never waits for those that want all they can get.
//!
//! **Caps** bound what all vCPUs of a VM use together: see [`Share`].
//!
//! **Giving way.** A vCPU that waits for another one hands over the rest of its turn; see [`RunQueue::yield_turn`].
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm
)]

extern crate alloc;

mod choice;
mod entity;
mod share;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod turn;

pub use share::{DEFAULT_WEIGHT, MAX_WEIGHT, Share};

use crate::entity::{Entity, State, Virtual};
use crate::turn::{Run, Turn};
use alloc::sync::Arc;
use alloc::vec::Vec;
use time::Instant;

/// Time for which a vCPU runs while others of the same weight wait.
pub const SLICE_NS: u64 = 5_000_000;

/// Shortest slice, however small the weight.
const MIN_SLICE_NS: u64 = SLICE_NS / 10;

/// After this the queue is asked again although no vCPU waits, so that run times are counted and
/// changed shares are seen.
const MAX_TURN_NS: u64 = 100_000_000;

/// Lag, in run time of its own, that a vCPU that woke up must have to interrupt a turn.
const MIN_LEAD_NS: u64 = 100_000;

/// The vCPUs of one physical CPU, by their numbers there.
///
/// A vCPU [enters](Self::enter), [wakes](Self::wake), is [picked](Self::pick), and comes back from its run by exactly one of
/// [`requeue`](Self::requeue), [`yield_turn`](Self::yield_turn), [`leave`](Self::leave) and [`remove`](Self::remove).
#[derive(Debug)]
pub struct RunQueue {
    entities: Vec<Option<Entity>>,
    /// Those that are ready, in no order: most others sleep, and cost nothing so.
    ready: Vec<usize>,
    turn: Option<Turn>,
    run: Option<Run>,
    /// The vCPU that gave way and is not to be picked now if another one can be.
    skipped: Option<usize>,
    /// The vCPU that came back last with more to do, and when: the time until the next pick is
    /// charged to it too.
    last: Option<(usize, Instant)>,
    /// Where the clock of the one furthest behind was; it never goes back.
    floor: Virtual,
}

impl Default for RunQueue {
    fn default() -> Self {
        Self {
            entities: Vec::new(),
            ready: Vec::new(),
            turn: None,
            run: None,
            skipped: None,
            last: None,
            // So that there is room below for credits.
            floor: 1 << 64,
        }
    }
}

impl RunQueue {
    /// Makes room for vCPUs numbered below `vcpus`, so that nothing allocates later.
    pub fn reserve(&mut self, vcpus: usize) {
        if vcpus > self.entities.len() {
            self.entities.reserve(vcpus - self.entities.len());
            self.entities.resize_with(vcpus, || None);
            self.ready.reserve(vcpus - self.ready.len());
        }
    }

    /// Takes in a vCPU, asleep. Its number is its caller's choice, and free again after [`RunQueue::remove`].
    pub fn enter(&mut self, vcpu: usize, share: Arc<Share>) {
        self.reserve(vcpu + 1);
        self.remove(vcpu);
        if let Some(place) = self.entities.get_mut(vcpu) {
            *place = Some(Entity::new(share));
        }
    }

    /// Forgets a vCPU, whatever it is doing.
    pub fn remove(&mut self, vcpu: usize) {
        self.set_state(vcpu, State::Asleep);
        if let Some(entity) = self.entities.get_mut(vcpu) {
            *entity = None;
        }
        self.turn = self.turn.filter(|turn| turn.owner != vcpu);
        self.run = self.run.filter(|run| run.vcpu != vcpu);
        self.skipped = self.skipped.filter(|skipped| *skipped != vcpu);
        self.last = self.last.filter(|(last, _)| *last != vcpu);
    }

    /// A sleeping vCPU has something to do. Nothing happens to one that is awake.
    pub fn wake(&mut self, vcpu: usize, now: Instant) {
        if !self.is_in(vcpu, State::Asleep) {
            return;
        }
        let least = self.least_clock(vcpu);
        self.set_state(vcpu, State::Ready);
        if let Some(entity) = self.entity(vcpu) {
            entity.has_credit = true;
            entity.clock = entity.clock.max(least);
            entity.ready_since = now;
        }
    }

    /// A vCPU that is awake has an order to follow that cannot wait: it is picked next, once, whatever its share.
    pub fn expedite(&mut self, vcpu: usize) {
        if let Some(entity) = self.entity(vcpu)
            && entity.state == State::Ready
        {
            entity.is_hurried = true;
        }
    }

    /// A vCPU that was picked has more to do. It keeps its turn while its slice lasts.
    pub fn requeue(&mut self, vcpu: usize, now: Instant) {
        self.come_back(vcpu, State::Ready, now);
    }

    /// A vCPU that was picked has more to do, but first waits for another one: the rest of its
    /// slice goes to the one furthest behind of those that `is_meant` names, or else its turn ends,
    /// and another vCPU runs if one can.
    ///
    /// The rest of the slice is at its own expense all the same, or handing turns round would win
    /// more than a share. Where it goes to none, the vCPU does not get back later what it gives up,
    /// beyond a slice.
    pub fn yield_turn(&mut self, vcpu: usize, now: Instant, is_meant: impl Fn(usize) -> bool) {
        let left_ns = self.run.map_or(0, |run| run.end.since_ns(now));
        let payer = match self.turn {
            Some(turn) if turn.owner == vcpu => turn.payer,
            _ => vcpu,
        };
        self.come_back(vcpu, State::Ready, now);
        let least = self.least_clock(vcpu);
        if let Some(entity) = self.entity(vcpu) {
            entity.has_credit = false;
            entity.clock = entity.clock.max(least);
        }
        let to = self.furthest_behind(|other| other != vcpu && is_meant(other));
        self.turn = to.map(|owner| Turn {
            owner,
            payer,
            left_ns: left_ns.min(SLICE_NS),
        });
        self.skipped = Some(vcpu);
    }

    /// A vCPU that was picked sleeps.
    pub fn leave(&mut self, vcpu: usize, now: Instant) {
        self.come_back(vcpu, State::Asleep, now);
        self.turn = self.turn.filter(|turn| turn.owner != vcpu);
    }

    /// The CPU did something of its own from `since` to `now`: no vCPU is charged for that time.
    pub fn discount(&mut self, since: Instant, now: Instant) {
        if let Some((last, at)) = self.last {
            self.charge(last, at, since);
            self.last = Some((last, now));
        }
    }

    /// Takes the next one; it runs until [`RunQueue::next_look`].
    pub fn pick(&mut self, now: Instant) -> Option<usize> {
        self.look_at_caps(now);
        let skipped = self.skipped.take();
        let last = self.last.take();
        if let Some((last, at)) = last {
            self.charge(last, at, now);
        }
        let vcpu = self.choose(skipped)?;
        let goes_on = last.is_some_and(|(last, _)| last == vcpu);
        let end = now.after_ns(self.run_ns(vcpu));
        self.run = Some(Run {
            vcpu,
            since: now,
            end,
        });
        self.set_state(vcpu, State::Running);
        if let Some(entity) = self.entity(vcpu) {
            entity.is_hurried = false;
            if !goes_on {
                let waited_ns = now.since_ns(entity.ready_since);
                entity.waited_ns = entity.waited_ns.saturating_add(waited_ns);
            }
        }
        Some(vcpu)
    }

    /// When the queue wants to be asked again: the end of the present run, or when a cap lets a
    /// vCPU run again.
    #[must_use]
    pub fn next_look(&self, now: Instant) -> Option<Instant> {
        let ready = self
            .ready
            .iter()
            .filter_map(|vcpu| self.entities.get(*vcpu)?.as_ref());
        let held = ready.filter(|entity| entity.is_held);
        held.filter_map(|entity| entity.share.held_until(now))
            .chain(self.run.map(|run| run.end))
            .min()
    }

    /// Returns whether another vCPU could run now beside the one that does.
    #[must_use]
    pub fn is_contended(&self) -> bool {
        self.candidates().next().is_some()
    }

    /// Returns whether a vCPU could run and does not.
    #[must_use]
    pub fn is_waiting(&self, vcpu: usize) -> bool {
        self.is_in(vcpu, State::Ready)
    }

    /// Returns how long a vCPU was ready to run and did not, up to its last run: "steal time".
    #[must_use]
    pub fn waited_ns(&self, vcpu: usize) -> u64 {
        match self.entities.get(vcpu) {
            Some(Some(entity)) => entity.waited_ns,
            _ => 0,
        }
    }

    fn is_in(&self, vcpu: usize, state: State) -> bool {
        matches!(self.entities.get(vcpu), Some(Some(entity)) if entity.state == state)
    }

    /// Changes what a vCPU is doing.
    fn set_state(&mut self, vcpu: usize, state: State) {
        let Some(entity) = self.entity(vcpu) else {
            return;
        };
        let before = core::mem::replace(&mut entity.state, state);
        if before == state {
            return;
        }
        if before == State::Ready
            && let Some(at) = self.ready.iter().position(|ready| *ready == vcpu)
        {
            self.ready.swap_remove(at);
        }
        if state == State::Ready {
            self.ready.push(vcpu);
        }
    }

    fn is_present(&self, vcpu: usize) -> bool {
        self.entities.get(vcpu).is_some_and(Option::is_some)
    }

    fn entity(&mut self, vcpu: usize) -> Option<&mut Entity> {
        self.entities.get_mut(vcpu).and_then(Option::as_mut)
    }

    /// Returns those that could run.
    fn candidates(&self) -> impl Iterator<Item = (usize, &Entity)> {
        let ready = self.ready.iter();
        let present = ready.filter_map(|vcpu| Some((*vcpu, self.entities.get(*vcpu)?.as_ref()?)));
        present.filter(|(_, entity)| entity.is_candidate())
    }

    /// Of those that could run and are meant, the one furthest behind; of several, the one that has
    /// waited longest.
    fn furthest_behind(&self, is_meant: impl Fn(usize) -> bool) -> Option<usize> {
        self.candidates()
            .filter(|(vcpu, _)| is_meant(*vcpu))
            .min_by_key(|(_, entity)| (entity.clock, entity.ready_since))
            .map(|(vcpu, _)| vcpu)
    }

    /// Where the clock of a vCPU must be at least when it joins the others.
    ///
    /// A slice's run of its own is its credit. And where the one it would overtake has had a turn in advance, because turns
    /// are not as small as its weight, it may wait until that is made up for.
    fn least_clock(&self, vcpu: usize) -> Virtual {
        let Some(Some(entity)) = self.entities.get(vcpu) else {
            return self.floor;
        };
        let others = self.candidates().filter(|(other, _)| *other != vcpu);
        let first = others.min_by_key(|(_, other)| other.clock);
        let (floor, advance) = match first {
            Some((_, other)) => {
                let slice_ns = other.slice_ns(entity.share.weight());
                (other.clock, other.virtual_time(slice_ns))
            }
            None => (self.floor, 0),
        };
        floor.saturating_sub(entity.virtual_time(SLICE_NS).max(advance))
    }

    /// Ends the run of a vCPU and charges it.
    fn come_back(&mut self, vcpu: usize, state: State, now: Instant) {
        let run = self.run.take().filter(|run| run.vcpu == vcpu);
        let is_over = run.is_some_and(|run| now >= run.end);
        self.set_state(vcpu, state);
        let Some(entity) = self.entity(vcpu) else {
            return;
        };
        entity.ready_since = now;
        let Some(run) = run else {
            return;
        };
        self.charge(vcpu, run.since, now);
        if is_over {
            match &mut self.turn {
                Some(turn) if turn.owner == vcpu => turn.left_ns = 0,
                _ => {
                    if let Some(entity) = self.entity(vcpu) {
                        entity.has_credit = false;
                    }
                }
            }
        }
        self.last = (state == State::Ready).then_some((vcpu, now));
    }

    /// Moves the clock of a vCPU that had the CPU, and what depends on it.
    fn charge(&mut self, vcpu: usize, since: Instant, now: Instant) {
        let ran_ns = now.since_ns(since);
        let payer = match self.turn {
            Some(turn) if turn.owner == vcpu && self.is_present(turn.payer) => turn.payer,
            _ => vcpu,
        };
        let Some(entity) = self.entity(payer) else {
            return;
        };
        let moves = entity.virtual_time(ran_ns);
        entity.clock = entity.clock.saturating_add(moves);
        let clock = entity.clock;
        entity.share.charge(since, ran_ns);
        if let Some(turn) = &mut self.turn
            && turn.owner == vcpu
        {
            turn.left_ns = turn.left_ns.saturating_sub(ran_ns);
        }
        let others = self.candidates().map(|(_, entity)| entity.clock);
        self.floor = self.floor.max(others.min().unwrap_or(clock).min(clock));
    }

    /// Finds out whom a cap forbids to run, and lets those run whom it did.
    fn look_at_caps(&mut self, now: Instant) {
        let mut at = 0;
        while let Some(vcpu) = self.ready.get(at).copied() {
            at += 1;
            let Some(entity) = self.entity(vcpu) else {
                continue;
            };
            let is_held = entity.share.held_until(now).is_some();
            let was_held = core::mem::replace(&mut entity.is_held, is_held);
            if was_held && !is_held {
                let least = self.least_clock(vcpu);
                if let Some(entity) = self.entity(vcpu) {
                    entity.clock = entity.clock.max(least);
                }
            }
        }
    }
}
