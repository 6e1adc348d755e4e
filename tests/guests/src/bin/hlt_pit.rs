//! HLT is ended by the PIT through the PIC.
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::trap::{self, EndOfInterrupt};
use test_guests::{Outcome, apic, cpu, equal, guest, pic, pit, that};

guest!(test);

const TICKS: u32 = 5;

fn test() -> Outcome {
    apic::enable();
    apic::accept_pic();
    trap::end_by(EndOfInterrupt::Pic);
    pic::init(1 << 0);
    equal("PIC masks", pic::masks().into(), 0xfffe)?;
    pit::periodic(100);

    // First without HLT: an interrupt that never comes must not leave us asleep.
    cpu::sti();
    that(
        "the PIT does not interrupt",
        cpu::poll(|| trap::count(pic::FIRST_VECTOR) > 0),
    )?;
    cpu::cli();
    let before = trap::count(pic::FIRST_VECTOR);
    while trap::count(pic::FIRST_VECTOR) < before + TICKS {
        cpu::sti_hlt_cli();
    }
    pic::mask_all();
    pit::stop();
    let masked = trap::count(pic::FIRST_VECTOR);
    cpu::sti();
    for _ in 0..100_000 {
        cpu::pause();
    }
    cpu::cli();
    equal(
        "a masked PIC interrupts",
        (trap::count(pic::FIRST_VECTOR) - masked).into(),
        0,
    )
}
