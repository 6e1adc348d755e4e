//! MSRs: what exists, what is checked, who answers.

use super::*;
use vcpu::{GuestMsr, Paging};
use x86::{Attributes, Segment, msr};

fn paging(cr0: u64, efer: u64) -> Paging {
    Paging {
        cr0,
        cr3: 0,
        cr4: 0,
        efer,
        rflags: 2,
        cpl: 0,
        cs: Segment {
            selector: 0,
            attributes: Attributes(0x9b),
            limit: 0,
            base: 0,
        },
        rip: 0,
    }
}

fn write(model: &CpuModel, file: &mut MsrFile, index: u32, value: u64) -> MsrWrite {
    model.write_msr(file, index, value, || paging(0x8000_0001, 0xd01))
}

#[test]
fn msrs_are_denied_unless_listed() {
    let model = intel();
    let mut file = model.new_msr_file();
    for index in [
        0,
        0x11,
        0x48,
        0x49,
        0xc1,
        0x10a,
        0x186,
        0x210,
        0x480,
        0xda0,
        0x606,
        0xc001_0015,
    ] {
        assert_eq!(model.read_msr(&file, index), MsrRead::Denied, "{index:#x}");
        let written = write(&model, &mut file, index, 0);
        assert_eq!(written, MsrWrite::Denied, "{index:#x}");
    }
    assert_eq!(
        amd().read_msr(&amd().new_msr_file(), 0x1a0),
        MsrRead::Denied
    );
    assert_eq!(write(&model, &mut file, 0x3a, 5), MsrWrite::Denied);
    assert_eq!(model.read_msr(&file, 0x3a), MsrRead::Value(1));
    assert_eq!(model.read_msr(&file, 0x35), MsrRead::Value(0x3_0003));
}

/// Else a guest would read one value by RDMSR and another one through an exit, by a saved state for
/// example.
#[test]
fn what_passes_without_an_exit_is_left_to_the_backend() {
    for model in [intel(), amd()] {
        let file = model.new_msr_file();
        for index in GuestMsr::PASSED {
            let held = GuestMsr::from_index(index).expect("a backend holds it");
            assert_eq!(
                model.read_msr(&file, index),
                MsrRead::Guest(held),
                "{index:#x}"
            );
        }
    }
}

#[test]
fn amd_counters_are_there_and_count_nothing() {
    let model = amd();
    let mut file = model.new_msr_file();
    for index in 0xc001_0000..0xc001_0008 {
        let written = write(&model, &mut file, index, 0x53_0076);
        assert_eq!(written, MsrWrite::Done, "{index:#x}");
        assert_eq!(model.read_msr(&file, index), MsrRead::Value(0));
        let file = intel().new_msr_file();
        assert_eq!(intel().read_msr(&file, index), MsrRead::Denied);
    }
}

#[test]
fn the_rows_are_sorted_and_do_not_overlap() {
    for model in [intel(), amd()] {
        let file = model.new_msr_file();
        assert!(model.msrs_are_sorted());
        let svm = model.read_msr(&file, msr::AMD_VM_CR);
        match model.vendor() {
            Vendor::Intel => assert_eq!(svm, MsrRead::Denied),
            Vendor::Amd => assert_eq!(svm, MsrRead::Value(0x18)),
        }
    }
}

#[test]
fn what_is_stored_is_checked() {
    let model = intel();
    let mut file = model.new_msr_file();
    let good = [
        (0x200, 0x3fff_8000_0006),
        (0x201, 0x3fff_8000_0800),
        (0x20f, 0),
        (0x250, 0x0606_0606_0606_0606),
        (0x2ff, 0xc06),
        (0x17a, 4),
        (0x1a0, 0x1801),
    ];
    for (index, value) in good {
        let written = write(&model, &mut file, index, value);
        assert_eq!(written, MsrWrite::Done, "{index:#x}");
        assert_eq!(
            model.read_msr(&file, index),
            MsrRead::Value(value),
            "{index:#x}"
        );
    }
    let bad = [
        (0x200, 0x4000_0000_0000),
        (0x200, 2),
        (0x201, 0x400),
        (0x250, 3),
        (0x2ff, 0x1000),
        (0x17a, 8),
        (0xfe, 0),
        (msr::IA32_PAT, 0x0202_0202_0202_0202),
        (msr::IA32_LSTAR, 1 << 47),
        (msr::IA32_FS_BASE, 0x7fff << 48),
        (msr::IA32_TSC_AUX, 1 << 32),
        (msr::IA32_DEBUGCTL, 1),
    ];
    for (index, value) in bad {
        let written = write(&model, &mut file, index, value);
        assert_eq!(written, MsrWrite::Denied, "{index:#x}");
    }
    let pat = 0x0007_0406_0107_0506;
    let written = write(&model, &mut file, msr::IA32_PAT, pat);
    assert_eq!(written, MsrWrite::Guest(GuestMsr::Pat, pat));
}

