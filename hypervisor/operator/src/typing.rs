//! The way of what is typed to a VM, and a remark when it does not arrive.

use crate::console::Console;
use crate::display::Display;
use alloc::vec::Vec;
use core::fmt;
use host::Host;
use time::Instant;
use vmm::Vm;
use vmm::VmState;

/// A reason why a VM does not get what is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obstacle {
    /// It is paused: keys for its serial port wait, those for its screen are not pressed.
    Paused,
    /// Nothing of it runs.
    Stopped,
    /// It takes nothing, and no more can wait.
    Full,
}

/// The session's keyboard, while a VM has the focus.
pub(crate) struct Typing<H: Host> {
    console: &'static Console<H>,
    /// The obstacles that the operator was told of, and of which VM, as long as they stand: once is
    /// enough.
    told: Vec<(usize, Obstacle)>,
}

impl<H: Host> Typing<H> {
    pub(crate) fn new(console: &'static Console<H>) -> Self {
        Self {
            console,
            told: Vec::new(),
        }
    }

    /// Forgets what was told: the focus changes.
    pub(crate) fn change(&mut self) {
        self.told.clear();
    }

    /// Types a byte for a VM: at its screen's keyboard if there is a screen, else at its serial
    /// port.
    pub(crate) fn type_byte(
        &mut self,
        byte: u8,
        vm: &Vm<H>,
        screen: Option<&mut Display>,
        now: Instant,
    ) {
        let name = vm.name();
        match vm.lifecycle().state() {
            VmState::Running => self.forget_what_is_past(vm),
            VmState::Starting | VmState::Halting => {}
            VmState::Pausing | VmState::Paused if screen.is_some() => {
                return self.tell(
                    vm,
                    Obstacle::Paused,
                    format_args!("{name} is paused: `resume {name}` before you type at its screen"),
                );
            }
            VmState::Pausing | VmState::Paused => self.tell(
                vm,
                Obstacle::Paused,
                format_args!("{name} is paused: what is typed waits for `resume {name}`"),
            ),
            VmState::Stopped | VmState::Destroyed => {
                return self.tell(
                    vm,
                    Obstacle::Stopped,
                    format_args!("{name} does not run: what is typed is lost"),
                );
            }
        }
        match screen {
            Some(display) => display.type_byte(byte, vm.board().keyboard(), now),
            None if vm.board().serial().type_byte(byte) => {}
            None => self.tell(
                vm,
                Obstacle::Full,
                format_args!("{name} does not read what is typed: more is lost"),
            ),
        }
    }

    /// Forgets obstacles that are past, for a VM that runs: only that it does not read may still be
    /// one. It reads when nothing waits any more; one byte is not enough, or a slow reader would
    /// cost a remark for each.
    fn forget_what_is_past(&mut self, vm: &Vm<H>) {
        let waits = vm.board().serial().has_waiting();
        self.told
            .retain(|told| waits && *told == (vm.id(), Obstacle::Full));
    }

    fn tell(&mut self, vm: &Vm<H>, obstacle: Obstacle, text: fmt::Arguments<'_>) {
        let news = (vm.id(), obstacle);
        if !self.told.contains(&news) {
            self.told.push(news);
            self.console.remark(&alloc::format!("{text}"));
        }
    }
}
