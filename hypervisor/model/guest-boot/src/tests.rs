//! Kernels with a 64-bit entry, good ones and damaged ones.

use crate::test_images::{bzimage, elf};
use crate::*;
use addr::{Gpa, GpaRange};
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use guest_memory::{GuestMemory, TestRam};
use x86::Gpr;

pub(crate) const RSDP: Gpa = Gpa::new(0xe_0000);
pub(crate) const MIB: u64 = 1 << 20;

pub(crate) fn boot<'a>(kernel: &'a [u8], initrd: Option<&'a [u8]>) -> Boot<'a> {
    Boot {
        kernel,
        initrd,
        modules: &[],
        cmdline: "console=ttyS0",
        entry: None,
        load_address: None,
        rsdp: RSDP,
        call: CallInsn::Vmcall,
    }
}

pub(crate) fn read<const N: usize>(ram: &TestRam, at: u64) -> [u8; N] {
    let mut bytes = [0; N];
    ram.read(Gpa::new(at), &mut bytes).expect("inside RAM");
    bytes
}

#[test]
fn linux_finds_its_parameters() {
    let image = bzimage();
    let initrd = [7; 5000];
    let layout = MemoryLayout::new(32 * MIB);
    let plan = plan(&boot(&image, Some(&initrd)), &layout).expect("a good kernel");
    let ram = TestRam::new(32 << 20);
    plan.apply(&ram).expect("all writes inside RAM");

    assert_eq!(plan.start.rip, 16 * MIB + 0x200);
    let page = plan.start.gpr[Gpr::Rsi.index()];
    assert_eq!(&read::<4>(&ram, page + 0x202), b"HdrS");
    assert_eq!(read::<1>(&ram, page + 0x210), [0xff]);
    assert_eq!(u64::from_le_bytes(read(&ram, page + 0x70)), RSDP.raw());
    let cmdline = u64::from(u32::from_le_bytes(read(&ram, page + 0x228)));
    assert_eq!(&read::<14>(&ram, cmdline), b"console=ttyS0\0");
    let ramdisk = u64::from(u32::from_le_bytes(read(&ram, page + 0x218)));
    assert_eq!(ramdisk, 32 * MIB - 8192);
    assert_eq!(u32::from_le_bytes(read(&ram, page + 0x21c)), 5000);
    assert_eq!(read::<5000>(&ram, ramdisk), initrd);
    assert_eq!(read::<4>(&ram, 16 * MIB), [0x90; 4]);
    assert_eq!(read::<1>(&ram, page + 0x1e8), [7]);
    assert_eq!(u64::from_le_bytes(read(&ram, page + 0x2d8)), 0x9_fc00);
}

#[test]
fn an_elf_goes_to_its_physical_addresses() {
    let image = elf();
    let plan = plan(&boot(&image, None), &MemoryLayout::new(4 * MIB)).expect("a good kernel");
    let ram = TestRam::new(4 << 20);
    ram.fill(Gpa::new(2 * MIB), 64, 0xcc).expect("inside RAM");
    plan.apply(&ram).expect("all writes inside RAM");
    assert_eq!(plan.start.rip, 2 * MIB + 4);
    assert_eq!(read::<16>(&ram, 2 * MIB), [0xf4; 16]);
    assert_eq!(
        read::<17>(&ram, 2 * MIB + 16),
        core::array::from_fn(|at| if at < 16 { 0 } else { 0xcc })
    );
    assert_eq!(
        &read::<14>(&ram, plan.start.gpr[Gpr::Rdi.index()]),
        b"console=ttyS0\0"
    );
}

#[test]
fn what_is_no_kernel_is_told_so() {
    let error =
        plan(&boot(b"#!/bin/sh\n", None), &MemoryLayout::new(32 * MIB)).expect_err("a script");
    assert_eq!(
        error.to_string(),
        "not a kernel that can be started: neither a Linux bzImage nor an ELF file nor one with a Multiboot header (10 bytes, beginning 23 21 2f 62); a flat binary needs load-address and entry"
    );
    assert!(plan(&boot(b"", None), &MemoryLayout::new(32 * MIB)).is_err());
}

