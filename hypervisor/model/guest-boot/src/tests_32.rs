//! Kernels with a 32-bit entry, good ones and damaged ones.

use crate::test_images::{
    bzimage_32, elf, elf32, multiboot1, multiboot1_elf, multiboot2, put, put_words, pvh,
};
use crate::tests::{MIB, RSDP, boot, read, survives_mutation};
use crate::*;
use addr::Gpa;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use guest_memory::{GuestMemory, TestRam};
use x86::{Cr0, Gpr, SegmentRegister};

const RAM_BYTES: u64 = 4 * MIB;
/// Where all these kernels' one segment goes, and what they have there.
const AT: u64 = 2 * MIB;
const ENTRY: u32 = AT as u32 + 8;
const INITRD: [u8; 100] = [7; 100];

/// Loads it; says how it starts and what RAM then holds.
fn start(image: &[u8], ram_bytes: u64) -> (vcpu::ArchState, TestRam) {
    let layout = MemoryLayout::new(ram_bytes);
    let plan = plan(&boot(image, Some(&INITRD)), &layout).expect("a good kernel");
    let ram = TestRam::new(ram_bytes as usize);
    ram.fill(Gpa::new(AT), 0x1000, 0xcc).expect("inside RAM");
    ram.write(RSDP, b"RSD PTR ").expect("inside RAM");
    plan.apply(&ram).expect("all writes inside RAM");
    (plan.start, ram)
}

fn word(ram: &TestRam, at: u64) -> u64 {
    u32::from_le_bytes(read(ram, at)).into()
}

fn refusal(mut image: Vec<u8>, change: impl FnOnce(&mut Vec<u8>)) -> String {
    change(&mut image);
    plan(&boot(&image, None), &MemoryLayout::new(RAM_BYTES))
        .expect_err("a damaged kernel")
        .to_string()
}

#[test]
fn kinds_are_told_apart() {
    let kinds = [
        (bzimage_32(), Kind::BzImage),
        (pvh(), Kind::Pvh),
        (multiboot2(), Kind::Multiboot2),
        (multiboot1(), Kind::Multiboot1),
        (multiboot1_elf(), Kind::Multiboot1),
        (elf(), Kind::Elf64),
        (elf32(), Kind::Elf32),
    ];
    for (image, kind) in kinds {
        assert_eq!(detect(&image), kind);
    }
}

#[test]
fn a_32_bit_entry_has_flat_segments_and_no_paging() {
    let (state, ram) = start(&elf32(), RAM_BYTES);
    assert_eq!(state.rip, u64::from(ENTRY));
    let modes = (Cr0::PROTECTED_MODE_ENABLE | Cr0::PAGING).bits();
    assert_eq!(state.cr0 & modes, Cr0::PROTECTED_MODE_ENABLE.bits());
    assert_eq!((state.efer, state.cr4), (0, 0));
    for segment in state.segment {
        assert_eq!((segment.base, segment.limit), (0, u32::MAX));
        assert!(segment.attributes.is_big() && !segment.attributes.is_long());
        // The GDT holds the same descriptor.
        let at = state.gdtr.base + u64::from(segment.selector);
        let descriptor = u64::from_le_bytes(read(&ram, at));
        let attributes = (descriptor >> 40 & 0xff) | (descriptor >> 44 & 0xf00);
        assert_eq!(attributes, u64::from(segment.attributes.0));
    }
    let code = state.segment[SegmentRegister::Cs as usize].attributes;
    assert_eq!(code.0 & 0xf, 0xb);
    assert_eq!(read::<16>(&ram, AT), [0xf4; 16]);
    assert_eq!(read::<17>(&ram, AT + 16)[15..], [0, 0xcc]);
    let cmdline = state.gpr[Gpr::Rdi.index()];
    assert_eq!(&read::<14>(&ram, cmdline), b"console=ttyS0\0");
}

#[test]
fn pvh_finds_its_start_info() {
    let (state, ram) = start(&pvh(), RAM_BYTES);
    assert_eq!(state.rip, u64::from(ENTRY));
    let info = state.gpr[Gpr::Rbx.index()];
    let head = [0, 4, 8, 12].map(|at| word(&ram, info + at));
    assert_eq!(head, [0x336e_c578, 1, 0, 1]);
    let long = |at: u64| u64::from_le_bytes(read(&ram, at));
    let module = long(info + 16);
    assert_eq!((long(module), long(module + 8)), (AT + 0x1000, 100));
    assert_eq!(read::<100>(&ram, AT + 0x1000), INITRD);
    assert_eq!(&read::<14>(&ram, long(info + 24)), b"console=ttyS0\0");
    assert_eq!(long(info + 32), RSDP.raw());
    let map = MemoryLayout::new(RAM_BYTES).map();
    assert_eq!(word(&ram, info + 48), map.len() as u64);
    for (number, region) in map.iter().enumerate() {
        let at = long(info + 40) + 24 * number as u64;
        let told = (long(at), long(at + 8), word(&ram, at + 16));
        let range = region.range;
        let meant = (range.start().raw(), range.len_bytes(), region.kind as u64);
        assert_eq!(told, meant);
    }
}

