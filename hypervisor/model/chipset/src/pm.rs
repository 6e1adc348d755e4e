//! ACPI power management: PM1 event and control, PM timer, GPE0, and the SCI line.
//!
//! Follows the ACPI specification 6.5, section 4.8. One block of 64 ports at a base of the board's choosing; the constants below
//! are offsets in it. There is no SMI command: the chip is always in ACPI mode and SCI_EN is always set.

use crate::frequency::Hertz;
use crate::power::PowerRequest;
use device::{BadState, Device, Level, Page, Persist, PioDevice, Refused, State, Width};
use serde::{Deserialize, Serialize};
use time::Instant;

/// Ports in the block.
pub const PM_PORTS: u16 = 0x40;
/// PM1a event block, 4 ports: status, enable.
pub const PM1_EVENT: u16 = 0x00;
/// PM1a control block, 2 ports.
pub const PM1_CONTROL: u16 = 0x04;
/// PM timer, 4 ports.
pub const PM_TIMER: u16 = 0x08;
/// GPE0 block, 4 ports: two of status, two of enable, so events 0 to 15.
pub const GPE0: u16 = 0x20;
/// Ports of the GPE0 block.
pub const GPE0_PORTS: u16 = 4;
/// Value that `_S5` names as SLP_TYP. Type 0, which some small systems write without asking `_S5`,
/// means the same.
pub const SLEEP_TYPE_S5: u8 = 5;
/// Frequency of the PM timer.
pub const PM_TIMER_HZ: u64 = 3_579_545;

const CLOCK: Hertz = Hertz(PM_TIMER_HZ);

const STATUS_TIMER: u16 = 1 << 0;
const STATUS_POWER_BUTTON: u16 = 1 << 8;
/// Timer, bus master, global lock, power button, sleep button, RTC, PCI Express wake, wake.
const STATUS_CLEARABLE: u16 = 0xc731;
const ENABLE_WRITABLE: u16 = 0x4721;
/// Bits that can raise the SCI.
const SCI_SOURCES: u16 = 0x0721;

const CONTROL_SCI: u16 = 1 << 0;
const CONTROL_SLEEP: u16 = 1 << 13;
/// BM_RLD and SLP_TYP; SLP_EN and GBL_RLS read as zero.
const CONTROL_WRITABLE: u16 = 0x1c02;

/// The power-management block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PowerManagement {
    /// 32 bits of timer, else 24; wiring, as FADT says.
    is_wide: bool,
    now: Instant,
    /// Number of times the timer's highest bit has changed, as far as noted in `status`.
    wraps_seen: u64,
    status: u16,
    enable: u16,
    control: u16,
    gpe_status: u16,
    gpe_enable: u16,
    request: Option<PowerRequest>,
}

impl PowerManagement {
    /// A block whose timer has 32 bits (`is_wide`, FADT flag TMR_VAL_EXT) or 24.
    #[must_use]
    pub const fn new(is_wide: bool) -> Self {
        Self {
            is_wide,
            now: Instant::from_ns(0),
            wraps_seen: 0,
            status: 0,
            enable: 0,
            control: 0,
            gpe_status: 0,
            gpe_enable: 0,
            request: None,
        }
    }

    /// Takes what the guest asked for with SLP_EN.
    pub fn take_request(&mut self) -> Option<PowerRequest> {
        self.request.take()
    }

    /// The operator presses the power button; the guest gets an SCI, if it wants it.
    pub fn press_power_button(&mut self) {
        self.status |= STATUS_POWER_BUTTON;
    }

    /// Returns whether the guest wants an SCI when the power button is pressed. (ACPI 6.5
    /// 4.8.3.1.2, PWRBTN_EN)
    #[must_use]
    pub const fn heeds_power_button(&self) -> bool {
        self.enable & STATUS_POWER_BUTTON != 0
    }

    /// Raises general-purpose event `event`, 0 to 15.
    pub fn raise_gpe(&mut self, event: u8) {
        if event < 16 {
            self.gpe_status |= 1 << event;
        }
    }

    /// The bit whose change sets TMR_STS.
    const fn top_bit(&self) -> u32 {
        if self.is_wide { 31 } else { 23 }
    }

    const fn wraps(&self) -> u64 {
        CLOCK.ticks_at(self.now) >> self.top_bit()
    }

    const fn timer(&self) -> u32 {
        let ticks = CLOCK.ticks_at(self.now) as u32;
        if self.is_wide {
            ticks
        } else {
            ticks & 0xff_ffff
        }
    }

