//! The hypervisor image: entry, panic, choice of vendor. It knows everything and does nothing.
//!
//! The loader jumps to `_start`; [`machine::start`] prepares the machine and comes back to `main` here, which picks
//! VT-x or AMD-V.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![expect(
    unsafe_code,
    reason = "the entry point and the jump into the machine's start"
)]

use core::fmt::Display;

use handoff::BootInfo;
use host::Host;
use machine::{Cargo, Machine, Svm, Vendor, VendorKind, Vmx};

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

fn main_on_ready_machine(cargo: Cargo) -> ! {
    match machine::detect() {
        Ok(VendorKind::Vmx) => run::<Vmx>(cargo),
        Ok(VendorKind::Svm) => run::<Svm>(cargo),
        Err(refusal) => refuse(&refusal),
    }
}

/// Switches the extension on everywhere; the VMs follow.
fn run<V: Vendor>(cargo: Cargo) -> ! {
    let (machine, boot_cpu) = match Machine::<V>::new() {
        Ok(pair) => pair,
        Err(refusal) => refuse(&refusal),
    };
    log::info!("{} files came along", cargo.files.len());
    machine.run(boot_cpu, machine, serve::<V>)
}

/// Nothing can be done on this machine but to say why.
fn refuse(refusal: &dyn Display) -> ! {
    log::error!("{refusal}");
    cpu::halt_forever()
}

/// What each CPU does from now on.
fn serve<V: Vendor>(machine: &'static Machine<V>, mut cpu: V::Cpu) -> ! {
    log::info!("{} is ready", machine.this_cpu());
    loop {
        machine.idle(&mut cpu);
        while machine.next_interrupt(&mut cpu).is_some() {}
    }
}

/// On a PC this crate is only checked, never run.
#[cfg(not(target_os = "none"))]
fn main() {
    let entry: extern "C" fn(*const BootInfo) -> ! = start;
    eprintln!("the image runs on the bare machine only ({entry:p}); see `cargo xtask run`");
}
