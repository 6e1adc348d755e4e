//! Why a VM is not saved, or not restored.

use alloc::string::String;
use board::Rejected;
use core::fmt;

/// The VM is not paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotPaused;

/// Why a VM could not take a saved state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// These are not the bytes of a saved VM.
    NotSaved,
    /// They are in the form that had no sections, which nothing reads any more.
    Older,
    /// They are in a form that only a later version knows.
    Newer(u32),
    /// They end before the saved VM does.
    Cut,
    /// They go on behind the end of the saved VM.
    Trailing,
    /// The saved VM is one with other vCPUs, memory or CPU features.
    Shape,
    /// The VM is not stopped, or not ready yet.
    NotStopped,
    /// This VM has nothing for this section, or not at this place.
    Unknown(String),
    /// The VM needs this section.
    Missing(String),
    /// This section comes a second time.
    Twice(String),
    /// Nothing can be made of this section.
    Section(String, Rejected),
}

impl RestoreError {
    /// This section is not good.
    pub(crate) fn section(name: impl Into<String>, why: impl Into<Rejected>) -> Self {
        Self::Section(name.into(), why.into())
    }
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSaved => write!(f, "this is no saved VM"),
            Self::Older => write!(
                f,
                "saved by an older version, whose form without sections is not read any more"
            ),
            Self::Newer(form) => write!(f, "saved by a later version, in form {form}"),
            Self::Cut => write!(f, "the saved VM is cut off"),
            Self::Trailing => write!(f, "something follows the end of the saved VM"),
            Self::Shape => write!(
                f,
                "saved of a VM with other vCPUs, memory or CPU features than this one"
            ),
            Self::NotStopped => write!(f, "only a stopped VM takes a saved state"),
            Self::Unknown(name) => write!(f, "this VM has no place for section {name:?}"),
            Self::Missing(name) => write!(f, "section {name:?} is missing"),
            Self::Twice(name) => write!(f, "section {name:?} comes twice"),
            Self::Section(name, why) => write!(f, "bad section {name:?}: {why}"),
        }
    }
}
