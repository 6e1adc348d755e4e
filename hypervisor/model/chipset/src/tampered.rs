//! States of devices that somebody has tampered with: refused, or the device is whole and a reset
//! makes it what it was made as.

mod timers;

use crate::fw_cfg::{DESCRIPTOR_BYTES, Items, key};
use crate::{
    ApicMessage, DebugPort, ExitPort, FwCfg, I8042, IOAPIC_PINS, IoApic, MouseButtons, PicPair,
    PowerManagement, Pvpanic, ResetControl, Uart16550, Vga,
};
use alloc::vec::Vec;
use core::fmt::Debug;
use device::tamper::{Dice, Tally, tamper};
use device::{Device, Level, MmioDevice, Persist, PioDevice, Width, encode};
use time::Instant;
use x86::Vector;

const WIDTHS: [Width; 4] = [Width::Byte, Width::Byte, Width::Word, Width::Dword];
/// When the devices are saved.
const SAVED_AT: Instant = Instant::from_ns(10_123_456_789);
/// Wakes in one stretch of time; what comes then comes at its end.
const MAX_WAKES: u32 = 40;

/// Lets time pass as the home of a device does, which wakes it when it wants. A device that wants to
/// be advanced again at once moves something each time, and so comes to an end.
fn pass(device: &mut impl Device, now: &mut Instant, ns: u64) {
    let until = now.after_ns(ns);
    let mut at_once = 0;
    for _ in 0..MAX_WAKES {
        let Some(at) = device.deadline().filter(|at| *at <= until) else {
            break;
        };
        at_once = if at <= *now { at_once + 1 } else { 0 };
        assert!(at_once < MAX_WAKES / 2, "it wants to be advanced for ever");
        *now = (*now).max(at);
        device.advance(*now);
        let pulses = (0..3).take_while(|_| device.take_pulse());
        assert!(pulses.count() < 3, "it ticks for ever");
        let _ = device.line();
    }
    *now = until;
    device.advance(until);
}

/// A stretch of time, mostly short.
fn stretch(dice: &mut Dice) -> u64 {
    match dice.roll(40) {
        0 => dice.roll(1 << 55),
        1..4 => dice.roll(5_000_000_000),
        _ => dice.roll(200_000),
    }
}

fn pio_access(device: &mut impl PioDevice, ports: &[u16], dice: &mut Dice) {
    let at = ports[dice.roll(ports.len() as u64) as usize];
    let width = WIDTHS[dice.roll(4) as usize];
    if dice.roll(2) == 0 {
        let _ = device.read(at, width);
    } else {
        let _ = device.write(at, width, dice.roll(1 << 32) as u32);
    }
}

fn mmio_access(device: &mut impl MmioDevice, bytes: u64, dice: &mut Dice) {
    let at = dice.roll(bytes) & !(dice.roll(2) * 15);
    let width = [Width::Dword, Width::Qword, Width::Byte][dice.roll(3) as usize];
    if dice.roll(2) == 0 {
        let _ = device.read(at, width);
    } else {
        let value = dice.roll(1 << 32) << dice.roll(33);
        let _ = device.write(at, width, value);
    }
}

/// Uses a device on ports until the state to be tampered with, then tries all variants of it.
fn on_ports<D>(new: D, ports: &[u16], use_it: impl FnOnce(&mut D)) -> Tally
where
    D: PioDevice + Persist + Clone + PartialEq + Debug,
{
    on_ports_until(new, ports, use_it, |device, fresh| {
        assert_eq!(device, fresh)
    })
}

fn on_ports_until<D>(
    new: D,
    ports: &[u16],
    use_it: impl FnOnce(&mut D),
    is_whole: impl Fn(&D, &D),
) -> Tally
where
    D: PioDevice + Persist + Clone,
{
    let mut fresh = new;
    fresh.advance(SAVED_AT);
    let mut used = fresh.clone();
    use_it(&mut used);
    used.advance(SAVED_AT);
    tamper(&used, &fresh, |mut device, accesses, dice| {
        let mut now = SAVED_AT;
        for _ in 0..accesses {
            pio_access(&mut device, ports, dice);
            pass(&mut device, &mut now, stretch(dice));
        }
        // Time goes back when a VM starts again that was restored.
        device.advance(SAVED_AT);
        device.reset();
        let mut expected = fresh.clone();
        expected.reset();
        is_whole(&device, &expected);
    })
}