    const fn byte(&self, at: u16) -> Option<u8> {
        let (register, low) = match at {
            0 | 1 => (self.status, 0),
            2 | 3 => (self.enable, 2),
            4 | 5 => (self.control | CONTROL_SCI, 4),
            8..12 => return Some((self.timer() >> ((at - 8) * 8)) as u8),
            0x20 | 0x21 => (self.gpe_status, 0x20),
            0x22 | 0x23 => (self.gpe_enable, 0x22),
            _ => return None,
        };
        Some((register >> ((at - low) * 8)) as u8)
    }

    /// Writes `value` to those bits of the 16-bit register at `at` that `mask` has.
    fn write_bits(&mut self, at: u16, mask: u16, value: u16) {
        let merge = |old: u16, writable: u16| old & !(mask & writable) | value & mask & writable;
        match at {
            0x00 => self.status &= !(value & mask & STATUS_CLEARABLE),
            0x02 => self.enable = merge(self.enable, ENABLE_WRITABLE),
            0x04 => {
                self.control = merge(self.control, CONTROL_WRITABLE);
                if value & mask & CONTROL_SLEEP != 0 {
                    self.sleep();
                }
            }
            0x20 => self.gpe_status &= !(value & mask),
            0x22 => self.gpe_enable = merge(self.gpe_enable, u16::MAX),
            // Reserved, or the timer, which cannot be written.
            _ => {}
        }
    }

    fn sleep(&mut self) {
        let kind = (self.control >> 10 & 7) as u8;
        // Other types are not offered by the tables; asking for one does nothing.
        if kind == SLEEP_TYPE_S5 || kind == 0 {
            self.request = Some(PowerRequest::Off);
        }
    }
}

/// Its registers.
#[derive(Serialize, Deserialize)]
pub struct PowerManagementState {
    status: u16,
    enable: u16,
    control: u16,
    gpe_status: u16,
    gpe_enable: u16,
    request: Option<PowerRequest>,
}

impl State for PowerManagementState {}

impl Persist for PowerManagement {
    type State = PowerManagementState;

    fn state(&self) -> PowerManagementState {
        let Self {
            is_wide: _,
            now: _,
            // Follows from the time.
            wraps_seen: _,
            status,
            enable,
            control,
            gpe_status,
            gpe_enable,
            request,
        } = *self;
        PowerManagementState {
            status,
            enable,
            control,
            gpe_status,
            gpe_enable,
            request,
        }
    }

    fn set_state(&mut self, state: PowerManagementState) -> Result<(), BadState> {
        let PowerManagementState {
            status,
            enable,
            control,
            gpe_status,
            gpe_enable,
            request,
        } = state;
        BadState::unless(
            status & !STATUS_CLEARABLE == 0
                && enable & !ENABLE_WRITABLE == 0
                && control & !CONTROL_WRITABLE == 0,
            "a register has reserved bits",
        )?;
        *self = Self {
            is_wide: self.is_wide,
            now: self.now,
            wraps_seen: self.wraps(),
            status,
            enable,
            control,
            gpe_status,
            gpe_enable,
            request,
        };
        Ok(())
    }
}

impl Device for PowerManagement {
    fn reset(&mut self) {
        let wraps = self.wraps();
        let Self {
            is_wide: _,
            now: _,
            wraps_seen,
            status,
            enable,
            control,
            gpe_status,
            gpe_enable,
            request,
        } = self;
        (*status, *enable, *control, *gpe_status, *gpe_enable) = (0, 0, 0, 0, 0);
        (*request, *wraps_seen) = (None, wraps);
    }

    fn advance(&mut self, now: Instant) {
        self.now = now;
        let wraps = self.wraps();
        if wraps != self.wraps_seen {
            self.wraps_seen = wraps;
            self.status |= STATUS_TIMER;
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let is_wanted = self.enable & !self.status & STATUS_TIMER != 0;
        is_wanted.then(|| CLOCK.instant_of((self.wraps() + 1) << self.top_bit()))
    }

    /// SCI: level-triggered, IRQ 9 on a PC.
    fn line(&self) -> Level {
        Level::when(
            self.status & self.enable & SCI_SOURCES != 0 || self.gpe_status & self.gpe_enable != 0,
        )
    }

    fn inspect(&self, page: &mut Page<'_>) {
        page.line(
            "pm1 sts en cnt",
            format_args!(
                "{:#06x} {:#06x} {:#06x}",
                self.status, self.enable, self.control
            ),
        );
        page.line(
            "gpe0 sts en",
            format_args!("{:#06x} {:#06x}", self.gpe_status, self.gpe_enable),
        );
        page.line("timer", format_args!("{:#010x}", self.timer()));
    }
}

impl PioDevice for PowerManagement {
    fn read(&mut self, at: u16, width: Width) -> Result<u32, Refused> {
        if at == PM_TIMER && width == Width::Dword {
            return Ok(self.timer());
        }
        let mut value = 0;
        for index in 0..u16::from(width.bytes().min(4)) {
            let byte = at.checked_add(index).filter(|at| *at < PM_PORTS);
            let byte = byte.ok_or(Refused::NoRegister)?;
            // What is reserved in the block reads as zero.
            value |= u32::from(self.byte(byte).unwrap_or(0)) << (index * 8);
        }
        Ok(value)
    }

