//! Where below the kernel the things lie that it is started with.

use crate::error::LoadError;
use addr::Gpa;
use alloc::vec::Vec;

/// The GDT.
pub(crate) const GDT: Gpa = Gpa::new(0x1000);
/// What a kernel's stack starts below, until it has its own.
pub(crate) const STACK_TOP: u64 = 0x7000;
/// What the kernel is told: Linux' zero page, or the structure another protocol has. One page.
pub(crate) const INFO: Gpa = Gpa::new(0x7000);
/// Page tables: one level 4, one level 3, four level 2.
pub(crate) const TABLES: Gpa = Gpa::new(0x9000);
pub(crate) const TABLES_END: u64 = 0xf000;
/// The command line.
pub(crate) const CMDLINE: Gpa = Gpa::new(0x2_0000);
/// Room for it, with its final zero.
pub(crate) const CMDLINE_BYTES: u64 = 0x1_0000;
/// First address behind all of the above; a kernel is not loaded below.
pub(crate) const END: Gpa = Gpa::new(CMDLINE.raw() + CMDLINE_BYTES);

const _: () = assert!(TABLES_END <= CMDLINE.raw() && INFO.raw() + 0x1000 <= TABLES.raw());

/// Selector of the flat code segment, of 64 or of 32 bits.
pub(crate) const CODE_SELECTOR: u16 = 0x10;
/// Selector of the flat data segment.
pub(crate) const DATA_SELECTOR: u16 = 0x18;

/// The command line with its final zero, unless it is longer than the kernel or the room for it allows.
pub(crate) fn cmdline(text: &str, kernel_takes_bytes: u64) -> Result<Vec<u8>, LoadError> {
    let max_bytes = kernel_takes_bytes.min(CMDLINE_BYTES - 1);
    let len_bytes = text.len() as u64;
    if len_bytes > max_bytes {
        return Err(LoadError::CommandLineTooLong {
            len_bytes,
            max_bytes,
        });
    }
    let mut bytes = Vec::with_capacity(text.len() + 1);
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
    Ok(bytes)
}
