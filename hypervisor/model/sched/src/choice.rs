//! Choice of the next vCPU, and of the time it runs.

use crate::entity::{Entity, Virtual};
use crate::{MAX_TURN_NS, MAX_WEIGHT, MIN_LEAD_NS, RunQueue, SLICE_NS, Turn};

impl RunQueue {
    /// Chooses the next vCPU: one in a hurry, one with credit, the owner of the turn, or the one
    /// furthest behind, whose turn begins then.
    pub(crate) fn choose(&mut self, skipped: Option<usize>) -> Option<usize> {
        let hurried = self.candidates().find(|(_, entity)| entity.is_hurried);
        if let Some((vcpu, _)) = hurried {
            return Some(vcpu);
        }
        let owner = self.turn.filter(|turn| turn.left_ns > 0).and_then(|turn| {
            let (_, entity) = self.candidates().find(|(vcpu, _)| *vcpu == turn.owner)?;
            Some((turn.owner, entity.clock))
        });
        if let Some((owner, clock)) = owner {
            let interrupts = |(vcpu, entity): &(usize, &Entity)| {
                *vcpu != owner
                    && Some(*vcpu) != skipped
                    && entity.has_credit
                    && entity
                        .clock
                        .saturating_add(entity.virtual_time(MIN_LEAD_NS))
                        <= clock
            };
            let first = self.candidates().filter(interrupts);
            let first = first.min_by_key(|(_, entity)| (entity.clock, entity.ready_since));
            return Some(first.map_or(owner, |(vcpu, _)| vcpu));
        }
        let next = self
            .furthest_behind(|vcpu| Some(vcpu) != skipped)
            .or_else(|| self.furthest_behind(|_| true))?;
        let left_ns = self.slice_ns(next);
        self.turn = Some(Turn {
            owner: next,
            payer: next,
            left_ns,
        });
        if let Some(entity) = self.entity(next) {
            entity.has_credit = false;
        }
        Some(next)
    }

    /// Returns the length of a vCPU's turn.
    fn slice_ns(&self, vcpu: usize) -> u64 {
        let heaviest = self.candidates().map(|(_, entity)| entity.share.weight());
        let heaviest = heaviest.max().unwrap_or(1);
        match self.entities.get(vcpu) {
            Some(Some(entity)) => entity.slice_ns(heaviest),
            _ => SLICE_NS,
        }
    }

    /// Returns how long the vCPU that was chosen runs before the queue is asked again.
    pub(crate) fn run_ns(&self, vcpu: usize) -> u64 {
        let Some(Some(entity)) = self.entities.get(vcpu) else {
            return 0;
        };
        let is_alone = self.candidates().all(|(other, _)| other == vcpu);
        let ns = match self.turn {
            _ if is_alone => MAX_TURN_NS,
            Some(turn) if turn.owner == vcpu => turn.left_ns,
            _ => self.credit_ns(entity),
        };
        entity
            .share
            .quantum_ns()
            .map_or(ns, |quantum| ns.min(quantum))
    }

    /// Returns how long a vCPU that interrupts a turn runs until it has caught up with the turn's
    /// owner.
    fn credit_ns(&self, entity: &Entity) -> u64 {
        let owner = self
            .turn
            .and_then(|turn| self.entities.get(turn.owner)?.as_ref());
        let lead = owner.map_or(0, |owner| owner.clock.saturating_sub(entity.clock));
        let ns = lead.saturating_mul(entity.share.weight().into()) / Virtual::from(MAX_WEIGHT);
        u64::try_from(ns)
            .unwrap_or(u64::MAX)
            .clamp(MIN_LEAD_NS, SLICE_NS)
    }
}
