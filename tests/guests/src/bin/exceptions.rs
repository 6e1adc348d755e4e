//! Every exception a guest can raise arrives at its own IDT, with the right error code and address.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![expect(unsafe_code, reason = "instructions under test")]

use core::arch::{asm, naked_asm};
use test_guests::cpu::{read_cr0, read_cr4, write_cr0, write_cr4};
use test_guests::paging::{self, PAGE_BYTES};
use test_guests::{
    Fail, Outcome, Trap, catch, cpu, equal, guest, mmio, port, println, tables, trap,
};

guest!(test);

const CR0_TASK_SWITCHED: u64 = 1 << 3;
const CR0_ALIGNMENT_MASK: u64 = 1 << 18;
const CR4_OSFXSR: u64 = 1 << 9;
const CR4_OSXMMEXCPT: u64 = 1 << 10;
/// A page of ours that the program does not use.
const PAGE: u64 = 5 * PAGE_BYTES;

/// What must come: vector and error code.
fn raised(what: &'static str, trap: Option<Trap>, vector: u8, error: u64) -> Result<Trap, Fail> {
    let trap = trap.ok_or(Fail::with(what, 0, vector.into()))?;
    equal(what, trap.vector.into(), vector.into())?;
    equal(what, trap.error, error)?;
    Ok(trap)
}

macro_rules! raise {
    ($($code:literal),+) => {
        catch(|| {
            // SAFETY: the instruction faults, and the guard brings us back with our own stack.
            unsafe { asm!($($code),+, out("rax") _, out("rcx") _, out("rdx") _) };
        })
    };
}

fn test() -> Outcome {
    raised(
        "#DE",
        raise!("xor eax, eax", "xor edx, edx", "xor ecx, ecx", "div ecx"),
        0,
        0,
    )?;
    raised(
        "#DB by TF",
        raise!("pushfq", "or dword ptr [rsp], 0x100", "popfq", "nop", "nop"),
        1,
        0,
    )?;
    debug_behind_exits()?;
    debug_by_int1()?;
    raised("#BP", raise!("int3"), 3, 0)?;
    raised("#OF", in_32_bit_code(overflow as *const () as u64), 4, 0)?;
    raised("#BR", in_32_bit_code(bound as *const () as u64), 5, 0)?;
    raised("#UD", raise!("ud2"), 6, 0)?;
    no_math()?;
    raised(
        "#GP by a selector",
        raise!("mov eax, 0x1230", "mov ds, eax"),
        13,
        0x1230,
    )?;
    raised(
        "#GP by a non-canonical address",
        raise!("mov rax, 0x8000000000000000", "mov rax, [rax]"),
        13,
        0,
    )?;
    raised(
        "#NP",
        raise!("mov eax, 0x30", "mov ds, eax"),
        11,
        tables::ABSENT_DATA.into(),
    )?;
    raised(
        "#SS",
        raise!("mov eax, 0x30", "mov ss, eax"),
        12,
        tables::ABSENT_DATA.into(),
    )?;
    page_faults()?;
    double_faults()?;
    bad_task_segment()?;
    x87()?;
    simd()?;
    alignment()?;
    for vector in [0x20, 0x80, 0xff] {
        software(vector)?;
    }
    Ok(())
}

fn debug_by_int1() -> Outcome {
    match raise!(".byte 0xf1") {
        Some(Trap { vector: 6, .. }) => {
            println!("note exceptions: this CPU has no INT1, as some emulators");
            Ok(())
        }
        trap => raised("#DB by INT1", trap, 1, 0).map(drop),
    }
}

