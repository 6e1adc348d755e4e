//! Test whether a message is for a local APIC, as a copy that senders can look at without touching
//! its owner.
//!
//! Follows Intel SDM vol. 3A 11.6.2 (xAPIC) and 11.12.9 and 11.12.10 (x2APIC).

use crate::message::{BROADCAST, DestinationMode};

/// Part of a local APIC's state that decides which messages reach it. Fits 64 bits, for an atomic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addressing {
    /// Its x2APIC id; as xAPIC id, the low 8 bits.
    pub id: u32,
    /// Upper byte of xAPIC's LDR.
    pub logical: u8,
    /// Way in which destinations are compared.
    pub model: Model,
    /// SVR's enable bit: without it only NMI, INIT and start-up get through.
    pub is_software_enabled: bool,
    /// [`super::LocalApic::accepts_ext_int`].
    pub accepts_ext_int: bool,
    /// [`super::LocalApic::accepts_nmi_lint1`].
    pub accepts_nmi_lint1: bool,
}

/// Way in which a local APIC compares destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// Off: nothing reaches it.
    Disabled,
    /// xAPIC, logical ids as eight flags.
    Flat,
    /// xAPIC, logical ids as cluster and four flags.
    Cluster,
    /// x2APIC, logical ids as cluster and sixteen flags.
    X2Apic,
}

impl Addressing {
    /// Returns whether `destination` names this local APIC.
    #[must_use]
    pub const fn matches(&self, destination: u32, mode: DestinationMode) -> bool {
        match (self.model, mode) {
            (Model::Disabled, _) => false,
            _ if destination == BROADCAST => true,
            (Model::X2Apic, DestinationMode::Physical) => destination == self.id,
            (Model::X2Apic, DestinationMode::Logical) => {
                let own = logical_x2apic_id(self.id);
                destination >> 16 == own >> 16 && destination & own & 0xffff != 0
            }
            (Model::Flat | Model::Cluster, DestinationMode::Physical) => {
                destination == 0xff || destination == self.id & 0xff
            }
            // All ones are everyone, whatever their LDR holds.
            (Model::Flat, DestinationMode::Logical) => {
                destination == 0xff || destination & self.logical as u32 != 0
            }
            (Model::Cluster, DestinationMode::Logical) => {
                let own = self.logical as u32;
                destination & 0xff == 0xff
                    || (destination & 0xf0 == own & 0xf0 && destination & own & 0xf != 0)
            }
        }
    }

    /// Packs it for an atomic.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.id as u64
            | (self.logical as u64) << 32
            | (self.model as u64) << 40
            | (self.is_software_enabled as u64) << 42
            | (self.accepts_ext_int as u64) << 43
            | (self.accepts_nmi_lint1 as u64) << 44
    }

    /// Unpacks what [`Self::to_bits`] packed.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            id: bits as u32,
            logical: (bits >> 32) as u8,
            model: match bits >> 40 & 3 {
                1 => Model::Flat,
                2 => Model::Cluster,
                3 => Model::X2Apic,
                _ => Model::Disabled,
            },
            is_software_enabled: bits >> 42 & 1 != 0,
            accepts_ext_int: bits >> 43 & 1 != 0,
            accepts_nmi_lint1: bits >> 44 & 1 != 0,
        }
    }
}

/// The logical id that follows from an x2APIC id. (Intel SDM vol. 3A 11.12.10.2)
pub(super) const fn logical_x2apic_id(id: u32) -> u32 {
    (id >> 4) << 16 | 1 << (id & 0xf)
}

#[cfg(test)]
mod tests {
    use super::DestinationMode::{Logical, Physical};
    use super::*;

    fn with(model: Model, id: u32, logical: u8) -> Addressing {
        Addressing {
            id,
            logical,
            model,
            is_software_enabled: true,
            accepts_ext_int: false,
            accepts_nmi_lint1: true,
        }
    }

    #[test]
    fn bits_carry_everything() {
        for model in [Model::Disabled, Model::Flat, Model::Cluster, Model::X2Apic] {
            let addressing = with(model, 0x1234_5678, 0x9a);
            assert_eq!(Addressing::from_bits(addressing.to_bits()), addressing);
        }
    }

    #[test]
    fn physical_ids_match_themselves_and_the_broadcast() {
        let apic = with(Model::Flat, 3, 0);
        assert!(apic.matches(3, Physical) && apic.matches(BROADCAST, Physical));
        assert!(!apic.matches(2, Physical) && !apic.matches(0x103, Physical));
        assert!(!with(Model::Disabled, 3, 0).matches(3, Physical));
    }

    #[test]
    fn flat_and_cluster_logical_ids_differ() {
        assert!(with(Model::Flat, 0, 0x12).matches(0x10, Logical));
        assert!(!with(Model::Cluster, 0, 0x12).matches(0x10, Logical));
        assert!(with(Model::Cluster, 0, 0x12).matches(0x13, Logical));
        assert!(!with(Model::Cluster, 0, 0x12).matches(0x23, Logical));
    }

    #[test]
    fn logical_zero_names_nobody_and_all_ones_everyone() {
        for model in [Model::Flat, Model::Cluster] {
            for logical in [0, 0x01, 0x12] {
                let apic = with(model, 1, logical);
                assert!(!apic.matches(0, Logical));
                assert!(apic.matches(0xff, Logical));
            }
        }
        let apic = with(Model::X2Apic, 0x1f, 0);
        assert!(!apic.matches(0, Logical) && apic.matches(BROADCAST, Logical));
        // What is everyone to an xAPIC is one id to an x2APIC.
        assert!(!apic.matches(0xff, Physical));
        assert!(with(Model::X2Apic, 0xff, 0).matches(0xff, Physical));
    }

    #[test]
    fn x2apic_logical_ids_are_clusters_of_sixteen() {
        let apic = with(Model::X2Apic, 0x25, 0);
        assert!(apic.matches(2 << 16 | 1 << 5, Logical));
        assert!(!apic.matches(2 << 16 | 1 << 4, Logical));
        assert!(!apic.matches(1 << 5, Logical));
    }
}