fn out(device: &mut impl PioDevice, writes: &[(u16, u8)]) {
    for (port, value) in writes {
        device
            .write(*port, Width::Byte, (*value).into())
            .expect("a register");
    }
}

fn assert_both(tally: Tally) {
    assert!(tally.taken > 500 && tally.refused > 500, "{tally:?}");
}

#[test]
fn the_pic_pair_survives() {
    let ports = [0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1];
    let mut pic = PicPair::new();
    // A line that is high stays so, whatever a state says.
    pic.set_line(4, Level::High);
    assert_both(on_ports(pic, &ports, |pic| {
        out(
            pic,
            &[(0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, 1), (0x4d1, 8)],
        );
        pic.set_line(6, Level::High);
        pic.pulse(0);
        let _ = pic.acknowledge();
    }));
}

#[test]
fn lines_are_held_by_their_holders_and_not_by_a_state() {
    let mut pic = PicPair::new();
    out(&mut pic, &[(0x4d0, 0xf8)]);
    pic.set_line(5, Level::High);
    let state = pic.state();
    let mut other = PicPair::new();
    other.set_state(state).expect("a state");
    assert_eq!(other.output(), Level::Low);
    other.set_line(5, Level::High);
    assert_eq!(other.output(), Level::High);
    other.set_line(5, Level::Low);
    assert_eq!(other.output(), Level::Low);
}

#[test]
fn the_ioapic_survives() {
    let mut fresh = IoApic::new();
    fresh.set_pin(3, Level::High);
    let mut used = fresh.clone();
    for (pin, entry) in [(2, 0x30), (3, 0x8031), (4, 0x1_0032), (9, 0xa733)] {
        used.write(0, Width::Byte, 0x10 + 2 * pin).expect("select");
        used.write(0x10, Width::Dword, entry).expect("entry");
    }
    used.pulse(2);
    used.set_pin(9, Level::High);
    let _ = used.next_message();
    assert_both(tamper(&used, &fresh, |mut ioapic, accesses, dice| {
        for _ in 0..accesses {
            mmio_access(&mut ioapic, 0x50, dice);
            ioapic.pulse(dice.roll(40) as u8);
            for _ in 0..=IOAPIC_PINS {
                let _: Option<ApicMessage> = ioapic.next_message();
            }
            assert_eq!(ioapic.next_message(), None, "it sends for ever");
            ioapic.end_of_interrupt(Vector(dice.roll(256) as u8));
        }
        ioapic.reset();
        assert_eq!(ioapic, fresh);
    }));
}

#[test]
fn the_uart_survives() {
    let ports = [0, 1, 2, 3, 4, 5, 6, 7];
    let use_it = |uart: &mut Uart16550| {
        out(uart, &[(2, 0xc1), (1, 0xf), (4, 0xb), (7, 0x5a)]);
        uart.set_backpressure(true);
        out(uart, &[(0, b'a'), (0, b'b')]);
        assert!(uart.receive(b'x') && uart.receive(b'y'));
    };
    // No reset changes the scratch register, the divisor and the far end.
    let is_whole = |uart: &Uart16550, fresh: &Uart16550| {
        let (mut uart, mut fresh) = (uart.clone(), fresh.clone());
        for uart in [&mut uart, &mut fresh] {
            uart.set_backpressure(false);
            out(uart, &[(7, 0), (3, 0x80), (0, 12), (1, 0)]);
            uart.reset();
        }
        assert_eq!(uart, fresh);
    };
    assert_both(on_ports_until(Uart16550::new(), &ports, use_it, is_whole));
}

#[test]
fn the_keyboard_controller_survives() {
    assert_both(on_ports(I8042::new(), &[0x60, 0x64], |controller| {
        let set_up = [(0x64, 0xd4), (0x60, 0xf4), (0x64, 0x60), (0x60, 0x47)];
        out(controller, &set_up);
        for byte in [0x1c, 0xf0, 0x1c, 0x32] {
            assert!(controller.key(byte));
        }
        controller.move_mouse(700, -30, 2);
        controller.set_mouse_buttons(MouseButtons {
            left: true,
            ..MouseButtons::default()
        });
        out(controller, &[(0x64, 0x20), (0x64, 0x20), (0x64, 0xd1)]);
    }));
}

