//! A VMCS in words, for an operator.

use core::fmt;

use x86::Gpr;

use crate::check;
use crate::fields::{self, ReadField};
use crate::qualification::Interruption;
use crate::reason;
use crate::vmcs::Loaded;

/// Writes the last exit, what the entry rules say about the guest state, the registers and every field this CPU has.
///
/// # Errors
/// Those of `out`.
pub(crate) fn describe(vmcs: Loaded, gpr: &[u64; 16], out: &mut dyn fmt::Write) -> fmt::Result {
    let exit_reason = vmcs.read(fields::EXIT_REASON);
    let failed = if exit_reason & reason::ENTRY_FAILURE != 0 {
        " (entry failed)"
    } else {
        ""
    };
    writeln!(
        out,
        "exit reason {} {}{failed}, qualification {:#x}, instruction error {}",
        exit_reason as u16,
        reason::name(exit_reason as u16),
        vmcs.read(fields::EXIT_QUALIFICATION),
        match vmcs.read(fields::INSTRUCTION_ERROR) {
            0 => "none",
            error => reason::instruction_error(error),
        },
    )?;
    let rule = check::first_violation(&vmcs).unwrap_or("none known");
    writeln!(out, "broken rule of VM entry: {rule}")?;
    describe_event(out, "queued", vmcs.read(fields::ENTRY_INTERRUPTION_INFO))?;
    describe_event(out, "cut short", vmcs.read(fields::IDT_VECTORING_INFO))?;
    writeln!(out, "registers")?;
    for (index, register) in Gpr::ALL.into_iter().enumerate() {
        let value = if register == Gpr::Rsp {
            vmcs.read(fields::GUEST_RSP)
        } else {
            gpr[register.index()]
        };
        let end = if index % 4 == 3 { "\n" } else { "" };
        write!(out, "  {:<3} {value:016x}{end}", Name(register))?;
    }
    for (group, list) in fields::ALL {
        writeln!(out, "{group}")?;
        let mut column = 0;
        for (name, encoding) in *list {
            // A CPU without a feature has not its fields.
            let Some(value) = vmcs.try_read(*encoding) else {
                continue;
            };
            column += 1;
            let end = if column % 3 == 0 { "\n" } else { "" };
            write!(out, "  {name:<23} {value:016x}{end}")?;
        }
        if column % 3 != 0 {
            writeln!(out)?;
        }
    }
    Ok(())
}

fn describe_event(out: &mut dyn fmt::Write, what: &str, info: u32) -> fmt::Result {
    let event = Interruption(info);
    if event.is_valid() {
        let (kind, vector) = (event.kind(), event.vector());
        writeln!(out, "event {what}: {kind:?} vector {vector}")
    } else {
        Ok(())
    }
}

/// A register's name in small letters.
struct Name(Gpr);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 16] = [
            "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11",
            "r12", "r13", "r14", "r15",
        ];
        f.pad(NAMES[self.0.index()])
    }
}
