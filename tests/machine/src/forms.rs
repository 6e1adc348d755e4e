//! Test guests that are no plain ELF64 file to the hypervisor: what is made of the linked program, and how its VM is set up.

use std::path::Path;

use anyhow::{Context, Result, ensure};

/// What is made of the linked ELF64 file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// Nothing.
    #[default]
    Elf64,
    /// An ELF32 file with the same segments.
    Elf32,
    /// What its segments put into memory, from the first address on.
    Flat,
    /// The segment below 1 MiB, which is Linux' setup code, and behind it what lies above.
    Linux,
}

/// A guest that needs more than its program.
#[derive(Clone, Copy, Debug)]
pub struct Special {
    /// Name of the VM and of the test.
    pub name: &'static str,
    /// The program.
    pub program: &'static str,
    /// What is made of it.
    pub form: Form,
    /// Lines of its VM in `caisson.toml`.
    pub lines: &'static [&'static str],
}

const CMDLINE: &str = "cmdline = \"first=1 second\"";
const INITRD: &str = "initrd = \"guests/test/idle\"";

/// All of them. A program that is here is started in these ways and no other.
pub const SPECIALS: [Special; 12] = [
    special("boot_elf32", Form::Elf32, &[CMDLINE]),
    special("boot_elf64", Form::Elf64, &[CMDLINE]),
    special(
        "boot_flat_16",
        Form::Flat,
        &[CMDLINE, "entry = \"16\"", "load-address = 0x30000"],
    ),
    special(
        "boot_flat_32",
        Form::Flat,
        &[CMDLINE, "entry = \"32\"", "load-address = 0x200000"],
    ),
    special(
        "boot_flat_64",
        Form::Flat,
        &[CMDLINE, "entry = \"64\"", "load-address = 0x200000"],
    ),
    linux(
        "boot_linux_16",
        &[INITRD, "cmdline = \"way=16\"", "entry = \"16\""],
    ),
    linux(
        "boot_linux_32",
        &[INITRD, "cmdline = \"way=32\"", "entry = \"32\""],
    ),
    // The widest is taken where none is asked for.
    linux("boot_linux_64", &[INITRD, "cmdline = \"way=64\""]),
    special(
        "boot_modules",
        Form::Elf32,
        &[
            INITRD,
            "modules = [\"guests/test/idle second one=1\", \"guests/test/idle\"]",
        ],
    ),
    special("boot_multiboot1", Form::Elf64, &[CMDLINE, INITRD]),
    special("boot_multiboot2", Form::Elf64, &[CMDLINE, INITRD]),
    special("boot_pvh", Form::Elf64, &[CMDLINE, INITRD]),
];

const fn special(name: &'static str, form: Form, lines: &'static [&'static str]) -> Special {
    Special {
        name,
        program: name,
        form,
        lines,
    }
}

const fn linux(name: &'static str, lines: &'static [&'static str]) -> Special {
    Special {
        name,
        program: "boot_linux",
        form: Form::Linux,
        lines,
    }
}

const MIB: u64 = 1 << 20;
/// Where an ELF64 file has these. (System V ABI, chapters 4 and 5)
const E_ENTRY: usize = 0x18;
const E_PHOFF: usize = 0x20;
const E_PHNUM: usize = 0x38;
const PROGRAM_HEADER_BYTES: usize = 56;
const PT_LOAD: u64 = 1;

/// A segment with something in it.
struct Segment<'a> {
    at: u64,
    memory_bytes: u64,
    bytes: &'a [u8],
}

impl Form {
    /// What the boot volume gets, from the linked program.
    ///
    /// # Errors
    /// It cannot be read, or is no such program.
    pub fn make(self, program: &Path) -> Result<Vec<u8>> {
        let file = std::fs::read(program).with_context(|| program.display().to_string())?;
        let segments = segments(&file).context("no ELF64 file")?;
        ensure!(!segments.is_empty(), "{}: no segment", program.display());
        Ok(match self {
            Self::Elf64 => file,
            Self::Elf32 => elf32(number(&file, E_ENTRY, 8).unwrap_or(0), &segments),
            Self::Flat => flat(&segments),
            Self::Linux => {
                let (low, high): (Vec<_>, Vec<_>) =
                    segments.into_iter().partition(|segment| segment.at < MIB);
                [flat(&low), flat(&high)].concat()
            }
        })
    }
}

fn number(file: &[u8], at: usize, bytes: usize) -> Option<u64> {
    let bytes = file.get(at..at + bytes)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)),
    )
}

