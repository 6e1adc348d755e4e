//! Saved states: a copy of a VM is that VM, and nothing that was tampered with harms anybody.

use super::host::TestHost;
use super::rig::{Rig, hlt, input, out, out_wide, spec};
use crate::lifecycle::{StopReason, VmState};
use crate::registry::CreateError;
use crate::saved::{RestoreError, SavedVm};
use crate::vm::Vm;
use addr::Gpa;
use alloc::sync::Arc;
use alloc::vec::Vec;
use guest_memory::GuestMemory;
use vcpu::{Access, Activity, EntryRefused, Event, Exit, Vcpu};
use vm_spec::VmSpec;
use x86::{Gpr, Vector, Width, msr};

const SECOND_NS: u64 = 1_000_000_000;

impl Rig {
    /// Makes a copy of the first VM, which is paused; it is the second one then.
    fn copy(&mut self) -> Arc<Vm<TestHost>> {
        let copy = self.hypervisor.copy("vm", "copy").expect("memory");
        self.settle();
        self.pass_ns(sched::SLICE_NS);
        assert_eq!(copy.lifecycle().state(), VmState::Paused);
        copy
    }

    fn resume_copy(&mut self) {
        assert!(self.vm(1).resume());
        self.settle();
        assert_eq!(self.state(1), VmState::Running);
    }
}

/// What two VMs are, to be compared.
fn state(vm: &Vm<TestHost>) -> SavedVm {
    vm.save().expect("it is paused")
}

#[test]
fn a_copy_is_what_its_original_is() {
    let mut rig = Rig::new();
    rig.out(0x3ff, 0x5a);
    rig.start_pit(1193);
    rig.backend().state.gpr[3] = 0x1234;
    rig.backend().state.lstar = 0xffff_ffff_8000_0000;
    rig.backend().vector = *b"avx!";
    rig.vm(0)
        .ram()
        .write(Gpa::new(0x12_3456), b"memory")
        .expect("RAM");
    rig.pass_ns(700_000);
    rig.pause();
    let copy = rig.copy();
    assert!(state(&copy) == state(&rig.vm(0)));
    let mut bytes = [0; 6];
    copy.ram()
        .read(Gpa::new(0x12_3456), &mut bytes)
        .expect("RAM");
    assert_eq!(&bytes, b"memory");
    rig.resume_copy();
    let backend = &rig.vcpu(1, 0).backend;
    assert_eq!(backend.gpr(Gpr::Rbx), 0x1234);
    assert_eq!(backend.state.lstar, 0xffff_ffff_8000_0000);
    assert_eq!(&backend.vector, b"avx!");
    rig.run_on(1, 0, [input(0x3ff, Width::Byte)]);
    assert_eq!(rig.vcpu(1, 0).backend.gpr(Gpr::Rax) as u8, 0x5a);
    // The original sleeps on.
    assert_eq!(rig.state(0), VmState::Paused);
}

#[test]
fn its_clocks_go_on_where_the_originals_stopped() {
    let mut rig = Rig::new();
    rig.pass_ns(5_000);
    let tsc = rig.shown_tsc();
    rig.set_interrupts(0, 0, true);
    rig.store(0xfee0_00f0, 0x1ff);
    rig.store(0xfee0_0320, 0x4_0040);
    rig.write_msr(msr::IA32_TSC_DEADLINE, tsc + 1_000_000);
    rig.pass_ns(400_000);
    let tsc = rig.shown_tsc();
    rig.pause();
    rig.pass_ns(3 * SECOND_NS);
    rig.copy();
    rig.pass_ns(3 * SECOND_NS);
    rig.resume_copy();
    rig.set_interrupts(1, 0, true);
    rig.run_on(1, 0, [super::rig::read_msr(msr::IA32_TSC)]);
    assert_eq!(rig.vcpu(1, 0).backend.gpr(Gpr::Rax), tsc);
    rig.pass_ns(500_000);
    assert_eq!(rig.delivered(1, 0), []);
    rig.pass_ns(200_000);
    assert_eq!(rig.delivered(1, 0), [Event::Interrupt(Vector(0x40))]);
}

#[test]
fn lines_are_held_and_edges_are_not_seen_twice() {
    let mut rig = Rig::new();
    rig.route(4, 0x51);
    rig.set_interrupts(0, 0, true);
    // THR empty raises the line; the interrupt is taken and ended, the line stays.
    rig.out(0x3f9, 2);
    rig.turns();
    assert_eq!(rig.delivered(0, 0).len(), 1);
    rig.store(0xfee0_00b0, 0);
    rig.pause();
    rig.copy();
    rig.resume_copy();
    rig.pass_ns(SECOND_NS);
    assert_eq!(rig.delivered(1, 0), []);
    // Down and up again: a new edge.
    rig.run_on(1, 0, [out(0x3f9, 0), out(0x3f9, 2)]);
    rig.turns();
    assert_eq!(rig.delivered(1, 0), [Event::Interrupt(Vector(0x51))]);
}

