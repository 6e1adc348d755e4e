//! Why a slot does not take a state.

use core::fmt;
use device::{BadState, Persist, State, Unreadable};

/// Error in the saved state of a part of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// A later version than this one wrote it.
    Newer {
        /// Its version.
        saved: u32,
        /// The last version that is known here.
        known: u32,
    },
    /// The part cannot have been in it, and why.
    Bad(&'static str),
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newer { saved, known } => {
                write!(
                    f,
                    "of version {saved}, of which this one knows {known} at most"
                )
            }
            Self::Bad(why) => f.write_str(why),
        }
    }
}

impl From<BadState> for Rejected {
    fn from(BadState(why): BadState) -> Self {
        Self::Bad(why)
    }
}

impl From<Unreadable> for Rejected {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Newer { saved, known } => Self::Newer { saved, known },
            Unreadable::Bad(bad) => bad.into(),
        }
    }
}

/// The version of the state of a device.
pub(crate) const fn version<D: Persist>() -> u32 {
    <D::State as State>::VERSION
}

/// Replaces the state of a device by a saved one.
pub(crate) fn restore<D: Persist>(
    device: &mut D,
    version: u32,
    bytes: &[u8],
) -> Result<(), Rejected> {
    Ok(device.set_state(device::decode(version, bytes)?)?)
}
