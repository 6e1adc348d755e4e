//! Compares the TSC of every CPU with the boot CPU's, and moves those that differ where it can.
//!
//! All time of the hypervisor and of its guests comes from the TSC of whichever CPU asks. Most
//! firmware leaves all TSCs equal; some does not. The boot CPU asks each other one a few times over
//! one shared cache line, while that one waits for work.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use cpu::msr::IA32_TSC_ADJUST;
use time::{TscExchange, TscOffset, TscVerdict};

/// Questions to a CPU; the shortest round trip counts.
const ROUNDS: usize = 32;
/// Time an answer may take before the CPU counts as deaf: an emulator may have stopped it.
const PATIENCE_US: u64 = 2_000_000;
/// Time all questions to one CPU may take, once it listens.
const BUDGET_US: u64 = 20_000;
/// Number of times a TSC is moved before it counts as one that cannot be.
const MAX_ADJUSTMENTS: u32 = 3;
/// Number of times each end looks for the other's word before it pauses between two looks. PAUSE
/// makes round trips longer; but an emulator may run the other CPU only when this one pauses.
const LOOKS: u32 = 200;

/// Words that the two CPUs write and read.
#[repr(align(64))]
struct Line {
    /// A [`Request`]; none before the first.
    request: AtomicU64,
    /// The request that was answered last.
    reply: AtomicU64,
    /// The answer; or the ticks to add, in an order to adjust.
    value: AtomicU64,
}

static LINE: Line = Line {
    request: AtomicU64::new(0),
    reply: AtomicU64::new(0),
    value: AtomicU64::new(0),
};

/// Request of the boot CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// The CPU's TSC.
    Read,
    /// To add the value to its TSC. The answer is 1 if that was done.
    Adjust,
}

/// An order, to one CPU, and its number: in one word, so that no CPU takes another's order for its
/// own. CPU 0 is the one that asks, so 0 is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Request(u64);

impl Request {
    const ADJUST: u64 = 1 << 16;

    const fn new(number: u32, to: u32, order: Order) -> Self {
        let order = match order {
            Order::Read => 0,
            Order::Adjust => Self::ADJUST,
        };
        Self((number as u64) << 32 | order | (to as u64 & 0xffff))
    }

    const fn to(self) -> u32 {
        (self.0 & 0xffff) as u32
    }

    const fn order(self) -> Order {
        if self.0 & Self::ADJUST != 0 {
            Order::Adjust
        } else {
            Order::Read
        }
    }
}

/// The end of a CPU that is asked.
pub(crate) struct Answerer {
    id: u32,
    last: Request,
}

impl Answerer {
    pub(crate) const fn new(id: u32) -> Self {
        Self {
            id,
            last: Request(0),
        }
    }

    /// Answers what is asked; costs one load when nothing is.
    pub(crate) fn answer(&mut self) {
        if !self.answer_one() {
            return;
        }
        // More questions follow at once. Who calls this pauses between two calls.
        let mut looks = LOOKS;
        while looks > 0 {
            looks = if self.answer_one() { LOOKS } else { looks - 1 };
        }
    }

    fn answer_one(&mut self) -> bool {
        let request = Request(LINE.request.load(Ordering::Acquire));
        if request == self.last || request.to() != self.id {
            return false;
        }
        self.last = request;
        let value = match request.order() {
            Order::Read => cpu::read_tsc_ordered(),
            Order::Adjust => u64::from(adjust(LINE.value.load(Ordering::Relaxed))),
        };
        LINE.value.store(value, Ordering::Relaxed);
        LINE.reply.store(request.0, Ordering::Release);
        true
    }
}

/// Adds `ticks` to the TSC of this CPU; returns false where there is no way.
/// (Intel SDM vol. 3B 19.17.3: a write of IA32_TSC_ADJUST moves the TSC by the difference)
fn adjust(ticks: u64) -> bool {
    let has_adjust = cpu::has_cpuid_leaf(7) && cpu::cpuid_count(7, 0).ebx & (1 << 1) != 0;
    let Some(old) = cpu::try_read_msr(IA32_TSC_ADJUST).filter(|_| has_adjust) else {
        return false;
    };
    // SAFETY: moves the TSC of a CPU that has armed no alarm and runs no guest yet.
    unsafe { cpu::try_write_msr(IA32_TSC_ADJUST, old.wrapping_add(ticks)) }
}

/// Compares the TSCs of CPUs 1 to `cpu_count - 1` with this one's, the boot CPU's. They wait for
/// work. Each one that differs gets a line.
pub(crate) fn compare_others(cpu_count: u32, tsc_khz: u64) {
    let mut asker = Asker { number: 0, tsc_khz };
    for id in 1..cpu_count {
        match asker.compare(id) {
            TscVerdict::Agrees(offset) => log::debug!(
                "cpu{id}: its TSC agrees with cpu0's ({} ± {} ticks)",
                offset.ticks,
                offset.uncertainty_ticks
            ),
            TscVerdict::Adjust(offset) | TscVerdict::Differs(offset) => log::warn!(
                "cpu{id}: its TSC is {} cpu0's and cannot be set: time jumps by as much for a VM \
                 with vCPUs on both",
                Distance { offset, tsc_khz }
            ),
            TscVerdict::Unknown => {
                // It may still answer, into the next one's question.
                log::warn!("cpu{id}: no answer about its TSC; TSCs from there on are not compared");
                return;
            }
        }
    }
}

