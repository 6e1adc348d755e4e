//! Saved states: a copy of a VM is that VM.

use crate::registry::CreateError;
use crate::saved::stream::{Gone, Saving, Source};
use crate::saved::{RestoreError, SavedVm, format};
use crate::test_host::TestHost;
use crate::test_host::{TestMachine, hlt, input, out, spec};
use crate::vm::Vm;
use addr::Gpa;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use board::VmState;
use guest_memory::GuestMemory;
use vcpu::{Activity, Event, Vcpu};
use vm_spec::VmSpec;
use x86::{Gpr, Vector, Width, msr};

const SECOND_NS: u64 = 1_000_000_000;

impl TestMachine {
    /// Makes a copy of the first VM, which is paused; it is the second one then.
    pub(super) fn copy(&mut self) -> Arc<Vm<TestHost>> {
        let copy = self.hypervisor.copy("vm", "copy").expect("memory");
        self.settle();
        self.pass_ns(sched::SLICE_NS);
        assert_eq!(copy.lifecycle().state(), VmState::Paused);
        copy
    }

    /// The first VM, which is paused, as the bytes of a file.
    pub(super) fn save_to_file(&self) -> Vec<u8> {
        let mut source = Saving::new(self.vm(0)).expect("it is paused");
        let (mut file, mut piece) = (Vec::new(), Vec::new());
        loop {
            piece.clear();
            source.next(&mut piece).expect("it stays paused");
            if piece.is_empty() {
                return file;
            }
            assert!(piece.len() <= format::MAX_SECTION_BYTES as usize);
            file.append(&mut piece);
        }
    }

    /// Makes a VM like the first one, and of it what a file says; it is the last one then.
    pub(super) fn load_file(&mut self, name: &str, file: &[u8]) -> Arc<Vm<TestHost>> {
        let source = Box::new(File {
            bytes: file.into(),
            done: 0,
        });
        let spec = self.vm(0).spec().clone();
        let vm = self.hypervisor.create_as(&spec, name, Some(source));
        let vm = vm.expect("memory");
        for _ in 0..100 {
            self.settle();
            if vm.ram_work.is_done() {
                break;
            }
        }
        assert!(vm.ram_work.is_done());
        self.settle();
        vm
    }

    pub(super) fn resume_copy(&mut self) {
        assert!(self.vm(1).resume());
        self.settle();
        assert_eq!(self.state(1), VmState::Running);
    }
}

/// A saved VM that is read from a file, section by section.
struct File {
    bytes: Vec<u8>,
    done: usize,
}

impl Source for File {
    fn name(&self) -> &str {
        "file"
    }

    fn next(&mut self, out: &mut Vec<u8>) -> Result<(), Gone> {
        let rest = &self.bytes[self.done..];
        let behind = match self.done {
            0 => format::read_header(rest),
            // With what follows the end, if anything does.
            _ => format::read_section(rest).map(|(section, behind)| {
                if section.name == format::END {
                    &[]
                } else {
                    behind
                }
            }),
        };
        // What has no end is for the reader to refuse.
        let len = behind.map_or(rest.len(), |behind| rest.len() - behind.len());
        out.extend(&rest[..len]);
        self.done += len;
        Ok(())
    }
}

/// Returns the state of a VM, to compare two VMs.
pub(super) fn state(vm: &Vm<TestHost>) -> SavedVm {
    vm.save().expect("it is paused")
}

#[test]
fn a_copy_is_what_its_original_is() {
    let mut test_machine = TestMachine::new();
    test_machine.out(0x3ff, 0x5a);
    test_machine.start_pit(1193);
    test_machine.backend().state.gpr[3] = 0x1234;
    test_machine.backend().state.lstar = 0xffff_ffff_8000_0000;
    test_machine.backend().vector = *b"avx!";
    test_machine
        .vm(0)
        .ram()
        .write(Gpa::new(0x12_3456), b"memory")
        .expect("RAM");
    test_machine.pass_ns(700_000);
    test_machine.pause();
    let copy = test_machine.copy();
    assert!(state(&copy) == state(&test_machine.vm(0)));
    let mut bytes = [0; 6];
    copy.ram()
        .read(Gpa::new(0x12_3456), &mut bytes)
        .expect("RAM");
    assert_eq!(&bytes, b"memory");
    test_machine.resume_copy();
    let backend = &test_machine.vcpu(1, 0).backend;
    assert_eq!(backend.gpr(Gpr::Rbx), 0x1234);
    assert_eq!(backend.state.lstar, 0xffff_ffff_8000_0000);
    assert_eq!(&backend.vector, b"avx!");
    test_machine.run_on(1, 0, [input(0x3ff, Width::Byte)]);
    assert_eq!(test_machine.vcpu(1, 0).backend.gpr(Gpr::Rax) as u8, 0x5a);
    // The original sleeps on.
    assert_eq!(test_machine.state(0), VmState::Paused);
}

