//! `EFI/BOOT/BOOTX64.EFI`: reads the configuration, the hypervisor image and every file they name, then leaves the firmware and jumps.
//!
//! What it leaves behind, and the state of the CPU at the jump, is the contract in the crate `handoff`. Whatever is wrong is said before
//! boot services end, on the firmware's console, and waits for a key. Follows the UEFI specification 2.10.
//!
//! On other targets than UEFI this is an empty program, so that the workspace's checks can read all of it.
#![cfg_attr(target_os = "uefi", no_main, no_std)]
#![cfg_attr(
    not(target_os = "uefi"),
    allow(dead_code, reason = "only UEFI calls it")
)]
#![expect(
    unsafe_code,
    reason = "the loader talks to firmware, builds page tables and jumps"
)]

extern crate alloc;

mod config;
mod console;
mod cpu;
mod firmware;
mod image;
mod jump;
mod memory_map;
mod modules;
mod pages;
mod paging;
mod parcel;
mod stop;
mod virtualization;
mod volume;

use alloc::string::String;

use handoff::{BOOT_STACK_BASE, BOOT_STACK_LEN_BYTES, DIRECT_MAP_BASE, IMAGE_PATH, ImageSegment};
use uefi::Status;

use crate::console::say;
use crate::jump::Departure;
use crate::pages::Pages;
use crate::paging::{PAGE_BYTES, PageTables};
use crate::parcel::Parcel;
use crate::stop::Stop;
use crate::volume::{FileError, Volume};

#[cfg(target_os = "uefi")]
#[global_allocator]
static HEAP: uefi::allocator::Allocator = uefi::allocator::Allocator;

#[cfg(target_os = "uefi")]
#[uefi::entry]
fn main() -> Status {
    start()
}

#[cfg(not(target_os = "uefi"))]
fn main() {}

/// Everything from the firmware's call to the jump. Comes back only when something stands in the way, after saying what.
fn start() -> Status {
    // The firmware would reset the machine five minutes from now, in the middle of whatever runs then.
    let _ = uefi::boot::set_watchdog_timer(0, 0, None);
    match prepare() {
        Ok(departure) => jump::leave_and_jump(departure),
        Err(stop) => {
            say!("\n{stop}\n");
            console::wait_for_key();
            Status::ABORTED
        }
    }
}

/// All that needs the firmware: afterwards the image is in place on its page tables and nothing can fail any more.
fn prepare() -> Result<Departure, Stop> {
    say!("\nCaisson {} loader", env!("CARGO_PKG_VERSION"));
    cpu::say_what_runs_here();
    say!("  virtualization: {}", virtualization::check()?);
    cpu::check_paging()?;
    let apic_ids = firmware::apic_ids();
    match apic_ids.len() {
        0 => say!("  CPUs: the firmware does not say how many"),
        count => say!("  CPUs: {count}"),
    }
    say!("  memory: {} MiB", memory_map::ram_bytes()? >> 20);

    let mut volume = Volume::of_this_loader()?;
    let mut plan = config::read(&mut volume)?;
    let image_file = read_image(&mut volume)?;
    let (segments, entry) = image::place(image_file.bytes())?;
    image_file.free();
    let modules = modules::load(&mut volume, &mut plan);
    modules::check_memory(&mut plan, memory_map::usable_bytes()?);
    modules::say_what_starts(&plan);

    let framebuffer = firmware::framebuffer();
    let stack = Pages::zeroed(BOOT_STACK_LEN_BYTES)?;
    let direct_map_len_bytes = memory_map::direct_map_len_bytes(framebuffer)?;
    let tables = map_everything(direct_map_len_bytes, &segments, &stack)?;

    let mut parcel = Parcel::new()?;
    parcel.info.direct_map_len_bytes = direct_map_len_bytes;
    parcel.info.page_table_root = tables.root();
    parcel.info.rsdp = firmware::rsdp();
    parcel.info.runtime_services = firmware::runtime_services();
    parcel.info.screen = framebuffer.into();
    parcel.info.boot_stack = stack.range();
    parcel.info.boot_stack_virt = BOOT_STACK_BASE;
    parcel.info.jump_page = jump::code_pages();
    parcel.info.boot_volume = volume.identity()?;
    parcel.put_image_segments(&segments)?;
    parcel.put_apic_ids(&apic_ids)?;
    parcel.put_modules(&modules)?;
    parcel.put_config(&plan.config, plan.origin)?;
    Ok(Departure {
        page_table_root: tables.root(),
        stack_top: BOOT_STACK_BASE + BOOT_STACK_LEN_BYTES,
        entry,
        direct_map_base: DIRECT_MAP_BASE,
        parcel,
    })
}

fn read_image(volume: &mut Volume) -> Result<Pages, Stop> {
    volume.read_pages(IMAGE_PATH).map_err(|error| match error {
        FileError::Missing => Stop::new(
            alloc::format!("the hypervisor image {IMAGE_PATH} is missing on the boot volume"),
            "write the boot volume again: cargo xtask image",
        ),
        other => Stop::new(
            alloc::format!("the hypervisor image {IMAGE_PATH} {other}"),
            String::new(),
        ),
    })
}

/// Builds the page tables of the contract in `handoff`.
fn map_everything(
    direct_map_len_bytes: u64,
    segments: &[ImageSegment],
    stack: &Pages,
) -> Result<PageTables, Stop> {
    let mut tables = PageTables::new()?;
    tables.map_direct(direct_map_len_bytes, cpu::has_gib_pages())?;
    for segment in segments {
        tables.map(segment.virt, segment.range, segment.protection)?;
    }
    tables.map(
        BOOT_STACK_BASE,
        stack.range(),
        handoff::Protection::ReadWrite,
    )?;
    let code = jump::code_pages();
    for page in (0..code.len_bytes).step_by(PAGE_BYTES as usize) {
        let range = handoff::PhysRange::new(code.start + page, PAGE_BYTES);
        tables.map(range.start, range, handoff::Protection::ReadExecute)?;
    }
    Ok(tables)
}