/// The end of the CPU that asks.
struct Asker {
    /// Of the last request.
    number: u32,
    tsc_khz: u64,
}

impl Asker {
    /// Compares, moves and compares again until the TSC agrees or there is no way.
    fn compare(&mut self, id: u32) -> TscVerdict {
        let mut adjustments_left = MAX_ADJUSTMENTS;
        let mut first = None;
        loop {
            let mut exchanges = [TscExchange {
                asked: 1,
                answered: 0,
                returned: 0,
            }; ROUNDS];
            let verdict = TscVerdict::of(self.ask(id, &mut exchanges), adjustments_left);
            match (verdict, first) {
                (TscVerdict::Adjust(offset), _) => {
                    first.get_or_insert(offset);
                    let by = offset.ticks.wrapping_neg().cast_unsigned();
                    LINE.value.store(by, Ordering::Relaxed);
                    match self.exchange(id, Order::Adjust) {
                        None => return TscVerdict::Unknown,
                        Some(TscExchange { answered: 1, .. }) => adjustments_left -= 1,
                        Some(_) => adjustments_left = 0,
                    }
                }
                (TscVerdict::Agrees(_), Some(offset)) => {
                    let tsc_khz = self.tsc_khz;
                    let distance = Distance { offset, tsc_khz };
                    log::info!("cpu{id}: its TSC was {distance} cpu0's and has been set");
                    return verdict;
                }
                (TscVerdict::Agrees(_) | TscVerdict::Differs(_) | TscVerdict::Unknown, _) => {
                    return verdict;
                }
            }
        }
    }

    /// Asks for the TSC of a CPU, some times; returns the exchanges that came about.
    fn ask<'a>(&mut self, id: u32, exchanges: &'a mut [TscExchange]) -> &'a [TscExchange] {
        // The first one only wakes it: its line is far away, or an emulator has it stopped.
        if self.exchange(id, Order::Read).is_none() {
            return &[];
        }
        let start = cpu::read_tsc();
        let mut count = 0;
        for slot in exchanges.iter_mut() {
            let Some(exchange) = self.exchange(id, Order::Read) else {
                // A CPU that fell silent may yet write over another's answer: nothing counts.
                return &[];
            };
            *slot = exchange;
            count += 1;
            if cpu::read_tsc().wrapping_sub(start) > self.ticks(BUDGET_US) {
                break;
            }
        }
        exchanges.get(..count).unwrap_or_default()
    }

    /// Gives one order and waits for the answer; `None` if none comes.
    fn exchange(&mut self, to: u32, order: Order) -> Option<TscExchange> {
        self.number += 1;
        let request = Request::new(self.number, to, order);
        let asked = cpu::read_tsc_ordered();
        LINE.request.store(request.0, Ordering::Release);
        let mut looks = 0;
        while LINE.reply.load(Ordering::Acquire) != request.0 {
            if looks < LOOKS {
                looks += 1;
            } else if cpu::read_tsc().wrapping_sub(asked) > self.ticks(PATIENCE_US) {
                return None;
            } else {
                cpu::pause();
            }
        }
        let returned = cpu::read_tsc_ordered();
        Some(TscExchange {
            asked,
            answered: LINE.value.load(Ordering::Relaxed),
            returned,
        })
    }

    const fn ticks(&self, us: u64) -> u64 {
        us * self.tsc_khz / 1000
    }
}

/// An offset in words: `12 ticks (6 ns) ahead of`.
struct Distance {
    offset: TscOffset,
    tsc_khz: u64,
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ticks = self.offset.ticks.unsigned_abs();
        let ns = u128::from(ticks) * 1_000_000 / u128::from(self.tsc_khz.max(1));
        let side = match self.offset.ticks {
            0.. => "ahead of",
            _ => "behind",
        };
        write!(f, "{ticks} ticks ({ns} ns) {side}")
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn a_request_carries_its_cpu_and_its_order() {
        for (to, order) in [(1, Order::Read), (255, Order::Adjust)] {
            let request = Request::new(7, to, order);
            assert_eq!((request.to(), request.order()), (to, order));
            assert_ne!(request, Request::new(8, to, order));
        }
    }

    #[test]
    fn a_distance_has_a_side() {
        let text = |ticks| {
            let offset = TscOffset {
                ticks,
                uncertainty_ticks: 1,
            };
            std::format!(
                "{}",
                Distance {
                    offset,
                    tsc_khz: 2_000_000
                }
            )
        };
        assert_eq!(text(12), "12 ticks (6 ns) ahead of");
        assert_eq!(text(-3000), "3000 ticks (1500 ns) behind");
    }
}
