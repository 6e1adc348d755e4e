//! Of the devices that tell the time.

use super::{SAVED_AT, assert_both, mmio_access, on_ports, on_ports_until, out, pass, stretch};
use crate::{CmosMemory, Hpet, LocalApic, Pit, Rtc, Trigger};
use alloc::vec::Vec;
use device::tamper::tamper;
use device::{Device, Level, MmioDevice, Persist, PioDevice, Width};
use time::Instant;
use x86::Vector;

#[test]
fn the_pit_survives() {
    let ports = [0x40, 0x41, 0x42, 0x43, 0x61];
    assert_both(on_ports(Pit::new(), &ports, |pit| {
        let set_up = [
            (0x43, 0x34),
            (0x40, 0xa9),
            (0x40, 4),
            (0x61, 1),
            (0x43, 0xb6),
        ];
        out(pit, &set_up);
        out(pit, &[(0x42, 7), (0x42, 1), (0x43, 0xc2), (0x43, 0x80)]);
    }));
}

/// Bytes of the clock's RAM.
fn cmos(rtc: &Rtc, indices: impl Iterator<Item = u8>) -> Vec<u32> {
    let mut rtc = rtc.clone();
    let mut read = |index| {
        out(&mut rtc, &[(0, index)]);
        rtc.read(1, Width::Byte).expect("data")
    };
    indices.map(&mut read).collect()
}

#[test]
fn the_rtc_survives() {
    const SIZES: [u8; 11] = [
        0x15, 0x16, 0x17, 0x18, 0x30, 0x31, 0x34, 0x35, 0x5b, 0x5c, 0x5d,
    ];
    let memory = CmosMemory {
        below_4g_bytes: 2 << 30,
        above_4g_bytes: 1 << 30,
    };
    let new = Rtc::new(1_767_225_600, memory);
    let use_it = |rtc: &mut Rtc| {
        for (index, value) in [(0x0a, 0x26), (0x0b, 0x72), (5, 0xff), (0x40, 7), (0x17, 1)] {
            out(rtc, &[(0, index), (1, value)]);
        }
    };
    // The battery keeps the rest.
    let is_whole = |rtc: &Rtc, fresh: &Rtc| {
        let wired = || SIZES.into_iter().chain([0x0d]);
        assert_eq!(cmos(rtc, wired()), cmos(fresh, wired()));
        assert_eq!(rtc.line(), Level::Low);
        // It ticks: time that went back has not stopped it.
        let mut rtc = rtc.clone();
        out(&mut rtc, &[(0, 0x0b), (1, 0x12)]);
        rtc.advance(SAVED_AT.after_ns(1_000_000_000));
        assert_eq!(rtc.line(), Level::High);
    };
    assert_both(on_ports_until(new, &[0, 1], use_it, is_whole));
}

#[test]
fn a_guests_clock_goes_on_elsewhere_until_its_next_start() {
    let memory = CmosMemory {
        below_4g_bytes: 2 << 30,
        above_4g_bytes: 0,
    };
    let seconds = |rtc: &Rtc| cmos(rtc, [0x04, 0x02, 0x00].into_iter());
    // 00:00:00, and a minute on a host that was started two hours and a second later.
    let mut here = Rtc::new(1_767_225_600, memory);
    let mut there = Rtc::new(1_767_225_600 + 7_201, memory);
    for rtc in [&mut here, &mut there] {
        rtc.advance(Instant::from_ns(60_000_000_000));
    }
    assert_eq!(seconds(&here), [0, 1, 0]);
    assert_eq!(seconds(&there), [2, 1, 1]);
    there.set_state(here.state()).expect("a state");
    assert_eq!(seconds(&there), [0, 1, 0]);
    there.reset();
    assert_eq!(seconds(&there), [2, 1, 1]);
}

#[test]
fn the_hpet_survives() {
    let mut fresh = Hpet::new();
    fresh.advance(SAVED_AT);
    let mut used = fresh.clone();
    let writes = [
        (0x100, 0x2a06),
        (0x108, 5_000),
        (0x120, 0x4c),
        (0x128, 100_000),
        (0x128, 90_000),
        (0x10, 3),
    ];
    for (at, value) in writes {
        used.write(at, Width::Qword, value).expect("a register");
    }
    assert_both(tamper(&used, &fresh, |mut hpet, accesses, dice| {
        let mut now = SAVED_AT;
        for _ in 0..accesses {
            mmio_access(&mut hpet, 0x160, dice);
            pass(&mut hpet, &mut now, stretch(dice));
            let events = (0..40).take_while(|_| hpet.take_event().is_some());
            assert!(events.count() < 40, "it tells of events for ever");
        }
        hpet.advance(SAVED_AT);
        hpet.reset();
        while hpet.take_event().is_some() {}
        assert_eq!(hpet, fresh);
    }));
}

#[test]
fn the_local_apic_survives() {
    for (id, is_bsp) in [(0, true), (3, false)] {
        let mut fresh = LocalApic::new(id, is_bsp);
        fresh.advance(SAVED_AT);
        let mut used = fresh.clone();
        used.enter_virtual_wire();
        for (at, value) in [
            (0x3e0, 0xb),
            (0x320, 0x2_0040),
            (0x380, 100_000),
            (0x370, 5),
        ] {
            MmioDevice::write(&mut used, at, Width::Dword, value).expect("a register");
        }
        used.accept(Vector(0x51), Trigger::Level);
        used.accept(Vector(0x41), Trigger::Edge);
        used.acknowledge(Vector(0x51));
        assert_both(tamper(&used, &fresh, |mut apic, accesses, dice| {
            let mut now = SAVED_AT;
            for _ in 0..accesses {
                mmio_access(&mut apic, 0x400, dice);
                let register = x86::msr::X2APIC_BASE + dice.roll(0x40) as u32;
                let _ = apic.write_msr(register, dice.roll(1 << 32));
                let _ = apic.read_msr(register);
                apic.accept(Vector(dice.roll(256) as u8), Trigger::Edge);
                if let Some(vector) = apic.highest_ready() {
                    apic.acknowledge(vector);
                }
                let _ = (apic.take_ipi(), apic.take_eoi());
                pass(&mut apic, &mut now, stretch(dice));
            }
            apic.advance(SAVED_AT);
            apic.reset();
            assert_eq!(apic, fresh);
            assert_eq!(apic.addressing(), fresh.addressing());
        }));
    }
}
