//! The TSC's frequency, determined from every clock there is.
//!
//! CPUID is believed only where a measurement confirms it: emulators copy a model's leaves and tick at another rate.

use core::fmt;

use addr::Hpa;
use cpu::{IoPorts, cpuid, has_cpuid_leaf, read_tsc};
use hardware::Registers;
use memory::{Caching, MappedRegisters};

use crate::acpi::Register;

/// Where a frequency came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    CrystalLeaf,
    BaseLeaf,
    HypervisorLeaf,
    Hpet,
    PmTimer,
    Pit,
    Guess,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CrystalLeaf => "cpuid leaf 0x15",
            Self::BaseLeaf => "cpuid leaf 0x16",
            Self::HypervisorLeaf => "cpuid leaf 0x40000010",
            Self::Hpet => "HPET",
            Self::PmTimer => "PM timer",
            Self::Pit => "PIT",
            Self::Guess => "a guess: no clock answers",
        })
    }
}

/// Measures the TSC's frequency in kHz.
pub(crate) fn calibrate(hpet: Option<u64>, pm_timer: Option<Register>) -> (u64, Source) {
    let hpet = hpet.and_then(Hpet::new);
    let mut measured = None;
    if let Some(hpet) = &hpet {
        measured = median(|| hpet.measure()).map(|khz| (khz, Source::Hpet));
    }
    if let (None, Some(Register::Port(port))) = (measured, pm_timer) {
        measured = median(|| measure_pm_timer(port)).map(|khz| (khz, Source::PmTimer));
    }
    if measured.is_none() {
        measured = median(measure_pit).map(|khz| (khz, Source::Pit));
    }
    let mut claims = [
        (crystal_leaf(), Source::CrystalLeaf),
        (hypervisor_leaf(), Source::HypervisorLeaf),
        (base_leaf(), Source::BaseLeaf),
    ]
    .into_iter()
    .filter_map(|(khz, source)| Some((khz?, source)));
    match measured {
        // Within 1 %: the claim is the exact number and the measurement its noisy echo.
        Some((khz, _)) => claims
            .find(|(claim, _)| claim.abs_diff(khz) <= khz / 100)
            .or(measured),
        None => claims.next(),
    }
    .unwrap_or((1_000_000, Source::Guess))
}

/// The middle of three runs: a host may have stopped us in one of them.
fn median(mut measure: impl FnMut() -> Option<u64>) -> Option<u64> {
    let mut runs = [measure()?, measure()?, measure()?];
    runs.sort_unstable();
    Some(runs[1])
}

/// TSC ticks in `elapsed` ticks of a clock, as kHz of the TSC. Less than 1 MHz means the clock stood still.
fn to_khz(tsc_ticks: u64, elapsed: u64, clock_hz: u64) -> Option<u64> {
    let khz = u128::from(tsc_ticks) * u128::from(clock_hz) / (u128::from(elapsed.max(1)) * 1000);
    u64::try_from(khz)
        .ok()
        .filter(|khz| (1_000..100_000_000).contains(khz))
}

/// Number of polls a clock gets before it counts as dead.
const PATIENCE: u32 = 20_000_000;

/// Lets a counter of `mask` width run for 1/100 s and compares.
fn measure(read: impl Fn() -> u64, mask: u64, hz: u64) -> Option<u64> {
    let (clock_start, tsc_start) = (read(), read_tsc());
    for _ in 0..PATIENCE {
        let elapsed = read().wrapping_sub(clock_start) & mask;
        let ticks = read_tsc() - tsc_start;
        if elapsed >= hz / 100 {
            return to_khz(ticks, elapsed, hz);
        }
        // A clock that has not moved after this long is not there.
        if elapsed == 0 && ticks > 1 << 26 {
            return None;
        }
    }
    None
}

/// (ACPI 6.5 section 4.8.3.3: 3.579545 MHz, at least 24 bits)
fn measure_pm_timer(port: u16) -> Option<u64> {
    // SAFETY: the firmware's tables name it; a read-only counter.
    let counter = unsafe { IoPorts::claim(port, 4) }?;
    measure(|| u64::from(counter.read_u32(0)), 0xff_ffff, 3_579_545)
}

