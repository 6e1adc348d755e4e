//! Kernels that start in real mode, and flat binaries in every mode.

use crate::test_images::{bzimage, elf, put};
use crate::tests::{MIB, boot, read, survives_mutation_with};
use crate::*;
use addr::Gpa;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use guest_memory::TestRam;
use vcpu::ArchState;
use x86::{Cr0, Efer, Gpr, SegmentRegister};

const INITRD: [u8; 100] = [7; 100];
/// Mostly code.
const FLAT: [u8; 700] = [0x90; 700];

/// Loads it; says how it starts and what RAM then holds.
fn start(boot: &Boot<'_>, ram_bytes: u64) -> (ArchState, TestRam) {
    let plan = plan(boot, &MemoryLayout::new(ram_bytes)).expect("a good kernel");
    let ram = TestRam::new(ram_bytes as usize);
    plan.apply(&ram).expect("all writes inside RAM");
    (plan.start, ram)
}

/// Where the power-on code goes: the pointer follows the opcode of a far jump.
fn kernel_pointer(state: &ArchState, ram: &TestRam) -> (u16, u16) {
    assert_eq!(state.cr0 & Cr0::PROTECTED_MODE_ENABLE.bits(), 0);
    let code = state.segment[SegmentRegister::Cs as usize];
    assert_eq!((code.selector, code.base), (0xf000, 0xf_0000));
    let power_on = code.base + state.rip;
    assert_eq!(read::<1>(ram, power_on), [0xfa]);
    let code: [u8; 64] = read(ram, power_on);
    let jump = code.iter().position(|byte| *byte == 0xea).expect("a jump");
    let half = |at: usize| u16::from_le_bytes([code[at], code[at + 1]]);
    (half(jump + 3), half(jump + 1))
}

fn flat(at: u64, entry: Entry) -> Boot<'static> {
    Boot {
        entry: Some(entry),
        load_address: Some(at),
        ..boot(&FLAT, None)
    }
}

fn refusal(boot: &Boot<'_>) -> String {
    plan(boot, &MemoryLayout::new(32 * MIB))
        .expect_err("cannot start")
        .to_string()
}

#[test]
fn linux_in_real_mode_finds_its_header_filled_in() {
    let image = bzimage();
    let boot = Boot {
        entry: Some(Entry::Real16),
        ..boot(&image, Some(&INITRD))
    };
    let (state, ram) = start(&boot, 32 * MIB);
    assert_eq!(kernel_pointer(&state, &ram), (0x1020, 0));
    for segment in [
        SegmentRegister::Ds,
        SegmentRegister::Es,
        SegmentRegister::Ss,
    ] {
        assert_eq!(state.segment[segment as usize].base, 0x1_0000);
    }
    assert_eq!(state.gpr[Gpr::Rsp.index()], 0xe000);
    let setup = 0x1_0000;
    assert_eq!(&read::<4>(&ram, setup + 0x202), b"HdrS");
    assert_eq!(read::<2>(&ram, setup + 0x210), [0xff, 0x81]);
    assert_eq!(read::<2>(&ram, setup + 0x224), [0x00, 0xde]);
    let word = |at| u64::from(u32::from_le_bytes(read(&ram, setup + at)));
    assert_eq!(&read::<14>(&ram, word(0x228)), b"console=ttyS0\0");
    assert_eq!(read::<100>(&ram, word(0x218)), INITRD);
    assert_eq!(word(0x21c), 100);
    // The kernel is where its header says that it is entered, not where it goes.
    assert_eq!(read::<4>(&ram, MIB), [0x90; 4]);
    assert_eq!(read::<4>(&ram, 16 * MIB), [0; 4]);
}

#[test]
fn each_door_is_entered_when_asked_for() {
    let image = bzimage();
    let enter = |entry| {
        let boot = Boot {
            entry,
            ..boot(&image, None)
        };
        start(&boot, 32 * MIB).0
    };
    assert_eq!(enter(None), enter(Some(Entry::Long64)));
    assert_eq!(enter(Some(Entry::Long64)).rip, 16 * MIB + 0x200);
    let mut image = bzimage();
    put(&mut image, 0x214, &0x10_0000u32.to_le_bytes());
    put(&mut image, 0x234, &[1]);
    let boot = Boot {
        entry: Some(Entry::Protected32),
        ..boot(&image, None)
    };
    let state = start(&boot, 32 * MIB).0;
    assert_eq!((state.rip, state.efer), (16 * MIB, 0));
}

#[test]
fn a_door_that_is_not_there_is_told_so() {
    let mut image = bzimage();
    put(&mut image, 0x236, &[4]);
    let asked = Boot {
        entry: Some(Entry::Long64),
        ..boot(&image, None)
    };
    assert_eq!(
        refusal(&asked),
        "xloadflags at offset 0x236: 0x4 has no 64-bit entry (bit 0), which is asked for"
    );
    let image = elf();
    let asked = Boot {
        entry: Some(Entry::Real16),
        ..boot(&image, None)
    };
    assert_eq!(
        refusal(&asked),
        "entry = \"16\": a kernel of this kind starts in 64 bits only"
    );
    let mut image = bzimage();
    put(&mut image, 0x1f1, &[120]);
    image.resize(0x2_0000, 0x90);
    let asked = Boot {
        entry: Some(Entry::Real16),
        ..boot(&image, None)
    };
    assert_eq!(
        refusal(&asked),
        "setup_sects at offset 0x1f1: 0x78 sectors of setup code do not fit one segment with heap and stack"
    );
}

