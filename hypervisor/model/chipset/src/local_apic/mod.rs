//! Local APIC of one vCPU, which owns it: xAPIC and x2APIC over one register file.
//!
//! Follows Intel SDM vol. 3A chapter 11. Of the optional parts it has the TSC deadline and x2APIC; it has neither the CMCI entry
//! nor suppression of EOI broadcasts. Bring it to now ([`Device::advance`]) before an access; after one, ask
//! [`LocalApic::take_ipi`] and [`LocalApic::take_eoi`], and republish [`LocalApic::addressing`] when
//! [`LocalApic::write_msr`] or a write to the window may have changed it.

mod addressing;
mod deliver;
mod registers;
mod state;
mod timer;
mod vector_set;

pub use addressing::{Addressing, Model};
pub use deliver::PendingSummary;
pub use state::LocalApicState;
pub use timer::APIC_TIMER_HZ;

use crate::message::ApicMessage;
use addr::Gpa;
use device::{Device, MmioDevice, Page, Refused, Width};
use serde::{Deserialize, Serialize};
use time::Instant;
use timer::{Timer, TimerMode};
use vector_set::VectorSet;
use x86::{GeneralProtection, Vector, msr};

/// Where the register window lies after reset.
pub const APIC_DEFAULT_BASE: Gpa = Gpa::new(0xfee0_0000);

/// Bytes of the register window.
pub const APIC_BYTES: u64 = 0x1000;

const BASE_BSP: u64 = 1 << 8;
const BASE_X2APIC: u64 = 1 << 10;
const BASE_ENABLED: u64 = 1 << 11;
const BASE_ADDRESS: u64 = 0x000f_ffff_ffff_f000;

const SVR_ENABLED: u32 = 1 << 8;
const SVR_WRITABLE: u32 = SVR_ENABLED | 0xff;

const LVT_COUNT: usize = 6;
const LVT_TIMER: usize = 0;
const LVT_LINT0: usize = 3;
const LVT_LINT1: usize = 4;
const LVT_ERROR: usize = 5;
const LVT_MASKED: u32 = 1 << 16;

const ERROR_SEND_VECTOR: u32 = 1 << 5;
const ERROR_RECEIVE_VECTOR: u32 = 1 << 6;
const ERROR_REGISTER: u32 = 1 << 7;

/// Receivers of an IPI, before its destination counts. (Intel SDM vol. 3A 11.6.1)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shorthand {
    /// The local APICs that the destination names.
    None,
    /// Everyone.
    All,
    /// Everyone but the sender.
    AllButSelf,
}

/// An inter-processor interrupt on its way out. Those to oneself never leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipi {
    /// Receivers of the IPI.
    pub shorthand: Shorthand,
    /// Message that is sent.
    pub message: ApicMessage,
}

/// The local APIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalApic {
    /// x2APIC id: wiring.
    id: u32,
    /// True if this is the boot processor's: wiring.
    is_bsp: bool,
    now: Instant,
    /// IA32_APIC_BASE.
    base: u64,
    tpr: u8,
    svr: u32,
    /// Upper byte of LDR, in xAPIC mode.
    logical: u8,
    dfr: u32,
    /// Values that reading ESR gives: now, and after the next write.
    esr: u32,
    errors: u32,
    icr: u64,
    lvt: [u32; LVT_COUNT],
    irr: VectorSet,
    isr: VectorSet,
    tmr: VectorSet,
    timer: Timer,
    ipi: Option<Ipi>,
    eoi: Option<Vector>,
}

impl LocalApic {
    /// The local APIC of the vCPU with this x2APIC id, after reset: xAPIC mode, off by SVR.
    #[must_use]
    pub fn new(id: u32, is_bsp: bool) -> Self {
        Self {
            id,
            is_bsp,
            now: Instant::from_ns(0),
            base: APIC_DEFAULT_BASE.raw() | BASE_ENABLED | if is_bsp { BASE_BSP } else { 0 },
            tpr: 0,
            svr: 0xff,
            logical: 0,
            dfr: u32::MAX,
            esr: 0,
            errors: 0,
            icr: 0,
            lvt: [LVT_MASKED; LVT_COUNT],
            irr: VectorSet::default(),
            isr: VectorSet::default(),
            tmr: VectorSet::default(),
            timer: Timer::default(),
            ipi: None,
            eoi: None,
        }
    }