    fn write(&mut self, at: u16, width: Width, value: u32) -> Result<(), Refused> {
        let bytes = u16::from(width.bytes().min(4));
        if at >= PM_PORTS || bytes > PM_PORTS - at {
            return Err(Refused::NoRegister);
        }
        if !at.is_multiple_of(bytes) {
            return Err(Refused::Misaligned);
        }
        match width {
            Width::Byte => {
                let shift = at % 2 * 8;
                self.write_bits(at & !1, 0xff << shift, (value as u16 & 0xff) << shift);
            }
            Width::Word => self.write_bits(at, u16::MAX, value as u16),
            Width::Dword | Width::Qword => {
                self.write_bits(at, u16::MAX, value as u16);
                self.write_bits(at + 2, u16::MAX, (value >> 16) as u16);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(pm: &mut PowerManagement, at: u16, value: u16) {
        pm.write(at, Width::Word, u32::from(value))
            .expect("a register");
    }

    #[test]
    fn slp_en_with_s5_asks_for_power_off() {
        let mut pm = PowerManagement::new(true);
        write(&mut pm, PM1_CONTROL, 3 << 10 | CONTROL_SLEEP);
        assert_eq!(pm.take_request(), None);
        write(
            &mut pm,
            PM1_CONTROL,
            u16::from(SLEEP_TYPE_S5) << 10 | CONTROL_SLEEP,
        );
        assert_eq!(pm.take_request(), Some(PowerRequest::Off));
        assert_eq!(pm.take_request(), None);
        assert_eq!(pm.read(PM1_CONTROL, Width::Word), Ok(5 << 10 | 1));
    }

    #[test]
    fn the_power_button_holds_the_sci_until_its_status_is_cleared() {
        let mut pm = PowerManagement::new(true);
        pm.press_power_button();
        assert_eq!(pm.line(), Level::Low);
        write(&mut pm, PM1_EVENT + 2, STATUS_POWER_BUTTON);
        assert_eq!(pm.line(), Level::High);
        pm.write(PM1_EVENT + 1, Width::Byte, 1).expect("status");
        assert_eq!(pm.line(), Level::Low);
    }

    #[test]
    fn the_timer_counts_exactly_and_wraps_at_24_bits() {
        let mut pm = PowerManagement::new(false);
        pm.advance(Instant::from_ns(1_000_000_000));
        assert_eq!(pm.read(PM_TIMER, Width::Dword), Ok(3_579_545));
        pm.advance(Instant::from_ns(5_000_000_000));
        assert_eq!(
            pm.read(PM_TIMER, Width::Dword),
            Ok((5 * 3_579_545) & 0xff_ffff)
        );
    }

    #[test]
    fn the_timer_bit_interrupts_at_its_deadline() {
        let mut pm = PowerManagement::new(true);
        assert_eq!(pm.deadline(), None);
        write(&mut pm, PM1_EVENT + 2, STATUS_TIMER);
        let at = pm.deadline().expect("a deadline");
        pm.advance(Instant::from_ns(at.as_ns() - 1));
        assert_eq!(pm.line(), Level::Low);
        pm.advance(at);
        assert_eq!(pm.line(), Level::High);
        assert_eq!(pm.deadline(), None);
    }

    #[test]
    fn no_access_panics() {
        let mut pm = PowerManagement::new(true);
        pm.advance(Instant::from_ns(u64::MAX));
        for at in (0..0x50).chain([u16::MAX]) {
            for width in [Width::Byte, Width::Word, Width::Dword, Width::Qword] {
                let _ = (
                    pm.write(at, width, u32::MAX),
                    pm.read(at, width),
                    pm.deadline(),
                );
            }
        }
    }
}
