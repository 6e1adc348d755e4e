//! The 16-bit entry of a Linux bzImage: its setup code in a segment below 640 KiB, and its header filled in there.
//!
//! The setup code asks the BIOS for memory, screen and keyboard, and goes to 32 bits by itself. (Linux/x86 boot protocol, "The
//! Real-Mode Kernel Header", "Loading The Rest of The Kernel", "Running the Kernel")

use crate::error::LoadError;
use crate::low_memory::{CMDLINE, SETUP, SETUP_BYTES};
use crate::plan::Write;
use crate::real_mode::{self, Far};
use crate::setup_header::filled::{
    CAN_USE_HEAP, CMD_LINE_PTR, HEAP_END_PTR, LOADFLAGS, RAMDISK_IMAGE, RAMDISK_SIZE, SETUP_DATA,
    TYPE_OF_LOADER, VID_MODE,
};
use crate::setup_header::{SECTOR_BYTES, SETUP_SECTS, VERSION_SETUP_DATA, write_at};
use addr::GpaRange;
use vcpu::ArchState;

/// Where in the segment the heap ends, and the stack begins.
const HEAP_END: u64 = 0xe000;
/// The heap's end as the header has it: less so much.
const HEAP_END_BIAS: u64 = 0x200;
/// The least room between code and heap end.
const STACK_BYTES: u64 = 0x400;
/// The setup code is entered so many paragraphs above its segment.
const ENTRY_PARAGRAPHS: u16 = 0x20;

const LOADER_UNDEFINED: u8 = 0xff;
const VIDEO_NORMAL: u16 = 0xffff;

/// The setup code at its place, and the state it starts in.
pub(crate) fn setup<'a>(
    image: &[u8],
    version: u64,
    sectors: u64,
    initrd: Option<GpaRange>,
) -> Result<([Write<'a>; 2], ArchState), LoadError> {
    let len_bytes = (sectors + 1) * SECTOR_BYTES;
    if len_bytes + STACK_BYTES > HEAP_END {
        let problem = "sectors of setup code do not fit one segment with heap and stack";
        return Err(SETUP_SECTS.wrong(sectors, problem));
    }
    // The payload begins where the setup code ends: the file is long enough.
    let setup = image.get(..len_bytes as usize).unwrap_or(image);
    let mut setup = setup.to_vec();
    // The header ends below 0x270, and there is at least one sector of setup code.
    let mut put = |at: usize, bytes: &[u8]| write_at(&mut setup, at, bytes);
    put(VID_MODE, &VIDEO_NORMAL.to_le_bytes());
    put(TYPE_OF_LOADER, &[LOADER_UNDEFINED]);
    let flags = image.get(LOADFLAGS).copied().unwrap_or(0);
    put(LOADFLAGS, &[flags | CAN_USE_HEAP]);
    // All of it lies below 4 GiB.
    let (at, initrd_bytes) =
        initrd.map_or((0, 0), |range| (range.start().raw(), range.len_bytes()));
    put(RAMDISK_IMAGE, &(at as u32).to_le_bytes());
    put(RAMDISK_SIZE, &(initrd_bytes as u32).to_le_bytes());
    put(
        HEAP_END_PTR,
        &((HEAP_END - HEAP_END_BIAS) as u16).to_le_bytes(),
    );
    put(CMD_LINE_PTR, &(CMDLINE.raw() as u32).to_le_bytes());
    if version >= VERSION_SETUP_DATA {
        // What the file says here would be followed as pointers.
        put(SETUP_DATA, &0u64.to_le_bytes());
    }
    let segment = (SETUP.raw() >> 4) as u16;
    let entry = Far {
        segment: segment + ENTRY_PARAGRAPHS,
        offset: 0,
    };
    let writes = [Write::made(SETUP, setup), real_mode::write(entry)];
    Ok((writes, real_mode::start(segment, HEAP_END as u16)))
}

const _: () = assert!(HEAP_END <= SETUP_BYTES);
