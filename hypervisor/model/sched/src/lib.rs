//! Which vCPU a physical CPU runs next.
//!
//! Round robin with equal slices: whoever is ready gets its turn, and goes to the back when its slice is over. A vCPU that wakes
//! up goes to the front, because it has waited for an event and usually sleeps again soon; but only while those that came so
//! have used less than a slice since a turn ended that began at the back. So a vCPU gets a slice by its wake-ups, however many
//! there are, and another one in its turn, while each of the others gets one. A turn that was interrupted goes on with what
//! was left of its slice.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::collections::VecDeque;
use device::Instant;

/// How long a vCPU runs while others wait.
pub const SLICE_NS: u64 = 5_000_000;

/// A vCPU in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    vcpu: usize,
    /// Whether it went to the front when it woke up.
    has_jumped: bool,
    /// What is left of its slice.
    left_ns: u64,
    /// Since when it keeps its turn without running: that time is its own too, unless another one runs meanwhile.
    held_since: Option<Instant>,
}

/// The turn of the vCPU that was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    has_jumped: bool,
    since: Instant,
    end: Instant,
}

/// The ready vCPUs of one physical CPU, by their number there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunQueue {
    ready: VecDeque<Waiting>,
    turn: Option<Turn>,
    /// How long vCPUs that went to the front ran since a turn from the back ended.
    jumped_ns: u64,
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
        if self.jumped_ns < SLICE_NS {
            self.ready.push_front(Waiting {
                vcpu,
                has_jumped: true,
                left_ns: SLICE_NS,
                held_since: None,
            });
        } else {
            self.push_back(vcpu);
        }
    }

    /// A vCPU that was picked has more to do. It keeps its turn while its slice lasts.
    pub fn put_back(&mut self, vcpu: usize, now: Instant) {
        match self.turn {
            Some(turn) if now < turn.end => {
                self.turn = None;
                if turn.has_jumped {
                    self.count_jump(turn, now);
                }
                self.ready.push_front(Waiting {
                    vcpu,
                    has_jumped: turn.has_jumped,
                    left_ns: turn.end.since_ns(now),
                    held_since: Some(now),
                });
            }
            _ => self.yield_turn(vcpu, now),
        }
    }

    /// A vCPU that was picked gives up the rest of its slice but has more to do.
    pub fn yield_turn(&mut self, vcpu: usize, now: Instant) {
        self.leave(now);
        self.push_back(vcpu);
    }

    /// A vCPU that was picked sleeps or is gone.
    pub fn leave(&mut self, now: Instant) {
        match self.turn.take() {
            Some(turn) if turn.has_jumped => self.count_jump(turn, now),
            Some(_) => self.jumped_ns = 0,
            None => {}
        }
    }

    /// Takes the next one.
    pub fn pick(&mut self, now: Instant) -> Option<usize> {
        let mut next = self.ready.pop_front()?;
        if let Some(since) = next.held_since {
            next.left_ns = next.left_ns.saturating_sub(now.since_ns(since));
            if next.left_ns == 0 {
                // Its slice ended while it did not run.
                if !next.has_jumped {
                    self.jumped_ns = 0;
                }
                self.push_back(next.vcpu);
                next = self.ready.pop_front()?;
            }
        }
        for waiting in &mut self.ready {
            waiting.held_since = None;
        }
        let slice_ns = if next.has_jumped {
            next.left_ns.min(SLICE_NS.saturating_sub(self.jumped_ns))
        } else {
            next.left_ns
        };
        self.turn = Some(Turn {
            has_jumped: next.has_jumped,
            since: now,
            end: now.after_ns(slice_ns),
        });
        Some(next.vcpu)
    }

    fn count_jump(&mut self, turn: Turn, now: Instant) {
        self.jumped_ns = self.jumped_ns.saturating_add(now.since_ns(turn.since));
    }

    fn push_back(&mut self, vcpu: usize) {
        self.ready.push_back(Waiting {
            vcpu,
            has_jumped: false,
            left_ns: SLICE_NS,
            held_since: None,
        });
    }

    /// When the picked vCPU must give way: never, while nobody waits.
    #[must_use]
    pub fn slice_end(&self) -> Option<Instant> {
        if self.ready.is_empty() {
            None
        } else {
            self.turn.map(|turn| turn.end)
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
    fn an_exit_just_before_the_end_wins_no_new_slice() {
        let mut queue = RunQueue::default();
        queue.wake(0);
        queue.wake(1);
        let first = queue.pick(AT(0)).expect("ready");
        queue.put_back(first, AT(SLICE_NS - 1));
        assert_ne!(queue.pick(AT(SLICE_NS)), Some(first));
    }

    #[test]
    fn an_interrupted_turn_goes_on_with_what_is_left() {
        let mut queue = RunQueue::default();
        queue.push_back(0);
        queue.push_back(1);
        assert_eq!(queue.pick(AT(0)), Some(0));
        queue.put_back(0, AT(1_000));
        queue.wake(2);
        assert_eq!(queue.pick(AT(1_000)), Some(2));
        queue.leave(AT(3_000));
        assert_eq!(queue.pick(AT(3_000)), Some(0));
        assert_eq!(queue.slice_end(), Some(AT(SLICE_NS + 2_000)));
    }

    #[test]
    fn alone_there_is_no_slice() {
        let mut queue = RunQueue::default();
        queue.wake(3);
        assert_eq!(queue.pick(AT(0)), Some(3));
        assert_eq!(queue.slice_end(), None);
    }

    /// Nanoseconds a busy vCPU and one that always wakes up at once get, when the latter runs for `nap_ns` at a time.
    fn shared(nap_ns: u64) -> [u64; 2] {
        let mut queue = RunQueue::default();
        let mut ran = [0; 2];
        let mut now = AT(0);
        queue.wake(0);
        queue.wake(1);
        while now < AT(1_000 * SLICE_NS) {
            let vcpu = queue.pick(now).expect("two are ready");
            let end = queue.slice_end().expect("another one waits");
            // The busy one is interrupted by the other's wake-ups a microsecond apart.
            let want = now.after_ns(if vcpu == 0 { 1_000 } else { nap_ns });
            let until = want.min(end).max(now.after_ns(100));
            ran[vcpu] += until.since_ns(now);
            now = until;
            if vcpu == 1 && want <= end {
                queue.leave(now);
                queue.wake(1);
            } else {
                queue.put_back(vcpu, now);
                queue.wake(1);
            }
        }
        ran
    }

    #[test]
    fn wake_ups_do_not_starve_a_busy_one() {
        for nap_ns in [1_000, 100_000, SLICE_NS - 1, SLICE_NS, 10 * SLICE_NS] {
            let [busy, sleepy] = shared(nap_ns);
            assert!(busy * 21 >= sleepy * 10, "{nap_ns}: {busy} and {sleepy}");
        }
    }

    #[test]
    fn one_that_wakes_up_comes_first() {
        let mut queue = RunQueue::default();
        queue.push_back(0);
        queue.push_back(1);
        queue.wake(2);
        assert_eq!(queue.pick(AT(0)), Some(2));
    }
}
