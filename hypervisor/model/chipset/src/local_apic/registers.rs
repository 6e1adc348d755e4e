//! The local APIC's register file, the same for xAPIC's memory window and x2APIC's MSRs.
//!
//! A register's index is its xAPIC offset divided by 16, and its x2APIC MSR less 0x800. (Intel SDM vol. 3A tables 11-1, 11-6)

use super::addressing::logical_x2apic_id;
use super::timer::TimerMode;
use super::{
    ERROR_REGISTER, ERROR_SEND_VECTOR, Ipi, LVT_COUNT, LVT_LINT0, LVT_LINT1, LVT_MASKED, LVT_TIMER,
    LocalApic, SVR_ENABLED, SVR_WRITABLE, Shorthand,
};
use crate::message::{ApicMessage, Delivery, DestinationMode, Trigger, widen};
use x86::{GeneralProtection, Vector};

const ID: u8 = 0x02;
const VERSION: u8 = 0x03;
const TPR: u8 = 0x08;
const APR: u8 = 0x09;
const PPR: u8 = 0x0a;
const EOI: u8 = 0x0b;
const RRD: u8 = 0x0c;
const LDR: u8 = 0x0d;
const DFR: u8 = 0x0e;
const SVR: u8 = 0x0f;
const ISR: u8 = 0x10;
const TMR: u8 = 0x18;
const IRR: u8 = 0x20;
const ESR: u8 = 0x28;
const ICR: u8 = 0x30;
const ICR_HIGH: u8 = 0x31;
const LVT_FIRST: u8 = 0x32;
const LVT_LAST: u8 = 0x37;
const INITIAL_COUNT: u8 = 0x38;
const CURRENT_COUNT: u8 = 0x39;
const DIVIDE: u8 = 0x3e;
const SELF_IPI: u8 = 0x3f;

/// Version 0x14, six LVT entries, no suppression of EOI broadcasts.
const VERSION_VALUE: u32 = (LVT_COUNT as u32 - 1) << 16 | 0x14;

/// Reserved in x2APIC's ICR. Bit 12, delivery status in xAPIC, is ignored as everywhere.
const ICR_RESERVED: u64 = 0xfff3_2000;

/// The bits of DFR that read as ones.
pub(super) const DFR_RESERVED: u32 = 0x0fff_ffff;

/// Writable bits of each LVT entry: timer, thermal, performance, LINT0, LINT1, error.
pub(super) const LVT_WRITABLE: [u32; LVT_COUNT] = [
    0x0007_00ff,
    0x0001_07ff,
    0x0001_07ff,
    0x0001_a7ff,
    0x0001_a7ff,
    0x0001_00ff,
];

impl LocalApic {
    /// Returns whether writing this x2APIC register, an MSR less 0x800, does nothing but send or
    /// end an interrupt: then neither the time nor the addresses under which the local APIC answers
    /// matter.
    #[must_use]
    #[inline]
    pub const fn only_delivers(register: u8) -> bool {
        matches!(register, EOI | ICR | SELF_IPI)
    }

    /// Reads a register that both modes have; `None` where there is nothing to read.
    fn read_register(&self, index: u8) -> Option<u32> {
        Some(match index {
            VERSION => VERSION_VALUE,
            TPR => u32::from(self.tpr),
            PPR => u32::from(self.processor_priority()),
            SVR => self.svr,
            ISR..TMR => self.isr.register(index - ISR),
            TMR..IRR => self.tmr.register(index - TMR),
            IRR..ESR => self.irr.register(index - IRR),
            ESR => self.esr,
            LVT_FIRST..=LVT_LAST => *self.lvt.get(usize::from(index - LVT_FIRST))?,
            INITIAL_COUNT => self.timer.initial(),
            CURRENT_COUNT => self.timer.current(self.now, self.timer_mode()),
            DIVIDE => u32::from(self.timer.divide()),
            _ => return None,
        })
    }

    /// Writes a register that both modes have; `None` where there is nothing to write.
    #[inline]
    fn write_register(&mut self, index: u8, value: u32) -> Option<()> {
        match index {
            EOI => self.end_of_interrupt(),
            TPR => self.tpr = value as u8,
            SVR => self.write_svr(value),
            ESR => self.esr = core::mem::take(&mut self.errors),
            LVT_FIRST..=LVT_LAST => self.write_lvt(usize::from(index - LVT_FIRST), value),
            INITIAL_COUNT => {
                let mode = self.timer_mode();
                self.timer.write_initial(self.now, mode, value);
            }
            DIVIDE => {
                let mode = self.timer_mode();
                self.timer.write_divide(self.now, mode, value as u8);
            }
            _ => return None,
        }
        Some(())
    }

    /// Reads through the memory window.
    pub(super) fn read_xapic(&mut self, index: u8) -> u32 {
        match index {
            ID => self.id << 24,
            LDR => u32::from(self.logical) << 24,
            DFR => self.dfr,
            ICR => self.icr as u32,
            ICR_HIGH => (self.icr >> 32) as u32,
            APR | RRD | EOI => 0,
            _ => self.read_register(index).unwrap_or_else(|| {
                self.raise_error(ERROR_REGISTER);
                0
            }),
        }
    }

