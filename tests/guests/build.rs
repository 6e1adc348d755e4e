//! Gives the bare-metal binaries their linker script, and those that are no common ELF files what makes them so.

use std::env;
use std::path::Path;

/// More arguments of single binaries.
const ARGUMENTS: [(&str, &str); 4] = [
    // Where real mode reaches.
    ("boot_flat_16", "--defsym=BASE=0x30000"),
    ("boot_elf32", "--entry=entry_32"),
    ("boot_elf64", "--entry=entry_64"),
    ("boot_modules", "--entry=start_32"),
];
/// Has a script of its own.
const LINUX: &str = "boot_linux";

fn main() {
    for file in ["guest.ld", "linux.ld", "src/bin"] {
        println!("cargo:rerun-if-changed={file}");
    }
    // On a PC the binaries are built only to be looked at by clippy.
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        let folder = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        let sources = Path::new(&folder).join("src/bin");
        for source in std::fs::read_dir(sources).into_iter().flatten().flatten() {
            let path = source.path();
            let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else {
                continue;
            };
            let script = if name == LINUX {
                "linux.ld"
            } else {
                "guest.ld"
            };
            println!("cargo:rustc-link-arg-bin={name}=-T{folder}/{script}");
        }
        for (name, argument) in ARGUMENTS {
            println!("cargo:rustc-link-arg-bin={name}={argument}");
        }
    }
}