/// A single step over an instruction that exits must trap behind it, neither before nor one later.
fn debug_behind_exits() -> Outcome {
    type Step = fn() -> Option<Trap>;
    let step_over: [(Step, &'static str); 3] = [
        (
            || {
                raise!(
                    "xor eax, eax",
                    "lea r8, [rip + 2f]",
                    "pushfq",
                    "or dword ptr [rsp], 0x100",
                    "popfq",
                    "cpuid",
                    "2:",
                    "nop",
                    "nop"
                )
            },
            "#DB behind CPUID",
        ),
        (
            || {
                raise!(
                    "mov edx, 0x1234",
                    "pushfq",
                    "or dword ptr [rsp], 0x100",
                    "popfq",
                    "in al, dx",
                    "2:",
                    "nop",
                    "nop"
                )
            },
            "#DB behind IN",
        ),
        (
            || {
                raise!(
                    "mov edx, 0x1234",
                    "pushfq",
                    "or dword ptr [rsp], 0x100",
                    "popfq",
                    "out dx, al",
                    "2:",
                    "nop",
                    "nop"
                )
            },
            "#DB behind OUT",
        ),
    ];
    for (step, what) in step_over {
        let trap = raised(what, step(), 1, 0)?;
        let before = behind(trap.rip);
        if !before {
            return Err(Fail::with(what, trap.rip, 0));
        }
    }
    Ok(())
}

/// Whether the two NOPs that follow the instruction under test begin here.
fn behind(rip: u64) -> bool {
    mmio::read8(rip) == 0x90 && mmio::read8(rip + 1) == 0x90
}

fn no_math() -> Outcome {
    write_cr0(read_cr0() | CR0_TASK_SWITCHED);
    let trap = raise!("fninit");
    write_cr0(read_cr0() & !CR0_TASK_SWITCHED);
    raised("#NM", trap, 7, 0).map(drop)
}

fn page_faults() -> Outcome {
    paging::unmap(PAGE);
    let read = catch(|| test_guests::discard(mmio::read8(PAGE + 0x123)));
    let write = catch(|| mmio::write8(PAGE + 0x456, 1));
    let execute = catch(|| {
        // SAFETY: the call faults before anything runs.
        unsafe { asm!("call {}", in(reg) PAGE + 0x789) };
    });
    paging::map(PAGE);
    equal(
        "CR2 of a read",
        raised("#PF by a read", read, 14, 0)?.cr2,
        PAGE + 0x123,
    )?;
    equal(
        "CR2 of a write",
        raised("#PF by a write", write, 14, 2)?.cr2,
        PAGE + 0x456,
    )?;
    let execute = execute.ok_or(Fail::new("no #PF by execution"))?;
    equal("CR2 of an execution", execute.cr2, PAGE + 0x789)?;
    // Above the identity map.
    let beyond = 5 << 30;
    let trap = catch(|| test_guests::discard(mmio::read64(beyond)));
    equal(
        "CR2 above the map",
        raised("#PF above the map", trap, 14, 0)?.cr2,
        beyond,
    )
}

/// A fault whose own delivery faults.
fn double_faults() -> Outcome {
    tables::clear_gate(13);
    let trap = raise!("mov eax, 0x1230", "mov ds, eax");
    tables::set_gate(13, 0);
    raised("#DF by #GP without a gate", trap, 8, 0)?;
    tables::clear_gate(14);
    paging::unmap(PAGE);
    let trap = catch(|| test_guests::discard(mmio::read8(PAGE)));
    paging::map(PAGE);
    tables::set_gate(14, 0);
    raised("#DF by #PF without a gate", trap, 8, 0)?;
    tables::clear_gate(0x70);
    let trap = raise!("int 0x70");
    tables::set_gate(0x70, 0);
    // TCG shifts the vector by one bit too many.
    let emulated = trap.is_some_and(|trap| trap.error == 0x70 << 4 | 2);
    raised(
        "#NP by a gate",
        trap,
        11,
        if emulated {
            0x70 << 4 | 2
        } else {
            0x70 << 3 | 2
        },
    )
    .map(drop)
}

/// An interrupt stack that lies behind the end of the TSS.
fn bad_task_segment() -> Outcome {
    tables::load_tss(tables::SHORT_TSS);
    tables::set_gate(0x71, tables::IST_OTHER);
    let trap = raise!("int 0x71");
    tables::set_gate(0x71, 0);
    tables::load_tss(tables::TSS);
    let trap = trap.ok_or(Fail::with("#TS", 0, 10))?;
    equal("#TS", trap.vector.into(), 10)?;
    equal("#TS's selector", trap.error & !7, tables::SHORT_TSS.into())
}

fn x87() -> Outcome {
    let trap = raise!(
        "fninit",
        "push 0x33b",
        "fldcw [rsp]",
        "add rsp, 8",
        "fld1",
        "fldz",
        "fdivp",
        "fwait"
    );
    let outcome = raised("#MF", trap, 16, 0).map(drop);
    // SAFETY: forgets the pending exception.
    unsafe { asm!("fninit") };
    outcome
}

fn simd() -> Outcome {
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
    let trap = raise!(
        "push 0x1d80",
        "ldmxcsr [rsp]",
        "add rsp, 8",
        "mov eax, 0x3f800000",
        "movd xmm0, eax",
        "xorps xmm1, xmm1",
        "divss xmm0, xmm1"
    );
    // SAFETY: back to all masked.
    unsafe { asm!("push 0x1f80", "ldmxcsr [rsp]", "add rsp, 8") };
    match trap {
        Some(_) => raised("#XM", trap, 19, 0).map(drop),
        None => {
            println!("note exceptions: this CPU raises no #XM, as some emulators");
            Ok(())
        }
    }
}

/// #AC needs user code.
fn alignment() -> Outcome {
    write_cr0(read_cr0() | CR0_ALIGNMENT_MASK);
    paging::allow_user(PAGE);
    paging::allow_user(2 << 20);
    let trap = catch(|| {
        // SAFETY: user code on a page it may use; an exception brings us back.
        unsafe {
            asm!(
                "push {ss}", "push {stack}", "push 0x40002", "push {cs}", "lea {stack}, [rip + 2f]", "push {stack}",
                "iretq",
                "2:",
                "mov eax, [rsp - 63]",
                "ud2",
                ss = in(reg) u64::from(tables::USER_DATA),
                cs = in(reg) u64::from(tables::USER_CODE),
                stack = inout(reg) PAGE + 0x1000 => _,
                out("rax") _,
            );
        }
    });
    write_cr0(read_cr0() & !CR0_ALIGNMENT_MASK);
    match trap {
        Some(Trap {
            vector: 17,
            error: 0,
            ..
        }) => Ok(()),
        Some(Trap { vector: 6, .. }) => {
            println!("note exceptions: this CPU raises no #AC, as some emulators");
            Ok(())
        }
        Some(trap) => Err(Fail::with("#AC", trap.vector.into(), 17)),
        None => Err(Fail::new("user code came back by itself")),
    }
}

fn software(vector: u8) -> Outcome {
    let before = trap::count(vector);
    match vector {
        // SAFETY: the IDT has a handler for it.
        0x20 => unsafe { asm!("int 0x20") },
        // SAFETY: as above.
        0x80 => unsafe { asm!("int 0x80") },
        // SAFETY: as above.
        _ => unsafe { asm!("int 0xff") },
    }
    let _ = port::in8(0x80);
    cpu::pause();
    equal("INT n", (trap::count(vector) - before).into(), 1)
}

/// Runs 32-bit code at an address below 4 GiB; it must raise an exception.
fn in_32_bit_code(code: u64) -> Option<Trap> {
    catch(|| {
        // SAFETY: an exception brings us back to 64-bit code and our own stack.
        unsafe {
            asm!("push {cs}", "push {code}", "retfq", cs = in(reg) u64::from(tables::CODE_32), code = in(reg) code)
        };
    })
}

#[unsafe(naked)]
extern "C" fn overflow() {
    naked_asm!(
        ".code32",
        "mov eax, 0x7fffffff",
        "add eax, 1",
        "into",
        "ud2",
        ".code64"
    )
}

#[unsafe(naked)]
extern "C" fn bound() {
    // Bounds 0 and 0 on the stack, index 1.
    naked_asm!(
        ".code32",
        "push 0",
        "push 0",
        "mov eax, 1",
        "bound eax, [esp]",
        "ud2",
        ".code64"
    )
}
