//! The focus of a session.

use core::sync::atomic::{AtomicUsize, Ordering};
use vm_spec::GuestConsole;

/// The source that a session's terminal shows, and that what is typed there goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Focus {
    /// The operator's shell.
    Shell,
    /// The serial port of the VM of this number.
    Serial(usize),
    /// The screen of the VM of this number, with its keyboard.
    Screen(usize),
}

impl Focus {
    /// Returns the focus on one of a VM's consoles.
    pub(crate) fn on(vm: usize, console: GuestConsole) -> Self {
        match console {
            GuestConsole::Serial => Self::Serial(vm),
            GuestConsole::Screen => Self::Screen(vm),
        }
    }

    /// Returns the number of the VM that has the focus.
    pub(crate) fn vm(self) -> Option<usize> {
        match self {
            Self::Shell => None,
            Self::Serial(vm) | Self::Screen(vm) => Some(vm),
        }
    }

    /// Returns the focus on the other console of the same VM.
    pub(crate) fn toggled(self) -> Self {
        match self {
            Self::Shell => Self::Shell,
            Self::Serial(vm) => Self::Screen(vm),
            Self::Screen(vm) => Self::Serial(vm),
        }
    }
}

/// A focus that is read without a lock.
pub(crate) struct AtomicFocus(AtomicUsize);

impl AtomicFocus {
    /// No VM has this number: they count up from 0, one with each VM that is made.
    const SHELL: usize = usize::MAX;

    pub(crate) const fn new() -> Self {
        Self(AtomicUsize::new(Self::SHELL))
    }

    /// Returns the focus.
    pub(crate) fn get(&self) -> Focus {
        let raw = self.0.load(Ordering::Relaxed);
        let vm = raw >> 1;
        match raw {
            Self::SHELL => Focus::Shell,
            _ if raw & 1 == 0 => Focus::Serial(vm),
            _ => Focus::Screen(vm),
        }
    }

    /// Changes the focus.
    pub(crate) fn set(&self, to: Focus) {
        let raw = match to {
            Focus::Shell => Self::SHELL,
            Focus::Serial(vm) => vm << 1,
            Focus::Screen(vm) => vm << 1 | 1,
        };
        self.0.store(raw, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_it_was_set_to() {
        let focus = AtomicFocus::new();
        assert_eq!(focus.get(), Focus::Shell);
        for vm in [0, 1, 7, usize::MAX >> 2] {
            for to in [Focus::Serial(vm), Focus::Screen(vm), Focus::Shell] {
                focus.set(to);
                assert_eq!(focus.get(), to);
            }
        }
    }
}
