//! Which vCPU a physical CPU runs next.
//!
//! Round robin with equal slices: whoever is ready gets its turn, a vCPU that wakes up goes to the front because it has waited for
//! an event and usually sleeps again soon, one whose slice is over goes to the back.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::collections::VecDeque;
use device::Instant;

/// How long a vCPU runs while others wait.
pub const SLICE_NS: u64 = 5_000_000;

/// How many wake-ups in a row may go to the front before the vCPU at the front gets its turn.
const FRONT_LIMIT: u32 = 8;

/// A vCPU in the queue, and whether it went to the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    vcpu: usize,
    has_jumped: bool,
}

/// The ready vCPUs of one physical CPU, by their number there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunQueue {
    ready: VecDeque<Waiting>,
    slice_end: Option<Instant>,
    /// Who was put back to the front because its slice lasted.
    holder: Option<usize>,
    jumped: u32,
}

impl RunQueue {
    /// An empty queue with room for `vcpus` entries, so that nothing allocates later.
    pub fn reserve(&mut self, vcpus: usize) {
        self.ready.reserve(vcpus);
    }

    /// Whether anybody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// A vCPU has something to do after sleeping.
    pub fn wake(&mut self, vcpu: usize) {
        if self.ready.iter().any(|waiting| waiting.vcpu == vcpu) {
            return;
        }
        if self.jumped < FRONT_LIMIT {
            self.jumped += 1;
            self.ready.push_front(Waiting {
                vcpu,
                has_jumped: true,
            });
        } else {
            self.push_back(vcpu);
        }
    }

    /// A vCPU that was picked has more to do. It keeps its turn while its slice lasts.
    pub fn put_back(&mut self, vcpu: usize, now: Instant) {
        match self.slice_end {
            Some(end) if now < end => {
                self.holder = Some(vcpu);
                self.ready.push_front(Waiting {
                    vcpu,
                    has_jumped: false,
                });
            }
            _ => self.yield_turn(vcpu),
        }
    }

    /// A vCPU that was picked gives up the rest of its slice but has more to do.
    pub fn yield_turn(&mut self, vcpu: usize) {
        self.slice_end = None;
        self.push_back(vcpu);
    }

    /// A vCPU that was picked sleeps or is gone.
    pub fn leave(&mut self) {
        self.slice_end = None;
    }

    /// Takes the next one.
    pub fn pick(&mut self, now: Instant) -> Option<usize> {
        let is_over = self.slice_end.is_none_or(|end| end <= now);
        let holder = self.holder.take();
        if is_over
            && holder.is_some()
            && let Some(front) = self.ready.front()
            && Some(front.vcpu) == holder
        {
            // Its slice ended after it was put back. A guest that comes back just before that must not get another one.
            self.ready.rotate_left(1);
        }
        let next = self.ready.pop_front()?;
        if !next.has_jumped {
            self.jumped = 0;
        }
        if is_over {
            self.slice_end = Some(now.after_ns(SLICE_NS));
        }
        Some(next.vcpu)
    }

    fn push_back(&mut self, vcpu: usize) {
        self.ready.push_back(Waiting {
            vcpu,
            has_jumped: false,
        });
    }

    /// When the picked vCPU must give way: never, while nobody waits.
    #[must_use]
    pub fn slice_end(&self) -> Option<Instant> {
        if self.ready.is_empty() {
            None
        } else {
            self.slice_end
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(u64) -> Instant = Instant::from_ns;

    #[test]
    fn busy_vcpus_take_turns() {
        let mut queue = RunQueue::default();
        queue.wake(0);
        queue.wake(1);
        let mut ran = [0u32; 2];
        let mut now = 0;
        for _ in 0..100 {
            let vcpu = queue.pick(AT(now)).expect("two are ready");
            ran[vcpu] += 1;
            now += SLICE_NS;
            queue.put_back(vcpu, AT(now));
        }
        assert_eq!(ran, [50, 50]);
    }

    #[test]
    fn a_turn_survives_an_exit() {
        let mut queue = RunQueue::default();
        queue.wake(0);
        queue.wake(1);
        let first = queue.pick(AT(0)).expect("ready");
        queue.put_back(first, AT(SLICE_NS / 2));
        assert_eq!(queue.pick(AT(SLICE_NS / 2)), Some(first));
        queue.put_back(first, AT(SLICE_NS));
        assert_ne!(queue.pick(AT(SLICE_NS)), Some(first));
    }

    #[test]
    fn a_slice_that_ends_in_the_loop_is_over() {
        let mut queue = RunQueue::default();
        queue.wake(0);
        queue.wake(1);
        let first = queue.pick(AT(0)).expect("ready");
        queue.put_back(first, AT(SLICE_NS - 1));
        assert_ne!(queue.pick(AT(SLICE_NS)), Some(first));
    }

    #[test]
    fn alone_there_is_no_slice() {
        let mut queue = RunQueue::default();
        queue.wake(3);
        assert_eq!(queue.pick(AT(0)), Some(3));
        assert_eq!(queue.slice_end(), None);
    }

    #[test]
    fn wake_ups_do_not_starve_a_busy_one() {
        let mut queue = RunQueue::default();
        queue.wake(0);
        let mut ran = 0;
        for round in 0..1_000u64 {
            let now = AT(round * SLICE_NS);
            // Somebody else wakes up each time, wants the front, and sleeps again.
            queue.wake(1);
            let vcpu = queue.pick(now).expect("two are ready");
            if vcpu == 0 {
                ran += 1;
                queue.put_back(0, AT((round + 1) * SLICE_NS));
            } else {
                queue.leave();
            }
        }
        assert!(ran >= 100, "ran {ran} times of 1,000");
    }
}
