//! The hypervisor image: entry, panic, choice of vendor. It knows everything and does nothing.
//!
//! The loader jumps to `_start`; [`machine::start`] prepares the machine and comes back to `main` here, which picks
//! VT-x or AMD-V and hands each CPU to the VMM.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![expect(
    unsafe_code,
    reason = "the entry point and the jump into the machine's start"
)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Display;

use handoff::BootInfo;
use host::{CpuId, Host};
use log::LevelFilter;
use machine::{BootFiles, Machine, Svm, Vendor, VendorKind, Vmx};
use operator::Operator;
use vm_spec::{Console, HostSpec, LogLevel};
use vmm::Module;

/// Where the loader jumps to: RDI holds the boot information, RSP the boot stack.
#[cfg(target_os = "none")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    // A zero frame pointer ends backtraces here.
    core::arch::naked_asm!("xor ebp, ebp", "jmp {start}", start = sym start)
}

/// The first Rust code.
extern "C" fn start(info: *const BootInfo) -> ! {
    // SAFETY: the loader's pointer, in the state its contract promises; nothing ran before.
    unsafe { machine::start(info, main_on_ready_machine) }
}

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    machine::last_words(info)
}

fn main_on_ready_machine(boot_files: BootFiles) -> ! {
    match machine::detect() {
        Ok(VendorKind::Vmx) => run::<Vmx>(boot_files),
        Ok(VendorKind::Svm) => run::<Svm>(boot_files),
        Err(refusal) => refuse(&refusal),
    }
}

/// Assembles the VMs and gives every CPU to them.
fn run<V: Vendor>(boot_files: BootFiles) -> ! {
    let (machine, boot_cpu) = match Machine::<V>::new() {
        Ok(pair) => pair,
        Err(refusal) => refuse(&refusal),
    };
    let config = match vm_spec::from_blob(&boot_files.config) {
        Ok(config) => config,
        Err(error) => panic!("the configuration the loader left cannot be read: {error}"),
    };
    if boot_files.is_default_config {
        log::warn!("no caisson.toml on the boot volume: the built-in configuration is used");
    }
    obey(&config.host);
    let modules: Vec<Module> = boot_files
        .files
        .into_iter()
        .map(|file| Module {
            name: String::leak(file.name),
            bytes: file.bytes,
        })
        .collect();
    let operator = operator::start(machine, &config, &modules);
    machine::set_log_sink(operator::print_message);
    log::info!("{}", memory::LogReport);
    machine.run(boot_cpu, operator, serve::<V>)
}

/// Does what the operator asked of the hypervisor itself.
fn obey(spec: &HostSpec) {
    log::set_max_level(match spec.log {
        LogLevel::Error => LevelFilter::Error,
        LogLevel::Warn => LevelFilter::Warn,
        LogLevel::Info => LevelFilter::Info,
        LogLevel::Debug => LevelFilter::Debug,
        LogLevel::Trace => LevelFilter::Trace,
    });
    machine::choose_consoles(
        spec.consoles.contains(&Console::Serial),
        spec.consoles.contains(&Console::Screen),
    );
}

/// Nothing can be done on this machine but to say why.
fn refuse(refusal: &dyn Display) -> ! {
    log::error!("{refusal}");
    cpu::halt_forever()
}

/// Runs the loop of one CPU; each CPU stays in it from now on.
fn serve<V: Vendor>(operator: &'static Operator<Machine<V>>, cpu: V::Cpu) -> ! {
    // Leaked: a CPU's own value lives as long as the machine, and its stack is not to be wound up.
    let cpu = Box::leak(Box::new(cpu));
    if operator.host().cpu_id(cpu) == CpuId(0) {
        operator
            .hypervisor()
            .run_cpu(cpu, Some(&mut operator.chores()))
    } else {
        operator.hypervisor().run_cpu(cpu, None)
    }
}

/// On a PC this crate is only checked, never run.
#[cfg(not(target_os = "none"))]
fn main() {
    let entry: extern "C" fn(*const BootInfo) -> ! = start;
    eprintln!("the image runs on the bare machine only ({entry:p}); see `cargo xtask run`");
}