    /// INIT arrived: as after reset, but IA32_APIC_BASE stays. (Intel SDM vol. 3A 11.4.7.3, 11.12.5.1)
    pub fn init(&mut self) {
        let base = self.base;
        self.reset();
        self.base = base;
    }

    /// Sets what firmware leaves to a kernel: on, LINT0 open for the PIC pair and LINT1 for NMIs. For direct kernel boot.
    pub fn enter_virtual_wire(&mut self) {
        self.svr = SVR_ENABLED | 0xff;
        self.lvt[LVT_LINT0] = if self.is_bsp {
            0x700
        } else {
            LVT_MASKED | 0x700
        };
        self.lvt[LVT_LINT1] = 0x400;
    }

    /// The x2APIC id.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// On by IA32_APIC_BASE.
    #[inline]
    pub const fn is_present(&self) -> bool {
        self.base & BASE_ENABLED != 0
    }

    /// On by IA32_APIC_BASE and SVR.
    #[inline]
    const fn is_enabled(&self) -> bool {
        self.is_present() && self.svr & SVR_ENABLED != 0
    }

    /// Returns whether the registers are MSRs, and the memory window is closed.
    #[must_use]
    #[inline]
    pub const fn is_x2apic(&self) -> bool {
        self.base & BASE_X2APIC != 0
    }

    /// Where the memory window lies; `None` when it is closed: off, or in x2APIC mode.
    #[must_use]
    pub const fn window(&self) -> Option<Gpa> {
        if self.is_present() && !self.is_x2apic() {
            Some(Gpa::new(self.base & BASE_ADDRESS))
        } else {
            None
        }
    }

    /// Which messages are for this local APIC.
    #[must_use]
    pub const fn addressing(&self) -> Addressing {
        Addressing {
            id: self.id,
            logical: self.logical,
            model: if !self.is_present() {
                Model::Disabled
            } else if self.is_x2apic() {
                Model::X2Apic
            } else if self.dfr >> 28 == 0 {
                Model::Cluster
            } else {
                Model::Flat
            },
            is_software_enabled: self.is_enabled(),
            accepts_ext_int: self.accepts_ext_int(),
            accepts_nmi_lint1: self.accepts_nmi_lint1(),
        }
    }

    /// Takes the IPI that the last write sent. To be asked after every write, or the next one replaces it.
    #[inline]
    pub fn take_ipi(&mut self) -> Option<Ipi> {
        self.ipi.take()
    }

    /// Reads IA32_APIC_BASE, IA32_TSC_DEADLINE or an x2APIC register.
    ///
    /// # Errors
    /// [`GeneralProtection`] for any other index, for x2APIC registers outside x2APIC mode, and for those that cannot be read.
    pub fn read_msr(&self, index: u32) -> Result<u64, GeneralProtection> {
        match index {
            msr::IA32_APIC_BASE => Ok(self.base),
            msr::IA32_TSC_DEADLINE => Ok(self.timer.tsc_deadline()),
            _ if self.is_x2apic() => self.read_x2apic(x2apic_index(index)?),
            _ => Err(GeneralProtection),
        }
    }

    /// Writes IA32_APIC_BASE or an x2APIC register; IA32_TSC_DEADLINE has [`Self::write_tsc_deadline`].
    ///
    /// # Errors
    /// [`GeneralProtection`] for any other index, for x2APIC registers outside x2APIC mode, for read-only ones, reserved bits and
    /// changes of mode that are not allowed.
    #[inline]
    pub fn write_msr(&mut self, index: u32, value: u64) -> Result<(), GeneralProtection> {
        match index {
            msr::IA32_APIC_BASE => self.write_base(value),
            _ if self.is_x2apic() => self.write_x2apic(x2apic_index(index)?, value),
            _ => Err(GeneralProtection),
        }
    }

    /// Writes IA32_TSC_DEADLINE. `at` is when the guest's TSC reaches `value`; `None` when it never does.
    ///
    /// Ignored outside TSC-deadline mode. (Intel SDM vol. 3A 11.5.4.1)
    #[inline]
    pub fn write_tsc_deadline(&mut self, value: u64, at: Option<Instant>) {
        if self.timer_mode() == TimerMode::TscDeadline {
            self.timer.write_tsc_deadline(value, at);
        }
    }

