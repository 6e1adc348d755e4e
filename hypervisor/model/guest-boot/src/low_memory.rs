//! Where below the kernel the things lie that it is started with.
//!
//! | from | what |
//! |---|---|
//! | 0 | interrupt vectors and BIOS data area |
//! | 0x1000 | GDT |
//! | below 0x7000 | stack |
//! | 0x7000 | zero page, `hvm_start_info` or Multiboot information |
//! | 0x9000 | page tables |
//! | 0x10000 | Linux' setup code, for the 16-bit entry |
//! | 0x20000 | command line, list of modules and their texts; Multiboot 2's tags |

use crate::error::LoadError;
use crate::plan::Write;
use addr::Gpa;
use alloc::vec::Vec;

/// The GDT.
pub(crate) const GDT: Gpa = Gpa::new(0x1000);
/// Address that a kernel's stack starts below, until it has its own.
pub(crate) const STACK_TOP: u64 = 0x7000;
/// Information for the kernel: Linux' zero page, or the structure another protocol has. One page.
pub(crate) const INFO: Gpa = Gpa::new(0x7000);
/// Page tables: one level 4, one level 3, four level 2.
pub(crate) const TABLES: Gpa = Gpa::new(0x9000);
pub(crate) const TABLES_END: u64 = 0xf000;
/// Linux' setup code, with its heap and stack: one real-mode segment.
pub(crate) const SETUP: Gpa = Gpa::new(0x1_0000);
/// Its size.
pub(crate) const SETUP_BYTES: u64 = 0x1_0000;
/// The command line.
pub(crate) const CMDLINE: Gpa = Gpa::new(0x2_0000);
/// Room for it, with its final zero.
pub(crate) const CMDLINE_BYTES: u64 = 0x1_0000;
/// First address behind all of the above; a kernel is not loaded below.
pub(crate) const END: Gpa = Gpa::new(CMDLINE.raw() + CMDLINE_BYTES);

const _: () = assert!(TABLES_END <= SETUP.raw() && SETUP.raw() + SETUP_BYTES <= CMDLINE.raw());
const _: () = assert!(TABLES_END <= CMDLINE.raw() && INFO.raw() + 0x1000 <= TABLES.raw());

/// Selector of the flat code segment, of 64 or of 32 bits.
pub(crate) const CODE_SELECTOR: u16 = 0x10;
/// Selector of the flat data segment.
pub(crate) const DATA_SELECTOR: u16 = 0x18;

/// The command line with its final zero, unless it is longer than the kernel or the room for it allows.
pub(crate) fn cmdline(text: &str, kernel_takes_bytes: u64) -> Result<Vec<u8>, LoadError> {
    let mut texts = Texts::default();
    let len_bytes = text.len() as u64;
    if len_bytes > kernel_takes_bytes {
        return Err(LoadError::CommandLineTooLong {
            len_bytes,
            max_bytes: kernel_takes_bytes.min(CMDLINE_BYTES - 1),
        });
    }
    texts.add(text)?;
    Ok(texts.bytes)
}

/// Texts that gather from [`CMDLINE`] on: the command line first, then what is said of the modules.
#[derive(Default)]
pub(crate) struct Texts {
    bytes: Vec<u8>,
}

impl Texts {
    /// Adds a text and its final zero; returns where it lies.
    pub(crate) fn add(&mut self, text: &str) -> Result<u64, LoadError> {
        let at = self.bytes.len() as u64;
        let end = at.saturating_add(text.len() as u64);
        if end >= CMDLINE_BYTES {
            return Err(LoadError::CommandLineTooLong {
                len_bytes: end,
                max_bytes: CMDLINE_BYTES - 1,
            });
        }
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        Ok(CMDLINE.raw() + at)
    }

    /// Adds numbers, on a multiple of eight bytes; returns where they lie.
    pub(crate) fn add_table(&mut self, table: &[u8]) -> Result<u64, LoadError> {
        let at = (self.bytes.len() as u64).next_multiple_of(8);
        let end = at.saturating_add(table.len() as u64);
        if end > CMDLINE_BYTES {
            return Err(LoadError::CommandLineTooLong {
                len_bytes: end,
                max_bytes: CMDLINE_BYTES - 1,
            });
        }
        self.bytes.resize(at as usize, 0);
        self.bytes.extend_from_slice(table);
        Ok(CMDLINE.raw() + at)
    }

    /// All of it.
    pub(crate) fn into_write<'a>(self) -> Write<'a> {
        Write::made(CMDLINE, self.bytes)
    }
}
