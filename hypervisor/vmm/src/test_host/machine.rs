//! A machine with its VMs, driven a turn of the loop at a time.

use crate::cpu::home::Home;
use crate::cpu::run as cpu_loop;
use crate::test_host::exits::{input, out, touch, write_msr};
use crate::test_host::host::{CPU, TestHost};
use crate::vcpu::VirtualCpu;
use crate::vm::Vm;
use crate::{Chores, Hypervisor, Module};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use board::VmState;
use board::{Cables, EventEnd, FarEnds, SerialEnd, TextEnd};
use chipset::GuestEvent;
use vcpu::{Activity, Exit, TestVcpu, Vcpu};
use vm_spec::{Config, VmSpec};
use x86::{Rflags, Width};

/// Rounds after which a test has gone wrong.
const PATIENCE: u32 = 1_000;

/// Where the test kernel lies and starts.
pub const KERNEL: u64 = 0x10_0000;

/// A VM with this name and number of vCPUs.
pub fn spec(name: &str, cpus: u32) -> VmSpec {
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

/// The VMs of a machine that was started, and what its first CPU does besides.
pub type Started = (&'static Hypervisor<TestHost>, Option<Box<dyn Chores>>);

/// Cables that end at the machine's own serial port, one byte like the other.
struct TestCables(&'static TestHost);

impl Cables for TestCables {
    fn connect(&self, _id: usize, _name: &str) -> FarEnds {
        let end = Arc::new(TestEnd(self.0));
        FarEnds {
            com1: end.clone(),
            debug_text: end.clone(),
            events: end,
        }
    }
}

struct TestEnd(&'static TestHost);

impl SerialEnd for TestEnd {
    fn put(&self, byte: u8) -> bool {
        self.0.printed.lock().push(byte);
        false
    }

    fn end(&self) {}
}

impl TextEnd for TestEnd {
    fn put(&self, byte: u8) {
        self.0.printed.lock().push(byte);
    }

    fn end(&self) {}
}

impl EventEnd for TestEnd {
    fn tell(&self, event: GuestEvent) {
        let text = std::format!("[{event:?}]");
        self.0.printed.lock().extend(text.bytes());
    }

    fn end(&self) {}
}

/// The machine.
pub struct TestMachine {
    /// Its hardware.
    pub host: &'static TestHost,
    /// Its VMs.
    pub hypervisor: &'static Hypervisor<TestHost>,
    homes: Vec<Home<TestHost>>,
    chores: Option<Box<dyn Chores>>,
}

impl Default for TestMachine {
    fn default() -> Self {
        Self::new()
    }
}

impl TestMachine {
    /// One CPU and one VM called "vm" with one vCPU.
    pub fn new() -> Self {
        Self::with(1, [spec("vm", 1)])
    }

    /// A machine with so many CPUs and these VMs, all of them at their kernels' entry.
    pub fn with<const VMS: usize>(cpus: u32, vms: [VmSpec; VMS]) -> Self {
        let config = Config {
            vms: vms.into(),
            ..Config::default()
        };
        Self::configured(cpus, &config)
    }

    /// A machine with so many CPUs and the VMs of `config`.
    pub fn configured(cpus: u32, config: &Config) -> Self {
        Self::started(cpus, |host, modules| {
            let cables: &'static TestCables = Box::leak(Box::new(TestCables(host)));
            (crate::start(host, config, modules, cables), None)
        })
    }

    /// A machine that `start` has started from these files, perhaps with chores for its first CPU.
    pub fn started(cpus: u32, start: impl FnOnce(&'static TestHost, &[Module]) -> Started) -> Self {
        CPU.set(0);
        let host: &'static TestHost = Box::leak(Box::new(TestHost::new(cpus)));
        let modules = [Module {
            name: "kernel",
            bytes: kernel(),
        }];
        let (hypervisor, chores) = start(host, &modules);
        let homes = hypervisor
            .inboxes
            .iter()
            .map(|inbox| Home::new(host, inbox))
            .collect();
        let mut test_machine = Self {
            host,
            hypervisor,
            homes,
            chores,
        };
        test_machine.settle();
        for _ in 0..PATIENCE {
            let vms = test_machine.hypervisor.vms();
            if vms.iter().all(|vm| vm.ram_work.is_done()) {
                break;
            }
            test_machine.turns();
        }
        test_machine.turns();
        test_machine
    }

    /// One turn of a CPU's loop. A vCPU whose exits are used up is interrupted.
    pub fn turn(&mut self, cpu: usize) {
        CPU.set(cpu as u32);
        for vcpu in self.homes[cpu].vcpus() {
            if vcpu.backend.exits.is_empty() {
                vcpu.backend.exits.push_back(Exit::HostInterrupt);
            }
        }
        let chores: Option<&mut dyn Chores> = match &mut self.chores {
            Some(chores) if cpu == 0 => Some(&mut **chores),
            Some(_) | None => None,
        };
        cpu_loop::round(self.host, &mut (), &mut self.homes[cpu], chores);
        CPU.set(0);
    }

    /// Some turns of each CPU, enough for vCPUs to come, start, park and go.
    pub fn settle(&mut self) {
        for _ in 0..16 {
            self.turns();
        }
    }

    /// One turn of each CPU, in order.
    pub fn turns(&mut self) {
        for cpu in 0..self.homes.len() {
            self.turn(cpu);
        }
    }

    /// Time passes, and the CPUs go round twice: once to see what is due, once for the vCPUs that
    /// woke up.
    pub fn pass_ns(&mut self, ns: u64) {
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
    pub fn backend(&mut self) -> &mut TestVcpu {
        &mut self.vcpu(0, 0).backend
    }

    /// Returns a VM by its place in the list.
    pub fn vm(&self, number: usize) -> Arc<Vm<TestHost>> {
        self.hypervisor.vms()[number].clone()
    }

    /// Returns the state of a VM, by its place in the list.
    pub fn state(&self, vm: usize) -> VmState {
        self.vm(vm).lifecycle().state()
    }

    /// Lets the first vCPU of the first VM make these exits.
    pub fn run(&mut self, exits: impl IntoIterator<Item = Exit>) {
        self.run_on(0, 0, exits);
    }

    /// Lets a vCPU make these exits, until all are answered.
    pub fn run_on(&mut self, vm: usize, id: usize, exits: impl IntoIterator<Item = Exit>) {
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
    pub fn out(&mut self, port: u16, value: u8) {
        self.run([out(port, value)]);
    }

    /// IN of a byte.
    pub fn input(&mut self, port: u16) -> u8 {
        self.run([input(port, Width::Byte)]);
        self.backend().gpr(x86::Gpr::Rax) as u8
    }

    /// WRMSR.
    pub fn write_msr(&mut self, index: u32, value: u64) {
        self.run([write_msr(index, value)]);
    }

    /// MOV [address], EAX.
    pub fn store(&mut self, address: u64, value: u32) {
        self.backend().set_gpr(x86::Gpr::Rdi, address);
        self.backend().set_gpr(x86::Gpr::Rax, value.into());
        self.run([touch(address, vcpu::Access::Write, &[0x89, 0x07])]);
    }

    /// MOV EAX, [address].
    pub fn load(&mut self, address: u64) -> u32 {
        self.backend().set_gpr(x86::Gpr::Rdi, address);
        self.run([touch(address, vcpu::Access::Read, &[0x8b, 0x07])]);
        self.backend().gpr(x86::Gpr::Rax) as u32
    }

    /// STI and CLI.
    pub fn set_interrupts(&mut self, vm: usize, id: usize, is_on: bool) {
        let flag = Rflags::INTERRUPT_FLAG.bits();
        let rflags = &mut self.vcpu(vm, id).backend.state.rflags;
        *rflags = if is_on {
            *rflags | flag
        } else {
            *rflags & !flag
        };
    }

    /// The first VM pauses, completely.
    pub fn pause(&mut self) {
        assert!(self.vm(0).pause());
        self.settle();
        // Others may have had their turn first.
        self.pass_ns(sched::SLICE_NS);
        assert_eq!(self.state(0), VmState::Paused);
    }

    /// Writes a redirection entry for vCPU 0, and masks the PIC pair.
    pub fn route(&mut self, pin: u32, entry: u32) {
        self.out(0x21, 0xff);
        self.out(0xa1, 0xff);
        self.store(0xfec0_0000, 0x11 + 2 * pin);
        self.store(0xfec0_0010, 0);
        self.store(0xfec0_0000, 0x10 + 2 * pin);
        self.store(0xfec0_0010, entry);
    }

    /// Takes what was delivered to a vCPU so far.
    pub fn delivered(&mut self, vm: usize, id: usize) -> Vec<vcpu::Event> {
        core::mem::take(&mut self.vcpu(vm, id).backend.delivered)
    }
}