/// The segments in order of their addresses.
fn segments(file: &[u8]) -> Option<Vec<Segment<'_>>> {
    let table = number(file, E_PHOFF, 8)? as usize;
    let count = number(file, E_PHNUM, 2)? as usize;
    let mut segments = Vec::new();
    for header in (0..count).map(|number| table + number * PROGRAM_HEADER_BYTES) {
        let field = |at: usize, bytes| number(file, header + at, bytes);
        let (offset, len_bytes) = (field(0x08, 8)? as usize, field(0x20, 8)? as usize);
        let segment = Segment {
            at: field(0x18, 8)?,
            memory_bytes: field(0x28, 8)?,
            bytes: file.get(offset..offset + len_bytes)?,
        };
        if field(0, 4)? == PT_LOAD && segment.memory_bytes != 0 {
            segments.push(segment);
        }
    }
    segments.sort_by_key(|segment| segment.at);
    Some(segments)
}

fn flat(segments: &[Segment<'_>]) -> Vec<u8> {
    let start = segments.first().map_or(0, |segment| segment.at);
    let mut image = Vec::new();
    for segment in segments.iter().filter(|segment| !segment.bytes.is_empty()) {
        image.resize((segment.at - start) as usize, 0);
        image.extend(segment.bytes);
    }
    image
}

fn elf32(entry: u64, segments: &[Segment<'_>]) -> Vec<u8> {
    const HEADER: u32 = 0x34;
    const EACH: u32 = 0x20;
    let words =
        |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|word| word.to_le_bytes()).collect() };
    let halves =
        |halves: &[u16]| -> Vec<u8> { halves.iter().flat_map(|half| half.to_le_bytes()).collect() };
    let mut file = b"\x7fELF\x01\x01\x01".to_vec();
    file.resize(0x10, 0);
    // ET_EXEC, EM_386, version 1.
    file.extend(halves(&[2, 3]));
    file.extend(words(&[1, entry as u32, HEADER, 0, 0]));
    let count = segments.len() as u16;
    file.extend(halves(&[HEADER as u16, EACH as u16, count, 0, 0, 0]));
    let mut offset = HEADER + EACH * u32::from(count);
    for segment in segments {
        let (at, len_bytes) = (segment.at as u32, segment.bytes.len() as u32);
        let memory_bytes = segment.memory_bytes as u32;
        file.extend(words(&[1, offset, at, at, len_bytes, memory_bytes, 7, 1]));
        offset += len_bytes;
    }
    for segment in segments {
        file.extend(segment.bytes);
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_between_segments_are_zeros() {
        let segments = [
            Segment {
                at: 0x1000,
                memory_bytes: 2,
                bytes: &[1, 2],
            },
            Segment {
                at: 0x1004,
                memory_bytes: 9,
                bytes: &[3],
            },
        ];
        assert_eq!(flat(&segments), [1, 2, 0, 0, 3]);
        let file = elf32(0x1000, &segments);
        assert_eq!(file.len(), 0x34 + 2 * 0x20 + 3);
        assert_eq!(number(&file, 0x18, 4), Some(0x1000));
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> =
            SPECIALS.iter().map(|special| special.name).collect();
        assert_eq!(names.len(), SPECIALS.len());
    }
}
