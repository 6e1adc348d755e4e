//! What the plugin `phases` counted: the hypervisor's instructions, address by address, in each phase of a test guest.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

/// The kind of a locked instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    /// It is not locked.
    None,
    /// Compare-and-exchange or exchange-and-add: what a lock is taken by.
    Taking,
    /// Any other.
    Other,
}

/// How often the instruction at an address was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) address: u64,
    pub(super) count: u64,
    pub(super) lock: Lock,
}

/// One phase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Phase {
    /// Instructions of everybody.
    pub(super) total: u64,
    /// How often a guest was entered.
    pub(super) entries: u64,
    /// The hypervisor's instructions.
    pub(super) places: Vec<Place>,
}

impl Phase {
    /// Instructions of the hypervisor.
    pub(super) fn host(&self) -> u64 {
        self.places.iter().map(|place| place.count).sum()
    }

    /// How many locked instructions of a kind the hypervisor executed.
    pub(super) fn locked(&self, kind: Lock) -> u64 {
        self.places
            .iter()
            .filter(|place| place.lock == kind)
            .map(|place| place.count)
            .sum()
    }
}

/// Phases by their numbers.
pub(super) type Phases = BTreeMap<u32, Phase>;

/// Reads what the plugin wrote.
pub(super) fn read(result: &Path) -> Result<Phases> {
    let text = std::fs::read_to_string(result).context("the plugin has written nothing")?;
    parse(&text)
}

fn parse(text: &str) -> Result<Phases> {
    let mut phases = Phases::new();
    let mut current = None;
    for line in text.lines() {
        let strange = || format!("the plugin wrote: {line}");
        if let Some(head) = line.strip_prefix("phase ") {
            let (number, phase) = header(head).with_context(strange)?;
            phases.insert(number, phase);
            current = Some(number);
        } else {
            let place = place(line).with_context(strange)?;
            let phase = current.and_then(|number| phases.get_mut(&number));
            phase.with_context(strange)?.places.push(place);
        }
    }
    Ok(phases)
}

/// `7 total=30 entries=2`
fn header(text: &str) -> Option<(u32, Phase)> {
    let mut words = text.split_whitespace();
    let number = words.next()?.parse().ok()?;
    let total = words.next()?.strip_prefix("total=")?.parse().ok()?;
    let entries = words.next()?.strip_prefix("entries=")?.parse().ok()?;
    let phase = Phase {
        total,
        entries,
        places: Vec::new(),
    };
    Some((number, phase))
}

/// `ffffffff80200000 12 -`
fn place(line: &str) -> Option<Place> {
    let mut words = line.split_whitespace();
    Some(Place {
        address: u64::from_str_radix(words.next()?, 16).ok()?,
        count: words.next()?.parse().ok()?,
        lock: match words.next()? {
            "-" => Lock::None,
            "c" => Lock::Taking,
            "x" => Lock::Other,
            _ => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_and_their_places_are_read() {
        let text = "phase 7 total=30 entries=2\nffffffff80200000 12 -\nffffffff80200004 3 c\n\
                    phase 9 total=1 entries=0\n";
        let phases = parse(text).unwrap();
        assert_eq!(phases[&7].host(), 15);
        assert_eq!(phases[&7].locked(Lock::Taking), 3);
        assert_eq!(phases[&7].locked(Lock::Other), 0);
        assert_eq!((phases[&9].total, phases[&9].entries), (1, 0));
    }

    #[test]
    fn what_is_no_phase_is_refused() {
        assert!(parse("ffffffff80200000 12 -").is_err());
        assert!(parse("phase x total=1 entries=1").is_err());
        assert!(parse("phase 1 total=1 entries=1\nffff 1 ?").is_err());
    }
}
