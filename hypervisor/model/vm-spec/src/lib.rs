//! `caisson.toml`: what the operator asked for, checked.
//!
//! [`parse`] reads the text; what is wrong with it is a [`SpecError`] with line, column, the line itself and what would be right. The loader
//! does this before it leaves the firmware, and hands the [`Config`] on as a blob ([`to_blob`], [`from_blob`]), so the hypervisor needs no
//! TOML parser. The keys:
//!
//! | `[host]` | values | if absent |
//! |---|---|---|
//! | `log` | `"error"` `"warn"` `"info"` `"debug"` `"trace"` | `"info"` |
//! | `console` | any of `"serial"`, `"screen"` | both |
//! | `shutdown-when-done` | switch the machine off when the last VM has ended | `false` |
//!
//! | `[[vm]]` | values | if absent |
//! |---|---|---|
//! | `name` | letters, digits, `-` and `_`, at most 32 | required |
//! | `cpus` | 1 to [`MAX_CPUS`] | 1 |
//! | `memory` | `"512M"`, `"1G"`, `"64K"` or bytes; at least 1 MiB, a multiple of 4 KiB | `"512M"` |
//! | `kernel` | path on the boot volume | required |
//! | `initrd` | path on the boot volume | none |
//! | `modules` | list of `"path text for it"`: further files for a Multiboot kernel | none |
//! | `cmdline` | text for the kernel | empty |
//! | `entry` | `"16"`, `"32"` or `"64"`: the mode a kernel with several entry points, or a flat binary, starts in | the kernel's best |
//! | `load-address` | where a flat binary lies and starts, below 4 GiB; wants `entry` | the kernel says so itself |
//! | `autostart` | start with the machine | `true` |
//! | `on-reboot` | `"restart"` or `"stop"` | `"restart"` |
//! | `on-crash` | `"restart"` or `"stop"` | `"stop"` |
//! | `exit-port` | a write to port 0xF4 ends the VM, the value is its code | `false` |
//! | `test-devices` | two PCI functions for tests of the hypervisor itself | `false` |
//! | `cpu-affinity` | numbers of the physical CPUs its vCPUs may use | any |
//! | `weight` | 1 to [`MAX_WEIGHT`]: the share of each of its vCPUs where others want the same CPU | 100 |
//! | `cap` | percent of one CPU that all its vCPUs together may use at most | none |
//! | `template` | no VM yet, but what `create` in the operator's shell makes VMs from | `false` |
//! | `console` | `"serial"` or `"screen"`: what the operator meets who attaches to it | `"serial"` |
//!
//! `firmware` and `[[vm.disk]]` are known and refused: this version has neither.
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm
)]

extern crate alloc;

mod blob;
mod config;
mod error;
mod nearest;
mod read;
#[cfg(test)]
mod robustness;
mod size;
mod table;
#[cfg(test)]
mod tests;

pub use blob::{BadBlob, from_blob, to_blob};
pub use config::{
    After, Config, Console, EntryMode, GuestConsole, HostSpec, LogLevel, ModuleSpec, Place, VmSpec,
};
pub use error::SpecError;
pub use table::is_name;

/// The longest name of a VM.
pub const MAX_NAME_BYTES: usize = 32;

/// The most vCPUs one VM may have.
pub const MAX_CPUS: u32 = 32;

/// The weight of a VM that names none.
pub const DEFAULT_WEIGHT: u32 = 100;

/// The largest weight.
pub const MAX_WEIGHT: u32 = 10_000;

/// The least memory a VM may have.
pub const MIN_MEMORY_BYTES: u64 = 1 << 20;

/// The most memory a VM may have: 1 TiB.
pub const MAX_MEMORY_BYTES: u64 = 1 << 40;

/// The most VMs in one configuration.
pub const MAX_VMS: usize = 64;

/// Reads a configuration.
///
/// # Errors
/// The first thing in the text, from top to bottom, that is wrong.
pub fn parse(text: &str) -> Result<Config, SpecError> {
    table::config(text)
}
