//! What the test guests share: entry, descriptor tables, traps, the PC's interrupt controllers, and the verdict.
//!
//! A guest is started by the 64-bit entry (the `boot_…` ones by their own, see [`protected`]) with the first 4 GiB mapped to themselves, and is alone on its machine: no other
//! code, and one vCPU or as many as its `guest!` line says (the machine tests read it there). It tries one behaviour, prints `verdict NAME: pass` or `verdict NAME: fail WHY` on COM1, and
//! writes 0 or 1 to the exit port. The same binary runs on both vendors, in emulators and on metal.
#![no_std]
#![expect(
    unsafe_code,
    reason = "a bare-metal program: entry, descriptor tables, ports, faults on purpose"
)]

pub mod apic;
pub mod bench;
pub mod bios_calls;
pub mod cpu;
pub mod i8042;
pub mod ioapic;
pub mod mmio;
pub mod paging;
pub mod pci;
pub mod pic;
pub mod pit;
pub mod port;
pub mod protected;
pub mod real_mode;
pub mod serial;
pub mod smp;
pub mod start;
mod start_page;
pub mod tables;
pub mod trap;
pub mod verdict;

pub use trap::{Trap, catch};
pub use verdict::{Fail, Outcome, equal, that};

/// Takes a value that is read only for what reading does.
pub fn discard<T>(_: T) {}

/// Makes a function the test of this binary, which gives it its name.
#[macro_export]
macro_rules! guest {
    ($test:path) => {
        #[cfg(target_os = "none")]
        #[unsafe(no_mangle)]
        extern "C" fn test_main() -> ! {
            $crate::start::run(env!("CARGO_BIN_NAME"), $test)
        }

        /// On a PC there is nothing to run; the names keep their users.
        #[cfg(not(target_os = "none"))]
        fn main() {
            let _: fn() -> $crate::Outcome = $test;
        }
    };
    ($test:path, cpus = $cpus:literal) => {
        /// How many vCPUs the VM has.
        const CPUS: usize = $cpus;
        $crate::guest!($test);
    };
}
