//! A machine with its VMs, driven a turn of the loop at a time.

use super::host::{CPU, TestHost};
use crate::board::lifecycle::VmState;
use crate::cpu::home::Home;
use crate::cpu::run as cpu_loop;
use crate::operator::chores::Housekeeping;
use crate::vcpu::VirtualCpu;
use crate::vm::Vm;
use crate::{Hypervisor, Module};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use vcpu::{Activity, Exit, TestVcpu, Vcpu};
use vm_spec::{Config, VmSpec};
use x86::{Rflags, Width};

/// Rounds after which a test has gone wrong.
const PATIENCE: u32 = 1_000;

/// Where the test kernel lies and starts.
pub(crate) const KERNEL: u64 = 0x10_0000;

/// A VM with this name and number of vCPUs.
pub(crate) fn spec(name: &str, cpus: u32) -> VmSpec {
    VmSpec {
        cpus,
        memory_bytes: 2 << 20,
        exit_port: true,
        ..VmSpec::new(name, "kernel")
    }
}

/// The smallest ELF file that is a kernel: one segment of four bytes.
fn kernel() -> &'static [u8] {
    let mut file = Vec::new();
    file.extend([0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    // ET_EXEC, EM_X86_64, version 1.
    file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for word in [KERNEL, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    // Flags, header size, one program header of 56 bytes, no sections.
    file.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]);
    // PT_LOAD, readable and executable.
    file.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [120, KERNEL, KERNEL, 4, 4, 4096] {
        file.extend(u64::to_le_bytes(word));
    }
    file.extend([0x90, 0x90, 0xf4, 0x90]);
    file.leak()
}

/// The machine.
pub(crate) struct Rig {
    pub(crate) host: &'static TestHost,
    pub(crate) hypervisor: &'static Hypervisor<TestHost>,
    homes: Vec<Home<TestHost>>,
    pub(crate) keeper: Housekeeping<TestHost>,
}

impl Rig {
    /// One CPU and one VM called "vm" with one vCPU.
    pub(crate) fn new() -> Self {
        Self::with(1, [spec("vm", 1)])
    }

    /// A machine with so many CPUs and these VMs, all of them at their kernels' entry.
    pub(crate) fn with<const VMS: usize>(cpus: u32, vms: [VmSpec; VMS]) -> Self {
        let config = Config {
            vms: vms.into(),
            ..Config::default()
        };
        Self::configured(cpus, &config)
    }

    pub(crate) fn configured(cpus: u32, config: &Config) -> Self {
        CPU.set(0);
        let host: &'static TestHost = Box::leak(Box::new(TestHost::new(cpus)));
        let modules = [Module {
            name: "kernel",
            bytes: kernel(),
        }];
        let hypervisor = crate::start(host, config, &modules);
        let homes = hypervisor
            .porches
            .iter()
            .map(|porch| Home::new(host, porch))
            .collect();
        let mut rig = Self {
            host,
            hypervisor,
            homes,
            keeper: Housekeeping::new(hypervisor),
        };
        rig.settle();
        for _ in 0..PATIENCE {
            let vms = rig.hypervisor.vms();
            if vms.iter().all(|vm| vm.ram_work.is_done()) {
                break;
            }
            rig.turns();
        }
        rig.turns();
        rig
    }

    /// One turn of a CPU's loop. A vCPU whose exits are used up is interrupted.
    pub(crate) fn turn(&mut self, cpu: usize) {
        CPU.set(cpu as u32);
        for vcpu in self.homes[cpu].vcpus() {
            if vcpu.backend.exits.is_empty() {
                vcpu.backend.exits.push_back(Exit::HostInterrupt);
            }
        }
        let keeper = (cpu == 0).then_some(&mut self.keeper);
        cpu_loop::round(self.host, &mut (), &mut self.homes[cpu], keeper);
        CPU.set(0);
    }

    /// Some turns of each CPU, enough for vCPUs to come, start, park and go.
    pub(crate) fn settle(&mut self) {
        for _ in 0..16 {
            self.turns();
        }
    }

    /// One turn of each CPU, in order.
    pub(crate) fn turns(&mut self) {
        for cpu in 0..self.homes.len() {
            self.turn(cpu);
        }
    }

    /// Time passes, and the CPUs go round twice: once to see what is due, once for who woke up.
    pub(crate) fn pass_ns(&mut self, ns: u64) {
        self.host.pass_ns(ns);
        self.turns();
        self.turns();
    }

    /// A vCPU of a VM, by both numbers.
    pub(crate) fn vcpu(&mut self, vm: usize, id: usize) -> &mut VirtualCpu<TestHost> {
        let vm = self.vm(vm).id();
        self.homes
            .iter_mut()
            .flat_map(Home::vcpus)
            .find(|vcpu| vcpu.vm.id() == vm && vcpu.id == id)
            .expect("the VM has so many vCPUs")
    }

    /// The first vCPU of the first VM.
    pub(crate) fn backend(&mut self) -> &mut TestVcpu {
        &mut self.vcpu(0, 0).backend
    }

    pub(crate) fn vm(&self, number: usize) -> Arc<Vm<TestHost>> {
        self.hypervisor.vms()[number].clone()
    }

    pub(crate) fn state(&self, vm: usize) -> VmState {
        self.vm(vm).lifecycle().state()
    }