#[test]
fn a_wrong_field_is_named_with_its_offset() {
    let layout = MemoryLayout::new(32 * MIB);
    let told = |change: fn(&mut Vec<u8>)| {
        let mut image = bzimage();
        change(&mut image);
        plan(&boot(&image, None), &layout)
            .expect_err("a damaged kernel")
            .to_string()
    };
    assert_eq!(
        told(|image| image[0x236] = 0),
        "code32_start at offset 0x214: 0x0 lies outside the kernel, which counts from 1 MiB"
    );
    assert_eq!(
        told(|image| image[0x1f1] = 200),
        "setup_sects at offset 0x1f1: 0xc8 sectors of setup code leave no kernel in the file"
    );
    assert_eq!(
        told(|image| image[0x206] = 0x01),
        "version at offset 0x206: 0x201 is older than 0x202 (Linux 2.4)"
    );
}

#[test]
fn a_kernel_larger_than_memory_says_what_it_needs() {
    let error = plan(&boot(&bzimage(), None), &MemoryLayout::new(16 * MIB)).expect_err("too small");
    assert_eq!(
        error.to_string(),
        "the kernel (init_size) at offset 0x260 takes 0x100000 bytes at 0x1000000, but the guest's memory there ends at \
         0x1000000: give the guest more memory"
    );
    let initrd = vec![0; 16 << 20];
    let error = plan(
        &boot(&bzimage(), Some(&initrd)),
        &MemoryLayout::new(32 * MIB),
    )
    .expect_err("too small");
    assert!(matches!(error, LoadError::NoRoom { .. }), "{error}");
}

#[test]
fn a_long_command_line_is_refused() {
    let text = "x".repeat(0x800);
    let image = bzimage();
    let boot = Boot {
        cmdline: &text,
        ..boot(&image, None)
    };
    assert_eq!(
        plan(&boot, &MemoryLayout::new(32 * MIB)),
        Err(LoadError::CommandLineTooLong {
            len_bytes: 0x800,
            max_bytes: 0x7ff
        })
    );
}

/// Whatever the image says, nothing panics, and what is planned lies in RAM and does not overlap.
pub(crate) fn survives_mutation(good: &[u8], header_bytes: usize) {
    survives_mutation_with(good, header_bytes, |_| ());
}

/// The same with more in what it is started with.
pub(crate) fn survives_mutation_with(
    good: &[u8],
    header_bytes: usize,
    change: impl Fn(&mut Boot<'_>),
) {
    let layout = MemoryLayout::new(20 * MIB);
    let ram = layout.ram();
    let initrd = [1; 100];
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut planned = 0;
    for _ in 0..4_000 {
        let mut image = good.to_vec();
        for _ in 0..=next() % 3 {
            let at = (next() % header_bytes as u64) as usize;
            image[at] = [0, 0xff, 0x80, next() as u8, image[at] ^ 1][(next() % 5) as usize];
        }
        if next() % 8 == 0 {
            image.truncate((next() % (good.len() as u64 + 1)) as usize);
        }
        let mut boot = boot(&image, Some(&initrd));
        change(&mut boot);
        let Ok(plan) = plan(&boot, &layout) else {
            continue;
        };
        planned += 1;
        let ranges: Vec<GpaRange> = plan
            .writes
            .iter()
            .map(|w| GpaRange::new(w.at, w.len_bytes()).expect("does not wrap"))
            .collect();
        for (number, range) in ranges.iter().enumerate() {
            assert!(
                ram.iter()
                    .any(|r| r.start() <= range.start() && range.end() <= r.end()),
                "{range:?}"
            );
            assert!(
                ranges[..number]
                    .iter()
                    .all(|other| range.is_empty() || !other.overlaps(range)),
                "{ranges:?}"
            );
        }
    }
    assert!(
        planned > 50,
        "only {planned} of the mutated images were good"
    );
}

#[test]
fn a_hostile_bzimage_is_refused_or_harmless() {
    // The fields lie from 0x1f1 on: most mutations should hit them.
    survives_mutation(&bzimage(), 0x270);
}

#[test]
fn a_hostile_elf_is_refused_or_harmless() {
    survives_mutation(&elf(), 0x78);
}
