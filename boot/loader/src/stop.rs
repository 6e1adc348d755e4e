//! Why the loader goes no further.

use alloc::string::String;
use core::fmt;

use crate::pages::NoMemory;

/// Something that stands in the way of starting the hypervisor, as the operator reads it.
#[derive(Debug)]
pub(crate) struct Stop {
    what: String,
    remedy: String,
}

impl Stop {
    /// `what` is wrong; `remedy` says what to do about it and may be empty.
    pub(crate) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        if !self.remedy.is_empty() {
            write!(f, "\n  {}", self.remedy)?;
        }
        Ok(())
    }
}

impl From<NoMemory> for Stop {
    fn from(error: NoMemory) -> Self {
        Self::new(
            alloc::format!("{error}"),
            "this machine has too little memory for the hypervisor",
        )
    }
}

impl From<uefi::Error> for Stop {
    fn from(error: uefi::Error) -> Self {
        Self::new(
            alloc::format!("the firmware answered {:?}", error.status()),
            "",
        )
    }
}
