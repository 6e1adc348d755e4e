//! Kernel images: whatever they say, what is planned lies in RAM, in pieces that do not overlap, and an error can be read.

use addr::{Gpa, GpaRange};
use guest_boot::{Boot, CallInsn, Entry, LoadError, MemoryLayout, Module, test_images};
use guest_memory::{GuestMemory, TestRam};
use proptest::prelude::*;

use crate::damage::{Damage, apply, damages};

const RAM_BYTES: u64 = 20 << 20;
/// Where the headers of the test images end, or nearly.
const HEADER_BYTES: usize = 0x280;

fn entries() -> impl Strategy<Value = Option<Entry>> {
    prop_oneof![
        3 => Just(None),
        1 => Just(Some(Entry::Real16)),
        1 => Just(Some(Entry::Protected32)),
        1 => Just(Some(Entry::Long64)),
    ]
}

/// What a kernel is started with beside its image.
#[derive(Clone, Debug)]
struct Rest {
    entry: Option<Entry>,
    load_address: Option<u64>,
    initrd: Vec<u8>,
    modules: usize,
    cmdline: String,
}

fn rests() -> impl Strategy<Value = Rest> {
    let address = prop_oneof![9 => Just(None), 1 => any::<u64>().prop_map(|at| Some(at >> 40))];
    let initrd = proptest::collection::vec(any::<u8>(), 0..100);
    (entries(), address, initrd, 0usize..4, ".{0,40}").prop_map(
        |(entry, load_address, initrd, modules, cmdline)| Rest {
            entry,
            load_address,
            initrd,
            modules,
            cmdline,
        },
    )
}

fn holds(image: &[u8], rest: &Rest) -> Result<(), TestCaseError> {
    let layout = MemoryLayout::new(RAM_BYTES);
    let module = Module {
        bytes: &rest.initrd,
        cmdline: &rest.cmdline,
    };
    let modules = vec![module; rest.modules];
    let boot = Boot {
        kernel: image,
        initrd: Some(&rest.initrd),
        modules: &modules,
        cmdline: &rest.cmdline,
        entry: rest.entry,
        load_address: rest.load_address,
        rsdp: guest_boot::TABLES.start(),
        call: CallInsn::Vmcall,
    };
    let plan = match guest_boot::plan(&boot, &layout) {
        Ok(plan) => plan,
        Err(error) => return readable(&error),
    };
    let ram = layout.ram();
    let mut ranges = Vec::new();
    for write in &plan.writes {
        let range = GpaRange::new(write.at, write.len_bytes());
        let range = range.ok_or_else(|| TestCaseError::fail("a write wraps"))?;
        let is_inside = |ram: &GpaRange| ram.start() <= range.start() && range.end() <= ram.end();
        prop_assert!(range.is_empty() || ram.iter().any(is_inside), "{range:?}");
        let is_free = |other: &GpaRange| range.is_empty() || !other.overlaps(&range);
        prop_assert!(ranges.iter().all(is_free), "{range:?} in {ranges:?}");
        ranges.push(range);
    }
    Ok(())
}

/// Errors of the file name a place in it, or before its end.
fn readable(error: &LoadError) -> Result<(), TestCaseError> {
    let text = error.to_string();
    prop_assert!(!text.is_empty() && !text.contains('\n'));
    if let LoadError::Field { name, .. } | LoadError::PastTheEnd { name, .. } = error {
        prop_assert!(text.starts_with(name), "{text}");
        prop_assert!(text.contains(" at offset 0x"), "{text}");
    }
    Ok(())
}

macro_rules! targets {
    ($($name:ident: $image:path;)*) => {
        proptest! {
            $(
                #[test]
                fn $name(damages in damages(), rest in rests()) {
                    let mut image = $image();
                    apply(&mut image, &damages, HEADER_BYTES);
                    holds(&image, &rest)?;
                }
            )*
        }
    };
}

targets! {
    bzimage: test_images::bzimage;
    bzimage_32: test_images::bzimage_32;
    elf64: test_images::elf;
    elf32: test_images::elf32;
    pvh: test_images::pvh;
    multiboot1: test_images::multiboot1;
    multiboot1_elf: test_images::multiboot1_elf;
    multiboot2: test_images::multiboot2;
}

proptest! {
    #[test]
    fn anything(image in proptest::collection::vec(any::<u8>(), 0..2000), rest in rests()) {
        holds(&image, &rest)?;
    }
}

#[test]
fn what_is_not_damaged_is_planned_and_applied() {
    let mut image = test_images::multiboot1();
    apply(
        &mut image,
        &[Damage::Insert(u16::MAX, Vec::new())],
        HEADER_BYTES,
    );
    let boot = Boot {
        kernel: &image,
        initrd: None,
        modules: &[],
        cmdline: "",
        entry: None,
        load_address: None,
        rsdp: guest_boot::TABLES.start(),
        call: CallInsn::Vmmcall,
    };
    let layout = MemoryLayout::new(RAM_BYTES);
    let plan = guest_boot::plan(&boot, &layout).expect("a good image");
    let ram = TestRam::new(RAM_BYTES as usize);
    plan.apply(&ram).expect("inside RAM");
    let mut header = [0; 4];
    ram.read(Gpa::new(0x20_0010), &mut header)
        .expect("inside RAM");
    assert_eq!(header, 0x1bad_b002u32.to_le_bytes());
}
