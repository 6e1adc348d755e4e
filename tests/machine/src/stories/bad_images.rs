//! One damaged image of each kind in one boot: each VM's error names field and offset, and a good VM runs beside them.

use anyhow::{Context, Result, ensure};

use crate::beds::{Bed, Shape};
use crate::boot::{Boot, StoryRun};
use crate::config::{self, Vm};
use crate::forms::Form;

/// The guest that runs.
const GOOD: &str = "cpuid";
const OTHERS_RUN: &str = "images/others-run";

/// A damaged image.
struct Case {
    /// Of the VM, and behind `images/` of the test.
    name: &'static str,
    program: &'static str,
    form: Form,
    lines: &'static [&'static str],
    /// Damages the image; returns what the hypervisor must say of it.
    damage: fn(&mut Vec<u8>) -> Option<String>,
}

const CASES: [Case; 9] = [
    Case {
        name: "bzimage",
        program: "boot_linux",
        form: Form::Linux,
        lines: &[],
        damage: |image| {
            *image.get_mut(0x1f1)? = 200;
            Some("setup_sects at offset 0x1f1: 0xc8 sectors of setup code leave no kernel".into())
        },
    },
    Case {
        name: "bzimage-cut",
        program: "boot_linux",
        form: Form::Linux,
        lines: &[],
        damage: |image| {
            // A mebibyte more than there is.
            *image.get_mut(0x1f6)? = 1;
            Some("syssize at offset 0x1f4: 0x10000 lies past the end of the file: ".into())
        },
    },
    Case {
        name: "bzimage-16",
        program: "boot_linux",
        form: Form::Linux,
        lines: &["entry = \"16\""],
        damage: |image| {
            image.truncate(0x20e);
            Some("the file ends inside loadflags at offset 0x211".into())
        },
    },
    Case {
        name: "pvh",
        program: "boot_pvh",
        form: Form::Elf64,
        lines: &[],
        damage: |image| {
            // The note: sizes of name and entry, type, name.
            let note = [4u32, 4, 18].map(u32::to_le_bytes);
            let at = find(image, note.as_flattened())? + 4;
            *image.get_mut(at)? = 5;
            Some(format!(
                "n_descsz at offset {at:#x}: 0x5 is neither 4 nor 8"
            ))
        },
    },
    Case {
        name: "multiboot1",
        program: "boot_multiboot1",
        form: Form::Elf64,
        lines: &[],
        damage: |image| {
            // The address to load to, which lies above that of the header.
            let at = find(image, &0x1bad_b002u32.to_le_bytes())? + 16;
            *image.get_mut(at + 3)? = 0x7f;
            Some(format!("load_addr at offset {at:#x}: 0x7f"))
        },
    },
    Case {
        name: "multiboot2",
        program: "boot_multiboot2",
        form: Form::Elf64,
        lines: &[],
        damage: |image| {
            // The size of the first tag.
            let at = find(image, &0xe852_50d6u32.to_le_bytes())? + 20;
            *image.get_mut(at)? = 4;
            Some(format!(
                "size at offset {at:#x}: 0x4 is too small for the tag"
            ))
        },
    },
    Case {
        name: "elf64",
        program: "idle",
        form: Form::Elf64,
        lines: &[],
        damage: |image| {
            // The upper half of its p_offset.
            *image.get_mut(0x4c)? = 1;
            Some("program header 0 at offset 0x40: p_offset 0x1".into())
        },
    },
    Case {
        name: "elf32",
        program: "boot_elf32",
        form: Form::Elf32,
        lines: &[],
        damage: |image| {
            *image.get_mut(0x12)? = 62;
            Some("e_machine at offset 0x12: 0x3e is not EM_386".into())
        },
    },
    Case {
        name: "flat",
        program: "boot_flat_32",
        form: Form::Flat,
        lines: &["entry = \"32\"", "load-address = 0x7c00"],
        damage: |_| Some("load-address = 0x7c00: ".into()),
    },
];

/// The boot on this bed.
pub fn boot(bed: Bed, seconds: u32) -> Boot {
    let tests = CASES.iter().map(test_of).chain([OTHERS_RUN.to_owned()]);
    Boot::new(bed, "images", seconds, tests.collect::<Vec<_>>(), story)
}

fn test_of(case: &Case) -> String {
    format!("images/{}", case.name)
}

fn story(story_run: &mut StoryRun<'_>) -> Result<()> {
    let mut text = config::host(true);
    let mut files = Vec::new();
    let mut wanted = Vec::new();
    for case in &CASES {
        let path = config::on_volume(&format!("bad-{}", case.name));
        let mut image = case.form.make(&story_run.parts.test_guest(case.program))?;
        wanted.push(
            (case.damage)(&mut image).with_context(|| format!("{}: no such place", case.name))?,
        );
        let vm = Vm::new(case.name, path.as_str(), config::SMALL);
        text += &case.lines.iter().fold(vm, |vm, line| vm.line(line)).text();
        files.push((path, image));
    }
    text += &Vm::test_guest(GOOD).text();
    let mut image = story_run.parts.image(&text);
    for (path, bytes) in files {
        image = image.bytes(&path, bytes);
    }
    image = image.file(&config::on_volume(GOOD), &story_run.parts.test_guest(GOOD));
    let mut test_machine = story_run.start(&image, Shape::default())?;
    let good = format!("vm {GOOD}: stopped: ended by the guest's exit port, code 0");
    let ended = test_machine.expect(&good, 90);
    let transcript = test_machine.machine.transcript();
    for (case, wanted) in CASES.iter().zip(&wanted) {
        let begin = format!("vm {}: not started: ", case.name);
        let said = transcript.lines().find(|line| line.contains(&begin));
        let verdict = said
            .with_context(|| format!("it does not say `{begin}`"))
            .and_then(|line| {
                ensure!(line.contains(wanted), "not `{wanted}` but `{line}`");
                Ok(())
            });
        story_run.verdict(&test_of(case), verdict);
    }
    story_run.verdict(OTHERS_RUN, ended.map(|_| ()));
    Ok(())
}

fn find(image: &[u8], bytes: &[u8]) -> Option<usize> {
    image
        .windows(bytes.len())
        .position(|window| window == bytes)
}
