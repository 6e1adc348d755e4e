//! An interrupt whose delivery faults: the fault is delivered instead, says where from, and nothing is lost after it.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![expect(unsafe_code, reason = "instructions under test")]

use core::arch::asm;
use test_guests::paging::{self, PAGE_BYTES};
use test_guests::trap::{self, EndOfInterrupt};
use test_guests::{Fail, Outcome, apic, catch, cpu, equal, guest, tables, that};

guest!(test);

const VECTOR: u8 = 0x61;
const PAGE: u64 = 6 * PAGE_BYTES;
const EXTERNAL: u64 = 1;
const IN_IDT: u64 = 2;

fn test() -> Outcome {
    apic::enable();
    trap::end_by(EndOfInterrupt::LocalApic);
    no_gate()?;
    no_stack()?;
    // The interrupt controller still works.
    let before = trap::count(VECTOR);
    apic::send_self(VECTOR);
    cpu::sti();
    let has_come = cpu::poll(|| trap::count(VECTOR) != before);
    cpu::cli();
    that("no interrupt comes any more", has_come)
}

/// The gate is not present: #NP names it and says that an external event was being delivered.
fn no_gate() -> Outcome {
    tables::clear_gate(VECTOR);
    apic::send_self(VECTOR);
    let trap = catch(|| {
        cpu::sti();
        let _ = cpu::poll(|| false);
    });
    cpu::cli();
    tables::set_gate(VECTOR, 0);
    // The interrupt was accepted and never handled: it is still in service.
    apic::end_of_interrupt();
    let trap = trap.ok_or(Fail::new("an interrupt without a gate raises nothing"))?;
    equal("vector", trap.vector.into(), 11)?;
    let vector = u64::from(VECTOR);
    // TCG shifts the vector by one bit too many and forgets where the event came from.
    let is_emulated = trap.error == vector << 4 | IN_IDT;
    that(
        "error code",
        is_emulated || trap.error == vector << 3 | IN_IDT | EXTERNAL,
    )
}

/// The stack is not present: #PF, on a stack of its own, with the address that could not be pushed to.
fn no_stack() -> Outcome {
    paging::unmap(PAGE);
    tables::set_gate(14, tables::IST_OTHER);
    apic::send_self(VECTOR);
    let trap = catch(|| {
        // SAFETY: an exception brings us back with our own stack; one comes, for there is no other way on.
        unsafe {
            asm!("mov rsp, {}", "sti", "nop", "2:", "pause", "jmp 2b", in(reg) PAGE + 0x1000, options(noreturn))
        };
    });
    cpu::cli();
    tables::set_gate(14, 0);
    paging::map(PAGE);
    apic::end_of_interrupt();
    let trap = trap.ok_or(Fail::new("an interrupt without a stack raises nothing"))?;
    equal("vector", trap.vector.into(), 14)?;
    equal("error code (a write)", trap.error, 2)?;
    that(
        "CR2 is not in the frame",
        trap.cr2 >= PAGE + 0xf00 && trap.cr2 < PAGE + 0x1000,
    )
}