#[test]
fn what_waits_for_a_vcpu_waits_in_the_copy() {
    let mut rig = Rig::with(2, [spec("vm", 3)]);
    rig.start_second();
    rig.run_on(0, 1, [hlt()]);
    rig.set_interrupts(0, 0, false);
    rig.route(4, 0x51);
    rig.out(0x3f9, 1);
    rig.vcpu(0, 1).backend.queued = Some(Event::Nmi);
    rig.vcpu(0, 1).backend.is_nmi_blocked = true;
    rig.pause();
    // Comes during the pause: it is in no local APIC yet.
    rig.reaches_serial_port(b'x');
    let copy = rig.copy();
    assert!(state(&copy) == state(&rig.vm(0)));
    assert_eq!(rig.vcpu(1, 1).activity, Activity::Halted);
    assert_eq!(rig.vcpu(1, 2).activity, Activity::WaitForSipi);
    assert_eq!(rig.vcpu(1, 1).backend.queued, Some(Event::Nmi));
    assert!(rig.vcpu(1, 1).backend.is_nmi_blocked);
    rig.set_interrupts(1, 0, true);
    rig.resume_copy();
    assert_eq!(rig.delivered(1, 0), [Event::Interrupt(Vector(0x51))]);
    rig.run_on(1, 0, [input(0x3f8, Width::Byte)]);
    assert_eq!(rig.vcpu(1, 0).backend.gpr(Gpr::Rax) as u8, b'x');
}

#[test]
fn the_bytes_say_their_version() {
    let mut rig = Rig::new();
    rig.pause();
    let saved = state(&rig.vm(0));
    let bytes = saved.to_bytes();
    assert_eq!(SavedVm::from_bytes(&bytes), Ok(saved));
    let mut other = bytes.clone();
    other[8] = 9;
    assert_eq!(SavedVm::from_bytes(&other), Err(RestoreError::Version(9)));
    for bad in [&bytes[1..], &bytes[..bytes.len() - 1], &bytes[..11], &[]] {
        assert_eq!(SavedVm::from_bytes(bad), Err(RestoreError::NotSaved));
    }
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
    let mut rig = Rig::configured(1, &config);
    assert!(rig.vm(0).save().is_err());
    let refused = rig.hypervisor.copy("vm", "copy").err();
    assert_eq!(refused, Some(CreateError::NotPaused));
    rig.pause();
    let saved = state(&rig.vm(0));
    assert_eq!(rig.vm(0).restore(&saved), Err(RestoreError::NotStopped));
    let two = rig.hypervisor.create("two", None).expect("memory");
    rig.settle();
    assert_eq!(two.restore(&saved), Err(RestoreError::Shape));
    assert_eq!(two.lifecycle().state(), VmState::Stopped);
}

#[test]
fn a_copy_whose_original_goes_on_too_early_stays_empty() {
    let mut rig = Rig::new();
    rig.pause();
    let copy = rig.hypervisor.copy("vm", "copy").expect("memory");
    rig.turns();
    rig.turns();
    assert!(rig.vm(0).resume());
    rig.settle();
    assert_eq!(copy.lifecycle().state(), VmState::Stopped);
    assert!(copy.start(), "as any other");
    rig.settle();
    assert_eq!(copy.lifecycle().state(), VmState::Running);
}

#[test]
fn a_copy_can_be_killed_started_and_destroyed() {
    let mut rig = Rig::new();
    rig.pause();
    for _ in 0..5 {
        let copy = rig.copy();
        assert!(copy.kill());
        rig.settle();
        assert!(copy.start());
        rig.settle();
        assert_eq!(copy.lifecycle().state(), VmState::Running);
        copy.kill();
        rig.settle();
        rig.hypervisor.destroy("copy").expect("stopped");
        rig.pass_ns(SECOND_NS);
        assert_eq!(Arc::strong_count(&copy), 1);
    }
    assert_eq!(rig.host.vcpus(), 1);
}

#[test]
fn a_state_the_cpu_refuses_is_the_savers_fault() {
    let mut rig = Rig::new();
    rig.pause();
    rig.copy();
    let backend = &mut rig.vcpu(1, 0).backend;
    backend.exits.clear();
    let reason = "odd";
    backend
        .exits
        .push_back(Exit::EntryRefused(EntryRefused { reason }));
    assert!(rig.vm(1).resume());
    rig.settle();
    assert_eq!(
        rig.vm(1).lifecycle().last_stop(),
        Some(StopReason::BadSavedState { why: "odd" })
    );
    assert_eq!(rig.state(1), VmState::Stopped);
}

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }

    /// An access to one of the devices.
    fn access(&mut self) -> Exit {
        const PORTS: [(u16, u64); 12] = [
            (0x20, 2),
            (0xa0, 2),
            (0x4d0, 2),
            (0x40, 4),
            (0x61, 1),
            (0x60, 5),
            (0x70, 2),
            (0x2f8, 8),
            (0x3f8, 8),
            (0x600, 12),
            (0xcf8, 1),
            (0x3c0, 32),
        ];
        const REGISTERS: [(u64, u64); 3] = [
            (0xfec0_0000, 0x20),
            (0xfed0_0000, 0x140),
            (0xfee0_0000, 0x3f0),
        ];
        let (first, count) = PORTS[self.roll(12) as usize];
        let port = first + self.roll(count) as u16;
        match self.roll(3) {
            0 => input(port, Width::Byte),
            1 if port < 0x600 => out(port, self.roll(256) as u8),
            1 => input(port, Width::Dword),
            _ => {
                let (first, count) = REGISTERS[self.roll(3) as usize];
                let at = first + (self.roll(count) & !0xf);
                super::rig::touch(at, Access::Write, &[0x89, 0x07])
            }
        }
    }
}

