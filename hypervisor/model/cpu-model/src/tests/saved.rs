//! Saved states, some of them by somebody who means no good.

use super::*;
use vcpu::ArchState;
use x86::{Attributes, SegmentRegister};

/// 64-bit code at 1 MiB.
fn long_mode() -> ArchState {
    let mut state = ArchState::after_reset();
    state.segment[SegmentRegister::Cs as usize].attributes = Attributes(0xa9b);
    ArchState {
        rip: 0x10_0000,
        cr0: 0x8005_0033,
        cr3: 0x1000,
        cr4: 0x20,
        efer: 0x500,
        ..state
    }
}

#[test]
fn states_that_vcpus_are_in_pass() {
    for model in [intel(), amd()] {
        let mut waiting = ArchState::after_reset();
        waiting.after_init();
        for state in [ArchState::after_reset(), waiting, long_mode()] {
            assert_eq!(model.check_state(&state), Ok(()));
        }
        assert!(model.fits(&model.new_msr_file()));
        let mut file = model.new_msr_file();
        model.set_mtrrs_as_firmware(&mut file);
        assert!(model.fits(&file));
    }
}

#[test]
fn states_that_no_vcpu_can_be_in_do_not() {
    const NOT_CANONICAL: u64 = 1 << 47;
    let bad: &[fn(&mut ArchState)] = &[
        |state| state.cr0 |= 1 << 40,
        |state| state.cr0 = 0x8000_0010,
        |state| state.cr0 |= 1 << 29,
        |state| state.cr4 |= 1 << 13,
        |state| state.cr4 = 0,
        |state| state.cr3 = 1 << 52,
        |state| state.cr8 = 16,
        |state| state.efer = 0x400,
        |state| state.efer |= 1 << 12,
        |state| state.rip = NOT_CANONICAL,
        |state| state.rflags |= 1 << 17,
        |state| state.xcr0 = 0,
        |state| state.xcr0 = 5,
        |state| state.pat = 2,
        |state| state.lstar = NOT_CANONICAL,
        |state| state.cstar = NOT_CANONICAL,
        |state| state.kernel_gs_base = NOT_CANONICAL,
        |state| state.sysenter_eip = NOT_CANONICAL,
        |state| state.sfmask = 1 << 32,
        |state| state.tsc_aux = 1 << 32,
        |state| state.xss = 1,
        |state| state.debugctl = 1,
        |state| state.dr7 = 1 << 32,
        |state| state.segment[SegmentRegister::Fs as usize].base = NOT_CANONICAL,
        |state| state.tr.base = NOT_CANONICAL,
        |state| state.idtr.base = NOT_CANONICAL,
    ];
    for (number, spoil) in bad.iter().enumerate() {
        let mut state = long_mode();
        spoil(&mut state);
        assert!(intel().check_state(&state).is_err(), "{number}");
    }
}

#[test]
fn msrs_of_another_model_or_with_other_values_do_not_fit() {
    let mut file = intel().new_msr_file();
    assert!(!amd().fits(&file) || amd().new_msr_file() == file);
    // A variable MTRR's memory type.
    let mut good = file.clone();
    let write = |file: &mut MsrFile, index, value| {
        let paging = || panic!("no EFER");
        intel().write_msr(file, index, value, paging)
    };
    assert_eq!(write(&mut good, 0x200, 6), MsrWrite::Done);
    assert!(intel().fits(&good));
    file.spoil(u64::MAX);
    assert!(!intel().fits(&file));
}
