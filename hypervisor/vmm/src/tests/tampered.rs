//! Saved states of VMs whose devices have been through a lot, and states that somebody has tampered with: nobody is harmed.

use super::saved::state;
use crate::saved::SavedVm;
use crate::test_host::{TestMachine, input, out, out_wide};
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
        let mut rig = TestMachine::new();
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
    let mut rig = TestMachine::new();
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
    let mut rig = TestMachine::new();
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
