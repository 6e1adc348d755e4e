//! Intel VT-x: a physical CPU in VMX root operation, and the vCPU that runs in non-root operation.
//!
//! [`VmxCpu::enable`] switches VMX on; [`VmxVcpu`] fulfils the contract of
//! [`vcpu::Vcpu`](::vcpu::Vcpu). One exit, in order of files: `enter` (the switch of worlds) →
//! `decode` (exit reason → [`vcpu::Exit`](::vcpu::Exit)) → `answer` (what the backend answers by
//! itself) → `vcpu` (the contract) → `event` (what waits for the next entry).
//!
//! Follows Intel SDM revision 085; "25.6" and the like are sections of its volumes 3C and 3D.
#![no_std]
#![expect(unsafe_code, reason = "VMX instructions and the world switch")]

#[cfg(test)]
extern crate std;

mod answer;
mod bitmaps;
mod capabilities;
mod check;
pub mod controls;
mod cpu;
mod decode;
mod describe;
mod enter;
mod event;
mod features;
pub mod fields;
mod hidden;
mod host_state;
mod live;
mod msr;
mod priority;
pub mod qualification;
pub mod reason;
mod resident;
mod setup;
mod state;
mod vcpu;
mod vmcs;

pub use crate::capabilities::Unsupported;
pub use crate::controls::Controls;
pub use crate::cpu::{EnableError, VmxCpu};
pub use crate::features::Features;
pub use crate::vcpu::VmxVcpu;