#[test]
fn efer_takes_what_is_offered_and_lme_not_while_paging() {
    let model = intel();
    let mut file = model.new_msr_file();
    let efer = |value, cr0, old| {
        let mut file = file.clone();
        model.write_msr(&mut file, msr::IA32_EFER, value, || paging(cr0, old))
    };
    let guest = |value| MsrWrite::Guest(GuestMsr::Efer, value);
    assert_eq!(efer(0x901, 1, 0), guest(0x901));
    // LMA is kept, whatever is written there.
    assert_eq!(efer(0x901, 0x8000_0001, 0x501), guest(0xd01));
    assert_eq!(efer(0x801, 0x8000_0001, 0xd01), MsrWrite::Denied);
    assert_eq!(efer(0x100, 0x8000_0001, 0), MsrWrite::Denied);
    assert_eq!(efer(0x1000, 1, 0), MsrWrite::Denied);
    assert_eq!(
        write(&model, &mut file, msr::IA32_EFER, 0xd01),
        guest(0xd01)
    );
}

#[test]
fn the_clock_and_the_apic_answer_for_themselves() {
    let model = intel();
    let mut file = model.new_msr_file();
    assert_eq!(model.read_msr(&file, 0x80b), MsrRead::X2Apic(0xb));
    assert_eq!(write(&model, &mut file, 0x80b, 0), MsrWrite::X2Apic(0xb, 0));
    assert_eq!(model.read_msr(&file, 0x900), MsrRead::Denied);
    assert_eq!(write(&model, &mut file, 0x6e0, 9), MsrWrite::TscDeadline(9));
    assert_eq!(model.read_msr(&file, 0x1b), MsrRead::ApicBase);
    assert_eq!(write(&model, &mut file, 0x10, 7), MsrWrite::Tsc(7));
    file.note_tsc_moved(5);
    assert_eq!(model.read_msr(&file, 0x3b), MsrRead::Value(5));
    assert_eq!(
        write(&model, &mut file, 0x3b, 3),
        MsrWrite::MoveTsc(2u64.wrapping_neg())
    );
    let kvm = write(&model, &mut file, msr::KVM_SYSTEM_TIME_NEW, 0x1001);
    assert_eq!(kvm, MsrWrite::Kvm(KvmMsr::SystemTime, 0x1001));
    let mut steal = |value| write(&model, &mut file, msr::KVM_STEAL_TIME, value);
    assert_eq!(steal(0x1041), MsrWrite::Kvm(KvmMsr::StealTime, 0x1041));
    for reserved in 1..6 {
        assert_eq!(steal(0x1001 | 1 << reserved), MsrWrite::Denied);
    }
}

#[test]
fn firmware_leaves_ram_write_back() {
    let model = amd();
    let mut file = model.new_msr_file();
    model.set_mtrrs_as_firmware(&mut file);
    assert_eq!(model.read_msr(&file, 0x2ff), MsrRead::Value(0xc06));
    assert_eq!(model.read_msr(&file, 0x259), MsrRead::Value(0));
    assert_eq!(
        model.read_msr(&file, 0x26f),
        MsrRead::Value(0x0505_0505_0505_0505)
    );
    assert_eq!(
        model.read_msr(&file, msr::AMD_HWCR),
        MsrRead::Value(1 << 24)
    );
}
