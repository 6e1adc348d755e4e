//! A BAR that one CPU moves 1,000 times under three others: each access meets the device at the
//! right offset or nothing, and once a move has retired nobody meets the old place. Where the BAR
//! lies over RAM, RAM answers and keeps every byte.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use test_guests::pci::{self, register};
use test_guests::port::{in32, out32};
use test_guests::{Fail, Outcome, equal, guest, mmio, smp};

guest!(test, cpus = 4);

const MOVES: u32 = 1_000;
const DEVICE: u8 = pci::TEST_DEVICES[0];
/// Where the BAR goes in turn; the last place is RAM.
const PLACES: [u64; 3] = [0xc000_0000, 0xd000_3000, RAM];
const RAM: u64 = 12 << 20;
const PATTERN: u32 = 0x5ca1_ab1e;
const NOTHING: u32 = u32::MAX;
/// Where the ports of BAR 1 go.
const PORTS: [u16; 2] = [0xd000, 0xe040];

/// Twice the number of moves that have retired, and 1 while one is under way.
static PHASE: AtomicU32 = AtomicU32::new(0);
static IS_OVER: AtomicBool = AtomicBool::new(false);
static HITS: AtomicU32 = AtomicU32::new(0);

fn place_of(phase: u32) -> u64 {
    PLACES[(phase / 2) as usize % PLACES.len()]
}

/// Reads a probe in each place of PCI memory, and says what must not be.
fn look(offset: u64) -> Outcome {
    for place in &PLACES[..2] {
        let before = PHASE.load(SeqCst);
        let value = mmio::read32(place + offset);
        let after = PHASE.load(SeqCst);
        let is_hit = u64::from(value) == offset;
        if is_hit {
            HITS.fetch_add(1, SeqCst);
        } else if value != NOTHING {
            return Err(Fail::with("a wrong offset", value.into(), offset));
        }
        let is_settled = before == after && before.is_multiple_of(2);
        if is_settled && is_hit != (place_of(before) == *place) {
            let what = "an access met the old place, or missed the new one";
            return Err(Fail::with(what, *place, place_of(before)));
        }
    }
    Ok(())
}

fn others() -> Outcome {
    let mut offset = register::FIRST_PROBE;
    while !IS_OVER.load(SeqCst) {
        look(offset)?;
        offset = if offset == 0xffc {
            register::FIRST_PROBE
        } else {
            offset + 4
        };
    }
    Ok(())
}

fn move_it() -> Outcome {
    for number in 1..=MOVES {
        PHASE.fetch_add(1, SeqCst);
        pci::write(DEVICE, 0x10, place_of(2 * number) as u32);
        PHASE.fetch_add(1, SeqCst);
        look(register::FIRST_PROBE + u64::from(number % 64) * 4)?;
    }
    Ok(())
}

fn ram_is_whole(when: &'static str) -> Outcome {
    for at in (0..0x1000).step_by(4) {
        equal(when, mmio::read32(RAM + at).into(), PATTERN.into())?;
    }
    Ok(())
}

/// BAR 1: ports that move and go.
fn ports() -> Outcome {
    for (number, ports) in (1u32..).zip(PORTS) {
        pci::write(DEVICE, 0x14, ports.into());
        pci::write(DEVICE, 4, pci::COMMAND_PORTS);
        out32(ports + 4, number);
        equal("a number by ports", in32(ports + 4).into(), number.into())?;
    }
    equal("the old ports", in32(PORTS[0] + 4).into(), NOTHING.into())?;
    pci::write(DEVICE, 4, 0);
    equal("no ports", in32(PORTS[1] + 4).into(), NOTHING.into())
}

fn test() -> Outcome {
    equal("ids", pci::read(DEVICE, 0).into(), pci::TEST_IDS.into())?;
    ports()?;
    for at in (0..0x1000).step_by(4) {
        mmio::write32(RAM + at, PATTERN);
    }
    pci::write(DEVICE, 0x10, u32::MAX);
    equal("size of BAR 0", pci::read(DEVICE, 0x10).into(), 0xffff_f000)?;
    pci::map(DEVICE, PLACES[0]);
    equal("id", mmio::read32(PLACES[0]).into(), pci::TEST_ID.into())?;
    smp::start(CPUS)?;
    (1..CPUS).for_each(|cpu| smp::begin_on(cpu, others));
    move_it()?;
    IS_OVER.store(true, SeqCst);
    (1..CPUS).try_for_each(smp::finish)?;
    ram_is_whole("RAM beneath the BAR")?;
    pci::write(DEVICE, 0x10, PLACES[0] as u32);
    let probes = mmio::read32(PLACES[0] + register::PROBES);
    equal("hits", HITS.load(SeqCst).into(), probes.into())?;
    // Over the IOAPIC: that answers as before.
    pci::write(DEVICE, 0x10, 0xfec0_0000);
    equal(
        "pins",
        (test_guests::ioapic::read(test_guests::ioapic::VERSION) >> 16 & 0xff).into(),
        23,
    )
}
