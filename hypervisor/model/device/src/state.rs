//! The state of a device apart from its wiring, as plain data that is saved and restored.
//!
//! A state is written by serde in the postcard format and carries a version beside it. What comes
//! from outside is input like any other: it is decoded first, then the device looks at every value.

use crate::Device;
use alloc::vec::Vec;
use core::fmt;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// State that no device can have been in, with the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadState(pub &'static str);

impl BadState {
    /// Returns it, for this reason, unless `holds`.
    ///
    /// # Errors
    /// [`BadState`] when `holds` is false.
    pub const fn unless(holds: bool, why: &'static str) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self(why)) }
    }
}

impl fmt::Display for BadState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Why bytes are no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// They are of a later version than this program knows.
    Newer {
        /// Theirs.
        saved: u32,
        /// The last one that is known.
        known: u32,
    },
    /// Nothing can have been in this state.
    Bad(BadState),
}

impl From<BadState> for Unreadable {
    fn from(bad: BadState) -> Self {
        Self::Bad(bad)
    }
}

/// Plain data with a version: what changes while a guest runs, and nothing of what it is wired to.
pub trait State: Serialize + DeserializeOwned {
    /// The version that is written. Any change to what serde makes of the data is a new one, which
    /// comes with its step in [`State::migrate`].
    const VERSION: u32 = 1;

    /// Turns a state of the older version `from` into one of `from + 1`.
    ///
    /// # Errors
    /// [`BadState`] when it cannot have been one, or when no step leads on from there.
    fn migrate(from: u32, bytes: &[u8]) -> Result<Vec<u8>, BadState> {
        let _ = (from, bytes);
        Err(BadState("nothing reads its version any more"))
    }
}

/// A device whose state can be taken out and put in.
pub trait Persist: Device {
    /// Its state. Wiring (identities, sizes, write masks, contents that the board gave, the time
    /// that passes for everyone) is no part of it.
    type State: State;

    /// Returns its state now.
    fn state(&self) -> Self::State;

    /// Replaces its state. Its wires keep the level they have, and time its value: the device has to
    /// be at the time of the save already.
    ///
    /// Whatever is accepted leaves a whole device: none of its later answers differ from those of a
    /// device that came into this state by itself, and a reset ends all of it.
    ///
    /// # Errors
    /// [`BadState`] for what the device cannot have been; nothing has changed then.
    fn set_state(&mut self, state: Self::State) -> Result<(), BadState>;
}

/// Writes a state, in its present version.
#[must_use]
pub fn encode(state: &impl State) -> Vec<u8> {
    // A vector takes everything. Were it not so, nothing would be written, which no reader takes.
    postcard::to_allocvec(state).unwrap_or_default()
}

/// Reads a state of version `version`, older ones by way of their migrations.
///
/// # Errors
/// [`Unreadable`].
pub fn decode<S: State>(version: u32, bytes: &[u8]) -> Result<S, Unreadable> {
    let known = S::VERSION;
    if version > known {
        return Err(Unreadable::Newer {
            saved: version,
            known,
        });
    }
    let mut migrated = None;
    for from in version..known {
        let bytes = migrated.as_deref().unwrap_or(bytes);
        migrated = Some(S::migrate(from, bytes)?);
    }
    Ok(exactly(migrated.as_deref().unwrap_or(bytes))?)
}

/// Reads data that takes up all of `bytes`: for [`State::migrate`].
///
/// # Errors
/// [`BadState`] when they are not that.
pub fn exactly<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BadState> {
    match postcard::take_from_bytes(bytes) {
        Ok((data, [])) => Ok(data),
        Ok(_) => Err(BadState("it is longer than it says")),
        Err(_) => Err(BadState("it does not have the form of its version")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    /// A counter in its third version: 1 was a number of 8 bits, 2 one of 16, 3 adds a flag.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Counter {
        count: u16,
        is_stopped: bool,
    }

    #[derive(Serialize, Deserialize)]
    struct Counter2 {
        count: u16,
    }

    impl State for Counter2 {
        const VERSION: u32 = 2;
    }

    impl State for Counter {
        const VERSION: u32 = 3;

        fn migrate(from: u32, bytes: &[u8]) -> Result<Vec<u8>, BadState> {
            match from {
                1 => {
                    let count = u16::from(exactly::<u8>(bytes)?);
                    Ok(encode(&Counter2 { count }))
                }
                2 => {
                    let Counter2 { count } = exactly(bytes)?;
                    let is_stopped = count == 0;
                    Ok(encode(&Self { count, is_stopped }))
                }
                _ => Err(BadState("no counter was ever of that version")),
            }
        }
    }

    const COUNTER: Counter = Counter {
        count: 7,
        is_stopped: false,
    };

    #[test]
    fn each_step_of_a_migration_gives_the_version_behind_it() {
        let second = Counter::migrate(1, &[7]);
        assert_eq!(second, Ok(encode(&Counter2 { count: 7 })));
        let third = Counter::migrate(2, &encode(&Counter2 { count: 7 }));
        assert_eq!(third, Ok(encode(&COUNTER)));
        let stopped = Counter::migrate(2, &encode(&Counter2 { count: 0 }));
        let stopped = decode::<Counter>(3, &stopped.expect("version 2"));
        assert!(stopped.expect("version 3").is_stopped);
    }

    #[test]
    fn all_versions_are_read_and_later_ones_refused_by_number() {
        assert_eq!(decode(1, &[7]), Ok(COUNTER));
        assert_eq!(decode(2, &encode(&Counter2 { count: 7 })), Ok(COUNTER));
        assert_eq!(decode(3, &encode(&COUNTER)), Ok(COUNTER));
        let newer = Unreadable::Newer { saved: 4, known: 3 };
        assert_eq!(decode::<Counter>(4, &encode(&COUNTER)), Err(newer));
        assert!(matches!(
            decode::<Counter>(0, &[]),
            Err(Unreadable::Bad(BadState(why))) if why.contains("version")
        ));
    }

    #[test]
    fn too_few_and_too_many_bytes_are_no_state() {
        let good = encode(&COUNTER);
        let mut long = good.clone();
        long.push(0);
        for bytes in [&good[1..], &long, &[]] {
            let bad = decode::<Counter>(3, bytes);
            assert!(matches!(bad, Err(Unreadable::Bad(_))), "{bytes:x?}");
        }
        // A step of a migration looks as closely.
        assert!(decode::<Counter>(1, &[7, 7]).is_err());
        assert!(decode::<Counter>(2, &[]).is_err());
    }
}
