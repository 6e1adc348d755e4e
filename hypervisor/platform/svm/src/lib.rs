//! AMD-V: vCPUs on CPUs with Secure Virtual Machine.
//!
//! Follows AMD APM vol. 2, order number 24593 revision 3.42; sections are those of chapter 15 unless a chapter is named.
//! The files mirror those of the Intel backend one by one.
//!
//! An exit travels `enter` → `decode` (→ `answer`) → [`vcpu::Exit`](::vcpu::Exit); its answer comes
//! back through the [`Vcpu`] methods in `vcpu.rs`. On that way nothing is allocated, no lock is
//! taken, and of the guest's state only what is asked for is touched.
//!
//! [`Vcpu`]: ::vcpu::Vcpu
#![no_std]
#![expect(unsafe_code, reason = "VMRUN, and memory shared with it")]

extern crate alloc;

mod answer;
mod asid;
mod bitmaps;
mod code;
mod consistency;
mod cpu;
mod decode;
mod describe;
mod enter;
mod event;
mod exit_code;
mod features;
mod hidden;
mod insn_len;
mod setup;
mod state;
mod switch;
mod tables;
mod vcpu;
mod vmcb;

pub use crate::cpu::{EnableError, SvmCpu};
pub use crate::features::{Features, is_offered};
pub use crate::tables::{NestedTables, new_tables};
pub use crate::vcpu::SvmVcpu;
