//! The sections of a saved VM: which there have to be, in which versions, and the oldest file.

use super::saved::state;
use crate::saved::stream::Intake;
use crate::saved::{RestoreError, SavedVm, format};
use crate::test_host::{TestHost, TestMachine, input};
use crate::vm::Vm;
use addr::Gpa;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use board::{Rejected, VmState};
use guest_memory::GuestMemory;
use vcpu::Vcpu;
use x86::{Gpr, Width};

/// A VM of 2 MiB, saved when the form with sections was new. See `write_the_first_file`.
const FIRST: &[u8] = include_bytes!("data/first.saved");

/// Where a test leaves something in RAM, and what.
const MARK: (Gpa, &[u8; 6]) = (Gpa::new(0x12_3456), b"memory");
/// The same on the screen.
const ON_SCREEN: (Gpa, &[u8; 6]) = (Gpa::new(0xb_8000), b"s\x07e\x07e\x07");

/// A VM that has done this and that, paused.
fn used() -> TestMachine {
    let mut test_machine = TestMachine::new();
    test_machine.out(0x3ff, 0x5a);
    test_machine.start_pit(1193);
    test_machine.out(0x70, 0x40);
    test_machine.out(0x71, 0x77);
    test_machine.backend().state.gpr[3] = 0x1234;
    test_machine.backend().vector = *b"avx!";
    for (at, bytes) in [MARK, ON_SCREEN] {
        test_machine.vm(0).ram().write(at, bytes).expect("RAM");
    }
    test_machine.pass_ns(700_000);
    test_machine.pause();
    test_machine
}

/// Checks that the second VM is the one that `used` gave, and that it goes on.
fn check_used(test_machine: &mut TestMachine) {
    let copy = test_machine.vm(1);
    assert_eq!(copy.lifecycle().state(), VmState::Paused);
    for (at, expected) in [MARK, ON_SCREEN] {
        let mut bytes = [0; 6];
        copy.ram().read(at, &mut bytes).expect("RAM");
        assert_eq!(&bytes, expected);
    }
    let mut before = [1; 0x1000];
    copy.ram()
        .read(Gpa::new(0x13_0000), &mut before)
        .expect("RAM");
    assert_eq!(before, [0; 0x1000], "a page that is not in the file");
    test_machine.resume_copy();
    let backend = &test_machine.vcpu(1, 0).backend;
    assert_eq!(backend.gpr(Gpr::Rbx), 0x1234);
    assert_eq!(&backend.vector, b"avx!");
    test_machine.run_on(1, 0, [input(0x3ff, Width::Byte)]);
    assert_eq!(test_machine.vcpu(1, 0).backend.gpr(Gpr::Rax) as u8, 0x5a);
    test_machine.run_on(1, 0, [input(0x71, Width::Byte)]);
    assert_eq!(test_machine.vcpu(1, 0).backend.gpr(Gpr::Rax) as u8, 0x77);
}

/// Writes `data/first.saved`. It was run once, when the form with sections was new, and is kept to
/// show how the file was made: what a later version writes is not the first form any more.
#[test]
#[ignore = "writes the file that the other tests read"]
fn write_the_first_file() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/data/first.saved");
    std::fs::write(path, used().save_to_file()).expect("a file");
}

#[test]
fn the_first_file_is_still_read() {
    let mut test_machine = TestMachine::new();
    test_machine.load_file("copy", FIRST);
    check_used(&mut test_machine);
}

#[test]
fn a_file_is_the_vm_it_was_saved_of() {
    let mut test_machine = used();
    let file = test_machine.save_to_file();
    let copy = test_machine.load_file("copy", &file);
    assert!(state(&copy) == state(&test_machine.vm(0)));
    check_used(&mut test_machine);
}

#[test]
fn most_of_an_empty_vms_ram_takes_no_room() {
    let test_machine = used();
    let file = test_machine.save_to_file();
    assert!(file.len() < 128 << 10, "{} bytes", file.len());
    // But every piece of it is there.
    let (mut rest, mut names) = (format::read_header(&file).expect("a header"), Vec::new());
    while !rest.is_empty() {
        let (section, behind) = format::read_section(rest).expect("a section");
        names.push(section.name);
        rest = behind;
    }
    assert_eq!(names[..3], ["vm", "vcpu/0", "device/pic"]);
    let ram = [
        "ram/0",
        "ram/40000",
        "ram/80000",
        "ram/c0000",
        "ram/100000",
        "ram/140000",
        "ram/180000",
        "ram/1c0000",
        "end",
    ];
    assert_eq!(names[names.len() - ram.len()..], ram);
}

/// A machine with a paused VM and one that takes its state.
fn with_target() -> (TestMachine, SavedVm, alloc::sync::Arc<Vm<TestHost>>) {
    let mut test_machine = used();
    let saved = state(&test_machine.vm(0));
    let target = test_machine
        .hypervisor
        .create("vm", Some("copy"))
        .expect("memory");
    test_machine.settle();
    (test_machine, saved, target)
}

