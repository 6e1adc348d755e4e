//! Saved states of VMs whose devices have been through a lot, and states that somebody has tampered with: nobody is harmed, and a VM
//! stays what it was made as. Each device's own states are tampered with where its model is.

use super::saved::state;
use crate::saved::SavedVm;
use crate::test_host::{TestHost, TestMachine, input, out, out_wide};
use crate::vm::Vm;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use board::VmState;
use vcpu::{Access, Exit, Vcpu};
use x86::{Gpr, Width};

const SECOND_NS: u64 = 1_000_000_000;

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
                crate::test_host::touch(at, Access::Write, &[0x89, 0x07])
            }
        }
    }
}

impl TestMachine {
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
        let mut test_machine = TestMachine::new();
        test_machine.mistreat(0, &mut dice, 200);
        if test_machine.state(0) != VmState::Running {
            continue;
        }
        test_machine.pause();
        let copy = test_machine.copy();
        assert!(state(&copy) == state(&test_machine.vm(0)), "seed {seed}");
        // And they do the same from then on.
        test_machine.resume_copy();
        test_machine.mistreat(1, &mut dice, 50);
    }
}

/// Returns what guests can read of the wiring of their VM.
fn wiring(test_machine: &mut TestMachine, vm: usize) -> Vec<u32> {
    let mut seen = Vec::new();
    let mut read = |exits: Vec<Exit>| {
        test_machine.run_on(vm, 0, exits);
        seen.push(test_machine.vcpu(vm, 0).backend.gpr(Gpr::Rax) as u32);
    };
    // Of host bridge and LPC bridge: ids, command after a write of all ones, class, BAR, base of PM.
    for function in [0x8000_0000, 0x8000_f800] {
        for register in [0x00, 0x04, 0x08, 0x10, 0x2c, 0x34, 0x40, 0x44] {
            read(vec![
                out_wide(0xcf8, Width::Dword, function + register),
                out_wide(0xcfc, Width::Dword, u32::MAX),
                input(0xcfc, Width::Dword),
            ]);
        }
    }
    // Sizes of the memory, in CMOS and by fw_cfg.
    for index in [
        0x15, 0x16, 0x17, 0x18, 0x30, 0x31, 0x34, 0x35, 0x5b, 0x5c, 0x5d,
    ] {
        read(vec![out(0x70, index), input(0x71, Width::Byte)]);
    }
    for item in [0x00, 0x03, 0x05, 0x0f, 0x19] {
        read(vec![out_wide(0x510, Width::Word, item)]);
        for _ in 0..8 {
            read(vec![input(0x511, Width::Byte)]);
        }
    }
    // Ports that answer, and one that does not.
    for port in [
        0x3f9, 0x2f9, 0x4d0, 0x64, 0x3cc, 0x92, 0xf4, 0x505, 0xe9, 0x90,
    ] {
        read(vec![input(port, Width::Byte)]);
    }
    seen
}

/// A machine whose second VM takes what was saved of the first one.
struct Victim {
    test_machine: TestMachine,
    dice: Dice,
    good: SavedVm,
    target: Arc<Vm<TestHost>>,
    wiring: Vec<u32>,
}

impl Victim {
    fn new(seed: u64) -> Self {
        let mut test_machine = TestMachine::new();
        let mut dice = Dice(seed);
        test_machine.mistreat(0, &mut dice, 100);
        test_machine.vm(0).start();
        test_machine.settle();
        test_machine.pause();
        let good = state(&test_machine.vm(0));
        let target = test_machine
            .hypervisor
            .create("vm", Some("copy"))
            .expect("memory");
        test_machine.settle();
        target.start();
        test_machine.settle();
        let wiring = wiring(&mut test_machine, 1);
        let mut victim = Self {
            test_machine,
            dice,
            good,
            target,
            wiring,
        };
        victim.stop();
        victim
    }

    fn stop(&mut self) {
        self.target.kill();
        self.test_machine.settle();
        self.test_machine.pass_ns(2 * sched::SLICE_NS);
        assert_eq!(self.target.lifecycle().state(), VmState::Stopped);
    }