#[test]
fn a_flat_binary_starts_as_asked() {
    let (state, ram) = start(&flat(0x7c00, Entry::Real16), 4 * MIB);
    assert_eq!(kernel_pointer(&state, &ram), (0, 0x7c00));
    assert_eq!(state.gpr[Gpr::Rsp.index()], 0x7c00);
    let extra = state.segment[SegmentRegister::Es as usize];
    assert_eq!(&read::<14>(&ram, extra.base), b"console=ttyS0\0");
    assert_eq!(read::<700>(&ram, 0x7c00), FLAT);
    let (state, ram) = start(&flat(0x1_2345, Entry::Real16), 4 * MIB);
    assert_eq!(kernel_pointer(&state, &ram), (0x1234, 5));

    let (state, _) = start(&flat(MIB, Entry::Protected32), 4 * MIB);
    assert_eq!((state.rip, state.efer), (MIB, 0));
    let (state, ram) = start(&flat(2 * MIB, Entry::Long64), 4 * MIB);
    assert_eq!(state.rip, 2 * MIB);
    assert_ne!(state.efer & Efer::LONG_MODE_ACTIVE.bits(), 0);
    let cmdline = state.gpr[Gpr::Rdi.index()];
    assert_eq!(&read::<14>(&ram, cmdline), b"console=ttyS0\0");
}

#[test]
fn a_load_address_that_cannot_be_is_told_so() {
    use Entry::{Long64, Protected32, Real16};
    let told = |at, entry| refusal(&flat(at, entry));
    let wanted = [
        (
            0x100,
            Real16,
            "lie on interrupt vectors or BIOS data, below 0x500",
        ),
        (0x7a00, Real16, "lie on the stack, from 0x7800 to 0x7c00"),
        (0x1_fff0, Real16, "lie on the command line, at 0x20000"),
        (
            MIB,
            Real16,
            "begin above 1 MiB, where real mode does not reach",
        ),
        (
            0x7c00,
            Long64,
            "begin among tables, stack and command line, which end at 0x30000",
        ),
        (
            0xf_fffe,
            Real16,
            "lie on ACPI tables or on what is the firmware's",
        ),
        (u64::MAX, Long64, "wrap"),
    ];
    for (at, entry, problem) in wanted {
        let whole = alloc::format!("load-address = {at:#x}: 0x2bc bytes from there {problem}");
        assert_eq!(told(at, entry), whole);
    }
    assert!(told(0xa_0000, Real16).starts_with("the flat binary takes 0x2bc bytes at 0xa0000,"));
    assert!(told(4 << 30, Protected32).starts_with("the flat binary takes"));
    let boot = Boot {
        entry: None,
        ..flat(MIB, Long64)
    };
    assert!(refusal(&boot).starts_with("load-address needs entry beside it"));
}

#[test]
fn firmware_is_there_for_every_kernel() {
    let image = elf();
    let boot = Boot {
        call: CallInsn::Vmmcall,
        ..boot(&image, None)
    };
    let (_, ram) = start(&boot, 4 * MIB);
    assert_eq!(read::<4>(&ram, 0x15 * 4), [0x50, 0xe1, 0x00, 0xf0]);
    assert_eq!(read::<3>(&ram, 0xf_e150), [0x0f, 0x01, 0xd9]);
    assert_eq!(read::<1>(&ram, 0xf_fff0), [0xea]);
    assert_eq!(read::<1>(&ram, 0x9_fc00), [1]);
}

#[test]
fn hostile_setup_headers_are_refused_or_harmless() {
    let real = |boot: &mut Boot<'_>| boot.entry = Some(Entry::Real16);
    survives_mutation_with(&bzimage(), 0x270, real);
}

#[test]
fn a_flat_binary_may_lie_anywhere_or_be_refused() {
    let layout = MemoryLayout::new(4 * MIB);
    let entries = [Entry::Real16, Entry::Protected32, Entry::Long64];
    let ram = TestRam::new(4 << 20);
    let mut planned = 0;
    for step in 0..400u64 {
        let at = step * 0x2bc1;
        for entry in entries {
            let Ok(plan) = plan(&flat(at, entry), &layout) else {
                continue;
            };
            planned += 1;
            plan.apply(&ram).expect("all writes inside RAM");
            let ranges: Vec<_> = plan.writes.iter().collect();
            let binary = ranges[0];
            let (start, end) = (binary.at.raw(), binary.at.raw() + binary.len_bytes());
            for other in &ranges[1..] {
                let other_end = other.at.raw() + other.len_bytes();
                assert!(other_end <= start || end <= other.at.raw(), "{at:#x}");
            }
            assert_eq!(binary.at, Gpa::new(at));
        }
    }
    assert!(planned > 500, "only {planned}");
}
