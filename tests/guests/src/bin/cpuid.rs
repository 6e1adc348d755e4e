//! CPUID answers: sane leaves, nothing promised that is not there, lengths right with prefixes.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![expect(unsafe_code, reason = "instructions under test")]

use core::arch::asm;
use test_guests::cpu::{CR4_OSXSAVE, cpuid, read_cr4, write_cr4};
use test_guests::{Fail, Outcome, equal, guest, that};

guest!(test);

fn test() -> Outcome {
    let vendor = cpuid(0, 0);
    that("the highest leaf is below 0xd", vendor.eax >= 0xd)?;
    let name = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes);
    let is_known = [b"GenuineIntel", b"AuthenticAMD"]
        .iter()
        .any(|known| name.as_flattened() == &known[..]);
    that("the vendor is neither Intel nor AMD", is_known)?;

    let features = cpuid(1, 0);
    that(
        "no hypervisor is announced (leaf 1 ECX bit 31)",
        features.ecx & (1 << 31) != 0,
    )?;
    that("VMX is offered to the guest", features.ecx & (1 << 5) == 0)?;
    equal("initial APIC id", u64::from(features.ebx >> 24), 0)?;
    that("no APIC (leaf 1 EDX bit 9)", features.edx & (1 << 9) != 0)?;
    that(
        "SVM is offered to the guest",
        cpuid(0x8000_0001, 0).ecx & (1 << 2) == 0,
    )?;
    that(
        "no long mode (leaf 0x80000001 EDX bit 29)",
        cpuid(0x8000_0001, 0).edx & (1 << 29) != 0,
    )?;

    let hypervisor = cpuid(0x4000_0000, 0);
    that(
        "the hypervisor's highest leaf is too low",
        hypervisor.eax > 0x4000_0000,
    )?;
    let physical_bits = cpuid(0x8000_0008, 0).eax & 0xff;
    that(
        "physical address bits are out of range",
        (36..=52).contains(&physical_bits),
    )?;
    os_xsave_follows_cr4(features.ecx)?;
    beyond_the_end()?;
    for _ in 0..1000 {
        let again = cpuid(1, 0);
        equal(
            "leaf 1 changes its mind",
            again.edx.into(),
            features.edx.into(),
        )?;
    }
    upper_halves()
}

/// Leaf 1 ECX bit 27 mirrors CR4.OSXSAVE.
fn os_xsave_follows_cr4(features: u32) -> Outcome {
    if features & (1 << 26) == 0 {
        return Ok(());
    }
    for wanted in [CR4_OSXSAVE, 0] {
        write_cr4(read_cr4() & !CR4_OSXSAVE | wanted);
        let bit = cpuid(1, 0).ecx & (1 << 27) != 0;
        if bit != (wanted != 0) {
            return Err(Fail::new("OSXSAVE does not follow CR4"));
        }
    }
    Ok(())
}

/// Leaves that do not exist: zeros as on AMD, or the highest leaf's answer as on Intel.
fn beyond_the_end() -> Outcome {
    let last = cpuid(cpuid(0, 0).eax, 0);
    let beyond = cpuid(0x0fff_ffff, 0);
    let is_zero = [beyond.eax, beyond.ebx, beyond.ecx, beyond.edx] == [0; 4];
    let is_last = (beyond.eax, beyond.ebx) == (last.eax, last.ebx);
    that(
        "a leaf beyond the end answers strangely",
        is_zero || is_last,
    )
}

/// The upper halves are cleared, and the instruction's length is right with a prefix in front.
fn upper_halves() -> Outcome {
    let (mut rax, mut rbx, mut rcx, mut rdx) = (u64::MAX << 32, u64::MAX, u64::MAX << 32, u64::MAX);
    let mut after: u64 = 0;
    // SAFETY: CPUID touches four registers, all named; RBX is put back.
    unsafe {
        asm!(
            "xchg {rbx}, rbx",
            ".byte 0x48, 0x0f, 0xa2",
            "inc {after}",
            ".byte 0x66, 0x0f, 0xa2",
            "inc {after}",
            "xchg {rbx}, rbx",
            rbx = inout(reg) rbx,
            after = inout(reg) after,
            inout("rax") rax, inout("rcx") rcx, inout("rdx") rdx,
        );
    }
    equal(
        "instructions after CPUID were skipped or repeated",
        after,
        2,
    )?;
    equal(
        "upper halves survive CPUID",
        (rax | rbx | rcx | rdx) >> 32,
        0,
    )
}