    /// Restores a state that may be bad, lets its guest do something, and looks whether the VM is
    /// what it was made as in its next life. Returns whether the state was taken.
    fn suffer(&mut self, bad: &SavedVm) -> bool {
        if self.target.restore(bad).is_err() {
            return false;
        }
        self.test_machine.settle();
        self.target.resume();
        self.test_machine.settle();
        self.test_machine.mistreat(1, &mut self.dice, 4);
        let ns = self.dice.roll(SECOND_NS);
        self.test_machine.pass_ns(ns);
        self.stop();
        assert!(self.target.start());
        self.test_machine.settle();
        // Others may have had their turn first.
        self.test_machine.pass_ns(sched::SLICE_NS);
        assert_eq!(self.target.lifecycle().state(), VmState::Running);
        assert_eq!(wiring(&mut self.test_machine, 1), self.wiring);
        self.stop();
        true
    }

    fn change(&mut self, bytes: &mut [u8]) {
        let at = self.dice.roll(bytes.len() as u64) as usize;
        // With a liking for the ends.
        let values = [0, 1, 0x7f, 0xff, self.dice.roll(256) as u8];
        bytes[at] = match self.dice.roll(6) {
            5 => bytes[at] ^ 1 << self.dice.roll(8),
            index => values[index as usize],
        };
    }
}

#[test]
fn whatever_a_section_says_the_vm_stays_what_it_was_made_as() {
    /// Variants of each section.
    const VARIANTS: usize = 16;
    let mut victim = Victim::new(0xfeed_5eed_1234_5679);
    let good = victim.good.clone();
    assert!(victim.suffer(&good));
    let (mut taken, mut refused) = (0, 0);
    for index in 0..good.sections.len() {
        for _ in 0..VARIANTS {
            let mut bad = good.clone();
            for _ in 0..=victim.dice.roll(4) {
                victim.change(&mut bad.sections[index].bytes);
            }
            if victim.suffer(&bad) {
                taken += 1;
            } else {
                refused += 1;
            }
        }
    }
    assert!(taken > 40 && refused > 40, "{taken} and {refused}");
}

/// Each byte of a section in ten ways, and 100,000 pairs: those that are taken are few enough to be
/// lived through now and then.
fn try_all_of(name: &str, live_every: usize) {
    let mut victim = Victim::new(0x1234_5678_9abc_def1);
    let good = victim.good.clone();
    let index = good
        .sections
        .iter()
        .position(|section| section.name == name);
    let index = index.expect("there is one");
    let mut bad = good.clone();
    let (mut taken, mut refused) = (0, 0);
    let mut attempt = |victim: &mut Victim, bad: &SavedVm| {
        if victim.target.check(bad).is_err() {
            refused += 1;
            return;
        }
        taken += 1;
        if taken % live_every == 1 {
            victim.suffer(bad);
        }
    };
    for at in 0..good.sections[index].bytes.len() {
        let byte = good.sections[index].bytes[at];
        for value in device::tamper::variants(byte) {
            bad.sections[index].bytes[at] = value;
            attempt(&mut victim, &bad);
        }
        bad.sections[index].bytes[at] = byte;
    }
    for _ in 0..100_000 {
        for _ in 0..2 {
            victim.change(&mut bad.sections[index].bytes);
        }
        attempt(&mut victim, &bad);
        bad.sections[index]
            .bytes
            .copy_from_slice(&good.sections[index].bytes);
    }
    assert!(taken > 100 && refused > 100, "{taken} and {refused}");
}

#[test]
fn whatever_is_said_of_the_vm_itself_it_stays_what_it_was_made_as() {
    try_all_of("vm", 400);
}

#[test]
fn whatever_is_said_of_a_vcpu_its_vm_stays_what_it_was_made_as() {
    try_all_of("vcpu/0", 1_000);
}

#[test]
fn a_port_whose_cable_ends_nowhere_is_held_back_by_no_state() {
    let mut victim = Victim::new(0x0dd_ba11);
    let mut bad = victim.good.clone();
    let com2 = bad.sections.iter_mut();
    let com2 = com2.filter(|section| section.name == "device/com2");
    for section in com2 {
        // Its last byte tells whether the far end holds it back.
        *section.bytes.last_mut().expect("a state") = 1;
    }
    assert!(bad != victim.good);
    victim
        .target
        .restore(&bad)
        .expect("a state that a UART can be in");
    victim.test_machine.settle();
    victim.test_machine.resume_copy();
    victim.test_machine.run_on(
        1,
        0,
        [out(0x2fb, 3), out(0x2f8, b'x'), input(0x2fd, Width::Byte)],
    );
    let status = victim.test_machine.vcpu(1, 0).backend.gpr(Gpr::Rax) as u8;
    assert_eq!(status & 0x20, 0x20, "THR is empty");
}
