//! A guest that tries everything: the VMM neither panics nor forgets its neighbour.

use crate::test_host::{
    TestMachine, cpuid, fault, hlt, input, out_wide, read_msr, spec, touch, write_msr,
};
use board::Mail;
use board::VmState;
use vcpu::{Access, Exit, InsnLen, PioDirection, SlatFault, Vcpu};
use vm_spec::{After, VmSpec};
use x86::{Gpr, SegmentRegister, Vector, Width};

struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.roll() >> 20) % limit
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }

    /// A number of any size, with a liking for the ends.
    fn value(&mut self) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << self.below(64),
            3 => self.below(256),
            4 => self.roll() & 0xffff_ffff,
            _ => self.roll(),
        }
    }

    fn width(&mut self) -> Width {
        self.of(&[Width::Byte, Width::Word, Width::Dword])
    }

    fn port(&mut self) -> u16 {
        let devices = [
            0x20, 0x21, 0x40, 0x42, 0x43, 0x61, 0x70, 0x71, 0xa0, 0xa1, 0xcf8, 0xcfc, 0x2f8, 0x3f8,
            0x402, 0x4d0, 0x505, 0x600, 0x608, 0x620, 0xe9, 0xd000,
        ];
        match self.below(100) {
            0 => self.of(&[0x60, 0x64, 0x92, 0xcf9, 0x604]),
            1..10 => self.roll() as u16,
            _ => self.of(&devices) + self.below(4) as u16,
        }
    }

    fn msr(&mut self) -> u32 {
        let known = [
            0x10,
            0x1b,
            0x3b,
            0x6e0,
            0x80b,
            0x80f,
            0x830,
            0x832,
            0x838,
            0x83e,
            0x83f,
            0x4b56_4d00,
            0x4b56_4d01,
            0x277,
            0x2ff,
            0x200,
            0xc000_0080,
            0xc000_0101,
        ];
        match self.below(4) {
            0 => self.roll() as u32,
            1 => 0x800 + self.below(0x40) as u32,
            _ => self.of(&known),
        }
    }

    fn address(&mut self) -> u64 {
        let base = self.of(&[
            0xfee0_0000,
            0xfee0_0000,
            0xfec0_0000,
            0xfed0_0000,
            0xb000_0000,
            0xd000_0000,
            0xa_0000,
        ]);
        match self.below(3) {
            0 => base + self.below(0x1000),
            1 => base + self.below(0x40) * 0x10,
            _ => {
                base + self.of(&[
                    0, 0x10, 0x80, 0xb0, 0xf0, 0x100, 0x108, 0x300, 0x310, 0x320, 0x380,
                ])
            }
        }
    }

    /// An exit that no reset follows at once, mostly.
    fn exit(&mut self) -> Exit {
        let len = InsnLen::new(1).expect("a length");
        match self.below(24) {
            0..=4 => out_wide(self.port(), self.width(), self.value() as u32),
            5..=6 => input(self.port(), self.width()),
            7..=9 => write_msr(self.msr(), self.value()),
            10 => read_msr(self.msr()),
            11 => cpuid(self.value() as u32),
            12 => hlt(),
            13..=14 => Exit::InterruptWindow,
            15 => Exit::PioString(vcpu::PioString {
                port: self.port(),
                width: self.width(),
                direction: self.of(&[PioDirection::In, PioDirection::Out]),
                is_repeated: self.below(2) == 0,
                address_width: self.of(&[Width::Word, Width::Dword, Width::Qword]),
                segment: self.of(&[
                    SegmentRegister::Es,
                    SegmentRegister::Ds,
                    SegmentRegister::Fs,
                ]),
                len,
            }),
            16 => Exit::Xsetbv(vcpu::Xsetbv {
                index: self.below(3) as u32,
                value: self.value(),
                len,
            }),
            17 => Exit::Pause(vcpu::Pause { len }),
            18 => match self.below(40) {
                0 => Exit::Shutdown,
                1 => Exit::Unexpected(vcpu::RawExit::default()),
                2 => Exit::SlatFault(SlatFault {
                    is_delivery: true,
                    ..fault(self.address(), Access::Write)
                }),
                3 => Exit::SlatFault(SlatFault {
                    is_table_walk: true,
                    gva: None,
                    ..fault(self.address(), Access::Write)
                }),
                4 => Exit::SlatFault(fault(self.address(), Access::Execute)),
                _ => Exit::Hypercall(vcpu::Hypercall { len }),
            },
            _ => {
                let access = self.of(&[Access::Read, Access::Write]);
                // MOV of each width both ways, XCHG, BTS, REP MOVS, STOS, PUSH.
                let insns: [&[u8]; 10] = [
                    &[0x88, 0x07],
                    &[0x66, 0x89, 0x07],
                    &[0x89, 0x07],
                    &[0x48, 0x89, 0x07],
                    &[0x8b, 0x07],
                    &[0x87, 0x07],
                    &[0x0f, 0xab, 0x07],
                    &[0xf3, 0x48, 0xa5],
                    &[0xf3, 0xaa],
                    &[0xff, 0x37],
                ];
                touch(self.address(), access, self.of(&insns))
            }
        }
    }
}