    /// Writes through the memory window.
    pub(super) fn write_xapic(&mut self, index: u8, value: u32) {
        match index {
            // The id is the board's; newer CPUs do not let it be written either.
            ID => {}
            LDR => self.logical = (value >> 24) as u8,
            DFR => self.dfr = value | DFR_RESERVED,
            ICR_HIGH => {
                self.icr = self.icr & 0xffff_ffff | u64::from(value & 0xff00_0000) << 32;
            }
            ICR => {
                self.icr = self.icr & !0xffff_ffff | u64::from(value & 0x000c_cfff);
                self.send(widen((self.icr >> 56) as u32, 0, destination_mode(value)));
            }
            VERSION | APR | PPR | RRD | ISR..ESR | CURRENT_COUNT => {}
            _ => {
                if self.write_register(index, value).is_none() {
                    self.raise_error(ERROR_REGISTER);
                }
            }
        }
    }

    /// Reads an MSR from 0x800 on, less 0x800, in x2APIC mode.
    pub(super) fn read_x2apic(&self, index: u8) -> Result<u64, GeneralProtection> {
        match index {
            ID => Ok(u64::from(self.id)),
            LDR => Ok(u64::from(logical_x2apic_id(self.id))),
            ICR => Ok(self.icr),
            _ => self
                .read_register(index)
                .map(u64::from)
                .ok_or(GeneralProtection),
        }
    }

    /// Writes an MSR from 0x800 on, less 0x800, in x2APIC mode.
    #[inline]
    pub(super) fn write_x2apic(&mut self, index: u8, value: u64) -> Result<(), GeneralProtection> {
        if index == ICR {
            if value & ICR_RESERVED != 0 {
                return Err(GeneralProtection);
            }
            self.icr = value & !(1 << 12);
            self.send((value >> 32) as u32);
            return Ok(());
        }
        let Ok(value) = u32::try_from(value) else {
            return Err(GeneralProtection);
        };
        // Reserved bits, register by register.
        let allowed = match index {
            EOI | ESR => 0,
            TPR | SELF_IPI => 0xff,
            SVR => 0x13ff,
            DIVIDE => 0b1011,
            LVT_FIRST..=LVT_LAST => 0x0007_ffff,
            _ => u32::MAX,
        };
        if value & !allowed != 0 {
            return Err(GeneralProtection);
        }
        if index == SELF_IPI {
            self.send_to_self(Vector(value as u8));
            return Ok(());
        }
        self.write_register(index, value).ok_or(GeneralProtection)
    }

    fn write_svr(&mut self, value: u32) {
        self.svr = value & SVR_WRITABLE;
        if value & SVR_ENABLED == 0 {
            for lvt in &mut self.lvt {
                *lvt |= LVT_MASKED;
            }
        }
    }

    fn write_lvt(&mut self, entry: usize, value: u32) {
        let is_enabled = self.is_enabled();
        let before = self.timer_mode();
        if let (Some(lvt), Some(writable)) = (self.lvt.get_mut(entry), LVT_WRITABLE.get(entry)) {
            *lvt = value & writable;
            // Off by SVR, everything stays masked. (Intel SDM vol. 3A 11.4.7.2)
            if !is_enabled {
                *lvt |= LVT_MASKED;
            }
        }
        if entry == LVT_TIMER {
            let after = self.timer_mode();
            self.timer.change_mode(before, after);
        }
    }

    pub(super) const fn timer_mode(&self) -> TimerMode {
        TimerMode::of(self.lvt[LVT_TIMER])
    }

    /// Returns whether the PIC pair's INTR reaches the CPU through LINT0, or past a local APIC that
    /// is off.
    #[must_use]
    pub const fn accepts_ext_int(&self) -> bool {
        !self.is_present() || self.lvt[LVT_LINT0] & (LVT_MASKED | 0x700) == 0x700
    }

    /// Returns whether the NMI line at LINT1 reaches the CPU.
    #[must_use]
    pub const fn accepts_nmi_lint1(&self) -> bool {
        !self.is_present() || self.lvt[LVT_LINT1] & (LVT_MASKED | 0x700) == 0x400
    }

    /// ICR was written: an IPI leaves, unless it is for ourselves.
    fn send(&mut self, destination: u32) {
        let icr = self.icr as u32;
        let (vector, mode) = (Vector(icr as u8), destination_mode(icr));
        let delivery = match Delivery::from_bits(icr >> 8) {
            None | Some(Delivery::ExtInt) => return,
            // INIT with level clear once synchronized arbitration ids; today it does nothing.
            Some(Delivery::Init) if icr & 1 << 15 != 0 && icr & 1 << 14 == 0 => return,
            Some(delivery) => delivery,
        };
        let has_vector = matches!(delivery, Delivery::Fixed | Delivery::LowestPriority);
        if has_vector && vector.0 < 16 {
            self.raise_error(ERROR_SEND_VECTOR);
            return;
        }
        let shorthand = match icr >> 18 & 3 {
            0 => Shorthand::None,
            1 => {
                // Only an interrupt may be sent to oneself.
                if has_vector {
                    self.send_to_self(vector);
                }
                return;
            }
            2 => Shorthand::All,
            _ => Shorthand::AllButSelf,
        };
        self.ipi = Some(Ipi {
            shorthand,
            message: ApicMessage {
                destination,
                mode,
                delivery,
                vector,
                trigger: Trigger::Edge,
            },
        });
    }

    fn send_to_self(&mut self, vector: Vector) {
        if vector.0 < 16 {
            self.raise_error(ERROR_SEND_VECTOR);
        } else {
            self.accept(vector, Trigger::Edge);
        }
    }
}

const fn destination_mode(icr: u32) -> DestinationMode {
    if icr & 1 << 11 != 0 {
        DestinationMode::Logical
    } else {
        DestinationMode::Physical
    }
}
