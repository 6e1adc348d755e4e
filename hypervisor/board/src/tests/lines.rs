//! Lines that several devices share.

use super::pc::TestPc;
use crate::line::IntxLine;
use device::Level;
use x86::Vector;

/// The pin to which both functions' interrupts lead, and their PIRQ.
const PIN: u8 = 19;
const PIRQ: u8 = 3;
const VECTOR: u8 = 0x51;
/// Input of the PIC pair to which the tests route the PIRQ, and another one.
const IRQ: u8 = 11;
const OTHER_IRQ: u8 = 10;

fn pair(pc: &TestPc) -> [IntxLine; 2] {
    [(3, 0), (4, 3)].map(|(device, pin)| {
        let line = IntxLine::new(pc.fabric(), device, pin);
        assert_eq!(line.gsi(), PIN);
        line.set_enabled(true);
        line
    })
}

#[test]
fn a_shared_level_interrupts_until_both_are_served() {
    let pc = TestPc::new();
    let [first, second] = pair(&pc);
    pc.route(PIN, Some(VECTOR));
    first.set(Level::High);
    second.set(Level::High);
    assert_eq!(pc.delivered(), [VECTOR]);
    first.set(Level::Low);
    pc.fabric().end_of_interrupt(Vector(VECTOR));
    // One is served, the other one is not.
    assert_eq!(pc.delivered(), [VECTOR]);
    second.set(Level::Low);
    pc.fabric().end_of_interrupt(Vector(VECTOR));
    assert_eq!(pc.delivered(), []);
}

#[test]
fn a_shared_level_survives_masking_and_a_change_of_vector() {
    let pc = TestPc::new();
    let [first, second] = pair(&pc);
    first.set(Level::High);
    second.set(Level::High);
    first.set(Level::Low);
    assert_eq!(pc.delivered(), []);
    pc.route(PIN, Some(VECTOR));
    assert_eq!(pc.delivered(), [VECTOR]);
    pc.route(PIN, None);
    pc.fabric().end_of_interrupt(Vector(VECTOR));
    assert_eq!(pc.delivered(), []);
    pc.route(PIN, Some(VECTOR + 1));
    assert_eq!(pc.delivered(), [VECTOR + 1]);
}

#[test]
fn a_shared_level_interrupts_through_the_pic_until_both_are_served() {
    for is_auto in [false, true] {
        let pc = TestPc::new();
        let [first, second] = pair(&pc);
        pc.fabric().route_pirq(PIRQ, Some(IRQ));
        pc.init_pic(is_auto);
        first.set(Level::High);
        second.set(Level::High);
        for served in [&first, &second] {
            assert_eq!(pc.acknowledge(), Some(0x20 + IRQ), "auto {is_auto}");
            served.set(Level::Low);
            if !is_auto {
                pc.end_of_interrupt();
            }
        }
        assert_eq!(pc.acknowledge(), None, "auto {is_auto}");
    }
}

#[test]
fn a_level_follows_its_route_and_leaves_the_old_input() {
    let pc = TestPc::new();
    let [first, second] = pair(&pc);
    pc.init_pic(false);
    first.set(Level::High);
    second.set(Level::High);
    assert_eq!(pc.acknowledge(), None, "routed to no input yet");
    pc.fabric().route_pirq(PIRQ, Some(IRQ));
    assert_eq!(pc.acknowledge(), Some(0x20 + IRQ));
    pc.fabric().route_pirq(PIRQ, Some(OTHER_IRQ));
    pc.end_of_interrupt();
    assert_eq!(pc.acknowledge(), Some(0x20 + OTHER_IRQ));
    pc.fabric().route_pirq(PIRQ, None);
    pc.end_of_interrupt();
    assert_eq!(pc.acknowledge(), None);
    // The pin of the IOAPIC has no route to change.
    pc.route(PIN, Some(VECTOR));
    assert_eq!(pc.delivered(), [VECTOR]);
}

#[test]
fn intx_that_is_switched_off_holds_nothing() {
    let pc = TestPc::new();
    let [first, second] = pair(&pc);
    pc.route(PIN, Some(VECTOR));
    first.set_enabled(false);
    first.set(Level::High);
    assert_eq!(pc.delivered(), []);
    first.set_enabled(true);
    assert_eq!(pc.delivered(), [VECTOR]);
    second.set(Level::High);
    first.set_enabled(false);
    pc.fabric().end_of_interrupt(Vector(VECTOR));
    assert_eq!(pc.delivered(), [VECTOR]);
    second.set_enabled(false);
    pc.fabric().end_of_interrupt(Vector(VECTOR));
    assert_eq!(pc.delivered(), []);
}

#[test]
fn an_isa_line_and_a_timer_share_a_pin() {
    let pc = TestPc::new();
    // As COM1's line, and the HPET's comparator that the guest has routed to the same pin.
    let isa = pc.maker.isa_line(4);
    let timer = pc.maker.line(None, 4);
    pc.route(4, Some(VECTOR));
    isa.set(Level::High);
    timer.set(Level::High);
    isa.set(Level::Low);
    assert_eq!(pc.delivered(), [VECTOR]);
    pc.fabric().end_of_interrupt(Vector(VECTOR));
    assert_eq!(pc.delivered(), [VECTOR]);
    timer.set(Level::Low);
    pc.fabric().end_of_interrupt(Vector(VECTOR));
    assert_eq!(pc.delivered(), []);
}