#[test]
fn multiboot_1_finds_its_information() {
    let (state, ram) = start(&multiboot1(), RAM_BYTES);
    assert_eq!(state.rip, u64::from(ENTRY));
    assert_eq!(state.gpr[Gpr::Rax.index()], 0x2bad_b002);
    // From 0x10 of the file on: the header lies 0x10 behind the load address.
    assert_eq!(word(&ram, AT + 0x10), 0x1bad_b002);
    assert_eq!(read::<1>(&ram, AT + 0x50), [0]);
    assert_eq!(read::<2>(&ram, AT + 0x7ff), [0, 0xcc]);
    let info = state.gpr[Gpr::Rbx.index()];
    let field = |at: u64| word(&ram, info + at);
    assert_eq!(field(0), 0x124d);
    assert_eq!((field(4), field(8)), (639, 3 * 1024));
    assert_eq!(&read::<14>(&ram, field(16)), b"console=ttyS0\0");
    assert_eq!(field(20), 1);
    let module = [0, 4].map(|at| word(&ram, field(24) + at));
    assert_eq!(module, [AT + 0x1000, AT + 0x1000 + 100]);
    assert_eq!(&read::<7>(&ram, word(&ram, field(24) + 8)), b"initrd\0");
    assert_eq!(field(44), 7 * 24);
    assert_eq!(word(&ram, field(48)), 20);
    assert_eq!(word(&ram, field(48) + 12), 0x9_fc00);
    assert_eq!(&read::<8>(&ram, field(64)), b"Caisson\0");
    assert_eq!((field(88), field(100), field(104)), (0xb_8000, 80, 25));
}

#[test]
fn several_modules_come_with_their_texts() {
    let modules = [(b"first".as_slice(), "one x=1"), (b"the second", "")];
    let modules = modules.map(|(bytes, cmdline)| Module { bytes, cmdline });
    for image in [multiboot1(), multiboot2(), pvh()] {
        let boot = Boot {
            modules: &modules,
            ..boot(&image, Some(&INITRD))
        };
        let plan = plan(&boot, &MemoryLayout::new(RAM_BYTES)).expect("a good kernel");
        let ram = TestRam::new(RAM_BYTES as usize);
        ram.write(RSDP, b"RSD PTR ").expect("inside RAM");
        plan.apply(&ram).expect("all writes inside RAM");
        let info = plan.start.gpr[Gpr::Rbx.index()];
        let long = |at: u64| u64::from_le_bytes(read(&ram, at));
        let found: Vec<(u64, u64, u64)> = match detect(&image) {
            Kind::Multiboot1 => {
                assert_eq!(word(&ram, info + 20), 3);
                let list = word(&ram, info + 24);
                let entries = (0..3).map(|number| list + 16 * number);
                let words = entries.map(|at| [0, 4, 8].map(|field| word(&ram, at + field)));
                words.map(|[start, end, text]| (start, end, text)).collect()
            }
            Kind::Multiboot2 => {
                let mut found = Vec::new();
                let mut at = info + 8;
                while at < info + word(&ram, info) {
                    if word(&ram, at) == 3 {
                        found.push((word(&ram, at + 8), word(&ram, at + 12), at + 16));
                    }
                    at += word(&ram, at + 4).next_multiple_of(8);
                }
                found
            }
            Kind::Pvh => {
                assert_eq!(word(&ram, info + 12), 3);
                let list = long(info + 16);
                let entries = (0..3).map(|number| list + 32 * number);
                let module = |at| (long(at), long(at) + long(at + 8), long(at + 16));
                entries.map(module).collect()
            }
            other @ (Kind::BzImage | Kind::Elf64 | Kind::Elf32 | Kind::Unknown) => {
                panic!("{other:?} has no modules")
            }
        };
        let wanted: [(&[u8], &[u8]); 3] = [
            (&INITRD, b"initrd\0"),
            (b"first", b"one x=1\0"),
            (b"the second", b"\0"),
        ];
        assert_eq!(found.len(), wanted.len());
        for ((start, end, text_at), (bytes, text)) in found.into_iter().zip(wanted) {
            assert_eq!((start % 0x1000, end - start), (0, bytes.len() as u64));
            for (at, byte) in (start..).zip(bytes).chain((text_at..).zip(text)) {
                assert_eq!(read::<1>(&ram, at), [*byte]);
            }
        }
    }
}

#[test]
fn multiboot_1_as_elf_is_entered_as_elf_says() {
    let (state, ram) = start(&multiboot1_elf(), RAM_BYTES);
    assert_eq!(state.rip, u64::from(ENTRY));
    let info = state.gpr[Gpr::Rbx.index()];
    assert_eq!(word(&ram, info), 0x24d);
    // A virtual entry is translated.
    let mut image = multiboot1_elf();
    put_words(&mut image, 0x18, &[0xc000_0004]);
    put_words(&mut image, 0x3c, &[0xc000_0000]);
    assert_eq!(start(&image, RAM_BYTES).0.rip, AT + 4);
}

