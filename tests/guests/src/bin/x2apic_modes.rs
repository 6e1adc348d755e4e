//! The modes of each CPU's own local APIC: which changes are legal, and what answers in which. (Intel SDM vol. 3A 11.12.5)
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::apic::{self, command};
use test_guests::{Fail, Outcome, catch, cpu, equal, guest, mmio, println, smp, that, trap};

guest!(test, cpus = 2);

const BASE: u32 = 0x1b;
const VECTOR: u8 = 0x7c;
const WINDOW: u64 = 0xfee0_0000;
const BOOT: u64 = 1 << 8;
const X2APIC: u64 = 1 << 10;
const ENABLED: u64 = 1 << 11;
const MODE: u64 = X2APIC | ENABLED;

const DISABLED: u64 = 0;
const XAPIC: u64 = ENABLED;

/// Every change of mode, and whether it is legal.
const CHANGES: [(u64, u64, bool); 12] = [
    (DISABLED, DISABLED, true),
    (DISABLED, XAPIC, true),
    (DISABLED, MODE, false),
    (DISABLED, X2APIC, false),
    (XAPIC, XAPIC, true),
    (XAPIC, DISABLED, true),
    (XAPIC, MODE, true),
    (XAPIC, X2APIC, false),
    (MODE, MODE, true),
    (MODE, DISABLED, true),
    (MODE, XAPIC, false),
    (MODE, X2APIC, false),
];

fn is_refused(f: impl FnOnce()) -> bool {
    catch(f).is_some_and(|trap| trap.vector == 13)
}

fn set(mode: u64) {
    cpu::wrmsr(BASE, cpu::rdmsr(BASE) & !MODE | mode);
}

/// Gets into a mode by legal steps.
fn go_to(mode: u64) {
    set(DISABLED);
    if mode != DISABLED {
        set(XAPIC);
    }
    set(mode);
}

/// What answers is what the mode has.
fn answers_as(mode: u64) -> Outcome {
    let msr_answers = !is_refused(|| test_guests::discard(cpu::rdmsr(0x802)));
    equal(
        "whether the MSRs answer",
        msr_answers.into(),
        (mode == MODE).into(),
    )?;
    let is_window = mmio::read32(WINDOW + 0x30) != u32::MAX;
    equal(
        "whether the window answers",
        is_window.into(),
        (mode == XAPIC).into(),
    )?;
    let cpuid_says = cpu::cpuid(1, 0).edx & 1 << 9 != 0;
    equal(
        "whether CPUID says that there is one",
        cpuid_says.into(),
        (mode != DISABLED).into(),
    )
}

fn walk() -> Outcome {
    let begin = cpu::rdmsr(BASE);
    let is_boot = begin & BOOT != 0;
    equal(
        "the flag of the boot processor",
        is_boot.into(),
        (smp::number() == 0).into(),
    )?;
    equal("the address of the window", begin & !0xfff, WINDOW)?;
    for (number, (from, to, is_legal)) in (0..).zip(CHANGES) {
        go_to(from);
        answers_as(from)?;
        if is_refused(|| set(to)) == is_legal {
            return Err(Fail::with(
                "a change of mode is legal or not",
                number,
                is_legal.into(),
            ));
        }
        answers_as(if is_legal { to } else { from })?;
    }
    // Reserved: the low byte, bit 9, and what lies above the physical address.
    go_to(XAPIC);
    let physical_bits = cpu::cpuid(0x8000_0008, 0).eax & 0xff;
    for bit in [0, 7, 9, physical_bits, 52, 63] {
        let is_taken = !is_refused(|| cpu::wrmsr(BASE, begin & !MODE | XAPIC | 1 << bit));
        if is_taken {
            return Err(Fail::with("a reserved bit is taken", bit.into(), 0));
        }
    }
    apic::note_mode(false);
    apic::enable();
    Ok(())
}

fn test() -> Outcome {
    if !apic::has_x2apic() {
        println!("note x2apic_modes: not offered");
        return Ok(());
    }
    smp::start(CPUS)?;
    smp::run_on(1, walk)?;
    walk()?;
    // One CPU's mode is its own, and interrupts go from one to another.
    smp::run_on(1, || {
        apic::enter_x2apic();
        Ok(())
    })?;
    equal(
        "the mode of the boot processor",
        cpu::rdmsr(BASE) & MODE,
        XAPIC,
    )?;
    answers_as(XAPIC)?;
    let fixed = command::ASSERT | u32::from(VECTOR);
    smp::check(
        CPUS,
        "who took what was sent to an x2APIC",
        VECTOR,
        0b10,
        || apic::send(1, fixed),
    )?;
    smp::run_on(1, || {
        apic::send(0, command::ASSERT | u32::from(VECTOR));
        Ok(())
    })?;
    let is_taken = smp::wait(|| {
        cpu::let_in();
        trap::count(VECTOR) == 1
    });
    that("an x2APIC does not reach an xAPIC", is_taken)
}