#[test]
fn the_vga_adapter_survives() {
    let ports: Vec<u16> = (0x3b4..=0x3da).collect();
    let mut fresh = Vga::new();
    fresh.advance(SAVED_AT);
    let mut used = fresh.clone();
    out(
        &mut used,
        &[(0x3c8, 5), (0x3c9, 1), (0x3d4, 0xe), (0x3d5, 1)],
    );
    assert_both(tamper(&used, &fresh, |mut vga, accesses, dice| {
        for _ in 0..accesses {
            pio_access(&mut vga, &ports, dice);
            let _ = vga.picture();
        }
        vga.reset();
        assert_eq!(vga, fresh);
    }));
}

#[test]
fn small_devices_survive() {
    let ports: Vec<u16> = (0..0x40).collect();
    assert_both(on_ports(PowerManagement::new(false), &ports, |pm| {
        out(pm, &[(2, 1), (3, 1), (0x22, 0xff), (5, 0x14)]);
        pm.press_power_button();
        pm.raise_gpe(3);
    }));
    let reset = on_ports(ResetControl::new(), &[0x92, 0xcf9], |reset| {
        out(reset, &[(0xcf9, 2), (0x92, 3)]);
    });
    assert_both(reset);
    let debug = on_ports(DebugPort::new(), &[0xe9, 0x402], |debug| {
        out(debug, &[(0xe9, b'a'), (0x402, b'b')]);
    });
    assert_both(debug);
    let exit = on_ports(ExitPort::new(), &[0xf4], |exit| out(exit, &[(0xf4, 9)]));
    assert_both(exit);
    let pvpanic = on_ports(Pvpanic::new(), &[0], |pvpanic| out(pvpanic, &[(0, 1)]));
    assert_both(pvpanic);
}

#[test]
fn fw_cfg_survives() {
    let items = Items::new()
        .u64(key::RAM_SIZE, 2 << 20)
        .bytes(key::KERNEL_DATA, alloc::vec![7; 300])
        .file("etc/e820", alloc::vec![1; 40]);
    let mut fresh = FwCfg::new(items);
    fresh.advance(SAVED_AT);
    let contents = |fw: &FwCfg| -> Vec<u8> {
        let mut fw = fw.clone();
        let mut bytes = Vec::new();
        for key in [
            key::SIGNATURE,
            key::RAM_SIZE,
            key::KERNEL_DATA,
            key::FILE_DIR,
            0x20,
        ] {
            fw.write(0x510, Width::Word, key.into()).expect("selector");
            for _ in 0..310 {
                bytes.push(fw.read(0x511, Width::Byte).expect("data") as u8);
            }
        }
        bytes
    };
    let content = contents(&fresh);
    let mut used = fresh.clone();
    let order = |fw: &mut FwCfg, control: u32, len: u32| {
        fw.write(0x518, Width::Dword, 0x1000).expect("order");
        let whole = u128::from(control) << 96 | u128::from(len) << 64 | 0x5000;
        fw.begin(Some(whole.to_be_bytes()));
    };
    order(&mut used, 0x0011_000a, 0x20_0000);
    used.moved(true);
    assert!(used.deadline().is_some());
    let mut reads = 0;
    assert_both(tamper(&used, &fresh, |mut fw, accesses, dice| {
        let mut now = SAVED_AT;
        for _ in 0..accesses {
            pio_access(&mut fw, &[0x510, 0x511, 0x514, 0x518], dice);
            let mut into = [0; 40];
            let _ = fw.read_many(0x511, Width::Byte, &mut into);
            if fw.descriptor().is_some() {
                fw.begin((dice.roll(3) != 0).then_some([dice.roll(256) as u8; DESCRIPTOR_BYTES]));
            }
            for pieces in 0.. {
                assert!(pieces < 100, "it copies for ever");
                if fw.piece().is_none() {
                    break;
                }
                fw.moved(dice.roll(50) != 0);
            }
            let _ = fw.take_result();
            now = now.after_ns(dice.roll(1_000_000));
            fw.advance(now);
        }
        fw.advance(SAVED_AT);
        fw.reset();
        assert_eq!(encode(&fw.state()), encode(&fresh.state()));
        reads += 1;
        if reads % 100 == 1 {
            assert_eq!(contents(&fw), content);
        }
    }));
}
