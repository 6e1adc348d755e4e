//! The keyboard controller with its keyboard and its mouse: IRQ 1, IRQ 12, and the controller's way
//! to reset the PC.

use crate::bus::Overlap;
use crate::lifecycle::{Lifecycle, StopReason};
use crate::line::Line;
use crate::maker::Maker;
use crate::slot::{Harness, Slot};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use chipset::{I8042, MouseButtons};
use core::sync::atomic::{AtomicU32, Ordering};
use device::Device;
use pc_map::{lines, ports};
use spin::Mutex;

/// Holds the lines of keyboard and mouse, and resets the VM.
struct I8042Harness {
    keyboard: Line,
    mouse: Line,
    lifecycle: Arc<Lifecycle>,
}

impl Harness<I8042> for I8042Harness {
    fn after(&self, controller: &mut I8042) {
        self.keyboard.set(controller.line());
        self.mouse.set(controller.mouse_line());
        if controller.take_request().is_some() {
            self.lifecycle.end(StopReason::Reset("keyboard controller"));
        }
    }

    fn lines(&self) -> Vec<u8> {
        vec![self.keyboard.gsi(), self.mouse.gsi()]
    }
}

/// The operator's end of the keyboard, with the codes that wait for it.
pub struct Keyboard {
    slot: Arc<Slot<I8042, I8042Harness>>,
    /// Codes that the keyboard has no room for yet: those of a key or two. They stay with their VM,
    /// whoever looks at its screen. Lock order: this, then the slot.
    codes: Mutex<VecDeque<u8>>,
    /// Counts the VM's guests.
    life: AtomicU32,
}

impl Keyboard {
    /// Returns another number for each of the VM's lives.
    #[must_use]
    pub fn life(&self) -> u32 {
        self.life.load(Ordering::SeqCst)
    }

    /// Adds codes of scan code set 2 behind those that wait.
    pub fn add(&self, add: impl FnOnce(&mut VecDeque<u8>)) {
        add(&mut self.codes.lock());
    }

    /// Gives the keyboard as many codes as it has room for. Returns whether none waits any more.
    /// Not to be called for a VM that is paused.
    pub fn hand_over(&self) -> bool {
        let mut codes = self.codes.lock();
        if codes.is_empty() {
            return true;
        }
        self.slot.with(|keyboard| {
            if !keyboard.is_scanning() {
                // As keys that are pressed while nobody scans them.
                codes.clear();
            }
            while codes.front().is_some_and(|code| keyboard.key(*code)) {
                codes.pop_front();
            }
        });
        codes.is_empty()
    }

    /// Moves the mouse: counts to the right, upwards, and of the wheel towards the user. Lost while
    /// the guest does not listen to the mouse.
    pub fn move_mouse(&self, right: i32, up: i32, wheel: i32) {
        self.slot
            .with(|controller| controller.move_mouse(right, up, wheel));
    }

    /// Sets which buttons of the mouse are down.
    pub fn set_mouse_buttons(&self, buttons: MouseButtons) {
        self.slot
            .with(|controller| controller.set_mouse_buttons(buttons));
    }

    /// Drops what waits: it was typed for a guest that is no more.
    pub(crate) fn forget_typed(&self) {
        self.life.fetch_add(1, Ordering::SeqCst);
        self.codes.lock().clear();
    }
}

/// Puts controller, keyboard and mouse on the board.
pub(crate) fn install(pc: &mut Maker) -> Result<Keyboard, Overlap> {
    let harness = I8042Harness {
        keyboard: pc.isa_line(lines::KEYBOARD),
        mouse: pc.isa_line(lines::MOUSE),
        lifecycle: pc.lifecycle(),
    };
    let slot = pc.slot("i8042", I8042::new(), harness);
    for ports in [ports::KEYBOARD_DATA, ports::KEYBOARD_COMMAND] {
        pc.ports(ports, 0, slot.clone())?;
    }
    Ok(Keyboard {
        slot,
        codes: Mutex::default(),
        life: AtomicU32::new(0),
    })
}
