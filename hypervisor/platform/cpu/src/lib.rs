//! One physical CPU: descriptor tables, exceptions, per-CPU data, privileged instructions.
//!
//! The hypervisor runs with interrupts off. A physical interrupt is taken in [`idle`], in
//! [`interrupt_window`] and in guest mode only; its stub sets one bit in the [`CpuArea`] of this CPU and
//! does nothing else. NMI and #MC handlers touch per-CPU atomics only. Every other exception is our own
//! mistake and panics with the registers kept for the epitaph.
//!
//! References: Intel SDM order number 325462-083, AMD APM vol. 2 order number 24593 rev. 3.42.
#![no_std]
#![expect(unsafe_code, reason = "privileged instructions and descriptor tables")]

mod area;
pub mod backtrace;
pub mod epitaph;
mod exceptions;
mod features;
mod instructions;
mod live;
pub mod msr;
mod ports;
mod probe;
mod setup;
mod stubs;
mod tables;
mod vector_state;

pub use area::{CpuArea, MAX_CPUS, area_of, area_ready, areas, this};
pub use exceptions::{ExceptionFrame, machine_check_arrived, nmi_arrived, park, park_on_nmi};
pub use features::{Cpuid, cpuid, cpuid_count, has_cpuid_leaf, has_extended_leaf, vendor_name};
pub use instructions::{
    disable_interrupts, halt, halt_forever, idle, interrupt_window, invalidate_page, pause,
    read_cr0, read_cr2, read_cr3, read_cr4, read_tsc, read_tsc_ordered, read_xcr0,
    write_back_invalidate, write_cr0, write_cr2, write_cr3, write_cr4,
};
pub use live::{LiveRegisters, LiveSlot, VendorRegisters};
pub use msr::{read_msr, write_msr};
pub use ports::IoPorts;
pub use probe::{try_read_msr, try_write_msr, try_write_xcr0};
pub use setup::{enable_host_features, switch_stack};
pub use tables::{IstStacks, Selectors, init_cpu, selectors};
pub use vector_state::{VectorState, host_xcr0, xsave_area_bytes};
