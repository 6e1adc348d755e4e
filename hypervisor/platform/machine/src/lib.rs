//! The physical machine: started, described, and offered to the VMM as its `Host`.
//!
//! [`start`] takes the machine from the loader's jump to the point where all CPUs run on stacks and tables of ours;
//! [`Machine`] then switches the vendor's extension on and sends each CPU to the VMM.
#![no_std]
#![expect(
    unsafe_code,
    reason = "start-up, device memory and hand-over between CPUs"
)]

mod acpi;
mod boot;
mod console;
mod cpus;
mod epitaph;
mod host;
mod logger;
mod power;
mod rtc;
mod trampoline;
mod tsc;
mod tsc_sync;
mod vendor;
mod vendor_svm;
mod vendor_vmx;

pub use boot::{BootFile, BootFiles, Main, start};
pub use console::{choose_consoles, write_all};
pub use epitaph::last_words;
pub use host::{Entry, Machine};
pub use logger::{Sink, set_log_sink};
pub use vendor::{NoExtension, Vendor, VendorKind, detect};
pub use vendor_svm::Svm;
pub use vendor_vmx::Vmx;