#[test]
fn each_section_is_needed_once_in_a_version_that_is_known() {
    let (mut test_machine, saved, target) = with_target();
    for index in 0..saved.sections.len() {
        let name = saved.sections[index].name.clone();
        let mut without = saved.clone();
        without.sections.remove(index);
        assert_eq!(
            target.restore(&without),
            Err(RestoreError::Missing(name.clone()))
        );
        let mut newer = saved.clone();
        newer.sections[index].version = 2;
        let why = Rejected::Newer { saved: 2, known: 1 };
        assert_eq!(
            target.restore(&newer),
            Err(RestoreError::Section(name.clone(), why))
        );
        let mut none = saved.clone();
        none.sections[index].version = 0;
        let refused = target.restore(&none).expect_err("no version is 0");
        assert!(refused.to_string().contains(&name), "{refused}");
        let again = saved.sections[index].clone();
        assert_eq!(saved.clone().add(again), Err(RestoreError::Twice(name)));
    }
    for name in [
        "device/none",
        "device/",
        "vcpu/1",
        "vcpu/00",
        "ram/0",
        "",
        "VM",
    ] {
        let mut more = saved.clone();
        more.sections[0].name = name.into();
        more.sections.insert(0, saved.sections[0].clone());
        assert_eq!(
            target.restore(&more),
            Err(RestoreError::Unknown(name.into()))
        );
    }
    assert_eq!(target.lifecycle().state(), VmState::Stopped);
    target.restore(&saved).expect("its own");
    test_machine.settle();
    assert_eq!(target.lifecycle().state(), VmState::Paused);
}

/// Loads a file that is no good, and returns whether the VM is empty, and can be started.
fn is_refused(file: &[u8]) -> bool {
    let mut test_machine = TestMachine::new();
    let copy = test_machine.load_file("copy", file);
    if copy.lifecycle().state() != VmState::Stopped {
        return false;
    }
    let mut left = [0xff; 6];
    copy.ram().read(MARK.0, &mut left).expect("RAM");
    assert_eq!(left, [0; 6]);
    assert!(copy.start());
    test_machine.settle();
    test_machine.pass_ns(sched::SLICE_NS);
    copy.lifecycle().state() == VmState::Running
}

#[test]
fn a_file_that_is_not_whole_leaves_an_empty_vm() {
    let file = used().save_to_file();
    let sections = |change: &dyn Fn(&str) -> usize| {
        let mut bytes = Vec::from(&file[..12]);
        let mut rest = format::read_header(&file).expect("a header");
        while !rest.is_empty() {
            let (section, behind) = format::read_section(rest).expect("a section");
            for _ in 0..change(section.name) {
                bytes.extend(&rest[..rest.len() - behind.len()]);
            }
            rest = behind;
        }
        bytes
    };
    assert!(!is_refused(&sections(&|_| 1)), "the whole file is good");
    let all_but = |name: &'static str| sections(&move |other| usize::from(other != name));
    let twice = |name: &'static str| sections(&move |other| 1 + usize::from(other == name));
    for name in [
        "vm",
        "device/pci",
        "ram/0",
        "ram/140000",
        "ram/1c0000",
        "end",
    ] {
        assert!(is_refused(&all_but(name)), "without {name}");
        assert!(is_refused(&twice(name)), "with {name} twice");
    }
    for len in [0, 1, 11, 12, 13, 1000, file.len() / 2, file.len() - 1] {
        assert!(is_refused(&file[..len]), "{len} bytes");
    }
    let mut other = file.clone();
    other[8] = 1;
    assert!(is_refused(&other), "the form without sections");
}

#[test]
fn errors_name_the_section() {
    let (_rig, saved, target) = with_target();
    let mut bad = saved.clone();
    let pci = bad
        .sections
        .iter_mut()
        .find(|section| section.name == "device/pci");
    let pci = pci.expect("there is one");
    pci.bytes.truncate(9);
    let text = target.restore(&bad).expect_err("too short").to_string();
    assert_eq!(
        text,
        String::from("bad section \"device/pci\": it does not have the form of its version")
    );
}

#[test]
fn no_change_to_what_frames_the_sections_is_overlooked() {
    let (test_machine, saved, target) = with_target();
    let mut good = Vec::new();
    saved.write(&mut good);
    // Where contents lie: all else is header, names, versions and lengths.
    let mut is_content = alloc::vec![false; good.len()];
    let mut rest = format::read_header(&good).expect("a header");
    while !rest.is_empty() {
        let (section, behind) = format::read_section(rest).expect("a section");
        let end = good.len() - behind.len();
        is_content[end - section.bytes.len()..end].fill(true);
        rest = behind;
    }
    let taken = |bytes: &[u8]| {
        let mut intake = Intake::new(test_machine.vm(0).layout.backed());
        intake.take(&target, bytes)?;
        target.check(&intake.into_saved())
    };
    assert!(taken(&good).is_ok());
    let mut bad = good.clone();
    let frame = (0..good.len()).filter(|at| !is_content[*at]);
    for at in frame {
        for value in device::tamper::variants(good[at]) {
            bad[at] = value;
            if value != good[at] && taken(&bad).is_ok() {
                // The version of a device: its slot looks at that.
                let mut intake = Intake::new(test_machine.vm(0).layout.backed());
                intake.take(&target, &bad).expect("a second time");
                let refused = target.restore(&intake.into_saved());
                assert!(
                    matches!(refused, Err(RestoreError::Section(..))),
                    "{at}: {refused:?}"
                );
            }
        }
        bad[at] = good[at];
    }
    assert_eq!(target.lifecycle().state(), VmState::Stopped);
}
