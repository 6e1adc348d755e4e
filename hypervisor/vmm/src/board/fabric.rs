//! How an interrupt travels: wire → PIC and IOAPIC → message → mailbox of the vCPUs it names.

use crate::board::mailbox::{Mail, Mailbox};
use crate::board::slot::{Harness, Slot};
use alloc::sync::Arc;
use alloc::vec::Vec;
use chipset::{ApicMessage, Delivery, IoApic, Ipi, Model, PicPair, Shorthand};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use device::Level;
use x86::Vector;

/// The vCPUs of one VM, as message targets.
pub(crate) struct Cpus {
    mailboxes: Vec<Arc<Mailbox>>,
    /// Where the search for one of several destinations begins: behind the one that was found last.
    turn: AtomicUsize,
}

impl Cpus {
    pub(crate) fn new(mailboxes: Vec<Arc<Mailbox>>) -> Self {
        Self {
            mailboxes,
            turn: AtomicUsize::new(0),
        }
    }

    /// The mailboxes, by vCPU number.
    pub(crate) fn mailboxes(&self) -> &[Arc<Mailbox>] {
        &self.mailboxes
    }

    /// Delivers a message from an IOAPIC or a device.
    pub(crate) fn deliver(&self, message: &ApicMessage) {
        match message.delivery {
            Delivery::LowestPriority => self.deliver_to_one(message),
            Delivery::Fixed
            | Delivery::Smi
            | Delivery::Nmi
            | Delivery::Init
            | Delivery::StartUp
            | Delivery::ExtInt => {
                for mailbox in &self.mailboxes {
                    if is_meant(mailbox, message) {
                        hand_over(mailbox, message);
                    }
                }
            }
        }
    }

    /// Delivers to one of those named. Any will do that can take it; turns spread the load. (Intel SDM vol. 3A 11.6.2.4)
    fn deliver_to_one(&self, message: &ApicMessage) {
        let count = self.mailboxes.len();
        let first = self.turn.load(Ordering::Relaxed).min(count);
        let found = (first..count).chain(0..first).find_map(|id| {
            let mailbox = self.mailboxes.get(id)?;
            let can_take = mailbox.addressing().is_software_enabled && is_meant(mailbox, message);
            can_take.then_some((id, mailbox))
        });
        if let Some((id, mailbox)) = found {
            self.turn.store(id + 1, Ordering::Relaxed);
            hand_over(mailbox, message);
        }
    }

    /// Delivers to one vCPU, whatever destination the message names.
    pub(crate) fn hand_to(&self, id: usize, message: &ApicMessage) {
        if let Some(mailbox) = self.mailboxes.get(id) {
            hand_over(mailbox, message);
        }
    }

    /// Delivers an inter-processor interrupt of vCPU `sender`.
    pub(crate) fn send(&self, sender: usize, ipi: &Ipi) {
        match ipi.shorthand {
            Shorthand::None => self.deliver(&ipi.message),
            Shorthand::All => self.broadcast(None, &ipi.message),
            Shorthand::AllButSelf => self.broadcast(Some(sender), &ipi.message),
        }
    }

    /// Delivers to all but one. A shorthand takes no destination, but one that is switched off does not listen.
    fn broadcast(&self, without: Option<usize>, message: &ApicMessage) {
        for (id, mailbox) in self.mailboxes.iter().enumerate() {
            if Some(id) != without && mailbox.addressing().model != Model::Disabled {
                hand_over(mailbox, message);
            }
        }
    }
}

fn is_meant(mailbox: &Mailbox, message: &ApicMessage) -> bool {
    let addressing = mailbox.addressing();
    addressing.matches(message.destination, message.mode)
}

fn hand_over(mailbox: &Mailbox, message: &ApicMessage) {
    match message.delivery {
        Delivery::Fixed | Delivery::LowestPriority => {
            mailbox.post(message.vector, message.trigger);
        }
        Delivery::Nmi => mailbox.send(Mail::NMI),
        Delivery::Init => mailbox.post_init(),
        Delivery::StartUp => mailbox.post_sipi(message.vector),
        // There is no SMM in the virtual PC, and the PIC's output has a wire of its own.
        Delivery::Smi | Delivery::ExtInt => {}
    }
}

/// The IOAPIC's messages, to the vCPUs.
pub(crate) struct IoApicHarness {
    cpus: Arc<Cpus>,
}

impl IoApicHarness {
    pub(crate) fn new(cpus: Arc<Cpus>) -> Self {
        Self { cpus }
    }
}

impl Harness<IoApic> for IoApicHarness {
    fn after(&self, ioapic: &mut IoApic) {
        while let Some(message) = ioapic.next_message() {
            self.cpus.deliver(&message);
        }
    }
}

/// The PIC's output, to LINT0 of vCPU 0.
pub(crate) struct PicHarness {
    cpus: Arc<Cpus>,
}

impl PicHarness {
    pub(crate) fn new(cpus: Arc<Cpus>) -> Self {
        Self { cpus }
    }
}

impl Harness<PicPair> for PicHarness {
    fn after(&self, pic: &mut PicPair) {
        if let Some(first) = self.cpus.mailboxes.first() {
            first.set_ext_int(pic.output().is_high());
        }
    }
}

/// Both interrupt controllers and the vCPUs behind them.
pub(crate) struct Fabric {
    pub(crate) pic: Arc<Slot<PicPair, PicHarness>>,
    pub(crate) ioapic: Arc<Slot<IoApic, IoApicHarness>>,
    pub(crate) cpus: Arc<Cpus>,
}

impl Fabric {
    /// A local APIC ended a level-triggered interrupt: the IOAPIC may send it again.
    pub(crate) fn end_of_interrupt(&self, vector: Vector) {
        self.ioapic.with(|ioapic| ioapic.end_of_interrupt(vector));
    }
}

/// One interrupt line of the board: to an IOAPIC pin and, for the ISA ones, to a PIC input.
pub(crate) struct Wire {
    fabric: Arc<Fabric>,
    irq: Option<u8>,
    pin: u8,
    is_high: AtomicBool,
}

impl Wire {
    pub(crate) fn new(fabric: &Arc<Fabric>, irq: Option<u8>, pin: u8) -> Self {
        Self {
            fabric: fabric.clone(),
            irq,
            pin,
            is_high: AtomicBool::new(false),
        }
    }

    /// The line's number at the IOAPIC.
    pub(crate) fn gsi(&self) -> u8 {
        self.pin
    }

    /// Puts a level on the line. Costs one load when it is there already.
    ///
    /// `is_high` needs no stronger order: a wire belongs to one slot, and only its harness moves it, under the slot's lock.
    pub(crate) fn set(&self, level: Level) {
        if self.is_high.load(Ordering::Relaxed) != level.is_high() {
            self.is_high.store(level.is_high(), Ordering::Relaxed);
            if let Some(irq) = self.irq {
                self.fabric.pic.with(|pic| pic.set_line(irq, level));
            }
            self.fabric
                .ioapic
                .with(|ioapic| ioapic.set_pin(self.pin, level));
        }
    }

    /// Sends one edge down the line.
    pub(crate) fn pulse(&self) {
        if let Some(irq) = self.irq {
            self.fabric.pic.with(|pic| pic.pulse(irq));
        }
        self.fabric.ioapic.with(|ioapic| ioapic.pulse(self.pin));
    }
}