    /// The armed TSC deadline, for when the guest's TSC is moved; 0 when disarmed.
    #[must_use]
    pub const fn tsc_deadline(&self) -> u64 {
        self.timer.tsc_deadline()
    }

    /// Writes IA32_APIC_BASE. (Intel SDM vol. 3A 11.12.5)
    fn write_base(&mut self, value: u64) -> Result<(), GeneralProtection> {
        if value & !(BASE_ADDRESS | BASE_ENABLED | BASE_X2APIC | BASE_BSP) != 0 {
            return Err(GeneralProtection);
        }
        let mode = |base: u64| (base & BASE_ENABLED != 0, base & BASE_X2APIC != 0);
        match (mode(self.base), mode(value)) {
            (_, (false, true)) | ((false, _), (true, true)) | ((true, true), (true, false)) => {
                return Err(GeneralProtection);
            }
            ((true, _), (false, false)) => self.init(),
            ((true, false), (true, true)) => {
                // LDR now follows from the id, and the destination has moved within ICR.
                (self.logical, self.icr) = (0, 0);
            }
            _ => {}
        }
        self.base = value;
        Ok(())
    }
}

/// The register of an MSR in 0x800 to 0x8FF.
#[inline]
fn x2apic_index(index: u32) -> Result<u8, GeneralProtection> {
    index
        .checked_sub(msr::X2APIC_BASE)
        .and_then(|register| u8::try_from(register).ok())
        .ok_or(GeneralProtection)
}

impl Device for LocalApic {
    fn reset(&mut self) {
        // `new` names every field; id and role are wiring, and time goes on.
        let (id, is_bsp, now) = (self.id, self.is_bsp, self.now);
        *self = Self {
            now,
            ..Self::new(id, is_bsp)
        };
    }

    #[inline]
    fn advance(&mut self, now: Instant) {
        self.now = now;
        let mode = self.timer_mode();
        if self.timer.advance(now, mode) {
            self.raise_lvt(LVT_TIMER);
        }
    }

    #[inline]
    fn deadline(&self) -> Option<Instant> {
        // A masked timer runs on, but wakes nobody.
        self.timer
            .expires()
            .filter(|_| self.lvt[LVT_TIMER] & LVT_MASKED == 0)
    }

    fn inspect(&self, page: &mut Page<'_>) {
        page.line("id", self.id);
        page.line("base", format_args!("{:#x}", self.base));
        page.line(
            "tpr svr",
            format_args!("{:#04x} {:#05x}", self.tpr, self.svr),
        );
        page.line(
            "ldr dfr",
            format_args!("{:#04x} {:#010x}", self.logical, self.dfr),
        );
        page.line("lvt", format_args!("{:x?}", self.lvt));
        page.line("pending", format_args!("{:x?}", self.pending_summary()));
        page.line("timer expires", format_args!("{:?}", self.timer.expires()));
        page.line("tsc deadline", self.timer.tsc_deadline());
        page.line("errors", format_args!("{:#x}", self.errors | self.esr));
    }
}

impl MmioDevice for LocalApic {
    /// Reads the memory window. Narrow reads give part of the register, as on the chip.
    fn read(&mut self, at: u64, width: Width) -> Result<u64, Refused> {
        let byte = at & 0xf;
        if self.window().is_none() || at >= APIC_BYTES {
            return Err(Refused::NoRegister);
        }
        if byte + u64::from(width.bytes()) > 4 {
            return Err(Refused::Misaligned);
        }
        let value = self.read_xapic((at >> 4) as u8);
        Ok(width.truncate(u64::from(value) >> (byte * 8)))
    }

    /// Writes a whole register of the memory window.
    fn write(&mut self, at: u64, width: Width, value: u64) -> Result<(), Refused> {
        if self.window().is_none() || at >= APIC_BYTES {
            return Err(Refused::NoRegister);
        }
        if width != Width::Dword {
            return Err(Refused::WrongWidth);
        }
        if at & 0xf != 0 {
            return Err(Refused::Misaligned);
        }
        self.write_xapic((at >> 4) as u8, value as u32);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
