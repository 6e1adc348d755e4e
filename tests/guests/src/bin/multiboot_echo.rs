//! Not a test by itself: a Multiboot 1 kernel that answers each line typed with `multiboot heard LINE`, and halts in between.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![cfg_attr(
    target_os = "none",
    expect(unsafe_code, reason = "the header is data that assembly places")
)]

use test_guests::protected::registers;
use test_guests::trap::{self, EndOfInterrupt};
use test_guests::{Outcome, apic, cpu, equal, guest, pic, println, serial};

// Flags: page-aligned modules, memory information, and the address fields.
#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".pushsection .boot_header, \"a\"",
    ".balign 8",
    "multiboot_header:",
    ".long 0x1badb002",
    ".long 0x10003",
    ".long -(0x1badb002 + 0x10003)",
    ".long multiboot_header, multiboot_header, __load_end, __bss_end, start_32",
    ".popsection",
);

guest!(test);

const LINE_BYTES: usize = 64;
const COM1_IRQ: u8 = 1 << 4;

fn test() -> Outcome {
    equal("EAX", registers().eax.into(), 0x2bad_b002)?;
    apic::enable();
    apic::accept_pic();
    trap::end_by(EndOfInterrupt::Pic);
    pic::init(COM1_IRQ);
    serial::interrupt_on_receive();
    println!("multiboot echo up");
    let mut line = [0u8; LINE_BYTES];
    let mut len = 0;
    loop {
        match serial::receive() {
            Some(b'\r' | b'\n') => {
                let text = core::str::from_utf8(&line[..len]).unwrap_or("?");
                println!("multiboot heard {text}");
                len = 0;
            }
            Some(byte) if len < LINE_BYTES => {
                line[len] = byte;
                len += 1;
            }
            Some(_) => {}
            None => cpu::sti_hlt_cli(),
        }
    }
}
