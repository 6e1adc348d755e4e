//! fw_cfg tells of the machine, byte by byte and by copies to memory.
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::port::{in8, in32, out16, out32};
use test_guests::{Fail, Outcome, cpu, equal, guest, mmio, that};

guest!(test);

const SELECTOR: u16 = 0x510;
const DATA: u16 = 0x511;
const DMA_HIGH: u16 = 0x514;
const DMA_LOW: u16 = 0x518;

const ID: u16 = 1;
const RAM_SIZE: u16 = 3;
const NB_CPUS: u16 = 5;
const KERNEL_SIZE: u16 = 8;
const MAX_CPUS: u16 = 0xf;
const KERNEL_DATA: u16 = 0x11;
const FILE_DIR: u16 = 0x19;

const ERROR: u32 = 1;
const READ: u32 = 2;
const SKIP: u32 = 4;
const SELECT: u32 = 8;
const WRITE: u32 = 16;

/// Memory that is nobody's: the guest lies at 2 MiB and is small.
const DESCRIPTOR: u64 = 0x80_0000;
const BUFFER: u64 = 0x90_0000;
/// Where the guest's memory ends.
const MEMORY_END: u64 = 16 << 20;

fn test() -> Outcome {
    equal(
        "signature",
        number(0, 4),
        u32::from_le_bytes(*b"QEMU").into(),
    )?;
    equal("version", number(ID, 4), 3)?;
    equal("RAM", number(RAM_SIZE, 8), MEMORY_END)?;
    equal("CPUs", number(NB_CPUS, 2), 1)?;
    equal("most CPUs", number(MAX_CPUS, 2), 1)?;
    equal("an item that is not there", number(0x7ff, 4), 0)?;
    equal(
        "address register",
        in32(DMA_HIGH).into(),
        u32::from_le_bytes(*b"QEMU").into(),
    )?;
    equal(
        "address register",
        in32(DMA_LOW).into(),
        u32::from_le_bytes(*b" CFG").into(),
    )?;
    let (e820, len) = find_file(b"etc/e820\0")?;
    the_memory_map(e820, len)?;
    the_kernel()?;
    what_is_refused()?;
    equal(
        "signature afterwards",
        number(0, 4),
        u32::from_le_bytes(*b"QEMU").into(),
    )
}

fn select(key: u16) {
    out16(SELECTOR, key);
}

/// A little-endian number, byte by byte.
fn number(key: u16, bytes: u32) -> u64 {
    select(key);
    (0..bytes).fold(0, |value, at| value | u64::from(in8(DATA)) << (8 * at))
}

fn big_endian(bytes: u32) -> u64 {
    (0..bytes).fold(0, |value, _| value << 8 | u64::from(in8(DATA)))
}

/// A file's number and length, from the directory.
fn find_file(name: &[u8]) -> Result<(u16, u32), Fail> {
    select(FILE_DIR);
    let count = big_endian(4);
    that("an empty directory", (1..100).contains(&count))?;
    for _ in 0..count {
        let len = big_endian(4) as u32;
        let key = big_endian(2) as u16;
        let _reserved = big_endian(2);
        let mut is_it = true;
        for at in 0..56 {
            let byte = in8(DATA);
            is_it &= name.get(at).is_none_or(|wanted| *wanted == byte);
        }
        if is_it {
            return Ok((key, len));
        }
    }
    Err(Fail::new("no file etc/e820"))
}

/// Orders a copy; returns the control field when the device has written it.
fn order(control: u32, len: u32, to: u64) -> Result<u32, Fail> {
    mmio::write32(DESCRIPTOR, control.swap_bytes());
    mmio::write32(DESCRIPTOR + 4, len.swap_bytes());
    mmio::write64(DESCRIPTOR + 8, to.swap_bytes());
    out32(DMA_HIGH, 0);
    out32(DMA_LOW, (DESCRIPTOR as u32).swap_bytes());
    let is_done = || mmio::read32(DESCRIPTOR).swap_bytes() & !ERROR == 0;
    that("a copy does not end", cpu::poll(is_done))?;
    Ok(mmio::read32(DESCRIPTOR).swap_bytes())
}

const fn from(key: u16) -> u32 {
    (key as u32) << 16 | SELECT
}

fn the_memory_map(key: u16, len: u32) -> Outcome {
    equal("a whole number of regions", (len % 20).into(), 0)?;
    equal(
        "copy of etc/e820",
        order(from(key) | READ, len, BUFFER)?.into(),
        0,
    )?;
    select(key);
    for at in 0..u64::from(len) {
        equal(
            "by port and by copy",
            in8(DATA).into(),
            mmio::read8(BUFFER + at).into(),
        )?;
    }
    let mut usable = 0;
    for region in (0..u64::from(len)).step_by(20).map(|at| BUFFER + at) {
        if mmio::read32(region + 16) == 1 {
            usable += mmio::read64(region + 8);
        }
    }
    equal("usable memory", usable, (15 << 20) + 0x9_fc00)
}

/// The kernel is this guest's own file.
fn the_kernel() -> Outcome {
    let len = number(KERNEL_SIZE, 4) as u32;
    that("no kernel", (4096..1 << 20).contains(&len))?;
    // Longer than any piece, with zeros behind.
    let asked = len + 300_000;
    mmio::write8(BUFFER + u64::from(asked) - 1, 0xee);
    mmio::write8(BUFFER + u64::from(asked), 0xee);
    equal(
        "copy of the kernel",
        order(from(KERNEL_DATA) | READ, asked, BUFFER)?.into(),
        0,
    )?;
    equal(
        "its first bytes",
        mmio::read32(BUFFER).into(),
        u32::from_le_bytes(*b"\x7fELF").into(),
    )?;
    equal(
        "zeros behind it",
        mmio::read8(BUFFER + u64::from(asked) - 1).into(),
        0,
    )?;
    equal(
        "not one more",
        mmio::read8(BUFFER + u64::from(asked)).into(),
        0xee,
    )?;
    // In the middle, after a skip, and by port from there on.
    equal("skip", order(from(KERNEL_DATA) | SKIP, 1000, 0)?.into(), 0)?;
    equal(
        "copy behind it",
        order(READ, 8, BUFFER + (2 << 20))?.into(),
        0,
    )?;
    equal(
        "what was copied",
        mmio::read64(BUFFER + (2 << 20)),
        mmio::read64(BUFFER + 1000),
    )?;
    equal(
        "the next byte",
        in8(DATA).into(),
        mmio::read8(BUFFER + 1008).into(),
    )
}

fn what_is_refused() -> Outcome {
    equal(
        "writing",
        order(from(NB_CPUS) | WRITE, 2, BUFFER)?.into(),
        ERROR.into(),
    )?;
    equal("what was not written", number(NB_CPUS, 2), 1)?;
    for to in [MEMORY_END, MEMORY_END - 1, u64::MAX - 1, 0xfee0_0000] {
        let control = order(from(ID) | READ, 4, to)?;
        equal("a copy to where no memory is", control.into(), ERROR.into())?;
    }
    // A descriptor where no memory is: nobody could be told.
    out32(DMA_HIGH, u32::MAX);
    out32(DMA_LOW, u32::MAX);
    Ok(())
}