#[test]
fn multiboot_2_finds_its_tags() {
    let (state, ram) = start(&multiboot2(), RAM_BYTES);
    assert_eq!(state.rip, u64::from(ENTRY));
    assert_eq!(state.gpr[Gpr::Rax.index()], 0x36d7_6289);
    let info = state.gpr[Gpr::Rbx.index()];
    let total = word(&ram, info);
    let mut kinds = Vec::new();
    let mut at = info + 8;
    while at < info + total {
        let kind = word(&ram, at);
        kinds.push(kind);
        match kind {
            1 => assert_eq!(&read::<14>(&ram, at + 8), b"console=ttyS0\0"),
            3 => assert_eq!(word(&ram, at + 8), AT + 0x1000),
            4 => assert_eq!(word(&ram, at + 12), 3 * 1024),
            6 => assert_eq!(word(&ram, at + 16 + 8), 0x9_fc00),
            15 => assert_eq!(&read::<8>(&ram, at + 8), b"RSD PTR "),
            _ => {}
        }
        at += word(&ram, at + 4).next_multiple_of(8);
    }
    assert_eq!(kinds, [1, 2, 3, 4, 6, 8, 15, 0]);
    assert_eq!(at, info + total);
}

#[test]
fn linux_without_a_64_bit_entry_starts_in_32_bits() {
    let (state, ram) = start(&bzimage_32(), 32 * MIB);
    assert_eq!(state.rip, 16 * MIB);
    assert_eq!(state.cr0 & Cr0::PAGING.bits(), 0);
    let page = state.gpr[Gpr::Rsi.index()];
    assert_eq!(&read::<4>(&ram, page + 0x202), b"HdrS");
    // Not to be moved: where it was linked to.
    let mut image = bzimage_32();
    put(&mut image, 0x234, &[0]);
    assert_eq!(start(&image, 32 * MIB).0.rip, MIB);
    // Of a time before preferred addresses, command line sizes and all.
    put(&mut image, 0x206, &[0x02]);
    assert_eq!(start(&image, 32 * MIB).0.rip, MIB);
}

#[test]
fn a_wrong_field_is_named_with_its_offset() {
    let told = refusal(pvh(), |image| image[0xd6] = 0x80);
    let wanted = "XEN_ELFNOTE_PHYS32_ENTRY at offset 0xd4: 0x800008 lies in no loaded segment";
    assert_eq!(told, wanted);
    let told = refusal(multiboot1(), |image| image[0x24] = 0x0f);
    assert!(
        told.starts_with("checksum at offset 0x28: ")
            && told.ends_with(" does not make the Multiboot header add up to zero"),
        "{told}"
    );
    let told = refusal(multiboot1(), |image| {
        put_words(
            image,
            0x24,
            &[0x1_0008, 0u32.wrapping_sub(0x1bad_b002 + 0x1_0008)],
        );
    });
    assert_eq!(
        told,
        "flags at offset 0x24: 0x10008 requires what is not known here (bits 3 to 15)"
    );
    let told = refusal(multiboot1(), |image| {
        put_words(image, 0x30, &[AT as u32 + 0x20])
    });
    assert_eq!(
        told,
        "load_addr at offset 0x30: 0x200020 is more than header_addr"
    );
    let told = refusal(multiboot1(), |image| {
        put_words(image, 0x34, &[AT as u32 + 0x1000])
    });
    assert_eq!(
        told,
        "load_end_addr at offset 0x34: 0x201000 lies past the end of the file: 4112 bytes needed, 96 there"
    );
    let told = refusal(multiboot2(), |image| image[0x58] = 77);
    assert_eq!(
        told,
        "type at offset 0x58: 0x4d is no tag known here, and not marked optional"
    );
    let told = refusal(multiboot2(), |image| image[0x4c] = 4);
    assert_eq!(told, "size at offset 0x4c: 0x4 is too small for the tag");
    let told = refusal(multiboot2(), |image| image[0x7c] = 99);
    assert_eq!(
        told,
        "mbi_tag_types at offset 0x7c: 0x63 is no kind of information known here"
    );
    let told = refusal(elf32(), |image| image[0x12] = 62);
    assert_eq!(
        told,
        "e_machine at offset 0x12: 0x3e is not EM_386, as in a 32-bit file"
    );
    let told = refusal(elf32(), |image| image[0x42] = 0x0f);
    assert_eq!(
        told,
        "p_paddr at offset 0x40: 0xf0000 lies on what is the firmware's, below 1 MiB"
    );
}

#[test]
fn hostile_kernels_are_refused_or_harmless() {
    survives_mutation(&pvh(), 0xe0);
    survives_mutation(&multiboot1(), 0x4c);
    survives_mutation(&multiboot1_elf(), 0xfc);
    survives_mutation(&multiboot2(), 0x90);
    survives_mutation(&elf32(), 0x54);
    survives_mutation(&bzimage_32(), 0x270);
}
