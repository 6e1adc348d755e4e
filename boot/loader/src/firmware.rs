//! Facts that only the firmware knows: tables, screen, processors.

use alloc::vec::Vec;

use handoff::{Framebuffer, PixelFormat};
use uefi::boot::{self, OpenProtocolAttributes, OpenProtocolParams, ScopedProtocol};
use uefi::proto::console::gop::{GraphicsOutput, PixelFormat as GopFormat};
use uefi::proto::pi::mp::MpServices;
use uefi::proto::{Protocol, ProtocolPointer};
use uefi::table::cfg::ConfigTableEntry;
use uefi::{system, table};

/// The physical address of the ACPI root pointer, the newer revision first; 0 where there is none.
pub(crate) fn rsdp() -> u64 {
    system::with_config_table(|entries| {
        let find = |guid| {
            entries
                .iter()
                .find(|entry| entry.guid == guid)
                .map(|entry| entry.address as u64)
        };
        find(ConfigTableEntry::ACPI2_GUID)
            .or_else(|| find(ConfigTableEntry::ACPI_GUID))
            .unwrap_or(0)
    })
}

/// The physical address of the table of runtime services; 0 where there is none.
pub(crate) fn runtime_services() -> u64 {
    // SAFETY: the table pointer is the one the firmware gave at entry, live while boot services are.
    table::system_table_raw().map_or(0, |table| unsafe { table.as_ref().runtime_services as u64 })
}

/// The screen as the firmware has set it up, if its pixels can be written directly.
pub(crate) fn framebuffer() -> Option<Framebuffer> {
    let mut screen = open::<GraphicsOutput>()?;
    let mode = screen.current_mode_info();
    let format = match mode.pixel_format() {
        GopFormat::Rgb => PixelFormat::Rgb,
        GopFormat::Bgr => PixelFormat::Bgr,
        GopFormat::Bitmask => {
            let masks = mode.pixel_bitmask()?;
            match (masks.red, masks.green, masks.blue) {
                (0xff, 0xff00, 0xff_0000) => PixelFormat::Rgb,
                (0xff_0000, 0xff00, 0xff) => PixelFormat::Bgr,
                _ => return None,
            }
        }
        GopFormat::BltOnly => return None,
    };
    let (width, height) = mode.resolution();
    let mut memory = screen.frame_buffer();
    let framebuffer = Framebuffer {
        base: memory.as_mut_ptr() as u64,
        len_bytes: memory.size() as u64,
        width: u32::try_from(width).ok()?,
        height: u32::try_from(height).ok()?,
        stride_pixels: u32::try_from(mode.stride()).ok()?,
        format,
    };
    handoff::RawFramebuffer::from(Some(framebuffer)).decode()
}

/// The local APIC ids of all CPUs that are enabled and healthy, this one first. Empty where the firmware has no MP services. (UEFI PI 1.8
/// vol. 2 13.4)
pub(crate) fn apic_ids() -> Vec<u32> {
    let Some(services) = open::<MpServices>() else {
        return Vec::new();
    };
    let Ok(count) = services.get_number_of_processors() else {
        return Vec::new();
    };
    let mut ids = Vec::new();
    for number in 0..count.total {
        let Ok(cpu) = services.get_processor_info(number) else {
            continue;
        };
        let Ok(id) = u32::try_from(cpu.processor_id) else {
            continue;
        };
        if cpu.is_bsp() {
            ids.insert(0, id);
        } else if cpu.is_enabled() && cpu.is_healthy() {
            ids.push(id);
        }
    }
    ids
}

/// Opens the first instance of a protocol without taking it from whoever uses it: the firmware's console does.
fn open<P: Protocol + ProtocolPointer>() -> Option<ScopedProtocol<P>> {
    let handle = boot::get_handle_for_protocol::<P>().ok()?;
    let params = OpenProtocolParams {
        handle,
        agent: boot::image_handle(),
        controller: None,
    };
    // SAFETY:
    // 1. The handle cannot go away: nothing is unloaded while we run, as we start and stop no driver.
    // 2. Others may use the protocol, but not at the same time: there is one CPU, and we only read its state.
    unsafe { boot::open_protocol::<P>(params, OpenProtocolAttributes::GetProtocol) }.ok()
}
