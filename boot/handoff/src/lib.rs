//! The hand-off from the loader to the hypervisor image: [`BootInfo`], and the contract of the jump
//! between the two.
//!
//! # The contract
//!
//! **The image** is a static, non-relocatable ELF64 for x86-64, linked at [`IMAGE_BASE`] and up, within the top 512 MiB of the address space.
//! Its `PT_LOAD` segments start at page-aligned addresses and share no page; their flags are R, RX or RW, never both W and X.
//!
//! **When its entry point runs**
//!
//! - One CPU runs, in 64-bit mode at privilege level 0. Interrupts are off (`IF` clear), the direction flag is clear, and UEFI boot services
//!   have been left. Other CPUs are where the firmware left them: wake them by INIT-SIPI.
//! - `CR3` holds [`BootInfo::page_table_root`]: page tables made by the loader, four levels, `CR0.WP` and `EFER.NXE` on, in memory of kind
//!   [`RegionKind::Loader`]. They map
//!   - the direct map: physical 0 to [`BootInfo::direct_map_len_bytes`] at [`DIRECT_MAP_BASE`], readable, writable, not executable, write-back
//!     under the firmware's MTRRs, in 1 GiB pages where the CPU has them and 2 MiB pages where not. It covers at least 4 GiB, all memory of
//!     the map, and the framebuffer; device memory above that is for the image to map;
//!   - the image in 4 KiB pages: R as read-only and not executable, RX as read-only and executable, RW as writable and not executable;
//!   - the boot stack of [`BOOT_STACK_LEN_BYTES`] at [`BOOT_STACK_BASE`], with nothing mapped in the page below it or the page above it;
//!   - the page (or two) of the loader's code where the jump was made, at its physical address: [`BootInfo::jump_page`]. The image may drop it:
//!     the lower half has nothing else, and the page is of kind [`RegionKind::Usable`].
//! - `RDI` holds the direct-map address of [`BootInfo`]; `RSP` is the top of the boot stack less 8, as after a call in the System V ABI. There
//!   is no return address to return to.
//! - GDT, IDT and TR are still the firmware's and are *not* mapped: the image loads its own before the first fault, segment load or NMI.
//!   `CS` is a 64-bit code segment of the firmware's choosing; `CR4.LA57` is clear; other bits of `CR0` and `CR4`, and the PAT, are as the
//!   firmware left them.
//!
//! **Memory** of kind [`RegionKind::Usable`] is free from the first instruction of the image on; the loader's own code and the firmware's boot
//! services are in it. [`RegionKind::Loader`] holds the image, its page tables, stack, modules, configuration and this structure: in use
//! until the image says otherwise.
//!
//! # Reading it
//!
//! Everything is named by physical address and length. This crate turns no address into a reference: its accessors ask the platform for the
//! bytes of a [`PhysRange`] through a closure, and decode them by value. No bit pattern of any of it is undefined behaviour, a bad one
//! is a [`HandoffError`].
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm
)]

mod error;
mod framebuffer;
mod info;
mod module;
mod range;
mod read;
mod region;
mod segment;
mod volume;

pub use error::HandoffError;
pub use framebuffer::{Framebuffer, PixelFormat, RawFramebuffer};
pub use info::{BootInfo, ConfigOrigin, MAGIC, VERSION};
pub use module::{Module, ModuleRecord};
pub use range::{PhysRange, Table};
pub use region::{MemoryRegion, RegionKind};
pub use segment::{ImageSegment, Protection};
pub use volume::BootVolume;

/// The virtual address where physical address 0 is mapped.
pub const DIRECT_MAP_BASE: u64 = 0xffff_8000_0000_0000;

/// The lowest virtual address of the image.
pub const IMAGE_BASE: u64 = 0xffff_ffff_8020_0000;

/// The lowest mapped virtual address of the boot stack; the page below is its guard.
pub const BOOT_STACK_BASE: u64 = 0xffff_ffff_a000_0000;

/// The size of the boot stack.
pub const BOOT_STACK_LEN_BYTES: u64 = 64 * 1024;

/// Where the image lies on the boot volume.
pub const IMAGE_PATH: &str = "caisson/caisson.elf";

/// Where the configuration lies on the boot volume.
pub const CONFIG_PATH: &str = "caisson.toml";

const _: () = assert!(IMAGE_BASE < BOOT_STACK_BASE && BOOT_STACK_BASE.is_multiple_of(4096));