fn attack(seed: u64) {
    let mut dice = Dice(seed);
    let hostile = VmSpec {
        on_crash: After::Restart,
        exit_port: false,
        has_test_devices: true,
        ..spec("hostile", 2)
    };
    let good = VmSpec {
        cpu_affinity: Some(std::vec![0]),
        ..spec("good", 1)
    };
    let mut test_machine = TestMachine::with(2, [hostile, good]);
    let mut entries = test_machine.vcpu(1, 0).backend.entries;
    for step in 1..=6_000u32 {
        if test_machine.vm(0).is_done() {
            assert!(test_machine.vm(0).start(), "it powered off");
        }
        // Sleepers are woken from outside now and then.
        if dice.below(4) == 0 {
            let vm = test_machine.vm(0);
            let mailboxes = vm.cpus().mailboxes();
            mailboxes[0].send(Mail::NMI);
            mailboxes[1].send(Mail::NMI);
            mailboxes[1].post_sipi(Vector(8));
        }
        let exit = dice.exit();
        let id = usize::from(dice.below(4) == 0);
        let address = if let Exit::SlatFault(fault) = &exit {
            fault.gpa.raw()
        } else {
            dice.value()
        };
        let (rsi, rcx, rax) = (dice.value(), dice.value(), dice.value());
        let backend = &mut test_machine.vcpu(0, id).backend;
        backend.set_gpr(Gpr::Rdi, address);
        backend.set_gpr(Gpr::Rsi, if step % 2 == 0 { address } else { rsi });
        backend.set_gpr(Gpr::Rcx, rcx);
        backend.set_gpr(Gpr::Rax, rax);
        backend.set_gpr(Gpr::Rsp, 0x7000);
        backend.state.cr8 = dice.below(16) as u8;
        backend.exits.clear();
        backend.exits.push_back(exit);
        backend.exits.push_back(Exit::HostInterrupt);
        test_machine.set_interrupts(0, id, dice.below(2) == 0);
        let ns = match dice.below(8) {
            0 => 2_000_000_000,
            1..=2 => 5_000_000,
            _ => dice.below(100_000),
        };
        test_machine.host.pass_ns(ns);
        test_machine.turns();
        if step.is_multiple_of(100) {
            assert_eq!(test_machine.state(1), VmState::Running);
            let now = test_machine.vcpu(1, 0).backend.entries;
            assert!(
                now > entries,
                "the neighbour starves after {step} steps of {seed:#x}"
            );
            entries = now;
        }
    }
    let exits: u64 = test_machine
        .vm(0)
        .stats()
        .iter()
        .flat_map(|stats| stats.exits())
        .sum();
    assert!(exits > 4_000, "most of it was tried: {exits}");
    let mut page = std::string::String::new();
    test_machine
        .vm(0)
        .inspect(&mut page)
        .expect("a string takes all");
    assert!(page.contains("vm hostile"), "{page}");
    can_be_ended(&mut test_machine);
}

/// Its operator can always end it.
fn can_be_ended(test_machine: &mut TestMachine) {
    test_machine.vm(0).end(After::Stop);
    for _ in 0..100 {
        test_machine.host.pass_ns(5_000_000);
        test_machine.turns();
    }
    assert_eq!(test_machine.state(0), VmState::Stopped);
}

#[test]
fn a_guest_that_tries_everything_harms_nobody() {
    for seed in [
        0x9e37_79b9_7f4a_7c15,
        0xd1b5_4a32_d192_ed03,
        0x1234_5678_9abc_def1,
    ] {
        attack(seed);
    }
}
