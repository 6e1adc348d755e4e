//! The firmware's console: text out, one key in. Firmware with a serial console shows all of it there too.

use core::fmt::{self, Write};
use core::time::Duration;

use uefi::data_types::CStr16;
use uefi::{boot, system, table};
use uefi_raw::table::system::SystemTable;

/// Prints a line on the firmware's console.
macro_rules! say {
    ($($arg:tt)*) => { $crate::console::print(core::format_args!("{}\n", core::format_args!($($arg)*))) };
}
pub(crate) use say;

/// Prints without a line end; a line that ends in `\r` is overwritten by the next.
pub(crate) fn print(text: fmt::Arguments<'_>) {
    // The console forgives everything: there is nobody to tell.
    let _ = Console.write_fmt(text);
}

/// Prompts for a key and waits until one is pressed. Where there is no keyboard, waits ten minutes.
pub(crate) fn wait_for_key() {
    say!("Press any key to return to the firmware.");
    if !has_input() {
        boot::stall(Duration::from_secs(600));
        return;
    }
    // Keys pressed before are about something else.
    system::with_stdin(|input| while let Ok(Some(_)) = input.read_key() {});
    loop {
        if let Ok(event) = system::with_stdin(|input| input.wait_for_key_event()) {
            let _ = boot::wait_for_event(&[event]);
        } else {
            boot::stall(Duration::from_millis(50));
        }
        if let Ok(Some(_)) = system::with_stdin(|input| input.read_key()) {
            return;
        }
    }
}

struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !has_output() {
            return Ok(());
        }
        let mut buffer = [0_u16; 128];
        let mut len = 0;
        for c in text.chars() {
            // A line end takes two places, and the last place is for the final zero.
            if len + 3 > buffer.len() {
                flush(&mut buffer, &mut len);
            }
            if c == '\n' {
                push(&mut buffer, &mut len, u16::from(b'\r'));
            }
            push(
                &mut buffer,
                &mut len,
                u16::try_from(u32::from(c)).unwrap_or(u16::from(b'?')),
            );
        }
        flush(&mut buffer, &mut len);
        Ok(())
    }
}

fn push(buffer: &mut [u16], len: &mut usize, unit: u16) {
    if let Some(place) = buffer.get_mut(*len) {
        // A zero would end the text for the firmware.
        *place = if unit == 0 { u16::from(b'?') } else { unit };
        *len += 1;
    }
}

fn flush(buffer: &mut [u16], len: &mut usize) {
    if let Some(end) = buffer.get_mut(*len) {
        *end = 0;
    }
    if let Ok(text) = CStr16::from_u16_until_nul(buffer) {
        let _ = system::with_stdout(|output| output.output_string_lossy(text));
    }
    *len = 0;
}

fn has_output() -> bool {
    firmware_table().is_some_and(|table| !table.stdout.is_null())
}

fn has_input() -> bool {
    firmware_table().is_some_and(|table| !table.stdin.is_null())
}

/// The system table while boot services are there; the firmware takes them out of it at their end.
fn firmware_table() -> Option<&'static SystemTable> {
    // SAFETY: the pointer is the one the firmware gave at entry; the table stays where it is, and only the firmware changes it, inside of
    // calls that we make.
    let table = unsafe { table::system_table_raw()?.as_ref() };
    (!table.boot_services.is_null()).then_some(table)
}

/// Our own mistakes: say so, wait, start over.
#[cfg(target_os = "uefi")]
#[panic_handler]
fn panicked(info: &core::panic::PanicInfo<'_>) -> ! {
    if firmware_table().is_some() {
        say!("\nerror in the loader itself: {info}");
        wait_for_key();
    }
    uefi::runtime::reset(uefi::runtime::ResetType::COLD, uefi::Status::ABORTED, None)
}