#[test]
fn its_clocks_go_on_where_the_originals_stopped() {
    let mut test_machine = TestMachine::new();
    test_machine.pass_ns(5_000);
    let tsc = test_machine.shown_tsc();
    test_machine.set_interrupts(0, 0, true);
    test_machine.store(0xfee0_00f0, 0x1ff);
    test_machine.store(0xfee0_0320, 0x4_0040);
    test_machine.write_msr(msr::IA32_TSC_DEADLINE, tsc + 1_000_000);
    test_machine.pass_ns(400_000);
    let tsc = test_machine.shown_tsc();
    test_machine.pause();
    test_machine.pass_ns(3 * SECOND_NS);
    test_machine.copy();
    test_machine.pass_ns(3 * SECOND_NS);
    test_machine.resume_copy();
    test_machine.set_interrupts(1, 0, true);
    test_machine.run_on(1, 0, [crate::test_host::read_msr(msr::IA32_TSC)]);
    assert_eq!(test_machine.vcpu(1, 0).backend.gpr(Gpr::Rax), tsc);
    test_machine.pass_ns(500_000);
    assert_eq!(test_machine.delivered(1, 0), []);
    test_machine.pass_ns(200_000);
    assert_eq!(
        test_machine.delivered(1, 0),
        [Event::Interrupt(Vector(0x40))]
    );
}

#[test]
fn lines_are_held_and_edges_are_not_seen_twice() {
    let mut test_machine = TestMachine::new();
    test_machine.route(4, 0x51);
    test_machine.set_interrupts(0, 0, true);
    // THR empty raises the line; the interrupt is taken and ended, the line stays.
    test_machine.out(0x3f9, 2);
    test_machine.turns();
    assert_eq!(test_machine.delivered(0, 0).len(), 1);
    test_machine.store(0xfee0_00b0, 0);
    test_machine.pause();
    test_machine.copy();
    test_machine.resume_copy();
    test_machine.pass_ns(SECOND_NS);
    assert_eq!(test_machine.delivered(1, 0), []);
    // Down and up again: a new edge.
    test_machine.run_on(1, 0, [out(0x3f9, 0), out(0x3f9, 2)]);
    test_machine.turns();
    assert_eq!(
        test_machine.delivered(1, 0),
        [Event::Interrupt(Vector(0x51))]
    );
}

#[test]
fn the_pic_pair_sees_no_edge_of_a_line_that_was_high() {
    let mut test_machine = TestMachine::new();
    // Vectors from 20h on, EOI by itself, line 4 open.
    for (port, value) in [
        (0x20, 0x11),
        (0x21, 0x20),
        (0x21, 4),
        (0x21, 3),
        (0x21, 0xef),
    ] {
        test_machine.out(port, value);
    }
    test_machine.set_interrupts(0, 0, true);
    test_machine.out(0x3f9, 2);
    test_machine.turns();
    assert_eq!(
        test_machine.delivered(0, 0),
        [Event::Interrupt(Vector(0x24))]
    );
    test_machine.pause();
    test_machine.copy();
    test_machine.resume_copy();
    test_machine.pass_ns(SECOND_NS);
    assert_eq!(test_machine.delivered(1, 0), []);
    test_machine.run_on(1, 0, [out(0x3f9, 0), out(0x3f9, 2)]);
    test_machine.turns();
    assert_eq!(
        test_machine.delivered(1, 0),
        [Event::Interrupt(Vector(0x24))]
    );
}

#[test]
fn what_waits_for_a_vcpu_waits_in_the_copy() {
    let mut test_machine = TestMachine::with(2, [spec("vm", 3)]);
    test_machine.start_second();
    test_machine.run_on(0, 1, [hlt()]);
    test_machine.set_interrupts(0, 0, false);
    test_machine.route(4, 0x51);
    test_machine.out(0x3f9, 1);
    test_machine.vcpu(0, 1).backend.queued = Some(Event::Nmi);
    test_machine.vcpu(0, 1).backend.is_nmi_blocked = true;
    test_machine.pause();
    // Comes during the pause: it is in no local APIC yet.
    test_machine.reaches_serial_port(b'x');
    let copy = test_machine.copy();
    assert!(state(&copy) == state(&test_machine.vm(0)));
    assert_eq!(test_machine.vcpu(1, 1).activity, Activity::Halted);
    assert_eq!(test_machine.vcpu(1, 2).activity, Activity::WaitForSipi);
    assert_eq!(test_machine.vcpu(1, 1).backend.queued, Some(Event::Nmi));
    assert!(test_machine.vcpu(1, 1).backend.is_nmi_blocked);
    test_machine.set_interrupts(1, 0, true);
    test_machine.resume_copy();
    assert_eq!(
        test_machine.delivered(1, 0),
        [Event::Interrupt(Vector(0x51))]
    );
    test_machine.run_on(1, 0, [input(0x3f8, Width::Byte)]);
    assert_eq!(test_machine.vcpu(1, 0).backend.gpr(Gpr::Rax) as u8, b'x');
}

