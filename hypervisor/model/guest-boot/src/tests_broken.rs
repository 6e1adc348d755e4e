//! Tests of what is said of a damaged image of each kind: the field and its offset.

use crate::test_images::{
    bzimage, elf, elf32, multiboot1, multiboot1_elf, multiboot2, put, put_words, pvh,
};
use crate::tests::{MIB, boot};
use crate::*;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

fn refusal(mut image: Vec<u8>, change: impl FnOnce(&mut Vec<u8>)) -> String {
    change(&mut image);
    plan(&boot(&image, None), &MemoryLayout::new(32 * MIB))
        .expect_err("a damaged kernel")
        .to_string()
}

#[test]
fn a_segment_past_the_end_names_its_program_header() {
    assert_eq!(
        refusal(elf(), |image| (image[0x61], image[0x69]) = (0x20, 0x40)),
        "program header 0 at offset 0x40: p_offset 0xf0 + p_filesz 0x2010 lies past the end of the file (256 bytes)"
    );
}

#[test]
fn every_kind_names_field_and_offset_when_it_is_cut_short() {
    let cut = |image: Vec<u8>, len_bytes: usize| refusal(image, |image| image.truncate(len_bytes));
    let cases = [
        (cut(bzimage(), 0x208), "loadflags at offset 0x211"),
        (cut(bzimage(), 0x400), "setup_sects at offset 0x1f1"),
        (
            cut(bzimage(), 0xc00),
            "syssize at offset 0x1f4: 0x100 lies past the end of the file: 5120 bytes needed, 3072 there",
        ),
        (
            cut(bzimage(), 0x13f0),
            "syssize at offset 0x1f4: 0x100 lies past the end",
        ),
        (cut(elf(), 0x20), "the ELF header at offset 0x0"),
        (
            cut(elf(), 0x60),
            "e_phoff at offset 0x20: 0x40 lies past the end",
        ),
        (cut(elf(), 0xf8), "program header 0 at offset 0x40"),
        (
            cut(elf32(), 0x50),
            "e_phoff at offset 0x1c: 0x34 lies past the end",
        ),
        (cut(elf32(), 0xf8), "program header 0 at offset 0x34"),
        (cut(pvh(), 0xf8), "program header 0 at offset 0x40"),
        (cut(multiboot1(), 0x30), "address fields at offset 0x30"),
        (cut(multiboot1(), 0x50), "load_end_addr at offset 0x34"),
        (
            cut(multiboot1_elf(), 0xfd),
            "program header 0 at offset 0x34",
        ),
        (
            cut(multiboot2(), 0x34),
            "the Multiboot2 header at offset 0x34",
        ),
    ];
    for (told, wanted) in cases {
        assert!(told.contains(wanted), "`{told}` should have `{wanted}`");
    }
}

#[test]
fn a_bzimage_may_lack_the_end_of_its_last_paragraph_and_have_more_behind() {
    for len_bytes in [0x13f1, 0x1400, 0x2000] {
        let mut image = bzimage();
        image.resize(len_bytes, 0);
        plan(&boot(&image, None), &MemoryLayout::new(32 * MIB)).expect("a whole kernel");
    }
}

#[test]
fn more_memory_is_advised_only_where_it_helps() {
    let told = |at: u64| {
        let at = at.to_le_bytes();
        refusal(elf(), |image| {
            put(image, 0x50, &at);
            put(image, 0x58, &at);
        })
    };
    for at in [0x9_fff0, 0xa_0000, 0xb_8000] {
        let told = told(at);
        assert!(
            told.ends_with("0xa0000 to 0xc0000 is the screen's"),
            "{told}"
        );
    }
    for at in [0x7fff_fff0, 0xfee0_0000, 0xffff_f000] {
        let told = told(at);
        assert!(
            told.ends_with("no guest has memory from 0x80000000 to 0x100000000"),
            "{told}"
        );
    }
    assert!(told(0x4000_0000).ends_with("give the guest more memory"));
}

#[test]
fn a_foreign_byte_order_is_told() {
    let told = refusal(elf(), |image| put(image, 5, &[2]));
    assert!(
        told.starts_with("EI_DATA at offset 0x5: 0x2 is not 1"),
        "{told}"
    );
}

#[test]
fn wrong_values_are_told_with_their_place() {
    let cases = [
        (
            refusal(pvh(), |image| put(image, 0xc8, &[5])),
            "n_descsz at offset 0xc8: 0x5 is neither 4 nor 8, or the descriptor lies past the segment",
        ),
        (
            refusal(bzimage(), |image| put(image, 0x258, &[1])),
            "pref_address at offset 0x258: 0x1000001 is no page's",
        ),
        (
            refusal(bzimage(), |image| put(image, 0x211, &[0])),
            "loadflags at offset 0x211: 0x0 lacks LOADED_HIGH: a zImage",
        ),
        (
            refusal(elf(), |image| put(image, 0x18, &[0, 0, 0])),
            "e_entry at offset 0x18: 0x0 lies in no loaded segment",
        ),
        (
            refusal(elf(), |image| put(image, 0x5a, &[0])),
            "p_paddr at offset 0x58: 0x0 lies among the boot parameters or wraps",
        ),
        (
            refusal(elf32(), |image| put(image, 0x10, &[3])),
            "e_type at offset 0x10: 0x3 is not ET_EXEC: link it statically, not PIE",
        ),
        (
            refusal(multiboot1(), |image| put_words(image, 0x3c, &[7])),
            "entry_addr at offset 0x3c: 0x7 lies in no loaded segment",
        ),
        (
            refusal(multiboot2(), |image| {
                put_words(
                    image,
                    0x24,
                    &[
                        4,
                        0x70,
                        0u32.wrapping_sub(0xe852_50d6u32.wrapping_add(0x74)),
                    ],
                )
            }),
            "architecture at offset 0x24: 0x4 is not 0, i386",
        ),
        (
            refusal(multiboot2(), |image| put_words(image, 0x50, &[3])),
            "entry_addr at offset 0x50: 0x3 lies in no loaded segment",
        ),
    ];
    for (told, wanted) in cases {
        assert_eq!(told, wanted);
    }
}

#[test]
fn too_many_texts_are_refused() {
    let text = "x".repeat(40_000);
    let module = Module {
        bytes: b"module",
        cmdline: &text,
    };
    for image in [multiboot1(), multiboot2(), pvh()] {
        let boot = Boot {
            modules: &[module, module],
            ..boot(&image, None)
        };
        let error = plan(&boot, &MemoryLayout::new(32 * MIB)).expect_err("80 KB of text");
        assert!(matches!(error, LoadError::CommandLineTooLong { .. }));
    }
}