    /// Lets the first vCPU of the first VM make these exits.
    pub(crate) fn run(&mut self, exits: impl IntoIterator<Item = Exit>) {
        self.run_on(0, 0, exits);
    }

    /// Lets a vCPU make these exits, until all are answered.
    pub(crate) fn run_on(&mut self, vm: usize, id: usize, exits: impl IntoIterator<Item = Exit>) {
        let backend = &mut self.vcpu(vm, id).backend;
        backend.exits.clear();
        backend.exits.extend(exits);
        backend.exits.push_back(Exit::HostInterrupt);
        for turns in 0..PATIENCE {
            let is_running = self.state(vm) == VmState::Running;
            let vcpu = self.vcpu(vm, id);
            let left = vcpu.backend.exits.len();
            if left == 0 || left == 1 && !(is_running && vcpu.activity == Activity::Running) {
                return;
            }
            // Others have their turn first?
            if turns > 2 {
                self.host.pass_ns(sched::SLICE_NS);
            }
            self.turns();
        }
        panic!("vCPU {id} of VM {vm} does not run");
    }

    /// OUT of a byte.
    pub(crate) fn out(&mut self, port: u16, value: u8) {
        self.run([out(port, value)]);
    }

    /// IN of a byte.
    pub(crate) fn input(&mut self, port: u16) -> u8 {
        self.run([input(port, Width::Byte)]);
        self.backend().gpr(x86::Gpr::Rax) as u8
    }

    /// WRMSR.
    pub(crate) fn write_msr(&mut self, index: u32, value: u64) {
        self.run([write_msr(index, value)]);
    }

    /// MOV [address], EAX.
    pub(crate) fn store(&mut self, address: u64, value: u32) {
        self.backend().set_gpr(x86::Gpr::Rdi, address);
        self.backend().set_gpr(x86::Gpr::Rax, value.into());
        self.run([touch(address, vcpu::Access::Write, &[0x89, 0x07])]);
    }

    /// MOV EAX, [address].
    pub(crate) fn load(&mut self, address: u64) -> u32 {
        self.backend().set_gpr(x86::Gpr::Rdi, address);
        self.run([touch(address, vcpu::Access::Read, &[0x8b, 0x07])]);
        self.backend().gpr(x86::Gpr::Rax) as u32
    }

    /// STI and CLI.
    pub(crate) fn set_interrupts(&mut self, vm: usize, id: usize, is_on: bool) {
        let flag = Rflags::INTERRUPT_FLAG.bits();
        let rflags = &mut self.vcpu(vm, id).backend.state.rflags;
        *rflags = if is_on {
            *rflags | flag
        } else {
            *rflags & !flag
        };
    }

    /// Takes what was delivered to a vCPU so far.
    pub(crate) fn delivered(&mut self, vm: usize, id: usize) -> Vec<vcpu::Event> {
        core::mem::take(&mut self.vcpu(vm, id).backend.delivered)
    }

    /// Types at the console and returns what is printed.
    pub(crate) fn operator(&mut self, text: &str) -> String {
        self.host.text();
        self.host.type_text(text);
        while !self.host.typed.lock().is_empty() {
            self.pass_ns(10_000_000);
        }
        self.host.text()
    }
}

fn len(bytes: u8) -> vcpu::InsnLen {
    vcpu::InsnLen::new(bytes).expect("a length")
}

pub(crate) fn out(port: u16, value: u8) -> Exit {
    out_wide(port, Width::Byte, value.into())
}

pub(crate) fn out_wide(port: u16, width: Width, value: u32) -> Exit {
    Exit::PioOut(vcpu::PioOut {
        port,
        width,
        value,
        len: len(1),
    })
}

pub(crate) fn input(port: u16, width: Width) -> Exit {
    Exit::PioIn(vcpu::PioIn {
        port,
        width,
        len: len(1),
    })
}

pub(crate) fn read_msr(index: u32) -> Exit {
    Exit::ReadMsr(vcpu::ReadMsr { index, len: len(2) })
}

pub(crate) fn write_msr(index: u32, value: u64) -> Exit {
    Exit::WriteMsr(vcpu::WriteMsr {
        index,
        value,
        len: len(2),
    })
}

pub(crate) fn cpuid(leaf: u32) -> Exit {
    Exit::Cpuid(vcpu::Cpuid {
        leaf,
        subleaf: 0,
        len: len(2),
    })
}

pub(crate) fn hlt() -> Exit {
    Exit::Halt(vcpu::Halt { len: len(1) })
}

/// An access to a device by the instruction with these bytes.
pub(crate) fn touch(address: u64, access: vcpu::Access, bytes: &[u8]) -> Exit {
    let mut insn = vcpu::InsnBytes {
        count: bytes.len() as u8,
        bytes: [0; 15],
    };
    insn.bytes[..bytes.len()].copy_from_slice(bytes);
    Exit::SlatFault(vcpu::SlatFault {
        insn,
        ..fault(address, access)
    })
}

pub(crate) fn fault(address: u64, access: vcpu::Access) -> vcpu::SlatFault {
    vcpu::SlatFault {
        gpa: addr::Gpa::new(address),
        access,
        gva: Some(addr::Gva::new(address)),
        is_table_walk: false,
        is_delivery: false,
        insn: vcpu::InsnBytes::default(),
    }
}
