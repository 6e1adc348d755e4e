//! Path of an interrupt: wire → PIC and IOAPIC → message → mailbox of the vCPUs it names.

use crate::mailbox::{Mail, Mailbox};
use crate::slot::{Harness, Slot};
use alloc::sync::Arc;
use alloc::vec::Vec;
use chipset::{ApicMessage, Delivery, IOAPIC_PINS, IoApic, Ipi, Model, PicPair, Shorthand};
use core::sync::atomic::{AtomicUsize, Ordering};
use device::Level;
use pc_map::lines;
use pci::PIRQS;
use spin::Mutex;
use x86::Vector;

/// The vCPUs of one VM, as message targets.
pub struct Cpus {
    mailboxes: Vec<Arc<Mailbox>>,
    /// Where the search for one of several destinations begins: behind the one that was found last.
    turn: AtomicUsize,
}

impl Cpus {
    /// The vCPUs with these mailboxes, by vCPU number.
    #[must_use]
    pub fn new(mailboxes: Vec<Arc<Mailbox>>) -> Self {
        Self {
            mailboxes,
            turn: AtomicUsize::new(0),
        }
    }

    /// The mailboxes, by vCPU number.
    pub fn mailboxes(&self) -> &[Arc<Mailbox>] {
        &self.mailboxes
    }

    /// Delivers a message from an IOAPIC or a device.
    pub fn deliver(&self, message: &ApicMessage) {
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
    pub fn hand_to(&self, id: usize, message: &ApicMessage) {
        if let Some(mailbox) = self.mailboxes.get(id) {
            hand_over(mailbox, message);
        }
    }

    /// Delivers an inter-processor interrupt of vCPU `sender`.
    pub fn send(&self, sender: usize, ipi: &Ipi) {
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

/// Counts a holder in or out, and tells the controller when the first came or the last left.
fn hold(input: &Input, level: Level, tell: impl FnOnce(Level)) {
    count(&mut input.lock(), level, tell);
}

/// As [`hold`], for a count that is locked.
fn count(holders: &mut u16, level: Level, tell: impl FnOnce(Level)) {
    let before = *holders;
    *holders = match level {
        Level::High => before.saturating_add(1),
        Level::Low => before.saturating_sub(1),
    };
    if (before == 0) != (*holders == 0) {
        tell(level);
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
pub struct Fabric {
    pub(crate) pic: Arc<Slot<PicPair, PicHarness>>,
    pub(crate) ioapic: Arc<Slot<IoApic, IoApicHarness>>,
    cpus: Arc<Cpus>,
    pic_inputs: [Input; PIC_INPUTS],
    ioapic_inputs: [Input; IOAPIC_PINS as usize],
    pirqs: [Mutex<Pirq>; PIRQS as usize],
}

/// A PIRQ: the pin of the IOAPIC that it always leads to is its number and 16; the PIC pair's input
/// is chosen by the guest. (ICH9 datasheet 5.9.6)
#[derive(Default)]
struct Pirq {
    holders: u16,
    irq: Option<u8>,
}

/// Inputs of the PIC pair.
const PIC_INPUTS: usize = 16;

/// Number of holders that keep an input of a controller high. The controller is told with this
/// locked, so that it hears of changes in the order in which they came. Lock order: device slot,
/// then this, then the controller's slot.
type Input = Mutex<u16>;

impl Fabric {
    pub(crate) fn new(
        pic: Arc<Slot<PicPair, PicHarness>>,
        ioapic: Arc<Slot<IoApic, IoApicHarness>>,
        cpus: Arc<Cpus>,
    ) -> Self {
        Self {
            pic,
            ioapic,
            cpus,
            pic_inputs: Default::default(),
            ioapic_inputs: core::array::from_fn(|_| Input::default()),
            pirqs: Default::default(),
        }
    }

    /// The vCPUs.
    #[must_use]
    pub fn cpus(&self) -> &Arc<Cpus> {
        &self.cpus
    }

    /// Takes the vector of the interrupt that the PIC pair has for vCPU 0. (8259A, INTA cycle)
    #[must_use]
    pub fn acknowledge_pic(&self) -> Vector {
        self.pic.with(PicPair::acknowledge)
    }

    /// One holder more, or one less, keeps input `irq` of the PIC pair high.
    pub(crate) fn hold_irq(&self, irq: u8, level: Level) {
        if let Some(input) = self.pic_inputs.get(usize::from(irq)) {
            hold(input, level, |level| {
                self.pic.with(|pic| pic.set_line(irq, level));
            });
        }
    }

    /// One holder more, or one less, keeps pin `pin` of the IOAPIC high.
    pub(crate) fn hold_pin(&self, pin: u8, level: Level) {
        if let Some(input) = self.ioapic_inputs.get(usize::from(pin)) {
            hold(input, level, |level| {
                self.ioapic.with(|ioapic| ioapic.set_pin(pin, level));
            });
        }
    }

    /// One holder more, or one less, keeps PIRQ `number` high. Lock order: device slot, then the PIRQ,
    /// then an input.
    pub(crate) fn hold_pirq(&self, number: u8, level: Level) {
        let Some(pirq) = self.pirqs.get(usize::from(number)) else {
            return;
        };
        let mut pirq = pirq.lock();
        let irq = pirq.irq;
        count(&mut pirq.holders, level, |level| {
            self.hold_pin(lines::PCI_A + number, level);
            if let Some(irq) = irq {
                self.hold_irq(irq, level);
            }
        });
    }

    /// Leads PIRQ `number` to another input of the PIC pair, with the level that it holds.
    pub(crate) fn route_pirq(&self, number: u8, irq: Option<u8>) {
        let Some(pirq) = self.pirqs.get(usize::from(number)) else {
            return;
        };
        let mut pirq = pirq.lock();
        let old = core::mem::replace(&mut pirq.irq, irq);
        if pirq.holders != 0 && old != irq {
            if let Some(old) = old {
                self.hold_irq(old, Level::Low);
            }
            if let Some(irq) = irq {
                self.hold_irq(irq, Level::High);
            }
        }
    }

    /// A local APIC ended a level-triggered interrupt: the IOAPIC may send it again.
    pub fn end_of_interrupt(&self, vector: Vector) {
        self.ioapic.with(|ioapic| ioapic.end_of_interrupt(vector));
    }
}