/// A mapped HPET. (IA-PC HPET specification 1.0a, 2.3)
struct Hpet {
    registers: MappedRegisters,
    hz: u64,
}

impl Hpet {
    const CONFIGURATION: usize = 0x10;
    const COUNTER: usize = 0xf0;

    fn new(base: u64) -> Option<Self> {
        // SAFETY: the firmware's tables say that the HPET is there; it moves no memory.
        let mapped = unsafe { MappedRegisters::map(Hpa::new(base), 0x400, Caching::Uncached) };
        let registers = mapped.ok()?;
        let femtoseconds = registers.read_u64(0).ok()? >> 32;
        // At most 100 ns a tick, by the specification.
        if !(1..=100_000_000).contains(&femtoseconds) {
            return None;
        }
        let hz = 1_000_000_000_000_000 / femtoseconds;
        // Bit 0 lets the counter run.
        let enabled = registers.read_u64(Self::CONFIGURATION).ok()? | 1;
        registers.write_u64(Self::CONFIGURATION, enabled).ok()?;
        Some(Self { registers, hz })
    }

    /// Reads the counter; one that cannot be read stands still.
    fn read_counter(&self) -> u64 {
        self.registers.read_u64(Self::COUNTER).unwrap_or(0)
    }

    fn measure(&self) -> Option<u64> {
        measure(|| self.read_counter(), u32::MAX.into(), self.hz)
    }
}

/// Lets channel 2 of the PIT count down once; its output shows at port 0x61. (8254 datasheet; mode 0)
fn measure_pit() -> Option<u64> {
    // SAFETY: channel 2, which drives nothing but the speaker, and the control word, which is for
    // channel 2.
    const PIT: IoPorts = unsafe { IoPorts::claim(0x42, 2) }.expect("below the last port");
    const CHANNEL: u16 = 0;
    const CONTROL: u16 = 1;
    // SAFETY: gate and speaker bits; the speaker stays off.
    const GATE: IoPorts = unsafe { IoPorts::claim(0x61, 1) }.expect("below the last port");
    const HZ: u64 = 1_193_182;
    const COUNT: u16 = (HZ / 100) as u16;
    const OUTPUT: u8 = 1 << 5;
    let gate = GATE.read_u8(0) & !0x03;
    GATE.write_u8(0, gate);
    PIT.write_u8(CONTROL, 0xb0);
    PIT.write_u8(CHANNEL, COUNT as u8);
    PIT.write_u8(CHANNEL, (COUNT >> 8) as u8);
    if GATE.read_u8(0) & OUTPUT != 0 {
        return None;
    }
    let start = read_tsc();
    GATE.write_u8(0, gate | 1);
    for _ in 0..PATIENCE {
        if GATE.read_u8(0) & OUTPUT != 0 {
            let ticks = read_tsc() - start;
            GATE.write_u8(0, gate);
            // Mode 0 counts one more than the number written.
            return to_khz(ticks, u64::from(COUNT) + 1, HZ);
        }
    }
    None
}

/// (Intel SDM vol. 2A, CPUID leaf 15H)
fn crystal_leaf() -> Option<u64> {
    if !has_cpuid_leaf(0x15) {
        return None;
    }
    let leaf = cpuid(0x15);
    let (denominator, numerator, crystal_hz) = (
        u64::from(leaf.eax),
        u64::from(leaf.ebx),
        u64::from(leaf.ecx),
    );
    if denominator == 0 || numerator == 0 || crystal_hz == 0 {
        return None;
    }
    Some(crystal_hz * numerator / denominator / 1000)
}

/// (Intel SDM vol. 2A, CPUID leaf 16H)
fn base_leaf() -> Option<u64> {
    if !has_cpuid_leaf(0x16) {
        return None;
    }
    Some(u64::from(cpuid(0x16).eax & 0xffff) * 1000).filter(|&khz| khz != 0)
}

/// The timing leaf of hypervisors: kHz in EAX.
fn hypervisor_leaf() -> Option<u64> {
    let is_guest = cpuid(1).ecx >> 31 != 0;
    if !is_guest || !(0x4000_0010..0x4001_0000).contains(&cpuid(0x4000_0000).eax) {
        return None;
    }
    Some(u64::from(cpuid(0x4000_0010).eax)).filter(|&khz| khz != 0)
}
