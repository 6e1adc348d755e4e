//! The counting plugins for QEMU, compiled when they are needed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use xtask::need::{self, Need};

/// The mark at the end of Linux' boot.
pub(super) const GUEST_IS_UP: u32 = u32::from_le_bytes(*b"MARK");

/// The instruction that is a mark: `nopl NUMBER(%rax,%rax,1)`. The plugin looks for the same bytes.
pub(super) fn mark(number: u32) -> Vec<u8> {
    let mut bytes = vec![0x0f, 0x1f, 0x84, 0x00];
    bytes.extend(number.to_le_bytes());
    bytes
}

/// Where counting begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Begin {
    /// At the first VM entry.
    FirstEntry,
    /// At the instruction at this address.
    Address(u64),
}

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    /// All instructions from start to mark.
    pub(super) total: u64,
    /// Those of the guest; all, where no hypervisor runs.
    pub(super) guest: u64,
    /// How often the guest was entered.
    pub(super) entries: u64,
}

/// Compiles a plugin.
pub(super) fn build(name: &str) -> Result<PathBuf> {
    need::ensure(&[Need::CCompiler])?;
    let out = xtask::paths::target(&format!("bench/{name}.so"))?;
    let source = xtask::paths::root().join(format!("tests/machine/plugin/{name}.c"));
    let mut command = Command::new("cc");
    command
        .args([
            "-std=gnu11",
            "-O2",
            "-fPIC",
            "-shared",
            "-fvisibility=hidden",
        ])
        .args(["-Wall", "-Werror", "-o"])
        .arg(&out)
        .arg(&source);
    xtask::command::output(&mut command)?;
    Ok(out)
}

/// Where the hypervisor is linked to, and nothing else of what measures.
const HYPERVISOR: u64 = 0xffff_ffff_8000_0000;

/// QEMU's arguments for the plugin `phases`; the phases go to `result`.
pub(super) fn phase_arguments(plugin: &Path, result: &Path) -> Vec<String> {
    let (plugin, result) = (escaped(plugin), escaped(result));
    vec![
        "-plugin".to_owned(),
        format!("file={plugin},out={result},from={HYPERVISOR:#x}"),
    ]
}

/// A path inside a QEMU option, where a comma is written twice.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// QEMU's arguments for the plugin `count`; the result goes to `result` when the mark `end` is reached.
pub(super) fn arguments(plugin: &Path, result: &Path, begin: Begin, end: u32) -> Vec<String> {
    let begin = match begin {
        Begin::FirstEntry => String::new(),
        Begin::Address(address) => format!(",start={address:#x}"),
    };
    let (plugin, result) = (escaped(plugin), escaped(result));
    vec![
        "-plugin".to_owned(),
        format!("file={plugin},out={result},end={end:#x}{begin}"),
    ]
}

/// Reads what the plugin wrote.
pub(super) fn read(result: &Path) -> Result<Counts> {
    let text = std::fs::read_to_string(result).context("the mark was not reached")?;
    parse(&text).with_context(|| format!("the plugin wrote: {text}"))
}

fn parse(text: &str) -> Option<Counts> {
    let number = |name: &str| {
        text.split_whitespace()
            .filter_map(|word| word.split_once('='))
            .find(|(known, _)| *known == name)
            .and_then(|(_, number)| number.parse().ok())
    };
    Some(Counts {
        total: number("total")?,
        guest: number("guest")?,
        entries: number("entries")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugins_words_are_read() {
        let counts = parse("total=30 guest=20 entries=1\n");
        assert_eq!(
            counts,
            Some(Counts {
                total: 30,
                guest: 20,
                entries: 1
            })
        );
        assert_eq!(parse("total=30"), None);
    }
}
