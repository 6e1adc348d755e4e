//! Linux' boot parameters, the "zero page". (Linux/x86 boot protocol; zero-page table)

use crate::layout::MemoryLayout;
use addr::{Gpa, GpaRange};
use alloc::vec;
use alloc::vec::Vec;

const LEN_BYTES: usize = 4096;
const ACPI_RSDP_ADDR: usize = 0x070;
const E820_ENTRIES: usize = 0x1e8;
/// Where the setup header starts, in the file as in the zero page.
pub(crate) const SETUP_HEADER: usize = 0x1f1;
/// Where the room for it ends in the zero page.
pub(crate) const SETUP_HEADER_ROOM_END: usize = 0x290;
const VID_MODE: usize = 0x1fa;
const TYPE_OF_LOADER: usize = 0x210;
const RAMDISK_IMAGE: usize = 0x218;
const RAMDISK_SIZE: usize = 0x21c;
const CMD_LINE_PTR: usize = 0x228;
const SETUP_DATA: usize = 0x250;
const E820_TABLE: usize = 0x2d0;
const E820_ENTRY_BYTES: usize = 20;

/// A loader without a number of its own.
const LOADER_UNDEFINED: u8 = 0xff;
/// "normal": whatever mode the screen is in.
const VIDEO_NORMAL: u16 = 0xffff;

/// `screen_info`, as a BIOS would have answered in text mode 3: (offset, value). (linux/screen_info.h)
const TEXT_MODE: [(usize, u8); 6] = [
    (0x06, 3),  // orig_video_mode
    (0x07, 80), // orig_video_cols
    (0x0a, 3),  // orig_video_ega_bx: 256 KiB
    (0x0e, 25), // orig_video_lines
    (0x0f, 1),  // orig_video_isVGA
    (0x10, 16), // orig_video_points
];

/// The boot parameters under construction. Offsets are constants of this file, all inside the page.
pub(crate) struct ZeroPage {
    bytes: Vec<u8>,
}

impl ZeroPage {
    /// Boot parameters with the kernel's own setup header, which lies at [`SETUP_HEADER`] and is cut to its room.
    pub(crate) fn new(setup_header: &[u8]) -> Self {
        let mut page = Self {
            bytes: vec![0; LEN_BYTES],
        };
        let room = SETUP_HEADER_ROOM_END - SETUP_HEADER;
        page.put(
            SETUP_HEADER,
            setup_header.get(..room).unwrap_or(setup_header),
        );
        page.put(TYPE_OF_LOADER, &[LOADER_UNDEFINED]);
        page.put(VID_MODE, &VIDEO_NORMAL.to_le_bytes());
        // What the file says here would be followed as pointers.
        page.put(SETUP_DATA, &0u64.to_le_bytes());
        page.set_initrd(None);
        for (at, value) in TEXT_MODE {
            page.put(at, &[value]);
        }
        page
    }

    pub(crate) fn set_cmdline(&mut self, at: Gpa) {
        self.put(CMD_LINE_PTR, &(at.raw() as u32).to_le_bytes());
    }

    /// The RAM disk lies below 4 GiB.
    pub(crate) fn set_initrd(&mut self, range: Option<GpaRange>) {
        let (at, len_bytes) =
            range.map_or((0, 0), |range| (range.start().raw(), range.len_bytes()));
        self.put(RAMDISK_IMAGE, &(at as u32).to_le_bytes());
        self.put(RAMDISK_SIZE, &(len_bytes as u32).to_le_bytes());
    }

    pub(crate) fn set_rsdp(&mut self, at: Gpa) {
        self.put(ACPI_RSDP_ADDR, &at.raw().to_le_bytes());
    }

    pub(crate) fn set_memory_map(&mut self, layout: &MemoryLayout) {
        let map = layout.map();
        self.put(E820_ENTRIES, &[map.len() as u8]);
        for (number, region) in map.iter().enumerate() {
            let at = E820_TABLE + number * E820_ENTRY_BYTES;
            self.put(at, &region.range.start().raw().to_le_bytes());
            self.put(at + 8, &region.range.len_bytes().to_le_bytes());
            self.put(at + 16, &(region.kind as u32).to_le_bytes());
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    }
}
