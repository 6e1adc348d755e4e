//! Interrupt messages: what an IOAPIC pin, an MSI or an ICR write puts on the way to local APICs.
//!
//! Follows Intel SDM vol. 3A 11.11 (message formats) and, for the 15-bit destinations, KVM's "extended destination id".

use device::Level;
use serde::{Deserialize, Serialize};
use x86::Vector;

/// Way in which a destination is read. (Intel SDM vol. 3A 11.6.2)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DestinationMode {
    /// A local APIC's id.
    Physical,
    /// A set, matched against logical ids.
    Logical,
}

/// Delivery mode: the action of the receiver. (Intel SDM vol. 3A table 11-19)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delivery {
    /// The vector, to all destinations.
    Fixed,
    /// The vector, to one of the destinations.
    LowestPriority,
    /// System management: nothing here receives it.
    Smi,
    /// A non-maskable interrupt; the vector means nothing.
    Nmi,
    /// INIT.
    Init,
    /// Start-up: the vector is the page where the CPU starts. Only as an inter-processor interrupt.
    StartUp,
    /// The 8259 pair names the vector.
    ExtInt,
}

impl Delivery {
    /// The mode of this three-bit code, if it names one.
    pub(crate) const fn from_bits(bits: u32) -> Option<Self> {
        Some(match bits & 7 {
            0 => Self::Fixed,
            1 => Self::LowestPriority,
            2 => Self::Smi,
            4 => Self::Nmi,
            5 => Self::Init,
            6 => Self::StartUp,
            7 => Self::ExtInt,
            _ => return None,
        })
    }
}

/// Trigger mode: the behaviour of the source, and whether an EOI must travel back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trigger {
    /// Happens once.
    Edge,
    /// Lasts until its source is served; the EOI goes to the IOAPICs.
    Level,
}

/// The physical destination that means everyone.
pub const BROADCAST: u32 = u32::MAX;

/// One interrupt message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApicMessage {
    /// Who; [`BROADCAST`] for everyone, also where the wire format says 0xff.
    pub destination: u32,
    /// Way in which `destination` is read.
    pub mode: DestinationMode,
    /// Action of the receiver.
    pub delivery: Delivery,
    /// Which vector.
    pub vector: Vector,
    /// Edge or level.
    pub trigger: Trigger,
}

/// Widens an 8-bit destination with seven more bits, and names the broadcast.
pub(crate) fn widen(low: u32, high: u32, mode: DestinationMode) -> u32 {
    match (mode, low, high) {
        (DestinationMode::Physical, 0xff, 0) => BROADCAST,
        _ => low | high << 8,
    }
}

impl ApicMessage {
    /// Decodes a memory write by a device as an MSI; `None` when the address is not a local APIC's or the delivery mode is
    /// reserved. (Intel SDM vol. 3A 11.11)
    ///
    /// Address bits 11 to 5 carry bits 14 to 8 of the destination.
    #[must_use]
    pub fn from_msi(address: u64, data: u32) -> Option<Self> {
        if address >> 20 != 0xfee {
            return None;
        }
        let address = address as u32;
        let mode = if address & 1 << 2 != 0 {
            DestinationMode::Logical
        } else {
            DestinationMode::Physical
        };
        let mut delivery = match Delivery::from_bits(data >> 8)? {
            Delivery::StartUp => return None,
            delivery @ (Delivery::Fixed
            | Delivery::LowestPriority
            | Delivery::Smi
            | Delivery::Nmi
            | Delivery::Init
            | Delivery::ExtInt) => delivery,
        };
        // The redirection hint asks for one of the destinations, whatever the delivery mode says.
        if address & 1 << 3 != 0 && delivery == Delivery::Fixed && mode == DestinationMode::Logical
        {
            delivery = Delivery::LowestPriority;
        }
        let is_level = data & 1 << 15 != 0;
        // A level message with the level bit clear is the end of one: there is nothing to deliver.
        if is_level && !Level::when(data & 1 << 14 != 0).is_high() {
            return None;
        }
        Some(Self {
            destination: widen(address >> 12 & 0xff, address >> 5 & 0x7f, mode),
            mode,
            delivery,
            vector: Vector(data as u8),
            trigger: if is_level {
                Trigger::Level
            } else {
                Trigger::Edge
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_msi_names_destination_and_vector() {
        let message = ApicMessage::from_msi(0xfee0_3000, 0x41).expect("an MSI");
        assert_eq!((message.destination, message.vector), (3, Vector(0x41)));
        assert_eq!(message.mode, DestinationMode::Physical);
        assert_eq!(message.delivery, Delivery::Fixed);
        assert_eq!(message.trigger, Trigger::Edge);
    }

    #[test]
    fn seven_more_destination_bits_ride_in_the_address() {
        let message = ApicMessage::from_msi(0xfee0_1000 | 2 << 5, 0x41).expect("an MSI");
        assert_eq!(message.destination, 0x201);
    }

    #[test]
    fn a_write_elsewhere_is_no_msi() {
        assert_eq!(ApicMessage::from_msi(0xfed0_0000, 0x41), None);
        assert_eq!(ApicMessage::from_msi(0x1_fee0_0000, 0x41), None);
        assert_eq!(ApicMessage::from_msi(0xfee0_0000, 0x341), None);
    }

    #[test]
    fn destination_ff_is_everyone() {
        let message = ApicMessage::from_msi(0xfeef_f000, 0x41).expect("an MSI");
        assert_eq!(message.destination, BROADCAST);
    }
}
