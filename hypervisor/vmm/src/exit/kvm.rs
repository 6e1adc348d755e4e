//! KVM's hypercalls: how a guest's CPUs wake, interrupt and make way for each other in one exit.
//!
//! Numbers, arguments and results as in the kernel documentation "Linux KVM Hypercall". The number is in RAX, arguments are in RBX, RCX,
//! RDX and RSI, the result is in RAX.

use crate::vcpu::{Next, VirtualCpu};
use board::{Mail, Mailbox};
use chipset::{ApicMessage, Delivery, DestinationMode, Trigger};
use host::Host;
use vcpu::Vcpu;
use x86::{Gpr, Vector};

const KICK_CPU: u64 = 5;
const SEND_IPI: u64 = 10;
const SCHED_YIELD: u64 = 11;

/// -KVM_EPERM: only the guest's kernel may call.
const NOT_PERMITTED: u64 = -1i64 as u64;
/// -KVM_EINVAL.
const INVALID: u64 = -22i64 as u64;
/// -KVM_ENOSYS.
const NO_SUCH_CALL: u64 = -1000i64 as u64;

/// In the interrupt command of [`SEND_IPI`]. (Intel SDM vol. 3A 11.6.1)
mod command {
    pub(super) const VECTOR: u64 = 0xff;
    pub(super) const MODE: u64 = 7 << 8;
    pub(super) const FIXED: u64 = 0;
    pub(super) const NMI: u64 = 4 << 8;
    /// Destination mode and shorthand: the call names its targets itself.
    pub(super) const DESTINATION: u64 = 1 << 11 | 3 << 18;
}

impl<H: Host> VirtualCpu<H> {
    /// Carries a hypercall out; returns its result and what follows.
    pub(crate) fn kvm_call(&mut self) -> (u64, Next) {
        let paging = self.backend.paging();
        if paging.cpl != 0 {
            return (NOT_PERMITTED, Next::Resume);
        }
        let bits = if paging.is_64_bit() { 64 } else { 32 };
        let mask = u64::MAX >> (64 - bits);
        let [number, a, b, c, d] = [Gpr::Rax, Gpr::Rbx, Gpr::Rcx, Gpr::Rdx, Gpr::Rsi]
            .map(|register| self.backend.gpr(register) & mask);
        match number {
            KICK_CPU => {
                // A vCPU that is not there needs no kick.
                if let Some((_, mailbox)) = self.target(b) {
                    mailbox.send(Mail::KICK);
                }
                (0, Next::Resume)
            }
            SEND_IPI => (self.send_ipi([a, b], bits, c, d), Next::Resume),
            SCHED_YIELD => match self.target(a) {
                Some((id, _)) => (0, Next::YieldTurnTo(id)),
                None => (0, Next::Resume),
            },
            _ => (NO_SUCH_CALL, Next::Resume),
        }
    }

    /// Returns the number of the vCPU with this local APIC id, and its mailbox.
    fn target(&self, apic_id: u64) -> Option<(usize, &Mailbox)> {
        let id = usize::try_from(apic_id).ok()?;
        let mailbox = self.vm.cpus().mailboxes().get(id)?;
        Some((id, mailbox))
    }

    /// Sends an interrupt to each vCPU whose bit is set in two words of `bits` bits; the first bit is local APIC `first`. Returns how
    /// many there were.
    fn send_ipi(&self, words: [u64; 2], bits: u64, first: u64, icr: u64) -> u64 {
        let delivery = match icr & command::MODE {
            command::FIXED => Delivery::Fixed,
            command::NMI => Delivery::Nmi,
            _ => return INVALID,
        };
        if icr & command::DESTINATION != 0 {
            return INVALID;
        }
        let mut sent = 0;
        for (word, base) in words.into_iter().zip([0, bits]) {
            let mut left = word;
            while left != 0 {
                let bit = u64::from(left.trailing_zeros());
                left &= left - 1;
                let apic_id = first.saturating_add(base + bit);
                let Some((id, _)) = self.target(apic_id) else {
                    continue;
                };
                let message = ApicMessage {
                    destination: id as u32,
                    mode: DestinationMode::Physical,
                    delivery,
                    vector: Vector((icr & command::VECTOR) as u8),
                    trigger: Trigger::Edge,
                };
                self.vm.cpus().hand_to(id, &message);
                sent += 1;
            }
        }
        sent
    }
}