#[test]
fn only_a_paused_vm_is_saved_and_only_a_stopped_one_of_the_same_shape_takes_it() {
    let template = VmSpec {
        is_template: true,
        ..spec("two", 2)
    };
    let config = vm_spec::Config {
        vms: [spec("vm", 1), template].into(),
        ..vm_spec::Config::default()
    };
    let mut test_machine = TestMachine::configured(1, &config);
    assert!(test_machine.vm(0).save().is_err());
    let refused = test_machine.hypervisor.copy("vm", "copy").err();
    assert_eq!(refused, Some(CreateError::NotPaused));
    test_machine.pause();
    let saved = state(&test_machine.vm(0));
    assert_eq!(
        test_machine.vm(0).restore(&saved),
        Err(RestoreError::NotStopped)
    );
    let two = test_machine.hypervisor.create("two", None).expect("memory");
    test_machine.settle();
    assert_eq!(two.restore(&saved), Err(RestoreError::Shape));
    assert_eq!(two.lifecycle().state(), VmState::Stopped);
}

#[test]
fn a_copy_whose_original_goes_on_too_early_stays_empty() {
    let mut test_machine = TestMachine::new();
    test_machine.pause();
    let copy = test_machine.hypervisor.copy("vm", "copy").expect("memory");
    test_machine.turns();
    test_machine.turns();
    assert!(test_machine.vm(0).resume());
    test_machine.settle();
    assert_eq!(copy.lifecycle().state(), VmState::Stopped);
    assert!(copy.start(), "as any other");
    test_machine.settle();
    assert_eq!(copy.lifecycle().state(), VmState::Running);
}

#[test]
fn a_copy_whose_original_is_made_ready_for_a_new_life_stays_empty() {
    let mut test_machine = TestMachine::new();
    test_machine.pause();
    let copy = test_machine.hypervisor.copy("vm", "copy").expect("memory");
    test_machine.turns();
    test_machine.turns();
    assert!(test_machine.vm(0).kill());
    while test_machine.state(0) != VmState::Stopped {
        test_machine.turns();
    }
    assert!(!copy.ram_work.is_done());
    // Its memory is written from now on, though no guest runs yet.
    assert!(test_machine.vm(0).lifecycle().try_begin_start());
    test_machine.settle();
    assert!(copy.ram_work.is_done());
    assert_eq!(copy.lifecycle().state(), VmState::Stopped);
}

#[test]
fn what_is_due_just_when_it_pauses_is_in_the_copy() {
    let mut test_machine = TestMachine::with(2, [spec("vm", 2)]);
    test_machine.route(2, 0x30);
    test_machine.set_interrupts(0, 0, true);
    // Once, 1 ms from now: mode 0.
    test_machine.out(0x43, 0x30);
    test_machine.out(0x40, 1193u16 as u8);
    test_machine.out(0x40, (1193u16 >> 8) as u8);
    assert!(test_machine.vm(0).pause());
    test_machine.turn(0);
    test_machine.turn(0);
    assert_eq!(test_machine.state(0), VmState::Pausing);
    test_machine.host.pass_ns(SECOND_NS / 100);
    // The other CPU, which does not look at devices, stops the clock behind the deadline.
    test_machine.turn(1);
    assert_eq!(test_machine.state(0), VmState::Paused);
    assert_eq!(test_machine.delivered(0, 0), []);
    test_machine.copy();
    test_machine.resume_copy();
    assert_eq!(
        test_machine.delivered(1, 0),
        [Event::Interrupt(Vector(0x30))]
    );
    assert!(test_machine.vm(0).resume());
    test_machine.settle();
    test_machine.pass_ns(sched::SLICE_NS);
    assert_eq!(
        test_machine.delivered(0, 0),
        [Event::Interrupt(Vector(0x30))]
    );
}

#[test]
fn what_was_typed_for_the_life_before_is_not_typed_into_a_restored_one() {
    let mut test_machine = TestMachine::new();
    test_machine.pause();
    let saved = state(&test_machine.vm(0));
    let copy = test_machine.copy();
    assert!(copy.board().serial().type_byte(b'x'));
    assert!(copy.kill());
    test_machine.settle();
    copy.restore(&saved).expect("the same shape");
    test_machine.settle();
    test_machine.resume_copy();
    test_machine.pass_ns(SECOND_NS);
    test_machine.run_on(1, 0, [input(0x3fd, Width::Byte)]);
    assert_eq!(
        test_machine.vcpu(1, 0).backend.gpr(Gpr::Rax) & 1,
        0,
        "nothing there"
    );
}