impl Rig {
    /// Lets the guest of a VM do something with its devices.
    fn mistreat(&mut self, vm: usize, dice: &mut Dice, accesses: usize) {
        for _ in 0..accesses {
            if self.state(vm) != VmState::Running {
                return;
            }
            let exit = dice.access();
            let backend = &mut self.vcpu(vm, 0).backend;
            if let Exit::SlatFault(fault) = &exit {
                backend.set_gpr(Gpr::Rdi, fault.gpa.raw());
            }
            let value = dice.roll(1 << 32);
            backend.set_gpr(Gpr::Rax, value);
            backend.exits.clear();
            backend.exits.push_back(exit);
            self.turns();
            self.host.pass_ns(dice.roll(2_000_000));
        }
    }
}

#[test]
fn whatever_a_guest_did_its_copy_is_the_same() {
    for seed in 1..10 {
        let mut dice = Dice(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15));
        let mut rig = Rig::new();
        rig.mistreat(0, &mut dice, 200);
        if rig.state(0) != VmState::Running {
            continue;
        }
        rig.pause();
        let copy = rig.copy();
        assert!(state(&copy) == state(&rig.vm(0)), "seed {seed}");
        // And they do the same from then on.
        rig.resume_copy();
        rig.mistreat(1, &mut dice, 50);
    }
}

#[test]
fn a_state_that_was_tampered_with_is_refused_or_harmless() {
    let mut rig = Rig::new();
    let mut dice = Dice(0x1234_5678_9abc_def1);
    rig.mistreat(0, &mut dice, 100);
    rig.vm(0).start();
    rig.settle();
    rig.pause();
    let bytes = state(&rig.vm(0)).to_bytes();
    let target = rig.hypervisor.create("vm", Some("copy")).expect("memory");
    rig.settle();
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..400 {
        let mut bad: Vec<u8> = bytes.clone();
        for _ in 0..=dice.roll(4) {
            let at = 12 + dice.roll(bytes.len() as u64 - 12) as usize;
            bad[at] = dice.roll(256) as u8;
        }
        let answer = SavedVm::from_bytes(&bad).and_then(|saved| target.restore(&saved));
        if answer.is_err() {
            refused += 1;
            continue;
        }
        taken += 1;
        rig.settle();
        target.resume();
        rig.settle();
        rig.mistreat(1, &mut dice, 5);
        rig.pass_ns(dice.roll(SECOND_NS));
        target.kill();
        rig.settle();
        rig.pass_ns(2 * sched::SLICE_NS);
        assert_eq!(target.lifecycle().state(), VmState::Stopped);
    }
    assert!(taken > 20 && refused > 20, "{taken} and {refused}");
    rig.vm(0).resume();
    rig.settle();
    rig.run([out_wide(0x604, Width::Word, 0)]);
}

#[test]
fn no_state_of_a_device_harms_the_hypervisor() {
    /// Variants of each device's state.
    const VARIANTS: usize = 40;
    let mut rig = Rig::new();
    let mut dice = Dice(0xfeed_5eed_1234_5679);
    rig.mistreat(0, &mut dice, 60);
    rig.vm(0).start();
    rig.settle();
    rig.pause();
    let good = state(&rig.vm(0));
    let target = rig.hypervisor.create("vm", Some("copy")).expect("memory");
    rig.settle();
    for device in 0..good.devices.len() {
        let name = good.devices[device].name.as_str();
        for _ in 0..VARIANTS {
            let mut bad = good.clone();
            let bytes = &mut bad.devices[device].bytes;
            for _ in 0..=dice.roll(6) {
                let at = dice.roll(bytes.len() as u64) as usize;
                // With a liking for the ends.
                bytes[at] = [0, 1, 0x7f, 0xff, dice.roll(256) as u8][dice.roll(5) as usize];
            }
            if target.restore(&bad).is_err() {
                continue;
            }
            rig.settle();
            target.resume();
            rig.settle();
            rig.mistreat(1, &mut dice, 4);
            rig.pass_ns(dice.roll(SECOND_NS));
            target.kill();
            rig.settle();
            rig.pass_ns(2 * sched::SLICE_NS);
            assert_eq!(target.lifecycle().state(), VmState::Stopped, "{name}");
        }
    }
}
