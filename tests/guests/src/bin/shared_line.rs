//! Two PCI functions on one level line: whoever takes the interrupt sees it until both are served,
//! through the IOAPIC and through the PIC, with and without automatic EOI, and across a change of
//! mask and of route.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use test_guests::ioapic::{self, Trigger};
use test_guests::pci::{self, LINE, LPC, PIRQD_ROUTE, TEST_DEVICES};
use test_guests::port::out8;
use test_guests::trap::{self, EndOfInterrupt};
use test_guests::{Outcome, apic, cpu, equal, guest, pic, that};

guest!(test);

const PAGES: [u64; 2] = [0xc000_0000, 0xc000_1000];
const VECTOR: u8 = 0x51;
/// Inputs of the second PIC.
const IRQS: [u8; 2] = [11, 10];
/// Mode of an input in ELCR2: level.
const ELCR2: u16 = 0x4d1;
/// After so long no further interrupt is on its way.
const SETTLE_TICKS: u64 = 300_000;

/// Interrupts so far. Each one serves one device.
static TAKEN: AtomicU32 = AtomicU32::new(0);

fn hook(vector: u8) {
    let is_ours = vector == VECTOR || IRQS.iter().any(|irq| vector == pic::FIRST_VECTOR + irq);
    if is_ours && let Some(page) = PAGES.get(TAKEN.fetch_add(1, SeqCst) as usize) {
        pci::hold(*page, false);
    }
}

fn hold_both() {
    TAKEN.store(0, SeqCst);
    for page in PAGES {
        pci::hold(page, true);
    }
}

fn taken(what: &'static str, wanted: u32) -> Outcome {
    cpu::sti();
    let have_come = cpu::poll(|| TAKEN.load(SeqCst) >= wanted);
    cpu::wait(SETTLE_TICKS);
    cpu::cli();
    that(what, have_come)?;
    equal(what, TAKEN.load(SeqCst).into(), wanted.into())
}

fn through_the_ioapic() -> Outcome {
    apic::enable();
    trap::end_by(EndOfInterrupt::LocalApic);
    ioapic::route(LINE, VECTOR, Trigger::Level);
    hold_both();
    taken("until both are served, by the IOAPIC", 2)?;
    ioapic::mask(LINE);
    hold_both();
    pci::hold(PAGES[0], false);
    taken("masked", 0)?;
    TAKEN.store(1, SeqCst);
    ioapic::route(LINE, VECTOR, Trigger::Level);
    taken("unmasked, one still holds it", 2)?;
    // INTx switched off: the level is there and not seen.
    pci::write(
        TEST_DEVICES[0],
        4,
        pci::COMMAND_MEMORY | pci::COMMAND_INTX_OFF,
    );
    TAKEN.store(0, SeqCst);
    pci::hold(PAGES[0], true);
    taken("INTx off", 0)?;
    pci::write(TEST_DEVICES[0], 4, pci::COMMAND_MEMORY);
    taken("INTx on again", 1)?;
    ioapic::mask(LINE);
    Ok(())
}

fn through_the_pic(is_automatic: bool) -> Outcome {
    const CASCADE: u8 = 1 << 2;
    apic::accept_pic();
    trap::end_by(if is_automatic {
        EndOfInterrupt::None
    } else {
        EndOfInterrupt::Pic
    });
    pic::init_with(CASCADE, is_automatic);
    out8(
        ELCR2,
        IRQS.iter().fold(0, |bits, irq| bits | 1 << (irq - 8)),
    );
    pic::unmask_slave(IRQS.iter().fold(0, |bits, irq| bits | 1 << (irq - 8)));
    pci::write8(LPC, PIRQD_ROUTE, IRQS[0]);
    hold_both();
    taken("until both are served, by the PIC", 2)?;
    let first = trap::count(pic::FIRST_VECTOR + IRQS[0]);
    // Held while its route changes: the new input has the level, the old one has not.
    hold_both();
    pci::write8(LPC, PIRQD_ROUTE, IRQS[1]);
    let second = trap::count(pic::FIRST_VECTOR + IRQS[1]);
    taken("after a change of route", 2)?;
    equal(
        "the new input",
        (trap::count(pic::FIRST_VECTOR + IRQS[1]) - second).into(),
        2,
    )?;
    equal(
        "the old input",
        (trap::count(pic::FIRST_VECTOR + IRQS[0]) - first).into(),
        0,
    )?;
    pci::write8(LPC, PIRQD_ROUTE, 0x80);
    hold_both();
    taken("routed to no input", 0)?;
    PAGES.iter().for_each(|page| pci::hold(*page, false));
    pic::mask_all();
    Ok(())
}

fn test() -> Outcome {
    for (device, page) in TEST_DEVICES.into_iter().zip(PAGES) {
        pci::map(device, page);
    }
    trap::set_hook(hook);
    through_the_ioapic()?;
    through_the_pic(false)?;
    through_the_pic(true)
}
