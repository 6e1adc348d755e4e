//! A vCPU as its queue sees it.

use crate::{MAX_WEIGHT, MIN_SLICE_NS, SLICE_NS, Share};

use alloc::sync::Arc;
use time::Instant;

/// Ratio of another vCPU's weight to this one's above which slices become shorter.
const NEAR_WEIGHTS: u64 = 4;

/// Time on a vCPU's virtual clock: run time in ns, times [`MAX_WEIGHT`], divided by its weight.
pub(crate) type Virtual = u128;

/// Returns how far the virtual clock moves in `ns` of run time.
fn virtual_time(ns: u64, weight: u32) -> Virtual {
    Virtual::from(ns.saturating_mul(u64::from(MAX_WEIGHT)) / u64::from(weight.max(1)))
}

/// State of a vCPU in its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Asleep,
    Ready,
    Running,
}

/// A vCPU as its queue sees it.
#[derive(Debug)]
pub(crate) struct Entity {
    pub(crate) share: Arc<Share>,
    pub(crate) state: State,
    pub(crate) clock: Virtual,
    /// It woke up and has not used up its credit: it may interrupt a turn.
    pub(crate) has_credit: bool,
    /// It is to run next, whatever its clock and its cap say.
    pub(crate) is_hurried: bool,
    /// Its VM's cap forbids it to run.
    pub(crate) is_held: bool,
    pub(crate) ready_since: Instant,
    /// Time for which it was ready and did not run.
    pub(crate) waited_ns: u64,
}

impl Entity {
    /// One that sleeps.
    pub(crate) fn new(share: Arc<Share>) -> Self {
        Self {
            share,
            state: State::Asleep,
            // Far behind: waking moves it to where it has the credit of a slice.
            clock: 0,
            has_credit: false,
            is_hurried: false,
            is_held: false,
            ready_since: Instant::default(),
            waited_ns: 0,
        }
    }

    /// Returns how far its clock moves while it runs for `ns`.
    pub(crate) fn virtual_time(&self, ns: u64) -> Virtual {
        virtual_time(ns, self.share.weight())
    }

    /// Returns how long its turns are where the heaviest vCPU has the weight `heaviest`: a slice,
    /// or less where the weights are far apart, so that the heavy one does not wait for so long
    /// that it takes seconds to make up for it. Not less at once: each change of turns costs
    /// something.
    pub(crate) fn slice_ns(&self, heaviest: u32) -> u64 {
        let weight = u64::from(self.share.weight());
        let in_proportion = SLICE_NS * NEAR_WEIGHTS * weight / u64::from(heaviest.max(1));
        in_proportion.clamp(MIN_SLICE_NS, SLICE_NS)
    }

    /// Returns whether it could run.
    pub(crate) fn is_candidate(&self) -> bool {
        self.state == State::Ready && (!self.is_held || self.is_hurried)
    }
}
